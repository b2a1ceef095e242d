"""Reads what Flux and Argo CD applied, and when: the revision in Git or the chart behind a rollout. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aletheia_operator.findings.case import Case, condition_of, seconds_between
from aletheia_operator.findings.finding import Link, Subject
from aletheia_operator.findings.objects import Fact, Object
from aletheia_operator.text.display import one_line

DEPLOYERS = ("Kustomization", "HelmRelease", "Application")
NEAR_SECONDS = 600.0
"""A release and a rollout at most this far apart belong together: one waits for the other."""
_COMMIT = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")


@dataclass(frozen=True)
class Release:
    """A revision that was applied to a workload. `by`: the object that did it, for example `Kustomization shop`."""

    workload: Subject
    by: str
    revision: str
    before: str
    at: str | None
    link: Link

    def __str__(self) -> str:
        return f"{self.by} {self.before} → {self.revision}" if self.before else f"{self.by} {self.revision}"


def releases_of(case: Case) -> Iterator[Release]:
    """Yield the latest release of each workload, by each object that deploys it."""
    for fact, item in case.objects(*DEPLOYERS):
        if fact.workload.subject is None or not (latest := _latest(fact, item)):
            continue
        revision, before, at = latest
        by = f"{fact.kind} {one_line(fact.name, 60)}"
        yield Release(fact.workload.subject, by, revision, before if before != revision else "", at, fact.link)


def release_near(case: Case, workload: Subject, moment: str) -> Release | None:
    """Return the release of a workload that is near a moment; None if there is none."""
    for release in releases_of(case):
        apart = seconds_between(release.at, moment)
        if release.workload == workload and apart is not None and abs(apart) <= NEAR_SECONDS:
            return release
    return None


def _latest(fact: Fact, item: Object) -> tuple[str, str, str | None] | None:
    """Return the last applied revision, the one before it ('' if not known), and when; None without a revision."""
    status = item.get("status") or {}
    history: list[Mapping[str, Any]] = [entry for entry in status.get("history") or [] if isinstance(entry, Mapping)]
    at = condition_of(item, "Ready").get("lastTransitionTime")
    if fact.kind == "Kustomization":
        revision = status.get("lastAppliedRevision")
        return (_shown(revision), "", at) if revision else None
    if fact.kind == "Application":
        history = history[::-1]
    if not history:
        return None
    now, before = history[0], history[1] if len(history) > 1 else {}
    return _of_entry(now), _of_entry(before), now.get("deployedAt") or now.get("lastDeployed") or at


def _of_entry(entry: Mapping[str, Any]) -> str:
    """Return the revision of an entry of a history: a commit, or a chart and its version."""
    if chart := entry.get("chartVersion"):
        app = f" (app {entry['appVersion']})" if entry.get("appVersion") else ""
        return _shown(f"{entry.get('chartName') or 'chart'} {chart}{app}")
    revisions = entry.get("revisions") or [entry.get("revision") or ""]
    return _shown(", ".join(map(str, revisions)) if isinstance(revisions, list) else revisions)


def _shown(revision: object) -> str:
    """Return a revision with its commit shortened."""
    return one_line(_COMMIT.sub(r"\1", str(revision)[:500]), 80)
