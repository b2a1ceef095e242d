"""Paths of our own resources in the Kubernetes API."""

from collections.abc import Sequence

from aletheia_operator.api.types import GROUP, VERSION

API = f"/apis/{GROUP}/{VERSION}"
API_VERSION = f"{GROUP}/{VERSION}"
ARTIFACTS_GROUP = "artifacts.aletheia.dev"
ARTIFACTS_VERSION = "v1alpha1"
ARTIFACTS_ROOT = f"/apis/{ARTIFACTS_GROUP}/{ARTIFACTS_VERSION}"
"""The aggregated API that serves sessions."""
ARTIFACTS_API_SERVICE = f"/apis/apiregistration.k8s.io/v1/apiservices/{ARTIFACTS_VERSION}.{ARTIFACTS_GROUP}"
"""Its registration."""
INVESTIGATIONS = "investigations"
DATA_SOURCES = f"{API}/datasources"
CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{INVESTIGATIONS}.{GROUP}"
"""The definition of Investigations. Deleting it deletes every Investigation."""


def investigation(namespace: str, name: str) -> str:
    """Return the path of one Investigation."""
    return f"{API}/namespaces/{namespace}/{INVESTIGATIONS}/{name}"


def investigations(namespaces: Sequence[str] = ()) -> list[str]:
    """Return the collections of Investigations, one for each of `namespaces`. Empty: that of the whole cluster."""
    return [f"{API}/namespaces/{namespace}/{INVESTIGATIONS}" for namespace in namespaces] or [f"{API}/{INVESTIGATIONS}"]


def data_source(name: str) -> str:
    """Return the path of one DataSource."""
    return f"{DATA_SOURCES}/{name}"
