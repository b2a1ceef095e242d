"""Each item that cannot be captured is one gap, and everything else is on disk."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.http import OVER, Serve
from tests.support.operator import (
    Kubectl,
    Operator,
    check_session,
    data_source,
    evidence_of,
    free_port,
    investigation,
    pod,
    session_of,
    until,
)

pytestmark = pytest.mark.cluster


def gaps_of(resource: Any) -> list[tuple[str, str]]:
    return [(gap["fetcher"], gap["reason"]) for gap in resource["status"].get("gaps", [])]


def check_partial(resource: Any, *gaps: tuple[str, str]) -> None:
    """Check that it is PartiallyCompleted: exactly these gaps in status, manifest and events, and the pod's log on disk."""
    status = resource["status"]
    assert status["phase"] == "PartiallyCompleted", status
    assert gaps_of(resource) == list(gaps)
    assert all(gap["message"] for gap in status["gaps"])
    manifest = check_session(session_of(resource))
    assert [(gap["fetcher"], gap["reason"]) for gap in manifest["gaps"]] == list(gaps)
    assert [artifact["target"] for artifact in manifest["artifacts"]] == ["findings", "timeline", "pod/speaker", "report"]
    conditions = {condition["type"]: condition for condition in status["conditions"]}
    assert conditions["Ready"]["status"] == "True"
    assert conditions["Succeeded"]["status"] == "False"
    assert conditions["Succeeded"]["reason"] == "PartiallyCompleted"


