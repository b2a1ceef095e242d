"""Entries from a run's lines: both forms, stack traces, and equal results in worker processes."""

import base64
import json
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.logs import known_shapes
from aletheia_operator.logs.entry_writer import EntryWriter
from aletheia_operator.logs.framing import Form, Line
from aletheia_operator.logs.known_lines import KnownLines
from aletheia_operator.logs.marks import CONTEXT, MARK, Parsed
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings

START, END = "2026-11-22T11:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z"


def make_parser(form: Form = "api", max_line_bytes: int = 2**20, **settings: Any) -> RunParser:
    return RunParser(RunSettings("app", 0, False, START, END, max_line_bytes, form, **settings))


def stamp(number: int) -> str:
    return f"2026-11-22T11:30:{number // 1000 % 60:02}.{number % 1000:03}000000Z"


def short(number: int) -> str:
    """Return a time as nodes write it, without trailing zeros."""
    return stamp(number * 37)[:-1].rstrip("0").removesuffix(".") + "Z"


def entries_of(parser: RunParser, *blocks: bytes) -> list[dict[str, Any]]:
    parsed = [*(parser.feed(block) for block in blocks), parser.end_run()]
    return [entry for batch in parsed if batch.block for entry in json.loads(b"[" + batch.block + b"]")]


JAVA = """2026-11-22 11:30:00,001 ERROR [main] org.example.App: boom
java.lang.IllegalStateException: no
\tat org.example.App.run(App.java:7)
Caused by: java.io.IOException: gone
\t... 5 more
2026-11-22 11:30:00,002 INFO [main] org.example.App: on"""
PYTHON = """ERROR:app:boom
Traceback (most recent call last):
  File "app.py", line 1, in <module>
    run()
ValueError: no
INFO:app:on"""
GO = """panic: runtime error: index out of range

goroutine 1 [running]:
main.main()
\t/app/main.go:7 +0x1d
exit status 2"""
DOTNET = """info: App.Startup[0]
      started"""
RUST = """thread 'main' panicked at src/main.rs:3:7:
index out of bounds: the len is 1
stack backtrace:
   0: rust_begin_unwind
             at /rustc/library/std/src/panicking.rs:1:5
note: run with `RUST_BACKTRACE=full`"""
PHP = """PHP Fatal error:  Uncaught Exception: no in /app/a.php:3
Stack trace:
#0 /app/b.php(7): run()
#1 {main}
  thrown in /app/a.php on line 3"""
RUBY = """/app/a.rb:3:in `run': no (RuntimeError)
\tfrom /app/b.rb:7:in `<main>'
/app/c.rb:9:in 'Integer#/'"""
RAILS = """F, [2026-11-22T11:30:00.123456 #7] FATAL -- : ActionView::Template::Error (no):
app/views/a.rb:3:in `block'
app/models/b.rb:7:in 'B#run'
I, [2026-11-22T11:30:00.123456 #7]  INFO -- : on"""
GO_HTTP = """2026/11/22 11:30:00 http: panic serving 10.0.0.1:1: runtime error: index out of range
goroutine 5 [running]:
net/http.(*conn).serve.func1(0x1)
\t/usr/local/go/src/net/http/server.go:1 +0xbf
panic({0x1, 0x2})"""
GO_SIGNAL = """panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]

goroutine 1 [running]:"""
ELIXIR = """11:30:00.123 [error] GenServer App.Worker terminating
** (RuntimeError) no
    (app 0.1.0) lib/app.ex:3: App.Worker.handle_call/3
Last message: :run
State: %{a: 1}"""
ERLANG = """=ERROR REPORT==== 22-Nov-2026::11:30:00.123456 ===
** Generic server app terminating
** Last message in was run"""
POSTGRESQL = """2026-11-22 11:30:00.123 UTC [44] ERROR:  duplicate key value violates unique constraint "a"
2026-11-22 11:30:00.123 UTC [44] DETAIL:  Key (id)=(1) already exists.
2026-11-22 11:30:00.123 UTC [44] STATEMENT:  INSERT INTO a
\tVALUES (1)
2026-11-22 11:30:00.124 UTC [44] LOG:  on"""
JVM = """# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGSEGV (0xb) at pc=0x1, pid=7, tid=8
# JRE version: 21"""
UNHANDLED = """Unhandled exception. System.InvalidOperationException: no
 ---> System.IO.IOException: gone
   at App.Program.Main() in /app/Program.cs:line 7
   --- End of inner exception stack trace ---"""
