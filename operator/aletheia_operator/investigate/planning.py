"""Makes the plan: the questions of all fetchers, and the gaps that are known before anything is asked."""

import asyncio
import logging
from collections.abc import Sequence

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Fetcher, Missing, Plan, Question, Sources
from aletheia_operator.investigate.gaps import gap_of, internal_error
from aletheia_operator.session import Gap

log = logging.getLogger(__name__)


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
            gaps.setdefault(missing, gap_of(fetcher.name, missing))
    return questions, list(gaps.values())


async def _plan_of(fetcher: Fetcher, spec: InvestigationSpec, sources: Sources) -> Plan:
    try:
        return await fetcher.plan(spec, sources)
    except SourceError as e:
        return Plan(missing=(Missing("all targets", e.reason, e.message),))
    except Exception:
        log.exception("planning %s failed", fetcher.name)
        return Plan(missing=(internal_error("all targets"),))
