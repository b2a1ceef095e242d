"""Shared parts of tests of uploads: a DataSource for a small S3, captures that are uploaded to it, and the expected objects."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.investigate import Snapshot, uploader
from aletheia_operator.session.verify import verify
from tests.support.captures import OWNER, Memory, capture
from tests.unit.fakes import Clock, FakeKubernetes
from tests.unit.loopback import Loopback
from tests.unit.s3_server import S3

SOURCE = "/apis/aletheia.dev/v1alpha1/datasources/archive"
SECRET = "/api/v1/namespaces/aletheia-system/secrets/login"
ANSWERS: Mapping[str, Any] = {"first": [[{"line": "evidence"}]], "second": [[{"line": "björn"}]]}
PART = 3000
LARGE: Mapping[str, Any] = {"large": [[{"line": f"{number:04}" * 20} for number in range(85)]]}  # of three parts


def secret(key: str = "the-key-id") -> dict[str, Any]:
    values = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "a-secret-key"}
    return {"data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}}


@dataclass
class Archive:
    """A DataSource that leads to `s3`, and captures that are uploaded to it. `delays`: what was waited for between tries."""

    url: str
    s3: S3
    root: Path
    options: dict[str, Any] = field(default_factory=dict)
    auth: Mapping[str, Any] = field(default_factory=lambda: {"accessKey": {"name": "login"}})
    kubernetes: FakeKubernetes = field(default_factory=FakeKubernetes)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.kubernetes.objects = {SECRET: secret()}

    def capture(self, answers: Mapping[str, Any] = ANSWERS, timeout: str = "5m", **more: Any) -> Snapshot:
        place = {"bucket": "incidents", **self.options}
        spec = {"type": "s3", "endpoint": self.url, "auth": self.auth, "s3": place}
        source = {"metadata": {"name": "archive"}, "spec": spec}
        self.kubernetes.objects = {**self.kubernetes.objects, SOURCE: source}
        upload = {"dataSourceRef": {"name": "archive"}, "timeout": timeout}
        return capture(
            self.root,
            more.pop("memory", None) or Memory(answers),
            {"session": {"upload": upload}},
            self.clock,
            kubernetes=self.kubernetes,
            operator_namespace="aletheia-system",
            **more,
        )


@pytest.fixture
def archive(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """Small parts, a small report, and no waiting between tries."""
    monkeypatch.setattr("aletheia_operator.investigate.report_step.html_report", lambda source: b"<!doctype html>")
    monkeypatch.setattr("aletheia_operator.clients.safe_session.BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(uploader, "PART_BYTES", PART)
    monkeypatch.setattr(uploader, "part_size", lambda size_bytes: PART)
    monkeypatch.setattr(uploader, "retry_delays", lambda: iter([0.001] * 5))
    s3 = S3()
    loopback.answers = [s3]
    yield Archive(loopback.url, s3, tmp_path)


def folder_of(snapshot: Snapshot, prefix: str = "") -> str:
    return f"{prefix}{OWNER.namespace}/{snapshot.manifest.session_id}_{OWNER.uid}/"


def the_session(snapshot: Snapshot, prefix: str = "") -> dict[str, bytes]:
    """Every file of the session by the key that it has in the bucket."""
    directory = Path(snapshot.path)
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {f"{folder_of(snapshot, prefix)}{path.relative_to(directory)}": path.read_bytes() for path in files}


def the_gap(snapshot: Snapshot) -> tuple[str, str]:
    """Reason and message of the single gap; the session is complete."""
    assert (snapshot.manifest.phase, snapshot.manifest.upload) == ("PartiallyCompleted", None)
    assert verify(Path(snapshot.path)).intact
    (gap,) = snapshot.manifest.gaps
    assert (gap.fetcher, gap.target) == ("Investigation", "session.upload")
    assert gap.message.endswith(". The session stays on its volume")
    return gap.reason, gap.message.removesuffix(". The session stays on its volume")


def md5(number: int, content: bytes) -> str:
    """The ETag of a part as most servers make it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
