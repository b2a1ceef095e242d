"""A pod's log while it changes: containers restart, parsers fail, time runs out.

No line is lost silently, or assigned to another run.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.fetchers.base import Document, Missing
from aletheia_operator.fetchers.kubernetes import logs_by_api
from aletheia_operator.fetchers.kubernetes import restarts as restarts_of_pods
from aletheia_operator.fetchers.kubernetes.logs import KubernetesLogsFetcher
from aletheia_operator.fetchers.kubernetes.run_identity import UNKNOWN_RUN
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.logs.run import WorkerFault
from aletheia_operator.logs.worker_process import WorkerEnded
from tests.unit.fakes import (
    Content,
    FakeKubernetes,
    InlineParsers,
    Response,
    Script,
    entries_of,
    forever,
    make_pod,
    make_sources,
    make_window,
)

POD = "/api/v1/namespaces/shop/pods/web-0"
Hook = Callable[["Container"], None]


def line(second: float, text: str) -> bytes:
    return f"{time(int(second))[:-1]}.{round(second % 1 * 1e9):09}Z {text}\n".encode()


def time(second: int) -> str:
    minutes = 30 + second // 60
    return f"2026-11-22T{11 + minutes // 60}:{minutes % 60:02}:{second % 60:02}Z"


@dataclass
class Container:
    """A container as the kubelet has it. The API server's status may be some restarts behind."""

    runs: list[list[bytes]]
    """Lines of each run; run n begins n * 100 seconds after 11:30, and ends 50 seconds later."""
    present: int
    behind: int = 0
    waits: bool = False
    gone: bool = False
    cuts: list[int] = field(default_factory=list)
    """Numbers of bytes after which the next answers end."""

    def status(self, present: int) -> dict[str, Any]:
        def ended(number: int) -> dict[str, Any]:
            return {"terminated": {"startedAt": time(100 * number), "finishedAt": time(100 * number + 50), "exitCode": 1}}

        found: dict[str, Any] = {"restartCount": present}
        if self.waits:
            return found | {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(present)}
        found["state"] = {"running": {"startedAt": time(100 * present)}}
        return found | ({"lastState": ended(present - 1)} if present else {})

    def restart(self) -> None:
        self.present += 1

    def lines(self, previous: bool) -> list[bytes]:
        number = self.present - previous
        if number < 0:
            raise Rejected('answered 400: previous terminated container "app" in pod "web-0" not found')
        return self.runs[number]


@dataclass
class Kubelet(FakeKubernetes):
    """Answers for one pod; `hooks` are called before the log requests of their numbers."""

    containers: dict[str, Container] = field(default_factory=dict)
    hooks: dict[int, Hook] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)
    """Containers that send nothing after the first lines."""
    requests: int = 0
    uid: str = "uid-web-0"
    began: str = "2026-11-22T11:00:00Z"

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "") -> Any:
        states: dict[str, Any] = {
            name: container.status(container.present - container.behind) for name, container in self.containers.items()
        }
        for container in self.containers.values():
            if container.gone:
                raise Rejected("the Kubernetes API answered 404", GapReason.NOT_FOUND)
            container.behind = max(0, container.behind - 1)
        pod = make_pod("web-0", None, self.uid, **states)
        pod["metadata"]["creationTimestamp"] = self.began
        return pod

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        asked = dict(query or {})
        container = self.containers[asked["container"]]
        if (hook := self.hooks.get(self.requests)) is not None:
            hook(container)
        self.requests += 1
        if container.gone:
            raise Rejected("the Kubernetes API answered 404", GapReason.NOT_FOUND)
        since = asked.get("sinceTime", "").removesuffix("Z").encode()
        lines = container.lines("previous" in asked and not container.waits)
        whole = b"".join(line for line in lines if line >= since or not line[:1].isdigit())
        if "tailLines" in asked:
            whole = whole.splitlines(keepends=True)[-1] if whole else b""
        elif "limitBytes" in asked:
            whole = whole[: int(asked["limitBytes"])]
        elif container.cuts:
            whole = whole[: container.cuts.pop(0)]
        answer: Script = [whole] if whole else []
        yield Response(Hanging(answer) if asked["container"] in self.waits else Content(answer))


