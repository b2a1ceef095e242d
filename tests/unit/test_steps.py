"""The next step for a resource: one table of cases, no I/O."""

from typing import Any

import pytest

from aletheia_operator.api.status import TERMINAL_PHASES
from aletheia_operator.handlers.steps import Known, Step, next_step

NEW: dict[str, Any] = {}
SUSPENDED = {"phase": "Pending", "observedGeneration": 2, "conditions": [{"type": "Ready", "reason": "Suspended"}]}
RUNNING = {"phase": "Running", "observedGeneration": 2}
COMPLETED = {"phase": "Completed", "observedGeneration": 2}
OLD = {"phase": "Completed", "observedGeneration": 1}
OURS, THEIRS = {"operator": "us"}, {"operator": "them"}
US = Known(operator="us")
GONE = Known(contested=True, operator="us", other_is_gone=True)
DELETED = {"deletionTimestamp": "2026-11-22T12:00:00Z"}


@pytest.mark.parametrize(
    ("spec", "status", "metadata", "known", "step"),
    [
        pytest.param({}, NEW, {}, US, Step.START, id="a new one is captured"),
        pytest.param({}, RUNNING, {}, US, Step.START, id="one that a dead process left is taken up"),
        pytest.param({}, {**RUNNING, **OURS}, {}, US, Step.START, id="also one that is marked as ours"),
        pytest.param({"cancel": True}, NEW, {}, US, Step.START, id="a cancelled one is brought to its end"),
        pytest.param({}, RUNNING, {}, Known(active=True), Step.STEER, id="one that runs here is steered"),
        pytest.param({}, COMPLETED, {}, Known(active=True), Step.STEER, id="also while its last status is written"),
        pytest.param({"suspend": True}, NEW, {}, US, Step.SUSPEND, id="a suspended one says so"),
        pytest.param({"suspend": True}, SUSPENDED, {}, US, Step.NOTHING, id="and says it once"),
        pytest.param({"suspend": True}, SUSPENDED, {"generation": 3}, US, Step.SUSPEND, id="once for each generation"),
        pytest.param({"suspend": True}, SUSPENDED, {}, Known(is_new=True), Step.SUSPEND, id="and once for each process"),
        pytest.param({"suspend": True, "cancel": True}, SUSPENDED, {}, US, Step.START, id="suspended and cancelled: it ends"),
        pytest.param({}, SUSPENDED, {}, US, Step.START, id="no longer suspended: it begins"),
        pytest.param({}, COMPLETED, {}, US, Step.NOTHING, id="one that has ended wants nothing"),
        pytest.param({}, OLD, {}, US, Step.ACKNOWLEDGE, id="a change after the end is acknowledged"),
        pytest.param({}, RUNNING, {}, Known(ended=True), Step.NOTHING, id="an old view of one that ended here"),
        pytest.param({}, OLD | RUNNING, {}, Known(ended=True), Step.NOTHING, id="an old view without a change"),
        pytest.param({"suspend": True}, COMPLETED, {}, US, Step.NOTHING, id="suspended after the end: nothing"),
        pytest.param({}, NEW, DELETED, US, Step.NOTHING, id="one that is being deleted is not begun"),
        pytest.param({}, RUNNING, DELETED, Known(active=True), Step.STEER, id="but ends what it has begun"),
        pytest.param({}, COMPLETED, DELETED, US, Step.NOTHING, id="one that ended and is held by a finalizer"),
        pytest.param({}, {**RUNNING, **THEIRS}, {}, US, Step.MARK_CONTESTED, id="another operator captures it"),
        pytest.param({}, {**RUNNING, **THEIRS}, {}, Known(contested=True, operator="us"), Step.NOTHING, id="said once"),
        pytest.param({}, {**RUNNING, **THEIRS}, {}, GONE, Step.START, id="the other operator is gone: it is taken over"),
        pytest.param({}, {**COMPLETED, **THEIRS}, {}, GONE, Step.NOTHING, id="also when it is gone, what it ended has ended"),
        pytest.param({}, {**OLD, **THEIRS}, {}, US, Step.NOTHING, id="another operator acknowledges what it captured"),
        pytest.param({}, {**RUNNING, **THEIRS}, {}, Known(), Step.START, id="who we are is not known yet: the claim decides"),
    ],
)
def test_the_next_step(spec: Any, status: Any, metadata: Any, known: Known, step: Step) -> None:
    """It follows from the resource and from what this process knows of it."""
    body = {"metadata": {"generation": 2, **metadata}, "spec": spec, "status": status}
    assert next_step(body, known) is step


@pytest.mark.parametrize("phase", sorted(TERMINAL_PHASES))
def test_no_end_is_begun_again(phase: str) -> None:
    """For any state of an Investigation that has ended, nothing is captured."""
    for spec in ({}, {"cancel": True}, {"suspend": True}, {"suspend": True, "cancel": True}):
        for generation in (1, 2):
            body = {"metadata": {"generation": generation}, "spec": spec, "status": {"phase": phase, "observedGeneration": 1}}
            assert next_step(body, US) in (Step.NOTHING, Step.ACKNOWLEDGE)
