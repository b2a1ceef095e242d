"""The S3 client without a server: the requested hosts, and the parts of files."""

from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.s3 import S3Options
from aletheia_operator.clients.endpoint import Credentials, Endpoint, origin_of
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.clients.s3 import MAX_PARTS, PART_BYTES, Bucket, part_size
from tests.unit.loopback import Answer, Loopback, hang_up, reply

HOSTS: list[tuple[str, dict[str, Any], str]] = [
    ("https://s3.eu-central-1.amazonaws.com", {"region": "eu-central-1"}, "https://s3.eu-central-1.amazonaws.com/incidents"),
    (
        "https://s3.eu-central-1.amazonaws.com",
        {"region": "eu-central-1", "pathStyle": False},
        "https://incidents.s3.eu-central-1.amazonaws.com/",
    ),
    ("https://s3.amazonaws.com", {"region": "eu-central-1"}, "https://s3.eu-central-1.amazonaws.com/incidents"),
    (
        "https://s3.amazonaws.com",
        {"region": "eu-central-1", "pathStyle": False},
        "https://incidents.s3.eu-central-1.amazonaws.com/",
    ),
    ("https://s3.eu-central-1.amazonaws.com", {}, "https://s3.eu-central-1.amazonaws.com/incidents"),
    ("https://s3.dualstack.us-west-2.amazonaws.com", {}, "https://s3.dualstack.us-west-2.amazonaws.com/incidents"),
    ("https://s3.us-gov-west-1.amazonaws.com", {}, "https://s3.us-gov-west-1.amazonaws.com/incidents"),
    ("https://s3.cn-north-1.amazonaws.com.cn", {}, "https://s3.cn-north-1.amazonaws.com.cn/incidents"),
    ("https://ceph.example.com", {"bucket": "in.cidents", "pathStyle": False}, "https://ceph.example.com/in.cidents"),
    ("https://bücher.example", {}, "https://xn--bcher-kva.example/incidents"),
    ("http://minio.storage:9000", {}, "http://minio.storage:9000/incidents"),
    ("https://ceph.example.com/", {"pathStyle": False}, "https://incidents.ceph.example.com/"),
    ("http://[::1]:9000", {}, "http://[::1]:9000/incidents"),
]


def bucket(endpoint: str, **s3: Any) -> Bucket:
    address = S3Options.from_json({"bucket": "incidents", **s3})
    return Bucket(
        Endpoint("archive", endpoint, 1, 1024, options=address, credentials=Credentials(access_key=("id", "key", None)))
    )


@pytest.mark.parametrize(("endpoint", "s3", "url"), HOSTS)
def test_which_host_is_asked(endpoint: str, s3: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the endpoint's host, or the bucket's below it. The library requests the host that the client allows."""
    seen: list[tuple[str, tuple[str, str, int]]] = []

    def send(session: Any, request: Any, **settings: Any) -> Any:
        seen.append((str(request.url), session.endpoint.origin))
        raise SourceError("not sent")

    monkeypatch.setattr("aletheia_operator.clients.safe_session.SafeSession.send", send)
    with pytest.raises(SourceError, match="not sent"):
        bucket(endpoint, **s3).check()
    ((asked, allowed),) = seen
    assert asked == url
    assert origin_of(asked) == allowed


def test_a_region_that_contradicts_the_endpoint() -> None:
    """The host of an AWS endpoint has its region: S3 would refuse requests for another one with a less clear message."""
    with pytest.raises(Rejected, match=r"its endpoint is in eu-central-1, but s3.region is eu-west-1") as caught:
        bucket("https://s3.eu-central-1.amazonaws.com", region="eu-west-1").check()
    assert caught.value.reason is GapReason.NO_DATA_SOURCE


def error(status: int, code: str, **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>said canary-secret</Message></Error>".encode()
    return reply(status, body, Content_Type="application/xml", **headers)


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        (error(400, "ExpiredToken"), Unavailable, GapReason.FORBIDDEN, r"answered 400: ExpiredToken: said \*\*\*"),
        (error(400, "RequestTimeout"), Unavailable, GapReason.UNAVAILABLE, "RequestTimeout"),
        (error(409, "OperationAborted"), Unavailable, GapReason.UNAVAILABLE, "OperationAborted"),
        (error(409, "ConditionalRequestConflict"), Unavailable, GapReason.UNAVAILABLE, "ConditionalRequestConflict"),
        (error(409, "BucketNotEmpty"), Rejected, GapReason.REJECTED, "BucketNotEmpty"),
        (error(503, "SlowDown"), Unavailable, GapReason.UNAVAILABLE, "SlowDown"),
        (error(403, "AccessDenied"), Rejected, GapReason.FORBIDDEN, "AccessDenied"),
        (error(404, "NoSuchBucket"), Rejected, GapReason.NOT_FOUND, "NoSuchBucket"),
        (error(400, "InvalidArgument"), Rejected, GapReason.REJECTED, "InvalidArgument"),
        (error(501, "NotImplemented"), Rejected, GapReason.REJECTED, "NotImplemented"),
        (
            error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-3"),
            Rejected,
            GapReason.INVALID_RESPONSE,
            "the bucket is in region eu-west-3: set s3.region",
        ),
        (error(307, "TemporaryRedirect"), Rejected, GapReason.INVALID_RESPONSE, "redirects are not followed"),
        (reply(200, b"<html>", Content_Type="application/xml"), Unavailable, GapReason.INVALID_RESPONSE, "not that of S3"),
        (reply(500, b"oops canary-secret"), Unavailable, GapReason.UNAVAILABLE, r"oops \*\*\*"),
        (hang_up, Unavailable, GapReason.UNAVAILABLE, "without an answer"),
    ],
)
def test_what_s3_says_is_one_of_our_errors(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch, answer: Answer, kind: type[SourceError], reason: GapReason, words: str
) -> None:
    """Its code determines the error if it is more exact than the HTTP status. The message never has the secret."""
    monkeypatch.setattr("aletheia_operator.clients.safe_session.BACKOFF_SECONDS", 0.01)
    loopback.answers = [answer]
    credentials = Credentials(access_key=("id", "canary-secret", None), secrets=("canary-secret",))
    place = S3Options.from_json({"bucket": "incidents"})
    bucket = Bucket(loopback.endpoint(options=place, credentials=credentials))
    with pytest.raises(kind, match=words) as caught:
        bucket.begin("a/key")
    assert (caught.value.reason, type(caught.value)) == (reason, kind)
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    ("size_bytes", "parts"), [(PART_BYTES + 1, 2), (2**30, 128), (MAX_PARTS * PART_BYTES, MAX_PARTS), (2**40, 9987)]
)
def test_a_file_has_no_more_parts_than_s3_takes(size_bytes: int, parts: int) -> None:
    """S3 takes 10,000 parts: larger files have larger parts."""
    assert -(-size_bytes // part_size(size_bytes)) == parts <= MAX_PARTS
