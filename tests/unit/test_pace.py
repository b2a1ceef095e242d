"""Requests per second: a burst, then a steady rate, for each namespace and for all together."""

import asyncio
import threading
from dataclasses import replace

import pytest

from aletheia_operator.clients.http import Http, get_json
from aletheia_operator.clients.identity import Identity
from aletheia_operator.clients.pace import MAX_IDLE_KEYS, Pace, Rate
from aletheia_operator.datasources.finder import KubernetesDataSources
from tests.unit.fakes import LONGEST_TEST_SECONDS, FakeKubernetes, Seconds
from tests.unit.kubernetes_api import CORE, KubernetesApi, thing
from tests.unit.loopback import Loopback, reply_json


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that were asked for; none takes time."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("aletheia_operator.clients.pace.asyncio.sleep", sleep)
    return found


def test_a_burst_then_a_steady_rate() -> None:
    """One second's requests at once, then each 1/rate later; after a pause there is a burst again."""
    clock = Seconds()
    rate = Rate(4, clock)
    assert [rate.reserve("a") for _ in range(8)] == [0, 0, 0, 0, 0, 0.25, 0.5, 0.75]
    clock.now += 10
    assert [rate.reserve("a") for _ in range(6)] == [0, 0, 0, 0, 0, 0.25]


def test_a_key_does_not_wait_for_another() -> None:
    """Each has a rate of its own."""
    rate = Rate(1, Seconds())
    assert [rate.reserve("loud") for _ in range(5)][-1] == 3
    assert rate.reserve("quiet") == 0


def test_zero_is_no_limit() -> None:
    """Nothing is remembered either."""
    rate = Rate(0, Seconds())
    assert {rate.reserve("a") for _ in range(1000)} == {0.0}
    assert not rate._due


def test_keys_that_were_idle_are_forgotten() -> None:
    """Namespaces come and go; those that still owe time stay."""
    clock = Seconds()
    rate = Rate(1, clock)
    for number in range(MAX_IDLE_KEYS):
        rate.reserve(number)
    clock.now += 2
    for _ in range(10):
        rate.reserve("busy")
    rate.reserve("one more")
    assert rate._due.keys() == {"busy", "one more"}
    assert rate.reserve("busy") > 0


async def test_all_namespaces_together_have_a_limit(slept: list[float]) -> None:
    """Three namespaces within their own limits exceed the common one."""
    pace = Pace(of_namespace=10, of_all=15, clock=Seconds())
    for namespace in "abc":
        for _ in range(10):
            await pace.turn(namespace)
    assert len(slept) == 14, "fifteen and one of thirty may be sent at once"
    assert max(slept) == pytest.approx(14 / 15)


async def test_each_server_has_its_own_limit(slept: list[float]) -> None:
    """A slow DataSource does not delay questions to another."""
    pace = Pace(of_namespace=1, of_all=1, clock=Seconds())
    for server in ("one", "two", "three"):
        await pace.turn("a", server)
    assert not slept


async def test_a_cancelled_wait_takes_no_place() -> None:
    """The next one waits no longer than if it had not come."""
    clock = Seconds()
    pace = Pace(of_namespace=1, clock=clock)
    for _ in range(2):
        await pace.turn("a")
    waiting = asyncio.create_task(pace.turn("a"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pace._of_namespace.reserve(("a", "")) == 1


def test_a_stopped_call_takes_no_place() -> None:
    """The same in a thread."""
    pace = Pace(of_namespace=1, clock=Seconds())
    asked: list[float] = []

    def stopped(seconds: float) -> bool:
        asked.append(seconds)
        return True

    for _ in range(4):
        pace.turn_in_thread("a", "main", stopped)
    assert asked == [1, 1], "the second that waits has the place that the first gave back"


def test_threads_share_a_rate() -> None:
    """No place is given twice."""
    rate = Rate(100, Seconds())
    found: list[float] = []

    def reserve() -> None:
        for _ in range(200):
            found.append(rate.reserve("a"))

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found)[-1] == pytest.approx(799 / 100 - 1)


async def test_reads_of_captures_are_counted_and_those_of_the_operator_are_not(slept: list[float]) -> None:
    """Whatever identity a capture has; an answer that is shared counts once."""
    api = KubernetesApi(objects={f"{CORE}/pods/web-0": thing("web-0"), f"{CORE}/serviceaccounts/reader": thing("reader")})
    async with api.serve() as plain:
        kubernetes = replace(plain, pace=Pace(of_namespace=1, clock=Seconds()))
        for _ in range(5):
            await kubernetes.get(f"{CORE}/pods/web-0")
        assert not slept
        for account in (None, "reader"):
            client = await Identity(kubernetes, "shop", account, 0.0).kubernetes()
            for _ in range(2):
                await client.get(f"{CORE}/pods/web-0")
            for _ in range(5):
                await client.read(f"{CORE}/pods/web-0", dict)
        assert len(slept) == 7 - 2, "two of seven requests are a burst"


async def test_no_namespace_waits_for_the_limit_of_another() -> None:
    """Answers are shared within a namespace only: who asks first may have to wait."""
    api = KubernetesApi(objects={"/api/v1/nodes/n1": thing("n1")})
    async with api.serve() as kubernetes:
        for namespace in ("a", "b", "a", "b"):
            await kubernetes.counted(namespace).sharing(0.0).read("/api/v1/nodes/n1", dict)
    assert len(api.asked) == 2


async def test_questions_to_a_data_source_are_counted(loopback: Loopback) -> None:
    """Each request, for the namespace that asks, before its time limit begins."""
    waits: list[float] = []
    pace = Pace(of_namespace=1, clock=Seconds())
    spec = {"type": "prometheus", "endpoint": loopback.url, "default": True, "allowedNamespaces": ["*"]}
    item = {"metadata": {"name": "main"}, "spec": spec}
    kubernetes = FakeKubernetes(lists={"/apis/aletheia.dev/v1alpha1/datasources": [item]})
    endpoint = await KubernetesDataSources(kubernetes.real(), "shop", pace=pace).find("prometheus", None)
    assert endpoint.turn is not None
    turn = endpoint.turn

    def waited(seconds: float) -> bool:
        waits.append(seconds)
        return False

    def noted(stopped: object) -> None:
        turn(waited)

    loopback.answers = [reply_json({})]
    counted = replace(loopback.endpoint(), turn=noted)
    for _ in range(4):
        await asyncio.to_thread(get_json, counted, "/", ())
    assert waits == [1, 2]


async def test_a_question_that_waits_can_be_cancelled(loopback: Loopback) -> None:
    """It ends at once, and nothing is sent."""
    waiting = threading.Event()

    def turn(stopped: object) -> None:
        waiting.set()
        assert stopped(60), "woken by the cancellation"  # type: ignore[operator]

    asking = asyncio.ensure_future(Http().fetch_json(replace(loopback.endpoint(), turn=turn), "/", ()))
    assert await asyncio.to_thread(waiting.wait, LONGEST_TEST_SECONDS)
    asking.cancel()
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert not loopback.requests
