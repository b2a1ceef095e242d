"""Rules for findings in a spec: a real API server checks them, and they find lines in a real pod's log."""

from typing import Any

import pytest

from tests.cluster.rig import RigError
from tests.support.operator import Kubectl, Operator, investigation

pytestmark = pytest.mark.cluster

RULE: dict[str, Any] = {
    "name": "EvidenceSpoken",
    "log": {"pattern": "^evid[a-z]+$"},
    "message": "the pod spoke of evidence",
    "severity": "critical",
    "runbookUrl": "https://runbooks.example/evidence",
}
TARGETS = [{"pod": "speaker"}]


def test_a_rule_of_an_investigation_leads(operator: Operator, kubectl: Kubectl, speaker: str) -> None:
    """A line that no built-in rule reads becomes the headline, with a link to its entry."""
    resource = kubectl.investigate("own-rule", targets=TARGETS, findings={"rules": [RULE]})
    assert resource["status"]["headline"].startswith("speaker: the pod spoke of evidence (1 line since ")
    (finding,) = [finding for finding in resource["status"]["findings"] if finding["rule"] == "EvidenceSpoken"]
    assert finding["severity"] == "critical"
    assert finding["evidence"][0]["artifact"].startswith("data/logs/")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"event": {"reason": "Odd"}}, "set exactly one of log, event, condition and metric"),
        ({"runbookUrl": "javascript:alert(1)"}, "runbookUrl"),
        ({"name": "two words"}, "name"),
        ({"severity": "bad"}, "severity"),
    ],
)
def test_the_api_server_refuses_rules_that_are_not_valid(prepared: Any, kubectl: Kubectl, wrong: Any, words: str) -> None:
    """The API server refuses them when they are applied."""
    with pytest.raises(RigError, match=words):
        kubectl.apply(investigation("wrong-rule", targets=TARGETS, findings={"rules": [RULE | wrong]}))
