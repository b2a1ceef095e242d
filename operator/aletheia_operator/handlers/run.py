"""Runs one Investigation: waits for a slot, claims and captures it, here or in a Job, and writes its last status."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from aletheia_operator import metrics
from aletheia_operator.api import InvestigationSpec, parse_duration
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import SourceError, retry_delays
from aletheia_operator.clients.fair_slots import FairSlots, Release
from aletheia_operator.handlers.fence import FenceLost, fenced
from aletheia_operator.handlers.identity import OperatorIdentity
from aletheia_operator.handlers.marks import Mark
from aletheia_operator.handlers.placement import GoesOnInJob, JobRunner, Placement
from aletheia_operator.handlers.progress import announcing, following
from aletheia_operator.handlers.status import describe, without_words
from aletheia_operator.handlers.status_writer import CONTESTED, Claim, StatusWriter, WriteResult
from aletheia_operator.handlers.trust import CREATOR_CHECKED, SUSPENDED_UNDER, CreatorCheck, Trust
from aletheia_operator.handlers.urgency import why_urgent
from aletheia_operator.investigate import Order, Snapshot, Tools, investigate
from aletheia_operator.session import InvestigationReference, SessionBusy
from aletheia_operator.settings import Limits
from aletheia_operator.text.log_records import fields

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
    """Slots that Investigations wait for first."""
    trust: Trust
    identity: OperatorIdentity
    max_timeout_seconds: int
    max_queued: int = Limits.max_namespace_queued
    """Investigations of one namespace that may wait in `slots`."""
    log_text: bool = True
    """Whether status and Events may quote logs."""
    runner: JobRunner | None = None
    """Lets captures run in Jobs. None: all run in this process."""

    def running(self) -> int:
        """Return how many captures run."""
        return sum(self.slots.taken().values())

    def shown(self, snapshot: Snapshot) -> Snapshot:
        """Return what status and Events may show of a snapshot."""
        return snapshot if self.log_text else without_words(snapshot)


class InvestigationRun:
    """One Investigation from its observation to its end. Raises pydantic.ValidationError if the spec is invalid.

    `expired`: mark of an operator that is gone, which may be overwritten. `queued`: called when it is in the queue, or needs no
    place there.
    """

    def __init__(
        self,
        body: Body,
        shared: Shared,
        writer: StatusWriter,
        expired: Mark | None = None,
        queued: Callable[[], None] = lambda: None,
    ) -> None:
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
        check = self.creator_check = CreatorCheck(shared.trust, body, self.order.seen_at)
        self._suspended, self._interrupted = asyncio.Event(), asyncio.Event()
        events = self._suspended, self._interrupted
        urgency = partial(_why_urgent, self.order, check, shared.tools)
        self._placement = Placement(self.order, *events, shared.slots, shared.runner, queued, urgency, check)
        self._is_announced = self._has_begun = (body.get("status") or {}).get("phase") == "Running"
        self.is_gone = False
        """Whether the resource is deleted. Set it before the run is cancelled: its Job is deleted then, too."""
        self._title = f"{metadata['namespace']}/{metadata['name']}"
        self.steer(body)

    def steer(self, body: Body) -> None:
        """Apply what may change: the generation, `cancel`, and `suspend` (until the capture begins)."""
        spec = body.get("spec") or {}
        self.writer.observe(body)
        if spec.get("cancel"):
            self.order.cancelled.set()
        for event, is_set in (
            (self._suspended, spec.get("suspend")),
            (self._interrupted, spec.get("suspend") or self.order.cancelled.is_set()),
        ):
            event.set() if is_set else event.clear()

    async def run(self) -> WriteResult | Mark | None:
        """Run to the end. Returns the outcome of the last status write; None if the Investigation does not end now.

        If another operator captures it, returns that operator's mark.
        """
        retry_seconds = RETRY_SECONDS
        if self._has_begun:
            await self._placement.find_job()
        while True:
            with metrics.QUEUE_SECONDS.time():
                release = await self._placement.wait(self.writer)
            if release is None:
                await suspend(self.writer, self._shared.trust)
                return None
            try:
                with metrics.CAPTURE_SECONDS.time():
                    outcome = await self._capture(release)
            finally:
                release()
            if isinstance(outcome, Snapshot):
                outcome = self._shared.shown(outcome)
                written = await self.writer.snapshot(outcome)
                report_end(self._title, outcome, partial(self._shared.emit, self._body))
                return self._report(written)
            if isinstance(outcome, Ending):
                return self._report(await self._end(outcome))
            if isinstance(outcome, WriteResult):
                return outcome
            if outcome is None:
                continue
            if outcome is Claim.UNAVAILABLE:
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, MAX_RETRY_SECONDS)
                continue
            if outcome is Claim.ELSEWHERE:
                return self.writer.mark
            return self._report(WriteResult.REFUSED if outcome is Claim.REFUSED else WriteResult.GONE)

    def _report(self, written: WriteResult) -> WriteResult:
        if written is WriteResult.REFUSED:
            reason = ConditionReason.STATUS_REFUSED
            log.warning("%s: %s", self._title, reason.text, extra=fields(reason=reason.value))
            self._shared.emit(self._body, "Warning", reason.value, reason.text)
        return written

    async def _capture(self, release: Release) -> "Snapshot | Ending | Claim | WriteResult | None":
        """Claim and capture. Retries until the session volume can be used or the timeout is over. None: its place changes."""
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
            except GoesOnInJob:
                self._placement.move_to_job()
                return None
            except (SessionBusy, FenceLost) as e:
                message = f"another process works on session {e}"
            except SourceError as e:
                message = f"the session's Lease cannot be taken: {e.message}"
            except OSError as e:
                message = f"the session volume cannot be used: {e.strerror or e}"
            except Exception:
                log.exception("Investigation %s failed", self._title)
                return Ending("Failed", ConditionReason.INTERNAL_ERROR)
            reason = ConditionReason.SESSION_UNAVAILABLE
            log.warning("Investigation %s: %s", self._title, message, extra=fields(reason=reason.value))
            if order.cancelled.is_set():
                return Ending("Cancelled", ConditionReason.CANCELLED, f"{message}; nothing was captured")
            if now() >= deadline:
                return Ending("Failed", reason, message)
            await self.writer.phase("Pending", reason, f"{message}; trying again")
            with suppress(TimeoutError):
                await asyncio.wait_for(order.cancelled.wait(), delay)
        raise AssertionError("there is always one more delay")

    async def _claim(self) -> "Ending | Claim | None":
        """Mark the Investigation as this operator's. Returns why it may not be captured; None if it may. Raises OSError."""
        identity = await self._shared.identity.get()
        try:
            refusal = await self.creator_check.refusal()
        except SourceError as e:
            message = "%s: the admission policy cannot be looked up: %s"
            log.warning(message, self._title, e.message, extra=fields(reason=e.reason.value))
            return Claim.UNAVAILABLE
        holder = await self.writer.claim(identity, self._expired, {} if refusal else {CREATOR_CHECKED: True})
        if isinstance(holder, Claim):
            return holder
        if holder != identity:
            return Claim.ELSEWHERE
        return None if refusal is None else Ending("Failed", refusal.reason, refusal.message)

    async def _follow(self, release: Release) -> Snapshot | WriteResult | None:
        """Capture, here or in a Job. Returns None if a Job did not finish it: then it goes on in this process."""
        runner = self._shared.runner
        with nullcontext() if self._is_announced else announcing(self._announce, self._shared.running()):
            if not self._has_begun:
                self._has_begun = True
                self._warn_of_limited_timeout()
            if runner is None:
                return await self._investigate(release)
            if self._placement.in_job:
                written = await runner.jobs.capture(self.order, lambda: self.is_gone)
                self._placement.in_job = written is not None
                return written
            return await fenced(runner.lease(self.order.owner.uid), partial(self._investigate, release), runner.end)

    def _announce(self) -> None:
        self._is_announced = True
        self._shared.emit(self._body, "Normal", "Started", "capturing evidence")

    async def _investigate(self, release: Release) -> Snapshot:
        """Capture here, and report progress. An upload needs no slot: it loses no evidence by waiting. Raises GoesOnInJob."""
        log.info("%s: capturing evidence", self._title)
        async with following(self.writer, self._shared.running) as follow:

            def report(snapshot: Snapshot) -> None:
                if snapshot.uploaded is not None:
                    release()
                self._placement.require_small_plan(snapshot)
                follow(self._shared.shown(snapshot))

            return await investigate(self.order, self._shared.tools, report)

    def _warn_of_limited_timeout(self) -> None:
        """Post an Event if the spec's timeout is longer than the operator allows."""
        requested = self._body["spec"].get("timeout")
        if requested is not None and requested != self.order.spec.timeout:
            message = f"spec.timeout of {requested} is more than this operator allows: it ends after {self.order.spec.timeout}"
            self._shared.emit(self._body, "Warning", ConditionReason.TIMEOUT_LIMITED.value, message)

    async def _end(self, ending: "Ending") -> WriteResult:
        written = await self.writer.phase(ending.phase, ending.reason, ending.message)
        metrics.CAPTURES.labels(ending.phase).inc()
        level, kind = (logging.INFO, "Normal") if ending.phase == "Cancelled" else (logging.WARNING, "Warning")
        message, extra = ending.message or ending.reason.text, fields(phase=ending.phase, reason=ending.reason.value)
        log.log(level, "%s: %s, %s", self._title, ending.phase, message, extra=extra)
        self._shared.emit(self._body, kind, ending.reason.value, message)
        return written


