"""Threads for sources: a share for each key, calls that stop promptly, and results that nobody waits for."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from aletheia_operator.clients.threads import SHARED_THREADS, THREADS_PER_KEY, Call, SourceThreads, Stopped
from tests.unit.fakes import LONGEST_TEST_SECONDS

PATIENCE_SECONDS = 600  # of threads, which `gate` ends; longer than a test waits for a hang


@contextmanager
def gate() -> Iterator[threading.Event]:
    """An event that is set when the test ends, so that no thread stays."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


def double(number: int, call: Call) -> int:
    return 2 * number


async def test_results_and_errors_come_back() -> None:
    """They are returned in the order of the callers."""
    threads = SourceThreads()
    calls = (threads.run("a", partial(double, number)) for number in range(50))
    assert await asyncio.gather(*calls) == [2 * number for number in range(50)]

    def fail(call: Call) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await threads.run("a", fail)


async def test_a_key_has_no_more_than_its_share() -> None:
    """Its other calls wait. Each that ends lets the next one start, in order."""
    threads = SourceThreads()
    running: list[int] = []
    some, going = threading.Semaphore(0), threading.Semaphore(0)

    def work(number: int, call: Call) -> None:
        running.append(number)
        some.release()
        going.acquire(timeout=PATIENCE_SECONDS)

    tasks = [asyncio.create_task(threads.run("slow", partial(work, number))) for number in range(12)]
    for _ in range(THREADS_PER_KEY):
        assert await asyncio.to_thread(some.acquire, timeout=LONGEST_TEST_SECONDS)
    assert sorted(running) == list(range(THREADS_PER_KEY))
    for number in range(THREADS_PER_KEY, 12):
        going.release()
        assert await asyncio.to_thread(some.acquire, timeout=LONGEST_TEST_SECONDS)
        assert running[THREADS_PER_KEY:] == list(range(THREADS_PER_KEY, number + 1))
    for _ in range(THREADS_PER_KEY):
        going.release()
    await asyncio.gather(*tasks)


async def test_a_key_without_threads_starts_at_once() -> None:
    """It does not matter how many calls of other keys hang or wait."""
    threads = SourceThreads()
    with gate() as opened:
        hanging = [
            asyncio.create_task(threads.run(f"slow {key}", lambda _: opened.wait(PATIENCE_SECONDS)))
            for key in range(SHARED_THREADS)
            for _ in range(72)
        ]
        await asyncio.sleep(0)
        began = time.monotonic()
        assert await threads.run("quick", lambda _: 7) == 7
        assert time.monotonic() - began < LONGEST_TEST_SECONDS
        for task in hanging:
            task.cancel()
        opened.set()
        await asyncio.gather(*hanging, return_exceptions=True)
    assert await threads.run("slow 0", lambda _: 8) == 8


async def test_a_cancelled_call_is_stopped_and_waited_for() -> None:
    """Its stop actions run at once, and the task ends with its thread. Calls that wait in the queue never start."""
    threads = SourceThreads()
    started, stopped, ended = threading.Event(), threading.Event(), threading.Event()

    def work(call: Call) -> None:
        with call.on_stop(stopped.set):
            started.set()
            stopped.wait(PATIENCE_SECONDS)
        try:
            call.check()
        except Stopped:
            ended.set()
            raise

    tasks = [asyncio.create_task(threads.run("a", work)) for _ in range(1)]
    late: list[int] = []

    def wait(call: Call) -> None:
        stopped.wait(PATIENCE_SECONDS)

    tasks += [asyncio.create_task(threads.run("a", wait)) for _ in range(THREADS_PER_KEY)]
    tasks.append(asyncio.create_task(threads.run("a", lambda _: late.append(1))))
    assert await asyncio.to_thread(started.wait, LONGEST_TEST_SECONDS)
    tasks[-1].cancel()
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert ended.is_set()
    assert isinstance(results[0], asyncio.CancelledError) and isinstance(results[-1], asyncio.CancelledError)
    assert late == []
    for thread in threading.enumerate():
        if thread.name == "source":
            thread.join(LONGEST_TEST_SECONDS)
    assert threads._running == {} and threads._waiting == {}


async def test_a_thread_that_does_not_stop_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled task waits for it only a moment. The thread keeps its slot until it ends."""
    monkeypatch.setattr("aletheia_operator.clients.threads.LINGER_SECONDS", 0.05)
    threads = SourceThreads()
    with gate() as opened:
        started = threading.Event()

        def work(call: Call) -> None:
            started.set()
            opened.wait(PATIENCE_SECONDS)

        task = asyncio.create_task(threads.run("a", work))
        assert await asyncio.to_thread(started.wait, LONGEST_TEST_SECONDS)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < LONGEST_TEST_SECONDS
        assert threads._running == {"a": 1}


def test_a_stopped_call_does_not_calculate() -> None:
    """It takes no new stop actions either."""
    call = Call()
    call.stop()
    with pytest.raises(Stopped), call.computing():
        pass
    with pytest.raises(Stopped), call.on_stop(lambda: None):
        pass
