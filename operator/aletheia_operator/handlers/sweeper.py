"""Applies retention to all sessions, periodically. There are no finalizers, so it also finds deletions that were missed.

`policies` decides, `settling` acts on one session, this module visits all. A pass that cannot list all resources does nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.cluster_state import ClusterState, read_cluster, record_cluster
from aletheia_operator.handlers.owners import Resources, owner_of, session_of
from aletheia_operator.handlers.policies import (
    Resource,
    SessionState,
    are_caps_exceeded,
    caps_of,
    caps_stay_exceeded,
    is_mass_deletion,
    is_settled,
    is_to_be_deleted,
    to_delete_for_history,
    to_expire_for_caps,
)
from aletheia_operator.handlers.settling import Settler
from aletheia_operator.session import Manifest, SessionBusy, SessionLayout
from aletheia_operator.session.index import SessionIndex
from aletheia_operator.session.manifest_file import Unreadable
from aletheia_operator.session.retention_record import read_retention_record
from aletheia_operator.session.staging import remove_leftovers
from aletheia_operator.session.volume import usable_bytes
from aletheia_operator.settings import Retention, VolumeShares

log = logging.getLogger(__name__)

MAX_OF_HISTORY = 200
"""Most Investigations that one pass deletes for the history limit: other sessions must not wait for it."""
MASS_DELETION = "most Investigations that have sessions disappeared at once"

Body = Mapping[str, Any]


@dataclass
class _Seen:
    """The sessions of one pass."""

    captured: int = 0
    """Number of sessions that were not imported."""
    unexplained: int = 0
    """Number of sessions with an Investigation that is gone, for no known reason."""
    unsettled: list[SessionState] = field(default_factory=list)
    """Sessions for which there is something to do: of thousands, only a few."""


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
    index: SessionIndex | None = None
    """Index of the volume. None: the sweeper makes its own."""
    _held: set[str] = field(init=False, default_factory=set)
    """Uids of Investigations that the watch has shown on hold."""
    _last_warning: str = field(init=False, default="")
    """Last log message about the whole pass, so that it is logged once."""

    def __post_init__(self) -> None:
        self._index = self.index or SessionIndex(self.layout)
        self._settler = Settler(self.layout, self.kubernetes, self.emit, self.now, self.retention)

    async def observe(self, body: Body) -> None:
        """Record a legal hold at once when it is set or lifted: somebody may delete the session before the next pass."""
        resource = Resource.of(body)
        if (resource.legal_hold is not None) == (resource.uid in self._held):
            return
        try:
            manifest = await asyncio.to_thread(session_of, self.layout, resource)
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
        self._settler.observed_deletions.add(resource.uid)
        try:
            manifest = await asyncio.to_thread(session_of, self.layout, resource)
            if manifest is None:
                self._settler.observed_deletions.discard(resource.uid)
                return
            await self._settler.remember(manifest, resource)
            cluster = await read_cluster(self.kubernetes, self.layout)
            await self._settler.settle(SessionState(manifest, await self._settler.record(manifest), None, True), cluster)
        except (OSError, SessionBusy, Unreadable, SourceError) as e:
            log.warning("the session of a deleted Investigation is not removed yet: %s", e)

    async def sweep(self) -> None:
        """Do one pass. Raises SourceError if the resources cannot be listed, OSError if the volume cannot be read."""
        # before the list, so that no session is newer than it
        manifests = await asyncio.to_thread(self._index.manifests, self.namespaces)
        resources = await self._resources()
        cluster = await read_cluster(self.kubernetes, self.layout)
        self._warn_once(f"no session of a missing Investigation is removed: {cluster.unknown}" if cluster.unknown else "")
        await asyncio.to_thread(remove_leftovers, self.layout)
        seen = await asyncio.to_thread(self._look, manifests, resources, cluster)
        mass_deletion = MASS_DELETION if is_mass_deletion(seen.unexplained, seen.captured) else None
        for session in seen.unsettled:
            await self._guarded(session.manifest, self._settler.settle(session, cluster, mass_deletion))
        if cluster.unknown is None:
            await record_cluster(cluster, self.layout)
        await self._apply_caps(resources)
        await self._delete_finished(list(resources.values()))

    def _is_unexplained(self, session: SessionState) -> bool:
        """Return whether the Investigation is gone without a seen deletion, and the session would be removed with it."""
        seen = session.deletion_observed or session.record.outlives_investigation
        return session.resource is None and not seen

    async def _resources(self) -> Resources:
        """Return every Investigation by namespace and name. Raises SourceError if they cannot all be listed."""
        resources: dict[tuple[str, str], Resource] = {}
        for path in paths.investigations(self.namespaces):
            async for page in self.kubernetes.pages(path, lambda items: [Resource.of(item) for item in items]):
                resources.update(((resource.namespace, resource.name), resource) for resource in page)
        return resources

    def _look(self, manifests: Iterable[tuple[Manifest, str]], resources: Resources, cluster: ClusterState) -> "_Seen":
        """Look at each session with its Investigation and retention record, one after the other. Blocks."""
        now, seen = self.now(), _Seen()
        for manifest, digest in manifests:
            session = self._session(manifest, digest, resources)
            seen.captured += not session.record.imported
            seen.unexplained += self._is_unexplained(session)
            if not is_settled(session, now, self.retention, cluster.volume):
                seen.unsettled.append(session)
        return seen

    def _session(self, manifest: Manifest, digest: str, resources: Resources) -> SessionState:
        record = read_retention_record(self.layout, manifest.session_id)
        session = SessionState(manifest, record, owner_of(manifest, digest, record, resources), manifest_sha256=digest)
        return replace(session, deletion_observed=session.owner_uid in self._settler.observed_deletions)

    async def _guarded(self, manifest: Manifest, work: Any) -> None:
        """Do `work` for one session. Its errors are logged, and do not affect other sessions."""
        try:
            await work
        except (OSError, SessionBusy, Unreadable, SourceError) as e:
            log.warning("session %s is not changed in this pass: %s", manifest.session_id, e)
        except Exception:
            log.exception("session %s is not changed in this pass", manifest.session_id)

    async def exceeds_caps(self, *, fresh: bool = False) -> bool:
        """Return whether evidence exceeds a cap. Raises OSError. `fresh`: see `SessionIndex.sizes`."""
        sizes = await asyncio.to_thread(self._index.sizes, self.namespaces, fresh=fresh)
        return bool(sizes) and are_caps_exceeded(sizes, await self._caps())

    async def _caps(self) -> Retention:
        volume_bytes = await asyncio.to_thread(usable_bytes, self.layout, self.volume.volume_bytes)
        return caps_of(self.retention, self.volume, volume_bytes)

    async def _apply_caps(self, resources: Resources) -> None:
        """Expire sessions so that the caps hold."""
        if not await self.exceeds_caps(fresh=True):
            return
        caps = await self._caps()
        fresh = await asyncio.to_thread(
            lambda: [self._session(*found, resources) for found in self._index.manifests(self.namespaces)]
        )
        gone = to_expire_for_caps(fresh, caps, self.now())
        for manifest in gone:
            await self._guarded(manifest, self._settler.expire(manifest, for_a_cap=True))
        if caps_stay_exceeded(fresh, gone, caps):
            log.warning("a retention cap is exceeded by sessions that are kept, on hold or within graceSeconds")

    async def _delete_finished(self, resources: Sequence[Resource]) -> None:
        """Delete finished Investigations that are too old or too many. Their sessions follow as for any deletion."""
        for resource in resources:
            if is_to_be_deleted(resource, self.now()):
                await self._delete(resource, "its time to live is over", lambda fresh: is_to_be_deleted(fresh, self.now()))
        alone = replace(self.retention, history_limit=0)
        for resource in to_delete_for_history(resources, self.retention, self.now())[:MAX_OF_HISTORY]:
            why = f"its namespace has more than {self.retention.history_limit} finished ones"
            await self._delete(resource, why, lambda fresh: bool(to_delete_for_history([fresh], alone, self.now())))

    async def _delete(self, resource: Resource, why: str, may_go: Callable[[Resource], bool]) -> None:
        """Delete a finished Investigation, unless it changed meanwhile, for example was put on hold."""
        path = paths.investigation(resource.namespace, resource.name)
        try:
            fresh = Resource.of(await self.kubernetes.get(path))
            if fresh.uid == resource.uid and may_go(fresh):
                await self.kubernetes.delete(path, resource.uid)
                log.info("%s/%s was deleted: %s", resource.namespace, resource.name, why)
        except SourceError as e:
            if e.reason is not GapReason.NOT_FOUND:
                log.warning("%s/%s cannot be deleted: %s", resource.namespace, resource.name, e.message)

    def _warn_once(self, message: str) -> None:
        """Log a message about the whole pass once, not in each pass."""
        if message and message != self._last_warning:
            log.warning("%s", message)
        self._last_warning = message
