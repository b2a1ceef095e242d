"""Redacts a stream of lines, block by block. Most blocks contain no secret: they are searched once and returned unchanged."""

from typing import Protocol

from aletheia_operator.redact import following
from aletheia_operator.redact.multiline import END, State, after, body_of_key, inside
from aletheia_operator.redact.patterns import compiled

MAX_LOOK_BACK = 100  # lines before the end of a private key that has no beginning in this stream
KEY = "private-key"
AFTER_HIT_BYTES = 64
"""Bytes that are searched at once after a hit: hits come together, and RE2 may search far past a match for a longer match."""


class LineRedactor(Protocol):
    """Redacts single lines: a `Redactor`."""

    def next_line(self, block: bytes, start: int, end: int | None = None) -> int:
        """Return the beginning of a line of a block before which no line has a secret; -1 if none has. `end`: where to stop."""
        ...

    def line(self, line: bytes) -> bytes:
        """Return a line without the secrets that begin and end within it."""
        ...

    def replace(self, line: bytes, start: int, end: int, rule: str, label: str = ...) -> bytes:
        """Return a line with the bytes from `start` to `end` replaced by a token."""
        ...


class Lines:
    """Redacts the lines of one stream. Keeps their number, order and line ends."""

    def __init__(self, redactor: LineRedactor, state: State) -> None:
        self._redactor = redactor
        self.state = state
        """What is known of earlier lines: pass it to `Redactor.lines` to continue later."""

    def feed(self, block: bytes) -> bytes:
        """Return a block without secrets; the same object if it has none. `block`: lines; the last may lack its end."""
        parts: list[bytes] = []
        at, size = 0, len(block)
        window = size
        while at < size:
            if not self.state.is_open:
                stop = block.find(b"\n", at + window) + 1 or size
                hit = self._redactor.next_line(block, at, stop)
                if hit < 0 and stop == size:
                    break
                if hit < 0:
                    parts.append(block[at:stop])
                    at, window = stop, window * 4
                    continue
                window = AFTER_HIT_BYTES
                if hit > at:
                    parts.append(block[at:hit])
                    at = hit
            newline = block.find(b"\n", at)
            end = newline if newline >= 0 else size
            parts.append(self._line(block[at:end], parts))
            parts.append(block[end : end + 1])
            at = end + 1
        if not parts:
            return block
        parts.append(block[at:])
        return b"".join(parts)

    def _line(self, line: bytes, before: list[bytes]) -> bytes:
        redactor = self._redactor
        if self.state.how in following.HOWS:
            return self._following(line)
        if self.state.is_open:
            in_key = self.state.key_lines
            found, self.state = inside(self.state, line)
            if found is not None:
                return redactor.line(redactor.replace(line, *found, *((KEY, KEY) if in_key else ("multiline",))))
            if self.state.is_open:
                return redactor.line(line)
        elif b"-----END " in line and b"-----BEGIN " not in line and compiled(END).search(line) is not None:
            self._look_back(before)
        self._open(line, before)
        return redactor.line(line)

    def _open(self, line: bytes, before: list[bytes]) -> None:
        """Set the state after a line outside of any secret. Redact the secrets of earlier lines that it announces."""
        self.state = after(self.state, line)
        if self.state.is_open:
            return
        self.state = following.opened(self.state, line)
        if before and following.looks_back(line):
            lines = _last_lines(before, following.MAX_EARLIER)
            for number, part in following.earlier(line, lines[:-1]):
                lines[number] = self._redactor.replace(lines[number], *part, "multiline")
            before.append(b"\n".join(lines))

    def _following(self, line: bytes) -> bytes:
        found, state = following.inside(self.state, line)
        self.state = after(state.closed(), line)
        if not self.state.is_open:
            self.state = state
        for part in reversed(found):
            line = self._redactor.replace(line, *part, "multiline")
        return self._redactor.line(line)

    def _look_back(self, before: list[bytes]) -> None:
        """Redact, in place, lines before the end of a private key: the stream may begin within the key."""
        lines = b"".join(before).split(b"\n")
        for number in range(len(lines) - 2, max(len(lines) - 2 - MAX_LOOK_BACK, -1), -1):
            found = body_of_key(lines[number])
            if found is None:
                break
            lines[number] = self._redactor.replace(lines[number], *found, KEY, KEY)
        before[:] = [b"\n".join(lines)]


def _last_lines(parts: list[bytes], most: int) -> list[bytes]:
    """Remove the last lines from the end of `parts`, and return them: at most `most`, and the empty text after them."""
    taken: list[bytes] = []
    ends = 0
    while parts and ends <= most:
        part = parts.pop()
        ends += part.count(b"\n")
        taken.append(part)
    lines = b"".join(reversed(taken)).rsplit(b"\n", most + 1)
    if len(lines) > most + 1:
        parts.append(lines.pop(0) + b"\n")
    return lines
