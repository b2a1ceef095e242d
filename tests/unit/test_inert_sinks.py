"""Hostile text in every place where content is shown: terminal, status, Events, gaps, reports, tables of the API, logs, CSV."""

import json
import logging
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import IO, Any

import click
import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.status import FindingStatus
from aletheia_operator.cli import log_views, number_views, views
from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.program import EVIDENCE_COMMANDS, root
from aletheia_operator.fetchers.base import Missing
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.handlers.events import event_of
from aletheia_operator.handlers.operator import configure_logging
from aletheia_operator.handlers.status import condition, minimal, of_phase, of_snapshot, shortened, without_words
from aletheia_operator.investigate import Snapshot
from aletheia_operator.investigate.gaps import gap_of
from aletheia_operator.report import PlainFiles, Source, html_report, markdown_report
from aletheia_operator.serve import resource
from aletheia_operator.serve.catalog import Catalog
from aletheia_operator.session import Artifact, Gap, InvestigationReference, Manifest, SessionLayout
from aletheia_operator.session.manifest_file import manifest_bytes, read_copy
from aletheia_operator.settings import Process
from aletheia_operator.show.layout import Page
from aletheia_operator.text import log_records
from aletheia_operator.text.display import for_csv
from tests.unit.evidence import Incident, event, pod, running
from tests.unit.reported import Recording, series, trace

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = ("2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z")
HOSTILE = {
    "ESC": "\x1b[2J\x1b]0;owned\x07",
    "C1": "\x9b2J\x85\x90",
    "C0": "\x00\x08\x7f\r\x0b\x0c\x1c",
    "bidi": "\u202edcba\u2066x\u2069\u200e\u061c",
    "zero width": "a\u200bb\u200dc\u2060\ufeff\u3164\u00ad\U000e0041",
    "lines": "\u2028\u2029\n\n2026-11-22 INFO forged",
    "script": "</p><script>alert(1)</script><img src=x onerror=alert(1)>",
    "formula": "=cmd|'/c calc'!A0",
}
every_text = pytest.mark.parametrize("text", [f"{text} words {text}" for text in HOSTILE.values()], ids=HOSTILE)


def hidden(text: str, keep: str = "\n") -> set[str]:
    """Return the invisible characters, and those that a terminal interprets."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or c == "\u3164"} - set(keep)


def strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def assert_inert(value: Any) -> None:
    """Fail if a string in a JSON value has a hidden character, or more than one line."""
    found = [text for text in strings(value) if hidden(text, "")]
    assert found == []
    assert any("words" in text for text in strings(value)), "the text is shown"


def manifest_with(text: str, name: str = "incident") -> Manifest:
    """A manifest with the text wherever content, or an import, can put it. `name`: the Investigation's."""
    artifact = Artifact(
        path="data/logs/a.json",
        fetcher="KubernetesLogs",
        target=text,
        count=1,
        summary=text,
        time_range=WINDOW,
        size_bytes=1,
        sha256="ab" * 32,
        complete=True,
    )
    found = Finding("Crash", "error", "certain", Subject("Pod", text), text, 20).to_json("shop")
    return Manifest(
        session_id="INC-7F3A",
        investigation=InvestigationReference(namespace="shop", name=name, uid="u"),
        spec={},
        window=WINDOW,
        phase="PartiallyCompleted",
        start_time=NOW,
        completion_time=NOW,
        operator_version="1",
        headline=text,
        artifacts=[artifact],
        gaps=[Gap(fetcher="Loki", target=text, reason="Empty", message=text)],
        findings=[FindingStatus.model_validate(found)],
    )


@every_text
def test_the_status_is_inert(text: str) -> None:
    """In its whole form, the shorter ones, and the one without words of logs."""
    snapshot = Snapshot(manifest_with(text), "/sessions/INC-7F3A", 1, 1)
    whole = of_snapshot(snapshot, 1, {}, NOW)
    for status in (whole, shortened(whole), minimal(whole), of_phase("Failed", text, 1, {}, NOW)):
        assert_inert(status)
    assert not [text for text in strings(of_snapshot(without_words(snapshot), 1, {}, NOW)) if hidden(text, "")]
    assert_inert(condition("Reachable", False, "Rejected", text, 1, [], NOW))


@every_text
def test_gaps_and_events_are_inert(text: str) -> None:
    """Target and message of a gap, and the message of an Event."""
    assert_inert(gap_of("Loki", Missing(text, GapReason.REJECTED, text)).to_json())
    body = {"metadata": {"name": "incident", "namespace": "shop", "uid": "u"}}
    assert_inert(event_of(body, "Warning", "Rejected", text, NOW, 1))


