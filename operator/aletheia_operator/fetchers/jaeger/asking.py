"""One Jaeger, asked over the API that it speaks; what it answers lies in `Held`."""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from types import ModuleType

from aletheia_operator.api import TracesRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.held import Held
from aletheia_operator.fetchers.jaeger import api_v1, api_v3
from aletheia_operator.fetchers.jaeger.selection import MAX_POOL
from aletheia_operator.fetchers.jaeger.traces import Reading, Trace, Wanted
from aletheia_operator.text.entries import SEPARATOR, Encoded

APIS: dict[str, ModuleType] = {api_v1.NAME: api_v1, api_v3.NAME: api_v3}
BATCH_BYTES = 1024 * 1024
MAX_PARTS = 48


async def find_api(endpoint: Endpoint, http: Http) -> ModuleType:
    """The API that the DataSource names, else the first that answers. Raises SourceError where none does."""
    if endpoint.api is not None:
        await _check(APIS[endpoint.api], endpoint, http)
        return APIS[endpoint.api]
    try:
        await _check(api_v1, endpoint, http)
        return api_v1
    except SourceError as refused:
        if refused.reason not in (GapReason.NOT_FOUND, GapReason.INVALID_RESPONSE):
            raise
        try:
            await _check(api_v3, endpoint, http)
        except SourceError:
            raise refused from None
        return api_v3


async def _check(api: ModuleType, endpoint: Endpoint, http: Http) -> None:
    answer = await http.fetch_json(endpoint, api.SERVICES, [])
    if answer.status >= 400:
        raise endpoint.failed(answer.status, api.words(answer.body))
    if not api.lists_services(answer.body):
        raise endpoint.not_of("Jaeger")


@dataclass
class Asked:
    """The searches of one question."""

    endpoint: Endpoint
    http: Http
    api: ModuleType
    request: TracesRequest
    window: Window
    held: Held
    known: dict[str, Trace] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    """What Jaeger says is wrong with its answers."""
    broken: SourceError | None = None

    async def search(
        self, limit: int, *, failing: bool = False, least_microseconds: int | None = None, window: Window | None = None
    ) -> list[Trace]:
        """The latest traces of the window that match, at most `limit`; see `selection.Asking`."""
        span = window or self.window
        if self.api is api_v3 and (failing or self.request.tags):
            return await self._sift(limit, failing, least_microseconds, span)
        query = self.api.search(self.request, span, limit, failing, least_microseconds)
        reading = await self._ask(self.api.TRACES, query, limit)
        return [self.known[trace_id] for trace_id in reading.traces]

    async def by_id(self, trace_id: str) -> Trace:
        """Raises Rejected with NotFound where Jaeger does not know it."""
        reading = await self._ask(f"{self.api.TRACES}/{trace_id}", [], 1)
        if not reading.traces:
            message = f"DataSource {self.endpoint.name}: {'; '.join(reading.errors) or 'trace not found'}"
            raise Rejected(message, GapReason.NOT_FOUND)
        return self.known[next(iter(reading.traces))]

    async def _sift(self, limit: int, failing: bool, least_microseconds: int | None, window: Window) -> list[Trace]:
        """A search that the API knows no words for: all traces are read, the latest part of the window first."""
        wanted = api_v3.wanted(self.request, failing, least_microseconds)
        found: dict[str, Trace] = {}
        parts, asked = [window], 0
        while parts and len(found) < limit and self.broken is None:
            part = parts.pop()
            asked += 1
            query = self.api.search(self.request, part, MAX_POOL, failing, least_microseconds)
            reading = await self._ask(self.api.TRACES, query, MAX_POOL, wanted)
            middle = part.start + (part.end - part.start) / 2
            if len(reading.traces) >= MAX_POOL and part.start < middle < part.end and asked + len(parts) < MAX_PARTS:
                parts += [Window(part.start, middle), Window(middle, part.end)]
                continue
            if len(reading.traces) >= MAX_POOL:
                self._say(f"of more than {MAX_POOL} traces from {part.as_texts()[0]} on the latest alone were looked through")
            found |= {trace_id: self.known[trace_id] for trace_id in reading.traces if trace_id in reading.matching}
        return list(found.values())[:limit]

    async def _ask(self, path: str, query: list[tuple[str, str]], most: int, wanted: Wanted = lambda span: True) -> Reading:
        """One answer. Where it broke off after something came, that is returned, and noted."""
        readings: list[Reading] = []

        def read(stream: JsonStream) -> Reading:
            readings.append(Reading(self.held, self.known, most, wanted))
            self.api.read(stream, self.endpoint, readings[-1])
            return readings[-1]

        try:
            reading = await self.http.stream_json(self.endpoint, path, query, read, self.api.words)
        except (Unavailable, Rejected) as e:
            if e.reason is GapReason.NOT_FOUND and path == api_v3.TRACES:  # what later versions call an empty answer
                return Reading(self.held, self.known)
            if not readings or not readings[-1].traces:
                raise
            reading, self.broken = readings[-1], e
        for error in reading.errors:
            self._say(f"Jaeger says: {self.endpoint.without_secrets(error)}")
        for trace_id, trace in reading.traces.items():
            self.known.setdefault(trace_id, trace)
        return reading

    def _say(self, error: str) -> None:
        if error not in self.errors:
            self.errors.append(error)

    async def batches(self, traces: Iterable[Trace]) -> AsyncGenerator[Encoded, None]:
        """The traces as they are stored; then what was held is given back."""
        batch: list[bytes] = []
        try:
            for trace in traces:
                batch.append(self.api.entry([self.held.get(number) for number in trace.pieces]))
                if sum(map(len, batch)) >= BATCH_BYTES:
                    yield Encoded(SEPARATOR.join(batch), len(batch))
                    batch = []
            if batch:
                yield Encoded(SEPARATOR.join(batch), len(batch))
        finally:
            self.held.close()


def said(asked: Asked) -> list[tuple[GapReason, str]]:
    """What is missing, by what came."""
    missing = [(GapReason.UNAVAILABLE, error) for error in asked.errors]
    if asked.broken is not None:
        missing.append((asked.broken.reason, f"{asked.broken.message}; what came before is kept"))
    return missing
