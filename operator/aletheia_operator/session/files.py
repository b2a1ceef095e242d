"""Atomic file operations on the session volume: at every moment a file is absent or complete. All calls block."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aletheia_operator.scratch import write_all

TEMPORARY_SUFFIX = ".part"
FILE_MODE = 0o640


def temporary(path: Path) -> Path:
    """Return the name under which a file is written until it is complete."""
    return path.with_name(path.name + TEMPORARY_SUFFIX)


def open_new(path: Path, mode: int = FILE_MODE) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def open_file(path: Path | str, buffering: int = -1) -> BinaryIO:
    """Open a file for reading. Raises OSError, also for a link or a directory. A pipe in its place is not waited for.

    `buffering`: as for `open`.
    """
    return _reading(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), buffering)


def open_file_below(directory: Path, path: str) -> BinaryIO:
    """Open a file for reading, by a relative path, as `open_below` does. Raises OSError, also for a directory."""
    return _reading(open_below(directory, path))


def _reading(descriptor: int, buffering: int = -1) -> BinaryIO:
    try:
        return os.fdopen(descriptor, "rb", buffering)
    except BaseException:  # a directory
        os.close(descriptor)
        raise


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Remove a file if it cannot be completed."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def replace(path: Path, content: bytes, mode: int = FILE_MODE, *, sync: bool = True) -> None:
    """Write a small file in one atomic step. An existing file is replaced.

    `sync`: False if a crash of the machine may lose the file or its content.
    """
    new = temporary(path)
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = open_new(new, mode)
    with removed_on_error(new):
        try:
            write_all(descriptor, content)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(new, path)
        if sync:
            sync_directory(path.parent)


def open_below(directory: Path, path: str) -> int:
    """Open a file for reading, by a relative path, without following a link at any step. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    *folders, name = path.split("/")
    at = os.open(directory, flags | os.O_DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, flags | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, flags, dir_fd=at)
    finally:
        os.close(at)


def make_directory(path: Path, made: Callable[[Path], None] | None = None) -> None:
    """Make a directory and its parents.

    `made` is called with the directory of each new name. None: `sync_directory`, since a file that is renamed into it must not
    survive without it.
    """
    if path.is_dir():
        return
    make_directory(path.parent, made)
    with suppress(FileExistsError):
        path.mkdir(mode=0o750)
    (made or sync_directory)(path.parent)


def sync_tree(path: Path) -> None:
    """Sync a directory and all directories below. Raises OSError, also if one cannot be listed."""
    for directory, _, _ in os.walk(path, onerror=_raise):
        sync_directory(Path(directory))


def _raise(error: OSError) -> None:
    raise error


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
