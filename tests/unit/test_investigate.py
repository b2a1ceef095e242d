"""One Investigation from spec to manifest: for any fault, each question ends as evidence, gaps or both."""

import asyncio
import errno
import hashlib
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.datasources.finder import KubernetesDataSources
from aletheia_operator.fetchers import FETCHERS
from aletheia_operator.fetchers.base import Document, Missing, Plan, Question, Sources
from aletheia_operator.investigate import Snapshot, deadline
from aletheia_operator.investigate.order import saving_threads, upload_threads
from aletheia_operator.investigate.saving import SMALL_BYTES
from aletheia_operator.session import Done, EntryBuffer, Session, SessionBusy, WrittenFile
from tests.unit.capturing import cancel, counts, evidence, files, gaps, interrupted, on_disk, run
from tests.unit.fakes import (
    LONGEST_TEST_SECONDS,
    NOW,
    Clock,
    FakeFetcher,
    FakeKubernetes,
    forever,
    make_order,
    make_tools,
)

CANARY = "canary-5f2c9a"


async def test_what_was_asked_for_is_captured(tmp_path: Path) -> None:
    """Artifacts in the order of the plan, each with its question and a summary."""
    fetcher = FakeFetcher({"b": [[1], [2, 3]], "a": [[]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    assert snapshot.manifest.phase == "Completed"
    assert list(counts(snapshot).items()) == [("thing/b", 3), ("thing/a", 0)]
    assert on_disk(snapshot)["thing/b"] == {
        "source": "fake",
        "metadata": {
            "thing": "b",
            "time_range": ["2026-11-22T11:00:00Z", "2026-11-22T12:00:00.999999Z"],
            "collected_at": "2026-11-22T12:00:00Z",
            "count": 3,
            "summary": "3 entries",
            "complete": True,
            "gaps": [],
            "redactions": {},
            "unscanned": [],
        },
        "data": [1, 2, 3],
    }
    assert files(snapshot) == {"manifest.json", *(artifact.path for artifact in snapshot.manifest.artifacts)}


async def test_the_manifest_on_disk_is_the_one_that_is_returned(tmp_path: Path) -> None:
    """With the spec, the window, the times and its own digest."""
    snapshot = await run(make_order(timeout="5m"), make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    content = (Path(snapshot.path) / "manifest.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == snapshot.manifest_sha256
    manifest = json.loads(content)
    assert manifest == snapshot.manifest.to_json()
    assert manifest["spec"]["timeout"] == "5m"
    assert manifest["window"] == ["2026-11-22T11:00:00Z", "2026-11-22T12:00:00.999999Z"]
    assert manifest["startTime"] == manifest["completionTime"] == "2026-11-22T12:00:00Z"


async def test_progress_is_reported_step_by_step(tmp_path: Path) -> None:
    """Nothing done at first, all at the end, never backwards."""
    seen: list[tuple[int, int]] = []
    tools = make_tools(tmp_path, FakeFetcher({"a": [[1]], "b": [[2]]}), max_fetches=1)
    await run(make_order(), tools, lambda snapshot: seen.append((snapshot.done, snapshot.total)))
    assert len(seen) == 4
    assert seen[:2] == [(0, 0), (0, 2)]
    assert seen == sorted(seen)
    assert seen[-1] == (2, 2)


@pytest.mark.parametrize(
    ("answers", "phase", "artifacts", "missing"),
    [
        pytest.param({}, "Completed", {}, [], id="nothing to ask"),
        pytest.param(
            {"a": [Unavailable("down")]}, "Failed", {}, [("thing/a", GapReason.UNAVAILABLE)], id="nothing could be had"
        ),
        pytest.param(
            {"a": [Unavailable("down")], "b": [[1]]},
            "PartiallyCompleted",
            {"thing/b": 1},
            [("thing/a", GapReason.UNAVAILABLE)],
            id="one of two",
        ),
        pytest.param(
            {"a": [[1, 2], Rejected("enough", GapReason.TOO_LARGE), [3]]},
            "PartiallyCompleted",
            {"thing/a": 2},
            [("thing/a", GapReason.TOO_LARGE)],
            id="what came before the source broke off is kept",
        ),
        pytest.param(
            {"a": [RuntimeError(CANARY)], "b": [[1]]},
            "PartiallyCompleted",
            {"thing/b": 1},
            [("thing/a", GapReason.INTERNAL_ERROR)],
            id="a fault of our own does not stop the others",
            marks=pytest.mark.logs_errors("question Fake/a failed: RuntimeError"),
        ),
    ],
)
async def test_the_phase_follows_from_evidence_and_gaps(
    tmp_path: Path, answers: dict[str, Any], phase: str, artifacts: dict[str, int], missing: list[tuple[str, str]]
) -> None:
    """Each question ends as an artifact, a gap or both."""
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher(answers)))
    assert (snapshot.manifest.phase, counts(snapshot), gaps(snapshot)) == (phase, artifacts, missing)
    on_disk(snapshot)


@pytest.mark.logs_errors("question Fake/a failed: RuntimeError")
async def test_what_came_before_a_fault_of_our_own_is_kept(tmp_path: Path) -> None:
    """Partial evidence is evidence."""
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1, 2], RuntimeError("bug")]})))
    assert counts(snapshot) == {"thing/a": 2}
    assert gaps(snapshot) == [("thing/a", GapReason.INTERNAL_ERROR)]


