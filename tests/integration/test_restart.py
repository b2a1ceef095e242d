"""The operator is killed or stopped in the middle of its work: every Investigation ends, none is captured twice."""

import asyncio
import json
import signal
import urllib.request
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aletheia_operator.clients.kill_timer import EXIT_CODE
from tests.integration.conftest import start_speaker
from tests.support.http import OVER, serving
from tests.support.operator import (
    TIMELINE,
    Kubectl,
    Operator,
    check_session,
    data_source,
    investigation,
    pod,
    read_document,
    session_of,
    until,
)

pytestmark = pytest.mark.cluster

INVESTIGATIONS = 20
KILLS = 10
TERMINAL = {"Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled"}


def reasons_of(status: Any) -> list[str]:
    """Return the gaps' reasons, except the report's: a report that was given up is a note, and loses no evidence."""
    return [gap["reason"] for gap in status["gaps"] if gap["target"] != "report"]


def statuses(kubectl: Kubectl) -> dict[str, Any]:
    return {item["metadata"]["name"]: item.get("status", {}) for item in kubectl.get("investigations")["items"]}


def test_killed_ten_times_in_the_middle_of_twenty(own_namespace: Kubectl, root: Path) -> None:
    """20 Investigations and 10 SIGKILLs: all end, one session each, every file whole and listed, no answer kept twice."""
    kubectl = own_namespace
    answered: Counter[str] = Counter()

    async def slow(request: web.Request) -> web.Response:
        """Answer slowly as Prometheus, so that kills hit captures that are running."""
        if not request.path.endswith("query_range"):
            return web.Response(status=404)
        query = (await request.post() if request.method == "POST" else request.query)["query"]
        await asyncio.sleep(0.15)
        answered[str(query)] += 1
        series = {"metric": {"query": str(query)}, "values": [[1, "1"]]}
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": [series]}})

    def further(before: int) -> bool:
        return sum(answered.values()) >= before + 3

    kubectl.apply(*(pod(f"pod-{number}", f"echo ERROR evidence {number}; sleep 600") for number in range(3)))
    kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    with serving() as serve:
        kubectl.apply(data_source("it-slow", "prometheus", serve(slow)))
        operator = Operator(kubectl.cluster, root, [kubectl.namespace], ["--max-investigations=5", "--max-fetches=2"])
        names = [f"inv-{number}" for number in range(INVESTIGATIONS)]
        kubectl.apply(
            *(
                investigation(
                    name,
                    targets=[{"pod": f"pod-{number}"} for number in range(3)],
                    logs={},
                    metrics=[
                        {"query": f"{name.replace('-', '_')}_{n}", "dataSourceRef": {"name": "it-slow"}} for n in range(5)
                    ],
                )
                for name in names
            )
        )
        for _ in range(KILLS):
            before = sum(answered.values())
            operator.start(wait=False)
            until(partial(further, before), 60, "the operator is in the middle of its work")
            operator.kill()
        killed_at = statuses(kubectl)
        assert any(status.get("phase") not in TERMINAL for status in killed_at.values()), "the kills came too late to tell"
        operator.start()
        try:
            for name in names:
                kubectl.ended(name, 120)
        finally:
            operator.stop()

        after = statuses(kubectl)
        # a question is given up, with a gap, if the process died twice during it; each kill counts for at most one question
        given_up = {name: reasons_of(status) for name, status in after.items() if reasons_of(status)}
        assert all(set(reasons) == {"InternalError"} for reasons in given_up.values()), given_up
        assert sum(map(len, given_up.values())) < KILLS, given_up
        phases = {name: "PartiallyCompleted" if name in given_up else "Completed" for name in names}
        assert {name: status["phase"] for name, status in after.items()} == phases
        sessions = sorted(path.name for path in (root / "sessions").glob("INC-*"))
        assert sessions == sorted(status["session"]["id"] for status in after.values())
        for resource in kubectl.get("investigations")["items"]:
            manifest = check_session(session_of(resource))
            assert manifest["investigation"]["uid"] == resource["metadata"]["uid"]
            artifacts = [artifact for artifact in manifest["artifacts"] if artifact["target"] != "report"]
            asked = [(artifact["fetcher"], artifact["target"]) for artifact in artifacts]
            assert len(asked) == len(set(asked)) == 10 - len(given_up.get(resource["metadata"]["name"], []))
            moments = read_document(resource, TIMELINE)["data"]
            logs = {target for fetcher, target in asked if fetcher == "KubernetesLogs"}
            assert {moment["object"] for moment in moments} == logs
        # only questions that were not saved before a kill are asked again: at most 5 x 2 a kill
        assert sum(answered.values()) <= INVESTIGATIONS * 5 + KILLS * 10

        sealed = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        total = sum(answered.values())
        operator.start()
        kubectl.investigate("inv-last", targets=[{"pod": "pod-0"}], logs={})
        operator.stop()
        assert sum(answered.values()) == total, "a restart asks nothing again"
        assert all(path.read_bytes() == content for path, content in sealed.items())
        assert statuses(kubectl) | {"inv-last": None} == after | {"inv-last": None}


