"""The evidence of one session for the rules: facts, and indexes over them. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from aletheia_operator.findings.events import Event
from aletheia_operator.findings.evidence import Evidence
from aletheia_operator.findings.finding import Subject
from aletheia_operator.findings.objects import Fact, Object
from aletheia_operator.text.timestamps import format_time

LASTING_SECONDS = 300.0
NEW_SECONDS = 300.0
"""Time for which a pod was ready, within the window, before the first line of a kind: from then on the kind is new."""
_GENERATED = ("ReplicaSet", "Job", "DaemonSet", "StatefulSet", "ReplicationController")


@dataclass
class Case:
    """Evidence with indexes. `namespace`: the Investigation's."""

    evidence: Evidence
    namespace: str
    start: str = field(init=False)
    end: str = field(init=False)

    def __post_init__(self) -> None:
        self.start, self.end = format_time(self.evidence.start), format_time(self.evidence.end)

    def in_window(self, stamp: str | None) -> bool:
        """Return whether a time is in the window. True if it is not known."""
        return not stamp or self.start[:19] <= stamp[:19] <= self.end[:19]

    def pods(self) -> Iterator[tuple[Fact, Object]]:
        """Yield all unhealthy pods and a few healthy ones."""
        return self.evidence.objects.of("Pod")

    def objects(self, *kinds: str) -> Iterator[tuple[Fact, Object]]:
        return self.evidence.objects.of(*kinds)

    def events(self, *reasons: str) -> Iterator[Event]:
        return self.evidence.events.of(*reasons)

    def events_of_pods(self, *reasons: str) -> Mapping[Subject, list[Event]]:
        """Return the events of pods with these reasons, by workload."""
        found: dict[Subject, list[Event]] = {}
        for event in self.events(*reasons):
            if event.subject.kind == "Pod":
                found.setdefault(self.workload(event.subject), []).append(event)
        return found

    @cached_property
    def by_subject(self) -> Mapping[Subject, list[Event]]:
        """Return the events of each object."""
        found: dict[Subject, list[Event]] = defaultdict(list)
        for event in self.evidence.events.events:
            found[event.subject].append(event)
        return found

    @cached_property
    def _named(self) -> list[Subject]:
        """Return the workloads, those with the longest names first."""
        subjects = [workload.subject for workload in self.evidence.objects.workloads if workload.subject is not None]
        return sorted(subjects, key=lambda subject: -len(subject.name))

    def workload(self, subject: Subject) -> Subject:
        """Return the workload that an object belongs to; the object itself if none is known."""
        objects, events = self.evidence.objects, self.evidence.events
        known = objects.pods.get(subject.name) if subject.kind == "Pod" else objects.created.get((subject.kind, subject.name))
        if known is not None and known.subject is not None:
            return known.subject
        if subject.kind == "Pod" and (owner := events.owners.get(subject.name)):
            kind, _, name = owner.partition("/")
            made_by = next(
                (workload for workload in self._named if (workload.kind.lower(), workload.name) == (kind.lower(), name)), None
            )
            return made_by or self.workload(Subject(_kind_of(kind), name))
        if subject.kind in ("Pod", "ReplicaSet", "Job"):
            made_by = next((workload for workload in self._named if f"{subject.name}-".startswith(f"{workload.name}-")), None)
            if made_by is None and subject.name in self.evidence.logs.services:
                return Subject("Service", subject.name)
            return made_by or subject
        return subject

    def is_healthy(self, subject: Subject) -> bool:
        """Return whether a pod, or every pod of a workload, is healthy. False if none is known."""
        objects = self.evidence.objects
        if subject.kind == "Pod":
            return subject.name in objects.healthy
        if subject in self._done:
            return True
        pods = self._pods_of.get(subject, ())
        return bool(pods) and all(pod in objects.healthy for pod in pods)

    def healthy_pods(self, subject: Subject) -> tuple[int, int]:
        """Return the number of healthy pods of a workload, and the number of all its pods."""
        pods = self._pods_of.get(subject, ())
        return sum(pod in self.evidence.objects.healthy for pod in pods), len(pods)

    @cached_property
    def _done(self) -> set[Subject]:
        """Return the Jobs and CronJobs with a complete Job and no failed one."""
        complete, failed = set(), set()
        for fact, job in self.objects("Job"):
            subject = fact.workload.subject or Subject("Job", fact.name)
            if condition_of(job, "Failed").get("status") == "True":
                failed.add(subject)
            elif condition_of(job, "Complete").get("status") == "True":
                complete.add(subject)
        return complete - failed

    @cached_property
    def _pods_of(self) -> Mapping[Subject, list[str]]:
        found: dict[Subject, list[str]] = defaultdict(list)
        for pod, workload in self.evidence.objects.pods.items():
            found[workload.subject or Subject("Pod", pod)].append(pod)
        return found

    def lines_of(self, subject: Subject) -> int:
        """Return the number of log lines of a workload's pods."""
        return self._lines_of[subject]

    @cached_property
    def _lines_of(self) -> Counter[Subject]:
        found: Counter[Subject] = Counter()
        for pod, lines in self.evidence.logs.lines_of.items():
            found[self.workload_of_pod(pod)] += lines
        return found

    @cached_property
    def crashed(self) -> set[Subject]:
        """Return the workloads with a container that ended with an error, or is being restarted."""
        found = set()
        for fact, pod in self.pods():
            for _, status, _ in containers_of(pod):
                state = status.get("state") or {}
                ends = (state.get("terminated") or {}).get("exitCode"), (status.get("lastState") or {}).get("terminated")
                if any(ends) or status.get("restartCount"):
                    found.add(fact.workload.subject or Subject("Pod", fact.name))
        return found

    @cached_property
    def ready_since(self) -> Mapping[str, str]:
        """Return the time since which each ready pod is ready, by name."""
        ready = ((fact.name, condition_of(pod, "Ready")) for fact, pod in self.pods())
        return {
            name: condition["lastTransitionTime"]
            for name, condition in ready
            if condition.get("status") == "True" and condition.get("lastTransitionTime")
        }

    def is_new(self, pod: str, first: str) -> bool:
        """Return whether a pod had been ready for long when it logged the first line of a kind. False if that is not known."""
        ready = self.ready_since.get(pod)
        lasted = seconds_between(max(ready, self.start), first) if ready else None
        return lasted is not None and lasted >= NEW_SECONDS

    @cached_property
    def leaving(self) -> set[str]:
        """Return the names of the pods that are being deleted."""
        return {fact.name for fact, pod in self.pods() if pod["metadata"].get("deletionTimestamp")}

    def is_gone(self, pod: str) -> bool:
        """Return whether a pod was deleted, or is being deleted."""
        return pod in self.leaving or pod in self.evidence.events.owners

    def lasts(self, event: Event) -> bool:
        """Return whether an event was repeated near the end of the window."""
        left = seconds_between(event.last, self.end)
        return left is not None and left <= LASTING_SECONDS

    def workload_of_pod(self, pod: str) -> Subject:
        return self.workload(Subject("Pod", pod))


