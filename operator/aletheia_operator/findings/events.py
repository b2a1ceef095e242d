"""Collects facts about Kubernetes events: warnings, and other events that rules read."""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from aletheia_operator.findings.artifact_reader import ArtifactReader
from aletheia_operator.findings.finding import Link, Subject

MAX_WARNINGS = 5_000
MAX_OTHERS = 1_000
MAX_MESSAGE = 1_000
MAX_NAME = 253  # characters of a reason, and of an object's name: the API does not limit them in events
INFORMATIVE = frozenset({
    "ScalingReplicaSet", "SuccessfulRescale", "NodeNotReady", "NodeReady", "Killing", "Evicted", "Preempted",
    "TaintManagerEviction", "Rebooted", "NodeNotSchedulable", "NodeSchedulable", "BackOff", "TooManyMissedTimes",
    "MissSchedule", "ExternalProvisioning", "WaitForFirstConsumer", "Completed", "SawCompletedJob", "NodeHasDiskPressure",
    "NodeHasInsufficientMemory", "NodeHasInsufficientPID", "JobAlreadyActive", "NoPods", "SuccessfulCreate",
})  # fmt: skip
"""Reasons of events of type Normal that rules read."""


_TROUBLE = re.compile(r"Fail|Err|Invalid|Denied|Forbidden|Reject|Lost|Missing|NotFound|Unable|Conflict|Exceed|Degraded|Timeout")


def names_trouble(reason: str) -> bool:
    """Return whether the reason of an event says that something failed. Some controllers give such events the type Normal."""
    return _TROUBLE.search(reason) is not None


@dataclass(frozen=True, slots=True)
class Event:
    """Equal events of one object. `field_path`: the part of a pod, for example `spec.containers{app}`."""

    subject: Subject
    reason: str
    message: str
    warning: bool
    first: str
    last: str
    count: int
    field_path: str
    link: Link

    @property
    def container(self) -> str:
        """Name of the container; '' if the event is not about a container."""
        return self.field_path.partition("{")[2].rstrip("}")


@dataclass
class EventFacts:
    """The events that rules read, in order of their first time."""

    events: list[Event] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    """Owner (`kind/name`) of each deleted pod, by the pod's name."""
    warnings: int = 0
    others: int = 0
    left_out: int = 0

    def add(self, event: Event) -> None:
        """Keep an event, if there is room."""
        if event.warning and self.warnings < MAX_WARNINGS:
            self.warnings += 1
        elif not event.warning and self.others < MAX_OTHERS:
            self.others += 1
        else:
            self.left_out += 1
            return
        self.events.append(event)

    def of(self, *reasons: str) -> Iterator[Event]:
        """Yield the events with one of these reasons."""
        return (event for event in self.events if event.reason in reasons)


class EventReader(ArtifactReader[EventFacts]):
    """Reads an artifact of data/events."""

    def __init__(self, facts: EventFacts, lock: threading.Lock, reasons: frozenset[str]) -> None:
        """`reasons`: also keep events with these reasons."""
        super().__init__(facts, lock)
        self._informative = INFORMATIVE | reasons
        self._found: list[Event] = []

    def _read_entry(self, encoded: bytes, link: Link) -> None:
        event = orjson.loads(encoded)
        warning = event["type"] == "Warning"
        if not warning and event["reason"] not in self._informative and not names_trouble(event["reason"]):
            return
        if len(self._found) >= MAX_WARNINGS + MAX_OTHERS:
            with self._lock:
                self._facts.left_out += 1
            return
        involved = event["object"]
        self._found.append(
            Event(
                subject=Subject(str(involved.get("kind") or "")[:MAX_NAME], str(involved.get("name") or "")[:MAX_NAME]),
                reason=str(event["reason"])[:MAX_NAME],
                message=str(event["message"])[:MAX_MESSAGE],
                warning=warning,
                first=event["first"],
                last=event["last"],
                count=int(event["count"]),
                field_path=str(involved.get("fieldPath") or ""),
                link=link,
            )
        )

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        super().close(path, metadata)
        with self._lock:
            for event in self._found:
                self._facts.add(event)
            for gone in metadata.get("pods_gone") or []:
                self._facts.owners[str(gone["name"])] = str(gone.get("owner") or "")
