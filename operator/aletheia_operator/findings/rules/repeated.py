"""Rule for warning events that are repeated until the end of the window, and that no other rule explains.

Reads the findings of the other rules. Events of nodes count only while pods of that node alone have trouble, since healthy
nodes have warnings too. Events of other objects are errors if the object belongs to a workload by its name or its words.
"""

import heapq
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from aletheia_operator.findings.case import Case, clock, earlier, seconds_between
from aletheia_operator.findings.error_categories import category_of
from aletheia_operator.findings.events import Event, names_trouble
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Severity, Subject
from aletheia_operator.findings.reason_lines import gives_reason
from aletheia_operator.findings.rules.unexplained import is_explained

MAX_QUOTED = 150
LEAST = 3  # events
MOST = 100
"""Maximum number of objects and reasons that are judged. Each is compared with all others."""
NEAR_SECONDS = 600.0
"""Time between the first event of a node and the first trouble of its pods, if one may be the cause of the other."""
_KUBERNETES = frozenset({
    "Pod", "Node", "Service", "Ingress", "HorizontalPodAutoscaler", "PersistentVolumeClaim", "PersistentVolume", "Deployment",
    "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController", "PodDisruptionBudget", "Namespace",
    "Endpoints", "EndpointSlice", "ConfigMap", "Secret", "ServiceAccount", "Lease", "NetworkPolicy", "ResourceQuota",
})  # fmt: skip
"""Kinds of Kubernetes itself. Others are custom resources: no other rule reads their events."""
_KNOWN = frozenset({
    "Unhealthy", "ProbeWarning", "BackOff", "Failed", "FailedScheduling", "FailedMount", "FailedAttachVolume", "FailedCreate",
    "FailedCreatePodSandBox", "FailedPostStartHook", "ErrImageNeverPull", "InspectFailed", "FailedBinding",
    "ProvisioningFailed", "FailedMapVolume", "FailedGetContainerResourceMetric",
    "FailedToRetrieveImagePullSecret", "FailedGetResourceMetric", "FailedComputeMetricsReplicas", "FailedGetExternalMetric",
    "FailedGetPodsMetric", "FailedGetObjectMetric", "FailedSync", "ImageGCFailed", "FreeDiskSpaceFailed", "ContainerGCFailed",
    "BackoffLimitExceeded", "DeadlineExceeded", "FailedNeedsStart", "FailedToUpdateEndpointSlices", "FailedToUpdateEndpoint",
    "FailedDaemonPod", "FailedPlacement", "SandboxChanged", "InvalidDiskCapacity", "InvalidSchedule",
    "NodeNotReady", "Rebooted", "SystemOOM", "OOMKilling", "EvictionThresholdMet", "CheckLimitsForResolvConf",
    "CalculateExpectedPodCountFailed",
})  # fmt: skip
"""Reasons of events of Kubernetes' own kinds that other rules read, or that healthy clusters have."""
_NOISE = re.compile(r"the object has been modified|please apply your changes to the latest version", re.IGNORECASE)
_NOISY = re.compile(r"Violation|Drain|ScaleDown|Cordon|Conflict$|Disruption|Consolidat")
"""Reasons that say what a cluster's policies forbid, or how its nodes are replaced."""
_OWN_OBJECTS = ("Service", "Ingress", "HorizontalPodAutoscaler", "PersistentVolumeClaim")
"""Kinds of objects that are faulty themselves, though a workload's pods stand behind them."""
_CERTIFICATES = ("Certificate", "CertificateRequest", "Order", "Challenge")
"""Kinds of objects by which certificates are issued."""
_NOT_RENEWED = re.compile(r"expired|not yet valid|self[- ]signed|unknown (?:authority|ca)|valid for", re.IGNORECASE)
_NAMED = re.compile(r"[\"'/]([a-z0-9][a-z0-9-]{2,62})(?=[\"'/:,. ]|$)")
"""Names of objects in a message: quoted, or after their namespace."""


@dataclass
class _Repeated:
    """The events of one object with one reason."""

    about: Subject
    reason: str
    events: list[Event]

    @property
    def count(self) -> int:
        return sum(event.count for event in self.events)

    @property
    def first(self) -> str | None:
        return earlier(*(event.first for event in self.events))

    @cached_property
    def latest(self) -> Event:
        return max(self.events, key=lambda event: event.last)

    @property
    def says_trouble(self) -> bool:
        """Whether the reason or the last message names what is wrong."""
        message = self.latest.message
        return names_trouble(self.reason) or bool(category_of(message)) or gives_reason(message)

    @property
    def words(self) -> str:
        latest = excerpt(self.latest.message, MAX_QUOTED)
        return f"{self.reason}: {latest} ({self.count}x since {clock(self.first)})"


