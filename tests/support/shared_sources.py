"""Servers of metrics, traces and log lines with data of two namespaces, which check what a request may see.

A request that names `own`, by a matcher or as its tenant, gets only the data of `own`; any other request gets all data.
"""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from tests.support.http import Handler


def answers(own: str, words: Mapping[str, str], traces: Mapping[str, str]) -> Handler:
    """Return a handler for Prometheus, Loki and Jaeger alike.

    `own`: the namespace that may only see itself. `words`: what is in the data of each namespace. `traces`: ids of traces.
    """

    async def answer(request: web.Request) -> web.Response:
        asked: dict[str, Any] = {**request.query, **await request.post()}  # long queries come in a form
        query = asked.get("query", "")
        confined = request.headers.get("X-Scope-OrgID", request.headers.get("x-tenant")) == own or f'="{own}"' in query
        seen = [own] if confined else list(words)
        for end, make in PATHS.items():
            if end in request.path:
                return web.json_response(make(asked, {name: (words[name], traces[name]) for name in seen}))
        return web.json_response({"status": "success", "data": {"version": "1"}})

    return answer


Data = Mapping[str, tuple[str, str]]


def _series(asked: Mapping[str, Any], data: Data) -> Any:
    values = [[float(asked["start"]), "1"]]
    found = [{"metric": {"namespace": name, "word": word}, "values": values} for name, (word, _) in data.items()]
    return {"status": "success", "data": {"resultType": "matrix", "result": found}}


def _lines(asked: Mapping[str, Any], data: Data) -> Any:
    start = asked["start"]
    found = [{"stream": {"namespace": name}, "values": [[start, word]]} for name, (word, _) in data.items()]
    return {"status": "success", "data": {"resultType": "streams", "result": found}}


def _traces(asked: Mapping[str, Any], data: Data) -> Any:
    found = []
    for word, trace_id in data.values():
        span: dict[str, Any] = {
            "traceID": trace_id,
            "spanID": "1" * 16,
            "processID": "p1",
            "operationName": word,
            "references": [],
        }
        span |= {"startTime": int(asked.get("start", "1")), "duration": 1, "tags": [], "logs": []}
        found.append({"traceID": trace_id, "spans": [span], "processes": {"p1": {"serviceName": word, "tags": []}}})
    return {"data": found}


PATHS: Mapping[str, Callable[[Mapping[str, Any], Data], Any]] = {
    "/loki/api/v1/query_range": _lines,
    "/api/v1/query_range": _series,
    "/api/traces": _traces,
}
