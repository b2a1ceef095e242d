"""Windows longer than one answer, and peaks between points, with a real Prometheus of known samples."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from tests.cluster import programs, servers
from tests.support.fetching import endpoint, fetch, reasons, window

END = 1_763_000_010
STEP = 15
DAYS = 30
START = END - DAYS * 86_400
RESTARTS = [START + 3 * 86_400 + number * (86_400 + 61) for number in range(27)]
"""Times at which a counter grows by one, at every phase of a default step."""


def value(series: int, moment: int) -> int:
    """Return the TSDB's sample of a series at a time."""
    return (moment // STEP * (series + 7)) % 10_007


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Prometheus]:
    """A Prometheus below a path prefix, with 30 days of two series at 15 s; one begins after a third of the window."""
    lines = ["# TYPE level gauge"]
    for series, first in ((0, START), (1, START + 10 * 86_400)):
        lines += [f'level{{series="{series}"}} {value(series, moment)} {moment}' for moment in range(first, END + 1, STEP)]
    lines.append("# TYPE kube_pod_container_status_restarts counter")
    for moment in range(START + 7, END + 1, 4 * STEP):
        restarts = sum(restart <= moment for restart in RESTARTS)
        labels = 'namespace="shop",pod="web-0",container="app"'
        lines.append(f"kube_pod_container_status_restarts_total{{{labels}}} {restarts} {moment}")
    lines += ["# EOF", ""]
    flags = ["--web.external-url=http://prometheus.example/team/a/", "--enable-feature=exemplar-storage"]
    directory = tmp_path_factory.mktemp("long")
    with servers.prometheus(directory, openmetrics="\n".join(lines), flags=flags, path="/team/a") as server:
        yield server


def test_every_sample_of_thirty_days(prometheus: servers.Prometheus) -> None:
    """Each sample of 30 days is there once, with the TSDB's value, also of a series that begins late."""
    metrics = [{"query": "level", "step": "15s"}]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(START + 0.5, END + 3.9), metrics=metrics)
    assert fetched.missing == []
    held = {entry["metric"]["series"]: entry["values"] for entry in fetched.entries[0]}
    for series, first in ((0, START), (1, START + 10 * 86_400)):
        moments = [moment for moment in range(END + 3, START, -STEP) if moment >= first][::-1]
        assert held[str(series)] == [[moment, str(value(series, moment // STEP * STEP))] for moment in moments]
    assert fetched.documents[0].metadata["samples"] == sum(map(len, held.values()))


def test_a_retry_gets_the_same_samples(prometheus: servers.Prometheus) -> None:
    """A window does not change: its points are whole steps before its end."""
    metrics = [{"query": "rate(level[1m])", "step": "1m"}]
    first, second = (
        fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - 3599, END + 7.5), metrics=metrics) for _ in range(2)
    )
    assert first.entries == second.entries
    assert first.entries[0][0]["values"][-1][0] == END + 7
    assert {(END + 7 - moment) % 60 for moment, _ in first.entries[0][0]["values"]} == {0}


@pytest.mark.parametrize("days", [0.5, 2, 8, 30])
@pytest.mark.parametrize("query", ["level", "level * 2 + 1"])
def test_extremes_of_a_window_equal_prometheus(prometheus: servers.Prometheus, days: float, query: str) -> None:
    """Without a step, the highest and lowest stored values are those that Prometheus computes over the window."""
    seconds = int(days * 86_400)
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - seconds, END), metrics=[{"query": query}])
    assert fetched.missing == []
    for kind, choose in (("max", max), ("min", min)):
        inner = f"{query}[{seconds}s]" if query == "level" else f"({query})[{seconds}s:15s]"
        asked = promtool(prometheus, "instant", "--format=json", f"--time={END}", prometheus.url, f"{kind}_over_time({inner})")
        theirs = {answer["metric"]["series"]: float(answer["value"][1]) for answer in asked}
        ours: dict[str, list[float]] = {}
        for entry in fetched.entries[0]:
            ours.setdefault(entry["metric"]["series"], []).extend(float(number) for _, number in entry["values"])
        assert {series: choose(numbers) for series, numbers in ours.items()} == theirs
    assert fetched.entries[0][0]["values"][-1][0] == END


