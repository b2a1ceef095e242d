"""Prometheus range queries: one document per PromQL expression.

Speaks GET /api/v1/query_range (Prometheus HTTP API, "Range queries") through prometheus-api-client, over a session that
follows no redirect, has a deadline and a byte cap, and keeps the server's warnings, which that library drops.
"""

import asyncio
import json
import math
import re
import statistics
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template
from typing import Any

import orjson
import requests
from prometheus_api_client import PrometheusApiClientException, PrometheusConnect

from aletheia_operator.api import InvestigationSpec, MetricsRequest, parse_duration
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.http import Endpoint, SafeSession, retry_policy
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources, Window
from aletheia_operator.text.levels import one_line

MAX_POINTS_PER_SERIES = 11_000  # the server refuses more
SPIKE_DEVIATIONS = 6.0
SERIES_PER_BATCH = 100

_STEPS = ((3_600, 15), (6 * 3_600, 60), (24 * 3_600, 300), (7 * 86_400, 1_800))  # window shorter than, step; in seconds
_LONGEST_STEP_SECONDS = 3_600

TEMPLATES = {
    "error_rate": Template(
        '(sum by (service) (rate(http_requests_total{$http,status=~"5.."}[$range]))'
        " or sum by (service) (rate(http_requests_total{$http}[$range])) * 0)"
        " / sum by (service) (rate(http_requests_total{$http}[$range]))"
    ),
    "latency_p95": Template(
        "histogram_quantile(0.95, sum by (le, service) (rate(http_request_duration_seconds_bucket{$http}[$range])))"
    ),
    "latency_p99": Template(
        "histogram_quantile(0.99, sum by (le, service) (rate(http_request_duration_seconds_bucket{$http}[$range])))"
    ),
    "request_rate": Template("sum by (service) (rate(http_requests_total{$http}[$range]))"),
    "cpu_usage": Template('sum by (pod) (rate(container_cpu_usage_seconds_total{$pods,container!=""}[$range]))'),
    "memory_usage": Template('sum by (pod) (container_memory_working_set_bytes{$pods,container!=""})'),
}
_HTTP_PARAMETERS = frozenset({"service", "rate_window"})
_POD_PARAMETERS = frozenset({"pod", "rate_window"})


