"""Sessions by any name, read from any place, through a real artifacts API and a real folder."""

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from aletheia_operator.api.paths import API
from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.cluster import ClusterApi
from aletheia_operator.cli.downloading import NoApi, NoSession
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.kubectl import KubectlProxy
from aletheia_operator.cli.options import Options
from aletheia_operator.cli.reader import SessionReader, decrypted
from aletheia_operator.cli.reference import Reference, open_session, parsed, remote_reader, remote_session
from aletheia_operator.session import SessionLayout
from aletheia_operator.show.captured import CapturedSession
from tests.unit.artifacts_server import LARGE, Api, made, serving, session_of
from tests.unit.proxies import ApiProxy, FakeApi, connect, lying

T = TypeVar("T")
ENDED = "2026-11-22T12:00:00Z"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as running:
        yield running


def options(**named: Any) -> Options:
    values = dict.fromkeys(("root", "namespace", "context", "kubeconfig", "as_user", "identity", "password_file"))
    return Options(**{**values, **named})


async def reading(api: Api, name: str, read: Callable[[SessionReader], T], namespace: str = "shop") -> T:
    """Return what `read` returns for the reader of this session through the API."""
    cluster = ClusterApi(ApiProxy(api), [], namespace)
    return await asyncio.to_thread(lambda: read(remote_reader(cluster, parsed(name), options())))


def everything(reader: SessionReader) -> dict[str, Any]:
    """All that a reader gives, by what was asked."""
    found: dict[str, Any] = {artifact.path: reader.open(artifact.path).read() for artifact in reader.manifest.artifacts}
    session = CapturedSession(reader.manifest, reader)
    large = next(artifact for artifact in session.artifacts("logs") if artifact.size_bytes > len(LARGE))
    found["entries"] = [entry for _, entry in session.entries(large)]
    found["metadata"] = session.metadata(large)
    with reader.open(large.path) as file:
        file.seek(-1000, 2)
        end = file.read()
        file.seek(10)
        found["parts"] = (end, file.read(20), file.tell())
    return found


async def test_a_cluster_and_a_folder_give_the_same(api: Api) -> None:
    """Every file, its entries and parts, byte for byte, by each name of the session."""
    session = await session_of(api)
    with open_session(options(root=api.root, session=session.name)) as reader:
        here = everything(reader)
    with open_session(options(session=str(session))) as reader:
        assert everything(reader) == here
    assert here["entries"] == [{"line": LARGE}]
    for name in (session.name, session.name.lower(), "payments", "shop/payments", f"shop/{session.name}"):
        assert await reading(api, name, everything) == here, name


async def test_an_id_of_another_namespace(api: Api) -> None:
    """An id is sufficient in any namespace; a name belongs to the given namespace."""
    other = await asyncio.to_thread(made, api.root, "bank", "till", "uid-2")
    assert await reading(api, other.name, lambda reader: reader.manifest.investigation.namespace) == "bank"
    with pytest.raises(NoSession, match="no session till in namespace shop"):
        await reading(api, "till", everything)


async def test_a_misspelt_name(api: Api) -> None:
    """The message has the nearest names."""
    await session_of(api)
    with pytest.raises(NoSession, match="no session INC-0000 in namespace shop"):
        await reading(api, "INC-0000", everything)
    session = await asyncio.to_thread(made, api.root, "shop", "other", "uid-3")
    near = session.name[:-1] + ("0" if session.name[-1] != "0" else "1")
    with pytest.raises(NoSession, match=f"nearest names: .*{session.name}"):
        await reading(api, near, everything)


async def test_an_altered_file(api: Api) -> None:
    """It is refused after it was read to its end."""
    session = await session_of(api)
    with open_session(options(session=str(session))) as reader:
        (artifact, *_) = CapturedSession(reader.manifest, reader).artifacts("logs")

    def swapped(reader: SessionReader) -> None:
        listed = [
            saved.model_copy(update={"sha256": "0" * 64}) if saved.path == artifact.path else saved
            for saved in reader.manifest.artifacts
        ]
        forged = replace(reader, manifest=reader.manifest.model_copy(update={"artifacts": listed}))
        forged.open(artifact.path).read()

    with pytest.raises(Refused, match="was altered"):
        await reading(api, session.name, swapped)


def test_no_room_for_decrypted_content() -> None:
    """The message names the folder that is full, and how to choose another one: it is not the evidence that cannot be read."""

    def full(write: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Refused, match="No space left on device: set TMPDIR"):
        decrypted(full)


