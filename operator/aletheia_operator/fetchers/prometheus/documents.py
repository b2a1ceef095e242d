"""Makes the documents of one metrics request from its answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import orjson

from aletheia_operator.api import MetricsRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.threads import Call
from aletheia_operator.fetchers.base import Document, Missing, Outcome
from aletheia_operator.fetchers.prometheus import summary
from aletheia_operator.fetchers.prometheus.grid import Grid
from aletheia_operator.fetchers.prometheus.ranges import Result
from aletheia_operator.fetchers.prometheus.summary import Change
from aletheia_operator.fetchers.prometheus.templates import Expression
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.redact import Redactor

ENTRIES_PER_BATCH = 100
MAX_REPORTED_CHANGES = 50
T = TypeVar("T")
InThread = Callable[[Callable[[Call], T]], Awaitable[T]]
"""Runs a blocking function in a thread for sources."""


@dataclass
class QueryResult:
    """The results of one metrics request."""

    tried: Sequence[Expression]
    chosen: Expression
    grid: Grid
    result: Result
    unknown: Sequence[str] = ()
    """Messages about metrics and labels that the server does not know."""
    baseline: Result | SourceError | None = None
    """The result of the baseline, or the error of its query. None: no baseline was requested."""
    cancelled: asyncio.CancelledError | None = None
    """The cancellation, if the Investigation ended meanwhile. It is raised again once the result so far is saved."""

    def close(self) -> None:
        """Close the scratch files. Calling it again does nothing."""
        self.result.close()
        if isinstance(self.baseline, Result):
            self.baseline.close()


@dataclass(frozen=True)
class Described:
    """The summary of an answer, and its changes against the baseline."""

    text: str
    changes: list[Change]


def describe(answer: QueryResult, target: str, offset: str | None, call: Call) -> Described:
    """Summarise an answer, and compare it with its baseline if it has one. `offset`: how much earlier that is. Blocks."""
    result = answer.result
    with call.computing():
        peaks = [each.series.peak for each in (result, *result.extremes.values())]
        text = summary.summarise(target, len(result.series), peaks, result.series.samples_of)
    if not isinstance(answer.baseline, Result) or offset is None:
        return Described(text, [])
    now, before = result.series, answer.baseline.series
    changes = summary.compare(now.keys(), now.samples_of, before.samples_of, call.computing)
    return Described(f"{text}; {summary.describe_changes(changes, offset)}", changes)


@dataclass(frozen=True)
class Documents:
    """Makes the documents of one request. `run` runs slow functions in a thread."""

    target: str
    request: MetricsRequest
    endpoint: Endpoint
    run: InThread[Any]
    redactor: Redactor

    @property
    def offset(self) -> str | None:
        return self.request.baseline.offset if self.request.baseline else None

    async def of_answer(self, answer: QueryResult) -> Document:
        result = answer.result
        described = await self.run(lambda call: describe(answer, self.target, self.offset, call))
        missing = self._missing(result)
        missing += [Missing(self.target, GapReason.EMPTY, message) for message in answer.unknown]
        metadata: dict[str, Any] = {}
        if self.request.template is not None:
            conventions = [expression.convention for expression in answer.tried]
            chosen = answer.chosen.convention if len(result.series) else None
            metadata |= {"convention": chosen, "conventions_tried": conventions}
            if not len(result.series) and result.broken is None and answer.cancelled is None:
                missing.append(Missing(self.target, GapReason.NOT_FOUND, self._none_exists(answer.tried)))
        if isinstance(answer.baseline, SourceError):
            missing.append(Missing(f"{self.target}, {self.offset} before", answer.baseline.reason, answer.baseline.message))
        elif answer.baseline is not None:
            missing += self._missing(answer.baseline, f", {self.offset} before")
            changed = [change for change in described.changes if change.changed]
            changed.sort(key=lambda change: -abs(change.level - change.baseline_level))
            metadata["baseline"] = {
                "offset": self.offset,
                "method": summary.METHOD,
                "compared": len(described.changes),
                "changed": [change.to_json() for change in changed[:MAX_REPORTED_CHANGES]],
            }
        return self._of(answer, answer.grid, result, described.text, missing, metadata)

    async def of_baseline(self, answer: QueryResult, grid: Grid) -> Document:
        assert isinstance(answer.baseline, Result)
        title = f"{self.target}, {self.offset} before"
        earlier = QueryResult(answer.tried, answer.chosen, grid, answer.baseline)
        described = await self.run(lambda call: describe(earlier, title, None, call))
        missing = self._missing(answer.baseline, f", {self.offset} before")
        return self._of(earlier, grid, answer.baseline, described.text, missing, {"baseline_offset": self.offset}, "baseline")

    def of_exemplars(
        self, promql: str, found: Spill, count: int, warnings: Sequence[str], redactions: Counter[str]
    ) -> Document:
        title = f"{self.target}, exemplars"
        return Document(
            category="metrics",
            source="prometheus",
            name=(*self._name, "exemplars"),
            metadata={"query": promql, "data_source": self.endpoint.name, "warnings": list(warnings)},
            batches=self._exemplars(found, count),
            outcome=Outcome(
                summary=f"{self.target}: exemplars of {count} series", missing=_warned(title, warnings), redactions=redactions
            ),
        )

    def _of(
        self,
        answer: QueryResult,
        grid: Grid,
        result: Result,
        text: str,
        missing: list[Missing],
        metadata: Mapping[str, Any],
        *suffix: str,
    ) -> Document:
        redactor = self.redactor.another()
        return Document(
            category="metrics",
            source="prometheus",
            name=(*self._name, *suffix),
            metadata={
                "query": answer.chosen.promql,
                "template": self.request.template,
                "step_seconds": None if self.request.instant else grid.step,
                "start": grid.start,
                "end": grid.end,
                "data_source": self.endpoint.name,
                "samples": result.series.samples,
                "over_step": list(result.extremes),
                "warnings": result.warnings,
                "infos": result.infos,
                **metadata,
            },
            batches=self._entries(result, answer.cancelled, redactor),
            outcome=Outcome(summary=text, missing=missing, redactions=redactor.counts, unscanned=["values"]),
        )

    @property
    def _name(self) -> tuple[str, str]:
        return "prometheus", self.request.template or self.request.query or ""

    def _missing(self, result: Result, suffix: str = "") -> list[Missing]:
        target = self.target + suffix
        missing = _warned(target, result.warnings)
        if result.broken is not None:
            missing.append(Missing(target, result.broken.reason, f"{result.broken.message}; what was received is kept"))
        if any(each.series.dropped for each in (result, *result.extremes.values())):
            message = (
                f"DataSource {self.endpoint.name}: the answer has more than {result.series.max_series} series, or series that"
                " are too large; aggregate in the query, or ask an admin to raise maxSeries"
            )
            missing.append(Missing(target, GapReason.TOO_LARGE, message))
        between = dict.fromkeys(warning for extreme in result.extremes.values() for warning in extreme.warnings)
        missing += _warned(target, [warning for warning in between if warning not in result.warnings], "note")
        if result.extremes_missing is not None:
            message = f"the extremes between the samples could not be queried: {result.extremes_missing.message}"
            missing.append(Missing(target, result.extremes_missing.reason, message, severity="note"))
        return missing

    def _none_exists(self, tried: Sequence[Expression]) -> str:
        conventions = "; ".join(dict.fromkeys(expression.convention for expression in tried))
        return (
            f"no series for template {self.request.template} in any of its conventions: {conventions}."
            " Check spec.metrics parameters, or write a query"
        )

    async def _entries(
        self, result: Result, cancelled: asyncio.CancelledError | None, redactor: Redactor
    ) -> AsyncGenerator[list[Any], None]:
        """Yield all entries, then close the scratch files."""
        batches = _all_batches(result, redactor)
        try:
            while (batch := await self.run(lambda _: next(batches, None))) is not None:
                yield batch
            if cancelled is not None:
                raise cancelled
        finally:
            result.close()

    async def _exemplars(self, found: Spill, count: int) -> AsyncGenerator[list[Any], None]:
        """Yield all exemplars, then close the scratch file."""
        try:
            for first in range(0, count, ENTRIES_PER_BATCH):
                numbers = range(first, min(first + ENTRIES_PER_BATCH, count))
                yield await self.run(partial(_pieces, found, numbers))
        finally:
            found.close()


def _pieces(found: Spill, numbers: range, call: Call) -> list[Any]:
    return [orjson.Fragment(found.get(number)) for number in numbers]


def _all_batches(result: Result, redactor: Redactor) -> Iterator[list[dict[str, Any]]]:
    yield from result.series.batches(redactor)
    for name, extreme in result.extremes.items():
        for batch in extreme.series.batches(redactor):
            yield [{"metric": entry["metric"], "over_step": name, **entry} for entry in batch]


def _warned(target: str, warnings: Sequence[str], severity: Literal["gap", "note"] = "gap") -> list[Missing]:
    return [Missing(target, GapReason.UNAVAILABLE, f"the server warns: {warning}", severity) for warning in warnings]
