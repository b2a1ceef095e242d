"""Every session of a volume."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import Unreadable, read_session


@dataclass(frozen=True)
class Entry:
    """A session's directory and its manifest; where that cannot be read, `fault` says why."""

    session_id: str
    path: Path
    manifest: Manifest | None
    fault: str = ""


def sessions(layout: SessionLayout) -> Iterator[Entry]:
    """The sessions of a volume in the order of their ids; none where there is no volume yet. Raises OSError."""
    if not layout.sessions.is_dir():
        return
    for path in sorted(layout.sessions.iterdir()):
        if path.name.startswith(".") or not path.is_dir() or path.is_symlink():
            continue
        try:
            yield Entry(path.name, path, read_session(path)[0])
        except Unreadable as e:
            if path.exists():  # removed meanwhile
                yield Entry(path.name, path, None, str(e))
