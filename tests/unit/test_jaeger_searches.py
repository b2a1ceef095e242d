"""Searches that are too large for one answer, and what Jaeger's own errors become."""

import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from aletheia_operator.api import TracesRequest
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.http import Http
from aletheia_operator.fetchers.jaeger import api_v1, api_v3, searches
from aletheia_operator.fetchers.jaeger.api_v3 import _span
from aletheia_operator.fetchers.jaeger.searches import Searches, find_api, gaps_of
from aletheia_operator.fetchers.spill import Spill
from aletheia_operator.scratch import Scratch
from tests.unit.fakes import make_window
from tests.unit.loopback import Answer, Loopback, Request, reply, reply_json

WINDOW = make_window()  # 11:00 to 12:00


def microseconds(second: int) -> int:
    return int((WINDOW.start + timedelta(seconds=second)).timestamp() * 1_000_000)


def a_trace(second: int, failing: bool, service: str = "shop") -> dict[str, Any]:
    tags = [{"key": "error", "value": "true"}] if failing else []
    span = {"operationName": "GET /", "startTime": microseconds(second), "duration": 1, "processID": "p1", "tags": tags}
    return {"traceID": f"{second:04x}", "spans": [span], "processes": {"p1": {"serviceName": service}}}


def jaeger(traces: list[dict[str, Any]]) -> Callable[[Request], None]:
    """Jaeger's API v1 over these traces: the latest of the service, within the times that are asked for."""

    def answer(request: Request) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        found = [
            trace
            for trace in traces
            if int(asked["start"]) <= trace["spans"][0]["startTime"] <= int(asked["end"])
            and trace["processes"]["p1"]["serviceName"] == asked["service"]
            and ("tags" not in asked or trace["spans"][0]["tags"])
        ]
        found.sort(key=lambda trace: trace["spans"][0]["startTime"], reverse=True)
        reply_json({"data": found[: int(asked["limit"])]})(request)

    return answer


def searches_of(loopback: Loopback, services: list[str], api: ModuleType = api_v1, **asked: Any) -> Searches:
    request = TracesRequest.model_validate({"service": "shop", **asked})
    spill = Spill(lambda: Scratch(Path(tempfile.gettempdir()), False))
    return Searches(loopback.endpoint(), Http(), api, services, request, WINDOW, spill)


@pytest.mark.parametrize("limit", [3, 7, 100])
async def test_failing_traces_are_found_however_many_there_are(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """A full answer is asked for again in halves of its time, the later half first, until the limit is reached."""
    monkeypatch.setattr(searches, "MAX_POOL", 4)
    failing = list(range(0, 3600, 240))
    loopback.answers = [jaeger([a_trace(second, True) for second in failing])]
    search = searches_of(loopback, ["shop"])
    found = await search.failing(limit)
    seconds = sorted((int(trace.trace_id, 16) for trace in found), reverse=True)
    assert seconds == sorted(failing, reverse=True)[:limit]
    assert gaps_of(search, "service/shop") == []
    search.spill.close()


async def test_traces_that_are_too_many_are_said(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is halved a bounded number of times; then a gap for each part says that there are more."""
    monkeypatch.setattr(searches, "MAX_POOL", 2)
    monkeypatch.setattr(searches, "MAX_PARTS", 4)
    loopback.answers = [jaeger([a_trace(second, True) for second in range(0, 3600, 60)])]
    search = searches_of(loopback, ["shop"])
    await search.failing(1000)
    gaps = gaps_of(search, "service/shop")
    assert {(gap.target, gap.reason, gap.severity) for gap in gaps} == {("service/shop", GapReason.BUDGET_EXCEEDED, "gap")}
    messages = [gap.message for gap in gaps]
    assert "there are too many traces from 2026-11-22T11:00:00Z on: only the latest were searched" in messages
    assert all(message.endswith("on: only the latest were searched") for message in messages)
    assert len(loopback.requests) <= 5
    search.spill.close()


async def test_failing_spans_are_looked_for_in_a_bounded_number_of_services(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The searched service is first, and invalid names are left out. The number of remaining services is reported."""
    monkeypatch.setattr(searches, "MAX_SERVICES", 3)
    loopback.answers = [jaeger([])]
    search = searches_of(loopback, ["a", "", "x" * 254, "shop", "b", "c"])
    assert await search.failing(10) == []
    asked = [parse_qs(urlsplit(path).query)["service"][0] for path in loopback.requests]
    assert asked == ["shop", "a", "b"]
    assert [gap.message for gap in gaps_of(search, "x")] == ["failing spans were looked for in 3 of 4 services"]


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        (reply_json({"errors": [{"msg": "storage is down"}]}, 400), Rejected, GapReason.REJECTED, "400: storage is down"),
        (reply(403, b"no"), Rejected, GapReason.FORBIDDEN, "answered 403: no"),
        (reply(500, b"oops"), Unavailable, GapReason.UNAVAILABLE, "answered 500: oops"),
        (reply_json({"names": []}), Unavailable, GapReason.INVALID_RESPONSE, "Jaeger"),
        (reply_json([]), Unavailable, GapReason.INVALID_RESPONSE, "Jaeger"),
    ],
    ids=["a refusal", "no right", "broken", "no list", "no object"],
)
async def test_a_list_of_services_that_fails(
    loopback: Loopback, answer: Answer, kind: type[SourceError], reason: GapReason, words: str
) -> None:
    """The error has Jaeger's own words, whatever the API's version."""
    loopback.answers = [answer]
    with pytest.raises(kind, match=words) as caught:
        await find_api(loopback.endpoint(), Http())
    assert caught.value.reason == reason


