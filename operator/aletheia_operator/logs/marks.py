"""Marks a parser's entries by their importance, for a budget."""

import sys
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import or_

from aletheia_operator.text.batches import LEVEL_CODES, SEPARATOR, SERIOUS_CODE

CONTEXT_LINES = 5  # lines before an error, and after it, that are kept with it
CONTEXT = 8  # bit of a mark: near an error
BUCKETS = 4096
MARK = "I"
"""Type code of an array of marks."""
ALIKE_BITS = 16  # bits of a mark below the number that equal lines share
_LOW_BYTE = 0 if sys.byteorder == "little" else array(MARK).itemsize - 1
_HIGH_HALF = 1 if sys.byteorder == "little" else 0
_CODE_OF_MARK = bytes(mark & 7 for mark in range(256))
_BETWEEN = SEPARATOR.decode()


@dataclass(frozen=True, slots=True)
class Parsed:
    """Entries of a run, in order. `marks` has 32 bits for each: level code, CONTEXT, from bit 4 on its bucket, and from bit
    ALIKE_BITS on a number that lines share which differ only in digits; 0 if not known.

    Entries of the first n of BUCKETS buckets are an even sample of all, n/BUCKETS of them (the van der Corput sequence).
    """

    block: bytes
    marks: bytes


def _reversed_bits(number: int) -> int:
    return int(f"{number:012b}"[::-1], 2)


_BUCKET_OF = array("H", (_reversed_bits(number) << 4 for number in range(BUCKETS)))


@dataclass
class MarkedEntries:
    """Collects entries. The last few wait until it is known whether an error follows them."""

    entries: list[str] = field(default_factory=list)
    marks: "array[int]" = field(default_factory=lambda: array(MARK))
    near: int = 0
    """How many of the next entries are near the last error."""
    _ordinal: int = 0

    def add(self, entry: str, code: int, belongs: bool, alike: int = 0) -> None:
        """Add an entry of this level code. `belongs`: it continues an error, for example as a line of its stack trace.

        `alike`: the number that it shares with lines that differ only in digits.
        """
        mark = code | alike << ALIKE_BITS
        if code >= SERIOUS_CODE:
            for before in range(max(0, len(self.marks) - CONTEXT_LINES), len(self.marks)):
                self.marks[before] |= CONTEXT
            self.near = CONTEXT_LINES
        elif self.near:
            self.near -= 1
            mark |= CONTEXT
        elif belongs:
            mark |= CONTEXT
        self.marks.append(mark)
        self.entries.append(entry)

    def add_all(self, entries: Sequence[str], marks: "array[int]", errors: Sequence[int]) -> None:
        """Add entries that continue no error. `marks`: theirs, without CONTEXT. `errors`: which of them are errors."""
        first = start = len(self.marks)
        self.entries += entries
        self.marks += marks
        for error in errors:
            self._mark_near(start, first + error)
            for before in range(max(0, first + error - CONTEXT_LINES), first + error):
                self.marks[before] |= CONTEXT
            self.near = CONTEXT_LINES
            start = first + error + 1
        self._mark_near(start, len(self.marks))

    def _mark_near(self, start: int, stop: int) -> None:
        """Mark the entries from `start` on that are near the error before them."""
        near = min(self.near, stop - start)
        for number in range(start, start + near):
            self.marks[number] |= CONTEXT
        self.near -= near

    def take(self, kept_back: int) -> Parsed:
        """Remove and return all entries but the last `kept_back`."""
        upto = max(0, len(self.entries) - kept_back)
        first = self._ordinal % BUCKETS
        buckets = _BUCKET_OF * ((first + upto) // BUCKETS + 1)
        marks = array(MARK, map(or_, self.marks, buckets[first : first + upto]))
        self._ordinal += upto
        parsed = Parsed(_BETWEEN.join(self.entries[:upto]).encode(), marks.tobytes())
        del self.entries[:upto], self.marks[:upto]
        return parsed


def codes_of(marks: bytes) -> bytes:
    """Return the level code of each mark."""
    return marks[_LOW_BYTE :: array(MARK).itemsize].translate(_CODE_OF_MARK)


def alike_of(marks: bytes) -> "array[int]":
    """Return the number of each mark that equal lines share; 0 if it is not known."""
    return array("H", marks)[_HIGH_HALF::2]


def bucket_of(mark: int) -> int:
    """Return the bucket of a mark."""
    return mark >> 4 & (BUCKETS - 1)


def count_codes(marks: bytes) -> Counter[int]:
    """Count the marks of each level code."""
    codes = codes_of(marks)
    return Counter({code: number for code in range(len(LEVEL_CODES)) if (number := codes.count(code))})
