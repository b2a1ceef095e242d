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

MIN_MASS_DELETION = 10
"""Least number of Investigations with sessions that is suspicious if they disappear at once."""


class Fate(Enum):
    """What happens to a session."""

    KEEP = "it stays"
    EXPIRE = "remove its artifacts, keep its manifest"
    ORPHAN = "record that its Investigation is gone"
    SPARE = "keep it until a user deletes it: its Investigation is gone, but perhaps nobody deleted it"
    REMOVE = "remove it with all its files"


@dataclass(frozen=True)
class Resource:
    """The fields of an Investigation that retention needs: thousands are in memory during a sweep."""

    namespace: str
    name: str
    uid: str
    generation: int
    keep: bool
    artifacts_seconds: int | None
    ttl_seconds: int | None
    legal_hold: str | None
    phase: str | None
    completion_time: str | None
    condition_types: tuple[str, ...]
    session_id: str | None = None
    """Session id in the status; None if the status has none. The same holds for the next field."""
    manifest_sha256: str | None = None
    operator: str | None = None
    """Identity of the operator that captured it; None if no operator has marked it."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Resource":
        """Return the needed fields of a full Investigation."""
        metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        retention = spec.get("retention") or {}
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 1),
            keep=bool(retention.get("keep")),
            artifacts_seconds=retention.get("artifactsSeconds"),
            ttl_seconds=spec.get("ttlSecondsAfterFinished"),
            legal_hold=legal_hold_of(metadata),
            phase=status.get("phase"),
            completion_time=status.get("completionTime"),
            condition_types=tuple(condition["type"] for condition in status.get("conditions") or []),
            session_id=(status.get("session") or {}).get("id"),
            manifest_sha256=(status.get("session") or {}).get("manifestSha256"),
            operator=status.get("operator"),
        )

    def record_changes(self) -> dict[str, Any]:
        """Return the fields of the retention record that follow from the resource. It exists, so its session is no orphan."""
        return {"keep": self.keep, "legal_hold": self.legal_hold, "orphaned_since": None, "spared": None}


@dataclass(frozen=True)
class Session:
    """A session of the volume, with its Investigation."""

    manifest: Manifest
    record: RetentionRecord
    resource: Resource | None
    """The Investigation. None: it is not listed."""
    seen_to_go: bool = False
    """Whether the watch has shown the Investigation's deletion."""
    manifest_sha256: str = ""
    """SHA-256 of manifest.json, in hex; empty if it was not read."""


def fate_of(session: Session, now: datetime, retention: Retention, doubt: str | None = None) -> Fate:
    """Decide what happens to a session.

    `doubt`: why a missing Investigation may not have been deleted on purpose; None if there is no reason to assume that.
    """
    manifest, record = session.manifest, session.record
    if record.imported:
        return Fate.KEEP
    if session.resource is not None:
        return Fate.EXPIRE if _is_due(session.resource, manifest, record, now) else Fate.KEEP
    if record.orphaned_since is None:
        return Fate.ORPHAN
    if record.outlives_investigation:
        return Fate.KEEP
    if doubt is not None:
        return Fate.SPARE
    grace = timedelta(seconds=retention.orphan_grace_seconds)
    return Fate.REMOVE if session.seen_to_go or now - record.orphaned_since >= grace else Fate.KEEP


def is_abandoned(session: Session, doubt: str | None = None) -> bool:
    """Return whether the manifest says that the capture runs, but no process will resume it. `doubt`: see `fate_of`."""
    if session.manifest.finished or session.record.imported:
        return False
    if session.resource is None:
        return doubt is None
    return session.resource.phase in TERMINAL_PHASES


def is_of_another(resource: Resource, volume: Volume) -> bool:
    """Return whether the operator that captured it has never used this volume, so that its session is on another."""
    return resource.operator is not None and resource.operator not in (volume.id, *volume.operators)


def is_told_wrongly(session: Session, volume: Volume) -> bool:
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


def have_vanished(gone: int, all_sessions: int) -> bool:
    """Return whether suspiciously many Investigations with sessions disappeared at once."""
    return gone >= MIN_MASS_DELETION and 2 * gone > all_sessions


def is_to_be_deleted(resource: Resource, now: datetime) -> bool:
    """Return whether the Investigation itself is to be deleted (spec.ttlSecondsAfterFinished)."""
    if resource.ttl_seconds is None or resource.legal_hold is not None or resource.phase not in TERMINAL_PHASES:
        return False
    if resource.completion_time is None:
        return False
    return datetime.fromisoformat(resource.completion_time) + timedelta(seconds=resource.ttl_seconds) <= now


def caps_of(retention: Retention, shares: VolumeShares, volume_bytes: int | None) -> Retention:
    """Return the retention with the cap on all evidence that follows from the volume's size, unless an admin set one.

    `volume_bytes` None: the size is not known, so there is no such cap.
    """
    if retention.total_bytes is not None or volume_bytes is None or not shares.total_share:
        return retention
    return replace(retention, total_bytes=volume_bytes * shares.total_share // 100)


def over_caps(sessions: Iterable[Session], retention: Retention, now: datetime) -> list[Manifest]:
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
        (session for session in kept if _may_go(session, retention, now)), key=_age, reverse=True
    )  # the oldest at the end
    waiting: dict[str, list[Session]] = {}
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


def exceeded_caps(sessions: Collection[Session], gone: Collection[Manifest], retention: Retention) -> bool:
    """Return whether a cap is exceeded by sessions that may not expire: they are kept, on hold, or within the grace."""
    ids = {session.session_id for session in gone}
    sizes = Counter[str]()
    for session in sessions:
        if session.manifest.expiration_time is None and session.manifest.session_id not in ids:
            sizes[_namespace(session)] += session.manifest.size_bytes
    over_total = retention.total_bytes is not None and sizes.total() > retention.total_bytes
    over_one = retention.namespace_bytes is not None and any(size > retention.namespace_bytes for size in sizes.values())
    return over_total or over_one


def _may_go(session: Session, retention: Retention, now: datetime) -> bool:
    ended = session.manifest.completion_time
    if ended is None or now - ended < timedelta(seconds=retention.grace_seconds):
        return False
    is_protected = session.resource is not None and (session.resource.keep or session.resource.legal_hold is not None)
    return not is_protected and not session.record.outlives_investigation


def _namespace(session: Session) -> str:
    return session.manifest.investigation.namespace


def _age(session: Session) -> tuple[datetime, str]:
    return session.manifest.completion_time or session.manifest.start_time, session.manifest.session_id
