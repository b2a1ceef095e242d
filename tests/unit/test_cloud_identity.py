"""Uploads with the AWS identity of the operator's pod: which server is asked for keys, what it gets, and what it cannot do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from minio.credentials.credentials import Credentials as Keys
from urllib3.connection import HTTPConnection

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.s3 import S3Options
from aletheia_operator.clients import guard
from aletheia_operator.clients.endpoint import Credentials, Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.s3 import Bucket
from aletheia_operator.datasources.cloud_identity import MAX_ANSWER_BYTES, identity_of
from aletheia_operator.datasources.finder import reached
from aletheia_operator.settings import Proxy
from tests.unit.loopback import Answer, Loopback, Request, drip_body, reply
from tests.unit.uploads import Archive, archive, the_gap, the_session

__all__ = ["archive"]

TOKEN = "eyJ-canary-web-identity"
ROLE = "arn:aws:iam::123456789012:role/archive"
KEY_ID, SECRET_KEY, SESSION_TOKEN = "ASIA-temporary-id", "canary-temporary-key", "canary-session-token"
VARIABLES = (
    "ROLE_ARN",
    "ROLE_SESSION_NAME",
    "WEB_IDENTITY_TOKEN_FILE",
    "ENDPOINT_URL_STS",
    "REGION",
    "DEFAULT_REGION",
    "CONTAINER_CREDENTIALS_RELATIVE_URI",
    "CONTAINER_CREDENTIALS_FULL_URI",
    "CONTAINER_AUTHORIZATION_TOKEN",
    "CONTAINER_AUTHORIZATION_TOKEN_FILE",
)


def keys(key_id: str = KEY_ID, secret: str = SECRET_KEY, token: str = SESSION_TOKEN, seconds: int = 3600) -> dict[str, str]:
    expiration = datetime.now(UTC) + timedelta(seconds=seconds)
    return {
        "AccessKeyId": key_id,
        "SecretAccessKey": secret,
        "SessionToken": token,
        "Expiration": f"{expiration:%Y-%m-%dT%H:%M:%SZ}",
    }


def xml(**values: str) -> bytes:
    """What STS answers with these keys."""
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
    result = f"<AssumeRoleWithWebIdentityResult><Credentials>{fields}</Credentials></AssumeRoleWithWebIdentityResult>"
    space = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
    return f"<AssumeRoleWithWebIdentityResponse {space}>{result}</AssumeRoleWithWebIdentityResponse>".encode()


@dataclass
class Identity:
    """A server of keys, and the pod's environment that names it. `forms`: the bodies that it got."""

    server: Loopback
    token: Path
    answers: list[Answer] = field(default_factory=lambda: [reply(200, xml(**keys()))])
    forms: list[dict[str, list[str]]] = field(default_factory=list)

    def answer(self, request: Request) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0)).decode()
        self.forms.append(parse_qs(body, strict_parsing=bool(body)))
        self.answers[min(len(self.forms), len(self.answers)) - 1](request)

    def bucket(self, url: str, **settings: Any) -> Bucket:
        """A bucket behind the URL, as an upload finds it."""
        endpoint = Endpoint("archive", url, 5, 2**20, options=S3Options(bucket="incidents"), **settings)
        environment = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(self.token), "AWS_ENDPOINT_URL_STS": self.server.url}
        return Bucket(replace(endpoint, identity=identity_of(endpoint, environment)))


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Identity]:
    """A web identity, as the variables of a pod have it."""
    for name in VARIABLES:
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setattr("aletheia_operator.clients.safe_session.BACKOFF_SECONDS", 0.001)
    with Loopback() as server:
        found = Identity(server, tmp_path / "token")
        server.answers = [found.answer]
        found.token.write_text(TOKEN)
        values = {"ROLE_ARN": ROLE, "WEB_IDENTITY_TOKEN_FILE": str(found.token), "ENDPOINT_URL_STS": server.url}
        for name, value in values.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield found


