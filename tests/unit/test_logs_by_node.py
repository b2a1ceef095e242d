"""Log files of a node: every run of a container, while the kubelet rotates, compresses and removes them."""

import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.fetchers.base import Document
from aletheia_operator.fetchers.kubernetes import logs_by_node
from aletheia_operator.fetchers.kubernetes.logs import KubernetesLogsFetcher
from aletheia_operator.fetchers.kubernetes.logs_by_node import directory_uid
from aletheia_operator.fetchers.kubernetes.references import MIRROR
from tests.unit.fakes import Content, FakeKubernetesLogs, InlineParsers, entries_of, make_pod, make_sources

POD = "/api/v1/namespaces/shop/pods/web-0"
NODE = "/api/v1/nodes/node-1"
FIRST, SECOND = "20261122-113100", "20261122-113200"


def line(second: float, text: str, stream: str = "stdout", end: str = "\n") -> bytes:
    whole = int(second)
    stamp = f"2026-11-22T11:{30 + whole // 60:02}:{whole % 60:02}.{round(second % 1 * 1e9):09}Z"
    return f"{stamp} {stream} F {text}{end}".encode()


def lines(first: int, last: int) -> bytes:
    return b"".join(line(number / 10, f"line {number}") for number in range(first, last))


@dataclass
class Answer(Content):
    """A file's content as the kubelet sends it."""

    content_length: int = 0

    @property
    def content(self) -> "Answer":
        return self

    async def read(self, size: int) -> bytes:
        return b"".join(part for part in self.script if isinstance(part, bytes))[:size]


@dataclass
class Node:
    """The kubelet's file server for one container. `hooks`: called before the listings with their numbers."""

    files: dict[str, bytes | Exception]
    hooks: Mapping[int, Callable[["Node"], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    """Start offsets of the open-ended reads that do not begin at 0."""
    listings: int = 0
    gone: bool = False

    def slot(self, address: str, namespace: str) -> Any:
        return nullcontext()

    async def address(self, node: str) -> str:
        return "https://node"

    @asynccontextmanager
    async def open(self, address: str, path: str, first: int | None = None, last: int | None = None) -> AsyncIterator[Answer]:
        self.asked.append(path)
        if first is not None and last is None:
            self.offsets.append(first)
        name = unquote(path.rpartition("/")[2])
        if not name:
            if (hook := self.hooks.get(self.listings)) is not None:
                hook(self)
            self.listings += 1
            if self.gone:
                raise Rejected("the kubelet answered 404", GapReason.NOT_FOUND)
            links = "".join(f'<a href="{name}">{name}</a>\n' for name in sorted(self.files))
            yield Answer([links.encode()], len(links))
            return
        content = self.files.get(name, Rejected("the kubelet answered 404", GapReason.NOT_FOUND))
        if isinstance(content, Exception):
            raise content
        part = content[first or 0 : None if last is None else last + 1]
        yield Answer([part], len(part))


def status(restarts: int = 0, started: str = "2026-11-22T11:30:00Z", **more: Any) -> dict[str, Any]:
    return {"restartCount": restarts, "state": {"running": {"startedAt": started}}, **more}


async def fetch(
    node: Node,
    state: dict[str, Any],
    api: bytes = b"",
    annotations: dict[str, str] | None = None,
    reviews: list[Mapping[str, str]] | None = None,
    allowed: bool = True,
) -> Document:
    """Return the pod's document, read from the node. `api`: its log by the API. `reviews`: collects the rights checked."""
    pod = make_pod(app=state)
    pod["metadata"]["annotations"] = annotations or {}

    class Api(FakeKubernetesLogs):
        async def may(self, attributes: Mapping[str, str]) -> bool:
            if reviews is not None:
                reviews.append(attributes)
            return allowed

    kubernetes = Api({POD: pod}, lines={"app": [api] if api else []})
    sources = make_sources(kubernetes, kubelets=cast("Any", node), parsers=InlineParsers())
    spec = InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}], "logs": {"via": "node"}})
    (question,) = (await KubernetesLogsFetcher().plan(spec, sources)).questions
    (document,) = [found async for found in KubernetesLogsFetcher().fetch(question, sources)]
    return document


