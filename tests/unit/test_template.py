"""Worker processes are forks of one template: they share its memory and nothing else, and all end if it ends."""

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from aletheia_operator.logs import template, template_process
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.logs.run import RunOrder
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.logs.template import Template, Worker, worker_environment
from aletheia_operator.logs.template_requests import ANSWER, END, KILL, REQUEST, START
from aletheia_operator.logs.worker_process import WorkerEnded
from aletheia_operator.scratch import Scratches
from tests.support.processes import children, parsers, used
from tests.unit.fakes import LONGEST_TEST_SECONDS

SETTINGS = RunSettings("app", 0, False, "2026-11-22T11:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z", 2**20)
LINES = b"".join(b"2026-11-22T11:30:00.%09dZ ERROR boom %d\n" % (number, number) for number in range(100))
OPERATOR = """
import ctypes, os, signal, socket, sys
from aletheia_operator.logs.template import Template
if "inherits" in sys.argv:
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # as process 1 of a container does
template = Template()
ours, theirs = socket.socketpair(), socket.socketpair()
worker = template.start([ours[1].fileno(), theirs[1].fileno()])
print(worker.pid, template.pid, flush=True)
sys.stdin.readline()
worker.wait()
print(template.pid, flush=True)
sys.stdin.readline()
"""
"""An operator that has one worker."""


def order(directory: Path) -> RunOrder:
    return RunOrder(SETTINGS, Scratches(directory, False)(), 2**30, 100)


def state(pid: int) -> str:
    """Return a process' state: `Z` if it has ended and was not waited for, and "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_TEST_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def workers() -> Iterator[Callable[[], tuple[Worker, list[socket.socket]]]]:
    """Starts workers of one template. Returns each with the operator's ends of its sockets. At the end nothing is left."""
    made, opened, started = Template(), list[socket.socket](), list[Worker]()

    def start() -> tuple[Worker, list[socket.socket]]:
        pairs = [socket.socketpair() for _ in range(2)]
        worker = made.start([theirs.fileno() for _, theirs in pairs])
        for _, theirs in pairs:
            theirs.close()
        started.append(worker)
        opened.extend(ours for ours, _ in pairs)
        return worker, [ours for ours, _ in pairs]

    yield start
    for each in opened:
        each.close()
    for worker in started:
        worker.wait()
    assert made.pid is None
    assert not [pid for pid in parsers(os.getpid()) if pid in {worker.pid for worker in started}]


@pytest.fixture
async def pool() -> AsyncIterator[Parsers]:
    pool = Parsers(processes=2, request_seconds=LONGEST_TEST_SECONDS)
    yield pool
    await pool.close()
    assert pool._template.pid is None


def test_workers_share_the_memory_of_their_template(workers: Callable[[], tuple[Worker, list[socket.socket]]]) -> None:
    """Three more processes take less than two would without it."""
    first, _ = workers()
    template_pid = first.template.pid
    assert template_pid is not None
    alone = used([template_pid])
    pids = [first.pid, *(workers()[0].pid for _ in range(2))]
    assert used([template_pid, *pids]) < 2 * alone


def test_a_worker_has_no_descriptors_of_another(workers: Callable[[], tuple[Worker, list[socket.socket]]]) -> None:
    """Each ends when its own sockets are closed, though others were forked while they were open."""
    (first, its_own), (second, _), (third, _) = workers(), workers(), workers()
    wait_until(lambda: len({len(os.listdir(f"/proc/{worker.pid}/fd")) for worker in (first, second, third)}) == 1)
    for each in its_own:
        each.close()
    wait_until(lambda: state(first.pid) in ("Z", ""))
    first.wait()
    assert (state(first.pid), state(second.pid) in "SR", state(third.pid) in "SR") == ("", True, True)


def test_a_worker_that_hangs_is_killed_alone(workers: Callable[[], tuple[Worker, list[socket.socket]]]) -> None:
    """`kill` does not wait for its end, `wait` does, and both may be called again."""
    (first, _), (second, _) = workers(), workers()
    os.kill(first.pid, signal.SIGSTOP)
    first.kill()
    first.wait()
    first.kill()
    first.wait()
    assert state(first.pid) == ""
    assert state(second.pid) in "SR"


def test_workers_end_with_their_template(workers: Callable[[], tuple[Worker, list[socket.socket]]]) -> None:
    """The next worker gets a new one. `wait` for one of the old ones does not touch the new ones."""
    (first, _), (second, _) = workers(), workers()
    killed = first.template.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not {state(first.pid), state(second.pid)} - {"Z", ""})
    first.kill()
    first.wait()
    third, _ = workers()
    assert third.template.pid not in (None, killed)
    second.kill()
    second.wait()
    assert state(third.pid) in "SR"


