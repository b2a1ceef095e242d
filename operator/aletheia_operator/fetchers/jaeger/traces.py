"""What is known of traces while and after they are read: counts, marks and conditions. What Jaeger sent lies in a `Spill`."""

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
from aletheia_operator.text.display import one_line

MAX_SERVICES = 5
MAX_NAME = 40
MAX_ID = 64
MAX_ERRORS = 20
"""Of one answer, that are kept."""
MAX_WHOLE = 2**63
"""No moment or duration is as large."""


@dataclass(frozen=True)
class Span:
    """What is read of one span, in whichever API it came. Times in microseconds since the Unix epoch."""

    operation: str
    start: float
    """Infinite if it is unknown."""
    duration: int
    failing: bool
    service: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class Mark(NamedTuple):
    """A span worth naming."""

    name: str
    start: float
    duration: int


@dataclass(frozen=True)
class Sift:
    """The conditions of a search, for one span: Jaeger, too, demands all of them of the same span."""

    service: str | None
    operation: str | None = None
    shortest: float = 0
    longest: float = math.inf
    tags: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, span: Span) -> bool:
        """Whether a span has all of them, its process' or resource's tags being among its own."""
        return span.service == self.service and self.open_tags(span) == frozenset()

    def open_tags(self, span: Span) -> frozenset[str] | None:
        """The tags that the span's process must have, since the span itself has not; None if the span cannot match."""
        if self.operation not in (None, span.operation) or not self.shortest <= span.duration <= self.longest:
            return None
        if any(span.tags.get(key, value) != value for key, value in self.tags.items()):
            return None
        return frozenset(key for key in self.tags if key not in span.tags)

    def process_has(self, service: str, tags: Mapping[str, str], open_tags: Iterable[str]) -> bool:
        """Whether a process has what `open_tags` left open."""
        return service == self.service and all(tags.get(key) == self.tags[key] for key in open_tags)


def sift_of(request: TracesRequest, least_microseconds: int | None = None) -> Sift:
    """The conditions of a request, perhaps narrowed to spans at least so long."""
    least = at_least(request.min_duration, least_microseconds)
    return Sift(
        request.service,
        request.operation,
        microseconds(least) if least else 0,
        microseconds(request.max_duration) if request.max_duration else math.inf,
        request.tags or {},
    )


@dataclass
class Trace:
    """What is known of a trace, and its pieces, which lie in `Spill`; what a piece is, its API knows."""

    trace_id: str
    pieces: list[Any] = field(default_factory=list)
    size_bytes: int = 0
    """Of the pieces together."""
    spans: Counter[str] = field(default_factory=Counter)
    """By service."""
    failing: Counter[str] = field(default_factory=Counter)
    slowest: Mark | None = None
    first_failing: Mark | None = None
    start: float = math.inf

    def add(self, span: Span) -> None:
        """Count one span of a known service."""
        service = one_line(span.service, MAX_NAME)
        mark = Mark(one_line(f"{span.service} {span.operation}", 2 * MAX_NAME), span.start, span.duration)
        self.spans[service] += 1
        self.failing[service] += span.failing
        self.start = min(self.start, span.start)
        self._mark(mark, mark if span.failing else None)

    def merge(self, other: "Trace") -> None:
        """Count the spans of a part of this trace."""
        self.spans.update(other.spans)  # `+=` would look at all that are known
        self.failing.update(+other.failing)
        self.start = min(self.start, other.start)
        self._mark(other.slowest, other.first_failing)

    def _mark(self, slowest: Mark | None, first_failing: Mark | None) -> None:
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
    """One answer as it is read, at most `most` traces; pieces of traces that are there as a `whole` are not kept again."""

    spill: Spill
    whole: Set[str]
    most: float = math.inf
    sift: Sift | None = None
    """Which spans are looked for; None: none in particular."""
    traces: dict[str, Trace] = field(default_factory=dict)
    matching: set[str] = field(default_factory=set)
    """Traces with a span that is looked for."""
    errors: list[str] = field(default_factory=list)
    """What Jaeger says is wrong with its answer, as it wrote it."""

    def say(self, errors: Iterable[str]) -> None:
        """Keep what Jaeger says is wrong, the first MAX_ERRORS, each as far as `Quoter` needs it."""
        self.errors += [error[:MAX_ERROR_BYTES] for error in islice(errors, MAX_ERRORS - len(self.errors))]

    def has_room(self, trace_id: str) -> bool:
        """Whether the trace is there, or may still come."""
        return trace_id[:MAX_ID] in self.traces or len(self.traces) < self.most

    def trace(self, trace_id: str) -> Trace:
        """The trace with this id, which there is room for."""
        return self.traces.setdefault(trace_id[:MAX_ID], Trace(trace_id[:MAX_ID]))

    def add(self, trace_id: str, span: Span) -> Trace | None:
        """Count a span of a trace that there is room for; the trace, or None if its pieces are not to be kept."""
        trace = self.trace(trace_id)
        trace.add(span)
        if self.sift is None or self.sift(span):
            self.matching.add(trace.trace_id)
        return None if trace.trace_id in self.whole else trace

    def keep(self, trace: Trace, piece: bytes) -> int:
        """Keep a piece of a trace; its number in the spill."""
        trace.size_bytes += len(piece)
        return self.spill.put(piece)


def whole(value: Any) -> int | None:
    """A number of microseconds or nanoseconds; None if it is none, or none that can be."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_WHOLE else None


def write_list(text: BytesIO, element: bytes, name: str, items: Iterable[Callable[[], None]]) -> None:
    """Write a JSON object with one more member, which is a list; each of `items` writes one or more of its items."""
    text.write(element[:-1] + (b"," if element != b"{}" else b"") + b'"%s":[' % name.encode())
    for number, write_item in enumerate(items):
        if number:
            text.write(b",")
        write_item()
    text.write(b"]}")


def summarise(traces: Iterable[Trace]) -> str:
    """Such as: 12 traces (4 failing), slowest 2.31 s: checkout POST /pay; failing spans: pay 4 of 9; first: pay charge."""
    traces = list(traces)
    if not traces:
        return "0 traces"
    failing = [trace for trace in traces if trace.is_failing]
    text = f"{len(traces)} traces" + (f" ({len(failing)} failing)" if failing else "")
    slowest = max((trace.slowest for trace in traces if trace.slowest), key=lambda span: span.duration, default=None)
    if slowest is not None:
        text += f", slowest {_readable(slowest.duration)}: {slowest.name}"
    return text + _failures(traces) if failing else text


def _failures(traces: Sequence[Trace]) -> str:
    """The services with failing spans, the most failing first, and the failing span that began first."""
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