UNCAUGHT = """TypeError: Cannot read properties of undefined
    at run (/app/a.js:3:7)

Node.js v22.1.0"""
TERRAFORM = """│ Error: no
│
│   on main.tf line 3
╵"""
RANKS = """[rank0]: Traceback (most recent call last):
[rank0]:   File "/app/a.py", line 3, in <module>
[rank0]: RuntimeError: no"""
PLAIN = """nothing here has a form
ValueError is a word
and this stands for itself"""


TRACES = [
    pytest.param(JAVA, [1, 2, 3, 4], id="Java"),
    pytest.param(PYTHON, [1, 2, 3, 4], id="Python"),
    pytest.param(GO, [1, 2, 3, 4, 5], id="Go"),
    pytest.param(GO_HTTP, [1, 2, 3, 4], id="Go's HTTP server"),
    pytest.param(GO_SIGNAL, [1, 2, 3], id="Go's signals"),
    pytest.param(DOTNET, [1], id=".NET"),
    pytest.param(UNHANDLED, [1, 2, 3], id=".NET's unhandled exceptions"),
    pytest.param(RUST, [1, 2, 3, 4, 5], id="Rust"),
    pytest.param(PHP, [1, 2, 3, 4], id="PHP"),
    pytest.param(RUBY, [1, 2], id="Ruby"),
    pytest.param(RAILS, [1, 2], id="Rails"),
    pytest.param(ELIXIR, [1, 2, 3, 4], id="Elixir"),
    pytest.param(ERLANG, [1, 2], id="Erlang"),
    pytest.param(POSTGRESQL, [1, 2, 3], id="PostgreSQL"),
    pytest.param(JVM, [1, 2, 3], id="a crash of the JVM"),
    pytest.param(UNCAUGHT, [1, 2, 3], id="Node.js"),
    pytest.param(TERRAFORM, [1, 2, 3], id="Terraform"),
    pytest.param(RANKS, [1, 2], id="PyTorch's ranks"),
    pytest.param(PLAIN, [], id="plain text"),
]


@pytest.mark.parametrize(("text", "continued"), TRACES)
def test_a_stack_trace_names_its_head(text: str, continued: list[int]) -> None:
    """Each line of it refers to the first. Lines around it do not."""
    lines = text.split("\n")
    block = "".join(f"{stamp(number)} {line}\n" for number, line in enumerate(lines)).encode()
    entries = entries_of(make_parser(), block)
    assert [entry["line"] for entry in entries] == lines
    assert [number for number, entry in enumerate(entries) if entry.get("head") == stamp(0)] == continued


CRASHES = [GO, GO_HTTP, GO_SIGNAL, UNHANDLED, RUST, PHP, RUBY, ELIXIR, ERLANG, POSTGRESQL, JVM, UNCAUGHT, RANKS]


@pytest.mark.parametrize("text", CRASHES)
def test_a_crash_is_one_error_and_its_trace_is_kept_with_it(text: str) -> None:
    """The head has the level, the lines of the trace have none, and all are marked as near an error."""
    lines = text.split("\n")
    parser = make_parser()
    block = "".join(f"{stamp(number)} {line}\n" for number, line in enumerate(lines)).encode()
    parsed = [parser.feed(block), parser.end_run()]
    entries = [entry for batch in parsed if batch.block for entry in json.loads(b"[" + batch.block + b"]")]
    marks = [mark for batch in parsed for mark in array(MARK, batch.marks)]
    assert [entry.get("level") for entry in entries if entry.get("level") in ("ERROR", "FATAL")] == [entries[0]["level"]]
    assert [entry["line"] for entry, mark in zip(entries, marks, strict=True) if "head" in entry and not mark & CONTEXT] == []


