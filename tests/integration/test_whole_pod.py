"""Logs of each kind of container and its previous run, and of pods that fail."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.provider import Cluster
from tests.integration.conftest import namespace, node_reading_operator
from tests.support.logs import as_kubectl_prints, kubectl_logs
from tests.support.operator import (
    TIMELINE,
    Kubectl,
    Operator,
    artifact_of,
    check_session,
    container,
    pod,
    read_document,
    session_of,
    until,
)

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def kubectl(prepared: Cluster) -> Iterator[Kubectl]:
    with namespace(prepared, "it-whole-pod") as kubectl:
        app = container("app", "echo filling; head -c 4194304 /dev/zero > /scratch/fill; sleep 600")
        app["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
        scratch = {"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}
        kubectl.apply(pod("evicted", "", containers=[app], volumes=[scratch]))  # first: an eviction takes a minute
        yield kubectl


@pytest.fixture(scope="module")
def operator(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with node_reading_operator(kubectl, tmp_path_factory.mktemp("whole-pod")) as operator:
        yield operator


def twice(name: str, end: str) -> dict[str, Any]:
    """Return a container that fails in its first run and ends the second run with the command `end`."""
    seen = f"/shared/{name}"
    script = f"if [ -e {seen} ]; then echo second run of {name}; {end}; else touch {seen}; echo first run of {name}; exit 1; fi"
    return container(name, script) | {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}


@pytest.fixture(scope="module")
def crowd(kubectl: Kubectl) -> str:
    """A pod with an init container, a sidecar and a regular container that have restarted, and an ephemeral container."""
    until(lambda: restarted_crowd(kubectl), 120, "the kubelet keeps the first run of each container")
    debugger = container("debugger", "echo looking around; sleep 600") | {"targetContainerName": "app"}
    patch = {"spec": {"ephemeralContainers": [debugger]}}
    kubectl("patch", "pod", "crowd", "--subresource=ephemeralcontainers", "-p", json.dumps(patch))
    kubectl.wait("pod/crowd", "jsonpath={.status.ephemeralContainerStatuses[0].state.running}")
    until(lambda: kubectl_logs(kubectl, "crowd", "-c", "debugger"), 30, "the ephemeral container has spoken")
    return "crowd"


def restarted_crowd(kubectl: Kubectl) -> bool:
    """Make the pod `crowd`. Returns False, without a pod, if the kubelet removed a first run.

    The kubelet does that if it collects dead containers while the second run is created but not started: that run counts as
    dead.
    """
    init = [twice("prepare", "exit 0"), twice("sidecar", "sleep 600") | {"restartPolicy": "Always"}]
    volumes = [{"name": "shared", "emptyDir": {}}]
    kubectl.apply(
        pod("crowd", "", restartPolicy="Always", initContainers=init, containers=[twice("app", "sleep 600")], volumes=volumes)
    )
    kubectl.wait("pod/crowd", "condition=Ready", 120)
    try:
        return all(kubectl_logs(kubectl, "crowd", "-c", name, "--previous") for name in ("sidecar", "app"))
    except subprocess.CalledProcessError:
        kubectl("delete", "pod", "crowd", "--now")
        return False


@pytest.mark.parametrize("via", ["api", "node"])
def test_every_container_and_its_previous_run(kubectl: Kubectl, operator: Operator, crowd: str, via: str) -> None:
    """Each run equals `kubectl logs`, with and without --previous, and all lines are in order of time.

    An init container's first run is a gap: the kubelet removes its file before the second run.
    """
    window: dict[str, Any] = {"lookback": "30m"}
    resource = kubectl.investigate(f"crowd-{via}", window=window, targets=[{"pod": crowd}], logs={"via": via})
    entries = artifact_of(resource)["data"]
    for name, previous in (("prepare", False), ("sidecar", True), ("sidecar", False), ("app", True), ("app", False)):
        mine = [entry for entry in entries if entry["container"] == name and bool(entry.get("previous")) is previous]
        flags = ["--previous"] if previous else []
        assert as_kubectl_prints(mine) == kubectl_logs(kubectl, crowd, "-c", name, *flags)
        assert [entry["line"] for entry in mine] == [f"{'first' if previous else 'second'} run of {name}"]
    run = "run 0, previous" if via == "api" else "run 0"
    assert gaps_of(resource) == [(f"pod/crowd container/prepare ({run})", "LogUnavailable")]
    assert [entry["line"] for entry in entries if entry["container"] == "debugger"] == ["looking around"]
    stamps = [entry["timestamp"] for entry in entries]
    assert stamps == sorted(stamps)
    window = dict(zip(("start", "end"), resource["status"]["window"], strict=True))
    again = kubectl.investigate(f"crowd-{via}-again", window=window, targets=[{"pod": crowd}], logs={"via": via})
    assert artifact_of(again)["data"] == entries, "the order is the same each time"


@pytest.mark.parametrize(
    ("name", "logs", "containers"),
    [
        ("no-init", {"initContainers": False}, {"app", "debugger"}),
        ("no-ephemeral", {"ephemeralContainers": False}, {"app", "prepare", "sidecar"}),
        ("running", {"containerStates": ["running"]}, {"app", "debugger", "sidecar"}),
        ("by-name", {"container": "^(side|deb)", "excludeContainer": ["bugger$"]}, {"sidecar"}),
    ],
)
def test_kinds_of_containers_can_be_left_out(
    kubectl: Kubectl, operator: Operator, crowd: str, name: str, logs: dict[str, Any], containers: set[str]
) -> None:
    """The options exclude the same containers as stern's flags."""
    resource = kubectl.investigate(f"crowd-{name}", window={"lookback": "30m"}, targets=[{"pod": crowd}], logs=logs)
    assert {entry["container"] for entry in artifact_of(resource)["data"]} == containers


