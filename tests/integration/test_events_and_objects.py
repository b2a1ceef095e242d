"""Events, objects and the timeline of things that really happen to pods."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.provider import Cluster
from tests.integration.conftest import namespace, running_operator
from tests.support.operator import (
    FINDINGS,
    TIMELINE,
    Kubectl,
    check_session,
    container,
    evidence_of,
    next_second,
    pod,
    read_document,
    session_of,
    until,
)

pytestmark = pytest.mark.cluster

BUSYBOX = "docker.io/library/busybox:1.36"
SAME_IMAGE = "library/busybox:1.36"
CANARY = "canary-5f1d9c"


def deployment(name: str, script: str, replicas: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a Deployment with one container `app`; `changes` are fields of the container."""
    labels = {"app": name}
    app = {**container("app", script), **changes}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [app]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def of(name: str) -> dict[str, Any]:
    return {"workload": {"kind": "Deployment", "name": name}}


def documents(resource: Any, category: str) -> list[Any]:
    paths = [artifact["path"] for artifact in resource["status"]["artifacts"]]
    return [read_document(resource, path) for path in paths if path.startswith(f"data/{category}/")]


def timeline(resource: Any) -> list[dict[str, Any]]:
    first = [artifact["path"] for artifact in resource["status"]["artifacts"][:2]]
    assert first == [FINDINGS, TIMELINE], "what a person reads first is listed first"
    entries: list[dict[str, Any]] = read_document(resource, TIMELINE)["data"]
    assert [entry["timestamp"][:19] for entry in entries] == sorted(entry["timestamp"][:19] for entry in entries)
    for entry in entries:
        linked = read_document(resource, entry["artifact"])
        assert "entry" not in entry or linked["data"][entry["entry"]]
    return entries


def kinds(resource: Any) -> set[str]:
    return {entry["kind"] for entry in timeline(resource)}


