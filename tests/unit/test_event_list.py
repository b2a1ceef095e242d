"""The events of a window: which are in it, which are nearest to it, which are equal, and their order in the file."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.kubernetes import event_list
from aletheia_operator.fetchers.kubernetes.event_list import EVENTS_PER_BATCH, Events, related_of, subject_of, times_of
from tests.unit.kubernetes_api import NOW, Object, an_event

WINDOW = Window(NOW - timedelta(hours=1), NOW)  # 11:00 to 12:00


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-22T{text}+00:00")


def spanning(first: str, last: str) -> Object:
    return an_event("web-0", "BackOff", firstTimestamp=f"2026-11-22T{first}Z", lastTimestamp=f"2026-11-22T{last}Z")


@pytest.mark.parametrize(
    ("first", "last", "kept"),
    [
        ("10:00:00", "10:59:59.999999", False),
        ("10:00:00", "11:00:00", True),
        ("10:00:00", "13:00:00", True),
        ("11:10:00", "11:20:00", True),
        ("12:00:00", "13:00:00", True),
        ("12:00:00.000001", "13:00:00", False),
    ],
)
def test_which_events_touch_the_window(first: str, last: str, kept: bool) -> None:
    """Both ends of the window belong to it."""
    events = Events(WINDOW)
    events.add(spanning(first, last))
    assert bool(events.of_kind("Pod")) is events.found is kept


def seen_around(*events: Object) -> list[tuple[str, str, str]]:
    """Name, uid and first time of the events around the window."""
    seen = Events(WINDOW)
    for event in events:
        seen.add(event)
    assert not seen.found
    return [(event.name, event.uid, f"{event.first:%H:%M:%S}") for event in seen.around_window()]


def test_of_the_events_around_the_window_the_nearest_are_remembered() -> None:
    """On each side the one nearest to it, in whatever order they come."""
    times = ("10:10:00", "10:50:00", "10:20:00", "13:10:00", "12:20:00", "14:00:00")
    for order in (times, times[::-1]):
        found = seen_around(*(an_event("web-0", "Pulled", at=at) for at in order))
        assert found == [("web-0", "uid-web-0", "10:50:00"), ("web-0", "uid-web-0", "12:20:00")]


def test_pods_of_one_name_are_told_apart() -> None:
    """A StatefulSet recreates pods with the same name: a pod that ended before the window was not in it."""
    old, new = an_event("db-0", "Killing", uid="old", at="10:10:00"), an_event("db-0", "Started", uid="new", at="12:30:00")
    assert seen_around(old, new) == []


@pytest.mark.parametrize(("at", "ending"), [("10:59:29", False), ("10:59:30", True), ("10:59:59", True)])
def test_a_pod_that_may_still_have_been_ending(at: str, ending: bool) -> None:
    """Its last event is at most half a minute before the window."""
    assert bool(seen_around(an_event("web-0", "Killing", at=at))) is ending


def test_an_event_behind_the_window_alone_shows_nothing() -> None:
    """The pod may have been created after the window."""
    assert seen_around(an_event("web-0", "Scheduled", at="12:00:01")) == []


def test_only_pods_are_remembered_around_the_window() -> None:
    """Other objects with events before and after it are not."""
    events = [an_event("n1", "NodeNotReady", kind, at=at) for kind in ("Node", "ReplicaSet") for at in ("10:30:00", "12:30:00")]
    assert seen_around(*events) == []


def test_the_pods_around_the_window_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first events up to a limit on each side; those are still updated."""
    monkeypatch.setattr(event_list, "MAX_AROUND", 2)
    events = [an_event(f"web-{number}", "Pulled", at=at) for at in ("10:30:00", "10:40:00", "12:30:00") for number in range(4)]
    assert [(name, first) for name, _, first in seen_around(*events)] == [
        ("web-0", "10:40:00"),
        ("web-0", "12:30:00"),
        ("web-1", "10:40:00"),
        ("web-1", "12:30:00"),
    ]


