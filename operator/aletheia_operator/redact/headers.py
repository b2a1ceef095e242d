"""Finds the secret parts of Authorization, Cookie and Set-Cookie headers."""

from collections.abc import Iterator

from aletheia_operator.redact.names import Kind
from aletheia_operator.redact.patterns import byte_words, compiled, span
from aletheia_operator.redact.placeholders import is_placeholder
from aletheia_operator.redact.values import is_coded, is_random, is_secret

Span = tuple[int, int]

HEADERS = frozenset({Kind.AUTHORIZATION, Kind.COOKIE, Kind.SET_COOKIE})
_SCHEME = r"""(?i)^\s*(?P<scheme>[a-z][\w-]{1,30})(?:\s+|%20|\+|:\s?)(?P<value>\S.*)$"""
_SCHEMES = byte_words(
    """
    basic bearer digest negotiate ntlm token apikey api-key aws4-hmac-sha256 aws hmac hawk oauth jwt key sharedkey
    sharedkeylite sharedaccesssignature splunk snowflake kerberos genie geniekey nkey dpop gnap mutual scram-sha-256
    genericapikey accesskey pat dsn sso-key bot zoho-oauthtoken klaviyo-api-key discogs goog4-rsa-sha256 private-token user ssws
    """
)
_ABOUT = byte_words("token tokens auth authentication authorization realm scheme header credentials credential")
_PARTS = (
    r"""(?i)\b(?P<name>response|cnonce|nonce|opaque|signature|sig|mac|oauth_\w+|credential|token|key|sentry_key"""
    r"""|sentry_secret)\s*=\s*\\*["']?(?P<value>[^"',\s\\]+)"""
)
_PAIR = r"""(?P<name>[^=;,\s"'\[\]]{1,120})=(?P<value>"[^"]*"|\[redacted[^\]]*\]|[^;\s"'\\]+)"""
_ATTRIBUTES = byte_words("path domain expires max-age samesite priority version comment partitioned secure httponly")
_PREFERENCE = (
    r"(?i)^(?:[a-z]{1,12}[_.-])?(?:theme|color[_-]?(?:mode|scheme)|mode|lang|language|locale|currency|tz|time_?zone|layout)$"
)
_SETTINGS = byte_words("true false yes none null accepted rejected enabled disabled")
_END = r"""["'`\r\n]|\\+[rn"']|\s-[-\w]|\]\s|\s\w+:\[|\}|\s(?:HTTP/|(?:[A-Z][\w-]+|(?:set-)?cookie):\s)|\)(?:\s|$)|\s[|]\s"""


def header_values(line: bytes, start: int, end: int, kind: Kind, prose: bool) -> Iterator[Span]:
    """Yield the secret parts of the value of an Authorization, Cookie or Set-Cookie header.

    `prose`: the value is not quoted, and may be words of a sentence.
    """
    if kind is Kind.AUTHORIZATION:
        return _authorization(line, start, end, prose)
    return _cookies(line, start, end, kind is Kind.SET_COOKIE)


def header_end(line: bytes, start: int) -> int:
    """Return where the unquoted value of a header ends: at a quote, a closing bracket or the line's end."""
    has_fields = compiled(r"""^[\w-]+\s+\w+\s*=\s*\\*["'][^\s,;}\])"'\\]""").search(line[start : start + 200]) is not None
    ended = compiled(r"""[\r\n]|\\+[rn]|\s-[-\w]""" if has_fields else _END)
    found = ended.search(line, start)
    while found is not None and found.group() == b"}" and _is_variable_end(line, start, found.start()):
        found = ended.search(line, found.end())
    return int(found.start()) if found else len(line)


def _is_variable_end(line: bytes, start: int, brace: int) -> bool:
    """Return whether a brace closes a variable of a template: `Bearer {token}`. `start`: of the header's value."""
    return compiled(r"\{[\w.-]+$").search(line[max(brace - 61, start) : brace]) is not None