async def test_errors_of_an_answer_are_told_once(loopback: Loopback) -> None:
    """They become gaps with Jaeger's words. A repeated error adds none."""
    loopback.answers = [reply_json({"data": [a_trace(1, False)], "errors": [{"msg": "one shard is down"}]})]
    search = searches_of(loopback, ["shop"])
    for _ in range(2):
        assert len(await search.search(5)) == 1
    assert [(gap.reason, gap.message) for gap in gaps_of(search, "x")] == [
        (GapReason.UNAVAILABLE, "Jaeger reports: one shard is down")
    ]
    search.spill.close()


async def test_a_trace_that_is_unknown_has_jaegers_words(loopback: Loopback) -> None:
    """The message has our own words if Jaeger has none."""
    for errors, words in (
        ([{"msg": "no such trace"}], "DataSource main: no such trace"),
        ([], "DataSource main: trace not found"),
    ):
        loopback.answers = [reply_json({"data": [], "errors": errors})]
        with pytest.raises(Rejected, match=words) as caught:
            await searches_of(loopback, ["shop"]).by_id("ab12")
        assert caught.value.reason == GapReason.NOT_FOUND


async def test_early_versions_of_v3_are_searched_by_tags_here(loopback: Loopback) -> None:
    """They ignore tags: of all traces that come, those with a span that matches are kept."""
    spans = [{"traceId": f"{number}", "name": "x", "attributes": [text("user", f"u{number % 2}")]} for number in range(4)]
    scope = {"resource": {"attributes": [text("service.name", "shop")]}, "scopeSpans": [{"spans": spans}]}
    loopback.answers = [reply_json({"result": {"resourceSpans": [scope]}})]
    search = searches_of(loopback, ["shop"], api_v3, tags={"user": "u1"})
    assert sorted(trace.trace_id for trace in await search.search(10)) == ["1", "3"]
    assert len(await search.search(1)) == 1
    search.spill.close()


def text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


NANOSECONDS = int(datetime.fromisoformat("2026-11-22T11:00:00+00:00").timestamp()) * 10**9


