"""The report of a session: its sections, that all text in it is inert, and its bounds."""

import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.report import LoadedDocument, NoFiles, PlainFiles, Source, html_report, markdown_report
from aletheia_operator.report.html import MAX_BYTES
from aletheia_operator.report.quotes import quote
from aletheia_operator.report.reading import Reading
from aletheia_operator.session import Gap
from aletheia_operator.session.manifest_file import read_copy
from tests.unit.evidence import START, Incident, at, ended, event, item, pod, running, waiting
from tests.unit.reported import Recording, series, trace

FIRST = int(START.timestamp())
HOSTILE = (
    "</style><script>alert(1)</script><img src=//evil.example/x onerror=alert(1)>\x1b[31m\u202eabc `x` [a](javascript:1) @all"
)
GAP = Gap(fetcher="Prometheus", target="error_rate", reason="Unavailable", message="connection refused: check the endpoint")
NOTE = Gap(fetcher="KubernetesObjects", target="nodes", reason="Forbidden", message="not allowed", severity="note")


class Page(HTMLParser):
    """Parses a page: its elements, attributes and text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            continue

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def crash(words: str = "FATAL: panic: record 40: torn write?") -> Incident:
    """A rollout, then a crash loop with its cause in the log."""
    status = waiting("CrashLoopBackOff", restarts=4, last=ended(1, minute=30))
    incident = Incident().add(pod("web-1-a", status))
    for number in (1, 2):
        container = {"name": "app", "image": f"shop/app:{number}", "env": [{"name": "POOL", "value": f"{number * 5}"}]}
        spec = {"template": {"spec": {"containers": [container]}}}
        made = at(number * 12.5 if number == 2 else 0)
        incident.add(item("ReplicaSet", f"web-{3 - number}", spec, creationTimestamp=made))
    incident.rollouts["Deployment", "web"] = [
        {"revision": 1, "name": "web-2", "created": at(0), "in_window": False, "summary": "", "images": {}, "changed": []},
        {
            "revision": 2,
            "name": "web-1",
            "created": at(25),
            "in_window": True,
            "images": {"app": "shop/app:2"},
            "changed": [{"container": "app", "field": "image", "from": "shop/app:1", "to": "shop/app:2"}],
            "summary": "revision 2 rolled out: app image shop/app:1 → shop/app:2",
        },
    ]
    incident.add_event(event("BackOff", "Back-off restarting failed container app", container="app", count=12, until=32))
    return incident.log("web-1-a", "27 INFO replaying the journal", f"27.5 {words}", run=4)


def healthy(pods: int = 3) -> Incident:
    incident = Incident()
    for number in range(pods):
        name = f"web-1-{number}"
        incident.add(pod(name, running())).log(name, "27 INFO served", "28 INFO served")
    return incident


def full(words: str = "FATAL: panic: record 40: torn write?", **more: Any) -> Recording:
    """A recording that has every section."""
    metadata = {"query": "sum(rate(x[1m]))", "template": "error_rate", "step_seconds": 60}
    rates = [0.0] * 30 + [0.9] * 30
    slow = trace(
        "abc1",
        ("1", "", "checkout POST /buy", 0, 900, "503"),
        ("2", "1", "payments POST /pay", 20, 850, "connection refused"),
        ("3", "1", "stock GET /stock", 5, 10, ""),
    )
    quick = trace("abc2", ("1", "", "checkout GET /", 0, 20, ""))
    return Recording(
        crash(words),
        metrics=[
            (metadata, [series({"service": "web"}, rates, FIRST)]),
            ({**metadata, "baseline_offset": "1d"}, [series({"service": "web"}, [0.01] * 60, FIRST - 86400)]),
        ],
        traces=[({"service": "checkout"}, [slow, quick])],
        gaps=[GAP, NOTE],
        **more,
    )


def source(directory: Path) -> Source:
    return Source(read_copy(directory)[0], PlainFiles(directory))


def page_of(directory: Path) -> Page:
    return Page(html_report(source(directory)))


def test_every_section_is_there(tmp_path: Path) -> None:
    """These are headline, gaps with remedies, findings, timeline, errors, charts, waterfalls, changes, spec and digests."""
    directory = full().write(tmp_path)
    page = page_of(directory)
    manifest = read_copy(directory)[0]
    for words in (
        "What broke",
        "web: FATAL panic: record 40: torn write?",
        "connection refused: check the endpoint",
        "not allowed",
        "CrashLoop",
        "Back-off restarting failed container app",
        "exitCode 1",
        "revision 2 rolled out",
        "app env POOL 5 → 10",
        "error_rate",
        "checkout POST /buy",
        "2 failed",
        "deployment/web",
        "baseline",
        *(artifact.sha256 for artifact in manifest.artifacts),
    ):
        assert words in page.text, words
    sections = {"gaps", "findings", "timeline", "errors", "metrics", "traces", "changes", "request", "artifacts"}
    assert sections <= set(page.values("id"))
    assert {"polyline", "rect", "circle"} <= set(page.tags)


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    """No script, handler, style attribute or image; links lead to the session's own files; the policy forbids the rest."""
    directory = full().write(tmp_path)
    page = page_of(directory)
    assert not {"script", "img", "iframe", "form", "object", "embed", "link", "base", "audio", "video", "use"} & set(page.tags)
    assert not [
        attribute
        for attribute in page.attributes
        if attribute[1].startswith("on") or attribute[1] in ("style", "src", "srcset", "action")
    ]
    paths = {artifact.path for artifact in read_copy(directory)[0].artifacts}
    links = page.values("href")
    assert links and all(link in paths or link.removeprefix("#") in page.values("id") for link in links)
    (policy,) = [value for tag, name, value in page.attributes if name == "content" and "default-src" in value]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; base-uri 'none'; form-action 'none'", policy
    )
    css = html_report(source(directory)).split(b"<style>")[1].split(b"</style>")[0]
    assert b"url(" not in css and b"@import" not in css and b"http" not in css


