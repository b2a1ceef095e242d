"""Uploads to a real S3 server are complete and verified, or the failure is a gap and the session stays."""

import asyncio
import base64
import errno
import json
import logging
import os
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web
from minio import Minio

from aletheia_operator.api import addresses
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.cli.__main__ import main
from aletheia_operator.clients import s3, safe_session
from aletheia_operator.clients.safe_session import SafeSession
from aletheia_operator.investigate import Snapshot, uploader
from aletheia_operator.session import InvestigationReference, age
from aletheia_operator.session.names import session_id
from aletheia_operator.session.verify import verify
from aletheia_operator.text.batches import Encoded
from tests.cluster import servers
from tests.cluster.rig import run
from tests.support.captures import OWNER, Memory, capture
from tests.support.faults import Fault, in_child
from tests.support.forwarding import Answer, forward
from tests.support.http import Serve
from tests.unit.fakes import FakeKubernetes

SOURCE = "/apis/aletheia.dev/v1alpha1/datasources/archive"
SECRET = "/api/v1/namespaces/aletheia-system/secrets/login"
CANARY = "canary-9d2c-do-not-repeat"
PART = 5 * 1024 * 1024  # the smallest that S3 takes
LINE = b'{"line": "%s"}' % (b"x" * 1000)
LARGE = [Encoded(b",\n".join([LINE] * 1000), bytes(1000))] * 12  # more than two parts
ANSWERS: Mapping[str, Sequence[Any]] = {"small": [[{"line": "evidence"}]], "grün": [[{"line": "björn"}]], "groß": LARGE}
SHORT = {"small": ANSWERS["small"], "grün": ANSWERS["grün"]}
UPLOAD = {"session": {"upload": {"dataSourceRef": {"name": "archive"}}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3]:
    with servers.s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def bucket(server: servers.S3, request: pytest.FixtureRequest) -> Path:
    """A bucket for one test."""
    return server.bucket(f"b-{abs(hash(request.node.nodeid))}"[:40])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller parts, and no waiting between tries."""
    monkeypatch.setattr(s3, "PART_BYTES", PART)
    monkeypatch.setattr(uploader, "PART_BYTES", PART)
    monkeypatch.setattr(uploader, "retry_delays", lambda: iter([0.001] * 100))
    monkeypatch.setattr(safe_session, "BACKOFF_SECONDS", 0.001)


@dataclass
class Archive:
    """A DataSource and its Secret in a fake API server; `now` is the time of the capture."""

    server: servers.S3
    bucket: str
    endpoint: str = ""
    access_key: str = ""
    secret_key: str = ""
    token: str | None = None
    ca: str = ""
    spec: dict[str, Any] = field(default_factory=dict)
    s3: dict[str, Any] = field(default_factory=dict)

    def kubernetes(self) -> FakeKubernetes:
        values = {
            "AWS_ACCESS_KEY_ID": self.access_key or self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key or self.server.secret_key,
            **({"AWS_SESSION_TOKEN": self.token} if self.token else {}),
            **({"ca.crt": self.ca} if self.ca else {}),
        }
        spec = {
            "type": "s3",
            "endpoint": self.endpoint or self.server.url,
            "auth": {"accessKey": {"name": "login"}},
            "s3": {"bucket": self.bucket, "prefix": "cluster-a", **self.s3},
            **self.spec,
        }
        data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        return FakeKubernetes({SOURCE: {"metadata": {"name": "archive"}, "spec": spec}, SECRET: {"data": data}})

    def capture(self, root: Path, memory: Memory | None = None, **settings: Any) -> Snapshot:
        """Capture a session that is uploaded to this DataSource."""
        settings = {"spec": UPLOAD, "kubernetes": self.kubernetes(), **settings}
        return capture(root, memory or Memory(SHORT), operator_namespace="aletheia-system", **settings)


def copy_of(snapshot: Snapshot, bucket: Path) -> Path:
    """Return the URL of the uploaded session."""
    assert snapshot.manifest.upload is not None, snapshot.manifest.gaps
    return bucket.parent / snapshot.manifest.upload.url.removeprefix("s3://")


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if not path.is_dir()}


def the_gap(snapshot: Snapshot) -> tuple[str, str]:
    """Check that the session is complete. Returns reason and message of the single gap of a failed upload."""
    manifest = snapshot.manifest
    assert (manifest.phase, manifest.upload) == ("PartiallyCompleted", None)
    assert verify(Path(snapshot.path)).intact
    (gap,) = manifest.gaps
    assert (gap.fetcher, gap.target) == ("Investigation", "session.upload")
    return gap.reason, gap.message


def client_of(server: servers.S3) -> Minio:
    return Minio(server.url.removeprefix("http://"), server.access_key, server.secret_key, secure=False, region="us-east-1")


def unfinished(server: servers.S3, bucket: Path) -> list[Any]:
    """Return the multipart uploads that were neither completed nor aborted."""
    return list(client_of(server)._list_multipart_uploads(bucket.name).uploads)


def download(server: servers.S3, bucket: Path, url: str, target: Path) -> None:
    """Download as any S3 tool does: every object below the session's key, under its own name."""
    client = client_of(server)
    prefix = url.removeprefix(f"s3://{bucket.name}/")
    for found in client.list_objects(bucket.name, prefix, recursive=True):
        assert found.object_name is not None
        client.fget_object(bucket.name, found.object_name, str(target / found.object_name.removeprefix(prefix)))


def test_round_trip(server: servers.S3, bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A downloaded copy is the session byte for byte, verifies, and can be imported."""
    memory = Memory(ANSWERS)
    snapshot = Archive(server, bucket.name).capture(tmp_path / "root", memory)
    manifest = snapshot.manifest
    assert (manifest.phase, manifest.gaps) == ("Completed", [])
    assert manifest.upload is not None
    assert manifest.upload.url == f"s3://{bucket.name}/cluster-a/production/{manifest.session_id}_{OWNER.uid}/"
    assert manifest.artifacts[-2].size_bytes > 2 * PART
    home = tmp_path / "home"
    session = home / "sessions" / manifest.session_id
    download(server, bucket, manifest.upload.url, session)
    assert files_of(session) == files_of(Path(snapshot.path))
    assert main(["session", "verify", f"--root={home}", manifest.session_id]) == 0
    assert f"intact, manifest sha256 {snapshot.manifest_sha256}" in capsys.readouterr().out
    assert main(["session", "import", f"--root={tmp_path / 'other'}", str(session)]) == 0
    assert main(["session", "verify", f"--root={tmp_path / 'other'}"]) == 0


def test_with_the_operators_own_identity(
    server: servers.S3, bucket: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STS gives keys for the pod's token, and the server accepts what is signed with them, multipart uploads included.

    This server knows no session tokens, so the keys are without one.
    """
    forms: list[dict[str, Any]] = []

    async def sts(request: web.Request) -> web.Response:
        forms.append(dict(await request.post()))
        keys = {"AccessKeyId": server.access_key, "SecretAccessKey": server.secret_key, "SessionToken": ""}
        keys["Expiration"] = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        text = "".join(f"<{name}>{value}</{name}>" for name, value in keys.items())
        result = f"<AssumeRoleWithWebIdentityResult><Credentials>{text}</Credentials></AssumeRoleWithWebIdentityResult>"
        return web.Response(text=f"<AssumeRoleWithWebIdentityResponse>{result}</AssumeRoleWithWebIdentityResponse>")

    (tmp_path / "token").write_text("the-token")
    for name, value in {"WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "ENDPOINT_URL_STS": serve(sts)}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    archive = Archive(server, bucket.name, access_key="wrong", spec={"auth": {"cloudIdentity": "aws"}})
    snapshot = archive.capture(tmp_path / "root", Memory(ANSWERS))
    assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", [])
    assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path))
    assert [form["WebIdentityToken"] for form in forms] == ["the-token"]


def test_by_https_with_a_ca_of_its_own(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The endpoint's certificate is checked with the DataSource's CA; without the CA nothing is sent."""
    directory = tmp_path_factory.mktemp("s3-tls")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=s3"]
    files = ["-keyout", "key.pem", "-out", "cert.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    run(["openssl", "req", "-x509", *new, *files], cwd=directory)
    flags = ["--cert", str(directory / "cert.pem"), "--key", str(directory / "key.pem")]
    with servers.s3(directory, flags=flags, tls=ssl.create_default_context(cafile=str(directory / "cert.pem"))) as server:
        bucket = server.bucket("incidents")
        tls = {"tls": {"caSecretRef": {"name": "login", "key": "ca.crt"}}}
        trusting = Archive(server, "incidents", ca=(directory / "cert.pem").read_text(), spec=tls)
        snapshot = trusting.capture(tmp_path / "a", Memory(ANSWERS))
        assert snapshot.manifest.phase == "Completed", snapshot.manifest.gaps
        assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path))
        reason, message = the_gap(Archive(server, "incidents").capture(tmp_path / "b", now=passing(5)))
        assert (reason, "certificate is self-signed" in message) == ("UploadFailed", True)


def test_a_bucket_in_the_hosts_name(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `pathStyle: false` requests go to BUCKET.ENDPOINT, and to no other host."""
    real = socket.getaddrinfo
    asked: set[str] = set()

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        asked.add(str(host))
        return real("127.0.0.1" if str(host).endswith("s3.test") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with servers.s3(tmp_path_factory.mktemp("s3-virtual"), flags=["--virtual-domain", "s3.test"]) as server:
        bucket = server.bucket("incidents")
        url = server.url.replace("127.0.0.1", "s3.test")
        snapshot = Archive(server, "incidents", url, s3={"pathStyle": False}).capture(tmp_path, Memory(ANSWERS))
    assert snapshot.manifest.phase == "Completed", snapshot.manifest.gaps
    assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path))
    assert {host for host in asked if host.endswith("s3.test")} == {"incidents.s3.test"}


def test_sealed_files_are_uploaded_sealed(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """The server gets only the encrypted files that are on the session volume."""
    _, public = age.new_identity()
    spec = {"session": {**UPLOAD["session"], "encryption": {"recipients": [public]}}}
    snapshot = Archive(server, bucket.name).capture(tmp_path, spec=spec)
    copy = files_of(copy_of(snapshot, bucket))
    assert copy == files_of(Path(snapshot.path))
    assert not any(b'"evidence"' in content for content in copy.values())
    assert [name for name in copy if not name.endswith(".age")] == ["manifest.json"]


def test_nothing_is_uploaded_unasked(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """Without `spec.session.upload` no DataSource is read."""
    kubernetes = Archive(server, bucket.name).kubernetes()
    assert capture(tmp_path, Memory(SHORT), kubernetes=kubernetes).manifest.upload is None
    assert kubernetes.asked == []


@dataclass
class Requests:
    """Records this process' requests, by method and object, and sends SIGKILL before or after request number `at`.

    Requests are written to `file` when they are made, so that they outlive the process.
    """

    file: Path
    at: int = 0
    after: bool = False
    before_each: Callable[[], None] = lambda: None

    def __enter__(self) -> "Requests":
        send = SafeSession.send
        numbers = count(1)

        def counted(session: SafeSession, request: Any, **settings: Any) -> Any:
            self.before_each()
            dies = next(numbers) == self.at
            if dies and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            response = send(session, request, **settings)
            with self.file.open("a") as file:
                file.write(f"{request.method} {request.url}\n")
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
            return response

        self._patch = patch.object(SafeSession, "send", counted)
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()

    @property
    def sent(self) -> list[str]:
        """Return what was sent to the server: files and parts of files, without the ids of uploads."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [line.partition("&uploadId")[0] for line in lines if line.startswith("PUT")]


ALL_REQUESTS = 14  # small files, findings, timeline: 4; begin, parts, complete: 5; its digest: HEAD, 3 reads; the manifest


@pytest.mark.parametrize("before_that", [None, 6], ids=["once", "and at request 6 before"])
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_killed_at_every_request(
    server: servers.S3, bucket: Path, tmp_path: Path, after: bool, before_that: int | None
) -> None:
    """The next process completes the same copy; no file or part is sent twice, and no source is queried again."""
    archive = Archive(server, bucket.name)
    for at in count(1):
        root, requests = tmp_path / f"{at}", tmp_path / f"{at}.requests"
        owner = OWNER.model_copy(update={"uid": f"{at:08}-8b86-d011-b42d-{int(after):012}"})

        def killed(number: int, root: Path = root, requests: Path = requests, owner: Any = owner) -> None:
            with Requests(requests, number, after):
                archive.capture(root, Memory(ANSWERS, "kubernetes"), owner=owner)

        if before_that is not None:
            assert in_child(partial(killed, before_that)) == signal.SIGKILL
        if in_child(partial(killed, at)) is None:
            break
        memory = Memory(ANSWERS, "kubernetes")
        with Requests(requests) as all_of_them:
            snapshot = archive.capture(root, memory, owner=owner)
        sent = all_of_them.sent
        assert memory.asked == []
        assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", []), at
        assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path)), at
        assert len(sent) == len(set(sent)) == 4 + 3 + 2, (at, sent)
    assert at > (ALL_REQUESTS if before_that is None else 10)
    assert unfinished(server, bucket) == []


def test_killed_at_every_system_call(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """For each call from the start of the capture to the end of the upload, copy and session are equal and complete."""
    archive = Archive(server, bucket.name)
    for at in count(1):
        root, fault = tmp_path / f"{at}", Fault("kill", at)
        owner = OWNER.model_copy(update={"uid": f"{at:08}-8b86-d011-b42d-00cf4fc964ff"})

        def killed(root: Path = root, fault: Fault = fault, owner: Any = owner) -> None:
            with fault.injected():
                archive.capture(root, owner=owner)

        died = in_child(killed) is not None
        snapshot = archive.capture(root, owner=owner)
        assert snapshot.manifest.phase == "Completed", (at, snapshot.manifest.gaps)
        assert verify(Path(snapshot.path)).intact, at
        assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path)), at
        if not died:
            break
    assert 50 < at < 400


def test_what_differs_there_is_sent_again(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """An object of the same size but with other content is replaced."""
    archive = Archive(server, bucket.name)

    def until_the_manifest() -> None:
        with Requests(tmp_path / "requests", at=3):
            archive.capture(tmp_path, Memory(SHORT))

    assert in_child(until_the_manifest) == signal.SIGKILL
    damaged = next(bucket.rglob("kubernetes_small_*.json"))
    client = client_of(server)
    content = damaged.read_bytes().replace(b"evidence", b"evidEnce")
    (tmp_path / "damaged").write_bytes(content)
    client.fput_object(bucket.name, str(damaged.relative_to(bucket)), str(tmp_path / "damaged"))
    assert damaged.read_bytes() == content
    snapshot = archive.capture(tmp_path)
    assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path))


def test_a_server_without_checksums_is_read_back(server: servers.S3, serve: Serve, bucket: Path, tmp_path: Path) -> None:
    """If the server reports no SHA-256, every byte is read back."""
    seen: list[str] = []

    async def change(request: web.Request, body: bytes) -> Any:
        seen.append(request.method)
        return Answer(without=s3.CHECKSUM)

    snapshot = Archive(server, bucket.name, serve(forward(server.url, change))).capture(tmp_path)
    assert snapshot.manifest.phase == "Completed"
    assert seen.count("GET") == 4
    seen.clear()
    assert Archive(server, bucket.name).capture(tmp_path / "other").manifest.phase == "Completed"
    assert seen == []


def test_a_server_that_stores_something_else(server: servers.S3, serve: Serve, bucket: Path, tmp_path: Path) -> None:
    """Reading back finds a byte that differs; the upload is tried again until its timeout, and then is a gap."""

    async def change(request: web.Request, body: bytes) -> Any:
        spoil = request.method == "GET"
        return Answer(s3.CHECKSUM, lambda content: content.replace(b"evidence", b"evidEnce") if spoil else content)

    archive = Archive(server, bucket.name, serve(forward(server.url, change)))
    reason, message = the_gap(archive.capture(tmp_path, now=passing(5)))
    assert reason == "UploadFailed"
    assert "is not what was sent, as the digest shows" in message
    assert "ran out" in message


def test_a_bit_that_flips_on_the_way(server: servers.S3, serve: Serve, bucket: Path, tmp_path: Path) -> None:
    """The server compares what it receives with the digest, and stores nothing."""

    async def change(request: web.Request, body: bytes) -> Any:
        return body.replace(b"evidence", b"evidEnce") if request.method == "PUT" else body

    reason, message = the_gap(Archive(server, bucket.name, serve(forward(server.url, change))).capture(tmp_path))
    assert reason == "UploadFailed"
    assert "400" in message
    assert not list(bucket.rglob("kubernetes_small_*"))


def passing(seconds_each: float) -> Callable[[], datetime]:
    """Return a clock that advances by `seconds_each` with each call."""

    ticks = count()
    return lambda: datetime(2026, 11, 22, 12, tzinfo=UTC) + timedelta(seconds=next(ticks) * seconds_each)


def test_a_server_that_is_away_in_the_middle(server: servers.S3, serve: Serve, bucket: Path, tmp_path: Path) -> None:
    """After connections that are cut within a part, and errors of the server, the upload resumes."""
    numbers = count()

    async def change(request: web.Request, body: bytes) -> Any:
        number = next(numbers)
        if 4 <= number < 16:
            if number % 2 and request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        return body

    archive = Archive(server, bucket.name, serve(forward(server.url, change)))
    snapshot = archive.capture(tmp_path, Memory(ANSWERS))
    assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", [])
    assert next(numbers) > 16
    assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path))


@dataclass(frozen=True)
class Failure:
    """Changes that make a DataSource unusable, and the gap's reason and message."""

    reason: str
    words: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    missing: str | None = None


FAILURES: dict[str, Failure] = {
    "a secret key that is wrong": Failure("UploadFailed", ("403", "SignatureDoesNotMatch"), {"secret_key": CANARY}),
    "an access key that nobody has": Failure("UploadFailed", ("404", "No user exists"), {"access_key": CANARY}),
    "a bucket that does not exist": Failure("UploadFailed", ("404", "NoSuchBucket"), {"bucket": "no-such-bucket"}),
    "a server that is down": Failure("UploadFailed", ("connection refused", "ran out"), {"endpoint": "http://127.0.0.1:1"}),
    "a link-local server": Failure("NoDataSource", ("metadata service",), {"endpoint": "http://[::ffff:a9fe:1]:1"}),
    "no Secret": Failure("NoDataSource", ("Secret login", "does not exist"), missing=SECRET),
    "no DataSource": Failure("NoDataSource", ("archive", "does not exist"), missing=SOURCE),
    "a namespace that it is not open to": Failure(
        "NotAllowed", ("allowedNamespaces",), {"spec": {"allowedNamespaces": ["shop"]}}
    ),
    "a session that is too large for it": Failure("UploadFailed", ("maxSessionBytes 10",), {"s3": {"maxSessionBytes": 10}}),
    "a region that the server is not in": Failure("UploadFailed", ("400", "region"), {"s3": {"region": "eu-central-1"}}),
}


@pytest.mark.parametrize("title", FAILURES)
def test_failures(
    title: str,
    server: servers.S3,
    bucket: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is one gap with its reason; credentials of the environment are not used, and no secret value is repeated."""
    for name, value in {"ACCESS_KEY_ID": server.access_key, "SECRET_ACCESS_KEY": server.secret_key}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    failure = FAILURES[title]
    archive = replace(Archive(server, bucket.name), **failure.changes)
    kubernetes = archive.kubernetes()
    if failure.missing:
        kubernetes.objects = {path: found for path, found in kubernetes.objects.items() if path != failure.missing}
    with caplog.at_level(logging.DEBUG):
        reason, message = the_gap(archive.capture(tmp_path, kubernetes=kubernetes, now=passing(5)))
    assert reason == failure.reason
    assert all(word in message for word in (*failure.words, "The session stays on its volume")), message
    kept = b"".join(files_of(tmp_path).values()).decode("latin-1")
    assert not [where for where in (kept, message, caplog.text) if CANARY in where or server.secret_key in where]


def test_a_redirect_is_not_followed(server: servers.S3, serve: Serve, bucket: Path, tmp_path: Path) -> None:
    """No credential is sent to another server, for any kind of redirect."""
    elsewhere: list[str] = []

    async def other(request: web.Request) -> web.Response:
        elsewhere.append(request.path)
        return web.Response()

    target = serve(other)
    for status in (301, 302, 307, 308):

        async def redirect(request: web.Request, status: int = status) -> web.Response:
            return web.Response(status=status, headers={"Location": target + request.path, "x-amz-bucket-region": "x"})

        reason, message = the_gap(Archive(server, bucket.name, serve(redirect)).capture(tmp_path / str(status)))
        assert reason == "UploadFailed"
        assert "redirects are not followed" in message
    assert elsewhere == []


def test_a_name_that_leads_to_a_refused_address(
    server: servers.S3, serve: Serve, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connected address is checked, not only the name: it gets no request, and so no credential."""
    asked: list[str] = []

    async def metadata(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    monkeypatch.setattr(addresses, "METADATA", (ip_network("127.0.0.1"),))
    url = serve(metadata).replace("127.0.0.1", "localhost")
    reason, message = the_gap(Archive(server, bucket.name, url).capture(tmp_path))
    assert (reason, asked) == ("UploadFailed", [])
    assert "metadata service" in message


def test_rotated_credentials_count_at_once(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """If a key is refused while a new one is written to the Secret, the upload continues with the new key."""
    archive = Archive(server, bucket.name, secret_key="the-old-one")
    kubernetes = archive.kubernetes()

    def rotate() -> None:
        kubernetes.objects = {**kubernetes.objects, SECRET: replace(archive, secret_key="").kubernetes().objects[SECRET]}

    with Requests(tmp_path / "requests", before_each=rotate):
        assert archive.capture(tmp_path, kubernetes=kubernetes).manifest.phase == "Completed"


def test_no_session_overwrites_another(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """Sessions with equal ids, in two namespaces or one after the other in one, have separate copies."""
    by_id: dict[str, str] = {}
    for number in count():
        uid = f"uid-{number}"
        if (same := by_id.setdefault(session_id(uid, 4), uid)) != uid:
            break
    archive = Archive(server, bucket.name)
    owners = [("shop", same), ("shop", uid), ("bank", same)]
    copies = [
        archive.capture(
            tmp_path / str(number), owner=InvestigationReference(namespace=namespace, name="x", uid=reference)
        ).manifest
        for number, (namespace, reference) in enumerate(owners)
    ]
    assert len({manifest.session_id for manifest in copies}) == 1
    urls = [manifest.upload.url for manifest in copies if manifest.upload]
    assert len(set(urls)) == 3
    assert all(f"/cluster-a/{namespace}/" in url for (namespace, _), url in zip(owners, urls, strict=True))
    for manifest, url in zip(copies, urls, strict=True):
        stored = json.loads((bucket.parent / url.removeprefix("s3://") / "manifest.json").read_bytes())
        assert stored["investigation"] == manifest.investigation.to_json()


def test_an_answer_that_is_lost(server: servers.S3, serve: Serve, bucket: Path, tmp_path: Path) -> None:
    """The server completed the object, but its answer was lost; for the next request most servers no longer know the upload."""
    lost: list[str] = []
    unknown = "<Error><Code>NoSuchUpload</Code><Message>The upload does not exist.</Message></Error>"

    async def pass_on(request: web.Request, body: bytes) -> bytes:
        return body

    async def change(request: web.Request, body: bytes) -> Any:
        if request.method != "POST" or "uploadId" not in request.query:
            return body
        lost.append(request.path)
        if len(lost) > 1:
            return web.Response(status=404, text=unknown, content_type="application/xml")
        await forward(server.url, pass_on)(request)
        assert request.transport is not None
        request.transport.abort()
        return body

    snapshot = Archive(server, bucket.name, serve(forward(server.url, change))).capture(tmp_path, Memory(ANSWERS))
    assert len(lost) == 2
    assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", [])
    assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path))


def test_a_volume_that_cannot_be_read(
    server: servers.S3, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO while a file is read for its upload is a gap; the bucket has no manifest."""

    def fails(content: uploader.Content, offset: int, length: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(uploader.Content, "read", fails)
    reason, message = the_gap(Archive(server, bucket.name).capture(tmp_path))
    assert reason == "UploadFailed"
    assert "the session volume cannot be read: Input/output error" in message
    assert not list(bucket.rglob("manifest.json"))


def test_the_time_for_an_upload_begins_anew(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """An operator that was down for longer than the timeouts of upload and Investigation still uploads."""
    archive = Archive(server, bucket.name)

    def killed() -> None:
        with Requests(tmp_path / "requests", at=2):
            archive.capture(tmp_path / "root")

    assert in_child(killed) == signal.SIGKILL
    snapshot = archive.capture(tmp_path / "root", now=lambda: datetime(2026, 11, 25, tzinfo=UTC))
    assert snapshot.manifest.phase == "Completed"
    assert files_of(copy_of(snapshot, bucket)) == files_of(Path(snapshot.path))


def test_what_is_given_up_is_aborted(server: servers.S3, serve: Serve, bucket: Path, tmp_path: Path) -> None:
    """If the server refuses a part of a file, the parts before it are removed, since they would cost money."""

    async def change(request: web.Request, body: bytes) -> Any:
        if request.query.get("partNumber") == "2":
            assert unfinished(server, bucket)
            return web.Response(status=403)
        return body

    reason, message = the_gap(
        Archive(server, bucket.name, serve(forward(server.url, change))).capture(tmp_path, Memory(ANSWERS))
    )
    assert reason == "UploadFailed"
    assert "403" in message
    assert unfinished(server, bucket) == []


def test_a_cancelled_investigation_is_not_uploaded(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """`cancel` ends the upload too; the session stays."""
    from aletheia_operator.api import InvestigationSpec
    from aletheia_operator.investigate import Order, investigate
    from tests.unit.fakes import make_tools

    async def run() -> Snapshot:
        order = Order(
            OWNER,
            datetime(2026, 11, 22, 12, tzinfo=UTC),
            InvestigationSpec.model_validate({"targets": [{"pod": "a"}], **UPLOAD}),
        )
        kubernetes = Archive(server, bucket.name).kubernetes()
        tools = make_tools(tmp_path, Memory(SHORT), kubernetes=kubernetes, operator_namespace="aletheia-system")

        def report(snapshot: Snapshot) -> None:
            if snapshot.uploaded == 1:
                order.cancelled.set()

        return await investigate(order, tools, report)

    reason, _ = the_gap(asyncio.run(run()))
    assert reason == GapReason.CANCELLED
    assert not list(bucket.rglob("manifest.json"))


def test_memory_is_flat(server: servers.S3, bucket: Path, tmp_path: Path) -> None:
    """A file of many parts takes the memory of a few parts."""
    answers = {"large": LARGE * 10}
    archive = Archive(server, bucket.name)

    def child() -> None:
        archive.capture(tmp_path / "small")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        snapshot = archive.capture(tmp_path / "large", Memory(answers), owner=OWNER.model_copy(update={"uid": "large"}))
        assert snapshot.manifest.phase == "Completed"
        assert snapshot.manifest.size_bytes > 100 * 1024**2
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024

    assert in_child(partial(child)) is None
