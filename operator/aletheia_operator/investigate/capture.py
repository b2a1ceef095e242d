"""One Investigation, from its spec to its manifest.

`investigate` runs these steps, each from its own modules:

open      create the session, or open that of an interrupted capture        here
seal      set up encryption, before anything is captured                    sealing
plan      list the questions                                                planning
ask       ask each question: artifacts, gaps or both                        answering, saving, slots, deadline, budget
timeline  list what happened, in order of time                              timeline_step, derived_step, entry_readers
findings  derive what broke                                                 findings_step, derived_step, entry_readers
report    make the report                                                   report_step, derived_step
upload    copy the session to object storage                                upload_step, uploader
finish    write the manifest                                                here

An interrupted capture is resumed: the session's journal has the plan and the finished questions. If requested data is not
captured, there is a gap.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from aletheia_operator.api import parse_duration
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.identity import Identity
from aletheia_operator.datasources.finder import KubernetesDataSources
from aletheia_operator.fetchers.base import Missing, Question, Sources
from aletheia_operator.findings import Evidence, OwnRules
from aletheia_operator.investigate.answering import Answering
from aletheia_operator.investigate.budget import Account
from aletheia_operator.investigate.deadline import Deadline
from aletheia_operator.investigate.decisions import conclude, fix_window, interruption_of
from aletheia_operator.investigate.derived_step import DerivedStep
from aletheia_operator.investigate.entry_readers import EntryReaders
from aletheia_operator.investigate.findings_step import FINDINGS_KEY, FindingsStep
from aletheia_operator.investigate.gaps import OWN, gap_of
from aletheia_operator.investigate.journal_writer import JournalWriter
from aletheia_operator.investigate.order import Order, Report, Snapshot, Tools
from aletheia_operator.investigate.planning import MAX_PLAN_DEATHS, PLAN_GIVEN_UP, FormerPlan, make_plan, plan_record
from aletheia_operator.investigate.redaction import key_of, level_for, recorded_spec, redactor_for
from aletheia_operator.investigate.report_step import ReportStep
from aletheia_operator.investigate.saving import Saver
from aletheia_operator.investigate.sealing import encryption_for
from aletheia_operator.investigate.threads import in_thread, to_the_end
from aletheia_operator.investigate.timeline_step import TIMELINE_KEY, TimelineStep
from aletheia_operator.investigate.upload_step import UploadStep
from aletheia_operator.redact import Redactor
from aletheia_operator.session import Done, Manifest, RedactionRecord, Session, create_session, find_session
from aletheia_operator.session.manifest_file import manifest_sha256
from aletheia_operator.text.log_records import about
from aletheia_operator.timeline import Timeline
from aletheia_operator.version import __version__

Step = TypeVar("Step", bound=DerivedStep)

PLAN_KEY = "plan"
MAX_WAIT_SECONDS = 1.5
"""Longest wait for the end of the window. It would be longer only if our clock differs from the API server's."""


async def investigate(order: Order, tools: Tools, report: Report) -> Snapshot:
    """Capture what the order asks for, or resume an interrupted capture. Calls `report` after each step.

    Raises OSError if the session volume cannot be used at all, and SessionBusy if another process works on the session.
    """
    if order.spec.of_targets("logs"):
        tools.parsers.warm()  # starts a process while the session is created
    async with _opened(order, tools) as session:
        with about(session=session.manifest.session_id):
            return await _investigate(order, tools, report, session)


async def _investigate(order: Order, tools: Tools, report: Report, session: Session) -> Snapshot:
    if session.manifest.finished:
        return await in_thread(tools.saving, _finished_before, session)
    async with _account(order, tools, session) as account:
        redactor, refused = await in_thread(tools.saving, _redactor, order, tools, session)
        capture = _Capture(order, tools, session, account, report, redactor)
        if refused is not None:
            await capture.refuse(refused)
        async with capture.journal.forgiving(order.stopping):
            for step in () if refused else (capture.seal, capture.plan, capture.ask):
                if not await step():
                    break
            await capture.derived(TimelineStep).make()
            await capture.derived(FindingsStep).make()
            await capture.derived(ReportStep).make(capture.concluded())
            return await capture.finish(await capture.upload(capture.concluded()))


@asynccontextmanager
async def _opened(order: Order, tools: Tools) -> AsyncIterator[Session]:
    """Open the session, and close it at the end, also if this is cancelled while it opens."""
    opening = asyncio.get_running_loop().run_in_executor(tools.saving, _open, order, tools)
    session = await to_the_end(opening, undo=Session.close)
    try:
        yield session
    finally:
        await in_thread(tools.saving, session.close)


def _open(order: Order, tools: Tools) -> Session:
    manifest = find_session(tools.layout, order.owner.uid)
    if manifest is None:
        window, _ = fix_window(order.spec.window, order.created)
        template = Manifest(
            session_id="",
            investigation=order.owner,
            spec=recorded_spec(tools.redaction, order.spec),
            window=window.as_texts(),
            phase="Running",
            start_time=tools.now(),
            operator_version=__version__,
        )
        manifest = create_session(tools.layout, template)
    return Session(tools.layout, manifest)


