"""A second node is cut off, dies and comes back: no line is lost silently, and a standby takes over from a leader on it.

The tests build on each other, because each boot of a node takes seconds.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cluster.provider import Cluster, Node, Worker
from tests.integration.conftest import kubectl_in, operator_of, running_operator
from tests.support.http import OVER, serving
from tests.support.kubelet import address_towards
from tests.support.logs import verification
from tests.support.operator import (
    Kubectl,
    Operator,
    check_session,
    data_source,
    evidence_of,
    investigation,
    pod,
    read_document,
    session_of,
    until,
)

pytestmark = pytest.mark.cluster

LEASE, LEASE_SECONDS = "flight", 8
HANDOVER_SECONDS, TAKEOVER_SECONDS = 15, 60
LINES = [f"line {number}" for number in range(1, 201)]
SCRIPT = "for i in $(seq 200); do echo line $i; done; sleep 3600"
TARGETS = [{"pod": "near"}, {"pod": "far"}]

kubectl = kubectl_in("it-nodes")


@operator_of
@contextmanager
def operator(kubectl: Kubectl, directory: Path) -> Iterator[Operator]:
    """An operator on the first node, which leads and may read log files from nodes."""
    election = f"--operator-namespace={kubectl.namespace}", f"--lease={LEASE}", f"--lease-seconds={LEASE_SECONDS}"
    with running_operator(kubectl, directory, "--node-logs", *verification(kubectl, directory), *election) as operator:
        yield operator


@pytest.fixture(scope="module")
def worker(cluster: Cluster) -> Iterator[Worker]:
    """Another node of the cluster, until the module ends."""
    if not isinstance(cluster, Node):
        pytest.skip(f"no node joins a cluster of {cluster.provider}")
    worker = cluster.join("other")
    yield worker
    worker.leave()


@pytest.fixture(scope="module")
def pods(kubectl: Kubectl, worker: Worker) -> None:
    """A pod on each node, which has written LINES: `near` on the first, `far` on the other."""
    nodes = {"near": f"aletheia-{worker.cluster}", "far": worker.node}
    kubectl.apply(*(pod(name, SCRIPT, restartPolicy="Always", nodeName=node) for name, node in nodes.items()))
    for name in nodes:
        kubectl.wait(f"pod/{name}", "condition=Ready")
        until_written(kubectl, name)


def until_written(kubectl: Kubectl, name: str) -> None:
    until(lambda: LINES[-1] in kubectl("logs", name), 30, f"{name} has written")


def lines_of(resource: Any) -> dict[str, list[tuple[int, str]]]:
    """Return run and text of each captured line by the artifact's target. The session is verified."""
    check_session(session_of(resource))
    found = {}
    for artifact in evidence_of(resource):
        if artifact["path"].startswith("data/logs/"):
            entries = read_document(resource, artifact["path"])["data"]
            found[artifact["target"]] = [(entry["run"], entry["line"]) for entry in entries]
    return found


def check_gap(resource: Any, worker: Worker) -> None:
    """Check that the log of `near` is whole, and that a gap names pod, container, run and node of `far`."""
    assert lines_of(resource)["pod/near"] == whole()
    gaps = {gap["target"]: gap for gap in resource["status"]["gaps"]}
    gap = gaps["pod/far container/app (run 0)"]
    assert gap["reason"] == "LogIncomplete"
    assert worker.node in gap["message"]


def whole(run: int = 0) -> list[tuple[int, str]]:
    return [(run, line) for line in LINES]


@pytest.mark.parametrize("via", ["api", "node"])
def test_pods_on_two_nodes(kubectl: Kubectl, operator: Operator, pods: None, worker: Worker, via: str) -> None:
    """Both logs are whole, and the events of the second node are there."""
    logs = {"via": via}
    resource = kubectl.investigate(
        f"both-{via}", window={"lookback": "15m"}, targets=TARGETS, logs=logs, events={"nodes": True}
    )
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert lines_of(resource) == {"pod/near": whole(), "pod/far": whole()}
    (events,) = [one for one in evidence_of(resource) if one["path"].startswith("data/events/")]
    subjects = {entry["object"]["name"] for entry in read_document(resource, events["path"])["data"]}
    assert worker.node in subjects


def test_a_node_that_is_cut_off(kubectl: Kubectl, operator: Operator, pods: None, worker: Worker) -> None:
    """The other node's log is whole, and a gap names the pod and the container. Afterwards the rest is there as well."""
    worker.cut()
    try:
        resource = kubectl.investigate("cut-off", timeout="5s", targets=TARGETS, logs={"via": "api"})
    finally:
        worker.mend()
    assert resource["status"]["phase"] == "TimedOut", resource["status"]
    check_gap(resource, worker)
    resource = kubectl.investigate("mended", targets=TARGETS, logs={})
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert lines_of(resource) == {"pod/near": whole(), "pod/far": whole()}


def test_the_leaders_node_dies(kubectl: Kubectl, operator: Operator, pods: None, worker: Worker) -> None:
    """An operator that is stopped hands over at once. When the next leader's node dies, the first one resumes its capture.

    What the dead leader had captured of the pods is kept, also that of the pod on its node.
    """
    first = address_towards(kubectl.cluster)

    async def hanging_for_the_worker(request: web.Request) -> web.Response:
        if request.remote != first:
            await request.app[OVER].wait()
        return web.json_response({"data": ["shop"] if request.path.endswith("/services") else []})

    def leader() -> str:
        return str(kubectl.get("lease", LEASE)["spec"].get("holderIdentity") or "").partition("_")[0]

    other = Operator(kubectl.cluster, operator.root, operator.namespaces, operator.options, wrapper=worker.inside)
    with serving(host=first) as serve:
        kubectl.apply(data_source("it-nodes-hanging", "jaeger", serve(hanging_for_the_worker)))
        traces = [{"service": "shop", "dataSourceRef": {"name": "it-nodes-hanging"}}]
        other.start(wait=False)
        try:
            until(lambda: f"as {worker.node}_" in operator.log_path.read_text(), 20, "it is on standby")
            operator.stop()
            until(lambda: leader() == worker.node, HANDOVER_SECONDS, "the standby on the worker leads")
            operator.start()
            kubectl.apply(investigation("taken-over", targets=TARGETS, logs={"via": "api"}, traces=traces))
            kubectl.wait("investigation/taken-over", "jsonpath={.status.progress.done}=2")
            worker.kill()
            until(lambda: leader() == socket.gethostname(), TAKEOVER_SECONDS, "the standby on the first node leads")
            resource = kubectl.ended("taken-over")
        finally:
            other.kill()
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert lines_of(resource) == {"pod/near": whole(), "pod/far": whole()}
    assert len(list((operator.root / "sessions").glob("INC-*"))) == len(kubectl.get("investigations")["items"])


def test_a_dead_node_comes_back(kubectl: Kubectl, operator: Operator, worker: Worker) -> None:
    """While it is dead, a gap names the pod and the container. Then both runs of its container are captured."""
    resource = kubectl.investigate("dead", timeout="5s", targets=TARGETS, logs={"via": "api"})
    check_gap(resource, worker)
    worker.boot()
    kubectl.wait("pod/far", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    until_written(kubectl, "far")
    resource = kubectl.investigate("back", window={"lookback": "15m"}, targets=TARGETS, logs={})
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert lines_of(resource) == {"pod/near": whole(), "pod/far": whole(0) + whole(1)}
