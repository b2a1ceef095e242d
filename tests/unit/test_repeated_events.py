"""Warning events that go on and that no other rule explains: of nodes, autoscalers, certificates and custom resources."""

import pytest

from aletheia_operator.findings.rules.repeated import MOST
from tests.unit.evidence import Incident, Object, ended, event, found, item, pod, rules_of, running, waiting, workloads

UNRESOLVED = "ERROR charge failed: dial tcp: lookup ledger on 10.96.0.10:53: i/o timeout"


def repeated(reason: str, message: str, name: str, kind: str, **more: int) -> Object:
    """An event that is repeated until the end. Options: `minute`, `until`, `count`."""
    return event(reason, message, name, kind, **{"minute": 30, "until": 58, "count": 40, **more})


def two_nodes(*failing: str, minute: int = 30) -> Incident:
    """A pod on each of two nodes. Those of `failing` log errors from this minute on."""
    other = pod("web-1-b", running(), spec={"nodeName": "n2"})
    incident = Incident().add(pod("web-1-a", running()), other)
    for name in failing:
        incident.log(name, *(f"{at} {UNRESOLVED}" for at in range(minute, 60)))
    return incident


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ArpCacheFull", "neighbour: arp_cache: neighbor table overflow!"),
        ("TaskHung", "kworker/3:1 blocked for 120 s"),
    ],
)
def test_a_node_that_warns_explains_the_trouble_of_its_pods(reason: str, message: str) -> None:
    """If it began about when the trouble of its pods did."""
    incident = two_nodes("web-1-a").add_event(repeated(reason, message, "n1", "Node"))
    first, *others = incident.judged().findings
    assert (str(first.subject), first.severity) == ("node/n1", "error")
    assert first.message == f"node n1: {reason}: {message} (40x since 14:30)"
    assert all(finding.because is first for finding in others if finding.severity != "info")


@pytest.mark.parametrize(
    "incident",
    [
        two_nodes().add_event(repeated("TaskHung", "blocked", "n1", "Node")),
        two_nodes("web-1-b").add_event(repeated("TaskHung", "blocked", "n1", "Node")),
        two_nodes("web-1-a", "web-1-b").add_event(repeated("TaskHung", "blocked", "n1", "Node")),
        two_nodes("web-1-a", minute=5).add_event(repeated("TaskHung", "blocked", "n1", "Node")),
        two_nodes("web-1-a").add_event(repeated("TaskHung", "blocked", "n1", "Node", until=40)),
        two_nodes("web-1-a").add_event(repeated("InvalidDiskCapacity", "invalid capacity 0", "n1", "Node")),
        two_nodes("web-1-a").add_event(repeated("FailedDraining", "violates a PDB", "n1", "Node")),
    ],
)
def test_a_node_that_warns_beside_other_trouble_is_no_cause(incident: Incident) -> None:
    """No pod fails, others fail too, they failed before, it stopped, or healthy nodes warn of the same."""
    assert "WarningEvents" not in rules_of(incident)


def test_an_autoscaler_that_was_not_captured_belongs_to_the_workload_that_it_is_named_after() -> None:
    """Its target does not exist, so it is not among the workload's objects."""
    incident = workloads("web-server")
    said = repeated("FailedGetScale", 'statefulsets/scale.apps "web" is not there', "web", "HorizontalPodAutoscaler")
    finding = found(incident.add_event(said), "WarningEvents")
    assert (str(finding.subject), finding.severity) == ("horizontalpodautoscaler/web", "error")
    assert str(finding.of) == "deployment/web-server"


@pytest.mark.parametrize(
    ("name", "message", "minute", "severity"),
    [
        ("web-keys", "could not get secret data from provider: permission denied", 30, "error"),
        ("vault", 'object "shop/web" is not synced: no such path', 30, "error"),
        ("vault", "could not get secret data from provider", 30, "warning"),
    ],
)
def test_a_custom_resource_that_warns(name: str, message: str, minute: int, severity: str) -> None:
    """It is an error if it belongs to a workload by its name, or names it."""
    said = repeated("UpdateFailed", message, name, "ExternalSecret", minute=minute)
    finding = found(workloads("web").add_event(said), "WarningEvents")
    assert (str(finding.subject), finding.severity) == (f"externalsecret/{name}", severity)


