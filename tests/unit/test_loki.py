"""Loki: every line once, for any borders of pages; refusals, unknown labels and wrong answers are reported."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.loki import LokiOptions
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.fetchers.base import Document
from aletheia_operator.fetchers.loki import LokiFetcher, pages
from aletheia_operator.fetchers.loki.labels import matchers_of
from aletheia_operator.text.timestamps import to_nanoseconds
from tests.unit.fakes import entries_of, make_sources, make_window
from tests.unit.loopback import Answer, Loopback, Request, reply, reply_json

START = to_nanoseconds(make_window().start)
Row = tuple[int, str, str]
"""Moment after START, stream, line."""


@dataclass
class Server:
    """Answers as Loki does: the earliest `limit` lines of [start, end), by stream."""

    rows: Sequence[Row]
    most: int = 5_000
    """Its max_entries_limit_per_query."""
    gives: int = 5_000
    """Lines of a page that a proxy passes on; it drops the others without an error."""
    shifts: int = 0
    """Nanoseconds by which it answers earlier times than it was asked for."""
    backward: bool = False
    """Whether it answers the latest lines first, whatever it was asked for."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """Values by label."""
    refused: int = 0

    def __call__(self, request: Request) -> None:
        if "/label" in request.path:
            name = request.path.split("/label/")[1].split("/")[0] if "/label/" in request.path else ""
            listed = self.names.get(name, []) if name else list(self.names)
            return reply_json({"status": "success", "data": listed})(request)
        query = request.server.loopback.queries()[-1]
        limit = int(query["limit"])
        if limit > self.most:
            self.refused += 1
            words = f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {self.most})"
            return reply(400, words.encode())(request)
        start, end = int(query["start"]) - self.shifts, int(query["end"]) - self.shifts
        rows = sorted(self.rows, key=lambda row: row[0], reverse=self.backward)
        found = [row for row in rows if start <= START + row[0] < end][: min(limit, self.gives)]
        streams: dict[str, list[list[str]]] = {}
        for moment, stream, line in found:
            streams.setdefault(stream, []).append([str(START + moment), line])
        result = [{"stream": {"pod": stream}, "values": values} for stream, values in streams.items()]
        return reply_json({"status": "success", "data": {"resultType": "streams", "result": result}})(request)


@dataclass
class One:
    endpoint: Endpoint

    async def find(self, kind: str, name: str | None) -> Endpoint:
        return self.endpoint


async def ask(loopback: Loopback, answer: Answer, **query: Any) -> tuple[Document, list[Any]]:
    """The document of one query, and its entries as far as they came."""
    loopback.answers = [answer]
    settings = {"max_response_bytes": query.pop("max_response_bytes", 2**25), "options": query.pop("options", None)}
    sources = make_sources(data_sources=One(loopback.endpoint(**settings)))
    request = {"type": "loki", "query": '{app="shop"}', **query}
    (question,) = (await LokiFetcher().plan(InvestigationSpec.model_validate({"queries": [request]}), sources)).questions
    (document,) = [found async for found in LokiFetcher().fetch(question, sources)]
    return document, await entries_of(document)


def lines_of(entries: Sequence[Any]) -> Counter[tuple[str, str, str]]:
    return Counter((entry["timestamp"], entry["labels"]["pod"], entry["line"]) for entry in entries)


def expected(rows: Sequence[Row]) -> Counter[tuple[str, str, str]]:
    found = Counter[tuple[str, str, str]]()
    for moment, stream, line in rows:
        found[f"2026-11-22T11:00:00.{moment:09d}Z", stream, line] += 1
    return found


async def test_equal_lines_at_a_pages_border_are_all_there(loopback: Loopback) -> None:
    """1,014 lines of which some are equal and stand where a page ends: none is lost, none is there twice."""
    rows = [((number + 7) // 20, "a", f"line {number % 3}") for number in range(1_014)]
    document, entries = await ask(loopback, Server(rows))
    assert lines_of(entries) == expected(rows)
    assert document.outcome.missing == []
    assert len(loopback.requests) == 4, "two pages, one from the last moment on, and one after it"


@pytest.mark.parametrize("gives", [1, 7, 100, 999])
async def test_a_proxy_that_gives_fewer_lines_without_a_word(loopback: Loopback, gives: int) -> None:
    """All lines are read in the end: a short page does not mean the end."""
    rows = [(number, "a", f"line {number}") for number in range(40 if gives < 10 else 1_200)]
    document, entries = await ask(loopback, Server(rows, gives=gives))
    assert lines_of(entries) == expected(rows)
    assert [gap.reason for gap in document.outcome.missing] == [GapReason.BUDGET_EXCEEDED] * (gives == 1), "it may have more"


@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.sampled_from("xyz")), max_size=60),
    gives=st.integers(1, 30),
)
def test_what_a_proxy_keeps_back_is_a_gap(rows: list[Row], gives: int) -> None:
    """For lines at any moments and any proxy, no line is made up, and missing lines are reported by a gap."""
    with Loopback() as loopback:
        document, entries = asyncio.run(ask(loopback, Server(rows, gives=gives)))
    assert lines_of(entries) <= expected(rows)
    gaps = [gap for gap in document.outcome.missing if gap.reason is not GapReason.EMPTY]
    last = max((row[0] for row in rows), default=0)
    if {row for row in expected(rows) - lines_of(entries) if not row[0].endswith(f"{last:09d}Z")}:
        assert len(gaps) == 1


async def test_a_moment_with_more_lines_than_a_proxy_gives(loopback: Loopback) -> None:
    """It is a gap, and the later lines are there."""
    rows = [*((5, "a", f"flood {number}") for number in range(70)), *((6, "a", f"later {number}") for number in range(10))]
    document, entries = await ask(loopback, Server(rows, gives=50))
    assert len(entries) == 60
    (gap,) = document.outcome.missing
    assert gap.message.startswith(
        "50 lines or more have the same time 2026-11-22T11:00:00.000000005Z: the server returns no more"
    )


async def test_a_server_of_tiny_pages_is_not_asked_for_ever(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines so far are there, and the rest is a gap."""
    monkeypatch.setattr(pages, "MAX_PAGES", 20)
    document, entries = await ask(loopback, Server([(number, "a", "line") for number in range(100)], gives=2))
    assert 15 < len(entries) < 25
    assert [gap.reason for gap in document.outcome.missing] == [GapReason.BUDGET_EXCEEDED]
    assert len(loopback.requests) == 20


