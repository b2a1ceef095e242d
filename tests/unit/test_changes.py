"""What changed before a problem: rollouts with values before and after, versions, ConfigMaps; and text of logs."""

from typing import Any

import pytest

from aletheia_operator.findings.entry_text import text_of
from aletheia_operator.findings.error_categories import runtime_message
from aletheia_operator.findings.revisions import changes_between, version_of
from aletheia_operator.findings.verdict import shortened
from tests.unit.evidence import Incident, Object, at, ended, event, found, item, pod, rules_of, running, waiting


def revision(number: int, created: float = 20, labels: Object | None = None, **container: Any) -> Object:
    """A ReplicaSet of `web`."""
    template = {"metadata": {"labels": labels or {}}, "spec": {"containers": [{"name": "app", "image": "shop:1", **container}]}}
    return item("ReplicaSet", f"web-{number}", {"template": template}, creationTimestamp=at(created))


def rolled_out(number: int, minute: float) -> Object:
    """The metadata of objects for a revision."""
    return {
        "revision": number,
        "name": f"web-{number}",
        "created": at(minute),
        "in_window": True,
        "summary": f"revision {number} rolled out: app shop:{number}",
        "changed": [],
        "images": {},
    }


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"image": "shop:1"}, {"image": "shop:2"}, ["app image shop:1 → shop:2"]),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}, ["app env A 1 → 2"]),
        ({}, {"env": [{"name": "A", "value": "2"}]}, ["app env A 2 added"]),
        ({"env": [{"name": "A", "value": "2"}]}, {}, ["app env A 2 removed"]),
        (
            {"env": [{"name": "A", "value": "2"}]},
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            ['app env A 2 → {"valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}'],
        ),
        (
            {"resources": {"limits": {"memory": "1Gi"}}},
            {"resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "1"}}},
            ["app resources limits memory 1Gi → 64Mi", "app resources requests cpu 1 added"],
        ),
        ({"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 81}]}, ["app ports 80", "app ports 81"]),
        ({"command": ["a"]}, {"command": ["a", "b"]}, ['app command ["a"] → ["a","b"]']),
        ({}, {}, []),
    ],
)
def test_what_two_revisions_differ_in(before: Object, after: Object, words: list[str]) -> None:
    """Each value that differs, with both values."""
    texts = [str(texts) for texts in changes_between(revision(1, **before), revision(2, **after))]
    assert len(texts) == len(words)
    assert all(text.startswith(start) for text, start in zip(texts, words, strict=True)), texts


def test_containers_that_were_added_or_removed() -> None:
    """Their image names them."""
    more = revision(2)
    more["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "envoy:1"})
    assert [str(change) for change in changes_between(revision(1), more)] == ["proxy container envoy:1 added"]
    assert [str(change) for change in changes_between(more, revision(1))] == ["proxy container envoy:1 removed"]


@pytest.mark.parametrize(
    ("labels", "annotations", "version"),
    [
        ({"app.kubernetes.io/version": "2.1.0"}, {}, {"version": "2.1.0"}),
        ({}, {"kubernetes.io/change-cause": "release 7"}, {"cause": "release 7"}),
        ({"org.opencontainers.image.revision": "1f2e3d"}, {}, {"commit": "1f2e3d"}),
        ({"app": "web"}, {}, {}),
    ],
)
def test_the_version_that_a_revision_tells(labels: Object, annotations: Object, version: Object) -> None:
    """By its labels and annotations, and by those of its template."""
    labelled = revision(1, labels=labels)
    labelled["metadata"]["annotations"] = annotations
    assert version_of(labelled) == version


def broken_rollout(pod_of: str = "2", minute: float = 28) -> Incident:
    """Revision 2 changes a setting at 14:20, and a pod crashes."""
    status = waiting("CrashLoopBackOff", restarts=2, last=ended(1, minute=minute))
    env = [{"name": "REGION", "value": "eu-1"}], [{"name": "REGION", "value": "eu-9"}]
    incident = Incident(rollouts={("Deployment", "web"): [rolled_out(1, 5), rolled_out(2, 25)]})
    labels = {"app": "web", "pod-template-hash": pod_of}
    incident.add(revision(1, 5, env=env[0]), revision(2, 25, env=env[1], labels={"app.kubernetes.io/version": "9"}))
    return incident.add(pod(f"web-{pod_of}-a", status, labels=labels))


def test_a_crash_of_pods_of_a_new_revision_says_what_the_revision_changed() -> None:
    """With the values before and after, and a link to the revision."""
    finding = found(broken_rollout(), "CrashLoop")
    assert finding.message.endswith("; new in revision 2: app env REGION eu-1 → eu-9; version 9")
    assert finding.details["rollout"]["changed"] == [{"container": "app", "field": "env REGION", "from": "eu-1", "to": "eu-9"}]
    assert 1 in [link.entry for link in finding.links]


@pytest.mark.parametrize("incident", [broken_rollout("1"), broken_rollout(minute=10), broken_rollout(minute=45)])
def test_a_crash_that_has_nothing_to_do_with_the_rollout(incident: Incident) -> None:
    """Pods of an older revision, a crash before it, or long after it: the finding does not mention the rollout."""
    assert "revision" not in found(incident, "CrashLoop").message


def test_a_crash_after_a_config_map_changed_says_so() -> None:
    """A ConfigMap that was created within the window has not changed."""
    crashed = pod("web-1-a", waiting("CrashLoopBackOff", restarts=2, last=ended(1)))
    routes = item("ConfigMap", "routes", creationTimestamp=at(1)) | {"changedAt": at(26)}
    made = item("ConfigMap", "made", creationTimestamp=at(26)) | {"changedAt": at(26)}
    finding = found(Incident().add(crashed, made, routes), "CrashLoop")
    assert finding.message.endswith("; ConfigMap routes changed at 14:26")
    assert "ConfigMap" not in found(Incident().add(crashed, made), "CrashLoop").message


def test_what_changed_is_saved_with_its_values() -> None:
    """In data/findings.json, in order of time."""
    changes = broken_rollout().judged().changes
    assert [change["details"]["revision"] for change in changes] == [1, 2]
    assert changes[1]["details"]["version"] == {"version": "9"}
    assert changes[1]["message"] == "web: revision 2 rolled out: app env REGION eu-1 → eu-9; version 9 (at 14:25)"


TRACE = 'Traceback (most recent call last):\n  File "/app/main.py", line 7, in pay\n    raise bad\n'


def failed(exception: str, message: str = "failed") -> Object:
    """A structured line with an exception in a field."""
    return {"line": "{}", "message": message, "fields": {"exception": exception}}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"line": "panic: record 40", "message": "record 40"}, "panic: record 40"),
        ({"line": "fatal error: all goroutines", "message": "all goroutines"}, "fatal error: all goroutines"),
        ({"line": "2026/11/29 08:00:00 panic: boom", "message": "boom"}, "panic: boom"),
        ({"line": "ERROR no", "message": "no"}, "no"),
        ({"line": "{}", "message": "charge failed", "fields": {"error": "x509: bad"}}, "charge failed: x509: bad"),
        ({"line": "{}", "message": "x509: bad", "fields": {"error": "x509: bad"}}, "x509: bad"),
        ({"line": "{}", "message": "failed", "fields": {"err": {"message": "refused"}}}, "failed: refused"),
        ({"line": "{}", "message": "failed", "fields": {"error": None, "cause": 7}}, "failed"),
        ({"line": "{}", "message": "failed", "fields": ["error"]}, "failed"),
        (failed(f"{TRACE}ValueError: bad record"), "failed: ValueError: bad record"),
        (failed(f"{TRACE}a.b.Bad: record 7\nof 40\n"), "failed: a.b.Bad: record 7"),
        (failed("java.io.IOException: gone\n\tat shop.Till.open(Till.java:7)"), "failed: java.io.IOException: gone"),
        (failed(f"{TRACE}ConnectionError: refused", "paying failed: refused"), "paying failed: refused"),
        (failed("KeyError: 'id'", "no 'id'"), "no 'id'"),
        (failed("Traceback (most recent call last):\n"), "failed: Traceback (most recent call last):\n"),
        (failed("\n \n"), "failed: \n \n"),
        ({"line": "plain"}, "plain"),
        ({}, ""),
    ],
)
def test_the_words_of_a_line_are_as_written(entry: Object, words: str) -> None:
    """With the head of a crash, and the error in a separate field of a structured line."""
    assert text_of(entry) == words


