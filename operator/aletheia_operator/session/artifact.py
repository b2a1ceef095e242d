"""One artifact on its way to the disk: entries wait in a scratch, then the file is written whole under a temporary name.

The metadata stands first in the file but is known last, hence the scratch. In a sealed session neither touches the disk
as plain text.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from aletheia_operator.scratch import Scratch, Stored, require_space, write_all
from aletheia_operator.session.files import open_new, temporary
from aletheia_operator.session.seal import Seal
from aletheia_operator.text.batches import SEPARATOR, Encoded
from aletheia_operator.text.encoding import dumps

BLOCK_BYTES = 1024 * 1024


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
        self._scratch = Scratch(path.parent, encrypted=seal is not None)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._blocks: list[tuple[Scratch, int]] = []  # that are stored, in order
        self._held = {id(self._scratch): self._scratch}

    def append(self, entries: Sequence[Any] | Encoded) -> None:
        """Add entries, each on its own line of the file."""
        entries = encoded(entries)
        if not entries.count:
            return
        if isinstance(entries, Stored):
            self._flush()
            self._refer(entries)
        else:
            self._pending.append(entries.block)
            self._pending_bytes += len(entries.block)
            if self._pending_bytes >= BLOCK_BYTES:
                self._flush()
        self.size_bytes += len(entries.block) + (len(SEPARATOR) if self.count else 0)
        self.count += entries.count

    def _flush(self) -> None:
        if self._pending:
            self._blocks.append((self._scratch, self._scratch.put(SEPARATOR.join(self._pending))))
            self._pending, self._pending_bytes = [], 0

    def _refer(self, stored: Stored) -> None:
        """Entries that are on the disk already stay where they are until `commit`."""
        if id(stored.scratch) not in self._held:
            stored.scratch.hold()
            self._held[id(stored.scratch)] = stored.scratch
        self._blocks.append((stored.scratch, stored.number))

    def _plain(self) -> Iterator[bytes | memoryview]:
        """The entries; what is given is good until the next is asked for."""
        buffer = bytearray(max((scratch.size(number) for scratch, number in self._blocks), default=0))
        for position, (scratch, number) in enumerate(self._blocks):
            if position:
                yield SEPARATOR
            yield scratch.read(number, buffer)
        if self._pending:
            yield (SEPARATOR if self._blocks else b"") + SEPARATOR.join(self._pending)

    def commit(self, metadata: dict[str, Any]) -> tuple[int, str]:
        """Write the file whole, as it will lie; its size in bytes and its SHA-256 in hex. Raises OSError."""
        head = b'{"source": %s,\n"metadata": %s,\n"data": [\n' % (dumps(self._source), dumps(metadata))
        tail = b"\n]}\n" if self.count else b"]}\n"
        new = temporary(self._path)
        require_space(self._path.parent, self.size_bytes + len(head) + len(tail))
        plain = chain([head], self._plain(), [tail])
        digest = hashlib.sha256()
        size = 0

        def write(chunk: bytes | memoryview) -> None:
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
        held, self._held = self._held, {}
        for scratch in held.values():
            scratch.close()


def encoded(entries: Sequence[Any] | Encoded) -> Encoded:
    """Entries as they stand in the file; those that were not encoded have no level."""
    if isinstance(entries, Encoded):
        return entries
    return Encoded(SEPARATOR.join(map(dumps, entries)), bytes(len(entries)))
