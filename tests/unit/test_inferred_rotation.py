"""A rotation that the API does not show is inferred from the log's rate, but not from a burst after a start."""

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.fetchers.base import Missing
from aletheia_operator.fetchers.kubernetes.containers import Run
from aletheia_operator.fetchers.kubernetes.logs_by_api import LogSource, check_rotation
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from tests.unit.fakes import Content, FakeKubernetes, WithoutLogs, make_run_log, make_window

MIB = 1024 * 1024
STARTED = "2026-11-22T11:30:00Z"


def lines_from(first: float, bytes_per_second: int, seconds: int = 3) -> list[bytes]:
    """Lines as the API has them, ten a second, beginning `first` seconds after the start."""
    text = b"x" * (bytes_per_second // 10 - 32)
    moments = (first + number / 10 for number in range(seconds * 10))
    return [f"2026-11-22T11:30:{moment:012.9f}Z ".encode() + text + b"\n" for moment in moments]


async def gaps_of(lines: list[bytes], fake: FakeKubernetes) -> list[Missing]:
    kubernetes = fake.real()
    window = make_window("2026-11-22T11:00:00+00:00", "2026-11-22T11:40:00+00:00")
    log = make_run_log(Run("app", 0, started_at=STARTED), window)
    await log.read(Content(list(lines)).iter_any())
    await check_rotation(log, LogSource(kubernetes, "/log", "app", False, NodeHealth(kubernetes, None)))
    await log.end()
    log.close()
    return log.missing


@pytest.mark.parametrize(
    ("first", "bytes_per_second", "reported"),
    [
        pytest.param(0.4, 8 * MIB, False, id="a burst in the second of the start"),
        pytest.param(1.6, MIB // 3, False, id="a burst after a start whose time is cut to whole seconds"),
        pytest.param(7.0, MIB // 30, False, id="a quiet start of a slow log"),
        pytest.param(7.0, MIB // 20, True, id="a log that fills a file in less, if it was thrice as fast before"),
        pytest.param(9.0, MIB, True, id="nine seconds without a line of a log that fills a file in less"),
        pytest.param(1.9, 2 * MIB, True, id="nearly a second more than the cut time explains, of a very fast log"),
    ],
)
async def test_a_rotation_is_inferred_from_the_rate(first: float, bytes_per_second: int, reported: bool) -> None:
    """It is if the time from the start to the first line would have filled the smallest file at the log's rate."""
    lines = lines_from(first, bytes_per_second)
    gaps = await gaps_of(lines, FakeKubernetes(log_head=b"".join(lines)))
    assert [gap.reason for gap in gaps] == ([GapReason.LOG_ROTATED] if reported else [])


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        pytest.param(Unavailable("the Kubernetes API does not answer"), "gap", id="no answer"),
        pytest.param(Rejected("the pod is gone", GapReason.NOT_FOUND), "note", id="nobody can find out any more"),
    ],
)
async def test_a_rotation_that_cannot_be_looked_for_is_reported(error: SourceError, severity: str) -> None:
    """The log began late, and nobody asked the API why: it must not look complete."""
    (gap,) = await gaps_of(lines_from(7.0, MIB), WithoutLogs(error))
    assert (gap.target, gap.reason, gap.severity) == ("pod/web-0 container/app (run 0)", GapReason.LOG_INCOMPLETE, severity)
    assert "rotated away what came before 2026-11-22T11:30:07" in gap.message
    assert error.message in gap.message


async def test_nothing_is_asked_about_a_log_from_its_beginning() -> None:
    """Its first line is of the second of the start."""
    assert not await gaps_of(lines_from(0.4, MIB), WithoutLogs(Unavailable("the Kubernetes API does not answer")))