def test_a_session_is_uploaded_with_a_web_identity(archive: Archive, loopback: Loopback, identity: Identity) -> None:
    """STS gets one form with the pod's token and role, and nothing in the URL. S3 gets the temporary keys alone."""
    archive.auth = {"cloudIdentity": "aws"}
    snapshot = archive.capture()
    assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", [])
    assert archive.s3.objects == the_session(snapshot)
    assert not [path for path, _ in archive.kubernetes.asked if "secrets" in path]
    assert (identity.server.requests, identity.forms) == (
        ["/"],
        [
            {
                "Action": ["AssumeRoleWithWebIdentity"],
                "Version": ["2011-06-15"],
                "WebIdentityToken": [TOKEN],
                "RoleArn": [ROLE],
                "RoleSessionName": ["aletheia-operator"],
            }
        ],
    )
    for sent in loopback.headers:
        assert f"Credential={KEY_ID}/" in sent["Authorization"]
        assert sent["X-Amz-Security-Token"] == SESSION_TOKEN


def test_a_session_is_uploaded_with_a_pod_identity(
    archive: Archive, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent gets the pod's token in a header."""
    monkeypatch.delenv("AWS_WEB_IDENTITY_TOKEN_FILE")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{identity.server.url}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(identity.token))
    found = keys()
    found["Token"] = found.pop("SessionToken")
    identity.answers = [reply(200, json.dumps(found).encode(), Content_Type="application/json")]
    archive.auth = {"cloudIdentity": "aws"}
    snapshot = archive.capture()
    assert (snapshot.manifest.phase, snapshot.manifest.gaps) == ("Completed", [])
    assert identity.server.requests == ["/v1/credentials"]
    assert identity.server.headers[0]["Authorization"] == TOKEN


def test_a_pod_without_an_identity(archive: Archive, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is uploaded, not even with the role of the node. The gap says what to do."""
    monkeypatch.delenv("AWS_WEB_IDENTITY_TOKEN_FILE")
    archive.auth = {"cloudIdentity": "aws"}
    reason, message = the_gap(archive.capture())
    assert reason == "NoDataSource"
    assert "the operator's pod has no AWS identity" in message
    assert (archive.s3.asked, identity.server.requests) == ([], [])


def test_keys_are_asked_for_again_before_they_expire(
    archive: Archive, loopback: Loopback, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the token that the kubelet has put there since. Until then they are used for all requests."""
    bucket = identity.bucket(loopback.url)
    bucket.check()
    bucket.check()
    assert len(identity.forms) == 1
    expired = iter([True, False])
    monkeypatch.setattr(Keys, "is_expired", lambda keys: next(expired, False))
    identity.token.write_text("another-token")
    identity.answers = [reply(200, xml(**keys("ASIA-another-id")))]
    bucket.check()
    assert [form["WebIdentityToken"] for form in identity.forms] == [[TOKEN], ["another-token"]]
    assert [f"Credential={KEY_ID}/" in sent["Authorization"] for sent in loopback.headers] == [True, True, False]


def refusal(status: int, code: str) -> Answer:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no to {TOKEN}</Message></Error></ErrorResponse>"
    return reply(status, body.encode(), Content_Type="text/xml")


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "'
    + "ha" * 500
    + '">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 50}">' for a, b in zip("abcd", "bcde", strict=True))
    + "]><x>&e;</x>"
)


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        (refusal(403, "AccessDenied"), Rejected, GapReason.FORBIDDEN, r"answered 403: AccessDenied: no to \*\*\*"),
        (refusal(400, "InvalidIdentityToken"), Rejected, GapReason.REJECTED, "400: InvalidIdentityToken"),
        (refusal(400, "ExpiredTokenException"), Unavailable, GapReason.FORBIDDEN, "ExpiredTokenException"),
        (refusal(400, "IDPCommunicationError"), Unavailable, GapReason.FORBIDDEN, "IDPCommunicationError"),
        (reply(404, f"what is {TOKEN}?".encode()), Rejected, GapReason.NOT_FOUND, r"what is \*\*\*\?"),
        (reply(204, b""), Rejected, GapReason.INVALID_RESPONSE, "answered 204"),
        (reply(200, b"<html>"), Unavailable, GapReason.INVALID_RESPONSE, "the answer has no keys"),
        (reply(200, b"\xff"), Unavailable, GapReason.INVALID_RESPONSE, "the answer has no keys"),
        (reply(200, LAUGHS.encode()), Unavailable, GapReason.INVALID_RESPONSE, "the answer has no keys"),
        (reply(200, xml(AccessKeyId=KEY_ID)), Unavailable, GapReason.INVALID_RESPONSE, "the answer has no keys"),
        (reply(200, xml(**keys(key_id=""))), Unavailable, GapReason.INVALID_RESPONSE, "the answer has no keys"),
        (reply(200, xml(**keys(token=f"{SESSION_TOKEN}\n"))), Unavailable, GapReason.INVALID_RESPONSE, "no valid keys"),
        (reply(200, xml(**keys(token="ö"))), Unavailable, GapReason.INVALID_RESPONSE, "no valid keys"),
        (reply(200, xml(**keys(seconds=-60))), Unavailable, GapReason.INVALID_RESPONSE, "have expired"),
        (reply(200, b" " * (MAX_ANSWER_BYTES + 1)), Rejected, GapReason.TOO_LARGE, "larger than"),
        (drip_body, Unavailable, GapReason.TIMED_OUT, "did not answer within 1 s"),
    ],
    ids=lambda value: None if callable(value) or isinstance(value, str) else str(value),
)
def test_what_a_server_of_keys_may_answer(
    loopback: Loopback, identity: Identity, answer: Answer, kind: type[SourceError], reason: GapReason, words: str
) -> None:
    """Its fault is an error in time that quotes neither token nor keys, and the bucket is not asked."""
    identity.answers = [answer]
    bucket = identity.bucket(loopback.url)
    bucket.endpoint = replace(bucket.endpoint, timeout_seconds=1 if answer is drip_body else 5)
    with pytest.raises(kind, match=words) as caught:
        bucket.check()
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    assert caught.value.message.startswith("DataSource archive (AWS identity from 127.0.0.1:")
    assert "canary" not in caught.value.message
    assert loopback.requests == []


