"""Which connections the chart's NetworkPolicy allows, by the semantics of Kubernetes: those that are needed, and no others."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.helm import find_helm
from tests.support.network_policy import Outside, Peer, Pod, may_be_reached, may_connect

CHART = Path(__file__).resolve().parents[2] / "charts" / "aletheia-operator"
HELM = find_helm()
pytestmark = pytest.mark.skipif(HELM is None, reason="no helm: set ALETHEIA_HELM, or build the test cluster's")

DNS = Pod("kube-system", "10.244.0.2")
NODE_LOCAL_DNS = Outside("169.254.20.10")
API_SERVER = Outside("172.18.0.2")
KUBELET = Outside("172.18.0.3")
PROMETHEUS = Pod("monitoring", "10.244.1.5")
SHOP = Pod("shop", "10.244.1.6")
NEIGHBOUR = Pod("aletheia", "10.244.1.7")
METADATA = Outside("169.254.169.254")
POD_IDENTITY_AGENT = Outside("169.254.170.23")
LOKI = Outside("203.0.113.7")

VALUES: dict[str, dict[str, Any]] = {
    "no sources": {},
    "sources": {
        "dataSources": [
            {"name": "a", "type": "prometheus", "endpoint": "http://prometheus.monitoring:9090"},
            {"name": "b", "type": "loki", "endpoint": "https://loki.example.com:3100"},
            {
                "name": "archive",
                "type": "s3",
                "endpoint": "http://minio.storage:9000",
                "auth": {"cloudIdentity": "aws"},
                "s3": {"bucket": "incidents"},
            },
        ]
    },
    "by address": {"dataSources": [{"name": "a", "type": "jaeger", "endpoint": "http://10.244.1.5:16686"}]},
    "by proxy": {
        "proxy": {"url": "http://proxy.monitoring.svc:3128"},
        "dataSources": [{"name": "b", "type": "loki", "endpoint": "https://loki.example.com:3100"}],
    },
    "logs from nodes": {"nodeLogs": {"enabled": True}},
    "narrow": {
        "nodeLogs": {"enabled": True},
        "networkPolicy": {"apiServer": {"cidrs": ["172.18.0.2/32"]}, "kubelets": {"cidrs": ["172.18.0.3/32"]}},
    },
    "own DNS": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.2", "fd00::2"]}},
    "served": {"artifactsApi": {"enabled": True}, "metrics": {"enabled": True}},
}


@cache
def rendered(name: str) -> tuple[dict[str, Any], list[Pod]]:
    """The policy and the pods of the release."""
    assert HELM is not None
    values = {**VALUES[name], "networkPolicy": {"enabled": True, **VALUES[name].get("networkPolicy", {})}}
    command = [HELM, "template", "flight", str(CHART), "--kube-version", "1.34.0", "--namespace", "aletheia", "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=True)
    objects = [document for document in yaml.safe_load_all(done.stdout) if document]
    (policy,) = (item for item in objects if item["kind"] == "NetworkPolicy")
    templates = [item["spec"]["template"] for item in objects if item["kind"] in ("Deployment", "Job")]
    pods = []
    for template in templates:
        ports = {
            port["name"]: port["containerPort"]
            for container in template["spec"]["containers"]
            for port in container.get("ports") or ()
        }
        pods.append(Pod("aletheia", "10.244.1.8", template["metadata"]["labels"], ports))
    return policy, pods


ALLOWED: list[tuple[str, Peer, int, str]] = [
    *((name, DNS, 53, protocol) for name in VALUES for protocol in ("UDP", "TCP")),
    *((name, API_SERVER, 6443, "TCP") for name in VALUES),
    ("no sources", NODE_LOCAL_DNS, 53, "UDP"),
    ("sources", PROMETHEUS, 9090, "TCP"),
    ("sources", LOKI, 3100, "TCP"),
    ("by address", PROMETHEUS, 16686, "TCP"),
    ("by proxy", PROMETHEUS, 3128, "TCP"),
    ("sources", LOKI, 443, "TCP"),  # STS is any address
    ("sources", POD_IDENTITY_AGENT, 80, "TCP"),
    ("sources", Outside("fd00:ec2::23"), 80, "TCP"),
    ("logs from nodes", KUBELET, 10250, "TCP"),
    ("narrow", KUBELET, 10250, "TCP"),
    ("own DNS", Outside("10.0.0.2"), 53, "UDP"),
    ("own DNS", Outside("fd00::2"), 53, "TCP"),
]
REFUSED: list[tuple[str, Peer, int, str]] = [
    *((name, METADATA, port, "TCP") for name in VALUES for port in (80, 443)),
    *((name, Outside("fd00:ec2::254"), 80, "TCP") for name in VALUES),
    *((name, SHOP, 8080, "TCP") for name in VALUES),
    *((name, NEIGHBOUR, 5432, "TCP") for name in VALUES),
    *((name, LOKI, 22, "TCP") for name in VALUES),
    ("sources", POD_IDENTITY_AGENT, 443, "TCP"),
    *((name, POD_IDENTITY_AGENT, 80, "TCP") for name in VALUES if name != "sources"),
    ("no sources", PROMETHEUS, 9090, "TCP"),
    ("no sources", KUBELET, 10250, "TCP"),
    ("no sources", SHOP, 53, "UDP"),
    ("sources", SHOP, 9090, "TCP"),
    ("sources", LOKI, 9090, "TCP"),
    ("by address", SHOP, 16686, "TCP"),
    ("by proxy", LOKI, 3128, "TCP"),
    ("narrow", Outside("172.18.0.4"), 443, "TCP"),
    ("narrow", Outside("172.18.0.2"), 10250, "TCP"),
    ("own DNS", Outside("10.0.0.3"), 53, "UDP"),
]


@pytest.mark.parametrize(("name", "target", "port", "protocol"), ALLOWED)
def test_what_the_operator_needs_is_open(name: str, target: Peer, port: int, protocol: str) -> None:
    """All pods of the release reach it."""
    policy, pods = rendered(name)
    assert all(may_connect(policy, pod, target, port, protocol) for pod in pods)


@pytest.mark.parametrize(("name", "target", "port", "protocol"), REFUSED)
def test_everything_else_is_closed(name: str, target: Peer, port: int, protocol: str) -> None:
    """No pod of the release reaches metadata services, other namespaces or other ports."""
    policy, pods = rendered(name)
    assert not any(may_connect(policy, pod, target, port, protocol) for pod in pods)


def test_which_ports_are_reached() -> None:
    """The health port, from nodes too; those of metrics and of the artifacts API if they are enabled; no other."""
    policy, pods = rendered("served")
    for pod in pods:
        open_ports = {port for port in range(1, 20_000) if may_be_reached(policy, pod, KUBELET, port)}
        assert open_ports == set(pod.ports.values())
    policy, pods = rendered("no sources")
    for pod in pods:
        assert not may_be_reached(policy, pod, SHOP, 8443)
        assert {name for name, port in pod.ports.items() if may_be_reached(policy, pod, KUBELET, port)} <= {"health"}


def test_pods_of_others_are_not_confined() -> None:
    """The policy selects the pods of the release only."""
    policy, _ = rendered("no sources")
    assert may_connect(policy, NEIGHBOUR, SHOP, 8080)
    assert may_be_reached(policy, NEIGHBOUR, SHOP, 8080)
