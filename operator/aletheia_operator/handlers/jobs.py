"""Starts a Kubernetes Job for a capture, waits for its end, and cancels it by deleting it.

All Jobs are read by one list. A Job's name follows from the Investigation's uid, so an operator that has restarted finds the
Job of its predecessor.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aletheia_operator import metrics
from aletheia_operator.api import paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import CONFLICT, SourceError, retry_delays
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.fence import PREFIX, fence_name
from aletheia_operator.handlers.job_objects import UID_LABEL, JobState, JobWatch, investigation_of, job_of
from aletheia_operator.handlers.status_writer import WriteResult
from aletheia_operator.handlers.steps import has_ended
from aletheia_operator.investigate import Order
from aletheia_operator.session import InvestigationReference

LOOK_SECONDS = 2.0
"""Between two lists of Jobs, while there are any."""
CANCEL_SECONDS = 60.0
"""Longest wait for the pods of a deleted Job. They have 30 s to end; those on a node that is cut off do not end."""
LEASE_AGE = timedelta(minutes=10)
"""Age from which an unrenewed Lease is removed. Nobody holds it: a holder renews every 2 s, or ends."""

log = logging.getLogger(__name__)


@dataclass
class Jobs:
    """The Jobs of this operator. `template`: name of the PodTemplate in `namespace`."""

    kubernetes: Kubernetes
    namespace: str
    template: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _listing: asyncio.Task[Mapping[str, Any] | None] | None = field(init=False, default=None)

    async def capture(self, order: Order, is_gone: Callable[[], bool]) -> WriteResult | None:
        """Capture in a Job, and wait for its end. Returns DONE if it wrote the last status, GONE if the resource is deleted.

        None: it did not, or could not be created, so the caller must go on. A Job that somebody deletes, or that has lost the
        node of its pod, is created once more.
        `is_gone`: whether the resource is deleted, if this is cancelled: then the Job is deleted too.
        """
        owner, title = order.owner, f"{order.owner.namespace}/{order.owner.name}"
        try:
            for _ in range(2):
                if not await self._start(order):
                    return None
                state = await self._end(order)
                written = await self._written(owner)
                if written is not None:
                    return written
                log.warning("%s: its Job left it unfinished: %s", title, state.value)
                if state in (JobState.STUCK, JobState.LOST):
                    await self._delete(owner.uid, "Background")
                if state not in (JobState.GONE, JobState.LOST) or order.cancelled.is_set():
                    break
        except asyncio.CancelledError:
            if is_gone():
                await self._delete(owner.uid, "Background")
            raise
        return None

    async def exists(self, uid: str) -> bool:
        """Return whether there is a Job for the Investigation. True if the API server does not answer."""
        try:
            await self.kubernetes.get(self._path(uid))
        except SourceError as e:
            return e.reason is not GapReason.NOT_FOUND
        return True

    async def unfinished(self) -> list[InvestigationReference]:
        """Return the Investigations with a Job that has not ended. Raises SourceError."""
        found = []
        async for job in self.kubernetes.list(self._collection, {"labelSelector": UID_LABEL}):
            owner = investigation_of(job)
            if owner is not None and JobWatch().see(job, 0.0) is JobState.RUNS:
                found.append(owner)
        return found

    async def remove_old_leases(self, now: datetime) -> None:
        """Remove Leases of captures that nobody has renewed for LEASE_AGE. Raises SourceError."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        async for lease in self.kubernetes.list(path):
            metadata, renewed = lease["metadata"], (lease.get("spec") or {}).get("renewTime")
            age = now - (datetime.fromisoformat(renewed) if renewed else datetime.fromtimestamp(0, UTC))
            if metadata["name"].startswith(PREFIX) and age > LEASE_AGE:
                await self.kubernetes.delete(f"{path}/{metadata['name']}", metadata["uid"])

    async def _start(self, order: Order) -> bool:
        """Create the Job, unless it exists. Returns False if it cannot be created, or if the Investigation is cancelled."""
        if order.cancelled.is_set():
            return await self.exists(order.owner.uid)
        try:
            template = await self.kubernetes.get(f"/api/v1/namespaces/{self.namespace}/podtemplates/{self.template}")
            await self.kubernetes.create(self._collection, job_of(template, order.owner, order.spec))
        except SourceError as e:
            if e.status in CONFLICT:
                return True
            log.warning("%s/%s: no Job: %s", order.owner.namespace, order.owner.name, e.message)
            return False
        log.info("%s/%s: Job %s captures it", order.owner.namespace, order.owner.name, fence_name(order.owner.uid))
        return True

    async def _end(self, order: Order) -> JobState:
        """Wait until the Job has ended. Deletes it if the Investigation is cancelled."""
        watch, deleted_at = JobWatch(), None
        while True:
            if order.cancelled.is_set() and deleted_at is None:
                await self._delete(order.owner.uid, "Foreground")  # it stays until its pods have ended
                deleted_at = self.clock()
            jobs = await self._next_list()
            if jobs is None:
                continue
            state = watch.see(jobs.get(fence_name(order.owner.uid)), self.clock())
            if state is not JobState.RUNS:
                return state
            if deleted_at is not None and self.clock() - deleted_at > CANCEL_SECONDS:
                return JobState.STUCK

    async def _next_list(self) -> Mapping[str, Any] | None:
        """Wait for the next list. Returns the Jobs by name; None if the API server does not answer."""
        if self._listing is None or self._listing.done():
            self._listing = asyncio.create_task(self._list())
        return await asyncio.shield(self._listing)

    async def _list(self) -> Mapping[str, Any] | None:
        await self.sleep(LOOK_SECONDS)
        found = {}
        try:
            async for job in self.kubernetes.list(self._collection, {"labelSelector": UID_LABEL}):
                found[job["metadata"]["name"]] = {"spec": {"suspend": job["spec"].get("suspend")}, "status": job.get("status")}
        except SourceError as e:
            log.warning("Jobs cannot be listed: %s", e.message)
            return None
        return found

    async def _written(self, owner: InvestigationReference) -> WriteResult | None:
        """Return DONE if the Investigation has its last status, GONE if it is deleted, None if it goes on."""
        for delay in retry_delays():
            try:
                body = await self.kubernetes.get(paths.investigation(owner.namespace, owner.name))
            except SourceError as e:
                if e.reason is GapReason.NOT_FOUND:
                    return WriteResult.GONE
                log.warning("%s/%s cannot be read: %s", owner.namespace, owner.name, e.message)
                await self.sleep(delay)
                continue
            if body["metadata"]["uid"] != owner.uid:
                return WriteResult.GONE
            status = body.get("status") or {}
            if not has_ended(status):
                return None
            metrics.CAPTURES.labels(status["phase"]).inc()
            return WriteResult.DONE
        raise AssertionError("there is always one more delay")

    async def _delete(self, uid: str, propagation: str) -> None:
        try:
            found = await self.kubernetes.get(self._path(uid))
            await self.kubernetes.delete(self._path(uid), found["metadata"]["uid"], propagation)
        except SourceError as e:
            if e.reason is not GapReason.NOT_FOUND:
                log.warning("Job %s cannot be deleted: %s", fence_name(uid), e.message)

    @property
    def _collection(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    def _path(self, uid: str) -> str:
        return f"{self._collection}/{fence_name(uid)}"