def test_a_reason_that_kubernetes_uses_too_counts_if_a_custom_resource_has_it() -> None:
    """No other rule reads it."""
    assert "WarningEvents" in rules_of(workloads("web").add_event(repeated("Failed", "no backup of it", "web", "Backup")))


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        ("PolicyViolation", "policy require-labels/check fail: labels are required", "ClusterPolicy"),
        ("ReconcileError", "Operation cannot be fulfilled: the object has been modified", "Kafka"),
        ("FailedGetResourceMetric", "did not receive metrics for any ready pods", "HorizontalPodAutoscaler"),
        ("FailedGetContainerResourceMetric", "did not receive metrics for any ready pods", "HorizontalPodAutoscaler"),
        ("AuditViolation", 'you must provide labels: {"owner"}', "K8sRequiredLabels"),
        ("DisruptionBlocked", 'pdb "shop/web" prevents pod evictions', "NodeClaim"),
        ("Reconciling", 'asked again for "web" in 5 s', "Widget"),
    ],
)
def test_what_every_cluster_warns_of_is_no_finding(reason: str, message: str, kind: str) -> None:
    """Policies, conflicts that are tried again, metrics that come late, and words without trouble about a healthy workload."""
    assert rules_of(workloads("web").add_event(repeated(reason, message, "web", kind))) == []


def test_words_that_name_no_trouble_count_beside_an_unhealthy_workload() -> None:
    """They may say what it waits for."""
    incident = workloads("db").add(pod("web-1-a", running(ready=False), of="web-1"))
    said = repeated("Reconciling", "waits for the first member", "web", "Widget")
    assert "WarningEvents" in rules_of(incident.add_event(said))


@pytest.mark.parametrize("names", [("web", "web-api"), ("web-api", "web")])
def test_an_object_belongs_to_the_workload_with_the_longest_name_that_fits(names: tuple[str, str]) -> None:
    """In whatever order these were captured: only the unhealthy one makes words without trouble count."""
    incident = Incident()
    for name in names:
        incident.add(pod(f"{name}-1-a", running(ready=name == "web"), of=f"{name}-1"), of=("Deployment", name))
    assert "WarningEvents" in rules_of(incident.add_event(repeated("Reconciling", "waits", "web-api-keys", "Widget")))


def test_warnings_about_a_pod_that_a_rollout_replaced_are_no_finding() -> None:
    """The pods that took its place are healthy."""
    incident = workloads("web").add_event(repeated("FailedPreStopHook", "exit code 1", "web-1-b", "Pod"))
    assert "WarningEvents" in rules_of(incident)
    incident.gone.append({"name": "web-1-b", "owner": "deployment/web"})
    assert rules_of(incident) == []


def test_thousands_of_forged_events_are_bounded_and_hide_no_certain_cause() -> None:
    """Each pair of findings is compared, so their number is limited. Kubernetes' own kinds come first. Their names are cut."""
    incident = workloads("db").add(pod("web-1-a", waiting("CrashLoopBackOff", restarts=7, last=ended(137, "OOMKilled"))))
    forged = [repeated(f"Failed{n}" * 5000, f'"web" w{n} ' * 200, f"w{n}", "Widget", count=2**31) for n in range(2 * MOST)]
    own = repeated("FailedToBind", "port 80 is taken", "db", "Service")
    first, *others = incident.add_event(*forged, own).judged().findings
    assert first.rule == "OOMKilled"
    warned = [finding for finding in others if finding.rule == "WarningEvents"]
    assert len(warned) == MOST
    assert "service/db" in {str(finding.subject) for finding in warned}
    assert max(len(finding.message) for finding in warned) < 1000


def test_an_old_warning_of_a_custom_resource_without_a_workload_is_no_finding() -> None:
    """It was there before, and nothing says that it matters here."""
    said = repeated("UpdateFailed", "no such key", "legacy", "ExternalSecret")
    said["first"] = "2026-11-22T13:10:00Z"
    assert rules_of(workloads("web").add_event(said)) == []


def test_why_a_certificate_is_not_renewed_explains_that_it_expired() -> None:
    """Also if that began before the window. Objects that repeat what another one waits for are its consequences."""
    incident = workloads("probe")
    incident.log("probe-1-a", *(f"{at} ERROR GET https://shop.io: x509: certificate has expired" for at in range(60)))
    waits = repeated("Failed", 'waits for challenge "shop-77": not propagated', "shop-tls", "Certificate")
    failed = repeated("Failed", "Accepting challenge authorization failed: DNS problem: NXDOMAIN", "shop-77", "Challenge")
    for said in (waits, failed):
        said["first"] = "2026-11-22T13:10:00Z"
    findings = incident.add_event(waits, failed).judged().findings
    first = findings[0]
    assert str(first.subject) == "challenge/shop-77"
    assert "DNS problem: NXDOMAIN" in first.message
    assert all(finding.because is first for finding in findings[1:] if finding.severity != "info")


def test_a_service_is_told_from_a_workload_by_its_kind() -> None:
    """Its own warning is reported about the Service."""
    incident = Incident().add(pod("web-1-a", running()), item("Service", "web", {"selector": {"app": "web"}}))
    incident.add_event(repeated("UpdateLoadBalancerFailed", "no zone left", "web", "Service"))
    assert str(found(incident, "WarningEvents").subject) == "service/web"
