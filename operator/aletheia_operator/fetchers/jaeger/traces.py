"""Counts and conditions of traces, built while they are read. The traces themselves are kept in a `Spill`."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any, NamedTuple

from aletheia_operator.api import TracesRequest
from aletheia_operator.clients.quoting import MAX_ERROR_BYTES
from aletheia_operator.fetchers.jaeger.durations import at_least, microseconds
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.documents import redact_document
from aletheia_operator.text.display import one_line
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.sizes import counted

MAX_SERVICES = 5
MAX_NAME = 40
MAX_ID = 64
MAX_ERRORS = 20
"""Most errors to keep of one answer."""
MAX_WHOLE = 2**63
"""Moments and durations are smaller than this."""


@dataclass(frozen=True)
class Span:
    """The fields of a span that are used here, the same for every API version. Times: microseconds since the Unix epoch."""

    operation: str
    start: float
    """Infinite if unknown."""
    duration: int
    failing: bool
    service: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class SpanSummary(NamedTuple):
    """A span that a summary may name: the slowest, or the first failing one."""

    name: str
    start: float
    duration: int


@dataclass(frozen=True)
class SpanFilter:
    """The conditions of a search. Like Jaeger, it requires that one span meets all of them."""

    service: str | None
    operation: str | None = None
    shortest: float = 0
    longest: float = math.inf
    tags: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, span: Span) -> bool:
        """Return whether a span meets all conditions. Its tags must include those of its process or resource."""
        return span.service == self.service and self.open_tags(span) == frozenset()

    def open_tags(self, span: Span) -> frozenset[str] | None:
        """Return the keys of tags that the span lacks and its process must have; None if the span cannot match."""
        if self.operation not in (None, span.operation) or not self.shortest <= span.duration <= self.longest:
            return None
        if any(span.tags.get(key, value) != value for key, value in self.tags.items()):
            return None
        return frozenset(key for key in self.tags if key not in span.tags)

    def process_has(self, service: str, tags: Mapping[str, str], open_tags: Iterable[str]) -> bool:
        """Return whether a process has the service and the tags that `open_tags` returned."""
        return service == self.service and all(tags.get(key) == self.tags[key] for key in open_tags)


def span_filter_of(request: TracesRequest, least_microseconds: int | None = None) -> SpanFilter:
    """Return the conditions of a request. `least_microseconds`: least duration of a span; None: any."""
    least = at_least(request.min_duration, least_microseconds)
    return SpanFilter(
        request.service,
        request.operation,
        microseconds(least) if least else 0,
        microseconds(request.max_duration) if request.max_duration else math.inf,
        request.tags or {},
    )


@dataclass
class Trace:
    """Counts of a trace, and its pieces in the `Spill`. The API module defines what a piece is."""

    trace_id: str
    pieces: list[Any] = field(default_factory=list)
    size_bytes: int = 0
    """Bytes of all pieces."""
    spans: Counter[str] = field(default_factory=Counter)
    """Number of spans by service."""
    failing: Counter[str] = field(default_factory=Counter)
    slowest: SpanSummary | None = None
    first_failing: SpanSummary | None = None
    start: float = math.inf

    def add(self, span: Span) -> None:
        """Count one span. Its service must be known."""
        service = one_line(span.service, MAX_NAME)
        summary = SpanSummary(one_line(f"{span.service} {span.operation}", 2 * MAX_NAME), span.start, span.duration)
        self.spans[service] += 1
        self.failing[service] += span.failing
        self.start = min(self.start, span.start)
        self._note_span(summary, summary if span.failing else None)

    def merge(self, other: "Trace") -> None:
        """Count the spans of a part of this trace."""
        self.spans.update(other.spans)  # `+=` would look at all that are known
        self.failing.update(+other.failing)
        self.start = min(self.start, other.start)
        self.pieces += other.pieces
        self.size_bytes += other.size_bytes
        self._note_span(other.slowest, other.first_failing)

    def _note_span(self, slowest: SpanSummary | None, first_failing: SpanSummary | None) -> None:
        if slowest is not None and (self.slowest is None or slowest.duration > self.slowest.duration):
            self.slowest = slowest
        if first_failing is not None and (self.first_failing is None or first_failing.start < self.first_failing.start):
            self.first_failing = first_failing

    @property
    def is_failing(self) -> bool:
        return self.first_failing is not None

    @property
    def longest(self) -> int:
        """Microseconds of its longest span."""
        return 0 if self.slowest is None else self.slowest.duration


@dataclass
class Reading:
    """One answer while it is read: at most `max_traces` traces. `whole`: ids of traces that are stored already."""

    spill: Spill
    whole: Set[str]
    max_traces: float = math.inf
    span_filter: SpanFilter | None = None
    """Conditions of the spans that are searched. None: every span matches."""
    traces: dict[str, Trace] = field(default_factory=dict)
    matching: set[str] = field(default_factory=set)
    """Ids of traces with a span that matches."""
    objects: dict[str, dict[bytes, bool]] = field(default_factory=dict)
    """For each trace that came in several objects: their digests, and whether each is kept."""
    errors: list[str] = field(default_factory=list)
    """Errors that Jaeger reports in the answer, as it wrote them."""
    redactor: Redactor = field(default_factory=Redactor)

    def add_errors(self, errors: Iterable[str]) -> None:
        """Keep the errors that Jaeger reports, the first MAX_ERRORS, each cut to what `Quoter` needs."""
        self.errors += [error[:MAX_ERROR_BYTES] for error in islice(errors, MAX_ERRORS - len(self.errors))]

    def has_room(self, trace_id: str) -> bool:
        """Return whether the trace is known, or may still be added."""
        return trace_id[:MAX_ID] in self.traces or len(self.traces) < self.max_traces

    def trace(self, trace_id: str) -> Trace:
        """Return the trace with this id, added if it is new. Check `has_room` first."""
        return self.traces.setdefault(trace_id[:MAX_ID], Trace(trace_id[:MAX_ID]))

    def add(self, trace_id: str, span: Span) -> Trace | None:
        """Count a span of a trace (check `has_room` first). Returns the trace, None if it is stored already."""
        trace = self.trace(trace_id)
        trace.add(span)
        if self.span_filter is None or self.span_filter(span):
            self.matching.add(trace.trace_id)
        return None if trace.trace_id in self.whole else trace

    def encode(self, document: Any) -> bytes:
        """Return a span, or other fields, as JSON without secrets. Changes it: read what conditions need before."""
        redact_document(document, self.redactor)
        return dumps(document)

    def keep(self, trace: Trace, piece: bytes) -> int:
        """Store a piece of a trace and return its number in the spill."""
        trace.size_bytes += len(piece)
        return self.spill.put(piece)


def whole(value: Any) -> int | None:
    """Return a number of microseconds or nanoseconds; None if `value` is not one, or is impossible."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_WHOLE else None


