"""Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/).

prometheus-api-client makes the requests of /query, /query_range, /labels and /label/NAME/values. It would read a whole answer
into memory and drop its warnings, so our session gives it answers with a `json()` that streams. It does not have
/query_exemplars and /status/buildinfo: these are requested directly.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Self, cast

import requests
from prometheus_api_client import PrometheusApiClientException, PrometheusConnect

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import POST_REFUSED, WHOLE_BODY, Rejected, SourceError
from aletheia_operator.clients.http import MAX_WHOLE_BYTES, get_json, parse_whole, refusal
from aletheia_operator.clients.safe_session import SafeSession
from aletheia_operator.clients.threads import Call
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.prometheus.grid import Grid
from aletheia_operator.fetchers.prometheus.stream import ExemplarStream, SeriesStream

MAX_URL_CHARACTERS = 2_000
"""A longer query is sent by POST: proxies refuse long URLs. Others are sent by GET: read-only roles often allow only GET."""


class PrometheusClient:
    """Asks one endpoint one question. All methods block, and raise Rejected, Unavailable or Stopped.

    Use as a context manager: within it, stopping the call closes the connection.
    """

    def __init__(self, endpoint: Endpoint, call: Call) -> None:
        self.endpoint = endpoint
        self.call = call
        self._session = _StreamingSession(endpoint, call)
        # the library retries only in its own adapter, which this session ignores
        self._client = PrometheusConnect(url=endpoint.base, session=self._session, timeout=endpoint.timeout_seconds)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.callback(self._session.close)
        self._open.enter_context(self.call.on_stop(self._session.abort))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def size_bytes(self) -> int:
        """Bytes of all answers so far, which the endpoint's cap limits. Set it back after an answer broke off."""
        return self._session.size_bytes

    @size_bytes.setter
    def size_bytes(self, size_bytes: int) -> None:
        self._session.size_bytes = size_bytes

    def query_range(self, query: str, grid: Grid) -> SeriesStream:
        """Return the series of a range query. Raises here, or while they are read."""
        start, end = (datetime.fromtimestamp(moment, UTC) for moment in (grid.start, grid.end))
        return self._series(lambda: self._client.custom_query_range(query, start, end, f"{grid.step}s"))

    def query(self, query: str, moment: int) -> SeriesStream:
        """Return the series of an instant query, with `value` instead of `values`. `moment`: Unix seconds."""
        return self._series(lambda: self._client.custom_query(query, params={"time": moment}))

    def query_exemplars(self, query: str, window: Window) -> ExemplarStream:
        """Return the exemplars of the query's series in the window."""
        params = {"query": query, "start": window.start.timestamp(), "end": window.end.timestamp()}
        self.call.check()
        self._session.read_as = ExemplarStream
        try:
            response = self._session.request("GET", f"{self.endpoint.base}/api/v1/query_exemplars", params=params)
            if response.status_code not in WHOLE_BODY:
                raise self.endpoint.failed(self._session.status, self._session.refusal)
            return cast("ExemplarStream", response.json())
        except SourceError:
            self.call.check()
            raise
        finally:
            self._session.read_as = _answer

    def metric_names(self, selector: str | None, window: Window) -> list[str]:
        """Return the sorted names of metrics with series in the window. `selector`: only of these series; None: of all."""
        return self._names(lambda params: self._client.get_label_values("__name__", params=params), selector, window)

    def label_names(self, selector: str, window: Window) -> list[str]:
        """Return the sorted names of labels that the selector's series have in the window; [] if there are no series."""
        return self._names(lambda params: self._client.get_label_names(params=params), selector, window)

    def _names(self, request: Callable[[dict[str, Any]], Any], selector: str | None, window: Window) -> list[str]:
        params: dict[str, Any] = {"start": window.start.timestamp(), "end": window.end.timestamp()}
        if selector is not None:
            params["match[]"] = selector
        self._session.read_as = None
        try:
            found = self._ask(lambda: request(params))
        except (KeyError, TypeError) as e:
            raise self.endpoint.not_of("Prometheus' query API") from e
        finally:
            self._session.read_as = _answer
        if not isinstance(found, list):
            raise self.endpoint.not_of("Prometheus' query API")
        return sorted(name for name in found if isinstance(name, str))

    def _series(self, request: Callable[[], Any]) -> SeriesStream:
        return cast("SeriesStream", self._ask(request))

    def _ask(self, request: Callable[[], Any]) -> Any:
        self.call.check()
        try:
            return request()
        except PrometheusApiClientException as e:
            raise self.endpoint.failed(self._session.status, self._session.refusal) from e
        except SourceError:
            self.call.check()  # a stopped call also looks like a broken connection
            raise


class _StreamingSession(SafeSession):
    """A session with streaming answers: `json()` is `read_as(...)` of the pieces. `read_as` None: the parsed JSON, if small."""

    def __init__(self, endpoint: Endpoint, call: Call) -> None:
        super().__init__(endpoint)
        self.status = 0
        self.refusal: str | bytes = b""
        self.read_as: Callable[..., Any] | None = _answer
        self._call = call
        self._takes_post = True

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a long query as a POST form. The library would always put it into the URL."""
        params = kwargs.get("params")
        if self._takes_post and params and len(str(params.get("query", ""))) > MAX_URL_CHARACTERS:
            form = {**kwargs, "params": None, "data": params}
            response = super().request("POST", url, *args, **form)
            if response.status_code not in POST_REFUSED:
                return response
            self._takes_post = False
        return super().request(method, url, *args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = super().send(request, **kwargs)
        self.status = response.status_code
        if response.status_code not in WHOLE_BODY:
            self.refusal = refusal(response, lambda body: str(body["error"]))
        else:
            if self.read_as is None:
                read = parse_whole(self.endpoint, self._whole_body(response))
            else:
                read = self.read_as(self.endpoint, self._checked(self.chunks(response)), self._call.computing)
            response.json = lambda **_: read  # type: ignore[method-assign]
        return response

    def _whole_body(self, response: requests.Response) -> bytes:
        """Return the body. Raises Rejected if it is larger than MAX_WHOLE_BYTES."""
        parts: list[bytes] = []
        for chunk in self._checked(self.chunks(response)):
            parts.append(chunk)
            if sum(map(len, parts)) > MAX_WHOLE_BYTES:
                response.close()
                raise Rejected("there are too many names", GapReason.TOO_LARGE)
        return b"".join(parts)

    def _checked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                self._call.check()
                yield chunk
        except SourceError:
            self._call.check()
            raise


def _answer(*stream: Any) -> dict[str, Any]:
    """Return an answer in the form that the library expects, with a stream of series."""
    return {"data": {"result": SeriesStream(*stream)}}


def version(endpoint: Endpoint, call: Call) -> str | None:
    """Return the server's version; None if it reports none. Raises SourceError if it does not answer queries. Blocks."""
    answer = get_json(endpoint, "/api/v1/status/buildinfo", [])
    data = answer.body.get("data") if isinstance(answer.body, dict) else None
    if answer.is_whole and isinstance(data, dict) and data.get("version"):
        return str(data["version"])
    with PrometheusClient(endpoint, call) as client:
        for _ in client.query("vector(1)", 0):
            pass
    return None
