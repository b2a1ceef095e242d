"""Reads answers of the query API as they arrive, as events: samples, then the labels of their series."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.clients.quoting import MAX_ERROR_BYTES
from aletheia_operator.fetchers.prometheus.json_text import JsonText

MAX_REMARKS = 20
"""Most warnings, and most infos, of one answer that are read."""
LISTS = ("values", "histograms")
SINGLES = ("value", "histogram")
_ENVELOPE_FIELDS = frozenset({"status", "error", "warnings", "infos", "isPartial", "partial"})


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of one series, in the order of the server. `kind`: name of the field that holds them."""

    kind: str
    samples: list[Any]


@dataclass(frozen=True, slots=True)
class EndOfSeries:
    """Ends a series: all samples since the previous end belong to the series with these labels."""

    labels: dict[str, Any]


Event = Samples | EndOfSeries


class _Answer:
    """An answer of the API as it arrives. After iteration, `envelope` is the answer without its data.

    Iteration raises Unavailable if the body is cut or does not follow the API, Rejected for a value larger than PIECE_BYTES,
    and what `chunks` raises, but yields all complete events first. `computing` is entered for each parse.
    """

    API: str

    def __init__(
        self,
        endpoint: Endpoint,
        chunks: Iterator[bytes],
        computing: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.envelope: dict[str, Any] = {}
        self._endpoint = endpoint
        self._text = JsonText(endpoint, chunks, computing)

    def _members(self) -> Iterator[str]:
        """Yield the keys of the answer, which must be one object with nothing after it."""
        if self._text.kind() != "{":
            self._text.value()
            raise self._not_ours()
        yield from self._text.members()
        self._text.end()

    def _not_ours(self) -> Unavailable:
        return self._endpoint.not_of(self.API)


class SeriesStream(_Answer):
    """Iterate once for batches of events."""

    API = "Prometheus' query API"

    def __iter__(self) -> Iterator[list[Event]]:
        text = self._text
        data: dict[str, Any] = {}
        for key in self._members():
            if key == "data" and text.kind() == "{":
                yield from self._data(data)
            else:
                value = text.value()
                if key in _ENVELOPE_FIELDS:
                    self.envelope[key] = value
        if self.envelope.get("status") != "success" or "result" not in data:
            raise self._not_ours()
        yield from self._single(data)

    def _data(self, data: dict[str, Any]) -> Iterator[list[Event]]:
        for key in self._text.members():
            if key != "result":
                value = self._text.value()
                if key == "resultType":
                    data[key] = value
            elif "result" in data:
                raise self._not_ours()
            elif self._text.kind() == "[" and self._text.second() in "{]":
                data["result"] = ...
                yield from self._all_series()
            else:
                data["result"] = self._text.value()

    def _single(self, data: dict[str, Any]) -> Iterator[list[Event]]:
        """Yield a scalar or a string: [unix_seconds, "value"]."""
        result = data["result"]
        if result is ...:
            return
        if data.get("resultType") not in ("scalar", "string") or not isinstance(result, list) or len(result) != 2:
            raise self._not_ours()
        yield [Samples("value", [result]), EndOfSeries({})]

    def _all_series(self) -> Iterator[list[Event]]:
        for found in self._text.items():
            if found is None:
                yield from self._long_series()
            else:
                yield [event for series in found for event in self._series(series)]

    def _series(self, series: Any) -> Iterator[Event]:
        """Yield the events of a series that is parsed already."""
        if not isinstance(series, dict) or not isinstance(series.get("metric"), dict):
            raise self._not_ours()
        has_samples = False
        for kind in (*LISTS, *SINGLES):
            if kind in series:
                has_samples = True
                yield self._samples(kind, series[kind] if kind in LISTS else [series[kind]])
        if not has_samples:
            raise self._not_ours()
        yield EndOfSeries(series["metric"])

    def _long_series(self) -> Iterator[list[Event]]:
        """Yield the events of a series that is read member by member."""
        if self._text.kind() != "{":
            raise self._not_ours()
        labels: Any = None
        has_samples = False
        for key in self._text.members():
            has_samples = has_samples or key in LISTS or key in SINGLES
            if key in LISTS and self._text.kind() == "[":
                yield [Samples(key, [])]
                for found in self._text.batches():
                    yield [self._samples(key, found)]
            elif key in LISTS or key in SINGLES:
                yield [self._samples(key, [self._text.value()] if key in SINGLES else self._text.value())]
            elif key == "metric":
                labels = self._text.value()
            else:
                self._text.value()
        if not has_samples or not isinstance(labels, dict):
            raise self._not_ours()
        yield [EndOfSeries(labels)]

    def _samples(self, kind: str, samples: Any) -> Samples:
        if not isinstance(samples, list) or not all(isinstance(sample, list) for sample in samples):
            raise self._not_ours()
        return Samples(kind, samples)


class ExemplarStream(_Answer):
    """Iterate once for batches of {"seriesLabels": {...}, "exemplars": [...]}."""

    API = "Prometheus' exemplars API"

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        text = self._text
        for key in self._members():
            if key == "data" and text.kind() == "[":
                for series in text.batches():
                    if not all(isinstance(labels, dict) for labels in series):
                        raise self._not_ours()
                    yield series
            else:
                value = text.value()
                if key in _ENVELOPE_FIELDS or (key == "data" and value is not None):
                    self.envelope[key] = value
        if self.envelope.get("status") != "success" or "data" in self.envelope:
            raise self._not_ours()


def warnings_of(envelope: dict[str, Any]) -> list[str]:
    """Return the server's `warnings`, and one for a partial answer of Thanos or VictoriaMetrics."""
    texts = _texts(envelope.get("warnings"))
    if envelope.get("isPartial") or envelope.get("partial"):
        texts.append("the response is partial: not every store of the server answered")
    return texts


def infos_of(envelope: dict[str, Any]) -> list[str]:
    """Return the server's `infos` on the query. They are not gaps."""
    return _texts(envelope.get("infos"))


def _texts(value: Any) -> list[str]:
    """Return the first MAX_REMARKS texts of a list (or the only text), each cut to what `Quoter` needs."""
    listed = value if isinstance(value, list) else [value] if value else []
    return [str(text)[:MAX_ERROR_BYTES] for text in listed[:MAX_REMARKS]]
