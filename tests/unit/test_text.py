"""Text of log lines: times to the nanosecond, levels by a line's form, summaries."""

import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.logs.forms import recognise
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.sizes import counted, readable_duration
from aletheia_operator.text.timestamps import format_nanoseconds, format_time, parse_nanoseconds, to_nanoseconds

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param(b"1970-01-01T00:00:00Z", 0, id="the epoch"),
        pytest.param(b"1970-01-01T00:00:00.000000001Z", 1, id="a nanosecond"),
        pytest.param(b"1970-01-01T00:00:01.5Z", 1_500_000_000, id="one digit of a second"),
        pytest.param(b"1969-12-31T23:59:59.999999999Z", -1, id="before the epoch"),
        pytest.param(b"1970-01-01T01:00:00+01:00", 0, id="east of Greenwich"),
        pytest.param(b"1969-12-31T18:30:00-05:30", 0, id="west of Greenwich, half an hour"),
        pytest.param(b"2024-02-29T00:00:00Z", 1_709_164_800 * SECOND, id="a leap day"),
        pytest.param(b"2023-02-29T00:00:00Z", None, id="a leap day that does not exist"),
        pytest.param(b"2016-12-31T23:59:60Z", None, id="a leap second, which no kubelet writes"),
        pytest.param(b"2026-11-22T15:21:11", None, id="no zone"),
        pytest.param(b"2026-11-22T15:21:11.Z", None, id="a point without digits"),
        pytest.param(b"2026-11-22T15:21:11.1234567890Z", None, id="ten digits"),
        pytest.param(b"2026-11-22 15:21:11Z", None, id="a blank for the T"),
        pytest.param(b"2026-11-22T15:21:11Z trailing", None, id="words behind"),
        pytest.param(b"2026-13-22T15:21:11Z", None, id="a thirteenth month"),
        pytest.param(b"2026-11-22T15:21:11+99:99", None, id="an offset of days"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"\xff\xfe", None, id="no text"),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text: bytes, moment: int | None) -> None:
    """All digits count. None is returned for anything but an RFC 3339 time."""
    assert parse_nanoseconds(text) == moment


MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))


@given(MOMENTS, st.integers(0, 999))
def test_a_moment_written_is_read_as_itself(moment: datetime, nanoseconds: int) -> None:
    """Writing and reading lose no digit."""
    exact = to_nanoseconds(moment) + nanoseconds
    assert parse_nanoseconds(format_nanoseconds(exact).encode()) == exact


@given(MOMENTS, MOMENTS)
def test_written_moments_sort_as_text(first: datetime, second: datetime) -> None:
    """Moments can be sorted by their text."""
    texts = [format_nanoseconds(to_nanoseconds(moment)) for moment in (first, second)]
    assert (texts[0] < texts[1]) == (first < second)


def test_the_zero_time_of_go_sorts_before_every_other() -> None:
    """Some runtimes stamp a line with year 1."""
    zero = parse_nanoseconds(b"0001-01-01T00:00:00Z")
    assert zero is not None
    assert format_nanoseconds(zero) == "0001-01-01T00:00:00.000000000Z"


