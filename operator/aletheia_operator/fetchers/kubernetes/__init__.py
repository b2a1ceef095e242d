"""Kubernetes: logs, events and objects of the targets."""

from aletheia_operator.fetchers.kubernetes.events import KubernetesEventsFetcher
from aletheia_operator.fetchers.kubernetes.logs import KubernetesLogsFetcher
from aletheia_operator.fetchers.kubernetes.objects import KubernetesObjectsFetcher

__all__ = ["KubernetesEventsFetcher", "KubernetesLogsFetcher", "KubernetesObjectsFetcher"]
