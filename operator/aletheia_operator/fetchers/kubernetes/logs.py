"""The Kubernetes logs fetcher: selects pods and containers, and makes one document for each pod."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from aletheia_operator.api import InvestigationSpec, LogsRequest, parse_bytes
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Plan, Question, Sources
from aletheia_operator.fetchers.kubernetes.containers import ContainerState, requested_containers
from aletheia_operator.fetchers.kubernetes.logs_by_node import directory_uid
from aletheia_operator.fetchers.kubernetes.members import Member, members_of
from aletheia_operator.fetchers.kubernetes.node_health import NodeHealth
from aletheia_operator.fetchers.kubernetes.pod_logs import PodLogs
from aletheia_operator.fetchers.kubernetes.references import MIRROR
from aletheia_operator.fetchers.kubernetes.run_log import LogLimits
from aletheia_operator.fetchers.kubernetes.targets import describe


class KubernetesLogsFetcher:
    """Captures the logs of the pods that the targets select."""

    name = "KubernetesLogs"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """Return one question for each pod, and a gap for each target that selects no pod or may not be read."""
        if spec.targets is None or not spec.of_targets("logs"):
            return Plan()
        request = spec.logs or LogsRequest()
        pods: dict[str, Member] = {}
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
                pods.setdefault(uid, pod)
                names = set(target.containers) if target.containers else None
                before = wanted.get(uid, set())
                wanted[uid] = None if names is None or before is None else before | names
        limits = pod_limits(request, len(pods))

        def questions() -> Iterator[Question]:
            for uid, member in pods.items():
                with member.item() as pod:
                    containers = requested_containers(pod, wanted[uid], request)
                    yield self._question(pod, containers, request, limits, sources.now())

        return Plan(await asyncio.to_thread(tuple, questions()), tuple(missing))

    def _question(
        self, pod: dict[str, Any], containers: list[ContainerState], request: LogsRequest, limits: LogLimits, now: datetime
    ) -> Question:
        metadata = pod["metadata"]
        arguments = {
            "pod": metadata["name"],
            "uid": metadata["uid"],
            "directory_uid": directory_uid(metadata["uid"], (metadata.get("annotations") or {}).get(MIRROR)),
            "containers": [container.to_json() for container in containers],
            "planned_at": now.timestamp(),
            "previous": request.previous,
            "limits": asdict(limits),
            "via": request.via,
        }
        key, target = f"{self.name}/{metadata['uid']}", f"pod/{metadata['name']}"
        return Question(self.name, key, target, arguments, gives_logs=True, node=pod["spec"].get("nodeName"))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the pod's document.

        Entries: {"timestamp": RFC 3339 UTC with nanoseconds, "container", "run" (how often the container had been restarted
        before), "line"}. Optional: "previous": true (a run before the latest), "stream" (stdout or stderr, if read from the
        node), "level", "message" (if it is not the line itself), "fields", "head" (timestamp of the line of the same run that
        this one continues, for example in a stack trace), "line_base64" (the exact bytes of a line that is not UTF-8),
        "partial": true (the line had no end), "truncated": true, "timestamp_raw" (as the node wrote it, if not in UTC).
        "timestamp" is null in a line of a node's file without a time, and in an error message of the node in place of a log.
        """
        outcome = Outcome()
        pod_logs = PodLogs(question, sources, await _health_of(question.node, sources), outcome)
        yield Document(
            category="logs",
            source="kubernetes",
            name=("kubernetes", pod_logs.pod, sources.namespace),
            metadata={
                "pod": pod_logs.pod,
                "namespace": sources.namespace,
                "pod_uid": question.arguments["uid"],
                "node": question.node,
                "containers": pod_logs.names,
            },
            batches=pod_logs.batches(),
            outcome=outcome,
            is_stored=True,
        )


async def _health_of(node: str | None, sources: Sources) -> NodeHealth:
    """Return the health of a node, which all questions of the capture share."""

    async def make() -> NodeHealth:
        return NodeHealth(await sources.kubernetes(), node)

    return await sources.memo.get(("health of node", node), make)


def pod_limits(request: LogsRequest, pods: int) -> LogLimits:
    """Return the budgets of each pod. `pods`: the number of all pods, which share the total."""
    limits = request.limits
    return LogLimits(
        bytes_per_container=parse_bytes(limits.bytes_per_container),
        bytes_per_pod=parse_bytes(limits.bytes_per_investigation) // max(1, pods),
        max_line_bytes=parse_bytes(limits.line_bytes),
        sample_percent=request.sample_percent,
    )
