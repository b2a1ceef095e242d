"""Answers in every form that JSON allows, missing data, and sources that are slow for one namespace only."""

import asyncio
import errno
import gc
import json
import os
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.prometheus import PrometheusOptions
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Sources
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.fetchers.prometheus.json_text import PIECE_BYTES, _PausedCollector
from aletheia_operator.fetchers.prometheus.stream import EndOfSeries, SeriesStream
from aletheia_operator.fetchers.prometheus.templates import parse_templates
from aletheia_operator.scratch import Scratch
from tests.support.fetching import Fetched, OneEndpoint, endpoint, fetch, reasons, window
from tests.support.http import OVER, Handler, Serve
from tests.unit.fakes import LONGEST_TEST_SECONDS, entries_of, make_scratch, make_sources

END = 1_763_000_000
CONFINED = PrometheusOptions(namespace_label="namespace")


def ask(serve: Serve, handler: Handler, metrics: dict[str, Any], seconds: float = 60, **settings: Any) -> Fetched:
    source = endpoint(serve(handler), **settings)
    return fetch(PrometheusFetcher(), source, window(END - seconds, END), metrics=[metrics])


def read(body: bytes, piece: int = 100) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the series of an answer that comes in pieces, as they would be stored, and its envelope."""
    stream = SeriesStream(
        endpoint("http://localhost"), iter([body[at : at + piece] for at in range(0, len(body), piece)]), nullcontext
    )
    found: list[dict[str, Any]] = []
    samples: dict[str, list[Any]] = {}
    for event in (event for events in stream for event in events):
        if isinstance(event, EndOfSeries):
            found.append({"metric": event.labels, **samples})
            samples = {}
        else:
            samples.setdefault(event.kind, []).extend(event.samples)
    return found, stream.envelope


LABEL_VALUES = st.text(max_size=20) | st.sampled_from(['"},{"metric":{', "]},{", "],[", '"', "\\", "\ud800", "{", "[[1"])
SERIES = st.fixed_dictionaries(
    {
        "metric": st.dictionaries(st.sampled_from(["metric", "values", "a", "__name__"]), LABEL_VALUES, max_size=3),
        "values": st.lists(
            st.tuples(st.integers(0, 2**31), st.sampled_from(["1", "NaN", "+Inf", "0.25"])).map(list), max_size=30
        ),
    }
)


@given(st.lists(SERIES, max_size=12), st.randoms(use_true_random=False), st.sampled_from([None, 1, "\t"]), st.integers(1, 400))
def test_any_order_of_keys_and_any_spaces(found: list[dict[str, Any]], random: Any, indent: Any, piece: int) -> None:
    """The parsed JSON is the same, for any formatting and any chunks."""

    def shuffled(value: dict[str, Any]) -> dict[str, Any]:
        return dict(random.sample(list(value.items()), len(value)))

    data = shuffled({"resultType": "matrix", "result": [shuffled(item) for item in found]})
    body = shuffled({"status": "success", "data": data, "warnings": ["]},{ partial"], "stats": {"a": [1, {"b": None}]}})
    compact = (",", ":") if indent is None and random.random() < 0.5 else None
    series, envelope = read(json.dumps(body, indent=indent, separators=compact).encode(), piece)
    assert series == found
    assert envelope == {"status": "success", "warnings": ["]},{ partial"]}


@pytest.mark.parametrize("order", [["metric", "values"], ["values", "metric"]])
@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_a_series_larger_than_a_piece(order: list[str], spaces: tuple[str, str]) -> None:
    """It is read in parts, also if its labels come last."""
    values = [[END + number, f"{number}.5"] for number in range(PIECE_BYTES // 8)]
    series: dict[str, Any] = {"metric": {"metric": "a"}, "values": values}
    result = [{key: series[key] for key in order}] * 2
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}, separators=spaces).encode()
    assert len(body) > 4 * PIECE_BYTES
    assert read(body, 2**18)[0] == [series, series]


HISTOGRAM = {"count": "5", "sum": "3.5", "buckets": [[0, "1", "2", "3"], [1, "2", "4", "2"]]}


@pytest.mark.parametrize(
    ("data", "entries"),
    [
        ({"resultType": "scalar", "result": [END, "5"]}, [{"metric": {}, "value": [END, "5"]}]),
        ({"result": [END, "5"], "resultType": "scalar"}, [{"metric": {}, "value": [END, "5"]}]),
        ({"resultType": "string", "result": [END, "text"]}, [{"metric": {}, "value": [END, "text"]}]),
        (
            {"resultType": "vector", "result": [{"value": [END, "1"], "metric": {"metric": "x"}}]},
            [{"metric": {"metric": "x"}, "value": [END, "1"]}],
        ),
        (
            {"resultType": "matrix", "result": [{"metric": {}, "histograms": [[END, HISTOGRAM]] * 20}] * 2},
            [{"metric": {}, "histograms": [[END, HISTOGRAM]] * 40}],
        ),
        (
            {"resultType": "vector", "result": [{"metric": {}, "histogram": [END, HISTOGRAM]}]},
            [{"metric": {}, "histogram": [END, HISTOGRAM]}],
        ),
        ({"resultType": "matrix", "result": []}, []),
    ],
    ids=["scalar", "scalar, type last", "string", "labels last", "histograms", "a histogram", "nothing"],
)
def test_every_kind_of_result(serve: Serve, data: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """The stored entries equal the server's."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": data} if "query" in request.path else {"status": "error"})

    fetched = ask(serve, answer, {"query": "vector(1)", "instant": True})
    assert fetched.entries == [entries]
    assert fetched.missing == []


