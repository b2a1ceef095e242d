"""Draws metrics as line charts: each query over the window, its baseline behind it. Pure; the number of points is bounded.

Coordinates: x from 0 to 1000 over the axis, y from 0 (top) to 100. The page stretches them to its width.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.api import parse_duration
from aletheia_operator.report.axis import Axis, duration, seconds_of
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import readable_size

MAX_CHARTS = 20
MAX_LINES = 5
COLUMNS = 150  # of a line: the lowest and the highest sample of each column are drawn
MAX_LABEL = 80
MAX_MARKS = 20
LARGEST = 1e290
"""Larger values are not drawn: their differences overflow to infinity."""
MAX_CONSIDERED = 300
"""Series of a query that are compared; further ones are only counted."""

Samples = list[tuple[float, float]]


@dataclass
class Series:
    """One series of a query, with its samples in order of time."""

    labels: Mapping[str, str]
    samples: Samples


@dataclass
class Query:
    """The answer to one query. `offset`: seconds by which a baseline precedes the window; 0: it is no baseline."""

    title: str
    promql: str
    template: str
    step: float
    artifact: str
    series: list[Series] = field(default_factory=list)
    """The series that change most, at most MAX_LINES. Of a baseline: the series that its query draws."""
    labels: list[Mapping[str, str]] = field(default_factory=list)
    """Labels of the first MAX_CONSIDERED series."""
    left_out: int = 0
    offset: float = 0.0


@dataclass(frozen=True)
class Line:
    """One line of a chart. `points`, `baseline`: pieces without a gap, each as the value of an SVG attribute."""

    label: str
    color: int
    points: list[str]
    baseline: list[str]
    lowest: str
    highest: str


@dataclass(frozen=True)
class Chart:
    """One chart. `scale`: the labels of the top and the middle of the y axis; `more`: number of series that are not drawn."""

    title: str
    promql: str
    artifact: str
    axis: Axis
    scale: tuple[str, str]
    lines: list[Line]
    more: int
    has_baseline: bool
    marks: list[tuple[float, str, str]]
    """Rollouts and restarts: position in percent, colour class, text."""


def empty_query(metadata: Mapping[str, Any], artifact: str) -> Query:
    """Return the query of an artifact of metrics, by its metadata, without its series."""
    template, promql = str(metadata.get("template") or ""), str(metadata.get("query") or "")
    step = metadata.get("step_seconds")
    return Query(template or promql, promql, template, float(step) if isinstance(step, int | float) else 0.0, artifact)


def add_query(queries: list[Query], metadata: Mapping[str, Any], artifact: str, entries: Iterable[Any]) -> None:
    """Add a range query, or the baseline of one in `queries`, from its artifact. Exemplars and instant queries are left out."""
    if not isinstance(metadata.get("step_seconds"), int | float):
        return
    found = empty_query(metadata, artifact)
    wanted = None
    if offset := metadata.get("baseline_offset"):
        found.offset = float(parse_duration(str(offset)))
        now = next((query for query in queries if query.promql == metadata.get("query")), None)
        wanted = None if now is None else {_key(series.labels) for series in now.series}
    for entry in entries:
        if not isinstance(entry, dict) or "over_step" in entry:
            continue
        if len(found.labels) >= MAX_CONSIDERED:
            found.left_out += 1
            continue
        labels = entry.get("metric") or {}
        series = Series({str(key): str(value) for key, value in labels.items()}, _samples(entry.get("values") or []))
        if all(math.isnan(value) for _, value in series.samples) or (wanted is not None and _key(series.labels) not in wanted):
            continue
        found.labels.append(series.labels)
        found.series = sorted([*found.series, series], key=_interest, reverse=True)[:MAX_LINES]
    queries.append(found)


def _samples(values: Sequence[Any]) -> Samples:
    """Return the samples; [] if they are damaged. A value that cannot be drawn becomes NaN, which interrupts the line."""
    found = []
    try:
        for at, text in values:
            value = float(text)
            found.append((float(at), value if abs(value) < LARGEST else math.nan))
    except (TypeError, ValueError, OverflowError):
        return []
    return found


def charts(queries: Sequence[Query], window: Axis, moments: Sequence[Mapping[str, Any]]) -> tuple[list[Chart], list[str]]:
    """Return the charts of the queries, and the titles of queries without a chart. All charts share one axis.

    `moments`: entries of the timeline, for the marks.
    """
    now = [query for query in queries if not query.offset]
    earlier = {query.promql: query for query in queries if query.offset}
    axis = window.around(at for query in now for series in query.series for at in _ends(series))
    marks = _marks(moments, axis)
    drawn = [query for query in now if query.series][:MAX_CHARTS]
    without = [one_line(query.title, MAX_LABEL) for query in now if query not in drawn]
    return [_chart(query, earlier.get(query.promql), axis, marks) for query in drawn], without


def _ends(series: Series) -> tuple[float, ...]:
    return (series.samples[0][0], series.samples[-1][0]) if series.samples else ()


def _marks(moments: Sequence[Mapping[str, Any]], axis: Axis) -> list[tuple[float, str, str]]:
    """Return the marks of rollouts and of restarts, at most one of each colour per percent of the axis."""
    found: dict[tuple[float, str], str] = {}
    for moment in moments:
        kind, at = moment.get("kind"), seconds_of(moment.get("timestamp"))
        if at is None or not axis.contains(at) or kind not in ("Rollout", "Restart", "OOMKill"):
            continue
        place = round(axis.percent(at)), "change" if kind == "Rollout" else "bad"
        found.setdefault(place, one_line(f"{str(moment['timestamp'])[11:19]} {kind} {moment.get('object')}", 120))
    return [(at, tone, words) for (at, tone), words in list(found.items())[:MAX_MARKS]]


def _chart(query: Query, earlier: Query | None, axis: Axis, marks: list[tuple[float, str, str]]) -> Chart:
    shown = query.series
    behind = {_key(series.labels): series for series in earlier.series} if earlier else {}
    pairs = [(series, behind.get(_key(series.labels))) for series in shown]
    offset = earlier.offset if earlier else 0.0
    values = [value for pair in pairs for series in pair if series for _, value in series.samples if not math.isnan(value)]
    unit = Unit(query)
    low, high = min(0.0, *values), unit.round_up(max(0.0, *values))
    names = distinguishing(query.labels)
    lines = [
        Line(
            label=label_of(series.labels, names),
            color=number,
            points=_points(series.samples, axis, low, high, query.step, 0.0),
            baseline=_points(before.samples, axis, low, high, query.step, offset) if before else [],
            lowest=unit(min(value for _, value in series.samples if not math.isnan(value))),
            highest=unit(max(value for _, value in series.samples if not math.isnan(value))),
        )
        for number, (series, before) in enumerate(pairs)
    ]
    return Chart(
        title=one_line(query.title, 120),
        promql=one_line(query.promql, 400),
        artifact=query.artifact,
        axis=axis,
        scale=(unit(high), unit((high + low) / 2)),
        lines=lines,
        more=len(query.labels) - len(shown) + query.left_out,
        has_baseline=any(line.baseline for line in lines),
        marks=marks,
    )


def _interest(series: Series) -> tuple[float, float]:
    """Return the sort key of a series: its change over the window, then its highest value."""
    values = [value for _, value in series.samples if not math.isnan(value)]
    return max(values) - min(values), max(values)


def _points(samples: Samples, axis: Axis, low: float, high: float, step: float, offset: float) -> list[str]:
    """Return a line in pieces, interrupted where samples are missing. `step`: seconds between samples; 0: not known."""
    pieces: list[list[tuple[float, float]]] = [[]]
    before: float | None = None
    longest = 2.5 * step if step else math.inf
    for at, value in samples:
        if math.isnan(value) or (before is not None and at - before > longest):
            pieces.append([])
        before = at
        if not math.isnan(value) and axis.contains(at + offset):
            pieces[-1].append((at + offset, value))
    height = (high - low) or 1.0
    drawn = []
    for piece in pieces:
        places = [(axis.percent(at) * 10, 100 - 100 * (value - low) / height) for at, value in piece]
        if len(places) == 1:  # a dot
            places = [(max(0.0, places[0][0] - 1), places[0][1]), (places[0][0] + 1, places[0][1])]
        if places:
            drawn.append(" ".join(f"{x:.1f},{y:.1f}" for x, y in _thinned(places)))
    return drawn[:MAX_MARKS]


def _thinned(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most two points for each column: the lowest and the highest, in order of time."""
    if len(places) <= 2 * COLUMNS:
        return places
    columns: dict[int, list[tuple[float, float]]] = {}
    for place in places:
        columns.setdefault(int(place[0] * COLUMNS / 1000), []).append(place)
    kept = []
    for group in columns.values():
        low, high = min(group, key=lambda place: place[1]), max(group, key=lambda place: place[1])
        kept += sorted({low, high})
    return kept


