"""Grafana Loki: log lines that the kubelet no longer has, and those of pods long gone. One document per LogQL query.

Speaks GET /loki/api/v1/query_range, forward (https://grafana.com/docs/loki/latest/reference/loki-http-api/). Times are
nanoseconds since the Unix epoch; `start` is included, `end` is not.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.investigation import QueryRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.logs.forms import recognise
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.batches import SEPARATOR, SERIOUS, Encoded
from aletheia_operator.text.display import one_line
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.timestamps import format_nanoseconds, to_nanoseconds

DEFAULT_LIMIT = 10_000
PAGE_ENTRIES = 1_000
MAX_PAGE_ENTRIES = 5_000  # what a server answers at most unless its max_entries_limit_per_query says otherwise
BATCH_BYTES = 1024 * 1024


class LokiFetcher:
    """Log lines of a LogQL query over the window."""

    name = "Loki"
    source_type = "loki"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        asked = [request for request in spec.queries or [] if request.type == self.source_type]
        questions = []
        for number, request in enumerate(asked):
            reference = request.data_source_ref.name if request.data_source_ref else None
            arguments = {"request": request.to_json(), "data_source": reference}
            questions.append(Question(self.name, f"{self.name}/{number}", one_line(request.query), arguments, gives_logs=True))
        return Plan(tuple(questions))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the lines of one query, in the order of their times.

        Entries: {"timestamp": RFC 3339 with nanoseconds, "labels": {name: value}, "line": text, "level": level or null}.
        """
        request = QueryRequest.from_json(question.arguments["request"])
        endpoint = await sources.data_sources.find(self.source_type, question.arguments["data_source"])
        limit = request.limit or DEFAULT_LIMIT
        start, end = to_nanoseconds(sources.window.start), sources.window.end_nanoseconds + 1
        findings = Findings()
        pages = _Pages(sources.http, endpoint, sources.scratch, request.query, start, end, question.target, findings)
        yield Document(
            category="logs",
            source="loki",
            name=("loki", request.query),
            metadata={"query": request.query, "limit": limit, "data_source": endpoint.name},
            batches=_entries(pages, limit),
            findings=findings,
        )

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """The server's version. Raises SourceError where it does not answer."""
        answer = await http.fetch_json(endpoint, "/loki/api/v1/status/buildinfo", [])
        if answer.status >= 400:
            raise endpoint.failed(answer.status, "")
        version = answer.body.get("version") if isinstance(answer.body, dict) else None
        return str(version) if version else None


class _Line(NamedTuple):
    """Sorts by time, then in the order of the answer."""

    moment: int
    stream: int
    position: int
    number: int
    """Of its text, in the page's `Spill`."""


@dataclass
class _Page:
    held: Spill
    labels: list[dict[str, Any]] = field(default_factory=list)
    """Of each stream."""
    lines: list[_Line] = field(default_factory=list)
    broken: SourceError | None = None
    """Why it ends early."""

    def digest(self, line: _Line) -> bytes:
        """What tells lines of one moment apart."""
        labels = dumps(sorted(self.labels[line.stream].items()))
        return hashlib.blake2b(labels + b"\0" + self.held.get(line.number), digest_size=16).digest()

    def entry(self, line: _Line, levels: LevelCount) -> bytes:
        text = str(orjson.loads(self.held.get(line.number)))
        recognised = recognise(text)
        levels.add(recognised.level)
        if recognised.level in SERIOUS:
            levels.add_message(text if recognised.message is None else recognised.message)
        time, labels = format_nanoseconds(line.moment), self.labels[line.stream]
        return dumps({"timestamp": time, "labels": labels, "line": text, "level": recognised.level})


async def _entries(pages: "_Pages", limit: int) -> AsyncGenerator[Encoded, None]:
    """The lines of all pages, at most `limit`."""
    levels = LevelCount()
    try:
        async for page, lines in pages.read():
            left = limit - levels.lines
            batch, size = [], 0
            for line in lines[:left]:
                batch.append(page.entry(line, levels))
                size += len(batch[-1])
                if size >= BATCH_BYTES:
                    yield Encoded(SEPARATOR.join(batch), bytes(len(batch)))
                    batch, size = [], 0
            yield Encoded(SEPARATOR.join(batch), bytes(len(batch)))
            if len(lines) > left:
                pages.miss(f"the query has more lines than its limit of {limit}; narrow it, or raise the limit")
                return
            if page.broken is not None:
                raise page.broken
    finally:
        pages.findings.summary = levels.summary()


