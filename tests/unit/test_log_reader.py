"""One container's log, read again from its last line until nothing new comes: each line once, and missing lines reported."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.containers import Run
from aletheia_operator.fetchers.kubernetes.logs_by_api import LogSource, add_note_of_empty_log, read_by_api
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.merge import merge
from tests.unit.fakes import (
    Content,
    FakeKubernetes,
    FakeKubernetesLogs,
    Response,
    Script,
    make_run_log,
    make_window,
)

PATH = "/api/v1/namespaces/shop/pods/web-0/log"
RESET = Unavailable("the Kubernetes API cannot be reached: ClientPayloadError")


def at(second: float, text: str = "", end: str = "\n") -> bytes:
    """A line `second` seconds after 11:30, with nanoseconds as the kubelet writes them."""
    whole, nanoseconds = divmod(round(second * 1e9), 10**9)
    return f"2026-11-22T11:{30 + whole // 60:02}:{whole % 60:02}.{nanoseconds:09}Z {text}{end}".encode()


class Reading:
    """Reads a log from scripted answers, and keeps what was read."""

    def __init__(
        self, *logs: Script, run: Run | None = None, window: Window | None = None, max_line_bytes: int = 2**20
    ) -> None:
        self.kubernetes = FakeKubernetes(logs=list(logs))
        self.log = make_run_log(run or Run("app", 0), window, max_line_bytes)
        self.entries: list[dict[str, Any]] = []
        self.count = LevelCount()
        self.restarted = False

    async def read(self) -> "Reading":
        async def restarted() -> bool:
            return self.restarted

        kubernetes, run = self.kubernetes.real(), self.log.run
        await read_by_api(
            self.log, LogSource(kubernetes, PATH, run.container, run.previous, NodeHealth(kubernetes, None)), restarted
        )
        await self.log.end()
        add_note_of_empty_log(self.log)
        assert self.log.result is not None
        self.count = self.log.result.count
        self.log.result.spool.finish(2**30)
        for encoded in merge([self.log.result.spool.blocks()]):
            self.entries += json.loads(b"[" + encoded.block + b"]")
        self.log.close()
        assert self.kubernetes.logs == [], "an answer was left unread"
        return self

    @property
    def missing(self) -> list[Missing]:
        return self.log.missing

    @property
    def lines(self) -> list[str]:
        return [entry["line"] for entry in self.entries]

    @property
    def reasons(self) -> list[GapReason]:
        return [gap.reason for gap in self.missing]

    @property
    def since(self) -> list[str]:
        return [query["sinceTime"] for _, query in self.kubernetes.asked if "sinceTime" in query]


@dataclass
class PartsKubelet(FakeKubernetesLogs):
    """Answers `tail` for the last record, `rest` for reads from that record's second on, `head` for the log's beginning."""

    tail: bytes = b""
    rest: bytes = b""
    head: bytes = b""

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        asked = dict(query or {})
        lines = self.lines["app"]
        since = asked.get("sinceTime", "").removesuffix("Z").encode()
        answer = [line for line in lines if line >= since or not line[:1].isdigit()]
        if "tailLines" in asked:
            answer = [self.tail]
        elif "limitBytes" in asked and self.head:
            answer = [self.head]
        yield Response(Content(answer))


ABC = [at(1, "a"), at(2, "b"), at(3, "c")]
ONE = len(ABC[0])


async def read_from(lines: list[bytes], *breaks: tuple[int, Exception | None], run: Run | None = None) -> Reading:
    """Read a log of these lines, of which the first answers break off."""
    reading = Reading(run=run)
    reading.kubernetes = FakeKubernetesLogs(lines={"app": lines}, breaks=breaks)
    return await reading.read()


@pytest.mark.parametrize(
    "breaks",
    [
        pytest.param([], id="never"),
        pytest.param([(ONE, None)], id="a clean end after the first line, which a cut looks like"),
        pytest.param([(ONE, None), (2 * ONE, None)], id="clean ends after the first and the second line"),
        pytest.param([(2 * ONE, RESET)], id="an error after the second line"),
        pytest.param([(ONE + 20, RESET)], id="an error in the middle of the second line"),
        pytest.param([(0, RESET), (0, RESET)], id="errors before the first line"),
        pytest.param([(ONE, RESET), (0, RESET), (0, RESET)], id="two errors in a row without news"),
        pytest.param([(3 * ONE, None), (0, RESET)], id="an error at the second look"),
        pytest.param(
            [(3 * ONE, None), (2 * ONE - 1, None)],
            id="a second look that ends within a line that was whole before",
        ),
    ],
)
async def test_a_log_that_breaks_off_is_read_on(breaks: list[tuple[int, Exception | None]]) -> None:
    """Every line once, in order, and no gap."""
    reading = await read_from(ABC, *breaks)
    assert reading.lines == ["a", "b", "c"]
    assert reading.missing == []
    assert reading.count.lines == 3


@pytest.mark.parametrize("cut", [5, 20, 30, 31, 33], ids=lambda cut: f"after {cut} bytes of the line")
async def test_a_line_that_is_cut_by_a_clean_end_is_read_whole(cut: int) -> None:
    """A connection that breaks off looks like the end of the log. The next read returns the rest of the line."""
    reading = await read_from([at(1, "a"), at(2, "hello world"), at(2, "c")], (ONE + cut, None))
    assert reading.lines == ["a", "hello world", "c"]
    assert reading.missing == []


async def test_a_last_line_without_its_end_is_kept_as_partial() -> None:
    """The application has not finished the line: its beginning is an entry."""
    last = at(2, "half", end="")
    reading = await Reading([at(1, "a"), last], [last]).read()
    assert reading.lines == ["a", "half"]
    assert [entry.get("partial") for entry in reading.entries] == [None, True]


async def test_lines_of_the_same_second_and_moment_are_neither_lost_nor_doubled() -> None:
    """The API can only start at whole seconds: lines of that second that were read are skipped, equal lines included."""
    lines = [at(1.1, "same"), at(1.1, "same"), at(1.1, "same"), at(1.2, "x"), at(1.2, "x")]
    size_bytes = [len(b"".join(lines[:n])) for n in (2, 4)]
    reading = await read_from(lines, *((size, None) for size in size_bytes))
    assert reading.lines == ["same", "same", "same", "x", "x"]


async def test_lines_of_stdout_and_stderr_may_stand_in_disorder() -> None:
    """A line after a later one keeps its place and its own time."""
    lines = [at(1.1, "a"), at(2.0, "b"), at(1.9, "late"), at(2.2, "c")]
    reading = await Reading(lines).read()
    assert reading.lines == ["a", "b", "late", "c"]
    assert reading.entries[2]["timestamp"] == "2026-11-22T11:30:01.900000000Z"


async def test_a_late_line_behind_a_cut_is_not_lost() -> None:
    """The server sends no lines before sinceTime, so the next read begins some seconds before the latest line."""
    lines = [at(1.1, "a"), at(2.0, "b"), at(1.9, "late")]
    reading = await read_from(lines, (len(lines[0] + lines[1]), None))
    assert sorted(reading.lines) == ["a", "b", "late"]


async def test_a_log_that_is_rotated_between_two_looks_is_said() -> None:
    """The second read has only new lines. They are kept, and a gap says that lines before them may be lost."""
    later = [at(2, "c"), at(2.1, "d"), at(2.2, "e")]
    reading = await Reading([at(1, "a"), at(1.5, "b"), RESET], later, later).read()
    assert reading.lines == list("abcde")
    assert reading.reasons == [GapReason.LOG_ROTATED]
    assert "between 2026-11-22T11:30:01.500000000Z and 2026-11-22T11:30:02.000000000Z" in reading.missing[0].message


async def test_a_look_that_shows_a_line_again_goes_on_from_there() -> None:
    """The node has rotated lines that were read. If the next read shows one of them again, nothing is missing."""
    later = [at(1.5, "b"), at(2, "c")]
    reading = await Reading([at(1, "a"), at(1.5, "b"), RESET], later).read()
    assert reading.lines == list("abc")
    assert reading.missing == []


async def test_another_run_is_not_taken_for_the_rest_of_this_one() -> None:
    """The container restarted between two reads. Reading stops, and can continue where the API has the run now."""
    reading = Reading([at(1, "a"), RESET], [at(9, "of the next run")])
    reading.restarted = True
    await reading.read()
    assert reading.lines == ["a"]
    assert not reading.log.complete


async def test_the_window_cuts_at_both_ends() -> None:
    """Both ends are inclusive, to the microsecond. Lines before the start are dropped, also those of the same second."""
    window = make_window("2026-11-22T11:30:01.500000+00:00", "2026-11-22T11:30:03+00:00")
    lines = [at(1.4, "early"), at(1.5, "first"), at(3, "last"), at(3.000_001, "after"), at(3.5, "late"), at(5, "far")]
    reading = await Reading(lines, window=window).read()
    assert reading.lines == ["first", "last"]
    assert reading.since == ["2026-11-22T11:30:00Z"]


WINDOW = make_window("2026-11-22T11:30:00+00:00", "2026-11-22T11:30:03+00:00")


async def test_reading_stops_where_the_window_is_surely_over() -> None:
    """A line out of order just after the window's end is still read; the endless rest of the log is not."""
    far = AssertionError("the log was read past the window")
    flood = b"".join(at(5, "x" * 200) for _ in range(1200))
    reading = await Reading([at(3.5, "late"), at(2.9, "in time"), flood, far], window=WINDOW).read()
    assert reading.lines == ["in time"]


