"""Query templates. Each is a list of metric conventions, tried in order until one has series. Pure.

Conventions: the Prometheus client libraries' usual HTTP metrics, OpenTelemetry's semantic conventions
(https://opentelemetry.io/docs/specs/semconv/http/http-metrics/), Micrometer, cAdvisor (the kubelet's /metrics/cadvisor),
the kubelet's own metrics, and kube-state-metrics.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from string import Template
from typing import Any

from aletheia_operator.api import parse_duration
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.prometheus.grid import RANGE_SECONDS
from aletheia_operator.text.go_strings import STRING

_PLACES = frozenset({"http", "pods", "namespace", "range"})
_MATCHERS = _PLACES - {"range"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_PIECES = re.compile(rf"(?P<string>{STRING})|(?P<comment>#[^\n]*+)|\$\$|\$(?P<bare>\{{\w+\}}|\w+)")


@dataclass(frozen=True)
class Convention:
    """PromQL for one naming convention. Places for: $namespace, $pods (matchers), $http (matchers with the service), $range."""

    name: str
    promql: str
    service_label: str = "service"
    namespace_label: str | None = None
    """Label of the namespace. None: `namespace`, or the DataSource's namespaceLabel."""


Templates = Mapping[str, tuple[Convention, ...]]


def _http(
    name: str, count: str, buckets: str, status: str, service: str, namespace: str | None = None
) -> dict[str, Convention]:
    """Return the request templates over a histogram's count and buckets. `status`: label of the response code."""
    total = f"sum by ({service}) (rate({count}{{$http}}[$range]))"
    known = f'sum by ({service}) (rate({count}{{$http,{status}!=""}}[$range]))'
    failing = f'sum by ({service}) (rate({count}{{$http,{status}=~"5.."}}[$range]))'
    by_le = f"sum by (le, {service}) (rate({buckets}{{$http}}[$range]))"
    texts = {
        "error_rate": f"({failing} or {known} * 0) / {known}",
        "request_rate": total,
        "latency_p95": f"histogram_quantile(0.95, {by_le})",
        "latency_p99": f"histogram_quantile(0.99, {by_le})",
    }
    return {template: Convention(name, text, service, namespace) for template, text in texts.items()}


_CLIENT = "Prometheus client libraries: http_requests_total, http_request_duration_seconds"
_OTEL = "OpenTelemetry: http_server_request_duration_seconds"
_HTTP = (
    _http(f"{_CLIENT}, label status", "http_requests_total", "http_request_duration_seconds_bucket", "status", "service"),
    _http(f"{_CLIENT}, label code", "http_requests_total", "http_request_duration_seconds_bucket", "code", "service"),
    *(
        _http(
            f"{_OTEL}, label {label or 'namespace'}",
            "http_server_request_duration_seconds_count",
            "http_server_request_duration_seconds_bucket",
            "http_response_status_code",
            "service_name",
            label,
        )
        for label in (None, "k8s_namespace_name")
    ),
    _http(
        "Micrometer: http_server_requests_seconds",
        "http_server_requests_seconds_count",
        "http_server_requests_seconds_bucket",
        "status",
        "service",
    ),
)


def _distinct(template: str) -> tuple[Convention, ...]:
    """Return a template's conventions without equal queries: only the error rate differs by the label of the response code."""
    found: list[Convention] = []
    for convention in (conventions[template] for conventions in _HTTP):
        if not any(replace(convention, name=known.name) == known for known in found):
            found.append(convention)
    return tuple(found)


def _of(*conventions: tuple[str, str]) -> tuple[Convention, ...]:
    return tuple(Convention(name, promql) for name, promql in conventions)


_MEMORY = 'max by (pod, container) (container_memory_working_set_bytes{$pods,container!=""})'
_LIMIT = 'max by (pod, container) (kube_pod_container_resource_limits{$pods,resource="memory"})'
_HPA = "kube_horizontalpodautoscaler"
_THROTTLED = 'sum by (pod, container) (rate(container_cpu_cfs_throttled_periods_total{$pods,container!=""}[$range]))'
_PERIODS = 'sum by (pod, container) (rate(container_cpu_cfs_periods_total{$pods,container!=""}[$range]))'

