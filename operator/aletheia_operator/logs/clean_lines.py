"""Remembers lines without secrets by their shape: most lines of a log differ from earlier ones only in digits."""

from collections.abc import Sequence

from aletheia_operator.logs.known_shapes import LONGEST_LINE, MAX_LINES
from aletheia_operator.redact import Redactor


class CleanLines:
    """Remembers which shapes of lines have no secrets. Lines of these shapes are not searched again.

    A few rules distinguish digits. Lines that they might match with other digits are not remembered
    (`Redactor.digits_matter`).
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._clean: set[str] = set()
        self._room = MAX_LINES

    def has(self, block: bytes, shapes: Sequence[str]) -> bool:
        """Return whether no line of a block has a secret. False also if most lines are of other shapes: search the whole block.

        If only a few are of other shapes, it searches these. `shapes`: `shapes_of(block)`.
        """
        if not self._clean:
            return False
        if self._clean.issuperset(shapes):
            return True
        others = [number for number, shape in enumerate(shapes) if shape not in self._clean]
        if len(others) > len(shapes) // 2:
            return False
        lines = block.split(b"\n")
        if self._redactor.next_line(b"\n".join([lines[number] for number in others]), 0) >= 0:
            return False
        self.add([shapes[number] for number in others])
        return True

    def add(self, shapes: Sequence[str]) -> None:
        """Remember the shapes of lines without secrets. A run can add only a limited number."""
        if self._room:
            for shape in set(shapes) - self._clean:
                self._room -= 1
                if len(shape) <= LONGEST_LINE and "\0" not in shape and not self._redactor.digits_matter(shape.encode()):
                    self._clean.add(shape)
                if not self._room:
                    return
