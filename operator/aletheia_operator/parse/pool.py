"""Parses runs of containers: short ones here, long ones in worker processes, which end when there is nothing more to do."""

import asyncio
import os
import sys
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aletheia_operator.parse.frames import HEADER, content, frame
from aletheia_operator.text.entries import Parsed, Position, RunParser

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
    _workers: list["_Worker"] = field(init=False, default_factory=list)
    _ids: "count[int]" = field(init=False, default_factory=count)
    _starting: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def run(self, parser: RunParser) -> "ParsedRun":
        return ParsedRun(self, parser)

    @property
    def pids(self) -> list[int]:
        """Of the processes that live."""
        return [worker.pid for worker in self._workers if worker.alive]

    async def assign(self, parser: RunParser) -> tuple["_Worker", int]:
        """The least busy worker, with the run in it."""
        async with self._starting:
            self._workers = [worker for worker in self._workers if worker.alive]
            if len(self._workers) < self.processes:
                self._workers.append(await _Worker.start())
            worker = min(self._workers, key=lambda worker: len(worker.runs))
            run = next(self._ids)
            worker.runs.add(run)
        await worker.send(("open", run, parser))
        return worker, run


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        self.runs: set[int] = set()
        self.alive = True
        self._process = process
        self._requests = process.stdin
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._sending = asyncio.Lock()
        self._reader = asyncio.create_task(self._read())
        self._idle: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls) -> "_Worker":
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "aletheia_operator.parse.worker", stdin=pipe, stdout=pipe, limit=_PIPE_BYTES
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def send(self, message: Any) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        async with self._sending:
            self._write(message)
            await self._drain()

    async def call(self, message: Any) -> Any:
        """Send a request and wait for its answer. Raises WorkerEnded."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        async with self._sending:
            self._waiting.append(answer)
            self._write(message)
            await self._drain()
        return await answer

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
                answer = content(await answers.readexactly(size))
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        except asyncio.IncompleteReadError:
            self.alive = False
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(WorkerEnded())
            await self._process.wait()


class ParsedRun:
    """One run being parsed. `parser` is up to date before the first `feed` and after `settle`."""

    def __init__(self, parsers: Parsers, parser: RunParser) -> None:
        self.parser = parser
        self.position = parser.position
        self._parsers = parsers
        self._fed = 0
        self._worker: tuple[_Worker, int] | None = None

    async def feed(self, lines: bytes) -> Parsed:
        """Parse whole lines. Raises WorkerEnded."""
        self._fed += len(lines)
        if self._worker is None and self._fed > INLINE_BYTES:
            self._worker = await self._parsers.assign(self.parser)
        if self._worker is None:
            parsed = self.parser.feed(lines)
            self.position = self.parser.position
            return parsed
        worker, run = self._worker
        answer: tuple[Parsed, Position] = await worker.call(("feed", run, lines))
        parsed, self.position = answer
        return parsed

    async def settle(self) -> RunParser:
        """The parser as it is now; later lines are parsed here again. Raises WorkerEnded."""
        if self._worker is not None:
            worker, run = self._worker
            self._worker, self._fed = None, 0
            try:
                self.parser = await worker.call(("close", run))
            finally:
                worker.close(run)
        return self.parser
