"""Parses runs of containers: short ones here, long ones in worker processes, which end when there is nothing more to do.

A worker keeps the entries of its runs on the session volume itself: only lines go there, and the file comes back at the end.
"""

import asyncio
import fcntl
import os
import socket
import sys
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aletheia_operator.logs.frames import HEADER, content, frame
from aletheia_operator.logs.run import RunCapture
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.spool import Spool

INLINE_BYTES = 256 * 1024
"""Of a run that are parsed in this process; a longer run goes to a worker."""
IDLE_SECONDS = 15.0
_PIPE_BYTES = 512 * 1024


class WorkerEnded(Exception):
    """A worker process ended before its work was done, such as when memory was short."""


@dataclass
class Parsers:
    """The worker processes, started when first needed. All calls are of one event loop."""

    processes: int = field(default_factory=lambda: min(2, os.cpu_count() or 1))
    merging: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Whose turn it is to read back what was parsed: done by all at once it would take memory, and no less time."""
    _workers: list["_Worker"] = field(init=False, default_factory=list)
    _ids: "count[int]" = field(init=False, default_factory=count)
    _starting: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def run(self, parser: RunParser, spool: Spool) -> "ParsedRun":
        return ParsedRun(self, RunCapture(parser, spool))

    @property
    def pids(self) -> list[int]:
        """Of the processes that live."""
        return [worker.pid for worker in self._workers if worker.alive]

    async def assign(self, capture: RunCapture) -> tuple["_Worker", int]:
        """The least busy worker, with the run in it."""
        async with self._starting:
            self._workers = [worker for worker in self._workers if worker.alive]
            if len(self._workers) < self.processes:
                self._workers.append(await _Worker.start())
            worker = min(self._workers, key=lambda worker: len(worker.runs))
            run = next(self._ids)
            worker.runs.add(run)
        await worker.open(run, capture)
        return worker, run


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process, files: socket.socket) -> None:
        assert process.stdin is not None
        self.runs: set[int] = set()
        self.alive = True
        self._process = process
        self._files = files
        self._requests = process.stdin
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._sending = asyncio.Lock()
        self._reader = asyncio.create_task(self._read())
        self._idle: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls) -> "_Worker":
        pipe = asyncio.subprocess.PIPE
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "aletheia_operator.logs.worker", str(theirs.fileno())),
                stdin=pipe,
                stdout=pipe,
                pass_fds=[theirs.fileno()],
            )
        assert process.stdin is not None
        fcntl.fcntl(process.stdin.get_extra_info("pipe"), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return cls(process, ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def open(self, run: int, capture: RunCapture) -> None:
        """Hand a run over, with its file. Raises WorkerEnded."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        async with self._sending:
            self._write(("open", run, capture))
            capture.send_file(self._files)
            await self._drain()

    async def request(self, operation: str, run: int, *arguments: Any) -> "asyncio.Future[Any]":
        """Send a request; its answer is to come. Raises WorkerEnded."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        async with self._sending:
            self._write((operation, run, *arguments))
            self._waiting.append(answer)
            await self._drain()
        return answer

    def close(self, run: int) -> None:
        self.runs.discard(run)
        if not self.runs:
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._stop)

    def _stop(self) -> None:
        if not self.runs:
            self.alive = False
            self._requests.close()

    def _write(self, message: Any) -> None:
        if not self.alive:
            raise WorkerEnded
        self._requests.write(frame(message))

    async def _drain(self) -> None:
        try:
            await self._requests.drain()
        except ConnectionError as e:
            raise WorkerEnded from e

    async def _read(self) -> None:
        answers = self._process.stdout
        assert answers is not None
        try:
            while True:
                (size,) = HEADER.unpack(await answers.readexactly(HEADER.size))
                self._answer(content(await answers.readexactly(size)))
        except asyncio.IncompleteReadError:
            self.alive = False
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(WorkerEnded())
            await self._process.wait()
        finally:
            self._files.close()

    def _answer(self, answer: Any) -> None:
        waiting = self._waiting.popleft()
        if isinstance(answer, RunCapture):
            answer.receive_file(self._files)
        if waiting.done():  # nobody waits for it any more
            if isinstance(answer, RunCapture):
                answer.spool.close()
        elif isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)


class ParsedRun:
    """One run being parsed. `capture` is up to date before the first `feed` and after `settle`."""

    def __init__(self, parsers: Parsers, capture: RunCapture) -> None:
        self.capture = capture
        self.position = capture.position
        self._parsers = parsers
        self._fed = 0
        self._worker: tuple[_Worker, int] | None = None
        self._answer: asyncio.Future[Any] | None = None

    async def feed(self, lines: bytes) -> None:
        """Parse whole lines; `position` may be a call behind. Raises WorkerEnded, and OSError where the volume is full."""
        self._fed += len(lines)
        if self._worker is None and self._fed > INLINE_BYTES:
            self._worker = await self._parsers.assign(self.capture)
        if self._worker is None:
            self.capture.feed(lines)
            self.position = self.capture.position
            return
        worker, run = self._worker
        await self.drain()
        self._answer = await worker.request("feed", run, lines)

    async def drain(self) -> None:
        """Wait until `position` is that of all lines that were fed. Raises WorkerEnded and OSError."""
        answer, self._answer = self._answer, None
        if answer is not None:
            self.position = await answer

    async def settle(self) -> RunCapture:
        """The run as it is now; later lines are parsed here again. Raises WorkerEnded and OSError."""
        if self._worker is not None:
            worker, run = self._worker
            self._worker, self._fed = None, 0
            try:
                answer = await worker.request("close", run)
                try:
                    await self.drain()
                finally:
                    self.capture = await answer
            finally:
                worker.close(run)
        return self.capture
