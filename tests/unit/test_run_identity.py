"""Whether a log is of the expected run, if the API does not answer the question."""

from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.fetchers.kubernetes.containers import ContainerState, Run
from aletheia_operator.fetchers.kubernetes.logs_by_api import LogSource
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from aletheia_operator.fetchers.kubernetes.run_identity import UNKNOWN_RUN, drop_logs_of_other_runs, is_stale
from aletheia_operator.fetchers.kubernetes.run_log import RunLog
from tests.unit.fakes import Content, WithoutLogs, make_run_log, make_window

WINDOW = make_window("2026-11-22T11:00:00+00:00", "2026-11-22T11:30:00+00:00")
LATEST = Run("app", 1, started_at="2026-11-22T11:29:50Z")
STATE = ContainerState("app", 1, LATEST, Run("app", 0, previous=True, finished_at="2026-11-22T11:29:40Z"))
SILENT = Unavailable("the Kubernetes API does not answer")
GONE = Rejected("previous terminated container not found", GapReason.REJECTED)


def asking(error: Exception) -> Any:
    kubernetes = WithoutLogs(error).real()
    return lambda run: LogSource(kubernetes, "/log", run.container, run.previous, NodeHealth(kubernetes, None))


async def a_log() -> RunLog:
    """The log of the latest run, which is so young that it may be that of a later one."""
    log = make_run_log(LATEST, WINDOW)
    log.via = "api"
    await log.read(Content([b"2026-11-22T11:29:51.000000000Z started\n"]).iter_any())
    return log


@pytest.mark.parametrize(("error", "stale"), [(SILENT, True), (GONE, False)], ids=["no answer", "there is no earlier run"])
async def test_a_check_that_fails_is_not_passed(error: SourceError, stale: bool) -> None:
    """Without an answer the log may be of a later run: the caller tries again, and then adds a gap."""
    log = await a_log()
    assert await is_stale([log], STATE, WINDOW, asking(error)) is stale
    log.close()


@pytest.mark.parametrize(("error", "gaps"), [(SILENT, 1), (GONE, 0)], ids=["no answer", "the run is gone"])
async def test_a_log_that_may_be_of_a_later_run_has_a_gap(error: SourceError, gaps: int) -> None:
    """It is kept, and must not look complete."""
    log = await a_log()
    assert not await drop_logs_of_other_runs({1: log}, STATE, asking(error))
    assert [(gap.target, gap.reason) for gap in log.missing] == [
        ("pod/web-0 container/app (run 1)", GapReason.LOG_INCOMPLETE)
    ] * gaps
    assert all(UNKNOWN_RUN in gap.message for gap in log.missing)
    log.close()
