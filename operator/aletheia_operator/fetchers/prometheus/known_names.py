"""Finds metrics and labels of an empty query that the server does not know, and the nearest names. All calls block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.prometheus.promql import Selector
from aletheia_operator.fetchers.prometheus.promql_grammar import parse
from aletheia_operator.text.go_strings import NotUnderstood
from aletheia_operator.text.label_matchers import Matcher
from aletheia_operator.text.nearest import SIMILARITY, likely, nearest

if TYPE_CHECKING:
    from aletheia_operator.fetchers.prometheus.client import PrometheusClient

MAX_SELECTORS = 5
"""Most selectors of one query that are looked up."""
MAX_NAMES = 20_000
"""Most names of metrics that are compared."""
NAMES_PER_TURN = 500
"""Names that are compared without a break, which takes some milliseconds."""
LABEL_SIMILARITY = 0.5
"""Lowest similarity (0 to 1) of a suggested label. A metric has few labels, so a looser match is still useful."""
MAX_LABELS = 10
"""Most labels to name if none is similar."""


@dataclass(frozen=True)
class Names:
    """The names that one server knows in the window, among the series that the tenant may read."""

    client: "PrometheusClient"
    window: Window
    confined: Matcher | None
    """Matcher that every selector must have. None: all series may be read."""

    def unknown(self, promql: str) -> Iterator[str]:
        """Yield a message for each metric, or label of a metric, that the query names and the server does not know.

        Yields nothing if the query is not understood or names no metric, or if the server does not list names.
        """
        try:
            selectors = parse(promql).selectors
        except NotUnderstood:
            return
        for selector in list(dict.fromkeys(selectors))[:MAX_SELECTORS]:
            try:
                message = self._unknown(selector)
            except SourceError:
                return
            if message:
                yield message

    def _unknown(self, selector: Selector) -> str | None:
        metric = selector.metric
        if not metric:
            return None
        series = self._series(metric)
        labels = self.client.label_names(series.text(), self.window)
        if not labels or not self._readable(series):
            near = self._nearest(metric)
            return f"no metric {metric} in the window{self._where}; {near or 'none has a name like it'}"
        wanted = [
            matcher.label
            for matcher in selector.matchers
            if matcher.operator in ("=", "=~") and matcher.value not in (b"", b".*")
        ]
        unknown = next((label for label in wanted if label not in labels and label != "__name__"), None)
        if unknown is None:
            return None
        others = [label for label in labels if label != "__name__"]
        near = ", ".join(
            label
            for label in self._similar(unknown, others, LABEL_SIMILARITY) or others[:MAX_LABELS]
            if self._readable(self._series(metric, Matcher(label, "!=", b"")))
        )
        return f"metric {metric} has no label {unknown}" + (f"; it has {near}" if near else "")

    def _nearest(self, metric: str) -> str:
        """Return which metrics have a similar name, as part of a message; '' if none has."""
        try:
            names = self.client.metric_names(Selector("", self._forced).text() if self._forced else None, self.window)
        except SourceError:
            return "the server lists no names"
        near = ", ".join(name for name in self._similar(metric, names[:MAX_NAMES]) if self._readable(self._series(name)))
        return f"the nearest are {near}" if near else ""

    def _readable(self, series: Selector) -> bool:
        """Return whether a query finds these series. A server may ignore matchers when it lists names, but not in queries."""
        if self.confined is None:
            return True
        query = f"count(last_over_time({series.text()}[{max(1, round(self.window.seconds))}s]))"
        return any(self.client.query(query, int(self.window.end.timestamp())))

    def _series(self, metric: str, *matchers: Matcher) -> Selector:
        return Selector("", (Matcher("__name__", "=", metric.encode()), *matchers, *self._forced))

    def _similar(self, wanted: str, names: Sequence[str], similarity: float = SIMILARITY) -> list[str]:
        found: list[str] = []
        for first in range(0, len(names), NAMES_PER_TURN):
            with self.client.call.computing():
                found = likely(wanted, [*found, *names[first : first + NAMES_PER_TURN]])
        with self.client.call.computing():
            return nearest(wanted, found, similarity)

    @property
    def _forced(self) -> tuple[Matcher, ...]:
        return () if self.confined is None else (self.confined,)

    @property
    def _where(self) -> str:
        return "" if self.confined is None else f" where {self.confined}"
