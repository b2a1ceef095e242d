"""The artifacts API over real TLS: which clients are admitted, which bytes they get, and that only listed files are read."""

import asyncio
import io
import logging
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.api.paths import ARTIFACTS_ROOT as ROOT
from aletheia_operator.serve import app
from aletheia_operator.serve.addresses import Address, NoSuchAddress, parse
from aletheia_operator.serve.catalog import Catalog
from aletheia_operator.serve.content import BLOCK_BYTES, Content, FilePart
from aletheia_operator.serve.speed import SpeedLimit
from aletheia_operator.session import SessionLayout, create_session
from aletheia_operator.session.archive import export_session
from aletheia_operator.session.retention import expire
from aletheia_operator.text.log_records import JsonFormatter, PlainFormatter
from tests.support.captures import NOW, unfinished
from tests.unit.artifacts_server import ALICE, Api, listed, made, serving, session_of, sessions
from tests.unit.certificates import new_authority
from tests.unit.fakes import LONGEST_TEST_SECONDS

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as running:
        yield running


def archived(session: Path) -> bytes:
    written = io.BytesIO()
    export_session(session, written.write)
    return written.getvalue()


async def test_every_byte_equals_the_volumes(api: Api) -> None:
    """Manifest, each file and the archive equal those on the volume, by session id and by the Investigation's name."""
    session = await session_of(api)
    for name in (session.name, "payments"):
        assert (await api.get(f"{sessions()}/{name}/manifest"))[1] == (session / "manifest.json").read_bytes()
        assert (await api.get(f"{sessions()}/{name}/archive"))[1] == archived(session)
        for path, artifact in listed(session).items():
            status, body, headers = await api.get(f"{sessions()}/{name}/files/{path}")
            assert (status, body) == (200, (session / path).read_bytes())
            assert headers["ETag"] == f'"{artifact["sha256"]}"'


async def test_ranges_make_up_the_whole(api: Api) -> None:
    """Any two adjacent ranges of file and archive make the whole; a suffix, an end beyond the size and one byte work."""
    session = await session_of(api)
    path = max(listed(session), key=lambda path: listed(session)[path]["sizeBytes"])
    for part, whole in ((f"files/{path}", (session / path).read_bytes()), ("archive", archived(session))):
        address = f"{sessions()}/payments/{part}"
        for cut in (1, 512, 513, BLOCK_BYTES, len(whole) - 1):
            got = b""
            for asked in (f"bytes=0-{cut - 1}", f"bytes={cut}-"):
                status, body, headers = await api.get(address, {"Range": asked})
                assert status == 206
                assert headers["Content-Range"].endswith(f"/{len(whole)}")
                got += body
            assert got == whole
        assert (await api.get(address, {"Range": "bytes=-7"}))[1] == whole[-7:]
        assert (await api.get(address, {"Range": f"bytes=0-{len(whole) * 2}"}))[1] == whole
        assert (await api.get(address, {"Range": f"bytes={len(whole)}-"}))[0] == 416
        assert (await api.get(address, {"Range": "bytes=-0"}))[0] == 416
        assert (await api.get(address, {"Range": "bytes=0-1,4-5"}))[:2] == (200, whole)


async def test_conditions(api: Api) -> None:
    """A range of a file that has changed is answered with the whole file; an unchanged file is not sent again."""
    await session_of(api)
    address = f"{sessions()}/payments/manifest"
    _, whole, headers = await api.get(address)
    etag = headers["ETag"]
    assert etag == f'"{sha256(whole).hexdigest()}"'
    assert (await api.get(address, {"If-None-Match": etag}))[:2] == (304, b"")
    assert (await api.get(address, {"Range": "bytes=5-", "If-Range": etag}))[1] == whole[5:]
    assert (await api.get(address, {"Range": "bytes=5-", "If-Range": '"other"'}))[:2] == (200, whole)


async def test_only_the_front_proxy_gets_in(api: Api) -> None:
    """Without the front proxy's certificate, or with that of another name or authority, no request is answered."""
    await session_of(api)
    address = f"{sessions()}/payments/manifest"
    for name, authority in ((None, None), ("front-proxy", new_authority())):
        with suppress(aiohttp.ClientError):  # with TLS 1.3 the client gets the refusal when it reads
            async with api.client(name, authority) as client, client.get(address, headers=ALICE) as answer:
                pytest.fail(f"an answer: {answer.status}")
    async with api.client("other") as client, client.get(address, headers=ALICE) as answer:
        assert answer.status == 401
    assert (await api.get(address, user={}))[0] == 401


