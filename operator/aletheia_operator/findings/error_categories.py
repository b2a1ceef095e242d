"""Finds the category of a log line by words that many programs use: refused, timed out, not resolved, expired, full. Pure.

All patterns are for RE2: their time is linear in the text.
"""

from functools import lru_cache
from typing import Any

from aletheia_operator.api.expressions import compiled, compiled_once

MAX_TEXT = 600  # characters of a line that are read

CATEGORIES = {
    "pauses": r"\bGC\(\d+\) Pause [^\"\n]* \d{4,9}(?:\.\d+)?ms"
    r"|(?:\[(?:Full GC\b|GC\b(?: [^c\"\n]| cl|[^ \"\n]))|\bGC pause\b)[^\"\n]*, [1-9]\d{0,3}\.\d+ secs"
    r"|Allocation Stall \([^\"\n)]*\) \d{4,9}(?:\.\d+)?ms|(?:Mark-sweep|Mark-Compact)\b[^\"\n]* MB, \d{4,9}(?:\.\d+)? / "
    r"|\[gc\]\S*[ \]][^\n]*\b(?:spent|duration) \[[1-9]\d{0,3}(?:\.\d+)?[sm]\]"
    r"|application threads were stopped: [1-9]\d{0,3}\.\d+ seconds"
    r"|\bGC in \d{4,9} ?ms|pause in JVM or host machine [^\n]*approximately \d{4,9} ?ms"
    r"|\b(?:garbage collect(?:ion|or)s?|GC|stop[- ]the[- ]world)\b[^\"\n]* (?:paused?|took|lasted|blocked|spent)"
    r" (?:[a-z]+ ){0,4}(?:\d{4,9} ?ms|[1-9]\d{0,3}(?:\.\d+)? ?s(?:ec(?:ond)?s?)?)\b",
    "migrations": r"migration checksum mismatch|applied migration not resolved"
    r"|detected (?:failed|applied) migration|Dirty database version"
    r"|locate revision"
    r"|changesets? check ?sum|InconsistentMigrationHistory|migrate found failed migrations|a migration failed to apply"
    r"|missing migrations? before current version|(?:out[- ]of[- ]order|conflicting) migrations?",
    "certificate": r"certificate has expired|x509: |CERTIFICATE_VERIFY_FAILED|certificate verify failed|unknown authority"
    r"|PKIX path|SSLHandshakeException|tls: (?:bad|expired|failed|unknown|handshake|first record)"
    r"|certificate is not (?:yet )?valid|CertificateExpiredException|self[- ]signed certificate|CERT_ALTNAME"
    r"|does(?:n't| not) match (?:the )?certificate|certificate (?:does(?:n't| not) match|is (?:only )?valid for)"
    r"|remote error: tls|CERT_HAS_EXPIRED|ERR_CERT_|ERR_SSL_"
    r"|(?:ssl|tls) handshake (?:failed|error|failure)|handshake failure|alert unknown ca"
    r"|unable to (?:get local issuer|verify the first)|wrong version number|SSLError|SSL routines|EPROTO\b"
    r"|HTTP response to HTTPS client|HTTP request was sent to HTTPS port|bad certificate|unknown certificate"
    r"|no alternative certificate subject|certificate signed by unknown|PEM (?:routines|lib)|unsupported protocol version",
    "credentials": r"token (?:has |is )?expired|jwt expired|ExpiredToken|TokenExpired|invalid_grant|Signature has expired"
    r"|ExpiredSignature|credentials? (?:have |has )?expired|password authentication failed|Access denied for user"
    r"|authentication (?:failed|failure|required)|invalid (?:username or )?password|\b401\W{1,3}Unauthorized|InvalidAccessKeyId"
    r"|SignatureDoesNotMatch|NOAUTH|WRONGPASS|role \S+ does not exist|HTTP(?: error| status)? 401"
    r"|status(?: ?code)?[:= ]{1,2}401|[:=] \"?Unauthorized\b"
    r"|(?:JWT|token|signature|credentials?|api[ _-]?key|login) (?:was |is |has been |are |were )?"
    r"(?:rejected|refused|not accepted|invalid|malformed|incorrect|not valid|missing)"
    r"|invalid (?:credentials?|api[ _-]?key|sdk key|(?:access |bearer |auth |refresh )?token\b|client (?:id|secret)|signature)"
    r"|ACCESS_REFUSED|Login failed for|connection refused: not authori[sz]ed"
    r"|Bad credentials|no pg_hba\.conf entry|SASL (?:authentication|auth|handshake)"
    r"|SaslAuthentication|AuthenticationException|AuthenticationFailed|UNAUTHENTICATED|InvalidClientTokenId|UnrecognizedClient"
    r"|AuthFailure|could not find default credentials|NoCredentialProviders|Unable to locate credentials|no valid credential"
    r"|not authenticated|Authorization Violation|no matching key|invalid_client|unauthorized_client|Access Key Id you provided"
    r"|signature not valid|not valid in the specified time"
    r"|(?:secret|token|password|licen[cs]e|subscription|(?:api|access|signing) key)s?(?: [\w'\"-]{1,60}){0,4}"
    r" (?:have|has|is|are) expired",
    "dns": r"no such host|could not resolve|couldn't resolve|Name or service not known|Temporary failure in name resolution"
    r"|EAI_AGAIN|\bENOTFOUND|UnknownHostException|nodename nor servname|NXDOMAIN|SERVFAIL|server misbehaving"
    r"|failed to lookup address|Name does not resolve|host not found|getaddrinfo failed|could not be resolved"
    r"|could not translate host name|bad address '|unresolved address|name resolution fail"
    r"|(?:unable|failed) to resolve (?:host|name)"
    r"|ERR_NAME_NOT_RESOLVED"
    r"|no address associated with|DNS resolution (?:failed|error)|unknown host|UnknownHost|lookup \S+ on \S+:53"
    r"|->\S{1,60}:53: ",
    "corrupt": r"(?:is|are|was|be|data|file|index|block|page|segment|table|possibly|log) corrupt(?:ed|ion)?\b"
    r"|corruption(?:: | detected| found| in )"
    r"|Corrupt\w*(?:Exception|Error)|corrupted? (?:data|file|index|block|page|segment|table|record|entry|log)"
    r"|checksum (?:mismatch|error|failed|verification)|bad (?:crc|checksum|magic)"
    r"|CRC (?:mismatch|error)"
    r"|invalid (?:checksum|magic|page (?:header|in block))|torn (?:page|write)|not a database"
    r"|malformed (?:database|page|record)|marked as crashed|(?:needs?|should be|requires?) repair"
    r"|disk image is malformed|truncated (?:file|record|log|segment|page)",
    "version": r"version mismatch|incompatible (?:with|version|data|schema|client|server|protocol)|not compatible with"
    r"|unsupported (?:class file|format version|major|version)|UnsupportedClassVersionError|NoSuchMethodError"
    r"|AbstractMethodError"
    r"|no longer supported|GLIBC(?:XX)?_\d|undefined symbol|symbol lookup error|featureCompatibilityVersion"
    r"|driver (?:version is insufficient|on your system is too old)|(?:cannot|can't|not possible to) downgrade"
    r"|created (?:by|with) (?:a )?(?:newer|later|older) version|requires (?:at least )?version|schema version (?:\S+ )?wanted",
    "quorum": r"no (?:(?:elected|known|cluster|raft|active|current) )?(?:leader|primary|master|quorum)\b"
    r"|(?:leader|primary|master) (?:is |was |has )?not (?:yet )?(?:been )?(?:discovered|elected|found|known)"
    r"|(?:lost|without|waiting for) (?:a |the )?(?:leader|quorum|majority)"
    r"|LEADER_NOT_AVAILABLE|Leader ?NotAvailable|NotLeader|NotMaster|not (?:the )?(?:leader|primary|master)\b"
    r"|ReplicaSetNoPrimary"
    r"|NOT_ENOUGH_REPLICAS|NotEnoughReplicas|not enough (?:alive )?(?:replicas|nodes|brokers|members|voters|in-sync)"
    r"|communicating with (?:the )?DCS|DCS is not (?:accessible|available|reachable)"
    r"|quorum (?:is )?(?:lost|not|unavailable)|consistency level|master_not_discovered|MasterNotDiscovered"
    r"|split[- ]brain|prim(?:ary)? (?:view|not possible)|CLUSTERDOWN|MASTERDOWN|cluster is (?:down|not ready|read[- ]only)",
    "connections": r"too many connections|remaining connection slots|pool exhausted|QueuePool limit|Connection is not available"
    r"|too many clients|connection pool (?:is )?(?:full|timeout|exhausted)|max_connections|worker_connections are not enough"
    r"|no (?:more |free |available |idle )connections? (?:available|in|left)",
    "overload": r"queue (?:is |was )?full|buffer (?:is |was )?full|RejectedExecution"
    r"|(?:reached|exceeded) (?:pm\.)?max_\w+ setting"
    r"|thread ?pool (?:is )?starv\w{2,5}"
    r"|load shed|circuit ?breaker (?:is |was )?open|(?:thread|worker) pool (?:is )?(?:exhausted|full)|overloaded"
    r"|poll timeout has expired|kicked out of the group|max\.poll\.interval"
    r"|no (?:free|idle|available) (?:workers?|threads?|slots?)|back[- ]?pressure (?:applied|active|on)",
    "locks": r"deadlock detected|Deadlock found|Lock wait timeout|could not obtain lock|database is locked"
    r"|(?:acquiring|acquire|obtain|obtaining|get) (?:the )?(?:\w+ )?lock\b|LockObtainFailed|lock is held",
    "workers": r"(?:died|exited|terminated|killed|crashed)[ ,]{1,2}(?:on|by|with|due to)(?: a)? (?:signal|SIG)|signal: killed"
    r"|worker process \S{0,20} ?\S{0,20} signal \d|was sent SIG(?:KILL|SEGV|ABRT)"
    r"|WorkerLostError|worker \S+ (?:died|crashed)|exited on signal|signal: segmentation"
    r"|(?:page|browser|tab|renderer|worker|process) (?:has )?(?:crashed|exited unexpectedly)",
    "processes": r"unable to create (?:new )?native thread|OutOfMemoryError: unable to create|can't fork|pthread_create failed"
    r"|fork: (?:retry|Resource)|fork/exec \S+: resource temporarily unavailable|can't start new thread|BlockingIOError",
    "memory": r"OOM command not allowed|used memory > 'maxmemory'"
    r"|circuit_?breaking_?exception|data too large, data for|memory limit \((?:total|for [a-z]+)\) exceeded"
    r"|memory (?:budget exceeded|resource limit alarm set)"
    r"|OutOfMemoryError|out of memory|Cannot allocate memory|MemoryError|heap out of memory|ENOMEM|std::bad_alloc"
    r"|memory allocation of \d+ bytes failed",
    "disk": r"No space left on device|ENOSPC|disk (?:is )?full|Disk quota exceeded|Read-only file system|\bEROFS|disk I/O error"
    r"|space exceeded|ENOSPACE|NOSPACE|volume is full|disk quota|flood[- ]stage|low on disk|out of disk|FORBIDDEN/12/"
    r"|watermark (?:\S{1,20} )?(?:is |was )?exceeded"
    r"|\b(?:errno|errcode|os error|error number|error code)[:=]? ?28\b|the table '\S+' is full"
    r"|insufficient (?:disk|storage)|not enough (?:disk|free) space|input/output error",
    "readonly": r"read[- ]only (?:option|mode|transaction|replica|database|instance|connection)|READONLY You can't write",
    "files": r"too many open files|\bEMFILE",
    "permission": r"permission denied|\bEACCES|Operation not permitted|\bEPERM\b|is forbidden: User|insufficient privilege"
    r"|is not authorized to|Access ?Denied|not authori[sz]ed\b|permission_denied|AuthorizationFailed|PermissionDenied"
    r"|\b403\W{1,3}Forbidden|lacks? (?:the )?permission|permissions? (?:are |is )?(?:insufficient|missing|required)",
    "address": r"address already in use|EADDRINUSE|Only one usage of each socket address",
    "absent": r"NoSuchBucket|NoSuchKey|UNKNOWN_TOPIC_OR_PARTITION|UnknownTopicOrPartition|Unknown database|index_not_found"
    r"|no such index|UNKNOWN_DATABASE|NOT_FOUND - no|stream not found|InvalidQueueUrl|NonExistentQueue"
    r"|(?:database|bucket|topic|queue|keyspace|stream|index|collection|exchange|vhost) \S+ (?:does(?:n't| not) exist"
    r"|not found)",
    "missing": r"no such file or directory|ENOENT|FileNotFoundError|Cannot find module|ModuleNotFoundError"
    r"|ClassNotFoundException|NoClassDefFoundError|exec format error|executable file not found"
    r"|cannot open shared object file|command not found|sh: (?:line )?[0-9: ]*\S+: not found",
    "settings": r"(?:environment variable|env var|setting|config(?:uration)?(?: key| value)?) \S* ?(?:is )?"
    r"(?:not set|missing|required|invalid)|missing required|is required but|must be set"
    r"|(?:unrecognized|unrecognised|unknown|invalid|illegal|unexpected) "
    r"(?:option|argument|flag|command|directive|parameter|setting|configuration|property|subcommand)"
    r"|flag provided but not defined|requires an argument|KeyError: '[A-Z_]+'|invalid config|unbound variable"
    r"|config(?:uration)? file (?:corrupt|not found|is invalid)|yaml: (?:line|unmarshal)|cannot unmarshal"
    r"|incorrect key length|found unknown escape|did not find expected",
    "schema": r"relation \S+ does not exist|no such table|Unknown column|column \S+ does not exist|Undefined(?:Table|Column)"
    r"|Table '\S+' doesn't exist|pending migrations?"
    r"|mapper_parsing|schema version|no such column",
    "clock": r"clock skew|clock (?:has )?(?:jumped|stepped|moved|went)|time (?:has )?(?:jumped|went|moved) (?:back|forward)"
    r"|Clock drift|RequestTimeTooSkewed|token used before issued|not yet valid|skew too great",
    "limited": r"Too Many Requests|rate limit|ThrottlingException|Throttled|RESOURCE_EXHAUSTED|quota exceeded|LimitExceeded"
    r"|status(?: ?code)?[:= ]{1,2}429|HTTP(?: error)? 429",
}  # fmt: skip
"""Patterns by category; the first match counts. Case is ignored."""
CALLED = {
    "timeout": r"i/o timeout|timed out|ETIMEDOUT|deadline exceeded|SocketTimeoutException|ConnectTimeout|ReadTimeout"
    r"|connect timeout|TimeoutError|Client\.Timeout|upstream request timeout|timeout awaiting|timeout (?:has )?expired"
    r"|timeout (?:of \S+ ?m?s? )?(?:was )?exceeded|timeout after|ECONNABORTED|ERR_CONNECTION_TIMED_OUT"
    r"|no response (?:within|received)|execution expired|Net::(?:Open|Read)Timeout",
    "unready": r"(?:is|are|was) (?:still )?not (?:yet )?(?:ready"
    r"|available)|database system is starting up|temporarily unavailable",
    "unreachable": r"no route to host|EHOSTUNREACH|ERR_ADDRESS_UNREACHABLE"
    r"|network is unreachable|ENETUNREACH|connection reset by peer|ECONNRESET"
    r"|broken pipe|\bEPIPE|upstream prematurely closed",
    "refused": r"no endpoints available|connection refused"
    r"|ECONNREFUSED|ERR_CONNECTION_REFUSED|actively refused|Connect call failed|no live upstreams|no healthy upstream",
}
"""Patterns of failed calls: they count only if none of CATEGORIES does, since other problems also end in timeouts."""
WEAK = {
    "settings": r"(?:failed to|cannot|could not|unable to|error) (?:load|parse|read|decode|unmarshal|open"
    r"|process)\w* (?:\w+ )?config",
    "credentials": r"failed to authenticate|could not authenticate|unable to authenticate",
    "refused": r"failed to connect|unable to connect|could not connect|cannot connect|can't connect|connect error"
    r"|connection (?:error|failed|failure)|failed to (?:establish|open) (?:a )?(?:new )?connection",
}
"""Patterns that count only if no other does: such words often precede the reason."""

