"""Which sources may be asked, and with which identity: service accounts and DataSources."""

import asyncio
import base64
from typing import Any

import pytest

from aletheia_operator.api import DataSourceSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.identity import Identity
from aletheia_operator.investigate import KubernetesDataSources
from tests.unit.fakes import FakeKubernetes

SOURCES = "/apis/aletheia.dev/v1alpha1/datasources"
ACCOUNT = "/api/v1/namespaces/shop/serviceaccounts/reader"


async def test_without_a_service_account_the_operator_reads() -> None:
    """It reads as itself, without looking up an account."""
    kubernetes = FakeKubernetes()
    identity = Identity(kubernetes.real(), "shop", None, 0.0)
    assert await identity.kubernetes() is kubernetes.real()
    assert kubernetes.asked == []


async def test_a_service_account_is_checked_once_and_impersonated() -> None:
    """Concurrent questions share one check. The account is always one of the Investigation's namespace."""
    kubernetes = FakeKubernetes({ACCOUNT: {}})
    identity = Identity(kubernetes.real(), "shop", "reader", 0.0)
    users = {(await task).user for task in [asyncio.create_task(identity.kubernetes()) for _ in range(5)]}
    assert users == {"system:serviceaccount:shop:reader"}
    assert kubernetes.asked == [(ACCOUNT, {})]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Rejected("404", GapReason.NOT_FOUND), GapReason.SERVICE_ACCOUNT_MISSING),
        (Rejected("403", GapReason.FORBIDDEN), GapReason.FORBIDDEN),
    ],
    ids=["it does not exist", "the operator may not look"],
)
async def test_a_service_account_that_cannot_be_used_is_refused(error: Rejected, reason: GapReason) -> None:
    """The operator's own rights are never used instead."""
    identity = Identity(FakeKubernetes({ACCOUNT: error}).real(), "shop", "reader", 0.0)
    with pytest.raises(Rejected) as caught:
        await identity.kubernetes()
    assert caught.value.reason == reason


async def test_a_check_that_did_not_succeed_is_made_again() -> None:
    """An API server that is down for a moment does not spoil the whole capture."""
    kubernetes = FakeKubernetes({ACCOUNT: Unavailable("away")})
    identity = Identity(kubernetes.real(), "shop", "reader", 0.0)
    with pytest.raises(Unavailable):
        await identity.kubernetes()
    kubernetes.objects = {ACCOUNT: {}}
    assert (await identity.kubernetes()).user == "system:serviceaccount:shop:reader"


def source(name: str, kind: str = "prometheus", **spec: Any) -> dict[str, Any]:
    """A DataSource that is open to all, unless `spec` differs. `allowedNamespaces`: None leaves the field out."""
    spec = {"allowedNamespaces": ["*"], **spec}
    if spec["allowedNamespaces"] is None:
        del spec["allowedNamespaces"]
    return {"metadata": {"name": name}, "spec": {"type": kind, "endpoint": f"http://{name}:9090", **spec}}


def endpoint(name: str, timeout_seconds: int = 30, max_response_bytes: int = 32 * 2**20) -> Endpoint:
    return Endpoint(name, f"http://{name}:9090", timeout_seconds, max_response_bytes)


async def find(sources: list[dict[str, Any]], name: str | None) -> Endpoint:
    kubernetes = FakeKubernetes({f"{SOURCES}/{source['metadata']['name']}": source for source in sources}, {SOURCES: sources})
    return await KubernetesDataSources(kubernetes.real(), "shop").find("prometheus", name)


@pytest.mark.parametrize(
    ("sources", "name", "found"),
    [
        pytest.param([source("a"), source("b")], "b", endpoint("b"), id="by its name"),
        pytest.param([source("a"), source("b", default=True)], None, endpoint("b"), id="the default"),
        pytest.param(
            [source("b", default=True), source("a", default=True)], None, endpoint("a"), id="of two defaults the first"
        ),
        pytest.param([source("a", "jaeger", default=True), source("b", default=True)], None, endpoint("b"), id="of its type"),
        pytest.param([source("a", allowedNamespaces=["bank", "shop"])], "a", endpoint("a"), id="open to the namespace"),
        pytest.param(
            [source("a", default=True, allowedNamespaces=["bank"]), source("b", default=True)],
            None,
            endpoint("b"),
            id="the default that is open to the namespace",
        ),
        pytest.param([source("a", timeout="1m", maxResponseBytes=2048)], "a", endpoint("a", 60, 2048), id="with its limits"),
    ],
)
async def test_a_data_source_is_found(sources: list[dict[str, Any]], name: str | None, found: Endpoint) -> None:
    """It is found by name, or is the default of its type that may be used."""
    assert await find(sources, name) == found


