"""Kubernetes events over the window: one document for the targets, their owners, nodes and volumes.

Speaks GET /api/v1/namespaces/{namespace}/events: one list of the namespace and, where nodes are asked for, of `default`,
where events of what has no namespace lie. core/v1 also serves what was written as events.k8s.io/v1, with `eventTime` and
`series`.

Pods that lived within the window and are gone are found here, by the names that controllers give and by their events.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from aletheia_operator.api import EventsRequest, InvestigationSpec, Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources, Window
from aletheia_operator.fetchers.kubernetes_members import (
    ABSENT,
    Members,
    Object,
    controller_of,
    plural,
    pod_references,
    read_all,
    read_named,
    selects,
)
from aletheia_operator.fetchers.kubernetes_revisions import Revision, of_object
from aletheia_operator.fetchers.kubernetes_targets import describe
from aletheia_operator.text.levels import one_line
from aletheia_operator.text.timestamps import format_time

DEFAULT_TTL = timedelta(hours=1)  # kube-apiserver --event-ttl
TTL_SLACK = timedelta(minutes=5)  # a lookback of an hour is asked some moments later
MAX_EVENTS = 20_000  # distinct; of more, warnings are kept first
MAX_GONE = 500
EVENTS_PER_BATCH = 500
CLUSTER_EVENTS_NAMESPACE = "default"

_SUFFIXES = {  # what a controller adds to its own name to name a pod
    "ReplicaSet": r"[a-z0-9]{5}", "ReplicationController": r"[a-z0-9]{5}", "DaemonSet": r"[a-z0-9]{5}",
    "Job": r"(?:\d+-)?[a-z0-9]{5}", "StatefulSet": r"\d+",
}  # fmt: skip
_MADE = {"Deployment": "ReplicaSet", "CronJob": "Job"}
_NAMED = re.compile(r"(?:replica set|job:?) ([a-z0-9][-a-z0-9.]*)", re.IGNORECASE)  # in the words of their controllers

Subject = tuple[str, str]  # kind, name


class KubernetesEventsFetcher:
    """Events of the targets and of what belongs to them."""

    name = "KubernetesEvents"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """One question for all targets. Where logs alone are asked for, it is only which pods' logs are gone."""
        keep = spec.of_targets("events")
        follows = any(target.pod is None for target in spec.targets or [])
        if not keep and not (follows and spec.of_targets("logs")):
            return Plan()
        await sources.kubernetes()  # an identity that may not be used is the same gap for every fetcher, so it is said once
        request = spec.events or EventsRequest(nodes=True)
        arguments = {
            "targets": [target.to_json() for target in spec.targets or []],
            "nodes": keep and request.nodes,
            "keep": keep,
            "logs": spec.of_targets("logs"),
            "says_absent": not spec.of_targets("logs") and not spec.of_targets("objects"),
        }
        return Plan((Question(self.name, self.name, "events" if keep else "pods that are gone", arguments),))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the document. Entries, in order of their first time: {"first", "last", "count", "type", "reason", "message",
        "object": {"kind", "namespace", "name", "uid", ...}, "raw": [the API's events that say the same]}.
        """
        kubernetes = await sources.kubernetes()
        arguments = question.arguments
        targets = [Target.model_validate(target) for target in arguments["targets"]]
        subjects = Subjects(targets, sources.window)
        missing: list[Missing] = []
        await subjects.read(kubernetes, sources.namespace, missing if arguments["keep"] else [])
        if arguments["keep"]:
            await subjects.read_related(kubernetes, sources.namespace, missing, volumes=arguments["nodes"])
        events = Events(sources.window)
        what = "events" if arguments["keep"] else "which pods came and went"
        await _read(kubernetes, sources.namespace, subjects, events, missing, what)
        if arguments["nodes"]:
            await _read_of_cluster(kubernetes, subjects, events, missing)
        gone = subjects.gone(events)
        events.keep(subjects.known | {("Pod", name) for name in gone})
        missing = [one for one in missing if arguments["says_absent"] or one.reason not in ABSENT]
        if arguments["keep"]:
            missing += events.incomplete(sources.now())
        if arguments["logs"]:
            missing += _gaps(gone)
        if not missing and not (arguments["keep"] and (subjects.exist or events.found)):
            return
        yield Document(
            category="events",
            source="kubernetes",
            name=("kubernetes", sources.namespace),
            metadata={
                "namespace": sources.namespace,
                "targets": [describe(target) for target in targets],
                "oldest_event": format_time(events.oldest) if events.oldest else None,
                "pods_gone": [one.to_json() for one in gone.values()],
            },
            batches=events.batches() if arguments["keep"] else _nothing(),
            findings=Findings(summary=events.summary(), missing=missing),
        )


async def _nothing() -> AsyncGenerator[list[Any], None]:
    yield []


async def _read(
    kubernetes: Kubernetes, namespace: str, subjects: "Subjects", events: "Events", missing: list[Missing], what: str
) -> None:
    """The namespace's events that are of a subject, or of what may turn out to be one."""
    try:
        async for event in read_all(kubernetes, "Event", namespace):
            events.see(event)
            if subjects.may_know(subject_of(event)) or subjects.may_know(_related(event)):
                subjects.learn(event)
                events.add(event)
    except SourceError as e:
        missing.append(Missing(what, e.reason, e.message))


async def _read_of_cluster(kubernetes: Kubernetes, subjects: "Subjects", events: "Events", missing: list[Missing]) -> None:
    """Events of nodes and volumes: one list of each kind, of which the subjects' are kept."""
    for kind, what in (("Node", "events of nodes"), ("PersistentVolume", "events of volumes")):
        if not any(known == kind for known, _ in subjects.known):
            continue
        query = {"fieldSelector": f"involvedObject.kind={kind}"}
        try:
            async for event in read_all(kubernetes, "Event", CLUSTER_EVENTS_NAMESPACE, query):
                if subject_of(event) in subjects.known:
                    events.add(event)
        except SourceError as e:
            missing.append(Missing(what, e.reason, e.message))


def subject_of(event: Object) -> Subject:
    involved = event["involvedObject"]
    return involved.get("kind") or "", involved.get("name") or ""


def _related(event: Object) -> Subject:
    related = event.get("related") or {}
    return related.get("kind") or "", related.get("name") or ""


@dataclass
class Gone:
    """A pod that lived within the window and is no longer there."""

    name: str
    owner: str
    replaced: bool = False
    first: datetime | None = None
    last: datetime | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    node: str | None = None
    revision: str | None = None

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
        return (
            f"a pod of {self.owner}{revision} {what}{seen}; its events: {reasons}. The API has its logs no longer:"
            " look for an older session, or in a store of logs"
        )


def _gaps(gone: Mapping[str, Gone]) -> list[Missing]:
    gaps = [Missing(f"pod/{one.name}", GapReason.POD_GONE, one.message()) for one in list(gone.values())[:MAX_GONE]]
    if len(gone) > MAX_GONE:
        gaps.append(Missing("pods", GapReason.POD_GONE, f"{len(gone) - MAX_GONE} more pods are gone, and their logs with them"))
    return gaps


class Subjects:
    """Whose events are wanted."""

    def __init__(self, targets: list[Target], window: Window) -> None:
        self.targets = targets
        self.window = window
        self.known: set[Subject] = set()
        self.exist = False  # whether anything of the targets is there now
        self._claims: set[str] = set()
        self._uids: dict[str, str] = {}  # of the pods that are there now, by name
        self._followed: dict[Subject, str] = {}  # controllers whose pods are targets, and how a person calls them
        self._revisions: dict[Subject, Revision] = {}
        for target in targets:  # even of what is no longer there
            if target.pod is not None:
                self.known.add(("Pod", target.pod))
            if target.workload is not None:
                self._follow((target.workload.kind, target.workload.name), describe(target))

    def _follow(self, subject: Subject, called: str) -> None:
        self.known.add(subject)
        self._followed.setdefault(subject, called)

    async def read(self, kubernetes: Kubernetes, namespace: str, missing: list[Missing]) -> None:
        """Find out what belongs to the targets; what cannot be read is added to `missing`."""
        followed_uids: dict[str, str] = {}
        async for item in Members(kubernetes, namespace, missing).read(self.targets):
            self.exist = True
            subject = item["kind"], item["metadata"]["name"]
            self.known.add(subject)
            if item["kind"] == "Pod":
                self._uids[subject[1]] = item["metadata"]["uid"]
                self._claims |= pod_references(item)["PersistentVolumeClaim"]
                if node := item["spec"].get("nodeName"):
                    self.known.add(("Node", node))
            elif called := self._is_followed(item, followed_uids):
                followed_uids[item["metadata"]["uid"]] = called
                self._follow(subject, called)
            if revision := of_object(item):
                self._revisions[subject] = revision

    async def read_related(self, kubernetes: Kubernetes, namespace: str, missing: list[Missing], *, volumes: bool) -> None:
        """Find out what scales the targets, and which volumes they use."""
        self.known |= {("PersistentVolumeClaim", name) for name in self._claims}
        try:
            async for item in read_all(kubernetes, "HorizontalPodAutoscaler", namespace):
                scaled = item["spec"]["scaleTargetRef"]
                if (scaled.get("kind"), scaled.get("name")) in self.known:
                    self.known.add((item["kind"], item["metadata"]["name"]))
        except SourceError as e:
            missing.append(Missing(plural("HorizontalPodAutoscaler"), e.reason, e.message))
        if volumes:
            try:
                async for item in read_named(kubernetes, "PersistentVolumeClaim", namespace, self._claims):
                    if volume := item["spec"].get("volumeName"):
                        self.known.add(("PersistentVolume", volume))
            except SourceError as e:
                missing.append(Missing(plural("PersistentVolumeClaim"), e.reason, e.message))

    def _is_followed(self, item: Object, uids: Mapping[str, str]) -> str | None:
        """What a controller is called whose every pod is a target: it is one, is below one, or a selector matches its pods."""
        if called := self._followed.get((item["kind"], item["metadata"]["name"])) or uids.get(controller_of(item) or ""):
            return called
        template = (item.get("spec") or {}).get("template") or {}
        labels = (template.get("metadata") or {}).get("labels") or {}
        for target in self.targets:
            if target.selector is not None and labels and selects(target.selector.to_json(), labels):
                return f"{item['kind'].lower()}/{item['metadata']['name']}"
        return None

    def may_know(self, subject: Subject) -> bool:
        """Whether a subject is known, or is named as a followed controller names what it makes."""
        if subject in self.known:
            return True
        kind, name = subject
        return kind in ("Pod", "ReplicaSet", "Job") and any(name.startswith(f"{above}-") for _, above in self._followed)

    def learn(self, event: Object) -> None:
        """A controller's event names what it made, which may be gone by now."""
        kind, name = subject_of(event)
        made = _MADE.get(kind)
        called = self._followed.get((kind, name))
        if made is None or called is None:
            return
        for found in _NAMED.findall(event.get("message") or ""):
            if found.startswith(f"{name}-"):
                self._follow((made, found), called)

    def gone(self, events: "Events") -> dict[str, Gone]:
        """Pods of followed controllers that are no longer there, and earlier ones of the names that are; by name.

        They have events in the window, with another uid than that of the pod that is there now.
        """
        found: dict[str, Gone] = {}
        owners: dict[str, Subject | None] = {}
        for event in events.of_pods():
            if event.name in self._uids and event.uid in (self._uids[event.name], ""):
                continue
            if event.name not in owners:
                owners[event.name] = self._owner(event.name)
            owner, replaced = owners[event.name], event.name in self._uids
            if owner is None and not replaced:
                continue
            if event.name not in found:
                called = self._followed[owner] if owner else "the targets"
                found[event.name] = Gone(event.name, called, replaced, revision=self._revision(owner))
            one = found[event.name]
            one.reasons[event.reason] = one.reasons.get(event.reason, 0) + event.count
            one.first = min(one.first or event.first, event.first)
            one.last = max(one.last or event.last, event.last)
            one.node = one.node or event.host
        return dict(sorted(found.items()))

    def _owner(self, pod: str) -> Subject | None:
        for kind, name in self._followed:
            if kind in _SUFFIXES and pod.startswith(f"{name}-") and re.fullmatch(_SUFFIXES[kind], pod[len(name) + 1 :]):
                return kind, name
        return None

    def _revision(self, owner: Subject | None) -> str | None:
        revision = self._revisions.get(owner) if owner else None
        if revision is None:
            return None
        images = ", ".join(f"{name} {image}" for name, image in revision.images.items())
        return f"revision {revision.number} ({one_line(images, 150)})"


@dataclass
class Event:
    """Events that say the same of the same object, as one."""

    kind: str
    name: str
    uid: str
    type: str
    reason: str
    message: str
    first: datetime
    last: datetime
    count: int
    host: str | None
    related: Subject
    object: Mapping[str, Any]
    raw: list[bytes]

    def to_json(self) -> dict[str, Any]:
        return {
            "first": format_time(self.first),
            "last": format_time(self.last),
            "count": self.count,
            "type": self.type,
            "reason": self.reason,
            "message": self.message,
            "object": self.object,
            "raw": orjson.Fragment(b"[" + b",".join(self.raw) + b"]"),
        }


class Events:
    """The events of a window, deduplicated."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.oldest: datetime | None = None
        self.dropped = 0
        self._events: dict[tuple[str, ...], Event] = {}

    def see(self, event: Object) -> None:
        """Note how old events are that the API server still has."""
        last = times_of(event)[1]
        self.oldest = min(self.oldest or last, last)

    def add(self, event: Object) -> None:
        """Keep an event that touches the window."""
        first, last, count = times_of(event)
        if last < self.window.start or first > self.window.end:
            return
        kind, name = subject_of(event)
        involved = event["involvedObject"]
        said = (event.get("type") or "", event.get("reason") or "", event.get("message") or "")
        key = (kind, name, involved.get("uid") or "", involved.get("fieldPath") or "", *said)
        event["metadata"].pop("managedFields", None)
        raw = orjson.dumps(event)
        if known := self._events.get(key):
            known.first, known.last, known.count = min(known.first, first), max(known.last, last), known.count + count
            known.raw.append(raw)
            return
        if len(self._events) >= MAX_EVENTS and not self._make_room(said[0]):
            self.dropped += 1
            return
        host = (event.get("source") or {}).get("host") or None
        self._events[key] = Event(kind, name, key[2], *said, first, last, count, host, _related(event), involved, [raw])

    def _make_room(self, kind: str) -> bool:
        """Drop one that is no warning for one that is."""
        if kind != "Warning":
            return False
        normal = next((key for key, event in self._events.items() if event.type != "Warning"), None)
        if normal is None:
            return False
        del self._events[normal]
        self.dropped += 1
        return True

    def keep(self, wanted: set[Subject]) -> None:
        """Drop what turned out to be of nobody who is wanted."""
        self._events = {
            key: event for key, event in self._events.items() if (event.kind, event.name) in wanted or event.related in wanted
        }

    @property
    def found(self) -> bool:
        return bool(self._events)

    def of_pods(self) -> list[Event]:
        return [event for event in self._events.values() if event.kind == "Pod"]

    def incomplete(self, now: datetime) -> list[Missing]:
        """What may be missing: too many, or the window begins before all that is left, and longer ago than events live."""
        gaps = []
        if self.dropped:
            message = (
                f"{self.dropped} events were left out: more than {MAX_EVENTS} differ. Name fewer targets or a shorter window"
            )
            gaps.append(Missing("events", GapReason.BUDGET_EXCEEDED, message))
        start = self.window.start
        if start >= now - DEFAULT_TTL - TTL_SLACK or (self.oldest is not None and self.oldest <= start):
            return gaps
        left = f"the oldest one left in this namespace is of {format_time(self.oldest)}" if self.oldest else "none is left"
        message = (
            f"the window begins at {format_time(start)}, but the API server keeps events for an hour by default, and {left}:"
            " what came before may be missing"
        )
        return [*gaps, Missing("events", GapReason.EVENTS_EXPIRED, message)]

    def summary(self) -> str:
        """Such as: 14 events (3 Warning), most: BackOff (12x)."""
        warnings: dict[str, int] = {}
        for event in self._events.values():
            if event.type == "Warning":
                warnings[event.reason] = warnings.get(event.reason, 0) + event.count
        text = f"{len(self._events)} events"
        if warnings:
            number = sum(event.type == "Warning" for event in self._events.values())
            reason = max(warnings, key=lambda name: warnings[name])
            text += f" ({number} Warning), most: {one_line(reason, 60)} ({warnings[reason]}x)"
        return text

    async def batches(self) -> AsyncGenerator[list[Any], None]:
        ordered = sorted(self._events.values(), key=lambda event: (event.first, event.last, event.name))
        for first in range(0, len(ordered), EVENTS_PER_BATCH):
            yield [event.to_json() for event in ordered[first : first + EVENTS_PER_BATCH]]


def times_of(event: Object) -> tuple[datetime, datetime, int]:
    """First and last time and count: core/v1 has them as such, events.k8s.io/v1 as `eventTime` and `series`."""
    series = event.get("series") or {}
    made = event["metadata"].get("creationTimestamp")
    first = event.get("firstTimestamp") or event.get("eventTime") or made
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or first
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return min(start, end), max(start, end), int(series.get("count") or event.get("count") or 1)
