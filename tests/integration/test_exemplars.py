"""Exemplars of a real Prometheus that scraped them from an OpenMetrics target."""

import json
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlencode

import pytest

from aletheia_operator.api.source_types.prometheus import PrometheusOptions
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from tests.cluster import servers
from tests.support.fetching import endpoint, fetch, window
from tests.support.http import threads_serving
from tests.support.operator import until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
METRICS = f"""\
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{{namespace="shop",service="web",le="0.5"}} 3 # {{trace_id="{TRACE_ID}"}} 0.43
http_request_duration_seconds_bucket{{namespace="shop",service="web",le="+Inf"}} 4 # {{trace_id="{TRACE_ID[::-1]}"}} 7.5
http_request_duration_seconds_count{{namespace="shop",service="web"}} 4
http_request_duration_seconds_sum{{namespace="shop",service="web"}} 8.3
# TYPE http_requests counter
http_requests_total{{namespace="other",service="web"}} 4 # {{trace_id="of-another-namespace"}} 1.0
# EOF
"""


class Target(BaseHTTPRequestHandler):
    """The answer to a scrape of a program that exposes exemplars."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.end_headers()
        self.wfile.write(METRICS.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with threads_serving(Target) as address:
        yield address


def exemplars(server: servers.Prometheus, query: str) -> list[Any]:
    """Return the API's exemplars of all time."""
    parameters = urlencode({"query": query, "start": 0, "end": time.time() + 60})
    with urllib.request.urlopen(f"{server.url}/api/v1/query_exemplars?{parameters}", timeout=10) as answer:
        found: list[Any] = json.load(answer)["data"]
        return found


@pytest.fixture(scope="module")
def prometheus(target: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Prometheus]:
    """A real Prometheus with exemplar storage that has scraped the target."""
    jobs = f"scrape_configs: [{{job_name: web, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}]\n"
    config = f"global: {{scrape_interval: 1s}}\n{jobs}"
    flags = ["--enable-feature=exemplar-storage"]
    with servers.prometheus(tmp_path_factory.mktemp("exemplars"), config=config, flags=flags) as server:
        until(lambda: len(exemplars(server, '{service="web"}')) == 3, 30, "Prometheus has scraped every exemplar")
        source, metrics = endpoint(server.url), [{"query": "rate(http_requests_total[1m])", "instant": True}]
        until(
            lambda: fetch(PrometheusFetcher(), source, window(0, time.time()), metrics=metrics).entries[0],
            30,
            "a rate of two scrapes",
        )
        yield server


QUERIES = {
    "series": {"query": 'http_request_duration_seconds_bucket{service="web"}'},
    "an expression": {"query": "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[1m])))"},
    "a template": {"template": "latency_p99", "parameters": {"service": "web"}},
}


@pytest.mark.parametrize("asked", QUERIES.values(), ids=QUERIES)
def test_exemplars_equal_the_apis(prometheus: servers.Prometheus, asked: dict[str, Any]) -> None:
    """The exemplars of the query's series are captured with their traces, as the API returns them."""
    span = window(time.time() - 300, time.time() + 1)
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), span, metrics=[{**asked, "step": "1s", "exemplars": True}])
    assert fetched.missing == []
    entries = fetched.entries[-1]
    assert entries == exemplars(prometheus, "http_request_duration_seconds_bucket")
    found = {exemplar["labels"]["trace_id"]: exemplar["value"] for series in entries for exemplar in series["exemplars"]}
    assert found == {TRACE_ID: "0.43", TRACE_ID[::-1]: "7.5"}
    assert fetched.documents[-1].name[-1] == "exemplars"
    assert fetched.documents[-1].outcome.summary.endswith("exemplars of 2 series")


def test_exemplars_of_another_namespace_are_not_read(prometheus: servers.Prometheus) -> None:
    """The namespace label confines exemplars as well as samples."""
    span = window(time.time() - 300, time.time() + 1)
    metrics = [{"query": '{service="web"} or http_requests_total', "step": "1m", "exemplars": True}]
    source = endpoint(prometheus.url, options=PrometheusOptions(namespace_label="namespace"))
    fetched = fetch(PrometheusFetcher(), source, span, metrics=metrics)
    assert fetched.missing == []
    assert TRACE_ID in str(fetched.entries[-1])
    assert "of-another-namespace" not in str(fetched.entries)


def test_a_server_without_exemplars(tmp_path_factory: pytest.TempPathFactory) -> None:
    """If exemplars are not stored, the server returns none, and the document has none."""
    with servers.prometheus(tmp_path_factory.mktemp("none")) as server:
        metrics = [{"query": "up or vector(1)", "exemplars": True}]
        fetched = fetch(PrometheusFetcher(), endpoint(server.url), window(time.time() - 60, time.time()), metrics=metrics)
    assert fetched.missing == []
    assert [len(entries) for entries in fetched.entries] == [1, 0]
