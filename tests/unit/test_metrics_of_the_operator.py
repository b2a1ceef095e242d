"""The operator's metrics: what a scrape shows, how the port is protected, and alerts and dashboard against real tools."""

import asyncio
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from aletheia_operator import metrics
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.handlers.event_loop import LoopWatch
from aletheia_operator.handlers.metrics import MAX_NAMESPACES, OTHER, MetricsServer, State, serve
from aletheia_operator.session import SessionLayout
from aletheia_operator.settings import Metrics
from tests.cluster import programs
from tests.unit.certificates import new_authority

CHART = Path(__file__).resolve().parents[2] / "charts" / "aletheia-operator"
ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"

Values = dict[tuple[str, ...], float]


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def state(root: Path, slots: FairSlots | None = None) -> State:
    return State(slots or FairSlots(20, 15), LoopWatch(), SessionLayout(root), None, lambda: 3)


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[Callable[[State], Values]]:
    """Return a function that scrapes a state over HTTP, and returns values by name and labels."""
    servers: list[MetricsServer] = []

    def scrape(state: State) -> Values:
        servers.append(serve(Metrics(address="127.0.0.1:0"), state, CollectorRegistry()))
        with urllib.request.urlopen(f"http://127.0.0.1:{servers[-1].port}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}

    yield scrape
    for server in servers:
        server.close()


def test_what_a_scrape_shows(scraped: Callable[[State], Values], tmp_path: Path) -> None:
    """A scrape has the volume, the watch and the version."""
    values = scraped(state(tmp_path))
    assert values["aletheia_volume_size_bytes",] > values["aletheia_volume_free_bytes",] > 0
    assert values["aletheia_investigations_unnoticed",] == 3
    assert values["aletheia_leads",] == 1
    assert any(name == "aletheia_build_info" and number == 1 for (name, *_), number in values.items())


def test_a_volume_that_cannot_be_read(scraped: Callable[[State], Values], tmp_path: Path) -> None:
    """It has no value, and the other metrics stay."""
    values = scraped(state(tmp_path / "gone"))
    assert ("aletheia_volume_size_bytes",) not in values
    assert values["aletheia_investigations_unnoticed",] == 3


async def test_few_namespaces_have_a_value(tmp_path: Path) -> None:
    """The namespaces with the most have a value. The others are added up, so that tenants cannot make the answer long."""
    slots = FairSlots(1, 1)
    release = await slots.acquire("holder")
    many = [name for number in range(50) for name in [f"team-{number:02}"] * (number + 1)]
    waiting = [asyncio.create_task(slots.acquire(name)) for name in many]
    await asyncio.sleep(0)
    samples = {
        (sample.name, sample.labels["namespace"]): sample.value
        for family in state(tmp_path, slots).collect()
        for sample in family.samples
        if "namespace" in sample.labels
    }
    queued = {namespace: number for (name, namespace), number in samples.items() if name == "aletheia_captures_queued"}
    assert len(queued) == MAX_NAMESPACES + 1
    assert queued["team-49"] == 50
    assert sum(queued.values()) == len(many)
    assert samples["aletheia_captures_running", "holder"] == 1
    assert samples["aletheia_captures_running", OTHER] == 0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    release()
    assert (slots.taken(), slots.waiting()) == ({}, {})


@pytest.mark.parametrize(("code", "outcome"), [(200, "2xx"), (404, "4xx"), (503, "5xx"), (None, "no answer")])
def test_requests_are_counted(code: int | None, outcome: str) -> None:
    """They are counted by the class of their status. A request that raises counts as one without an answer."""
    before = value("aletheia_requests_total", server="test", outcome=outcome)
    try:
        with metrics.request("test") as request:
            if code is None:
                raise ConnectionResetError
            request.code = code
    except ConnectionResetError:
        pass
    assert value("aletheia_requests_total", server="test", outcome=outcome) == before + 1


def test_a_data_source_that_is_gone() -> None:
    """It has no value any more: an alert on it would never end."""
    metrics.REACHABLE.labels("old").set(0)
    metrics.REACHABLE.labels("new").set(1)
    metrics.forget_other_data_sources({"new"})
    assert REGISTRY.get_sample_value("aletheia_datasource_reachable", {"datasource": "old"}) is None
    assert value("aletheia_datasource_reachable", datasource="new") == 1
    metrics.forget_other_data_sources(set())


def test_scrapers_show_a_certificate(tmp_path: Path) -> None:
    """With a CA for scrapers, a scraper without a certificate from it gets nothing."""
    authority = new_authority()
    bundle = tmp_path / "ca.crt"
    bundle.write_text(authority.pem)
    pair = authority.server(tmp_path)
    client = ssl.create_default_context(cafile=str(bundle))
    server = serve(Metrics("127.0.0.1:0", pair, pair, bundle), state(tmp_path), CollectorRegistry())
    url = f"https://127.0.0.1:{server.port}/metrics"
    try:
        with pytest.raises((urllib.error.URLError, OSError)):
            urllib.request.urlopen(url, context=client, timeout=10)
        client.load_cert_chain(authority.server(tmp_path, "scraper"))
        with urllib.request.urlopen(url, context=client, timeout=10) as answer:
            assert answer.status == 200
    finally:
        server.close()


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"aletheia_\w+", expression))


def known_names() -> set[str]:
    families = [*REGISTRY.collect(), *state(Path("/")).collect()]
    suffixes = ("", "_total", "_bucket", "_count", "_sum")
    return {family.name + suffix for family in families for suffix in suffixes}


def test_alerts_and_dashboard_name_metrics_that_exist() -> None:
    """Grafana can read the dashboard: each panel has its own place and id."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    named = set().union(*map(names_in, expressions))
    assert named
    assert named <= known_names()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]}) == len(board["panels"])


def test_the_alerts_fire() -> None:
    """`promtool test rules` proves it: each alert fires on its fault, and none on a sound operator."""
    _, promtool = programs.prometheus()
    tests = Path(__file__).resolve().parents[1] / "data" / "alerts_test.yaml"
    done = subprocess.run([promtool, "test", "rules", tests], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_captures_in_jobs_are_counted_on_their_own(tmp_path: Path) -> None:
    """Both places have queues, which count together."""
    slots, job_slots = FairSlots(1, 1), FairSlots(1, 1)
    held = [await slots.acquire("shop"), await job_slots.acquire("shop")]
    waiting = [asyncio.create_task(place.acquire("shop")) for place in (slots, job_slots, job_slots)]
    await asyncio.sleep(0)
    families = {family.name: family for family in replace(state(tmp_path, slots), job_slots=job_slots).collect()}
    shop = {name: family.samples[0].value for name, family in families.items() if name.startswith("aletheia_captures")}
    assert shop == {"aletheia_captures_running": 1, "aletheia_captures_in_jobs": 1, "aletheia_captures_queued": 3}
    assert not any("jobs" in family.name for family in state(tmp_path, slots).collect())
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for release in held:
        release()
