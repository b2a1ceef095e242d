"""Large answers of the Kubernetes API: only a few are in memory at once, however many captures run, and every wait ends."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.fair_slots import Release
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.kubernetes_bodies import LARGE_AT_ONCE, LARGE_BYTES, MAX_BODY_BYTES
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.loopback import Loopback, Request, cut, reply_json

LARGE = "x" * (LARGE_BYTES + 1)


@pytest.fixture
async def api(loopback: Loopback) -> AsyncIterator[Kubernetes]:
    client = ApiClient(Configuration(host=loopback.url))
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        yield Kubernetes(client)
    await client.close()


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


class Working:
    """Work that waits until the test lets it end, and counts how many run."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.now = self.most = 0
        self.begun = threading.Semaphore(0)
        self._guard = threading.Lock()

    def __call__(self, found: Any) -> int:
        with self._guard:
            self.now += 1
            self.most = max(self.most, self.now)
        self.begun.release()
        assert self.may_end.wait(LONGEST_TEST_SECONDS)
        with self._guard:
            self.now -= 1
        return 1

    async def has_begun(self, times: int) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.begun.acquire, timeout=LONGEST_TEST_SECONDS)


async def test_few_large_bodies_are_worked_on_at_a_time(api: Kubernetes, loopback: Loopback) -> None:
    """At most one of each namespace, and in all as many as fit in memory. Every body gets its turn."""
    loopback.answers = [reply_json({"items": [{"metadata": {}, "filling": LARGE}]})]
    working = Working()

    async def read(number: int) -> list[int]:
        return [page async for page in api.pages(pods(f"team-{number % 5}"), working)]

    tasks = [asyncio.create_task(read(number)) for number in range(15)]
    await working.has_begun(LARGE_AT_ONCE)
    working.may_end.set()
    assert await asyncio.gather(*tasks) == [[1]] * 15
    assert working.most <= LARGE_AT_ONCE
    assert not api.bodies.places.full("team-0")


async def test_small_bodies_never_wait(api: Kubernetes, loopback: Loopback) -> None:
    """They do not wait even in a namespace that works on a large body."""
    large, small = reply_json({"filling": LARGE}), reply_json({"filling": "x"})
    loopback.answers = [lambda request: (large if request.path.endswith("large") else small)(request)]
    working = Working()
    task = asyncio.create_task(api.read(f"{pods('shop')}/large", working))
    await working.has_begun(1)
    assert await api.get(f"{pods('shop')}/small") == {"filling": "x"}
    assert await api.read(f"{pods('shop')}/small", len) == 1
    working.may_end.set()
    assert await task == 1


async def test_a_large_body_that_must_wait_is_requested_again(
    api: Kubernetes, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server cuts off a reader that stops for a minute."""
    waiting, acquire = asyncio.Event(), api.bodies.places.acquire

    async def noticed(namespace: str) -> Release:
        if api.bodies.places.full(namespace):
            waiting.set()
        return await acquire(namespace)

    monkeypatch.setattr(api.bodies.places, "acquire", noticed)
    loopback.answers = [reply_json({"filling": LARGE})]
    working = Working()
    tasks = [asyncio.create_task(api.read(f"{pods('shop')}/web", working))]
    await working.has_begun(1)
    tasks.append(asyncio.create_task(api.read(f"{pods('shop')}/other", working)))
    await waiting.wait()
    working.may_end.set()
    await asyncio.gather(*tasks)
    assert [path.rpartition("/")[2] for path in loopback.requests] == ["web", "other", "other"]


async def test_a_place_is_free_again_after_faults(api: Kubernetes, loopback: Loopback) -> None:
    """The fault is a body that breaks off, that is too large, or that the work does not understand."""

    def broken(found: Any) -> int:
        raise ValueError("no")

    loopback.answers = [cut(b'{"filling": "' + LARGE.encode())]
    with pytest.raises(SourceError):
        await api.get(f"{pods('shop')}/web")
    loopback.answers = [reply_json({"filling": "x" * MAX_BODY_BYTES})]
    with pytest.raises(SourceError, match="larger than"):
        await api.get(f"{pods('shop')}/web")
    loopback.answers = [reply_json({"filling": LARGE})]
    with pytest.raises(ValueError, match="no"):
        await api.read(f"{pods('shop')}/web", broken)
    assert (await api.get(f"{pods('shop')}/web"))["filling"] == LARGE
    assert not api.bodies.places.full("shop")


async def test_a_cancelled_reader_keeps_its_place_until_its_work_is_over(api: Kubernetes, loopback: Loopback) -> None:
    """A thread cannot be stopped, and what it works on is in memory until then."""
    loopback.answers = [reply_json({"filling": LARGE})]
    working = Working()
    task = asyncio.create_task(api.read(f"{pods('shop')}/web", working))
    await working.has_begun(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert api.bodies.places.full("shop")
    working.may_end.set()
    assert (await api.get(f"{pods('shop')}/web"))["filling"] == LARGE


async def test_pages_are_asked_for_in_halves_and_anew(api: Kubernetes, loopback: Loopback) -> None:
    """The page is too large, or the token has expired: both are handled as for a list that yields items."""
    items = [{"metadata": {"name": f"web-{number}", "uid": str(number)}, "filling": "x" * 900_000} for number in range(8)]
    expired = [reply_json({"message": "too old"}, 410)]

    def answer(request: Request) -> None:
        query = loopback.queries()[-1]
        first, limit = int(query.get("continue", "0")), int(query["limit"])
        if first == 4 and expired:
            return expired.pop()(request)
        more = {"continue": str(first + limit)} if first + limit < len(items) else {}
        return reply_json({"metadata": more, "items": items[first : first + limit]})(request)

    loopback.answers = [answer]
    names = [[item["metadata"]["name"] for item in page] async for page in api.pages(pods("shop"), list, {"limit": "8"})]
    assert [name for page in names for name in page] == [f"web-{number}" for number in range(8)]
    assert max(map(len, names)) == 2
