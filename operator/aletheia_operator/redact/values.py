"""Decides whether a value is a secret or a placeholder, and where a value ends in its line."""

from aletheia_operator.redact.names import Kind, kind_of
from aletheia_operator.redact.patterns import LINE_START, byte_words, compiled
from aletheia_operator.redact.placeholders import TOKEN, is_placeholder
from aletheia_operator.redact.randomness import MIN_CHANGES, class_of, has_random_word, share_of_changes

_WORDS = byte_words(
    """
    true false yes no on off none null nil undefined nan empty unset set blank missing required optional invalid valid
    incorrect wrong expired expires expiring revoked rotated changed updated created deleted removed generated loaded
    found not failed failure error errors denied rejected accepted ok okay success successful successfully mismatch
    mismatched unknown unauthorized forbidden unsupported disabled enabled is was were are has had have must should cannot
    can could will would may does did do if in for from of to at by with without and or but the a an this that it its your
    you we please enter type provide provided use used using string str text bytes int integer number object bool boolean
    varchar char any array list map dict secretstr password_field basic bearer digest oidc ldap oauth oauth2 jwt saml
    scram-sha-256 scram-sha-512 scram-sha-1 sha256 cram-md5 digest-md5 oauth2.0 openid kerberos negotiate ntlm file env
    default hidden masked redacted filtered omitted obfuscated obscured protected sensitive confidential sanitized
    scrubbed n/a na tbd todo fixme example placeholder dummy changeme change-me change_me changeit replaceme replace-me
    replace_me yourpassword eof timeout timeouts unexpected signature refresh refreshed refreshing request requested
    requests response issued issuing validation verification verified verifying validated context connection connect
    permission access resource too already no-such pods pod secrets secret(s) field fields parameter value values key keys
    username user users name email header headers available unavailable present absent exist exists existing specified
    supplied ignored skipped skipping malformed reset read write rpc dial get post put http https tls x509 tcp exit
    service account grant given got expected bad broken open couldn't can't didn't doesn't expire never include
    same-origin known apply isn't wasn't hasn't won't shouldn't needed needs only when while after before because until
    amd64 arm64 i386 armhf noarch x86_64 aarch64 s390x ppc64le all flag option argument which
    omit include token tokens passwort hashed encrypted via flags options object mode see ask stored managed awscurrent
    awsprevious awspending
    """
)
"""Words that describe or replace secrets."""
_APPENDED = "[bcdfghjklmnpqrstvwxz0-9]"
"""What Kubernetes appends to names: no vowels, so that it makes no words."""
_NAME_PART = rf"(?:[a-z]+|\d{{1,3}}|v\d|{_APPENDED}{{5}}|{_APPENDED}{{10}})"
_OBJECT_NAME = rf"^(?:[a-z]+[a-z0-9]*(?:[-.][a-z0-9]+)*/[a-z]+(?:[-.]{_NAME_PART})*|[a-z]+(?:[-.]{_NAME_PART})+|regcred)$"
_CODED = (
    r"^(?:[A-Za-z._~/-]*[0-9+=][\w.~+/=-]{6,}|[\w.~+/-]{6,}[0-9+=][\w.~+/=-]*|[A-Za-z]{20,}|\S*[!#$%^*?&@]\S*\d\S*"
    r"|\S*\d\S*[!#$%^*?&@]\S*)$"
)
_FIELD_NAME = (
    r"(?i)^(?:x[-_])?(?:(?:access|api|auth|authenticity|bearer|client|csrf|xsrf|id|refresh|session)[-_.]"
    r"|(?:user|admin|db|database|root|redis|postgres|mysql|private|tls|ssh)[-_.])?(?:token|key|password|passwd|secret|credentials?)$"
)
"""The name of a secret, as a value: `secretKey: password`, `tokenField: auth_token`."""
_COUNT = r"(?i)^[\d.,]{1,8}(?:[kmg%]|/[\d.,]{1,8}[kmg%]?)$"
_ALGORITHM = (
    r"(?i)^(?:[ehpr]s|sha|aes|md|rc|crc|utf|rsa|ed|ecdsa|hmac|x|p|v|http|tls|oauth|ipv)[-_/]?\d{1,5}(?:[-_/.]\w{1,6})*[.,;]?$"
)
_DIGITS_AND_LETTERS = r"(?i)[a-z].*\d|\d.*[a-z]|[!#$%^*@&].*[a-z0-9]|[a-z0-9].*[!#$%^*@&]"
_CRYPT = (
    r"\$(?:2[abxy]|argon2\w{1,2}|[156y]|apr1|pbkdf2[\w-]*|scrypt|7|md5|sha1)\$|^\{\w{3,10}\}|^pbkdf2|^bcrypt|^scrypt"
    r"|^argon2|^md5[0-9a-f]{32}$|^SCRAM-SHA"
)
_JOINING = byte_words("with without and or but in on at by of")
"""Words that begin no sentence about a secret, but perhaps a passphrase."""
_OF_RULES = r"(?i)\b(?:characters?|digits?|symbols?|seconds?|minutes?|days?|code|score|times|common|weak|invalid|expired)\b"
"""What messages with numbers or brackets are about."""


