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
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.containers import ContainerState, Run, wanted_runs
from aletheia_operator.fetchers.kubernetes.logs_by_api import LogSource, check_rotation, read_by_api
from aletheia_operator.fetchers.kubernetes.logs_by_node import Directory, LogFile, read_by_node
from aletheia_operator.fetchers.kubernetes.run_identity import forget_others, is_moved, is_stale
from aletheia_operator.fetchers.kubernetes.run_log import ParserFailed, RunLog

log = logging.getLogger(__name__)

MAX_PARSER_FAILURES = 3  # then a run is given up


@dataclass
class ContainerLogs:
    """The runs of one container. `planned`: its state when the questions were made. Later runs lie behind the window."""

    planned: ContainerState
    target: str
    window: Window
    previous: bool
    """Whether to read runs before the latest."""
    new_log: Callable[[Run], RunLog]
    kubernetes: Kubernetes
    path: str
    """Path of the pod's log in the API."""
    fresh_state: Callable[[], Awaitable[ContainerState | None]]
    """Reads the container's state from the API; returns None if that fails."""
    explain_api: Callable[[str], None]
    """Adds a gap that says why a log was read by the API instead of from the node."""
    logs: dict[int | None, RunLog] = field(default_factory=dict)
    known: int = 0
    """Least number of runs, by all states and files seen so far."""
    told: list[Run] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    """Gaps of the container as a whole."""

    @property
    def least(self) -> int:
        """Return the number of the first run to read, whatever its time."""
        return 0 if self.previous else self.planned.restarts

    @property
    def in_order(self) -> list[RunLog]:
        return [self.logs[number] for number in sorted(self.logs, key=lambda number: -1 if number is None else number)]

    @property
    def by_api(self) -> bool:
        """Return whether a run was read by the API, which knows containers only by name."""
        return any(one.via == "api" for one in self.logs.values())

    def see(self, state: ContainerState) -> None:
        """Update what is known of the container's runs from a state of the API server."""
        self.known = max(self.known, state.restarts + 1 if state.ran else 0)
        self.told += [run for run in state.runs if run not in self.told]

    async def read(
        self, state: ContainerState, directory: Directory | None, slot: AbstractAsyncContextManager[None] | None
    ) -> None:
        """Read every run, from the node if possible. `slot` limits concurrent reads from one node; None without a node."""
        self.see(state)
        if directory is not None and slot is not None:
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
        """Read the runs whose logs the API has. A run is read again if another run's log may have taken its place."""
        self.see(state)
        wanted = wanted_runs(state.by_api, self.window, previous=self.previous, least=self.least)
        for number in await forget_others(self.logs, state, self._source):
            del self.logs[number]
        async with asyncio.TaskGroup() as group:
            for run in wanted:
                known = self.logs.get(run.number)
                if known is None or not known.complete:
                    group.create_task(self._read_run_by_api(known or self._log_of(run), run))

    async def is_stale(self, state: ContainerState) -> bool:
        """Return whether the API's log is of a later run than `state` knows."""
        return await is_stale(self.logs.values(), state, self.window, self._source)

    async def guarded(self, work: Coroutine[Any, Any, None], what: RunLog | None = None) -> None:
        """Await `work`. An error becomes a gap of this container, or of the run `what`."""
        target = f"{self.target} {f'container/{self.planned.container}' if what is None else what.run}"
        missing = None
        try:
            await work
        except SourceError as e:
            missing = Missing(target, e.reason, e.message)
        except Exception:
            log.exception("reading the log of %s failed", target)
            missing = Missing(target, GapReason.INTERNAL_ERROR, "a fault of the operator's own; its log has the details")
        if missing is not None and what is None:
            self.missing.append(missing)
        elif missing is not None and what is not None:
            what.say(missing.reason, missing.message)
            what.complete = True

    async def end(self, one: RunLog) -> None:
        """Get the result of a run. If its parser ended meanwhile, the run is read again by the API, or given up."""
        for _ in range(MAX_PARSER_FAILURES):
            try:
                await one.end()
            except ParserFailed:
                self._begin_carefully(one)
                await self.guarded(self._read_run_by_api(one, one.run), one)
            else:
                return
        one.begin_again()
        one.say(GapReason.INTERNAL_ERROR, "the operator's log parser failed again and again over this log")

    def _source(self, run: Run) -> LogSource:
        return LogSource(self.kubernetes, self.path, run.container, run.previous)

    def _log_of(self, run: Run) -> RunLog:
        one = self.logs[run.number] = self.new_log(run)
        self.known = max(self.known, (run.number or 0) + 1)
        return one

    async def _parsed(self, one: RunLog, read: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Read a run. If the parser fails, read it again in a worker of its own; if that fails, without levels."""
        for failures in range(1, MAX_PARSER_FAILURES + 1):
            try:
                await read()
                if one.plain:
                    one.say(
                        GapReason.INTERNAL_ERROR, "the operator's log parser failed over this log: it has no levels", "note"
                    )
                return
            except ParserFailed:
                if failures == MAX_PARSER_FAILURES:
                    raise
                self._begin_carefully(one)

    def _begin_carefully(self, one: RunLog) -> None:
        one.begin_again()
        one.alone, one.plain = True, one.alone

    async def _read_run_by_api(self, one: RunLog, run: Run) -> None:
        async def restarted() -> bool:
            return await self._restarted(one, run)

        async def read() -> None:
            source = self._source(run)
            await read_by_api(one, source, restarted)
            if one.complete:
                await check_rotation(one, source)

        one.via = "api"
        await self.guarded(self._parsed(one, read), one)

    async def _restarted(self, one: RunLog, run: Run) -> bool:
        """Return whether the API shows a run no longer where it did; also if the pod is gone or replaced."""
        moved = await is_moved(one, run, self._source)
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
        self.known = max(self.known, max(by_run) + 1)
        times = {run.number: run for run in state.runs}
        latest = max(state.restarts, max(by_run))
        runs = [
            replace(times.get(number) or Run(state.container, number), previous=number < latest) for number in sorted(by_run)
        ]
        failed: dict[int, SourceError] = {}
        for run in wanted_runs(runs, self.window, previous=self.previous, least=self.least):
            assert run.number is not None
            one = self._log_of(run)
            one.via = "node"
            one.begin_again("file")
            own = by_run[run.number]

            async def read(one: RunLog = one, own: list[LogFile] = own) -> None:
                await read_by_node(one, directory, own)

            try:
                await self._parsed(one, read)
            except SourceError as e:
                failed[run.number] = e
        return failed

    async def _replace_by_api(self, state: ContainerState, number: int, error: SourceError) -> None:
        """Read a run by the API that could not be read from the node. If the API does not have it, add a gap with `error`."""
        one, run = self.logs[number], state.run(number)
        one.begin_again("api")
        if run is None:
            one.say(error.reason, error.message)
            one.complete = True
        else:
            await self._read_run_by_api(one, run)
