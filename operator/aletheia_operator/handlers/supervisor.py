"""Runs each Investigation in its own task. Handlers return at once: during a long handler kopf would not see `cancel`.

Level-triggered: `observe` compares the current resource with what is done, so it may be called any number of times. `steps`
decides, `run` acts. Progress is stored in the session on disk, not in this process.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import ValidationError

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.marks import Mark, OtherMarks, is_left_here
from aletheia_operator.handlers.noticed import Noticed
from aletheia_operator.handlers.postponed import Postponed
from aletheia_operator.handlers.run import Body, Emit, InvestigationRun, Shared, mark_contested, postpone, suspend
from aletheia_operator.handlers.status_writer import StatusWriter, WriteResult
from aletheia_operator.handlers.steps import Known, Step, has_ended, next_step
from aletheia_operator.session import SessionLayout
from aletheia_operator.text.log_records import about, fields

log = logging.getLogger(__name__)

SETTLE_SECONDS = 5
LOST_SECONDS = 60  # this long after the end of a capture, the watch must have shown its last status


@dataclass
class _Ended:
    """An Investigation that ended here, until the watch has shown its last status."""

    namespace: str
    name: str
    since: datetime


@dataclass
class Supervisor:
    """All Investigations of this process."""

    shared: Shared
    unnoticed: tuple[str, ...] = field(init=False, default=())
    """Investigations that exist but were never observed, as of the last look."""

    def __post_init__(self) -> None:
        self._noticed = Noticed(self.shared.tools.kubernetes, self.shared.tools.now)
        self._ended: dict[str, _Ended | None] = {}  # None: the watch has shown it, or it was refused
        self._runs: dict[str, InvestigationRun] = {}
        self._unwritten: dict[str, StatusWriter] = {}
        self._tasks: dict[str, asyncio.Task[object]] = {}  # at most one for each uid
        self._latest: dict[str, Body] = {}  # latest body that was observed while its task ran
        self.others = OtherMarks()
        self._postponed = Postponed(self.shared.slots, self.shared.tools.kubernetes, self.shared.max_queued)

    def observe(self, body: Body) -> None:
        """Take the next step for the current resource."""
        with about(namespace=body["metadata"]["namespace"], name=body["metadata"]["name"]):
            self._observe(body["metadata"]["uid"], body)

    def _observe(self, uid: str, body: Body) -> None:
        if uid in self._ended and has_ended(body.get("status") or {}):
            self._ended[uid] = None
        self.others.follow(uid, body, self.shared.identity.known)
        known = Known(
            is_new=uid not in self._noticed,
            active=uid in self._runs,
            ended=uid in self._ended,
            contested=self.others.knows(uid),
            operator=self.shared.identity.known,
            other_is_gone=self.others.expired(uid) is not None,
        )
        self._noticed.add(body)
        step = next_step(body, known)
        if step is Step.STEER:
            self._runs[uid].steer(body)
        if step is Step.STEER or uid in self._tasks:
            self._latest[uid] = body
        elif step is not Step.NOTHING:
            self._take(step, body, uid)

    def _take(self, step: Step, body: Body, uid: str) -> None:
        writer = StatusWriter(self.shared.tools.kubernetes, body, self.shared.tools.now)
        if step is Step.ACKNOWLEDGE:
            self._start(uid, writer.acknowledge())
            return
        if step is Step.MARK_CONTESTED:
            self._start(uid, self._mark_contested(uid, body, writer))
            return
        try:
            arrived = partial(self._postponed.arrived, uid)  # made also if it is suspended: an invalid spec is reported at once
            run = InvestigationRun(body, self.shared, writer, self.others.expired(uid), arrived)
        except ValidationError as e:
            self._start(uid, self._refuse(body, writer, e))
            return
        owner = run.order.owner
        if step is Step.SUSPEND or run.order.cancelled.is_set():
            self._postponed.discard(uid)
        elif (body.get("status") or {}).get("phase") != "Running" and self._postponed.must_wait(owner):
            if self._postponed.add(owner):
                self._start(uid, postpone(run))
            return
        if step is Step.SUSPEND:
            self._start(uid, suspend(writer, self.shared.trust))
        else:
            self._runs[uid] = run
            self._start(uid, self._run(uid, body, run))

    def forget(self, uid: str) -> None:
        """Stop the capture of a resource that is gone."""
        self._noticed.discard(uid)
        self._ended.pop(uid, None)
        self._unwritten.pop(uid, None)
        self._latest.pop(uid, None)
        self._postponed.discard(uid)
        self.others.forget(uid)
        if (run := self._runs.pop(uid, None)) is not None:  # a task that never began does not run its last lines
            run.is_gone = True
        if uid in self._tasks:
            self._tasks[uid].cancel()

    async def settled(self, uid: str) -> None:
        """Wait, for a bounded time, until no task works on the resource any more."""
        if uid in self._tasks:
            await asyncio.wait([self._tasks[uid]], timeout=SETTLE_SECONDS)

    async def close(self) -> None:
        """Stop every capture, which the next process resumes, then the workers that parse logs."""
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.shared.tools.parsers.close()

    async def look_for_unnoticed(self, namespaces: tuple[str, ...]) -> None:
        """Compare existing with observed Investigations, to detect a stale watch. Raises SourceError."""
        self.unnoticed = await self._noticed.missed(namespaces)

    async def write_again(self) -> None:
        """Write the last statuses that could not be written, and those that the API server does not show."""
        self._take_up_postponed()
        for uid, writer in list(self._unwritten.items()):
            if uid not in self._tasks:
                self._start(uid, self._write_again(uid, writer))
        before = self.shared.tools.now() - timedelta(seconds=LOST_SECONDS)
        lost = [(uid, ended) for uid, ended in self._ended.items() if ended is not None and ended.since < before]
        for uid, ended in lost:
            if uid not in self._tasks:
                await self._look_again(uid, ended)

    async def beat(self) -> None:
        """Write the heartbeat of every capture, and take over captures of operators that are gone."""
        async with asyncio.TaskGroup() as group:
            for uid, run in list(self._runs.items()):
                group.create_task(self._beat(uid, run))
        for uid, namespace, name in self.others.to_take_over():
            if uid not in self._tasks:
                await self._take_over(uid, namespace, name)

    def _take_up_postponed(self) -> None:
        for owner in self._postponed.admit(self._tasks):
            self._start(owner.uid, self._postponed.read(owner, self._latest))  # observed when this task has ended

    async def _take_over(self, uid: str, namespace: str, name: str) -> None:
        """Read and observe an Investigation after its operator's heartbeat stopped: the watch may have missed one."""
        body = await _read(self.shared.tools.kubernetes, namespace, name)
        if body is not None and body["metadata"]["uid"] == uid:
            self.observe(body)
        elif body is not None:
            self.others.forget(uid)

    async def _beat(self, uid: str, run: InvestigationRun) -> None:
        if await run.writer.beat() or self._runs.get(uid) is not run:
            return
        log.error("Investigation %s was taken over by another operator, and is not captured here any more", uid)
        self._tasks[uid].cancel()

    async def _mark_contested(self, uid: str, body: Body, writer: StatusWriter) -> None:
        """Leave the Investigation to the operator that marked it, unless that one is gone and its session is on our volume."""
        if writer.mark is None:
            return
        was_known = self.others.knows(uid)
        self.others.remember(uid, body, writer.mark)
        if await asyncio.to_thread(_is_left_here, self.shared.tools.layout, uid, writer.mark.operator):
            self.others.expire(uid)
            self._latest.setdefault(uid, body)  # observed again when this task has ended
            return
        if not was_known:
            await mark_contested(body, writer, self.shared.emit)

    async def _look_again(self, uid: str, ended: _Ended) -> None:
        """Write the last status of an ended Investigation again if it is missing, from the session on disk."""
        body = await _read(self.shared.tools.kubernetes, ended.namespace, ended.name)
        if body is None or body["metadata"]["uid"] != uid or uid not in self._ended:
            return
        if not has_ended(body.get("status") or {}):
            log.warning("%s/%s: its last status is not there, and is written again", ended.namespace, ended.name)
            del self._ended[uid]
        self.observe(body)

    def _start(self, uid: str, work: Coroutine[Any, Any, object]) -> None:
        task = self._tasks[uid] = asyncio.create_task(work)
        task.add_done_callback(partial(self._stopped, uid))

    def _stopped(self, uid: str, task: asyncio.Task[object]) -> None:
        del self._tasks[uid]
        self._runs.pop(uid, None)
        latest = self._latest.pop(uid, None)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("Investigation %s failed", uid, exc_info=error)
        elif latest is not None:
            self.observe(latest)
        if uid not in self._runs:
            self._postponed.arrived(uid)
        self._take_up_postponed()

    async def _write_again(self, uid: str, writer: StatusWriter) -> None:
        if await writer.again() is not WriteResult.UNWRITTEN:
            self._unwritten.pop(uid, None)

    async def _run(self, uid: str, body: Body, run: InvestigationRun) -> None:
        if isinstance(written := await run.run(), Mark):
            await self._mark_contested(uid, body, run.writer)
        if written is None or isinstance(written, Mark):
            return
        self.others.forget(uid)
        self._latest.pop(uid, None)  # the last status covers it
        self._has_ended(uid, run.order.owner.namespace, run.order.owner.name, run.writer, written)

    def _has_ended(self, uid: str, namespace: str, name: str, writer: StatusWriter, written: WriteResult) -> None:
        if written is WriteResult.UNWRITTEN:
            self._unwritten[uid] = writer
        self._ended[uid] = None if written is WriteResult.REFUSED else _Ended(namespace, name, self.shared.tools.now())

    async def _refuse(self, body: Body, writer: StatusWriter, error: ValidationError) -> None:
        written, of = await _write_refusal(body, writer, _faults_of(error), self.shared.emit), body["metadata"]
        self._has_ended(of["uid"], of["namespace"], of["name"], writer, written)


