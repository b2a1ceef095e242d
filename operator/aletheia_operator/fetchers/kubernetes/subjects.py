"""Collects the objects to read events of: the targets, the objects that belong to them, and their nodes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aletheia_operator.api import Target
from aletheia_operator.fetchers.kubernetes.event_list import Events, Subject
from aletheia_operator.fetchers.kubernetes.expired_events import ExpectedEvent, expected_events
from aletheia_operator.fetchers.kubernetes.gone_pods import FollowedControllers, GonePod, find_gone_pods
from aletheia_operator.fetchers.kubernetes.members import Member
from aletheia_operator.fetchers.kubernetes.resources import Object
from aletheia_operator.fetchers.kubernetes.revisions import Revision
from aletheia_operator.fetchers.kubernetes.targets import describe, selects

CLUSTER_KINDS = ("Node", "PersistentVolume")  # their events are in the namespace default


class Subjects:
    """The objects to read events of, as they become known."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = targets
        self.known: set[Subject] = set()
        self.exist = False
        """Whether any object of the targets exists now."""
        self.expected: list[ExpectedEvent] = []
        """Things that happened to targets, and for which events must have been written."""
        self._present: dict[str, str] = {}  # uids of the pods that are there now, by name
        self._controllers = FollowedControllers()
        self._revisions: dict[Subject, Revision] = {}
        for target in targets:  # events of a target may outlive it
            if target.pod is not None:
                self.known.add(("Pod", target.pod))
            if target.workload is not None:
                self._follow((target.workload.kind, target.workload.name), describe(target))

    def _follow(self, subject: Subject, display_name: str) -> None:
        self.known |= {subject, ("Service", subject[1])}
        self._controllers.add(subject, display_name)

    def add_members(self, members: Iterable[Member]) -> None:
        """Add members of the targets. Workloads must come before what they created."""
        names_by_uid: dict[str, str] = {}
        for member in members:
            self.exist = True
            with member.item() as item:
                self._add_member(member, item, names_by_uid)

    def _add_member(self, member: Member, item: Object, names_by_uid: dict[str, str]) -> None:
        subject = member.kind, member.name
        self.known.add(subject)
        self.expected += expected_events(item)
        if member.kind == "Pod":
            self._present[member.name] = member.uid
            self.known |= {("PersistentVolumeClaim", name) for name in member.references["PersistentVolumeClaim"]}
            if node := item["spec"].get("nodeName"):
                self.known.add(("Node", node))
        elif display_name := self._display_name(member, item, names_by_uid):
            names_by_uid[member.uid] = display_name
            self._follow(subject, display_name)
        if member.revision is not None:
            self._revisions[subject] = member.revision

    def _display_name(self, member: Member, item: Object, names_by_uid: Mapping[str, str]) -> str | None:
        """Return a controller's display name if all of its pods are targets, else None.

        They are if it is a target, if a followed controller created it, or if a target's selector matches its pods.
        """
        display_name = self._controllers.display_name((member.kind, member.name)) or names_by_uid.get(member.controller or "")
        if display_name:
            return display_name
        template = (item.get("spec") or {}).get("template") or {}
        labels = (template.get("metadata") or {}).get("labels") or {}
        for target in self.targets:
            if target.selector is not None and labels and selects(target.selector.to_json(), labels):
                return f"{member.kind.lower()}/{member.name}"
        return None

    def add_related(self, autoscalers: Iterable[Mapping[str, Any]], claims: Iterable[Mapping[str, Any]]) -> None:
        """Add the HorizontalPodAutoscalers that scale a known object, and the PersistentVolumes that are bound to claims."""
        for item in autoscalers:
            scaled = item["spec"]["scaleTargetRef"]
            if (scaled.get("kind"), scaled.get("name")) in self.known:
                self.known.add(("HorizontalPodAutoscaler", item["metadata"]["name"]))
        for item in claims:
            if volume := item["spec"].get("volumeName"):
                self.known.add(("PersistentVolume", volume))

    def may_know(self, subject: Subject) -> bool:
        """Return whether a subject is known, or has a name that a followed controller may have generated."""
        if subject in self.known:
            return True
        return subject[0] in ("Pod", "ReplicaSet", "Job") and self._controllers.may_name(subject[1])

    def is_known(self, subject: Subject) -> bool:
        """Return whether a subject is known, or is a pod that a followed controller created."""
        return subject in self.known or (subject[0] == "Pod" and bool(self._controllers.owner(subject[1])))

    def find_gone_pods(self, events: Events) -> dict[str, GonePod]:
        """Return the pods that are gone, by name. They, their controllers and their nodes become known."""
        self.known |= self._controllers.learn(events)
        gone = find_gone_pods(events, self._controllers, self._present, self._revisions)
        self.known |= {("Pod", name) for name in gone}
        self.known |= {("Node", pod.node) for pod in gone.values() if pod.node}
        return gone

    def names(self, kind: str) -> set[str]:
        """Return the names of the known objects of a kind."""
        return {name for known, name in self.known if known == kind}