@pytest.mark.parametrize(
    "path",
    [
        "files/../../{other}/manifest.json",
        "files/..%2f..%2f{other}%2fmanifest.json",
        "files/%2e%2e/manifest.json",
        "files/data/%2e%2e/manifest.json",
        "files//etc/passwd",
        "files/%2fetc%2fpasswd",
        "files/data%2flogs",
        "files/data/logs",
        "files/custody.json",
        "files/journal.ndjson",
        "files/.hidden",
        "files/data/logs/planted.json",
        "files/data\\logs",
        "files/manifest.json%00",
        "files",
        "files/",
        "../{other}/manifest",
        "%2e%2e/{other}/manifest",
        "secrets",
        "archive/x",
    ],
)
async def test_no_path_leads_elsewhere(api: Api, path: str) -> None:
    """Dots, encoded slashes, absolute paths and files that the manifest does not list get 404, and no byte of any file."""
    session, other = await session_of(api), await session_of(api, namespace="private", uid="uid-2")
    (session / "data" / "logs" / "planted.json").write_text("planted")
    status, body, _ = await api.get(f"{sessions()}/{session.name}/{path.format(other=other.name)}")
    assert status == 404
    assert orjson.loads(body)["kind"] == "Status"


async def test_a_session_is_only_in_its_own_namespace(api: Api) -> None:
    """Neither the id nor the name of another namespace's session leads to it, whether listed or not."""
    mine, other = await session_of(api), await session_of(api, namespace="private", name="secret", uid="uid-2")
    for name in (other.name, "secret", "INC-0000", "INC-../x", "inc-" + mine.name[4:].lower()):
        for part in ("", "/manifest", "/archive", "/files/manifest.json"):
            assert (await api.get(f"{sessions()}/{name}{part}"))[0] == 404
    _, body, _ = await api.get(sessions())
    assert [item["metadata"]["name"] for item in orjson.loads(body)["items"]] == [mine.name]
    assert len(orjson.loads((await api.get(f"{ROOT}/sessions"))[1])["items"]) == 2


@pytest.mark.parametrize("level", ["file", "folder", "session"])
async def test_links_are_not_followed(api: Api, level: str) -> None:
    """A link in place of a listed file, of its folder or of the session leads nowhere, though its target has the same bytes."""
    session = await session_of(api)
    path = next(iter(listed(session)))
    swapped = {"file": session / path, "folder": session / "data", "session": session}[level]
    elsewhere = api.directory / "elsewhere"
    swapped.rename(elsewhere)
    swapped.symlink_to(elsewhere)
    status, body, _ = await api.get(f"{sessions()}/{session.name}/files/{path}")
    assert status in (404, 500)
    assert orjson.loads(body)["kind"] == "Status"


@pytest.mark.parametrize("content", [b"x", b"x" * 1_000_000])
async def test_an_altered_file_is_gone(api: Api, content: bytes) -> None:
    """A file of another size than the manifest says: the status before the first byte says that another try is in vain."""
    session = await session_of(api)
    altered, whole, *_ = listed(session)
    (session / altered).write_bytes(content)
    status, body, _ = await api.get(f"{sessions()}/payments/files/{altered}")
    assert (status, orjson.loads(body)["reason"]) == (410, "Gone")
    assert "was altered" in orjson.loads(body)["message"]
    assert (await api.get(f"{sessions()}/payments/files/{whole}"))[0] == 200


