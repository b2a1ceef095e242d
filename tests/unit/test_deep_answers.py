"""Deeply nested JSON anywhere in an answer is left out or reported for every source, and is never an internal error."""

import gc
import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Fetcher
from aletheia_operator.fetchers.jaeger import JaegerFetcher
from aletheia_operator.fetchers.loki import LokiFetcher
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.objects import redact_object
from aletheia_operator.text.encoding import dumps
from aletheia_operator.text.nesting import MAX_NESTING, is_too_deep
from tests.support.fetching import endpoint, fetch, reasons, window
from tests.unit.loopback import Loopback, Request

END = 1_763_000_000
HOLE = "the hole"
OTHER_DEPTHS = (201, 260, 700, 900, 960, 1_100, 30_000)
"""Around the limits of orjson (254 to write, 1,024 to read) and of Python (1,000, less what the caller has used)."""


def nested(depth: int, brackets: str) -> str:
    return '{"a":' * depth + "1" + "}" * depth if brackets == "{" else "[" * depth + "]" * depth


def with_a_hole(value: Any) -> Iterator[Any]:
    """Yield the value with HOLE at one place each: instead of each value in it, and as an added member or element of each."""
    yield HOLE
    if isinstance(value, dict):
        yield {**value, "other": HOLE}
        for key, inner in value.items():
            for changed in with_a_hole(inner):
                yield {**value, key: changed}
    elif isinstance(value, list):
        yield [*value, HOLE]
        for number, inner in enumerate(value):
            for changed in with_a_hole(inner):
                yield [*value[:number], changed, *value[number + 1 :]]


TAG = {"key": "http.status", "type": "string", "value": "500"}
ATTRIBUTES = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
ANSWERS: dict[str, Any] = {
    "jaeger v1": {
        "data": [
            {
                "traceID": "ab",
                "processes": {"p1": {"serviceName": "shop", "tags": [TAG]}},
                "spans": [
                    {
                        "traceID": "ab",
                        "operationName": "GET",
                        "startTime": END * 1_000_000,
                        "duration": 5,
                        "processID": "p1",
                        "tags": [TAG],
                        "logs": [{"fields": [TAG]}],
                    }
                ],
            }
        ],
        "errors": [{"msg": "half of it"}],
    },
    "jaeger v3": {
        "result": {
            "resourceSpans": [
                {
                    "resource": ATTRIBUTES,
                    "scopeSpans": [
                        {
                            "scope": {"name": "x"},
                            "spans": [
                                {
                                    "traceId": "ab",
                                    "name": "GET",
                                    "startTimeUnixNano": f"{END}000000000",
                                    "endTimeUnixNano": f"{END}000000001",
                                    "status": {"code": 2},
                                    "events": [ATTRIBUTES],
                                    **ATTRIBUTES,
                                }
                            ],
                        }
                    ],
                }
            ]
        },
        "error": {"message": "half of it"},
    },
    "loki": {
        "status": "success",
        "warnings": ["half of it"],
        "data": {"resultType": "streams", "result": [{"stream": {"a": "b"}, "values": [[f"{END}000000000", "x", {}]]}]},
    },
    "prometheus": {
        "status": "success",
        "warnings": ["half of it"],
        "infos": ["slow"],
        "data": {
            "resultType": "matrix",
            "result": [{"metric": {"a": "b"}, "values": [[END, "1"]], "histograms": [[END, {"count": "1", "buckets": [[0]]}]]}],
        },
    },
    "exemplars": {
        "status": "success",
        "data": [{"seriesLabels": {"a": "b"}, "exemplars": [{"labels": {"trace_id": "ab"}, "value": "1", "timestamp": END}]}],
    },
}
METRICS = {"metrics": [{"query": "up", "step": "1m", "exemplars": True}]}
TRACES = {"traces": [{"service": "shop", "tags": {"http.status": "500"}}]}
LOGS = {"queries": [{"type": "loki", "query": '{a="b"}'}]}
FETCHERS: dict[str, tuple[Fetcher, dict[str, Any]]] = {
    "jaeger v1": (JaegerFetcher(), TRACES),
    "jaeger v3": (JaegerFetcher(), TRACES),
    "loki": (LokiFetcher(), LOGS),
    "prometheus": (PrometheusFetcher(), METRICS),
    "exemplars": (PrometheusFetcher(), METRICS),
}


