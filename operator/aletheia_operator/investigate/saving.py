"""Document to artifact: entries are collected as they come, then the file is written in one call.

What breaks off is kept as far as it came, and said in the document's findings.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Document, Entries, Missing, Question, Window
from aletheia_operator.investigate.budget import Account, Usage
from aletheia_operator.investigate.deadline import Deadline
from aletheia_operator.investigate.gaps import gap_of, internal_error, save_failed
from aletheia_operator.investigate.order import Tools
from aletheia_operator.investigate.threads import in_thread, to_the_end
from aletheia_operator.investigate.views import View, Views
from aletheia_operator.session import Artifact, EntryBuffer, Origin, Session, Written, encoded
from aletheia_operator.text.timestamps import format_time

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saved:
    """An artifact, and where its entries came from."""

    artifact: Artifact
    origin: Origin


@dataclass(frozen=True)
class Saver:
    """Saves the documents of one capture."""

    session: Session
    tools: Tools
    window: Window
    account: Account
    deadline: Deadline
    views: Views

    async def save(self, question: Question, document: Document, usage: Usage) -> Saved | None:
        """Save a document as an artifact. None if there was nothing to keep; `document.findings` says then what is missing."""
        findings = document.findings
        collected_at = self.tools.now()
        scratches = self.session.scratches()
        entries = EntryBuffer(scratches)
        view = self.views.view(question, document)
        try:
            await self._collect(entries, view, question, document, usage)
            complete = all(one.severity == "note" for one in findings.missing)
            if entries.count == 0 and not complete:
                return None
            metadata = {
                **document.metadata,
                **findings.metadata,
                "time_range": self.window.as_texts(),
                "collected_at": format_time(collected_at),
                "count": entries.count,
                "summary": findings.summary,
                "complete": complete,
                "gaps": [gap_of(question.fetcher, one).to_json() for one in findings.missing],
            }
            written = await self._write(document, metadata, entries, collected_at)
            self.account.kept_bytes += entries.size_bytes
            await in_thread(self.tools.saving, view.close, written.path, metadata)
        except OSError as e:
            findings.missing.append(save_failed(question.target, e))
            return None
        finally:
            usage.waiting_bytes = 0
            await in_thread(self.tools.saving, self._give_up, entries, scratches)
        artifact = self._artifact(question, document, entries.count, complete, written)
        return Saved(artifact, Origin(document.source, document.category))

    def _give_up(self, entries: EntryBuffer, scratches: Any) -> None:
        entries.close()
        self.session.close_scratches(scratches)

    def _artifact(self, question: Question, document: Document, count: int, complete: bool, written: Written) -> Artifact:
        return Artifact(
            path=written.path,
            fetcher=question.fetcher,
            target=document.target or question.target,
            count=count,
            # what a summary quotes of the content stays sealed with it
            summary=document.findings.summary if self.session.seal is None else f"{count} entries, sealed",
            time_range=list(self.window.as_texts()),
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            complete=complete,
        )

    async def _write(
        self, document: Document, metadata: dict[str, Any], entries: EntryBuffer, collected_at: datetime
    ) -> Written:
        """Write the file. An interruption comes too late here: the file is whole, and is listed."""

        async def write() -> Written:
            async with self.tools.writing:
                return await in_thread(
                    self.tools.saving,
                    self.session.write,
                    document.category,
                    document.name,
                    document.source,
                    metadata,
                    entries,
                    collected_at,
                )

        work = asyncio.ensure_future(write())
        try:
            return await to_the_end(work)
        except asyncio.CancelledError:
            if self.deadline.interruption is None:
                raise
            return work.result()

    async def _collect(self, entries: EntryBuffer, view: View, question: Question, document: Document, usage: Usage) -> None:
        """Collect entries until they end, break off, are interrupted, or fill a limit."""
        missing = document.findings.missing
        try:
            if spent := self.account.exceeded():
                missing.append(Missing(question.target, GapReason.BUDGET_EXCEEDED, spent))
                return
            async with aclosing(_entries(question, document)) as batches:
                async for batch in batches:
                    await in_thread(self.tools.saving, _add, entries, view, batch)
                    usage.waiting_bytes = entries.size_bytes
                    if spent := self._spent(entries):
                        missing.append(Missing(question.target, GapReason.BUDGET_EXCEEDED, spent))
                        break
        except asyncio.CancelledError:
            if self.deadline.interruption is None:
                raise
            missing.append(self.deadline.missing(question.target))

    def _spent(self, entries: EntryBuffer) -> str | None:
        """Why the artifact is cut here; None while there is room."""
        if entries.size_bytes >= self.tools.max_artifact_bytes:
            return f"the artifact was cut at its limit of {self.tools.max_artifact_bytes} bytes"
        spent = self.account.exceeded()
        return f"the artifact was cut: {spent}" if spent else None


def _add(entries: EntryBuffer, view: View, batch: Entries) -> None:
    added = encoded(batch)
    entries.add(added)
    view.see(batch, added)


async def _entries(question: Question, document: Document) -> AsyncGenerator[Entries, None]:
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
        missing.append(internal_error(question.target))
