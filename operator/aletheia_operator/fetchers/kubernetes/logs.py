"""Kubernetes logs: one document a pod, all its containers in time order.

What is read, by the API or from the node, waits in spools until every run is through; then it is merged into one order.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.api import InvestigationSpec, LogsRequest, parse_bytes
from aletheia_operator.api.expressions import compile_expression
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.kubernetes import METADATA_ONLY_OBJECT, Kubernetes
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources
from aletheia_operator.fetchers.kubernetes.logs_by_api import check_rotation, read_by_api
from aletheia_operator.fetchers.kubernetes.logs_by_node import Directory, read_by_node
from aletheia_operator.fetchers.kubernetes.members import members_of
from aletheia_operator.fetchers.kubernetes.run_log import LogLimits, Run, RunLog
from aletheia_operator.fetchers.kubernetes.targets import describe
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.merge import merge
from aletheia_operator.logs.spool import share
from aletheia_operator.text.batches import LEVEL_CODES, Encoded

MIRROR = "kubernetes.io/config.mirror"  # a static pod's log directory has this in place of the uid


class KubernetesLogsFetcher:
    """Logs of the pods that the targets select."""

    name = "KubernetesLogs"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """One question a pod; a target that selects nothing, or may not be read, is missing."""
        if spec.targets is None or not spec.of_targets("logs"):
            return Plan()
        request = spec.logs or LogsRequest()
        pods: dict[str, dict[str, Any]] = {}
        wanted: dict[str, set[str] | None] = {}
        missing: list[Missing] = []
        for target, found in await (await members_of(sources, spec.targets)).pods():
            if isinstance(found, SourceError):
                missing.append(Missing(describe(target), found.reason, found.message))
                continue
            if not found:
                message = f"{describe(target)} selects no pod at present in namespace {sources.namespace}"
                missing.append(Missing(describe(target), GapReason.NO_PODS, message))
            for pod in found:
                uid = pod.uid
                pods.setdefault(uid, pod.item())
                names = set(target.containers) if target.containers else None
                before = wanted.get(uid, set())
                wanted[uid] = None if names is None or before is None else before | names
        limits = pod_limits(request, len(pods))
        questions = [
            self._question(pod, container_runs(pod, wanted[uid], request, sources.window.start), request, limits)
            for uid, pod in pods.items()
        ]
        return Plan(tuple(questions), tuple(missing))

    def _question(self, pod: dict[str, Any], runs: list[Run], request: LogsRequest, limits: LogLimits) -> Question:
        metadata = pod["metadata"]
        arguments = {
            "pod": metadata["name"],
            "uid": metadata["uid"],
            "directory_uid": (metadata.get("annotations") or {}).get(MIRROR) or metadata["uid"],
            "runs": [asdict(run) for run in runs],
            "limits": asdict(limits),
            "via": request.via,
        }
        key, target = f"{self.name}/{metadata['uid']}", f"pod/{metadata['name']}"
        return Question(self.name, key, target, arguments, gives_logs=True, node=pod["spec"].get("nodeName"))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the pod's document.

        Entries: {"timestamp": RFC 3339 UTC with nanoseconds, "container", "line"}, and where they hold: "previous": true (the
        run before the last restart), "level", "message" (where it is not the line itself), "fields", "head" (timestamp of the
        same container's line that this one continues, such as a stack trace), "line_base64" (the exact bytes of a line that is
        not UTF-8), "partial": true (the last line had no end yet), "truncated": true, "timestamp_raw" (as the node wrote it,
        when not in UTC).
        """
        findings = Findings()
        capture = PodLogs(question, sources, await sources.kubernetes(), findings)
        yield Document(
            category="logs",
            source="kubernetes",
            name=("kubernetes", capture.pod, sources.namespace),
            metadata={
                "pod": capture.pod,
                "namespace": sources.namespace,
                "pod_uid": question.arguments["uid"],
                "node": question.node,
                "containers": sorted({run.container for run in capture.runs}),
            },
            batches=capture.batches(),
            findings=findings,
        )


