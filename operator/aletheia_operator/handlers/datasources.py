"""Writes the status of DataSources: checks each endpoint when it is new, when it changes, and from time to time.

DataSources are listed here, not watched by kopf: its timers would leave finalizers.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator import metrics
from aletheia_operator.api import DataSourceSpec, paths
from aletheia_operator.api.datasource import ALL_NAMESPACES
from aletheia_operator.api.reasons import ConditionReason, Reason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.s3 import Bucket
from aletheia_operator.datasources.finder import endpoint_of, parse_spec, reached
from aletheia_operator.datasources.secrets import Secrets
from aletheia_operator.fetchers import RemoteFetcher
from aletheia_operator.handlers.status import condition
from aletheia_operator.investigate import Tools
from aletheia_operator.text.display import for_status
from aletheia_operator.text.timestamps import format_time

LOOK_INTERVAL_SECONDS = 10
CHECK_INTERVAL = timedelta(minutes=5)
RETRY_INTERVAL = timedelta(seconds=30)  # of one that could not be used: its Secret may come later than it
CHECK_TIMEOUT_SECONDS = 10  # a check that hangs must not delay the others
MAX_VERSION = 100
MAX_ERROR = 600

log = logging.getLogger(__name__)

Item = Mapping[str, Any]


async def watch(tools: Tools) -> None:
    """Check DataSources that are due, until cancelled."""
    while True:
        try:
            await check_due(tools)
        except SourceError as e:
            log.warning("DataSources cannot be checked: %s", e.message)
        except Exception:
            log.exception("checking DataSources failed")
        await asyncio.sleep(LOOK_INTERVAL_SECONDS)


async def check_due(tools: Tools) -> None:
    """Check all DataSources that are due once, concurrently. A fault of one check is logged, and does not affect others."""
    found = [item async for item in tools.kubernetes.list(paths.DATA_SOURCES)]
    metrics.forget_other_data_sources({item["metadata"]["name"] for item in found})
    async with asyncio.TaskGroup() as group:
        for item in found:
            if is_due(item, tools.now()):
                group.create_task(_check_or_log(item, tools))


async def _check_or_log(item: Item, tools: Tools) -> None:
    try:
        await check(item, tools)
    except Exception:
        log.exception("checking DataSource %s failed", item["metadata"]["name"])


def is_due(item: Item, now: datetime) -> bool:
    status = item.get("status") or {}
    if status.get("observedGeneration") != item["metadata"]["generation"] or not status.get("lastCheck"):
        return True
    interval = CHECK_INTERVAL if status.get("lastError") is None else RETRY_INTERVAL
    return now - datetime.fromisoformat(status["lastCheck"]) >= interval


async def check(item: Item, tools: Tools) -> None:
    """Check one endpoint, and write the result to its status."""
    name = item["metadata"]["name"]
    version: str | None = None
    reason: Reason = ConditionReason.ANSWERED
    error: str | None = None
    spec: DataSourceSpec | None = None
    try:
        spec = parse_spec(dict(item))
        secrets = Secrets(tools.kubernetes, tools.operator_namespace, name)
        endpoint = await endpoint_of(name, spec, secrets, tools.operator_namespace or "")  # some servers need a tenant
        timeout_seconds = min(endpoint.timeout_seconds, CHECK_TIMEOUT_SECONDS)
        endpoint = replace(endpoint, namespace="", timeout_seconds=timeout_seconds)
        endpoint = reached(endpoint, tools.ca_bundle, tools.proxy)
        reported = await _probe(spec, endpoint, tools)
        version = endpoint.quoter(reported or "", MAX_VERSION) or None
    except SourceError as e:
        reason, error = e.reason, for_status(e.message, MAX_ERROR)
    metrics.REACHABLE.labels(name).set(error is None)
    now = tools.now().replace(microsecond=0)
    before = (item.get("status") or {}).get("conditions") or []
    generation = item["metadata"]["generation"]
    status = {
        "observedGeneration": generation,
        "version": version,
        "lastCheck": format_time(now),
        "lastError": error,
        "conditions": [
            condition("Reachable", error is None, reason.value, error or reason.text, generation, before, now),
            *([_confined(spec, generation, before, now)] if spec is not None and spec.is_read else []),
        ],
    }
    try:
        await tools.kubernetes.patch_status(paths.data_source(name), status, item["metadata"]["uid"])
    except SourceError as e:
        log.warning("the status of DataSource %s cannot be written: %s", name, e.message)


def confinement(spec: DataSourceSpec) -> tuple[bool, ConditionReason]:
    """Return whether an Investigation reads data of its own namespace alone, and why or why not."""
    if spec.confining_label is not None:
        return True, ConditionReason.NAMESPACE_LABEL
    if spec.is_confined:
        return True, ConditionReason.NAMESPACE_TENANT
    if spec.allowed_namespaces is None:
        return False, ConditionReason.NOT_CONFINED
    is_for_all = ALL_NAMESPACES in spec.allowed_namespaces
    return False, ConditionReason.ALL_NAMESPACES if is_for_all else ConditionReason.NAMED_NAMESPACES


def _confined(spec: DataSourceSpec, generation: int, before: Sequence[Item], now: datetime) -> dict[str, Any]:
    holds, reason = confinement(spec)
    return condition("Confined", holds, reason.value, reason.text, generation, before, now)


async def _probe(spec: DataSourceSpec, endpoint: Endpoint, tools: Tools) -> str | None:
    """Return the server's version; None if it reports none. Raises SourceError if it does not answer."""
    if spec.type == "s3":
        return await asyncio.to_thread(Bucket(endpoint).check)
    return await _fetcher(tools.fetchers, spec.type).probe(endpoint, tools.http)


def _fetcher(fetchers: Sequence[object], source_type: str) -> RemoteFetcher:
    return next(fetcher for fetcher in fetchers if isinstance(fetcher, RemoteFetcher) and fetcher.source_type == source_type)
