"""Rules over their whole tables: images, Jobs, nodes and evictions."""

from typing import Any

import pytest

from tests.unit.evidence import Incident, a_node, at, conditions, ended, event, found, item, pod, rules_of, running, waiting

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("reason", "pulled", "message", "words"),
    [
        ("ErrImagePull", "manifest unknown", "", "the registry has no such tag"),
        ("ErrImagePull", "dial tcp: lookup reg.corp: no such host", "", "the registry's name cannot be resolved"),
        ("ErrImagePull", "authorization failed", "", "the registry refuses the credentials, or has no such repository"),
        ("ErrImagePull", "Authentication Required", "", "the registry asks for credentials"),
        (
            "ErrImagePull",
            "requested access to the resource is denied",
            "",
            "the registry refuses access, or has no such repository",
        ),
        ("ErrImagePull", "403 Forbidden", "", "the registry refuses access"),
        (
            "ErrImagePull",
            "403 Forbidden",
            "denied: Your authorization token has expired",
            "the credentials for the registry have expired",
        ),
        ("ErrImagePull", "unauthorized: expired JWT", "", "the credentials for the registry have expired"),
        ("ErrImagePull", "x509: certificate has expired", "", "the registry's certificate is not trusted"),
        ("ErrImagePull", "toomanyrequests: limit", "", "the registry limits pulls"),
        ("ErrImagePull", "connection refused", "", "the registry does not answer"),
        ("ErrImagePull", "dial: i/o timeout", "", "the registry does not answer in time"),
        ("ErrImagePull", "x509: unknown authority", "", "the registry's certificate is not trusted"),
        ("ErrImagePull", "no match for platform in manifest", "", "the image is not made for the node's architecture"),
        ("ErrImagePull", "no match for platform: not found", "", "the image is not made for the node's architecture"),
        ("ErrImagePull", "proxyconnect tcp: connection refused", "", "the proxy that its node pulls through does not answer"),
        ("ErrImagePull", "write /x: no space left on device", "", "the disk of its node has no space left for images"),
        ("ErrImagePull", f"a: {'b' * 140}: layer is not valid", "", "…layer is not valid"),
        ("ErrImagePull", "a new kind of fault", "", 'Failed to pull image "shop/app:2": a new kind of fault'),
        ("ErrImageNeverPull", "", "Container image is not present", "it is not on the node, and imagePullPolicy is Never"),
        ("InvalidImageName", "", "couldn't parse image reference", "its name is not valid"),
        ("InvalidImageName", "", "", "its name is not valid"),
        ("ImageInspectError", "", "invalid reference format", "the image's name is not valid"),
        ("RegistryUnavailable", "", "registry is away", "registry is away"),
        ("ImagePullBackOff", "", 'Back-off pulling image "shop/app:2"', 'Back-off pulling image "shop/app:2"'),
    ],
)
def test_why_an_image_is_not_pulled(reason: str, pulled: str, message: str, words: str) -> None:
    """The message has the registry's words, or ours for known ones."""
    incident = Incident().add(pod("web-1-a", waiting(reason, message)))
    if pulled:
        incident.add_event(event("Failed", f'Failed to pull image "shop/app:2": {pulled}', container="app"))
    finding = found(incident, "ImagePull")
    since = "14:28" if pulled else "14:01"
    assert finding.message == f"web: image shop/app:2 cannot be pulled: {words} (since {since})"
    assert (finding.severity, finding.confidence, finding.depth, len(finding.links)) == (
        "critical",
        "certain",
        10,
        1 + bool(pulled),
    )
    assert finding.remedy == "correct the image, or the pull secret"


