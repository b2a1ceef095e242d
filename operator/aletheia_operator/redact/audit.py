"""Finds secrets in the commands that the kernel's audit log has word by word: `a0="mysql" a1="-px"`."""

from collections.abc import Iterator
from itertools import islice

from aletheia_operator.redact import arguments, commands, named
from aletheia_operator.redact.contexts import find_context
from aletheia_operator.redact.patterns import compiled

Span = tuple[int, int]

EXECVE = r"\btype=(?:EXECVE\b.*\ba1|PROCTITLE\b.*\bproctitle|USER_CMD\b.*\bcmd)="
_WHOLE = r"\b(?:proctitle|cmd)=(?P<hex>(?:[0-9A-F]{2})+)(?:\s|$)"
"""A whole command in hexadecimal digits, perhaps with a NUL between its words."""
_WORD = r"""\ba\d{1,4}(?:\[\d+\])?=(?:"(?P<text>[^"]*)"|(?P<hex>(?:[0-9A-F]{2})+)(?:\s|$))"""
MAX_COMMAND = 16 * 1024
"""Bytes of a line that are read."""
MAX_WORDS = 512


def find_audited(line: bytes) -> Iterator[Span]:
    """Yield the words, or parts of words, that are secrets. A word in hexadecimal digits is a secret as a whole."""
    if (whole := compiled(_WHOLE).search(line, 0, MAX_COMMAND)) is not None:
        text = bytes.fromhex(whole.group(b"hex").decode()).replace(b"\0", b" ")
        if any(start < end for start, end in _secrets(text)):
            yield whole.span(b"hex")
        return
    command, places = bytearray(), []
    for word in islice(compiled(_WORD).finditer(line, 0, MAX_COMMAND), MAX_WORDS):
        encoded = word.group(b"hex")
        text = word.group(b"text") if encoded is None else bytes.fromhex(encoded.decode())
        quote = b'"' if b" " in text else b""
        begin = len(command) + len(quote)
        command += quote + text + quote + b" "
        places.append((begin, begin + len(text), word.span(b"text" if encoded is None else b"hex"), encoded is not None))
    for start, end in _secrets(bytes(command)):
        for begin, stop, (first, last), is_hex in places:
            if begin < end and start < stop:
                yield (first, last) if is_hex else (first + max(start - begin, 0), min(first + end - begin, last))


def _secrets(command: bytes) -> Iterator[Span]:
    yield from arguments.find_arguments(command)
    yield from commands.find_flags(command)
    yield from named.find_named(command)
    for name, pattern, check in commands.RULES:
        yield from find_context(name, compiled(pattern), check, command)
