"""Limits concurrent work fairly: namespaces take turns, and none gets more than its share of the slots."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Release = Callable[[], None]


class FairSlots:
    """At most `limit` slots, of which one namespace has at most `limit_of_one`.

    A free slot goes to the waiting namespace that was served the longest time ago, and there to the caller that came first.
    """

    def __init__(self, limit: int, limit_of_one: int) -> None:
        self._limit = limit
        self._limit_of_one = limit_of_one
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of their turns

    def taken(self) -> dict[str, int]:
        """Return how many slots each namespace has. May be called from another thread."""
        return dict(self._taken.copy())

    def waiting(self) -> dict[str, int]:
        """Return how many callers of each namespace wait. May be called from another thread."""
        return {namespace: len(queue) for namespace, queue in self._waiting.copy().items()}

    def full(self, namespace: str) -> bool:
        """Return whether one more caller of this namespace has to wait."""
        return bool(self._waiting.get(namespace)) or not self._free(namespace)

    async def acquire(self, namespace: str) -> Release:
        """Wait for a slot. Returns a function that gives it back; calling it again does nothing."""
        if self.full(namespace):
            await self._turn(namespace)
        else:
            self._taken[namespace] += 1
        left = [namespace]

        def release() -> None:
            if left:
                self._release(left.pop())

        return release

    @asynccontextmanager
    async def place(self, namespace: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it within the context."""
        release = await self.acquire(namespace)
        try:
            yield
        finally:
            release()

    async def _turn(self, namespace: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the slot was given in the same moment
                self._release(namespace)
            elif turn in (queue := self._waiting.get(namespace, deque())):
                queue.remove(turn)
                if not queue:
                    del self._waiting[namespace]
            raise

    def _release(self, namespace: str) -> None:
        self._taken[namespace] -= 1
        if not self._taken[namespace]:
            del self._taken[namespace]
        while (following := next((namespace for namespace in self._waiting if self._free(namespace)), None)) is not None:
            self._serve(following)

    def _serve(self, namespace: str) -> None:
        queue = self._waiting.pop(namespace)
        turn = queue.popleft()
        if queue:
            self._waiting[namespace] = queue  # at the end: the others come first
        if not turn.done():
            self._taken[namespace] += 1
            turn.set_result(None)

    def _free(self, namespace: str) -> bool:
        return self._taken.total() < self._limit and self._taken[namespace] < self._limit_of_one
