"""String literals of Go, as PromQL and LogQL have them (https://go.dev/ref/spec#String_literals). Pure."""

import re

STRING = r"\"(?:[^\"\\\n]|\\[^\n])*+\"|'(?:[^'\\\n]|\\[^\n])*+'|`[^`]*+`"
_ESCAPE = re.compile(r"\\(?:([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\'\"]))")
_SIMPLE_ESCAPES = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))


class NotUnderstood(ValueError):
    """A query is not valid, or uses a part of its language that is not supported here. The message says where."""


def quoted(value: bytes) -> str:
    """Return a string literal that all servers read alike: in double quotes, with escapes where needed."""
    parts = []
    for character in value.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            parts.append(f"\\x{code - 0xDC00:02x}")
        elif character in '"\\':
            parts.append("\\" + character)
        elif character == "\n":
            parts.append("\\n")
        else:
            parts.append(f"\\x{code:02x}" if code < 0x20 or code == 0x7F else character)
    return '"' + "".join(parts) + '"'


def unquoted(literal: str) -> bytes:
    """Return the bytes of a string literal. Raises NotUnderstood for an escape that Go does not have."""
    quote, inner = literal[0], literal[1:-1]
    if quote == "`":
        return inner.encode("utf-8", "surrogatepass")
    parts: list[bytes] = []
    at = 0
    while (begin := inner.find("\\", at)) >= 0:
        match = _ESCAPE.match(inner, begin)
        if match is None or (match[5] in ("'", '"') and match[5] != quote):
            raise NotUnderstood(f"an escape in {literal[:40]} is not known")
        parts += [inner[at:begin].encode("utf-8", "surrogatepass"), _escaped(match)]
        at = match.end()
    return b"".join(parts) + inner[at:].encode("utf-8", "surrogatepass")


def _escaped(match: re.Match[str]) -> bytes:
    octal, byte, short, long, simple = match.groups()
    if simple:
        return _SIMPLE_ESCAPES[simple].encode()
    code = int(octal, 8) if octal else int(byte or short or long, 16)
    if octal or byte:
        if code > 0xFF:
            raise NotUnderstood(f"{match[0]} is not a byte")
        return bytes([code])
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise NotUnderstood(f"{match[0]} is not a character")
    return chr(code).encode()
