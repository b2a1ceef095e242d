"""The operator's side of the template process: starts it, and asks it for workers.

Workers are forks of one process that has imported and compiled what they need: they share this memory, and start at once.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aletheia_operator.logs.template_requests import ANSWER, END, KILL, REQUEST, START

ANSWER_SECONDS = 60.0
"""Longest time for an answer; the first one includes the imports. A template that takes longer is killed, with its workers."""


class Template:
    """Starts workers. Its process begins with the first worker, and ends with the last. Calls block; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._workers: set[Worker] = set()

    def start(self, descriptors: Sequence[int]) -> "Worker":
        """Start a worker with copies of these descriptors. Raises OSError."""
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._end()  # it was killed, and its workers have not been waited for yet
            try:
                control = self._control or self._begin()
                pid = _ask(control, START, 0, descriptors)
            except OSError:
                self._end()
                raise
            if pid < 0:
                self._end_if_unused()
                raise OSError(-pid, os.strerror(-pid))
            worker = Worker(pid, self, control)
            self._workers.add(worker)
            return worker

    def end(self, worker: "Worker") -> None:
        """Kill a worker if it still runs, and wait for its end."""
        with self._lock:
            if worker not in self._workers or self._control is None:
                return
            self._workers.remove(worker)
            try:
                _ask(self._control, END, worker.pid)
            except OSError:  # then it is killed with the template
                self._workers.add(worker)
                self._end()
            self._end_if_unused()

    def give_up_start(self) -> None:
        """Let a first worker that is still being started fail, without waiting for the template's imports."""
        control = self._control
        if control is not None and not self._workers:
            with suppress(OSError):  # closed meanwhile
                control.shutdown(socket.SHUT_RDWR)

    @property
    def pid(self) -> int | None:
        """Process id of the template; None if no worker needs one."""
        return None if self._process is None else self._process.pid

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_SECONDS)
        self._control = ours
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-m", "aletheia_operator.logs.template_process", str(number)]
            environment = worker_environment()
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[number], env=environment)  # noqa: S603
        return ours

    def _end_if_unused(self) -> None:
        if not self._workers:
            self._end()

    def _end(self) -> None:
        """End the process, and with it the workers."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for worker in self._workers:
            _wait_for_orphan(worker.pid)
        self._process, self._control, self._workers = None, None, set()


@dataclass(frozen=True, eq=False)
class Worker:
    """A process that the template has forked."""

    pid: int
    template: Template
    control: socket.socket

    def kill(self) -> None:
        """Kill it, without waiting. Does nothing once it has ended."""
        with suppress(OSError):  # the template has ended, and with it the worker
            self.control.send(REQUEST.pack(KILL, self.pid))

    def wait(self) -> None:
        """Wait until it has ended. Call it after its sockets were closed, or it is killed."""
        self.template.end(self)


def worker_environment() -> dict[str, str]:
    """Return this process' environment with a PYTHONPATH to the place from which this package was loaded."""
    path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _ask(control: socket.socket, operation: bytes, pid: int, descriptors: Sequence[int] = ()) -> int:
    """Send a request, and return the answer. Raises OSError."""
    socket.send_fds(control, [REQUEST.pack(operation, pid)], list(descriptors))
    answer = control.recv(ANSWER.size)
    if len(answer) < ANSWER.size:
        raise ConnectionResetError("the template of the log parsers ended")
    (found,) = ANSWER.unpack(answer)
    return int(found)


def _wait_for_orphan(pid: int) -> None:
    """Wait for a worker of which the template ended, if this process, as process 1 of a container does, inherited it."""
    with suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):  # it is ours, so no other process has its id
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
