"""The way of the data: plan, fetch, save, record; then the manifest.

A capture that was broken off goes on: the session's journal has the plan and what is done. Nothing asked for is dropped
silently: each question ends as artifacts, gaps or both.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aletheia_operator.api import InvestigationSpec, parse_duration
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import MAX_MESSAGE, SourceError
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.identity import Identity
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.datasources.finder import KubernetesDataSources
from aletheia_operator.fetchers import FETCHERS, Fetcher
from aletheia_operator.fetchers.base import Document, Entries, Findings, Missing, Plan, Question, Sources
from aletheia_operator.investigate.budget import Account, Budget
from aletheia_operator.investigate.decisions import conclude, fix_window
from aletheia_operator.investigate.sealing import encryption_for
from aletheia_operator.investigate.slots import Slots
from aletheia_operator.investigate.upload import SOURCE_TYPE, GivenUp, Uploader
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.session import (
    Artifact,
    ArtifactWriter,
    Done,
    Gap,
    InvestigationReference,
    Manifest,
    Session,
    SessionLayout,
    create_session,
    encoded,
    find_session,
    read_artifact,
)
from aletheia_operator.session.manifest_file import manifest_bytes
from aletheia_operator.settings import Limits
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import format_time
from aletheia_operator.text.trace_ids import TraceIds, first
from aletheia_operator.timeline import Reader, Timeline
from aletheia_operator.version import __version__

log = logging.getLogger(__name__)

INTERRUPTION_GRACE_SECONDS = 30  # to save what is in flight when the time is up
PLAN_KEY = "plan"
TIMELINE_KEY = "timeline"
KUBERNETES = "kubernetes"  # the source of what a timeline is made of
MAX_TARGET = 300
UPLOAD_THREADS = 4  # each holds a part of a file in memory
UPLOAD_REASONS = frozenset({GapReason.NO_DATA_SOURCE, GapReason.NOT_ALLOWED, GapReason.CANCELLED})
"""That say by themselves why a session was not uploaded; anything else is UploadFailed."""
INTERNAL_ERROR = "a fault of the operator's own; its log has the details"


def utc_now() -> datetime:
    return datetime.now(UTC)


def upload_threads() -> Executor:
    return ThreadPoolExecutor(UPLOAD_THREADS, "upload")


@dataclass(frozen=True)
class Tools:
    """What every capture of this process shares."""

    layout: SessionLayout
    kubernetes: Kubernetes
    http: Http
    fetchers: Sequence[Fetcher] = FETCHERS
    default_service_account: str | None = None
    kubelets: Kubelets | None = None
    """None: log files are not read from nodes."""
    parsers: Parsers = field(default_factory=Parsers)
    writing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Whose turn it is to write an artifact's file."""
    max_fetches: int = Limits.max_fetches
    """Questions of one Investigation that are asked at the same time."""
    max_artifact_bytes: int = Limits.max_artifact_bytes
    """A larger artifact is cut there, with a gap."""
    budget: Budget = field(default_factory=Budget)
    operator_namespace: str | None = None
    """Where the Secrets of DataSources are."""
    uploads: Executor = field(default_factory=upload_threads)
    """Of their own: a bucket that hangs must not keep others from saving."""
    now: Callable[[], datetime] = utc_now


@dataclass
class Order:
    """One Investigation as it was applied. Set `cancelled` to end it early; what was captured is kept."""

    owner: InvestigationReference
    created: datetime
    spec: InvestigationSpec
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Snapshot:
    """How a capture stands. `manifest_sha256` is known at the end, unless the manifest could not be saved."""

    manifest: Manifest
    path: str
    done: int
    total: int
    manifest_sha256: str | None = None
    uploaded: int | None = None
    """Artifacts that lie in object storage; None while none is to be sent yet. The capture is over then."""


Report = Callable[[Snapshot], None]


async def investigate(order: Order, tools: Tools, report: Report) -> Snapshot:
    """Capture what the order asks for, or take up a capture that was broken off; call `report` after each step.

    Raises OSError where the session volume cannot be used at all, and SessionBusy where another process holds the session.
    """
    session = await asyncio.to_thread(_open, order, tools)
    try:
        return await _Capture(order, tools, session, report).run()
    finally:
        session.close()


