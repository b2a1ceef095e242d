"""Grafana Loki: log lines that the kubelet no longer has, and those of pods long gone. One document per LogQL query."""

from aletheia_operator.fetchers.loki.fetcher import LokiFetcher
from aletheia_operator.fetchers.loki.pages import PAGE_ENTRIES

__all__ = ["PAGE_ENTRIES", "LokiFetcher"]