@pytest.mark.parametrize(
    "data",
    [
        {"resultType": "vector", "result": None},
        {"resultType": "vector"},
        {"resultType": "vector", "result": {}},
        {"resultType": "vector", "result": "text"},
        {"resultType": "vector", "result": [[1, "2"]]},
        {"resultType": "scalar", "result": [1]},
        {"resultType": "streams", "result": [{"stream": {}, "values": []}]},
        {"resultType": "matrix", "result": [{"metric": {}}]},
        {"resultType": "matrix", "result": [{"values": []}]},
        {"resultType": "matrix", "result": [{"metric": {}, "values": None}]},
        {"resultType": "matrix", "result": [{"metric": {}, "values": [5]}]},
        {"resultType": "matrix", "result": [None]},
        None,
        [],
    ],
    ids=json.dumps,
)
def test_what_is_not_understood_is_no_empty_answer(serve: Serve, data: Any) -> None:
    """The error is InvalidResponse, never "0 series"."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": data})

    fetched = ask(serve, answer, {"query": "up", "instant": True})
    assert reasons(fetched.missing) == ["InvalidResponse"]
    assert fetched.documents == []


def matrix(*series: dict[str, Any], **fields: Any) -> web.Response:
    return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": list(series)}, **fields})


def samples(*numbers: int, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "values": [[END, str(number)] for number in numbers]}


@pytest.mark.parametrize("status", [200, 403, 405, 501])
def test_a_long_query_is_a_form(serve: Serve, status: int) -> None:
    """It is sent by POST, since URLs of such a length are refused. If the server refuses POST, it is sent by GET."""
    methods: list[str] = []
    forms: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        methods.append(request.method)
        if request.method == "POST" and status != 200:
            return web.Response(status=status)
        forms.append({**request.query} if request.method == "GET" else {**await request.post()})
        return matrix(samples(1))

    query = "+".join(["load"] * 450)
    fetched = ask(serve, answer, {"query": query, "step": "15s"}, seconds=45_000)
    assert fetched.missing == []
    assert methods == (["POST"] if status == 200 else ["POST", "GET"])
    assert forms == [{"query": query, "start": str(END - 45_000), "end": str(END), "step": "15s"}]


def test_a_short_query_is_a_url(serve: Serve) -> None:
    """Read-only roles often do not allow POST."""
    methods = []

    async def answer(request: web.Request) -> web.Response:
        methods.append(request.method)
        return matrix(samples(1))

    assert ask(serve, answer, {"query": "up"}).missing == []
    assert methods == ["GET"]


def test_a_baseline_that_fails_keeps_the_metric(serve: Serve) -> None:
    """The metric is stored, and the gap names the baseline."""

    async def answer(request: web.Request) -> web.Response:
        if float(request.query["end"]) < END:
            return web.json_response({"error": "beyond retention"}, status=422)
        return matrix(samples(1, 2))

    fetched = ask(serve, answer, {"query": "up", "baseline": {"offset": "24h"}})
    assert [len(entries) for entries in fetched.entries] == [1]
    assert [(gap.target, gap.reason.value) for gap in fetched.missing] == [("up, 24h before", "Rejected")]
    assert "beyond retention" in fetched.missing[0].message


@pytest.mark.parametrize(
    "series",
    [
        {"values": [[END, "1"]] * 60_000},
        {"metric": ["up"], "values": [[END, "1"]] * 60_000},
        {"metric": {"job": "a"}, "values": {"at": [[END, "1"]] * 20_000}},
    ],
    ids=["without labels", "labels that are none", "samples that are none"],
)
def test_a_large_series_that_is_not_understood_is_no_empty_answer(series: dict[str, Any]) -> None:
    """A series that is read member by member is checked as strictly as a small one."""
    body = {"status": "success", "data": {"resultType": "matrix", "result": [series]}}
    assert len(json.dumps(series)) > PIECE_BYTES / 2
    with pytest.raises(SourceError) as caught:
        read(json.dumps(body).encode(), 65_536)
    assert caught.value.reason is GapReason.INVALID_RESPONSE


class FullAt:
    """Makes scratch files. From number `first` on they report a full volume."""

    def __init__(self, first: int) -> None:
        self.made = 0
        self.first = first

    def __call__(self) -> Scratch:
        scratch = make_scratch()
        if self.made >= self.first:
            scratch.put = self._full  # type: ignore[method-assign]
        self.made += 1
        return scratch

    def _full(self, block: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("metrics", "seconds", "severity"),
    [({"query": "up", "baseline": {"offset": "24h"}}, 60, "gap"), ({"query": "up"}, 90_000, "note")],
    ids=["the baseline", "the extremes"],
)
async def test_a_volume_that_is_full_for_what_is_beside_keeps_the_metric(
    serve: Serve, metrics: dict[str, Any], seconds: int, severity: str
) -> None:
    """Data beside the metric that finds no room is reported, and the metric is stored."""

    async def answer(request: web.Request) -> web.Response:
        return matrix(samples(1, 2))

    fetcher = PrometheusFetcher()
    sources = make_sources(
        data_sources=OneEndpoint(endpoint(serve(answer))), window=window(END - seconds, END), scratch=FullAt(1)
    )
    (question,) = (await fetcher.plan(InvestigationSpec.model_validate({"metrics": [metrics]}), sources)).questions
    documents = [document async for document in fetcher.fetch(question, sources)]
    entries = await entries_of(documents[0])
    assert [len(documents), len(entries)] == [1, 1]
    assert [(gap.reason.value, gap.severity) for gap in documents[0].outcome.missing] == [("SaveFailed", severity)]


def test_every_chunk_of_a_window_has_its_own_start_and_end(serve: Serve) -> None:
    """`@ start()` and `@ end()` mean the window's, however it is split."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        form = await request.post()
        asked.append(str(request.query.get("query") or form["query"]))
        return matrix(samples(1))

    ask(serve, answer, {"query": "up @ start() - up @ end()", "step": "1s"}, seconds=12_000)
    assert len(asked) == 2
    assert len(set(asked)) == 1
    assert "start" not in asked[0]
    assert f"@ {END}" in asked[0]


