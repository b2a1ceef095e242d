"""Traces on disk are the same as those of Jaeger's own API."""

import json
import secrets
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.fetchers.jaeger import JaegerFetcher, searches
from tests.cluster import servers
from tests.support.fetching import endpoint, fetch, reasons, window
from tests.support.operator import Kubectl, Operator, artifact_of, check_session, data_source, evidence_of, session_of, until
from tests.support.traces import ask, in_order, span

pytestmark = pytest.mark.cluster

TRACES = 30


@pytest.fixture(scope="module")
def jaeger(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Jaeger]:
    """A real Jaeger with known traces of the last minutes, the default DataSource."""
    with servers.jaeger(tmp_path_factory.mktemp("jaeger")) as server:
        now = time.time_ns()
        for number in range(TRACES):
            trace, start = secrets.token_hex(16), now - (number + 2) * 1_000_000_000
            root = span(
                trace, "GET /slow" if number == 7 else "GET /", start, 3000 if number == 7 else 20, failing=number % 3 == 0
            )
            child = span(trace, "SELECT", start + 1_000_000, 5, parent=root["spanId"])
            for service, made in (("shop", root), ("database", child)):
                attributes = [{"key": "service.name", "value": {"stringValue": service}}]
                spans = {"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [made]}]}
                server.send({"resourceSpans": [spans]})
        until(lambda: len(ask(server, service="shop", limit="100", lookback="1h")) == TRACES, 30, "Jaeger has every trace")
        kubectl.apply(data_source("it-jaeger", "jaeger", server.url, default=True))
        yield server
        kubectl("delete", "datasource", "it-jaeger")


def test_traces_equal_what_jaeger_returns(kubectl: Kubectl, operator: Operator, jaeger: servers.Jaeger) -> None:
    """A search, a search with every condition, and a trace by id equal what Jaeger's API returns for the same question."""
    trace_id = ask(jaeger, service="shop", limit="1", lookback="1h")[0]["traceID"]
    traces: list[dict[str, Any]] = [
        {"service": "shop", "limit": 100},
        {
            "service": "shop",
            "operation": "GET /slow",
            "minDuration": "1s",
            "maxDuration": "10s",
            "tags": {"user": "björn 日本 \x07"},
        },
        {"service": "shop", "tags": {"error": "true"}, "limit": 100},
        {"traceID": trace_id},
        {"service": "nobody"},
    ]
    resource = kubectl.investigate("traces", window={"lookback": "30m"}, traces=traces)
    assert [gap["reason"] for gap in resource["status"].get("gaps", [])] == ["Empty"], resource["status"]
    assert "Jaeger knows no service nobody" in resource["status"]["gaps"][0]["message"]
    check_session(session_of(resource))
    documents = [artifact_of(resource, number) for number in range(len(traces) - 1)]  # the last question has a gap instead
    counts = [document["metadata"]["count"] for document in documents]
    assert counts == [TRACES, 1, TRACES // 3, 1]
    everything = ask(jaeger, service="shop", limit="100", lookback="1h")
    assert in_order(documents[0]["data"]) == everything
    by_id = {trace["traceID"]: trace for trace in everything}
    for document in documents[1:4]:
        for trace in in_order(document["data"]):
            assert trace == by_id[trace["traceID"]]
    summary = evidence_of(resource)[0]["summary"]
    failing = f"failing spans: shop {TRACES // 3} of {TRACES}; first: shop GET /"
    assert summary == f"{TRACES} traces ({TRACES // 3} failing), slowest 3.00 s: shop GET /slow; {failing}"


def test_a_trace_that_is_not_there(kubectl: Kubectl, operator: Operator, jaeger: servers.Jaeger) -> None:
    """An id that Jaeger does not know is a gap; the search is answered."""
    resource = kubectl.investigate("no-trace", traces=[{"traceID": "0123456789abcdef"}, {"service": "shop", "limit": 5}])
    assert resource["status"]["phase"] == "PartiallyCompleted"
    assert [(gap["reason"], gap["target"]) for gap in resource["status"]["gaps"]] == [("NotFound", "trace/0123456789abcdef")]
    assert artifact_of(resource)["metadata"]["limit_reached"] is True


def test_what_is_kept_when_the_limit_bites(kubectl: Kubectl, operator: Operator, jaeger: servers.Jaeger) -> None:
    """Every failing trace is kept, then the slowest, then a sample that is spread over the window."""
    everything = ask(jaeger, service="shop", limit="100", lookback="1h")
    failing = {trace["traceID"] for trace in everything if "error" in str(trace["spans"])}
    slow = {trace["traceID"] for trace in everything if any(span["duration"] > 1_000_000 for span in trace["spans"])}
    assert len(failing) == TRACES // 3 and slow - failing
    traces = [{"service": "shop", "limit": TRACES // 3 + 4}, {"service": "shop", "limit": 3}]
    resource = kubectl.investigate("limited", window={"lookback": "30m"}, traces=traces)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    kept, few = (artifact_of(resource, number) for number in range(2))
    ids = {trace["traceID"] for trace in kept["data"]}
    assert len(kept["data"]) == len(ids) == TRACES // 3 + 4
    assert failing | slow <= ids
    assert kept["metadata"]["kept"] == {"failing": TRACES // 3, "slowest": 2, "sample": 2}
    assert kept["metadata"]["limit_reached"] is True
    begun = {trace["traceID"]: max(span["startTime"] for span in trace["spans"]) for trace in everything}
    assert [trace["traceID"] for trace in few["data"]] == sorted(failing, key=begun.__getitem__, reverse=True)[:3]


SEARCHES: list[dict[str, Any]] = [
    {"service": "shop", "limit": 100},
    {"service": "database", "operation": "SELECT", "limit": 100},
    {"service": "shop", "minDuration": "1s", "maxDuration": "10s"},
    {"service": "shop", "tags": {"error": "true"}, "limit": 100},
    {"service": "shop", "tags": {"user": "björn 日本 \x07"}, "operation": "GET /slow"},
    {"service": "nobody"},
]


def otlp_spans(resource_spans: list[Any]) -> dict[str, list[Any]]:
    """Return service and span of each span, by trace id."""
    found: dict[str, list[Any]] = {}
    for resource in resource_spans:
        (service,) = [
            item["value"]["stringValue"] for item in resource["resource"]["attributes"] if item["key"] == "service.name"
        ]
        for found_span in (each for scope in resource["scopeSpans"] for each in scope["spans"]):
            found.setdefault(found_span["traceId"], []).append([service, found_span])
    return {key: sorted(spans, key=str) for key, spans in found.items()}


def test_both_apis_give_the_same_traces(kubectl: Kubectl, operator: Operator, jaeger: servers.Jaeger) -> None:
    """Each search and a trace by id find the same traces over v1 and v3; what v3 stores is what its API returns."""
    kubectl.apply(data_source("it-jaeger-v3", "jaeger", jaeger.url, jaeger={"api": "v3"}))
    trace_id = ask(jaeger, service="shop", limit="1", lookback="1h")[0]["traceID"]
    asked = [*SEARCHES[:-1], {"traceID": trace_id}]  # the last search finds nothing, and is a gap
    traces = [*asked, *({**search, "dataSourceRef": {"name": "it-jaeger-v3"}} for search in asked)]
    resource = kubectl.investigate("both-apis", window={"lookback": "30m"}, traces=traces)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    documents = [artifact_of(resource, number) for number in range(len(traces))]
    for search, first, second in zip(asked, documents, documents[len(asked) :], strict=False):
        assert [first["metadata"]["api"], second["metadata"]["api"]] == ["v1", "v3"]
        ids = [next(iter(otlp_spans(entry["resourceSpans"]))) for entry in second["data"]]
        assert sorted(ids) == sorted(trace["traceID"] for trace in first["data"]), search
        assert first["metadata"]["summary"].split(", slowest")[0] == second["metadata"]["summary"].split(", slowest")[0]
    assert documents[0]["metadata"]["summary"] == documents[len(asked)]["metadata"]["summary"]
    span_of = otlp_spans([spans for entry in documents[len(asked)]["data"] for spans in entry["resourceSpans"]])
    query = {"service_name": "shop", "num_traces": "100"}
    query |= {"start_time_min": "2020-01-01T00:00:00Z", "start_time_max": "2099-01-01T00:00:00Z"}
    parameters = urlencode({f"query.{key}": value for key, value in query.items()})
    with urllib.request.urlopen(f"{jaeger.url}/api/v3/traces?{parameters}", timeout=10) as answer:
        assert span_of == otlp_spans(json.load(answer)["result"]["resourceSpans"])
    kubectl("delete", "datasource", "it-jaeger-v3")


def test_what_is_kept_over_v3_when_the_limit_bites(kubectl: Kubectl, operator: Operator, jaeger: servers.Jaeger) -> None:
    """As with v1, every failing trace is kept, then the slowest, then a sample."""
    kubectl.apply(data_source("it-jaeger-v3", "jaeger", jaeger.url, jaeger={"api": "v3"}))
    everything = ask(jaeger, service="shop", limit="100", lookback="1h")
    failing = {trace["traceID"] for trace in everything if "error" in str(trace["spans"])}
    slow = {trace["traceID"] for trace in everything if any(span["duration"] > 1_000_000 for span in trace["spans"])}
    traces = [{"service": "shop", "limit": TRACES // 3 + 4, "dataSourceRef": {"name": "it-jaeger-v3"}}]
    resource = kubectl.investigate("limited-v3", window={"lookback": "30m"}, traces=traces)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    document = artifact_of(resource)
    ids = {trace_id for entry in document["data"] for trace_id in otlp_spans(entry["resourceSpans"])}
    assert failing | slow <= ids
    assert document["metadata"]["kept"] == {"failing": TRACES // 3, "slowest": 2, "sample": 2}
    kubectl("delete", "datasource", "it-jaeger-v3")


@pytest.mark.parametrize("api", ["v1", "v3"])
@pytest.mark.parametrize("fault", ["full", "too large"])
def test_failing_traces_among_too_many(jaeger: servers.Jaeger, monkeypatch: pytest.MonkeyPatch, api: str, fault: str) -> None:
    """If one answer is too small for them, they are found in parts of the window: all of them and no others."""
    settings = {"max_response_bytes": 12_000 if api == "v1" else 6_000} if fault == "too large" else {}
    if fault == "full":
        monkeypatch.setattr(searches, "MAX_POOL", 4)
    source = endpoint(jaeger.url, options=JaegerOptions.from_json({"api": api}), **settings)
    now = time.time()
    fetched = fetch(JaegerFetcher(), source, window(now - 900, now), traces=[{"service": "shop", "limit": TRACES // 3}])
    everything = ask(jaeger, service="shop", limit="100", lookback="1h")
    failing = {trace["traceID"] for trace in everything if "error" in str(trace["spans"])}
    kept = [entry.get("traceID") or next(iter(otlp_spans(entry["resourceSpans"]))) for entry in fetched.entries[0]]
    assert set(kept) == failing
    assert fetched.documents[0].metadata["kept"]["failing"] == len(failing)
    assert reasons(fetched.missing) == (["TooLarge"] if fault == "too large" else [])


def test_more_services_than_are_asked(jaeger: servers.Jaeger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap reports that failing spans were not searched in every service; those of the requested service are found."""
    monkeypatch.setattr(searches, "MAX_SERVICES", 1)
    now = time.time()
    span = window(now - 900, now)
    fetched = fetch(JaegerFetcher(), endpoint(jaeger.url), span, traces=[{"service": "shop", "limit": TRACES // 3 + 1}])
    assert fetched.documents[0].metadata["kept"]["failing"] == TRACES // 3
    assert reasons(fetched.missing) == ["BudgetExceeded"]
    assert "in 1 of " in fetched.missing[0].message
