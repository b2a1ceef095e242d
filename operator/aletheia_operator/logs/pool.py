"""Parses runs of containers in worker processes, which are started when needed and end when they are idle.

This process does not parse logs: a hostile line may make a worker hang or die, and then costs only that worker's runs. A worker
writes entries to the session volume itself: lines are sent to it, and the open file is sent back at the end.

Namespaces take turns: a block waits for only a few blocks of another namespace, however many and large its runs are.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aletheia_operator.clients.fair_slots import FairSlots, Release
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run import Operation, RunOrder, RunResult, WorkerFault
from aletheia_operator.logs.template import Template
from aletheia_operator.logs.worker_process import Answer, WorkerEnded, WorkerProcess

REQUEST_SECONDS = 30.0
"""Longest time for a block of lines. A worker that takes longer is killed."""
SLOWEST_BYTES_PER_SECOND = 10 * 1024 * 1024  # lowest expected speed of thinning entries out
PARSER_FAILURES = (WorkerEnded, WorkerFault)


@dataclass
class Parsers:
    """The worker processes. Use an instance from one event loop only."""

    processes: int = field(default_factory=lambda: min(2, os.cpu_count() or 1))
    request_seconds: float = REQUEST_SECONDS
    merging: FairSlots = field(default_factory=lambda: FairSlots(2, 2))
    """Limits concurrent merges: more would need more memory and not be faster."""
    _template: Template = field(init=False, default_factory=Template)
    _workers: list[WorkerProcess] = field(init=False, default_factory=list)
    _apart: list[WorkerProcess] = field(init=False, default_factory=list)
    """Workers with one run each, which may make them fail."""
    _ids: "count[int]" = field(init=False, default_factory=count)
    _starting: asyncio.Task[WorkerProcess] | None = field(init=False, default=None)
    _alone: FairSlots = field(default_factory=lambda: FairSlots(2, 1))

    def warm(self) -> None:
        """Start a worker if there is none, so that the first run does not wait for it."""
        if not self._alive() and self._starting is None:
            self._start()

    async def open(self, order: RunOrder, namespace: str = "", *, alone: bool = False) -> "ParsedRun":
        """Begin to parse a run in the least busy worker. `alone`: in a worker without other runs. Raises WorkerEnded."""
        if alone:
            return await self._open_alone(order, namespace)
        workers = self._alive()
        while len(workers) < self.processes and not (workers and not min(len(worker.runs) for worker in workers)):
            started = await self._started()
            workers = self._alive()
            if not started.alive:
                raise WorkerEnded
        worker = min(workers, key=lambda worker: len(worker.runs))
        return ParsedRun(worker, next(self._ids), order, namespace)

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers."""
        return [worker.pid for worker in self._alive()]

    @property
    def runs(self) -> int:
        """Number of runs that are being parsed."""
        return sum(len(worker.runs) for worker in self._alive())

    async def close(self) -> None:
        """Stop all workers, and wait for their end."""
        if self._starting is not None:
            self._template.give_up_start()
            with suppress(OSError):
                await self._starting
        workers = [*self._workers, *self._apart]
        self._workers, self._apart = [], []
        for worker in workers:
            worker.stop()
        for worker in workers:
            await worker.ended()

    def _alive(self) -> list[WorkerProcess]:
        self._workers = _running(self._workers)
        return [worker for worker in self._workers if worker.alive]

    def _start(self) -> asyncio.Task[WorkerProcess]:
        async def start() -> WorkerProcess:
            try:
                worker = await WorkerProcess.start(self._template, self.request_seconds)
                self._workers.append(worker)
                return worker
            finally:
                self._starting = None

        self._starting = asyncio.create_task(start())
        self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._starting

    async def _started(self) -> WorkerProcess:
        """Return a worker that is being started. Concurrent calls get the same one. Raises WorkerEnded."""
        try:
            return await asyncio.shield(self._starting or self._start())
        except OSError as e:
            raise WorkerEnded from e

    async def _open_alone(self, order: RunOrder, namespace: str) -> "ParsedRun":
        release = await self._alone.acquire(namespace)
        try:
            worker = await WorkerProcess.start(self._template, self.request_seconds)
        except BaseException as e:
            release()
            if isinstance(e, OSError):
                raise WorkerEnded from e
            raise
        self._apart = [*_running(self._apart), worker]

        def end() -> None:
            worker.stop()
            release()

        try:
            return ParsedRun(worker, next(self._ids), order, namespace, end)
        except WorkerEnded:
            end()
            raise


