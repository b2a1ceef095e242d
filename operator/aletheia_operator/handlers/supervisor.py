"""Runs Investigations beside the handlers, which return at once: a long handler would keep kopf from seeing `cancel`.

Level-triggered: `observe` looks at a resource as it is and does what is missing, so it may be called any number of times.
The session on disk, not this process, remembers what was captured.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from aletheia_operator.api import InvestigationSpec, parse_duration, paths
from aletheia_operator.api.investigation import TERMINAL_PHASES
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import retry_delays
from aletheia_operator.handlers.status import StatusWriter, describe
from aletheia_operator.investigate import Order, Snapshot, Tools, investigate
from aletheia_operator.session import InvestigationReference, SessionBusy

log = logging.getLogger(__name__)

SETTLE_SECONDS = 5
UNNOTICED_SECONDS = 60  # an Investigation older than this must have been seen

Body = Mapping[str, Any]
Emit = Callable[[Body, str, str, str], None]  # body, type (Normal or Warning), reason, message


@dataclass
class Supervisor:
    """Every Investigation of this process. `emit` posts a Kubernetes Event."""

    tools: Tools
    emit: Emit
    max_investigations: int = 20
    unnoticed: tuple[str, ...] = field(init=False, default=())
    """Investigations that exist but were never observed, as of the last look."""

    def __post_init__(self) -> None:
        self._limit = asyncio.Semaphore(self.max_investigations)
        self._known: set[str] = set()
        self._ended: set[str] = set()
        self._running: dict[str, tuple[Order, StatusWriter]] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}  # with the resource's uid

    def observe(self, body: Body) -> None:
        """Do what a resource, as it is now, still wants."""
        metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        uid = metadata["uid"]
        self._known.add(uid)
        if uid in self._running:
            order, writer = self._running[uid]
            writer.generation = metadata["generation"]
            if spec.get("cancel"):
                order.cancelled.set()
            return
        writer = StatusWriter(self.tools.kubernetes, body, self.tools.now)
        if status.get("phase") in TERMINAL_PHASES or uid in self._ended:  # the body may be older than the end
            if status.get("observedGeneration") != metadata["generation"]:
                self._start(uid, writer.acknowledge())
            return
        if spec.get("suspend") and not spec.get("cancel"):
            self._start(uid, writer.phase("Pending", ConditionReason.SUSPENDED))
            return
        try:
            order = Order(
                owner=InvestigationReference(namespace=metadata["namespace"], name=metadata["name"], uid=uid),
                created=datetime.fromisoformat(metadata["creationTimestamp"]),
                spec=InvestigationSpec.from_json(spec),
            )
        except ValidationError as e:
            self._start(uid, self._refuse(body, writer, e))
            return
        if spec.get("cancel"):
            order.cancelled.set()
        self._running[uid] = order, writer
        self._start(uid, self._run(body, writer, order))

    def forget(self, uid: str) -> None:
        """The resource is gone: stop its capture."""
        self._known.discard(uid)
        self._ended.discard(uid)
        self._running.pop(uid, None)  # a task that never began does not come to its end
        for task, owner in self._tasks.items():
            if owner == uid:
                task.cancel()

    async def settled(self, uid: str) -> None:
        """Wait, for a bounded time, until nothing works on the resource any more."""
        if tasks := [task for task, owner in self._tasks.items() if owner == uid]:
            await asyncio.wait(tasks, timeout=SETTLE_SECONDS)

    async def close(self) -> None:
        """Stop every capture where it stands; the next process goes on."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_for_unnoticed(self, namespaces: tuple[str, ...]) -> None:
        """Compare what exists with what was observed: a watch that has gone deaf shows itself here."""
        before = self.tools.now() - timedelta(seconds=UNNOTICED_SECONDS)
        unnoticed = []
        for path in paths.investigations(namespaces):
            async for item in self.tools.kubernetes.list(path, metadata_only=True):
                metadata = item["metadata"]
                if metadata["uid"] not in self._known and datetime.fromisoformat(metadata["creationTimestamp"]) < before:
                    unnoticed.append(f"{metadata['namespace']}/{metadata['name']}")
        self.unnoticed = tuple(unnoticed)

    def _start(self, uid: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = uid
        task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        uid = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Investigation %s failed", uid, exc_info=error)

    async def _run(self, body: Body, writer: StatusWriter, order: Order) -> None:
        uid = order.owner.uid
        try:
            if self._limit.locked():
                await writer.phase("Queued", ConditionReason.QUEUED)
            await self._limit.acquire()
            with ExitStack() as place:
                place.callback(self._limit.release)
                if (body.get("status") or {}).get("phase") != "Running":
                    self.emit(body, "Normal", "Started", "capturing evidence")
                log.info("%s/%s: capturing evidence", order.owner.namespace, order.owner.name)
                async with writer.following() as follow:

                    def report(snapshot: Snapshot) -> None:
                        if snapshot.uploaded is not None:  # its place is another's, who may lose evidence by waiting
                            place.close()
                        follow(snapshot)

                    snapshot = await self._investigate(order, writer, report)
            if snapshot is not None:
                await writer.snapshot(snapshot)
                log.info("%s/%s: %s, %s", order.owner.namespace, order.owner.name, snapshot.manifest.phase, describe(snapshot))
                self._announce(body, snapshot)
            self._ended.add(uid)
        finally:
            self._running.pop(uid, None)

    async def _investigate(self, order: Order, writer: StatusWriter, report: Callable[[Snapshot], None]) -> Snapshot | None:
        """The capture, tried until the session volume can be used or the timeout is over; None then, with the status set."""
        deadline = self.tools.now() + timedelta(seconds=parse_duration(order.spec.timeout))
        for delay in retry_delays():
            try:
                return await investigate(order, self.tools, report)
            except SessionBusy as e:
                message = f"session {e} is held by another process"
            except OSError as e:
                message = f"the session volume cannot be used: {e.strerror or e}"
            except Exception:
                log.exception("Investigation %s/%s failed", order.owner.namespace, order.owner.name)
                await writer.phase("Failed", ConditionReason.INTERNAL_ERROR)
                break
            log.warning("Investigation %s/%s: %s", order.owner.namespace, order.owner.name, message)
            if order.cancelled.is_set():
                await writer.phase("Cancelled", ConditionReason.CANCELLED, f"{message}; nothing was captured")
                break
            if self.tools.now() >= deadline:
                await writer.phase("Failed", ConditionReason.SESSION_UNAVAILABLE, message)
                break
            await writer.phase("Pending", ConditionReason.SESSION_UNAVAILABLE, f"{message}; trying again")
            with suppress(TimeoutError):
                await asyncio.wait_for(order.cancelled.wait(), delay)
        return None

    async def _refuse(self, body: Body, writer: StatusWriter, error: ValidationError) -> None:
        faults = [
            f"{'.'.join(['spec', *map(str, fault['loc'])])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        message = "; ".join(faults)[:1000]
        await writer.phase("Failed", ConditionReason.INVALID_SPEC, message)
        self.emit(body, "Warning", ConditionReason.INVALID_SPEC.value, message)

    def _announce(self, body: Body, snapshot: Snapshot) -> None:
        """One Event for each kind of gap, then one for the end."""
        gaps = [gap for gap in snapshot.manifest.gaps if gap.severity == "gap"]
        for reason in sorted({gap.reason for gap in gaps}):
            kind = [gap for gap in gaps if gap.reason == reason]
            more = f" (and {len(kind) - 1} more)" if len(kind) > 1 else ""
            self.emit(body, "Warning", reason, f"{kind[0].fetcher} {kind[0].target}: {kind[0].message}{more}")
        phase = snapshot.manifest.phase
        self.emit(body, "Normal" if phase == "Completed" else "Warning", phase, describe(snapshot))