@pytest.mark.logs_errors("question Fake/a failed: ConnectionResetError")
async def test_a_connection_that_breaks_is_not_blamed_on_the_volume(tmp_path: Path) -> None:
    """An OSError of a source is not a failed save."""
    snapshot = await run(
        make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1], ConnectionResetError(errno.ECONNRESET, "x")]}))
    )
    assert [reason for _, reason in gaps(snapshot)] == [GapReason.INTERNAL_ERROR]


@dataclass
class Faulty(FakeFetcher):
    """Fails by `fault` before or after the documents of question a."""

    fault: Exception = field(default_factory=lambda: KeyError("bug"))
    after: bool = False

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        if question.arguments["key"] == "a" and not self.after:
            raise self.fault
        async for document in super().fetch(question, sources):
            yield document
        if question.arguments["key"] == "a":
            raise self.fault


@pytest.mark.parametrize("after", [False, True], ids=["before its document", "after its document"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(KeyError("bug"), "InternalError", marks=pytest.mark.logs_errors("question Fake/a failed: KeyError")),
        (Unavailable("down"), "Unavailable"),
        (OSError(errno.ENOSPC, "No space left on device"), "SaveFailed"),
    ],
    ids=["of our own", "of the source", "of the volume"],
)
async def test_a_fetcher_that_fails_outside_of_its_documents(
    tmp_path: Path, fault: Exception, reason: str, after: bool
) -> None:
    """Its question has a gap with its target and what it had so far, and the other questions go on."""
    snapshot = await run(make_order(), make_tools(tmp_path, Faulty({"a": [[1]], "b": [[2]]}, fault=fault, after=after)))
    assert gaps(snapshot) == [("thing/a", reason)]
    assert counts(snapshot) == ({"thing/a": 1} if after else {}) | {"thing/b": 1}
    assert snapshot.manifest.phase == "PartiallyCompleted"


async def test_an_incomplete_artifact_says_so_itself(tmp_path: Path) -> None:
    """Without the manifest the file alone must not look complete."""
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1], Unavailable("it broke off")]})))
    metadata = on_disk(snapshot)["thing/a"]["metadata"]
    assert metadata["complete"] is False
    gap = {"fetcher": "Fake", "target": "thing/a", "reason": "Unavailable", "message": "it broke off", "severity": "gap"}
    assert metadata["gaps"] == [gap]
    assert snapshot.manifest.artifacts[0].complete is False


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("plan", marks=pytest.mark.logs_errors("planning Fake failed")),
        pytest.param("fetch", marks=pytest.mark.logs_errors("question Fake/a failed")),
    ],
)
async def test_the_text_of_an_unexpected_exception_is_logged_but_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    """It may hold a secret: gaps, files and status never have it."""
    error = RuntimeError(f"password={CANARY}")
    fetcher = FakeFetcher({"a": [error]}, plan_error=error if place == "plan" else None)
    with caplog.at_level(logging.ERROR):
        snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    assert CANARY in caplog.text
    assert CANARY not in snapshot.manifest.model_dump_json()
    assert [reason for _, reason in gaps(snapshot)] == [GapReason.INTERNAL_ERROR]
    for file in files(snapshot):
        assert CANARY not in (Path(snapshot.path) / file).read_text()


