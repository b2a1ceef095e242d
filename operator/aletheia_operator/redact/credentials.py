"""Removes literal credentials from Kubernetes objects: values that belong into a Secret but stand elsewhere. Best effort, pure.

Removed are: the value of a variable, header, annotation or option whose name says that it is a credential; and in any text the
passwords of URLs, connection strings and command lines, private keys, and tokens of a known form. Nothing of a value is kept.
A digest is not kept either: a short password can be found from it.

Every pattern runs in RE2, in time linear in the text, which an attacker may have written. Do not call it on the event loop.
"""

from functools import lru_cache
from typing import Any

import re2

REDACTED = "[redacted]"

_KEYS = (  # what stands before KEY in the name of a secret one; public, primary, partition, cache, ... keys are none
    "access|account|admin|aes|api|app|auth|cipher|client|consumer|crypt|crypto|deploy|encryption|encrypt|hmac|jwt|license"
    "|license|master|private|root|rsa|secret|service|session|shared|shared[-_.]?access|signing|sign|signature|ssh|storage"
    "|subscription|webhook"
)
_WORD = (  # found anywhere before the end of a name, however it is joined
    rf"passw(?:or)?d|passphrase|passcode|secret|token|credentials?|creds|authorization|cookie|requirepass|masterauth"
    rf"|(?:{_KEYS})[-_.]?key|access[-_.]?key[-_.]?id|secret[-_.]?key[-_.]?base|connection[-_.]?string|conn[-_.]?str"
    rf"|shared[-_.]?access[-_.]?signature|webhook[-_.]?url"
)
_SHORT = r"pass|pwd|pw|auth|otp|dsn|salt|pin|sas"  # only behind a separator, or a lower-case letter in camel case
_END = r"s?(?:[-_.]?(?:value|plain|base64|b64|raw|text|old|new|prev|previous|current|\d+))?"
_NAME = re2.compile(rf"(?i:{_WORD}){_END}$|(?:[-_.](?i:{_SHORT})|[a-z](?:Pass|Pwd|Pw|Auth|Dsn|Otp)|^(?i:pass|auth)){_END}$")
_PLAIN_FILE = re2.compile(r"^(?:/[\w.-]+)+\.(?:key|pem|crt|cer|jks|p12|pfx|json|txt|ya?ml|conf|properties|env)$")

