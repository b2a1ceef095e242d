"""Finished sessions on disk, without a capture: an Incident with its findings and timeline, as `investigate` writes them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aletheia_operator.findings import Verdict
from aletheia_operator.session import Artifact, Gap, InvestigationReference, Manifest, SessionLayout
from aletheia_operator.session.manifest_file import manifest_bytes
from aletheia_operator.timeline import Timeline
from tests.unit.evidence import END, NAMESPACE, START, Incident, Object

WINDOW = ("2026-11-22T14:00:00Z", "2026-11-22T15:00:00Z")
SPEC = {
    "targets": [{"workload": {"kind": "Deployment", "name": "web"}}],
    "logs": {},
    "metrics": [{"template": "error_rate", "parameters": {"service": "web"}, "baseline": {"offset": "1d"}}],
    "traces": [{"service": "web"}],
}


@dataclass
class Recording:
    """A session to be written. `metrics` and `traces`: metadata and entries of each artifact."""

    incident: Incident
    metrics: Sequence[tuple[Object, list[Any]]] = ()
    traces: Sequence[tuple[Object, list[Any]]] = ()
    gaps: Sequence[Gap] = ()
    spec: Object = field(default_factory=lambda: SPEC)
    name: str = "payments-500s"
    changed: Object = field(default_factory=dict)
    """Metadata that replaces parts of the findings' own."""

    def write(self, root: Path) -> Path:
        """Write the session below `root`, and return its directory."""
        for number, (metadata, entries) in enumerate(self.metrics):
            self.incident.more.append(("prometheus", "metrics", f"data/metrics/prometheus_{number}.json", metadata, entries))
        for number, (metadata, entries) in enumerate(self.traces):
            self.incident.more.append(("jaeger", "traces", f"data/traces/jaeger_{number}.json", metadata, entries))
        verdict = self.incident.judged()
        directory = SessionLayout(root).session("INC-7F3A")
        documents = self._documents(verdict)
        artifacts = [
            _write(directory, path, metadata, entries) for path, (metadata, entries) in documents.items() if entries or metadata
        ]
        manifest = Manifest(
            session_id="INC-7F3A",
            investigation=InvestigationReference(namespace=NAMESPACE, name=self.name, uid="6f9619ff"),
            spec=self.spec,
            window=WINDOW,
            phase="PartiallyCompleted" if any(gap.severity == "gap" for gap in self.gaps) else "Completed",
            start_time=END,
            completion_time=END + timedelta(seconds=1.4),
            operator_version="1.0.0",
            headline=verdict.headline,
            artifacts=artifacts,
            gaps=list(self.gaps),
        )
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "manifest.json").write_bytes(manifest_bytes(manifest))
        return directory

    def _documents(self, verdict: Verdict) -> dict[str, tuple[Object, list[Any]]]:
        metadata = self._metadata()
        timeline = Timeline(START, END)
        for path, entries in self.incident.files.items():
            category = path.split("/")[1]
            reader = timeline.reader("kubernetes", category) if category in ("logs", "events", "objects") else None
            if reader is not None:
                reader.read(entries)
                reader.close(path, metadata.get(path, {}))
        if not self.incident.files:
            return {}
        judged = {
            "headline": verdict.headline,
            "looked_at": verdict.looked_at,
            "changes": verdict.changes,
            "top_errors": verdict.top_errors,
            **self.changed,
        }
        return {
            "data/findings.json": (judged, [finding.to_json(NAMESPACE) for finding in verdict.findings]),
            "data/timeline.json": (timeline.metadata(), timeline.entries()),
            **{path: (metadata.get(path, {"of": path}), entries) for path, entries in self.incident.files.items()},
        }

    def _metadata(self) -> dict[str, Object]:
        """Metadata of each artifact of the incident, by its path."""
        incident = self.incident
        found: dict[str, Object] = {
            f"data/objects/{kind}_{name}.json": {
                "kind": kind,
                "name": name,
                "rollouts": incident.rollouts.get((kind, name), []),
            }
            for kind, name in incident.objects
        }
        found |= {
            f"data/logs/{pod}.json": {"pod": pod, "containers": sorted({container for container, *_ in runs})}
            for pod, runs in incident.logs.items()
        }
        return found | {path: metadata for _, _, path, metadata, _ in incident.more}


def _write(directory: Path, path: str, metadata: Object, entries: list[Any]) -> Artifact:
    lines = ",\n".join(json.dumps(entry) for entry in entries) + ("\n" if entries else "")
    content = f'{{"source": "test",\n"metadata": {json.dumps(metadata)},\n"data": [\n{lines}]}}\n'.encode()
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_bytes(content)
    return Artifact(
        path=path,
        fetcher="KubernetesLogs" if "pod" in metadata else "Test",
        target=f"pod/{metadata['pod']}" if "pod" in metadata else path,
        count=len(entries),
        summary=f"{len(entries)} entries",
        time_range=list(WINDOW),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        complete=True,
    )


def series(labels: dict[str, str], values: Sequence[float | str], first: int, step: int = 60) -> Object:
    """One series of a range query."""
    return {"metric": labels, "values": [[first + number * step, str(value)] for number, value in enumerate(values)]}


def trace(trace_id: str, *spans: tuple[str, str, str, int, int, str]) -> Object:
    """A trace in Jaeger's form. Each span: id, parent, `service operation`, start and duration in ms, error message or ''."""
    begin = int(START.timestamp() * 1e6)
    made, processes = [], {}
    for span, parent, what, start, milliseconds, why in spans:
        service, _, operation = what.partition(" ")
        processes[service] = {"serviceName": service}
        failed = [{"key": "error", "value": True}, {"key": "otel.status_description", "value": why}] if why else []
        made.append({
            "traceID": trace_id,
            "spanID": span,
            "processID": service,
            "operationName": operation,
            "startTime": begin + start * 1000,
            "duration": milliseconds * 1000,
            "references": [{"refType": "CHILD_OF", "spanID": parent}] if parent else [],
            "tags": failed,
        })  # fmt: skip
    return {"traceID": trace_id, "spans": made, "processes": processes}
