"""A real Prometheus evaluates every template in every metric convention, over series of that convention."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.fetchers.prometheus.templates import TEMPLATES
from tests.cluster import servers
from tests.support.fetching import endpoint, fetch, reasons, window

END = 1_763_000_040
MINUTES = 20
APP = 'pod="web-1",container="app"'
POD = 'pod="web-1",container=""'
"""cAdvisor's total of a pod, which must not be counted twice."""


class Series(NamedTuple):
    """Samples of one convention. A counter grows by `number` per second, a gauge stays at `number`."""

    namespace: str
    metric: str
    labels: str
    number: float

    @property
    def family(self) -> tuple[str, str]:
        """Name and type of its OpenMetrics family."""
        for suffix, kind in (("_total", "counter"), ("_bucket", "histogram"), ("_count", "histogram"), ("_sum", "histogram")):
            if self.metric.endswith(suffix):
                return self.metric.removesuffix(suffix), kind
        return self.metric, "gauge"

    def lines(self) -> list[str]:
        _, kind = self.family
        start = END - MINUTES * 60
        moments = range(start, END + 1, 15)
        label = "k8s_namespace_name" if self.namespace == "otel-k8s" else "namespace"
        text = f'{self.metric}{{{label}="{self.namespace}",{self.labels}}}'
        return [f"{text} {self.number * (1 if kind == 'gauge' else moment - start)} {moment}" for moment in moments]


def requests(namespace: str, metric: str, service: str, status: str, count: str | None = None) -> list[Series]:
    """Return series of ten requests per second: one fails, nine take less than 0.5 s, all less than 1 s."""
    found = []
    for code, rate in (("200", 9.0), ("503", 1.0)):
        labels = f'{service}="shop",{status}="{code}"'
        found += [Series(namespace, f"{metric}_bucket", f'{labels},le="{le}"', rate * share) for le, share in SHARES]
        found.append(Series(namespace, f"{metric}_count", labels, rate))
        found.append(Series(namespace, f"{metric}_sum", labels, rate * 0.4))
        if count:
            found.append(Series(namespace, count, labels, rate))
    return found


SHARES = (("0.1", 0.5), ("0.5", 0.9), ("1.0", 1.0), ("+Inf", 1.0))
HPA = "kube_horizontalpodautoscaler"
SERIES = [
    *requests("client-status", "http_request_duration_seconds", "service", "status", "http_requests_total"),
    *requests("client-code", "http_request_duration_seconds", "service", "code", "http_requests_total"),
    *requests("otel", "http_server_request_duration_seconds", "service_name", "http_response_status_code"),
    *requests("otel-k8s", "http_server_request_duration_seconds", "service_name", "http_response_status_code"),
    *requests("micrometer", "http_server_requests_seconds", "service", "status"),
    *(Series("cadvisor", "container_cpu_usage_seconds_total", labels, 0.25) for labels in (APP, POD)),
    *(
        Series(namespace, "container_memory_working_set_bytes", labels, 300)
        for namespace in ("cadvisor", "cadvisor-ksm")
        for labels in (APP, POD)
    ),
    Series("cadvisor", "container_spec_memory_limit_bytes", APP, 600),
    Series("cadvisor-ksm", "kube_pod_container_resource_limits", f'{APP},resource="memory",unit="byte"', 400),
    Series("cadvisor-ksm", "kube_pod_container_resource_limits", f'{APP},resource="cpu",unit="core"', 2),
    Series("cadvisor", "container_cpu_cfs_throttled_periods_total", APP, 1),
    Series("cadvisor", "container_cpu_cfs_periods_total", APP, 4),
    Series("cadvisor", "container_oom_events_total", APP, 0.01),
    Series("cadvisor", "container_network_receive_errors_total", 'pod="web-1",interface="eth0"', 1),
    Series("cadvisor", "container_network_transmit_errors_total", 'pod="web-1",interface="eth0"', 2),
    Series("ksm", "kube_pod_container_status_restarts_total", APP, 1 / 150),
    Series("ksm", "kube_pod_container_status_last_terminated_reason", f'{APP},reason="OOMKilled"', 1),
    Series("ksm", "kube_pod_container_info", APP, 1),
    Series("kubelet", "kubelet_volume_stats_used_bytes", 'persistentvolumeclaim="data"', 30),
    Series("kubelet", "kubelet_volume_stats_capacity_bytes", 'persistentvolumeclaim="data"', 40),
    Series("ksm", f"{HPA}_status_current_replicas", 'horizontalpodautoscaler="web"', 5),
    Series("ksm", f"{HPA}_spec_max_replicas", 'horizontalpodautoscaler="web"', 5),
    Series("ksm-1", "kube_hpa_status_current_replicas", 'hpa="web"', 2),
    Series("ksm-1", "kube_hpa_spec_max_replicas", 'hpa="web"', 4),
]
WEB = {"pod": "web-1"}
CONTAINER = {**WEB, "container": "app"}


