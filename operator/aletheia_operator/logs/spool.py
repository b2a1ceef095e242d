"""Stores the entries of one run of a container: all of them, or the most important ones within a budget.

Entries are in a file until the run is read back. Above the budget, ERROR and FATAL lines are kept first, then the lines around
them, then an even sample of the rest. The run's last lines are always kept: they show how it ended. Which lines are kept
depends only on the log and the budget, not on the order or size of the reads.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field

from aletheia_operator.logs.marks import BUCKETS, CONTEXT, MARK, Parsed, alike_of, bucket_of, codes_of, count_codes
from aletheia_operator.scratch import Scratch, Stored
from aletheia_operator.text.batches import SEPARATOR, SERIOUS_CODE, Encoded

_BLOCK_BYTES = 128 * 1024  # larger blocks take memory for every run, here and where they are saved
_SERIOUS, _NEAR, _OTHER = range(3)
_CLASSES = tuple(
    _SERIOUS if code & 7 >= SERIOUS_CODE else _NEAR if code & CONTEXT else _OTHER for code in range(16)
)  # by the low bits of a mark
_SLACK = 2  # times the budget that the file may hold before it is thinned out
LAST_LINES = 20  # last lines that are always kept
LAST_BYTES = 256 * 1024  # most bytes of these, except that the last line is always kept
_SMALL_BYTES = 64 * 1024  # most bytes that may stay in memory until the run is read back


@dataclass
class Spool:
    """Entries of one run, in order. `sample_percent`: share to keep of lines that are neither errors nor near one."""

    file: Scratch
    max_bytes: int
    sample_percent: int = 100
    size_bytes: int = 0
    """Bytes of the entries kept so far, without the last ones."""
    total: Counter[int] = field(default_factory=Counter)
    """Entries that were added, by level code."""
    kept: Counter[int] = field(default_factory=Counter)
    """Entries that are kept, by level code; complete after `finish`."""
    over_budget: bool = False

    def __post_init__(self) -> None:
        self._first_bucket_out = [BUCKETS, BUCKETS, BUCKETS * self.sample_percent // 100]
        self._last: list[tuple[int, bytes]] = []  # marks and entries, which go through `_keep` when others follow
        self._last_bytes = 0
        self._begin()

    def _begin(self) -> None:
        self.size_bytes, self.kept = 0, Counter()
        self._numbers: list[tuple[int, int]] = []  # of a block's marks, and of its entries
        self._blocks: list[bytes] = []
        self._marks = array(MARK)
        self._waiting_bytes = 0

    def add(self, parsed: Parsed) -> None:
        """Add entries. Blocks while they are written. Raises OSError; even then, all of them are kept, in memory."""
        if not parsed.marks:
            return
        self.total.update(count_codes(parsed.marks))
        marks = array(MARK, parsed.marks)
        block, last = _split_last(parsed.block, len(marks))
        self._last += zip(marks[len(marks) - len(last) :], last, strict=True)
        self._last_bytes += sum(map(len, last))
        older = 0
        while len(self._last) - older > LAST_LINES or (len(self._last) - older > 1 and self._last_bytes > LAST_BYTES):
            self._last_bytes -= len(self._last[older][1])
            older += 1
        if len(last) < len(marks):  # then all entries that waited until now are older
            before = len(self._last) - len(last)
            self._keep_each(self._last[:before])
            self._keep(marks[: len(marks) - len(last)], block)
            self._keep_each(self._last[before:older])
        else:
            self._keep_each(self._last[:older])
        del self._last[:older]
        self._write_if_large()
        if self.size_bytes > _SLACK * self.max_bytes:
            self._thin(self.max_bytes)

    def end(self) -> None:
        """End the run: write waiting entries to the file, unless they are small. Raises OSError."""
        if self._waiting_bytes > _SMALL_BYTES:
            self._write()

    def finish(self, max_bytes: int) -> None:
        """Thin the entries out to `max_bytes`, not counting the last lines. Raises OSError; nothing is lost then."""
        try:
            if self.size_bytes > max_bytes:
                self._thin(max_bytes)
        finally:
            if self._last:
                marks = array(MARK, (mark for mark, _ in self._last))
                self._put(marks, SEPARATOR.join([entry for _, entry in self._last]))
                self._last = []
        self._write_if_large()

    def blocks(self) -> Iterator[Encoded]:
        """Yield the kept entries, in order. Call it after `finish`. Raises OSError."""
        for marks, number in self._numbers:
            found = self.file.get(marks)
            yield Stored(self.file.get(number), codes_of(found), self.file, number, alike=alike_of(found))
        if self._blocks:
            found = self._marks.tobytes()
            yield Encoded(SEPARATOR.join(self._blocks), codes_of(found), alike=alike_of(found))

    def close(self) -> None:
        """Close the file; the entries are lost."""
        self.file.close()

    def _keep_each(self, entries: list[tuple[int, bytes]]) -> None:
        if entries:
            marks = array(MARK, (mark for mark, _ in entries))
            self._keep(marks, SEPARATOR.join([entry for _, entry in entries]))

    def _keep(self, marks: "array[int]", block: bytes) -> None:
        if min(self._first_bucket_out) < BUCKETS:
            marks, block = self._selected(marks, block)
            if not marks:
                return
        self._put(marks, block)

    def _put(self, marks: "array[int]", block: bytes) -> None:
        self.kept.update(count_codes(marks.tobytes()))
        self.size_bytes += len(block) + len(SEPARATOR)
        self._blocks.append(block)
        self._marks += marks
        self._waiting_bytes += len(block)

    def _write_if_large(self) -> None:
        if self._waiting_bytes >= _BLOCK_BYTES:
            self._write()

    def _write(self) -> None:
        self._numbers.append((self.file.put(self._marks.tobytes()), self.file.put(SEPARATOR.join(self._blocks))))
        self._blocks, self._marks, self._waiting_bytes = [], array(MARK), 0

    def _selected(self, marks: "array[int]", block: bytes) -> tuple["array[int]", bytes]:
        out = [self._first_bucket_out[_CLASSES[code]] for code in range(16)]
        chosen = [bucket_of(mark) < out[mark & 15] for mark in marks]
        if all(chosen):
            return marks, block
        kept = array(MARK, (mark for mark, stays in zip(marks, chosen, strict=True) if stays))
        entries = block.split(SEPARATOR)
        return kept, SEPARATOR.join([entry for entry, stays in zip(entries, chosen, strict=True) if stays])

    def _frames(self) -> Iterator[tuple["array[int]", bytes]]:
        """Yield the marks and the entries of each stored block."""
        for number, block in self._numbers:
            yield array(MARK, self.file.get(number)), self.file.get(block)
        if self._blocks:
            yield self._marks, SEPARATOR.join(self._blocks)

    def _thin(self, max_bytes: int) -> None:
        """Keep what fits into `max_bytes`. Raises OSError; even then, everything is kept as before."""
        self.over_budget = True
        self._first_bucket_out = self._thresholds(max_bytes)
        old = copy(self)
        self.file = self.file.another()
        self._begin()
        try:
            for marks, block in old._frames():
                self._keep(marks, block)
                self._write_if_large()
        except BaseException:
            self.file.close()
            self.__dict__ |= old.__dict__
            raise
        old.file.close()

    def _thresholds(self, max_bytes: int) -> list[int]:
        """Return, for each class, the first bucket that exceeds the budget."""
        sizes = [array("Q", bytes(8 * BUCKETS)) for _ in range(3)]
        for marks, block in self._frames():
            for mark, entry in zip(marks, block.split(SEPARATOR), strict=True):
                sizes[_CLASSES[mark & 15]][bucket_of(mark)] += len(entry) + len(SEPARATOR)
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


def _split_last(block: bytes, entries: int) -> tuple[bytes, list[bytes]]:
    """Return a block without its last entries (at most LAST_LINES), and these. `entries`: how many the block has."""
    if entries <= LAST_LINES:
        return b"", block.split(SEPARATOR)
    older, *last = block.rsplit(SEPARATOR, LAST_LINES)
    return older, last


def share(sizes: list[int], max_bytes: int) -> list[int]:
    """Divide `max_bytes` among runs of these `sizes`: an equal share for each, plus what smaller runs do not need."""
    shares = [0] * len(sizes)
    left = max_bytes
    for rank, index in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        shares[index] = min(sizes[index], left // (len(sizes) - rank))
        left -= shares[index]
    return shares
