"""The parts of the demo that need no cluster: names of images, what is picked out of the evidence, and its output."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.session.layout import REPORT, SINGLES
from tests.demo import investigate, look, peek, up
from tests.demo.kubernetes import Cluster
from tests.demo.steps import DemoError, NotYet, Steps, inert


@pytest.mark.parametrize(
    ("image", "repository", "tag", "digest"),
    [
        ("localhost/aletheia-operator:dev", "localhost/aletheia-operator", "dev", ""),
        ("registry.example:5000/team/operator:1.2", "registry.example:5000/team/operator", "1.2", ""),
        ("registry.example:5000/operator@sha256:ab", "registry.example:5000/operator", "", "sha256:ab"),
        ("operator:1.2@sha256:ab", "operator", "1.2", "sha256:ab"),
    ],
)
def test_image_names_are_taken_apart(image: str, repository: str, tag: str, digest: str) -> None:
    """A colon before a slash is a registry's port, not a tag."""
    values = up.chart_values(image, [], install_crds=True)["image"]
    assert values == {"repository": repository, "tag": tag, "digest": digest}


def test_an_image_without_tag_is_refused() -> None:
    """The chart would silently take its own version as the tag."""
    with pytest.raises(DemoError, match="no tag"):
        up.chart_values("registry.example:5000/operator", [], install_crds=True)


def test_data_sources_are_those_of_the_examples() -> None:
    """The demo installs what examples/datasources.yaml shows."""
    assert [(source["name"], source["type"]) for source in up.data_sources()] == [
        ("prometheus", "prometheus"),
        ("jaeger", "jaeger"),
    ]


def test_text_is_made_inert() -> None:
    """Text of a log line cannot move the cursor, ring, or change the direction of writing."""
    assert inert("a\x1b[2J\r\a\u202eb\u2028c\udce9") == "a\\x1b[2J\\r\\x07\\u202eb\\u2028c\\udce9"
    assert inert("Zoë 李雷 ☕ 🐟") == "Zoë 李雷 ☕ 🐟"


def test_a_wait_ends_at_its_deadline_and_says_how_things_stand() -> None:
    """The last state that was seen is part of the message."""

    def probe() -> None:
        raise NotYet("3 of 5")

    with pytest.raises(DemoError, match="all are there: not within 0 s: 3 of 5"):
        Steps().until("all are there", 0, probe)


def test_a_failed_lane_ends_the_waits_of_the_other() -> None:
    """The error that is reported is the first, not that of the lane that gave up."""
    steps = Steps()

    def fails() -> None:
        raise DemoError("no image")

    def waits() -> None:
        def probe() -> None:
            raise NotYet("still waiting")

        steps.until("never", 60, probe)

    with pytest.raises(DemoError, match="no image"):
        steps.together(waits, fails)
    assert steps.elapsed_seconds < 30


def test_a_kubeconfig_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """kubectl would fall back to another one."""
    with pytest.raises(DemoError, match="no kubeconfig"):
        Cluster.named(tmp_path / "absent")


def entry(line: str, level: str | None = None, **more: Any) -> dict[str, Any]:
    found = {"timestamp": "2026-11-22T15:21:11.072842937Z", "container": "app", "line": line, **more}
    return found | ({"level": level} if level else {})


def span(name: str, parent: str | None, microseconds: int, error: str = "") -> dict[str, Any]:
    tags = [{"key": "error", "value": True}, {"key": "otel.status_description", "value": error}] if error else []
    references = [{"refType": "CHILD_OF", "spanID": parent}] if parent else []
    return {
        "spanID": name, "operationName": name, "processID": "p1", "startTime": len(name), "duration": microseconds,
        "references": references, "tags": tags,
    }  # fmt: skip


def trace(name: str, *spans: dict[str, Any]) -> dict[str, Any]:
    return {"traceID": name, "spans": list(spans), "processes": {"p1": {"serviceName": "shop"}}}


def test_the_first_look_runs_as_a_program_and_reads_whole_artifacts(tmp_path: Path) -> None:
    """As in the operator's pod: source on the command line, artifacts on stdin, digests checked."""
    documents: dict[str, list[Any]] = {
        "data/logs/a.json": [entry("fine"), entry("\x1b[31mbroken", "ERROR", previous=True), entry("")],
        "data/metrics/b.json": [{"metric": {"pod": "a"}, "values": [[1, "0.5"], [6, "NaN"]]}],
        "data/traces/c.json": [trace("t1", span("root", None, 900)), trace("t2", span("r", None, 50, "refused"))],
    }
    artifacts = []
    for path, data in documents.items():
        content = json.dumps({"source": "test", "metadata": {}, "data": data}).encode()
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content)
        artifacts.append({"path": path, "target": path[-6], "sha256": hashlib.sha256(content).hexdigest()})
    artifacts[0]["sha256"] = "0" * 64
    program = Path(peek.__file__).read_text(encoding="utf-8")
    command = [sys.executable, "-I", "-c", program, str(tmp_path)]
    done = subprocess.run(command, input=json.dumps(artifacts), capture_output=True, text=True, check=True)
    looks = json.loads(done.stdout)
    assert [look["intact"] for look in looks] == [False, True, True]
    assert [looks[0]["lines"], looks[1]["samples"], looks[2]["spans"]] == [3, 2, 2]
    text = "\n".join(look.lines(looks, width=100))
    assert "previous run: \x1b[31mbroken" in text
    assert "failed: refused" in text
    assert "nan" in text


