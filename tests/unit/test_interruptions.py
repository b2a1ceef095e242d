"""A capture that is stopped, cancelled, out of time or killed at each step of its tasks leaves nothing behind.

The event loop counts every step of every task. At the n-th the interruption comes, for every n; then nothing may be left: no
task, no thread at work, no open file, no bytes in scratch files, no lock, no account. Another capture then goes on to the end.
"""

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.fetchers.base import Document, Outcome, Plan, Question, Sources
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.investigate import Budget, Order, Snapshot, Tools, investigate
from aletheia_operator.scratch import Scratch
from aletheia_operator.session import journal
from aletheia_operator.session.lock import locked
from aletheia_operator.session.verify import verify
from tests.support.faults import in_child
from tests.unit import capturing
from tests.unit.fakes import make_order, make_tools

PODS = ("web-0", "web-1")
MOST_STEPS = 1500
LONGEST_SECONDS = 60


@dataclass
class Rude:
    """A source with a fetcher that cleans up nothing.

    Its threads write on when it is cancelled, and it closes no scratch file. Its second document is interrupted, and its third
    question is answered after the logs.
    """

    name: str = "Rude"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        keys = ("early", "broken", "late")
        return Plan(tuple(Question(self.name, f"Rude/{key}", f"thing/{key}", {}, after_logs=key == "late") for key in keys))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        spill = Spill(sources.scratch)
        numbers = await asyncio.to_thread(self._gather, spill)
        outcome = Outcome("gathered")

        async def batches() -> AsyncGenerator[list[Any], None]:
            for number in numbers:
                piece = await asyncio.to_thread(spill.get, number)
                yield [{"size": len(piece)}]
            if question.key == "Rude/broken":
                raise Unavailable("it broke off")

        yield Document("metrics", "rude", ("rude", question.key), {}, batches(), outcome)
        unread = sources.scratch()
        await asyncio.to_thread(unread.put, b"x" * 1000)
        yield Document("metrics", "rude", ("rude", question.key, "more"), {}, _none(), Outcome(str(unread.size_bytes)))

    def _gather(self, spill: Spill) -> list[int]:
        return [spill.put(b"x" * 2_500_000) for _ in range(2)]


async def _none() -> AsyncGenerator[list[Any], None]:
    return
    yield []


@dataclass
class Pods:
    """Logs of pods with several runs each, read concurrently into scratch files, and then yielded in order.

    When the Investigation is over, it yields what was read, like the real fetcher of logs.
    """

    name: str = "Pods"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        return Plan(tuple(Question(self.name, f"Pods/{pod}", f"pod/{pod}", {}, gives_logs=True) for pod in PODS))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        pod = question.target.removeprefix("pod/")
        yield Document("logs", "kubernetes", ("kubernetes", pod), {"pod": pod}, self._logs(sources), Outcome("logs"))

    async def _logs(self, sources: Sources) -> AsyncGenerator[list[Any], None]:
        scratches = [sources.scratch() for _ in range(3)]
        cancelled: asyncio.CancelledError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for number, scratch in enumerate(scratches):
                    group.create_task(self._read(scratch, number))
        except asyncio.CancelledError as e:
            if not sources.interrupted():
                raise
            cancelled = e
        for scratch in scratches:
            if scratch.is_open:
                yield json.loads(await asyncio.to_thread(scratch.get, 0))
        if cancelled is not None:
            raise cancelled

    async def _read(self, scratch: Scratch, number: int) -> None:
        await asyncio.sleep(0)
        lines = [
            {
                "timestamp": f"2026-11-22T11:30:{second:02}.000000000Z",
                "container": f"app-{number}",
                "level": "ERROR",
                "line": f"trace_id={'a' * 31}{number} went wrong",
            }
            for second in range(30)
        ]
        await asyncio.to_thread(scratch.put, json.dumps(lines).encode())


class SteppingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts the steps of all tasks, and calls `interrupt` at the step `at`. Its clock can be moved."""

    def __init__(self, at: int, interrupt: Callable[["SteppingLoop"], None]) -> None:
        self.ahead_seconds = 0.0
        self.steps = 0
        self._at = at
        self._interrupt = interrupt
        super().__init__()
        self.set_task_factory(lambda loop, work, **options: asyncio.Task(_Stepped(self, work), loop=loop, **options))

    def time(self) -> float:
        return super().time() + self.ahead_seconds

    def step(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            self._interrupt(self)


@dataclass
class _Stepped(Coroutine[Any, Any, Any]):
    loop: SteppingLoop
    work: Any

    def send(self, value: Any) -> Any:
        self.loop.step()
        return self.work.send(value)

    def throw(self, *error: Any) -> Any:
        self.loop.step()
        return self.work.throw(*error)

    def close(self) -> None:
        self.work.close()

    def __await__(self) -> Any:
        raise NotImplementedError


@dataclass
class Rig:
    """One session volume, and the captures on it."""

    root: Path
    order: Order = field(default_factory=lambda: make_order(**SPEC))
    tools: Tools = field(init=False)
    capture: "asyncio.Task[Snapshot] | None" = None

    def __post_init__(self) -> None:
        budget = Budget(max_session_bytes=10**9, max_namespace_bytes=10**9)
        self.tools = make_tools(self.root, Pods(), Rude(), budget=budget)

    def run(self, at: int = 0, interrupt: Callable[[SteppingLoop], None] = lambda loop: None) -> tuple[Snapshot | None, int]:
        """Run one capture in its own loop. Returns its end (None if it was stopped) and the number of its steps."""
        loop = SteppingLoop(at, interrupt)

        async def main() -> Snapshot | None:
            self.capture = asyncio.create_task(investigate(self.order, self.tools, lambda snapshot: None))
            try:
                return await self.capture
            except asyncio.CancelledError:
                return None
            finally:
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left, f"tasks are left: {left}"

        try:
            snapshot = loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            return snapshot, loop.steps
        finally:
            loop.close()

    @property
    def session(self) -> Path:
        (path,) = (path for path in (self.root / "sessions").iterdir() if not path.name.startswith("."))
        return path

    def assert_nothing_is_left(self) -> None:
        """No thread at work, no account, no lock, no staged directory."""
        self.tools.saving.shutdown(wait=True)
        self.tools.uploads.shutdown(wait=True)
        assert not self.tools.budget._running
        if (self.root / "sessions").exists():
            assert not list((self.root / "sessions").glob(".*"))
            for session in (self.root / "sessions").iterdir():
                with locked(session):
                    pass


SPEC: dict[str, Any] = {
    "targets": [{"pod": name} for name in PODS],
    "logs": {},
    "traces": [{"fromLogs": {"limit": 5}}],
    "timeout": "10m",
}


def open_files() -> set[str]:
    """What this process has open, by the names that the kernel gives it; also unlinked files, with their size."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {os.readlink(entry)}")
        except FileNotFoundError:
            continue
    return found


@contextmanager
def nothing_left(rig: Rig) -> Iterator[None]:
    """Compare files and threads before and after."""
    files, threads = open_files(), set(threading.enumerate())
    yield
    rig.assert_nothing_is_left()
    left = {thread for thread in set(threading.enumerate()) - threads if thread.is_alive()}
    assert not left
    assert open_files() <= files


