"""Stores pieces of an answer: the first few MiB in memory, the rest in a scratch file."""

import errno
from collections.abc import Callable
from dataclasses import dataclass

from aletheia_operator.scratch import Scratch

MEMORY_BYTES = 4 * 1024 * 1024


class Spill:
    """Stores pieces by number until `close`. Blocks; raises OSError, also after `close`."""

    def __init__(self, scratch: Callable[[], Scratch], memory_bytes: int | None = None) -> None:
        self._new_scratch = scratch
        self._scratch: Scratch | None = None
        self._pieces: list[bytes | int] = []  # the piece, or its number in the scratch file
        self._left = MEMORY_BYTES if memory_bytes is None else memory_bytes
        self._closed = False

    def put(self, piece: bytes) -> int:
        """Store a piece and return its number."""
        if self._closed:
            raise OSError(errno.EBADF, "the pieces of this answer are closed")
        self._left -= len(piece)
        if self._left >= 0:
            self._pieces.append(piece)
        else:
            if self._scratch is None:
                self._scratch = self._new_scratch()
            self._pieces.append(self._scratch.put(piece))
        return len(self._pieces) - 1

    def keep(self, piece: bytes) -> "Piece":
        """Store a piece, and return a reference to it."""
        return Piece(self, self.put(piece), len(piece))

    def get(self, number: int) -> bytes:
        """Return the piece with this number."""
        piece = self._pieces[number]
        if isinstance(piece, bytes):
            return piece
        assert self._scratch is not None
        return self._scratch.get(piece)

    def close(self) -> None:
        """Drop all pieces and close the scratch file. A second call does nothing."""
        closed, self._closed = self._closed, True
        self._pieces = []
        if self._scratch is not None and not closed:
            self._scratch.close()


@dataclass(frozen=True)
class Piece:
    """A reference to a stored piece."""

    spill: Spill
    number: int
    size_bytes: int

    def read(self) -> bytes:
        """Return the piece. Blocks; raises OSError."""
        return self.spill.get(self.number)
