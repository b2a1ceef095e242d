"""HTTP to DataSources: one answer within its deadline and its cap, only from the configured endpoint."""

import asyncio
import errno
import re
import socket
import time
import tracemalloc
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import requests.adapters
from urllib3.connection import HTTPConnection

from aletheia_operator.api import addresses
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients import guard, safe_session
from aletheia_operator.clients.endpoint import Credentials, Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.guard import GuardedAdapter, connect
from aletheia_operator.clients.http import Http, Response
from aletheia_operator.clients.json_stream import JsonStream
from aletheia_operator.clients.safe_session import SafeSession
from aletheia_operator.clients.tls import tls_context
from tests.unit import loopback as server
from tests.unit.certificates import Authority, new_authority
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.loopback import Loopback, cut, gzip_bomb, reply, reply_json


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat requests almost without delay."""
    monkeypatch.setattr(safe_session, "BACKOFF_SECONDS", 0.01)


async def fetch(endpoint: Endpoint, path: str = "/api", *query: tuple[str, str]) -> Response:
    return await Http().fetch_json(endpoint, path, query)


async def test_an_answer_is_its_status_and_its_json(loopback: Loopback) -> None:
    """The endpoint's path prefix is kept, parameters are escaped."""
    loopback.answers = [reply_json({"a": ["ü"]})]
    answer = await fetch(loopback.endpoint(path="/prefix/"), "/api/x", ("a", "b&c=d"), ("a", "é"))
    assert answer == Response(200, {"a": ["ü"]})
    assert loopback.requests == ["/prefix/api/x?a=b%26c%3Dd&a=%C3%A9"]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_refusal_in_json_is_an_answer(loopback: Loopback, status: int) -> None:
    """The fetcher interprets it."""
    loopback.answers = [reply_json({"error": "x"}, status)]
    assert await fetch(loopback.endpoint()) == Response(status, {"error": "x"})


