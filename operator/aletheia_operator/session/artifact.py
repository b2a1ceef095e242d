"""One artifact on its way to the disk: entries wait in a spool, then the file is written whole under a temporary name.

The metadata stands first in the file but is known last, hence the spool. In a sealed session neither touches the disk
as plain text.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from aletheia_operator.session.files import open_new, require_space, temporary, write_all
from aletheia_operator.session.seal import Seal, SpoolCipher
from aletheia_operator.text.entries import SEPARATOR, Encoded

BLOCK_BYTES = 1024 * 1024


class Spool:
    """Bytes that wait: up to a block in memory, then in an unlinked file, encrypted where there is a cipher."""

    def __init__(self, directory: Path, cipher: SpoolCipher | None) -> None:
        self._directory = directory
        self._cipher = cipher
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._descriptor = -1
        self._ends = [0]  # of the blocks on disk

    def write(self, content: bytes) -> None:
        self._pending.append(content)
        self._pending_bytes += len(content)
        if self._pending_bytes >= BLOCK_BYTES:
            self._flush()

    def blocks(self) -> Iterator[bytes]:
        """All that was written, in order."""
        for number in range(len(self._ends) - 1):
            yield self.get(number)
        yield b"".join(self._pending)

    def put(self, block: bytes) -> int:
        """Store a block of its own; its number, for `get`."""
        if self._cipher is not None:
            block = self._cipher.encrypt(len(self._ends) - 1, block)
        require_space(self._directory, len(block))
        if self._descriptor < 0:
            with tempfile.TemporaryFile(dir=self._directory, buffering=0) as file:
                self._descriptor = os.dup(file.fileno())
        write_all(self._descriptor, block)
        self._ends.append(self._ends[-1] + len(block))
        return len(self._ends) - 2

    def get(self, number: int) -> bytes:
        block = _read_exactly(self._descriptor, self.size(number), self._ends[number])
        return block if self._cipher is None else self._cipher.decrypt(number, block)

    def size(self, number: int) -> int:
        """Bytes of a block as it is stored."""
        return self._ends[number + 1] - self._ends[number]

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self) -> None:
        self.put(b"".join(self._pending))
        self._pending, self._pending_bytes = [], 0


class ArtifactWriter:
    """Writes one artifact: `append` entries, then `commit` with what is known at the end, or `discard`.

    A committed artifact is whole and synced under a temporary name; `Session.record` makes it appear under its own.
    """

    def __init__(self, path: Path, relative_path: str, source: str, seal: Seal | None = None) -> None:
        self.relative_path = relative_path
        self.count = 0
        self.size_bytes = 0
        self._path = path
        self._source = source
        self._seal = seal
        self._spool = Spool(path.parent, seal.spool_cipher() if seal else None)

    def append(self, entries: Sequence[Any] | Encoded) -> None:
        """Add entries, each on its own line of the file."""
        entries = encoded(entries)
        if not entries.count:
            return
        if self.count:
            self._spool.write(SEPARATOR)
        self._spool.write(entries.block)
        self.count += entries.count
        self.size_bytes += len(entries.block)

    def commit(self, metadata: dict[str, Any]) -> tuple[int, str]:
        """Write the file whole, as it will lie; its size in bytes and its SHA-256 in hex. Raises OSError."""
        head = b'{"source": %s,\n"metadata": %s,\n"data": [\n' % (_encode(self._source), _encode(metadata))
        tail = b"\n]}\n" if self.count else b"]}\n"
        new = temporary(self._path)
        require_space(self._path.parent, self.size_bytes + len(head) + len(tail))
        plain = chain([head], self._spool.blocks(), [tail])
        digest = hashlib.sha256()
        size = 0

        def write(chunk: bytes) -> None:
            nonlocal size
            write_all(descriptor, chunk)
            digest.update(chunk)
            size += len(chunk)

        descriptor = open_new(new)
        try:
            if self._seal is None:
                for chunk in plain:
                    write(chunk)
            else:
                self._seal.encrypt(plain, write)
            os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise
        finally:
            os.close(descriptor)
            self.discard()
        return size, digest.hexdigest()

    def discard(self) -> None:
        self._spool.close()


def encoded(entries: Sequence[Any] | Encoded) -> Encoded:
    """Entries as they stand in the file."""
    return entries if isinstance(entries, Encoded) else Encoded(SEPARATOR.join(map(_encode, entries)), len(entries))


def _encode(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a lone surrogate, or an integer past 64 bits: the standard encoder escapes or spells them
        return json.dumps(value).encode()


def _read_exactly(descriptor: int, size: int, offset: int) -> bytes:
    parts = []
    while size:
        part = os.pread(descriptor, size, offset)
        if not part:
            raise OSError("the spool is shorter than what was written to it")
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return b"".join(parts)