@pytest.mark.parametrize("shifts", [1, 40, 400])
async def test_a_server_that_answers_other_times(loopback: Loopback, shifts: int) -> None:
    """Lines that were not requested are left out and reported, and the requests end."""
    rows = [(number, "a", f"line {number}") for number in range(400)]
    document, entries = await ask(loopback, Server(rows, gives=50, shifts=shifts))
    assert lines_of(entries) <= expected(rows)
    assert GapReason.INVALID_RESPONSE in [gap.reason for gap in document.outcome.missing]
    assert len(loopback.requests) < 200


async def test_a_server_that_answers_the_latest_lines_first(loopback: Loopback) -> None:
    """The earlier lines are missing, with a gap."""
    rows = [(number, "a", f"line {number}") for number in range(400)]
    document, entries = await ask(loopback, Server(rows, gives=50, backward=True))
    assert len(entries) == 50
    assert [gap.reason for gap in document.outcome.missing] == [GapReason.INVALID_RESPONSE]


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ab"), st.sampled_from("xy")), min_size=30, max_size=80),
    size=st.integers(7, 20),
)
def test_any_lines_in_any_pages(rows: list[Row], size: int) -> None:
    """For any borders of pages, as long as a page holds one moment."""
    most = max(Counter(row[0] for row in rows).values(), default=0)
    with pytest.MonkeyPatch.context() as patch, Loopback() as loopback:
        patch.setattr(pages.Pages, "size", size)
        patch.setattr(pages.Pages.__init__, "__defaults__", (size, max(size, most + 1)))
        document, entries = asyncio.run(ask(loopback, Server(rows)))
    assert lines_of(entries) == expected(rows)
    assert [gap for gap in document.outcome.missing if gap.reason is not GapReason.EMPTY] == []


@pytest.mark.parametrize("most", [1, 3, 500, 999])
async def test_a_server_that_answers_fewer_lines(loopback: Loopback, most: int) -> None:
    """The page is halved until it is not refused, and stays so."""
    rows = [(number, "a", f"line {number}") for number in range(40 if most < 10 else 1_200)]
    server = Server(rows, most)
    document, entries = await ask(loopback, server)
    if most > 1:
        assert lines_of(entries) == expected(rows)
        assert document.outcome.missing == []
    assert server.refused <= 10


async def test_a_page_that_is_too_large_is_halved(loopback: Loopback) -> None:
    """Lines that together exceed the DataSource's cap come in smaller pages."""
    rows = [(number, "a", "x" * 1_000 + str(number)) for number in range(300)]
    document, entries = await ask(loopback, Server(rows), max_response_bytes=100_000)
    assert lines_of(entries) == expected(rows)
    assert document.outcome.missing == []


