"""Recognises payment cards, and for the level `strict` e-mail addresses, IP addresses and phone numbers."""

from collections.abc import Callable, Iterator
from ipaddress import ip_address

from aletheia_operator.redact.patterns import compiled, span

CARD = (
    r"(?:^|[^\w.-]|%B)(?P<secret>(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|64[4-9]\d|65\d\d|35[2-8]\d|62\d\d)(?:[ -]?\d{4}){3}"
    r"|3[47]\d\d[ -]?\d{6}[ -]?\d{5}|3(?:0[0-5]|[68]\d)\d[ -]?\d{6}[ -]?\d{4})(?:$|[^\w.-]|[.](?:$|\D)|-(?:$|\D))"
)
_TRACE = r"(?i)[0-9a-f]{16}[/:-]$"
"""The id of a trace before that of its span: `X-Cloud-Trace-Context: 105445aa7843bc8bf206b12000100000/4108419040158219`."""
_SPAN = r"""(?i)(?:trace|span|parent)[_.-]?(?:span[_.-]?)?(?:id)?\\*["']?\s*[:=]\s*\\*["']?$"""
_TRACER = r"googleapis|datadog|\bdd\."
_NEAR = 200  # bytes on each side of a span's id in which its trace is named
EMAIL = r"(?P<secret>[A-Za-z0-9._%+\x80-\xff-]{1,64}(?:@|%40|\\u0040)(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24})\b"
IPV4 = r"(?:^|[^\w.-])(?P<secret>(?:\d{1,3}\.){3}\d{1,3})(?:$|[^\w.]|\.(?:\W|$))"
IPV6 = r"(?i)(?:^|[^\w:.])(?P<secret>(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?)(?:$|[^\w:])"
PHONE = (
    r"(?:^|[^\w.+/:-])(?P<secret>(?:\+|00)[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{2,4}(?:[ .-]?\d{2,4}){1,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|[2-9]\d{2}[.-]\d{3}[.-]\d{4})(?:$|[^\w.-]|\.(?:\W|$))"
)


def is_card(digits: bytes) -> bool:
    """Return whether a number passes the Luhn check, has equal separators, and has different digits."""
    plain = digits.replace(b" ", b"").replace(b"-", b"")
    spaces, dashes = digits.count(b" "), digits.count(b"-")
    between_groups = 3 if len(plain) == 16 else 2
    if {spaces, dashes} - {0, between_groups} or (spaces and dashes) or len(set(plain)) < 2:
        return False  # for example a counter before a time stamp: `3004 1796468849`
    total = 0
    for position, digit in enumerate(reversed(plain)):
        number = (digit - 48) * (1 + position % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def find_cards(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield the numbers of payment cards, but not those of spans."""
    for match in compiled(CARD).finditer(line):
        start, end = span(match, "secret")
        if is_card(line[start:end]) and not _is_span(line, start, end):
            yield start, end


def _is_span(line: bytes, start: int, end: int) -> bool:
    """Return whether a number is the id of a span or a trace: `traceId=7, spanId=4108419040158219`.

    Such an id has 16 hexadecimal digits or up to 20 decimal ones, in one piece, so some pass for cards. Programs write the ids
    of span and trace side by side: a number with the name of one alone is rather a card.
    """
    before = line[max(start - 60, 0) : start]
    if not line[start:end].isdigit():
        return False
    if compiled(_SPAN).search(before) is None:
        return compiled(_TRACE).search(before) is not None
    near = line[max(start - _NEAR, 0) : end + _NEAR].lower()
    return (b"span" in near and b"trace" in near) or compiled(_TRACER).search(near) is not None


def is_address(text: bytes) -> bool:
    """Return whether a text is an IPv4 or IPv6 address."""
    try:
        ip_address(text.decode())
    except ValueError:
        return False
    return len(text) > 3  # not `::`


def is_phone(text: bytes) -> bool:
    """Return whether a text has 8 to 15 digits, as phone numbers have."""
    return 8 <= sum(48 <= byte <= 57 for byte in text) <= 15


def rules() -> list[tuple[str, str, Callable[[bytes], bool]]]:
    """Return (name, pattern, check) of the rules that `strict` adds."""
    return [
        ("email", EMAIL, bool), ("ip-address", IPV4, is_address), ("ip-address", IPV6, is_address), ("phone", PHONE, is_phone),
    ]  # fmt: skip