def test_a_token_crosses_no_redirect(loopback: Loopback, identity: Identity) -> None:
    """The other address gets no request at all."""
    with Loopback() as other:
        identity.answers = [reply(307, b"", Location=f"{other.url}/")]
        with pytest.raises(Rejected, match="redirects are not followed"):
            identity.bucket(loopback.url).check()
        assert other.requests == []


@pytest.mark.parametrize(
    ("content", "words"), [(None, "the token file cannot be read: No such file"), ("two\nlines", "no keys")], ids=str
)
def test_a_token_that_cannot_be_sent(loopback: Loopback, identity: Identity, content: str | None, words: str) -> None:
    """A missing file is named; a token that STS does not accept is an error as any other."""
    identity.answers = [reply(200, b"")]
    if content is None:
        identity.token.unlink()
    else:
        identity.token.write_text(content)
    with pytest.raises(Unavailable, match=words):
        identity.bucket(loopback.url).check()


def test_errors_of_the_bucket_do_not_quote_the_keys(loopback: Loopback, identity: Identity) -> None:
    """They are secrets as those of a Secret are."""
    said = f"<Error><Code>Strange</Code><Message>{KEY_ID} {SECRET_KEY} {SESSION_TOKEN}</Message></Error>"
    loopback.answers = [reply(400, said.encode(), Content_Type="application/xml")]
    with pytest.raises(Rejected, match=r"400: Strange: \*\*\* \*\*\* \*\*\*"):
        identity.bucket(loopback.url).begin("a/key")


FILE = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}
AGENT = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token"}
FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