_BEFORE = rf"[\w.-]*(?:{_WORD})|[\w.-]*[-_.](?:pwd|pass|pw)|\b(?:pwd|pass|pw)"  # of a value in a text
_QUOTED = r"""(?:\\*"(?:[^"\\]|\\[^"])*\\*"|'[^']*')"""
_VALUE = r"""(?:[^\s"'$/]|\$[^({\s"']|/[^\s/]+[^\s\w./-])\S*"""  # no reference to a variable, no path
_CODED = r"(?:[A-Za-z._~/-]*[0-9+=][\w.~+/=-]{6,}|[\w.~+/-]{6,}[0-9+=][\w.~+/=-]*|[A-Za-z]{20,})"  # no word of a language
_TOKENS = (
    r"gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|gl(?:pat|dt|rt|ptt|soat|cbt|ft|agent)-[\w.-]{16,}"
    r"|xox[a-z](?:-[\w]+)+|xapp-[\w-]{10,}|(?:sk|rk)_(?:live|test)_\w{10,}|whsec_\w{16,}|sk-(?:[a-z]+\d*-)*[\w-]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w.-]{20,}|GOCSPX-[\w-]{20,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|npm_\w{30,}|pypi-[\w-]{40,}|dckr_(?:pat|oat)_[\w-]{20,}|do[opr]_v1_\w{40,}"
    r"|hv[sbr]\.[\w-]{20,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{20,}|lin_api_\w{20,}|AGE-SECRET-KEY-1[A-Z0-9]{20,}"
    r"|hf_[A-Za-z0-9]{20,}|dapi[a-f0-9]{32}|PMAK-[\w-]{30,}|glsa_\w{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\d{8,10}:AA[\w-]{32,}"
)
_PEM = "PRIVATE KEY(?: BLOCK)?-----"
_KEYED = re2.compile(f"(?i:{_BEFORE})")
_RULES = tuple(  # words of which a text has one in small letters, or (empty) what _KEYED finds; pattern; replacement
    (words, re2.compile(pattern), replacement)
    for words, pattern, replacement in (
        (("private key",), rf"(?s)-----BEGIN [A-Z0-9 ]*{_PEM}.*?(?:-----END [A-Z0-9 ]*{_PEM}|$)", REDACTED),
        (("@",), r"""(://[^/\s:@"'<>]*):[^/\s"'<>]+@""", rf"\1:{REDACTED}@"),
        (("@",), r"""(://)[^/\s:@"'<>]{16,}@""", rf"\1{REDACTED}@"),
        (("@tcp", "@unix"), r"""(\b[\w.-]+):[^\s"'@/:]+@((?:tcp|unix)6?\()""", rf"\1:{REDACTED}@\2"),  # of Go's MySQL driver
        (("hooks",), r"(\bhooks\.slack\.com/(?:services|workflows)/|/api/webhooks/)[\w/-]+", rf"\1{REDACTED}"),
        (
            ("authorization",),
            r"""(?i)\b((?:proxy-)?authorization["']?\s*[:=]\s*["']?(?:\w+\s+)?)[^\s"',;]{4,}""",
            rf"\1{REDACTED}",
        ),
        (("bearer", "basic", "digest", "token"), rf"(?i)\b(bearer|basic|digest|token)(\s+){_CODED}", rf"\1\2{REDACTED}"),
        ((), rf"""(?i)((?:{_BEFORE})\\*["']?\s*(?:=>|[:=])\s*){_QUOTED}""", rf"\1{REDACTED}"),
        ((), rf"(?i)((?:{_BEFORE})=){_VALUE}", rf"\1{REDACTED}"),
        ((), rf"(?im)(^\s*(?:- )?(?:{_BEFORE})\s*:\s+){_VALUE}[ \t]*$", rf"\1{REDACTED}"),
        ((), rf"""(?i)(["'](?:{_BEFORE})\s*:\s*)[^\s"']+""", rf"\1{REDACTED}"),
        ((), rf"(?i)((?:^|\s)--?(?:{_BEFORE})\s+)(?:[^\s$-]|\$[^({{\s])\S*", rf"\1{REDACTED}"),
        (("-u",), r"""((?:^|\s)(?:-u|-U|--user|--proxy-user)(?:\s+|=)?["']?[\w.@+-]+[:%])[^\s"'/]+""", rf"\1{REDACTED}"),
        (
            ("mysql", "mariadb"),
            r"((?:^|[\s/])(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)\s(?:.*\s)?-p)[^\s]+",
            rf"\1{REDACTED}",
        ),
        (
            ("redis-cli", "sshpass", "mongo", "ldapsearch"),
            r"((?:^|[\s/])(?:redis-cli|sshpass|mongo|mongosh|ldapsearch)\s(?:.*\s)?-[apw]\s*)[^\s-]\S*",
            rf"\1{REDACTED}",
        ),
        (("machine",), r"(\bmachine\s+\S+\s+login\s+\S+\s+password\s+)\S+", rf"\1{REDACTED}"),
        (("sig", "key="), r"([?&](?i:sig|key|signature|x-amz-signature)=)[^&\s\"']+", rf"\1{REDACTED}"),
    )
)
_TOKEN = re2.compile(rf"(^|[^\w-])(?:{_TOKENS})")
_LITERALS = "|".join(sorted({re2.escape(word) for words, _, _ in _RULES for word in words}))
_HINT = re2.compile(rf"(?i:{_BEFORE}|{_LITERALS})|(?:^|[^\w-])(?:{_TOKENS})")  # no rule changes a text without one
_OWN = frozenset({  # fields of Kubernetes' own that hold names and places, however they are called
    "name", "namespace", "secretName", "serviceAccountName", "serviceAccount", "key", "path", "mountPath", "image", "imageID",
    "containerID", "uid", "kind", "apiVersion", "resourceVersion", "creationTimestamp", "nodeName", "phase", "type", "status",
    "reason", "pod-template-hash", "lastTransitionTime", "lastProbeTime", "startedAt", "finishedAt", "hostIP", "podIP", "ip",
    "protocol", "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "restartPolicy", "dnsPolicy",
    "schedulerName", "operator", "effect", "qosClass", "fieldPath", "resource",
})  # fmt: skip
_SAFE = frozenset({
    "", "true", "false", "yes", "no", "on", "off", "none", "null", "basic", "oidc", "ldap", "enabled", "disabled", "file",
})  # fmt: skip
_REFERENCE = re2.compile(r"^\$[({]\w+[)}]$")  # to another variable
MIN_LENGTH = 6  # of a text that can hold a credential and what tells it
_MAX_COUNT = 7  # digits of a number of tokens