async def test_lines_that_no_page_can_hold(loopback: Loopback) -> None:
    """They are a gap; the requests end."""
    rows = [(number, "a", "x" * 30_000) for number in range(20)]
    with pytest.raises(SourceError) as caught:
        await ask(loopback, Server(rows), max_response_bytes=20_000)
    assert caught.value.reason is GapReason.TOO_LARGE
    assert len(loopback.requests) < 12


async def test_more_lines_of_one_moment_than_the_server_answers(loopback: Loopback) -> None:
    """The lines that the server gives are kept, and so are all later ones. The gap names the moment."""
    rows = [*((5, "a", f"flood {number}") for number in range(700)), *((6, "a", f"later {number}") for number in range(10))]
    document, entries = await ask(loopback, Server(rows, most=500))
    found = [entry["line"] for entry in entries]
    assert len(set(found)) == len(found) == 510
    (gap,) = document.outcome.missing
    assert "have the same time" in gap.message


async def test_a_query_that_is_refused(loopback: Loopback) -> None:
    """The query is sent once, and the error has Loki's words."""
    with pytest.raises(SourceError, match="answered 400: parse error at line 1") as caught:
        await ask(loopback, reply(400, b"parse error at line 1, col 5: syntax error"))
    assert caught.value.reason is GapReason.REJECTED
    assert len(loopback.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        None, 5, [], {}, {"status": "success"}, {"status": "success", "data": None}, {"status": "success", "data": []},
        {"status": "error", "data": {"resultType": "streams", "result": []}},
        {"status": "success", "data": {"resultType": "streams"}},
        {"status": "success", "data": {"result": []}},
        {"status": "success", "data": {"resultType": "streams", "result": None}},
        {"status": "success", "data": {"resultType": "streams", "result": "none"}},
        {"status": "success", "data": {"resultType": "streams", "result": {}}},
        {"status": "success", "data": {"resultType": "streams", "result": [{}]}},
        {"status": "success", "data": {"resultType": "streams", "result": [{"stream": {}}]}},
        {"status": "success", "data": {"resultType": "streams", "result": [{"values": []}]}},
        {"status": "success", "data": {"resultType": "streams", "result": [{"stream": [], "values": []}]}},
        {"status": "success", "data": {"resultType": "streams", "result": [{"stream": {}, "values": None}]}},
        {"status": "success", "data": {"resultType": "streams", "result": [{"stream": {}, "values": [["now", "x"]]}]}},
        {"status": "success", "data": {"resultType": "streams", "result": [{"stream": {}, "values": [["1"]]}]}},
        {"status": "success", "data": {"resultType": "streams", "result": [{"stream": {}, "values": [5]}]}},
    ],
    ids=json.dumps,
)  # fmt: skip
async def test_json_of_another_shape_is_not_taken_for_an_answer(loopback: Loopback, body: Any) -> None:
    """An answer that was not understood is never reported as "0 logs"."""
    with pytest.raises(SourceError, match="not that of Loki") as caught:
        await ask(loopback, reply_json(body))
    assert caught.value.reason is GapReason.INVALID_RESPONSE


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        pytest.param('{app="shop"}', [], id="all is known: silence is an answer"),
        pytest.param('{app="shp"}', ["Loki knows no value shp of label app; the nearest names: shop"], id="a misspelt value"),
        pytest.param('{ap="shop"}', ["Loki knows no label ap; the nearest names: app"], id="a misspelt label"),
        pytest.param('{ap=~"shop.*"}', ["Loki knows no label ap; the nearest names: app"], id="a label of a pattern"),
        pytest.param('{app=~"shp.*"} |= "app"', [], id="a pattern may match nothing"),
        pytest.param('{app="shop", zone!="a", x!~"b"}', [], id="what must not be there"),
        pytest.param('{app="shop", zone=""}', [], id="an empty value"),
        pytest.param("{app=`shop`}", [], id="back quotes"),
    ],
)
async def test_labels_that_loki_does_not_know_are_empty(loopback: Loopback, query: str, messages: list[str]) -> None:
    """If nothing was found, a gap has the nearest names."""
    document, entries = await ask(loopback, Server([], names={"app": ["shop", "cart"], "pod": ["web-1"]}), query=query)
    assert entries == []
    assert [(gap.reason, gap.message) for gap in document.outcome.missing] == [
        (GapReason.EMPTY, message) for message in messages
    ]


async def test_labels_are_not_asked_for_when_there_are_lines(loopback: Loopback) -> None:
    """Lines show that the query was understood."""
    await ask(loopback, Server([(1, "a", "x")]), query='{ap="shp"}')
    assert not any("/label" in path for path in loopback.requests)


