"""The session on disk: names, layout, atomic store, manifest."""

from aletheia_operator.session.artifact import ArtifactWriter, encoded
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.lock import SessionBusy
from aletheia_operator.session.manifest import Artifact, Gap, InvestigationReference, Manifest
from aletheia_operator.session.names import generate_timestamp, sanitize_filename
from aletheia_operator.session.reading import read_artifact
from aletheia_operator.session.store import (
    Done,
    Session,
    create_session,
    find_session,
)

__all__ = [
    "Artifact",
    "ArtifactWriter",
    "Done",
    "Gap",
    "InvestigationReference",
    "Manifest",
    "Session",
    "SessionBusy",
    "SessionLayout",
    "create_session",
    "encoded",
    "find_session",
    "generate_timestamp",
    "read_artifact",
    "sanitize_filename",
]
