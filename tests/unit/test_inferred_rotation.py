"""A rotation that the API does not show is inferred from the log's rate, but not from a burst after a start."""

from dataclasses import replace

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.kubernetes.containers import Run
from aletheia_operator.fetchers.kubernetes.logs_by_api import LogSource, check_rotation
from aletheia_operator.fetchers.kubernetes.run_log import LogLimits, RunLog
from tests.unit.fakes import Content, FakeKubernetes, InlineParsers, make_scratch, make_window

MIB = 1024 * 1024
STARTED = "2026-11-22T11:30:00Z"


def lines_from(first: float, bytes_per_second: int, seconds: int = 3) -> list[bytes]:
    """Lines as the API has them, ten a second, beginning `first` seconds after the start."""
    text = b"x" * (bytes_per_second // 10 - 32)
    moments = (first + number / 10 for number in range(seconds * 10))
    return [f"2026-11-22T11:30:{moment:012.9f}Z ".encode() + text + b"\n" for moment in moments]


async def reasons_of(lines: list[bytes]) -> list[GapReason]:
    kubernetes = FakeKubernetes(log_head=b"".join(lines)).real()
    log = RunLog(
        run=replace(Run("app", 0), started_at=STARTED),
        window=make_window("2026-11-22T11:00:00+00:00", "2026-11-22T11:40:00+00:00"),
        limits=LogLimits(2**30, 2**30, 2**20),
        scratch=make_scratch,
        parsers=InlineParsers(),
        target="pod/web-0",
    )
    await log.read(Content(list(lines)).iter_any())
    await check_rotation(log, LogSource(kubernetes, "/log", "app", False))
    await log.end()
    log.close()
    return [missing.reason for missing in log.missing]


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
    reasons = await reasons_of(lines_from(first, bytes_per_second))
    assert reasons == ([GapReason.LOG_ROTATED] if reported else [])
