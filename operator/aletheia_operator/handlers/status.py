"""Derives an Investigation's status from its session's manifest. Pure; `status_writer` writes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from aletheia_operator.api.reasons import CONDITIONS_OF_PHASE, ConditionReason, GapReason
from aletheia_operator.api.status import TERMINAL_PHASES, FindingStatus
from aletheia_operator.investigate import Snapshot
from aletheia_operator.session.manifest import wordless_headline
from aletheia_operator.text.display import for_status
from aletheia_operator.text.sizes import counted, readable_size
from aletheia_operator.text.timestamps import format_time

MAX_ARTIFACTS = 20  # more would cost the operator memory when it lists Investigations; the manifest has all
MAX_GAPS = 20
MAX_SUMMARY = 120
MAX_TARGET = 300
MAX_CONDITION = 4000  # characters of a condition's message
MAX_MESSAGE = 600
MAX_HEADLINE = 160
MAX_FINDING = 300  # characters of a finding's message
FEW = 3  # artifacts and gaps in a shortened status
SHORT = 120  # characters of a text in a shortened status
SHORTENED = " (shortened: the API server refused a longer status; the session's manifest.json has all)"

WORDLESS = "details are in data/findings.json"

Status = dict[str, Any]


def of_snapshot(snapshot: Snapshot, generation: int, before: Mapping[str, Any], now: datetime) -> Status:
    """Return the status of a capture that runs or has ended."""
    manifest = snapshot.manifest
    phase = manifest.phase
    gaps, artifacts = manifest.gaps, manifest.artifacts
    status = of_phase(phase, describe(snapshot), generation, before, now)
    status |= {
        "window": list(manifest.window),
        "session": {
            "id": manifest.session_id,
            "path": snapshot.path,
            "sizeBytes": manifest.size_bytes,
            "size": readable_size(manifest.size_bytes),
            "redactions": manifest.redactions,
        },
        "artifacts": [
            a.to_status() | {"target": for_status(a.target, MAX_TARGET), "summary": for_status(a.summary, MAX_SUMMARY)}
            for a in artifacts[:MAX_ARTIFACTS]
        ],
        "artifactCount": len(artifacts),
        "gaps": [
            g.to_json() | {"target": for_status(g.target), "message": for_status(g.message, MAX_MESSAGE)}
            for g in gaps[:MAX_GAPS]
        ],
        "findings": [_shown(finding) for finding in manifest.findings],
        "gapCount": sum(gap.severity == "gap" for gap in gaps),
        "startTime": format_time(manifest.start_time),
    }
    if snapshot.total or manifest.finished:
        status["progress"] = {"done": snapshot.done, "total": snapshot.total, "text": f"{snapshot.done}/{snapshot.total}"}
    if manifest.headline is not None:
        status["headline"] = for_status(manifest.headline, MAX_HEADLINE)
    if manifest.completion_time is not None:
        status["completionTime"] = format_time(manifest.completion_time)
    if manifest.upload is not None:
        status["session"]["uploaded"] = manifest.upload.to_json()
    if snapshot.manifest_sha256 is not None:
        status["session"]["manifestSha256"] = snapshot.manifest_sha256
    return status


def without_words(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without text of logs: with counts and levels only, and for each gap the text of its reason."""
    manifest = snapshot.manifest
    artifacts = [artifact.model_copy(update={"summary": artifact.wordless}) for artifact in manifest.artifacts]
    gaps = [gap.model_copy(update={"message": _meaning(gap.reason)}) for gap in manifest.gaps]
    findings = [finding.model_copy(update={"message": WORDLESS}) for finding in manifest.findings]
    changes: dict[str, Any] = {"artifacts": artifacts, "gaps": gaps, "findings": findings}
    if manifest.headline is not None:
        changes["headline"] = wordless_headline(findings, WORDLESS)
    return replace(snapshot, manifest=manifest.model_copy(update=changes))


def _meaning(reason: str) -> str:
    texts = [known.text for known in GapReason if known.value == reason]
    return " ".join([*texts, "(The manifest has the details.)"])


