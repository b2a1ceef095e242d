"""Finds reasons to doubt that a missing Investigation was deleted: the cluster is another, or the definition is gone."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

from aletheia_operator.api import paths
from aletheia_operator.clients.errors import SourceError, if_found
from aletheia_operator.clients.kubernetes import METADATA_ONLY_OBJECT, Kubernetes
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.volume import Volume, bind_volume, open_volume, rebind_volume

log = logging.getLogger(__name__)

CLUSTER = "/api/v1/namespaces/kube-system"
ANOTHER_CLUSTER = "the session is of another cluster than this one"
NO_DEFINITION = "the definition of Investigations was deleted, and every Investigation with it"


@dataclass(frozen=True)
class ClusterState:
    """Identity of the cluster, and state of the Investigations' definition, at one moment."""

    uid: str | None
    """Of the namespace kube-system; None if it could not be looked up."""
    volume: Volume
    defined_at: datetime | None
    """When the definition of Investigations was made; None if there is none, or if it is being deleted."""
    unknown: str | None = None
    """Why the state could not be read. None: it was read."""

    def doubt(self, seen_at: datetime) -> str | None:
        """Return why a session's Investigation may be gone although nobody deleted it; None if nothing suggests that.

        `seen_at`: when the Investigation is known to have existed.
        """
        if self.defined_at is None or self.defined_at > seen_at:
            return NO_DEFINITION
        return ANOTHER_CLUSTER if self.volume.cluster not in (None, self.uid) else None


async def read_cluster(kubernetes: Kubernetes, layout: SessionLayout) -> ClusterState:
    """Read the cluster's state. If that fails, `unknown` says why. Raises OSError if the volume cannot be read."""
    volume = await asyncio.to_thread(open_volume, layout)
    try:
        found = await kubernetes.get(CLUSTER, accept=METADATA_ONLY_OBJECT)
        uid = str(found["metadata"]["uid"])
        defined_at = await _defined_at(kubernetes)
    except SourceError as e:
        return ClusterState(None, volume, None, e.message)
    if volume.cluster is None:
        volume = await asyncio.to_thread(bind_volume, layout, uid)
    return ClusterState(uid, volume, defined_at)


async def record_cluster(cluster: ClusterState, layout: SessionLayout) -> None:
    """Record this cluster as the volume's. Call it after the sessions of another cluster are spared."""
    if cluster.uid is not None and cluster.volume.cluster != cluster.uid:
        await asyncio.to_thread(rebind_volume, layout, cluster.uid)
        log.warning("the session volume was another cluster's; its sessions without an Investigation here are kept")


async def _defined_at(kubernetes: Kubernetes) -> datetime | None:
    found = await if_found(kubernetes.get(paths.CRD, accept=METADATA_ONLY_OBJECT))
    if found is None:
        return None
    metadata = found["metadata"]
    return None if metadata.get("deletionTimestamp") else datetime.fromisoformat(metadata["creationTimestamp"])
