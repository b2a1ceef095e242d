"""Levels of lines in the forms of many programs, from tests/data/log_forms, and lines that have no level."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.logs.forms import recognise
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings

DATA = Path(__file__).parents[1] / "data" / "log_forms"
TABLES = (
    "levels.tsv", "levels_held_back.tsv", "levels_of_programs.tsv", "levels_of_layouts.tsv", "levels_in_any_layout.tsv",
    "levels_and_messages.tsv", "levels_of_classes.tsv", "levels_of_unseen.tsv", "levels_of_well_known.tsv",
    "levels_of_documentation.tsv", "levels_of_containers.tsv",
)  # fmt: skip
WITH_MESSAGES = ("levels_and_messages.tsv", "levels_of_classes.tsv", "levels_of_documentation.tsv", "levels_of_containers.tsv")
MESSAGE = "¶"
"""Marks where the message of a line begins."""
TORN = re.compile(r"[\])>}]|/\w+[\]:]|\d{1,6}[\])>:#\t]")
"""What a message begins with if its head was cut inside brackets, a name or a place in the source."""
OPENS = re.compile(r"(?i)(?:error|warn|warning|info|debug|fatal|critical|alert|trace|notice|panic|severe|verbose|emergency)\b")
"""Sentences that begin with the name of a level: behind a time it would be taken for the level."""
LEVELS = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}


def rows(name: str, columns: int) -> Iterator[list[str]]:
    """The rows of a table, with the line as the last of `columns`."""
    for row in (DATA / name).read_text(encoding="utf-8").split("\n"):
        if row and not row.startswith("# One line"):
            cells = row.split("\t", columns - 1)
            yield [*cells[:-1], cells[-1].replace("\\t", "\t").replace("\\e", "\x1b")]


@pytest.mark.parametrize("name", TABLES)
def test_levels_are_right_in_the_forms_of_many_programs(name: str) -> None:
    """At least 98 of 100 lines of each table have their level, and no line has another one."""
    table = [(form, None if level == "-" else level, line.replace(MESSAGE, "")) for form, level, line in rows(name, 3)]
    wrong = [(form, found, level, line) for form, level, line in table if (found := recognise(line).level) != level]
    assert [row for row in wrong if row[1] is not None] == []
    assert len(wrong) / len(table) <= 0.02, wrong


CLOCKS = (
    "2026-05-11 10:30:02", "2026-05-11T10:30:02.123Z", "2026-05-11 10:30:02,123", "2026/05/11 10:30:02", "10:30:02.123",
    "10:30:02", "11/May/2026:10:30:02 +0000", "11.05.2026 10:30:02", "May 11 10:30:02", "Mon May 11 10:30:02 2026",
    "05/11/2026 10:30:02 AM", "2026-05-11T10:30:02+00:00", "1747000000.123", "20260511 10:30:02", "11-May-2026 10:30:02",
    "2026-05-11 10:30:02.123 +0000", "2026-05-11 10:30:02 UTC", "2026-05-11_10:30:02", "20260511T103002Z", "1747000000123",
    "Mon, 11 May 2026 10:30:02 GMT",
)  # fmt: skip


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_level_in_capitals_is_known_in_any_layout(clock: str) -> None:
    """Whatever stands around the level, and however the time is written."""
    layouts = (DATA / "layouts.txt").read_text(encoding="utf-8").splitlines()
    assert len(layouts) > 150
    for layout in layouts:
        line = layout.replace("\\t", "\t").replace("TIME", clock, 1).replace("NAME", "worker", 1)
        for word, level in (("ERROR", "ERROR"), ("WARN", "WARN")):
            for message in ("cannot connect to db", "Connection failed: timeout"):
                text = line.replace("LEVEL", word, 1).replace("MESSAGE", message)
                assert recognise(text).level == level, text


def test_no_message_is_cut() -> None:
    """Each message has the whole of its line's own words, perhaps behind a part of the head."""
    for form, _, marked in (row for name in WITH_MESSAGES for row in rows(name, 3)):
        line = marked.replace(MESSAGE, "")
        message = recognise(line).message or line
        assert MESSAGE not in marked or message.endswith(marked.partition(MESSAGE)[2]), form


@pytest.mark.parametrize(("name", "share"), zip(WITH_MESSAGES, (0.74, 0.8, 0.89, 0.99), strict=True))
def test_most_messages_begin_exactly_behind_the_head(name: str, share: float) -> None:
    """No thread, logger or place in the source is left before them."""
    marked = [line for _, _, line in rows(name, 3) if MESSAGE in line]
    exact = [line for line in marked if recognise(line.replace(MESSAGE, "")).message == line.partition(MESSAGE)[2]]
    assert len(exact) / len(marked) >= share


def test_no_head_is_torn() -> None:
    """A message does not begin inside a name, a place in the source or brackets of its head: 12] boom, /Worker: boom."""
    torn = set()
    for form, _, marked in (row for name in TABLES for row in rows(name, 3)):
        line = marked.replace(MESSAGE, "")
        level, message, _, _ = recognise(line)
        if level and message and line[0] != "{" and TORN.match(message) and not line.removesuffix(message)[-1:].isspace():
            torn.add(form)
    assert torn == {"Buildozer", "trufflehog", "SONiC debug"}  # -> and :> before the message; a column of level and verbosity


def test_the_tables_have_many_forms_and_every_level() -> None:
    """At least 400 lines in 150 forms."""
    table = [row for name in TABLES for row in rows(name, 3)]
    assert {level for _, level, _ in table} == LEVELS | {"-"}
    assert len(table) >= 400
    assert len({form for form, _, _ in table}) >= 150


