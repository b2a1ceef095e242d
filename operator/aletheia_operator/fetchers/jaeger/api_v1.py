"""GET /api/traces and /api/traces/{id}: the API of Jaeger's own UI. Times in microseconds since the Unix epoch.

An entry is a trace as it stands in `data`: {"traceID", "spans": [...], "processes": {...}}.
"""

from typing import Any

import orjson

from aletheia_operator.api import TracesRequest
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.jaeger.durations import at_least
from aletheia_operator.fetchers.jaeger.traces import Reading, Span, Trace
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.timestamps import to_nanoseconds

NAME = "v1"
TRACES = "/api/traces"
SERVICES = "/api/services"
MAX_ERRORS = 20


def search(request: TracesRequest, window: Window, limit: int, least_microseconds: int | None = None) -> list[tuple[str, str]]:
    """The query parameters of a search, perhaps narrowed to traces with a span at least so long."""
    query = [
        ("service", request.service or ""),
        ("start", str(to_nanoseconds(window.start) // 1000)),
        ("end", str(to_nanoseconds(window.end) // 1000)),
        ("limit", str(limit)),
    ]
    if request.operation:
        query.append(("operation", request.operation))
    if request.tags:
        query.append(("tags", orjson.dumps(request.tags).decode()))
    least = at_least(request.min_duration, least_microseconds)
    if least is not None:
        query.append(("minDuration", least))
    if request.max_duration:
        query.append(("maxDuration", request.max_duration))
    return query


def read(stream: JsonStream, endpoint: Endpoint, reading: Reading) -> None:
    """Take the traces of an answer, and what Jaeger says of those that it could not read."""
    found = False
    if stream.kind() != "{":
        raise endpoint.not_of("Jaeger")
    for key in stream.members():
        if key == "data" and stream.kind() == "[":
            found = True
            for _ in stream.items():
                trace = stream.value()
                if not _is_trace(trace):
                    raise endpoint.not_of("Jaeger")
                if not reading.has_room(str(trace["traceID"])):
                    return
                kept = reading.add(str(trace["traceID"]), _spans(trace))
                if kept is not None and (reading.wanted is None or kept.trace_id in reading.matching):
                    kept.pieces.append(reading.held.put(dumps(trace)))
        elif key == "errors":
            listed = stream.value()
            reading.errors += _messages(listed)
        else:
            stream.value()
    if not found:
        raise endpoint.not_of("Jaeger")


def services(body: Any) -> list[str] | None:
    """The names in an answer of SERVICES; None where it is none."""
    if not isinstance(body, dict) or "data" not in body:
        return None
    return [name for name in body["data"] if isinstance(name, str)] if isinstance(body["data"], list) else []


def words(body: Any) -> str:
    """What a refusal says, uncut."""
    return "; ".join(_messages(body.get("errors") if isinstance(body, dict) else None))


def _messages(errors: Any) -> list[str]:
    listed = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return [str(error.get("msg") or error) for error in listed[:MAX_ERRORS]]


def entry(held: Spill, trace: Trace) -> bytes:
    """A trace as it is stored."""
    return held.get(trace.pieces[0])


def _is_trace(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "traceID" in value
        and isinstance(value.get("processes"), dict)
        and isinstance(value.get("spans"), list)
        and all(isinstance(span, dict) for span in value["spans"])
    )


def _spans(trace: dict[str, Any]) -> list[Span]:
    return [_span(span, trace["processes"].get(str(span.get("processID")))) for span in trace["spans"]]


def _span(span: dict[str, Any], process: Any) -> Span:
    start, duration = span.get("startTime"), span.get("duration")
    return Span(
        service=str(process.get("serviceName", "")) if isinstance(process, dict) else "",
        operation=str(span.get("operationName", "")),
        start=start if isinstance(start, int) else float("inf"),
        duration=duration if isinstance(duration, int) else 0,
        failing=is_failing(span),
        tags=_tags(span, process),
    )


def _tags(span: dict[str, Any], process: Any) -> dict[str, str]:
    """Of the process, the span and its logs, as text: where Jaeger looks for tags."""
    logs = span.get("logs")
    lists = [process.get("tags") if isinstance(process, dict) else None, span.get("tags")]
    lists += [log.get("fields") for log in (logs if isinstance(logs, list) else []) if isinstance(log, dict)]
    found: dict[str, str] = {}
    for listed in lists:
        for tag in listed if isinstance(listed, list) else []:
            if isinstance(tag, dict):
                value = tag.get("value")
                found[str(tag.get("key"))] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def is_failing(span: dict[str, Any]) -> bool:
    """A span with the tag error=true (OpenTracing) or otel.status_code=ERROR (OpenTelemetry)."""
    listed = span.get("tags")
    tags = [(tag.get("key"), tag.get("value")) for tag in listed if isinstance(tag, dict)] if isinstance(listed, list) else []
    return ("error", True) in tags or ("error", "true") in tags or ("otel.status_code", "ERROR") in tags
