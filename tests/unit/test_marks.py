"""Operators' marks: another operator takes over from one without a heartbeat, and never from a living one."""

import asyncio
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import paths
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.handlers import run as run_module
from aletheia_operator.handlers import status_writer as status_module
from aletheia_operator.handlers.marks import EXPIRY_SECONDS, MAX_AT_ONCE, Mark, OtherMarks, is_left_here
from aletheia_operator.session import InvestigationReference, Manifest, Session, SessionLayout, create_session
from aletheia_operator.session.volume import record_operator
from tests.support.captures import unfinished
from tests.unit.fakes import NOW, UID, FakeFetcher, forever
from tests.unit.supervising import Rig, make_body, no_delays

__all__ = ["no_delays"]
PATH = paths.investigation("shop", "incident")
LEFT = {"phase": "Running", "operator": "another", "operatorTime": "2026-11-22T12:00:00Z"}


class Monotonic:
    """A clock of seconds that the test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def with_clock(rig: Rig) -> Monotonic:
    clock = Monotonic()
    rig.supervisor.others = OtherMarks(clock)
    return clock


def left_behind(layout: SessionLayout) -> Manifest:
    """The session of a capture that was broken off."""
    template = unfinished(InvestigationReference(namespace="shop", name="incident", uid=UID))
    return create_session(layout, template.model_copy(update={"spec": make_body()["spec"]}))


def stored(rig: Rig) -> dict[str, Any]:
    status: dict[str, Any] = rig.kubernetes.stored[PATH]["status"]
    return status


async def test_a_mark_without_a_sign_of_life_is_taken_over(tmp_path: Path) -> None:
    """It was seen unchanged for the whole time. The condition about the other operator is removed."""
    rig = Rig(tmp_path)
    clock = with_clock(rig)
    await rig.supervisor.shared.identity.get()
    rig.observe(make_body(status=LEFT))
    await rig.settled()
    rig.show()
    clock.seconds = EXPIRY_SECONDS - 1
    await rig.supervisor.beat()
    await rig.settled()
    assert rig.fetcher.asked == []
    clock.seconds = EXPIRY_SECONDS
    await rig.supervisor.beat()
    await rig.settled()
    body = rig.show()
    assert (rig.fetcher.asked, body["status"]["operator"], body["status"]["phase"]) == (["a"], "flight", "Completed")
    assert "Contested" not in [condition["type"] for condition in body["status"]["conditions"]]
    await rig.supervisor.close()


async def test_a_mark_that_moves_is_left_alone(tmp_path: Path) -> None:
    """It does not matter whether the watch has shown the move."""
    rig = Rig(tmp_path)
    clock = with_clock(rig)
    rig.observe(make_body(status=LEFT))
    await rig.settled()
    for minute in range(60):
        clock.seconds = 60.0 * minute
        stored(rig)["operatorTime"] = f"2026-11-22T12:{minute:02}:00Z"
        rig.show()
        assert rig.supervisor._tasks == {}, "it is known already"
        await rig.supervisor.beat()
        await rig.settled()
    stored(rig)["operatorTime"] = "2026-11-22T13:00:00Z"  # the watch does not show this one
    clock.seconds += 2 * EXPIRY_SECONDS
    await rig.supervisor.beat()
    await rig.settled()
    assert (rig.fetcher.asked, stored(rig)["operator"]) == ([], "another")
    assert [reason for _, reason, _ in rig.events] == ["CapturedElsewhere"]
    await rig.supervisor.close()


@pytest.mark.logs_errors("was taken over by another operator")
async def test_a_capture_gives_signs_of_life_and_stops_when_it_is_taken_over(tmp_path: Path) -> None:
    """Its operator writes the time. Once another operator is noted, it stops capturing and writing."""
    rig = Rig(tmp_path, FakeFetcher({"a": [[1], forever]}))
    rig.observe(make_body())
    await rig.until(lambda: rig.fetcher.asked)
    first = stored(rig)["operatorTime"]
    rig.clock.advance(60)
    await rig.supervisor.beat()
    assert stored(rig)["operatorTime"] != first
    stored(rig)["operator"] = "another"
    await rig.supervisor.beat()
    await rig.settled()
    written = len(rig.kubernetes.patches)
    rig.show()
    await rig.settled()
    await rig.supervisor.beat()
    assert stored(rig)["operator"] == "another"
    assert stored(rig)["phase"] == "Running"
    assert len(rig.kubernetes.patches) - written <= 2
    await rig.supervisor.close()


async def test_an_api_server_that_is_away_stops_no_capture(tmp_path: Path) -> None:
    """A sign of life that cannot be written is written later."""
    rig = Rig(tmp_path, FakeFetcher({"a": [[1], forever]}))
    rig.observe(make_body())
    await rig.until(lambda: rig.fetcher.asked)
    rig.kubernetes.refusals = [Unavailable("away")] * 3
    await rig.supervisor.beat()
    assert rig.supervisor._runs
    await rig.supervisor.close()


async def test_a_last_status_does_not_overwrite_that_of_a_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that was cut off and comes back leaves the status to the one that took over."""
    monkeypatch.setattr(status_module, "WRITE_SECONDS", 0.05)
    rig = Rig(tmp_path)
    take = rig.kubernetes.patch_status

    async def go_away(path: str, status: Any, uid: str, version: str | None = None) -> None:
        if status.get("phase") == "Completed":
            raise Unavailable("away")
        await take(path, status, uid, version)

    monkeypatch.setattr(rig.kubernetes, "patch_status", go_away)
    rig.observe(make_body())
    await rig.settled()
    monkeypatch.setattr(rig.kubernetes, "patch_status", take)
    stored(rig)["operator"] = "another"
    await rig.supervisor.write_again()
    await rig.settled()
    assert (stored(rig)["operator"], stored(rig)["phase"]) == ("another", "Running")
    assert not rig.supervisor._unwritten
    await rig.supervisor.close()