@every_text
def test_the_terminal_obeys_nothing(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`list`, `show` and `verify` of a session from anywhere, and messages about arguments."""
    session = SessionLayout(tmp_path).session("INC-7F3A")
    session.mkdir(parents=True)
    (session / "data").mkdir()
    (session / "data" / text.replace("/", "").replace("\0", "")).touch()
    commands = (["list"], ["show", "INC-7F3A"], ["verify"], ["hold", "INC-7F3A", f"--reason={text}"], ["show", text])
    for name in ("incident", text):
        (session / "manifest.json").write_bytes(manifest_bytes(manifest_with(text, name)))
        for command, form in product(commands, ([], ["-ojson"])):
            main_quietly(["session", command[0], f"--root={tmp_path}", *form, *command[1:]])
            shown = capsys.readouterr()
            assert not hidden(shown.out + shown.err), (command, form)
            if command[0] == "show":
                assert "words" in shown.out + shown.err


def main_quietly(arguments: list[str]) -> None:
    """Run a command and ignore its exit code."""
    try:
        main(arguments)
    except SystemExit as e:
        assert e.code in (0, 1, 2)


@every_text
def test_tables_of_the_api_are_inert(text: str, tmp_path: Path) -> None:
    """`kubectl get` prints cells and messages of errors as they come."""
    session = SessionLayout(tmp_path).session("INC-7F3A")
    session.mkdir(parents=True)
    (session / "manifest.json").write_bytes(manifest_bytes(manifest_with(text)))
    table = resource.table(Catalog(SessionLayout(tmp_path)).list(None), "", NOW, "None")
    assert_inert(table["rows"])
    assert len(table["rows"]) == 1
    assert_inert(resource.status(404, "NotFound", text))


class Elements(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@every_text
def test_reports_are_inert(text: str, tmp_path: Path) -> None:
    """HTML and Markdown, of evidence and of a manifest with the text."""
    incident = Incident().add(pod("web-1-a", running())).log("web-1-a", f"30 FATAL: {text}").add_event(event(text, text))
    recording = Recording(
        incident,
        metrics=[({"query": text, "step_seconds": 60}, [series({"service": text, text: "x"}, [1, 2, 3], 1_763_000_000)])],
        traces=[({}, [trace(text, ("1", "", f"{text} x", 0, 9, text))])],
        gaps=[Gap(fetcher=text, target=text, reason=text, message=text)],
        spec={"targets": [{"pod": text}], "metrics": [{"query": text}]},
        changed={"looked_at": text, "top_errors": [{"level": text, "count": 1, "example": text, "template": text}]},
    )
    directory = recording.write(tmp_path)
    manifest, _ = read_copy(directory)
    investigation = manifest.investigation.model_copy(update={"name": text, "namespace": text})
    changes = {"headline": text, "phase": text, "investigation": investigation, "operator_version": text}
    for variant in (manifest, manifest.model_copy(update=changes)):
        source = Source(variant, PlainFiles(directory))
        page, markdown = html_report(source).decode(), markdown_report(source)
        assert not hidden(page) and not hidden(markdown)
        assert "words" in page and "words" in markdown
        elements = Elements(page)
        assert not {"script", "img"} & elements.tags
        assert not [name for name in elements.attributes if name.startswith("on")]
        assert "\n2026-11-22 INFO forged" not in markdown


@every_text
@pytest.mark.parametrize("width", [80, None])
def test_views_are_inert(
    text: str, width: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that shows evidence, in every form, of evidence with the text."""
    incident = Incident().add(pod("web-1-a", running())).log("web-1-a", f"30 FATAL: {text}").add_event(event(text, text))
    incident.add({"kind": text, "metadata": {"name": text, "labels": {text: text}}, "dataSha256": text})
    recording = Recording(
        incident,
        metrics=[({"query": text, "step_seconds": 60}, [series({"service": text, text: "x"}, [1, 2, 3], 1_763_000_000)])],
        traces=[({}, [trace(text, ("1", "", f"{text} x", 0, 9, text))])],
        changed={"changes": [{"rule": text, "object": {"kind": text, "name": text}, "message": text}]},
    )
    directory = recording.write(tmp_path)

    @contextmanager
    def opened() -> Iterator[tuple[Page, IO[str]]]:
        yield Page(width), sys.stdout

    for module in (views, log_views, number_views):
        monkeypatch.setattr(module, "opened_page", opened)
    for name in EVIDENCE_COMMANDS:
        command = root.get_command(click.Context(root), name)
        assert command is not None
        for form in next(option.type.choices for option in command.params if option.name == "output"):  # type: ignore[attr-defined]
            main_quietly([name, str(directory), "-o", form])
            shown = capsys.readouterr()
            assert not hidden(shown.out + shown.err), (name, form)
            assert "\n2026-11-22 INFO forged" not in shown.out
            assert "words" in shown.out or name not in ("events", "metrics", "traces"), (name, form)
    for more in (["--pod", text], ["--grep", text], ["--since", text]):
        main_quietly(["logs", str(directory), *more])
        shown = capsys.readouterr()
        assert not hidden(shown.out + shown.err), more


@every_text
@pytest.mark.parametrize("form", ["plain", "json"])
@pytest.mark.parametrize("process", ["operator", "artifacts"])
def test_the_processes_logs_are_inert(text: str, form: str, process: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No text begins a new record, whether it is in a message, an argument of one, or an exception."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers.clear()
    try:
        if process == "operator":
            configure_logging(Process(log_format=form))
        else:
            log_records.configure_logging(form, "info")
        log = logging.getLogger("aletheia_operator.a_test")
        log.warning("quoted: %s", text)
        log.warning(text.replace("%", ""), extra={"fields": {"path": text}})
        try:
            raise ValueError(text)
        except ValueError:
            log.warning("failed", exc_info=True)
        shown = capsys.readouterr()
        written = shown.out + shown.err
    finally:
        root.handlers[:], root.level = before
    assert not hidden(written)
    assert written.count("words") >= 3
    if form == "json":
        assert [json.loads(line) for line in written.splitlines()]
    else:
        assert len([line for line in written.split("Traceback")[0].splitlines() if "failed" not in line]) == 2


@every_text
def test_cells_of_a_spreadsheet_are_inert(text: str) -> None:
    """They have no hidden character, and no formula."""
    shown = for_csv(text)
    assert not hidden(shown, "")
    assert shown[0] not in "=+-@\t\r"