@pytest.fixture(scope="module")
def place(prepared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A namespace in which things happen, with an operator."""
    with namespace(prepared, "it-happenings") as kubectl, running_operator(kubectl, tmp_path_factory.mktemp("happenings")):
        yield kubectl


def investigate(kubectl: Kubectl, name: str, *targets: Any, **spec: Any) -> Any:
    next_second()
    resource = kubectl.investigate(name, window={"lookback": "15m"}, targets=list(targets), **spec)
    check_session(session_of(resource))
    return resource


def test_a_rollout_and_its_vanished_pods(place: Kubectl) -> None:
    """Rollouts are listed with their images; each pod that the rollout replaced is a gap with its revision."""
    place.apply(deployment("web", "echo started; sleep 3600", 2))
    place("rollout", "status", "deployment/web", "--timeout=60s")
    before = {item["metadata"]["name"] for item in place.get("pods", "-l", "app=web")["items"]}
    place.apply(deployment("web", "echo started; sleep 3600", 2, image=SAME_IMAGE))
    place("rollout", "status", "deployment/web", "--timeout=60s")
    until(lambda: len(place.get("pods", "-l", "app=web")["items"]) == 2, 60, "the old pods are gone")
    resource = investigate(place, "rollout", of("web"))
    status = resource["status"]
    assert status["phase"] == "PartiallyCompleted"
    gaps = {gap["target"]: gap for gap in status["gaps"]}
    assert gaps.keys() == {f"pod/{name}" for name in before}
    for gap in gaps.values():
        assert (gap["fetcher"], gap["reason"]) == ("KubernetesEvents", "PodGone")
        assert f"revision 1 (app {BUSYBOX})" in gap["message"]
        assert "Killing" in gap["message"]
    family = next(document for document in documents(resource, "objects") if document["metadata"].get("name") == "web")
    assert [rollout["revision"] for rollout in family["metadata"]["rollouts"]] == [1, 2]
    assert family["metadata"]["rollouts"][1]["changed"] == [
        {"container": "app", "field": "image", "from": BUSYBOX, "to": SAME_IMAGE}
    ]
    assert {item["kind"] for item in family["data"]} >= {"Deployment", "ReplicaSet", "Pod", "ConfigMap"}
    rolled = [entry["message"] for entry in timeline(resource) if entry["kind"] == "Rollout"]
    assert rolled[-1] == f"revision 2 rolled out: app image {BUSYBOX} → {SAME_IMAGE}"
    assert "Scaling" in kinds(resource)
    events = documents(resource, "events")[0]
    assert {entry["object"]["name"] for entry in events["data"] if entry["object"]["kind"] == "Pod"} >= before
    alone = investigate(place, "rollout-logs", of("web"), logs={})
    assert {gap["target"] for gap in alone["status"]["gaps"]} == gaps.keys(), "also where logs alone are asked for"
    assert not documents(alone, "events")


def test_a_crash_loop(place: Kubectl) -> None:
    """The timeline has restarts, the first error, the burst of errors and the back-off."""
    script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo ERROR cannot reach the ledger $i; done; sleep 2; exit 3"
    place.apply(deployment("crashing", script))
    until(
        lambda: any(
            (status.get("restartCount") or 0) >= 1 and "waiting" in status["state"]
            for item in place.get("pods", "-l", "app=crashing")["items"]
            for status in item["status"].get("containerStatuses", [])
        ),
        60,
        "a restart",
    )
    resource = investigate(place, "crash-loop", of("crashing"))
    assert kinds(resource) >= {"Rollout", "Restart", "FirstError", "ErrorBurst", "CrashLoop"}
    entries = {entry["kind"]: entry for entry in timeline(resource)}
    assert entries["Restart"]["message"].startswith("exit code 3 (Error)")
    assert entries["Restart"]["container"] == entries["FirstError"]["container"] == "app"
    assert "cannot reach the ledger" in entries["FirstError"]["message"]
    linked = read_document(resource, entries["FirstError"]["artifact"])["data"][entries["FirstError"]["entry"]]
    assert linked["level"] == "ERROR"


def test_a_failing_probe_and_an_image_that_is_not_there(place: Kubectl) -> None:
    """Unhealthy probes are one entry with a count; a pod that cannot pull its image says so."""
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    place.apply(
        deployment("unready", "echo started; sleep 3600", readinessProbe=probe),
        deployment("unpulled", "sleep 1", image="localhost/none:0"),
    )

    def failed_again() -> bool:
        events = place.get("events", "--field-selector=reason=Unhealthy")["items"]
        return any(event["firstTimestamp"] < event["lastTimestamp"] for event in events)

    until(failed_again, 60, "the probe failed again")
    failed = ("get", "events", "--field-selector=reason=Failed", "-o", "name")
    until(lambda: place(*failed), 60, "the pull failed")
    resource = investigate(place, "probe-and-image", of("unready"), of("unpulled"), events={}, objects={})
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert kinds(resource) >= {"ProbeFailure", "ImagePull"}
    probes = next(entry for entry in timeline(resource) if entry["kind"] == "ProbeFailure")
    assert probes["count"] > 1
    assert probes["end"] > probes["timestamp"]
    assert probes["container"] == "app"
    entry = next(entry for entry in documents(resource, "events")[0]["data"] if entry["reason"] == "Unhealthy")
    assert entry["raw"][0]["involvedObject"] == entry["object"]
    assert "managedFields" not in entry["raw"][0]["metadata"]
    summary = next(evidence["summary"] for evidence in evidence_of(resource) if evidence["target"] == "deployment/unpulled")
    assert summary.startswith("1 pod (1 not ready)")


def test_scaling_and_eviction(place: Kubectl) -> None:
    """Scaling is reported, and the evicted pod is a gap."""
    place.apply(deployment("scaled", "echo started; sleep 3600"))
    place("rollout", "status", "deployment/scaled", "--timeout=60s")
    place("scale", "deployment/scaled", "--replicas=2")
    place("rollout", "status", "deployment/scaled", "--timeout=60s")
    victim = place.get("pods", "-l", "app=scaled")["items"][0]["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim, "namespace": place.namespace}}
    path = f"/api/v1/namespaces/{place.namespace}/pods/{victim}/eviction"
    place("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
    until(lambda: victim not in place("get", "pods", "-o", "name"), 60, "the pod is evicted")
    place("rollout", "status", "deployment/scaled", "--timeout=60s")
    resource = investigate(place, "scaling", of("scaled"))
    scaled = [entry["message"] for entry in timeline(resource) if entry["kind"] == "Scaling"]
    assert any("from 1 to 2" in message for message in scaled)
    assert [gap["target"] for gap in resource["status"]["gaps"]] == [f"pod/{victim}"]


def test_an_oom_kill(place: Kubectl) -> None:
    """A container that exceeds its memory limit is an OOM kill in the timeline."""
    eater = container("app", "tail /dev/zero") | {"resources": {"limits": {"memory": "16Mi"}}}
    place.apply(pod("eater", "", containers=[eater]))
    place.wait("pod/eater", "jsonpath={.status.phase}=Failed")
    reason = place.get("pod", "eater")["status"]["containerStatuses"][0]["state"]["terminated"]["reason"]
    if reason != "OOMKilled":
        pytest.skip(f"this node cannot limit memory: {reason}")
    resource = investigate(place, "oom", {"pod": "eater"}, objects={})
    assert [entry["object"] for entry in timeline(resource) if entry["kind"] == "OOMKill"] == ["pod/eater"]


def test_a_node_with_trouble(place: Kubectl) -> None:
    """Events of a pod's node within the window are in events and timeline, although they are in another namespace."""
    place.apply(pod("settled", "echo started; sleep 3600"))
    place.wait("pod/settled", "condition=Ready")
    node = place.get("pod", "settled")["spec"]["nodeName"]

    def reported() -> bool:
        selector = f"--field-selector=involvedObject.kind=Node,involvedObject.name={node},reason=NodeNotSchedulable"
        return bool(place.cluster.run_kubectl("-n", "default", "get", "events", selector, "-o", "name"))

    place("cordon", node)
    try:
        until(reported, 60, "the kubelet has said that its node takes no pods")
    finally:
        place("uncordon", node)
    resource = investigate(place, "node", {"pod": "settled"})
    assert resource["status"]["phase"] == "Completed", resource["status"]
    trouble = [entry for entry in timeline(resource) if entry["kind"] == "NodeTrouble"]
    assert f"node/{node}" in {entry["object"] for entry in trouble}
    without = investigate(place, "no-node", {"pod": "settled"}, events={"nodes": False}, objects={"nodes": False})
    assert "NodeTrouble" not in kinds(without)
    assert "Node" not in {item["kind"] for document in documents(without, "objects") for item in document["data"]}


def test_objects_that_belong_to_a_workload(place: Kubectl) -> None:
    """All objects of a workload are in its file, without contents of Secrets and ConfigMaps or literal passwords."""
    app = container("app", "echo started; sleep 3600") | {
        "env": [
            {"name": "DB_PASSWORD", "value": CANARY},
            {"name": "DATABASE_URL", "value": f"postgres://app:{CANARY}@db/shop"},
            {"name": "LOG_LEVEL", "value": "debug"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "credentials", "key": "key"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "absent", "optional": True}}],
    }
    labels = {"app": "whole"}
    selector = {"matchLabels": labels}
    whole = deployment("whole", "echo started; sleep 3600")
    whole["spec"]["template"]["spec"]["containers"] = [app]
    named = {"name": "whole"}
    place.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials"}, "stringData": {"key": CANARY}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"file": CANARY}},
        {"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": {"selector": labels, "ports": [{"port": 80}]}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "other"},
            "spec": {"selector": {"app": "other"}, "ports": [{"port": 80}]},
        },
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": named, "spec": {"selector": selector}},
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}, "spec": {"hard": {"pods": "100"}}},
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": named,
            "spec": {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "whole"}},
        },
        whole,
    )
    try:
        place("rollout", "status", "deployment/whole", "--timeout=60s")
        until(lambda: place("get", "endpointslices", "-l", "kubernetes.io/service-name=whole", "-o", "name"), 30, "a slice")
        resource = investigate(place, "objects", {"selector": selector}, objects={})
    finally:
        place("delete", "resourcequota", "quota")
    assert resource["status"]["phase"] == "Completed", resource["status"]
    family, shared = documents(resource, "objects")
    path = evidence_of(resource)[0]["path"]
    assert path.startswith(f"data/objects/kubernetes_deployment_whole_{place.namespace}_")
    found = [(item["kind"], item["metadata"]["name"]) for item in family["data"]]
    assert [kind for kind, _ in found] == [
        "Deployment", "ReplicaSet", "Pod", "Service", "EndpointSlice", "HorizontalPodAutoscaler", "PodDisruptionBudget",
        "ConfigMap", "ConfigMap", "ConfigMap", "Secret",
    ]  # fmt: skip
    by_name = {item["metadata"]["name"]: item for item in family["data"] if item["kind"] in ("ConfigMap", "Secret")}
    assert by_name["absent"]["exists"] is False
    assert by_name["settings"]["dataSha256"].keys() == {"file"}
    assert by_name["credentials"].keys() == {"apiVersion", "kind", "metadata"}
    assert {item["kind"] for item in shared["data"]} == {"ResourceQuota", "Node"}
    node = next(item for item in shared["data"] if item["kind"] == "Node")
    assert {"Ready", "MemoryPressure"} <= {condition["type"] for condition in node["status"]["conditions"]}
    assert "images" not in node["status"]
    everything = b"".join(file.read_bytes() for file in session_of(resource).rglob("*.json"))
    for absent in (CANARY.encode(), b'managedFields":', b'last-applied-configuration":'):
        assert absent not in everything
    env = {variable["name"]: variable.get("value") for variable in family["data"][2]["spec"]["containers"][0]["env"]}
    token = env["DB_PASSWORD"]
    assert re.fullmatch(r"\[redacted:secret:[0-9a-f]{4}\]", token)
    assert env == {
        "DB_PASSWORD": token,
        "DATABASE_URL": f"postgres://app:{token}@db/shop",  # the same secret
        "LOG_LEVEL": "debug",
        "KEY": None,
    }


