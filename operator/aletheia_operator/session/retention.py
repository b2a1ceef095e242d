"""Removes the data of a session (expiry), or the whole session. The caller decides which."""

import shutil
from datetime import datetime

from aletheia_operator.session.files import replace
from aletheia_operator.session.layout import REPORT, SessionLayout
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import manifest_bytes, read_manifest
from aletheia_operator.session.retention_record import RetentionRecord, read_retention_record, retention_lock
from aletheia_operator.session.staging import discard_tree, hide_session


def expire(layout: SessionLayout, session_id: str, now: datetime) -> Manifest:
    """Remove a finished session's data. Returns the manifest, which stays and records the expiry.

    The manifest is written first: if a crash leaves data behind, the next call removes it. Raises SessionBusy, Unreadable,
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
        for path in directory.glob(f"{REPORT}*"):
            path.unlink()
        layout.journal(session_id).unlink(missing_ok=True)
    return manifest


def remove(layout: SessionLayout, session_id: str, *, by_hand: bool = False) -> None:
    """Remove a session and all in its directory. Raises SessionBusy, OSError, and PermissionError if it must be kept.

    `by_hand`: whether a user deletes it. Then only a hold prevents it; otherwise retention.keep and an import do, too.
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
