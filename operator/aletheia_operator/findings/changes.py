"""Finds what changed before a problem began: rollouts, with values before and after, and ConfigMaps. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aletheia_operator.findings.case import Case, clock, seconds_between
from aletheia_operator.findings.finding import Finding, Link, Subject
from aletheia_operator.findings.objects import Fact, Object, Workload
from aletheia_operator.findings.releases import release_near
from aletheia_operator.findings.revisions import CHANGE_CAUSE, Change, changes_between, version_of
from aletheia_operator.text.display import one_line

REVISIONS = ("ReplicaSet", "ControllerRevision")
SHOWN_CHANGES = 3
CLOCK_SLACK_SECONDS = 5.0
SOON_SECONDS = 600.0
"""If a problem begins within this time after a change, its finding mentions the change."""
AT_ONCE_SECONDS = 180.0
"""If calls fail within this time after a rollout of the caller, the rollout is their cause."""
CALLER_DEPTH = 35
"""Depth of calls that fail because of the caller: they explain the errors of its own callers."""
MAX_WORDS = 80
RESTARTED_AT = "annotation kubectl.kubernetes.io/restartedAt"
_QUIET = (RESTARTED_AT, f"annotation {CHANGE_CAUSE}")


@dataclass(frozen=True)
class Rollout:
    """A rolled out revision of a workload. `first`: no earlier revision is known."""

    workload: Subject
    number: int
    name: str
    created: str
    in_window: bool
    first: bool
    summary: str
    changes: Sequence[Change]
    version: Mapping[str, str]
    version_before: Mapping[str, str]
    link: Link | None

    @property
    def words(self) -> str:
        """The most important changes, as text for a message."""
        shown = [str(change) for change in self.changes if change.field not in _QUIET] or [
            str(change) for change in self.changes
        ]
        more = f" and {len(shown) - SHOWN_CHANGES} more" if len(shown) > SHOWN_CHANGES else ""
        version = f"; version {self.version['version']}" if "version" in self.version else ""
        version += f"; {self.version['release']}" if "release" in self.version else ""
        if not shown:
            return self.summary.partition(": ")[2] + version
        return ", ".join(shown[:SHOWN_CHANGES]) + more + version

    def to_json(self) -> dict[str, Any]:
        """Return the rollout for findings.json: revision, changed, and version and version_before if known."""
        found: dict[str, Any] = {"revision": self.number, "changed": [change.to_json() for change in self.changes]}
        if self.version:
            found["version"] = dict(self.version)
        if self.version_before:
            found["version_before"] = dict(self.version_before)
        return found


def rollouts_of(case: Case, workload: Workload) -> Iterator[Rollout]:
    """Yield the rollouts of a workload, the oldest first."""
    if workload.subject is None:
        return
    facts = {fact.name: (fact, item) for fact, item in case.objects(*REVISIONS) if fact.workload is workload}
    before: tuple[Fact, Object] | None = None
    for number, rollout in enumerate(sorted(workload.rollouts, key=lambda rollout: int(rollout["revision"]))):
        now = facts.get(str(rollout["name"]))
        release = release_near(case, workload.subject, str(rollout["created"])) if rollout["in_window"] and number else None
        yield Rollout(
            workload=workload.subject,
            number=int(rollout["revision"]),
            name=str(rollout["name"]),
            created=str(rollout["created"]),
            in_window=bool(rollout["in_window"]),
            first=number == 0,
            summary=str(rollout["summary"]),
            changes=changes_between(before[1], now[1]) if before and now else (),
            version=(version_of(now[1]) if now else {}) | ({"release": str(release)} if release else {}),
            version_before=version_of(before[1]) if before else {},
            link=now[0].link if now else None,
        )
        before = now


def add_changes(case: Case, findings: Sequence[Finding]) -> None:
    """Add recent changes to findings about pods: the rollout that created the pods, or a change of one of their ConfigMaps."""
    latest: dict[Subject, Rollout] = {}
    for workload in case.evidence.objects.workloads:
        for rollout in rollouts_of(case, workload):
            if rollout.in_window and not rollout.first:
                latest[rollout.workload] = rollout
    configs = _changed_configs(case)
    for finding in findings:
        if finding.severity == "info" or not finding.pods or finding.rule == "RolloutStuck":
            continue
        if (own := _rollout_of_caller(case, finding, findings, latest)) is not None:
            _blame(finding, own)
            continue
        if (before := _rollout_before(case, finding, latest)) is not None:
            whose = "" if before.workload == finding.subject else f"{before.workload.name} "
            words = one_line(f"; {whose}new in revision {before.number}: {before.words}", 140)
            _append(finding, words, before.link, {"rollout": before.to_json()})
            continue
        for fact, changed in configs.get(finding.subject, ()):
            if _begins_after(finding, changed):
                _append(finding, f"; ConfigMap {fact.name} changed at {clock(changed)}", fact.link, {"config": fact.name})
                break


def _rollout_before(case: Case, finding: Finding, latest: Mapping[Subject, Rollout]) -> Rollout | None:
    """Return the rollout that a problem began after: of its pods, or of the program that does not answer; None without one."""
    rollout = latest.get(finding.subject)
    if rollout is not None and not all(_is_of(case, pod, rollout) for pod in finding.pods):
        return None
    if rollout is None and finding.rule == "DependencyDoesNotAnswer":
        rollout = next((latest[workload] for workload in latest if workload.name in finding.callees), None)
    return rollout if rollout is not None and _begins_after(finding, rollout.created) else None


def _rollout_of_caller(
    case: Case, finding: Finding, findings: Sequence[Finding], latest: Mapping[Subject, Rollout]
) -> Rollout | None:
    """Return the rollout since which the calls of its workload fail; None without one.

    Only its new pods have the trouble: no other caller has, and the called program has neither changed nor a finding.
    """
    if finding.rule != "DependencyDoesNotAnswer" or any(workload.name in finding.callees for workload in latest):
        return None
    workloads = {case.workload_of_pod(pod) for pod in finding.pods}
    rollout = latest.get(workloads.pop()) if len(workloads) == 1 else None
    if rollout is None or not all(_is_of(case, pod, rollout) for pod in finding.pods):
        return None
    late = seconds_between(rollout.created, finding.first_seen)
    if late is None or not -CLOCK_SLACK_SECONDS <= late <= AT_ONCE_SECONDS:
        return None
    others = (other for other in findings if other is not finding and other.severity != "info")
    return None if any(other.subject.name in {*finding.callees, finding.subject.name} for other in others) else rollout


def _blame(finding: Finding, rollout: Rollout) -> None:
    """Make a finding about a called program one about its caller, which has failed since its rollout."""
    finding.subject, finding.depth = rollout.workload, CALLER_DEPTH
    words = one_line(rollout.words, MAX_WORDS)
    failure = finding.message.replace(f", {rollout.workload.name} says: ", ": ", 1)
    finding.message = f"{rollout.workload.name}: since its revision {rollout.number} ({words}) {failure}"
    _append(finding, "", rollout.link, {"rollout": rollout.to_json()})


def _append(finding: Finding, words: str, link: Link | None, details: Mapping[str, Any]) -> None:
    finding.message += words
    finding.details = {**finding.details, **details}
    finding.links = (*finding.links[:1], *([link] if link else []), *finding.links[1:])


def _changed_configs(case: Case) -> Mapping[Subject, list[tuple[Fact, str]]]:
    """Return, for each workload, its ConfigMaps that were changed (not created) within the window."""
    found: dict[Subject, list[tuple[Fact, str]]] = {}
    for fact, item in case.objects("ConfigMap"):
        changed, made = item.get("changedAt"), item["metadata"].get("creationTimestamp")
        late = seconds_between(made, changed)
        if fact.workload.subject and changed and case.in_window(changed) and late is not None and late > CLOCK_SLACK_SECONDS:
            found.setdefault(fact.workload.subject, []).append((fact, changed))
    return found


def _begins_after(finding: Finding, moment: str) -> bool:
    """Return whether a problem began within SOON_SECONDS after a moment."""
    late = seconds_between(moment, finding.first_seen)
    return late is not None and -CLOCK_SLACK_SECONDS <= late <= SOON_SECONDS


def _is_of(case: Case, pod: str, rollout: Rollout) -> bool:
    labels = case.evidence.objects.labels.get(pod) or {}
    revision = labels.get("pod-template-hash") or labels.get("controller-revision-hash") or ""
    return bool(revision) and rollout.name.endswith(revision)