async def test_a_fetcher_that_cannot_plan_does_not_stop_the_others(tmp_path: Path) -> None:
    """Its gap names all of its targets."""
    broken = FakeFetcher({}, name="Broken", plan_error=Rejected("no right to list", GapReason.FORBIDDEN))
    snapshot = await run(make_order(), make_tools(tmp_path, broken, FakeFetcher({"a": [[1]]})))
    assert counts(snapshot) == {"thing/a": 1}
    assert [(gap.fetcher, gap.reason, gap.message) for gap in snapshot.manifest.gaps] == [
        ("Broken", "Forbidden", "no right to list")
    ]


async def test_what_a_plan_cannot_have_stands_first_among_the_gaps(tmp_path: Path) -> None:
    """A target without pods is a gap though nothing was fetched."""

    class Planner(FakeFetcher):
        async def plan(self, spec: Any, sources: Any) -> Plan:
            plan = await super().plan(spec, sources)
            return Plan(plan.questions, (Missing("pods app=x", GapReason.NO_PODS, "none"),))

    snapshot = await run(make_order(), make_tools(tmp_path, Planner({"a": [Unavailable("down")]})))
    assert gaps(snapshot) == [("pods app=x", GapReason.NO_PODS), ("thing/a", GapReason.UNAVAILABLE)]


async def test_gaps_of_all_plans_are_told_once_each(tmp_path: Path) -> None:
    """Equal gaps of several fetchers become one, with the name of the first."""
    first, second = Missing("pods app=x", GapReason.NO_PODS, "none"), Missing("pods app=y", GapReason.NO_PODS, "none")

    @dataclass
    class Planner(FakeFetcher):
        missing: tuple[Missing, ...] = ()

        async def plan(self, spec: Any, sources: Any) -> Plan:
            return Plan((), self.missing)

    planners = [
        Planner({}, name, missing=missing) for name, missing in (("A", (first,)), ("B", (first, second)), ("C", (second,)))
    ]
    snapshot = await run(make_order(), make_tools(tmp_path, *planners))
    assert [(gap.fetcher, gap.target) for gap in snapshot.manifest.gaps] == [("A", "pods app=x"), ("B", "pods app=y")]


@pytest.mark.parametrize(
    ("named", "default", "used"),
    [(None, None, None), (None, "locked-down", "locked-down"), ("reader", "locked-down", "reader"), ("reader", None, "reader")],
)
async def test_what_a_fetcher_may_use(tmp_path: Path, named: str | None, default: str | None, used: str | None) -> None:
    """The tools of the process, the Investigation's window and namespace, and the rights of its service account."""
    given: list[Sources] = []

    class Keeper(FakeFetcher):
        async def plan(self, spec: Any, sources: Any) -> Plan:
            given.append(sources)
            return await super().plan(spec, sources)

        async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
            given.append(sources)
            first, second = sources.scratch(), (sources.memo_scratch or sources.scratch)()
            assert first.directory == second.directory
            assert first.directory.parent == tmp_path / "sessions"
            async for document in super().fetch(question, sources):
                yield document

    accounts: dict[str, Any] = {f"/api/v1/namespaces/shop/serviceaccounts/{name}": {} for name in ("reader", "locked-down")}
    tools = make_tools(
        tmp_path,
        Keeper({"a": [[1]]}),
        kubernetes=FakeKubernetes(accounts),
        default_service_account=default,
        operator_namespace="aletheia-system",
        ca_bundle=tmp_path / "ca.pem",
        kubelets=Kubelets(FakeKubernetes().real()),
    )
    snapshot = await run(make_order(**({"serviceAccountName": named} if named else {})), tools)
    assert snapshot.manifest.phase == "Completed"
    plan, fetch = given
    for sources in (plan, fetch):
        assert sources.namespace == "shop"
        assert sources.window.as_texts() == snapshot.manifest.window
        assert (sources.http, sources.parsers, sources.kubelets) == (tools.http, tools.parsers, tools.kubelets)
        assert sources.data_sources == KubernetesDataSources(tools.kubernetes, "shop", "aletheia-system", tmp_path / "ca.pem")
        assert (sources.now, sources.interrupted(), sources.redactor.level) == (tools.now, False, "secrets")
        user = (await sources.kubernetes()).user
        assert user == (used and f"system:serviceaccount:shop:{used}")
    assert plan.memo is fetch.memo


