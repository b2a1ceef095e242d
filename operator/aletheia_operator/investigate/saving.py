"""Saves documents as artifacts: collects the entries, then writes the file in one call.

If a document breaks off, the entries so far are kept, and its outcome has a gap.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Batch, Document, Missing, Outcome, Question, Window, internal_error, parts_of
from aletheia_operator.investigate.budget import Account, Usage
from aletheia_operator.investigate.deadline import Deadline
from aletheia_operator.investigate.entry_readers import EntryReader, EntryReaders
from aletheia_operator.investigate.gaps import gap_of, save_failed
from aletheia_operator.investigate.order import Tools
from aletheia_operator.investigate.threads import in_thread, to_the_end
from aletheia_operator.memory import give_back
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.documents import redact_document
from aletheia_operator.scratch import Scratches
from aletheia_operator.session import Artifact, Done, EntryBuffer, Origin, Session, WrittenFile, encoded
from aletheia_operator.text.sizes import counted
from aletheia_operator.text.timestamps import format_time
from aletheia_operator.text.trace_ids import TraceIds

T = TypeVar("T")

log = logging.getLogger(__name__)

SMALL_BYTES = 1024 * 1024
"""Artifacts up to this size do not wait for larger ones: they mostly wait for the disk, which takes several at once."""
OWN_SOURCE = "aletheia"
"""Source of documents that are derived from captured ones."""


@dataclass
class Answer:
    """Artifacts and gaps of one question so far."""

    artifacts: list[Artifact] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)
    """Origins by the artifact's path."""
    missing: list[Missing] = field(default_factory=list)
    interrupted: bool = False
    """Whether a document was interrupted because the capture ended. Request no further document then."""

    def done(self, question: Question, trace_ids: TraceIds | None = None, redactor: Redactor | None = None) -> Done:
        """Return the answer in the form for the journal. `redactor`: of the capture."""
        gaps = tuple(gap_of(question.fetcher, gap, redactor) for gap in self.missing)
        return Done(question.key, tuple(self.artifacts), gaps, trace_ids, self.origins)


