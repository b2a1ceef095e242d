"""Recorded sessions of the fault table, read as a capture reads its artifacts."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import orjson

from aletheia_operator.findings import Evidence, Verdict, judge
from aletheia_operator.text.batches import LEVEL_CODES, SEPARATOR, Encoded
from aletheia_operator.text.timestamps import format_time
from tests.support.fault_table import RECORDINGS


@dataclass(frozen=True)
class Recording:
    """One recorded session. `artifacts`: by path, each with metadata and data."""

    start: datetime
    end: datetime
    namespace: str
    gaps: int
    artifacts: Mapping[str, Any] = field(repr=False)

    def without(self, cited: Mapping[str, set[int]]) -> "Recording":
        """Return the session without these entries, given by the artifact's path."""
        left = {
            path: {
                **artifact,
                "data": [entry for number, entry in enumerate(artifact["data"]) if number not in cited.get(path, ())],
            }
            for path, artifact in self.artifacts.items()
        }
        return Recording(self.start, self.end, self.namespace, self.gaps, left)

    def with_noise(self) -> "Recording":
        """Return the session with 500 unrelated pods, events and error lines, as every busy cluster has them."""
        pods = [calm_pod(number, self.start) for number in range(500)]
        events = [calm_event(number, self.start) for number in range(500)]
        times = [self.start + (self.end - self.start) * number / 500 for number in range(500)]
        lines = [
            {
                "timestamp": format_time(moment),
                "container": "app",
                "run": 0,
                "level": "ERROR",
                "message": f"request {number} rejected: order {number} is not valid",
                "line": f"ERROR request {number} rejected: order {number} is not valid",
            }
            for number, moment in enumerate(times)
        ]
        noise = {
            "data/objects/calm.json": ({"kind": "Deployment", "name": "calm", "rollouts": []}, pods),
            "data/events/calm.json": ({}, events),
            "data/logs/calm.json": ({"pod": "calm-1-0", "runs": [{"container": "app", "run": 0}]}, lines),
        }
        more = {path: {"source": "kubernetes", "metadata": m, "data": data} for path, (m, data) in noise.items()}
        return Recording(self.start, self.end, self.namespace, self.gaps, {**self.artifacts, **more})

    def evidence(self) -> Evidence:
        evidence = Evidence(self.start, self.end)
        for path, artifact in self.artifacts.items():
            category = path.split("/")[1]
            reader = evidence.reader(artifact["source"], category)
            if reader is None:
                continue
            metadata, entries = artifact["metadata"], artifact["data"]
            reader.begin(metadata)
            for first in range(0, len(entries), 500):
                some = entries[first : first + 500]
                codes = bytes(
                    LEVEL_CODES.index(entry.get("level")) if entry.get("level") in LEVEL_CODES else 0 for entry in some
                )
                reader.read(Encoded(SEPARATOR.join(map(orjson.dumps, some)), codes))
            reader.close(path, metadata)
            evidence.count(category, len(entries))
        return evidence

    def judged(self) -> Verdict:
        verdict = judge(self.evidence(), self.namespace, self.gaps)
        assert verdict.failed == []
        return verdict

    def findings(self) -> list[dict[str, Any]]:
        """The findings as they are saved, in order."""
        return [finding.to_json(self.namespace) for finding in self.judged().findings]


@cache
def recording(name: str) -> Recording:
    """A fault's recorded session."""
    session = json.loads(gzip.decompress((RECORDINGS / f"{name}.json.gz").read_bytes()))
    start, end = map(datetime.fromisoformat, session["window"])
    return Recording(start, end, session["namespace"], session["gaps"], session["artifacts"])


def calm_pod(number: int, start: datetime) -> dict[str, Any]:
    """A healthy pod that is not related to any fault."""
    name = f"calm-1-{number}"
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": format_time(start)}
    status = {"name": "app", "ready": True, "restartCount": 0, "state": {"running": {}}}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "calm-of-others"}, "creationTimestamp": format_time(start)},
        "spec": {"nodeName": "n9", "containers": [{"name": "app", "image": "calm:1"}]},
        "status": {"phase": "Running", "conditions": [ready], "containerStatuses": [status]},
    }


def calm_event(number: int, start: datetime) -> dict[str, Any]:
    """One failed probe of such a pod, at its start."""
    moment = format_time(start + timedelta(minutes=2))
    return {
        "first": moment,
        "last": moment,
        "count": 1,
        "type": "Warning",
        "reason": "Unhealthy",
        "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "object": {"kind": "Pod", "name": f"calm-1-{number}", "fieldPath": "spec.containers{app}"},
    }
