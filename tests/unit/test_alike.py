"""Numbers that a parser gives to lines that differ only in digits: findings are the same as from each line's text."""

import threading
import uuid
from array import array
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.findings.log_facts import LogFacts
from aletheia_operator.findings.log_reader import LogReader
from aletheia_operator.findings.own_rules import OwnRules
from aletheia_operator.findings.templates import Place
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.marks import MARK, MarkedEntries, alike_of, bucket_of
from aletheia_operator.logs.merge import merge
from aletheia_operator.logs.spool import Spool
from aletheia_operator.text.batches import LEVEL_CODES, SEPARATOR, Encoded, numbers_of
from tests.unit.evidence import END, START, parsed
from tests.unit.fakes import make_scratch


def log(text: str, count: int = 200) -> list[str]:
    """Lines of a common form, of which each differs from the others in digits at least."""
    ids = (uuid.UUID(int=number * 7919 << 64) for number in range(count))
    return [
        f"{number * 50 // count} 2026-11-22 15:21:11,123 {text.replace('{n}', str(number)).replace('{id}', str(next(ids)))}"
        for number in range(count)
    ]


LOGS = {
    "errors": log("ERROR [main] org.example.App: order {n} refused"),
    "errors with ids": log("ERROR [main] org.example.App: order {id} refused"),
    "warnings": log("WARN  [main-{n}] org.example.App: disk {n} is full"),
    "of a called program": log("ERROR [main] org.example.App: dial tcp 10.0.0.{n}:5432: connect: connection refused"),
    "fatal errors": log("FATAL [main] org.example.App: bad checksum of {n}"),
    "long errors": log(f"ERROR [main] org.example.App: {'lorem ' * 40}{{n}}"),
    "with traces": [*log("ERROR [main] org.example.App: order {n} refused"), "55 \tat org.example.App.run(App.java:7)"],
    "of one message": [
        line
        for number, level in enumerate(["INFO ", "WARN ", "ERROR", "FATAL"] * 5)
        for line in log(f"{level} [main] org.example.App: disk {number} is full", 3)[:1] * 3
    ],
    "mixed": [
        line
        for triple in zip(
            log("INFO  [main] org.example.App: fine {n}"),
            log("ERROR [main] org.example.App: order {id} refused"),
            log("WARN  [main] org.example.App: disk {n} is full"),
            strict=True,
        )
        for line in triple
    ],
}


def shown(place: Place) -> Any:
    return place.first, place.last, place.count, place.peers, place.link.entry


def facts_of(blocks: list[Encoded]) -> Any:
    """What findings are made of, as plain values."""
    facts = LogFacts()
    reader = LogReader(facts, threading.Lock(), START, END, OwnRules())
    reader.begin({"pod": "web-0", "runs": [{"container": "app", "run": 0}]})
    for block in blocks:
        reader.read(block)
    reader.close("data/logs/web-0.json", {"levels": {}})
    templates = [
        (t.shape, t.level, t.category, t.example, t.count, t.histogram, [shown(place) for place in t.places.values()])
        for t in facts.templates.by_shape.values()
    ]
    runs = [
        [(line.text, line.level, line.stamp, line.link.entry) for line in (*run.lines, *run.errors, *filter(None, [run.fatal]))]
        for run in facts.runs.values()
    ]
    return templates, runs, facts.lines, facts.errors_of, facts.templates.left_out


@pytest.mark.parametrize("name", LOGS)
def test_findings_of_numbered_lines_are_those_of_their_text(name: str) -> None:
    """Counts, first and last times, parts of the window, examples and last errors, in one block and in several."""
    levels = dict[str, int]()
    whole = parsed("app", 0, LOGS[name], levels)
    lines = whole.block.split(SEPARATOR)
    halves = [
        Encoded(SEPARATOR.join(lines[part]), whole.codes[part], alike=whole.alike[part])
        for part in (slice(0, len(lines) // 2), slice(len(lines) // 2, None))
    ]
    for blocks in ([whole], halves):
        assert facts_of(blocks) == facts_of([replace(block, alike=()) for block in blocks])


def test_only_lines_of_one_level_share_a_number() -> None:
    """Errors and warnings have numbers; fatal errors, long errors and other lines have none."""
    block = parsed("app", 0, LOGS["of one message"], {})
    numbers = {block.entry(at).get("level"): number for at, number in enumerate(block.alike) if at > 12}
    assert numbers["INFO"] == numbers["FATAL"] == 0
    assert 0 < numbers["ERROR"] <= LevelCount.MAX_MESSAGES < numbers["WARN"]
    assert set(parsed("app", 0, LOGS["long errors"], {}).alike) == {0}
    assert len(set(parsed("app", 0, LOGS["errors with ids"], {}).alike[1:])) == 1


def test_too_many_messages_have_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their lines are told apart by their text."""
    monkeypatch.setattr(LevelCount, "MAX_MESSAGES", 2)
    count = LevelCount()
    assert [count.add_message(message) for message in ("a 1", "b", "c", "a 7", "c")] == [1, 2, 0, 1, 0]


def test_numbers_are_kept_with_the_entries_of_one_run() -> None:
    """Within a budget too; entries of several runs have none, since each run has its own numbers."""
    entries = MarkedEntries()
    for number in range(100):
        entries.add(f'{{"timestamp":"2026-11-22T14:00:00.{number:09}Z"}}', 5, False, 7 + number % 3)
    taken = entries.take(0)
    assert [*alike_of(taken.marks)] == [7 + number % 3 for number in range(100)]
    assert len({bucket_of(mark) for mark in array(MARK, taken.marks)}) == 100

    def spooled() -> Spool:
        spool = Spool(make_scratch(), 2_000)
        spool.add(taken)
        spool.end()
        spool.finish(2_000)
        return spool

    first, second = spooled(), spooled()
    for block in merge([first.blocks()]):
        kept = [int(block.entry(number)["timestamp"][-4:-1]) for number in range(block.count)]
        assert [*block.alike] == [7 + number % 3 for number in kept]
    assert not any(block.alike for block in merge([first.blocks(), second.blocks()]))
    first.close()
    second.close()


@pytest.mark.parametrize("count", [1, 2, 40])
def test_lines_are_found_without_splitting_the_block(count: int) -> None:
    """One, some or most of them, and whether the block was split before or not."""
    block = Encoded(SEPARATOR.join(b"%d" % number for number in range(count)), bytes(count))
    assert replace(block).first == block.lines[0]
    for number in range(count):
        assert replace(block).line(number) == block.line(number) == block.lines[number]
    for some in ([], [count - 1], [*range(0, count, 7)], [*range(count)]):
        assert replace(block).lines_of(some) == [block.lines[number] for number in some]


@given(st.lists(st.sampled_from(range(len(LEVEL_CODES)))), st.sampled_from([(1,), (0, 5), (5, 6)]))
def test_numbers_of_levels(codes: list[int], wanted: tuple[int, ...]) -> None:
    """Few or many of a block."""
    table = bytes(code in wanted for code in range(256))
    assert numbers_of(table, bytes(codes)) == [number for number, code in enumerate(codes) if code in wanted]
