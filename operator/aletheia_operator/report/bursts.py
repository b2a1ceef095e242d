"""First error and bursts of errors of each container, out of a pod's log entries as they pass. Pure, memory flat."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aletheia_operator.report.moments import Moment
from aletheia_operator.text.levels import one_line
from aletheia_operator.text.timestamps import format_time

SERIOUS = frozenset({"ERROR", "FATAL"})
LEAST_BUCKET_SECONDS = 10
MOST_BUCKETS = 1_000
LEAST_ERRORS = 10  # in a bucket, to be a burst
TIMES_THE_MEAN = 3  # of all buckets of the window


@dataclass
class _Container:
    first: Mapping[str, Any]
    first_entry: int
    count: int = 0
    buckets: Counter[int] = field(default_factory=Counter)
    entries: dict[int, int] = field(default_factory=dict)  # bucket → index of its first error


class ErrorWatch:
    """Counts errors in buckets of time: at least 10 s long, at most 1,000 of them in the window.

    A burst is a run of buckets with at least 10 errors each and at least three times as many as the window's mean bucket.
    """

    def __init__(self, start: datetime, end: datetime) -> None:
        self._start = start
        seconds = (end - start).total_seconds()
        self.bucket_seconds = max(LEAST_BUCKET_SECONDS, seconds / MOST_BUCKETS)
        self._number = max(1.0, seconds / self.bucket_seconds)
        self._containers: dict[str, _Container] = {}
        self._second, self._bucket = "", 0  # of the last error: most come in crowds

    def see(self, entry: Mapping[str, Any], index: int) -> None:
        """A log entry and its index in the artifact."""
        if entry.get("level") not in SERIOUS or not entry.get("timestamp"):
            return
        container = self._containers.get(entry["container"])
        if container is None:
            container = self._containers[entry["container"]] = _Container(entry, index)
        container.count += 1
        bucket = self._bucket_of(entry["timestamp"])
        container.buckets[bucket] += 1
        container.entries.setdefault(bucket, index)

    def moments(self, pod: str) -> Iterator[Moment]:
        for name, container in self._containers.items():
            first = container.first
            words = one_line(str(first.get("message") or first.get("line") or ""), 160)
            yield Moment(first["timestamp"], "FirstError", pod, words, name, container.count, entry=container.first_entry)
            for begin, end in self._bursts(container):
                count = sum(container.buckets[bucket] for bucket in range(begin, end + 1))
                entry = container.entries[begin]
                message = f"{count} errors in {(end - begin + 1) * self.bucket_seconds:.0f} s"
                yield Moment(self._time(begin), "ErrorBurst", pod, message, name, count, self._time(end + 1), entry=entry)

    def _bursts(self, container: _Container) -> list[tuple[int, int]]:
        """First and last bucket of each burst."""
        least = max(LEAST_ERRORS, TIMES_THE_MEAN * container.count / self._number)
        bursts: list[tuple[int, int]] = []
        for bucket in sorted(bucket for bucket, count in container.buckets.items() if count >= least):
            if bursts and bursts[-1][1] == bucket - 1:
                bursts[-1] = bursts[-1][0], bucket
            else:
                bursts.append((bucket, bucket))
        return bursts

    def _bucket_of(self, timestamp: str) -> int:
        second = timestamp[:19]
        if second != self._second:
            moment = datetime.fromisoformat(second).replace(tzinfo=UTC)
            self._second, self._bucket = second, int((moment - self._start).total_seconds() // self.bucket_seconds)
        return self._bucket

    def _time(self, bucket: int) -> str:
        return format_time(self._start + timedelta(seconds=bucket * self.bucket_seconds))
