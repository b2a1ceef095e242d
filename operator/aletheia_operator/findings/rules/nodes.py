"""Rules for nodes with problems, and for the pods that they lost: conditions, memory, evictions, preemption."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aletheia_operator.findings.case import Case, clock, condition_of, earlier, seconds_between
from aletheia_operator.findings.events import Event
from aletheia_operator.findings.finding import Finding, Link, Severity, Subject
from aletheia_operator.findings.quantities import amount_of
from aletheia_operator.text.display import one_line

MAX_QUOTED = 180
BOOT_SECONDS = 900.0  # seconds after its creation in which a node may be not ready
_PRESSURES = {
    "MemoryPressure": "is short of memory", "DiskPressure": "is short of disk", "PIDPressure": "is short of process ids",
    "NetworkUnavailable": "has no network",
}  # fmt: skip
_EVENTS = {
    "NodeNotReady": "was not ready",
    "Rebooted": "was rebooted",
    "SystemOOM": "ran out of memory",
    "EvictionThresholdMet": "evicted pods to win resources back",
    "NodeHasDiskPressure": "was short of disk",
    "NodeHasInsufficientMemory": "was short of memory",
}
_CAUSES = ("Rebooted", "SystemOOM")
"""Reasons that explain the others."""
_MARKS = ("NodeNotSchedulable", "NodeSchedulable")
_OUT_OF_SERVICE = ("NodeNotReady", "Rebooted")
"""Reasons of events that a node has when it is taken out of service."""
_DISRUPTIONS = {
    "PreemptionByScheduler": "preempted by a pod of higher priority",
    "DeletionByTaintManager": "removed, since its node has a taint that it does not tolerate",
    "DeletionByPodGC": "removed, since its node is gone",
}


_REMOVED = tuple(words for reason, words in _DISRUPTIONS.items() if reason.startswith("Deletion"))
"""Words for pods that left a node: what their replacements suffer from is more telling."""
_EVICTED = {
    "Evicted": ("Evicted", "evicted"),
    "Preempted": ("Preempted", "preempted"),
    "TaintManagerEviction": ("Removed", _DISRUPTIONS["DeletionByTaintManager"]),
}
"""Rule and words of a pod's event, by its reason."""
_DRAINED = "Removed", "asked to leave its node"
"""Rule and words of an event `Evicted` of type Normal: a controller drains the node. The kubelet's own are warnings."""
_USED = re.compile(r"was using (\d\S{0,20}?), request is")
MUCH_BYTES = 256.0 * 1024**2
"""Use of memory or disk from which on an evicted pod may be the reason for its node's shortage."""
_OTHER_ENDS = ("", "Evicted", "DeadlineExceeded", "Preempting")
"""Reasons of failed pods that were not refused by their node."""


def nodes(case: Case) -> Iterator[Finding]:
    """Yield the nodes that have or had problems."""
    by_node: dict[str, Finding] = {}
    created: dict[str, str] = {}
    for fact, node in case.objects("Node"):
        subject = Subject("Node", fact.name)
        created[fact.name] = str(node["metadata"].get("creationTimestamp") or "")
        ready = condition_of(node, "Ready")
        if ready and ready.get("status") != "True":
            why = one_line(str(ready.get("message") or ready.get("reason")), MAX_QUOTED)
            by_node[fact.name] = _finding(case, subject, "NodeNotReady", f"is not ready: {why}", ready, fact.link, "critical")
            continue
        for kind, what in _PRESSURES.items():
            condition = condition_of(node, kind)
            if condition.get("status") == "True":
                by_node[fact.name] = _finding(case, subject, kind, what, condition, fact.link, "error")
    for event in sorted(case.events(*_EVENTS), key=lambda event: event.reason not in _CAUSES):
        if event.subject.kind == "Node" and event.subject.name not in by_node:
            what = _EVENTS[event.reason]
            finding = _finding(
                case, event.subject, event.reason, what, {"lastTransitionTime": event.first}, event.link, "warning"
            )
            if event.reason == "SystemOOM":
                finding.message = f"node {event.subject.name} {what}: {one_line(event.message, MAX_QUOTED)}"
                finding.severity = "error"
            age = seconds_between(created.get(event.subject.name), event.first)
            if (age is not None and age < BOOT_SECONDS) or _was_drained(case, event, finding.pods):
                finding.severity = "info"
            by_node[event.subject.name] = finding
    yield from by_node.values()


def _was_drained(case: Case, event: Event, pods: Iterable[str]) -> bool:
    """Return whether a node was taken out of service: it took no new pods, and only its DaemonSets' pods were left.

    `pods`: those that are on it now. Those that were made later came after it was in service again.
    """
    marks = (known for known in case.by_subject.get(event.subject, ()) if known.reason in _MARKS and known.first <= event.first)
    latest = max(marks, key=lambda mark: mark.first, default=None)
    taken_out = event.reason in _OUT_OF_SERVICE and latest is not None and latest.reason == "NodeNotSchedulable"
    left = (pod for pod in pods if case.evidence.objects.made.get(pod, "") <= event.first)
    return taken_out and all(case.workload_of_pod(pod).kind == "DaemonSet" for pod in left)