@lru_cache(4096)
def is_credential(name: str) -> bool:
    """Return whether a variable, header, annotation or option of this name holds a credential."""
    return _NAME.search(name) is not None


def redact_value(name: str, value: str) -> str:
    """Return the value of a variable, header, annotation or option with this name, without credentials."""
    if not is_credential(name) or value.lower() in _SAFE or _PLAIN_FILE.match(value) or _REFERENCE.match(value):
        return redact_text(value)
    counts = name.lower().endswith("tokens") and value.isdecimal() and len(value) <= _MAX_COUNT
    return value if counts else REDACTED


def redact_text(text: str) -> str:
    """Return a text, for example an argument or a message, without credentials."""
    if len(text) < MIN_LENGTH or not _HINT.search(text):
        return text
    small = text.lower()
    keyed = _KEYED.search(text) is not None
    for words, pattern, replacement in _RULES:
        if any(word in small for word in words) if words else keyed:
            text = pattern.sub(replacement, text)
    return str(_TOKEN.sub(rf"\1{REDACTED}", text))


def redact_spec(spec: Any) -> int:
    """Redact an object, or a part of one, in place, at any depth. Returns how many values changed.

    Checks `{name, value}` pairs, the words of `command` and `args`, and every text. A text below a key whose name says that it
    is a credential is removed whole. References (`name`, `secretName` and the like) stay as they are.
    """
    changed = 0
    waiting = [spec]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            changed += _redact_list(part)
            waiting += [value for value in part if isinstance(value, (dict, list))]
        elif isinstance(part, dict):
            changed += _redact_map(part)
            waiting += [value for value in part.values() if isinstance(value, (dict, list))]
    return changed


def _redact_list(values: list[Any]) -> int:
    """Redact the texts of a list. If one is a flag for a credential, for example `--password`, the next is its value."""
    if not any(isinstance(one, str) for one in values):
        return 0
    changed = 0
    program = _program(values)
    for i, word in enumerate(values):
        if not isinstance(word, str):
            continue
        flag = values[i - 1] if i and isinstance(values[i - 1], str) else ""
        kept = _behind(flag, word, program)
        changed += kept != word
        values[i] = kept
    return changed


_USER_FLAGS = ("-u", "-U", "--user", "--proxy-user")
_FLAGS = {  # of programs whose password flag does not say so
    "redis-cli": ("-a",), "sshpass": ("-p",), "mongo": ("-p",), "mongosh": ("-p",), "mongodump": ("-p",), "ldapsearch": ("-w",),
    "docker": ("-p",), "podman": ("-p",), "skopeo": ("-p",), "helm": ("-p",),
}  # fmt: skip
_ATTACHED = ("mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump")  # -pPASSWORD


def _program(words: list[Any]) -> str:
    return str(words[0]).rpartition("/")[2]


def _behind(flag: str, word: str, program: str) -> str:
    """Return `word` without credentials. `flag`: the word before it. `program`: the command that gets them."""
    name = flag.lstrip("-")
    alone = flag.startswith("-") and "=" not in flag and " " not in flag
    if alone and not word.startswith("-") and (is_credential(name) or flag in _FLAGS.get(program, ())):
        return word if _REFERENCE.match(word) else REDACTED
    user, colon, password = word.partition(":")
    if flag in _USER_FLAGS and colon and not password.startswith("//") and " " not in word:
        return word if user.isdecimal() and password.isdecimal() else f"{user}:{REDACTED}"  # as numbers they are ids
    if program in _ATTACHED and word.startswith("-p") and len(word) > 2:
        return f"-p{REDACTED}"
    return redact_text(word)


def _redact_map(values: dict[str, Any]) -> int:
    changed = 0
    name = values.get("name")
    for key, value in values.items():
        if not isinstance(value, str) or key in _OWN:
            continue
        meant = name if key == "value" and isinstance(name, str) else key.rpartition("/")[2]  # annotations have a prefix
        kept = redact_value(meant, value)
        changed += kept != value
        values[key] = kept
    return changed
