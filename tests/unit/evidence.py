"""Evidence for tests of findings: objects, events and log lines as a real cluster writes them, read as a capture reads them."""

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import orjson

from aletheia_operator.api.findings import FindingRule
from aletheia_operator.findings import Evidence, OwnRules, Verdict, judge
from aletheia_operator.findings.finding import Finding
from aletheia_operator.logs.marks import alike_of, codes_of
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.text.batches import SEPARATOR, Encoded

START, END = datetime(2026, 11, 22, 14, tzinfo=UTC), datetime(2026, 11, 22, 15, tzinfo=UTC)
NAMESPACE = "shop"
Object = dict[str, Any]


def at(minute: float) -> str:
    """Return the time this many minutes after the window's start."""
    return f"2026-11-22T14:{int(minute):02}:{int(minute % 1 * 60):02}Z"


@dataclass
class Incident:
    """What was captured of an incident. `more` are further documents: source, category, path, metadata, entries."""

    objects: dict[tuple[str, str], list[Object]] = field(default_factory=dict)
    rollouts: dict[tuple[str, str], list[Object]] = field(default_factory=dict)
    shared: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    logs: dict[str, list[tuple[str, int, Sequence[str]]]] = field(default_factory=dict)
    more: list[tuple[str, str, str, Object, list[Any]]] = field(default_factory=list)
    gone: list[Object] = field(default_factory=list)
    missing: int = 0
    own: Sequence[FindingRule] = ()
    """Rules of the Investigation."""
    files: dict[str, list[Any]] = field(default_factory=dict)
    """Entries of each artifact by its path, after `judged`."""

    def add(self, *items: Object, of: tuple[str, str] = ("Deployment", "web")) -> "Incident":
        """Add objects of a workload."""
        self.objects.setdefault(of, []).extend(items)
        return self

    def add_event(self, *events: Object) -> "Incident":
        self.events.extend(events)
        return self

    def log(self, pod: str, *lines: str, container: str = "app", run: int = 0) -> "Incident":
        """Add lines of one run, each `MINUTE TEXT`, with the minutes since the window's start."""
        self.logs.setdefault(pod, []).append((container, run, lines))
        return self

    def evidence(self) -> Evidence:
        evidence = Evidence(START, END, own=OwnRules(self.own))
        for (kind, name), items in self.objects.items():
            metadata = {"kind": kind, "name": name, "rollouts": self.rollouts.get((kind, name), [])}
            self._read(evidence, "kubernetes", "objects", f"data/objects/{kind}_{name}.json", metadata, items)
        if self.shared:
            self._read(evidence, "kubernetes", "objects", "data/objects/namespace.json", {}, self.shared)
        if self.events or self.gone:
            events = sorted(self.events, key=lambda event: event["first"])
            self._read(evidence, "kubernetes", "events", "data/events/shop.json", {"pods_gone": self.gone}, events)
        for pod, runs in self.logs.items():
            self._read_logs(evidence, pod, runs)
        for source, category, path, metadata, entries in self.more:
            self._read(evidence, source, category, path, metadata, entries)
        return evidence

    def without(self, cited: Mapping[str, set[int]]) -> "Without":
        """Return the incident without these entries, given by the artifact's path."""
        return Without(self, cited)

    def judged(self) -> Verdict:
        return judge(self.evidence(), NAMESPACE, self.missing)

    def left(self, path: str, entries: list[Any]) -> list[Any]:
        """Return those entries of an artifact that are read."""
        return entries

    def left_lines(self, path: str, first: int, number: int) -> list[int]:
        """Return which of a run's `number` lines are read. `first`: index of its first line in the artifact."""
        return [*range(number)]

    def _read(
        self, evidence: Evidence, source: str, category: str, path: str, metadata: Mapping[str, Any], entries: list[Any]
    ) -> None:
        self.files[path] = entries = self.left(path, entries)
        reader = evidence.reader(source, category)
        assert reader is not None
        reader.begin(metadata)
        for first in range(0, len(entries), 100):
            some = entries[first : first + 100]
            reader.read(Encoded(SEPARATOR.join(map(orjson.dumps, some)), bytes(len(some))))
        reader.close(path, metadata)
        evidence.count(category, len(entries))

    def _read_logs(self, evidence: Evidence, pod: str, runs: list[tuple[str, int, Sequence[str]]]) -> None:
        reader = evidence.reader("kubernetes", "logs")
        assert reader is not None
        path, levels = f"data/logs/{pod}.json", dict[str, int]()
        entries: list[Any] = []
        reader.begin({"pod": pod, "runs": [{"container": container, "run": run} for container, run, _ in runs]})
        for container, run, lines in runs:
            block = parsed(container, run, lines, levels)
            found = block.block.split(SEPARATOR) if block.count else []
            kept = self.left_lines(path, len(entries), len(found))
            numbers = array("H", (block.alike[n] for n in kept))
            reader.read(Encoded(SEPARATOR.join(found[n] for n in kept), bytes(block.codes[n] for n in kept), alike=numbers))
            entries += [json.loads(found[n]) for n in kept]
        self.files[path] = entries
        reader.close(path, {"pod": pod, "levels": levels})
        evidence.count("logs", len(entries))


@dataclass
class Without(Incident):
    """An incident without some entries."""

    incident: Incident = field(default_factory=Incident)
    cited: Mapping[str, set[int]] = field(default_factory=dict)

    def __init__(self, incident: Incident, cited: Mapping[str, set[int]]) -> None:
        super().__init__(**{field.name: getattr(incident, field.name) for field in fields(Incident) if field.name != "files"})
        self.cited = cited

    def left(self, path: str, entries: list[Any]) -> list[Any]:
        return [entry for number, entry in enumerate(entries) if number not in self.cited.get(path, ())]

    def left_lines(self, path: str, first: int, number: int) -> list[int]:
        return [index for index in range(number) if first + index not in self.cited.get(path, ())]


