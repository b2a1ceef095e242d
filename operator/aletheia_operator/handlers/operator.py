"""The operator process: kopf's settings, the handlers and the probe."""

import asyncio
import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import kopf

from aletheia_operator.api import GROUP, VERSION, paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients import kubernetes
from aletheia_operator.clients.errors import SourceError, retry_delays
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.clients.kill_timer import end_process_after
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.clients.lease import Lease, LeaseTimes
from aletheia_operator.clients.pace import Pace
from aletheia_operator.handlers import datasources, loops
from aletheia_operator.handlers.event_loop import LoopWatch, new_loop
from aletheia_operator.handlers.events import EventRecorder
from aletheia_operator.handlers.fence import fence_name
from aletheia_operator.handlers.identity import OperatorIdentity
from aletheia_operator.handlers.jobs import Jobs
from aletheia_operator.handlers.kopf_settings import NoMemories, configure
from aletheia_operator.handlers.leadership import Leadership
from aletheia_operator.handlers.metrics import MetricsServer, State, serve
from aletheia_operator.handlers.placement import JobRunner
from aletheia_operator.handlers.run import Shared
from aletheia_operator.handlers.setup import Setup, WrongSetting, read_flag, use_threads
from aletheia_operator.handlers.supervisor import Supervisor
from aletheia_operator.handlers.sweeper import Sweeper
from aletheia_operator.handlers.trust import Trust
from aletheia_operator.investigate import Tools
from aletheia_operator.session import SessionLayout
from aletheia_operator.settings import Process, Settings
from aletheia_operator.text.log_records import JsonFormatter, make_inert

log = logging.getLogger(__name__)

RESOURCE = (GROUP, VERSION, "investigations")
COLLECTION_THRESHOLDS = 10_000, 20, 20
"""For `gc.set_threshold`; Python's own are 700, 10, 10."""


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    configure_logging(settings.process)
    if settings.scope.kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(settings.scope.kubeconfig)  # the only way to name one to kopf
    namespaces, handlers = settings.scope.namespaces, registry(settings)
    exempt_from_collections()
    with asyncio.Runner(loop_factory=new_loop) as runner:  # as kopf's own command does
        kopf.run(
            loop=runner.get_loop(),
            registry=handlers,
            memories=NoMemories(),
            standalone=True,
            identity=cast("Any", "aletheia-operator"),  # kopf would look up the user's name: a container's uid has none
            clusterwide=not namespaces,
            namespaces=list(namespaces),
            liveness_endpoint=f"http://{settings.process.listen}/healthz",
        )


