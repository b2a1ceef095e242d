"""The timeline step: makes one ordered artifact of all that was captured. Files of an earlier process are read again."""

from collections.abc import Sequence
from dataclasses import dataclass

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Question
from aletheia_operator.investigate.budget import Usage
from aletheia_operator.investigate.derived_step import DerivedStep, one_batch
from aletheia_operator.investigate.saving import OWN_SOURCE, Answer
from aletheia_operator.investigate.threads import in_thread
from aletheia_operator.report import LoadedDocument

TIMELINE_KEY = "timeline"
TIMELINE = Question("Timeline", TIMELINE_KEY, "timeline", {})


@dataclass(frozen=True)
class TimelineStep(DerivedStep):
    """Makes the timeline of one session."""

    async def make(self) -> None:
        """Save the timeline, unless it is done or there is nothing to show."""
        origins = self.origins(lambda origin: self.readers.timeline.reader(*origin) is not None)
        if not origins or TIMELINE_KEY in self.session.done or not await self.may_begin(TIMELINE):
            return
        answer, outcome = Answer(), Outcome()
        async with self.journal.counted(TIMELINE_KEY):
            unread = await self.read_again(origins)
            outcome.missing += self._gaps(unread)
            document = await in_thread(self.tools.saving, self._document, outcome)
            await self.saver.save(TIMELINE, document, answer, Usage())
        await self.journal.record_without_sync(answer.done(TIMELINE))

    def _gaps(self, unread: Sequence[str]) -> list[Missing]:
        """Return the gaps of the timeline. `unread`: paths of artifacts that cannot be read again."""
        message = "captured before a restart of the operator, and cannot be read again: the timeline is without it"
        missing = [Missing(path, GapReason.UNAVAILABLE, message) for path in unread]
        message = "a fault of the operator's own, which its log has: the timeline is without some of its entries"
        missing += [Missing(target, GapReason.INTERNAL_ERROR, message) for target in sorted(self.readers.not_in_timeline)]
        return missing

    def _document(self, outcome: Outcome) -> Document:
        timeline = self.readers.timeline
        outcome.summary = timeline.summary()
        owner = self.order.owner
        entries = timeline.entries()
        self.readers.in_memory["timeline"] = LoadedDocument(timeline.metadata(), entries)
        return Document(
            category="timeline",
            source=OWN_SOURCE,
            name=("timeline",),
            metadata={"investigation": owner.name, "namespace": owner.namespace, **timeline.metadata()},
            batches=one_batch(entries),
            outcome=outcome,
        )
