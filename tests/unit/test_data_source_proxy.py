"""DataSources behind an HTTP proxy, with a real proxy on the loopback interface."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aletheia_operator.api import DataSourceSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Credentials, Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.http import Http, Response
from aletheia_operator.datasources.finder import KubernetesDataSources, endpoint_of
from aletheia_operator.datasources.proxies import proxy_of
from aletheia_operator.datasources.secrets import Secrets
from aletheia_operator.settings import Proxy
from tests.unit.certificates import new_authority
from tests.unit.fakes import LONGEST_TEST_SECONDS, FakeKubernetes
from tests.unit.forward_proxy import forward_proxy
from tests.unit.loopback import Loopback, reply_json

HOST = "prometheus.proxied.invalid"
LOGIN = ("operator", "canary/p@ss:word")


async def fetch(endpoint: Endpoint) -> Response:
    return await Http().fetch_json(endpoint, "/api", (("a", "b"),))


def port_of(server: Loopback) -> int:
    return urlsplit(server.url).port or 0


def behind(server: Loopback, proxy: str, **fields: object) -> Endpoint:
    """The server's endpoint under a name that only the proxy resolves."""
    url = server.url.replace("127.0.0.1", HOST)
    return replace(server.endpoint(), url=url, proxy=proxy, **fields)  # type: ignore[arg-type]


async def test_a_plain_endpoint_is_asked_through_the_proxy() -> None:
    """The proxy resolves the name; its login is sent to the proxy alone, the DataSource's to the server."""
    with Loopback() as server, forward_proxy(port_of(server), login=LOGIN) as proxy:
        server.answers = [reply_json({"a": 1})]
        credentials = Credentials((("Authorization", "Bearer x"),), proxy=LOGIN)
        assert await fetch(behind(server, proxy.url, credentials=credentials)) == Response(200, {"a": 1})
        assert proxy.asked == [f"GET http://{HOST}:{port_of(server)}/api?a=b"]
        assert server.requests == ["/api?a=b"]
        assert server.headers[0]["Authorization"] == "Bearer x"
        assert server.headers[0]["Host"] == f"{HOST}:{port_of(server)}"
        assert "Proxy-Authorization" not in server.headers[0]


async def test_an_https_endpoint_is_tunnelled(tmp_path: Path) -> None:
    """The proxy sees the host name alone; the certificate is that of the endpoint, and is verified."""
    authority = new_authority()
    with Loopback(authority.server(tmp_path, HOST)) as server, forward_proxy(port_of(server), login=LOGIN) as proxy:
        server.answers = [reply_json({})]
        credentials = Credentials(ca_pem=authority.pem, proxy=LOGIN)
        assert await fetch(behind(server, proxy.url, credentials=credentials)) == Response(200, {})
        assert proxy.asked == [f"CONNECT {HOST}:{port_of(server)}"]
        assert "Proxy-Authorization" not in server.headers[0]
        another = Credentials(ca_pem=new_authority().pem, proxy=LOGIN)
        with pytest.raises(Unavailable, match="its certificate is signed by a CA that is not known here"):
            await fetch(behind(server, proxy.url, credentials=another))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("login", [None, ("operator", "canary-wrong-word")], ids=["none", "a wrong one"])
async def test_a_proxy_that_wants_a_login(scheme: str, login: tuple[str, str] | None) -> None:
    """The message has the proxy's status, and neither its text nor a password."""
    with Loopback() as server, forward_proxy(port_of(server), login=LOGIN) as proxy:
        secrets = ("canary-wrong-word",)
        endpoint = behind(server, proxy.url, credentials=Credentials(proxy=login, secrets=secrets), timeout_seconds=2)
        with pytest.raises(SourceError) as caught:
            await fetch(replace(endpoint, url=endpoint.url.replace("http:", f"{scheme}:")))
        assert "407" in caught.value.message
        assert "DataSource main" in caught.value.message
        assert "canary-wrong" not in repr(caught.value) + caught.value.message + repr(endpoint)
        assert server.requests == []


async def test_a_proxy_that_cannot_be_reached() -> None:
    """The message says to check the proxy."""
    endpoint = Endpoint("main", f"https://{HOST}", 2, 1024, proxy="http://127.0.0.1:9")
    with pytest.raises(Unavailable, match=r"connection refused.*: check the DataSource's proxy, endpoint and port"):
        await fetch(endpoint)


