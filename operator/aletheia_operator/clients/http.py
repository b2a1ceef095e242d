"""HTTP to DataSources, for asyncio (`fetch_json`) and for requests-based libraries (`SafeSession`).

Both ways: the endpoint is the admin's, no redirect is followed, no proxy or netrc of the environment is used, and an
answer has a byte cap and a deadline.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import aiohttp_retry
import orjson
import requests
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import ReadTimeoutError
from urllib3.util.retry import Retry

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable

CONNECT_TIMEOUT_SECONDS = 5
RETRY_STATUSES = frozenset({429, 502, 503, 504})
_RETRY = aiohttp_retry.ExponentialRetry(
    attempts=3, start_timeout=0.2, max_timeout=2.0, statuses=set(RETRY_STATUSES), retry_all_server_errors=False
)


@dataclass(frozen=True)
class Endpoint:
    """Where a DataSource listens and what it may cost."""

    name: str
    url: str
    timeout_seconds: int
    max_response_bytes: int

    def too_large(self) -> Rejected:
        return Rejected(
            f"DataSource {self.name}: the answer is larger than {self.max_response_bytes} bytes;"
            " ask for less, or have maxResponseBytes raised",
            GapReason.TOO_LARGE,
        )

    def timed_out(self) -> Unavailable:
        return Unavailable(f"DataSource {self.name} did not answer within {self.timeout_seconds} s", GapReason.TIMED_OUT)

    def unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(f"DataSource {self.name} cannot be reached: {type(error).__name__}")

    def not_json(self) -> Unavailable:
        return Unavailable(f"DataSource {self.name}: the answer is not JSON", GapReason.INVALID_RESPONSE)

    def failed(self, status: int, said: str) -> SourceError:
        """The error for an answer with this HTTP status and these words of the server."""
        message = f"DataSource {self.name} answered {status}: {said[:500]}"
        if 300 <= status < 400:
            return Rejected(f"DataSource {self.name} answered {status}: redirects are not followed", GapReason.INVALID_RESPONSE)
        if status in (401, 403):
            return Rejected(message, GapReason.FORBIDDEN)
        if status == 404:
            return Rejected(message, GapReason.NOT_FOUND)
        if status in RETRY_STATUSES or status >= 500:
            return Unavailable(message)
        return Rejected(message)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer whose body is JSON."""

    status: int
    body: Any


class Http:
    """Asynchronous HTTP to DataSources. Use as an async context manager."""

    async def __aenter__(self) -> "Http":
        self._session = aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        self._client = aiohttp_retry.RetryClient(client_session=self._session, retry_options=_RETRY)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def fetch_json(self, endpoint: Endpoint, path: str, query: Sequence[tuple[str, str]]) -> Answer:
        """GET `path` below the endpoint: any status below 500 with a JSON body.

        Raises Unavailable (no answer, server error, not JSON) or Rejected (redirect, larger than the cap).
        """
        try:
            async with asyncio.timeout(endpoint.timeout_seconds):
                timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS)
                async with self._client.get(
                    endpoint.url.rstrip("/") + path, params=list(query), allow_redirects=False, timeout=timeout
                ) as response:
                    parts, size = [], 0
                    async for chunk in response.content.iter_any():
                        size += len(chunk)
                        if size > endpoint.max_response_bytes:
                            raise endpoint.too_large()
                        parts.append(chunk)
                    body = b"".join(parts)
        except TimeoutError as e:
            raise endpoint.timed_out() from e
        except (aiohttp.ClientError, OSError) as e:
            raise endpoint.unreachable(e) from e
        if 300 <= response.status < 400:
            raise endpoint.failed(response.status, "")
        try:
            return Answer(response.status, orjson.loads(body))
        except orjson.JSONDecodeError as e:
            if response.status >= 400:
                raise endpoint.failed(response.status, body[:200].decode("utf-8", "replace")) from e
            raise endpoint.not_json() from e


class SafeSession(requests.Session):
    """A requests session for client libraries: capped, without redirects, with a deadline over the whole answer.

    Raises this package's errors out of `send`, so that they pass through the library untouched. `last` is the last answer.
    """

    last: requests.Response | None = None

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.trust_env = False

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        deadline = time.monotonic() + self.endpoint.timeout_seconds
        kwargs.update(stream=True, allow_redirects=False, timeout=(CONNECT_TIMEOUT_SECONDS, self.endpoint.timeout_seconds))
        try:
            response = super().send(request, **kwargs)
            parts, size = [], 0
            while chunk := response.raw.read1(2**18, decode_content=True):
                size += len(chunk)
                if size > self.endpoint.max_response_bytes:
                    raise self.endpoint.too_large()
                if time.monotonic() > deadline:
                    raise self.endpoint.timed_out()
                parts.append(chunk)
            response._content = b"".join(parts)  # what requests itself sets after a whole read
            response.close()
        except (requests.Timeout, ReadTimeoutError) as e:
            raise self.endpoint.timed_out() from e
        except (requests.RequestException, Urllib3Error) as e:
            raise self.endpoint.unreachable(e) from e
        self.last = response
        return response


def retry_policy() -> Retry:
    """Bounded retries of what may pass, for requests-based libraries."""
    return Retry(
        total=2,
        read=False,
        backoff_factor=0.2,
        status_forcelist=RETRY_STATUSES,
        redirect=0,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
