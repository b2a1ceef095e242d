"""Kubernetes events over the window: one document for the targets, their owners, nodes and volumes.

Speaks GET /api/v1/namespaces/{namespace}/events: one list of the namespace without the events of Investigations and, if
nodes are requested, one of `default`, which has the events of objects without a namespace. core/v1 also serves events that were
written as events.k8s.io/v1, with `eventTime` and `series`.

Also finds pods that lived within the window and are gone, by the names that controllers generate and by their events.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from aletheia_operator.api import EventsRequest, InvestigationSpec, Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.types import NAME_PATTERN
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Plan, Question, Sources
from aletheia_operator.fetchers.kubernetes.event_list import Events, related_of, subject_of
from aletheia_operator.fetchers.kubernetes.expired_events import expired
from aletheia_operator.fetchers.kubernetes.gone_pods import GonePod
from aletheia_operator.fetchers.kubernetes.members import ABSENT, members_of
from aletheia_operator.fetchers.kubernetes.related import autoscalers_of, claims_of
from aletheia_operator.fetchers.kubernetes.resources import Object, gap_of_extra, read_all
from aletheia_operator.fetchers.kubernetes.subjects import CLUSTER_KINDS, Subjects
from aletheia_operator.fetchers.kubernetes.targets import describe
from aletheia_operator.text.sizes import counted
from aletheia_operator.text.timestamps import format_time

MAX_GONE = 500
GONE_PODS = "which pods came and went"
CLUSTER_EVENTS_NAMESPACE = "default"
NOT_OURS = "involvedObject.kind!=Investigation"  # a storm of Investigations leaves events by the thousand
FEW_NODES = 3  # events of up to so many nodes are listed by name; for more, all nodes' are listed and filtered
_WORDS = {"Node": "events of nodes", "PersistentVolume": "events of volumes"}


class KubernetesEventsFetcher:
    """Captures the events of the targets and of what belongs to them."""

    name = "KubernetesEvents"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """Return one question for all targets. If only logs are requested, it only finds pods that lost their logs."""
        keep = spec.of_targets("events")
        follows = any(target.pod is None for target in spec.targets or [])
        if not keep and not (follows and spec.of_targets("logs")):
            return Plan()
        await sources.kubernetes()  # the gap for an unusable identity is equal in all fetchers, and reported once
        request = spec.events or EventsRequest(nodes=True)
        arguments = {
            "targets": [target.to_json() for target in spec.targets or []],
            "nodes": keep and request.nodes,
            "keep": keep,
            "logs": spec.of_targets("logs"),
            "reports_absent": not spec.of_targets("logs") and not spec.of_targets("objects"),
        }
        return Plan((Question(self.name, self.name, _subject_of(arguments), arguments),))

    def smaller(self, question: Question) -> Question | None:
        """Return the question which pods are gone, without the events: of these pods no log was asked for; or None."""
        if not (question.arguments["keep"] and question.arguments["logs"]):
            return None
        arguments = {**question.arguments, "keep": False, "nodes": False}
        return replace(question, key=f"{question.key}/gone", target=_subject_of(arguments), arguments=arguments)

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the document. Entries, in order of their first time: {"first", "last", "count", "type", "reason", "message",
        "object": {"kind", "namespace", "name", "uid", ...}, "raw": [the API's equal events]}.
        """
        search = _Search(question.arguments, sources, await sources.kubernetes())
        await search.run()
        request = {"namespace": sources.namespace, "targets": [describe(target) for target in search.targets]}
        missing = search.missing
        if search.keep and (search.subjects.exist or search.events.found):
            oldest = search.events.oldest
            metadata = {
                **request,
                "oldest_event": format_time(oldest) if oldest else None,
                "pods_gone": [pod.to_json() for pod in search.gone.values()],
            }
            outcome = Outcome(search.events.summary(), missing, redactions=search.redactor.counts)
            yield _document(sources.namespace, metadata, search.events.batches(), outcome)
            missing = []
        if question.arguments["logs"]:
            missing = missing + _gaps(search.gone)
        if missing:  # a separate document: the events are complete
            yield _document(sources.namespace, request, _nothing(), Outcome(missing=missing))


