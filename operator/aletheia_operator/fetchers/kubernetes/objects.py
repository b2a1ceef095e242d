"""The Kubernetes objects fetcher: one document for each workload with all that belongs to it, one for what they share.

Speaks GET on pods and their owners (see members), services, endpointslices, horizontalpodautoscalers, poddisruptionbudgets,
persistentvolumeclaims, configmaps, resourcequotas and nodes, and on what deployed the workloads (see deployers). Secrets are
not read: only their names are known, from pods that refer to them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from aletheia_operator.api import InvestigationSpec, ObjectsRequest, Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Plan, Question, Sources
from aletheia_operator.fetchers.kubernetes.deployers import read_deployer
from aletheia_operator.fetchers.kubernetes.families import ORDER, Entry, Families
from aletheia_operator.fetchers.kubernetes.members import ABSENT, members_of
from aletheia_operator.fetchers.kubernetes.related import autoscalers_of, claims_of
from aletheia_operator.fetchers.kubernetes.resources import (
    Object,
    gap_of_extra,
    missing_of,
    plural,
    read_all,
    read_named,
)
from aletheia_operator.fetchers.kubernetes.targets import describe
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.redact.objects import LAST_APPLIED, redact_object
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.sizes import counted

OBJECTS_PER_BATCH = 100
BATCH_BYTES = 1024 * 1024
MAX_BYTES = 16 * 1024 * 1024  # of all objects around the members
MEMORY_BYTES = 1024 * 1024  # of these; the others are on the session volume
MAX_DEPLOYERS = 20  # deployers that are read: each deploys many workloads
MAX_NAMED = 500  # objects of a kind that are read one by one
FEW_SERVICES = 100  # endpoint slices of up to so many services are listed by name; for more, all are listed and filtered
SERVICE_NAME = "kubernetes.io/service-name"

T = TypeVar("T")


class KubernetesObjectsFetcher:
    """Captures the targets and what belongs to them."""

    name = "KubernetesObjects"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """Return one question for all targets: what they share is read once."""
        if not spec.of_targets("objects"):
            return Plan()
        await sources.kubernetes()  # the gap for an unusable identity is equal in all fetchers, and reported once
        request = spec.objects or ObjectsRequest(nodes=True)
        targets = [target.to_json() for target in spec.targets or []]
        arguments = {"targets": targets, "nodes": request.nodes, "reports_absent": not spec.of_targets("logs")}
        return Plan((Question(self.name, self.name, "objects", arguments),))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield a document for each workload (or pod without one), then one of the namespace.

        Entries: the objects as the API has them, without `managedFields`, the last applied configuration and literal
        credentials. A ConfigMap has `dataSha256` instead of its data; a Secret only its name. `exists: false` marks an object
        that is referred to and does not exist.
        """
        targets = [Target.model_validate(target) for target in question.arguments["targets"]]
        collection = _Collection(await sources.kubernetes(), sources, targets)
        await collection.read(nodes=question.arguments["nodes"])
        missing = [gap for gap in collection.missing if question.arguments["reports_absent"] or gap.reason not in ABSENT]
        request = {"namespace": sources.namespace, "targets": [describe(target) for target in targets]}
        for family in collection.families:
            yield _document(
                (family.kind.lower(), family.name),
                {"kind": family.kind, "name": family.name, **request, **family.metadata(sources.window)},
                family.entries,
                Outcome(summary=family.summary(sources.window)),
                sources.namespace,
            )
        shared = Outcome(summary=_count_by_kind(collection.shared), missing=missing)
        if not collection.shared and not missing:
            return
        yield _document(("namespace", sources.namespace), request, collection.shared, shared, sources.namespace)


def _document(
    title: tuple[str, str], metadata: dict[str, Any], entries: list[Entry], outcome: Outcome, namespace: str
) -> Document:
    for entry in entries:
        outcome.redactions.update(entry.redactions)
    entries.sort(key=lambda entry: (ORDER.index(entry.kind), entry.name))
    return Document(
        category="objects",
        source="kubernetes",
        name=("kubernetes", *title, namespace),
        metadata={**metadata, "redacted_fields": ["managedFields", LAST_APPLIED]},
        batches=_batches(entries),
        outcome=outcome,
        target="/".join(title),
    )


async def _batches(entries: list[Entry]) -> AsyncGenerator[list[Any], None]:
    batch: list[Entry] = []
    size_bytes = 0
    for entry in entries:
        batch.append(entry)
        size_bytes += entry.content.size_bytes
        if len(batch) == OBJECTS_PER_BATCH or size_bytes > BATCH_BYTES:
            yield await asyncio.to_thread(_encoded, batch)
            batch, size_bytes = [], 0
    if batch:
        yield await asyncio.to_thread(_encoded, batch)


