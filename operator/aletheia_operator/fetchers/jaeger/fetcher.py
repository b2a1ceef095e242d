"""The Jaeger fetcher: turns a TracesRequest into documents."""

from collections.abc import AsyncIterator
from typing import Any

from aletheia_operator.api import InvestigationSpec, TracesRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.http import Http
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Plan, Question, Sources
from aletheia_operator.fetchers.jaeger.searches import Searches, find_api, gaps_of
from aletheia_operator.fetchers.jaeger.selection import select
from aletheia_operator.fetchers.jaeger.traces import Trace, summarise
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

DEFAULT_LIMIT = 20


class JaegerFetcher:
    """Captures traces of a service over the window, one trace by its id, or the traces that the logs mention."""

    name = "Jaeger"
    source_type = "jaeger"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        questions = []
        for number, request in enumerate(spec.traces or []):
            arguments = {
                "identifier": request.service or request.trace_id or "from_logs",
                "request": request.to_json(),
                "data_source": request.data_source_ref.name if request.data_source_ref else None,
            }
            after_logs = request.from_logs is not None
            questions.append(Question(self.name, f"{self.name}/{number}", _title(request), arguments, after_logs=after_logs))
        return Plan(tuple(questions))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the answer to one question. Entries: traces as Jaeger sent them, in the form of its API version."""
        request = TracesRequest.from_json(question.arguments["request"])
        endpoint = await sources.data_sources.find(self.source_type, question.arguments["data_source"])
        redactor = sources.redactor.another()
        api, services = await find_api(endpoint, sources.http)
        searches = Searches(endpoint, sources.http, api, services, request, sources.window, Spill(sources.scratch), redactor)
        metadata: dict[str, Any] = {}
        missing: list[tuple[GapReason, str]] = []
        try:
            if request.trace_id is not None:
                traces = [await searches.by_id(request.trace_id)]
            elif request.from_logs is not None:
                traces, metadata, missing = await _from_logs(searches, request.from_logs.limit, sources)
            else:
                traces, metadata = await _search(searches, request.limit or DEFAULT_LIMIT)
                if not traces and searches.broken is None:
                    missing = [(GapReason.EMPTY, words) for words in await searches.unknown()]
        except BaseException:
            searches.spill.close()
            raise
        yield Document(
            category="traces",
            source="jaeger",
            name=("jaeger", question.arguments["identifier"]),
            metadata={
                **{key: value for key, value in question.arguments["request"].items() if key != "dataSourceRef"},
                **metadata,
                "data_source": endpoint.name,
                "api": api.NAME,
            },
            batches=searches.batches(traces),
            outcome=Outcome(
                summary=summarise(traces),
                redactions=redactor.counts,
                missing=[
                    *(Missing(question.target, reason, message) for reason, message in missing),
                    *gaps_of(searches, question.target),
                ],
            ),
        )

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """Check that Jaeger answers. Returns None: its query APIs report no version. Raises SourceError."""
        await find_api(endpoint, http)
        return None


def _title(request: TracesRequest) -> str:
    if request.trace_id is not None:
        return f"trace/{request.trace_id}"
    if request.from_logs is not None:
        return "traces/from logs"
    return f"service/{one_line(request.service or '')}"


async def _search(searches: Searches, limit: int) -> tuple[list[Trace], dict[str, Any]]:
    selection = await select(searches, limit, searches.window)
    metadata = {"limit": limit, "limit_reached": selection.limit_reached, "kept": selection.kept}
    return list(selection.traces.values()), metadata


async def _from_logs(
    searches: Searches, limit: int, sources: Sources
) -> tuple[list[Trace], dict[str, Any], list[tuple[GapReason, str]]]:
    """Return the traces that the captured logs mention by id, the metadata (with ids without a trace), and gaps."""
    ids, more = sources.trace_ids(limit)
    traces: list[Trace] = []
    unknown: list[str] = []
    missing: list[tuple[GapReason, str]] = []
    if more:
        missing.append(
            (GapReason.BUDGET_EXCEEDED, f"the logs mention more than {counted(limit, 'trace')}; raise fromLogs.limit")
        )
    for number, trace_id in enumerate(ids):
        try:
            traces.append(await searches.by_id(trace_id))
        except SourceError as e:
            if e.reason is not GapReason.NOT_FOUND:
                missing.append((e.reason, f"{e.message}; {len(ids) - number} of {counted(len(ids), 'trace')} not fetched"))
                break
            unknown.append(trace_id)
        if searches.broken is not None:
            missing.append((searches.broken.reason, f"{len(ids) - number - 1} of {counted(len(ids), 'trace')} not fetched"))
            break
    if unknown:
        message = f"the logs mention {counted(len(ids), 'trace')}; Jaeger does not have {len(unknown)}, perhaps as it samples"
        missing.append((GapReason.NOT_FOUND, message))
    return traces, {"mentioned": ids, "unknown": unknown}, missing
