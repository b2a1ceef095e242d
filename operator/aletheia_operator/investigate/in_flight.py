"""Limits the bytes in flight: entries in memory and scratch files of questions that are being asked, not yet artifacts.

A question that runs is never paused, since its source would not wait: only further questions wait until others have ended.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Sized(Protocol):
    """What one question has in flight."""

    @property
    def bytes(self) -> int: ...


@dataclass
class InFlight:
    """The bytes in flight of all captures of this process. Use it on the event loop only."""

    max_namespace_bytes: int = 0
    """Bytes from which a namespace begins no further question. 0: no limit."""
    max_bytes: int = 0
    """The same for all namespaces together. A namespace that has nothing in flight may begin one question nevertheless."""
    _usages: dict[str, list[Sized]] = field(init=False, default_factory=dict)
    _waiting: list[asyncio.Future[None]] = field(init=False, default_factory=list)

    def bytes_of(self, namespace: str) -> int:
        """Return the bytes that a namespace has in flight."""
        return sum(usage.bytes for usage in self._usages.get(namespace, ()))

    async def room(self, namespace: str) -> None:
        """Wait until the namespace may begin a question."""
        while not self._has_room(namespace):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    @contextmanager
    def counted(self, namespace: str, usage: Sized) -> Iterator[None]:
        """Count what a question has in flight within the context."""
        self._usages.setdefault(namespace, []).append(usage)
        try:
            yield
        finally:
            self._usages[namespace].remove(usage)
            if not self._usages[namespace]:
                del self._usages[namespace]
            waiting, self._waiting = self._waiting, []
            for turn in waiting:
                if not turn.done():
                    turn.set_result(None)

    def _has_room(self, namespace: str) -> bool:
        if not self.bytes_of(namespace):
            return True
        if self.max_namespace_bytes and self.bytes_of(namespace) >= self.max_namespace_bytes:
            return False
        return not self.max_bytes or sum(map(self.bytes_of, self._usages)) < self.max_bytes
