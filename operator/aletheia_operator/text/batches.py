"""Batches of encoded entries: JSON objects with SEPARATOR between them, and one level code for each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

SEPARATOR = b",\n"
"""Separator between entries. An encoded entry contains no line feed."""
END_LINES = 32
"""Number of lines at either end of a block that are found without splitting it."""
KEY = slice(len(b'{"timestamp":"'), len(b'{"timestamp":"2026-11-22T15:21:11.072842937Z'))
"""Position of the timestamp in an encoded entry. Timestamps sort as text."""
LEVEL_CODES = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""Level of each code. Code 0: the entry has no level."""
SERIOUS = frozenset({"ERROR", "FATAL"})
SERIOUS_CODE = LEVEL_CODES.index("ERROR")
"""Lowest code of a serious level."""
SERIOUS_CODES = re.compile(b"[%c-%c]" % (SERIOUS_CODE, len(LEVEL_CODES) - 1))


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

    def line(self, number: int) -> bytes:
        """Return one of `lines`. Does not split the whole block for one of the first or last lines."""
        if "lines" in self.__dict__ or END_LINES <= number < self.count - END_LINES:
            return self.lines[number]
        return self._first[number] if number < END_LINES else self._last[number - self.count]

    @cached_property
    def _first(self) -> list[bytes]:
        return self.block[: self._end_of_first].split(b"\n")

    @cached_property
    def _end_of_first(self) -> int:
        at = -1
        for _ in range(min(END_LINES, self.count)):
            at = self.block.find(b"\n", at + 1)
        return at if at >= 0 else len(self.block)

    @cached_property
    def _last(self) -> list[bytes]:
        at = len(self.block)
        for _ in range(min(END_LINES, self.count)):
            at = self.block.rfind(b"\n", 0, at)
        return self.block[at + 1 :].split(b"\n")

    @cached_property
    def serious(self) -> list[tuple[int, Any]]:
        """Number and content of each entry of a serious level: several readers of a batch share them."""
        return [(match.start(), self.entry(match.start())) for match in SERIOUS_CODES.finditer(self.codes)]

    def entry(self, number: int) -> Any:
        """Return an entry, decoded."""
        return orjson.loads(self.line(number).removesuffix(b","))
