"""Logs that were read when the Investigation ends are saved to their last line, although saving them has only begun."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Document, Question, Sources
from aletheia_operator.fetchers.kubernetes.logs import KubernetesLogsFetcher
from aletheia_operator.investigate import Order, Snapshot, deadline
from aletheia_operator.logs import merge, spool
from aletheia_operator.logs.lines import Lines
from aletheia_operator.logs.merge import Merged
from aletheia_operator.logs.spool import Spool
from aletheia_operator.text.batches import Encoded
from tests.unit.capturing import gaps, on_disk, run
from tests.unit.fakes import LONGEST_TEST_SECONDS, FakeKubernetesLogs, make_order, make_pod, make_tools

PODS = "/api/v1/namespaces/shop/pods"
CONTAINERS = ("app", "sidecar")
LINES = 200
RUNNING: dict[str, Any] = {"restartCount": 0, "state": {"running": {"startedAt": "2026-11-22T11:00:00Z"}}}
WHOLE = [f"{container} writes {number}" for number in range(LINES) for container in CONTAINERS]


def kubernetes() -> FakeKubernetesLogs:
    pod = make_pod(app=RUNNING, sidecar=RUNNING)
    lines = {
        container: [
            f"2026-11-22T11:{30 + number // 60}:{number % 60:02}.000000000Z {container} writes {number}\n".encode()
            for number in range(LINES)
        ]
        for container in CONTAINERS
    }
    return FakeKubernetesLogs(objects={f"{PODS}/web-0": pod}, lists={PODS: [pod]}, lines=lines)


@dataclass
class Ending(KubernetesLogsFetcher):
    """The fetcher of logs, with a way to end its Investigation from a thread."""

    order: Order = field(default_factory=lambda: make_order(logs={}))
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _task: "asyncio.Task[Any]" = field(init=False)

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        task = asyncio.current_task()
        assert task is not None
        self._loop, self._task = asyncio.get_running_loop(), task
        async for document in super().fetch(question, sources):
            yield document

    def end(self, times: int = 1) -> None:
        """Cancel the Investigation. Returns when its question was interrupted so many times."""
        self._loop.call_soon_threadsafe(self.order.cancelled.set)
        until = time.monotonic() + LONGEST_TEST_SECONDS
        while self._task.cancelling() < times:
            assert time.monotonic() < until
            time.sleep(0.001)


@pytest.fixture
def fetcher(monkeypatch: pytest.MonkeyPatch) -> Ending:
    """With blocks of a few lines, of which a thread saves two at once."""
    monkeypatch.setattr(Lines.__init__, "__defaults__", (600,))
    monkeypatch.setattr(spool, "_BLOCK_BYTES", 400)
    monkeypatch.setattr(merge, "BLOCKS_AT_ONCE", 2)
    return Ending()


async def capture(fetcher: Ending, root: Path) -> tuple[Snapshot, Any]:
    """Capture. Returns the end, and the document of the logs."""
    snapshot = await run(fetcher.order, make_tools(root, fetcher, kubernetes=kubernetes()))
    return snapshot, on_disk(snapshot)["pod/web-0"]


def lines_of(document: Any) -> list[str]:
    return [entry["line"] for entry in document["data"]]


def saved_in_threads(monkeypatch: pytest.MonkeyPatch, before: Callable[[int], None]) -> None:
    """Call `before` in the thread that saves blocks, with the number of times that blocks were saved before."""
    calls, real = count(), Merged.some

    def some(merged: Merged) -> Iterator[Encoded]:
        before(next(calls))
        yield from real(merged)

    monkeypatch.setattr(Merged, "some", some)


@pytest.mark.parametrize("at", [0, 3])
async def test_the_end_comes_while_blocks_are_saved(
    at: int, fetcher: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last lines, which are saved last, are the nearest to the incident."""
    saved_in_threads(monkeypatch, lambda number: fetcher.end() if number == at else None)
    snapshot, document = await capture(fetcher, tmp_path)
    assert (snapshot.manifest.phase, gaps(snapshot)) == ("Cancelled", [])
    assert lines_of(document) == WHOLE


@pytest.mark.parametrize("at", [0, 1])
async def test_the_end_comes_while_a_run_is_finished(
    at: int, fetcher: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large log is thinned out then, which takes a while."""
    calls, real = count(), Spool.finish

    def finish(spool: Spool, max_bytes: int) -> None:
        if next(calls) == at:
            fetcher.end()
        real(spool, max_bytes)

    monkeypatch.setattr(Spool, "finish", finish)
    snapshot, document = await capture(fetcher, tmp_path)
    assert (snapshot.manifest.phase, gaps(snapshot)) == ("Cancelled", [])
    assert lines_of(document) == WHOLE


async def test_the_grace_period_ends_while_blocks_are_saved(
    fetcher: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saving stops after the blocks that a thread is saving, and the rest is a gap."""
    monkeypatch.setattr(deadline, "INTERRUPTION_GRACE_SECONDS", 0.01)
    saved_in_threads(monkeypatch, lambda number: fetcher.end(times=2) if number == 1 else None)
    snapshot, document = await capture(fetcher, tmp_path)
    assert gaps(snapshot) == [("pod/web-0", GapReason.CANCELLED)]
    assert not document["metadata"]["complete"]
    found = lines_of(document)
    assert found == WHOLE[: len(found)]
    assert 0 < len(found) < len(WHOLE)


async def test_a_disk_that_fails_at_the_end_is_reported(
    fetcher: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that cannot be read after the end are no evidence that is complete."""

    def fail(number: int) -> None:
        if number == 1:
            fetcher.end()
            raise OSError(errno.EIO, "input/output error")

    saved_in_threads(monkeypatch, fail)
    snapshot = await run(fetcher.order, make_tools(tmp_path, fetcher, kubernetes=kubernetes()))
    assert gaps(snapshot) == [("pod/web-0", GapReason.SAVE_FAILED)]
