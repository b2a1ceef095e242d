"""Returns entries that findings cite, as far as facts keep them: those of a sealed session cannot be read again. Pure."""

from collections.abc import Iterator
from typing import Any

from aletheia_operator.findings.evidence import Evidence
from aletheia_operator.findings.finding import MAX_LINKS, Link
from aletheia_operator.findings.verdict import Verdict

Place = tuple[str, int]
"""An artifact's path, and an entry's number."""


def kept_entries(evidence: Evidence, verdict: Verdict) -> dict[Place, Any]:
    """Return the cited objects, events and lines of logs by their place. Entries that facts do not keep are left out."""
    wanted = {_place(link) for finding in verdict.findings for link in finding.links[:MAX_LINKS]}
    wanted |= {(error["evidence"]["artifact"], error["evidence"]["entry"]) for error in verdict.top_errors}
    found: dict[Place, Any] = {}
    for facts in evidence.objects.by_kind.values():
        found |= {_place(fact.link): fact.item() for fact in facts if _place(fact.link) in wanted}
    for event in evidence.events.events:
        if _place(event.link) in wanted:
            found[_place(event.link)] = {
                "first": event.first,
                "last": event.last,
                "count": event.count,
                "type": "Warning" if event.warning else "Normal",
                "reason": event.reason,
                "message": event.message,
                "object": {"kind": event.subject.kind, "name": event.subject.name},
            }
    found |= {place: line for place, line in _lines(evidence) if place in wanted}
    return found


def _lines(evidence: Evidence) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the lines of logs with text that is kept: first lines of templates, and last lines of runs."""
    for template in evidence.logs.templates.by_shape.values():
        if template.places:
            first = next(iter(template.places.values()))
            yield _place(first.link), _entry(first.container, template.level, first.first, template.example)
    for run in evidence.logs.runs.values():
        for line in (*run.lines, *run.errors, *(kept for kept in (run.fatal, run.categorised) if kept is not None)):
            yield _place(line.link), _entry(run.container, line.level, line.stamp, line.text)


def _entry(container: str, level: str, stamp: str, text: str) -> dict[str, Any]:
    return {"timestamp": stamp or None, "container": container, "level": level or None, "line": text}


def _place(link: Link) -> Place:
    return link.artifact.path, link.entry