def test_an_event_around_the_window_keeps_no_text() -> None:
    """Thousands of pods are remembered by such events."""
    events = Events(WINDOW)
    events.add(an_event("web-0", "Killing", at="10:59:59", message="x" * 1000))
    (event,) = events.around_window()
    assert (len(event.message), event.object, event.raw) == (300, b"{}", [])


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "ReplicaSet"},
        {"uid": "another"},
        {"type": "Warning"},
        {"message": "another"},
        {"reason": "Killing"},
        {"name": "web-1"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_events_that_say_different_things_stay_apart(other: dict[str, Any]) -> None:
    """Each part of what an event says counts."""
    events = Events(WINDOW)
    same = {"name": "web-0", "reason": "Pulled", "uid": "uid"}
    for fields in (same, same, same | other):
        events.add(an_event(**fields, at=f"11:30:0{fields is same:d}"))
    events.add(an_event(**same, at="11:31:00"))
    found = [*events.of_kind("Pod"), *events.of_kind("ReplicaSet")]
    assert sorted(event.count for event in found) == [1, 2]


def test_events_of_parts_of_an_object_stay_apart() -> None:
    """The field path distinguishes the containers of a pod."""
    events = Events(WINDOW)
    for number in range(2):
        event = an_event("web-0", "Pulled", at=f"11:30:0{number}")
        event["involvedObject"]["fieldPath"] = f"spec.containers{{{number}}}"
        events.add(event)
    assert len(events.of_kind("Pod")) == 2


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        pytest.param({}, ("11:30:00", "11:30:00", 1), id="core/v1"),
        pytest.param({"count": 5, "lastTimestamp": "2026-11-22T11:40:00Z"}, ("11:30:00", "11:40:00", 5), id="repeated"),
        pytest.param(
            {"firstTimestamp": None, "lastTimestamp": None, "count": None, "eventTime": "2026-11-22T11:10:00Z"},
            ("11:10:00", "11:10:00", 1),
            id="events.k8s.io/v1",
        ),
        pytest.param(
            {
                "firstTimestamp": None,
                "eventTime": "2026-11-22T11:10:00Z",
                "series": {"count": 7, "lastObservedTime": "2026-11-22T11:50:00Z"},
                "lastTimestamp": "2026-11-22T11:20:00Z",
                "count": 3,
            },
            ("11:10:00", "11:50:00", 7),
            id="a series",
        ),
        pytest.param({"firstTimestamp": None, "lastTimestamp": None}, ("11:30:00", "11:30:00", 1), id="its creation alone"),
        pytest.param({"lastTimestamp": "2026-11-22T11:20:00Z"}, ("11:20:00", "11:30:00", 1), id="the last before the first"),
        pytest.param({"count": 0}, ("11:30:00", "11:30:00", 1), id="no count"),
    ],
)
def test_when_and_how_often_an_event_happened(fields: dict[str, Any], times: tuple[str, str, int]) -> None:
    """By the fields of either API version."""
    first, last, count = times
    assert times_of(an_event("web-0", "BackOff", **fields)) == (moment(first), moment(last), count)


def test_what_an_event_is_about() -> None:
    """Kind and name of its object and of the related one, cut; empty where they are missing."""
    event = an_event("x" * 400, "Killing", related={"kind": "Node", "name": "n1"})
    assert (subject_of(event), related_of(event)) == (("Pod", "x" * 300), ("Node", "n1"))
    assert related_of(an_event("web-0", "Killing")) == ("", "")
    assert subject_of({"involvedObject": {"kind": None}}) == ("", "")


def test_the_oldest_event_of_the_server_is_remembered() -> None:
    """By its last time, whether it is kept or not."""
    events = Events(WINDOW)
    assert events.oldest is None
    for first, last in (("10:00:00", "10:30:00"), ("09:00:00", "10:10:00"), ("11:00:00", "11:00:00")):
        events.update_oldest(spanning(first, last))
    assert events.oldest == moment("10:10:00")


def test_what_concerns_nobody_is_dropped() -> None:
    """An event is kept for its object or its related object; dropped events free their memory."""
    events = Events(WINDOW)
    for event in (
        an_event("web-0", "Killing"),
        an_event("web-1", "Killing", related={"kind": "Node", "name": "n1"}),
        an_event("web-2", "Killing"),
    ):
        events.add(event, sure=False)
    events.keep({("Pod", "web-0"), ("Node", "n1")})
    assert [event.name for event in events.of_kind("Pod")] == ["web-0", "web-1"]
    assert events._size_bytes == sum(event.size_bytes for event in events.of_kind("Pod"))
    assert events.dropped == 0
    assert events.too_many() == []


async def test_entries_come_in_order_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their first time, then their last; a batch has at most so many entries, or so many bytes and one more."""
    events = Events(WINDOW)
    for number in reversed(range(EVENTS_PER_BATCH + 1)):
        events.add(an_event(f"web-{number:03}", "Pulled", at=f"11:{number // 60:02}:{number % 60:02}"))
    batches = [batch async for batch in events.batches()]
    assert [len(batch) for batch in batches] == [EVENTS_PER_BATCH, 1]
    names = [entry["object"]["name"] for batch in batches for entry in batch]
    assert names == [f"web-{number:03}" for number in range(EVENTS_PER_BATCH + 1)]
    monkeypatch.setattr(event_list, "BATCH_BYTES", 3 * events.of_kind("Pod")[0].size_bytes)
    assert {len(batch) async for batch in events.batches()} == {4, 1}


async def test_events_of_one_moment_are_ordered_by_name() -> None:
    """So two captures of the same events are equal."""
    for names in (["b", "a", "c"], ["c", "b", "a"]):
        events = Events(WINDOW)
        for name in names:
            events.add(an_event(name, "Pulled"))
        assert [entry["object"]["name"] async for batch in events.batches() for entry in batch] == ["a", "b", "c"]
        assert [batch async for batch in Events(WINDOW).batches()] == []
