"""Finds the Investigation of a session, and the session of an Investigation, also after a restore.

An Investigation that is restored from a backup has a new uid. It gets the session back that its restored status names, if the
status also has the digest of the session's manifest. Only the operator and admins may write a status: a tenant who creates an
Investigation with the same name gets a session of its own.
"""

from collections.abc import Mapping

from aletheia_operator.api.status import TERMINAL_PHASES
from aletheia_operator.handlers.policies import Resource
from aletheia_operator.session import Manifest, SessionLayout, find_session
from aletheia_operator.session.manifest_file import Unreadable, read_manifest
from aletheia_operator.session.names import is_session_id
from aletheia_operator.session.retention_record import RetentionRecord, read_retention_record

Resources = Mapping[tuple[str, str], Resource]
"""The existing Investigations, by namespace and name."""


def owner_of(manifest: Manifest, manifest_sha256: str, record: RetentionRecord, resources: Resources) -> Resource | None:
    """Return the Investigation that the session belongs to; None if it is gone.

    `manifest_sha256`: SHA-256 of manifest.json, in hex; empty if it was not read.
    """
    resource = resources.get((manifest.investigation.namespace, manifest.investigation.name))
    if resource is None:
        return None
    is_owner = owns(resource.uid, manifest, record) or _is_restored(resource, manifest, manifest_sha256)
    return resource if is_owner else None


def owns(uid: str, manifest: Manifest, record: RetentionRecord) -> bool:
    """Return whether the session was captured for the Investigation with this uid, or was given to it after a restore."""
    return uid in (manifest.investigation.uid, record.adopted_by)


def session_of(layout: SessionLayout, resource: Resource) -> Manifest | None:
    """Return the manifest of the Investigation's session; None if it has none, or not yet. Blocks. Raises OSError."""
    manifest = find_session(layout, resource.uid)
    if manifest is not None or resource.session_id is None or not is_session_id(resource.session_id):
        return manifest
    try:
        manifest = read_manifest(layout, resource.session_id)
    except Unreadable:
        return None
    return manifest if read_retention_record(layout, resource.session_id).adopted_by == resource.uid else None


def _is_restored(resource: Resource, manifest: Manifest, manifest_sha256: str) -> bool:
    """Return whether the status of an Investigation with the name in the manifest proves that the session is its own."""
    if not manifest.finished or resource.phase not in TERMINAL_PHASES or not manifest_sha256:
        return False
    return (resource.session_id, resource.manifest_sha256) == (manifest.session_id, manifest_sha256)
