"""Tells whether a log that the API returned is of the expected run. The API shows two runs, and a restart moves both."""

from collections.abc import Callable, Iterable, Mapping

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.kubernetes.containers import ContainerState, Run, parse
from aletheia_operator.fetchers.kubernetes.logs_by_api import LogSource
from aletheia_operator.fetchers.kubernetes.run_log import RunLog
from aletheia_operator.logs.framing import SECOND_LENGTH
from aletheia_operator.text.timestamps import NANOSECONDS, format_nanoseconds, to_nanoseconds

RECENT_NANOSECONDS = 2 * NANOSECONDS  # longest delay between a kubelet and the API server's status
SourceOf = Callable[[Run], LogSource]


async def is_stale(logs: Iterable[RunLog], state: ContainerState, window: Window, source_of: SourceOf) -> bool:
    """Return whether logs are of a later run than `state` knows: a kubelet reports to the API server a little late."""
    by_number = {one.run.number: one for one in logs if one.via == "api"}
    if any(one.position.first > _end_of(one.run) for one in by_number.values() if one.position.first):
        return True
    latest = by_number.get(state.latest.number) if state.latest is not None else None
    if latest is None or latest.missing:
        return False
    recent = format_nanoseconds(to_nanoseconds(window.end) - RECENT_NANOSECONDS)
    if latest.position.first and latest.position.first < recent:
        return False  # a run that the state does not know is younger
    try:
        first = await source_of(state.before or Run(state.container, previous=True)).first_time()
    except SourceError:
        return False
    return bool(first) and (state.before is None or first > _end_of(state.before))


async def forget_others(logs: Mapping[int | None, RunLog], state: ContainerState, source_of: SourceOf) -> list[int | None]:
    """After a restart, keep the logs that are of the expected runs, and read those again that show another run.

    Returns the numbers of the runs that were not read and no longer can be. What was read in their place is dropped.
    """
    replaced = []
    for number, one in logs.items():
        if one.via != "api" or (one.missing and not one.position.first):
            continue
        run, first = state.run(number), one.position.first
        if run is not None:
            try:
                shown = await source_of(run).first_time(one.start[:SECOND_LENGTH])
            except SourceError:
                continue
            if shown != first and not (first and shown > first):  # behind it where the log was rotated since
                one.begin_again("api")
        elif any(later.started_at and first and first >= later.started_at[:SECOND_LENGTH] for later in state.runs):
            one.close()
            replaced.append(number)
        elif not one.complete or not first:
            one.say(GapReason.LOG_INCOMPLETE, "the container restarted before this run was surely read to its end")
            one.complete = True
    return replaced


def _end_of(run: Run) -> str:
    """Return a time, sortable as text, that no line of the run exceeds."""
    finished = parse(run.finished_at)
    return "~" if finished is None else format_nanoseconds(to_nanoseconds(finished) + NANOSECONDS)
