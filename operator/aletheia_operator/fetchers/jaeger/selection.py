"""Selects traces when there are more than the limit: failing ones first, then the slowest, then an even sample.

Jaeger returns the latest matching traces, not sorted by duration. So there are separate searches: one for failing traces; some
for the slowest, with a least duration that is raised or lowered until the answer is whole and large enough; and one for each
slice of the window, for the sample.
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


class TraceSearch(Protocol):
    """Searches within the request's conditions."""

    broken: SourceError | None
    """Error with which an answer broke off; the traces before it were returned. None: no answer broke off."""

    async def search(
        self, limit: int, *, least_microseconds: int | None = None, window: Window | None = None
    ) -> list[Trace]: ...

    async def failing(self, limit: int) -> list[Trace]:
        """Return matching traces with a failing span, of any service."""
        ...


@dataclass
class Selection:
    """The selected traces, each once, and how many were selected for each reason."""

    limit: int
    traces: dict[str, Trace] = field(default_factory=dict)
    limit_reached: bool = False
    kept: dict[str, int] = field(default_factory=dict)

    @property
    def room(self) -> int:
        return self.limit - len(self.traces)

    def add(self, why: str, traces: Iterable[Trace], max_traces: int) -> None:
        before = len(self.traces)
        for trace in traces:
            if len(self.traces) - before >= min(max_traces, self.limit - before):
                break
            self.traces.setdefault(trace.trace_id, trace)
        self.kept[why] = self.kept.get(why, 0) + len(self.traces) - before


async def select(source: TraceSearch, limit: int, window: Window) -> Selection:
    """Return all traces if there are at most `limit`, else a selection.

    Places that the sample leaves free go to the latest traces. If an answer breaks off, no further search is made, except that
    failing traces are searched if the first answer was too large.
    """
    selection = Selection(limit)
    latest = await source.search(limit + 1)
    if source.broken is not None:
        broken = source.broken
        if broken.reason is GapReason.TOO_LARGE:
            source.broken = None
            selection.add("failing", await source.failing(limit), limit)
        selection.add("latest", latest, limit)
        source.broken = broken
        return selection
    if len(latest) <= limit:
        selection.add("all", latest, limit)
        return selection
    selection.limit_reached = True
    selection.add("failing", await source.failing(limit), limit)
    if selection.room and source.broken is None:
        wanted = math.ceil(selection.room / 2)
        slowest = await _slowest(source, wanted + len(selection.traces), max(trace.longest for trace in latest))
        selection.add("slowest", slowest, wanted)
    slices = min(MAX_SLICES, selection.room)
    for number in range(slices):
        if source.broken is not None:
            break
        width = (window.end - window.start) / slices
        part = Window(window.start + number * width, window.start + (number + 1) * width)
        share = math.ceil(selection.room / (slices - number))
        selection.add("sample", await source.search(share + len(selection.traces), window=part), share)
    if selection.room:  # slices had fewer traces than their share
        selection.add("latest", latest, selection.room)
    return selection


async def _slowest(source: TraceSearch, wanted: int, first_guess: int) -> list[Trace]:
    """Return the traces with the longest spans, the longest first: at least `wanted` if there are as many."""
    pool = min(MAX_POOL, max(2 * wanted, 100))
    low, high, least = 0, None, first_guess
    best: list[Trace] = []
    for _ in range(MAX_STEPS):
        found = await source.search(pool, least_microseconds=least)
        if source.broken is not None:
            break
        if len(found) >= pool:  # there may be more
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
