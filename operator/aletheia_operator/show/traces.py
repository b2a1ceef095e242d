"""Formats traces: as a list, or as waterfalls of their spans."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aletheia_operator.findings.traces import Span as TraceSpan
from aletheia_operator.findings.traces import spans_of
from aletheia_operator.report.axis import duration
from aletheia_operator.report.waterfalls import Bar, Waterfall
from aletheia_operator.show.layout import Block, Column, Page, Paragraph, Span, Table, paragraph
from aletheia_operator.show.times import Times
from aletheia_operator.text.sizes import counted
from aletheia_operator.text.timestamps import format_time

Trace = tuple[str, int, Any]
"""A trace with its artifact and the number of its entry."""
MAX_BAR = 60
SHORT_ID = 12
"""Characters of a trace's id that a terminal shows. Commands take the beginning of an id."""


def spans(trace: Any) -> dict[str, TraceSpan]:
    """Return the spans of a trace by their ids; {} if `trace` is no trace."""
    return dict(spans_of(trace)) if isinstance(trace, Mapping) else {}


def start_of(found: Mapping[str, TraceSpan]) -> str:
    """Return when the first span began; '' if that is not known."""
    first = min((span.start for span in found.values()), default=0.0)
    try:
        return format_time(datetime.fromtimestamp(first / 1e6, UTC)) if first else ""
    except (ValueError, OverflowError, OSError):
        return ""


def id_of(trace: Mapping[str, Any]) -> str:
    """Return the id of a trace in Jaeger's or OTLP's form; '' if it has none."""
    if "traceID" in trace:
        return str(trace["traceID"])
    scopes = (scope for resource in trace.get("resourceSpans") or [] for scope in resource.get("scopeSpans") or [])
    return next((str(span.get("traceId") or "") for scope in scopes for span in scope.get("spans") or []), "")


def list_blocks(traces: Iterable[Trace], times: Times) -> Iterator[Block]:
    """Yield the traces as a table."""
    columns = (
        Column("START"),
        Column("TRACE"),
        Column("TOOK", right=True),
        Column("SPANS", right=True),
        Column("FAILED", right=True),
        Column("ROOT", wraps=True),
    )
    yield Table(columns, (_row(trace, times) for _, _, trace in traces))


def _row(trace: Mapping[str, Any], times: Times) -> Sequence[Span]:
    found = spans(trace)
    begin = min((span.start for span in found.values()), default=0.0)
    end = max((span.start + span.duration for span in found.values()), default=0.0)
    root = next((span for span in found.values() if span.parent not in found), None)
    failed = sum(span.failed for span in found.values())
    return (
        Span(times(start_of(found))),
        Span(id_of(trace) if times.whole else id_of(trace)[:SHORT_ID]),
        Span(duration((end - begin) / 1e6)),
        Span(str(len(found))),
        Span(str(failed or ""), "error"),
        Span(f"{root.service} {root.operation}" if root else ""),
    )


def waterfall_blocks(found: Sequence[Waterfall], page: Page) -> Iterator[Block]:
    """Yield each trace with a bar for each span."""
    for number, waterfall in enumerate(found):
        if number:
            yield paragraph("")
        failed = f", {waterfall.failed} failed" if waterfall.failed else ""
        about = f"{waterfall.duration}, {counted(waterfall.spans, 'span')} of {counted(waterfall.services, 'service')}{failed}"
        yield Paragraph((Span(f"{waterfall.title}  ", "head"), Span(about, "error" if failed else "")), hanging=2)
        alike = f"; {counted(waterfall.alike, 'more trace')} with the same spans" if waterfall.alike else ""
        yield paragraph(f"trace {waterfall.trace_id}{alike}", "dim", hanging=2)
        yield from _bars(waterfall, page)
        if (more := waterfall.spans - len(waterfall.rows)) > 0:
            yield paragraph(f"{counted(more, 'more span')}: -o json has all", "dim", indent=2)


def _bars(waterfall: Waterfall, page: Page) -> Iterator[Block]:
    cells = 40 if page.width is None else max(12, min(MAX_BAR, page.width // 3))
    columns = (Column(""), Column("", shrinks=True), Column(""), Column("", right=True), Column("", wraps=True))
    yield Table(columns, [_bar(bar, cells) for bar in waterfall.rows])


def _bar(bar: Bar, cells: int) -> Sequence[Span]:
    style = "error" if bar.failed else ""
    start = min(cells - 1, int(bar.at * cells / 100))
    length = max(1, min(cells - start, round(bar.width * cells / 100)))
    drawn = " " * start + "█" * length + " " * (cells - start - length)
    return (
        Span("!" if bar.failed else "", "error"),
        Span(f"{'  ' * bar.indent}{bar.service} {bar.label}", style),
        Span(drawn, style or "change"),
        Span(bar.duration),
        Span(bar.words, "error"),
    )
