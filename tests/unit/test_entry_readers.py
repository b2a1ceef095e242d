"""What a capture learns from entries as it saves them: the timeline and trace ids, over restarts, sealed, and with faults."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.fetchers.base import Document, Entries, Outcome, Plan, Question, Sources
from aletheia_operator.investigate import Snapshot, investigate
from aletheia_operator.investigate.answering import GIVEN_UP
from aletheia_operator.investigate.entry_readers import pieces
from aletheia_operator.session import Session, age
from aletheia_operator.session.unseal import decrypt_artifact
from aletheia_operator.session.verify import verify
from aletheia_operator.text.batches import SEPARATOR
from aletheia_operator.text.trace_ids import TraceIds
from aletheia_operator.timeline.bursts import ErrorWatch
from tests.unit.capturing import evidence, gaps, run, watched_writes
from tests.unit.fakes import LONGEST_TEST_SECONDS, forever, make_order, make_tools

CANARY = "canary-9c2e"
SECRET, PUBLIC = age.new_identity()
SEALED: dict[str, Any] = {"session": {"encryption": {"recipients": [PUBLIC]}}}
FROM_LOGS: dict[str, Any] = {"traces": [{"fromLogs": {"limit": 5}}], "logs": {}}
IDS = {"web-0": "a" * 32, "web-1": "b" * 32}
STAMP = "2026-11-22T11:07:{:02}.123456789Z"


def errors(pod: str) -> list[dict[str, Any]]:
    """Errors of one pod, which mention its trace id."""
    line = f"{CANARY} trace_id={IDS[pod]}"
    return [{"timestamp": STAMP.format(n), "container": "app", "level": "ERROR", "line": line} for n in range(20)]


@dataclass
class Pods:
    """Logs of pods, each a question; `traces` is asked after them. What is in `hangs` never ends."""

    hangs: Sequence[str] = ()
    name: str = "Pods"
    asked: list[str] = field(default_factory=list)
    found: list[list[str]] = field(default_factory=list)

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        logs = [Question(self.name, pod, f"pod/{pod}", {}, gives_logs=True) for pod in IDS]
        return Plan((*logs, Question(self.name, "traces", "traces", {}, after_logs=True)))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        self.asked.append(question.key)
        category, batches = ("logs", self._logs(question.key, sources))
        if question.after_logs:
            self.found.append(sources.trace_ids(5)[0])
            category, batches = "traces", _none()
        name = ("kubernetes", question.key, "shop")
        yield Document(category, "kubernetes", name, {"pod": question.key}, batches, Outcome("words"))

    async def _logs(self, pod: str, sources: Sources) -> AsyncGenerator[Entries, None]:
        scratch = sources.scratch()
        await asyncio.to_thread(scratch.put, json.dumps(errors(pod)).encode())
        if pod in self.hangs:
            await forever()
        for entry in json.loads(await asyncio.to_thread(scratch.get, 0)):
            yield [entry]


async def _none() -> AsyncGenerator[Entries, None]:
    return
    yield []


async def stopped(root: Path, fetcher: Pods, **spec: Any) -> bytes:
    """A capture in a process that is stopped when the first pod is done; its journal."""
    first_is_done = asyncio.Event()

    def report(snapshot: Snapshot) -> None:
        if snapshot.done:
            first_is_done.set()

    task = asyncio.create_task(investigate(make_order(**spec), make_tools(root, fetcher), report))
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await first_is_done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    return next(root.rglob("journal.ndjson")).read_bytes()  # noqa: ASYNC240


def moments(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Kind and object of each moment of the timeline, whatever sealed it."""
    (artifact,) = (one for one in snapshot.manifest.artifacts if one.fetcher == "Timeline")
    content = bytearray((Path(snapshot.path) / artifact.path).read_bytes())
    if snapshot.manifest.encryption is not None:
        content = bytearray()
        decrypt_artifact(Path(snapshot.path), artifact, SECRET, content.extend)
    return [(entry["kind"], entry["object"]) for entry in json.loads(content)["data"]]


BOTH = [(kind, f"pod/{pod}") for kind in ("ErrorBurst", "FirstError") for pod in IDS]


@pytest.mark.parametrize("spec", [{}, SEALED], ids=["plain", "sealed"])
async def test_a_timeline_is_made_of_what_is_saved(tmp_path: Path, spec: Mapping[str, Any]) -> None:
    """Also in a sealed session, whose files nobody here can read back."""
    snapshot = await run(make_order(**spec), make_tools(tmp_path, Pods()))
    assert moments(snapshot) == BOTH
    assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", [])
    assert verify(Path(snapshot.path)).intact


@pytest.mark.parametrize("step", ["timeline", "findings"])
async def test_a_document_that_killed_the_process_twice_is_given_up(tmp_path: Path, step: str) -> None:
    """The capture ends all the same, with its evidence, and says which document it could not make."""
    await stopped(tmp_path, Pods(hangs=["web-1"]))
    (journal,) = tmp_path.rglob("journal.ndjson")  # noqa: ASYNC240
    with journal.open("a") as file:
        file.write(f'{{"begun": "{step}"}}\n' * 2)
    snapshot = await run(make_order(), make_tools(tmp_path, Pods()))
    (gap,) = snapshot.manifest.gaps
    assert (gap.target, gap.reason, gap.message) == (step, "InternalError", GIVEN_UP)
    names = {Path(artifact.path).name for artifact in snapshot.manifest.artifacts}
    assert f"{step}.json" not in names
    assert {"timeline.json", "findings.json"} - {f"{step}.json"} < names
    assert snapshot.manifest.phase == "PartiallyCompleted"


