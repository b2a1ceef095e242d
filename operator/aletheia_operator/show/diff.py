"""Compares two sessions, or a session's window with its baseline: errors, settings and metrics."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from aletheia_operator.findings.finding import object_text
from aletheia_operator.findings.metrics import DEVIATIONS, finite
from aletheia_operator.findings.objects import Object
from aletheia_operator.findings.revisions import Change, changes_between, template_of
from aletheia_operator.findings.templates import alike
from aletheia_operator.report.charts import Query, Unit, empty_query
from aletheia_operator.show.captured import CapturedSession
from aletheia_operator.show.errors import Errors, all_errors
from aletheia_operator.show.objects import place_of

LEAST_SHARE = 0.2
"""A metric moved if its level differs by more than this share of the larger level, and by more than its noise."""
LEAST_ALIKE = 20
"""A template of at least so many characters is the same error as one that adds `: CAUSE` to it."""
_NOISE = DEVIATIONS * 1.4826
_COMPARED_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
Level = tuple[float, float]
"""Median and median absolute deviation of the last quarter of a series: captures are made during the incident."""


@dataclass(frozen=True)
class Setting:
    """One value that differs. `before` or `after` None: it was added or removed."""

    object: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Moved:
    """One series with a different level."""

    metric: str
    labels: Mapping[str, str]
    before: float
    after: float
    shown: tuple[str, str]


@dataclass
class Difference:
    """All differences. `new` and `gone`: templates of errors that only the later or only the earlier session has."""

    new: list[Mapping[str, Any]] = field(default_factory=list)
    gone: list[Mapping[str, Any]] = field(default_factory=list)
    both: list[tuple[Mapping[str, Any], int]] = field(default_factory=list)
    """Templates that both have, each with its count in the earlier session."""
    settings: list[Setting] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    compared: int = 0
    """Number of series that both have."""

    def to_json(self) -> dict[str, Any]:
        return {
            "errors": {
                "new": self.new,
                "gone": self.gone,
                "both": [{**error, "count_before": before} for error, before in self.both],
            },
            "settings": [vars(setting) for setting in self.settings],
            "metrics": [
                {"metric": moved.metric, "labels": moved.labels, "before": moved.before, "after": moved.after}
                for moved in self.moved
            ],
        }


def between(before: CapturedSession, after: CapturedSession) -> Difference:
    """Compare two sessions. Raises NotShown."""
    found = Difference()
    _compare_errors(found, all_errors(before), all_errors(after))
    found.settings = [*_settings(_objects(before), _objects(after))]
    old, new = _levels(before), _levels(after)
    for key, (query, level) in new.items():
        if key in old:
            found.compared += 1
            if _has_moved(old[key][1], level):
                found.moved.append(_moved(query, dict(key[1]), old[key][1][0], level[0]))
    found.moved.sort(key=_largest)
    return found


def since_baseline(session: CapturedSession) -> Difference:
    """Return what changed in a session's window: rollouts, and metrics that differ from their baselines."""
    found = Difference()
    if session.has("findings"):
        for change in session.metadata(session.artifacts("findings")[0]).get("changes") or []:
            found.settings += _settings_of(change)
    for artifact in _of(session, "metrics"):
        metadata = session.metadata(artifact)
        compared = metadata.get("baseline") or {}
        found.compared += compared.get("compared") or 0
        query = empty_query(metadata, artifact.path)
        for change in compared.get("changed") or []:
            labels = orjson.loads(str(change.get("metric") or "{}"))
            found.moved.append(_moved(query, labels, float(change["baseline_level"]), float(change["level"])))
    found.moved.sort(key=_largest)
    return found


def _compare_errors(found: Difference, before: Errors, after: Errors) -> None:
    left = [*before]
    for error in after:
        same = next((other for other in left if _is_same(error, other)), None)
        if same is None:
            found.new.append(error)
        else:
            left.remove(same)
            found.both.append((error, int(same.get("count") or 0)))
    found.gone = left