def test_a_time_has_a_fraction_only_where_there_is_one() -> None:
    """The text is RFC 3339 in UTC, with Z."""
    moment = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    assert format_time(moment) == "2026-11-22T12:00:00Z"
    assert format_time(moment + timedelta(milliseconds=250)) == "2026-11-22T12:00:00.250000Z"


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        pytest.param('{"level":"error","msg":"refused"}', "ERROR", "refused", id="JSON of zap"),
        pytest.param('{"severity":"WARNING","message":"slow"}', "WARN", "slow", id="JSON of Google"),
        pytest.param('{"levelname":"CRITICAL","message":"down"}', "FATAL", "down", id="JSON of Python"),
        pytest.param('{"level":50,"msg":"refused"}', "ERROR", "refused", id="JSON of pino, whose levels are numbers"),
        pytest.param('{"level":30,"msg":"an ERROR was handled"}', "INFO", "an ERROR was handled", id="ERROR in a JSON message"),
        pytest.param('{"@l":"Fatal","@m":"gone"}', "FATAL", "gone", id="JSON of Serilog"),
        pytest.param('{"log.level":"debug","message":"tick"}', "DEBUG", "tick", id="JSON of Elastic"),
        pytest.param('{"msg":"no level"}', None, "no level", id="JSON without a level"),
        pytest.param('{"level":{"deep":1},"msg":"odd"}', None, "odd", id="JSON whose level is an object"),
        pytest.param('{"level":true,"msg":"odd"}', None, "odd", id="JSON whose level is a boolean"),
        pytest.param('{"level":99999999999999999999,"msg":"odd"}', None, "odd", id="JSON whose level is a huge number"),
        pytest.param(
            '{"level":"error","msg":{"a":1}}', "ERROR", '{"level":"error","msg":{"a":1}}', id="JSON whose message is none"
        ),
        pytest.param("{broken ERROR", None, "{broken ERROR", id="what only looks like JSON"),
        pytest.param('time=12:00 level=error msg="it \\"broke\\""', "ERROR", 'it "broke"', id="logfmt"),
        pytest.param("level=warn msg=slow", "WARN", "slow", id="logfmt without quotes"),
        pytest.param("lvl=info something", "INFO", "lvl=info something", id="logfmt without a message"),
        pytest.param("sublevel=error x", None, "sublevel=error x", id="a key that ends in level"),
        pytest.param("E1122 15:21:11.072842       1 reflector.go:147] refused", "ERROR", "refused", id="klog"),
        pytest.param("I1122 15:21:11.072842 1 a.go:1] ERROR handled", "INFO", "ERROR handled", id="ERROR in a klog message"),
        pytest.param("ERROR refused", "ERROR", "refused", id="a bare level"),
        pytest.param("ERROR", "ERROR", "", id="nothing but a level"),
        pytest.param("2026-11-22 15:21:11,072 ERROR app: refused", "ERROR", "refused", id="a date, a time and a level"),
        pytest.param("2026-11-22T15:21:11Z [main] WARN o.s.App - slow", "WARN", "slow", id="Java"),
        pytest.param("[2026-11-22 15:21:11] [error] refused", "ERROR", "refused", id="levels in brackets, small"),
        pytest.param("INFO: started", "INFO", "started", id="a level with a colon"),
        pytest.param("2026/11/22 15:21:11 [notice] 1#1: start", "INFO", "start", id="nginx"),
        pytest.param(
            "INFO request finished with ERROR 500", "INFO", "request finished with ERROR 500", id="ERROR in an INFO line"
        ),
        pytest.param("2026-11-22 15:21:11 INFO ERROR WARN", "INFO", "ERROR WARN", id="the first level is the line's"),
        pytest.param("no error at all", None, "no error at all", id="a small word in a sentence"),
        pytest.param("ERRORS: 0", None, "ERRORS: 0", id="a word that begins like a level"),
        pytest.param("", None, "", id="nothing"),
        pytest.param("[[[[[[", None, "[[[[[[", id="brackets"),
    ],
)
def test_a_level_is_found_in_its_own_place(line: str, level: str | None, message: str) -> None:
    """JSON, logfmt, klog or the line's head have the level. A word inside a message is none."""
    found = recognise(line)
    assert (found.level, line if found.message is None else found.message) == (level, message)


@pytest.mark.parametrize("line", ["retrying after ERROR from upstream", "finished with 0 ERROR lines", "no ERROR found"])
def test_a_word_in_a_plain_sentence_is_no_level(line: str) -> None:
    """ERROR inside a message does not make the line an error."""
    assert recognise(line).level is None


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("a " * 32_000, id="words"),
        pytest.param("1 " * 32_000, id="numbers"),
        pytest.param("a" + " " * 60_000 + "b", id="blanks"),
        pytest.param("[" * 64_000, id="brackets"),
        pytest.param('msg="' * 12_000, id="quotes"),
        pytest.param('level=error msg="' + "\\" * 60_000, id="backslashes"),
        pytest.param("I1122 15:21:11.0 " + "x" * 60_000, id="klog without its end"),
        pytest.param('{"a":' * 10_000, id="deep JSON"),
    ],
)
def test_no_line_is_slow_to_recognise(line: str) -> None:
    """A hostile line costs no more than a part of a second."""
    begin = time.process_time()
    recognise(line)
    assert time.process_time() - begin < 1


