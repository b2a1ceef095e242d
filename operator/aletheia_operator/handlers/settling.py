"""Applies retention to one session: reads the input of `policies`, and applies their decisions.

It reads a resource again right before it changes the session: a hold may have been set since the resource was listed.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aletheia_operator import metrics
from aletheia_operator.api import paths
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import if_found
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.cluster_state import ClusterState
from aletheia_operator.handlers.owners import owns
from aletheia_operator.handlers.policies import (
    Decision,
    Resource,
    SessionState,
    decision_for,
    has_outdated_digest,
    is_abandoned,
    is_of_another,
)
from aletheia_operator.handlers.status_writer import StatusWriter
from aletheia_operator.investigate.abandoned import end_abandoned
from aletheia_operator.session import Manifest, SessionLayout
from aletheia_operator.session.index import light
from aletheia_operator.session.manifest_file import read_session
from aletheia_operator.session.retention import expire, remove
from aletheia_operator.session.retention_record import RetentionRecord, adopt, read_retention_record, update_retention_record
from aletheia_operator.session.volume import open_volume
from aletheia_operator.settings import Retention

log = logging.getLogger(__name__)

EXPIRED = ConditionReason.ARTIFACTS_EXPIRED.value

Body = Mapping[str, Any]


@dataclass
class Settler:
    """Applies retention to sessions of the volume. `emit` posts a Kubernetes Event.

    Its methods raise SessionBusy, Unreadable and OSError for the volume, SourceError for the API.
    """

    layout: SessionLayout
    kubernetes: Kubernetes
    emit: Callable[[Body, str, str, str], None]
    now: Callable[[], datetime]
    retention: Retention
    observed_deletions: set[str] = field(default_factory=set)
    """Uids of Investigations that the watch showed to be deleted, until their sessions are settled."""

    async def settle(self, session: SessionState, cluster: ClusterState, mass_deletion: str | None = None) -> None:
        """Apply the decision of `policies` to one session."""
        if session.resource is not None and not session.record.imported:
            if session.must_be_adopted:
                await self._adopt(session.manifest, session.resource)
            session = replace(session, record=await self.remember(session.manifest, session.resource))
        doubt = mass_deletion or cluster.doubt(session.record.adopted_at or session.manifest.start_time)
        if cluster.unknown is None and is_abandoned(session, doubt):
            resource = session.resource
            taken_over = resource is not None and is_of_another(resource, cluster.volume)
            phase = resource.phase if resource is not None and not taken_over else None
            session_id = session.manifest.session_id
            ended = await asyncio.to_thread(end_abandoned, self.layout, session_id, self.now(), phase, taken_over)
            session = replace(session, manifest=light(ended))
            log.warning("session %s: its capture ended without a final manifest; it is %s now", ended.session_id, ended.phase)
        decision = decision_for(session, self.now(), self.retention, doubt)
        if decision is Decision.ORPHAN:
            session = replace(session, record=await self._orphan(session))
            decision = decision_for(session, self.now(), self.retention, doubt)
        if decision is Decision.EXPIRE:
            await self.expire(session.manifest)
        elif decision is Decision.KEEP and session.resource is None and session.record.outlives_investigation:
            self.observed_deletions.discard(session.owner_uid)
        elif decision is Decision.SPARE and cluster.unknown is None:
            await self._spare(session, doubt or "")
        elif decision is Decision.REMOVE and cluster.unknown is None:
            await self._remove(session)
        if has_outdated_digest(session, cluster.volume):
            await self._write_digest(session.manifest)

    async def _write_digest(self, manifest: Manifest) -> None:
        """Write the manifest's current digest to the status."""
        body = await self._current(manifest)
        if body is None:
            return
        _, content = await asyncio.to_thread(read_session, self.layout.session(manifest.session_id))
        writer = StatusWriter(self.kubernetes, body, self.now)
        await writer.write_digest(manifest.session_id, hashlib.sha256(content).hexdigest())

    async def remember(self, manifest: Manifest, resource: Resource) -> RetentionRecord:
        """Record the resource's retention and hold on the volume. Holds that users set on the volume stay."""
        changes = resource.record_changes()
        return await asyncio.to_thread(update_retention_record, self.layout, manifest.session_id, **changes)

    async def _adopt(self, manifest: Manifest, resource: Resource) -> None:
        """Record that the session belongs to this Investigation, which was restored with a new uid."""
        await asyncio.to_thread(adopt, self.layout, manifest.session_id, resource.uid, resource.legal_hold, self.now())
        message = "session %s belongs to the restored Investigation %s/%s"
        log.warning(message, manifest.session_id, resource.namespace, resource.name)

    async def record(self, manifest: Manifest) -> RetentionRecord:
        return await asyncio.to_thread(read_retention_record, self.layout, manifest.session_id)

    async def _orphan(self, session: SessionState) -> RetentionRecord:
        """Record that the Investigation is gone. If its deletion was not seen, `keep` of the manifest counts."""
        manifest = session.manifest
        keep_requested = bool((manifest.spec.get("retention") or {}).get("keep")) and not session.deletion_observed
        changes = {"orphaned_since": self.now(), "keep": session.record.keep or keep_requested}
        log.warning("session %s is orphaned: its Investigation is gone", manifest.session_id)
        return await asyncio.to_thread(update_retention_record, self.layout, manifest.session_id, **changes)

    async def _spare(self, session: SessionState, why: str) -> None:
        """Keep a session until a user deletes it: perhaps nobody deleted its Investigation."""
        session_id = session.manifest.session_id
        if await self._is_back(session):
            return
        await asyncio.to_thread(update_retention_record, self.layout, session_id, spared=why)
        self.observed_deletions.discard(session.owner_uid)
        log.warning("session %s is kept until a user deletes it, although its Investigation is gone: %s", session_id, why)

    async def _remove(self, session: SessionState) -> None:
        if await self._is_back(session):
            return
        session_id = session.manifest.session_id
        await asyncio.to_thread(remove, self.layout, session_id)
        self.observed_deletions.discard(session.owner_uid)
        log.info("session %s was removed: its Investigation is gone", session_id)

    async def _is_back(self, session: SessionState) -> bool:
        """Return whether the session has an Investigation now: its own, or one with its name and a status that names it."""
        body, manifest = await self._with_name_in(session.manifest), session.manifest
        if body is None:
            return False
        resource = Resource.of(body)
        return owns(resource.uid, manifest, session.record) or resource.session_id == manifest.session_id

    async def _current(self, manifest: Manifest) -> Body | None:
        """Return the current resource; None if it is certainly gone. Raises SourceError if that cannot be known."""
        found, record = await self._with_name_in(manifest), await self.record(manifest)
        return found if found is not None and owns(found["metadata"]["uid"], manifest, record) else None

    async def _with_name_in(self, manifest: Manifest) -> Body | None:
        """Return the Investigation that has the name in the manifest; None if there is none. Raises SourceError."""
        owner = manifest.investigation
        return await if_found(self.kubernetes.get(paths.investigation(owner.namespace, owner.name)))

    async def expire(self, manifest: Manifest, for_a_cap: bool = False) -> None:
        """Remove the artifacts, and report it. Repeats steps that a crash prevented.

        Reads the resource again first: a hold may have been set since it was listed.
        """
        body = await self._current(manifest)
        resource = None if body is None else Resource.of(body)
        record = await (self.record(manifest) if resource is None else self.remember(manifest, resource))
        due = decision_for(SessionState(manifest, record, resource), self.now(), self.retention) is Decision.EXPIRE
        if not due and (not for_a_cap or record.outlives_investigation):
            return
        expired = await asyncio.to_thread(expire, self.layout, manifest.session_id, self.now())
        metrics.EXPIRED.inc()
        if body is None or resource is None or EXPIRED in resource.condition_types:
            return
        message = f"the data of session {manifest.session_id} was removed at {expired.expiration_time:%Y-%m-%dT%H:%M:%SZ}"
        if not due:
            message += ": the evidence on the volume exceeded its cap; spec.retention.keep or a legal hold protects from that"
        await StatusWriter(self.kubernetes, body, self.now).add_condition(EXPIRED, ConditionReason.ARTIFACTS_EXPIRED, message)
        if not is_of_another(resource, await asyncio.to_thread(open_volume, self.layout)):
            await self._write_digest(expired)
        self.emit(body, "Normal", EXPIRED, message)
        log.info("%s/%s: %s", manifest.investigation.namespace, manifest.investigation.name, message)