def of_phase(
    phase: str,
    message: str,
    generation: int,
    before: Mapping[str, Any],
    now: datetime,
    reason: ConditionReason | None = None,
) -> Status:
    """Return phase, conditions and observed generation.

    Ready: the session can be read. Succeeded: all requested data is captured. Reconciling and Stalled: as kstatus defines them.
    """
    why = reason.value if reason else phase
    ended = phase in TERMINAL_PHASES
    readable = phase in ("Completed", "PartiallyCompleted")
    holds_by_type = {
        "Ready": readable,
        "Reconciling": not ended,
        "Stalled": ended and not readable,
        "Succeeded": phase == "Completed" if ended else None,
    }
    conditions = [
        condition(kind, holds, why, message, generation, conditions_of(before), now) for kind, holds in holds_by_type.items()
    ]
    others = [entry for entry in conditions_of(before) if entry["type"] not in CONDITIONS_OF_PHASE]
    return {"observedGeneration": generation, "phase": phase, "conditions": [*conditions, *others]}


def conditions_of(status: Mapping[str, Any]) -> list[Status]:
    """Return the conditions in a status; [] without any."""
    return list(status.get("conditions") or [])


def shortened(status: Status) -> Status:
    """Return the status with few artifacts and gaps and short texts, for an API server that refused it as too large."""
    short = {**status}
    for name, text in (("artifacts", "summary"), ("gaps", "message"), ("findings", "message")):
        if status.get(name):
            short[name] = [{**item, text: for_status(item[text], SHORT)} for item in status[name][:FEW]]
    return short


def minimal(status: Status) -> Status:
    """Return only what users and kstatus need. Messages say that it is shortened; fields written before are removed."""
    kept: Status = {
        name: status[name] for name in ("observedGeneration", "phase", "operator", "completionTime") if name in status
    }
    if session := status.get("session"):
        kept["session"] = {name: session.get(name) for name in ("id", "path", "manifestSha256")} | {"uploaded": None}
    conditions = [{**entry, "message": for_status(entry["message"], SHORT) + SHORTENED} for entry in conditions_of(status)]
    return {
        **kept,
        "conditions": conditions,
        "artifacts": None,
        "gaps": None,
        "findings": None,
        "window": None,
        "progress": None,
    }


def condition(
    kind: str,
    holds: bool | None,
    reason: str,
    message: str,
    generation: int,
    before: Sequence[Mapping[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    """Return a metav1.Condition, with an inert message. Its transition time changes only with its status."""
    status = "Unknown" if holds is None else str(holds)
    old = next((entry for entry in before if entry.get("type") == kind and entry.get("status") == status), None)
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": for_status(message, MAX_CONDITION),
        "observedGeneration": generation,
        "lastTransitionTime": old["lastTransitionTime"] if old else format_time(now.replace(microsecond=0)),
    }


def describe(snapshot: Snapshot) -> str:
    """Describe the state of a capture on one line."""
    manifest = snapshot.manifest
    if snapshot.uploaded is not None:
        return f"captured; {snapshot.uploaded} of {counted(len(manifest.artifacts), 'artifact')} uploaded"
    if not manifest.finished:
        return (
            f"{snapshot.done} of {counted(snapshot.total, 'question')} done"
            if snapshot.total
            else "finding out what there is to ask"
        )
    text = f"{for_status(manifest.headline, MAX_HEADLINE)}; " if manifest.headline else ""
    text += f"{counted(len(manifest.artifacts), 'artifact')} in session {manifest.session_id}"
    for severity in ("gap", "note"):
        if found := [gap for gap in manifest.gaps if gap.severity == severity]:
            reasons = ", ".join(sorted({gap.reason for gap in found}))
            text += f"; {counted(len(found), severity)} ({reasons}): see status.gaps"
    if manifest.upload is not None:
        text += f"; uploaded to {manifest.upload.url}"
    return text


def _shown(finding: FindingStatus) -> Status:
    """Return a finding with inert text."""
    return finding.model_copy(update={"message": for_status(finding.message, MAX_FINDING)}).to_json()
