"""Redacts a stream of lines, block by block: most blocks are searched once, and are returned as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aletheia_operator.redact.multiline import END, State, after, body_of_key, inside
from aletheia_operator.redact.patterns import compiled

if TYPE_CHECKING:
    from aletheia_operator.redact.redactor import Redactor

MAX_LOOK_BACK = 100  # lines before the end of a key without a beginning
KEY = "private-key"


class Lines:
    """Redacts the lines of one stream. Their number, order and line ends stay."""

    def __init__(self, redactor: Redactor, state: State) -> None:
        self._redactor = redactor
        self.state = state
        """Pass it to `Redactor.lines` to continue later."""

    def feed(self, block: bytes) -> bytes:
        """Return whole lines without secrets; the last one may lack its end. The same object if there are none."""
        parts: list[bytes] = []
        at, size = 0, len(block)
        while at < size:
            if not self.state.is_open:
                hit = self._redactor.next_line(block, at)
                if hit < 0:
                    break
                begin = max(block.rfind(b"\n", at, hit) + 1, at)
                if begin > at:
                    parts.append(block[at:begin])
                    at = begin
            newline = block.find(b"\n", at)
            end = newline if newline >= 0 else size
            parts.append(self._line(block[at:end], parts))
            parts.append(block[end : end + 1])
            at = end + 1
        if not parts:
            return block
        parts.append(block[at:])
        return b"".join(parts)

    def feed_lines(self, lines: list[bytes]) -> list[bytes]:
        """Return lines, which have no line ends in them, without secrets."""
        if not lines:
            return lines
        block = b"\n".join(lines)
        redacted = self.feed(block)
        return lines if redacted is block else redacted.split(b"\n")

    def _line(self, line: bytes, before: list[bytes]) -> bytes:
        redactor = self._redactor
        if self.state.is_open:
            in_key = self.state.key_lines
            found, self.state = inside(self.state, line)
            if found is not None:
                return redactor.line(redactor.replace(line, *found, *((KEY, KEY) if in_key else ("multiline",))))
            if self.state.is_open:
                return redactor.line(line)
        elif b"-----END " in line and b"-----BEGIN " not in line and compiled(END).search(line) is not None:
            self._look_back(before)
        self.state = after(self.state, line)
        return redactor.line(line)

    def _look_back(self, before: list[bytes]) -> None:
        """Redact the lines of a key before its end: a read may begin within a key."""
        lines = b"".join(before).split(b"\n")
        for number in range(len(lines) - 2, max(len(lines) - 2 - MAX_LOOK_BACK, -1), -1):
            found = body_of_key(lines[number])
            if found is None:
                break
            lines[number] = self._redactor.replace(lines[number], *found, KEY, KEY)
        before[:] = [b"\n".join(lines)]
