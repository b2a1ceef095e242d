"""Searches Jaeger for one question, with the API version that it has. Answers are stored in a `Spill`."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from types import ModuleType

from aletheia_operator.api import TracesRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.clients.quoting import MAX_ERROR_BYTES
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.jaeger import api_v1, api_v3
from aletheia_operator.fetchers.jaeger.search_values import SearchValues
from aletheia_operator.fetchers.jaeger.selection import MAX_POOL
from aletheia_operator.fetchers.jaeger.traces import Reading, SpanFilter, Trace, span_filter_of
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.redact import Redactor
from aletheia_operator.text.batches import SEPARATOR, Encoded
from aletheia_operator.text.display import one_line
from aletheia_operator.text.nearest import hint
from aletheia_operator.text.sizes import counted

APIS: dict[str, ModuleType] = {api_v1.NAME: api_v1, api_v3.NAME: api_v3}
BATCH_BYTES = 1024 * 1024
MAX_PARTS = 48
MAX_SERVICES = 100
MAX_NAME = 253
MAX_NAMED = 3
MAX_ERROR_CHARACTERS = 300


async def find_api(endpoint: Endpoint, http: Http) -> tuple[ModuleType, list[str]]:
    """Return the API to use and the names of all services. Raises SourceError if no API answers.

    The API is the one that the DataSource names, else the first that answers.
    """
    named = endpoint.options_of(JaegerOptions).api
    if named is not None:
        return APIS[named], await _services(APIS[named], endpoint, http)
    try:
        return api_v1, await _services(api_v1, endpoint, http)
    except SourceError as refused:
        if refused.reason not in (GapReason.NOT_FOUND, GapReason.INVALID_RESPONSE):
            raise
        try:
            return api_v3, await _services(api_v3, endpoint, http)
        except SourceError:
            raise refused from None


async def _services(api: ModuleType, endpoint: Endpoint, http: Http) -> list[str]:
    answer = await http.fetch_json(endpoint, api.SERVICES, [])
    if not answer.is_whole:
        raise endpoint.failed(answer.status, api.error_text(answer.body))
    names: list[str] | None = api.services(answer.body)
    if names is None:
        raise endpoint.not_of("Jaeger")
    return names


@dataclass
class Searches:
    """The searches of one question."""

    endpoint: Endpoint
    http: Http
    api: ModuleType
    services: list[str]
    """Names of all services that Jaeger knows."""
    request: TracesRequest
    window: Window
    spill: Spill
    redactor: Redactor = field(default_factory=Redactor)
    known: dict[str, Trace] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    """Ids of the traces that were received whole."""
    errors: list[tuple[GapReason, str]] = field(default_factory=list)
    """Errors that Jaeger reports in its answers, and searches that were too large to finish."""
    broken: SourceError | None = None
    split: set[str] = field(default_factory=set)
    """Ids of the traces that came in several objects."""
    incomplete: set[str] = field(default_factory=set)
    """Those of them with objects that are not stored: only a later object showed that the trace matches."""

    async def search(self, limit: int, *, least_microseconds: int | None = None, window: Window | None = None) -> list[Trace]:
        """Return the latest matching traces of the window, at most `limit`; see `selection.TraceSearch`."""
        span = window or self.window
        if self.api is api_v3 and self.request.tags:  # its early versions cannot filter by tags: all traces are read
            span_filter = span_filter_of(self.request, least_microseconds)
            return await self._walk(self.request, span, limit, span_filter, least_microseconds=least_microseconds)
        query = self.api.search(SearchValues.of(self.request, span, limit, least_microseconds))
        reading = await self._ask(self.api.TRACES, query, limit, go_on=bool(self.known))
        return [self.known[trace_id] for trace_id in reading.traces]

    async def failing(self, limit: int) -> list[Trace]:
        """Return at most `limit` matching traces with a failing span, of any service; the latest if there are more.

        Jaeger matches service and tags on the same span. So v1 is searched for failing spans of each service, beginning with
        the services of the traces so far. v3 cannot filter by tags, so all traces of the service are read.
        """
        conditions = span_filter_of(self.request)
        if self.api is api_v3:
            return await self._walk(self.request, self.window, limit, conditions, failing=True)
        near = Counter[str]()
        for trace in self.known.values():
            near += trace.spans
        names = [self.request.service or "", *(name for name, _ in near.most_common()), *self.services]
        names = [name for name in dict.fromkeys(names) if 0 < len(name) <= MAX_NAME]
        found: dict[str, Trace] = {}
        deadline = time.monotonic() + self.endpoint.timeout_seconds  # a slow Jaeger with many services
        for searched, name in enumerate(names):
            if searched == MAX_SERVICES or time.monotonic() > deadline:
                self._note_error(
                    GapReason.BUDGET_EXCEEDED,
                    f"failing spans were looked for in {searched} of {counted(len(names), 'service')}",
                )
                break
            failing = TracesRequest(service=name, tags={"error": "true"})
            found |= {trace.trace_id: trace for trace in await self._walk(failing, self.window, limit, conditions)}
            if len(found) >= limit or self.broken is not None:
                break
        return list(found.values())[:limit]

    async def by_id(self, trace_id: str) -> Trace:
        """Return the trace with this id. Raises Rejected with NotFound if Jaeger does not know it."""
        reading = await self._ask(f"{self.api.TRACES}/{trace_id}", [], 1)
        if not reading.traces:
            words = self.endpoint.quoter("; ".join(reading.errors)[:MAX_ERROR_BYTES]) or "trace not found"
            message = f"DataSource {self.endpoint.name}: {words}"
            raise Rejected(message, GapReason.NOT_FOUND)
        return self.known[next(iter(reading.traces))]

    async def _walk(
        self,
        request: TracesRequest,
        window: Window,
        limit: int,
        span_filter: SpanFilter,
        *,
        failing: bool = False,
        least_microseconds: int | None = None,
    ) -> list[Trace]:
        """Return the traces of a search with a span that passes `span_filter`, the latest first. `failing`: only failing ones.

        If an answer is full or too large, each half of the window is searched.
        """
        found: dict[str, Trace] = {}
        parts, requests = [window], 0
        while parts and len(found) < limit and self.broken is None:
            part = parts.pop()
            requests += 1
            query = self.api.search(SearchValues.of(request, part, MAX_POOL, least_microseconds))
            reading = await self._ask(self.api.TRACES, query, MAX_POOL, span_filter, go_on=True)
            too_large = self.broken is not None and self.broken.reason is GapReason.TOO_LARGE
            middle = part.start + (part.end - part.start) / 2
            if too_large or len(reading.traces) >= MAX_POOL:
                if part.start < middle < part.end and requests + len(parts) < MAX_PARTS:
                    self.broken = None
                    parts += [Window(part.start, middle), Window(middle, part.end)]
                    continue
                message = f"there are too many traces from {part.as_texts()[0]} on: only the latest were searched"
                self._note_error(GapReason.BUDGET_EXCEEDED, message)
            matching = [self.known[trace_id] for trace_id in reading.traces if trace_id in reading.matching]
            matching.sort(key=lambda trace: trace.start, reverse=True)
            found |= {trace.trace_id: trace for trace in matching if trace.is_failing or not failing}
        return list(found.values())[:limit]

    async def _ask(
        self,
        path: str,
        query: list[tuple[str, str]],
        max_traces: int,
        span_filter: SpanFilter | None = None,
        *,
        go_on: bool = False,
    ) -> Reading:
        """Read one answer. If it breaks off, `broken` is set, and the traces so far are returned.

        Raises SourceError if it has no traces, unless `go_on`.
        """
        readings: list[Reading] = []

        def read(stream: JsonStream) -> Reading:
            readings.append(Reading(self.spill, self.whole, max_traces, span_filter, redactor=self.redactor))
            self.api.read(stream, self.endpoint, readings[-1])
            return readings[-1]

        try:
            reading = await self.http.stream_json(self.endpoint, path, query, read, self.api.error_text)
        except (Unavailable, Rejected) as e:
            if e.reason is GapReason.NOT_FOUND and path == api_v3.TRACES:  # the empty answer of later versions
                return Reading(self.spill, self.whole)
            if not go_on and (not readings or not readings[-1].traces):
                raise
            reading, self.broken = readings[-1] if readings else Reading(self.spill, self.whole), e
        for words in await asyncio.to_thread(self._quoted, reading.errors) if reading.errors else ():
            self._note_error(GapReason.UNAVAILABLE, f"Jaeger reports: {words}")
        new = {trace_id: trace for trace_id, trace in reading.traces.items() if trace.pieces and trace_id not in self.whole}
        self.known |= new
        self.split |= {trace_id for trace_id in new if len(reading.objects.get(trace_id, ())) > 1}
        self.incomplete |= {trace_id for trace_id in new if not all(reading.objects.get(trace_id, {}).values())}
        if self.broken is None or self.api is api_v1:
            self.whole |= new.keys()
        return reading

    async def unknown(self) -> list[str]:
        """Return a message for a service or operation that Jaeger does not know, with the nearest names. Asks Jaeger."""
        service, operation = self.request.service or "", self.request.operation
        if service not in self.services:
            near = await asyncio.to_thread(hint, service, self.services)
            return [f"Jaeger knows no service {one_line(service)}{near}"]
        if operation is None:
            return []
        path, query = self.api.operations_of(service)
        try:
            answer = await self.http.fetch_json(self.endpoint, path, query)
        except SourceError:  # not a gap: the search itself was answered
            return []
        names = self.api.operations(answer.body) if answer.is_whole else None
        if names is None or operation in names:
            return []
        near = await asyncio.to_thread(hint, operation, names)
        return [f"service {one_line(service)} has no operation {one_line(operation)}{near}"]

    def _quoted(self, errors: Iterable[str]) -> list[str]:
        return [self.endpoint.quoter(error, MAX_ERROR_CHARACTERS) for error in errors]

    def _note_error(self, reason: GapReason, error: str) -> None:
        if (reason, error) not in self.errors:
            self.errors.append((reason, error))

    async def batches(self, traces: Iterable[Trace]) -> AsyncGenerator[Encoded, None]:
        """Yield the traces as they are stored, about a MiB at a time. A larger trace comes alone, one per process at a time."""
        batch: list[Trace] = []
        try:
            for trace in traces:
                if batch and sum(member.size_bytes for member in [*batch, trace]) > BATCH_BYTES:
                    yield await asyncio.to_thread(self._encode, batch)
                    batch = []
                if trace.size_bytes > BATCH_BYTES:
                    async with self.http.large:  # until it was consumed
                        yield await asyncio.to_thread(self._encode, [trace])
                else:
                    batch.append(trace)
            if batch:
                yield await asyncio.to_thread(self._encode, batch)
        finally:
            self.spill.close()

    def _encode(self, traces: list[Trace]) -> Encoded:
        text = BytesIO()  # a large trace is in memory only once
        count = 0
        for number, trace in enumerate(traces):
            if number:
                text.write(SEPARATOR)
            count += self.api.write_entries(text, self.spill, trace)
        return Encoded(text.getvalue(), bytes(count))


def gaps_of(searches: Searches, target: str) -> list[Missing]:
    """Return the gaps and notes of the searches."""
    missing = [Missing(target, reason, message) for reason, message in searches.errors]
    if searches.broken is not None:
        missing.append(Missing(target, searches.broken.reason, f"{searches.broken.message}; what was received is kept"))
    if searches.incomplete:
        message = (
            f"parts of {_some(searches.incomplete)} are missing: Jaeger sent them in several objects; ask for them by their ids"
        )
        missing.append(Missing(target, GapReason.INVALID_RESPONSE, message))
    if searches.split:
        message = (
            f"Jaeger sent {_some(searches.split)} in several objects: each is an entry, and spans that occur in two of them"
            " are counted twice"
        )
        missing.append(Missing(target, GapReason.INVALID_RESPONSE, message, severity="note"))
    return missing


def _some(trace_ids: Collection[str]) -> str:
    """Name the first ids, for example: 4 traces (ab12, cd34, ef56, ...)."""
    first = [one_line(trace_id) for trace_id in sorted(trace_ids)[:MAX_NAMED]]
    return f"{counted(len(trace_ids), 'trace')} ({', '.join(first)}{', ...' if len(trace_ids) > MAX_NAMED else ''})"