def test_forbidden_reads_name_their_rule(place: Kubectl) -> None:
    """If a ServiceAccount may only read pods, each other resource is a gap with the rule to add; the pods are captured."""
    place.apply(
        deployment("guarded", "echo evidence; sleep 3600"),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "poor"}},
    )
    place("rollout", "status", "deployment/guarded", "--timeout=60s")
    place("create", "role", "poor", "--verb=get,list", "--resource=pods,pods/log")
    place("create", "rolebinding", "poor", "--role=poor", f"--serviceaccount={place.namespace}:poor")
    resource = investigate(place, "poor", {"selector": {"matchLabels": {"app": "guarded"}}}, serviceAccountName="poor")
    assert resource["status"]["phase"] == "PartiallyCompleted"
    gaps = {(gap["fetcher"], gap["target"]): gap for gap in resource["status"]["gaps"]}
    assert {gap["reason"] for gap in gaps.values()} == {"Forbidden"}
    notes = {key for key, gap in gaps.items() if gap.get("severity") == "note"}
    assert notes == {("KubernetesEvents", "events of nodes"), ("KubernetesObjects", "nodes")}
    rules = {
        "events, and which pods came and went": '{apiGroups: [""], resources: [events], verbs: [list]}',
        "replicasets": "{apiGroups: [apps], resources: [replicasets], verbs: [get]}",
    }
    for target, rule in rules.items():
        message = gaps["KubernetesEvents", target]["message"]
        assert f"The rule {rule} in a Role of namespace {place.namespace}" in message
    assert (
        '{apiGroups: [""], resources: [nodes], verbs: [get]} in a ClusterRole' in gaps["KubernetesObjects", "nodes"]["message"]
    )
    assert {"services", "nodes", "configmaps", "resourcequotas"} <= {target for fetcher, target in gaps if "Objects" in fetcher}
    assert [item["kind"] for item in documents(resource, "objects")[0]["data"]] == ["Pod"]
    assert documents(resource, "logs")


