"""Finds the objects that a pod's spec refers to by name. Pure."""

from collections.abc import Mapping
from typing import Any

CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
MIRROR = "kubernetes.io/config.mirror"
"""Annotation of a mirror pod, which represents a static pod in the API."""

MAX_NAMES = 1_000
"""Most names of a kind that are taken from one pod. More objects are not read anyway, which is a gap."""


def pod_references(pod: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the names of the ConfigMaps, Secrets and PersistentVolumeClaims that a pod's spec refers to, by kind."""
    spec = pod["spec"]
    found: dict[str, set[str]] = {"ConfigMap": set(), "Secret": set(), "PersistentVolumeClaim": set()}

    def note(kind: str, source: Any, key: str = "name") -> None:
        if isinstance(source, dict) and source.get(key) and len(found[kind]) < MAX_NAMES:
            found[kind].add(source[key])

    for pull in spec.get("imagePullSecrets") or []:
        note("Secret", pull)
    for volume in spec.get("volumes") or []:
        note("ConfigMap", volume.get("configMap"))
        note("Secret", volume.get("secret"), "secretName")
        note("PersistentVolumeClaim", volume.get("persistentVolumeClaim"), "claimName")
        if "ephemeral" in volume:
            note("PersistentVolumeClaim", {"name": f"{pod['metadata']['name']}-{volume['name']}"})
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
    """Return every container of a pod's spec, including init and ephemeral ones."""
    return [container for key in CONTAINERS for container in pod_spec.get(key) or []]
