"""The lock of a session's directory: one process at a time, and never the lock of a removed directory."""

import fcntl
import os
from pathlib import Path

import pytest

from aletheia_operator.session.lock import SessionBusy, lock_directory, locked, unlock
from tests.unit.fakes import descriptors


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "INC-0001"
    made.mkdir()
    return made


def test_a_second_lock_is_refused_until_the_first_is_over(directory: Path) -> None:
    """It names the session; refused tries leave no open file."""
    before = descriptors()
    with locked(directory):
        for _ in range(3):
            with pytest.raises(SessionBusy, match=r"^INC-0001$"):
                lock_directory(directory)
    with locked(directory):
        pass
    assert descriptors() == before


def test_a_lock_is_over_though_a_process_that_starts_has_a_copy_of_it(directory: Path) -> None:
    """Between fork and exec a child has every descriptor: closing ours alone would leave the session busy."""
    first = lock_directory(directory)
    copy = os.dup(first)
    unlock(first)
    with locked(directory):
        pass
    os.close(copy)


@pytest.mark.parametrize("replaced", [True, False], ids=["another has its name", "it is gone"])
def test_a_directory_that_is_moved_before_the_lock_was_had(
    directory: Path, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That directory is not the session any more: locking fails, and leaves nothing open or locked."""
    before, real = descriptors(), fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX:
            directory.rename(directory.with_name("moved"))
            if replaced:
                directory.mkdir()
        real(descriptor, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with pytest.raises(FileNotFoundError):
            lock_directory(directory)
    assert descriptors() == before
    with locked(directory.with_name("moved")):
        pass


@pytest.mark.parametrize("kind", ["a link", "a file", "nothing"])
def test_only_a_directory_is_locked(directory: Path, kind: str) -> None:
    """A link may lead anywhere."""
    path = directory.with_name("other")
    if kind == "a link":
        path.symlink_to(directory)
    elif kind == "a file":
        path.touch()
    with pytest.raises(OSError, match="other"):
        lock_directory(path)


def test_a_lock_is_over_when_its_work_failed(directory: Path) -> None:
    """Any exception of the work releases the lock."""
    with pytest.raises(ValueError, match="x"), locked(directory):
        raise ValueError("x")
    with locked(directory):
        pass
