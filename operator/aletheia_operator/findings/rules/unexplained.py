"""Rule for workloads with pods that are not ready, and that no other rule explains.

Reads the findings of the other rules, and reports a workload only if it has none.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from aletheia_operator.findings.case import Case, clock, condition_of, containers_of, earlier, seconds_between
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.findings.objects import Fact, Object
from aletheia_operator.text.sizes import counted

UNREADY_SECONDS = 120.0
"""Pods that are not ready for a shorter time may still start."""
_KINDS = ("Deployment", "StatefulSet", "DaemonSet")
_CONSEQUENCES = frozenset({"ServiceWithoutEndpoints"})
"""Findings that say only that pods are not ready."""


def unready(case: Case, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the workloads with pods that have not been ready for long, and what they wait for."""
    waiting: dict[Subject, list[tuple[Fact, Object, str]]] = defaultdict(list)
    for fact, pod in case.pods():
        subject, ready = fact.workload.subject, condition_of(pod, "Ready")
        since = str(ready.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp") or "")
        lasted = seconds_between(since, case.end) or 0.0
        if subject is None or subject.kind not in _KINDS or pod["metadata"].get("deletionTimestamp"):
            continue
        if ready.get("status") != "True" and (pod.get("status") or {}).get("phase") != "Failed" and lasted >= UNREADY_SECONDS:
            waiting[subject].append((fact, pod, since))
    for subject, pods in waiting.items():
        names = {fact.name for fact, _, _ in pods}
        if is_explained(found, subject, names):
            continue
        _, total = case.healthy_pods(subject)
        first = earlier(*(since for _, _, since in pods))
        yield Finding(
            rule="NotReady",
            severity="error",
            confidence="possible",
            subject=subject,
            message=f"{subject.name}: {len(pods)} of {counted(total, 'pod')} not ready: {_wait_of(pods[0][1])}"
            f" (since {clock(first)})",
            depth=36,
            first_seen=first,
            links=tuple(fact.link for fact, _, _ in pods),
            pods=frozenset(names),
        )


def _wait_of(pod: Object) -> str:
    """Return what the first container that is not ready waits for."""
    for container, status, _ in containers_of(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return f"container {container['name']} waits: {waiting['reason']}"
    unready = [
        container["name"] for container, status, is_init in containers_of(pod) if not status.get("ready") and not is_init
    ]
    return f"container {unready[0]} runs and is not ready" if unready else "no container states why"


def is_explained(found: Sequence[Finding], subject: Subject, names: set[str]) -> bool:
    """Return whether a finding is about an object, or about these pods, and does not only say that they are not ready."""
    serious = (finding for finding in found if finding.severity != "info" and finding.rule not in _CONSEQUENCES)
    return any(finding.subject == subject or finding.subject.name in names or finding.pods & names for finding in serious)
