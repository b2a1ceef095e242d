"""Prometheus: expressions that parameters cannot escape from, steps that the server answers, summaries, and hostile servers."""

import json
import re
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.api import InvestigationSpec, MetricsRequest, parse_duration
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.threads import Call
from aletheia_operator.fetchers.base import Document
from aletheia_operator.fetchers.prometheus import PrometheusFetcher, series_store
from aletheia_operator.fetchers.prometheus.client import PrometheusClient
from aletheia_operator.fetchers.prometheus.grid import Grid, default_range_seconds, step_seconds
from aletheia_operator.fetchers.prometheus.series_store import SeriesStore
from aletheia_operator.fetchers.prometheus.stream import EndOfSeries, Event, Samples, warnings_of
from aletheia_operator.fetchers.prometheus.summary import spike_start, summarise
from aletheia_operator.fetchers.prometheus.templates import TEMPLATES, expressions
from aletheia_operator.redact import Redactor
from aletheia_operator.scratch import Scratch
from aletheia_operator.text.display import one_line
from tests.unit.fakes import LONGEST_TEST_SECONDS, make_sources, make_window
from tests.unit.loopback import (
    Answer,
    Loopback,
    cut,
    drip_body,
    drip_head,
    gzip_bomb,
    hang,
    hang_up,
    reply,
    reply_json,
)

SERIES = {"metric": {"pod": "web-0"}, "values": [[1_000, "1"], [1_015, "2"]]}
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def success(*series: Any, **fields: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(series)}, **fields}


def request(**fields: Any) -> MetricsRequest:
    return MetricsRequest.model_validate(fields)


def expression(asked: MetricsRequest, namespace: str) -> str:
    """The shortest example."""
    assert asked.template is not None
    return expressions(asked.template, asked.parameters or {}, TEMPLATES, "namespace", namespace)[0].promql


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        pytest.param(
            request(template="request_rate"),
            'sum by (service) (rate(http_requests_total{namespace="shop"}[300s]))',
            id="the rate of requests",
        ),
        pytest.param(
            request(template="error_rate", parameters={"service": "web", "rate_window": "1m"}),
            '(sum by (service) (rate(http_requests_total{namespace="shop",service="web",status=~"5.."}[60s]))'
            ' or sum by (service) (rate(http_requests_total{namespace="shop",service="web",status!=""}[60s])) * 0)'
            ' / sum by (service) (rate(http_requests_total{namespace="shop",service="web",status!=""}[60s]))',
            id="the share of errors, also where there are none",
        ),
        pytest.param(
            request(template="latency_p95"),
            "histogram_quantile(0.95, sum by (le, service)"
            ' (rate(http_request_duration_seconds_bucket{namespace="shop"}[300s])))',
            id="the 95th percentile of latency",
        ),
        pytest.param(
            request(template="latency_p99", parameters={"rate_window": "1h30m"}),
            "histogram_quantile(0.99, sum by (le, service)"
            ' (rate(http_request_duration_seconds_bucket{namespace="shop"}[5400s])))',
            id="the 99th percentile of latency",
        ),
        pytest.param(
            request(template="cpu_usage", parameters={"pod": "web-"}),
            'sum by (pod) (rate(container_cpu_usage_seconds_total{namespace="shop",pod=~"web\\\\-.*",container!=""}[300s]))',
            id="CPU of pods by a prefix",
        ),
        pytest.param(
            request(template="memory_usage"),
            'sum by (pod) (container_memory_working_set_bytes{namespace="shop",container!=""})',
            id="memory of all pods",
        ),
    ],
)
def test_a_template_is_narrowed_to_the_namespace(asked: MetricsRequest, text: str) -> None:
    """The whole expression, character by character."""
    assert expression(asked, "shop") == text


ATTACKS = [
    '"} or up{a="',
    "a\\",
    'a\\"',
    "a\nb",
    "a`b",
    "$range",
    "${http}",
    "{{x}}",
    "a', b",
    "支払い",
    "\x00\x7f",
    ".*|.+",
    "[5m]",
]


