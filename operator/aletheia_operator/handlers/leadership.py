"""Lets one of several operators lead: the one that holds the Lease captures and applies retention, the others are on standby.

kopf serves no /healthz during its startup, which waits for the Lease. So a server of this module answers a standby's probes.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import NoReturn

from aiohttp import web

from aletheia_operator.clients.lease import Lease
from aletheia_operator.text.flag_values import address

log = logging.getLogger(__name__)


def exit_at_once() -> NoReturn:
    """End the process without waiting for its threads: they must not write any more."""
    logging.shutdown()
    os._exit(1)


class Leadership:
    """Whether this process leads. `lease` None: there is no election, and it always leads. `listen`: HOST:PORT of /healthz."""

    def __init__(self, lease: Lease | None, listen: str, end: Callable[[], object] = exit_at_once) -> None:
        self._lease = lease
        self._listen = listen
        self._end = end
        self._may_still_write = False

    @property
    def leads(self) -> bool:
        return self._lease is None or self._lease.is_held

    @property
    def leader(self) -> str:
        """The last known holder of the Lease; empty if there is none, or without election."""
        return "" if self._lease is None else self._lease.leader

    async def win(self) -> None:
        """Wait until this process leads. Meanwhile /healthz shows who leads.

        Raises Rejected without a right to the Lease, and OSError or ValueError if the address of /healthz cannot be used.
        """
        if self._lease is None:
            return
        async with self._on_standby():
            log.info("waiting for Lease %s as %s", self._lease.name, self._lease.holder)
            await self._lease.acquire()
        log.info("%s leads: it holds Lease %s", self._lease.holder, self._lease.name)

    async def keep(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Renew the Lease while this process leads. If it is lost, end the process.

        `stop` stops captures so that the next leader can resume them. It gets half of the time until another process may lead.
        """
        if self._lease is None:
            return
        try:
            seconds = await self._lease.keep()
        except Exception:
            log.exception("renewing Lease %s failed", self._lease.name)
            seconds = 0.0
        log.error("Lease %s is lost: this process ends, and the next leader resumes its captures", self._lease.name)
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds / 2):
                    await stop()
        self._end()

    async def resign(self) -> None:
        """Release the Lease at the end of the process, unless a thread may still write: then it expires."""
        if self._lease is not None and not self._may_still_write:
            await self._lease.release()

    @contextmanager
    def changing_the_volume(self) -> Iterator[None]:
        """Mark work on the volume: if it is cancelled, its threads go on for a while."""
        try:
            yield
        except asyncio.CancelledError:
            self._may_still_write = True
            raise

    @asynccontextmanager
    async def _on_standby(self) -> AsyncIterator[None]:
        """Serve /healthz within the context."""

        async def answer(_: web.Request) -> web.Response:
            return web.json_response({"leads": False, "leader": self.leader})

        application = web.Application()
        application.add_routes([web.get("/healthz", answer)])
        runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, *address(self._listen)).start()
            yield
        finally:
            await runner.cleanup()
