"""Base class of the steps that derive one document from the captured evidence: timeline, findings and report."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Literal

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Question
from aletheia_operator.investigate.answering import GIVEN_UP, MAX_DEATHS
from aletheia_operator.investigate.entry_readers import EntryReaders
from aletheia_operator.investigate.journal_writer import JournalWriter
from aletheia_operator.investigate.order import Order, Tools
from aletheia_operator.investigate.saving import Answer, Saver
from aletheia_operator.investigate.threads import in_thread
from aletheia_operator.session import Origin, Session

Severity = Literal["gap", "note"]


@dataclass(frozen=True)
class DerivedStep:
    """A step that derives one document."""

    order: Order
    session: Session
    tools: Tools
    readers: EntryReaders
    saver: Saver
    journal: JournalWriter

    async def may_begin(self, question: Question, severity: Severity = "gap") -> bool:
        """Return whether the step may begin. False, with a gap recorded: the process died in it too often.

        `severity`: of that gap.
        """
        if self.session.progress.deaths[question.key] >= MAX_DEATHS:
            given_up = Answer(missing=[Missing(question.target, GapReason.INTERNAL_ERROR, GIVEN_UP, severity)])
            await self.journal.record_without_sync(given_up.done(question))
            return False
        return True

    def origins(self, reads: Callable[[Origin], bool]) -> dict[str, Origin]:
        """Return the saved artifacts with an origin that `reads` accepts, by path."""
        found: dict[str, Origin] = {}
        for done in self.session.done.values():
            kept = {artifact.path for artifact in done.artifacts}
            found |= {path: origin for path, origin in done.origins.items() if path in kept and reads(origin)}
        return found

    async def read_again(self, origins: dict[str, Origin]) -> list[str]:
        """Read the artifacts that an earlier process saved. Returns the paths of those that cannot be read."""
        unread = {path: origin for path, origin in origins.items() if path not in self.readers.in_timeline}
        return await in_thread(self.tools.saving, self._read_again, unread) if unread else []

    def _read_again(self, unread: dict[str, Origin]) -> list[str]:
        return [path for path, origin in unread.items() if not self.readers.read_again(self.session.path / path, path, origin)]


async def one_batch(entries: list[Any]) -> AsyncGenerator[list[Any], None]:
    yield entries
