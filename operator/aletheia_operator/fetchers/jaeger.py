"""Jaeger traces: one document per search or trace id.

Speaks GET /api/traces and /api/traces/{id} (the API of Jaeger's own UI; times in microseconds since the Unix epoch).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson

from aletheia_operator.api import InvestigationSpec, TracesRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.clients.http import Answer, Http
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources, Window
from aletheia_operator.text.levels import one_line
from aletheia_operator.text.timestamps import to_nanoseconds

DEFAULT_LIMIT = 20
TRACES_PER_BATCH = 50


class JaegerFetcher:
    """Traces of a service over the window, or one trace."""

    name = "Jaeger"
    source_type = "jaeger"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        questions = []
        for number, request in enumerate(spec.traces or []):
            identifier = request.service or request.trace_id or ""
            arguments = {
                "identifier": identifier,
                "request": request.to_json(),
                "data_source": request.data_source_ref.name if request.data_source_ref else None,
            }
            questions.append(Question(self.name, f"{self.name}/{number}", _title(request), arguments))
        return Plan(tuple(questions))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the answer to one question. Entries: traces as Jaeger sent them."""
        request = TracesRequest.from_json(question.arguments["request"])
        endpoint = await sources.data_sources.find("jaeger", question.arguments["data_source"])
        if request.trace_id is not None:
            answer = await sources.http.fetch_json(endpoint, f"/api/traces/{request.trace_id}", [])
        else:
            answer = await sources.http.fetch_json(endpoint, "/api/traces", search(request, sources.window))
        traces, errors = read(endpoint, answer)
        limit = None if request.trace_id else request.limit or DEFAULT_LIMIT
        asked = {key: value for key, value in question.arguments["request"].items() if key != "dataSourceRef"}
        yield Document(
            category="traces",
            source="jaeger",
            name=("jaeger", question.arguments["identifier"]),
            metadata={
                **asked,
                "limit": limit,
                "limit_reached": limit is not None and len(traces) >= limit,
                "data_source": endpoint.name,
            },
            batches=_batches(traces),
            findings=Findings(
                summary=summarise(traces),
                missing=[Missing(question.target, GapReason.UNAVAILABLE, f"Jaeger says: {error}") for error in errors],
            ),
        )

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        """Jaeger's query API does not tell its version: None. Raises SourceError where it does not answer."""
        answer = await http.fetch_json(endpoint, "/api/services", [])
        if answer.status >= 400:
            raise endpoint.failed(answer.status, "")
        if not isinstance(answer.body, dict) or "data" not in answer.body:
            raise endpoint.not_of("Jaeger")
        return None


def _title(request: TracesRequest) -> str:
    if request.trace_id is not None:
        return f"trace/{request.trace_id}"
    return f"service/{one_line(request.service or '')}"


def search(request: TracesRequest, window: Window) -> list[tuple[str, str]]:
    """The query parameters of a search."""
    query = [
        ("service", request.service or ""),
        ("start", str(to_nanoseconds(window.start) // 1000)),
        ("end", str(to_nanoseconds(window.end) // 1000)),
        ("limit", str(request.limit or DEFAULT_LIMIT)),
    ]
    if request.operation:
        query.append(("operation", request.operation))
    if request.tags:
        query.append(("tags", orjson.dumps(request.tags).decode()))
    if request.min_duration:
        query.append(("minDuration", request.min_duration))
    if request.max_duration:
        query.append(("maxDuration", request.max_duration))
    return query


def read(endpoint: Endpoint, answer: Answer) -> tuple[list[dict[str, Any]], list[str]]:
    """The traces of an answer, and what Jaeger could not read. Raises Rejected or Unavailable."""
    body = answer.body if isinstance(answer.body, dict) else {}
    listed = body.get("errors")
    said = [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []
    errors = [one_line(str(error.get("msg") or error), 300) for error in said]
    if answer.status >= 400:
        raise endpoint.failed(answer.status, "; ".join(errors))
    traces = body.get("data")
    if not isinstance(traces, list) or not all(_is_trace(trace) for trace in traces):
        raise Unavailable(f"DataSource {endpoint.name}: the answer is not that of Jaeger", GapReason.INVALID_RESPONSE)
    return traces, errors


def _is_trace(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "traceID" in value
        and isinstance(value.get("processes"), dict)
        and isinstance(value.get("spans"), list)
        and all(isinstance(span, dict) for span in value["spans"])
    )


async def _batches(traces: list[dict[str, Any]]) -> AsyncGenerator[list[Any], None]:
    for first in range(0, len(traces), TRACES_PER_BATCH):
        yield traces[first : first + TRACES_PER_BATCH]


def summarise(traces: list[dict[str, Any]]) -> str:
    """Such as: 12 traces (4 failing), slowest 2.31 s: checkout POST /pay."""
    if not traces:
        return "0 traces"
    failing = sum(any(is_failing(span) for span in trace["spans"]) for trace in traces)
    text = f"{len(traces)} traces" + (f" ({failing} failing)" if failing else "")
    durations = [(_duration(span), trace, span) for trace in traces for span in trace["spans"]]
    if not durations:
        return text
    longest, trace, span = max(durations, key=lambda item: item[0])
    process = trace["processes"].get(str(span.get("processID")))
    service = process.get("serviceName", "") if isinstance(process, dict) else ""
    name = one_line(f"{service} {span.get('operationName', '')}", 80)
    return f"{text}, slowest {_readable(longest)}: {name}"


def _duration(span: dict[str, Any]) -> int:
    duration = span.get("duration")
    return duration if isinstance(duration, int) else 0


def is_failing(span: dict[str, Any]) -> bool:
    """A span with the tag error=true (OpenTracing) or otel.status_code=ERROR (OpenTelemetry)."""
    listed = span.get("tags")
    tags = [(tag.get("key"), tag.get("value")) for tag in listed if isinstance(tag, dict)] if isinstance(listed, list) else []
    return ("error", True) in tags or ("error", "true") in tags or ("otel.status_code", "ERROR") in tags


def _readable(microseconds: int) -> str:
    if microseconds >= 1_000_000:
        return f"{microseconds / 1_000_000:.2f} s"
    return f"{microseconds / 1000:.1f} ms"
