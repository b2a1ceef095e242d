"""Adds the nearest names to the error for a target that does not exist.

Speaks GET on the collection of the target's kind, as metadata alone.
"""

import asyncio

from aletheia_operator.api import Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.kubernetes.resources import collection
from aletheia_operator.text.nearest import hint

MAX_NAMES = 500
"""Names that are listed and compared."""


async def with_near_names(error: SourceError, kubernetes: Kubernetes, namespace: str, target: Target) -> SourceError:
    """Return the error for a target; if the target does not exist, with its namespace and the nearest names there.

    If the names may not be listed, only the namespace is added.
    """
    kind, name = (target.workload.kind, target.workload.name) if target.workload else ("Pod", target.pod)
    if error.reason != GapReason.NOT_FOUND or name is None:
        return error
    names: list[str] = []
    try:
        async for item in kubernetes.list(collection(kind, namespace), metadata_only=True):
            names.append(item["metadata"]["name"])
            if len(names) >= MAX_NAMES:
                break
    except SourceError:
        names = []
    near = await asyncio.to_thread(hint, name, names)
    return Rejected(f"namespace {namespace} has no {kind} {name}{near} ({error.message})", GapReason.NOT_FOUND)