@dataclass
class Server:
    """Answers the tested question with `hostile`, and others correctly."""

    name: str
    hostile: bytes = b""
    status: int = 200

    def __call__(self, request: Request) -> None:
        exemplars = "query_exemplars" in request.path
        if request.path.endswith("/services"):
            request.send(200, b'{"data":["shop"],"services":["shop"]}')
        elif exemplars != (self.name == "exemplars"):
            request.send(200, json.dumps(ANSWERS["exemplars" if exemplars else "prometheus"]).encode())
        else:
            request.send(self.status, self.hostile)

    def ask(self, loopback: Loopback) -> list[str]:
        """The reasons of the gaps. Raises errors that would become InternalError."""
        loopback.answers = [self]
        fetcher, spec = FETCHERS[self.name]
        options = JaegerOptions.model_validate({"api": self.name[-2:]}) if self.name.startswith("jaeger") else None
        return reasons(fetch(fetcher, endpoint(loopback.url, options=options), window(END - 60, END), **spec).missing)


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Collect no garbage in the test: at the deepest point of the recursion finalizers fail, and so would the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_deep_value_anywhere_in_an_answer(name: str, loopback: Loopback) -> None:
    """It is an answer of an unknown form, also in a place that is not read."""
    server = Server(name)
    for number, value in enumerate(with_a_hole(ANSWERS[name])):
        for depth in (985, 1_010, OTHER_DEPTHS[number % len(OTHER_DEPTHS)]):
            server.hostile = json.dumps(value).replace(f'"{HOLE}"', nested(depth, "[{"[number % 2])).encode()
            assert "InvalidResponse" in server.ask(loopback), (value, depth)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("key", ["error", "errors", "message"])
def test_a_deep_refusal(name: str, key: str, loopback: Loopback) -> None:
    """It is quoted unchanged, or not at all."""
    for depth in (250, 960, 985, 1_010):
        for brackets in "[{":
            body = json.dumps({"status": "error", key: HOLE}).replace(f'"{HOLE}"', nested(depth, brackets))
            assert Server(name, body.encode(), 400).ask(loopback)[-1:] == ["Rejected"], depth


@pytest.mark.parametrize("depth", [150, 985, 1_010, 5_000])
async def test_deep_kubernetes_objects(depth: int) -> None:
    """In a list, or alone: a deep object is an invalid answer, and a less deep one is read."""
    item = {"metadata": {"name": "a", "uid": "1"}, "data": HOLE}
    text = json.dumps({"items": [item]}).replace(f'"{HOLE}"', nested(depth, "{")).encode()
    with Loopback() as loopback:
        loopback.answers = [lambda request: request.send(200, text)]
        client = ApiClient(Configuration(host=loopback.url))
        try:
            with pytest.raises(Unavailable) if depth > 200 else nullcontext() as caught:
                await Kubernetes(client).get("/api/v1/namespaces/shop/pods/a")
            with pytest.raises(Unavailable) if depth > 200 else nullcontext():
                assert [item["metadata"]["name"] async for item in Kubernetes(client).list("/api/v1/pods")] == ["a"]
        finally:
            await client.close()
    assert caught is None or caught.value.reason is GapReason.INVALID_RESPONSE


@pytest.mark.parametrize("depth", [100, 250, 300, 985, 1_010, 5_000])
def test_a_deep_copy_in_an_annotation(depth: int) -> None:
    """Its credentials are taken out, or it is not kept."""
    text = '{"a":' * depth + '{"password":"hunter2-canary"}' + "}" * depth
    item = {
        "kind": "Pod",
        "metadata": {"annotations": {"example.com/spec": text}},
        "spec": {"x": json.loads("[" * 150 + "]" * 150)},
    }
    redact_object(item, Redactor())
    assert b"hunter2" not in dumps(item)


@given(
    st.recursive(
        st.text('[]{}"\\a', max_size=300),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("[{", max_size=3), inner, max_size=3),
    ),
    st.integers(0, 400),
)
def test_levels_are_counted_exactly(value: Any, depth: int) -> None:
    """Brackets within strings do not count."""
    for _ in range(depth):
        value = [value]
    levels, inner = 0, [value]
    while inner := [value for value in inner if isinstance(value, dict | list)]:
        levels += 1
        inner = [each for value in inner for each in (value.values() if isinstance(value, dict) else value)]
    assert is_too_deep(json.dumps(value), value) == (levels > MAX_NESTING)
