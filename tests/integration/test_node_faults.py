"""If reading log files from a node fails, the API is used, without loss or duplicates; rotation is handled."""

import gzip
import json
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from tests.integration.conftest import kubectl_in, node_reading_operator, operator_of
from tests.support.http import OVER, serving
from tests.support.kubelet import Cut, FakeKubelet, Log, fake_kubelet, in_file, stamped, whole
from tests.support.operator import Kubectl, Operator, artifact_of, check_session, session_of
from tests.support.processes import Memory

pytestmark = pytest.mark.cluster

MOST_BYTES = 240 * 10**6  # each process has the patterns of redaction
BEGUN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
TEXTS = [b"line %d" % number for number in range(9000)]
LINES = stamped(TEXTS, BEGUN)
FIRST, SECOND = "0.log.20260101-000000", "0.log.20260101-001000"

Files = dict[str, bytes | Log]


kubectl = kubectl_in("it-node-faults")
operator = operator_of(node_reading_operator)


@pytest.fixture(scope="module")
def kubelet(kubectl: Kubectl, operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeKubelet]:
    with fake_kubelet(kubectl, tmp_path_factory.mktemp("kubelet")) as kubelet:
        yield kubelet


@pytest.fixture
def seen_through(kubelet: FakeKubelet) -> Iterator[FakeKubelet]:
    """A kubelet with a `listing` that the test sets."""
    yield kubelet
    kubelet.listing = lambda directory: None


def look(kubelet: FakeKubelet, name: str, files: Files, **spec: Any) -> tuple[Any, Any]:
    """Investigate a pod with these files on the node, and all of LINES through the API."""
    kubelet.files[f"{name}/app"] = files
    kubelet.run(name, {"app": whole(LINES)}, BEGUN)
    logs = {"via": "node", **spec.pop("logs", {})}
    resource = kubelet.kubectl.investigate(name, window={"lookback": "1h"}, targets=[{"pod": name}], logs=logs, **spec)
    check_session(session_of(resource))
    return resource, artifact_of(resource)


def lines_of(document: Any) -> list[bytes]:
    return [entry["line"].encode() for entry in document["data"]]


async def cut_in_the_midst(request: web.Request) -> AsyncGenerator[bytes, None]:
    content = in_file(LINES)
    yield content[: len(content) // 2]
    raise Cut


async def failing(request: web.Request) -> AsyncGenerator[bytes, None]:
    raise web.HTTPInternalServerError
    yield b""


@pytest.mark.parametrize(
    ("name", "files", "words"),
    [
        ("cut", {"0.log": cut_in_the_midst}, "the connection broke off"),
        ("second-fails", {FIRST: in_file(LINES[:4000]), "0.log": failing}, "answered 500"),
        ("no-files", {}, "no log file"),
        ("strange-names", {"../../../../etc/shadow": b"", "0.log/..": b"", "%2e%2e": b"", "": b""}, "no log file"),
        ("endless-listing", {f"{number}.log": b"" for number in range(50_000)}, "too long"),
    ],
)
def test_a_node_that_fails(kubelet: FakeKubelet, name: str, files: Files, words: str) -> None:
    """Lines from the node are discarded, and the API returns every line once; the gap has the reason."""
    resource, document = look(kubelet, name, dict(files))
    assert [gap["reason"] for gap in resource["status"]["gaps"]] == ["NodeLogsUnavailable"]
    assert words in resource["status"]["gaps"][0]["message"]
    assert document["metadata"]["via"] == {"container/app (run 0)": "api"}
    assert lines_of(document) == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("no-gzip", b"no gzip", "is damaged"),
        ("cut-gzip", gzip.compress(in_file(LINES[:4000]))[:-1000], "is cut short"),
    ],
)
def test_a_rotated_file_that_is_damaged(kubelet: FakeKubelet, name: str, content: bytes, words: str) -> None:
    """Its readable part and all other files are captured, with a gap: the API would return less."""
    resource, document = look(kubelet, name, {f"{FIRST}.gz": content, "0.log": in_file(LINES[4000:])})
    (gap,) = resource["status"]["gaps"]
    assert (gap["target"], gap["reason"]) == (f"pod/{name} container/app (run 0)", "LogIncomplete")
    assert f"{FIRST}.gz {words}" in gap["message"]
    lines = lines_of(document)
    assert lines[-5000:] == TEXTS[4000:]
    assert lines[:-5001] == TEXTS[: max(0, len(lines) - 5001)], "the last line of what could be read may be cut"


