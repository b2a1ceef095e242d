"""The fetchers, one module for each kind of source. To add one, write its module and list it in FETCHERS."""

from pathlib import Path

import yaml

from aletheia_operator.fetchers.base import Fetcher, RemoteFetcher
from aletheia_operator.fetchers.jaeger import JaegerFetcher
from aletheia_operator.fetchers.kubernetes import KubernetesEventsFetcher, KubernetesLogsFetcher, KubernetesObjectsFetcher
from aletheia_operator.fetchers.loki import LokiFetcher
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.fetchers.prometheus.templates import parse_templates

FETCHERS: tuple[Fetcher, ...] = (
    KubernetesLogsFetcher(),
    KubernetesEventsFetcher(),
    KubernetesObjectsFetcher(),
    PrometheusFetcher(),
    JaegerFetcher(),
    LokiFetcher(),
)


def with_templates(file: Path | None) -> tuple[Fetcher, ...]:
    """Return the fetchers with the metric templates in a YAML file. None: the built-in ones. Raises OSError or ValueError."""
    if file is None:
        return FETCHERS
    try:
        own = parse_templates(yaml.safe_load(file.read_text()) or {})
    except yaml.YAMLError as e:
        raise ValueError(f"{file} is not YAML") from e
    return tuple(PrometheusFetcher(own) if isinstance(one, PrometheusFetcher) else one for one in FETCHERS)


__all__ = ["FETCHERS", "Fetcher", "RemoteFetcher", "with_templates"]
