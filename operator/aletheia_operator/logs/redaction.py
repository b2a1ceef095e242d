"""Removes secrets from the lines of one run, before they are parsed.

Blocks are searched as they are read; lines like earlier ones without secrets are not searched again (`clean_lines`). If the
runtime wrote lines in parts, as JSON, or longer than the limit, a secret may be split or escaped: then each line is redacted
after framing. The same holds if a rule of an admin or an Investigation may match: it may match the time that the runtime wrote
before a line, or begin with `^`.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from aletheia_operator.logs.clean_lines import CleanLines
from aletheia_operator.logs.framing import Form, Framing, Line, decode
from aletheia_operator.redact import Redactor

_PARTS = (b" stdout P", b" stderr P")
Text = tuple[str, bytes | None]


class RedactedFraming(Framing):
    """Splits the lines of one run, and redacts them. Call `begin` with each block before `read` with its lines."""

    def __init__(self, form: Form, max_line_bytes: int, redactor: Redactor) -> None:
        super().__init__(form, max_line_bytes)
        self._redactor = redactor
        self._lines = redactor.lines() if redactor.is_on else None
        self._clean = CleanLines(redactor)
        self.each = False
        """Whether `read` must see every line of the block: it redacts them."""

    def begin(self, block: bytes, shapes: Sequence[str] | None) -> bytes:
        """Return a block of lines without secrets, or as it is if they are redacted in `read`.

        `shapes`: `shapes_of(block)`.
        """
        self.each = self._lines is not None and (self._is_hard(block) or self._redactor.own_rules_match(block))
        if self.each or self._lines is None:
            return block
        if shapes is None or self._lines.state.is_open:
            return self._lines.feed(block)
        if self._clean.has(block, shapes):
            return block
        redacted = self._lines.feed(block)
        if redacted is block:
            self._clean.add(shapes)
        return redacted

    @property
    def is_simple(self) -> bool:
        """Whether a line of the usual form is whole, and needs no `read`."""
        return not self.parts and not self.each

    def read(self, text: str, exact: bytes | None) -> Line | Literal[False] | None:
        line = super().read(text, exact)
        return self._redacted(line) if line and self.each else line

    def untimed(self, text: str, exact: bytes | None) -> Text:
        """Return text and exact bytes of a line without a time, without secrets."""
        return self._text(text, exact) if self.each else (text, exact)

    def unfinished(self) -> Iterator[Line]:
        yield from map(self._redacted, super().unfinished())

    def _is_hard(self, block: bytes) -> bool:
        if self.form == "file" and (self.parts or _has_json(block) or _has_parts(block)):
            return True
        return len(block) > self.max_line_bytes and len(max(block.split(b"\n"), key=len)) > self.max_line_bytes

    def _redacted(self, line: Line) -> Line:
        size = len(line.text) if line.exact is None else len(line.exact)
        long = size * 4 > self.max_line_bytes and size_of(line) > self.max_line_bytes
        text, exact = self._text(line.text, line.exact)
        return line._replace(text=text, exact=exact, was_long=long)

    def _text(self, text: str, exact: bytes | None) -> Text:
        if self._lines is None:
            return text, exact
        raw = text.encode() if exact is None else exact
        redacted = self._lines.feed(raw)
        return (text, exact) if redacted is raw else decode(redacted)


def _has_json(block: bytes) -> bool:
    """Return whether a line begins as JSON. One byte is searched for faster than two."""
    return b"{" in block and (block[:1] == b"{" or b"\n{" in block)


def _has_parts(block: bytes) -> bool:
    """Return whether the runtime wrote a line in parts, or seems to have."""
    return b"P" in block and any(part in block for part in _PARTS)


def size_of(line: Line) -> int:
    """Return the bytes of a line's text."""
    return len(line.text.encode() if line.exact is None else line.exact)
