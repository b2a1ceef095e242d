"""Findings about thousands of pods, budgets and databases take time in proportion to their number."""

import time
from collections.abc import Callable

import pytest

from aletheia_operator.findings import judge
from aletheia_operator.findings.case import Case
from aletheia_operator.findings.rules.categories import categories
from tests.unit.evidence import NAMESPACE, Incident, event, found, item, pod, running, workloads

MOST_SECONDS = 2.0
"""They take a fifth of it. Compared each with each, they take three times as long, or longer."""
LIMITED = "more than one PodDisruptionBudget matches it"


def unmounted() -> Incident:
    """Pods of one workload, each with an event about a volume."""
    incident = Incident().add(*(pod(f"web-1-{number}", running(ready=False)) for number in range(2500)))
    return incident.add_event(*(event("FailedMount", "no such volume", f"web-1-{number}") for number in range(2500)))


def budgeted() -> Incident:
    """Budgets that match every pod."""
    budgets = (item("PodDisruptionBudget", f"b{number}", {"selector": {}}) for number in range(700))
    return Incident(shared=[*budgets]).add(*(pod(f"web-1-{number}", running()) for number in range(4000)))


def labelled() -> Incident:
    """Budgets that ask for much, and pods of which no two have the same labels."""
    needed = [{"key": f"k{number}", "operator": "NotIn", "values": ["x"]} for number in range(100)]
    budgets = (item("PodDisruptionBudget", f"b{number}", {"selector": {"matchExpressions": needed}}) for number in range(50))
    pods = (pod(f"web-1-{number}", running(), labels={"n": str(number)}) for number in range(2000))
    return Incident(shared=[*budgets]).add(*pods)


def evicted() -> Incident:
    """Workloads of which each pod has two budgets, and refused evictions of other pods."""
    incident = workloads(*(f"w{number}" for number in range(400)))
    incident.shared = [item("PodDisruptionBudget", name, {"selector": {}}) for name in ("a", "b")]
    return incident.add_event(*(event("Drain", f"{LIMITED} {'z' * 300}", f"gone-{number}") for number in range(5000)))


@pytest.mark.parametrize("made", [unmounted, budgeted, labelled, evicted])
def test_many_of_them_take_time_in_proportion(made: Callable[[], Incident]) -> None:
    evidence = made().evidence()
    began = time.perf_counter()
    verdict = judge(evidence, NAMESPACE, 0)
    assert time.perf_counter() - began < MOST_SECONDS
    assert verdict.failed == []


def test_many_databases_that_refuse_sessions_take_time_in_proportion() -> None:
    """Whether the other workloads are well is looked up once for all of them."""
    incident = workloads(*(f"pg{number}" for number in range(400)))
    for number in range(400):
        role = chr(97 + number // 26) + chr(97 + number % 26)  # in lines of other words, which are counted apart
        said = f'2026-11-22 14:00:00.000 UTC [77] FATAL:  role "{role}" does not exist'
        incident.log(f"pg{number}-1-a", *(f"{minute} {said}" for minute in range(0, 60, 10)))
    case = Case(incident.evidence(), NAMESPACE)
    began = time.perf_counter()
    assert len(list(categories(case))) == 400
    assert time.perf_counter() - began < MOST_SECONDS


def test_a_refused_eviction_is_of_the_pod_that_it_names() -> None:
    """Not of another one of which the name begins alike."""
    incident = Incident(shared=[item("PodDisruptionBudget", name, {"selector": {}}) for name in ("a", "b")])
    incident.add(pod("web-1", running())).add_event(event("Drain", f"shop/web-10: {LIMITED}", "n1", "Node"))
    assert found(incident, "DisruptionBudgetsOverlap").severity == "info"
    incident.add_event(event("Drain", f'"web-1": {LIMITED}', "n1", "Node"))
    assert found(incident, "DisruptionBudgetsOverlap").severity == "warning"
