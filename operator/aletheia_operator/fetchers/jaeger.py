"""Jaeger traces: one document per search or trace id.

Speaks GET /api/traces and /api/traces/{id} (the API of Jaeger's own UI; times in microseconds since the Unix epoch).
"""

import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson

from aletheia_operator.api import InvestigationSpec, TracesRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError, Unavailable
from aletheia_operator.clients.http import Answer, Http
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources, Window
from aletheia_operator.fetchers.jaeger_selection import duration_of, select
from aletheia_operator.text.levels import one_line
from aletheia_operator.text.timestamps import to_nanoseconds

DEFAULT_LIMIT = 20
TRACES_PER_BATCH = 50
MAX_SERVICES = 5


class JaegerFetcher:
    """Traces of a service over the window, or one trace."""

    name = "Jaeger"
    source_type = "jaeger"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        questions = []
        for number, request in enumerate(spec.traces or []):
            identifier = request.service or request.trace_id or "from_logs"
            arguments = {
                "identifier": identifier,
                "request": request.to_json(),
                "data_source": request.data_source_ref.name if request.data_source_ref else None,
            }
            after_logs = request.from_logs is not None
            questions.append(Question(self.name, f"{self.name}/{number}", _title(request), arguments, after_logs=after_logs))
        return Plan(tuple(questions))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the answer to one question. Entries: traces as Jaeger sent them."""
        request = TracesRequest.from_json(question.arguments["request"])
        endpoint = await sources.data_sources.find("jaeger", question.arguments["data_source"])
        if request.from_logs is not None:
            yield await self._from_logs(question, request.from_logs.limit, endpoint, sources)
            return
        errors: list[str] = []

        async def ask(
            limit: int, *, failing: bool = False, least_microseconds: int | None = None, window: Window | None = None
        ) -> list[dict[str, Any]]:
            parameters = search(request, window or sources.window, limit, failing, least_microseconds)
            traces, said = read(endpoint, await sources.http.fetch_json(endpoint, "/api/traces", parameters))
            errors.extend(one for one in said if one not in errors)
            return traces

        limit, reached, kept = None, False, {}
        if request.trace_id is not None:
            traces, errors = read(endpoint, await sources.http.fetch_json(endpoint, f"/api/traces/{request.trace_id}", []))
        else:
            limit = request.limit or DEFAULT_LIMIT
            selection = await select(ask, limit, sources.window)
            traces, reached, kept = list(selection.traces.values()), selection.limit_reached, selection.kept
        asked = {key: value for key, value in question.arguments["request"].items() if key != "dataSourceRef"}
        yield Document(
            category="traces",
            source="jaeger",
            name=("jaeger", question.arguments["identifier"]),
            metadata={
                **asked,
                "limit": limit,
                "limit_reached": reached,
                "kept": kept,
                "data_source": endpoint.name,
            },
            batches=_batches(traces),
            findings=Findings(
                summary=summarise(traces),
                missing=[Missing(question.target, GapReason.UNAVAILABLE, f"Jaeger says: {error}") for error in errors],
            ),
        )

    async def _from_logs(self, question: Question, limit: int, endpoint: Endpoint, sources: Sources) -> Document:
        """The traces whose ids the captured logs mention. Ids without a trace are in the metadata."""
        ids, more = sources.trace_ids(limit)
        traces: list[dict[str, Any]] = []
        unknown: list[str] = []
        said: list[tuple[GapReason, str]] = []
        if more:
            said.append((GapReason.BUDGET_EXCEEDED, f"the logs mention more than {limit} traces; raise fromLogs.limit"))
        for number, trace_id in enumerate(ids):
            try:
                found, errors = read(endpoint, await sources.http.fetch_json(endpoint, f"/api/traces/{trace_id}", []))
            except SourceError as e:
                if e.reason is GapReason.NOT_FOUND:
                    unknown.append(trace_id)
                    continue
                said.append((e.reason, f"{e.message}; {len(ids) - number} of {len(ids)} traces were not fetched"))
                break
            traces += found
            said += [(GapReason.UNAVAILABLE, f"Jaeger says: {error}") for error in errors]
        if unknown:
            message = (
                f"Jaeger does not know {len(unknown)} of the {len(ids)} traces that the logs mention, such as those not sampled"
            )
            said.append((GapReason.NOT_FOUND, message))
        return Document(
            category="traces",
            source="jaeger",
            name=("jaeger", question.arguments["identifier"]),
            metadata={"fromLogs": {"limit": limit}, "mentioned": ids, "unknown": unknown, "data_source": endpoint.name},
            batches=_batches(traces),
            findings=Findings(
                summary=summarise(traces), missing=[Missing(question.target, reason, message) for reason, message in said]
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
    if request.from_logs is not None:
        return "traces/from logs"
    return f"service/{one_line(request.service or '')}"


def search(
    request: TracesRequest,
    window: Window,
    limit: int | None = None,
    failing: bool = False,
    least_microseconds: int | None = None,
) -> list[tuple[str, str]]:
    """The query parameters of a search, narrowed to failing traces, or to those with a span at least so long."""
    query = [
        ("service", request.service or ""),
        ("start", str(to_nanoseconds(window.start) // 1000)),
        ("end", str(to_nanoseconds(window.end) // 1000)),
        ("limit", str(limit or request.limit or DEFAULT_LIMIT)),
    ]
    if request.operation:
        query.append(("operation", request.operation))
    tags = {**(request.tags or {}), **({"error": "true"} if failing else {})}
    if tags:
        query.append(("tags", orjson.dumps(tags).decode()))
    if least_microseconds is not None:
        query.append(("minDuration", f"{max(least_microseconds, _microseconds(request.min_duration))}us"))
    elif request.min_duration:
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
    """Such as: 12 traces (4 failing), slowest 2.31 s: checkout POST /pay; failing spans: pay 4 of 9; first: pay charge."""
    if not traces:
        return "0 traces"
    failing = sum(any(is_failing(span) for span in trace["spans"]) for trace in traces)
    text = f"{len(traces)} traces" + (f" ({failing} failing)" if failing else "")
    spans = [(trace, span) for trace in traces for span in trace["spans"]]
    if not spans:
        return text
    slowest = max(spans, key=lambda one: duration_of(one[1]))
    text += f", slowest {_readable(duration_of(slowest[1]))}: {_name(*slowest)}"
    return text + _failures(spans) if failing else text


def _failures(spans: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """The services with failing spans, the most failing first, and the failing span that began first."""
    all_of, failing_of = Counter(_service(*one) for one in spans), Counter[str]()
    failing = [one for one in spans if is_failing(one[1])]
    failing_of.update(_service(*one) for one in failing)
    rates = [f"{one_line(name, 40)} {count} of {all_of[name]}" for name, count in failing_of.most_common(MAX_SERVICES)]
    first = min(failing, key=lambda one: _start(one[1]))
    return f"; failing spans: {', '.join(rates)}; first: {_name(*first)}"


def _service(trace: dict[str, Any], span: dict[str, Any]) -> str:
    process = trace["processes"].get(str(span.get("processID")))
    return str(process.get("serviceName", "")) if isinstance(process, dict) else ""


def _name(trace: dict[str, Any], span: dict[str, Any]) -> str:
    return one_line(f"{_service(trace, span)} {span.get('operationName', '')}", 80)


def _start(span: dict[str, Any]) -> float:
    start = span.get("startTime")
    return start if isinstance(start, int) else math.inf


def _microseconds(duration: str | None) -> int:
    """Of a duration as Jaeger writes it; the model has checked its form."""
    if duration is None:
        return 0
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s|m|h)", duration).groups()  # type: ignore[union-attr]
    return int(float(number) * {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}[unit])


def is_failing(span: dict[str, Any]) -> bool:
    """A span with the tag error=true (OpenTracing) or otel.status_code=ERROR (OpenTelemetry)."""
    listed = span.get("tags")
    tags = [(tag.get("key"), tag.get("value")) for tag in listed if isinstance(tag, dict)] if isinstance(listed, list) else []
    return ("error", True) in tags or ("error", "true") in tags or ("otel.status_code", "ERROR") in tags


def _readable(microseconds: int) -> str:
    if microseconds >= 1_000_000:
        return f"{microseconds / 1_000_000:.2f} s"
    return f"{microseconds / 1000:.1f} ms"
