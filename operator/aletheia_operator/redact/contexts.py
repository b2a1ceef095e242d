"""Recognises secrets by the text around them: URLs, schemes, command lines, SQL, protocols, documents on one line.

Each rule has a pattern with a group `secret` (further groups: `secret2`, ...), and a check of the text in that group.
"""

from collections.abc import Callable, Iterator
from typing import Any

from aletheia_operator.redact.headers import HEADERS, header_values
from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import compiled, span
from aletheia_operator.redact.values import is_coded, is_placeholder, is_secret, quoted_end

Span = tuple[int, int]
Check = Callable[[bytes], bool]


def _any(value: bytes) -> bool:
    return bool(value) and not is_placeholder(value)


def _password(value: bytes) -> bool:
    return is_secret(Kind.PASSWORD, value, False)


def _prosaic(value: bytes) -> bool:
    return is_secret(Kind.PASSWORD, value, True)


def _not_ids(value: bytes) -> bool:
    return _any(value) and b"//" not in value


def _no_port(value: bytes) -> bool:
    return _prosaic(value) and value[:1] != b"/" and compiled(r"^[\d.]*:?\d{1,5}(?::\d{1,5})?(?:/\w+)?$").search(value) is None


def _no_test(value: bytes) -> bool:
    return _prosaic(value) and compiled(r"(?i)^test|/.*\.\w{1,4}$").search(value) is None


def _no_address(value: bytes) -> bool:
    return _password(value) and compiled(r"(?i)^[0-9a-f]{2}(?::[0-9a-f]{2})*$").search(value) is None


def _coded_no_port(value: bytes) -> bool:
    return _coded(value) and _no_port(value)


def _no_parameter(value: bytes) -> bool:
    return _coded(value) and compiled(r"^[a-z_]+=$").search(value) is None


def _no_number(value: bytes) -> bool:
    return _password(value) and not value.isdigit()


def _mixed(value: bytes) -> bool:
    return _coded(value) and any(48 <= byte <= 57 for byte in value) and compiled("[A-Za-z]").search(value) is not None


def _long(value: bytes) -> bool:
    return len(value) >= 16 and is_coded(value) and _any(value)


def _secret(value: bytes) -> bool:
    return is_secret(Kind.SECRET, value, False)


def _coded(value: bytes) -> bool:
    return is_coded(value) and _any(value)


_ARG = r"""(?:["'`]?\s*,?\s+|["'`],\s*|=)"""  # between the words of a command line, also if they are the items of a list
_WORD = r"""\\*["'`]?(?P<secret>[^\s"'`,\\]+)"""
_LINE = r"(?:^|[\s/;|&(\"'`\[])"

