"""Blocks of whole lines out of chunks, and runs merged into one order."""

import json
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.logs.lines import STAMP_BYTES, Lines
from aletheia_operator.logs.merge import merge
from aletheia_operator.text.batches import SEPARATOR, Encoded


def blocks_of(parts: Iterable[bytes], max_line_bytes: int = 1000, block_bytes: int = 1) -> list[bytes]:
    lines = Lines(max_line_bytes, block_bytes)
    blocks = [block for part in parts if (block := lines.add(part)) is not None]
    return [*blocks, lines.rest()]


@pytest.mark.parametrize(
    ("parts", "blocks"),
    [
        pytest.param([], [b""], id="nothing"),
        pytest.param([b"a\nb\n"], [b"a\nb\n", b""], id="whole lines"),
        pytest.param([b"a\nb"], [b"a\n", b"b"], id="a last line without its end"),
        pytest.param([b"a", b"b", b"\n"], [b"ab\n", b""], id="a line in pieces"),
        pytest.param([b"a", b"\nb\n"], [b"a\nb\n", b""], id="an end that comes with the next line"),
        pytest.param([b"\n\n"], [b"\n\n", b""], id="empty lines"),
        pytest.param([b"", b"a\n", b""], [b"a\n", b""], id="empty chunks"),
    ],
)
def test_blocks_end_with_a_line(parts: list[bytes], blocks: list[bytes]) -> None:
    """Only the last block may lack its line end."""
    assert blocks_of(parts) == blocks


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=10), st.integers(1, 300))
def test_any_chunking_gives_the_same_lines(content: bytes, cuts: list[int], block_bytes: int) -> None:
    """The result is the same for any chunks."""
    content = content.replace(b"a", b"\n").replace(b"\x00", b"\n")
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    *blocks, rest = blocks_of([content[a:b] for a, b in pairwise(edges)], block_bytes=block_bytes)
    assert b"".join(blocks) + rest == content
    assert all(block.endswith(b"\n") for block in blocks)


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 1000])
def test_the_rest_of_an_over_long_line_is_dropped(chunk_bytes: int) -> None:
    """The kept part begins like the line and exceeds the limit, so that the cut is visible. The next line is whole."""
    content = bytes(range(48, 58)) * 100 + b"\nnext\n"
    parts = [content[i : i + chunk_bytes] for i in range(0, len(content), chunk_bytes)]
    cut, following = b"".join(blocks_of(parts, max_line_bytes=100)).splitlines()
    assert following == b"next"
    assert len(cut) > 100 + STAMP_BYTES
    assert content.startswith(cut[:130])


def test_an_endless_line_takes_flat_memory() -> None:
    """A line of 100 MB passes with little more than its limit kept."""
    chunk = b"x" * 2**17
    tracemalloc.start()
    try:
        (line,) = blocks_of((chunk for _ in range(800)), max_line_bytes=2**20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(line) < 2**21
    assert peak < 8 * 2**20


def encoded(keys: Iterable[int], name: int, sizes: list[int]) -> list[Encoded]:
    """Entries of a run at these seconds, in blocks of these sizes."""
    entries = [
        orjson.dumps({"timestamp": f"2026-11-22T11:30:{key:02}.000000000Z", "run": name, "number": number})
        for number, key in enumerate(keys)
    ]
    blocks = []
    for size in [*sizes, len(entries)]:
        if entries:
            blocks.append(Encoded(SEPARATOR.join(entries[:size]), bytes(len(entries[:size]))))
            entries = entries[size:]
    return blocks


def merged(runs: list[list[Encoded]]) -> list[dict[str, object]]:
    return [entry for block in merge([iter(run) for run in runs]) for entry in json.loads(b"[" + block.block + b"]")]


RUNS = st.lists(st.tuples(st.lists(st.integers(0, 20), max_size=20), st.lists(st.integers(1, 5), max_size=10)), max_size=5)


@given(RUNS)
def test_merging_keeps_every_line_in_one_order(runs: list[tuple[list[int], list[int]]]) -> None:
    """They are sorted by time, each run stays in its own order, and no line is lost or doubled."""
    lines = merged([encoded(sorted(keys), name, sizes) for name, (keys, sizes) in enumerate(runs)])
    assert [line["timestamp"] for line in lines] == sorted(str(line["timestamp"]) for line in lines)
    for name, (keys, _) in enumerate(runs):
        assert [line["number"] for line in lines if line["run"] == name] == list(range(len(keys)))


@pytest.mark.parametrize("sizes", [[], [1]], ids=["in one block", "over two blocks"])
def test_equal_times_keep_the_order_of_the_runs(sizes: list[int]) -> None:
    """Lines of the earlier run stand first, in whatever order they arrive."""
    assert [line["run"] for line in merged([encoded([1, 1], 0, sizes), encoded([1], 1, [])])] == [0, 0, 1]


def test_a_line_behind_a_later_one_stays_where_it_stood() -> None:
    """Lines of stdout and stderr may be in disorder; a run's own order is the log's."""
    lines = merged([encoded([1, 5, 3, 6], 0, []), encoded([2, 4], 1, [])])
    assert [line["number"] for line in lines if line["run"] == 0] == [0, 1, 2, 3]


def test_merging_gives_out_lines_before_the_runs_are_over() -> None:
    """Memory holds a block of each run, not the whole."""
    read: list[int] = []

    def watched(name: int) -> Iterator[Encoded]:
        for second in range(50):
            read.append(name)
            yield from encoded([second], name, [])

    next(merge([watched(0), watched(1)]))
    assert len(read) <= 4


def test_merging_nothing_is_nothing() -> None:
    """No runs, or only empty runs, give no lines."""
    assert merged([]) == []
    assert merged([[], []]) == []
