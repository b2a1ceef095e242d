"""Copies bytes while a second thread hashes them."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

BLOCK_BYTES = 256 * 1024


def copy_hashed(source: BinaryIO, size: int, write: Callable[[memoryview], object]) -> tuple[int, str]:
    """Read up to `size` bytes and pass each block to `write`. Returns the number of bytes read and their SHA-256 in hex.

    `write` must not keep the block: its memory is reused.
    """
    digest = hashlib.sha256()
    buffers = (bytearray(BLOCK_BYTES), bytearray(BLOCK_BYTES))  # one is hashed while the other is filled
    copied, turn = 0, 0
    hashed: Future[None] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as beside:
        while copied < size:
            block = memoryview(buffers[turn])[: min(size - copied, BLOCK_BYTES)]
            count = source.readinto(block)  # type: ignore[attr-defined]
            if not count:
                break
            if hashed is not None:
                hashed.result()
            hashed = beside.submit(digest.update, block[:count])
            write(block[:count])
            copied, turn = copied + count, 1 - turn
    return copied, digest.hexdigest()
