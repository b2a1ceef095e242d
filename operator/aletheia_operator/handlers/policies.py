"""Decides what happens to sessions and finished resources. Pure: the sweeper reads the input and applies the decisions."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from aletheia_operator.api.status import TERMINAL_PHASES
from aletheia_operator.session import Manifest
from aletheia_operator.session.retention_record import RetentionRecord, legal_hold_of
from aletheia_operator.session.volume import Volume
from aletheia_operator.settings import Retention, VolumeShares

MANAGED_LABELS = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name")
MANAGED_ANNOTATIONS = ("argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name")
ARGOCD_HOOK = "argocd.argoproj.io/hook"
"""Marks of Flux, Argo CD and Helm on what they apply, and of Argo CD on what it creates once and does not create again."""

MIN_MASS_DELETION = 10
"""Least number of Investigations with sessions that is suspicious if they disappear at once."""


class Decision(Enum):
    """What happens to a session."""

    KEEP = "it stays"
    EXPIRE = "remove its artifacts, keep its manifest"
    ORPHAN = "record that its Investigation is gone"
    SPARE = "keep it until a user deletes it: its Investigation is gone, but perhaps nobody deleted it"
    REMOVE = "remove it with all its files"


@dataclass(frozen=True, slots=True)
class Resource:
    """The fields of an Investigation that retention needs: thousands are in memory during a sweep."""

    namespace: str
    name: str
    uid: str
    generation: int
    keep: bool
    artifacts_seconds: int | None
    """Seconds until the artifacts expire; the time to live too, if a tool would create the deleted Investigation again."""
    ttl_seconds: int | None
    """Seconds until the Investigation is deleted; None if a tool would create it again."""
    legal_hold: str | None
    phase: str | None
    completion_time: str | None
    condition_types: tuple[str, ...]
    session_id: str | None = None
    """Session id in the status; None if the status has none. The same holds for the next field."""
    manifest_sha256: str | None = None
    operator: str | None = None
    """Identity of the operator that captured it; None if no operator has marked it."""
    created_again: bool = False
    """Whether a tool would create the deleted Investigation again."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Resource":
        """Return the needed fields of a full Investigation."""
        metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        retention = spec.get("retention") or {}
        keep, artifacts_seconds = bool(retention.get("keep")), retention.get("artifactsSeconds")
        ttl_seconds = spec.get("ttlSecondsAfterFinished")
        created_again = is_created_again(metadata)
        if ttl_seconds is not None and created_again:
            if not keep:
                artifacts_seconds = ttl_seconds if artifacts_seconds is None else min(ttl_seconds, artifacts_seconds)
            ttl_seconds = None
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 1),
            keep=keep,
            artifacts_seconds=artifacts_seconds,
            ttl_seconds=ttl_seconds,
            legal_hold=legal_hold_of(metadata),
            phase=status.get("phase"),
            completion_time=status.get("completionTime"),
            condition_types=tuple(condition["type"] for condition in status.get("conditions") or []),
            session_id=(status.get("session") or {}).get("id"),
            manifest_sha256=(status.get("session") or {}).get("manifestSha256"),
            operator=status.get("operator"),
            created_again=created_again,
        )

    def record_changes(self) -> dict[str, Any]:
        """Return the fields of the retention record that follow from the resource. It exists, so its session is no orphan."""
        return {"keep": self.keep, "legal_hold": self.legal_hold, "orphaned_since": None, "spared": None}


def is_created_again(metadata: Mapping[str, Any]) -> bool:
    """Return whether a tool would create the object again after a deletion, so that it would be captured again."""
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if ARGOCD_HOOK in annotations:
        return False
    return any(name in labels for name in MANAGED_LABELS) or any(name in annotations for name in MANAGED_ANNOTATIONS)


@dataclass(frozen=True)
class SessionState:
    """A session of the volume, with its Investigation."""

    manifest: Manifest
    record: RetentionRecord
    resource: Resource | None
    """The Investigation that it belongs to (`owners`). None: it is not listed."""
    deletion_observed: bool = False
    """Whether the watch has shown the Investigation's deletion."""
    manifest_sha256: str = ""
    """SHA-256 of manifest.json, in hex; empty if it was not read."""

    @property
    def owner_uid(self) -> str:
        """Uid of the Investigation that the session is recorded to belong to."""
        return self.record.adopted_by or self.manifest.investigation.uid

    @property
    def must_be_adopted(self) -> bool:
        """Whether the Investigation was restored with a new uid, and that is not recorded yet."""
        return self.resource is not None and not self.record.imported and self.resource.uid != self.owner_uid


