"""Jaeger: what a search asks, what counts as an answer, and the one line that says what there is to see."""

import json
from typing import Any

import pytest

from aletheia_operator.api import InvestigationSpec, TracesRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.http import Answer, Http
from aletheia_operator.fetchers.base import Document
from aletheia_operator.fetchers.jaeger import JaegerFetcher, is_failing, read, search, summarise
from tests.unit.fakes import entries_of, make_sources, make_window
from tests.unit.loopback import Loopback, reply_json

ENDPOINT = Endpoint("traces", "http://jaeger:16686", 5, 2**20)
START, END = "1795345200000000", "1795348800000000"  # 11:00 and 12:00 in microseconds


def span(microseconds: Any = 1_000, name: str = "GET /", process: str = "p1", **tags: Any) -> dict[str, Any]:
    return {
        "operationName": name,
        "duration": microseconds,
        "processID": process,
        "tags": [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()],
    }


def trace(*spans: dict[str, Any], service: str = "shop") -> dict[str, Any]:
    return {"traceID": "ab12", "spans": list(spans), "processes": {"p1": {"serviceName": service}}}


def request(**fields: Any) -> TracesRequest:
    return TracesRequest.model_validate(fields)


PLAIN = [("service", "shop"), ("start", START), ("end", END), ("limit", "20")]


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        pytest.param(request(service="shop"), PLAIN, id="a service"),
        pytest.param(request(service="shop", limit=5), [*PLAIN[:3], ("limit", "5")], id="a limit"),
        pytest.param(
            request(service="shop", operation="POST /pay", minDuration="1.5ms", maxDuration="10s"),
            [*PLAIN, ("operation", "POST /pay"), ("minDuration", "1.5ms"), ("maxDuration", "10s")],
            id="an operation and durations",
        ),
        pytest.param(
            request(service="shop", tags={'a"': "ü&b=c"}), [*PLAIN, ("tags", '{"a\\"":"ü&b=c"}')], id="tags, which are JSON"
        ),
        pytest.param(request(service="shop", tags={}), PLAIN, id="no tags"),
    ],
)
def test_a_search_asks_over_the_window_in_microseconds(asked: TracesRequest, query: list[tuple[str, str]]) -> None:
    """Each field of the spec is a parameter of Jaeger's own API."""
    assert search(asked, make_window()) == query


def test_an_answer_has_traces_and_what_could_not_be_read() -> None:
    """Errors of single traces are said beside the others, and inert."""
    body = {"data": [trace(span())], "errors": [{"code": 500, "msg": "lost\x1b[2J"}, "odd", None]}
    assert read(ENDPOINT, Answer(200, body)) == ([trace(span())], ["lost [2J"])
    assert read(ENDPOINT, Answer(200, {"data": [], "errors": None})) == ([], [])


@pytest.mark.parametrize(
    "body",
    [None, 5, "text", [], {}, {"data": None}, {"data": {}}, {"data": "x"}, {"data": [5]}, {"data": [{}]},
     {"data": [{"traceID": "a", "spans": [], "processes": []}]},
     {"data": [{"traceID": "a", "spans": {}, "processes": {}}]},
     {"data": [{"traceID": "a", "spans": [5], "processes": {}}]},
     {"data": [{"spans": [], "processes": {}}]}],
    ids=json.dumps,
)  # fmt: skip
def test_json_of_another_shape_is_not_taken_for_an_answer(body: Any) -> None:
    """Such as that of another service behind the same address."""
    with pytest.raises(Unavailable, match="not that of Jaeger") as caught:
        read(ENDPOINT, Answer(200, body))
    assert caught.value.reason == GapReason.INVALID_RESPONSE


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, Rejected, GapReason.REJECTED),
        (403, Rejected, GapReason.FORBIDDEN),
        (404, Rejected, GapReason.NOT_FOUND),
        (500, Unavailable, GapReason.UNAVAILABLE),
        (503, Unavailable, GapReason.UNAVAILABLE),
    ],
)
def test_a_refusal_has_jaegers_words(status: int, kind: type[SourceError], reason: GapReason) -> None:
    """The reason follows from the HTTP status."""
    body = {"data": None, "errors": [{"code": status, "msg": "trace not found"}]}
    with pytest.raises(kind, match=f"DataSource traces answered {status}: trace not found") as caught:
        read(ENDPOINT, Answer(status, body))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("traces", "text"),
    [
        pytest.param([], "0 traces", id="nothing"),
        pytest.param([trace()], "1 traces", id="a trace without spans"),
        pytest.param([trace(span(1_500))], "1 traces, slowest 1.5 ms: shop GET /", id="milliseconds"),
        pytest.param([trace(span(2_310_000))], "1 traces, slowest 2.31 s: shop GET /", id="seconds"),
        pytest.param(
            [trace(span(5)), trace(span(9_000, "POST /pay"), service="pay"), trace(span(7, error=True))],
            "3 traces (1 failing), slowest 9.0 ms: pay POST /pay; failing spans: shop 1 of 2; first: shop GET /",
            id="the slowest span of all, and how many traces fail",
        ),
        pytest.param([trace(span(process="p9"))], "1 traces, slowest 1.0 ms: GET /", id="an unknown process"),
        pytest.param([trace(span("long"))], "1 traces, slowest 0.0 ms: shop GET /", id="a duration that is a word"),
        pytest.param([trace(span(name="\x1b[2J\nx"))], "1 traces, slowest 1.0 ms: shop [2J x", id="a name with an escape"),
    ],
)
def test_a_summary_says_what_there_is_to_see(traces: list[dict[str, Any]], text: str) -> None:
    """How many, how many failing, and the slowest span with its service."""
    assert summarise(traces) == text