async def test_a_passing_fault_is_asked_again(loopback: Loopback) -> None:
    """503, then an answer."""
    loopback.answers = [reply(503, b"starting"), reply_json([])]
    assert await fetch(loopback.endpoint()) == Response(200, [])
    assert len(loopback.requests) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        pytest.param(reply(200, b"<html>"), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="HTML"),
        pytest.param(reply(200, b""), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="an empty answer"),
        pytest.param(reply(200, b'"\\ud800"'), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="half a surrogate pair"),
        pytest.param(
            reply(200, b"[" * 90_000), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="JSON that is very deep"
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
    """For any slow part, the whole request has one timeout."""
    loopback.answers = [answer]
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer within 1 s") as caught:
        await fetch(loopback.endpoint(timeout_seconds=1))
    assert caught.value.reason == GapReason.TIMED_OUT
    assert time.monotonic() - begin < LONGEST_TEST_SECONDS
    assert len(loopback.requests) == 1


async def test_nobody_listening_is_unavailable() -> None:
    """A refused connection names the DataSource."""
    with Loopback() as gone:
        endpoint = gone.endpoint()
    with pytest.raises(
        Unavailable, match=r"DataSource main: connection refused by 127\.0\.0\.1:\d+: check the DataSource's endpoint"
    ):
        await fetch(endpoint)


async def test_a_gzip_bomb_is_not_unpacked_whole(loopback: Loopback) -> None:
    """64 MiB of blanks take little more memory than a cap of 1 MiB."""
    loopback.answers = [await asyncio.to_thread(gzip_bomb, 2**26)]
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
        assert await fetch(loopback.endpoint()) == Response(200, {})
        assert proxy.requests == []


async def test_cookies_are_not_kept(loopback: Loopback) -> None:
    """One DataSource's cookies do not reach a later question."""
    seen: list[str | None] = []

    def answer(request: server.Request) -> None:
        seen.append(request.headers.get("Cookie"))
        request.send(200, b"{}", Set_Cookie="a=b; Path=/")

    loopback.answers = [answer]
    client = Http()
    for _ in range(2):
        await client.fetch_json(loopback.endpoint(), "/", ())
    assert seen == [None, None]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


async def test_a_data_sources_own_ca_is_trusted_alone(authority: Authority, tmp_path: Path) -> None:
    """With it the answer comes; with another one, or the system's, nothing is asked, and the message names the cause."""
    with Loopback(authority.server(tmp_path)) as tls:
        tls.answers = [reply_json({})]
        trusting = tls.endpoint(credentials=Credentials(ca_pem=authority.pem))
        assert await fetch(trusting) == Response(200, {})
        tls.requests.clear()
        for ca in (None, new_authority().pem):
            with pytest.raises(Unavailable, match="DataSource main: its certificate is signed by a CA that is not known here"):
                await fetch(tls.endpoint(credentials=Credentials(ca_pem=ca)))
        assert tls.requests == []


async def test_the_operators_bundle_is_trusted_besides_public_cas(authority: Authority, tmp_path: Path) -> None:
    """It applies to a DataSource that names no CA of its own, and is read for every question; the public CAs stay."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(new_authority().pem)
    with Loopback(authority.server(tmp_path)) as tls:
        tls.answers = [reply_json({})]
        endpoint = replace(tls.endpoint(), ca_bundle=bundle)
        with pytest.raises(Unavailable, match="signed by a CA that is not known here"):
            await fetch(endpoint)
        bundle.write_text(new_authority().pem + authority.pem)
        assert await fetch(endpoint) == Response(200, {})
        with pytest.raises(Unavailable, match="signed by a CA that is not known here"):
            await fetch(replace(endpoint, credentials=Credentials(ca_pem=new_authority().pem)))
        context = tls_context(endpoint)
        assert context is not None
        assert context.cert_store_stats()["x509_ca"] > 50


@pytest.mark.parametrize(
    ("scheme", "ca", "bundle", "cas"),
    [
        ("http", False, False, None),
        ("https", False, False, None),
        ("http", False, True, None),
        ("https", False, True, "public and more"),
        ("https", True, False, "one"),
        ("https", True, True, "one"),
        ("http", True, True, "one"),
    ],
)
def test_which_cas_are_trusted(
    authority: Authority, tmp_path: Path, scheme: str, ca: bool, bundle: bool, cas: str | None
) -> None:
    """The library's by default; a DataSource's own alone; an operator's bundle besides the public ones, for https."""
    (tmp_path / "bundle.pem").write_text(new_authority().pem)
    credentials = Credentials(ca_pem=authority.pem if ca else None)
    endpoint = Endpoint("main", f"{scheme}://127.0.0.1:1", 5, 2**20, credentials=credentials)
    context = tls_context(replace(endpoint, ca_bundle=tmp_path / "bundle.pem" if bundle else None))
    found = None if context is None else context.cert_store_stats()["x509_ca"]
    assert found == {None: None, "one": 1}.get(cas, found)
    assert cas != "public and more" or (found or 0) > 50


@pytest.mark.parametrize("content", [None, "no certificate", ""], ids=["missing", "not PEM", "empty"])
async def test_a_bundle_that_cannot_be_used(loopback: Loopback, tmp_path: Path, content: str | None) -> None:
    """It stops https, and the message names the flag. Plain http, which does not need it, continues."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    loopback.answers = [reply_json({})]
    endpoint = replace(loopback.endpoint(), ca_bundle=bundle)
    assert await fetch(endpoint) == Response(200, {})
    with pytest.raises(Rejected, match=r"--ca-bundle .* cannot be used"):
        await fetch(replace(endpoint, url=loopback.url.replace("http:", "https:")))


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(ca_pem="no certificate"),
        Credentials(client_pem="no key"),
        Credentials(client_pem="-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
    ],
    ids=["a CA", "a client's", "a damaged one"],
)
async def test_a_certificate_that_cannot_be_used(loopback: Loopback, credentials: Credentials) -> None:
    """It is the DataSource's fault, and the admin's to fix; nothing is sent, and nothing of a key is reported."""
    with pytest.raises(Rejected, match="main: a certificate or key of its Secret cannot be used") as caught:
        await fetch(loopback.endpoint(credentials=credentials))
    assert (caught.value.reason, caught.value.__cause__) == (GapReason.NO_DATA_SOURCE, None)
    assert loopback.requests == []


@pytest.mark.parametrize(
    ("host", "days", "words"), [("127.0.0.1", -1, "has expired"), ("10.9.8.7", 1, "is for another IP address")]
)
async def test_a_certificate_that_does_not_hold(authority: Authority, tmp_path: Path, host: str, days: int, words: str) -> None:
    """It is refused although the CA is right."""
    with Loopback(authority.server(tmp_path, host, days)) as tls:
        with pytest.raises(Unavailable, match=f"its certificate {words}"):
            await fetch(tls.endpoint(credentials=Credentials(ca_pem=authority.pem)))
        assert tls.requests == []


async def test_a_certificate_is_not_verified_by_request(authority: Authority, tmp_path: Path) -> None:
    """A library that asks for no verification, or for a CA of its own, changes nothing."""
    with Loopback(authority.server(tmp_path)) as tls, SafeSession(tls.endpoint()) as session:
        session.verify = False
        for verify in (False, str(tmp_path)):
            with pytest.raises(Unavailable, match="certificate"):
                session.get(tls.url, verify=verify)
        assert tls.requests == []


async def test_a_client_certificate_is_shown(authority: Authority, tmp_path: Path) -> None:
    """A server that wants one answers with it, and refuses the connection without it."""
    clients = new_authority()
    pem = clients.server(tmp_path, "operator").read_text()
    with Loopback(authority.server(tmp_path), clients.pem) as loopback:
        loopback.answers = [reply_json({})]
        shown = Credentials(ca_pem=authority.pem, client_pem=pem)
        assert await fetch(loopback.endpoint(credentials=shown)) == Response(200, {})
        with pytest.raises(Unavailable, match=r"main: .*the TLS handshake"):
            await fetch(loopback.endpoint(credentials=Credentials(ca_pem=authority.pem)))
    assert len(loopback.requests) == 1


async def test_plain_http_behind_an_https_endpoint(loopback: Loopback) -> None:
    """It is a common mistake, and the message names it."""
    endpoint = replace(loopback.endpoint(), url=loopback.url.replace("http:", "https:"))
    with pytest.raises(Unavailable, match="does not speak TLS: the endpoint may be http, not https"):
        await fetch(endpoint)


async def test_a_name_that_nobody_has() -> None:
    """No such host, by its name; a label that is too long for DNS likewise."""
    for host in ("nobody.invalid", "a" * 64 + ".invalid"):
        with pytest.raises(Unavailable, match=rf"main: (no such host:|the name server does not answer for) {host}"):
            await fetch(Endpoint("main", f"http://{host}:9090", 5, 2**20))


async def test_a_refused_address_is_not_connected_to(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever name leads to it, and before a packet is sent."""
    accepted: list[Any] = []
    monkeypatch.setattr(addresses, "METADATA", (ip_network("127.0.0.1"),))
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: accepted.append(address))
    endpoint = replace(loopback.endpoint(), url=loopback.url.replace("127.0.0.1", "localhost"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", 80))])
    with pytest.raises(Rejected, match="metadata service"):
        await fetch(endpoint)
    assert accepted == []


REBOUND = ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fe80::1", "fd00:ec2::254"]


@pytest.mark.parametrize("rebound", REBOUND)
async def test_a_name_that_leads_elsewhere_later(loopback: Loopback, monkeypatch: pytest.MonkeyPatch, rebound: str) -> None:
    """A name server that answers otherwise each time: what was looked up once is what is checked and connected to."""
    port = int(loopback.url.rsplit(":", 1)[1])
    answers = iter(["127.0.0.1", rebound, rebound])
    connected: list[Any] = []

    def look_up(*_: Any, **__: Any) -> list[Any]:
        address = next(answers)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    connect = socket.socket.connect

    def noting_connect(sock: socket.socket, address: Any) -> None:
        connected.append(address[0])
        connect(sock, address)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", noting_connect)
    loopback.answers = [reply_json({})]
    endpoint = Endpoint("main", f"http://rebound.test:{port}", 5, 2**20)
    assert await fetch(endpoint) == Response(200, {})
    with pytest.raises(Rejected, match="metadata service"):
        await fetch(endpoint)
    assert connected == ["127.0.0.1"]


async def test_the_next_address_is_tried(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with two addresses, the first of which refuses."""
    port = int(loopback.url.rsplit(":", 1)[1])
    loopback.answers = [reply_json({})]
    found = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 1)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert await fetch(Endpoint("main", f"http://two.test:{port}", 5, 2**20)) == Response(200, {})


async def test_an_address_that_never_answers_leaves_time_for_the_next(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each address has its share of the time to connect."""
    port = int(loopback.url.rsplit(":", 1)[1])
    loopback.answers = [reply_json({})]
    shares: list[float] = []
    really = guard._open

    def opened(family: int, kind: int, protocol: int, address: Any, seconds: float, options: Any) -> socket.socket:
        shares.append(seconds)
        return really(family, kind, protocol, address, seconds, options)

    monkeypatch.setattr(guard, "_open", opened)
    monkeypatch.setattr(safe_session, "CONNECT_TIMEOUT_SECONDS", 1)
    with server.deaf() as nobody:
        found = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", number)) for number in (nobody, port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert await fetch(Endpoint("main", f"http://two.test:{port}", 30, 2**20)) == Response(200, {})
    assert len(shares) == 2
    assert shares[0] <= 0.5, "half of the time: there are two addresses"


async def test_an_address_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up long before the timeout of the question, and not tried again."""
    monkeypatch.setattr(safe_session, "CONNECT_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(guard, "MIN_CONNECT_SECONDS", 0.1)
    begin = time.monotonic()
    with (
        server.deaf() as port,
        pytest.raises(Unavailable, match=rf"main: no connection to 127\.0\.0\.1:{port} in time") as caught,
    ):
        await fetch(Endpoint("main", f"http://127.0.0.1:{port}", 600, 2**20))
    assert caught.value.reason is GapReason.TIMED_OUT
    assert time.monotonic() - begin < LONGEST_TEST_SECONDS


@pytest.mark.parametrize(
    ("family", "address", "named"),
    [(socket.AF_INET, ("127.0.0.1", 1), "127.0.0.1:1"), (socket.AF_INET6, ("::1", 1, 0, 0), "[::1]:1")],
    ids=["IPv4", "IPv6"],
)
async def test_the_address_that_refused_is_named(
    monkeypatch: pytest.MonkeyPatch, family: socket.AddressFamily, address: tuple[Any, ...], named: str
) -> None:
    """The address that the name led to, in the form of a URL."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(family, 1, 6, "", address)])
    refused = OSError(errno.ECONNREFUSED, "refused")  # without IPv6 the system's error is another
    monkeypatch.setattr(socket.socket, "connect", Mock(side_effect=refused))
    with pytest.raises(Unavailable, match=re.escape(f"main: connection refused by {named}: ")):
        await fetch(Endpoint("main", "http://prom.test:9090", 5, 2**20))


async def test_netrc_is_not_used(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the DataSource's credentials are used."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    loopback.answers = [reply_json({})]
    await fetch(loopback.endpoint())
    await fetch(loopback.endpoint(credentials=Credentials((("Authorization", "Bearer x"),))))
    assert [header.get("Authorization") for header in loopback.headers] == [None, "Bearer x"]


async def test_another_host_is_not_asked(loopback: Loopback) -> None:
    """A library cannot send the credentials elsewhere: scheme, host and port are the endpoint's."""
    with Loopback() as elsewhere, SafeSession(loopback.endpoint()) as session:
        for url in (elsewhere.url, loopback.url.replace("127.0.0.1", "localhost"), "http://127.0.0.1/"):
            with pytest.raises(Rejected, match="another host or port is not asked"):
                session.get(url)
        assert elsewhere.requests == []


async def test_a_library_cannot_bring_its_own_transport(loopback: Loopback) -> None:
    """The checks stay, whatever is mounted."""
    with SafeSession(loopback.endpoint()) as session:
        session.mount("http://", requests.adapters.HTTPAdapter())
        assert isinstance(session.get_adapter(loopback.url), GuardedAdapter)


async def test_rotated_credentials_are_read_again(loopback: Loopback) -> None:
    """During a question: a refused request is repeated once with the new credentials, which are kept."""
    valid = "Bearer canary-new-token"

    def answer(request: server.Request) -> None:
        known = request.headers.get("Authorization") == valid
        request.send(200 if known else 401, b"{}" if known else b"who is canary-old-token or canary-new-token?")

    reads = []

    def renew() -> Credentials:
        reads.append(1)
        return Credentials((("Authorization", "Bearer canary-new-token"),), secrets=("canary-new-token",))

    loopback.answers = [answer]
    old = Credentials((("Authorization", "Bearer canary-old-token"),), secrets=("canary-old-token",))
    endpoint = loopback.endpoint(credentials=old, renew=renew)
    with SafeSession(endpoint) as session:
        assert [session.get(loopback.url).status_code for _ in range(3)] == [200, 200, 200]
    assert await fetch(endpoint) == Response(200, {})
    assert (len(loopback.requests), len(reads)) == (5, 1)
    valid = "Bearer another"
    with pytest.raises(Rejected, match=r"answered 401: who is \*\*\* or \*\*\*\?") as caught:
        await fetch(endpoint)
    assert caught.value.reason is GapReason.FORBIDDEN
    assert (len(loopback.requests), len(reads)) == (6, 2)


async def test_credentials_that_cannot_be_read_again(loopback: Loopback) -> None:
    """The refusal is final."""

    def renew() -> Credentials:
        raise Unavailable("the Kubernetes API is away")

    loopback.answers = [reply(403, b"no")]
    with pytest.raises(Rejected, match="answered 403: no"):
        await fetch(loopback.endpoint(renew=renew))


@pytest.mark.parametrize("prefix", ["", "/prefix"])
async def test_a_host_name_beyond_ascii(loopback: Loopback, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """Its ASCII form is requested, as browsers do."""
    real, asked = socket.getaddrinfo, []

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    loopback.answers = [reply_json({})]
    url = loopback.url.replace("127.0.0.1", "prométheus.bücher.test") + prefix
    assert await fetch(replace(loopback.endpoint(), url=url), "/api") == Response(200, {})
    assert asked == ["xn--promtheus-e4a.xn--bcher-kva.test"]
    assert loopback.requests == [prefix + "/api"]


async def test_a_host_name_without_an_ascii_form() -> None:
    """It is refused with a message."""
    with pytest.raises(Rejected, match="host name is not valid") as caught:
        await fetch(Endpoint("main", "http://-ü-.test", 5, 2**20))
    assert caught.value.reason is GapReason.NO_DATA_SOURCE


async def test_a_whole_answer_is_small(loopback: Loopback) -> None:
    """What is parsed in one call stops every other thread, so it is at most 8 MiB, whatever the DataSource's own cap is."""
    loopback.answers = [reply_json("x" * 2**23)]
    with pytest.raises(Rejected) as caught:
        await fetch(loopback.endpoint(max_response_bytes=2**30))
    assert caught.value.reason is GapReason.TOO_LARGE


async def test_the_server_says_how_long_to_wait(loopback: Loopback) -> None:
    """Retry-After is followed if it ends before the deadline; else the answer is final."""
    loopback.answers = [reply(503, b"busy", Retry_After="1"), reply_json({})]
    begin = time.monotonic()
    assert await fetch(loopback.endpoint()) == Response(200, {})
    assert time.monotonic() - begin >= 1
    loopback.requests.clear()
    loopback.answers = [reply(503, b"busy", Retry_After="6")]
    with pytest.raises(Unavailable, match="answered 503: busy"):
        await fetch(loopback.endpoint(timeout_seconds=5))
    assert len(loopback.requests) == 1


@pytest.mark.parametrize("answer", [server.hang, server.drip_head, server.drip_body], ids=["waiting", "its head", "its body"])
async def test_a_cancelled_question_leaves_no_thread(loopback: Loopback, answer: server.Answer) -> None:
    """When the cancellation returns, the connection is cut and the thread has ended, so nothing writes any more."""
    loopback.answers = [answer]
    at_work: list[str] = []

    def read(stream: JsonStream) -> None:
        at_work.append("reads")
        try:
            stream.value()
        finally:
            at_work.append("ended")

    asking = asyncio.ensure_future(Http().stream_json(loopback.endpoint(timeout_seconds=600), "/", (), read, str))
    assert await asyncio.to_thread(loopback.asked.wait, LONGEST_TEST_SECONDS)
    begin = time.monotonic()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert time.monotonic() - begin < LONGEST_TEST_SECONDS
    assert at_work in ([], ["reads", "ended"])


async def test_a_question_that_is_cancelled_between_two_tries(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not wait for the next one."""
    monkeypatch.setattr(safe_session, "BACKOFF_SECONDS", 200)
    loopback.answers = [reply(503, b"busy")]
    asking = asyncio.ensure_future(fetch(loopback.endpoint(timeout_seconds=600)))
    assert await asyncio.to_thread(loopback.asked.wait, LONGEST_TEST_SECONDS)
    asking.cancel()
    begin = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert time.monotonic() - begin < LONGEST_TEST_SECONDS
    assert len(loopback.requests) == 1


@pytest.mark.parametrize("status", [200, 206])
def test_an_answer_or_a_part_of_one_is_read_whole(loopback: Loopback, status: int) -> None:
    """Uploads of several parts are verified by reading ranges back; only a refusal is read no further than it is quoted."""
    content = b"x" * 1_000_000
    loopback.answers = [reply(status, content)]
    with SafeSession(loopback.endpoint()) as session:
        assert b"".join(session.chunks(session.get(loopback.url))) == content


def test_a_stopped_session_connects_no_more(loopback: Loopback) -> None:
    """Also if it was stopped before its first request."""
    with SafeSession(loopback.endpoint()) as session:
        session.abort()
        with pytest.raises(Unavailable, match=r"broke off|connection"):
            session.get(loopback.url)
    assert loopback.requests == []


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_session_that_is_stopped_while_it_connects_asks_nothing(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    """The connection is not yet among those that were closed, so it closes itself."""
    opened: list[HTTPConnection] = []
    with Loopback(authority.server(tmp_path) if tls else None) as loopback:
        endpoint = loopback.endpoint(credentials=Credentials(ca_pem=authority.pem)) if tls else loopback.endpoint()
        with SafeSession(endpoint) as session:

            def connect_late(connection: HTTPConnection, is_on_node: bool) -> socket.socket:
                sock = connect(connection, is_on_node)
                session.abort()
                opened.append(connection)
                return sock

            monkeypatch.setattr(guard, "connect", connect_late)
            with pytest.raises(Unavailable, match=r"broke off|connection"):
                session.get(loopback.url)
        assert loopback.requests == []
    assert [connection.sock for connection in opened] == [None]


@pytest.mark.parametrize("body", [b"[" + b"[]," * 600_000 + b"1]", b'["' + b"x" * 3_000_000 + b'"]'], ids=["many", "large"])
async def test_an_answer_that_is_costly_to_parse_whole(loopback: Loopback, body: bytes) -> None:
    """It is refused unparsed: 8 MiB of empty lists took a quarter of a GiB, and stopped all threads for a third of a second."""
    loopback.answers = [reply(200, body)]
    tracemalloc.start()
    try:
        with pytest.raises(Rejected) as caught:
            await fetch(loopback.endpoint(max_response_bytes=2**25))
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()
    assert caught.value.reason is GapReason.TOO_LARGE
