"""Slots are shared fairly: namespaces take turns, and no namespace has all of them."""

import asyncio
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.clients.fair_slots import FairSlots, Release
from aletheia_operator.handlers.queueing import why_queued
from aletheia_operator.settings import Limits
from tests.unit.fakes import LONGEST_TEST_SECONDS


class Queue:
    """Tasks that want a slot, and the order in which they got it."""

    def __init__(self, slots: FairSlots) -> None:
        self.slots = slots
        self.served: list[str] = []
        self.releases: list[tuple[str, Release]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, namespaces: Iterable[str]) -> None:
        self.tasks += [asyncio.create_task(self._take(namespace)) for namespace in namespaces]
        await settle()

    async def leave(self) -> None:
        """Release the slot that was acquired first."""
        self.releases.pop(0)[1]()
        await settle()

    async def _take(self, namespace: str) -> None:
        release = await self.slots.acquire(namespace)
        self.served.append(namespace)
        self.releases.append((namespace, release))


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_namespaces_take_turns() -> None:
    """A hundred of one namespace do not keep one of another waiting for more than one turn."""
    queue = Queue(FairSlots(1, 1))
    await queue.come(["loud"] * 100)
    await queue.come(["quiet", "small"])
    for _ in range(4):
        await queue.leave()
    assert queue.served == ["loud", "quiet", "small", "loud", "loud"], "the first counts, too"


async def test_a_namespace_of_any_name_has_its_turn() -> None:
    """This includes the empty name, for tasks without a namespace."""
    queue = Queue(FairSlots(1, 1))
    await queue.come(["", "", "a"])
    for _ in range(2):
        await queue.leave()
    assert queue.served == ["", "a", ""]


async def test_a_namespace_never_has_all_places() -> None:
    """Of twenty slots, five stay for other namespaces, which get them at once."""
    queue = Queue(FairSlots(Limits().max_investigations, Limits().namespace_investigations))
    await queue.come(["loud"] * 100)
    assert queue.served == ["loud"] * 15
    await queue.come(["quiet"])
    assert queue.served[-1] == "quiet"
    assert queue.slots.full("loud") and not queue.slots.full("quiet")


async def test_weights_are_shares_of_the_turns() -> None:
    """A namespace of weight 3 is served three times as often as the others, which take turns."""
    queue = Queue(FairSlots(1, 1, {"heavy": 3}))
    await queue.come(["heavy"] * 40 + ["a"] * 40 + ["b"] * 40)
    for _ in range(49):
        await queue.leave()
    assert {namespace: queue.served.count(namespace) for namespace in ("heavy", "a", "b")} == {"heavy": 30, "a": 10, "b": 10}
    assert "heavy" in queue.served[-5:] and "a" in queue.served[-5:], "no namespace is served in long runs"


async def test_a_namespace_that_comes_back_is_neither_preferred_nor_punished() -> None:
    """One that was idle for long, and one that was served often while nobody waited, take turns from then on."""
    queue = Queue(FairSlots(1, 1))
    for _ in range(50):
        await queue.come(["busy"])
        await queue.leave()
    await queue.come(["other"])
    queue.served.clear()
    await queue.come(["busy"] * 10 + ["idle"] * 10)
    for _ in range(20):
        await queue.leave()
    assert sorted(queue.served[:2]) == ["busy", "idle"]
    assert queue.served == queue.served[:2] * 10


async def test_work_that_runs_already_counts() -> None:
    """It has its slot at once, also above the limit; others wait until enough is free."""
    slots = FairSlots(2, 2)
    releases = [slots.occupy("a") for _ in range(3)]
    queue = Queue(slots)
    await queue.come(["b"])
    for number, served in enumerate(([], ["b"], ["b"])):
        releases[number]()
        releases[number]()
        await settle()
        assert queue.served == served
    await queue.leave()
    assert not slots.taken()


