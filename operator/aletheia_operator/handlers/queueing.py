"""Waits for a slot for one Investigation, and says in its status why it waits. It can be cancelled and suspended meanwhile."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.fair_slots import FairSlots, Release, Turn
from aletheia_operator.handlers.status_writer import PROGRESS_SECONDS, StatusWriter
from aletheia_operator.handlers.trust import CreatorCheck

LOOK_AFTER_SECONDS = 1.0
"""Wait after which an Investigation is looked at: those that get their slot earlier cost no request."""


@dataclass(frozen=True)
class SlotRequest:
    """The wait of one Investigation for its slot.

    `interrupted`: set if it is cancelled or suspended; `cancelled`: if it is cancelled. `arrived`: called when it has its place
    in the queue, or needs none. `why_urgent`: returns why it should not wait, or None. `creator_check`: if it is passed,
    the status says so, so that it is captured after an upgrade. `leave`: returns when it should wait here no longer; None: it
    waits until it has a slot.
    """

    slots: FairSlots
    namespace: str
    writer: StatusWriter
    cancelled: asyncio.Event
    interrupted: asyncio.Event
    arrived: Callable[[], None]
    why_urgent: Callable[[], Coroutine[Any, Any, str | None]]
    creator_check: CreatorCheck
    leave: Callable[[], Coroutine[Any, Any, object]] | None

    async def wait(self) -> Release | None:
        """Wait for a slot. Returns the function that releases it; None if the Investigation is suspended, or leaves."""
        if self.cancelled.is_set():
            return _nothing  # only the status has to be written: that needs no slot
        if not self.slots.full(self.namespace):
            self.arrived()
            return await self.slots.acquire(self.namespace)
        turn = self.slots.enter(self.namespace)
        try:
            self.arrived()
            await self._say(why_queued(self.slots, self.namespace))
            is_given = await self._is_given(turn)
        except BaseException:
            self.slots.leave(turn)
            raise
        if is_given:
            return self.slots.release_of(turn)
        self.slots.leave(turn)
        return _nothing if self.cancelled.is_set() else None

    async def _is_given(self, turn: Turn) -> bool:
        """Wait for the slot, or until the Investigation is interrupted or leaves. Returns whether it has the slot.

        Of thousands that wait, each has as few tasks as possible.
        """
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self.interrupted.wait())]
        if self.leave is not None:
            tasks.append(asyncio.create_task(self.leave()))
        ends: set[asyncio.Future[Any]] = {turn.given, *tasks}
        try:
            done, _ = await asyncio.wait(ends, timeout=LOOK_AFTER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not done and await self._hasten_if_urgent(turn, ends):
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return turn.given.done()
        finally:
            await _end(tasks)

    async def _hasten_if_urgent(self, turn: Turn, ends: Collection["asyncio.Future[Any]"]) -> bool:
        """Let an urgent Investigation go before others. Returns False if one of `ends` is done earlier."""
        looking = asyncio.create_task(self.why_urgent())
        try:
            done, _ = await asyncio.wait({*ends, looking}, return_when=asyncio.FIRST_COMPLETED)
            if done != {looking}:
                return False
            if (why := looking.result()) is not None and self.slots.hasten(turn):
                await self._say(f"goes before others of its namespace: {why}; {reason_to_wait(self.slots, self.namespace)}")
            return True
        finally:
            await _end([looking])

    async def _say(self, message: str) -> None:
        await self.writer.phase("Queued", ConditionReason.QUEUED, message, PROGRESS_SECONDS, await self.creator_check.note())


def why_queued(slots: FairSlots, namespace: str) -> str:
    """Return why the last Investigation of the namespace's queue waits, and its place there, for the status."""
    place = f"number {slots.waiting_of(namespace)} in the queue of its namespace when it came"
    return f"{place}: {reason_to_wait(slots, namespace)}"


def reason_to_wait(slots: FairSlots, namespace: str) -> str:
    """Return which limit keeps Investigations of the namespace waiting."""
    running = slots.taken()
    if running.get(namespace, 0) >= slots.limit_of_one:
        return f"{running[namespace]} Investigations of this namespace run, and no more of one namespace may run at once"
    return f"{sum(running.values())} Investigations run, and no more may run at once"


async def _end(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Cancel the tasks, and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _nothing() -> None:
    """Release nothing: no slot was taken."""
