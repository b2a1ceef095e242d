"""Stands in for `kubectl proxy`: requests go to a real server on the loopback interface, or get one answer."""

import http.client
import io
import json
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from aletheia_operator.cli import cluster as cluster_module
from aletheia_operator.cli.kubectl import KubectlProxy
from tests.support.merging import merged
from tests.unit.artifacts_server import ALICE, Api


class ApiProxy(KubectlProxy):
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


class _Lying(KubectlProxy):
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


def program(directory: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a kubectl into the PATH."""
    kubectl = directory / "kubectl"
    kubectl.write_text(f"#!{sys.executable}\n{text}")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


def lying(status: int, body: bytes) -> KubectlProxy:
    """Return a proxy that gives every request the same answer."""
    return _Lying(status, body)


def connect(monkeypatch: pytest.MonkeyPatch, proxy: KubectlProxy) -> None:
    """Let commands reach this proxy in place of kubectl's."""

    @contextmanager
    def running(flags: Any, accept: str = "") -> Iterator[KubectlProxy]:
        yield proxy

    monkeypatch.setattr(cluster_module, "kubectl_proxy", running)


FORBIDDEN = (
    'investigations.aletheia.dev is forbidden: User "tess" cannot create resource "investigations" in the namespace "shop"'
)


@dataclass
class FakeApi(KubectlProxy):
    """The API server with our resources, in memory. `objects`: by path; a number is the status of the answer.

    `asked`: method, path with its query, and body of each request. `events`: the events of each watch, in turn.
    """

    objects: dict[str, Any] = field(default_factory=dict)
    events: list[list[dict[str, Any]]] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    refusal: str = ""
    """Message of the answers that are numbers; empty: one of RBAC for 403."""

    @contextmanager
    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Any]:
        content = None if body is None else json.loads(body)
        self.asked.append((method, path, content))
        status, answer = self._answer(method, urlsplit(path).path, dict(parse_qsl(urlsplit(path).query)), content)
        with _Lying(status, answer).request(method, path) as response:
            yield response

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, bytes]:
        if query.get("watch"):
            events = self.events.pop(0)
            for event in events:
                metadata = event["object"]["metadata"]
                self.objects[f"{path}/{metadata['name']}"] = event["object"]
            return 200, b"".join(json.dumps(event).encode() + b"\n" for event in events)
        found = self.objects.get(path)
        if isinstance(found, int):
            message = FORBIDDEN if found == 403 else f"{path} is answered {found}"
            return found, _failure(found, "Forbidden" if found == 403 else "", self.refusal or message)
        if method == "POST":
            return self._post(path, query, body)
        if found is None and method == "GET" and path.rpartition("/")[2] == "investigations":
            prefix = "" if "/namespaces/" not in path else path
            items = [each for where, each in sorted(self.objects.items()) if where.startswith(prefix) and "/inv" in where]
            return 200, json.dumps({"metadata": {}, "items": items}).encode()
        if found is None:
            return 404, _failure(404, "NotFound", f'investigations.aletheia.dev "{path.rpartition("/")[2]}" not found')
        if method == "PATCH":
            found = self.objects[path] = merged(found, body)
        if method == "DELETE":
            del self.objects[path]
        return 200, json.dumps(found).encode()

    def _post(self, path: str, query: dict[str, str], body: Any) -> tuple[int, bytes]:
        where = f"{path}/{body['metadata']['name']}"
        if where in self.objects:
            return 409, _failure(409, "AlreadyExists", f"{where} exists")
        made = {**body, "metadata": {**body["metadata"], "namespace": path.split("/")[5], "uid": "uid-new"}}
        made["metadata"] |= {"resourceVersion": "1", "creationTimestamp": "2026-11-22T12:00:00Z"}
        if "dryRun" not in query:
            self.objects[where] = made
        return 201, json.dumps(made).encode()


def _failure(code: int, reason: str, message: str) -> bytes:
    return json.dumps({"kind": "Status", "code": code, "reason": reason, "message": message}).encode()
