"""Scratch files belong to the task that made them: they are closed with it in any case, and counted until then."""

import errno
import os
import pickle
import socket
import threading
from pathlib import Path

import pytest

from aletheia_operator.logs.frames import HEADER, content
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.logs.run import RunOrder, RunResult
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.logs.worker import Runs
from aletheia_operator.scratch import Scratch, Scratches, Stored
from aletheia_operator.session import EntryBuffer
from aletheia_operator.text.batches import SEPARATOR, Encoded
from tests.unit.fakes import LONGEST_TEST_SECONDS


def open_files(directory: Path) -> int:
    """Return the number of unlinked files of the directory that this process has open."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink():
            links.append(os.readlink(entry))
    return sum(link.startswith(str(directory)) and link.endswith(" (deleted)") for link in links)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_blocks_come_back_until_the_owner_closes(tmp_path: Path, encrypted: bool) -> None:
    """After that, reading and writing are refused, and no new file is made."""
    owner = Scratches(tmp_path, encrypted)
    first, second = owner(), owner()
    blocks = [bytes([number]) * 1000 for number in range(5)]
    numbers = [first.put(block) for block in blocks]
    second.put(b"other")
    assert [first.get(number) for number in numbers] == blocks
    assert [bytes(first.read(number, bytearray(first.size(number)))) for number in numbers] == blocks
    assert owner.size_bytes == first.size_bytes + second.size_bytes >= 5005
    assert open_files(tmp_path) == 2
    owner.close()
    assert (open_files(tmp_path), owner.size_bytes) == (0, 0)
    for refused in (lambda: first.put(b"x"), lambda: first.get(0), lambda: owner()):
        with pytest.raises(OSError, match=r"closed|Bad file descriptor"):
            refused()
    assert open_files(tmp_path) == 0


def test_a_scratch_is_closed_with_its_last_holder(tmp_path: Path) -> None:
    """After that, its bytes no longer count."""
    owner = Scratches(tmp_path, False)
    scratch = owner()
    scratch.put(b"x" * 1000)
    scratch.hold()
    scratch.close()
    assert (open_files(tmp_path), owner.size_bytes) == (1, 1000)
    scratch.close()
    assert (open_files(tmp_path), owner.size_bytes) == (0, 0)


def test_a_thread_that_writes_on_is_refused(tmp_path: Path) -> None:
    """It never writes into another file that got the same descriptor meanwhile."""
    owner = Scratches(tmp_path, False)
    scratch, writing, errors = owner(), threading.Event(), list[OSError]()

    def write() -> None:
        try:
            while True:
                scratch.put(b"scratch" * 1000)
                writing.set()
        except OSError as e:
            errors.append(e)

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait(LONGEST_TEST_SECONDS)
    owner.close()
    others = [os.open(tmp_path / f"other-{number}", os.O_RDWR | os.O_CREAT) for number in range(20)]
    thread.join(LONGEST_TEST_SECONDS)
    assert len(errors) == 1
    assert all(os.fstat(other).st_size == 0 for other in others)
    for other in others:
        os.close(other)


def test_what_has_no_file_is_closed_without_waiting(tmp_path: Path) -> None:
    """The event loop does so. What has a file, or is in use by a thread that may wait for the disk, is left to a thread."""
    owner = Scratches(tmp_path, False)
    unused = owner()
    assert owner.close_unused()
    with pytest.raises(OSError, match="closed"):
        unused.put(b"x")
    owner = Scratches(tmp_path, False)
    owner().put(b"x")
    assert not owner.close_unused()
    owner.close()
    owner = Scratches(tmp_path, False)
    with owner()._lock:  # as while `put` makes the file
        assert not owner.close_unused()
    with pytest.raises(OSError, match="closed"):
        owner()
    assert open_files(tmp_path) == 0


def test_a_refusal_by_the_owners_quota_writes_nothing(tmp_path: Path) -> None:
    """Earlier blocks stay readable."""

    def room(size_bytes: int) -> None:
        if owner.size_bytes + size_bytes > 1500:
            raise OSError("no room")

    owner = Scratches(tmp_path, False, room)
    scratch = owner()
    scratch.put(b"x" * 1000)
    with pytest.raises(OSError, match="no room"):
        scratch.put(b"y" * 1000)
    assert (scratch.get(0), owner.size_bytes) == (b"x" * 1000, 1000)
    owner.close()


def sent(scratch: Scratch) -> tuple[Scratch, int]:
    """Return the copy that another process returns, and the descriptor of its file."""
    descriptor = os.dup(scratch.descriptor)
    scratch.release()
    return pickle.loads(pickle.dumps(scratch)), descriptor


def test_what_comes_back_from_another_process_has_its_owner_again(tmp_path: Path) -> None:
    """It is closed with its owner."""
    owner = Scratches(tmp_path, True)
    scratch = owner()
    scratch.put(b"content")
    back, descriptor = sent(scratch)
    back.take(descriptor)
    assert (back.get(0), back.owner, owner.size_bytes) == (b"content", owner, back.size_bytes)
    owner.close()
    assert open_files(tmp_path) == 0


def test_an_error_at_closing_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other files of the owner are closed too."""
    close = os.close

    def failing(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    owner = Scratches(tmp_path, False)
    for scratch in (owner(), owner()):
        scratch.put(b"content")
    with monkeypatch.context() as patched:
        patched.setattr(os, "close", failing)
        owner.close()
    assert (open_files(tmp_path), owner.size_bytes) == (0, 0)


def test_an_error_at_closing_gives_no_run_the_file_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has sent the file when it closes its own copy: then the answer must follow."""
    close, fail = os.close, [True]

    def failing(descriptor: int) -> None:
        close(descriptor)
        if fail and fail.pop():
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    settings = RunSettings("app", 0, False, "2026-11-22T11:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z", 2**20)
    line = b"2026-11-22T11:30:00.%09dZ run %d " + b"words " * 2000 + b"\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        runs = Runs(theirs)
        for run in (1, 2):
            runs.answer("open", run, RunOrder(settings, Scratch(tmp_path, False), 1_500_000, 100))
            runs.answer("feed", run, b"".join(line % (number, run) for number in range(50)))
            monkeypatch.setattr(os, "close", failing if run == 1 else close)
            answer = runs.answer("end", run)
            result = content(answer[HEADER.size :])
            assert isinstance(result, RunResult)
            _, (descriptor,), _, _ = socket.recv_fds(ours, 1, 1)
            result.spool.file.take(descriptor)
            result.spool.finish(1_500_000)
            assert all(b"run %d" % run in block.block for block in result.spool.blocks())
            result.spool.close()


def test_what_comes_back_too_late_is_closed(tmp_path: Path) -> None:
    """The task was over meanwhile."""
    owner = Scratches(tmp_path, True)
    scratch = owner()
    scratch.put(b"content")
    descriptor = os.dup(scratch.descriptor)
    scratch.release()
    owner.close()
    back = pickle.loads(pickle.dumps(scratch))
    back.take(descriptor)
    assert open_files(tmp_path) == 0


async def test_spools_of_worker_processes_are_closed_with_their_owner(tmp_path: Path) -> None:
    """This includes a spool that the worker made again when it thinned the log out."""
    owner = Scratches(tmp_path, False)
    settings = RunSettings("app", 0, False, "2026-11-22T11:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z", 2**20)
    parsers = Parsers(processes=1)
    run = await parsers.open(RunOrder(settings, owner(), 1_500_000, 100))
    line = b"2026-11-22T11:30:00.%09dZ " + b"words " * 20 + b"\n"
    lines = b"".join(line % number for number in range(4000))
    for _ in range(6):
        await run.feed(lines)
    result = await run.end()
    await parsers.close()
    assert result.spool.over_budget
    assert result.spool.file.owner is owner
    assert open_files(tmp_path) == 1
    assert owner.size_bytes == result.spool.file.size_bytes > 0
    owner.close()
    assert open_files(tmp_path) == 0


def stored(scratch: Scratch, *entries: bytes) -> Stored:
    """Return entries that are already in a scratch."""
    block = SEPARATOR.join(entries)
    return Stored(block, bytes(len(entries)), scratch, scratch.put(block))


def test_entries_that_lie_in_a_scratch_stay_readable_until_they_are_written(tmp_path: Path) -> None:
    """Their owner may be closed before. Entries added between keep their order, and at the end all files are closed."""
    theirs, ours = Scratches(tmp_path, False), Scratches(tmp_path, False)
    scratch, entries = theirs(), EntryBuffer(ours)
    entries.add(Encoded(b"1", b"\0"))
    entries.add(stored(scratch, b"2", b"3"))
    entries.add(Encoded(b"4", b"\0"))
    entries.add(stored(scratch, b"5"))
    scratch.close()
    assert b"".join(bytes(block) for block in entries.blocks()) == SEPARATOR.join([b"1", b"2", b"3", b"4", b"5"])
    assert (entries.count, entries.size_bytes) == (5, 13)
    assert open_files(tmp_path) == 2
    entries.close()
    assert open_files(tmp_path) == 0
