"""Queries one expression over one grid: in chunks, with the extremes between samples of long windows. Calls block."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.fetchers.prometheus.grid import FINEST_STEP_SECONDS, MAX_POINTS_PER_SERIES, Grid
from aletheia_operator.fetchers.prometheus.promql import pin
from aletheia_operator.fetchers.prometheus.promql_grammar import parse
from aletheia_operator.fetchers.prometheus.series_store import SeriesStore
from aletheia_operator.fetchers.prometheus.stream import MAX_REMARKS, SeriesStream, infos_of, warnings_of
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.go_strings import NotUnderstood

if TYPE_CHECKING:
    from aletheia_operator.fetchers.prometheus.client import PrometheusClient

CHUNK_ATTEMPTS = 2
MAX_SUBQUERY_CHUNKS = 40
EXTREMES = ("max", "min")
"""Functions `NAME_over_time` that are queried for the time between two samples."""


@dataclass
class Result:
    """The result of one expression over one grid."""

    series: SeriesStore
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    broken: SourceError | None = None
    """Error that ended it early. None: it is complete."""
    extremes: dict[str, "Result"] = field(default_factory=dict)
    """The highest and lowest values since the previous sample, by the names in EXTREMES."""
    extremes_missing: SourceError | None = None
    """Error of the queries for extremes. None: they succeeded, or were not needed."""

    def close(self) -> None:
        """Close the scratch files. Calling it again does nothing."""
        for result in (self, *self.extremes.values()):
            result.series.close()

    def add_remarks(self, stream: SeriesStream, endpoint: Endpoint) -> None:
        """Add the server's warnings and infos to the result, each text once, at most MAX_REMARKS of each kind."""
        for texts_of, kept in ((warnings_of, self.warnings), (infos_of, self.infos)):
            new = (endpoint.quoter(text, 500) for text in texts_of(stream.envelope))
            kept += [text for text in new if text not in kept][: MAX_REMARKS - len(kept)]


@dataclass(frozen=True)
class RangeQueries:
    """Queries expressions at one endpoint. `instant`: as instant queries."""

    client: "PrometheusClient"
    scratch: Callable[[], Scratch]
    instant: bool

    def new_result(self) -> Result:
        """Return an empty result with its own scratch file."""
        return Result(SeriesStore(self.scratch(), self.client.endpoint.max_series))

    def fill(self, result: Result, promql: str, grid: Grid) -> None:
        """Query all chunks of a grid, in order, into `result`. After an error the chunks before it are kept.

        Raises SourceError if there is no series before the error.
        """
        pinned = pin(promql, grid.start, grid.end)
        for chunk in [grid] if self.instant else grid.chunks():
            try:
                self._take(result, pinned, chunk)
            except SourceError as e:
                if not len(result.series):
                    raise
                result.broken = e
                return

    def fill_extremes(self, result: Result, promql: str, grid: Grid, since: datetime) -> None:
        """Query the highest and lowest value of each step, into `result.extremes`. An error goes to `extremes_missing`.

        `since`: start of the time that the first sample covers.
        """
        for name in EXTREMES:
            extreme = self.new_result()
            result.extremes[name] = extreme
            try:
                for query, chunk in _between(name, pin(promql, grid.start, grid.end), grid, since):
                    self._take(extreme, query, chunk)
            except SourceError as e:
                result.extremes_missing = e
                return
            except OSError as e:
                result.extremes.pop(name).series.close()
                result.extremes_missing = not_stored(e)
                return

    def _take(self, result: Result, promql: str, chunk: Grid) -> None:
        """Query one chunk into `result`. Queries it again if the answer broke off. Raises SourceError."""
        before = self.client.size_bytes
        for attempt in range(1, CHUNK_ATTEMPTS + 1):
            result.series.begin_chunk()
            client = self.client
            stream = client.query(promql, chunk.end) if self.instant else client.query_range(promql, chunk)
            try:
                for events in stream:
                    with client.call.computing():
                        result.series.add(events)
                return
            except Unavailable as e:
                if attempt == CHUNK_ATTEMPTS or e.reason is GapReason.TIMED_OUT:
                    raise
                result.series.forget_chunk()
                client.size_bytes = before
            finally:
                result.add_remarks(stream, client.endpoint)


def not_stored(error: OSError) -> Rejected:
    """Return the error for additional data that the session volume or a quota refused. The answer itself is kept."""
    return Rejected(f"the session volume refused the write: {error.strerror or error}", GapReason.SAVE_FAILED)


def _between(name: str, promql: str, grid: Grid, since: datetime) -> Iterator[tuple[str, Grid]]:
    """Yield the queries for the extremes of each step, and of the time between `since` and the first sample.

    A plain selector is evaluated at all its samples. Other queries are evaluated every FINEST_STEP_SECONDS, by subqueries in
    chunks that cost the server no more points than a range query.
    """
    resolution = max(FINEST_STEP_SECONDS, math.ceil((grid.end - grid.start) / (MAX_POINTS_PER_SERIES * MAX_SUBQUERY_CHUNKS)))
    inner, ending, points = f"({promql}\n)", f":{resolution}s]", max(2, MAX_POINTS_PER_SERIES * resolution // grid.step)
    try:
        query = parse(promql)
        if query.is_selector:
            inner, ending, points = query.text(), "]", MAX_POINTS_PER_SERIES
        elif query.kind == "scalar":
            inner = f"vector({query.text()})"
    except NotUnderstood:
        pass  # an extension of another server: use a subquery, too
    before_first = grid.start - since.timestamp()
    if before_first > 0:
        milliseconds = math.ceil(before_first * 1000) + 1  # a range excludes its first moment
        yield f"{name}_over_time({inner}[{milliseconds}ms{ending})", Grid(grid.start, grid.start, grid.step)
    rest = Grid(grid.start + grid.step, grid.end, grid.step)  # without chunks if there is one sample
    for chunk in rest.chunks(min(points, MAX_POINTS_PER_SERIES)):
        yield f"{name}_over_time({inner}[{grid.step}s{ending})", chunk
