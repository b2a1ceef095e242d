"""A capture from beginning to end, over restarts: when it asks, which resources it uses, and how it is resumed."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.fetchers.base import Document, Outcome, Plan, Question, Sources
from aletheia_operator.investigate import Budget, Tools, answering, investigate
from aletheia_operator.investigate.answering import GIVEN_UP
from aletheia_operator.investigate.journal_writer import JournalWriter
from aletheia_operator.investigate.planning import MAX_PLAN_DEATHS
from aletheia_operator.session import Session, WrittenFile
from aletheia_operator.session.journal import Done
from tests.unit.capturing import cancel, counts, evidence, gaps, run
from tests.unit.fakes import LONGEST_TEST_SECONDS, NOW, Clock, FakeFetcher, forever, make_order, make_tools


@dataclass
class Sleeper:
    """Sleeps by moving a clock, and records for how long."""

    clock: Clock
    slept: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)


@pytest.mark.parametrize(
    ("late_seconds", "slept"),
    [(0.0, 0.999999), (0.25, 0.749999), (0.999999, None), (3.0, None), (-60.0, 1.5)],
    ids=["at once", "within the second", "at its end", "later", "by a clock that is behind"],
)
async def test_questions_are_asked_when_the_window_is_over(tmp_path: Path, late_seconds: float, slept: float | None) -> None:
    """The second of the creation belongs to the window, and sources do not have all of it before it is over."""
    clock = Clock()
    clock.advance(late_seconds)
    sleeper, asked = Sleeper(clock), list[datetime]()

    async def note() -> None:
        asked.append(clock.moment)

    fetcher = FakeFetcher({"a": [note, [1]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher, now=clock, sleep=sleeper))
    assert snapshot.manifest.phase == "Completed"
    assert sleeper.slept == ([pytest.approx(slept)] if slept else [])
    assert late_seconds < 0 or asked[0] >= NOW + timedelta(microseconds=999_999)


async def test_the_wait_for_the_windows_end_can_be_cancelled(tmp_path: Path) -> None:
    """A cancelled Investigation does not wait, and asks nothing."""
    order = make_order()

    async def sleep(seconds: float) -> None:
        await cancel(order)()

    fetcher = FakeFetcher({"a": [[1]]})
    snapshot = await run(order, make_tools(tmp_path, fetcher, sleep=sleep))
    assert (snapshot.manifest.phase, gaps(snapshot)) == ("Cancelled", [("thing/a", GapReason.CANCELLED)])
    assert fetcher.asked == []


@dataclass
class Slow:
    """Replaces a function: reports that it was called, and waits until the test lets it continue."""

    real: Any
    called: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def method(self) -> Any:
        def slow(*arguments: Any) -> Any:
            self.called.set()
            self.go_on.wait(LONGEST_TEST_SECONDS)
            return self.real(*arguments)

        return slow

    async def stop_meanwhile(self, tools: Tools) -> None:
        """Stop a capture while it waits for the function."""
        task = asyncio.create_task(investigate(make_order(), tools, lambda _: None))
        await asyncio.to_thread(self.called.wait, LONGEST_TEST_SECONDS)
        task.cancel()
        await asyncio.sleep(0)
        self.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_capture_that_is_stopped_while_its_session_opens_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that opens it cannot be stopped: what it opened is closed."""
    slow = Slow(Session._recover)
    monkeypatch.setattr(Session, "_recover", slow.method())
    tools = make_tools(tmp_path, FakeFetcher({"a": [[1]]}))
    await slow.stop_meanwhile(tools)
    assert (await run(make_order(), tools)).manifest.phase == "Completed"


async def test_an_account_is_closed_when_the_capture_is_stopped_while_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session without a running capture is counted once, from its manifest."""
    slow = Slow(Budget.open)
    monkeypatch.setattr(Budget, "open", slow.method())
    tools = make_tools(tmp_path, FakeFetcher({"a": [[1]]}), budget=Budget(max_namespace_bytes=10**6))
    await slow.stop_meanwhile(tools)
    assert tools.budget._running == {}


async def test_captures_that_have_ended_are_counted_once(tmp_path: Path) -> None:
    """A capture that still runs knows what the others kept. Nothing counts twice, and no account is left open."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    budget = Budget(max_namespace_bytes=10**6)
    slow = asyncio.create_task(run(make_order("slow"), make_tools(tmp_path, FakeFetcher({"a": [[1], wait]}), budget=budget)))
    await begun.wait()
    (account,) = budget._running.values()
    sizes = []
    for uid in ("one", "two"):
        snapshot = await run(make_order(uid), make_tools(tmp_path, FakeFetcher({"a": [["x" * 1000]]}), budget=budget))
        sizes.append(snapshot.manifest.size_bytes)
        assert [*budget._running.values()] == [account]
    assert 2000 < account.others_bytes <= sum(sizes)
    go_on.set()
    await slow
    assert budget._running == {}


