"""The answers of a worker, in this process: it reads requests until they end, and a fault costs only its own run."""

import errno
import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.logs.frames import HEADER, content, frame
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run import RunOrder, RunResult, WorkerFault
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.logs.spool import Spool
from aletheia_operator.logs.worker import serve
from aletheia_operator.scratch import Scratches
from tests.unit.fakes import descriptors

SETTINGS = RunSettings("app", 0, False, "2026-11-22T11:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z", 2**20)
LINES = b"".join(b"2026-11-22T11:30:00.%09dZ ERROR boom %d\n" % (number, number) for number in range(100))
MANY = LINES * 200
"""More than is kept in memory."""


@pytest.fixture
def files() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The worker's and the operator's end of the socket for open files."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def open_run(number: int, directory: Path) -> tuple[Any, ...]:
    return ("open", number, RunOrder(SETTINGS, Scratches(directory, False)(), 2**30, 100))


def answers(files: socket.socket, *requests: tuple[Any, ...]) -> list[Any]:
    """Return the answer to each request."""
    written = BytesIO()
    serve(BytesIO(b"".join(map(frame, requests))), written, files)
    written.seek(0)
    found = []
    while header := written.read(HEADER.size):
        found.append(content(written.read(HEADER.unpack(header)[0])))
    assert len(found) == len(requests)
    return found


def test_a_run_comes_back_with_its_file(tmp_path: Path, files: tuple[socket.socket, socket.socket]) -> None:
    """The answers are the position after each block, then the result. The open file is sent before the result."""
    opened, fed, again, result = answers(files[0], open_run(7, tmp_path), ("feed", 7, MANY), ("read_again", 7), ("end", 7))
    assert opened is None
    assert isinstance(fed, Position)
    assert (fed.lines, again.skip) == (20_000, 20_000)
    assert isinstance(result, RunResult)
    assert (result.position.lines, result.refused) == (20_000, None)
    _, (descriptor,), _, _ = socket.recv_fds(files[1], 1, 1)
    result.spool.file.take(descriptor)
    result.spool.finish(result.spool.max_bytes)
    assert sum(block.count for block in result.spool.blocks()) == 20_000
    result.spool.close()


def test_a_run_that_is_dropped_leaves_no_file(tmp_path: Path, files: tuple[socket.socket, socket.socket]) -> None:
    """Neither does a run that fails. Dropping a missing run is no error."""
    before = descriptors()
    assert answers(files[0], open_run(1, tmp_path), ("feed", 1, MANY), ("drop", 1), ("drop", 1))[2:] == [None, None]
    answers(files[0], open_run(1, tmp_path), ("feed", 1, MANY), ("feed", 1, None))
    assert descriptors() == before
    with pytest.raises(BlockingIOError):
        files[1].recv(1)


def test_a_fault_costs_its_own_run(tmp_path: Path, files: tuple[socket.socket, socket.socket]) -> None:
    """The answer has the kind of the fault and no data. The failed run is removed, and the other continues."""
    requests = [open_run(1, tmp_path), open_run(2, tmp_path), ("feed", 1, None), ("feed", 1, LINES), ("feed", 2, LINES)]
    first, gone, position = answers(files[0], *requests, ("drop", 2))[2:5]
    assert isinstance(first, WorkerFault)
    assert isinstance(gone, WorkerFault)
    assert str(gone) == "KeyError"
    assert position.lines == 100


def test_an_operation_that_is_none(files: tuple[socket.socket, socket.socket]) -> None:
    """The error has its name: an operator of another version may ask for it."""
    (answer,) = answers(files[0], ("__init__", 1))
    assert isinstance(answer, WorkerFault)
    assert str(answer) == "no such operation: __init__"


def test_a_volume_that_refuses_ends_no_run(
    tmp_path: Path, files: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block is answered with the system's error number and text, and earlier entries are returned."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")

    monkeypatch.setattr(Spool, "add", full)
    fed, again, result = answers(files[0], open_run(1, tmp_path), ("feed", 1, LINES), ("feed", 1, LINES), ("end", 1))[1:]
    for answer in (fed, again):
        assert isinstance(answer, OSError)
        assert (answer.errno, answer.strerror, answer.filename) == (errno.ENOSPC, "No space left on device", None)
    assert isinstance(result, RunResult)
    assert result.refused == "No space left on device"