def warning_events(case: Case, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the warnings about each object that are repeated until the end of the window. `found`: all findings."""
    made: list[tuple[_Repeated, Finding]] = []
    unexplained = ((repeated, subject) for repeated, subject in _of_unhealthy(case) if not _explained(found, repeated, subject))
    for repeated, subject in heapq.nsmallest(MOST, unexplained, key=lambda pair: _order(case, pair[0])):
        about = repeated.about
        finding = _of_node(case, found, repeated) if about.kind == "Node" else _of_object(case, found, subject, repeated)
        if finding is not None:
            made.append((repeated, finding))
    for repeated, finding in made:
        quoted = {other.about.name for other, _ in made if other.about.name in repeated.latest.message} - {repeated.about.name}
        if quoted:  # an object repeats what another one waits for
            finding.callees |= quoted
            finding.depth += 1
    yield from (finding for _, finding in made)


def _of_unhealthy(case: Case) -> Iterator[tuple[_Repeated, Subject]]:
    """Yield the events of objects that are not known to be healthy, and what they are reported about.

    Also leaves out those of pods that are gone, if what created them is healthy: a rollout replaced them.
    """
    for repeated in _repeated(case):
        about = repeated.about
        subject = about if about.kind in _OWN_OBJECTS else case.workload(about)
        is_replaced = about.kind == "Pod" and case.is_gone(about.name) and case.is_healthy(subject)
        if not is_replaced and not case.is_healthy(about):
            yield repeated, subject


def _explained(found: Sequence[Finding], repeated: _Repeated, subject: Subject) -> bool:
    return is_explained(found, subject, {repeated.about.name})


def _order(case: Case, repeated: _Repeated) -> tuple[bool, bool, int, str, str, str]:
    """Sort events: Kubernetes' own kinds and certificates first, then what began in the window, then the most frequent."""
    about, began = repeated.about, case.in_window(repeated.first)
    is_other = about.kind not in _KUBERNETES and about.kind not in _CERTIFICATES
    return is_other, not began, -repeated.count, about.kind, about.name, repeated.reason


def _repeated(case: Case) -> Iterator[_Repeated]:
    """Yield the events that may be trouble, by object and reason, if there are LEAST, and if they go on."""
    found: dict[tuple[Subject, str], list[Event]] = defaultdict(list)
    for event in case.evidence.events.events:
        kind = event.subject.kind
        known = kind in _KUBERNETES and event.reason in _KNOWN
        trouble = names_trouble(event.reason) or (event.warning and (kind in ("Pod", "Node") or kind not in _KUBERNETES))
        if trouble and not known and not _NOISY.search(event.reason) and not _NOISE.search(event.message):
            found[event.subject, event.reason].append(event)
    for (about, reason), same in found.items():
        repeated = _Repeated(about, reason, same)
        if repeated.count >= LEAST and any(map(case.lasts, same)):
            yield repeated


def _of_node(case: Case, found: Sequence[Finding], repeated: _Repeated) -> Finding | None:
    """Return the finding about a node that may explain the trouble of its pods; None if they have none, or had it before."""
    on_node = {pod for pod, node in case.evidence.objects.nodes.items() if node == repeated.about.name}
    pods: set[str] = set()
    for finding in found:
        apart = seconds_between(repeated.first, finding.first_seen)
        if finding.severity != "info" and finding.pods and finding.pods <= on_node and apart is not None:
            pods |= finding.pods if abs(apart) <= NEAR_SECONDS else set()
    if not pods or not case.in_window(repeated.first):
        return None
    name = repeated.about.name
    finding = _finding(repeated, repeated.about, f"node {name}: {repeated.words}", "error", depth=0)
    finding.pods, finding.nodes = frozenset(pods), frozenset([name])
    return finding


def _of_object(case: Case, found: Sequence[Finding], subject: Subject, repeated: _Repeated) -> Finding | None:
    """Return the finding about another object: an error if it belongs to a workload and began in the window.

    None if it is a custom resource of no workload, and its events began before the window; or if its events do not say what is
    wrong, and no unhealthy workload belongs to it.
    """
    about = repeated.about
    of, began = _workload_of(case, repeated), case.in_window(repeated.first)
    consequences = _not_renewed(found) if about.kind in _CERTIFICATES else []
    if about.kind not in _KUBERNETES and not consequences:
        is_of_healthy = of is None or case.is_healthy(of)
        if (of is None and not began) or (is_of_healthy and not repeated.says_trouble):
            return None
    scales = about.kind == "HorizontalPodAutoscaler"
    severity: Severity = "error" if about.kind == "Pod" or (of is not None and (began or scales)) else "warning"
    depth = 32 if scales else 10 if about.kind in _CERTIFICATES else 12
    finding = _finding(repeated, subject, f"{subject.name}: {repeated.words}", severity, depth)
    finding.of = of if scales else None
    finding.aside = not began and of is None and not consequences
    finding.pods = frozenset([about.name]) if about.kind == "Pod" else frozenset()
    for consequence in consequences:
        consequence.callees |= {subject.name}
    return finding


def _finding(repeated: _Repeated, subject: Subject, message: str, severity: Severity, depth: int) -> Finding:
    return Finding(
        rule="WarningEvents",
        severity=severity,
        confidence="likely",
        subject=subject,
        message=message,
        depth=depth,
        first_seen=repeated.first,
        links=tuple(event.link for event in (repeated.latest, *repeated.events[:2])),
    )


def _not_renewed(found: Sequence[Finding]) -> list[Finding]:
    """Return the findings about a certificate that was not renewed, or was never issued."""
    refused = (finding for finding in found if finding.rule == "CertificateInvalid" and finding.severity != "info")
    return [finding for finding in refused if _NOT_RENEWED.search(finding.message)]


def _workload_of(case: Case, repeated: _Repeated) -> Subject | None:
    """Return the workload that an object belongs to by its name, or that its last event names; None if there is none.

    Of several the one with the longest name.
    """
    name, named = repeated.about.name, set(_NAMED.findall(repeated.latest.message))
    of: Subject | None = None
    for workload in case.evidence.objects.workloads:
        subject = workload.subject
        if subject is None or subject == repeated.about:
            continue
        begins = f"{name}-".startswith(f"{subject.name}-") or f"{subject.name}-".startswith(f"{name}-")
        if begins or name.endswith(f"-{subject.name}") or subject.name in named:
            of = max(of or subject, subject, key=lambda known: (len(known.name), known.name))
    return of