def test_what_a_runtime_says_without_its_layers() -> None:
    """The names of components that pass the message on are left out."""
    message = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable"
        ' to start container process: error during container init: exec: "/srv": stat /srv: no such file or directory'
    )
    assert runtime_message(message) == 'exec: "/srv": stat /srv: no such file or directory'
    assert runtime_message("anything else") == "anything else"


USAGE = ("27 srv: unrecognized option --listn", *("27 Usage: srv [-d] [-p]" for _ in range(20)))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (USAGE, "srv: unrecognized option"),
        (("27 sh: pg_dump: not found", "27 INFO nightly report"), "sh: pg_dump: not found"),
        (("27 ERROR run failed", "27 \tat a.B.c(B.java:1)", "27 Caused by: a.X: no table", "27 \t... 9 more"), "a.X: no table"),
        (("26 connecting to db:5432", "27 INFO record 1", "27 INFO record 2"), "record 2"),
    ],
)
def test_the_last_words_tell_why(lines: tuple[str, ...], words: str) -> None:
    """Usage text, a line of the other stream and a long stack trace do not hide the cause."""
    status = waiting("CrashLoopBackOff", restarts=1, last=ended(1))
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", *lines, run=1)
    assert words in found(incident, "CrashLoop").message


def test_the_log_of_the_next_run_speaks_for_one_that_is_gone() -> None:
    """A kubelet's answer in place of a log is not the program's output."""
    status = running(restarts=7, last=ended(1), ready=False)
    incident = Incident().add(pod("web-1-a", status))
    incident.log("web-1-a", "27 unable to retrieve container logs for containerd://593db86", run=6)
    incident.log("web-1-a", "28 INFO starting", "28 ERROR no port", run=7)
    assert found(incident, "CrashLoop").message.startswith("web: no port")