def test_prometheus_down(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """A Prometheus that refuses connections is one gap: Unavailable."""
    kubectl.apply(data_source("it-down", "prometheus", f"http://127.0.0.1:{free_port()}"))
    resource = kubectl.investigate(
        "prometheus-down", targets=[{"pod": speaker}], logs={}, metrics=[{"query": "up", "dataSourceRef": {"name": "it-down"}}]
    )
    check_partial(resource, ("Prometheus", "Unavailable"))
    expected = {"Started", "Unavailable", "PartiallyCompleted"}
    until(lambda: expected <= kubectl.reasons("prometheus-down"), 15, "its events")


def test_jaeger_answering_rubbish(kubectl: Kubectl, operator: Operator, speaker: str, serve: Serve) -> None:
    """Answers of a Jaeger that are no JSON, or another server's JSON, are one gap each: InvalidResponse."""

    async def rubbish(request: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>", content_type="text/html")

    async def stranger(request: web.Request) -> web.Response:
        return web.json_response({"data": {"traces": "none"}})

    kubectl.apply(data_source("it-rubbish", "jaeger", serve(rubbish)), data_source("it-stranger", "jaeger", serve(stranger)))
    for name in ("it-rubbish", "it-stranger"):
        resource = kubectl.investigate(
            f"jaeger-{name}", targets=[{"pod": speaker}], logs={}, traces=[{"service": "shop", "dataSourceRef": {"name": name}}]
        )
        check_partial(resource, ("Jaeger", "InvalidResponse"))


async def silence(request: web.Request) -> web.Response:
    """Answer only when the test is over."""
    await request.app[OVER].wait()
    return web.Response()


def test_a_source_that_hangs(kubectl: Kubectl, operator: Operator, speaker: str, serve: Serve) -> None:
    """A Prometheus that accepts connections and never answers is one gap, TimedOut, after its DataSource's timeout."""

    kubectl.apply(data_source("it-silent", "prometheus", serve(silence), timeout="1s"))
    resource = kubectl.investigate(
        "silent", targets=[{"pod": speaker}], logs={}, metrics=[{"query": "up", "dataSourceRef": {"name": "it-silent"}}]
    )
    check_partial(resource, ("Prometheus", "TimedOut"))


def test_a_redirect_is_not_followed(kubectl: Kubectl, operator: Operator, speaker: str, serve: Serve) -> None:
    """A redirect to a second server is a gap, and the second server is never asked."""
    asked = []

    async def second(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"data": []})

    elsewhere = serve(second)

    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound(elsewhere)

    first = serve(redirect)
    kubectl.apply(data_source("it-redirect-p", "prometheus", first), data_source("it-redirect-j", "jaeger", first))
    resource = kubectl.investigate(
        "redirect",
        targets=[{"pod": speaker}],
        logs={},
        metrics=[{"query": "up", "dataSourceRef": {"name": "it-redirect-p"}}],
        traces=[{"service": "shop", "dataSourceRef": {"name": "it-redirect-j"}}],
    )
    check_partial(resource, ("Prometheus", "InvalidResponse"), ("Jaeger", "InvalidResponse"))
    assert asked == []


def test_a_pod_that_is_gone(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """A pod and a workload that do not exist, and labels without a match, are one gap each."""
    targets = [
        {"pod": speaker},
        {"pod": "gone"},
        {"workload": {"kind": "Deployment", "name": "gone"}},
        {"selector": {"matchLabels": {"app": "nobody"}}},
    ]
    resource = kubectl.investigate("gone", targets=targets, logs={})
    check_partial(resource, ("KubernetesLogs", "NotFound"), ("KubernetesLogs", "NotFound"), ("KubernetesLogs", "NoPods"))


def test_a_container_that_never_started(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """A container without an image is a gap with the kubelet's reason; the log of the running container is captured."""
    broken = pod("unstarted", "")
    broken["spec"]["containers"] = [
        {"name": "absent", "image": "localhost/no-such-image:1", "imagePullPolicy": "Never"},
    ]
    kubectl.apply(broken)
    waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    until(lambda: kubectl("get", "pod", "unstarted", "-o", waiting) == "ErrImageNeverPull", 30, "the container waits")
    resource = kubectl.investigate("unstarted", targets=[{"pod": speaker}, {"pod": "unstarted"}], logs={})
    check_partial(resource, ("KubernetesLogs", "ContainerNotStarted"))
    assert "ErrImageNeverPull" in resource["status"]["gaps"][0]["message"]


def test_a_forbidden_namespace(kubectl: Kubectl, operator: Operator, speaker: str, serve: Serve) -> None:
    """A service account without rights here is one gap, Forbidden, that names the rule; the metrics are there."""

    async def series(request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": []}})

    kubectl.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "powerless"}},
        data_source("it-empty", "prometheus", serve(series)),
    )
    resource = kubectl.investigate(
        "forbidden",
        serviceAccountName="powerless",
        targets=[{"pod": speaker}],
        logs={},
        metrics=[{"query": "up", "dataSourceRef": {"name": "it-empty"}}],
    )
    assert resource["status"]["phase"] == "PartiallyCompleted"
    assert gaps_of(resource) == [("KubernetesLogs", "Forbidden")]
    message = resource["status"]["gaps"][0]["message"]
    assert f"system:serviceaccount:{kubectl.namespace}:powerless" in message
    assert f'{{apiGroups: [""], resources: [pods], verbs: [get]}} in a Role of namespace {kubectl.namespace}' in message
    assert evidence_of(resource)[0]["fetcher"] == "Prometheus"


def test_a_service_account_reads_with_its_own_rights(kubectl: Kubectl, operator: Operator, speaker: str) -> None:
    """A ServiceAccount with the rights reads pods and logs; one that does not exist is a gap, and no other rights are used."""
    kubectl.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}})
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"}}
    rules = [{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": kubectl.namespace}],
    }
    kubectl.apply(role | {"rules": rules}, binding)
    until(lambda: kubectl.may("reader", "get", "pods"), 30, "the API server knows the right")
    assert (
        kubectl.investigate("reads", serviceAccountName="reader", targets=[{"pod": speaker}], logs={})["status"]["phase"]
        == "Completed"
    )
    ghost = kubectl.investigate("ghost", serviceAccountName="ghost", targets=[{"pod": speaker}], logs={})
    assert ghost["status"]["phase"] == "Failed"
    assert gaps_of(ghost) == [("KubernetesLogs", "ServiceAccountMissing")]
    assert ghost["status"]["artifactCount"] == 1  # the report


def test_a_data_source_for_others(kubectl: Kubectl, operator: Operator, speaker: str, serve: Serve) -> None:
    """A DataSource that is closed to the namespace, missing or of another type is not queried."""
    asked = []

    async def remember(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"data": []})

    kubectl.apply(
        data_source("it-closed", "jaeger", serve(remember), allowedNamespaces=["somebody-else"]),
        data_source("it-other-type", "prometheus", serve(remember)),
    )
    traces = [{"service": "shop", "dataSourceRef": {"name": name}} for name in ("it-closed", "it-absent", "it-other-type")]
    resource = kubectl.investigate("closed", targets=[{"pod": speaker}], logs={}, traces=traces)
    check_partial(resource, ("Jaeger", "NotAllowed"), ("Jaeger", "NoDataSource"), ("Jaeger", "NoDataSource"))
    assert not [path for path in asked if path.startswith("/api/traces")], "only the check of their status asks them"


