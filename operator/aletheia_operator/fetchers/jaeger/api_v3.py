"""GET /api/v3/traces and /api/v3/traces/{id} (https://www.jaegertracing.io/docs/latest/apis/): OTLP as JSON, one or more
{"result": {"resourceSpans": [...]}}. Times are RFC 3339 in the query, nanoseconds in the answer.

An answer has the spans of all its traces together. An entry is one trace: {"resourceSpans": [...]} with what is its own. The
API knows no tags: what they ask is asked of the spans that come.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from aletheia_operator.api import TracesRequest
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.held import dumps
from aletheia_operator.fetchers.jaeger.durations import at_least, microseconds
from aletheia_operator.fetchers.jaeger.traces import Reading, Span, Wanted
from aletheia_operator.text.levels import one_line
from aletheia_operator.text.timestamps import format_time

NAME = "v3"
TRACES = "/api/v3/traces"
SERVICES = "/api/v3/services"
_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_ERROR = (2, "2", "STATUS_CODE_ERROR")


def search(
    request: TracesRequest, window: Window, limit: int, failing: bool = False, least_microseconds: int | None = None
) -> list[tuple[str, str]]:
    """The query parameters of a search; tags, and so failing traces, cannot be asked for."""
    query = [
        ("query.service_name", request.service or ""),
        ("query.start_time_min", format_time(window.start)),
        ("query.start_time_max", format_time(window.end)),
        ("query.num_traces", str(limit)),
        ("query.search_depth", str(limit)),  # what later versions call it
    ]
    if request.operation:
        query.append(("query.operation_name", request.operation))
    least = at_least(request.min_duration, least_microseconds)
    if least is not None:
        query.append(("query.duration_min", least))
    if request.max_duration:
        query.append(("query.duration_max", request.max_duration))
    return query


def wanted(request: TracesRequest, failing: bool, least_microseconds: int | None) -> Wanted:
    """Whether one span has all that a search asks for: Jaeger asks it of the same span, too."""
    least = at_least(request.min_duration, least_microseconds)
    shortest = microseconds(least) if least else 0
    longest = microseconds(request.max_duration) if request.max_duration else math.inf

    def check(span: Span) -> bool:
        return (
            span.service == request.service
            and request.operation in (None, span.operation)
            and shortest <= span.duration <= longest
            and (span.failing or not failing)
            and all(span.tags.get(key) == value for key, value in (request.tags or {}).items())
        )

    return check


def read(stream: JsonStream, endpoint: Endpoint, reading: Reading) -> None:
    """Take the spans of an answer by their traces."""
    answered = False
    while stream.kind() == "{":
        for key in stream.members():
            answered = answered or key in ("result", "error")
            if key == "result" and stream.kind() == "{":
                if not _read_result(stream, endpoint, reading):
                    return
            elif key == "error":
                reading.errors.append(words({"error": stream.value()}))
            else:
                stream.value()
    if stream.kind() or not answered:
        raise endpoint.not_of("Jaeger's API v3")


def _read_result(stream: JsonStream, endpoint: Endpoint, reading: Reading) -> bool:
    for key in stream.members():
        if key != "resourceSpans" or stream.kind() != "[":
            stream.value()
            continue
        for _ in stream.items():
            for trace_id, part in _by_trace(stream.value(), endpoint).items():
                if not reading.add(trace_id, lambda part=part: dumps(part), list(_spans(part))):  # type: ignore[misc]
                    return False
    return True


def _by_trace(resource_spans: Any, endpoint: Endpoint) -> dict[str, dict[str, Any]]:
    """Spans of one resource by their trace, each part with the resource's and the scopes' attributes."""
    try:
        parts: dict[str, dict[str, Any]] = {}
        for scope in resource_spans.get("scopeSpans") or []:
            by_id: dict[str, list[Any]] = {}
            for span in scope.get("spans") or []:
                by_id.setdefault(str(span["traceId"]).lower(), []).append(span)
            for trace_id, spans in by_id.items():
                part = parts.setdefault(trace_id, {**resource_spans, "scopeSpans": []})
                part["scopeSpans"].append({**scope, "spans": spans})
    except (KeyError, TypeError, AttributeError) as e:
        raise endpoint.not_of("Jaeger's API v3") from e
    return parts


def lists_services(body: Any) -> bool:
    """Whether this is the answer of SERVICES; it is empty where there are none."""
    return isinstance(body, dict) and (not body or isinstance(body.get("services"), list))


def words(body: Any) -> str:
    """What a refusal says."""
    error = body.get("error") if isinstance(body, dict) else None
    return one_line(str(error.get("message") or error) if isinstance(error, dict) else str(body), 300)


def entry(pieces: Sequence[bytes]) -> bytes:
    """A trace as it is stored."""
    return b'{"resourceSpans":[' + b",".join(pieces) + b"]}"


def _spans(resource_spans: dict[str, Any]) -> Iterable[Span]:
    resource = _attributes(resource_spans.get("resource"))
    for scope in resource_spans["scopeSpans"]:
        for span in scope["spans"]:
            yield _span(span, resource)


def _span(span: dict[str, Any], resource: dict[str, str]) -> Span:
    start, end = _nanoseconds(span.get("startTimeUnixNano")), _nanoseconds(span.get("endTimeUnixNano"))
    status = span.get("status")
    attributes = _attributes(span)
    failing = (isinstance(status, dict) and status.get("code") in _ERROR) or attributes.get("error") == "true"
    tags = dict(resource)
    events = span.get("events")
    for event in events if isinstance(events, list) else []:
        tags |= _attributes(event)
    tags |= attributes
    if failing:
        tags["error"] = "true"
    kind = span.get("kind")
    if isinstance(kind, int) and 0 < kind < len(_KINDS):
        tags["span.kind"] = _KINDS[kind]
    return Span(
        service=resource.get("service.name", ""),
        operation=str(span.get("name", "")),
        start=math.inf if start is None else start // 1000,
        duration=0 if start is None or end is None else max(0, end - start) // 1000,
        failing=failing,
        tags=tags,
    )


def _nanoseconds(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _attributes(holder: Any) -> dict[str, str]:
    """Attributes as text, as Jaeger's tags are compared."""
    listed = holder.get("attributes") if isinstance(holder, dict) else None
    found = {}
    for one in listed if isinstance(listed, list) else []:
        value = one.get("value") if isinstance(one, dict) else None
        if isinstance(value, dict) and value:
            kind, content = next(iter(value.items()))
            found[str(one.get("key"))] = str(content).lower() if kind == "boolValue" else str(content)
    return found