def test_warnings_of_every_answer_are_said(serve: Serve) -> None:
    """Those of exemplars, of an empty convention, and of an answer that broke off are included."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["query"])
        if request.path.endswith("exemplars"):
            return web.json_response({"status": "success", "data": [], "warnings": ["exemplars of one store are lost"]})
        if len(asked) == 1:
            return matrix(warnings=["a store is down"])
        return matrix(samples(1), warnings=["another store is down"])

    fetched = ask(serve, answer, {"template": "error_rate", "exemplars": True})
    assert fetched.documents[0].metadata["warnings"] == ["a store is down", "another store is down"]
    messages = [gap.message for gap in fetched.missing]
    assert messages == [
        f"the server warns: {warning}"
        for warning in ("a store is down", "another store is down", "exemplars of one store are lost")
    ]
    assert fetched.missing[-1].target == "error_rate, exemplars"


def test_a_chunk_that_is_asked_again_counts_once(serve: Serve) -> None:
    """The samples, highest value, size and dropped series are only those of the second answer."""
    asked: list[str] = []
    good = [samples(1, 2, n=str(number)) for number in range(300)]
    size = len(json.dumps(good))

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if len(asked) == 1:
            whole = await_body(matrix(*[samples(99, 98, n=f"x{number}") for number in range(300)]))
            return web.Response(body=whole[:-30], content_type="application/json")
        return matrix(*good)

    def await_body(response: web.Response) -> bytes:
        assert isinstance(response.body, bytes)
        return response.body

    fetched = ask(serve, answer, {"query": "up"}, max_response_bytes=round(size * 1.5), max_series=300)
    assert len(asked) == 2
    assert fetched.missing == []
    assert fetched.documents[0].metadata["samples"] == 600
    assert "300 series, max 2 " in fetched.documents[0].outcome.summary


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("level", "{name}_over_time(level[{range}])"),
        ("level{a='b'} # why", '{name}_over_time(level{{a="b"}}[{range}])'),
        ("level + 1 # why", "{name}_over_time((level + 1 # why\n)[{range}:15s])"),
        ("5", "{name}_over_time(vector(5)[{range}:15s])"),
        ("a default b", "{name}_over_time((a default b\n)[{range}:15s])"),
    ],
)
def test_extremes_are_asked_for_each_step(serve: Serve, query: str, asked: str) -> None:
    """Each part of the window is in the range of some moment: its beginning in that of the first."""
    questions: list[tuple[str, int, int]] = []

    async def answer(request: web.Request) -> web.Response:
        questions.append((request.query["query"], int(request.query["start"]), int(request.query["end"])))
        return matrix(samples(1, 2))

    seconds = 2 * 86_400 + 100
    fetched = ask(serve, answer, {"query": query}, seconds=seconds)
    first = END - 2 * 86_400
    assert questions[0] == (query, first, END)
    for name in ("max", "min"):
        own = [question for question in questions if question[0].startswith(name)]
        assert own[0] == (asked.format(name=name, range="100001ms"), first, first)
        assert {text for text, _, _ in own[1:]} == {asked.format(name=name, range="300s")}
        moments = [moment for _, start, end in own[1:] for moment in range(start, end + 1, 300)]
        assert moments == list(range(first + 300, END + 1, 300))
        cost = 1 if asked.endswith("[{range}])") else 20
        assert all((end - start) // 300 * cost < 11_000 for _, start, end in own[1:])
    assert [entry.get("over_step") for entry in fetched.entries[0]] == [None, "max", "min"]
    assert fetched.missing == []


@pytest.mark.parametrize(
    ("metrics", "seconds"),
    [({"query": "up"}, 20_000), ({"query": "up", "step": "1m"}, 90_000), ({"query": "up", "instant": True}, 90_000)],
)
def test_extremes_are_not_asked_for_where_nothing_was_thinned_out(serve: Serve, metrics: dict[str, Any], seconds: int) -> None:
    """That is so in short windows, with a requested step, and at a single moment."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["query"])
        return matrix(samples(1))

    assert ask(serve, answer, metrics, seconds=seconds).documents[0].metadata["over_step"] == []
    assert asked == ["up"]


