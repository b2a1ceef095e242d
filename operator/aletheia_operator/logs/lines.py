"""Cuts a stream of chunks into blocks of whole lines, large enough to parse at once."""

BLOCK_BYTES = 64 * 1024  # larger blocks take memory for every run, and save no time
STAMP_BYTES = 64  # room for the time and the stream before a line's text
BEHIND_BYTES = 4096  # kept beyond the limit of a line, so that a secret that crosses the limit is recognised


class Lines:
    """Collects chunks and returns blocks of whole lines. The part of a line beyond `max_line_bytes` is dropped."""

    def __init__(self, max_line_bytes: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._longest = max_line_bytes + STAMP_BYTES + BEHIND_BYTES
        self._block_bytes = block_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._line_size = 0  # of the last line, which has no end yet
        self._dropping = False

    def add(self, chunk: bytes) -> bytes | None:
        """Add a chunk. Returns a block if there are enough lines for it, else None."""
        if self._dropping:
            chunk = self._after_long_line(chunk)
        first = chunk.find(b"\n")
        if first < 0:
            if self._line_size + len(chunk) > self._longest:
                chunk = chunk[: self._longest - self._line_size + 1]
                self._dropping = True
            self._line_size += len(chunk)
        else:
            self._line_size = len(chunk) - chunk.rfind(b"\n") - 1
        if chunk:
            self._parts.append(chunk)
            self._size += len(chunk)
        return self._cut() if self._size - self._line_size >= self._block_bytes else None

    def rest(self) -> bytes:
        """Return all that is left. Its last line may be incomplete."""
        block = b"".join(self._parts)
        self._parts, self._size, self._line_size, self._dropping = [], 0, 0, False
        return block

    def _cut(self) -> bytes:
        whole = b"".join(self._parts)
        end = len(whole) - self._line_size
        self._parts = [whole[end:]] if self._line_size else []
        self._size = self._line_size
        return whole[:end]

    def _after_long_line(self, chunk: bytes) -> bytes:
        end = chunk.find(b"\n")
        if end < 0:
            return b""
        self._dropping = False
        self._line_size = 0
        return chunk[end:]
