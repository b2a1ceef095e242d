"""The artifacts API on the loopback interface, with the certificates of a front proxy, and sessions to read."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from yarl import URL

from aletheia_operator.api.paths import ARTIFACTS_ROOT as ROOT
from aletheia_operator.serve.catalog import Catalog
from aletheia_operator.serve.content import BLOCK_BYTES
from aletheia_operator.serve.server import Server
from aletheia_operator.serve.speed import SpeedLimit
from aletheia_operator.session import InvestigationReference, SessionLayout
from tests.support.captures import Memory, capture
from tests.unit.certificates import Authority, new_authority

ALICE = {"X-Remote-User": "alice", "X-Remote-Group": "system:authenticated"}
LARGE = "x" * (BLOCK_BYTES * 2 + 17)


@dataclass
class Api:
    """A running API, its volume, and the authority of its clients' certificates."""

    root: Path
    server: Server
    serving: Authority
    front_proxy: Authority
    directory: Path

    @asynccontextmanager
    async def client(
        self, name: str | None = "front-proxy", authority: Authority | None = None
    ) -> AsyncIterator[aiohttp.ClientSession]:
        """A client with a certificate of this name, or without a certificate if `name` is None."""
        context = ssl.create_default_context(cadata=self.serving.pem)
        if name is not None:
            context.load_cert_chain((authority or self.front_proxy).server(self.directory, name))
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        async with aiohttp.ClientSession(f"https://127.0.0.1:{self.server.port}", connector=connector) as session:
            yield session

    async def get(
        self, path: str, headers: dict[str, str] | None = None, user: dict[str, str] = ALICE
    ) -> tuple[int, bytes, Any]:
        """Return status, body and headers of an answer to the front proxy. The path is sent unchanged."""
        async with self.client() as client, client.get(URL(path, encoded=True), headers={**user, **(headers or {})}) as answer:
            return answer.status, await answer.read(), answer.headers


@asynccontextmanager
async def serving(tmp_path: Path, speed_limit: SpeedLimit | None = None) -> AsyncIterator[Api]:
    """An API on a free port of the loopback interface, with an empty volume. `speed_limit` None: the default one."""
    root, certificates = tmp_path / "volume", tmp_path / "certificates"
    certificates.mkdir()
    own, front_proxy = new_authority(), new_authority()
    pair = own.server(tmp_path).read_bytes()
    for name in ("tls.crt", "tls.key"):
        (certificates / name).write_bytes(pair)
    names = {"ca": front_proxy.pem, "allowedNames": ["front-proxy"], "usernameHeaders": ["X-Remote-User"]}
    (certificates / "front-proxy.json").write_bytes(orjson.dumps(names))
    server = Server(Catalog(SessionLayout(root)), (certificates, certificates), ("127.0.0.1", 0), ("127.0.0.1", 0), speed_limit)
    stopped = asyncio.Event()
    running = asyncio.create_task(server.run(stopped))
    while not server.port:
        assert not running.done(), running.exception()
        await asyncio.sleep(0)
    yield Api(root, server, own, front_proxy, tmp_path)
    stopped.set()
    await running


def made(root: Path, namespace: str = "shop", name: str = "payments", uid: str = "uid-1", **options: Any) -> Path:
    """Write a finished session with one small and one large artifact."""
    answers = {"small": [[{"line": "evidence"}]], "large": [[{"line": LARGE}]]}
    owner = InvestigationReference(namespace=namespace, name=name, uid=uid)
    return Path(capture(root, Memory(answers), owner=owner, **options).path)


async def session_of(api: Api, **identity: str) -> Path:
    return await asyncio.to_thread(made, api.root, **identity)


def sessions(namespace: str = "shop") -> str:
    return f"{ROOT}/namespaces/{namespace}/sessions"


def listed(session: Path) -> dict[str, dict[str, Any]]:
    """Return the files that the manifest lists, by path."""
    return {artifact["path"]: artifact for artifact in orjson.loads((session / "manifest.json").read_bytes())["artifacts"]}
