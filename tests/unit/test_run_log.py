"""What the end of a run's log adds to its gaps, and which faults its reader raises."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.kubernetes.containers import Run
from aletheia_operator.fetchers.kubernetes.run_log import ParserFailed, RunLog
from aletheia_operator.logs.framing import Form
from aletheia_operator.logs.run import WorkerFault
from aletheia_operator.logs.worker_process import WorkerEnded
from aletheia_operator.scratch import Scratch
from tests.unit.fakes import Content, InlineParsers, make_run_log, make_scratch


def line(second: int, text: str, size: int = 0) -> bytes:
    return f"2026-11-22T11:30:{second:02}.000000000Z {text}{'x' * size}\n".encode()


class FullVolume(Scratch):
    """A scratch file on a full volume."""

    def put(self, block: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def a_log(
    form: Form = "api",
    scratch: Callable[[], Scratch] = make_scratch,
    faults: list[Exception] | None = None,
    max_line_bytes: int = 2**20,
) -> RunLog:
    parsers = InlineParsers(faults=faults or [])
    return make_run_log(Run("app", 3), None, max_line_bytes, parsers, scratch=scratch, form=form)


async def gaps_of(log: RunLog, *chunks: bytes) -> list[tuple[str, GapReason, str]]:
    """Read the log to its end, and return target, reason and message of its gaps."""
    await log.read(Content(list(chunks)).iter_any())
    await log.end()
    await log.end()  # changes nothing more
    log.close()
    return [(gap.target, gap.reason, gap.message) for gap in log.missing]


async def test_a_whole_log_has_no_gap() -> None:
    """Its size is that of its lines."""
    log = a_log()
    assert await gaps_of(log, line(1, "a"), line(2, "b")) == []
    assert log.size_bytes == len(line(1, "a") * 2)


async def test_a_volume_that_is_full_at_the_end_is_said(tmp_path: Path) -> None:
    """The entries that waited in memory do not fit any more: the run has a gap of its own."""
    log = a_log(scratch=lambda: FullVolume(tmp_path, encrypted=False))
    words = "the session volume refused the write: No space left on device"
    assert await gaps_of(log, *(line(number, "a", 4096) for number in range(50))) == [
        ("pod/web-0 container/app (run 3)", GapReason.SAVE_FAILED, words)
    ]


async def test_a_volume_that_is_full_meanwhile_ends_the_reading(tmp_path: Path) -> None:
    """A log that cannot be kept is not read further."""
    log = a_log(scratch=lambda: FullVolume(tmp_path, encrypted=False))
    with pytest.raises(Rejected, match="the session volume refused the write: No space left on device") as caught:
        await log.read(Content([line(number % 60, "a", 100_000) for number in range(100)]).iter_any())
    assert caught.value.reason == GapReason.SAVE_FAILED
    log.close()


@pytest.mark.parametrize(
    ("form", "chunks", "reason", "words"),
    [
        pytest.param(
            "api",
            [b"unable to retrieve container logs for containerd://1\n"],
            GapReason.LOG_UNAVAILABLE,
            "unable to retrieve container logs for containerd://1",
            id="the node's words in place of a log",
        ),
        pytest.param(
            "api",
            [line(1, "a"), b"failed to watch the file\n"],
            GapReason.LOG_INCOMPLETE,
            "the node reports an error within the log: see the entry without a time",
            id="the node's words within a log",
        ),
        pytest.param(
            "api",
            [line(1, "a"), line(2, "b", 100)],
            GapReason.LINE_TRUNCATED,
            "a line at 2026-11-22T11:30:02.000000000Z was cut at 50 bytes (spec.logs.limits.lineBytes)",
            id="a long line",
        ),
    ],
)
async def test_what_the_parser_found(form: Form, chunks: list[bytes], reason: GapReason, words: str) -> None:
    """Each problem is a gap of the run, with a message that has the remedy."""
    assert await gaps_of(a_log(form, max_line_bytes=50), *chunks) == [("pod/web-0 container/app (run 3)", reason, words)]


async def test_a_line_without_a_time_in_a_file_is_no_gap() -> None:
    """The line becomes an entry at its place."""
    stamped = b"2026-11-22T11:30:01.000000000Z stdout F a\n"
    assert await gaps_of(a_log("file"), stamped, b"no form\n") == []


@pytest.mark.parametrize("fault", [WorkerEnded(), WorkerFault("KeyError")])
async def test_a_parser_that_fails(fault: Exception) -> None:
    """This differs from a log that cannot be read: the run can be read again from its beginning."""
    log = a_log(faults=[fault])
    with pytest.raises(ParserFailed) as caught:
        await gaps_of(log, line(1, "a"))
    assert caught.value.reason == GapReason.INTERNAL_ERROR
    log.add_gap(GapReason.LOG_INCOMPLETE, "of the first try")
    log.begin_again()
    assert (log.size_bytes, log.fragment, log.result, log.complete) == (0, b"", None, False)
    assert await gaps_of(log, line(1, "a")) == []
    assert log.position.lines == 1


async def test_a_gap_is_said_once() -> None:
    """A reader may find it several times. The same gap with another severity is added."""
    log = a_log()
    severities: list[Any] = ["gap", "gap", "note"]
    for severity in severities:
        log.add_gap(GapReason.LOG_ROTATED, "words", severity)
    assert [gap.severity for gap in log.missing] == ["gap", "note"]


@pytest.mark.parametrize(
    ("rest", "kept"),
    [(b"2026-11-22T11:30:02.000000000Z stdout F cut", ["a", "cut"]), (b"2026-11-22T11:30:02.0000", ["a"]), (b"", ["a"])],
    ids=["with some text", "within its time", "none"],
)
async def test_the_last_line_of_a_file_without_its_end(rest: bytes, kept: list[str]) -> None:
    """It is kept if it has some text."""
    log = a_log("file")
    await log.read(Content([b"2026-11-22T11:30:01.000000000Z stdout F a\n" + rest]).iter_any())
    await log.feed_rest()
    await log.feed_rest()
    assert log.position.lines == len(kept)
    await log.end()
    log.close()
