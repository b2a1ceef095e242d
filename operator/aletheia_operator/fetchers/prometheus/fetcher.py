"""The Prometheus fetcher: from a MetricsRequest to documents."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aletheia_operator.api import InvestigationSpec, MetricsRequest, parse_duration
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.http import Http
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources, Window
from aletheia_operator.fetchers.prometheus import client, summary
from aletheia_operator.fetchers.prometheus.client import PrometheusClient
from aletheia_operator.fetchers.prometheus.grid import Grid, step_seconds
from aletheia_operator.fetchers.prometheus.series_store import Gathered
from aletheia_operator.fetchers.prometheus.stream import SeriesStream, infos_of, warnings_of
from aletheia_operator.fetchers.prometheus.templates import TEMPLATES, Expression, Templates, check, expressions
from aletheia_operator.fetchers.prometheus.tenancy import confine
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.display import one_line

ENTRIES_PER_BATCH = 100
MAX_EXEMPLAR_BYTES = 16 * 1024 * 1024  # these are parsed whole
MAX_REPORTED_CHANGES = 50
CHUNK_ATTEMPTS = 2


@dataclass
class Result:
    """The answer to one expression over one grid."""

    gathered: Gathered
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    broken: SourceError | None = None
    """Why it ends early."""


class PrometheusFetcher:
    """Metrics over the window. `own` are an admin's templates, beside the built-in ones."""

    name = "Prometheus"
    source_type = "prometheus"

    def __init__(self, own: Templates | None = None) -> None:
        self.templates: Templates = {**TEMPLATES, **(own or {})}

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        questions, missing = [], []
        for number, request in enumerate(spec.metrics or []):
            title = request.template or one_line(request.query or "")
            try:
                if request.template is not None:
                    check(request.template, request.parameters or {}, self.templates)
                arguments = {
                    "title": title,
                    "request": request.to_json(),
                    "step_seconds": step_seconds(request.step, sources.window),
                    "data_source": request.data_source_ref.name if request.data_source_ref else None,
                }
            except Rejected as e:
                missing.append(Missing(title, e.reason, f"spec.metrics[{number}]: {e.message}"))
                continue
            questions.append(Question(self.name, f"{self.name}/{number}", title, arguments))
        return Plan(tuple(questions), tuple(missing))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the answer to one query; then, where asked for, its baseline and its exemplars.

        Entries: {"metric": {label: value}, "values": [[unix_seconds, "value"], ...]}; instant queries have `value`, native
        histograms `histograms`. Samples are as the server sent them.
        """
        request = MetricsRequest.from_json(question.arguments["request"])
        endpoint = await sources.data_sources.find(self.source_type, question.arguments["data_source"])
        tried = self._expressions(request, endpoint, sources.namespace)
        grid = Grid.of(sources.window, question.arguments["step_seconds"])
        if request.instant:
            moment = math.floor(sources.window.end.timestamp())
            grid = Grid(moment, moment, 1)
        asking = _Asking(question, request, endpoint, grid, sources.scratch)
        answered, result = await asking.first_with_series(tried)
        baseline = None
        if request.baseline is not None:
            before = grid.before(parse_duration(request.baseline.offset))
            baseline = await asyncio.to_thread(asking.ask, answered.promql, before)
        yield asking.document(answered, grid, result, tried, baseline)
        if baseline is not None:
            yield asking.baseline_document(answered, grid, baseline)
        if request.exemplars:
            yield await asking.exemplars(answered.promql, sources.window)

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """The server's version, where it tells. Raises SourceError where it does not answer."""
        return await asyncio.to_thread(client.version, endpoint)

    def _expressions(self, request: MetricsRequest, endpoint: Endpoint, namespace: str) -> list[Expression]:
        label = endpoint.namespace_label
        if request.template is None:
            found = [Expression("query", request.query or "")]
        else:
            found = expressions(request.template, request.parameters or {}, self.templates, label or "namespace", namespace)
        return found if label is None else [Expression(one.convention, confine(one.promql, label, namespace)) for one in found]


