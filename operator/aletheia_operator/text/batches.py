"""Batches of encoded entries: JSON objects with SEPARATOR between them, and one level code for each."""

from dataclasses import dataclass

SEPARATOR = b",\n"
"""Stands between entries. An encoded entry contains no line feed."""
KEY = slice(len(b'{"timestamp":"'), len(b'{"timestamp":"2026-11-22T15:21:11.072842937Z'))
"""Position of the timestamp in an encoded entry. Timestamps sort as text."""
LEVEL_CODES = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""Level of each code. Code 0: the entry has no level."""
SERIOUS = frozenset({"ERROR", "FATAL"})
SERIOUS_CODE = LEVEL_CODES.index("ERROR")
"""Lowest code of a serious level."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Entries as JSON with SEPARATOR between, and the level code of each."""

    block: bytes
    codes: bytes

    @property
    def count(self) -> int:
        return len(self.codes)
