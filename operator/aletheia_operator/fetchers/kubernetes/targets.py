"""Which pods a target means: by name, by labels, or by workload through owner references.

Speaks GET /api/v1/namespaces/{namespace}/pods and the workloads of apps/v1 and batch/v1. All Kubernetes fetchers use it.
"""

from typing import Any

from aletheia_operator.api import LabelSelector, Target, WorkloadReference
from aletheia_operator.clients.kubernetes import Kubernetes

_WORKLOAD_PATHS = {
    "Deployment": "apis/apps/v1", "StatefulSet": "apis/apps/v1", "DaemonSet": "apis/apps/v1",
    "ReplicaSet": "apis/apps/v1", "Job": "apis/batch/v1", "CronJob": "apis/batch/v1",
}  # fmt: skip
_INTERMEDIATE = {"Deployment": "replicasets", "CronJob": "jobs"}  # what stands between the workload and its pods


def describe(target: Target) -> str:
    """A target in a person's words: `pod/NAME`, `deployment/NAME`, `pods KEY=VALUE`."""
    if target.pod is not None:
        return f"pod/{target.pod}"
    if target.workload is not None:
        return f"{target.workload.kind.lower()}/{target.workload.name}"
    return f"pods {selector_text(target.selector)}" if target.selector else "pods"


def selector_text(selector: LabelSelector) -> str:
    """The selector as the API's `labelSelector` parameter."""
    return label_query(selector.to_json())


def label_query(selector: dict[str, Any]) -> str:
    """A metav1.LabelSelector as the API's `labelSelector` parameter."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(expression.get("values") or [])
        match expression["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
    return ",".join(parts)


async def find_pods(kubernetes: Kubernetes, namespace: str, target: Target) -> list[dict[str, Any]]:
    """The pods of a target as they are now, in order of name. Raises SourceError."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    if target.pod is not None:
        return [await kubernetes.get(f"{pods}/{target.pod}")]
    if target.selector is not None:
        found = [pod async for pod in kubernetes.list(pods, {"labelSelector": selector_text(target.selector)})]
    else:
        assert target.workload is not None
        found = await _pods_of_workload(kubernetes, namespace, target.workload)
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


async def _pods_of_workload(kubernetes: Kubernetes, namespace: str, workload: WorkloadReference) -> list[dict[str, Any]]:
    base = f"/{_WORKLOAD_PATHS[workload.kind]}/namespaces/{namespace}"
    top = await kubernetes.get(f"{base}/{workload.kind.lower()}s/{workload.name}")
    query = {"labelSelector": label_query(top["spec"]["selector"])} if "selector" in top["spec"] else {}
    above = {top["metadata"]["uid"]}
    if workload.kind in _INTERMEDIATE:
        between = kubernetes.list(f"{base}/{_INTERMEDIATE[workload.kind]}", query)
        above = {child["metadata"]["uid"] async for child in between if owners(child) & above}
    if not above:
        return []
    return [pod async for pod in kubernetes.list(f"/api/v1/namespaces/{namespace}/pods", query) if owners(pod) & above]


def owners(resource: dict[str, Any]) -> set[str]:
    """The uids of a resource's owners."""
    return {owner["uid"] for owner in resource["metadata"].get("ownerReferences") or []}
