"""Lists the sessions of a volume."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import Unreadable, read_session


@dataclass(frozen=True)
class ListedSession:
    """A session's directory and its manifest."""

    session_id: str
    path: Path
    manifest: Manifest | None
    """The manifest. None: it cannot be read, and `fault` says why."""
    fault: str = ""
    manifest_sha256: str = ""
    """SHA-256 of the current manifest.json, in hex. Expiry and resealing change it. Empty without a manifest."""


def sessions(layout: SessionLayout) -> Iterator[ListedSession]:
    """Yield the sessions of a volume by id; none if there is no volume yet. Raises OSError."""
    if not layout.sessions.is_dir():
        return
    for path in sorted(layout.sessions.iterdir()):
        if path.name.startswith(".") or not path.is_dir() or path.is_symlink():
            continue
        try:
            manifest, content = read_session(path)
            yield ListedSession(path.name, path, manifest, manifest_sha256=hashlib.sha256(content).hexdigest())
        except Unreadable as e:
            if path.exists():  # removed meanwhile
                yield ListedSession(path.name, path, None, str(e))
