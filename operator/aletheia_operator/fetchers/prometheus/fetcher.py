"""The Prometheus fetcher: turns a MetricsRequest into documents."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from aletheia_operator.api import InvestigationSpec, MetricsRequest, parse_duration
from aletheia_operator.api.source_types.prometheus import PrometheusOptions
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.threads import Call, SourceThreads
from aletheia_operator.fetchers.base import Document, Missing, Plan, Question, Sources
from aletheia_operator.fetchers.prometheus.documents import Documents, InThread, QueryResult
from aletheia_operator.fetchers.prometheus.grid import FINEST_STEP_SECONDS, Grid, default_range_seconds, step_seconds
from aletheia_operator.fetchers.prometheus.known_names import Names
from aletheia_operator.fetchers.prometheus.ranges import RangeQueries, Result, not_stored
from aletheia_operator.fetchers.prometheus.stream import warnings_of
from aletheia_operator.fetchers.prometheus.templates import (
    TEMPLATES,
    Expression,
    Templates,
    check,
    expressions,
    given_range_seconds,
)
from aletheia_operator.fetchers.prometheus.tenancy import confine
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.documents import redact_document
from aletheia_operator.text.display import one_line
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.label_matchers import Matcher

if TYPE_CHECKING:
    from aletheia_operator.fetchers.prometheus.client import PrometheusClient


class PrometheusFetcher:
    """Captures metrics over the window. `own`: an admin's templates, in addition to the built-in ones."""

    name = "Prometheus"
    source_type = "prometheus"

    def __init__(self, own: Templates | None = None) -> None:
        self.templates: Templates = {**TEMPLATES, **(own or {})}
        self._threads = SourceThreads()

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        questions, missing = [], []
        for number, request in enumerate(spec.metrics or []):
            title = request.template or one_line(request.query or "")
            try:
                parameters = request.parameters or {}
                if request.template is not None:
                    check(request.template, parameters, self.templates)
                arguments = {
                    "title": title,
                    "request": request.to_json(),
                    "step_seconds": step_seconds(request.step, sources.window, given_range_seconds(parameters)),
                    "data_source": request.data_source_ref.name if request.data_source_ref else None,
                }
            except Rejected as e:
                missing.append(Missing(title, e.reason, f"spec.metrics[{number}]: {e.message}"))
                continue
            questions.append(Question(self.name, f"{self.name}/{number}", title, arguments))
        return Plan(tuple(questions), tuple(missing))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the answer to one query, then its baseline and its exemplars if requested.

        Entries: {"metric": {label: value}, "values": [[unix_seconds, "value"], ...]}; instant queries have `value`, native
        histograms `histograms`. Samples are as the server sent them. In long windows further entries have `over_step`: `max` or
        `min`, the extreme of all samples since the moment a step before.
        """
        request = MetricsRequest.from_json(question.arguments["request"])
        endpoint = await sources.data_sources.find(self.source_type, question.arguments["data_source"])
        run: InThread[Any] = partial(self._threads.run, (sources.namespace, endpoint.name))
        query = _Request(request, question.arguments["step_seconds"], endpoint, sources, run)
        tried = await run(lambda call: self._expressions(query, call))
        # another key than for queries: reading a stored answer must not wait for a slow server
        reading: InThread[Any] = partial(self._threads.run, (sources.namespace, endpoint.name, "stored answers"))
        documents = Documents(question.target, request, endpoint, reading, sources.redactor)
        answer = await query.answer(tried)
        try:
            yield await documents.of_answer(answer)
            if answer.cancelled is not None:
                raise answer.cancelled
            if isinstance(answer.baseline, Result):
                yield await documents.of_baseline(answer, query.earlier)
            if request.exemplars:
                yield documents.of_exemplars(answer.chosen.promql, *await query.exemplars(answer.chosen.promql))
        except BaseException:
            answer.close()
            raise

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """Return the server's version; None if it reports none. Raises SourceError if it does not answer."""
        from aletheia_operator.fetchers.prometheus.client import version  # imported late, see `clients.http`

        return await self._threads.run(("", endpoint.name), partial(version, endpoint))

    def _expressions(self, query: "_Request", call: Call) -> list[Expression]:
        """Return the expressions to try, in order, confined to the namespace. Blocks. Raises Rejected."""
        request, label, namespace = query.request, query.namespace_label, query.sources.namespace
        if request.template is None:
            found = [Expression("query", request.query or "")]
        else:
            parameters, label_or_default = request.parameters or {}, label or "namespace"
            lookback = default_range_seconds(query.step_seconds)
            found = expressions(request.template, parameters, self.templates, label_or_default, namespace, lookback)
        if label is None:
            return found
        with call.computing():
            return [
                Expression(expression.convention, confine(expression.promql, label, namespace), expression.looks_back)
                for expression in found
            ]


