"""What belongs to targets: their pods, the owners of these up to the top, and every revision of a workload.

Speaks GET on pods, apps/v1 and batch/v1. Owners are followed through `ownerReferences` of Kubernetes' own kinds; an owner of
another kind (a custom resource) is known by the reference in what it owns.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.api import Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.types import NAME_PATTERN
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Missing
from aletheia_operator.fetchers.kubernetes.targets import describe, label_query, owners, selector_text

FEW = 20  # so many objects are read one by one; of more, one list is read and the rest of it dropped
ABSENT = (GapReason.NOT_FOUND, GapReason.NO_PODS)  # said once, by the first fetcher that is asked of the target

Object = dict[str, Any]

_RESOURCES = {
    "Pod": ("v1", "pods"), "Service": ("v1", "services"), "ConfigMap": ("v1", "configmaps"), "Node": ("v1", "nodes"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"), "ResourceQuota": ("v1", "resourcequotas"),
    "ReplicationController": ("v1", "replicationcontrollers"), "Event": ("v1", "events"),
    "Deployment": ("apps/v1", "deployments"), "ReplicaSet": ("apps/v1", "replicasets"),
    "StatefulSet": ("apps/v1", "statefulsets"), "DaemonSet": ("apps/v1", "daemonsets"),
    "ControllerRevision": ("apps/v1", "controllerrevisions"),
    "Job": ("batch/v1", "jobs"), "CronJob": ("batch/v1", "cronjobs"),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
}  # fmt: skip
_OWNERS = ("ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job", "Deployment", "CronJob")  # upwards
_CHILDREN = {  # what stands between a workload and its pods, or keeps its revisions
    "Deployment": "ReplicaSet", "CronJob": "Job", "StatefulSet": "ControllerRevision", "DaemonSet": "ControllerRevision",
}  # fmt: skip


def api_version(kind: str) -> str:
    return _RESOURCES[kind][0]


def plural(kind: str) -> str:
    return _RESOURCES[kind][1]


def collection(kind: str, namespace: str | None) -> str:
    """Path of all objects of a kind, in a namespace or (for kinds without one) in the cluster."""
    version, resource = _RESOURCES[kind]
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/{'apis' if '/' in version else 'api'}/{version}{scope}/{resource}"


async def read_all(
    kubernetes: Kubernetes, kind: str, namespace: str | None, query: Mapping[str, str] | None = None
) -> AsyncIterator[Object]:
    """A list's objects, each with its kind, which the API leaves out of lists. Raises SourceError."""
    async for item in kubernetes.list(collection(kind, namespace), query):
        yield {"apiVersion": api_version(kind), "kind": kind, **item}


async def read_named(
    kubernetes: Kubernetes, kind: str, namespace: str | None, names: Iterable[str], *, may_list: bool = True
) -> AsyncIterator[Object]:
    """The objects of these names that exist: one by one where they are few, else out of one list. Raises SourceError.

    Whoever writes pods writes these names: what is no name, such as `../secrets/x`, is never made part of a path.
    """
    wanted = sorted({name for name in names if re.fullmatch(NAME_PATTERN, name)})
    if may_list and len(wanted) > FEW:
        async for item in read_all(kubernetes, kind, namespace):
            if item["metadata"]["name"] in wanted:
                yield item
        return
    for name in wanted:
        try:
            item = await kubernetes.get(f"{collection(kind, namespace)}/{name}")
        except Rejected as e:
            if e.reason != GapReason.NOT_FOUND:
                raise
        else:
            yield {"apiVersion": api_version(kind), "kind": kind, **item}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a metav1.LabelSelector matches labels; an empty one matches all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


