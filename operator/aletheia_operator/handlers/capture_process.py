"""The process of a Job: runs one capture to its end by the operator's code, and writes progress and the last status.

It imports no kopf. Kubernetes stops it with SIGTERM, for example because the operator deletes its Job: if the Investigation is
cancelled, the capture ends with what it has; otherwise it stops, and another process resumes it.
"""

import asyncio
import logging
import os
import resource
import signal
from dataclasses import dataclass

from aletheia_operator.api import paths
from aletheia_operator.clients.errors import SourceError, if_found
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.clients.kill_timer import EXIT_CODE, end_process_after
from aletheia_operator.clients.kubernetes import Kubernetes, connect
from aletheia_operator.clients.lease import Lease, LeaseTimes
from aletheia_operator.handlers.event_loop import new_loop
from aletheia_operator.handlers.events import EventRecorder
from aletheia_operator.handlers.fence import FenceLost, fence_name, fenced
from aletheia_operator.handlers.identity import OperatorIdentity
from aletheia_operator.handlers.job_objects import STOPPED
from aletheia_operator.handlers.run import Body, InvestigationRun, Shared
from aletheia_operator.handlers.setup import Setup, WrongSetting, use_threads
from aletheia_operator.handlers.status_writer import StatusWriter, WriteResult
from aletheia_operator.handlers.steps import has_ended
from aletheia_operator.handlers.trust import Trust
from aletheia_operator.investigate import Tools
from aletheia_operator.session import InvestigationReference
from aletheia_operator.settings import Settings
from aletheia_operator.text.log_records import about, configure_logging

DONE, TO_BE_RESUMED = 0, 1
BEAT_SECONDS = 30.0
LOOK_SECONDS = 5.0
"""Longest time to find out, after SIGTERM, whether the Investigation is cancelled: Kubernetes kills the process after 30 s."""

log = logging.getLogger(__name__)


def run(settings: Settings, owner: InvestigationReference) -> int:
    """Run the capture. Returns the exit code.

    It is DONE if nothing is left to do, STOPPED after SIGTERM, EXIT_CODE without the Lease, and otherwise TO_BE_RESUMED.
    """
    configure_logging(settings.process.log_format, settings.process.log_level)
    if settings.scope.operator_namespace is None:
        log.error("a capture needs --operator-namespace: its Lease is there")
        return TO_BE_RESUMED
    try:
        setup = Setup.of(settings)
    except WrongSetting as e:
        log.error("%s", e)
        return TO_BE_RESUMED
    with about(namespace=owner.namespace, name=owner.name), asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_run(setup, owner, settings.scope.operator_namespace))


async def _run(setup: Setup, owner: InvestigationReference, namespace: str) -> int:
    use_threads()
    settings = setup.settings
    clients = [await connect(settings.scope.kubeconfig, pace) for pace in (setup.api_pace, None)]  # the Lease has its own
    times = LeaseTimes(settings.leader_election.lease_seconds)
    lease = Lease(clients[1], namespace, fence_name(owner.uid), times, end_process_after)
    kubelets = setup.kubelets(clients[0])
    try:
        tools = setup.tools(clients[0], kubelets)
        process = CaptureProcess(settings, owner, tools, lease)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, process.stop)
        code = await process.run()
        await tools.parsers.close()
        log.info("%s/%s: %s", owner.namespace, owner.name, _used())
        return code
    except SourceError as e:
        log.error("%s/%s: %s", owner.namespace, owner.name, e.message)
        return TO_BE_RESUMED
    finally:
        if kubelets is not None:
            await kubelets.close()
        for client in clients:
            await client.close()


def _used() -> str:
    """Return what this process and its workers took of their container, as text: an admin may set the limits by it."""
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime
    megabytes = [round(usage.ru_maxrss * 1024 / 1e6) for usage in (own, workers)]
    return f"{seconds:.1f} s of processor time, {megabytes[0]} MB of memory, and at most {megabytes[1]} MB in a worker"


