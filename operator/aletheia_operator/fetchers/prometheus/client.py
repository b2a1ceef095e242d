"""Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/): /query_range, /query, /query_exemplars.

prometheus-api-client makes the requests. It would read a whole answer into memory and drop its warnings, so its session
hands it answers whose `json()` is read series by series as they arrive.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

import requests
from prometheus_api_client import PrometheusApiClientException, PrometheusConnect

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.http import SafeSession, get_json, refusal
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.prometheus.grid import Grid
from aletheia_operator.fetchers.prometheus.stream import SeriesStream


class PrometheusClient:
    """One endpoint, for one question. All calls block. Use as a context manager."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._session = _StreamingSession(endpoint)
        self._client = PrometheusConnect(url=endpoint.base, session=self._session, timeout=endpoint.timeout_seconds)

    def __enter__(self) -> "PrometheusClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def query_range(self, query: str, grid: Grid) -> SeriesStream:
        """The series of a range query. Raises Rejected or Unavailable, here or while they are read."""
        start, end = (datetime.fromtimestamp(moment, UTC) for moment in (grid.start, grid.end))
        return self._ask(lambda: self._client.custom_query_range(query, start, end, f"{grid.step}s"))

    def query(self, query: str, moment: int) -> SeriesStream:
        """The series of an instant query; `value` in place of `values`."""
        return self._ask(lambda: self._client.custom_query(query, params={"time": moment}))

    def _ask(self, request: Callable[[], Any]) -> SeriesStream:
        try:
            return cast("SeriesStream", request())
        except PrometheusApiClientException as e:
            raise self.endpoint.failed(self._session.status, self._session.refusal) from e


class _StreamingSession(SafeSession):
    status = 0
    refusal: str | bytes = b""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = super().send(request, **kwargs)
        self.status = response.status_code
        if response.status_code == 200:
            stream = SeriesStream(self.endpoint, self.chunks(response))
            response.json = lambda **_: {"data": {"result": stream}}  # type: ignore[method-assign]
        else:
            self.refusal = refusal(response, lambda body: str(body["error"]))
        return response


def query_exemplars(endpoint: Endpoint, query: str, window: Window) -> list[Any]:
    """Exemplars of the query's series: [{"seriesLabels": {...}, "exemplars": [{labels, value, timestamp}, ...]}, ...]."""
    parameters = [("query", query), ("start", str(window.start.timestamp())), ("end", str(window.end.timestamp()))]
    answer = get_json(endpoint, "/api/v1/query_exemplars", parameters)
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.status >= 400:
        raise endpoint.failed(answer.status, str(body.get("error") or ""))
    data = body.get("data")
    if body.get("status") != "success" or not isinstance(data, list | None):
        raise endpoint.not_of("Prometheus' exemplars API")
    return data or []


def version(endpoint: Endpoint) -> str | None:
    """The server's version; None where it does not tell. Raises where it does not answer queries."""
    answer = get_json(endpoint, "/api/v1/status/buildinfo", [])
    data = answer.body.get("data") if isinstance(answer.body, dict) else None
    if answer.status == 200 and isinstance(data, dict) and data.get("version"):
        return str(data["version"])
    with PrometheusClient(endpoint) as client:
        _exhaust(client.query("vector(1)", 0))
    return None


def _exhaust(stream: SeriesStream) -> None:
    for _ in cast("Iterator[Any]", iter(stream)):
        pass
