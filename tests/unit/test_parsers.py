"""Worker processes parse logs: same results, a fault costs only its own runs, and nothing is left behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

import aletheia_operator
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.logs.pool import ParsedRun, Parsers
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run import RunOrder, RunResult, WorkerFault
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.logs.run_spooler import RunSpooler
from aletheia_operator.logs.template import worker_environment
from aletheia_operator.logs.worker_process import WorkerEnded
from aletheia_operator.scratch import Scratches
from tests.unit.fakes import LONGEST_TEST_SECONDS

SETTINGS = RunSettings("app", 0, False, "2026-11-22T11:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z", 2**20)


def block(first: int, lines: int = 2000) -> bytes:
    return "".join(
        f"2026-11-22T11:30:{number // 1000 % 60:02}.{number % 1000:03}000000Z ERROR boom {number}\n"
        for number in range(first, first + lines)
    ).encode()


BLOCKS = [block(first) for first in range(0, 16_000, 2000)]


def make_order(directory: Path, max_bytes: int = 2**30, encrypted: bool = False) -> RunOrder:
    return RunOrder(SETTINGS, Scratches(directory, encrypted)(), max_bytes, 100)


def here(order: RunOrder) -> RunResult:
    """Parse BLOCKS in this process."""
    spooler = RunSpooler(order)
    for block in BLOCKS:
        spooler.feed(block)
    return spooler.end()


def kept(result: RunResult) -> bytes:
    result.spool.finish(result.spool.max_bytes)
    return b",\n".join(block.block for block in result.spool.blocks())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
async def parsers() -> AsyncIterator[Parsers]:
    """Worker processes; at the end all have ended, and all descriptors are closed."""
    before = descriptors()
    parsers = Parsers(processes=1, request_seconds=LONGEST_TEST_SECONDS)
    yield parsers
    assert parsers.runs == 0, "a run was not given back"
    await parsers.close()
    assert descriptors() == before


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("max_bytes", [2**30, 50_000], ids=["all", "within a budget"])
async def test_a_worker_keeps_what_this_process_would(
    parsers: Parsers, tmp_path: Path, max_bytes: int, encrypted: bool
) -> None:
    """The entries, counts and position are the same. The file has no name, and belongs to the owner of the given scratch."""
    order = make_order(tmp_path, max_bytes, encrypted)
    run = await parsers.open(order)
    for block in BLOCKS:
        await run.feed(block)
    result = await run.end()
    assert result.spool.file.owner is order.scratch.owner
    expected = await asyncio.to_thread(here, make_order(tmp_path, max_bytes, encrypted))
    assert await asyncio.to_thread(kept, result) == await asyncio.to_thread(kept, expected)
    assert (result.spool.total, result.spool.kept) == (expected.spool.total, expected.spool.kept)
    assert result.count.summary() == expected.count.summary()
    assert run.position == result.position == expected.position
    assert not os.listdir(tmp_path)
    for one_result in (result, expected):
        one_result.spool.close()
    with pytest.raises(OSError, match="closed"):
        order.scratch.put(b"the worker's copy is the only one")


async def test_a_run_that_is_cancelled_at_any_moment_keeps_what_was_fed(parsers: Parsers, tmp_path: Path) -> None:
    """A cancelled `feed` still has its lines parsed, and a cancelled `end` can be called again."""
    run = await parsers.open(make_order(tmp_path))
    for block in BLOCKS:
        task = asyncio.create_task(run.feed(block))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    for _ in range(3):
        task = asyncio.create_task(run.end())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    result = await run.end()
    assert result.position.lines == 16_000
    assert kept(result).count(b'"boom') == 16_000
    result.spool.close()


@pytest.mark.parametrize("drained", [False, True], ids=["while it is parsed", "while its result comes"])
@pytest.mark.parametrize("answered", [False, True], ids=["before it arrives", "after it arrived"])
async def test_a_run_that_is_given_up_leaves_no_file(parsers: Parsers, tmp_path: Path, drained: bool, answered: bool) -> None:
    """Its file is closed when the result arrives, or when the run is given up after that."""
    run = await parsers.open(make_order(tmp_path))
    for block in BLOCKS:
        await run.feed(block)
    if drained:
        await run.drain()
    task = asyncio.create_task(run.end())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    if answered:
        other = await parsers.open(make_order(tmp_path))
        (await other.end()).spool.close()  # answered after the first
    run.close()
    run.close()
    last = await parsers.open(make_order(tmp_path))
    (await last.end()).spool.close()  # answered after all others


async def test_a_run_that_is_given_up_before_its_end_leaves_no_file(parsers: Parsers, tmp_path: Path) -> None:
    """The worker closes it: the same process goes on, and has no more files than before."""
    first = await parsers.open(make_order(tmp_path))
    await first.feed(BLOCKS[0])
    await first.drain()  # now the process has started
    (pid,) = parsers.pids
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(3):
        run = await parsers.open(make_order(tmp_path))
        for block in BLOCKS:
            await run.feed(block)
        run.close()
    (await first.end()).spool.close()  # answered after the others
    assert parsers.pids == [pid]
    assert len(os.listdir(f"/proc/{pid}/fd")) <= before


async def test_a_volume_that_refuses_is_an_error_of_its_run_alone(parsers: Parsers, tmp_path: Path) -> None:
    """Earlier entries are returned with the reason. The worker continues with its other runs."""
    lost, other = await parsers.open(make_order(tmp_path / "gone")), await parsers.open(make_order(tmp_path))
    with pytest.raises(FileNotFoundError):
        for block in BLOCKS:
            await other.feed(block)
            await lost.feed(block)
    result = await lost.end()
    assert result.refused == "No such file or directory"
    whole = await other.end()
    assert kept(whole).count(b'"boom') >= 2000
    for one_result in (result, whole):
        one_result.spool.close()


async def test_a_fault_in_a_worker_costs_only_its_run(parsers: Parsers, tmp_path: Path) -> None:
    """The worker answers every faulty request with an error, and continues. The file of the lost run is closed."""
    bad, good = await parsers.open(make_order(tmp_path)), await parsers.open(make_order(tmp_path))
    (pid,) = parsers.pids
    with pytest.raises(WorkerFault):
        await bad._worker.request("feed", 10**6, b"")
    with pytest.raises(WorkerFault):
        await bad._worker.request("no such thing", 0)
    with pytest.raises(WorkerFault):
        await bad._worker.request("feed", bad._number, "no bytes")
    with pytest.raises(WorkerFault):
        await bad.feed(BLOCKS[0])
        await bad.drain()
    bad.close()
    await good.feed(BLOCKS[0])
    result = await good.end()
    assert result.position.lines == 2000
    assert parsers.pids == [pid]
    result.spool.close()


async def test_a_worker_that_is_killed_is_noticed_and_replaced(parsers: Parsers, tmp_path: Path) -> None:
    """The kernel may kill one when memory is short: nobody waits forever for its answer."""
    run = await parsers.open(make_order(tmp_path))
    await run.feed(BLOCKS[0])
    (pid,) = parsers.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerEnded):
        for _ in range(100):
            await run.feed(BLOCKS[0])
    run.close()
    again = await parsers.open(make_order(tmp_path))
    assert parsers.pids != [pid]
    (await again.end()).spool.close()


@pytest.mark.logs_errors("did not answer for")
async def test_a_worker_that_hangs_is_killed(tmp_path: Path) -> None:
    """It is killed after its time limit, and the runs of other workers continue."""
    parsers = Parsers(processes=2, request_seconds=LONGEST_TEST_SECONDS)
    hanging = await parsers.open(make_order(tmp_path))
    await hanging.feed(BLOCKS[0])
    await hanging.drain()
    hanging._worker._request_seconds = 0.2
    (pid,) = parsers.pids
    os.kill(pid, signal.SIGSTOP)
    other = await parsers.open(make_order(tmp_path))
    assert len(parsers.pids) == 2, "a busy worker is not waited for while there may be another"
    with pytest.raises(WorkerEnded):
        await asyncio.wait_for(hanging.end(), LONGEST_TEST_SECONDS)  # a slow machine must not pass for a hang
    await other.feed(BLOCKS[0])
    result = await other.end()
    assert result.position.lines == 2000
    result.spool.close()
    hanging.close()
    await parsers.close()


async def test_a_run_that_may_be_poisonous_has_a_worker_of_its_own(parsers: Parsers, tmp_path: Path) -> None:
    """That worker can die without the others, and ends with the run."""
    other = await parsers.open(make_order(tmp_path))
    runs = [await parsers.open(make_order(tmp_path), namespace, alone=True) for namespace in ("a", "b")]
    third = asyncio.create_task(parsers.open(make_order(tmp_path), "c", alone=True))
    await asyncio.sleep(0.05)
    assert not third.done(), "at most two of these at a time"
    await asyncio.to_thread(runs[0]._worker._process.wait)  # kills it
    with pytest.raises(WorkerEnded):
        await runs[0].end()
    runs[0].close()
    (await (await third).end()).spool.close()
    (await runs[1].end()).spool.close()
    (await other.end()).spool.close()


async def test_one_namespace_has_one_worker_that_may_be_poisoned(parsers: Parsers, tmp_path: Path) -> None:
    """For any number of its runs, another namespace gets a worker at once."""
    first = await parsers.open(make_order(tmp_path), "large", alone=True)
    waiting = [asyncio.create_task(parsers.open(make_order(tmp_path), "large", alone=True)) for _ in range(3)]
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        (await (await parsers.open(make_order(tmp_path), "small", alone=True)).end()).spool.close()
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    (await first.end()).spool.close()


async def flood(parsers: Parsers, root: Path, fed: list[int], many: asyncio.Event) -> None:
    """Feed a run of a large namespace until cancelled. `fed`: an item for each parsed block. `many`: set after 80 blocks."""
    run = await parsers.open(make_order(root), "large")
    try:
        while True:
            await run.feed(block(0, 300))
            fed.append(1)
            if len(fed) > 80:
                many.set()
    finally:
        (await run.end()).spool.close()


async def test_namespaces_take_turns_at_a_worker(parsers: Parsers, tmp_path: Path) -> None:
    """Forty runs of one namespace delay a block of another by a few of their blocks, not by forty."""
    fed, many = list[int](), asyncio.Event()
    floods = [asyncio.create_task(flood(parsers, tmp_path, fed, many)) for _ in range(40)]
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await many.wait()
        small = await parsers.open(make_order(tmp_path), "small")
        before = len(fed)
        for number in range(10):
            await small.feed(block(number, 300))
            await small.drain()
        (await small.end()).spool.close()
    assert len(fed) - before <= 5 * 11, "blocks of the others that were parsed meanwhile"
    for task in floods:
        task.cancel()
    await asyncio.wait(floods)


async def test_ends_of_large_runs_take_turns_too(parsers: Parsers, tmp_path: Path) -> None:
    """Thinning out a large run takes long: forty runs that end at once do not all come before a block of another namespace."""
    runs = [await parsers.open(make_order(tmp_path), "large") for _ in range(40)]
    for run in runs:
        await run.feed(BLOCKS[0])
    ends = [asyncio.create_task(run.end()) for run in runs]
    await asyncio.wait(ends, timeout=0)
    small = await parsers.open(make_order(tmp_path), "small")
    await small.feed(block(0, 10))
    await small.drain()
    assert sum(task.done() for task in ends) <= 5
    (await small.end()).spool.close()
    for result in await asyncio.gather(*ends):
        result.spool.close()


async def test_a_worker_is_started_ahead_and_ends_when_idle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker that has been idle for a while ends, which frees its memory."""
    monkeypatch.setattr("aletheia_operator.logs.worker_process.IDLE_SECONDS", 0.2)
    parsers = Parsers(processes=2)
    parsers.warm()
    parsers.warm()
    run = await parsers.open(make_order(tmp_path))
    (pid,) = parsers.pids
    worker = run._worker
    (await run.end()).spool.close()
    await asyncio.wait_for(worker.ended(), LONGEST_TEST_SECONDS)
    assert parsers.pids == []
    assert str(pid) not in os.listdir("/proc")
    assert parsers._template.pid is None, "the template ends with the last worker"
    await parsers.close()


