"""Facts that rules read from logs and events: which lines count, which are the last words, and all limits."""

import json
import threading
from typing import Any

import pytest

from aletheia_operator.findings import events as events_module
from aletheia_operator.findings import line_choice, line_groups, log_reader
from aletheia_operator.findings import templates as templates_module
from aletheia_operator.findings.error_categories import any_category
from aletheia_operator.findings.events import EventFacts, EventReader
from aletheia_operator.findings.finding import Artifact, Link, Subject
from aletheia_operator.findings.log_facts import LAST_ERRORS, LAST_LINES, Line, LogFacts, RunFacts
from aletheia_operator.findings.log_reader import LogReader
from aletheia_operator.findings.own_rules import OwnRules
from aletheia_operator.findings.templates import BUCKETS, Templates, alike, grouped, shape_of
from aletheia_operator.text.batches import SEPARATOR, Encoded
from tests.unit.evidence import END, START, at, event, parsed

PATH = "data/logs/web-0.json"
Run = tuple[str, int, list[str]]


def read(*runs: Run, facts: LogFacts | None = None, announced: bool = True, pod: str = "web-0") -> LogFacts:
    """The facts of a pod's log."""
    facts = facts or LogFacts()
    reader = LogReader(facts, threading.Lock(), START, END, OwnRules())
    levels: dict[str, int] = {}
    reader.begin({"pod": pod, "runs": [{"container": name, "run": number} for name, number, _ in runs] if announced else []})
    for name, number, lines in runs:
        reader.read(parsed(name, number, lines, levels))
    reader.read(Encoded(b"", b""))
    reader.close(PATH, {"levels": levels})
    return facts