@dataclass
class Death:
    """A step at which the process dies."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        self.reached.set()
        await forever()

    async def comes(self, tools: Tools, times: int, in_good_order: bool = False) -> None:
        """Run this many processes until they die here. Each has recorded that a question began.

        `in_good_order`: they are stopped, and record that, too.
        """
        for _ in range(times):
            self.reached.clear()
            task = asyncio.create_task(investigate(make_order(), tools, lambda _: None))
            async with asyncio.timeout(LONGEST_TEST_SECONDS):
                await self.reached.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            if in_good_order:
                continue
            (journal,) = tools.layout.sessions.rglob("journal.ndjson")
            lines = [line for line in journal.read_bytes().splitlines(keepends=True) if b'"stopped"' not in line]
            journal.write_bytes(b"".join(lines))


@dataclass
class Planner(FakeFetcher):
    """Waits for `before_plan` before it plans."""

    before_plan: Any = None

    async def plan(self, spec: Any, sources: Any) -> Plan:
        if self.before_plan is not None:
            await self.before_plan()
        return await super().plan(spec, sources)


async def test_a_question_that_killed_the_process_twice_is_given_up(tmp_path: Path) -> None:
    """The next process goes on with the rest, and says so."""
    death = Death()
    await death.comes(make_tools(tmp_path, FakeFetcher({"a": [[1]], "b": [death]}), max_fetches=1), times=2)
    fetcher = FakeFetcher({"b": [[2]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    (gap,) = snapshot.manifest.gaps
    assert (gap.target, gap.reason, gap.message) == ("thing/b", GapReason.INTERNAL_ERROR, GIVEN_UP)
    assert (counts(snapshot), fetcher.asked) == ({"thing/a": 1}, [])


class WithSmaller(FakeFetcher):
    """Asks for `small` in place of a question that is given up."""

    async def plan(self, spec: Any, sources: Any) -> Plan:
        return Plan((await super().plan(spec, sources)).questions[:1])

    def smaller(self, question: Question) -> Question:
        return replace(question, key=f"{question.key}/small", target="thing/small", arguments={"key": "small"})


@pytest.mark.parametrize("deaths_of_smaller", [0, 1, 2])
async def test_a_smaller_question_takes_the_place_of_one_that_is_given_up(tmp_path: Path, deaths_of_smaller: int) -> None:
    """It is itself given up after two deaths."""
    death = Death()
    await death.comes(make_tools(tmp_path, WithSmaller({"a": [death], "small": [death]})), times=2 + deaths_of_smaller)
    fetcher = WithSmaller({"a": [[1]], "small": [[2]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    assert [(gap.target, gap.message) for gap in snapshot.manifest.gaps] == [("thing/a", GIVEN_UP)]
    assert fetcher.asked == ([] if deaths_of_smaller == 2 else ["small"])


class WithoutSmaller(WithSmaller):
    def smaller(self, question: Question) -> Question:
        raise KeyError("keep")


@pytest.mark.logs_errors("no smaller question for Fake/a")
async def test_a_smaller_question_that_cannot_be_made_is_not_asked(tmp_path: Path) -> None:
    """The capture goes on: the question that is given up is its only gap."""
    death = Death()
    await death.comes(make_tools(tmp_path, WithoutSmaller({"a": [death]})), times=2)
    fetcher = WithoutSmaller({"a": [[1]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    assert ([(gap.target, gap.message) for gap in snapshot.manifest.gaps], fetcher.asked) == ([("thing/a", GIVEN_UP)], [])


UIDS = [f"{number}1111111-2222-3333-4444-555555555555" for number in range(3)]


class Hang:
    """A source that does not answer; `asked` counts the waiting questions."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)

    async def __call__(self) -> None:
        self.asked.release()
        await forever()


async def die_together(tools: Tools, source: Hang, under_way: int) -> None:
    """Run a capture for each of UIDS until this many questions are being asked; then the process dies."""
    tasks = [asyncio.create_task(investigate(make_order(uid), tools, lambda _: None)) for uid in UIDS]
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        for _ in range(under_way):
            await source.asked.acquire()
        for _ in range(100):
            await asyncio.sleep(0)
        assert source.asked.locked(), "further ones are under way"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for journal in tools.layout.sessions.rglob("journal.ndjson"):
        lines = [line for line in journal.read_bytes().splitlines(keepends=True) if b'"stopped"' not in line]
        journal.write_bytes(b"".join(lines))


