"""Traces with ids from the logs of real pods, fetched from a real Jaeger."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cluster import servers
from tests.support.http import OVER, serving
from tests.support.operator import (
    Kubectl,
    Operator,
    artifact_of,
    data_source,
    evidence_of,
    investigation,
    pod,
    session_of,
    until,
)
from tests.support.traces import span

pytestmark = pytest.mark.cluster

KNOWN = [f"{number:032x}" for number in range(2**100, 2**100 + 4)]
UNKNOWN = "f" * 32
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
LINES = [
    f'{{"level":"info","msg":"paid","trace_id":"{KNOWN[0]}"}}',
    f"INFO GET / traceparent=00-{KNOWN[1]}-00f067aa0ba902b7-01",
    f'level=error msg="refused" traceID={KNOWN[2]}',
    f"ERROR refused, trace_id: {UNKNOWN}",
    f'{{"level":"info","msg":"again","traceId":"{KNOWN[0]}"}}',
    f"INFO trace_id={'0' * 32} trace_id=nothing",
    f"INFO last trace_id={KNOWN[3]}",
]


@pytest.fixture(scope="module")
def jaeger(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Jaeger]:
    """A real Jaeger with the four traces, the default DataSource."""
    with servers.jaeger(tmp_path_factory.mktemp("jaeger")) as server:
        for number, trace in enumerate(KNOWN):
            made = span(trace, f"GET /{number}", time.time_ns() - 10**9, 20, failing=number == 2)
            attributes = [{"key": "service.name", "value": {"stringValue": "shop"}}]
            server.send({"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [made]}]}]})
        until(
            lambda: all(servers.answers(f"{server.url}/api/traces/{trace_id}") for trace_id in KNOWN),
            30,
            "Jaeger has every trace",
        )
        kubectl.apply(data_source("it-from-logs", "jaeger", server.url, default=True))
        yield server
        kubectl("delete", "datasource", "it-from-logs")


@pytest.fixture(scope="module")
def logging_pod(kubectl: Kubectl, jaeger: servers.Jaeger) -> Iterator[str]:
    """A pod that wrote the lines and ended."""
    script = "\n".join(["cat <<'END'", *LINES, "END"])
    kubectl.apply(pod("says-trace-ids", script))
    kubectl.wait("pod/says-trace-ids", "jsonpath={.status.phase}=Succeeded")
    yield "says-trace-ids"
    kubectl("delete", "pod", "says-trace-ids")


def investigate(kubectl: Kubectl, name: str, pod_name: str, limit: int, **spec: Any) -> Any:
    traces = [{"fromLogs": {"limit": limit}, "dataSourceRef": {"name": "it-from-logs"}}]
    return kubectl.investigate(name, targets=[{"pod": pod_name}], logs={}, traces=traces, **spec)


def test_the_traces_that_the_logs_name(kubectl: Kubectl, operator: Operator, logging_pod: str) -> None:
    """Each known trace is captured once, those of error lines first; an unknown id is a gap; zeros and words are no ids."""
    resource = investigate(kubectl, "from-logs", logging_pod, 10)
    document = artifact_of(resource, 1)
    order = [KNOWN[2], UNKNOWN, KNOWN[0], KNOWN[1], KNOWN[3]]
    assert document["metadata"]["mentioned"] == order
    assert document["metadata"]["unknown"] == [UNKNOWN]
    assert [trace["traceID"] for trace in document["data"]] == [trace_id for trace_id in order if trace_id != UNKNOWN]
    (gap,) = resource["status"]["gaps"]
    assert (gap["reason"], gap["target"]) == ("NotFound", "traces/from logs")
    assert "the logs mention 5 traces; Jaeger does not have 1" in gap["message"]
    assert "4 traces (1 failing)" in evidence_of(resource)[1]["summary"]


def test_the_limit_is_said(kubectl: Kubectl, operator: Operator, logging_pod: str) -> None:
    """Above the limit, ids of error lines are fetched first, and the rest is a gap."""
    resource = investigate(kubectl, "from-logs-limit", logging_pod, 3)
    assert artifact_of(resource, 1)["metadata"]["mentioned"] == [KNOWN[2], UNKNOWN, KNOWN[0]]
    assert sorted(gap["reason"] for gap in resource["status"]["gaps"]) == ["BudgetExceeded", "NotFound"]


def test_of_a_sealed_session(kubectl: Kubectl, operator: Operator, logging_pod: str) -> None:
    """The traces are captured although the operator cannot read back its files, and nothing is on disk in plain text."""
    resource = investigate(kubectl, "from-logs-sealed", logging_pod, 10, session={"encryption": {"recipients": [RECIPIENT]}})
    (artifact,) = [artifact for artifact in resource["status"]["artifacts"] if artifact["fetcher"] == "Jaeger"]
    assert artifact["count"] == 4
    assert artifact["path"].endswith(".json.age")
    everything = b"".join(file.read_bytes() for file in session_of(resource).rglob("*") if file.is_file())
    assert not any(trace_id.encode() in everything + json.dumps(resource["status"]).encode() for trace_id in [*KNOWN, UNKNOWN])


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
def test_after_a_kill_and_without_the_pod(jaeger: servers.Jaeger, own_namespace: Kubectl, root: Path, sealed: bool) -> None:
    """After a kill between logs and traces, and without the pod, the same traces are fetched.

    A sealed session cannot be searched for ids after a restart, and may not store them in plain text: that is a gap.
    """
    kubectl = own_namespace

    async def hang(request: web.Request) -> web.Response:
        await request.app[OVER].wait()
        return web.Response(status=503)

    kubectl.apply(pod("says-trace-ids", "\n".join(["cat <<'END'", *LINES, "END"])))
    kubectl.wait("pod/says-trace-ids", "jsonpath={.status.phase}=Succeeded")
    operator = Operator(kubectl.cluster, root, [kubectl.namespace]).start()
    with serving() as serve:
        kubectl.apply(data_source("it-hangs", "jaeger", serve(hang)))
        kubectl.apply(
            investigation(
                "killed",
                targets=[{"pod": "says-trace-ids"}],
                logs={},
                traces=[{"fromLogs": {"limit": 10}, "dataSourceRef": {"name": "it-hangs"}}],
                session={"encryption": {"recipients": [RECIPIENT]}} if sealed else {},
            )
        )
        progress = ("get", "investigation", "killed", "-o", "jsonpath={.status.progress.text}")
        until(lambda: kubectl(*progress) == "1/2", 30, "the logs are done")
        operator.kill()
    kubectl("delete", "pod", "says-trace-ids")
    kubectl.apply(data_source("it-hangs", "jaeger", jaeger.url))
    operator.start()
    try:
        resource = kubectl.ended("killed")
    finally:
        operator.stop()
        kubectl("delete", "datasource", "it-hangs")
    counts = {evidence["fetcher"]: evidence["count"] for evidence in evidence_of(resource)}
    assert counts == {"KubernetesLogs": len(LINES), "Jaeger": 0 if sealed else 4}
    gap = next(gap for gap in resource["status"]["gaps"] if gap["target"] == "traces/from logs")
    assert gap["reason"] == ("Unavailable" if sealed else "NotFound")