def _redactor(order: Order, tools: Tools, session: Session) -> tuple[Redactor, Missing | None]:
    """Return the redactor; if the spec's rules cannot be used, one without them, and a gap."""
    key = key_of(session)
    try:
        return redactor_for(tools.redaction, order.spec.redaction, key), None
    except SourceError as e:
        return redactor_for(tools.redaction, None, key), Missing("spec.redaction", e.reason, e.message)


@asynccontextmanager
async def _account(order: Order, tools: Tools, session: Session) -> AsyncIterator[Account]:
    """Open the account of the capture's bytes, and close it at the end."""
    kept_bytes = sum(artifact.size_bytes for done in session.done.values() for artifact in done.artifacts)
    opening = asyncio.get_running_loop().run_in_executor(
        tools.saving, tools.budget.open, tools.layout, order.owner.namespace, session.manifest.session_id, kept_bytes
    )
    account = await to_the_end(opening, undo=tools.budget.close)
    try:
        yield account
    finally:
        await in_thread(tools.saving, tools.budget.close, account)


def _finished_before(session: Session) -> Snapshot:
    """Return the final snapshot of a capture that finished before its last status was written."""
    manifest = session.manifest
    digest = manifest_sha256(session.layout, manifest.session_id)
    return Snapshot(manifest, str(session.path), manifest.questions, manifest.questions, digest)


def _own_rules(order: Order, tools: Tools) -> OwnRules:
    """Return the rules for findings of the admin and of the Investigation."""
    return OwnRules((*tools.finding_rules, *(order.spec.findings.rules if order.spec.findings else ())))


async def _record_interruption(journal: JournalWriter, reason: GapReason) -> None:
    await journal.write(journal.session.record_interruption, reason.value)