@pytest.mark.parametrize("lines", [1, 2, 3, 20])
def test_a_trace_behind_many_lines_of_one_shape_belongs_to_the_last_of_them(lines: int) -> None:
    """This holds even if the parser knows the shape of these lines, and does not parse them again."""
    text = [
        *(f"2026-11-22 11:30:00,{number:03} ERROR app: boom {number}" for number in range(lines)),
        "\tat app.Main(Main.java:7)",
    ]
    block = "".join(f"{stamp(number)} {line}\n" for number, line in enumerate(text)).encode()
    entries = entries_of(make_parser(), block)
    assert [entry.get("head") for entry in entries] == [*[None] * lines, stamp(lines - 1)]


def test_a_traceback_after_an_info_line_is_an_error_of_its_own() -> None:
    """An unrelated line before it does not take its level, so a budget keeps it."""
    text = "INFO:app:on\nTraceback (most recent call last):\n  File 'a.py', line 1\nValueError: no"
    block = "".join(f"{stamp(number)} {line}\n" for number, line in enumerate(text.split("\n"))).encode()
    entries = entries_of(make_parser(), block)
    assert [entry.get("level") for entry in entries] == ["INFO", "ERROR", None, None]
    assert [entry.get("head") for entry in entries] == [None, None, stamp(1), stamp(1)]


def test_a_traceback_of_an_error_that_was_logged_counts_once() -> None:
    """The line that the program logged is the error; the traceback below continues it."""
    text = "ERROR:app:boom\nTraceback (most recent call last):\n  File 'a.py', line 1\nValueError: no"
    block = "".join(f"{stamp(number)} {line}\n" for number, line in enumerate(text.split("\n"))).encode()
    parser = make_parser()
    entries = entries_of(parser, block)
    assert [entry.get("level") for entry in entries] == ["ERROR", None, None, None]
    assert parser.count.levels == {"ERROR": 1}


TIMES = st.sampled_from(
    ["2026-11-22 15:21:07,123", "2026-11-22T15:21:07.123Z", "[15:21:07]", "15:21 7", "2026", "1", "12:", ""]
)
LEVELS = st.sampled_from(
    ["INFO", " ERROR", "WARN ", "DEBUG7", "DEBUG1", "[INFO]", "[ ERROR ]", "info:", "INFO:", "FATAL |", "7", ""]
)
ORIGINS = st.sampled_from(
    [
        "[main]",
        "[worker-12]",
        "[",
        "]",
        "[a: b]",
        "1 --- [main]",
        "org.example.App:",
        "app:12",
        "a.b(7):",
        "App -",
        "-",
        ">",
        "",
        ":",
    ]
)
MESSAGES = st.sampled_from(
    [
        ": x",
        "order 7: [a]",
        "x",
        "[b]: c",
        "- y",
        "7 z",
        "a=1 b=2",
        'said "no"',
        "back\\slash",
        "tab\there",
        "\x1b[31mred",
        "é",
        "\xa0",
        "",
    ]
)
LINES = st.lists(st.tuples(TIMES, LEVELS, ORIGINS, ORIGINS, MESSAGES).map(" ".join), min_size=1, max_size=12)


@given(LINES, st.integers(0, 9), st.sampled_from(["api", "file"]))
def test_lines_of_a_known_shape_become_what_they_are_alone(lines: list[str], digit: int, form: Form) -> None:
    """An entry depends only on its line and on traces around it, not on shapes that the parser has learned."""
    others = [line.translate({ord("7"): str(digit), ord("1"): str(digit)}) for line in lines]
    between = " " if form == "api" else " stderr F "
    block = "".join(f"{short(number)}{between}{line}\n" for number, line in enumerate([*lines, *others, *lines])).encode()
    learning, alone = make_parser(form), make_parser(form)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_shapes, "MAX_SHAPES", 0)
        expected = [alone.feed(block), alone.end_run()]
    assert plain([learning.feed(block), learning.end_run()]) == plain(expected), "entries and marks"
    assert (learning.position, learning.count.summary()) == (alone.position, alone.count.summary())