def exempt_from_collections() -> None:
    """Let garbage collections leave out what exists now, for example modules: each one pauses the event loop.

    Call it only for what lives as long as the process: the garbage that it becomes later may never be collected. Collections
    are rarer from now on: in a storm they took 3 % of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


def configure_logging(process: Process) -> None:
    """Set the format and the least level of the log."""
    kopf.configure(
        debug=process.log_level == "debug",
        quiet=process.log_level == "warning",
        log_format=kopf.LogFormat.JSON if process.log_format == "json" else kopf.LogFormat.FULL,
    )
    make_inert(logging.getLogger())
    for handler in logging.getLogger().handlers:
        if process.log_format == "json" and type(handler).__module__.startswith("kopf."):
            handler.setFormatter(JsonFormatter())
    for chatty in ("kopf", "aiohttp.access"):  # lines about its start, every event and every probe
        logging.getLogger(chatty).setLevel(logging.DEBUG if process.log_level == "debug" else logging.WARNING)


def registry(settings: Settings) -> kopf.OperatorRegistry:
    """Return the registry with every handler of the operator."""
    handlers = _Handlers(settings)
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(handlers.login)
    kopf.on.startup(registry=registry)(handlers.start)
    kopf.on.cleanup(registry=registry)(handlers.stop)
    kopf.on.probe(registry=registry, id="unnoticed")(handlers.probe)
    if settings.leader_election.lease is not None:
        kopf.on.probe(registry=registry, id="leader")(handlers.leader)
    kopf.on.event(*RESOURCE, registry=registry, id="observe")(handlers.observe)
    return registry


@contextmanager
def _permanent() -> Iterator[None]:
    """Raise WrongSetting as PermanentError: kopf retries other exceptions."""
    try:
        yield
    except WrongSetting as e:
        raise kopf.PermanentError(str(e)) from e


class _Handlers:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.supervisor: Supervisor
        self._watching: list[asyncio.Task[None]] = []
        self._loop_watch = LoopWatch()
        self._kubelets: Kubelets | None = None
        self._metrics: MetricsServer | None = None
        self._leadership = Leadership(None, settings.process.listen)
        self._leading: asyncio.Task[None] | None = None
        self._clients: list[kubernetes.Kubernetes] = []

    async def start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        self._loop_watch.start()
        with _permanent():
            setup = Setup.of(self.settings)
        use_threads()
        self._kubernetes = await self._connect(setup.api_pace)
        self._trust = Trust(self._kubernetes, self.settings.rights)
        await self._served()
        self._kubelets = setup.kubelets(self._kubernetes)
        tools = setup.tools(self._kubernetes, self._kubelets)
        await self._trust.wait_for_policy(tools.now())
        self.events = EventRecorder(self._kubernetes, tools.now)
        self.supervisor = Supervisor(await self._shared(tools))
        self.sweeper = Sweeper(
            tools.layout,
            self._kubernetes,
            self.events.emit,
            tools.now,
            self.settings.scope.namespaces,
            self.settings.retention,
            self.settings.volume,
            setup.index,
        )
        self._leadership = Leadership(await self._lease(), self.settings.process.listen)
        self._serve_metrics(tools.layout)
        if self.settings.artifacts_api.certificates is not None:
            self._watching.append(asyncio.create_task(self._keep_artifacts_api(tools)))
        await self._lead()
        works = [
            *loops.of_captures(self.supervisor, self.settings.scope.namespaces),
            loops.sweep(self.sweeper, self.settings.retention.sweep_seconds, self._leadership, self.supervisor.shared.slots),
            datasources.watch(tools),
        ]
        if (runner := self.supervisor.shared.runner) is not None:
            await runner.reserve()
            works.append(loops.remove_old_leases(runner.jobs, tools.now))
        self._watching += [asyncio.create_task(work) for work in works]
        exempt_from_collections()

    async def _connect(self, pace: Pace | None = None) -> kubernetes.Kubernetes:
        """Return a client with its own connections. Raises PermanentError."""
        try:
            client = await kubernetes.connect(self.settings.scope.kubeconfig, pace)
        except Exception as e:
            raise kopf.PermanentError(f"no access to the Kubernetes API: {e}") from e
        self._clients.append(client)
        return client

    async def _lease(self) -> Lease | None:
        """Return the leader's Lease, which has its own connections: captures may use all others. None without election.

        Raises PermanentError.
        """
        namespace, election = self.settings.scope.operator_namespace, self.settings.leader_election
        if election.lease is None:
            return None
        if namespace is None:
            raise kopf.PermanentError("--lease needs --operator-namespace")
        times = LeaseTimes(election.lease_seconds)
        return Lease(await self._connect(), namespace, election.lease, times, end_process_after)

    async def _lead(self) -> None:
        """Wait until this process leads. Raises PermanentError if it never can, or cannot serve /healthz meanwhile."""
        try:
            await self._leadership.win()
        except OSError as e:
            raise kopf.PermanentError(f"no leader election with --listen={self.settings.process.listen}: {e}") from e
        except SourceError as e:
            raise kopf.PermanentError(f"--lease: {e.message}") from e
        except asyncio.CancelledError:
            await self.stop()  # kopf stops only what has started
            raise
        self._leading = asyncio.create_task(self._leadership.keep(self.supervisor.close))

    def _serve_metrics(self, layout: SessionLayout) -> None:
        """Serve /metrics if asked. Raises PermanentError if its address or files cannot be used."""
        if self.settings.metrics.address is None:
            return
        shared, volume_bytes = self.supervisor.shared, self.settings.volume.volume_bytes
        slots, jobs = (shared.slots, None) if shared.runner is None else (shared.runner.inline_slots, shared.runner.job_slots)
        leads, unnoticed = (lambda: self._leadership.leads), (lambda: len(self.supervisor.unnoticed))
        state = State(slots, self._loop_watch, layout, volume_bytes, unnoticed, leads, jobs)
        with _permanent():
            self._metrics = read_flag("--metrics-listen", partial(serve, state=state), self.settings.metrics)

    async def _keep_artifacts_api(self, tools: Tools) -> None:
        from aletheia_operator.handlers.artifacts_api import ArtifactsApiKeeper  # imported late: it takes memory

        namespace = self.settings.scope.operator_namespace
        await ArtifactsApiKeeper(self._kubernetes, self.settings.artifacts_api, namespace, tools.now).watch()

    async def _shared(self, tools: Tools) -> Shared:
        limits = self.settings.limits
        slots = FairSlots(limits.max_investigations, limits.namespace_investigations, dict(limits.namespace_weights))
        runner = await self._runner(slots)
        return Shared(
            tools=tools,
            emit=self.events.emit,
            slots=slots if runner is None else runner.first_slots,
            runner=runner,
            trust=self._trust,
            identity=OperatorIdentity(tools.layout, self.settings.scope.identity),
            max_timeout_seconds=limits.max_timeout_seconds,
            max_queued=limits.max_namespace_queued,
            log_text=self.settings.privacy.log_text_in_status,
        )

    async def _runner(self, inline_slots: FairSlots) -> JobRunner | None:
        """Return what lets captures run in Jobs; None if all run in this process. Raises PermanentError."""
        settings, namespace = self.settings.runner, self.settings.scope.operator_namespace
        if settings.mode == "inline":
            return None
        if namespace is None or settings.job_template is None:
            raise kopf.PermanentError("--runner-mode needs --operator-namespace and --job-template")
        leases, times = await self._connect(), LeaseTimes(self.settings.leader_election.lease_seconds)
        weights = dict(self.settings.limits.namespace_weights)
        return JobRunner(
            settings=settings,
            jobs=Jobs(self._kubernetes, namespace, settings.job_template),
            job_slots=FairSlots(settings.max_jobs, settings.namespace_jobs, weights),
            inline_slots=inline_slots,
            lease=lambda uid: Lease(leases, namespace, fence_name(uid), times),
        )

    async def _served(self) -> None:
        """Wait until the API server serves Investigations: kopf looks for them once, and does not see them later."""
        for path in paths.investigations(self.settings.scope.namespaces):
            for delay in retry_delays():
                try:
                    await self._kubernetes.get(path, {"limit": "1"}, kubernetes.METADATA_ONLY)
                    break
                except SourceError as e:
                    if e.reason == GapReason.FORBIDDEN:
                        raise kopf.PermanentError(f"Investigations may not be listed: {e.message}") from e
                    log.warning("waiting until Investigations are served: %s", e.message)
                    await asyncio.sleep(delay)

    async def stop(self, **_: Any) -> None:
        self._loop_watch.stop()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if hasattr(self, "supervisor"):
            await self.supervisor.close()
            await self.events.close()
            if self._kubelets is not None:
                await self._kubelets.close()
        if self._leading is not None:
            self._leading.cancel()
            await self._leadership.resign()
        for client in self._clients:
            await client.close()

    def login(self, **kwargs: Any) -> kopf.ConnectionInfo | None:
        if self.settings.scope.kubeconfig is None:
            return kopf.login_with_service_account(**kwargs)
        return kopf.login_with_kubeconfig(**kwargs)

    async def observe(self, event: kopf.RawEvent, **_: Any) -> None:
        """Pass on the current resource. For this kind of handler, kopf stores no state on the resource."""
        body = cast("dict[str, Any]", event["object"])
        body["metadata"].pop("managedFields", None)  # half of the resource's memory, which is kept while it waits and runs
        with self._leadership.changing_the_volume():
            await self._observe(event["type"], body)

    async def _observe(self, kind: str | None, body: dict[str, Any]) -> None:
        if kind != "DELETED":
            self.supervisor.observe(body)
            await self.sweeper.observe(body)
            return
        uid = body["metadata"]["uid"]
        self.supervisor.forget(uid)
        await self.supervisor.settled(uid)
        await self.sweeper.deleted(body)

    async def probe(self, **_: Any) -> int:
        """Return the number of unnoticed Investigations. If there are any, the probe fails, and the pod restarts."""
        if self.supervisor.unnoticed:
            raise kopf.PermanentError(f"the watch is stale: {', '.join(self.supervisor.unnoticed[:5])} went unnoticed")
        return 0

    async def leader(self, **_: Any) -> str:
        """Return which process holds the Lease: /healthz shows it."""
        return self._leadership.leader
