"""Shapes of lines: what lines with the same beginning have in common, so that most lines of a log need no pattern."""

from typing import NamedTuple

from aletheia_operator.logs.forms.heads import usual_spans

Parts = tuple[tuple[str, slice], ...]  # of a line, by the field's name
LONGEST_SHAPE = 256  # characters


class Shape(NamedTuple):
    """The level of equally shaped lines, the places of their fields, and where their message begins."""

    level: str
    parts: Parts
    message_at: int


def shape_of(line: str) -> Shape | None:
    """Return the shape of all lines that begin like this one: equal up to the first ": " except for digits, then a letter.

    None if the beginning does not determine the shape. The patterns of the usual head treat all digits alike, and do not read
    beyond the ": " if a letter follows.
    """
    end = line.find(": ", 0, LONGEST_SHAPE) + 2
    if not line[end : end + 1].isalpha() or (read := usual_spans(line)) is None:
        return None
    found, spans, message_at = read
    if found.level is None or message_at != end:
        return None
    return Shape(found.level, tuple((name, slice(*spans[name])) for name in found.fields or ()), end)
