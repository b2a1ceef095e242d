"""Joins the series of several chunks. Samples go to a scratch file; only their positions are in memory."""

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from aletheia_operator.fetchers.prometheus.stream import LISTS, SINGLES, EndOfSeries, Event
from aletheia_operator.fetchers.prometheus.summary import Peak
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.documents import redact_document
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.encoding import dumps

BATCH_BYTES = 4 * 1024 * 1024
PENDING_PARTS = 4
"""Most parts of one series in memory, each of up to half a MiB. More go to the scratch file before the labels are known."""
MAX_LABELS_BYTES = 16 * 1024 * 1024
"""Most bytes of the labels of all series together, which are in memory."""
MAX_PARTS = 500_000
"""Most parts of all series together, each a few numbers in memory. Ten thousand series of the longest window have fewer."""
KINDS = (*LISTS, *SINGLES)
_SAMPLE = re.compile(rb'\[([^\[\],"]+),"([^"]*)"\]')  # as `add` encodes samples


@dataclass
class _Chunk:
    """State before a chunk, and the parts that it added, so that it can be undone."""

    peak: Peak
    samples: int
    dropped: int
    added: Counter[bytes] = field(default_factory=Counter)
    """The number of stored parts by their series' key."""


class SeriesStore:
    """Stores the events of one chunk after the other, and yields complete series in the order of their first sample.

    Samples of a series keep the order of the chunks. `dropped` counts series without room, once for each chunk.
    """

    def __init__(self, scratch: Scratch, max_series: int) -> None:
        self.max_series = max_series
        self.dropped = 0
        self.samples = 0
        self._labels_bytes = 0
        self._parts_left = MAX_PARTS
        self.peak = Peak()
        self._scratch = scratch
        self._closed = False
        self._parts: dict[bytes, array[int]] = {}  # of each part: its number in the scratch file, and its kind
        self._pending: list[tuple[str, bytes]] = []  # parts of a series before its labels are known
        self._written = array("Q")  # earlier parts of the same series, in the scratch file
        self._overflows = False  # whether this series has more parts than there is room for
        self._pending_samples = 0
        self._pending_peak = Peak()
        self._chunk = _Chunk(self.peak, 0, 0)

    def __len__(self) -> int:
        return len(self._parts)

    def begin_chunk(self) -> None:
        """Begin a chunk: `forget_chunk` will return to this state."""
        self._chunk = _Chunk(replace(self.peak), self.samples, self.dropped)
        self._forget_pending()

    def forget_chunk(self) -> None:
        """Remove everything since `begin_chunk`, because the chunk broke off and will be queried again."""
        for key, number in self._chunk.added.items():
            parts = self._parts[key]
            del parts[len(parts) - number :]
            self._parts_left += number
            if not parts:
                del self._parts[key]
                self._labels_bytes -= len(key)
        self.peak, self.samples, self.dropped = self._chunk.peak, self._chunk.samples, self._chunk.dropped
        self.begin_chunk()

    def add(self, events: Sequence[Event]) -> None:
        """Store samples. Raises OSError when the volume is full, ValueError after `close`."""
        if self._closed:
            raise ValueError("the series store is closed")
        for event in events:
            if isinstance(event, EndOfSeries):
                self._end(event.labels)
                continue
            if self._overflows:
                continue
            self._pending.append((event.kind, dumps(event.samples if event.kind in LISTS else event.samples[0])))
            self._pending_samples += len(event.samples)
            if len(self._pending) == PENDING_PARTS:
                self._write_pending()
            if event.kind in ("values", "value"):
                self._pending_peak.add(b"", event.samples)

    def _end(self, labels: dict[str, Any]) -> None:
        key = dumps(labels, sort_keys=True)
        has_room = self._has_room(key)
        if has_room:
            self._write_pending()
        if not has_room or self._overflows:
            self.dropped += 1
        else:
            self._labels_bytes += len(key) if key not in self._parts else 0
            self._parts_left -= len(self._written)
            self._parts.setdefault(key, array("Q")).extend(self._written)
            self._chunk.added[key] += len(self._written)
            self.samples += self._pending_samples
            self.peak.take(key, self._pending_peak)
        self._forget_pending()

    def _has_room(self, key: bytes) -> bool:
        if self._overflows or self._parts_left <= 0:
            return False
        more = len(self._parts) < self.max_series and self._labels_bytes + len(key) <= MAX_LABELS_BYTES
        return more or key in self._parts

    def _write_pending(self) -> None:
        self._overflows = len(self._written) + len(self._pending) > max(self._parts_left, PENDING_PARTS)
        if not self._overflows:
            self._written.extend(_part(kind, self._scratch.put(samples)) for kind, samples in self._pending)
        self._pending = []

    def _forget_pending(self) -> None:
        self._pending, self._written, self._pending_samples, self._pending_peak = [], array("Q"), 0, Peak()
        self._overflows = False

    def batches(self, redactor: Redactor) -> Iterator[list[dict[str, Any]]]:
        """Yield entries {"metric": {label: value}, "values": [...]}, about BATCH_BYTES at a time, as the server sent them.

        `redactor` removes secrets from the labels, which are only in memory until then.
        """
        batch: list[dict[str, Any]] = []
        size = 0
        for key, parts in self._parts.items():
            batch.append(self._entry(key, redactor))
            size += len(key) + sum(self._scratch.size(number) for _, number in map(_kind_and_number, parts))
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def close(self) -> None:
        """Close the scratch file. Calling it again does nothing."""
        if not self._closed:
            self._closed = True
            self._scratch.close()

    def samples_of(self, key: bytes) -> list[tuple[float, float]]:
        """Return the moments (Unix seconds) and values of one series; [] if there is no such series."""
        samples: list[tuple[float, float]] = []
        try:
            for kind, number in map(_kind_and_number, self._parts.get(key, ())):
                if kind in ("values", "value"):
                    found = _SAMPLE.findall(self._scratch.get(number))
                    samples += [(float(moment), float(value)) for moment, value in found]
        except ValueError:
            return []
        return samples

    def keys(self) -> Iterator[bytes]:
        """Return the keys of all series: their labels as JSON with sorted names."""
        return iter(self._parts)

    def _entry(self, key: bytes, redactor: Redactor) -> dict[str, Any]:
        labels = orjson.loads(key)
        redact_document(labels, redactor)
        entry: dict[str, Any] = {"metric": orjson.Fragment(dumps(labels))}
        parts = [_kind_and_number(part) for part in self._parts[key]]
        for kind in dict.fromkeys(kind for kind, _ in parts):
            texts = [self._scratch.get(number) for kind_of_part, number in parts if kind_of_part == kind]
            if kind in LISTS:
                entry[kind] = orjson.Fragment(b"[" + b",".join(text[1:-1] for text in texts if len(text) > 2) + b"]")
            else:
                entry[kind] = orjson.Fragment(texts[-1])
        return entry


def _part(kind: str, number: int) -> int:
    return number * len(KINDS) + KINDS.index(kind)


def _kind_and_number(part: int) -> tuple[str, int]:
    return KINDS[part % len(KINDS)], part // len(KINDS)