def _kind_of(kind: str) -> str:
    kinds = ("Deployment", "CronJob", "Pod", *_GENERATED)
    return next((known for known in kinds if known.lower() == kind.lower()), kind)


def clock(stamp: str | None) -> str:
    """Return hours and minutes of a time, for a message."""
    return stamp[11:16] if stamp else "?"


def seconds_between(first: str | None, second: str | None) -> float | None:
    """Return the seconds from the first time to the second; None if either is not known."""
    if not first or not second:
        return None
    try:
        return (parse(second) - parse(first)).total_seconds()
    except ValueError:
        return None


def parse(stamp: str) -> datetime:
    """Parse a time with any number of digits. Raises ValueError."""
    return datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC)


def earlier(*stamps: str | None) -> str | None:
    """Return the earliest of the known times; None if none is known."""
    return min((stamp for stamp in stamps if stamp), default=None)


def containers_of(pod: Object) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], bool]]:
    """Yield specification, status ({} without one) of each container, and whether it is an init container."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    for specs, statuses, is_init in (
        ("initContainers", "initContainerStatuses", True),
        ("containers", "containerStatuses", False),
    ):
        by_name = {container.get("name"): container for container in status.get(statuses) or []}
        for container in spec.get(specs) or []:
            yield container, by_name.get(container["name"]) or {}, is_init


def condition_of(item: Object, kind: str) -> Mapping[str, Any]:
    """Return a condition of an object's status; {} if it has none."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == kind), {})
