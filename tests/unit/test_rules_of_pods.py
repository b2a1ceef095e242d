"""Rules over their whole tables: probes, scheduling, volumes and refusals."""

from typing import Any

import pytest

from tests.unit.evidence import Incident, a_node, at, conditions, ended, event, found, item, pod, rules_of, running, waiting

Object = dict[str, Any]
BANNER = ("", "BOOT FAILED", "===========", "Timeout contacting cluster nodes: a, b", "")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Readiness probe failed: HTTP probe failed with statuscode: 503", "HTTP 503"),
        ("Readiness probe failed: service unhealthy (responded with NOT_SERVING)", "gRPC: NOT_SERVING"),
        ('Readiness probe failed: Get "http://10.0.0.1:8080/x": dial tcp: connection refused', "dial tcp: connection refused"),
        ("Readiness probe failed: cat: no such file", "cat: no such file"),
        ("Readiness probe errored", "Readiness probe errored"),
    ],
)
@pytest.mark.parametrize(
    ("probe", "where"),
    [
        ({"httpGet": {"path": "/ready", "port": 8080}}, " (/ready on 8080)"),
        ({"httpGet": {"port": "http"}}, " (/ on http)"),
        ({"tcpSocket": {"port": 5432}}, " (port 5432)"),
        ({"grpc": {"port": 50051}}, " (port 50051)"),
        ({"exec": {"command": ["cat", "/tmp/x"]}}, " (cat /tmp/x)"),
        ({}, ""),
    ],
)
def test_what_a_probe_asks_and_what_was_said(message: str, words: str, probe: Object, where: str) -> None:
    """The finding has the endpoint, and its answer without the phrases common to all such messages."""
    status = running(ready=False, spec={"readinessProbe": probe} if probe else {})
    incident = Incident().add(pod("web-1-a", status))
    incident.add_event(event("Unhealthy", message, container="app", count=9, until=58))
    finding = found(incident, "ReadinessProbe")
    assert finding.message == f"web: its readiness probe fails{where}: {words} (9x since 14:28)"
    assert (finding.severity, finding.confidence, finding.depth) == ("critical", "likely", 30)
    assert finding.details == {"container": "app", "probe": "Readiness", "count": 9}


@pytest.mark.parametrize(
    ("answer", "line", "words"),
    [
        (
            "error: the node is still starting",
            "ERROR peer etcd-1: no such host",
            "error: the node is still starting, it logs: peer etcd-1: no such host",
        ),
        (
            "Waiting for the cluster to become ready (timeout=1s)\nCluster is not yet ready (timeout=1s)",
            "WARN master not discovered yet",
            "not yet ready, it logs: master not discovered yet",
        ),
        (
            "/run:5432 - rejecting connections",
            "LOG:  redo at 0/5A0",
            "/run:5432 - rejecting connections, it logs: redo at 0/5A0",
        ),
    ],
)
def test_an_answer_without_a_reason_is_shown_with_what_the_program_logs(answer: str, line: str, words: str) -> None:
    """It only says that the program has not started yet."""
    incident = Incident().add(pod("web-1-a", running(ready=False))).log("web-1-a", f"58 {line}")
    incident.add_event(event("Unhealthy", f"Readiness probe failed: {answer}", container="app", until=58))
    assert found(incident, "ReadinessProbe").message == f"web: its readiness probe fails: {words} (1x since 14:28)"


def test_a_frame_of_a_banner_is_no_error() -> None:
    """Some programs frame an error with lines without words, each with the level of an error."""
    lines = [f"58 2026-11-22 14:58:{second:02}.000+00:00 [error] <0.273.0> {text}" for second, text in enumerate(BANNER)]
    incident = Incident().add(pod("web-1-a", waiting("CrashLoopBackOff", last=ended(1, minute=59), restarts=3)))
    incident.log("web-1-a", *lines, run=2)
    assert found(incident, "CrashLoop").message.startswith("web: Timeout contacting cluster nodes: a, b (exit 1")
    assert {error["example"] for error in incident.judged().top_errors} == {"BOOT FAILED", BANNER[3]}


