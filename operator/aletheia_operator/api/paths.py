"""Paths of our own resources in the Kubernetes API."""

from collections.abc import Sequence

from aletheia_operator.api.types import GROUP, VERSION

API = f"/apis/{GROUP}/{VERSION}"
API_VERSION = f"{GROUP}/{VERSION}"
INVESTIGATIONS = "investigations"
DATA_SOURCES = f"{API}/datasources"
CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{INVESTIGATIONS}.{GROUP}"
"""The definition of Investigations. While it is being deleted, every Investigation is deleted with it."""


def investigation(namespace: str, name: str) -> str:
    """One Investigation."""
    return f"{API}/namespaces/{namespace}/{INVESTIGATIONS}/{name}"


def investigations(namespaces: Sequence[str] = ()) -> list[str]:
    """The collections of Investigations: one for each of the `namespaces`, or that of the whole cluster if there are none."""
    return [f"{API}/namespaces/{namespace}/{INVESTIGATIONS}" for namespace in namespaces] or [f"{API}/{INVESTIGATIONS}"]


def data_source(name: str) -> str:
    """One DataSource."""
    return f"{DATA_SOURCES}/{name}"
