"""HTTP to DataSources: `fetch_json` for asyncio, `SafeSession` for requests-based libraries. One transport serves both.

Only the endpoint's host and port, or its proxy, are connected to. Redirects are not followed; proxies and netrc of the
environment are not used. Each answer has a byte cap, counted after decompression, and a deadline that includes its retries.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import Any, TypeVar

import orjson
import requests
from urllib3.exceptions import HTTPError as Urllib3Error

from aletheia_operator import metrics
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint, origin_of
from aletheia_operator.clients.errors import (
    CREDENTIALS_REFUSED,
    PARTIAL_CONTENT,
    PASSING,
    WHOLE_BODY,
    Rejected,
    Unavailable,
    is_redirect,
    is_success,
)
from aletheia_operator.clients.guard import GuardedAdapter
from aletheia_operator.clients.json_stream import JsonStream, elements
from aletheia_operator.clients.quoting import MAX_ERROR_BYTES
from aletheia_operator.clients.retries import retry_after
from aletheia_operator.clients.threads import Call, SourceThreads
from aletheia_operator.clients.tls import tls_context
from aletheia_operator.text.nesting import is_too_deep

CONNECT_TIMEOUT_SECONDS = 5
ATTEMPTS = 3
STREAM_ATTEMPTS = 2  # for an answer that breaks off
BACKOFF_SECONDS = 0.3
MAX_WHOLE_BYTES = 2 * 1024 * 1024
"""Largest answer that is parsed in one call. The parser holds the interpreter's lock, so this bounds every pause."""
MAX_WHOLE_ELEMENTS = 100_000
"""Most elements of such an answer: 2 MiB of empty lists would take 60 MiB of memory."""
_CHUNK_BYTES = 2**18
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


def refusal(response: requests.Response, error_text: Callable[[Any], str]) -> str | bytes:
    """Return a refusal's error text, uncut, secrets included: what `error_text` finds in the JSON, else the whole body."""
    try:
        return error_text(orjson.loads(response.content)) or response.content
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError, RecursionError):
        return response.content


