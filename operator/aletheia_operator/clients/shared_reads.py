"""Shares answers of the Kubernetes API between captures: in a storm, many ask the same within a moment.

An answer is shared only by readers with the same key, which has the identity and the whole request, so nobody gets what the API
server would not have given them. It is shared only if it was requested after the moment from which the reader accepts answers,
and at most MAX_AGE_SECONDS later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.fair_slots import Release
from aletheia_operator.clients.kubernetes_bodies import LARGE_BYTES, is_empty_list

MAX_AGE_SECONDS = 5.0
MAX_KEPT_BYTES = 16 * 1024 * 1024
"""Size of the answers that are kept for later readers. Large ones, which need a slot, are not kept."""

T = TypeVar("T")
Body = tuple[bytes, Release]


@dataclass
class _Answer:
    asked_at: float
    reading: asyncio.Task[Body]
    readers: int = 0
    parsing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a large body is parsed: only one copy of it may be in memory."""


class SharedReads:
    """The answers of one client, all identities together. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[Hashable, _Answer] = {}
        self._kept_bytes = 0

    async def read(self, key: Hashable, since: float, ask: Callable[[], Awaitable[Body]], work: Callable[[bytes], T]) -> T:
        """Return what `work` makes, in a thread, of the body for `key`. `since`: least time of the request.

        `ask` makes the request, and returns the body with the function that releases its slot. Raises what `ask` raises.
        """
        answer = self._join(key, since, ask)
        answer.readers += 1
        try:
            body, _ = await asyncio.shield(answer.reading)
            is_large = len(body) > LARGE_BYTES
            if is_large:
                await answer.parsing.acquire()
        except asyncio.CancelledError:
            self._leave(key, answer)
            raise
        except SourceError as e:
            self._leave(key, answer)
            raise _copy(e) from e.with_traceback(None)  # which would refer to `answer`, and `answer` to it
        except BaseException:
            self._leave(key, answer)
            raise

        def done(_: object) -> None:
            if is_large:
                answer.parsing.release()
            self._leave(key, answer)

        if is_empty_list(body):  # there is nothing to do: a thread would take longer to begin
            try:
                return work(body)
            finally:
                self._leave(key, answer)
        working = asyncio.ensure_future(asyncio.to_thread(work, body))
        working.add_done_callback(done)  # also if the caller is cancelled: the thread goes on
        return await asyncio.shield(working)

    def _join(self, key: Hashable, since: float, ask: Callable[[], Awaitable[Body]]) -> _Answer:
        """Return the answer that may be shared, or a new one that is being read."""
        now = self._clock()
        known = self._answers.get(key)
        if known is not None and known.asked_at >= since and now - known.asked_at <= MAX_AGE_SECONDS:
            return known
        answer = _Answer(now, asyncio.ensure_future(ask()))
        self._answers[key] = answer
        answer.reading.add_done_callback(lambda _: self._was_read(key, answer))
        return answer

    def _was_read(self, key: Hashable, answer: _Answer) -> None:
        """Keep a small body for a while; forget a failure at once."""
        if answer.reading.cancelled() or answer.reading.exception() is not None:
            self._forget(key, answer)
            return
        size = len(answer.reading.result()[0])
        if size > LARGE_BYTES:
            return  # the last reader forgets it
        if self._kept_bytes + size > MAX_KEPT_BYTES:
            self._forget(key, answer)
            return
        self._kept_bytes += size

        def drop() -> None:
            self._kept_bytes -= size
            self._forget(key, answer)

        asyncio.get_running_loop().call_later(MAX_AGE_SECONDS, drop)

    def _leave(self, key: Hashable, answer: _Answer) -> None:
        answer.readers -= 1
        if answer.readers:
            return
        if not answer.reading.done():
            answer.reading.cancel()
            self._forget(key, answer)
        elif not answer.reading.cancelled() and answer.reading.exception() is None:
            body, release = answer.reading.result()
            if len(body) > LARGE_BYTES:
                self._forget(key, answer)
                release()

    def _forget(self, key: Hashable, answer: _Answer) -> None:
        if self._answers.get(key) is answer:
            del self._answers[key]


def _copy(error: SourceError) -> SourceError:
    """Return an equal error: one object raised in several tasks would collect the tracebacks of all."""
    return type(error)(error.message, error.reason, error.status)
