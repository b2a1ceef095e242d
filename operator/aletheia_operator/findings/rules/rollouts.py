"""Rules for rollouts that hang, and for changes within the window."""

from collections.abc import Iterator, Mapping
from typing import Any

from aletheia_operator.findings.case import Case, clock, condition_of
from aletheia_operator.findings.changes import Rollout, rollouts_of
from aletheia_operator.findings.finding import Finding, Link, Subject
from aletheia_operator.findings.objects import Fact, Object, Workload
from aletheia_operator.findings.releases import releases_of
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

MAX_QUOTED = 140


def stuck(case: Case) -> Iterator[Finding]:
    """Yield the rollouts that do not finish, and what they changed."""
    for fact, item in case.objects("Deployment"):
        condition = condition_of(item, "Progressing")
        if condition.get("reason") != "ProgressDeadlineExceeded":
            continue
        status, spec = item.get("status") or {}, item.get("spec") or {}
        available = int(status.get("availableReplicas") or 0)
        updated, wanted = int(status.get("updatedReplicas") or 0), int(spec.get("replicas", 1))
        new = f"the new revision has {updated} of {counted(wanted, 'pod')}, {available} available"
        yield _finding(case, fact, new, condition.get("lastTransitionTime"), "error" if available else "critical")
    for fact, item in case.objects("StatefulSet", "DaemonSet"):
        if why := _unfinished(item):
            yield _finding(case, fact, why, None, "warning")
    for fact, item in case.objects("Deployment"):
        if (item.get("spec") or {}).get("paused"):
            finding = _finding(case, fact, "it is paused", None, "warning")
            finding.rule, finding.depth, finding.confidence = "RolloutPaused", 50, "certain"
            yield finding


def _finding(case: Case, fact: Fact, what: str, first: str | None, severity: Any) -> Finding:
    subject = fact.workload.subject or Subject(fact.kind, fact.name)
    latest = latest_rollout(fact.workload)
    changed = f"; {latest['summary']}" if latest else ""
    since = f" (since {clock(first)})" if first else ""
    return Finding(
        rule="RolloutStuck",
        severity=severity,
        confidence="likely",
        subject=subject,
        message=one_line(f"{subject.name}: the rollout hangs: {what}{since}{changed}", 250),
        depth=50,
        first_seen=first,
        links=(fact.link,),
        remedy="undo the rollout, or correct what it changed",
    )


def _unfinished(item: Object) -> str:
    """Describe the unfinished rollout of a StatefulSet or DaemonSet; '' if it is finished, or may still progress."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    if item["kind"] == "StatefulSet":
        wanted = int(spec.get("replicas", 1))
        if status.get("currentRevision") == status.get("updateRevision") or int(status.get("readyReplicas") or 0) >= wanted:
            return ""
        return f"the new revision has {int(status.get('updatedReplicas') or 0)} of {counted(wanted, 'pod')}"
    wanted = int(status.get("desiredNumberScheduled") or 0)
    updated, missing = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberUnavailable") or 0)
    if updated >= wanted or not missing:
        return ""
    return f"the new revision has {updated} of {counted(wanted, 'pod')}, {missing} unavailable"


def latest_rollout(workload: Workload) -> Mapping[str, Any] | None:
    """Return the latest rollout of a workload; None if there was none."""
    return max(workload.rollouts, key=lambda rollout: int(rollout["revision"]), default=None)


def changes(case: Case) -> Iterator[Finding]:
    """Yield rollouts, scalings and changed ConfigMaps within the window. Severity `info`: a change alone is no problem."""
    for workload in case.evidence.objects.workloads:
        yield from (_rollout(rollout) for rollout in rollouts_of(case, workload) if rollout.in_window)
    for event in case.events("ScalingReplicaSet", "SuccessfulRescale"):
        if event.subject.kind in ("Deployment", "HorizontalPodAutoscaler") and not _is_part_of_rollout(event.message):
            yield _change(
                case.workload(event.subject), "Scaled", f"{event.subject.name}: {event.message}", event.first, event.link
            )
    for release in releases_of(case):
        if release.at and case.in_window(release.at):
            message = f"{release.workload.name}: applied by {release}"
            yield _change(release.workload, "Applied", message, release.at, release.link)
    for fact, item in case.objects("ConfigMap"):
        changed = item.get("changedAt") or item["metadata"].get("creationTimestamp")
        if item.get("exists") is not False and changed and case.in_window(changed) and fact.name != "kube-root-ca.crt":
            subject = fact.workload.subject or Subject("ConfigMap", fact.name)
            yield _change(subject, "ConfigChanged", f"ConfigMap {fact.name} changed", changed, fact.link)


def _rollout(rollout: Rollout) -> Finding:
    words = f"revision {rollout.number} rolled out: {rollout.words}" if rollout.changes else rollout.summary
    finding = _change(rollout.workload, "Rollout", f"{rollout.workload.name}: {words}", rollout.created, rollout.link)
    finding.details = rollout.to_json()
    return finding


def _change(subject: Subject, rule: str, message: str, first: str | None, link: Link | None) -> Finding:
    return Finding(
        rule=rule,
        severity="info",
        confidence="certain",
        subject=subject,
        message=one_line(f"{message} (at {clock(first)})" if first else message, 250),
        depth=90,
        first_seen=first,
        links=(link,) if link else (),
    )


def _is_part_of_rollout(message: str) -> bool:
    """Return whether an event of scaling is a step of a rollout, which scales two ReplicaSets in turn."""
    return "from 0 to" in message or message.endswith(" to 0") or "to 0 from" in message
