"""Metrics on disk have the same series and samples as `promtool query range`."""

import json
import math
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.cluster import programs, servers
from tests.support.operator import Kubectl, Operator, artifact_of, check_session, data_source, evidence_of, session_of

pytestmark = pytest.mark.cluster

STEP = 15
HOURS = 2
SERVICE = 'quoted"service'


def history(end: int, namespace: str) -> str:
    """Return OpenMetrics text of a shop: requests (a tenth fails), latencies, CPU and memory, one sample every 15 s."""
    moments = range(end - HOURS * 3600, end + 1, STEP)
    lines: list[str] = []

    def family(name: str, kind: str, *series: tuple[str, float]) -> None:
        """Add samples of each series: labels, and growth per second (counters) or amplitude (gauges, as a wave)."""
        lines.append(f"# TYPE {name} {kind}")
        suffix = {"counter": "_total", "gauge": "", "histogram": "_bucket"}[kind]
        for labels, number in series:
            for moment in moments:
                wave = number * (2 + math.sin(moment / 600))
                value = wave if kind == "gauge" else (moment - moments[0]) * number
                lines.append(f"{name}{suffix}{{{labels}}} {value} {moment}")

    common = f'namespace="{namespace}"'
    service = f"service={json.dumps(SERVICE)}"
    requests = [(f'{common},{service},status="{status}"', rate) for status, rate in (("200", 9.0), ("503", 1.0))]
    family("http_requests", "counter", *requests, ('namespace="other",service="x",status="500"', 5.0))
    buckets = [(f'{common},{service},le="{le}"', rate) for le, rate in (("0.1", 5.0), ("0.5", 9.0), ("+Inf", 10.0))]
    lines.append("# TYPE http_request_duration_seconds histogram")
    for moment in moments:
        for labels, rate in buckets:
            lines.append(f"http_request_duration_seconds_bucket{{{labels}}} {(moment - moments[0]) * rate} {moment}")
        for part in ("count", "sum"):
            lines.append(f"http_request_duration_seconds_{part}{{{common},{service}}} {(moment - moments[0]) * 10.0} {moment}")
    lines = regroup(lines)
    pods = [f'{common},pod="{name}",container="app"' for name in ("web.1", "web.2", "db-0")]
    family("container_cpu_usage_seconds", "counter", *((labels, 0.25) for labels in pods))
    family("container_memory_working_set_bytes", "gauge", *((labels, 1e6) for labels in pods))
    return "\n".join([*lines, "# EOF", ""])


def regroup(lines: list[str]) -> list[str]:
    """Group the histogram's lines by series, as OpenMetrics requires."""
    start = lines.index("# TYPE http_request_duration_seconds histogram") + 1
    return [*lines[:start], *sorted(lines[start:], key=lambda line: line.split("} ")[0])]


@pytest.fixture(scope="module")
def prometheus(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Prometheus]:
    """A real Prometheus with two hours of known history, the default DataSource."""
    end = int(time.time()) // STEP * STEP
    directory = tmp_path_factory.mktemp("prometheus")
    with servers.prometheus(directory, openmetrics=history(end, kubectl.namespace)) as server:
        kubectl.apply(data_source("it-prometheus", "prometheus", server.url, default=True))
        yield server
        kubectl("delete", "datasource", "it-prometheus")


def promtool(server: servers.Prometheus, metadata: dict[str, object]) -> object:
    """Return promtool's answer to the query in the artifact's metadata."""
    _, program = programs.prometheus()
    command = [program, "query", "range", "--format=json", f"--start={metadata['start']}", f"--end={metadata['end']}"]
    command += [f"--step={metadata['step_seconds']}s", server.url, metadata["query"]]
    return json.loads(subprocess.run([str(word) for word in command], capture_output=True, check=True, timeout=60).stdout)


TEMPLATES = {
    "error_rate": {"service": SERVICE, "rate_window": "2m"},
    "latency_p95": {"service": SERVICE},
    "latency_p99": {},
    "request_rate": {"service": SERVICE},
    "cpu_usage": {"pod": "web."},
    "memory_usage": {},
}


def test_samples_equal_promtool(kubectl: Kubectl, operator: Operator, prometheus: servers.Prometheus) -> None:
    """For every template, raw queries and given steps, the data equals the output of `promtool query range`."""
    metrics = [{"template": name, "parameters": values} for name, values in TEMPLATES.items()]
    metrics += [
        {"query": 'http_requests_total{service=~".+"}'},
        {"query": "sum(rate(http_requests_total[5m])) by (status)", "step": "30s"},
        {"query": "vector(1) / 0", "step": "5m"},
        {"query": 'absent_metric{job="none"}'},
    ]
    resource = kubectl.investigate("samples", window={"lookback": "90m"}, metrics=metrics)
    assert resource["status"]["phase"] == "PartiallyCompleted", resource["status"]
    (gap,) = resource["status"]["gaps"]
    assert (gap["reason"], gap["target"]) == ("Empty", 'absent_metric{job="none"}')
    check_session(session_of(resource))
    assert len(evidence_of(resource)) == len(metrics) - 1
    for number, asked in enumerate(metrics[:-1]):
        document = artifact_of(resource, number)
        assert document["data"] == promtool(prometheus, document["metadata"]), asked
        assert document["metadata"]["step_seconds"] == {"30s": 30, "5m": 300}.get(str(asked.get("step")), 15)
        assert document["data"]
    by_template = {name: artifact_of(resource, number) for number, name in enumerate(TEMPLATES)}
    errors = [float(value) for _, value in by_template["error_rate"]["data"][0]["values"]]
    assert all(value == pytest.approx(0.1) for value in errors)
    assert {series["metric"]["pod"] for series in by_template["cpu_usage"]["data"]} == {"web.1", "web.2"}
    assert {series["metric"]["pod"] for series in by_template["memory_usage"]["data"]} == {"web.1", "web.2", "db-0"}
    assert evidence_of(resource)[0]["summary"].startswith("error_rate: 1 series, max 0.1 at ")


def test_a_query_that_prometheus_refuses(kubectl: Kubectl, operator: Operator, prometheus: servers.Prometheus) -> None:
    """A syntax error, a step with too many points and an unknown parameter are gaps with a helpful message."""
    metrics = [
        {"query": "sum(rate(http_requests_total[5m])"},
        {"query": "up", "step": "1s"},
        {"template": "cpu_usage", "parameters": {"service": "x"}},
        {"query": "vector(1)"},
    ]
    resource = kubectl.investigate("refused", window={"lookback": "60d"}, metrics=metrics)
    assert resource["status"]["phase"] == "PartiallyCompleted"
    messages = [gap["message"] for gap in resource["status"]["gaps"]]
    assert [gap["reason"] for gap in resource["status"]["gaps"]] == ["Rejected"] * 3
    assert any("spec.metrics[1]: step: 1s" in message and "use 3s or more" in message for message in messages)
    assert any("spec.metrics[2]: parameters: template cpu_usage has no service" in message for message in messages)
    assert any("parse error" in message for message in messages)
    assert len(evidence_of(resource)) == 1