@pytest.mark.parametrize(
    ("sources", "name", "reason", "words"),
    [
        pytest.param([], "a", GapReason.NO_DATA_SOURCE, "DataSource a does not exist", id="no such name"),
        pytest.param(
            [source("a")], None, GapReason.NO_DATA_SOURCE, "no DataSource of type prometheus is the default", id="no default"
        ),
        pytest.param(
            [source("a", "jaeger")], "a", GapReason.NO_DATA_SOURCE, "a is a jaeger, not a prometheus", id="another type"
        ),
        pytest.param(
            [source("a", allowedNamespaces=["bank"])],
            "a",
            GapReason.NOT_ALLOWED,
            "a does not allow namespace shop",
            id="closed",
        ),
        pytest.param(
            [source("a", default=True, allowedNamespaces=["bank"])],
            None,
            GapReason.NOT_ALLOWED,
            "does not allow namespace shop",
            id="a closed default",
        ),
        pytest.param(
            [source("a", allowedNamespaces=None)],
            "a",
            GapReason.NOT_ALLOWED,
            "or to confine the DataSource (namespaceLabel of its type, tenant.fromNamespace",
            id="one that would show all namespaces",
        ),
        pytest.param(
            [source("a", allowedNamespaces=None, tenant={"value": "everybody"})],
            "a",
            GapReason.NOT_ALLOWED,
            "so none may use it",
            id="one tenant for all namespaces",
        ),
        pytest.param(
            [source("b", default=True), source("a", default=True, endpoint="file:///etc")],
            None,
            GapReason.NO_DATA_SOURCE,
            "a is invalid: ",
            id="an invalid default before another one",
        ),
        pytest.param(
            [source("a", endpoint="http://user:canary-9@a")],
            "a",
            GapReason.NO_DATA_SOURCE,
            "a is invalid: ",
            id="an invalid one",
        ),
    ],
)
async def test_a_data_source_that_may_not_be_used_is_refused(
    sources: list[dict[str, Any]], name: str | None, reason: GapReason, words: str
) -> None:
    """The message says what to ask an admin for, and repeats no value of the spec."""
    with pytest.raises(Rejected) as caught:
        await find(sources, name)
    assert caught.value.reason == reason
    assert words in caught.value.message
    assert "canary" not in caught.value.message


SECRETS = "/api/v1/namespaces/observability/secrets"
BEARER: dict[str, Any] = {"auth": {"bearer": {"name": "login", "key": "token"}}}


def secret(**values: str) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}


async def find_with_secrets(kubernetes: FakeKubernetes, name: str | None = None) -> Endpoint:
    return await KubernetesDataSources(kubernetes.real(), "shop", "observability").find("prometheus", name)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(BEARER, "Secret login of namespace observability does not exist", id="without its Secret"),
        pytest.param({"timeout": "never"}, "DataSource a is invalid", id="invalid"),
    ],
)
async def test_a_default_that_cannot_be_used_is_an_error(spec: dict[str, Any], words: str) -> None:
    """No other server is asked silently instead."""
    sources = [source("a", default=True, **spec), source("b", default=True)]
    with pytest.raises(Rejected, match=words) as caught:
        await find_with_secrets(FakeKubernetes({}, {SOURCES: sources}))
    assert caught.value.reason is GapReason.NO_DATA_SOURCE


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (secret(other="canary"), "Secret login has no key token"),
        ({"data": {"token": "/w=="}}, "key token of Secret login is not text"),
        (
            secret(token="canary\nX-Other: canary"),
            "key token of Secret login cannot be a header: one line of ASCII is expected",
        ),
        (secret(token="canary-ü"), "key token of Secret login cannot be a header"),
        (secret(token=""), "key token of Secret login cannot be a header"),
        (secret(token=" "), "key token of Secret login cannot be a header"),
    ],
    ids=["of another key", "bytes", "two headers", "beyond ASCII", "empty", "blank"],
)
async def test_a_secret_that_cannot_be_sent(found: dict[str, Any], words: str) -> None:
    """The message names the key to fix, and repeats nothing of the Secret."""
    kubernetes = FakeKubernetes({f"{SECRETS}/login": found}, {SOURCES: [source("a", default=True, **BEARER)]})
    with pytest.raises(Rejected, match=words) as caught:
        await find_with_secrets(kubernetes)
    assert caught.value.reason is GapReason.NO_DATA_SOURCE
    assert "canary" not in caught.value.message


async def test_credentials_are_read_again_within_a_question() -> None:
    """The asking thread reads the current Secret. If this fails, the former credentials stay."""
    kubernetes = FakeKubernetes(
        {f"{SECRETS}/login": secret(token="canary-old")}, {SOURCES: [source("a", default=True, **BEARER)]}
    )
    endpoint = await find_with_secrets(kubernetes)
    assert endpoint.current.headers == (("Authorization", "Bearer canary-old"),)
    kubernetes.objects = {f"{SECRETS}/login": secret(token="canary-new")}
    assert await asyncio.to_thread(endpoint.renewed_headers) == (("Authorization", "Bearer canary-new"),)
    assert endpoint.current.headers == (("Authorization", "Bearer canary-new"),)
    kubernetes.objects = {}
    assert await asyncio.to_thread(endpoint.renewed_headers) is None
    assert endpoint.current.headers == (("Authorization", "Bearer canary-new"),)


