"""Runs each Investigation in its own task. Handlers return at once: during a long handler kopf would not see `cancel`.

Level-triggered: `observe` compares the current resource with what is done, so it may be called any number of times. `steps`
decides, `run` acts. Progress is stored in the session on disk, not in this process.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
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
from aletheia_operator.handlers.run import Body, Run, Shared, stand_back
from aletheia_operator.handlers.status_writer import StatusWriter, Written
from aletheia_operator.handlers.steps import Known, Step, has_ended, next_step

log = logging.getLogger(__name__)

SETTLE_SECONDS = 5
UNNOTICED_SECONDS = 60  # an Investigation older than this must have been seen
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
        self._known: set[str] = set()
        self._ended: dict[str, _Ended | None] = {}  # None: the watch has shown it
        self._runs: dict[str, Run] = {}
        self._unwritten: dict[str, StatusWriter] = {}
        self._tasks: dict[str, asyncio.Task[object]] = {}  # at most one for each uid
        self._latest: dict[str, Body] = {}  # latest body that was observed while its task ran
        self.others = OtherMarks()

    def observe(self, body: Body) -> None:
        """Take the next step for the current resource."""
        uid = body["metadata"]["uid"]
        self._known.add(uid)
        if uid in self._ended and has_ended(body.get("status") or {}):
            self._ended[uid] = None
        self.others.follow(uid, body, self.shared.identity.known)
        known = Known(
            active=uid in self._runs,
            ended=uid in self._ended,
            stood_back=self.others.knows(uid),
            operator=self.shared.identity.known,
            other_is_gone=self.others.expired(uid) is not None,
        )
        step = next_step(body, known)
        if step is Step.STEER:
            self._runs[uid].steer(body)
            self._latest[uid] = body
        elif uid in self._tasks:
            self._latest[uid] = body
        elif step is not Step.NOTHING:
            self._take(step, body, uid)

    def _take(self, step: Step, body: Body, uid: str) -> None:
        writer = StatusWriter(self.shared.tools.kubernetes, body, self.shared.tools.now)
        if step is Step.ACKNOWLEDGE:
            self._start(uid, writer.acknowledge())
            return
        if step is Step.STAND_BACK:
            self._start(uid, self._stand_back(uid, body, writer))
            return
        try:
            run = Run(
                body, self.shared, writer, self.others.expired(uid)
            )  # also if it is suspended: an invalid spec is reported at once
        except ValidationError as e:
            self._start(uid, self._refuse(body, writer, e))
            return
        if step is Step.SUSPEND:
            self._start(uid, writer.phase("Pending", ConditionReason.SUSPENDED))
        else:
            self._runs[uid] = run
            self._start(uid, self._run(uid, body, run))

    def forget(self, uid: str) -> None:
        """Stop the capture of a resource that is gone."""
        self._known.discard(uid)
        self._ended.pop(uid, None)
        self._unwritten.pop(uid, None)
        self._latest.pop(uid, None)
        self.others.forget(uid)
        self._runs.pop(uid, None)  # a task that never began does not run its last lines
        if uid in self._tasks:
            self._tasks[uid].cancel()

    async def settled(self, uid: str) -> None:
        """Wait, for a bounded time, until no task works on the resource any more."""
        if uid in self._tasks:
            await asyncio.wait([self._tasks[uid]], timeout=SETTLE_SECONDS)

    async def close(self) -> None:
        """Stop every capture. The next process resumes them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_for_unnoticed(self, namespaces: tuple[str, ...]) -> None:
        """Compare existing with observed Investigations, to detect a stale watch. Raises SourceError."""
        before = self.shared.tools.now() - timedelta(seconds=UNNOTICED_SECONDS)
        older = [item async for item in _created_before(before, self.shared.tools.kubernetes, namespaces)]
        self.unnoticed = tuple(f"{item['namespace']}/{item['name']}" for item in older if item["uid"] not in self._known)

    async def write_again(self) -> None:
        """Write the last statuses that could not be written, and those that the API server does not show."""
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

    async def _take_over(self, uid: str, namespace: str, name: str) -> None:
        """Read and observe an Investigation after its operator's heartbeat stopped: the watch may have missed one."""
        try:
            body = await self.shared.tools.kubernetes.get(paths.investigation(namespace, name))
        except SourceError as e:
            log.warning("%s/%s cannot be taken over yet: %s", namespace, name, e.message)
            return
        if body["metadata"]["uid"] == uid:
            self.observe(body)
        else:
            self.others.forget(uid)

    async def _beat(self, uid: str, run: Run) -> None:
        if await run.writer.beat() or self._runs.get(uid) is not run:
            return
        log.error("Investigation %s was taken over by another operator, and is not captured here any more", uid)
        self._tasks[uid].cancel()

    async def _stand_back(self, uid: str, body: Body, writer: StatusWriter) -> None:
        """Leave the Investigation to the operator that marked it, unless that one is gone and its session is on our volume."""
        if writer.mark is None:
            return
        was_known = self.others.knows(uid)
        self.others.remember(uid, body, writer.mark)
        try:
            left_here = await asyncio.to_thread(is_left_here, self.shared.tools.layout, uid, writer.mark.operator)
        except OSError as e:
            log.warning("cannot check whether Investigation %s was left on this volume: %s", uid, e)
            left_here = False
        if left_here:
            self.others.expire(uid)
            self._latest.setdefault(uid, body)  # observed again when this task has ended
            return
        if not was_known:
            await stand_back(body, writer, self.shared.emit)

    async def _look_again(self, uid: str, ended: _Ended) -> None:
        """Write the last status of an ended Investigation again if it is missing, from the session on disk."""
        try:
            body = await self.shared.tools.kubernetes.get(paths.investigation(ended.namespace, ended.name))
        except SourceError as e:
            log.warning("%s/%s cannot be looked at: %s", ended.namespace, ended.name, e.message)
            return
        if body["metadata"]["uid"] != uid or uid not in self._ended:
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

    async def _write_again(self, uid: str, writer: StatusWriter) -> None:
        if await writer.again() is not Written.UNWRITTEN:
            self._unwritten.pop(uid, None)

    async def _run(self, uid: str, body: Body, run: Run) -> None:
        written = await run.run()
        if isinstance(written, Mark):
            await self._stand_back(uid, body, run.writer)
        if written is None or isinstance(written, Mark):
            return
        self.others.forget(uid)
        self._latest.pop(uid, None)  # the last status covers it
        self._has_ended(uid, run.order.owner.namespace, run.order.owner.name, run.writer, written)

    def _has_ended(self, uid: str, namespace: str, name: str, writer: StatusWriter, written: Written) -> None:
        if written is Written.UNWRITTEN:
            self._unwritten[uid] = writer
        shown = written is Written.REFUSED  # the watch will never show it
        self._ended[uid] = None if shown else _Ended(namespace, name, self.shared.tools.now())

    async def _refuse(self, body: Body, writer: StatusWriter, error: ValidationError) -> None:
        message = _faults_of(error)
        written = await writer.phase("Failed", ConditionReason.INVALID_SPEC, message)
        self.shared.emit(body, "Warning", ConditionReason.INVALID_SPEC.value, message)
        metadata = body["metadata"]
        self._has_ended(metadata["uid"], metadata["namespace"], metadata["name"], writer, written)


async def _created_before(moment: datetime, kubernetes: Kubernetes, namespaces: tuple[str, ...]) -> AsyncIterator[Any]:
    """Yield the metadata of Investigations that were created before `moment`. Raises SourceError."""
    for path in paths.investigations(namespaces):
        async for item in kubernetes.list(path, metadata_only=True):
            if datetime.fromisoformat(item["metadata"]["creationTimestamp"]) < moment:
                yield item["metadata"]


def _faults_of(error: ValidationError) -> str:
    """Return all faults of a spec as text, each with its field."""
    faults = [
        f"{'.'.join(['spec', *map(str, fault['loc'])])}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]
    return "; ".join(faults)[:1000]