@pytest.mark.parametrize("ahead", [1, 100], ids=["one line", "some lines"])
async def test_lines_that_a_clock_stamped_ahead_end_nothing(ahead: int) -> None:
    """The clock was set back after them: later lines are in the window, also in further reads."""
    lines = [at(1, "a"), *[at(1700, "ahead")] * ahead, at(1.5, "b"), at(2, "c" * 200_000), at(2.5, "d")]
    reading = await Reading(lines, window=WINDOW).read()
    assert [line[0] for line in reading.lines] == list("abcd")
    assert reading.missing == []


@pytest.mark.parametrize(
    "text",
    [
        b"2031-01-01T00:00:00.000000000Z INFO of the future",
        b"\xff\xfe2031-01-01T00:00:00.000000000Z",
        b"\xff" * 30 + b"Z",
        b"2031-01-01T00:00:0\xff.000000000Z",
        b"9999-99-99T99:99:99.999999999Z x",
    ],
)
@pytest.mark.parametrize("cut", [0, 31, 40], ids=lambda cut: f"cut {cut} bytes into the line")
async def test_what_a_line_says_does_not_end_the_reading(text: bytes, cut: int) -> None:
    """A time inside a line belongs to the application, however the network cuts the line."""
    hostile = at(1, "")[:-1] + text + b"\n"
    content = at(0.5, "before") + hostile + b"".join(at(2, f"line {number}") for number in range(50))
    at_byte = len(at(0.5, "before")) + cut
    reading = await Reading([content[:at_byte], content[at_byte:]], [content[len(at(0.5, "before")) :]]).read()
    assert len(reading.lines) == 52
    assert reading.missing == []