class Row(NamedTuple):
    """The convention that answers a template in a namespace, with value and labels."""

    template: str
    namespace: str
    convention: int
    value: float
    labels: dict[str, str]


def of_requests(template: str, value: float) -> list[Row]:
    namespaces = ["client-status", "otel", "otel-k8s", "micrometer"]
    if template == "error_rate":
        namespaces.insert(1, "client-code")
    rows = []
    for number, namespace in enumerate(namespaces):
        label = "service_name" if namespace.startswith("otel") else "service"
        rows.append(Row(template, namespace, number, value, {label: "shop"}))
    return rows


ROWS = [
    *of_requests("error_rate", 0.1),
    *of_requests("request_rate", 10),
    *of_requests("latency_p95", 0.75),
    *of_requests("latency_p99", 0.95),
    Row("cpu_usage", "cadvisor", 0, 0.25, WEB),
    Row("memory_usage", "cadvisor", 0, 300, WEB),
    Row("cpu_throttling", "cadvisor", 0, 0.25, CONTAINER),
    Row("memory_limit", "cadvisor-ksm", 0, 0.75, CONTAINER),
    Row("memory_limit", "cadvisor", 1, 0.5, CONTAINER),
    Row("restarts", "ksm", 0, 2, CONTAINER),
    Row("oom_kills", "ksm", 0, 1, CONTAINER),
    Row("oom_kills", "cadvisor", 1, 3, CONTAINER),
    Row("pvc_usage", "kubelet", 0, 0.75, {"persistentvolumeclaim": "data"}),
    Row("network_errors", "cadvisor", 0, 3, WEB),
    Row("hpa_at_maximum", "ksm", 0, 1, {"horizontalpodautoscaler": "web"}),
    Row("hpa_at_maximum", "ksm-1", 1, 0.5, {"hpa": "web"}),
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Prometheus]:
    """A real Prometheus with each convention in its own namespace."""
    lines = []
    for name, kind in dict.fromkeys(item.family for item in SERIES):
        members = [item for item in SERIES if item.family == (name, kind)]
        members.sort(key=lambda member: (member.namespace, member.labels.split(",le=")[0]))
        lines += [f"# TYPE {name} {kind}", *(line for member in members for line in member.lines())]
    text = "\n".join([*lines, "# EOF", ""])
    with servers.prometheus(tmp_path_factory.mktemp("templates"), openmetrics=text) as server:
        yield server


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.template}-{row.namespace}")
def test_a_template_in_a_convention(prometheus: servers.Prometheus, row: Row) -> None:
    """Value and labels are right, and the metadata names the convention that answered."""
    metrics = [{"template": row.template, "step": "1m"}]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - 600, END), row.namespace, metrics=metrics)
    assert fetched.missing == []
    (series,) = fetched.entries[0]
    assert series["metric"] == row.labels
    assert len(series["values"]) == 11
    assert [float(value) for _, value in series["values"]] == pytest.approx([row.value] * 11)
    conventions = [convention.name for convention in TEMPLATES[row.template]]
    assert fetched.documents[0].metadata["convention"] == conventions[row.convention]
    assert fetched.documents[0].metadata["conventions_tried"] == conventions


def test_every_convention_has_a_row() -> None:
    """ROWS has a value for each convention of each template."""
    shown = {(row.template, row.convention) for row in ROWS}
    assert shown == {(name, number) for name, found in TEMPLATES.items() for number in range(len(found))}


def test_the_saturation_of_one_namespace(prometheus: servers.Prometheus) -> None:
    """Of several templates, those with series answer; for the others the gap names what was searched."""
    names = ["cpu_throttling", "memory_limit", "restarts", "oom_kills", "pvc_usage", "network_errors", "hpa_at_maximum"]
    metrics = [{"template": name} for name in names]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - 600, END), "cadvisor", metrics=metrics)
    answered = [name for name, entries in zip(names, fetched.entries, strict=True) if entries]
    assert answered == ["cpu_throttling", "memory_limit", "oom_kills", "network_errors"]
    assert [gap.target for gap in fetched.missing] == ["restarts", "pvc_usage", "hpa_at_maximum"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_where_no_convention_has_series(prometheus: servers.Prometheus, template: str) -> None:
    """The gap reports that there are no series, and names every convention that was tried."""
    metrics = [{"template": template}]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - 600, END), "nobody", metrics=metrics)
    assert reasons(fetched.missing) == ["NotFound"]
    assert all(convention.name in fetched.missing[0].message for convention in TEMPLATES[template])
    assert fetched.documents[0].metadata["convention"] is None
