"""Stands in for `kubectl proxy`: requests go to a real server on the loopback interface, or get one answer."""

import http.client
import io
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aletheia_operator.cli.kubectl import Proxy
from tests.unit.artifacts_server import ALICE, Api


class ApiProxy(Proxy):
    """Sends requests to an artifacts API, as the API server's front proxy does for alice."""

    def __init__(self, api: Api) -> None:
        super().__init__(Path("none"))
        self.port = api.server.port
        self.context = ssl.create_default_context(cadata=api.serving.pem)
        self.context.load_cert_chain(api.front_proxy.server(api.directory, "front-proxy"))

    @contextmanager
    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=10)
        try:
            connection.request(method, path, body, {**ALICE, **(headers or {})})
            yield connection.getresponse()
        finally:
            connection.close()


class _Lying(Proxy):
    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(Path("none"))
        self.answer = status, body

    @contextmanager
    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Any]:
        status, content = self.answer
        head = f"HTTP/1.1 {status} Answer\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        answer = http.client.HTTPResponse(_Socket(head + content))  # type: ignore[arg-type]
        answer.begin()
        yield answer


class _Socket:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def lying(status: int, body: bytes) -> Proxy:
    """Answers every request with the same."""
    return _Lying(status, body)