class PodLogs:
    """The logs of one pod: every run read to its end, then all in one order."""

    def __init__(self, question: Question, sources: Sources, kubernetes: Kubernetes, findings: Findings) -> None:
        self.question = question
        self.sources = sources
        self.kubernetes = kubernetes
        self.findings = findings
        self.pod: str = question.arguments["pod"]
        self.runs = [Run(**run) for run in question.arguments["runs"]]
        self.limits = LogLimits(**question.arguments["limits"])
        self.via: dict[str, str] = {}
        self._finished: set[str] = set()
        self._pod_path = f"/api/v1/namespaces/{sources.namespace}/pods/{self.pod}"

    async def batches(self) -> AsyncGenerator[Encoded, None]:
        """The entries. When the Investigation is over before all was read, what was read comes all the same."""
        for run in self.runs:
            if run.not_started is not None:
                self._miss(f"{self.question.target} {run}", GapReason.CONTAINER_NOT_STARTED, run.not_started)
        logs = [self._log(run) for run in self.runs if run.not_started is None]
        cancelled: asyncio.CancelledError | None = None
        merging = self.sources.parsers.merging
        try:
            try:
                await self._read_all(logs)
            except asyncio.CancelledError as e:
                if not self.sources.interrupted():
                    raise
                cancelled = e
                for log in logs:
                    if str(log.run) not in self._finished:
                        _say_unfinished(log)
            await self._conclude(logs)
            try:
                await merging.acquire()
            except asyncio.CancelledError as e:
                if not self.sources.interrupted():
                    raise
                cancelled = e
                await merging.acquire()
            try:
                merged = merge([log.spool.blocks() for log in logs]) if logs else iter(())
                while (block := await asyncio.to_thread(next, merged, None)) is not None:
                    yield block
            finally:
                merging.release()
            if cancelled is not None:
                raise cancelled
        finally:
            for log in logs:
                await log.close()

    def _log(self, run: Run) -> RunLog:
        return RunLog(
            run=run,
            window=self.sources.window,
            limits=self.limits,
            scratch=self.sources.scratch,
            parsers=self.sources.parsers,
            form="api",
            target=self.question.target,
        )

    async def _read_all(self, logs: list[RunLog]) -> None:
        if not logs:
            return
        directories = await self._directories({log.run.container for log in logs})
        await asyncio.gather(*(self._read(log, directories.get(log.run.container)) for log in logs))
        if any(self.via[str(log.run)] == "api" for log in logs):
            await self._check_replaced()

    async def _directories(self, containers: set[str]) -> dict[str, Directory]:
        """Where the node has the containers' files; none where they may not, or cannot, be read."""
        via, node, kubelets = self.question.arguments["via"], self.question.node, self.sources.kubelets
        if via == "api" or node is None:
            return {}
        if kubelets is None:
            self._explain_api("an admin has not allowed it (chart value nodeLogs.enabled)")
            return {}
        try:
            await self._authorize()
            address = await kubelets.address(node)
        except SourceError as e:
            self._explain_api(e.message)
            return {}
        uid = self.question.arguments["directory_uid"]
        return {
            container: Directory.of(kubelets, address, self.sources.namespace, self.pod, uid, container)
            for container in containers
        }

    async def _authorize(self) -> None:
        """Ask the API server whether the Investigation's identity may read this pod's log. Raises SourceError."""
        attributes = {
            "namespace": self.sources.namespace,
            "verb": "get",
            "resource": "pods",
            "subresource": "log",
            "name": self.pod,
        }
        if not await self.kubernetes.may(attributes):
            raise Rejected(f"this identity may not get pods/log of pod {self.pod}", GapReason.FORBIDDEN)

    async def _read(self, log: RunLog, directory: Directory | None) -> None:
        """One run to its end, from the node where it can be."""
        if directory is not None:
            await log.begin_again("cri")
            self.via[str(log.run)] = "node"
            try:
                async with directory.kubelets.turn(directory.address):
                    await read_by_node(log, directory)
                self._finished.add(str(log.run))
                return
            except SourceError as e:
                self._explain_api(e.message)
            await log.begin_again("api")
        self.via[str(log.run)] = "api"
        await read_by_api(log, self.kubernetes, f"{self._pod_path}/log")
        self._finished.add(str(log.run))
        await log.settle()
        await check_rotation(log, self.kubernetes, f"{self._pod_path}/log")

    def _explain_api(self, why: str) -> None:
        if self.question.arguments["via"] == "node":
            self._miss(self.question.target, GapReason.NODE_LOGS_UNAVAILABLE, f"read by the pods/log API instead: {why}")

    async def _check_replaced(self) -> None:
        """The API knows pods by name: a pod of the same name may have taken the place of the one that was meant."""
        uid = self.question.arguments["uid"]
        try:
            found = await self.kubernetes.get(self._pod_path, accept=METADATA_ONLY_OBJECT)
        except SourceError:
            return  # what was read is of the pod that was meant: had it been replaced, there would be one
        if found["metadata"].get("uid") != uid:
            message = f"the pod with uid {uid} was replaced by one of the same name, uid {found['metadata'].get('uid')}:"
            self._miss(self.question.target, GapReason.POD_REPLACED, f"{message} the log may be the new pod's")

    async def _conclude(self, logs: list[RunLog]) -> None:
        """Budgets, gaps and summary, once nothing more comes."""
        count = LevelCount()
        for log in logs:
            parser = await log.finish()
            self.findings.missing += log.missing
            count.merge(parser.count)
        shares = share([log.spool.size_bytes for log in logs], self.limits.bytes_per_pod)
        for log, max_bytes in zip(logs, shares, strict=True):
            await asyncio.to_thread(log.spool.finish, min(max_bytes, self.limits.bytes_per_container))
            self._say_dropped(log)
        total, kept = Counter[int](), Counter[int]()
        for log in logs:
            total += log.spool.total
            kept += log.spool.kept
        self.findings.summary = count.summary()
        self.findings.metadata |= {
            "levels": dict(count.levels),
            "via": {name: self.via[name] for name in sorted(self.via)},
            "kept": _by_level(kept),
            "dropped": _by_level(total - kept),
        }

    def _say_dropped(self, log: RunLog) -> None:
        total, kept = log.spool.total.total(), log.spool.kept.total()
        if total == kept or not log.spool.over_budget:
            return
        dropped = _by_level(log.spool.total - log.spool.kept)
        what = ", ".join(f"{number} {level}" for level, number in dropped.items())
        self._miss(
            f"{self.question.target} {log.run}",
            GapReason.BUDGET_EXCEEDED,
            f"{kept} of {total} lines were kept, errors first and an even sample of the rest; dropped: {what}."
            " Raise spec.logs.limits, or narrow the window",
        )

    def _miss(self, target: str, reason: GapReason, message: str) -> None:
        missing = Missing(target, reason, message)
        if missing not in self.findings.missing:
            self.findings.missing.append(missing)


