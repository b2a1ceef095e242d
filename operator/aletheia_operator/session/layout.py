"""Where everything of a session lies. All paths come from here."""

from dataclasses import dataclass
from pathlib import Path

CATEGORIES = ("logs", "metrics", "traces", "events", "objects")
SINGLES = ("timeline",)
"""Of these a session has one file each."""


@dataclass(frozen=True)
class SessionLayout:
    """The session volume, `{root}/sessions/INC-7F3A/...`."""

    root: Path

    @property
    def sessions(self) -> Path:
        return self.root / "sessions"

    @property
    def volume(self) -> Path:
        """The volume's own record."""
        return self.root / "volume.json"

    def session(self, session_id: str) -> Path:
        return self.sessions / session_id

    def manifest(self, session_id: str) -> Path:
        return self.session(session_id) / "manifest.json"

    def journal(self, session_id: str) -> Path:
        """Present only while the capture runs."""
        return self.session(session_id) / "journal.ndjson"

    def single(self, session_id: str, category: str) -> Path | None:
        """The one file of a category of which a session has one alone; None for other categories."""
        return self.session(session_id) / "data" / f"{category}.json" if category in SINGLES else None

    def data(self, session_id: str, category: str) -> Path:
        return self.session(session_id) / "data" / category

    def retention_record(self, session_id: str) -> Path:
        """Present only where something is to be remembered of how long the session is kept."""
        return self.session(session_id) / "custody.json"
