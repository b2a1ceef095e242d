"""Prometheus and servers of its API (Thanos, Mimir, VictoriaMetrics): metrics of the window, one document per question."""

from aletheia_operator.fetchers.prometheus.fetcher import PrometheusFetcher

FETCHER = PrometheusFetcher()

__all__ = ["FETCHER", "PrometheusFetcher"]
