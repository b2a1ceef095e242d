"""The leader's periodic work. A pass that fails is logged, and followed by the next."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.handlers.jobs import Jobs
from aletheia_operator.handlers.leadership import Leadership
from aletheia_operator.handlers.supervisor import Supervisor
from aletheia_operator.handlers.sweeper import Sweeper
from aletheia_operator.memory import give_back
from aletheia_operator.metrics import SWEEPS

LOOK_INTERVAL_SECONDS = 30
LEASES_INTERVAL_SECONDS = 300
MAX_POSTPONED_SWEEPS = 4
"""Passes of retention in a row left out while captures wait: with thousands of sessions, a pass takes time from them."""

log = logging.getLogger(__name__)


async def sweep(sweeper: Sweeper, interval_seconds: float, leadership: Leadership, slots: FairSlots) -> None:
    """Apply retention. While captures wait for `slots`, it is postponed for a while, unless a cap is exceeded."""
    postponed = 0
    while True:
        await asyncio.sleep(interval_seconds)
        swept = False
        try:
            if slots.waiting() and postponed < MAX_POSTPONED_SWEEPS and not await sweeper.exceeds_caps():
                postponed += 1
                continue
            postponed = 0
            with leadership.changing_the_volume():
                await sweeper.sweep()
            swept = True
        except SourceError as e:
            log.warning("no session is swept: Investigations cannot be listed: %s", e.message)
        except OSError as e:
            log.warning("no session is swept: %s", e)
        except Exception:
            log.exception("a sweep failed")
        SWEEPS.labels("done" if swept else "failed").inc()


def of_captures(supervisor: Supervisor, namespaces: tuple[str, ...]) -> tuple[Coroutine[Any, Any, None], ...]:
    """Return the work for captures: none of it waits for the rest."""
    return resync(supervisor, namespaces), beat(supervisor), give_back_memory()


async def beat(supervisor: Supervisor) -> None:
    """Write the heartbeats of captures."""
    while True:
        await asyncio.sleep(LOOK_INTERVAL_SECONDS)
        try:
            await supervisor.beat()
        except Exception:  # others would take the captures over
            log.exception("saying that captures go on failed")


async def resync(supervisor: Supervisor, namespaces: tuple[str, ...]) -> None:
    """Look for Investigations that the watch missed, and write statuses that were not written."""
    while True:
        await asyncio.sleep(LOOK_INTERVAL_SECONDS)
        try:
            await supervisor.write_again()
            await supervisor.look_for_unnoticed(namespaces)
        except SourceError as e:
            log.warning("Investigations cannot be listed: %s", e.message)
        except Exception:  # the probe depends on this loop
            log.exception("looking for overlooked Investigations failed")


async def remove_old_leases(jobs: Jobs, now: Callable[[], datetime]) -> None:
    """Remove Leases of captures that have ended."""
    while True:
        await asyncio.sleep(LEASES_INTERVAL_SECONDS)
        try:
            await jobs.remove_old_leases(now())
        except SourceError as e:
            log.warning("Leases of captures that have ended are not removed: %s", e.message)
        except Exception:
            log.exception("removing old Leases failed")


async def give_back_memory() -> None:
    """Give memory back that captures have freed: the C library keeps it, for example of TLS connections."""
    while True:
        await asyncio.sleep(LOOK_INTERVAL_SECONDS)
        await asyncio.to_thread(give_back)