_REPORTS = (
    r"\berror(?: [a-z]{3,20}ing\b|: )",
    r"\b(?:fatal|exception|failure): ",
    r"\bexceptions?\.[a-z]{3,60}: ",
    r"\b(?:failed|cannot|can't|could not|couldn't|unable)\b",
    r"\b(?:unknown|unsupported|invalid|unexpected) [a-z]{3}",
)
"""Words of lines that report an error of no category."""

CALLS = frozenset({"dns", "refused", "timeout", "unready", "unreachable"})
"""Categories of failed calls to other programs."""

_HOST = r"([a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?)"
_PEERS = (
    r"UnknownHostException: " + _HOST,
    r"host not found in (?:upstream|resolver) ['\"]?" + _HOST,
    r"(?:bad address|can't find) '?" + _HOST,
    r"host \(((?:\d{1,3}\.){3}\d{1,3})\)",
    r"(?:tcp|udp)[46]? \S{1,60}->\[?" + _HOST,
    r"dial (?:tcp|udp)[46]? (?:lookup )?" + _HOST,
    r"lookup " + _HOST + r"(?: on |: )",
    r"getaddrinfo (?:failed )?(?:for|of) (?:host )?['\"]?" + _HOST,
    r"(?:https?|grpc|postgres(?:ql)?|mysql|redis|amqp|mongodb|nats|tcp|jdbc:[a-z]+)://(?:[^@/\s]{1,100}@)?" + _HOST,
    r"(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET|EHOSTUNREACH)[: ]+" + _HOST,
    r"host(?:name)?[=:]? ?['\"]?" + _HOST,
    _HOST + r" could not be resolved",
    r"resolve (?:host(?:name)?:? )?['\"]?" + _HOST,
    r"(?:connect(?:ing|ion)?|connected) (?:to|with) (?:server (?:at|on) )?['\"(]?(?:[A-Za-z]+/)?" + _HOST,
    r"(?:^|//|[^\w./-])([a-z][a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63}){0,5}):\d{2,5}\b",
    r"\b((?:\d{1,3}\.){3}\d{1,3}):\d{2,5}\b",
    r"\b([a-z][a-z0-9-]{0,62}) (?:refused|timed out|did not answer|does not answer|is unreachable|unavailable)",
)
_LAST_OF_URLS = 8
"""Number of the last pattern of _PEERS in which a name may replace an address."""
_NO_PEERS = frozenset({
    "remote", "the", "a", "an", "to", "be", "server", "host", "name", "database", "connect", "connection", "localhost", "is",
    "request", "and", "or", "that", "which", "with", "for", "at", "of", "from", "in", "via", "while", "has", "net", "node",
    "display",
    "selection", "query", "statement", "transaction", "job", "task", "lock", "probe", "check", "pool", "session", "login",
    "handshake", "lookup", "command", "response", "reply", "worker", "thread", "process", "client", "user", "message", "token",
    "failed", "call", "read", "write", "not", "error", "upstream", "tcp", "http", "https", "service", "was", "operation", "on",
})  # fmt: skip