async def test_an_early_end_is_known_to_fetchers(tmp_path: Path) -> None:
    """A cancelled fetch can then still yield what it has."""
    seen: list[bool] = []

    class Asking(FakeFetcher):
        async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
            seen.append(sources.interrupted())
            try:
                await forever()
            except asyncio.CancelledError:
                seen.append(sources.interrupted())
                raise
            async for document in super().fetch(question, sources):
                yield document

    order = make_order()
    task = asyncio.create_task(run(order, make_tools(tmp_path, Asking({"a": [[1]]}))))
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while not seen:  # noqa: ASYNC110 (a fake has no event to wait for)
            await asyncio.sleep(0.001)
        order.cancelled.set()
        await task
    assert seen == [False, True]


async def test_metadata_and_names_are_redacted(tmp_path: Path) -> None:
    """A source may put a secret anywhere."""
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({f"password={CANARY}": [[1]]})))
    (artifact,) = (saved for saved in evidence(snapshot))
    assert CANARY not in (Path(snapshot.path) / artifact.path).read_text()
    assert CANARY not in artifact.path + artifact.target
    assert CANARY not in snapshot.manifest.model_dump_json()


async def test_the_limit_of_questions_at_once_holds(tmp_path: Path) -> None:
    """Never more than max_fetches at the same time, and all in the end."""
    running, most = 0, 0
    three = asyncio.Barrier(3)

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await three.wait()
        running -= 1

    fetcher = FakeFetcher({str(n): [work, [n]] for n in range(12)})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher, max_fetches=3))
    assert len(evidence(snapshot)) == 12
    assert most == 3