@dataclass
class Members:
    """Reads what belongs to targets, each object once. What cannot be read is added to `missing`, and the rest goes on."""

    kubernetes: Kubernetes
    namespace: str
    missing: list[Missing] = field(default_factory=list)
    _seen: set[str] = field(init=False, default_factory=set)
    _above: dict[str, dict[str, str]] = field(init=False, default_factory=dict)  # kind → uid → name: owners to be read
    _complete: set[str] = field(init=False, default_factory=set)  # uids of workloads whose children were read
    _parents: dict[str, Object] = field(init=False, default_factory=dict)  # uid → workload whose children are to be read

    async def read(self, targets: Sequence[Target]) -> AsyncIterator[Object]:
        """Workloads that are targets and pods first, then the owners upwards, then the remaining revisions."""
        for target in targets:
            try:
                async for item in self._of_target(target):
                    yield item
            except SourceError as e:
                self.missing.append(Missing(describe(target), e.reason, e.message))
        for kind in _OWNERS:
            wanted = {uid: name for uid, name in self._above.get(kind, {}).items() if uid not in self._seen}
            async for item in self._tolerant(kind, read_named(self.kubernetes, kind, self.namespace, wanted.values())):
                if item["metadata"]["uid"] in wanted and self._is_new(item):
                    yield item
        async for item in self._revisions():
            yield item

    async def _of_target(self, target: Target) -> AsyncIterator[Object]:
        if target.workload is not None:
            async for item in self._of_workload(target.workload.kind, target.workload.name):
                yield item
            return
        found = False
        if target.pod is not None:
            pod = await self.kubernetes.get(f"{collection('Pod', self.namespace)}/{target.pod}")
            found = True
            if self._is_new(pod := {"apiVersion": "v1", "kind": "Pod", **pod}):
                yield pod
        else:
            assert target.selector is not None
            query = {"labelSelector": selector_text(target.selector)}
            async for pod in read_all(self.kubernetes, "Pod", self.namespace, query):
                found = True
                if self._is_new(pod):
                    yield pod
        if not found:
            message = f"{describe(target)} selects no pod at present"
            self.missing.append(Missing(describe(target), GapReason.NO_PODS, message))

    async def _of_workload(self, kind: str, name: str) -> AsyncIterator[Object]:
        top = await self.kubernetes.get(f"{collection(kind, self.namespace)}/{name}")
        top = {"apiVersion": api_version(kind), "kind": kind, **top}
        above = {top["metadata"]["uid"]}
        if self._is_new(top):
            yield top
        if kind in _CHILDREN:
            children = set()
            async for child in self._children(top):
                children.add(child["metadata"]["uid"])
                if self._is_new(child):
                    yield child
            above = children if _CHILDREN[kind] in _OWNERS else above
        async for pod in read_all(self.kubernetes, "Pod", self.namespace, _selection(top)):
            if owners(pod) & above and self._is_new(pod):
                yield pod

    async def _children(self, parent: Object) -> AsyncIterator[Object]:
        uid = parent["metadata"]["uid"]
        self._complete.add(uid)
        async for child in read_all(self.kubernetes, _CHILDREN[parent["kind"]], self.namespace, _selection(parent)):
            if uid in owners(child):
                yield child

    async def _revisions(self) -> AsyncIterator[Object]:
        """The children of workloads that were reached from below: a workload's other revisions, but no other Jobs."""
        for kind in ("ReplicaSet", "ControllerRevision"):
            parents = {
                uid: parent
                for uid, parent in self._parents.items()
                if uid not in self._complete and _CHILDREN[parent["kind"]] == kind
            }
            if len(parents) > FEW:
                async for item in self._tolerant(kind, read_all(self.kubernetes, kind, self.namespace)):
                    if owners(item) & parents.keys() and self._is_new(item):
                        yield item
                continue
            for parent in parents.values():
                async for item in self._tolerant(kind, self._children(parent)):
                    if self._is_new(item):
                        yield item

    async def _tolerant(self, kind: str, items: AsyncIterator[Object]) -> AsyncIterator[Object]:
        """The items, until they break off: that is a gap of its own."""
        try:
            async for item in items:
                yield item
        except SourceError as e:
            self.missing.append(Missing(plural(kind), e.reason, e.message))

    def _is_new(self, item: Object) -> bool:
        uid = item["metadata"]["uid"]
        if uid in self._seen:
            return False
        self._seen.add(uid)
        if item["kind"] in _CHILDREN:
            self._parents[uid] = {key: item[key] for key in ("kind", "metadata", "spec")}
        for owner in item["metadata"].get("ownerReferences") or []:
            if owner.get("kind") in _OWNERS and owner.get("apiVersion") == api_version(owner["kind"]):
                self._above.setdefault(owner["kind"], {})[owner["uid"]] = owner["name"]
        return True


def _selection(workload: Object) -> dict[str, str]:
    """The query that narrows a list to what the workload's selector matches. A CronJob has none."""
    selector = workload["spec"].get("selector")
    if not selector:
        return {}
    if workload["kind"] == "ReplicationController":
        selector = {"matchLabels": selector}
    return {"labelSelector": label_query(selector)}


def controller_of(item: Object) -> str | None:
    """The uid of an object's controller, else of its first owner."""
    references = item["metadata"].get("ownerReferences") or []
    return next((owner["uid"] for owner in references if owner.get("controller")), references[0]["uid"] if references else None)


def pod_references(pod: Object) -> dict[str, set[str]]:
    """Names of the ConfigMaps, Secrets and claims (by kind) that a pod's spec refers to."""
    spec = pod["spec"]
    found: dict[str, set[str]] = {"ConfigMap": set(), "Secret": set(), "PersistentVolumeClaim": set()}

    def note(kind: str, source: Any, key: str = "name") -> None:
        if isinstance(source, dict) and source.get(key):
            found[kind].add(source[key])

    for pull in spec.get("imagePullSecrets") or []:
        note("Secret", pull)
    for volume in spec.get("volumes") or []:
        note("ConfigMap", volume.get("configMap"))
        note("Secret", volume.get("secret"), "secretName")
        note("PersistentVolumeClaim", volume.get("persistentVolumeClaim"), "claimName")
        if "ephemeral" in volume:
            found["PersistentVolumeClaim"].add(f"{pod['metadata']['name']}-{volume['name']}")
        for source in (volume.get("projected") or {}).get("sources") or []:
            note("ConfigMap", source.get("configMap"))
            note("Secret", source.get("secret"))
    for container in containers_of(spec):
        for env in container.get("env") or []:
            note("ConfigMap", (env.get("valueFrom") or {}).get("configMapKeyRef"))
            note("Secret", (env.get("valueFrom") or {}).get("secretKeyRef"))
        for source in container.get("envFrom") or []:
            note("ConfigMap", source.get("configMapRef"))
            note("Secret", source.get("secretRef"))
    return found


def containers_of(pod_spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every container of a pod's spec, init and ephemeral ones too."""
    return [one for key in ("initContainers", "containers", "ephemeralContainers") for one in pod_spec.get(key) or []]
