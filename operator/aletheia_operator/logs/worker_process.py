"""The operator's side of a worker process: sends requests, and receives answers in the same order, and open files."""

import asyncio
import logging
import socket
import threading
from collections import deque
from typing import Any

from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.logs.frames import HEADER, content, frame
from aletheia_operator.logs.run import RunResult
from aletheia_operator.logs.template import Template, Worker

log = logging.getLogger(__name__)

IDLE_SECONDS = 15.0
MAX_REQUESTS = 2
"""Blocks that a worker has at once: the one that it parses, and the next."""
_BUFFER_BYTES = 512 * 1024
Answer = asyncio.Future[Any]


class WorkerEnded(Exception):
    """A worker process ended, or was killed, before its work was done."""


class WorkerProcess:
    """One worker. It is stopped after some time without runs, and killed if a request takes too long."""

    def __init__(
        self,
        process: Worker,
        answers: asyncio.StreamReader,
        requests: asyncio.StreamWriter,
        files: socket.socket,
        request_seconds: float,
    ) -> None:
        self.runs: set[int] = set()
        self.turns = FairSlots(MAX_REQUESTS, MAX_REQUESTS)
        """Limits the requests that take long: the worker answers in their order, whichever namespace sent them."""
        self.alive = True
        self._process = process
        self._answers = answers
        self._requests = requests
        self._files = files
        self._waiting: deque[tuple[Answer, float]] = deque()  # each with the longest time for it in seconds
        self._request_seconds = request_seconds
        self._idle: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._reader = asyncio.create_task(self._read())
        self._begin_idling()

    @classmethod
    async def start(cls, template: Template, request_seconds: float) -> "WorkerProcess":
        """Start a process. Raises OSError."""
        (ours, theirs), (our_files, their_files) = socket.socketpair(), socket.socketpair()
        starting = asyncio.create_task(asyncio.to_thread(_start, template, theirs, their_files))
        try:
            process = await asyncio.shield(starting)
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                ours.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            answers, requests = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()  # this also ends a process that was started already
            our_files.close()
            starting.add_done_callback(_wait_for_unused)
            raise
        return cls(process, answers, requests, our_files, request_seconds)

    @property
    def pid(self) -> int:
        return self._process.pid

    def request(self, operation: str, run: int, *arguments: Any, lines: bytes = b"", more_seconds: float = 0) -> Answer:
        """Send a request, and return the future of its answer. Raises WorkerEnded.

        `lines`: its last argument, which is not copied. `more_seconds`: added to its time limit.
        """
        if not self.alive:
            raise WorkerEnded
        answer: Answer = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_look_at)
        self._requests.write(frame((operation, run, *arguments), len(lines)))
        if lines:
            self._requests.write(lines)
        self._waiting.append((answer, self._request_seconds + more_seconds))
        if len(self._waiting) == 1:
            self._watch()
        return answer

    async def drain(self) -> None:
        """Wait until there is room for more requests. Raises WorkerEnded."""
        try:
            await self._requests.drain()
        except ConnectionError as e:
            raise WorkerEnded from e

    def add(self, run: int) -> None:
        """Count a run that is parsed here."""
        self.runs.add(run)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def remove(self, run: int) -> None:
        """Forget a run that has ended."""
        self.runs.discard(run)
        if not self.runs and self._idle is None:
            self._begin_idling()

    def stop(self) -> None:
        """Accept no more requests. The process ends after it has answered all."""
        self.alive = False
        if self._idle is not None:
            self._idle.cancel()
        self._requests.close()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._reader.done()

    async def ended(self) -> None:
        """Wait for the end of the process."""
        await asyncio.wait({self._reader})

    def _begin_idling(self) -> None:
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.stop)

    def _watch(self) -> None:
        """Start the time limit of the request that is answered next."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        if self._waiting:
            self._stuck = asyncio.get_running_loop().call_later(self._waiting[0][1], self._kill)

    def _kill(self) -> None:
        log.error("log parser %d did not answer for %.0f s and is killed", self.pid, self._waiting[0][1])
        self._process.kill()

    async def _read(self) -> None:
        try:
            while True:
                size, _ = HEADER.unpack(await self._answers.readexactly(HEADER.size))
                self._take(content(await self._answers.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            self._process.kill()
            raise
        except Exception:  # an answer was not understood, so the next ones cannot be either
            log.exception("log parser %d sent an invalid answer and is killed", self.pid)
            self._process.kill()
        finally:
            self.alive = False
            waiting, self._waiting = self._waiting, deque()
            self._watch()
            for answer, _ in waiting:
                if not answer.done():
                    answer.set_exception(WorkerEnded())
            self._requests.close()
            self._files.close()
        await asyncio.to_thread(self._process.wait)

    def _take(self, received: Any) -> None:
        if isinstance(received, RunResult) and received.spool.file.is_open:
            _, (descriptor,), _, _ = socket.recv_fds(self._files, 1, 1)
            received.spool.file.take(descriptor)
        answer, _ = self._waiting.popleft()
        self._watch()
        if answer.done():  # its caller was cancelled
            if isinstance(received, RunResult):
                received.spool.close()
        elif isinstance(received, Exception):
            answer.set_exception(received)
        else:
            answer.set_result(received)


def _start(template: Template, *theirs: socket.socket) -> Worker:
    """Start a worker with these sockets, and close them here."""
    with theirs[0], theirs[1]:
        return template.start([each.fileno() for each in theirs])


def _wait_for_unused(starting: asyncio.Task[Worker]) -> None:
    """Wait, in a thread, for the end of a worker that nobody has a socket of."""
    if not starting.cancelled() and starting.exception() is None:
        threading.Thread(target=starting.result().wait, daemon=True).start()


def _look_at(answer: Answer) -> None:
    """Retrieve an answer's error: asyncio would log it if no caller waits for the answer."""
    if not answer.cancelled():
        answer.exception()
