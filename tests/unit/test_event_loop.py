"""The watch over the event loop."""

import asyncio
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aletheia_operator.handlers.event_loop import LONG_SECONDS, Loop, LoopWatch, Pause
from tests.unit.fakes import LONGEST_TEST_SECONDS


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.blocks_the_loop
async def test_work_on_the_loop_is_a_pause_with_its_place() -> None:
    """The report has its length, the loop's own processor time and the function that ran."""
    pauses: list[Pause] = []
    reported = asyncio.Event()
    loop = asyncio.get_running_loop()

    def report(pause: Pause) -> None:
        pauses.append(pause)
        loop.call_soon_threadsafe(reported.set)

    watch = LoopWatch(report).start()
    try:
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            while watch.longest is None:  # noqa: ASYNC110 (until the watch has begun)
                await asyncio.sleep(0)
            compute(4 * LONG_SECONDS)
            while not any(pause.own_seconds >= LONG_SECONDS for pause in pauses):  # a slow machine makes others, too
                reported.clear()
                await reported.wait()
    finally:
        watch.stop()
    assert "compute" in max(pauses, key=lambda pause: pause.own_seconds).place
    assert watch.longest is not None
    assert watch.longest.seconds >= max(pause.seconds for pause in pauses)


async def test_waiting_is_no_work_of_the_loops_own() -> None:
    """Work of another thread does not count as the loop's own time, so a slow machine is distinguished from a fault."""
    pauses: list[Pause] = []
    watch = LoopWatch(pauses.append).start()
    try:
        await asyncio.to_thread(compute, 3 * LONG_SECONDS)
    finally:
        watch.stop()
    assert all(pause.own_seconds < LONG_SECONDS for pause in pauses)


async def test_many_pauses_are_few_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A loop that pauses again and again does not flood the log."""
    watch = LoopWatch()
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            watch._log(Pause(1.0, 1.0, "here"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "at here" in caplog.text
    watch.stop()
    assert "99 times" in caplog.text


def test_names_are_looked_up_in_threads_of_the_default_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer holds up no other lookup: libuv would do only two at a time."""
    release, all_wait = threading.Event(), threading.Barrier(5)

    def getaddrinfo(host: str, *_: object) -> list[object]:
        if host == "hangs":
            all_wait.wait(LONGEST_TEST_SECONDS)
            release.wait(LONGEST_TEST_SECONDS)
        return [host]

    async def look_up() -> None:
        loop = asyncio.get_running_loop()
        hanging: list[asyncio.Task[Any]] = [loop.create_task(loop.getaddrinfo("hangs", 443)) for _ in range(4)]
        await asyncio.to_thread(all_wait.wait, LONGEST_TEST_SECONDS)
        found: Any = await loop.getaddrinfo("answers", 443)
        assert found == ["answers"]
        release.set()
        assert await asyncio.gather(*hanging) == [["hangs"]] * 4

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.get_loop().set_default_executor(ThreadPoolExecutor(8))
        runner.run(look_up())