def _encoded(entries: Iterable[Entry]) -> list[Any]:
    return [orjson.Fragment(entry.content.read()) for entry in entries]


def _count_by_kind(entries: Iterable[Entry]) -> str:
    """Count entries by kind, for example: 2 Pods, 1 Service."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.kind] = counts.get(entry.kind, 0) + 1
    kinds = sorted(counts, key=ORDER.index)
    return ", ".join(f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}" for kind in kinds) or "nothing"


class _Collection:
    """Reads objects, redacts them, and sorts them into families. `missing`: gaps for objects that could not be read."""

    def __init__(self, kubernetes: Kubernetes, sources: Sources, targets: Sequence[Target]) -> None:
        self.kubernetes = kubernetes
        self.sources = sources
        self.namespace = sources.namespace
        self.targets = targets
        self.missing: list[Missing] = []
        self.shared: list[Entry] = []
        self.families = Families([])
        self._spill = Spill(sources.scratch, MEMORY_BYTES)
        self._size_bytes = 0
        self._left_out = 0

    async def read(self, *, nodes: bool) -> None:
        """Read members first, then objects that refer to pods or that pods refer to, then what is shared."""
        members, missing = await (await members_of(self.sources, self.targets)).all()
        self.missing += missing
        if not members:
            return
        self.families = families = await asyncio.to_thread(Families, members)
        services = await self._read_services()
        await self._read_endpoint_slices(services)
        autoscalers, missing = await autoscalers_of(self.sources, self.targets)
        self.missing += missing
        await self._gather(
            "PodDisruptionBudget",
            self._read_all(
                "PodDisruptionBudget", lambda item: self._keep(families.selected(item["spec"].get("selector")), item)
            ),
        )
        claims, missing = await claims_of(self.sources, self.targets)
        self.missing += missing
        await asyncio.to_thread(self._keep_related, autoscalers, claims, whole=not missing)
        await self._read_config_maps()
        await self._read_deployers()
        await self._gather("ResourceQuota", self._read_all("ResourceQuota", self._share))
        if nodes:
            await self._read_nodes()
        self.missing += self._too_many()

    async def _read_services(self) -> dict[str, set[str]]:
        """Read the services that match a pod, have a workload's name, or are named in a pod's environment.

        Returns their names with their families.
        """
        found: dict[str, set[str]] = {}

        def add(service: Object) -> None:
            selector = service["spec"].get("selector")
            name = service["metadata"]["name"]
            matched = self.families.selected({"matchLabels": selector} if selector else None)
            if roots := matched | (self.families.related(name) if selector else set()):
                found[name] = roots
                self._keep(roots, service)

        await self._gather("Service", self._read_all("Service", add))
        return found

    async def _read_endpoint_slices(self, services: dict[str, set[str]]) -> None:
        if not services:
            return
        few = len(services) <= FEW_SERVICES
        query = {"labelSelector": f"{SERVICE_NAME} in ({','.join(sorted(services))})"} if few else {}

        def add(item: Object) -> None:
            self._keep(services.get((item["metadata"].get("labels") or {}).get(SERVICE_NAME, ""), set()), item)

        await self._gather("EndpointSlice", self._read_all("EndpointSlice", add, query))

    async def _read_config_maps(self) -> None:
        """Read the ConfigMaps one by one, and keep only digests: a list would bring every content at once."""
        absent = dict(self._few("ConfigMap", self.families.references("ConfigMap")))
        add = _each(lambda item: self._keep_referred(item, absent))
        reading = read_named(self.kubernetes, "ConfigMap", self.namespace, list(absent), add, may_list=False)
        if await self._gather("ConfigMap", reading) and absent:
            await asyncio.to_thread(self._mark_absent, "ConfigMap", absent)

    async def _read_deployers(self) -> None:
        """Read the revisions of what deployed the workloads, if the Investigation's identity may."""
        if (count := len(self.families.deployers)) > MAX_DEPLOYERS:
            message = f"{MAX_DEPLOYERS} of {count} that deployed the workloads were read. Name fewer targets"
            self.missing.append(Missing("deployers", GapReason.BUDGET_EXCEEDED, message, "note"))
        for deployer in sorted(self.families.deployers)[:MAX_DEPLOYERS]:
            try:
                item = await read_deployer(self.kubernetes, self.namespace, deployer)
            except SourceError as e:
                self.missing.append(Missing(f"{deployer.kind} {deployer.name}", e.reason, e.message, "note"))
                continue
            if item is not None:
                await asyncio.to_thread(self._keep, self.families.deployers[deployer], item)

    def _keep_related(self, autoscalers: Iterable[Object], claims: Iterable[Object], *, whole: bool) -> None:
        """Keep the autoscalers of members, and the claims and Secrets that pods refer to. `whole`: `claims` is complete."""
        for item in autoscalers:
            self._keep(self.families.scaled_by(item), item)
        self._keep_claims(claims, whole=whole)
        self._mark_secrets()

    def _mark_secrets(self) -> None:
        """Keep the names of the Secrets that pods refer to: nothing else of them is read."""
        for name, pods in self._few("Secret", self.families.references("Secret")):
            self._keep(self.families.of_pods(pods), {"apiVersion": "v1", "kind": "Secret", "metadata": self._identity(name)})

    def _keep_claims(self, claims: Iterable[Object], *, whole: bool) -> None:
        """Keep the claims that pods refer to. `whole`: `claims` is complete, so others do not exist."""
        absent = dict(self.families.references("PersistentVolumeClaim"))
        for item in claims:
            self._keep_referred(item, absent)
        if whole:
            self._mark_absent("PersistentVolumeClaim", absent)

    def _keep_referred(self, item: Object, absent: dict[str, set[str]]) -> None:
        """Keep an object that pods refer to by name, and take it out of `absent`."""
        if (pods := absent.pop(item["metadata"]["name"], None)) is not None:
            self._keep(self.families.of_pods(pods), item)

    def _mark_absent(self, kind: str, absent: Mapping[str, set[str]]) -> None:
        """Keep a mark for each object that pods refer to and that does not exist."""
        for name, pods in absent.items():
            item = {"apiVersion": "v1", "kind": kind, "metadata": self._identity(name), "exists": False}
            self._keep(self.families.of_pods(pods), item)

    async def _read_nodes(self) -> None:
        names = [name for name, _ in self._few("Node", dict.fromkeys(self.families.nodes))]
        try:
            async for _ in read_named(self.kubernetes, "Node", None, names, _each(self._share), may_list=False):
                pass
        except SourceError as e:
            self.missing.append(gap_of_extra("nodes", e))

    def _few(self, kind: str, named: Mapping[str, T]) -> list[tuple[str, T]]:
        """Return the first MAX_NAMED names, sorted: each costs the API server a request, and tenants choose them."""
        if len(named) > MAX_NAMED:
            message = f"{MAX_NAMED} of {len(named)} that are referred to were read. Name fewer targets"
            self.missing.append(Missing(plural(kind), GapReason.BUDGET_EXCEEDED, message))
        return sorted(named.items(), key=lambda item: item[0])[:MAX_NAMED]

    def _read_all(
        self, kind: str, add: Callable[[Object], None], query: Mapping[str, str] | None = None
    ) -> AsyncIterator[None]:
        return read_all(self.kubernetes, kind, self.namespace, _each(add), query)

    async def _gather(self, kind: str, parts: AsyncIterator[None]) -> bool:
        """Read and add objects of a kind. Returns whether all could be read."""
        try:
            async for _ in parts:
                pass
        except SourceError as e:
            self.missing.append(missing_of(kind, e))
            return False
        return True

    def _identity(self, name: str) -> dict[str, str]:
        return {"name": name, "namespace": self.namespace}

    def _share(self, item: Object) -> None:
        if (entry := self._fit(item)) is not None:
            self.shared.append(entry)

    def _keep(self, families: Iterable[str], item: Object) -> None:
        families = list(families)
        if families and (entry := self._fit(item)) is not None:
            self.families.add(families, entry)

    def _fit(self, item: Object) -> Entry | None:
        """Store an object without secrets, and return its entry; None if there is no more room."""
        redactor = self.sources.redactor.another()
        redact_object(item, redactor)
        encoded = dumps(item)
        if self._size_bytes + len(encoded) > MAX_BYTES:
            self._left_out += 1
            return None
        self._size_bytes += len(encoded)
        return Entry(item["kind"], item["metadata"]["name"], self._spill.keep(encoded), redactor.counts)

    def _too_many(self) -> list[Missing]:
        if not self._left_out and not self.families.left_out:
            return []
        if not self._left_out:
            message = f"not followed: {counted(self.families.left_out, 'reference')} of pods to objects; there are too many"
            return [Missing("objects", GapReason.BUDGET_EXCEEDED, message)]
        message = (
            f"left out {counted(self._left_out, 'object')} around the targets: together they are larger than"
            f" {MAX_BYTES // 2**20} MiB. Name fewer targets"
        )
        return [Missing("objects", GapReason.BUDGET_EXCEEDED, message)]


def _each(add: Callable[[Object], None]) -> Callable[[Iterable[Object]], None]:
    """Return a function that calls `add` for each object."""

    def add_each(items: Iterable[Object]) -> None:
        for item in items:
            add(item)

    return add_each