@pytest.mark.parametrize(
    ("tags", "failing"),
    [
        pytest.param({"error": True}, True, id="OpenTracing"),
        pytest.param({"error": "true"}, True, id="OpenTracing as text"),
        pytest.param({"otel__status_code": "ERROR"}, True, id="OpenTelemetry"),
        pytest.param({"error": False}, False, id="error that is false"),
        pytest.param({"error": "false"}, False, id="error that is the word false"),
        pytest.param({"otel__status_code": "OK"}, False, id="a good status"),
        pytest.param({"http__status_code": 500}, False, id="a status of HTTP, which may be meant"),
        pytest.param({"error": [True]}, False, id="an odd value"),
        pytest.param({}, False, id="no tags"),
    ],
)
def test_a_span_fails_by_its_tags(tags: dict[str, Any], failing: bool) -> None:
    """As OpenTracing and OpenTelemetry mark it."""
    assert is_failing(span(**tags)) is failing


@pytest.mark.parametrize("tags", [None, [], [5], [{}], "text", {"error": True}], ids=repr)
def test_tags_of_another_shape_are_no_failure(tags: Any) -> None:
    """Odd tags are kept as evidence, and mean nothing."""
    assert is_failing({"tags": tags}) is False


@pytest.mark.parametrize(
    "body",
    [{"data": [{**trace(), "spans": [{"tags": 5}]}]}, {"data": [], "errors": 5}, {"data": [], "errors": True}],
    ids=["tags that are a number", "errors that are a number", "errors that are a boolean"],
)
def test_odd_fields_are_not_a_fault_of_the_operators_own(body: dict[str, Any]) -> None:
    """Either an answer or an invalid one, never an exception of another kind."""
    try:
        traces, _ = read(ENDPOINT, Answer(200, body))
        assert summarise(traces)
    except SourceError as e:
        assert e.reason == GapReason.INVALID_RESPONSE


class Found:
    """A DataSource that is there."""

    def __init__(self, loopback: Loopback) -> None:
        self.loopback = loopback

    async def find(self, kind: str, name: str | None) -> Endpoint:
        assert kind == "jaeger"
        return self.loopback.endpoint()


async def document_of(loopback: Loopback, **fields: Any) -> tuple[str, Document, list[Any]]:
    """The question's target, its document and the document's entries."""
    http = Http()
    sources = make_sources(http=http, data_sources=Found(loopback))
    plan = await JaegerFetcher().plan(InvestigationSpec.model_validate({"traces": [fields]}), sources)
    (question,) = plan.questions
    (document,) = [one async for one in JaegerFetcher().fetch(question, sources)]
    return question.target, document, await entries_of(document)


async def test_a_search_becomes_a_document(loopback: Loopback) -> None:
    """All traces as Jaeger sent them."""
    traces = [{**trace(span(n)), "traceID": f"{n:x}"} for n in range(120)]
    loopback.answers = [reply_json({"data": traces, "errors": [{"msg": "one is broken"}]})]
    target, document, entries = await document_of(loopback, service="shop", limit=120, dataSourceRef={"name": "main"})
    assert entries == traces
    assert loopback.requests == [f"/api/traces?service=shop&start={START}&end={END}&limit=121"]
    assert (target, document.name) == ("service/shop", ("jaeger", "shop"))
    assert document.metadata == {
        "service": "shop",
        "limit": 120,
        "limit_reached": False,
        "kept": {"all": 120},
        "data_source": "main",
    }
    assert [gap.message for gap in document.findings.missing] == ["Jaeger says: one is broken"]


async def test_a_trace_is_asked_for_by_its_id(loopback: Loopback) -> None:
    """Whenever it was: a trace by its id knows no window and no limit."""
    loopback.answers = [reply_json({"data": [trace(span())]})]
    target, document, entries = await document_of(loopback, traceID="ab12")
    assert loopback.requests == ["/api/traces/ab12"]
    assert (target, document.name, len(entries)) == ("trace/ab12", ("jaeger", "ab12"), 1)
    assert document.metadata == {"traceID": "ab12", "limit": None, "limit_reached": False, "kept": {}, "data_source": "main"}


async def test_a_trace_that_is_not_there_is_not_found(loopback: Loopback) -> None:
    """Jaeger says so with 404 and JSON."""
    loopback.answers = [reply_json({"data": None, "errors": [{"code": 404, "msg": "trace not found"}]}, 404)]
    with pytest.raises(Rejected) as caught:
        await document_of(loopback, traceID="ab12")
    assert caught.value.reason == GapReason.NOT_FOUND
