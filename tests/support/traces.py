"""Shared parts of tests of traces: spans to send, and traces as Jaeger's own API returns them."""

import json
import secrets
import urllib.request
from typing import Any
from urllib.parse import urlencode

from tests.cluster import servers


def span(trace: str, name: str, start_ns: int, milliseconds: int, parent: str = "", failing: bool = False) -> dict[str, Any]:
    return {
        "traceId": trace,
        "spanId": secrets.token_hex(8),
        "parentSpanId": parent,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + milliseconds * 1_000_000),
        "attributes": [{"key": "user", "value": {"stringValue": "björn 日本 \x07"}}],
        "status": {"code": 2, "message": "connection refused"} if failing else {},
    }


def ask(server: servers.Jaeger, path: str = "", **query: str) -> list[Any]:
    """Return the traces from Jaeger's API, by id, with their spans in order."""
    with urllib.request.urlopen(f"{server.url}/api/traces{path}?{urlencode(query)}", timeout=10) as answer:
        return in_order(json.load(answer)["data"])


def in_order(traces: list[Any]) -> list[Any]:
    """Sort traces and spans: their order differs between Jaeger's answers."""
    for trace in traces:
        trace["spans"].sort(key=lambda span: span["spanID"])
        processes = {key: trace["processes"][key] for key in sorted(trace["processes"])}
        names = {key: f"p-{process['serviceName']}" for key, process in processes.items()}
        trace["processes"] = {names[key]: process for key, process in processes.items()}
        for span in trace["spans"]:
            span["processID"] = names[span["processID"]]
    return sorted(traces, key=lambda trace: str(trace["traceID"]))
