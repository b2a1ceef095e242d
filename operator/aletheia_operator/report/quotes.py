"""Quotes entries of artifacts as evidence: one or two lines of text for each kind of entry. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aletheia_operator.findings.finding import object_text
from aletheia_operator.findings.traces import spans_of
from aletheia_operator.report.axis import clock, duration
from aletheia_operator.report.charts import plain
from aletheia_operator.session.layout import category_of
from aletheia_operator.text.display import log_line, one_line
from aletheia_operator.text.sizes import counted

MAX_TEXT = 500
MAX_STATES = 4
WHOLE_STATE = "its whole state"
"""Quote of an object without a notable state."""


@dataclass(frozen=True)
class Quote:
    """One quoted entry. `when`: time of day; `source`: container or object; `tone`: colour class. '' if not known."""

    artifact: str
    entry: int
    when: str
    source: str
    text: str
    tone: str = ""
    is_context: bool = False


def quote(artifact: str, number: int, entry: Any, is_context: bool = False) -> Quote:
    """Quote an entry. `artifact`: its path, which has the category; `number`: of the entry."""
    if not isinstance(entry, dict):
        return Quote(artifact, number, "", "", one_line(str(entry), MAX_TEXT), is_context=is_context)
    made = {"logs": _log, "events": _event, "objects": _object, "metrics": _series, "traces": _trace}
    try:
        when, source, text, tone = made.get(category_of(artifact), _other)(entry)
    except (TypeError, ValueError, AttributeError, KeyError):  # of an unusual form
        when, source, text, tone = "", "", "entry of an unknown form", ""
    return Quote(artifact, number, when, one_line(source, 80), one_line(text, MAX_TEXT), tone, is_context)


def _log(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    level = str(entry.get("level") or "")
    container = str(entry.get("container") or "")
    source = container + (" (before its restart)" if entry.get("previous") else "")
    tone = {"FATAL": "bad", "ERROR": "error", "WARN": "warn"}.get(level, "")
    line = str(entry.get("line") or entry.get("message") or "")
    return clock(entry.get("timestamp")), source, log_line(line[: 4 * MAX_TEXT]), tone


def _event(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    involved = entry.get("object") or {}
    count = entry.get("count")
    times = f" ({count} times until {clock(entry.get('last'))})" if isinstance(count, int) and count > 1 else ""
    source = f"event of {object_text(involved)}"
    tone = "warn" if entry.get("type") == "Warning" else ""
    return clock(entry.get("first")), source, f"{entry.get('reason')}: {entry.get('message')}{times}", tone


def _object(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    metadata, status = entry.get("metadata") or {}, entry.get("status") or {}
    kind, name = str(entry.get("kind") or "object"), metadata.get("name")
    parts = [*_states(status), *_conditions(status), *_counts(kind, entry)]
    return "", f"{kind.lower()}/{name}", "; ".join(parts) or WHOLE_STATE, ""


def _states(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield the states of a pod's containers."""
    containers = [container for key in ("initContainerStatuses", "containerStatuses") for container in status.get(key) or []]
    for container in containers[:MAX_STATES]:
        parts = [f"restartCount {container['restartCount']}"] if container.get("restartCount") else []
        for field in ("state", "lastState"):
            for state, more in (container.get(field) or {}).items():
                more = more or {}
                text = " ".join(str(more[key]) for key in ("reason", "message") if more.get(key))
                text += f" exitCode {more['exitCode']}" if "exitCode" in more else ""
                when = more.get("finishedAt") or more.get("startedAt")
                parts.append(f"{field} {state}" + (f" {text}" if text else "") + (f" at {clock(when)}" if when else ""))
        yield f"{container.get('name')}: {', '.join(parts)}"


def _conditions(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield the conditions that have a reason or a message."""
    for condition in (status.get("conditions") or [])[:20]:
        if condition.get("message") or condition.get("reason"):
            yield f"{condition.get('type')}={condition.get('status')}: {condition.get('reason') or ''} " + (
                str(condition.get("message") or "")
            )


def _counts(kind: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the replicas and the phase of an object, and when it was changed or created."""
    spec, status = entry.get("spec") or {}, entry.get("status") or {}
    for key in ("replicas", "minReplicas", "maxReplicas"):
        if key in spec:
            yield f"{key} {spec[key]}"
    for key in ("readyReplicas", "availableReplicas", "currentReplicas", "failed", "succeeded", "phase"):
        if key in status:
            yield f"{key} {status[key]}"
    if entry.get("exists") is False:
        yield "it does not exist"
    changed = entry.get("changedAt")
    created = (entry.get("metadata") or {}).get("creationTimestamp")
    if kind in ("ConfigMap", "Secret", "ReplicaSet", "ControllerRevision") and (changed or created):
        yield f"changed at {clock(changed)}" if changed else f"created at {clock(created)}"


def _series(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    labels = entry.get("metric") or {}
    values = []
    for pair in entry.get("values") or []:
        try:
            values.append(float(pair[1]))
        except (TypeError, ValueError, IndexError):
            continue
    name = ", ".join(f"{key}={value}" for key, value in labels.items()) or "series"
    text = f"from {plain(values[0])} to {plain(values[-1])}, at most {plain(max(values))}" if values else "no samples"
    return "", "metric", f"{name}: {text}", ""


def _trace(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    spans = list(spans_of(entry))
    failed = [span for _, span in spans if span.failed]
    longest = max((span.duration for _, span in spans), default=0.0)
    first = next((f"{span.service} {span.operation}" for span in failed if span.words), "")
    words = next((span.words for span in failed if span.words), "")
    text = f"{counted(len(spans), 'span')}, {duration(longest / 1e6)}, {len(failed)} failed" + (
        f": {first}: {words}" if words else ""
    )
    return "", f"trace {entry.get('traceID') or ''}".strip(), text, "error" if failed else ""


def _other(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    words = entry.get("message") or entry.get("line") or ", ".join(f"{key}={value}" for key, value in [*entry.items()][:6])
    return clock(entry.get("timestamp")), "", str(words), ""
