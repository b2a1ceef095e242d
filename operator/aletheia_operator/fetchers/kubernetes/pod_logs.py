"""Reads the logs of one pod: every run of its containers to its end, then merges them by time.

Entries wait in spools until every run was read.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Literal

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.fair_slots import Release
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Missing, Outcome, Question, Sources
from aletheia_operator.fetchers.kubernetes import restarts
from aletheia_operator.fetchers.kubernetes.container_logs import ContainerLogs
from aletheia_operator.fetchers.kubernetes.containers import ContainerState, Run, container_states, wanted_runs
from aletheia_operator.fetchers.kubernetes.log_summary import finish_logs
from aletheia_operator.fetchers.kubernetes.logs_by_node import Directory
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from aletheia_operator.fetchers.kubernetes.restarts import Restarts, States
from aletheia_operator.fetchers.kubernetes.run_log import LogLimits, RunLog
from aletheia_operator.logs.merge import Merged
from aletheia_operator.text.batches import Encoded

log = logging.getLogger(__name__)

PLAN_AGE_SECONDS = 3.0  # states of an older plan are read again


class PodLogs:
    """Reads the logs of one pod. `batches` yields the entries, and completes `outcome`. `node`: that of the pod."""

    def __init__(self, question: Question, sources: Sources, node: NodeHealth, outcome: Outcome) -> None:
        self.question = question
        self.sources = sources
        self.node = node
        self.kubernetes = node.kubernetes
        self.outcome = outcome
        self._refused: SourceError | None = None
        self._replaced_at: str | None = None
        self.pod: str = question.arguments["pod"]
        self.limits = LogLimits(**question.arguments["limits"])
        self._pod_path = f"/api/v1/namespaces/{sources.namespace}/pods/{self.pod}"
        self._merging = partial(sources.parsers.merging.acquire, sources.namespace)
        self.containers = [self._container(ContainerState.from_json(planned)) for planned in question.arguments["containers"]]

    @property
    def names(self) -> list[str]:
        """Names of the requested containers."""
        return sorted(container.planned.container for container in self.containers)

    @property
    def logs(self) -> list[RunLog]:
        """Logs of every run, in the order of the pod's containers."""
        return [log for container in self.containers for log in container.in_order]

    async def batches(self) -> AsyncGenerator[Iterator[Encoded], None]:
        """Yield the entries, in iterators that read the spools: they block the thread.

        If the Investigation ends before all was read, the entries so far are yielded.
        """
        cancelled: asyncio.CancelledError | None = None
        try:
            try:
                await self._read_all()
            except asyncio.CancelledError as e:
                if not self.sources.interrupted():
                    raise
                cancelled = e
                self._add_gaps_of_unfinished_runs()
            release = await _in_grace(self._finish(), self.sources.interrupted)
            try:
                merged = Merged([log.result.spool.blocks() for log in self.logs if log.result is not None])
                while not merged.ended:
                    yield merged.some()
                    merged.check()
            finally:
                release()
            if cancelled is not None:
                raise cancelled
        finally:
            for log in self.logs:
                log.close()
            self.containers.clear()  # they refer to this: all of it is freed now, without a collection of garbage

    async def _finish(self) -> Release:
        """Complete the outcome, and return the release of a slot for merging."""
        await finish_logs(self.question.target, self.containers, self.limits, self.outcome)
        return await self._merging()

    def _container(self, planned: ContainerState) -> ContainerLogs:
        async def fresh_state() -> ContainerState | None:
            return ((await self._states()) or {}).get(planned.container)

        return ContainerLogs(
            planned=planned,
            target=self.question.target,
            window=self.sources.window,
            previous=self.question.arguments["previous"],
            new_log=self._log,
            kubernetes=self.kubernetes,
            path=f"{self._pod_path}/log",
            node=self.node,
            fresh_state=fresh_state,
            explain_api=self._explain_api,
        )

    def _log(self, run: Run) -> RunLog:
        return RunLog(
            run=run,
            window=self.sources.window,
            limits=self.limits,
            scratch=self.sources.scratch,
            parsers=self.sources.parsers,
            namespace=self.sources.namespace,
            target=self.question.target,
            redactor=self.sources.redactor,
        )

    async def _read_all(self) -> None:
        """Read every container, and again those that restarted meanwhile, so that each run has its own log."""
        directories = await self._directories()
        states = await self._present_states()
        async with asyncio.TaskGroup() as group:
            for container in self.containers:
                directory = directories.get(container.planned.container)
                slot = None if directory is None else directory.kubelets.slot(directory.address, self.sources.namespace)
                group.create_task(container.guarded(container.read(states[container.planned.container], directory, slot)))
        try:
            await self._follow_restarts(states)
        except Exception:
            log.exception("looking for restarts of %s failed", self.question.target)
            self._add_gap(self.question.target, GapReason.INTERNAL_ERROR, "which containers restarted meanwhile is not known")
        restarts.add_gaps_of_incomplete_runs(self.containers, self._replaced_at)
        async with asyncio.TaskGroup() as group:
            for container in self.containers:
                for run in container.in_order:
                    group.create_task(container.end(run))

    async def _present_states(self) -> States:
        """Return the containers' states: those of the plan, or current ones if the plan is old, as after a restart."""
        states = {container.planned.container: container.planned for container in self.containers}
        if self.sources.now().timestamp() - self.question.arguments["planned_at"] < PLAN_AGE_SECONDS:
            return states
        return await self._states() or states

    async def _follow_restarts(self, states: States) -> None:
        """Read runs again that restarts have moved. `states`: those with which the containers were read."""
        following = Restarts(self.containers, states, self._states)
        if not await following.follow():
            self._add_gap_of_unknown_restarts()
            following.drop_other_runs(pod_gone=self._refused is None or self._refused.reason == GapReason.NOT_FOUND)

    async def _states(self) -> States | None:
        """Return the containers' current states; None if the pod is gone or replaced, or cannot be read."""
        try:
            pod = await self.kubernetes.get(self._pod_path)
        except SourceError as e:
            self._refused = e
            return None
        self._refused = None
        uid, found = self.question.arguments["uid"], pod["metadata"].get("uid")
        if found != uid:
            self._add_gap(self.question.target, GapReason.POD_REPLACED, f"the pod with uid {uid} was replaced by uid {found}")
            self._replaced_at = self._replaced_at or pod["metadata"].get("creationTimestamp")
            return None
        states = container_states(pod)
        return {
            container.planned.container: states.get(container.planned.container, container.planned)
            for container in self.containers
        }

    def _add_gap_of_unknown_restarts(self) -> None:
        """Add a gap if restarts could not be looked for although the pod may exist. If a right is missing, it is a note."""
        if self._refused is not None and self._refused.reason != GapReason.NOT_FOUND:
            severity: Literal["gap", "note"] = "note" if self._refused.reason == GapReason.FORBIDDEN else "gap"
            message = f"whether a container restarted while it was read is not known: {self._refused.message}"
            self._add_gap(self.question.target, self._refused.reason, message, severity)

    async def _directories(self) -> dict[str, Directory]:
        """Return the node's directory of each container; {} if files may not be read, or cannot be."""
        via, node, kubelets = self.question.arguments["via"], self.question.node, self.sources.kubelets
        if via == "api" or node is None:
            return {}
        if kubelets is None:
            self._explain_api("an admin has not allowed it (chart value nodeLogs.enabled)")
            return {}
        try:
            await _authorize(self.kubernetes, self.sources.namespace, self.pod)
            address = await kubelets.address(node)
        except SourceError as e:
            self._explain_api(e.message)
            return {}
        uid = self.question.arguments["directory_uid"]
        return {
            name: Directory.of(kubelets, address, self.sources.namespace, self.pod, uid, name)
            for name in (container.planned.container for container in self.containers if container.planned.ran)
        }

    def _explain_api(self, why: str) -> None:
        if self.question.arguments["via"] == "node":
            self._add_gap(self.question.target, GapReason.NODE_LOGS_UNAVAILABLE, f"read by the pods/log API instead: {why}")

    def _add_gaps_of_unfinished_runs(self) -> None:
        """Add a gap for each run that was not read to its end when the Investigation ended."""
        for container in self.containers:
            for run in wanted_runs(
                container.planned.by_api, container.window, previous=container.previous, first_number=container.first_number
            ):
                if run.number not in container.logs:
                    container.logs[run.number] = self._log(run)
            for log in container.in_order:
                if not log.complete:
                    last = log.position.last
                    until = f"when the log had been read to {last}" if last else "before its first line came"
                    log.add_gap(GapReason.LOG_INCOMPLETE, self.node.explain(f"the Investigation ended {until}"))

    def _add_gap(self, target: str, reason: GapReason, message: str, severity: Literal["gap", "note"] = "gap") -> None:
        missing = Missing(target, reason, message, severity)
        if missing not in self.outcome.missing:
            self.outcome.missing.append(missing)


async def _in_grace(work: Coroutine[Any, Any, Release], interrupted: Callable[[], bool]) -> Release:
    """Await work to its end, even if it is cancelled once since the Investigation ended (`interrupted`)."""

    def give_back(ended: "asyncio.Task[Release]") -> None:
        if not ended.cancelled() and ended.exception() is None:
            ended.result()()

    task = asyncio.create_task(work)
    try:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not interrupted():
                raise
            return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        task.add_done_callback(give_back)
        await asyncio.wait({task})
        raise


async def _authorize(kubernetes: Kubernetes, namespace: str, pod: str) -> None:
    """Ask the API server whether the Investigation's identity may read the pod's log. Raises SourceError."""
    attributes = {"namespace": namespace, "verb": "get", "resource": "pods", "subresource": "log", "name": pod}
    if not await kubernetes.may(attributes):
        raise Rejected(f"this identity may not get pods/log of pod {pod}", GapReason.FORBIDDEN)
