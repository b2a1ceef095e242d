"""Logs on disk have the same lines as `kubectl logs`, byte for byte."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.logs import STRANGE, as_kubectl_prints, kubectl_logs
from tests.support.operator import Kubectl, Operator, artifact_of, check_session, container, evidence_of, pod, session_of, until

pytestmark = pytest.mark.cluster


def test_strange_lines_are_kept_byte_for_byte(kubectl: Kubectl, operator: Operator) -> None:
    """Unicode, empty lines, a line of 1 MiB, JSON, control characters and invalid UTF-8 equal what kubectl prints."""
    kubectl.apply(pod("strange", STRANGE))
    kubectl.wait("pod/strange", "jsonpath={.status.phase}=Succeeded")
    resource = kubectl.investigate("strange", window={"lookback": "1h"}, targets=[{"pod": "strange"}], logs={})
    assert resource["status"]["phase"] == "Completed", resource["status"]
    document = artifact_of(resource)
    assert as_kubectl_prints(document["data"]) == kubectl_logs(kubectl, "strange")
    assert max(len(entry["line"]) for entry in document["data"]) == 1048576
    assert any("line_base64" in entry for entry in document["data"])
    assert any(entry["line"] == "" for entry in document["data"])


def test_a_window_is_cut_to_the_nanosecond(kubectl: Kubectl, operator: Operator) -> None:
    """Of a pod that continues to write, exactly the lines within the window are captured."""
    kubectl.apply(pod("ticking", "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo tick $i; usleep 2000; done; sleep 600"))
    kubectl.wait("pod/ticking", "condition=Ready")
    until(lambda: kubectl_logs(kubectl, "ticking").count(b"\n") > 1500, 60, "the pod has written for some seconds")
    first = kubectl.investigate("ticking-first", window={"lookback": "1h"}, targets=[{"pod": "ticking"}], logs={})
    middle = artifact_of(first)["data"][100]["timestamp"]
    again = kubectl.investigate(
        "ticking-again",
        window={"start": middle[:23] + "Z", "end": first["status"]["window"][1]},
        targets=[{"pod": "ticking"}],
        logs={},
    )
    printed = kubectl_logs(kubectl, "ticking").splitlines(keepends=True)
    for resource in (first, again):
        start, end = (text[:-1].ljust(20, ".").encode() for text in resource["status"]["window"])
        start, end = start.ljust(29, b"0"), end.ljust(29, b"9")  # all of the last microsecond belongs to the window
        inside = b"".join(line for line in printed if start <= line[:29] <= end)
        assert as_kubectl_prints(artifact_of(resource)["data"]) == inside
    assert 0 < evidence_of(again)[0]["count"] < evidence_of(first)[0]["count"]


def test_containers_of_a_pod_are_merged_in_time_order(kubectl: Kubectl, operator: Operator) -> None:
    """Init and regular containers are in one artifact, in order of time, each container's lines as kubectl prints them."""
    script = "i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo line $i; done"
    kubectl.apply(
        pod(
            "several",
            script,
            initContainers=[container("prepare", "echo prepared")],
            containers=[container(name, script) for name in ("one", "two", "three")],
        )
    )
    kubectl.wait("pod/several", "jsonpath={.status.phase}=Succeeded")
    resource = kubectl.investigate("several", window={"lookback": "1h"}, targets=[{"pod": "several"}], logs={})
    entries = artifact_of(resource)["data"]
    stamps = [entry["timestamp"] for entry in entries]
    assert stamps == sorted(stamps)
    for name in ("prepare", "one", "two", "three"):
        mine = [entry for entry in entries if entry["container"] == name]
        assert as_kubectl_prints(mine) == kubectl_logs(kubectl, "several", "-c", name)
    only = kubectl.investigate(
        "only-two", window={"lookback": "1h"}, targets=[{"pod": "several", "containers": ["two"]}], logs={}
    )
    assert {entry["container"] for entry in artifact_of(only)["data"]} == {"two"}