class ParsedRun:
    """A run that is being parsed. `position` may be one block behind until `drain`."""

    def __init__(
        self,
        worker: WorkerProcess,
        number: int,
        order: RunOrder,
        namespace: str,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.position = Position()
        self._namespace = namespace
        self._worker = worker
        self._number = number
        self._order = order
        self._on_close = on_close
        self._answer: Answer | None = None  # to the last block
        self._result: Answer | None = None
        self._taken = False
        try:
            worker.request("open", number, order)
        finally:
            order.scratch.close()  # the worker has a copy, which comes back with the result
        worker.add(number)

    async def feed(self, lines: bytes) -> None:
        """Parse whole lines; only the run's last line may be incomplete. They are parsed even if the call is cancelled.

        Raises WorkerEnded and WorkerFault, and OSError if the volume is full.
        """
        release: Release | None = None
        try:
            await self.drain()  # so that a fast source does not fill the memory
            release = await self._worker.turns.acquire(self._namespace)
        finally:
            # the block may start thinning, which takes longer for more entries
            more = self._order.max_bytes / SLOWEST_BYTES_PER_SECOND
            self._answer = self._request_in_turn(release, "feed", self._number, lines=lines, more_seconds=more)
        await self._worker.drain()

    def _request_in_turn(self, release: Release | None, *request: Any, lines: bytes = b"", more_seconds: float = 0) -> Answer:
        """Send a request, and release its slot when it is answered. `release` None: it has no slot."""
        try:
            answer = self._worker.request(*request, lines=lines, more_seconds=more_seconds)
        except BaseException:
            if release is not None:
                release()
            raise
        if release is not None:
            answer.add_done_callback(lambda _: release())
        return answer

    async def drain(self) -> None:
        """Wait until all lines are parsed and `position` is up to date. Raises as `feed`."""
        if self._answer is not None:
            position = await asyncio.shield(self._answer)
            self._answer, self.position = None, position

    async def call(self, operation: Operation) -> None:
        """Call the RunParser's method of this name after the lines that were fed. Raises as `feed`."""
        await self.drain()
        self.position = await self._worker.request(operation, self._number)

    async def end(self) -> RunResult:
        """End the run and return its result. After a cancellation it may be called again. Raises as `feed`."""
        if self._result is None:
            with suppress(OSError):  # the result has the error, too
                await self.drain()
            release = await self._worker.turns.acquire(self._namespace)
            self._result = self._request_in_turn(release, "end", self._number)
        result: RunResult = await asyncio.shield(self._result)
        self.position = result.position
        self._taken = True
        self._leave()
        return result

    def close(self) -> None:
        """Make the worker drop the run. Its result is lost, unless `end` returned it."""
        if self._result is None:
            with suppress(WorkerEnded):
                self._result = self._worker.request("drop", self._number)
        elif not self._result.done():
            self._result.cancel()
        elif not self._taken:
            _give_back(self._result)
        self._leave()

    def _leave(self) -> None:
        if self._number in self._worker.runs:
            self._worker.remove(self._number)
            if self._on_close is not None:
                self._on_close()


def _running(workers: list[WorkerProcess]) -> list[WorkerProcess]:
    """Return the workers that have not ended yet; they may be about to end."""
    return [worker for worker in workers if not worker.has_ended]


def _give_back(answer: Answer) -> None:
    """Close the file of a result that arrived too late."""
    if not answer.cancelled() and answer.exception() is None and isinstance(answer.result(), RunResult):
        answer.result().spool.close()
