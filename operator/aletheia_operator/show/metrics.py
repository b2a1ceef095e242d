"""Metrics: sparklines of the series that change most, a table of their samples, and all samples as CSV."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aletheia_operator.report.axis import Axis
from aletheia_operator.report.charts import Query, Samples, Series, Unit, add_query, distinguishing, label_of
from aletheia_operator.show.bounds import is_within
from aletheia_operator.show.captured import CapturedSession
from aletheia_operator.show.layout import Block, Column, Page, Span, Table, paragraph
from aletheia_operator.show.times import Times
from aletheia_operator.text.display import for_csv
from aletheia_operator.text.timestamps import format_time

_LEVELS = "▁▂▃▄▅▆▇█"
CSV_HEADER = "metric,labels,time,value"


def queries(session: CapturedSession, since: str | None, until: str | None) -> list[Query]:
    """Read the range queries and their baselines, each with the series that change most."""
    found: list[Query] = []
    for artifact in session.artifacts("metrics"):
        entries = (entry for _, entry in session.entries(artifact))
        add_query(found, session.metadata(artifact), artifact.path, entries)
    for query in found:
        for series in query.series:
            series.samples = [sample for sample in series.samples if is_within(_stamp(sample[0] + query.offset), since, until)]
    return found


def chart_blocks(
    found: Sequence[Query], window: tuple[str, str], page: Page, times: Times, *, is_wide: bool
) -> Iterator[Block]:
    """Yield a table with a sparkline for each series, for each query. `is_wide`: with the PromQL of templates."""
    now = [query for query in found if not query.offset]
    ends = [at for query in now for series in query.series for at, _ in (*series.samples[:1], *series.samples[-1:])]
    axis = Axis.of(window).around(ends)
    cells = 40 if page.width is None else max(12, min(60, page.width // 3 - 4))
    for number, query in enumerate(now):
        if number:
            yield paragraph("")
        yield paragraph(query.title, "head")
        if query.template and is_wide:
            yield paragraph(query.promql, "dim", indent=2, hanging=2)
        before = next((other for other in found if other.offset and other.promql == query.promql), None)
        if not any(series.samples for series in query.series):
            yield paragraph("no samples", "warn", indent=2)
            continue
        yield Table(_columns(axis, cells, before, times), _rows(query, before, axis, cells))
        if (more := len(query.labels) - len(query.series) + query.left_out) > 0:
            yield paragraph(f"{more} more series: -o csv has all", "dim", indent=2)


def _columns(axis: Axis, cells: int, before: Query | None, times: Times) -> Sequence[Column]:
    first, last = times(_stamp(axis.start)), times(_stamp(axis.end))
    span = f"{first}{' ' * max(1, cells - len(first) - len(last))}{last}"
    baseline = (Column("BASELINE", right=True),) if before else ()
    return (
        Column("  SERIES", shrinks=True),
        Column(span),
        Column("LOWEST", right=True),
        Column("HIGHEST", right=True),
        Column("LAST", right=True),
        *baseline,
    )


def _rows(query: Query, before: Query | None, axis: Axis, cells: int) -> Iterator[Sequence[Span]]:
    names, unit = distinguishing(query.labels), Unit(query)
    behind = {frozenset(series.labels.items()): series for series in before.series} if before else {}
    values = [value for series in query.series for _, value in series.samples if not math.isnan(value)]
    low, high = min(0.0, *values), max(0.0, *values)
    for series in query.series:
        own = [value for _, value in series.samples if not math.isnan(value)]
        if not own:
            continue
        row = [
            Span(f"  {label_of(series.labels, names)}"),
            Span(sparkline(series.samples, axis, cells, low, high, query.step), "change"),
            *(Span(unit(value)) for value in (min(own), max(own), own[-1])),
        ]
        if before:
            row.append(Span(_baseline(behind.get(frozenset(series.labels.items())), unit)))
        yield row


def _baseline(series: Series | None, unit: Unit) -> str:
    """Return lowest and highest value of a baseline."""
    own = [value for _, value in series.samples if not math.isnan(value)] if series else []
    return f"{unit(min(own))} to {unit(max(own))}" if own else "none"


def sparkline(samples: Samples, axis: Axis, cells: int, low: float, high: float, step: float) -> str:
    """Return a bar for each cell: its highest sample, else the last sample if less than `step` seconds old, else a blank."""
    highest: dict[int, float] = {}
    lasting: dict[int, float] = {}
    for at, value in samples:
        if axis.contains(at) and not math.isnan(value):
            first = min(cells - 1, int(axis.percent(at) * cells / 100))
            last = min(cells - 1, int(axis.percent(at + step) * cells / 100) - 1)
            highest[first] = max(value, highest.get(first, value))
            lasting |= dict.fromkeys(range(first + 1, last + 1), value)
    highest = lasting | highest
    height = (high - low) or 1.0
    return "".join(
        _LEVELS[min(len(_LEVELS) - 1, int((highest[cell] - low) / height * len(_LEVELS)))] if cell in highest else " "
        for cell in range(cells)
    )


def sample_blocks(found: Sequence[Query], times: Times) -> Iterator[Block]:
    """Yield a table of samples for each query: a row for each time, a column for each of the series that change most."""
    for number, query in enumerate(query for query in found if not query.offset):
        if number:
            yield paragraph("")
        yield paragraph(query.title, "head")
        names, unit = distinguishing(query.labels), Unit(query)
        columns = [
            Column("TIME"),
            *(Column(label_of(series.labels, names), shrinks=True, right=True) for series in query.series),
        ]
        by_time: dict[float, dict[int, float]] = {}
        for place, series in enumerate(query.series):
            for at, value in series.samples:
                by_time.setdefault(at, {})[place] = value
        yield Table(
            columns,
            (
                [
                    Span(times(_stamp(at))),
                    *(Span(unit(row[place]) if place in row else "") for place in range(len(query.series))),
                ]
                for at, row in sorted(by_time.items())
            ),
        )


def csv_lines(session: CapturedSession, since: str | None, until: str | None) -> Iterator[str]:
    """Yield every sample of every series as CSV. Spreadsheets read no cell as a formula."""
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    yield CSV_HEADER + "\n"
    for artifact in session.artifacts("metrics"):
        metadata = session.metadata(artifact)
        title = str(metadata.get("template") or metadata.get("query") or "")
        if offset := metadata.get("baseline_offset"):
            title = f"{title} ({offset} before)"
        for _, entry in session.entries(artifact):
            labels = ", ".join(f"{key}={value}" for key, value in (entry.get("metric") or {}).items())
            for stamp, value in _samples(entry):
                if is_within(stamp, since, until):
                    writer.writerow([for_csv(cell) for cell in (title, labels, stamp, value)])
            if rows := buffer.getvalue():
                yield rows
            buffer.seek(0)
            buffer.truncate()


def _samples(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the time and the value of each sample; nothing for an exemplar or an unknown form."""
    for pair in entry.get("values") or ():
        try:
            at, value = pair
            yield _stamp(float(at)), str(value)
        except (TypeError, ValueError, OverflowError, OSError):
            continue


def _stamp(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(seconds, UTC))