@pytest.mark.parametrize("known", [True, False], ids=["by the first look", "by the claim"])
async def test_what_was_left_on_the_same_volume_is_taken_at_once(tmp_path: Path, known: bool) -> None:
    """A release that was reinstalled under another name continues it. It waits while its predecessor still works."""
    rig = Rig(tmp_path)
    layout = rig.supervisor.shared.tools.layout
    manifest = left_behind(layout)
    record_operator(layout, "another")
    if known:
        await rig.supervisor.shared.identity.get()
    rig.observe(make_body(status=LEFT))
    await rig.settled()
    body = rig.show()
    assert (body["status"]["operator"], body["status"]["session"]["id"]) == ("flight", manifest.session_id)
    assert (body["status"]["phase"], rig.fetcher.asked) == ("Completed", ["a"])
    assert "CapturedElsewhere" not in [reason for _, reason, _ in rig.events]
    await rig.supervisor.close()


def test_a_session_in_use_or_finished_is_not_left(tmp_path: Path) -> None:
    """Nor is one without a mark, or with that of an operator that never worked on this volume."""
    layout = SessionLayout(tmp_path)
    record_operator(layout, "another")
    record_operator(layout, "us")
    assert not is_left_here(layout, UID, "another")
    manifest = left_behind(layout)
    assert is_left_here(layout, UID, "another")
    assert not is_left_here(layout, UID, "a stranger")
    with Session(layout, manifest) as session:
        assert not is_left_here(layout, UID, "another")
        session.finish(manifest.model_copy(update={"phase": "Completed", "completion_time": NOW}))
    assert not is_left_here(layout, UID, "another")


async def test_of_very_many_a_few_at_a_time_are_taken_over(tmp_path: Path) -> None:
    """Their specs are not kept meanwhile. A recreated or deleted Investigation is not taken for the old one."""
    going = asyncio.Event()
    rig = Rig(tmp_path, FakeFetcher({"a": [going.wait, [1]]}))
    clock = with_clock(rig)
    await rig.supervisor.shared.identity.get()
    uids = [f"uid-{number:05}" for number in range(MAX_AT_ONCE + 10)]
    for uid in uids:
        rig.observe(make_body(uid, status=LEFT))
    await rig.settled()
    rig.kubernetes.stored.pop(paths.investigation("shop", uids[0]))
    rig.kubernetes.stored[paths.investigation("shop", uids[1])]["metadata"]["uid"] = "anew"
    clock.seconds = EXPIRY_SECONDS
    await rig.supervisor.beat()
    assert len(rig.supervisor._runs) == MAX_AT_ONCE - 2
    going.set()
    await rig.settled()
    await rig.supervisor.beat()
    await rig.settled()
    ours = [resource for resource in rig.kubernetes.stored.values() if resource["status"]["operator"] == "flight"]
    assert len(ours) == len(uids) - 2
    await rig.supervisor.close()


def test_marks_count_from_when_they_were_first_seen_so() -> None:
    """Only this process's own clock counts. The mark is forgotten once the Investigation ends or has our own mark."""
    clock = Monotonic()
    marks = OtherMarks(clock)
    body = {"metadata": {"uid": UID, "namespace": "shop", "name": "incident"}, "status": LEFT}
    marks.remember(UID, body, Mark("another", "a"))
    clock.seconds = EXPIRY_SECONDS
    assert marks.expired(UID) == Mark("another", "a")
    marks.remember(UID, body, Mark("another", "b"))
    assert (marks.expired(UID), marks.to_take_over()) == (None, [])
    for status in ({**LEFT, "phase": "Completed"}, {**LEFT, "operator": "us"}):
        marks.remember(UID, body, Mark("another", "b"))
        marks.follow(UID, {"status": copy.deepcopy(status)}, "us")
        assert not marks.knows(UID)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove all real delays."""
    monkeypatch.setattr(run_module, "MAX_RETRY_SECONDS", 0.01)
    yield
