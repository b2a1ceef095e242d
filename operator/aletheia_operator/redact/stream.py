"""Redacts a stream of lines, block by block: most blocks are searched once, and are returned as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aletheia_operator.redact.multiline import END, MAX_LINES, MAX_OTHERS, State, body_of_key, opened
from aletheia_operator.redact.patterns import compiled

if TYPE_CHECKING:
    from aletheia_operator.redact.redactor import Redactor

MAX_LOOK_BACK = 100  # lines before the end of a key without a beginning


class Lines:
    """Redacts the lines of one stream. Their number, order and line ends stay."""

    def __init__(self, redactor: Redactor, state: State) -> None:
        self._redactor = redactor
        self.state = state
        """To go on from, with `Redactor.lines`."""

    def feed(self, block: bytes) -> bytes:
        """Return whole lines without secrets; the last one may lack its end. The same object if there are none."""
        parts: list[bytes] = []
        at, size = 0, len(block)
        while at < size:
            if not self.state.in_key:
                hit = self._redactor.next_line(block, at)
                if hit < 0:
                    break
                begin = max(block.rfind(b"\n", at, hit) + 1, at)
                if begin > at:
                    parts.append(block[at:begin])
                    at = begin
            newline = block.find(b"\n", at)
            end = newline if newline >= 0 else size
            parts += [self._line(block[at:end], parts), block[end : end + 1]]
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
        redactor, state = self._redactor, self.state
        if not state.in_key:
            if opened(line):
                self.state = State(in_key=1)
            elif b"-----END " in line and compiled(END).search(line) is not None and b"-----BEGIN " not in line:
                self._look_back(before)
            return redactor.line(line)
        if compiled(END).search(line) is not None:
            self.state = State()
            return redactor.line(line)
        found = body_of_key(line)
        if found is None or state.in_key > MAX_LINES:
            lost = state.others >= MAX_OTHERS or state.in_key > MAX_LINES
            self.state = State() if lost else State(state.in_key, state.others + 1)
            return redactor.line(line)
        self.state = State(state.in_key + 1, 0)
        return redactor.replace(line, *found, "private-key", "private-key")

    def _look_back(self, before: list[bytes]) -> None:
        """Redact the lines of a key before its end: a read may begin in the midst of one."""
        text = b"".join(before)
        lines = text.split(b"\n")
        for number in range(len(lines) - 2, max(len(lines) - 2 - MAX_LOOK_BACK, -1), -1):
            found = body_of_key(lines[number])
            if found is None:
                break
            lines[number] = self._redactor.replace(lines[number], *found, "private-key", "private-key")
        before[:] = [b"\n".join(lines)]
