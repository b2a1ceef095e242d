"""Grafana Loki: log lines, also those that kubelets have removed and those of gone pods. One document per LogQL query."""

from aletheia_operator.fetchers.loki.fetcher import LokiFetcher
from aletheia_operator.fetchers.loki.pages import PAGE_ENTRIES

FETCHER = LokiFetcher()

__all__ = ["FETCHER", "PAGE_ENTRIES", "LokiFetcher"]
