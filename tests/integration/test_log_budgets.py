"""Which lines are kept above the budget, and which containers are read."""

from typing import Any

import pytest

from aletheia_operator.logs.spool import LAST_LINES
from tests.support.operator import Kubectl, Operator, artifact_of, check_session, container, pod, session_of

pytestmark = pytest.mark.cluster

NOISY = """
i=0
while [ $i -lt 6000 ]; do
  i=$((i+1))
  case $i in
    1000|4000) echo "2026-01-01 00:00:00 ERROR boom $i" ;;
    *) echo "2026-01-01 00:00:00 INFO nothing of interest, line $i, ERROR is only a word here" ;;
  esac
done
"""


@pytest.fixture(scope="module")
def noisy(kubectl: Kubectl) -> str:
    """A pod with a container that writes far more than the other."""
    containers = [container("noisy", NOISY), container("quiet", "echo one; echo two; echo three")]
    kubectl.apply(pod("noisy", "", containers=containers))
    kubectl.wait("pod/noisy", "jsonpath={.status.phase}=Succeeded")
    return "noisy"


def look(kubectl: Kubectl, name: str, **logs: Any) -> tuple[Any, Any]:
    resource = kubectl.investigate(name, window={"lookback": "1h"}, targets=[{"pod": "noisy"}], logs=logs)
    check_session(session_of(resource))
    return resource, artifact_of(resource)


def test_errors_stay_and_the_rest_is_sampled_evenly(kubectl: Kubectl, operator: Operator, noisy: str) -> None:
    """Errors, the lines around them and the quiet container are complete; the sample is even, in order and repeatable."""
    limits = {"bytesPerContainer": "64Ki"}
    resource, document = look(kubectl, "budget", limits=limits)
    assert [(gap["reason"], gap["target"]) for gap in resource["status"]["gaps"]] == [
        ("BudgetExceeded", "pod/noisy container/noisy (run 0)")
    ]
    entries = document["data"]
    assert [entry["timestamp"] for entry in entries] == sorted(entry["timestamp"] for entry in entries)
    assert [entry["line"] for entry in entries if entry["container"] == "quiet"] == ["one", "two", "three"]
    of_noisy = [entry for entry in entries if entry["container"] == "noisy"]
    numbers = [int(entry["line"].split("line ")[1].split(",")[0]) if "line " in entry["line"] else 0 for entry in of_noisy]
    assert [entry["message"] for entry in of_noisy if entry.get("level") == "ERROR"] == ["boom 1000", "boom 4000"]
    for error in (1000, 4000):
        assert {*range(error - 5, error), *range(error + 1, error + 6)} <= set(numbers)
    sampled = [number for number in numbers if number <= 6000 - LAST_LINES]  # the last lines are always kept
    quarters = [sum(quarter * 1500 < number <= (quarter + 1) * 1500 for number in sampled) for quarter in range(4)]
    assert max(quarters) - min(quarters) <= 15, quarters
    kept, dropped = document["metadata"]["kept"], document["metadata"]["dropped"]
    assert kept["ERROR"] == 2
    assert kept["INFO"] + dropped["INFO"] == 5998
    assert kept["INFO"] == len(of_noisy) - 2
    _, other = look(kubectl, "budget-again", limits=limits)
    assert other["data"] == entries


def test_one_noisy_container_does_not_starve_the_others(kubectl: Kubectl, operator: Operator, noisy: str) -> None:
    """Within a small common budget, the quiet container's log is complete."""
    _, document = look(kubectl, "share", limits={"bytesPerInvestigation": "8Ki"})
    assert [entry["line"] for entry in document["data"] if entry["container"] == "quiet"] == ["one", "two", "three"]
    assert document["metadata"]["dropped"]["INFO"] > 5000


def test_a_sample_on_request_is_no_gap(kubectl: Kubectl, operator: Operator, noisy: str) -> None:
    """The requested data is complete: errors, and the requested share of the rest."""
    resource, document = look(kubectl, "sample", samplePercent=10)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert document["metadata"]["kept"]["ERROR"] == 2
    assert 550 <= document["metadata"]["kept"]["INFO"] <= 650


def test_an_over_long_line_is_cut_where_asked(kubectl: Kubectl, operator: Operator, noisy: str) -> None:
    """The resource sets the limit, and the cut is a gap."""
    resource, document = look(kubectl, "short-lines", limits={"lineBytes": "4"}, container="^quiet$")
    assert [entry["line"] for entry in document["data"]] == ["one", "two", "thre"]
    assert [gap["reason"] for gap in resource["status"]["gaps"]] == ["LineTruncated"]


@pytest.mark.parametrize(
    ("logs", "containers"),
    [
        ({"container": "^no"}, {"noisy"}),
        ({"excludeContainer": ["^no", "nothing"]}, {"quiet"}),
        ({"containerStates": ["terminated"]}, {"noisy", "quiet"}),
        ({"containerStates": ["running"]}, set()),
    ],
    ids=["a name", "all but a name", "a state", "a state that none has"],
)
def test_containers_are_selected_as_stern_does(
    kubectl: Kubectl, operator: Operator, noisy: str, logs: dict[str, Any], containers: set[str]
) -> None:
    """Regular expressions and states select containers."""
    name = "select-" + "-".join(logs).lower() + str(len(containers))
    _, document = look(kubectl, name, **logs)
    assert {entry["container"] for entry in document["data"]} == containers


def test_a_broken_expression_is_refused(kubectl: Kubectl, operator: Operator) -> None:
    """The resource fails at once, with the reason."""
    resource = kubectl.investigate("broken-expression", targets=[{"pod": "any"}], logs={"container": "(a"})
    assert resource["status"]["phase"] == "Failed"
    (message,) = {condition["message"] for condition in resource["status"]["conditions"] if condition["type"] == "Succeeded"}
    assert "spec.logs" in message
    assert "not a regular expression" in message
