"""Own rules for findings: an admin's and an Investigation's."""

import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aletheia_operator.api.findings import FindingRule, FindingsSpec
from aletheia_operator.findings import OwnRules, judge, read_rules
from aletheia_operator.findings.finding import Artifact, Link
from aletheia_operator.findings.own_rules import MAX_FILE_BYTES, MAX_LINE, MAX_PODS, Matches
from tests.unit.evidence import Incident, Object, at, conditions, event, found, item, pod, rules_of, running

URL = "https://runbooks.example/torn"
LOG = {"log": {"pattern": "torn"}}


def rule(**fields: Any) -> FindingRule:
    return FindingRule.from_json({"name": "Own", "message": "the journal is torn", **fields})


def healthy(*own: FindingRule) -> Incident:
    return Incident(own=own).add(pod("web-1-a", running()))


def test_lines_of_a_log() -> None:
    """INFO lines count too. The finding has their number, the first time, links, the severity and the runbook."""
    incident = healthy(rule(**LOG, severity="critical", runbookUrl=URL))
    incident.log("web-1-a", "20 INFO ok", "21 INFO record 7 is torn", "22 INFO record 8 is torn")
    finding = found(incident, "Own")
    assert finding.message == "web: the journal is torn (2 lines since 14:21)"
    assert (finding.severity, finding.remedy, finding.subject.name) == ("critical", f"see {URL}", "web")
    assert [link.entry for link in finding.links] == [1]
    assert incident.judged().headline == "web: the journal is torn (2 lines since 14:21)"


def test_fewer_lines_than_asked() -> None:
    """With fewer lines nothing is found. Lines of all pods of a workload count together."""
    incident = healthy(rule(log={"pattern": "torn", "atLeast": 3})).add(pod("web-1-b", running()))
    incident.log("web-1-a", "21 INFO torn", "22 INFO torn")
    assert "Own" not in rules_of(incident)
    assert "3 lines since 14:20" in found(incident.log("web-1-b", "20 INFO torn"), "Own").message


@pytest.mark.parametrize(
    ("match", "is_found"),
    [
        ({"reason": "Odd"}, True),
        ({"reason": "Odd", "message": "lease [a-z]+ lost"}, True),
        ({"reason": "Odd", "message": "^lease lost"}, False),
        ({"reason": "Even"}, False),
    ],
)
def test_events(match: Object, is_found: bool) -> None:
    """A rule may name any reason, also one that no built-in rule reads."""
    incident = healthy(rule(event=match)).add_event(event("Odd", "the lease web lost", type="Normal", count=4))
    assert ("Own" in rules_of(incident)) == is_found
    if is_found:
        assert found(incident, "Own").message == "web: the journal is torn (Odd 4x since 14:28)"


def test_conditions_of_objects() -> None:
    """Healthy pods count too, although few of them are kept for other rules."""
    incident = healthy(rule(condition={"kind": "Pod", "type": "Example", "status": "False"}))
    for letter in "bcdefg":
        made = pod(f"web-1-{letter}", running())
        made["status"]["conditions"] += conditions(Example={"status": "False" if letter == "g" else "True", "message": "cold"})
        incident.add(made)
    finding = found(incident, "Own")
    assert finding.message == "web: the journal is torn (Example is False since 14:20: cold)"
    assert finding.pods == {"web-1-g"}
    certificate = item("Deployment", status={"conditions": conditions(Issued="Unknown")})
    other = Incident(own=[rule(condition={"kind": "Deployment", "type": "Issued", "status": "Unknown"})]).add(certificate)
    assert found(other, "Own").subject.kind == "Deployment"


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"above": 8}, "9 at 14:39, above 8"),
        ({"above": 9}, None),
        ({"below": 10}, "9 at the end, below 10"),
        ({"below": 2}, None),
    ],
)
@pytest.mark.parametrize("name", ["queue_depth", "max(queue)"])
def test_levels_of_metrics(limit: Object, words: str | None, name: str) -> None:
    """The template or the query selects the metric."""
    incident = healthy(rule(metric={"metric": name, **limit}))
    values = [[1795269600 + 60 * n, "1" if n < 30 else "9" if n > 38 else "2"] for n in range(60)]
    metadata = {"template": "queue_depth", "query": "max(queue)", "step_seconds": 60}
    series = {"metric": {"pod": "web-1-a"}, "values": values}
    incident.more.append(("prometheus", "metrics", "data/metrics/q.json", metadata, [series]))
    assert [finding.message for finding in incident.judged().findings if finding.rule == "Own"] == (
        [f"web: the journal is torn ({words})"] if words else []
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {**LOG, "event": {"reason": "Odd"}},
        {"log": {"pattern": "(["}},
        {"log": {"pattern": "é"}},
        {"log": {"pattern": "(x?){900}" * 20}},
        {"log": {"pattern": "x" * 201}},
        {"log": {"pattern": ""}},
        {"log": {"pattern": "a", "atLeast": 0}},
        {"event": {"reason": "Odd", "message": "(["}},
        {"event": {}},
        {"condition": {"kind": "pod", "type": "Ready", "status": "True"}},
        {"condition": {"kind": "Pod", "type": "Ready", "status": "Yes"}},
        {"metric": {"metric": "m"}},
        {"metric": {"metric": "m", "above": 1, "below": 0}},
        {**LOG, "runbookUrl": "javascript:alert(1)"},
        {**LOG, "runbookUrl": "file:///etc/passwd"},
        {**LOG, "runbookUrl": "https://a b"},
        {**LOG, "runbookUrl": 'https://a"onclick='},
        {**LOG, "name": "two words"},
        {**LOG, "message": ""},
        {**LOG, "message": "m" * 201},
        {**LOG, "severity": "bad"},
        {**LOG, "more": 1},
    ],
)
def test_rules_that_are_not_valid(wrong: Object) -> None:
    """Expressions, numbers, URLs that are no web pages, unknown fields."""
    with pytest.raises(ValidationError):
        rule(**wrong)


