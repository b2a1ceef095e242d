"""Reads what belongs to targets: their pods, the pods' owners up to the top, and every revision of a workload.

Speaks GET on pods, apps/v1 and batch/v1. Owners are followed through `ownerReferences` of Kubernetes' own kinds; an owner of
another kind (a custom resource) is known only by the references to it.

All Kubernetes fetchers of a capture share one `Members`, so each object is read once.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from aletheia_operator.api import Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Missing, Sources
from aletheia_operator.fetchers.kubernetes.near_names import with_near_names
from aletheia_operator.fetchers.kubernetes.references import CONTAINERS, MIRROR, pod_references
from aletheia_operator.fetchers.kubernetes.resources import (
    MAX_READ_ONE_BY_ONE,
    Object,
    api_version,
    missing_of,
    read_all,
    read_named,
    read_one,
)
from aletheia_operator.fetchers.kubernetes.revisions import Revision, of_object
from aletheia_operator.fetchers.kubernetes.targets import controller_of, describe, label_query, owners, selector_text
from aletheia_operator.fetchers.spill import Piece, Spill
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.objects import redact_object
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.decoding import decoded
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.sizes import counted

MAX_BYTES = 16 * 1024 * 1024  # of all members as they are kept; a thousand pods take about half of it
MEMORY_BYTES = 1024 * 1024  # of these; the others are on the session volume
ABSENT = (GapReason.NOT_FOUND, GapReason.NO_PODS)  # only the first fetcher of a target reports these

_OWNERS = ("ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job", "Deployment", "CronJob")  # upwards
_BETWEEN = {"Deployment": "ReplicaSet", "CronJob": "Job"}  # kind of the owners between a workload and its pods
_REVISIONS = {"Deployment": "ReplicaSet", "StatefulSet": "ControllerRevision", "DaemonSet": "ControllerRevision"}


@dataclass(frozen=True)
class Member:
    """An object that belongs to the targets, stored in a `Spill`: a thousand Python objects would take much memory.

    `content` has no secrets: `redactions` counts those that were removed, by rule. `revision` was made before that.
    `controller` is the uid of its controller. `references` are the names that a pod refers to, by kind.
    """

    kind: str
    name: str
    uid: str
    controller: str | None
    content: Piece
    redactions: Mapping[str, int]
    revision: Revision | None
    references: Mapping[str, set[str]]
    reduced: bool = False
    """Whether it is kept without most of its fields."""

    @classmethod
    def of(cls, item: Object, spill: Spill, room_bytes: int = MAX_BYTES, redactor: Redactor | None = None) -> "Member":
        """Make a member of an object, which is changed in place. It is reduced if it takes more than `room_bytes`.

        Blocks; raises OSError.
        """
        redactor = (redactor or Redactor()).another()
        metadata = item["metadata"]
        references = pod_references(item) if item["kind"] == "Pod" else {}
        revision = of_object(item)
        redact_object(item, redactor)
        encoded = dumps(item)
        reduced = len(encoded) > room_bytes
        return cls(
            kind=item["kind"],
            name=metadata["name"],
            uid=metadata["uid"],
            controller=controller_of(item),
            content=spill.keep(dumps(_reduced(item)) if reduced else encoded),
            redactions=redactor.counts,
            revision=revision,
            references=references,
            reduced=reduced,
        )

    def item(self) -> AbstractContextManager[Object]:
        """Decode the stored object, for use within the context (see `decoded`). Blocks; raises OSError."""
        return decoded(self.content.read())


@dataclass
class _Walk:
    """The state of a walk. `size_bytes`: of all members. `reduced`: how many members are kept without most of their fields."""

    spill: Spill
    redactor: Redactor
    members: dict[str, Member] = field(default_factory=dict)  # by uid, in the order of reading
    pods: list[list[Member] | SourceError] = field(default_factory=list)  # of each target
    missing: list[Missing] = field(default_factory=list)
    uids_above: dict[str, dict[str, str]] = field(default_factory=dict)  # kind → uid → name: owners to be read
    complete: set[str] = field(default_factory=set)  # uids of workloads after their children were read
    parents: dict[str, Object] = field(default_factory=dict)  # uid → reduced workload, to read its revisions
    size_bytes: int = 0
    reduced: int = 0

    def copy(self) -> "_Walk":
        return replace(
            self,
            members=dict(self.members),
            pods=list(self.pods),
            missing=list(self.missing),
            uids_above={kind: dict(names) for kind, names in self.uids_above.items()},
            complete=set(self.complete),
            parents=dict(self.parents),
        )

    def add(self, items: Sequence[Object], uids_above: Set[str] | None = None) -> list[Member]:
        """Add items, each once; with `uids_above`, only those that one of these uids owns. Raises OSError.

        Do not call it on the event loop: it searches text of tenants, and writes to the disk.
        """
        wanted = [item for item in items if uids_above is None or owners(item) & uids_above]
        return [self.members.get(item["metadata"]["uid"]) or self._add(item) for item in wanted]

    def _add(self, item: Object) -> Member:
        uid = item["metadata"]["uid"]
        if item["kind"] in _REVISIONS:
            self.parents[uid] = {"kind": item["kind"], "spec": {"selector": item["spec"].get("selector")}}
        for owner in item["metadata"].get("ownerReferences") or []:
            if owner.get("kind") in _OWNERS and owner.get("apiVersion") == api_version(owner["kind"]):
                self.uids_above.setdefault(owner["kind"], {})[owner["uid"]] = owner["name"]
        member = Member.of(item, self.spill, MAX_BYTES - self.size_bytes, self.redactor)
        self.reduced += member.reduced
        self.size_bytes += member.content.size_bytes
        self.members[uid] = member
        return member

    @contextmanager
    def tolerating(self, kind: str) -> Iterator[None]:
        """Turn a SourceError into a gap for objects of that kind, once, and go on."""
        try:
            yield
        except SourceError as e:
            if (missing := missing_of(kind, e)) not in self.missing:
                self.missing.append(missing)


class Members:
    """Reads what belongs to targets, each object once, when it is first needed."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        namespace: str,
        targets: Sequence[Target],
        scratch: Callable[[], Scratch],
        redactor: Redactor,
    ) -> None:
        self._redactor = redactor
        self._spill = Spill(scratch, MEMORY_BYTES)
        self.kubernetes = kubernetes
        self.namespace = namespace
        self.targets = targets
        self._targets_read: _Walk | None = None
        self._all_read: _Walk | None = None
        self._reading = asyncio.Lock()

    async def pods(self) -> list[tuple[Target, list[Member] | SourceError]]:
        """Return the current pods of each target by name, or the error if they could not be read."""
        async with self._reading:
            walk = await self._read_targets()
        return list(zip(self.targets, walk.pods, strict=True))

    async def all(self) -> tuple[list[Member], list[Missing]]:
        """Return the members and the gaps. Members: targeted workloads and pods first, then owners upwards, then revisions."""
        async with self._reading:
            if self._all_read is None:
                walk = (await self._read_targets()).copy()
                await self._read_owners(walk)
                await self._read_revisions(walk)
                if walk.reduced:
                    message = (
                        f"{counted(walk.reduced, 'object')} kept reduced, without annotations and most of the spec: together"
                        f" they are larger than {MAX_BYTES // 2**20} MiB. Name fewer targets"
                    )
                    walk.missing.append(Missing("objects", GapReason.BUDGET_EXCEEDED, message))
                self._all_read = walk
            return list(self._all_read.members.values()), list(self._all_read.missing)

    async def _read_targets(self) -> _Walk:
        if self._targets_read is None:
            walk = _Walk(self._spill, self._redactor)
            for target in self.targets:
                try:
                    walk.pods.append(sorted(await self._pods_of(target, walk), key=lambda pod: pod.name))
                except SourceError as error:
                    explained = await with_near_names(error, self.kubernetes, self.namespace, target)
                    walk.pods.append(explained)
                    walk.missing.append(Missing(describe(target), explained.reason, explained.message))
            self._targets_read = walk
        return self._targets_read

    async def _pods_of(self, target: Target, walk: _Walk) -> list[Member]:
        if target.workload is not None:
            return await self._pods_of_workload(target.workload.kind, target.workload.name, walk)
        if target.pod is not None:
            return await read_one(self.kubernetes, "Pod", self.namespace, target.pod, lambda pod: walk.add([pod]))
        assert target.selector is not None
        query = {"labelSelector": selector_text(target.selector)}
        pods = await self._add_all(walk, "Pod", query)
        if not pods:
            message = f"{describe(target)} selects no pod at present in namespace {self.namespace}"
            walk.missing.append(Missing(describe(target), GapReason.NO_PODS, message))
        return pods

    async def _pods_of_workload(self, kind: str, name: str, walk: _Walk) -> list[Member]:
        def add(top: Object) -> tuple[dict[str, str], set[str]]:
            return _selection(top), {member.uid for member in walk.add([top])}

        selection, uids_above = await read_one(self.kubernetes, kind, self.namespace, name, add)
        if between := _BETWEEN.get(kind):
            walk.complete |= uids_above
            uids_above = {child.uid for child in await self._add_all(walk, between, selection, uids_above)}
        if not uids_above:
            return []
        return await self._add_all(walk, "Pod", selection, uids_above)

    async def _add_all(
        self, walk: _Walk, kind: str, query: Mapping[str, str], uids_above: Set[str] | None = None
    ) -> list[Member]:
        """Add the objects of a list; with `uids_above`, only those with one of these owners. Raises SourceError and OSError."""
        added: list[Member] = []
        async for members in read_all(self.kubernetes, kind, self.namespace, lambda items: walk.add(items, uids_above), query):
            added += members
        return added

    async def _read_owners(self, walk: _Walk) -> None:
        for kind in _OWNERS:
            wanted = {uid: name for uid, name in walk.uids_above.get(kind, {}).items() if uid not in walk.members}
            await self._read_owners_of(walk, kind, wanted)

    async def _read_owners_of(self, walk: _Walk, kind: str, wanted: Mapping[str, str]) -> None:
        """Read owners of a kind. `wanted`: their names by uid."""

        def add(items: Sequence[Object]) -> None:
            walk.add([item for item in items if item["metadata"]["uid"] in wanted])

        with walk.tolerating(kind):
            async for _ in read_named(self.kubernetes, kind, self.namespace, wanted.values(), add):
                pass

    async def _read_revisions(self, walk: _Walk) -> None:
        """Read what keeps the revisions of workloads: ReplicaSets, and ControllerRevisions."""
        for kind in ("ReplicaSet", "ControllerRevision"):
            parents = {
                uid: parent
                for uid, parent in walk.parents.items()
                if uid not in walk.complete and _REVISIONS[parent["kind"]] == kind
            }
            queries = [{}] if len(parents) > MAX_READ_ONE_BY_ONE else [_selection(parent) for parent in parents.values()]
            for query in queries:
                with walk.tolerating(kind):
                    await self._add_all(walk, kind, query, parents.keys())


