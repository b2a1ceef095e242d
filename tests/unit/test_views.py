"""The commands that show evidence: as recorded on terminals of 80 and 160 columns, piped, filtered, and of any size."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import IO, Any

import pytest

from aletheia_operator.cli import cluster, log_views, number_views, reference, views
from aletheia_operator.cli.__main__ import main
from aletheia_operator.report import PlainFiles
from aletheia_operator.report.axis import Axis
from aletheia_operator.session import Gap, age
from aletheia_operator.session.manifest_file import manifest_bytes, read_copy
from aletheia_operator.show.bounds import bound, is_within
from aletheia_operator.show.captured import BriefFiles, CapturedSession
from aletheia_operator.show.layout import Column, Page, Paragraph, Span, Table, width_of
from aletheia_operator.show.log_lines import LogFilter, log_lines
from aletheia_operator.show.metrics import csv_lines, sparkline
from aletheia_operator.text.display import for_json, log_line
from tests.support.captures import Memory, capture
from tests.unit.artifacts_server import Api, serving
from tests.unit.evidence import Incident
from tests.unit.proxies import ApiProxy
from tests.unit.reported import Recording
from tests.unit.viewed import captured, recording

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "views"
WINDOW = ("2026-11-22T14:00:00Z", "2026-11-22T15:00:00Z")
COMMANDS = {
    "findings": ["findings"],
    "findings-wide": ["findings", "-o", "wide"],
    "timeline": ["timeline"],
    "errors": ["errors"],
    "logs": ["logs", "--level", "warn", "--context", "1"],
    "logs-of-a-pod": ["logs", "--pod", "web-1-a", "--grep", "record [0-9]+"],
    "events": ["events"],
    "objects": ["objects"],
    "metrics": ["metrics"],
    "samples": ["metrics", "-o", "samples", "--since", "14:28", "--until", "14:31"],
    "traces": ["traces"],
    "trace-list": ["traces", "-o", "list"],
    "diff": ["diff"],
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording().write(tmp_path_factory.mktemp("views"))


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int | None, has_colours: bool = False) -> None:
    """Make commands take standard output for a terminal of this width. `width`: None if it is no terminal."""

    @contextmanager
    def opened() -> Iterator[tuple[Page, IO[str]]]:
        yield Page(width, has_colours), sys.stdout

    for module in (views, log_views, number_views):
        monkeypatch.setattr(module, "opened_page", opened)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command, and return its standard output, or its standard error if it fails."""
    assert main([*arguments]) == code
    written = capsys.readouterr()
    return written.err if code else written.out


@pytest.mark.parametrize("width", [80, 160, None], ids=["80", "160", "piped"])
@pytest.mark.parametrize("name", COMMANDS)
def test_as_recorded(
    name: str, width: int | None, session: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command prints what is recorded ($RECORD_VIEWS records it again). Only logs are wider than the terminal."""
    on_a_terminal(monkeypatch, width)
    command, *options = COMMANDS[name]
    out = shown(capsys, command, str(session), *options)
    golden = GOLDEN / f"{name}-{width or 'piped'}.txt"
    if os.environ.get("RECORD_VIEWS"):
        golden.write_text(out)
    assert out == golden.read_text()
    if width is not None and command != "logs":
        assert max(width_of(line) for line in out.splitlines()) <= width


@pytest.mark.parametrize("name", COMMANDS)
def test_colours_change_nothing_but_colours(
    name: str, session: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without colours the output is the same: nothing is shown by a colour alone."""
    command, *options = COMMANDS[name]
    on_a_terminal(monkeypatch, 80, has_colours=True)
    coloured = shown(capsys, command, str(session), *options)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert coloured != plain
    assert [line.rstrip() for line in plain.splitlines()] == [
        line.rstrip() for line in (GOLDEN / f"{name}-80.txt").read_text().splitlines()
    ]


def test_a_bar_shows_the_sample_of_its_own_time() -> None:
    """The sample before is only held where there is no newer one."""
    axis = Axis.of(("2026-11-22T14:00:00Z", "2026-11-22T14:00:20Z"))
    assert sparkline([(axis.start, 4.0), (axis.start + 18, 0.0)], axis, 4, 0.0, 4.0, 20.0) == "███▁"


@pytest.mark.parametrize("width", [24, 40])
def test_a_narrow_terminal(width: int) -> None:
    """Text for which no room is left behind what it begins with starts on the next line."""
    block = Paragraph((Span("> 14:28:00 event of pod/web: "), Span("BackOff: Back-off restarting failed container")), 3, 2)
    found = list(Page(width).lines([block]))
    assert found[0].strip() == "> 14:28:00 event of pod/web:"
    assert all(width_of(line) <= width for line in found[1:])
    assert " ".join(" ".join(found).split()).endswith("BackOff: Back-off restarting failed container")


def test_an_encoding_without_bars(session: Path) -> None:
    """Characters that a terminal's encoding lacks become escapes: the command does not fail."""
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "aletheia_operator.cli", "metrics", str(session)]
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert b"\\u2588" in done.stdout