def test_a_window_that_is_older_than_events_live(place: Kubectl) -> None:
    """A window before the oldest event is a note, unless a target is known to have lost an event."""
    place.apply(pod("old", "echo started; sleep 3600"))
    place.wait("pod/old", "condition=Ready")
    next_second()
    resource = place.investigate("expired", window={"lookback": "6h"}, targets=[{"pod": "old"}], events={})
    (note,) = resource["status"]["gaps"]
    assert (note["fetcher"], note["reason"], note["severity"]) == ("KubernetesEvents", "EventsExpired", "note")
    assert resource["status"]["phase"] == "Completed"


def test_a_misspelt_deployment(place: Kubectl) -> None:
    """The gap names its namespace and the nearest names."""
    place.apply(deployment("ledger", "echo started; sleep 3600"))
    resource = place.investigate("misspelt", targets=[of("legder")])
    (gap,) = resource["status"]["gaps"]
    assert (gap["reason"], gap["target"]) == ("NotFound", "deployment/legder")
    assert f"namespace {place.namespace} has no Deployment legder; the nearest names: ledger" in gap["message"]


def test_the_node_of_pods_that_are_gone(place: Kubectl) -> None:
    """Events of the node are kept, although no pod of the target runs on it any more; the pods' long names are recognised."""
    name = "a-deployment-of-the-large-shop-with-a-name-longer-than-fifty-eight"
    labelled = deployment(name, "echo started; sleep 3600")
    labels = {"app": "long"}
    labelled["spec"]["selector"]["matchLabels"] = labelled["spec"]["template"]["metadata"]["labels"] = labels
    place.apply(labelled)
    place("rollout", "status", f"deployment/{name}", "--timeout=60s")
    (gone,) = place.get("pods", "-l", "app=long")["items"]
    node = gone["spec"]["nodeName"]
    place("cordon", node)
    try:
        reasons = f"--field-selector=involvedObject.kind=Node,involvedObject.name={node},reason=NodeNotSchedulable"
        until(lambda: place.cluster.run_kubectl("-n", "default", "get", "events", reasons, "-o", "name"), 60, "it is told")
    finally:
        place("uncordon", node)
    place("scale", f"deployment/{name}", "--replicas=0")
    until(lambda: not place.get("pods", "-l", "app=long")["items"], 60, "the pod is gone")
    resource = investigate(place, "gone-with-its-node", of(name), events={}, objects={}, logs={})
    gaps = {gap["target"]: gap["reason"] for gap in resource["status"]["gaps"]}
    assert gaps == {f"pod/{gone['metadata']['name']}": "PodGone", f"deployment/{name}": "NoPods"}
    (events,) = documents(resource, "events")
    assert [pod["node"] for pod in events["metadata"]["pods_gone"]] == [node]
    assert ("Node", node) in {(entry["object"]["kind"], entry["object"]["name"]) for entry in events["data"]}


