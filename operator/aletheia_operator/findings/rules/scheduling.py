"""Rules for pods that are not scheduled: scarce resources, taints, affinity, volumes."""

import re
from collections.abc import Iterator

from aletheia_operator.findings.case import Case, clock, condition_of
from aletheia_operator.findings.finding import Finding, Link, Subject
from aletheia_operator.findings.objects import Object
from aletheia_operator.findings.quantities import amount_of, shown
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

MAX_QUOTED = 110
_INSUFFICIENT = re.compile(r"(\d{1,6}) Insufficient ([a-z0-9](?:[a-z0-9./-]{0,58}[a-z0-9])?)")
_TAINT = re.compile(r"(\d{1,6}) node\(s\) had untolerated taints? ?\{([^}]{0,120})\}")
_NODES = re.compile(r"0/(\d{1,6}) nodes are available")
_CAUSES = (  # in the order of the message
    ("unbound immediate PersistentVolumeClaims", "its volume claim is not bound", 12),
    ("didn't find available persistent volumes to bind", "no volume fits its claim", 10),
    ("persistentvolumeclaim \"", "its volume claim does not exist", 10),
    ("volume node affinity conflict", "its volume lies in another zone or on another node", 10),
    ("didn't match Pod's node affinity/selector", "no node matches its node selector or affinity", 10),
    ("didn't match pod affinity rules", "no node matches its pod affinity", 10),
    ("didn't match pod anti-affinity rules", "its anti-affinity leaves no node", 10),
    ("didn't match pod topology spread constraints", "its topology spread constraints leave no node", 10),
    ("didn't have free ports", "its host port is taken on every node", 10),
    ("node(s) were unschedulable", "the nodes are cordoned", 10),
    ("exceed max volume count", "the nodes have no room for more volumes", 10),
    ("Too many pods", "the nodes have no room for more pods", 10),
)  # fmt: skip


def unschedulable(case: Case) -> Iterator[Finding]:
    """Yield why pods are not scheduled."""
    found: dict[tuple[Subject, str], Finding] = {}
    for fact, pod in case.pods():
        condition = condition_of(pod, "PodScheduled")
        if condition.get("status") != "False" or pod["metadata"].get("deletionTimestamp"):
            continue
        subject = fact.workload.subject or Subject("Pod", fact.name)
        message = str(condition.get("message") or "")
        events = [event for event in case.by_subject.get(Subject("Pod", fact.name), ()) if event.reason == "FailedScheduling"]
        if events and not message:
            message = events[-1].message
        what, depth = reason_of(message, pod, case)
        if condition.get("reason") == "SchedulingGated":
            what, depth = "its scheduling gates are not removed", 10
        if (known := found.get((subject, what))) is not None:
            known.pods |= {fact.name}
            known.links += (fact.link,)
            continue
        links: tuple[Link, ...] = (fact.link, *(event.link for event in events[:2]))
        found[subject, what] = _finding(case, subject, what, depth, pod, links)
    for finding in found.values():
        if len(finding.pods) > 1:
            finding.message = finding.message.replace("a pod is not", f"{len(finding.pods)} pods are not", 1)
        yield finding


def _finding(case: Case, subject: Subject, what: str, depth: int, pod: Object, links: tuple[Link, ...]) -> Finding:
    first = condition_of(pod, "PodScheduled").get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")
    ready, _ = case.healthy_pods(subject)
    return Finding(
        rule="Unschedulable",
        severity="error" if ready else "critical",
        confidence="certain",
        subject=subject,
        message=f"{subject.name}: a pod is not scheduled: {what} (since {clock(first)})",
        depth=depth,
        first_seen=first,
        links=links,
        remedy="ask for less, add nodes, or change what keeps the pod from them",
        pods=frozenset([pod["metadata"]["name"]]),
    )


def reason_of(message: str, pod: Object, case: Case) -> tuple[str, int]:
    """Return why the scheduler found no node, as a short text, and the depth of that cause."""
    message = message[:2000]
    parts = []
    depth = 10
    nodes = _NODES.search(message)
    for count, resource in _INSUFFICIENT.findall(message)[:3]:
        requested = sum((amount_of(_request(container, resource)) for container in pod["spec"].get("containers") or []), 0.0)
        largest = max((amount_of(_allocatable(node, resource)) for _, node in case.objects("Node")), default=0.0)
        size = f"; a node has {shown(largest, resource)} at most" if largest and requested > largest else ""
        parts.append(
            f"insufficient {resource} on {count} of {counted(int(nodes[1] if nodes else count), 'node')},"
            f" {shown(requested, resource)} asked{size}"
        )
    for words, cause, cause_depth in _CAUSES:
        if words in message:
            parts.append(cause)
            depth = max(depth, cause_depth)
    if 'persistentvolumeclaim "' in message:
        parts = [one_line(message.partition(": ")[2].partition(". ")[0] or message, MAX_QUOTED)]
    if "node affinity/selector" in message and (selector := pod["spec"].get("nodeSelector")):
        parts = [f"{part} {one_line(str(selector), 60)}" if "node selector" in part else part for part in parts]
    if not parts:
        parts = _other_reasons(message)
    for count, taint in _TAINT.findall(message)[:2]:
        key = taint.partition(":")[0].strip()
        parts.append(f"taint {key} on {count} node{'' if count == '1' else 's'} is not tolerated")
    return ("; ".join(parts) or one_line(message, MAX_QUOTED) or "the scheduler gives no reason"), depth


def _other_reasons(message: str) -> list[str]:
    """Return at most two reasons from a scheduler's message, in its own words, for causes that are not in `_CAUSES`."""
    _, available, reasons = message.partition("nodes are available: ")
    words = reasons.partition(". ")[0] if available else ""
    return [
        one_line(word.strip(), MAX_QUOTED) for word in words.split(", ")[:2] if word.strip() and "untolerated taint" not in word
    ]


def _request(container: Object, resource: str) -> str:
    resources = container.get("resources") or {}
    return str((resources.get("requests") or {}).get(resource) or (resources.get("limits") or {}).get(resource) or "0")


def _allocatable(node: Object, resource: str) -> str:
    return str(((node.get("status") or {}).get("allocatable") or {}).get(resource) or "0")