RULES: tuple[tuple[str, str, Check], ...] = (
    (
        "url-token",
        r"(?i)(?::|%3a)(?:(?:\\*/|%2f){2})(?P<secret>[^\s/:@\"'<>`\\]{16,})@",
        _long,
    ),
    ("redis-url", r"(?i)\brediss?://(?P<secret>[^\s:@/\"'<>`]+)@", _coded),
    ("config-key", r"(?i)\b(?:jwt|auth|authentication|tokens?|encryption|signing|api|secret|security|hmac|aes)"
                   r"(?:settings|options|config)?:key[\"']?\s*[:=]\s*[\"']?(?P<secret>[^\s\"',;]{8,})", _coded),
    ("leader", r"(?i)\b(?P<name>\w*(?:passw(?:or)?d|passphrase|secret|token))\.{4,}\s*[\"']?(?P<secret>[^\s\"'.][^\s\"']*)",
     _password),
    ("user-info", r"(?i)(?:basic[._-]?auth[\w.-]*|user[._-]?info|user_?pwd)\\*[\"']?\s*(?:=>|[:=])\s*\\*[\"']?[\w.@+-]+:"
                  r"(?P<secret>[^\s\"'\\]+)", _no_number),
    ("azure-account-key", r"(?i)account[._]key[\w.-]*\s*[=:]\s*[\"']?(?P<secret>[\w+/-]{40,}={0,2})", _any),
    ("integration-key", r"(?i)\b(?:routing|integration|service)[-_]?key\\*[\"']?\s*[:=]\s*\\*[\"']?"
                        r"(?P<secret>[0-9a-f]{32}|R[0-9A-Z]{31})\b", _any),
    ("driver-password", r"(?:^|[^\w.-])[\w.-]+:(?P<secret>[^\s\"'@/:]+)@(?:tcp|unix|udp)6?\(", _password),
    ("oracle-password", r"(?i)(?:oracle:(?:thin|oci8?):|sqlplus(?:\s+-\w+)*\s+|imp(?:dp)?\s+"
                        r"|exp(?:dp)?\s+)[\w$#]+/(?P<secret>[^\s@\"'/]+)@", _password),
    ("host-password", r"(?:^|[\s\"'=(,])[\w.-]{1,60}:(?P<secret>[^\s\"'@/:=,()]{4,80})@(?:[\w-]+\.)*[\w-]+(?::\d{2,5}"
                      r"|\.[a-z]{2,})\b", _coded),
    (
        "url-signature",
        r"(?i)[?&;](?:x-amz-signature|x-amz-security-token|x-amz-credential|x-goog-signature|hmac|hash_key|key|code|access_key"
        r"|apikey|sas|auth|token|t|st|hdnts|policy|jwt|ticket|otp|state_token|client_assertion|assertion|samlresponse"
        r"|id_token_hint|pwd|pass)"
        r"=(?P<secret>[^&\s\"'#<>\\]{12,})",
        _coded,
    ),
    ("query-signature", r"(?i)[?&](?:sig|signature)=(?P<secret>[^&\s\"'#<>\\]{3,})", _any),
    (
        "scheme",
        r"(?i)\b(?:bearer|basic|digest|negotiate|ntlm|apikey|splunk|geniekey)(?:\s+|%20"
        r"|\+)(?P<secret>[\w.~+/-]{8,}={0,2})(?:[^\w=]|$)",
        _no_parameter,
    ),
    ("token-scheme", r"(?i)\b[\w-]*token\s+(?P<secret>[\w.~+-]{16,}={0,2})(?:[^\w=/]|$)", _coded),
    ("token-prose", r"(?i)(?:token|(?:api|access|secret|encryption|private|licen[sc]e|signing|auth|app|master|account"
                    r"|enrol?lment|join|bootstrap|activation)[ _-]?key|secret)(?:\s+is)?(?:\s+|\s*\(\s*|:\s*)[\"'`]?"
                    r"(?:(?P<secret>[\w.~+-]{20,}={0,2})(?:[^\w=/]|$)|(?P<secret2>[A-Za-z0-9+/]{40,}={0,2})(?:[^\w=/]|$))",
     _mixed),
    ("signature", r"(?i)\bSignature=(?P<secret>[0-9a-f]{64}|[\w+/%-]{27,}=*)", _any),
    ("secret-id", r"(?i)\bsecret[-_ ]?id\b\\*[\"']?(?:\s*[:=]\s*|\s+)\\*[\"']?"
                  r"(?P<secret>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", _any),
    ("php-serialized", r"""s:\d+:\\*"(?P<name>[\w.-]+)\\*";s:\d+:\\*"(?P<secret>[^"\\]+)""", _secret),
    ("password-set", r"(?i)\bpass(?:word|phrase|code)\b[^:=]{0,40}\b(?:set|changed|reset|updated|initiali[sz]ed"
                     r"|now)\s+(?:from\s+\S+\s+)?(?:to|is)\s+[\"'`]?(?P<secret>[^\s\"'`]+)", _coded),
    ("flag", r"", _any),  # find_flags
    (
        "user-password",
        r"""(?:^|\s|["'`])(?:-u|-U|--user|--proxy-user|--username|--creds|--auth|-a|-creds|-auth|--http-user"""
        r"""|--basic-auth|--src-creds|--dest-creds)"""
        r"""(?:["'`]?,?\s*["'`]?|=["'`]?)(?P<user>[\w.@+\\$-]+)[:%](?P<secret>[^\s"'`,/][^\s"'`]*)""",
        _not_ids,
    ),
    ("mysql-password", rf"{_LINE}(?:mysql\w*|mariadb[\w-]*|mycli|xtrabackup|innobackupex"
                       rf"|percona\S*)\b.*?\s[\"']?-p[\"']?(?P<secret>[^\s\"',]+)", _any),
    (
        "program-password",
        rf"{_LINE}(?:redis-cli|keydb-cli|valkey-cli|sshpass|mongo\w*|ldap\w+|docker|podman|skopeo|buildah|nerdctl|helm"
        rf"|crane|oras|rabbitmqadmin|smbclient|sqlcmd|bcp|isql|osql"
        rf"|kinit|ipmitool|cqlsh|vncviewer|xfreerdp|rdesktop|wget|unzip|zip|7z|plink|pscp|putty|snmpwalk|snmpget"
        rf"|mosquitto_\w+|influx|clickhouse-client|tsql|nats|htpasswd|evil-winrm|crackmapexec"
        rf"|az|oc|pg_dump|kafkacat|logcli|argocd|beeline|useradd|usermod|lftp|mount\S*|hydra)\b.*?[\s\"'](?:-a|-p|-P|-w|-W|-A|-pw"
        rf"|/p:){_ARG}?{_WORD}",
        _no_port,
    ),
    ("user-flag", r"(?:^|\s)(?:-u|-U|-l|--user|--username|--login)[\s=][\"']?[\w.@\\-]+[\"']?\s+-[pPw]\s+[\"']?"
                  r"(?P<secret>[^\s\"']+)", _coded_no_port),
    ("connect-using", r"(?i)\buser\s+\S+\s+using\s+[\"']?(?P<secret>[^\s\"'-]{6,})(?:[\s\"']|$)", _coded),
    ("lftp", r"\blftp\b.*?\s-u\s+[^\s,]+,(?P<secret>\S+)", _any),
    ("snmp-privacy", r"\bsnmp\w+\b.*\s-X\s+[\"']?(?P<secret>[^\s\"']+)", _any),
    ("vault-login", r"\b(?:vault|bao)\s+login\s+(?:-\S+\s+)*[\"']?(?P<secret>[^\s\"'=]{8,})", _coded),
    ("ssh-keygen", r"\bssh-keygen\b.*?\s-[NP]\s+[\"']?(?P<secret>[^\s\"']+)", _any),
    ("openssl-key", r"\bopenssl\b.*?\s-[kK]\s+[\"']?(?P<secret>[^\s\"']+)", _prosaic),
    ("password-word", r"(?i)\bpass(?:word|phrase|code)\s+[\"'`(]?(?P<secret>[^\s\"'`,;:()/=.-]{7,64})[\"'`)]?"
                      r"(?:[\s,;]|\.?$)", _mixed),
    ("cookie-word", r"(?i)\bcookie\s+[\w.-]+=(?P<secret>[^\s;\"']{16,})", _coded),
    ("password-from", r"(?i)\bpass(?:word|phrase|code)\b[^:=]{0,30}\b(?:changed|updated|reset|rotated|set)\s+from\s+"
                      r"[\"'`]?(?P<secret>[^\s\"'`]+)[\"'`]?\s+to\s", _coded),
    ("credentials-pair", r"(?i)\bcredentials?\s*:\s*[\"']?[\w.@-]+\s*/\s*(?P<secret>[^\s\"']+)", _coded),
    ("attached-password", rf"{_LINE}(?:redis-cli|sshpass|sqlcmd|7z|mongo\w*"
                          rf"|smbclient)\b.*?\s-[aPpw](?P<secret>[^\s\"',-][^\s\"',]*)", _prosaic),
    ("positional", r"(?i)\b(?:rabbitmqctl\s+(?:-\S+\s+)*(?:add_user|change_password|authenticate_user)\s+\S+"
                   r"|net\s+user\s+\S+|net\s+use\s+.*?/user:\S+|mc\s+(?:alias|config\s+host)\s+(?:set|add)\s+\S+\s+\S+\s+\S+"
                   r"|htpasswd\s+-\w*b\w*\s+(?:-\S+\s+(?:\d+\s+)?)*\S+\s+\S+|ldappasswd\b.*\s-s|nickserv\s+:?identify|:identify"
                   r"|convertto-securestring(?:\s+-string)?)\s+[\"']?(?P<secret>[^\s\"'/-][^\s\"']*)", _prosaic),
    ("call", r"""(?i)(?:->__construct|\bnew\s+\w+|mysqli?_p?connect|\bgetConnection)\(\s*(?:'[^']*'|"[^"]*"|[\w.$]+)\s*,\s*"""
             r"""(?:'[^']*'|"[^"]*"|[\w.$]+)\s*,\s*(?:'(?P<secret>[^']+)'|"(?P<secret2>[^"]+)")""", _password),
    ("call-auth", r"""(?i)(?:\bauth\s*=\s*|basic_?auth|credentials?|\.userpassword|PasswordAuthentication(?:Token)?)\(\s*"""
                  r"""(?:'[^']*'|"[^"]*"|[\w.$]+)\s*,\s*(?:'(?P<secret>[^']+)'|"(?P<secret2>[^"]+)")""", _password),
    ("openssl-password", r"\b(?:pass|-passin|-passout|-k)(?::|\s+pass:)(?P<secret>[^\s\"'`,]+)", _password),
    ("piped-password", r"""\becho\s+(?:-n\s+)?["']?(?:[\w.-]+:)?(?P<secret>[^\s"'`|$]+)["']?\s*"""
                       r"""\|\s*(?:\S*/)?(?:sudo\s+-S|chpasswd|passwd|docker\s+login|podman\s+login|helm\s+registry"""
                       r"""|su\b|base64|openssl|cryptsetup|kinit|gpg|skopeo|oras|crane|buildah|nerdctl)""",
     _any),
    ("netrc", r"(?i)\b(?:machine|login|account)\s+\S+\s+(?:\S+\s+)*?passw(?:or)?d\s+(?P<secret>[^\s(]\S*)", _prosaic),
    ("announced", r"(?i)\bfollowing\s+(?:[\w-]+\s+)?(?:password|token|key|secret"
                  r"|credentials?)\b[^:]{0,60}:\s*(?P<secret>\S+)\s*$", _prosaic),
    ("password-for", r"(?i)\bpassword\s+for\s+[^:]{1,100}:\s+(?P<secret>\S+)\s*$", _coded),
    ("generated", r"(?i)\b(?:generated|temporary|initial|new|random|one-time)\b[^:]{0,40}\bpassword\b[^:]{0,60}"
                  r":\s*(?P<secret>\S+)\s*$"
                  r"|\bpassword\b[^:]{0,30}\b(?:generated|created|set)\b[^:]{0,40}:\s*(?P<secret2>\S+)\s*$", _prosaic),
    ("password-of", r"\bPASSWORD\s+[\w-]+\s*=\s*(?P<secret>[^\s'\"]+)\s*$", _prosaic),
    ("aws-configure", r"\bconfigure\s+set\s+(?P<name>[\w.-]+)\s+[\"']?(?P<secret>[^\s\"']+)", _any),
    ("user-line", r"(?i)\b(?:user|username)\s+\S+\s+(?:[\w-]+-)?(?:password"
                  r"|secret)\s+(?:\d\s+)?(?P<secret>[^\s=:'\"][^\s'\"]*)\s*$", _prosaic),
    ("curl-cookie", r"""\bcurl\b.*\s(?:-b|--cookie)[\s=]["']?[\w.-]+=(?P<secret>[^\s"';]+)""", _any),
    ("netrc-line", r"^(?:\S+Z std(?:out|err) F )?\s*password\s+(?P<secret>[^\s(]\S*)\s*$", _prosaic),
    ("pgpass", r"^(?:\S+Z std(?:out|err) F )?[\w.*-]+:(?:\d{2,5}|\*):[\w.*-]+:[\w.*-]+:(?P<secret>[^\s:]\S*)\s*$", _no_address),
    ("sql-password", r"""(?i)\b(?:identified\s+(?:\w+\s+){0,3}(?:by|as)(?:\s+password)?|(?:encrypted\s+)?password"""
        r"""|passwd|with\s+password\s*=?|old_password|password\(|sha2\(|md5\(|crypt\()\s*\(?\s*\\*"""
        r"""'(?P<secret>[^'\s]+)\\*'""", _password),
    ("sql-secret", r"""(?i)\b(?:secret|access_key|aws_secret_key|key_id|token|api_key"""
                   r"""|credentials)\s+\\*'(?P<secret>[^'\s]{8,})'""", _coded),
    ("sql-identified", r"""(?i)\bidentified\s+by\s+\\*"(?P<secret>[^"\\\s]+)\\*\"""", _any),
    ("redis-auth", r"""(?:^|[\s"'\]>*])(?:AUTH|auth)["']?\s+(?:["'](?P<user>[\w.-]+)["']\s+)?["']"""
        r"""(?P<secret>[^"']+)["']""", _password),
    ("protocol-password", r"(?:^|[\s>:\]\"'])(?:PASS|AUTH(?:\s+(?:PLAIN|LOGIN|XOAUTH2|default"
                          r"|\w{1,30}))?)\s+(?P<secret>[^\s\"']+)\s*(?:$|\\r|\r|[\"'])", _no_test),
    ("imap-login", r"(?i)\bLOGIN\s+\"?[\w.@+-]+\"?\s+\"?(?P<secret>[^\s\"]+)\"?\s*(?:$|\\r|\r)", _coded),
    ("config-password", r"(?i)\b(?:requirepass|masterauth|bindpw|rootpw|ldap_bind_password|auth_pass|auth-pass\s+\S+"
                        r"|neighbor\s+\S+\s+password|snmp-server\s+community|enable\s+secret\s+\d?"
                        r"|username\s+\S+\s+password\s+\d?)\s+[\"'>]?(?P<secret>[^\s\"']+)", _prosaic),
    ("redis-acl", r"(?i)\b(?:ACL\"?\s+\"?SETUSER\b|user\s+\S+\s+on\b).*?[\s\"]>(?P<secret>[^\s\"]+)", _any),
    ("dockerfile", r"(?i)(?:^|\s)(?:ENV|ARG|setenv)\s+(?P<name>[\w.-]*(?:passw(?:or)?d|secret|token|api_?key|_pass|_pwd"
                   r"|_key))\s+(?P<secret>[^\s\"'=]+)\s*$", _secret),
    ("property", r"(?i)(?:^|\s)(?P<name>[a-z][\w-]*(?:\.[\w-]+)*\.[\w-]*(?:passw(?:or)?d|passphrase|secret|secret[._-]?key"
                 r"|[._-]token))\s+(?P<secret>[^\s=:]\S*)\s*$", _coded),
    ("kubectl-literal", r"--from-literal[=\s]+[\"']?[\w.-]+=(?P<secret>[^\s\"']+)", _any),
    ("xml", r"""(?i)<(?:\w+:)?(?P<name>[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|credentials?|api[-_.]?key"""
            r"""|[-_.]?(?:access|private|secret|account|encryption|signing|master|shared|license)[-_.]?key|authorization"""
            r"""|pwd|[-_.]pass))(?:\s[^<>]*)?>(?:<!\[CDATA\[)?(?P<secret>[^<>\]]+)(?:\]\]>)?</""", _secret),
    ("xml-escaped", r"""(?i)(?:&lt;|\\+u003c)(?:\w+:)?(?P<name>[\w.-]*(?:passw(?:or)?d|passphrase|secret|token"""
                    r"""|api[-_.]?key|pwd))(?:&gt;|\\+u003e)(?P<secret>[^<>&\\]+)(?:&lt;|\\+u003c)""", _secret),
    ("plist", r"""(?i)<key>(?P<name>[\w .-]+)</key>\s*<string>(?P<secret>[^<>]+)<""", _secret),
    ("form-part", r"""(?i)\bname=\\*["'](?P<name>[\w.-]*(?:passw(?:or)?d|token|secret|pwd))\\*["'](?:(?:\\r)?\\n){2}"""
                  r"""(?P<secret>[^\s\\]+)""", _secret),
    (
        "pair",
        r"""(?i)\b\\*["'`]?(?:name|key|parameterkey|id|variable|field|param|header|property|env_?var|k|option)\\*["'`]?\s*(?:[:=]"""
        r"""|=>)\s*(?P<quote>\\*["'`]?)(?P<name>[\w.$/-]+)\\*["'`]?\s*[,;\s}]?\s*"""
        r"""(?:[A-Za-z]{1,16}=\\*["'][^"']{0,30}["']\s+)?\\*["'`]?(?:value|parametervalue|val|v|content|default"""
        r"""|data)\\*["'`]?\s*(?:[:=]|=>)\s*\\*["'`]?(?P<secret>[^"'`\s,}\\]+)""",
        _secret,
    ),
    (
        "pair-reversed",
        r"""(?i)\b\\*["'`]?(?:value|val)\\*["'`]?\s*(?:[:=]"""
        r"""|=>)\s*(?:\\*["'`])(?P<secret>[^"'`\\]+)\\*["'`]\s*[,;\s]\s*\\*["'`]?(?:name|key)\\*["'`]?\s*(?:[:=]"""
        r"""|=>)\s*\\*["'`]?(?P<name>[\w.$/-]+)""",
        _secret,
    ),
    ("entry", r"""(?i)<(?:entry|property|string|param|item|var|env|setting|arg|data)\s+(?:key|name"""
              r"""|id)=["'](?P<name>[\w.-]+)["'][^<>]*>(?P<secret>[^<>]+)<""", _secret),
    ("form-data", r"""(?i)form-data;\s*name=\\*["'](?P<name>[\w.-]+)\\*["'](?:\\r\\n|\\n|\s)+(?P<secret>[^\s\\]+)""", _secret),
    ("kubernetes-secret", r"", _any),  # find_secret_data
    ("docker-auth", r"""\\*"auth\\*"\s*:\s*\\*"(?P<secret>[A-Za-z0-9+/]{8,}={0,2})\\*\"""", _any),
    ("age-shamir", r"\b(?i:unseal key(?: \d+)?|recovery key(?: \d+)?|initial root token"
                   r"|root token)\s*:\s*(?P<secret>\S{10,})", _any),
    ("basic-pair", r"(?i)\b(?:login|log in|logged in|authenticat\w+|credentials?|creds|connecting"
                   r"|connect)\b[^:=]{0,40}?\s[\"'(]?(?P<user>[\w.-]+@?[\w.-]*)[:/]"
        r"(?P<secret>[^\s\"'@/:,()]{4,})[\"')]?(?:\s|$)", _coded),
    ("shadow", r"(?:^|\s)[a-z_][\w-]*:(?P<secret>\$?[./A-Za-z0-9$=,]{13,}):\d{4,6}:\d*:\d*:", _any),
    ("var-dump", r"""(?i)\[\\*["']?(?P<name>[\w.-]+)\\*["']?(?::\\*["']?\w+\\*["']?)?\]"""
        r"""\s*=>\s*(?:string\(\d+\)\s*)?\\*["']?(?P<secret>[^"'\s\\\])]+)""", _secret),
    ("ssh-config", r"(?i)\b(?:psk|wpa_passphrase|preshared-key|PresharedKey|PrivateKey|private-key)"
        r"\s*=?\s*[\"']?(?P<secret>[A-Za-z0-9+/]{40,44}=?)", _any),
)  # fmt: skip


