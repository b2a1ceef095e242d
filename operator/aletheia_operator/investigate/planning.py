"""Makes the plan: the questions of all fetchers, and the gaps that are known before anything is asked.

Its form in the journal: {"version": of the operator, "questions": [{fields of Question}]}.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Fetcher, Missing, Plan, Question, Sources
from aletheia_operator.investigate.gaps import OWN, gap_of, internal_error, save_failed
from aletheia_operator.session import Gap
from aletheia_operator.version import __version__

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FormerPlan:
    """A plan as an earlier process recorded it."""

    version: str
    """Version of the operator that made it."""
    questions: tuple[Question, ...]
    usable: bool
    """Whether this operator can ask the questions. False: only their fetchers, keys and targets are known."""

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
            usable = version == __version__ and all(question.fetcher in fetchers for question in questions)
        except TypeError:
            usable = False
        if usable:
            return cls(version, questions, True)
        listed = listed if isinstance(listed, list) else []
        return cls(version, tuple(_described(question, number) for number, question in enumerate(listed)), False)

    def unasked(self, asked: Iterable[str]) -> list[Gap]:
        """Return a gap for each question with a key that is not in `asked`."""
        known = set(asked)
        version = f"version {self.version}" if self.version else "another version"
        message = f"planned by {version} of the operator, and not by {__version__}, which resumed the capture"
        lost = [question for question in self.questions if question.key not in known]
        return [gap_of(question.fetcher, Missing(question.target, GapReason.INTERNAL_ERROR, message)) for question in lost]


def _described(question: Any, number: int) -> Question:
    """Return what is known of a recorded question of any form. It cannot be asked."""
    fields: Mapping[str, Any] = question if isinstance(question, dict) else {}
    key, target = fields.get("key", f"{OWN}/{number}"), fields.get("target", f"question {number}")
    return Question(str(fields.get("fetcher", OWN)), str(key), str(target), {})


def plan_record(questions: Sequence[Question]) -> dict[str, Any]:
    """Return the plan in the form for the journal."""
    return {"version": __version__, "questions": [asdict(question) for question in questions]}


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