async def test_a_proxy_at_a_refused_address() -> None:
    """A metadata service is not spoken to as a proxy either."""
    with pytest.raises(Rejected, match="link-local or a cloud's metadata service"):
        await fetch(Endpoint("main", f"https://{HOST}", 2, 1024, proxy="http://169.254.169.254:80"))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_silent_proxy_does_not_outlast_the_timeout(scheme: str) -> None:
    """The deadline closes the connection to the proxy, also during CONNECT."""
    with Loopback() as server, forward_proxy(port_of(server), silent=True) as proxy:
        endpoint = behind(server, proxy.url, timeout_seconds=1)
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await fetch(replace(endpoint, url=endpoint.url.replace("http:", f"{scheme}:")))
        assert caught.value.reason is GapReason.TIMED_OUT
        assert time.monotonic() - began < LONGEST_TEST_SECONDS


async def test_a_cancelled_question_closes_the_connection_to_the_proxy() -> None:
    """Its thread ends at once, long before the timeout."""
    with Loopback() as server, forward_proxy(port_of(server), silent=True) as proxy:
        asking = asyncio.create_task(fetch(replace(behind(server, proxy.url), timeout_seconds=600)))
        assert await asyncio.to_thread(proxy.begun.wait, LONGEST_TEST_SECONDS)
        asking.cancel()
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            with pytest.raises(asyncio.CancelledError):
                await asking


DEFAULT = Proxy("http://proxy:3128", (".svc", "cluster.local", "10.0.0.0/8", "fd00::/8", "127.0.0.1", "loki.example.com"))


@pytest.mark.parametrize(
    ("endpoint", "direct"),
    [
        ("http://prometheus.monitoring.svc:9090", True),
        ("http://PROMETHEUS.monitoring.SVC./x", True),
        ("http://prometheus.monitoring.svc.cluster.local", True),
        ("https://loki.example.com:3100", True),
        ("https://a.loki.example.com", True),
        ("https://notloki.example.com", False),
        ("https://svc.example.com", False),
        ("http://10.1.2.3:9090", True),
        ("http://11.1.2.3:9090", False),
        ("http://[fd00::1]:9090", True),
        ("http://[fe00::1]:9090", False),
        ("http://127.0.0.1:1", True),
        ("http://10.example.com", False),
    ],
)
def test_what_is_connected_to_directly(endpoint: str, direct: bool) -> None:
    """Hosts, names below a domain, addresses and ranges; a DataSource's own proxy is used in any case."""
    assert proxy_of(endpoint, None, DEFAULT) == (None if direct else "http://proxy:3128")
    assert proxy_of(endpoint, "http://own:1", DEFAULT) == "http://own:1"
    assert proxy_of(endpoint, None, Proxy(no_proxy=DEFAULT.no_proxy)) is None


def source(**fields: object) -> dict[str, object]:
    return {"type": "prometheus", "endpoint": "https://prometheus.example.com", "allowedNamespaces": ["*"], **fields}


async def test_the_login_is_read_from_a_secret() -> None:
    """User and password are secret values: no message may have them."""
    data = {"username": "b3BlcmF0b3I=", "password": "Y2FuYXJ5LXdvcmQ="}
    kubernetes = FakeKubernetes({"/api/v1/namespaces/here/secrets/login": {"data": data}}).real()
    spec = DataSourceSpec.from_json(source(proxy={"url": "http://proxy:3128", "basic": {"name": "login"}}))
    endpoint = await endpoint_of("main", spec, Secrets(kubernetes, "here", "main"), "")
    assert endpoint.proxies == dict.fromkeys(("http", "https"), "http://operator:canary-word@proxy:3128")
    assert "canary-word" in endpoint.credentials.secrets
    assert "canary-word" not in repr(endpoint)


async def test_a_data_source_without_a_proxy_uses_the_operators() -> None:
    """Unless it names its own, or the operator exempts it."""
    path = "/apis/aletheia.dev/v1alpha1/datasources"
    own = {"url": "http://own:1"}
    kubernetes = FakeKubernetes(
        {
            f"{path}/main": {"metadata": {"name": "main"}, "spec": source()},
            f"{path}/own": {"metadata": {"name": "own"}, "spec": source(proxy=own)},
            f"{path}/near": {"metadata": {"name": "near"}, "spec": source(endpoint="http://prometheus.monitoring.svc")},
        }
    ).real()
    sources = KubernetesDataSources(kubernetes, "shop", proxy=DEFAULT)
    found = {name: (await sources.find("prometheus", name)).proxies for name in ("main", "own", "near")}
    assert {name: proxies.get("https") for name, proxies in found.items()} == {
        "main": "http://proxy:3128",
        "own": "http://own:1",
        "near": None,
    }