MAX_MAP = 4096  # bytes of a map of cookies


def cookie_map(line: bytes, start: int) -> Iterator[Span]:
    """Yield the random values of cookies that are printed as a map: `{sid: x, lang: de}`. `start`: its opening brace."""
    brace = compiled(r"[{}]").search(line, start + 1, start + MAX_MAP)
    member = r"""[\w.-]+\\*["']?\s*(?:=>|[:=])\s*\\*["']?(?P<secret>[^"',;\s{}\\]+)"""
    for found in compiled(member).finditer(line, start, brace.start() if brace else start + MAX_MAP):
        if len(found.group(b"secret")) >= 12 and is_secret(Kind.WEAK, found.group(b"secret"), False):
            yield span(found, "secret")


def _authorization(line: bytes, start: int, end: int, prose: bool) -> Iterator[Span]:
    """Yield the credentials after the scheme. Of a digest or a signature, yield only the secret fields."""
    text = line[start:end]
    found = compiled(_SCHEME).search(text)
    if found is None or not (found.group(b"scheme").lower() in _SCHEMES or _is_random(found.group(b"value"))):
        value = text.strip(b" \t,;.")
        at = start + text.find(value)
        if value and is_secret(Kind.SECRET, value, prose) and (not prose or (b" " not in value and is_coded(value))):
            yield at, at + len(value)
        return
    value = found.group(b"value").lstrip()  # RE2's `\S` matches a vertical tab
    value, at = value.rstrip(b" ,;"), start + span(found, "value")[1] - len(value)
    parts = list(compiled(_PARTS).finditer(value)) if b"=" in value.rstrip(b"=") else []
    if parts:
        for part in parts:
            if not is_placeholder(part.group(b"value")):
                begin, stop = span(part, "value")
                yield at + begin, at + stop
        return
    value = value.split()[0] if prose and value else value
    value = value if not is_placeholder(bare := value.rstrip(b")'}")) else bare
    if value.lower() not in _ABOUT and is_secret(Kind.SECRET, value, False):
        yield at, at + len(value)


def _is_preference(name: bytes, value: bytes) -> bool:
    """Return whether a cookie is a word that a user chose: `theme=dark`, `lang=en-GB`."""
    chosen = compiled(_PREFERENCE).search(name) is not None
    return chosen and compiled(r"^[A-Za-z]{2,12}(?:[_/-][A-Za-z]{2,12}){0,2}$").search(value) is not None


def _is_random(value: bytes) -> bool:
    """Return whether the text after an unknown scheme is a single word that looks like a token."""
    return compiled(r"^[\w.~+/-]{16,}={0,2}$").search(value.strip()) is not None and is_coded(value.strip())


def _cookies(line: bytes, start: int, end: int, is_set: bool) -> Iterator[Span]:
    """Yield the values of cookies, but not the attributes of a Set-Cookie header.

    A random word at the beginning is a cookie without its name.
    """
    alone = compiled(r"\s*(?P<secret>[^\s;=,\"'\\]+)(?:[\s;,\"'\\]|$)").match(line, start, end)
    if alone is not None:
        if is_random(alone.group(b"secret")):
            yield span(alone, "secret")
        if alone.group(b"secret").isdigit() and b";" not in line[start:end]:
            return  # a number of cookies
    for pair in compiled(_PAIR).finditer(line, start, end):
        if is_set and pair.group(b"name").lower() in _ATTRIBUTES:
            continue
        value = pair.group(b"value").strip(b'"').rstrip(b",)]}")
        at = span(pair, "value")[0] + (pair.group(b"value")[:1] == b'"')
        if len(value) <= 2 or value.lower() in _SETTINGS or _is_preference(pair.group(b"name"), value):
            continue
        if not is_placeholder(value) and not is_placeholder(pair.group(b"value")):
            yield at, at + len(value)
