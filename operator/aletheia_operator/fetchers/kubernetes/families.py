"""Groups objects into families: a workload without an owner (or a pod without a workload), and all that belongs to it. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.kubernetes.deployers import Deployer, deployer_of
from aletheia_operator.fetchers.kubernetes.members import Member
from aletheia_operator.fetchers.kubernetes.resources import Object
from aletheia_operator.fetchers.kubernetes.revisions import Revision, rollouts
from aletheia_operator.fetchers.kubernetes.targets import selects
from aletheia_operator.fetchers.spill import Piece
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

MAX_NAMES = 2_000  # possible names of Services in the pods of a family
MAX_LABELS = 20_000  # of all pods that stay in memory; labels of further pods are read again when needed
MAX_REFERENCES = 50_000  # of all pods to objects; further ones are counted in `left_out`
MAX_VALUE = 500  # characters of an environment variable or argument that are searched for names
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

ORDER = (
    "Deployment", "CronJob", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "ControllerRevision",
    "Pod", "Service", "EndpointSlice", "HorizontalPodAutoscaler", "PodDisruptionBudget", "PersistentVolumeClaim", "ConfigMap",
    "Secret", "Kustomization", "HelmRelease", "Application", "ResourceQuota", "Node",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One object, stored in a `Spill`."""

    kind: str
    name: str
    content: Piece
    redactions: Mapping[str, int] = field(default_factory=dict)
    """How many secrets were removed from it, by rule."""


@dataclass
class Family:
    """A workload without an owner (or a pod without a workload), and all that belongs to it."""

    kind: str
    name: str
    entries: list[Entry] = field(default_factory=list)
    revisions: dict[str, list[Revision]] = field(default_factory=dict)  # by the workload's uid
    pods: int = 0
    unready: int = 0
    restarts: int = 0
    states: dict[str, int] = field(default_factory=dict)

    def metadata(self, window: Window) -> dict[str, Any]:
        """Return the metadata: rollouts."""
        return {"rollouts": [rollout for revisions in self.revisions.values() for rollout in rollouts(revisions, window)]}

    def count(self, pod: Object) -> None:
        """Count a pod's readiness, restarts and states."""
        status = pod.get("status") or {}
        self.pods += 1
        ready = any(
            condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions") or []
        )
        if not ready and status.get("phase") != "Succeeded":
            self.unready += 1
        if reason := status.get("reason"):
            self._state(reason)
        for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
            self.restarts += container.get("restartCount") or 0
            waiting = (container.get("state") or {}).get("waiting") or {}
            ended = (
                (container.get("lastState") or {}).get("terminated") or (container.get("state") or {}).get("terminated") or {}
            )
            self._state(waiting.get("reason"))
            self._state(ended.get("reason") if ended.get("exitCode") else None)

    def _state(self, reason: str | None) -> None:
        if reason:
            self.states[reason] = self.states.get(reason, 0) + 1

    def summary(self, window: Window) -> str:
        """Summarise: `3 pods (1 not ready), 4 restarts, CrashLoopBackOff; revision 2 rolled out: app image shop:1 → shop:2`."""
        text = counted(self.pods, "pod") + (f" ({self.unready} not ready)" if self.unready else "")
        if self.restarts:
            text += f", {counted(self.restarts, 'restart')}"
        text += "".join(f", {one_line(state, 60)}" for state in sorted(self.states))
        rolled_out = [rollout for rollout in self.metadata(window)["rollouts"] if rollout["in_window"]]
        return text + "".join(f"; {rollout['summary']}" for rollout in rolled_out[-1:])


