"""What the Kubernetes client sends, request by request, and which rule would allow a refused request."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.kubernetes_errors import rule_for
from tests.unit.loopback import Loopback, Request, reply, reply_json

INVESTIGATION = "/apis/aletheia.dev/v1alpha1/namespaces/shop/investigations/incident"


@pytest.fixture
async def api(loopback: Loopback) -> AsyncIterator[Kubernetes]:
    client = ApiClient(Configuration(host=loopback.url))
    yield Kubernetes(client)
    await client.close()


class Recording:
    """Gives each request the same answer, and records the request."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.sent: list[tuple[str, str, Any]] = []

    def __call__(self, request: Request) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.sent.append((request.command, request.path, json.loads(body) if body else None))
        reply_json(self.answer)(request)


async def test_an_object_is_created(api: Kubernetes, loopback: Loopback) -> None:
    """It is sent to its collection, and the stored object is returned."""
    loopback.answers = [server := Recording({"stored": True})]
    assert await api.create("/api/v1/namespaces/shop/events", {"reason": "Started"}) == {"stored": True}
    assert server.sent == [("POST", "/api/v1/namespaces/shop/events", {"reason": "Started"})]
    assert loopback.headers[0]["Content-Type"] == "application/json"


async def test_only_the_object_that_is_meant_is_deleted(api: Kubernetes, loopback: Loopback) -> None:
    """Its uid is a precondition: another of the same name stays."""
    loopback.answers = [server := Recording({})]
    await api.delete(INVESTIGATION, "the-uid")
    ((command, path, body),) = server.sent
    assert (command, path) == ("DELETE", INVESTIGATION)
    assert body == {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "the-uid"}}


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ({"status": {"allowed": True}}, True),
        ({"status": {"allowed": False}}, False),
        ({"status": {"allowed": True, "denied": False}}, True),
        ({"status": {"allowed": "true"}}, False),
        ({"status": None}, False),
        ({}, False),
    ],
)
async def test_a_right_is_asked_about(api: Kubernetes, loopback: Loopback, answer: Any, allowed: bool) -> None:
    """The review names the identity to check. Every answer that is not a clear yes means no."""
    loopback.answers = [server := Recording(answer)]
    attributes = {"namespace": "shop", "verb": "get", "resource": "pods"}
    assert await api.as_service_account("shop", "reader").may(attributes) is allowed
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    assert server.sent == [("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)]
    assert loopback.headers[0]["Impersonate-User"] == "system:serviceaccount:shop:reader"


async def test_what_is_asked_for_of_a_list(api: Kubernetes, loopback: Loopback) -> None:
    """The request has the given parameters, asks for pages, and asks for metadata alone if that is enough."""
    loopback.answers = [Recording({"items": [{"metadata": {"name": "a"}}]})]
    query = {"labelSelector": "app=web", "limit": "7"}
    assert [item async for item in api.list("/api/v1/pods", query, metadata_only=True)] == [{"metadata": {"name": "a"}}]
    assert [item async for item in api.list("/api/v1/pods")] == [{"metadata": {"name": "a"}}]
    assert loopback.queries() == [query, {"limit": "250"}]
    assert [header["Accept"] for header in loopback.headers] == [
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        "application/json",
    ]


async def test_a_body_is_not_read_before_it_is_wanted(api: Kubernetes, loopback: Loopback) -> None:
    """Only the head of the answer is read at first. The rest is dropped with the connection."""
    loopback.answers = [reply(200, b"x" * 10_000_000)]
    async with api.stream("/api/v1/pods", {"a": "b c"}) as response:
        assert (response.status, await response.content.readexactly(3)) == (200, b"xxx")
    assert loopback.queries() == [{"a": "b c"}]


@pytest.mark.parametrize("status", [300, 304])
async def test_an_answer_without_content_is_no_success(api: Kubernetes, loopback: Loopback, status: int) -> None:
    """An empty answer is rejected as invalid."""
    loopback.answers = [reply(status, b"")]
    with pytest.raises(Rejected) as caught:
        await api.get("/api/v1/pods")
    assert (caught.value.reason, caught.value.status) == (GapReason.INVALID_RESPONSE, status)


async def test_an_answer_that_is_not_json_is_unavailable(api: Kubernetes, loopback: Loopback) -> None:
    """The same holds for a change: whether it was done is not known."""
    loopback.answers = [reply(200, b"<html>")]
    with pytest.raises(Unavailable, match="not JSON") as caught:
        await api.create("/api/v1/pods", {})
    assert caught.value.reason == GapReason.INVALID_RESPONSE


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("GET", "/api/v1/pods", '{apiGroups: [""], resources: [pods], verbs: [list]} in a ClusterRole'),
        ("GET", "/api/v1/nodes/n1", '{apiGroups: [""], resources: [nodes], verbs: [get]} in a ClusterRole'),
        ("GET", "/api/v1/namespaces/shop", '{apiGroups: [""], resources: [namespaces], verbs: [get]} in a ClusterRole'),
        (
            "GET",
            "/api/v1/namespaces/shop/pods/web-0/log",
            '{apiGroups: [""], resources: [pods/log], verbs: [get]} in a Role of namespace shop',
        ),
        (
            "GET",
            "/api/v1/namespaces/shop/secrets/key",
            '{apiGroups: [""], resources: [secrets], resourceNames: [key], verbs: [get]} in a Role of namespace shop',
        ),
        (
            "GET",
            "/api/v1/namespaces/shop/secrets",
            '{apiGroups: [""], resources: [secrets], verbs: [list]} in a Role of namespace shop',
        ),
        (
            "GET",
            "/apis/apps/v1/namespaces/shop/deployments",
            "{apiGroups: [apps], resources: [deployments], verbs: [list]} in a Role of namespace shop",
        ),
        (
            "PATCH",
            f"{INVESTIGATION}/status",
            "{apiGroups: [aletheia.dev], resources: [investigations/status], verbs: [patch]} in a Role of namespace shop",
        ),
        (
            "DELETE",
            INVESTIGATION,
            "{apiGroups: [aletheia.dev], resources: [investigations], verbs: [delete]} in a Role of namespace shop",
        ),
        (
            "POST",
            "/api/v1/namespaces/shop/events",
            '{apiGroups: [""], resources: [events], verbs: [create]} in a Role of namespace shop',
        ),
    ],
)
def test_the_rule_that_would_allow_a_request(method: str, path: str, rule: str) -> None:
    """It has the form of a rule in a role. It names the Secret, so that nobody grants access to all of them."""
    assert rule_for(method, path) == rule