def _key(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


def distinguishing(all_labels: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names of the labels that distinguish the series. Prefer a single label, with short values."""
    names = sorted({name for labels in all_labels for name in labels} - {"__name__"})
    values = {name: [labels.get(name, "") for labels in all_labels] for name in names}
    if len(all_labels) < 2:
        return names
    alone = [name for name in names if len(set(values[name])) == len(all_labels)]
    if alone:
        return [min(alone, key=lambda name: (sum(map(len, values[name])), name))]
    return [name for name in names if len(set(values[name])) > 1]


def label_of(labels: Mapping[str, str], names: Sequence[str]) -> str:
    own = [(name, labels[name]) for name in names if name in labels]
    text = own[0][1] if len(own) == 1 else ", ".join(f"{name}={value}" for name, value in own)
    return one_line(text or labels.get("__name__") or "value", MAX_LABEL)


def _round_up(value: float) -> float:
    """Return the next value of the form 1, 2, 2.5, 5 times a power of ten."""
    if value <= 0:
        return 0.0 if value < 0 else 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if value <= factor * power * (1 + 1e-9))


class Unit:
    """Formats the values of a query. The unit is derived from the name of its template or metric."""

    def __init__(self, query: Query) -> None:
        name = query.template or query.promql
        self._unit = (
            "share"
            if query.template in ("error_rate", "cpu_throttling")
            else "seconds"
            if query.template.startswith("latency") or ("seconds" in name and "histogram_quantile" in name)
            else "bytes"
            if "memory" in query.template or "_bytes" in name
            else ""
        )

    def round_up(self, value: float) -> float:
        """Return the next round value that is at least `value`: the top of an axis."""
        if self._unit != "bytes" or value < 1024:
            return _round_up(value)
        whole = 1024.0 ** int(math.log(value, 1024))
        return whole * _round_up(value / whole)

    def __call__(self, value: float) -> str:
        if self._unit == "share":
            return f"{100 * value:.3g} %"
        if self._unit == "seconds" and value > 0:
            return duration(value)
        if self._unit == "bytes" and value >= 0:
            return readable_size(round(value))
        return plain(value)


def plain(value: float) -> str:
    """Return a number for people, for example: 0.25, 1.2 k, 3.4 M."""
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.3g} {unit}"
    return f"{value:.4g}"