def find_context(name: str, pattern: Any, check: Check, line: bytes) -> Iterator[Span]:
    """Yield the secrets that a rule's pattern finds in a line."""
    named = b"name" in pattern.groupindex
    second = b"secret2" in pattern.groupindex
    for match in pattern.finditer(line):
        if second and match.group(b"secret2") is not None:
            if check(match.group(b"secret2")):
                yield span(match, "secret2")
            continue
        if named:
            kind = kind_of(match.group(b"name").decode("utf-8", "replace"))
            if kind is None or not is_secret(kind if kind in _JUDGED else Kind.SECRET, match.group(b"secret"), False):
                continue
            if kind in HEADERS:
                yield from header_values(line, *span(match, "secret"), kind, False)
                continue
        if check(match.group(b"secret")):
            if name == "user-password" and match.group(b"user").isdigit() and match.group(b"secret").isdigit():
                continue
            yield span(match, "secret")


_JUDGED = frozenset({Kind.PASSWORD, Kind.SECRET, Kind.WEAK, Kind.PASS, Kind.CODE, Kind.HASH, Kind.OBJECT})

FLAG = (
    r"""(?i)(?:^|[\s"'`\[(,])(?:--?|/)(?P<name>[\w.-]*(?:passw(?:or)?d|passphrase|passcode|secret|token|credentials?"""
    r"""|creds|requirepass|masterauth|key"""
    r"""|pass|pwd|auth|cookie|pw|authorization|stdin)s?)(?P<gap>["'`]?,?\s+"""
    r"""|\\*["'`]\s*,\s*)(?P<quote>\\*["'`]?)(?P<first>[^\s"'`])"""
)


