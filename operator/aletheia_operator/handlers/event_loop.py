"""The event loop, and a watch that measures its pauses: nothing that a tenant controls may pause it.

A thread schedules a callback on the loop twenty times a second. A late callback is a pause, measured to within 0.05 s. It is
logged with the place in the code where the loop was meanwhile, and with the processor time that the loop's thread used: on a
machine that is short of processors, loops also pause without a fault.
"""

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvloop

from aletheia_operator import metrics

INTERVAL_SECONDS = 0.05
LONG_SECONDS = 0.25
"""Pauses of at least this length are reported."""
SWITCH_SECONDS = 0.001
"""Longest time that another thread keeps the interpreter's lock while the loop waits for it, as after each read and write."""
QUIET_SECONDS = 10.0
"""Least time between two log lines; pauses in between are counted in the next one."""

log = logging.getLogger(__name__)


class Loop(uvloop.Loop):
    """The event loop of the operator and of captures in Jobs. Names are looked up in its default executor.

    libuv would look up two at a time, and the process would wait at its end for a name server that does not answer.
    """

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Return what `socket.getaddrinfo` returns, as it does."""
        return await self.run_in_executor(None, socket.getaddrinfo, host, port, family, type, proto, flags)


def new_loop() -> Loop:
    """Return a new event loop, and let it wait less for other threads: Python's default is 5 ms."""
    sys.setswitchinterval(SWITCH_SECONDS)
    return Loop()


@dataclass(frozen=True)
class Pause:
    """One pause of the loop. `own_seconds` is the processor time that the loop's thread used meanwhile."""

    seconds: float
    own_seconds: float
    place: str

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.own_seconds:.2f} s of its own processor time) at {self.place}"


class LoopWatch:
    """Watches one event loop from `start`, called on the loop, to `stop`.

    `longest` is the longest pause so far, None before the first measurement. `report` is called from the watching thread with
    each pause of at least LONG_SECONDS; without it pauses are logged as warnings.
    """

    def __init__(self, report: Callable[[Pause], None] | None = None) -> None:
        self.longest: Pause | None = None
        self._report = report or self._log
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._logged_at = -QUIET_SECONDS
        self._unlogged: list[Pause] = []

    def start(self) -> "LoopWatch":
        """Begin to watch the running loop."""
        loop, ident = asyncio.get_running_loop(), threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=(loop, ident), name="loop-watch", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop watching, and wait until the thread has ended."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._flush()

    def _watch(self, loop: asyncio.AbstractEventLoop, ident: int) -> None:
        clock = time.pthread_getcpuclockid(ident)
        while not self._stopped.wait(INTERVAL_SECONDS):
            answered = threading.Event()
            started, used = time.monotonic(), time.clock_gettime(clock)
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # the loop is closed
                return
            place = ""
            if not answered.wait(LONG_SECONDS / 2):
                place = _place(sys._current_frames().get(ident))
            while not answered.wait(INTERVAL_SECONDS):
                if self._stopped.is_set() or loop.is_closed():
                    return
            pause = Pause(time.monotonic() - started, time.clock_gettime(clock) - used, place or "an unknown place")
            if self.longest is None or pause.seconds > self.longest.seconds:
                self.longest = pause
            if pause.seconds >= LONG_SECONDS:
                metrics.LOOP_PAUSES.inc()
                self._report(pause)

    def _log(self, pause: Pause) -> None:
        self._unlogged.append(pause)
        if time.monotonic() - self._logged_at >= QUIET_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Log the worst pause since the last such line, and how many there were."""
        if self._unlogged:
            worst = max(self._unlogged, key=lambda pause: (pause.own_seconds, pause.seconds))
            number = f"{len(self._unlogged)} times, at worst " if len(self._unlogged) > 1 else ""
            log.warning("the event loop paused %sfor %s; the longest pause so far took %.2f s", number, worst, self._longest())
        self._logged_at, self._unlogged = time.monotonic(), []

    def _longest(self) -> float:
        return self.longest.seconds if self.longest else 0.0


def _place(frame: FrameType | None) -> str:
    """Return the innermost function in a stack, and the innermost of this project, each as `module.function:line`."""
    names: list[str] = []
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "?"))
        own = module.startswith("aletheia_operator")
        if not names or own:
            names.append(f"{module}.{frame.f_code.co_name}:{frame.f_lineno}")
        if own:
            break
        frame = frame.f_back
    return " under ".join(dict.fromkeys(names))
