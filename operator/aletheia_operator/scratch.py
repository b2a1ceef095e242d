"""What is on its way and does not fit into memory: blocks in unlinked files on the session volume. All calls block."""

import errno
import os
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aletheia_operator.text.batches import Encoded

RESERVE_BYTES = 16 * 1024 * 1024
RESERVE_SHARE = 20


def require_space(directory: Path, size_bytes: int) -> None:
    """Raise OSError (ENOSPC) where evidence of that size would leave too little for journals and manifests.

    The reserve is 16 MiB, or a twentieth of a smaller volume.
    """
    volume = os.statvfs(directory)
    reserve = min(RESERVE_BYTES, volume.f_blocks * volume.f_frsize // RESERVE_SHARE)
    free = volume.f_bavail * volume.f_frsize
    if free - size_bytes < reserve:
        raise OSError(
            errno.ENOSPC,
            f"{size_bytes} bytes are needed, {free} are free and {reserve} of these are kept for manifests:"
            " delete sessions or enlarge the volume",
        )


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


@dataclass
class Scratch:
    """Numbered blocks that wait until the last holder calls `close`, and are on the disk as long as there are any.

    `encrypted`: as ChaCha20-Poly1305, under a key that this operator's processes alone ever have. A copy in another process
    shares the file when that is given its `descriptor`.
    """

    directory: Path
    encrypted: bool
    descriptor: int = -1
    _ends: list[int] = field(default_factory=lambda: [0])  # of the blocks
    _key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    _holders: int = 1

    @property
    def is_open(self) -> bool:
        """Whether there are blocks, in a file that some process has open."""
        return len(self._ends) > 1

    def put(self, block: bytes) -> int:
        """Store a block; its number, for `get`. Raises OSError."""
        number = len(self._ends) - 1
        if self.encrypted:
            block = bytes(self._cipher.encrypt(number.to_bytes(12, "big"), block, None))
        require_space(self.directory, len(block))
        if self.descriptor < 0:
            with tempfile.TemporaryFile(dir=self.directory, buffering=0) as file:
                self.descriptor = os.dup(file.fileno())
        write_all(self.descriptor, block)
        self._ends.append(self._ends[-1] + len(block))
        return number

    def get(self, number: int) -> bytes:
        """Raises OSError."""
        block = os.pread(self.descriptor, self.size(number), self._ends[number])
        if len(block) < self.size(number):  # a large one may come in parts
            return bytes(self.read(number, bytearray(self.size(number))))
        return bytes(self._cipher.decrypt(number.to_bytes(12, "big"), block, None)) if self.encrypted else block

    def read(self, number: int, buffer: bytearray) -> bytes | memoryview:
        """As `get`, but where it can be, what is given lies in the buffer, which has room for it. Raises OSError."""
        block = memoryview(buffer)[: self.size(number)]
        _read_into(self.descriptor, block, self._ends[number])
        return bytes(self._cipher.decrypt(number.to_bytes(12, "big"), block, None)) if self.encrypted else block

    def size(self, number: int) -> int:
        """Bytes of a block as it is stored."""
        return self._ends[number + 1] - self._ends[number]

    def hold(self) -> None:
        """One more will call `close`."""
        self._holders += 1

    def close(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self.release()

    def release(self) -> None:
        """Close the file in this process; another may go on with it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    @cached_property
    def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        return ChaCha20Poly1305(self._key)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_cipher"} | {"descriptor": -1}


@dataclass(frozen=True, slots=True)
class Stored(Encoded):
    """Entries that are also a block of a scratch."""

    scratch: Scratch
    number: int


def _read_into(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        done = os.preadv(descriptor, [view], offset)
        if not done:
            raise OSError(errno.EIO, "the scratch file is shorter than what was written to it")
        view, offset = view[done:], offset + done
