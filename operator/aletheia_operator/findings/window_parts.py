"""Finds the part of the window that a line is in, for the histograms of templates. Most blocks lie in one part."""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime

from aletheia_operator.findings.line_groups import stamp_of
from aletheia_operator.findings.templates import BUCKETS
from aletheia_operator.text.batches import Encoded


class WindowParts:
    """The BUCKETS equal parts of a window. `current`: the part of the last line with a time."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.current = 0
        self._start = start
        self._seconds = max(1.0, (end - start).total_seconds() / BUCKETS)
        self._second = ""

    def of(self, stamp: str) -> int:
        """Return the part of a time; of the last line if `stamp` is ''."""
        second = stamp[:19]
        if second and second != self._second:
            moment = datetime.fromisoformat(second).replace(tzinfo=UTC)
            self._second = second
            self.current = min(BUCKETS - 1, max(0, int((moment - self._start).total_seconds() // self._seconds)))
        return self.current

    def split(self, numbers: list[int], entries: Encoded) -> Iterator[list[int]]:
        """Yield these lines by their part, and set `current` to it. Lines are nearly in order, so only a few are looked at."""
        start, last = 0, len(numbers) - 1
        while start <= last:
            part = self._part_of(numbers[start], entries)
            end = last + 1
            if self._part_of(numbers[last], entries) != part:
                end = bisect_left(range(end), True, lo=start + 1, key=lambda at: self._part_of(numbers[at], entries) != part)
            self._second, self.current = "", part
            yield numbers[start:end] if end - start < len(numbers) else numbers
            start = end

    def _part_of(self, number: int, entries: Encoded) -> int:
        return self.of(stamp_of(entries.line(number)))
