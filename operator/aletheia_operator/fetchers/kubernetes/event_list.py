"""The events of a window, deduplicated. Pure.

core/v1 serves what was written as core/v1 (`firstTimestamp`, `lastTimestamp`, `count`) and as events.k8s.io/v1 (`eventTime`,
`series`).
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.members import Object
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import format_time

DEFAULT_TTL = timedelta(hours=1)  # kube-apiserver --event-ttl
TTL_SLACK = timedelta(minutes=5)  # a lookback of an hour is asked some moments later
MAX_EVENTS = 20_000  # distinct; of more, warnings are kept first
EVENTS_PER_BATCH = 500

Subject = tuple[str, str]  # kind, name


def subject_of(event: Object) -> Subject:
    involved = event["involvedObject"]
    return involved.get("kind") or "", involved.get("name") or ""


def related_of(event: Object) -> Subject:
    related = event.get("related") or {}
    return related.get("kind") or "", related.get("name") or ""


@dataclass
class Event:
    """Events that say the same of the same object, as one."""

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
        self._events: dict[tuple[str, ...], Event] = {}

    def see(self, event: Object) -> None:
        """Note how old events are that the API server still has."""
        last = times_of(event)[1]
        self.oldest = min(self.oldest or last, last)

    def add(self, event: Object) -> None:
        """Keep an event that touches the window."""
        first, last, count = times_of(event)
        if last < self.window.start or first > self.window.end:
            return
        kind, name = subject_of(event)
        involved = event["involvedObject"]
        said = (event.get("type") or "", event.get("reason") or "", event.get("message") or "")
        key = (kind, name, involved.get("uid") or "", involved.get("fieldPath") or "", *said)
        event["metadata"].pop("managedFields", None)
        raw = orjson.dumps(event)
        if known := self._events.get(key):
            known.first, known.last, known.count = min(known.first, first), max(known.last, last), known.count + count
            known.raw.append(raw)
            return
        if len(self._events) >= MAX_EVENTS and not self._make_room(said[0]):
            self.dropped += 1
            return
        host = (event.get("source") or {}).get("host") or None
        self._events[key] = Event(kind, name, key[2], *said, first, last, count, host, related_of(event), involved, [raw])

    def _make_room(self, kind: str) -> bool:
        """Drop one that is no warning for one that is."""
        if kind != "Warning":
            return False
        normal = next((key for key, event in self._events.items() if event.type != "Warning"), None)
        if normal is None:
            return False
        del self._events[normal]
        self.dropped += 1
        return True

    def keep(self, wanted: set[Subject]) -> None:
        """Drop what turned out to be of nobody who is wanted."""
        self._events = {
            key: event for key, event in self._events.items() if (event.kind, event.name) in wanted or event.related in wanted
        }

    @property
    def found(self) -> bool:
        return bool(self._events)

    def of_pods(self) -> list[Event]:
        return [event for event in self._events.values() if event.kind == "Pod"]

    def incomplete(self, now: datetime) -> list[Missing]:
        """What may be missing: too many, or the window begins before all that is left, and longer ago than events live."""
        gaps = []
        if self.dropped:
            message = (
                f"{self.dropped} events were left out: more than {MAX_EVENTS} differ. Name fewer targets or a shorter window"
            )
            gaps.append(Missing("events", GapReason.BUDGET_EXCEEDED, message))
        start = self.window.start
        if start >= now - DEFAULT_TTL - TTL_SLACK or (self.oldest is not None and self.oldest <= start):
            return gaps
        left = f"the oldest one left in this namespace is of {format_time(self.oldest)}" if self.oldest else "none is left"
        message = (
            f"the window begins at {format_time(start)}, but the API server keeps events for an hour by default, and {left}:"
            " older events, and pods that were gone by then, may be missing, and no later Investigation can have them"
        )
        return [*gaps, Missing("events", GapReason.EVENTS_EXPIRED, message)]

    def summary(self) -> str:
        """Such as: 14 events (3 Warning), most: BackOff (12x)."""
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
        ordered = sorted(self._events.values(), key=lambda event: (event.first, event.last, event.name))
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
