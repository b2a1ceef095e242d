"""Bytes in flight: further questions wait, running ones go on, and no namespace waits for another's alone."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.investigate import Budget
from aletheia_operator.investigate.in_flight import InFlight
from tests.unit.capturing import run
from tests.unit.fakes import LONGEST_TEST_SECONDS, FakeFetcher, make_order, make_tools


@dataclass(eq=False)
class Bytes:
    """What a question has in flight."""

    bytes: int


async def waits(in_flight: InFlight, namespace: str) -> bool:
    """Whether a further question of the namespace has to wait."""
    room = asyncio.create_task(in_flight.room(namespace))
    for _ in range(3):
        await asyncio.sleep(0)
    if room.done():
        return False
    room.cancel()
    return True


@pytest.mark.parametrize(
    ("limits", "loud", "quiet", "loud_waits", "quiet_waits"),
    [
        ((0, 0), 10**12, 10**12, False, False),
        ((100, 0), 99, 0, False, False),
        ((100, 0), 100, 99, True, False),
        ((0, 100), 60, 40, True, True),
        ((0, 100), 100, 0, True, False),
        ((100, 150), 100, 50, True, True),
    ],
)
async def test_who_waits(limits: tuple[int, int], loud: int, quiet: int, loud_waits: bool, quiet_waits: bool) -> None:
    """From a namespace's limit on, or from the common one; a namespace that has nothing in flight may always begin."""
    in_flight = InFlight(*limits)
    with in_flight.counted("loud", Bytes(loud)), in_flight.counted("quiet", Bytes(quiet)):
        assert (await waits(in_flight, "loud"), await waits(in_flight, "quiet")) == (loud_waits, quiet_waits)
    assert not await waits(in_flight, "loud")


async def test_those_that_wait_go_on_when_another_has_ended() -> None:
    """However it ended."""
    in_flight = InFlight(10)
    with pytest.raises(ValueError), in_flight.counted("a", Bytes(10)):
        rooms = [asyncio.create_task(in_flight.room("a")) for _ in range(3)]
        await asyncio.sleep(0)
        raise ValueError
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await asyncio.gather(*rooms)
    assert not in_flight._usages and not in_flight._waiting


async def test_a_capture_asks_on_when_there_is_room(tmp_path: Path) -> None:
    """A question waits until the first has saved its entries; a cancellation does not wait."""
    at_once: list[int] = []
    in_flight = InFlight(1)
    going = 0

    async def step() -> None:
        nonlocal going
        going += 1
        at_once.append(going)
        await asyncio.sleep(0.01)
        going -= 1

    answers: dict[str, list[Any]] = {str(number): [[{"line": "x"}], step] for number in range(4)}
    tools = make_tools(tmp_path, FakeFetcher(answers), max_fetches=4, budget=Budget(in_flight=in_flight))
    with in_flight.counted("shop", Bytes(1)):
        running = asyncio.create_task(run(make_order(), tools))
        await asyncio.sleep(0.2)
        assert not at_once
    assert (await running).manifest.phase == "Completed"
    assert len(at_once) == 4

    with in_flight.counted("shop", Bytes(1)):
        order = make_order("another")
        running = asyncio.create_task(run(order, tools))
        await asyncio.sleep(0.1)
        order.cancelled.set()
        assert (await running).manifest.phase == "Cancelled"