@pytest.mark.parametrize("render", [html_report, lambda source: markdown_report(source).encode()])
def test_text_of_tenants_is_inert(tmp_path: Path, render: Any) -> None:
    """Markup, control characters and reversed text in any field are shown as text."""
    hostile = {"service": HOSTILE, HOSTILE: "x"}
    recording = Recording(
        crash(f"FATAL: {HOSTILE}").add_event(event(HOSTILE, HOSTILE, name="web-1-a")),
        metrics=[({"query": HOSTILE, "step_seconds": 60}, [series(hostile, [1, 2, 3], FIRST)])],
        traces=[({}, [trace(HOSTILE, ("1", "", f"{HOSTILE} x", 0, 9, HOSTILE))])],
        gaps=[Gap(fetcher=HOSTILE, target=HOSTILE, reason=HOSTILE, message=HOSTILE)],
        spec={"targets": [{"pod": HOSTILE}], "metrics": [{"query": HOSTILE}]},
        changed={"looked_at": HOSTILE, "top_errors": [{"level": HOSTILE, "count": 1, "example": HOSTILE, "template": HOSTILE}]},
    )
    found = render(source(recording.write(tmp_path))).decode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", found)
    if found.startswith("#"):
        outside = re.sub(r"(?s)^ *(`{3,})\n.*?\n *\1$", "", found, flags=re.M)
        outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside)
        assert not re.search(r"[<>\[\]@]|javascript|evil", outside)
        return
    page = Page(found.encode())
    assert "<script>alert(1)</script>" in page.text
    assert not {"script", "img"} & set(page.tags)
    assert not [attribute for attribute in page.attributes if attribute[1].startswith("on")]


@pytest.mark.parametrize(
    "evidence",
    [
        [{"artifact": "javascript:alert(1)", "entry": 0}],
        [{"artifact": "../../etc/passwd", "entry": 0}],
        [{"artifact": 1}],
        "x",
        [None],
    ],
)
def test_links_lead_to_artifacts_of_the_session_alone(tmp_path: Path, evidence: Any) -> None:
    """Findings of an imported session may name any path: it is neither read nor linked."""
    recording = Recording(crash())
    directory = recording.write(tmp_path)
    manifest = read_copy(directory)[0]
    finding = {"rule": "X", "severity": "error", "message": "m", "object": {"kind": "Pod", "name": "p"}, "evidence": evidence}
    page = Page(html_report(Source(manifest, PlainFiles(directory), {"findings": LoadedDocument({}, [finding])})))
    assert not [link for link in page.values("href") if "javascript" in link or ".." in link]