_FILES = (
    ".go", ".java", ".py", ".rs", ".js", ".ts", ".cpp", ".rb", ".kt", ".scala", ".php", ".sql", ".lua", ".cs", ".jsx", ".tsx",
    ".conf", ".cfg", ".ini", ".toml", ".yaml", ".yml", ".json", ".xml", ".properties", ".env", ".tmpl", ".tpl", ".html", ".vcl",
    ".hcl", ".log", ".pem", ".crt", ".key", ".sock", ".jar",
)  # fmt: skip
"""Ends of the names of files, which a line's number follows as a port follows a host. So may other names after a path's `/`."""
CAUSED_BY = "Caused by: "
_STORES = (
    r"\b(?:blobs?|images?|layers?|registry|segments?|TTL|MVCC|rows?|records?|tombstones?|snapshots?|chunks?"
    r"|containers?|volumes?|orphan\w*|leases?|expired)\b"
)
"""Words of programs that collect garbage in their stores, beside their work: these take long, and nothing waits for them."""


_WRAPPERS = (
    "error during container init: ", "unable to start container process: ", "runc create failed: ",
    "OCI runtime create failed: ", "failed to create shim task: ", "failed to create containerd task: ",
)  # fmt: skip


def runtime_message(message: str) -> str:
    """Return the message of a container runtime, without the prefixes of the layers that wrap it."""
    return next((message.rpartition(wrapper)[2] for wrapper in _WRAPPERS if wrapper in message), message)