def test_a_file_that_is_there_with_and_without_compression(kubelet: FakeKubelet) -> None:
    """Both exist for a moment while the kubelet compresses the file: its lines are captured once."""
    first = in_file(LINES[:4000])
    files: Files = {FIRST: first, f"{FIRST}.gz": gzip.compress(first), "0.log": in_file(LINES[4000:])}
    resource, document = look(kubelet, "both", files)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert lines_of(document) == TEXTS


def as_docker(lines: list[bytes]) -> bytes:
    """Return the lines in the format of Docker's json-file."""
    records = []
    for line in lines:
        time, _, text = line.decode().partition(" ")
        records.append(json.dumps({"log": f"{text}\n", "stream": "stderr", "time": time}) + "\n")
    return "".join(records).encode()


def test_files_of_another_runtime(kubelet: FakeKubelet) -> None:
    """Docker's files are read; for files in an unknown format the API is used."""
    resource, document = look(kubelet, "docker", {"0.log": as_docker(LINES)})
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert lines_of(document) == TEXTS
    assert {entry["stream"] for entry in document["data"]} == {"stderr"}
    resource, document = look(kubelet, "unknown", {"0.log": b"\n".join(TEXTS)})
    assert "neither in CRI's nor in Docker's form" in resource["status"]["gaps"][0]["message"]
    assert lines_of(document) == TEXTS


def test_every_run_on_the_node_is_read(kubelet: FakeKubelet) -> None:
    """Each run is read separately, with an unterminated last line; a missing run between them is a gap."""
    files: Files = {
        "0.log": in_file(LINES[:10])[:-1],
        "1.log": in_file(LINES[10:20]),
        "3.log": in_file(LINES[20:30]),
    }
    resource, document = look(kubelet, "runs", files)
    assert [(entry["run"], entry["line"].encode()) for entry in document["data"]] == [
        *((0, text) for text in TEXTS[:10]),
        *((1, text) for text in TEXTS[10:20]),
        *((3, text) for text in TEXTS[20:30]),
    ]
    assert [bool(entry.get("previous")) for entry in document["data"]] == [True] * 20 + [False] * 10
    assert [(gap["target"], gap["reason"]) for gap in resource["status"]["gaps"]] == [
        ("pod/runs container/app (run 2)", "LogUnavailable")
    ]