PART = 16 * 1024


async def test_a_last_line_that_was_written_in_parts_is_whole() -> None:
    """The log's last record has the time of its line's last part. A read from this time shows the part without a time."""
    long = at(2, "x" * (3 * PART) + "end")
    reading = Reading()
    reading.kubernetes = PartsKubelet(lines={"app": [at(1, "a"), long]}, tail=at(2.5, "xend"), rest=b"xend\n")
    await reading.read()
    assert [len(line) for line in reading.lines] == [1, 3 * PART + 3]
    assert reading.missing == []


async def test_the_rest_of_a_line_from_before_the_window_is_not_the_nodes_words() -> None:
    """Its first part is older than requested, so the rest comes without a time, before other lines or alone."""
    for following in ([], [at(2, "b")]):
        reading = Reading()
        kubelet = PartsKubelet(lines={"app": [b"unable to x\n", *following]}, tail=at(2, "b"), rest=b"")
        kubelet.head = b"2026-11-22T10:00:00.000000000Z xxx"
        reading.kubernetes = kubelet
        await reading.read()
        assert reading.lines == [line.split(b" ", 1)[1].decode().strip() for line in following]
        assert reading.missing == []


async def test_times_in_another_zone_are_given_in_utc() -> None:
    """The entry also has the time as the node wrote it."""
    reading = await Reading([b"2026-11-22T17:00:01.5+05:30 a\n", at(2, "b")]).read()
    first, second = reading.entries
    assert first == {
        "timestamp": "2026-11-22T11:30:01.500000000Z",
        "container": "app",
        "run": 0,
        "timestamp_raw": "2026-11-22T17:00:01.5+05:30",
        "line": "a",
    }
    assert "timestamp_raw" not in second


