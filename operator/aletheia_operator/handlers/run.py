"""Runs one Investigation in this process: waits for a slot, claims and captures it, and writes its last status."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator import metrics
from aletheia_operator.api import InvestigationSpec, parse_duration
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import SourceError, retry_delays
from aletheia_operator.clients.fair_slots import FairSlots, Release
from aletheia_operator.handlers.identity import OperatorIdentity
from aletheia_operator.handlers.marks import Mark
from aletheia_operator.handlers.progress import following
from aletheia_operator.handlers.status import describe, without_words
from aletheia_operator.handlers.status_writer import CONTESTED, PROGRESS_SECONDS, Claim, StatusWriter, Written
from aletheia_operator.handlers.trust import Trust
from aletheia_operator.investigate import Order, Snapshot, Tools, investigate
from aletheia_operator.session import InvestigationReference, SessionBusy

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0  # before the next try while the API server does not answer; doubled each time
MAX_RETRY_SECONDS = 300.0

Body = Mapping[str, Any]
Emit = Callable[[Body, str, str, str], None]  # body, type (Normal or Warning), reason, message


@dataclass(frozen=True)
class Shared:
    """Resources that all runs of this process share. `emit` posts a Kubernetes Event."""

    tools: Tools
    emit: Emit
    slots: FairSlots
    trust: Trust
    identity: OperatorIdentity
    max_timeout_seconds: int
    log_text: bool = True
    """Whether status and Events may quote logs."""


class Run:
    """One Investigation from its observation to its end. Raises pydantic.ValidationError if the spec is invalid.

    `expired`: mark of an operator that is gone, which may be overwritten.
    """

    def __init__(self, body: Body, shared: Shared, writer: StatusWriter, expired: Mark | None = None) -> None:
        metadata = body["metadata"]
        self._body = body
        self._shared = shared
        self.writer = writer
        self._expired = expired
        self.order = Order(
            owner=InvestigationReference(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]),
            created=datetime.fromisoformat(metadata["creationTimestamp"]),
            spec=limited(InvestigationSpec.from_json(body["spec"]), shared.max_timeout_seconds),
        )
        self._suspended = asyncio.Event()
        self._title = f"{metadata['namespace']}/{metadata['name']}"
        self.steer(body)

    def steer(self, body: Body) -> None:
        """Apply what may change: the generation, `cancel`, and `suspend` (until the capture begins)."""
        spec = body.get("spec") or {}
        self.writer.observe(body)
        if spec.get("cancel"):
            self.order.cancelled.set()
        if spec.get("suspend"):
            self._suspended.set()
        else:
            self._suspended.clear()

    async def run(self) -> Written | Mark | None:
        """Run to the end. Returns the outcome of the last status write; None if the Investigation does not end now.

        If another operator captures it, returns that operator's mark.
        """
        retry_seconds = RETRY_SECONDS
        while True:
            with metrics.QUEUE_SECONDS.time():
                release = await self._place()
            if release is None:
                await self.writer.phase("Pending", ConditionReason.SUSPENDED)
                return None
            try:
                with metrics.CAPTURE_SECONDS.time():
                    outcome = await self._capture(release)
            finally:
                release()
            if isinstance(outcome, Snapshot):
                outcome = self._shown(outcome)
                written = await self.writer.snapshot(outcome)
                log.info("%s: %s, %s", self._title, outcome.manifest.phase, describe(outcome))
                self._announce(outcome)
                count(outcome)
                return self._report(written)
            if isinstance(outcome, Ending):
                return self._report(await self._end(outcome))
            if outcome is Claim.UNAVAILABLE:
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, MAX_RETRY_SECONDS)
                continue
            if outcome is Claim.ELSEWHERE:
                return self.writer.mark
            return self._report(Written.REFUSED if outcome is Claim.REFUSED else Written.GONE)

    def _report(self, written: Written) -> Written:
        if written is Written.REFUSED:
            reason = ConditionReason.STATUS_REFUSED
            log.warning("%s: %s", self._title, reason.text)
            self._shared.emit(self._body, "Warning", reason.value, reason.text)
        return written

    async def _place(self) -> Release | None:
        """Wait for a slot. Returns the function that releases it; None if the Investigation is suspended meanwhile."""
        namespace, slots = self.order.owner.namespace, self._shared.slots
        if self.order.cancelled.is_set():
            return _nothing  # only the status has to be written: that needs no slot
        if not slots.full(namespace):
            return await slots.acquire(namespace)
        waiting = asyncio.create_task(slots.acquire(namespace))
        interruptions = [asyncio.create_task(event.wait()) for event in (self.order.cancelled, self._suspended)]
        try:
            await self.writer.phase("Queued", ConditionReason.QUEUED, seconds=PROGRESS_SECONDS)
            await asyncio.wait({waiting, *interruptions}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        except BaseException:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                waiting.result()()
            raise
        finally:
            for task in (waiting, *interruptions):
                task.cancel()
            await asyncio.gather(waiting, *interruptions, return_exceptions=True)
        if not waiting.cancelled():  # a slot became free in the same moment
            waiting.result()()
        return _nothing if self.order.cancelled.is_set() else None

    async def _capture(self, release: Release) -> "Snapshot | Ending | Claim":
        """Claim and capture. Retries until the session volume can be used or the timeout is over."""
        order, now = self.order, self._shared.tools.now
        deadline = now() + timedelta(seconds=parse_duration(order.spec.timeout))
        claimed = False
        for delay in retry_delays():
            try:
                if not claimed:
                    refused = await self._claim()
                    if refused is not None:
                        return refused
                    claimed = True
                return await self._follow(release)
            except SessionBusy as e:
                message = f"another process works on session {e}"
            except OSError as e:
                message = f"the session volume cannot be used: {e.strerror or e}"
            except Exception:
                log.exception("Investigation %s failed", self._title)
                return Ending("Failed", ConditionReason.INTERNAL_ERROR)
            log.warning("Investigation %s: %s", self._title, message)
            if order.cancelled.is_set():
                return Ending("Cancelled", ConditionReason.CANCELLED, f"{message}; nothing was captured")
            if now() >= deadline:
                return Ending("Failed", ConditionReason.SESSION_UNAVAILABLE, message)
            await self.writer.phase("Pending", ConditionReason.SESSION_UNAVAILABLE, f"{message}; trying again")
            with suppress(TimeoutError):
                await asyncio.wait_for(order.cancelled.wait(), delay)
        raise AssertionError("there is always one more delay")

    async def _claim(self) -> "Ending | Claim | None":
        """Mark the Investigation as this operator's. Returns why it may not be captured; None if it may. Raises OSError."""
        identity = await self._shared.identity.get()
        holder = await self.writer.claim(identity, self._expired)
        if isinstance(holder, Claim):
            return holder
        if holder != identity:
            return Claim.ELSEWHERE
        try:
            refusal = await self._shared.trust.refusal(self._body)
        except SourceError as e:
            log.warning("%s: the admission policy cannot be looked up: %s", self._title, e.message)
            return Claim.UNAVAILABLE
        return None if refusal is None else Ending("Failed", refusal.reason, refusal.message)

    async def _follow(self, release: Release) -> Snapshot:
        """Capture, and report progress. An upload needs no slot: no evidence is lost while it waits."""
        if (self._body.get("status") or {}).get("phase") != "Running":
            self._shared.emit(self._body, "Normal", "Started", "capturing evidence")
            self._warn_of_limited_timeout()
        log.info("%s: capturing evidence", self._title)
        async with following(self.writer) as follow:

            def report(snapshot: Snapshot) -> None:
                if snapshot.uploaded is not None:
                    release()
                follow(self._shown(snapshot))

            return await investigate(self.order, self._shared.tools, report)

    def _shown(self, snapshot: Snapshot) -> Snapshot:
        """Return what status and Events may show of a snapshot."""
        return snapshot if self._shared.log_text else without_words(snapshot)

    def _warn_of_limited_timeout(self) -> None:
        asked = self._body["spec"].get("timeout")
        if asked is not None and asked != self.order.spec.timeout:
            message = f"spec.timeout of {asked} is more than this operator allows: it ends after {self.order.spec.timeout}"
            self._shared.emit(self._body, "Warning", ConditionReason.TIMEOUT_LIMITED.value, message)

    async def _end(self, ending: "Ending") -> Written:
        written = await self.writer.phase(ending.phase, ending.reason, ending.message)
        metrics.CAPTURES.labels(ending.phase).inc()
        kind = "Normal" if ending.phase == "Cancelled" else "Warning"
        self._shared.emit(self._body, kind, ending.reason.value, ending.message or ending.reason.text)
        return written

    def _announce(self, snapshot: Snapshot) -> None:
        """Post one Event for each kind of gap, then one for the end."""
        gaps = [gap for gap in snapshot.manifest.gaps if gap.severity == "gap"]
        for reason in sorted({gap.reason for gap in gaps}):
            kind = [gap for gap in gaps if gap.reason == reason]
            more = f" (and {len(kind) - 1} more)" if len(kind) > 1 else ""
            self._shared.emit(self._body, "Warning", reason, f"{kind[0].fetcher} {kind[0].target}: {kind[0].message}{more}")
        phase = snapshot.manifest.phase
        self._shared.emit(self._body, "Normal" if phase == "Completed" else "Warning", phase, describe(snapshot))


