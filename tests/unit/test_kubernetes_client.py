"""The Kubernetes client against a real server on the loopback interface: trusted certificates, timeouts, retries."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients import kubernetes, kubernetes_bodies, kubernetes_pages
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from tests.unit import loopback as server
from tests.unit.certificates import Authority, new_authority
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.loopback import Answer, Loopback, Request, cut, reply, reply_json

TOKEN = "canary-token-of-the-operator"
PODS = "/api/v1/namespaces/shop/pods"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the delays between tries."""
    monkeypatch.setattr(kubernetes, "RETRY_DELAYS_SECONDS", (0.01, 0.02))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@asynccontextmanager
async def client(api: Loopback, directory: Path, ca: str | None = None) -> AsyncIterator[Kubernetes]:
    """A client by a kubeconfig, as `connect` makes it."""
    cluster: dict[str, Any] = {"server": api.url}
    if ca is not None:
        (directory / "ca.pem").write_text(ca)
        cluster["certificate-authority"] = str(directory / "ca.pem")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config))
    connected = await kubernetes.connect(path)
    try:
        yield connected
    finally:
        await connected.close()


@asynccontextmanager
async def failing(reason: GapReason, kind: type[SourceError] = Unavailable, words: str = "") -> AsyncIterator[None]:
    with pytest.raises(kind, match=words) as caught:
        yield
    assert caught.value.reason == reason
    assert TOKEN not in caught.value.message


async def test_changes_have_our_name(loopback: Loopback, tmp_path: Path) -> None:
    """The API server takes the field manager from the first word of the client's name."""
    loopback.answers = [reply_json({})]
    async with client(loopback, tmp_path) as api:
        await api.patch_status(f"{PODS}/web-0", {}, "uid")
    assert loopback.headers[0]["User-Agent"].startswith("aletheia-operator/")


async def test_an_object_is_read_as_the_operator(loopback: Loopback, tmp_path: Path) -> None:
    """The request has the token of the kubeconfig, and impersonates nobody."""
    loopback.answers = [reply_json({"kind": "Pod"})]
    async with client(loopback, tmp_path) as api:
        assert await api.get(f"{PODS}/web-0") == {"kind": "Pod"}
    (headers,) = loopback.headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Impersonate-User" not in headers


async def test_in_a_pod_its_own_service_account_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kubeconfig is looked for."""

    def loaded(client_configuration: Configuration) -> None:
        client_configuration.host = "https://10.0.0.1"

    monkeypatch.setattr(kubernetes, "load_incluster_config", loaded)
    connected = await kubernetes.connect()
    assert connected.client.configuration.host == "https://10.0.0.1"
    assert connected.user is None
    await connected.close()


async def test_how_a_client_is_set_up(loopback: Loopback, tmp_path: Path) -> None:
    """The library repeats nothing, reads no environment, and reads in large pieces."""
    async with client(loopback, tmp_path) as api:
        configuration = api.client.configuration
        assert (configuration.retries, configuration.connection_pool_maxsize) == (None, kubernetes.MAX_CONNECTIONS)
        settings = dict(configuration.client_session_kwargs)
        assert len(settings.pop("trace_configs")) == 1
        assert settings == {"trust_env": False, "read_bufsize": 2**16}


async def test_a_service_account_is_impersonated(loopback: Loopback, tmp_path: Path) -> None:
    """Every request of the new client names the account; the operator's own client still impersonates nobody."""
    loopback.answers = [reply_json({})]
    async with client(loopback, tmp_path) as api:
        await api.as_service_account("shop", "reader").get(PODS)
        await api.get(PODS)
    assert [header.get("Impersonate-User") for header in loopback.headers] == ["system:serviceaccount:shop:reader", None]


async def test_only_the_clusters_ca_is_trusted(authority: Authority, tmp_path: Path) -> None:
    """A server with a certificate of another CA gets no request, and so no token."""
    with Loopback(authority.server(tmp_path)) as api:
        api.answers = [reply_json({"kind": "Pod"})]
        async with client(api, tmp_path, authority.pem) as trusting:
            assert await trusting.get(f"{PODS}/web-0") == {"kind": "Pod"}
        api.requests.clear()
        async with (
            client(api, tmp_path, new_authority().pem) as distrusting,
            failing(GapReason.UNAVAILABLE, words="signed by a CA that is not known here"),
        ):
            await distrusting.get(f"{PODS}/web-0")
        assert api.requests == []


