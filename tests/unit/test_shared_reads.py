"""Answers of the Kubernetes API that captures share: who gets them, how old they may be, and what a failure does."""

import asyncio
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients import shared_reads
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.kubernetes_bodies import LARGE_BYTES, is_empty_list
from aletheia_operator.clients.shared_reads import MAX_AGE_SECONDS, Body, SharedReads
from tests.unit.fakes import LONGEST_TEST_SECONDS, Seconds
from tests.unit.kubernetes_api import CORE, KubernetesApi, thing

POD = f"{CORE}/pods/web-0"


class Asked:
    """Requests that are answered when the test says so. `released`: how many slots were given back."""

    def __init__(self, body: bytes = b"body") -> None:
        self.body = body
        self.answers: list[asyncio.Future[Body]] = []
        self.released = 0

    async def __call__(self) -> Body:
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    def has(self, number: int) -> bool:
        return len(self.answers) == number

    def answer(self, error: Exception | None = None) -> None:
        if error is not None:
            self.answers[-1].set_exception(error)
        else:
            self.answers[-1].set_result((self.body, self._release))

    def _release(self) -> None:
        self.released += 1


async def soon(true: Callable[[], object]) -> None:
    """Wait, for a bounded time, until the condition is true."""
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while not true():  # noqa: ASYNC110 (what is waited for is of several kinds)
            await asyncio.sleep(0.001)


async def test_the_same_question_at_the_same_moment_is_asked_once() -> None:
    """Readers that come while the request runs, and shortly after it, get its body."""
    clock, asked = Seconds(), Asked()
    reads = SharedReads(clock)
    readers = [asyncio.create_task(reads.read("a", 90.0, asked, bytes.decode)) for _ in range(5)]
    await soon(lambda: asked.answers)
    asked.answer()
    assert await asyncio.gather(*readers) == ["body"] * 5
    clock.now += MAX_AGE_SECONDS
    assert await reads.read("a", 100.0, asked, bytes.decode) == "body"
    assert len(asked.answers) == 1


@pytest.mark.parametrize("body", [b'{"kind":"PodList","items":[]}', b'{"kind":"PodList","items":[{}]}'])
async def test_only_an_empty_list_needs_no_thread(body: bytes) -> None:
    asked = Asked(body)
    reader = asyncio.create_task(SharedReads(Seconds()).read("a", 90.0, asked, lambda _: threading.get_ident()))
    await soon(lambda: asked.answers)
    asked.answer()
    assert (await reader == threading.get_ident()) == is_empty_list(body) == body.endswith(b"[]}")


@pytest.mark.parametrize(
    ("key", "since", "age"),
    [
        pytest.param("b", 90.0, 0.0, id="another key: identity, path, parameters or form"),
        pytest.param("a", 100.1, 0.2, id="requested before the reader's Investigation was seen"),
        pytest.param("a", 90.0, MAX_AGE_SECONDS + 0.1, id="too old"),
    ],
)
async def test_what_is_not_shared(key: str, since: float, age: float) -> None:
    """Such a reader makes its own request."""
    clock, asked = Seconds(), Asked()
    reads = SharedReads(clock)
    first = asyncio.create_task(reads.read("a", 90.0, asked, len))
    await soon(lambda: asked.answers)
    clock.now += age
    second = asyncio.create_task(reads.read(key, since, asked, len))
    await soon(lambda: len(asked.answers) == 2)
    for answer in asked.answers:
        answer.set_result((b"body", lambda: None))
    assert [await first, await second] == [4, 4]


async def test_a_failure_reaches_all_readers_and_is_not_kept() -> None:
    """Each gets its own error, equal to the first; the next reader asks again."""
    asked = Asked()
    reads = SharedReads(Seconds())
    readers = [asyncio.create_task(reads.read("a", 90.0, asked, len)) for _ in range(2)]
    await soon(lambda: asked.answers)
    asked.answer(Rejected("no right", GapReason.FORBIDDEN, 403))
    first, second = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(first, Rejected) and isinstance(second, Rejected) and first is not second
    for error in (first, second):
        assert (error.message, error.reason, error.status) == ("no right", GapReason.FORBIDDEN, 403)
    again = asyncio.create_task(reads.read("a", 90.0, asked, len))
    await soon(lambda: len(asked.answers) == 2)
    asked.answer()
    assert await again == 4


async def test_a_reader_that_leaves_does_not_disturb_the_others() -> None:
    """The request goes on for those that stay. Without any reader it ends, and the next one asks again."""
    asked = Asked()
    reads = SharedReads(Seconds())
    first, second = (asyncio.create_task(reads.read("a", 90.0, asked, len)) for _ in range(2))
    await soon(lambda: asked.answers)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    asked.answer()
    assert await second == 4
    alone = asyncio.create_task(reads.read("b", 90.0, asked, len))
    await soon(lambda: len(asked.answers) == 2)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)
    await soon(asked.answers[1].cancelled)
    again = asyncio.create_task(reads.read("b", 90.0, asked, len))
    await soon(lambda: len(asked.answers) == 3)
    asked.answer()
    assert await again == 4


