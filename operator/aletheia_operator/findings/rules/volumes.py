"""Rules for claims that are not bound, and for mounts that fail."""

import re
from collections.abc import Iterator

from aletheia_operator.findings.case import Case, clock, earlier
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Subject

MAX_QUOTED = 120
SETS_OWNER = "VolumePermissionChangeInProgress"
MOUNTS = (SETS_OWNER, "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedMountOnFilesystemMismatch")
_SETUP = re.compile(r"MountVolume\.\w{1,40} failed for volume \"([^\"]{1,120})\" ?: ?")
_OWNED = re.compile(r"Setting volume ownership for (?:[^/\s]{1,80}/volumes/[^/\s]{1,80}/)?")


def claims(case: Case) -> Iterator[Finding]:
    """Yield the claims that are not bound, and why."""
    for fact, claim in case.objects("PersistentVolumeClaim"):
        subject = Subject("PersistentVolumeClaim", fact.name)
        phase = (claim.get("status") or {}).get("phase")
        events = [
            event for event in case.by_subject.get(subject, ()) if event.warning or event.reason == "ExternalProvisioning"
        ]
        explanation = next((event for event in reversed(events) if event.warning), events[-1] if events else None)
        storage_class = (claim.get("spec") or {}).get("storageClassName")
        if claim.get("exists") is False:
            what = "does not exist"
        elif phase == "Lost":
            what = "has lost its volume"
        elif phase == "Pending" and (explanation is not None or not _waits_for_pod(case, subject)):
            why = (
                excerpt(explanation.message, MAX_QUOTED)
                if explanation
                else f"storage class {storage_class or '(none)'} made no volume"
            )
            what = f"is not bound: {why}"
        else:
            continue
        first = earlier(*(event.first for event in events)) or claim["metadata"].get("creationTimestamp")
        owner = fact.workload.subject
        yield Finding(
            rule="ClaimNotBound",
            severity="critical",
            confidence="certain",
            subject=subject,
            message=f"{owner.name if owner else 'pod'}: volume claim {fact.name} {what} (since {clock(first)})",
            depth=4,
            first_seen=first,
            links=(fact.link, *((explanation.link,) if explanation else ())),
            remedy="create the claim, its storage class or a volume for it",
            pods=frozenset(pod for pod, workload in case.evidence.objects.pods.items() if workload is fact.workload),
        )


def _waits_for_pod(case: Case, subject: Subject) -> bool:
    return any(event.reason == "WaitForFirstConsumer" for event in case.by_subject.get(subject, ()))


def mounts(case: Case) -> Iterator[Finding]:
    """Yield the volumes that cannot be mounted, and why."""
    failing = case.events_of_pods(*MOUNTS)
    started = _started(case) if failing else set()
    for subject, events in failing.items():
        pods = {event.subject.name for event in events}
        known = pods & case.evidence.objects.pods.keys()
        over = not known or all(case.is_healthy(Subject("Pod", pod)) or pod in started for pod in known)
        specific = [event for event in events if not _is_general(event.message)]
        latest = max(specific or events, key=lambda event: (event.reason != SETS_OWNER and case.lasts(event), event.last))
        first = earlier(*(event.first for event in events))
        title, words = "a volume cannot be mounted", _SETUP.sub(r"\1: ", latest.message)
        remedy = "create what the volume refers to, or free it elsewhere"
        if latest.reason == SETS_OWNER:
            title, words = "a volume is not mounted yet, setting the ownership of its files takes long", _OWNED.sub("", words)
            remedy = "set fsGroupChangePolicy: OnRootMismatch in the pod's securityContext"
        yield Finding(
            rule="VolumeNotMounted",
            severity="info" if over and case.evidence.objects.pods else "critical",
            confidence="certain",
            subject=subject,
            message=f"{subject.name}: {title}: {excerpt(words, MAX_QUOTED)} (since {clock(first)})",
            depth=10,
            first_seen=first,
            links=(latest.link, *(event.link for event in events[:3] if event is not latest)),
            remedy=remedy,
            pods=frozenset(pods),
        )


def _is_general(message: str) -> bool:
    """Return whether the kubelet only says that it waited in vain for a pod's volumes."""
    waited = "unmounted volumes=" in message and message.endswith("context deadline exceeded")
    return waited or "timed out waiting for the condition" in message


def _started(case: Case) -> set[str]:
    """Return the names of the pods of which the containers were started."""
    found = set()
    for fact, pod in case.pods():
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        if statuses and all(not (status.get("state") or {}).get("waiting") or status.get("lastState") for status in statuses):
            found.add(fact.name)
    return found