@pytest.mark.parametrize(
    ("host", "days", "words"),
    [("127.0.0.1", -1, "has expired"), ("10.9.8.7", 1, "for another IP address"), ("elsewhere", 1, "for another")],
)
async def test_a_certificate_that_does_not_hold(authority: Authority, tmp_path: Path, host: str, days: int, words: str) -> None:
    """Expired, or of another host: what is wrong is reported, and no request is made."""
    with Loopback(authority.server(tmp_path, host, days)) as api:
        async with client(api, tmp_path, authority.pem) as connected, failing(GapReason.UNAVAILABLE, words=words):
            await connected.get(PODS)
        assert api.requests == []


async def test_the_environment_is_not_trusted(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no netrc of the pod's environment sees or changes a request."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    with Loopback() as proxy:
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        loopback.answers = [reply_json({})]
        async with client(loopback, tmp_path) as api:
            await api.get(PODS)
        assert proxy.requests == []
    assert [header["Authorization"] for header in loopback.headers] == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(loopback: Loopback, tmp_path: Path, status: int) -> None:
    """The server that it names sees no request."""
    with Loopback() as elsewhere:
        elsewhere.answers = [reply_json({})]
        loopback.answers = [reply(status, b"", Location=elsewhere.url)]
        async with client(loopback, tmp_path) as api, failing(GapReason.INVALID_RESPONSE, Rejected, "redirect"):
            await api.get(PODS)
        assert elsewhere.requests == []
    assert len(loopback.requests) == 1


@pytest.mark.parametrize("answer", [server.hang, server.drip_nothing], ids=["no head", "no body"])
async def test_a_silent_server_is_given_up(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """The wait between two pieces of an answer is limited; the request is not repeated."""
    monkeypatch.setattr(kubernetes, "READ_TIMEOUT_SECONDS", 0.2)
    loopback.answers = [answer]
    begin = time.monotonic()
    async with client(loopback, tmp_path) as api, failing(GapReason.TIMED_OUT, words="did not answer in time"):
        await api.get(PODS)
    assert time.monotonic() - begin < LONGEST_TEST_SECONDS
    assert len(loopback.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        pytest.param(reply(200, b"<html>"), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", id="HTML"),
        pytest.param(reply(200, b"[]"), Unavailable, GapReason.INVALID_RESPONSE, "not an object", id="a list"),
        pytest.param(cut(b"{"), Unavailable, GapReason.UNAVAILABLE, "broke off", id="cut"),
        pytest.param(reply(403, b"no"), Rejected, GapReason.FORBIDDEN, r"resources: \[pods\], verbs: \[list\]", id="403"),
        pytest.param(reply(404, b"no"), Rejected, GapReason.NOT_FOUND, "answered 404: no", id="404"),
        pytest.param(reply(500, b'{"message": "etcd"}'), Unavailable, GapReason.UNAVAILABLE, "500: etcd", id="500"),
        pytest.param(reply(400, b'{"message": 5}'), Rejected, GapReason.REJECTED, "400: 5", id="400"),
        pytest.param(reply(400, b"[]"), Rejected, GapReason.REJECTED, r"400: \[\]", id="400 with a list"),
        pytest.param(reply(500, f"saw {TOKEN}".encode()), Unavailable, GapReason.UNAVAILABLE, r"saw \*\*\*", id="the token"),
        pytest.param(reply(500, b"x" * 10**6), Unavailable, GapReason.UNAVAILABLE, "xxx…$", id="many words"),
    ],
)
async def test_a_fault_has_its_reason(
    loopback: Loopback, tmp_path: Path, answer: Answer, kind: type[SourceError], reason: GapReason, words: str
) -> None:
    """The message has the server's words, but never the token."""
    loopback.answers = [answer]
    async with client(loopback, tmp_path) as api, failing(reason, kind, words):
        await api.get(PODS)


async def test_nobody_listens(tmp_path: Path) -> None:
    """The address that refused is named."""
    with Loopback() as gone:
        pass
    async with client(gone, tmp_path) as api, failing(GapReason.UNAVAILABLE, words=r"connection refused by 127\.0\.0\.1:"):
        await api.get(PODS)


async def test_an_api_server_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that nobody accepts is given up soon."""
    monkeypatch.setattr(kubernetes, "CONNECT_TIMEOUT_SECONDS", 0.1)
    with server.deaf() as port, Loopback() as api:
        monkeypatch.setattr(Loopback, "url", f"http://127.0.0.1:{port}")
        async with (
            client(api, tmp_path) as connected,
            asyncio.timeout(LONGEST_TEST_SECONDS),
            failing(GapReason.TIMED_OUT, words="in time"),
        ):
            await connected.get(PODS)


async def test_the_words_of_a_refusal_come_in_pieces(loopback: Loopback, tmp_path: Path) -> None:
    """A proxy may pass them on piece by piece: all of them are read."""

    def answer(request: Request) -> None:
        request.head(400, Content_Length="22")
        for piece in (b'{"message": ', b'"no such"}'):
            request.wfile.write(piece)
            request.wfile.flush()
            request.pause(0.05)

    loopback.answers = [answer]
    async with client(loopback, tmp_path) as api, failing(GapReason.REJECTED, Rejected, "answered 400: no such"):
        await api.get(PODS)


async def test_an_answer_has_a_cap(loopback: Loopback, tmp_path: Path) -> None:
    """More than 3 MiB of one object are not read."""
    loopback.answers = [reply(200, b'{"a": "' + b"x" * 2**24 + b'"}')]
    async with client(loopback, tmp_path) as api, failing(GapReason.TOO_LARGE, Rejected, "larger than 3145728 bytes"):
        await api.get(PODS)


async def test_a_passing_fault_is_asked_again(loopback: Loopback, tmp_path: Path) -> None:
    """A status that may pass, and a connection that broke."""
    loopback.answers = [reply(503, b"starting"), server.hang_up, reply_json({"a": 1})]
    async with client(loopback, tmp_path) as api:
        assert await api.get(PODS) == {"a": 1}
    assert len(loopback.requests) == 3


async def test_the_api_server_sees_a_bounded_number_of_connections(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storm of Investigations waits for a connection, and each request gets one in the end."""
    monkeypatch.setattr(kubernetes, "MAX_CONNECTIONS", 2)
    asked: list[int] = []
    go_on = threading.Event()

    def answer(request: Request) -> None:
        asked.append(len(loopback.requests))
        go_on.wait(LONGEST_TEST_SECONDS)
        reply_json({})(request)

    loopback.answers = [answer]
    async with client(loopback, tmp_path) as api, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(api.get(PODS))
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            while len(asked) < 2:  # noqa: ASYNC110 (the server counts in its threads)
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(asked) == 2
        go_on.set()
    assert len(asked) == 5


async def test_connections_that_break_are_made_again(loopback: Loopback, tmp_path: Path) -> None:
    """Repeating a read does no harm."""
    loopback.answers = [server.hang_up, server.hang_up, server.hang_up, reply_json({"a": 1})]
    async with client(loopback, tmp_path) as api:
        assert await api.get(PODS) == {"a": 1}


async def test_a_change_whose_connection_broke_is_not_repeated(loopback: Loopback, tmp_path: Path) -> None:
    """It may have been done before the answer was lost."""
    loopback.answers = [server.hang_up]
    async with client(loopback, tmp_path) as api, failing(GapReason.UNAVAILABLE, words="the Kubernetes API"):
        await api.create(PODS, {})
    assert len(loopback.requests) == 1


async def test_the_server_says_how_long_to_wait(loopback: Loopback, tmp_path: Path) -> None:
    """Retry-After counts, not our own delays."""
    loopback.answers = [reply(429, b"busy", Retry_After="1"), reply_json({"a": 1})]
    begin = time.monotonic()
    async with client(loopback, tmp_path) as api:
        assert await api.get(PODS) == {"a": 1}
    assert time.monotonic() - begin >= 1


async def test_a_wait_that_is_too_long_is_not_begun(loopback: Loopback, tmp_path: Path) -> None:
    """If the server wants more time than is left, the request is given up at once."""
    loopback.answers = [reply(429, b"busy", Retry_After=str(kubernetes.PATIENCE_SECONDS + 1))]
    async with client(loopback, tmp_path) as api, failing(GapReason.UNAVAILABLE, words="answered 429: busy"):
        await api.get(PODS)
    assert len(loopback.requests) == 1


@pytest.mark.parametrize(("status", "asked"), [(429, 3), (503, 1), (500, 1)])
async def test_a_change_is_repeated_only_if_the_server_did_not_look(
    loopback: Loopback, tmp_path: Path, status: int, asked: int
) -> None:
    """429 means that it was not done. After another fault it may have been done."""
    loopback.answers = [reply(status, b"busy")]
    async with client(loopback, tmp_path) as api:
        with pytest.raises(Unavailable):
            await api.patch_status(f"{PODS}/web-0", {}, "uid")
    assert len(loopback.requests) == asked


@pytest.mark.parametrize("version", [None, "42"])
async def test_what_a_patch_of_a_status_says(loopback: Loopback, tmp_path: Path, version: str | None) -> None:
    """The patch has the status, uid and version, so the API server refuses it for another or a changed object."""
    bodies: list[bytes] = []

    def take(request: Request) -> None:
        bodies.append(request.rfile.read(int(request.headers["Content-Length"])))
        request.send(200, b"{}")

    loopback.answers = [take]
    async with client(loopback, tmp_path) as api:
        await api.patch_status(f"{PODS}/web-0", {"phase": "Running"}, "uid-1", version)
    metadata = {"uid": "uid-1"} | ({"resourceVersion": version} if version else {})
    assert [json.loads(body) for body in bodies] == [{"metadata": metadata, "status": {"phase": "Running"}}]
    assert loopback.requests == [f"{PODS}/web-0/status"]
    assert loopback.headers[0]["Content-Type"] == "application/merge-patch+json"


def item(number: int, size: int = 0, uid: str | None = None) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": f"pod-{number}", "uid": uid or f"uid-{number}"}
    return {"metadata": metadata, "filling": "x" * size}


def page(*items: dict[str, Any], token: str = "") -> Answer:
    return reply_json({"metadata": {"continue": token}, "items": list(items)})


EXPIRED = reply_json({"reason": "Expired", "message": "the continue token is too old"}, 410)


async def names_of(api: Loopback, directory: Path) -> list[str]:
    async with client(api, directory) as connected:
        return [str(pod["metadata"]["name"]) async for pod in connected.list(PODS)]


async def test_a_list_comes_in_pages(loopback: Loopback, tmp_path: Path) -> None:
    """Each page begins where the last one ended."""
    loopback.answers = [page(item(1), token="t1"), page(item(2), token="t2"), page(item(3))]
    assert await names_of(loopback, tmp_path) == ["pod-1", "pod-2", "pod-3"]
    assert loopback.queries() == [
        {"limit": "250"},
        {"limit": "250", "continue": "t1"},
        {"limit": "250", "continue": "t2"},
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply_json({}), id="an empty object"),
        pytest.param(reply_json({"kind": "Status", "status": "Success"}), id="a status"),
        pytest.param(reply_json({"metadata": {}, "items": {"a": 1}}), id="items that are no list"),
        pytest.param(page(item(1), token="t1"), id="the same page again and again"),
    ],
)
async def test_an_answer_that_is_no_list_is_not_an_empty_list(loopback: Loopback, tmp_path: Path, answer: Answer) -> None:
    """A proxy may answer 200 with anything: the objects are not known, so they are not absent, and the list ends."""
    loopback.answers = [answer]
    async with failing(GapReason.INVALID_RESPONSE, words="is not a list, or does not go on"):
        await names_of(loopback, tmp_path)
    assert len(loopback.requests) <= 2