def test_extremes_that_cannot_be_had_are_a_note(serve: Serve) -> None:
    """The requested samples are there. Notes say what may have been overlooked."""

    async def answer(request: web.Request) -> web.Response:
        if "max_over_time" in request.query["query"]:
            return matrix(warnings=["a store is down"])
        if "over_time" in request.query["query"]:
            return web.json_response({"error": "too many samples"}, status=422)
        return matrix(samples(1))

    fetched = ask(serve, answer, {"query": "up"}, seconds=90_000)
    assert [(gap.reason.value, gap.severity) for gap in fetched.missing] == [("Unavailable", "note"), ("Rejected", "note")]
    assert "a store is down" in fetched.missing[0].message
    assert "between the samples could not be queried" in fetched.missing[1].message
    assert len(fetched.entries[0]) == 1


class Metrics:
    """A server that knows names of metrics and their labels, of two namespaces."""

    def __init__(self, *, ignores_matchers: bool = False, lists_names: bool = True) -> None:
        self.known = {
            "http_requests_total": {"shop": ["code", "service"], "other": ["code", "tenant_secret"]},
            "http_request_errors_total": {"other": ["code"]},
            "http_requests_failed": {"shop": ["code"]},
        }
        self.ignores_matchers = ignores_matchers
        self.lists_names = lists_names

    async def answer(self, request: web.Request) -> web.Response:
        match = str(request.query.get("match[]", ""))
        if "query" in request.path:
            readable = "last_over_time" in request.query["query"] and self.series(request.query["query"])
            return matrix(*([samples(1)] if readable else []))
        if not self.lists_names:
            return web.Response(status=404)
        found = self.series("" if self.ignores_matchers else match)
        if request.path.endswith("/labels"):
            return web.json_response({"status": "success", "data": [label for labels in found.values() for label in labels]})
        return web.json_response({"status": "success", "data": list(found)})

    def series(self, selector: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, namespaces in self.known.items():
            for namespace, labels in namespaces.items():
                if f'__name__="{name}"' not in selector and "__name__" in selector:
                    continue
                if "namespace=" in selector and f'namespace="{namespace}"' not in selector:
                    continue
                if any(
                    f'{label}!=""' in selector for metric in self.known.values() for some in metric.values() for label in some
                ) and not any(f'{label}!=""' in selector for label in labels):
                    continue
                found.setdefault(name, []).extend(["__name__", "namespace", *labels])
        return found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("http_request_total", "no metric http_request_total in the window; the nearest are http_requests_total"),
        ("rate(http_request_total{code='1'}[5m])", "no metric http_request_total"),
        ("qqq", "no metric qqq in the window; none has a name like it"),
        ('http_requests_total{servise="x"}', "metric http_requests_total has no label servise; it has service"),
        ('{__name__="http_request_total"}', "no metric http_request_total"),
    ],
)
def test_an_unknown_name_is_a_gap_with_the_nearest(serve: Serve, query: str, words: str) -> None:
    """A misspelt metric or label must not look like quiet."""
    fetched = ask(serve, Metrics().answer, {"query": query})
    assert reasons(fetched.missing) == ["Empty"]
    assert words in fetched.missing[0].message
    assert fetched.entries == [[]]