async def test_bytes_that_are_no_text_are_kept_exactly() -> None:
    """The entry has readable text, and the exact bytes beside it."""
    line = at(1)[:-1] + b"caf\xe9 \xff\n"
    reading = await Reading([line]).read()
    (entry,) = reading.entries
    assert entry["line"] == "caf\ufffd \ufffd"
    assert entry["line_base64"] == "Y2Fm6SD/"


@pytest.mark.parametrize(
    "text",
    ["", " ", "  indented", "a\r", "a\x00b", '{"level":"info"}', "2026-11-22T11:30:09.000000000Z nested", "tab\t", "支払い"],
    ids=["empty", "a blank", "indented", "carriage return", "NUL", "JSON", "a time of its own", "tab", "other scripts"],
)
async def test_a_line_is_kept_as_it_is(text: str) -> None:
    """The application's bytes are not changed."""
    reading = await Reading([at(1, text)]).read()
    assert reading.lines == [text]
    assert reading.entries[0]["timestamp"] == "2026-11-22T11:30:01.000000000Z"


async def test_an_over_long_line_is_cut_and_said() -> None:
    """The exact bytes of its beginning are kept. One gap stands for all such lines."""
    lines = [at(1, "0123456789"), at(2, "0123456789A" + "x" * 500), at(3, "y" * 500)]
    reading = await Reading([b"".join(lines)], max_line_bytes=10).read()
    assert reading.lines == ["0123456789", "0123456789", "y" * 10]
    assert [entry.get("truncated") for entry in reading.entries] == [None, True, True]
    assert reading.reasons == [GapReason.LINE_TRUNCATED]


async def test_a_log_that_keeps_breaking_off_is_incomplete() -> None:
    """After three tries without new lines it is given up. The gap has the last line's time, and the lines read are kept."""
    reading = await Reading([at(1, "a"), RESET], [RESET], [RESET], [RESET]).read()
    assert reading.lines == ["a"]
    (gap,) = reading.missing
    assert gap.reason == GapReason.LOG_INCOMPLETE
    assert gap.target == "pod/web-0 container/app (run 0)"
    assert "after 2026-11-22T11:30:01.000000000Z" in gap.message


@pytest.mark.parametrize(
    ("size_bytes", "kept"),
    [
        pytest.param(0, [], id="before the first line"),
        pytest.param(2 * ONE, ["a", "b"], id="after a line, and before what a second look begins with"),
        pytest.param(2 * ONE + 10, ["a", "b"], id="within a timestamp"),
        pytest.param(3 * ONE - 1, ["a", "b", "c"], id="within a line"),
    ],
)
async def test_a_log_whose_every_look_is_cut_is_incomplete(size_bytes: int, kept: list[str]) -> None:
    """No error shows it: the log's last line, which is then requested, is later than the lines that were read."""
    lines = [*ABC, at(3.5, "d")]
    reading = await read_from(lines, (size_bytes, None), *[(0, None)] * 9)
    assert reading.lines == kept
    assert reading.reasons == [GapReason.LOG_INCOMPLETE if size_bytes else GapReason.UNAVAILABLE]
    assert "the stream ends before the log does" in reading.missing[0].message


async def test_a_log_without_a_line_in_the_window_is_whole() -> None:
    """Its last line is older than the window, so nothing is missing."""
    reading = await read_from([b"2026-11-22T10:00:00.000000000Z old\n"])
    assert reading.lines == []
    assert reading.missing == []