@pytest.mark.parametrize("days", [1, 7, 30])
def test_an_event_of_one_scrape_shows_in_a_template(prometheus: servers.Prometheus, days: int) -> None:
    """Each increase of a counter within the window is above zero in a sample at most one step after its scrape."""
    begin = END - days * 86_400
    metrics = [{"template": "restarts"}]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(begin, END), metrics=metrics)
    assert fetched.missing == []
    (entry,) = fetched.entries[0]
    step = fetched.documents[0].metadata["step_seconds"]
    scrape = 4 * STEP
    restarts = [restart for restart in RESTARTS if begin < restart < END - scrape]
    assert restarts
    for restart in restarts:
        assert any(float(number) > 0 for moment, number in entry["values"] if restart < moment <= restart + scrape + step)


def test_start_and_end_are_those_of_the_window(prometheus: servers.Prometheus) -> None:
    """`@ start()` and `@ end()` have the same meaning in every chunk of a long range."""
    metrics = [{"query": f"level @ {moment}()", "step": "15s"} for moment in ("start", "end")]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - 12_000 * STEP, END), metrics=metrics)
    assert fetched.missing == []
    for entries, moment in zip(fetched.entries, (END - 12_000 * STEP, END), strict=True):
        (entry,) = [entry for entry in entries if entry["metric"]["series"] == "0"]
        assert len(entry["values"]) == 12_001
        assert {number for _, number in entry["values"]} == {str(value(0, moment))}


def promtool(server: servers.Prometheus, *arguments: str) -> Any:
    _, program = programs.prometheus()
    done = subprocess.run([str(program), "query", *arguments], capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_an_instant_query_equals_promtool(prometheus: servers.Prometheus) -> None:
    """Vectors and scalars at the window's end equal the output of `promtool query instant`."""
    metrics = [{"query": "level * 2", "instant": True}, {"query": "scalar(sum(level))", "instant": True}]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - 60, END), metrics=metrics)
    assert fetched.missing == []
    vector = promtool(prometheus, "instant", "--format=json", f"--time={END}", prometheus.url, "level * 2")
    assert fetched.entries[0] == vector
    total = str(value(0, END) + value(1, END))
    assert fetched.entries[1] == [{"metric": {}, "value": [END, total]}]


def test_a_baseline_beside_the_window(prometheus: servers.Prometheus) -> None:
    """The result of a day before is in a second file, and the summary counts the series in which the level changed."""
    metrics = [{"query": "level > bool 5000", "baseline": {"offset": "24h"}, "step": "15s"}]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - 600, END), metrics=metrics)
    assert fetched.missing == []
    moments = [[sample[0] for sample in entries[0]["values"]] for entries in fetched.entries]
    assert moments[1] == [moment - 86_400 for moment in moments[0]]
    assert "against 24h before: level changed in" in fetched.documents[0].outcome.summary
    assert fetched.documents[0].metadata["baseline"]["compared"] == 2
    assert "median absolute deviation" in fetched.documents[0].metadata["baseline"]["method"]


def test_a_template_that_nothing_answers(prometheus: servers.Prometheus) -> None:
    """If no convention has series, the gap names all conventions that were tried."""
    fetched = fetch(
        PrometheusFetcher(), endpoint(prometheus.url), window(END - 600, END), metrics=[{"template": "memory_limit"}]
    )
    assert reasons(fetched.missing) == ["NotFound"]
    assert "kube-state-metrics" in fetched.missing[0].message


def test_exemplars_are_asked_for(prometheus: servers.Prometheus) -> None:
    """With exemplar storage there is a second document, here an empty one."""
    metrics = [{"query": "level", "exemplars": True}]
    fetched = fetch(PrometheusFetcher(), endpoint(prometheus.url), window(END - 600, END), metrics=metrics)
    assert fetched.missing == []
    assert [document.name for document in fetched.documents] == [("prometheus", "level"), ("prometheus", "level", "exemplars")]
