"""Rules for pods that do not progress, without an error: init containers, Jobs, readiness gates, agents without a node."""

from collections.abc import Collection, Iterator

from aletheia_operator.findings.case import Case, clock, condition_of, containers_of, seconds_between
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Link, Subject
from aletheia_operator.findings.objects import Fact
from aletheia_operator.text.display import one_line

INIT_SECONDS = 30.0
"""An init container that runs longer than this is reported."""
MAX_QUOTED = 110


def init_containers(case: Case) -> Iterator[Finding]:
    """Yield the init containers that do not end, with their last words."""
    seen: set[tuple[Subject, str]] = set()
    for fact, pod in case.pods():
        subject = fact.workload.subject or Subject("Pod", fact.name)
        for container, status, is_init in containers_of(pod):
            since = ((status.get("state") or {}).get("running") or {}).get("startedAt")
            lasted = seconds_between(since, case.end) or 0.0
            sidecar = container.get("restartPolicy") == "Always"
            if not is_init or sidecar or lasted < INIT_SECONDS or (subject, container["name"]) in seen:
                continue
            seen.add((subject, container["name"]))
            words, link = last_words(case, {fact.name}, container["name"])
            yield _finding(
                fact, subject, "InitContainerRuns", f"init container {container['name']} has not ended{words}", since, link
            )


def job_sidecars(case: Case) -> Iterator[Finding]:
    """Yield the Jobs that do not end because one container still runs after another has succeeded."""
    for fact, pod in case.pods():
        if not any(owner.get("kind") == "Job" for owner in pod["metadata"].get("ownerReferences") or []):
            continue
        states = {
            container["name"]: status.get("state") or {} for container, status, is_init in containers_of(pod) if not is_init
        }
        done = {name: state["terminated"] for name, state in states.items() if "terminated" in state}
        running = sorted(name for name, state in states.items() if "running" in state)
        if not running or not done or any(ended.get("exitCode") for ended in done.values()):
            continue
        since = max(str(ended.get("finishedAt") or "") for ended in done.values())
        if (seconds_between(since, case.end) or 0.0) < INIT_SECONDS:
            continue
        what = f"the Job does not end: {', '.join(done)} has done its work, and {', '.join(running)} still runs"
        finding = _finding(fact, fact.workload.subject or Subject("Pod", fact.name), "JobSidecar", what, since, None)
        finding.remedy = "make it a sidecar: an init container with restartPolicy Always"
        yield finding


def last_words(case: Case, pods: Collection[str], container: str = "") -> tuple[str, Link | None]:
    """Return what pods that do not end logged last, for a message, and the link to it; '' and None without logs."""
    line = case.evidence.logs.last_words(pods, container)
    return (f": {excerpt(line.text, MAX_QUOTED)}", line.link) if line is not None else ("", None)


def readiness_gates(case: Case) -> Iterator[Finding]:
    """Yield the pods that wait for a condition that another controller sets."""
    found: dict[Subject, Finding] = {}
    for fact, pod in case.pods():
        ready = condition_of(pod, "Ready")
        if ready.get("reason") != "ReadinessGatesNotReady" or pod["metadata"].get("deletionTimestamp"):
            continue
        subject = fact.workload.subject or Subject("Pod", fact.name)
        if (known := found.get(subject)) is not None:
            known.pods |= {fact.name}
            continue
        gates = [
            str(gate.get("conditionType"))
            for gate in pod["spec"].get("readinessGates") or []
            if condition_of(pod, str(gate.get("conditionType"))).get("status") != "True"
        ]
        what = f"its readiness gate {one_line(', '.join(gates), MAX_QUOTED)} is not met"
        found[subject] = _finding(fact, subject, "ReadinessGate", what, ready.get("lastTransitionTime"), None)
        found[subject].severity, found[subject].confidence = "critical", "certain"
        found[subject].remedy = "look at the controller that sets the condition"
    yield from found.values()


def agents(case: Case) -> Iterator[Finding]:
    """Yield the DaemonSets without a node: none matches their node selector or affinity."""
    for fact, item in case.objects("DaemonSet"):
        status = item.get("status") or {}
        if status.get("desiredNumberScheduled") != 0 or "observedGeneration" not in status:
            continue
        spec = ((item.get("spec") or {}).get("template") or {}).get("spec") or {}
        selector = spec.get("nodeSelector")
        why = f"no node matches its node selector {one_line(str(selector), 80)}" if selector else "no node takes its pods"
        finding = _finding(fact, fact.workload.subject or Subject("DaemonSet", fact.name), "NoNodeForAgent", why, None, None)
        finding.pods, finding.confidence = frozenset(), "certain"
        finding.remedy = "label nodes, or correct the node selector"
        yield finding


def _finding(fact: Fact, subject: Subject, rule: str, what: str, since: str | None, link: Link | None) -> Finding:
    return Finding(
        rule=rule,
        severity="warning",
        confidence="likely",
        subject=subject,
        message=f"{subject.name}: {what}" + (f" (since {clock(since)})" if since else ""),
        depth=31,
        first_seen=since,
        links=(fact.link, *([link] if link else [])),
        pods=frozenset([fact.name]),
    )