def test_pods_that_wait_for_the_same_are_one_finding() -> None:
    """It has the first time and all links. Containers are listed separately."""
    early = pod("web-1-b", waiting("CreateContainerConfigError", "no key"), metadata={"creationTimestamp": at(0)})
    late = pod("web-1-a", waiting("CreateContainerConfigError", "no key"))
    both = pod(
        "web-1-c",
        waiting("CreateContainerConfigError", "no key", name="one"),
        waiting("RunContainerError", "no file", name="two"),
    )
    verdict = Incident().add(late, early, both).judged()
    found = {found.message: (found.pods, len(found.links), found.details["container"]) for found in verdict.findings}
    assert found == {
        "web: cannot be configured: no key (since 14:01)": (frozenset({"web-1-a", "web-1-b"}), 2, "app"),
        "web/one: cannot be configured: no key (since 14:01)": (frozenset({"web-1-c"}), 1, "one"),
        "web/two: cannot be started: no file (since 14:01)": (frozenset({"web-1-c"}), 1, "two"),
    }
    (merged,) = [finding for finding in verdict.findings if len(finding.pods) == 2]
    assert merged.first_seen == at(0)


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "CrashLoopBackOff", ""])
def test_containers_that_wait_for_something_else(reason: str) -> None:
    """They are not reported as unable to start. Nor are containers of a pod that is being deleted."""
    assert not {"ImagePull", "ConfigMissing", "ContainerCannotStart"} & set(
        rules_of(Incident().add(pod("web-1-a", waiting(reason))))
    )
    going = pod("web-1-a", waiting("ErrImagePull"), metadata={"deletionTimestamp": at(30)})
    assert "ImagePull" not in rules_of(Incident().add(going))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"reason": "BackoffLimitExceeded"}, "gave up after its last retry"),
        ({"reason": "DeadlineExceeded"}, "ran out of time of 60 s"),
        ({"reason": "PodFailurePolicy"}, "gave up, as its pod failure policy says"),
        ({"reason": "MaxFailedIndexesExceeded"}, "gave up: too many indexes failed"),
        ({"reason": "FailedIndexes"}, "gave up: indexes failed"),
        ({"reason": "New", "message": "for a new reason"}, "for a new reason"),
        ({"reason": "BackoffLimitExceeded", "status": "False"}, None),
        ({"reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-11-22T13:59:59Z"}, None),
        ({"reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-11-22T15:00:01Z"}, None),
    ],
)
@pytest.mark.parametrize("kind", ["Failed", "FailureTarget"])
def test_why_a_job_failed(condition: Object, words: str | None, kind: str) -> None:
    """The failure lies within the window. The message has the number of failed pods."""
    given = conditions(**{kind: condition})
    job = item("Job", "migrate", {"activeDeadlineSeconds": 60}, {"failed": 1, "conditions": given})
    incident = Incident().add(job, of=("Job", "migrate"))
    incident.add_event(event(condition["reason"], "x", name="migrate", kind="Job"))
    if words is None:
        assert "JobFailed" not in rules_of(incident)
        return
    finding = found(incident, "JobFailed")
    assert finding.message == f"migrate: the Job {words} (1 pod failed, at 14:20)"
    assert (finding.severity, finding.depth, finding.first_seen) == ("critical", 26, at(20))
    assert len(finding.links) == (1 if condition["reason"] == "New" else 2)


@pytest.mark.parametrize(
    "reason",
    ["MissSchedule", "TooManyMissedTimes", "FailedNeedsStart", "UnparseableSchedule", "InvalidSchedule", "UnknownTimeZone"],
)
def test_why_a_cron_job_did_not_start(reason: str) -> None:
    """The message has the controller's words. An event of another kind does not count."""
    finding = found(Incident().add_event(event(reason, "too late", name="nightly", kind="CronJob")), "CronJobMissed")
    assert (finding.message, finding.severity, finding.depth) == (
        "nightly: the CronJob too late (since 14:28)",
        "error",
        12,
    )
    assert "CronJobMissed" not in rules_of(Incident().add_event(event(reason, "too late", name="nightly", kind="Job")))


