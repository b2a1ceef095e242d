"""Fetching a session from a real artifacts API.

Complete and verified through interruptions and restarts, or an error with a remedy.
"""

import asyncio
import http.client
import os
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from aletheia_operator.cli.downloading import Get, Remote, Response
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.fetching import fetch_session
from aletheia_operator.cli.kubectl import raw_body
from aletheia_operator.session import SessionLayout, create_session
from aletheia_operator.session.archive import Imported
from aletheia_operator.session.retention import expire
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.session.verify import verify
from tests.support.captures import NOW, unfinished
from tests.unit.artifacts_server import ALICE, Api, listed, serving, session_of
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.proxies import program


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as running:
        yield running


def getter(api: Api) -> Get:
    """Opens paths of the API as the front proxy does for alice."""
    context = ssl.create_default_context(cadata=api.serving.pem)
    context.load_cert_chain(api.front_proxy.server(api.directory, "front-proxy"))

    @contextmanager
    def get(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        connection = http.client.HTTPSConnection("127.0.0.1", api.server.port, context=context, timeout=10)
        try:
            connection.request("GET", path, headers={**ALICE, **headers})
            yield connection.getresponse()
        finally:
            connection.close()

    return get


class CutAnswer:
    """An answer that ends after some bytes, as if it were whole."""

    def __init__(self, answer: Response, left: int) -> None:
        self._answer, self._left, self.status = answer, left, answer.status

    def read(self, amount: int) -> bytes:
        block = self._answer.read(min(amount, self._left)) if self._left else b""
        self._left -= len(block)
        return block

    def getheader(self, name: str) -> str | None:
        return self._answer.getheader(name)


def cut_after(get: Get, size: int, asked: list[str]) -> Get:
    """Return `get` with answers of files that end after `size` bytes."""

    @contextmanager
    def cutting(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        with get(path, headers) as answer:
            asked.append(headers.get("Range", ""))
            yield CutAnswer(answer, size) if "/files/" in path and answer.status < 300 else answer

    return cutting


async def fetched(get: Get, root: Path, name: str = "payments", namespace: str = "shop") -> Imported:
    slept: list[float] = []
    remote = Remote(get, namespace, name, slept.append)
    return await asyncio.to_thread(fetch_session, remote, SessionLayout(root))


def contents(directory: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    files.pop("custody.json", None)
    return files


async def test_whole_and_verified(api: Api, tmp_path: Path) -> None:
    """The folder has the session byte for byte, for its user alone, and nothing else; a second time nothing is fetched."""
    session, root = await session_of(api), tmp_path / "mine"
    imported = await fetched(getter(api), root)
    here = SessionLayout(root).session(imported.session_id)
    assert contents(here) == contents(session)
    assert verify(here).intact
    assert root.stat().st_mode & 0o077 == 0
    assert [path.name for path in root.iterdir()] == ["sessions"]
    assert (await fetched(getter(api), root)).was_there


async def test_cut_again_and_again(api: Api, tmp_path: Path) -> None:
    """Answers that end early, also cleanly, are resumed by ranges until the last byte."""
    session, root, asked = await session_of(api), tmp_path / "mine", list[str]()
    largest = max(artifact["sizeBytes"] for artifact in listed(session).values())
    imported = await fetched(cut_after(getter(api), largest // 5, asked), root)
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)
    assert sum(range.startswith("bytes=") for range in asked) >= 4


async def test_a_later_run_goes_on(api: Api, tmp_path: Path) -> None:
    """Files that an earlier run fetched are not fetched again."""
    session, root, asked = await session_of(api), tmp_path / "mine", list[str]()
    get, failing = getter(api), [True]

    @contextmanager
    def breaks(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        if failing[0] and "Range" in headers:
            raise ConnectionResetError(104, "the server went away")
        with get(path, headers) as answer:
            asked.append(headers.get("Range", ""))
            yield CutAnswer(answer, 1000) if failing[0] and "/files/" in path else answer

    with pytest.raises(Refused, match="run the command again"):
        await fetched(breaks, root)
    failing[0], asked[:] = False, []
    imported = await fetched(breaks, root)
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)
    assert "bytes=1000-" in asked


async def test_nothing_old_is_mixed_in(api: Api, tmp_path: Path) -> None:
    """A damaged file that an earlier run left is fetched again, also if only its beginning is there; others are left out."""
    session, root = await session_of(api), tmp_path / "mine"
    left = root / f".fetch-{session.name}"
    (left / "data" / "logs").mkdir(parents=True)
    (left / "manifest.json").write_bytes((session / "manifest.json").read_bytes())
    for part, (path, artifact) in enumerate(listed(session).items(), start=1):
        (left / path).parent.mkdir(parents=True, exist_ok=True)
        (left / path).write_bytes(b"y" * (artifact["sizeBytes"] // part))
    (left / "data" / "stray.json").write_text("stray")
    imported = await fetched(getter(api), root)
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)


async def test_an_altered_answer(api: Api, tmp_path: Path) -> None:
    """A file that differs from its digest is refused and not kept; the next run, with the real bytes, completes the session."""
    session, root, get = await session_of(api), tmp_path / "mine", getter(api)

    @contextmanager
    def altering(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        with get(path, headers) as answer:
            if "/files/" in path:
                content = b"".join(iter(lambda: answer.read(2**20), b""))
                with lying(200, content[:-1] + b"?")(path, headers) as lie:
                    yield lie
            else:
                yield answer

    with pytest.raises(Refused, match="was altered: its SHA-256 is not that of the manifest"):
        await fetched(altering, root)
    assert not SessionLayout(root).session(session.name).exists()
    assert contents(SessionLayout(root).session((await fetched(get, root)).session_id)) == contents(session)


async def test_a_file_that_is_damaged_on_the_volume(api: Api, tmp_path: Path) -> None:
    """The command says so at once: no later attempt can succeed."""
    session, slept = await session_of(api), list[float]()
    (session / max(listed(session))).write_text("damaged")
    remote = Remote(getter(api), "shop", "payments", slept.append)
    with pytest.raises(Refused, match="was altered: its size is not the manifest's"):
        await asyncio.to_thread(fetch_session, remote, SessionLayout(tmp_path / "mine"))
    assert slept == []


async def test_a_session_that_is_there(api: Api, tmp_path: Path) -> None:
    """Its files are not downloaded again. If it was damaged, the message says so before anything is downloaded."""
    session, root, asked = await session_of(api), tmp_path / "mine", list[str]()
    await fetched(getter(api), root)
    assert (await fetched(cut_after(getter(api), 0, asked), root)).was_there
    path = next(iter(listed(session)))
    (SessionLayout(root).session(session.name) / path).write_text("damaged")
    with pytest.raises(ArchiveError, match="the same session, damaged"):
        await fetched(cut_after(getter(api), 0, asked), root)
    assert len(asked) == 2, "the manifest, each time"


async def test_two_at_once(api: Api, tmp_path: Path) -> None:
    """A second command that fetches the same session into the same folder is refused, and the first one completes it."""
    session, root, get = await session_of(api), tmp_path / "mine", getter(api)
    refused: list[str] = []

    @contextmanager
    def beside(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        if "/files/" in path and not refused:
            refused.append("")
            with pytest.raises(Refused, match="another command fetches this session") as raised:
                fetch_session(Remote(get, "shop", "payments"), SessionLayout(root))
            refused.append(str(raised.value))
        with get(path, headers) as answer:
            yield answer

    imported = await fetched(beside, root)
    assert len(refused) == 2
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)


async def test_a_refused_file_ends_the_waits_of_the_others(api: Api, tmp_path: Path) -> None:
    """The command does not wait for files that are not wanted any more."""
    session, get = await session_of(api), getter(api)
    refused, waiting = next(iter(listed(session))), threading.Event()

    @contextmanager
    def one_is_down(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        if path.endswith(refused):
            assert waiting.wait(LONGEST_TEST_SECONDS)
            with lying(403, b'{"message": "forbidden"}')(path, headers) as answer:
                yield answer
        elif "/files/" in path:
            waiting.set()
            raise ConnectionResetError(104, "the server went away")
        else:
            with get(path, headers) as answer:
                yield answer

    remote = Remote(one_is_down, "shop", "payments", delays=(3600,))
    with pytest.raises(Refused, match="forbidden"):
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            await asyncio.to_thread(fetch_session, remote, SessionLayout(tmp_path / "mine"))


KUBECTL = """import sys
print(*sys.argv[1:], file=open({asked!r}, "a"))
content = open({session!r} + sys.argv[-1].partition("/files")[2], "rb").read()
sys.stdout.buffer.write(content[:{size}])
if {size} < len(content): sys.exit("Error from server: stream error: INTERNAL_ERROR")
"""


@pytest.mark.parametrize("size", [0, 1000, 10**9])
async def test_large_files_come_by_kubectl_itself(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """One `kubectl get --raw` for each large file, with the user's flags; what it did not get comes by a range."""
    session, root, asked = await session_of(api), tmp_path / "mine", tmp_path / "asked"
    large = max(artifact["sizeBytes"] for artifact in listed(session).values())
    monkeypatch.setattr("aletheia_operator.cli.downloading.LARGE_BYTES", large)
    program(tmp_path, KUBECTL.format(asked=str(asked), session=str(session), size=size), monkeypatch)
    ranges: list[str] = []
    get_whole = partial(raw_body, ["--context=dev", "--as=tess"])
    remote = Remote(cut_after(getter(api), 10**9, ranges), "shop", "payments", get_whole=get_whole)
    imported = await asyncio.to_thread(fetch_session, remote, SessionLayout(root))
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)
    (line,) = asked.read_text().splitlines()
    assert line.startswith("--context=dev --as=tess get --raw /apis/")
    assert (f"bytes={size}-" in ranges) is (0 < size < large)
    assert len(ranges) == len(listed(session)) + (0 if size > large else 1), "the manifest, small files, the rest"


async def test_kubectl_sends_more(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless body is refused after as many bytes as the manifest says, and kubectl is stopped."""
    await session_of(api)
    monkeypatch.setattr("aletheia_operator.cli.downloading.LARGE_BYTES", 1)
    pid = tmp_path / "pid"
    program(tmp_path, f"import os, sys\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\nwhile True: print('x')", monkeypatch)
    remote = Remote(getter(api), "shop", "payments", get_whole=partial(raw_body, []))
    with pytest.raises(Refused, match="more than the manifest says"):
        await asyncio.to_thread(fetch_session, remote, SessionLayout(tmp_path / "mine"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_kubectl_that_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends with an error, and kubectl is stopped."""
    monkeypatch.setattr("aletheia_operator.cli.kubectl.READ_SECONDS", 0.1)
    program(tmp_path, "import time; time.sleep(3600)", monkeypatch)
    with raw_body([], "/apis") as body, pytest.raises(TimeoutError, match="no byte came"):
        body.read(1)


@pytest.mark.parametrize("plant", ["folder", "file"])
async def test_planted_links_are_not_written_through(api: Api, tmp_path: Path, plant: str) -> None:
    """A link in the download's folder does not lead a write outside."""
    session, root, outside = await session_of(api), tmp_path / "mine", tmp_path / "outside"
    left = root / f".fetch-{session.name}"
    left.mkdir(parents=True)
    outside.mkdir()
    (left / "manifest.json").write_bytes((session / "manifest.json").read_bytes())
    path = next(iter(listed(session)))
    link = left / path if plant == "file" else left / "data"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside / "victim" if plant == "file" else outside)
    imported = await fetched(getter(api), root)
    assert os.listdir(outside) == []
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)


async def test_another_state_of_the_session(api: Api, tmp_path: Path) -> None:
    """Files that were fetched for an earlier manifest are discarded."""
    session, root = await session_of(api), tmp_path / "mine"
    left = root / f".fetch-{session.name}"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("of an earlier state")
    (left / "data").write_text("in the way")
    imported = await fetched(getter(api), root)
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)


async def test_refusals(api: Api, tmp_path: Path) -> None:
    """Sessions that are missing, running, expired or of another namespace are refused in one line; nothing is left."""
    session = await session_of(api)
    running = await asyncio.to_thread(create_session, SessionLayout(api.root), unfinished())
    get, root = getter(api), tmp_path / "mine"
    for name, namespace, words in (
        ("nothing", "shop", "no session"),
        (session.name, "other", "no session"),
        (running.session_id, running.investigation.namespace, "goes on"),
    ):
        with pytest.raises(Refused, match=words):
            await fetched(get, root, name, namespace)
    expire(SessionLayout(api.root), session.name, NOW)
    with pytest.raises(Refused, match="expired"):
        await fetched(get, root)
    assert not root.exists()


def lying(status: int, body: bytes) -> Get:
    """Answers every request with the same response."""

    class Lie:
        def __init__(self) -> None:
            self.status, self._rest = status, body

        def read(self, amount: int) -> bytes:
            block, self._rest = self._rest[:amount], self._rest[amount:]
            return block

        def getheader(self, name: str) -> str | None:
            return None

    @contextmanager
    def get(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        yield Lie()

    return get


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>login</html>", "no manifest"),
        (200, b"", "no manifest"),
        (403, b'{"message": "sessions is forbidden"}', "forbidden"),
        (404, b"404 page not found: the server could not find the requested resource", "artifactsApi.enabled"),
        (503, b"unavailable", "answers 503"),
        (302, b"", "302"),
    ],
)
async def test_servers_that_lie_or_fail(tmp_path: Path, status: int, body: bytes, words: str) -> None:
    """Each has its own message, and nothing is written."""
    with pytest.raises(Refused, match=words):
        await fetched(lying(status, body), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_waited_for(api: Api, tmp_path: Path, status: int) -> None:
    """Until it has a place, and while its pod is replaced."""
    session, root, slept = await session_of(api), tmp_path / "mine", list[float]()
    get, failures = getter(api), iter(range(30 if status == 429 else 8))

    @contextmanager
    def busy(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        opened = lying(status, b"{}") if "/files/" in path and next(failures, None) is not None else get
        with opened(path, headers) as answer:
            yield answer

    remote = Remote(busy, "shop", "payments", slept.append)
    imported = await asyncio.to_thread(fetch_session, remote, SessionLayout(root))
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)
    assert len(slept) == (30 if status == 429 else 8)


async def test_a_server_that_stays_busy(tmp_path: Path) -> None:
    """The command gives up after some minutes."""
    slept: list[float] = []
    with pytest.raises(Refused, match=r"429.*run the command again"):
        await asyncio.to_thread(Remote(lying(429, b"{}"), "shop", "payments", slept.append).manifest)
    assert 500 < sum(slept) < 700


async def test_many_fetch_at_once(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are more downloads than the server runs at the same time: all are completed."""
    monkeypatch.setattr("aletheia_operator.serve.app.MAX_DOWNLOADS", 3)
    session, get = await session_of(api), getter(api)
    pauses = threading.Event()

    def fetch(number: int) -> dict[str, bytes]:
        remote = Remote(get, "shop", "payments", lambda seconds: (pauses.wait(0.02), None)[1])
        layout = SessionLayout(tmp_path / str(number))
        return contents(layout.session(fetch_session(remote, layout).session_id))

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(10) as threads:
        found = await asyncio.gather(*(loop.run_in_executor(threads, fetch, number) for number in range(10)))
    assert found == [contents(session)] * 10


async def test_a_full_disk(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that cannot fit is refused before the first byte. If the disk fills later, the next run continues."""
    session, root = await session_of(api), tmp_path / "mine"
    monkeypatch.setattr("aletheia_operator.cli.fetching.free_space", lambda directory: (1000, 50))
    with pytest.raises(Refused, match="are free: make room"):
        await fetched(getter(api), root)
    monkeypatch.undo()

    def full(descriptor: int, block: bytes) -> None:
        os.write(descriptor, block[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aletheia_operator.cli.downloading.write_all", full)
    with pytest.raises(Refused, match=r"No space left on device\. What was fetched is kept: make room"):
        await fetched(getter(api), root)
    monkeypatch.undo()
    imported = await fetched(getter(api), root)
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)


async def test_a_disk_with_room_for_one_copy(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A downloaded session is moved into place: it needs no room for a second copy."""
    session, root = await session_of(api), tmp_path / "mine"
    root.mkdir()
    size = sum(artifact["sizeBytes"] for artifact in listed(session).values())

    def statvfs(path: Path) -> Any:
        used = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        return SimpleNamespace(f_blocks=size, f_bavail=size * 1.3 - used, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", statvfs)
    imported = await fetched(getter(api), root)
    assert contents(SessionLayout(root).session(imported.session_id)) == contents(session)


async def test_a_server_that_sends_more(api: Api, tmp_path: Path) -> None:
    """More bytes than the manifest says are refused, and not kept."""
    await session_of(api)
    get = getter(api)

    @contextmanager
    def more(path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        if "/files/" in path:
            with lying(200, b"z" * 5_000_000)(path, headers) as answer:
                yield answer
        else:
            with get(path, headers) as answer:
                yield answer

    with pytest.raises(Refused, match="more than the manifest says"):
        await fetched(more, tmp_path / "mine")


async def test_a_manifest_with_hostile_paths(api: Api, tmp_path: Path) -> None:
    """A manifest that names files outside of data/ is refused before anything is fetched."""
    session = await session_of(api)
    manifest: dict[str, Any] = orjson.loads((session / "manifest.json").read_bytes())
    for path in ("../../x", "/etc/cron.d/x", "data/../x", "data/logs/../../../x"):
        manifest["artifacts"][0]["path"] = path
        with pytest.raises(Refused, match="no manifest"):
            await fetched(lying(200, orjson.dumps(manifest)), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