def plain(parsed: list[Parsed]) -> list[tuple[bytes, list[int]]]:
    """Entries and marks, without the numbers of equal lines, which only lines of known shapes have."""
    return [(part.block, [mark & 0xFFFF for mark in array(MARK, part.marks)]) for part in parsed]


def at(number: int) -> str:
    return stamp(number % 3_600_000)


INFO, ERROR = (f"2026-11-22 11:30:00,001 {level} [main] org.example.App: order" for level in ("INFO", "ERROR"))
NO_DAY = "2026-02-31T11:30:00.020000000Z"
ORDERLY = [(at(number), INFO) for number in range(40)]
SHAPED: dict[str, list[tuple[str, str]]] = {
    "one after the other": ORDERLY,
    "over many seconds": [(at(number * 400), INFO) for number in range(40)],
    "all at once": [(at(7), INFO)] * 40,
    "errors alone": [(at(number), ERROR) for number in range(40)],
    "an error now and then": [(at(number * 90), ERROR if number % 13 == 5 else INFO) for number in range(60)],
    "back in time": [*ORDERLY, *((at(number), INFO) for number in range(20, 60))],
    "back by seconds": [*((at(9000 + number), INFO) for number in range(20)), *ORDERLY],
    "before the window": [*(("2026-11-22T10:59:59.999000000Z", INFO) for _ in range(5)), *ORDERLY],
    "after the window": [*ORDERLY, *(("2026-11-22T12:00:00.000000001Z", INFO) for _ in range(5)), (at(50), INFO)],
    "the window's edges": [(START, INFO)] * 3 + [(END, INFO)] * 3 + [("2026-11-22T12:00:01.000000000Z", INFO)] * 3,
    "a character that JSON escapes": [*ORDERLY[:20], (at(20), INFO + ' "x"'), *ORDERLY[21:]],
    "a very long line": [*ORDERLY[:20], (at(20), INFO + "x" * 30_000), *ORDERLY[21:]],
    "a digit for the message": [*ORDERLY[:20], (at(20), INFO.replace("order", "7")), *ORDERLY[21:]],
    "no such day": [*ORDERLY[:20], (NO_DAY, INFO), *ORDERLY[21:]],
    "a percent sign": [(time, f"{line} 100 %s") for time, line in ORDERLY],
    "a trace": [(at(0), ERROR), (at(1), "\tat org.example.App.run(App.java:7)"), *((at(n), INFO) for n in range(2, 20))],
}