async def test_a_confined_query_is_the_only_thing_that_is_asked(loopback: Loopback) -> None:
    """Its selector has the namespace. Names of labels are not listed, since they are those of all namespaces."""
    server = Server([], names={"app": ["of-another-namespace"]})
    document, _ = await ask(loopback, server, query='{ap="x"} |= "y"', options=LokiOptions(namespace_label="ns"))
    assert loopback.queries()[-1]["query"] == document.metadata["query"] == '{ap="x",ns="shop"} |= "y"'
    assert not any("/label" in path for path in loopback.requests)
    assert document.outcome.missing == []


async def test_a_query_that_cannot_be_confined_is_not_sent(loopback: Loopback) -> None:
    """It is an error that becomes a gap."""
    with pytest.raises(Rejected, match="cannot be confined safely"):
        await ask(loopback, Server([]), query='rate({a="b"}[1m])', options=LokiOptions(namespace_label="ns"))
    assert loopback.requests == []


async def test_labels_that_cannot_be_listed_are_no_gap(loopback: Loopback) -> None:
    """An older Loki, or one that refuses: the query itself was answered."""
    for labels in (reply(404, b"no"), reply_json([]), reply_json({"status": "error"}), reply(200, b"<html>")):

        def answer(request: Request, labels: Answer = labels) -> None:
            (labels if "/label" in request.path else Server([]))(request)

        document, _ = await ask(loopback, answer)
        assert document.outcome.missing == []


@pytest.mark.parametrize(
    ("query", "matchers"),
    [
        ('{a="b"}', [("a", "=", "b")]),
        ('sum(rate({a="b", c=~`d.*`} |= "{x=1}" [5m]))', [("a", "=", "b"), ("c", "=~", "d.*")]),
        ('{a="with } brace and \\" quote"}', [("a", "=", 'with } brace and " quote')]),
        ('{a="go\\.escape"}', [("a", "=", "go\\.escape")]),
        ("{", []),
        ("", []),
        ("{}", []),
    ],
)
def test_the_matchers_of_a_query(query: str, matchers: list[tuple[str, str, str]]) -> None:
    """They are those of its first stream selector."""
    assert matchers_of(query) == matchers


async def test_hostile_lines_do_not_stop_the_loop(loopback: Loopback) -> None:
    """Long lines are read, parsed and encoded outside of the event loop, which every asynchronous test watches."""
    rows = [(number, "a", "ERROR a" + "$" * 9_000 + str(number)) for number in range(900)]
    _, entries = await ask(loopback, Server(rows))
    assert len(entries) == 900


@pytest.mark.parametrize(
    ("streams", "reason"),
    [
        ('{"stream":{"a":"b"},"values":[]},' * 30_000, GapReason.INVALID_RESPONSE),
        ('{"stream":{"a":"%s"},"values":[]},' % ("x" * 2**20) * 5, GapReason.TOO_LARGE),
        ('{"stream":{},"values":[["1e9","x"]]},', GapReason.INVALID_RESPONSE),
        ('{"stream":{},"values":[[Infinity,"x"]]},', GapReason.INVALID_RESPONSE),
        ('{"stream":{},"values":[["9%s","x"]]},' % ("9" * 400), GapReason.INVALID_RESPONSE),
        ('{"stream":{},"values":[["1",%s]]},' % ("[" * 900 + "]" * 900), GapReason.INVALID_RESPONSE),
    ],
    ids=["streams", "labels", "a float", "infinity", "a moment far away", "a line that is none"],
)
async def test_an_answer_that_lies(loopback: Loopback, streams: str, reason: GapReason) -> None:
    """It fails with a reason, and takes no more memory than a page: labels are in memory."""
    body = '{"status":"success","data":{"resultType":"streams","result":[' + streams.rstrip(",") + "]}}"
    with pytest.raises(SourceError) as caught:
        await ask(loopback, reply(200, body.encode()))
    assert caught.value.reason is reason


async def test_what_loki_warns_of_is_a_gap(loopback: Loopback) -> None:
    """A partial answer does not look whole; each warning is reported once, however many pages have it."""
    streams = [{"stream": {"pod": "web-0"}, "values": [[str(START + 1), "a line"]]}]
    body = {"status": "success", "warnings": ["a store is down", 7, "a store is down"]}

    def answer(request: Request) -> None:
        asked = int(request.server.loopback.queries()[-1]["start"])
        result = streams if asked <= START + 1 else []
        reply_json({**body, "data": {"resultType": "streams", "result": result}})(request)

    document, entries = await ask(loopback, answer)
    assert len(entries) == 1
    gaps = [(gap.reason, gap.message, gap.severity) for gap in document.outcome.missing]
    assert gaps == [(GapReason.UNAVAILABLE, "the server warns: a store is down", "gap")]
