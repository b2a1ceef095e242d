"""Jaeger: the parameters of a search, valid answers, and the summary."""

import json
import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import InvestigationSpec, TracesRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.clients.quoting import MAX_ERROR_BYTES
from aletheia_operator.fetchers.base import Document
from aletheia_operator.fetchers.jaeger import JaegerFetcher, api_v1, api_v3
from aletheia_operator.fetchers.jaeger.api_v1 import is_failing
from aletheia_operator.fetchers.jaeger.search_values import SearchValues
from aletheia_operator.fetchers.jaeger.traces import Reading, SpanFilter, span_filter_of, summarise
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.scratch import Scratch
from tests.unit.fakes import entries_of, make_sources, make_window
from tests.unit.loopback import Answer, Loopback, reply, reply_json

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
PLAIN_V3 = {
    "query.service_name": "shop",
    "query.start_time_min": "2026-11-22T11:00:00Z",
    "query.start_time_max": "2026-11-22T12:00:00Z",
    "query.num_traces": "20",
    "query.search_depth": "20",
}


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        pytest.param(request(service="shop"), PLAIN, id="a service"),
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
    assert api_v1.search(SearchValues.of(asked, make_window(), 20)) == query


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        pytest.param(request(service="shop"), PLAIN_V3, id="a service"),
        pytest.param(
            request(service="shop", operation="POST /pay", minDuration="1.5ms", maxDuration="10s", tags={"a": "b"}),
            {
                **PLAIN_V3,
                "query.operation_name": "POST /pay",
                "query.duration_min": "1.5ms",
                "query.duration_max": "10s",
                "query.attributes": '{"a":"b"}',
            },
            id="an operation, durations, and tags, which late versions look at",
        ),
    ],
)
def test_a_search_over_v3_asks_in_rfc_3339(asked: TracesRequest, query: dict[str, str]) -> None:
    """Each field of the spec is a parameter of the API v3, in the spelling of proto files and in that of JSON."""
    sent = api_v3.search(SearchValues.of(asked, make_window(), 20))
    assert {name: value for name, value in sent if name in query} == query
    camel = {
        "query." + re.sub("_(.)", lambda m: m[1].upper(), name.removeprefix("query.")): value for name, value in query.items()
    }
    assert {name: value for name, value in sent if name not in query or name in camel} == camel
    assert len(dict(sent)) == len(sent)


def test_long_traces_are_narrowed() -> None:
    """By the longer of the two minimum durations."""
    asked = request(service="shop", minDuration="1ms", tags={"a": "b"})
    assert dict(api_v1.search(SearchValues.of(asked, make_window(), 5, 999)))["minDuration"] == "1000us"
    assert dict(api_v3.search(SearchValues.of(asked, make_window(), 5, 1001)))["query.duration_min"] == "1001us"


def reading_of(
    body: Any, api: Any = api_v1, most: float = 100, text: str | None = None, span_filter: SpanFilter | None = None
) -> Reading:
    """An answer as it is read, a few bytes at a time."""
    content = (json.dumps(body) if text is None else text).encode()
    chunks = (content[at : at + 7] for at in range(0, len(content), 7))
    reading = Reading(Spill(lambda: Scratch(Path(tempfile.gettempdir()), False)), set(), most, span_filter)
    api.read(JsonStream(ENDPOINT, chunks), ENDPOINT, reading)
    return reading


def stored(reading: Reading, api: Any = api_v1) -> list[Any]:
    found = []
    for trace in reading.traces.values():
        text = BytesIO()
        api.write_entries(text, reading.spill, trace)
        found += json.loads(b"[" + text.getvalue() + b"]")
    return found


def test_an_answer_has_traces_and_what_could_not_be_read() -> None:
    """Errors of single traces are kept beside the others, as Jaeger wrote them; callers remove secrets before showing them."""
    reading = reading_of({"data": [trace(span())], "errors": [{"code": 500, "msg": "lost\x1b[2J"}, "odd", None]})
    assert (stored(reading), reading.errors) == ([trace(span())], ["lost\x1b[2J"])
    reading = reading_of({"errors": None, "total": 0, "data": []})
    assert (stored(reading), reading.errors) == ([], [])


