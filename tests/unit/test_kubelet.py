"""The client of kubelets: the requested address, the trusted certificates, the sent headers, and the meaning of refusals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients import kubelet
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.kubelet import LOGS_AT_ONCE, Kubelets
from aletheia_operator.clients.kubernetes import Kubernetes
from tests.unit.certificates import Authority, new_authority
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.kubernetes_api import KubernetesApi
from tests.unit.loopback import Answer, Loopback, cut, deaf, gzip_bomb, hang, hang_up, reply

TOKEN = "canary-token-of-the-operator"
LOG = "/logs/pods/shop_web-0_1/app/0.log"
INTERNAL, EXTERNAL = {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "ExternalIP", "address": "192.0.2.1"}
NAME, SECOND = {"type": "Hostname", "address": "node-1"}, {"type": "InternalIP", "address": "fd00::1"}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@asynccontextmanager
async def kubelets(token: str | None = TOKEN, ca: Path | None = None) -> AsyncIterator[Kubelets]:
    configuration = Configuration(host="http://127.0.0.1:1")
    if token is not None:
        configuration.api_key = {"BearerToken": f"Bearer {token}"}
    client = ApiClient(configuration)
    found = Kubelets(Kubernetes(client), ca)
    try:
        yield found
    finally:
        await found.close()
        await client.close()


async def read(client: Kubelets, address: str, *part: int | None) -> bytes:
    async with client.open(address, LOG, *part) as response:
        return await response.content.read()


@pytest.mark.parametrize(
    ("status", "address"),
    [
        ({"addresses": [EXTERNAL, NAME, INTERNAL]}, "https://10.0.0.1:10250"),
        ({"addresses": [EXTERNAL, NAME]}, "https://node-1:10250"),
        ({"addresses": [EXTERNAL]}, "https://192.0.2.1:10250"),
        ({"addresses": [INTERNAL, SECOND]}, "https://10.0.0.1:10250"),
        ({"addresses": [SECOND, INTERNAL]}, "https://[fd00::1]:10250"),
        ({"addresses": [INTERNAL], "daemonEndpoints": {"kubeletEndpoint": {"Port": 10350}}}, "https://10.0.0.1:10350"),
        ({"addresses": [INTERNAL], "daemonEndpoints": {"kubeletEndpoint": None}}, "https://10.0.0.1:10250"),
        ({"addresses": [INTERNAL], "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}}, "https://10.0.0.1:10250"),
    ],
)
async def test_a_node_says_where_its_kubelet_is(status: dict[str, Any], address: str) -> None:
    """The internal address before others, the first of its kind, and the port that the node names."""
    async with KubernetesApi({"/api/v1/nodes/node-1": {"status": status}}).serve() as kubernetes:
        assert await Kubelets(kubernetes).address("node-1") == address


@pytest.mark.parametrize("node", [{}, {"status": None}, {"status": {"addresses": []}}, 404])
async def test_a_node_without_an_address(node: Any) -> None:
    """It is not asked, and the error says that trying again would not help."""
    async with KubernetesApi({"/api/v1/nodes/node-1": node}).serve() as kubernetes:
        with pytest.raises(Rejected, match="node-1") as caught:
            await Kubelets(kubernetes).address("node-1")
    assert caught.value.reason == GapReason.NOT_FOUND


@pytest.mark.parametrize(
    ("part", "asked"),
    [((), None), ((0,), "bytes=0-"), ((7,), "bytes=7-"), ((7, 9), "bytes=7-9"), ((0, 0), "bytes=0-0")],
    ids=["whole", "from its beginning", "from a byte", "a part", "one byte"],
)
async def test_a_part_of_a_file_is_asked_for(loopback: Loopback, part: tuple[int, ...], asked: str | None) -> None:
    """Both ends are included; the token is the operator's."""
    loopback.answers = [reply(206, b"lines", Content_Range=f"bytes {part[0]}-11/12") if part else reply(200, b"lines")]
    async with kubelets() as client:
        assert await read(client, loopback.url, *part) == b"lines"
    (headers,) = loopback.headers
    assert headers.get("Range") == asked
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert loopback.requests == [LOG]


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        pytest.param((7,), reply(200, b"the whole file"), id="the server ignores the range"),
        pytest.param((7, 9), reply(200, b"the whole file"), id="it ignores the end, too"),
        pytest.param((7,), reply(206, b"lines", Content_Range="bytes 0-4/12"), id="another part"),
        pytest.param((7,), reply(206, b"lines", Content_Range="bytes 70-74/120"), id="a later part"),
        pytest.param((7,), reply(206, b"lines"), id="a part without its place"),
        pytest.param((), reply(206, b"lines", Content_Range="bytes 0-4/12"), id="a part in place of the whole file"),
    ],
)
async def test_another_part_than_requested_is_refused(loopback: Loopback, part: tuple[int, ...], answer: Answer) -> None:
    """Its lines would be taken for those of the requested part, and the others would be missing in silence."""
    loopback.answers = [answer]
    async with kubelets() as client:
        with pytest.raises(Rejected, match="returned another part of /logs/") as caught:
            await read(client, loopback.url, *part)
    assert caught.value.reason == GapReason.INVALID_RESPONSE


