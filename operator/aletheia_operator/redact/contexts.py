"""Recognises secrets by the text around them: URLs, schemes, protocols, documents on one line.

Each rule has a pattern with a group `secret` (a second one: `secret2`), and a check of the text in that group. `commands` and
`statements` have the rules for command lines and SQL.
"""

from collections.abc import Callable, Iterator
from typing import Any

from aletheia_operator.redact import checks
from aletheia_operator.redact.exemptions import EXEMPT
from aletheia_operator.redact.headers import HEADERS, header_values
from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import LINE_START, Match, compiled, span
from aletheia_operator.redact.values import is_name, is_secret, is_uuid

Span = tuple[int, int]
Check = Callable[[bytes], bool]
ContextRule = tuple[str, str, Check]
"""(name, pattern, check)"""

_STATED = (
    r"(?:\s+(?:is|was|are|now|set|changed|updated|reset|rotated|replaced|generated|created|auth\w*|from|to|as|with|value"
    r"|(?:for|of)\s+(?:user\s+)?[\w.@-]+))+\s*:?\s+"
)
"""Words between the name of a secret and its value in a sentence: `token for web was`, `password changed from`."""

RULES: tuple[ContextRule, ...] = (
    (
        "url-token",
        r"(?i)(?::|%3a)(?:(?:\\*/|%2f){2})(?P<secret>[^\s/:@\"'<>`\\]{16,})(?::(?:x-oauth-basic|x)?)?@",
        checks.long,
    ),
    ("redis-url", r"(?i)\brediss?://(?P<secret>[^\s:@/\"'<>`]+)@", checks.coded),
    ("config-key", r"(?i)\b(?:jwt|auth|authentication|tokens?|encryption|signing|api|secret|security|hmac|aes)"
                   r"(?:settings|options|config)?:key[\"']?\s*[:=]\s*[\"']?(?P<secret>[^\s\"',;]{8,})", checks.coded),
    ("leader", r"(?i)\b(?P<name>\w*(?:passw(?:or)?d|passphrase|secret|token))\s?\.{4,}\s*[\"']?(?P<secret>[^\s\"'.][^\s\"']*)",
     checks.password),
    ("user-info", r"(?i)(?:basic[._-]?auth[\w.-]*|user[._-]?info|user_?pwd)\\*[\"']?\s*(?:=>|[:=])\s*\\*[\"']?[\w.@+-]+:"
                  r"(?P<secret>[^\s\"'\\]+)", checks.no_number),
    ("azure-account-key", r"(?i)account[._]key[\w.-]*\s*[=:]\s*[\"']?(?P<secret>[\w+/-]{40,}={0,2})", checks.anything),
    ("azure-key", r"(?i)(?:primary|secondary)(?:readonly)?(?:master)?_?key\\*[\"']?\s*[:=]\s*\\*[\"']?"
                  r"(?P<secret>[A-Za-z0-9+/]{40,}={0,2})", checks.coded),
    ("used-value", r"(?i)\b(?:secret|key|token|password)\b[^:=]{0,40}\busing\s+[\"'`]?"
                   r"(?P<secret>[\w+/-]{20,}={0,2})(?:[\s\"'`,.]|$)", checks.mixed),
    ("printed-object", r"""(?i)\b\w*(?:secret|password|credential|apikey|token)\w*[\[({\s][^\[\](){}<>]{0,60}\bvalue="""
                       r"""["']?(?P<secret>[^\s"',\])}>]+)""", checks.coded),
    ("encoded-key", r"""(?i)api_key\\*["'][^{}]*?["']encoded\\*["']\s*:\s*\\*["'](?P<secret>[A-Za-z0-9+/]{20,}={0,2})""",
     checks.coded),
    ("grant-code", r"""(?i)\bauthorization_code\b[^{}]*?\bcode\\*["']?\s*[:=]\s*\\*["']?(?P<secret>[\w.~/%-]{10,})""",
     checks.coded),
    ("proxy-login", r"(?i)\blogin=[\w.@-]+:(?P<secret>[^\s\"'\\/][^\s\"'\\]*)", checks.coded),
    ("sasl-password", rf"{LINE_START}\[[\w.-]+\]:\d{{2,5}}\s+[\w.@+-]+:(?P<secret>\S+)\s*$", checks.coded),
    ("integration-key", r"(?i)\b(?:routing|integration|service)[-_]?key\\*[\"']?\s*[:=]\s*\\*[\"']?"
                        r"(?P<secret>[0-9a-f]{32}|[0-9A-Z]{32})\b", checks.anything),
    ("driver-password", r"(?:^|[^\w.-])[\w.-]+:(?P<secret>[^\s\"'@/:]+)@"
                        r"(?:(?:tcp|udp|unix)[46]?\(|\([\w.:/\[\]-]+\)|\([^\s\"']*\)/)", checks.password),
    ("oracle-password", r"(?i)(?:oracle:(?:thin|oci8?):|sqlplus(?:\s+-\w+)*\s+|\bconn(?:ect)?\s+[\"']?|imp(?:dp)?\s+"
                        r"|exp(?:dp)?\s+)[\w$#]+/(?P<secret>[^\s@\"'/]+)@", checks.password),
    ("host-password", r"(?:^|[\s\"'=(,])[\w.-]{1,60}:(?P<secret>[^\s\"'@/:=,()]{4,80})@(?:[\w-]+\.)*[\w-]+(?::\d{2,5}"
                      r"|\.[a-z]{2,}|: no such)\b", checks.coded),
    (
        "url-signature",
        r"(?i)[?&;](?:x-amz-signature|x-amz-security-token|x-amz-credential|x-goog-signature|hmac|hash_key|key|code|access_key"
        r"|apikey|sas|auth|token|t|st|hdnts|policy|jwt|ticket|otp|state_token|client_assertion|assertion|samlresponse"
        r"|id_token_hint|pwd|pass)"
        r"=(?P<secret>[^&\s\"'#<>\\]{12,})",
        checks.coded,
    ),
    ("hcl-variable", r"(?i)\bvariable\s+\\*\"(?P<name>[\w-]+)\\*\"\s*\{[^{}]*"
                     r"\bdefault\s*=\s*\\*\"(?P<secret>[^\"\\]+)", checks.secret),
    ("query-key", r"(?i)[?&]app_?id=(?P<secret>[0-9a-f]{32})(?:[^\w]|$)", checks.anything),
    ("query-signature", r"(?i)[?&](?:sig|signature)=(?P<secret>[^&\s\"'#<>\\]{3,})", checks.anything),
    (
        "scheme",
        r"(?i)\b(?:bearer|basic|negotiate|ntlm|apikey|splunk|geniekey|ssws)(?:\s+|%20"
        r"|\+)(?P<secret>[\w.~+/-]{8,}={0,2})(?:[^\w=]|$)",
        checks.no_parameter,
    ),
    ("token-scheme", r"(?i)\b[\w-]*token\s+(?P<secret>[\w.~+-]{16,}={0,2})(?:[^\w=/]|$)", checks.coded),
    ("token-prose", r"(?i)(?:token|(?:api|access|secret|encryption|private|certificate|licen[sc]e|signing|auth|app"
                    r"|master|account|enrol?lment|join|bootstrap|activation|hmac|aes|session|cipher|webhook|storage|shared"
                    r"|master|client)[ _-]?key|secret)(?:\s+is)?(?:\s+|\s*\(\s*|:\s*|\s*=\s*)[\"'`]?"
                    r"(?:(?P<secret>[\w.~+-]{20,}={0,2})(?:[^\w=/]|$)|(?P<secret2>[A-Za-z0-9+/]{40,}={0,2})(?:[^\w=/]|$))",
     checks.mixed),
    ("signature", r"(?i)Signature=[\"']?(?P<secret>[0-9a-f]{64}|[\w+/%-]{27,}=*)", checks.anything),
    ("secret-id", r"(?i)\bsecret[-_ ]?id\b\\*[\"']?(?:\s*[:=]\s*|\s+)\\*[\"']?"
                  r"(?P<secret>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", checks.anything),
    ("php-serialized", r"""s:\d+:\\*"(?P<name>[\w.-]+)\\*";s:\d+:\\*"(?P<secret>[^"\\]+)""", checks.secret),
    ("password-set", r"(?i)\bpass(?:word|phrase|code)\b[^:=]{0,40}\b(?:set|changed|reset|updated|initiali[sz]ed"
                     r"|now)\s+(?:from\s+\S+\s+)?(?:to|is)\s+[\"'`]?(?P<secret>[^\s\"'`]+)", checks.coded),
    ("password-word", r"(?i)(?:\b|\\t)pass(?:word|phrase|code)(?:(?:\s|\\t)+[\"'`(]?|\()"
                      r"(?P<secret>[^\s\"'`,;:()/=.-]{7,64})[\"'`)]?"
                      r"(?:[\s,;]|\.?$)", checks.mixed),
    ("announced-value", r"(?i)\b(?:token|(?:api|access|secret|auth\w*|license|private|encryption|signing|master)[ _-]?key"
                        r"|secret"
                        r"|credential"
                        r"|recovery codes?)(?P<between>\b[^:=\"'\n]+):\s+[\"'`]?(?P<secret>[\w.~+/-]{20,}={0,2})[\"'`]?"
                        r"(?:[\s,;)]|\.?$)", checks.random),
    ("with-key", r"(?i)\b(?:with|using)\s+(?:the\s+|this\s+)?(?:(?:api|access|secret|auth|bearer|encryption|signing"
                 r"|license|new|old)\s+)?(?:key|token|secret|password|passphrase)\s+[\"'`]?"
                 r"(?P<secret>[\w.~+/-]{20,}={0,2})[\"'`]?(?:[\s,;)]|\.?$)", checks.random),
    ("key-value", r"""(?:^\s?|[{,\['"]\s?|(?:[^\sc]|[^i]c|[^l]ic|[^b]lic)\s|\s\s)\\*["']?key\\*["']?\s*(?:=>"""
                  r"""|[:=])\s*\\*["']?(?P<secret>[A-Za-z0-9+/]{32,88}={0,2})(?:[\s"',;}\])\\]|$)""",
     checks.three_classes),
    ("crypt-key", r"""(?i)\b(?:crypt\w*|encrypt\w*|admin_key|key-auth|keyauth)\b[^:={}\[\]]{0,4}(?:=>"""
                  r"""|[:=])[^=:]*\bkey\\*["']?\s*"""
                  r"""(?:=>|[:=])\s*\\*["']?(?P<secret>[\w+/=-]{16,})""", checks.coded),
    ("gossip-key", r"""(?i)\bencrypt\\*["']?\s*[:=]\s*\\*["']?(?P<secret>[A-Za-z0-9+/]{22,43}={1,2})""", checks.coded),
    ("paired-user", r"""(?i)(?:^|[\s,;{"'])[\w.-]*(?:users?|auth|login|userpass|local_user|stats\s+auth)(?:\s*[=]\s*"""
                    r"""|:\s|\s+)\\*["']?"""
                    r"""[a-z_][\w.@-]*:(?P<secret>[^\s"'\\/:,@][^\s"'\\]*)""", checks.pair),
    ("bad-pair", r"(?i)\b(?:credentials?|login|password)\s+(?:for\s+)?[\w.-]+:(?P<secret>[^\s@:/\"',]{6,})@", checks.coded),
    ("bundle", r"(?i)\bBUNDLE_\w+__\w+[\"']?\s*[:=]\s*[\"']?(?:(?P<secret>[0-9a-f]{8}:[0-9a-f]{8})\b"
               r"|[\w.@-]+:(?P<secret2>[^\s\"'/]\S*))", checks.anything),
    ("hook", r"/(?:bot/v\d/hook|robot/send)(?:/|\?access_token=)(?P<secret>[\w-]{20,})", checks.anything),
    ("password-quoted", r"(?i)\bpass(?:word|phrase)\s+(?:to|is|was)\s+[\"'](?P<secret>[^\s\"']{6,})[\"']", checks.prosaic),
    ("password-prose", rf"(?i)\bpass(?:word|phrase|code|wd){_STATED}[\"'`(]?(?P<secret>[^\s\"'`,;()<>]{{5,}})", checks.stated),
    ("key-prose", rf"(?i)\b(?:token|secret|key"
                  rf"|credentials?){_STATED}[\"'`(]?(?P<secret>[\w.~+/-]{{16,}}={{0,2}})(?:[\s\"'`,.;)]|$)",
     checks.random),
    ("password-got", r"(?i)\bpass(?:word|phrase|code)\b.*?\b(?:expected|got|received|actual|given|entered)\s+[\"'`]?"
                     r"(?P<secret>[^\s\"'`,;]{5,})", checks.stated),
    ("password-source", r"(?i)\bpass(?:word|phrase)\s+(?:from|for|of)\s[^:=\"']*:\s+(?P<secret>\S{6,})\s*$", checks.stated),
    ("sms-code", r"(?i)\bsms\b.*\bcode[=:]\s?(?P<secret>\d{4,8})\b", checks.anything),
    ("invalid-key", r"(?i)\bapi[- ]?key\b.*\bkey\s+(?P<secret>[0-9a-f]{32,40})\s+is\s+(?:invalid|not|wrong)\b",
     checks.anything),
    ("typed-variable", r"(?:^|\s)(?P<name>[A-Z][A-Z0-9_]+)[\t ]+[Ss]tr(?:ing)?[\t ]+(?P<secret>\S+)\s*$", checks.secret),
    ("password-but-got", r"(?i)\bpass(?:word|phrase"
                         r"|code)\b.*\bexpected\s+\S+\s+(?:but\s+)?got\s+[\"'`]?(?P<secret>[^\s\"'`,;]{5,})",
     checks.stated),
    ("password-to", r"(?i)\bpass(?:word|phrase|code)\b[^:=\"']*\b(?:from|changed)\s+[\"'`]?[^\s\"'`]{5,}[\"'`]?\s+to\s+"
                    r"[\"'`]?(?P<secret>[^\s\"'`,;]{5,})", checks.stated),
    ("key-to", r"(?i)\b(?:token|secret"
               r"|key)\b[^:=\"']*\bfrom\s+[\"'`]?\S{16,}\s+to\s+[\"'`]?(?P<secret>[\w.~+/-]{16,}={0,2})"
               r"(?:[\s\"'`,.;)]|$)", checks.random),
    ("key-for", r"(?i)\bkey\s+for\s+[\w.-]+\.\w+:\s+(?P<secret>[\w+/=-]{24,})", checks.coded),
    ("validated-input", r"""(?i)\bloc\\*["']\s*:\s*\[[^\]]*["'](?P<name>\w+)\\*["']\s*\][^{}]*?\binput\\*["']\s*:\s*"""
                        r"""\\*["'](?P<secret>[^"'\\]+)""",
     checks.secret),
    ("go-variable", r"\{(?P<name>[A-Z][A-Z0-9_]*)\s+(?P<secret>[^\s{}]+)\s+(?:nil|<nil>|&)", checks.secret),
    ("sasl-payload", r"""(?i)\bsasl\w+\\*["']?[^{}]*?\bpayload\\*["']?\s*:\s*(?:BinData\(\d+,\s*)?"""
                     r"""\\*["'](?P<secret>[A-Za-z0-9+/]{8,}={0,2})""",
     checks.anything),
    ("azure-value", r"""(?i)\bvalue\\*["']?\s*[:=]\s*\\*["']?(?P<secret>[A-Za-z0-9+/]{86}==)""", checks.anything),
    ("macro", r"\$USER\d{1,3}\$\s*=\s*(?P<secret>[^\s/]\S*)\s*$", checks.coded),
    ("quoted-pair", r"""(?i)\b[\w.-]*(?:auth|userpass|credentials?"""
                    r"""|login)\\*["']?\s*[:=]\s*\\*["'][a-z_][\w.@-]*:(?P<secret>[^\s"'\\/:]{4,})\\*["']""",
     checks.no_port),
    ("conda-token", r"(?i)://[^\s/]+(?:/[\w.-]+)*/t/(?P<secret>[\w-]{16,})/", checks.coded),
    ("hub-signature", r"(?i)\bsignature(?:-\w+)?\\*[\"']?\s*:\s*\\*[\"']?(?:sha\d+|v\d)=(?P<secret>[0-9a-f]{40,})",
     checks.anything),
    ("cookie-word", r"(?i)\bcookie\s+[\w.-]+=(?P<secret>[^\s;\"']{16,})", checks.coded),
    ("password-from", r"(?i)\bpass(?:word|phrase|code)\b[^:=]{0,30}\b(?:changed|updated|reset|rotated|set)\s+from\s+"
                      r"[\"'`]?(?P<secret>[^\s\"'`]+)[\"'`]?\s+to\s", checks.coded),
    ("credentials-pair", r"(?i)\bcredentials?\s*:\s*[\"']?[\w.@-]+\s*/\s*(?P<secret>[^\s\"']+)", checks.pair),
    ("call", r"""(?i)(?:(?:->|::)(?:__construct|real_connect)|\bnew\s+\w+|(?:mysqli?|odbc|ibase)_(?:p|real_)?connect"""
             r"""|\bDBI(?:->|\s+)connect|\bgetConnection|\b(?:ftp_login|ldap_bind|ssh2_auth_password|imap_open))"""
             r"""\(\s*(?:Object\([\w\\]+\)\s*,\s*)?(?:'[^']*'|"[^"]*"|Resource id #\d+|Object\([\w\\]+\)|[\w.$]+)\s*,\s*"""
             r"""(?:'[^']*'|"[^"]*"|[\w.$]+)\s*,\s*(?:'(?P<secret>[^']+)'|"(?P<secret2>[^"]+)")""", checks.password),
    ("call-auth", r"""(?i)(?:\bauth\s*=\s*|basic_?auth|credentials?|\.auth|\.userpassword"""
                  r"""|PasswordAuthentication(?:Token)?)\(\s*"""
                  r"""(?:'[^']*'|"[^"]*"|[\w.$]+)\s*,\s*(?:\w+\()?(?:'(?P<secret>[^']+)'|"(?P<secret2>[^"]+)")""",
     checks.password),
    ("netrc", r"(?i)\b(?:machine|login|account)\s+\S+\s+(?:\S+\s+)*?passw(?:or)?d\s+(?P<secret>[^\s(]\S*)", checks.prosaic),
    ("announced", r"(?i)\bfollowing\s+(?:[\w-]+\s+)?(?:password|token|key|secret"
                  r"|credentials?)\b[^:]{0,60}:\s*(?P<secret>\S+)\s*$", checks.prosaic),
    ("password-for", r"(?i)\bpassword\s+for\s+[^:]{1,100}(?::|\s(?:is|was)"
                  r"(?: now)?:?)\s+[\"'`]?(?P<secret>[^\s\"'`]+)[\"'`]?\s*$", checks.coded),
    ("shared-secret", r"(?i)\b(?:shared|client|webhook|signing|consumer)\s+secret\s+"
                  r"(?:is\s+)?[\"'`(]?(?P<secret>[^\s\"'`,;:()/=.]{7,64})"
                      r"(?:[\s\"'`),;]|\.?$)", checks.mixed),
    ("community-string", r"(?i)\bcommunity\s+string\s*[:=]?\s+[\"'`]?(?P<secret>[^\s\"'`,;]+)", checks.prosaic),
    ("dsn-password", r"(?i)\bdsn\\*[\"']?\s*[:=]\s*\\*[\"']?[\w.-]+:(?P<secret>[^\s\"'@/:]+)@/", checks.password),
    ("aws-pair", r"(?:AKIA|ASIA)[A-Z0-9]{16}(?:[\s\"'/:,|\\]|\d{4}-\d\d-\d\dT\S+){1,8}"
                 r"(?P<secret>[A-Za-z0-9+/]{40}(?:\s+[A-Za-z0-9+/=]{100,})?)(?:[^\w+/]|$)",
     checks.anything),
    ("secure-string", r"""(?i)\bSecureString\\*["']\s*,\s*\\*["']Value\\*["']\s*:\s*\\*["'](?P<secret>[^"'\\]+)"""
                      r"""|\\*["']Value\\*["']\s*:\s*\\*["'](?P<secret2>[^"'\\]+)\\*["']\s*,\s*"""
                      r"""\\*["']Type\\*["']\s*:\s*\\*["']SecureString""",
     checks.anything),
    ("generated", r"(?i)\b(?:generated|temporary|initial|new|random|one-time)\b[^:]{0,40}\bpassword\b[^:]{0,60}"
                  r":\s*(?P<secret>\S+)\s*$"
                  r"|\bpassword\b[^:]{0,30}\b(?:generated|created|set)\b[^:]{0,40}:\s*(?P<secret2>\S+)\s*$", checks.no_time),
    ("password-of", r"\bPASSWORD\s+[\w-]+\s*=\s*(?P<secret>[^\s'\"]+)\s*$", checks.prosaic),
    ("user-line", r"(?i)\b(?:user|username)\s+\S+\s+(?:[\w-]+-)?(?:password"
                  r"|secret)\s+(?:\d\s+)?(?P<secret>[^\s=:'\"][^\s'\"]*)\s*$", checks.prosaic),
    ("netrc-line", rf"{LINE_START}\s*password\s+(?P<secret>[^\s(]\S*)\s*$", checks.prosaic),
    ("ldif", r"(?i)\b(?P<name>\w*(?:passw(?:or)?d|pwd|secret|key))::\s+(?P<secret>[A-Za-z0-9+/]{4,}={0,2})(?:\s|$)",
     checks.anything),
    ("setter", r"""(?i)(?:\b(?:set|with|use)_?|[.>])(?P<name>\w*(?:passw(?:or)?d|passphrase"""
                  r"""|pwd))\(\s*(?:\\*["'][^"'\\]*\\*["']\s*,\s*){0,2}\\*["'](?P<secret>[^"'\\]+)"""
               r"""\\*["']\s*\)""", checks.password),
    ("key-setter", r"""(?i)(?:\b(?:set|with|use)_?|[.>])(?P<name>\w*(?:secret|token"""
                  r"""|api_?key))\(\s*\\*["'](?P<secret>[^"'\\]+)"""
                   r"""\\*["']\s*\)""", checks.mixed),
    ("object-value", r"""(?i)\b(?P<name>[\w.-]*(?:pass|pwd|secret|token|key|cred)[\w.-]*)\\*["']?\s*(?:=>|[:=])\s*\[?\{"""
                     r"""[^{}]*?"""
                     r"""\\*["']?(?:value|plaintext|s|\$eq|stringvalue|#text|_text)\\*["']?\s*(?:=>|[:=])\s*\\*["']"""
                     r"""(?P<secret>[^"'\\]+)""", checks.secret),
    ("one-time", r"(?i)\b(?:otp|(?:one[- ]time|single[- ]use|2fa|mfa|totp)\s+(?:password|code|pin|passcode)"
                  r"|passcode)\b[^:=\d]{0,40}"
                 r"(?:[:=]|\bis)\s*\D{0,2}(?P<secret>\d{4,8})\b", checks.anything),
    ("ppp-secrets", r"""(?:^|\s)["']?[\w.@-]+["']?\s+\*\s+["'](?P<secret>[^"'\s]+)["'](?:\s+\*|\s*$)""", checks.password),
    ("code-prose", r"(?i)\b(?P<secret>\d{4,8})\s+is\s+your\s+(?:[\w-]+\s+){0,4}(?:code|otp|pin|password)\b"
                   r"|\b(?:verification|security|login|access|one-time|sign-in|confirmation)\s+(?:code|pin)(?:\s+is|:)\s+"
                   r"\D{0,2}(?P<secret2>\d{4,8}\b)", checks.anything),
    ("pgpass", rf"{LINE_START}[\w.*-]+:(?:\d{{2,5}}|\*):[\w.*-]+:[\w.*-]+:(?P<secret>[^\s:]\S*)\s*$",
     checks.no_address),
    ("pgpass-quoted", r"""(?:^|[\s"'(])[\w.*-]+:(?:5432|5433|6432|\*):[\w*-]+:[\w.*-]+:(?P<secret>[^\s:"'\\)]{4,})"""
                      r"""(?:$|[\s"'\\)])""", checks.no_address),
    ("redis-auth", r"""(?:^|[\s"'\]>*])(?:AUTH|auth)\\*["']?\s+(?:\\*["'](?P<user>[\w.-]+)\\*["']\s+)?\\*["']"""
        r"""(?P<secret>[^"'\\]+)\\*["']""", checks.no_word),
    ("redis-command", r"""(?:->|command)\s?.{0,60}?\b(?:auth|AUTH)\(\[\s*"""
                  r"""(?:["'][\w.-]+["']\s*,\s*)?["'](?P<secret>[^"']+)["']""",
     checks.password),
    ("labelled-field", r"(?i)\bcs\dlabel=(?P<label>\w*(?:passw(?:or)?d|secret|token)\w*)\s+cs\d=(?P<secret>\S+)",
     checks.password),
    ("jaas-user", rf"{LINE_START}\s+user_(?P<user>[\w-]+)=\"(?P<secret>[^\"\s]{{6,}})\";?\s*$", checks.mixed),
    ("config-password", r"(?i)(?:\b|\\n)(?:requirepass|masterauth|bindpw|rootpw|ldap_bind_password|auth_pass"
                  r"|r[ow]community6?|auth-pass\s+\S+"
                        r"|neighbor\s+\S+\s+password|snmp-server\s+community|enable\s+secret\s+\d?"
                        r"|username\s+\S+\s+password\s+\d?)\s+[\"'>]?(?P<secret>[^\s\"']+)", checks.prosaic),
    ("redis-acl", r"(?i)\b(?:ACL\"?\s+\"?SETUSER\b|user\s+\S+\s+on\b).*?[\s\"]>(?P<secret>[^\s\"]+)", checks.anything),
    ("property", r"(?i)(?:^|\s)(?P<name>[a-z][\w-]*(?:\.[\w-]+)*\.[\w-]*(?:passw(?:or)?d|passphrase|secret|secret[._-]?key"
                 r"|[._-]token))\s+(?P<secret>[^\s=:]\S*)\s*$", checks.coded),
    ("form-part", r"""(?i)\bname=\\*["'](?P<name>[\w.-]*(?:passw(?:or)?d|token|secret|pwd))\\*["'](?:(?:\\r)?\\n){2}"""
                  r"""(?P<secret>[^\s\\]+)""", checks.secret),
    (
        "pair",
        r"""(?i)\b\\*["'`]?(?:name|key|parameterkey|id|variable|field|param|header|property|env_?var|k"""
        r"""|option)\\*["'`]?\s*(?:[:=]"""
        r"""|=>)\s*(?P<quote>\\*["'`]?)(?P<name>[\w.$/-]+)\\*["'`]?\s*[,;\s}]?\s*"""
        r"""(?:[A-Za-z]{1,16}=\\*["'][^"']{0,30}["']\s+)?\\*["'`]?(?:value|parametervalue|val|v|content|default"""
        r"""|data)\\*["'`]?\s*(?:[:=]|=>)\s*\\*["'`]?(?P<secret>[^"'`\s,}\\]+)""",
        checks.secret,
    ),
    (
        "pair-reversed",
        r"""(?i)\b\\*["'`]?(?:value|val)\\*["'`]?\s*(?:[:=]"""
        r"""|=>)\s*(?:\\*["'`])(?P<secret>[^"'`\\]+)\\*["'`]\s*[,;\s]\s*\\*["'`]?(?:name|key)\\*["'`]?\s*(?:[:=]"""
        r"""|=>)\s*\\*["'`]?(?P<name>[\w.$/-]+)""",
        checks.secret,
    ),
    ("form-data", r"""(?i)form-data;\s*name=\\*["'](?P<name>[\w.-]+)\\*["'](?:\\r\\n|\\n|\s)+(?P<secret>[^\s\\]+)""",
     checks.secret),
    ("docker-auth", r"""\\*"auth\\*"\s*:\s*\\*"(?P<secret>[A-Za-z0-9+/]{8,}={0,2})\\*\"""", checks.anything),
    ("age-shamir", r"\b(?i:unseal key(?: \d+)?|recovery key(?: \d+)?|initial root token"
                   r"|root token)\s*:\s*(?P<secret>\S{10,})", checks.anything),
    ("basic-pair", r"(?i)\b(?:login|log in|logged in|authenticat\w+|credentials?|creds|connecting"
                   r"|connect)\b[^:=]{0,40}?\s[\"'(]?(?P<user>[\w.-]+@?[\w.-]*)(?:[:/]|\s/\s)"
        r"(?P<secret>[^\s\"'@/:,()]{4,})[\"')]?(?:[\s}\],]|$)", checks.coded),
    ("shadow", r"(?:^|\s)[a-z_][\w-]*:(?P<secret>\$?[./A-Za-z0-9$=,]{13,}):\d{4,6}:\d*:\d*:", checks.anything),
    ("var-dump", r"""(?i)\[\\*["']?(?P<name>[\w.-]+)\\*["']?(?::\\*["']?\w+\\*["']?)?\]"""
        r"""\s*=>\s*(?:string\(\d+\)\s*)?\\*["']?(?P<secret>[^"'\s\\\])]+)""", checks.secret),
    ("ssh-config", r"(?i)\b(?:psk|wpa_passphrase|preshared-key|PresharedKey|PrivateKey|private-key)"
        r"\s*=?\s*[\"']?(?P<secret>[A-Za-z0-9+/]{40,44}=?)", checks.anything),
)  # fmt: skip

