"""Makes the plan: the questions of all fetchers, and the gaps that are known before anything is asked.

Its form in the journal: {"version": of the operator, "questions": [{fields of Question}], "redacted": [keys]}. A query may
contain secrets. The journal has it without them, and `redacted` has the keys of such questions. When a capture is resumed,
their fetchers plan them again from the spec.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Fetcher, Missing, Plan, Question, Sources, internal_error
from aletheia_operator.investigate.gaps import OWN, gap_of, save_failed
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.specs import redact_spec
from aletheia_operator.session import Done, Gap
from aletheia_operator.version import __version__

MAX_PLAN_DEATHS = 4
"""Deaths of the process after which no plan is made: more than of a question, since without a plan nothing is asked."""
PLAN_GIVEN_UP = f"given up: the operator's process ended {MAX_PLAN_DEATHS} times while it was made, perhaps short of memory"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FormerPlan:
    """A plan as an earlier process recorded it."""

    version: str
    """Version of the operator that made it."""
    questions: tuple[Question, ...]
    usable: bool
    """Whether this operator can ask the questions. False: only their fetchers, keys and targets are known."""
    redacted: frozenset[str] = frozenset()
    """Keys of questions that were recorded without their secrets."""

    @classmethod
    def of(cls, record: Any, fetchers: Collection[str]) -> "FormerPlan | None":
        """Read a plan of any version from the journal. `fetchers`: known names. Returns None if `record` is None."""
        if record is None:
            return None
        record = record if isinstance(record, dict) else {}
        listed: Any = record.get("questions")
        version = str(record.get("version", ""))
        try:
            questions = tuple(Question(**fields) for fields in listed)
            redacted = frozenset(map(str, record.get("redacted") or ()))
            usable = version == __version__ and all(question.fetcher in fetchers for question in questions)
        except TypeError:
            usable = False
        if usable:
            return cls(version, questions, True, redacted)
        listed = listed if isinstance(listed, list) else []
        return cls(version, tuple(_described(question, number) for number, question in enumerate(listed)), False)

    def gaps_of_unanswered(self, answered: Iterable[str]) -> list[Gap]:
        """Return a gap for each question with a key that is not in `answered`."""
        known = set(answered)
        version = f"version {self.version}" if self.version else "another version"
        message = f"planned by {version} of the operator, and not by {__version__}, which resumed the capture"
        lost = [question for question in self.questions if question.key not in known]
        return [gap_of(question.fetcher, Missing(question.target, GapReason.INTERNAL_ERROR, message)) for question in lost]

    async def complete(
        self, fetchers: Sequence[Fetcher], spec: InvestigationSpec, sources: Sources, done: Collection[str]
    ) -> tuple[list[Question], list[Done]]:
        """Return the questions, with secrets from the spec, and a gap for each that the spec no longer yields.

        `done`: keys of questions that need not be asked any more.
        """
        wanted = {question.key: question.fetcher for question in self.questions if question.key in self.redacted - {*done}}
        if not wanted:
            return [*self.questions], []
        planned, _ = await make_plan([fetcher for fetcher in fetchers if fetcher.name in wanted.values()], spec, sources)
        by_key = {question.key: question for question in planned if question.key in wanted}
        message = "its query has a secret, which is not stored, and could not be read from the spec again"
        lost = [
            Done(question.key, (), (gap_of(question.fetcher, Missing(question.target, GapReason.INTERNAL_ERROR, message)),))
            for question in self.questions
            if question.key in wanted.keys() - by_key.keys()
        ]
        return [by_key.get(question.key, question) for question in self.questions], lost


def _described(question: Any, number: int) -> Question:
    """Return what is known of a recorded question of any form. It cannot be asked."""
    fields: Mapping[str, Any] = question if isinstance(question, dict) else {}
    key, target = fields.get("key", f"{OWN}/{number}"), fields.get("target", f"question {number}")
    return Question(str(fields.get("fetcher", OWN)), str(key), str(target), {})


def plan_record(questions: Sequence[Question], redactor: Redactor) -> dict[str, Any]:
    """Return the plan in the form for the journal, without secrets of the spec's queries. Blocks."""
    recorded, redacted = [], []
    for question in questions:
        fields = asdict(question)
        if "request" in question.arguments:  # the others have names of objects, and are not planned again: objects may be gone
            changed = redact_spec(fields["arguments"], redactor.another())
            fields["target"] = redactor.another().text(question.target)
            if changed or fields["target"] != question.target:
                redacted.append(question.key)
        recorded.append(fields)
    return {"version": __version__, "questions": recorded, "redacted": redacted}


async def make_plan(fetchers: Sequence[Fetcher], spec: InvestigationSpec, sources: Sources) -> tuple[list[Question], list[Gap]]:
    """Return the questions and gaps of all fetchers, in the order of the fetchers, which plan concurrently.

    A fetcher that cannot plan becomes a gap. Equal gaps of several fetchers become one.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_plan_of(fetcher, spec, sources)) for fetcher in fetchers]
    questions: list[Question] = []
    gaps: dict[Missing, Gap] = {}
    for fetcher, task in zip(fetchers, tasks, strict=True):
        questions += task.result().questions
        for missing in task.result().missing:
            gaps.setdefault(missing, gap_of(fetcher.name, missing, sources.redactor))
    return questions, list(gaps.values())


async def _plan_of(fetcher: Fetcher, spec: InvestigationSpec, sources: Sources) -> Plan:
    try:
        return await fetcher.plan(spec, sources)
    except SourceError as e:
        return Plan(missing=(Missing("all targets", e.reason, e.message),))
    except OSError as e:
        return Plan(missing=(save_failed("all targets", e),))
    except Exception:
        log.exception("planning %s failed", fetcher.name)
        return Plan(missing=(internal_error("all targets"),))