class Families:
    """The members by family, and the families of objects around them. A family's key is the uid of its root."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.nodes: set[str] = set()
        """Names of the nodes that pods run on."""
        self.deployers: dict[Deployer, set[str]] = {}
        """Objects that deployed workloads, with the families of these."""
        self.left_out = 0
        """References of pods to objects that there was no room for."""
        self._members = {member.uid: member for member in members}
        self._labels: dict[str, dict[str, str] | None] = {}  # of each pod, by uid; None: they are too many
        self._room_for_labels, self._room_for_references = MAX_LABELS, MAX_REFERENCES
        self._names: dict[str, set[str]] = {}  # of each family: words of its pods' environment, which may name Services
        self._references: dict[str, dict[str, set[str]]] = {}  # kind → name → uids of the pods that refer to it
        self._families: dict[str, Family] = {}
        for member in members:
            self._add_member(member)

    def __iter__(self) -> Iterator[Family]:
        return iter(self._families.values())

    def _add_member(self, member: Member) -> None:
        root = self._members[self._root(member.uid)]
        family = self._families.setdefault(root.uid, Family(root.kind, root.name))
        family.entries.append(Entry(member.kind, member.name, member.content, member.redactions))
        if member.revision is not None and member.controller is not None and member.controller in self._members:
            family.revisions.setdefault(member.controller, []).append(member.revision)
        if member is root and member.kind != "Pod":
            with member.item() as workload:
                if (deployer := deployer_of(workload)) is not None:
                    self.deployers.setdefault(deployer, set()).add(root.uid)
        if member.kind == "Pod":
            with member.item() as pod:
                family.count(pod)
                self._add_pod(member.uid, pod, self._names.setdefault(root.uid, set()))
            self._refer(member)

    def _add_pod(self, uid: str, pod: Object, names: set[str]) -> None:
        labels = pod["metadata"].get("labels") or {}
        self._room_for_labels -= len(labels)
        self._labels[uid] = labels if self._room_for_labels >= 0 else None
        names.update(islice(possible_names(pod), MAX_NAMES - len(names)))
        if node := pod["spec"].get("nodeName"):
            self.nodes.add(node)

    def _refer(self, pod: Member) -> None:
        for kind, names in pod.references.items():
            for name in names:
                self._room_for_references -= 1
                if self._room_for_references >= 0:
                    self._references.setdefault(kind, {}).setdefault(name, set()).add(pod.uid)
                else:
                    self.left_out += 1

    def _labels_of(self, uid: str) -> dict[str, str]:
        labels = self._labels[uid]
        if labels is not None:
            return labels
        with self._members[uid].item() as pod:
            return pod["metadata"].get("labels") or {}

    def _root(self, uid: str) -> str:
        passed = {uid}
        while (above := self._members[uid].controller) is not None and above in self._members and above not in passed:
            uid = above
            passed.add(uid)
        return uid

    def references(self, kind: str) -> Mapping[str, set[str]]:
        """Return the names of objects of that kind that pods refer to, with the uids of these pods."""
        return self._references.get(kind, {})

    def of_pods(self, pods: Iterable[str]) -> set[str]:
        """Return the families of pods with these uids."""
        return {self._root(uid) for uid in pods}

    def selected(self, selector: Mapping[str, Any] | None) -> set[str]:
        """Return the families with a pod that the selector matches. `selector` None: it matches no pod."""
        if selector is None:
            return set()
        return self.of_pods(uid for uid in self._labels if selects(selector, self._labels_of(uid)))

    def related(self, service: str) -> set[str]:
        """Return the families that are named like a Service, begin with its name, or have pods that mention it."""
        return {
            root
            for root, family in self._families.items()
            if service == family.name or service.startswith(f"{family.name}-") or service in self._names.get(root, ())
        }

    def scaled_by(self, autoscaler: Mapping[str, Any]) -> set[str]:
        """Return the families with a member that the HorizontalPodAutoscaler scales."""
        target = autoscaler["spec"]["scaleTargetRef"]
        scaled = target.get("kind"), target.get("name")
        return self.of_pods(uid for uid, member in self._members.items() if (member.kind, member.name) == scaled)

    def add(self, families: Iterable[str], entry: Entry) -> None:
        """Add an object to families."""
        for root in families:
            self._families[root].entries.append(entry)


def possible_names(pod: Object) -> Iterator[str]:
    """Yield the words of a pod's environment, commands and arguments that may be names of Services."""
    for container in pod["spec"].get("containers") or []:
        texts = [str(variable.get("value") or "") for variable in container.get("env") or []]
        texts += [str(text) for key in ("command", "args") for text in container.get(key) or []]
        for text in texts:
            yield from _NAME.findall(text[:MAX_VALUE])
