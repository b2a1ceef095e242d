"""Remembers the shapes of a run's lines. Most logs have lines of few shapes; these become entries by a template."""

from collections.abc import Callable, Mapping, Sequence
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
MAX_LINES = 2000  # of a run, with all digits alike
LONGEST_LINE = 300  # characters; longer ones are not remembered
_ESCAPED = bytes(range(10)) + bytes(range(11, 32)) + b'"\\'  # in JSON; no line has a line feed in it
_ALIKE = bytes.maketrans(b"123456789" + _ESCAPED, b"000000000" + bytes(len(_ESCAPED)))
CODE_OF = {level or None: code for code, level in enumerate(LEVEL_CODES)}


def shapes_of(block: bytes) -> list[str] | None:
    """Return the lines of a block with every digit as 0, and what JSON escapes as NUL; None if they are not UTF-8."""
    try:
        return block.translate(_ALIKE).decode().split("\n")
    except UnicodeDecodeError:
        return None


class KnownShape(NamedTuple):
    """How lines of a shape become entries: constant texts with parts of the line between them.

    The line's time is the first part followed by `zeros`: nodes omit trailing zeros. `code`: of its level.
    """

    zeros: str
    code: int
    pieces: list[str]
    """Every second piece is a part of the line that was read last."""
    parts: Callable[[str], tuple[str, ...]]


class KnownShapes:
    """Known shapes by the beginning of their lines, up to the first ": ", with all digits alike."""

    def __init__(self, longest: int) -> None:
        self._longest = longest  # line
        self._of_beginnings: dict[str, KnownShape] = {}
        self._of_lines: dict[str, KnownShape] = {}

    def of(self, shapes: Sequence[str]) -> list[KnownShape | None]:
        """Return the known shapes of lines (`shapes_of`); None for others."""
        found: list[KnownShape | None] = list(map(self._of_lines.get, shapes))
        if not all(found):
            for number, known in enumerate(found):
                if known is None and (known := self._by_beginning(shapes[number])) is not None:
                    found[number] = known
                    if len(self._of_lines) < MAX_LINES and len(shapes[number]) <= LONGEST_LINE:
                        self._of_lines[shapes[number]] = known
        return found

    def _by_beginning(self, shape: str) -> KnownShape | None:
        """Return the known shape of a line without escapes, with a message that begins with a letter."""
        beginning, _, message = shape.partition(": ")
        known = self._of_beginnings.get(beginning)
        return known if known and message[:1].isalpha() and "\0" not in shape and len(shape) <= self._longest else None

    def learn(self, shape: str, text: str, form: Form, head: Mapping[str, Any]) -> bool:
        """Learn the shape of lines that begin like this one. `head`: members of every entry.

        Returns whether it was learned: the beginning determines the shape, and there are not too many.
        """
        beginning, colon, _ = shape.partition(": ")
        if not colon or len(self._of_beginnings) >= MAX_SHAPES or beginning in self._of_beginnings:
            return False
        known = _known_shape(text, form, head)
        if known is not None:
            self._of_beginnings[beginning] = known
        return known is not None


def _known_shape(text: str, form: Form, head: Mapping[str, Any]) -> KnownShape | None:
    raw = text.partition(" ")[0]
    text_at = len(raw) + TEXT_AT[form] - CANONICAL_LENGTH
    if text[len(raw) - 1 : text_at] not in BEFORE_TEXT[form]:
        return None
    key, shape = sort_key(raw), shape_of(text[text_at:])
    if key is None or shape is None or raw[SECOND_LENGTH] != ".":
        return None
    level, fields, message_at = shape
    zeros = key[len(raw) - 1 :] if len(raw) < len(key) else ""
    stamp = CANONICAL_LENGTH - len(zeros)
    shift = len(raw) - CANONICAL_LENGTH
    stream = {"stream": text[STREAM.start + shift : STREAM.stop + shift]} if form == "file" else {}
    common = orjson.dumps({**head, **stream, "level": level}).decode()
    pieces = ['{"timestamp":"', "", f'{zeros}",{common[1:-1]},"message":"', "", '"']
    parts = [slice(stamp), slice(text_at + message_at, None)]
    for number, (name, part) in enumerate(fields):
        pieces[-1] += f',"{name}":"' if number else f',"fields":{{"{name}":"'
        inner = slice(text_at + part.start, text_at + part.stop)
        if any(map(str.isdecimal, text[inner])):
            parts.append(inner)
            pieces += ["", '"']
        else:
            pieces[-1] += f'{text[inner]}"'
    pieces[-1] += '},"line":"' if fields else ',"line":"'
    pieces += ["", '"}']
    return KnownShape(zeros, CODE_OF[level], pieces, itemgetter(*parts, slice(text_at, None)))


class Warnings(dict[str, int]):
    """Numbers of warnings by the whole line, with all digits alike."""

    def number_of(self, shape: str) -> int:
        """Return the number of a warning, above those of errors (`LevelCount.add_message`); 0 if there are too many."""
        number = self.get(shape)
        if number is None and len(self) < MAX_WARNINGS and len(shape) <= LONGEST_WARNING:
            number = self[shape] = LevelCount.MAX_MESSAGES + 1 + len(self)
        return number or 0