@dataclass(frozen=True)
class Saver:
    """Saves the documents of one capture."""

    session: Session
    tools: Tools
    window: Window
    account: Account
    deadline: Deadline
    readers: EntryReaders
    redactor: Redactor

    async def save(self, question: Question, document: Document, answer: Answer, usage: Usage) -> None:
        """Save a document as an artifact, if it has content. Adds the artifact and its gaps to the answer."""
        outcome = document.outcome
        redactor = self.redactor.another()
        collected_at = self.tools.now()
        scratches = self.session.scratches()
        entries = EntryBuffer(scratches)
        reader = self.readers.open(question, document)
        try:
            answer.interrupted = await self._collect(entries, reader, question, document, usage)
            outcome.summary = redactor.text(outcome.summary)
            complete = all(gap.severity == "note" for gap in outcome.missing)
            if entries.count or complete:
                metadata = {
                    **document.metadata,
                    **outcome.metadata,
                    "time_range": self.window.as_texts(),
                    "collected_at": format_time(collected_at),
                    "count": entries.count,
                    "summary": outcome.summary,
                    "complete": complete,
                    "gaps": [gap_of(question.fetcher, gap, self.redactor).to_json() for gap in outcome.missing],
                    "redactions": dict(sorted(outcome.redactions.items())),
                    "unscanned": self._unscanned(outcome),
                }
                written = await self._write(document, metadata, entries, reader, collected_at)
                self.account.kept_bytes += entries.size_bytes
                artifact = self._artifact(question, document, entries.count, complete, written)
                answer.artifacts.append(artifact)
                answer.origins[artifact.path] = Origin(document.source, document.category)
        except OSError as e:
            outcome.missing.append(save_failed(question.target, e))
        finally:
            answer.missing += outcome.missing
            usage.waiting_bytes = 0
            if entries.uses_files or not self.session.close_scratches(scratches, may_block=False):
                await self._uninterrupted(in_thread(self.tools.saving, self._give_up, entries, scratches))

    def _unscanned(self, outcome: Outcome) -> list[str]:
        return outcome.unscanned if self.redactor.is_on else ["everything"]

    def _give_up(self, entries: EntryBuffer, scratches: Scratches) -> None:
        entries.close()
        self.session.close_scratches(scratches)
        if entries.size_bytes > SMALL_BYTES:
            give_back()

    def _artifact(self, question: Question, document: Document, count: int, complete: bool, written: WrittenFile) -> Artifact:
        return Artifact(
            path=written.path,
            fetcher=question.fetcher,
            target=self.redactor.another().text(document.target or question.target),
            count=count,
            # a summary may quote the content, so it stays in the sealed file
            summary=document.outcome.summary if self.session.seal is None else f"{counted(count, 'entry')}, sealed",
            counts=document.outcome.counts if self.session.seal is None else "",
            time_range=list(self.window.as_texts()),
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            complete=complete,
            redactions=dict(sorted(document.outcome.redactions.items())),
            unscanned=self._unscanned(document.outcome),
        )

    async def _write(
        self, document: Document, metadata: dict[str, Any], entries: EntryBuffer, reader: EntryReader, collected_at: datetime
    ) -> WrittenFile:
        """Write the file, and pass its path to the reader."""

        def write() -> WrittenFile:
            redactor = self.redactor.another()
            if document.source != OWN_SOURCE:  # derived from redacted documents
                redact_document(metadata, redactor)
            name = [redactor.text(part) for part in document.name]
            written = self.session.write(document.category, name, document.source, metadata, entries, collected_at)
            reader.close(written.path, metadata)
            return written

        async def limited() -> WrittenFile:
            async with self.tools.writing if entries.size_bytes > SMALL_BYTES else nullcontext():
                return await in_thread(self.tools.saving, write)

        return await self._uninterrupted(limited())

    async def _uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work to its end. An interruption by the deadline is ignored; one of the whole process is raised afterwards."""
        task = asyncio.ensure_future(work)
        try:
            return await to_the_end(task)
        except asyncio.CancelledError:
            if not self.deadline.is_over() or task.cancelled():
                raise
            return task.result()

    async def _in_grace(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work as `_uninterrupted` does. Raises CancelledError if the grace period after the deadline is over."""
        result = await self._uninterrupted(work)
        task = asyncio.current_task()
        if task is not None and task.cancelling() > 1:
            raise asyncio.CancelledError
        return result

    async def _collect(
        self, entries: EntryBuffer, reader: EntryReader, question: Question, document: Document, usage: Usage
    ) -> bool:
        """Collect entries until they end, break off, are interrupted or reach a limit. Return whether they were interrupted."""
        missing = document.outcome.missing
        try:
            if spent := self.account.exceeded():
                missing.append(Missing(question.target, GapReason.BUDGET_EXCEEDED, spent))
                return False
            async with aclosing(_entries(question, document)) as batches:
                async for batch in batches:
                    adding = in_thread(self.tools.saving, self._add, entries, reader, batch, usage)
                    spent = await (self._in_grace(adding) if document.is_stored else adding)
                    if spent:
                        missing.append(Missing(question.target, GapReason.BUDGET_EXCEEDED, spent))
                        break
        except asyncio.CancelledError:
            if not self.deadline.is_over():
                raise
            missing.append(self.deadline.missing(question.target))
            return True
        return self.deadline.is_over()

    def _add(self, entries: EntryBuffer, reader: EntryReader, batch: Batch, usage: Usage) -> str | None:
        """Add a batch. Returns why the artifact is cut after it, or within it; None while there is room. Blocks."""
        for part in parts_of(batch):
            added = encoded(part)
            entries.add(added)
            reader.read(part, added)
            usage.waiting_bytes = entries.size_bytes
            if spent := self._spent(entries):
                return spent
        return None

    def _spent(self, entries: EntryBuffer) -> str | None:
        """Return why the artifact is cut here, for a gap; None while there is room."""
        if entries.size_bytes >= self.tools.max_artifact_bytes:
            return f"the artifact was cut at its limit of {self.tools.max_artifact_bytes} bytes"
        spent = self.account.exceeded()
        return f"the artifact was cut: {spent}" if spent else None


async def _entries(question: Question, document: Document) -> AsyncGenerator[Batch, None]:
    """Yield the document's entries. If the source fails, they end, and a gap is added."""
    missing = document.outcome.missing
    try:
        async with aclosing(document.batches) as batches:
            async for batch in batches:
                yield batch
    except SourceError as e:
        missing.append(Missing(question.target, e.reason, e.message))
    except Exception:
        log.exception("question %s failed", question.key)
        missing.append(internal_error(question.target))