async def capture_with_one_given_up(root: Path) -> None:
    """Run a capture for each of UIDS. One of them gives its question up."""
    tools = make_tools(root, FakeFetcher({"a": [[1]]}))
    snapshots = [await run(make_order(uid), tools) for uid in UIDS]
    assert sorted([gap.message for gap in snapshot.manifest.gaps] for snapshot in snapshots) == [[], [], [GIVEN_UP]]


async def test_only_one_capture_pays_for_a_second_death(tmp_path: Path) -> None:
    """When the process died, several captures were asking: their questions are repeated one at a time, to find the cause."""
    source = Hang()
    await die_together(make_tools(tmp_path, FakeFetcher({"a": [source]})), source, len(UIDS))
    await die_together(make_tools(tmp_path, FakeFetcher({"a": [source]})), source, 1)
    await capture_with_one_given_up(tmp_path)


async def test_a_suspect_does_not_wait_for_a_slow_one_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it is asked concurrently; a death then does not count against it."""
    source = Hang()
    await die_together(make_tools(tmp_path, FakeFetcher({"a": [source]})), source, len(UIDS))
    monkeypatch.setattr(answering, "SUSPECT_WAIT_SECONDS", 0.01)
    await die_together(make_tools(tmp_path, FakeFetcher({"a": [source]})), source, len(UIDS))
    await capture_with_one_given_up(tmp_path)


async def test_a_suspect_gives_way_when_its_answer_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A death before would count against it and against the next one."""
    source = Hang()
    await die_together(make_tools(tmp_path, FakeFetcher({"a": [source]})), source, len(UIDS))
    tools = make_tools(tmp_path, FakeFetcher({"a": [[1]]}))
    waiting, record_done = list[bool](), JournalWriter.record_done

    async def record(writer: JournalWriter, done: Done) -> None:
        waiting.append(tools.suspects.locked())
        await record_done(writer, done)
        waiting.append(tools.suspects.locked())

    monkeypatch.setattr(JournalWriter, "record_done", record)
    await run(make_order(UIDS[0]), tools)
    assert waiting == [True, True]
    assert not tools.suspects.locked()


async def test_a_question_that_was_stopped_before_it_was_asked_owes_nothing(tmp_path: Path) -> None:
    """Its orderly stop while it waited is not recorded, so it does not offset a later death."""
    death = Death()
    tools = make_tools(tmp_path, FakeFetcher({"a": [death], "b": [[1]]}), max_fetches=1)
    await death.comes(tools, times=1, in_good_order=True)
    (journal,) = tools.layout.sessions.rglob("journal.ndjson")
    assert journal.read_bytes().count(b'"stopped"') == 1


@pytest.mark.parametrize(("times", "phase"), [(MAX_PLAN_DEATHS - 1, "Completed"), (MAX_PLAN_DEATHS, "Failed")])
async def test_a_plan_that_kills_the_process_is_given_up(tmp_path: Path, times: int, phase: str) -> None:
    """Then there is nothing to ask."""
    death = Death()
    await death.comes(make_tools(tmp_path, Planner({"a": [[1]]}, before_plan=death)), times=times)
    fetcher = FakeFetcher({"a": [[1]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    assert snapshot.manifest.phase == phase
    assert gaps(snapshot) == ([("the plan", GapReason.INTERNAL_ERROR)] if phase == "Failed" else [])
    assert fetcher.planned == (phase == "Completed")


async def test_what_killed_the_process_once_is_asked_alone(tmp_path: Path) -> None:
    """Of several questions that were asked when it died, one at a time is repeated, so another death shows the cause."""
    running, most = 0, 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    death = Death()
    await death.comes(make_tools(tmp_path, FakeFetcher({str(number): [death] for number in range(4)})), times=1)
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({str(number): [work, [1]] for number in range(4)})))
    assert (snapshot.manifest.phase, len(evidence(snapshot)), most) == ("Completed", 4, 1)


async def test_a_process_that_stops_in_good_order_counts_for_nothing(tmp_path: Path) -> None:
    """An operator that is restarted often gives no question up."""
    death = Death()
    await death.comes(make_tools(tmp_path, FakeFetcher({"a": [[1]], "b": [death]})), times=4, in_good_order=True)
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]], "b": [[2]]})))
    assert snapshot.manifest.phase == "Completed"


class Leaky(FakeFetcher):
    """Leaves scratch files open."""

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        await asyncio.to_thread(sources.scratch().put, b"x" * 1000)
        async for document in super().fetch(question, sources):
            yield document


