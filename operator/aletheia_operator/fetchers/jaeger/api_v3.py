"""GET /api/v3/traces and /api/v3/traces/{id} (https://www.jaegertracing.io/docs/latest/apis/): OTLP as JSON, one or more
{"result": {"resourceSpans": [...]}}. Times are RFC 3339 in the query, nanoseconds in the answer.

An answer mixes the spans of all its traces. An entry is one trace: {"resourceSpans": [...]} with its own spans. Only later
versions filter by tags (`query.attributes`), so tags are also compared here, with the spans that arrive.
"""

import math
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from itertools import groupby
from typing import Any, NamedTuple

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.jaeger.search_values import SearchValues, given
from aletheia_operator.fetchers.jaeger.traces import Reading, Span, Trace, whole, write_list
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.text.timestamps import format_time

NAME = "v3"
TRACES = "/api/v3/traces"
SERVICES = "/api/v3/services"
PIECE_BYTES = 256 * 1024
MAX_HEAD_CHARACTERS = 4 * 1024 * 1024
"""Most characters of a resource's, or a scope's, other fields."""
_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_ERROR = (2, "2", "STATUS_CODE_ERROR")


def search(values: SearchValues) -> list[tuple[str, str]]:
    """Return the query parameters of a search, in the spellings of all versions."""
    parameters = given(
        {
            "service_name": values.service,
            "start_time_min": format_time(values.window.start),
            "start_time_max": format_time(values.window.end),
            "num_traces": str(values.limit),
            "search_depth": str(values.limit),  # its name in later versions
            "operation_name": values.operation,
            "duration_min": values.shortest,
            "duration_max": values.longest,
            "attributes": values.tags,  # earlier versions ignore it
        }
    )
    return [(f"query.{spelt}", value) for name, value in parameters for spelt in dict.fromkeys((name, _camel(name)))]


def _camel(name: str) -> str:
    """Return a field's name in protobuf's JSON form, which a gateway generated from Jaeger's proto files also accepts."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def read(stream: JsonStream, endpoint: Endpoint, reading: Reading) -> None:
    """Read the spans of an answer, sorted into their traces."""
    answered = False
    while stream.kind() == "{":
        for key in stream.members():
            answered = answered or key in ("result", "error")
            if key == "result" and stream.kind() == "{":
                _read_result(stream, endpoint, reading)
            elif key == "result" and stream.value() is not None:
                raise endpoint.not_of("Jaeger's API v3")
            elif key == "error":
                reading.add_errors([error_text({"error": stream.value()})])
            elif key != "result":
                stream.value()
    if stream.kind() or not answered:
        raise endpoint.not_of("Jaeger's API v3")


def _read_result(stream: JsonStream, endpoint: Endpoint, reading: Reading) -> None:
    """Read one result. {} and {"resourceSpans": null} are empty results; an object with only other members is not a result."""
    names = set[str]()
    for key in stream.members():
        names.add(key)
        if key == "resourceSpans" and stream.kind() == "[":
            for _ in stream.items():
                _read_resource(stream, endpoint, reading)
        elif stream.value() is not None and key == "resourceSpans":
            raise endpoint.not_of("Jaeger's API v3")
    if names and "resourceSpans" not in names:
        raise endpoint.not_of("Jaeger's API v3")


@dataclass
class _Head:
    """The element of a resource or a scope, without its spans."""

    fields: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    """Characters of the fields."""
    used: bool = False
    """Whether spans of it are kept."""
    number: int = -1
    """Its number in `Spill`. -1: the element has not ended yet."""

    def take(self, key: str, stream: JsonStream) -> Any:
        """Read the next value, keep it as the field `key`, and return it."""
        self.fields[key] = value = stream.value()
        self.size += stream.value_characters
        if self.size > MAX_HEAD_CHARACTERS:
            raise stream.too_large(f"{MAX_HEAD_CHARACTERS} characters beside its spans")
        return value

    def close(self, reading: Reading) -> None:
        """Store the fields in the spill, if spans below them are kept."""
        if self.used:
            self.number = reading.spill.put(reading.encode(self.fields))
        self.fields = {}


class _Piece(NamedTuple):
    """Consecutive spans of one trace."""

    resource: _Head
    scope: _Head
    number: int


@dataclass
class _Scope:
    """Reads the spans of one scope."""

    reading: Reading
    resource: _Head
    tags: dict[str, str]
    """Tags of the resource."""
    head: _Head = field(default_factory=_Head)
    _trace: Trace | None = None
    _spans: list[bytes] = field(default_factory=list)
    _size: int = 0

    def take(self, span: Any, endpoint: Endpoint) -> None:
        if not isinstance(span, dict) or "traceId" not in span:
            raise endpoint.not_of("Jaeger's API v3")
        trace_id = str(span["traceId"]).lower()
        if not self.reading.has_room(trace_id):
            return
        trace = self.reading.add(trace_id, _span(span, self.tags))
        if trace is not self._trace or self._size > PIECE_BYTES:
            self._hold()
            self._trace = trace
        if trace is not None:
            self._spans.append(self.reading.encode(span))
            self._size += len(self._spans[-1])

    def close(self) -> None:
        self._hold()
        self.head.close(self.reading)

    def _hold(self) -> None:
        if self._trace is not None and self._spans:
            number = self.reading.keep(self._trace, b",".join(self._spans))
            self.resource.used = self.head.used = True
            self._trace.pieces.append(_Piece(self.resource, self.head, number))
        self._spans, self._size = [], 0


def _read_resource(stream: JsonStream, endpoint: Endpoint, reading: Reading) -> None:
    """Read the spans of one resource, which may be of many traces."""
    resource = _Head()
    late: Any = None
    tags: dict[str, str] = {}
    if stream.kind() != "{":
        raise endpoint.not_of("Jaeger's API v3")
    try:
        for key in stream.members():
            if key != "scopeSpans":
                value = resource.take(key, stream)
                tags = _attributes(value) if key == "resource" else tags
            elif "resource" in resource.fields and stream.kind() == "[":
                for _ in stream.items():
                    _read_scope(stream, endpoint, _Scope(reading, resource, tags))
            else:
                late = stream.value()
        for element in late or []:
            scope = _Scope(reading, resource, tags)
            scope.head.fields |= {key: value for key, value in element.items() if key != "spans"}
            for span in element["spans"]:
                scope.take(span, endpoint)
            scope.close()
    except (KeyError, TypeError, AttributeError) as e:
        raise endpoint.not_of("Jaeger's API v3") from e
    finally:
        resource.close(reading)


def _read_scope(stream: JsonStream, endpoint: Endpoint, scope: _Scope) -> None:
    if stream.kind() != "{":
        raise endpoint.not_of("Jaeger's API v3")
    try:
        for key in stream.members():
            if key != "spans" or stream.kind() != "[":
                scope.head.take(key, stream)
                continue
            for _ in stream.items():
                scope.take(stream.value(), endpoint)
    finally:
        scope.close()


def write_entries(text: BytesIO, spill: Spill, trace: Trace) -> int:
    """Write a trace as it is stored: its spans below their scopes and resources, in their order. Returns 1: one entry."""

    def write_resource(number: int, pieces: list[_Piece]) -> None:
        scopes = [(scope, list(group)) for scope, group in groupby(pieces, key=lambda piece: piece.scope.number)]
        write_list(text, spill.get(number), "scopeSpans", (partial(write_scope, *scope) for scope in scopes))

    def write_scope(number: int, pieces: list[_Piece]) -> None:
        write_list(text, spill.get(number), "spans", (partial(write_spans, piece.number) for piece in pieces))

    def write_spans(number: int) -> None:
        text.write(spill.get(number))

    resources = [(number, list(group)) for number, group in groupby(trace.pieces, key=lambda piece: piece.resource.number)]
    write_list(text, b"{}", "resourceSpans", (partial(write_resource, *resource) for resource in resources))
    return 1


def services(body: Any) -> list[str] | None:
    """Return the names in an answer of SERVICES ({}: no names); None if it is not such an answer."""
    if not isinstance(body, dict) or (body and not isinstance(body.get("services"), list)):
        return None
    return [name for name in body.get("services", []) if isinstance(name, str)]


def operations_of(service: str) -> tuple[str, list[tuple[str, str]]]:
    """Return path and query of the request for the names of a service's operations."""
    return "/api/v3/operations", [("service", service)]


