"""A real HTTP server on the loopback interface. The test defines its answers, also faulty ones."""

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from aletheia_operator.clients.endpoint import Endpoint

LONGEST_WAIT_SECONDS = 120  # of a wait in a server thread, if the test is not over earlier; longer than a test waits for a hang

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """A request, to which an `Answer` replies in any way."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        loopback = self.server.loopback
        with loopback.guard:
            number = len(loopback.requests)
            loopback.requests.append(self.path)
            loopback.asked.set()
            loopback.headers.append({name.title(): value for name, value in self.headers.items()})
        self.close_connection = True
        with suppress(OSError):  # some tests make the client hang up
            loopback.answers[min(number, len(loopback.answers) - 1)](self)

    do_PATCH = do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send(self, status: int, body: bytes, **headers: str) -> None:
        """Send a whole answer."""
        self.head(status, **{"Content-Length": str(len(body)), **headers})
        self.wfile.write(body)

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def pause(self, seconds: float = LONGEST_WAIT_SECONDS) -> bool:
        """Wait. Returns whether the test is over."""
        return self.server.loopback.over.wait(seconds)


class _Server(ThreadingHTTPServer):
    loopback: "Loopback"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Loopback:
    """The server. `answers` are given in turn, the last one repeatedly; `requests` are the requested paths.

    `certificate`: a file with its key and certificate; None for plain HTTP. `clients_ca`: the CA, as PEM, of clients'
    certificates; None if clients need none.
    """

    def __init__(self, certificate: Path | None = None, clients_ca: str | None = None) -> None:
        self.answers: Sequence[Answer] = (reply(404, b""),)
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        """Headers of each request, with names in title case."""
        self.asked = threading.Event()
        """Set with the first request."""
        self.guard = threading.Lock()
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Request)
        self._server.loopback = self
        self._scheme = "http"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            if clients_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(cadata=clients_ca)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LONGEST_WAIT_SECONDS)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def endpoint(
        self, *, timeout_seconds: int = 30, max_response_bytes: int = 2**20, path: str = "", **settings: Any
    ) -> Endpoint:
        return Endpoint("main", self.url + path, timeout_seconds, max_response_bytes, **settings)

    def queries(self) -> list[dict[str, str]]:
        """The query parameters of each request."""
        return [dict(parse_qsl(urlsplit(path).query)) for path in self.requests]


@contextmanager
def deaf() -> Iterator[int]:
    """Yield a port that neither accepts nor refuses connections, like a firewall that drops packets."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filling in (first, second):  # fills the queue of connections
            filling.setblocking(False)
            filling.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def reply(status: int, body: bytes, **headers: str) -> Answer:
    """A whole answer."""
    return lambda request: request.send(status, body, **headers)


def reply_json(value: Any, status: int = 200) -> Answer:
    return reply(status, json.dumps(value).encode(), Content_Type="application/json")


def cut(body: bytes) -> Answer:
    """An answer that announces more bytes than it sends."""

    def answer(request: Request) -> None:
        request.head(200, Content_Length=str(len(body) + 1000))
        request.wfile.write(body)

    return answer


def hang(request: Request) -> None:
    """Never answer."""
    request.pause()


def hang_up(request: Request) -> None:
    """Close the connection without an answer."""
    request.connection.close()


def drip_body(request: Request) -> None:
    """A body that never ends, a byte at a time."""
    request.head(200)
    while not request.pause(0.1):
        request.wfile.write(b" ")


def drip_head(request: Request) -> None:
    """A header that never ends, a byte at a time."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not request.pause(0.1):
        request.wfile.write(b"a")


def gzip_bomb(size_bytes: int) -> Answer:
    """A small answer that unpacks to `size_bytes`."""
    packed = gzip.compress(b" " * size_bytes, compresslevel=9)
    return reply(200, packed, Content_Encoding="gzip")


def drip_nothing(request: Request) -> None:
    """A head without its body."""
    request.head(200, Content_Length="10")
    request.pause()