async def test_a_worker_whose_reader_is_cancelled_is_killed(tmp_path: Path) -> None:
    """This happens when the event loop ends: even a busy worker does not stay behind."""
    parsers = Parsers(processes=1)
    run = await parsers.open(make_order(tmp_path))
    worker = run._worker
    os.kill(worker.pid, signal.SIGSTOP)  # so that it does not see that its socket is closed
    worker._reader.cancel()
    await asyncio.wait({worker._reader})
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await asyncio.to_thread(worker._process.wait)
    run.close()
    await parsers.close()


async def test_a_busy_worker_is_killed_by_close(tmp_path: Path) -> None:
    """The end of the operator does not wait for a hostile line."""
    parsers = Parsers(processes=1)
    run = await parsers.open(make_order(tmp_path))
    (pid,) = parsers.pids
    os.kill(pid, signal.SIGSTOP)
    await asyncio.wait_for(parsers.close(), LONGEST_TEST_SECONDS)
    assert str(pid) not in os.listdir("/proc")
    run.close()


async def test_many_runs_at_once(parsers: Parsers, tmp_path: Path) -> None:
    """Each gets its own results."""

    async def read_run(number: int) -> None:
        run = await parsers.open(make_order(tmp_path))
        await run.feed(block(number, lines=number % 50 + 1))
        result = await run.end()
        assert result.position.lines == number % 50 + 1
        assert b'"line":"ERROR boom %d"' % number in kept(result)
        result.spool.close()

    async with asyncio.TaskGroup() as group:
        for number in range(500):
            group.create_task(read_run(number))


