"""Recognises secrets in command lines: in the arguments and flags of known programs, and in flags with a secret's name."""

from collections.abc import Iterator

from aletheia_operator.redact import checks
from aletheia_operator.redact.contexts import JUDGED, ContextRule, Span
from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import LINE_START, compiled, span
from aletheia_operator.redact.values import is_secret, quoted_end

_ARG = r"""(?:["'`]?\s*,?\s+|["'`],\s*|=)"""  # between the words of a command line, also if they are the items of a list
_WORD = r"""\\*["'`]?(?P<secret>[^\s"'`,\\]+)"""
_NO_PORT = r"""\\*["'`]?(?P<secret>[^\s"'`,\\]*[^\s"'`,\\\d][^\s"'`,\\]*|\d{6,})"""
"""A word of another flag than a port's: `redis-cli -p 6379 -a x`."""
_LINE = r"(?:^|[\s/;|&(\"'`\[])"

_NEXT_WORD = r"[\s\"',\\]+"
"""What is between two words of a command: blanks, or a comma if they are the items of a list."""
_POSITIONAL = (
    r"(?i)\b(?:rabbitmqctl\s+(?:-\S+\s+)*(?:add_user|change_password|authenticate_user)\s+\S+"
    r"|net\s+user\s+\S+|net\s+use\s+.*?/user:\S+|mc\s+(?:alias|config\s+host)\s+(?:set|add)\s+\S+\s+\S+\s+\S+"
    r"|htpasswd\s+-(?:\w*n\w*b|\w*b\w*n)\w*\s+(?:-\S+\s+(?:\d+\s+)?)*\S+"
    r"|htpasswd\s+-\w*b\w*\s+(?:-\S+\s+(?:\d+\s+)?)*\S+\s+\S+|ldappasswd\b.*\s-s|nickserv\s+:?identify|:identify"
    r"|convertto-securestring(?:\s+-string)?|activate-refresh-token\s+\S+"
    r"|ngrok\s+(?:config\s+add-)?authtoken"
    r"|(?:snyk|infisical)\s+auth|cargo\s+login|cloudflared\s+service\s+install|nuget\s+setapikey"
    r"|smbpasswd\s+-\S+"
    r"|mysqladmin\b.*\spassword|reset-admin-password|radtest\s+\S+|poetry\s+config\s+(?:pypi-token\.\S+"
    r"|http-basic\.\S+\s+\S+)|composer\s+config\s+(?:-\S+\s+)*(?:github-oauth\.\S+|http-basic\.\S+\s+\S+)"
    r"|wpa_passphrase\s+\S+|wg\s+set\s+.*preshared-key)\s+[\"']?"
    r"(?P<secret>[^\s\"'/\\-](?:[^\s\"'\\]|\\[^\"'])*|\\{1,2}[^\s\"'/\\-][^\s\"'\\]*)"
)