def test_the_timeout_ends_what_still_runs(kubectl: Kubectl, operator: Operator, speaker: str, serve: Serve) -> None:
    """After its own timeout the Investigation is TimedOut, and keeps what was captured before."""

    kubectl.apply(data_source("it-very-silent", "jaeger", serve(silence), timeout="10m"))
    resource = kubectl.investigate(
        "timeout",
        timeout="2s",
        targets=[{"pod": speaker}],
        logs={},
        traces=[{"service": "shop", "dataSourceRef": {"name": "it-very-silent"}}],
    )
    assert resource["status"]["phase"] == "TimedOut"
    assert gaps_of(resource) == [("Jaeger", "TimedOut")]
    assert len(evidence_of(resource)) == 1
    check_session(session_of(resource))


def test_a_volume_that_is_full(own_namespace: Kubectl, root: Path) -> None:
    """On a volume of 1 MiB the entries that fit are saved, the rest is a gap SaveFailed, and no file is half written."""
    kubectl = own_namespace
    kubectl.apply(
        pod("small", "echo evidence; sleep 600"),
        pod("large", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo line $i of a log that is too large; done; sleep 600"),
    )
    kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    until(lambda: "line 30000 " in kubectl("logs", "large", "--tail=1"), 60, "the pod has written all")
    root.mkdir()
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$1" && shift && exec "$@"', "sh", str(root)]
    operator = Operator(kubectl.cluster, root, [kubectl.namespace], wrapper=mount).start()
    try:
        resource = kubectl.investigate("full", targets=[{"pod": "large"}, {"pod": "small"}], logs={})
        assert resource["status"]["phase"] == "PartiallyCompleted", resource["status"]
        refused = [(gap["target"], gap["reason"]) for gap in resource["status"]["gaps"] if gap["target"] != "report"]
        seen_by_the_operator = Path(f"/proc/{operator.pid}/root{root}")
        manifest = check_session(session_of(resource, seen_by_the_operator))
        saved = {artifact["target"] for artifact in manifest["artifacts"]}
        assert saved - {"pod/large", "report"} == {"findings", "timeline", "pod/small"}
        without_room = [] if "pod/large" in saved else [("pod/large", "SaveFailed")]  # its first entries may fit
        assert refused == [("pod/large container/app (run 0)", "SaveFailed"), *without_room]
    finally:
        operator.stop()


def test_a_volume_that_cannot_be_used(own_namespace: Kubectl, root: Path) -> None:
    """Without a usable volume the Investigation reports it, waits, and fails after its timeout."""
    kubectl = own_namespace
    root.parent.mkdir(exist_ok=True)
    root.write_text("a file where the directory should be")
    operator = Operator(kubectl.cluster, root, [kubectl.namespace]).start()
    try:
        kubectl.apply(investigation("no-volume", targets=[{"pod": "any"}], logs={}, timeout="2s"))
        resource = kubectl.ended("no-volume")
        assert resource["status"]["phase"] == "Failed"
        reasons = {condition["reason"] for condition in resource["status"]["conditions"]}
        assert reasons == {"SessionUnavailable"}
    finally:
        operator.stop()
