"""Decides where one capture runs, in this process or in a Job, and waits for a slot there."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.fair_slots import FairSlots, Release
from aletheia_operator.clients.lease import Lease
from aletheia_operator.handlers.job_objects import is_large
from aletheia_operator.handlers.jobs import Jobs
from aletheia_operator.handlers.leadership import exit_at_once
from aletheia_operator.handlers.queueing import SlotRequest
from aletheia_operator.handlers.status_writer import StatusWriter
from aletheia_operator.handlers.trust import CreatorCheck
from aletheia_operator.investigate import Order, Snapshot
from aletheia_operator.settings import Runner

UNCLAIMED_SECONDS = 60.0
"""Longest time that the slot of an earlier process' Job is kept for its Investigation, until the watch shows that."""

log = logging.getLogger(__name__)


class GoesOnInJob(Exception):
    """The plan of a capture is large, so it stops here, and a Job resumes it."""


@dataclass(frozen=True)
class JobRunner:
    """What captures share in the modes `job` and `auto`."""

    settings: Runner
    jobs: Jobs
    job_slots: FairSlots
    inline_slots: FairSlots
    lease: Callable[[str], Lease]
    """Makes this process' side of the Lease of an Investigation, by its uid. The process that works on a session holds it."""
    end: Callable[[], NoReturn] = exit_at_once
    """Ends the process, if a capture does not stop in time after it has lost its Lease."""
    reserved: dict[str, Release] = field(init=False, default_factory=dict)
    """Releases the slots of Jobs that an earlier process started, by the Investigation's uid."""

    @property
    def first_slots(self) -> FairSlots:
        """Slots that Investigations wait for first."""
        return self.job_slots if self.settings.mode == "job" else self.inline_slots

    async def reserve(self) -> None:
        """Take the slots of Jobs that an earlier process started, before others take them: more Jobs would run than may."""
        try:
            owners = await self.jobs.unfinished()
        except SourceError as e:
            log.warning("Jobs of an earlier process cannot be listed: %s", e.message)
            return
        self.reserved.update((owner.uid, self.job_slots.occupy(owner.namespace)) for owner in owners)
        asyncio.get_running_loop().call_later(UNCLAIMED_SECONDS, self.release_unclaimed)

    def release_unclaimed(self) -> None:
        """Release the slots that no Investigation has claimed: theirs is gone, or has ended."""
        while self.reserved:
            _, release = self.reserved.popitem()
            release()


@dataclass
class Placement:
    """The place of one capture: this process, or a Job.

    `suspended`: whether it may not begin yet. `interrupted`, `arrived`, `why_urgent` and `creator_check`: see `SlotRequest`.
    """

    order: Order
    suspended: asyncio.Event
    interrupted: asyncio.Event
    slots: FairSlots
    """Slots of this process, if there is no `runner`."""
    runner: JobRunner | None
    arrived: Callable[[], None]
    why_urgent: Callable[[], Coroutine[Any, Any, str | None]]
    creator_check: CreatorCheck

    def __post_init__(self) -> None:
        self.in_job = self.runner is not None and self.runner.settings.mode == "job"
        """Whether it runs in a Job. Set it to False if the Job did not finish it."""
        self._may_move = self.runner is not None and self.runner.settings.mode == "auto"

    def move_to_job(self) -> None:
        """Let it run in a Job from now on. That happens once: what a Job did not finish goes on in this process."""
        self.in_job, self._may_move = True, False

    def require_small_plan(self, snapshot: Snapshot) -> None:
        """Raise GoesOnInJob if the plan of a capture in this process is large, and it may go on in a Job."""
        if self.runner is None or not self._may_move:
            return
        settings = self.runner.settings
        if is_large(self.order.spec, snapshot.total, settings.auto_questions, settings.auto_bytes):
            raise GoesOnInJob

    async def find_job(self) -> None:
        """Look for the Job of a capture that an earlier process has begun."""
        if self.runner is None or not self._may_move:
            return
        uid = self.order.owner.uid
        if uid in self.runner.reserved or await self.runner.jobs.exists(uid):
            self.move_to_job()

    async def wait(self, writer: StatusWriter) -> Release | None:
        """Wait for a slot. Returns the function that releases it; None if the Investigation is suspended meanwhile.

        The capture of a Job that runs already has its slot.
        """
        if self.runner is not None and self.in_job:
            reserved = self.runner.reserved.pop(self.order.owner.uid, None)
            if reserved is not None:
                self.arrived()
                return reserved
        while True:
            request = SlotRequest(
                slots=self._current_slots,
                namespace=self.order.owner.namespace,
                writer=writer,
                cancelled=self.order.cancelled,
                interrupted=self.interrupted,
                arrived=self.arrived,
                why_urgent=self.why_urgent,
                creator_check=self.creator_check,
                leave=partial(self._leave, self.runner) if self.runner is not None and self._may_move else None,
            )
            release = await request.wait()
            if release is not None or self.suspended.is_set() or not self._may_move:
                return release
            self.move_to_job()

    @property
    def _current_slots(self) -> FairSlots:
        if self.runner is None:
            return self.slots
        return self.runner.job_slots if self.in_job else self.runner.inline_slots

    async def _leave(self, runner: JobRunner) -> None:
        """Wait until a Job may start after a long wait in the queue."""
        while True:
            await asyncio.sleep(runner.settings.auto_wait_seconds)
            if not runner.job_slots.full(self.order.owner.namespace):
                return
