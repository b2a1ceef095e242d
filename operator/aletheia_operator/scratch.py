"""Stores temporary data that does not fit into memory, as blocks in unlinked files on the session volume. Calls block."""

import errno
import itertools
import os
import tempfile
import threading
import weakref
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aletheia_operator.text.batches import Encoded

RESERVE_BYTES = 16 * 1024 * 1024
RESERVE_SHARE = 20


def free_space(directory: Path) -> tuple[int, int]:
    """Return the free bytes of a volume, and how many of them are the reserve for journals and manifests.

    The reserve is 16 MiB, or a twentieth of a smaller volume.
    """
    volume = os.statvfs(directory)
    return volume.f_bavail * volume.f_frsize, min(RESERVE_BYTES, volume.f_blocks * volume.f_frsize // RESERVE_SHARE)


def require_space(directory: Path, size_bytes: int) -> None:
    """Raise OSError (ENOSPC) if evidence of `size_bytes` would use the reserve for journals and manifests."""
    free, reserve = free_space(directory)
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
    """Numbered blocks in one unlinked file, which exists until the last holder calls `close`, or the owner closes.

    `encrypted`: with ChaCha20-Poly1305, under a key that only this operator's processes have. A copy in another process shares
    the file after `take` has given it the descriptor. Safe to close while other threads use it: their calls raise OSError.
    """

    directory: Path
    encrypted: bool
    owner: "Scratches | None" = None
    descriptor: int = -1
    _ends: "array[int]" = field(default_factory=lambda: array("Q", [0]))  # of the blocks
    _key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    _holders: int = 1
    _closed: bool = False

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether there are blocks in a file that some process has open."""
        return len(self._ends) > 1

    @property
    def size_bytes(self) -> int:
        """Bytes of all blocks as they are stored."""
        return self._ends[-1]

    def put(self, block: bytes) -> int:
        """Store a block and return its number, for `get`. Raises OSError, also if it is closed or over quota."""
        with self._lock:
            number = len(self._ends) - 1
            if self.encrypted:
                block = bytes(self._cipher.encrypt(number.to_bytes(12, "big"), block, None))
            if self._closed:
                raise OSError(errno.EBADF, "the scratch file is closed")
            if self.owner is not None:
                self.owner.require_room(len(block))
            require_space(self.directory, len(block))
            if self.descriptor < 0:
                with tempfile.TemporaryFile(dir=self.directory, buffering=0) as file:
                    self.descriptor = os.dup(file.fileno())
            os.lseek(self.descriptor, self._ends[-1], os.SEEK_SET)  # a failed write may have left bytes after that
            write_all(self.descriptor, block)
            self._ends.append(self._ends[-1] + len(block))
            if self.owner is not None:
                self.owner.grow(self, len(block))
            return number

    def get(self, number: int) -> bytes:
        """Return a block. Raises OSError."""
        with self._lock:
            block = os.pread(self.descriptor, self.size(number), self._ends[number])
        if len(block) < self.size(number):  # a large block may come in parts
            return bytes(self.read(number, bytearray(self.size(number))))
        return bytes(self._cipher.decrypt(number.to_bytes(12, "big"), block, None)) if self.encrypted else block

    def read(self, number: int, buffer: bytearray) -> bytes | memoryview:
        """Return a block like `get`; an unencrypted one is read into `buffer`, which must have room for it. Raises OSError."""
        block = memoryview(buffer)[: self.size(number)]
        with self._lock:
            _read_into(self.descriptor, block, self._ends[number])
        return bytes(self._cipher.decrypt(number.to_bytes(12, "big"), block, None)) if self.encrypted else block

    def size(self, number: int) -> int:
        """Bytes of a block as it is stored."""
        return self._ends[number + 1] - self._ends[number]

    def another(self) -> "Scratch":
        """Make an empty scratch in the same directory, with the same owner."""
        return Scratch(self.directory, self.encrypted) if self.owner is None else self.owner()

    def hold(self) -> None:
        """Add a holder, which must call `close` too."""
        self._holders += 1

    def close(self) -> None:
        """Remove one holder. The last one closes the file."""
        self._holders -= 1
        if self._holders == 0:
            self.discard()

    def discard(self) -> None:
        """Close the file, even if there are other holders."""
        with self._lock:
            self._closed = True
        self.release()

    def discard_unused(self) -> bool:
        """Discard, unless the file is open here or a thread is using it. Returns whether that was done. Does not block."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self.descriptor >= 0:
                return False
            self._closed = True
        finally:
            self._lock.release()
        if self.owner is not None:
            self.owner.forget(self)
        return True

    def release(self) -> None:
        """Close the file in this process. Another process may go on using it."""
        with self._lock:
            descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):  # the file is gone anyway; the next ones must be closed, and the session unlocked
                os.close(descriptor)
        if self.owner is not None:
            self.owner.forget(self)

    def take(self, descriptor: int) -> None:
        """Use this open file from now on. A scratch that was closed meanwhile closes it at once."""
        with self._lock:
            if not self._closed:
                self.descriptor = descriptor
                return
        os.close(descriptor)

    @cached_property
    def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        return ChaCha20Poly1305(self._key)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_cipher", "_lock")} | {"descriptor": -1}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        if self.owner is not None:
            self.owner.adopt(self)