async def _why_urgent(order: Order, creator_check: CreatorCheck, tools: Tools) -> str | None:
    """Return why an Investigation should go before others of its namespace; None if it should not, or may not read."""
    try:
        if await creator_check.refusal() is not None:
            return None
        return await why_urgent(order, tools)
    except SourceError:
        return None


def report_end(title: str, snapshot: Snapshot, emit: Callable[[str, str, str], None]) -> None:
    """Log the end of a capture, post its Events, and count it."""
    log_end(title, snapshot)
    post_end(snapshot, emit)
    count_end(snapshot)


def log_end(title: str, snapshot: Snapshot) -> None:
    """Log the end of a capture: a warning if evidence is missing that nobody gave up."""
    manifest = snapshot.manifest
    level = logging.INFO if manifest.phase in ("Completed", "Cancelled") else logging.WARNING
    reasons = ",".join(sorted({gap.reason for gap in manifest.gaps if gap.severity == "gap"}))
    extra = fields(session=manifest.session_id, phase=manifest.phase, reason=reasons or manifest.phase)
    log.log(level, "%s: %s, %s", title, manifest.phase, describe(snapshot), extra=extra)


def post_end(snapshot: Snapshot, emit: Callable[[str, str, str], None]) -> None:
    """Post an Event for each reason of a gap, then one for the end of the capture."""
    gaps = [gap for gap in snapshot.manifest.gaps if gap.severity == "gap"]
    for reason in sorted({gap.reason for gap in gaps}):
        kind = [gap for gap in gaps if gap.reason == reason]
        more = f" (and {len(kind) - 1} more)" if len(kind) > 1 else ""
        emit("Warning", reason, f"{kind[0].fetcher} {kind[0].target}: {kind[0].message}{more}")
    phase = snapshot.manifest.phase
    emit("Normal" if phase == "Completed" else "Warning", phase, describe(snapshot))