@contextmanager
def bounded() -> Iterator[None]:
    """Raise if a capture hangs. Its loop's clock cannot be used for that."""

    def hangs(*_: Any) -> None:
        raise TimeoutError("the capture hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def evidence(session: Path) -> dict[str, Any]:
    """Entries of every artifact, by the part of its name that names what was asked."""
    return {
        path.name.rsplit("_", 1)[0]: json.loads(path.read_bytes())["data"] for path in sorted(session.rglob("data/**/*.json"))
    }


@pytest.fixture(scope="module", autouse=True)
def no_syncs() -> Iterator[None]:
    """Do not sync: the machine does not crash here. `test_crash_safety` tests that."""
    with patch.object(os, "fsync", lambda descriptor: None):
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The evidence of a capture that nothing disturbed."""
    rig = Rig(tmp_path_factory.mktemp("undisturbed"))
    snapshot, _ = rig.run()
    assert snapshot is not None
    assert {gap.target for gap in snapshot.manifest.gaps} == {"thing/broken"}, snapshot.manifest.gaps
    found = evidence(rig.session)
    assert len(found) == 10, found.keys()
    assert sum(len(found[f"kubernetes_{pod}"]) for pod in PODS) == 2 * 90
    return found


def at_each_step(root: Path) -> Iterator[tuple[int, Rig]]:
    """Yield a rig for step 1, for step 2, and so on. The test ends the series when a capture has fewer steps."""
    for at in count(1):
        assert at < MOST_STEPS
        with bounded():
            yield at, Rig(root / str(at))


def test_the_process_stops_at_each_step(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """The capture's task is cancelled, as when the operator stops: the next process ends with the same evidence.

    No question and no step is blamed for it: otherwise it would be given up when that happens twice.
    """
    for at, rig in at_each_step(tmp_path):
        with nothing_left(rig):
            _, steps = rig.run(at, lambda loop, rig=rig: cast("Any", rig.capture).cancel() if rig.capture else None)  # type: ignore[misc]
        if steps < at:
            break
        for left in rig.root.glob("sessions/*/journal.ndjson"):
            assert not +journal.read(left, lambda artifact: True).deaths, at
        after = Rig(rig.root)
        with nothing_left(after):
            snapshot, _ = after.run()
        assert snapshot is not None
        assert evidence(after.session) == undisturbed, at
        assert verify(after.session).intact, at
    assert at > 100


def test_the_process_stops_twice(tmp_path: Path) -> None:
    """A second cancellation, a step after the first, finds nothing half done."""

    def twice(rig: Rig, loop: SteppingLoop) -> None:
        if rig.capture is not None:
            rig.capture.cancel()
            loop.call_soon(lambda: loop.call_soon(cast("Any", rig.capture).cancel))

    for at, rig in at_each_step(tmp_path):
        with nothing_left(rig):
            _, steps = rig.run(at, lambda loop, rig=rig: twice(rig, loop))  # type: ignore[misc]
        if steps < at:
            break


@pytest.mark.parametrize("reason", ["Cancelled", "TimedOut"])
def test_the_end_comes_at_each_step(tmp_path: Path, reason: str, undisturbed: dict[str, Any]) -> None:
    """Cancelled by its user, or out of time: the session is finished, and what is missing is reported."""

    def end(rig: Rig, loop: SteppingLoop) -> None:
        if reason == "Cancelled":
            rig.order.cancelled.set()
        else:
            loop.ahead_seconds += 601

    for at, rig in at_each_step(tmp_path):
        with nothing_left(rig):
            snapshot, steps = rig.run(at, lambda loop, rig=rig: end(rig, loop))  # type: ignore[misc]
        assert snapshot is not None
        manifest = snapshot.manifest
        assert verify(rig.session).intact, at
        if steps < at:
            break
        if manifest.phase == reason:
            assert reason in {gap.reason for gap in manifest.gaps} or len(capturing.evidence(snapshot)) == len(undisturbed), at
        else:
            assert (manifest.phase, len(capturing.evidence(snapshot))) == ("PartiallyCompleted", len(undisturbed)), at
    assert at > 100


def test_the_process_is_killed_at_each_tenth_step(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """SIGKILL: the next process ends with the same evidence; the kernel has given back everything else."""
    for at in range(1, MOST_STEPS, 10):
        rig = Rig(tmp_path / str(at))
        with bounded():
            died = in_child(lambda rig=rig, at=at: rig.run(at, lambda loop: os.kill(os.getpid(), signal.SIGKILL)))  # type: ignore[misc]
            after = Rig(rig.root)
            with nothing_left(after):
                after.run()
        assert evidence(after.session) == undisturbed, at
        assert verify(after.session).intact, at
        if died is None:
            break