def read_singly(*runs: Run) -> LogFacts:
    """The facts of a pod's log of which each line is a block, and none is grouped."""
    facts, levels = LogFacts(), dict[str, int]()
    reader = LogReader(facts, threading.Lock(), START, END, OwnRules())
    reader.begin({"pod": "web-0", "runs": [{"container": name, "run": number} for name, number, _ in runs]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_groups, "MAX_LINE", 0)
        for name, number, lines in runs:
            block = parsed(name, number, lines, levels)
            for line, code in zip(block.block.split(SEPARATOR), block.codes, strict=True):
                reader.read(Encoded(line, bytes([code])))
    reader.close(PATH, {"levels": levels})
    return facts


def watch_decoding(patch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the entries that are decoded from now on."""
    decoded: list[int] = []
    entry = Encoded.entry

    def counted(self: Encoded, number: int) -> Any:
        decoded.append(number)
        return entry(self, number)

    patch.setattr(Encoded, "entry", counted)
    return decoded


def the_run(facts: LogFacts, container: str = "app", run: int = 0) -> RunFacts:
    found = facts.runs.get(("web-0", container, run))
    assert found is not None
    return found


def test_what_is_counted_of_a_log() -> None:
    """Lines, levels, errors of the pod, runs; links name the entry in the artifact."""
    facts = read(
        ("app", 0, ["1 INFO a: on", "2 ERROR a: first", "3 INFO a: tick"]),
        ("app", 1, ["4 ERROR a: second", "5 FATAL a: gone", "6 ERROR a: third"]),
        ("proxy", 0, ["7 WARN p: slow"]),
    )
    assert (facts.lines, facts.pods, facts.errors_of) == (7, {"web-0"}, {"web-0": 4})
    assert facts.levels == {"INFO": 2, "ERROR": 3, "FATAL": 1, "WARN": 1}
    assert facts.runs.keys() == {("web-0", "app", 0), ("web-0", "app", 1), ("web-0", "proxy", 0)}
    run = the_run(facts, run=1)
    assert [(line.text, line.level, line.link.entry, line.link.artifact.path) for line in run.errors] == [
        ("second", "ERROR", 3, PATH),
        ("gone", "FATAL", 4, PATH),
        ("third", "ERROR", 5, PATH),
    ]
    assert run.fatal is not None and run.fatal.text == "gone"
    assert [(line.text, line.link.entry) for line in the_run(facts, "proxy").lines] == [("slow", 6)]


def test_the_last_lines_of_each_run() -> None:
    """Some of each, in order, whatever their level and however the entries came."""
    lines = [f"{number} INFO a: line {number}" for number in range(20)]
    facts = read(("app", 0, lines), ("app", 1, lines[:2]), ("other", 0, []))
    assert [line.text for line in the_run(facts).lines] == [f"line {number}" for number in range(20 - LAST_LINES, 20)]
    assert [line.stamp[:19] for line in the_run(facts, run=1).lines] == [at(0)[:19], at(1)[:19]]
    assert list(the_run(facts, "other").lines) == []


def test_runs_that_were_not_announced_have_errors_alone() -> None:
    """Their last lines are not searched: each run would need another search."""
    facts = read(("app", 0, ["1 INFO a: on", "2 ERROR a: boom"]), announced=False)
    assert list(the_run(facts).lines) == []
    assert [line.text for line in the_run(facts).errors] == ["boom"]


def test_errors_of_a_run_are_bounded() -> None:
    """The last ones."""
    facts = read(("app", 0, [f"{number} ERROR a: e{number}" for number in range(20)]))
    assert [line.text for line in the_run(facts).errors] == [f"e{number}" for number in range(20 - LAST_ERRORS, 20)]
    assert facts.errors_of["web-0"] == 20


def test_runs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a log, and of all logs, have limits. The number of those left out is known."""
    monkeypatch.setattr(log_reader, "MAX_RUNS", 2)
    runs: list[Run] = [("app", number, ["1 ERROR a: x"]) for number in range(3)]
    facts = read(*runs)
    assert [run for _, _, run in facts.runs] == [0, 1]
    read(*runs, facts=facts, pod="web-1")
    assert (len(facts.runs), facts.left_out) == (2, 2)
    assert facts.errors_of == {"web-0": 3, "web-1": 3}


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("ERROR a: boom", True),
        ("plain words", False),
        ("connection refused by db", True),
        ("WARN a: connection refused by db", True),
        ("INFO a: connection refused by db", False),
        ("DEBUG a: no such host", False),
    ],
)
def test_which_lines_are_grouped(line: str, counts: bool) -> None:
    """Errors, and lines with words of a category, unless a level says that they are harmless."""
    facts = read(("app", 0, [f"1 {line}"]))
    assert bool(facts.templates.by_shape) is counts


def test_lines_of_a_stack_trace_count_with_their_head() -> None:
    """The exception is reported with it."""
    lines = ["1 ERROR a: boom", "1 java.net.ConnectException: Connection refused", "1 \tat a.B.run(B.java:7)"]
    facts = read(("app", 0, lines))
    assert [(template.shape, template.count) for template in facts.templates.by_shape.values()] == [
        ("boom: java.net.ConnectException: Connection refused", 1)
    ]


def test_categorised_lines_are_found_in_large_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found at every cut, also within a line that is longer than a piece."""
    monkeypatch.setattr(line_choice, "PIECE_BYTES", 300)
    lines = [f"{number % 60} {'x' * (number * 37 % 900)} connection refused {number}" for number in range(40)]
    lines = [text for pair in zip(lines, ["5 plain"] * 40, strict=True) for text in pair]
    facts = read(("app", 0, lines))
    assert sum(template.count for template in facts.templates.by_shape.values()) == 40


def test_only_lines_that_may_tell_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Harmless lines and the errors around them are most of a log. Searching them takes as long as writing them."""
    searched: list[bytes] = []
    pattern = any_category()

    class Watched:
        def finditer(self, piece: bytes) -> Any:
            searched.append(piece)
            return pattern.finditer(piece)

    monkeypatch.setattr(line_choice, "any_category", Watched)
    quiet = [f"{number} INFO a: connection refused by db" for number in range(20)]
    facts = read(("app", 0, [*quiet, "21 ERROR a: boom", "22 WARN a: no such host", *quiet, "23 plain words", "24 timed out"]))
    assert sum(piece.count(b"\n") + 1 for piece in searched) == 2
    shown = {template.shape: template.first.link.entry for template in facts.templates.by_shape.values()}
    assert shown == {"boom": 20, "no such host": 21, "timed out": 43}


