"""Logs that a real kubelet rotates while they are written are complete from the node; through the API there is a gap."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.cluster import provider
from tests.cluster.rig import ROOT
from tests.integration.conftest import make_namespace, node_reading_operator
from tests.support.logs import kubectl_logs
from tests.support.operator import Kubectl, Operator, artifact_of, check_session, container, evidence_of, pod, session_of, until

pytestmark = pytest.mark.cluster

ROTATED_LINES = 50_000  # larger than the size from which the API's reader infers a rotation
WRITER = """awk 'BEGIN { for (i = 1; i <= 240000; i++) {
  printf "line %06d of a log that is written faster than its node keeps it: %0165d\\n", i, i
  if (i % 400 == 0) { fflush(); system("usleep 40000") } } }'; sleep 600"""


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    """A cluster that rotates logs early: the rig's own node with such a setting, or kind's, which rotates at 10 MiB."""
    if missing := provider.missing():
        pytest.skip(f"no cluster that rotates logs early: {missing}")
    cluster = provider.start("rotation", log_max_size="1Mi")
    try:
        cluster.run_kubectl("apply", "-f", str(ROOT / "crds"))
        cluster.run_kubectl("wait", "crd/investigations.aletheia.dev", "--for=condition=Established", "--timeout=30s")
        yield make_namespace(cluster, "it-rotation")
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def operator(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with node_reading_operator(kubectl, tmp_path_factory.mktemp("rotation")) as operator:
        yield operator


def numbers(resource: Any) -> list[int]:
    return [int(entry["line"].split()[1]) for entry in artifact_of(resource)["data"]]


def test_a_log_that_is_rotated(kubectl: Kubectl, operator: Operator) -> None:
    """The node's files give every line once; the API gives the last lines, and a gap."""
    kubectl.apply(pod("writer", WRITER))
    kubectl.wait("pod/writer", "condition=Ready")

    def rotated() -> bool:
        head = kubectl_logs(kubectl, "writer", "--limit-bytes=64").split()
        return len(head) > 2 and int(head[2]) > ROTATED_LINES

    until(rotated, 60, "the node has put the beginning aside")
    api = kubectl.investigate("api", window={"lookback": "30m"}, targets=[{"pod": "writer"}], logs={"via": "api"})
    node = kubectl.investigate("node", window={"lookback": "30m"}, targets=[{"pod": "writer"}], logs={"via": "node"})
    assert node["status"]["phase"] == "Completed", node["status"]["gaps"]
    found = numbers(node)
    assert found == list(range(1, len(found) + 1))
    assert len(found) > ROTATED_LINES
    assert [(gap["target"], gap["reason"]) for gap in api["status"]["gaps"]] == [
        ("pod/writer container/app (run 0)", "LogRotated")
    ]
    assert not evidence_of(api) or numbers(api)[0] > ROTATED_LINES, "just after a rotation there may be nothing at all"
    for resource in (node, api):
        check_session(session_of(resource))


def silent_since_the_rotation(kubectl: Kubectl) -> str:
    """Return the name of a pod that wrote 30,000 lines before the node put its log aside.

    If the node does that while a pod writes, the rest is too small to be put aside, and another pod writes.
    """
    script = """awk 'BEGIN { for (i = 1; i <= 30000; i++) printf "line %06d %090d\\n", i, i }'; touch /tmp/written; sleep 600"""
    written = {"exec": {"command": ["test", "-e", "/tmp/written"]}, "periodSeconds": 1}
    for name in ("burst-1", "burst-2", "burst-3", "burst-4", "burst-5"):
        kubectl.apply(pod(name, script, containers=[container("app", script) | {"readinessProbe": written}]))
        kubectl.wait(f"pod/{name}", "condition=Ready")
        until(partial(is_put_aside, kubectl, name), 30, "the node has put the log aside")
        if not kubectl_logs(kubectl, name, "--limit-bytes=64"):
            return name
    raise AssertionError("the node puts no log aside but while it is written")


def is_put_aside(kubectl: Kubectl, name: str) -> bool:
    return not kubectl_logs(kubectl, name, "--limit-bytes=64").partition(b" ")[2].startswith(b"line 000001")


def test_a_log_that_is_rotated_after_its_last_line(kubectl: Kubectl, operator: Operator) -> None:
    """The API shows an empty log, which is a note; the node's files give every line."""
    name = silent_since_the_rotation(kubectl)
    api = kubectl.investigate("burst-api", window={"lookback": "30m"}, targets=[{"pod": name}], logs={"via": "api"})
    node = kubectl.investigate("burst-node", window={"lookback": "30m"}, targets=[{"pod": name}], logs={"via": "node"})
    assert [(gap["target"], gap["reason"], gap["severity"]) for gap in api["status"]["gaps"]] == [
        (f"pod/{name} container/app (run 0)", "LogRotated", "note")
    ]
    assert api["status"]["phase"] == "Completed"
    assert evidence_of(node)[0]["count"] == 30_000
    assert not node["status"].get("gaps")