@pytest.mark.parametrize(
    ("fields", "tags", "failing"),
    [
        ({}, {}, False),
        *(({"kind": number}, {"span.kind": kind}, False) for number, kind in enumerate(api_v3._KINDS) if number),
        ({"kind": 0}, {}, False),
        ({"kind": 6}, {}, False),
        ({"kind": -1}, {}, False),
        ({"kind": "SPAN_KIND_SERVER"}, {"span.kind": "server"}, False),
        ({"kind": "SPAN_KIND_UNSPECIFIED"}, {}, False),
        ({"kind": "SPAN_KIND_LATER"}, {}, False),
        ({"kind": ["x"]}, {}, False),
        ({"status": {"code": 2}}, {"error": "true"}, True),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, {"error": "true"}, True),
        ({"status": {"code": 1}}, {}, False),
        ({"status": {"code": "STATUS_CODE_OK"}}, {}, False),
        ({"status": None}, {}, False),
        ({"attributes": [text("error", "true")]}, {"error": "true"}, True),
        ({"attributes": [{"key": "error", "value": {"boolValue": True}}]}, {"error": "true"}, True),
        ({"attributes": [text("error", "false")]}, {"error": "false"}, False),
        ({"attributes": [text("zone", "a"), text("user", "eve")]}, {"zone": "a", "user": "eve"}, False),
        ({"attributes": [{"key": "n", "value": {"intValue": "5"}}, {"key": "none", "value": {}}, None]}, {"n": "5"}, False),
        (
            {"events": [{"attributes": [text("message", "boom"), text("user", "a")]}, None], "attributes": [text("user", "b")]},
            {"message": "boom", "user": "b"},
            False,
        ),
        ({"events": {"attributes": []}, "attributes": "none"}, {}, False),
    ],
)
def test_what_a_span_of_v3_has(fields: dict[str, Any], tags: dict[str, str], failing: bool) -> None:
    """Its kind and its state are tags too, as in v1; its own attributes come before those of its events and its resource."""
    resource = {"service.name": "shop", "zone": "b"}
    found = _span({"name": "GET /", **fields}, resource)
    assert (found.service, found.operation, found.failing) == ("shop", "GET /", failing)
    assert found.tags == resource | tags


@pytest.mark.parametrize(
    ("start", "end", "begins", "lasts"),
    [
        (NANOSECONDS, NANOSECONDS + 1_999, NANOSECONDS // 1000, 1),
        (str(NANOSECONDS), str(NANOSECONDS + 2_000), NANOSECONDS // 1000, 2),
        (NANOSECONDS, NANOSECONDS - 1, NANOSECONDS // 1000, 0),
        (NANOSECONDS, None, NANOSECONDS // 1000, 0),
        (None, NANOSECONDS, float("inf"), 0),
        ("x", "y", float("inf"), 0),
    ],
)
def test_when_a_span_of_v3_was(start: Any, end: Any, begins: float, lasts: int) -> None:
    """In whole microseconds; a clock that was set back gives no negative duration."""
    found = _span({"startTimeUnixNano": start, "endTimeUnixNano": end}, {})
    assert (found.start, found.duration, found.service, found.operation) == (begins, lasts, "", "")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, []),
        ({"services": ["a", 5, "b"]}, ["a", "b"]),
        ({"services": None}, None),
        ({"other": []}, None),
        ([], None),
        (None, None),
    ],
)
def test_what_counts_as_a_list_of_services_in_v3(body: Any, names: list[str] | None) -> None:
    """An empty object is an empty list: protobuf leaves out what is empty."""
    assert api_v3.services(body) == names


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, []),
        ({"operations": [{"name": "a"}, {"name": "b"}, {"name": "a"}, {"name": 5}, "c", {}]}, ["a", "b"]),
        ({"operations": {}}, None),
        ([], None),
    ],
)
def test_what_counts_as_a_list_of_operations_in_v3(body: Any, names: list[str] | None) -> None:
    """Each name once, in Jaeger's order."""
    assert api_v3.operations(body) == names


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "no", "httpCode": 400}}, "no"),
        ({"error": {"httpCode": 400}}, "{'httpCode': 400}"),
        ({"error": "no"}, "{'error': 'no'}"),
        ("no", "no"),
    ],
)
def test_the_words_of_an_error_of_v3(body: Any, words: str) -> None:
    """Its message, or all of it."""
    assert api_v3.error_text(body) == words