async def test_nothing_of_a_sealed_session_touches_the_disk_in_plain(tmp_path: Path) -> None:
    """Neither what fetchers put into scratch files, nor what the journal keeps for a later process."""
    with watched_writes() as written:
        await stopped(tmp_path, Pods(hangs=["web-1"]), **SEALED, **FROM_LOGS)
        await run(make_order(**SEALED, **FROM_LOGS), make_tools(tmp_path, Pods()))
    whole = b"".join(written)
    assert len(whole) > 4 * len(json.dumps(errors("web-0")))
    for words in (CANARY, *IDS.values(), STAMP[:16], "11:07:00"):
        assert words.encode() not in whole, words


async def test_a_plain_session_keeps_trace_ids_for_a_later_process(tmp_path: Path) -> None:
    """They are not searched for again."""
    assert IDS["web-0"].encode() in await stopped(tmp_path, Pods(hangs=["web-1"]), **FROM_LOGS)
    after = Pods()
    snapshot = await run(make_order(**FROM_LOGS), make_tools(tmp_path, after))
    assert (after.asked, after.found) == (["web-1", "traces"], [[*IDS.values()]])
    assert snapshot.manifest.phase == "Completed"


async def test_a_sealed_session_says_that_it_does_not_know_trace_ids_any_more(tmp_path: Path) -> None:
    """Those of later logs are found; that there may be others is a gap."""
    await stopped(tmp_path, Pods(hangs=["web-1"]), **SEALED, **FROM_LOGS)
    after = Pods()
    snapshot = await run(make_order(**SEALED, **FROM_LOGS), make_tools(tmp_path, after))
    assert (after.asked, after.found) == (["web-1", "traces"], [[IDS["web-1"]]])
    assert ("traces", "Unavailable") in gaps(snapshot)
    (message,) = [gap.message for gap in snapshot.manifest.gaps if gap.target == "traces"]
    assert message == "logs captured before a restart of the operator are sealed, and cannot be searched for trace ids"


async def test_a_timeline_has_what_an_earlier_process_captured(tmp_path: Path) -> None:
    """Its files are read again."""
    await stopped(tmp_path, Pods(hangs=["web-1"]))
    snapshot = await run(make_order(), make_tools(tmp_path, Pods()))
    assert moments(snapshot) == BOTH
    assert snapshot.manifest.gaps == []


class KilledError(Exception):
    """Stands for the end of the process."""


async def test_a_timeline_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends between the timeline and the manifest leaves it to the next one as it is."""

    def killed(*_: Any) -> Any:
        raise KilledError

    with monkeypatch.context() as kill:
        kill.setattr(Session, "finish", killed)
        with pytest.raises(KilledError):
            await run(make_order(), make_tools(tmp_path, Pods()))
    snapshot = await run(make_order(), make_tools(tmp_path, Pods()))
    assert moments(snapshot) == BOTH
    assert snapshot.manifest.gaps == []


async def test_a_timeline_without_what_cannot_be_read_again_says_so(tmp_path: Path) -> None:
    """The rest is there, and the gap names the file."""
    await stopped(tmp_path, Pods(hangs=["web-1"]), **SEALED)
    snapshot = await run(make_order(**SEALED), make_tools(tmp_path, Pods()))
    assert moments(snapshot) == [one for one in BOTH if one[1] == "pod/web-1"]
    ((target, reason),) = gaps(snapshot)
    assert (target.startswith("data/logs/kubernetes_web-0_shop_"), reason) == (True, "Unavailable")


@pytest.mark.logs_errors("could not be looked through; further such faults are not logged: RuntimeError")
async def test_a_timeline_that_fails_costs_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, however many documents it fails for, and the timeline names all of them."""

    seen: list[int] = []

    def fails(self: Any, entry: Any, index: int) -> None:
        seen.append(index)
        raise RuntimeError("a bug")

    monkeypatch.setattr(ErrorWatch, "add", fails)
    snapshot = await run(make_order(), make_tools(tmp_path, Pods()))
    counts = {one.target: (one.count, one.complete) for one in evidence(snapshot)}
    assert counts == {"pod/web-0": (20, True), "pod/web-1": (20, True), "traces": (0, True), "findings": (2, True)}
    assert gaps(snapshot) == [("pod/web-0", "InternalError"), ("pod/web-1", "InternalError")]
    assert {gap.fetcher for gap in snapshot.manifest.gaps} == {"Timeline"}
    assert sum("could not be looked through" in record.message for record in caplog.records) == 1
    assert seen == [0, 0], "what failed is not tried again"


@pytest.mark.logs_errors("could not be looked through; further such faults are not logged: RuntimeError")
async def test_a_search_for_trace_ids_that_fails_costs_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question for traces says that some may be missing."""

    def fails(self: Any, *_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(TraceIds, "search", fails)
    snapshot = await run(make_order(**FROM_LOGS), make_tools(tmp_path, Pods()))
    assert moments(snapshot) == BOTH
    assert gaps(snapshot) == [("traces", "InternalError")]
    assert "logs of pod/web-0, pod/web-1 could not be searched" in snapshot.manifest.gaps[0].message


@given(st.lists(st.binary(max_size=40).map(lambda entry: entry.replace(b"\n", b"")), min_size=1), st.integers(1, 60))
def test_pieces_are_whole_entries(entries: list[bytes], most: int) -> None:
    """None is lost, none is cut, and none is longer than asked for but by one entry."""
    block = SEPARATOR.join(entries)
    found = list(pieces(block, most))
    assert SEPARATOR.join(found) == block
    assert [entry for piece in found for entry in piece.split(SEPARATOR)] == block.split(SEPARATOR)
    assert all(len(piece) <= most or SEPARATOR not in piece for piece in found)
