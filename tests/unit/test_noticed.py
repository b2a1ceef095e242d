"""Finding Investigations that the watch missed: from a list, or from what the watch shows."""

from datetime import timedelta
from typing import Any

import pytest

from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.handlers.noticed import MAX_SKIPPED_LOOKS, Noticed
from tests.unit.fakes import NOW, Clock, FakeInvestigations

ALL = "/apis/aletheia.dev/v1alpha1/investigations"


def made(name: str, age_seconds: float, namespace: str = "shop") -> dict[str, Any]:
    created = NOW - timedelta(seconds=age_seconds)
    return {"metadata": {"namespace": namespace, "name": name, "uid": name, "creationTimestamp": created.isoformat()}}


class Rig:
    """An API server with an old Investigation `missed`, which the watch does not show."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.kubernetes = FakeInvestigations()
        self.kubernetes.lists = {ALL: [made("missed", 100)]}
        self.noticed = Noticed(self.kubernetes.real(), self.clock)

    async def looks(self, number: int = 1, namespaces: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        return [await self.noticed.missed(namespaces) for _ in range(number)]


@pytest.mark.parametrize(
    ("shown", "namespaces", "lists"),
    [
        pytest.param([], (), 1, id="a watch that shows nothing"),
        pytest.param([made("a", 61)], (), 1, id="one that has shown nothing for a minute"),
        pytest.param([made("a", 59), made("b", 90)], (), 0, id="one that has just shown a new one"),
        pytest.param([made("a", 59)], ("shop",), 0, id="a watch of one namespace"),
        pytest.param([made("a", 59)], ("shop", "bank"), 2, id="two watches, of which one shows nothing"),
        pytest.param([made("a", 59), made("b", 61, "bank")], ("shop", "bank"), 2, id="two, of which one is silent"),
        pytest.param([made("a", 59), made("b", 59, "bank")], ("shop", "bank"), 0, id="two watches that show new ones"),
    ],
)
async def test_only_a_silent_watch_is_compared_with_a_list(
    shown: list[dict[str, Any]], namespaces: tuple[str, ...], lists: int
) -> None:
    """A watch shows changes in their order: one that shows a new Investigation has shown the older ones."""
    rig = Rig()
    for body in shown:
        rig.noticed.add(body)
    await rig.looks(namespaces=namespaces)
    assert len(rig.kubernetes.asked) == lists


async def test_a_watch_that_becomes_silent_is_noticed_at_the_next_look() -> None:
    """A minute after the last new Investigation, everything is listed. Until the watch has shown all, each look lists."""
    rig = Rig()
    rig.noticed.add(made("new", 0))
    assert await rig.looks() == [()]
    rig.clock.advance(61)
    assert await rig.looks() == [("shop/missed",)]
    rig.noticed.add(made("newer", -60))
    assert await rig.looks() == [("shop/missed",)]
    rig.noticed.add(made("missed", 100))
    assert await rig.looks(2) == [(), ()]
    assert len(rig.kubernetes.asked) == 3


async def test_every_tenth_look_lists() -> None:
    """A single event that was lost is noticed, too."""
    rig = Rig()
    rig.noticed.add(made("new", 0))
    assert await rig.looks(MAX_SKIPPED_LOOKS) == [()] * MAX_SKIPPED_LOOKS
    assert await rig.looks() == [("shop/missed",)]


async def test_a_list_that_fails_is_tried_at_the_next_look() -> None:
    """It does not count as a look, also if it failed after the first page."""
    rig = Rig()
    before = rig.kubernetes.lists
    rig.kubernetes.lists = {ALL: [*before[ALL], Unavailable("down")]}
    for _ in range(2):
        with pytest.raises(Unavailable):
            await rig.looks()
    rig.kubernetes.lists = before
    assert await rig.looks() == [("shop/missed",)]


async def test_one_that_is_gone_may_come_again() -> None:
    """A deleted Investigation is forgotten."""
    rig = Rig()
    rig.noticed.add(made("missed", 100))
    assert "missed" in rig.noticed
    rig.noticed.discard("missed")
    assert "missed" not in rig.noticed
    assert await rig.looks() == [("shop/missed",)]
