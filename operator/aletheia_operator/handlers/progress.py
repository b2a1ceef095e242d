"""Writes a capture's progress to the status: the latest snapshot, from time to time. Announces its start by an Event.

Progress is written at most once per PROGRESS_INTERVAL_SECONDS, and less often while many captures run: their ends come soon,
too. Then the start of a capture that ends within that interval is not announced either: the API server has enough to do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aletheia_operator.handlers.status_writer import PROGRESS_SECONDS, StatusWriter
from aletheia_operator.investigate import Snapshot

PROGRESS_INTERVAL_SECONDS = 1.0
CALM_CAPTURES = 8
"""From this number of captures on, the interval grows with their number."""


def interval_seconds(running: int) -> float:
    """Return the interval between two writes of one capture while so many run."""
    return PROGRESS_INTERVAL_SECONDS * max(1.0, running / CALM_CAPTURES)


@contextmanager
def announcing(announce: Callable[[], None], running: int) -> Iterator[None]:
    """Call `announce` when a capture begins; while many run, only if it has not ended within the interval."""
    if running <= CALM_CAPTURES:
        announce()
        yield
        return
    waiting = asyncio.get_running_loop().call_later(interval_seconds(running), announce)
    try:
        yield
    finally:
        waiting.cancel()


@asynccontextmanager
async def following(writer: StatusWriter, running: Callable[[], int]) -> AsyncIterator[Callable[[Snapshot], None]]:
    """Yield a function that takes snapshots, of which `writer` writes the latest. `running`: number of captures that run."""
    latest: list[Snapshot] = []
    changed, over = asyncio.Event(), asyncio.Event()

    def report(snapshot: Snapshot) -> None:
        latest[:] = [snapshot]
        changed.set()

    async def follow() -> None:
        while True:
            await changed.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), interval_seconds(running()))
            if over.is_set():  # a capture that ends within the interval needs no status in between
                return
            changed.clear()
            if latest:
                await writer.snapshot(latest.pop(), PROGRESS_SECONDS)

    task = asyncio.create_task(follow())
    try:
        yield report
        over.set()
        changed.set()
        await task  # a write that has begun must not overtake the final one
    finally:
        task.cancel()
