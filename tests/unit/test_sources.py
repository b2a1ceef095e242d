"""Who may be asked, and as whom: service accounts and DataSources."""

import asyncio
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.identity import Identity
from aletheia_operator.investigate import KubernetesDataSources
from tests.unit.fakes import FakeKubernetes

SOURCES = "/apis/aletheia.dev/v1alpha1/datasources"
ACCOUNT = "/api/v1/namespaces/shop/serviceaccounts/reader"


async def test_without_a_service_account_the_operator_reads() -> None:
    """As itself, without a look-up."""
    kubernetes = FakeKubernetes()
    identity = Identity(kubernetes.real(), "shop", None)
    assert await identity.kubernetes() is kubernetes.real()
    assert kubernetes.asked == []


async def test_a_service_account_is_checked_once_and_impersonated() -> None:
    """However many ask at once; it is always one of the Investigation's own namespace."""
    kubernetes = FakeKubernetes({ACCOUNT: {}})
    identity = Identity(kubernetes.real(), "shop", "reader")
    users = {(await one).user for one in [asyncio.create_task(identity.kubernetes()) for _ in range(5)]}
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
    """Never falling back to the operator's own rights."""
    identity = Identity(FakeKubernetes({ACCOUNT: error}).real(), "shop", "reader")
    with pytest.raises(Rejected) as caught:
        await identity.kubernetes()
    assert caught.value.reason == reason


async def test_a_check_that_did_not_succeed_is_made_again() -> None:
    """An API server that is away for a moment does not spoil the whole capture."""
    kubernetes = FakeKubernetes({ACCOUNT: Unavailable("away")})
    identity = Identity(kubernetes.real(), "shop", "reader")
    with pytest.raises(Unavailable):
        await identity.kubernetes()
    kubernetes.objects = {ACCOUNT: {}}
    assert (await identity.kubernetes()).user == "system:serviceaccount:shop:reader"


def source(name: str, kind: str = "prometheus", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"type": kind, "endpoint": f"http://{name}:9090", **spec}}


def endpoint(name: str, timeout_seconds: int = 30, max_response_bytes: int = 32 * 2**20) -> Endpoint:
    return Endpoint(name, f"http://{name}:9090", timeout_seconds, max_response_bytes)


async def find(sources: list[dict[str, Any]], name: str | None) -> Endpoint:
    kubernetes = FakeKubernetes({f"{SOURCES}/{one['metadata']['name']}": one for one in sources}, {SOURCES: sources})
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
    """By name, or the default of its type that may be used."""
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
            "a is not open to namespace shop",
            id="closed",
        ),
        pytest.param(
            [source("a", default=True, allowedNamespaces=["bank"])],
            None,
            GapReason.NOT_ALLOWED,
            "not open",
            id="a closed default",
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


async def test_an_invalid_default_does_not_hide_a_valid_one() -> None:
    """One admin's slip stops nobody who does not need it."""
    assert await find([source("a", default=True), source("b", default=True, timeout="never")], None) == endpoint("a")
