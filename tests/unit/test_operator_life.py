"""The operator's process: its parts, its reactions to kopf, and its background loops."""

import asyncio
import gc
import json
import logging
import os
import threading
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import kopf
import pytest
import uvloop

from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.handlers import loops
from aletheia_operator.handlers import operator as module
from aletheia_operator.handlers.kopf_settings import NoMemories, configure
from aletheia_operator.handlers.leadership import Leadership
from aletheia_operator.handlers.operator import _Handlers, configure_logging, run
from aletheia_operator.handlers.setup import Threads
from aletheia_operator.settings import LeaderElection, Limits, NodeLogs, Process, Retention, Rights, Scope, Settings
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.loopback import Loopback, reply_json

FORBIDDEN = reply_json({"kind": "Status", "message": "investigations is forbidden"}, 403)


def kubeconfig(directory: Path, url: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": url}}],
        "users": [{"name": "x", "user": {"token": "canary-token-of-the-operator"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
async def handlers(loopback: Loopback, tmp_path: Path) -> AsyncIterator[_Handlers]:
    """The handlers of an operator with settings other than the defaults, before its start."""
    loopback.answers = [reply_json({"items": []})]
    settings = Settings(
        session_root=tmp_path,
        scope=Scope(
            namespaces=("shop", "bank"),
            kubeconfig=kubeconfig(tmp_path, loopback.url),
            operator_namespace="here",
            identity="one",
        ),
        rights=Rights(default_service_account="reader", trust_creators=True),
        limits=Limits(
            max_investigations=8,
            max_namespace_investigations=3,
            max_timeout_seconds=60,
            max_fetches=5,
            max_artifact_bytes=6,
            max_session_bytes=7,
            max_namespace_bytes=9,
        ),
        retention=Retention(sweep_seconds=1),
        node_logs=NodeLogs(enabled=True, certificate_authority=None),
    )
    made = _Handlers(settings)
    executor = asyncio.get_running_loop()._default_executor  # type: ignore[attr-defined]
    yield made
    await made.stop()
    asyncio.get_running_loop()._default_executor = executor  # type: ignore[attr-defined]


async def test_each_part_has_its_settings(handlers: _Handlers, loopback: Loopback, tmp_path: Path) -> None:
    """All parts share one client."""
    await handlers.start(kopf.OperatorSettings())
    shared = handlers.supervisor.shared
    tools = shared.tools
    assert (tools.layout.root, tools.default_service_account, tools.operator_namespace) == (tmp_path, "reader", "here")
    assert (tools.max_fetches, tools.max_artifact_bytes) == (5, 6)
    assert (tools.budget.max_session_bytes, tools.budget.max_namespace_bytes) == (7, 9)
    assert (shared.max_timeout_seconds, shared.log_text) == (60, handlers.settings.privacy.log_text_in_status)
    assert shared.emit == handlers.events.emit == handlers.sweeper.emit
    assert await shared.identity.get() == "one"
    assert tools.kubelets is not None and tools.kubelets.kubernetes is tools.kubernetes
    assert handlers.sweeper.kubernetes is tools.kubernetes
    assert (handlers.sweeper.namespaces, handlers.sweeper.retention) == (("shop", "bank"), handlers.settings.retention)
    for number in range(3):
        assert not shared.slots.full("shop"), number
        await shared.slots.acquire("shop")
    assert shared.slots.full("shop")
    assert {fetcher.name for fetcher in tools.fetchers} >= {"KubernetesLogs", "Prometheus", "Jaeger", "Loki"}
    assert [path.partition("?")[0].split("/")[5] for path in loopback.requests[:2]] == ["shop", "bank"]
    assert loopback.queries()[0] == {"limit": "1"}
    assert len(handlers._watching) == 5


async def test_what_a_start_makes_is_left_out_of_collections(handlers: _Handlers) -> None:
    """They pause the event loop. The garbage of the start is collected before."""

    class Circle:
        me: "Circle"

    circle = Circle()
    circle.me = circle
    gone = weakref.ref(circle)
    del circle
    before = gc.get_freeze_count()
    await handlers.start(kopf.OperatorSettings())
    try:
        assert gc.get_freeze_count() > before
        assert not any(handlers is kept for kept in gc.get_objects())
        assert gone() is None
    finally:
        gc.unfreeze()


async def test_a_standby_starts_nothing(handlers: _Handlers, loopback: Loopback) -> None:
    """Until it holds the Lease it neither captures nor applies retention. It ends at once."""
    held = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600}}
    loopback.answers = [reply_json({"items": []}), reply_json({"items": []}), reply_json(held)]
    settings = replace(handlers.settings, leader_election=LeaderElection(lease="leader"))
    handlers.settings = replace(settings, process=Process(listen="127.0.0.1:0"))
    starting = asyncio.create_task(handlers.start(kopf.OperatorSettings()))
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while handlers._leadership.leader != "other":  # noqa: ASYNC110 (what it asks comes from a thread)
            await asyncio.sleep(0.001)
        assert not handlers._watching and not handlers._leadership.leads
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert loopback.requests[2] == "/apis/coordination.k8s.io/v1/namespaces/here/leases/leader"


async def test_an_election_needs_rights(handlers: _Handlers, loopback: Loopback) -> None:
    """Without them the operator ends at once, and names the missing right."""
    forbidden = reply_json({"kind": "Status", "message": "leases is forbidden"}, 403)
    loopback.answers = [reply_json({"items": []}), reply_json({"items": []}), forbidden]
    settings = replace(handlers.settings, leader_election=LeaderElection(lease="leader"))
    handlers.settings = replace(settings, process=Process(listen="127.0.0.1:0"))
    with pytest.raises(kopf.PermanentError, match=r"--lease: .*leases is forbidden.*verbs: \[get\].*namespace here"):
        await handlers.start(kopf.OperatorSettings())


async def test_an_election_needs_the_operators_namespace(handlers: _Handlers) -> None:
    """The Lease is there."""
    scope = replace(handlers.settings.scope, operator_namespace=None)
    handlers.settings = replace(handlers.settings, scope=scope, leader_election=LeaderElection(lease="leader"))
    with pytest.raises(kopf.PermanentError, match="--lease needs --operator-namespace"):
        await handlers.start(kopf.OperatorSettings())


async def test_without_node_logs_no_kubelet_is_known(handlers: _Handlers) -> None:
    """An admin has to allow it."""
    handlers.settings = replace(handlers.settings, node_logs=NodeLogs(enabled=False))
    await handlers.start(kopf.OperatorSettings())
    assert handlers.supervisor.shared.tools.kubelets is None


async def test_investigations_that_are_not_served_yet_are_waited_for(
    handlers: _Handlers, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The definition may come a little later than the operator."""
    monkeypatch.setattr(module, "retry_delays", lambda: iter([0.0] * 9))
    absent = reply_json({"kind": "Status", "message": "the server could not find the requested resource"}, 404)
    loopback.answers = [absent, absent, reply_json({"items": []})]
    await handlers.start(kopf.OperatorSettings())
    assert len(loopback.requests) >= 4


async def test_investigations_that_may_not_be_listed_end_the_operator(handlers: _Handlers, loopback: Loopback) -> None:
    """The operator ends at once with the missing right: waiting would not help."""
    loopback.answers = [FORBIDDEN]
    with pytest.raises(kopf.PermanentError, match=r"Investigations may not be listed: .*forbidden"):
        await handlers.start(kopf.OperatorSettings())
    await handlers._kubernetes.close()


async def test_templates_that_cannot_be_read_end_the_operator(handlers: _Handlers, tmp_path: Path) -> None:
    """The message has the flag that names them."""
    handlers.settings = replace(handlers.settings, metric_templates=tmp_path / "none.yaml")
    with pytest.raises(kopf.PermanentError, match=r"--metric-templates: .*none\.yaml"):
        await handlers.start(kopf.OperatorSettings())


async def test_a_cluster_that_is_not_configured_ends_the_operator(handlers: _Handlers, tmp_path: Path) -> None:
    """What the kubeconfig lacks is reported."""
    (tmp_path / "empty").write_text("{}")
    handlers.settings = replace(handlers.settings, scope=Scope(kubeconfig=tmp_path / "empty"))
    with pytest.raises(kopf.PermanentError, match="no access to the Kubernetes API: "):
        await handlers.start(kopf.OperatorSettings())


class Recorder:
    """Replaces supervisor and sweeper. Records calls, and raises the given errors."""

    def __init__(self, **raises: list[Exception]) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.raises = raises
        self.unnoticed: tuple[str, ...] = ()
        self.over_caps = False
        self.called = asyncio.Event()

    def _note(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments) if arguments else (name, None))
        self.called.set()
        if self.raises.get(name):
            raise self.raises[name].pop(0)

    def forget(self, uid: str) -> None:
        self._note("forget", uid)

    async def settled(self, uid: str) -> None:
        self._note("settled", uid)

    async def deleted(self, body: Any) -> None:
        self._note("deleted", body)

    async def sweep(self) -> None:
        self._note("sweep")

    async def exceeds_caps(self) -> bool:
        self._note("exceeds_caps")
        return self.over_caps

    async def beat(self) -> None:
        self._note("beat")

    async def write_again(self) -> None:
        self._note("write_again")

    async def look_for_unnoticed(self, namespaces: tuple[str, ...]) -> None:
        self._note("look", namespaces)


class Observing(Recorder):
    def observe(self, body: Any) -> None:
        self._note("observe", body)


class Sweeping(Recorder):
    async def observe(self, body: Any) -> None:
        self._note("observe", body)


BODY = {"metadata": {"uid": "u", "namespace": "shop", "name": "incident"}}


@pytest.mark.parametrize("kind", [None, "ADDED", "MODIFIED"])
async def test_what_is_there_is_observed(kind: str | None, tmp_path: Path) -> None:
    """Both the supervisor and the sweeper observe it."""
    handlers = _Handlers(Settings(session_root=tmp_path))
    supervisor, sweeper = Observing(), Sweeping()
    handlers.supervisor, handlers.sweeper = cast("Any", supervisor), cast("Any", sweeper)
    await handlers.observe(cast("Any", {"type": kind, "object": BODY}))
    assert supervisor.calls == sweeper.calls == [("observe", BODY)]


async def test_who_wrote_which_field_is_not_kept(tmp_path: Path) -> None:
    """It is half of a resource's memory, and nothing reads it. Of Investigations that wait, there may be thousands."""
    handlers = _Handlers(Settings(session_root=tmp_path))
    supervisor = Observing()
    handlers.supervisor, handlers.sweeper = cast("Any", supervisor), cast("Any", Sweeping())
    body = {"metadata": {**BODY["metadata"], "managedFields": [{"manager": "kubectl"}]}}
    await handlers.observe(cast("Any", {"type": "ADDED", "object": body}))
    assert supervisor.calls == [("observe", BODY)]


async def test_what_is_deleted_is_stopped_before_its_session_goes(tmp_path: Path) -> None:
    """A running capture would write into the files that are removed."""
    handlers = _Handlers(Settings(session_root=tmp_path))
    both = Recorder()
    handlers.supervisor = handlers.sweeper = cast("Any", both)
    await handlers.observe(cast("Any", {"type": "DELETED", "object": BODY}))
    assert both.calls == [("forget", "u"), ("settled", "u"), ("deleted", BODY)]


async def test_a_watch_that_shows_everything_passes_the_probe(tmp_path: Path) -> None:
    """The probe returns the number of unnoticed Investigations: none."""
    handlers = _Handlers(Settings(session_root=tmp_path))
    supervisor = Recorder()
    handlers.supervisor = cast("Any", supervisor)
    assert await handlers.probe() == 0
    supervisor.unnoticed = tuple(f"shop/{number}" for number in range(7))
    with pytest.raises(kopf.PermanentError, match=r"the watch is stale: shop/0, .*shop/4 went unnoticed"):
        await handlers.probe()


@pytest.mark.logs_errors("a sweep failed", "saying that captures go on failed", "looking for overlooked")
async def test_the_loops_go_on_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that fails, for a reason that is known or not, is followed by the next."""
    monkeypatch.setattr(loops, "LOOK_INTERVAL_SECONDS", 0.001)
    both: Any = Recorder(
        sweep=[Unavailable("down"), OSError(5, "volume"), KeyError("x")],
        beat=[KeyError("x"), KeyError("y")],
        write_again=[Unavailable("down"), KeyError("x")],
    )
    given: list[None] = []
    monkeypatch.setattr(loops, "give_back", lambda: given.append(None))
    works = loops.sweep(both, 0, Leadership(None, ""), FairSlots(1, 1)), *loops.of_captures(both, ("shop",))
    tasks = [asyncio.create_task(work) for work in works]

    def enough() -> bool:
        names = [name for name, *_ in both.calls]
        return names.count("sweep") >= 5 and names.count("beat") >= 4 and names.count("look") >= 2 and len(given) > 1

    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while not enough():
            both.called.clear()
            await both.called.wait()
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ("look", ("shop",)) in both.calls


@pytest.mark.parametrize(
    ("waits", "over_caps", "calls"),
    [
        pytest.param(False, False, ["sweep"] * 10, id="no capture waits"),
        pytest.param(True, False, 2 * [*4 * ["exceeds_caps"], "sweep"], id="captures wait"),
        pytest.param(True, True, 5 * ["exceeds_caps", "sweep"], id="captures wait, and evidence must expire"),
    ],
)
async def test_retention_gives_way_to_captures(waits: bool, over_caps: bool, calls: list[str]) -> None:
    """While captures wait, four of five passes are left out, unless a cap is exceeded: the volume must not fill."""
    slots = FairSlots(1, 1)
    release, waiting = await slots.acquire("shop"), asyncio.create_task(slots.acquire("shop")) if waits else None
    sweeper: Any = Recorder()
    sweeper.over_caps = over_caps
    sweeping = asyncio.create_task(loops.sweep(sweeper, 0, Leadership(None, ""), slots))
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while len(sweeper.calls) < len(calls):
            sweeper.called.clear()
            await sweeper.called.wait()
    for task in filter(None, (sweeping, waiting)):
        task.cancel()
    release()
    await asyncio.gather(sweeping, *filter(None, (waiting,)), return_exceptions=True)
    assert [name for name, _ in sweeper.calls][: len(calls)] == calls


@pytest.mark.parametrize(
    ("scope", "clusterwide", "namespaces"),
    [(Scope(), True, []), (Scope(namespaces=("a", "b"), kubeconfig=Path("/config")), False, ["a", "b"])],
)
def test_how_kopf_is_run(
    scope: Scope, clusterwide: bool, namespaces: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """kopf runs standalone over the watched namespaces, with its probe at the configured address.

    What exists by then is left out of garbage collections, which pause the event loop.
    """
    asked: dict[str, Any] = {}
    monkeypatch.setenv("KUBECONFIG", "/other")
    monkeypatch.setattr(module, "configure_logging", lambda process: None)
    monkeypatch.setattr(kopf, "run", lambda **options: asked.update(options))
    run(Settings(session_root=tmp_path, scope=scope, process=Process(listen="127.0.0.1:1")))
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    assert frozen > 10_000
    made = asked.pop("registry")
    assert isinstance(made, kopf.OperatorRegistry)
    assert isinstance(asked.pop("memories"), NoMemories)
    assert isinstance(asked.pop("loop"), uvloop.Loop)
    assert asked == {
        "standalone": True,
        "identity": "aletheia-operator",
        "clusterwide": clusterwide,
        "namespaces": namespaces,
        "liveness_endpoint": "http://127.0.0.1:1/healthz",
    }
    assert os.environ["KUBECONFIG"] == ("/other" if scope.kubeconfig is None else "/config")


@pytest.mark.parametrize(
    ("level", "debug", "quiet", "chatty"),
    [("debug", True, False, logging.DEBUG), ("info", False, False, logging.WARNING), ("warning", False, True, logging.WARNING)],
)
@pytest.mark.parametrize("log_format", ["json", "plain"])
def test_how_the_log_is_set_up(
    level: Any, debug: bool, quiet: bool, chatty: int, log_format: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kopf's own lines, and one for each probe, are for debugging only."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(kopf, "configure", lambda **options: asked.update(options))
    names = ("kopf", "aiohttp.access")
    before = {name: logging.getLogger(name).level for name in names}
    try:
        configure_logging(Process(log_level=level, log_format=log_format))
        assert {logging.getLogger(name).level for name in names} == {chatty}
    finally:
        for name, old in before.items():
            logging.getLogger(name).setLevel(old)
    expected = kopf.LogFormat.JSON if log_format == "json" else kopf.LogFormat.FULL
    assert asked == {"debug": debug, "quiet": quiet, "log_format": expected}


@pytest.mark.parametrize(
    ("path", "function"), [(None, "login_with_service_account"), (Path("/config"), "login_with_kubeconfig")]
)
def test_how_kopf_logs_in(path: Path | None, function: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The login is that of the pod, unless a kubeconfig is named."""
    for name in ("login_with_service_account", "login_with_kubeconfig"):
        monkeypatch.setattr(kopf, name, lambda name=name, **given: (name, given))
    handlers = _Handlers(Settings(session_root=tmp_path, scope=Scope(kubeconfig=path)))
    assert cast("Any", handlers.login(logger="x")) == (function, {"logger": "x"})


def test_threads_that_wait_for_a_source_are_not_waited_for() -> None:
    """The process ends even if one of them hangs. Calls that have not begun are dropped."""
    begun: list[int] = []
    release, started = threading.Event(), threading.Event()
    threads = Threads(1)

    def work() -> None:
        started.set()
        release.wait(LONGEST_TEST_SECONDS)

    threads.submit(work)
    later = threads.submit(begun.append, 1)
    assert started.wait(LONGEST_TEST_SECONDS)
    threads.shutdown(wait=True)
    assert later.cancelled()
    release.set()


def test_kopf_only_watches() -> None:
    """It posts nothing, scans nothing, and gives up a connection that is silent."""
    settings = kopf.OperatorSettings()
    configure(settings)
    assert (settings.networking.connect_timeout, settings.networking.request_timeout) == (10, 60)
    assert settings.watching.inactivity_timeout == 70
    assert (settings.scanning.disabled, settings.posting.loggers) == (True, False)