class SafeSession(requests.Session):
    """A requests session for one endpoint. Answers are returned unread: read them with `chunks`.

    Raises SourceError, which client libraries do not catch.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.trust_env = False
        self.size_bytes = 0
        """Bytes of all answers so far. The endpoint's cap is for the question, however many requests it takes."""
        self._deadline: float  # of the current request, by the monotonic clock; set by `send`
        self._read: list[requests.Response] = []
        self._aborted = threading.Event()
        self._transport = GuardedAdapter(tls_context(endpoint), endpoint.is_on_node)
        for prefix in ("https://", "http://"):
            self.mount(prefix, self._transport)
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": "aletheia-operator"})
        self.headers.update(dict(endpoint.current.headers))

    def mount(self, prefix: str | bytes, adapter: Any) -> None:
        """Ignore a library's own transport: it would bypass the checks."""
        if isinstance(adapter, GuardedAdapter):
            super().mount(prefix, adapter)

    def abort(self) -> None:
        """Close the connection that another thread reads from. That read and every later request raise Unavailable."""
        self._aborted.set()
        self._transport.stop()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Return the answer's status and headers. Transient failures are retried until the deadline."""
        if origin_of(str(request.url)) != self.endpoint.origin:
            raise Rejected(f"DataSource {self.endpoint.name}: another host or port is not asked", GapReason.REJECTED)
        if self.endpoint.turn is not None:
            self.endpoint.turn(self._aborted.wait)
        self._deadline = time.monotonic() + self.endpoint.timeout_seconds
        response = self._try(request, kwargs)
        if response.status_code in CREDENTIALS_REFUSED and self._renew(request):
            response.close()
            response = self._try(request, kwargs)
        if response.status_code not in WHOLE_BODY | PARTIAL_CONTENT:
            self._read_error(response)
        return response

    def _try(self, request: requests.PreparedRequest, kwargs: dict[str, Any]) -> requests.Response:
        """Return the first answer that is not a transient failure, else the last one."""
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                metrics.RETRIES.labels(metrics.DATA_SOURCE).inc()
            try:
                with metrics.request(metrics.DATA_SOURCE) as outcome, self._faults(), self._watch():
                    response = self._attempt(request, kwargs)
                    outcome.code = response.status_code
            except Unavailable as e:
                lasts = e.reason is GapReason.TIMED_OUT or isinstance(e.__cause__, requests.exceptions.SSLError)
                if lasts or attempt == ATTEMPTS or not self._wait(BACKOFF_SECONDS * 2**attempt):
                    raise
                continue
            if time.monotonic() >= self._deadline:  # a head that was cut off parses as a shorter one
                raise self.endpoint.timed_out()
            if response.status_code not in PASSING or attempt == ATTEMPTS:
                return response
            if not self._wait(retry_after(response.headers.get("Retry-After")) or BACKOFF_SECONDS * 2**attempt):
                return response
            response.close()
        raise AssertionError("the last attempt returns or raises")

    def chunks(self, response: requests.Response) -> Generator[bytes, None, None]:
        """Yield the body, decompressed, in pieces of at most 256 KiB. Raises if it is too large, too slow or breaks off."""
        if response in self._read:
            yield response.content
            return
        try:
            with self._faults(), self._watch():
                while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                    self.size_bytes += len(chunk)
                    if self.size_bytes > self.endpoint.max_response_bytes:
                        raise self.endpoint.too_large()
                    if time.monotonic() > self._deadline:
                        raise self.endpoint.timed_out()
                    self._check_aborted()
                    yield chunk
                if time.monotonic() >= self._deadline:
                    raise self.endpoint.timed_out()
                if response.raw.length_remaining:
                    raise ConnectionResetError("the answer broke off")
        finally:
            response.close()

    def _attempt(self, request: requests.PreparedRequest, kwargs: dict[str, Any]) -> requests.Response:
        self._check_aborted()
        left = max(0.1, self._deadline - time.monotonic())
        kwargs.update(stream=True, allow_redirects=False, timeout=(min(CONNECT_TIMEOUT_SECONDS, left), left))
        kwargs.update(verify=True, cert=None, proxies=self.endpoint.proxies)
        return super().send(request, **kwargs)

    def _check_aborted(self) -> None:
        if self._aborted.is_set():  # while a connection was made, which `cut` does not end
            raise ConnectionAbortedError("the request was given up")

    def _read_error(self, response: requests.Response) -> None:
        """Read the beginning of an error's body, so that client libraries can quote it."""
        parts, size = [], 0
        for chunk in self.chunks(response):
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_ERROR_BYTES:
                break
        response._content = b"".join(parts)[:MAX_ERROR_BYTES]  # what requests itself sets after a whole read
        self._read.append(response)

    def _wait(self, seconds: float) -> bool:
        """Sleep before another attempt. False if the deadline comes first or the session is aborted."""
        if time.monotonic() + seconds >= self._deadline:
            return False
        return not self._aborted.wait(seconds)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Close the connection at the deadline: a read that gets a byte now and then would outlive it."""
        timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._transport.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Raise the libraries' errors as SourceError."""
        try:
            yield
        except (requests.RequestException, Urllib3Error, HTTPException, OSError) as e:
            if time.monotonic() > self._deadline:
                raise self.endpoint.timed_out() from e
            raise self.endpoint.unreachable(e) from e

    def _renew(self, request: requests.PreparedRequest) -> bool:
        """Read the credentials again. Return whether they changed; the request then has the new ones."""
        headers = self.endpoint.renewed_headers()
        if headers is None or all(request.headers.get(name) == value for name, value in headers):
            return False
        self.headers.update(dict(headers))
        request.headers.update(dict(headers))
        return True