TEMPLATES: Templates = {
    **{name: _distinct(name) for name in ("error_rate", "latency_p95", "latency_p99", "request_rate")},
    "cpu_usage": _of(("cAdvisor", 'sum by (pod) (rate(container_cpu_usage_seconds_total{$pods,container!=""}[$range]))')),
    "memory_usage": _of(("cAdvisor", 'sum by (pod) (container_memory_working_set_bytes{$pods,container!=""})')),
    "cpu_throttling": _of(("cAdvisor", f"{_THROTTLED} / {_PERIODS}")),
    "memory_limit": _of(
        ("cAdvisor and kube-state-metrics", f"{_MEMORY} / {_LIMIT}"),
        ("cAdvisor", f'{_MEMORY} / (max by (pod, container) (container_spec_memory_limit_bytes{{$pods,container!=""}}) > 0)'),
    ),
    "restarts": _of(
        ("kube-state-metrics", "sum by (pod, container) (increase(kube_pod_container_status_restarts_total{$pods}[$range]))")
    ),
    "oom_kills": _of(
        (
            "kube-state-metrics",
            'max by (pod, container) (kube_pod_container_status_last_terminated_reason{$pods,reason="OOMKilled"})'
            " or max by (pod, container) (kube_pod_container_info{$pods}) * 0",
        ),
        ("cAdvisor", 'sum by (pod, container) (increase(container_oom_events_total{$pods,container!=""}[$range]))'),
    ),
    "pvc_usage": _of(
        (
            "kubelet",
            "max by (persistentvolumeclaim) (kubelet_volume_stats_used_bytes{$namespace})"
            " / max by (persistentvolumeclaim) (kubelet_volume_stats_capacity_bytes{$namespace})",
        )
    ),
    "network_errors": _of(
        (
            "cAdvisor",
            "sum by (pod) (rate(container_network_receive_errors_total{$pods}[$range]))"
            " + sum by (pod) (rate(container_network_transmit_errors_total{$pods}[$range]))",
        )
    ),
    "hpa_at_maximum": _of(
        (
            "kube-state-metrics 2",
            f"max by (horizontalpodautoscaler) ({_HPA}_status_current_replicas{{$namespace}})"
            f" / max by (horizontalpodautoscaler) ({_HPA}_spec_max_replicas{{$namespace}})",
        ),
        (
            "kube-state-metrics 1",
            "max by (hpa) (kube_hpa_status_current_replicas{$namespace})"
            " / max by (hpa) (kube_hpa_spec_max_replicas{$namespace})",
        ),
    ),
}


@dataclass(frozen=True)
class Expression:
    """PromQL that is ready to be queried, and the convention that it follows."""

    convention: str
    promql: str
    looks_back: bool = False
    """Whether its range covers at least a step, so that it sees all since the previous sample."""


def check(name: str, parameters: Mapping[str, str], templates: Templates) -> None:
    """Check a template's name and parameters. Raises Rejected if there is no such template, or it has no such parameters."""
    expressions(name, parameters, templates, "namespace", "namespace")


def given_range_seconds(parameters: Mapping[str, str]) -> int | None:
    """Return the range that a request sets (rate_window); None if it sets none. Raises Rejected if it is not a duration."""
    if "rate_window" not in parameters:
        return None
    try:
        return parse_duration(parameters["rate_window"])
    except ValueError as e:
        raise Rejected(f"parameters.rate_window: {e}") from e


def expressions(
    name: str,
    parameters: Mapping[str, str],
    templates: Templates,
    namespace_label: str,
    namespace: str,
    range_seconds: int = RANGE_SECONDS,
) -> list[Expression]:
    """Return a template's expressions in the order to try them, confined to the namespace, with parameters escaped.

    `range_seconds`: value of `$range` if the parameters have no rate_window.
    """
    if name not in templates:
        raise Rejected(f"template: there is no {name}; there are {', '.join(sorted(templates))}")
    known = set().union(*(_parameters(convention) for convention in templates[name]))
    for parameter in sorted(set(parameters) - known):
        raise Rejected(f"parameters: template {name} has no {parameter}; it knows {', '.join(sorted(known)) or 'none'}")
    for parameter in sorted(known - set(parameters) - {"service", "pod", "rate_window"}):
        raise Rejected(f"parameters: template {name} needs {parameter}")
    range_seconds = given_range_seconds(parameters) or range_seconds
    return [
        Expression(
            convention.name,
            _substitute(convention, parameters, namespace_label, namespace, range_seconds),
            looks_back="range" in Template(convention.promql).get_identifiers(),
        )
        for convention in templates[name]
    ]


