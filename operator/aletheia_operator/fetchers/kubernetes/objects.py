"""Kubernetes objects as they are now: one document a workload with all that belongs to it, one for what they share.

Speaks GET on pods and their owners (see kubernetes_members), services, endpointslices, horizontalpodautoscalers,
poddisruptionbudgets, persistentvolumeclaims, configmaps, resourcequotas and nodes. Of a Secret nothing is read: only its name,
where a pod refers to it.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from aletheia_operator.api import InvestigationSpec, ObjectsRequest, Target
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources, Window
from aletheia_operator.fetchers.kubernetes.members import (
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
from aletheia_operator.fetchers.kubernetes.revisions import Revision, of_object, rollouts
from aletheia_operator.fetchers.kubernetes.targets import describe
from aletheia_operator.text.credentials import redact_spec
from aletheia_operator.text.display import one_line

OBJECTS_PER_BATCH = 100
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ORDER = (
    "Deployment", "CronJob", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "ControllerRevision",
    "Pod", "Service", "EndpointSlice", "HorizontalPodAutoscaler", "PodDisruptionBudget", "PersistentVolumeClaim", "ConfigMap",
    "Secret", "ResourceQuota", "Node",
)  # fmt: skip
_NODE_FIELDS = ("conditions", "capacity", "allocatable", "nodeInfo")  # not its images and volumes: those are everyone's


class KubernetesObjectsFetcher:
    """The targets and what belongs to them."""

    name = "KubernetesObjects"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """One question for all targets: what they share is read once."""
        if not spec.of_targets("objects"):
            return Plan()
        await sources.kubernetes()  # an identity that may not be used is the same gap for every fetcher, so it is said once
        request = spec.objects or ObjectsRequest(nodes=True)
        targets = [target.to_json() for target in spec.targets or []]
        arguments = {"targets": targets, "nodes": request.nodes, "says_absent": not spec.of_targets("logs")}
        return Plan((Question(self.name, self.name, "objects", arguments),))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield a document for each workload (or pod without one), then one of the namespace.

        Entries: the objects as the API has them, but for `managedFields`, the last applied configuration and literal
        credentials. A ConfigMap has `dataSha256` in place of its data; a Secret its name alone; `exists: false` marks what is
        referred to and is not there.
        """
        kubernetes = await sources.kubernetes()
        targets = [Target.model_validate(target) for target in question.arguments["targets"]]
        collection = Collection(kubernetes, sources.namespace)
        await collection.read(targets, nodes=question.arguments["nodes"])
        missing = [one for one in collection.missing if question.arguments["says_absent"] or one.reason not in ABSENT]
        asked = {"namespace": sources.namespace, "targets": [describe(target) for target in targets]}
        for family in collection.families():
            yield _document(
                (family.kind.lower(), family.name),
                {"kind": family.kind, "name": family.name, **asked, **family.metadata(sources.window)},
                family.entries,
                Findings(summary=family.summary(sources.window)),
                sources.namespace,
            )
        shared = Findings(summary=_count_by_kind(collection.shared), missing=missing)
        if not collection.shared and not missing:
            return
        yield _document(("namespace", sources.namespace), asked, collection.shared, shared, sources.namespace)


@dataclass(frozen=True)
class Entry:
    """One object, encoded: a thousand pods as Python objects would be large."""

    kind: str
    name: str
    encoded: bytes


def _document(
    title: tuple[str, str], metadata: dict[str, Any], entries: list[Entry], findings: Findings, namespace: str
) -> Document:
    entries.sort(key=lambda entry: (_ORDER.index(entry.kind), entry.name))
    return Document(
        category="objects",
        source="kubernetes",
        name=("kubernetes", *title, namespace),
        metadata={**metadata, "redacted_fields": ["managedFields", LAST_APPLIED]},
        batches=_batches(entries),
        findings=findings,
        target="/".join(title),
    )


async def _batches(entries: list[Entry]) -> AsyncGenerator[list[Any], None]:
    for first in range(0, len(entries), OBJECTS_PER_BATCH):
        yield [orjson.Fragment(entry.encoded) for entry in entries[first : first + OBJECTS_PER_BATCH]]


