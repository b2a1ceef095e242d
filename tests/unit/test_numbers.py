"""Findings from metrics and traces: levels beyond a limit, steps, baselines, and services with failing calls."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from aletheia_operator.findings import metrics as metrics_module
from aletheia_operator.findings import traces as traces_module
from aletheia_operator.findings.metrics import MetricFacts, MetricReader, finite, step_of
from aletheia_operator.findings.traces import TraceFacts, spans_of
from tests.unit.evidence import START, Incident, at, found, pod, rules_of, running, workloads

Object = dict[str, Any]


def unix(minute: float) -> float:
    return (START + timedelta(minutes=minute)).timestamp()


def series(values: list[float], **labels: str) -> Object:
    """Samples a minute apart, as Prometheus sends them."""
    return {"metric": labels, "values": [[unix(number), str(value)] for number, value in enumerate(values)]}


def measured(template: str, *entries: Object, **metadata: Any) -> Incident:
    """What was captured of one template."""
    made = Incident().add(pod("web-1-a", running()))
    fields = {"template": template, "query": f"{template}()", "step_seconds": 60, **metadata}
    made.more.append(("prometheus", "metrics", f"data/metrics/{template}.json", fields, list(entries)))
    return made


@pytest.mark.parametrize(
    ("template", "level", "labels", "rule", "message"),
    [
        ("memory_limit", 0.93, {"pod": "web-1-a"}, "MemoryNearLimit", "web: its memory is near the limit: 93 % (at 14:29)"),
        ("cpu_throttling", 0.25, {"pod": "web-1-a"}, "CpuThrottled", "web: its processor is throttled: 25 % (since 14:17)"),
        (
            "pvc_usage",
            0.955,
            {"persistentvolumeclaim": "data"},
            "ClaimNearlyFull",
            "data: volume claim is nearly full: 95.5 % (at 14:29)",
        ),
        ("network_errors", 1.25, {"pod": "web-1-a"}, "NetworkErrors", "web: network errors a second: 1.25 (at 14:29)"),
    ],
)
def test_a_level_that_is_trouble_by_itself(
    template: str, level: float, labels: dict[str, str], rule: str, message: str
) -> None:
    """It counts from its limit on, and with two samples at least. A processor must still be throttled at the end."""
    rising = series([level * number / 29 for number in range(22)] + [level] * 8, **labels)
    rising["values"][29][1] = str(level * 1.0000001)
    finding = found(measured(template, rising), rule)
    assert finding.message == message
    assert (finding.confidence, len(finding.links)) == ("likely", 1)
    assert finding.first_seen == at(17 if template == "cpu_throttling" else 29)
    assert finding.details["level"] == pytest.approx(level, rel=0.01)
    below = series([level * 0.9] * 30, **labels)
    assert rule not in rules_of(measured(template, below)) or level * 0.9 >= 0.9
    assert rule not in rules_of(measured(template, series([level], **labels)))
    if template == "cpu_throttling":
        assert rule not in rules_of(measured(template, series([level] * 10 + [0.0] * 20, **labels)))


@pytest.mark.parametrize(
    ("values", "first", "message"),
    [
        ([0.01] * 20 + [0.8] * 20, 20, "web: its processor is throttled: 80 % (since 14:20)"),
        ([None] * 20 + [0.8] * 19 + [0.9], 20, "web: its processor is throttled: 80 % (since 14:20)"),
        ([0.8] * 39 + [0.9], 39, "web: its processor is throttled: 80 % (at 14:39)"),
    ],
    ids=["it rose", "a new pod", "before the window"],
)
def test_since_when_a_processor_is_throttled(values: list[float | None], first: int, message: str) -> None:
    """Since its level rose, or since its pod is there. A level that is older than the window explains nothing that came."""
    samples = series([value or 0.0 for value in values], pod="web-1-a")
    samples["values"] = [sample for sample, value in zip(samples["values"], values, strict=True) if value is not None]
    finding = found(measured("cpu_throttling", samples), "CpuThrottled")
    assert (finding.message, finding.first_seen) == (message, at(first))


def test_a_throttled_processor_explains_calls_that_time_out() -> None:
    """Its callers' logs come first, and its highest level later."""
    incident = workloads("stock").add(pod("cart-1-a", running(), of="cart-1"), of=("Deployment", "cart"))
    incident.log("cart-1-a", *(f"{minute} ERROR POST http://stock/reserve: i/o timeout" for minute in range(20, 60)))
    throttled = series([0.0] * 20 + [0.8] * 39 + [0.9], pod="stock-1-a")
    fields = {"template": "cpu_throttling", "query": "throttled()", "step_seconds": 60}
    incident.more.append(("prometheus", "metrics", "data/metrics/throttled.json", fields, [throttled]))
    first, second = incident.judged().findings[:2]
    assert (first.rule, second.rule, second.because) == ("CpuThrottled", "DependencyDoesNotAnswer", first)


