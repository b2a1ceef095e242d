"""Blocks of an answer in pieces: a little in memory, then in an unlinked file, encrypted where the session is sealed."""

import tempfile
from pathlib import Path

from aletheia_operator.session.seal import SpoolCipher

MEMORY_BYTES = 1024 * 1024


class Scratch:
    """Numbered blocks until `close`. Raises OSError where the volume refuses."""

    def __init__(self, directory: Path, cipher: SpoolCipher | None = None) -> None:
        self._file = tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=str(directory))  # noqa: SIM115
        self._cipher = cipher
        self._ends: list[int] = [0]

    def put(self, block: bytes) -> int:
        """Its number."""
        number = len(self._ends) - 1
        stored = block if self._cipher is None else self._cipher.encrypt(number, block)
        self._file.seek(self._ends[-1])
        self._file.write(stored)
        self._ends.append(self._ends[-1] + len(stored))
        return number

    def get(self, number: int) -> bytes:
        self._file.seek(self._ends[number])
        stored = self._file.read(self.size(number))
        return stored if self._cipher is None else self._cipher.decrypt(number, stored)

    def size(self, number: int) -> int:
        """Bytes of a block as it is stored."""
        return self._ends[number + 1] - self._ends[number]

    def close(self) -> None:
        self._file.close()