def scratch_files(root: Path) -> list[str]:
    """Unlinked files on the volume that this process has open."""
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [link for link in links if link.startswith(str(root)) and link.endswith(" (deleted)")]


@pytest.mark.parametrize("quota", [None, 1], ids=["within the quota", "over quota"])
async def test_scratch_files_are_closed_with_their_question(tmp_path: Path, quota: int | None) -> None:
    """Also if the fetcher forgets them, or the quota is used up before a document is read."""
    open_files: list[int] = []

    async def look() -> None:
        open_files.append(len(scratch_files(tmp_path)))

    answers: dict[str, Any] = {str(number): [look, Unavailable("down")] for number in range(10)}
    tools = make_tools(tmp_path, Leaky(answers), max_fetches=1, budget=Budget(max_session_bytes=quota))
    await run(make_order(), tools)
    assert open_files == ([] if quota else [1] * 10)
    assert scratch_files(tmp_path) == []


async def test_the_event_loop_does_not_wait_for_a_scratch_file_that_is_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetcher's thread may go on when its question has ended, and the volume may hang: then a thread closes the file."""
    making, loop_runs, in_time = threading.Event(), threading.Event(), list[bool]()

    def hang(directory: Path, size_bytes: int) -> None:
        making.set()
        in_time.append(loop_runs.wait(LONGEST_TEST_SECONDS / 10))

    class Impatient(FakeFetcher):
        async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
            writing.append(asyncio.create_task(asyncio.to_thread(sources.scratch().put, b"x")))
            await asyncio.to_thread(making.wait, LONGEST_TEST_SECONDS)
            asyncio.get_running_loop().call_soon(loop_runs.set)  # it runs when the loop has closed the scratch
            raise Unavailable("down")
            yield

    writing = list["asyncio.Task[int]"]()
    monkeypatch.setattr("aletheia_operator.scratch.require_space", hang)
    await run(make_order(), make_tools(tmp_path, Impatient({"a": []})))
    await asyncio.wait(writing)
    assert in_time == [True]
    assert scratch_files(tmp_path) == []


class Greedy(FakeFetcher):
    """Gathers a megabyte in scratch files before it gives anything."""

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        scratch = sources.scratch()
        for _ in range(1000):
            await asyncio.to_thread(scratch.put, b"x" * 1000)
        async for document in super().fetch(question, sources):
            yield document


async def test_scratch_files_count_for_the_quota(tmp_path: Path) -> None:
    """An answer that waits in scratch files is refused once it is larger than what may be kept of it."""
    tools = make_tools(tmp_path, Greedy({"a": [[1]]}), budget=Budget(max_session_bytes=50_000))
    snapshot = await run(make_order(), tools)
    (gap,) = snapshot.manifest.gaps
    assert (gap.target, gap.reason) == ("thing/a", GapReason.BUDGET_EXCEEDED)
    assert "the session reached its quota of 50000 bytes" in gap.message


async def test_what_waits_in_scratch_files_does_not_count_twice(tmp_path: Path) -> None:
    """Entries leave the scratch files when they are saved: a quota for one copy of the answer is enough."""

    class Gathering(FakeFetcher):
        async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
            await asyncio.to_thread(sources.scratch().put, b"x" * 30_000)
            async for document in super().fetch(question, sources):
                yield document

    entries = ["x" * 2_998] * 10
    tools = make_tools(tmp_path, Gathering({"a": [[entry] for entry in entries]}), budget=Budget(max_session_bytes=35_000))
    snapshot = await run(make_order(), tools)
    assert (snapshot.manifest.phase, counts(snapshot)) == ("Completed", {"thing/a": 10})


async def test_saving_does_not_wait_for_sources_that_hang(tmp_path: Path) -> None:
    """Separate threads wait for sources and save."""
    go_on = threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    hanging = asyncio.create_task(asyncio.to_thread(go_on.wait, LONGEST_TEST_SECONDS))
    await asyncio.sleep(0)
    try:
        snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    finally:
        go_on.set()
        await hanging
    assert snapshot.manifest.phase == "Completed"


@dataclass
class WithSomething(FakeFetcher):
    """Yields what it has when its Investigation is over, as fetchers of logs do; nothing if the process stops."""

    sources: Sources | None = None

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        self.sources = sources
        async for document in super().fetch(question, sources):
            yield document

    async def _batches(self, key: str, outcome: Outcome) -> AsyncGenerator[list[Any], None]:
        assert self.sources is not None
        try:
            await next(iter(self.answers[key]))()  # type: ignore[operator]
        except asyncio.CancelledError:
            if not self.sources.interrupted():
                raise
        yield ["what it had"]


