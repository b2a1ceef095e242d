"""Computes the moments of a range query's samples, up to the window's end. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from aletheia_operator.api import parse_duration
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.base import Window

MAX_POINTS_PER_SERIES = 11_000  # in one answer: the server refuses more
MAX_CHUNKS = 200
FINEST_STEP_SECONDS = 15
"""Default step of short windows, and the resolution of subqueries: a usual scrape interval."""
RANGE_SECONDS = 300
"""Default range of rates, `$range` in templates."""

_STEPS = ((6 * 3_600, FINEST_STEP_SECONDS), (24 * 3_600, 60), (7 * 86_400, 300), (32 * 86_400, 900))  # window below, step
_LONGEST_STEP_SECONDS = 3_600


@dataclass(frozen=True)
class Grid:
    """`start`, `start + step`, ..., `end`: Unix seconds, both ends included."""

    start: int
    end: int
    step: int

    @classmethod
    def of(cls, window: Window, step: int) -> "Grid":
        """Return the moments at whole steps before the window's last second, back to its start.

        A window is fixed once, so a retry has the same moments. A window that ends within a millisecond before a full second
        ends with that second.
        """
        end = math.floor(window.end.timestamp() + 0.001)
        steps = max(0, (end - math.ceil(window.start.timestamp())) // step)
        return cls(end - steps * step, end, step)

    def before(self, seconds: int) -> "Grid":
        """Return the same moments, `seconds` earlier."""
        return Grid(self.start - seconds, self.end - seconds, self.step)

    def chunks(self, points: int = MAX_POINTS_PER_SERIES) -> Iterator["Grid"]:
        """Yield grids of at most `points` moments, in order. Each moment is in exactly one."""
        length = (points - 1) * self.step
        for start in range(self.start, self.end + 1, length + self.step):
            yield Grid(start, min(start + length, self.end), self.step)


def step_seconds(step: str | None, window: Window, range_seconds: int | None = None) -> int:
    """Return the seconds between samples. Raises Rejected if the window would take more than MAX_CHUNKS queries.

    `step` None: it adapts to the window, and is at most half of `range_seconds`. `range_seconds`: range that the request sets
    for rates; None: it sets none.
    """
    least = math.ceil(window.seconds / (MAX_POINTS_PER_SERIES * MAX_CHUNKS))
    if step is None:
        found = next((step for limit, step in _STEPS if window.seconds < limit), _LONGEST_STEP_SECONDS)
        if range_seconds is not None:
            found = min(found, max(FINEST_STEP_SECONDS, range_seconds // 2))
        return max(found, least)
    seconds = parse_duration(step)
    if seconds < least:
        raise Rejected(
            f"step: {step} makes more than {MAX_POINTS_PER_SERIES * MAX_CHUNKS} points a series over this window;"
            f" use {least}s or more, or a shorter window"
        )
    return seconds


def default_range_seconds(step: int) -> int:
    """Return a range that covers every increase between two samples: a step, and the scrape before that step.

    It is like Grafana's `$__rate_interval`, with room for scrape intervals of up to four minutes.
    """
    return RANGE_SECONDS if step <= 60 else step + RANGE_SECONDS
