"""Reads a session's artifacts, and prints a first look at them as JSON.

Runs in the operator's pod, which has the evidence but no shell: `python3 -c SOURCE SESSION < ARTIFACTS`. ARTIFACTS are those of
the Investigation's status. Standard library only.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTEXT_LINES = 1  # before the first error
ERROR_LINES = 3  # from the first error on
SAMPLES = 13
SERIES = 4
SERIOUS = ("ERROR", "FATAL")
MOMENTS = 10
FINDINGS = 5
RANKED = ("Rollout", "OOMKill", "NodeTrouble", "Eviction", "Restart", "ContainerExit", "ErrorBurst", "FirstError", "CrashLoop")


def failed(span: dict[str, Any]) -> bool:
    return any(tag["key"] == "error" and tag["value"] in (True, "true") for tag in span["tags"])


def error_of(span: dict[str, Any]) -> str:
    """Return the span's error; '' if it did not fail."""
    if not failed(span):
        return ""
    messages = [tag["value"] for tag in span["tags"] if tag["key"] == "otel.status_description"]
    return str(messages[0]) if messages else "error"


def span_ids(trace: dict[str, Any]) -> set[str]:
    return {span["spanID"] for span in trace["spans"]}


def whole(trace: dict[str, Any]) -> bool:
    """Return whether every span's parent is present."""
    return {reference["spanID"] for span in trace["spans"] for reference in span["references"]} <= span_ids(trace)


def of_logs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first error and the lines around it; without an error the last lines."""
    first = next((i for i, entry in enumerate(entries) if entry.get("level") in SERIOUS), len(entries))
    end = min(len(entries), first + ERROR_LINES)
    return {"lines": len(entries), "shown": entries[max(0, end - ERROR_LINES - CONTEXT_LINES) : end]}


def of_metrics(series: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the latest samples of the series that end last."""
    lasting = sorted(series, key=lambda item: -float(item["values"][-1][0]))
    shown = [{"labels": item["metric"], "samples": item["values"][-SAMPLES:]} for item in lasting[:SERIES]]
    return {"samples": sum(len(item["values"]) for item in series), "series": len(series), "shown": shown}


def of_traces(traces: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the complete trace with the slowest failed span; without one, that with the slowest span. Calls are in order."""
    spans = [(span, trace) for trace in traces for span in trace["spans"]]
    summary = {
        "spans": len(spans),
        "traces": len(traces),
        "failed": sum(any(map(failed, trace["spans"])) for trace in traces),
        "shown": [],
    }
    if not spans:
        return summary
    # spans arrive one by one: the latest trace may still be incomplete
    _, trace = max(spans, key=lambda pair: (whole(pair[1]), failed(pair[0]), pair[0]["duration"]))
    children: dict[str | None, list[dict[str, Any]]] = {}
    known = span_ids(trace)
    for span in sorted(trace["spans"], key=lambda span: int(span["startTime"])):
        parent = next((ref["spanID"] for ref in span["references"] if ref["spanID"] in known), None)
        children.setdefault(parent, []).append(span)

    def walk(parent: str | None, depth: int) -> list[dict[str, Any]]:
        rows = []
        for span in children.get(parent, []):
            service = trace["processes"][span["processID"]]["serviceName"]
            row = {"depth": depth, "service": service, "operation": span["operationName"], "error": error_of(span)}
            rows += [row | {"microseconds": span["duration"]}, *walk(span["spanID"], depth + 1)]
        return rows

    return summary | {"trace_id": trace["traceID"], "shown": walk(None, 0)}


def of_timeline(moments: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the most important moments, in order of time."""
    ranked = sorted(moments, key=lambda moment: RANKED.index(moment["kind"]) if moment["kind"] in RANKED else len(RANKED))
    return {"moments": len(moments), "shown": [moment for moment in moments if moment in ranked[:MOMENTS]]}


def of_findings(findings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first findings, which are the most important."""
    return {"findings": len(findings), "shown": findings[:FINDINGS]}


def of_events(events: list[dict[str, Any]]) -> dict[str, Any]:
    return {"events": len(events)}


def of_objects(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return {"objects": len(objects)}


KINDS = {"findings.json": of_findings, "timeline.json": of_timeline, "events": of_events, "objects": of_objects}
KINDS |= {"report.html": lambda entries: {}, "logs": of_logs, "metrics": of_metrics, "traces": of_traces}


def main(session: Path, artifacts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a look at each artifact, in their order."""
    looks = []
    for artifact in artifacts:
        content = (session / artifact["path"]).read_bytes()
        report = artifact["path"] == "report.html"
        document = {"data": []} if report else json.loads(content)
        kind = artifact["path"] if report else artifact["path"].split("/")[1]
        look = {"kind": kind, "path": artifact["path"], "target": artifact["target"]}
        look |= {"intact": hashlib.sha256(content).hexdigest() == artifact["sha256"]}
        looks.append(look | KINDS[kind](document["data"]))
    return looks


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.load(sys.stdin))))