def find_flags(line: bytes) -> Iterator[Span]:
    """Yield the values of flags: `--password x`, `"--token", "x"`."""
    flag, at = compiled(FLAG), 0
    while (match := flag.search(line, at)) is not None:
        at = span(match, "name")[1]  # the value of a flag may itself be the next flag
        kind = kind_of(match.group(b"name").decode())
        start = span(match, "first")[0]
        if kind is None or match.group(b"first") in b"-|><=:;,":
            continue
        if line[at - len(match.group(b"name")) - 1 : at - len(match.group(b"name"))] == b"/" and kind is not Kind.PASSWORD:
            continue  # a path, `/token`, and no flag of Windows
        quote = match.group(b"quote")
        if quote:
            end = quoted_end(line, start, quote)
        else:
            found = compiled(r"""\\*["'`\s,\]]""").search(line, start)
            end = found.start() if found else len(line.rstrip(b"\r\n"))
            if match.group(b"name").upper().endswith(line[start:end]):
                continue  # the usage of a command: `--token TOKEN`
        kind = kind if kind in _JUDGED else Kind.SECRET
        prose = b"," not in match.group(b"gap") and not quote and kind is not Kind.SECRET
        if is_secret(
            Kind.SECRET if kind is Kind.OBJECT else kind,
            line[start:end],
            prose,
        ):
            yield start, end