@pytest.mark.parametrize("order", ["one block", "a block each"])
def test_the_last_lines_are_linked_by_their_numbers(order: str) -> None:
    """The last lines of runs that are interleaved, in one batch or in several."""
    facts, levels = LogFacts(), dict[str, int]()
    reader = LogReader(facts, threading.Lock(), START, END, OwnRules())
    reader.begin({"pod": "web-0", "runs": [{"container": "app", "run": 0}, {"container": "app", "run": 1}]})
    batches = [parsed("app", number % 3 % 2, [f"{number} INFO a: line {number}"], levels) for number in range(60)]
    if order == "one block":
        batches = [Encoded(SEPARATOR.join(batch.block for batch in batches), b"".join(batch.codes for batch in batches))]
    for batch in batches:
        reader.read(batch)
    reader.close(PATH, {"levels": levels})
    for run in (0, 1):
        found = [(line.text, line.link.entry) for line in the_run(facts, run=run).lines]
        wanted = [number for number in range(60) if number % 3 % 2 == run][-LAST_LINES:]
        assert found == [(f"line {number}", number) for number in wanted]
        assert len(found) == LAST_LINES


def test_categorised_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """After this many decoded lines only errors are decoded."""
    monkeypatch.setattr(log_reader, "MAX_DECODED", 3)
    facts = LogFacts()
    reader = LogReader(facts, threading.Lock(), START, END, OwnRules())
    reader.begin({"pod": "web-0"})
    for _ in range(4):
        reader.read(parsed("app", 0, ["1 connection refused", "2 connection refused", "3 ERROR a: boom"], {}))
    reader.close(PATH, {})
    assert {template.shape: template.count for template in facts.templates.by_shape.values()} == {
        "connection refused": 4,
        "boom": 4,
    }


@pytest.mark.parametrize(("minute", "bucket"), [(0, 0), (2.4, 0), (2.5, 1), (30, 12), (57.4, 22), (57.5, 23), (59.9, 23)])
def test_lines_are_counted_over_the_window(minute: float, bucket: int) -> None:
    """In twenty-four parts of equal length."""
    facts = read(("app", 0, [f"{minute} ERROR a: boom"]))
    (template,) = facts.templates.by_shape.values()
    assert template.histogram == [int(number == bucket) for number in range(BUCKETS)]


def test_the_first_trace_of_a_template_is_remembered() -> None:
    """As an example."""
    first, second = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
    facts = read(("app", 0, [f"1 ERROR a: boom trace_id={first}", f"2 ERROR a: boom trace_id={second}", "3 ERROR a: other"]))
    assert [template.trace_id for template in facts.templates.by_shape.values()] == [first, ""]


def line(text: str, level: str = "", entry: int = 0) -> Line:
    return Line(text, level, at(1), Link(Artifact(), entry))