@pytest.mark.parametrize(
    ("login", "quoted"),
    [
        ({"username": "admin", "password": "canary-password"}, True),
        ({"username": "canary-user", "password": "canary-password"}, True),
        ({"username": "", "password": "canary-password"}, True),
        ({"username": "admin", "password": "c4n4ry"}, False),
    ],
)
async def test_what_a_message_may_repeat_of_a_login(login: dict[str, str], quoted: bool) -> None:
    """A short name is no secret. Every password is, in plain text and in the form of the request."""
    kubernetes = FakeKubernetes(
        {f"{SECRETS}/login": secret(**login)}, {SOURCES: [source("a", default=True, auth={"basic": {"name": "login"}})]}
    )
    endpoint = await find_with_secrets(kubernetes)
    ((_, sent),) = endpoint.credentials.headers
    text = f"user admin or {login['username']} with {login['password']} sent {sent}"
    message = endpoint.failed(401, text).message
    assert ("user admin" in message) == quoted
    for word in ("canary", "c4n4ry", sent, sent.removeprefix("Basic ")):
        assert word not in message


async def test_a_certificate_is_no_secret() -> None:
    """Messages may quote it, but not the key."""
    pems = {"ca.crt": "CA-IN-PUBLIC", "tls.crt": "CERTIFICATE-IN-PUBLIC", "tls.key": "canary-key"}
    tls = {"caSecretRef": {"name": "pki", "key": "ca.crt"}, "clientSecretRef": {"name": "pki"}}
    tls_source = source("a", default=True, tls=tls)
    tls_source["spec"]["endpoint"] = "https://a:9090"
    endpoint = await find_with_secrets(FakeKubernetes({f"{SECRETS}/pki": secret(**pems)}, {SOURCES: [tls_source]}))
    assert endpoint.credentials.secrets == ("canary-key",)
    assert endpoint.credentials.ca_pem == "CA-IN-PUBLIC"
    assert endpoint.credentials.client_pem == "CERTIFICATE-IN-PUBLIC\ncanary-key\n"


LABEL = {"namespaceLabel": "namespace"}


@pytest.mark.parametrize(
    ("spec", "is_open"),
    [
        pytest.param({"type": "prometheus"}, False, id="a Prometheus"),
        pytest.param({"type": "loki"}, False, id="a Loki"),
        pytest.param({"type": "jaeger"}, False, id="a Jaeger"),
        pytest.param({"type": "prometheus", "prometheus": {}}, False, id="empty options"),
        pytest.param({"type": "prometheus", "prometheus": LABEL}, True, id="a label"),
        pytest.param({"type": "loki", "loki": LABEL}, True, id="a label of Loki"),
        pytest.param({"type": "prometheus", **LABEL}, True, id="a label in the old form"),
        pytest.param({"type": "jaeger", "jaeger": {"api": "v3"}}, False, id="another option"),
        pytest.param({"type": "jaeger", "tenant": {"header": "x-tenant", "fromNamespace": True}}, True, id="its own tenant"),
        pytest.param({"type": "loki", "tenant": {"template": "team-{namespace}"}}, True, id="its own tenant by a template"),
        pytest.param({"type": "loki", "tenant": {"value": "a"}}, False, id="one tenant for all"),
        pytest.param({"type": "loki", "tenant": {"value": "a", "fromNamespace": False}}, False, id="no tenant of its own"),
        pytest.param({"type": "loki", "allowedNamespaces": ["*"]}, True, id="open on purpose"),
        pytest.param({"type": "loki", "allowedNamespaces": ["bank", "*"]}, True, id="open on purpose, and named"),
        pytest.param({"type": "loki", "allowedNamespaces": ["shop"]}, True, id="named"),
        pytest.param({"type": "loki", "loki": LABEL, "allowedNamespaces": ["bank"]}, False, id="confined, for another"),
        pytest.param(
            {"type": "s3", "auth": {"accessKey": {"name": "a"}}, "s3": {"bucket": "abc"}},
            True,
            id="a bucket",
        ),
    ],
)
def test_who_may_use_a_data_source(spec: dict[str, Any], is_open: bool) -> None:
    """All namespaces may, if each can read only its own data. Otherwise those named by an admin may."""
    parsed = DataSourceSpec.from_json({"endpoint": "http://a:9090", **spec})
    assert parsed.is_open_to("shop") is is_open
