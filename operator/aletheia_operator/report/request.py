"""Describes what an Investigation requests: a few lines for people, and its whole spec as YAML. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.text.display import one_line

MAX_LINES = 30
MAX_SPEC = 6_000


@dataclass(frozen=True)
class Request:
    """`lines`: pairs of a name and a text; `spec`: the spec as YAML, at most MAX_SPEC characters."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    spec: str = ""


def request_of(spec: Mapping[str, Any]) -> Request:
    """Return the description of a spec. `spec`: as in the Investigation; fields that are unset are left out."""
    lines = [(name, one_line(text, 300)) for name, text in _lines(spec)]
    return Request(lines[:MAX_LINES], _yaml(spec))


def _lines(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for target in spec.get("targets") or []:
        yield "Target", _target(target)
    named = [name for name in ("logs", "events", "objects") if spec.get(name) is not None]
    if spec.get("targets"):
        yield "Of these", ", ".join(named or ("logs", "events", "objects"))
    for metric in spec.get("metrics") or []:
        parameters = ", ".join(f"{key}={value}" for key, value in (metric.get("parameters") or {}).items())
        compared = f", compared with {metric['baseline'].get('offset')} before" if metric.get("baseline") else ""
        name = metric.get("template") or metric.get("query") or ""
        yield "Metric", f"{name} ({parameters}){compared}" if parameters else f"{name}{compared}"
    for trace in spec.get("traces") or []:
        if trace.get("fromLogs") is not None:
            yield "Traces", f"the ids that the logs contain, at most {(trace['fromLogs'] or {}).get('limit')}"
        else:
            yield "Traces", f"trace {trace['traceID']}" if trace.get("traceID") else f"of {trace.get('service')}"
    for query in spec.get("queries") or []:
        yield f"Query ({query.get('type')})", str(query.get("query"))
    yield "Rights of", spec.get("serviceAccountName") or "the operator"


def _target(target: Mapping[str, Any]) -> str:
    workload = target.get("workload")
    if workload:
        return f"{str(workload.get('kind')).lower()}/{workload.get('name')}"
    if target.get("pod"):
        return f"pod/{target['pod']}"
    selector = target.get("selector") or {}
    labels = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    return "pods with " + (", ".join(labels) or str(selector))


def _yaml(spec: Mapping[str, Any]) -> str:
    import yaml

    text = str(yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=False, width=100))
    return text if len(text) <= MAX_SPEC else text[:MAX_SPEC] + "\n…"