@pytest.mark.parametrize(
    ("lines", "errors", "fatal", "words"),
    [
        ([], [], None, None),
        (["a", "b"], [], None, "b"),
        (["a", "  "], [], None, "a"),
        (["ValueError: x", "\tat y", "exit status 2", "goroutine 1"], [], None, "ValueError: x"),
        (["  only", "\tindented"], [], None, "\tindented"),
        (["a"], ["boom", "late"], None, "late"),
        (["a"], ["boom"], "gone", "gone"),
        (
            ["Traceback (most recent call last):", "  x", "ValueError: y"],
            ["Traceback (most recent call last):"],
            None,
            "ValueError: y",
        ),
        (["ValueError: y"], ["Traceback (most recent call last):"], "Traceback (most recent call last):", "ValueError: y"),
        ([], ["Traceback (most recent call last):"], None, "Traceback (most recent call last):"),
    ],
)
def test_the_last_words_of_a_run(lines: list[str], errors: list[str], fatal: str | None, words: str | None) -> None:
    """A fatal error, else the last error, else the last line that is more than a frame."""
    facts = RunFacts("web-0", "app", 0)
    facts.errors.extend(line(text, "ERROR", 1) for text in errors)
    facts.lines.extend(line(text, "", number + 2) for number, text in enumerate(lines))
    facts.fatal = None if fatal is None else line(fatal, "FATAL")
    found = facts.explaining_line()
    assert (None if found is None else found.text) == words


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("order 17 failed", "order # failed"),
        ("pod web-7d4-x1 is gone", "pod # is gone"),
        ("id deadbeef99 of cafebabecafe", "id # of #"),
        ("two   blanks\tand a tab", "two blanks and a tab"),
        (f"said '{'x' * 40}'", "said #"),
        (f"said '{'x' * 39}'", f"said '{'x' * 39}'"),
        ("x" * 400, "x" * 300),
    ],
)
def test_the_shape_of_a_line(text: str, shape: str) -> None:
    """Words with digits, hashes and long quotations vary."""
    assert shape_of(text) == shape


def add(templates: Templates, text: str, pod: str = "web-0", level: str = "ERROR", run: int = 0, minute: float = 1) -> Any:
    return templates.add(text, level, (pod, "app"), run, at(minute), Link(Artifact(), 0), 3)


def test_templates_of_two_logs_become_one() -> None:
    """Counts, places, histogram, the first and the last time; a trace of either."""
    first, other = Templates(), Templates()
    for number in range(3):
        add(first, f"order {number} failed", minute=10 + number)
    add(other, "order 9 failed", "web-1", minute=5).trace_id = "abc"
    add(other, "another")
    first.merge(other)
    template = first.by_shape["order # failed", "ERROR"]
    assert (template.count, template.pods, template.histogram[3], template.trace_id) == (4, {"web-0", "web-1"}, 4, "abc")
    assert (template.first.pod, template.first.first, template.last, template.example) == (
        "web-1",
        at(5),
        at(12),
        "order 0 failed",
    )
    assert len(first.by_shape) == 2