def _parameters(convention: Convention) -> set[str]:
    """Return the parameters of a convention: service, pod and rate_window if its PromQL uses them, and every other $name."""
    places = set(Template(convention.promql).get_identifiers())
    named = {"http": "service", "pods": "pod", "range": "rate_window"}
    return (places - _PLACES) | {parameter for place, parameter in named.items() if place in places}


def _substitute(
    convention: Convention, parameters: Mapping[str, str], namespace_label: str, namespace: str, range_seconds: int
) -> str:
    matcher = f"{convention.namespace_label or namespace_label}={quote(namespace)}"
    http = pods = matcher
    if "service" in parameters:
        http += f",{convention.service_label}={quote(parameters['service'])}"
    if "pod" in parameters:
        pods += f",pod=~{quote(re.escape(parameters['pod']) + '.*')}"
    places = {"http": http, "pods": pods, "namespace": matcher, "range": f"{range_seconds}s"}
    return Template(convention.promql).substitute({name: inside(value) for name, value in parameters.items()} | places)


def quote(text: str) -> str:
    """Return a PromQL string literal. JSON's escapes are a subset of Go's, which PromQL uses."""
    return json.dumps(text, ensure_ascii=False)


def inside(text: str) -> str:
    """Escape text for the inside of a PromQL string with any quotes."""
    return quote(text)[1:-1].replace("'", r"\x27").replace("`", r"\x60")


def parse_templates(document: Any) -> dict[str, tuple[Convention, ...]]:
    """Parse an admin's templates: {name: [{name, promql, serviceLabel?}, ...]}. Raises ValueError that says what is wrong."""
    if not isinstance(document, dict):
        raise ValueError("metric templates: a mapping of names to lists of conventions is expected")
    templates = {}
    for name, conventions in document.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"metric templates: {name!r} is not a name: use lower-case letters, digits and _")
        if name in TEMPLATES:
            raise ValueError(f"metric templates: {name} is built in; choose another name")
        if not isinstance(conventions, list) or not conventions:
            raise ValueError(f"metric templates: {name} needs a list of conventions")
        templates[name] = tuple(_parse_convention(name, convention) for convention in conventions)
    return templates


def _parse_convention(template: str, document: Any) -> Convention:
    known = {"name", "promql", "serviceLabel"}
    if not isinstance(document, dict) or not {"name", "promql"} <= set(document) <= known:
        raise ValueError(f"metric templates: a convention of {template} must have name, promql and optionally serviceLabel")
    promql = str(document["promql"])
    if not Template(promql).is_valid():
        raise ValueError(f"metric templates: {template}: write $$ for a $ that does not begin a parameter")
    _check_places(template, promql)
    service_label = str(document.get("serviceLabel", "service"))
    if not _LABEL.fullmatch(service_label):
        raise ValueError(f"metric templates: {template}: serviceLabel {service_label!r} is not a label name")
    return Convention(str(document["name"]), promql, service_label)


def _check_places(template: str, promql: str) -> None:
    """Raise ValueError if a parameter is outside of a string, or matchers are inside of one."""
    for piece in _PIECES.finditer(promql):
        string = piece["string"] or piece["comment"] or ""
        for name in Template(string).get_identifiers():
            if name in _MATCHERS:
                raise ValueError(f"metric templates: {template}: ${name} stands for matchers, which belong outside of quotes")
            if string[0] not in "\"'" and name not in _PLACES:
                raise ValueError(f"metric templates: {template}: ${name} must stand within \"...\" or '...'")
        bare = (piece["bare"] or "").strip("{}")
        if bare and bare not in _PLACES:
            raise ValueError(f'metric templates: {template}: ${bare} must stand within quotes, as in pod=~"${bare}"')