async def look(
    node: Node, state: dict[str, Any], api: bytes = b""
) -> tuple[list[tuple[int, str]], list[tuple[str, GapReason]]]:
    """Return entries as run and line, gaps as target and reason."""
    document = await fetch(node, state, api)
    entries = [(entry["run"], entry["line"]) for entry in await entries_of(document)]
    return entries, [(gap.target.removeprefix("pod/web-0 "), gap.reason) for gap in document.outcome.missing]


def expected(run: int, first: int, last: int) -> list[tuple[int, str]]:
    return [(run, f"line {number}") for number in range(first, last)]


@pytest.mark.parametrize("allowed", [True, False])
async def test_only_who_may_read_the_pods_log_reads_its_files(allowed: bool) -> None:
    """The kubelet is asked with the operator's rights, so the API server is asked first for the Investigation's right."""
    node, reviews = Node({"0.log": lines(0, 1)}), list[Mapping[str, str]]()
    document = await fetch(node, status(), b"2026-11-22T11:30:09.000000000Z by the API\n", reviews=reviews, allowed=allowed)
    found = [entry["line"] for entry in await entries_of(document)]
    right = {"namespace": "shop", "verb": "get", "resource": "pods", "subresource": "log", "name": "web-0"}
    assert reviews == [right]
    if allowed:
        assert (found, document.outcome.missing) == (["line 0"], [])
        return
    assert (found, node.asked) == (["by the API"], [])
    (gap,) = document.outcome.missing
    words = "read by the pods/log API instead: this identity may not get pods/log of pod web-0"
    assert (gap.target, gap.reason, gap.message) == ("pod/web-0", GapReason.NODE_LOGS_UNAVAILABLE, words)


async def test_each_file_is_a_run_of_its_own() -> None:
    """A last line without its end is not joined with the next run's first; a run without a file is a gap."""
    node = Node({"0.log": lines(0, 3) + line(0.3, "cut", end=""), "2.log": lines(10, 13)})
    entries, gaps = await look(node, status(3, "2026-11-22T11:30:05Z"))
    assert entries == [*expected(0, 0, 3), (0, "cut"), *expected(2, 10, 13)]
    assert gaps == [("container/app (run 1)", GapReason.LOG_UNAVAILABLE), ("container/app (run 3)", GapReason.LOG_UNAVAILABLE)]


