"""The time axis of the pictures: positions in percent of its width, ticks, and times for people. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
MAX_TICKS = 5
LEAST_SECONDS = 20.0
ZOOM_SHARE = 0.5
"""If all moments lie within less than this share of the window, the axis shows that part alone."""
_MARGIN = 0.06


def seconds_of(stamp: object) -> float | None:
    """Return an RFC 3339 time in UTC as Unix seconds; None if `stamp` is not such a time."""
    text = str(stamp or "")
    try:
        whole = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()
        fraction = text[19:].rstrip("Z")
        return whole + (float(fraction) if fraction.startswith(".") and fraction[1:].isdecimal() else 0.0)
    except ValueError:
        return None


def clock(stamp: object) -> str:
    """Return the hours, minutes and seconds of an RFC 3339 time; the first 40 characters of any other text."""
    text = str(stamp or "")
    return text[11:19] if seconds_of(text) is not None else text[:40]


@dataclass(frozen=True)
class Axis:
    """A span of time in Unix seconds. `enlarged`: whether it is a part of the window."""

    start: float
    end: float
    enlarged: bool = False

    @classmethod
    def of(cls, window: tuple[str, str]) -> "Axis":
        """Return the axis of a whole window. `window`: start and end as RFC 3339 times."""
        start, end = seconds_of(window[0]) or 0.0, math.ceil(seconds_of(window[1]) or 0.0)  # samples are at whole seconds
        return cls(start, max(end, start + LEAST_SECONDS))

    def around(self, moments: Iterable[float]) -> "Axis":
        """Return the part of this axis that `moments` (Unix seconds) fill, with a margin.

        Returns the whole axis if they fill more than ZOOM_SHARE of it, or if none lies on it.
        """
        inside = [moment for moment in moments if self.start <= moment <= self.end]
        if not inside:
            return self
        first, last = min(inside), max(inside)
        if last - first > ZOOM_SHARE * (self.end - self.start):
            return self
        margin = max(_MARGIN * (last - first), LEAST_SECONDS / 2)
        return Axis(max(self.start, first - margin), min(self.end, last + margin), enlarged=True)

    def percent(self, moment: float) -> float:
        """Return the position of a moment, from 0 to 100; moments outside of the axis get 0 or 100."""
        share = (moment - self.start) / max(self.end - self.start, 1e-9)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def contains(self, moment: float) -> bool:
        return self.start <= moment <= self.end

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Positions in percent of round times, each with its label."""
        span = self.end - self.start
        step = next((step for step in _STEPS if span / step <= MAX_TICKS), int(span / MAX_TICKS) + 1)
        first = -(-self.start // step) * step
        moments = [first + number * step for number in range(MAX_TICKS + 1)]
        return [(self.percent(moment), self._label(moment, step)) for moment in moments if self.contains(moment)]

    @property
    def words(self) -> str:
        """The span for people, for example: 2026-11-22, 14:02:11 to 14:05:40 UTC."""
        start, end = _moment(self.start), _moment(self.end)
        if start.date() == end.date():
            return f"{start:%Y-%m-%d}, {start:%H:%M:%S} to {end:%H:%M:%S} UTC"
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"

    def _label(self, moment: float, step: int) -> str:
        at = _moment(moment)
        if step >= 86400:
            return f"{at:%d %b}"
        return f"{at:%H:%M:%S}" if step < 60 else f"{at:%H:%M}"


def _moment(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def duration(seconds: float) -> str:
    """Return a duration for people, for example: 1 h 5 min, 3.2 s, 840 µs."""
    if seconds >= 3600:
        hours, rest = divmod(round(seconds / 60), 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"