def write_list(text: BytesIO, element: bytes, name: str, items: Iterable[Callable[[], None]]) -> None:
    """Write the JSON object `element` with a list added as member `name`. Each of `items` writes one or more list items."""
    text.write(element[:-1] + (b"," if element != b"{}" else b"") + b'"%s":[' % name.encode())
    for number, write_item in enumerate(items):
        if number:
            text.write(b",")
        write_item()
    text.write(b"]}")


def summarise(traces: Iterable[Trace]) -> str:
    """Summarise: `12 traces (4 failing), slowest 2.31 s: shop POST /pay; failing spans: pay 4 of 9; first: pay charge`."""
    traces = list(traces)
    if not traces:
        return counted(0, "trace")
    failing = [trace for trace in traces if trace.is_failing]
    text = counted(len(traces), "trace") + (f" ({len(failing)} failing)" if failing else "")
    slowest = max((trace.slowest for trace in traces if trace.slowest), key=lambda span: span.duration, default=None)
    if slowest is not None:
        text += f", slowest {_readable(slowest.duration)}: {slowest.name}"
    return text + _failures(traces) if failing else text


def _failures(traces: Sequence[Trace]) -> str:
    """Name the services with failing spans, the most failing first, and the failing span that began first."""
    spans, failing = Counter[str](), Counter[str]()
    for trace in traces:
        spans.update(trace.spans)
        failing.update(+trace.failing)
    rates = [f"{name} {count} of {spans[name]}" for name, count in failing.most_common(MAX_SERVICES)]
    first = min((trace.first_failing for trace in traces if trace.first_failing), key=lambda span: span.start)
    return f"; failing spans: {', '.join(rates)}; first: {first.name}"


def _readable(microseconds: int) -> str:
    if microseconds >= 1_000_000:
        return f"{microseconds / 1_000_000:.2f} s"
    return f"{microseconds / 1000:.1f} ms"
