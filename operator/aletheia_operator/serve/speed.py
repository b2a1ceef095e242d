"""Limits the speed of all downloads together: captures run beside them, often on the same two cores."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from aletheia_operator.clients.pace import Rate

BYTES_PER_SECOND_PER_CORE = 25_000_000
"""A GB takes 1.1 s of processor time at full speed, and 2.4 s at this one: 6 % of two processors."""
BURST_SECONDS = 0.5
"""After a time without downloads the bytes of so many seconds are not delayed: enough for reports and other small files."""


class SpeedLimit:
    """Makes downloads wait, in turn, while they are faster than `bytes_per_second`. None: by the number of processors."""

    def __init__(
        self,
        bytes_per_second: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = Rate(bytes_per_second or BYTES_PER_SECOND_PER_CORE * (os.cpu_count() or 1), clock, BURST_SECONDS)
        self._sleep = sleep
        self._turn = asyncio.Lock()

    async def wait(self, size: int) -> None:
        """Wait until a block of this size may be sent."""
        async with self._turn:
            if seconds := self._rate.reserve("", size):
                await self._sleep(seconds)