RULES: tuple[ContextRule, ...] = (
    (
        "user-password",
        r"""(?:^|\s|["'`])(?:-u|-U|--user|--proxy-user|--username|--creds|--auth|-a|-creds|-auth|--http-user"""
        r"""|--basic-auth|--src-creds|--dest-creds)"""
        r"""(?:["'`]?,?\s*["'`]?|=["'`]?)(?P<user>[\w.@+\\$-]+)[:%](?P<secret>[^\s"'`,/][^\s"'`]*)""",
        checks.no_ids,
    ),
    ("mysql-password", rf"{_LINE}(?:mysql\w*|mariadb[\w-]*|mycli|xtrabackup|innobackupex"
                       rf"|percona\S*)\b.*?[\s,]\\*[\"']?-p[\"']?(?P<secret>[^\s\"',]+)", checks.anything),
    (
        "program-password",
        rf"{_LINE}(?:redis-cli|keydb-cli|valkey-cli|sshpass|mongo\w*|ldap\w+|docker|podman|skopeo|buildah|nerdctl|helm"
        rf"|crane|oras|rabbitmqadmin|smbclient|sqlcmd|bcp|isql|osql"
        rf"|kinit|ipmitool|cqlsh|vncviewer|xfreerdp|rdesktop|wget|unzip|zip|7z|plink|pscp|putty"
        rf"|mosquitto_\w+|influx|clickhouse-client|tsql|nats|htpasswd|evil-winrm|crackmapexec"
        rf"|az|oc|kafkacat|logcli|argocd|beeline|twine|useradd|usermod|lftp|mount\S*|hydra)\b.*?[\s\"'](?:-a"
        r"|-p|-P|-w|-W|-A|-pw"
        rf"|/p:){_ARG}?{_NO_PORT}",
        checks.no_port,
    ),
    ("dump-password", rf"{_LINE}pg_dump\b.*?[\s\"'](?:-a|-p|-P|-w|-W|-A|-pw){_ARG}?{_WORD}", checks.no_port),
    ("ipa-password", rf"{_LINE}ipa-[\w-]+\b.*\s-p{_ARG}?{_WORD}", checks.no_port),
    ("ipa-admin", rf"{_LINE}ipa-[\w-]+\b.*\s-a{_ARG}?{_WORD}", checks.no_port),
    ("shell-password", rf"{_LINE}(?:cypher-shell|fly|hdbsql|arangosh|exaplus|vsql|nzsql|snowsql"
                       rf"|ysqlsh)\b.*?\s-p{_ARG}?{_WORD}", checks.no_port),
    ("user-flag", r"(?:^|\s)(?:-u|-U|-l|--user|--username|--login)[\s=][\"']?[\w.@\\-]+[\"']?\s+-[pPw]\s+[\"']?"
                  r"(?P<secret>[^\s\"']+)", checks.pair),
    ("connect-using", r"(?i)\buser\s+\S+\s+using\s+[\"']?(?P<secret>[^\s\"'-]{6,})(?:[\s\"']|$)", checks.coded),
    ("snmp-community", r"\bsnmp(?:walk|get\w*|bulk\w*|set|table|trap|status|df|inform)\b.*?\s-c\s*[\"']?"
                       r"(?P<secret>[^\s\"']+)", checks.prosaic),
    ("password-command", r"(?i)[-_](?:command[\s=]+\\*[\"']|file[\s=]+<\(\s*)(?:\S*/)?(?:echo|printf)\s+(?:-\w+\s+)?[\"']?"
                         r"(?P<secret>[^\s\"'\\]+)", checks.prosaic),
    ("snmp-auth", r"\bsnmp\w+\b.*\s-A\s+[\"']?(?P<secret>[^\s\"']+)", checks.anything),
    ("snmp-user", r"(?i)\bcreateUser\s+\S+\s+(?:MD5|SHA\S*)\s+[\"']?(?P<secret>[^\s\"']+)", checks.anything),
    ("snmp-user-key", r"(?i)\bcreateUser\s.*\s(?:AES|DES)\S*\s+[\"']?(?P<secret>[^\s\"']+)", checks.anything),
    ("device", r"(?i)\b(?:password|secret|psksecret|passwd|passphrase|server\s+key|key-string|md5)\s+(?:ENC|[05-9]"
               r"|encrypted|sha512)\s+"
               r"[\"']?(?P<secret>[^\s\"';]{6,})", checks.anything),
    ("device-key", r"(?i)\b(?:isakmp|ikev2|ipsec|tacacs-server|radius-server)\s+(?:host\s+\S+\s+)?(?:key|pre-shared-key)\s+"
                   r"(?:[0-9]\s+)?[\"']?(?P<secret>[^\s\"';]{4,})", checks.prosaic),
    ("set-value", r"(?i)\b(?:config|configuration|env|secrets?|variables?|param|system|property|properties|kv|etcdctl)"
                  r"[\s:]+(?:set|put|create|add|update|edit)"
                  r"\s+(?:--?[\w-]+(?:\s+|=))*(?:\S*[/:])?(?P<name>[\w.-]+)(?:\s+|=)[\"']?"
                  r"(?P<secret>[^\s\"'=-][^\s\"']*)", checks.secret),
    ("stored-value", r"\b(?:kv\s+(?:put|patch)(?:\s+-\S+)*\s+[^\s=]+|write(?:\s+-\S+)*\s+(?:secret|kv)/[^\s=]+"
                     r"|secrets?\s+(?:set|put|add|create)(?:\s+-\S+)*|config:set)"
                     r"\s+[\w.-]+=\\*[\"']?(?P<secret>[^\s\"'\\]+(?:\s+[\w.-]+=[^\s\"'\\]+)*)", checks.prosaic),
    ("stored-body", r"\bsecret\s+(?:set|put|add|create)\s.*?\s(?:-b|--body|--value|--data)[\s=]+\\*[\"']?"
                    r"(?P<secret>[^\s\"'\\]+)", checks.prosaic),
    ("substitution", r"(?:^|[\s\"'])s[/|#,~!@][^\w\s\"'/|]{0,4}\s?(?P<name>[\w.-]+)(?:[^\w\"'/|][^\"'/|]{0,30})?[/|#,~!@]"
                     r"(?:\\\d)?(?P<secret>[^\s\"'/|#,~!=]+={0,2})[/|#,~!@]", checks.no_word),
    ("user-slash", r"(?i)\s(?:/r?u[:\s]\s*|-u:)[^\s/]\S*\s+(?:/r?p[:\s]\s*|-p:)\\*[\"']?(?P<secret>[^\s\"'/][^\s\"']{3,})",
     checks.no_port),
    ("logon", r"(?i)(?:^|\s)\.LOGON\s+\S+/\w+,(?P<secret>[^\s;]+)", checks.anything),
    ("obscured", r"\b(?:rclone\s+obscure|caddy\s+hash-password\s+--plaintext|ctl\s+admins\s+(?:passwd|add)\s+\S+"
                 r"|admin\s+user\s+add\s+\S+\s+\S+|AuthBasicFake\s+\S+)\s+[\"']?"
                 r"(?P<secret>[^\s\"'-][^\s\"']*)", checks.anything),
    ("sasl-login", r"\bSASL\s+PLAIN\s+\S+\s+(?P<secret>\S+)\s*$", checks.coded),
    ("suffix-directive", rf"(?i){LINE_START}\s*(?P<name>[a-z]{{3,}}(?:secret"
                         r"|password|passwd|passphrase))"
                         r"\s+[\"']?(?P<secret>[^\s=:\"'][^\s\"']*)[\"']?;?\s*$", checks.coded),
    ("add-mask", r"::add-mask::(?P<secret>\S+)", checks.anything),
    ("addauth", r"\baddauth\s+digest\s+\S+?:(?P<secret>\S+)", checks.anything),
    ("piped-to", r"""\becho\s+["'](?P<secret>[^\s"'$`|]{8,})["']\s*\|""", checks.special),
    ("directive", rf"{LINE_START}\s*(?P<name>[A-Za-z]\w*[._-]\w[\w.-]*)"
                  r"\s+[\"']?"
                  r"(?P<secret>[^\s=:\"'][^\s\"']*)[\"']?;?\s*$", checks.coded),
    ("chpasswd", r"\bchpasswd\b.{0,60}?[\"'\[{\s<][a-z_][\w.-]{0,31}:(?P<secret>[^\s\"',:{}]+)[\"'\s]", checks.prosaic),
    ("scanner-login", r"sonar\.login\\*[\"']?\s*[:=]\s*\\*[\"']?(?P<secret>\w{20,})", checks.coded),
    ("bundle-config", r"\bbundle\s+config\s+(?:set\s+)?(?:-\S+\s+)*\S+\s+[\w-]+:(?P<secret>[^\s\"'/]\S*)", checks.anything),
    ("here-string", r"""\b(?:kinit|cryptsetup|login|passwd|chpasswd|sudo|gpg|openssl|ssh-add|--[\w-]*stdin)\b[^<]*<<<\s*"""
                    r"""["']?(?:[\w.-]+:)?(?P<secret>[^\s"']+)""", checks.anything),
    ("ftp-user", r"\bftp\b.*\buser\s+[\w.@-]+\s+[\"']?(?P<secret>[^\s\"']+)", checks.coded),
    ("net-use", r"(?i)\bnet\s+use\s+(?:[a-z*]:?\s+)?\\{2,4}\S+\s+(?P<secret>[^\s/]\S*)\s+/u", checks.prosaic),
    ("lftp", r"\blftp\b.*?\s-u\s+[^\s,]+,(?P<secret>\S+)", checks.anything),
    ("snmp-privacy", r"\bsnmp\w+\b.*\s-X\s+[\"']?(?P<secret>[^\s\"']+)", checks.anything),
    ("vault-login", r"\b(?:vault|bao)\s+(?:login|operator\s+unseal)\s+(?:-\S+\s+)*[\"']?(?P<secret>[^\s\"'=]{8,}=*)",
     checks.coded),
    ("ssh-keygen", r"\bssh-keygen\b.*?\s-[NP]\s+[\"']?(?P<secret>[^\s\"']+)", checks.anything),
    ("openssl-key", r"\b(?:openssl|ss-[a-z]+)\b.*?\s-[kK]\s+[\"']?(?P<secret>[^\s\"']+)", checks.prosaic),
    ("attached-password", rf"{_LINE}(?:redis-cli|sshpass|sqlcmd|7z|mongo\w*"
                          rf"|smbclient)\b.*?\s-[aPpw](?P<secret>[^\s\"',-][^\s\"',]*)", checks.prosaic),
    ("positional", _POSITIONAL.replace(r"\s+", _NEXT_WORD), checks.prosaic),
    ("openssl-password", r"(?:(?:^|[\s\"'`=(]/?)pass:|(?:-passin|-passout|-k)(?::|\s+pass:))(?P<secret>[^\s\"'`,]+)",
     checks.password),
    ("piped-password", r"""\b(?:echo|printf)\s+(?:-\w+\s+)?(?:["']?%s(?:\\n)?["']?\s+)?["']?"""
                  r"""(?:[\w.-]+:)?(?P<secret>[^\s"'`|$]+)["']?\s*"""
                       r"""\|\s*(?:\S*/)?(?:sudo\s+-S|chpasswd|passwd|docker\s+login|podman\s+login|helm\s+registry"""
                       r"""|su\b|base64|openssl|cryptsetup|kinit|gpg|skopeo|oras|crane|buildah|nerdctl"""
                       r"""|[\w-]+\s+(?:create\s+secret|secrets?\s+(?:create|put|set|add|versions\s+add))\b"""
                       r"""|.{0,100}\s--(?:[\w-]*stdin|passphrase-fd|with-token|password-fd)\b)""",
     checks.anything),
    ("aws-configure", r"\bconfigure\s+set\s+(?P<name>[\w.-]+)\s+[\"']?(?P<secret>[^\s\"']+)", checks.anything),
    ("curl-cookie", r"""\bcurl\b.*\s(?:-b|--cookie)[\s=]["']?[\w.-]+=(?P<secret>[^\s"';]+)""", checks.anything),
    ("dockerfile", r"(?i)(?:^|\s)(?:ENV|ARG|setenv|\w+_param|set\s+-\w*x\w*)\s+"
                   r"(?P<name>[\w.-]*(?:passw(?:or)?d|secret|token|api_?key|_pass|_pwd|_pw"
                   r"|_key|_pat|_psk|passphrase|credentials?))\s+(?P<secret>[^\s\"'=]+)\s*$", checks.secret),
    ("kubectl-literal", r"--from-literal[=\s]+[\"']?[\w.-]+=(?P<secret>[^\s\"']+)", checks.anything),
)  # fmt: skip