def is_message(value: bytes) -> bool:
    """Return whether a value is a sentence about a secret: `This field is required.`, `must be at least 8 characters`."""
    if value.count(b" ") < 2 or b"''" in value or compiled(r"^[A-Za-z][\w' ,.:/()-]*!?$").search(value) is None:
        return False
    if compiled(r"^[A-Za-z' ,-]*[ \w]*[.!]?$").search(value) is None and compiled(_OF_RULES).search(value) is None:
        return False  # numbers and brackets are also in passphrases: `It's 5 o'clock, (somewhere).`
    if compiled(r"(?i)\b\d[a-z]{3}|[a-z]\d[a-z]{2}").search(value) is not None:
        return False  # digits in place of letters: `one, two, 3ree!`
    return value.endswith((b".", b"!")) or value.lower().partition(b" ")[0] in _WORDS - _JOINING


def is_coded(value: bytes) -> bool:
    """Return whether a value mixes letters and digits unlike any word of a language."""
    return compiled(_CODED).search(value) is not None


def is_name(value: bytes) -> bool:
    """Return whether a value is shaped like the name of a Kubernetes object: `shop/db-credentials`, `web-7d9f8b6c5d-x2v9q`."""
    return compiled(r"-\d{5}$").search(value) is None and compiled(_OBJECT_NAME).search(value) is not None


def is_uuid(value: bytes) -> bool:
    """Return whether a value is a UUID: in a sentence it is the id of a token more often than the token itself."""
    return compiled(r"(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$").search(value) is not None


def _is_path(value: bytes) -> bool:
    """Return whether a value is a path, and no base64 with slashes."""
    if compiled(r"(?i)^[a-z0-9_.-]+(?:/[a-z0-9_.-]+)+$").search(value) is None:
        return False
    return len(value) < 24 or share_of_changes([class_of(byte) for byte in value]) < MIN_CHANGES


def is_random(value: bytes) -> bool:
    """Return whether a value looks like a random key: at least 16 characters, digits and letters, no name, UUID or address."""
    if len(value) < 16 or is_name(value) or not is_coded(value) or _is_path(value):
        return False
    return (
        compiled(
            r"(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[\w.-]+:\d+$|^/|^\d{4}-\d\d|^v?\d+\.\d|^0x[0-9a-f]{1,16}$"
            r"|^[a-z]+(?:[_.-][a-z0-9]{1,16})*[_-][0-9a-f]{32,64}$"
        ).search(value)
        is None
    )


def looks_random(value: bytes) -> bool:
    """Return whether a value looks like a random key or password: a name or a word that says otherwise does not count then."""
    return is_random(value) or (has_random_word(value) and not _is_path(value))


def _is_variable(value: bytes) -> bool:
    """Return whether a value is the name of a variable that has the secret: `password_env=DB_PASSWORD`."""
    named = compiled(r"^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$").search(value) is not None
    return named and kind_of(value.decode("latin-1")) is not None


def is_secret(kind: Kind, value: bytes, prose: bool) -> bool:
    """Return whether a value is a secret. `kind`: of its name.

    `prose`: the value is unquoted and after a colon, so it may be a word of a sentence: `token: expired`.
    """
    small = value.lower().strip(b" .,;:!?")
    if small in _WORDS or not small or is_placeholder(value) or _is_variable(value):
        return False
    if kind in (Kind.SECRET, Kind.WEAK) and compiled(r"^[A-Z][A-Za-z]*(?:-[A-Z][A-Za-z]*)+$").search(value):
        return False  # a header's name
    if prose and kind is not Kind.PASSWORD and compiled(r"^[A-Za-z][\w.-]{0,40}=[\w.:/-]+$").search(value) is not None:
        return False  # another name with its value: `credentials: provider=irsa`
    match kind:
        case Kind.PASSWORD:
            first = small.partition(b" ")[0].rstrip(b",:;")
            return not prose or not (first in _WORDS or first in (b"password", b"passwords", b"passwd"))
        case Kind.PASS:
            return not (value.isdigit() and len(value) < 6) and is_secret(Kind.PASSWORD, value, prose)
        case Kind.CODE:
            return value.isdigit() and 3 <= len(value) <= 8
        case Kind.HASH:
            encoded = compiled(r"^[A-Za-z0-9+/]{40,}={0,2}$").search(value) is not None  # not if it is hexadecimal
            hexadecimal = compiled(r"(?i)^(?:0x)?(?:[0-9a-f]{8}){4,16}$").search(value) is not None
            return hexadecimal or compiled(_CRYPT).search(value) is not None or encoded
        case Kind.KEY:
            return looks_random(value)
        case Kind.WEAK:
            mixed = is_coded(value) or compiled(_DIGITS_AND_LETTERS).search(value) is not None
            return (
                mixed
                and len(value) >= 6
                and not compiled(r"^[a-zA-Z][\w.+-]*@[\w.-]+$|^\w+://|^v?\d+(?:\.\d+)+$").search(value)
            )
        case Kind.OBJECT if is_name(value):
            return False
        case Kind.SECRET | Kind.OBJECT if compiled(_FIELD_NAME).search(value) is not None:
            return False
        case Kind.SECRET if (prose or (b"/" in value and len(value) >= 8)) and is_name(value):
            return False
        case Kind.SECRET if prose and compiled(r"^[\w.+-]+@[\w-]+\.[\w.]+$").search(value):
            return False
    if (len(value) < 6 and compiled(r"^\d+(?:\.\d+)?$").search(value)) or compiled(_COUNT).search(value) is not None:
        return False  # a number of tokens
    if (prose or len(value) < 10) and compiled(_ALGORITHM).search(value) is not None:
        return False
    return not prose or is_coded(value) or (compiled(_DIGITS_AND_LETTERS).search(value) is not None and b" " not in value)


