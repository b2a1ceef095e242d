"""The end of a capture: what is stopped, when, in which order, and what is recorded."""

import asyncio
from datetime import timedelta

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.investigate import deadline as module
from aletheia_operator.investigate.deadline import Deadline
from tests.unit.fakes import LONGEST_TEST_SECONDS, NOW, Clock, forever


class RecordedDeadline:
    """A deadline, and what happens, in order."""

    def __init__(self, left_seconds: float = 60, interruption: GapReason | None = None) -> None:
        self.happened: list[str] = []
        self.cancelled = asyncio.Event()
        end = NOW + timedelta(seconds=left_seconds)
        self.deadline = Deadline(end, "60s", self.cancelled, Clock(), self.note, interruption)

    async def note(self, reason: GapReason) -> None:
        assert self.deadline.interruption is None
        await asyncio.sleep(0)
        self.happened.append(reason.value)

    async def work(self, name: str, ignored: int = 0) -> None:
        while True:
            try:
                await forever()
            except asyncio.CancelledError:
                self.happened.append(name)
                if not ignored:
                    raise
                ignored -= 1

    async def done(self) -> None:
        self.happened.append("done")

    async def run(self, *work: object) -> None:
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            await self.deadline.run(list(work))  # type: ignore[arg-type]


async def test_work_that_ends_in_time_is_not_interrupted() -> None:
    """No reason is recorded, and a call without work returns."""
    calls = RecordedDeadline()
    await calls.run()
    await calls.run(calls.done(), calls.done())
    assert (calls.happened, calls.deadline.interruption) == (["done", "done"], None)


async def test_at_the_end_of_the_time_all_work_is_stopped() -> None:
    """After the reason was recorded."""
    calls = RecordedDeadline(0.01)
    await calls.run(calls.done(), calls.work("a"), calls.work("b"))
    assert (calls.happened[:2], sorted(calls.happened[2:])) == (["done", "TimedOut"], ["a", "b"])
    assert calls.deadline.interruption is GapReason.TIMED_OUT


@pytest.mark.parametrize("left_seconds", [0, -5])
async def test_work_that_comes_after_the_end_gets_nowhere(left_seconds: float) -> None:
    """The reason is recorded before the work begins, however long that takes. Work that waits for nothing is done."""
    calls = RecordedDeadline(left_seconds)
    await calls.run(calls.done(), calls.work("a"))
    assert calls.happened == ["TimedOut", "done", "a"]
    calls = RecordedDeadline()
    calls.cancelled.set()
    await calls.run(calls.done(), calls.work("a"))
    assert calls.happened == ["Cancelled", "done", "a"]


async def test_a_process_that_stops_while_the_end_is_recorded_begins_no_work() -> None:
    """The next process records it again."""
    calls = RecordedDeadline(0)
    running = asyncio.create_task(calls.run(calls.done(), calls.work("a")))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (calls.happened, calls.deadline.interruption) == ([], None)


async def test_a_cancellation_stops_all_work() -> None:
    """Whatever time is left."""
    calls = RecordedDeadline(10**6)
    asyncio.get_running_loop().call_soon(calls.cancelled.set)
    await calls.run(calls.work("a"))
    assert (calls.happened, calls.deadline.interruption) == (["Cancelled", "a"], GapReason.CANCELLED)
    calls.happened.clear()
    await calls.run(calls.work("b"))
    assert calls.happened == ["b"], "later work is stopped at once, and the reason is recorded once"


@pytest.mark.parametrize("reason", [GapReason.TIMED_OUT, GapReason.CANCELLED])
async def test_what_was_interrupted_before_a_restart_is_stopped_at_once(reason: GapReason) -> None:
    """For the same reason, which is recorded already."""
    calls = RecordedDeadline(10**6, reason)
    await calls.run(calls.work("a"))
    assert (calls.happened, calls.deadline.interruption) == (["a"], reason)


async def test_work_that_goes_on_is_stopped_again_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as it needs; what has ended is left alone."""
    monkeypatch.setattr(module, "INTERRUPTION_GRACE_SECONDS", 0.01)
    calls = RecordedDeadline(0)
    await calls.run(calls.work("a", ignored=2), calls.work("b"))
    assert sorted(calls.happened) == ["TimedOut", "a", "a", "a", "b"]


@pytest.mark.parametrize(
    ("interruption", "reason", "message"),
    [
        (GapReason.CANCELLED, GapReason.CANCELLED, "the Investigation was cancelled before this was captured"),
        (GapReason.TIMED_OUT, GapReason.TIMED_OUT, "the Investigation's timeout of 60s ran out before this was captured"),
    ],
)
async def test_the_gap_says_why(interruption: GapReason, reason: GapReason, message: str) -> None:
    """With the timeout that ran out."""
    missing = RecordedDeadline(interruption=interruption).deadline.missing("pod/a")
    assert (missing.target, missing.reason, missing.message, missing.severity) == ("pod/a", reason, message, "gap")
