"""Finds pods that lived within the window and are gone, by the names that controllers generate and by events. Pure.

How controllers name pods: k8s.io/apiserver `names.SimpleNameGenerator` cuts the controller's name and dash at 58 characters
and adds 5 random ones; an indexed Job keeps `-INDEX-` before these; a StatefulSet adds its ordinal.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.fetchers.kubernetes.event_list import Event, Events, Subject, times_of
from aletheia_operator.fetchers.kubernetes.resources import Object
from aletheia_operator.fetchers.kubernetes.revisions import Revision
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import format_time

MAX_PREFIX = 58  # characters of a generated name before the random ones
_RANDOM = 5
_RANDOM_END = re.compile(rf"[a-z0-9]{{{_RANDOM}}}$")
_INDEX_END = re.compile(r"-\d{1,9}-$")
_GENERATING = ("ReplicaSet", "ReplicationController", "DaemonSet", "Job")
_OWN_PODS = (*_GENERATING, "StatefulSet")
_MADE = {"Deployment": "ReplicaSet", "CronJob": "Job"}
MAX_MESSAGE = 1024  # characters of a message that are read; the API's own messages are shorter
_NAME = r"([a-z0-9][-a-z0-9.]*)"
_SCALED = re.compile(rf"(?:replica set|job:?) {_NAME}", re.IGNORECASE)  # in messages of Deployments' and CronJobs' controllers
_OF_POD = re.compile(rf"(?:Created|Deleted) pod: {_NAME}|(?:create|delete) Pod {_NAME} in StatefulSet")
_ASSIGNED = re.compile(rf"Successfully assigned \S+ to {_NAME}$")
EVICTED_AFTER = timedelta(minutes=10)  # pods are deleted 5 minutes after their node went away, unless they tolerate it longer
_NODE_LOST = ("NodeNotReady", "TaintManagerEviction")  # a pod's events if its node went away


@dataclass
class GonePod:
    """A pod that lived within the window and is no longer there."""

    name: str
    owner: str
    replaced: bool = False
    first: datetime | None = None
    last: datetime | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    node: str | None = None
    revision: str | None = None

    def add_event(self, event: Event) -> None:
        """Add an event of the pod, or of its controller about it."""
        self.reasons[event.reason] = self.reasons.get(event.reason, 0) + event.count
        self.first = min(self.first or event.first, event.first)
        self.last = max(self.last or event.last, event.last)

    @property
    def lost_its_node(self) -> bool:
        """Return whether its events say that its node was no longer ready."""
        return any(reason in self.reasons for reason in _NODE_LOST)

    def may_explain(self, event: Object) -> bool:
        """Return whether a node's event may explain why this pod is gone: the node was not ready when the pod lost its node."""
        if event.get("reason") != "NodeNotReady" or self.first is None or self.last is None:
            return False
        first, last, _ = times_of(event)
        return first <= self.last and self.first - last <= EVICTED_AFTER

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "owner": self.owner,
            "replaced": self.replaced,
            "first": format_time(self.first) if self.first else None,
            "last": format_time(self.last) if self.last else None,
            "reasons": self.reasons,
            "node": self.node,
            "revision": self.revision,
        }

    def message(self) -> str:
        what = "was replaced by another of its name" if self.replaced else "is gone"
        seen = f", seen from {format_time(self.first)} to {format_time(self.last)}" if self.first and self.last else ""
        reasons = ", ".join(f"{reason} ({count}x)" if count > 1 else reason for reason, count in self.reasons.items())
        revision = f", {self.revision}" if self.revision else ""
        node = f" It ran on node {one_line(self.node, 63)}." if self.node else ""
        return (
            f"a pod of {self.owner}{revision} {what}{seen}; its events: {reasons}.{node} The API has its logs no longer:"
            " look for an older session, or in a store of logs"
        )


