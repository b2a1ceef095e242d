"""What the first finding is if a limit, a stop, a refusal or a silent start stands beside the cause."""

from typing import Any

from aletheia_operator.findings.reason_lines import excerpt
from tests.unit.evidence import START, Incident, Object, at, conditions, event, found, item, pod, running

AT_MAXIMUM = {"ScalingLimited": {"reason": "TooManyReplicas", "lastTransitionTime": at(20)}}
POLICY = """admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod/shop/web-1-x was blocked due to the
following policies restrict-image-registries: validate-registries: 'validation error: Unknown image registry. Only
registry.acme.example is allowed. rule validate-registries failed at path /spec/containers/0/image/'"""


def workloads(*names: str) -> Incident:
    """Return workloads with one healthy pod each, and their Services."""
    incident = Incident()
    for name in names:
        owned = pod(f"{name}-1-a", running(), of=f"{name}-1", labels={"app": name})
        endpoints: Object = {"kind": "EndpointSlice", "endpoints": [{"conditions": {"ready": True}}]}
        endpoints["metadata"] = {"name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}}
        incident.add(owned, item("Service", name, {"selector": {"app": name}}), endpoints, of=("Deployment", name))
    return incident


def at_maximum() -> Incident:
    scaler = item("HorizontalPodAutoscaler", "web", {"maxReplicas": 3}, {"currentReplicas": 3})
    scaler["status"]["conditions"] = conditions(**AT_MAXIMUM)
    return workloads("web", "audit").add(scaler, of=("Deployment", "web"))


def latency(of: str) -> tuple[str, str, str, Object, list[Any]]:
    """Return a latency of a service that rises at minute 30."""
    first = int(START.timestamp())
    values = [[first + 60 * minute, "0.2" if minute < 30 else "4.8"] for minute in range(60)]
    metadata = {"template": "latency_p95", "query": "", "step_seconds": 60}
    return "prometheus", "metrics", "data/metrics/latency.json", metadata, [{"metric": {"service": of}, "values": values}]


def test_the_words_of_a_category_are_shown_with_what_they_are_about() -> None:
    """A long part before them is cut at its beginning, not left out."""
    text = f"{{start_failure, {'{child, ' * 30}Error when reading /var/lib/x/.cookie: eacces, [auth.erl, 313]}}"
    short = excerpt(text, 100)
    assert short.startswith("…")
    assert "reading /var/lib/x/.cookie: eacces" in short


def test_the_end_of_a_refusal_is_quoted() -> None:
    """A policy engine names its policy first, and then what is wrong."""
    replica_set = item("ReplicaSet", "web-1")
    failed = event("FailedCreate", f"Error creating: {POLICY}", "web-1", "ReplicaSet", until=58)
    message = found(Incident().add(replica_set).add_event(failed), "AdmissionRefused").message
    assert "validate.kyverno.svc-fail refuses: …Unknown image registry. Only registry.acme.example" in message
