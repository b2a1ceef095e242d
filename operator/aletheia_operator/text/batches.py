"""Batches of encoded entries: JSON objects with SEPARATOR between them, and one level code for each."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from itertools import accumulate, compress
from typing import Any

import orjson

SEPARATOR = b",\n"
"""Separator between entries. An encoded entry contains no line feed."""
MANY = 0.25
"""Above this share of a block's lines, handling all of them is quicker than looking for each."""
KEY = slice(len(b'{"timestamp":"'), len(b'{"timestamp":"2026-11-22T15:21:11.072842937Z'))
"""Position of the timestamp in an encoded entry. Timestamps sort as text."""
LEVEL_CODES = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""Level of each code. Code 0: the entry has no level."""
SERIOUS = frozenset({"ERROR", "FATAL"})
SERIOUS_CODE = LEVEL_CODES.index("ERROR")
"""Lowest code of a serious level."""


def table_of(*levels: str) -> bytes:
    """Return a table for `numbers_of` that finds the entries of these levels; "" stands for entries without a level."""
    return bytes(level in levels for level in LEVEL_CODES).ljust(256, b"\0")


SERIOUS_CODES = table_of(*SERIOUS)


@dataclass(frozen=True)
class Encoded:
    """Entries as JSON with SEPARATOR between, and the level code of each."""

    block: bytes
    codes: bytes
    alike: Sequence[int] = field(default=(), kw_only=True)
    """A number for each entry, if a parser gave them: equal numbers mean lines of one run and level that differ only in
    digits. 0: not known."""

    @property
    def count(self) -> int:
        return len(self.codes)

    @cached_property
    def lines(self) -> list[bytes]:
        """The entries; all but the last end with the comma of SEPARATOR."""
        return self.block.split(b"\n") if self.codes else []

    @property
    def first(self) -> bytes:
        """The first of `lines`."""
        end = self.block.find(b"\n")
        return self.block[:end] if end >= 0 else self.block

    def line(self, number: int) -> bytes:
        """Return one of `lines`. Does not split the block: that takes five times as long as to find where its lines begin."""
        if "lines" in self.__dict__:
            return self.lines[number]
        return self.block[self._starts[number] : self._starts[number + 1] - 1]

    def lines_of(self, numbers: Sequence[int]) -> list[bytes]:
        """Return the lines with these numbers. Splits the block if they are many."""
        if len(numbers) > MANY * self.count:
            lines = self.lines
            return [lines[number] for number in numbers]
        block, starts = self.block, self._starts
        return [block[starts[number] : starts[number + 1] - 1] for number in numbers]

    def times_of(self, numbers: Sequence[int]) -> list[str]:
        """Return the times of the entries with these numbers. Each must have a time."""
        block, starts = self.block, self._starts
        return [block[starts[number] + KEY.start : starts[number] + KEY.stop].decode() for number in numbers]

    @cached_property
    def _starts(self) -> "array[int]":
        """The position of each entry, and of one more behind the last."""
        starts = array("Q", accumulate(map(len, BytesIO(self.block)), initial=0))
        starts[-1] += 1
        return starts

    @cached_property
    def serious(self) -> list[int]:
        """Numbers of the entries of a serious level: several readers of a batch share them."""
        return numbers_of(SERIOUS_CODES, self.codes)

    def entry(self, number: int) -> Any:
        """Return an entry, decoded."""
        return orjson.loads(self.line(number).removesuffix(b","))


def numbers_of(table: bytes, codes: bytes) -> list[int]:
    """Return the numbers of the entries with a code that `table` maps to 1."""
    marks = codes.translate(table)
    if (count := marks.count(1)) > MANY * len(marks):
        return [*compress(range(len(marks)), marks)]
    found, at = [], -1
    for _ in range(count):
        at = marks.find(1, at + 1)
        found.append(at)
    return found
