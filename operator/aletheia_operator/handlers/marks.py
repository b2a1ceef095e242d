"""Tracks which operator captures an Investigation (`status.operator`), and whether it still runs (`status.operatorTime`).

The operator that captures writes the time regularly. Another operator takes over if it has seen the mark unchanged for
EXPIRY_SECONDS by its own clock, so clocks need not agree. If the former operator used the same volume, it takes over at once.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from aletheia_operator.api.status import TERMINAL_PHASES
from aletheia_operator.session import SessionBusy, SessionLayout, find_session
from aletheia_operator.session.lock import locked
from aletheia_operator.session.volume import open_volume

MAX_AT_ONCE = 50
"""Most Investigations to take over in one pass."""
EXPIRY_SECONDS = 900.0
"""An operator is considered gone after this time without a change of its mark. While it captures, it writes every 30 s."""

Body = Mapping[str, Any]


class Mark(NamedTuple):
    """An operator's mark on an Investigation."""

    operator: str
    time: str | None
    """Last time, RFC 3339, at which that operator wrote that it still captures. None: it has not written any."""


def mark_of(status: Mapping[str, Any]) -> Mark | None:
    """Return the mark in a status; None if no operator has marked it."""
    operator = status.get("operator")
    return None if not operator else Mark(str(operator), status.get("operatorTime"))


@dataclass
class _Seen:
    mark: Mark
    since: float
    namespace: str
    name: str


class OtherMarks:
    """Marks of other operators on Investigations that have not ended, by uid. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def remember(self, uid: str, body: Body, mark: Mark) -> None:
        """Remember the current mark. Its age counts from the first time that this same mark was seen."""
        before = self._seen.get(uid)
        since = before.since if before is not None and before.mark == mark else self._clock()
        metadata = body["metadata"]
        self._seen[uid] = _Seen(mark, since, metadata["namespace"], metadata["name"])

    def follow(self, uid: str, body: Body, operator: str) -> None:
        """Update a mark that was seen before: forget it if `operator` (this one) has taken over, or the Investigation ended."""
        status = body.get("status") or {}
        mark = mark_of(status)
        if uid not in self._seen or mark is None:
            return
        if mark.operator == operator or status.get("phase") in TERMINAL_PHASES:
            self.forget(uid)
        else:
            self.remember(uid, body, mark)

    def forget(self, uid: str) -> None:
        """Forget the mark of an Investigation."""
        self._seen.pop(uid, None)

    def knows(self, uid: str) -> bool:
        """Return whether another operator's mark was seen on the Investigation."""
        return uid in self._seen

    def expire(self, uid: str) -> None:
        """Treat the mark's operator as gone from now on."""
        self._seen[uid].since = float("-inf")

    def expired(self, uid: str) -> Mark | None:
        """Return the mark if its operator is gone; None if it may still run, or without a mark."""
        seen = self._seen.get(uid)
        return seen.mark if seen is not None and self._clock() - seen.since >= EXPIRY_SECONDS else None

    def to_take_over(self) -> list[tuple[str, str, str]]:
        """Return uid, namespace and name of Investigations with an operator that is gone, at most MAX_AT_ONCE."""
        gone = ((uid, seen.namespace, seen.name) for uid, seen in self._seen.items() if self.expired(uid) is not None)
        return list(islice(gone, MAX_AT_ONCE))


def is_left_here(layout: SessionLayout, uid: str, operator: str) -> bool:
    """Return whether `operator` used this volume and left the Investigation's session unfinished.

    False while a process works on the session. Blocks. Raises OSError.
    """
    volume = open_volume(layout)
    if operator not in (volume.id, *volume.operators):
        return False
    manifest = find_session(layout, uid)
    if manifest is None or manifest.finished:
        return False
    try:
        with locked(layout.session(manifest.session_id)):
            return True
    except SessionBusy:
        return False