async def test_a_source_that_hangs_stops_neither_the_others_nor_the_end(tmp_path: Path) -> None:
    """At the timeout its question is a gap, and what it had given is kept."""
    clock = Clock()

    async def time_is_up() -> None:
        clock.advance(599.9)  # the deadline is a moment away when the waiting begins

    class Planner(FakeFetcher):
        async def plan(self, spec: Any, sources: Any) -> Plan:
            await time_is_up()
            return await super().plan(spec, sources)

    fetcher = Planner({"hanging": [[1, 2], forever], "silent": [forever], "fine": [[3]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher, now=clock))
    assert snapshot.manifest.phase == "TimedOut"
    assert counts(snapshot) == {"thing/hanging": 2, "thing/fine": 1}
    assert gaps(snapshot) == [("thing/hanging", GapReason.TIMED_OUT), ("thing/silent", GapReason.TIMED_OUT)]
    assert on_disk(snapshot)["thing/hanging"]["metadata"]["summary"] == "2 entries"
    assert (snapshot.done, snapshot.total) == (3, 3)


async def test_sources_that_hang_leave_room_for_the_others(tmp_path: Path) -> None:
    """However many questions wait at one source, or at one node, those to others are answered meanwhile."""
    over = asyncio.Event()
    answered: list[str] = []

    async def hang() -> None:
        await over.wait()

    def note(what: str) -> Callable[[], Any]:
        async def answer() -> None:
            answered.append(what)
            if len(answered) == 2:
                over.set()

        return answer

    class OfNodes(FakeFetcher):
        async def plan(self, spec: Any, sources: Any) -> Plan:
            plan = await super().plan(spec, sources)
            return Plan(
                tuple(replace(question, node="good" if "good" in question.key else "bad") for question in plan.questions)
            )

    hanging: dict[str, Any] = {str(number): [hang] for number in range(20)}
    fetchers = OfNodes({**hanging, "good": [note("of another node")]}), FakeFetcher({"a": [note("of another source")]}, "Other")
    snapshot = await run(make_order(), make_tools(tmp_path, *fetchers, max_fetches=4))
    assert len(answered) == 2
    assert (snapshot.done, snapshot.total) == (22, 22)


async def test_a_question_that_will_not_be_interrupted_is_a_gap_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace period it is given up, and the capture ends."""
    monkeypatch.setattr(deadline, "INTERRUPTION_GRACE_SECONDS", 0.05)

    async def stubborn() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            await forever()

    order = make_order()
    fetcher = FakeFetcher({"stubborn": [stubborn], "cancels": [cancel(order)]})
    snapshot = await run(order, make_tools(tmp_path, fetcher))
    assert snapshot.manifest.phase == "Cancelled"
    assert ("thing/stubborn", GapReason.CANCELLED) in gaps(snapshot)


async def test_a_cancelled_capture_keeps_what_it_has(tmp_path: Path) -> None:
    """Finished artifacts and partial ones are kept, and the rest are gaps."""
    order = make_order()
    fetcher = FakeFetcher({"done": [[1]], "under way": [[2], cancel(order)], "waiting": [[3]]})
    snapshot = await run(order, make_tools(tmp_path, fetcher, max_fetches=1))
    assert snapshot.manifest.phase == "Cancelled"
    assert counts(snapshot) == {"thing/done": 1, "thing/under way": 1}
    assert gaps(snapshot) == [("thing/under way", GapReason.CANCELLED), ("thing/waiting", GapReason.CANCELLED)]
    assert fetcher.asked == ["done", "under way"]


async def test_a_capture_that_was_cancelled_before_it_began_asks_nothing(tmp_path: Path) -> None:
    """The plan itself is the gap."""
    order = make_order()
    order.cancelled.set()

    class Planner(FakeFetcher):
        async def plan(self, spec: Any, sources: Any) -> Plan:
            await forever()
            return Plan()

    fetcher = Planner({"a": [[1]]})
    snapshot = await run(order, make_tools(tmp_path, fetcher))
    assert (snapshot.manifest.phase, gaps(snapshot)) == ("Cancelled", [("the plan", GapReason.CANCELLED)])
    assert fetcher.asked == []


async def test_a_capture_taken_up_after_its_deadline_ends_at_once(tmp_path: Path) -> None:
    """A restart of the operator does not move the deadline."""
    clock = Clock()
    order, fetcher = make_order(timeout="1m"), FakeFetcher({"a": [[1]], "b": [forever]})
    await interrupted(order, make_tools(tmp_path, fetcher, now=clock), after="a")
    clock.advance(61)
    snapshot = await run(order, make_tools(tmp_path, fetcher, now=clock))
    assert snapshot.manifest.phase == "TimedOut"
    assert counts(snapshot) == {"thing/a": 1}
    assert gaps(snapshot) == [("thing/b", GapReason.TIMED_OUT)]


async def test_a_capture_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """The plan is kept, finished questions are not asked again, and unfinished ones are."""
    first = FakeFetcher({"a": [[1]], "b": [[2], forever]})
    await interrupted(make_order(), make_tools(tmp_path, first), after="a")
    second = FakeFetcher({"a": [[9]], "b": [[2, 3]], "c": [[4]]})
    snapshot = await run(make_order(), make_tools(tmp_path, second))
    assert (second.planned, second.asked) == (0, ["b"])
    assert snapshot.manifest.phase == "Completed"
    assert {target: file["data"] for target, file in on_disk(snapshot).items()} == {"thing/a": [1], "thing/b": [2, 3]}
    assert files(snapshot) == {"manifest.json", *(artifact.path for artifact in snapshot.manifest.artifacts)}


class LogsAndTraces(FakeFetcher):
    """The questions are logs; the question `traces` comes after them and notes the ids that they mention."""

    def __init__(self, logs: Mapping[str, Any]) -> None:
        super().__init__({**logs, "traces": [[]]})
        self.found: list[tuple[list[str], bool]] = []

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        questions = (await super().plan(spec, sources)).questions
        last = [question.key == "Fake/traces" for question in questions]
        return Plan(
            tuple(
                replace(question, gives_logs=not traces, after_logs=traces)
                for question, traces in zip(questions, last, strict=True)
            )
        )

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        if question.after_logs:
            self.found.append(sources.trace_ids(2))
        async for document in super().fetch(question, sources):
            yield document


def mention(second: int, trace_id: str, level: str) -> dict[str, str]:
    line = f"trace_id={trace_id}"
    return {"timestamp": f"2026-11-22T11:00:{second:02d}.000000000Z", "container": "app", "level": level, "line": line}


A, B, C = "a" * 16, "b" * 16, "c" * 16
FROM_LOGS: dict[str, Any] = {"traces": [{"fromLogs": {"limit": 2}}], "logs": {}}


async def test_trace_ids_are_taken_when_all_logs_are_there(tmp_path: Path) -> None:
    """Of every log, ids of errors first; ids above the limit are reported."""
    late = asyncio.Event()

    async def wait() -> None:
        await late.wait()

    async def go_on() -> None:
        late.set()

    logs = {"one": [wait, [mention(3, A, "INFO"), mention(4, B, "ERROR")]], "two": [[mention(1, C, "INFO")], go_on]}
    fetcher = LogsAndTraces(logs)
    await run(make_order(**FROM_LOGS), make_tools(tmp_path, fetcher))
    assert fetcher.found == [([B, C], True)]


async def test_trace_ids_outlive_a_restart(tmp_path: Path) -> None:
    """What an earlier process read of the logs is in the journal: they are not read again for it."""
    first = LogsAndTraces({"one": [[mention(1, A, "FATAL")]], "two": [[mention(2, B, "INFO")], forever]})
    await interrupted(make_order(**FROM_LOGS), make_tools(tmp_path, first), after="one")
    assert first.found == []
    second = LogsAndTraces({"two": [[mention(2, B, "INFO")]]})
    await run(make_order(**FROM_LOGS), make_tools(tmp_path, second))
    assert second.asked == ["two", "traces"]
    assert second.found == [([A, B], False)]


async def test_trace_ids_that_nobody_asked_for_are_not_looked_for(tmp_path: Path) -> None:
    """Without fromLogs no log is looked through."""
    fetcher = LogsAndTraces({"one": [[mention(1, A, "FATAL")]]})
    await run(make_order(), make_tools(tmp_path, fetcher))
    assert fetcher.found == [([], False)]


async def test_a_finished_session_is_never_asked_again(tmp_path: Path) -> None:
    """A lost status is written again from the manifest."""
    first = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    fetcher = FakeFetcher({"a": [[2]]})
    reports: list[Snapshot] = []
    again = await run(make_order(), make_tools(tmp_path, fetcher, now=Clock(NOW.replace(hour=20))), reports.append)
    assert again == first
    assert (fetcher.planned, fetcher.asked, reports) == (0, [], [])


async def test_two_investigations_have_two_sessions(tmp_path: Path) -> None:
    """The same spec under another uid is another question."""
    tools = make_tools(tmp_path, FakeFetcher({"a": [[1]]}))
    paths = {(await run(make_order(uid), tools)).path for uid in ("one", "two")}
    assert len(paths) == 2


async def test_one_session_has_one_process(tmp_path: Path) -> None:
    """The second process is refused, and the first continues undisturbed."""
    held, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        held.set()
        await go_on.wait()

    tools = make_tools(tmp_path, FakeFetcher({"a": [wait, [1]]}))
    task = asyncio.create_task(run(make_order(), tools))
    await held.wait()
    with pytest.raises(SessionBusy):
        await run(make_order(), tools)
    go_on.set()
    assert (await task).manifest.phase == "Completed"


async def test_an_artifact_is_cut_at_its_limit(tmp_path: Path) -> None:
    """What came before is kept, with a gap; the source is not read on."""
    endless: list[Any] = [["x" * 100]] * 50 + [AssertionError("read on past the limit")]
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": endless}), max_artifact_bytes=1_000))
    assert counts(snapshot) == {"thing/a": 10}
    assert gaps(snapshot) == [("thing/a", GapReason.BUDGET_EXCEEDED)]
    assert snapshot.manifest.artifacts[0].size_bytes < 2_000


async def test_an_artifact_that_was_cut_has_its_summary(tmp_path: Path) -> None:
    """The findings of what was kept are in the file and in the manifest."""
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [["x" * 99]] * 50}), max_artifact_bytes=1_000))
    assert snapshot.manifest.artifacts[0].summary == "10 entries"


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_save_that_fails_is_a_gap_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the volume's reason; nothing half is left."""
    real = Session.write

    def write(self: Session, category: str, name: Any, source: str, metadata: dict[str, Any], *more: Any) -> Any:
        return full() if metadata["thing"] == "a" else real(self, category, name, source, metadata, *more)

    monkeypatch.setattr(Session, "write", write)
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]], "b": [[2]]})))
    assert snapshot.manifest.phase == "PartiallyCompleted"
    assert counts(snapshot) == {"thing/b": 1}
    (gap,) = snapshot.manifest.gaps
    assert (gap.target, gap.reason) == ("thing/a", GapReason.SAVE_FAILED)
    assert gap.message == "the session volume refused the write: No space left on device"
    assert files(snapshot) == {"manifest.json", "report.html", snapshot.manifest.artifacts[0].path}