def test_the_run_before_the_last_restart_is_there(kubectl: Kubectl, operator: Operator) -> None:
    """A container that restarted has both runs: the previous one equals `kubectl logs --previous`."""
    script = "if [ -e /shared/seen ]; then echo second run; sleep 600; else touch /shared/seen; echo first run; exit 1; fi"
    app = container("app", script) | {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    kubectl.apply(pod("restarted", "", restartPolicy="Always", containers=[app], volumes=[{"name": "shared", "emptyDir": {}}]))
    kubectl.wait("pod/restarted", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    kubectl.wait("pod/restarted", "condition=Ready")
    until(lambda: b"second run" in kubectl_logs(kubectl, "restarted"), 30, "the second run has spoken")
    resource = kubectl.investigate("restarted", window={"lookback": "1h"}, targets=[{"pod": "restarted"}], logs={})
    entries = artifact_of(resource)["data"]
    previous = [entry for entry in entries if entry.get("previous")]
    assert as_kubectl_prints(previous) == kubectl_logs(kubectl, "restarted", "--previous")
    assert [entry["line"] for entry in entries] == ["first run", "second run"]


PODS_OF = {"Deployment": 2, "StatefulSet": 2, "DaemonSet": 1, "ReplicaSet": 2, "Job": 1, "CronJob": 1}


def workload(kind: str) -> dict[str, Any]:
    """A workload of this kind with pods that print their name and keep running."""
    name = f"of-{kind.lower()}"
    labels = {"app": name}
    metadata = {"name": name}
    script = f"echo {kind}; sleep 600"
    if kind in ("Job", "CronJob"):
        job = {"template": {"metadata": {"labels": labels}, "spec": pod("", script)["spec"]}}
        cron = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}
        return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": job if kind == "Job" else cron}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod("", script, restartPolicy="Always")["spec"]},
    }
    if kind == "StatefulSet":
        spec |= {"serviceName": name, "podManagementPolicy": "Parallel"}
    if kind != "DaemonSet":
        spec["replicas"] = PODS_OF[kind]
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def test_workloads_are_followed_through_owner_references(own_namespace: Kubectl, root: Path) -> None:
    """The pods of each kind of workload are found, but no other pod with the same labels."""
    kubectl = own_namespace
    kubectl.apply(*(workload(kind) for kind in PODS_OF))
    kubectl("create", "job", "of-cronjob-run", "--from=cronjob/of-cronjob")
    kubectl("create", "configmap", "other-owner")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other-owner", "controller": True}
    owner["uid"] = kubectl.get("configmap", "other-owner")["metadata"]["uid"]
    impostor = pod("impostor", "echo impostor; sleep 600", labels={"app": "of-deployment"})
    impostor["metadata"]["ownerReferences"] = [owner]  # without an owner the ReplicaSet would adopt it
    kubectl.apply(impostor)
    expected = sum(PODS_OF.values()) + 1
    until(lambda: len(kubectl.get("pods")["items"]) == expected, 60, f"{expected} pods")
    kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    operator = Operator(kubectl.cluster, root, [kubectl.namespace]).start()
    try:
        for kind, number in PODS_OF.items():
            target = {"workload": {"kind": kind, "name": f"of-{kind.lower()}"}}
            resource = kubectl.investigate(f"of-{kind.lower()}", window={"lookback": "1h"}, targets=[target], logs={})
            assert resource["status"]["phase"] == "Completed", resource["status"]
            assert len(evidence_of(resource)) == number
            for artifact in range(number):
                assert [entry["line"] for entry in artifact_of(resource, artifact)["data"]] == [kind]
            check_session(session_of(resource))
        expression = {"key": "app", "operator": "In", "values": ["of-deployment", "of-job"]}
        targets = [{"selector": {"matchLabels": {"app": "of-deployment"}}}, {"selector": {"matchExpressions": [expression]}}]
        both = kubectl.investigate("by-labels", window={"lookback": "1h"}, targets=targets, logs={})
        assert len(evidence_of(both)) == 4, "two of the Deployment, the impostor, one of the Job, each once"
    finally:
        operator.stop()
