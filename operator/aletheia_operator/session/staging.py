"""Makes a session in a hidden directory, which is then renamed into place in one step, or removed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aletheia_operator.session.files import TEMPORARY_SUFFIX, make_directory, sync_directory, sync_tree
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.lock import SessionBusy, lock_directory, unlock

_PREFIX = ".new-"


class StagingBusy(OSError):
    """Another process writes to the staging directory of that name. Try again later."""


@contextmanager
def staging(layout: SessionLayout, name: str) -> Iterator[Path]:
    """Yield an empty directory beside the sessions. It is removed at the end unless `publish` moved it.

    `name`: identifies the session. A directory of that name that a killed process left is emptied and reused.
    """
    make_directory(layout.sessions)
    path = layout.sessions / f"{_PREFIX}{name}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o750)
    descriptor = _lock(path)
    try:
        for left in list(path.iterdir()):
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        unlock(descriptor)


def publish(path: Path, target: Path) -> bool:
    """Move a staged directory to `target`. Returns False if something is there already."""
    sync_tree(path)
    try:
        os.rename(path, target)  # fails if a session is there already
    except OSError as e:
        if e.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    sync_directory(target.parent)
    return True


def hide_session(layout: SessionLayout, session_id: str) -> Path:
    """Hide a session in one step, so that nobody sees it half removed. Returns the path of its files."""
    trash = layout.sessions / f"{_PREFIX}removed-{session_id}"
    shutil.rmtree(trash, ignore_errors=True)
    os.rename(layout.session(session_id), trash)
    sync_directory(layout.sessions)
    return trash


def discard_tree(path: Path) -> None:
    """Remove a directory and all in it, if it exists."""
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove_leftovers(layout: SessionLayout) -> None:
    """Remove what killed processes left: staged directories, and unfinished files of finished sessions, unless locked."""
    if not layout.sessions.is_dir():
        return
    for path in list(layout.sessions.glob(f"{_PREFIX}*")):
        try:
            descriptor = _lock(path)
        except OSError:
            continue
        try:
            shutil.rmtree(path, ignore_errors=True)
        finally:
            unlock(descriptor)
    for path in list(layout.sessions.glob(f"[!.]*/*{TEMPORARY_SUFFIX}")):
        with suppress(OSError, SessionBusy):
            descriptor = lock_directory(path.parent)
            try:
                path.unlink()
            finally:
                unlock(descriptor)


def _lock(path: Path) -> int:
    try:
        return lock_directory(path)
    except SessionBusy as e:
        raise StagingBusy(path.name) from e
