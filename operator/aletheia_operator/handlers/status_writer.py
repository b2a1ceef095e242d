"""Writes an Investigation's status, within a time limit. No other module writes it.

A status that the API server refuses as too large is written in a shorter form. One that could not be written in time is
UNWRITTEN: the caller tries again later, outside of any slot.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import CONDITIONS_OF_PHASE, ConditionReason, GapReason
from aletheia_operator.api.status import TERMINAL_PHASES
from aletheia_operator.clients.errors import BODY_REFUSED, CONFLICT, SERVER_FAULT, SourceError, retry_delays
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.marks import Mark, mark_of
from aletheia_operator.handlers.status import (
    Status,
    condition,
    conditions_of,
    minimal,
    of_phase,
    of_snapshot,
    shortened,
)
from aletheia_operator.investigate import Snapshot
from aletheia_operator.text.timestamps import format_time

PROGRESS_SECONDS = 5.0  # after that time a report of progress is out of date anyway
WRITE_SECONDS = 30.0
MAX_SERVER_FAULTS = 3  # answers 500 before a smaller status is tried: the cause may be that it is too large
CONTESTED = "Contested"
"""Type of the condition for an Investigation that another operator captures."""
_TOO_LARGE = re.compile("too large|larger than|too long|exceeds", re.IGNORECASE)

log = logging.getLogger(__name__)


class WriteResult(Enum):
    """Outcome of a status write."""

    DONE = "the API server has stored it"
    GONE = "the resource is deleted, another has its name, or another operator has taken it over"
    REFUSED = "the API server refuses even the smallest status"
    UNWRITTEN = "the API server did not store it in time; a later try may succeed"


class Claim(Enum):
    """Why an Investigation may not be captured."""

    GONE = "the resource is deleted, or being deleted"
    REFUSED = "the API server refuses its status"
    UNAVAILABLE = "the API server does not answer"
    ELSEWHERE = "another operator captures it"


class StatusWriter:
    """Writes the status of one resource (merge patch of its status subresource)."""

    def __init__(self, kubernetes: Kubernetes, body: Mapping[str, Any], now: Callable[[], datetime]) -> None:
        metadata = body["metadata"]
        self._kubernetes, self._now = kubernetes, now
        self._path = paths.investigation(metadata["namespace"], metadata["name"])
        self._uid, self.generation = metadata["uid"], metadata["generation"]
        self._before: Mapping[str, Any] = body.get("status") or {}
        self._last: Status | None = None
        self._operator: str | None = None
        self._seen = _seen(body)
        self.mark: Mark | None = mark_of(self._before)
        """Last seen mark of the operator that captures. None: no operator has marked it."""

    def observe(self, body: Mapping[str, Any]) -> None:
        """Update the generation, and the conditions that other controllers write."""
        self._seen = _seen(body)
        self.generation = body["metadata"]["generation"]
        own = [entry for entry in conditions_of(self._before) if entry["type"] in CONDITIONS_OF_PHASE]
        written = conditions_of(body.get("status") or {})
        others = [entry for entry in written if entry["type"] not in CONDITIONS_OF_PHASE]
        self._before = {**self._before, "conditions": [*own, *others]}

    async def claim(self, operator: str, expired: Mark | None = None, fields: Status | None = None) -> str | Claim:
        """Mark the Investigation as captured by `operator`, unless another operator has marked it.

        `expired`: mark of an operator that is gone, to overwrite if it is still there; None: overwrite no mark.
        `fields`: more fields of the status. Returns the operator that captures it, or why it may not be captured.
        """
        self._operator = operator
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await self._claim(operator, expired, fields or {})
        except TimeoutError:
            return Claim.UNAVAILABLE

    async def beat(self) -> bool:
        """Write the heartbeat of this operator. Returns False if another operator has taken the Investigation over."""
        if self._operator is None:
            return True
        try:
            async with asyncio.timeout(PROGRESS_SECONDS):
                found = await self._kubernetes.get(self._path)
                status = found.get("status") or {}
                if found["metadata"]["uid"] != self._uid or status.get("phase") in TERMINAL_PHASES:
                    return True
                mark = mark_of(status)
                if mark is not None and mark.operator != self._operator:
                    return False
                await self._kubernetes.patch_status(self._path, {"operatorTime": format_time(self._now())}, self._uid)
        except (SourceError, TimeoutError) as e:
            log.warning("%s: the heartbeat cannot be written: %s", self._path, getattr(e, "message", "no answer"))
        return True

    async def phase(
        self, phase: str, reason: ConditionReason, message: str = "", seconds: float | None = None, fields: Status | None = None
    ) -> WriteResult:
        """Write a phase without a session. `message` empty: the reason's text. Gives up after `seconds`, None: WRITE_SECONDS.

        `fields`: more fields of the status; a value None removes one.
        """
        status = of_phase(phase, message or reason.text, self.generation, self._before, self._now(), reason) | (fields or {})
        if phase in TERMINAL_PHASES:
            status["completionTime"] = format_time(self._now())
        return await self._write(status, seconds)

    async def snapshot(self, snapshot: Snapshot, seconds: float | None = None) -> WriteResult:
        """Write the state of the capture. Gives up after `seconds`, None: WRITE_SECONDS."""
        return await self._write(of_snapshot(snapshot, self.generation, self._before, self._now()), seconds)

    async def again(self) -> WriteResult:
        """Write the last status again, with the current generation, if it could not be written before."""
        if self._last is None:
            return WriteResult.DONE
        if self._operator is not None and await _is_taken_over(self._kubernetes, self._path, self._operator):
            return WriteResult.GONE
        return await self._write({**self._last, "observedGeneration": self.generation}, PROGRESS_SECONDS)

    async def acknowledge(self) -> WriteResult:
        """Write the generation of a change after the end into status and conditions. Nothing else changes."""
        return await self._change(lambda found: _acknowledged(found.get("status") or {}, self.generation))

    async def add_condition(self, kind: str, reason: ConditionReason, message: str) -> WriteResult:
        """Add a condition, for example that the artifacts have expired.

        Ready does not change: GitOps tools would treat a change as a failure, and create the resource again.
        """
        added = partial(condition, kind, True, reason.value, message, self.generation)
        return await self._change(lambda found: _with_condition(found, lambda before: added(before, self._now())))

    async def write_digest(self, session_id: str, manifest_sha256: str) -> WriteResult:
        """Write the current digest of the session's manifest. Conditions and phase do not change."""
        return await self._change(lambda found: _with_digest(found.get("status") or {}, session_id, manifest_sha256))

    async def add_to_suspended(self, fields: Status) -> WriteResult:
        """Write more fields of the status, but only as long as the Investigation is suspended."""
        return await self._change(lambda found: fields if _is_suspended(found) and not _has(found, fields) else {})

    async def _claim(self, operator: str, expired: Mark | None, fields: Status) -> str | Claim:
        faults = 0
        for delay in retry_delays():
            seen, self._seen = self._seen, None
            try:
                found = seen or await self._kubernetes.get(self._path)
                metadata, before = found["metadata"], found.get("status") or {}
                if metadata["uid"] != self._uid or metadata.get("deletionTimestamp"):
                    return Claim.GONE
                self.mark = mark_of(before)
                if self.mark is not None and (self.mark.operator == operator or self.mark != expired):
                    self._before = before
                    return self.mark.operator
                if self.mark is not None:
                    log.warning("%s is taken over: %s gave no sign of life", self._path, self.mark.operator)
                    before = _uncontested(before)
                status = of_phase("Running", ConditionReason.RUNNING.text, self.generation, before, self._now())
                status |= {"operator": operator, "operatorTime": format_time(self._now()), **fields}
                await self._kubernetes.patch_status(self._path, status, self._uid, metadata.get("resourceVersion"))
            except SourceError as e:
                if e.reason == GapReason.NOT_FOUND:
                    return Claim.GONE
                if seen is not None and e.status in CONFLICT:
                    continue  # it has changed since the watch showed it
                if _is_too_large(e) or e.status in BODY_REFUSED:
                    log.warning("%s cannot be claimed: %s", self._path, e.message)
                    return Claim.REFUSED
                faults += e.status in SERVER_FAULT
                if faults >= MAX_SERVER_FAULTS:
                    return Claim.UNAVAILABLE
                await asyncio.sleep(delay)  # another client may have changed it in between
            else:
                self._before = {**before, **status}
                return operator
        raise AssertionError("there is always one more delay")

    async def _change(self, change: Callable[[Mapping[str, Any]], Status]) -> WriteResult:
        """Read the resource and write the status that `change` returns for it; empty: nothing.

        Nothing is written if another client has changed the resource in between: then it is read again.
        """
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                for delay in retry_delays():
                    try:
                        found = await self._kubernetes.get(self._path)
                        metadata = found["metadata"]
                        if metadata["uid"] != self._uid:
                            return WriteResult.GONE
                        if not (changed := change(found)):
                            return WriteResult.DONE
                        version = metadata.get("resourceVersion")
                        await self._kubernetes.patch_status(self._path, changed, self._uid, version)
                    except SourceError as e:
                        if e.reason == GapReason.NOT_FOUND:
                            return WriteResult.GONE
                        if _is_too_large(e) or e.status in BODY_REFUSED:
                            return WriteResult.REFUSED
                        await asyncio.sleep(delay)
                    else:
                        return WriteResult.DONE
        except TimeoutError:
            pass
        return WriteResult.UNWRITTEN

    async def _write(self, status: Status, seconds: float | None = None) -> WriteResult:
        """Write a status, or a shorter form if it is refused. Gives up after `seconds`, None: WRITE_SECONDS."""
        self._before = {**self._before, **status}
        self._last, self._seen = status, None
        seconds = seconds or WRITE_SECONDS
        try:
            async with asyncio.timeout(seconds):
                return await self._try(status)
        except TimeoutError:
            log.warning("the status of %s was not written within %g s", self._path, seconds)
            return WriteResult.UNWRITTEN

    async def _try(self, status: Status) -> WriteResult:
        """Try until the API server stores or refuses the status. Retries as long as it does not answer."""
        smaller = [minimal(status), shortened(status)]
        faults = 0
        for delay in retry_delays():
            try:
                await self._kubernetes.patch_status(self._path, status, self._uid)
            except SourceError as e:
                code = e.status
                faults += code in SERVER_FAULT
                log.warning("the status of %s cannot be written: %s", self._path, e.message)
                if code in CONFLICT or e.reason == GapReason.NOT_FOUND:
                    if await _is_gone(self._kubernetes, self._path, self._uid):
                        return WriteResult.GONE
                elif _is_too_large(e) or code in BODY_REFUSED or faults >= MAX_SERVER_FAULTS:
                    if not smaller:
                        return WriteResult.REFUSED
                    status, faults = smaller.pop(), 0
                    continue
                await asyncio.sleep(delay)
            else:
                self._last = None
                return WriteResult.DONE
        raise AssertionError("there is always one more delay")