async def _write_refusal(body: Body, writer: StatusWriter, message: str, emit: Emit) -> WriteResult:
    metadata, reason = body["metadata"], ConditionReason.INVALID_SPEC
    written = await writer.phase("Failed", reason, message)
    log.warning("%s/%s is refused: %s", metadata["namespace"], metadata["name"], message, extra=fields(reason=reason.value))
    emit(body, "Warning", reason.value, message)
    return written


def _is_left_here(layout: SessionLayout, uid: str, operator: str) -> bool:
    """Return what `is_left_here` does; False, with a warning, if the volume cannot be read."""
    try:
        return is_left_here(layout, uid, operator)
    except OSError as e:
        log.warning("cannot check whether Investigation %s was left on this volume: %s", uid, e)
        return False


async def _read(kubernetes: Kubernetes, namespace: str, name: str) -> Body | None:
    """Return the current Investigation; None, with a warning, if it cannot be read."""
    try:
        return await kubernetes.get(paths.investigation(namespace, name))
    except SourceError as e:
        log.warning("%s/%s cannot be read: %s", namespace, name, e.message)
        return None


def _faults_of(error: ValidationError) -> str:
    """Return all faults of a spec as text, each with its field."""
    faults = [
        f"{'.'.join(['spec', *map(str, fault['loc'])])}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]
    return "; ".join(faults)[:1000]