class Hanging(Content):
    async def iter_any(self) -> AsyncIterator[bytes]:
        async for chunk in super().iter_any():
            yield chunk
        await forever()


def run_lines(number: int, count: int = 3) -> list[bytes]:
    return [line(100 * number + index + 0.5, f"run {number} line {index}") for index in range(count)]


def restarting(runs: int, present: int, **more: Any) -> Container:
    return Container([run_lines(number) for number in range(runs)], present, **more)


async def fetch(kubelet: Kubelet, **changes: Any) -> Document:
    """Return the document of a pod, planned before anything happens."""
    sources = make_sources(kubelet, **changes)
    spec = InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}], "logs": {"via": "api"}})
    (question,) = (await KubernetesLogsFetcher().plan(spec, sources)).questions
    (document,) = [found async for found in KubernetesLogsFetcher().fetch(question, sources)]
    return document


def check_runs(entries: list[dict[str, Any]], gaps: list[Missing], container: Container, restarts: int) -> None:
    """Assert that each line is there once, with its run, and each run up to `restarts` is whole or named by a gap."""
    had: dict[int, list[str]] = {}
    for entry in entries:
        had.setdefault(entry["run"], []).append(entry["line"])
    named = " ".join(f"{gap.target}: {gap.message}" for gap in gaps)
    for number in range(restarts + 1):
        expected = [text.split(b" ", 1)[1].decode().strip() for text in container.runs[number]]
        assert had.get(number, []) == expected or str(number) in named, (number, had, named)
        assert set(had.get(number, [])) <= set(expected), f"lines of another run under number {number}"


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        (Unavailable("the Kubernetes API answered 503"), "gap"),
        (Rejected("the Kubernetes API answered 403", GapReason.FORBIDDEN), "note"),
    ],
    ids=["an API server that is away", "no right to get pods"],
)
async def test_restarts_that_cannot_be_looked_for_are_said(
    monkeypatch: pytest.MonkeyPatch, error: SourceError, severity: str
) -> None:
    """What was read may be of another run than planned: a gap says that this is not known."""
    kubelet = Kubelet(containers={"app": restarting(2, 1)})
    document = await fetch(kubelet)

    async def refuse(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(kubelet, "get", refuse)
    entries: list[Any] = []
    await collect(document, entries)
    assert entries
    gaps = [(gap.reason, gap.severity) for gap in document.outcome.missing]
    assert gaps == [(error.reason, severity)]


@pytest.mark.parametrize("behind", [0, 1, 2], ids=lambda number: f"status {number} restarts behind")
@pytest.mark.parametrize("request_number", [None, 0, 1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize("present", [0, 1, 2])
@pytest.mark.parametrize("cut", [None, 20, 60, 100])
async def test_a_restart_while_it_is_read_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, present: int, restarts: int, request_number: int | None, behind: int, cut: int | None
) -> None:
    """It comes at any request, once or twice; the API server may know of it or not, and answers may be cut."""
    monkeypatch.setattr(restarts_of_pods, "STALE_SECONDS", 0)
    container = restarting(8, present, cuts=[] if cut is None else [cut])

    def restart(container: Container) -> None:
        container.present += restarts
        container.behind = min(behind, restarts)

    kubelet = Kubelet(containers={"app": container}, hooks={} if request_number is None else {request_number: restart})
    now = f"{time(100 * present + 98)[:-1]}+00:00"  # what begins later, begins behind the window
    document = await fetch(kubelet, window=make_window(end=now))
    entries = await entries_of(document)
    check_runs(entries, document.outcome.missing, container, present)


async def test_a_container_that_restarted_between_plan_and_read() -> None:
    """The run of the plan is now the previous run, and is read as such; the new run is read too."""
    container = restarting(3, 0)
    document = await fetch(Kubelet(containers={"app": container}, hooks={0: Container.restart}))
    entries = await entries_of(document)
    assert [(entry["run"], entry["line"]) for entry in entries] == [
        (number, f"run {number} line {index}") for number in (0, 1) for index in range(3)
    ]
    assert document.outcome.missing == []


@pytest.mark.parametrize("behind", [0, 1])
async def test_a_new_run_that_has_written_nothing_yet(monkeypatch: pytest.MonkeyPatch, behind: int) -> None:
    """Its empty log is not taken for that of the run before: the note about an empty log is of the new run."""
    monkeypatch.setattr(restarts_of_pods, "STALE_SECONDS", 0)
    monkeypatch.setattr(logs_by_api, "EMPTY_SECONDS", (0, 0, 0))
    container = Container([run_lines(0), []], 0)

    def restart(container: Container) -> None:
        container.present, container.behind = 1, behind

    document = await fetch(Kubelet(containers={"app": container}, hooks={0: restart}))
    entries = await entries_of(document)
    assert [(entry["run"], entry["line"]) for entry in entries] == [(0, f"run 0 line {index}") for index in range(3)]
    assert [(gap.target, gap.reason, gap.severity) for gap in document.outcome.missing] == [
        ("pod/web-0 container/app (run 1)", GapReason.LOG_ROTATED, "note")
    ]


async def test_a_node_that_sends_only_a_message_has_no_second_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words say why there is no line."""
    monkeypatch.setattr(logs_by_api, "EMPTY_SECONDS", (0, 0, 0))
    container = Container([[b"failed to open log file: no such file or directory"]], 0)
    document = await fetch(Kubelet(containers={"app": container}))
    await entries_of(document)
    assert [gap.reason for gap in document.outcome.missing] == [GapReason.LOG_UNAVAILABLE]


async def test_seven_restarts_in_the_window() -> None:
    """Two runs are there, and each of the six before them is a gap."""
    document = await fetch(Kubelet(containers={"app": restarting(8, 7)}))
    assert {entry["run"] for entry in await entries_of(document)} == {6, 7}
    assert [(gap.target, gap.reason) for gap in document.outcome.missing] == [
        (f"pod/web-0 container/app (run {number})", GapReason.LOG_UNAVAILABLE) for number in range(6)
    ]


async def test_a_container_that_waits_after_seven_restarts() -> None:
    """The API has only its last run."""
    document = await fetch(Kubelet(containers={"app": restarting(8, 7, waits=True)}))
    assert {entry["run"] for entry in await entries_of(document)} == {7}
    assert [gap.target for gap in document.outcome.missing] == [
        f"pod/web-0 container/app (run {number})" for number in range(7)
    ]


async def test_a_crash_loop_does_not_fill_the_status() -> None:
    """The latest of its runs are a gap each, and all others are one gap."""
    document = await fetch(
        Kubelet(containers={"app": restarting(48, 47, waits=True)}), window=make_window(end="2026-11-22T23:00:00+00:00")
    )
    await entries_of(document)
    targets = [gap.target for gap in document.outcome.missing]
    assert targets[0] == "pod/web-0 container/app (runs 0 to 36)"
    assert targets[1:] == [f"pod/web-0 container/app (run {number})" for number in range(37, 47)]


async def test_a_run_that_the_node_removes_when_the_next_one_ends() -> None:
    """The kubelet answers that the previous run is gone, and a moment later shows the next one as the previous."""
    container = restarting(3, 1)

    def remove(container: Container) -> None:
        container.runs[0] = [b"unable to retrieve container logs for containerd://abc"]

    def end(container: Container) -> None:
        container.waits, container.runs[0] = True, container.runs[1]

    for number in range(1, 8):
        container = restarting(3, 1)
        kubelet = Kubelet(containers={"app": container}, hooks={0: remove, number: end})
        document = await fetch(kubelet, window=make_window(end="2026-11-22T11:33:18+00:00"))
        entries = await entries_of(document)
        assert [entry["line"] for entry in entries if entry["run"] == 1 and entry["timestamp"]] == [
            f"run 1 line {index}" for index in range(3)
        ]
        assert [entry for entry in entries if entry["run"] == 0 and entry["timestamp"]] == []
        assert any("(run 0" in gap.target for gap in document.outcome.missing), number


@pytest.mark.parametrize("ended", range(3))
@pytest.mark.parametrize("gone_after", range(1, 6))
async def test_a_container_that_waits_in_a_pod_that_is_deleted(ended: int, gone_after: int) -> None:
    """The kubelet also shows its last run as the previous one, and later nothing can be checked: no line gets a wrong run."""

    def end(container: Container) -> None:
        container.waits = True

    def remove(container: Container) -> None:
        container.gone = True

    container = restarting(3, 1)
    kubelet = Kubelet(containers={"app": container}, hooks={ended: end, ended + gone_after: remove})
    document = await fetch(kubelet, window=make_window(end="2026-11-22T11:33:18+00:00"))
    entries = await entries_of(document)
    check_runs(entries, document.outcome.missing, container, 1)


@pytest.mark.parametrize("started", range(3))
@pytest.mark.parametrize("gone_after", range(1, 6))
async def test_a_waiting_container_that_starts_again_in_a_pod_that_is_deleted(started: int, gone_after: int) -> None:
    """The next run writes its lines within a second of the last run's end: its lines have their run, or a gap says so."""
    container = Container([[], []], 0, waits=True)
    container.runs[0] = [line(44.5 + number, f"run 0 line {number}") for number in range(4)]
    container.runs[1] = [line(51.1 + number / 10, f"run 1 line {number}") for number in range(3)]

    def start(container: Container) -> None:
        container.present, container.waits = 1, False

    def remove(container: Container) -> None:
        container.gone = True

    kubelet = Kubelet(containers={"app": container}, hooks={started: start, started + gone_after: remove})
    document = await fetch(kubelet, window=make_window(end="2026-11-22T11:30:52+00:00"))
    entries, gaps = await entries_of(document), document.outcome.missing
    wrong = [entry for entry in entries if not entry["line"].startswith(f"run {entry['run']} ")]
    assert not wrong or [gap for gap in gaps if UNKNOWN_RUN in gap.message and gap.target.endswith("(run 0)")]


@pytest.mark.parametrize("request_number", range(6))
@pytest.mark.parametrize("cut", [None, 0, 60])
async def test_lines_of_a_pod_that_took_the_name_are_dropped(request_number: int, cut: int | None) -> None:
    """A StatefulSet makes a pod of the same name: what the API shows of it is not this pod's log."""

    def replace(container: Container) -> None:
        kubelet.uid, container.runs, container.present = "uid-of-the-next", [[line(500.5, "of the next pod")]], 0

    container = restarting(1, 0, cuts=[] if cut is None else [cut])
    kubelet = Kubelet(containers={"app": container}, hooks={request_number: replace}, began=time(500))
    document = await fetch(kubelet)
    found = [entry["line"] for entry in await entries_of(document)]
    assert found == [f"run 0 line {number}" for number in range(len(found))]
    if kubelet.uid != "uid-web-0":
        assert GapReason.POD_REPLACED in {gap.reason for gap in document.outcome.missing}


async def test_a_restart_is_known_by_the_kubelet_whatever_the_api_server_says() -> None:
    """Its status lags for longer than the operator waits: the log of a later run is not taken for a rotated one."""
    container = restarting(3, 0, cuts=[60])
    container.runs[1] = [line(3.5 + number, f"run 1 line {number}") for number in range(3)]

    def restart(container: Container) -> None:
        container.present, container.behind = 1, 1000

    kubelet = Kubelet(containers={"app": container}, hooks={1: restart})
    document = await fetch(kubelet)
    entries = await entries_of(document)
    check_runs(entries, document.outcome.missing, container, 0)


async def test_a_pod_that_is_gone_is_a_gap_for_each_run() -> None:
    """Each names its container and run."""
    container = restarting(2, 1)

    def remove(container: Container) -> None:
        container.gone = True

    document = await fetch(Kubelet(containers={"app": container}, hooks={0: remove}))
    assert await entries_of(document) == []
    assert {(gap.target, gap.reason) for gap in document.outcome.missing} == {
        ("pod/web-0 container/app (run 0, previous)", GapReason.NOT_FOUND),
        ("pod/web-0 container/app (run 1)", GapReason.NOT_FOUND),
    }


@pytest.mark.logs_errors("reading the log of pod/web-0 container/bad (run 0) failed")
async def test_one_bad_container_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """An internal error over one of them is its gap. Lines of the other are kept."""

    def explode(container: Container) -> None:
        if container is bad:
            raise ZeroDivisionError

    bad, good = restarting(1, 0), restarting(1, 0)
    kubelet = Kubelet(containers={"bad": bad, "good": good}, hooks=dict.fromkeys(range(20), explode))
    document = await fetch(kubelet)
    assert {entry["container"] for entry in await entries_of(document)} == {"good"}
    assert [(gap.target, gap.reason) for gap in document.outcome.missing] == [
        ("pod/web-0 container/bad (run 0)", GapReason.INTERNAL_ERROR)
    ]


@pytest.mark.parametrize("fault", [WorkerEnded(), WorkerFault("KeyError")], ids=["died", "met a fault"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_parser_that_fails_is_given_the_run_again(fault: Exception, times: int) -> None:
    """It is parsed in a worker of its own, then without levels. If that fails too, the run is a gap."""
    parsers = InlineParsers(faults=[fault] * times)
    document = await fetch(Kubelet(containers={"app": restarting(1, 0)}), parsers=parsers)
    lines = [entry["line"] for entry in await entries_of(document)]
    assert parsers.opened[:3] == [(False, False), (True, False), (True, True)][: min(times + 1, 3)]
    gaps = [(gap.target, gap.reason, gap.severity) for gap in document.outcome.missing]
    note = ("pod/web-0 container/app (run 0)", GapReason.INTERNAL_ERROR, "note" if times == 2 else "gap")
    assert gaps == ([] if times == 1 else [note])
    assert len(lines) == (0 if times == 3 else 3)


@pytest.mark.parametrize("steps", range(1, 400, 23))
async def test_what_was_read_until_a_cancellation_is_kept(steps: int) -> None:
    """The task is cancelled after any number of steps. Every line counted as read is there, and nothing leaks."""
    parsers = Parsers(processes=1)
    before = len(os.listdir("/proc/self/fd"))
    many = Container([[line(number / 100, f"line {number}") for number in range(4000)]], 0)
    kubelet = Kubelet(containers={"app": many, "other": restarting(2, 1)}, waits={"app"})
    document = await fetch(kubelet, parsers=parsers, interrupted=lambda: True)
    entries: list[Any] = []
    task = asyncio.create_task(collect(document, entries))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    app = [entry for entry in entries if entry["container"] == "app"]
    (gap,) = [gap for gap in document.outcome.missing if gap.target == "pod/web-0 container/app (run 0)"]
    assert gap.reason == GapReason.LOG_INCOMPLETE
    if app:
        assert app[-1]["timestamp"] in gap.message
    else:
        assert "before its first line came" in gap.message
    kept = document.outcome.metadata["kept"].get("none", 0)
    assert kept == len(entries)
    assert parsers.runs == 0
    await parsers.close()
    assert len(os.listdir("/proc/self/fd")) == before


async def collect(document: Document, entries: list[Any]) -> None:
    """Append the document's entries until they end or break off."""
    async for blocks in document.batches:
        assert isinstance(blocks, Iterator)
        for block in blocks:
            entries += json.loads(b"[" + block.block + b"]")