def test_a_pod_that_waits_and_one_that_is_gone(place: Kubectl) -> None:
    """A pod that no node accepts shows the reason; the events of a deleted pod are found by its name."""
    place.apply(pod("waiting", "sleep 1", nodeSelector={"nowhere": "yes"}), pod("deleted", "echo started; sleep 3600"))
    place.wait("pod/deleted", "condition=Ready")
    place("delete", "pod", "deleted", "--now")
    until(lambda: "FailedScheduling" in place("get", "events", "-o", "jsonpath={.items[*].reason}"), 30, "the event")
    resource = investigate(place, "waits", {"pod": "waiting"}, {"pod": "deleted"}, events={}, objects={})
    assert "Scheduling" in kinds(resource)
    assert [(gap["fetcher"], gap["reason"], gap["target"]) for gap in resource["status"]["gaps"]] == [
        ("KubernetesObjects", "NotFound", "pod/deleted")
    ]
    events = documents(resource, "events")[0]["data"]
    assert {"Scheduled", "Killing"} <= {entry["reason"] for entry in events if entry["object"]["name"] == "deleted"}


def rolled_out_twice(place: Kubectl, kind: str) -> Any:
    """Investigate a workload of this kind with a changed image. Returns the resource."""
    name = f"rolled-{kind.lower()}"
    for image in (BUSYBOX, SAME_IMAGE):
        workload = deployment(name, "echo started; sleep 3600", image=image) | {"kind": kind}
        if kind == "DaemonSet":
            del workload["spec"]["replicas"]
        else:
            workload["spec"]["serviceName"] = name
        place.apply(workload)
        place("rollout", "status", f"{kind.lower()}/{name}", "--timeout=60s")
    return investigate(place, name, {"workload": {"kind": kind, "name": name}}, objects={}, events={})


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_rollout_of_a_stateful_or_daemon_set(place: Kubectl, kind: str) -> None:
    """Its ControllerRevisions show the image before and after the change within the window."""
    resource = rolled_out_twice(place, kind)
    (family,) = [document for document in documents(resource, "objects") if document["metadata"].get("kind") == kind]
    rollouts = family["metadata"]["rollouts"]
    assert [(rollout["revision"], rollout["in_window"]) for rollout in rollouts] == [(1, True), (2, True)]
    assert rollouts[1]["changed"] == [{"container": "app", "field": "image", "from": BUSYBOX, "to": SAME_IMAGE}]
    assert [item["kind"] for item in family["data"]][:3] == [kind, "ControllerRevision", "ControllerRevision"]
    rolled = [entry["message"] for entry in timeline(resource) if entry["kind"] == "Rollout"]
    assert rolled[-1] == f"revision 2 rolled out: app image {BUSYBOX} → {SAME_IMAGE}"


