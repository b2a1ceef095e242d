"""Rules for objects that stay although they are being deleted."""

from collections.abc import Iterator

from aletheia_operator.findings.case import Case, clock, containers_of, seconds_between
from aletheia_operator.findings.finding import Finding, Severity, Subject
from aletheia_operator.findings.objects import Fact, Object
from aletheia_operator.text.display import one_line

OVERDUE_SECONDS = 60.0
"""A pod that exists longer than this after its grace period is stuck."""
_TRANSIENT = ("batch.kubernetes.io/job-tracking", "foregroundDeletion", "orphan", "kubernetes.io/pvc-protection")


def deletions(case: Case) -> Iterator[Finding]:
    """Yield pods and claims that a finalizer keeps from deletion, and pods that their node does not end."""
    for fact, item in case.objects("Pod", "PersistentVolumeClaim"):
        since = item["metadata"].get("deletionTimestamp")
        if not since:
            continue
        finalizers = [str(finalizer) for finalizer in item["metadata"].get("finalizers") or [] if finalizer not in _TRANSIENT]
        overdue = seconds_between(since, case.end) or 0.0
        if finalizers and (fact.kind != "Pod" or _is_over(item)):
            yield _finding(case, fact, f"finalizer {one_line(finalizers[0], 80)} holds it", since, "error")
        elif fact.kind == "Pod" and overdue > OVERDUE_SECONDS:
            yield _finding(case, fact, f"it has not ended {overdue:.0f} s after its grace period", since, "warning")


def _finding(case: Case, fact: Fact, why: str, since: str, severity: Severity) -> Finding:
    subject = Subject(fact.kind, fact.name)
    if fact.kind == "Pod":
        subject = case.workload_of_pod(fact.name)
    kind = "pod" if fact.kind == "Pod" else "volume claim"
    return Finding(
        rule="DeletionStuck",
        severity=severity,
        confidence="certain" if severity == "error" else "likely",
        subject=subject,
        message=f"{subject.name}: {kind} {fact.name} is being deleted and stays: {why} (since {clock(since)})",
        depth=9,
        first_seen=since,
        links=(fact.link,),
        remedy="see to the controller that removes the finalizer" if severity == "error" else "look at the pod's node",
        pods=frozenset([fact.name]) if fact.kind == "Pod" else frozenset(),
    )


def _is_over(pod: Object) -> bool:
    """Return whether no container of a pod runs."""
    return not any("running" in (status.get("state") or {}) for _, status, _ in containers_of(pod))
