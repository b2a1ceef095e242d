"""Writes a capture's journal. If that fails, the capture goes on: the journal only serves to resume after a crash.

A line is written at once, so that it survives the death of the process. Waits for the disk, by which it survives a crash of the
machine, are shared by the questions that end within GROUP_SECONDS. No file gets its name before its line has been waited for.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from aletheia_operator.investigate.gaps import gap_of, save_failed
from aletheia_operator.investigate.threads import in_thread, to_the_end
from aletheia_operator.session import Done, Session

log = logging.getLogger(__name__)

GROUP_SECONDS = 0.05
"""Longest wait of a question that is done for others that are being asked, so that one wait for the disk serves all."""
PLAN_SECONDS = 1.0
"""Time after which the plan is waited for, if no question that is done has synced it by then."""


@dataclass
class JournalWriter:
    """Writes the journal of one session, in threads that are always awaited."""

    session: Session
    saving: Executor
    _asked: int = field(init=False, default=0)  # questions that are being asked or recorded
    _waiting: list[Done] = field(init=False, default_factory=list)
    _all_wait: asyncio.Event = field(init=False, default_factory=asyncio.Event)  # whether no question is being asked
    _committing: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _counted: set[str] = field(init=False, default_factory=set)  # against which a death of the process counts now
    _forgives: bool = field(init=False, default=False)  # whether no death counts any more

    async def write(self, write: Callable[..., None], *arguments: object) -> None:
        """Call one of the session's `record_...` methods with the arguments. A failure to write is logged."""
        await in_thread(self.saving, self._write, write, *arguments)

    @asynccontextmanager
    async def syncing_soon(self) -> AsyncIterator[None]:
        """Sync what was written, at the latest PLAN_SECONDS after the context was entered, unless it is left earlier."""

        async def sync_later() -> None:
            await asyncio.sleep(PLAN_SECONDS)
            await self.write(self.session.sync_journal)

        async with _beside(sync_later()):
            yield

    @asynccontextmanager
    async def counted(self, key: str, stops: Callable[[], bool] = lambda: True) -> AsyncIterator[None]:
        """Let a death of the process count against `key`, a question or a step, from now on until it is recorded as done.

        `stops`: whether a cancellation means that the process stops in good order. Then nothing counts.
        """
        if self._forgives:
            yield
            return
        self._counted.add(key)
        try:
            await self.write(self.session.record_begun, key)
            yield
        except asyncio.CancelledError:
            if stops():
                await self._forgive([key])
            raise

    @asynccontextmanager
    async def forgiving(self, stopping: asyncio.Event) -> AsyncIterator[None]:
        """Count no death within the context after `stopping` is set: who asks a process to stop may kill it soon afterwards."""

        async def forgive() -> None:
            await stopping.wait()
            self._forgives = True
            await self._forgive([key for key in self._counted if key not in self.session.done])

        async with _beside(forgive()):
            yield

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Let other questions that are done wait for this one, for a moment, while it is asked and recorded."""
        self._asked += 1
        self._all_wait.clear()
        try:
            yield
        finally:
            self._asked -= 1
            self._wake_if_all_wait()

    async def record_done(self, done: Done) -> None:
        """Record a question as done, and give its files their names. An artifact that cannot be renamed becomes a gap."""
        await to_the_end(self._record(done))

    async def record_without_sync(self, done: Done) -> None:
        """Record what a crash of the machine may lose: it can be derived again."""
        await in_thread(self.saving, self._record_unsynced, done)

    async def record_plan(self, done: Done, plan: Callable[[], dict[str, Any]]) -> None:
        """Record the gaps of planning, then the plan. A sync of the plan syncs both. `plan` is called in a thread."""

        def record() -> None:
            self._record_unsynced(done)
            self._write(self.session.record_plan, plan())

        await in_thread(self.saving, record)

    async def _forgive(self, keys: Sequence[str]) -> None:
        counted = [key for key in keys if key in self._counted]
        self._counted.difference_update(counted)  # one that is forgiven twice could kill the process once more
        if counted:
            await self.write(self.session.record_stopped, *counted)

    def _record_unsynced(self, done: Done) -> None:
        self._write(partial(self.session.record, sync=False), done)
        self._publish([done])

    async def _record(self, done: Done) -> None:
        await in_thread(self.saving, self._write, partial(self.session.record, sync=False), done)
        self._waiting.append(done)
        self._wake_if_all_wait()
        async with self._committing:
            if all(other is not done for other in self._waiting):
                return  # together with another
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_wait.wait(), GROUP_SECONDS)
            batch, self._waiting = self._waiting, []
            try:
                await in_thread(self.saving, self._commit, batch)
            except BaseException:  # each of the others tries alone
                self._waiting += [other for other in batch if other is not done]
                raise

    def _wake_if_all_wait(self) -> None:
        if len(self._waiting) >= self._asked:
            self._all_wait.set()

    def _commit(self, batch: Sequence[Done]) -> None:
        self._write(self.session.sync_journal)
        self._publish(batch)

    def _publish(self, batch: Sequence[Done]) -> None:
        for done in batch:
            refused = self.session.publish(done)
            if refused:
                kept = tuple(artifact for artifact in done.artifacts if artifact.path not in refused)
                lost = [artifact for artifact in done.artifacts if artifact.path in refused]
                gaps = [gap_of(artifact.fetcher, save_failed(artifact.target, refused[artifact.path])) for artifact in lost]
                self._write(self.session.record, replace(done, artifacts=kept, gaps=(*done.gaps, *gaps)))

    def _write(self, write: Callable[..., None], *arguments: object) -> None:
        try:
            write(*arguments)
        except OSError as e:
            log.warning("the journal of session %s cannot be written: %s", self.session.manifest.session_id, e.strerror)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let `work` run in a task until the context is left."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
