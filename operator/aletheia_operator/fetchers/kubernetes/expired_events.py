"""Determines whether events of the window have expired, and which are known to be lost. Pure.

An API server drops an event an hour after it was last written, unless its --event-ttl says otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.event_list import Event, Events, Subject
from aletheia_operator.fetchers.kubernetes.references import MIRROR
from aletheia_operator.fetchers.kubernetes.resources import Object
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import format_time

DEFAULT_TTL = timedelta(hours=1)  # kube-apiserver --event-ttl
TTL_SLACK = timedelta(minutes=5)  # an Investigation with a lookback of an hour runs a little later
NEAR = timedelta(seconds=10)  # an event may be written this long before or after what it reports
SOON = timedelta(minutes=1)
MAX_NAMED = 3
_STARTS = ("Pulled", "Created", "Started", "BackOff")
_DESIRED = "deployment.kubernetes.io/desired-replicas"


@dataclass(frozen=True)
class ExpectedEvent:
    """Something that happened to an object, according to its status, and for which controllers write an event.

    `reported_by`: reasons of the events that report it, at any time. Empty: any event of the object at about that time does.
    """

    subject: Subject
    uid: str
    at: datetime
    what: str
    reported_by: tuple[str, ...] = ()

    def is_reported(self, events: Sequence[Event]) -> bool:
        """Return whether one of the object's events reports it."""
        for event in events:
            if event.uid not in (self.uid, ""):
                continue
            began, ended = self.at - event.first, event.last - self.at  # as differences: a time may be of the year 1
            if self.reported_by and event.reason in self.reported_by and began >= -NEAR and ended >= -NEAR:
                return True
            if not self.reported_by and -SOON <= began <= NEAR:
                return True
        return False


def expected_events(item: Object) -> list[ExpectedEvent]:
    """Return what happened to a pod or ReplicaSet, by its status: scheduling, starts of containers, or a rollout."""
    metadata = item["metadata"]
    if item["kind"] == "Pod":
        return list(_expected_of_pod(item))
    annotations = metadata.get("annotations") or {}
    if item["kind"] == "ReplicaSet" and annotations.get(_DESIRED, "0") != "0":
        made = datetime.fromisoformat(metadata["creationTimestamp"])
        return [ExpectedEvent(("ReplicaSet", metadata["name"]), metadata["uid"], made, "rolled out")]
    return []


def _expected_of_pod(pod: Object) -> Iterable[ExpectedEvent]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    subject, uid = ("Pod", metadata["name"]), metadata["uid"]
    if MIRROR in (metadata.get("annotations") or {}):
        return  # a static pod's events have the uid of its file
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "True" and condition.get("lastTransitionTime"):
            yield ExpectedEvent(subject, uid, datetime.fromisoformat(condition["lastTransitionTime"]), "scheduled")
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or []:
            for started in _starts_of(container):
                yield ExpectedEvent(subject, uid, started, f"container {container['name']} started", _STARTS)


def _starts_of(container: Mapping[str, Any]) -> Iterable[datetime]:
    for state in (container.get("lastState") or {}, container.get("state") or {}):
        for run in (state.get("terminated"), state.get("running")):
            if run and run.get("startedAt"):
                yield datetime.fromisoformat(run["startedAt"])


def expired(events: Events, expected: Sequence[ExpectedEvent], now: datetime) -> list[Missing]:
    """Return a gap if events of the window are known to be lost, a note if some may be lost; [] if the window is recent enough.

    Known to be lost: a target's status reports something, and the event for it is gone. May be lost: the window begins before
    the oldest event that is left.
    """
    start = events.window.start
    if start >= now - DEFAULT_TTL - TTL_SLACK or (events.oldest is not None and events.oldest <= start):
        return []
    left = f"the oldest one left in this namespace is of {format_time(events.oldest)}" if events.oldest else "none is left"
    why = f"the API server keeps events for an hour by default, and {left}"
    lost = _lost(events, expected, now)
    if not lost:
        message = (
            f"the window begins at {format_time(start)}, but {why}: no target is known to have lost one, but"
            " earlier events, and pods that had gone before, are not known"
        )
        return [Missing("events", GapReason.EVENTS_EXPIRED, message, "note")]
    named = ", ".join(
        f"{event.subject[0].lower()}/{one_line(event.subject[1], 80)} ({event.what} at {format_time(event.at)})"
        for event in lost[:MAX_NAMED]
    )
    more = f" and {len(lost) - MAX_NAMED} more" if len(lost) > MAX_NAMED else ""
    message = (
        f"events within the window are gone: of {named}{more}. It begins at {format_time(start)}, but {why};"
        " pods that had gone before may be missing, too, and no later Investigation can capture them"
    )
    return [Missing("events", GapReason.EVENTS_EXPIRED, message)]


def _lost(events: Events, expected: Sequence[ExpectedEvent], now: datetime) -> list[ExpectedEvent]:
    """Return the expected events of the window that are missing and may have expired, the oldest first."""
    alive = min(now - DEFAULT_TTL, events.oldest or now)  # events written since then are still there
    window: Window = events.window
    old = [
        expected_event
        for expected_event in expected
        if window.start <= expected_event.at <= window.end and expected_event.at < alive
    ]
    by_subject: dict[Subject, list[Event]] = {}
    for kind in ("Pod", "ReplicaSet"):
        for event in events.of_kind(kind):
            by_subject.setdefault(event.subject, []).append(event)
    lost = [
        expected_event for expected_event in old if not expected_event.is_reported(by_subject.get(expected_event.subject, ()))
    ]
    return sorted(lost, key=lambda expected_event: (expected_event.at, expected_event.subject))
