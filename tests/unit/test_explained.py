"""What the first finding is if a limit, a stop, a refusal or a silent start stands beside the cause."""

from typing import Any

import pytest

from aletheia_operator.findings.excerpts import excerpt
from tests.unit.evidence import (
    START,
    Incident,
    Object,
    at,
    conditions,
    ended,
    event,
    found,
    item,
    pod,
    rules_of,
    running,
    workloads,
)

AT_MAXIMUM = {"ScalingLimited": {"reason": "TooManyReplicas", "lastTransitionTime": at(20)}}
POLICY = """admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod/shop/web-1-x was blocked due to the
following policies restrict-image-registries: validate-registries: 'validation error: Unknown image registry. Only
registry.acme.example is allowed. rule validate-registries failed at path /spec/containers/0/image/'"""


def at_maximum() -> Incident:
    scaler = item("HorizontalPodAutoscaler", "web", {"maxReplicas": 3}, {"currentReplicas": 3})
    scaler["status"]["conditions"] = conditions(**AT_MAXIMUM)
    return workloads("web", "audit").add(scaler, of=("Deployment", "web"))


def latency(of: str) -> tuple[str, str, str, Object, list[Any]]:
    """Return a latency of a service that rises at minute 30."""
    first = int(START.timestamp())
    values = [[first + 60 * minute, "0.2" if minute < 30 else "4.8"] for minute in range(60)]
    metadata = {"template": "latency_p95", "query": "", "step_seconds": 60}
    return "prometheus", "metrics", "data/metrics/latency.json", metadata, [{"metric": {"service": of}, "values": values}]


@pytest.mark.parametrize(("slow", "first"), [("web", "AutoscalerAtMaximum"), ("audit", "LatencyRose")])
def test_an_autoscaler_at_its_maximum_leads_if_its_workload_suffers(slow: str, first: str) -> None:
    """Otherwise other trouble is more telling."""
    incident = at_maximum()
    incident.more.append(latency(slow))
    assert rules_of(incident)[0] == first


def unable(reason: str = "FailedGetResourceMetric", rolled: bool = False) -> Incident:
    """Return an autoscaler that could not scale since before the window. `rolled`: its workload has a new version."""
    states = {"ScalingActive": {"status": "False", "reason": reason, "lastTransitionTime": at(-600)}}
    scaler = item("HorizontalPodAutoscaler", "web", {"maxReplicas": 3}, {"conditions": conditions(**states)})
    rollouts = [{"revision": 2, "name": "web-2", "created": at(29), "in_window": True, "summary": "new version"}]
    incident = workloads("web", "audit").add(scaler, of=("Deployment", "web"))
    incident.rollouts["Deployment", "web"] = rollouts if rolled else []
    return incident


@pytest.mark.parametrize("reason", ["FailedGetResourceMetric", "AmbiguousSelector"])
def test_an_autoscaler_that_never_scaled_leads_if_its_workload_is_slow(reason: str) -> None:
    """It was there before the window, and is the reason why the workload does not grow with its load."""
    incident = unable(reason)
    incident.more.append(latency("web"))
    first, second = incident.judged().findings
    assert first.subject.kind == "HorizontalPodAutoscaler"
    assert (second.rule, second.because) == ("LatencyRose", first)


def test_an_autoscaler_that_never_scaled_leads_before_others_that_are_slow_too() -> None:
    """What explains a new trouble is not aside, though it is old."""
    incident = unable()
    for number, slow in enumerate(("web", "audit")):
        source, category, _, metadata, entries = latency(slow)
        incident.more.append((source, category, f"data/metrics/latency_{number}.json", metadata, entries))
    assert rules_of(incident) == ["AutoscalerWithoutMetrics", "LatencyRose", "LatencyRose"]


@pytest.mark.parametrize(("slow", "rolled"), [("audit", False), ("web", True)])
def test_an_autoscaler_that_never_scaled_explains_neither_others_nor_a_new_version(slow: str, rolled: bool) -> None:
    """The latency leads."""
    incident = unable(rolled=rolled)
    incident.more.append(latency(slow))
    first = incident.judged().findings[0]
    assert (first.rule, first.because) == ("LatencyRose", None)


def test_errors_lead_before_a_limit_that_nothing_suffers_from() -> None:
    """Both are warnings."""
    incident = at_maximum().log("audit-1-a", *(f"{minute} ERROR event not stored: out of range" for minute in range(30, 60)))
    assert rules_of(incident) == ["Errors", "AutoscalerAtMaximum"]


