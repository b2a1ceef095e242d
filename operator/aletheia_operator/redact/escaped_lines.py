"""Finds secrets of several lines that one line quotes, with `\\n` between them: YAML, Secrets and first passwords in JSON."""

from collections.abc import Iterator

from aletheia_operator.redact.multiline import State, after, inside
from aletheia_operator.redact.patterns import compiled, span

Span = tuple[int, int]

_BREAK = r"(?:\\+r)?\\+n"
_NAME = r"[\w./-]*(?:pass|pwd|secret|token|key|cred|auth|pw|pat|psk|sas|dsn|otp|jwt|cookie)[\w./-]*"
ESCAPED_LINES = (
    rf"""(?i)(?:\b|\\n)(?:name|key)\\*["']?\s*[:=]\s*\\*["']?{_NAME}\\*["']?,?\s*{_BREAK}"""
    rf"""|(?:\b|\\n)(?:string)?data\\*["']?\s*:\s*\{{?\s*{_BREAK}"""
    rf"""|\b{_NAME}\\*["']?\s*[:=]\s*[|>][-+]?\s*{_BREAK}"""
    rf"""|(?:\b|\\n)(?:password|passphrase|token|key|secret|credentials?)\b[^:\\]{{0,60}}:\s*{_BREAK}"""
)
"""A name, or the head of a block, at the end of a line that is followed by an escaped line break."""
MAX_TEXT = 256 * 1024  # bytes of a line after the first match that are searched


def find_escaped_lines(line: bytes) -> Iterator[Span]:
    """Yield the secrets of quoted lines that `multiline` would find in the same lines of a log."""
    state = State()
    for begin, end in _lines(line):
        text = _unquoted(line[begin:end])
        if state.is_open:
            found, state = inside(state, text)
            if found is not None:
                start, stop = found
                start += len(text[start:stop]) - len(text[start:stop].lstrip())
                yield begin + start, begin + stop
                continue
            if state.is_open:
                continue
        state = after(state, text)


def _lines(line: bytes) -> Iterator[Span]:
    """Yield the quoted lines: the first begins after the opening quote, the last ends before the closing one."""
    first = compiled(ESCAPED_LINES).search(line)
    if first is None:
        return
    opened = max(line.rfind(quote, 0, first.start()) for quote in (b'"', b"'"))
    begin = opened + 1 if line[opened - 1 : opened] != b"\\" else line.rfind(b"\\n", 0, first.start()) + 2
    limit = min(len(line), begin + MAX_TEXT)
    for mark in compiled(_BREAK).finditer(line, begin, limit):
        yield begin, mark.start()
        begin = mark.end()
    closed = compiled(r"""[^\\](?P<quote>["'])(?:[,}\])\s]|$)""").search(line, begin, limit)
    yield begin, span(closed, "quote")[0] if closed else limit


def _unquoted(text: bytes) -> bytes:
    """Return a text with plain quotes and blanks in place of escaped quotes, up to the first quote that closes it."""
    plain = compiled(r"""\\+(?P<quote>["'])""").sub(lambda found: found.group(b"quote").ljust(len(found.group())), text)
    return compiled(r"""["'][\s"'}\])]*$""").sub(b'"', plain)
