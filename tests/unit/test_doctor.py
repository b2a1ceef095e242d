"""`kubectl investigation doctor` on an API in memory: each failure is reported with the command that fixes it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from aletheia_operator.api.paths import API, ARTIFACTS_ROOT, DATA_SOURCES
from aletheia_operator.cli.__main__ import main
from tests.unit.proxies import FakeApi, connect, lying

PODS = "/api/v1/pods"
CLAIM = "/api/v1/namespaces/system/persistentvolumeclaims/sessions"
ACCOUNT = "/api/v1/namespaces/shop/serviceaccounts/reader"
NAMES = [{"name": "investigations"}, {"name": "datasources"}]


@dataclass
class Reviewing(FakeApi):
    """Also answers reviews of rights. `denied`: pairs of a verb and a resource that are not allowed."""

    denied: set[tuple[str, str]] = field(default_factory=set)

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, bytes]:
        if path.endswith("accessreviews"):
            asked = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            return 201, json.dumps({"status": {"allowed": (asked["verb"], resource) not in self.denied}}).encode()
        if path.endswith("selfsubjectreviews"):
            return 201, json.dumps({"status": {"userInfo": {"username": "tess"}}}).encode()
        return super()._answer(method, path, query, body)


def operator(ready: str = "True") -> dict[str, Any]:
    """The operator's pod."""
    metadata = {"namespace": "system", "name": "aletheia-1", "labels": {}}
    spec = {"serviceAccountName": "aletheia", "volumes": [{"name": "sessions", **CLAIMED}]}
    return {
        "metadata": metadata,
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "crashed"}]},
    }


CLAIMED = {"persistentVolumeClaim": {"claimName": "sessions"}}


def source(name: str, status: str, message: str = "") -> dict[str, Any]:
    conditions = [{"type": "Reachable", "status": status, "message": message}]
    return {"metadata": {"name": name}, "spec": {"type": "prometheus"}, "status": {"conditions": conditions}}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Reviewing:
    """A cluster in which nothing is wrong."""
    fake = Reviewing()
    fake.objects = {
        "/version": {"gitVersion": "v1.34.4"},
        API: {"resources": NAMES},
        ARTIFACTS_ROOT: {"resources": []},
        PODS: {"items": [operator()]},
        CLAIM: {"status": {"phase": "Bound", "capacity": {"storage": "10Gi"}}},
        DATA_SOURCES: {"items": [source("prometheus", "True")]},
        ACCOUNT: {"metadata": {"name": "reader"}},
        "/apis/rbac.authorization.k8s.io/v1/clusterroles": {"items": [{"metadata": {"name": "a-evidence.system"}}]},
    }
    connect(monkeypatch, fake)
    return fake


@pytest.fixture
def doctor(api: Reviewing, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def command(*arguments: str, code: int = 0) -> str:
        assert main(["-n", "shop", "doctor", *arguments]) == code
        return capsys.readouterr().out

    return command


def test_nothing_is_wrong(doctor: Callable[..., str]) -> None:
    """Every check is ok; as JSON, too."""
    text = doctor("--service-account", "reader")
    assert "fails" not in text
    assert "note" not in text
    assert {check["state"] for check in json.loads(doctor("-o", "json"))} == {"ok"}


FAULTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("no CRDs", {API: 404}, "the cluster has no Investigations", "helm upgrade --install"),
    ("no operator", {PODS: {"items": []}}, "no pod of the operator", "helm upgrade --install"),
    (
        "a sick operator",
        {PODS: {"items": [operator("False")]}},
        "not ready: crashed",
        "kubectl describe pod -n system aletheia-1",
    ),
    ("a volume", {CLAIM: {"status": {"phase": "Pending"}}}, "system/sessions is Pending", "kubectl describe pvc -n system"),
    ("the API", {ARTIFACTS_ROOT: 503}, "artifacts API: down", "kubectl describe apiservice"),
    ("a source", {DATA_SOURCES: {"items": [source("p", "False", "refused")]}}, "refused", "kubectl describe datasource p"),
    ("an account", {ACCOUNT: None}, "no ServiceAccount reader", "kubectl create serviceaccount -n shop reader"),
]


@pytest.mark.parametrize(("objects", "message", "remedy"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_fault(objects: dict[str, Any], message: str, remedy: str, doctor: Callable[..., str], api: Reviewing) -> None:
    """It is reported with its remedy, and the exit code is 1."""
    for path, found in objects.items():
        if found is None:
            del api.objects[path]
        else:
            api.objects[path] = found
    text = doctor("--service-account", "reader", code=1)
    assert message in text
    assert remedy in text


@pytest.mark.parametrize(
    ("denied", "words"),
    [
        (("create", "investigations"), "you may not start Investigations"),
        (("get", "sessions/files"), "--clusterrole=a-evidence.system --user=tess"),
        (("impersonate", "serviceaccounts"), "kubectl create role use-reader -n shop --verb=impersonate"),
        (("get", "pods/log"), "--clusterrole=view --serviceaccount=shop:reader"),
    ],
)
def test_rights(denied: tuple[str, str], words: str, doctor: Callable[..., str], api: Reviewing) -> None:
    """Each missing right is reported with the command that grants it."""
    api.denied = {denied}
    assert words in doctor("--service-account", "reader", code=1)


def test_what_admission_demands(doctor: Callable[..., str], api: Reviewing) -> None:
    """A dry run, which creates nothing, finds rights that a policy wants."""
    collection = f"{API}/namespaces/shop/investigations"
    doctor()
    assert ("POST", f"{collection}?dryRun=All") in [asked[:2] for asked in api.asked]
    api.objects[collection], api.refusal = (
        403,
        "tess may not get pods/log. A RoleBinding there to ClusterRole view would allow it",
    )
    text = doctor(code=1)
    assert "tess may not get pods/log" in text
    assert "kubectl create rolebinding aletheia-reader -n shop" in text
    api.refusal = "exceeded quota"
    text = doctor(code=1)
    assert "exceeded quota" in text
    assert "rolebinding" not in text


def test_a_cluster_that_is_not_reached(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says so: the other checks would only repeat it."""
    connect(monkeypatch, lying(500, b"dial tcp 10.0.0.1:6443: connect: connection refused"))
    assert main(["-n", "shop", "doctor"]) == 1
    assert capsys.readouterr().out.count("does not reach the cluster") == 1


def test_a_tenant_may_not_look_at_everything(doctor: Callable[..., str], api: Reviewing) -> None:
    """That is a note: nothing fails for this user."""
    api.objects |= {PODS: 403, DATA_SOURCES: 403}
    text = doctor()
    assert text.count("you may not look") == 2
    api.objects[ARTIFACTS_ROOT] = 404
    assert "switched off" in doctor()
