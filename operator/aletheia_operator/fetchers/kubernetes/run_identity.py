"""Determines whether a log that the API returned is of the expected run. The API shows two runs, and a restart moves both."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.kubernetes.containers import ContainerState, Run
from aletheia_operator.fetchers.kubernetes.logs_by_api import NO_PREVIOUS, LogSource
from aletheia_operator.fetchers.kubernetes.run_log import RunLog
from aletheia_operator.logs.framing import SECOND_LENGTH
from aletheia_operator.text.timestamps import NANOSECONDS, format_nanoseconds, parse_time, to_nanoseconds

RECENT_SECONDS = 30  # longest delay between a kubelet and the API server's status, on an overloaded node
DRAINED_SECONDS = 2  # times of a status have whole seconds; and a container's last lines get their times a little late
UNKNOWN_RUN = "of which run of the container this log is, is not known"
SourceOf = Callable[[Run], LogSource]


async def is_stale(logs: Iterable[RunLog], state: ContainerState, window: Window, source_of: SourceOf) -> bool:
    """Return whether logs are of a later run than `state` knows: a kubelet reports to the API server a little late.

    True also if that cannot be found out because the API does not answer: the caller tries again, and then adds a gap.
    """
    by_number = {log.run.number: log for log in logs if log.via == "api"}
    if of_other_runs(by_number, state):
        return True
    latest = by_number.get(state.latest.number) if state.latest is not None else None
    if latest is None or latest.missing or (latest.position.first and not may_be_later(latest, state, window)):
        return False
    try:
        ended = await source_of(state.before or Run(state.container, previous=True)).last_time()
    except SourceError as e:
        return not _is_run_gone(e)
    if state.waits:  # until it is started again, the API shows the same run in both places
        return ended < latest.position.first if latest.position.first else ended >= latest.start
    return bool(ended) and (state.before is None or ended > _end_of(state.before))


def of_other_runs(logs: Mapping[int | None, RunLog], state: ContainerState) -> list[int | None]:
    """Return the numbers of the logs that the API returned of a later run, by the end of the run that `state` knows."""
    return [
        number
        for number, log in logs.items()
        if log.via == "api" and log.position.latest > _end_of(state.run(number) or log.run)
    ]


def may_be_later(log: RunLog, state: ContainerState, window: Window) -> bool:
    """Return whether a log may be of a later run than expected: none of its lines is older than that run can be.

    A later run begins after the end of the expected one. While that one runs by `state`, the API server may not know of the
    restart yet: then any young log may be of a later run.
    """
    run = state.run(log.run.number) or log.run
    following = next((known for known in state.runs if known.number == (run.number or 0) + 1), None)
    begins = (following and following.started_at) or run.finished_at
    recent = format_nanoseconds(to_nanoseconds(window.end) - RECENT_SECONDS * NANOSECONDS)
    return log.via == "api" and log.position.first >= (begins[:SECOND_LENGTH] if begins else recent)


async def is_moved(log: RunLog, run: Run, source_of: SourceOf) -> bool | None:
    """Return whether another run has taken the place of `run` in the API; None if that is not known.

    Call it after a read that did not continue the earlier one. Asks the kubelet, which knows of a restart before the API server
    does.
    """
    if run.previous:
        return True  # the log of a run that ended is not rotated
    try:
        first = await source_of(replace(run, previous=True)).first_time(log.since)
    except Rejected as e:
        return False if NO_PREVIOUS in e.message else None
    except SourceError:
        return None
    return first >= log.position.first if first else None


async def drop_logs_of_other_runs(
    logs: Mapping[int | None, RunLog], state: ContainerState, source_of: SourceOf
) -> list[int | None]:
    """After a restart, keep the logs that are of the expected runs, and read those again that show another run.

    Returns the numbers of the runs that can no longer be read, since another run's log was read instead. Their logs are closed.
    """
    replaced = []
    for number, log in logs.items():
        if log.via != "api" or (log.missing and not log.position.first):
            continue
        run, first = state.run(number), log.position.first
        if run is not None:
            try:
                shown = await source_of(run).first_time(log.since)
            except SourceError as e:
                if _is_run_gone(e):
                    continue
                log.add_gap(GapReason.LOG_INCOMPLETE, f"{UNKNOWN_RUN}: {e.message}")
                continue
            if shown != first and not (first and shown > first):  # after it if the log was rotated since
                log.begin_again("api")
        elif any(later.started_at and first and first >= later.started_at[:SECOND_LENGTH] for later in state.runs):
            log.close()
            replaced.append(number)
        elif not log.complete or not first:
            log.add_gap(GapReason.LOG_INCOMPLETE, "the container restarted, perhaps before this run was read to its end")
            log.complete = True
    return replaced


def _is_run_gone(error: SourceError) -> bool:
    """Return whether the API has no run in that place: there is none, or the node has removed it. Not if its pod is gone."""
    return isinstance(error, Rejected) and error.reason != GapReason.NOT_FOUND


def _end_of(run: Run) -> str:
    """Return a time, sortable as text, that no line of the run exceeds."""
    finished = parse_time(run.finished_at)
    return "~" if finished is None else format_nanoseconds(to_nanoseconds(finished) + DRAINED_SECONDS * NANOSECONDS)