def test_more_traces_than_were_asked_for_are_not_read() -> None:
    """A server that ignores the limit does not fill the memory."""
    traces = [{**trace(span()), "traceID": f"{number:x}"} for number in range(50)]
    assert list(reading_of({"data": traces}, most=3).traces) == ["0", "1", "2"]


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
    """For example another service's JSON at the same address."""
    with pytest.raises(Unavailable, match="not that of Jaeger") as caught:
        reading_of(body)
    assert caught.value.reason == GapReason.INVALID_RESPONSE


@pytest.mark.parametrize(
    "body",
    [None, 5, "text", [], {}, {"data": []}, {"result": {"resourceSpans": [5]}},
     {"result": 5}, {"result": "none"}, {"result": []},
     {"result": {"resourceSpans": {}}}, {"result": {"resourceSpans": "x"}}, {"result": {"spans": []}},
     {"result": {"data": 1}}, {"result": {"resourceSpans": [None]}},
     {"result": {"resourceSpans": [{"scopeSpans": 5}]}}, {"result": {"resourceSpans": [{"scopeSpans": [5]}]}},
     {"result": {"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}},
     {"result": {"resourceSpans": [{"scopeSpans": [{"spans": [5]}]}]}}],
    ids=json.dumps,
)  # fmt: skip
def test_json_of_another_shape_is_not_taken_for_an_answer_of_v3(body: Any) -> None:
    """For example another service's JSON at the same address."""
    with pytest.raises(Unavailable, match="not that of Jaeger") as caught:
        reading_of(body, api_v3)
    assert caught.value.reason == GapReason.INVALID_RESPONSE


@pytest.mark.parametrize(
    "text", ['{"data":[', '{"data":[{"traceID":"a"', "{", '{"data":[]', '{"data" []}', '{"data":[1 2]}', ""]
)
def test_json_that_is_cut_is_said(text: str) -> None:
    """So is an answer without any value."""
    with pytest.raises(Unavailable) as caught:
        reading_of(None, text=text)
    assert caught.value.reason == GapReason.INVALID_RESPONSE


def otlp(trace_id: str, name: str, start: int = 0, milliseconds: int = 1, code: Any = 0, **attributes: Any) -> dict[str, Any]:
    return {
        "traceId": trace_id,
        "spanId": "00f067aa0ba902b7",
        "name": name,
        "startTimeUnixNano": str(start * 1_000_000),
        "endTimeUnixNano": str((start + milliseconds) * 1_000_000),
        "status": {"code": code},
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }


def resource(service: str, *spans: dict[str, Any]) -> dict[str, Any]:
    attributes = [{"key": "service.name", "value": {"stringValue": service}}]
    return {"resource": {"attributes": attributes}, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}


def test_spans_of_v3_are_parted_by_their_traces() -> None:
    """Each trace with the resources and scopes of its spans, whether answers are one object or a stream of them."""
    shop = resource("shop", otlp("AA", "GET /"), otlp("bb", "GET /b", code=2))
    two = resource("pay", otlp("aa", "POST /pay", 5, 2_310, code="STATUS_CODE_ERROR"))
    error = {"error": {"httpCode": 500, "message": "lost\x1b[2J"}}
    text = "\n".join(
        json.dumps(part) for part in ({"result": {"resourceSpans": [shop]}}, {"result": {"resourceSpans": [two]}}, error)
    )
    reading = reading_of(None, api_v3, text=text)
    assert list(reading.traces) == ["aa", "bb"]
    first = {**shop, "scopeSpans": [{"scope": {"name": "x"}, "spans": [shop["scopeSpans"][0]["spans"][0]]}]}
    assert stored(reading, api_v3)[0] == {"resourceSpans": [first, two]}
    assert reading.errors == ["lost\x1b[2J"]
    assert summarise(reading.traces.values()) == (
        "2 traces (2 failing), slowest 2.31 s: pay POST /pay; failing spans: pay 1 of 1, shop 1 of 2; first: shop GET /b"
    )


def test_elements_of_v3_in_another_order() -> None:
    """A resource after its spans is still theirs, and other fields of an element are kept."""
    shop = resource("shop", otlp("aa", "GET /"))
    spans = [{"spans": shop["scopeSpans"][0]["spans"], "schemaUrl": "t"}]
    turned = {"schemaUrl": "s", "scopeSpans": spans, "resource": shop["resource"]}
    reading = reading_of({"result": {"resourceSpans": [turned]}}, api_v3)
    assert stored(reading, api_v3) == [{"resourceSpans": [turned]}]
    assert summarise(reading.traces.values()) == "1 trace, slowest 1.0 ms: shop GET /"


@pytest.mark.parametrize("body", [{"result": {}}, {"result": None}, {"result": {"resourceSpans": None}}], ids=json.dumps)
def test_an_answer_of_v3_without_traces(body: Any) -> None:
    """An empty answer is not a failed one."""
    assert reading_of(body, api_v3).traces == {}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({"tags": {"user": "björn"}}, {"1", "2"}, id="a tag"),
        pytest.param({"tags": {"user": "björn", "retry": "true"}}, {"1"}, id="two tags of one span"),
        pytest.param({"tags": {"status": "503"}}, {"2"}, id="a number"),
        pytest.param({"tags": {"service.name": "shop"}}, {"1", "2"}, id="a tag of the resource"),
        pytest.param({"tags": {"error": "true"}}, {"2"}, id="Jaeger's own tag"),
        pytest.param({"operation": "GET /", "minDuration": "2ms"}, {"2"}, id="an operation and a duration"),
        pytest.param({"maxDuration": "1ms"}, {"1"}, id="a longest duration"),
    ],
)
def test_what_v3_cannot_be_asked_is_asked_of_the_spans(asked: dict[str, Any], found: set[str]) -> None:
    """One span must meet all conditions, as in Jaeger."""
    user = {"stringValue": "björn"}
    spans = [
        resource("shop", otlp("1", "GET /", user=user, retry={"boolValue": True})),
        resource("shop", otlp("2", "GET /", 0, 5, 2, user=user, status={"intValue": "503"})),
        resource("pay", otlp("3", "GET /", 0, 5, 2, user=user, retry={"boolValue": True})),
    ]
    reading = reading_of({"result": {}}, api_v3)
    reading.span_filter = span_filter_of(request(service="shop", **asked))
    body = json.dumps({"result": {"resourceSpans": spans}}).encode()
    api_v3.read(JsonStream(ENDPOINT, iter([body])), ENDPOINT, reading)
    assert reading.matching == found


