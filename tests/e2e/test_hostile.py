"""Hostile tenants beside an honest one: the operator's pod, with the chart's limits and probes, serves the honest one."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.rig import RigError
from tests.e2e.conftest import RESTRICTED, Installation, namespace, restricted
from tests.support import liar
from tests.support.operator import Kubectl, data_source, investigation, pod, until

pytestmark = pytest.mark.e2e

EACH = 20  # Investigations of each kind at once
SMALL_SECONDS = 10
NAMESPACE = "e2e-hostile"
SECURE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SERVER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "liar", "labels": {"app": "liar"}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "liar",
                "image": "localhost/aletheia-operator:dev",
                "imagePullPolicy": "Never",
                "command": ["python3", "-c", Path(liar.__file__).read_text()],
                "securityContext": SECURE,
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
            }
        ],
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "liar"},
    "spec": {"selector": {"app": "liar"}, "ports": [{"port": 8080}]},
}
LINES = (
    "i=0; while [ $i -lt 400 ]; do i=$((i+1));"
    ' echo "ERROR a$(printf "%0.s\\$" $(seq 80))";'
    " echo 'com.acme.Foo$$anonfun$main$1$$anonfun$apply$4$$anonfun$apply$5$$anonfun$apply$6 ERROR x';"
    ' echo "I/$(printf "%30000s" "")x"; done; sleep 3600'
)


def chain(operator: str, terms: int) -> str:
    return f" {operator} ".join(["up"] * terms)


def kinds(hostile: Kubectl) -> dict[str, list[dict[str, Any]]]:
    """Return specs by the kind of attack."""
    lines = {"targets": [{"pod": "hostile-lines"}]}
    hang = {"metrics": [{"query": f"up + {n}", "dataSourceRef": {"name": "liar-hang"}} for n in range(8)], "timeout": "20s"}
    large = {"metrics": [{"query": "up", "dataSourceRef": {"name": "liar-large"}}], "timeout": "1m"}
    spans = {
        "traces": [{"traceID": f"{number:032x}", "dataSourceRef": {"name": "liar-spans"}} for number in range(1, 9)],
        "timeout": "1m",
    }
    queries = [chain("or", 150), chain("atan2", 200), 'up{b=~"' + "(\\\\pL{1000}){100}" * 40 + '"}']
    confined = {"metrics": [{"query": query, "dataSourceRef": {"name": "liar-confined"}} for query in queries]}
    big = {"targets": [{"pod": "hostile-lines"}] * 20, "metrics": [{"query": "up + " + "1" * 8_000}] * 8}  # all that is allowed
    recipient = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqsaj8sd"
    sealed = {**lines, "session": {"encryption": {"recipients": [recipient]}}}
    endless = {**hang, "timeout": "9999w"}
    return {
        "lines": [lines] * EACH,
        "confined": [confined] * EACH,
        "hang": [hang] * EACH,
        "large": [large] * EACH,
        "spans": [spans] * EACH,
        "big": [big] * EACH,
        "sealed": [sealed] * EACH,
        "endless": [endless] * EACH,
    }


@pytest.fixture(scope="module")
def hostile(installation: Installation) -> Iterator[Kubectl]:
    kubectl = namespace(installation.cluster, NAMESPACE, **RESTRICTED)
    sources = {
        "liar-hang": ("prometheus", "hang", {}),
        "liar-large": ("prometheus", "large", {}),
        "liar-spans": ("jaeger", "spans", {}),
        "liar-confined": ("prometheus", "confined", {"prometheus": {"namespaceLabel": "namespace"}}),
    }
    kubectl.apply(SERVER, SERVICE, restricted(pod("hostile-lines", LINES)))
    for name, (kind, path, more) in sources.items():
        kubectl.apply(data_source(name, kind, f"http://liar.{NAMESPACE}:8080/{path}", **more))
    kubectl.wait("pod/liar", "condition=Ready")
    kubectl.wait("pod/hostile-lines", "condition=Ready")
    yield kubectl
    kubectl("delete", "datasources", *sources, "--ignore-not-found")
    installation.cluster.run_kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def ended(installation: Installation) -> list[Any]:
    """Return how each container of the operator's pods ended that was started again."""
    pods = installation.system.get("pods", "-l", "app.kubernetes.io/component=operator")["items"]
    statuses = [status for pod in pods for status in pod["status"]["containerStatuses"] if status["restartCount"]]
    return [(status["name"], status["restartCount"], status["lastState"]) for status in statuses]


def test_hostile_tenants_do_not_keep_others_waiting(installation: Installation, shop: Kubectl, hostile: Kubectl) -> None:
    """During many hostile Investigations of every kind, small ones of another namespace end in time."""
    shop.apply(restricted(pod("honest", "echo honest; sleep 3600")))
    shop.wait("pod/honest", "condition=Ready")
    before = ended(installation)
    refused, made = {}, []
    for kind, specs in kinds(hostile).items():
        for number, spec in enumerate(specs):
            body = investigation(f"{kind}-{number}", **spec)
            try:
                if number == 0:
                    hostile("create", "-f", "-", stdin=json.dumps(body))
                    made.append(body["metadata"]["name"])
            except RigError as error:
                refused[kind] = str(error)
        if kind not in refused:
            rest = [investigation(f"{kind}-{number}", **spec) for number, spec in enumerate(specs)][1:]
            hostile("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": rest}))
            made += [item["metadata"]["name"] for item in rest]
    held = investigation("held", targets=[{"pod": "hostile-lines"}])
    held["metadata"]["finalizers"] = ["example.com/never"]
    hostile.apply(held)
    hostile("delete", "investigation", "held", "--wait=false")
    took = []
    for number in range(3):
        began = time.monotonic()
        shop.apply(investigation(f"honest-{number}", targets=[{"pod": "honest"}]))
        honest = shop.ended(f"honest-{number}", 60)
        took.append(round(time.monotonic() - began, 1))
        assert honest["status"]["phase"] == "Completed", honest["status"]
    print(f"honest Investigations took {took} s; refused by the API server: {refused}")
    assert max(took) <= SMALL_SECONDS, took
    for name in [candidate for candidate in made if candidate.startswith("endless")]:
        hostile("patch", "investigation", name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
    until(lambda: not unended(hostile, made), 420, "every hostile Investigation has ended")
    hostile("patch", "investigation", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    after = ended(installation)
    assert after == before, installation.system("logs", installation.deployment, "-c", "operator", "--previous", "--tail=30")


def unended(kubectl: Kubectl, names: list[str]) -> list[str]:
    items = kubectl.get("investigations")["items"]
    ended = {item["metadata"]["name"] for item in items if (item.get("status") or {}).get("completionTime")}
    return sorted(set(names) - ended)
