"""The Loki fetcher: from a query to its document."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.requests import QueryRequest
from aletheia_operator.api.source_types.loki import LokiOptions
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.http import Http
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Plan, Question, Sources, plan_queries
from aletheia_operator.fetchers.loki.answer import Line, Page, StreamRedaction
from aletheia_operator.fetchers.loki.labels import unknown_labels
from aletheia_operator.fetchers.loki.logql import confine
from aletheia_operator.fetchers.loki.pages import Pages
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.text.batches import SEPARATOR, SERIOUS, Encoded
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.timestamps import format_nanoseconds, to_nanoseconds

DEFAULT_LIMIT = 10_000
BATCH_LINES = 1_000
BATCH_BYTES = 1024 * 1024


class LokiFetcher:
    """Captures the log lines of a LogQL query over the window."""

    name = "Loki"
    source_type = "loki"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        return plan_queries(spec, self.name, self.source_type, gives_logs=True)

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the lines of one query, in the order of their times.

        Entries: {"timestamp": RFC 3339 with nanoseconds, "labels": {name: value}, "line": text, "level": level or null}.
        """
        request = QueryRequest.from_json(question.arguments["request"])
        endpoint = await sources.data_sources.find(self.source_type, question.arguments["data_source"])
        limit = request.limit or DEFAULT_LIMIT
        label, query = endpoint.options_of(LokiOptions).namespace_label, request.query
        if label is not None:
            query = confine(query, label, sources.namespace)
        start, end = to_nanoseconds(sources.window.start), sources.window.end_nanoseconds + 1
        redactor = sources.redactor.another()
        outcome = Outcome(redactions=redactor.counts)
        redaction = StreamRedaction(redactor)
        pages = Pages(sources.http, endpoint, sources.scratch, query, start, end, question.target, outcome, redaction)
        yield Document(
            category="logs",
            source="loki",
            name=("loki", request.query),
            metadata={"query": query, "limit": limit, "data_source": endpoint.name},
            batches=_entries(pages, limit),
            outcome=outcome,
        )

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """Return the server's version; None if it reports none. Raises SourceError if it does not answer."""
        answer = await http.fetch_json(endpoint, "/loki/api/v1/status/buildinfo", [])
        if not answer.is_whole:
            raise endpoint.failed(answer.status, "")
        version = answer.body.get("version") if isinstance(answer.body, dict) else None
        return str(version) if version else None


async def _entries(pages: Pages, limit: int) -> AsyncGenerator[Encoded, None]:
    """Yield the lines of all pages, at most `limit`, and complete the outcome."""
    levels = LevelCount()
    start = pages.start
    try:
        async with aclosing(pages.walk()) as walk:
            async for page, lines in walk:
                left = limit - levels.lines
                parts = _encode(page, lines[:left], levels)
                while (part := await asyncio.to_thread(next, parts, None)) is not None:
                    yield part
                if len(lines) > left:
                    pages.add_gap(f"the query has more lines than its limit of {limit}; narrow it, or raise the limit")
                    return
                if page.broken is not None:
                    raise page.broken
        if not levels.lines and pages.endpoint.options_of(LokiOptions).namespace_label is None:  # names are of all namespaces
            unknown = await unknown_labels(pages.http, pages.endpoint, pages.query, start, pages.end)
            pages.outcome.missing += [Missing(pages.target, GapReason.EMPTY, message) for message in unknown]
    finally:
        pages.outcome.summary, pages.outcome.counts = levels.summary(), levels.counts()


def _encode(page: Page, lines: list[Line], levels: LevelCount) -> Iterator[Encoded]:
    """Encode lines as they are stored, in batches of about a MiB."""
    batch, size = [], 0
    for line in lines:
        batch.append(_entry(page, line, levels))
        size += len(batch[-1])
        if size >= BATCH_BYTES or len(batch) >= BATCH_LINES:
            yield Encoded(SEPARATOR.join(batch), bytes(len(batch)))
            batch, size = [], 0
    if batch:
        yield Encoded(SEPARATOR.join(batch), bytes(len(batch)))


def _entry(page: Page, line: Line, levels: LevelCount) -> bytes:
    from aletheia_operator.logs.forms import recognise  # not at start: it takes memory, and most captures need none of it

    text = page.text(line)
    recognised = recognise(text)
    levels.add(recognised.level)
    if recognised.level in SERIOUS:
        levels.add_message(text if recognised.message is None else recognised.message)
    time, labels = format_nanoseconds(line.moment), page.shown_labels(line.stream)
    return dumps({"timestamp": time, "labels": labels, "line": text, "level": recognised.level})
