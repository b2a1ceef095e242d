"""The operator process: kopf's settings, the handlers and the probe."""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, cast

import kopf

from aletheia_operator.api import GROUP, VERSION, paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients import kubernetes
from aletheia_operator.clients.errors import SourceError, retry_delays
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.fetchers import with_templates
from aletheia_operator.findings import read_rules
from aletheia_operator.handlers import datasources
from aletheia_operator.handlers.event_loop import LoopWatch
from aletheia_operator.handlers.events import Events
from aletheia_operator.handlers.identity import OperatorIdentity
from aletheia_operator.handlers.metrics import MetricsServer, State, serve
from aletheia_operator.handlers.run import Shared
from aletheia_operator.handlers.supervisor import Supervisor
from aletheia_operator.handlers.sweeper import Sweeper
from aletheia_operator.handlers.trust import Trust
from aletheia_operator.investigate import Budget, Tools
from aletheia_operator.investigate.redaction import check_settings
from aletheia_operator.metrics import SWEEPS
from aletheia_operator.session import SessionLayout
from aletheia_operator.settings import Process, Settings
from aletheia_operator.text.log_records import make_inert

log = logging.getLogger(__name__)

T = TypeVar("T")
V = TypeVar("V")

RESOURCE = (GROUP, VERSION, "investigations")
LOOK_INTERVAL_SECONDS = 30
LIST_PAGE = 25  # resources that kopf parses at once, on the event loop: each may have 1.5 MB
IO_THREADS = 64  # a source that hangs holds a thread until its timeout; saving must not wait for it


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    log_as(settings.process)
    if settings.scope.kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(settings.scope.kubeconfig)  # the only way to name one to kopf
    namespaces = settings.scope.namespaces
    kopf.run(
        registry=registry(settings),
        standalone=True,
        identity=cast("Any", "aletheia-operator"),  # kopf would look up the user's name: a container's uid has none
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        liveness_endpoint=f"http://{settings.process.listen}/healthz",
    )


def log_as(process: Process) -> None:
    """Set the format and the least level of the log."""
    kopf.configure(
        debug=process.log_level == "debug",
        quiet=process.log_level == "warning",
        log_format=kopf.LogFormat.JSON if process.log_format == "json" else kopf.LogFormat.FULL,
    )
    make_inert(logging.getLogger())
    for chatty in ("kopf.objects", "kopf.activities", "aiohttp.access"):  # a line for every event and every probe
        logging.getLogger(chatty).setLevel(logging.DEBUG if process.log_level == "debug" else logging.WARNING)


def registry(settings: Settings) -> kopf.OperatorRegistry:
    """Return the registry with every handler of the operator."""
    handlers = _Handlers(settings)
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(handlers.login)
    kopf.on.startup(registry=registry)(handlers.start)
    kopf.on.cleanup(registry=registry)(handlers.stop)
    kopf.on.probe(registry=registry, id="unnoticed")(handlers.probe)
    kopf.on.event(*RESOURCE, registry=registry, id="observe")(handlers.observe)
    return registry