async def test_a_manifest_that_cannot_be_saved_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status, which is all that is left then, reports it and has no digest."""
    monkeypatch.setattr("aletheia_operator.session.store.Session.finish", full)
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    assert snapshot.manifest.phase == "PartiallyCompleted"
    assert gaps(snapshot) == [("manifest.json", GapReason.SAVE_FAILED)]
    assert snapshot.manifest_sha256 is None


async def test_a_journal_that_cannot_be_written_does_not_stop_the_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only serves to continue after a crash."""
    monkeypatch.setattr("aletheia_operator.session.store.Session._append_to_journal", full)
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    assert (snapshot.manifest.phase, counts(snapshot)) == ("Completed", {"thing/a": 1})


async def test_a_volume_that_cannot_be_used_at_all_is_raised(tmp_path: Path) -> None:
    """If no session can be made, nothing can be kept."""
    (tmp_path / "sessions").write_text("in the way")
    with pytest.raises(OSError, match="exists|Not a directory"):  # noqa: RUF043
        await run(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]]})))


async def test_an_interruption_waits_for_the_write_that_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is in the file completely or not at all: nobody commits a file while another thread writes it."""
    order, steps, go_on = make_order(), list[str](), threading.Event()
    loop = asyncio.get_running_loop()
    add, write = EntryBuffer.add, Session.write

    def slow_add(self: EntryBuffer, batch: Any) -> None:
        loop.call_soon_threadsafe(order.cancelled.set)
        go_on.wait(0.3)
        add(self, batch)
        steps.append("added")

    def watched_write(self: Session, *arguments: Any) -> WrittenFile:
        steps.append("written")
        go_on.set()
        return write(self, *arguments)

    monkeypatch.setattr(EntryBuffer, "add", slow_add)
    monkeypatch.setattr(Session, "write", watched_write)
    snapshot = await run(order, make_tools(tmp_path, FakeFetcher({"a": [[1], forever]})))
    assert steps == ["added", "written"]
    assert counts(snapshot) == {"thing/a": 1}


async def test_an_interruption_during_the_write_leaves_no_file_that_nobody_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in a finished session is listed in its manifest."""
    order, written = make_order(), threading.Event()
    loop = asyncio.get_running_loop()
    write = Session.write

    def slow_write(self: Session, *arguments: Any) -> WrittenFile:
        result = write(self, *arguments)
        loop.call_soon_threadsafe(order.cancelled.set)
        written.wait(0.3)
        return result

    monkeypatch.setattr(Session, "write", slow_write)
    snapshot = await run(order, make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    written.set()
    assert files(snapshot) == {"manifest.json", *(artifact.path for artifact in snapshot.manifest.artifacts)}


async def test_a_window_that_ends_in_the_future_is_a_gap(tmp_path: Path) -> None:
    """It was cut at the resource's creation, and the manifest has the window as it was fixed."""
    window = {"start": "2026-11-22T11:30:00Z", "end": "2026-11-22T13:00:00Z"}
    snapshot = await run(make_order(window=window), make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    assert gaps(snapshot) == [("window", GapReason.WINDOW_IN_FUTURE)]
    assert [gap.fetcher for gap in snapshot.manifest.gaps] == ["Investigation"]
    assert snapshot.manifest.window == ("2026-11-22T11:30:00Z", "2026-11-22T12:00:00.999999Z")
    assert snapshot.manifest.phase == "PartiallyCompleted"


async def test_a_service_account_that_does_not_exist_reads_nothing(tmp_path: Path) -> None:
    """Impersonating it would succeed, so it is looked up first; no pod is asked for."""
    kubernetes = FakeKubernetes()
    tools = make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes)
    snapshot = await run(make_order(serviceAccountName="ghost"), tools)
    assert snapshot.manifest.phase == "Failed"
    assert {gap.reason for gap in snapshot.manifest.gaps} == {GapReason.SERVICE_ACCOUNT_MISSING}
    assert all("service account ghost does not exist in namespace shop" in gap.message for gap in snapshot.manifest.gaps)
    assert [path for path, _ in kubernetes.asked] == ["/api/v1/namespaces/shop/serviceaccounts/ghost"]


async def test_where_none_is_named_the_default_service_account_reads(tmp_path: Path) -> None:
    """`--default-service-account` locks the operator's own rights out."""
    kubernetes = FakeKubernetes()
    tools = make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes, default_service_account="reader")
    snapshot = await run(make_order(), tools)
    assert "service account reader does not exist" in snapshot.manifest.gaps[0].message


