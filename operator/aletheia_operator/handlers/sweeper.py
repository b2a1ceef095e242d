"""Applies retention to all sessions, periodically. There are no finalizers, so it also finds deletions that were missed.

`policies` decides, `settling` acts on one session, this module visits all. A pass that cannot list all resources does nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.cluster import look_at, move_in
from aletheia_operator.handlers.policies import (
    Resource,
    Session,
    caps_of,
    exceeded_caps,
    have_vanished,
    is_to_be_deleted,
    over_caps,
)
from aletheia_operator.handlers.settling import Settler, light
from aletheia_operator.session import Manifest, SessionBusy, SessionLayout, find_session
from aletheia_operator.session.catalog import sessions
from aletheia_operator.session.manifest_file import Unreadable
from aletheia_operator.session.retention_record import read_retention_record
from aletheia_operator.session.staging import remove_leftovers
from aletheia_operator.session.volume import usable_bytes
from aletheia_operator.settings import Retention, VolumeShares

log = logging.getLogger(__name__)

VANISHED = "most Investigations that have sessions disappeared at once"

Body = Mapping[str, Any]


@dataclass
class Sweeper:
    """All sessions of the volume in namespaces that this operator handles. `emit` posts a Kubernetes Event."""

    layout: SessionLayout
    kubernetes: Kubernetes
    emit: Callable[[Body, str, str, str], None]
    now: Callable[[], datetime]
    namespaces: Sequence[str] = ()
    """Namespaces to handle. Empty: all."""
    retention: Retention = field(default_factory=Retention)
    volume: VolumeShares = field(default_factory=VolumeShares)
    _held: set[str] = field(init=False, default_factory=set)
    """Uids of Investigations that the watch has shown on hold."""
    _last_warning: str = field(init=False, default="")
    """Last log message about the whole pass, so that it is logged once."""

    def __post_init__(self) -> None:
        self._settler = Settler(self.layout, self.kubernetes, self.emit, self.now, self.retention)

    async def observe(self, body: Body) -> None:
        """Record a legal hold at once when it is set or lifted: somebody may delete the session before the next pass."""
        resource = Resource.of(body)
        if (resource.legal_hold is not None) == (resource.uid in self._held):
            return
        try:
            manifest = await asyncio.to_thread(find_session, self.layout, resource.uid)
            if manifest is not None:
                await self._settler.remember(manifest, resource)
        except (OSError, SessionBusy, Unreadable) as e:
            log.warning("a legal hold is not recorded yet: %s", e)
            return
        (self._held.add if resource.legal_hold is not None else self._held.discard)(resource.uid)

    async def deleted(self, body: Body) -> None:
        """Remove the session of a resource that is gone, unless it is kept, or perhaps nobody deleted the resource."""
        resource = Resource.of(body)
        self._held.discard(resource.uid)
        self._settler.seen_to_go.add(resource.uid)
        try:
            manifest = await asyncio.to_thread(find_session, self.layout, resource.uid)
            if manifest is None:
                self._settler.seen_to_go.discard(resource.uid)
                return
            await self._settler.remember(manifest, resource)
            cluster = await look_at(self.kubernetes, self.layout)
            await self._settler.settle(Session(manifest, await self._settler.record(manifest), None, True), cluster)
        except (OSError, SessionBusy, Unreadable, SourceError) as e:
            log.warning("the session of a deleted Investigation is not removed yet: %s", e)

    async def sweep(self) -> None:
        """Do one pass. Raises SourceError if the resources cannot be listed, OSError if the volume cannot be read."""
        manifests = await asyncio.to_thread(self._manifests)  # before the list, so that no session is newer than it
        resources = await self._resources()
        cluster = await look_at(self.kubernetes, self.layout)
        self._warn_once(f"no session of a missing Investigation is removed: {cluster.unknown}" if cluster.unknown else "")
        await asyncio.to_thread(remove_leftovers, self.layout)
        found = [await self._session(manifest, digest, resources) for manifest, digest in manifests]
        gone = [session for session in found if self._is_unexplained(session)]
        vanished = VANISHED if have_vanished(len(gone), sum(not session.record.imported for session in found)) else None
        for session in found:
            await self._guarded(session.manifest, self._settler.settle(session, cluster, vanished))
        if cluster.unknown is None:
            await move_in(cluster, self.layout)
        await self._apply_caps(found)
        for resource in resources.values():
            if is_to_be_deleted(resource, self.now()):
                await self._delete(resource)

    def _is_unexplained(self, session: Session) -> bool:
        """Return whether the Investigation is gone without a seen deletion, and the session would be removed with it."""
        seen = session.seen_to_go or session.record.outlives_investigation
        return session.resource is None and not seen

    def _manifests(self) -> list[tuple[Manifest, str]]:
        """Return what a pass needs of each manifest, with the manifest's SHA-256."""
        found = ((entry.manifest, entry.manifest_sha256) for entry in sessions(self.layout))
        return [(light(session), digest) for session, digest in found if session is not None and self._handles(session)]

    def _handles(self, manifest: Manifest) -> bool:
        return not self.namespaces or manifest.investigation.namespace in self.namespaces

    async def _resources(self) -> dict[str, Resource]:
        """Return every Investigation by uid. Raises SourceError if they cannot all be listed."""
        resources: dict[str, Resource] = {}
        for path in paths.investigations(self.namespaces):
            async for item in self.kubernetes.list(path):
                resource = Resource.of(item)
                resources[resource.uid] = resource
        return resources

    async def _session(self, manifest: Manifest, digest: str, resources: Mapping[str, Resource]) -> Session:
        uid = manifest.investigation.uid
        record, seen_to_go = await self._settler.record(manifest), uid in self._settler.seen_to_go
        return Session(manifest, record, resources.get(uid), seen_to_go, digest)

    async def _guarded(self, manifest: Manifest, work: Any) -> None:
        """Do `work` for one session. Its errors are logged, and do not affect other sessions."""
        try:
            await work
        except (OSError, SessionBusy, Unreadable, SourceError) as e:
            log.warning("session %s is not changed in this pass: %s", manifest.session_id, e)
        except Exception:
            log.exception("session %s is not changed in this pass", manifest.session_id)

    async def _apply_caps(self, found: Sequence[Session]) -> None:
        """Expire sessions so that the caps hold."""
        if not found:
            return
        volume_bytes = await asyncio.to_thread(usable_bytes, self.layout, self.volume.volume_bytes)
        caps = caps_of(self.retention, self.volume, volume_bytes)
        if not exceeded_caps(found, (), caps):
            return
        fresh = await asyncio.to_thread(self._read_again, found)
        gone = over_caps(fresh, caps, self.now())
        for manifest in gone:
            await self._guarded(manifest, self._settler.expire(manifest, for_a_cap=True))
        if exceeded_caps(fresh, gone, caps):
            log.warning("a retention cap is exceeded by sessions that are kept, on hold or within graceSeconds")

    def _read_again(self, found: Sequence[Session]) -> list[Session]:
        """Return the sessions with the changes of this pass."""
        known = {session.manifest.session_id: session for session in found}
        fresh = []
        for manifest, _ in self._manifests():
            record = read_retention_record(self.layout, manifest.session_id)
            resource = known[manifest.session_id].resource if manifest.session_id in known else None
            fresh.append(Session(manifest, record, resource))
        return fresh

    async def _delete(self, resource: Resource) -> None:
        """Delete a finished Investigation, unless it was put on hold meanwhile; its session follows as for any deletion."""
        path = paths.investigation(resource.namespace, resource.name)
        try:
            if is_to_be_deleted(Resource.of(await self.kubernetes.get(path)), self.now()):
                await self.kubernetes.delete(path, resource.uid)
                log.info("%s/%s was deleted: its time to live is over", resource.namespace, resource.name)
        except SourceError as e:
            log.warning("%s/%s cannot be deleted: %s", resource.namespace, resource.name, e.message)

    def _warn_once(self, message: str) -> None:
        """Log a message about the whole pass once, not in each pass."""
        if message and message != self._last_warning:
            log.warning("%s", message)
        self._last_warning = message