def test_of_several_containers_the_one_is_named_that_is_beyond_its_limit() -> None:
    """A proxy beside the program may be the one that is throttled."""
    proxy, app = (series([level] * 30, pod="web-1-a", container=name) for name, level in (("proxy", 0.9), ("app", 0.0)))
    assert found(measured("cpu_throttling", proxy, app), "CpuThrottled").message.startswith(
        "web/proxy: its processor is throttled"
    )
    assert found(measured("cpu_throttling", proxy), "CpuThrottled").message.startswith("web: its processor is throttled")


@pytest.mark.parametrize(
    ("template", "before", "after", "message"),
    [
        ("error_rate", 0.001, 0.05, "web: its error rate rose from 0.1 % to 5 % (since 14:15)"),
        ("latency_p95", 0.2, 0.9, "web: its latency (p95) rose from 200 ms to 900 ms (since 14:15)"),
        ("latency_p99", 0.5, 1.5, "web: its latency (p99) rose from 500 ms to 1.5 s (since 14:15)"),
        ("error_rate", 0.001, 0.009, None),
        ("error_rate", 0.02, 0.04, None),
        ("latency_p95", 0.8, 1.15, None),
        ("request_rate", 1, 100, None),
    ],
)
def test_a_number_that_stepped(template: str, before: float, after: float, message: str | None) -> None:
    """An error rate must more than double, to at least one in a hundred. A latency must rise by more than half."""
    incident = measured(template, series([before] * 15 + [after] * 15, service="web"))
    rules = {"ErrorRateRose", "LatencyRose"}
    if message is None:
        assert not rules & set(rules_of(incident))
        return
    (finding,) = [finding for finding in incident.judged().findings if finding.rule in rules]
    assert finding.message == message
    assert finding.severity == ("error" if template == "error_rate" else "warning")
    assert (finding.depth, finding.details) == (60 if template == "error_rate" else 61, {"before": before, "after": after})
    assert str(finding.subject) == "deployment/web"


def test_an_error_rate_that_is_over_is_a_warning() -> None:
    """A spike, at its highest sample."""
    values = [0.0] * 12 + [0.4, 0.3] + [0.0] * 16
    finding = found(measured("error_rate", series(values, service="pay")), "ErrorRateRose")
    assert (finding.severity, finding.message) == ("warning", "pay: its error rate rose from 0 % to 40 % (since 14:12)")
    assert str(finding.subject) == "service/pay"


def test_findings_of_numbers_are_bounded() -> None:
    """There are at most ten."""
    entries = [series([0.95] * 9, pod=f"web-{number}") for number in range(30)]
    assert rules_of(measured("memory_limit", *entries)).count("MemoryNearLimit") == 10


def test_a_level_that_differs_from_its_baseline() -> None:
    """Worse is a warning, anything else information."""
    for level, severity in ((0.5, "warning"), (0.01, "info")):
        baseline = {"offset": "24h", "changed": [{"level": level, "baseline_level": 0.02}]}
        finding = found(measured("error_rate", series([level] * 9), baseline=baseline), "DiffersFromBaseline")
        assert (finding.severity, finding.confidence, finding.depth, len(finding.links)) == (severity, "possible", 62, 1)
        assert finding.message == f"error_rate: level {100 * level:g} % against 2 % 24h before"
    assert "DiffersFromBaseline" not in rules_of(measured("error_rate", series([1.0] * 9), baseline={"changed": []}))


