"""How an Investigation is steered and read: progress, waiting, cancelling, suspending, applying again, deleting."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster import programs
from tests.cluster.rig import RigError
from tests.integration.conftest import start_speaker
from tests.support.http import OVER, serving
from tests.support.operator import (
    Kubectl,
    Operator,
    check_session,
    data_source,
    evidence_of,
    investigation,
    session_of,
    until,
)

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def hanging(kubectl: Kubectl) -> Iterator[str]:
    """The name of a Jaeger DataSource that accepts questions and does not answer."""

    async def hang(request: web.Request) -> web.Response:
        await request.app[OVER].wait()
        return web.Response()

    with serving() as serve:
        kubectl.apply(data_source("it-hanging", "jaeger", serve(hang), timeout="5m"))
        yield "it-hanging"


def traces_from(name: str) -> list[dict[str, object]]:
    return [{"service": "shop", "dataSourceRef": {"name": name}}]


def end_of(created: str) -> str:
    """Return the end of a window: the end of the second of the creation."""
    return created.replace("Z", ".999999Z")


def end_of_second(resource: dict[str, dict[str, str]]) -> str:
    """Return the end of the second in which a resource was created, which is the end of its window."""
    return resource["metadata"]["creationTimestamp"].removesuffix("Z") + ".999999Z"


def conditions_of(resource: dict[str, dict[str, list[dict[str, str]]]]) -> dict[str, tuple[str, str]]:
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in resource["status"]["conditions"]}


def test_conditions_and_progress_while_it_runs(kubectl: Kubectl, operator: Operator, speaker: str, hanging: str) -> None:
    """Running: progress 1/2, Reconciling, not Ready; cancelled: what was captured is kept and the rest is a gap."""
    kubectl.apply(investigation("running", targets=[{"pod": speaker}], logs={}, traces=traces_from(hanging)))
    kubectl.wait("investigation/running", "jsonpath={.status.progress.text}=1/2")
    resource = kubectl.get("investigation", "running")
    assert resource["status"]["phase"] == "Running"
    assert resource["status"]["observedGeneration"] == 1
    assert conditions_of(resource) == {
        "Ready": ("False", "Running"),
        "Reconciling": ("True", "Running"),
        "Stalled": ("False", "Running"),
        "Succeeded": ("Unknown", "Running"),
    }
    kubectl("patch", "investigation", "running", "--type=merge", '--patch={"spec": {"cancel": true}}')
    ended = kubectl.ended("running", 30)
    assert ended["status"]["phase"] == "Cancelled"
    assert [gap["reason"] for gap in ended["status"]["gaps"]] == ["Cancelled"]
    assert len(evidence_of(ended)) == 1
    assert conditions_of(ended)["Stalled"] == ("True", "Cancelled")
    check_session(session_of(ended))
    until(lambda: kubectl.get("investigation", "running")["status"]["observedGeneration"] == 2, 15, "the change has been seen")


def test_before_anyone_looked_it_is_in_progress(own_namespace: Kubectl) -> None:
    """Without an operator the API server sets that no generation was observed, so kstatus reads InProgress."""
    own_namespace.apply(investigation("early", targets=[{"pod": "any"}], logs={}))
    assert own_namespace.get("investigation", "early")["status"] == {"observedGeneration": -1}


def test_kubectl_wait_reads_the_conditions(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """`kubectl wait` for Ready and Succeeded returns; for Succeeded of a partial one it does not."""
    kubectl.apply(investigation("whole", targets=[{"pod": speaker}], logs={}))
    kubectl.wait("investigation/whole", "condition=Ready")
    kubectl.wait("investigation/whole", "condition=Succeeded")
    kubectl.apply(investigation("part", targets=[{"pod": speaker}, {"pod": "gone"}], logs={}))
    kubectl.wait("investigation/part", "condition=Ready")
    with pytest.raises(RigError, match="timed out"):
        kubectl.wait("investigation/part", "condition=Succeeded", 1)


def test_suspended_until_told(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """A suspended Investigation waits, and starts when suspend becomes false; its window still ends at its creation."""
    kubectl.apply(investigation("waiting", suspend=True, targets=[{"pod": speaker}], logs={}))
    kubectl.wait("investigation/waiting", "jsonpath={.status.phase}=Pending")
    resource = kubectl.get("investigation", "waiting")
    assert conditions_of(resource)["Reconciling"] == ("True", "Suspended")
    assert "session" not in resource["status"]
    kubectl("patch", "investigation", "waiting", "--type=merge", '--patch={"spec": {"suspend": false}}')
    ended = kubectl.ended("waiting")
    assert ended["status"]["phase"] == "Completed"
    assert ended["status"]["window"][1] == end_of(resource["metadata"]["creationTimestamp"])
    assert ended["status"]["observedGeneration"] == 2


def test_applying_again_captures_nothing_again(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """Applying the same resource again, labelling or annotating it does not change session and status."""
    first = kubectl.investigate("again", targets=[{"pod": speaker}], logs={})
    content = {path: path.stat().st_mtime_ns for path in session_of(first).rglob("*")}
    kubectl.apply(investigation("again", targets=[{"pod": speaker}], logs={}))
    kubectl("label", "investigation", "again", "touched=yes")
    kubectl("annotate", "investigation", "again", "touched=yes")
    kubectl.investigate("after-again", targets=[{"pod": speaker}], logs={})  # earlier events have been handled before it
    again = kubectl.get("investigation", "again")
    assert again["status"] == first["status"]
    assert {path: path.stat().st_mtime_ns for path in session_of(first).rglob("*")} == content


def test_a_deleted_one_stops_and_its_name_is_free(kubectl: Kubectl, operator: Operator, speaker: str, hanging: str) -> None:
    """Deleting a running Investigation needs no finalizer; a new one of that name gets a new session."""
    kubectl.apply(investigation("reused", targets=[{"pod": speaker}], logs={}, traces=traces_from(hanging)))
    kubectl.wait("investigation/reused", "jsonpath={.status.phase}=Running")
    before = kubectl.get("investigation", "reused")
    assert "finalizers" not in before["metadata"]
    kubectl("delete", "investigation", "reused", "--timeout=10s")
    resource = kubectl.investigate("reused", targets=[{"pod": speaker}], logs={})
    assert resource["status"]["phase"] == "Completed"
    assert resource["metadata"]["uid"] != before["metadata"]["uid"]
    assert resource["status"]["session"]["id"] != before.get("status", {}).get("session", {}).get("id")


def test_more_than_may_run_are_queued(own_namespace: Kubectl, root: Path, hanging: str) -> None:
    """If only one may run, the second is Queued until the first has ended."""
    kubectl = own_namespace
    start_speaker(kubectl)
    operator = Operator(kubectl.cluster, root, [kubectl.namespace], ["--max-investigations=1"]).start()
    try:
        kubectl.apply(investigation("first", traces=traces_from(hanging)))
        kubectl.wait("investigation/first", "jsonpath={.status.phase}=Running")
        kubectl.apply(investigation("second", targets=[{"pod": "speaker"}], logs={}))
        kubectl.wait("investigation/second", "jsonpath={.status.phase}=Queued")
        kubectl("patch", "investigation", "first", "--type=merge", '--patch={"spec": {"cancel": true}}')
        assert kubectl.ended("second")["status"]["phase"] == "Completed"
        assert kubectl.get("investigation", "first")["status"]["phase"] == "Cancelled"
    finally:
        operator.stop()


def test_a_queued_one_is_cancelled_at_once(own_namespace: Kubectl, root: Path, hanging: str) -> None:
    """A cancelled one in the queue ends without waiting for a place; a suspended one leaves the queue."""
    kubectl = own_namespace
    operator = Operator(kubectl.cluster, root, [kubectl.namespace], ["--max-investigations=1"]).start()
    try:
        kubectl.apply(investigation("first", traces=traces_from(hanging)))
        kubectl.wait("investigation/first", "jsonpath={.status.phase}=Running")
        for name in ("second", "third"):
            kubectl.apply(investigation(name, traces=traces_from(hanging)))
            kubectl.wait(f"investigation/{name}", "jsonpath={.status.phase}=Queued")
        kubectl("patch", "investigation", "second", "--type=merge", '--patch={"spec": {"cancel": true}}')
        assert kubectl.ended("second", 15)["status"]["phase"] == "Cancelled"
        kubectl("patch", "investigation", "third", "--type=merge", '--patch={"spec": {"suspend": true}}')
        kubectl.wait("investigation/third", "jsonpath={.status.phase}=Pending", 15)
        assert kubectl.get("investigation", "first")["status"]["phase"] == "Running"
    finally:
        operator.stop()


def test_two_operators_capture_each_investigation_once(own_namespace: Kubectl, root: Path, hanging: str) -> None:
    """The first operator marks it, and none is captured twice; the other reports it as contested unless it has ended."""
    kubectl = own_namespace
    others = root.parent / "other"
    operators = [Operator(kubectl.cluster, volume, [kubectl.namespace]).start() for volume in (root, others)]
    try:
        names = [f"shared-{number}" for number in range(8)]
        kubectl.apply(*(investigation(name, targets=[{"pod": "missing"}], events={}) for name in names))
        ended = [kubectl.ended(name) for name in names]

        def sessions_of(volume: Path) -> set[str]:
            return {json.loads(path.read_bytes())["investigation"]["name"] for path in volume.glob("sessions/*/manifest.json")}

        assert sessions_of(root) | sessions_of(others) == set(names)
        assert not sessions_of(root) & sessions_of(others)
        volumes = {json.loads((volume / "volume.json").read_bytes())["id"]: volume for volume in (root, others)}
        for resource in ended:
            assert resource["metadata"]["name"] in sessions_of(volumes[resource["status"]["operator"]])

        kubectl.apply(investigation("long", traces=traces_from(hanging)))
        until(lambda: "Contested" in conditions_of(kubectl.get("investigation", "long")), 30, "it is said to be contested")
        kubectl("patch", "investigation", "long", "--type=merge", "-p", '{"spec":{"cancel":true}}')
        assert kubectl.ended("long")["status"]["phase"] == "Cancelled"
    finally:
        for operator in operators:
            operator.stop()


def test_a_finished_one_is_deleted_after_its_time(own_namespace: Kubectl, root: Path) -> None:
    """It is deleted with its session, as Jobs are; one on hold stays."""
    kubectl = own_namespace
    operator = Operator(kubectl.cluster, root, [kubectl.namespace], ["--sweep-seconds=1"]).start()
    try:
        held = investigation("held", targets=[{"pod": "missing"}], events={}, ttlSecondsAfterFinished=1)
        held["metadata"]["annotations"] = {"aletheia.dev/legal-hold": "case 4711"}
        kubectl.apply(held, investigation("short", targets=[{"pod": "missing"}], events={}, ttlSecondsAfterFinished=1))
        until(lambda: kubectl("get", "investigations", "-o", "name") == "investigation.aletheia.dev/held\n", 30, "one is gone")
        until(lambda: len(list(root.glob("sessions/INC-*"))) == 1, 30, "and its session")
    finally:
        operator.stop()


def test_columns(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """`kubectl get inv` shows phase, progress, artifacts, session and age; wide also size, gaps and headline."""
    resource = kubectl.investigate("columns", targets=[{"pod": speaker}], logs={})
    header, row = kubectl("get", "inv", "columns").splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "ARTIFACTS", "SESSION", "AGE"]
    assert row.split()[:5] == ["columns", "Completed", "1/1", "4", resource["status"]["session"]["id"]]
    wide = kubectl("get", "inv", "columns", "-o", "wide").splitlines()[0].split()
    assert wide == ["NAME", "PHASE", "PROGRESS", "ARTIFACTS", "SESSION", "SIZE", "GAPS", "AGE", "HEADLINE"]
    assert "columns" in kubectl("get", "inv", "--field-selector=status.phase=Completed")
    assert "columns" in kubectl("get", "aletheia")


def test_a_window_that_ends_in_the_future_is_cut_and_said(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """The window is fixed at creation; the part in the future is a gap."""
    window = {"start": "2026-01-01T00:00:00Z", "end": "2999-01-01T00:00:00Z"}
    resource = kubectl.investigate("future", window=window, targets=[{"pod": speaker}], logs={})
    assert resource["status"]["window"] == ["2026-01-01T00:00:00Z", end_of(resource["metadata"]["creationTimestamp"])]
    assert [gap["reason"] for gap in resource["status"]["gaps"]] == ["WindowInFuture"]


def test_the_operator_takes_no_finalizer_and_no_annotation(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """Nothing that tenants can write carries the operator's state."""
    metadata = kubectl.investigate("clean", targets=[{"pod": speaker}], logs={})["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}


@pytest.mark.usefixtures("operator")
def test_events_tell_start_and_end(kubectl: Kubectl, speaker: str) -> None:
    """A person who describes the resource sees that it started and how it ended."""
    kubectl.investigate("eventful", targets=[{"pod": speaker}], logs={})
    until(lambda: {"Started", "Completed"} <= kubectl.reasons("eventful"), 15, "both events")


def test_captures_are_counted(kubectl: Kubectl, operator: Operator, speaker: str, metrics_port: int) -> None:
    """The operator's metrics count captures, gaps, questions and requests; promtool accepts them."""
    kubectl.investigate("counted", targets=[{"pod": speaker}, {"pod": "gone"}], logs={})
    until(lambda: "PartiallyCompleted" in kubectl.reasons("counted"), 15, "the operator has counted it, and then said so")
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10) as answer:
        scraped = answer.read()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(scraped.decode())
        for sample in family.samples
    }
    assert samples["aletheia_captures_total", "PartiallyCompleted"] >= 1
    assert samples["aletheia_gaps_total", "NotFound"] >= 1
    assert samples["aletheia_fetch_duration_seconds_count", "KubernetesLogs"] >= 1
    assert samples["aletheia_captured_bytes_total", "KubernetesLogs"] > 0
    assert samples["aletheia_requests_total", "2xx", "kubernetes"] > 0
    assert samples["aletheia_queue_wait_seconds_count",] >= 1
    assert samples["aletheia_volume_free_bytes",] > 0
    _, promtool = programs.prometheus()
    subprocess.run([promtool, "check", "metrics"], input=scraped, check=True, timeout=60)
