"""Answers that never end, break off, lie or are slow: for each kind of source they are capped, repeated or given up."""

import asyncio
import json
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.clients.endpoint import Credentials
from aletheia_operator.fetchers.base import Fetcher
from aletheia_operator.fetchers.jaeger import JaegerFetcher
from aletheia_operator.fetchers.loki import LokiFetcher
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from tests.support.fetching import Fetched, endpoint, fetch, reasons, window
from tests.support.http import OVER, Handler, Serve
from tests.unit.fakes import LONGEST_TEST_SECONDS

END = 1_763_000_000


@dataclass(frozen=True)
class Source:
    """A kind of source: its fetcher and spec, and its answers: `head`, elements separated by commas, `tail`."""

    fetcher: Fetcher
    spec: dict[str, Any]
    head: str
    element: str
    tail: str
    settings: dict[str, Any]

    def answer(self, *numbers: int) -> str:
        return self.head + ",".join(self.element % {"number": number, "end": END} for number in numbers) + self.tail


TRACE = (
    '{"traceID":"%(number)x","spans":[{"traceID":"%(number)x","spanID":"1","operationName":"GET /","duration":5,'
    '"startTime":%(end)d000000,"processID":"p1","tags":[]}],"processes":{"p1":{"serviceName":"shop"}}}'
)
SPANS = (
    '{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":['
    '{"traceId":"%(number)032x","name":"GET /","startTimeUnixNano":"%(end)d000000000","endTimeUnixNano":"%(end)d000000001"}]}]}'
)
LINES = '{"stream":{"pod":"web-%(number)d"},"values":[["%(end)d000000000","INFO line %(number)d"]]}'
TRACES = {"traces": [{"service": "shop", "limit": 1400}]}
SOURCES = {
    "prometheus": Source(
        PrometheusFetcher(),
        {"metrics": [{"query": "up", "step": "1m"}]},
        '{"status":"success","data":{"resultType":"matrix","result":[',
        '{"metric":{"series":"%(number)d"},"values":[[%(end)d,"1"]]}',
        "]}}",
        {},
    ),
    "jaeger v1": Source(JaegerFetcher(), TRACES, '{"data":[', TRACE, '],"errors":null}', {"options": JaegerOptions(api="v1")}),
    "jaeger v3": Source(
        JaegerFetcher(), TRACES, '{"result":{"resourceSpans":[', SPANS, "]}}", {"options": JaegerOptions(api="v3")}
    ),
    "loki": Source(
        LokiFetcher(),
        {"queries": [{"type": "loki", "query": '{a="b"}'}]},
        '{"status":"success","data":{"resultType":"streams","result":[',
        LINES,
        '],"stats":{}}}',
        {},
    ),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


def ask(serve: Serve, source: Source, handler: Handler, **settings: Any) -> Fetched:
    """Ask the fetcher's question of a server. `handler` answers all requests except the one for the API's version."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/services"):
            return web.json_response({"data": ["shop"], "services": ["shop"]})
        if "query_range" in request.path and request.query["start"] > f"{END}000000000":  # all lines of Loki are earlier
            return web.Response(text=source.answer())
        return await handler(request)

    asked = endpoint(serve(handle), **source.settings, **settings)
    return fetch(source.fetcher, asked, window(END - 60, END), **source.spec)


def kept(fetched: Fetched) -> int:
    return sum(map(len, fetched.entries))


def test_a_whole_answer(serve: Serve, source: Source) -> None:
    """The other tests differ from this one in their fault only."""

    async def whole(request: web.Request) -> web.Response:
        return web.Response(text=source.answer(1, 2, 3))

    fetched = ask(serve, source, whole)
    assert fetched.missing == []
    assert kept(fetched) == 3


def test_a_body_that_never_ends(serve: Serve, source: Source) -> None:
    """Reading stops at the cap. Complete elements are kept."""

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(source.answer(0).removesuffix(source.tail).encode())
        filler = "x" * 50_000
        while not request.app[OVER].is_set():
            try:
                await answer.write(b"," + (source.element % {"number": 1, "end": END}).replace("GET /", filler).encode())
            except ConnectionError:
                break
        return answer

    fetched = ask(serve, source, endless, max_response_bytes=2_000_000)
    assert {"TooLarge", "InvalidResponse"} & set(reasons(fetched.missing))
    assert kept(fetched) >= 1


def test_a_gzip_bomb(serve: Serve, source: Source) -> None:
    """The cap counts what is unpacked, and unpacks no more than that."""

    async def bomb(request: web.Request) -> web.Response:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        body = b"".join([packer.compress(b" " * 2**20) for _ in range(300)] + [packer.flush()])
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    assert reasons(ask(serve, source, bomb, max_response_bytes=2**20).missing) == ["TooLarge"]


@pytest.mark.parametrize("end", ["", ",", ',{"', "]"])
def test_json_that_is_cut(serve: Serve, source: Source, end: str) -> None:
    """A body that ends within its JSON is asked for again, then a gap. Complete elements are kept."""
    asked = []

    async def cut(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text=source.answer(1, 2).removesuffix(source.tail) + end)

    fetched = ask(serve, source, cut)
    assert reasons(fetched.missing) == ["InvalidResponse"]
    assert kept(fetched) >= 1
    assert len(asked) == 2


def test_a_connection_that_breaks_is_asked_again(serve: Serve, source: Source) -> None:
    """If the second answer is complete, nothing is missing or doubled."""
    asked: list[str] = []

    async def breaks(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if len(asked) > 1:
            return web.Response(text=source.answer(1, 2, 3))
        answer = web.StreamResponse(headers={"Content-Length": "100000"})
        await answer.prepare(request)
        await answer.write(source.answer(1, 2).removesuffix(source.tail).encode())
        assert request.transport is not None
        request.transport.close()
        return answer

    fetched = ask(serve, source, breaks)
    assert fetched.missing == []
    assert kept(fetched) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retry_after(serve: Serve, source: Source, status: int) -> None:
    """A busy server is asked again after the time that it names."""
    asked: list[float] = []

    async def busy(request: web.Request) -> web.Response:
        asked.append(time.monotonic())
        if len(asked) == 1:
            return web.json_response({"error": "busy"}, status=status, headers={"Retry-After": "1"})
        return web.Response(text=source.answer(1))

    assert ask(serve, source, busy).missing == []
    assert asked[1] - asked[0] >= 1


def test_retry_after_the_deadline(serve: Serve, source: Source) -> None:
    """If it ends after the deadline, the server is asked once, and the gap has the server's message."""
    asked = []

    async def busy(request: web.Request) -> web.Response:
        asked.append(request.path)
        words = "come back tomorrow"
        text = json.dumps({"error": words, "errors": [{"msg": words}]})
        return web.Response(text=text, status=429, headers={"Retry-After": "86400"})

    fetched = ask(serve, source, busy)
    assert reasons(fetched.missing) == ["Unavailable"]
    assert "come back tomorrow" in fetched.missing[0].message
    assert len(asked) == 1


def test_a_slow_drip(serve: Serve, source: Source) -> None:
    """A byte now and then does not outlive the timeout, and is not asked for again."""
    asked = []

    async def drip(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(source.head.encode())
        while not request.app[OVER].is_set():
            try:
                await answer.write(b" ")
                await a_moment(request)
            except ConnectionError:
                break
        return answer

    began = time.monotonic()
    fetched = ask(serve, source, drip, timeout_seconds=1)
    assert reasons(fetched.missing) == ["TimedOut"]
    assert time.monotonic() - began < LONGEST_TEST_SECONDS
    assert len(asked) == 1


async def a_moment(request: web.Request) -> None:
    """A tenth of a second, or until the test is over."""
    with suppress(TimeoutError):
        await asyncio.wait_for(request.app[OVER].wait(), 0.1)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_port(serve: Serve, source: Source, status: int) -> None:
    """No request is sent there, and no credential."""
    elsewhere: list[str] = []

    async def second(request: web.Request) -> web.Response:
        elsewhere.append(str(request.headers))
        return web.Response(text=source.answer(1))

    other = serve(second)

    async def redirect(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer canary"
        return web.Response(status=status, headers={"Location": other + request.path_qs})

    credentials = Credentials((("Authorization", "Bearer canary"),), secrets=("canary",))
    fetched = ask(serve, source, redirect, credentials=credentials)
    assert reasons(fetched.missing) == ["InvalidResponse"]
    assert "redirects are not followed" in fetched.missing[0].message
    assert elsewhere == []


def test_brackets_without_end(serve: Serve, source: Source) -> None:
    """Nesting that would exhaust a parser's stack is an invalid answer."""

    async def nested(request: web.Request) -> web.Response:
        return web.Response(text=source.head + "[" * 100_000)

    assert reasons(ask(serve, source, nested).missing) == ["InvalidResponse"]
