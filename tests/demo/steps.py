"""Output of the demo's progress: timed steps, waits with a deadline, text made harmless for a terminal."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

POLL_SECONDS = 0.4

T = TypeVar("T")


class DemoError(Exception):
    """The demo cannot continue; the message has the reason and the remedy."""


class NotYet(Exception):
    """A condition is not met yet; the message describes the current state."""


def inert(text: str) -> str:
    """Return text without control characters and changes of direction: logs may come from attackers."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Steps:
    """Prints each step when it is done: the time since the start, what was done, how long it took."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._failed = threading.Event()
        self._styled = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._began

    def say(self, line: str = "") -> None:
        """Print one line, made harmless: it may contain any text."""
        with self._lock:
            print(inert(line), flush=True)

    def heading(self, line: str) -> None:
        with self._lock:
            print(f"\n\033[1m{inert(line)}\033[0m" if self._styled else f"\n{inert(line)}", flush=True)

    def note(self, line: str) -> None:
        """Print a line with the time since the start."""
        self.say(f"[{self.elapsed_seconds:6.1f} s] {line}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print the title after the block, with the time that it took."""
        began = time.monotonic()
        yield
        self.note(f"{title} ({time.monotonic() - began:.1f} s)")

    def until(self, what: str, seconds: float, probe: Callable[[], T]) -> T:
        """Return the probe's first answer. Asks again while it raises NotYet; raises DemoError after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return probe()
            except NotYet as e:
                if self._failed.is_set():
                    raise DemoError(f"{what}: given up, since another step failed") from None
                if time.monotonic() > deadline:
                    raise DemoError(f"{what}: not within {seconds:.0f} s: {e}") from None
            time.sleep(POLL_SECONDS)

    def together(self, *lanes: Callable[[], None]) -> None:
        """Run the lanes at the same time. If one fails, the others stop waiting, and its error is raised."""
        errors: list[BaseException] = []

        def run(lane: Callable[[], None]) -> None:
            try:
                lane()
            except BaseException as e:
                errors.append(e)
                self._failed.set()

        with ThreadPoolExecutor(len(lanes)) as pool:
            try:
                wait([pool.submit(run, lane) for lane in lanes])
            except KeyboardInterrupt:
                self._failed.set()
                raise
        if errors:
            raise errors[0]