@pytest.mark.parametrize("odd", [None, 1, "x", [], {}, [[]], {"a": [1]}, {"object": 3, "evidence": {}, "count": "many"}])
def test_documents_of_any_form_make_a_report(tmp_path: Path, odd: Any) -> None:
    """Content that cannot be shown is left out and listed. The report is made."""
    directory = full().write(tmp_path)
    in_memory = {
        "findings": LoadedDocument(
            {"top_errors": [odd], "changes": [odd], "headline": odd, "looked_at": odd}, [{"rule": odd, "object": odd}]
        ),
        "timeline": LoadedDocument({}, [{"timestamp": odd, "kind": odd, "object": odd, "message": odd, "end": odd}]),
    }
    manifest = read_copy(directory)[0].model_copy(update={"spec": {"targets": [odd] if odd else [], "metrics": []}})
    page = Page(html_report(Source(manifest, PlainFiles(directory), in_memory)))
    assert "Artifacts" in page.text


def test_a_healthy_session_says_so(tmp_path: Path) -> None:
    """The headline counts what was read; there is no empty section."""
    page = page_of(Recording(healthy()).write(tmp_path))
    assert "no trouble found: 3 pods, 6 lines, 0 errors" in page.text
    assert not {"errors", "metrics", "traces", "gaps"} & set(page.values("id"))


def test_an_empty_session_reads_well(tmp_path: Path) -> None:
    """The report says what was requested, and why nothing is there."""
    page = page_of(Recording(Incident(), gaps=[GAP]).write(tmp_path))
    assert "nothing to judge" in page.text
    assert "connection refused: check the endpoint" in page.text
    assert "No artifacts." in page.text


def test_a_report_without_files_has_what_the_capture_knows(tmp_path: Path) -> None:
    """A sealed session has findings and timeline in its report. Charts and waterfalls are left out, and listed.

    Entries that the findings cite were kept, and are quoted.
    """
    directory = full().write(tmp_path)
    plain = source(directory)
    in_memory = {name: plain.document(name) for name in ("findings", "timeline")}
    cited = [(link["artifact"], link["entry"]) for link in in_memory["findings"].entries[0]["evidence"]]
    kept = {link: {"timestamp": None, "container": "app", "line": "kept line"} for link in cited if "/logs/" in link[0]}
    page = Page(html_report(Source(plain.manifest, NoFiles(), in_memory, kept)))
    assert "web: FATAL panic: record 40: torn write?" in page.text
    assert kept
    assert "kept line" in page.text
    assert "Not in this report" in page.text
    assert "traces" not in page.values("id")


def test_of_many_pods_the_page_stays_small(tmp_path: Path) -> None:
    """200 crashing Deployments with logs give less than 2 MB, with the number of items left out."""
    incident = Incident()
    for number in range(200):
        name = f"svc{number}"
        incident.add(
            pod(f"{name}-1-a", waiting("CrashLoopBackOff", restarts=4, last=ended(1)), of=f"{name}-1"), of=("Deployment", name)
        )
        incident.log(f"{name}-1-a", *(f"27.{n} ERROR {'x' * 200} {chr(97 + number % 26) * 9}" for n in range(9)))
    content = html_report(source(Recording(incident).write(tmp_path)))
    assert len(content) < MAX_BYTES / 2
    assert "more in data/findings.json" in Page(content).text