async def test_files_of_a_container_that_waits_are_read() -> None:
    """The status of the container does not matter."""
    state = {"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    entries, gaps = await look(Node({"1.log": lines(0, 2), "2.log": lines(5, 7)}), state)
    assert entries == [*expected(1, 0, 2), *expected(2, 5, 7)]
    assert gaps == [("container/app (run 0)", GapReason.LOG_UNAVAILABLE)]


async def test_a_run_that_failed_on_the_node_costs_no_other() -> None:
    """The API has the latest run. A failed run that the API lacks is a gap."""
    broken = Unavailable("the kubelet answered 500")
    api = b"2026-11-22T11:30:09.000000000Z by the API\n"
    node = Node({"0.log": broken, "1.log": lines(0, 2), "2.log": broken})
    state = status(2, "2026-11-22T11:30:08Z", lastState={"terminated": {"startedAt": "2026-11-22T11:30:00Z"}})
    entries, gaps = await look(node, state, api)
    assert entries == [*expected(1, 0, 2), (2, "by the API")]
    assert gaps == [
        ("pod/web-0", GapReason.NODE_LOGS_UNAVAILABLE),
        ("container/app (run 0, previous)", GapReason.UNAVAILABLE),
    ]


def rotate(node: Node) -> None:
    """Rename the current file with the lines that were added meanwhile, and begin a new file."""
    before = node.files["0.log"]
    assert isinstance(before, bytes)
    node.files[f"0.log.{FIRST}"] = before + lines(5, 7)
    node.files["0.log"] = lines(7, 9)


async def test_a_rotation_while_it_is_read_loses_and_doubles_nothing() -> None:
    """The opened file is read further under its new name, and then the new file."""
    entries, gaps = await look(Node({"0.log": lines(0, 5)}, {1: rotate}), status())
    assert (entries, gaps) == (expected(0, 0, 9), [])


@dataclass
class RotatingNode(Node):
    """A kubelet that rotates at some requests: first it renames the file, at the next request it makes a new one.

    Older files are compressed then, and at most `keeps` of them are kept. Ten lines are added before each rotation.
    """

    rotations: frozenset[int] = frozenset()
    keeps: int = 100
    written: int = 0
    rotated: int = 0

    def __post_init__(self) -> None:
        self._write(10)

    def _write(self, count: int) -> None:
        content = self.files.get("0.log", b"")
        assert isinstance(content, bytes)
        self.files["0.log"] = content + lines(self.written, self.written + count)
        self.written += count

    def _rename(self) -> None:
        self._write(10)
        for name in [name for name in self.files if name.startswith("0.log.") and not name.endswith(".gz")]:
            content = self.files.pop(name)
            assert isinstance(content, bytes)
            self.files[f"{name}.gz"] = gzip.compress(content)
        for name in sorted(name for name in self.files if name != "0.log")[: -self.keeps]:
            del self.files[name]
        moment = f"{31 + self.rotated // 60:02}{self.rotated % 60:02}"
        self.files[f"0.log.20261122-11{moment}"] = self.files.pop("0.log")
        self.rotated += 1

    @asynccontextmanager
    async def open(self, address: str, path: str, first: int | None = None, last: int | None = None) -> AsyncIterator[Answer]:
        if "0.log" not in self.files:
            self.files["0.log"] = b""
            self._write(10)
        if len(self.asked) in self.rotations:
            self._rename()
        async with super().open(address, path, first, last) as answer:
            yield answer


@pytest.mark.parametrize("first", range(9))
@pytest.mark.parametrize("more", [(), (1,), (2,), (3,), (1, 2, 3, 4), (2, 4, 6, 8)], ids=str)
@pytest.mark.parametrize("keeps", [100, 2, 1])
async def test_a_rotation_at_any_request_is_followed(first: int, more: tuple[int, ...], keeps: int) -> None:
    """Each line is there once and in order. Only lines that the kubelet removed before the read are missing, and reported."""
    node = RotatingNode({}, rotations=frozenset({first, *(first + more_after for more_after in more)}), keeps=keeps)
    entries, gaps = await look(node, status())
    numbers = [int(text.split()[1]) for _, text in entries]
    assert numbers == sorted(set(numbers))
    if gaps:
        assert keeps < 3
        assert {reason for _, reason in gaps} == {GapReason.LOG_ROTATED}
    else:
        assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 10


async def test_a_log_that_is_rotated_again_and_again_is_read_by_the_api() -> None:
    """No listing agrees with what was read before, so the API is read."""
    node = RotatingNode({}, rotations=frozenset(range(1000)))
    entries, gaps = await look(node, status(), b"2026-11-22T11:30:09.000000000Z by the API\n")
    assert (entries, gaps) == ([(0, "by the API")], [("pod/web-0", GapReason.NODE_LOGS_UNAVAILABLE)])


async def test_a_run_whose_files_are_all_rotated_is_whole() -> None:
    """No file is being written, however often the files are listed. All that was there is read."""
    entries, gaps = await look(Node({f"0.log.{FIRST}": lines(0, 5)}), status())
    assert (entries, gaps) == (expected(0, 0, 5), [])


async def test_what_was_read_is_kept_where_the_pod_is_removed_meanwhile() -> None:
    """The whole directory is removed: the kubelet answers 404 for it."""

    def vanish(node: Node) -> None:
        node.gone = True

    entries, gaps = await look(Node({"0.log": lines(0, 5)}, {1: vanish}), status())
    assert (entries, gaps) == (expected(0, 0, 5), [])


async def test_a_listing_without_end_is_not_read() -> None:
    """The API has the latest run, and a gap says why the API was used."""
    node = Node({f"0.log.{number:0100}": b"" for number in range(2000)})
    document = await fetch(node, status(), b"2026-11-22T11:30:09.000000000Z by the API\n")
    assert [entry["line"] for entry in await entries_of(document)] == ["by the API"]
    (gap,) = document.outcome.missing
    assert gap.reason == GapReason.NODE_LOGS_UNAVAILABLE
    assert gap.message == "read by the pods/log API instead: the kubelet's listing of log files is too long"
    assert node.listings == 1


async def test_reading_ends_where_the_window_does() -> None:
    """Later files are not read, and the run is complete without them."""
    late = b"2026-11-22T12:00:01.000000000Z stdout F late\n"
    node = Node({f"0.log.{FIRST}": lines(0, 5) + late, f"0.log.{SECOND}": late, "0.log": late})
    entries, gaps = await look(node, status())
    assert (entries, gaps) == (expected(0, 0, 5), [])
    assert [path.rpartition("/")[2] for path in node.asked].count("0.log") <= 1  # to see where its lines begin
    assert node.listings == 2


def remove(node: Node) -> None:
    del node.files["0.log"]


@pytest.mark.parametrize(("listing", "kept"), [(1, True), (0, False)], ids=["after it was read", "before it was listed"])
async def test_a_run_that_the_node_removes(listing: int, kept: bool) -> None:
    """What was read of the run is there, and the rest is a gap."""
    node = Node({"0.log": lines(0, 3), "1.log": lines(5, 8)}, {listing: remove})
    entries, gaps = await look(node, status(1, "2026-11-22T11:30:00Z"))
    assert entries == [*(expected(0, 0, 3) if kept else []), *expected(1, 5, 8)]
    assert gaps == ([] if kept else [("container/app (run 0)", GapReason.LOG_UNAVAILABLE)])


async def test_a_run_that_is_removed_before_its_file_is_read() -> None:
    """It was listed, so the gap can name it."""
    node = Node({"0.log": Rejected("the kubelet answered 404", GapReason.NOT_FOUND), "1.log": lines(5, 8)}, {1: remove})
    entries, gaps = await look(node, status(1, "2026-11-22T11:30:00Z"))
    assert entries == expected(1, 5, 8)
    assert gaps == [("container/app (run 0, previous)", GapReason.LOG_INCOMPLETE)]


async def test_a_file_is_read_once_with_and_without_compression() -> None:
    """For a moment the kubelet has the file in both forms."""
    first = lines(0, 5)
    node = Node({f"0.log.{FIRST}": first, f"0.log.{FIRST}.gz": gzip.compress(first), "0.log": lines(5, 8)})
    assert await look(node, status()) == (expected(0, 0, 8), [])


@pytest.mark.parametrize("cut", [1, 8, 20, 200], ids=lambda cut: f"{cut} bytes missing")
async def test_a_compressed_file_that_is_cut_short_is_said(cut: int) -> None:
    """The other files are still read."""
    node = Node({f"0.log.{FIRST}.gz": gzip.compress(lines(0, 500))[:-cut], "0.log": lines(500, 503)})
    entries, gaps = await look(node, status())
    assert entries[-3:] == expected(0, 500, 503)
    assert gaps == [("container/app (run 0)", GapReason.LOG_INCOMPLETE)]


async def test_members_of_a_compressed_file_are_all_read() -> None:
    """The format allows several."""
    node = Node({f"0.log.{FIRST}.gz": gzip.compress(lines(0, 5)) + gzip.compress(lines(5, 9)), "0.log": b""})
    assert await look(node, status()) == (expected(0, 0, 9), [])


@pytest.mark.parametrize(
    ("files", "begins", "seconds", "rotated"),
    [
        pytest.param(1, 30, 2, False, id="never rotated, so it was silent until then"),
        pytest.param(5, 30, 100, True, id="as many files as a kubelet keeps, within the run's first minute"),
        pytest.param(5, 1, 2, False, id="from the beginning"),
        pytest.param(2, 30, 2, True, id="silent for longer than its files took"),
        pytest.param(2, 3, 100, False, id="silent for a moment"),
    ],
)
async def test_what_was_rotated_away_is_said(files: int, begins: int, seconds: int, rotated: bool) -> None:
    """Inferred from the time before the first line, the number of files and the log's rate."""
    content = {f"0.log.20261122-11{30 + number}00": line(begins + seconds * number, "x") for number in range(files - 1)}
    node = Node({**content, "0.log": line(begins + seconds * files, "y")})
    _, gaps = await look(node, status())
    assert gaps == ([("container/app (run 0)", GapReason.LOG_ROTATED)] if rotated else [])


async def test_a_file_in_no_known_form_is_left_to_the_api() -> None:
    """None of its lines is dropped."""
    api = b"2026-11-22T11:30:09.000000000Z by the API\n"
    entries, gaps = await look(Node({"0.log": b"no form\nnone\n"}), status(), api)
    assert entries == [(0, "by the API")]
    assert gaps == [("pod/web-0", GapReason.NODE_LOGS_UNAVAILABLE)]


async def test_a_window_is_found_in_a_large_file_whatever_a_single_line_is_stamped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single line with a time far before or after does not mislead the search."""
    monkeypatch.setattr(logs_by_node, "SEEK_BYTES", 2048)
    monkeypatch.setattr(logs_by_node, "_PROBE_BYTES", 1024)
    parts = []
    for number in range(1800):
        parts.append(line(number, f"line {number}").replace(b"T11:", b"T10:" if number < 1000 else b"T11:"))
        if number % 50 == 25:
            parts.append(b"2026-11-22T01:00:00.000000000Z stdout F stray\n")
            parts.append(b"2026-11-22T23:00:00.000000000Z stdout F stray\n")
    content = b"".join(parts)
    node = Node({"0.log": content})
    document = await fetch(node, status(started="2026-11-22T10:00:00Z"))
    found = [entry["line"] for entry in await entries_of(document)]
    assert found == [f"line {number}" for number in range(1000, 1800)]
    (offset,) = node.offsets
    assert 0 <= content.index(b"T11:") - offset < 4 * 2048, "little is read that lies before the window"


async def test_a_line_of_the_window_before_many_older_ones_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """stdout and stderr get their times apart: lines of the second before the window may follow one of the window."""
    monkeypatch.setattr(logs_by_node, "SEEK_BYTES", 2048)
    monkeypatch.setattr(logs_by_node, "_PROBE_BYTES", 1024)
    older = b"2026-11-22T10:50:00.000000000Z stdout F older\n" * 300
    first = b"2026-11-22T11:00:00.000000001Z stderr F first\n"
    before = b"2026-11-22T10:59:59.900000000Z stdout F before\n" * 600
    node = Node({"0.log": older + first + before + lines(0, 100)})
    document = await fetch(node, status(started="2026-11-22T10:00:00Z"))
    assert [entry["line"] for entry in await entries_of(document)] == ["first", *(f"line {number}" for number in range(100))]


async def test_a_seek_into_a_line_that_is_longer_than_a_block_drops_its_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it becomes a line of its own, though blocks without any line's end come first."""
    for name, size in (("SEEK_BYTES", 2048), ("_PROBE_BYTES", 2048), ("BLOCK_BYTES", 64)):
        monkeypatch.setattr(logs_by_node, name, size)
    older = b"2026-11-22T10:00:00.000000000Z stdout F " + b"older " * 100 + b"\n"
    node = Node({"0.log": older * 30 + lines(0, 5)})
    document = await fetch(node, status(started="2026-11-22T10:00:00Z"))
    assert [entry["line"] for entry in await entries_of(document)] == [f"line {number}" for number in range(5)]
    assert node.offsets and node.offsets[0] % len(older), "it begins within a line"


@pytest.mark.parametrize(
    ("mirror", "uid"),
    [
        (None, "the-uid"),
        ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        ("x/../kube-system_etcd-node_0123", "the-uid"),
        ("..", "the-uid"),
        ("abc/", "the-uid"),
        ("abc\n", "the-uid"),
        ("%2e%2e", "the-uid"),
        ("", "the-uid"),
    ],
)
async def test_no_annotation_leads_out_of_the_pods_directory(mirror: str | None, uid: str) -> None:
    """Only hex digits and dashes are taken from an annotation."""
    assert directory_uid("the-uid", mirror) == uid
    node = Node({"0.log": lines(0, 1)})
    document = await fetch(node, status(), annotations={} if mirror is None else {MIRROR: mirror})
    await entries_of(document)
    directory = "uid-web-0" if uid == "the-uid" else uid
    assert {unquote(path).rpartition("/")[0] for path in node.asked} == {f"/logs/pods/shop_web-0_{directory}/app"}