def test_killed_between_manifest_and_status(own_namespace: Kubectl, root: Path) -> None:
    """If the last status was lost, it is written from the manifest, without a second capture."""
    kubectl = own_namespace
    start_speaker(kubectl)
    operator = Operator(kubectl.cluster, root, [kubectl.namespace]).start()
    first = kubectl.investigate("lost", targets=[{"pod": "speaker"}], logs={})
    operator.kill()
    kubectl("delete", "pod", "speaker", "--now")
    lost = {"status": {"phase": "Running", "completionTime": None, "artifacts": None, "session": None}}
    kubectl("patch", "investigation", "lost", "--subresource=status", "--type=merge", f"--patch={json.dumps(lost)}")
    operator.start()
    try:
        again = kubectl.ended("lost")
        for field in ("phase", "session", "artifacts", "completionTime", "gaps", "progress"):
            assert again["status"][field] == first["status"][field]
    finally:
        operator.stop()


def test_a_graceful_stop_leaves_the_rest_to_the_next(own_namespace: Kubectl, root: Path) -> None:
    """After SIGTERM during a capture the process ends soon, and the next process continues the same session."""
    kubectl = own_namespace
    start_speaker(kubectl)
    answers = False

    async def hanging_at_first(request: web.Request) -> web.Response:
        if not answers:
            await request.app[OVER].wait()
        return web.json_response({"data": ["shop"] if request.path.endswith("/services") else []})

    with serving() as serve:
        kubectl.apply(data_source("it-stuck", "jaeger", serve(hanging_at_first)))
        operator = Operator(kubectl.cluster, root, [kubectl.namespace]).start()
        traces = [{"service": "shop", "dataSourceRef": {"name": "it-stuck"}}]
        kubectl.apply(investigation("graceful", targets=[{"pod": "speaker"}], logs={}, traces=traces))
        kubectl.wait("investigation/graceful", "jsonpath={.status.progress.done}=1")
        session = kubectl.get("investigation", "graceful")["status"]["session"]["id"]
        operator.stop()
        assert kubectl.get("investigation", "graceful")["status"]["phase"] == "Running"
        answers = True
        operator.start()
        try:
            resource = kubectl.ended("graceful")
            assert resource["status"]["phase"] == "Completed"
            assert resource["status"]["session"]["id"] == session
            check_session(session_of(resource))
        finally:
            operator.stop()