async def test_a_list_without_objects_may_be_null(loopback: Loopback, tmp_path: Path) -> None:
    """Some aggregated APIs write it so."""
    loopback.answers = [reply_json({"metadata": {}, "items": None})]
    assert not await names_of(loopback, tmp_path)


async def test_an_expired_token_begins_the_list_anew(loopback: Loopback, tmp_path: Path) -> None:
    """No object of the first page is lost or doubled, and objects that were added or recreated meanwhile are listed."""
    again = page(item(0), item(1), item(2, uid="made anew"), token="t2")
    loopback.answers = [page(item(1), item(2), token="t1"), EXPIRED, again, page(item(3))]
    assert await names_of(loopback, tmp_path) == ["pod-1", "pod-2", "pod-0", "pod-2", "pod-3"]
    assert [query.get("continue") for query in loopback.queries()] == [None, "t1", None, "t2"]


async def test_a_list_that_expires_again_and_again_is_given_up(loopback: Loopback, tmp_path: Path) -> None:
    """The list is begun a few times at most."""

    def answer(request: Request) -> None:
        (EXPIRED if "continue" in request.path else page(item(1), token="t1"))(request)

    loopback.answers = [answer]
    async with failing(GapReason.UNAVAILABLE, words="answered 410"):
        await names_of(loopback, tmp_path)
    assert len(loopback.requests) == 2 * (kubernetes_pages.MAX_RESTARTS + 1)