def test_what_befalls_a_volume(place: Kubectl) -> None:
    """Events of the PersistentVolume behind a pod's claim are captured, although they are in another namespace."""
    name = "it-recycled-volume"
    place("delete", "pv", name, "--ignore-not-found")
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "",
            "hostPath": {"path": "/not-to-be-deleted"},
        },
    }
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": name}
    claim = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": "recycled"}}
    claim["spec"] = spec | {"resources": {"requests": {"storage": "1Mi"}}}
    mounted = pod(
        "mounted", "echo started; sleep 3600", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "recycled"}}]
    )
    try:
        place.apply(volume, claim)
        place.wait("pvc/recycled", "jsonpath={.status.phase}=Bound")
        place("delete", "pvc", "recycled")
        place.wait(f"pv/{name}", "jsonpath={.status.phase}=Failed")  # this kind of volume cannot be deleted, which is an event
        place("patch", "pv", name, "--type=json", "-p", '[{"op": "remove", "path": "/spec/claimRef"}]')
        place.apply(claim, mounted)
        place.wait("pvc/recycled", "jsonpath={.status.phase}=Bound")
        resource = investigate(place, "volume", {"pod": "mounted"}, events={}, objects={})
    finally:
        place("delete", "pod/mounted", "pvc/recycled", "--now", "--ignore-not-found")
        place("delete", "pv", name)
    (events,) = documents(resource, "events")
    reported = [entry for entry in events["data"] if entry["object"]["kind"] == "PersistentVolume"]
    assert [(entry["object"]["name"], entry["reason"]) for entry in reported] == [(name, "VolumeFailedDelete")]
    family = documents(resource, "objects")[0]
    assert [item["metadata"]["name"] for item in family["data"] if item["kind"] == "PersistentVolumeClaim"] == ["recycled"]


def test_a_quota_that_is_spent_and_an_autoscaler_that_cannot_scale(place: Kubectl) -> None:
    """The ReplicaSet's events show why no pods are created, the autoscaler's why it cannot scale."""
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "refused"},
        "spec": {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "refused"}},
    }
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "spent"}, "spec": {"hard": {"pods": "0"}}}
    place.apply(quota)
    place.wait("resourcequota/spent", "jsonpath={.status.hard.pods}=0")
    try:
        place.apply(deployment("refused", "echo started; sleep 3600"), scaler)
        of_scaler = "--field-selector=involvedObject.name=refused,reason=FailedGetResourceMetric"
        until(lambda: place("get", "events", of_scaler, "-o", "name"), 60, "the autoscaler has no metrics")
        resource = investigate(place, "refused", of("refused"), events={}, objects={})
    finally:
        place("delete", "resourcequota/spent", "hpa/refused")
    events = documents(resource, "events")[0]["data"]
    by_reason = {entry["reason"]: entry for entry in events}
    assert by_reason["FailedGetResourceMetric"]["object"]["kind"] == "HorizontalPodAutoscaler"
    assert "exceeded quota: spent" in by_reason["FailedCreate"]["message"]
    (scheduling,) = {entry["object"] for entry in timeline(resource) if entry["kind"] == "Scheduling"}
    assert scheduling.startswith("replicaset/refused-")
    shared = documents(resource, "objects")[-1]["data"]
    assert {item["metadata"]["name"] for item in shared if item["kind"] == "ResourceQuota"} == {"spent"}