def _finding(
    case: Case, subject: Subject, rule: str, what: str, condition: Mapping[str, Any], link: Link, severity: Severity
) -> Finding:
    first = condition.get("lastTransitionTime")
    pods = frozenset(pod for pod, node in case.evidence.objects.nodes.items() if node == subject.name)
    return Finding(
        rule=rule,
        severity=severity,
        confidence="certain",
        subject=subject,
        message=f"node {subject.name} {what} (since {clock(first)})",
        depth=0,
        first_seen=first,
        links=(link,),
        pods=pods,
        nodes=frozenset([subject.name]),
    )


def evictions(case: Case) -> Iterator[Finding]:
    """Yield the pods that were evicted or preempted, and why."""
    reports: dict[tuple[Subject, str, str], tuple[str, str | None, list[Link], set[str]]] = {}

    def add(pod: str, rule: str, what: str, first: str | None, link: Link) -> None:
        key = case.workload_of_pod(pod), rule, what.partition(":")[0]
        words, before, links, pods = reports.get(key, (what, None, [], set()))
        reports[key] = words, earlier(before, first), [*links, link], {*pods, pod}

    for fact, pod in case.pods():
        status, disrupted = pod.get("status") or {}, condition_of(pod, "DisruptionTarget")
        if status.get("phase") == "Failed" and (reason := str(status.get("reason") or "")) not in _OTHER_ENDS:
            what = f"refused by its node ({reason}): {one_line(str(status.get('message')), MAX_QUOTED)}"
            add(fact.name, "PodRejected", what, status.get("startTime") or pod["metadata"].get("creationTimestamp"), fact.link)
        elif status.get("reason") == "Evicted":
            what = f"evicted: {one_line(str(status.get('message')), MAX_QUOTED)}"
            events = (event.first for event in case.by_subject.get(Subject("Pod", fact.name), ()) if event.reason == "Evicted")
            first = disrupted.get("lastTransitionTime") or earlier(*events) or status.get("startTime")
            add(fact.name, "Evicted", what, first, fact.link)
        elif disrupted.get("status") == "True" and (known := _DISRUPTIONS.get(str(disrupted.get("reason")))):
            what = f"{known}: {one_line(str(disrupted.get('message')), MAX_QUOTED)}"
            rule = "Removed" if known in _REMOVED else "Preempted"
            add(fact.name, rule, what, disrupted.get("lastTransitionTime"), fact.link)
    for event in case.events("Evicted", "Preempted", "TaintManagerEviction"):
        if event.subject.kind == "Pod" and "Cancelling" not in event.message:
            rule, what = _EVICTED[event.reason] if event.warning or event.reason != "Evicted" else _DRAINED
            add(event.subject.name, rule, f"{what}: {one_line(event.message, MAX_QUOTED)}", event.first, event.link)
    merged = _merged(reports)
    _blame_largest(case, merged, reports)
    for finding in merged:
        finding.aside = finding.rule == "Removed"
        if finding.rule in ("Removed", "Preempted") and case.is_healthy(finding.subject):
            finding.severity = "info"  # other pods replaced those that were removed
    yield from merged


def _blame_largest(case: Case, merged: Sequence[Finding], reports: "Reports") -> None:
    """Set the depth of the evicted workload that used most: it explains the shortage of its node, and the other evictions."""
    used: dict[Subject, float] = defaultdict(float)
    for (subject, rule, _), (what, _, _, _) in reports.items():
        if rule == "Evicted":
            used[subject] = max([used[subject], *(amount_of(amount) for amount in _USED.findall(what))])
    evicted = [finding for finding in merged if finding.rule == "Evicted"]
    for finding in evicted:
        finding.nodes = frozenset(case.evidence.objects.nodes[pod] for pod in finding.pods & case.evidence.objects.nodes.keys())
    largest = max(evicted, key=lambda finding: used[finding.subject], default=None)
    if largest is not None and used[largest.subject] >= MUCH_BYTES:
        largest.depth = 0


Reports = Mapping[tuple[Subject, str, str], tuple[str, str | None, list[Link], set[str]]]


def _merged(reports: Reports) -> list[Finding]:
    """Return one finding for each workload and rule."""
    merged: dict[tuple[Subject, str], Finding] = {}
    for (subject, rule, _), (what, first, links, pods) in reports.items():
        if (known := merged.get((subject, rule))) is not None:
            known.links += tuple(links)
            known.pods |= pods
            continue
        merged[subject, rule] = Finding(
            rule=rule,
            severity="error",
            confidence="certain",
            subject=subject,
            message=f"{subject.name}: {what} (at {clock(first)})",
            depth=5,
            first_seen=first,
            links=tuple(links),
            remedy="set requests and limits by what the pod uses" if rule == "Evicted" else "",
            pods=frozenset(pods),
        )
    return list(merged.values())
