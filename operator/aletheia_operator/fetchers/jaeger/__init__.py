"""Jaeger: traces by search, by id, and of the ids that logs mention."""

from aletheia_operator.fetchers.jaeger.fetcher import JaegerFetcher

FETCHER = JaegerFetcher()

__all__ = ["FETCHER", "JaegerFetcher"]