async def test_a_session_kept_by_another_version_may_ask_what_is_unknown(tmp_path: Path) -> None:
    """A question of a fetcher that no longer exists is a gap, not a crash."""
    first = FakeFetcher({"a": [[1]], "b": [forever]}, name="Retired")
    await interrupted(make_order(), make_tools(tmp_path, first), after="a")
    snapshot = await run(make_order(), make_tools(tmp_path, FakeFetcher({})))
    assert counts(snapshot) == {"thing/a": 1}
    assert gaps(snapshot) == [("thing/b", GapReason.INTERNAL_ERROR)]


async def test_a_fetcher_sees_the_captures_own_clock_window_and_end(tmp_path: Path) -> None:
    """What it asks for ends with the window, and it can find out whether the capture was cancelled."""
    seen: list[Sources] = []

    @dataclass
    class Looking(FakeFetcher):
        async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
            seen.append(sources)
            assert not sources.interrupted()
            async for document in super().fetch(question, sources):
                yield document

    order = make_order()
    clock = Clock(NOW)
    await run(order, make_tools(tmp_path, Looking({"a": [cancel(order)]}), now=clock))
    (sources,) = seen
    assert (sources.namespace, sources.now(), sources.interrupted()) == ("shop", clock.moment, True)
    assert sources.window.as_texts() == ("2026-11-22T11:00:00Z", "2026-11-22T12:00:00.999999Z")


