"""Recognises secrets in messages and settings of known programs, as in `contexts`: mail servers, browsers under test."""

from aletheia_operator.redact import checks
from aletheia_operator.redact.contexts import ContextRule
from aletheia_operator.redact.patterns import LINE_START

_FILL = r"(?:fill|type(?:_?text)?|press_?sequentially|input_?text|input\s?password|send_?keys|set_?value)"
_FIELD = r"""["'][^"']*(?:passw(?:or)?d|passphrase)[^"']*["']"""
_SETTER = (
    r"(?P<name>(?:remote|local|bind|smtp|imap|pop3|ldap|db|database|mail|auth|proxy|server|client|user|admin|root|repl|replication"
    r"|sasl|radius|relay|bridge|http|ftp|mysql|pgsql|redis|sql|lookup|search|service|connection|manager|dn)[._-]"
    r"(?:password|passwd|passphrase|pw))"
)
"""The name of a setting, which begins with no verb: `update_password failed` is a message."""

RULES: tuple[ContextRule, ...] = (
    ("new-value", r"(?:^|\s)New value:\s+(?P<secret>[\w+*=-]{20})\s*$", checks.three_kinds),
    ("debugger-pin", r"\bDebugger PIN: (?P<secret>\d{3}-\d{3}-\d{3})\b", checks.anything),
    ("login-case", r"\b(?:Log[Ii]n|Sign[Ii]n|Authenticate|Credentials?|UserPass\w*|Basic\w*Credentials)"
                   r"(?:Request|Command|Cmd|Data)?"
                   r"\([\w.@+-]+,\s?(?P<secret>[^\s,()\"'=]{6,})\)", checks.pair),
    ("jwt-key", r"""(?i)\bjwt\w*\\*["']?\s*[:=]\s*\{[^{}]*?\bkey\\*["']\s*:\s*\\*["'](?P<secret>[^"'\\]{8,})""",
     checks.password),
    ("gossip-word", r"""(?i)(?:-encrypt|\bkeyring\s+(?:install|use|remove)|keyring\s+-(?:install|use|remove))\\*["']?[\s,=]+"""
                    r"""\\*["']?(?P<secret>[A-Za-z0-9+/]{22,43}={1,2})""", checks.coded),
    ("directory-password", rf"(?i){LINE_START}\s*\w{{3,}}password\s+\"(?P<secret>[^\"]+)\"\s*$", checks.password),
    ("setting", rf"(?i){LINE_START}\s*{_SETTER}\s+(?P<secret>[^\s=:\"'][^\s\"']*);?\s*$", checks.no_feature),
    ("enable-password", rf"(?i){LINE_START}\s*(?:\S+[#>]\s?)?enable\s+password\s+(?:level\s+\d+\s+)?(?:\d\s+)?"
                        r"(?P<secret>\S+)\s*$", checks.no_feature),
    ("sasl-map", rf"{LINE_START}(?:\[[\w.-]+\]|[\w-]+(?:\.[\w-]+)+)(?::\d{{2,5}}|:submission|:smtps?)?\s+[\w.+-]+@[\w.-]+:"
                 r"(?P<secret>[^\s/]+)\s*$", checks.no_port),
    ("imap-login-bytes", r"""\bb['"][A-P]{4}\d+ LOGIN "?[\w.@+-]+"? \\*"(?P<secret>[^"\\]+)""", checks.password),
    ("imap-authenticate", r"\bAUTHENTICATE\s+(?:PLAIN|LOGIN|XOAUTH2|OAUTHBEARER)\s+(?P<secret>[A-Za-z0-9+/]{12,}={0,2})",
     checks.encoded),
    ("radius-login", r"\bLogin (?:incorrect|OK)\b[^\[]*:\s+\[[^\[\]/]+/(?P<secret>[^\]]+)\](?:\s+\(|\s*$)", checks.anything),
    ("tsig-key", r"\s-y\s+\\*[\"']?(?:[\w-]+:)?[\w.-]+:(?P<secret>[A-Za-z0-9+/]{16,}={0,2})(?:[\s\"'\\]|$)", checks.coded),
    ("xtrace-test", r"^(?:\S*\s)?\++ '?\[\[?'? (?:! )?-[nz] '?(?P<secret>[^\s']{16,})'? '?\]", checks.three_classes),
    ("piped-phrase", r"""\b(?:echo|printf)\s+(?:-\w+\s+)?\\*["'](?P<secret>[^"'|$\\]*\s[^"'|$\\]*)\\*["']\s*\|\s*(?:\S*/)?"""
                     r"""(?:sudo\s+-S|kinit|cryptsetup|passwd\s.*--stdin|.*\s--(?:[\w-]+-stdin|passphrase-fd|password-fd|with-token)\b)""",
     checks.anything),
    ("xml-value", r"(?i)<(?:\w+:)?\w*password>\s*<(?:\w+:)?value>(?P<secret>[^<]+)<", checks.password),
    ("chpasswd-list", r"(?i)\b(?:chpasswd list|chpasswd\s*<<<?\s*\S*):?\s+[\"'\[]?[a-z_][\w.-]*:(?P<secret>[^\s\"',:]+)\s*$",
     checks.prosaic),
    ("intake-key", r"datadoghq\.(?:com|eu)\\?/(?:api\\?/)?v\d\\?/(?:input|logs|series)\\?/(?P<secret>[0-9a-f]{32})\b",
     checks.anything),
    ("filled-field", rf"(?i){_FILL}\(\s*{_FIELD}\s*,\s*\\*[\"'](?P<secret>[^\"']+)"
                     rf"|{_FIELD}\)*\.{_FILL}\(\s*\\*[\"'](?P<secret2>[^\"']+)", checks.anything),
    ("robot-field", rf"(?i)\bArguments:\s*\[\s*{_FIELD}\s*\|\s*[\"'](?P<secret>[^\"']+)"
                    r"|\binput\s(?:password|text)\s{2,}[^\s|]*passw\S*\s{2,}(?P<secret2>\S+)", checks.prosaic),
    ("target-value", r"""(?i)["']target\\*["']\s*:\s*\\*["'][^"']*passw[^"']*["']\s*,\s*\\*["']value\\*["']\s*:\s*"""
                     r"""\\*["'](?P<secret>[^"'\\]+)""", checks.prosaic),
    ("sent-keys", r"""(?i)/element/[\w.-]+/value\b.*?["']text\\*["']\s*:\s*\\*["'](?P<secret>[^"'\\]+)\\*["'][^{}]*?passw""",
     checks.anything),
    ("supplied-password", r"(?i)\b(?:supplied|given|entered|typed|attempted|tried|provided|submitted)\s+pass(?:word|phrase)\s+"
                          r"(?:was|is|were)\s+\\*[\"'`](?P<secret>[^\"'`]+)", checks.prosaic),
)  # fmt: skip
