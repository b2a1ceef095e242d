"""Lets one process at a time work on a session, by a Lease in the operator's namespace.

The lock on the session's directory keeps two processes of one node apart. The Lease also does so if a node is cut off and comes
back: its process has ended before another may hold the Lease (`clients/lease.py`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from aletheia_operator.clients.lease import Lease

PREFIX = "capture-"
"""Of the names of Leases and Jobs of captures. The rest is the Investigation's uid."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class FenceLost(Exception):
    """The Lease was lost, and the work stopped in time. The message is the Lease's name."""


def fence_name(uid: str) -> str:
    """Return the name of the Lease, and of the Job, for an Investigation with this uid."""
    return f"{PREFIX}{uid}"


async def fenced(
    lease: Lease, work: Callable[[], Awaitable[T]], end: Callable[[], object], lost: Callable[[], None] = lambda: None
) -> T:
    """Wait for the Lease, and do `work` while this process holds it.

    If the Lease is lost, `lost` is called, the work is cancelled, and FenceLost raised. The work has half of the time until
    another process may hold the Lease; then `end` must end this process. If this is cancelled, the Lease is renewed until the
    work has stopped. Raises Rejected without a right to the Lease.
    """
    await lease.acquire()
    working, keeping = asyncio.ensure_future(work()), asyncio.create_task(lease.keep())
    try:
        await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        log.error("Lease %s is lost: the capture stops here", lease.name)
        lost()
        raise FenceLost(lease.name)
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await _stopped(working, keeping, end)
        keeping.cancel()
        if working.done():
            await asyncio.gather(working, keeping, return_exceptions=True)
            await lease.release()


async def _stopped(working: asyncio.Future[Any], keeping: asyncio.Future[float], end: Callable[[], object]) -> None:
    """Wait until the work has stopped. Meanwhile the Lease is renewed: its threads may still write."""
    if not working.done():
        await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        seconds = 0.0 if keeping.exception() else keeping.result()
        await asyncio.wait({working}, timeout=seconds / 2)
    if not working.done():
        end()
        await asyncio.wait({working})