def test_what_is_not_looked_at_of_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Baselines, exemplars, extremes between samples, samples of another form, and too large or too many series."""
    high = series([0.99] * 9, pod="web-1-a")
    for metadata in ({"baseline_offset": "24h"}, {"step_seconds": None}):
        incident = measured("memory_limit", high, **metadata)
        if metadata.get("step_seconds", 0) is None:
            del incident.more[0][3]["step_seconds"]
        assert "MemoryNearLimit" not in rules_of(incident)
    strange: list[Object] = [high | {"over_step": "max"}, {"metric": {}, "values": []}, {"metric": {}, "values": [[1, "x"]]}]
    for entry in strange:
        assert "MemoryNearLimit" not in rules_of(measured("memory_limit", entry))
    monkeypatch.setattr(metrics_module, "MAX_SERIES_BYTES", 200)
    facts = measured("memory_limit", high, high).evidence().metrics
    assert (facts.series, facts.left_out, facts.queries) == ([], 2, {"memory_limit"})
    monkeypatch.undo()
    monkeypatch.setattr(metrics_module, "MAX_SERIES", 1)
    assert measured("memory_limit", high, high).evidence().metrics.left_out == 1


def test_what_is_known_of_a_series() -> None:
    """The facts are levels of its first and last quarter, its highest sample, and queries with a series that stepped."""
    facts = measured("up", series([1, 1, 9, 2, 2, 2, 4, 4], pod="a"), series([1.0] * 4 + [5.0] * 4)).evidence().metrics
    first, second = facts.series
    assert (first.template, first.query, first.labels, first.samples) == ("up", "up()", {"pod": "a"}, 8)
    assert (first.before, first.after, first.highest, first.highest_at, first.step) == (1, 4, 9, unix(2), None)
    assert second.step == unix(4)
    assert facts.stepped == {"up"}
    reader = MetricReader(facts := MetricFacts(), threading.Lock())
    reader.begin({"query": "x" * 300, "step_seconds": 60})
    reader.close("x", {})
    assert facts.queries == {"x" * 300}


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([1.0] * 7, None),
        ([1.0] * 4 + [5.0] * 4, 4),
        ([1.0] * 2 + [5.0] * 6, 2),
        ([1.0] * 6 + [5.0] * 2, 6),
        ([5.0] * 10 + [1.0] * 10, 10),
        ([1.0] * 10 + [1.19] * 10, None),
        ([1.0] * 10 + [1.26] * 10, 10),
        ([1.0, 2.0] * 5 + [9.0, 10.0] * 5, 10),
        ([3.0] * 20, None),
        ([0.0] * 10 + [0.1] * 10, 10),
    ],
)
def test_when_a_series_stepped(values: list[float], step: int | None) -> None:
    """A step is a lasting change above the noise and a fifth of the level. It begins at its first sample."""
    assert step_of([(float(number), value) for number, value in enumerate(values)]) == step


def test_samples_that_are_looked_at() -> None:
    """They are finite, at most six hundred, and evenly spaced."""
    many = [[number, str(number)] for number in range(1201)]
    kept = finite(many)
    assert (len(kept), kept[:3], kept[-1]) == (401, [(0, 0), (3, 3), (6, 6)], (1200, 1200))
    assert len(finite(many[:600])) == 600
    assert finite([[1, "NaN"], [2, "+Inf"], [3, "4"]]) == [(3, 4)]
    assert finite([[1, "x"]]) == finite([["x", "1"]]) == finite([1]) == finite([]) == []


def span(name: str, service: str, parent: str = "", minute: float = 30, **tags: Any) -> Object:
    return {
        "spanID": name,
        "processID": service,
        "references": [{"refType": "CHILD_OF", "spanID": parent}] if parent else [],
        "startTime": unix(minute) * 1e6,
        "duration": 5,
        "tags": [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()],
    }


def trace(*spans: Object) -> Object:
    return {"spans": list(spans), "processes": {span["processID"]: {"serviceName": span["processID"]} for span in spans}}


def traced(*traces: Object) -> Incident:
    made = Incident().add(pod("pay-1-a", running(), of="pay-1", labels={"app": "pay"}), of=("Deployment", "pay"))
    made.more.append(("jaeger", "traces", "data/traces/shop.json", {}, list(traces)))
    return made


def test_the_service_in_which_calls_fail_of_their_own_accord() -> None:
    """Services that only pass a failure on are left out. The finding has the first error message, and the services called."""
    failing = [
        trace(
            span("a", "shop", minute=30 + number, error=True),
            span("b", "pay", "a", minute=30 + number, error="true", otel__status_description=f"no funds {number}"),
            span("c", "bank", "b"),
        )
        for number in (2, 1, 3)
    ]
    incident = traced(*failing, trace(span("a", "shop")))
    finding = found(incident, "SpansFail")
    assert finding.message == "pay: 3 of 3 spans failed: no funds 1 (since 14:31)"
    assert (str(finding.subject), finding.callees) == ("deployment/pay", frozenset({"bank"}))
    assert (finding.severity, finding.confidence, finding.depth) == ("error", "likely", 50)
    assert finding.details == {"failed": 3, "spans": 3}
    assert [link.entry for link in finding.links] == [1]
    facts = incident.evidence().traces
    assert (facts.traces, facts.failing, set(facts.edges)) == (4, 3, {("shop", "pay"), ("pay", "bank")})
    assert (facts.edges["shop", "pay"].calls, facts.edges["shop", "pay"].failed) == (3, 3)


@pytest.mark.parametrize(("failed", "calls", "reported"), [(2, 2, False), (3, 3, True), (3, 60, True), (3, 61, False)])
def test_few_failing_spans_are_no_trouble(failed: int, calls: int, reported: bool) -> None:
    """There must be at least three, and one in twenty."""
    spans = [trace(span("a", "pay", error=number < failed)) for number in range(calls)]
    assert ("SpansFail" in rules_of(traced(*spans))) is reported


def test_failing_services_are_bounded() -> None:
    """The five with the most failures are kept."""
    spans = [trace(span("a", f"s{name}", error=True)) for name in range(7) for _ in range(3 + name)]
    names = [finding.subject.name for finding in traced(*spans).judged().findings if finding.rule == "SpansFail"]
    assert sorted(names) == ["s2", "s3", "s4", "s5", "s6"]


@pytest.mark.parametrize(
    ("tags", "failed", "words"),
    [
        ({"error": True, "error__message": "m"}, True, "m"),
        ({"otel__status_code": "ERROR", "http__status_code": 503}, True, "503"),
        ({"error": "true"}, True, ""),
        ({"error": "false"}, False, ""),
        ({"http__status_code": 500}, False, "500"),
    ],
)
def test_what_a_span_of_jaeger_says(tags: Object, failed: bool, words: str) -> None:
    """Its tags say whether and why it failed. A span that follows from another is not its child."""
    made = span("a", "pay", "b", **tags)
    ((name, found_span),) = spans_of(trace(made))
    assert (name, found_span.service, found_span.parent) == ("a", "pay", "b")
    assert (found_span.failed, found_span.words, found_span.duration) == (failed, words, 5)
    made["references"][0]["refType"] = "FOLLOWS_FROM"
    assert next(spans_of(trace(made)))[1].parent == ""
    assert next(spans_of({"spans": [made | {"process": {"serviceName": "own"}}]}))[1].service == "own"


def test_what_a_span_of_otlp_says() -> None:
    """Times are in nanoseconds, the resource has the service, and the status is a number or a name."""
    spans = [
        {"spanId": "a", "startTimeUnixNano": "5000", "endTimeUnixNano": "9000", "status": {"code": code, "message": "m"}}
        for code in (2, "STATUS_CODE_ERROR", 1)
    ]
    resource = {"attributes": [{"key": "x"}, {"key": "service.name", "value": {"stringValue": "pay"}}]}
    found_spans = [
        found_span for _, found_span in spans_of({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
    ]
    assert [(span.service, span.failed, span.words, span.start, span.duration) for span in found_spans] == [
        ("pay", True, "m", 5, 4),
        ("pay", True, "m", 5, 4),
        ("pay", False, "m", 5, 4),
    ]


def test_traces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their size, by their spans, and by the number of services that are counted separately."""
    for name, most in (("MAX_TRACE_BYTES", 600), ("MAX_SPANS", 2), ("MAX_EDGES", 1)):
        monkeypatch.setattr(traces_module, name, most)
    assert len(list(spans_of(trace(*(span(str(number), "a") for number in range(5)))))) == 2
    large = trace(*(span(str(number), "a") for number in range(9)))
    facts = traced(trace(span("1", "a")), large, trace(span("1", "b"))).evidence().traces
    assert (facts.traces, facts.left_out, set(facts.services)) == (2, 1, {"a"})
    assert TraceFacts().edges == {}