async def test_a_file_that_is_cut_while_it_is_sent_breaks_the_connection(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """No caller can mistake a part for the whole file."""
    session = await session_of(api)
    path = max(listed(session), key=lambda path: listed(session)[path]["sizeBytes"])
    read = FilePart.read

    def cut_before_the_second(part: FilePart, offset: int, size: int) -> bytes:
        if offset:
            os.truncate(session / path, 10)
        return read(part, offset, size)

    monkeypatch.setattr(FilePart, "read", cut_before_the_second)
    with pytest.raises(aiohttp.ClientError):
        await api.get(f"{sessions()}/payments/files/{path}")


async def test_an_error_while_a_file_is_sent_breaks_the_connection(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not answered: an error response would be a part of the file."""
    session = await session_of(api)
    path = max(listed(session), key=lambda path: listed(session)[path]["sizeBytes"])
    size, read = (session / path).stat().st_size, FilePart.read
    monkeypatch.setattr(app, "BLOCK_BYTES", size - 50)  # fewer bytes are left than an error response has

    def failing_at_the_second(part: FilePart, offset: int, size: int) -> bytes:
        if offset:
            raise OSError(5, "Input/output error")
        return read(part, offset, size)

    monkeypatch.setattr(FilePart, "read", failing_at_the_second)
    with pytest.raises(aiohttp.ClientError):
        await api.get(f"{sessions()}/payments/files/{path}")


async def test_table_for_kubectl(api: Api) -> None:
    """`kubectl get` is answered with a table; the headline is a column for `-o wide`."""
    session = await session_of(api)
    for address in (sessions(), f"{sessions()}/payments"):
        table = orjson.loads((await api.get(address, {"Accept": TABLE}))[1])
        assert table["kind"] == "Table"
        row = dict(zip([column["name"] for column in table["columnDefinitions"]], table["rows"][0]["cells"], strict=True))
        assert (row["Name"], row["Investigation"], row["Artifacts"]) == (session.name, "payments", len(listed(session)))
        assert table["rows"][0]["object"]["metadata"]["namespace"] == "shop"


async def test_pages_and_selectors(api: Api) -> None:
    """Pages show each session once. An unknown selector is refused with the names of the known ones."""
    ids = {(await session_of(api, uid=f"uid-{number}")).name for number in range(5)}
    found, token = [], ""
    while True:
        page = orjson.loads((await api.get(f"{sessions()}?limit=2&continue={token}"))[1])
        found += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert found == sorted(ids)
    third = found[2]
    chosen = orjson.loads((await api.get(f"{sessions()}?fieldSelector=metadata.name%3D{third}"))[1])
    assert [item["metadata"]["name"] for item in chosen["items"]] == [third]
    assert len(orjson.loads((await api.get(f"{sessions()}?fieldSelector=metadata.name!%3D{third}"))[1])["items"]) == 4
    for query in ("fieldSelector=phase%3DFailed", "labelSelector=a%3Db", "limit=x", "continue=%25"):
        status, body, _ = await api.get(f"{sessions()}?{query}")
        assert status == 400, body
    assert (await api.get(f"{sessions()}?watch=true"))[0] == 405


async def test_states_of_a_session(api: Api) -> None:
    """A running capture, expired data and a removed session have different answers."""
    layout = SessionLayout(api.root)
    running = await asyncio.to_thread(create_session, layout, unfinished())
    of_running = sessions(running.investigation.namespace)
    assert (await api.get(f"{of_running}/{running.session_id}/archive"))[0] == 409
    assert orjson.loads((await api.get(f"{of_running}/{running.session_id}"))[1])["phase"] == "Running"
    session = await session_of(api)
    path = next(iter(listed(session)))
    assert (await api.get(f"{sessions()}/payments/files/{path}"))[0] == 200
    expire(layout, session.name, NOW)
    assert (await api.get(f"{sessions()}/payments/files/{path}"))[0] == 410
    assert "expirationTime" in orjson.loads((await api.get(f"{sessions()}/payments"))[1])
    shutil.rmtree(session)
    assert (await api.get(f"{sessions()}/payments/files/{path}"))[0] == 404


async def test_the_newest_session_of_a_name(api: Api) -> None:
    """If an Investigation was created again, its name leads to the newest session. The older one is found by its id."""
    older = await session_of(api, uid="uid-1")
    newer = await asyncio.to_thread(made, api.root, uid="uid-2", now=lambda: NOW + timedelta(hours=2))
    assert orjson.loads((await api.get(f"{sessions()}/payments"))[1])["metadata"]["name"] == newer.name
    assert orjson.loads((await api.get(f"{sessions()}/{older.name}"))[1])["metadata"]["name"] == older.name


async def test_nothing_is_written(api: Api) -> None:
    """Methods that would change something are refused."""
    await session_of(api)
    async with api.client() as client:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            async with client.request(method, f"{sessions()}/payments", headers=ALICE) as answer:
                assert answer.status == 405


async def test_discovery(api: Api) -> None:
    """kubectl finds the resource, its subresources and its OpenAPI schema."""
    resources = orjson.loads((await api.get(ROOT))[1])["resources"]
    assert {"sessions", "sessions/files", "sessions/archive", "sessions/manifest"} <= {
        resource["name"] for resource in resources
    }
    paths = orjson.loads((await api.get("/openapi/v3"))[1])["paths"]
    (path,) = paths.values()
    document = orjson.loads((await api.get(path["serverRelativeURL"]))[1])
    (schema,) = document["components"]["schemas"].values()
    assert {"headline", "phase", "investigation"} <= set(schema["properties"])
    assert orjson.loads((await api.get("/openapi/v2"))[1])["definitions"]


async def test_who_read_what_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the caller, the session, the part and the bytes, also of refused requests; a name cannot forge a line."""
    caplog.set_level("INFO")
    session = await session_of(api)
    path = next(iter(listed(session)))
    await api.get(f"{sessions()}/payments/files/{path}", user={"X-Remote-User": "eve\tadmin"})
    await api.get(f"{sessions()}/nothing/archive")
    read, refused = (record for record in caplog.records if record.name == "aletheia_operator.access")
    assert read.__dict__["fields"] == read.__dict__["fields"] | {
        "user": "eve\tadmin",
        "session": session.name,
        "part": f"files/{path}",
        "bytes": listed(session)[path]["sizeBytes"],
        "status": 200,
    }
    assert (refused.getMessage(), refused.__dict__["fields"]["status"]) == ("refused", 404)
    assert "\n" not in PlainFormatter().format(read)
    assert orjson.loads(JsonFormatter().format(read))["user"] == "eve\tadmin"


async def test_new_certificates_are_taken_up(api: Api) -> None:
    """After a rotation of the front proxy's authority only the new one is accepted; broken files change nothing."""
    await session_of(api)
    certificates = api.directory / "certificates"
    (certificates / "tls.crt").write_text("broken")
    await api.server.refresh()
    assert (await api.get(sessions()))[0] == 200
    former, api.front_proxy = api.front_proxy, new_authority()
    pair = api.serving.server(api.directory).read_bytes()
    names = {"ca": api.front_proxy.pem, "allowedNames": [], "usernameHeaders": ["X-Remote-User"]}
    for name, content in (("tls.crt", pair), ("tls.key", pair), ("front-proxy.json", orjson.dumps(names))):
        (certificates / name).write_bytes(content)
    await api.server.refresh()
    assert (await api.get(sessions()))[0] == 200
    with pytest.raises(aiohttp.ClientError):
        async with api.client("front-proxy", former) as client, client.get(sessions(), headers=ALICE):
            pass


async def test_one_caller_cannot_keep_the_others_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all downloads taken, further ones get 429 with Retry-After, except each caller's first; lists are answered."""
    await session_of(api)
    address, bob, released = f"{sessions()}/payments/archive", {"X-Remote-User": "bob"}, asyncio.Event()
    real, running = app.send, asyncio.Semaphore(0)

    async def slow(request: web.Request, content: Content, *more: Any) -> web.StreamResponse:
        running.release()
        await released.wait()
        return await real(request, content, *more)

    monkeypatch.setattr(app, "send", slow)
    monkeypatch.setattr(app, "MAX_DOWNLOADS", 2)
    monkeypatch.setattr(app, "MAX_WITH_FIRST_DOWNLOADS", 3)
    async with asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(api.get(address)) for _ in range(2)]
        for _ in held:
            await running.acquire()
        status, _, headers = await api.get(address)
        assert (status, headers["Retry-After"]) == (429, "1")
        first = tasks.create_task(api.get(address, user=bob))
        await running.acquire()
        assert (await api.get(address, user=bob))[0] == 429
        assert (await api.get(address, user={"X-Remote-User": "carol"}))[0] == 429
        assert (await api.get(sessions()))[0] == 200
        released.set()
    assert [task.result()[0] for task in (*held, first)] == [200] * 3
    assert (await api.get(address))[0] == 200


class Recorder(SpeedLimit):
    """Counts bytes, and delays none."""

    sent = 0

    async def wait(self, size: int) -> None:
        self.sent += size


async def test_every_byte_of_a_download_counts(tmp_path: Path) -> None:
    """Those of files, parts of files and archives."""
    speed_limit = Recorder()
    async with serving(tmp_path, speed_limit) as api:
        path = next(iter(listed(await session_of(api))))
        received = 0
        for part, headers in (
            ("archive", {}),
            ("manifest", {}),
            (f"files/{path}", {"Range": "bytes=7-"}),
        ):
            received += len((await api.get(f"{sessions()}/payments/{part}", headers))[1])
    assert speed_limit.sent == received


@pytest.mark.parametrize("downloads", [1, 50])
async def test_downloads_share_the_speed(downloads: int) -> None:
    """After the first half second they get the speed together, and what was not used for long is not saved up."""
    moment = [1000.0]
    taken = [0] * downloads

    async def sleep(seconds: float) -> None:
        moment[0] += seconds
        await asyncio.sleep(0)

    speed_limit = SpeedLimit(1000, lambda: moment[0], sleep)
    for _ in range(2):
        began = moment[0] = moment[0] + 3600

        async def download(number: int, end: float = began + 100) -> None:
            while moment[0] < end:
                await speed_limit.wait(10)
                taken[number] += 10

        before = sum(taken)
        async with asyncio.TaskGroup() as tasks:
            for number in range(downloads):
                tasks.create_task(download(number))
        assert 1000 * 100 <= sum(taken) - before <= 1000 * 101 + 10 * downloads
    assert max(taken) - min(taken) <= 1010, "they take turns, after what was saved up"


async def test_a_caller_who_does_not_read_is_disconnected(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The download does not wait for the caller, and is logged as incomplete."""
    await session_of(api)
    ended = asyncio.Event()
    handler = logging.Handler()
    handler.emit = lambda record: ended.set()  # type: ignore[method-assign]
    real = web.StreamResponse.write

    async def stalled(response: web.StreamResponse, data: bytes) -> None:
        await real(response, data)
        await asyncio.Event().wait()

    monkeypatch.setattr(app, "STALLED_SECONDS", 0.05)
    monkeypatch.setattr(web.StreamResponse, "write", stalled)
    caplog.set_level(logging.INFO, "aletheia_operator.access")
    logger = logging.getLogger("aletheia_operator.access")
    logger.addHandler(handler)
    try:
        with pytest.raises(aiohttp.ClientError):
            await api.get(f"{sessions()}/payments/archive")
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            await ended.wait()
    finally:
        logger.removeHandler(handler)
    assert caplog.records[-1].fields["complete"] is False  # type: ignore[attr-defined]


async def test_headlines_are_left_out(tmp_path: Path) -> None:
    """If an admin allows no log text in the status, the list quotes none; other namespaces are not shown."""
    await asyncio.to_thread(made, tmp_path)
    layout = SessionLayout(tmp_path)
    assert [summary.headline for summary in Catalog(layout, with_headlines=False).list(None)] == [None]
    assert Catalog(layout, ("other",)).list(None) == []
    assert Catalog(layout, ("other",)).find("shop", "payments") is None


@given(st.text(alphabet="abN/.%2fe5c\\0 ", max_size=40))
def test_an_accepted_path_has_one_spelling(tail: str) -> None:
    """Whatever follows the root, an accepted address names no `..`, no empty part and no encoded slash."""
    try:
        address = parse(f"{ROOT}/namespaces/shop/sessions/x/files/{tail}")
    except NoSuchAddress:
        return
    assert address == Address("shop", "x", "files", address.file)
    assert not {"", ".", ".."} & set(address.file.split("/"))
    assert tail.count("/") == address.file.count("/")


async def test_no_answer_is_html(api: Api) -> None:
    """The API server would rewrite links in text/html, so the report has another content type."""
    session = await session_of(api)
    status, body, headers = await api.get(f"{sessions()}/payments/report")
    assert (status, body) == (200, (session / "report.html").read_bytes())
    assert headers["Content-Type"] == "application/octet-stream"


async def test_archive_opens_with_tar(api: Api) -> None:
    """tar reads the archive."""
    session = await session_of(api)
    with tarfile.open(fileobj=io.BytesIO((await api.get(f"{sessions()}/payments/archive"))[1])) as tar:
        assert len(tar.getnames()) == len(listed(session)) + 1
