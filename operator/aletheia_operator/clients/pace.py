"""Limits the requests per second that captures send to a server: those of each namespace, and those of all together.

The generic cell rate algorithm (ITU-T I.371, a token bucket without a timer): a request is due 1/rate after the one before it,
and may be made `burst_seconds` before it is due. A request that must wait sleeps, and holds back only later ones of its key.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Iterator

from aletheia_operator import metrics

BURST_SECONDS = 1.0
MAX_IDLE_KEYS = 1000
"""From this number on, keys that were idle are forgotten."""


class Rate:
    """At most `per_second` requests, or bytes, of each key; 0: no limit. `clock` gives monotonic seconds. Threads may share it.

    `burst_seconds`: a key that was idle may have at once what is allowed in this time.
    """

    def __init__(
        self, per_second: float, clock: Callable[[], float] = time.monotonic, burst_seconds: float = BURST_SECONDS
    ) -> None:
        self.per_second = per_second
        self._burst_seconds = burst_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._due: dict[Hashable, float] = {}  # when the next request of each key is due

    def reserve(self, key: Hashable, count: int = 1) -> float:
        """Take the next place of a key, for `count` requests or bytes. Returns the seconds until then; 0 if it is now."""
        if not self.per_second:
            return 0.0
        with self._lock:
            now = self._clock()
            if len(self._due) >= MAX_IDLE_KEYS:
                self._due = {known: due for known, due in self._due.items() if due > now}
            due = max(now, self._due.get(key, now))
            self._due[key] = due + count / self.per_second
            return max(0.0, due - self._burst_seconds - now)

    def give_back(self, key: Hashable) -> None:
        """Give a reserved place back: its request is not made."""
        with self._lock:
            if key in self._due:
                self._due[key] -= 1 / self.per_second


class Pace:
    """The limits for one kind of server, for example for DataSources.

    `of_namespace`: requests per second of one namespace to one server; `of_all`: of all namespaces to one server. 0: no limit.
    A namespace waits for its own limit first, so the queue for the common one is short: it has at most the requests of the
    captures that run.
    """

    def __init__(
        self, of_namespace: int = 0, of_all: int = 0, kind: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._of_namespace = Rate(of_namespace, clock)
        self._of_all = Rate(of_all, clock)
        self._kind = kind  # label `server` of the metric

    async def turn(self, namespace: str, server: str = "") -> None:
        """Wait until the namespace may send a request to the server. A cancelled wait takes no place."""
        for rate, key in self._limits(namespace, server):
            if seconds := self._reserve(rate, key):
                try:
                    await asyncio.sleep(seconds)
                except asyncio.CancelledError:
                    rate.give_back(key)
                    raise

    def turn_in_thread(self, namespace: str, server: str, stopped: Callable[[float], bool]) -> None:
        """Do what `turn` does, in a thread. `stopped`: waits for some seconds; returns True at once if the call was stopped."""
        for rate, key in self._limits(namespace, server):
            if (seconds := self._reserve(rate, key)) and stopped(seconds):
                rate.give_back(key)
                return

    def _limits(self, namespace: str, server: str) -> Iterator[tuple[Rate, Hashable]]:
        yield self._of_namespace, (namespace, server)
        yield self._of_all, server

    def _reserve(self, rate: Rate, key: Hashable) -> float:
        seconds = rate.reserve(key)
        if seconds:
            metrics.DELAYED.labels(self._kind).inc()
        return seconds
