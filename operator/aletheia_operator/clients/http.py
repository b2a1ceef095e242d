"""HTTP to DataSources for asyncio: JSON, whole or as it arrives. The transport is `SafeSession`, as for client libraries.

That is imported when the first request is made: requests and urllib3 take 5 MB, and many captures ask no DataSource.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import WHOLE_BODY, Rejected, Unavailable, is_redirect, is_success
from aletheia_operator.clients.json_stream import JsonStream, elements
from aletheia_operator.clients.threads import Call, SourceThreads
from aletheia_operator.text.nesting import is_too_deep

if TYPE_CHECKING:
    import requests

STREAM_ATTEMPTS = 2  # for an answer that breaks off
MAX_WHOLE_BYTES = 2 * 1024 * 1024
"""Largest answer that is parsed in one call. The parser holds the interpreter's lock, so this bounds every pause."""
MAX_WHOLE_ELEMENTS = 100_000
"""Most elements of such an answer: 2 MiB of empty lists would take 60 MiB of memory."""
T = TypeVar("T")


@dataclass(frozen=True)
class Response:
    """An HTTP answer with a JSON body."""

    status: int
    body: Any

    @property
    def is_whole(self) -> bool:
        """Whether the server answered the request. False: `body` is about an error, or is only a part."""
        return self.status in WHOLE_BODY


class Http:
    """Asynchronous HTTP to DataSources, in threads per namespace and DataSource. Cancelling a call closes its connection."""

    def __init__(self) -> None:
        self._threads = SourceThreads()
        self.large = asyncio.Semaphore(1)
        """Limits large entries in memory to one per process. Hold it until the entry was consumed."""

    async def fetch_json(self, endpoint: Endpoint, path: str, query: Sequence[tuple[str, str]]) -> Response:
        """GET `path` below the endpoint and return the answer, of any status below 500, with its JSON body.

        Raises Unavailable (no answer, server error, not JSON) or Rejected (redirect, larger than the cap).
        """
        return await self._threads.run(_key(endpoint), lambda call: get_json(endpoint, path, query, call))

    async def stream_json(
        self,
        endpoint: Endpoint,
        path: str,
        query: Sequence[tuple[str, str]],
        read: Callable[[JsonStream], T],
        error_text: Callable[[Any], str],
    ) -> T:
        """GET `path` below the endpoint and return what `read` makes of the JSON as it arrives.

        `read` is called again if the answer broke off. Raises as `fetch_json`. A status other than 200 also raises, with the
        text that `error_text` finds in the JSON body.
        """
        return await self._threads.run(_key(endpoint), lambda call: stream_json(endpoint, path, query, read, error_text, call))


def _key(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.namespace, endpoint.name


def get_json(endpoint: Endpoint, path: str, query: Sequence[tuple[str, str]], call: Call | None = None) -> Response:
    """Do what `Http.fetch_json` does. Blocks; also raises Stopped."""
    from aletheia_operator.clients.safe_session import SafeSession

    endpoint = replace(endpoint, max_response_bytes=min(MAX_WHOLE_BYTES, endpoint.max_response_bytes))
    call = call or Call()
    with SafeSession(endpoint) as session, call.on_stop(session.abort):
        response = session.get(endpoint.base + path, params=list(query))
        body = b"".join(session.chunks(response))
    if is_redirect(response.status_code):
        raise endpoint.failed(response.status_code, "")
    try:
        return Response(response.status_code, parse_whole(endpoint, body))
    except Unavailable as e:
        if not is_success(response.status_code):
            raise endpoint.failed(response.status_code, body) from e
        raise


def parse_whole(endpoint: Endpoint, body: bytes) -> Any:
    """Parse JSON of at most MAX_WHOLE_BYTES.

    Raises Unavailable if it is not JSON or is nested too deep, Rejected if it has too many elements.
    """
    if elements(body.decode("latin-1")) > MAX_WHOLE_ELEMENTS:
        message = f"DataSource {endpoint.name}: the answer has more than {MAX_WHOLE_ELEMENTS} elements"
        raise Rejected(message, GapReason.TOO_LARGE)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise endpoint.not_json() from e
    if is_too_deep(body, value):
        raise endpoint.too_deep()
    return value


def stream_json(
    endpoint: Endpoint,
    path: str,
    query: Sequence[tuple[str, str]],
    read: Callable[[JsonStream], T],
    error_text: Callable[[Any], str],
    call: Call,
) -> T:
    """Do what `Http.stream_json` does. Blocks; also raises Stopped."""
    from aletheia_operator.clients.safe_session import SafeSession

    for attempt in range(1, STREAM_ATTEMPTS + 1):
        with SafeSession(endpoint) as session, call.on_stop(session.abort):
            response = session.get(endpoint.base + path, params=list(query))
            if response.status_code not in WHOLE_BODY:
                raise endpoint.failed(response.status_code, refusal(response, error_text))
            chunks = session.chunks(response)
            try:
                return read(JsonStream(endpoint, chunks))
            except Unavailable as e:
                if attempt == STREAM_ATTEMPTS or e.reason is GapReason.TIMED_OUT:
                    raise
            finally:
                chunks.close()
    raise AssertionError("the last attempt returns or raises")


def refusal(response: "requests.Response", error_text: Callable[[Any], str]) -> str | bytes:
    """Return a refusal's error text, uncut, secrets included: what `error_text` finds in the JSON, else the whole body."""
    try:
        return error_text(orjson.loads(response.content)) or response.content
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError, RecursionError):
        return response.content