@pytest.mark.parametrize(("threads", "most"), [(saving_threads, 16), (upload_threads, 4)])
def test_threads_of_the_volume_and_of_uploads_are_bounded(threads: Callable[[], Executor], most: int) -> None:
    """Each holds a block or a part of a file in memory, whatever the number of processors."""
    all_run, go_on, running = threading.Barrier(most + 1), threading.Event(), list[int]()

    def work(number: int) -> None:
        running.append(number)
        if number < most:
            all_run.wait(LONGEST_TEST_SECONDS)
        go_on.wait(LONGEST_TEST_SECONDS)

    with threads() as pool:
        for number in range(most + 20):
            pool.submit(work, number)
        all_run.wait(LONGEST_TEST_SECONDS)
        assert len(running) == most
        go_on.set()
    assert len(running) == most + 20


async def test_an_artifact_that_does_not_get_its_name_is_a_gap_for_later_processes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The volume refuses the rename: the manifest does not list the file, and nothing is captured twice."""
    publish = Session.publish

    def refusing(self: Session, done: Done) -> dict[str, OSError]:
        if done.key == "Fake/a":
            return {artifact.path: OSError(errno.EIO, "Input/output error") for artifact in done.artifacts}
        return publish(self, done)

    monkeypatch.setattr(Session, "publish", refusing)
    order = make_order()
    answers: dict[str, Any] = {"a": [[1]], "b": [[2]], "c": [forever]}
    await interrupted(order, make_tools(tmp_path, FakeFetcher(answers), max_fetches=1), after="b")
    monkeypatch.setattr(Session, "publish", publish)
    fetcher = FakeFetcher({"c": [[3]]})
    snapshot = await run(order, make_tools(tmp_path, fetcher))
    assert fetcher.asked == ["c"]
    assert counts(snapshot) == {"thing/b": 1, "thing/c": 1}
    (gap,) = snapshot.manifest.gaps
    assert (gap.fetcher, gap.target, gap.reason) == ("Fake", "thing/a", "SaveFailed")
    assert gap.message == "the session volume refused the write: Input/output error"


async def test_small_artifacts_do_not_wait_for_large_ones(tmp_path: Path) -> None:
    """While others write large artifacts, a small one is saved at once; a large one waits."""
    tools = make_tools(tmp_path, FakeFetcher({"a": [[1]]}), writing=asyncio.Semaphore(0))
    snapshot = await run(make_order(), tools)
    assert counts(snapshot) == {"thing/a": 1}
    large = make_tools(tmp_path, FakeFetcher({"b": [["x" * (SMALL_BYTES + 1)]]}), writing=asyncio.Semaphore(0))
    waiting = asyncio.create_task(run(make_order("another"), large))
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while not large.writing._waiters:  # noqa: ASYNC110 (bounded by the time-out above)
            await asyncio.sleep(0.001)
        large.writing.release()
        assert counts(await waiting) == {"thing/b": 1}