URL = r"(?i)(?::|%3a)(?:\\*/|%2f){2}[^\s\"'<>`/@]*(?::|%3a)"


def find_urls(line: bytes) -> Iterator[Span]:
    """Yield the passwords of URLs. A password may contain `:` and `@`, and `/` if it does not begin like a port."""
    starts = [match.end() for match in compiled(r"(?i)(?::|%3a)(?:\\*/|%2f){2}").finditer(line)]
    for start, following in zip(starts, [*starts[1:], len(line)], strict=True):
        if line.find(b"@", start, following) < 0 and line.find(b"%40", start, following) < 0:
            continue
        found = compiled(r"""[^\s"'<>`]*""").match(line, start, following)
        run = found.group() if found else b""
        run = compiled(r"""\\+[nrt"].*$|[,;|]\s?[a-zA-Z][\w+.-]*(?::|%3A)(?:\\*/|%2F){0,2}$""").sub(b"", run)
        colon = compiled(r"(?i):|%3a").search(run)
        if colon is None:
            continue
        authority = run.partition(b"/")[0].partition(b"?")[0].partition(b"#")[0]
        end = authority.rfind(b"@")
        if end < 0 and colon.group() != b":":
            end = authority.find(b"%40")
        if end < 0 and compiled(r"^\d{1,5}(?:[/?#]|$)").search(run[colon.end() :]) is None and colon.start() < len(authority):
            end = run.rfind(b"@")
        if colon.end() < end and b"/" not in run[: colon.start()] and _any(run[colon.end() : end]):
            yield start + colon.end(), start + end