@pytest.mark.parametrize(
    ("traces", "text"),
    [
        pytest.param([], "0 traces", id="nothing"),
        pytest.param([trace()], "1 trace", id="a trace without spans"),
        pytest.param([trace(span(1_500))], "1 trace, slowest 1.5 ms: shop GET /", id="milliseconds"),
        pytest.param([trace(span(2_310_000))], "1 trace, slowest 2.31 s: shop GET /", id="seconds"),
        pytest.param(
            [trace(span(5)), trace(span(9_000, "POST /pay"), service="pay"), trace(span(7, error=True))],
            "3 traces (1 failing), slowest 9.0 ms: pay POST /pay; failing spans: shop 1 of 2; first: shop GET /",
            id="the slowest span of all, and how many traces fail",
        ),
        pytest.param([trace(span(process="p9"))], "1 trace, slowest 1.0 ms: GET /", id="an unknown process"),
        pytest.param([trace(span("long"))], "1 trace, slowest 0.0 ms: shop GET /", id="a duration that is a word"),
        pytest.param([trace(span(name="\x1b[2J\nx"))], "1 trace, slowest 1.0 ms: shop \\x1b[2J x", id="a name with an escape"),
    ],
)
def test_a_summary_says_what_there_is_to_see(traces: list[dict[str, Any]], text: str) -> None:
    """How many, how many failing, and the slowest span with its service."""
    answer = {"data": [{**trace, "traceID": str(number)} for number, trace in enumerate(traces)]}
    assert summarise(reading_of(answer).traces.values()) == text


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
        assert summarise(reading_of(body).traces.values())
    except SourceError as e:
        assert e.reason == GapReason.INVALID_RESPONSE


