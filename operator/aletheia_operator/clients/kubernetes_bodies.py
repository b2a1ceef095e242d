"""Reads and parses bodies of the Kubernetes API within bounds of size and time, whatever a tenant wrote into objects."""

from typing import Any

import aiohttp
import orjson

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.text.nesting import is_too_deep

MAX_BODY_BYTES = 3 * 1024 * 1024
"""Largest page or object that is read. A larger page is requested again in halves. The API server stores no larger object, and
etcd by default none over 1.5 MiB. Nothing else runs while a body is parsed: up to 0.2 s, for a body of very many elements."""


async def read_capped(response: aiohttp.ClientResponse) -> bytes:
    """Read a whole body. Raises Rejected (TooLarge) if it has more than MAX_BODY_BYTES."""
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise Rejected(f"the Kubernetes API's answer is larger than {MAX_BODY_BYTES} bytes", GapReason.TOO_LARGE)
        parts.append(chunk)
    return b"".join(parts)


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
