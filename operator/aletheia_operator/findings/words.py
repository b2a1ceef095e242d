"""Recognises words that many programs use in logs: refused, timed out, not resolved, expired, full. Pure.

All patterns are for RE2: their time is linear in the text.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from aletheia_operator.api.expressions import compiled

MAX_TEXT = 600  # characters of a line that are read

WORDS = {
    "certificate": r"certificate has expired|x509: |CERTIFICATE_VERIFY_FAILED|certificate verify failed|unknown authority"
    r"|PKIX path|SSLHandshakeException|tls: (?:bad|expired|failed|unknown|handshake|first record)"
    r"|certificate is not (?:yet )?valid|CertificateExpiredException|self[- ]signed certificate"
    r"|remote error: tls|CERT_HAS_EXPIRED",
    "credentials": r"token (?:has |is )?expired|jwt expired|ExpiredToken|TokenExpired|invalid_grant|Signature has expired"
    r"|ExpiredSignature|credentials? (?:have |has )?expired|password authentication failed|Access denied for user"
    r"|authentication failed|invalid (?:username or )?password|401 Unauthorized|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|NOAUTH|WRONGPASS|role \S+ does not exist",
    "dns": r"no such host|could not resolve|couldn't resolve|Name or service not known|Temporary failure in name resolution"
    r"|EAI_AGAIN|ENOTFOUND|UnknownHostException|nodename nor servname|NXDOMAIN|SERVFAIL|server misbehaving"
    r"|failed to lookup address|Name does not resolve|host not found in upstream|getaddrinfo failed"
    r"|could not translate host name|bad address '",
    "refused": r"connection refused|ECONNREFUSED|actively refused|failed to connect|Connect call failed|unable to connect"
    r"|could not connect|cannot connect|can't connect|no healthy upstream|no live upstreams|connect error",
    "timeout": r"i/o timeout|timed out|ETIMEDOUT|deadline exceeded|SocketTimeoutException|ConnectTimeout|ReadTimeout"
    r"|connect timeout|TimeoutError|Client\.Timeout|upstream request timeout|timeout awaiting|timeout expired",
    "unreachable": r"no route to host|EHOSTUNREACH|network is unreachable|ENETUNREACH|connection reset by peer|ECONNRESET"
    r"|broken pipe|EPIPE|upstream prematurely closed",
    "connections": r"too many connections|remaining connection slots|pool exhausted|QueuePool limit|Connection is not available"
    r"|too many clients|connection pool (?:is )?(?:full|timeout)|max_connections",
    "locks": r"deadlock detected|Deadlock found|Lock wait timeout|could not obtain lock|database is locked",
    "processes": r"unable to create (?:new )?native thread|OutOfMemoryError: unable to create|can't fork|pthread_create failed"
    r"|fork: (?:retry|Resource)|fork/exec \S{1,100}: resource temporarily unavailable|can't start new thread|BlockingIOError",
    "memory": r"OutOfMemoryError|out of memory|Cannot allocate memory|MemoryError|heap out of memory|ENOMEM|std::bad_alloc"
    r"|memory allocation of \d+ bytes failed",
    "disk": r"No space left on device|ENOSPC|disk (?:is )?full|Disk quota exceeded|Read-only file system|EROFS|disk I/O error"
    r"|space exceeded|ENOSPACE|NOSPACE|volume is full|disk quota|flood[- ]stage|low on disk|out of disk",
    "readonly": r"read[- ]only (?:option|mode|transaction|replica|database|instance|connection)|READONLY You can't write",
    "files": r"too many open files|EMFILE",
    "permission": r"permission denied|EACCES|Operation not permitted|EPERM|is forbidden: User"
    r"|is not authorized to|AccessDenied|not authorized on|permission_denied",
    "address": r"address already in use|EADDRINUSE|Only one usage of each socket address",
    "missing": r"no such file or directory|ENOENT|FileNotFoundError|Cannot find module|ModuleNotFoundError"
    r"|ClassNotFoundException|NoClassDefFoundError|exec format error|executable file not found"
    r"|cannot open shared object file|command not found|sh: (?:line )?[0-9: ]{0,8}\S{1,80}: not found",
    "settings": r"(?:environment variable|env var|setting|config(?:uration)?(?: key| value)?) \S{0,80} ?(?:is )?"
    r"(?:not set|missing|required|invalid)|missing required|is required but|must be set"
    r"|(?:unrecognized|unknown|invalid|illegal|unexpected) (?:option|argument|flag|command)"
    r"|flag provided but not defined|requires an argument|KeyError: '[A-Z_]+'|unknown flag|invalid config"
    r"|failed to (?:load|parse) config|unbound variable",
    "schema": r"relation \S+ does not exist|no such table|Unknown column|column \S+ does not exist|Undefined(?:Table|Column)"
    r"|Table '\S+' doesn't exist|Dirty database version|migration checksum mismatch|pending migrations?",
    "clock": r"clock skew|clock (?:has )?(?:jumped|stepped|moved|went)|time (?:has )?(?:jumped|went|moved) (?:back|forward)"
    r"|Clock drift|RequestTimeTooSkewed|token used before issued|not yet valid|skew too great",
    "limited": r"Too Many Requests|rate limit|ThrottlingException|Throttled|RESOURCE_EXHAUSTED|quota exceeded",
}  # fmt: skip
"""Patterns by category; the first match counts. Case is ignored."""

CALLS = frozenset({"dns", "refused", "timeout", "unreachable"})
"""Categories of failed calls to other programs."""

_HOST = r"([a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?)"
_PEERS = (
    r"UnknownHostException: " + _HOST,
    r"(?:bad address|can't find) '?" + _HOST,
    r"host \(((?:\d{1,3}\.){3}\d{1,3})\)",
    r"dial (?:tcp|udp)[46]? (?:lookup )?" + _HOST,
    r"lookup " + _HOST,
    r"(?:https?|grpc|postgres(?:ql)?|mysql|redis|amqp|mongodb|nats|tcp|jdbc:[a-z]+)://(?:[^@/\s]{1,100}@)?" + _HOST,
    r"(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET|EHOSTUNREACH)[: ]+" + _HOST,
    r"host(?:name)?[=:]? ?['\"]?" + _HOST,
    r"resolve (?:host(?:name)?:? )?['\"]?" + _HOST,
    r"(?:connect(?:ing|ion)?|connected) (?:to|with) (?:server (?:at|on) )?['\"(]?(?:[A-Za-z]+/)?" + _HOST,
    r"\b([a-z][a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63}){0,5}):\d{2,5}\b",
    r"\b((?:\d{1,3}\.){3}\d{1,3}):\d{2,5}\b",
    r"\b([a-z][a-z0-9-]{0,62}) (?:refused|timed out|did not answer|does not answer|is unreachable|unavailable)",
)
_NO_PEERS = frozenset({
    "remote", "the", "a", "an", "to", "be", "server", "host", "name", "database", "connect", "connection", "localhost", "is",
    "request",
    "call", "read", "write", "not", "error", "upstream", "tcp", "http", "https", "service", "was", "operation", "on",
})  # fmt: skip


CAUSED_BY = "Caused by: "
_HEADS = ("panic: ", "fatal error: ", "fatal runtime error: ")
_ERROR_FIELDS = ("error", "err", "exception", "cause", "reason", "detail")


def words_of(entry: Mapping[str, Any]) -> str:
    """Return the text of a log line: its message, with the head of a crash if it has one, and the error in its fields.

    Structured lines often have the cause in another field: `charge failed` and `x509: certificate has expired`.
    """
    line, message = str(entry.get("line") or ""), str(entry.get("message") or "")
    if not message:
        return line
    before = line[: -len(message)] if line.endswith(message) else ""
    text = message
    if before.lower().endswith(_HEADS):
        head = next(known for known in _HEADS if before.lower().endswith(known))
        text = before[len(before) - len(head) :] + message
    fields = entry.get("fields")
    if not fields or not isinstance(fields, Mapping):
        return text
    for name in _ERROR_FIELDS:
        error = fields.get(name)
        if error is None:
            continue
        if isinstance(error, Mapping):
            error = error.get("message") or error.get("msg")
        if isinstance(error, str) and error and error not in text:
            return f"{text}: {error}"
    return text


_WRAPPERS = (
    "error during container init: ", "unable to start container process: ", "runc create failed: ",
    "OCI runtime create failed: ", "failed to create shim task: ", "failed to create containerd task: ",
)  # fmt: skip


def runtime_words(message: str) -> str:
    """Return the message of a container runtime, without the prefixes of the layers that wrap it."""
    return next((message.rpartition(wrapper)[2] for wrapper in _WRAPPERS if wrapper in message), message)


@lru_cache(maxsize=1)
def _by_category() -> Any:
    return compiled("|".join(f"(?P<{name}>{pattern})" for name, pattern in WORDS.items()), case_sensitive=False)


@lru_cache(maxsize=1)
def any_word() -> Any:
    """Return a pattern over bytes that matches any of the words."""
    return compiled("|".join((*WORDS.values(), CAUSED_BY)).encode(), case_sensitive=False)


@lru_cache(maxsize=1)
def _peers() -> tuple[Any, ...]:
    return tuple(compiled(pattern, case_sensitive=False) for pattern in _PEERS)


def category_of(text: str) -> str:
    """Return the category of a line; '' for a line without such words."""
    match = _by_category().search(text[:MAX_TEXT])
    return match.lastgroup or "" if match else ""


def category_span(text: str) -> tuple[int, int] | None:
    """Return start and end of the words that give a line its category; None for a line without such words."""
    match = _by_category().search(text[:MAX_TEXT])
    return match.span() if match else None


def peer_of(text: str) -> str:
    """Return the host that does not answer according to a line, in lower case; '' if the line has none."""
    text = text[:MAX_TEXT]
    for pattern in _peers():
        for match in pattern.finditer(text):
            host = match.group(1).lower().rstrip(".")
            if host not in _NO_PEERS and not host.isdigit() and len(host) > 1:
                return str(host)
    return ""
