"""Events, in order of time: those of Kubernetes, and entries of other sources that store events."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Any

from aletheia_operator.findings.finding import object_text
from aletheia_operator.show.layout import Block, Column, Span, Table
from aletheia_operator.show.times import Times
from aletheia_operator.text.display import one_line

MAX_TEXT = 1000

Entry = Mapping[str, Any]


def place_of(entry: Entry) -> str:
    """Return the object of an event as kind/name; '' if it names none."""
    involved = entry.get("object")
    return object_text(involved) if isinstance(involved, Mapping) else ""


def message_of(entry: Entry) -> str:
    """Return the message of an event; the fields of an entry that is no event of Kubernetes."""
    if "reason" in entry or "message" in entry:
        return str(entry.get("message") or "")
    return one_line(", ".join(f"{key}={value}" for key, value in entry.items()), MAX_TEXT)


def event_blocks(entries: Iterable[Entry], times: Times) -> Iterator[Block]:
    """Yield the events as a table."""
    columns = (Column("TIME"), Column("TYPE"), Column("REASON"), Column("OBJECT", shrinks=True), Column("MESSAGE", wraps=True))
    yield Table(columns, (_row(entry, times) for entry in entries))


def _row(entry: Entry, times: Times) -> Sequence[Span]:
    kind = str(entry.get("type") or "")
    return (
        Span(times(entry.get("first"))),
        Span(kind, "warn" if kind == "Warning" else "dim"),
        Span(str(entry.get("reason") or "")),
        Span(place_of(entry)),
        Span(message_of(entry) + repeated(entry.get("count"), times(entry.get("last")))),
    )


def repeated(count: object, end: str) -> str:
    """Return how often something happened, and until when; '' for once."""
    return f" ({count}x until {end})" if isinstance(count, int) and count > 1 else ""


def merged(streams: Iterable[Iterator[Entry]]) -> Iterator[Entry]:
    """Merge events of several artifacts by their first time."""
    return merge(*streams, key=lambda entry: str(entry.get("first") or "").removesuffix("Z"))