class _Search:
    """Reads the events of one question, and finds pods that are gone."""

    def __init__(self, arguments: Mapping[str, Any], sources: Sources, kubernetes: Kubernetes) -> None:
        self.targets = [Target.model_validate(target) for target in arguments["targets"]]
        self.subject = _subject_of(arguments)
        self.keep: bool = arguments["keep"]
        self.nodes: bool = arguments["nodes"]
        self.reports_absent: bool = arguments["reports_absent"]
        self.sources = sources
        self.kubernetes = kubernetes
        self.subjects = Subjects(self.targets)
        self.events = Events(sources.window)
        self.redactor = sources.redactor.another()
        self.gone: dict[str, GonePod] = {}
        self.missing: list[Missing] = []

    async def run(self) -> None:
        """Read what belongs to the targets, then the namespace's events, then those of nodes and volumes."""
        await self._find_subjects()
        whole = await self._read_namespace()
        self.gone = await asyncio.to_thread(self.subjects.find_gone_pods, self.events)
        for kind in CLUSTER_KINDS if self.nodes else ():
            await self._read_cluster(kind)
        await asyncio.to_thread(self._settle, whole)

    def _settle(self, whole: bool) -> None:
        """Keep the events of what is known now, without secrets. `whole`: all events of the namespace were read. Blocks."""
        self.events.keep(self.subjects.known)
        if not self.keep:
            return
        self.events.redact(self.redactor)
        self.missing += self.events.too_many()
        if whole:
            self.missing += expired(self.events, self.subjects.expected, self.sources.now())

    async def _find_subjects(self) -> None:
        members, missing = await (await members_of(self.sources, self.targets)).all()
        await asyncio.to_thread(self.subjects.add_members, members)
        if not self.keep:
            return
        of_others = (GapReason.BUDGET_EXCEEDED, *(() if self.reports_absent else ABSENT))  # gaps that other fetchers report
        self.missing += [gap for gap in missing if gap.reason not in of_others]
        autoscalers, missing = await autoscalers_of(self.sources, self.targets)
        self.missing += missing
        claims: Iterable[Object] = ()
        if self.nodes:
            claims, missing = await claims_of(self.sources, self.targets)
            self.missing += missing
        await asyncio.to_thread(self.subjects.add_related, autoscalers, claims)

    async def _read_namespace(self) -> bool:
        """Keep the events of subjects and of possible subjects. Returns whether all could be read."""
        may_know, is_known = self.subjects.may_know, self.subjects.is_known

        def see(events: list[Object]) -> None:
            for event in events:
                self.events.update_oldest(event)
                subject, related = subject_of(event), related_of(event)
                if subject[0] not in CLUSTER_KINDS and (may_know(subject) or may_know(related)):
                    self.events.add(event, sure=is_known(subject) or is_known(related))

        query = {"fieldSelector": NOT_OURS}
        try:
            async for _ in read_all(self.kubernetes, "Event", self.sources.namespace, see, query):
                pass
        except SourceError as e:
            self.missing.append(Missing(self.subject, e.reason, e.message))
            return False
        return True

    async def _read_cluster(self, kind: str) -> None:
        """Keep the events of the known nodes or volumes."""
        names = {name for name in self.subjects.names(kind) if re.fullmatch(NAME_PATTERN, name)}
        lost = [pod for pod in self.gone.values() if pod.node is None and pod.lost_its_node] if kind == "Node" else []
        if not names and not lost:
            return
        selector = f"involvedObject.kind={kind}"
        few = not lost and len(names) <= FEW_NODES
        selectors = [f"{selector},involvedObject.name={name}" for name in sorted(names)] if few else [selector]

        def see(events: list[Object]) -> None:
            for event in events:
                subject = subject_of(event)
                if subject not in self.subjects.known and any(pod.may_explain(event) for pod in lost):
                    self.subjects.known.add(subject)
                if subject in self.subjects.known:
                    self.events.add(event)

        try:
            for selector in selectors:
                query = {"fieldSelector": selector}
                async for _ in read_all(self.kubernetes, "Event", CLUSTER_EVENTS_NAMESPACE, see, query):
                    pass
        except SourceError as e:
            self.missing.append(gap_of_extra(_WORDS[kind], e))


def _document(namespace: str, metadata: dict[str, Any], batches: AsyncGenerator[list[Any], None], outcome: Outcome) -> Document:
    return Document("events", "kubernetes", ("kubernetes", namespace), metadata, batches, outcome)


async def _nothing() -> AsyncGenerator[list[Any], None]:
    yield []


def _subject_of(arguments: Mapping[str, Any]) -> str:
    """Return what is not known without an answer: the events, the pods that are gone, or both."""
    if not arguments["keep"]:
        return GONE_PODS
    return f"events, and {GONE_PODS}" if arguments["logs"] else "events"


def _gaps(gone: Mapping[str, GonePod]) -> list[Missing]:
    gaps = [Missing(f"pod/{pod.name}", GapReason.POD_GONE, pod.message()) for pod in list(gone.values())[:MAX_GONE]]
    if len(gone) > MAX_GONE:
        gaps.append(Missing("pods", GapReason.POD_GONE, f"{counted(len(gone) - MAX_GONE, 'more pod')} gone, with all logs"))
    return gaps