class Scratches:
    """Makes the scratch files of one task, counts their bytes, and closes all of them with `close`.

    Call it to make a scratch. A copy in a worker process makes scratches too, which belong to the original when they are sent
    back. `room` is called with the bytes of each write before it; it raises OSError to refuse.
    """

    def __init__(
        self, directory: Path, encrypted: bool, room: Callable[[int], None] | None = None, token: str | None = None
    ) -> None:
        self.directory = directory
        self.encrypted = encrypted
        self._room = room
        self._token = token or f"{os.getpid()}-{next(_NUMBERS)}"
        self._open: dict[int, Scratch] = {}
        self._size_bytes = 0
        self._lock = threading.Lock()
        self._closed = False
        _OWNERS[self._token] = self

    def __call__(self) -> Scratch:
        """Make a scratch. Raises OSError once `close` was called."""
        scratch = Scratch(self.directory, self.encrypted, self)
        if not self.adopt(scratch):
            raise OSError(errno.EBADF, "the session is closed")
        return scratch

    @property
    def size_bytes(self) -> int:
        """Bytes of the scratches that are open in this process, without those that a worker process has at present."""
        return self._size_bytes

    def grow(self, scratch: Scratch, size_bytes: int) -> None:
        """Count what was written to one of the scratches."""
        with self._lock:
            if id(scratch) in self._open:
                self._size_bytes += size_bytes

    def require_room(self, size_bytes: int) -> None:
        """Raise OSError if `size_bytes` more would exceed a limit."""
        if self._room is not None:
            self._room(size_bytes)

    def adopt(self, scratch: Scratch) -> bool:
        """Own a scratch that came back from another process. Closes it and returns False if `close` was called before."""
        with self._lock:
            if not self._closed:
                self._open[id(scratch)] = scratch
                self._size_bytes += scratch.size_bytes
                return True
        scratch.discard()
        return False

    def forget(self, scratch: Scratch) -> None:
        """Forget a scratch that was closed in this process."""
        with self._lock:
            if self._open.pop(id(scratch), None) is not None:
                self._size_bytes -= scratch.size_bytes

    def close(self) -> None:
        """Close every scratch; further calls raise OSError."""
        for scratch in self._end():
            scratch.discard()

    def close_unused(self) -> bool:
        """Close, if no scratch has a file and no thread is using one; otherwise return False. Does not block.

        Further calls raise OSError in either case.
        """
        return all(scratch.discard_unused() for scratch in self._end())

    def _end(self) -> list[Scratch]:
        """Make no more scratches. Returns those that are open."""
        with self._lock:
            self._closed = True
            return list(self._open.values())

    def __reduce__(self) -> tuple[Any, ...]:
        return _owner, (self.directory, self.encrypted, self._token)


_NUMBERS = itertools.count()
_OWNERS: "weakref.WeakValueDictionary[str, Scratches]" = weakref.WeakValueDictionary()
"""The owners in this process, by token. A scratch that comes back from a worker process finds its owner here."""


def _owner(directory: Path, encrypted: bool, token: str) -> Scratches:
    return _OWNERS.get(token) or Scratches(directory, encrypted, token=token)


@dataclass(frozen=True)
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