def parsed(container: str, run: int, lines: Iterable[str], levels: dict[str, int]) -> Encoded:
    """Return lines as entries of the operator's own parser. Adds the number of lines by level to `levels`."""
    settings = RunSettings(container, run, False, "2026-11-22T14:00:00.000000000Z", "2026-11-22T15:00:00.000000000Z", 65_536)
    parser = RunParser(settings)
    text = ""
    for number, line in enumerate(lines):
        minute, _, words = line.partition(" ")
        text += f"{at(float(minute))[:-1]}.{number:09}Z {words}\n"
    found = [parser.feed(text.encode()), parser.end_run()] if text else []
    for level, count in parser.count.levels.items():
        levels[level] = levels.get(level, 0) + count
    blocks = [item for item in found if item.marks]
    marks = b"".join(block.marks for block in blocks)
    return Encoded(SEPARATOR.join(block.block for block in blocks), codes_of(marks), alike=alike_of(marks))


def event(reason: str, message: str, name: str = "web-1-a", kind: str = "Pod", **more: Any) -> Object:
    """An event as in data/events. Options: `container` (a part of the pod), `minute`, `until`, `count`, `type`."""
    involved = {"kind": kind, "name": name, "namespace": NAMESPACE}
    if container := more.pop("container", None):
        involved["fieldPath"] = f"spec.containers{{{container}}}"
    first, until = more.pop("minute", 28), more.pop("until", None)
    return {
        "first": at(first),
        "last": at(first if until is None else until),
        "count": more.pop("count", 1),
        "type": more.pop("type", "Warning"),
        "reason": reason,
        "message": message,
        "object": involved,
        "raw": [],
        **more,
    }


def pod(name: str = "web-1-a", *statuses: Object, of: str = "web-1", kind: str = "ReplicaSet", **more: Any) -> Object:
    """A pod with one container for each status; ready if all of these are. `spec`, `status`, `labels` are added."""
    ready = all(status.get("ready", True) for status in statuses)
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": at(20)}
    if not ready:
        condition |= {"reason": "ContainersNotReady", "message": "containers with unready status: [app]"}
    containers = [
        {"name": status["name"], "image": f"shop/{status['name']}:2", **status.pop("spec", {})} for status in statuses
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{name}",
            "labels": more.pop("labels", {"app": "web"}),
            "creationTimestamp": at(1),
            "ownerReferences": [{"kind": kind, "name": of, "controller": True}],
            **more.pop("metadata", {}),
        },
        "spec": {"nodeName": "n1", "containers": containers, **more.pop("spec", {})},
        "status": {
            "phase": "Running",
            "conditions": [condition],
            "containerStatuses": [dict(status) for status in statuses],
            **more.pop("status", {}),
        },
    }


def running(name: str = "app", restarts: int = 0, last: Object | None = None, ready: bool = True, **more: Any) -> Object:
    """The status of a container that runs. `last`: the end of its previous run."""
    found = {
        "name": name,
        "ready": ready,
        "restartCount": restarts,
        "started": True,
        "state": {"running": {"startedAt": at(2)}},
    }
    return found | ({"lastState": {"terminated": last}} if last else {}) | more


def waiting(
    reason: str, message: str = "", name: str = "app", restarts: int = 0, last: Object | None = None, **more: Any
) -> Object:
    """The status of a container that waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    found = {"name": name, "ready": False, "restartCount": restarts, "started": False, "state": state}
    return found | ({"lastState": {"terminated": last}} if last else {}) | more


def ended(code: int, reason: str = "Error", minute: float = 28, **more: Any) -> Object:
    """A `terminated` state."""
    return {"exitCode": code, "reason": reason, "startedAt": at(max(0, minute - 1)), "finishedAt": at(minute), **more}


def found(incident: Incident, rule: str) -> Finding:
    """Return the only finding of a rule."""
    verdict = incident.judged()
    assert verdict.failed == []
    (only,) = [finding for finding in verdict.findings if finding.rule == rule]
    return only


def rules_of(incident: Incident) -> list[str]:
    """Return the rules with findings."""
    verdict = incident.judged()
    assert verdict.failed == []
    return [finding.rule for finding in verdict.findings]


def conditions(**states: Any) -> list[Object]:
    """Return conditions by type: a status, or a dict of their fields."""
    made = []
    for kind, state in states.items():
        fields = state if isinstance(state, dict) else {"status": state}
        made.append({"type": kind, "status": "True", "lastTransitionTime": at(20), **fields})
    return made


def item(kind: str, name: str = "web", spec: Object | None = None, status: Object | None = None, **metadata: Any) -> Object:
    """Any object."""
    return {"kind": kind, "metadata": {"name": name, **metadata}, "spec": spec or {}, "status": status or {}}


def a_node(created: str = "2026-11-01T00:00:00Z", spec: Object | None = None, **states: Any) -> Object:
    """A node with these conditions."""
    return item("Node", "n1", spec, {"conditions": conditions(**states)}, creationTimestamp=created)


def workloads(*names: str) -> Incident:
    """Return workloads with one healthy pod each, and their Services."""
    incident = Incident()
    for name in names:
        owned = pod(f"{name}-1-a", running(), of=f"{name}-1", labels={"app": name})
        endpoints: Object = {"kind": "EndpointSlice", "endpoints": [{"conditions": {"ready": True}}]}
        endpoints["metadata"] = {"name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}}
        incident.add(owned, item("Service", name, {"selector": {"app": name}}), endpoints, of=("Deployment", name))
    return incident
