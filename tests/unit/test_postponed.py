"""Investigations beyond the limit of the queue: they wait as Pending, none is lost, and the oldest comes first."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.handlers.postponed import Postponed
from aletheia_operator.session import InvestigationReference
from tests.unit.fakes import FakeFetcher, FakeKubernetes, forever
from tests.unit.supervising import Rig, make_body, no_delays

__all__ = ["no_delays"]  # a fixture for every test


def owner(uid: str, namespace: str = "shop") -> InvestigationReference:
    return InvestigationReference(namespace=namespace, name=uid, uid=uid)


def postponed(max_queued: int, **objects: Any) -> Postponed:
    known = {paths.investigation("shop", name): found for name, found in objects.items()}
    return Postponed(FairSlots(1, 1), FakeKubernetes(known).real(), max_queued)


def reason(rig: Rig, name: str) -> str:
    status = rig.kubernetes.stored[paths.investigation("shop", name)].get("status") or {}
    return str(next((entry["reason"] for entry in status.get("conditions") or []), ""))


async def crowd(root: Path, names: str) -> Rig:
    """A supervisor with one slot, which a capture that hangs has, room for two in the queue, and these, which came in order."""
    rig = Rig(root, FakeFetcher({"a": [forever]}), max_investigations=1, max_queued=2)
    for name in names:
        rig.observe(make_body(uid=name))
        await rig.until(partial(reason, rig, name))
    return rig


async def runs(rig: Rig, name: str) -> None:
    await rig.until(lambda: reason(rig, name) == "Running")


async def end(rig: Rig, name: str) -> None:
    rig.observe(make_body(uid=name, generation=2, cancel=True))
    await rig.until(lambda: reason(rig, name) in ("Cancelled", "Completed", "Failed"))


async def test_what_does_not_fit_into_the_queue_waits_and_is_taken_up_in_its_order(tmp_path: Path) -> None:
    """The status says so. When one has ended, the oldest that waits goes into the queue, and in the end all have run."""
    rig = await crowd(tmp_path, "abcdefg")
    assert [reason(rig, name) for name in "abcdefg"] == ["Running", "Queued", "Queued", *["QueueFull"] * 4]
    assert not {"d", "e", "f", "g"} & rig.supervisor._runs.keys()
    await end(rig, "a")
    await rig.until(lambda: reason(rig, "d") == "Queued")
    await runs(rig, "b")
    assert [reason(rig, name) for name in "cg"] == ["Queued", "QueueFull"]
    for name in "bcdefg":
        await runs(rig, name)
        await end(rig, name)
    await rig.settled()
    assert not rig.supervisor._postponed._waiting and not rig.supervisor._postponed._admitted


async def test_one_that_waits_can_be_cancelled_suspended_and_deleted(tmp_path: Path) -> None:
    """It ends at once, leaves the line, or is forgotten; those behind it move up."""
    rig = await crowd(tmp_path, "abcdefg")
    await end(rig, "d")
    rig.observe(make_body(uid="e", generation=2, suspend=True))
    await rig.until(lambda: reason(rig, "e") == "Suspended")
    rig.supervisor.forget("f")
    await end(rig, "a")
    await rig.until(lambda: reason(rig, "g") == "Queued")
    await runs(rig, "b")
    assert reason(rig, "c") == "Queued"
    await rig.supervisor.close()


async def test_a_change_of_one_that_waits_does_not_let_it_overtake(tmp_path: Path) -> None:
    """Its status is written once, however often the watch shows it, and one that comes later waits behind it."""
    rig = await crowd(tmp_path, "abcd")
    written = len(rig.kubernetes.statuses)
    for _ in range(3):
        rig.show("d", "d")
    await rig.until(lambda: "d" not in rig.supervisor._tasks)
    assert len(rig.kubernetes.statuses) == written
    rig.observe(make_body(uid="e"))
    await rig.until(lambda: reason(rig, "e") == "QueueFull")
    await end(rig, "a")
    await rig.until(lambda: reason(rig, "d") == "Queued")
    assert reason(rig, "e") == "QueueFull"
    await rig.supervisor.close()


async def test_a_capture_that_a_former_process_began_is_not_postponed(tmp_path: Path) -> None:
    """What it has not captured yet may be lost soon: it goes into the queue even if that is full."""
    rig = await crowd(tmp_path, "abcd")
    rig.observe(make_body(uid="e", status={"phase": "Running", "operator": "flight"}))
    await rig.until(lambda: reason(rig, "e") == "Queued")
    assert reason(rig, "d") == "QueueFull"
    await rig.supervisor.close()


async def test_each_namespace_has_its_own_room() -> None:
    """A full queue of one lets those of others in. Those on their way into the queue count."""
    line = postponed(1)
    assert not line.must_wait(owner("a"))
    release = await line.slots.acquire("shop")
    line.add(owner("a"))
    line.add(owner("b"))
    assert line.must_wait(owner("c")) and not line.must_wait(owner("d", "bank"))
    assert [found.uid for found in line.admit(())] == ["a"]
    assert line.admit(()) == [], "one is on its way"
    assert not line.must_wait(owner("a")) and line.must_wait(owner("c"))
    line.arrived("a")
    assert line.admit({"b"}) == [], "it is busy"
    assert [found.uid for found in line.admit(())] == ["b"]
    release()


@pytest.mark.parametrize(
    ("found", "read", "waits"),
    [
        ({"metadata": {"uid": "a"}}, True, False),
        ({"metadata": {"uid": "another"}}, False, False),
        (Rejected("gone", GapReason.NOT_FOUND), False, False),
        (Unavailable("away"), False, True),
    ],
)
async def test_one_that_is_taken_up_is_read_again(found: Any, read: bool, waits: bool) -> None:
    """One that is gone is forgotten. If the API server does not answer, it waits again."""
    line, bodies = postponed(1, a=found), dict[str, Any]()
    line.add(owner("a"))
    assert not line.add(owner("a")), "it waits already"
    (admitted,) = line.admit(())
    await line.read(admitted, bodies)
    line.arrived("a")
    assert (bodies.keys() == {"a"}, bool(line._waiting)) == (read, waits)
