"""Kubernetes resources by kind: their paths, and functions that read one, some or all of them.

Speaks GET on core/v1, apps/v1, batch/v1, autoscaling/v2, policy/v1 and discovery.k8s.io/v1.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.types import NAME_PATTERN
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Missing

FEW = 20  # so many objects are read one by one; of more, one list is read and the rest of it dropped

BATCH = 50  # objects that are worked on in a thread at once

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


def api_version(kind: str) -> str:
    return _RESOURCES[kind][0]


def plural(kind: str) -> str:
    return _RESOURCES[kind][1]


def collection(kind: str, namespace: str | None) -> str:
    """Return the path of all objects of a kind. `namespace` None: in the whole cluster."""
    version, resource = _RESOURCES[kind]
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/{'apis' if '/' in version else 'api'}/{version}{scope}/{resource}"


async def read_all(
    kubernetes: Kubernetes, kind: str, namespace: str | None, query: Mapping[str, str] | None = None
) -> AsyncIterator[Object]:
    """Yield the objects of a list, each with its kind, which lists of the API omit. Raises SourceError."""
    async for item in kubernetes.list(collection(kind, namespace), query):
        yield {"apiVersion": api_version(kind), "kind": kind, **item}


async def read_named(
    kubernetes: Kubernetes, kind: str, namespace: str | None, names: Iterable[str], *, may_list: bool = True
) -> AsyncIterator[Object]:
    """Yield the existing objects with these names: read one by one if they are few, else from one list. Raises SourceError.

    Tenants choose these names. An invalid one, for example `../secrets/x`, never becomes part of a path.
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


async def in_batches(items: AsyncIterator[Object], size: int = BATCH) -> AsyncIterator[list[Object]]:
    """Yield the items in lists of `size`, to handle in a thread. If `items` raises, the items before it are yielded first."""
    batch: list[Object] = []
    try:
        async for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except SourceError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def missing_of(kind: str, error: SourceError) -> Missing:
    """Return the gap for objects of a kind that could not be read."""
    return Missing(plural(kind), error.reason, error.message)


def optional(what: str, error: SourceError) -> Missing:
    """Return the gap for an optional extra; a note if a right outside the namespace is missing, which most readers lack."""
    return Missing(what, error.reason, error.message, "note" if error.reason == GapReason.FORBIDDEN else "gap")