def test_a_cron_job_that_waits_or_is_suspended() -> None:
    """Its last Job still runs, or somebody suspended it."""
    active = event("JobAlreadyActive", "x", name="nightly", kind="CronJob", type="Normal")
    finding = found(Incident().add_event(active, active), "CronJobMissed")
    assert finding.message.startswith("nightly: the CronJob did not start: its last Job still runs")
    suspended = Incident().add(item("CronJob", "nightly", {"suspend": True}), of=("CronJob", "nightly"))
    finding = found(suspended, "CronJobMissed")
    assert (finding.message, finding.severity, finding.first_seen) == ("nightly: the CronJob is suspended", "warning", None)
    states = conditions(Suspended={"reason": "JobSuspended"})
    suspended = Incident().add(item("Job", "train", {"suspend": True}, {"conditions": states}), of=("Job", "train"))
    finding = found(suspended, "JobSuspended")
    assert (finding.message, finding.severity) == ("train: the Job is suspended (since 14:20)", "warning")


@pytest.mark.parametrize(
    ("states", "rule", "words", "severity"),
    [
        ({"Ready": {"status": "False", "message": "PLEG"}}, "NodeNotReady", "is not ready: PLEG", "critical"),
        ({"Ready": {"status": "Unknown", "reason": "Gone"}}, "NodeNotReady", "is not ready: Gone", "critical"),
        ({"Ready": "True", "MemoryPressure": "True"}, "MemoryPressure", "is short of memory", "error"),
        ({"Ready": "True", "DiskPressure": "True"}, "DiskPressure", "is short of disk", "error"),
        ({"Ready": "True", "PIDPressure": "True"}, "PIDPressure", "is short of process ids", "error"),
        ({"NetworkUnavailable": "True"}, "NetworkUnavailable", "has no network", "error"),
        ({"Ready": "True", "DiskPressure": "False"}, None, "", ""),
    ],
)
def test_a_node_in_trouble(states: Object, rule: str | None, words: str, severity: str) -> None:
    """Its conditions show it. The finding has the pods on the node."""
    incident = Incident(shared=[a_node(**states)]).add(pod("web-1-a", running()))
    if rule is None:
        assert rules_of(incident) == []
        return
    finding = found(incident, rule)
    assert (finding.message, finding.severity, finding.depth) == (f"node n1 {words} (since 14:20)", severity, 0)
    assert (finding.nodes, finding.pods, finding.first_seen) == (frozenset({"n1"}), frozenset({"web-1-a"}), at(20))


@pytest.mark.parametrize(
    ("reason", "words", "severity"),
    [
        ("NodeNotReady", "was not ready (since 14:28)", "warning"),
        ("EvictionThresholdMet", "evicted pods to win resources back (since 14:28)", "warning"),
        ("NodeHasDiskPressure", "was short of disk (since 14:28)", "warning"),
        ("NodeHasInsufficientMemory", "was short of memory (since 14:28)", "warning"),
        ("SystemOOM", "ran out of memory: victim java", "error"),
    ],
)
def test_a_node_that_was_in_trouble(reason: str, words: str, severity: str) -> None:
    """Its events show it. Those of a node's first 15 minutes only inform, and its current conditions come first."""
    incident = Incident().add_event(event(reason, "victim java", name="n1", kind="Node"))
    finding = found(incident, reason)
    assert (finding.message, finding.severity) == (f"node n1 {words}", severity)
    for created, beginning in ((at(13.1), "info"), (at(20), "info"), (at(13), severity)):
        young = Incident(shared=[a_node(created, Ready="True")]).add_event(event(reason, "x", name="n1", kind="Node"))
        assert found(young, reason).severity == beginning, created
    now = Incident(shared=[a_node(Ready="False")]).add_event(event("SystemOOM", "x", name="n1", kind="Node"))
    assert rules_of(now) == ["NodeNotReady"]


@pytest.mark.parametrize(
    ("reason", "rule", "words"),
    [
        ("PreemptionByScheduler", "Preempted", "preempted by a pod of higher priority: x"),
        ("DeletionByTaintManager", "Removed", "removed, since its node has a taint that it does not tolerate: x"),
        ("DeletionByPodGC", "Removed", "removed, since its node is gone: x"),
        ("EvictionByEvictionAPI", None, ""),
    ],
)
def test_a_pod_that_was_disrupted(reason: str, rule: str | None, words: str) -> None:
    """Its condition shows it. A drain requested by a user is no disruption."""
    status = {"conditions": conditions(DisruptionTarget={"reason": reason, "message": "x"}), "phase": "Failed"}
    incident = Incident().add(pod("web-1-a", running(ready=False), status=status))
    if rule is None:
        assert not {"Preempted", "Removed", "Evicted"} & set(rules_of(incident))
        return
    finding = found(incident, rule)
    assert (finding.message, finding.severity, finding.depth) == (f"web: {words} (at 14:20)", "error", 5)