@dataclass(frozen=True)
class _Asking:
    """One request, of one endpoint."""

    question: Question
    request: MetricsRequest
    endpoint: Endpoint
    grid: Grid
    scratch: Callable[[], Scratch]

    async def first_with_series(self, tried: Sequence[Expression]) -> tuple[Expression, Result]:
        """The first expression that has series here, else the first of all, with its empty answer."""
        first: Result | None = None
        for expression in tried:
            result = await asyncio.to_thread(self.ask, expression.promql, self.grid)
            if len(result.gathered) or result.broken is not None:
                return expression, result
            first = first or result
        assert first is not None
        return tried[0], first

    def ask(self, promql: str, grid: Grid) -> Result:
        """All chunks of a grid, in order; what came before a fault is kept. Raises where nothing came. Blocks."""
        result = Result(Gathered(self.scratch(), self.endpoint.max_series))
        with PrometheusClient(self.endpoint) as asked:
            for chunk in [grid] if self.request.instant else grid.chunks():
                try:
                    if self.request.instant:
                        self._take(result, lambda chunk=chunk: asked.query(promql, chunk.end))  # type: ignore[misc]
                    else:
                        self._take(result, lambda chunk=chunk: asked.query_range(promql, chunk))  # type: ignore[misc]
                except SourceError as e:
                    if not len(result.gathered):
                        result.gathered.close()
                        raise
                    result.broken = e
                    break
        return result

    def _take(self, result: Result, ask: Callable[[], SeriesStream]) -> None:
        """One chunk, asked again where its answer broke off."""
        for attempt in range(1, CHUNK_ATTEMPTS + 1):
            result.gathered.begin_chunk()
            stream = ask()
            try:
                for series in stream:
                    result.gathered.add(series)
            except Unavailable as e:
                if attempt == CHUNK_ATTEMPTS or e.reason is GapReason.TIMED_OUT:
                    raise
                result.gathered.forget_chunk()
                continue
            for said, kept in ((warnings_of, result.warnings), (infos_of, result.infos)):
                new = (self.endpoint.quoter(one) for one in said(stream.envelope))
                kept += [text for text in new if text not in kept]
            return

    def document(
        self, answered: Expression, grid: Grid, result: Result, tried: Sequence[Expression], baseline: Result | None
    ) -> Document:
        missing = self._missing(result)
        gathered = result.gathered
        text = summary.summarise(self.question.target, len(gathered), gathered.peak, gathered.samples_of)
        metadata: dict[str, Any] = {}
        if self.request.template is not None:
            conventions = [expression.convention for expression in tried]
            metadata |= {"convention": answered.convention if len(gathered) else None, "conventions_tried": conventions}
            if not len(gathered) and result.broken is None:
                missing.append(Missing(self.question.target, GapReason.NOT_FOUND, self._none_exists(tried)))
        if baseline is not None and self.request.baseline is not None:
            offset = self.request.baseline.offset
            changes = summary.compare(gathered.keys(), gathered.samples_of, baseline.gathered.samples_of)
            text += f"; {summary.describe(changes, offset)}"
            missing += self._missing(baseline)
            most = sorted((one for one in changes if one.changed), key=lambda one: -abs(one.level - one.baseline_level))
            metadata["baseline"] = {
                "offset": offset,
                "method": summary.METHOD,
                "compared": len(changes),
                "changed": [one.to_json() for one in most[:MAX_REPORTED_CHANGES]],
            }
        return self._of(answered.promql, grid, result, text, missing, metadata)

    def baseline_document(self, answered: Expression, grid: Grid, baseline: Result) -> Document:
        assert self.request.baseline is not None
        offset = self.request.baseline.offset
        before = grid.before(parse_duration(offset))
        gathered = baseline.gathered
        title = f"{self.question.target}, {offset} before"
        text = summary.summarise(title, len(gathered), gathered.peak, gathered.samples_of)
        metadata = {"baseline_offset": offset}
        return self._of(answered.promql, before, baseline, text, self._missing(baseline), metadata, "baseline")

    async def exemplars(self, promql: str, window: Window) -> Document:
        """Exemplars of the whole window, whatever the step. Raises where the server has none to give."""
        within = replace(self.endpoint, max_response_bytes=min(self.endpoint.max_response_bytes, MAX_EXEMPLAR_BYTES))
        found = await asyncio.to_thread(client.query_exemplars, within, promql, window)
        text = f"{self.question.target}: exemplars of {len(found)} series"
        return Document(
            category="metrics",
            source="prometheus",
            name=(*self._name(), "exemplars"),
            metadata={"query": promql, "data_source": self.endpoint.name},
            batches=_batches(found),
            findings=Findings(summary=text),
        )

    def _of(
        self,
        promql: str,
        grid: Grid,
        result: Result,
        text: str,
        missing: list[Missing],
        metadata: Mapping[str, Any],
        *suffix: str,
    ) -> Document:
        return Document(
            category="metrics",
            source="prometheus",
            name=(*self._name(), *suffix),
            metadata={
                "query": promql,
                "template": self.request.template,
                "step_seconds": None if self.request.instant else grid.step,
                "start": grid.start,
                "end": grid.end,
                "data_source": self.endpoint.name,
                "samples": result.gathered.samples,
                "warnings": result.warnings,
                "infos": result.infos,
                **metadata,
            },
            batches=_entries(result.gathered),
            findings=Findings(summary=text, missing=missing),
        )

    def _name(self) -> tuple[str, str]:
        return "prometheus", self.request.template or self.request.query or ""

    def _missing(self, result: Result) -> list[Missing]:
        target = self.question.target
        missing = [Missing(target, GapReason.UNAVAILABLE, f"the server warns: {warning}") for warning in result.warnings]
        if result.broken is not None:
            missing.append(Missing(target, result.broken.reason, f"{result.broken.message}; what came before is kept"))
        if result.gathered.dropped:
            message = (
                f"DataSource {self.endpoint.name}: the answer has more than {result.gathered.max_series} series;"
                " aggregate in the query, or have maxSeries raised"
            )
            missing.append(Missing(target, GapReason.TOO_LARGE, message))
        return missing

    def _none_exists(self, tried: Sequence[Expression]) -> str:
        conventions = "; ".join(dict.fromkeys(expression.convention for expression in tried))
        return (
            f"no series here for template {self.request.template}, in any convention that it knows: {conventions}."
            " Check the parameters, or write a query"
        )


async def _entries(gathered: Gathered) -> AsyncGenerator[list[Any], None]:
    """All entries; then the scratch is given back."""
    batches = gathered.batches()
    try:
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            yield batch
    finally:
        gathered.close()


async def _batches(found: list[Any]) -> AsyncGenerator[list[Any], None]:
    for first in range(0, len(found), ENTRIES_PER_BATCH):
        yield found[first : first + ENTRIES_PER_BATCH]
