"""The fetchers: one module or package for each type of DataSource in `api/source_types`, and those of Kubernetes."""

from importlib import import_module
from pathlib import Path

import yaml

from aletheia_operator.api.source_types import SOURCE_TYPES, SourceType
from aletheia_operator.fetchers.base import Fetcher, RemoteFetcher
from aletheia_operator.fetchers.kubernetes import KubernetesEventsFetcher, KubernetesLogsFetcher, KubernetesObjectsFetcher
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.fetchers.prometheus.templates import parse_templates


def _fetcher(source_type: SourceType) -> RemoteFetcher:
    fetcher: RemoteFetcher = import_module(f"{__name__}.{source_type.name}").FETCHER
    return fetcher


FETCHERS: tuple[Fetcher, ...] = (
    KubernetesLogsFetcher(),
    KubernetesEventsFetcher(),
    KubernetesObjectsFetcher(),
    *(_fetcher(source_type) for source_type in SOURCE_TYPES if source_type.has_fetcher),
)


def with_templates(file: Path | None) -> tuple[Fetcher, ...]:
    """Return the fetchers with the metric templates in a YAML file. None: the built-in ones. Raises OSError or ValueError."""
    if file is None:
        return FETCHERS
    try:
        own = parse_templates(yaml.safe_load(file.read_text()) or {})
    except yaml.YAMLError as e:
        raise ValueError(f"{file} is not YAML") from e
    return tuple(PrometheusFetcher(own) if isinstance(fetcher, PrometheusFetcher) else fetcher for fetcher in FETCHERS)


__all__ = ["FETCHERS", "Fetcher", "RemoteFetcher", "with_templates"]
