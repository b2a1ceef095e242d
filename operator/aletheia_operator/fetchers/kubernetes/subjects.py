"""Whose events are wanted, and which pods of theirs are gone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aletheia_operator.api import Target
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.event_list import Events, Subject, subject_of
from aletheia_operator.fetchers.kubernetes.members import (
    Members,
    Object,
    controller_of,
    plural,
    pod_references,
    read_all,
    read_named,
    selects,
)
from aletheia_operator.fetchers.kubernetes.revisions import Revision, of_object
from aletheia_operator.fetchers.kubernetes.targets import describe
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import format_time

_SUFFIXES = {  # what a controller adds to its own name to name a pod
    "ReplicaSet": r"[a-z0-9]{5}", "ReplicationController": r"[a-z0-9]{5}", "DaemonSet": r"[a-z0-9]{5}",
    "Job": r"(?:\d+-)?[a-z0-9]{5}", "StatefulSet": r"\d+",
}  # fmt: skip
_MADE = {"Deployment": "ReplicaSet", "CronJob": "Job"}
_NAMED = re.compile(r"(?:replica set|job:?) ([a-z0-9][-a-z0-9.]*)", re.IGNORECASE)  # in the words of their controllers


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
