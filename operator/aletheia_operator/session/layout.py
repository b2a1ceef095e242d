"""Paths of sessions and their files. All paths come from here."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aletheia_operator.session.seal import SEALED_SUFFIX

CATEGORIES = ("logs", "metrics", "traces", "events", "objects")
SINGLES = ("timeline", "findings")
"""Categories of which a session has exactly one file."""
MANIFEST, RETENTION_RECORD, REPORT, JOURNAL = "manifest.json", "custody.json", "report.html", "journal.ndjson"
"""Names of files in a session's directory."""


def category_of(path: str) -> str:
    """Return the category of an artifact, sealed or not; '' if it has none. `path`: as in the manifest."""
    plain = path.removesuffix(SEALED_SUFFIX)
    single = next((category for category in SINGLES if plain == f"data/{category}.json"), "")
    return single or next((category for category in CATEGORIES if plain.startswith(f"data/{category}/")), "")


@dataclass(frozen=True)
class SessionLayout:
    """The session volume, `{root}/sessions/INC-7F3A/...`."""

    root: Path

    @cached_property
    def sessions(self) -> Path:
        return self.root / "sessions"

    @property
    def volume(self) -> Path:
        """Return the path of the record about the volume itself."""
        return self.root / "volume.json"

    @property
    def redaction_secret(self) -> Path:
        """Return the path of the volume's secret for redaction, which no export or upload contains."""
        return self.root / "redaction.key"

    def session(self, session_id: str) -> Path:
        return self.sessions / session_id

    def manifest(self, session_id: str) -> Path:
        return self.session(session_id) / MANIFEST

    def journal(self, session_id: str) -> Path:
        """Return the path of the journal, which exists only while the capture runs."""
        return self.session(session_id) / JOURNAL

    def single(self, session_id: str, category: str) -> Path | None:
        """Return the path of the only file of a category in SINGLES; None for other categories."""
        return self.session(session_id) / "data" / f"{category}.json" if category in SINGLES else None

    def report(self, session_id: str) -> Path:
        """Return the path of the report for people. Of a sealed session it has the suffix of sealed files."""
        return self.session(session_id) / REPORT

    def data(self, session_id: str, category: str) -> Path:
        return self.session(session_id) / "data" / category

    def retention_record(self, session_id: str) -> Path:
        """Return the path of the retention record, which exists only if it differs from the default."""
        return self.session(session_id) / RETENTION_RECORD