def _open(order: Order, tools: Tools) -> Session:
    manifest = find_session(tools.layout, order.owner.uid)
    if manifest is None:
        window, _ = fix_window(order.spec.window, order.created)
        template = Manifest(
            session_id="",
            investigation=order.owner,
            spec=order.spec.to_json(),
            window=window.as_texts(),
            phase="Running",
            start_time=tools.now(),
            operator_version=__version__,
        )
        manifest = create_session(tools.layout, template)
    return Session(tools.layout, manifest)


async def _to_its_end(function: Callable[[Any], None], argument: Any) -> None:
    """Call in a thread; a cancellation waits for the call to end, so that nobody goes on beside it."""
    work = asyncio.ensure_future(asyncio.to_thread(function, argument))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


def _append(writer: ArtifactWriter, reader: Reader | None, trace_ids: TraceIds | None, batch: Entries) -> None:
    entries = encoded(batch)
    writer.append(entries)
    try:
        if reader is not None:
            reader.see(batch)
        if trace_ids is not None:
            trace_ids.see(entries.block)
    except Exception:  # evidence is worth more than the view of it
        log.exception("%s could not be looked through", writer.relative_path)


class _Capture:
    def __init__(self, order: Order, tools: Tools, session: Session, report: Report) -> None:
        self.order = order
        self.tools = tools
        self.session = session
        self.report = report
        self.window, self.beyond_window = fix_window(order.spec.window, order.created)
        self.identity = Identity(
            tools.kubernetes, order.owner.namespace, order.spec.service_account_name or tools.default_service_account
        )
        self.sources = Sources(
            namespace=order.owner.namespace,
            window=self.window,
            kubernetes=self.identity.kubernetes,
            http=tools.http,
            data_sources=KubernetesDataSources(tools.kubernetes, order.owner.namespace, tools.operator_namespace),
            now=tools.now,
            parsers=tools.parsers,
            scratch=session.scratch,
            interrupted=lambda: self.interruption is not None,
            kubelets=tools.kubelets,
            trace_ids=self._trace_ids,
        )
        self.trace_ids: dict[str, TraceIds] = {}  # by question
        self.most_trace_ids = max((one.from_logs.limit for one in order.spec.traces or () if one.from_logs), default=0)
        self.logs_left = 0
        self.logs_done = asyncio.Event()
        self.timeline = Timeline(self.window.start, self.window.end)
        self.seen: set[str] = set()  # artifacts that the timeline saw
        self.fetchers = {fetcher.name: fetcher for fetcher in tools.fetchers}
        self.questions: list[Question] = []
        self.interruption: GapReason | None = None

    async def run(self) -> Snapshot:
        if self.session.manifest.finished:
            return await asyncio.to_thread(self._finished_before)
        self.account = await asyncio.to_thread(self._open_account)
        try:
            return await self._capture()
        finally:
            self.tools.budget.close(self.account)

    def _open_account(self) -> Account:
        kept_bytes = sum(artifact.size_bytes for done in self.session.done.values() for artifact in done.artifacts)
        owner, session_id = self.order.owner, self.session.manifest.session_id
        return self.tools.budget.open(self.tools.layout, owner.namespace, session_id, kept_bytes)

    async def _capture(self) -> Snapshot:
        self.report(self._snapshot())
        if not await self._seal():
            return await self._finish()
        if self.session.plan is None:
            await self._before_the_deadline([self._make_plan()])
        if self.interruption is not None:
            await self._record(Done(PLAN_KEY, (), (self._gap("Investigation", self._interrupted("the plan")),)))
            return await self._finish()
        self.questions = [Question(**question) for question in (self.session.plan or {})["questions"]]
        self.report(self._snapshot())
        waiting = [question for question in self.questions if question.key not in self.session.done]
        turns = Slots(waiting, self.tools.max_fetches)
        self.trace_ids = {done.key: done.trace_ids for done in self.session.done.values() if done.trace_ids is not None}
        self.logs_left = sum(question.gives_logs for question in waiting)
        if not self.logs_left:
            self.logs_done.set()
        await self._before_the_deadline([self._answer(question, turns) for question in waiting])
        return await self._finish()

    async def _seal(self) -> bool:
        """Whether the session is sealed as the spec asks; what was captured without would lie there for all to read."""
        wanted = self.order.spec.session.encryption if self.order.spec.session else None
        if wanted is None or self.session.seal is not None:
            return True
        try:
            encryption = await encryption_for(wanted, self.identity)
            await asyncio.to_thread(self.session.record_encryption, encryption)
        except SourceError as e:
            gap = self._gap("Investigation", Missing("session.encryption", e.reason, e.message))
            await self._record(Done(PLAN_KEY, (), (gap,)))
            return False
        return True

    async def _before_the_deadline(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Do all the work at once; when the time is up or the order is cancelled, interrupt what still runs."""
        tasks = [asyncio.create_task(one) for one in work]
        cancelled: asyncio.Future[Any] = asyncio.create_task(self.order.cancelled.wait())
        everything: asyncio.Future[Any] = asyncio.gather(*tasks)
        try:
            await asyncio.wait({everything, cancelled}, timeout=self._remaining(), return_when=asyncio.FIRST_COMPLETED)
            if everything.done():
                everything.result()
                return
            self.interruption = GapReason.CANCELLED if cancelled.done() else GapReason.TIMED_OUT
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=INTERRUPTION_GRACE_SECONDS)
        finally:
            for future in (*tasks, cancelled):
                future.cancel()
            await asyncio.gather(everything, cancelled, return_exceptions=True)

    def _remaining(self) -> float:
        """Seconds until the deadline, which a restart of the operator does not move."""
        deadline = self.session.manifest.start_time + timedelta(seconds=parse_duration(self.order.spec.timeout))
        return max(0.0, (deadline - self.tools.now()).total_seconds())

    def _interrupted(self, target: str) -> Missing:
        if self.interruption is GapReason.CANCELLED:
            return Missing(target, GapReason.CANCELLED, "the Investigation was cancelled before this was captured")
        message = f"the Investigation's timeout of {self.order.spec.timeout} ran out before this was captured"
        return Missing(target, GapReason.TIMED_OUT, message)

    async def _make_plan(self) -> None:
        plans = await asyncio.gather(*(self._plan_of(fetcher) for fetcher in self.tools.fetchers))
        gaps = [self._gap("Investigation", self.beyond_window)] if self.beyond_window else []
        questions: list[Question] = []
        said: list[Missing] = []
        for fetcher, plan in zip(self.tools.fetchers, plans, strict=True):
            questions += plan.questions
            news = [
                missing for missing in plan.missing if missing not in said
            ]  # a target that is gone is one gap, not one a fetcher
            gaps += [self._gap(fetcher.name, missing) for missing in news]
            said += news
        await self._record(Done(PLAN_KEY, (), tuple(gaps)))
        await self._keep(self.session.record_plan, {"questions": [asdict(question) for question in questions]})

    async def _plan_of(self, fetcher: Fetcher) -> Plan:
        try:
            return await fetcher.plan(self.order.spec, self.sources)
        except SourceError as e:
            return Plan(missing=(Missing("all targets", e.reason, e.message),))
        except Exception:
            log.exception("planning %s failed", fetcher.name)
            return Plan(missing=(Missing("all targets", GapReason.INTERNAL_ERROR, INTERNAL_ERROR),))

    async def _answer(self, question: Question, turns: Slots) -> None:
        """One question to its end: whatever happens, it is done with artifacts, gaps or both."""
        artifacts: list[Artifact] = []
        missing: list[Missing] = []
        try:
            if question.after_logs:
                await self.logs_done.wait()
            async with turns.turn(question):
                async for document in self.fetchers[question.fetcher].fetch(question, self.sources):
                    artifact = await self._save(question, document)
                    missing += document.findings.missing
                    if artifact is not None:
                        artifacts.append(artifact)
        except asyncio.CancelledError:
            if self.interruption is None:  # the process stops: the next one goes on
                raise
            missing.append(self._interrupted(question.target))
        except SourceError as e:
            missing.append(Missing(question.target, e.reason, e.message))
        except OSError as e:
            message = f"the session volume refused the write: {e.strerror or type(e).__name__}"
            missing.append(Missing(question.target, GapReason.SAVE_FAILED, message))
        except Exception:
            log.exception("question %s failed", question.key)
            missing.append(Missing(question.target, GapReason.INTERNAL_ERROR, INTERNAL_ERROR))
        gaps = tuple(self._gap(question.fetcher, one) for one in missing)
        await self._record(Done(question.key, tuple(artifacts), gaps, self.trace_ids.get(question.key)))
        self.report(self._snapshot())
        self.logs_left -= question.gives_logs
        if not self.logs_left:
            self.logs_done.set()

    def _trace_ids(self, limit: int) -> tuple[list[str], bool]:
        return first(list(self.trace_ids.values()), limit)

    async def _save(self, question: Question, document: Document) -> Artifact | None:
        """Write a document as an artifact; what breaks off is kept as far as it came, and said in the findings."""
        findings = document.findings
        writer: ArtifactWriter | None = None
        try:
            collected_at = self.tools.now()
            writer = await asyncio.to_thread(self._new_writer, question, document, collected_at)
            reader = self.timeline.reader(writer.relative_path, document.category) if document.source == KUBERNETES else None
            await self._write(writer, reader, question, document)
            complete = all(one.severity == "note" for one in findings.missing)
            if writer.count == 0 and not complete:
                return None
            metadata = {
                **document.metadata,
                **findings.metadata,
                "time_range": self.window.as_texts(),
                "collected_at": format_time(collected_at),
                "count": writer.count,
                "summary": findings.summary,
                "complete": complete,
                "gaps": [self._gap(question.fetcher, one).to_json() for one in findings.missing],
            }
            size, digest = await self._commit(writer, metadata)
            if reader is not None:
                reader.close(metadata)
                self.seen.add(writer.relative_path)
        except OSError as e:
            if writer is not None:
                self.account.kept_bytes -= writer.size_bytes
            findings.missing.append(_save_failed(question.target, e))
            return None
        finally:
            if writer is not None:
                writer.discard()
        return Artifact(
            path=writer.relative_path,
            fetcher=question.fetcher,
            target=document.target or question.target,
            count=writer.count,
            # what a summary quotes of the content stays sealed with it
            summary=findings.summary if self.session.seal is None else f"{writer.count} entries, sealed",
            time_range=list(self.window.as_texts()),
            size_bytes=size,
            sha256=digest,
            complete=complete,
        )

    async def _commit(self, writer: ArtifactWriter, metadata: dict[str, Any]) -> tuple[int, str]:
        """An interruption comes too late here: the file is whole, and is listed."""
        work = asyncio.ensure_future(self._write_file(writer, metadata))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            if self.interruption is None:
                raise
            return work.result()

    async def _write_file(self, writer: ArtifactWriter, metadata: dict[str, Any]) -> tuple[int, str]:
        async with self.tools.writing:
            return await asyncio.to_thread(writer.commit, metadata)

    def _new_writer(self, question: Question, document: Document, now: datetime) -> ArtifactWriter:
        if question.key == TIMELINE_KEY:
            return self.session.new_timeline(document.source)
        return self.session.new_artifact(document.category, document.name, document.source, now)

    async def _write(self, writer: ArtifactWriter, reader: Reader | None, question: Question, document: Document) -> None:
        """Entries to the writer, until they end, break off, are interrupted, or fill the limit."""
        missing = document.findings.missing
        trace_ids = None
        if question.gives_logs and self.most_trace_ids:
            trace_ids = self.trace_ids.setdefault(question.key, TraceIds(self.most_trace_ids))
        try:
            if spent := self.account.exceeded():
                missing.append(Missing(question.target, GapReason.BUDGET_EXCEEDED, spent))
                return
            async with aclosing(self._entries(question, document)) as batches:
                async for batch in batches:
                    before = writer.size_bytes
                    await _to_its_end(partial(_append, writer, reader, trace_ids), batch)
                    self.account.kept_bytes += writer.size_bytes - before
                    if spent := self._spent(writer):
                        missing.append(Missing(question.target, GapReason.BUDGET_EXCEEDED, spent))
                        break
        except asyncio.CancelledError:
            if self.interruption is None:
                raise
            missing.append(self._interrupted(question.target))

    def _spent(self, writer: ArtifactWriter) -> str | None:
        """Why the artifact is cut here; None while there is room."""
        if writer.size_bytes >= self.tools.max_artifact_bytes:
            return f"the artifact was cut at its limit of {self.tools.max_artifact_bytes} bytes"
        spent = self.account.exceeded()
        return f"the artifact was cut: {spent}" if spent else None

    async def _entries(self, question: Question, document: Document) -> AsyncGenerator[Entries, None]:
        """The document's entries. Where the source fails they end, and what is missing is said."""
        missing = document.findings.missing
        try:
            async with aclosing(document.batches) as batches:
                async for batch in batches:
                    yield batch
        except SourceError as e:
            missing.append(Missing(question.target, e.reason, e.message))
        except Exception:
            log.exception("question %s failed", question.key)
            missing.append(Missing(question.target, GapReason.INTERNAL_ERROR, INTERNAL_ERROR))

    def _gap(self, fetcher: str, missing: Missing) -> Gap:
        """A gap as it is kept and shown: what it quotes is made inert."""
        return Gap(
            fetcher=fetcher,
            target=one_line(missing.target, MAX_TARGET),
            reason=missing.reason.value,
            message=one_line(missing.message, MAX_MESSAGE),
            severity=missing.severity,
        )

    async def _record(self, done: Done) -> None:
        """Keep what a question became; an artifact that cannot get its name is a gap."""
        await self._keep(self.session.record, done)
        refused = await asyncio.to_thread(self.session.publish, done)
        if refused:
            kept = tuple(artifact for artifact in done.artifacts if artifact.path not in refused)
            lost = [artifact for artifact in done.artifacts if artifact.path in refused]
            gaps = [self._gap(one.fetcher, _save_failed(one.target, refused[one.path])) for one in lost]
            await self._keep(self.session.record, replace(done, artifacts=kept, gaps=(*done.gaps, *gaps)))

    async def _keep(self, write: Callable[..., None], *what: Any) -> None:
        """Write to the journal. Without it the capture goes on all the same: it serves only to go on after a crash."""
        try:
            await asyncio.to_thread(write, *what)
        except OSError as e:
            log.warning("the journal of session %s cannot be written: %s", self.session.manifest.session_id, e.strerror)

    async def _finish(self) -> Snapshot:
        await self._make_timeline()
        manifest, digest = await self._uploaded(self._concluded()), None
        for last_try in (False, True):
            try:
                digest = await asyncio.to_thread(self.session.finish, manifest)
                break
            except OSError as e:
                if last_try:
                    message = f"the manifest could not be saved: {e.strerror or e}; this status is all there is"
                    manifest = self._with_gap(manifest, Missing("manifest.json", GapReason.SAVE_FAILED, message))
        return Snapshot(manifest, str(self.session.path), manifest.questions, manifest.questions, digest)

    async def _uploaded(self, manifest: Manifest) -> Manifest:
        """The manifest as it lies in object storage, if that was asked for; with the gap that says why, if it does not."""
        wanted = self.order.spec.session.upload if self.order.spec.session else None
        if wanted is None:
            return manifest
        if not self.session.upload_begun:
            await self._keep(self.session.record_upload)
        # of this process: evidence is not lost by uploading late, so the time that the operator was down does not count
        deadline = self.tools.now() + timedelta(seconds=parse_duration(wanted.timeout))

        async def wait(seconds: float) -> None:
            left = (deadline - self.tools.now()).total_seconds()
            if seconds and left > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.order.cancelled.wait(), min(seconds, left))
            if self.order.cancelled.is_set():
                raise GivenUp("the Investigation was cancelled before the session was uploaded", GapReason.CANCELLED)
            if left <= seconds:
                raise GivenUp(f"the upload's timeout of {wanted.timeout} ran out", GapReason.TIMED_OUT)

        async def find() -> Endpoint:
            name = wanted.data_source_ref.name if wanted.data_source_ref else None
            found = await self.sources.data_sources.find(SOURCE_TYPE, name)
            left = int((deadline - self.tools.now()).total_seconds())
            return replace(found, timeout_seconds=max(1, min(found.timeout_seconds, left)))

        def sent(number: int) -> None:
            self.report(replace(self._snapshot(), uploaded=number))

        try:
            uploader = Uploader(find, self.tools.uploads, wait, sent, self.session.upload_begun)
            return await uploader.run(self.session.path, manifest, manifest_bytes)
        except SourceError as e:
            reason, message = e.reason, e.message
        except Exception:
            log.exception("uploading session %s failed", manifest.session_id)
            reason, message = GapReason.INTERNAL_ERROR, INTERNAL_ERROR
        reason = reason if reason in UPLOAD_REASONS else GapReason.UPLOAD_FAILED
        return self._with_gap(
            manifest, Missing("session.upload", reason, f"{message.rstrip('.')}. The session stays on its volume")
        )

    async def _make_timeline(self) -> None:
        """The timeline of what was captured; of what an earlier process captured, the files are read again."""
        artifacts = [one for one in self._snapshot().manifest.artifacts if one.fetcher.startswith("Kubernetes")]
        if not artifacts or TIMELINE_KEY in self.session.done:
            return
        findings = Findings()
        for artifact in artifacts:
            if artifact.path not in self.seen and not await asyncio.to_thread(self._see_again, artifact):
                message = "captured before a restart of the operator, and cannot be read again: the timeline is without it"
                findings.missing.append(Missing(artifact.path, GapReason.UNAVAILABLE, message))
        findings.summary = self.timeline.summary()
        asked = {"investigation": self.order.owner.name, "namespace": self.order.owner.namespace}
        question = Question("Timeline", TIMELINE_KEY, "timeline", {})
        document = Document(
            category="timeline",
            source="aletheia",
            name=("timeline",),
            metadata={**asked, **self.timeline.metadata()},
            batches=self._moments(),
            findings=findings,
        )
        saved = await self._save(question, document)
        gaps = tuple(self._gap(question.fetcher, one) for one in findings.missing)
        await self._record(Done(TIMELINE_KEY, (saved,) if saved else (), gaps))

    async def _moments(self) -> AsyncGenerator[list[Any], None]:
        yield self.timeline.entries()

    def _see_again(self, artifact: Artifact) -> bool:
        """Show the timeline a file that is already saved; whether it could be read."""
        reader = self.timeline.reader(artifact.path, artifact.path.split("/")[1])
        if reader is None:
            return True
        try:
            metadata, entries = read_artifact(self.session.path / artifact.path)
            reader.see(entries)
        except (OSError, ValueError):
            return False
        reader.close(metadata)
        return True

    def _concluded(self) -> Manifest:
        manifest = self._snapshot().manifest
        phase = conclude(manifest.artifacts, manifest.gaps, self.interruption)
        return manifest.model_copy(update={"phase": phase, "completion_time": self.tools.now()})

    def _with_gap(self, manifest: Manifest, missing: Missing) -> Manifest:
        """A concluded manifest with one gap more."""
        gaps = [*manifest.gaps, self._gap("Investigation", missing)]
        return manifest.model_copy(update={"gaps": gaps, "phase": conclude(manifest.artifacts, gaps, self.interruption)})

    def _finished_before(self) -> Snapshot:
        """The end of a capture whose last word, the status, was lost."""
        manifest = self.session.manifest
        return Snapshot(
            manifest, str(self.session.path), manifest.questions, manifest.questions, self.session.manifest_sha256()
        )

    def _snapshot(self) -> Snapshot:
        done = sum(question.key in self.session.done for question in self.questions)
        total = len(self.questions)
        manifest = self.session.manifest_so_far([TIMELINE_KEY, PLAN_KEY, *(question.key for question in self.questions)])
        return Snapshot(manifest.model_copy(update={"questions": total}), str(self.session.path), done, total)


def _save_failed(target: str, error: OSError) -> Missing:
    return Missing(target, GapReason.SAVE_FAILED, f"the session volume refused the write: {error.strerror or error}")
