"""The timeline of a session: what happened, in one ordered list with links into the artifacts.

It sees the entries on their way to the disk, since those of a sealed session cannot be read back.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from aletheia_operator.text.batches import LEVEL_CODES, SERIOUS_CODE, Encoded
from aletheia_operator.text.display import one_line
from aletheia_operator.text.timestamps import format_time
from aletheia_operator.timeline.bursts import ErrorWatch
from aletheia_operator.timeline.moments import RANKS, Moment, of_event, of_object

_SERIOUS_CODES = re.compile(b"[%c-%c]" % (SERIOUS_CODE, len(LEVEL_CODES) - 1))
MAX_MOMENTS = 5_000


@dataclass
class Reader:
    """Sees one artifact's entries, in order, and then its metadata."""

    timeline: "Timeline"
    path: str
    moments_of: Callable[[Mapping[str, Any]], Iterable[Moment]]
    watch: ErrorWatch | None = None
    found: list[Moment] = field(default_factory=list)
    count: int = 0

    def see(self, entries: Iterable[Any] | Encoded) -> None:
        """The next entries, as they are written."""
        if isinstance(entries, Encoded):
            self._see_encoded(entries)
            return
        for entry in entries:
            if self.watch is not None:
                self.watch.see(entry, self.count)
            else:
                whole = orjson.loads(orjson.dumps(entry)) if isinstance(entry, orjson.Fragment) else entry
                self.found += [moment.at(self.path, self.count) for moment in self.moments_of(whole)]
            self.count += 1

    def _see_encoded(self, entries: Encoded) -> None:
        """Of log entries only the errors are decoded."""
        assert self.watch is not None
        serious = [match.start() for match in _SERIOUS_CODES.finditer(entries.codes)]
        lines = entries.block.split(b"\n") if serious else []
        for number in serious:
            self.watch.see(orjson.loads(lines[number].removesuffix(b",")), self.count + number)
        self.count += entries.count

    def close(self, metadata: Mapping[str, Any]) -> None:
        """The artifact is saved: what it showed belongs to the timeline."""
        if self.watch is not None:
            self.found += [moment.at(self.path, moment.entry) for moment in self.watch.moments(f"pod/{metadata.get('pod')}")]
        owner = f"{str(metadata.get('kind')).lower()}/{metadata.get('name')}"
        for one in metadata.get("rollouts") or []:
            if one["in_window"]:
                self.found.append(Moment(one["created"], "Rollout", owner, one["summary"], artifact=self.path))
        self.timeline.add(self.found)


@dataclass
class Timeline:
    """Collects moments between `start` and `end`."""

    start: datetime
    end: datetime
    _moments: list[Moment] = field(init=False, default_factory=list)

    def reader(self, path: str, category: str) -> Reader | None:
        """A reader for the artifact at this path; None where its category shows nothing for a timeline."""
        match category:
            case "logs":
                return Reader(self, path, lambda entry: (), ErrorWatch(self.start, self.end))
            case "events":
                return Reader(self, path, of_event)
            case "objects":
                return Reader(self, path, of_object)
            case _:
                return None

    def add(self, moments: Iterable[Moment]) -> None:
        self._moments += [moment for moment in moments if self._is_within(moment)]

    def entries(self) -> list[dict[str, Any]]:
        """In order of time, at the same time the weightier first.

        {"timestamp", "kind", "object", "message", "artifact"} and, where there are: "end" and "count" (of what repeated),
        "container", "entry" (index of the artifact's entry).
        """
        weighed = sorted(self._moments, key=lambda moment: (RANKS.get(moment.kind, len(RANKS)), _sortable(moment)))
        return [moment.to_json() for moment in sorted(weighed[:MAX_MOMENTS], key=_sortable)]

    def metadata(self) -> dict[str, Any]:
        kinds = Counter(moment.kind for moment in self._moments)
        return {"kinds": dict(sorted(kinds.items())), "left_out": max(0, len(self._moments) - MAX_MOMENTS)}

    def summary(self) -> str:
        """Such as: 12 moments: 1 Rollout, 2 Restart; first: 14:02:11 deployment/payments revision 2 rolled out."""
        if not self._moments:
            return "nothing out of the ordinary"
        kinds = Counter(moment.kind for moment in self._moments)
        ranked = sorted(kinds, key=lambda kind: RANKS.get(kind, len(RANKS)))
        first = min(self._moments, key=_sortable)
        text = ", ".join(f"{kinds[kind]} {kind}" for kind in ranked)
        return one_line(
            f"{len(self._moments)} moments: {text}; first: {first.timestamp[11:19]} {first.object} {first.message}", 240
        )

    def _is_within(self, moment: Moment) -> bool:
        last = moment.end or moment.timestamp
        return last[:19] >= format_time(self.start)[:19] and moment.timestamp[:19] <= format_time(self.end)[:19]


def _sortable(moment: Moment) -> str:
    """A time with a fraction sorts behind its whole second."""
    return moment.timestamp.removesuffix("Z")