@pytest.mark.parametrize(
    "query",
    ['http_requests_total{service="none"}', "http_requests_total > 5", '{code="1"}', "absent(1", 'http_requests_total{no=""}'],
)
def test_a_known_name_without_series_is_no_gap(serve: Serve, query: str) -> None:
    """The same holds for a query that names no metric, or that is not understood."""
    assert ask(serve, Metrics().answer, {"query": query}).missing == []


def test_a_server_that_lists_no_names(serve: Serve) -> None:
    """The empty answer is kept as the server gave it."""
    assert ask(serve, Metrics(lists_names=False).answer, {"query": "qqq"}).missing == []


@pytest.mark.parametrize("ignores_matchers", [False, True])
def test_names_of_other_tenants_are_not_told(serve: Serve, ignores_matchers: bool) -> None:
    """A confined tenant sees only names of its own series, even if the server ignores matchers when it lists names."""
    server = Metrics(ignores_matchers=ignores_matchers)
    fetched = ask(serve, server.answer, {"query": "http_request_errors_total"}, options=CONFINED)
    assert reasons(fetched.missing) == ["Empty"]
    assert 'no metric http_request_errors_total in the window where namespace="shop"' in fetched.missing[0].message
    assert "http_requests_total" in fetched.missing[0].message
    fetched = ask(serve, server.answer, {"query": 'http_requests_total{tenant_secre="x"}'}, options=CONFINED)
    assert reasons(fetched.missing) == ["Empty"]
    assert "tenant_secret" not in fetched.missing[0].message
    fetched = ask(serve, server.answer, {"query": "http_request_error_total"}, options=CONFINED)
    assert "http_request_errors_total" not in fetched.missing[0].message


@pytest.mark.parametrize(
    ("promql", "words"),
    [
        ("up{$namespace} > $limit", "$limit must stand within quotes"),
        ('up{$namespace,job="a"} * ${factor}', "$factor must stand within quotes"),
        ("up{$namespace,job=`$job`}", "$job must stand within"),
        ("up{$namespace} # $note", "$note must stand within"),
        ('up{job="$namespace"}', "$namespace stands for matchers"),
        ("up{job='${http}'}", "$http stands for matchers"),
        ('up{job="\\"$x\\\\"} or $y{job="z"}', "$y must stand within quotes"),
        ("up{$namespace} > $", "write $$"),
    ],
)
def test_a_template_that_a_parameter_could_leave_is_refused(promql: str, words: str) -> None:
    """It is refused when an admin loads it, not when a tenant uses it."""
    with pytest.raises(ValueError, match="metric templates: mine") as caught:
        parse_templates({"mine": [{"name": "own", "promql": promql}]})
    assert words in str(caught.value)