@dataclass
class _Pages:
    """Walks forward. A page begins at the last moment of the one before, whose lines of that moment are known and left out."""

    http: Http
    endpoint: Endpoint
    scratch: Callable[[], Scratch]
    query: str
    start: int
    end: int
    target: str
    findings: Findings

    def miss(self, message: str) -> None:
        self.findings.missing.append(Missing(self.target, GapReason.BUDGET_EXCEEDED, message))

    async def read(self) -> AsyncGenerator[tuple[_Page, list[_Line]], None]:
        """Each page with its lines that were not in the one before, in order."""
        known: set[bytes] = set()
        size, at_end = PAGE_ENTRIES, False
        while not at_end and self.start < self.end:
            page = await self._page(size)
            try:
                at_end = len(page.lines) < size
                last = page.lines[-1].moment if page.lines else self.end
                if not at_end and last == self.start and size < MAX_PAGE_ENTRIES:  # more of one moment than a page holds
                    size = MAX_PAGE_ENTRIES
                    continue
                fresh = [line for line in page.lines if line.moment > self.start or page.digest(line) not in known]
                if not at_end and last == self.start:
                    self.miss(
                        f"{size} lines or more have the same time {format_nanoseconds(last)}, which Loki cannot page through:"
                        " of these no others are here; narrow the query"
                    )
                    last += 1
                known = {page.digest(line) for line in page.lines if line.moment == last}
                self.start = last
                yield page, fresh
                if page.broken is not None:
                    return
            finally:
                page.held.close()

    async def _page(self, size: int) -> _Page:
        """At most `size` lines from `start` on, in order; what came of an answer that breaks off."""
        parameters = [("query", self.query), ("start", str(self.start)), ("end", str(self.end))]
        parameters += [("limit", str(size)), ("direction", "forward")]
        pages: list[_Page] = []

        def read(stream: JsonStream) -> _Page:
            for page in pages:
                page.held.close()
            pages.append(_Page(Spill(self.scratch)))
            _read(stream, self.endpoint, pages[-1], size)
            return pages[-1]

        try:
            page = await self.http.stream_json(self.endpoint, "/loki/api/v1/query_range", parameters, read, _words)
        except SourceError as e:
            if not pages or not pages[-1].lines:
                raise
            page = pages[-1]
            page.broken = e
        page.lines.sort()
        return page


def _words(body: Any) -> str:
    """What a refusal says, if it is JSON; Loki itself answers in plain text."""
    return str(body.get("message") or body.get("error") or "")


def _read(stream: JsonStream, endpoint: Endpoint, page: _Page, most: int) -> None:
    kind = None
    if stream.kind() != "{":
        raise endpoint.not_of("Loki")
    for key in stream.members():
        if key != "data" or stream.kind() != "{":
            stream.value()
            continue
        for name in stream.members():
            if name == "resultType":
                kind = stream.value()
                if kind != "streams":
                    raise Rejected("query: it computes a metric; a query for log lines is expected")
            elif name == "result" and stream.kind() == "[":
                for _ in stream.items():
                    _read_stream(stream, endpoint, page, most)
            else:
                stream.value()
    if kind is None:
        raise endpoint.not_of("Loki")


def _read_stream(stream: JsonStream, endpoint: Endpoint, page: _Page, most: int) -> None:
    """One stream: {"stream": labels, "values": [[nanoseconds, line, ...], ...]}."""
    number = len(page.labels)
    page.labels.append({})
    if stream.kind() != "{":
        raise endpoint.not_of("Loki")
    for key in stream.members():
        content: Any = None
        if key == "values" and stream.kind() == "[":
            for position, _ in enumerate(stream.items()):
                try:
                    moment, line, *_more = stream.value()
                    page.lines.append(_Line(int(moment), number, position, page.held.put(dumps(str(line)))))
                except (TypeError, ValueError) as e:
                    raise endpoint.not_of("Loki") from e
                if len(page.lines) > most:
                    raise endpoint.not_of("Loki: it has more lines than were asked for")
        elif key == "stream":
            content = stream.value()
            if not isinstance(content, dict):
                raise endpoint.not_of("Loki")
            page.labels[number] = content
        else:
            stream.value()
