"""Makes a session in a hidden directory, which is then renamed into place in one step, or removed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aletheia_operator.session.files import TEMPORARY_SUFFIX, make_directory, sync_directory, sync_tree
from aletheia_operator.session.layout import JOURNAL, MANIFEST, SessionLayout
from aletheia_operator.session.lock import SessionBusy, lock_directory, locked, unlock
from aletheia_operator.session.retention_record import retention_lock

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
    """Remove what killed processes left, unless locked: staged directories, unfinished files of finished sessions, and sessions
    that were lost in a crash of the machine before anything was captured.
    """
    names = _names_in(layout.sessions)
    for path in [layout.sessions / name for name in names if name.startswith(_PREFIX)]:
        try:
            descriptor = _lock(path)
        except OSError:
            continue
        try:
            shutil.rmtree(path, ignore_errors=True)
        finally:
            unlock(descriptor)
    for name in names:
        if not name.startswith("."):
            _remove_leftovers_of(layout, name)


def _remove_leftovers_of(layout: SessionLayout, name: str) -> None:
    """Remove unfinished files of a finished session, or a session that is lost. Thousands take a tenth of a second."""
    path = f"{layout.sessions}/{name}"
    files = _names_in(path)
    for file in files:
        if file.endswith(TEMPORARY_SUFFIX):
            with suppress(OSError, SessionBusy), retention_lock(layout):  # a record is written under this lock alone
                descriptor = lock_directory(Path(path))
                try:
                    os.unlink(f"{path}/{file}")
                finally:
                    unlock(descriptor)
    if JOURNAL in files and _is_lost(path):
        with suppress(OSError, SessionBusy), locked(Path(path)):
            if _is_lost(path):
                shutil.rmtree(hide_session(layout, name), ignore_errors=True)


def _is_lost(path: str) -> bool:
    """Return whether manifest and journal are empty: neither was synced, so nothing was captured."""
    try:
        return all(os.lstat(f"{path}/{file}").st_size == 0 for file in (MANIFEST, JOURNAL))
    except OSError:
        return False


def _names_in(directory: Path | str) -> list[str]:
    """Return the names in a directory; [] if there is no such directory, or if it cannot be read."""
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _lock(path: Path) -> int:
    try:
        return lock_directory(path)
    except SessionBusy as e:
        raise StagingBusy(path.name) from e