def test_a_limit_does_not_explain_errors_of_its_workload() -> None:
    """Only numbers: an order that cannot be parsed is no consequence of load."""
    incident = at_maximum().log("web-1-a", *(f"{minute} ERROR event not stored: out of range" for minute in range(30, 60)))
    assert [finding.because for finding in incident.judged().findings] == [None, None]


def test_the_words_of_a_category_are_shown_with_what_they_are_about() -> None:
    """A long part before them is cut at its beginning, not left out."""
    text = f"{{start_failure, {'{child, ' * 30}Error when reading /var/lib/x/.cookie: eacces, [auth.erl, 313]}}"
    short = excerpt(text, 100)
    assert short.startswith("…")
    assert "reading /var/lib/x/.cookie: eacces" in short


def test_the_end_of_a_refusal_is_quoted() -> None:
    """A policy engine names its policy first, and then what is wrong."""
    replica_set = item("ReplicaSet", "web-1")
    failed = event("FailedCreate", f"Error creating: {POLICY}", "web-1", "ReplicaSet", until=58)
    message = found(Incident().add(replica_set).add_event(failed), "AdmissionRefused").message
    assert "validate.kyverno.svc-fail refuses: …Unknown image registry. Only registry.acme.example" in message


@pytest.mark.parametrize("reason", ["DeadlineExceeded", "BackoffLimitExceeded"])
def test_a_stop_of_a_job_at_its_deadline_is_a_consequence(reason: str) -> None:
    """The Job is out of time; what its pod logged last says what it did. Otherwise the end of the pod counts."""
    status = {"name": "app", "ready": False, "restartCount": 0, "state": {"terminated": ended(143, minute=40)}}
    job = item("Job", "migrate", {"activeDeadlineSeconds": 600})
    job["status"] = {"failed": 1, "conditions": conditions(Failed={"reason": reason, "lastTransitionTime": at(40)})}
    incident = Incident().add(job, pod("migrate-x", status, of="migrate", kind="Job"), of=("Job", "migrate"))
    first = incident.log("migrate-x", "31 INFO upgrade 4f1 -> 9ab").judged().findings[0]
    if reason == "DeadlineExceeded":
        assert first.message == "migrate: the Job ran out of time of 600 s: upgrade 4f1 -> 9ab (1 pod failed, at 14:40)"
    else:
        assert first.rule == "Terminated"


def test_a_run_that_goes_on_says_what_it_waits_for() -> None:
    """The CronJob does not start while it runs."""
    incident = Incident().add(pod("nightly-1-a", running(), of="nightly-1", kind="Job"), of=("CronJob", "nightly"))
    incident.log("nightly-1-a", *(f"{minute} WARN waiting for lock 815 of pid 4711" for minute in range(20, 60)))
    incident.add_event(event("JobAlreadyActive", "x", "nightly", "CronJob", type="Normal"))
    assert "is Forbid; it logs: waiting for lock 815 of pid 4711" in found(incident, "CronJobMissed").message


def test_a_start_that_hangs_says_what_it_waits_for() -> None:
    """The probe is refused, since the program does not listen yet; its last line is quoted at any level."""
    incident = Incident().add(pod("web-1-a", running(ready=False, started=False)))
    incident.log("web-1-a", "29 INFO starting", *(f"{minute} INFO Waiting for changelog lock" for minute in range(30, 60)))
    refused = "Startup probe failed: dial tcp 10.0.0.4:8080: connect: connection refused"
    incident.add_event(event("Unhealthy", refused, container="app", count=90, minute=30, until=59))
    assert "connection refused, it logs: Waiting for changelog lock (90x" in found(incident, "StartupProbe").message


@pytest.mark.parametrize("warns", [True, False])
def test_a_refusal_is_explained_by_the_clock_of_the_called_program(warns: bool) -> None:
    """It only warns; its caller reports an error."""
    incident = workloads("front", "api")
    incident.log("front-1-a", *(f"{minute} ERROR api answered 401 Unauthorized" for minute in range(30, 60)))
    if warns:
        incident.log("api-1-a", *(f"{minute} WARN rejected: token used before issued" for minute in range(30, 60)))
    assert rules_of(incident)[0] == ("ClockSkew" if warns else "CredentialsRefused")