def test_a_template_whose_parameters_are_quoted_is_taken() -> None:
    """Quotes may be of either kind. Matchers, ranges and $$ for a dollar are allowed."""
    promql = "label_replace(rate(up{$http,a=\"$a\",b='x$b.*'}[$range]), 'c', '$$1', 'd', '(.*)') or up{$pods}"
    (template,) = parse_templates({"mine": [{"name": "own", "promql": promql, "serviceLabel": "app"}]})["mine"]
    assert template.promql == promql
    with pytest.raises(ValueError, match="is not a label name"):
        parse_templates({"mine": [{"name": "own", "promql": promql, "serviceLabel": 'a="b",c'}]})


async def fetch_all(fetcher: PrometheusFetcher, sources: Sources, **spec: Any) -> list[Any]:
    plan = await fetcher.plan(InvestigationSpec.model_validate(spec), sources)
    found = []
    for question in plan.questions:
        async for document in fetcher.fetch(question, sources):
            async for batch in document.batches:
                assert isinstance(batch, list)
                found += batch
    return found


def end_of_threads() -> bool:
    """Return whether all threads for sources end within 5 seconds each."""
    threads = [thread for thread in threading.enumerate() if thread.name == "source"]
    for thread in threads:
        thread.join(LONGEST_TEST_SECONDS)
    return not any(thread.is_alive() for thread in threads)


async def test_a_slow_server_of_one_namespace_does_not_delay_another(serve: Serve) -> None:
    """72 queries of one namespace hang, and one of another is answered at once. When cancelled, all of them end at once."""

    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def hang(request: web.Request) -> web.Response:
        loop.call_soon_threadsafe(hanging.set)
        await request.app[OVER].wait()
        return web.Response()

    async def answer(request: web.Request) -> web.Response:
        return matrix(samples(1))

    fetcher = PrometheusFetcher()
    slow = make_sources(
        data_sources=OneEndpoint(endpoint(serve(hang), name="slow", timeout_seconds=600)), window=window(END - 60, END)
    )
    quick = replace(slow, namespace="other", data_sources=OneEndpoint(endpoint(serve(answer), name="slow")))
    metrics = [{"query": "up"}]
    tasks = [asyncio.create_task(fetch_all(fetcher, slow, metrics=metrics)) for _ in range(72)]
    await asyncio.wait_for(hanging.wait(), LONGEST_TEST_SECONDS)
    assert len(await fetch_all(fetcher, quick, metrics=metrics)) == 1
    assert await asyncio.to_thread(lambda: 5) == 5  # saving has threads of its own
    assert not any(task.done() for task in tasks)
    began = time.monotonic()
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert time.monotonic() - began < LONGEST_TEST_SECONDS
    assert end_of_threads()


@pytest.mark.parametrize("interrupted", [True, False])
async def test_what_came_before_the_time_was_up_is_kept(serve: Serve, interrupted: bool) -> None:
    """Chunks that came are written when the Investigation ends; when the process ends, the next one asks again."""
    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked: list[str] = []

    async def second_hangs(request: web.Request) -> web.Response:
        asked.append(request.path)
        if len(asked) > 1:
            loop.call_soon_threadsafe(hanging.set)
            await request.app[OVER].wait()
        return matrix(samples(1, 2))

    source = endpoint(serve(second_hangs), timeout_seconds=600)
    sources = make_sources(data_sources=OneEndpoint(source), window=window(END - 15_000, END), interrupted=lambda: interrupted)
    fetcher = PrometheusFetcher()
    spec = InvestigationSpec.model_validate({"metrics": [{"query": "up", "step": "1s"}]})
    (question,) = (await fetcher.plan(spec, sources)).questions
    kept: list[Any] = []

    async def work() -> None:
        async for document in fetcher.fetch(question, sources):
            async for batch in document.batches:
                assert isinstance(batch, list)
                kept.extend(batch)

    task = asyncio.create_task(work())
    await asyncio.wait_for(hanging.wait(), LONGEST_TEST_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, LONGEST_TEST_SECONDS)
    assert len(kept) == interrupted
    assert end_of_threads()


async def test_a_stop_between_chunks(serve: Serve) -> None:
    """After a cancellation no further chunk of the window is requested."""
    asked: list[str] = []
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["start"])
        loop.call_soon_threadsafe(started.set)
        await asyncio.sleep(0.05)
        return matrix()

    sources = make_sources(data_sources=OneEndpoint(endpoint(serve(answer))), window=window(END - 1_000_000, END))
    task = asyncio.create_task(fetch_all(PrometheusFetcher(), sources, metrics=[{"query": "up", "step": "1s"}]))
    await asyncio.wait_for(started.wait(), LONGEST_TEST_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asked) <= 2


