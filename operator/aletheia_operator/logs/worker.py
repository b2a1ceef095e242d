"""The worker process: reads requests from a socket, answers each, and ends when the socket is closed.

Requests are (operation, run id, arguments...): `open` with a RunOrder, `feed` with lines, `read_again`, `read_from_start`,
`accept`, `drop_node_message`, `end` and `drop`. Answers come in the same order: a Position, the RunResult of `end`, None, or
the error of the request, which does not end other runs. A result's open file is sent over another socket, before the answer.
`template_process` starts it.
"""

import socket
from contextlib import suppress
from typing import Any, BinaryIO, cast

from aletheia_operator.logs.frames import HEADER, content, frame
from aletheia_operator.logs.run import OPERATIONS, Operation, RunResult, WorkerFault
from aletheia_operator.logs.run_spooler import RunSpooler
from aletheia_operator.memory import give_back

LARGE_BYTES = 1024 * 1024
"""Entries of a run after which freed memory is given back, if it was the last one."""


class Runs:
    """The runs of one worker."""

    def __init__(self, files: socket.socket) -> None:
        self._runs: dict[int, RunSpooler] = {}
        self._files = files

    def answer(self, operation: str, run: int, *arguments: Any) -> bytes:
        """Handle a request, and return the framed answer."""
        try:
            match operation:
                case "open":
                    self._runs[run] = RunSpooler(*arguments)
                    return frame(None)
                case "drop":
                    if (dropped := self._runs.pop(run, None)) is not None:
                        dropped.spool.close()
                    return frame(None)
                case "end":
                    return self._end(run)
                case "feed":
                    return frame(self._runs[run].feed(*arguments))
                case operation if operation in OPERATIONS:
                    return frame(self._runs[run].call(cast("Operation", operation)))
            return frame(WorkerFault(f"no such operation: {operation}"))
        except OSError as e:
            return frame(OSError(e.errno, e.strerror))
        except Exception as e:
            if (lost := self._runs.pop(run, None)) is not None:
                lost.spool.close()
            return frame(WorkerFault(type(e).__name__))  # without its text, which may quote the log

    def _end(self, run: int) -> bytes:
        spooler = self._runs.pop(run)
        try:
            result: RunResult = spooler.end()
            answer = frame(result)
            if result.spool.file.is_open:
                socket.send_fds(self._files, [b"f"], [result.spool.file.descriptor])
        finally:
            spooler.spool.file.release()
        if not self._runs and spooler.spool.size_bytes > LARGE_BYTES:
            give_back()  # the operator writes the artifact now, and needs memory itself
        return answer


def serve(requests: BinaryIO, answers: BinaryIO, files: socket.socket) -> None:
    """Answer requests until the socket is closed."""
    runs = Runs(files)
    while header := requests.read(HEADER.size):
        size, lines = HEADER.unpack(header)
        request = content(requests.read(size))
        answers.write(runs.answer(*request, *([requests.read(lines)] if lines else [])))
        answers.flush()


def work(requests: socket.socket, files: socket.socket) -> None:
    """Do a worker's work until the operator closes its socket of requests, or ends."""
    with suppress(ConnectionError):
        serve(requests.makefile("rb"), requests.makefile("wb"), files)