@pytest.mark.parametrize(
    ("ready", "count", "until", "killed", "severity", "confidence"),
    [
        (True, 4, 58, False, "info", "likely"),
        (True, 5, 58, False, "warning", "likely"),
        (True, 5, 40, False, "info", "likely"),
        (False, 1, 58, False, "critical", "likely"),
        (False, 1, 40, False, "warning", "likely"),
        (False, 1, 40, True, "critical", "certain"),
        (True, 9, 58, True, "warning", "certain"),
    ],
)
def test_how_bad_a_failing_probe_is(ready: bool, count: int, until: int, killed: bool, severity: str, confidence: str) -> None:
    """The pod is down, was restarted, flaps, or was only slow to start."""
    incident = Incident().add(pod("web-1-a", running(ready=ready)))
    incident.add_event(event("Unhealthy", "Liveness probe failed: x", container="app", count=count, until=until))
    if killed:
        incident.add_event(
            event("Killing", "Container app failed liveness probe, will be restarted", container="app", type="Normal")
        )
    finding = found(incident, "LivenessProbe")
    assert (finding.severity, finding.confidence) == (severity, confidence)
    assert finding.message.startswith("web: restarted by its liveness" if killed else "web: its liveness probe fails")
    assert (finding.depth, len(finding.links)) == ((14, 2) if killed else (30, 1))


@pytest.mark.parametrize(
    ("message", "words", "depth"),
    [
        ("pod has unbound immediate PersistentVolumeClaims", "its volume claim is not bound", 12),
        ("1 node(s) didn't match pod affinity rules", "no node matches its pod affinity", 10),
        ("1 node(s) didn't match pod anti-affinity rules", "its anti-affinity leaves no node", 10),
        (
            "1 node(s) didn't match pod topology spread constraints",
            "its topology spread constraints leave no node",
            10,
        ),
        ("1 node(s) didn't have free ports for the pod ports", "its host port is taken on every node", 10),
        ("2 node(s) were unschedulable", "the nodes are cordoned", 10),
        ("1 Too many pods", "the nodes have no room for more pods", 10),
        ("1 node(s) exceed max volume count", "the nodes have no room for more volumes", 10),
        ("1 node(s) had untolerated taint {gpu: true}", "taint gpu on 1 node is not tolerated", 10),
        (
            "2 Insufficient memory, 1 node(s) were unschedulable",
            "insufficient memory on 2 of 3 nodes, 2Gi asked; a node has 1Gi at most; the nodes are cordoned",
            10,
        ),
        ("1 Insufficient cpu", "insufficient cpu on 1 of 3 nodes, 0.1 asked", 10),
        ("something new", "something new", 10),
        ("", "the scheduler gives no reason", 10),
    ],
)
def test_why_a_pod_is_not_scheduled(message: str, words: str, depth: int) -> None:
    """Each cause that the scheduler names becomes a short text."""
    asked = {"name": "app", "image": "x", "resources": {"requests": {"memory": "2Gi"}, "limits": {"cpu": "100m"}}}
    condition = {"status": "False", "reason": "Unschedulable"}
    condition |= {"message": f"0/3 nodes are available: {message}" if message else ""}
    status = {"phase": "Pending", "conditions": conditions(PodScheduled=condition), "containerStatuses": []}
    node = a_node(Ready="True")
    node["status"]["allocatable"] = {"memory": "1Gi", "cpu": "4"}
    pods = [pod(f"web-1-{name}", running(), spec={"containers": [asked]}, status=status) for name in "ab"]
    finding = found(Incident(shared=[node]).add(*pods), "Unschedulable")
    assert finding.message == f"web: 2 pods are not scheduled: {words} (since 14:20)"
    assert (finding.severity, finding.depth, len(finding.links)) == ("critical", depth, 2)
    assert finding.pods == frozenset({"web-1-a", "web-1-b"})


@pytest.mark.parametrize(
    ("claim", "explanation", "words"),
    [
        ({"exists": False}, None, "does not exist (since 14:10)"),
        ({"status": {"phase": "Lost"}}, None, "has lost its volume (since 14:10)"),
        ({"status": {"phase": "Pending"}}, None, "is not bound: storage class fast made no volume (since 14:10)"),
        ({"status": {"phase": "Pending"}, "spec": {}}, None, "is not bound: storage class (none) made no volume (since 14:10)"),
        ({"status": {"phase": "Pending"}}, ("ProvisioningFailed", "quota", "Warning"), "is not bound: quota (since 14:28)"),
        ({"status": {"phase": "Pending"}}, ("ExternalProvisioning", "slow", "Normal"), "is not bound: slow (since 14:28)"),
        ({"status": {"phase": "Pending"}}, ("WaitForFirstConsumer", "x", "Normal"), None),
        ({"status": {"phase": "Bound"}}, None, None),
    ],
)
def test_a_claim_that_is_not_bound(claim: Object, explanation: tuple[str, str, str] | None, words: str | None) -> None:
    """Its events or its phase have the reason. A claim that waits for its pod is not reported."""
    made = item("PersistentVolumeClaim", "data", {"storageClassName": "fast"}, creationTimestamp=at(10)) | claim
    incident = Incident().add(pod("web-1-a", running()), made)
    if explanation is not None:
        reason, message, kind = explanation
        incident.add_event(event(reason, message, name="data", kind="PersistentVolumeClaim", type=kind))
    if words is None:
        assert "ClaimNotBound" not in rules_of(incident)
        return
    finding = found(incident, "ClaimNotBound")
    assert (finding.message, finding.depth) == (f"web: volume claim data {words}", 4)
    assert finding.pods == frozenset({"web-1-a"})


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        (waiting("ContainerCreating"), "critical"),
        (running(), "info"),
        (running(ready=False), "info"),
        (waiting("CrashLoopBackOff", last=ended(1)), "info"),
    ],
    ids=["not started", "healthy", "started", "started before"],
)
def test_a_mount_that_fails(status: Object, severity: str) -> None:
    """The most informative event is quoted. The fault is over if the pod's containers were started."""
    incident = Incident().add(pod("web-1-a", status))
    incident.add_event(
        event("FailedMount", 'MountVolume.SetUp failed for volume "tls" : secret "web-tls" not found', minute=20),
        event("FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition", until=58),
    )
    finding = found(incident, "VolumeNotMounted")
    assert finding.message == 'web: a volume cannot be mounted: tls: secret "web-tls" not found (since 14:20)'
    assert (finding.severity, finding.depth, len(finding.links)) == (severity, 10, 2)