@pytest.mark.parametrize(
    ("run", "reasons"),
    [
        pytest.param(Run("app", 0, started_at="2026-11-22T11:00:00Z"), [GapReason.LOG_ROTATED], id="running"),
        pytest.param(Run("app", 0, started_at="2026-11-22T11:59:59Z"), [], id="just started"),
        pytest.param(
            Run("app", 0, started_at="2026-11-22T11:00:00Z", finished_at="2026-11-22T11:00:05Z"),
            [GapReason.LOG_ROTATED],
            id="ended",
        ),
        pytest.param(
            Run("app", 0, started_at="2026-11-22T11:00:00Z", finished_at="2026-11-22T11:00:01Z"), [], id="ended at once"
        ),
    ],
)
async def test_a_log_without_any_line_may_have_been_rotated(run: Run, reasons: list[GapReason]) -> None:
    """It may also have been empty all the time, so this is a note."""
    reading = await read_from([], run=run)
    assert reading.lines == []
    assert reading.reasons == reasons
    assert {missing.severity for missing in reading.missing} <= {"note"}


async def test_a_log_that_cannot_be_had_at_all_has_the_sources_reason() -> None:
    """Nothing was read, so the gap has the reason of the source, not that the log is incomplete."""
    reading = await Reading([RESET], [RESET], [RESET]).read()
    assert reading.reasons == [GapReason.UNAVAILABLE]


@pytest.mark.parametrize(
    ("error", "run", "reason"),
    [
        pytest.param(
            Rejected("the Kubernetes API answered 403: no", GapReason.FORBIDDEN),
            Run("app", 0),
            GapReason.FORBIDDEN,
            id="forbidden",
        ),
        pytest.param(
            Rejected("the Kubernetes API answered 404: pods not found", GapReason.NOT_FOUND),
            Run("app", 0),
            GapReason.NOT_FOUND,
            id="the pod is gone",
        ),
        pytest.param(
            Rejected('answered 400: container "app" in pod "web-0" is waiting to start: CrashLoopBackOff'),
            Run("app", 0),
            GapReason.CONTAINER_NOT_STARTED,
            id="the container waits",
        ),
        pytest.param(
            Rejected('answered 400: previous terminated container "app" in pod "web-0" not found'),
            Run("app", 0, previous=True),
            GapReason.LOG_UNAVAILABLE,
            id="the run before is gone",
        ),
    ],
)
async def test_a_refusal_ends_the_reading_with_its_reason(error: Rejected, run: Run, reason: GapReason) -> None:
    """It is asked once, and the gap names the run."""
    reading = await Reading([error], run=run).read()
    (gap,) = reading.missing
    assert (gap.reason, gap.target) == (reason, f"pod/web-0 {run}")


async def test_a_refusal_in_the_midst_keeps_what_came() -> None:
    """A pod that is deleted while it is read."""
    reading = await Reading([at(1, "a"), RESET], [Rejected("answered 404", GapReason.NOT_FOUND)]).read()
    assert reading.lines == ["a"]
    assert reading.reasons == [GapReason.NOT_FOUND]


async def test_words_of_the_node_are_a_gap_and_kept_once() -> None:
    """The kubelet says with HTTP 200 why there is no log."""
    words = b"unable to retrieve container logs for containerd://abc\x1b[2J"
    reading = await Reading([words]).read()
    assert reading.entries == [{"timestamp": None, "container": "app", "run": 0, "line": words.decode()}]
    (gap,) = reading.missing
    assert gap.reason == GapReason.LOG_UNAVAILABLE
    assert gap.message == "unable to retrieve container logs for containerd://abc\\x1b[2J"


async def test_the_run_before_is_asked_for_and_marked() -> None:
    """Its entries are marked, unlike those of the current run."""
    reading = await Reading([at(1, "a")], run=Run("app", 0, previous=True)).read()
    assert reading.entries[0]["previous"] is True
    assert {query["previous"] for _, query in reading.kubernetes.asked} == {"true"}
    assert {query["timestamps"] for _, query in reading.kubernetes.asked} == {"true"}


async def test_levels_are_marked_and_counted() -> None:
    """Lines outside the window do not count."""
    window = make_window("2026-11-22T11:30:01+00:00", "2026-11-22T11:30:02+00:00")
    reading = await Reading([at(0.5, "ERROR early"), at(1, "ERROR a"), at(2, "plain"), at(9, "ERROR b")], window=window).read()
    assert [entry.get("level") for entry in reading.entries] == ["ERROR", None]
    assert reading.count.summary() == "2 logs (1 ERROR), top error: 'a' (1x)"