def test_templates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further templates, and further containers of one, are left out. So are runs and searched lines above a limit."""
    for name, most in (("MAX_TEMPLATES", 2), ("MAX_PLACES", 2), ("PEERS_LOOKED_FOR", 2), ("MAX_CACHED", 2)):
        monkeypatch.setattr(templates_module, name, most)
    first, other = Templates(), Templates()
    for text in ("a", "b", "c", "c"):
        add(first, text)
    assert (len(first.by_shape), first.left_out) == (2, 2)
    for text in ("a", "d", "d"):
        add(other, text, "web-1")
    first.merge(other)
    assert (len(first.by_shape), first.left_out) == (2, 4)
    add(first, "a", "web-2")
    assert first.by_shape["a", "ERROR"].pods == {"web-0", "web-1"}
    assert first.left_out == 5
    crowded = Templates()
    add(crowded, "a", "web-3")
    first.merge(crowded)
    assert first.left_out == 6
    calls = Templates()
    for number in range(30):
        add(calls, "dial tcp db:5432: connection refused", run=number)
    (template,) = calls.by_shape.values()
    (place,) = template.places.values()
    assert (place.count, place.peers, place.runs) == (30, {"db": 2}, set(range(20)))


def test_variants_of_a_line_are_one_group() -> None:
    """They have the same number of words, the same first word, and mostly equal others. The most frequent group comes first."""
    assert alike("cannot read file a of b now", "cannot read file c of b now")
    assert not alike("cannot read file", "will not read file")
    assert not alike("a b c", "x b c")
    assert not alike("a b c d", "a x y d")
    assert not alike("", "")
    templates = Templates()
    for text, times in (("cannot read file of alice", 3), ("cannot read file of bob", 2), ("gone", 4), ("cannot", 1)):
        for _ in range(times):
            add(templates, text)
    shapes = [[template.shape for template in group] for group in grouped(templates.by_shape.values())]
    assert shapes == [["cannot read file of alice", "cannot read file of bob"], ["gone"], ["cannot"]]


def read_events(*found: Any, gone: list[Any] | None = None) -> EventFacts:
    facts = EventFacts()
    reader = EventReader(facts, threading.Lock(), frozenset())
    reader.begin({})
    reader.read(Encoded(b"", b""))
    for item in found:
        reader.read(Encoded(SEPARATOR.join([json.dumps(item).encode()]), b"\0"))
    reader.close("data/events/shop.json", {"pods_gone": gone or []})
    return facts


def test_which_events_are_read() -> None:
    """Warnings, and other events that explain something, each with its place in the artifact."""
    facts = read_events(
        event("Pulled", "x", type="Normal"),
        event("Unhealthy", "y" * 2000, container="app", count=3, until=40),
        event("ScalingReplicaSet", "z", name="web", kind="Deployment", type="Normal"),
        gone=[{"name": "web-1-a", "owner": "replicaset/web-1"}, {"name": "web-1-b"}],
    )
    unhealthy, scaling = facts.events
    assert (unhealthy.subject, unhealthy.reason, unhealthy.warning) == (Subject("Pod", "web-1-a"), "Unhealthy", True)
    assert (unhealthy.message, unhealthy.count, unhealthy.container) == ("y" * 1000, 3, "app")
    assert (unhealthy.first, unhealthy.last) == (at(28), at(40))
    assert (unhealthy.link.artifact.path, unhealthy.link.entry, scaling.link.entry) == ("data/events/shop.json", 1, 2)
    assert (scaling.warning, scaling.container) == (False, "")
    assert (facts.warnings, facts.others, facts.left_out) == (1, 1, 0)
    assert facts.owners == {"web-1-a": "replicaset/web-1", "web-1-b": ""}
    assert list(facts.of("Unhealthy", "x")) == [unhealthy]


def test_events_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings apart from the others, so that neither pushes the others out; how many were left out is known."""
    monkeypatch.setattr(events_module, "MAX_WARNINGS", 2)
    monkeypatch.setattr(events_module, "MAX_OTHERS", 1)
    warnings = [event("Unhealthy", str(number)) for number in range(4)]
    others = [event("Killing", str(number), type="Normal") for number in range(3)]
    assert [(event.reason, event.message) for event in read_events(*others[:2], warnings[0]).events] == [
        ("Killing", "0"),
        ("Unhealthy", "0"),
    ]
    facts = read_events(*warnings, *others)
    assert [event.message for event in facts.events] == ["0", "1"]
    assert facts.left_out == 5


