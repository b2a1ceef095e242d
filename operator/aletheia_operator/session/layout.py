"""Where everything of a session lies. All paths come from here."""

from dataclasses import dataclass
from pathlib import Path

CATEGORIES = ("logs", "metrics", "traces", "events", "objects")


@dataclass(frozen=True)
class SessionLayout:
    """The session volume, `{root}/sessions/INC-7F3A/...`."""

    root: Path

    @property
    def sessions(self) -> Path:
        return self.root / "sessions"

    def session(self, session_id: str) -> Path:
        return self.sessions / session_id

    def manifest(self, session_id: str) -> Path:
        return self.session(session_id) / "manifest.json"

    def journal(self, session_id: str) -> Path:
        """Present only while the capture runs: the plan, then one line for each question that is done."""
        return self.session(session_id) / "journal.ndjson"

    def timeline(self, session_id: str) -> Path:
        return self.session(session_id) / "data" / "timeline.json"

    def data(self, session_id: str, category: str) -> Path:
        return self.session(session_id) / "data" / category

    def retention_record(self, session_id: str) -> Path:
        """Present only where something is to be remembered of how long the session is kept."""
        return self.session(session_id) / "custody.json"
