"""Runs the artifacts API: listens with TLS, reloads certificates, and answers probes on a separate port."""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from aletheia_operator.serve.app import ArtifactsApi
from aletheia_operator.serve.catalog import Catalog
from aletheia_operator.serve.front_proxy import FrontProxy, NotReady, TlsFiles, read_tls_files
from aletheia_operator.serve.speed import SpeedLimit

log = logging.getLogger(__name__)

CERTIFICATE_CHECK_SECONDS = 5
FIRST_CHECK_SECONDS = 0.2
SHUTDOWN_SECONDS = 5


class Server:
    """Listens on `listen` (host and port) once the certificates are complete, and on `probe` for /healthz and /readyz."""

    def __init__(
        self,
        catalog: Catalog,
        certificates: tuple[Path, Path],
        listen: tuple[str, int],
        probe: tuple[str, int],
        speed_limit: SpeedLimit | None = None,
    ) -> None:
        """`certificates`: directories of the front proxy's file, and of the serving certificate."""
        self._certificates = certificates
        self._listen = listen
        self._probe = probe
        self._tls_files: TlsFiles | None = None
        self._site: web.TCPSite | None = None
        self._logged = ""
        api = ArtifactsApi(catalog, self._front_proxy, speed_limit or SpeedLimit())
        self._runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

    @property
    def ready(self) -> bool:
        return self._site is not None

    @property
    def port(self) -> int:
        """The port of the API once it listens; 0 before."""
        return _port(self._runner) if self._site is not None else 0

    async def run(self, stopped: asyncio.Event, started: Callable[[int], None] = lambda port: None) -> None:
        """Serve until `stopped`. `started` is called with the port of the probes."""
        await self._runner.setup()
        probes = web.AppRunner(self._probes(), access_log=None)
        await probes.setup()
        try:
            await web.TCPSite(probes, *self._probe).start()
            started(_port(probes))
            while not stopped.is_set():
                await self.refresh()
                try:
                    async with asyncio.timeout(CERTIFICATE_CHECK_SECONDS if self.ready else FIRST_CHECK_SECONDS):
                        await stopped.wait()
                except TimeoutError:
                    continue
        finally:
            await self._runner.cleanup()
            await probes.cleanup()

    async def refresh(self) -> None:
        """Read the certificates, and use them for new connections. Open connections stay, with the new rules."""
        try:
            tls_files = await asyncio.to_thread(read_tls_files, *self._certificates)
            if tls_files == self._tls_files:
                return
            context = tls_files.context()
        except NotReady as e:
            if str(e) != self._logged:
                self._logged = str(e)
                state = "waiting for certificates" if self._site is None else "still using the previous certificates"
                log.warning("%s: %s", state, e)
            return
        if self._site is not None:
            await self._site.stop()
        self._tls_files, self._logged = tls_files, ""
        self._site = web.TCPSite(self._runner, *self._listen, ssl_context=context, reuse_address=True)
        await self._site.start()
        log.info("serving with the certificate in %s", tls_files.directory)

    def _front_proxy(self) -> FrontProxy:
        if self._tls_files is None:
            raise NotReady("no certificate was read yet")
        return self._tls_files.front_proxy

    def _probes(self) -> web.Application:
        async def healthz(request: web.Request) -> web.Response:
            return web.Response(text="ok")

        async def readyz(request: web.Request) -> web.Response:
            return web.Response(text="ok" if self.ready else "waiting for certificates", status=200 if self.ready else 503)

        application = web.Application()
        application.router.add_get("/healthz", healthz)
        application.router.add_get("/readyz", readyz)
        return application


async def serve(server: Server) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await server.run(stopped)


def _port(runner: web.AppRunner) -> int:
    addresses = runner.addresses
    return int(addresses[0][1]) if addresses else 0
