"""Remembers the shapes of a run's lines. Most logs have lines of few shapes; these become entries by a template."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from aletheia_operator.logs.forms import shape_of
from aletheia_operator.logs.framing import BEFORE_TEXT, CANONICAL_LENGTH, SECOND_LENGTH, STREAM, TEXT_AT, Form, sort_key
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.text.batches import LEVEL_CODES

MAX_SHAPES = 1000  # of a run: a usual log has few, a hostile log may have any number
MAX_WARNINGS = 1000  # likewise
LONGEST_WARNING = 500  # characters
_ESCAPED = bytes(range(10)) + bytes(range(11, 32)) + b'"\\'  # in JSON; no line has a line feed in it
ALIKE = bytes.maketrans(b"123456789" + _ESCAPED, b"000000000" + bytes(len(_ESCAPED)))
"""Makes lines of the same shape equal: every digit becomes 0, and what JSON escapes becomes NUL."""
CODE_OF = {level or None: code for code, level in enumerate(LEVEL_CODES)}


class KnownShape(NamedTuple):
    """How lines of a shape become entries: constant texts with parts of the line between them.

    The line's time is its first `stamp` characters followed by `zeros`: nodes omit trailing zeros.
    """

    stamp: int
    zeros: str
    code: int
    pieces: list[str]
    """Every second piece is a part of the line that was read last."""
    parts: Callable[[str], tuple[str, ...]]

    def entry_of(self, text: str) -> str:
        """Return the entry of a line of this shape."""
        self.pieces[1::2] = self.parts(text)
        return "".join(self.pieces)


class KnownShapes(dict[str, KnownShape]):
    """Known shapes by the beginning of their lines, up to the first ": ", with all digits alike."""

    def learn(self, beginning: str, text: str, form: Form, head: Mapping[str, Any]) -> None:
        """Learn the shape of lines that begin like this one, if the beginning determines it. `head`: members of every entry."""
        raw = text.partition(" ")[0]
        text_at = len(raw) + TEXT_AT[form] - CANONICAL_LENGTH
        if text[len(raw) - 1 : text_at] not in BEFORE_TEXT[form] or len(self) >= MAX_SHAPES:
            return
        key, shape = sort_key(raw), shape_of(text[text_at:])
        if key is None or shape is None or raw[SECOND_LENGTH] != ".":
            return
        level, fields, message_at = shape
        zeros = key[len(raw) - 1 :] if len(raw) < len(key) else ""
        stamp = CANONICAL_LENGTH - len(zeros)
        shift = len(raw) - CANONICAL_LENGTH
        stream = {"stream": text[STREAM.start + shift : STREAM.stop + shift]} if form == "file" else {}
        common = orjson.dumps({**head, **stream, "level": level}).decode()
        pieces = ['{"timestamp":"', "", f'{zeros}",{common[1:-1]},"message":"', "", '"']
        for number, (name, _) in enumerate(fields):
            pieces[-1] += f',"{name}":"' if number else f',"fields":{{"{name}":"'
            pieces += ["", '"']
        pieces[-1] += '},"line":"' if fields else ',"line":"'
        pieces += ["", '"}']
        inner = (slice(text_at + part.start, text_at + part.stop) for _, part in fields)
        outer = slice(stamp), slice(text_at + message_at, None), *inner, slice(text_at, None)
        self[beginning] = KnownShape(stamp, zeros, CODE_OF[level], pieces, itemgetter(*outer))


class Warnings(dict[str, int]):
    """Numbers of warnings by the whole line, with all digits alike."""

    def number_of(self, shape: str) -> int:
        """Return the number of a warning, above those of errors (`LevelCount.add_message`); 0 if there are too many."""
        number = self.get(shape)
        if number is None and len(self) < MAX_WARNINGS and len(shape) <= LONGEST_WARNING:
            number = self[shape] = LevelCount.MAX_MESSAGES + 1 + len(self)
        return number or 0