class FollowedControllers:
    """Controllers of which all pods are targets, with their display names and known pods."""

    def __init__(self) -> None:
        self._display_names: dict[Subject, str] = {}
        self._names: set[str] = set()
        self._generating: dict[str, list[Subject]] = {}  # by the beginning of the names that they generate
        self._long_jobs: list[Subject] = []
        self._makers: dict[str, Subject] = {}  # pod → the controller that made or deleted it, according to events
        self._naming_events: dict[str, list[Event]] = {}  # pod → these events

    def add(self, subject: Subject, display_name: str) -> bool:
        """Follow a controller, and return whether it is new. `display_name`: display name of its target."""
        if subject in self._display_names:
            return False
        self._display_names[subject] = display_name
        self._names.add(subject[1])
        kind, name = subject
        if kind in _GENERATING or (
            kind == "Deployment" and len(name) >= MAX_PREFIX
        ):  # names of its ReplicaSets are cut before the hash
            self._generating.setdefault(f"{name}-"[:MAX_PREFIX], []).append(subject)
        if kind == "Job" and len(name) > MAX_PREFIX - len("-0-"):
            self._long_jobs.append(subject)
        return True

    def display_name(self, subject: Subject) -> str | None:
        """Return the controller's display name; None if it is not followed."""
        return self._display_names.get(subject)

    def may_name(self, name: str) -> bool:
        """Return whether a followed controller, or one that it created, may have generated that name."""
        if any(name[:at] in self._names for at in _dashes(name)):
            return True
        return len(name) == MAX_PREFIX + _RANDOM and bool(self.owner(name))

    def learn(self, events: Events) -> set[Subject]:
        """Learn from controllers' events what they created: it may be gone. Returns the new controllers."""
        new = set()
        for kind, made in _MADE.items():
            for event in events.of_kind(kind):
                display_name = self._display_names.get(event.subject)
                for found in _SCALED.findall(event.message[:MAX_MESSAGE]) if display_name else ():
                    if found.startswith(f"{event.name}-") and self.add((made, found), display_name or ""):
                        new.add((made, found))
        for kind in _OWN_PODS:
            for event in events.of_kind(kind):
                if (match := _OF_POD.search(event.message[:MAX_MESSAGE])) is not None:
                    pod = match[1] or match[2]
                    self._makers[pod] = event.subject
                    self._naming_events.setdefault(pod, []).append(event)
        return new

    def owner(self, pod: str) -> list[Subject]:
        """Return the followed controllers that may have created the pod: several if their names begin alike; [] if none."""
        if (maker := self._makers.get(pod)) is not None:
            return [maker] if maker in self._display_names else []
        stem, _, ordinal = pod.rpartition("-")
        if ordinal.isdecimal() and ("StatefulSet", stem) in self._display_names:
            return [("StatefulSet", stem)]
        if not _RANDOM_END.search(pod):
            return []
        prefix = pod[:-_RANDOM]
        if found := self._generating.get(prefix):
            return found
        if (index := _INDEX_END.search(prefix)) is None:
            return []
        name = prefix[: index.start()]
        if ("Job", name) in self._display_names:
            return [("Job", name)]
        was_cut = len(prefix) == MAX_PREFIX
        return [job for job in self._long_jobs if was_cut and job[1].startswith(name)]

    def named_pods(self) -> Iterator[tuple[str, list[Event]]]:
        """Yield the pods that events of followed controllers name, with these events."""
        for pod, events in self._naming_events.items():
            if self._makers[pod] in self._display_names:
                yield pod, events


def _dashes(name: str) -> Iterator[int]:
    at = name.find("-")
    while at >= 0:
        yield at
        at = name.find("-", at + 1)


def find_gone_pods(
    events: Events, controllers: FollowedControllers, present: Mapping[str, str], revisions: Mapping[Subject, Revision]
) -> dict[str, GonePod]:
    """Return the pods of followed controllers that are gone, by name, in order. They include earlier pods of present names.

    `present`: the uid of each present pod, by name. An earlier pod of that name has events with another uid.
    """
    found: dict[str, GonePod] = {}

    def gone(name: str) -> GonePod | None:
        if name not in found:
            owners = controllers.owner(name)
            if not owners and name not in present:
                return None
            display_name = controllers.display_name(owners[0]) if owners else None
            pod = GonePod(name, display_name or "the targets", name in present)
            pod.revision = _revision(revisions.get(owners[0])) if len(owners) == 1 else None
            found[name] = pod
        return found[name]

    def add(event: Event) -> None:
        is_of_present = event.name in present and event.uid in (present[event.name], "")
        if not is_of_present and (pod := gone(event.name)) is not None:
            pod.add_event(event)
            pod.node = pod.node or _node_of(event)

    for event in (*events.of_kind("Pod"), *events.around_window()):
        add(event)
    for event in events.last_events_of_running_pods():
        completes = any(kind == "Job" for kind, _ in controllers.owner(event.name))  # and is then removed without an event
        if not completes:
            add(event)
    for name, naming in controllers.named_pods():
        if name not in present and name not in found and (pod := gone(name)) is not None:
            for event in naming:  # its own events have expired, too
                pod.add_event(event)
    return dict(sorted(found.items()))


def _node_of(event: Event) -> str | None:
    """Return the node in an event of a pod, as the kubelet or the scheduler reports it; None if it names none."""
    if event.host:
        return event.host
    assigned = _ASSIGNED.search(event.message[:MAX_MESSAGE]) if event.reason == "Scheduled" else None
    return assigned[1] if assigned else None


def _revision(revision: Revision | None) -> str | None:
    if revision is None:
        return None
    images = ", ".join(f"{name} {image}" for name, image in revision.images.items())
    return f"revision {revision.number} ({one_line(images, 150)})"
