"""Credentials of a DataSource from its Secrets: each kind of login, read once, and never shown."""

import asyncio
import base64
from typing import Any

import pytest

from aletheia_operator.api import DataSourceSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.datasources import finder
from aletheia_operator.datasources.finder import KubernetesDataSources, endpoint_of
from aletheia_operator.datasources.secrets import Secrets, credentials_of
from tests.unit.fakes import LONGEST_TEST_SECONDS, FakeKubernetes

LOGIN = "/api/v1/namespaces/here/secrets/login"
KEY = {"AWS_ACCESS_KEY_ID": "the-key-id", "AWS_SECRET_ACCESS_KEY": "the-secret-key"}


def a_secret(**values: str | bytes) -> dict[str, Any]:
    contents = {name: value if isinstance(value, bytes) else value.encode() for name, value in values.items()}
    return {"data": {name: base64.b64encode(value).decode() for name, value in contents.items()}}


def a_spec(**fields: Any) -> DataSourceSpec:
    return DataSourceSpec.from_json({"type": "prometheus", "endpoint": "http://main:9090", **fields})


def s3_spec() -> DataSourceSpec:
    return a_spec(type="s3", auth={"accessKey": {"name": "login"}}, s3={"bucket": "incidents"})


def secrets_of(namespace: str | None = "here", **objects: Any) -> tuple[Secrets, FakeKubernetes]:
    kubernetes = FakeKubernetes({f"/api/v1/namespaces/here/secrets/{name}": found for name, found in objects.items()})
    return Secrets(kubernetes.real(), namespace, "main"), kubernetes


@pytest.mark.parametrize(
    ("auth", "secret", "header", "secrets"),
    [
        pytest.param(
            {"basic": {"name": "login"}},
            {"username": "admin", "password": "correct horse"},
            ("Authorization", "Basic " + base64.b64encode(b"admin:correct horse").decode()),
            {"correct horse", base64.b64encode(b"admin:correct horse").decode()},
            id="a name and a password",
        ),
        pytest.param(
            {"bearer": {"name": "login", "key": "token"}},
            {"token": " the-long-token\n"},
            ("Authorization", "Bearer the-long-token"),
            {"the-long-token", "Bearer the-long-token"},
            id="a token",
        ),
        pytest.param(
            {"header": {"name": "X-Api-Key", "secretRef": {"name": "login", "key": "key"}}},
            {"key": "the-long-key"},
            ("X-Api-Key", "the-long-key"),
            {"the-long-key"},
            id="a header",
        ),
    ],
)
async def test_each_kind_of_login(auth: Any, secret: dict[str, str], header: tuple[str, str], secrets: set[str]) -> None:
    """It becomes a header. Its secret values are known as in the Secret and as in the request."""
    found = await credentials_of(
        a_spec(auth=auth, tenant={"header": "X-Scope-OrgID", "value": "team"}), secrets_of(login=a_secret(**secret))[0], "shop"
    )
    assert found.headers == (header, ("X-Scope-OrgID", "team"))
    assert secrets <= set(found.secrets)
    assert (found.ca_pem, found.client_pem, found.access_key) == (None, None, None)
    assert not any(value in repr(found) for value in secrets)


@pytest.mark.parametrize(("more", "token"), [({}, None), ({"AWS_SESSION_TOKEN": "the-session-token"}, "the-session-token")])
async def test_an_access_key(more: dict[str, str], token: str | None) -> None:
    """A temporary access key also has a session token."""
    found = await credentials_of(s3_spec(), secrets_of(login=a_secret(**KEY, **more))[0], "shop")
    assert found.access_key == ("the-key-id", "the-secret-key", token)
    assert set(found.secrets) == {"the-key-id", "the-secret-key", *([token] if token else [])}
    assert found.headers == ()