def count(snapshot: Snapshot) -> None:
    """Count the end of a capture, and its gaps."""
    metrics.CAPTURES.labels(snapshot.manifest.phase).inc()
    for gap in snapshot.manifest.gaps:
        if gap.severity == "gap":
            metrics.GAPS.labels(gap.reason).inc()


async def stand_back(body: Body, writer: StatusWriter, emit: Emit) -> None:
    """Write to the status, and post an Event, that another operator captures the Investigation."""
    reason = ConditionReason.CAPTURED_ELSEWHERE
    emit(body, "Warning", reason.value, reason.text)
    await writer.add_condition(CONTESTED, reason, reason.text)


@dataclass(frozen=True)
class Ending:
    """An end without a session."""

    phase: str
    reason: ConditionReason
    message: str | None = field(default=None)


def limited(spec: InvestigationSpec, max_timeout_seconds: int) -> InvestigationSpec:
    """Return the spec with timeouts of at most `max_timeout_seconds`."""
    changes: dict[str, Any] = {}
    if parse_duration(spec.timeout) > max_timeout_seconds:
        changes["timeout"] = f"{max_timeout_seconds}s"
    upload = spec.session.upload if spec.session else None
    if spec.session and upload and parse_duration(upload.timeout) > max_timeout_seconds:
        shorter = upload.model_copy(update={"timeout": f"{max_timeout_seconds}s"})
        changes["session"] = spec.session.model_copy(update={"upload": shorter})
    return spec.model_copy(update=changes) if changes else spec


def _nothing() -> None:
    """Release nothing: no slot was taken."""
