"""Asks the questions of a plan. Whatever fails, each question ends with artifacts, gaps or both."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import cast

from aletheia_operator import metrics
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Document, Fetcher, FetcherWithSmaller, Missing, Question, Sources, internal_error
from aletheia_operator.investigate.budget import Account, Usage
from aletheia_operator.investigate.deadline import Deadline
from aletheia_operator.investigate.entry_readers import EntryReaders
from aletheia_operator.investigate.gaps import save_failed
from aletheia_operator.investigate.journal_writer import JournalWriter
from aletheia_operator.investigate.order import Tools
from aletheia_operator.investigate.saving import Answer, Saver
from aletheia_operator.investigate.slots import Slots
from aletheia_operator.investigate.threads import in_thread
from aletheia_operator.session import Session
from aletheia_operator.text.trace_ids import merged

log = logging.getLogger(__name__)

MAX_DEATHS = 2
"""A question is not asked again after the process died this many times during it."""
SUSPECT_WAIT_SECONDS = 30
"""Longest wait of a suspect, a question during which the process died once, for other suspects to end."""
GIVEN_UP = "given up: the operator's process ended twice while it was asked, perhaps short of memory"


@dataclass
class Answering:
    """Asks the questions of one capture. `report` is called after each."""

    session: Session
    tools: Tools
    sources: Sources
    account: Account
    deadline: Deadline
    readers: EntryReaders
    saver: Saver
    journal: JournalWriter
    report: Callable[[], None]

    def __post_init__(self) -> None:
        self._fetchers: Mapping[str, Fetcher] = {fetcher.name: fetcher for fetcher in self.tools.fetchers}
        self._logs_left = 0
        self._logs_done = asyncio.Event()
        self._trace_ids: tuple[list[str], bool] = [], False
        self._logs_unsearchable = False  # whether some captured logs can no longer be searched for trace ids

    async def ask(self, questions: Sequence[Question]) -> None:
        """Ask the questions that are not done, until the deadline. Afterwards all are done."""
        done = self.session.done
        waiting = [question for question in questions if question.key not in done]
        self.readers.trace_ids.update({key: answer.trace_ids for key, answer in done.items() if answer.trace_ids is not None})
        wants_ids = bool(self.readers.max_trace_ids)
        before = [done[question.key] for question in questions if question.gives_logs and question.key in done]
        self._logs_unsearchable = wants_ids and any(answer.artifacts and answer.trace_ids is None for answer in before)
        self._logs_left = sum(question.gives_logs for question in waiting)
        if not self._logs_left:
            await self._look_for_trace_ids()
        slots = Slots(waiting, self.tools.max_fetches)
        await self.deadline.run([self._answer(question, slots) for question in waiting])

    async def _answer(self, question: Question, slots: Slots) -> None:
        """Ask one question to its end."""
        async with self.journal.asking():
            await self._answer_and_record(question, slots)
        self._logs_left -= question.gives_logs
        if question.gives_logs and not self._logs_left:
            await self._look_for_trace_ids()

    async def _answer_and_record(self, question: Question, slots: Slots) -> None:
        answer = Answer()
        async with AsyncExitStack() as suspects:  # left when the answer is recorded: until then, a death counts against it
            taken: Question | None = question
            if self._is_given_up(question):
                answer.missing.append(Missing(question.target, GapReason.INTERNAL_ERROR, GIVEN_UP))
                taken = self._smaller(question)
            if taken is not None:
                await self._ask(taken, answer, slots, suspects)
            await self._done(question, answer)

    def _is_given_up(self, question: Question) -> bool:
        return self.session.progress.deaths[question.key] >= MAX_DEATHS

    def _smaller(self, question: Question) -> Question | None:
        """Return what to ask in place of a question that is given up; None for nothing, also if the fetcher fails to tell."""
        fetcher = self._fetchers.get(question.fetcher)
        try:
            smaller = fetcher.smaller(question) if isinstance(fetcher, FetcherWithSmaller) else None
        except Exception:
            log.exception("no smaller question for %s", question.key)
            return None
        return None if smaller is None or self._is_given_up(smaller) else smaller

    async def _ask(self, question: Question, answer: Answer, slots: Slots, suspects: AsyncExitStack) -> None:
        """Ask a question, and add artifacts and gaps to the answer."""
        is_suspect = self.session.progress.deaths[question.key] > 0
        try:
            if question.after_logs:
                await self._logs_done.wait()
                self._add_trace_id_gaps(question, answer)
            async with slots.slot(question):
                await self.account.wait_for_room()
                async with self._counted(question, suspects if is_suspect else None):
                    await self._fetch(question, answer)
        except asyncio.CancelledError:
            if not self.deadline.is_over():  # the process stops; the next one resumes the capture
                raise
            answer.missing.append(self.deadline.missing(question.target))
        except SourceError as e:
            answer.missing.append(Missing(question.target, e.reason, e.message))
        except OSError as e:
            answer.missing.append(save_failed(question.target, e))
        except Exception:
            log.exception("question %s failed", question.key)
            answer.missing.append(internal_error(question.target))

    @asynccontextmanager
    async def _counted(self, question: Question, suspects: AsyncExitStack | None) -> AsyncIterator[None]:
        """Record that the question is asked, so that a death of the process counts against it.

        After a death, each question that was being asked is a suspect. Suspects of all captures are asked one at a time, so
        that a second death counts only against the question that caused it. A suspect that waited too long is asked without
        being counted: evidence must not wait for the slow source of another capture.
        """
        if suspects is not None:
            try:
                await asyncio.wait_for(self.tools.suspects.acquire(), SUSPECT_WAIT_SECONDS)
                suspects.callback(self.tools.suspects.release)
            except TimeoutError:
                yield
                return
        async with self.journal.counted(question.key, lambda: not self.deadline.is_over()):
            yield

    async def _fetch(self, question: Question, answer: Answer) -> None:
        """Save each document that the question's fetcher yields."""
        fetcher = self._fetchers[question.fetcher]
        scratches = self.session.scratches(self.account.require_room)
        try:
            with self.account.using(Usage(scratches)) as usage, metrics.FETCH_SECONDS.labels(question.fetcher).time():
                sources = replace(self.sources, scratch=scratches, trace_ids=self._first_trace_ids)
                documents = cast("AsyncGenerator[Document, None]", fetcher.fetch(question, sources))
                async with aclosing(documents):
                    async for document in documents:
                        await self.saver.save(question, document, answer, usage)
                        if answer.interrupted:
                            break
        finally:
            if not self.session.close_scratches(scratches, may_block=False):
                await in_thread(self.tools.saving, self.session.close_scratches, scratches)

    async def _done(self, question: Question, answer: Answer) -> None:
        written = sum(artifact.size_bytes for artifact in answer.artifacts)
        metrics.CAPTURED_BYTES.labels(question.fetcher).inc(written)
        await self.journal.record_done(answer.done(question, self.readers.trace_ids.get(question.key), self.sources.redactor))
        self.report()

    async def _look_for_trace_ids(self) -> None:
        """Find the trace ids in all captured logs, for the questions that wait for them."""
        found = [trace_ids for trace_ids in self.readers.trace_ids.values() if trace_ids.ids]
        self._trace_ids = await in_thread(self.tools.saving, merged, found) if found else ([], False)
        self._logs_done.set()

    def _first_trace_ids(self, limit: int) -> tuple[list[str], bool]:
        ids, more = self._trace_ids
        return ids[:limit], more or len(ids) > limit

    def _add_trace_id_gaps(self, question: Question, answer: Answer) -> None:
        if self._logs_unsearchable:
            message = "logs captured before a restart of the operator are sealed, and cannot be searched for trace ids"
            answer.missing.append(Missing(question.target, GapReason.UNAVAILABLE, message))
        if self.readers.not_searched:
            message = f"logs of {', '.join(sorted(self.readers.not_searched)[:3])} could not be searched for trace ids"
            answer.missing.append(Missing(question.target, GapReason.INTERNAL_ERROR, message))
