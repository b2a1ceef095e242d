"""What a capture reads from entries while it saves them: timeline and trace ids, over restarts, sealed, and with faults."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.fetchers.base import Document, Entries, Outcome, Plan, Question, Sources
from aletheia_operator.investigate import Snapshot, investigate
from aletheia_operator.investigate.answering import GIVEN_UP
from aletheia_operator.investigate.entry_readers import EntryReaders, pieces
from aletheia_operator.session import EntryBuffer, Origin, Session, age, encoded
from aletheia_operator.session.artifact import write_artifact
from aletheia_operator.session.files import temporary
from aletheia_operator.session.unseal import decrypt_artifact
from aletheia_operator.session.verify import verify
from aletheia_operator.text.batches import LEVEL_CODES, SEPARATOR
from aletheia_operator.text.trace_ids import TraceIds
from aletheia_operator.timeline.bursts import ErrorWatch
from tests.unit.capturing import evidence, gaps, run, watched_writes
from tests.unit.fakes import LONGEST_TEST_SECONDS, forever, make_order, make_scratch, make_tools

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
    """Logs of pods, a question each; `traces` is asked after them. Pods in `hangs` never end."""

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
    (artifact,) = (artifact for artifact in snapshot.manifest.artifacts if artifact.fetcher == "Timeline")
    content = bytearray((Path(snapshot.path) / artifact.path).read_bytes())
    if snapshot.manifest.encryption is not None:
        content = bytearray()
        decrypt_artifact(Path(snapshot.path), artifact, SECRET, content.extend)
    return [(entry["kind"], entry["object"]) for entry in json.loads(content)["data"]]


BOTH = [(kind, f"pod/{pod}") for kind in ("ErrorBurst", "FirstError") for pod in IDS]


@pytest.mark.parametrize("spec", [{}, SEALED], ids=["plain", "sealed"])
async def test_a_timeline_is_made_of_what_is_saved(tmp_path: Path, spec: Mapping[str, Any]) -> None:
    """Also in a sealed session, which the operator cannot read back."""
    snapshot = await run(make_order(**spec), make_tools(tmp_path, Pods()))
    assert moments(snapshot) == BOTH
    assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", [])
    assert verify(Path(snapshot.path)).intact


@pytest.mark.parametrize("step", ["timeline", "findings"])
async def test_a_document_that_killed_the_process_twice_is_given_up(tmp_path: Path, step: str) -> None:
    """The capture ends with its evidence, and reports which document it could not make."""
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
    """Logs are not searched again."""
    assert IDS["web-0"].encode() in await stopped(tmp_path, Pods(hangs=["web-1"]), **FROM_LOGS)
    after = Pods()
    snapshot = await run(make_order(**FROM_LOGS), make_tools(tmp_path, after))
    assert (after.asked, after.found) == (["web-1", "traces"], [[*IDS.values()]])
    assert snapshot.manifest.phase == "Completed"


async def test_a_sealed_session_says_that_it_does_not_know_trace_ids_any_more(tmp_path: Path) -> None:
    """Ids of later logs are found; a gap says that there may be others."""
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
    """If the process ends between timeline and manifest, the next process keeps the timeline."""

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
    """The rest is there, the gap names the file, and a note of the findings does."""
    await stopped(tmp_path, Pods(hangs=["web-1"]), **SEALED)
    snapshot = await run(make_order(**SEALED), make_tools(tmp_path, Pods()))
    assert moments(snapshot) == [moment for moment in BOTH if moment[1] == "pod/web-1"]
    gap, note = sorted(snapshot.manifest.gaps, key=lambda gap: gap.severity)
    assert gap.target.startswith("data/logs/kubernetes_web-0_shop_")
    assert (gap.severity, gap.reason) == ("gap", "Unavailable")
    assert (note.severity, note.reason, note.target) == ("note", "Unavailable", "findings")
    assert gap.target in note.message


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
    counts = {artifact.target: (artifact.count, artifact.complete) for artifact in evidence(snapshot)}
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
    """No entry is lost or cut, and a piece exceeds the requested size by at most one entry."""
    block = SEPARATOR.join(entries)
    found = list(pieces(block, most))
    assert SEPARATOR.join(found) == block
    assert [entry for piece in found for entry in piece.split(SEPARATOR)] == block.split(SEPARATOR)
    assert all(len(piece) <= most or SEPARATOR not in piece for piece in found)


@dataclass
class Recorder:
    """A reader of either kind; what it is given, and the call that fails."""

    fails_at: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def _call(self, name: str, given: Any) -> None:
        self.calls.append((name, given))
        if name == self.fails_at:
            raise RuntimeError("a bug")

    def begin(self, metadata: Any) -> None:
        self._call("begin", metadata)

    def read(self, batch: Any) -> None:
        self._call("read", batch)

    def close(self, path: str, metadata: Any) -> None:
        self._call("close", (path, metadata))


@dataclass
class Both:
    """A timeline and the evidence: both give the same reader, and count entries."""

    given: Recorder | None
    counted: list[tuple[str, int]] = field(default_factory=list)

    def reader(self, source: str, category: str) -> Any:
        return self.given

    def count(self, category: str, entries: int) -> None:
        self.counted.append((category, entries))


def readers(timeline: Recorder | None, facts: Recorder | None, most: int = 0) -> tuple[EntryReaders, Both]:
    evidence = Both(facts)
    return EntryReaders(cast("Any", Both(timeline)), cast("Any", evidence), most), evidence


LOGS = Question("F", "logs", "pod/web-0", {}, gives_logs=True)
OTHER = Question("F", "other", "other", {})
BATCH: list[Any] = [{"level": "ERROR"}, {"level": "INFO"}, {"level": 7}, {}, "text"]


def a_document(**changes: Any) -> Document:
    return replace(Document("logs", "kubernetes", ("a",), {"pod": "web-0"}, _none(), Outcome(metadata={"runs": 2})), **changes)


def test_what_is_read_of_a_document() -> None:
    """The metadata that is known first, each batch with its level codes, and at the end its path."""
    timeline, facts = Recorder(), Recorder()
    found, evidence = readers(timeline, facts, 5)
    reader = found.open(LOGS, a_document())
    reader.read(BATCH, encoded(BATCH))
    block = encoded([{"line": f"trace_id={IDS['web-1']}"}])
    reader.read(block, block)
    reader.close("data/logs/a.json", {"count": 6})
    closed = ("close", ("data/logs/a.json", {"count": 6}))
    assert timeline.calls == [("read", BATCH), ("read", block), closed]
    begun, first, second, last = facts.calls
    assert (begun, second, last) == (("begin", {"pod": "web-0", "runs": 2}), ("read", block), closed)
    assert (first[1].block, [LEVEL_CODES[code] for code in first[1].codes]) == (
        encoded(BATCH).block,
        ["ERROR", "INFO", *[LEVEL_CODES[0]] * 3],
    )
    assert evidence.counted == [("logs", 6)]
    assert found.in_timeline == {"data/logs/a.json"}
    assert list(found.trace_ids["logs"].ids) == [IDS["web-1"]]


@pytest.mark.parametrize(
    ("question", "most", "target", "searched"),
    [(LOGS, 0, None, False), (OTHER, 5, None, False), (LOGS, 5, "pod/web-1", True)],
)
def test_whose_logs_are_searched_for_trace_ids(question: Question, most: int, target: str | None, searched: bool) -> None:
    """Logs of questions for logs, if ids are wanted. A document's own target is named instead of the question's."""
    found, _ = readers(None, None, most)
    reader = found.open(question, a_document(target=target))
    assert (reader.target, list(found.trace_ids)) == (target or question.target, [question.key] if searched else [])
    reader.read(BATCH, encoded(BATCH))
    reader.close("path", {"count": 5})
    assert found.in_timeline == {"path"}


@pytest.mark.logs_errors("the entries of pod/web-0 could not be looked through")
@pytest.mark.parametrize("fails_at", ["begin", "read", "close"])
@pytest.mark.parametrize("which", ["timeline", "facts"])
def test_a_reader_that_fails_is_not_asked_again(which: str, fails_at: str, caplog: pytest.LogCaptureFixture) -> None:
    """The other reader continues, and each kind of reader names the target once."""
    if (which, fails_at) == ("timeline", "begin"):
        fails_at = "read"
    broken, whole = Recorder(fails_at), Recorder()
    found, evidence = readers(*((broken, whole) if which == "timeline" else (whole, broken)))
    reader = found.open(LOGS, a_document())
    for _ in range(2):
        reader.read(BATCH, encoded(BATCH))
    reader.close("path", {"count": 10})
    names = [name for name, _ in whole.calls if name != "begin"]
    assert names == ["read", "read", "close"]
    asked = [name for name, _ in broken.calls if name != "begin" or fails_at == "begin"]
    assert (
        asked
        == {
            "begin": ["begin"],
            "read": ["read", "close"] if which == "timeline" else ["read"],
            "close": ["read", "read", "close"],
        }[fails_at]
    )
    assert (found.not_in_timeline, found.not_in_findings, found.not_searched) == (
        ({"pod/web-0"}, set(), set()) if which == "timeline" else (set(), {"pod/web-0"}, set())
    )
    assert evidence.counted == ([("logs", 10)] if which == "timeline" else [])
    assert len([record for record in caplog.records if record.exc_info]) == 1
    for other in (found.not_searched, found.not_in_timeline, found.not_in_findings):
        found.failed(other, "pod/web-1")
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_files_of_an_earlier_process_are_read_again(tmp_path: Path) -> None:
    """They are read in batches, as when they were saved. A file that cannot be read whole returns False."""
    entries = [{"level": "INFO", "number": number} for number in range(1200)]
    metadata = {"pod": "web-0", "count": 1200}
    buffer = EntryBuffer(make_scratch)
    buffer.add(encoded(entries))
    write_artifact(tmp_path / "b.json", "kubernetes", metadata, buffer, None, lambda descriptor: None)
    buffer.close()
    whole = temporary(tmp_path / "b.json").read_text()
    timeline, facts = Recorder(), Recorder()
    found, evidence = readers(timeline, facts)
    for content in (None, "{", whole[: len(whole) // 2]):
        if content is not None:
            (tmp_path / "a.json").write_text(content)
        assert not found.read_again(tmp_path / "a.json", "data/logs/a.json", Origin("kubernetes", "logs"))
    assert (found.in_timeline, evidence.counted) == (set(), [])
    timeline.calls.clear()
    facts.calls.clear()
    (tmp_path / "a.json").write_text(whole)
    assert found.read_again(tmp_path / "a.json", "data/logs/a.json", Origin("kubernetes", "logs"))
    batches = [batch for name, batch in timeline.calls if name == "read"]
    assert batches == [entries[:500], entries[500:1000], entries[1000:]]
    assert (facts.calls[0], facts.calls[-1]) == (("begin", metadata), ("close", ("data/logs/a.json", metadata)))
    assert (found.in_timeline, evidence.counted) == ({"data/logs/a.json"}, [("logs", 1200)])


@pytest.mark.parametrize(("timeline", "facts", "reads"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_what_nobody_reads_is_not_read_again(timeline: int, facts: int, reads: bool) -> None:
    """They are read again if at least one reader wants them."""
    found, _ = readers(Recorder() if timeline else None, Recorder() if facts else None)
    assert found.reads(Origin("s", "c")) is reads
