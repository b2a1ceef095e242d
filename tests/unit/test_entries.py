"""Entries of single lines: where a line is cut, its head, and when a known shape does not apply."""

import base64
import json
from typing import Any

import pytest

from aletheia_operator.logs.framing import Form
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.logs.stack_traces import Heads

START, END = "2026-11-22T11:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z"


def entries_of(*lines: bytes, form: Form = "api", max_line_bytes: int = 2**20, run: int | None = 0) -> list[dict[str, Any]]:
    parser = RunParser(RunSettings("app", run, False, START, END, max_line_bytes, form))
    parsed = [parser.feed(b"".join(line + b"\n" for line in lines)), parser.end_run()]
    return [entry for batch in parsed if batch.block for entry in json.loads(b"[" + batch.block + b"]")]


def at(second: int, text: str | bytes) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return f"2026-11-22T11:30:{second:02}.000000000Z ".encode() + content


@pytest.mark.parametrize(
    ("text", "limit", "kept", "exact"),
    [
        ("abcdef", 6, "abcdef", None),
        ("abcdefg", 6, "abcdef", None),
        ("üüüü", 8, "üüüü", None),
        ("üüüüü", 8, "üüüü", None),
        ("üüüüü", 7, "üüü", None),
        ("\N{PILE OF POO}" * 3, 9, "\N{PILE OF POO}" * 2, None),
        (b"ab\xffdefg", 6, "ab\ufffddef", b"ab\xffdef"),
        (b"ab\xffdef", 6, "ab\ufffddef", b"ab\xffdef"),
    ],
)
def test_a_long_line_is_cut_between_characters(text: str | bytes, limit: int, kept: str, exact: bytes | None) -> None:
    """It is cut at its limit in bytes, and stays UTF-8. A line that is not UTF-8 keeps its exact bytes, too."""
    (entry,) = entries_of(at(1, text), max_line_bytes=limit)
    content = text.encode() if isinstance(text, str) else text
    assert entry["line"] == kept
    assert entry.get("truncated", False) == (len(content) > limit)
    assert entry.get("line_base64") == (None if exact is None else base64.b64encode(exact).decode())


@pytest.mark.parametrize(
    "head",
    [
        '{"level":"error","msg":"boom"}',
        "ERROR app: boom",
        "level=error msg=boom",
        "E1122 11:30:00.000000       1 main.go:7] boom",
        "2026-11-22 11:30:00,123 ERROR app: boom",
        "[error] boom",
    ],
)
def test_a_line_of_any_form_may_head_a_stack_trace(head: str) -> None:
    """Its continuation lines name it, have no level of their own, and end with the next line of a form."""
    entries = entries_of(at(1, head), at(2, "\tat org.example.App.run(App.java:7)"), at(3, "INFO app: on"), at(4, "\tat x"))
    assert [entry.get("head", "")[17:19] for entry in entries] == ["", "01", "", "03"]
    assert [entry.get("level") for entry in entries] == ["ERROR", None, "INFO", None]


@pytest.mark.parametrize("level", ["ERROR", "INFO"])
@pytest.mark.parametrize("form", ["api", "file"])
def test_a_line_of_a_known_shape_heads_its_stack_trace(level: str, form: Form) -> None:
    """The head is the latest line before the trace, however many similar ones came before, and gives the trace its level."""
    stream = "stdout F " if form == "file" else ""
    lines = [at(number, f"{stream}{level} app: line {number}") for number in range(1, 40)]
    entries = entries_of(*lines, at(40, f"{stream}\tat a.B.run(B.java:7)"), at(41, f"{stream}Caused by: x"), form=form)
    assert [entry.get("head", "")[17:19] for entry in entries] == [""] * 39 + ["39", "39"]


@pytest.mark.parametrize(
    ("second", "known"),
    [
        ("2026-11-22T11:30:02", True),
        ("2026-11-31T11:30:02", False),
        ("2026-02-30T11:30:02", False),
        ("2026-11-22T11:61:02", False),
    ],
)
def test_a_line_of_a_known_shape_has_a_valid_time(second: str, known: bool) -> None:
    """A date that does not exist is not a time, even after similar lines; such a line is a message of the node."""
    lines = [at(number % 2, f"INFO app: line {number}") for number in range(1, 50)]
    entries = entries_of(*lines, f"{second}.000000000Z INFO app: odd".encode())
    assert len(entries) == 50
    assert entries[-1]["timestamp"] == (f"{second}.000000000Z" if known else None)
    assert ("message" in entries[-1]) is known


def test_an_entry_names_its_run_if_it_is_known() -> None:
    """Files of a node have the run; the API may not know it."""
    assert [entries_of(at(1, "x"), run=run)[0].get("run") for run in (0, 3, None)] == [0, 3, None]


NANOSECONDS = "000000000Z"


def heads(*lines: tuple[float, str, str | None]) -> list[bool]:
    """Whether each line continues another. Each has its second, its text, and the level of a crash, or None."""
    found = Heads()
    found.begin(f"2026-11-22T11:30:00.{NANOSECONDS}", True)
    result = []
    for second, text, level in lines:
        stamp = f"2026-11-22T11:{30 + int(second) // 60:02}:{int(second) % 60:02}.{NANOSECONDS}"
        result.append(found.head_of(text, stamp, level) is not None)
    return result


