"""The template of worker processes: imports and compiles what all of them need, and is forked for each of them.

It has one thread and reads no logs. Its argument is the descriptor of the socket of its requests: `START` with a worker's two
sockets is answered with its process id, or with a negative error number; `END` kills a worker, if it still runs, and is
answered once it is gone; `KILL` is not answered. The template ends when the socket is closed, and its workers end with it.
"""

import ctypes
import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn

from aletheia_operator.logs.template_requests import ANSWER, END, REQUEST, START
from aletheia_operator.logs.worker import work
from aletheia_operator.memory import give_back
from aletheia_operator.redact import Redactor

_PR_SET_PDEATHSIG = 1


class TemplateProcess:
    """Forks and ends workers. `control`: the socket of the requests."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: set[int] = set()

    def serve(self) -> None:
        """Answer requests until the socket is closed. Then kill the workers that still run."""
        try:
            self._answer_all()
        finally:
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _answer_all(self) -> None:
        while True:
            request, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 2)
            if len(request) < REQUEST.size:
                return
            operation, pid = REQUEST.unpack(request)
            if operation == START:
                self._control.send(ANSWER.pack(self._start(descriptors)))
            elif pid in self._workers:  # otherwise it was waited for, and another process may have its id
                os.kill(pid, signal.SIGKILL)
            if operation == END:
                self._wait(pid)
                self._control.send(ANSWER.pack(pid))

    def _start(self, descriptors: list[int]) -> int:
        template = os.getpid()
        try:
            pid = os.fork()
        except OSError as e:
            pid = -(e.errno or 1)
        if pid == 0:
            self._become_worker(template, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._workers.add(pid)
        return pid

    def _become_worker(self, template: int, descriptors: list[int]) -> NoReturn:
        """Do a worker's work, and end the process."""
        try:
            self._control.close()
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() == template:  # otherwise it ended before this process asked for the signal
                work(*(socket.socket(fileno=descriptor) for descriptor in descriptors))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)  # the rest of the template's stack is not this process' business

    def _wait(self, pid: int) -> None:
        if pid in self._workers:
            self._workers.remove(pid)
            os.waitpid(pid, 0)


def main(control: socket.socket) -> None:
    Redactor().next_line(b"", 0)  # compiles the patterns that find lines with secrets
    gc.collect()
    gc.freeze()  # a collection would change, and so copy, the memory of every object
    give_back()
    with suppress(ConnectionError):  # the operator is gone
        TemplateProcess(control).serve()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
