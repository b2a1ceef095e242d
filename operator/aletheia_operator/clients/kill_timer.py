"""Ends this process at a set time, even if it is stopped or busy meanwhile, or if the machine is suspended.

A timer of the kernel sends SIGALRM, and the handler is the C library's `_exit`: neither the interpreter's lock nor a busy event
loop delays it. A stopped process ends as soon as it continues. The default action of SIGALRM would do the same, but the kernel
ignores it for process 1 of a container. Speaks timer_create(2). Python has only setitimer(2), and its time stands still while
the machine is suspended.
"""

import ctypes
import os
import signal
import time
from functools import cache

EXIT_CODE = int(signal.SIGALRM)
"""Exit code of a process that the timer ended: `_exit` gets the signal's number."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def end_process_after(seconds: float) -> None:
    """End this process after `seconds`, unless this is called again before. Raises OSError. Children have no such timer."""
    library, timer = _timer()
    nanoseconds = max(int(seconds * 1e9), 1)  # 0 would stop the timer
    ends = _Itimerspec(_Timespec(0, 0), _Timespec(*divmod(nanoseconds, 10**9)))
    _check(library.timer_settime(timer, 0, ctypes.byref(ends), None))


@cache
def _timer() -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """Return the C library, and a timer that is not set yet."""
    library = ctypes.CDLL(None, use_errno=True)
    library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    library.signal.restype = ctypes.c_void_p
    library.signal(signal.SIGALRM, ctypes.cast(library._exit, ctypes.c_void_p))
    timer = ctypes.c_void_p()
    _check(library.timer_create(time.CLOCK_BOOTTIME, None, ctypes.byref(timer)))
    return library, timer


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