async def test_a_large_body_is_parsed_by_one_reader_at_a_time() -> None:
    """Its slot is given back once, after the last reader, and it is not kept."""
    asked, at_once, most = Asked(b"x" * (LARGE_BYTES + 1)), [0], [0]
    reads = SharedReads(Seconds())

    def work(body: bytes) -> int:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        assert asked.released == 0
        at_once[0] -= 1
        return len(body)

    readers = [asyncio.create_task(reads.read("a", 90.0, asked, work)) for _ in range(4)]
    await soon(lambda: asked.answers)
    asked.answer()
    assert await asyncio.gather(*readers) == [LARGE_BYTES + 1] * 4
    await soon(lambda: asked.released)
    assert (most[0], asked.released) == (1, 1)
    again = asyncio.create_task(reads.read("a", 90.0, asked, len))
    await soon(lambda: len(asked.answers) == 2)
    asked.answer()
    await again


async def test_no_more_is_kept_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer beyond the limit is given to its readers and dropped."""
    monkeypatch.setattr(shared_reads, "MAX_KEPT_BYTES", 6)
    monkeypatch.setattr(shared_reads, "MAX_AGE_SECONDS", 600)
    reads = SharedReads()
    asked = Asked()
    for number, key in enumerate("ab"):
        reading = asyncio.create_task(reads.read(key, 0.0, asked, len))
        await soon(partial(asked.has, number + 1))
        asked.answer()
        assert await reading == 4
    assert list(reads._answers) == ["a"]
    assert reads._kept_bytes == 4


async def test_what_is_kept_is_dropped_when_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes count no more then."""
    monkeypatch.setattr(shared_reads, "MAX_AGE_SECONDS", 0.01)
    reads = SharedReads()
    asked = Asked()
    reading = asyncio.create_task(reads.read("a", 0.0, asked, len))
    await soon(lambda: asked.answers)
    asked.answer()
    assert await reading == 4
    await soon(lambda: not reads._answers)
    assert reads._kept_bytes == 0


def as_itself(client: Kubernetes) -> Kubernetes:
    return client


@pytest.mark.parametrize(
    ("first", "second", "requests"),
    [
        (as_itself, as_itself, 1),
        (as_itself, lambda client: client.as_service_account("shop", "a"), 2),
        (lambda client: client.as_service_account("shop", "a"), lambda client: client.as_service_account("shop", "b"), 2),
        (lambda client: client.as_service_account("shop", "a"), lambda client: client.as_service_account("bank", "a"), 2),
        (lambda client: client.as_service_account("shop", "a"), lambda client: client.as_service_account("shop", "a"), 1),
    ],
)
async def test_an_identity_never_gets_what_another_may_read(
    first: Callable[[Kubernetes], Kubernetes], second: Callable[[Kubernetes], Kubernetes], requests: int
) -> None:
    """Only equal identities share. Each reader has its own objects: a change of one is not seen by another."""
    api = KubernetesApi(objects={POD: thing("web-0")})

    def work(item: dict[str, Any]) -> str:
        found = json.dumps(item)
        item["metadata"]["name"] = "changed"
        return found

    async with api.serve() as kubernetes:
        clients = [first(kubernetes).sharing(0.0), second(kubernetes).sharing(0.0)]
        found = await asyncio.gather(*(client.read(POD, work) for client in clients))
        assert found == [json.dumps(thing("web-0"))] * 2
        assert len(api.asked) == requests


async def test_pages_are_shared_and_what_decides_is_read_anew() -> None:
    """`pages` of equal queries are asked once; `get`, and a client that was not told to share, always ask."""
    api = KubernetesApi(objects={POD: thing("web-0")}, lists={f"{CORE}/pods": [thing(str(n)) for n in range(300)]})
    async with api.serve() as kubernetes:
        client = kubernetes.sharing(0.0)

        async def names(query: dict[str, str]) -> int:
            return sum([len(page) async for page in client.pages(f"{CORE}/pods", lambda items: items, query)])

        found = await asyncio.gather(names({}), names({}), names({"labelSelector": "a=b"}))
        assert list(found) == [300, 300, 0]
        assert len(api.asked) == 3
        for _ in range(2):
            await client.get(POD)
            await kubernetes.read(POD, len)
        assert len(api.asked) == 7


async def test_a_refused_request_is_refused_for_all_that_share_it() -> None:
    """The error of the API server reaches each reader as if it had asked alone."""
    api = KubernetesApi(objects={POD: 403})
    async with api.serve() as kubernetes:
        client = kubernetes.as_service_account("shop", "a").sharing(0.0)
        errors = await asyncio.gather(*(client.read(POD, len) for _ in range(3)), return_exceptions=True)
        assert {(type(error), str(error)) for error in errors} == {(type(errors[0]), str(errors[0]))}
        assert all(isinstance(error, SourceError) and error.reason is GapReason.FORBIDDEN for error in errors)
        assert len(api.asked) == 1