class Found:
    """A finder that has the DataSource."""

    def __init__(self, loopback: Loopback, api: str | None) -> None:
        self.endpoint = replace(loopback.endpoint(), options=JaegerOptions.from_json({"api": api} if api else {}))

    async def find(self, kind: str, name: str | None) -> Endpoint:
        assert kind == "jaeger"
        return self.endpoint


SERVICES = reply_json({"data": ["shop"]})
REFUSED = reply_json({"data": None, "errors": [{"code": 404, "msg": "trace not found"}]}, 404)


async def document_of(
    loopback: Loopback, *answers: Answer, api: str | None = None, ids: Sequence[str] = (), **fields: Any
) -> tuple[str, Document, list[Any]]:
    """The question's target, its document and the document's entries."""
    loopback.answers = answers
    sources = make_sources(
        http=Http(), data_sources=Found(loopback, api), trace_ids=lambda limit: (list(ids[:limit]), len(ids) > limit)
    )
    spec: dict[str, Any] = {"traces": [fields]}
    if "fromLogs" in fields:
        spec["targets"] = [{"pod": "web-0"}]
    plan = await JaegerFetcher().plan(InvestigationSpec.model_validate(spec), sources)
    (question,) = plan.questions
    (document,) = [found async for found in JaegerFetcher().fetch(question, sources)]
    return question.target, document, await entries_of(document)


async def test_a_search_becomes_a_document(loopback: Loopback) -> None:
    """All traces as Jaeger sent them."""
    traces = [{**trace(span(n)), "traceID": f"{n:x}"} for n in range(120)]
    answer = reply_json({"data": traces, "errors": [{"msg": "one is broken"}]})
    target, document, entries = await document_of(
        loopback, SERVICES, answer, service="shop", limit=120, dataSourceRef={"name": "main"}
    )
    assert entries == traces
    assert loopback.requests == ["/api/services", f"/api/traces?service=shop&start={START}&end={END}&limit=121"]
    assert (target, document.name) == ("service/shop", ("jaeger", "shop"))
    assert document.metadata == {
        "service": "shop",
        "limit": 120,
        "limit_reached": False,
        "kept": {"all": 120},
        "data_source": "main",
        "api": "v1",
    }
    assert [gap.message for gap in document.outcome.missing] == ["Jaeger reports: one is broken"]


@pytest.mark.parametrize(("found", "reached"), [(2, False), (3, True)])
async def test_a_document_says_whether_there_were_more_traces(loopback: Loopback, found: int, reached: bool) -> None:
    """A search that finds exactly its limit or fewer is complete."""
    answer = reply_json({"data": [{**trace(span(n)), "traceID": f"{n:x}"} for n in range(found)]})
    _, document, entries = await document_of(loopback, SERVICES, answer, service="shop", limit=2)
    assert (len(entries), document.metadata["limit_reached"]) == (2, reached)


async def test_a_trace_is_asked_for_by_its_id(loopback: Loopback) -> None:
    """At any time: a trace by its id has no window and no limit."""
    target, document, entries = await document_of(loopback, SERVICES, reply_json({"data": [trace(span())]}), traceID="ab12")
    assert loopback.requests[1:] == ["/api/traces/ab12"]
    assert (target, document.name, len(entries)) == ("trace/ab12", ("jaeger", "ab12"), 1)
    assert document.metadata == {"traceID": "ab12", "data_source": "main", "api": "v1"}


async def test_a_trace_that_is_not_there_is_not_found(loopback: Loopback) -> None:
    """Jaeger answers with 404 and JSON."""
    with pytest.raises(Rejected, match="DataSource main answered 404: trace not found") as caught:
        await document_of(loopback, SERVICES, REFUSED, traceID="ab12")
    assert caught.value.reason == GapReason.NOT_FOUND


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, Rejected, GapReason.REJECTED),
        (403, Rejected, GapReason.FORBIDDEN),
        (404, Rejected, GapReason.NOT_FOUND),
    ],
)
async def test_a_refusal_has_jaegers_words(loopback: Loopback, status: int, kind: type[SourceError], reason: GapReason) -> None:
    """The reason follows from the HTTP status."""
    refusal = reply_json({"data": None, "errors": [{"code": status, "msg": "no such thing"}]}, status)
    with pytest.raises(kind, match=f"DataSource main answered {status}: no such thing") as caught:
        await document_of(loopback, SERVICES, refusal, service="shop")
    assert caught.value.reason == reason


