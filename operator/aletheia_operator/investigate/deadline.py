"""Ends a capture at its timeout, or when the user cancels it. Work that still runs is interrupted, and becomes gaps."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing

INTERRUPTION_GRACE_SECONDS = 30  # to save work in progress when the time is up


@dataclass
class Deadline:
    """Ends work at `end`, or when `cancelled` is set. `timeout`: as the spec has it, for messages."""

    end: datetime
    timeout: str
    cancelled: asyncio.Event
    now: Callable[[], datetime]
    record: Callable[[GapReason], Awaitable[None]]
    """Records the reason of an early end. Awaited before any work is stopped."""
    interruption: GapReason | None = None
    """Reason of the early end; None before it. A resumed capture passes that of the earlier process."""

    def is_over(self) -> bool:
        return self.interruption is not None

    async def run(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Run all work concurrently. When the time is up, or the order is cancelled, cancel what still runs, and await it.

        Cancelled work has a grace period to save what it has; then it is cancelled again. Work that comes after the end is
        cancelled at its first wait: it asks no source while the end is recorded.
        """
        if not work:
            return
        try:
            await self._end_if_over()
        except BaseException:
            for coroutine in work:
                coroutine.close()
            raise
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in work]
            watch = group.create_task(self._watch(tasks))
            await asyncio.wait(tasks)
            watch.cancel()

    async def _watch(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        if self.interruption is None:
            left = (self.end - self.now()).total_seconds()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self.cancelled.wait()
                reason = GapReason.CANCELLED
            except TimeoutError:
                reason = GapReason.TIMED_OUT
            await self._interrupt(reason)
        pending = set(tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=INTERRUPTION_GRACE_SECONDS)

    async def _end_if_over(self) -> None:
        if self.interruption is not None:
            return
        if self.cancelled.is_set():
            await self._interrupt(GapReason.CANCELLED)
        elif self.now() >= self.end:
            await self._interrupt(GapReason.TIMED_OUT)

    async def _interrupt(self, reason: GapReason) -> None:
        await self.record(reason)
        self.interruption = reason

    def missing(self, target: str) -> Missing:
        """Return the gap for a target that was not captured before the end."""
        if self.interruption is GapReason.CANCELLED:
            return Missing(target, GapReason.CANCELLED, "the Investigation was cancelled before this was captured")
        message = f"the Investigation's timeout of {self.timeout} ran out before this was captured"
        return Missing(target, GapReason.TIMED_OUT, message)
