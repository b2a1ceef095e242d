"""What is kept of one run of a container: all of it, or what matters most within a budget.

Entries wait in a file. When they are more than the budget, errors and fatals stay first, then the lines around them, then an
even sample of the rest. Which lines stay depends on the log and the budget alone, not on how the log arrived.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field

from aletheia_operator.logs.run_parser import BUCKETS, CONTEXT, Parsed, codes_of, count_codes
from aletheia_operator.scratch import Scratch, Stored
from aletheia_operator.text.batches import SEPARATOR, SERIOUS_CODE, Encoded

_BLOCK_BYTES = 512 * 1024
_SERIOUS, _NEAR, _OTHER = range(3)
_CLASSES = tuple(
    _SERIOUS if code & 7 >= SERIOUS_CODE else _NEAR if code & CONTEXT else _OTHER for code in range(16)
)  # by the low bits of a mark
_SLACK = 2  # the file may hold so many budgets before it is thinned out


@dataclass
class Spool:
    """Entries of one run in their order. `sample_percent` is what is wanted of lines that are no errors, nor near one."""

    scratch: Callable[[], Scratch]
    max_bytes: int
    sample_percent: int = 100
    size_bytes: int = 0
    """Of the entries kept so far."""
    total: Counter[int] = field(default_factory=Counter)
    """Entries that came, by level code."""
    kept: Counter[int] = field(default_factory=Counter)

    over_budget: bool = False

    def __post_init__(self) -> None:
        self._first_bucket_out = [BUCKETS, BUCKETS, BUCKETS * self.sample_percent // 100]
        self._begin()

    def _begin(self) -> None:
        self.file = self.scratch()
        self.size_bytes, self.kept = 0, Counter()
        self._numbers: list[tuple[int, int]] = []  # of a block's marks, and of its entries
        self._blocks: list[bytes] = []
        self._marks = array("H")
        self._waiting_bytes = 0

    def add(self, parsed: Parsed) -> None:
        """Take entries. Blocks while they are written. Raises OSError."""
        if not parsed.marks:
            return
        self.total.update(count_codes(parsed.marks))
        self._keep(array("H", parsed.marks), parsed.block)
        if self.size_bytes > _SLACK * self.max_bytes:
            self._thin(self.max_bytes)

    def finish(self, max_bytes: int) -> None:
        """Keep at most so many bytes."""
        if self.size_bytes > max_bytes:
            self._thin(max_bytes)

    def blocks(self) -> Iterator[Encoded]:
        for marks, number in self._numbers:
            yield Stored(self.file.get(number), codes_of(self.file.get(marks)), self.file, number)
        if self._blocks:
            yield Encoded(SEPARATOR.join(self._blocks), codes_of(self._marks.tobytes()))

    def close(self) -> None:
        self.file.close()

    def _keep(self, marks: "array[int]", block: bytes) -> None:
        if min(self._first_bucket_out) < BUCKETS:
            marks, block = self._selected(marks, block)
            if not marks:
                return
        self.kept.update(count_codes(marks.tobytes()))
        self.size_bytes += len(block) + len(SEPARATOR)
        self._blocks.append(block)
        self._marks += marks
        self._waiting_bytes += len(block)
        if self._waiting_bytes >= _BLOCK_BYTES:
            self._numbers.append((self.file.put(self._marks.tobytes()), self.file.put(SEPARATOR.join(self._blocks))))
            self._blocks, self._marks, self._waiting_bytes = [], array("H"), 0

    def _selected(self, marks: "array[int]", block: bytes) -> tuple["array[int]", bytes]:
        out = [self._first_bucket_out[_CLASSES[code]] for code in range(16)]
        chosen = [mark >> 4 < out[mark & 15] for mark in marks]
        if all(chosen):
            return marks, block
        kept = array("H", (mark for mark, stays in zip(marks, chosen, strict=True) if stays))
        entries = block.split(SEPARATOR)
        return kept, SEPARATOR.join([entry for entry, stays in zip(entries, chosen, strict=True) if stays])

    def _frames(self) -> Iterator[tuple["array[int]", bytes]]:
        """What was kept so far, marks and entries."""
        for number, block in self._numbers:
            yield array("H", self.file.get(number)), self.file.get(block)
        if self._blocks:
            yield self._marks, SEPARATOR.join(self._blocks)

    def _thin(self, max_bytes: int) -> None:
        self.over_budget = True
        self._first_bucket_out = self._thresholds(max_bytes)
        old = copy(self)
        self._begin()
        for marks, block in old._frames():
            self._keep(marks, block)
        old.close()

    def _thresholds(self, max_bytes: int) -> list[int]:
        """For each class the first bucket that no longer fits."""
        sizes = [array("Q", bytes(8 * BUCKETS)) for _ in range(3)]
        for marks, block in self._frames():
            for mark, entry in zip(marks, block.split(SEPARATOR), strict=True):
                sizes[_CLASSES[mark & 15]][mark >> 4] += len(entry) + len(SEPARATOR)
        out, left = [], max_bytes
        for of_class, before in zip(sizes, self._first_bucket_out, strict=True):
            bucket = 0
            while bucket < before and of_class[bucket] <= left:
                left -= of_class[bucket]
                bucket += 1
            out.append(bucket)
            if bucket < before:
                left = 0
        return out


def share(sizes: list[int], max_bytes: int) -> list[int]:
    """Bytes for each of several runs: none is cut below an equal share, and what the small ones leave goes to the others."""
    shares = [0] * len(sizes)
    left = max_bytes
    for rank, index in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        shares[index] = min(sizes[index], left // (len(sizes) - rank))
        left -= shares[index]
    return shares