def test_what_names_a_session() -> None:
    """An id in any case, a name with or without its namespace; nothing else."""
    assert parsed("payments") == Reference("", "payments")
    assert parsed("shop/payments") == Reference("shop", "payments")
    assert parsed("inc-7f3a") == Reference("", "INC-7F3A")
    assert parsed("shop/inc-7f3a").is_id
    for wrong in (
        "",
        "/",
        "shop/",
        "a/b/c",
        ".",
        "..",
        "shop/..",
        "../x",
        "a b",
        "-x",
        "a\nb",
        "a?x",
        "%2e",
        "\udcff",
        "x" * 300,
    ):
        with pytest.raises(Refused, match="names no session"):
            parsed(wrong)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (404, b"404: the server could not find the requested resource", NoApi, "artifactsApi.enabled"),
        (404, b"404 page not found\n", NoApi, "artifactsApi.enabled"),
        (503, b'{"message": "service unavailable"}', NoApi, "service unavailable"),
        (403, b'{"message": "sessions is forbidden"}', Refused, "forbidden"),
    ],
)
def test_clusters_without_the_api(status: int, body: bytes, error: type[Exception], words: str) -> None:
    """Without the API, or with the API down, the message differs from that of a refusal."""
    cluster = ClusterApi(lying(status, body), [], "shop")
    with pytest.raises(error, match=words):
        remote_session(cluster, parsed("payments"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"phase": "Running"}, "is Running and has no session yet: `wait shop/hunt`"),
        ({}, "is Pending and has no session yet"),
        (
            {"phase": "Completed", "completionTime": ENDED, "session": {"id": "INC-0001"}},
            "INC-0001 was removed",
        ),
        ({"phase": "Failed", "completionTime": ENDED}, "is Failed, and it has no session"),
    ],
)
def test_an_investigation_without_a_session(status: dict[str, Any], words: str) -> None:
    """The message differs from that of a name that does not exist."""
    api = FakeApi({f"{API}/namespaces/shop/investigations/hunt": {"metadata": {"name": "hunt"}, "status": status}})
    with pytest.raises(NoSession, match=words):
        remote_session(ClusterApi(api, [], "shop"), parsed("hunt"))


def test_a_folder_has_no_such_session(tmp_path: Path) -> None:
    """The message is that of `aletheia session`."""
    with pytest.raises(Refused, match="there is no session"), open_session(options(root=tmp_path, session="INC-0000")):
        pass
    assert not SessionLayout(tmp_path).sessions.exists()


@pytest.fixture
def connected_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[KubectlProxy], None]:
    """Lets commands reach a proxy instead of a kubectl's."""
    return partial(connect, monkeypatch)


async def test_fetch_by_each_name(
    api: Api, tmp_path: Path, connected_to: Callable[[KubectlProxy], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """An id is enough for a session of any namespace. Only this user can read what was fetched, in a folder of any mode."""
    session = await asyncio.to_thread(made, api.root, "bank", "till", "uid-2")
    connected_to(ApiProxy(api))
    (tmp_path / "mine").mkdir(0o755)
    for name in (session.name, "bank/till"):
        assert await asyncio.to_thread(main, ["-n", "shop", "fetch", name, f"--root={tmp_path / 'mine'}"]) == 0
    assert "is there already" in capsys.readouterr().out
    assert {oct(path.stat().st_mode & 0o077) for path in (tmp_path / "mine").rglob("*")} == {"0o0"}
    assert await asyncio.to_thread(main, ["-n", "shop", "fetch", "till", f"--root={tmp_path / 'mine'}"]) == 1
    assert "no session till in namespace shop" in capsys.readouterr().err


EXEC = """#!{python}
import os, sys
words = sys.argv[1:]
if "get" in words:
    print('{{"items": [{{"metadata": {{"namespace": "system", "name": "pod-1"}}, "status": {{"phase": "Running"}}}}]}}')
else:
    assert words[words.index("exec") + 1 : words.index("--")] == ["-n", "system", "pod-1", "-c", "operator"], words
    program = words[words.index("--") + 2 :]
    os.execv(sys.executable, [sys.executable, *program, "--root={root}"])
"""


def test_an_admin_without_the_api(
    tmp_path: Path,
    connected_to: Callable[[KubectlProxy], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The commands read by `kubectl exec`, byte for byte, and report it."""
    session, mine = made(tmp_path / "volume"), tmp_path / "mine"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(EXEC.format(python=sys.executable, root=tmp_path / "volume"))
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    connected_to(lying(404, b"the server could not find the requested resource"))
    with (
        open_session(options(session="payments", namespace="shop")) as reader,
        open_session(options(session=str(session))) as here,
    ):
        path = CapturedSession(reader.manifest, reader).artifacts("logs")[0].path
        with reader.open(path) as file, here.open(path) as same:
            assert file.read() == same.read()
    assert "Reading by kubectl exec in system/pod-1" in capsys.readouterr().err
    assert main(["-n", "shop", "fetch", "payments", f"--root={mine}"]) == 0
    assert (SessionLayout(mine).session(session.name) / path).read_bytes() == (session / path).read_bytes()
    assert {oct(path.stat().st_mode & 0o077) for path in mine.rglob("*")} == {"0o0"}
    assert main(["-n", "shop", "fetch", "nothing", f"--root={mine}"]) == 1
    assert "not by kubectl exec either: there is no session" in capsys.readouterr().err