@dataclass(frozen=True)
class _Request:
    """One metrics request to one endpoint."""

    request: MetricsRequest
    step_seconds: int
    endpoint: Endpoint
    sources: Sources
    run: InThread[Any]

    @property
    def namespace_label(self) -> str | None:
        """The label that every selector must match with the namespace. None: queries are not confined."""
        return self.endpoint.options_of(PrometheusOptions).namespace_label

    @property
    def grid(self) -> Grid:
        if self.request.instant:
            moment = math.floor(self.sources.window.end.timestamp())
            return Grid(moment, moment, 1)
        return Grid.of(self.sources.window, self.step_seconds)

    @property
    def earlier(self) -> Grid:
        """The grid of the baseline."""
        return self.grid.before(parse_duration(self.request.baseline.offset) if self.request.baseline else 0)

    @property
    def wants_extremes(self) -> bool:
        """Whether to query the extremes between samples: only if the step was not requested but chosen here."""
        return not self.request.instant and self.request.step is None and self.step_seconds > FINEST_STEP_SECONDS

    async def answer(self, tried: Sequence[Expression]) -> QueryResult:
        """Return the result of the first expression that has series (else of the first of all), and its baseline.

        Raises SourceError if there is no result. If the Investigation ends meanwhile, the result so far is the answer.
        """
        found: list[QueryResult] = []
        try:
            await self.run(lambda call: self._first_with_series(tried, found, call))
            answer = found[-1]
            if self.request.baseline is not None:
                await self._baseline(answer)
        except asyncio.CancelledError as e:
            if not found or not len(found[-1].result.series) or not self.sources.interrupted():
                _close(found)
                raise
            found[-1].cancelled = e
        except BaseException:
            _close(found)
            raise
        return found[-1]

    def _first_with_series(self, tried: Sequence[Expression], found: list[QueryResult], call: Call) -> None:
        """Query one expression after the other until one has series. The last of `found` is the answer; others are closed."""
        with self._client(call) as prometheus:
            queries = RangeQueries(prometheus, self.sources.scratch, bool(self.request.instant))
            warnings: list[str] = []
            for expression in tried:
                _close(found)
                answer = QueryResult(tried, expression, self.grid, queries.new_result())
                answer.result.warnings = warnings
                found.append(answer)
                queries.fill(answer.result, expression.promql, self.grid)
                if len(answer.result.series) or answer.result.broken is not None:
                    break
            else:
                answer.chosen = tried[0]
            if answer.result.broken is not None:
                return
            if not len(answer.result.series):
                answer.unknown = self._unknown(prometheus, answer.chosen.promql)
            elif self.wants_extremes and not answer.chosen.looks_back:
                queries.fill_extremes(answer.result, answer.chosen.promql, self.grid, self.sources.window.start)

    def _unknown(self, prometheus: "PrometheusClient", promql: str) -> list[str]:
        if self.request.template is not None:
            return []  # a template without series gets another gap
        label = self.namespace_label
        confined = None if label is None else Matcher(label, "=", self.sources.namespace.encode())
        return list(Names(prometheus, self.sources.window, confined).unknown(promql))

    async def _baseline(self, answer: QueryResult) -> None:
        """Query the baseline. `answer.baseline` becomes the result, or the error."""
        earlier: list[Result] = []
        try:
            await self.run(lambda call: self._ask(answer.chosen.promql, self.earlier, earlier, call))
            answer.baseline = earlier[0]
        except SourceError as e:
            answer.baseline = e
        except OSError as e:
            answer.baseline = not_stored(e)
        finally:
            if answer.baseline not in earlier:
                for result in earlier:
                    result.close()

    def _ask(self, promql: str, grid: Grid, into: list[Result], call: Call) -> None:
        with self._client(call) as prometheus:
            queries = RangeQueries(prometheus, self.sources.scratch, bool(self.request.instant))
            into.append(queries.new_result())
            queries.fill(into[0], promql, grid)

    async def exemplars(self, promql: str) -> tuple[Spill, int, list[str], Counter[str]]:
        """Return the exemplars of the whole window, at any step, their number, the server's warnings, and redactions.

        Raises SourceError if the server does not have the exemplars API.
        """
        found, redactor = Spill(self.sources.scratch), self.sources.redactor.another()
        try:
            count, warnings = await self.run(lambda call: self._read_exemplars(promql, found, redactor, call))
        except BaseException:
            found.close()
            raise
        return found, count, warnings, redactor.counts

    def _read_exemplars(self, promql: str, found: Spill, redactor: Redactor, call: Call) -> tuple[int, list[str]]:
        count = 0
        with self._client(call) as prometheus:
            stream = prometheus.query_exemplars(promql, self.sources.window)
            for series in stream:
                with call.computing():
                    for entry in series:
                        redact_document(entry, redactor)
                        count = found.put(dumps(entry)) + 1
        return count, [self.endpoint.quoter(warning, 500) for warning in warnings_of(stream.envelope)]

    def _client(self, call: Call) -> "PrometheusClient":
        from aletheia_operator.fetchers.prometheus.client import PrometheusClient

        return PrometheusClient(self.endpoint, call)


def _close(found: Sequence[QueryResult]) -> None:
    for answer in found:
        answer.close()