def store(items: list[dict[str, Any]]) -> Callable[[Request], None]:
    """Answers lists as the API server does: `limit` items from the `continue` token on."""

    def answer(request: Request) -> None:
        query = request.server.loopback.queries()[-1]
        begin = int(query.get("continue", "0"))
        end = begin + int(query["limit"])
        page(*items[begin:end], token=str(end) if end < len(items) else "")(request)

    return answer


async def test_a_page_that_is_too_large_is_halved(loopback: Loopback, tmp_path: Path) -> None:
    """250 objects of 0.8 MB are 200 MB: each is read once, and no answer is ever larger than the cap."""
    items = [item(number, 800_000) for number in range(40)]
    loopback.answers = [store(items)]
    assert await names_of(loopback, tmp_path) == [f"pod-{number}" for number in range(40)]
    limits = [int(query["limit"]) for query in loopback.queries()]
    assert limits[0] == 250
    assert limits[-1] * 800_000 < kubernetes_bodies.MAX_BODY_BYTES


async def test_an_object_that_is_too_large_is_said(loopback: Loopback, tmp_path: Path) -> None:
    """It exceeds the cap of a body even alone. An object just below the cap is read alone."""
    most = kubernetes_bodies.MAX_BODY_BYTES
    loopback.answers = [store([item(1), item(2, most - 1000), item(3)])]
    assert await names_of(loopback, tmp_path) == ["pod-1", "pod-2", "pod-3"]
    loopback.answers = [store([item(1, most)])]
    async with failing(GapReason.TOO_LARGE, Rejected, "larger than 3145728 bytes"):
        await names_of(loopback, tmp_path)


