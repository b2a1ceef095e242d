"""Logs on a node that is lost: the gap names the node, and a capture does not wait for each of its pods in vain."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.fetchers.base import Document, Question, Sources
from aletheia_operator.fetchers.kubernetes.logs import KubernetesLogsFetcher
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from tests.unit.fakes import (
    LONGEST_TEST_SECONDS,
    Content,
    FakeKubernetes,
    Response,
    entries_of,
    forever,
    make_pod,
    make_sources,
)

NODE = "/api/v1/nodes/node-1"
PODS = "/api/v1/namespaces/shop/pods"
NO_ROUTE = Unavailable("the Kubernetes API answered 500: dial tcp 10.0.0.9:10250: connect: no route to host")
SILENT = Unavailable("the Kubernetes API: did not answer in time", GapReason.TIMED_OUT)
LOST = (
    "node node-1 has not reported to the control plane: it is down or cut off (since 2026-11-22T11:59:01Z, NodeStatusUnknown)"
)


def a_node(status: str, reason: str = "NodeStatusUnknown") -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "reason": reason, "lastTransitionTime": "2026-11-22T11:59:01Z"}
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [{"type": "MemoryPressure", "status": "Unknown"}, ready]}}


@dataclass
class Cluster(FakeKubernetes):
    """Pods on one node. `error`: the answer to each request for a log; None: the log has one line."""

    error: SourceError | None = NO_ROUTE
    logs_asked: list[str] = field(default_factory=list)
    """Names of the pods whose logs were asked for, once for each request."""
    hangs: asyncio.Event | None = None
    """Set by a request for a log, which is never answered. None: requests are answered."""

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        self.logs_asked.append(path.split("/")[-2])
        if self.hangs is not None:
            self.hangs.set()
            await forever()
        if self.error is not None:
            raise self.error
        yield Response(Content([b"2026-11-22T11:30:00.000000000Z here\n"]))


def a_cluster(node: Any, error: SourceError | None = NO_ROUTE) -> Cluster:
    pods = {f"{PODS}/web-{number}": make_pod(f"web-{number}") for number in range(3)}
    return Cluster(objects={NODE: node, **pods}, error=error)


async def questions_of(sources: Sources, *names: str) -> Sequence[Question]:
    spec = InvestigationSpec.model_validate({"targets": [{"pod": name} for name in names], "logs": {"via": "api"}})
    return (await KubernetesLogsFetcher().plan(spec, sources)).questions


async def documents_of(cluster: Cluster, *names: str) -> AsyncIterator[Document]:
    """Capture the logs of these pods in one capture, one after the other. The summary becomes the number of lines."""
    sources = make_sources(cluster)
    for question in await questions_of(sources, *names):
        async for document in KubernetesLogsFetcher().fetch(question, sources):
            document.outcome.summary = str(len(await entries_of(document)))
            yield document


async def gaps_of(cluster: Cluster, *names: str) -> list[tuple[str, GapReason, str]]:
    return [
        (gap.target, gap.reason, gap.message)
        async for document in documents_of(cluster, *names)
        for gap in document.outcome.missing
    ]


@pytest.mark.parametrize("error", [NO_ROUTE, SILENT], ids=["no route", "silence"])
async def test_a_lost_node_is_asked_once(error: SourceError) -> None:
    """The gap names pod, container, run and node. Other pods of the node are gaps at once."""
    cluster = a_cluster(a_node("Unknown"), error)
    asked, *others = await gaps_of(cluster, "web-0", "web-1", "web-2")
    assert asked == ("pod/web-0 container/app (run 0)", GapReason.UNAVAILABLE, f"{LOST}; the log broke off: {error.message}")
    assert others == [
        (f"pod/web-{number} container/app (run 0)", GapReason.UNAVAILABLE, f"{LOST}; this log was not asked for")
        for number in (1, 2)
    ]
    assert cluster.logs_asked == ["web-0"]


async def test_a_node_that_comes_back() -> None:
    """The next pod of the same capture is asked for as usual."""
    cluster = a_cluster(a_node("Unknown"))
    counts = []
    async for document in documents_of(cluster, "web-0", "web-1"):
        counts.append(document.outcome.summary)
        cluster.objects = {**cluster.objects, NODE: a_node("True", "KubeletReady")}
        cluster.error = None
    assert counts == ["0", "1"], "the lines of each"
    assert set(cluster.logs_asked) == {"web-0", "web-1"}


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (a_node("True", "KubeletReady"), "the log is on node node-1; "),
        (
            a_node("False", "KubeletNotReady"),
            "node node-1 is not ready (since 2026-11-22T11:59:01Z, KubeletNotReady); ",
        ),
        ({"metadata": {"name": "node-1"}}, "the log is on node node-1; "),
        (Rejected("the Kubernetes API answered 403", GapReason.FORBIDDEN), "the log is on node node-1; "),
        (Unavailable("the Kubernetes API answered 503"), "the log is on node node-1; "),
    ],
    ids=["ready", "not ready", "without conditions", "no right to get nodes", "an API server that is away"],
)
async def test_a_node_that_is_not_known_to_be_lost_is_asked_again(node: Any, words: str) -> None:
    """Three times, as before: the fault may pass. The message names the node all the same."""
    cluster = a_cluster(node)
    assert await gaps_of(cluster, "web-0") == [
        ("pod/web-0 container/app (run 0)", GapReason.UNAVAILABLE, f"{words}the log broke off: {NO_ROUTE.message}")
    ]
    assert cluster.logs_asked == ["web-0"] * 3


async def test_an_investigation_that_ends_before_the_node_answers() -> None:
    """The gap of each log that was not read to its end names the node."""
    cluster = a_cluster(a_node("True", "KubeletReady"))
    cluster.hangs = asyncio.Event()
    sources = make_sources(cluster, interrupted=lambda: True)
    (question,) = await questions_of(sources, "web-0")
    (document,) = [document async for document in KubernetesLogsFetcher().fetch(question, sources)]
    reading = asyncio.create_task(entries_of(document))
    await asyncio.wait_for(cluster.hangs.wait(), LONGEST_TEST_SECONDS)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    (gap,) = document.outcome.missing
    words = "the log is on node node-1; the Investigation ended before its first line came"
    assert (gap.target, gap.message) == ("pod/web-0 container/app (run 0)", words)


@pytest.mark.parametrize("name", [None, "../secrets/x", ""])
async def test_a_pod_without_a_node(name: str | None) -> None:
    """No node is read for it, nor is a path made of a name that is none."""
    cluster = a_cluster(a_node("Unknown"))
    health = NodeHealth(cluster.real(), name)
    await health.refresh()
    assert (health.lost, health.words, cluster.asked) == (False, "", [])