async def test_the_api_that_answers_is_used(loopback: Loopback) -> None:
    """If the first API is missing, or another page answers, the other API is used; a configured API is used without a check."""
    v3 = reply_json({"result": {"resourceSpans": [resource("shop", otlp("ab12", "GET /"))]}})
    names = reply_json({"services": ["shop"]})
    for missing in (reply(404, b"404 page not found"), reply(200, b"<html>")):
        loopback.requests.clear()
        _, document, entries = await document_of(loopback, missing, names, v3, traceID="ab12")
        assert loopback.requests == ["/api/services", "/api/v3/services", "/api/v3/traces/ab12"]
        assert document.metadata["api"] == "v3"
        assert entries == [{"resourceSpans": [resource("shop", otlp("ab12", "GET /"))]}]
    loopback.requests.clear()
    await document_of(loopback, names, v3, traceID="ab12", api="v3")
    assert loopback.requests == ["/api/v3/services", "/api/v3/traces/ab12"]
    with pytest.raises(SourceError, match="answered 404"):
        loopback.requests.clear()
        await document_of(loopback, reply(404, b"no"), traceID="ab12")


async def test_the_traces_that_logs_name(loopback: Loopback) -> None:
    """Each by its id; the unknown ones, and that there are more, are gaps."""
    traces = [{**trace(span(error=True)), "traceID": name} for name in ("aa", "cc")]
    answers = [reply_json({"data": [traces[0]]}), REFUSED, reply_json({"data": [traces[1]]})]
    _, document, entries = await document_of(loopback, SERVICES, *answers, ids=["aa", "bb", "cc", "dd"], fromLogs={"limit": 3})
    assert entries == traces
    assert document.metadata["mentioned"] == ["aa", "bb", "cc"]
    assert document.metadata["unknown"] == ["bb"]
    reasons = [(gap.target, gap.reason) for gap in document.outcome.missing]
    assert reasons == [("traces/from logs", GapReason.BUDGET_EXCEEDED), ("traces/from logs", GapReason.NOT_FOUND)]
    assert document.outcome.summary.startswith("2 traces (2 failing)")


async def test_a_jaeger_that_falls_silent_among_the_traces_that_logs_name(loopback: Loopback) -> None:
    """What came before is kept, and how many were not fetched is reported; it is not asked for each of them."""
    answers = [reply_json({"data": [trace(span())]}), reply_json({"errors": []}, 403)]
    _, document, entries = await document_of(loopback, SERVICES, *answers, ids=["ab12", "bb", "cc"], fromLogs={"limit": 3})
    assert len(entries) == 1
    (gap,) = document.outcome.missing
    assert gap.reason == GapReason.FORBIDDEN
    assert gap.message.endswith("2 of 3 traces not fetched")
    assert len(loopback.requests) == 3


EMPTY = reply_json({"data": []})


@pytest.mark.parametrize(
    ("names", "asked", "words"),
    [
        pytest.param(
            ["checkout", "cart", "pay"],
            {"service": "chekout"},
            ["Jaeger knows no service chekout; the nearest names: checkout"],
            id="a misspelt service",
        ),
        pytest.param(
            ["Checkout"],
            {"service": "checkout"},
            ["Jaeger knows no service checkout; the nearest names: Checkout"],
            id="a capital",
        ),
        pytest.param(["cart"], {"service": "zzzz"}, ["Jaeger knows no service zzzz"], id="nothing near"),
        pytest.param([], {"service": "shop"}, ["Jaeger knows no service shop"], id="no service at all"),
        pytest.param(["shop"], {"service": "shop"}, [], id="a service without traces in the window"),
    ],
)
async def test_a_service_that_jaeger_does_not_know_is_empty(
    loopback: Loopback, names: list[str], asked: dict[str, str], words: list[str]
) -> None:
    """Not complete: a gap says so, with the nearest names. That there were no traces is no gap."""
    _, document, entries = await document_of(loopback, reply_json({"data": names}), EMPTY, **asked)
    assert entries == []
    assert [(gap.reason, gap.message) for gap in document.outcome.missing] == [(GapReason.EMPTY, message) for message in words]


