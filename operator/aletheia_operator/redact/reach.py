"""Limits how much of a line is read to find values after names, so that long lines take time in proportion to their size.

Many values end with the line, for example those of headers, and each name within one is looked at, too. After the first names
all of the line is read, as long as that is at most MAX_FAR bytes in sum. After later ones a part is read, and more if a value
may go on. What is before a name is counted on from the last one.
"""

from collections.abc import Callable, Iterator

Span = tuple[int, int]

MAX_FAR = 2 * 1024 * 1024
"""Bytes of the line that are read in sum, before parts are."""
MIN_PART, MAX_PART = 1024, 2048
"""Bytes of a part after a name."""
MAX_MORE = 64 * 1024 * 1024
"""Bytes of larger parts that are read in sum, for values that may go on after their part."""
_MARGIN = 512  # a value that ends so near to the end of a part may go on, or others may follow


class Reach:
    """What is still to be read of one line."""

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._part = b""  # the line up to some bytes after the last name
        self._far, self._more = MAX_FAR, MAX_MORE

    def look(self, at: int, find: Callable[[bytes], Iterator[Span]]) -> Iterator[Span]:
        """Yield the values after a name that ends at `at`. `find` finds them in the line, or in its beginning."""
        size = len(self._line) - at
        if self._far >= size:
            self._far -= size
            yield from find(self._line)
            return
        if len(self._part) < min(at + MIN_PART, len(self._line)):
            self._part = self._line[: at + MAX_PART]
        part = self._part
        found = list(find(part))
        while len(part) < len(self._line) and found and found[-1][1] >= len(part) - _MARGIN:
            part = self._line[: at + 4 * (len(part) - at)]
            self._more -= len(part) - at
            if self._more < 0:
                found = [(found[0][0], len(self._line))]  # rather the rest of the line than a part of a secret
                break
            found = list(find(part))
        yield from found


class Before:
    """What a line has before its names. Names are looked at in order, so the line is read once."""

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._counted: dict[bytes, tuple[int, int]] = {}
        self._brace: int | None = None

    def opens(self, quote: bytes, at: int) -> bool:
        """Return whether a quote is open at `at`: an odd number of such quotes is before it."""
        end, number = self._counted.get(quote, (0, 0))
        if at < end:
            end, number = 0, 0
        number += self._line.count(quote, end, at)
        self._counted[quote] = at, number
        return number % 2 == 1

    def has_brace(self, at: int) -> bool:
        """Return whether an opening brace is before `at`."""
        if self._brace is None:
            self._brace = self._line.find(b"{")
        return 0 <= self._brace < at
