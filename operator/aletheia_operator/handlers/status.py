"""An Investigation's status: a projection of its session's manifest, and the one place that writes it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.api.investigation import TERMINAL_PHASES
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import Rejected, Unavailable, retry_delays
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.investigate import Snapshot
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import readable_size
from aletheia_operator.text.timestamps import format_time

MAX_ARTIFACTS = 100  # an object in etcd holds about 1 MB; the manifest has all
MAX_GAPS = 100
MAX_SUMMARY = 250
MAX_MESSAGE = 600
PROGRESS_INTERVAL_SECONDS = 1.0

log = logging.getLogger(__name__)

Status = dict[str, Any]


class StatusWriter:
    """Writes the status of one resource (merge patch of its status subresource), until the API server has taken it."""

    def __init__(self, kubernetes: Kubernetes, body: Mapping[str, Any], now: Callable[[], datetime]) -> None:
        metadata = body["metadata"]
        self._kubernetes = kubernetes
        self._now = now
        self._path = paths.investigation(metadata["namespace"], metadata["name"])
        self._uid = metadata["uid"]
        self.generation = metadata["generation"]
        self._before: Mapping[str, Any] = body.get("status") or {}

    async def phase(self, phase: str, reason: ConditionReason, message: str | None = None) -> None:
        """Say where the Investigation stands while there is no session to speak of."""
        status = of_phase(phase, message or reason.text, self.generation, self._before, self._now(), reason)
        if phase in TERMINAL_PHASES:
            status["completionTime"] = format_time(self._now())
        await self._write(status)

    async def snapshot(self, snapshot: Snapshot) -> None:
        """Say how the capture stands."""
        await self._write(of_snapshot(snapshot, self.generation, self._before, self._now()))

    async def acknowledge(self) -> None:
        """Say that a change after the end was seen; it changes nothing else."""
        for delay in retry_delays():
            try:
                ended = (await self._kubernetes.get(self._path)).get("status") or {}
            except Unavailable:
                await asyncio.sleep(delay)
            except Rejected:  # it is gone
                return
            else:
                conditions = [{**one, "observedGeneration": self.generation} for one in ended.get("conditions") or []]
                await self._write({"observedGeneration": self.generation, "conditions": conditions})
                return

    async def expired(self, message: str) -> None:
        """Say that the data is gone. Ready stays as it is: GitOps tools would take a change for a fault, and create anew."""
        kind, reason = ConditionReason.ARTIFACTS_EXPIRED.value, ConditionReason.ARTIFACTS_EXPIRED.value
        conditions = [one for one in self._before.get("conditions") or [] if one["type"] != kind]
        expired = condition(kind, True, reason, message, self.generation, (), self._now())
        await self._write({"conditions": [*conditions, expired]})

    @asynccontextmanager
    async def following(self) -> AsyncIterator[Callable[[Snapshot], None]]:
        """A function that takes snapshots, of which the latest is written at most once an interval."""
        latest: list[Snapshot] = []
        news, over = asyncio.Event(), asyncio.Event()

        def report(snapshot: Snapshot) -> None:
            latest[:] = [snapshot]
            news.set()

        async def follow() -> None:
            while not over.is_set():
                await news.wait()
                news.clear()
                if latest and not over.is_set():
                    await self.snapshot(latest.pop())
                try:
                    await asyncio.wait_for(over.wait(), PROGRESS_INTERVAL_SECONDS)
                except TimeoutError:
                    continue

        task = asyncio.create_task(follow())
        try:
            yield report
            over.set()
            news.set()
            await task  # a write under way must not overtake the next one
        finally:
            task.cancel()

    async def _write(self, status: Status) -> None:
        """Returns also when the resource is gone, or another has its name."""
        self._before = {**self._before, **status}
        for delay in retry_delays():
            try:
                await self._kubernetes.patch_status(self._path, status, self._uid)
            except Unavailable as e:
                log.warning("the status of %s cannot be written, trying again: %s", self._path, e.message)
                await asyncio.sleep(delay)
            except Rejected as e:
                log.warning("the status of %s was refused: %s", self._path, e.message)
                return
            else:
                return


def of_snapshot(snapshot: Snapshot, generation: int, before: Mapping[str, Any], now: datetime) -> Status:
    """The status while a capture runs, and when it has ended."""
    manifest = snapshot.manifest
    phase = manifest.phase
    gaps, artifacts = manifest.gaps, manifest.artifacts
    status = of_phase(phase, describe(snapshot), generation, before, now)
    status |= {
        "window": list(manifest.window),
        "session": {
            "id": manifest.session_id,
            "path": snapshot.path,
            "sizeBytes": manifest.size_bytes,
            "size": readable_size(manifest.size_bytes),
        },
        "artifacts": [a.to_json() | {"summary": one_line(a.summary, MAX_SUMMARY)} for a in artifacts[:MAX_ARTIFACTS]],
        "artifactCount": len(artifacts),
        "gaps": [
            g.to_json() | {"target": one_line(g.target), "message": one_line(g.message, MAX_MESSAGE)} for g in gaps[:MAX_GAPS]
        ],
        "gapCount": sum(gap.severity == "gap" for gap in gaps),
        "startTime": format_time(manifest.start_time),
    }
    if snapshot.total or manifest.finished:
        status["progress"] = {"done": snapshot.done, "total": snapshot.total, "text": f"{snapshot.done}/{snapshot.total}"}
    if manifest.completion_time is not None:
        status["completionTime"] = format_time(manifest.completion_time)
    if manifest.upload is not None:
        status["session"]["uploaded"] = manifest.upload.to_json()
    if snapshot.manifest_sha256 is not None:
        status["session"]["manifestSha256"] = snapshot.manifest_sha256
    return status


def of_phase(
    phase: str,
    message: str,
    generation: int,
    before: Mapping[str, Any],
    now: datetime,
    reason: ConditionReason | None = None,
) -> Status:
    """Phase, conditions and the generation they speak of.

    Ready: the evidence can be read. Succeeded: all that was asked for is there. Reconciling and Stalled: as kstatus reads them.
    """
    why = reason.value if reason else phase
    ended = phase in TERMINAL_PHASES
    readable = phase in ("Completed", "PartiallyCompleted")
    said = {
        "Ready": readable,
        "Reconciling": not ended,
        "Stalled": ended and not readable,
        "Succeeded": phase == "Completed" if ended else None,
    }
    conditions = [
        condition(kind, holds, why, message, generation, before.get("conditions") or [], now) for kind, holds in said.items()
    ]
    return {"observedGeneration": generation, "phase": phase, "conditions": conditions}


def condition(
    kind: str,
    holds: bool | None,
    reason: str,
    message: str,
    generation: int,
    before: Sequence[Mapping[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    """A metav1.Condition; its transition time moves only when its status does."""
    status = "Unknown" if holds is None else str(holds)
    old = next((one for one in before if one.get("type") == kind and one.get("status") == status), None)
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": old["lastTransitionTime"] if old else format_time(now.replace(microsecond=0)),
    }


def describe(snapshot: Snapshot) -> str:
    """One line on how a capture stands."""
    manifest = snapshot.manifest
    if snapshot.uploaded is not None:
        return f"captured; {snapshot.uploaded} of {_count(len(manifest.artifacts), 'artifact')} uploaded"
    if not manifest.finished:
        return f"{snapshot.done} of {snapshot.total} questions done" if snapshot.total else "finding out what there is to ask"
    text = f"{_count(len(manifest.artifacts), 'artifact')} in session {manifest.session_id}"
    for severity in ("gap", "note"):
        if found := [gap for gap in manifest.gaps if gap.severity == severity]:
            reasons = ", ".join(sorted({gap.reason for gap in found}))
            text += f"; {_count(len(found), severity)} ({reasons}): see status.gaps"
    if manifest.upload is not None:
        text += f"; uploaded to {manifest.upload.url}"
    return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
