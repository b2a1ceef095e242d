"""How long data is kept: which sessions a limit lets go, and letting one go."""

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from aletheia_operator.session.files import replace
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import manifest_bytes, read_manifest
from aletheia_operator.session.retention_record import RetentionRecord, read_retention_record, retention_lock
from aletheia_operator.session.staging import discard_tree, hide_session
from aletheia_operator.settings import Retention


def over_caps(manifests: Iterable[Manifest], caps: Retention, now: datetime) -> list[Manifest]:
    """Which of these unheld, unexpired sessions to let go so that the caps hold: the oldest ended first. Pure."""
    kept = sorted(
        manifests, key=lambda one: (one.completion_time is None, one.completion_time or one.start_time, one.session_id)
    )
    gone: list[Manifest] = []
    for namespace in sorted({one.investigation.namespace for one in kept}):
        own = [one for one in kept if one.investigation.namespace == namespace]
        gone += _oldest_over(own, caps.namespace_bytes, caps, now)
    left = [one for one in kept if one not in gone]
    return gone + _oldest_over(left, caps.total_bytes, caps, now)


def _oldest_over(sessions: Sequence[Manifest], limit: int | None, caps: Retention, now: datetime) -> list[Manifest]:
    excess = sum(one.size_bytes for one in sessions) - limit if limit is not None else 0
    gone = []
    for one in sessions:
        ended = one.completion_time
        if excess <= 0 or ended is None or now - ended < timedelta(seconds=caps.grace_seconds):
            break
        gone.append(one)
        excess -= one.size_bytes
    return gone


def expire(layout: SessionLayout, session_id: str, now: datetime) -> Manifest:
    """Remove a finished session's data and say so in its manifest, which stays; the manifest.

    The manifest says it first: what a crash leaves of the data is removed by the next call. Raises SessionBusy, Unreadable,
    OSError; PermissionError if the capture has not ended, or the session is on hold or imported.
    """
    directory = layout.session(session_id)
    with locked(directory):
        manifest = read_manifest(layout, session_id)
        if not manifest.finished:
            raise PermissionError(f"{session_id} is not expired: its capture has not ended")
        with retention_lock(layout):
            record = read_retention_record(layout, session_id)
            if record.imported:
                raise PermissionError(f"{session_id} is not expired: it was imported, and stays until it is deleted by hand")
            _require_no_hold(session_id, record)
            if manifest.expiration_time is None:
                manifest = manifest.model_copy(update={"expiration_time": now})
                replace(layout.manifest(session_id), manifest_bytes(manifest))
        discard_tree(directory / "data")
        layout.journal(session_id).unlink(missing_ok=True)
    return manifest


def remove(layout: SessionLayout, session_id: str, *, by_hand: bool = False) -> None:
    """Remove a session and all that is in its directory. Raises SessionBusy, OSError, and PermissionError if it is to stay.

    `by_hand`: a person asked for it, so that only a hold keeps it; else also retention.keep and an import do.
    """
    with locked(layout.session(session_id)):
        with retention_lock(layout):
            record = read_retention_record(layout, session_id)
            _require_no_hold(session_id, record)
            if record.outlives_investigation and not by_hand:
                raise PermissionError(f"{session_id} is kept: `aletheia session delete` removes it")
            hidden = hide_session(layout, session_id)
        shutil.rmtree(hidden, ignore_errors=True)


def _require_no_hold(session_id: str, record: RetentionRecord) -> None:
    if (reason := record.hold_reason) is not None:
        raise PermissionError(f"{session_id} is under legal hold ({reason})")
