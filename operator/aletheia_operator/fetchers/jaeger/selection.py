"""Which traces are kept when there are more than the limit: failing ones first, then the slowest, then an even sample.

Jaeger returns the latest traces that match, in no order by duration. So failing ones are asked for apart; the slowest by a
least duration that is raised or lowered until the answer is whole and large enough; the sample slice by slice.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.jaeger.traces import Trace

MAX_STEPS = 12
MAX_SLICES = 10
MAX_POOL = 1_500


class Asking(Protocol):
    """Searches within the request's conditions."""

    broken: SourceError | None
    """Why an answer ended early; what came before it was returned."""

    async def search(
        self, limit: int, *, least_microseconds: int | None = None, window: Window | None = None
    ) -> list[Trace]: ...

    async def failing(self, limit: int) -> list[Trace]:
        """Those with a failing span, of whatever service."""
        ...


@dataclass
class Selection:
    """The traces that are kept, each once, and why."""

    limit: int
    traces: dict[str, Trace] = field(default_factory=dict)
    limit_reached: bool = False
    kept: dict[str, int] = field(default_factory=dict)

    @property
    def room(self) -> int:
        return self.limit - len(self.traces)

    def add(self, why: str, traces: Iterable[Trace], most: int) -> None:
        before = len(self.traces)
        for trace in traces:
            if len(self.traces) - before >= min(most, self.limit - before):
                break
            self.traces.setdefault(trace.trace_id, trace)
        self.kept[why] = self.kept.get(why, 0) + len(self.traces) - before


async def select(asking: Asking, limit: int, window: Window) -> Selection:
    """All traces where the limit allows; else half of what failing ones leave goes to the slowest, the rest to the sample.

    What the sample leaves goes to the latest.

    Where an answer breaks off, nothing more is asked; only where the first one is too large, failing traces are.
    """
    selection = Selection(limit)
    latest = await asking.search(limit + 1)
    if asking.broken is not None:
        broken = asking.broken
        if broken.reason is GapReason.TOO_LARGE:
            asking.broken = None
            selection.add("failing", await asking.failing(limit), limit)
        selection.add("latest", latest, limit)
        asking.broken = broken
        return selection
    if len(latest) <= limit:
        selection.add("all", latest, limit)
        return selection
    selection.limit_reached = True
    selection.add("failing", await asking.failing(limit), limit)
    if selection.room and asking.broken is None:
        wanted = math.ceil(selection.room / 2)
        slowest = await _slowest(asking, wanted + len(selection.traces), max(trace.longest for trace in latest))
        selection.add("slowest", slowest, wanted)
    slices = min(MAX_SLICES, selection.room)
    for number in range(slices):
        if asking.broken is not None:
            break
        width = (window.end - window.start) / slices
        part = Window(window.start + number * width, window.start + (number + 1) * width)
        share = math.ceil(selection.room / (slices - number))
        selection.add("sample", await asking.search(share + len(selection.traces), window=part), share)
    if selection.room:  # slices had fewer traces than their share
        selection.add("latest", latest, selection.room)
    return selection


async def _slowest(asking: Asking, wanted: int, first_guess: int) -> list[Trace]:
    """The traces with the longest spans, the longest first: at least so many, where there are."""
    pool = min(MAX_POOL, max(2 * wanted, 100))
    low, high, least = 0, None, first_guess
    best: list[Trace] = []
    for _ in range(MAX_STEPS):
        found = await asking.search(pool, least_microseconds=least)
        if asking.broken is not None:
            break
        if len(found) >= pool:  # perhaps not all of them
            low = least
            least = least * 4 if high is None else (least + high) // 2
        else:
            best, high = found, least
            if len(found) >= wanted or least <= low + 1:
                break
            least = (low + least) // 2
        if least in (low, high):
            break
    return sorted(best, key=lambda trace: trace.longest, reverse=True)