class PrometheusFetcher:
    """Metrics over the window."""

    name = "Prometheus"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        questions, missing = [], []
        for number, request in enumerate(spec.metrics or []):
            title = request.template or one_line(request.query or "")
            try:
                arguments = {
                    "title": title,
                    "query": expression(request, sources.namespace),
                    "template": request.template,
                    "step_seconds": step_seconds(request.step, sources.window),
                    "data_source": request.data_source_ref.name if request.data_source_ref else None,
                }
            except Rejected as e:
                missing.append(Missing(title, e.reason, f"spec.metrics[{number}]: {e.message}"))
                continue
            questions.append(Question(self.name, f"{self.name}/{number}", title, arguments))
        return Plan(tuple(questions), tuple(missing))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the answer to one query.

        Entries: {"metric": {label: value}, "values": [[unix_seconds, "value"], ...]}, as the server sent them.
        """
        ask = question.arguments
        endpoint = await sources.data_sources.find("prometheus", ask["data_source"])
        start, end = math.floor(sources.window.start.timestamp()), math.floor(sources.window.end.timestamp())
        try:  # the thread looks at the clock only between two reads; it ends by itself
            async with asyncio.timeout(endpoint.timeout_seconds):
                answer = await asyncio.to_thread(query_range, endpoint, ask["query"], start, end, ask["step_seconds"])
        except TimeoutError as e:
            raise endpoint.timed_out() from e
        yield Document(
            category="metrics",
            source="prometheus",
            name=("prometheus", ask["template"] or ask["query"]),
            metadata={
                "query": ask["query"],
                "template": ask["template"],
                "step_seconds": ask["step_seconds"],
                "start": start,
                "end": end,
                "data_source": endpoint.name,
                "warnings": answer.warnings,
            },
            batches=_batches(answer.series),
            findings=Findings(
                summary=summarise(question.target, answer.series),
                missing=[Missing(question.target, GapReason.UNAVAILABLE, f"the server warns: {w}") for w in answer.warnings],
            ),
        )


def expression(request: MetricsRequest, namespace: str) -> str:
    """The PromQL of a request. A template is narrowed to the namespace, its parameters checked and escaped."""
    if request.template is None:
        return request.query or ""
    template = TEMPLATES[request.template]
    parameters = dict(request.parameters or {})
    known = _POD_PARAMETERS if "pods" in template.get_identifiers() else _HTTP_PARAMETERS
    for name in sorted(set(parameters) - known):
        raise Rejected(f"parameters: template {request.template} has no {name}; it knows {', '.join(sorted(known))}")
    try:
        range_seconds = parse_duration(parameters.get("rate_window", "5m"))
    except ValueError as e:
        raise Rejected(f"parameters.rate_window: {e}") from e
    matcher = f"namespace={quote(namespace)}"
    http = pods = matcher
    if "service" in parameters:
        http += f",service={quote(parameters['service'])}"
    if "pod" in parameters:
        pods += f",pod=~{quote(re.escape(parameters['pod']) + '.*')}"
    return template.substitute(http=http, pods=pods, range=f"{range_seconds}s")


def quote(text: str) -> str:
    """A PromQL string literal: its escapes are Go's, and JSON's are among them."""
    return json.dumps(text, ensure_ascii=False)


def step_seconds(step: str | None, window: Window) -> int:
    """The distance between samples. Raises Rejected where the window would hold more points than the server answers."""
    if step is None:
        usual = next((step for limit, step in _STEPS if window.seconds < limit), _LONGEST_STEP_SECONDS)
        return max(usual, math.ceil(window.seconds / MAX_POINTS_PER_SERIES))
    seconds = parse_duration(step)
    if window.seconds / seconds > MAX_POINTS_PER_SERIES:
        least = math.ceil(window.seconds / MAX_POINTS_PER_SERIES)
        raise Rejected(
            f"step: {step} makes more than {MAX_POINTS_PER_SERIES} points a series over this window;"
            f" use {least}s or more, or a shorter window"
        )
    return seconds


@dataclass(frozen=True)
class RangeAnswer:
    """Series as the server sent them, and what it warned of."""

    series: list[dict[str, Any]]
    warnings: list[str]


def query_range(endpoint: Endpoint, query: str, start: int, end: int, step: int) -> RangeAnswer:
    """Ask one range query; times in Unix seconds, both ends included. Blocks. Raises Rejected or Unavailable."""
    session = SafeSession(endpoint)
    try:
        client = PrometheusConnect(
            url=endpoint.url.rstrip("/"), session=session, retry=retry_policy(), timeout=endpoint.timeout_seconds
        )
        series = client.custom_query_range(
            query, datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC), f"{step}s"
        )
        if not isinstance(series, list) or not all(_is_series(one) for one in series):
            raise TypeError
    except PrometheusApiClientException as e:
        raise endpoint.failed(*_refusal(session.last)) from e
    except (requests.JSONDecodeError, RecursionError) as e:
        raise endpoint.not_json() from e
    except (KeyError, TypeError, AttributeError) as e:
        raise Unavailable(
            f"DataSource {endpoint.name}: the answer is not that of a Prometheus range query",
            GapReason.INVALID_RESPONSE,
        ) from e
    finally:
        session.close()
    return RangeAnswer(series, _warnings(session.last))


def _is_series(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("metric"), dict) and ("values" in value or "histograms" in value)


def _refusal(response: requests.Response | None) -> tuple[int, str]:
    """Status and words of an answer other than 200."""
    if response is None:
        return 0, "no answer"
    try:
        said = str(orjson.loads(response.content)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = response.content[:200].decode("utf-8", "replace")
    return response.status_code, said


def _warnings(response: requests.Response | None) -> list[str]:
    if response is None or b'"warnings"' not in response.content:
        return []
    return [one_line(str(warning), 500) for warning in response.json().get("warnings") or []]


async def _batches(series: list[dict[str, Any]]) -> AsyncGenerator[list[Any], None]:
    for first in range(0, len(series), SERIES_PER_BATCH):
        yield series[first : first + SERIES_PER_BATCH]


def summarise(title: str, series: list[Mapping[str, Any]] | list[dict[str, Any]]) -> str:
    """Such as: error_rate: 3 series, max 0.41 at 14:32, spike from 14:28 (UTC)."""
    text = f"{title}: {len(series)} series"
    try:
        samples = [
            [(float(moment), number) for moment, text in one.get("values") or [] if math.isfinite(number := float(text))]
            for one in series
        ]
        peaks = [(max(values, key=lambda sample: sample[1]), values) for values in samples if values]
        if not peaks:
            return f"{text}, no samples"
        (moment, highest), values = max(peaks, key=lambda peak: peak[0][1])
        text += f", max {highest:.4g} at {clock(moment)}"
        start = spike_start([number for _, number in values])
        return text if start is None else f"{text}, spike from {clock(values[start][0])}"
    except (TypeError, ValueError, OverflowError, OSError):  # a server of its own kind: the evidence is kept as it is
        return f"{text}, with samples of an unknown form"


def spike_start(values: list[float]) -> int | None:
    """Index of the first of two samples in a row that lie far above the usual; None if there are none.

    Far above: over the median by more than SPIKE_DEVIATIONS robust standard deviations (1.4826 x the median absolute deviation)
    and by more than half of the median, so that a flat line has no spikes of noise.
    """
    median = statistics.median(values)
    deviation = 1.4826 * statistics.median(abs(value - median) for value in values)
    threshold = median + max(SPIKE_DEVIATIONS * deviation, abs(median) / 2)
    above = [value > threshold for value in values]
    return next((i for i in range(len(above) - 1) if above[i] and above[i + 1]), None)


def clock(unix_seconds: float) -> str:
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%H:%M}"
