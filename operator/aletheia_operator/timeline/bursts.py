"""Finds the first error and the bursts of errors of each container in a pod's log entries. Pure; memory is flat."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import le
from typing import Any

from aletheia_operator.text.batches import SERIOUS, Encoded
from aletheia_operator.text.display import one_line
from aletheia_operator.timeline.moments import Moment

MIN_BUCKET_SECONDS = 10
MAX_BUCKETS = 1_000
MIN_ERRORS = 10  # in a bucket, to be a burst
TIMES_THE_MEAN = 3  # of all buckets of the window


@dataclass
class _Bucket:
    """The errors of a span of time. `entry`: index of the first one in the artifact."""

    entry: int
    first: str
    last: str
    count: int = 0


@dataclass
class _Container:
    first: Mapping[str, Any]
    first_entry: int
    count: int = 0
    buckets: dict[int, _Bucket] = field(default_factory=dict)


class ErrorWatch:
    """Counts errors in buckets of time: at least 10 s long, at most 1,000 of them in the window.

    A burst is a run of buckets with at least 10 errors each and at least three times as many as the window's mean bucket.
    """

    def __init__(self, start: datetime, end: datetime) -> None:
        self._start = start.astimezone(UTC).replace(tzinfo=None)
        seconds = (end - start).total_seconds()
        self.bucket_seconds = max(MIN_BUCKET_SECONDS, seconds / MAX_BUCKETS)
        self._number = max(1.0, seconds / self.bucket_seconds)
        self._containers: dict[str, _Container] = {}
        self._second, self._bucket = "", 0  # of the last error: many errors share a second

    def add(self, entry: Mapping[str, Any], index: int) -> None:
        """Count a log entry. `index`: its position in the artifact."""
        if entry.get("level") not in SERIOUS or not entry.get("timestamp"):
            return
        self._count(self._container_of(entry, index), [entry["timestamp"]], index)

    def read(self, entries: Encoded, before: int) -> None:
        """Count the errors of a block. `before`: number of entries before it."""
        serious = entries.serious
        if not entries.alike:
            for number in serious:
                self.add(entries.entry(number), before + number)
        elif serious:  # a block of one run, so decoding one is enough
            container = self._container_of(entries.entry(serious[0]), before + serious[0])
            stamps = entries.times_of(serious)
            in_order = all(map(le, stamps, stamps[1:]))
            start = 0
            while start < len(stamps):
                end = self._end_of_bucket(stamps, start) if in_order else start + 1
                self._count(container, stamps[start:end], before + serious[start])
                start = end

    def _container_of(self, entry: Mapping[str, Any], index: int) -> _Container:
        container = self._containers.get(entry["container"])
        if container is None:
            container = self._containers[entry["container"]] = _Container(entry, index)
        return container

    def _count(self, container: _Container, stamps: list[str], index: int) -> None:
        """Count errors of one bucket. `index`: of the first of them."""
        container.count += len(stamps)
        number = self._bucket_of(stamps[0])
        bucket = container.buckets.get(number)
        if bucket is None:
            bucket = container.buckets[number] = _Bucket(index, stamps[0], stamps[0])
        bucket.count += len(stamps)
        bucket.last = max(bucket.last, *stamps)

    def moments(self, pod: str) -> Iterator[Moment]:
        for name, container in self._containers.items():
            first = container.first
            words = one_line(str(first.get("message") or first.get("line") or ""), 160)
            yield Moment(first["timestamp"], "FirstError", pod, words, name, container.count, entry=container.first_entry)
            for burst in self._bursts(container):
                count, begin, end = sum(bucket.count for bucket in burst), burst[0], burst[-1].last
                message = f"{count} errors until {end[11:19]}"
                yield Moment(begin.first, "ErrorBurst", pod, message, name, count, end, entry=begin.entry)

    def _bursts(self, container: _Container) -> list[list[_Bucket]]:
        """Return the runs of buckets with exceptionally many errors."""
        least = max(MIN_ERRORS, TIMES_THE_MEAN * container.count / self._number)
        bursts: list[list[_Bucket]] = []
        previous = -2
        for number in sorted(number for number, bucket in container.buckets.items() if bucket.count >= least):
            if number != previous + 1:
                bursts.append([])
            bursts[-1].append(container.buckets[number])
            previous = number
        return bursts

    def _end_of_bucket(self, stamps: list[str], start: int) -> int:
        """Return the number of the first of these times in order that is in a later bucket than that of number `start`."""
        number = self._bucket_of(stamps[start])
        if self._bucket_of(stamps[-1]) == number:
            return len(stamps)
        return bisect_right(stamps, number, lo=start, key=self._bucket_of)

    def _bucket_of(self, timestamp: str) -> int:
        second = timestamp[:19]
        if second != self._second:
            moment = datetime.fromisoformat(second)
            self._second, self._bucket = second, int((moment - self._start).total_seconds() // self.bucket_seconds)
        return self._bucket
