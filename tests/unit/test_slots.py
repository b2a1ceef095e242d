"""Slots are shared fairly: namespaces take turns, and no namespace has all of them."""

import asyncio
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.clients.fair_slots import FairSlots, Release
from aletheia_operator.settings import Limits


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
    assert queue.served == ["loud", "loud", "quiet", "small", "loud"]


async def test_a_namespace_of_any_name_has_its_turn() -> None:
    """This includes the empty name, for tasks without a namespace."""
    queue = Queue(FairSlots(1, 1))
    await queue.come(["", "", "a"])
    for _ in range(2):
        await queue.leave()
    assert queue.served == ["", "", "a"]


async def test_a_namespace_never_has_all_places() -> None:
    """Of twenty slots, five stay for other namespaces, which get them at once."""
    queue = Queue(FairSlots(Limits().max_investigations, Limits().namespace_investigations))
    await queue.come(["loud"] * 100)
    assert queue.served == ["loud"] * 15
    await queue.come(["quiet"])
    assert queue.served[-1] == "quiet"
    assert queue.slots.full("loud") and not queue.slots.full("quiet")


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
        async with asyncio.timeout(5):
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
