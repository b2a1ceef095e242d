"""Sealed sessions and their retention, with a real API server's rights, watches and deletions."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aletheia_operator.cli.__main__ import main
from tests.cluster.provider import Cluster
from tests.integration.conftest import make_namespace
from tests.support.operator import Kubectl, Operator, pod, session_of, until

pytestmark = pytest.mark.cluster

NAMESPACE = "it-sessions"
PASSWORD = "correct horse battery staple"
SEALED = {"encryption": {"passwordSecretRef": {"name": "incident-password"}}}


@pytest.fixture(scope="module")
def kubectl(prepared: Cluster) -> Iterator[Kubectl]:
    """A namespace with a pod that has logs, a password, and a ServiceAccount that may read both."""
    kubectl = make_namespace(prepared, NAMESPACE)
    rules = [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["incident-password"]},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "investigator"}
    subject = {"kind": "ServiceAccount", "name": "investigator", "namespace": NAMESPACE}
    kubectl.apply(
        pod("speaker", "echo canary-7d1f; sleep 3600"),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "incident-password"}, "stringData": {"password": PASSWORD}},
        *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": n}} for n in ("investigator", "powerless")),
        {**_rbac("Role"), "rules": rules},
        {**_rbac("RoleBinding"), "roleRef": role, "subjects": [subject]},
    )
    kubectl.wait("pod/speaker", "condition=Ready")
    until(lambda: "canary" in kubectl("logs", "speaker"), 30, "the pod has spoken")
    yield kubectl
    prepared.run_kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _rbac(kind: str) -> dict[str, object]:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "investigator"}}


@pytest.fixture(scope="module")
def operator(prepared: Cluster, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    root = tmp_path_factory.mktemp("sessions") / "root"
    operator = Operator(prepared, root, [kubectl.namespace], ["--sweep-seconds=1", "--orphan-grace-seconds=0"]).start()
    yield operator
    operator.stop()


def test_sealed_by_a_secret(kubectl: Kubectl, operator: Operator, tmp_path: Path) -> None:
    """The ServiceAccount reads the password. Only the password opens the evidence, and it is stored and shown nowhere."""
    resource = kubectl.investigate(
        "sealed", serviceAccountName="investigator", targets=[{"pod": "speaker"}], logs={}, session=SEALED
    )
    assert resource["status"]["phase"] == "Completed", resource["status"]
    until(lambda: "Completed" in kubectl.reasons("sealed"), 15, "the end is logged and posted")
    session = session_of(resource)
    stored = b"".join(path.read_bytes() for path in session.rglob("*") if path.is_file())
    assert b"canary-7d1f" not in stored
    (tmp_path / "password").write_text(PASSWORD)
    arguments = [f"--root={operator.root}", session.name, "--password-file", str(tmp_path / "password")]
    assert main(["session", "decrypt", *arguments, "--to", str(tmp_path / "plain")]) == 0
    (log,) = (tmp_path / "plain/data/logs").iterdir()
    assert [entry["line"] for entry in json.loads(log.read_bytes())["data"]] == ["canary-7d1f"]
    events = kubectl("get", "events", "-o", "json")
    seen = json.dumps(resource) + events + operator.log_path.read_text() + stored.decode("latin-1")
    assert PASSWORD not in seen
    assert base64.b64encode(PASSWORD.encode()).decode() not in seen


def test_a_secret_that_may_not_be_read(kubectl: Kubectl, operator: Operator) -> None:
    """For a ServiceAccount without the right, the gap names the right, and no evidence is in plain text."""
    resource = kubectl.investigate(
        "may-not", serviceAccountName="powerless", targets=[{"pod": "speaker"}], logs={}, session=SEALED
    )
    (gap,) = resource["status"]["gaps"]
    assert (resource["status"]["phase"], gap["target"], gap["reason"]) == ("Failed", "session.encryption", "Forbidden")
    assert "incident-password" in gap["message"]
    assert not list(session_of(resource).rglob("data"))


def test_expiry_keeps_the_resource(kubectl: Kubectl, operator: Operator) -> None:
    """Retention may be set later. The data is removed; the resource stays, has ArtifactsExpired and is not captured again."""
    resource = kubectl.investigate("expires", targets=[{"pod": "speaker"}], logs={})
    session = session_of(resource)
    assert list(session.glob("data/logs/*"))
    kubectl("annotate", "investigation", "expires", "aletheia.dev/legal-hold=case-4711")
    until(
        lambda: "case-4711" in (session / "custody.json").read_text() if (session / "custody.json").exists() else 0, 30, "held"
    )
    kubectl("patch", "investigation", "expires", "--type=merge", "-p", '{"spec": {"retention": {"artifactsSeconds": 1}}}')
    kubectl.wait("investigation/expires", "jsonpath={.status.observedGeneration}=2")
    assert list(session.glob("data/logs/*"))
    kubectl("annotate", "investigation", "expires", "aletheia.dev/legal-hold-")
    kubectl.wait("investigation/expires", "condition=ArtifactsExpired")
    assert not (session / "data").exists()
    after = kubectl.get("investigation", "expires")["status"]
    assert (after["phase"], after["completionTime"]) == ("Completed", resource["status"]["completionTime"])


def test_deleting_the_resource_removes_its_session(kubectl: Kubectl, operator: Operator) -> None:
    """The session is removed at once if the operator sees the deletion, without a finalizer; `retention.keep` keeps it."""
    gone = kubectl.investigate("goes", targets=[{"pod": "speaker"}], logs={})
    kept = kubectl.investigate("stays", targets=[{"pod": "speaker"}], logs={}, retention={"keep": True})
    assert "finalizers" not in gone["metadata"]
    kubectl("delete", "investigation", "goes", "stays", "--wait=true")
    until(lambda: not session_of(gone).exists(), 30, "the session of the deleted Investigation is gone")
    until(lambda: "orphanedSince" in (session_of(kept) / "custody.json").read_text(), 30, "the kept one is known as orphaned")
    assert list(session_of(kept).glob("data/logs/*"))


def test_deleted_while_the_operator_was_down(kubectl: Kubectl, operator: Operator) -> None:
    """The sweep after the next start finds a deletion that the operator missed."""
    resource = kubectl.investigate("unseen", targets=[{"pod": "speaker"}], logs={})
    operator.kill()
    kubectl("delete", "investigation", "unseen", "--wait=true")
    assert session_of(resource).exists()
    operator.start()
    until(lambda: not session_of(resource).exists(), 30, "the orphaned session is gone")
