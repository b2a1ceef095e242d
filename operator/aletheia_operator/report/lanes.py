"""Draws the timeline: one lane for each group of kinds, with marks at their times. Pure; the number of marks is bounded."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.report.axis import Axis, clock, seconds_of
from aletheia_operator.text.display import one_line

COLUMNS = 120  # of a lane: marks in the same column are merged
MAX_TEXT = 160
_LANES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Changes", ("Rollout", "Scaling", "ConfigChanged")),
    ("Restarts", ("Restart", "OOMKill", "ContainerExit", "CrashLoop", "PodStopped", "Eviction")),
    ("Events", ("Warning", "ProbeFailure", "Scheduling", "Volume", "ImagePull", "NodeTrouble", "NodeReady")),
    ("Errors", ("FirstError", "ErrorBurst")),
)
_TONES = {
    **dict.fromkeys(("Rollout", "Scaling", "ConfigChanged"), "change"),
    **dict.fromkeys(("Restart", "OOMKill", "ContainerExit", "CrashLoop", "Eviction", "NodeTrouble"), "bad"),
    **dict.fromkeys(("FirstError", "ErrorBurst"), "error"),
    "NodeReady": "fine",
    "PodStopped": "quiet",
}
_ORDER = ("bad", "error", "warn", "change", "fine", "quiet")


def tone_of(kind: str) -> str:
    """Return the colour class of a kind of moment."""
    return _TONES.get(kind, "warn")


@dataclass(frozen=True)
class LaneMark:
    """One mark: position and width in percent (width 0: a point), radius in pixels, colour class, and text."""

    at: float
    width: float
    radius: float
    tone: str
    words: str


@dataclass
class Lane:
    """A row of the picture. `count`: number of its moments."""

    title: str
    count: int = 0
    marks: list[LaneMark] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """All lanes over one axis."""

    axis: Axis
    lanes: list[Lane]


def picture(moments: Sequence[Mapping[str, Any]], window: Axis) -> Picture | None:
    """Return the picture of a timeline's entries; None if no entry has a time."""
    placed = [(at, moment) for moment in moments if (at := seconds_of(moment.get("timestamp"))) is not None]
    if not placed:
        return None
    ends = [end for _, moment in placed if (end := seconds_of(moment.get("end"))) is not None]
    axis = window.around([*(at for at, _ in placed), *ends])
    lanes = []
    for title, kinds in _LANES:
        here = [(at, moment) for at, moment in placed if moment.get("kind") in kinds]
        lanes.append(Lane(title, len(here), [*_spans(here, axis), *_points(here, axis)]))
    return Picture(axis, lanes)


def _spans(placed: Iterable[tuple[float, Mapping[str, Any]]], axis: Axis) -> list[LaneMark]:
    """Return marks for moments with an end, the longest first, at most one for each column in which they begin."""
    longest: dict[int, tuple[float, float, Mapping[str, Any]]] = {}
    for at, moment in placed:
        end = seconds_of(moment.get("end"))
        if end is None or end <= at:
            continue
        left = axis.percent(at)
        width = axis.percent(end) - left
        column = int(left * COLUMNS / 100)
        if width > 0.5 and (column not in longest or longest[column][1] < width):
            longest[column] = left, width, moment
    found = sorted(longest.values(), key=lambda span: -span[1])
    return [
        LaneMark(left, round(width, 2), 0, tone_of(str(moment.get("kind"))), _words(moment)) for left, width, moment in found
    ]


def _points(placed: Iterable[tuple[float, Mapping[str, Any]]], axis: Axis) -> list[LaneMark]:
    """Return a point for each column with moments."""
    columns: dict[int, list[tuple[float, Mapping[str, Any]]]] = {}
    for at, moment in placed:
        if axis.contains(at):
            columns.setdefault(int(axis.percent(at) * COLUMNS / 100), []).append((at, moment))
    marks = []
    for group in columns.values():
        at, first = group[0]
        tones = {tone_of(str(moment.get("kind"))) for _, moment in group}
        words = _words(first) + (f" … and {len(group) - 1} more" if len(group) > 1 else "")
        radius = round(min(8.0, 4.5 + 1.2 * math.log2(len(group))), 1)
        marks.append(LaneMark(axis.percent(at), 0, radius, min(tones, key=_ORDER.index), words))
    return marks


def _words(moment: Mapping[str, Any]) -> str:
    text = f"{clock(moment.get('timestamp'))} {moment.get('kind')} {moment.get('object')}: {moment.get('message')}"
    return one_line(text, MAX_TEXT)