async def test_nothing_is_remembered_of_namespaces_that_are_gone() -> None:
    """When all slots are free, the past is forgotten."""
    queue = Queue(FairSlots(2, 2))
    await queue.come(f"n{number}" for number in range(100))
    for _ in range(100):
        await queue.leave()
    assert not queue.slots._ends and not queue.slots._starts and not queue.slots.waiting()


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=3), st.integers(1, 4))
def test_backlogged_namespaces_get_their_shares(weights: dict[str, int], limit: int) -> None:
    """At any time, two that always wait differ by at most two pieces of work, each divided by its weight."""

    async def play() -> None:
        queue = Queue(FairSlots(limit, limit, weights))
        await queue.come(["first"] * limit + list("abc" * 60))
        for _ in range(60):
            await queue.leave()
            served = {name: queue.served.count(name) / weights[name] for name in "abc"}
            for one in "abc":
                for other in "abc":
                    assert abs(served[one] - served[other]) <= 1 / weights[one] + 1 / weights[other] + 1e-9

    asyncio.run(play())


async def test_the_status_says_why_one_waits() -> None:
    """Its place in the queue of its namespace, and which limit is reached: that of the namespace or that of all."""
    queue = Queue(FairSlots(3, 2))
    await queue.come(["a", "a", "a", "a"])
    of_one = "2 Investigations of this namespace run, and no more of one namespace may run at once"
    assert why_queued(queue.slots, "a") == f"number 2 in the queue of its namespace when it came: {of_one}"
    await queue.come(["b", "b"])
    of_all = "3 Investigations run, and no more may run at once"
    assert why_queued(queue.slots, "b") == f"number 1 in the queue of its namespace when it came: {of_all}"


def test_the_share_of_a_namespace_is_an_admins() -> None:
    """An admin sets it. It is at least one slot and at most all."""
    assert [Limits(max_investigations=n).namespace_investigations for n in (1, 2, 3, 4, 20)] == [1, 1, 2, 3, 15]
    assert Limits(max_investigations=5, max_namespace_investigations=9).namespace_investigations == 5
    assert Limits(max_investigations=5, max_namespace_investigations=2).namespace_investigations == 2


async def test_a_place_is_given_back_once() -> None:
    """Releasing it twice takes nobody's slot away."""
    slots = FairSlots(1, 1)
    release = await slots.acquire("a")
    release()
    second = await slots.acquire("a")
    release()
    assert slots.full("b")
    second()
    assert not slots.full("b")


async def test_who_is_cancelled_while_the_place_is_given_loses_none() -> None:
    """The slot goes to the next task, at whatever step the cancellation comes."""
    for steps in range(4):
        slots = FairSlots(1, 1)
        release = await slots.acquire("a")
        first, second = asyncio.create_task(slots.acquire("b")), asyncio.create_task(slots.acquire("c"))
        await settle()
        release()
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled = first.cancel()
        if not cancelled:
            first.result()()
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            (await second)()
        assert not slots.full("a")


@given(
    st.integers(1, 4), st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=40)
)
def test_no_place_is_lost_or_doubled(most: int, most_of_one: int, steps: list[tuple[str, bool, bool]]) -> None:
    """Callers come, leave and give up in any order: there are never too many, and in the end all slots are free."""

    async def play() -> None:
        queue = Queue(FairSlots(most, most_of_one))
        for namespace, leave, give_up in steps:
            if leave and queue.releases:
                await queue.leave()
            elif give_up and queue.tasks:
                queue.tasks[len(queue.tasks) // 2].cancel()
                await settle()
            else:
                await queue.come([namespace])
            held = [namespace for namespace, _ in queue.releases]
            assert len(held) <= most
            assert all(held.count(namespace) <= most_of_one for namespace in held)
            waiting = sum(not task.done() for task in queue.tasks)
            assert not waiting or len(held) == most or any(held.count(holder) == min(most, most_of_one) for holder in held)
        while queue.releases:
            await queue.leave()
        assert all(task.done() for task in queue.tasks)
        assert not any(queue.slots.full(namespace) for namespace in "abc")

    asyncio.run(play())