@pytest.mark.parametrize(("kind", "line"), [pytest.param(*row, id=" ".join(row)[:60]) for row in rows("no_level.tsv", 2)])
def test_prose_settings_and_tables_have_no_level(kind: str, line: str) -> None:
    """A word in a sentence, a setting, a table, a request or a grade is no level."""
    assert recognise(line).level is None, kind


TIMES = (
    "", "2026-05-11T10:30:02.123Z ", "[2026-05-11 10:30:02] ", "2026/05/11 10:30:02 ", "10:30:02.123 ",
    "May 11 10:30:02 host app[12]: ", "2026-05-11 10:30:02,123 [main] ", "app-1  | ",
)  # fmt: skip


@pytest.mark.parametrize("time", TIMES)
def test_a_sentence_has_no_level_behind_any_time(time: str) -> None:
    """Words of levels inside a sentence do not count, with or without a time before it."""
    sentences = (DATA / "sentences.txt").read_text(encoding="utf-8").splitlines()
    if time:
        sentences = [
            text for text in sentences if text[:1].isalpha() and " " in text and "|" not in text and not OPENS.match(text)
        ]
    assert [text for text in sentences if recognise(time + text).level is not None] == []


@pytest.mark.parametrize(
    "message", ["METRICS exported 12", "DATABASE is locked", "HTTP request failed", "SIGTERM received, bye"]
)
def test_a_word_in_capitals_takes_no_level_away_behind_a_time(message: str) -> None:
    """Only the titles of sentences do, without a time before them."""
    assert recognise(f"2026-05-11 10:30:02 ERROR {message}").level == "ERROR"


def test_a_colour_takes_no_level_away() -> None:
    """A line has the same level with terminal escapes around it."""
    for form, level, line in rows("levels.tsv", 3):
        assert recognise(f"\x1b[31m{line}\x1b[0m").level == recognise(line).level == level, form


FIELDS = [json.loads(row) for row in (DATA / "fields.ndjson").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("row", FIELDS, ids=[f"{number} {row['form']}" for number, row in enumerate(FIELDS)])
def test_the_parts_of_a_line(row: dict[str, Any]) -> None:
    """Its message without its head, and the head's parts under their names."""
    found = recognise(row["line"])
    assert (found.level, found.message, found.fields) == (row["level"], row["message"], row["fields"])


def traces() -> Iterator[tuple[str, list[str], list[str]]]:
    """Name of a trace, what each line is, and the lines. E, F, W: a head of this level; J joins the head before; N: another."""
    for block in (DATA / "traces.txt").read_text(encoding="utf-8").split("## ")[1:]:
        name, *marked = block.rstrip("\n").split("\n")
        yield name, [text[0] for text in marked], [text[2:] for text in marked]


@pytest.mark.parametrize(("name", "kinds", "lines"), [pytest.param(*trace, id=trace[0]) for trace in traces()])
def test_lines_of_a_trace_join_its_head(name: str, kinds: list[str], lines: list[str]) -> None:
    """A trace has one head, which has the level; all other lines name it, and the line behind the trace does not."""
    stamps = [f"2026-05-11T10:30:02.{number:09}Z" for number in range(len(lines))]
    parser = RunParser(RunSettings("app", 0, False, stamps[0], "2026-05-12T00:00:00.000000000Z", 2**20, "api"))
    block = "".join(f"{stamp} {line}\n" for stamp, line in zip(stamps, lines, strict=True))
    parsed = parser.feed(block.encode()), parser.end_run()
    entries = [entry for part in parsed if part.block for entry in json.loads(b"[" + part.block + b"]")]
    levels = {"E": "ERROR", "F": "FATAL", "W": "WARN"}
    head: str | None = None
    for kind, line, entry in zip(kinds, lines, entries, strict=True):
        if kind == "J":
            assert (entry.get("head"), entry.get("level")) == (head, None), line
        else:
            head = entry["timestamp"]
            assert "head" not in entry, line
            assert kind == "N" or entry["level"] == levels[kind], line


@pytest.mark.parametrize("lines_of_a_block", [1, 3, 100])
def test_an_exception_joins_the_error_with_its_message(lines_of_a_block: int) -> None:
    """However the lines come, and also once the shape of the error's line is known; an exception with another message stays."""
    written: list[str] = []
    for number in range(5):
        written += [
            f"2026-05-11 10:30:02,123 ERROR [main] app.Service: request {number} failed: boom",
            f"Error: request {number} failed: boom",
            "    at a (/app/b.js:1:2)",
            f"2026-05-11 10:30:02,124 ERROR [main] app.Service: request {number} failed: gone",
            "Error: other",
            f"2026-05-11 10:30:02,125 INFO [main] app.Service: request {number} ended",
        ]
    stamped = [f"2026-05-11T10:30:02.{number:09}Z {line}\n".encode() for number, line in enumerate(written)]
    parser = RunParser(RunSettings("app", 0, False, stamped[0][:30].decode(), "2026-05-12T00:00:00.000000000Z", 2**20, "api"))
    blocks = [b"".join(stamped[at : at + lines_of_a_block]) for at in range(0, len(stamped), lines_of_a_block)]
    parsed = [*map(parser.feed, blocks), parser.end_run()]
    entries = [entry for part in parsed if part.block for entry in json.loads(b"[" + part.block + b"]")]
    assert [written[number] for number, entry in enumerate(entries) if "head" in entry] == [
        line for line in written if line.startswith(("Error: request", "    at"))
    ]
