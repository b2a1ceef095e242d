"""Grafana Loki: log lines that the kubelet no longer has, and those of pods long gone. One document per LogQL query.

Speaks GET /loki/api/v1/query_range, forward (https://grafana.com/docs/loki/latest/reference/loki-http-api/). Times are
nanoseconds since the Unix epoch; `start` is included, `end` is not.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.investigation import QueryRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.http import Http
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources
from aletheia_operator.text.forms import recognise
from aletheia_operator.text.levels import SERIOUS, LevelCount, one_line
from aletheia_operator.text.timestamps import format_nanoseconds, to_nanoseconds

DEFAULT_LIMIT = 10_000
PAGE_ENTRIES = 1_000
MAX_PAGE_ENTRIES = 5_000  # what a server answers at most unless its max_entries_limit_per_query says otherwise

Entry = tuple[int, tuple[tuple[str, str], ...], str]


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
        start, end = to_nanoseconds(sources.window.start), to_nanoseconds(sources.window.end) + 1
        findings = Findings()
        pages = _Pages(sources.http, endpoint, request.query, start, end)
        yield Document(
            category="logs",
            source="loki",
            name=("loki", request.query),
            metadata={"query": request.query, "limit": limit, "data_source": endpoint.name},
            batches=_entries(pages, limit, question.target, findings),
            findings=findings,
        )

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """The server's version. Raises SourceError where it does not answer."""
        answer = await http.fetch_json(endpoint, "/loki/api/v1/status/buildinfo", [])
        if answer.status >= 400:
            raise endpoint.failed(answer.status, "")
        version = answer.body.get("version") if isinstance(answer.body, dict) else None
        return str(version) if version else None


async def _entries(pages: "_Pages", limit: int, target: str, findings: Findings) -> AsyncGenerator[list[dict[str, Any]], None]:
    """The lines of all pages, at most `limit`."""
    levels = LevelCount()
    try:
        async for page in pages.read():
            left = limit - levels.lines
            yield [_readable(entry, levels) for entry in page[:left]]
            if len(page) > left or (len(page) == left and not pages.at_end):
                message = f"the query has more lines than its limit of {limit}; narrow it, or raise the limit"
                findings.missing.append(Missing(target, GapReason.BUDGET_EXCEEDED, message))
                return
    finally:
        findings.summary = levels.summary()


def _readable(entry: Entry, levels: LevelCount) -> dict[str, Any]:
    moment, labels, line = entry
    recognised = recognise(line)
    levels.add(recognised.level)
    if recognised.level in SERIOUS:
        levels.add_message(line if recognised.message is None else recognised.message)
    return {"timestamp": format_nanoseconds(moment), "labels": dict(labels), "line": line, "level": recognised.level}


@dataclass
class _Pages:
    """Walks forward. A page begins at the last moment of the one before, whose lines of that moment are known and left out."""

    http: Http
    endpoint: Endpoint
    query: str
    start: int
    end: int
    at_end: bool = field(default=False, init=False)

    async def read(self) -> AsyncIterator[list[Entry]]:
        known: set[Entry] = set()
        size = PAGE_ENTRIES
        while not self.at_end:
            page = await self._page(size)
            self.at_end = len(page) < size
            fresh = [entry for entry in page if entry not in known]
            last = page[-1][0] if page else self.end
            if not self.at_end and last == self.start:  # more lines of one moment than a page holds
                if size >= MAX_PAGE_ENTRIES:
                    raise Rejected(
                        f"DataSource {self.endpoint.name}: more than {MAX_PAGE_ENTRIES} lines have the same time"
                        f" {format_nanoseconds(last)}, which Loki cannot page through; narrow the query",
                        GapReason.TOO_LARGE,
                    )
                size = MAX_PAGE_ENTRIES
                continue
            known = {entry for entry in page if entry[0] == last}
            self.start = last
            yield fresh

    async def _page(self, size: int) -> list[Entry]:
        """At most `size` lines from `start` on, in order."""
        parameters = [("query", self.query), ("start", str(self.start)), ("end", str(self.end))]
        parameters += [("limit", str(size)), ("direction", "forward")]
        answer = await self.http.fetch_json(self.endpoint, "/loki/api/v1/query_range", parameters)
        if answer.status >= 400:
            raise self.endpoint.failed(answer.status, one_line(str(answer.body), 300))
        try:
            data = answer.body["data"]
            if data["resultType"] != "streams":
                raise Rejected("query: it computes a metric; a query for log lines is expected")
            entries = [
                (int(moment), tuple(sorted(stream["stream"].items())), str(line))
                for stream in data["result"]
                for moment, line, *_ in stream["values"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise self.endpoint.not_of("Loki") from e
        return sorted(entries)