_FIRST = (
    rf"""{LINE_START}"""
    r"""\s*(?:[-+~>*]\s+|export\s+)*["']?$"""
)


def is_first(line: bytes, name_at: int) -> bool:
    """Return whether only a time, a stream, an indent or list marks precede the name in its line."""
    return name_at < 160 and compiled(_FIRST).search(line[:name_at]) is not None


_UNQUOTED = r"""[^\s"`<>|\x1b]+"""
_STOPS = r"""[&;,)}\]'\\]"""


def unquoted_end(line: bytes, start: int) -> int:
    """Return where an unquoted value that begins at `start` ends.

    `& ; , ) } ]` end it only if a blank, a quote, the next name or the end of the line follows.
    """
    found = compiled(_UNQUOTED).match(line, start)
    if found is None:
        return start
    end = int(found.end())
    masked = compiled(TOKEN).match(line, start) if line.startswith(b"[redacted", start) else None
    at = masked.end() if masked else start
    for stop in compiled(_STOPS).finditer(line, at, end):
        if stop.start() > start and _ends_here(line, stop.start(), end, start):
            return int(stop.start())
    return end


def last_word_end(line: bytes, start: int, end: int) -> int:
    """Return where a value ends: at the line's end if it is one word that goes on after `end` with `<`, `>` or `|`."""
    if line[end : end + 1] not in (b"<", b">", b"|"):
        return end
    word = line[start:].rstrip()
    opened = {b">)": b"(", b">}": b"{", b">]": b"["}.get(word[-2:])
    if word[:1] == b"<" and opened is not None and line.find(opened, 0, start) >= 0:
        word = word[:-1]  # `{user: bob, password: <secret>}`
    return end if compiled(r"""[\s"'`]|</""").search(word) is not None else start + len(word)


_NEXT = r"""^(?:[&;,)}\]'"\\.:]*(?:\s|$|["'`\\<>|])|[;,&]+\s?[$\w.\- ]{1,40}[=:]|[)}\]]+[,;.:)}\]])"""
_ESCAPE = r"""^\\+(?:[nrt"'/]|u00(?:22|26|27|3c|3e|0a|1b)|x1b|033)"""


def _ends_here(line: bytes, at: int, end: int, start: int) -> bool:
    rest = line[at : min(at + 48, end + 2)]
    if rest[:1] == b"\\":
        return compiled(_ESCAPE).search(rest) is not None
    if rest[:1] in b")}]":
        opened = {b")": b"(", b"}": b"{", b"]": b"["}[rest[:1]]
        if line.count(opened, start, at) > line.count(rest[:1], start, at):
            return False
    return compiled(_NEXT).search(rest) is not None


def quoted_end(line: bytes, start: int, opener: bytes) -> int:
    """Return where a quoted value ends: before the closing quote; at the end of the line if there is no closing quote.

    `start`: the first byte after the opening quote. `opener`: the opening quote with the backslashes before it.
    """
    quote, slashes = opener[-1:], len(opener) - 1
    at = line.find(quote, start)
    while at >= 0:
        before = at
        while before > start and line[before - 1 : before] == b"\\":
            before -= 1
        if slashes == 0 and quote == b"'" and before == at > start and compiled(r"''[A-Za-z0-9]").match(line, at) is not None:
            at = line.find(quote, at + 2)  # doubled in YAML and SQL: `'it''s'`
            continue
        if at - before <= slashes:
            return before
        if (at - before) % 2 == 0 and slashes == 0:
            return at  # escaped backslashes before a plain quote
        at = line.find(quote, at + 1)
    return len(line.rstrip(b"\r\n"))


QUOTE = r"""\\*["'`]|%22|&quot;|&#34;|\\+u0022|\\+x2[27]|“"""
"""What opens a quoted value."""


def end_of_quoted(line: bytes, start: int, quote: bytes) -> int:
    """Return where a value ends if its quote may be tripled, or encoded as in URLs and HTML."""
    if len(quote) == 3 and quote[:1] * 3 == quote:
        found = line.find(quote, start)
        return found if found >= 0 else len(line)
    if not quote.startswith((b"%", b"&", b"\xe2")) and quote[-4:-1] != b"\\x2" and not quote.endswith(b"u0022"):
        return quoted_end(line, start, quote)
    found = line.find(b"\xe2\x80\x9d" if quote.startswith(b"\xe2") else quote, start)
    return found if found >= 0 else unquoted_end(line, start)
