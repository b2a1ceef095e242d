"""The writer of a capture's journal: lines survive a death of the process at once, and share the journal_waits for the disk."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aletheia_operator.investigate import journal_writer
from aletheia_operator.investigate.journal_writer import JournalWriter
from aletheia_operator.session import Done, Session, SessionLayout, create_session, journal
from tests.support.captures import unfinished
from tests.unit.capturing import run
from tests.unit.fakes import LONGEST_TEST_SECONDS, FakeFetcher, forever, make_order, make_tools


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    layout = SessionLayout(tmp_path)
    with ThreadPoolExecutor(4) as saving, Session(layout, create_session(layout, unfinished())) as session:
        yield JournalWriter(session, saving)


def lines(writer: JournalWriter) -> int:
    """Return the number of lines after the first, which the session was created with."""
    return -1 + writer.session.layout.journal(writer.session.manifest.session_id).read_bytes().count(b"\n")


async def test_questions_that_end_together_wait_for_the_disk_once(
    writer: JournalWriter, journal_waits: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last that is asked does not let the others wait longer."""
    monkeypatch.setattr(journal_writer, "GROUP_SECONDS", 60)

    async def ask(number: int) -> None:
        async with writer.asking():
            await asyncio.sleep(0.01 * number)
            await writer.record_done(Done(str(number)))

    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await asyncio.gather(*(ask(number) for number in range(5)))
    assert journal_waits == [False] * 5 + [True]
    assert writer.session.done.keys() == set("01234")


async def test_a_question_waits_for_a_slow_one_for_a_moment_only(writer: JournalWriter, journal_waits: list[bool]) -> None:
    """Its line is written at once, and journal_waits for the disk soon."""
    async with writer.asking():
        async with writer.asking():
            recording = asyncio.create_task(writer.record_done(Done("a")))
            async with asyncio.timeout(LONGEST_TEST_SECONDS):
                while not journal_waits:  # noqa: ASYNC110 (a thread appends)
                    await asyncio.sleep(0)
                assert journal_waits == [False] and lines(writer) == 1
                await recording
        assert journal_waits == [False, True]


async def test_a_question_that_fails_lets_no_other_wait(
    writer: JournalWriter, journal_waits: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not counted any more."""
    monkeypatch.setattr(journal_writer, "GROUP_SECONDS", 60)
    fails = asyncio.Event()

    async def fail() -> None:
        async with writer.asking():
            await fails.wait()
            raise ValueError

    failing = asyncio.create_task(fail())
    async with asyncio.timeout(LONGEST_TEST_SECONDS), writer.asking():
        await asyncio.sleep(0)
        recording = asyncio.create_task(writer.record_done(Done("a")))
        fails.set()
        await recording
    assert journal_waits == [False, True]
    with pytest.raises(ValueError):
        await failing


def blamed(writer: JournalWriter) -> set[str]:
    """Return the keys against which a death of the process counts now."""
    path = writer.session.layout.journal(writer.session.manifest.session_id)
    return {*+journal.read(path, lambda artifact: True).deaths}


async def test_no_question_is_to_blame_after_the_process_was_asked_to_stop(writer: JournalWriter) -> None:
    """It may be killed before its questions have stopped: none of them is blamed, also not one that begins afterwards."""
    stopping, going = asyncio.Event(), asyncio.Event()

    async def ask(key: str) -> None:
        async with writer.counted(key):
            await going.wait()

    async with asyncio.timeout(LONGEST_TEST_SECONDS), writer.forgiving(stopping):
        async with writer.counted("done"):
            pass
        await writer.record_done(Done("done"))
        asked = [asyncio.create_task(ask(key)) for key in "ab"]
        while blamed(writer) != {"a", "b"}:  # noqa: ASYNC110 (threads append)
            await asyncio.sleep(0.001)
        stopping.set()
        while blamed(writer):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        later = asyncio.create_task(ask("later"))
        await asyncio.sleep(0)
        later.cancel()
        asked[0].cancel()  # it has been forgiven already
        await asyncio.wait([later, asked[0]])
        going.set()
        await asked[1]
    path = writer.session.layout.journal(writer.session.manifest.session_id)
    assert +journal.read(path, lambda artifact: True).deaths == journal.read(path, lambda artifact: True).deaths
    assert lines(writer) == 6, "one begins and is done, two begin and are forgiven"


async def test_a_plan_waits_for_the_disk_soon(
    tmp_path: Path, journal_waits: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its questions take long; nothing journal_waits for that."""
    monkeypatch.setattr(journal_writer, "PLAN_SECONDS", 0.01)
    order = make_order()

    async def slow() -> None:
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            while True not in journal_waits:  # noqa: ASYNC110 (a thread appends)
                await asyncio.sleep(0.001)
        order.cancelled.set()
        await forever()

    snapshot = await run(order, make_tools(tmp_path, FakeFetcher({"a": [slow]})))
    assert snapshot.manifest.phase == "Cancelled"