def drip(request: Request) -> None:
    """A log that goes on until the test is over."""
    request.head(200)
    request.wfile.write(b"2026-11-22T11:30:00.0Z a line\n")
    request.pause()


async def test_logs_of_one_namespace_leave_connections_for_the_rest(loopback: Loopback, tmp_path: Path) -> None:
    """Logs that never end must not occupy the connections that status and other tenants need."""

    def answer(request: Request) -> None:
        (drip if request.path.endswith("/log") else reply_json({"items": []}))(request)

    loopback.answers = [answer]
    reading = asyncio.Semaphore(0)

    async with client(loopback, tmp_path) as api, asyncio.timeout(20), asyncio.TaskGroup() as group:

        async def read(namespace: str, user: Kubernetes) -> None:
            async with user.stream(f"/api/v1/namespaces/{namespace}/pods/web-0/log") as response:
                await response.content.readany()
                reading.release()
                await response.content.readany()

        readers = [
            group.create_task(read("shop", api.as_service_account("shop", f"reader-{number}")))
            for number in range(kubernetes.MAX_CONNECTIONS + 20)
        ]
        for _ in range(kubernetes.MAX_LOG_STREAMS_OF_ONE):
            await reading.acquire()
        assert await api.get("/api/v1/namespaces/shop/pods") == {"items": []}
        readers.append(group.create_task(read("bank", api)))
        await reading.acquire()
        assert len(loopback.requests) == kubernetes.MAX_LOG_STREAMS_OF_ONE + 2
        for reader in readers:
            reader.cancel()
