"""Checks in Kubernetes, Prometheus and Jaeger whether the shop really fails."""

import time
from datetime import UTC, datetime
from typing import Any

from tests.demo.kubernetes import Cluster, CommandFailed
from tests.demo.steps import NotYet

NAMESPACE = "shop"
OBSERVABILITY = "observability"
ENOUGH_FAILURES = 60  # failed answers of payments
ENOUGH_TRACES = 20


def _pod(cluster: Cluster, workload: str) -> dict[str, Any]:
    pods = cluster.items("pods", f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/name={workload}")
    living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    if len(living) != 1:
        raise NotYet(f"{workload} has {len(living)} pods")
    return living[0]


def ledger_restarted(cluster: Cluster) -> str:
    """Return how the ledger crashed. Raises NotYet until it was restarted, and so has logs of two runs."""
    states = _pod(cluster, "ledger")["status"].get("containerStatuses") or []
    if not states:
        raise NotYet("the ledger's container has not started")
    state = states[0]
    last = (state.get("lastState") or {}).get("terminated")
    if last is None or "running" not in state["state"]:
        raise NotYet(f"the ledger restarted {state['restartCount']} times and is {next(iter(state['state']), 'new')}")
    times = "once" if state["restartCount"] == 1 else f"{state['restartCount']} times"
    return f"ledger crashed with exit code {last['exitCode']} and was restarted {times}"


def payments_fail(cluster: Cluster) -> str:
    """Return how many answers of payments were 5xx. Raises NotYet until there are enough."""
    failed = _count(cluster, 'http_requests_total{service="payments",status=~"5.."}')
    if failed < ENOUGH_FAILURES:
        raise NotYet(f"Prometheus has seen {failed:.0f} answers of payments with status 5xx")
    total = _count(cluster, 'http_requests_total{service="payments"}')
    return f"payments answered {failed:.0f} of {total:.0f} requests with status 5xx"


def _count(cluster: Cluster, series: str) -> float:
    query = {"query": f"sum({series})"}
    try:
        answer = cluster.ask(OBSERVABILITY, "prometheus:9090", "/api/v1/query", query)
    except CommandFailed as e:
        raise NotYet(f"Prometheus does not answer: {e}") from None
    return sum(float(sample["value"][1]) for sample in answer["data"]["result"])


def traces_fail(cluster: Cluster) -> str:
    """Return how many traces of this incident have a failed span. Raises NotYet until there are enough."""
    started = datetime.fromisoformat(_pod(cluster, "checkout")["metadata"]["creationTimestamp"])
    search: dict[str, str | int] = {
        "service": "checkout",
        "tags": '{"error":"true"}',
        "start": int((started - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000),
        "end": int((time.time() + 3600) * 1_000_000),
        "limit": ENOUGH_TRACES,
    }
    try:
        traces = cluster.ask(OBSERVABILITY, "jaeger:16686", "/api/traces", search)["data"]
    except CommandFailed as e:
        raise NotYet(f"Jaeger does not answer: {e}") from None
    if len(traces) < ENOUGH_TRACES:
        raise NotYet(f"Jaeger has {len(traces)} failing traces")
    return f"Jaeger has {len(traces)} failing traces or more"
