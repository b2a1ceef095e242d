"""Sessions on disk: names, layout, atomic store and manifest."""

from aletheia_operator.session.artifact import EntryBuffer, WrittenFile, encoded, read_artifact
from aletheia_operator.session.journal import Done, Origin
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.lock import SessionBusy
from aletheia_operator.session.manifest import (
    Artifact,
    Gap,
    InvestigationReference,
    Manifest,
    RedactionRecord,
    VerdictSummary,
)
from aletheia_operator.session.manifest_file import is_report_path
from aletheia_operator.session.names import generate_timestamp, sanitize_filename
from aletheia_operator.session.store import (
    Session,
    create_session,
    find_session,
)

__all__ = [
    "Artifact",
    "Done",
    "EntryBuffer",
    "Gap",
    "InvestigationReference",
    "Manifest",
    "Origin",
    "RedactionRecord",
    "Session",
    "SessionBusy",
    "SessionLayout",
    "VerdictSummary",
    "WrittenFile",
    "create_session",
    "encoded",
    "find_session",
    "generate_timestamp",
    "is_report_path",
    "read_artifact",
    "sanitize_filename",
]
