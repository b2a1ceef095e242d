"""Renames complete files from their temporary names to their final ones. All calls block."""

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from aletheia_operator.session.files import sync_directory, temporary


class Publisher:
    """Publishes the files of one session.

    Until `sync` succeeds, a crash of the machine may restore their temporary names, under which `is_whole` finds them. So one
    sync of each directory is enough, before the manifest is written.
    """

    def __init__(self) -> None:
        self._unsynced: set[Path] = set()

    def publish(self, path: Path) -> None:
        """Give a file its final name, unless it has that already. If this fails, removes the file and raises OSError."""
        try:
            with suppress(FileNotFoundError):
                os.rename(temporary(path), path)
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, "the committed file is gone", str(path))
        except OSError:
            with suppress(OSError):
                temporary(path).unlink()
            raise
        self.changed(path.parent)

    def changed(self, directory: Path) -> None:
        """Remember that names in a directory changed: `sync` syncs it."""
        self._unsynced.add(directory)

    def named_before(self, path: Path, session: Path) -> None:
        """Remember that an earlier process named a file and the directories above it, up to the session's, without a sync."""
        for directory in path.parents:
            self.changed(directory)
            if directory == session:
                return

    def sync(self) -> None:
        """Sync the directories, so that the names survive a crash of the machine. Raises OSError."""
        for directory in list(self._unsynced):
            sync_directory(directory)
            self._unsynced.discard(directory)

    def is_whole(self, path: Path, sha256: str) -> bool:
        """Return whether a file has this digest. A file with its temporary name is published. Raises OSError."""
        if _has_digest(path, sha256):
            return True
        if not _has_digest(temporary(path), sha256):
            return False
        self.publish(path)
        return True


def _has_digest(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False
