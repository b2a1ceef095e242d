"""Finds out whether a queued Investigation would lose evidence by waiting.

It would if its pods are being deleted, or crash again and again. Reads only the first pods of each target, with the identity
that the capture would have.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aletheia_operator.api import Target
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.identity import Identity
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.kubernetes.resources import collection, read_one
from aletheia_operator.fetchers.kubernetes.targets import label_query
from aletheia_operator.investigate import Order, Tools
from aletheia_operator.text.display import one_line

MAX_TARGETS = 3
MAX_PODS = 50
LOOK_SECONDS = 10.0

log = logging.getLogger(__name__)

Object = Mapping[str, Any]


async def why_urgent(order: Order, tools: Tools) -> str | None:
    """Return why the Investigation should not wait; None if nothing is known that speaks for it, or if it cannot be read."""
    account = order.spec.service_account_name or tools.default_service_account
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            kubernetes = await Identity(tools.kubernetes, order.owner.namespace, account, order.seen_at).kubernetes()
            for target in (order.spec.targets or ())[:MAX_TARGETS]:
                if (why := await _of_target(kubernetes, order.owner.namespace, target)) is not None:
                    return why
    except (SourceError, TimeoutError) as e:
        log.debug("%s/%s: its pods cannot be looked at: %s", order.owner.namespace, order.owner.name, e)
    return None


async def _of_target(kubernetes: Kubernetes, namespace: str, target: Target) -> str | None:
    if target.pod is not None:
        return await read_one(kubernetes, "Pod", namespace, target.pod, lambda pod: of_pods([pod]))
    if target.selector is not None:
        selector = label_query(target.selector.to_json())
    elif target.workload is not None:
        selector = await read_one(kubernetes, target.workload.kind, namespace, target.workload.name, _selector_of)
    else:
        return None
    if not selector:
        return None
    query = {"labelSelector": selector, "limit": str(MAX_PODS)}
    return await kubernetes.read(collection("Pod", namespace), lambda answer: of_pods(answer.get("items") or []), query)


def _selector_of(workload: Object) -> str:
    """Return the label selector of a workload's pods; '' for a CronJob, which has none."""
    selector = (workload.get("spec") or {}).get("selector") or {}
    return label_query({"matchLabels": selector} if workload["kind"] == "ReplicationController" else selector)


def of_pods(pods: Sequence[Object]) -> str | None:
    """Return why evidence of these pods is about to be lost; None if it is not."""
    for pod in pods:
        name, status = one_line(str(pod["metadata"]["name"])), pod.get("status") or {}
        if pod["metadata"].get("deletionTimestamp"):
            return f"pod {name} is being deleted"
        for kind in ("containerStatuses", "initContainerStatuses"):
            for container in status.get(kind) or []:
                waiting = (container.get("state") or {}).get("waiting") or {}
                if waiting.get("reason") == "CrashLoopBackOff":
                    return f"pod {name} crashes again and again, and only the log of its last run is kept"
    return None