async def test_a_hostile_query_delays_nobody(serve: Serve) -> None:
    """It delays neither another namespace's query, nor the event loop, which every unit test watches."""

    async def answer(request: web.Request) -> web.Response:
        return matrix(samples(1))

    source = OneEndpoint(endpoint(serve(answer), options=CONFINED))
    sources = make_sources(data_sources=source, window=window(END - 60, END))
    other = replace(sources, namespace="other")
    fetcher = PrometheusFetcher()
    hostile = [" or ".join(["a"] * 1_600), "a>" * 4_000 + "a", ",".join(['a{b=~"(\\\\pL{1000}){100}"}'] * 200), "(" * 8_000]
    tasks = [asyncio.create_task(fetch_all(fetcher, sources, metrics=[{"query": query}])) for query in hostile * 10]
    assert len(await asyncio.wait_for(fetch_all(fetcher, other, metrics=[{"query": "up"}]), LONGEST_TEST_SECONDS)) == 1
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(
        isinstance(result, list) or (isinstance(result, SourceError) and result.reason is GapReason.REJECTED)
        for result in results
    )


@pytest.mark.parametrize("interrupted", [True, False])
async def test_nothing_is_left_wherever_it_is_cancelled(serve: Serve, interrupted: bool) -> None:
    """No thread and no scratch file is left, at any step of a question with chunks, extremes, a baseline and exemplars."""
    loop = asyncio.get_running_loop()
    begun: list[str] = []
    stops: list[tuple[int, asyncio.Event]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        begun.append(request.path)
        for number, reached in stops:
            if len(begun) > number:
                loop.call_soon_threadsafe(reached.set)
        if request.path.endswith("exemplars"):
            return web.json_response({"status": "success", "data": [{"seriesLabels": {}, "exemplars": [{"value": "1"}]}]})
        return matrix(samples(1, 2))

    files: list[Scratch] = []

    def scratch() -> Scratch:
        files.append(make_scratch())
        return files[-1]

    source = OneEndpoint(endpoint(serve(answer)))
    span = window(END - 2 * 86_400 - 7, END)
    sources = make_sources(data_sources=source, window=span, scratch=scratch, interrupted=lambda: interrupted)
    fetcher = PrometheusFetcher()
    metrics = [{"query": "up", "baseline": {"offset": "24h"}, "exemplars": True}]
    whole = await fetch_all(fetcher, sources, metrics=metrics)
    assert len(whole) == 5  # samples, two extremes, baseline, exemplars
    requests, cancelled = len(begun), 0
    for step in range(2 * requests):
        begun.clear()
        stops[:] = [(step // 2, asyncio.Event())]
        task = asyncio.create_task(fetch_all(fetcher, sources, metrics=metrics))
        await asyncio.wait_for(stops[0][1].wait(), LONGEST_TEST_SECONDS)
        for _ in range(step % 2 * 20):
            await asyncio.sleep(0)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        cancelled += isinstance(outcome, asyncio.CancelledError)
        assert isinstance(outcome, asyncio.CancelledError) or (isinstance(outcome, list) and len(outcome) == len(whole))
        assert end_of_threads()
        assert {file.descriptor for file in files} == {-1}
    assert cancelled > requests


async def test_a_large_answer_does_not_hold_up_the_event_loop(serve: Serve) -> None:
    """Parsing, storing, statistics and comparison of 20 MB, while every unit test watches the event loop."""
    some = ",".join(f'[{END - number},"{number % 977}.5"]' for number in range(100_000, 0, -1))
    series = [f'{{"metric":{{"n":"{number}"}},"values":[{some}]}}' for number in range(8)]
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{",".join(series)}]}}}}'.encode()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body)

    source = OneEndpoint(endpoint(serve(answer)))
    sources = make_sources(data_sources=source, window=window(END - 60, END))
    metrics = [{"query": "up", "baseline": {"offset": "24h"}}]
    assert len(await fetch_all(PrometheusFetcher(), sources, metrics=metrics)) == 16


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_while_any_thread_parses(enabled: bool) -> None:
    """It is paused until the last thread is done. It stays off if it was off before."""
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        paused = _PausedCollector()
        with paused:
            with paused:
                assert not gc.isenabled()
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
        with suppress(KeyError), paused:
            raise KeyError
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
