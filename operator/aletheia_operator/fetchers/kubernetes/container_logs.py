"""Reads the logs of one container: each run that belongs to the window, from the node or by the API."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Missing, Window, internal_error
from aletheia_operator.fetchers.kubernetes.containers import ContainerState, Run, wanted_runs
from aletheia_operator.fetchers.kubernetes.logs_by_api import LogSource, add_note_of_empty_log, check_rotation, read_by_api
from aletheia_operator.fetchers.kubernetes.logs_by_node import Directory, LogFile, read_by_node
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from aletheia_operator.fetchers.kubernetes.run_identity import drop_logs_of_other_runs, is_moved, is_stale
from aletheia_operator.fetchers.kubernetes.run_log import ParserFailed, RunLog

log = logging.getLogger(__name__)

MAX_PARSER_FAILURES = 3  # then a run is given up


@dataclass
class ContainerLogs:
    """The runs of one container. `planned`: its state when the questions were made. Later runs are after the window."""

    planned: ContainerState
    target: str
    window: Window
    previous: bool
    """Whether to read runs before the latest."""
    new_log: Callable[[Run], RunLog]
    kubernetes: Kubernetes
    path: str
    """Path of the pod's log in the API."""
    node: NodeHealth
    fresh_state: Callable[[], Awaitable[ContainerState | None]]
    """Reads the container's state from the API; returns None if that fails."""
    explain_api: Callable[[str], None]
    """Adds a gap that says why a log was read by the API instead of from the node."""
    logs: dict[int | None, RunLog] = field(default_factory=dict)
    known_runs: int = 0
    """Least number of runs that there were, by all states and files seen so far."""
    dated_runs: list[Run] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    """Gaps of the container as a whole."""

    @property
    def first_number(self) -> int:
        """Return the number of the first run to read, whatever its time."""
        return 0 if self.previous else self.planned.restarts

    @property
    def in_order(self) -> list[RunLog]:
        return [self.logs[number] for number in sorted(self.logs, key=lambda number: -1 if number is None else number)]

    @property
    def by_api(self) -> bool:
        """Return whether a run was read by the API, which identifies containers only by name."""
        return any(run_log.via == "api" for run_log in self.logs.values())

    def update(self, state: ContainerState) -> None:
        """Update what is known of the container's runs from a state of the API server."""
        self.known_runs = max(self.known_runs, state.restarts + 1 if state.ran else 0)
        self.dated_runs += [run for run in state.runs if run not in self.dated_runs]

    async def read(
        self, state: ContainerState, directory: Directory | None, slot: AbstractAsyncContextManager[None] | None
    ) -> None:
        """Read every run, from the node if possible. `slot` limits concurrent reads from one node; None without a node."""
        self.update(state)
        if directory is not None and slot is not None and not await self.node.is_still_lost():
            try:
                async with slot:
                    failed = await self._read_by_node(state, directory)
            except SourceError as e:
                self.explain_api(e.message)
            else:
                for number, error in failed.items():
                    self.explain_api(error.message)
                    await self._replace_by_api(state, number, error)
                return
        await self.read_by_api(state)

    async def read_by_api(self, state: ContainerState) -> None:
        """Read the runs with logs in the API. A run is read again if another run's log may have taken its place."""
        self.update(state)
        wanted = wanted_runs(state.by_api, self.window, previous=self.previous, first_number=self.first_number)
        for number in await drop_logs_of_other_runs(self.logs, state, self._source):
            del self.logs[number]
        async with asyncio.TaskGroup() as group:
            for run in wanted:
                known = self.logs.get(run.number)
                if known is None or not known.complete:
                    group.create_task(self._read_run_by_api(known or self._log_of(run), run))

    async def is_stale(self, state: ContainerState) -> bool:
        """Return whether the API's log is of a later run than `state` knows."""
        return await is_stale(self.logs.values(), state, self.window, self._source)

    async def guarded(self, work: Coroutine[Any, Any, None], run_log: RunLog | None = None) -> None:
        """Await `work`. An error becomes a gap of `run_log`; if that is None, of this container."""
        target = f"{self.target} {f'container/{self.planned.container}' if run_log is None else run_log.run}"
        missing = None
        try:
            await work
        except SourceError as e:
            missing = Missing(target, e.reason, e.message)
        except Exception:
            log.exception("reading the log of %s failed", target)
            missing = internal_error(target)
        if missing is not None and run_log is None:
            self.missing.append(missing)
        elif missing is not None and run_log is not None:
            run_log.add_gap(missing.reason, missing.message)
            run_log.complete = True

    async def end(self, run_log: RunLog) -> None:
        """Get the result of a run. If its parser process ended meanwhile, the run is read again by the API, or given up."""
        for _ in range(MAX_PARSER_FAILURES):
            try:
                await run_log.end()
                add_note_of_empty_log(run_log)
                return
            except ParserFailed:
                self._begin_carefully(run_log)
                await self.guarded(self._read_run_by_api(run_log, run_log.run), run_log)
        run_log.begin_again()
        run_log.add_gap(GapReason.INTERNAL_ERROR, "the operator's log parser failed repeatedly over this log")

    def _source(self, run: Run) -> LogSource:
        return LogSource(self.kubernetes, self.path, run.container, run.previous, self.node)

    def _log_of(self, run: Run) -> RunLog:
        run_log = self.logs[run.number] = self.new_log(run)
        self.known_runs = max(self.known_runs, (run.number or 0) + 1)
        return run_log

    async def _parsed(self, run_log: RunLog, read: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Read a run. If the parser fails, read it again in a worker without other runs; if that fails, without levels."""
        for failures in range(1, MAX_PARSER_FAILURES + 1):
            try:
                await read()
                if run_log.plain:
                    run_log.add_gap(
                        GapReason.INTERNAL_ERROR, "the operator's log parser failed over this log: it has no levels", "note"
                    )
                return
            except ParserFailed:
                if failures == MAX_PARSER_FAILURES:
                    raise
                self._begin_carefully(run_log)

    def _begin_carefully(self, run_log: RunLog) -> None:
        run_log.begin_again()
        run_log.alone, run_log.plain = True, run_log.alone

    async def _read_run_by_api(self, run_log: RunLog, run: Run) -> None:
        async def restarted() -> bool:
            return await self._restarted(run_log, run)

        async def read() -> None:
            source = self._source(run)
            await read_by_api(run_log, source, restarted)
            if run_log.complete:
                await check_rotation(run_log, source)

        run_log.via = "api"
        await self.guarded(self._parsed(run_log, read), run_log)

    async def _restarted(self, run_log: RunLog, run: Run) -> bool:
        """Return whether the API no longer shows a run in its place; also True if the pod is gone or replaced."""
        moved = await is_moved(run_log, run, self._source)
        if moved is not None:
            return moved or await self.fresh_state() is None
        for _ in range(10):  # the API server may learn of a restart a little late
            state = await self.fresh_state()
            now = None if state is None else state.run(run.number)
            if now is None or now.previous != run.previous:
                return True
            await asyncio.sleep(0.2)
        return False

    async def _read_by_node(self, state: ContainerState, directory: Directory) -> dict[int, SourceError]:
        """Read every run that has files. Returns the errors by the runs' numbers. Raises SourceError if none can be read."""
        files = await directory.files()
        if not files:
            raise Rejected("the node has no log file of this container", GapReason.NOT_FOUND)
        by_run: dict[int, list[LogFile]] = {}
        for file in files:
            by_run.setdefault(file.restart, []).append(file)
        self.known_runs = max(self.known_runs, max(by_run) + 1)
        times = {run.number: run for run in state.runs}
        latest = max(state.restarts, max(by_run))
        runs = [
            replace(times.get(number) or Run(state.container, number), previous=number < latest) for number in sorted(by_run)
        ]
        failed: dict[int, SourceError] = {}
        for run in wanted_runs(runs, self.window, previous=self.previous, first_number=self.first_number):
            assert run.number is not None
            run_log = self._log_of(run)
            run_log.via = "node"
            run_log.begin_again("file")
            own = by_run[run.number]

            async def read(run_log: RunLog = run_log, own: list[LogFile] = own) -> None:
                await read_by_node(run_log, directory, own)

            try:
                await self._parsed(run_log, read)
            except SourceError as e:
                failed[run.number] = e
        return failed

    async def _replace_by_api(self, state: ContainerState, number: int, error: SourceError) -> None:
        """Read a run by the API that could not be read from the node. If the API does not have it, add a gap with `error`."""
        run_log, run = self.logs[number], state.run(number)
        run_log.begin_again("api")
        if run is None:
            run_log.add_gap(error.reason, error.message)
            run_log.complete = True
        else:
            await self._read_run_by_api(run_log, run)
