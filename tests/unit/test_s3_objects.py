"""Objects and multipart uploads in a bucket, over HTTP with a small S3 in memory."""

import base64
import hashlib
from collections.abc import Iterator

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.s3 import S3Options
from aletheia_operator.clients.endpoint import Credentials
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.s3 import Bucket
from tests.unit.loopback import Loopback
from tests.unit.s3_server import S3

CONTENT = b"evidence"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
IN_BASE64 = base64.b64encode(bytes.fromhex(SHA256)).decode()


@pytest.fixture
def s3() -> S3:
    return S3()


@pytest.fixture
def bucket(loopback: Loopback, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr("aletheia_operator.clients.safe_session.BACKOFF_SECONDS", 0.01)
    loopback.answers = [s3]
    place = S3Options.from_json({"bucket": "incidents"})
    yield Bucket(loopback.endpoint(options=place, credentials=Credentials(access_key=("id", "key", None))))


def test_an_object_is_stored_with_its_checksum(bucket: Bucket, s3: S3) -> None:
    """The server gets the SHA-256, and the client trusts the server's digest of the object."""
    assert bucket.put("a/key", CONTENT, SHA256) == SHA256
    assert (s3.objects, s3.checksums) == ({"a/key": CONTENT}, {"a/key": IN_BASE64})
    assert bucket.attested("a/key", len(CONTENT)) == SHA256


@pytest.mark.parametrize(
    ("checksum", "size_bytes", "attested"),
    [
        (IN_BASE64, len(CONTENT), SHA256),
        (IN_BASE64, len(CONTENT) + 1, None),
        ("", len(CONTENT), ""),
        (f"{IN_BASE64}-2", len(CONTENT), ""),
        ("no base64!", len(CONTENT), ""),
    ],
    ids=["its digest", "another size", "none is reported", "of parts", "damaged"],
)
def test_what_a_server_says_of_an_object(bucket: Bucket, s3: S3, checksum: str, size_bytes: int, attested: str | None) -> None:
    """Only a digest of the whole object counts."""
    s3.objects["a/key"], s3.checksums["a/key"] = CONTENT, checksum
    assert bucket.attested("a/key", size_bytes) == attested


def test_an_object_that_is_not_there(bucket: Bucket) -> None:
    """It has no attested digest, and cannot be read."""
    assert bucket.attested("a/key", 1) is None
    with pytest.raises(Rejected) as caught:
        bucket.read("a/key", 0, 1)
    assert caught.value.reason is GapReason.NOT_FOUND


@pytest.mark.parametrize(("offset", "length", "read"), [(0, 4, b"evid"), (4, 4, b"ence"), (7, 1, b"e")])
def test_a_part_of_an_object_is_read(bucket: Bucket, s3: S3, offset: int, length: int, read: bytes) -> None:
    """Exactly its bytes are returned."""
    s3.objects["a/key"] = CONTENT
    assert bucket.read("a/key", offset, length) == read


def test_an_upload_in_parts(bucket: Bucket, s3: S3) -> None:
    """The parts are put together by their numbers, in whatever order they came."""
    upload = bucket.begin("a/key")
    etags = {number: bucket.put_part("a/key", upload, number, b"%d" % number) for number in (3, 1, 2)}
    assert etags == {1: "etag-1", 2: "etag-2", 3: "etag-3"}
    bucket.complete("a/key", upload, etags)
    assert (s3.objects, s3.uploads) == ({"a/key": b"123"}, {})


def test_uploads_that_were_begun_are_found_with_all_their_parts(bucket: Bucket, s3: S3) -> None:
    """The server may list them in pages. Uploads of keys that only begin with the same text are left out."""
    s3.uploads = {
        "one": ("a/key", dict.fromkeys(range(1, 6), b"x")),
        "two": ("a/key", {}),
        "other": ("a/key-2", {1: b"x"}),
    }
    assert bucket.begun("a/key") == {"one": {number: f"etag-{number}" for number in range(1, 6)}, "two": {}}


def test_uploads_that_may_not_be_listed(bucket: Bucket, s3: S3) -> None:
    """Without the right to list, an upload cannot be resumed. A server that is down is asked again later."""
    s3.refused = 403
    assert bucket.begun("a/key") == {}
    s3.refused = 503
    with pytest.raises(Unavailable):
        bucket.begun("a/key")


def test_an_upload_that_is_given_up(bucket: Bucket, s3: S3) -> None:
    """The server removes its parts."""
    upload = bucket.begin("a/key")
    bucket.abort("a/key", upload)
    assert (s3.objects, s3.uploads) == ({}, {})


def test_a_bucket_that_is_there_passes_the_check(bucket: Bucket, s3: S3) -> None:
    """A missing bucket is reported."""
    bucket.check()
    assert s3.asked == ["HEAD "]
