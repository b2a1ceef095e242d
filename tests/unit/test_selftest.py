"""The program of the chart's `helm test`, against a loopback API server: what counts as a failure."""

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster.rig import ROOT
from tests.unit.certificates import new_authority
from tests.unit.loopback import Loopback, Request, reply_json

PROGRAM = ROOT / "charts/aletheia-operator/files/selftest.py"
MANIFEST = b"{}"
SESSION = {"id": "INC-0001", "manifestSha256": hashlib.sha256(MANIFEST).hexdigest()}
DONE = {"phase": "Completed", "session": SESSION, "artifactCount": 3}


def source(name: str, answers: bool) -> dict[str, Any]:
    condition = {"type": "Reachable", "status": str(answers)}
    status = {"conditions": [condition], "lastError": None if answers else "connection refused"}
    return {"metadata": {"name": name}, "status": status}


def program(directory: Path, monkeypatch: pytest.MonkeyPatch, server: Loopback, authority_pem: str) -> ModuleType:
    """Load the program as a module that asks `server`, without mounted sessions."""
    specification = importlib.util.spec_from_file_location("selftest", PROGRAM)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    (directory / "token").write_text("mine")
    (directory / "ca.crt").write_text(authority_pem)
    monkeypatch.setattr(module, "ACCOUNT", directory)
    monkeypatch.setattr(module, "API", server.url)
    monkeypatch.setattr(module, "WAIT_SECONDS", 1)
    for name, value in {"NAMESPACE": "here", "DEPLOYMENT": "operator", "SESSIONS": ""}.items():
        monkeypatch.setenv(name, value)
    return module


def outcome(
    directory: Path, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], *sources: dict[str, Any]
) -> tuple[str | int | None, list[str]]:
    """Run the program. Return its exit code or last message, and the methods of its requests for Investigations."""
    asked: list[str] = []

    def answer(request: Request) -> None:
        path = urlsplit(request.path).path
        if "/investigations" in path:
            asked.append(request.command)
            body: dict[str, Any] = {"status": status}
        elif path == "/datasources":
            body = {"items": list(sources)}
        else:
            (body,) = [source for source in sources if source["metadata"]["name"] == path.rpartition("/")[2]]
        assert request.headers["Authorization"] == "Bearer mine"
        reply_json(body)(request)

    authority = new_authority()
    with Loopback(authority.server(directory)) as server:
        server.answers = [answer]
        module = program(directory, monkeypatch, server, authority.pem)
        try:
            module.main()
        except SystemExit as e:
            return e.code, asked
        return None, asked


def test_it_passes_and_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session exists, and sources answer."""
    code, asked = outcome(tmp_path, monkeypatch, DONE, source("prometheus", True))
    assert code is None
    assert (asked[0], asked[-1]) == ("POST", "DELETE")


@pytest.mark.parametrize(
    ("status", "sources", "words"),
    [
        ({}, [], "has not ended within 1 s"),
        ({"phase": "Failed", "gaps": [{"reason": "Forbidden", "target": "logs", "message": "no"}]}, [], "is Failed"),
        (DONE, [source("loki", True), source("prometheus", False)], "do not answer: prometheus"),
        (DONE, [{"metadata": {"name": "new"}}], "DataSource new was not checked"),
    ],
    ids=["never ends", "fails", "a silent source", "an unchecked source"],
)
def test_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], sources: list[dict[str, Any]], words: str
) -> None:
    """The message names the cause."""
    code, _ = outcome(tmp_path, monkeypatch, status, *sources)
    assert words in str(code)


def test_it_holds_the_session_against_the_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails if the manifest is not the one of the status, whatever its files are."""
    directory = tmp_path / "sessions" / SESSION["id"]
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_bytes(json.dumps({"altered": True}).encode())
    with Loopback() as server:
        module = program(tmp_path, monkeypatch, server, "")
        monkeypatch.setenv("SESSIONS", str(tmp_path))
        with pytest.raises(SystemExit, match="digest is not the one in the status"):
            module.verify(DONE)
