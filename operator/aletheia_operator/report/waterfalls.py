"""Draws traces as waterfalls: the slowest failed traces and the slowest others. Pure; the number of spans is bounded."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aletheia_operator.findings.traces import Span, spans_of
from aletheia_operator.report.axis import duration
from aletheia_operator.text.display import one_line

MAX_OF_A_KIND = 3
MAX_ROWS = 40
MAX_INDENT = 8
MAX_LABEL = 90
MAX_SHAPES = 60

Shape = int
"""A hash of the operations of a trace, and which of them failed. Of traces with the same shape only the slowest is shown."""


@dataclass(frozen=True)
class Bar:
    """One span: depth, and position and width in percent of the trace's duration."""

    label: str
    service: str
    indent: int
    at: float
    width: float
    duration: str
    failed: bool
    words: str


@dataclass(frozen=True)
class Waterfall:
    """One trace. `rows`: its first MAX_ROWS spans. `entry`: its number in the artifact."""

    trace_id: str
    title: str
    duration: str
    spans: int
    failed: int
    services: int
    rows: list[Bar]
    alike: int
    """Number of traces of the same shape that are not shown."""
    artifact: str
    entry: int


@dataclass(order=True)
class _Candidate:
    seconds: float
    number: int
    waterfall: Waterfall = field(compare=False)
    alike: int = field(compare=False)


def waterfalls(traces: Iterable[tuple[str, int, Any]]) -> list[Waterfall]:
    """Return the slowest failed traces, then the slowest others, at most one of each shape.

    `traces`: path of the artifact, number of the entry, and entry.
    """
    shapes: dict[tuple[bool, Shape], _Candidate] = {}
    for number, (artifact, entry, trace) in enumerate(traces):
        if not isinstance(trace, dict):
            continue
        spans = dict(spans_of(trace))
        if not spans:
            continue
        begin = min(span.start for span in spans.values())
        seconds = (max(span.start + span.duration for span in spans.values()) - begin) / 1e6
        shape = hash(frozenset((span.service, span.operation, span.failed) for span in spans.values()))
        key = any(span.failed for span in spans.values()), shape
        known = shapes.get(key)
        if known is None and len(shapes) >= MAX_SHAPES:
            continue
        alike = 0 if known is None else known.alike + 1
        if known is None or seconds > known.seconds:
            shapes[key] = _Candidate(seconds, -number, _waterfall(trace, spans, seconds, (artifact, entry)), alike)
        else:
            known.alike = alike
    shown = []
    for kind in (True, False):
        slowest = sorted((candidate for (failed, _), candidate in shapes.items() if failed is kind), reverse=True)
        shown += [replace(candidate.waterfall, alike=candidate.alike) for candidate in slowest[:MAX_OF_A_KIND]]
    return shown


def _waterfall(trace: Mapping[str, Any], spans: dict[str, Span], seconds: float, place: tuple[str, int]) -> Waterfall:
    begin = min(member.start for member in spans.values())
    blamed = {member.parent for member in spans.values() if member.failed}  # their failed child has the cause
    total = max(seconds * 1e6, 1.0)
    rows: list[Bar] = []
    for key, span, depth in _in_order(spans):
        if len(rows) == MAX_ROWS:
            break
        rows.append(
            Bar(
                label=one_line(span.operation or "span", MAX_LABEL),
                service=one_line(span.service or "unknown", 60),
                indent=min(depth, MAX_INDENT),
                at=round(100 * (span.start - begin) / total, 2),
                width=round(max(0.4, min(100.0, 100 * span.duration / total)), 2),
                duration=duration(span.duration / 1e6),
                failed=span.failed,
                words=one_line(span.words, 160) if span.failed and key not in blamed else "",
            )
        )
    first = rows[0]
    trace_id = str(trace.get("traceID") or _otlp_id(trace))
    return Waterfall(
        trace_id=one_line(trace_id, 64),
        title=f"{first.service} {first.label}",
        duration=duration(seconds),
        spans=len(spans),
        failed=sum(member.failed for member in spans.values()),
        services=len({member.service for member in spans.values()}),
        rows=rows,
        alike=0,
        artifact=place[0],
        entry=place[1],
    )


def _in_order(spans: Mapping[str, Span]) -> Iterator[tuple[str, Span, int]]:
    """Yield the spans with their ids and depths: parents before children, siblings in order of time."""
    children: dict[str, list[str]] = {}
    roots = []
    for key, span in spans.items():
        if span.parent in spans and span.parent != key:
            children.setdefault(span.parent, []).append(key)
        else:
            roots.append(key)
    waiting = [(key, 0) for key in sorted(roots, key=lambda key: -spans[key].start)]
    if not waiting:  # a circle of parents
        waiting = [(next(iter(spans)), 0)]
    seen = set()
    while waiting:
        key, depth = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        yield key, spans[key], depth
        waiting += [(child, depth + 1) for child in sorted(children.get(key, ()), key=lambda key: -spans[key].start)]


def _otlp_id(trace: Mapping[str, Any]) -> str:
    for resource in trace.get("resourceSpans") or []:
        for scope in resource.get("scopeSpans") or []:
            for span in scope.get("spans") or []:
                return str(span.get("traceId") or "")
    return ""