async def suspend(writer: StatusWriter, trust: Trust) -> WriteResult:
    """Write that an Investigation is suspended, and under which policy: that one checks who ends the suspension."""
    written = await writer.phase("Pending", ConditionReason.SUSPENDED, fields={CREATOR_CHECKED: None})
    try:
        policy = await trust.policy_of_suspension() if written is WriteResult.DONE else None
    except SourceError as e:
        log.warning("the admission policy cannot be looked up: %s", e.message)
        return written
    return written if policy is None else await writer.add_to_suspended({SUSPENDED_UNDER: policy})


async def postpone(run: InvestigationRun) -> WriteResult:
    """Write that the queue of the Investigation's namespace is full."""
    return await run.writer.phase("Pending", ConditionReason.QUEUE_FULL, fields=await run.creator_check.note())


def count_end(snapshot: Snapshot) -> None:
    """Count the end of a capture, and its gaps."""
    metrics.CAPTURES.labels(snapshot.manifest.phase).inc()
    for gap in snapshot.manifest.gaps:
        if gap.severity == "gap":
            metrics.GAPS.labels(gap.reason).inc()


async def mark_contested(body: Body, writer: StatusWriter, emit: Emit) -> None:
    """Write to the status, and post an Event, that another operator captures the Investigation."""
    reason = ConditionReason.CAPTURED_ELSEWHERE
    emit(body, "Warning", reason.value, reason.text)
    await writer.add_condition(CONTESTED, reason, reason.text)


@dataclass(frozen=True)
class Ending:
    """An end without a session."""

    phase: str
    reason: ConditionReason
    message: str = ""


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
