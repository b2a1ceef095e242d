"""Kubernetes events over the window: one document for the targets, their owners, nodes and volumes.

Speaks GET /api/v1/namespaces/{namespace}/events: one list of the namespace and, where nodes are asked for, of `default`,
where events of what has no namespace lie. core/v1 also serves what was written as events.k8s.io/v1, with `eventTime` and
`series`.

Pods that lived within the window and are gone are found here, by the names that controllers give and by their events.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from aletheia_operator.api import EventsRequest, InvestigationSpec, Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Document, Findings, Missing, Plan, Question, Sources
from aletheia_operator.fetchers.kubernetes.event_list import Events, related_of, subject_of
from aletheia_operator.fetchers.kubernetes.members import ABSENT, read_all
from aletheia_operator.fetchers.kubernetes.subjects import Gone, Subjects
from aletheia_operator.fetchers.kubernetes.targets import describe
from aletheia_operator.text.timestamps import format_time

MAX_GONE = 500
CLUSTER_EVENTS_NAMESPACE = "default"


class KubernetesEventsFetcher:
    """Events of the targets and of what belongs to them."""

    name = "KubernetesEvents"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        """One question for all targets. Where logs alone are asked for, it is only which pods' logs are gone."""
        keep = spec.of_targets("events")
        follows = any(target.pod is None for target in spec.targets or [])
        if not keep and not (follows and spec.of_targets("logs")):
            return Plan()
        await sources.kubernetes()  # an identity that may not be used is the same gap for every fetcher, so it is said once
        request = spec.events or EventsRequest(nodes=True)
        arguments = {
            "targets": [target.to_json() for target in spec.targets or []],
            "nodes": keep and request.nodes,
            "keep": keep,
            "logs": spec.of_targets("logs"),
            "says_absent": not spec.of_targets("logs") and not spec.of_targets("objects"),
        }
        return Plan((Question(self.name, self.name, "events" if keep else "pods that are gone", arguments),))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        """Yield the document. Entries, in order of their first time: {"first", "last", "count", "type", "reason", "message",
        "object": {"kind", "namespace", "name", "uid", ...}, "raw": [the API's events that say the same]}.
        """
        kubernetes = await sources.kubernetes()
        arguments = question.arguments
        targets = [Target.model_validate(target) for target in arguments["targets"]]
        subjects = Subjects(targets, sources.window)
        missing: list[Missing] = []
        await subjects.read(kubernetes, sources.namespace, missing if arguments["keep"] else [])
        if arguments["keep"]:
            await subjects.read_related(kubernetes, sources.namespace, missing, volumes=arguments["nodes"])
        events = Events(sources.window)
        what = "events" if arguments["keep"] else "which pods came and went"
        await _read(kubernetes, sources.namespace, subjects, events, missing, what)
        if arguments["nodes"]:
            await _read_of_cluster(kubernetes, subjects, events, missing)
        gone = subjects.gone(events)
        events.keep(subjects.known | {("Pod", name) for name in gone})
        missing = [one for one in missing if arguments["says_absent"] or one.reason not in ABSENT]
        if arguments["keep"]:
            missing += events.incomplete(sources.now())
        asked = {"namespace": sources.namespace, "targets": [describe(target) for target in targets]}
        if arguments["keep"] and (subjects.exist or events.found):
            oldest = format_time(events.oldest) if events.oldest else None
            pods_gone = [one.to_json() for one in gone.values()]
            metadata = {**asked, "oldest_event": oldest, "pods_gone": pods_gone}
            yield _document(sources.namespace, metadata, events.batches(), Findings(events.summary(), missing))
            missing = []
        if arguments["logs"]:
            missing += _gaps(gone)
        if missing:  # nothing of this is missing from the events
            yield _document(sources.namespace, asked, _nothing(), Findings(missing=missing))


def _document(
    namespace: str, metadata: dict[str, Any], batches: AsyncGenerator[list[Any], None], findings: Findings
) -> Document:
    return Document("events", "kubernetes", ("kubernetes", namespace), metadata, batches, findings)


async def _nothing() -> AsyncGenerator[list[Any], None]:
    yield []


async def _read(
    kubernetes: Kubernetes, namespace: str, subjects: Subjects, events: Events, missing: list[Missing], what: str
) -> None:
    """The namespace's events that are of a subject, or of what may turn out to be one."""
    try:
        async for event in read_all(kubernetes, "Event", namespace):
            events.see(event)
            if subjects.may_know(subject_of(event)) or subjects.may_know(related_of(event)):
                subjects.learn(event)
                events.add(event)
    except SourceError as e:
        missing.append(Missing(what, e.reason, e.message))


async def _read_of_cluster(kubernetes: Kubernetes, subjects: Subjects, events: Events, missing: list[Missing]) -> None:
    """Events of nodes and volumes: one list of each kind, of which the subjects' are kept."""
    for kind, what in (("Node", "events of nodes"), ("PersistentVolume", "events of volumes")):
        if not any(known == kind for known, _ in subjects.known):
            continue
        query = {"fieldSelector": f"involvedObject.kind={kind}"}
        try:
            async for event in read_all(kubernetes, "Event", CLUSTER_EVENTS_NAMESPACE, query):
                if subject_of(event) in subjects.known:
                    events.add(event)
        except SourceError as e:
            missing.append(Missing(what, e.reason, e.message))


def _gaps(gone: Mapping[str, Gone]) -> list[Missing]:
    gaps = [Missing(f"pod/{one.name}", GapReason.POD_GONE, one.message()) for one in list(gone.values())[:MAX_GONE]]
    if len(gone) > MAX_GONE:
        gaps.append(Missing("pods", GapReason.POD_GONE, f"{len(gone) - MAX_GONE} more pods are gone, and their logs with them"))
    return gaps