def _end_at_once() -> None:
    logging.shutdown()
    os._exit(EXIT_CODE)


@dataclass
class CaptureProcess:
    """The capture of one Investigation in this process."""

    settings: Settings
    owner: InvestigationReference
    tools: Tools
    lease: Lease

    def __post_init__(self) -> None:
        self._stopped = asyncio.Event()
        self._current: InvestigationRun | None = None

    def stop(self) -> None:
        """Do what SIGTERM does."""
        self._stopped.set()

    async def run(self) -> int:
        """Run until the capture has ended, or `stop`. Returns the exit code. Raises SourceError without rights."""
        working = asyncio.create_task(fenced(self.lease, self._capture, _end_at_once, self._blame_no_question))
        stopping = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._blame_no_question()
            if not working.done() and not await self._is_cancelled():
                working.cancel()
            return await working
        except FenceLost:
            return EXIT_CODE
        except asyncio.CancelledError:
            log.warning("%s/%s: stopped; another process resumes it", self.owner.namespace, self.owner.name)
            return STOPPED
        finally:
            for task in (stopping, working):
                task.cancel()
            await asyncio.gather(stopping, working, return_exceptions=True)

    def _blame_no_question(self) -> None:
        """Note that this process ends soon, before it has stopped: it may be killed meanwhile, or cut off from the volume."""
        if self._current is not None:
            self._current.order.stopping.set()

    async def _is_cancelled(self) -> bool:
        """Return whether the running capture is cancelled, as its resource says now: then it ends with what it has."""
        if self._current is None:
            return False
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                body = await _read(self.tools.kubernetes, self.owner)
        except (SourceError, TimeoutError) as e:
            log.warning("%s/%s cannot be read: %s", self.owner.namespace, self.owner.name, getattr(e, "message", "no answer"))
            return False
        if body is not None:
            self._current.steer(body)
        return body is not None and self._current.order.cancelled.is_set()

    async def _capture(self) -> int:
        """Capture, unless the Investigation is gone or has ended. Returns the exit code. Raises SourceError."""
        body = await _read(self.tools.kubernetes, self.owner)
        if body is None or has_ended(body.get("status") or {}):
            log.info("%s/%s: nothing to capture, it has ended or is gone", self.owner.namespace, self.owner.name)
            return DONE
        events = EventRecorder(self.tools.kubernetes, self.tools.now)
        writer = StatusWriter(self.tools.kubernetes, body, self.tools.now)
        self._current = InvestigationRun(body, self._shared(events), writer)
        beating = asyncio.create_task(self._beat(writer))
        try:
            written = await self._current.run()
        finally:
            beating.cancel()
            await events.close()
        return TO_BE_RESUMED if written is WriteResult.UNWRITTEN else DONE

    async def _beat(self, writer: StatusWriter) -> None:
        """Write the heartbeat, also while the operator is down. Stops the capture if another operator has taken it over."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if not await writer.beat():
                log.error("%s/%s was taken over by another operator", self.owner.namespace, self.owner.name)
                self.stop()

    def _shared(self, events: EventRecorder) -> Shared:
        settings = self.settings
        return Shared(
            tools=self.tools,
            emit=events.emit,
            slots=FairSlots(1, 1),
            trust=Trust(self.tools.kubernetes, settings.rights),
            identity=OperatorIdentity(self.tools.layout, settings.scope.identity),
            max_timeout_seconds=settings.limits.max_timeout_seconds,
            log_text=settings.privacy.log_text_in_status,
        )


async def _read(kubernetes: Kubernetes, owner: InvestigationReference) -> Body | None:
    """Return the Investigation; None if it is gone or being deleted. Raises SourceError if that is unknown."""
    body = await if_found(kubernetes.get(paths.investigation(owner.namespace, owner.name)))
    if body is None:
        return None
    metadata = body["metadata"]
    return None if metadata["uid"] != owner.uid or metadata.get("deletionTimestamp") else body