def test_an_eviction_has_the_time_of_its_event() -> None:
    """The status of the pod has only the time at which it started."""
    status = {"phase": "Failed", "reason": "Evicted", "message": "low on memory", "startTime": at(5)}
    incident = Incident().add(pod("web-1-a", running(ready=False), status=status))
    assert found(incident, "Evicted").first_seen == at(5)
    assert found(incident.add_event(event("Evicted", "low on memory", minute=42)), "Evicted").first_seen == at(42)


@pytest.mark.parametrize("ready", [True, False])
def test_pods_that_were_replaced_are_no_trouble(ready: bool) -> None:
    """A node was removed; other pods of the workload are healthy, or are not."""
    incident = Incident(gone=[{"name": "web-1-b", "owner": "Deployment/web"}]).add(pod("web-1-a", running(ready=ready)))
    incident.add_event(event("TaintManagerEviction", "Marking for deletion Pod shop/web-1-b", "web-1-b", type="Normal"))
    assert found(incident, "Removed").severity == ("info" if ready else "error")


@pytest.mark.parametrize("gone", [True, False])
def test_a_pod_that_is_stopped_may_abort_requests(gone: bool) -> None:
    """If it still exists, a part of it may have stopped."""
    incident = Incident(gone=[{"name": "web-1-b", "owner": "Deployment/web"}] if gone else []).add(pod("web-1-a", running()))
    incident.log("web-1-b" if gone else "web-1-a", "41 ERROR request aborted: context canceled")
    assert found(incident, "Errors").severity == ("info" if gone else "warning")


@pytest.mark.parametrize(
    ("since", "line", "severity"),
    [
        (30, "reload failed, keeping the old configuration: yaml: line 12: did not find expected key", "warning"),
        (30, "reload failed, trying again: yaml: line 12: did not find expected key", "info"),
        (20, "reload failed, keeping the old configuration: yaml: line 12: did not find expected key", "info"),
    ],
)
def test_warnings_of_a_category_are_trouble_if_they_are_new(since: int, line: str, severity: str) -> None:
    """The pod had been ready for long, and does not try again."""
    busy = [f"{minute + part / 10} INFO routed" for minute in range(1, 60) for part in range(1, 9)]
    lines = sorted([*busy, *(f"{minute} WARN {line}" for minute in range(since, 60))], key=lambda text: float(text.split()[0]))
    incident = workloads("web").log("web-1-a", *lines)
    assert found(incident, "SettingInvalid").severity == severity


@pytest.mark.parametrize(("minute", "first"), [(29, "ReadinessProbe"), (57, "OOMKilled")])
def test_a_restart_that_is_over_does_not_explain_what_goes_on(minute: float, first: str) -> None:
    """A vault was killed half an hour ago, and waits for its keys since then."""
    once = running(restarts=1, last=ended(137, "OOMKilled", minute), ready=False)
    incident = Incident().add(pod("web-1-a", once))
    failed = "Readiness probe failed: Initialized true Sealed true"
    incident.add_event(event("Unhealthy", failed, container="app", count=350, minute=minute, until=59))
    assert rules_of(incident)[0] == first


@pytest.mark.parametrize(
    ("line", "rule", "said"),
    [
        (
            "read tcp 10.244.1.3:4123->192.0.2.9:443: i/o timeout",
            "DependencyDoesNotAnswer",
            "192.0.2.9 does not answer in time",
        ),
        (
            "read udp 10.244.1.3:4123->192.0.2.53:53: i/o timeout",
            "NameNotResolved",
            "the DNS server does not answer for a name",
        ),
    ],
)
def test_the_other_end_of_a_connection_does_not_answer(line: str, rule: str, said: str) -> None:
    """The first address is the program's own."""
    incident = workloads("web").log("web-1-a", *(f"{minute} ERROR {line}" for minute in range(30, 60)))
    assert said in found(incident, rule).message


@pytest.mark.parametrize("rolled", [33, 10])
def test_a_program_that_refuses_is_shown_with_what_its_rollout_changed(rolled: float) -> None:
    """If its callers are refused soon after it: the Service does not follow the new port."""
    incident = workloads("cart", "price")
    of = ("Deployment", "price")
    incident.rollouts[of] = [
        {"revision": number, "name": f"price-{number}", "created": at(minute), "in_window": number > 1, "summary": ""}
        for number, minute in ((1, 1), (2, rolled))
    ]
    for number, port in ((1, "8080"), (2, "9090")):
        container = {"name": "app", "image": "shop/app:2", "env": [{"name": "PORT", "value": port}]}
        template = {"spec": {"containers": [container]}}
        incident.add(item("ReplicaSet", f"price-{number}", {"template": template}, creationTimestamp=at(1)), of=of)
    refused = 'Get "http://price/v1": dial tcp 10.96.12.7:80: connect: connection refused'
    incident.log("cart-1-a", *(f"{minute} ERROR {refused}" for minute in range(34, 60)))
    message = found(incident, "DependencyDoesNotAnswer").message
    assert ("; price new in revision 2: app env PORT 8080 → 9090" in message) is (rolled == 33)