async def test_a_whole_file_is_a_part_from_its_beginning(loopback: Loopback) -> None:
    """A server may ignore a range that asks for all."""
    loopback.answers = [reply(200, b"lines")]
    async with kubelets() as client:
        assert await read(client, loopback.url, 0) == b"lines"


async def test_how_kubelets_are_connected_to() -> None:
    """It reads large pieces and no environment, limits the time between two pieces but not the whole, and keeps one session."""
    async with kubelets() as client:
        session = client._client()
        assert client._client() is session
        assert (session.timeout.total, session.timeout.sock_connect, session.timeout.sock_read) == (None, 5, 30)
        assert (session.trust_env, session.auto_decompress, session._read_bufsize) == (False, False, 2**16)
        assert session.connector is not None
        assert session.connector.limit == 100
    assert session.closed


async def test_an_operator_without_a_token_sends_none(loopback: Loopback) -> None:
    """A client certificate identifies such an operator to the API server."""
    loopback.answers = [reply(200, b"lines")]
    async with kubelets(token=None) as client:
        assert await read(client, loopback.url) == b"lines"
    assert "Authorization" not in loopback.headers[0]


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        (reply(401, b""), Rejected, GapReason.FORBIDDEN, "the verb get on nodes/log"),
        (reply(403, b""), Rejected, GapReason.FORBIDDEN, "the verb get on nodes/log"),
        (reply(404, b""), Rejected, GapReason.NOT_FOUND, "answered 404 for /logs/"),
        (reply(500, b""), Unavailable, GapReason.UNAVAILABLE, "answered 500 for /logs/"),
        (reply(302, b"", Location="http://127.0.0.1:1/"), Rejected, GapReason.INVALID_RESPONSE, "answered 302"),
        (hang_up, Unavailable, GapReason.UNAVAILABLE, "the kubelet"),
        (cut(b"half"), Unavailable, GapReason.UNAVAILABLE, "the kubelet"),
    ],
    ids=["no token", "no right", "no file", "broken", "elsewhere", "hangs up", "cut"],
)
async def test_what_a_refusal_means(
    loopback: Loopback, answer: Answer, kind: type[SourceError], reason: GapReason, words: str
) -> None:
    """The error says whether to try again, and what would help. It never has the token."""
    loopback.answers = [answer]
    async with kubelets() as client:
        with pytest.raises(kind, match=words) as caught:
            await read(client, loopback.url)
    assert caught.value.reason == reason
    assert TOKEN not in str(caught.value)
    assert set(loopback.requests) == {LOG}


async def test_a_kubelet_that_falls_silent(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client does not wait forever."""
    monkeypatch.setattr(kubelet, "READ_TIMEOUT_SECONDS", 0.2)
    loopback.answers = [hang]
    async with kubelets() as client:
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            with pytest.raises(Unavailable, match="the kubelet"):
                await read(client, loopback.url)


async def test_a_node_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is cut off from the network costs seconds, not the Investigation's whole timeout."""
    monkeypatch.setattr(kubelet, "CONNECT_TIMEOUT_SECONDS", 0.1)
    with deaf() as port:
        async with kubelets() as client, asyncio.timeout(LONGEST_TEST_SECONDS):
            with pytest.raises(Unavailable, match="the kubelet") as caught:
                await read(client, f"http://127.0.0.1:{port}")
    assert caught.value.reason is GapReason.TIMED_OUT


async def test_a_compressed_file_is_left_as_it_is(loopback: Loopback) -> None:
    """The client does not unpack rotated files. Their readers unpack them in parts."""
    loopback.answers = [gzip_bomb(10_000_000)]
    async with kubelets() as client:
        assert len(await read(client, loopback.url)) < 100_000


async def test_whose_certificates_are_trusted(authority: Authority, tmp_path: Path) -> None:
    """With a CA, only its certificates are trusted. Without one, any certificate is, since kubelets sign their own."""
    trusted, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    trusted.write_text(authority.pem)
    other.write_text(new_authority().pem)
    with Loopback(authority.server(tmp_path)) as tls:
        tls.answers = [reply(200, b"lines")]
        for ca in (trusted, None):
            async with kubelets(ca=ca) as client:
                assert await read(client, tls.url) == b"lines"
        tls.requests.clear()
        async with kubelets(ca=other) as client:
            with pytest.raises(Unavailable, match="the kubelet"):
                await read(client, tls.url)
        assert tls.requests == []


async def test_a_certificate_of_another_host(authority: Authority, tmp_path: Path) -> None:
    """A certificate that the CA signed for another host is refused."""
    (tmp_path / "ca.pem").write_text(authority.pem)
    with Loopback(authority.server(tmp_path, "10.9.8.7")) as tls:
        async with kubelets(ca=tmp_path / "ca.pem") as client:
            with pytest.raises(Unavailable, match="the kubelet"):
                await read(client, tls.url)
        assert tls.requests == []


async def test_a_node_is_read_by_a_few_at_a_time() -> None:
    """Each node has its own slots."""
    async with kubelets() as client:
        turns = [client.slot("https://node-1", "shop") for _ in range(LOGS_AT_ONCE)]
        for turn in turns:
            await turn.__aenter__()
        async with asyncio.timeout(LONGEST_TEST_SECONDS), client.slot("https://node-2", "shop"):
            pass
        waiting = asyncio.ensure_future(client.slot("https://node-1", "shop").__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
        await turns[0].__aexit__(None, None, None)
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            await waiting
