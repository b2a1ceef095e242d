"""Merges the entries of several runs by time. Each run keeps its own order."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from aletheia_operator.text.batches import KEY, SEPARATOR, Encoded

BLOCKS_AT_ONCE = 16
"""Number of blocks that a thread reads at a time: a switch between threads can take as long as saving a block."""
Keyed = tuple[bytes, bytes, int]  # sort key, entry, level code


class Merged:
    """Yields merged runs, some blocks at a time. `ended`: whether there are no more blocks."""

    def __init__(self, runs: Sequence[Iterator[Encoded]]) -> None:
        self.ended = False
        self._blocks = merge(runs)
        self._fault: Exception | None = None

    def some(self) -> Iterator[Encoded]:
        """Yield up to BLOCKS_AT_ONCE blocks. They end early if one cannot be read: call `check` then. Blocks the thread."""
        for _ in range(BLOCKS_AT_ONCE):
            try:
                block = next(self._blocks, None)
            except Exception as e:
                self._fault, block = e, None
            if block is None:
                self.ended = True
                return
            yield block

    def check(self) -> None:
        """Raise the error of a block that could not be read. Raised within `some`, it would look like an error of saving."""
        if self._fault is not None:
            raise self._fault


def merge(runs: Sequence[Iterator[Encoded]]) -> Iterator[Encoded]:
    """Merge runs that are each in order. Entries with equal times keep the order of the runs."""
    if len(runs) == 1:
        yield from runs[0]
        return
    streams = [_keyed(run) for run in runs]
    buffers: list[list[Keyed]] = [next(stream, []) for stream in streams]
    while live := [i for i, buffer in enumerate(buffers) if buffer]:
        bound = min(buffers[i][-1][0] for i in live)
        first = next(i for i in live if buffers[i][-1][0] == bound)  # may have more of this key, before later runs'
        ready: list[Iterable[Keyed]] = []
        for i in live:
            cut = (bisect_right if i <= first else bisect_left)(buffers[i], bound, key=itemgetter(0))
            ready.append(buffers[i][:cut])
            buffers[i] = buffers[i][cut:] or next(streams[i], [])
        merged = list(heapq.merge(*ready, key=itemgetter(0)))
        yield Encoded(SEPARATOR.join([entry for _, entry, _ in merged]), bytes(code for _, _, code in merged))


def _keyed(run: Iterator[Encoded]) -> Iterator[list[Keyed]]:
    """Yield entries with sort keys that never decrease: an entry with an earlier time, or none, gets the previous key."""
    last = b""
    for encoded in run:
        keyed = []
        for entry, code in zip(encoded.block.split(SEPARATOR), encoded.codes, strict=True):
            if entry[KEY.start - 1 : KEY.start] == b'"' and entry[KEY] > last:
                last = entry[KEY]
            keyed.append((last, entry, code))
        yield keyed