class Threads(ThreadPoolExecutor):
    """Threads that are not awaited at the end: those that save were awaited before, others wait for sources that hang."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)


def _read(flag: str, read: Callable[[V], T], value: V) -> T:
    """Read the file of a flag, or check its value. Raises PermanentError, with the flag, if that fails."""
    try:
        return read(value)
    except (OSError, ValueError) as e:
        raise kopf.PermanentError(f"{flag}: {e}") from e


class _Handlers:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.supervisor: Supervisor
        self._watching: list[asyncio.Task[None]] = []
        self._loop_watch = LoopWatch()
        self._kubelets: Kubelets | None = None
        self._metrics: MetricsServer | None = None

    async def start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        self._loop_watch.start()
        fetchers = _read("--metric-templates", with_templates, self.settings.metric_templates)
        finding_rules = _read("--finding-rules", read_rules, self.settings.finding_rules)
        _read("--redaction-rule", check_settings, self.settings.redaction)
        asyncio.get_running_loop().set_default_executor(Threads(IO_THREADS, thread_name_prefix="io"))
        try:
            self._kubernetes = await kubernetes.connect(self.settings.scope.kubeconfig)
        except Exception as e:
            raise kopf.PermanentError(f"no access to the Kubernetes API: {e}") from e
        self._trust = Trust(self._kubernetes, self.settings.rights)
        await self._served()
        if self.settings.node_logs.enabled:
            self._kubelets = Kubelets(self._kubernetes, self.settings.node_logs.certificate_authority)
        tools = Tools(
            layout=SessionLayout(self.settings.session_root),
            kubernetes=self._kubernetes,
            http=Http(),
            fetchers=fetchers,
            default_service_account=self.settings.rights.default_service_account,
            kubelets=self._kubelets,
            redaction=self.settings.redaction,
            max_fetches=self.settings.limits.max_fetches,
            max_artifact_bytes=self.settings.limits.max_artifact_bytes,
            budget=self._budget(),
            operator_namespace=self.settings.scope.operator_namespace,
            ca_bundle=self.settings.ca_bundle,
            finding_rules=finding_rules,
        )
        await self._trust.wait_for_policy(tools.now())
        self.events = Events(self._kubernetes, tools.now)
        self.supervisor = Supervisor(self._shared(tools))
        self.sweeper = Sweeper(
            tools.layout,
            self._kubernetes,
            self.events.emit,
            tools.now,
            self.settings.scope.namespaces,
            self.settings.retention,
            self.settings.volume,
        )
        self._serve_metrics(tools.layout)
        loops = [self._look(), self._beat(), self._sweep(), datasources.watch(tools)]
        if self.settings.artifacts_api.certificates is not None:
            loops.append(self._keep_artifacts_api(tools))
        self._watching = [asyncio.create_task(loop) for loop in loops]

    def _serve_metrics(self, layout: SessionLayout) -> None:
        """Serve /metrics if asked. Raises PermanentError if its address or files cannot be used."""
        if self.settings.metrics.address is None:
            return
        slots, volume_bytes = self.supervisor.shared.slots, self.settings.volume.volume_bytes
        state = State(slots, self._loop_watch, layout, volume_bytes, lambda: len(self.supervisor.unnoticed))
        self._metrics = _read("--metrics-listen", partial(serve, state=state), self.settings.metrics)

    async def _keep_artifacts_api(self, tools: Tools) -> None:
        from aletheia_operator.handlers.artifacts_api import ArtifactsApiKeeper  # imported late: it takes memory

        namespace = self.settings.scope.operator_namespace
        await ArtifactsApiKeeper(self._kubernetes, self.settings.artifacts_api, namespace, tools.now).watch()

    def _budget(self) -> Budget:
        limits, volume = self.settings.limits, self.settings.volume
        share = 0 if len(self.settings.scope.namespaces) == 1 else volume.namespace_share
        return Budget(limits.max_session_bytes, limits.max_namespace_bytes, share, volume.volume_bytes)

    def _shared(self, tools: Tools) -> Shared:
        limits = self.settings.limits
        return Shared(
            tools=tools,
            emit=self.events.emit,
            slots=FairSlots(limits.max_investigations, limits.namespace_investigations),
            trust=self._trust,
            identity=OperatorIdentity(tools.layout, self.settings.scope.identity),
            max_timeout_seconds=limits.max_timeout_seconds,
            log_text=self.settings.privacy.log_text_in_status,
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
        if self._watching:
            for task in self._watching:
                task.cancel()
            await self.supervisor.close()
            await self.events.close()
            if self._kubelets is not None:
                await self._kubelets.close()
            await self._kubernetes.close()

    def login(self, **kwargs: Any) -> kopf.ConnectionInfo | None:
        if self.settings.scope.kubeconfig is None:
            return kopf.login_with_service_account(**kwargs)
        return kopf.login_with_kubeconfig(**kwargs)

    async def observe(self, event: kopf.RawEvent, **_: Any) -> None:
        """Pass on the current resource. For this kind of handler, kopf stores no state on the resource."""
        body = cast("dict[str, Any]", event["object"])
        if event["type"] != "DELETED":
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

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.settings.retention.sweep_seconds)
            swept = False
            try:
                await self.sweeper.sweep()
                swept = True
            except SourceError as e:
                log.warning("no session is swept: Investigations cannot be listed: %s", e.message)
            except OSError as e:
                log.warning("no session is swept: %s", e)
            except Exception:
                log.exception("a sweep failed")
            SWEEPS.labels("done" if swept else "failed").inc()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_SECONDS)
            try:
                await self.supervisor.beat()
            except Exception:  # others would take the captures over
                log.exception("saying that captures go on failed")

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_SECONDS)
            try:
                await self.supervisor.write_again()
                await self.supervisor.look_for_unnoticed(self.settings.scope.namespaces)
            except SourceError as e:
                log.warning("Investigations cannot be listed: %s", e.message)
            except Exception:  # the probe depends on this look
                log.exception("looking for overlooked Investigations failed")


class NoState(kopf.DiffBaseStorage):
    """Stores nothing of resources, so that kopf does not copy them at each event, which is slow for large ones."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf up to only watch: it writes nothing, and leaves no finalizer that would hang while the operator is down."""
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 60
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = LIST_PAGE
    settings.scanning.disabled = True  # the resource's definition comes with the operator; watching for it needs more rights
    settings.posting.loggers = False
    settings.persistence.diffbase_storage = NoState()
