"""Pieces of an answer by number: the first few MiB in memory, the others in a scratch file."""

import errno
from collections.abc import Callable

from aletheia_operator.scratch import Scratch

MEMORY_BYTES = 4 * 1024 * 1024


class Spill:
    """Takes pieces and gives them back until `close`. Blocks; raises OSError, also once it is closed."""

    def __init__(self, scratch: Callable[[], Scratch]) -> None:
        self._new_scratch = scratch
        self._scratch: Scratch | None = None
        self._pieces: list[bytes | int] = []  # itself, or its number in the scratch file
        self._left = MEMORY_BYTES
        self._closed = False

    def put(self, piece: bytes) -> int:
        """Keep a piece; its number."""
        if self._closed:
            raise OSError(errno.EBADF, "the pieces of this answer were given up")
        self._left -= len(piece)
        if self._left >= 0:
            self._pieces.append(piece)
        else:
            if self._scratch is None:
                self._scratch = self._new_scratch()
            self._pieces.append(self._scratch.put(piece))
        return len(self._pieces) - 1

    def get(self, number: int) -> bytes:
        """The piece with this number."""
        piece = self._pieces[number]
        if isinstance(piece, bytes):
            return piece
        assert self._scratch is not None
        return self._scratch.get(piece)

    def close(self) -> None:
        """Give up all pieces. A second call does nothing."""
        closed, self._closed = self._closed, True
        self._pieces = []
        if self._scratch is not None and not closed:
            self._scratch.close()
