"""Logs from the node's files have the same entries as through the API, and more runs."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import kubectl_in, namespace, node_reading_operator, operator_of, running_operator
from tests.support.logs import STRANGE
from tests.support.operator import Kubectl, Operator, artifact_of, check_session, container, pod, session_of, until

pytestmark = pytest.mark.cluster


kubectl = kubectl_in("it-node-logs")
operator = operator_of(node_reading_operator)


def both_ways(kubectl: Kubectl, name: str, target: str, **spec: Any) -> tuple[Any, Any]:
    """Return the documents through the API and from the node, for the same window."""
    first = kubectl.investigate(
        f"{name}-api", window={"lookback": "1h"}, targets=[{"pod": target}], logs={"via": "api"}, **spec
    )
    window = dict(zip(("start", "end"), first["status"]["window"], strict=True))
    second = kubectl.investigate(f"{name}-node", window=window, targets=[{"pod": target}], logs={"via": "node"}, **spec)
    documents = []
    for resource, via in ((first, "api"), (second, "node")):
        assert resource["status"]["phase"] == "Completed", resource["status"]
        check_session(session_of(resource))
        documents.append(artifact_of(resource))
        assert set(documents[-1]["metadata"]["via"].values()) == {via}
    return documents[0], documents[1]


def without_stream(entries: list[Any]) -> list[Any]:
    """Return the entries as the API gives them: it does not distinguish stdout from stderr."""
    return [{key: value for key, value in entry.items() if key != "stream"} for entry in entries]


def test_both_ways_give_the_same_entries(kubectl: Kubectl, operator: Operator) -> None:
    """Strange lines, joined parts of lines of 1 MiB, several containers and a previous run give equal entries."""
    again = "if [ -e /shared/seen ]; then echo second run; sleep 600; else touch /shared/seen; echo first run; exit 1; fi"
    app = container("app", again) | {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    loud = container("loud", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done; sleep 600")
    kubectl.apply(
        pod("strange", STRANGE),
        pod("restarted", "", restartPolicy="Always", containers=[app, loud], volumes=[{"name": "shared", "emptyDir": {}}]),
    )
    kubectl.wait("pod/strange", "jsonpath={.status.phase}=Succeeded")
    kubectl.wait("pod/restarted", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    kubectl.wait("pod/restarted", "condition=Ready")
    for name in ("strange", "restarted"):
        api, node = both_ways(kubectl, name, name)
        assert without_stream(node["data"]) == api["data"]
        assert all(entry["stream"] in ("stdout", "stderr") for entry in node["data"])
        assert len(api["data"]) > 10


def test_a_window_is_found_in_a_large_file(kubectl: Kubectl, operator: Operator) -> None:
    """A window within a file that is large enough to be bisected gives equal entries both ways."""
    script = "s=$(head -c 900 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 12000 ]; do i=$((i+1)); echo $i $s; done"
    kubectl.apply(pod("large", script))
    kubectl.wait("pod/large", "jsonpath={.status.phase}=Succeeded")
    whole = kubectl.investigate("large-whole", window={"lookback": "1h"}, targets=[{"pod": "large"}], logs={"via": "node"})
    entries = artifact_of(whole)["data"]
    start, end = entries[len(entries) // 2]["timestamp"][:26] + "Z", whole["status"]["window"][1]
    documents = []
    for via in ("api", "node"):
        spec = {"window": {"start": start, "end": end}, "targets": [{"pod": "large"}], "logs": {"via": via}}
        documents.append(artifact_of(kubectl.investigate(f"large-{via}", **spec)))
    assert documents[1]["metadata"]["via"] == {"container/app (run 0)": "node"}
    assert documents[0]["data"] == without_stream(documents[1]["data"])
    assert documents[1]["data"] == [entry for entry in entries if entry["timestamp"] >= start[:-1]]


ROTATE = """
cd /pods/$1/app
head -n 10 0.log | gzip > 0.log.20260101-000000.gz
head -n 20 0.log | tail -n 10 > 0.log.20260101-001000
tail -n 10 0.log > rest && cat rest > 0.log && rm rest
"""


def test_rotated_files_are_read_too(kubectl: Kubectl, operator: Operator) -> None:
    """A compressed and a plain rotated file come before the current one; the API has only the current one."""
    kubectl.apply(pod("rotated", "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done"))
    kubectl.wait("pod/rotated", "jsonpath={.status.phase}=Succeeded")
    uid = kubectl.get("pod", "rotated")["metadata"]["uid"]
    hands = container("hands", f"set -- {kubectl.namespace}_rotated_{uid}\n{ROTATE}")
    hands["volumeMounts"] = [{"name": "pods", "mountPath": "/pods"}]
    volumes = [{"name": "pods", "hostPath": {"path": "/var/log/pods"}}]
    kubectl.apply(pod("hands", "", containers=[hands], volumes=volumes))
    kubectl.wait("pod/hands", "jsonpath={.status.phase}=Succeeded")
    api, node = both_ways(kubectl, "rotated", "rotated")
    assert [entry["line"] for entry in node["data"]] == [f"line {number}" for number in range(1, 31)]
    assert api["data"] == without_stream(node["data"][20:])


def test_without_the_right_to_a_pods_log_nothing_is_read_from_its_node(kubectl: Kubectl, operator: Operator) -> None:
    """A ServiceAccount that may list pods but not read logs gets no log from the node either."""
    kubectl.apply(pod("secret", "echo not for everyone; sleep 600"))
    kubectl.wait("pod/secret", "condition=Ready")
    kubectl("create", "serviceaccount", "lister")
    kubectl("create", "role", "lister", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "lister", "--role=lister", f"--serviceaccount={kubectl.namespace}:lister")
    until(lambda: kubectl.may("lister", "list", "pods"), 30, "the API server knows the right")
    resource = kubectl.investigate("back-door", serviceAccountName="lister", targets=[{"pod": "secret"}], logs={"via": "node"})
    assert resource["status"]["phase"] == "Failed"
    assert [gap["reason"] for gap in resource["status"]["gaps"]] == ["NodeLogsUnavailable", "Forbidden"]
    assert "pods/log" in resource["status"]["gaps"][1]["message"]


def test_a_node_that_does_not_serve_files_is_not_noticed(kubectl: Kubectl, tmp_path: Path) -> None:
    """With a certificate that cannot be verified, `via: auto` uses the API, without a gap, loss or duplicates."""
    stranger = tmp_path / "ca.crt"
    stranger.write_text(ssl.get_server_certificate(api_server(kubectl)))
    options = ["--node-logs", f"--kubelet-certificate-authority={stranger}"]
    with namespace(kubectl.cluster, "it-node-logs-no-ca") as other, running_operator(other, tmp_path, *options):
        other.apply(pod("speaker", "echo one; echo two"))
        other.wait("pod/speaker", "jsonpath={.status.phase}=Succeeded")
        resource = other.investigate("quiet", window={"lookback": "1h"}, targets=[{"pod": "speaker"}])
        document = artifact_of(resource)
        assert resource["status"]["phase"] == "Completed", resource["status"]
        assert document["metadata"]["via"] == {"container/app (run 0)": "api"}
        assert [entry["line"] for entry in document["data"]] == ["one", "two"]


def api_server(kubectl: Kubectl) -> tuple[str, int]:
    server = yaml.safe_load(kubectl.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    host, _, port = server.removeprefix("https://").partition(":")
    return host, int(port or 443)


@pytest.mark.parametrize("forged", ["x/../{victim}", "../{victim}", "x%2f..%2f{victim}", "*"])
def test_a_forged_mirror_annotation_leads_to_no_file_of_another_pod(kubectl: Kubectl, operator: Operator, forged: str) -> None:
    """A tenant writes a static pod's annotation, of which the directory of its logs is named: no foreign byte is read."""
    kubectl.apply(pod("victim", "echo words of the victim; sleep 600"))
    kubectl.wait("pod/victim", "condition=Ready")
    victim = kubectl.get("pod", "victim")
    directory = f"{kubectl.namespace}_victim_{victim['metadata']['uid']}"
    name = f"forger-{len(forged)}"
    forger = pod(name, "sleep 600", nodeName=victim["spec"]["nodeName"])
    annotations = {"kubernetes.io/config.mirror": forged.format(victim=directory)}
    forger["metadata"] |= {"annotations": annotations, "finalizers": ["aletheia.dev/test"]}  # the kubelet deletes it at once
    kubectl.apply(forger)
    try:
        running = {"name": "app", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
        running |= {
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            "containerID": "containerd://0",
            "started": True,
        }
        status = {"status": {"phase": "Running", "containerStatuses": [running]}}
        kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
        resource = kubectl.investigate(name, window={"lookback": "1h"}, targets=[{"pod": name}], logs={"via": "node"})
    finally:
        kubectl("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    assert resource["status"]["gaps"], "its log is not there"
    session = session_of(resource)
    assert [file for file in session.rglob("*") if file.is_file() and b"words of the victim" in file.read_bytes()] == []
