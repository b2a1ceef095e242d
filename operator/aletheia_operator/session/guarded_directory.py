"""The directory of a session while a process works on it, guarded against links that lead elsewhere.

Others who can write to the volume may replace a directory by a link at any time, and each use of a path follows it again. So
each new file is compared with the file of that name in the locked directory, without following links. All calls block.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from aletheia_operator.session.files import make_directory
from aletheia_operator.session.lock import lock_directory, unlock

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class GuardedDirectory:
    """A directory that stays open until `close`. Raises SessionBusy if another process works on it, OSError.

    `lock`: False if the caller has locked it already.
    """

    def __init__(self, path: Path, lock: bool = True) -> None:
        self._path = path
        self._descriptor = lock_directory(path) if lock else os.open(path, _FOLDER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        return self._path

    @property
    def is_open(self) -> bool:
        return self._descriptor >= 0

    def close(self) -> None:
        """Close the directory, and unlock it if it was locked."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            unlock(descriptor)

    def require(self) -> None:
        """Raise OSError if the directory was closed, or if its name now leads to something else."""
        try:
            is_there = self.is_open and os.path.samestat(os.fstat(self._descriptor), os.lstat(self._path))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise OSError(errno.ESTALE, "the session's directory was moved or replaced", str(self._path))

    def make_folder(self, path: Path, made: Callable[[Path], None] | None = None) -> None:
        """Make a directory below, unless it is there. Raises OSError, also if a part of the path is a link.

        `made`: see `make_directory`.
        """
        self.require()
        below = self._path
        for name in path.relative_to(self._path).parts:
            below /= name
            if below.is_symlink():
                raise _leads_out(below)
        make_directory(path, made)

    def check(self, path: Path) -> Callable[[int], None]:
        """Return a function that raises OSError if an open file is not the file at `path`, or a part of the path is a link.

        Call it with the file's descriptor before anything is written to the file.
        """

        def require_same(descriptor: int) -> None:
            *folders, name = path.relative_to(self._path).parts
            at = os.dup(self._descriptor)
            try:
                for folder in folders:
                    below = os.open(folder, _FOLDER, dir_fd=at)
                    os.close(at)
                    at = below
                found = os.stat(name, dir_fd=at, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError) as e:
                raise _leads_out(path) from e
            finally:
                os.close(at)
            if not os.path.samestat(found, os.fstat(descriptor)):
                raise _leads_out(path)

        return require_same


def _leads_out(path: Path) -> OSError:
    return OSError(errno.ELOOP, "a link leads out of the session", str(path))
