"""Reads what deployed a workload: Flux' Kustomization or HelmRelease, or Argo CD's Application. Only its revisions are kept.

Speaks GET on kustomize.toolkit.fluxcd.io/v1, helm.toolkit.fluxcd.io/v2 and argoproj.io/v1alpha1, with the rights of the
Investigation's identity. A cluster without these kinds, or an identity without the right, is usual and gives no gap.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.types import NAME_PATTERN
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.kubernetes import Kubernetes

Object = dict[str, Any]

MAX_HISTORY = 10  # latest entries that are kept
ARGO_CD = "argocd"
_TRACKING = "argocd.argoproj.io/tracking-id"
_INSTANCE = "argocd.argoproj.io/instance"
_FLUX = {"Kustomization": "kustomize.toolkit.fluxcd.io", "HelmRelease": "helm.toolkit.fluxcd.io"}
_API = {
    "Kustomization": ("kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
    "HelmRelease": ("helm.toolkit.fluxcd.io/v2", "helmreleases"),
    "Application": ("argoproj.io/v1alpha1", "applications"),
}
_OF_ENTRY = (  # fields of an entry of a history: no source address, since it may hold credentials
    "revision", "revisions", "deployedAt", "id", "chartName", "chartVersion", "appVersion", "firstDeployed", "lastDeployed",
    "status", "version",
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Deployer:
    """The object that deployed a workload, by its name."""

    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        version, plural = _API[self.kind]
        return f"/apis/{version}/namespaces/{self.namespace}/{plural}/{self.name}"


def deployer_of(workload: Mapping[str, Any]) -> Deployer | None:
    """Return what deployed a workload, by its labels and annotations; None if they name nothing, or no valid name."""
    metadata = workload["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for kind, group in _FLUX.items():
        if name := labels.get(f"{group}/name"):
            return _valid(Deployer(kind, str(labels.get(f"{group}/namespace") or ""), str(name)))
    application = str(annotations.get(_TRACKING) or "").partition(":")[0] or str(labels.get(_INSTANCE) or "")
    namespace, _, name = application.rpartition("_")  # of an Application outside Argo CD's own namespace
    return _valid(Deployer("Application", namespace or ARGO_CD, name)) if name else None


def _valid(deployer: Deployer) -> Deployer | None:
    """Return a deployer if its names may be part of a path: tenants write these labels."""
    return deployer if all(re.fullmatch(NAME_PATTERN, name) for name in (deployer.namespace, deployer.name)) else None


async def read_deployer(kubernetes: Kubernetes, namespace: str, deployer: Deployer) -> Object | None:
    """Return the revisions of a deployer; None if it does not exist or may not be read. Raises SourceError.

    The operator's own identity reads it only in the Investigation's `namespace`.
    """
    if kubernetes.user is None and deployer.namespace != namespace:
        return None
    try:
        return await kubernetes.read(deployer.path, lambda item: _reduced(deployer, item))
    except Rejected as e:
        if e.reason in (GapReason.NOT_FOUND, GapReason.FORBIDDEN):
            return None
        raise


def _reduced(deployer: Deployer, item: Mapping[str, Any]) -> Object:
    """Keep identity, revisions and their times: specifications hold values of charts."""
    status = item.get("status") or {}
    sync = status.get("sync") or {}
    kept = {key: status[key] for key in ("lastAppliedRevision", "lastAttemptedRevision") if status.get(key)}
    if revision := sync.get("revision") or sync.get("revisions"):
        kept["sync"] = {"revision": revision, "status": sync.get("status")}
    if isinstance(history := status.get("history"), list):
        latest = history[-MAX_HISTORY:] if deployer.kind == "Application" else history[:MAX_HISTORY]
        kept["history"] = [_entry(entry) for entry in latest if isinstance(entry, Mapping)]
    conditions = [
        condition
        for condition in status.get("conditions") or []
        if isinstance(condition, Mapping) and condition.get("type") == "Ready"
    ]
    if conditions:
        kept["conditions"] = conditions
    return {
        "apiVersion": _API[deployer.kind][0],
        "kind": deployer.kind,
        "metadata": {"name": deployer.name, "namespace": deployer.namespace},
        "status": kept,
    }


def _entry(entry: Mapping[str, Any]) -> Object:
    return {key: entry[key] for key in _OF_ENTRY if entry.get(key) is not None}