@pytest.mark.parametrize(
    ("api", "answers", "path"),
    [
        ("v1", (SERVICES, EMPTY, reply_json({"data": ["GET /cart", "POST /pay"]})), "/api/services/shop/operations"),
        (
            "v3",
            (
                reply_json({"services": ["shop"]}),
                reply_json({"result": {}}),
                reply_json({"operations": [{"name": "POST /pay", "spanKind": "server"}, {"name": "POST /pay"}]}),
            ),
            "/api/v3/operations?service=shop",
        ),
    ],
    ids=["v1", "v3"],
)
async def test_an_operation_that_jaeger_does_not_know_is_empty(
    loopback: Loopback, api: str, answers: tuple[Answer, ...], path: str
) -> None:
    """Of a known service; asked only when nothing was found."""
    _, document, _ = await document_of(loopback, *answers, api=api, service="shop", operation="POST /pai")
    (gap,) = document.outcome.missing
    assert gap.reason is GapReason.EMPTY
    assert gap.message == "service shop has no operation POST /pai; the nearest names: POST /pay"
    assert loopback.requests[-1] == path


async def test_operations_that_cannot_be_listed_are_no_gap(loopback: Loopback) -> None:
    """The search itself was answered."""
    for answer in (reply(400, b"no"), reply_json({"data": None}, 404), reply_json([])):
        loopback.requests.clear()
        _, document, _ = await document_of(loopback, SERVICES, EMPTY, answer, service="shop", operation="x")
        assert document.outcome.missing == []


async def test_a_service_that_is_unlisted_but_has_traces(loopback: Loopback) -> None:
    """What was found counts, not what the list says."""
    _, document, entries = await document_of(
        loopback, reply_json({"data": []}), reply_json({"data": [trace(span())]}), service="shop"
    )
    assert (len(entries), document.outcome.missing) == (1, [])


@pytest.mark.parametrize(
    "order", [["traceID", "spans", "processes"], ["spans", "processes", "traceID"], ["processes", "traceID", "spans"]]
)
def test_members_of_a_trace_in_any_order(order: list[str]) -> None:
    """The service of a span is known only when its process is."""
    whole = {**trace(span(5, error=True), span(9, "POST /")), "warnings": ["clock skew"]}
    turned = {name: whole[name] for name in [*order, "warnings"]}
    reading = reading_of({"data": [turned, {**turned, "traceID": "cd"}]}, most=1)
    assert stored(reading) == [whole]
    assert summarise(reading.traces.values()).startswith("1 trace (1 failing), slowest 0.0 ms: shop POST /")


def test_a_trace_that_breaks_off_leaves_nothing() -> None:
    """It adds neither counts nor pieces. Traces before it are complete."""
    text = json.dumps({"data": [trace(span()), {**trace(span(), span()), "traceID": "cd"}]})
    reading = Reading(Spill(lambda: Scratch(Path(tempfile.gettempdir()), False)), set())
    for at in range(text.index('"cd"'), len(text) - 4, 7):
        reading = Reading(Spill(lambda: Scratch(Path(tempfile.gettempdir()), False)), set())
        with pytest.raises(Unavailable):
            api_v1.read(JsonStream(ENDPOINT, iter([text[:at].encode()])), ENDPOINT, reading)
        assert set(reading.traces) <= {"ab12", "cd"}
        assert all(trace.pieces for trace in reading.traces.values())