def lines(directory: Path, **query: Any) -> list[str]:
    """Return the texts of the lines found, with lines of the context in brackets."""
    found = log_lines(captured(directory), LogFilter(**query))
    return [f"[{line.text}]" if line.is_context else line.text for group in found for line in group]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"level": "FATAL"}, ["FATAL panic: record 40", "Traceback", "  File", "ValueError"]),
        ({"grep": "torn"}, ["ValueError"]),
        ({"grep": "TORN", "ignore_case": True}, ["ValueError"]),
        ({"level": "ERROR", "grep": "order [0-9]+"}, ["ERROR order 1044"]),
        ({"run": 3}, ["INFO replaying", "INFO record 39"]),
        ({"containers": ["proxy"]}, ["WARN upstream"]),
        ({"containers": ["pro*"]}, ["WARN upstream"]),
        ({"pods": ["web-1-b"], "until": "2026-11-22T14:25"}, ["INFO ready"]),
        ({"pods": ["pod/web-1-b"], "since": "2026-11-22T14:29"}, ["DEBUG", "WARN upstream"]),
        ({"pods": ["*-a"], "grep": "record 39", "context": 1}, ["[INFO replaying", "INFO record 39", "[FATAL panic"]),
        ({"grep": "no such words"}, []),
    ],
)
def test_lines_that_are_looked_for(query: dict[str, Any], expected: list[str], session: Path) -> None:
    """Filters keep the lines that they name, alone and combined. A stack trace comes with its error."""
    found = lines(session, **query)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found


def test_pods_are_merged_by_time(session: Path) -> None:
    """Lines of all pods are ordered by their times. A pod's own lines keep their order."""
    found = [line for group in log_lines(captured(session), LogFilter()) for line in group]
    assert [line.order for line in found] == sorted(line.order for line in found)
    assert {line.pod for line in found} == {"web-1-a", "web-1-b"}


