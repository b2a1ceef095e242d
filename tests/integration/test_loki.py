"""Log lines of a real Loki are captured once each, in order, from the right tenant."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from aletheia_operator.api.paths import DATA_SOURCES
from aletheia_operator.api.source_types.loki import LokiOptions
from aletheia_operator.clients.endpoint import Credentials
from aletheia_operator.fetchers.loki import PAGE_ENTRIES, LokiFetcher
from aletheia_operator.investigate import KubernetesDataSources
from tests.cluster import servers
from tests.support.fetching import Fetched, endpoint, fetch, reasons, window
from tests.unit.fakes import FakeKubernetes

LINES = 3_500
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def start() -> int:
    """Return the time of the first line, in seconds."""
    return int(time.time()) - 3_600


@pytest.fixture(scope="module")
def loki(start: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Loki]:
    """A Loki with two streams, with many lines of equal time across pages, and a line of another tenant."""
    with servers.loki(tmp_path_factory.mktemp("loki")) as server:
        for pod in ("web-1", "web-2"):
            values = [
                [str((start + number // 700) * SECOND + 5), f"INFO {pod} line {number:05d} björn"] for number in range(LINES)
            ]
            server.push("shop", [{"stream": {"namespace": "shop", "pod": pod}, "values": values}])
        flood = [[str(start * SECOND), f"flood {number}"] for number in range(5_200)]
        later = [[str((start + 9) * SECOND), f"later {number}"] for number in range(10)]
        server.push("shop", [{"stream": {"namespace": "flood"}, "values": flood + later}])
        server.push("other", [{"stream": {"namespace": "shop", "pod": "secret"}, "values": [[str(start * SECOND), "secret"]]}])
        yield server


def ask(server: servers.Loki, start: int, **query: object) -> Fetched:
    source = endpoint(server.url, credentials=Credentials((("X-Scope-OrgID", "shop"),)))
    request = {"type": "loki", "query": '{namespace="shop"}', **query}
    return fetch(LokiFetcher(), source, window(start, start + 60), queries=[request])


def test_every_line_once(loki: servers.Loki, start: int) -> None:
    """Paging over equal timestamps gives every line of the tenant once, in order of time."""
    fetched = ask(loki, start)
    assert fetched.missing == []
    lines = [entry["line"] for entry in fetched.entries[0]]
    expected = [f"INFO {pod} line {number:05d} björn" for pod in ("web-1", "web-2") for number in range(LINES)]
    assert 2 * LINES > PAGE_ENTRIES
    assert sorted(lines) == sorted(expected)
    times = [entry["timestamp"] for entry in fetched.entries[0]]
    assert times == sorted(times)
    assert times[0].endswith(".000000005Z")
    assert fetched.documents[0].outcome.summary == f"{2 * LINES} logs"


@pytest.mark.parametrize(
    "query",
    ['{namespace="shop"} |= "line"', '{pod=~".+"} # }', '{namespace=~".+"} | line_format `{{.a}}`', '{namespace="flood"}'],
)
def test_a_confined_query_finds_lines_of_its_namespace_alone(loki: servers.Loki, start: int, query: str) -> None:
    """The server accepts the query with the matcher; streams of another namespace of the same tenant are left out."""
    options = LokiOptions(namespace_label="namespace")
    source = endpoint(loki.url, credentials=Credentials((("X-Scope-OrgID", "shop"),)), options=options)
    request = {"type": "loki", "query": query, "limit": 50}
    fetched = fetch(LokiFetcher(), source, window(start, start + 60), queries=[request])
    assert set(reasons(fetched.missing)) <= {"BudgetExceeded"}
    assert all(entry["labels"]["namespace"] == "shop" for entry in fetched.entries[0])
    assert bool(fetched.entries[0]) == ("flood" not in query)


@pytest.mark.parametrize("query", ['{namespace="shop"}', '{namespace=~".+"}', '{pod="secret"}', '{tenant="other|shop"}'])
@pytest.mark.parametrize("namespace", ["shop", "other", "nobody"])
def test_each_namespace_reads_its_own_tenant(loki: servers.Loki, start: int, namespace: str, query: str) -> None:
    """With `tenant.fromNamespace` no query returns a line of another tenant."""
    spec = {"type": "loki", "endpoint": loki.url, "tenant": {"fromNamespace": True}}
    kubernetes = FakeKubernetes({f"{DATA_SOURCES}/loki": {"metadata": {"name": "loki"}, "spec": spec}})
    source = asyncio.run(KubernetesDataSources(kubernetes.real(), namespace).find("loki", "loki"))
    request = {"type": "loki", "query": query, "limit": 100}
    fetched = fetch(LokiFetcher(), source, window(start, start + 60), queries=[request])
    assert set(reasons(fetched.missing)) <= {"BudgetExceeded", "Empty"}
    tenants: dict[str, set[str | None]] = {"shop": {"web-1", "web-2", None}, "other": {"secret"}, "nobody": set()}
    own = tenants[namespace]
    assert {entry["labels"].get("pod") for entry in fetched.entries[0]} <= own
    if query == '{namespace="shop"}':
        assert bool(fetched.entries[0]) == bool(own)


def test_the_limit_is_said(loki: servers.Loki, start: int) -> None:
    """A limit keeps the earliest lines and is a gap."""
    fetched = ask(loki, start, limit=1_500)
    assert len(fetched.entries[0]) == 1_500
    assert reasons(fetched.missing) == ["BudgetExceeded"]


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        pytest.param('{namespace="shop"}', 2 * LINES, id="several pages"),
        pytest.param('{pod="web-1"} |~ "line 00[0-9]{3}"', PAGE_ENTRIES, id="exactly a page"),
        pytest.param('{pod="web-1"} |~ "line 000"', 100, id="lines of one moment"),
        pytest.param('{namespace="shop"} |~ "line 00[0-6]"', 1_400, id="lines of one moment over two pages"),
    ],
)
def test_a_limit_that_is_just_reached(loki: servers.Loki, start: int, query: str, lines: int) -> None:
    """Exactly `limit` lines are no gap, also at the end of a page; one more line is a gap."""
    fetched = ask(loki, start, query=query, limit=lines)
    assert (len(fetched.entries[0]), fetched.missing) == (lines, [])
    fetched = ask(loki, start, query=query, limit=lines - 1)
    assert (len(fetched.entries[0]), reasons(fetched.missing)) == (lines - 1, ["BudgetExceeded"])


def test_more_lines_of_one_moment_than_a_page_holds(loki: servers.Loki, start: int) -> None:
    """The lines that Loki returns are captured, and all later ones; the gap names the time."""
    fetched = ask(loki, start, query='{namespace="flood"}')
    lines = [entry["line"] for entry in fetched.entries[0]]
    assert len(set(lines)) == len(lines) == 5_000 + 10
    assert lines[-10:] == [f"later {number}" for number in range(10)]
    (gap,) = fetched.missing
    assert "have the same time" in gap.message


def test_a_filter_and_a_window(loki: servers.Loki, start: int) -> None:
    """Loki applies a line filter; the window includes both of its ends."""
    fetched = ask(loki, start, query='{pod="web-1"} |= "line 00001"')
    assert [entry["labels"]["pod"] for entry in fetched.entries[0]] == ["web-1"]
    assert fetched.entries[0][0]["level"] == "INFO"


def test_what_loki_refuses(loki: servers.Loki, start: int) -> None:
    """A syntax error, a metric query and a missing tenant are gaps with Loki's message."""
    assert reasons(ask(loki, start, query='{pod="').missing) == ["Rejected"]
    metric = ask(loki, start, query='sum(rate({pod="web-1"}[1m]))')
    assert reasons(metric.missing) == ["Rejected"]
    assert "log lines" in metric.missing[0].message
    nobody = fetch(LokiFetcher(), endpoint(loki.url), window(start, start + 1), queries=[{"type": "loki", "query": '{a="b"}'}])
    assert reasons(nobody.missing) == ["Forbidden"]
