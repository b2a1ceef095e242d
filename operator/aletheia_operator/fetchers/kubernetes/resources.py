"""Kubernetes resources by kind: their paths, and functions that read one, some or all of them.

Speaks GET on core/v1, apps/v1, batch/v1, autoscaling/v2, policy/v1 and discovery.k8s.io/v1.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TypeVar

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.types import NAME_PATTERN
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Missing

MAX_READ_ONE_BY_ONE = 20  # up to so many objects are read one by one; for more, a list is read and filtered

Object = dict[str, Any]
T = TypeVar("T")

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
    kubernetes: Kubernetes,
    kind: str,
    namespace: str | None,
    work: Callable[[list[Object]], T],
    query: Mapping[str, str] | None = None,
) -> AsyncIterator[T]:
    """Yield what `work` makes of each page of a list. Raises SourceError.

    `work` runs in a thread. Its objects have their kind, which lists of the API omit.
    """
    parts = kubernetes.pages(collection(kind, namespace), lambda items: work([typed(kind, item) for item in items]), query)
    async for part in parts:
        yield part


async def read_named(
    kubernetes: Kubernetes,
    kind: str,
    namespace: str | None,
    names: Iterable[str],
    work: Callable[[list[Object]], T],
    *,
    may_list: bool = True,
) -> AsyncIterator[T]:
    """Yield what `work` makes of the existing objects with these names. Raises SourceError.

    They are read one by one if they are few, else from one list. Tenants choose these names. An invalid one, for example
    `../secrets/x`, never becomes part of a path.
    """
    wanted = sorted({name for name in names if re.fullmatch(NAME_PATTERN, name)})
    if may_list and len(wanted) > MAX_READ_ONE_BY_ONE:
        among = frozenset(wanted)
        parts = read_all(
            kubernetes, kind, namespace, lambda items: work([item for item in items if item["metadata"]["name"] in among])
        )
        async for part in parts:
            yield part
        return
    for name in wanted:
        try:
            yield await read_one(kubernetes, kind, namespace, name, lambda item: work([item]))
        except Rejected as e:
            if e.reason != GapReason.NOT_FOUND:
                raise


async def read_one(kubernetes: Kubernetes, kind: str, namespace: str | None, name: str, work: Callable[[Object], T]) -> T:
    """Return what `work` makes, in a thread, of an object with its kind. Raises SourceError."""
    return await kubernetes.read(f"{collection(kind, namespace)}/{name}", lambda item: work(typed(kind, item)))


def typed(kind: str, item: Mapping[str, Any]) -> Object:
    """Return an object with its kind."""
    return {"apiVersion": api_version(kind), "kind": kind, **item}


def missing_of(kind: str, error: SourceError) -> Missing:
    """Return the gap for objects of a kind that could not be read."""
    return Missing(plural(kind), error.reason, error.message)


def gap_of_extra(what: str, error: SourceError) -> Missing:
    """Return the gap for an optional extra; a note if a right outside the namespace is missing, which most readers lack."""
    return Missing(what, error.reason, error.message, "note" if error.reason == GapReason.FORBIDDEN else "gap")
