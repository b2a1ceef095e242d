"""Formats the timeline: what happened, in order of time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from aletheia_operator.report.lanes import tone_of
from aletheia_operator.show.layout import Block, Column, Span, Table
from aletheia_operator.show.times import Times

STYLES = {"bad": "bad", "error": "error", "warn": "warn", "change": "change", "fine": "good", "quiet": "dim"}
Entry = Mapping[str, Any]


def timeline_blocks(entries: Iterable[Entry], times: Times) -> Iterator[Block]:
    """Yield the moments as a table."""
    columns = (Column("TIME"), Column("KIND"), Column("OBJECT", shrinks=True), Column("WHAT", wraps=True))
    yield Table(columns, (_row(entry, times) for entry in entries))


def _row(entry: Entry, times: Times) -> Sequence[Span]:
    kind = str(entry.get("kind") or "")
    place = str(entry.get("object") or "")
    container = entry.get("container")
    count, end = entry.get("count"), entry.get("end")
    more = f" ({count}x" + (f" until {times(end)})" if end else ")") if isinstance(count, int) and count > 1 else ""
    words = str(entry.get("message") or "")
    return (
        Span(times(entry.get("timestamp"))),
        Span(kind, STYLES.get(tone_of(kind), "")),
        Span(f"{place}/{container}" if container and place.startswith("pod/") else place),
        Span(words if more and words.endswith(str(times(end))) else words + more),
    )


def matches(pattern: Any, *texts: object) -> bool:
    """Return whether a compiled pattern (None: every text) is found in one of the texts."""
    return pattern is None or any(pattern.search(str(text or "")) for text in texts)


def object_filter(names: Sequence[str]) -> Callable[[str], bool]:
    """Return a test: does an object, `kind/name`, match one of `names` (`NAME` or `KIND/NAME`)? Without names all match."""

    def is_named(place: str) -> bool:
        kind, _, name = place.partition("/")
        return not names or any(_is(wanted, kind.lower(), name) for wanted in names)

    return is_named


def _is(wanted: str, kind: str, name: str) -> bool:
    wanted_kind, _, wanted_name = wanted.rpartition("/")
    if wanted_kind and not kind.startswith(_SHORT.get(wanted_kind.lower(), wanted_kind.lower().removesuffix("s"))):
        return False
    return name == wanted_name or name.startswith(f"{wanted_name}-")


_SHORT = {
    "po": "pod", "deploy": "deployment", "sts": "statefulset", "ds": "daemonset", "rs": "replicaset", "no": "node",
    "svc": "service", "cm": "configmap", "hpa": "horizontalpodautoscaler", "pvc": "persistentvolumeclaim", "ing": "ingress",
    "ep": "endpoint", "ns": "namespace", "sa": "serviceaccount", "cj": "cronjob", "netpol": "networkpolic",
    "pv": "persistentvolume", "pdb": "poddisruptionbudget", "quota": "resourcequota", "limits": "limitrange",
}  # fmt: skip