def operations(body: Any) -> list[str] | None:
    """Return the names in an answer of `operations_of`; None if it is not such an answer."""
    listed = body.get("operations", []) if isinstance(body, dict) else None
    if not isinstance(listed, list):
        return None
    names = [operation.get("name") for operation in listed if isinstance(operation, dict)]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def error_text(body: Any) -> str:
    """Return the error text of a refusal, uncut; empty if there is none."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message") or error) if isinstance(error, dict) else str(body)


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
    if kind := _kind(span.get("kind")):
        tags["span.kind"] = kind
    return Span(
        service=resource.get("service.name", ""),
        operation=str(span.get("name", "")),
        start=math.inf if start is None else start // 1000,
        duration=0 if start is None or end is None else max(0, end - start) // 1000,
        failing=failing,
        tags=tags,
    )


def _kind(value: Any) -> str:
    """Return the kind of a span as v1 spells it; '' if it has none. `value`: its number or its name in OTLP."""
    if isinstance(value, str):
        name = value.removeprefix("SPAN_KIND_").lower()
        return name if name in _KINDS else ""
    return _KINDS[value] if isinstance(value, int) and 0 < value < len(_KINDS) else ""


def _nanoseconds(value: Any) -> int | None:
    try:
        return whole(int(value))
    except (TypeError, ValueError, OverflowError):
        return None


def _attributes(holder: Any) -> dict[str, str]:
    """Return attributes as text, to compare them with tags."""
    listed = holder.get("attributes") if isinstance(holder, dict) else None
    found = {}
    for attribute in listed if isinstance(listed, list) else []:
        value = attribute.get("value") if isinstance(attribute, dict) else None
        if isinstance(value, dict) and value:
            kind, content = next(iter(value.items()))
            found[str(attribute.get("key"))] = str(content).lower() if kind == "boolValue" else str(content)
    return found