def test_a_template_that_hangs_is_replaced(
    workers: Callable[[], tuple[Worker, list[socket.socket]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed with its workers: nothing else could end these."""
    monkeypatch.setattr(template, "ANSWER_SECONDS", 10.0)
    first, _ = workers()
    hanging = first.template.pid
    assert hanging is not None
    os.kill(hanging, signal.SIGSTOP)
    first.control.settimeout(0.1)
    with pytest.raises(TimeoutError):
        workers()
    wait_until(lambda: state(first.pid) in ("Z", ""))
    assert first.template.pid is None
    assert workers()[0].template.pid not in (None, hanging)


@pytest.mark.parametrize("hangs", [False, True], ids=["idle", "hanging"])
def test_workers_end_when_the_operator_is_killed(hangs: bool) -> None:
    """A worker that hangs does not see that its socket is closed; it is killed when the template ends."""
    command = [sys.executable, "-c", OPERATOR]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=worker_environment()) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        if hangs:
            os.kill(pids[0], signal.SIGSTOP)
        process.kill()
    wait_until(lambda: not {state(pid) for pid in pids} - {"Z", ""})


def test_an_operator_that_inherits_workers_waits_for_them() -> None:
    """Process 1 of a container becomes the parent of workers whose template was killed: they do not stay as zombies."""
    command = [sys.executable, "-c", OPERATOR, "inherits"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=worker_environment()) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        _, template_pid = (int(pid) for pid in process.stdout.readline().split())
        os.kill(template_pid, signal.SIGKILL)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"None\n"
        assert children(process.pid) == []
        process.stdin.close()


async def test_runs_of_workers_that_ended_with_the_template_are_told(pool: Parsers, tmp_path: Path) -> None:
    """They can be read again at once, by a worker of a new template."""
    runs = [await pool.open(order(tmp_path)) for _ in range(2)]
    killed = pool._template.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    for run in runs:
        with pytest.raises(WorkerEnded):
            async with asyncio.timeout(LONGEST_TEST_SECONDS):
                while True:
                    await run.feed(LINES)
        run.close()
    again = await pool.open(order(tmp_path))
    await again.feed(LINES)
    result = await again.end()
    assert result.position.lines == 100
    result.spool.close()


def test_a_template_that_was_killed_is_replaced(workers: Callable[[], tuple[Worker, list[socket.socket]]]) -> None:
    """At once, before its workers are waited for."""
    first, _ = workers()
    killed = first.template.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
    second, _ = workers()
    assert second.template.pid not in (None, killed)


async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    """Its worker is ended as soon as it exists, and with it the template."""
    pool = Parsers(processes=1)
    starting = asyncio.create_task(pool.open(order(tmp_path), alone=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait({starting})
    await asyncio.to_thread(wait_until, lambda: not pool._template._lock.locked() and pool._template.pid is None)
    await pool.close()


async def test_a_pool_that_is_closed_does_not_wait_for_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template is killed while it starts: the operator ends at once."""
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    monkeypatch.setattr(template, "worker_environment", lambda: {**os.environ, "PYTHONPATH": str(tmp_path)})
    monkeypatch.setattr(template, "ANSWER_SECONDS", 10 * LONGEST_TEST_SECONDS)
    pool = Parsers(processes=1)
    pool.warm()
    await asyncio.to_thread(wait_until, lambda: pool._template.pid is not None and state(pool._template.pid) == "T")
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await pool.close()
    assert pool._template.pid is None


class Control:
    """Stands for the socket of the requests."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send(self, answer: bytes) -> None:
        self.sent += ANSWER.unpack(answer)


def test_a_fork_that_is_refused_is_an_error_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel limits the processes of a container. The descriptors that came with the request are closed."""

    def fork() -> int:
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", fork)
    before = os.listdir("/proc/self/fd")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        socket.send_fds(ours, [REQUEST.pack(START, 0)], [ours.fileno(), ours.fileno()])
        ours.shutdown(socket.SHUT_WR)
        with theirs:
            template_process.TemplateProcess(theirs).serve()
        assert ANSWER.unpack(ours.recv(ANSWER.size)) == (-errno.EAGAIN,)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("operation", [KILL, END])
def test_only_workers_are_killed(operation: bytes) -> None:
    """A process id that is no worker's, or no longer, may be another process'."""
    other = subprocess.Popen(["sleep", "60"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(REQUEST.pack(operation, other.pid))
        ours.shutdown(socket.SHUT_WR)
        template_process.TemplateProcess(theirs).serve()
    assert other.poll() is None
    other.kill()
    other.wait()
