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
    """Decode a value, for use within the context. Blocks until there is room for a large value: call it in a thread.

    Do not decode another value or wait for anything within the context.
    """
    with _LARGE if len(text) > LARGE_BYTES else nullcontext():
        yield orjson.loads(text)
