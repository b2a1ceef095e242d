"""Blocking calls to sources, in threads of their own: apart from those that save, with a share for each caller.

A caller is a key, usually (namespace, DataSource). A key that has no thread starts one at once, so that servers that are slow
for one namespace do not delay another; further threads of a key come out of a common number, in turn.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

SHARED_THREADS = 32
MAX_THREADS = 512
"""Even a key without a thread waits past this number."""
THREADS_PER_KEY = 4
COMPUTING_THREADS = 2
"""Threads that parse or calculate at once: each delays the event loop by up to `sys.getswitchinterval()`."""
LINGER_SECONDS = 2.0
"""Wait for a call that was stopped; then it is left behind."""
LINGER_ROUNDS = 20


class Stopped(Exception):
    """The call was stopped because nobody waits for it any more."""


class Call:
    """What a blocking function is given: whether to go on, and its turn to calculate. Usable from any thread."""

    def __init__(self, computing: threading.Semaphore | None = None) -> None:
        self._computing = computing or threading.Semaphore()
        self._stopped = threading.Event()
        self._actions: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise Stopped when the call was stopped."""
        if self._stopped.is_set():
            raise Stopped

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Limit how many threads calculate at once. Keep each turn to a few milliseconds. Raises Stopped."""
        self.check()
        with self._computing:
            yield

    @contextmanager
    def on_stop(self, action: Callable[[], None]) -> Iterator[None]:
        """Within the context, `action` is called by the thread that stops the call. Raises Stopped."""
        with self._lock:
            self.check()
            self._actions.append(action)
        try:
            yield
        finally:
            with self._lock:
                self._actions.remove(action)

    def stop(self) -> None:
        """End the call at its next `check`, and what it waits for at once. May be called again."""
        with self._lock:
            self._stopped.set()
            for action in self._actions:
                action()


class SourceThreads:
    """Runs blocking functions for any number of event loops. Threads are daemons: they never delay the end of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[Callable[[], None]]] = {}  # in the order in which the keys have their turn
        self._computing = threading.Semaphore(COMPUTING_THREADS)

    async def run(self, key: Hashable, function: Callable[[Call], T]) -> T:
        """The result of `function`, which gets a Call.

        When the task is cancelled the call is stopped, and waited for up to LINGER_SECONDS; a function that owns something
        closes it itself when it ends with Stopped. Raises what `function` raises.
        """
        call = Call(self._computing)
        result: Future[T] = Future()

        def work() -> None:
            if not result.set_running_or_notify_cancel():
                return
            try:
                value = function(call)
            except BaseException as e:
                result.set_exception(e)
            else:
                result.set_result(value)

        self._submit(key, work)
        waiting = asyncio.wrap_future(result)
        waiting.add_done_callback(_seen)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if not result.cancel():
                for _ in range(LINGER_ROUNDS):  # again and again: what it waits for may only just begin
                    call.stop()
                    await asyncio.wait({waiting}, timeout=LINGER_SECONDS / LINGER_ROUNDS)
                    if waiting.done():
                        break
            raise
        finally:
            with self._lock:
                if result.cancelled():
                    self._forget(key, work)

    def _submit(self, key: Hashable, work: Callable[[], None]) -> None:
        with self._lock:
            self._waiting.setdefault(key, deque()).append(work)
            self._start()

    def _forget(self, key: Hashable, work: Callable[[], None]) -> None:
        with suppress(KeyError, ValueError):
            self._waiting[key].remove(work)
            if not self._waiting[key]:
                del self._waiting[key]

    def _start(self) -> None:
        """Start what may be started. The lock is held."""
        while (key := self._next()) is not None:
            queue = self._waiting.pop(key)
            work = queue.popleft()
            if queue:
                self._waiting[key] = queue  # now behind the others
            self._running[key] = self._running.get(key, 0) + 1
            threading.Thread(target=self._run, args=(key, work), name="source", daemon=True).start()

    def _next(self) -> Hashable | None:
        running = sum(self._running.values())
        for key in self._waiting:
            own = self._running.get(key, 0)
            if running < (SHARED_THREADS if own else MAX_THREADS) and own < THREADS_PER_KEY:
                return key
        return None

    def _run(self, key: Hashable, work: Callable[[], Any]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._running[key] -= 1
                if not self._running[key]:
                    del self._running[key]
                self._start()


def _seen(future: "asyncio.Future[Any]") -> None:
    """Mark an exception as seen: asyncio would log it if the task that waited was cancelled."""
    if not future.cancelled():
        future.exception()
