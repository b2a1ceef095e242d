"""Which traces are kept if there are more than the limit: all failing ones, the slowest, and a sample of the whole window."""

from dataclasses import dataclass, field

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.jaeger.selection import MAX_SLICES, select
from aletheia_operator.fetchers.jaeger.traces import SpanSummary, Trace
from tests.unit.fakes import make_window

WINDOW = make_window()
COUNT = 300
TOO_LARGE = Rejected("too large", GapReason.TOO_LARGE)


def a_trace(number: int) -> Trace:
    """One of COUNT traces that begin evenly over the window. Each has another duration, in no order."""
    start = WINDOW.start.timestamp() + (number + 0.5) * WINDOW.seconds / COUNT
    return Trace(f"{number:x}", slowest=SpanSummary("shop GET", start, 1000 * (1 + number * 77 % COUNT)), start=start)


ALL = {number: a_trace(number) for number in range(COUNT)}
FAILING = {trace.trace_id for number, trace in ALL.items() if number % 50 == 3}
SLOWEST = [trace.trace_id for trace in sorted(ALL.values(), key=lambda trace: -trace.longest) if trace.trace_id not in FAILING]


@dataclass
class Jaeger:
    """Returns the latest traces that match. `breaks`: the number of the search that breaks off halfway."""

    count: int = COUNT
    breaks: int | None = None
    error: SourceError = field(default_factory=lambda: Rejected("cut", GapReason.INVALID_RESPONSE))
    broken: SourceError | None = None
    asked: list[str] = field(default_factory=list)

    async def search(self, limit: int, *, least_microseconds: int | None = None, window: Window | None = None) -> list[Trace]:
        self.asked.append(
            "latest" if window is None and least_microseconds is None else "slowest" if window is None else "sample"
        )
        begin, end = (window or WINDOW).start.timestamp(), (window or WINDOW).end.timestamp()
        found = [
            trace
            for number, trace in ALL.items()
            if number < self.count and begin <= trace.start <= end and trace.longest >= (least_microseconds or 0)
        ]
        return self._answer(found[::-1][:limit])

    async def failing(self, limit: int) -> list[Trace]:
        self.asked.append("failing")
        return self._answer([trace for trace in ALL.values() if trace.trace_id in FAILING][::-1][:limit])

    def _answer(self, traces: list[Trace]) -> list[Trace]:
        assert self.broken is None, "nothing more is asked where an answer broke off"
        if len(self.asked) - 1 != self.breaks:
            return traces
        self.broken = self.error
        return traces[: len(traces) // 2]


@pytest.mark.parametrize(("count", "reached"), [(0, False), (39, False), (40, False), (41, True)])
async def test_the_limit_is_reached_with_one_more(count: int, reached: bool) -> None:
    """If no more traces than the limit exist, all are kept, and nothing else is asked."""
    jaeger = Jaeger(count)
    selection = await select(jaeger, 40, WINDOW)
    assert (selection.limit_reached, len(selection.traces)) == (reached, min(count, 40))
    assert reached or (jaeger.asked, selection.kept) == (["latest"], {"all": count})


async def test_each_kind_of_trace_has_its_share() -> None:
    """Every failing one, half of the rest the slowest, and a sample from all of the window; each once."""
    selection = await select(Jaeger(), 40, WINDOW)
    assert len(selection.traces) == 40 == sum(selection.kept.values())
    assert selection.kept == {"failing": len(FAILING), "slowest": 17, "sample": 17}
    assert set(selection.traces) >= FAILING.union(SLOWEST[:17])
    sampled = list(selection.traces.values())[-17:]
    width = WINDOW.seconds / MAX_SLICES
    slices = [int((trace.start - WINDOW.start.timestamp()) // width) for trace in sampled]
    assert slices == sorted(slices)
    assert set(slices) == set(range(MAX_SLICES))
    assert max(slices.count(number) for number in slices) == 2


@pytest.mark.parametrize("count", [41, 60, 150])
async def test_traces_of_a_part_of_the_window_fill_the_limit(count: int) -> None:
    """Slices without traces leave their share to the latest ones."""
    selection = await select(Jaeger(count), 40, WINDOW)
    assert len(selection.traces) == 40 == sum(selection.kept.values())


@pytest.mark.parametrize("limit", [1, 2, 6, 7, 8, 9])
async def test_a_small_limit_is_kept(limit: int) -> None:
    """Failing traces first."""
    selection = await select(Jaeger(), limit, WINDOW)
    assert len(selection.traces) == limit
    assert selection.kept["failing"] == min(limit, len(FAILING))


@pytest.mark.parametrize("breaks", range(16))
async def test_nothing_more_is_asked_where_an_answer_breaks_off(breaks: int) -> None:
    """What came before it is kept."""
    jaeger = Jaeger(breaks=breaks)
    selection = await select(jaeger, 40, WINDOW)
    assert len(jaeger.asked) <= breaks + 1
    assert 0 < len(selection.traces) <= 40
    if breaks == 0:
        assert selection.kept == {"latest": 20}
    else:
        assert selection.kept["failing"] == (3 if breaks == 1 else len(FAILING))


async def test_failing_traces_are_asked_for_where_the_first_answer_is_too_large() -> None:
    """A smaller answer may succeed. The error of the first one is kept."""
    jaeger = Jaeger(breaks=0, error=TOO_LARGE)
    selection = await select(jaeger, 40, WINDOW)
    assert jaeger.asked == ["latest", "failing"]
    assert selection.kept == {"failing": len(FAILING), "latest": 20}
    assert jaeger.broken is TOO_LARGE