_END = r"""\\*["'`\s,\]]"""
_NUL = r"\\+(?:x00|u0000|0)"
"""Between the words of a command line in /proc."""
_END_OR_NUL = f"{_END}|{_NUL}"
_METHOD = r"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) $"
_STATUS = r"/\S{1,200} \d{3}(?:\s|$)"
FLAG = (
    r"""(?i)(?:^|[\s"'`\[(,]|\\(?:x00|u0000|0))(?:--?|/)(?P<name>[\w.-]*(?:passw(?:or)?d|passphrase|passcode|secret|token|credentials?"""
    r"""|creds|requirepass|masterauth|key"""
    r"""|pass|pwd|auth|cookie|pw|authorization|stdin|pat|psk|sas|dsn|jwt|otp|pin)s?(?:-(?:string|value|text))?)(?P<gap>["'`]?,?\s+"""
    r"""|\\*["'`]\s*,\s*|\\+(?:x00|u0000|0))(?P<quote>\\*["'`]?)(?P<first>[^\s"'`])"""
)


_AUDITED = r"""a\d{1,3}=(?:"[^"]*"|(?:[0-9A-F]{2})+)(?:\s|$)"""
"""The next word of a command in the kernel's audit log, which `audit` reads."""


def find_flags(line: bytes) -> Iterator[Span]:
    """Yield the values of flags: `--password x`, `"--token", "x"`."""
    flag, at = compiled(FLAG), 0
    while (match := flag.search(line, at)) is not None:
        name, gap, quote, first = match.groups()
        at = span(match, "name")[1]  # the value of a flag may itself be the next flag
        kind = kind_of(name.decode())
        start = span(match, "first")[0]
        if kind is None or first in b"-|><=:;," or (b"EXECVE" in line and compiled(_AUDITED).match(line, start)):
            continue
        path = at - len(name) - 1
        if line[path : path + 1] == b"/" and _is_path(line, path, start, kind, b"," in gap and not quote):
            continue
        if quote:
            end = quoted_end(line, start, quote)
        else:
            end = _end_of_word(line, start, gap)
            if name.upper().replace(b"-", b"_").endswith(line[start:end].replace(b"-", b"_")):
                continue  # the usage of a command: `--token TOKEN`
        kind = kind if kind in JUDGED else Kind.SECRET
        prose = b"," not in gap and not quote and kind is not Kind.SECRET
        if is_secret(Kind.SECRET if kind is Kind.OBJECT else kind, line[start:end], prose):
            yield start, end