def test_a_node_that_leads_elsewhere(kubelet: FakeKubelet) -> None:
    """A redirect is not followed, so the operator's token goes nowhere else."""
    asked = []

    async def second(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    with serving() as serve:
        elsewhere = serve(second)

        async def redirect(request: web.Request) -> AsyncGenerator[bytes, None]:
            raise web.HTTPFound(elsewhere)
            yield b""

        resource, document = look(kubelet, "redirect", {"0.log": redirect})
    assert "answered 302" in resource["status"]["gaps"][0]["message"]
    assert lines_of(document) == TEXTS
    assert asked == []


async def hanging(request: web.Request) -> AsyncGenerator[bytes, None]:
    yield in_file(LINES[:100])
    await request.app[OVER].wait()


def assert_read_by_api(resource: Any, document: Any) -> None:
    """Every line is there once, without a gap, although the node failed."""
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert document["metadata"]["via"] == {"container/app (run 0)": "api"}
    assert lines_of(document) == TEXTS


def test_a_node_that_hangs_is_given_up(kubelet: FakeKubelet) -> None:
    """After the read timeout the API returns every line once, also those that the node had sent."""
    resource, document = look(kubelet, "given-up", {"0.log": hanging}, logs={"via": "auto"})
    assert_read_by_api(resource, document)


def test_a_node_that_hangs_until_the_time_is_up(kubelet: FakeKubelet) -> None:
    """The deadline also ends a read from a node."""
    resource, document = look(kubelet, "hanging", {"0.log": hanging}, timeout="3s")
    assert resource["status"]["phase"] == "TimedOut"
    assert {gap["reason"] for gap in resource["status"]["gaps"]} == {"LogIncomplete", "TimedOut"}
    assert lines_of(document) == TEXTS[:100]


def test_auto_falls_back_without_a_word(kubelet: FakeKubelet) -> None:
    """If the node was not requested, its failure is no gap."""
    resource, document = look(kubelet, "auto", {"0.log": cut_in_the_midst}, logs={"via": "auto"})
    assert_read_by_api(resource, document)


def rotate(files: Files) -> None:
    """Rotate as a kubelet does: rename the file, and compress the one before."""
    before = files.pop(FIRST)
    assert isinstance(before, bytes)
    files[f"{FIRST}.gz"] = gzip.compress(before)
    files[SECOND] = files["0.log"]
    files["0.log"] = in_file(LINES[8000:])


def test_a_log_that_is_rotated_while_it_is_read(seen_through: FakeKubelet) -> None:
    """All files are renamed between the first listing and the second: every line is captured once."""
    files: Files = {FIRST: in_file(LINES[:4000]), "0.log": in_file(LINES[4000:8000])}
    listings = []

    def listing(directory: str) -> None:
        listings.append(directory)
        if len(listings) == 2:
            rotate(files)

    seen_through.listing = listing
    resource, document = look(seen_through, "rotated", files)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert document["metadata"]["via"] == {"container/app (run 0)": "node"}
    assert lines_of(document) == TEXTS
    assert len(listings) == 3, "one more, since the second did not agree with the first"


def test_a_file_that_is_compressed_before_it_is_read(kubelet: FakeKubelet) -> None:
    """A file that was renamed after it was listed is read under its new name."""
    files: Files = {"0.log": in_file(LINES[4000:])}

    async def compressed_meanwhile(request: web.Request) -> AsyncGenerator[bytes, None]:
        del files[FIRST]
        files[f"{FIRST}.gz"] = gzip.compress(in_file(LINES[:4000]))
        raise web.HTTPNotFound
        yield b""

    files[FIRST] = compressed_meanwhile
    resource, document = look(kubelet, "compressed", files)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert document["metadata"]["via"] == {"container/app (run 0)": "node"}
    assert lines_of(document) == TEXTS


def test_a_log_that_is_rotated_again_and_again(seen_through: FakeKubelet) -> None:
    """If no two listings agree, the API is used."""
    files: Files = {"0.log": in_file(LINES)}
    listings = []

    def listing(directory: str) -> None:
        listings.append(directory)
        files[f"0.log.20260101-{len(listings):06d}"] = b""

    seen_through.listing = listing
    resource, document = look(seen_through, "restless", files)
    assert [gap["reason"] for gap in resource["status"]["gaps"]] == ["NodeLogsUnavailable"]
    assert "faster than it can be read" in resource["status"]["gaps"][0]["message"]
    assert lines_of(document) == TEXTS


def bomb(size_bytes: int) -> bytes:
    """Return a compressed file with one line of `size_bytes` between two others."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head, middle, tail = stamped([b"before", b"", b"after"], BEGUN)
    parts = [packer.compress(in_file([head]) + middle.replace(b" ", b" stdout F ", 1))]
    parts += [packer.compress(b"x" * 2**20) for _ in range(size_bytes // 2**20)]
    return b"".join([*parts, packer.compress(b"\n" + in_file([tail])), packer.flush()])


@pytest.mark.parametrize(
    ("name", "spec", "reasons"),
    [
        ("bomb", {}, {"LineTruncated"}),
        (
            "flood",
            {"timeout": "6s", "logs": {"limits": {"bytesPerContainer": "2Mi"}}},
            {"BudgetExceeded", "LogIncomplete", "TimedOut"},
        ),
    ],
)
def test_files_without_an_end(
    kubelet: FakeKubelet, operator: Operator, name: str, spec: Mapping[str, Any], reasons: set[str]
) -> None:
    """With a compressed line of 500 MB, and with an endless file, memory, deadline and budget are respected."""
    content = in_file(LINES)

    async def endless(request: web.Request) -> AsyncGenerator[bytes, None]:
        while not request.app[OVER].is_set():
            yield content

    files: Files = {f"{FIRST}.gz": bomb(500 * 2**20)} if name == "bomb" else {"0.log": endless}
    memory = Memory(operator.pid)
    with memory.watched():
        resource, document = look(kubelet, name, files, **spec)
    assert {gap["reason"] for gap in resource["status"]["gaps"]} == reasons
    assert document["metadata"]["via"] == {"container/app (run 0)": "node"}
    assert memory.peak < MOST_BYTES
    if name == "bomb":
        assert [len(line) for line in lines_of(document)] == [6, 2**20, 5]
