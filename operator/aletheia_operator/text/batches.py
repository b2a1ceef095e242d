"""Batches of encoded entries: JSON objects with SEPARATOR between them, and one level code for each."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

SEPARATOR = b",\n"
"""Separator between entries. An encoded entry contains no line feed."""
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

    @property
    def count(self) -> int:
        return len(self.codes)

    @cached_property
    def lines(self) -> list[bytes]:
        """The entries; all but the last end with the comma of SEPARATOR."""
        return self.block.split(b"\n") if self.codes else []

    @cached_property
    def serious(self) -> list[tuple[int, Any]]:
        """Number and content of each entry of a serious level: several readers of a batch share them."""
        return [(match.start(), self.entry(match.start())) for match in SERIOUS_CODES.finditer(self.codes)]

    def entry(self, number: int) -> Any:
        """Return an entry, decoded."""
        return orjson.loads(self.lines[number].removesuffix(b","))