def _ended_before(terminated: dict[str, Any], moment: datetime) -> bool:
    """Whether a run surely ended before: its time has whole seconds."""
    finished = terminated.get("finishedAt")
    return finished is not None and datetime.fromisoformat(finished) + timedelta(seconds=1) < moment


def _say_unfinished(log: RunLog) -> None:
    until = f"when it had been read to {log.position.last}" if log.position.last else "before its first line came"
    log.say(GapReason.LOG_INCOMPLETE, f"the Investigation was over {until}")


def _by_level(codes: Counter[int]) -> dict[str, int]:
    """Counts by level, the worst first; `none` for lines without."""
    return {LEVEL_CODES[code] or "none": codes[code] for code in sorted(codes, reverse=True) if codes[code]}


def pod_limits(request: LogsRequest, pods: int) -> LogLimits:
    """The budgets of each of so many pods."""
    limits = request.limits
    return LogLimits(
        bytes_per_container=parse_bytes(limits.bytes_per_container),
        bytes_per_pod=parse_bytes(limits.bytes_per_investigation) // max(1, pods),
        max_line_bytes=parse_bytes(limits.line_bytes),
        sample_percent=request.sample_percent,
    )


def container_runs(pod: dict[str, Any], wanted: set[str] | None, request: LogsRequest, start: datetime) -> list[Run]:
    """Every run of the pod's containers that is asked for and has, or should have, a log in a window with this start."""
    runs = []
    known = set()
    status = pod.get("status") or {}
    for specs, statuses, asked in (
        ("initContainers", "initContainerStatuses", request.init_containers),
        ("containers", "containerStatuses", True),
        ("ephemeralContainers", "ephemeralContainerStatuses", request.ephemeral_containers),
    ):
        states = {state["name"]: state for state in status.get(statuses) or []}
        for container in pod["spec"].get(specs) or []:
            name = container["name"]
            known.add(name)
            if wanted is not None:
                asked = asked or name in wanted
            if (wanted is None or name in wanted) and asked and is_selected(name, states.get(name), request):
                runs += _runs_of(name, states.get(name), status, start if request.previous else None)
    runs += [Run(name, not_started=f"the pod has no container {name}") for name in sorted((wanted or set()) - known)]
    return runs


def is_selected(name: str, container: dict[str, Any] | None, request: LogsRequest) -> bool:
    """Whether a container's name and state are among those that are asked for."""
    if request.container is not None and not compile_expression(request.container).search(name):
        return False
    if any(compile_expression(expression).search(name) for expression in request.exclude_container or ()):
        return False
    state = next(iter((container or {}).get("state") or {}), "waiting")
    return request.container_states is None or state in request.container_states


def _runs_of(
    name: str, container: dict[str, Any] | None, pod_status: dict[str, Any], previous_since: datetime | None
) -> list[Run]:
    """`previous_since`: a previous run is wanted where it ended then or later; None: it is not."""
    state = (container or {}).get("state") or {}
    last = ((container or {}).get("lastState") or {}).get("terminated")
    present = state["running"] if "running" in state else state.get("terminated")
    if present is not None:
        run = Run(name, started_at=present.get("startedAt"))
        before = last
        if before is None and (container or {}).get("restartCount"):  # the node has removed it, and perhaps its log
            before = {"finishedAt": present.get("startedAt")}
        if before is None or previous_since is None or _ended_before(before, previous_since):
            return [run]
        return [Run(name, previous=True, started_at=before.get("startedAt")), run]
    if last is not None:
        return [Run(name, started_at=last.get("startedAt"))]  # waits to be restarted: the present log is that of the last run
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or pod_status.get("reason") or pod_status.get("phase") or "no status yet"
    detail = waiting.get("message") or pod_status.get("message")
    return [Run(name, not_started=f"the container never started: {reason}" + (f": {detail}" if detail else ""))]