@lru_cache(maxsize=1)
def _by_category() -> tuple[Any, ...]:
    return tuple(
        compiled("|".join(f"(?P<{name}>{pattern})" for name, pattern in patterns.items()), case_sensitive=False)
        for patterns in (CATEGORIES, CALLED, WEAK)
    )


any_category = compiled_once(
    "|".join((*CATEGORIES.values(), *CALLED.values(), *WEAK.values(), CAUSED_BY, *_REPORTS)).encode(), case_sensitive=False
)
"""Returns the pattern over bytes that matches a word of any category, a cause, or a word for an error."""
pauses = compiled_once(CATEGORIES["pauses"].encode(), case_sensitive=False)
"""Returns the pattern over bytes for the lines of garbage collectors that report a pause of a second or more."""


@lru_cache(maxsize=1)
def _peers() -> tuple[Any, ...]:
    return tuple(compiled(pattern, case_sensitive=False) for pattern in _PEERS)


_stores = compiled_once(_STORES, case_sensitive=False)


def category_of(text: str) -> str:
    """Return the category of a line; '' for a line without such words."""
    match = _match(text)
    category = match.lastgroup or "" if match else ""
    return "" if category == "pauses" and _stores().search(text[:MAX_TEXT]) is not None else category


def category_span(text: str) -> tuple[int, int] | None:
    """Return start and end of the last words of a category: in a chain of errors the cause is last. None without such words."""
    for pattern in _by_category():
        spans: list[tuple[int, int]] = [match.span() for match in pattern.finditer(text[: 2 * MAX_TEXT])]
        if spans:
            return spans[-1]
    return None


