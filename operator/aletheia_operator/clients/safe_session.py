"""`SafeSession`: the transport of all HTTP to DataSources, a session of requests. Imported when the first request is made.

Only the endpoint's host and port, or its proxy, are connected to. Redirects are not followed; proxies and netrc of the
environment are not used. Each answer has a byte cap, counted after decompression, and a deadline that includes its retries.
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

import requests
from urllib3.exceptions import HTTPError as Urllib3Error

from aletheia_operator import metrics
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint, origin_of
from aletheia_operator.clients.errors import CREDENTIALS_REFUSED, PARTIAL_CONTENT, PASSING, WHOLE_BODY, Rejected, Unavailable
from aletheia_operator.clients.guard import GuardedAdapter
from aletheia_operator.clients.quoting import MAX_ERROR_BYTES
from aletheia_operator.clients.retries import retry_after
from aletheia_operator.clients.tls import tls_context

CONNECT_TIMEOUT_SECONDS = 5
ATTEMPTS = 3
BACKOFF_SECONDS = 0.3
_CHUNK_BYTES = 2**18


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