def decision_for(session: SessionState, now: datetime, retention: Retention, doubt: str | None = None) -> Decision:
    """Decide what happens to a session.

    `doubt`: why a missing Investigation may not have been deleted on purpose; None if there is no reason to assume that.
    """
    manifest, record = session.manifest, session.record
    if record.imported:
        return Decision.KEEP
    if session.resource is not None:
        return Decision.EXPIRE if _is_due(session.resource, manifest, record, now) else Decision.KEEP
    if record.orphaned_since is None:
        return Decision.ORPHAN
    if record.outlives_investigation:
        return Decision.KEEP
    if doubt is not None:
        return Decision.SPARE
    grace = timedelta(seconds=retention.orphan_grace_seconds)
    return Decision.REMOVE if session.deletion_observed or now - record.orphaned_since >= grace else Decision.KEEP


def is_settled(session: SessionState, now: datetime, retention: Retention, volume: Volume) -> bool:
    """Return whether there is nothing to do for a session. False without an Investigation."""
    resource, record = session.resource, session.record
    if resource is None or session.must_be_adopted or is_abandoned(session) or has_outdated_digest(session, volume):
        return False
    if not record.imported and record.model_copy(update=resource.record_changes()) != record:
        return False
    return decision_for(session, now, retention) is Decision.KEEP


def is_abandoned(session: SessionState, doubt: str | None = None) -> bool:
    """Return whether the manifest says that the capture runs, but no process will resume it. `doubt`: see `decision_for`."""
    if session.manifest.finished or session.record.imported:
        return False
    if session.resource is None:
        return doubt is None
    return session.resource.phase in TERMINAL_PHASES


def is_of_another(resource: Resource, volume: Volume) -> bool:
    """Return whether the operator that captured it has never used this volume, so that its session is on another."""
    return resource.operator is not None and resource.operator not in (volume.id, *volume.operators)


def has_outdated_digest(session: SessionState, volume: Volume) -> bool:
    """Return whether the digest in the status differs from that of the manifest, which expiry and resealing change.

    False if another operator captured the Investigation: its session has the same id, on another volume.
    """
    resource = session.resource
    if (
        resource is None
        or is_of_another(resource, volume)
        or session.record.imported
        or not session.manifest.finished
        or not session.manifest_sha256
    ):
        return False
    if resource.phase not in TERMINAL_PHASES or resource.session_id != session.manifest.session_id:
        return False
    return resource.manifest_sha256 != session.manifest_sha256


def _is_due(resource: Resource, manifest: Manifest, record: RetentionRecord, now: datetime) -> bool:
    """Return whether the artifacts have expired, or their removal has begun."""
    if manifest.expiration_time is not None:
        return True
    ended, seconds = manifest.completion_time, resource.artifacts_seconds
    if ended is None or seconds is None or record.hold_reason is not None or resource.legal_hold is not None:
        return False
    return ended + timedelta(seconds=seconds) <= now


def is_mass_deletion(gone: int, all_sessions: int) -> bool:
    """Return whether suspiciously many Investigations with sessions disappeared at once."""
    return gone >= MIN_MASS_DELETION and 2 * gone > all_sessions


def is_to_be_deleted(resource: Resource, now: datetime) -> bool:
    """Return whether the Investigation itself is to be deleted (spec.ttlSecondsAfterFinished)."""
    return resource.ttl_seconds is not None and _has_ended_for(resource, resource.ttl_seconds, now)


def _has_ended_for(resource: Resource, seconds: int, now: datetime) -> bool:
    """Return whether an Investigation without a hold ended at least so long ago."""
    if resource.legal_hold is not None or resource.phase not in TERMINAL_PHASES or resource.completion_time is None:
        return False
    return datetime.fromisoformat(resource.completion_time) + timedelta(seconds=seconds) <= now


