"""Chooses the lines of a block that findings are made of: errors, warnings, and lines without a level that have a category.

Of other lines only those of garbage collectors are chosen that report a long pause: these have the level INFO.

A search holds the interpreter's lock, so each covers only a part of a block. Its cost is mostly that of its matches. So if many
lines match, the lines are grouped first (`line_groups`), and only those of new groups are searched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from aletheia_operator.api.expressions import compiled_once
from aletheia_operator.findings.error_categories import any_category, pauses
from aletheia_operator.findings.line_groups import Block, Group, LineGroups
from aletheia_operator.findings.stack_reasons import without_frames
from aletheia_operator.text.batches import LEVEL_CODES, Encoded, numbers_of, table_of

PIECE_BYTES = 256 * 1024
MANY = 0.25  # share of the lines without a level that match
_WARNINGS = table_of("WARN")
_WARNING = bytes([LEVEL_CODES.index("WARN")])
_INFO = table_of("INFO")
SEARCHED_BLOCKS = 4
"""Number of first blocks, and distance of later ones, in which collectors are looked for until one logs: they log often."""
_UNKNOWN = table_of("")
"""Tables for `numbers_of`, by level code."""


@dataclass
class LineChoice:
    """Chooses lines of one artifact.

    `unsearched`: all lines without a level of the last block were chosen, unsearched, since many of the block before matched.
    """

    unsearched: bool = False
    _many_match: bool = False
    _blocks: int = 0
    _collector_logs: bool = False

    def of(self, entries: Encoded, serious: list[int]) -> list[int]:
        """Return the numbers of the chosen lines, in order. `serious`: those of the errors."""
        warnings = numbers_of(_WARNINGS, entries.codes) if _WARNING in entries.codes else []
        unknown = without_frames(numbers_of(_UNKNOWN, entries.codes), entries) if b"\0" in entries.codes else []
        found = unknown
        self.unsearched = self._many_match
        if not self.unsearched:
            found = [*categorised(entries, unknown)]
            self._many_match = len(found) > MANY * len(unknown)
        chosen = [some for some in (serious, warnings, found, self._long_pauses(entries)) if some]
        return sorted(chain(*chosen)) if len(chosen) > 1 else [*chain(*chosen)]

    def _long_pauses(self, entries: Encoded) -> list[int]:
        """Return the numbers of the lines at INFO in which a garbage collector reports a pause of a second or more."""
        self._blocks += 1
        if not self._collector_logs and self._blocks > SEARCHED_BLOCKS and self._blocks % SEARCHED_BLOCKS:
            return []
        if _collector().search(entries.block) is None:
            return []
        self._collector_logs = True
        return [*_matching(pauses(), entries, numbers_of(_INFO, entries.codes))]

    def with_category(self, run: bytes, block: Block, groups: LineGroups, entries: Encoded) -> list[Group]:
        """Return a block's groups without those of which the lines have neither a level nor a category. Remembers these.

        `run`: of the block in `groups`. The next block is searched first if most of its lines are of new groups.
        """
        if not self.unsearched:
            return block.groups
        codes = entries.codes
        unknown = [group for group in block.groups if not codes[group.first]]
        new = [group for group in unknown if group.known is None]
        found = set(categorised(entries, [group.first for group in new]))
        for group in new:
            if group.first not in found:
                groups.ignore(run, group)
        self._many_match = self._many_match and len(new) <= sum(group.count for group in unknown) / 2
        return [group for group in block.groups if codes[group.first] or group.known is not None or group.first in found]


_collector = compiled_once(b"GC")
"""Returns the pattern for a word of all blocks with lines of garbage collectors. RE2 finds it faster than `in` does."""


def categorised(entries: Encoded, numbers: list[int]) -> Iterator[int]:
    """Yield those of these lines that have a category of `error_categories`."""
    yield from _matching(any_category(), entries, numbers)


def _matching(pattern: Any, entries: Encoded, numbers: list[int]) -> Iterator[int]:
    for some, piece in _pieces(entries, numbers):
        line, counted, last = 0, 0, -1
        for match in pattern.finditer(piece):
            start = match.start()
            line, counted = line + piece.count(b"\n", counted, start), start
            if line != last:
                last = line
                yield some[line]


def _pieces(entries: Encoded, numbers: list[int]) -> Iterator[tuple[list[int], bytes]]:
    """Yield groups of these lines, with their numbers. A group is small, unless a single line is long."""
    start, size = 0, 0
    lines = entries.lines_of(numbers) if numbers else []
    for at, line in enumerate(lines):
        size += len(line)
        if size > PIECE_BYTES or at + 1 == len(numbers):
            yield numbers[start : at + 1], b"\n".join(lines[start : at + 1])
            start, size = at + 1, 0