def _match(text: str) -> Any:
    text = text[:MAX_TEXT]
    return next((match for pattern in _by_category() if (match := pattern.search(text)) is not None), None)


def peer_of(text: str) -> str:
    """Return the host that does not answer according to a line, in lower case; '' if the line has none.

    A name is preferred to an address: errors often have the address that a name in a URL was resolved to.
    """
    text = text[:MAX_TEXT]
    address = ""
    for pattern in _peers():
        for match in pattern.finditer(text):
            host = match.group(1).lower().rstrip(".")
            if host in _NO_PEERS or host.isdigit() or len(host) < 2 or host.endswith(_FILES):
                continue
            if not is_address(host):
                return str(host)
            address = address or host
        if address and pattern is _peers()[_LAST_OF_URLS]:
            break  # the patterns from here on are too vague to replace an address
    return address


def names_host(name: str, text: str) -> bool:
    """Return whether a text has a name as a host is written: with a domain or a port, in a URL, or quoted.

    True if the text does not have the name.
    """
    text = text.lower()
    if "." in name or not name or name not in text:
        return True
    after = {part[:2] for part in text.split(name)[1:]}
    if any(rest[:1] in ("/", "'", '"') or (rest[:1] == ":" and rest[1:].isdigit()) for rest in after):
        return True
    return any(f"{before}{name}" in text for before in ("/", "'", '"', "@", "host ", "host=", "host: ", "server "))


def is_address(host: str) -> bool:
    """Return whether a host is an IPv4 address."""
    return host.replace(".", "").isdigit()
