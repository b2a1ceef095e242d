"""HTTP to DataSources: one answer within its deadline and its cap, from the admin's endpoint alone."""

import re
import time
import tracemalloc

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.http import Answer, Http
from tests.unit import loopback as server
from tests.unit.loopback import Loopback, cut, gzip_bomb, reply, reply_json


async def fetch(endpoint: Endpoint, path: str = "/api", *query: tuple[str, str]) -> Answer:
    http = Http()
    return await http.fetch_json(endpoint, path, query)


async def test_an_answer_is_its_status_and_its_json(loopback: Loopback) -> None:
    """The endpoint's path prefix is kept, parameters are escaped."""
    loopback.answers = [reply_json({"a": ["ü"]})]
    answer = await fetch(loopback.endpoint(path="/prefix/"), "/api/x", ("a", "b&c=d"), ("a", "é"))
    assert answer == Answer(200, {"a": ["ü"]})
    assert loopback.requests == ["/prefix/api/x?a=b%26c%3Dd&a=%C3%A9"]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_refusal_in_json_is_an_answer(loopback: Loopback, status: int) -> None:
    """What it means is for the fetcher to say."""
    loopback.answers = [reply_json({"error": "x"}, status)]
    assert await fetch(loopback.endpoint()) == Answer(status, {"error": "x"})


async def test_a_passing_fault_is_asked_again(loopback: Loopback) -> None:
    """503, then an answer."""
    loopback.answers = [reply(503, b"starting"), reply_json([])]
    assert await fetch(loopback.endpoint()) == Answer(200, [])
    assert len(loopback.requests) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        pytest.param(reply(200, b"<html>"), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="HTML"),
        pytest.param(reply(200, b""), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="an empty answer"),
        pytest.param(reply(200, b'"\\ud800"'), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="half a surrogate pair"),
        pytest.param(
            reply(200, b"[" * 200_000), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="JSON that is very deep"
        ),
        pytest.param(
            reply(404, b"nothing\xff"), Rejected, GapReason.NOT_FOUND, "answered 404: nothing\ufffd", id="404 in text"
        ),
        pytest.param(reply(500, b"oops"), Unavailable, GapReason.UNAVAILABLE, "answered 500: oops", id="500"),
        pytest.param(reply(503, b"down"), Unavailable, GapReason.UNAVAILABLE, "answered 503: down", id="lasting 503"),
        pytest.param(reply(200, b" " * 2**21), Rejected, GapReason.TOO_LARGE, "larger than 1048576 bytes", id="too much"),
        pytest.param(gzip_bomb(2**26), Rejected, GapReason.TOO_LARGE, "larger than 1048576 bytes", id="a gzip bomb"),
        pytest.param(
            reply(200, b"not gzip", Content_Encoding="gzip"),
            Unavailable,
            GapReason.INVALID_RESPONSE,
            "cannot be decoded",
            id="broken gzip",
        ),
        pytest.param(cut(b"{}"), Unavailable, GapReason.UNAVAILABLE, "broke off", id="cut short"),
        pytest.param(server.hang_up, Unavailable, GapReason.UNAVAILABLE, "without an answer", id="hung up"),
    ],
)
async def test_a_fault_of_the_server_has_its_reason(
    loopback: Loopback, answer: server.Answer, kind: type[SourceError], reason: GapReason, words: str
) -> None:
    """The message names the DataSource and has the server's words."""
    loopback.answers = [answer]
    with pytest.raises(kind, match=re.escape(words)) as caught:
        await fetch(loopback.endpoint())
    assert caught.value.reason == reason
    assert "DataSource main" in caught.value.message
    assert len(loopback.requests) <= 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(loopback: Loopback, status: int) -> None:
    """The server that it points to sees no request at all."""
    with Loopback() as elsewhere:
        elsewhere.answers = [reply_json({})]
        loopback.answers = [reply(status, b"{}", Location=elsewhere.url)]
        with pytest.raises(Rejected, match="redirects are not followed") as caught:
            await fetch(loopback.endpoint())
        assert elsewhere.requests == []
    assert caught.value.reason == GapReason.INVALID_RESPONSE


@pytest.mark.parametrize("answer", [server.hang, server.drip_head, server.drip_body], ids=["none", "its head", "its body"])
async def test_a_slow_answer_is_given_up_at_the_deadline(loopback: Loopback, answer: server.Answer) -> None:
    """Whatever it is that comes slowly, the whole has one time-out."""
    loopback.answers = [answer]
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer within 1 s") as caught:
        await fetch(loopback.endpoint(timeout_seconds=1))
    assert caught.value.reason == GapReason.TIMED_OUT
    assert time.monotonic() - begin < 2


async def test_nobody_listening_is_unavailable() -> None:
    """A refused connection names the DataSource."""
    with Loopback() as gone:
        endpoint = gone.endpoint()
    with pytest.raises(
        Unavailable, match=r"DataSource main: connection refused by 127\.0\.0\.1:\d+: check the DataSource's endpoint"
    ):
        await fetch(endpoint)


async def test_a_gzip_bomb_is_not_unpacked_whole(loopback: Loopback) -> None:
    """64 MiB of blanks take little more memory than the cap of one."""
    loopback.answers = [gzip_bomb(2**26)]
    tracemalloc.start()
    try:
        with pytest.raises(Rejected):
            await fetch(loopback.endpoint())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**24


async def test_the_environments_proxy_is_not_used(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question goes to the endpoint itself."""
    with Loopback() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        loopback.answers = [reply_json({})]
        assert await fetch(loopback.endpoint()) == Answer(200, {})
        assert proxy.requests == []


async def test_cookies_are_not_kept(loopback: Loopback) -> None:
    """One DataSource's cookies do not reach a later question."""
    seen: list[str | None] = []

    def answer(request: server.Request) -> None:
        seen.append(request.headers.get("Cookie"))
        request.send(200, b"{}", Set_Cookie="a=b; Path=/")

    loopback.answers = [answer]
    http = Http()
    for _ in range(2):
        await http.fetch_json(loopback.endpoint(), "/", ())
    assert seen == [None, None]
