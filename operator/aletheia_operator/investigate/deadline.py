"""The end of a capture: its timeout, or its cancellation by the user. What still runs then is interrupted, and says so."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing

INTERRUPTION_GRACE_SECONDS = 30  # to save what is in flight when the time is up


class Deadline:
    """Ends work at `end`, or when `cancelled` is set.

    `interruption` is the reason, None while there is none; that of an earlier process is given. `interrupted` is awaited
    with it before anything is stopped.
    """

    def __init__(
        self,
        end: datetime,
        timeout: str,
        cancelled: asyncio.Event,
        now: Callable[[], datetime],
        interrupted: Callable[[GapReason], Awaitable[None]],
        interruption: GapReason | None = None,
    ) -> None:
        self.interruption = interruption
        self._end = end
        self._timeout = timeout
        self._cancelled = cancelled
        self._now = now
        self._interrupted = interrupted

    async def run(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Do all the work at once. When the time is up, or the order is cancelled, cancel what still runs, and await it.

        Each piece of work may use a grace period to save what it has; then it is cancelled again.
        """
        if not work:
            return
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            watch = group.create_task(self._watch(tasks))
            await asyncio.wait(tasks)
            watch.cancel()

    async def _watch(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        if self.interruption is None:
            left = (self._end - self._now()).total_seconds()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self._cancelled.wait()
                reason = GapReason.CANCELLED
            except TimeoutError:
                reason = GapReason.TIMED_OUT
            await self._interrupted(reason)
            self.interruption = reason
        pending = set(tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=INTERRUPTION_GRACE_SECONDS)

    def missing(self, target: str) -> Missing:
        """The gap of what was not captured before the end."""
        if self.interruption is GapReason.CANCELLED:
            return Missing(target, GapReason.CANCELLED, "the Investigation was cancelled before this was captured")
        message = f"the Investigation's timeout of {self._timeout} ran out before this was captured"
        return Missing(target, GapReason.TIMED_OUT, message)