def test_a_volume_of_which_the_files_get_an_owner() -> None:
    """The kubelet says how far it is, under the volume's name."""
    incident = Incident().add(pod("web-1-a", waiting("ContainerCreating")))
    said = "Setting volume ownership for 5a302879/volumes/kubernetes.io~csi/pvc-8e87/mount, processed 5800331 files."
    incident.add_event(event("VolumePermissionChangeInProgress", said, minute=20, until=58))
    finding = found(incident, "VolumeNotMounted")
    what = "a volume is not mounted yet, setting the ownership of its files takes long"
    assert finding.message == f"web: {what}: pvc-8e87/mount, processed 5800331 files. (since 14:20)"
    assert (finding.severity, "OnRootMismatch" in finding.remedy) == ("critical", True)


@pytest.mark.parametrize(
    ("said", "until", "words"),
    [
        ('MountVolume.SetUp failed for volume "tls" : secret "web-tls" not found', 57, 'tls: secret "web-tls" not found'),
        ('MountVolume.SetUp failed for volume "tls" : secret "web-tls" not found', 25, "processed 12 files."),
        (
            "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[]: context deadline exceeded",
            58,
            "processed 12 files.",
        ),
    ],
    ids=["another volume fails", "another volume failed before", "that it waits"],
)
def test_what_the_kubelet_says_beside_the_owner_of_files(said: str, until: int, words: str) -> None:
    """A failure that lasts leads, unless it only says that the kubelet waited."""
    incident = Incident().add(pod("web-1-a", waiting("ContainerCreating")))
    owner = "Setting volume ownership for 5a302879/volumes/kubernetes.io~csi/pvc-8e87/mount, processed 12 files."
    incident.add_event(event("VolumePermissionChangeInProgress", owner, minute=20, until=57.9))
    incident.add_event(event("FailedMount", said, minute=20, until=until))
    assert words in found(incident, "VolumeNotMounted").message


@pytest.mark.parametrize(
    ("refusal", "rule", "words"),
    [
        ("failed quota: team: must specify limits.cpu", "QuotaExceeded", "quota team demands limits.cpu"),
        (
            'admission webhook "guard.io" denied the request: no latest tags',
            "AdmissionRefused",
            "guard.io refuses: no latest tags",
        ),
        (
            "ValidatingAdmissionPolicy 'no-root' with binding 'x' denied request: root is forbidden",
            "AdmissionRefused",
            "no-root refuses: root is forbidden",
        ),
        ('pods "x" is forbidden: for another reason', "AdmissionRefused", "for another reason"),
        ("another fault", "AdmissionRefused", "another fault"),
    ],
)
@pytest.mark.parametrize(("available", "severity"), [(1, "critical"), (2, "info")])
def test_why_pods_are_refused(refusal: str, rule: str, words: str, available: int, severity: str) -> None:
    """The fault is over once the workload has all its wanted pods."""
    deployment = item("Deployment", "web", {"replicas": 2}, {"availableReplicas": available, "updatedReplicas": 2})
    incident = Incident().add(deployment, item("ReplicaSet", "web-1"), pod("web-1-a", running()))
    incident.add_event(event("FailedCreate", refusal, name="web-1", kind="ReplicaSet", count=9, until=58))
    finding = found(incident, rule)
    assert finding.message == f"web: pods cannot be created: {words} (since 14:28)"
    assert (finding.severity, finding.depth) == (severity, 6)
    assert bool(finding.remedy) == (rule == "QuotaExceeded")
