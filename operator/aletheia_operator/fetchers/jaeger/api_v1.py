"""GET /api/traces and /api/traces/{id}: the API of Jaeger's own UI. Times in microseconds since the Unix epoch.

An entry is a trace as Jaeger sent it: {"traceID", "processes": {...}, ..., "spans": [...]}. Backends that do not merge stored
parts may send a trace in several objects, each with its own numbers of processes: then each object is an entry.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import quote

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.fetchers.jaeger.search_values import SearchValues, given
from aletheia_operator.fetchers.jaeger.traces import (
    MAX_ERRORS,
    MAX_ID,
    MAX_NAME,
    Reading,
    Span,
    SpanFilter,
    SpanSummary,
    Trace,
    whole,
    write_list,
)
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.text.batches import SEPARATOR
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import to_nanoseconds

NAME = "v1"
TRACES = "/api/traces"
SERVICES = "/api/services"
PIECE_BYTES = 512 * 1024
"""Spans of one trace that stay in memory. A trace up to this size that does not match is never written to the disk."""
MAX_PROCESSES = 10_000
MAX_FIELDS_CHARACTERS = 4 * 1024 * 1024
"""Most characters of a trace's other fields, which are in memory until the trace ends."""
MAX_OBJECTS = 1_000
"""Most objects of one trace."""
MAX_TEXT = 1_000


