"""Traces of a real application (Jaeger's HotROD) are stored as Jaeger's API returns them, with all failing traces."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import servers
from tests.support.operator import Kubectl, Operator, artifact_of, data_source, pod, until
from tests.support.traces import ask, in_order

pytestmark = pytest.mark.cluster

RIDES = 4
"""Each of them has redis spans that time out."""
LOOKS = 20
SOURCE = {"dataSourceRef": {"name": "it-hotrod"}}


@pytest.fixture(scope="module")
def jaeger(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[servers.Jaeger, Path]]:
    """A Jaeger with traces of rides, some of which fail, and of other requests; and the application's log."""
    directory = tmp_path_factory.mktemp("hotrod")
    with servers.jaeger(directory) as server, servers.hotrod(directory, server) as application:
        for number in range(LOOKS):
            application.get("/config" if number % 2 else "/")
        for number in range(RIDES):
            application.get(f"/dispatch?customer={(123, 392, 731, 567)[number % 4]}")

        looks: deque[int] = deque(maxlen=20)  # at least a second, and the application sends ten times a second

        def settled() -> bool:
            """Return whether every trace is there and complete."""
            looks.append(sum(len(trace["spans"]) for trace in everything(server)))
            return len(looks) == 20 and len(set(looks)) == 1 and len(rides(server)) == RIDES

        until(settled, 30, "Jaeger has every trace")
        kubectl.apply(data_source("it-hotrod", "jaeger", server.url))
        yield server, application.log
        kubectl("delete", "datasource", "it-hotrod")


def everything(server: servers.Jaeger) -> list[Any]:
    return ask(server, service="frontend", limit="1500", lookback="1h")


def rides(server: servers.Jaeger) -> set[str]:
    """The traces with a failing span."""
    return {trace["traceID"] for trace in everything(server) if any(map(is_failing, trace["spans"]))}


def is_failing(span: dict[str, Any]) -> bool:
    return any(tag["key"] == "error" and tag["value"] is True for tag in span["tags"])


def test_what_is_stored_is_what_jaeger_returns(
    kubectl: Kubectl, operator: Operator, jaeger: tuple[servers.Jaeger, Path]
) -> None:
    """Every trace of every service is stored, span for span; the summary names the failing service."""
    server, _ = jaeger
    expected = everything(server)
    assert len(expected) >= RIDES + LOOKS
    resource = kubectl.investigate(
        "hotrod", window={"lookback": "30m"}, traces=[{"service": "frontend", "limit": 1500, **SOURCE}]
    )
    assert resource["status"]["phase"] == "Completed", resource["status"]
    document = artifact_of(resource)
    assert in_order(document["data"]) == expected
    summary = document["metadata"]["summary"]
    assert summary.startswith(f"{len(expected)} traces ({RIDES} failing), slowest ")
    assert "failing spans: " in summary and "redis-manual" in summary


@pytest.mark.parametrize("api", ["v1", "v3"])
def test_failing_traces_are_all_there_when_the_limit_bites(
    kubectl: Kubectl, operator: Operator, jaeger: tuple[servers.Jaeger, Path], api: str
) -> None:
    """All failing traces are found, although most traces, and the latest of some services, succeeded."""
    server, _ = jaeger
    kubectl.apply(data_source(f"it-hotrod-{api}", "jaeger", server.url, jaeger={"api": api}))
    traces = [{"service": "frontend", "limit": RIDES + 2, "dataSourceRef": {"name": f"it-hotrod-{api}"}}]
    resource = kubectl.investigate(f"hotrod-limit-{api}", window={"lookback": "30m"}, traces=traces)
    document = artifact_of(resource)
    assert document["metadata"]["limit_reached"] is True
    assert document["metadata"]["kept"]["failing"] == RIDES
    kept = str(document["data"])
    assert all(trace_id in kept for trace_id in rides(server))
    assert len(document["data"]) == RIDES + 2
    kubectl("delete", "datasource", f"it-hotrod-{api}")


def test_the_traces_that_its_log_names(kubectl: Kubectl, operator: Operator, jaeger: tuple[servers.Jaeger, Path]) -> None:
    """Traces of error lines come first: the rides with a Redis timeout."""
    server, log = jaeger
    lines = [line for line in log.read_text().splitlines() if "trace_id" in line]
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hotrod-log"}, "data": {"log": "\n".join(lines)}}
    says = pod("hotrod", "cat /log/log", volumes=[{"name": "log", "configMap": {"name": "hotrod-log"}}])
    says["spec"]["containers"][0]["volumeMounts"] = [{"name": "log", "mountPath": "/log"}]
    kubectl.apply(config, says)
    kubectl.wait("pod/hotrod", "jsonpath={.status.phase}=Succeeded")
    traces = [{"fromLogs": {"limit": RIDES}, **SOURCE}]
    resource = kubectl.investigate("hotrod-logs", targets=[{"pod": "hotrod"}], logs={}, traces=traces)
    found = {trace["traceID"] for trace in artifact_of(resource, 1)["data"]}
    assert found == rides(server)