def test_there_are_at_most_twenty_rules() -> None:
    """An Investigation may have at most twenty."""
    own_rule = {"name": "Own", "message": "m", **LOG}
    assert len(FindingsSpec.from_json({"rules": [own_rule] * 20}).rules) == 20
    with pytest.raises(ValidationError):
        FindingsSpec.from_json({"rules": [own_rule] * 21})


HOSTILE = (r"(\w*\s*){30}b", "[a-z]{250}", "a.{0,50}b.{0,50}c", "(a|b|ab|ba)*c", ".*.*.*.*x$")


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_rules_over_hostile_lines_end(pattern: str) -> None:
    """All rules share a time limit. A rule that exceeds it counts as failed; the others do not."""
    incident = healthy(rule(log={"pattern": pattern}))
    incident.log("web-1-a", *(f"{n} INFO {'a' * 3000} {n}" for n in range(50)))
    began = time.perf_counter()
    incident.evidence()
    assert time.perf_counter() - began < 10


def test_rules_without_seconds_left_are_named() -> None:
    """The verdict lists them as failed, and a gap is made from it."""
    incident = healthy(rule(**LOG), rule(name="Other", event={"reason": "Odd"})).log("web-1-a", "21 INFO torn")
    evidence = incident.evidence()
    evidence.own.seconds_left = 0
    verdict = judge(evidence, "shop", 0)
    assert verdict.failed == ["Own"]
    own = OwnRules([rule(**LOG)], seconds_left=0)
    assert not own.reads_logs


def test_lines_are_searched_up_to_a_length_and_pods_are_bounded() -> None:
    """A line is searched up to MAX_LINE, and at most MAX_PODS matching pods are kept."""
    own, link = OwnRules([rule(**LOG)]), Link(Artifact("data/logs/a.json"), 0)
    matches: dict[int, Matches] = {}
    own.see_line(matches, "a", {"line": "x" * MAX_LINE + "torn", "timestamp": at(1)}, link)
    assert not matches
    for number in range(MAX_PODS + 5):
        own.add({0: Matches(f"pod-{number}", at(1), link, at(1), 1)})
    assert (len(own.matches), own.left_out) == (MAX_PODS, 5)


def test_an_admins_rules_are_read_from_a_file(tmp_path: Path) -> None:
    """The file is a list in YAML. Without a file there are no rules."""
    file = tmp_path / "rules.yaml"
    file.write_text("- {name: Own, message: torn, log: {pattern: torn}}\n")
    assert read_rules(file) == (rule(**LOG, message="torn"),)
    assert read_rules(None) == ()
    file.write_text("")
    assert read_rules(file) == ()


@pytest.mark.parametrize("content", ["a: b", "- {name: own}", "[", "- 7", "- {name: Own, message: m, log: {pattern: '(['}}"])
def test_a_file_of_rules_that_is_not_valid(content: str, tmp_path: Path) -> None:
    """The whole file is refused."""
    file = tmp_path / "rules.yaml"
    file.write_text(content)
    with pytest.raises(ValueError):
        read_rules(file)


def test_a_file_of_rules_that_is_too_large(tmp_path: Path) -> None:
    """It is refused: the rules at its end would not be applied, and nobody would notice."""
    file = tmp_path / "rules.yaml"
    rules = "- {name: First, message: torn, log: {pattern: torn}}\n" + "#" * MAX_FILE_BYTES
    file.write_text(rules + "\n- {name: Last, message: torn, log: {pattern: torn}}\n")
    with pytest.raises(ValueError, match=r"rules\.yaml is larger than 256 KiB"):
        read_rules(file)