def _is_same(error: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    ours, theirs = str(error.get("template")), str(other.get("template"))
    if error.get("level") != other.get("level"):
        return False
    shorter, longer = sorted((ours, theirs), key=len)
    return ours == theirs or alike(ours, theirs) or (len(shorter) >= LEAST_ALIKE and longer.startswith(f"{shorter}:"))


def _of(session: CapturedSession, category: str) -> list[Any]:
    return [artifact for artifact in session.manifest.artifacts if artifact.category == category]


def _objects(session: CapturedSession) -> dict[str, Object]:
    """Return the objects to compare, by kind/name."""
    found: dict[str, Object] = {}
    for artifact in _of(session, "objects"):
        for _, entry in session.entries(artifact):
            if isinstance(entry, dict) and (entry.get("kind") in _COMPARED_KINDS or "dataSha256" in entry):
                found[place_of(entry)] = entry
    return found


def _settings(before: Mapping[str, Object], after: Mapping[str, Object]) -> Iterator[Setting]:
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        if old is None or new is None:
            if template_of(old or new or {}):
                yield Setting(place, "object", None if old is None else "was there", None if new is None else "is there")
            continue
        yield from (Setting(place, _name(change), change.before, change.after) for change in changes_between(old, new))
        replicas = [(workload.get("spec") or {}).get("replicas") for workload in (old, new)]
        if replicas[0] != replicas[1]:
            yield Setting(place, "replicas", *(None if number is None else str(number) for number in replicas))
        if old.get("dataSha256") != new.get("dataSha256"):
            yield Setting(place, "data", str(old.get("dataSha256"))[:12], str(new.get("dataSha256"))[:12])


def _name(change: Change) -> str:
    return f"{change.container} {change.field}".strip()


def _settings_of(change: Mapping[str, Any]) -> Iterator[Setting]:
    """Yield the values that a change in the findings names; its message if it names none."""
    about, details = change.get("object") or {}, change.get("details") or {}
    place = object_text(about)
    values = [value for value in details.get("changed") or [] if isinstance(value, Mapping)]
    for value in values:
        name = f"{value.get('container') or ''} {value.get('field') or ''}".strip()
        yield Setting(place, name, value.get("from"), value.get("to"))
    if not values:
        yield Setting(place, str(change.get("rule")), None, str(change.get("message")))


def _levels(session: CapturedSession) -> dict[tuple[str, frozenset[tuple[str, str]]], tuple[Query, Level]]:
    """Return the level of each series, by the name of its query and its labels."""
    found = {}
    for artifact in _of(session, "metrics"):
        metadata = session.metadata(artifact)
        if "baseline_offset" in metadata or not isinstance(metadata.get("step_seconds"), int | float):
            continue
        query = empty_query(metadata, artifact.path)
        for _, entry in session.entries(artifact):
            values = [value for _, value in finite(entry.get("values") or [])]
            values = values[-max(1, len(values) // 4) :]
            if values and "over_step" not in entry:
                labels = frozenset((str(key), str(value)) for key, value in (entry.get("metric") or {}).items())
                level = statistics.median(values)
                noise = statistics.median(abs(value - level) for value in values)
                found[query.title, labels] = query, (level, noise)
    return found


def _has_moved(before: Level, after: Level) -> bool:
    difference = abs(after[0] - before[0])
    return difference > LEAST_SHARE * max(abs(before[0]), abs(after[0])) and difference > _NOISE * max(before[1], after[1])


def _moved(query: Query, labels: Mapping[str, str], before: float, after: float) -> Moved:
    unit = Unit(query)
    return Moved(query.title, labels, before, after, (unit(before), unit(after)))


def _largest(moved: Moved) -> tuple[float, str]:
    return -abs(moved.after - moved.before) / max(abs(moved.before), abs(moved.after), 1e-9), moved.metric
