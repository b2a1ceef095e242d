"""The timeline step: makes one ordered artifact of all that was captured. Files of an earlier process are read again."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Question
from aletheia_operator.investigate.answering import GIVEN_UP, MAX_DEATHS
from aletheia_operator.investigate.budget import Usage
from aletheia_operator.investigate.entry_readers import EntryReaders
from aletheia_operator.investigate.journal_writer import JournalWriter
from aletheia_operator.investigate.order import Order, Tools
from aletheia_operator.investigate.saving import Answer, Saver
from aletheia_operator.investigate.threads import in_thread
from aletheia_operator.session import Origin, Session

TIMELINE_KEY = "timeline"
TIMELINE = Question("Timeline", TIMELINE_KEY, "timeline", {})


@dataclass(frozen=True)
class TimelineStep:
    """Makes the timeline of one session."""

    order: Order
    session: Session
    tools: Tools
    readers: EntryReaders
    saver: Saver
    journal: JournalWriter

    async def make(self) -> None:
        """Save the timeline, unless it is done or there is nothing to show."""
        origins = self._origins()
        if not origins or TIMELINE_KEY in self.session.done:
            return
        if self.session.progress.deaths[TIMELINE_KEY] >= MAX_DEATHS:
            given_up = Answer(missing=[Missing("timeline", GapReason.INTERNAL_ERROR, GIVEN_UP)])
            await self.journal.record_done(given_up.done(TIMELINE))
            return
        await self.journal.write(self.session.record_begun, TIMELINE_KEY)
        answer, outcome = Answer(), Outcome()
        outcome.missing += await in_thread(self.tools.saving, self._read_again, origins)
        document = await in_thread(self.tools.saving, self._document, outcome)
        await self.saver.save(TIMELINE, document, answer, Usage())
        await self.journal.record_done(answer.done(TIMELINE))

    def _origins(self) -> dict[str, Origin]:
        """Return the artifacts that the timeline is made of, by path."""
        timeline = self.readers.timeline
        return {
            path: origin
            for done in self.session.done.values()
            for path, origin in done.origins.items()
            if timeline.reader(*origin) is not None and path in {artifact.path for artifact in done.artifacts}
        }

    def _read_again(self, origins: Mapping[str, Origin]) -> list[Missing]:
        """Read the files that the timeline has not seen yet. Returns gaps for those that cannot be read or parsed."""
        missing = []
        for path, origin in origins.items():
            if path not in self.readers.in_timeline and not self.readers.read_again(self.session.path / path, path, origin):
                message = "captured before a restart of the operator, and cannot be read again: the timeline is without it"
                missing.append(Missing(path, GapReason.UNAVAILABLE, message))
        message = "a fault of the operator's own, which its log has: the timeline is without some of its entries"
        missing += [Missing(target, GapReason.INTERNAL_ERROR, message) for target in sorted(self.readers.not_in_timeline)]
        return missing

    def _document(self, outcome: Outcome) -> Document:
        timeline = self.readers.timeline
        outcome.summary = timeline.summary()
        owner = self.order.owner
        return Document(
            category="timeline",
            source="aletheia",
            name=("timeline",),
            metadata={"investigation": owner.name, "namespace": owner.namespace, **timeline.metadata()},
            batches=_batch(timeline.entries()),
            outcome=outcome,
        )


async def _batch(entries: list[Any]) -> AsyncGenerator[list[Any], None]:
    yield entries