@pytest.mark.parametrize(
    ("asked", "matches"),
    [
        ({"tags": {"version": "2"}}, True),
        ({"tags": {"version": "1"}}, False),
        ({"tags": {"version": "2", "user": "björn"}}, True),
        ({"tags": {"zone": "a"}}, True),
        ({"tags": {"zone": "b"}}, False),
        ({"tags": {"zone": "a", "user": "eve"}}, False),
        ({"tags": {"message": "boom"}}, True),
        ({"operation": "GET /"}, True),
        ({"operation": "GET /x"}, False),
        ({"minDuration": "2ms"}, False),
        ({"maxDuration": "1ms"}, True),
    ],
)
def test_a_trace_is_looked_for_by_its_spans_and_processes(asked: dict[str, Any], matches: bool) -> None:
    """One span must meet all conditions. Tags of its logs come before its own, and these before those of its process."""
    made = span(1_000, version="2", user="björn")
    made["logs"] = [{"fields": [{"key": "message", "value": "boom"}]}]
    process = {"serviceName": "shop", "tags": [{"key": "zone", "value": "a"}, {"key": "version", "value": "1"}]}
    body = {"data": [{"traceID": "ab12", "spans": [made], "processes": {"p1": process}}]}
    for service, expected in (("shop", matches), ("cart", False)):
        reading = Reading(Spill(lambda: Scratch(Path(tempfile.gettempdir()), False)), set())
        reading.span_filter = span_filter_of(request(service=service, **asked))
        api_v1.read(JsonStream(ENDPOINT, iter([json.dumps(body).encode()])), ENDPOINT, reading)
        assert bool(reading.matching) == expected
        assert bool(reading.traces["ab12"].pieces) == expected


def test_a_large_trace_that_is_not_looked_for_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if its spans were spilled before that was known."""
    monkeypatch.setattr(api_v1, "PIECE_BYTES", 10)
    reading = Reading(Spill(lambda: Scratch(Path(tempfile.gettempdir()), False)), set())
    reading.span_filter = span_filter_of(request(service="cart"))
    body = {"data": [trace(span(), span()), {**trace(span(), span(), service="cart"), "traceID": "cd"}]}
    api_v1.read(JsonStream(ENDPOINT, iter([json.dumps(body).encode()])), ENDPOINT, reading)
    assert {name: bool(trace.pieces) for name, trace in reading.traces.items()} == {"ab12": False, "cd": True}
    assert reading.matching == {"cd"}


def test_errors_without_end_are_cut() -> None:
    """However often an answer repeats them: each was quoted on the event loop, and compared with all before."""
    text = '{"data":[],' + ",".join(f'"errors":[{{"msg":"{number}"}}]' for number in range(5_000)) + "}"
    assert reading_of(None, text=text).errors == [str(number) for number in range(20)]
    text = "".join(f'{{"error":{{"message":"{number}"}}}}' for number in range(5_000))
    assert len(reading_of(None, api_v3, text=text).errors) == 20
    long = reading_of({"data": [], "errors": [{"msg": "x" * 2**20}]})
    assert [len(error) for error in long.errors] == [MAX_ERROR_BYTES]


def test_a_trace_of_very_many_services_is_read_in_time() -> None:
    """Ten thousand processes, each a service of its own, in two hundred pieces: counting them took quadratic time."""
    processes = {f"p{number}": {"serviceName": f"s{number}"} for number in range(9_000)}
    large = {"traceID": "ab12", "spans": [span(process=name) for name in processes], "processes": processes}
    before = time.thread_time()
    reading = reading_of({"data": [large, *(trace(span()) | {"number": number} for number in range(900))]}, most=5)
    assert sum(reading.traces["ab12"].spans.values()) == 9_000 + 900
    assert time.thread_time() - before < 5


@pytest.mark.parametrize("number", [10**400, True, -(10**30), 1.5, None, "1"])
def test_numbers_that_are_no_times(number: Any) -> None:
    """They are treated as missing."""
    body = {"data": [{**trace({**span(number), "startTime": number}), "traceID": "1"}]}
    reading = reading_of(body)
    assert summarise(reading.traces.values()).startswith("1 trace, slowest")
    text = f'{{"traceId":"1","name":"x","startTimeUnixNano":{json.dumps(number)},"endTimeUnixNano":{json.dumps(number)}}}'
    answer = '{"result":{"resourceSpans":[{"resource":{},"scopeSpans":[{"spans":[' + text + "]}]}]}}"
    assert summarise(reading_of(None, api_v3, text=answer).traces.values()).startswith("1 trace")


@pytest.mark.parametrize(
    ("api", "limit", "text"),
    [
        (api_v1, "MAX_FIELDS_CHARACTERS", '{"data":[{"traceID":"1",%s}]}'),
        (api_v3, "MAX_HEAD_CHARACTERS", '{"result":{"resourceSpans":[{%s}]}}'),
        (api_v3, "MAX_HEAD_CHARACTERS", '{"result":{"resourceSpans":[{"resource":{},"scopeSpans":[{%s}]}]}}'),
    ],
    ids=["a trace", "a resource", "a scope"],
)
def test_fields_without_end_do_not_fill_the_memory(api: Any, limit: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything except spans is in memory as Python objects, which are thirty times as large as the text."""
    monkeypatch.setattr(api, limit, 50_000)
    fields = ",".join(f'"{number}":[{"[]," * 1_000}[]]' for number in range(20))
    with pytest.raises(Rejected, match="larger than 50000 characters beside its spans") as caught:
        reading_of(None, api, text=text % fields)
    assert caught.value.reason is GapReason.TOO_LARGE
    monkeypatch.setattr(api, limit, 100_000)
    with suppress(Unavailable):  # it has no spans
        reading_of(None, api, text=text % fields)


