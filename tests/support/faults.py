"""Faults at system calls and status patches: the process dies, or the call fails, at the n-th step."""

import errno
import fcntl
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

STEPS = {
    os: ("open", "write", "fsync", "rename", "mkdir", "unlink", "rmdir", "ftruncate", "truncate", "statvfs", "preadv", "dup"),
    fcntl: ("flock",),
}


@dataclass
class Fault:
    """A fault at step `at` (from 1).

    `kind`: `kill`, `torn` (half a write, then a kill), `interrupt` (Ctrl-C), or an errno's name for a failing call.

    `taken` lists the names of the steps so far.
    """

    kind: str
    at: int
    taken: list[str] = field(default_factory=list)
    _guard: threading.Lock = field(init=False, default_factory=threading.Lock)

    @property
    def met(self) -> bool:
        return len(self.taken) >= self.at

    @contextmanager
    def injected(self) -> Iterator["Fault"]:
        """Apply the fault to the steps of this process until the context ends."""
        patches = [
            patch.object(module, name, self._wrapped(name, getattr(module, name)))
            for module, names in STEPS.items()
            for name in names
        ]
        for replacement in patches:
            replacement.start()
        try:
            yield self
        finally:
            for replacement in patches:
                replacement.stop()

    def passes(self, name: str) -> None:
        """Count a step that is no system call; the process dies here if it is step `at`."""
        if self._reaches(name):
            os.kill(os.getpid(), signal.SIGKILL)

    def _reaches(self, name: str) -> bool:
        """Count a step, of any thread. Returns whether it is step `at`."""
        with self._guard:
            self.taken.append(name)
            return len(self.taken) == self.at

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if not self._reaches(name):
                return call(*arguments, **options)
            if self.kind == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
                return call(*arguments, **options)
            if name == "write" and self.kind != "kill":
                call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            if self.kind in ("kill", "torn"):
                os.kill(os.getpid(), signal.SIGKILL)
            number = getattr(errno, self.kind)
            raise OSError(number, os.strerror(number))

        return step


def in_child(work: Callable[[], Any]) -> int | None:
    """Run in a forked process.

    Returns the signal that ended it, None if it ended by itself. Raises an error if the work raised one.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0, "the child failed; its traceback is above"
    return None