async def test_certificates_are_not_secret_but_their_key_is() -> None:
    """The client's certificate comes with its key, each on its own lines."""
    tls = {"caSecretRef": {"name": "login", "key": "ca.crt"}, "clientSecretRef": {"name": "login"}}
    secret = a_secret(**{"ca.crt": "CA\n", "tls.crt": "CERTIFICATE\n", "tls.key": "PRIVATE-KEY\n"})
    kubernetes = secrets_of(login=secret)
    found = await credentials_of(a_spec(endpoint="https://main:9090", tls=tls), kubernetes[0], "shop")
    assert (found.ca_pem, found.client_pem) == ("CA", "CERTIFICATE\nPRIVATE-KEY\n")
    assert found.secrets == ("PRIVATE-KEY",)
    assert len(kubernetes[1].asked) == 1, "a Secret is read once"


async def test_a_secret_is_read_again_anew() -> None:
    """Each question reads it once. A copy has none of the values read before."""
    secrets, kubernetes = secrets_of(login=a_secret(a="one"))
    assert [await secrets.value("login", "a"), await secrets.has("login", "a"), await secrets.has("login", "b")] == [
        "one",
        True,
        False,
    ]
    kubernetes.objects = {LOGIN: a_secret(a="two")}
    assert await secrets.value("login", "a") == "one"
    again = secrets.unread()
    assert (again.values, await again.value("login", "a"), again.values) == (again.values, "two", {"two"})
    assert len(kubernetes.asked) == 2


@pytest.mark.parametrize(
    ("namespace", "found", "words"),
    [
        (None, a_secret(a="x"), "main: the operator was started without --operator-namespace, where Secrets are"),
        ("here", Rejected("x", GapReason.NOT_FOUND), "main: Secret login of namespace here does not exist"),
        ("here", Rejected("x", GapReason.FORBIDDEN), "login of namespace here may not be read: add it to dataSourceSecrets"),
        ("here", {}, "main: Secret login has no key a"),
        ("here", a_secret(b="x"), "main: Secret login has no key a"),
        ("here", {"data": {"a": 5}}, "main: Secret login has no key a"),
        ("here", {"data": {"a": "no base64!"}}, "main: key a of Secret login is not text"),
        ("here", a_secret(a=b"\xff"), "main: key a of Secret login is not text"),
    ],
)
async def test_a_secret_that_cannot_be_read(namespace: str | None, found: Any, words: str) -> None:
    """The message says what to correct, to somebody with the right to do it."""
    with pytest.raises(Rejected, match=words) as caught:
        await secrets_of(namespace, login=found)[0].value("login", "a")
    assert (caught.value.reason, caught.value.__cause__) == (GapReason.NO_DATA_SOURCE, None)


async def test_an_api_server_that_is_away_is_no_fault_of_the_secret() -> None:
    """It is asked again later."""
    with pytest.raises(Unavailable, match="down"):
        await secrets_of(login=Unavailable("down"))[0].value("login", "a")


@pytest.mark.parametrize(
    ("value", "fits"),
    [("x", True), ("a b", True), ("~!", True), ("", False), ("a\nb", False), ("ü", False), ("a\tb", False), ("a\x7f", False)],
)
async def test_what_can_be_a_header(value: str, fits: bool) -> None:
    """It must be one line of ASCII. The message does not repeat the value."""
    auth = {"bearer": {"name": "login", "key": "token"}}
    spec, secrets = a_spec(auth=auth), secrets_of(login=a_secret(token=value))[0]
    if fits:
        assert (await credentials_of(spec, secrets, "shop")).headers == (("Authorization", f"Bearer {value}"),)
        return
    with pytest.raises(Rejected, match="key token of Secret login cannot be a header: one line of ASCII") as caught:
        await credentials_of(spec, secrets, "shop")
    assert not value or value not in caught.value.message


async def test_the_endpoint_has_what_the_data_source_says() -> None:
    """It has the DataSource's limits. A timeout of more than an hour is cut."""
    spec = a_spec(timeout="2h", maxResponseBytes=2048, maxSeries=7)
    found = await endpoint_of("main", spec, secrets_of()[0], "")
    assert (found.name, found.url, found.timeout_seconds, found.max_series) == ("main", "http://main:9090", 3600, 7)
    assert (found.max_response_bytes, found.renew, found.options) == (2048, None, spec.options)
    shorter = await endpoint_of("main", a_spec(timeout="5s"), secrets_of()[0], "")
    assert shorter.timeout_seconds == 5


