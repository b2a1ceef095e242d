"""GET /api/traces and /api/traces/{id}: the API of Jaeger's own UI. Times in microseconds since the Unix epoch.

An entry is a trace as it stands in `data`: {"traceID", "spans": [...], "processes": {...}}.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from aletheia_operator.api import TracesRequest
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.held import dumps
from aletheia_operator.fetchers.jaeger.durations import at_least
from aletheia_operator.fetchers.jaeger.traces import Reading, Span
from aletheia_operator.text.levels import one_line
from aletheia_operator.text.timestamps import to_nanoseconds

NAME = "v1"
TRACES = "/api/traces"
SERVICES = "/api/services"


def search(
    request: TracesRequest, window: Window, limit: int, failing: bool = False, least_microseconds: int | None = None
) -> list[tuple[str, str]]:
    """The query parameters of a search, narrowed to failing traces, or to those with a span at least so long."""
    query = [
        ("service", request.service or ""),
        ("start", str(to_nanoseconds(window.start) // 1000)),
        ("end", str(to_nanoseconds(window.end) // 1000)),
        ("limit", str(limit)),
    ]
    if request.operation:
        query.append(("operation", request.operation))
    tags = {**(request.tags or {}), **({"error": "true"} if failing else {})}
    if tags:
        query.append(("tags", orjson.dumps(tags).decode()))
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
                if not reading.add(str(trace["traceID"]), lambda trace=trace: dumps(trace), _spans(trace)):  # type: ignore[misc]
                    return
        elif key == "errors":
            listed = stream.value()
            said = [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []
            reading.errors += [one_line(str(error.get("msg") or error), 300) for error in said]
        else:
            stream.value()
    if not found:
        raise endpoint.not_of("Jaeger")


def lists_services(body: Any) -> bool:
    """Whether this is the answer of SERVICES."""
    return isinstance(body, dict) and "data" in body


def words(body: Any) -> str:
    """What a refusal says."""
    listed = body.get("errors") if isinstance(body, dict) else None
    said = [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []
    return "; ".join(one_line(str(error.get("msg") or error), 300) for error in said)


def entry(pieces: Sequence[bytes]) -> bytes:
    """A trace as it is stored."""
    return pieces[0]


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
    )


def is_failing(span: dict[str, Any]) -> bool:
    """A span with the tag error=true (OpenTracing) or otel.status_code=ERROR (OpenTelemetry)."""
    listed = span.get("tags")
    tags = [(tag.get("key"), tag.get("value")) for tag in listed if isinstance(tag, dict)] if isinstance(listed, list) else []
    return ("error", True) in tags or ("error", "true") in tags or ("otel.status_code", "ERROR") in tags
