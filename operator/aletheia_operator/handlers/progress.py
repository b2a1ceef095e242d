"""Writes a capture's progress to the status: the latest snapshot, at most once per PROGRESS_INTERVAL_SECONDS."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aletheia_operator.handlers.status_writer import PROGRESS_SECONDS, StatusWriter
from aletheia_operator.investigate import Snapshot

PROGRESS_INTERVAL_SECONDS = 1.0


@asynccontextmanager
async def following(writer: StatusWriter) -> AsyncIterator[Callable[[Snapshot], None]]:
    """Yield a function that takes snapshots. `writer` writes the latest, at most once per PROGRESS_INTERVAL_SECONDS."""
    latest: list[Snapshot] = []
    changed, over = asyncio.Event(), asyncio.Event()

    def report(snapshot: Snapshot) -> None:
        latest[:] = [snapshot]
        changed.set()

    async def follow() -> None:
        while not over.is_set():
            await changed.wait()
            changed.clear()
            if latest and not over.is_set():
                await writer.snapshot(latest.pop(), PROGRESS_SECONDS)
            try:
                await asyncio.wait_for(over.wait(), PROGRESS_INTERVAL_SECONDS)
            except TimeoutError:
                continue

    task = asyncio.create_task(follow())
    try:
        yield report
        over.set()
        changed.set()
        await task  # a write that has begun must not overtake the final one
    finally:
        task.cancel()