async def test_what_a_source_has_at_the_end_is_kept(tmp_path: Path) -> None:
    """A fetcher can see that the Investigation is over while the process continues."""
    order = make_order()
    snapshot = await run(order, make_tools(tmp_path, WithSomething({"a": [cancel(order)]})))
    assert (snapshot.manifest.phase, counts(snapshot)) == ("Cancelled", {"thing/a": 1})


async def test_no_more_is_written_at_once_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes of artifacts that are not small are limited by the volume and the processor: more at once are not faster."""
    monkeypatch.setattr("aletheia_operator.investigate.saving.SMALL_BYTES", 0)
    running, most, guard, write = 0, 0, threading.Lock(), Session.write
    two = threading.Barrier(2)

    def watched(self: Session, *arguments: Any) -> WrittenFile:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        two.wait(LONGEST_TEST_SECONDS)
        with guard:
            running -= 1
        return write(self, *arguments)

    monkeypatch.setattr(Session, "write", watched)
    tools = make_tools(tmp_path, FakeFetcher({str(number): [[1]] for number in range(20)}), max_fetches=20)
    await run(make_order(), tools)
    assert most == 2


class KilledError(Exception):
    """Stands for the end of the process."""


def killed(*_: Any) -> Any:
    raise KilledError


@pytest.mark.parametrize("reason", ["Cancelled", "TimedOut"])
async def test_a_capture_that_is_killed_after_its_end_keeps_its_phase(
    tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed while it uploads, after all questions were recorded: the next process ends with the same phase."""
    clock, order = Clock(), make_order()

    class Late(FakeFetcher):
        async def plan(self, spec: Any, sources: Any) -> Plan:
            clock.advance(599.9 if reason == "TimedOut" else 0)
            return await super().plan(spec, sources)

    fetcher = Late({"a": [[1]], "b": [[2], cancel(order) if reason == "Cancelled" else forever]})
    with monkeypatch.context() as patch:
        patch.setattr(Session, "finish", killed)
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            with pytest.raises(KilledError):
                await investigate(order, make_tools(tmp_path, fetcher, now=clock), lambda _: None)
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher, now=clock))
    assert (snapshot.manifest.phase, counts(snapshot)) == (reason, {"thing/a": 1, "thing/b": 1})


async def test_a_capture_that_is_resumed_after_its_time_is_complete_if_nothing_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All questions were answered in time: only the end was missing."""
    clock, fetcher = Clock(), FakeFetcher({"a": [[1]]})
    with monkeypatch.context() as patch:
        patch.setattr(Session, "finish", killed)
        with pytest.raises(KilledError):
            await investigate(make_order(), make_tools(tmp_path, fetcher, now=clock), lambda _: None)
    clock.advance(10**6)
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher, now=clock))
    assert (snapshot.manifest.phase, counts(snapshot)) == ("Completed", {"thing/a": 1})


async def test_a_manifest_that_cannot_be_saved_at_once_is_saved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary fault of the volume is no gap."""
    tries, finish = list[bool](), Session.finish

    def fails_once(self: Session, manifest: Any) -> str:
        tries.append(True)
        if len(tries) == 1:
            raise OSError(errno.EIO, "an error")
        return finish(self, manifest)

    monkeypatch.setattr(Session, "finish", fails_once)
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    assert (snapshot.manifest.phase, snapshot.manifest.gaps, len(tries)) == ("Completed", [], 2)
    assert snapshot.manifest_sha256 is not None


class Several(FakeFetcher):
    """Yields a document, notes that it was asked for more, and yields another one."""

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        async for document in super().fetch(question, sources):
            yield document
        self.asked.append("more")
        async for document in super().fetch(question, sources):
            yield document


async def test_nothing_more_is_asked_for_once_a_document_was_broken_off(tmp_path: Path) -> None:
    """The document in flight is saved; further ones would delay that."""
    order = make_order()
    fetcher = Several({"a": [[1], cancel(order)]})
    snapshot = await run(order, make_tools(tmp_path, fetcher))
    assert (snapshot.manifest.phase, counts(snapshot), fetcher.asked) == ("Cancelled", {"thing/a": 1}, ["a"])


def test_an_account_that_is_closed_twice_counts_once(tmp_path: Path) -> None:
    """The fetcher may close it before the end of the capture does."""
    budget, layout = Budget(), make_tools(tmp_path).layout
    ended, runs_on = (budget.open(layout, "shop", session_id, 0) for session_id in ("INC-0001", "INC-0002"))
    ended.kept_bytes = 100
    budget.close(ended)
    budget.close(ended)
    assert runs_on.others_bytes == 100
