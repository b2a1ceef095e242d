"""Collects the events of a window, deduplicated and bounded. Pure.

core/v1 serves what was written as core/v1 (`firstTimestamp`, `lastTimestamp`, `count`) and as events.k8s.io/v1 (`eventTime`,
`series`).
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar
from weakref import WeakSet

import orjson

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Window
from aletheia_operator.fetchers.kubernetes.resources import Object
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.documents import redact_document
from aletheia_operator.text.display import one_line
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.sizes import counted
from aletheia_operator.text.timestamps import format_time

MAX_EVENTS = 20_000  # distinct events; if there are more, warnings are kept first
MAX_BYTES = 24 * 1024 * 1024  # of all kept events
OWN_BYTES = 4 * 1024 * 1024  # for the events of one capture, however much others take
SHARED_BYTES = 64 * 1024 * 1024  # for all captures of this process; beyond it, each gets only OWN_BYTES
MAX_AROUND = 5_000  # pods with remembered events outside of the window
MAX_MESSAGE = 4_096  # characters; the API's event is kept whole
MAX_WORD = 300  # characters of names, reasons and uids, which the API does not check in an event: no real one is as long
EVENTS_PER_BATCH = 500
BATCH_BYTES = 1024 * 1024

ENDING = timedelta(seconds=30)  # a pod usually has so long to end (terminationGracePeriodSeconds), and may write logs
RUNS = frozenset({"Pulled", "Created", "Started", "Unhealthy"})  # reasons of events of a pod that runs
Subject = tuple[str, str]  # kind, name
_Key = bytes


def subject_of(event: Object) -> Subject:
    """Return kind and name of the event's object; '' for what is missing."""
    involved = event["involvedObject"]
    return _word(involved, "kind"), _word(involved, "name")


def related_of(event: Object) -> Subject:
    """Return kind and name of the event's related object; '' for what is missing."""
    related = event.get("related") or {}
    return _word(related, "kind"), _word(related, "name")


def _word(holder: Mapping[str, Any], name: str) -> str:
    return (holder.get(name) or "")[:MAX_WORD]


@dataclass
class Event:
    """Equal events of the same object, as one. `host`: the node that reported them; None if no node did.

    `object` and `raw` are JSON text: parsed, the events that tenants write could take much more memory.
    """

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
    object: bytes
    raw: list[bytes]

    @property
    def size_bytes(self) -> int:
        return len(self.object) + sum(map(len, self.raw))

    @property
    def subject(self) -> Subject:
        return self.kind, self.name

    def redact(self, redactor: Redactor) -> None:
        """Remove secrets; `redactor` counts those of the API's events."""
        self.raw = [_redacted(event, redactor) for event in self.raw]
        copies = redactor.another()
        self.object = _redacted(self.object, copies)
        self.message, self.reason, self.type = map(copies.text, (self.message, self.reason, self.type))

    def to_json(self) -> dict[str, Any]:
        return {
            "first": format_time(self.first),
            "last": format_time(self.last),
            "count": self.count,
            "type": self.type,
            "reason": self.reason,
            "message": self.message,
            "object": orjson.loads(self.object),  # small, and the timeline reads it
            "raw": orjson.Fragment(b"[" + b",".join(self.raw) + b"]"),
        }