class _Capture:
    """A running capture: the state that its steps share, and the steps in order.

    What it holds does not refer to it: its memory is freed at its end, without a collection of garbage.
    """

    def __init__(
        self, order: Order, tools: Tools, session: Session, account: Account, report: Report, redactor: Redactor
    ) -> None:
        self._order, self._tools = order, tools
        self._session = session
        self._account = account
        self._report_to = report
        self._questions: list[Question] = []
        self._window, self._beyond_window = fix_window(order.spec.window, order.created)
        account_name = order.spec.service_account_name or tools.default_service_account
        self._identity = Identity(tools.kubernetes, order.owner.namespace, account_name, self._shared_since())
        self.journal = JournalWriter(session, tools.saving)
        self._deadline = Deadline(
            end=session.manifest.start_time + timedelta(seconds=parse_duration(order.spec.timeout)),
            timeout=order.spec.timeout,
            cancelled=order.cancelled,
            now=tools.now,
            record=partial(_record_interruption, self.journal),
            interruption=interruption_of(session.progress.interruption),
        )
        max_trace_ids = max((request.from_logs.limit for request in order.spec.traces or () if request.from_logs), default=0)
        span = self._window.start, self._window.end
        self._readers = EntryReaders(Timeline(*span), Evidence(*span, own=_own_rules(order, tools)), max_trace_ids)
        self._saver = Saver(session, tools, self._window, account, self._deadline, self._readers, redactor)
        scratches = session.scratches(account.require_room)
        self._sources = Sources(
            namespace=order.owner.namespace,
            window=self._window,
            kubernetes=self._identity.kubernetes,
            http=tools.http,
            data_sources=KubernetesDataSources(
                tools.kubernetes,
                order.owner.namespace,
                tools.operator_namespace,
                tools.ca_bundle,
                tools.proxy,
                tools.source_pace,
            ),
            now=tools.now,
            parsers=tools.parsers,
            scratch=scratches,
            memo_scratch=scratches,
            interrupted=self._deadline.is_over,
            kubelets=tools.kubelets,
            redactor=redactor,
        )

    def _shared_since(self) -> float:
        """Return from which monotonic time on an answer of the Kubernetes API shows the end of the window."""
        left = (self._window.end - self._tools.now()).total_seconds()
        return max(self._order.seen_at, time.monotonic() + left)

    async def refuse(self, missing: Missing) -> None:
        """Capture nothing. `missing`: the gap that gives the reason."""
        self._report()
        await self._give_up_plan(missing)

    async def seal(self) -> bool:
        """Seal the session as the spec asks. Returns False if that failed: nothing may be captured then."""
        self._report()
        wanted = self._order.spec.session.encryption if self._order.spec.session else None
        if wanted is None or self._session.seal is not None:
            return True
        try:
            encryption = await encryption_for(wanted, self._identity)
            await in_thread(self._tools.saving, self._session.record_encryption, encryption)
        except SourceError as e:
            await self._give_up_plan(Missing("session.encryption", e.reason, e.message))
            return False
        return True

    async def plan(self) -> bool:
        """Make the plan, unless an earlier process has made one that can be used. Returns False if that failed."""
        former = FormerPlan.of(self._session.progress.plan, [fetcher.name for fetcher in self._tools.fetchers])
        if former is not None and former.usable:
            fetchers, done = self._tools.fetchers, self._session.done
            self._questions, lost = await former.complete(fetchers, self._order.spec, self._sources, done)
            for unknown in lost:
                await self.journal.record_done(unknown)
        elif self._session.progress.deaths[PLAN_KEY] >= MAX_PLAN_DEATHS:
            await self._give_up_plan(Missing("the plan", GapReason.INTERNAL_ERROR, PLAN_GIVEN_UP), former)
            return False
        else:
            async with self.journal.counted(PLAN_KEY):
                await self._deadline.run([self._make_plan(former)])
            if self._deadline.is_over():
                await self._give_up_plan(self._deadline.missing("the plan"), former)
                return False
        self._report()
        return True

    async def ask(self) -> bool:
        """Ask every question that is not done yet. Afterwards each has artifacts, gaps or both.

        It waits until the second in which the resource was created is over: the window ends with it.
        """
        async with self.journal.syncing_soon():
            left = (self._window.end - self._tools.now()).total_seconds()
            if left > 0:
                await self._deadline.run([self._tools.sleep(min(left, MAX_WAIT_SECONDS))])
            await self._answering().ask(self._questions)
        return True

    def _answering(self) -> Answering:
        return Answering(
            session=self._session,
            tools=self._tools,
            sources=self._sources,
            account=self._account,
            deadline=self._deadline,
            readers=self._readers,
            saver=self._saver,
            journal=self.journal,
            report=self._report,
        )

    def derived(self, step: type[Step]) -> Step:
        """Return a step that derives a document from what is captured."""
        return step(self._order, self._session, self._tools, self._readers, self._saver, self.journal)

    async def upload(self, manifest: Manifest) -> Manifest:
        """Copy the session to object storage if requested. Returns the manifest with the URL of the copy, or with a gap."""

        def sent(number: int) -> None:
            self._report_to(replace(self._snapshot(), uploaded=number))

        uploading = UploadStep(self._order, self._session, self._tools, self._sources.data_sources, self.journal, sent)
        uploaded, missing = await uploading.upload(manifest)
        return self._with_gap(uploaded, missing) if missing else uploaded

    async def finish(self, manifest: Manifest) -> Snapshot:
        """Write the manifest. If that fails, the status has a gap, and the session can be finished later."""
        digest = None
        for last_try in (False, True):
            try:
                digest = await in_thread(self._tools.saving, self._session.finish, manifest)
                break
            except OSError as e:
                if last_try:
                    message = f"the manifest could not be saved: {e.strerror or e}; this status is all there is"
                    manifest = self._with_gap(manifest, Missing("manifest.json", GapReason.SAVE_FAILED, message))
        return Snapshot(manifest, str(self._session.path), manifest.questions, manifest.questions, digest)

    def concluded(self) -> Manifest:
        """Return the final manifest of the capture."""
        manifest = self._snapshot().manifest
        phase = conclude(manifest.artifacts, manifest.gaps, self._deadline.interruption)
        return manifest.model_copy(update={"phase": phase, "completion_time": self._tools.now()})

    async def _make_plan(self, former: FormerPlan | None) -> None:
        questions, gaps = await make_plan(self._tools.fetchers, self._order.spec, self._sources)
        _, stricter = level_for(self._tools.redaction, self._order.spec.redaction)
        gaps[:0] = [gap_of(OWN, missing) for missing in (self._beyond_window, stricter) if missing is not None]
        gaps += former.gaps_of_unanswered([*self._session.done, *(question.key for question in questions)]) if former else []
        await self.journal.record_plan(Done(PLAN_KEY, (), tuple(gaps)), partial(plan_record, questions, self._sources.redactor))
        self._questions = questions

    async def _give_up_plan(self, missing: Missing, former: FormerPlan | None = None) -> None:
        unanswered = former.gaps_of_unanswered(self._session.done) if former else []
        await self.journal.record_done(Done(PLAN_KEY, (), (gap_of(OWN, missing), *unanswered)))

    def _with_gap(self, manifest: Manifest, missing: Missing) -> Manifest:
        """Return the final manifest with one more gap."""
        gaps = [*manifest.gaps, gap_of(OWN, missing)]
        phase = conclude(manifest.artifacts, gaps, self._deadline.interruption)
        return manifest.model_copy(update={"gaps": gaps, "phase": phase})

    def _report(self) -> None:
        self._report_to(self._snapshot())

    def _snapshot(self) -> Snapshot:
        keys = [question.key for question in self._questions]
        done = sum(key in self._session.done for key in keys)
        manifest = self._session.manifest_so_far([FINDINGS_KEY, TIMELINE_KEY, PLAN_KEY, *keys])
        redactor = self._sources.redactor
        record = RedactionRecord(level=redactor.level.value, rules=redactor.rule_names)
        manifest = manifest.model_copy(update={"questions": len(keys), "redaction": record})
        return Snapshot(manifest, str(self._session.path), done, len(keys))