@pytest.mark.parametrize(
    ("environment", "url", "is_on_node"),
    [
        (FILE, "https://sts.amazonaws.com", False),
        (FILE | {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "x"}, "https://sts.eu-central-1.amazonaws.com", False),
        (FILE | {"AWS_DEFAULT_REGION": "us-gov-west-1"}, "https://sts.us-gov-west-1.amazonaws.com", False),
        (FILE | {"AWS_REGION": "cn-north-1"}, "https://sts.cn-north-1.amazonaws.com.cn", False),
        (FILE | {"AWS_REGION": "evil.example/"}, "https://sts.amazonaws.com", False),
        (FILE | {"AWS_ENDPOINT_URL_STS": "https://minio.storage:9000"}, "https://minio.storage:9000", False),
        (FILE | AGENT | {FULL_URI: "http://169.254.170.23/v1/credentials"}, "https://sts.amazonaws.com", False),
        (AGENT | {FULL_URI: "http://169.254.170.23/v1/credentials"}, "http://169.254.170.23/v1/credentials", True),
        (AGENT | {FULL_URI: "http://[fd00:ec2::23]/v1/credentials"}, "http://[fd00:ec2::23]/v1/credentials", True),
        (AGENT | {FULL_URI: "https://keys.example/a"}, "https://keys.example/a", False),
    ],
)
def test_which_server_has_the_keys(environment: dict[str, str], url: str, is_on_node: bool) -> None:
    """As AWS SDKs find it. Only the node's own agent may have a link-local address."""
    found = identity_of(Endpoint("archive", "https://s3.example", 5, 1), environment)
    assert (found.url, found.is_on_node) == (url, is_on_node)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_ROLE_ARN": ROLE},
        {FULL_URI: "http://169.254.170.23/v1/credentials"},
        AGENT | {FULL_URI: "http://keys.example/a"},
        AGENT | {FULL_URI: "http://169.254.169.254/latest"},
        FILE | {"AWS_ENDPOINT_URL_STS": "https://user:canary@sts.example"},
        FILE | {"AWS_ENDPOINT_URL_STS": "https://sts.example?canary"},
        FILE | {"AWS_ENDPOINT_URL_STS": "file:///canary"},
        FILE | {"AWS_ENDPOINT_URL_STS": "https://[canary"},
    ],
)
def test_an_environment_without_a_usable_identity(environment: dict[str, str]) -> None:
    """It is refused, and no value is quoted."""
    with pytest.raises(Rejected) as caught:
        identity_of(Endpoint("archive", "https://s3.example", 5, 1), environment)
    assert caught.value.reason is GapReason.NO_DATA_SOURCE
    assert "canary" not in caught.value.message


def test_certificates_of_the_bucket_are_those_of_sts_on_the_same_server() -> None:
    """MinIO and Ceph are both. Another server gets neither the CA nor the client certificate."""
    endpoint = Endpoint("archive", "https://minio:9000", 5, 1, credentials=Credentials(ca_pem="ca", client_pem="client"))
    same = identity_of(endpoint, FILE | {"AWS_ENDPOINT_URL_STS": "https://minio:9000/"}).credentials
    other = identity_of(endpoint, FILE).credentials
    assert ((same.ca_pem, same.client_pem), (other.ca_pem, other.client_pem)) == (("ca", "client"), (None, None))


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [(FILE, "http://proxy:1"), (AGENT | {FULL_URI: "http://169.254.170.23/v1/credentials"}, None)],
    ids=["STS", "the agent"],
)
def test_the_proxy_to_the_server_of_keys(environment: dict[str, str], proxy: str | None) -> None:
    """STS is reached as the endpoint is. No proxy leads to the node itself."""
    endpoint = Endpoint("archive", "https://s3.example", 5, 1)
    found = reached(replace(endpoint, identity=identity_of(endpoint, environment)), Path("/ca"), Proxy("http://proxy:1"))
    assert found.identity is not None
    assert (found.proxy, found.identity.proxy, found.identity.ca_bundle) == ("http://proxy:1", proxy, Path("/ca"))


@pytest.mark.parametrize(
    ("address", "is_on_node", "is_reached"),
    [
        ("169.254.170.23", True, True),
        ("fd00:ec2::23", True, True),
        ("169.254.170.23", False, False),
        ("169.254.169.254", True, False),
        ("169.254.170.2", True, False),
        ("::ffff:169.254.170.23", True, False),
    ],
)
def test_the_agent_is_the_only_link_local_server(
    monkeypatch: pytest.MonkeyPatch, address: str, is_on_node: bool, is_reached: bool
) -> None:
    """It is reached for keys alone, never as a DataSource."""
    opened: list[str] = []
    monkeypatch.setattr(guard, "_open", lambda *found: opened.append(found[3][0]))
    connection = HTTPConnection(address, 80, timeout=1)
    if is_reached:
        guard.connect(connection, is_on_node)
    else:
        with pytest.raises(Rejected, match="link-local"):
            guard.connect(connection, is_on_node)
    assert opened == ([address] if is_reached else [])
