"""Compares the Investigations of a chaos run with the lines that its containers wrote, and explains each loss."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from aletheia_operator.fetchers.kubernetes.events import GONE_PODS
from aletheia_operator.fetchers.kubernetes.run_identity import UNKNOWN_RUN
from tests.support.operator import Kubectl, session_of

READER = "reader"
ROTATED = "rotated.list"
"""File of the truth with the names of all rotated log files that the node had: seen each second."""
_LINE = re.compile(r"(?:INFO|ERROR): chaos: (\S+) (\S+) (\d+) (\d+) (\d+) 0{150}")
_RUNS = re.compile(r"\(runs? (\d+)(?: to (\d+))?[,)]")
_ROTATION = re.compile(r"/[^/_]+_(\S+)_(\S+)/(\S+)/(\d+)\.log\.(\d{8}-\d{6})")
_OF_PODS = frozenset({"PodGone", "PodReplaced", "NotFound", "InternalError"})
_MOST_TOLD = 5


class Writer(NamedTuple):
    """A run of a container, as recorded."""

    uid: str
    pod: str
    container: str
    run: int

    def __str__(self) -> str:
        return f"pod {self.pod} ({self.uid}) container {self.container} run {self.run}"


class Moment(NamedTuple):
    """An event and its time (Unix time)."""

    second: float
    what: str


@dataclass
class Truth:
    """All recorded events. `lines`: for each run, the number of each line and the second in which it was written."""

    lines: dict[Writer, list[tuple[int, int]]]
    rotations: dict[str, list[Moment]]
    """Rotations by `uid container run`."""

    def around(self, writer: Writer, start: float, end: float, moments: Iterable[Moment]) -> list[Moment]:
        """Return what happened to this container from `start` to `end`, in order, with restarts and rotations."""
        runs = [
            Moment(lines[edge][1], f"run {name.run} of {name.pod} writes its {'first' if edge == 0 else 'last'} line")
            for name, lines in self.lines.items()
            for edge in (0, -1)
            if lines and (name.uid == writer.uid or name.pod == writer.pod) and name.container == writer.container
        ]
        rotations = self.rotations.get(f"{writer.uid} {writer.container} {writer.run}", [])
        return sorted(moment for moment in (*moments, *runs, *rotations) if start <= moment.second <= end)


@dataclass
class Outcome:
    """The result for all lines of all windows."""

    captured: int = 0
    explained: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """Lines that neither an artifact has nor a gap explains, by Investigation, pod, container and run."""
    misnamed: Counter[str] = field(default_factory=Counter)
    """Lines under a wrong pod or run, by Investigation, writer and the run in the artifact."""
    doubled: Counter[str] = field(default_factory=Counter)
    investigations: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    kills: int = 0
    deleted: int = 0
    moments: list[Moment] = field(default_factory=list)
    """Kills of the operator and deletions of pods."""
    details: list[str] = field(default_factory=list)
    """A text for each fault: its lines, what the session has instead, and what happened meanwhile."""

    @property
    def faults(self) -> tuple[int, int, int]:
        """Return how many lines were lost, under a wrong run, or duplicated."""
        return self.lost.total(), self.misnamed.total(), self.doubled.total()

    def __str__(self) -> str:
        lost, misnamed, doubled = self.faults
        return (
            f"{self.investigations} Investigations {dict(self.phases)}, {self.runs} runs, {self.deleted} pods deleted,"
            f" {self.kills} kills of the operator; of {self.captured + self.explained + lost} lines {self.captured} captured,"
            f" {self.explained} explained by gaps {dict(self.reasons)}, {lost} lost, {misnamed} under a wrong run,"
            f" {doubled} twice" + "".join(f"\n{detail}" for detail in self.details[:_MOST_TOLD])
        )


def hold_against_the_truth(outcome: Outcome, kubectl: Kubectl, resources: Sequence[Any]) -> None:
    """Compare each Investigation with the truth, and complete `outcome`."""
    truth = _truth(kubectl)
    outcome.runs = len(truth.lines)
    for resource in resources:
        _Held(outcome, resource, truth).hold()


def _truth(kubectl: Kubectl) -> Truth:
    script = f'cd /truth; for f in *.truth; do echo "= $f"; cat $f; done; echo "= rotations"; sort -u {ROTATED}'
    text = kubectl("exec", READER, "--", "sh", "-c", script, timeout_seconds=300)
    truth = Truth({}, defaultdict(list))
    writer, lines = "", list[tuple[int, int]]()
    for line in text.splitlines():
        if line.startswith("= "):
            writer = line[2:]
            if writer.endswith(".truth"):
                uid, pod_name, name, run = writer.removesuffix(".truth").split("_")
                lines = truth.lines.setdefault(Writer(uid, pod_name, name, int(run)), [])
        elif match := _ROTATION.search(line):
            second = datetime.strptime(match[5], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
            rotation = Moment(second, f"the node rotates the log of run {match[4]} of {match[1]}")
            if rotation not in (known := truth.rotations[f"{match[2]} {match[3]} {match[4]}"]):
                known.append(rotation)
        elif writer.endswith(".truth") and len(parts := line.split()) == 2:  # the last line may be incomplete
            lines.append((int(parts[0]), int(parts[1])))
    return truth


@dataclass
class _Held:
    """Compares one Investigation with the truth."""

    outcome: Outcome
    resource: Any
    truth: Truth
    had: dict[tuple[str, str, int], set[int]] = field(default_factory=dict)
    """Numbers of the captured lines, by uid, container and run of their writer."""
    seconds: dict[tuple[str, str, int], dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.resource["metadata"]["name"]
        self.start, self.end = (datetime.fromisoformat(moment).timestamp() for moment in self.resource["status"]["window"])
        self.session = session_of(self.resource)
        self.gaps = json.loads((self.session / "manifest.json").read_bytes())["gaps"]

    def hold(self) -> None:
        outcome = self.outcome
        outcome.investigations += 1
        outcome.phases[self.resource["status"]["phase"]] += 1
        for path in (self.session / "data" / "logs").glob("*.json"):
            self._look_at(path)
        for writer, lines in self.truth.lines.items():
            inside = {number: second for number, second in lines if self.start + 1 <= second <= self.end - 2}
            mine = self.had.get((writer.uid, writer.container, writer.run), set())
            missing = {number: second for number, second in inside.items() if number not in mine}
            outcome.captured += len(inside) - len(missing)
            if not missing:
                continue
            deleted = any(moment.what.startswith(f"pod/{writer.pod} is deleted") for moment in outcome.moments)
            reason = next(_reasons(self.gaps, writer, deleted), None)
            if reason is None:
                outcome.lost[f"{self.name} {writer}"] += len(missing)
                self._tell(writer, f"lost {_ranges(missing)}")
            else:
                outcome.explained += len(missing)
                outcome.reasons[reason] += len(missing)

    def _look_at(self, path: Path) -> None:
        document = json.loads(path.read_bytes())
        uid_of_pod, pod = document["metadata"]["pod_uid"], document["metadata"]["pod"]
        misnamed: dict[tuple[Writer, str], dict[int, int]] = defaultdict(dict)
        doubled: dict[Writer, dict[int, int]] = defaultdict(dict)
        for entry in document["data"]:
            match = _LINE.fullmatch(entry["line"])
            if match is None:
                continue
            uid, name, run, number, second = match[1], match[2], int(match[3]), int(match[4]), int(match[5])
            writer = Writer(uid, pod, name, run)
            if (uid, name, run) != (uid_of_pod, entry["container"], entry["run"]) and not self._is_doubtful(entry, pod):
                misnamed[writer, f"{uid_of_pod} {entry['container']} run {entry['run']}"][number] = second
            numbers = self.had.setdefault((uid, name, run), set())
            if number in numbers:
                doubled[writer][number] = second
            numbers.add(number)
        for (writer, instead), lines in misnamed.items():
            self.outcome.misnamed[f"{self.name} {writer}: {instead}"] += len(lines)
            self._tell(writer, f"under {instead} {_ranges(lines)}")
        for writer, lines in doubled.items():
            self.outcome.doubled[f"{self.name} {writer}"] += len(lines)
            self._tell(writer, f"twice {_ranges(lines)}")

    def _is_doubtful(self, entry: Any, pod: str) -> bool:
        """Return whether a gap says that the run of an entry is not known."""
        run = f"pod/{pod} container/{entry['container']} (run {entry['run']}"
        return any(gap["target"].startswith((f"{run})", f"{run},")) and UNKNOWN_RUN in gap["message"] for gap in self.gaps)

    def _tell(self, writer: Writer, what: str) -> None:
        """Add what is needed to understand a fault: lines, gaps of the pod, the way of reading, and what happened."""
        status = self.resource["status"]
        completed = datetime.fromisoformat(status["completionTime"]).timestamp()
        mine = self.had.get((writer.uid, writer.container, writer.run), set())
        written = dict(self.truth.lines.get(writer, []))
        has = {number: second for number, second in written.items() if number in mine}
        report = [
            f"{self.name}: {writer}: {what}",
            f"  has {_ranges(has)} of {_ranges(written)}; window {_clock(self.start)} to {_clock(self.end)},"
            f" completed {_clock(completed)}, {self.session.name}",
            f"  read: {[self.resource['spec']['logs'].get('via'), *self._via(writer)]}",
        ]
        report += [
            f"  gap: {gap['target']}: {gap['reason']}: {gap['message']}" for gap in self.gaps if writer.pod in gap["target"]
        ]
        around = self.truth.around(writer, self.start - 30, completed + 1, self.outcome.moments)
        report += [f"  {_clock(report.second)} {report.what}" for report in around]
        self.outcome.details.append("\n".join(report))

    def _via(self, writer: Writer) -> Iterator[str]:
        for path in (self.session / "data" / "logs").glob("*.json"):
            metadata = json.loads(path.read_bytes())["metadata"]
            if metadata["pod_uid"] == writer.uid:
                yield f"{metadata.get('via')}, collected {metadata.get('collected_at')}"


def _ranges(lines: dict[int, int]) -> str:
    """Return `COUNT lines: A..B (TIME..TIME), ...` of line numbers with their seconds."""
    spans: list[list[int]] = []
    for number in sorted(lines):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    texts = [f"{first}..{last} ({_clock(lines[first])}..{_clock(lines[last])})" for first, last in spans[:8]]
    return f"{len(lines)} lines: {', '.join(texts)}" + (f" and {len(spans) - 8} more ranges" if len(spans) > 8 else "")


def _clock(second: float) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%H:%M:%S}"


def _reasons(gaps: Sequence[Any], writer: Writer, deleted: bool) -> Iterator[str]:
    """Yield the reasons of gaps for this run. A gap of a pod that is gone, replaced or given up counts for all its runs.

    For a deleted pod, so does a gap that says that deleted pods are not known.
    """
    for gap in gaps:
        target = gap["target"]
        if (target == f"pod/{writer.pod}" and gap["reason"] in _OF_PODS) or (deleted and target.endswith(GONE_PODS)):
            yield gap["reason"]
        if target.startswith(f"pod/{writer.pod} container/{writer.container} (") and writer.run in _runs_named(target):
            yield gap["reason"]


def _runs_named(target: str) -> set[int]:
    match = _RUNS.search(target)
    if match is None:
        return set()
    return set(range(int(match[1]), int(match[2] or match[1]) + 1))