@pytest.mark.parametrize(
    ("metadata", "containers", "words"),
    [
        ({"finalizers": ["a.io/audit"]}, {"terminated": ended(0)}, "finalizer a.io/audit holds it"),
        ({"finalizers": ["a.io/audit"]}, {"running": {}}, "1500 s after its grace period"),
        ({}, {"running": {}}, "1500 s after its grace period"),
    ],
)
def test_a_pod_that_does_not_go(metadata: Object, containers: Object, words: str) -> None:
    """A finalizer holds it, or its node does not end it."""
    status = {"name": "app", "ready": False, "restartCount": 0, "state": containers}
    stays = pod("web-1-a", status, metadata={"deletionTimestamp": at(35), **metadata})
    assert words in found(Incident().add(stays), "DeletionStuck").message


def test_a_pod_that_is_just_going() -> None:
    """Nothing is reported within its grace period."""
    going = pod("web-1-a", running(), metadata={"deletionTimestamp": at(59.5)})
    assert "DeletionStuck" not in rules_of(Incident().add(going))


def test_a_service_of_a_workload_without_pods_does_not_blame_its_selector() -> None:
    """The workload was scaled to nothing: that is the cause."""
    template = {"metadata": {"labels": {"app": "ledger"}}}
    ledger = item("Deployment", "ledger", {"replicas": 0, "template": template})
    service = item("Service", "ledger", {"selector": {"app": "ledger"}, "ports": [{"port": 80}]})
    endpoints = item("EndpointSlice", "ledger-x", labels={"kubernetes.io/service-name": "ledger"}) | {"endpoints": []}
    incident = Incident().add(ledger, service, endpoints, of=("Deployment", "ledger")).add(pod("web-1-a", running()))
    scaled = event("ScalingReplicaSet", "Scaled down replica set ledger-1 from 1 to 0", "ledger", "Deployment", type="Normal")
    assert rules_of(incident.add_event(scaled))[:2] == ["ScaledToZero", "ServiceWithoutEndpoints"]


def test_probes_that_failed_only_while_a_pod_started() -> None:
    """However often: it is ready now."""
    failing = event("Unhealthy", "Startup probe failed: connection refused", container="app", count=14, minute=18, until=20)
    assert found(Incident().add(pod("web-1-a", running())).add_event(failing), "StartupProbe").severity == "info"


def test_pods_that_leave_may_fail_their_probes() -> None:
    """A rollout removes them."""
    leaving = pod("web-0-a", running(ready=False), metadata={"deletionTimestamp": at(59.9)})
    failing = event("Unhealthy", "Readiness probe failed: connection refused", "web-0-a", container="app", count=40, until=59)
    assert found(Incident().add(leaving, pod("web-1-a", running())).add_event(failing), "ReadinessProbe").severity == "info"


def test_pods_that_their_node_refuses_are_one_finding() -> None:
    """However many Pods the controller recreates."""
    status = {"phase": "Failed", "reason": "SysctlForbidden", "message": "forbidden sysctl: net.core.somaxconn"}
    pods = (pod(f"web-1-{letter}", running(ready=False), status=status) for letter in "abc")
    finding = found(Incident().add(*pods), "PodRejected")
    assert finding.message.startswith("web: refused by its node (SysctlForbidden): forbidden sysctl: net.core.somaxconn")
    assert len(finding.pods) == 3


def test_a_hook_that_fails_explains_the_kill() -> None:
    """Exit code 137 alone would not explain it."""
    incident = Incident().add(pod("web-1-a", waiting("CrashLoopBackOff", restarts=2, last=ended(137))))
    incident.add_event(event("FailedPostStartHook", "PostStartHook failed", container="app"))
    assert found(incident, "HookFailed").message.startswith("web: its hook fails, so it is stopped: PostStartHook failed")


@pytest.mark.parametrize(
    ("message", "headline"),
    [
        ("web: short", "web: short"),
        (f"web: {'word ' * 40}(exit 1)", "… (exit 1)"),
        (f"web: {'word ' * 30}(exit 1 since 14:20); new in revision 2: app env A 1 → 2", "… (exit 1 since 14:20)"),
        ("w" * 300, "w…"),
        (f"web: {'word ' * 40}({'x' * 80})", "…"),
    ],
)
def test_a_long_message_keeps_its_end_in_the_headline(message: str, headline: str) -> None:
    """The middle is cut; exit code and time stay."""
    short = shortened(message)
    assert len(short) <= 160
    assert short.endswith(headline)