def test_a_second_operator_takes_over_when_the_first_is_killed(own_namespace: Kubectl, root: Path) -> None:
    """Both run at the same time on one volume: one captures, the other waits. Nothing is captured twice, nothing is lost."""
    kubectl = own_namespace
    start_speaker(kubectl)
    answered: Counter[str] = Counter()
    answers = False

    async def hanging_at_first(request: web.Request) -> web.Response:
        if not request.path.endswith("query_range"):
            return web.Response(status=404)
        query = str((await request.post() if request.method == "POST" else request.query)["query"])
        if query.startswith("late") and not answers:
            await request.app[OVER].wait()
        answered[query] += 1
        result = [{"metric": {"query": query}, "values": [[1, "1"]]}]
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}})

    with serving() as serve:
        kubectl.apply(data_source("it-late", "prometheus", serve(hanging_at_first)))
        queries = ["early_0", "early_1", "late_0", "late_1"]
        metrics = [{"query": query, "dataSourceRef": {"name": "it-late"}} for query in queries]
        first = Operator(kubectl.cluster, root, [kubectl.namespace]).start()
        second = Operator(kubectl.cluster, root, [kubectl.namespace])
        try:
            kubectl.apply(investigation("shared", targets=[{"pod": "speaker"}], logs={}, metrics=metrics))
            kubectl.wait("investigation/shared", "jsonpath={.status.progress.done}=3")
            session = kubectl.get("investigation", "shared")["status"]["session"]["id"]
            second.start()
            until(lambda: "another process works on session" in second.log_path.read_text(), 30, "the second one waits")
            before = answered.copy()
            first.kill()
            answers = True
            resource = kubectl.ended("shared", 60)
            after = answered.copy()  # requests of the first one are answered when the server ends
        finally:
            first.kill()
            second.stop()
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert resource["status"]["session"]["id"] == session
    assert [path.name for path in (root / "sessions").glob("INC-*")] == [session]
    assert before == {"early_0": 1, "early_1": 1}
    assert after == dict.fromkeys(queries, 1)
    manifest = check_session(session_of(resource))
    captured = Counter(artifact["target"] for artifact in manifest["artifacts"] if artifact["fetcher"] != "Aletheia")
    assert set(captured.values()) == {1}
    assert {*queries, "pod/speaker"} <= captured.keys(), captured


def test_a_stopped_leader_ends_when_it_continues(own_namespace: Kubectl, root: Path) -> None:
    """A standby takes over from a leader that is stopped. When that one continues, it ends, and its capture is resumed."""
    kubectl = own_namespace
    answers = False

    async def hanging_at_first(request: web.Request) -> web.Response:
        if not answers:
            await request.app[OVER].wait()
        return web.json_response({"data": ["shop"] if request.path.endswith("/services") else []})

    def leader(operator: Operator) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/healthz", timeout=30) as answer:
            return str(json.load(answer)["leader"])

    options = [f"--operator-namespace={kubectl.namespace}", "--lease=flight", "--lease-seconds=3"]
    with serving() as serve:
        kubectl.apply(data_source("it-hanging", "jaeger", serve(hanging_at_first)))
        first = Operator(kubectl.cluster, root, [kubectl.namespace], options).start()
        second = Operator(kubectl.cluster, root, [kubectl.namespace], options)
        traces = [{"service": "shop", "dataSourceRef": {"name": "it-hanging"}}]
        try:
            kubectl.apply(investigation("fenced", traces=traces))
            kubectl.wait("investigation/fenced", "jsonpath={.status.phase}=Running")
            second.start()
            holder = kubectl.get("lease", "flight")["spec"]["holderIdentity"]
            assert leader(second) == leader(first) == holder
            assert first.process is not None
            first.process.send_signal(signal.SIGSTOP)
            until(lambda: kubectl.get("lease", "flight")["spec"]["holderIdentity"] != holder, 20, "the standby leads")
            # the lock on the session, which the stopped process keeps, lets nobody else write either
            until(lambda: "another process works on session" in second.log_path.read_text(), 20, "the standby goes on with it")
            answers = True
            first.process.send_signal(signal.SIGCONT)
            assert first.process.wait(60) in (EXIT_CODE, 1), "its timer ends it, or it sees that the Lease is lost"
            resource = kubectl.ended("fenced", 30)
        finally:
            first.kill()
            second.stop()
    assert resource["status"]["phase"] == "Completed", resource["status"]
    session = session_of(resource)
    check_session(session)
    assert [path.name for path in (root / "sessions").glob("INC-*")] == [session.name]
    assert not kubectl.get("lease", "flight")["spec"].get("holderIdentity"), "a stopped operator releases the Lease"