@pytest.mark.parametrize("value", ATTACKS)
@pytest.mark.parametrize("template", [name for name in TEMPLATES if name not in ("pvc_usage", "hpa_at_maximum")])
def test_a_parameter_cannot_leave_its_place(template: str, value: str) -> None:
    """Without its strings an attacked expression is the plain one: the value stays inside the quotes."""
    name = "service" if template.startswith(("error", "latency", "request")) else "pod"
    attacked = expression(request(template=template, parameters={name: value}), "shop")
    harmless = expression(request(template=template, parameters={name: "web"}), "shop")
    assert STRING.sub("", attacked) == STRING.sub("", harmless)
    assert not re.search(r"[\x00-\x1f]", attacked)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_service_is_compared_as_it_was_written(value: str) -> None:
    """The string that PromQL reads is the value itself."""
    text = expression(request(template="request_rate", parameters={"service": value}), "shop")
    _, service = STRING.findall(text)
    assert json.loads(service) == value


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_pod_prefix_matches_itself_and_nothing_wider(value: str) -> None:
    """Its special characters are escaped in the regular expression."""
    text = expression(request(template="memory_usage", parameters={"pod": value}), "shop")
    pattern = re.compile(json.loads(STRING.findall(text)[1]), re.DOTALL)
    assert pattern.fullmatch(value + "-abc")
    assert not pattern.fullmatch("~" + value + "-abc") or value == ""


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        pytest.param({"namespace": "kube-system"}, "has no namespace; it knows rate_window, service", id="another namespace"),
        pytest.param({"pod": "web"}, "has no pod", id="a parameter of another template"),
        pytest.param({"rate_window": "5"}, "parameters.rate_window: '5' is not a duration", id="a duration without a unit"),
        pytest.param({"rate_window": "5m]) or up"}, "is not a duration", id="a duration that would break out"),
    ],
)
def test_an_unknown_or_wrong_parameter_is_refused(parameters: dict[str, str], words: str) -> None:
    """The message lists the template's parameters."""
    with pytest.raises(Rejected, match=re.escape(words)):
        expression(request(template="request_rate", parameters=parameters), "shop")


@pytest.mark.parametrize(
    ("window_seconds", "seconds"),
    [
        (1, 15),
        (6 * 3_600 - 1, 15),
        (6 * 3_600, 60),
        (86_400 - 1, 60),
        (86_400, 300),
        (7 * 86_400 - 1, 300),
        (7 * 86_400, 900),
        (32 * 86_400 - 1, 900),
        (32 * 86_400, 3_600),
        (400 * 86_400, 3_600),
    ],
)
def test_without_a_step_it_adapts_to_the_window(window_seconds: int, seconds: int) -> None:
    """The steps are those of the table, also at its borders."""
    assert step_seconds(None, window_of(window_seconds)) == seconds


def window_of(seconds: float) -> Any:
    start = 1_800_000_000 - seconds
    return make_window(*(f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(t))}+00:00" for t in (start, 1_800_000_000)))