async def test_an_endpoint_is_of_the_investigations_namespace() -> None:
    """The namespace determines the share of threads for its questions."""
    spec = {"type": "prometheus", "endpoint": "http://main:9090", "allowedNamespaces": ["shop"]}
    source = {"metadata": {"name": "main"}, "spec": spec}
    kubernetes = FakeKubernetes({"/apis/aletheia.dev/v1alpha1/datasources/main": source})
    assert (await KubernetesDataSources(kubernetes.real(), "shop", "here").find("prometheus", "main")).namespace == "shop"


async def test_credentials_that_change_are_read_from_another_thread() -> None:
    """The current values are read within a bounded time. Errors are SourceErrors."""
    spec, (secrets, kubernetes) = s3_spec(), secrets_of(login=a_secret(**KEY))
    renew = (await endpoint_of("main", spec, secrets, "")).renew
    assert renew is not None
    kubernetes.objects = {LOGIN: a_secret(**KEY | {"AWS_ACCESS_KEY_ID": "the-new-key-id"})}
    assert (await asyncio.to_thread(renew)).access_key == ("the-new-key-id", "the-secret-key", None)
    kubernetes.objects = {}
    with pytest.raises(SourceError, match="does not exist"):
        await asyncio.to_thread(renew)


async def test_credentials_that_cannot_be_read_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The read is cancelled after RENEWAL_SECONDS, and raises Unavailable."""
    monkeypatch.setattr(finder, "RENEWAL_SECONDS", 0.05)
    hanging, ended = asyncio.Event(), asyncio.Event()

    class Hanging(FakeKubernetes):
        async def get(self, path: str, *more: Any, **named: Any) -> Any:
            if hanging.is_set():
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set()
            return await FakeKubernetes.get(self, path)

    secrets = Secrets(Hanging({LOGIN: a_secret(**KEY)}).real(), "here", "main")
    renew = (await endpoint_of("main", s3_spec(), secrets, "")).renew
    assert renew is not None
    hanging.set()
    with pytest.raises(Unavailable, match="the credentials could not be read again in time") as caught:
        await asyncio.to_thread(renew)
    assert caught.value.reason == GapReason.TIMED_OUT
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await ended.wait()


@pytest.mark.parametrize(
    ("tenant", "sent"),
    [
        ({"value": "a|b"}, "a|b"),
        ({"fromNamespace": True}, "shop"),
        ({"template": "team-{namespace}.logs"}, "team-shop.logs"),
    ],
)
async def test_the_tenant_of_a_namespace(tenant: dict[str, Any], sent: str) -> None:
    """It follows from the Investigation's namespace, unless it is fixed. The operator's own check sends only a fixed one."""
    spec = a_spec(tenant={"header": "X-Tenant", **tenant})
    assert (await credentials_of(spec, secrets_of()[0], "shop")).headers == (("X-Tenant", sent),)
    own = (("X-Tenant", sent),) if "value" in tenant else ()
    assert (await credentials_of(spec, secrets_of()[0], "")).headers == own


WIDER = ["shop|bank", "*", ".", "..", "shop\r\nX-Scope-OrgID: bank", "shop\n", "Shop", "a" * 64, "-"]


@pytest.mark.parametrize("namespace", WIDER)
@pytest.mark.parametrize("tenant", [{"fromNamespace": True}, {"template": "team-{namespace}"}])
async def test_no_name_widens_the_tenant(tenant: dict[str, Any], namespace: str) -> None:
    """The API server refuses such names of namespaces; here they are refused again."""
    with pytest.raises(Rejected, match="the namespace's name cannot be a tenant"):
        await credentials_of(a_spec(tenant=tenant), secrets_of()[0], namespace)


async def test_renewed_credentials_have_the_same_tenant() -> None:
    """A rotated token does not change the tenant."""
    spec = a_spec(auth={"bearer": {"name": "login", "key": "token"}}, tenant={"fromNamespace": True})
    found = await endpoint_of("main", spec, secrets_of(login=a_secret(token="the-long-token"))[0], "shop")
    assert found.namespace == "shop"
    assert found.renew is not None
    headers = await asyncio.to_thread(found.renewed_headers)
    assert headers == (("Authorization", "Bearer the-long-token"), ("X-Scope-OrgID", "shop"))
