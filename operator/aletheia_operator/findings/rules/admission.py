"""Rules for pods that the API server refuses: quotas, limit ranges, pod security, webhooks, service accounts."""

import re
from collections.abc import Iterator

from aletheia_operator.findings.case import Case, clock, condition_of, earlier
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Link, Subject
from aletheia_operator.text.display import one_line

MAX_QUOTED = 130
_CONTROLLERS = ("ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController", "Deployment", "CronJob")
_QUOTA = re.compile(
    r"exceeded quota: ([^,\s]{1,253}), requested: (\S{1,200}(?:,\S{1,200})*?), used: (\S{1,300}), limited: (\S{1,300})"
)
_MUST = re.compile(r"failed quota: ([^:\s]{1,253}): must specify (.{1,100})")
_SECURITY = re.compile(r"violates PodSecurity \"([^\"]{1,60})\": (.{1,400})", re.DOTALL)
_WEBHOOK_DOWN = re.compile(r"failed calling webhook \"([^\"]{1,253})\": (.{1,300})", re.DOTALL)
_WEBHOOK = re.compile(r"admission webhook \"([^\"]{1,253})\" denied the request: ?(.{0,600})", re.DOTALL)
_POLICY = re.compile(r"ValidatingAdmissionPolicy '([^']{1,253})'.{0,200}?denied request: ?(.{0,600})", re.DOTALL)
_ACCOUNT = re.compile(r"error looking up service account ([^:\s]{1,300})")
_LIMITS = re.compile(r"(?:maximum|minimum) \S{1,60} usage per \w{1,20} is [^,\]]{1,60}, but (?:limit|request) is [^,.\]]{1,40}")


def refused(case: Case) -> Iterator[Finding]:
    """Yield why controllers cannot create pods."""
    refusals: dict[Subject, tuple[str, str | None, list[Link], bool]] = {}
    for event in case.events("FailedCreate", "FailedCreatePodContainer"):
        if event.subject.kind in _CONTROLLERS:
            subject = case.workload(event.subject)
            message, first, links, lasts = refusals.get(subject, (event.message, None, [], False))
            refusals[subject] = event.message, earlier(first, event.first), [*links, event.link], lasts or case.lasts(event)
    for fact, item in case.objects("ReplicaSet", "Deployment", "StatefulSet", "Job"):
        condition = condition_of(item, "ReplicaFailure")
        if condition.get("status") == "True" and condition.get("reason") == "FailedCreate":
            subject = fact.workload.subject or Subject(fact.kind, fact.name)
            message, first, links, _ = refusals.get(subject, (str(condition.get("message")), None, [], True))
            refusals[subject] = message, earlier(first, condition.get("lastTransitionTime")), [fact.link, *links], True
    for subject, (message, first, links, lasts) in refusals.items():
        rule, what = reason_of(message)
        over = not _is_short(case, subject) and not (lasts and not case.evidence.objects.counts["Pod"])
        yield Finding(
            rule=rule,
            severity="info" if over else "critical",
            confidence="certain",
            subject=subject,
            message=f"{subject.name}: pods cannot be created: {what} (since {clock(first)})",
            depth=6,
            first_seen=first,
            links=tuple(links),
            remedy="raise the limit or ask for less" if rule in ("QuotaExceeded", "LimitRange") else "",
        )


def _is_short(case: Case, subject: Subject) -> bool:
    """Return whether a workload has fewer pods than it wants."""
    for fact, item in case.objects(subject.kind):
        if fact.name == subject.name:
            spec, status = item.get("spec") or {}, item.get("status") or {}
            if subject.kind == "DaemonSet":
                return int(status.get("numberAvailable") or 0) < int(status.get("desiredNumberScheduled") or 0)
            if subject.kind in ("Job", "CronJob"):
                return not any(condition.get("type") == "Complete" for condition in status.get("conditions") or [])
            wanted = int(spec.get("replicas", 1))
            rolled_out = int(status.get("updatedReplicas") or 0) if subject.kind == "Deployment" else wanted
            return int(status.get("availableReplicas") or 0) < wanted or rolled_out < wanted
    return True


def reason_of(message: str) -> tuple[str, str]:
    """Return the rule for a refusal, and its reason as a short text."""
    message = " ".join(message[:1000].split())
    if quota := _QUOTA.search(message):
        return "QuotaExceeded", one_line(
            f"quota {quota[1]} is exceeded: {quota[2]} asked, {quota[3]} used of {quota[4]}", MAX_QUOTED
        )
    if must := _MUST.search(message):
        return "QuotaExceeded", one_line(f"quota {must[1]} demands {must[2]}", MAX_QUOTED)
    if limits := _LIMITS.findall(message):
        return "LimitRange", one_line(f"limit range: {'; '.join(limits[:2])}", MAX_QUOTED)
    if security := _SECURITY.search(message):
        return "PodSecurity", one_line(f"pod security {security[1]} forbids: {security[2]}", MAX_QUOTED)
    if webhook := _WEBHOOK_DOWN.search(message):
        return "WebhookUnavailable", f"webhook {one_line(webhook[1], 60)} does not answer: {excerpt(webhook[2], MAX_QUOTED)}"
    if webhook := _WEBHOOK.search(message) or _POLICY.search(message):
        return "AdmissionRefused", f"{one_line(webhook[1], 60)} refuses: {excerpt(webhook[2], MAX_QUOTED)}"
    if account := _ACCOUNT.search(message):
        return "ServiceAccountMissing", one_line(f"service account {account[1]} does not exist", MAX_QUOTED)
    return "AdmissionRefused", one_line(message.partition("forbidden: ")[2] or message, MAX_QUOTED)
