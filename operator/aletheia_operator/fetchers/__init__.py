"""One module for each kind of source. To add one: write its module, list it here."""

from aletheia_operator.fetchers.base import Fetcher, RemoteFetcher
from aletheia_operator.fetchers.jaeger import JaegerFetcher
from aletheia_operator.fetchers.kubernetes_events import KubernetesEventsFetcher
from aletheia_operator.fetchers.kubernetes_logs import KubernetesLogsFetcher
from aletheia_operator.fetchers.kubernetes_objects import KubernetesObjectsFetcher
from aletheia_operator.fetchers.prometheus import PrometheusFetcher

FETCHERS: tuple[Fetcher, ...] = (
    KubernetesLogsFetcher(),
    KubernetesEventsFetcher(),
    KubernetesObjectsFetcher(),
    PrometheusFetcher(),
    JaegerFetcher(),
)

__all__ = ["FETCHERS", "Fetcher", "RemoteFetcher"]
