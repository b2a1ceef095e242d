"""HTTP servers that misbehave on purpose, in separate threads."""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], str]
OVER = web.AppKey("over", asyncio.Event)


@contextmanager
def threads_serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """HOST:PORT of a server with this handler, which may block: each request has a thread."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


@contextmanager
def serving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Serve]:
    """Yield a function that starts a server with one handler for every path, and returns its URL.

    `request.app[OVER]` is an event for handlers that wait: it is set when the servers end.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runners: list[tuple[web.AppRunner, asyncio.Event]] = []

    async def start(handler: Handler) -> str:
        app = web.Application(client_max_size=64 * 1024**2)
        over = app[OVER] = asyncio.Event()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, host, 0, ssl_context=tls).start()
        runners.append((runner, over))
        return f"http{'s' if tls else ''}://{host}:{runner.addresses[0][1]}"

    async def stop() -> None:
        for runner, over in runners:
            over.set()
            await runner.cleanup()

    try:
        yield lambda handler: asyncio.run_coroutine_threadsafe(start(handler), loop).result(60)
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
