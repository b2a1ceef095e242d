"""Traces of answers: what is known of each stays in memory, what Jaeger sent lies apart. And their summary in one line."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aletheia_operator.api import TracesRequest
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.jaeger.durations import at_least, microseconds
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.text.display import one_line

MAX_SERVICES = 5
MAX_NAME = 40
MAX_ID = 64


@dataclass(frozen=True)
class Span:
    """What is read of one span, whatever API it came by. Times in microseconds since the Unix epoch."""

    service: str
    operation: str
    start: float
    """Infinite where it is unknown."""
    duration: int
    failing: bool
    tags: Mapping[str, str] = field(default_factory=dict)


class Mark(NamedTuple):
    """A span worth naming."""

    name: str
    start: float
    duration: int


Wanted = Callable[[Span], bool]


def wanted(request: TracesRequest, least_microseconds: int | None = None) -> Wanted:
    """Whether one span has all that a search asks for: Jaeger asks it of the same span, too."""
    least = at_least(request.min_duration, least_microseconds)
    shortest = microseconds(least) if least else 0
    longest = microseconds(request.max_duration) if request.max_duration else math.inf

    def check(span: Span) -> bool:
        return (
            span.service == request.service
            and request.operation in (None, span.operation)
            and shortest <= span.duration <= longest
            and all(span.tags.get(key) == value for key, value in (request.tags or {}).items())
        )

    return check


@dataclass
class Trace:
    """What is known of a trace, and its pieces, which lie in `Spill`; what a piece is, its API knows."""

    trace_id: str
    pieces: list[Any] = field(default_factory=list)
    spans: Counter[str] = field(default_factory=Counter)
    """By service."""
    failing: Counter[str] = field(default_factory=Counter)
    slowest: Mark | None = None
    first_failing: Mark | None = None
    start: float = math.inf

    def add(self, span: Span) -> None:
        service = one_line(span.service, MAX_NAME)
        mark = Mark(one_line(f"{span.service} {span.operation}", 2 * MAX_NAME), span.start, span.duration)
        self.spans[service] += 1
        self.start = min(self.start, span.start)
        if self.slowest is None or span.duration > self.slowest.duration:
            self.slowest = mark
        if span.failing:
            self.failing[service] += 1
            if self.first_failing is None or span.start < self.first_failing.start:
                self.first_failing = mark

    @property
    def longest(self) -> int:
        """Microseconds of its longest span."""
        return 0 if self.slowest is None else self.slowest.duration


@dataclass
class Reading:
    """One answer as it is read, at most `most` traces; pieces of traces that are there as a `whole` are not held again."""

    held: Spill
    whole: Set[str]
    most: float = math.inf
    wanted: Wanted | None = None
    """Which spans are looked for; None: none in particular."""
    traces: dict[str, Trace] = field(default_factory=dict)
    matching: set[str] = field(default_factory=set)
    """Traces with a span that is wanted."""
    errors: list[str] = field(default_factory=list)
    broken: SourceError | None = None
    """Why it ends early."""

    def has_room(self, trace_id: str) -> bool:
        """Whether the trace is there, or may still come."""
        return trace_id[:MAX_ID] in self.traces or len(self.traces) < self.most

    def add(self, trace_id: str, spans: Iterable[Span]) -> Trace | None:
        """Take spans of a trace that there is room for; the trace, where its pieces are to be held."""
        trace_id = trace_id[:MAX_ID]
        trace = self.traces.setdefault(trace_id, Trace(trace_id))
        for span in spans:
            trace.add(span)
            if self.wanted is None or self.wanted(span):
                self.matching.add(trace_id)
        return None if trace_id in self.whole else trace


def summarise(traces: Iterable[Trace]) -> str:
    """Such as: 12 traces (4 failing), slowest 2.31 s: checkout POST /pay; failing spans: pay 4 of 9; first: pay charge."""
    traces = list(traces)
    if not traces:
        return "0 traces"
    failing = [trace for trace in traces if trace.failing]
    text = f"{len(traces)} traces" + (f" ({len(failing)} failing)" if failing else "")
    slowest = max((trace.slowest for trace in traces if trace.slowest), key=lambda span: span.duration, default=None)
    if slowest is not None:
        text += f", slowest {_readable(slowest.duration)}: {slowest.name}"
    return text + _failures(traces) if failing else text


def _failures(traces: Sequence[Trace]) -> str:
    """The services with failing spans, the most failing first, and the failing span that began first."""
    spans, failing = Counter[str](), Counter[str]()
    for trace in traces:
        spans += trace.spans
        failing += trace.failing
    rates = [f"{name} {count} of {spans[name]}" for name, count in failing.most_common(MAX_SERVICES)]
    first = min((trace.first_failing for trace in traces if trace.first_failing), key=lambda span: span.start)
    return f"; failing spans: {', '.join(rates)}; first: {first.name}"


def _readable(microseconds: int) -> str:
    if microseconds >= 1_000_000:
        return f"{microseconds / 1_000_000:.2f} s"
    return f"{microseconds / 1000:.1f} ms"