def test_a_page_that_would_be_too_large_shows_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again with less, until it fits."""
    directory = full().write(tmp_path)
    whole = html_report(source(directory))
    monkeypatch.setattr("aletheia_operator.report.html.MAX_BYTES", len(whole))
    less = html_report(source(directory))
    assert len(less) < len(whole)
    assert "polyline" not in Page(less).tags


def test_entries_are_found_by_number_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of blocks does not matter, nor do lines that end at their edges."""
    file = tmp_path / "a.json"
    entries = [f'{{"n": {number}, "x": "{"y" * (number % 7)}"}}' for number in range(500)]
    file.write_text('{"source": "x",\n"metadata": {"a": 1},\n"data": [\n' + ",\n".join(entries) + "\n]}\n")
    for size in (1, 7, 64, 1000, 10**6):
        monkeypatch.setattr("aletheia_operator.report.reading.BLOCK_BYTES", size)
        reading = Reading(PlainFiles(tmp_path))
        wanted = [0, 1, 2, 250, 498, 499, 500, 9000, -1]
        assert {number: entry["n"] for number, entry in reading.at("a.json", wanted).items()} == {
            number: number for number in wanted if 0 <= number < 500
        }
        assert [entry["n"] for _, entry in reading.entries("a.json")] == list(range(500))
        assert reading.metadata("a.json") == {"a": 1}


def test_reading_ends_when_its_time_is_over(tmp_path: Path) -> None:
    """Artifacts that were not read in time are listed."""
    directory = full().write(tmp_path)
    plain = source(directory)
    slow = Source(plain.manifest, plain.files, seconds=dict.fromkeys(("documents", "metrics", "traces", "quotes"), 0.0))
    page = Page(html_report(slow))
    assert "Not in this report: data/" in page.text
    assert read_copy(directory)[0].headline in page.text  # type: ignore[operator]


def test_lines_past_the_limit_are_passed_over(tmp_path: Path) -> None:
    """An entry that is too long is not parsed. Entries after it are read."""
    file = tmp_path / "a.json"
    long = '{"n": "' + "x" * 600_000 + '"}'
    file.write_text('{"source": "x",\n"metadata": {},\n"data": [\n' + f'{{"n": 0}},\n{long},\n{{"n": 2}}\n]}}\n')
    reading = Reading(PlainFiles(tmp_path))
    assert [number for number, _ in reading.entries("a.json")] == [0, 2]
    assert reading.left_out == {"a.json"}
    assert set(reading.at("a.json", [0, 1, 2])) == {0, 2}


def test_a_large_session_takes_little_time(tmp_path: Path) -> None:
    """A log of 200 MB with evidence at its end takes well under a second: its lines are counted, not parsed."""
    recording = Recording(crash())
    directory = recording.write(tmp_path)
    manifest = read_copy(directory)[0]
    log = next(artifact for artifact in manifest.artifacts if "/logs/" in artifact.path)
    line = b'{"timestamp":"2026-11-22T14:27:30Z","container":"app","level":"INFO","line":"' + b"x" * 300 + b'"},\n'
    lines = 500_000
    with (directory / log.path).open("wb") as file:
        file.write(b'{"source": "test",\n"metadata": {},\n"data": [\n')
        for _ in range(lines // 1000):
            file.write(line * 1000)
        file.write(line.replace(b"INFO", b"FATAL")[:-2] + b"\n]}\n")
    in_memory = {
        "findings": LoadedDocument(
            {}, [{"severity": "error", "message": "m", "evidence": [{"artifact": log.path, "entry": lines}]}]
        )
    }
    began = time.process_time()
    page = Page(html_report(Source(manifest, PlainFiles(directory), in_memory)))
    assert time.process_time() - began < 2.0
    assert f"entry {lines}" in page.text


def test_the_command_makes_both_formats(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """It writes to standard output or to a file."""
    full().write(tmp_path)
    arguments = ["session", "report", "--root", str(tmp_path), "INC-7F3A"]
    assert main([*arguments, "--format", "markdown"]) == 0
    text = capfdbinary.readouterr().out.decode()
    assert text.startswith("# INC-7F3A: shop/payments-500s\n\n**`web: FATAL panic: record 40: torn write?")
    assert "## What is missing" in text and "SHA-256" in text
    assert main([*arguments, "-f", str(tmp_path / "r.html")]) == 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_a_quoted_line_has_no_colours() -> None:
    """Colours of the program are left out, as in `logs`; other control characters are shown as escapes."""
    line = {"line": "\x1b[31mERROR\x1b[0m \x1b[2Jorder 7 failed"}
    assert quote("data/logs/a.json", 0, line).text == "ERROR \\x1b[2Jorder 7 failed"
