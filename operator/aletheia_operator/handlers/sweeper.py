"""Keeps sessions as long as their resources say, and no longer. There are no finalizers: what was missed is found here.

Nothing is removed on a guess: a pass that cannot list every resource does nothing, a session whose resource seems gone is
asked for once more by name, and only after a grace, unless its deletion was seen.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import ConditionReason, GapReason
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.status_writer import StatusWriter
from aletheia_operator.session import Manifest, SessionBusy, SessionLayout, find_session
from aletheia_operator.session.catalog import sessions
from aletheia_operator.session.manifest_file import Unreadable
from aletheia_operator.session.retention import expire, over_caps, remove
from aletheia_operator.session.retention_record import (
    RetentionRecord,
    legal_hold_of,
    read_retention_record,
    update_retention_record,
)
from aletheia_operator.session.staging import remove_leftovers
from aletheia_operator.settings import Retention

log = logging.getLogger(__name__)

EXPIRED = ConditionReason.ARTIFACTS_EXPIRED.value

Body = Mapping[str, Any]


@dataclass
class Sweeper:
    """Every session of the volume whose namespace this operator handles. `emit` posts a Kubernetes Event."""

    layout: SessionLayout
    kubernetes: Kubernetes
    emit: Callable[[Body, str, str, str], None]
    now: Callable[[], datetime]
    namespaces: Sequence[str] = ()
    """Empty: all."""
    retention: Retention = field(default_factory=Retention)
    _seen_to_go: set[str] = field(init=False, default_factory=set)

    async def deleted(self, body: Body) -> None:
        """The resource is gone: so goes its session, unless it is to be kept."""
        uid = body["metadata"]["uid"]
        self._seen_to_go.add(uid)
        try:
            manifest = await asyncio.to_thread(find_session, self.layout, uid)
            if manifest is None:
                self._seen_to_go.discard(uid)
                return
            await self._remember(manifest, body)
            await self._orphan(manifest)
        except (OSError, SessionBusy, Unreadable) as e:
            log.warning("the session of a deleted Investigation is not removed yet: %s", e)

    async def sweep(self) -> None:
        """One pass. Raises SourceError where the resources cannot be listed, OSError where the volume cannot be read."""
        manifests = await asyncio.to_thread(self._manifests)  # before the list: no session is younger than it
        resources = await self._resources()
        await asyncio.to_thread(remove_leftovers, self.layout)
        for manifest in manifests:
            body = resources.get(manifest.investigation.uid)
            try:
                await (self._orphan(manifest) if body is None else self._keep_as_said(manifest, body))
            except (OSError, SessionBusy, Unreadable) as e:
                log.warning("session %s is left as it is: %s", manifest.session_id, e)
        await self._hold_caps(resources)

    def _manifests(self) -> list[Manifest]:
        found = (entry.manifest for entry in sessions(self.layout))
        return [_light(manifest) for manifest in found if manifest is not None and self._handles(manifest)]

    def _handles(self, manifest: Manifest) -> bool:
        return not self.namespaces or manifest.investigation.namespace in self.namespaces

    async def _resources(self) -> dict[str, Body]:
        """Every Investigation by uid, without what is large. Raises SourceError: part of them is as good as none."""
        resources: dict[str, Body] = {}
        for path in paths.investigations(self.namespaces):
            async for item in self.kubernetes.list(path):
                status = item.get("status") or {}
                resources[item["metadata"]["uid"]] = {
                    "apiVersion": paths.API_VERSION,
                    "kind": "Investigation",
                    "metadata": item["metadata"],
                    "spec": {"retention": (item.get("spec") or {}).get("retention")},
                    "status": {"conditions": status.get("conditions") or [], "session": status.get("session") or {}},
                }
        return resources

    async def _keep_as_said(self, manifest: Manifest, body: Body) -> None:
        record = await self._remember(manifest, body)
        if record.imported:
            return
        seconds = (body["spec"].get("retention") or {}).get("artifactsSeconds")
        ended = manifest.completion_time
        due = seconds is not None and ended is not None and ended + timedelta(seconds=seconds) <= self.now()
        if manifest.expiration_time is not None or (due and record.hold_reason is None):
            await self._expire(manifest, body)

    async def _remember(self, manifest: Manifest, body: Body) -> RetentionRecord:
        """Note on the volume what the resource says; what was said on the volume itself stays."""
        return await asyncio.to_thread(update_retention_record, self.layout, manifest.session_id, **_retention_of(body))

    async def _expire(self, manifest: Manifest, body: Body | None) -> None:
        """Remove the data and say so; each step again where a crash came before it."""
        expired = await asyncio.to_thread(expire, self.layout, manifest.session_id, self.now())
        if body is None or any(one["type"] == EXPIRED for one in body["status"]["conditions"]):
            return
        message = f"the data of session {manifest.session_id} was removed at {expired.expiration_time:%Y-%m-%dT%H:%M:%SZ}"
        await StatusWriter(self.kubernetes, body, self.now).add_condition(EXPIRED, ConditionReason.ARTIFACTS_EXPIRED, message)
        self.emit(body, "Normal", EXPIRED, message)
        log.info("%s/%s: %s", manifest.investigation.namespace, manifest.investigation.name, message)

    async def _orphan(self, manifest: Manifest) -> None:
        """A session whose resource is not listed: noted, then removed when it is sure and nothing holds it."""
        record = await asyncio.to_thread(read_retention_record, self.layout, manifest.session_id)
        uid, since = manifest.investigation.uid, record.orphaned_since
        if since is None:
            since = self.now()
            keep = record.keep or bool((manifest.spec.get("retention") or {}).get("keep") and uid not in self._seen_to_go)
            record = await asyncio.to_thread(
                update_retention_record, self.layout, manifest.session_id, orphaned_since=since, keep=keep
            )
            log.warning("session %s is orphaned: its Investigation is gone", manifest.session_id)
        if record.outlives_investigation:
            self._seen_to_go.discard(uid)
            return
        sure = uid in self._seen_to_go or self.now() - since >= timedelta(seconds=self.retention.orphan_grace_seconds)
        if sure and not await self._exists(manifest):
            await asyncio.to_thread(remove, self.layout, manifest.session_id)
            self._seen_to_go.discard(uid)
            log.info("session %s was removed: its Investigation is gone", manifest.session_id)

    async def _exists(self, manifest: Manifest) -> bool:
        """Whether the resource is there after all; also where that cannot be known."""
        owner = manifest.investigation
        try:
            found = await self.kubernetes.get(paths.investigation(owner.namespace, owner.name))
        except Rejected as e:
            return e.reason != GapReason.NOT_FOUND
        except SourceError:
            return True
        return bool(found["metadata"]["uid"] == owner.uid)

    async def _hold_caps(self, resources: Mapping[str, Body]) -> None:
        def unheld() -> list[Manifest]:
            free = [one for one in self._manifests() if one.expiration_time is None]
            return [one for one in free if not read_retention_record(self.layout, one.session_id).outlives_investigation]

        if self.retention.namespace_bytes is None and self.retention.total_bytes is None:
            return
        for manifest in over_caps(await asyncio.to_thread(unheld), self.retention, self.now()):
            try:
                await self._expire(manifest, resources.get(manifest.investigation.uid))
            except (OSError, SessionBusy, Unreadable) as e:
                log.warning("session %s is left as it is: %s", manifest.session_id, e)


def _light(manifest: Manifest) -> Manifest:
    """What a pass needs of a manifest, artifacts as one of their size: thousands of sessions must fit in memory."""
    artifacts = [one.model_copy(update={"size_bytes": manifest.size_bytes}) for one in manifest.artifacts[:1]]
    spec = {"retention": manifest.spec.get("retention")}
    return manifest.model_copy(update={"artifacts": artifacts, "gaps": [], "spec": spec, "encryption": None})


def _retention_of(body: Body) -> dict[str, Any]:
    """What the resource says of its session. An annotation with any value but `false` holds it."""
    keep = bool(((body.get("spec") or {}).get("retention") or {}).get("keep"))
    return {"keep": keep, "legal_hold": legal_hold_of(body["metadata"]), "orphaned_since": None}
