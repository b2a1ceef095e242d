"""Formats the difference of two sessions for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from aletheia_operator.session.manifest import Manifest
from aletheia_operator.show.diff import Difference
from aletheia_operator.show.layout import Block, Column, Paragraph, Span, Table, paragraph
from aletheia_operator.text.timestamps import to_the_second

MAX_SAME = 10


def diff_blocks(found: Difference, before: Manifest | None, after: Manifest) -> Iterator[Block]:
    """Yield what differs. `before` None: `after` is compared with its own baseline."""
    if before is not None:
        yield from _headline("before", before)
    yield from _headline("now", after)
    if before is not None:
        yield from _errors("NEW ERRORS", found.new, "bad", "none")
        yield from _errors("GONE ERRORS", found.gone, "good", "none")
        yield from _in_both(found)
    yield from _settings(found, "CHANGED SETTINGS" if before is not None else "CHANGED WITHIN THE WINDOW")
    yield from _moved(found, "NOW" if before is not None else "WINDOW", "BEFORE" if before is not None else "BASELINE")


def _headline(name: str, manifest: Manifest) -> Iterator[Block]:
    owner = manifest.investigation
    window = " to ".join(map(to_the_second, manifest.window))
    about = f"{manifest.session_id} {owner.namespace}/{owner.name}, {window}"
    yield paragraph(f"{name}: {about}", "dim", hanging=2)
    yield Paragraph((Span("  "), Span(manifest.headline or "no headline", "head")), hanging=2)


def _title(words: str) -> Iterator[Block]:
    yield paragraph("")
    yield paragraph(words, "head")


def _errors(title: str, errors: Sequence[Any], style: str, none: str) -> Iterator[Block]:
    yield from _title(title)
    if not errors:
        yield paragraph(none, "dim", indent=2)
        return
    columns = (Column("", right=True), Column(""), Column("", wraps=True))
    yield Table(columns, [_error(error, style) for error in errors])


def _error(error: Any, style: str) -> Sequence[Span]:
    template = str(error.get("template") or "")
    words = template if "*" in template else str(error.get("example") or template)
    return Span(f"  {error.get('count')}x"), Span(str(error.get("level") or ""), style), Span(words)


def _in_both(found: Difference) -> Iterator[Block]:
    if not found.both:
        return
    yield from _title("ERRORS OF BOTH")
    rows = [
        (
            Span(f"  {before}x → {error.get('count')}x"),
            Span(str(error.get("level") or "")),
            Span(str(error.get("template") or "")),
        )
        for error, before in found.both[:MAX_SAME]
    ]
    yield Table((Column("", right=True), Column(""), Column("", wraps=True)), rows)
    if (more := len(found.both) - MAX_SAME) > 0:
        yield paragraph(f"and {more} more: -o json has all", "dim", indent=2)


def _settings(found: Difference, title: str) -> Iterator[Block]:
    yield from _title(title)
    if not found.settings:
        yield paragraph("none", "dim", indent=2)
        return
    rows = [
        (Span(f"  {setting.object}"), Span(setting.name, "change"), Span(_values(setting.before, setting.after)))
        for setting in found.settings
    ]
    yield Table((Column("", shrinks=True), Column("", shrinks=True), Column("", wraps=True)), rows)


def _values(before: str | None, after: str | None) -> str:
    if before is None:
        return str(after)
    return f"{before} removed" if after is None else f"{before} → {after}"


def _moved(found: Difference, now: str, before: str) -> Iterator[Block]:
    yield from _title(f"MOVED METRICS ({found.compared} series compared)")
    if not found.moved:
        yield paragraph("none", "dim", indent=2)
        return
    columns = (
        Column("  METRIC", shrinks=True),
        Column("SERIES", shrinks=True),
        Column(before, right=True),
        Column(now, right=True),
    )
    rows = []
    for moved in found.moved:
        labels = ", ".join(f"{key}={value}" for key, value in moved.labels.items())
        rows.append((Span(f"  {moved.metric}"), Span(labels), Span(moved.shown[0]), Span(moved.shown[1], "warn")))
    yield Table(columns, rows)