def test_a_caller_is_not_reported_beside_what_it_calls() -> None:
    """The front end's errors name the cart, of which the errors name the ledger: one finding has them."""
    incident = workloads("front", "cart", "ledger")
    incident.log("cart-1-a", *(f"{minute} ERROR dial tcp: connect to ledger:8080: i/o timeout" for minute in range(30, 60)))
    incident.log("front-1-a", *(f"{minute} ERROR cart answered 500" for minute in range(30, 60)))
    first = incident.judged().findings[0]
    assert (first.rule, str(first.subject)) == ("DependencyDoesNotAnswer", "service/ledger")
    assert "CalleeWarns" not in rules_of(incident)


def test_a_budget_that_blocks_a_drain_names_the_node() -> None:
    """The node is cordoned."""
    budget = item("PodDisruptionBudget", "web", {"minAvailable": 1}, {"expectedPods": 1, "currentHealthy": 1})
    budget["status"]["desiredHealthy"] = 1
    incident = Incident(shared=[item("Node", "n1", {"unschedulable": True})]).add(pod("web-1-a", running()), budget)
    assert found(incident, "DisruptionBlocked").nodes == frozenset({"n1"})


def a_budget(name: str, selector: Object | None) -> Object:
    """Return a budget that lets one pod go."""
    return item("PodDisruptionBudget", name, {"maxUnavailable": 1, "selector": selector}, {"disruptionsAllowed": 1})


def matched(*selectors: Object | None, cordoned: bool = True) -> Incident:
    """Return a pod on a node, and budgets with these selectors."""
    shared = [item("Node", "n1", {"unschedulable": True} if cordoned else {})]
    budgets = [a_budget(f"web-{number}", selector) for number, selector in enumerate(selectors)]
    return Incident(shared=shared).add(pod("web-1-a", running(), labels={"app": "web"}), *budgets)


BY_LABEL, BY_KEY = {"matchLabels": {"app": "web"}}, {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
REFUSED = "shop/web-1-a: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


@pytest.mark.parametrize("second", [BY_LABEL, BY_KEY, {}])
def test_two_budgets_of_one_pod_block_a_drain(second: Object) -> None:
    """Each of them would let the pod go. The API server refuses every eviction."""
    finding = found(matched(BY_LABEL, second), "DisruptionBudgetsOverlap")
    assert (finding.severity, finding.nodes) == ("warning", frozenset({"n1"}))
    assert finding.message.endswith("more than one PodDisruptionBudget matches them (web-0, web-1); node n1 is cordoned")


def test_a_refused_eviction_is_cited() -> None:
    """The node is not cordoned any more, or was never."""
    incident = matched(BY_LABEL, BY_LABEL, cordoned=False).add_event(event("FailedDraining", REFUSED, "n1", "Node", until=58))
    finding = found(incident, "DisruptionBudgetsOverlap")
    assert (finding.severity, finding.first_seen, len(finding.links)) == ("warning", at(28), 3)


def test_two_budgets_of_one_pod_are_information_while_nothing_is_evicted() -> None:
    assert found(matched(BY_LABEL, BY_LABEL, cordoned=False), "DisruptionBudgetsOverlap").severity == "info"


NOT_WEB = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}
UNKNOWN = {"matchExpressions": [{"key": "app", "operator": "Like", "values": ["web"]}]}


@pytest.mark.parametrize("other", [None, {"matchLabels": {"app": "api"}}, NOT_WEB, UNKNOWN])
def test_budgets_of_different_pods_do_not_overlap(other: Object | None) -> None:
    assert rules_of(matched(BY_LABEL, other)) == []


def test_a_budget_does_not_explain_errors() -> None:
    """The pods that cannot be evicted fail for another reason."""
    incident = matched(BY_LABEL, BY_LABEL).log(
        "web-1-a", *(f"{minute} ERROR event not stored: out of range" for minute in range(30, 60))
    )
    assert [finding.because for finding in incident.judged().findings] == [None, None]
