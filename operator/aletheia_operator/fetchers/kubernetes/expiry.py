"""Tells whether events of the window have expired, and which are known to be lost. Pure.

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
NEAR = timedelta(seconds=10)  # an event is written a little before or after what it reports
SOON = timedelta(minutes=1)
MAX_NAMED = 3
_STARTS = ("Pulled", "Created", "Started", "BackOff")
_DESIRED = "deployment.kubernetes.io/desired-replicas"


@dataclass(frozen=True)
class Due:
    """Something that happened to an object by its own status, and for which controllers write an event.

    `told_by`: the reasons of the events that report it, at any time. Empty: any event of the object at about that time does.
    """

    subject: Subject
    uid: str
    at: datetime
    what: str
    told_by: tuple[str, ...] = ()

    def is_told(self, events: Sequence[Event]) -> bool:
        """Return whether one of the object's events reports it."""
        for event in events:
            if event.uid not in (self.uid, ""):
                continue
            began, ended = self.at - event.first, event.last - self.at  # as differences: a time may be of the year 1
            if self.told_by and event.reason in self.told_by and began >= -NEAR and ended >= -NEAR:
                return True
            if not self.told_by and -SOON <= began <= NEAR:
                return True
        return False


def dues_of(item: Object) -> list[Due]:
    """Return what a pod or ReplicaSet reports of itself: its scheduling, the starts of its containers, or its rollout."""
    metadata = item["metadata"]
    if item["kind"] == "Pod":
        return list(_dues_of_pod(item))
    annotations = metadata.get("annotations") or {}
    if item["kind"] == "ReplicaSet" and annotations.get(_DESIRED, "0") != "0":
        made = datetime.fromisoformat(metadata["creationTimestamp"])
        return [Due(("ReplicaSet", metadata["name"]), metadata["uid"], made, "rolled out")]
    return []


def _dues_of_pod(pod: Object) -> Iterable[Due]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    subject, uid = ("Pod", metadata["name"]), metadata["uid"]
    if MIRROR in (metadata.get("annotations") or {}):
        return  # a static pod's events have the uid of its file
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "True" and condition.get("lastTransitionTime"):
            yield Due(subject, uid, datetime.fromisoformat(condition["lastTransitionTime"]), "scheduled")
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or []:
            for started in _starts_of(container):
                yield Due(subject, uid, started, f"container {container['name']} started", _STARTS)


def _starts_of(container: Mapping[str, Any]) -> Iterable[datetime]:
    for state in (container.get("lastState") or {}, container.get("state") or {}):
        for run in (state.get("terminated"), state.get("running")):
            if run and run.get("startedAt"):
                yield datetime.fromisoformat(run["startedAt"])


def expired(events: Events, dues: Sequence[Due], now: datetime) -> list[Missing]:
    """Return a gap if events of the window are known to be lost, a note if some may be lost; [] if the window is recent enough.

    Known to be lost: a target's status reports something whose event is gone. May be lost: the window begins before the oldest
    event that is left.
    """
    start = events.window.start
    if start >= now - DEFAULT_TTL - TTL_SLACK or (events.oldest is not None and events.oldest <= start):
        return []
    left = f"the oldest one left in this namespace is of {format_time(events.oldest)}" if events.oldest else "none is left"
    why = f"the API server keeps events for an hour by default, and {left}"
    lost = _lost(events, dues, now)
    if not lost:
        message = (
            f"the window begins at {format_time(start)}, but {why}: no target is known to have lost one, but of"
            " earlier events, and of pods that were gone by then, nobody can tell any more"
        )
        return [Missing("events", GapReason.EVENTS_EXPIRED, message, "note")]
    named = ", ".join(
        f"{due.subject[0].lower()}/{one_line(due.subject[1], 80)} ({due.what} at {format_time(due.at)})"
        for due in lost[:MAX_NAMED]
    )
    more = f" and {len(lost) - MAX_NAMED} more" if len(lost) > MAX_NAMED else ""
    message = (
        f"events within the window are gone: of {named}{more}. It begins at {format_time(start)}, but {why};"
        " pods that were gone by then may be missing, too, and no later Investigation can have them"
    )
    return [Missing("events", GapReason.EVENTS_EXPIRED, message)]


def _lost(events: Events, dues: Sequence[Due], now: datetime) -> list[Due]:
    """Return the dues of the window that no event reports, and that are older than events live; oldest first."""
    alive = min(now - DEFAULT_TTL, events.oldest or now)  # events written since then are still there
    window: Window = events.window
    old = [due for due in dues if window.start <= due.at <= window.end and due.at < alive]
    by_subject: dict[Subject, list[Event]] = {}
    for kind in ("Pod", "ReplicaSet"):
        for event in events.of_kind(kind):
            by_subject.setdefault(event.subject, []).append(event)
    lost = [due for due in old if not due.is_told(by_subject.get(due.subject, ()))]
    return sorted(lost, key=lambda due: (due.at, due.subject))
