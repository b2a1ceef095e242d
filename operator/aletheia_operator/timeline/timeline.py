"""The timeline of a session: an ordered list of what happened, with links into the artifacts.

It reads entries while they are saved: those of a sealed session cannot be read back.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from aletheia_operator.text.batches import Encoded
from aletheia_operator.text.decoding import decoded
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted
from aletheia_operator.text.timestamps import format_time
from aletheia_operator.timeline.bursts import ErrorWatch
from aletheia_operator.timeline.moments import RANKS, Moment, of_event, of_object

MAX_MOMENTS = 5_000


@dataclass
class Reader:
    """Reads one artifact's entries, in order, and then its metadata. Slow for large batches."""

    timeline: "Timeline"
    moments_of: Callable[[Mapping[str, Any]], Iterable[Moment]]
    watch: ErrorWatch | None = None
    found: list[Moment] = field(default_factory=list)
    count: int = 0

    def read(self, entries: Iterable[Any] | Encoded) -> None:
        """Read the next entries, as they are written."""
        if isinstance(entries, Encoded):
            self._read_encoded(entries)
            return
        for entry in entries:
            if self.watch is not None:
                self.watch.add(entry, self.count)
            else:
                with decoded(orjson.dumps(entry)) if isinstance(entry, orjson.Fragment) else nullcontext(entry) as whole:
                    self.found += [replace(moment, entry=self.count) for moment in self.moments_of(whole)]
            self.count += 1

    def _read_encoded(self, entries: Encoded) -> None:
        """Read encoded log entries. Only errors are looked at."""
        assert self.watch is not None
        self.watch.read(entries, self.count)
        self.count += entries.count

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        """Add what was read to the timeline: the artifact is saved at `path`."""
        if self.watch is not None:
            self.found += self.watch.moments(f"pod/{metadata.get('pod')}")
        owner = f"{str(metadata.get('kind')).lower()}/{metadata.get('name')}"
        for rollout in metadata.get("rollouts") or []:
            if rollout["in_window"]:
                self.found.append(Moment(rollout["created"], "Rollout", owner, rollout["summary"]))
        self.timeline.add(moment.at(path, moment.entry) for moment in self.found)


@dataclass
class Timeline:
    """Collects moments between `start` and `end`; memory is flat. One thread at a time may `add`."""

    start: datetime
    end: datetime
    _kept: list[Moment] = field(init=False, default_factory=list)
    _kinds: Counter[str] = field(init=False, default_factory=Counter)
    _first: Moment | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def reader(self, source: str, category: str) -> Reader | None:
        """Return a reader for an artifact of this source and category; None if such artifacts add nothing to a timeline."""
        match source, category:
            case "kubernetes", "logs":
                return Reader(self, lambda entry: (), ErrorWatch(self.start, self.end))
            case "kubernetes", "events":
                return Reader(self, of_event)
            case "kubernetes", "objects":
                return Reader(self, of_object)
            case _:
                return None

    def add(self, moments: Iterable[Moment]) -> None:
        """Add the moments that lie within the window."""
        with self._lock:
            for moment in moments:
                if not self._is_within(moment):
                    continue
                self._kinds[moment.kind] += 1
                if self._first is None or _by_time(moment) < _by_time(self._first):
                    self._first = moment
                self._kept.append(moment)
                if len(self._kept) >= 2 * MAX_MOMENTS:
                    self._kept = _weightiest(self._kept)

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries by time. At equal times, the more important first.

        {"timestamp", "kind", "object", "message", "artifact"} and, if known: "end" and "count" (of what repeated),
        "container", "entry" (index of the artifact's entry).
        """
        return [moment.to_json() for moment in sorted(_weightiest(self._kept), key=_by_time)]

    def metadata(self) -> dict[str, Any]:
        return {"kinds": dict(sorted(self._kinds.items())), "left_out": max(0, self._kinds.total() - MAX_MOMENTS)}

    def summary(self) -> str:
        """Summarise: 12 moments: 1 Rollout, 2 Restart; first: 14:02:11 deployment/payments revision 2 rolled out."""
        first = self._first
        if first is None:
            return "nothing out of the ordinary"
        ranked = sorted(self._kinds, key=lambda kind: RANKS.get(kind, len(RANKS)))
        text = ", ".join(f"{self._kinds[kind]} {kind}" for kind in ranked)
        return one_line(
            f"{counted(self._kinds.total(), 'moment')}: {text}; first: {first.timestamp[11:19]} {first.object} {first.message}",
            240,
        )

    def _is_within(self, moment: Moment) -> bool:
        last = moment.end or moment.timestamp
        return last[:19] >= format_time(self.start)[:19] and moment.timestamp[:19] <= format_time(self.end)[:19]


def _weightiest(moments: Iterable[Moment]) -> list[Moment]:
    """Return at most MAX_MOMENTS: more important kinds first, within a kind the earlier first."""
    return sorted(moments, key=lambda moment: (_rank(moment), _by_time(moment)))[:MAX_MOMENTS]


def _rank(moment: Moment) -> int:
    return RANKS.get(moment.kind, len(RANKS))


def _by_time(moment: Moment) -> tuple[str, int, str, str, str, int]:
    """Return the sort key: time, rank, then content, so that the order does not depend on which source answered first."""
    sortable = moment.timestamp.removesuffix("Z")  # a time with a fraction sorts behind its whole second
    place = moment.artifact, -1 if moment.entry is None else moment.entry
    return sortable, _rank(moment), moment.object, moment.container or "", *place
