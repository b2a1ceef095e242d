"""Log lines out of chunks, and streams of lines merged into one order."""

import tracemalloc
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.fetchers import kubernetes_logs
from aletheia_operator.fetchers.kubernetes_logs import Line, _lines, merge


async def chunks_of(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def lines_of(parts: Iterable[bytes]) -> list[tuple[bytes, bool]]:
    return [line async for batch in _lines(chunks_of(parts)) for line in batch]


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([b"a\nb\n"], [(b"a", True), (b"b", True)], id="whole lines"),
        pytest.param([b"a\nb"], [(b"a", True), (b"b", False)], id="a last line without its end"),
        pytest.param([b"a", b"b", b"\n"], [(b"ab", True)], id="a line in pieces"),
        pytest.param([b"a", b"\nb\n"], [(b"a", True), (b"b", True)], id="an end that comes with the next line"),
        pytest.param([b"\n\n"], [(b"", True), (b"", True)], id="empty lines"),
        pytest.param([b"a\r\n"], [(b"a\r", True)], id="a carriage return, which is the line's"),
        pytest.param([b"", b"a\n", b""], [(b"a", True)], id="empty chunks"),
    ],
)
async def test_lines_are_split_at_their_ends_alone(parts: list[bytes], lines: list[tuple[bytes, bool]]) -> None:
    """Each line comes without its end, and with whether it had one."""
    assert await lines_of(parts) == lines


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=10))
async def test_any_chunking_gives_the_same_lines(content: bytes, cuts: list[int]) -> None:
    """Where the network cuts makes no difference."""
    content = content.replace(b"a", b"\n").replace(b"\x00", b"\n")
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    parts = [content[a:b] for a, b in pairwise(edges)]
    *whole, last = content.split(b"\n")
    assert await lines_of(parts) == [(line, True) for line in whole] + ([(last, False)] if last else [])


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 1000])
async def test_the_rest_of_an_over_long_line_is_dropped(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    """What is kept begins like the line and is over the limit, so that it shows; the next line is whole."""
    monkeypatch.setattr(kubernetes_logs, "MAX_LINE_BYTES", 100)
    content = bytes(range(48, 58)) * 100 + b"\nnext\n"
    (cut, _), following = await lines_of(content[i : i + chunk_bytes] for i in range(0, len(content), chunk_bytes))
    assert following == (b"next", True)
    assert len(cut) > 100
    assert content.startswith(cut[:130])


async def test_an_endless_line_takes_flat_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of 100 MB passes with little more than its limit kept."""
    monkeypatch.setattr(kubernetes_logs, "MAX_LINE_BYTES", 2**20)
    chunk = b"x" * 2**17
    tracemalloc.start()
    try:
        ((line, whole),) = await lines_of(chunk for _ in range(800))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not whole
    assert len(line) < 2**21
    assert peak < 8 * 2**20


async def stream_of(batches: list[list[Line]]) -> AsyncIterator[list[Line]]:
    for batch in batches:
        yield batch


def in_batches(keys: list[int], name: int, sizes: list[int]) -> list[list[Line]]:
    lines: list[Line] = [(b"%03d" % key, {"stream": name, "number": i}) for i, key in enumerate(sorted(keys))]
    batches = []
    for size in sizes:
        if lines:
            batches.append(lines[:size])
            lines = lines[size:]
    return [*batches, lines] if lines else batches


STREAMS = st.lists(st.tuples(st.lists(st.integers(0, 20), max_size=20), st.lists(st.integers(1, 5), max_size=10)), max_size=5)


@given(STREAMS)
async def test_merging_keeps_every_line_in_one_order(streams: list[tuple[list[int], list[int]]]) -> None:
    """Sorted by key, each stream in its own order; nothing lost, nothing twice."""
    batched = [in_batches(keys, name, sizes) for name, (keys, sizes) in enumerate(streams)]
    merged = [line async for batch in merge([stream_of(batches) for batches in batched]) for line in batch]
    assert [key for key, _ in merged] == sorted(key for key, _ in merged)
    for name, batches in enumerate(batched):
        own = [line for batch in batches for line in batch]
        assert [line for line in merged if line[1]["stream"] == name] == own


@pytest.mark.parametrize(
    "batched",
    [
        pytest.param([[[(b"1", {"stream": 0}), (b"1", {"stream": 0})]], [[(b"1", {"stream": 1})]]], id="in one batch"),
        pytest.param(
            [[[(b"1", {"stream": 0})], [(b"1", {"stream": 0})]], [[(b"1", {"stream": 1})]]],
            id="over two batches",
        ),
    ],
)
async def test_equal_keys_keep_the_order_of_the_streams(batched: list[list[list[Line]]]) -> None:
    """The earlier stream's lines stand first, however they came."""
    merged = [line async for batch in merge([stream_of(batches) for batches in batched]) for line in batch]
    assert [entry["stream"] for _, entry in merged] == [0, 0, 1]


async def test_merging_gives_out_lines_before_the_streams_are_over() -> None:
    """Memory holds one batch of each stream, not the whole."""
    read: list[int] = []

    async def watched(name: int) -> AsyncIterator[list[Line]]:
        for second in range(100):
            read.append(name)
            yield [(b"%03d" % second, {})]

    merged = merge([watched(0), watched(1)])
    await anext(merged)
    assert len(read) == 2


async def test_merging_nothing_is_nothing() -> None:
    """No streams, or only empty ones."""
    assert [batch async for batch in merge([])] == []
    assert [batch async for batch in merge([stream_of([])])] == []
