"""Rules that leave no trouble without a finding: sandboxes, lasting warnings, pods that are not ready; and their ranking."""

from itertools import islice, product

import pytest

from aletheia_operator.findings.entry_text import cut_middle, exception_of
from aletheia_operator.findings.error_categories import peer_of
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.findings.ranking import ranked
from aletheia_operator.findings.templates import MAX_TEMPLATES
from tests.unit.evidence import Incident, Object, at, ended, event, found, item, pod, rules_of, running, waiting

CREATING = waiting("ContainerCreating")
CRASHED = waiting("CrashLoopBackOff", restarts=3, last=ended(1))
SANDBOX = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox"
    ' "1f": plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address to container'
)


def unready(*statuses: Object, minute: float = 20) -> Object:
    """Return a pod that is not ready since this minute."""
    made = pod("web-1-a", *statuses)
    made["status"]["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": at(minute)}]
    return made


@pytest.mark.parametrize("started", [False, True])
def test_a_pod_without_a_sandbox_has_no_network(started: bool) -> None:
    """It says what the network plugin says. After the pod has started, it is no trouble."""
    incident = Incident().add(pod("web-1-a", running()) if started else unready(CREATING))
    incident.add_event(event("FailedCreatePodSandBox", SANDBOX, minute=20))
    finding = found(incident, "SandboxFailed")
    assert "failed to assign an IP address to container" in finding.message
    assert finding.severity == ("info" if started else "critical")


@pytest.mark.parametrize(
    ("reason", "minute", "count", "reported"),
    [
        ("SyncLoadBalancerFailed", 58, 9, True),
        ("SyncLoadBalancerFailed", 20, 9, False),
        ("SyncLoadBalancerFailed", 58, 1, False),
        ("EnsuringLoadBalancer", 58, 9, False),
        ("FailedToUpdateEndpoint", 58, 9, False),
    ],
)
def test_a_warning_that_is_repeated_until_the_end_is_reported(reason: str, minute: float, count: int, reported: bool) -> None:
    """If it names trouble, no other rule reads it, and nothing else is found about the object."""
    incident = Incident().add(pod("web-1-a", running()))
    said = event(reason, "Error syncing load balancer: quota exceeded", "web", "Service", type="Warning", minute=minute)
    incident.add_event({**said, "count": count, "last": at(minute)})
    assert ("WarningEvents" in rules_of(incident)) is reported


def test_why_no_pod_of_a_service_is_ready_is_reported_beside_it() -> None:
    """A warning about the pod is read though its reason names no trouble. It explains the Service without endpoints."""
    service: Object = item("Service", "web", {"selector": {"app": "web"}, "ports": [{"port": 80}]})
    incident = Incident().add(unready(CREATING, minute=20), service)
    incident.add_event(event("VolumeResizing", "waits for the enlargement of its volume", minute=20, until=58, count=9))
    first, second = incident.judged().findings[:2]
    assert (first.rule, second.rule, second.because) == ("WarningEvents", "ServiceWithoutEndpoints", first)


@pytest.mark.parametrize(("minute", "reported"), [(20, True), (59.5, False)])
def test_a_workload_of_which_pods_are_not_ready_for_long_is_reported(minute: float, reported: bool) -> None:
    """Though nothing says why. Pods that have just been made may still start."""
    incident = Incident().add(unready(CREATING, minute=minute))
    assert rules_of(incident) == (["NotReady"] if reported else [])
    if reported:
        assert found(incident, "NotReady").message == (
            "web: 1 of 1 pod not ready: container app waits: ContainerCreating (since 14:20)"
        )


def test_a_crash_because_of_a_failed_call_is_explained_by_what_it_calls() -> None:
    """The called program crashes too: its own reason leads."""
    service: Object = item("Service", "ledger", {"selector": {"app": "ledger"}, "ports": [{"port": 80}]})
    ledger = pod("ledger-1-a", CRASHED, of="ledger-1", labels={"app": "ledger"})
    incident = Incident().add(pod("web-1-a", CRASHED)).add(ledger, service, of=("Deployment", "ledger"))
    incident.log("web-1-a", "28 ERROR dial tcp 10.0.0.9:80: connect: connection refused (http://ledger/entries)", run=3)
    incident.log("ledger-1-a", "28 ERROR segment 41 has a bad checksum", run=3)
    first, *others = incident.judged().findings
    assert (first.subject.name, first.rule) == ("ledger", "CrashLoop")
    assert {finding.because is not None for finding in others if finding.subject.name == "web"} == {True}


