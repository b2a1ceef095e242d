"""Limits concurrent work fairly: namespaces get slots in proportion to their weights, and none more than its share.

Start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng: Start-time Fair Queuing, SIGCOMM 1996), with each piece of work of
length 1, and several slots at once (W. Jin, J. S. Chase, J. Kaur: SFQ(D), SIGMETRICS 2004). In virtual time, a namespace's next
piece of work starts when its last one has ended: 1/weight after it started. The least start is served first. Virtual time is
the last start, so a namespace that comes, or comes back, neither waits for the others nor is preferred.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

Release = Callable[[], None]
MAX_URGENT_IN_A_ROW = 4
"""Urgent callers of a namespace that are served before one of its others, while both wait."""


class Turn:
    """One caller's wait for a slot of its namespace. `given` is done when the caller has the slot."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.given: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _Line:
    """The callers of one namespace that wait: urgent ones and others, each in the order in which they came."""

    def __init__(self) -> None:
        self._urgent: deque[Turn] = deque()
        self._others: deque[Turn] = deque()
        self._row = 0  # urgent callers that were served since the last of the others

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    def add(self, turn: Turn) -> None:
        self._others.append(turn)

    def remove(self, turn: Turn) -> bool:
        """Remove a caller. Returns False if it does not wait."""
        for turns in (self._urgent, self._others):
            if turn in turns:
                turns.remove(turn)
                return True
        return False

    def hasten(self, turn: Turn) -> bool:
        """Let a caller be served before those that are not urgent. Returns False if it does not wait."""
        if not self.remove(turn):
            return False
        self._urgent.append(turn)
        return True

    def next(self) -> Turn:
        """Remove and return the caller to serve. At least one must wait."""
        if self._urgent and (self._row < MAX_URGENT_IN_A_ROW or not self._others):
            self._row += 1
            return self._urgent.popleft()
        self._row = 0
        return self._others.popleft()


class FairSlots:
    """At most `limit` slots, of which one namespace has at most `limit_of_one`.

    `weights`: how many times as often as others a namespace is served; 1 if it has none. Callers of one namespace are served in
    the order in which they came, urgent ones first. An urgent caller takes nothing from other namespaces.
    """

    def __init__(self, limit: int, limit_of_one: int, weights: Mapping[str, int] | None = None) -> None:
        self.limit = limit
        self.limit_of_one = limit_of_one
        self._weights = dict(weights or {})
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, _Line] = {}  # the namespace that was served last is at the end
        self._virtual_time = 0.0
        self._starts: dict[str, float] = {}  # virtual start of the next work of each namespace that waits
        self._ends: dict[str, float] = {}  # virtual end of each namespace's last work

    def taken(self) -> dict[str, int]:
        """Return how many slots each namespace has. May be called from another thread."""
        return dict(self._taken.copy())

    def waiting(self) -> dict[str, int]:
        """Return how many callers of each namespace wait. May be called from another thread."""
        return {namespace: len(queue) for namespace, queue in self._waiting.copy().items()}

    def waiting_of(self, namespace: str) -> int:
        """Return how many callers of a namespace wait."""
        return len(self._waiting.get(namespace, ()))

    def full(self, namespace: str) -> bool:
        """Return whether one more caller of this namespace has to wait."""
        return bool(self._waiting.get(namespace)) or not self._free(namespace)

    async def acquire(self, namespace: str) -> Release:
        """Wait for a slot. Returns a function that gives it back; calling it again does nothing."""
        turn = self.enter(namespace)
        try:
            await turn.given
        except asyncio.CancelledError:
            self.leave(turn)
            raise
        return self.release_of(turn)

    def enter(self, namespace: str) -> Turn:
        """Begin to wait for a slot. Call `release_of` when the turn is given, or `leave`."""
        turn = Turn(namespace)
        if not self.full(namespace):
            self._take(namespace, self._next_start(namespace))
            turn.given.set_result(None)
            return turn
        if namespace not in self._waiting:
            self._waiting[namespace] = _Line()
            self._starts[namespace] = self._next_start(namespace)
        self._waiting[namespace].add(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """Stop waiting. A slot that was given in the same moment is given back."""
        if turn.given.done() and not turn.given.cancelled():
            self._release(turn.namespace)
        elif (line := self._waiting.get(turn.namespace)) is not None and line.remove(turn) and not line:
            del self._waiting[turn.namespace], self._starts[turn.namespace]

    def release_of(self, turn: Turn) -> Release:
        """Return the function that gives the slot of a turn back; calling it again does nothing."""
        left = [turn.namespace]

        def release() -> None:
            if left:
                self._release(left.pop())

        return release

    def occupy(self, namespace: str) -> Release:
        """Take a slot for work that runs already, even if none is free. Returns as `acquire` does."""
        self._take(namespace, self._next_start(namespace))
        return self.release_of(Turn(namespace))

    def hasten(self, turn: Turn) -> bool:
        """Let a caller go before others of its namespace that are not urgent. Returns False if it does not wait any more."""
        line = self._waiting.get(turn.namespace)
        return line is not None and line.hasten(turn)

    @asynccontextmanager
    async def place(self, namespace: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it within the context."""
        release = await self.acquire(namespace)
        try:
            yield
        finally:
            release()

    def _release(self, namespace: str) -> None:
        self._taken[namespace] -= 1
        if not self._taken[namespace]:
            del self._taken[namespace]
        while able := [namespace for namespace in self._waiting if self._free(namespace)]:
            self._serve(min(able, key=self._starts.__getitem__))
        if not self._taken:  # nobody waits either: nothing has to be made up for
            self._ends.clear()
            self._virtual_time = 0.0

    def _serve(self, namespace: str) -> None:
        line, start = self._waiting.pop(namespace), self._starts.pop(namespace)
        turn = line.next()
        if not turn.given.done():
            self._take(namespace, start)
            turn.given.set_result(None)
        if line:
            self._waiting[namespace] = line  # at the end: of equal starts, the others come first
            self._starts[namespace] = max(start, self._ends.get(namespace, 0.0))

    def _take(self, namespace: str, start: float) -> None:
        self._taken[namespace] += 1
        self._virtual_time = max(self._virtual_time, start)
        self._ends[namespace] = start + 1 / self._weights.get(namespace, 1)

    def _next_start(self, namespace: str) -> float:
        """Return the virtual start of work that comes now, of a namespace of which none waits."""
        return max(self._virtual_time, self._ends.get(namespace, 0.0))

    def _free(self, namespace: str) -> bool:
        return self._taken.total() < self.limit and self._taken[namespace] < self.limit_of_one
