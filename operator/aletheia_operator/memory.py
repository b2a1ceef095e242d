"""Gives freed memory back to the system: the C library keeps what lies between blocks that are in use."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any


def give_back() -> None:
    """Give this process' free memory back to the system, if the C library can. Takes some milliseconds.

    Call it after work that needs much memory for a short time: compiling large patterns, or the end of a capture.
    """
    _trim()(0)


@cache
def _trim() -> Callable[[int], Any]:
    """Return glibc's malloc_trim; other libraries have none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", int)
