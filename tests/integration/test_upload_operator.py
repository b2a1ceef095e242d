"""Uploads by the real operator: what an admin and a user see, also if the operator dies during an upload."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cluster import servers
from tests.integration.conftest import NAMESPACE
from tests.support.forwarding import forward
from tests.support.http import OVER, Serve
from tests.support.operator import Kubectl, Operator, data_source, pod, session_of, until

pytestmark = pytest.mark.cluster

CANARY = "canary-51b7-do-not-repeat"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3]:
    with servers.s3(tmp_path_factory.mktemp("s3")) as running:
        running.bucket("incidents")
        yield running


@pytest.fixture(scope="module", autouse=True)
def evidence(kubectl: Kubectl, server: servers.S3) -> Iterator[None]:
    """A pod with logs, and Secrets with a right and a wrong key."""
    keys = {"i6-login": server.secret_key, "i6-wrong": CANARY}
    secrets = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": secret},
        }
        for name, secret in keys.items()
    ]
    kubectl.apply(pod("i6-speaker", "echo evidence; sleep 3600"), *secrets)
    kubectl.wait("pod/i6-speaker", "condition=Ready")
    until(lambda: "evidence" in kubectl("logs", "i6-speaker"), 30, "the pod has spoken")
    yield
    kubectl("delete", "datasource", "i6-archive", "i6-wrong", "i6-nowhere", "i6-closed", "i6-hangs", "--ignore-not-found")
    kubectl("delete", "pod/i6-speaker", "secret/i6-login", "secret/i6-wrong", "--wait=false")


def archive(name: str, url: str, secret: str = "i6-login", bucket: str = "incidents", **spec: Any) -> dict[str, Any]:
    auth = {"accessKey": {"name": secret}}
    return data_source(name, "s3", url, auth=auth, s3={"bucket": bucket, "prefix": "cluster-a"}, **spec)


def investigate(kubectl: Kubectl, name: str, source: str, **upload: Any) -> Any:
    session = {"upload": {"dataSourceRef": {"name": source}, **upload}}
    return kubectl.investigate(name, targets=[{"pod": "i6-speaker"}], logs={}, session=session)


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def copy_of(resource: Any, server: servers.S3) -> dict[str, bytes]:
    """Return the session's files on the server."""
    return files_of(server.directory / resource["status"]["session"]["uploaded"]["url"].removeprefix("s3://"))


def own_files(resource: Any) -> dict[str, bytes]:
    return {name: content for name, content in files_of(session_of(resource)).items() if name != "custody.json"}


def wait_until_checked(kubectl: Kubectl, name: str, reason: str) -> None:
    def checked() -> bool:
        conditions = (kubectl.get("datasource", name).get("status") or {}).get("conditions") or [{}]
        return bool(conditions[0].get("reason") == reason)

    until(checked, 60, f"{name} is {reason}")


def events_of(kubectl: Kubectl, name: str) -> dict[str, str]:
    """Return reason and message of the Events of an Investigation."""

    def events() -> dict[str, str]:
        found = kubectl.get("events", "--field-selector", f"involvedObject.name={name}")["items"]
        reasons = {event["reason"]: event["message"] for event in found}
        return reasons if len(reasons) > 2 else {}

    return until(events, 30, f"the Events of {name}")  # type: ignore[no-any-return]


def test_uploaded(kubectl: Kubectl, operator: Operator, server: servers.S3) -> None:
    """The copy equals the session byte for byte, and the status has its URL; the bucket's status is Reachable."""
    kubectl.apply(archive("i6-archive", server.url, allowedNamespaces=[NAMESPACE]))
    resource = investigate(kubectl, "uploaded", "i6-archive")
    status = resource["status"]
    assert status["phase"] == "Completed", status
    uid = resource["metadata"]["uid"]
    url = f"s3://incidents/cluster-a/{NAMESPACE}/{status['session']['id']}_{uid}/"
    assert status["session"]["uploaded"] == {"dataSource": "i6-archive", "url": url}
    assert copy_of(resource, server) == own_files(resource)
    assert any(b"evidence" in content for content in copy_of(resource, server).values())
    wait_until_checked(kubectl, "i6-archive", "Answered")
    assert any(url in condition["message"] for condition in status["conditions"])


def test_refused(kubectl: Kubectl, operator: Operator, server: servers.S3) -> None:
    """A wrong key, no bucket and a closed DataSource are a gap and an Event each; the session stays, no secret is repeated."""
    kubectl.apply(
        archive("i6-wrong", server.url, secret="i6-wrong"),
        archive("i6-nowhere", server.url, bucket="nowhere"),
        archive("i6-closed", server.url, allowedNamespaces=["elsewhere"]),
    )
    expected = {"i6-wrong": "UploadFailed", "i6-nowhere": "UploadFailed", "i6-closed": "NotAllowed"}
    before = files_of(server.directory)
    resources = []
    for source, reason in expected.items():
        resource = investigate(kubectl, f"refused-{source}", source)
        resources.append(resource)
        status = resource["status"]
        (gap,) = status["gaps"]
        assert (status["phase"], gap["target"], gap["reason"]) == ("PartiallyCompleted", "session.upload", reason)
        assert "uploaded" not in status["session"]
        assert list(session_of(resource).glob("data/logs/*"))
        assert gap["message"][:100] in events_of(kubectl, f"refused-{source}")[reason]
    assert files_of(server.directory) == before
    wait_until_checked(kubectl, "i6-wrong", "Forbidden")
    wait_until_checked(kubectl, "i6-nowhere", "NotFound")
    everything = [
        kubectl("get", "events,investigations,datasources", "-A", "-o", "yaml"),
        operator.log_path.read_text(),
        *(content.decode() for resource in resources for content in own_files(resource).values()),
    ]
    assert not [text for text in everything if CANARY in text or server.secret_key in text]


def test_killed_in_the_middle(kubectl: Kubectl, operator: Operator, server: servers.S3, serve: Serve) -> None:
    """After SIGKILL while a request hangs, the next process continues the upload, and captures nothing again."""
    puts: list[str] = []
    open_again = asyncio.Event()

    async def hangs(request: web.Request, body: bytes) -> bytes:
        if request.method == "PUT":
            puts.append(request.path)
            if len(puts) == 2 and not open_again.is_set():
                await request.app[OVER].wait()
        return body

    kubectl.apply(archive("i6-hangs", serve(forward(server.url, hangs)), timeout="10m"))
    resource = {
        "apiVersion": "aletheia.dev/v1alpha1",
        "kind": "Investigation",
        "metadata": {"name": "killed"},
        "spec": {
            "targets": [{"pod": "i6-speaker"}],
            "logs": {},
            "session": {"upload": {"dataSourceRef": {"name": "i6-hangs"}}},
        },
    }
    kubectl.apply(resource)
    until(lambda: len(puts) == 2, 30, "the second file is on its way")

    def message() -> str:
        conditions = kubectl.get("investigation", "killed")["status"]["conditions"]
        return str(conditions[0]["message"])

    until(lambda: "1 of 4 artifacts uploaded" in message(), 30, "the status says how far the upload is")
    collected = {path: path.stat().st_mtime_ns for path in (operator.root / "sessions").glob("*/data/logs/*")}
    operator.kill()
    open_again.set()
    operator.start()
    resource = kubectl.ended("killed")
    assert resource["status"]["phase"] == "Completed", json.dumps(resource["status"])
    assert copy_of(resource, server) == own_files(resource)
    assert {path: path.stat().st_mtime_ns for path in collected} == collected
    assert len(set(puts)) == 5
    assert len(puts) == 6  # the file with the hanging request was sent again, the one before it was not
