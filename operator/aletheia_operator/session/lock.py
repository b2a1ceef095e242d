"""Lets one process at a time work on a session, by a lock (flock) on its directory. The kernel releases it at process exit."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SessionBusy(Exception):
    """Another process works on the session; the message is its id."""


def lock_directory(directory: Path) -> int:
    """Lock a directory, until `unlock` is called with the returned descriptor. Raises SessionBusy, OSError.

    Raises FileNotFoundError if the directory was moved or removed before it was locked.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), os.stat(directory)):
            raise FileNotFoundError(errno.ENOENT, "another directory has this name now", str(directory))
    except BlockingIOError as e:
        os.close(descriptor)
        raise SessionBusy(directory.name) from e
    except BaseException:
        unlock(descriptor)
        raise
    return descriptor


def unlock(descriptor: int) -> None:
    """Unlock, and close the descriptor.

    Closing alone is not enough: a process that another thread is just starting has a copy until it executes its program.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a session's directory within the context. Raises SessionBusy, OSError."""
    descriptor = lock_directory(directory)
    try:
        yield
    finally:
        unlock(descriptor)