class Worker:
    """Stands for a worker process. `sent`: the requests. `answers`: a future for each, which the test sets."""

    def __init__(self) -> None:
        self.turns = FairSlots(1, 1)
        self.runs: set[int] = set()
        self.sent: list[tuple[Any, ...]] = []
        self.answers: list[asyncio.Future[Any]] = []
        self.fault: Exception | None = None
        self.drained = 0

    def request(
        self, operation: str, run: int, *arguments: Any, lines: bytes = b"", more_seconds: float = 0
    ) -> asyncio.Future[Any]:
        if self.fault is not None:
            raise self.fault
        self.sent.append((operation, run, *arguments, *([lines] if lines else []), more_seconds))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    async def drain(self) -> None:
        self.drained += 1

    def add(self, run: int) -> None:
        self.runs.add(run)

    def remove(self, run: int) -> None:
        self.runs.discard(run)


def opened(worker: Worker, directory: Path, max_bytes: int = 0) -> tuple[ParsedRun, RunOrder, list[str]]:
    closed: list[str] = []
    order = make_order(directory, max_bytes)
    return ParsedRun(cast("Any", worker), 7, order, "shop", lambda: closed.append("closed")), order, closed


async def test_what_a_run_asks_of_its_worker(tmp_path: Path) -> None:
    """It sends one block at a time, in order. More entries to thin out get more time. The answer frees the slot."""
    worker = Worker()
    run, order, closed = opened(worker, tmp_path, 30 * 1024 * 1024)
    await run.feed(b"lines")
    assert (worker.runs, worker.drained) == ({7}, 1)
    assert worker.sent == [("open", 7, order, 0), ("feed", 7, b"lines", 3.0)]
    assert worker.turns.full("shop")
    task = asyncio.create_task(run.call("read_again"))
    await asyncio.sleep(0)
    worker.answers[1].set_result(Position(lines=1))
    for _ in range(4):
        await asyncio.sleep(0)
    assert run.position == Position(lines=1)
    assert not worker.turns.full("shop")
    assert worker.sent[2:] == [("read_again", 7, 0)]
    worker.answers[2].set_result(Position(lines=2))
    await task
    assert run.position == Position(lines=2)
    ending = asyncio.create_task(run.end())
    for _ in range(4):
        await asyncio.sleep(0)
    assert worker.sent[3:] == [("end", 7, 0)]
    assert worker.turns.full("shop")
    spooler = RunSpooler(make_order(tmp_path))
    worker.answers[3].set_result(result := spooler.end())
    assert await ending is result
    assert (run.position, worker.runs, closed) == (result.position, set(), ["closed"])
    assert not worker.turns.full("shop")
    run.close()
    assert closed == ["closed"]
    result.spool.close()