def test_a_long_line_has_the_level_of_its_head_but_long_json_is_not_parsed() -> None:
    """Only the beginning of a very long line is read."""
    assert recognise("ERROR " + "x" * 100_000).level == "ERROR"
    assert recognise("level=error msg=" + "x" * 100_000).level == "ERROR"
    assert recognise('{"level":"error","msg":"' + "x" * 100_000 + '"}').level is None


def count_error(count: LevelCount, message: str) -> None:
    count.add("ERROR")
    count.add_message(message)


def test_a_summary_counts_levels_and_names_the_top_error() -> None:
    """Messages that differ only in numbers are the same. The worst levels come first."""
    count = LevelCount()
    for port in range(38):
        count_error(count, f"refused by 10.0.0.1:{port}")
    count_error(count, "other")
    for level in ("WARN", "FATAL", "INFO", None):
        count.add(level)
    assert count.summary() == "43 logs (1 FATAL, 39 ERROR, 1 WARN), top error: 'refused by 10.0.0.1:0' (38x)"
    assert count.levels == {"ERROR": 39, "WARN": 1, "FATAL": 1, "INFO": 1}


@pytest.mark.parametrize(
    ("number", "noun", "form", "text"),
    [
        (1, "log", "", "1 log"),
        (0, "trace", "", "0 traces"),
        (2, "entry", "", "2 entries"),
        (1, "query", "", "1 query"),
        (12_400, "more line", ",", "12,400 more lines"),
    ],
)
def test_a_number_with_its_noun(number: int, noun: str, form: str, text: str) -> None:
    """One has the singular; nouns that end with y have their own plural."""
    assert counted(number, noun, form) == text


def test_a_summary_of_nothing_says_so() -> None:
    """No logs, no levels, no error."""
    assert LevelCount().summary() == "0 logs"


def test_a_summary_is_one_inert_line() -> None:
    """An error message cannot move a terminal's cursor."""
    count = LevelCount()
    count_error(count, "a\x1b[2J\tb")
    assert count.summary() == "1 log (1 ERROR), top error: 'a\\x1b[2J b' (1x)"


def test_errors_past_the_limit_are_counted_but_not_kept() -> None:
    """A flood of distinct errors does not grow the table."""
    count = LevelCount()
    for number in range(LevelCount.MAX_MESSAGES + 10):
        count_error(count, chr(0x4E00 + number))
    count_error(count, chr(0x4E00))
    assert (
        count.summary() == f"{LevelCount.MAX_MESSAGES + 11} logs ({LevelCount.MAX_MESSAGES + 11} ERROR), top error: '一' (2x)"
    )


def test_distinct_errors_of_long_lines_take_little_memory() -> None:
    """Only the beginnings of 300 long lines of distinct errors are kept."""
    count = LevelCount()
    tracemalloc.start()
    try:
        for number in range(300):
            count_error(count, f"{chr(0x4E00 + number)} " + "x" * 60_000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 5_000_000


@pytest.mark.parametrize(
    "value",
    ["x" * 900, {"a": ["x" * 90] * 10}, [1] * 1_000, "\ud800", 2**70],
    ids=["text", "object", "list", "surrogate", "integer"],
)
def test_encoded_values_take_no_more_memory_than_their_length(value: Any) -> None:
    """Fifty thousand values of 900 bytes took 390 MiB when they were kept as orjson returns them."""
    tracemalloc.start()
    try:
        kept = [dumps(value) for _ in range(100)]
        assert tracemalloc.get_traced_memory()[0] < 1.3 * sum(map(len, kept)) + 20_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (119.9, "119s"), (120, "2m"), (150, "2m30s"), (600.5, "10m"), (3 * 3600, "3h"), (48 * 3600, "2d")],
)
def test_a_duration(seconds: float, text: str) -> None:
    """In its largest unit, with seconds added below ten minutes."""
    assert readable_duration(seconds) == text
