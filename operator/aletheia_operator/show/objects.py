"""Formats captured objects: as a list with their state, or whole as YAML."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aletheia_operator.report.quotes import WHOLE_STATE, quote
from aletheia_operator.show.layout import Block, Column, Span, Table
from aletheia_operator.text.yaml_text import yaml_text

Entry = Mapping[str, Any]
Numbered = tuple[str, int, Entry]
"""An entry with its artifact and its number."""
_TROUBLES = ("NetworkUnavailable", "Failed", "ReplicaFailure", "Stalled", "DisruptionTarget", "ScalingLimited")
"""Conditions that are True if something is wrong."""
_BAD = ("CrashLoopBackOff", "Error", "ErrImage", "ImagePull", "OOMKilled", "Evicted", "Failed", "Unschedulable", "BackOff")


def place_of(entry: Entry) -> str:
    """Return kind/name of an object."""
    metadata = entry.get("metadata") or {}
    return f"{str(entry.get('kind') or 'object').lower()}/{metadata.get('name')}"


def without_doubles(entries: Iterable[Numbered]) -> Iterator[Numbered]:
    """Yield each object once: several targets may share one."""
    seen: set[tuple[str, str]] = set()
    for artifact, number, entry in entries:
        key = place_of(entry), str((entry.get("metadata") or {}).get("namespace") or "")
        if key not in seen:
            seen.add(key)
            yield artifact, number, entry


def object_blocks(entries: Iterable[Numbered]) -> Iterator[Block]:
    """Yield the objects as a table."""
    columns = (Column("OBJECT", shrinks=True), Column("CREATED"), Column("STATE", wraps=True))
    yield Table(columns, (_row(*entry) for entry in entries))


def _row(artifact: str, number: int, entry: Entry) -> Sequence[Span]:
    created = str((entry.get("metadata") or {}).get("creationTimestamp") or "")
    state = "; ".join(part for part in quote(artifact, number, entry).text.split("; ") if not _is_normal(part))
    style = "error" if any(word in state for word in _BAD) else ""
    return Span(place_of(entry), style), Span(created), Span(state)


def _is_normal(part: str) -> bool:
    """Return whether a part of an object's state shows no trouble."""
    name, status, _ = (*part.partition(":")[0].partition("="),)
    is_trouble = name in _TROUBLES or name.endswith("Pressure")
    return (
        part == WHOLE_STATE
        or part.startswith("created at ")
        or (status == "=" and part.startswith(f"{name}={not is_trouble}:"))
    )


def as_yaml(entry: Entry) -> str:
    """Return an object as YAML. Hidden characters are escaped."""
    return "---\n" + yaml_text(dict(entry))