async def members_of(sources: Sources, targets: Sequence[Target]) -> Members:
    """Return the members of targets, shared by all fetchers of this capture. Raises Rejected (see Sources.kubernetes)."""

    async def make() -> Members:
        scratch = sources.memo_scratch or sources.scratch
        return Members(await sources.kubernetes(), sources.namespace, targets, scratch, sources.redactor)

    key = "members", orjson.dumps([target.to_json() for target in targets])
    return await sources.memo.get(key, make)


def _reduced(item: Object) -> Object:
    """Return an object with only its identity, owners, containers' names and status, which other evidence needs."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    kept = ("name", "namespace", "uid", "creationTimestamp", "labels", "ownerReferences")
    little: Object = {key: item[key] for key in ("apiVersion", "kind", "status") if key in item}
    little["metadata"] = {key: metadata[key] for key in kept if key in metadata}
    if (mirror := (metadata.get("annotations") or {}).get(MIRROR)) is not None:
        little["metadata"]["annotations"] = {MIRROR: mirror}
    little["spec"] = {key: spec[key] for key in ("nodeName", "replicas", "selector") if key in spec}
    for key in CONTAINERS:
        if spec.get(key):
            little["spec"][key] = [{"name": container["name"], "image": container.get("image")} for container in spec[key]]
    return little


def _selection(workload: Mapping[str, Any]) -> dict[str, str]:
    """Return the query that limits a list to what the workload's selector matches; {} for a CronJob, which has none."""
    selector = workload["spec"].get("selector")
    if not selector:
        return {}
    if workload["kind"] == "ReplicationController":
        selector = {"matchLabels": selector}
    return {"labelSelector": label_query(selector)}