def _seen(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a claim needs of a resource that the watch has shown; None if the claim must read it.

    The API server refuses the claim if the resource has changed since. A marked one must be read: its claim writes nothing.
    """
    metadata, status = body["metadata"], body.get("status") or {}
    if not metadata.get("resourceVersion") or mark_of(status) is not None:
        return None
    kept = {name: metadata[name] for name in ("uid", "resourceVersion", "deletionTimestamp") if name in metadata}
    return {"metadata": kept, "status": status}


async def _is_taken_over(kubernetes: Kubernetes, path: str, operator: str) -> bool:
    """Return whether another operator captures the Investigation now; False if the API server does not answer."""
    try:
        async with asyncio.timeout(PROGRESS_SECONDS):
            mark = mark_of((await kubernetes.get(path)).get("status") or {})
    except (SourceError, TimeoutError):
        return False
    return mark is not None and mark.operator != operator


async def _is_gone(kubernetes: Kubernetes, path: str, uid: str) -> bool:
    """Return whether the API server says that the resource is deleted, or that another has its name."""
    try:
        found = await kubernetes.get(path)
    except SourceError as e:
        return e.reason == GapReason.NOT_FOUND
    return bool(found["metadata"]["uid"] != uid)


def _is_suspended(body: Mapping[str, Any]) -> bool:
    return bool((body.get("spec") or {}).get("suspend"))


def _has(body: Mapping[str, Any], fields: Status) -> bool:
    return fields.items() <= (body.get("status") or {}).items()


def _with_condition(body: Mapping[str, Any], added: Callable[[Sequence[Mapping[str, Any]]], Status]) -> Status:
    """Return the change of status that adds a condition. `added` makes it of the present ones."""
    before = conditions_of(body.get("status") or {})
    more = added(before)
    return {"conditions": [*(entry for entry in before if entry["type"] != more["type"]), more]}


def _acknowledged(status: Mapping[str, Any], generation: int) -> Status:
    """Return the change of status that acknowledges the generation."""
    seen = [{**entry, "observedGeneration": generation} for entry in conditions_of(status)]
    return {"observedGeneration": generation, "conditions": seen}


def _with_digest(status: Mapping[str, Any], session_id: str, manifest_sha256: str) -> Status:
    """Return the change of status that sets the session's digest; {} if it has it, or if it is another session."""
    session = status.get("session") or {}
    if session.get("id") != session_id or session.get("manifestSha256") == manifest_sha256:
        return {}
    return {"session": {**session, "manifestSha256": manifest_sha256}}


def _uncontested(status: Mapping[str, Any]) -> Status:
    """Return the status without the condition Contested, which this operator set when it left the Investigation alone."""
    return {**status, "conditions": [entry for entry in conditions_of(status) if entry["type"] != CONTESTED]}


def _is_too_large(error: SourceError) -> bool:
    return error.reason == GapReason.TOO_LARGE or (error.status is not None and bool(_TOO_LARGE.search(error.message)))