def test_scopes_without_spans_are_not_kept() -> None:
    """The same holds for their other parts; the attributes of their resource are looked through once."""
    attributes = [{"key": f"k{number}", "value": {"stringValue": "v"}} for number in range(1_000)]
    scopes: list[Any] = [{"scope": {}, "spans": []}] * 5_000
    body = {"result": {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": scopes}]}}
    before = time.thread_time()
    reading = reading_of(body, api_v3)
    assert time.thread_time() - before < 1
    with pytest.raises(IndexError):
        reading.spill.get(0)


def spans_of(entries: Sequence[Any]) -> list[tuple[str, str]]:
    """Service and operation of each span."""
    return sorted(
        (entry["processes"][each["processID"]]["serviceName"], each["operationName"])
        for entry in entries
        for each in entry["spans"]
    )


OBJECTS = [trace(span(name="GET /")), trace(span(name="charge"), service="pay"), trace(span(name="GET /")), trace()]
"""Objects of one trace: two with processes of the same name, one that is sent twice, one without spans."""


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 2), (3, 1, 0), (0, 3, 2, 1)])
async def test_a_trace_in_several_objects(loopback: Loopback, order: tuple[int, ...]) -> None:
    """Each is an entry with its own processes. A repeated one is kept once, and a note reports that there are several."""
    answer = reply_json({"data": [OBJECTS[number] for number in order]})
    _, document, entries = await document_of(loopback, SERVICES, answer, api="v1", service="shop")
    assert spans_of(entries) == [("pay", "charge"), ("shop", "GET /")]
    assert len({json.dumps(entry) for entry in entries}) == len(entries)
    (note,) = document.outcome.missing
    assert (note.severity, note.reason) == ("note", GapReason.INVALID_RESPONSE)
    assert "sent 1 trace (ab12) in several objects" in note.message


async def test_objects_of_several_traces_that_mix(loopback: Loopback) -> None:
    """They become complete traces, within the limit."""
    objects = [trace(span(name=f"op {number}")) | {"traceID": f"{number % 5}"} for number in range(40)]
    _, document, entries = await document_of(loopback, SERVICES, reply_json({"data": objects}), service="shop", limit=10)
    assert document.outcome.summary.startswith("5 traces")
    assert spans_of(entries) == sorted(("shop", f"op {number}") for number in range(40))


@pytest.mark.parametrize("first", [True, False])
def test_a_trace_in_objects_of_which_one_is_searched(first: bool) -> None:
    """The objects after the matching one are kept. Earlier ones are not, which is recorded."""
    fine, failing = trace(span()), trace(span(name="fails", error=True), service="pay")
    body = {"data": [failing, fine] if first else [fine, failing]}
    reading = reading_of(body, span_filter=span_filter_of(request(service="pay", tags={"error": "true"})))
    assert spans_of(stored(reading)) == [("pay", "fails"), ("shop", "GET /")][: 2 if first else 1]
    assert [*reading.objects["ab12"].values()] == [first, True]


def test_objects_of_one_trace_without_end() -> None:
    """They are refused as too large, since each takes memory."""
    objects = [trace() | {"number": number} for number in range(api_v1.MAX_OBJECTS + 1)]
    with pytest.raises(Rejected) as caught:
        reading_of({"data": objects})
    assert caught.value.reason is GapReason.TOO_LARGE
