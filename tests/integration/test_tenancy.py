"""A tenant's attempts to read another namespace's series are refused or confined, with a real Prometheus."""

import json
import re
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from aletheia_operator.api.source_types.prometheus import PrometheusOptions
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.fetchers.prometheus.promql_grammar import parse
from aletheia_operator.fetchers.prometheus.tenancy import confine
from tests.cluster import servers
from tests.support.fetching import Fetched, endpoint, fetch, reasons, window
from tests.support.promql import Writer

END = 1_763_000_040
SECRET = "of-another-namespace"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Prometheus]:
    """A Prometheus with the same metrics for the namespaces shop and other; only those of other have the secret label."""
    lines = []
    for metric in ("load", "target_info"):
        lines.append(f"# TYPE {metric} gauge")
        for labels in ('namespace="shop",job="a",instance="i"', f'namespace="other",job="a",instance="i",data="{SECRET}"'):
            lines += [f"{metric}{{{labels}}} 42 {moment}" for moment in range(END - 600, END + 1, 15)]
    with servers.prometheus(tmp_path_factory.mktemp("tenancy"), openmetrics="\n".join([*lines, "# EOF", ""])) as server:
        yield server


def ask(server: servers.Prometheus, query: str, label: str | None = "namespace") -> Fetched:
    source = endpoint(server.url, options=PrometheusOptions(namespace_label=label))
    return fetch(PrometheusFetcher(), source, window(END - 300, END), metrics=[{"query": query}])


CONFINED = [
    "load",
    'load{namespace="other"}',
    'load{namespace=~".+"}',
    'load or load{namespace="other"}',
    '{__name__=~".+"}',
    '{__name__=~".+",namespace!="shop"}',
    'max_over_time(load{namespace="other"}[5m:15s])',
    "max_over_time((load or load offset 15s)[2m:15s])",
    f"load @ {END - 60}",
    "load @ start() or load @ end()",
    'label_replace(load, "namespace", "other", "", "")',
    'label_replace(load, "data", "$1", "data", "(.*)") # {namespace="other"}',
    'load # }\n or load{namespace="other"}',
    'load{job="\\"} or load{namespace=\\"other"}',
    "load{job='\"} or load{namespace=\"other'}",
    'load{job=~"a|\\\\} or load"}',
    'load * on(job) group_left(data) load{namespace="other"}',
    'absent(load{namespace="other"})',
    'count by (data) ({job="a"})',
    "sum by (data) (rate(load[1m])) unless load",
    'count_values("data", load)',
    'topk(5, load{namespace="other"}) + on() group_left() vector(0)',
    '{"load", namespace="other"}',
    "-load ^ 2",
    "load @ -1",
    "(" * 41 + "load" + ")" * 41,
    "+".join(["load"] * 300),
    'load{job!="' + "a" * 5_000 + '"}',
    "load{job=~`\\w+`} * 1e3",
    'load{data!="\\xc3\\xa9"}',
    "load * ignoring(data) group_left load",
]
REFUSED = [
    'load{namespace="shop" or namespace="other"}',
    "info(load)",
    'load{job=`a"} or load{namespace="other"} # `',
    "WITH (x = load) x",
    "load keep_metric_names",
    "load{",
    "(" * 101 + "load" + ")" * 101,
]


def test_the_secret_is_there(prometheus: servers.Prometheus) -> None:
    """Without confinement the other namespace's series are read; otherwise the tests below would prove nothing."""
    assert SECRET in str(ask(prometheus, "load", label=None).entries)


@pytest.mark.parametrize("query", CONFINED, ids=lambda query: query[:30])
def test_confined(prometheus: servers.Prometheus, query: str) -> None:
    """The server answers, and nothing of the other namespace is in the answer."""
    fetched = ask(prometheus, query)
    assert fetched.missing == []
    assert SECRET not in str(fetched.entries)
    asked = fetched.documents[0].metadata["query"]
    assert asked.count('namespace="shop"') >= 1


@pytest.mark.parametrize("query", REFUSED, ids=lambda query: query[:30])
def test_refused(prometheus: servers.Prometheus, query: str) -> None:
    """A query that cannot be confined is a gap, and is not sent."""
    fetched = ask(prometheus, query)
    assert fetched.documents == []
    assert reasons(fetched.missing) == ["Rejected"]


def format_query(server: servers.Prometheus, query: str) -> str | None:
    """Return the query as Prometheus' own parser prints it; None if the parser refuses it."""
    form = urlencode({"query": query}).encode()
    try:
        with urlopen(f"{server.url}/api/v1/format_query", form, timeout=10) as answer:
            return str(json.load(answer)["data"])
    except HTTPError as e:
        assert e.code == 400
        return None


def test_what_prometheus_parses_is_confined_and_nothing_else_changed(prometheus: servers.Prometheus) -> None:
    """Valid queries of any form are accepted; for Prometheus' parser they differ from the original only by the matcher."""
    valid = 0
    for seed in range(600):
        query = Writer(seed).query()
        theirs = format_query(prometheus, query)
        if theirs is None:
            continue
        valid += 1
        ours = format_query(prometheus, confine(query, "tenant", "shop"))
        assert ours is not None, query
        assert without_space(ours.replace('{tenant="shop"}', "").replace(',tenant="shop"', "")) == without_space(theirs), query
        assert ours.count('tenant="shop"') == len(parse(query).selectors), query
    assert valid > 300


def without_space(text: str) -> str:
    """Remove white space: the matcher changes where pretty-printed lines are broken."""
    return re.sub(r"\s+", "", text)


def test_templates_are_confined_too(prometheus: servers.Prometheus) -> None:
    """On a DataSource with another namespace label, a template uses only that label, and its parameters are escaped."""
    metrics = [{"template": "cpu_usage", "parameters": {"pod": 'x"} or load{namespace="other'}}]
    source = endpoint(prometheus.url, options=PrometheusOptions(namespace_label="kubernetes_namespace"))
    fetched = fetch(PrometheusFetcher(), source, window(END - 300, END), metrics=metrics)
    assert reasons(fetched.missing) == ["NotFound"]
    assert fetched.documents[0].metadata["query"].count('kubernetes_namespace="shop"') == 2