def test_a_storm_is_counted_without_decoding_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that differ in digits alone: counts, times, runs and last errors are as if each had been read."""
    lines = [f"{number // 18} ERROR order {number} rejected" for number in range(900)]
    lines += [f"{50 + number // 20} WARN disk is full: {number}" for number in range(100)]
    lines += [f"{55 + number // 25} accept4: too many open files {number}" for number in range(100)]
    decoded = watch_decoding(monkeypatch)
    quick = read(("app", 0, lines), ("app", 1, lines[:40]))
    assert len(decoded) < 200
    whole = read_singly(("app", 0, lines), ("app", 1, lines[:40]))

    def told(facts: LogFacts) -> Any:
        runs = [(run.errors, run.categorised, run.lines) for run in facts.runs.values()]
        texts = [[(line.text, line.stamp, line.link.entry) for line in (*e, *([t] if t else []), *n)] for e, t, n in runs]
        shapes = facts.templates.by_shape.values()
        return texts, facts.errors_of, [(t.shape, t.level, t.count, t.histogram, t.last, t.first.first) for t in shapes]

    assert told(quick) == told(whole)


def test_lines_with_other_stack_traces_are_told_apart_in_a_storm() -> None:
    """The exception that follows an error is compared, too."""
    lines = []
    for number in range(100):
        cause = "java.io.IOException: no disk" if number % 2 else "java.lang.IllegalStateException: no room"
        lines += [
            f"{number % 60} ERROR a: order {number} failed",
            f"{number % 60} {cause}",
            f"{number % 60} \tat a.B.run(B.java:7)",
        ]
    shapes = {one.shape: one.count for one in read(("app", 0, lines)).templates.by_shape.values()}
    assert shapes == {
        "order # failed: java.io.IOException: no disk": 50,
        "order # failed: java.lang.IllegalStateException: no room": 50,
    }


def test_a_storm_with_ids_is_counted_without_decoding_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace ids and UUIDs differ in letters too. Names that differ in a letter are told apart."""
    ids = [
        f"{number * 7919 % 2**32:08x}-{number * 31 % 65536:04x}-4abc-8def-{number * 104729 % 2**48:012x}"
        for number in range(400)
    ]
    lines = [f"{number % 60} ERROR order {one} failed at db-{'ab'[number % 2]}" for number, one in enumerate(ids)]
    decoded = watch_decoding(monkeypatch)
    facts = read(("app", 0, lines))
    assert len(decoded) < 150
    counts = {one.shape: one.count for one in facts.templates.by_shape.values()}
    assert counts == {"order # failed at db-a": 200, "order # failed at db-b": 200}


@pytest.mark.parametrize("many", [10, 900])
def test_lines_without_a_level_are_found_however_many_match(many: int) -> None:
    """In blocks of which many lines match they are grouped first. Both ways give the same counts."""
    alike = [
        f"{number % 60} {'dial tcp: connection refused' if number < many else 'all is well'} {number}" for number in range(1000)
    ]
    varied = [f"{number % 60} plain {chr(97 + number % 26) * (number % 37 + 1)}" for number in range(1000)]
    last = [f"{number % 60} disk is full {number}" for number in range(20)]
    facts = LogFacts()
    reader = LogReader(facts, threading.Lock(), START, END, OwnRules())
    reader.begin({"pod": "web-0", "runs": [{"container": "app", "run": 0}]})
    for lines in (alike, alike, varied, varied, [*varied, *last], alike):
        reader.read(parsed("app", 0, lines, {}))
    reader.close(PATH, {})
    counts = {one.category: one.count for one in facts.templates.by_shape.values()}
    assert counts == {"refused": 3 * many, "disk": 20}


def test_new_errors_are_no_longer_decoded_after_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of which all errors differ is counted. Errors with a template are counted as before."""
    monkeypatch.setattr(templates_module, "MAX_TEMPLATES", 5)
    words = [chr(97 + number // 26) + chr(97 + number % 26) for number in range(600)]
    facts, levels = LogFacts(), dict[str, int]()
    reader = LogReader(facts, threading.Lock(), START, END, OwnRules())
    reader.begin({"pod": "web-0"})
    decoded = watch_decoding(monkeypatch)
    for first in range(0, 600, 300):
        lines = [f"1 ERROR a: cannot read {word}" for word in words[first : first + 300]]
        reader.read(parsed("app", 0, [*lines, "1 ERROR a: cannot read aa"], levels))
    reader.close(PATH, {"levels": levels})
    assert len(decoded) < 200
    assert facts.errors_of["web-0"] == 602
    assert sum(one.count for one in facts.templates.by_shape.values()) + facts.templates.left_out == 602
    assert {one.shape: one.count for one in facts.templates.by_shape.values()}["cannot read aa"] == 3