@pytest.mark.parametrize(
    ("texts", "continues"),
    [
        pytest.param(["Traceback (most recent call last):", '  File "a.py"', "SystemExit: 3"], [1, 1, 1], id="Python"),
        pytest.param(["Traceback (most recent call last):", "  x", "requests.Timeout: slow", "more"], [1, 1, 1, 0], id="once"),
        pytest.param(["Traceback (most recent call last):", "  x", "KeyboardInterrupt"], [1, 1, 1], id="without words"),
        pytest.param(["Traceback (most recent call last):", "", "  x", "", "Stop: 3"], [1, 1, 1, 1, 1], id="empty lines"),
        pytest.param(["Traceback (most recent call last):", "  x", "prose of another"], [1, 1, 0], id="prose"),
        pytest.param(["SystemExit: 3"], [0], id="no trace before"),
        pytest.param(["goroutine 1 [running]:", "main.main()", "\tx.go:3", "", "panic({0x1, 0x2})"], [1, 1, 1, 1, 1], id="Go"),
        pytest.param(["goroutine 1 [running]:", "main.main()", "next request"], [1, 1, 0], id="text behind Go's"),
        pytest.param(["runtime stack:", "runtime.throw({0x1, 0x2})", "rax    0x5"], [1, 1, 1], id="Go's own stack"),
        pytest.param(["", "  x", "  ", "  y"], [1, 1, 1, 1], id="an empty line first"),
        pytest.param(["prose", "  x"], [0, 0], id="behind prose"),
        pytest.param(["# A fatal error", "# anything"], [0, 0], id="a comment"),
        pytest.param(["2026-11-22 11:30:00 UTC [7] DETAIL:  Key (id)=(1)"], [1], id="PostgreSQL"),
        pytest.param(["STATEMENT:  SELECT 1", "HINT:  none", "CONTEXT:  x", "QUERY:  y"], [1, 1, 1, 1], id="its other parts"),
        pytest.param(["DETAIL: one blank"], [0], id="not PostgreSQL"),
        pytest.param(["x" * 1100 + "DETAIL:  far"], [0], id="far into the line"),
    ],
)
def test_which_lines_continue_an_error(texts: list[str], continues: list[int]) -> None:
    """By the language of the trace, until a line that does not belong to it."""
    assert heads(*((number, text, None) for number, text in enumerate(texts))) == [bool(flag) for flag in continues]


@pytest.mark.parametrize(
    ("seconds", "continues"),
    [([10], [1]), ([11], [1]), ([59], [1]), ([69, 70], [0, 0]), ([55, 64], [1, 1]), ([55, 66], [1, 0]), ([60], [0])],
)
def test_a_trace_is_written_at_once(seconds: list[int], continues: list[int]) -> None:
    """Within a minute of the line before, or within ten seconds."""
    assert heads(*((second, "  x", None) for second in seconds)) == [bool(flag) for flag in continues]


def test_a_crash_after_an_error_belongs_to_it_and_one_after_another_line_does_not() -> None:
    """In the second case the crash is the head of the lines after it."""
    for serious in (True, False):
        found = Heads()
        found.begin(START, serious)
        later = START.replace("00.0", "01.0")
        crash = found.head_of("Traceback (most recent call last):", later, "ERROR")
        words = found.head_of("SystemExit: 3", later)
        assert (crash, words) == ((START, START) if serious else (None, later))
        if not serious:
            assert found.serious, "the crash is an error, whatever was before it"


@pytest.mark.parametrize(
    ("line", "second", "joins"),
    [
        ("java.net.SocketTimeoutException: Read timed out", 0, True),
        ("org.springframework.dao.DataAccessError", 0, True),
        ("java.net.SocketTimeoutException: Read timed out", 1, False),
        ('Exception in thread "main" java.lang.IllegalStateException: x', 0, False),
        ("Traceback (most recent call last):", 0, False),
        ("TypeError: x is undefined", 0, False),
        ("panic: boom", 0, False),
    ],
)
@pytest.mark.parametrize("warns", [True, False])
def test_an_exception_that_is_logged_with_a_warning_belongs_to_it(line: str, second: int, joins: bool, warns: bool) -> None:
    """The JVM's loggers print it right after the warning. What ends a program, and what other languages print, is an error."""
    found = Heads()
    found.begin(START, False, warns=warns)
    head = found.head_of(line, START.replace("00.0", f"0{second}.0"), "ERROR")
    assert (head is not None) is (joins and warns)


def test_a_warning_with_an_exception_is_one_warning() -> None:
    """However often its shape was seen before."""
    warning = "2026-11-22 11:30:00.123  WARN 1 --- [pool] c.a.Client : attempt failed, will retry"
    lines = [warning, "java.net.SocketTimeoutException: Read timed out", "\tat a.B.run(B.java:7)"] * 4
    found = entries_of(*(at(1, line) for line in lines))
    assert [entry.get("level") for entry in found] == ["WARN", None, None] * 4
    assert all("head" in entry for entry in found if "level" not in entry)


def test_the_same_exception_again_is_another_error() -> None:
    """Each printed trace has its head. An exception of another class may be part of the trace before it."""
    trace = ["TypeError: x is undefined", "    at f (/app/a.js:1:2)"]
    found = entries_of(*(at(1, line) for line in trace * 3))
    assert [entry.get("level") for entry in found] == ["ERROR", None] * 3
    chained = [
        "java.lang.RuntimeException: outer",
        "\tat a.B.c(B.java:1)",
        "java.io.IOException: inner",
        "\tat a.B.d(B.java:2)",
    ]
    assert [entry.get("level") for entry in entries_of(*(at(1, line) for line in chained))] == ["ERROR", None, None, None]
