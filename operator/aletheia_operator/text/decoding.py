"""Decodes JSON that tenants wrote, few large values at a time: a value may take 17 times the memory of its text."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import orjson

LARGE_BYTES = 256 * 1024
_LARGE = threading.BoundedSemaphore(2)


@contextmanager
def decoded(text: bytes) -> Iterator[Any]:
    """Decode a value for the time of the context. It blocks until a large one has a place, so use it in a thread.

    Decode no other value and wait for nothing within the context.
    """
    with _LARGE if len(text) > LARGE_BYTES else nullcontext():
        yield orjson.loads(text)
