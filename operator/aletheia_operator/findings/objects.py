"""Collects Kubernetes objects by kind, encoded. Keeps only a few healthy pods of each workload."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from aletheia_operator.findings.artifact_reader import ArtifactReader
from aletheia_operator.findings.finding import Link, Subject
from aletheia_operator.text.decoding import decoded

MAX_BYTES = 6 * 1024 * 1024  # of the objects that are kept
MAX_LABELS = 100  # of a pod
HEALTHY_PODS = 3  # of each artifact that are kept
Object = dict[str, Any]


@dataclass(eq=False)
class Workload:
    """The top-level owner of an artifact's objects. `subject`: None if the objects belong to the namespace."""

    subject: Subject | None = None
    rollouts: list[Mapping[str, Any]] = field(default_factory=list)
    pods: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """One object. `encoded`: its JSON."""

    kind: str
    name: str
    encoded: bytes
    link: Link
    workload: Workload

    def item(self) -> Object:
        found: Object = orjson.loads(self.encoded)
        return found


@dataclass
class ObjectFacts:
    """All objects, by kind."""

    by_kind: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    workloads: list[Workload] = field(default_factory=list)
    pods: dict[str, Workload] = field(default_factory=dict)
    """Workload of each pod, by name."""
    created: dict[tuple[str, str], Workload] = field(default_factory=dict)
    """Workload of each object that is no pod, by kind and name."""
    nodes: dict[str, str] = field(default_factory=dict)
    """Node of each pod, by name."""
    made: dict[str, str] = field(default_factory=dict)
    """Time of creation of each pod, by name; '' if it is not known."""
    healthy: set[str] = field(default_factory=set)
    """Names of pods that are ready or have succeeded, and never restarted."""
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of each pod, by name."""
    addresses: dict[str, Subject] = field(default_factory=dict)
    """Pods and Services by their address."""
    counts: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    size_bytes: int = 0

    def add(self, fact: Fact) -> None:
        """Keep an object, if there is room."""
        if self.size_bytes + len(fact.encoded) > MAX_BYTES:
            self.left_out += 1
            return
        self.size_bytes += len(fact.encoded)
        self.by_kind[fact.kind].append(fact)

    def matching(self, selector: Mapping[str, str]) -> list[str]:
        """Return the names of the pods that a selector matches."""
        return [pod for pod, own in self.labels.items() if all(own.get(key) == value for key, value in selector.items())]

    def of(self, *kinds: str) -> Iterator[tuple[Fact, Object]]:
        """Yield the objects of these kinds, decoded one at a time."""
        for kind in kinds:
            for fact in self.by_kind.get(kind, ()):
                yield fact, fact.item()


class ObjectReader(ArtifactReader[ObjectFacts]):
    """Reads an artifact of data/objects."""

    def __init__(self, facts: ObjectFacts, lock: threading.Lock, kinds: frozenset[str]) -> None:
        """`kinds`: keep every object of these kinds, also healthy pods."""
        super().__init__(facts, lock)
        self._kinds = kinds
        self._workload = Workload()
        self._found: list[tuple[Fact, Object]] = []
        self._healthy = 0
        self._size_bytes = self._left_out = 0

    def _read_entry(self, encoded: bytes, link: Link) -> None:
        with decoded(encoded) as item:
            kind, name = str(item["kind"]), str(item["metadata"]["name"])
            healthy = kind == "Pod" and is_healthy(item)
            fields = _index_fields(item, healthy)
        self._healthy += healthy
        relevant = not healthy or self._healthy <= HEALTHY_PODS or kind in self._kinds
        keep = relevant and self._has_room(encoded)
        self._found.append((Fact(kind, name, encoded if keep else b"", link, self._workload), fields))

    def _has_room(self, encoded: bytes) -> bool:
        self._size_bytes += len(encoded)
        if self._size_bytes <= MAX_BYTES:
            return True
        self._size_bytes -= len(encoded)
        self._left_out += 1
        return False

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        super().close(path, metadata)
        if metadata.get("kind"):
            self._workload.subject = Subject(str(metadata["kind"]), str(metadata["name"]))
        self._workload.rollouts = list(metadata.get("rollouts") or [])
        facts = self._facts
        with self._lock:
            facts.workloads.append(self._workload)
            facts.left_out += self._left_out
            for fact, fields in self._found:
                facts.counts[fact.kind] += 1
                for address in fields["addresses"]:
                    facts.addresses[address] = Subject(fact.kind, fact.name)
                if fact.kind == "Pod":
                    self._workload.pods += 1
                    facts.pods[fact.name] = self._workload
                    facts.nodes[fact.name] = fields["node"]
                    facts.made[fact.name] = fields["made"]
                    facts.labels[fact.name] = fields["labels"]
                    if fields["healthy"]:
                        facts.healthy.add(fact.name)
                elif self._workload.subject is not None:
                    facts.created.setdefault((fact.kind, fact.name), self._workload)
                if fact.encoded:
                    facts.add(fact)


def _index_fields(item: Object, healthy: bool) -> Object:
    """Return the fields that are kept of every object: addresses, and for a pod labels, node, time of creation and health."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    addresses: list[str] = []
    if item["kind"] in ("Pod", "Service"):
        addresses = [str(address) for address in (status.get("podIP"), spec.get("clusterIP")) if address and address != "None"]
    if item["kind"] != "Pod":
        return {"addresses": addresses}
    labels = dict(islice((item["metadata"].get("labels") or {}).items(), MAX_LABELS))
    made = str(item["metadata"].get("creationTimestamp") or "")
    return {"addresses": addresses, "labels": labels, "node": str(spec.get("nodeName") or ""), "made": made, "healthy": healthy}


def is_healthy(pod: Object) -> bool:
    """Return whether a pod is ready or has succeeded, and never restarted."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or status.get("reason"):
        return False
    containers = [container for key in ("initContainerStatuses", "containerStatuses") for container in status.get(key) or []]
    if any(container.get("restartCount") or (container.get("state") or {}).get("waiting") for container in containers):
        return False
    if status.get("phase") == "Succeeded":
        return True
    ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True" for condition in status.get("conditions") or []
    )
    return bool(status.get("phase") == "Running" and ready)
