"""The result of a form, and what all forms share."""

from typing import Any, NamedTuple

Fields = dict[str, Any]

HEAD_LENGTH = 512
"""Characters of a line's head that a pattern may try. This bounds the cost of a line, however long it is."""
LONG_HEAD = 4096
"""The same for forms with addresses, paths and structured data in the head."""

MAX_PARSED = 64 * 1024
"""Longest line, in characters, that is parsed whole, as JSON or pairs. Of longer lines only the head is read."""


class Recognised(NamedTuple):
    """What was recognised in a line."""

    level: str | None = None
    """TRACE DEBUG INFO WARN ERROR FATAL; None if the line has no level."""
    message: str | None = None
    """The line without its head; None if the line has none."""
    fields: Fields | None = None
    formed: bool = False
    """Whether the line has a head, so that it does not continue another line."""


NOTHING = Recognised()


KEY_LENGTH = 4


def by_key(levels: dict[str, str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Group beginnings of lines and their levels by their first KEY_LENGTH characters: most lines are compared with none."""
    table: dict[str, tuple[tuple[str, str], ...]] = {}
    for beginning, level in levels.items():
        key = beginning[:KEY_LENGTH]
        table[key] = (*table.get(key, ()), (beginning, level))
    return table


def named(level: str | None, message: str | None, **fields: str | None) -> Recognised:
    """Return a formed line with the `fields` that are not empty."""
    return Recognised(level, message, {key: value for key, value in fields.items() if value} or None, True)
