"""How long data is kept: which sessions a limit lets go, and letting one go."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from aletheia_operator.session.files import replace
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.retention_record import read_retention_record
from aletheia_operator.session.staging import discard_tree, remove_session
from aletheia_operator.session.store import held, manifest_bytes, read_manifest
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
    """Remove a finished session's data and say so in its manifest, which stays. Raises SessionBusy, OSError.

    The manifest says it first: what a crash leaves of the data is removed by the next call.
    """
    directory = layout.session(session_id)
    with held(directory):
        manifest = read_manifest(layout, session_id)
        if manifest is None or not manifest.finished or read_retention_record(layout, session_id).legal_hold is not None:
            raise PermissionError(f"{session_id} is running or under legal hold")
        if manifest.expiration_time is None:
            manifest = manifest.model_copy(update={"expiration_time": now})
            replace(layout.manifest(session_id), manifest_bytes(manifest))
        discard_tree(directory / "data")
    return manifest


def remove(layout: SessionLayout, session_id: str) -> None:
    """Remove a session whose Investigation is gone. Raises SessionBusy, and PermissionError where it is held."""
    with held(layout.session(session_id)):
        if read_retention_record(layout, session_id).held:
            raise PermissionError(f"{session_id} is kept or under legal hold")
        remove_session(layout, session_id)