def _is_path(line: bytes, path: int, start: int, kind: Kind, listed: bool) -> bool:
    """Return whether a path begins at `path`, and no flag of Windows. `start`: of what follows; `listed`: after a comma."""
    if kind is not Kind.PASSWORD or (listed and line[start : start + 1] in b"[({"):
        return True  # `/token`, `post('/forgot-password', [Controller::class])`
    if line.startswith(b"HTTP/", start) and compiled(r"HTTP/\d(?:\.\d)?\b").match(line, start) is not None:
        return True
    if line[path - 1 : path] != b" " or compiled(_METHOD).search(line[max(0, path - 8) : path]) is None:
        return False
    return compiled(_STATUS).match(line, path) is not None  # `GET /reset-password 200`


def _end_of_word(line: bytes, start: int, gap: bytes) -> int:
    """Return where an unquoted value ends: also at a NUL, if one is in `gap`, before the value."""
    ended = compiled(_END_OR_NUL if b"\\" in gap and compiled(_NUL).search(gap) is not None else _END)
    found = ended.search(line, start)
    if found is not None and found.group() == b"]" and b"[" in line[start : found.start()]:
        found = ended.search(line, found.end())  # an index: `$cred[0].Password`
    return found.start() if found is not None else len(line.rstrip(b"\r\n"))
