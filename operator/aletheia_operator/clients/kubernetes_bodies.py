"""Reads and parses bodies of the Kubernetes API within bounds of size and time, whatever a tenant wrote into objects."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.fair_slots import FairSlots, Release
from aletheia_operator.text.nesting import is_too_deep

MAX_BODY_BYTES = 3 * 1024 * 1024
"""Largest page or object that is read. A larger page is requested again in halves. The API server stores no larger object, and
etcd by default none over 1.5 MiB. Nothing else runs while a body is parsed: up to 0.2 s, for a body of very many elements."""


EMPTY_BYTES = 1024
"""An empty list takes less."""
LARGE_BYTES = 256 * 1024
"""Larger bodies need a slot: parsed, the smallest elements take 17 times as much memory as their text."""
LARGE_AT_ONCE = 2
"""Larger bodies that may be in memory at the same time in the whole process, at most one of each namespace."""


@dataclass
class Bodies:
    """Reads bodies, only a few large ones at a time. A slot is for one body: make no other request meanwhile."""

    places: FairSlots = field(default_factory=lambda: FairSlots(LARGE_AT_ONCE, 1))

    async def read(
        self, opened: Callable[[], AbstractAsyncContextManager[aiohttp.ClientResponse]], namespace: str
    ) -> tuple[bytes, Release]:
        """Read a body, and return it with the function that releases its slot: call that when the parsed body is dropped.

        `opened` makes the request. It is made again if the body must wait for a slot: the server would not wait.
        Raises Rejected (TooLarge) if the body has more than MAX_BODY_BYTES, and what the context raises.
        """
        async with opened() as response:
            parts: list[bytes] = []
            if await read_up_to(response, parts, LARGE_BYTES):
                return b"".join(parts), lambda: None
            if not self.places.full(namespace):
                with _given_back(await self.places.acquire(namespace)) as release:
                    return await read_capped(response, parts), release
            parts.clear()
        with _given_back(await self.places.acquire(namespace)) as release:
            async with opened() as response:
                return await read_capped(response), release


@contextmanager
def _given_back(release: Release) -> Iterator[Release]:
    """Release a slot if its body cannot be read."""
    try:
        yield release
    except BaseException:
        release()
        raise


async def read_capped(response: aiohttp.ClientResponse, parts: list[bytes] | None = None) -> bytes:
    """Read a whole body; `parts` has its beginning. Raises Rejected (TooLarge) if it has more than MAX_BODY_BYTES."""
    parts = [] if parts is None else parts
    if not await read_up_to(response, parts, MAX_BODY_BYTES):
        raise Rejected(f"the Kubernetes API's answer is larger than {MAX_BODY_BYTES} bytes", GapReason.TOO_LARGE)
    return b"".join(parts)


async def read_up_to(response: aiohttp.ClientResponse, parts: list[bytes], max_bytes: int) -> bool:
    """Append to `parts` until the end, or until they exceed `max_bytes`. Returns whether the end was reached."""
    size = sum(map(len, parts))
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            return False
    return True


def is_empty_list(body: bytes) -> bool:
    """Return whether a body is a list without items."""
    return len(body) <= EMPTY_BYTES and b'"items":[]' in body


def parse(body: bytes) -> dict[str, Any]:
    """Parse a body. Raises Unavailable if it is not a JSON object, or nested too deep."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise Unavailable("the Kubernetes API's answer is not JSON", GapReason.INVALID_RESPONSE) from e
    if not isinstance(value, dict):
        raise Unavailable("the Kubernetes API's answer is not an object", GapReason.INVALID_RESPONSE)
    if is_too_deep(body, value):
        raise Unavailable("the Kubernetes API's answer is nested too deep", GapReason.INVALID_RESPONSE)
    return value