def to_delete_for_history(resources: Iterable[Resource], retention: Retention, now: datetime) -> list[Resource]:
    """Return the finished Investigations above the history limit of their namespace, the oldest first.

    Those on hold, that a tool would create again, or that ended within the grace count and stay.
    """
    if retention.history_limit is None:
        return []
    finished: dict[str, list[Resource]] = {}
    for resource in resources:
        if resource.phase in TERMINAL_PHASES and resource.completion_time is not None:
            finished.setdefault(resource.namespace, []).append(resource)
    found = []
    for listed in finished.values():
        listed.sort(key=lambda resource: (resource.completion_time or "", resource.name))
        able = [
            resource
            for resource in listed
            if not resource.created_again and _has_ended_for(resource, retention.grace_seconds, now)
        ]
        found += able[: max(0, len(listed) - retention.history_limit)]
    return sorted(found, key=lambda resource: resource.completion_time or "")


def caps_of(retention: Retention, shares: VolumeShares, volume_bytes: int | None) -> Retention:
    """Return the retention with the cap on all evidence that follows from the volume's size, unless an admin set one.

    `volume_bytes` None: the size is not known, so there is no such cap.
    """
    if retention.total_bytes is not None or volume_bytes is None or not shares.total_share:
        return retention
    return replace(retention, total_bytes=volume_bytes * shares.total_share // 100)


def to_expire_for_caps(sessions: Iterable[SessionState], retention: Retention, now: datetime) -> list[Manifest]:
    """Return the sessions to expire so that the caps hold, if they can.

    All data counts, also of sessions that are kept, on hold, or still written. Only finished sessions without a hold expire,
    the oldest first, and none that ended within the grace. For the cap of all namespaces together, sessions of the largest
    namespace expire first, and none of a namespace that has at most an equal share of the cap.
    """
    kept = [session for session in sessions if session.manifest.expiration_time is None]
    sizes = Counter[str]()
    for session in kept:
        sizes[_namespace(session)] += session.manifest.size_bytes
    candidates = sorted(
        (session for session in kept if _may_expire(session, retention, now)), key=_age, reverse=True
    )  # the oldest at the end
    waiting: dict[str, list[SessionState]] = {}
    for session in candidates:
        waiting.setdefault(_namespace(session), []).append(session)
    gone: list[Manifest] = []

    def expire_oldest(namespace: str) -> None:
        manifest = waiting[namespace].pop().manifest
        sizes[namespace] -= manifest.size_bytes
        gone.append(manifest)

    if retention.namespace_bytes is not None:
        for namespace in sorted(waiting):
            while waiting[namespace] and sizes[namespace] > retention.namespace_bytes:
                expire_oldest(namespace)
    if retention.total_bytes is not None:
        share = retention.total_bytes / max(1, len(sizes))
        while sizes.total() > retention.total_bytes:
            able = [namespace for namespace, left in waiting.items() if left and sizes[namespace] > share]
            if not able:
                break
            expire_oldest(max(able, key=lambda namespace: (sizes[namespace], namespace)))
    return gone


def caps_stay_exceeded(sessions: Collection[SessionState], gone: Collection[Manifest], retention: Retention) -> bool:
    """Return whether a cap is exceeded by sessions that may not expire: they are kept, on hold, or within the grace."""
    ids = {session.session_id for session in gone}
    sizes = Counter[str]()
    for session in sessions:
        if session.manifest.expiration_time is None and session.manifest.session_id not in ids:
            sizes[_namespace(session)] += session.manifest.size_bytes
    return are_caps_exceeded(sizes, retention)


def are_caps_exceeded(sizes: Counter[str], retention: Retention) -> bool:
    """Return whether artifacts exceed a cap. `sizes`: bytes by namespace."""
    over_total = retention.total_bytes is not None and sizes.total() > retention.total_bytes
    over_one = retention.namespace_bytes is not None and any(size > retention.namespace_bytes for size in sizes.values())
    return over_total or over_one


def _may_expire(session: SessionState, retention: Retention, now: datetime) -> bool:
    ended = session.manifest.completion_time
    if ended is None or now - ended < timedelta(seconds=retention.grace_seconds):
        return False
    is_protected = session.resource is not None and (session.resource.keep or session.resource.legal_hold is not None)
    return not is_protected and not session.record.outlives_investigation


def _namespace(session: SessionState) -> str:
    return session.manifest.investigation.namespace


def _age(session: SessionState) -> tuple[datetime, str]:
    return session.manifest.completion_time or session.manifest.start_time, session.manifest.session_id