@pytest.mark.parametrize("form", ["api", "file"])
@pytest.mark.parametrize("lines", SHAPED.values(), ids=SHAPED)
def test_many_lines_of_one_shape(lines: list[tuple[str, str]], form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are as for each line alone, in one block or several, and in a further read. Few lines are parsed fully."""
    between = " " if form == "api" else " stderr F "
    block = "".join(f"{time}{between}{line} {number}\n" for number, (time, line) in enumerate(lines)).encode()
    half = block.index(b"\n", len(block) // 2) + 1
    closely: list[str] = []
    real = EntryWriter.add_line

    def add_line(self: EntryWriter, line: Line, ended: bool) -> None:
        closely.append(line.text)
        real(self, line, ended)

    for blocks in ([block], [block[:half], block[half:]], [block, b"again", block]):
        found: list[Any] = []
        for most in (1000, 0):
            monkeypatch.setattr(known_shapes, "MAX_SHAPES", most)
            monkeypatch.setattr(EntryWriter, "add_line", add_line if most else real)
            parser = make_parser(form, max_line_bytes=2**16)
            parsed = []
            for parsed_block in blocks:
                parser.read_again() if parsed_block == b"again" else parsed.append(parser.feed(parsed_block))
            parsed.append(parser.end_run())
            found.append((plain(parsed), parser.position, parser.count.summary()))
        assert found[0] == found[1]
    kept = [line for time, line in lines if START <= time <= END or time == NO_DAY]
    entries = entries_of(make_parser(form), block)
    assert all(entry["line"].rpartition(" ")[0].endswith(line) for entry, line in zip(entries, kept, strict=True))
    assert len(closely) < len(lines)


def test_lines_at_times_that_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept as they are, between others, and each line is looked at once or twice."""
    lines = [(NO_DAY, INFO) if number % 2 else ORDERLY[number] for number in range(40)]
    block = "".join(f"{time} stdout F {line} {number}\n" for number, (time, line) in enumerate([*ORDERLY[:2], *lines])).encode()
    looked_at: list[int] = []
    real = KnownLines._count

    def count(self: KnownLines, keys: list[str]) -> int:
        looked_at.append(len(keys))
        return real(self, keys)

    monkeypatch.setattr(KnownLines, "_count", count)
    entries = entries_of(make_parser("file"), block)
    assert [entry["timestamp"] for entry in entries[2:]] == [None if time == NO_DAY else time for time, _ in lines]
    assert sum(looked_at) <= len(lines)


def test_a_line_long_after_a_trace_does_not_continue_it() -> None:
    """An indented line a minute later does not belong to the trace."""
    block = b"2026-11-22T11:30:00.000000000Z ERROR boom\n2026-11-22T11:31:30.000000000Z   indented\n"
    assert "head" not in entries_of(make_parser(), block)[1]


def test_parts_of_a_line_are_joined_as_the_kubelet_does() -> None:
    """A character may be split between two parts. Times are written with their trailing zeros."""
    flame = "🔥".encode()
    block = (
        b"2026-11-22T11:30:00.1Z stdout P one " + flame[:2] + b"\n"
        b"2026-11-22T11:30:00.2Z stdout P " + flame[2:] + b"\n"
        b"2026-11-22T11:30:00.3Z stdout F  end\n"
        b"2026-11-22T11:30:00.4Z stderr F \n"
        b"2026-11-22T11:30:00.5Z stdout F \xff\n"
    )
    first, second, third = entries_of(make_parser("file"), block)
    assert first == {
        "timestamp": "2026-11-22T11:30:00.100000000Z",
        "container": "app",
        "run": 0,
        "stream": "stdout",
        "line": "one 🔥 end",
    }
    assert (second["timestamp"], second["stream"], second["line"]) == ("2026-11-22T11:30:00.400000000Z", "stderr", "")
    assert (third["line"], third["line_base64"]) == ("\ufffd", "/w==")


def test_an_endless_line_of_parts_takes_flat_memory() -> None:
    """50 MB in parts of 16 KiB are kept up to the limit."""
    parser = make_parser("file", max_line_bytes=2**16)
    part = b"2026-11-22T11:30:00.100000000Z stdout P " + b"x" * 2**14 + b"\n"
    for _ in range(3200):
        parser.feed(part)
    (entry,) = entries_of(parser, b"2026-11-22T11:30:00.200000000Z stdout F end\n")
    assert len(entry["line"]) == 2**16
    assert entry["truncated"] is True


@pytest.mark.parametrize("depth", [240, 260, 300, 900, 960, 985, 1_000, 1_015, 1_022, 1_030, 20_000])
@pytest.mark.parametrize("nan", ["1", "NaN"])
def test_fields_nested_too_deeply_are_left_to_the_line(depth: int, nan: str) -> None:
    """What cannot be written as a field is still in the line."""
    line = '{"level":"error","b":' + nan + ',"a":' + "[" * depth + "]" * depth + "}"
    (entry,) = entries_of(make_parser(), f"{stamp(0)} {line}\n".encode())
    assert entry["line"] == line
    assert entry.get("level", "ERROR") == "ERROR"


def test_parts_of_both_streams_may_alternate() -> None:
    """A line of stderr between parts of a line of stdout is a separate line."""
    block = (
        b"2026-11-22T11:30:00.100000000Z stdout P one \n"
        b"2026-11-22T11:30:00.200000000Z stderr P bo\n"
        b"2026-11-22T11:30:00.300000000Z stdout F two\n"
        b"2026-11-22T11:30:00.400000000Z stderr F om\n"
        b"2026-11-22T11:30:00.500000000Z stdout P never en\n"
    )
    entries = entries_of(make_parser("file"), block)
    assert [(entry["stream"], entry["line"]) for entry in entries] == [
        ("stdout", "one two"),
        ("stderr", "boom"),
        ("stdout", "never en"),
    ]
    assert entries[2]["partial"] is True


def docker(second: float, log: str, stream: str = "stdout") -> bytes:
    record = {"log": log, "stream": stream, "time": f"2026-11-22T11:30:{second:012.9f}Z"}
    return json.dumps(record).encode() + b"\n"


def test_dockers_files_are_read_too() -> None:
    """Lines, parts of lines, both streams and characters escaped in JSON: the entries are like those of any runtime."""
    block = docker(1, 'ERROR "quoted" \\ \u2028 🔥\n', "stderr") + docker(2, "one ") + docker(3, "two\n") + docker(4, "\n")
    first, second, third = entries_of(make_parser("file"), block)
    assert first == {
        "timestamp": "2026-11-22T11:30:01.000000000Z",
        "container": "app",
        "run": 0,
        "stream": "stderr",
        "level": "ERROR",
        "message": '"quoted" \\ \u2028 🔥',
        "line": 'ERROR "quoted" \\ \u2028 🔥',
    }
    assert (second["timestamp"], second["line"]) == ("2026-11-22T11:30:02.000000000Z", "one two")
    assert third["line"] == ""


@pytest.mark.parametrize(
    "line",
    [
        "a line of a runtime that nobody knows",
        '{"log": 7, "time": "2026-11-22T11:30:01Z"}',
        '{"log": "no time"}',
        "[1]",
        "{",
        "",
        "\0" * 100,
        "2026-11-22T11:30:01.000000000Z",
        "2026-11-22T11:30:01.000000000Z text without a stream",
        "2026-02-31T11:30:01.000000000Z stdout F of a day that is none",
        "２026-11-22T11:30:01.000000000Z stdout F digits of another script",
    ],
)
def test_a_line_in_no_known_form_is_kept(line: str) -> None:
    """It stays at its place, without a time. Outside of the window it is left out like the lines around it."""
    around = "2026-11-22T{}.000000000Z stdout F ERROR: app: neighbour\n"
    block = around.format("11:30:00") + line + "\n" + around.format("12:30:00") + line + "\n"
    entries = entries_of(make_parser("file"), block.encode())
    assert [entry["line"] for entry in entries] == ["ERROR: app: neighbour", line]
    assert entries[1]["timestamp"] is None
    parser = make_parser("file")
    assert [entry["line"] for entry in entries_of(parser, f"{line}\n".encode())] == [line]
    assert (parser.position.untimed, parser.position.first) == (1, "")


@pytest.mark.parametrize(
    "words", ["plain words", "2026-11-22 15:21:07,123 ERROR [main] app: boom", '{"level":"info","msg":"x"}']
)
@pytest.mark.parametrize("counts", [[1], [3], [1, 1, 1], [2, 1, 3], [1, 4, 2, 1], [5, 1]])
def test_lines_of_a_second_are_counted_alike_in_blocks_of_any_size(counts: list[int], words: str) -> None:
    """The next read skips that number: one more loses a line, and one fewer doubles a line."""
    lines = [
        f"2026-11-22T11:30:{second:02}.{number:09}Z {words}\n".encode()
        for second, count in enumerate(counts)
        for number in range(count)
    ]
    whole = b"".join(lines)
    positions = []
    for blocks in ([whole], lines, [b"".join(lines[:2]), b"".join(lines[2:])]):
        parser = make_parser()
        entries_of(parser, *blocks)
        parser.read_again()
        positions.append(parser.position)
        skipped = [line for line in lines if line.decode() >= parser.position.since]
        assert (parser.position.skip, parser.position.lines) == (len(skipped), len(lines))
        later = f"2026-11-22T11:31:00.000000000Z {words}\n".encode()
        assert len(entries_of(parser, *skipped, later)) == 1
    assert positions == positions[:1] * 3


def test_bytes_without_a_time_are_kept_exactly() -> None:
    """If they are not text, the exact bytes are beside the line."""
    (entry,) = entries_of(make_parser("file"), b"\xff\xfe no form\n")
    assert (entry["timestamp"], entry["line_base64"]) == (None, "//4gbm8gZm9ybQ==")


@pytest.mark.parametrize(("limit", "kept"), [(99, 99), (100, 100)], ids=["too long", "just not"])
def test_a_line_without_a_time_is_cut_by_its_own_bytes(limit: int, kept: int) -> None:
    """Their replacement text, three times as long, does not count."""
    (entry,) = entries_of(make_parser("file", max_line_bytes=limit), b"\xff" * 100 + b"\n")
    assert base64.b64decode(entry["line_base64"]) == b"\xff" * kept
    assert entry["line"] == "\ufffd" * kept
    assert entry.get("truncated", False) == (limit < 100)


def test_lines_of_a_plain_run_are_not_looked_at() -> None:
    """Every line is there, exact, without level, message and fields."""
    lines = ["2026-11-22 15:21:07,123 ERROR [main] app: boom", '{"level":"error","msg":"x"}', "ERROR: a: b"] * 3
    block = "".join(f"{stamp(number)} {line}\n" for number, line in enumerate(lines)).encode()
    entries = entries_of(make_parser(plain=True), block)
    assert [entry["line"] for entry in entries] == lines
    assert all(set(entry) == {"timestamp", "container", "run", "line"} for entry in entries)


KNOWN = [f"2026-11-22 15:21:07,123 {level} [main] app: line" for level in ("INFO", "ERROR", "INFO")]


@pytest.mark.parametrize("form", ["api", "file"])
def test_a_further_look_skips_what_was_read(form: Form) -> None:
    """Lines of the same second are neither lost nor doubled, with known shapes or without. New lines follow."""
    between = " " if form == "api" else " stdout F "
    lines = [f"{stamp(number)}{between}{text}\n".encode() for number, text in enumerate([*KNOWN, *KNOWN, "plain", "plain"])]
    later = f"{stamp(900)}{between}{KNOWN[0]}\n".encode()
    parser = make_parser(form)
    blocks = [parser.feed(b"".join(lines))]
    parser.read_again()
    assert parser.position.skip == len(lines)
    blocks += [parser.feed(b"".join([*lines[:3]])), parser.feed(b"".join([*lines[3:], later])), parser.end_run()]
    entries = [entry for block in blocks if block.block for entry in json.loads(b"[" + block.block + b"]")]
    assert [entry["timestamp"] for entry in entries] == [*(stamp(number) for number in range(8)), stamp(900)]
    assert parser.position.lines == 9


def test_a_look_that_begins_behind_what_was_read_is_detached() -> None:
    """None of its lines is taken until `accept` gives up the lines between."""
    parser = make_parser()
    parser.feed(f"{stamp(1)} a\n".encode())
    parser.read_again()
    later = f"{stamp(5000)} INFO x: b\n{stamp(5001)} INFO x: c\n".encode() * 2
    assert parser.feed(later).block == b""
    assert parser.feed(later).block == b""
    assert parser.position.detached == stamp(5000)
    parser.accept()
    assert parser.position.detached == ""
    parsed = [parser.feed(later), parser.end_run()]
    assert b"".join(batch.block for batch in parsed).count(b"timestamp") == 5


def test_lines_behind_the_window_are_counted_in_a_row() -> None:
    """A line inside the window restarts the count, whether its shape is known or not."""
    parser = make_parser()
    past = b"2026-11-22T12:00:00.000000001Z INFO app: x\n"
    parser.feed(past * 3)
    assert parser.position.past == 3
    parser.feed(past + f"{stamp(1)} INFO app: x\n".encode())
    assert parser.position.past == 0
    parser.feed(past * 2)
    assert parser.position.past == 2
    assert parser.position.latest == parser.position.last == "2026-11-22T12:00:00.000000001Z"
