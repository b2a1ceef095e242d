"""Runs blocking calls to sources in other threads than those that save, with a share for each caller.

A caller is a key, usually (namespace, DataSource). The first call of a key gets a thread at once, so that a server that is slow
for one namespace does not delay another. Further calls of a key share SHARED_THREADS, round robin.
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
"""Limit of all threads. A key without a thread also waits if it is reached."""
THREADS_PER_KEY = 4
COMPUTING_THREADS = 2
"""Threads that parse or compute at once. Each delays the event loop by up to `sys.getswitchinterval()`."""
LINGER_SECONDS = 2.0
"""Longest wait for a stopped call to end. A call that takes longer runs on, and its result is ignored."""
LINGER_ROUNDS = 20


class Stopped(Exception):
    """The call was stopped: its caller was cancelled."""


class Call:
    """Tells a blocking function whether to go on, and limits its computing. Usable from any thread."""

    def __init__(self, computing: threading.Semaphore | None = None) -> None:
        self._computing = computing or threading.Semaphore()
        self._stopped = threading.Event()
        self._actions: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise Stopped if the call was stopped."""
        if self._stopped.is_set():
            raise Stopped

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Limit how many threads compute at once. Stay in the context for a few milliseconds. Raises Stopped."""
        self.check()
        with self._computing:
            yield

    @contextmanager
    def on_stop(self, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` if the call is stopped within the context, from the thread that stops it. Raises Stopped."""
        with self._lock:
            self.check()
            self._actions.append(action)
        try:
            yield
        finally:
            with self._lock:
                self._actions.remove(action)

    def stop(self) -> None:
        """Stop the call: `check` raises from now on, and `on_stop` actions run now. Calling it again runs them again."""
        with self._lock:
            self._stopped.set()
            for action in self._actions:
                action()


class SourceThreads:
    """Runs blocking functions for any number of event loops. Threads are daemons: they do not delay the process' exit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[Callable[[], None]]] = {}  # round robin: the next key to serve is the first
        self._computing = threading.Semaphore(COMPUTING_THREADS)

    async def run(self, key: Hashable, function: Callable[[Call], T]) -> T:
        """Run `function` with a Call in a thread of `key`, and return its result. Raises what `function` raises.

        Cancelling the task stops the call and waits up to LINGER_SECONDS for its end. The function must close what it owns when
        it ends with Stopped.
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
                for _ in range(LINGER_ROUNDS):  # repeatedly: the function may begin another wait meanwhile
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
        """Start every call that may start. The caller holds the lock."""
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
    """Retrieve the exception: asyncio would log it if the waiting task was cancelled."""
    if not future.cancelled():
        future.exception()