def gaps_of(resource: Any) -> list[tuple[str, str]]:
    return [(gap["target"], gap["reason"]) for gap in resource["status"].get("gaps", [])]


def test_a_pending_pod(kubectl: Kubectl, operator: Operator) -> None:
    """Each container of a pod that no node accepts is a gap with the scheduler's reason."""
    kubectl.apply(pod("pending", "", nodeSelector={"nowhere": "yes"}, containers=[container("a", ""), container("b", "")]))
    kubectl.wait("pod/pending", "condition=PodScheduled=False")
    resource = kubectl.investigate("pending", window={"lookback": "30m"}, targets=[{"pod": "pending"}], logs={})
    assert gaps_of(resource) == [(f"pod/pending container/{name}", "ContainerNotStarted") for name in "ab"]
    assert "Pending" in resource["status"]["gaps"][0]["message"]


def test_a_container_whose_init_container_failed(kubectl: Kubectl, operator: Operator) -> None:
    """The log of the failed container is captured; the container that never started is a gap."""
    kubectl.apply(pod("initialising", "echo never", initContainers=[container("failing", "echo cannot migrate; exit 1")]))
    kubectl.wait("pod/initialising", "jsonpath={.status.phase}=Failed")
    resource = kubectl.investigate("initialising", window={"lookback": "30m"}, targets=[{"pod": "initialising"}], logs={})
    assert gaps_of(resource) == [("pod/initialising container/app", "ContainerNotStarted")]
    assert "PodInitializing" in resource["status"]["gaps"][0]["message"]
    assert [entry["line"] for entry in artifact_of(resource)["data"]] == ["cannot migrate"]


def test_a_crashed_pod(kubectl: Kubectl, operator: Operator) -> None:
    """A pod that failed, and is not restarted, has its log."""
    kubectl.apply(pod("crashed", "echo last words; exit 7"))
    kubectl.wait("pod/crashed", "jsonpath={.status.phase}=Failed")
    resource = kubectl.investigate("crashed", window={"lookback": "30m"}, targets=[{"pod": "crashed"}])
    assert resource["status"]["phase"] == "Completed", resource["status"]
    document = read_document(resource, next(a["path"] for a in resource["status"]["artifacts"] if "/logs/" in a["path"]))
    assert [entry["line"] for entry in document["data"]] == ["last words"]
    exits = [entry for entry in read_document(resource, TIMELINE)["data"] if entry["kind"] == "ContainerExit"]
    assert [entry["message"] for entry in exits] == ["exit code 7 (Error)"]


@pytest.mark.parametrize("via", ["api", "node"])
def test_a_previous_run_whose_log_is_gone(kubectl: Kubectl, operator: Operator, via: str) -> None:
    """If the node has lost the file of the previous run, that is a gap, and the current run is captured."""
    name = f"forgotten-{via}"
    app, volumes = twice("app", "sleep 600"), [{"name": "shared", "emptyDir": {}}]
    kubectl.apply(pod(name, "", restartPolicy="Always", containers=[app], volumes=volumes))
    kubectl.wait(f"pod/{name}", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    kubectl.wait(f"pod/{name}", "condition=Ready")
    uid = kubectl.get("pod", name)["metadata"]["uid"]
    hands = container("hands", f"rm /pods/{kubectl.namespace}_{name}_{uid}/app/0.log")
    hands["volumeMounts"] = [{"name": "pods", "mountPath": "/pods"}]
    kubectl.apply(
        pod(f"{name}-hands", "", containers=[hands], volumes=[{"name": "pods", "hostPath": {"path": "/var/log/pods"}}])
    )
    kubectl.wait(f"pod/{name}-hands", "jsonpath={.status.phase}=Succeeded")
    resource = kubectl.investigate(name, window={"lookback": "30m"}, targets=[{"pod": name}], logs={"via": via})
    run = "run 0, previous" if via == "api" else "run 0"
    assert gaps_of(resource) == [(f"pod/{name} container/app ({run})", "LogUnavailable")]
    assert "second run of app" in [entry["line"] for entry in artifact_of(resource)["data"]]


def test_an_evicted_pod(kubectl: Kubectl, operator: Operator) -> None:
    """A pod that the kubelet evicts: its reason is captured; its log, which the node no longer has, is a gap."""
    kubectl.wait("pod/evicted", "jsonpath={.status.reason}=Evicted", 120)

    def removed() -> bool:
        try:
            return b"unable to retrieve" in kubectl_logs(kubectl, "evicted")
        except subprocess.CalledProcessError as e:  # a kubelet that no longer knows the container refuses instead
            return b"is terminated" in e.stderr

    until(removed, 60, "the kubelet has removed the container")
    resource = kubectl.investigate("evicted", window={"lookback": "30m"}, targets=[{"pod": "evicted"}])
    check_session(session_of(resource))
    gaps = gaps_of(resource)
    assert gaps, "the log is gone"
    assert all(target.startswith("pod/evicted") for target, _ in gaps), gaps
    assert {reason for _, reason in gaps} <= {"LogUnavailable", "Rejected"}, gaps
    evictions = [entry for entry in read_document(resource, TIMELINE)["data"] if entry["kind"] == "Eviction"]
    assert evictions
    assert "exceeds the limit" in evictions[0]["message"]
