"""A forward proxy on the loopback interface: it forwards requests of absolute URLs, and tunnels by CONNECT, to one server."""

import base64
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.unit.fakes import LONGEST_TEST_SECONDS


@dataclass
class ForwardProxy:
    """What the proxy allows, and what it was asked for."""

    target: int
    """Port on 127.0.0.1 of the server that it reaches for every name: the proxy resolves names, not its client."""
    login: tuple[str, str] | None = None
    refuses_with: int | None = None
    silent: bool = False
    """Whether it answers nothing."""
    asked: list[str] = field(default_factory=list)
    """Method and target of each request."""
    begun: threading.Event = field(default_factory=threading.Event)
    """Set with the first request."""
    over: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status_for(self, headers: Any) -> int | None:
        """Return the status to refuse a request with; None if it is served."""
        if self.login is not None:
            expected = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
            if headers.get("Proxy-Authorization") != expected:
                return 407
        return self.refuses_with


class _Handler(BaseHTTPRequestHandler):
    proxy: ForwardProxy

    def do_CONNECT(self) -> None:
        if not self.begin():
            return
        with socket.create_connection(("127.0.0.1", self.proxy.target), LONGEST_TEST_SECONDS) as server:
            self.send_response(200)
            self.end_headers()
            backward = threading.Thread(target=_pump, args=(server, self.connection), daemon=True)
            backward.start()
            _pump(self.connection, server)
            backward.join(LONGEST_TEST_SECONDS)

    def do_GET(self) -> None:
        if not self.begin():
            return
        parts = urlsplit(self.path)
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.target, timeout=LONGEST_TEST_SECONDS)
        kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=kept)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> bool:
        """Note the request. Returns whether it is served; if not, it is answered."""
        self.close_connection = True
        self.proxy.asked.append(f"{self.command} {self.path}")
        self.proxy.begun.set()
        if self.proxy.silent:
            self.proxy.over.wait(2 * LONGEST_TEST_SECONDS)
            return False
        if (status := self.proxy.status_for(self.headers)) is not None:
            self.send_error(status, "go away canary-word")
            return False
        return True

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def forward_proxy(target: int, **settings: Any) -> Iterator[ForwardProxy]:
    proxy = ForwardProxy(target, **settings)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        server.shutdown()
        server.server_close()
        thread.join(LONGEST_TEST_SECONDS)