@pytest.mark.parametrize("operation", ["feed", "end", "call", "open"])
async def test_a_worker_that_ended_keeps_no_place(tmp_path: Path, operation: str) -> None:
    """Its runs and blocks give their slots back, and the scratch file is closed in any case."""
    worker = Worker()
    if operation == "open":
        worker.fault = WorkerEnded()
        order = make_order(tmp_path)
        with pytest.raises(WorkerEnded):
            ParsedRun(cast("Any", worker), 7, order, "shop")
        assert worker.runs == set()
        with pytest.raises(OSError, match="closed"):
            order.scratch.put(b"x")
        return
    run, _, closed = opened(worker, tmp_path)
    worker.fault = WorkerEnded()
    work: dict[str, Callable[[], Awaitable[object]]] = {
        "feed": lambda: run.feed(b"lines"),
        "end": run.end,
        "call": lambda: run.call("accept"),
    }
    with pytest.raises(WorkerEnded):
        await work[operation]()
    assert not worker.turns.full("shop")
    run.close()
    assert (worker.runs, closed) == (set(), ["closed"])


@pytest.mark.parametrize("error", [OSError(28, "No space left"), WorkerFault("KeyError")])
async def test_a_block_that_fails_ends_the_run(tmp_path: Path, error: Exception) -> None:
    """After a full volume the run is still ended, to return what was kept. Another fault is raised at once."""
    worker = Worker()
    run, _, _ = opened(worker, tmp_path)
    await run.feed(b"lines")
    worker.answers[1].set_exception(error)
    if isinstance(error, WorkerFault):
        with pytest.raises(WorkerFault):
            await run.end()
        assert len(worker.sent) == 2
    else:
        ending = asyncio.create_task(run.end())
        for _ in range(4):
            await asyncio.sleep(0)
        assert worker.sent[2] == ("end", 7, 0)
        ending.cancel()
        await asyncio.wait({ending})
    run.close()
    assert worker.runs == set()


async def test_a_run_that_is_dropped_asks_for_it_once(tmp_path: Path) -> None:
    """However often it is closed."""
    worker = Worker()
    run, _, closed = opened(worker, tmp_path)
    run.close()
    run.close()
    assert (worker.sent[1:], closed) == ([("drop", 7, 0)], ["closed"])


@pytest.mark.parametrize(("value", "path"), [(None, ""), ("", ""), ("/a:/b", ":/a:/b")])
def test_a_worker_finds_the_package(monkeypatch: pytest.MonkeyPatch, value: str | None, path: str) -> None:
    """The package's directory comes first in PYTHONPATH. The rest of the environment is kept."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if value is not None:
        monkeypatch.setenv("PYTHONPATH", value)
    monkeypatch.setenv("TZ", "UTC")
    found = worker_environment()
    assert found["PYTHONPATH"] == f"{Path(aletheia_operator.__file__).parents[1]}{path}"
    assert {name: text for name, text in found.items() if name != "PYTHONPATH"} == {
        name: text for name, text in os.environ.items() if name != "PYTHONPATH"
    }