def _count_by_kind(entries: Iterable[Entry]) -> str:
    """Such as: 2 Pods, 1 Service."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.kind] = counts.get(entry.kind, 0) + 1
    kinds = sorted(counts, key=_ORDER.index)
    return ", ".join(f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}" for kind in kinds) or "nothing"


@dataclass
class Family:
    """A workload that no other owns, or a pod without one, and all that belongs to it."""

    kind: str
    name: str
    entries: list[Entry] = field(default_factory=list)
    revisions: dict[str, list[Revision]] = field(default_factory=dict)  # by the workload's uid
    pods: int = 0
    unready: int = 0
    restarts: int = 0
    states: dict[str, int] = field(default_factory=dict)
    redacted: int = 0

    def metadata(self, window: Window) -> dict[str, Any]:
        return {
            "rollouts": [one for revisions in self.revisions.values() for one in rollouts(revisions, window)],
            "redacted": self.redacted,
        }

    def count(self, pod: Object) -> None:
        """Note how a pod stands."""
        status = pod.get("status") or {}
        self.pods += 1
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or [])
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
        """Such as: 3 pods (1 not ready), 4 restarts, CrashLoopBackOff; revision 2 rolled out: app image shop:1 → shop:2."""
        text = f"{self.pods} pod{'' if self.pods == 1 else 's'}" + (f" ({self.unready} not ready)" if self.unready else "")
        if self.restarts:
            text += f", {self.restarts} restart{'' if self.restarts == 1 else 's'}"
        text += "".join(f", {one_line(state, 60)}" for state in sorted(self.states))
        rolled_out = [one for one in self.metadata(window)["rollouts"] if one["in_window"]]
        return text + "".join(f"; {one['summary']}" for one in rolled_out[-1:])


class Collection:
    """Reads objects, makes them fit to keep, and sorts them into families. What could not be read is in `missing`."""

    def __init__(self, kubernetes: Kubernetes, namespace: str) -> None:
        self.kubernetes = kubernetes
        self.namespace = namespace
        self.missing: list[Missing] = []
        self.shared: list[Entry] = []
        self._members: dict[str, tuple[str, str, str | None]] = {}  # uid → kind, name, controller's uid
        self._entries: dict[str, Entry] = {}
        self._redacted: dict[str, int] = {}
        self._pods: dict[str, Object] = {}  # uid → the little of a pod that its family counts
        self._labels: dict[str, dict[str, str]] = {}  # uid of a pod → its labels
        self._references: dict[str, dict[str, set[str]]] = {}  # kind → name → uids of the pods that refer to it
        self._revisions: list[tuple[str, Revision]] = []  # workload's uid
        self._nodes: set[str] = set()
        self._families: dict[str, Family] = {}  # by the uid of the root

    def families(self) -> list[Family]:
        return list(self._families.values())

    async def read(self, targets: list[Target], *, nodes: bool) -> None:
        """Members first; what refers to pods, or is referred to by them, next; at last what is shared."""
        members = Members(self.kubernetes, self.namespace, self.missing)
        async for item in members.read(targets):
            self._add_member(item)
        self._make_families()
        if not self._members:
            return
        services = await self._read_services()
        await self._read_endpoint_slices(services)
        await self._add_related("HorizontalPodAutoscaler", self._scaled_by)
        await self._add_related("PodDisruptionBudget", lambda item: self._selected(item["spec"].get("selector")))
        for kind in ("PersistentVolumeClaim", "ConfigMap"):
            await self._add_referred(kind)
        for name, pods in self._references.get("Secret", {}).items():
            self._keep(self._roots(pods), {"apiVersion": "v1", "kind": "Secret", "metadata": self._identity(name)})
        await self._gather("ResourceQuota", read_all(self.kubernetes, "ResourceQuota", self.namespace), self._share)
        if nodes:
            await self._gather("Node", read_named(self.kubernetes, "Node", None, self._nodes, may_list=False), self._share)

    def _add_member(self, item: Object) -> None:
        uid, kind = item["metadata"]["uid"], item["kind"]
        controller = controller_of(item)
        self._members[uid] = kind, item["metadata"]["name"], controller
        if controller is not None and (revision := of_object(item)) is not None:
            self._revisions.append((controller, revision))
        if kind == "Pod":
            self._labels[uid] = item["metadata"].get("labels") or {}
            if node := item["spec"].get("nodeName"):
                self._nodes.add(node)
            for referred, names in pod_references(item).items():
                for name in names:
                    self._references.setdefault(referred, {}).setdefault(name, set()).add(uid)
            self._pods[uid] = {"status": item.get("status")}
        self._redacted[uid] = make_fit(item)
        self._entries[uid] = _entry(item)

    def _make_families(self) -> None:
        for uid, entry in self._entries.items():
            root = self._root(uid)
            kind, name, _ = self._members[root]
            family = self._families.setdefault(root, Family(kind, name))
            family.entries.append(entry)
            family.redacted += self._redacted[uid]
            if uid in self._pods:
                family.count(self._pods[uid])
        for workload, revision in self._revisions:
            if workload in self._members:
                family = self._families[self._root(workload)]
                family.revisions.setdefault(workload, []).append(revision)
        self._entries.clear()
        self._pods.clear()

    def _root(self, uid: str) -> str:
        passed = {uid}
        while (above := self._members[uid][2]) in self._members and above not in passed:
            assert above is not None
            uid = above
            passed.add(uid)
        return uid

    def _roots(self, pods: Iterable[str]) -> set[str]:
        return {self._root(uid) for uid in pods}

    def _selected(self, selector: Object | None) -> set[str]:
        """The families with a pod that the selector matches; None matches none."""
        if selector is None:
            return set()
        return self._roots(uid for uid, labels in self._labels.items() if selects(selector, labels))

    def _scaled_by(self, autoscaler: Object) -> set[str]:
        target = autoscaler["spec"]["scaleTargetRef"]
        return self._roots(
            uid for uid, (kind, name, _) in self._members.items() if (kind, name) == (target.get("kind"), target.get("name"))
        )

    async def _read_services(self) -> dict[str, set[str]]:
        """Names of the services that match a pod, with the families."""
        found: dict[str, set[str]] = {}

        def add(service: Object) -> None:
            selector = service["spec"].get("selector")
            if roots := self._selected({"matchLabels": selector} if selector else None):
                found[service["metadata"]["name"]] = roots
                self._keep(roots, service)

        await self._gather("Service", read_all(self.kubernetes, "Service", self.namespace), add)
        return found

    async def _read_endpoint_slices(self, services: dict[str, set[str]]) -> None:
        if not services:
            return
        label = "kubernetes.io/service-name"
        query = {"labelSelector": f"{label} in ({','.join(sorted(services))})"} if len(services) <= 100 else {}
        slices = read_all(self.kubernetes, "EndpointSlice", self.namespace, query)

        def add(item: Object) -> None:
            self._keep(services.get((item["metadata"].get("labels") or {}).get(label, ""), set()), item)

        await self._gather("EndpointSlice", slices, add)

    async def _add_related(self, kind: str, roots_of: Callable[[Object], set[str]]) -> None:
        def add(item: Object) -> None:
            self._keep(roots_of(item), item)

        await self._gather(kind, read_all(self.kubernetes, kind, self.namespace), add)

    async def _add_referred(self, kind: str) -> None:
        """What pods refer to by name. ConfigMaps are read one by one: a list would bring every content at once."""
        absent = dict(self._references.get(kind, {}))

        def add(item: Object) -> None:
            name = item["metadata"]["name"]
            if name in absent:
                self._keep(self._roots(absent.pop(name)), item)

        may_list = kind != "ConfigMap"
        items = read_named(self.kubernetes, kind, self.namespace, list(absent), may_list=may_list)
        if await self._gather(kind, items, add):
            for name, pods in absent.items():
                item = {"apiVersion": "v1", "kind": kind, "metadata": self._identity(name), "exists": False}
                self._keep(self._roots(pods), item)

    async def _gather(self, kind: str, items: AsyncIterator[Object], add: Callable[[Object], None]) -> bool:
        """Add the items; whether all could be read."""
        try:
            async for item in items:
                add(item)
        except SourceError as e:
            self.missing.append(Missing(plural(kind), e.reason, e.message))
            return False
        return True

    def _identity(self, name: str) -> dict[str, str]:
        return {"name": name, "namespace": self.namespace}

    def _share(self, item: Object) -> None:
        make_fit(item)
        self.shared.append(_entry(item))

    def _keep(self, roots: Iterable[str], item: Object) -> None:
        make_fit(item)
        entry = _entry(item)
        for root in roots:
            self._families[root].entries.append(entry)


def _entry(item: Object) -> Entry:
    return Entry(item["kind"], item["metadata"]["name"], orjson.dumps(item))


def make_fit(item: Object) -> int:
    """Take away, in place, what is noise, not the reader's business, or a credential; how many values were redacted."""
    metadata = item["metadata"]
    metadata.pop("managedFields", None)
    (metadata.get("annotations") or {}).pop(LAST_APPLIED, None)
    match item["kind"]:
        case "ConfigMap":
            _digest_data(item)
            return 0
        case "Node":
            metadata.pop("annotations", None)
            item["status"] = {key: value for key, value in (item.get("status") or {}).items() if key in _NODE_FIELDS}
            return 0
        case "ControllerRevision":
            return redact_spec(item.get("data"))
        case _:
            return redact_spec(item.get("spec"))


def _digest_data(item: Object) -> None:
    """A ConfigMap's contents become the SHA-256 of each; annotations go, since tools copy contents into them."""
    item["metadata"].pop("annotations", None)
    data = {**(item.pop("data", None) or {}), **(item.pop("binaryData", None) or {})}
    if item.get("exists", True):
        item["dataSha256"] = {key: hashlib.sha256(value.encode()).hexdigest() for key, value in sorted(data.items())}
