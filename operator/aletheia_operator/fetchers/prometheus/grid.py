"""The moments at which a range query looks: multiples of the step, so that every retry gets the same samples. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from aletheia_operator.api import parse_duration
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.base import Window

MAX_POINTS_PER_SERIES = 11_000  # in one answer: the server refuses more
MAX_CHUNKS = 200

_STEPS = ((3_600, 15), (6 * 3_600, 60), (24 * 3_600, 300), (7 * 86_400, 1_800))  # window shorter than, step; in seconds
_LONGEST_STEP_SECONDS = 3_600


@dataclass(frozen=True)
class Grid:
    """`start`, `start + step`, ..., `end`: Unix seconds, both ends included."""

    start: int
    end: int
    step: int

    @classmethod
    def of(cls, window: Window, step: int) -> "Grid":
        """The multiples of the step inside the window; where there is none, the window's last second alone."""
        start = math.ceil(window.start.timestamp() / step) * step
        end = math.floor(window.end.timestamp() / step) * step
        if start > end:
            start = end = math.floor(window.end.timestamp())
        return cls(start, end, step)

    def before(self, seconds: int) -> "Grid":
        """The same moments, so many seconds earlier."""
        return Grid(self.start - seconds, self.end - seconds, self.step)

    def chunks(self) -> Iterator["Grid"]:
        """Pieces that a server answers, in order; each moment lies in one of them."""
        length = (MAX_POINTS_PER_SERIES - 1) * self.step
        for start in range(self.start, self.end + 1, length + self.step):
            yield Grid(start, min(start + length, self.end), self.step)


def step_seconds(step: str | None, window: Window) -> int:
    """The distance between samples. Raises Rejected where the window would be asked in more than MAX_CHUNKS pieces."""
    least = math.ceil(window.seconds / (MAX_POINTS_PER_SERIES * MAX_CHUNKS))
    if step is None:
        return max(next((step for limit, step in _STEPS if window.seconds < limit), _LONGEST_STEP_SECONDS), least)
    seconds = parse_duration(step)
    if seconds < least:
        raise Rejected(
            f"step: {step} makes more than {MAX_POINTS_PER_SERIES * MAX_CHUNKS} points a series over this window;"
            f" use {least}s or more, or a shorter window"
        )
    return seconds
