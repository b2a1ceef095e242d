"""The operator as users install it: image and chart, in a namespace that enforces restricted pod security."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.cluster import images, servers
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, run
from tests.support.operator import Kubectl, until

CHART = ROOT / "charts" / "aletheia-operator"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
VALUES: dict[str, Any] = {
    "artifactsApi": {"enabled": True},
    "image": {"repository": "localhost/aletheia-operator", "tag": "dev"},
    "requestsPerSecond": {"namespaceDataSource": 5},
    "runner": {"mode": "auto", "auto": {"questions": 20}},
    "dataSources": [
        {
            "name": "prometheus",
            "type": "prometheus",
            "endpoint": "http://prometheus.e2e-observability:9090",
            "default": True,
            "allowedNamespaces": ["*"],
        },
        {
            "name": "jaeger",
            "type": "jaeger",
            "endpoint": "http://jaeger.e2e-observability:16686",
            "default": True,
            "allowedNamespaces": ["*"],
        },
    ],
}


@dataclass(frozen=True)
class Installation:
    """The installed operator."""

    cluster: Cluster
    system: Kubectl
    deployment: str = "deployment/aletheia-aletheia-operator"

    def python(self, code: str, *arguments: str) -> str:
        """Run a Python program in the operator's container. Returns what it prints."""
        return self.system("exec", self.deployment, "-c", "operator", "--", "python3", "-c", code, *arguments)

    def session(self, resource: Any) -> dict[str, Any]:
        """Return every file of a session by its path: parsed JSON (the report as text) and SHA-256."""
        code = (
            "import hashlib, json, pathlib, sys; root = pathlib.Path(sys.argv[1]); digest = hashlib.sha256;"
            "files = {p: p.read_bytes() for p in root.rglob('*') if p.is_file()};"
            "parsed = lambda p, b: json.loads(b) if p.suffix == '.json' else b.decode();"
            "print(json.dumps({str(p.relative_to(root)): [parsed(p, b), digest(b).hexdigest()] for p, b in files.items()}))"
        )
        files: dict[str, Any] = json.loads(self.python(code, resource["status"]["session"]["path"]))
        return files

    def intact_session(self, resource: Any) -> tuple[Any, dict[str, Any]]:
        """Compare every digest of a session. Returns its manifest, and its other files by their paths."""
        files = self.session(resource)
        manifest, digest = files.pop("manifest.json")
        assert digest == resource["status"]["session"]["manifestSha256"]
        assert {artifact["path"]: artifact["sha256"] for artifact in manifest["artifacts"]} == {
            path: sha256 for path, (_, sha256) in files.items()
        }
        return manifest, {path: document for path, (document, _) in files.items()}


def helm(cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
    return run([cluster.helm, f"--kubeconfig={cluster.kubeconfig}", *arguments], stdin=stdin, timeout_seconds=240)


def namespace(cluster: Cluster, name: str, **labels: str) -> Kubectl:
    cluster.run_kubectl("delete", "namespace", name, "--ignore-not-found", timeout_seconds=180)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.run_kubectl("create", "-f", "-", stdin=json.dumps(body))
    kubectl = Kubectl(cluster, name)
    until(lambda: kubectl("get", "serviceaccounts", "-o", "name"), 30, "the namespace has its service account")
    return kubectl


def restricted(body: dict[str, Any]) -> dict[str, Any]:
    """Return the pod with the security context of the restricted profile."""
    body["spec"]["securityContext"] = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in body["spec"]["containers"]:
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return body


def trace(service: str) -> dict[str, Any]:
    """Return an OTLP document with one failing span of the current time."""
    now = time.time_ns()
    span = {
        "traceId": TRACE_ID,
        "spanId": "00f067aa0ba902b7",
        "name": "POST /pay",
        "kind": 2,
        "startTimeUnixNano": str(now - 3_000_000_000),
        "endTimeUnixNano": str(now - 2_500_000_000),
        "status": {"code": 2, "message": "connection refused"},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


def send_trace(installation: Installation, service: str) -> None:
    """Send a trace to Jaeger, and wait until it has it."""
    send = "import sys, urllib.request as u; u.urlopen(u.Request('http://jaeger.e2e-observability:4318/v1/traces',"
    send += " sys.argv[1].encode(), {'Content-Type': 'application/json'}), timeout=10).read()"
    installation.python(send, json.dumps(trace(service)))
    seen = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read().decode())"
    search = f"http://jaeger.e2e-observability:16686/api/traces?service={service}&limit=5&lookback=1h"
    until(lambda: json.loads(installation.python(seen, search))["data"], 30, "Jaeger has the trace")


def provide(cluster: Cluster, image: images.Image) -> None:
    """Load an image into the cluster. A cluster from --kubeconfig must have it already."""
    if cluster.provider != "kubeconfig":
        cluster.load_image(images.build(image))


@pytest.fixture(scope="session")
def observability(cluster: Cluster) -> Iterator[Kubectl]:
    """Prometheus and Jaeger, deployed in the cluster."""
    provide(cluster, images.SERVERS)
    kubectl = namespace(cluster, "e2e-observability", **RESTRICTED)
    servers.deploy(cluster, kubectl.namespace)
    yield kubectl
    cluster.run_kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.fixture(scope="session")
def installation(cluster: Cluster, observability: Kubectl) -> Iterator[Installation]:
    """The operator, installed by `helm install --wait`."""
    provide(cluster, images.OPERATOR)
    system = namespace(cluster, "e2e-system", **RESTRICTED)
    # a kept cluster has them from an earlier run
    present = "investigations.aletheia.dev" in cluster.run_kubectl("get", "crds", "-o", "name")
    values = VALUES | {"crds": {"install": not present}}
    arguments = ("aletheia", str(CHART), "--namespace=e2e-system", "--values=-", "--wait", "--timeout=120s")
    helm(cluster, "install", *arguments, stdin=yaml.safe_dump(values))
    yield Installation(cluster, system)
    helm(cluster, "uninstall", "aletheia", "--namespace=e2e-system", "--wait", "--timeout=60s")
    assert "artifacts.aletheia.dev" not in cluster.run_kubectl("get", "apiservices", "-o", "name")
    cluster.run_kubectl("delete", "namespace", "e2e-system", "--wait=false")


@pytest.fixture(scope="session")
def shop(cluster: Cluster) -> Iterator[Kubectl]:
    """A namespace for users."""
    kubectl = namespace(cluster, "e2e-shop", **RESTRICTED)
    yield kubectl
    cluster.run_kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