EVERY: tuple[tuple[str, str, str, Check], ...] = (
    ("random-result", r"\brandom_password\b.*\bresult\b|\bresult\b.*\brandom_password\b",
     r"""\\*"result\\*"\s*:\s*\\*"(?P<secret>[^"\\]+)\\*"|\bresult=(?P<secret2>[^\]\s]+)""", checks.anything),
    ("community", r"(?i)\bsnmp.*\bcommunity:\s", r"(?i)\bcommunity:\s+[\"'`]?(?P<secret>[^\s\"'`,;]+)", checks.prosaic),
)  # fmt: skip
"""(name, pattern of a line, pattern of a secret, check): all such secrets of the line are found."""


_ANOTHER_SUBJECT = (
    r"(?i)\b(?:for|of|hash|digest|checksum|sha\w*|md5|fingerprint|thumbprint|ids?|uuid|uid|request|trace|pod|node|image"
    r"|commit|version"
    r"|etag|file|path|kid|url|error|issuer|audience|subject|name|type|counts?|used|public|is not|header"
    r"|accessor|jti|resourceversion)\b"
)
"""Words between `token` and a colon after which the value is no token."""


_PROSE = frozenset({"token-scheme", "token-prose"})


def find_context(name: str, pattern: Any, check: Check, line: bytes) -> Iterator[Span]:
    """Yield the secrets that a rule's pattern finds in a line."""
    named = b"name" in pattern.groupindex
    second = b"secret2" in pattern.groupindex
    between = b"between" in pattern.groupindex
    for match in pattern.finditer(line):
        if second and match.group(b"secret2") is not None:
            if check(match.group(b"secret2")):
                yield span(match, "secret2")
            continue
        if between and compiled(_ANOTHER_SUBJECT).search(match.group(b"between")) is not None:
            continue
        if name in _PROSE and _is_no_token(line, match):
            continue
        if name == "token-prose" and line[match.start() - 1 : match.start()] == b":":
            continue  # a part of an ARN
        if name in _PROSE and is_counted(line[max(match.start() - 24, 0) : span(match, "secret")[0]]):
            continue
        if named:
            kind = kind_of(match.group(b"name").decode("utf-8", "replace"))
            if kind is None or not is_secret(kind if kind in JUDGED else Kind.SECRET, match.group(b"secret"), False):
                continue
            if kind in HEADERS:
                yield from header_values(line, *span(match, "secret"), kind, False)
                continue
        if check(match.group(b"secret")):
            if name in EXEMPT and EXEMPT[name](match):
                continue
            yield span(match, "secret")


def _is_no_token(line: bytes, match: Match) -> bool:
    """Return whether the text after `token` is a name, or the id of a token."""
    value = match.group(b"secret") or b""
    stated = line[: span(match, "secret")[0]].rstrip(b" \"'`").endswith((b"=", b":"))
    setting = b"_" in line[match.start() : span(match, "secret")[0]]  # `hec_token <uuid>`
    return is_name(value) or (is_uuid(value) and not (stated or setting))


def is_counted(before: bytes) -> bool:
    """Return whether the text before a value names a token that is no secret: `nextPageToken: `, `continue token `."""
    found = compiled(r"(?i)(?:[\w.-]+\s+)?[\w./-]*(?:tokens?|secret)\W*(?:\sis\W*)?$").search(before)
    return found is not None and kind_of(found.group().decode("utf-8", "replace").removesuffix("is ")) is None


JUDGED = frozenset({Kind.KEY, Kind.PASSWORD, Kind.SECRET, Kind.WEAK, Kind.PASS, Kind.CODE, Kind.HASH, Kind.OBJECT})
