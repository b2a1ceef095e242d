"""The format of artifacts, its writer and its reader, and the buffer for entries until their file is written.

    {"source": "kubernetes",
    "metadata": {...},
    "data": [
    {...},
    {...}
    ]}

There is one entry on each line. The metadata comes first in the file but is known last, so entries are buffered. In a sealed
session neither the buffer nor the file is on the disk as plain text. All calls block; files of any size take flat memory.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from aletheia_operator.scratch import Scratch, Stored, require_space, write_all
from aletheia_operator.session.files import open_new, removed_on_error, temporary
from aletheia_operator.session.seal import Seal
from aletheia_operator.text.batches import SEPARATOR, Encoded
from aletheia_operator.text.encoding import dumps

BLOCK_BYTES = 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024 * 1024
HEAD_LINES = 3
"""Number of lines before the first entry."""
END = b"]}"
"""The line after the last entry."""
_METADATA = b'"metadata": '
_DATA = b'"data": ['


class EntryBuffer:
    """Entries of one artifact, in order: `add` them, write the artifact, then `close`.

    At most 1 MiB is in memory, the rest in a scratch file. Entries that are in a scratch file already (`Stored`) stay there.
    """

    def __init__(self, scratch: Callable[[], Scratch]) -> None:
        self.count = 0
        self.size_bytes = 0
        self._new_scratch = scratch
        self._scratch: Scratch | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._blocks: list[tuple[Scratch, int]] = []  # stored blocks, in order
        self._borrowed: dict[int, Scratch] = {}  # scratch files of others, kept open until `close`

    @property
    def uses_files(self) -> bool:
        """Whether entries are in scratch files."""
        return bool(self._blocks)

    def add(self, batch: Encoded) -> None:
        """Add entries. Raises OSError."""
        if not batch.count:
            return
        if isinstance(batch, Stored):
            self._flush()
            self._refer(batch)
        else:
            self._pending.append(batch.block)
            self._pending_bytes += len(batch.block)
            if self._pending_bytes >= BLOCK_BYTES:
                self._flush()
        self.size_bytes += len(batch.block) + (len(SEPARATOR) if self.count else 0)
        self.count += batch.count

    def blocks(self) -> Iterator[bytes | memoryview]:
        """Yield the entries with separators between. A block is valid until the next one is requested. Raises OSError."""
        buffer = bytearray(max((scratch.size(number) for scratch, number in self._blocks), default=0))
        for position, (scratch, number) in enumerate(self._blocks):
            if position:
                yield SEPARATOR
            yield scratch.read(number, buffer)
        if self._pending:
            yield (SEPARATOR if self._blocks else b"") + SEPARATOR.join(self._pending)

    def close(self) -> None:
        """Drop the entries and release the scratch files."""
        scratches, self._borrowed = [*self._borrowed.values()], {}
        if self._scratch is not None:
            scratches.append(self._scratch)
            self._scratch = None
        for scratch in scratches:
            scratch.close()

    def _flush(self) -> None:
        if self._pending:
            if self._scratch is None:
                self._scratch = self._new_scratch()
            self._blocks.append((self._scratch, self._scratch.put(SEPARATOR.join(self._pending))))
            self._pending, self._pending_bytes = [], 0

    def _refer(self, stored: Stored) -> None:
        if id(stored.scratch) not in self._borrowed:
            stored.scratch.hold()
            self._borrowed[id(stored.scratch)] = stored.scratch
        self._blocks.append((stored.scratch, stored.number))


@dataclass(frozen=True)
class WrittenFile:
    """An artifact's file: complete and synced, under a temporary name until `Session.record`. `path` is relative."""

    path: str
    size_bytes: int
    sha256: str


def write_artifact(
    path: Path,
    source: str,
    metadata: dict[str, Any],
    entries: EntryBuffer,
    seal: Seal | None,
    check: Callable[[int], None],
) -> tuple[int, str]:
    """Write the complete file beside `path`, under its temporary name. Returns its size in bytes and its SHA-256 in hex.

    `check`: called with the descriptor of the new file, before anything is written. On an OSError nothing is left.
    """
    head = b'{"source": %s,\n"metadata": %s,\n"data": [\n' % (dumps(source), dumps(metadata))
    tail = b"\n]}\n" if entries.count else b"]}\n"
    plain = chain([head], entries.blocks(), [tail])
    return write_file(path, plain, entries.size_bytes + len(head) + len(tail), seal, check)


def write_file(
    path: Path,
    plain: Iterable[bytes | memoryview],
    size_bytes: int,
    seal: Seal | None,
    check: Callable[[int], None],
) -> tuple[int, str]:
    """Write a complete file beside `path`, as `write_artifact` does. `size_bytes`: of `plain`."""
    new = temporary(path)
    require_space(path.parent, size_bytes)
    digest = hashlib.sha256()
    size = 0

    def write(chunk: bytes | memoryview) -> None:
        nonlocal size
        write_all(descriptor, chunk)
        digest.update(chunk)
        size += len(chunk)

    descriptor = open_new(new)
    with removed_on_error(new):
        try:
            check(descriptor)
            if seal is None:
                for chunk in plain:
                    write(chunk)
            else:
                seal.encrypt(plain, write)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return size, digest.hexdigest()


def read_metadata(file: BinaryIO) -> dict[str, Any]:
    """Read the metadata at the beginning of a plain artifact; `entry_lines` reads on from there.

    Raises ValueError if it is no artifact, or if its metadata are longer than MAX_METADATA_BYTES.
    """
    file.readline(MAX_METADATA_BYTES)
    metadata = metadata_of(file.readline(MAX_METADATA_BYTES))
    if not file.readline(MAX_METADATA_BYTES).startswith(_DATA):
        raise ValueError("the third line of the file is not the beginning of an artifact's data")
    return metadata


def entry_lines(file: BinaryIO, max_bytes: int) -> Iterator[bytes | None]:
    """Yield the JSON of each entry; None for an entry longer than `max_bytes`. Memory is flat.

    Raises ValueError if the artifact ends before its last line.
    """
    while line := file.readline(max_bytes):
        if line.startswith(END):
            return
        if line.endswith(b"\n"):
            yield line.rstrip(b",\n")
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(BLOCK_BYTES)
        yield None
    raise ValueError("the artifact ends before its last line")


def read_artifact(path: Path) -> tuple[dict[str, Any], Iterator[Any]]:
    """Read a plain artifact. Returns its metadata and an iterator of its entries. Raises OSError, or ValueError if damaged."""
    with path.open("rb") as file:
        return read_metadata(file), _entries(path)


def metadata_of(line: bytes) -> dict[str, Any]:
    """Return the metadata of an artifact. `line`: its second line. Raises ValueError if the line is not metadata."""
    found = orjson.loads(line.removeprefix(_METADATA).rstrip(b",\n")) if line.startswith(_METADATA) else None
    if not isinstance(found, dict):
        raise ValueError("the second line of the file is not an artifact's metadata")
    return found


def _entries(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        read_metadata(file)
        yield from map(orjson.loads, filter(None, entry_lines(file, sys.maxsize)))


def encoded(entries: Sequence[Any] | Encoded) -> Encoded:
    """Encode entries as they are written to the file. Entries that are not encoded yet get no level."""
    if isinstance(entries, Encoded):
        return entries
    return Encoded(SEPARATOR.join(map(dumps, entries)), bytes(len(entries)))