def test_a_step_that_makes_too_many_points_is_refused_with_one_that_does_not() -> None:
    """The limit itself is allowed. The proposed step is accepted."""
    most = 11_000 * 200
    window = window_of(2 * most + 1)
    assert step_seconds("1s", window_of(most)) == 1
    with pytest.raises(Rejected, match="use 3s or more"):
        step_seconds("2s", window)
    assert step_seconds("3s", window) == 3


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 4_000))
def test_chunks_of_a_grid_hold_each_moment_once(start: int, seconds: int, step: int) -> None:
    """Moments are whole steps before the window's end, and the end itself. The server accepts the size of each chunk."""
    begin, end = (f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(moment))}+00:00" for moment in (start, start + seconds))
    grid = Grid.of(make_window(begin, end), step)
    chunks = list(grid.chunks())
    moments = [moment for chunk in chunks for moment in range(chunk.start, chunk.end + 1, step)]
    assert moments[-1] == start + seconds
    assert moments == list(range((start + seconds) - seconds // step * step, start + seconds + 1, step))
    assert all((chunk.end - chunk.start) // step < 11_000 for chunk in chunks)


@pytest.mark.parametrize(
    ("start", "end", "step", "moments"),
    [
        pytest.param("11:00:00", "11:00:45", 15, ["11:00:00", "11:00:15", "11:00:30", "11:00:45"], id="whole seconds"),
        pytest.param("11:00:00.5", "11:00:45", 15, ["11:00:15", "11:00:30", "11:00:45"], id="a start within a second"),
        pytest.param("11:00:00", "11:00:45.9", 15, ["11:00:00", "11:00:15", "11:00:30", "11:00:45"], id="an end within one"),
        pytest.param("11:00:00", "11:00:14.999999", 15, ["11:00:00", "11:00:15"], id="an end just before a second"),
        pytest.param("11:00:00", "11:00:14", 15, ["11:00:14"], id="a window shorter than a step"),
        pytest.param("11:00:00", "11:00:00", 15, ["11:00:00"], id="a window without length"),
        pytest.param("11:00:00.2", "11:00:00.8", 15, ["11:00:00"], id="a window within a second"),
    ],
)
def test_moments_of_a_grid_lie_in_the_window(start: str, end: str, step: int, moments: list[str]) -> None:
    """They go up to its last second. None lies before its start unless the window has no second. `before` shifts them all."""
    grid = Grid.of(make_window(f"2026-11-22T{start}+00:00", f"2026-11-22T{end}+00:00"), step)
    found = [time.strftime("%H:%M:%S", time.gmtime(moment)) for moment in range(grid.start, grid.end + 1, grid.step)]
    assert found == moments
    earlier = grid.before(60)
    assert (earlier.start, earlier.end, earlier.step) == (grid.start - 60, grid.end - 60, step)
    assert list(Grid(0, 45, 15).chunks(2)) == [Grid(0, 15, 15), Grid(30, 45, 15)]


def events(series: dict[str, Any]) -> list[Event]:
    samples = [Samples(kind, found) for kind, found in series.items() if kind != "metric"]
    return [*samples, EndOfSeries(series["metric"])]


@pytest.mark.parametrize(
    ("seconds", "asked", "step"),
    [(3_600, "1m", 15), (30 * 86_400, "5m", 150), (30 * 86_400, "1m", 30), (30 * 86_400, "20s", 15), (30 * 86_400, "1d", 900)],
)
def test_the_step_adapts_to_a_range_that_was_given(seconds: int, asked: str, step: int) -> None:
    """What happens between two samples is in the range of one, whatever range was requested."""
    assert step_seconds(None, window_of(seconds), parse_duration(asked)) == step


@pytest.mark.parametrize("step", [15, 60, 61, 300, 900, 3_600, 86_400])
def test_the_default_range_of_templates_covers_a_step_and_the_scrape_before(step: int) -> None:
    """It begins at the sample before the step, so that an increase since then is counted."""
    assert default_range_seconds(step) >= step + (240 if step > 15 else 60)


@pytest.mark.parametrize("template", TEMPLATES)
async def test_templates_ask_for_whole_windows(template: str, loopback: Loopback) -> None:
    """Their range is longer than a step, or the extremes of each step are requested."""
    body = success({"metric": {}, "values": [[1, "1"]]})
    loopback.answers = [reply_json(body)]
    sources = make_sources(data_sources=Found(loopback.endpoint()), window=window_of(30 * 86_400))
    fetcher = PrometheusFetcher()
    (question,) = (
        await fetcher.plan(InvestigationSpec.model_validate({"metrics": [{"template": template}]}), sources)
    ).questions
    (document,) = [document async for document in fetcher.fetch(question, sources)]
    queries = {query["query"] for query in loopback.queries()}
    assert document.metadata["step_seconds"] == 900
    if document.metadata["over_step"]:
        assert document.metadata["over_step"] == ["max", "min"]
        assert {query[:14] for query in queries} == {document.metadata["query"][:14], "max_over_time(", "min_over_time("}
        assert not re.search(r"\[\d+s\]", document.metadata["query"])
    else:
        assert len(queries) == 1
        assert set(re.findall(r"\[(\d+)s\]", document.metadata["query"])) == {"1200"}


def series(*numbers: Any, start: int = 0) -> dict[str, Any]:
    return {"metric": {}, "values": [[start + 60 * i, str(number)] for i, number in enumerate(numbers)]}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        pytest.param([], "cpu: 0 series, no samples", id="nothing"),
        pytest.param([{"metric": {}, "values": []}], "cpu: 1 series, no samples", id="a series without samples"),
        pytest.param([series("NaN", "+Inf", "-Inf")], "cpu: 1 series, no samples", id="no finite samples"),
        pytest.param([{"metric": {}, "histograms": [[0, {}]]}], "cpu: 1 series, no samples", id="native histograms"),
        pytest.param([series(1, 3, 2)], "cpu: 1 series, max 3 at 00:01", id="a maximum"),
        pytest.param([series(1), series(2, start=3_600)], "cpu: 2 series, max 2 at 01:00", id="the maximum of all series"),
        pytest.param([series("NaN", "0.123456")], "cpu: 1 series, max 0.1235 at 00:01", id="four digits"),
        pytest.param(
            [series(*[1] * 10, 9, 9, 1)], "cpu: 1 series, max 9 at 00:10, spike from 00:10", id="a spike of two samples"
        ),
        pytest.param([series(*[1] * 10, 9, 1)], "cpu: 1 series, max 9 at 00:10", id="a single sample is no spike"),
    ],
)
def test_a_summary_says_what_there_is_to_see(found: list[dict[str, Any]], text: str, tmp_path: Path) -> None:
    """It has the number of series, the maximum with its time in UTC, and the beginning of a spike."""
    gathered = SeriesStore(Scratch(tmp_path, encrypted=False), max_series=10)
    for number, item in enumerate(found):
        gathered.add(events({**item, "metric": {"number": str(number)}}))
    assert summarise("cpu", len(gathered), [gathered.peak], gathered.samples_of) == text


@pytest.mark.parametrize("series", [1, 50], ids=["one", "many"])
def test_parts_of_series_take_little_memory(series: int, tmp_path: Path) -> None:
    """A malicious server may send each sample in a part of its own. Each of half a million parts took 144 bytes."""
    parts = 20_000
    gathered = SeriesStore(Scratch(tmp_path, encrypted=False), max_series=100)
    gathered.begin_chunk()
    tracemalloc.start()
    try:
        for number in range(parts):
            gathered.add([Samples("values", [[number, "1"]])])
            if (number + 1) % (parts // series) == 0 or series > 1:
                gathered.add([EndOfSeries({"number": number % series})])
        assert tracemalloc.get_traced_memory()[0] < 40 * parts
    finally:
        tracemalloc.stop()
    entries = [entry for batch in gathered.batches(Redactor()) for entry in batch]
    stored = [orjson.loads(orjson.dumps(entry)) for entry in entries]
    assert sorted(moment for item in stored for moment, _ in item["values"]) == list(range(parts))
    gathered.forget_chunk()
    assert (len(gathered), gathered.samples) == (0, 0)


@pytest.mark.parametrize("most", [8, 9, 100])
def test_a_series_of_more_parts_than_there_is_room_for(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole series is dropped and counted. Series before and after it are kept."""
    monkeypatch.setattr(series_store, "MAX_PARTS", most)
    gathered = SeriesStore(Scratch(tmp_path, encrypted=False), max_series=10)
    for name, parts in (("small", 2), ("large", 10), ("other", 3)):
        gathered.begin_chunk()
        for number in range(parts):
            gathered.add([Samples("values", [[number, "1"]])])
        gathered.add([EndOfSeries({"name": name})])
    kept = [orjson.loads(key)["name"] for key in list(gathered.keys())]
    assert kept == (["small", "large", "other"] if most == 100 else ["small", "other"])
    assert gathered.dropped == (most != 100)
    assert gathered.samples == sum({"small": 2, "large": 10, "other": 3}[name] for name in kept)


@pytest.mark.parametrize(
    ("values", "start"),
    [
        pytest.param([1.0], None, id="one sample"),
        pytest.param([0.0] * 10 + [1.0, 1.0], 10, id="from nothing"),
        pytest.param([5.0] * 20, None, id="flat"),
        pytest.param([100.0 + i % 2 for i in range(20)], None, id="noise"),
        pytest.param([float(i) for i in range(20)], None, id="steady growth"),
        pytest.param([10.0] * 10 + [14.0, 14.0], None, id="less than half above a flat line"),
        pytest.param([10.0] * 10 + [16.0, 16.0], 10, id="more than half above a flat line"),
        pytest.param([-10.0] * 10 + [-1.0, -1.0], 10, id="below zero"),
    ],
)
def test_a_spike_is_two_samples_far_above_the_usual(values: list[float], start: int | None) -> None:
    """Noise, growth and lone samples are no spikes."""
    assert spike_start(values) == start


@dataclass(frozen=True)
class RangeAnswer:
    series: list[dict[str, Any]]
    warnings: list[str]


def ask(endpoint: Endpoint) -> RangeAnswer:
    with PrometheusClient(endpoint, Call()) as client:
        stream = client.query_range("up", Grid(1_000, 2_000, 15))
        found: list[dict[str, Any]] = []
        samples: dict[str, list[Any]] = {}
        for event in (event for events in stream for event in events):
            if isinstance(event, Samples):
                samples[event.kind] = samples.get(event.kind, []) + event.samples
            else:
                found.append({"metric": event.labels, **samples})
                samples = {}
        return RangeAnswer(found, [one_line(warning) for warning in warnings_of(stream.envelope)])


def test_a_range_query_asks_what_it_was_told(loopback: Loopback) -> None:
    """It has both ends, the step and the endpoint's path prefix. Labels are returned unchanged."""
    loopback.answers = [reply_json(success(SERIES))]
    assert ask(loopback.endpoint(path="/prefix/")) == RangeAnswer([SERIES], [])
    assert loopback.queries() == [{"query": "up", "start": "1000", "end": "2000", "step": "15s"}]
    assert loopback.requests[0].startswith("/prefix/api/v1/query_range?")


def test_warnings_of_the_server_are_kept_and_inert(loopback: Loopback) -> None:
    """The library drops them; a partial answer must not look whole."""
    loopback.answers = [reply_json(success(SERIES, warnings=["remote read\x1b[2J failed"]))]
    assert ask(loopback.endpoint()).warnings == ["remote read\\x1b[2J failed"]


def test_labels_with_half_a_surrogate_pair_do_not_break_the_answer(loopback: Loopback) -> None:
    """JSON may contain them. The server's text is kept."""
    body = json.dumps(success({**SERIES, "metric": {"a": "\ud800"}})).encode()
    loopback.answers = [reply(200, body)]
    assert ask(loopback.endpoint()).series[0]["metric"] == {"a": "\ud800"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(success({**SERIES, "metric": {"a": "\ud800"}}, warnings=["partial"]), id="half a surrogate pair"),
        pytest.param(success(SERIES, warnings=["partial"], stats=float("nan")), id="NaN"),
    ],
)
def test_warnings_beside_odd_values_are_kept(loopback: Loopback, body: dict[str, Any]) -> None:
    """Values that the library can parse do not cause an internal error."""
    loopback.answers = [reply_json(body)]
    assert ask(loopback.endpoint()).warnings == ["partial"]


def test_a_passing_fault_is_asked_again(loopback: Loopback) -> None:
    """The first answer is 503, the second is good."""
    loopback.answers = [reply(503, b"starting"), reply_json(success(SERIES))]
    assert ask(loopback.endpoint()).series == [SERIES]
    assert len(loopback.requests) == 2


TOO_MUCH = json.dumps(success(*[SERIES] * 20_000)).encode()


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words", "requests"),
    [
        pytest.param(
            reply_json({"status": "error", "errorType": "bad_data", "error": 'parse error at char 3: "x"'}, 400),
            Rejected, GapReason.REJECTED, 'DataSource main answered 400: parse error at char 3: "x"', 1, id="a syntax error",
        ),
        pytest.param(
            reply_json({"status": "error", "error": "query processing would load too many samples"}, 422),
            Rejected, GapReason.REJECTED, "answered 422: query processing would load", 1, id="an expensive query",
        ),
        pytest.param(
            reply(400, b"not json \xff"), Rejected, GapReason.REJECTED, "answered 400: not json \ufffd", 1, id="400 in text",
        ),
        pytest.param(reply(400, b"[1]"), Rejected, GapReason.REJECTED, "answered 400: [1]", 1, id="400 with a list"),
        pytest.param(reply(401, b"who?"), Rejected, GapReason.FORBIDDEN, "answered 401", 1, id="401"),
        pytest.param(reply(403, b"no"), Rejected, GapReason.FORBIDDEN, "answered 403", 1, id="403"),
        pytest.param(reply(404, b"nothing"), Rejected, GapReason.NOT_FOUND, "answered 404", 1, id="404"),
        pytest.param(reply(500, b"oops"), Unavailable, GapReason.UNAVAILABLE, "answered 500: oops", 3, id="500"),
        pytest.param(reply(503, b"down"), Unavailable, GapReason.UNAVAILABLE, "answered 503: down", 3, id="lasting 503"),
        pytest.param(reply(200, b"<html>"), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", 1, id="HTML"),
        pytest.param(reply(200, b""), Unavailable, GapReason.INVALID_RESPONSE, "not JSON", 1, id="an empty answer"),
        pytest.param(
            reply(200, b"[" * 200_000), Unavailable, GapReason.INVALID_RESPONSE, "nested too deep", 1, id="very deep JSON"
        ),
        pytest.param(reply(200, TOO_MUCH), Rejected, GapReason.TOO_LARGE, "larger than 1048576 bytes", 1, id="too much"),
        pytest.param(gzip_bomb(2**26), Rejected, GapReason.TOO_LARGE, "larger than 1048576 bytes", 1, id="a gzip bomb"),
        pytest.param(
            reply(200, b"not gzip", Content_Encoding="gzip"), Unavailable, GapReason.INVALID_RESPONSE, "cannot be decoded", 1,
            id="a broken encoding",
        ),
        pytest.param(
            cut(json.dumps(success(SERIES)).encode()), Unavailable, GapReason.UNAVAILABLE, "broke off", 1, id="cut"
        ),
        pytest.param(hang_up, Unavailable, GapReason.UNAVAILABLE, "without an answer", 3, id="hung up"),
    ],
)  # fmt: skip
def test_a_fault_of_the_server_has_its_reason(
    loopback: Loopback, answer: Answer, kind: type[SourceError], reason: GapReason, words: str, requests: int
) -> None:
    """A passing fault is retried, at most three times in all. The message has the DataSource and the server's words."""
    loopback.answers = [answer]
    with pytest.raises(kind, match=re.escape(words)) as caught:
        ask(loopback.endpoint())
    assert caught.value.reason == reason
    assert "DataSource main" in caught.value.message
    assert len(loopback.requests) == requests


@pytest.mark.parametrize(
    "body",
    [None, 5, "text", [], {}, {"data": None}, {"data": []}, {"data": {"result": None}}, {"data": {"result": {}}},
     {"data": {"result": [5]}}, {"data": {"result": [{"values": []}]}}, {"data": {"result": [{"metric": {}}]}},
     {"data": {"result": [{"metric": "x", "values": []}]}}],
    ids=json.dumps,
)  # fmt: skip
def test_json_of_another_shape_is_not_taken_for_an_answer(loopback: Loopback, body: Any) -> None:
    """For example another service's JSON at the same address."""
    loopback.answers = [reply_json(body)]
    with pytest.raises(Unavailable, match="not that of Prometheus' query API") as caught:
        ask(loopback.endpoint())
    assert caught.value.reason == GapReason.INVALID_RESPONSE


def test_a_redirect_is_not_followed(loopback: Loopback) -> None:
    """The server that it points to sees no request at all."""
    with Loopback() as elsewhere:
        elsewhere.answers = [reply_json(success(SERIES))]
        loopback.answers = [reply(302, b"", Location=f"{elsewhere.url}/api/v1/query_range")]
        with pytest.raises(Rejected, match="redirects are not followed") as caught:
            ask(loopback.endpoint())
        assert elsewhere.requests == []
    assert caught.value.reason == GapReason.INVALID_RESPONSE


def test_nobody_listening_is_unavailable() -> None:
    """A refused connection names the DataSource and no stack."""
    with Loopback() as server:
        endpoint = server.endpoint()
    with pytest.raises(Unavailable, match="DataSource main: connection refused by"):
        ask(endpoint)


def test_a_gzip_bomb_is_not_unpacked_whole(loopback: Loopback) -> None:
    """64 MiB of blanks take little more memory than the cap of one response."""
    loopback.answers = [gzip_bomb(2**26)]
    tracemalloc.start()
    try:
        with pytest.raises(Rejected):
            ask(loopback.endpoint())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.parametrize("answer", [drip_body, hang], ids=["a body that never ends", "no answer at all"])
def test_a_slow_answer_is_given_up_at_the_deadline(loopback: Loopback, answer: Answer) -> None:
    """The timeout covers the whole answer, and the message says so."""
    loopback.answers = [answer]
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer within 1 s") as caught:
        ask(loopback.endpoint(timeout_seconds=1))
    assert caught.value.reason == GapReason.TIMED_OUT
    assert time.monotonic() - begin < LONGEST_TEST_SECONDS


class Found:
    """Finds the same DataSource for every question."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.asked: list[tuple[str, str | None]] = []

    async def find(self, kind: str, name: str | None) -> Endpoint:
        self.asked.append((kind, name))
        return self.endpoint


async def documents_of(loopback: Loopback, spec: dict[str, Any], timeout_seconds: int = 5) -> list[Document]:
    found = Found(loopback.endpoint(timeout_seconds=timeout_seconds))
    sources = make_sources(data_sources=found)
    plan = await PrometheusFetcher().plan(InvestigationSpec.model_validate(spec), sources)
    assert plan.missing == ()
    return [document for question in plan.questions async for document in PrometheusFetcher().fetch(question, sources)]


async def test_each_query_becomes_a_document(loopback: Loopback) -> None:
    """The metadata has the query and the step. A warning makes the evidence incomplete."""
    loopback.answers = [reply_json(success(SERIES, warnings=["partial"])), reply_json(success())]
    metrics = [{"query": "up", "step": "30s"}, {"template": "cpu_usage"}]
    first, second = await documents_of(loopback, {"metrics": metrics})
    assert first.name == ("prometheus", "up")
    assert second.name == ("prometheus", "cpu_usage")
    assert first.metadata["query"] == "up" and first.metadata["step_seconds"] == 30
    assert first.metadata["warnings"] == ["partial"]
    assert [gap.message for gap in first.outcome.missing] == ["the server warns: partial"]
    assert first.outcome.summary == "up: 1 series, max 2 at 00:16"
    assert orjson.loads(orjson.dumps([batch async for batch in first.batches])) == [[SERIES]]
    assert [batch async for batch in second.batches] == []
    assert [gap.reason for gap in second.outcome.missing] == [GapReason.NOT_FOUND]


@pytest.mark.parametrize(
    "values",
    [[[1, "abc"]], [["x", "1"]], [[1]], "text", 5, [5], [[1e300, "1"]], [[1, None]]],
    ids=[
        "a value that is a word",
        "a time that is a word",
        "half a sample",
        "text",
        "a number",
        "no samples",
        "a far time",
        "null",
    ],
)
async def test_samples_of_another_shape_are_an_invalid_response(loopback: Loopback, values: Any) -> None:
    """The evidence only lacks a summary. This is no internal error."""
    loopback.answers = [reply_json(success({"metric": {}, "values": values}))]
    try:
        (document,) = await documents_of(loopback, {"metrics": [{"query": "up"}]})
    except SourceError as e:
        assert e.reason == GapReason.INVALID_RESPONSE
    else:
        assert document.outcome.summary


async def test_a_head_that_comes_byte_by_byte_does_not_hold_up_the_capture(loopback: Loopback) -> None:
    """Each byte comes in time, but the whole answer does not."""
    loopback.answers = [drip_head]
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer within 1 s") as caught:
        await documents_of(loopback, {"metrics": [{"query": "up"}]}, timeout_seconds=1)
    assert caught.value.reason == GapReason.TIMED_OUT
    assert time.monotonic() - begin < LONGEST_TEST_SECONDS


async def test_a_request_that_cannot_be_asked_does_not_hide_the_others() -> None:
    """The gap names its place in the spec."""
    spec = {"metrics": [{"template": "cpu_usage", "parameters": {"service": "x"}}, {"query": "up"}]}
    plan = await PrometheusFetcher().plan(InvestigationSpec.model_validate(spec), make_sources())
    assert [question.target for question in plan.questions] == ["up"]
    assert plan.missing[0].message.startswith("spec.metrics[0]: parameters: template cpu_usage has no service")


async def test_a_baseline_that_has_other_series(loopback: Loopback) -> None:
    """A series that was not there before is kept, and not compared."""
    before = {"metric": {"pod": "web-1"}, "values": [[900, "1"]]}
    loopback.answers = [reply_json(success(SERIES, before)), reply_json(success(before))]
    spec = {"metrics": [{"query": "up", "baseline": {"offset": "24h"}}]}
    now, then = await documents_of(loopback, spec)
    assert now.metadata["baseline"]["compared"] == 1
    assert "level changed in 0 of 1 series" in now.outcome.summary
    assert then.outcome.missing == []