def test_evictions_of_a_workload_are_one_finding() -> None:
    """They come from pods and events. A cancelled eviction by a taint does not count."""
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "low on memory", "startTime": at(5)}
    incident = Incident().add(pod("web-1-a", running(ready=False), status=evicted))
    incident.add_event(event("Evicted", "low on disk", name="web-1-b", minute=3))
    incident.add_event(event("TaintManagerEviction", "Cancelling deletion of Pod", name="web-1-c", type="Normal"))
    finding = found(incident, "Evicted")
    assert finding.message == "web: evicted: low on memory (at 14:03)"
    assert (finding.pods, len(finding.links), finding.first_seen) == (frozenset({"web-1-a", "web-1-b"}), 2, at(3))
    assert finding.remedy == "set requests and limits by what the pod uses"
    assert "Removed" not in rules_of(incident)


@pytest.mark.parametrize(
    ("status", "rule"),
    [
        (waiting("ErrImagePull", "x"), "ImagePull"),
        (waiting("CrashLoopBackOff", restarts=2, last=ended(1)), "CrashLoop"),
        (running(restarts=3, last=ended(137, "OOMKilled")), "OOMKilled"),
    ],
)
def test_a_pod_of_no_workload_is_named_itself(status: Object, rule: str) -> None:
    """Its objects are those of the namespace."""
    finding = found(Incident(shared=[pod("lonely", status)]), rule)
    assert str(finding.subject) == "pod/lonely"
    assert finding.message.startswith("lonely: ")


def stateful(ready: int, updated: int, replicas: int | None = 3, to: str = "new") -> Object:
    """A StatefulSet that is being rolled out to revision `to`."""
    status = {"currentRevision": "old", "updateRevision": to, "readyReplicas": ready, "updatedReplicas": updated}
    return item("StatefulSet", "web", {} if replicas is None else {"replicas": replicas}, status)


def daemons(updated: int, unavailable: int) -> Object:
    """A DaemonSet that wants three pods."""
    numbers = {"desiredNumberScheduled": 3, "updatedNumberScheduled": updated, "numberUnavailable": unavailable}
    return item("DaemonSet", "web", {}, numbers)


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        (stateful(2, 1), "the new revision has 1 of 3 pods"),
        (stateful(0, 0, None), "the new revision has 0 of 1 pod"),
        (stateful(3, 1), None),
        (stateful(2, 1, to="old"), None),
        (daemons(1, 2), "the new revision has 1 of 3 pods, 2 unavailable"),
        (daemons(0, 1), "the new revision has 0 of 3 pods, 1 unavailable"),
        (daemons(3, 1), None),
        (daemons(1, 0), None),
        (item("DaemonSet"), None),
    ],
    ids=[
        "a pod is not ready",
        "one replica by default",
        "all ready",
        "no new revision",
        "pods are unavailable",
        "none is updated",
        "all updated",
        "all available",
        "nothing is wanted",
    ],
)
def test_which_rollouts_without_a_deadline_hang(workload: Object, words: str | None) -> None:
    """StatefulSets and DaemonSets without their new pods hang if something is wrong. Otherwise they are still in progress."""
    incident = Incident().add(workload, of=(workload["kind"], "web"))
    if words is None:
        assert "RolloutStuck" not in rules_of(incident)
        return
    finding = found(incident, "RolloutStuck")
    assert finding.message == f"web: the rollout hangs: {words}"
    assert (finding.severity, finding.confidence, finding.first_seen, len(finding.links)) == ("warning", "likely", None, 1)
