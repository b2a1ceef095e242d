"""The fault table: what each manifest of tests/faults breaks, the expected finding, and recorded sessions.

A manifest begins with comments that are YAML: the fault, the faulty object and the cause (a regular expression that the message
has), the workloads to look at, and what to wait for. `NAME.then.yaml` is applied when `then` holds.

tests/data/written_faults.yaml has faults that were written by hand: they have sessions, and no manifest.
"""

import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TESTS = Path(__file__).resolve().parents[1]
MANIFESTS = TESTS / "faults"
RECORDINGS = TESTS / "data" / "faults"
WRITTEN = TESTS / "data" / "written_faults.yaml"
HEALTHY = "healthy"


@dataclass(frozen=True)
class Condition:
    """A condition to wait for: an object with matching JSON, or a log with a number of matching lines."""

    matches: str
    watch: str = ""
    log: str = ""
    lines: int = 1


@dataclass(frozen=True)
class Fault:
    """One manifest. `objects`: names of the faulty object, as `Kind/name`; empty: the workloads are healthy."""

    name: str
    about: str
    objects: tuple[str, ...]
    cause: str
    targets: tuple[tuple[str, str], ...]
    until: tuple[Condition, ...]
    then: tuple[Condition, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    part: int = 1
    """2: written after the rules were corrected with the faults of part 1, so a fair measure of the rules."""
    first: str = ""
    """Of a written fault: the place of the right finding when the rules were tried for the first time, `no`, or `silent`."""

    @property
    def namespace(self) -> str:
        return self.name if self.name.startswith(HEALTHY) else f"fault-{self.name}"

    @property
    def spec(self) -> dict[str, Any]:
        """The Investigation's spec."""
        targets = [{"workload": {"kind": kind, "name": name}} for kind, name in self.targets]
        return {"window": {"lookback": "30m"}, "targets": targets}

    def place(self, findings: Iterable[Mapping[str, Any]]) -> int | None:
        """Return the place (from 1) of the first finding above info with a faulty object and the cause; None without one."""
        for place, finding in enumerate(findings, 1):
            about = f"{finding['object']['kind']}/{finding['object']['name']}"
            if finding["severity"] == "info":
                return None
            if about in self.objects and re.search(self.cause, finding["message"], re.IGNORECASE):
                return place
        return None


def faults() -> list[Fault]:
    """All manifests, in order of their names."""
    return [read_fault(file) for file in sorted(MANIFESTS.glob("*.yaml")) if not file.name.endswith(".then.yaml")]


def written() -> list[Fault]:
    """All faults that were written by hand: no manifest makes them, and all have a session."""
    return [
        _fault(name, {"targets": (), "until": (), **header}) for name, header in yaml.safe_load(WRITTEN.read_text()).items()
    ]


def read_fault(file: Path) -> Fault:
    lines = file.read_text().splitlines()
    return _fault(file.stem, yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines[: lines.index("---")])))


def _fault(name: str, header: Mapping[str, Any]) -> Fault:
    return Fault(
        name=name,
        about=header.get("fault") or header[HEALTHY],
        objects=tuple(part.strip() for part in header.get("object", "").split("|") if part.strip()),
        cause=header.get("cause", ""),
        targets=tuple((target.partition("/")[0], target.partition("/")[2]) for target in header["targets"]),
        until=_conditions(header["until"]),
        then=_conditions(header.get("then", ())),
        labels=header.get("labels", {}),
        part=header.get("part", 1),
        first=str(header.get("first", "")),
    )


def _conditions(headers: Sequence[Mapping[str, Any]]) -> tuple[Condition, ...]:
    return tuple(Condition(**header) for header in headers)


def record(fault: Fault, session: Path, target: Path) -> None:
    """Write a session's evidence as one compressed file, without data that no rule reads."""
    manifest = json.loads((session / "manifest.json").read_bytes())
    evidence = [artifact for artifact in manifest["artifacts"] if artifact["fetcher"] not in ("Findings", "Timeline", "Report")]
    artifacts = {artifact["path"]: _trimmed(json.loads((session / artifact["path"]).read_bytes())) for artifact in evidence}
    gaps = sum(gap.get("severity", "gap") == "gap" for gap in manifest["gaps"])
    recorded = {"window": manifest["window"], "namespace": fault.namespace, "gaps": gaps, "artifacts": artifacts}
    text = json.dumps(recorded, separators=(",", ":"), sort_keys=False)
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{fault.name}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _trimmed(artifact: dict[str, Any]) -> dict[str, Any]:
    for entry in artifact["data"]:
        entry.pop("raw", None)
        if entry.get("kind") == "Node":
            entry["status"].pop("images", None)
    return artifact


def recordings() -> dict[str, Any]:
    """The recorded sessions by the fault's name, compressed."""
    return {file.name.removesuffix(".json.gz"): file for file in sorted(RECORDINGS.glob("*.json.gz"))}
