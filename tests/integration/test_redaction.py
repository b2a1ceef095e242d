"""Secrets of a pod are in no file of the session, and not in the resource, its Events or the operator's log."""

import json
from pathlib import Path

import pytest

from tests.support.operator import Kubectl, Operator, check_session, container, session_of, until
from tests.support.secrets import stored

pytestmark = pytest.mark.cluster

PASSWORD = "Xq9vLm3Z" + "-w8Tk2"
TEXTS = {kind: (text, secrets) for kind, text, secrets in stored.read("first") if "\n" not in text}
CANARIES = [secret for _, secrets in TEXTS.values() for secret in secrets if len(secret) >= 8]


def test_no_secret_is_captured(kubectl: Kubectl, operator: Operator) -> None:
    """A secret of each kind is in the log, and passwords in environment, annotation and error; the manifest counts them."""
    log = "\n".join(text for text, _ in TEXTS.values())
    script = f"cat <<'END'\n{log}\nEND\necho \"FATAL cannot log in with password=$DB_PASSWORD\"; exit 3"
    app = {**container("app", script), "env": [{"name": "DB_PASSWORD", "value": PASSWORD}]}
    metadata = {"name": "canary", "annotations": {"example.com/api-token": PASSWORD}}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [app]}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    kubectl.wait("pod/canary", "jsonpath={.status.phase}=Failed")
    resource = kubectl.investigate("redacted-canary", window={"lookback": "1h"}, targets=[{"pod": "canary"}])
    until(lambda: resource["status"]["phase"] in kubectl.reasons("redacted-canary"), 15, "the end is logged and posted")
    session = session_of(resource)
    manifest = check_session(session)
    places = {
        "status": json.dumps(resource["status"]),
        "Events": kubectl("get", "events", "-o", "json"),
        "operator's log": operator.log_path.read_text(errors="replace"),
    }
    places |= {str(path): path.read_text() for path in Path(session).rglob("*") if path.is_file()}
    assert "example.com/api-token" in "".join(places.values())
    for where, text in places.items():
        assert not [canary for canary in (*CANARIES, PASSWORD) if canary in text or json.dumps(canary)[1:-1] in text], where
    assert resource["status"]["session"]["redactions"] > len(CANARIES)
    assert sum(sum(artifact.get("redactions", {}).values()) for artifact in manifest["artifacts"]) > len(CANARIES)
    assert manifest["redaction"] == {"level": "secrets", "rules": []}
