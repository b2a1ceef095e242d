"""The events of a window, deduplicated and bounded. Pure.

core/v1 serves what was written as core/v1 (`firstTimestamp`, `lastTimestamp`, `count`) and as events.k8s.io/v1 (`eventTime`,
`series`).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.resources import Object
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import format_time

MAX_EVENTS = 20_000  # distinct; of more, warnings are kept first
MAX_BYTES = 24 * 1024 * 1024  # of all that is kept
EVENTS_PER_BATCH = 500

ENDING = timedelta(seconds=30)  # that a pod usually has to end in (terminationGracePeriodSeconds), and writes meanwhile
Subject = tuple[str, str]  # kind, name
_Key = tuple[str, ...]


def subject_of(event: Object) -> Subject:
    """Return what the event is about; empty words for what it does not say."""
    involved = event["involvedObject"]
    return involved.get("kind") or "", involved.get("name") or ""


def related_of(event: Object) -> Subject:
    """Return the second object that the event names; empty words where it names none."""
    related = event.get("related") or {}
    return related.get("kind") or "", related.get("name") or ""


@dataclass
class Event:
    """Events that say the same of the same object, as one. `host` is the node that reported it, where one did."""

    kind: str
    name: str
    uid: str
    type: str
    reason: str
    message: str
    first: datetime
    last: datetime
    count: int
    host: str | None
    related: Subject
    object: Mapping[str, Any]
    raw: list[bytes]

    @property
    def subject(self) -> Subject:
        return self.kind, self.name

    def to_json(self) -> dict[str, Any]:
        return {
            "first": format_time(self.first),
            "last": format_time(self.last),
            "count": self.count,
            "type": self.type,
            "reason": self.reason,
            "message": self.message,
            "object": self.object,
            "raw": orjson.Fragment(b"[" + b",".join(self.raw) + b"]"),
        }


class Events:
    """The events of a window, deduplicated."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.oldest: datetime | None = None
        self.dropped = 0
        self._size_bytes = 0
        self._events: dict[_Key, Event] = {}
        self._unsure: dict[_Key, None] = {}
        self._normal: dict[_Key, None] = {}  # of the others those that are no warnings
        self._before: dict[tuple[str, str], Event] = {}  # of each pod, by its name and uid, the last event before the window
        self._after: dict[tuple[str, str], Event] = {}  # and the first behind it
        self._added: set[str] = set()  # uids: a list that begins anew, or overlaps another, brings an event twice

    def see(self, event: Object) -> None:
        """Remember how old the oldest event is that the API server still has."""
        last = times_of(event)[1]
        self.oldest = min(self.oldest or last, last)

    def add(self, event: Object, *, sure: bool = True) -> None:
        """Keep an event that touches the window, once. `sure`: it is wanted; others give way to it where room is short."""
        first, last, count = times_of(event)
        if last < self.window.start or first > self.window.end:
            self._note_outside(event, first, last, count)
            return
        if self._was_added(event):
            return
        kind, name = subject_of(event)
        involved = event["involvedObject"]
        said = (event.get("type") or "", event.get("reason") or "", event.get("message") or "")
        key = (kind, name, involved.get("uid") or "", involved.get("fieldPath") or "", *said)
        event["metadata"].pop("managedFields", None)
        raw = orjson.dumps(event)
        known = self._events.get(key)
        if not self._has_room(len(raw), sure=sure, warning=said[0] == "Warning", is_new=known is None):
            self.dropped += 1
            return
        self._size_bytes += len(raw)
        if known is not None and key in self._events:
            known.first, known.last, known.count = min(known.first, first), max(known.last, last), known.count + count
            known.raw.append(raw)
            return
        host = (event.get("source") or {}).get("host") or None
        if not sure:
            self._unsure[key] = None
        elif said[0] != "Warning":
            self._normal[key] = None
        self._events[key] = Event(kind, name, key[2], *said, first, last, count, host, related_of(event), involved, [raw])

    def _note_outside(self, event: Object, first: datetime, last: datetime, count: int) -> None:
        """Remember how close to the window a pod has events."""
        kind, name = subject_of(event)
        side = self._before if last < self.window.start else self._after
        involved = event["involvedObject"]
        uid = involved.get("uid") or ""
        known = side.get((name, uid))
        if kind != "Pod" or (known is None and len(side) >= MAX_EVENTS):
            return
        if known is None or (known.last < last if side is self._before else known.first > first):
            said = (event.get("type") or "", event.get("reason") or "", event.get("message") or "")
            host = (event.get("source") or {}).get("host") or None
            side[name, uid] = Event(kind, name, uid, *said, first, last, count, host, related_of(event), involved, [])

    def around(self) -> list[Event]:
        """Events outside of the window that show that a pod lived in it: before and behind it, or so shortly before that the
        pod may still have been ending.
        """
        found = []
        for key, before in self._before.items():
            if key in self._after:
                found += [before, self._after[key]]
            elif self.window.start - before.last <= ENDING:
                found.append(before)
        return found

    def _was_added(self, event: Object) -> bool:
        uid = event["metadata"].get("uid")
        if uid is None:
            return False
        if uid in self._added:
            return True
        self._added.add(uid)
        return False

    def _has_room(self, size_bytes: int, *, sure: bool, warning: bool, is_new: bool) -> bool:
        """Whether an event still fits. For one that is wanted, unsure ones are dropped until it does; for a warning, others."""
        while (is_new and len(self._events) >= MAX_EVENTS) or self._size_bytes + size_bytes > MAX_BYTES:
            if sure and self._unsure:
                self._drop(next(reversed(self._unsure)))
            elif sure and warning and self._normal:
                self._drop(next(reversed(self._normal)))
            else:
                return False
            self.dropped += 1
        return True

    def _drop(self, key: _Key) -> None:
        self._size_bytes -= sum(map(len, self._events.pop(key).raw))
        self._unsure.pop(key, None)
        self._normal.pop(key, None)

    def keep(self, wanted: set[Subject]) -> None:
        """Drop the events that concern nothing in `wanted`."""
        for key, event in list(self._events.items()):
            if event.subject not in wanted and event.related not in wanted:
                self._drop(key)

    @property
    def found(self) -> bool:
        """Whether there is any event."""
        return bool(self._events)

    def of_kind(self, kind: str) -> list[Event]:
        """The events about objects of a kind."""
        return [event for event in self._events.values() if event.kind == kind]

    def too_many(self) -> list[Missing]:
        """The gap for events that did not fit; none where all did."""
        if not self.dropped:
            return []
        message = (
            f"{self.dropped} events were left out: more than {MAX_EVENTS} differ, or they are larger than"
            f" {MAX_BYTES // 2**20} MiB. Name fewer targets or a shorter window"
        )
        return [Missing("events", GapReason.BUDGET_EXCEEDED, message)]

    def summary(self) -> str:
        """For example: 14 events (3 Warning), most: BackOff (12x)."""
        warnings: dict[str, int] = {}
        for event in self._events.values():
            if event.type == "Warning":
                warnings[event.reason] = warnings.get(event.reason, 0) + event.count
        text = f"{len(self._events)} events"
        if warnings:
            number = sum(event.type == "Warning" for event in self._events.values())
            reason = max(warnings, key=lambda name: warnings[name])
            text += f" ({number} Warning), most: {one_line(reason, 60)} ({warnings[reason]}x)"
        return text

    async def batches(self) -> AsyncGenerator[list[Any], None]:
        """Yield the entries in order of their first time."""
        ordered = await asyncio.to_thread(
            sorted, self._events.values(), key=lambda event: (event.first, event.last, event.name)
        )
        for first in range(0, len(ordered), EVENTS_PER_BATCH):
            yield [event.to_json() for event in ordered[first : first + EVENTS_PER_BATCH]]


def times_of(event: Object) -> tuple[datetime, datetime, int]:
    """First and last time and count: core/v1 has them as such, events.k8s.io/v1 as `eventTime` and `series`."""
    series = event.get("series") or {}
    made = event["metadata"].get("creationTimestamp")
    first = event.get("firstTimestamp") or event.get("eventTime") or made
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or first
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return min(start, end), max(start, end), int(series.get("count") or event.get("count") or 1)


def _order(event: Event) -> tuple[datetime, datetime, str]:
    return event.first, event.last, event.name