def test_context_is_not_doubled(tmp_path: Path) -> None:
    """If the contexts of two lines meet, each line is printed once. Lines of another container are printed only on request."""
    incident = Incident().log("web-1-a", *(f"{number} INFO line {number}" for number in range(30)))
    directory = Recording(incident).write(tmp_path)
    found = lines(directory, grep="line (4|6|20)$", context=2)
    numbers = [int(re.findall(r"\d+", text)[0]) for text in found]
    assert numbers == [2, 3, 4, 5, 6, 7, 8, 18, 19, 20, 21, 22]
    assert [text for text in found if not text.startswith("[")] == ["INFO line 4", "INFO line 6", "INFO line 20"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["logs", "--pod", "web-1-c"], "no pod 'web-1-c' in it; the nearest names: web-1-"),
        (["logs", "--container", "prox"], "no container 'prox' in it; the nearest names: proxy"),
        (["logs", "--grep", "("], "no regular expression"),
        (["logs", "--since", "yesterday"], "is no time: write a time of day"),
        (["objects", "pod/web-1-x"], "no object 'pod/web-1-x' in it; the nearest names: pod/web-1-"),
        (["timeline", "--for", "deployment/wep"], "no object 'deployment/wep'"),
        (["traces", "abd"], "no trace 'abd' in it; there are: abc1, abc2"),
        (["traces", "--service", "checkuot"], "nearest names: checkout"),
    ],
)
def test_what_is_not_there(arguments: list[str], words: str, session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error has the nearest names, or the right form."""
    command, *options = arguments
    assert words in shown(capsys, command, str(session), *options, code=1)


def test_a_category_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output has its gap if there is one."""
    directory = recording().write(tmp_path)
    manifest = read_copy(directory)[0]
    left = [artifact for artifact in manifest.artifacts if "/metrics/" not in artifact.path]
    gap = manifest.gaps[0].model_copy(update={"fetcher": "Prometheus", "target": "error_rate"})
    (directory / "manifest.json").write_bytes(manifest_bytes(manifest.model_copy(update={"artifacts": left, "gaps": [gap]})))
    assert "Unavailable error_rate: connection refused" in shown(capsys, "metrics", str(directory), code=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["findings"], "web: FATAL panic: record 40"),
        (["timeline"], "no moment: there was none in the window"),
        (["events"], "no event: there was none in the window"),
        (["events", "--types", "Warning"], "no event matches these options: without them, all events are shown"),
        (["objects"], "no object: there was none in the window"),
        (["traces"], "no trace: Unavailable checkout: connection refused"),
        (["traces", "-o", "list"], "no trace: Unavailable checkout: connection refused"),
        (["traces", "--failed"], "no trace matches these options"),
        (["errors", "--grep", "x"], "no error matches these options"),
        (["logs"], "no line matches"),
    ],
)
def test_nothing_to_show(arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the artifacts have no entries, or none matches, a sentence on standard error says so, and nothing else is printed."""
    gap = Gap(fetcher="Jaeger", target="checkout", reason="Unavailable", message="connection refused")
    directory = replace(recording(), gaps=[gap]).write(tmp_path)
    for path in directory.glob("data/**/*.json"):
        path.write_text(path.read_text().partition('"data": [')[0] + '"data": [\n]}\n')
    assert main([arguments[0], str(directory), *arguments[1:]]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert words in printed.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14:02", "2026-11-22T14:02"),
        ("14:02:11.5", "2026-11-22T14:02:11.5"),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22 14:02Z", "2026-11-22T14:02"),
        ("2026-11-22T16:02:11+02:00", "2026-11-22T14:02:11"),
        ("10m", "2026-11-22T14:50:00.000000000"),
        ("1h30m", "2026-11-22T13:30:00.000000000"),
        (None, None),
    ],
)
def test_times(text: str | None, expected: str | None) -> None:
    """Times of day, RFC 3339 and durations become bounds. A minute counts as a whole."""
    assert bound(text, WINDOW) == expected


def test_a_time_of_day_before_midnight() -> None:
    """It is of the day before if the window ends after midnight and has that time."""
    assert bound("23:59", ("2026-11-21T23:00:00Z", "2026-11-22T00:30:00Z")) == "2026-11-21T23:59"
    assert is_within("2026-11-21T23:59:59.9Z", "2026-11-21T23:59", "2026-11-21T23:59")
    assert not is_within("2026-11-22T00:00:00Z", None, "2026-11-21T23:59")


def test_json_is_the_entries(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`-o json` prints each entry unchanged on a line of ASCII. Entries of logs have the name of their pod."""
    for category, files in (("events", "events/*.json"), ("metrics", "metrics/*.json"), ("traces", "traces/*.json")):
        out = shown(capsys, category, str(session), "-o", "json")
        entries = [entry for path in sorted((session / "data").glob(files)) for entry in json.loads(path.read_text())["data"]]
        assert [json.loads(line) for line in out.splitlines()] == entries
    out = shown(capsys, "logs", str(session), "-o", "json", "--grep", "ラテ")
    assert out.isascii()
    (entry,) = map(json.loads, out.splitlines())
    assert (entry["pod"], entry["line"]) == ("web-1-b", "DEBUG 抹茶ラテ done")


def test_json_of_hidden_characters() -> None:
    """Characters that would control a terminal are escaped. The parsed value is the same."""
    text = json.dumps("a\x9b\u202e\U0001f525\x7fé", ensure_ascii=False)
    assert for_json(text).isprintable() and for_json(text).isascii()
    assert json.loads(for_json(text)) == json.loads(text)


def test_colours_of_programs_are_left_out() -> None:
    """They are removed from log lines. Other escapes are shown, and blanks stay."""
    assert log_line("\x1b[1;31mERROR\x1b[0m  at\tx\r") == "ERROR  at       x"
    assert log_line("\x1b[2Jx\x1b]0;y\x07") == "\\x1b[2Jx\\x1b]0;y\\x07"


def test_csv_has_every_sample(session: Path) -> None:
    """There is a line for each sample of each series, including baselines."""
    header, *rows = "".join(csv_lines(captured(session), None, None)).splitlines()
    assert header == "metric,labels,time,value"
    assert len(rows) == 180
    assert rows[0] == "error_rate,service=web,2026-11-22T14:00:00Z,0.0"
    assert "error_rate (1d before)" in rows[60]


def test_csv_without_samples(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has its header and no empty lines, and a sentence says that no sample matches."""
    assert main(["metrics", str(session), "-o", "csv", "--until", "14:00"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "metric,labels,time,value"
    assert "" not in printed.out.splitlines()
    assert main(["metrics", str(session), "-o", "csv", "--until", "2026-11-20"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "metric,labels,time,value\n"
    assert "no sample matches these options" in printed.err


def test_objects_whole(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named object is printed as YAML. kubectl's short kinds work too."""
    out = shown(capsys, "objects", str(session), "deploy/web")
    assert out.startswith("---\n")
    assert "kind: Deployment" in out and "shop/app:2" in out
    assert shown(capsys, "objects", str(session), "-o", "name").splitlines()[0] == "pod/web-1-a"


def test_two_sessions(tmp_path: Path, session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Differences of images, levels of metrics and errors are listed, in both directions."""
    later = recording(version=3, rate=0.1).write(tmp_path)
    path = next((later / "data" / "logs").glob("web-1-b*"))
    out = shown(capsys, "diff", str(session), str(later))
    assert "shop/app:2 → shop/app:3" in out
    assert re.search(r"error_rate\s+service=web\s+90 %\s+10 %", out)
    findings = later / "data" / "findings.json"
    findings.write_text(findings.read_text().replace("order # failed", "payment # failed"))
    found = json.loads(shown(capsys, "diff", str(session), str(later), "-o", "json"))
    assert [error["template"] for error in found["errors"]["new"]] == ["payment # failed: web answered #"]
    assert [error["template"] for error in found["errors"]["gone"]] == ["order # failed: web answered #"]
    assert path.exists()


def test_head_ends_it_quietly(tmp_path: Path) -> None:
    """A pipe that is closed early ends the command at once, with success and without output."""
    large(tmp_path, 5_000)
    command = [sys.executable, "-m", "aletheia_operator.cli", "logs", "--root", str(tmp_path), "INC-7F3A"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    )
    assert process.stdout is not None and process.stderr is not None
    assert b" line 0\n" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("command", ["logs", "errors", "timeline"])
def test_a_pager_that_is_quit(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view ends without an error if its pager is quit before it has read anything."""
    large(tmp_path, 5_000)

    def broken(file: IO[str], lines: Any) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(views, "write_lines", broken)
    monkeypatch.setattr(log_views, "write_lines", broken)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("PAGER", "true")
    assert main([command, "--root", str(tmp_path), "INC-7F3A"]) == 0


def large(directory: Path, number: int) -> CapturedSession:
    """A session with a log of so many lines."""
    session = Recording(Incident().log("web-1-a", "1 INFO first")).write(directory)
    path = session / "data" / "logs" / "web-1-a.json"
    entry = b'{"timestamp":"2026-11-22T14:%02d:%02d.%09dZ","container":"app","run":0,"level":"%s","line":"%s line %d"}'
    rows = [
        entry % (row * 60 // number, row % 60, row, b"ERROR" if row % 1000 == 0 else b"INFO", b"x" * 100, row)
        for row in range(number)
    ]
    path.write_bytes(b'{"source": "kubernetes",\n"metadata": {"pod":"web-1-a"},\n"data": [\n' + b",\n".join(rows) + b"\n]}\n")
    return captured(session)


def test_memory_is_flat(tmp_path: Path) -> None:
    """However long a log is, a few blocks of it are in memory."""
    session = large(tmp_path, 20_000)
    tracemalloc.start()
    try:
        assert sum(len(group) for group in log_lines(session, LogFilter(level="ERROR", context=2))) == 20 * 5 - 2
        assert sum(map(len, session.pieces(session.artifacts("logs")))) > 4_000_000
        assert tracemalloc.get_traced_memory()[1] < 2_500_000
    finally:
        tracemalloc.stop()


def test_long_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry too long to be parsed is reported, and the rest is shown. As JSON it is shown whole."""
    monkeypatch.setattr("aletheia_operator.show.captured.MAX_ENTRY_BYTES", 1000)
    directory = Recording(Incident().log("web-1-a", "1 INFO a", f"2 INFO {'b' * 2000}", "3 INFO c")).write(tmp_path)
    assert main(["logs", str(directory)]) == 0
    written = capsys.readouterr()
    assert [line.split()[-1] for line in written.out.splitlines()] == ["a", "c"]
    assert "entry 1 of data/logs/web-1-a.json is too long" in written.err
    session = captured(directory)
    assert len(b"".join(session.pieces(session.artifacts("logs"))).splitlines()) == 3


@pytest.mark.parametrize("left", [-3, -60, 200, 30, 0])
def test_damaged_artifacts(left: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Entries before the damage are shown, and the error names the file."""
    directory = Recording(Incident().log("web-1-a", "1 INFO a", "2 INFO b")).write(tmp_path)
    path = directory / "data" / "logs" / "web-1-a.json"
    path.write_bytes(path.read_bytes()[:left])
    assert "data/logs/web-1-a.json cannot be read" in shown(capsys, "logs", str(directory), code=1)


@pytest.mark.parametrize("seed", range(12))
def test_evidence_of_any_form(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Made-up evidence is shown, or refused with a message: no command crashes."""
    directory, random = recording().write(tmp_path), Random(seed)
    for path in sorted((directory / "data").rglob("*.json")):
        found = json.loads(path.read_text())
        for _ in range(2):
            part = random.choice(["metadata", "data"])
            found[part] = changed(found[part], random)
        found["data"] = found["data"] if isinstance(found["data"], list) else [found["data"]]
        rows = ",\n".join(map(json.dumps, found["data"])) + ("\n" if found["data"] else "")
        path.write_text(f'{{"source": "test",\n"metadata": {json.dumps(found["metadata"])},\n"data": [\n{rows}]}}\n')
    for command, *options in (*COMMANDS.values(), ["metrics", "-o", "csv"], ["diff", str(directory)], ["objects", "pod/web"]):
        assert main([command, str(directory), *options]) in (0, 1)
        capsys.readouterr()


def changed(value: Any, random: Random, depth: int = 0) -> Any:
    """JSON with one value replaced by one of another kind."""
    if not isinstance(value, dict | list) or not value or random.random() < depth * 0.15:
        return random.choice([None, 1, -1.5, "x", [], {}, [1], [{}], {"a": 1}, "1e999", 10**30, [[1]], "2026-99-99T99:99:99Z"])
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = random.choice(keys)
    copy = value.copy()
    copy[key] = changed(value[key], random, depth + 1)
    return copy


def test_sealed_sessions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are opened by their key. Without it the error names the option."""
    secret, public = age.new_identity()
    (tmp_path / "key").write_text(secret)
    spec = {"session": {"encryption": {"recipients": [public]}}}
    answers = {"pod": [[{"timestamp": WINDOW[0], "line": "ERROR sealed words", "level": "ERROR"}]]}
    name = Path(capture(tmp_path, Memory(answers), spec).path).name
    arguments = ["--root", str(tmp_path), name]
    for command in ("logs", "errors"):
        assert "name your private key with --identity" in shown(capsys, command, *arguments, code=1)
        found = shown(capsys, command, *arguments, "--identity", str(tmp_path / "key"))
        assert command != "logs" or "sealed words" in found


def test_many_pods(tmp_path: Path) -> None:
    """More logs are merged than may be open at once."""
    incident = Incident()
    for number in range(40):
        incident.log(f"web-1-{number}", *(f"{minute} INFO {number} at {minute}" for minute in range(10)))
    directory = Recording(incident).write(tmp_path)
    found = [line for group in log_lines(captured(directory), LogFilter()) for line in group]
    assert len(found) == 400
    assert [line.order for line in found] == sorted(line.order for line in found)
    opened: set[int] = set()

    class Counting:
        def open(self, path: str) -> Any:
            file = PlainFiles(directory).open(path)
            opened.add(len(os.listdir("/proc/self/fd")))
            return file

    manifest = read_copy(directory)[0]
    before = len(os.listdir("/proc/self/fd"))
    counted = log_lines(CapturedSession(manifest, Counting()), LogFilter())
    assert sum(map(len, counted)) == 400
    assert max(opened) - before <= 3
    with BriefFiles(PlainFiles(directory)).open("data/logs/web-1-0.json") as file:
        assert file.read() == (directory / "data/logs/web-1-0.json").read_bytes()


@pytest.fixture
async def api(tmp_path: Path) -> Any:
    async with serving(tmp_path) as running:
        yield running


async def test_from_the_artifacts_api(api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command prints from the API what it prints from a folder."""
    session = await asyncio.to_thread(recording().write, api.root)

    @contextmanager
    def connected(options: Any) -> Iterator[cluster.ClusterApi]:
        yield cluster.ClusterApi(ApiProxy(api), [], "shop")

    monkeypatch.setattr(reference, "connected", connected)
    for command, *options in COMMANDS.values():
        here = shown(capsys, command, str(session), *options)
        assert await asyncio.to_thread(shown, capsys, command, "payments-500s", *options) == here, command


def test_a_table_of_wide_characters() -> None:
    """Columns are aligned by what a terminal shows, not by the number of characters."""
    rows = [(Span("抹茶ラテ"), Span("a")), (Span("tea"), Span("b"))]
    first, second = Page(80).lines([Table((Column(""), Column("")), rows)])
    assert width_of(first[: first.index("a")]) == second.index("b") == 10
