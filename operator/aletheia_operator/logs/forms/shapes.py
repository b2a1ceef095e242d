"""Shapes: what holds of all lines that begin alike, so that most lines of a log need no pattern."""

from typing import NamedTuple

from aletheia_operator.logs.forms.heads import usual_spans

Parts = tuple[tuple[str, slice], ...]  # of a line, by the field's name
LONGEST_SHAPE = 256  # characters


class Shape(NamedTuple):
    """Of lines that are alike: their level, where their fields are, and where their message begins."""

    level: str
    parts: Parts
    message_at: int


def shape_of(line: str) -> Shape | None:
    """What holds of every line that begins like this one up to its first ": ", whatever the digits, and goes on with a letter.

    None if that is not enough to know a line. The patterns of the usual head take all digits alike, and look no further than
    that if a letter follows.
    """
    end = line.find(": ", 0, LONGEST_SHAPE) + 2
    if not line[end : end + 1].isalpha() or (read := usual_spans(line)) is None:
        return None
    found, spans, message_at = read
    if found.level is None or message_at != end:
        return None
    return Shape(found.level, tuple((name, slice(*(spans[name] or ()))) for name in found.fields or ()), end)