class Events:
    """The events of a window, deduplicated."""

    _all: ClassVar["WeakSet[Events]"] = WeakSet()
    _guard: ClassVar[threading.Lock] = threading.Lock()  # guards `_all`: captures add events in threads

    def __init__(self, window: Window) -> None:
        with self._guard:
            self._all.add(self)
        self.window = window
        self.oldest: datetime | None = None
        self.dropped = 0
        self._size_bytes = 0
        self._events: dict[_Key, Event] = {}
        self._unsure: dict[_Key, None] = {}
        self._normal: dict[_Key, None] = {}  # wanted events that are not warnings
        self._before: dict[tuple[str, str], Event] = {}  # of each pod, by its name and uid, the last event before the window
        self._after: dict[tuple[str, str], Event] = {}  # and the first after it
        self._added: set[str] = set()  # uids of events: a list that begins again, or overlaps another, brings an event twice

    def update_oldest(self, event: Object) -> None:
        """Remember the time of the oldest event that the API server still has."""
        last = times_of(event)[1]
        self.oldest = min(self.oldest or last, last)

    def add(self, event: Object, *, sure: bool = True) -> None:
        """Keep an event that touches the window, once. `sure`: it is wanted; unsure events are dropped first."""
        first, last, count = times_of(event)
        if last < self.window.start or first > self.window.end:
            self._remember_outside(event, first, last, count)
            return
        if self._was_added(event):
            return
        found = _parsed(event, first, last, count)
        key = _key_of(event)
        known = self._events.get(key)
        if not self._has_room(found.size_bytes, sure=sure, warning=found.type == "Warning", is_new=known is None):
            self.dropped += 1
            return
        if known is not None and key in self._events:
            self._size_bytes += len(found.raw[0])
            known.first, known.last, known.count = min(known.first, first), max(known.last, last), known.count + count
            known.raw += found.raw
            return
        self._size_bytes += found.size_bytes
        if not sure:
            self._unsure[key] = None
        elif found.type != "Warning":
            self._normal[key] = None
        self._events[key] = found

    def _remember_outside(self, event: Object, first: datetime, last: datetime, count: int) -> None:
        """Remember a pod's events that are nearest to the window."""
        kind, name = subject_of(event)
        side = self._before if last < self.window.start else self._after
        uid = _word(event["involvedObject"], "uid")
        known = side.get((name, uid))
        if kind != "Pod" or (known is None and len(side) >= MAX_AROUND):
            return
        if known is None or (known.last < last if side is self._before else known.first > first):
            found = _parsed(event, first, last, count)
            side[name, uid] = replace(found, message=found.message[:MAX_WORD], object=b"{}", raw=[])

    def around_window(self) -> list[Event]:
        """Return the events outside of the window that show that a pod lived in it.

        These are before and after it, or so shortly before that the pod may still have been ending.
        """
        found = []
        for key, before in self._before.items():
            if key in self._after:
                found += [before, self._after[key]]
            elif self.window.start - before.last <= ENDING:
                found.append(before)
        return found

    def last_events_of_running_pods(self) -> list[Event]:
        """Return the last events of pods that ran before the window, and have no event of their end.

        A kubelet reports 25 events of an object, then one in five minutes. So a pod in a crash loop may have no event for long.
        """
        latest: dict[str, Event] = {}
        for _, event in sorted(self._before.items(), key=lambda item: item[1].last):
            latest[event.name] = event  # an earlier pod of the name is gone
        return [
            event
            for event in latest.values()
            if self.window.start - event.last > ENDING
            and (event.name, event.uid) not in self._after
            and (event.reason in RUNS or (event.reason == "BackOff" and "restarting" in event.message))
        ]

    def _was_added(self, event: Object) -> bool:
        uid = _word(event["metadata"], "uid")
        if not uid:
            return False
        if uid in self._added:
            return True
        self._added.add(uid)
        return False

    def _has_room(self, size_bytes: int, *, sure: bool, warning: bool, is_new: bool) -> bool:
        """Return whether an event fits. Unsure events are dropped for a wanted one, then normal ones for a warning."""
        while (is_new and len(self._events) >= MAX_EVENTS) or self._is_full(size_bytes):
            if sure and self._unsure:
                self._drop(next(reversed(self._unsure)))
            elif sure and warning and self._normal:
                self._drop(next(reversed(self._normal)))
            else:
                return False
            self.dropped += 1
        return True

    def _is_full(self, more_bytes: int) -> bool:
        size_bytes = self._size_bytes + more_bytes
        if size_bytes <= OWN_BYTES:
            return False
        with self._guard:
            of_all = sum(events._size_bytes for events in self._all)
        return size_bytes > MAX_BYTES or of_all + more_bytes > SHARED_BYTES

    def _drop(self, key: _Key) -> None:
        self._size_bytes -= self._events.pop(key).size_bytes
        self._unsure.pop(key, None)
        self._normal.pop(key, None)

    def keep(self, wanted: set[Subject]) -> None:
        """Drop the events that concern nothing in `wanted`."""
        for key, event in list(self._events.items()):
            if event.subject not in wanted and event.related not in wanted:
                self._drop(key)

    def redact(self, redactor: Redactor) -> None:
        """Remove secrets from all events. Blocks."""
        for event in self._events.values():
            event.redact(redactor)

    @property
    def found(self) -> bool:
        """Whether there are any events."""
        return bool(self._events)

    def of_kind(self, kind: str) -> list[Event]:
        """Return the events about objects of a kind."""
        return [event for event in self._events.values() if event.kind == kind]

    def too_many(self) -> list[Missing]:
        """Return the gap for events that did not fit; [] if all did."""
        if not self.dropped:
            return []
        message = (
            f"left out {counted(self.dropped, 'event')}: more than {MAX_EVENTS} differ, or they are larger than"
            f" {MAX_BYTES // 2**20} MiB, or than there is memory for. Name fewer targets or a shorter window"
        )
        return [Missing("events", GapReason.BUDGET_EXCEEDED, message)]

    def summary(self) -> str:
        """Summarise the events, for example: 14 events (3 Warning), most: BackOff (12x)."""
        warnings: dict[str, int] = {}
        for event in self._events.values():
            if event.type == "Warning":
                warnings[event.reason] = warnings.get(event.reason, 0) + event.count
        text = counted(len(self._events), "event")
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
        batch: list[Any] = []
        size_bytes = 0
        for event in ordered:
            batch.append(event.to_json())
            size_bytes += event.size_bytes
            if len(batch) == EVENTS_PER_BATCH or size_bytes > BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
        if batch:
            yield batch


def _redacted(encoded: bytes, redactor: Redactor) -> bytes:
    document = orjson.loads(encoded)
    redact_document(document, redactor)
    return dumps(document)


def _parsed(event: Object, first: datetime, last: datetime, count: int) -> Event:
    """Return the event without fields that only the API server needs."""
    event["metadata"].pop("managedFields", None)
    kind, name = subject_of(event)
    involved = event["involvedObject"]
    return Event(
        kind=kind,
        name=name,
        uid=_word(involved, "uid"),
        type=_word(event, "type"),
        reason=_word(event, "reason"),
        message=(event.get("message") or "")[:MAX_MESSAGE],
        first=first,
        last=last,
        count=count,
        host=_word(event.get("source") or {}, "host") or None,
        related=related_of(event),
        object=dumps(involved),
        raw=[dumps(event)],
    )


def _key_of(event: Object) -> _Key:
    """Return a key that equal events of the same object share."""
    involved = event["involvedObject"]
    identifying = [involved.get(name) or "" for name in ("kind", "name", "uid", "fieldPath")]
    identifying += [event.get(name) or "" for name in ("type", "reason", "message")]
    return hashlib.blake2b(dumps(identifying), digest_size=16).digest()


def times_of(event: Object) -> tuple[datetime, datetime, int]:
    """Return first time, last time and count: fields of core/v1, or `eventTime` and `series` of events.k8s.io/v1."""
    series = event.get("series") or {}
    made = event["metadata"].get("creationTimestamp")
    first = event.get("firstTimestamp") or event.get("eventTime") or made
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or first
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return min(start, end), max(start, end), int(series.get("count") or event.get("count") or 1)
