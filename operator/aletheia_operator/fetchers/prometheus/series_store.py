"""Series glued from the answers of several chunks. Samples lie in a scratch file, memory holds where."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from aletheia_operator.fetchers.prometheus.summary import Peak
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.encoding import dumps

BATCH_BYTES = 4 * 1024 * 1024
_LISTS = ("values", "histograms")
_SINGLES = ("value", "histogram")
_SAMPLE = re.compile(rb'\[([^\[\],"]+),"([^"]*)"\]')  # as `put` writes them


class Gathered:
    """Takes the series of one chunk after the other, gives them whole, in the order in which they first came.

    Samples of a series are kept in the order of the chunks; a series past `max_series` is counted and dropped.
    """

    def __init__(self, scratch: Scratch, max_series: int) -> None:
        self.max_series = max_series
        self.dropped = 0
        self.samples = 0
        self.peak = Peak()
        self._scratch = scratch
        self._parts: dict[bytes, list[tuple[str, int]]] = {}
        self._in_chunk: list[bytes] = []

    def __len__(self) -> int:
        return len(self._parts)

    def begin_chunk(self) -> None:
        """What comes now is of another chunk."""
        self._in_chunk = []

    def forget_chunk(self) -> None:
        """The chunk broke off and will be asked again."""
        for key in self._in_chunk:
            self._parts[key].pop()
            if not self._parts[key]:
                del self._parts[key]
        self._in_chunk = []

    def add(self, series: dict[str, Any]) -> None:
        key = dumps(series["metric"], sort_keys=True)
        parts = self._parts.get(key)
        if parts is None:
            if len(self._parts) >= self.max_series:
                self.dropped += 1
                return
            parts = self._parts[key] = []
        for kind in (*_LISTS, *_SINGLES):
            samples = series.get(kind)
            if not isinstance(samples, list):
                continue
            parts.append((kind, self._scratch.put(dumps(samples))))
            self._in_chunk.append(key)
            self.samples += len(samples) if kind in _LISTS else 1
            if kind in ("values", "value"):
                self.peak.see(key, samples if kind == "values" else [samples])

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """Entries {"metric": {label: value}, "values": [...]}, a few MiB at a time: JSON that is not parsed again."""
        batch: list[dict[str, Any]] = []
        size = 0
        for key, parts in self._parts.items():
            batch.append(self._entry(key))
            size += len(key) + sum(self._scratch.size(number) for _, number in parts)
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def close(self) -> None:
        """Give the scratch file back."""
        self._scratch.close()

    def samples_of(self, key: bytes) -> list[tuple[float, float]]:
        """Moments (Unix seconds) and values of one series; none where there is no such series."""
        if key not in self._parts:
            return []
        samples: list[tuple[float, float]] = []
        try:
            for kind, number in self._parts[key]:
                if kind in ("values", "value"):
                    found = _SAMPLE.findall(self._scratch.get(number))
                    samples += [(float(moment), float(value)) for moment, value in found]
        except ValueError:
            return []
        return samples

    def keys(self) -> Iterator[bytes]:
        return iter(self._parts)

    def _entry(self, key: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"metric": orjson.Fragment(key)}
        parts = self._parts[key]
        for kind in dict.fromkeys(kind for kind, _ in parts):
            texts = [self._scratch.get(number) for one, number in parts if one == kind]
            if kind in _LISTS:
                entry[kind] = orjson.Fragment(b"[" + b",".join(text[1:-1] for text in texts if len(text) > 2) + b"]")
            else:
                entry[kind] = orjson.Fragment(texts[-1])
        return entry