def test_what_a_server_refuses_to_a_caller_is_the_callers_fault() -> None:
    """Both report that the database does not exist: the caller asks for it."""
    service: Object = item("Service", "db", {"selector": {"app": "db"}, "ports": [{"port": 5432}]})
    db = pod("db-0", running(), labels={"app": "db"})
    incident = Incident().add(pod("web-1-a", running())).add(db, service, of=("StatefulSet", "db"))
    refused = 'database "shop" does not exist'
    incident.log("db-0", *(f"{minute} FATAL {refused}" for minute in range(30, 60)))
    incident.log("web-1-a", *(f"{minute} ERROR postgres://db:5432/shop: {refused}" for minute in range(30, 60)))
    assert str(incident.judged().findings[0].subject) == "deployment/web"


def test_information_comes_after_all_trouble() -> None:
    """Also after a consequence, so that commands which show trouble first number all findings alike."""
    service, web = Subject("Service", "web"), Subject("Deployment", "web")
    cause = Finding("CrashLoop", "critical", "certain", web, "crashes", 20)
    effect = Finding("ServiceWithoutEndpoints", "error", "certain", service, "empty", 40, pods=frozenset({"web-1"}))
    cause.pods = effect.pods
    rollout = Finding("Rollout", "info", "certain", web, "rolled out", 90)
    assert ranked([rollout, effect, cause], {}) == [cause, effect, rollout]
    assert effect.because is cause


def test_a_name_is_preferred_to_the_address_that_it_was_resolved_to() -> None:
    """Errors of Go have both."""
    assert peer_of('Get "http://ledger:8080/x": dial tcp 10.0.0.9:8080: connect: connection refused') == "ledger"
    assert peer_of("open postgres://[redacted:secret:1f2e]@pg:5432/x: dial tcp 10.0.0.9:5432: i/o timeout") == "pg"
    assert peer_of("dial tcp 10.0.0.9:8080: connect: connection refused") == "10.0.0.9"


@pytest.mark.parametrize(
    "place", ["app/controllers/application_controller.rb:31:in `load'", "worker_pool.ex:20:", "net_dial.go:31"]
)
def test_a_place_in_a_source_file_is_no_host(place: str) -> None:
    """A line's number follows it as a port follows a host."""
    assert peer_of(f"connection refused: {place}") == ""


def test_the_end_of_a_long_text_is_kept() -> None:
    """A chain of errors ends with its cause. Some messages end with links and ids instead: then the cause is kept."""
    guidance, ids = "check the settings of the application. " * 6, " Give these values to your administrator." * 6
    middle = cut_middle(f"{guidance}AADSTS7000222: The client secret keys for app '0d5c' are expired.{ids}", 300)
    assert "keys for app '0d5c' are expired" in middle
    text = cut_middle("cannot start: " + "failed to build: " * 40 + "version mismatch", 200)
    assert (len(text), text[:13], text[-16:]) == (200, "cannot start:", "version mismatch")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.B: x\n\tat a.C(C.java:1)\nCaused by: a.D: disk is full\n\tat a.E(E.java:1)", "a.D: disk is full"),
        (
            "launch failed!\n/app/chrome: cannot open shared object file\n",
            "launch failed!: /app/chrome: cannot open shared object file",
        ),
        ("one\ntwo", "one"),
    ],
)
def test_the_reason_in_a_text_of_several_lines(text: str, reason: str) -> None:
    """The last cause, or the first line with one that has the words of a category."""
    assert exception_of(text) == reason


def test_in_a_storm_of_unlike_lines_known_ones_are_counted() -> None:
    """Also after there are too many templates."""
    unlike = ["".join(letters) for letters in islice(product("ghijklmnop", repeat=4), MAX_TEMPLATES + 20)]
    incident = Incident().add(pod("web-1-a", running()))
    incident.log("web-1-a", *("30 ERROR order lost" for _ in range(10)), *(f"31 ERROR {word} lost" for word in unlike))
    storm = [line for word in unlike[:400] for line in (f"40 ERROR {word}q lost", "40 ERROR order lost")]
    incident.log("web-1-a", *storm, run=1)
    (known,) = [error for error in incident.judged().top_errors if error["template"] == "order lost"]
    assert known["count"] == 410
