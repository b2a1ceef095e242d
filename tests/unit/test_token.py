"""The pod's token is valid for an hour, and the kubelet replaces its file.

Both clients of the Kubernetes API read the new token.
"""

import asyncio
import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import kopf
import pytest
from kubernetes.aio.config import incluster_config

from aletheia_operator.clients.kubernetes import connect
from aletheia_operator.handlers.operator import _Handlers
from aletheia_operator.settings import Settings
from tests.unit.certificates import new_authority
from tests.unit.fakes import LONGEST_TEST_SECONDS
from tests.unit.loopback import Loopback, Request, reply_json

REREAD_AFTER = datetime.timedelta(seconds=61)
"""The client reads the file again after a minute; the kubelet replaces the token when a fifth of its life is left."""


async def test_our_client_reads_the_token_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read after a minute, long before the former one ends."""
    authority, token, trusted = new_authority(), tmp_path / "token", tmp_path / "ca.crt"
    trusted.write_text(authority.pem)
    token.write_text("first")
    later = datetime.timedelta()
    clock = SimpleNamespace(now=lambda: datetime.datetime.now() + later)
    monkeypatch.setattr(incluster_config, "datetime", SimpleNamespace(datetime=clock, timedelta=datetime.timedelta))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(trusted))
    with Loopback(authority.server(tmp_path)) as server:
        server.answers = [reply_json({})]
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(urlsplit(server.url).port))
        client = await connect()
        try:
            await client.get("/version")
            token.write_text("second")
            later = REREAD_AFTER
            await client.get("/version")
        finally:
            await client.close()
        assert [header["Authorization"] for header in server.headers] == ["bearer first", "bearer second"]


POD = {"metadata": {"name": "seen", "namespace": "shop", "uid": "1", "resourceVersion": "1"}}
RESOURCES = [
    {"name": name, "kind": kind, "singularName": kind.lower(), "namespaced": kind == "Pod", "verbs": ["list", "watch", "patch"]}
    for name, kind in (("pods", "Pod"), ("namespaces", "Namespace"))
]
DISCOVERY = {
    "/": {},
    "/version": {},
    "/api": {"versions": ["v1"]},
    "/apis": {"groups": []},
    "/api/v1": {"resources": RESOURCES},
}


async def test_kopf_logs_in_again_with_the_new_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the API server refuses the former token with 401, the login reads the file again, and watching continues."""
    token = tmp_path / "token"
    token.write_text("first")
    handlers = _Handlers(Settings(session_root=tmp_path))
    seen, registry = asyncio.Event(), kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(handlers.login)

    @kopf.on.event("pods", registry=registry)
    def see(**_: Any) -> None:
        seen.set()

    def answer(request: Request) -> None:
        path = urlsplit(request.path).path
        if path in DISCOVERY:  # with the first token; it ends then
            reply_json(DISCOVERY[path])(request)
        elif request.headers["Authorization"] != "Bearer second":
            token.write_text("second")
            reply_json({"kind": "Status", "code": 401, "message": "Unauthorized"}, 401)(request)
        elif "watch" in request.path:
            request.pause()
        else:
            reply_json({"metadata": {"resourceVersion": "1"}, "items": [POD] if "pods" in path else []})(request)

    with Loopback() as server:
        server.answers = [answer]
        monkeypatch.setattr(
            kopf,
            "login_with_service_account",
            lambda **_: kopf.ConnectionInfo(server=server.url, token=token.read_text()),  # as kopf's own does, in a pod
        )
        stop = asyncio.Event()
        running = asyncio.create_task(
            kopf.operator(registry=registry, standalone=True, clusterwide=True, stop_flag=stop, memo=kopf.Memo())
        )
        try:
            await asyncio.wait_for(seen.wait(), LONGEST_TEST_SECONDS)
        finally:
            stop.set()
            server.over.set()
            await asyncio.wait_for(running, LONGEST_TEST_SECONDS)
        used = {header.get("Authorization") for header in server.headers}
        assert used == {"Bearer first", "Bearer second"}