KUBERNETES = ({"moments": 1}, {"lines": 1}, {"events": 1}, {"objects": 1})


@pytest.mark.parametrize(
    ("phase", "looks", "complete"),
    [
        ("Completed", [*KUBERNETES, {"samples": 1}, {"samples": 0}, {"spans": 1}], True),
        ("PartiallyCompleted", [*KUBERNETES, {"samples": 1}, {"spans": 1}], False),
        ("Completed", [*KUBERNETES, {"samples": 1}, {"spans": 0}], False),
        ("Completed", [*KUBERNETES, {"samples": 1}, {"spans": 1, "intact": False}], False),
        ("Completed", [*KUBERNETES[1:], {"samples": 1}, {"spans": 1}], False),
        ("Completed", [], False),
    ],
)
def test_the_demo_fails_unless_all_evidence_is_there(phase: str, looks: list[dict[str, Any]], complete: bool) -> None:
    """A demo that exits 0 without evidence would prove nothing."""
    assert investigate.is_complete({"phase": phase}, [{"intact": True, **look} for look in looks]) is complete


def test_logs_show_the_first_error_and_the_line_before_it() -> None:
    """Later errors are usually echoes of the first."""
    entries = [entry("1"), entry("2"), entry("3", "FATAL"), entry("4"), entry("5"), entry("6", "ERROR")]
    assert [log["line"] for log in peek.of_logs(entries)["shown"]] == ["2", "3", "4", "5"]


def test_the_timeline_shows_what_tells_most_in_order() -> None:
    """A person sees the rollout and the crash, not thirty failing probes."""
    probes = [
        {"timestamp": f"2026-11-22T15:21:{n:02}Z", "kind": "ProbeFailure", "object": "pod/a", "message": "m"} for n in range(30)
    ]
    crash = {
        "timestamp": "2026-11-22T15:22:00Z",
        "kind": "Restart",
        "object": "pod/a",
        "container": "app",
        "message": "exit code 1",
    }
    seen = peek.of_timeline([*probes, crash])
    assert (seen["moments"], len(seen["shown"]), seen["shown"][-1]) == (31, 10, crash)
    assert look.lines([{"kind": "timeline.json", **seen}], 80)[-1] == "    15:22:00  Restart       pod/a app: exit code 1"


def test_the_first_findings_are_shown() -> None:
    """The cause comes first, and of many the first few are shown."""
    findings = [
        {"severity": "critical", "object": {"kind": "Deployment", "name": f"shop-{number}"}, "message": "panic"}
        for number in range(9)
    ]
    seen = peek.of_findings(findings)
    assert (seen["findings"], len(seen["shown"])) == (9, 5)
    assert look.lines([{"kind": "findings.json", **seen}], 80)[2] == "    critical  deployment/shop-0: panic"


def test_every_category_of_artifacts_has_a_look() -> None:
    """A session may have any of them."""
    singles = {f"{name}.json" for name in SINGLES}
    assert set(peek.KINDS) == singles | {"logs", "metrics", "traces", "events", "objects", REPORT}


def test_logs_without_errors_show_their_end() -> None:
    """The last lines are shown instead of nothing."""
    assert [log["line"] for log in peek.of_logs([entry(str(i)) for i in range(9)])["shown"]] == ["5", "6", "7", "8"]
    assert peek.of_logs([]) == {"lines": 0, "shown": []}


def test_the_slowest_failing_trace_is_shown_as_a_tree() -> None:
    """A slow trace that went well is less relevant than a failing one."""
    calls = (span("child", "root", 60, "refused"), span("root", None, 80), span("other", "root", 1))
    seen = peek.of_traces([trace("well", span("r", None, 900)), trace("ill", *calls)])
    assert (seen["trace_id"], seen["traces"], seen["failed"], seen["spans"]) == ("ill", 2, 1, 4)
    assert [(row["depth"], row["operation"]) for row in seen["shown"]] == [(0, "root"), (1, "child"), (1, "other")]


def test_a_trace_with_missing_spans_is_shown_only_for_want_of_a_whole_one() -> None:
    """Of the latest trace some spans may still be on their way to Jaeger."""
    torn = trace("torn", span("orphan", "elsewhere", 900, "refused"))
    assert peek.of_traces([torn, trace("whole", span("r", None, 5, "refused"))])["trace_id"] == "whole"
    seen = peek.of_traces([torn])
    assert [(row["depth"], row["operation"]) for row in seen["shown"]] == [(0, "orphan")]


def test_series_are_told_apart_by_one_label_where_that_is_enough() -> None:
    """A table has no room for labels that say the same."""
    series = [{"job": "shop", "pod": "a", "instance": "10.0.0.1"}, {"job": "shop", "pod": "b", "instance": "10.0.0.2"}]
    assert look.labels(series) == ["pod=a", "pod=b"]
    assert look.labels([{"__name__": "up", "job": "shop"}]) == ["job=shop"]
    assert look.labels([]) == []
