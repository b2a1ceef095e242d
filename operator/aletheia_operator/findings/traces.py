"""Collects facts about traces: which service calls which, and which spans failed. Reads Jaeger's JSON and OTLP. Bounded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from aletheia_operator.findings.artifact_reader import ArtifactReader
from aletheia_operator.findings.finding import Link

MAX_TRACE_BYTES = 512 * 1024  # decoding holds the interpreter's lock
MAX_SPANS = 5_000
MAX_EDGES = 500
MAX_NAME = 100


@dataclass
class Edge:
    """Calls from one service to another, or spans of one service. `failed`: number of failed spans without a failed child."""

    calls: int = 0
    failed: int = 0
    first: float = 0.0
    words: str = ""
    link: Link | None = None
    slowest_microseconds: float = 0.0


@dataclass
class TraceFacts:
    """All traces."""

    edges: dict[tuple[str, str], Edge] = field(default_factory=dict)
    """By caller and callee."""
    services: dict[str, Edge] = field(default_factory=dict)
    traces: int = 0
    failing: int = 0
    left_out: int = 0


@dataclass(slots=True)
class Span:
    """One span. `start` and `duration` are microseconds; `words`: its status message; `parent`: '' for a root."""

    service: str
    parent: str
    failed: bool
    words: str
    start: float
    duration: float
    operation: str


class TraceReader(ArtifactReader[TraceFacts]):
    """Reads an artifact of data/traces."""

    def _read_entry(self, encoded: bytes, link: Link) -> None:
        if len(encoded) > MAX_TRACE_BYTES:
            with self._lock:
                self._facts.left_out += 1
            return
        spans = dict(spans_of(orjson.loads(encoded)))
        with self._lock:
            self._add(spans, link)

    def _add(self, spans: Mapping[str, Span], link: Link) -> None:
        facts = self._facts
        facts.traces += 1
        facts.failing += any(span.failed for span in spans.values())
        blamed = {span.parent for span in spans.values() if span.failed}  # they have a failed child
        for span_id, span in spans.items():
            own = span.failed and span_id not in blamed
            _count(facts.services, span.service, span, own, link)
            parent = spans.get(span.parent)
            if parent is not None and parent.service != span.service:
                _count(facts.edges, (parent.service, span.service), span, span.failed, link)


def _count(edges: dict[Any, Edge], key: Any, span: Span, failed: bool, link: Link) -> None:
    edge = edges.get(key)
    if edge is None:
        if len(edges) >= MAX_EDGES:
            return
        edge = edges[key] = Edge()
    edge.calls += 1
    edge.slowest_microseconds = max(edge.slowest_microseconds, span.duration)
    if failed:
        edge.failed += 1
        if edge.link is None or span.start < edge.first:
            edge.first, edge.link, edge.words = span.start, link, span.words


def spans_of(trace: Mapping[str, Any]) -> Iterator[tuple[str, Span]]:
    """Yield the spans of a trace by their ids, at most MAX_SPANS."""
    found = _of_otlp(trace) if "resourceSpans" in trace else _of_jaeger(trace)
    for number, span in enumerate(found):
        if number >= MAX_SPANS:
            return
        yield span


def _of_jaeger(trace: Mapping[str, Any]) -> Iterator[tuple[str, Span]]:
    processes = trace.get("processes") or {}
    for span in trace.get("spans") or []:
        tags = {str(tag.get("key")): tag.get("value") for tag in span.get("tags") or []}
        parents = [
            reference.get("spanID")
            for reference in span.get("references") or []
            if reference.get("refType", "CHILD_OF") == "CHILD_OF"
        ]
        service = (processes.get(span.get("processID")) or span.get("process") or {}).get("serviceName")
        failed = tags.get("error") in (True, "true") or tags.get("otel.status_code") == "ERROR"
        words = tags.get("otel.status_description") or tags.get("error.message") or tags.get("http.status_code") or ""
        yield (
            str(span.get("spanID")),
            Span(
                str(service or "")[:MAX_NAME], str(parents[0] if parents else ""), failed, str(words)[:300],
                float(span.get("startTime") or 0), float(span.get("duration") or 0),
                str(span.get("operationName") or "")[:MAX_NAME],
            ),
        )  # fmt: skip


def _of_otlp(trace: Mapping[str, Any]) -> Iterator[tuple[str, Span]]:
    for resource in trace.get("resourceSpans") or []:
        attributes = (resource.get("resource") or {}).get("attributes") or []
        names = [
            (attribute.get("value") or {}).get("stringValue")
            for attribute in attributes
            if attribute.get("key") == "service.name"
        ]
        for scope in resource.get("scopeSpans") or []:
            for span in scope.get("spans") or []:
                status = span.get("status") or {}
                start, end = float(span.get("startTimeUnixNano") or 0) / 1e3, float(span.get("endTimeUnixNano") or 0) / 1e3
                yield (
                    str(span.get("spanId")),
                    Span(
                        str(names[0] if names else "")[:MAX_NAME], str(span.get("parentSpanId") or ""),
                        status.get("code") in (2, "STATUS_CODE_ERROR"), str(status.get("message") or "")[:300],
                        start, end - start, str(span.get("name") or "")[:MAX_NAME],
                    ),
                )  # fmt: skip
