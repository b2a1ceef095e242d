"""Finishes a pod's logs after all was read: applies the budgets, collects the gaps, and writes the summary."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Missing, Outcome
from aletheia_operator.fetchers.kubernetes.container_logs import ContainerLogs
from aletheia_operator.fetchers.kubernetes.containers import Run, lost_runs
from aletheia_operator.fetchers.kubernetes.run_log import LogLimits, RunLog
from aletheia_operator.logs.framing import SECOND_LENGTH
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.spool import Spool, share
from aletheia_operator.text.batches import LEVEL_CODES
from aletheia_operator.text.sizes import counted

MAX_LOST_RUNS = 10  # that get a gap each; older runs share a gap


async def finish_logs(target: str, containers: Sequence[ContainerLogs], limits: LogLimits, outcome: Outcome) -> None:
    """Get the result of every run, thin out what exceeds the budgets, and complete the outcome."""
    logs = [log for container in containers for log in container.in_order]
    missing = [
        Missing(
            f"{target} container/{container.planned.container}", GapReason.CONTAINER_NOT_STARTED, container.planned.not_started
        )
        for container in containers
        if container.planned.not_started is not None and not container.logs
    ]
    count = LevelCount()
    for log in logs:
        try:
            await log.end()
        except SourceError as e:  # the Investigation ended: there is no time to read it again
            log.add_gap(e.reason, e.message)
        missing += log.missing
        if log.result is not None:
            count.merge(log.result.count)
            outcome.redactions.update(log.result.redactions)
    for container in containers:
        missing += container.missing + _lost(target, container)
    total, kept = await _fit(logs, limits, missing)
    outcome.missing += _distinct(missing, outcome.missing)
    outcome.summary, outcome.counts = count.summary(), count.counts()
    outcome.metadata |= {
        "levels": dict(count.levels),
        "runs": [{"container": log.run.container, "run": log.run.number} for log in logs],
        "via": {str(log.run): log.via for log in sorted(logs, key=lambda log: str(log.run)) if log.via},
        "kept": _by_level(kept),
        "dropped": _by_level(total - kept),
    }


async def _fit(logs: Sequence[RunLog], limits: LogLimits, missing: list[Missing]) -> tuple[Counter[int], Counter[int]]:
    """Thin out what exceeds the budgets. Returns how many entries there were and how many are kept, by level code."""
    total, kept = Counter[int](), Counter[int]()
    spools = [(log, log.result.spool) for log in logs if log.result is not None]
    shares = share([spool.size_bytes for _, spool in spools], limits.bytes_per_pod)
    for (log, spool), max_bytes in zip(spools, shares, strict=True):
        try:
            await asyncio.to_thread(spool.finish, min(max_bytes, limits.bytes_per_container))
        except OSError as e:
            message = f"the session volume refused the write: {e.strerror or e}"
            missing.append(Missing(f"{log.target} {log.run}", GapReason.SAVE_FAILED, message))
        total += spool.total
        kept += spool.kept
        if spool.over_budget and spool.total != spool.kept:
            missing.append(_dropped(log, spool))
    return total, kept


def _dropped(log: RunLog, spool: Spool) -> Missing:
    what = ", ".join(f"{number} {level}" for level, number in _by_level(spool.total - spool.kept).items())
    message = (
        f"kept {spool.kept.total()} of {counted(spool.total.total(), 'line')}, errors first and an even sample of the rest;"
        f" dropped: {what}. Raise spec.logs.limits, or narrow the window"
    )
    return Missing(f"{log.target} {log.run}", GapReason.BUDGET_EXCEEDED, message)


def _by_level(codes: Counter[int]) -> dict[str, int]:
    """Return counts by level, the worst first; `none` for lines without a level."""
    return {LEVEL_CODES[code] or "none": codes[code] for code in sorted(codes, reverse=True) if codes[code]}


def _lost(target: str, container: ContainerLogs) -> list[Missing]:
    """Return a gap for each run that took place and was not captured. Of many runs, all but the latest share one gap."""
    logs = container.logs.values()
    begun = [
        Run(log.run.container, log.run.number, started_at=f"{log.position.first[:SECOND_LENGTH]}Z")
        for log in logs
        if log.position.first
    ]
    captured = [log.run for log in logs]
    numbers = lost_runs(
        container.known_runs, captured, [*container.dated_runs, *begun], container.window, container.first_number
    )
    old, latest = numbers[:-MAX_LOST_RUNS], numbers[-MAX_LOST_RUNS:]
    names = [*([f"runs {old[0]} to {old[-1]}"] if old else []), *(f"run {number}" for number in latest)]
    name = container.planned.container
    return [
        Missing(
            f"{target} container/{name} ({runs})",
            GapReason.LOG_UNAVAILABLE,
            f"{runs} of container {name} may belong to the window, but its log is gone: a node keeps the last one or two",
        )
        for runs in names
    ]


def _distinct(missing: Sequence[Missing], before: Sequence[Missing]) -> list[Missing]:
    """Return the gaps that are not in `before`, each once. A full volume refuses a run's entries repeatedly: one gap."""

    def key(gap: Missing) -> object:
        return (gap.target, gap.reason) if gap.reason is GapReason.SAVE_FAILED else gap

    distinct = {key(gap): gap for gap in reversed(missing)}
    known = {key(gap) for gap in before}
    return [gap for kept, gap in reversed(distinct.items()) if kept not in known]