def search(values: SearchValues) -> list[tuple[str, str]]:
    """Return the query parameters of a search."""
    return given(
        {
            "service": values.service,
            "start": str(to_nanoseconds(values.window.start) // 1000),
            "end": str(to_nanoseconds(values.window.end) // 1000),
            "limit": str(values.limit),
            "operation": values.operation,
            "tags": values.tags,
            "minDuration": values.shortest,
            "maxDuration": values.longest,
        }
    )


def read(stream: JsonStream, endpoint: Endpoint, reading: Reading) -> None:
    """Read the traces of an answer span by span, and Jaeger's errors about traces that it could not read."""
    found = False
    if stream.kind() != "{":
        raise endpoint.not_of("Jaeger")
    for key in stream.members():
        if key == "data" and stream.kind() == "[":
            found = True
            for _ in stream.items():
                if not _OneTrace(stream, endpoint, reading).read():
                    return
        elif key == "errors":
            reading.add_errors(_messages(stream.value()))
        else:
            stream.value()
    if not found:
        raise endpoint.not_of("Jaeger")


@dataclass
class _Part:
    """The spans of one process of a trace. The process' service is known only at the trace's end."""

    spans: int = 0
    failing: int = 0
    start: float = math.inf
    slowest: Span | None = None
    first_failing: Span | None = None
    open_tags: set[frozenset[str]] = field(default_factory=set)
    """Sets of tags. A span matches if the process has all tags of one set."""

    def add(self, span: Span, span_filter: SpanFilter | None) -> None:
        self.spans += 1
        self.start = min(self.start, span.start)
        if self.slowest is None or span.duration > self.slowest.duration:
            self.slowest = span
        if span.failing:
            self.failing += 1
            if self.first_failing is None or span.start < self.first_failing.start:
                self.first_failing = span
        if span_filter is not None and (open_tags := span_filter.open_tags(span)) is not None:
            self.open_tags.add(open_tags)


@dataclass(frozen=True)
class _Object:
    """An object of a trace, by the numbers of its pieces in the spill."""

    fields: int
    spans: tuple[int, ...]


class _OneTrace:
    """Reads one object of a trace: {"traceID", "spans": [...], "processes": {...}, ...}. Memory holds a piece of its spans."""

    def __init__(self, stream: JsonStream, endpoint: Endpoint, reading: Reading) -> None:
        self._stream = stream
        self._endpoint = endpoint
        self._reading = reading
        self._fields: dict[str, Any] = {}
        self._trace = Trace("")
        self._parts: dict[str, _Part] = {}
        self._spans: list[bytes] = []
        self._pieces: list[int] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self._size = 0
        self._fields_size = 0

    def read(self) -> bool:
        """Read the trace. Returns False if there is no room for it. If the trace breaks off, nothing of it is kept."""
        spans: list[Any] | None = None
        walked = False
        if self._stream.kind() != "{":
            raise self._not_jaeger()
        for key in self._stream.members():
            if key == "traceID":
                self._take_field(key)
                if not isinstance(self._fields[key], str):
                    raise self._not_jaeger()
                if not self._reading.has_room(self._id):
                    return False
            elif key == "spans" and self._stream.kind() == "[" and "traceID" in self._fields:
                walked = True
                for _ in self._stream.items():
                    self._take(self._stream.value())
            elif key == "spans":
                spans = self._stream.value()
            else:
                self._take_field(key)
        if "traceID" not in self._fields or not (walked or isinstance(spans, list)):
            raise self._not_jaeger()
        for span in spans or ():
            self._take(span)
        if not self._reading.has_room(self._id):
            return False
        self._close()
        return True

    def _take_field(self, key: str) -> None:
        self._fields[key] = self._stream.value()
        self._fields_size += self._stream.value_characters
        if self._fields_size > MAX_FIELDS_CHARACTERS:
            raise self._stream.too_large(f"{MAX_FIELDS_CHARACTERS} characters beside its spans")

    @property
    def _id(self) -> str:
        return str(self._fields["traceID"])[:MAX_ID]

    @property
    def _keeps(self) -> bool:
        return self._id not in self._reading.whole

    def _take(self, span: Any) -> None:
        if not isinstance(span, dict):
            raise self._not_jaeger()
        part = self._parts.setdefault(str(span.get("processID"))[:MAX_ID], _Part())
        if len(self._parts) > MAX_PROCESSES:
            raise self._not_jaeger()
        part.add(_span(span), self._reading.span_filter)
        if self._keeps:
            self._spans.append(self._reading.encode(span))
            self._digest.update(self._spans[-1])
            self._size += len(self._spans[-1])
            if self._size > PIECE_BYTES:
                self._flush()

    def _flush(self) -> None:
        if self._spans:
            self._pieces.append(self._reading.keep(self._trace, b",".join(self._spans)))
            self._spans, self._size = [], 0

    def _close(self) -> None:
        """Assign services to the spans, and keep the trace if it matches."""
        processes = self._fields.get("processes")
        if not isinstance(processes, dict):
            raise self._not_jaeger()
        span_filter = self._reading.span_filter
        matches = span_filter is None
        for name, part in self._parts.items():
            process = processes.get(name)
            service = str(process.get("serviceName", "")) if isinstance(process, dict) else ""
            self._count(part, service)
            if span_filter is not None and part.open_tags:
                tags = _tags([process.get("tags") if isinstance(process, dict) else None])
                matches = matches or any(span_filter.process_has(service, tags, keys) for keys in part.open_tags)
        self._trace.trace_id = self._id
        if self._keeps and not self._keep(matches):
            return
        if matches:
            self._reading.matching.add(self._id)
        known = self._reading.traces.setdefault(self._id, self._trace)
        if known is not self._trace:
            known.merge(self._trace)

    def _keep(self, matches: bool) -> bool:
        """Store this object if it `matches`, or if an earlier object of its trace does. Returns False if it is a duplicate."""
        fields = self._reading.encode(self._fields)
        self._digest.update(fields)
        digest, known = self._digest.digest(), self._reading.objects.setdefault(self._id, {})
        if digest in known:
            return False
        if len(known) == MAX_OBJECTS:
            raise self._stream.too_large(f"{MAX_OBJECTS} objects of one trace")
        known[digest] = matches or self._id in self._reading.matching
        if known[digest]:
            self._flush()
            self._trace.pieces = [_Object(self._reading.keep(self._trace, fields), tuple(self._pieces))]
        return True

    def _count(self, part: _Part, service: str) -> None:
        name = one_line(service, MAX_NAME)
        counted = Trace("", spans=Counter({name: part.spans}), failing=Counter({name: part.failing}), start=part.start)
        for span in (part.slowest, part.first_failing):
            if span is not None:
                summary = SpanSummary(one_line(f"{service} {span.operation}", 2 * MAX_NAME), span.start, span.duration)
                counted.slowest = summary if span is part.slowest else counted.slowest
                counted.first_failing = summary if span is part.first_failing else counted.first_failing
        self._trace.merge(counted)

    def _not_jaeger(self) -> Unavailable:
        return self._endpoint.not_of("Jaeger")


def services(body: Any) -> list[str] | None:
    """Return the names in an answer of SERVICES; None if it is not such an answer."""
    if not isinstance(body, dict) or "data" not in body:
        return None
    return [name for name in body["data"] if isinstance(name, str)] if isinstance(body["data"], list) else []


def operations_of(service: str) -> tuple[str, list[tuple[str, str]]]:
    """Return path and query of the request for the names of a service's operations."""
    return f"/api/services/{quote(service, safe='')}/operations", []


def operations(body: Any) -> list[str] | None:
    """Return the names in an answer of `operations_of`; None if it is not such an answer."""
    return services(body)


def error_text(body: Any) -> str:
    """Return the error text of a refusal, uncut; empty if there is none."""
    return "; ".join(_messages(body.get("errors") if isinstance(body, dict) else None))


def _messages(errors: Any) -> list[str]:
    listed = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return [str(error.get("msg") or error) for error in listed[:MAX_ERRORS]]


def write_entries(text: BytesIO, spill: Spill, trace: Trace) -> int:
    """Write a trace as it is stored, and return the number of entries: all that Jaeger sent, with the spans last."""
    for number, part in enumerate(trace.pieces):
        text.write(SEPARATOR if number else b"")
        write_list(text, spill.get(part.fields), "spans", (partial(_copy, text, spill, piece) for piece in part.spans))
    return len(trace.pieces)


def _copy(text: BytesIO, spill: Spill, piece: int) -> None:
    text.write(spill.get(piece))


def _span(span: dict[str, Any]) -> Span:
    """Return the fields of a span, without those of its process."""
    start, duration, logs = whole(span.get("startTime")), whole(span.get("duration")), span.get("logs")
    fields = [log.get("fields") for log in (logs if isinstance(logs, list) else []) if isinstance(log, dict)]
    return Span(
        operation=str(span.get("operationName", ""))[:MAX_TEXT],
        start=math.inf if start is None else start,
        duration=duration or 0,
        failing=is_failing(span),
        tags=_tags([span.get("tags"), *fields]),
    )


def _tags(lists: Iterable[Any]) -> dict[str, str]:
    """Return tags as text, later ones replacing earlier ones. Jaeger searches tags of the process, the span and its logs."""
    found: dict[str, str] = {}
    for listed in lists:
        for tag in listed if isinstance(listed, list) else []:
            if isinstance(tag, dict):
                value = tag.get("value")
                found[str(tag.get("key"))] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def is_failing(span: dict[str, Any]) -> bool:
    """Return whether a span has the tag error=true (OpenTracing) or otel.status_code=ERROR (OpenTelemetry)."""
    listed = span.get("tags")
    tags = [(tag.get("key"), tag.get("value")) for tag in listed if isinstance(tag, dict)] if isinstance(listed, list) else []
    return ("error", True) in tags or ("error", "true") in tags or ("otel.status_code", "ERROR") in tags
