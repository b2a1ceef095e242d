"""Findings about thousands of pods take time in proportion to their number."""

import time
from collections.abc import Callable

import pytest

from aletheia_operator.findings import judge
from tests.unit.evidence import NAMESPACE, Incident, event, pod, running

MOST_SECONDS = 2.0
"""They take a fifth of it. Compared each with each, they take three times as long, or longer."""


def unmounted() -> Incident:
    """Pods of one workload, each with an event about a volume."""
    incident = Incident().add(*(pod(f"web-1-{number}", running(ready=False)) for number in range(2500)))
    return incident.add_event(*(event("FailedMount", "no such volume", f"web-1-{number}") for number in range(2500)))


@pytest.mark.parametrize("made", [unmounted])
def test_many_of_them_take_time_in_proportion(made: Callable[[], Incident]) -> None:
    evidence = made().evidence()
    began = time.perf_counter()
    verdict = judge(evidence, NAMESPACE, 0)
    assert time.perf_counter() - began < MOST_SECONDS
    assert verdict.failed == []
