"""The S3 client without a server: which hosts it would ask, and how files are cut into parts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.datasource import S3Bucket
from aletheia_operator.clients.endpoint import Credentials, Endpoint, origin_of
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.s3 import MAX_PARTS, PART_BYTES, Bucket, part_size

HOSTS: list[tuple[str, dict[str, Any], str]] = [
    ("https://s3.eu-central-1.amazonaws.com", {"region": "eu-central-1"}, "https://s3.eu-central-1.amazonaws.com/incidents"),
    (
        "https://s3.eu-central-1.amazonaws.com",
        {"region": "eu-central-1", "pathStyle": False},
        "https://incidents.s3.eu-central-1.amazonaws.com/",
    ),
    ("http://minio.storage:9000", {}, "http://minio.storage:9000/incidents"),
    ("https://ceph.example.com/", {"pathStyle": False}, "https://incidents.ceph.example.com/"),
    ("http://[::1]:9000", {}, "http://[::1]:9000/incidents"),
]


def bucket(endpoint: str, **s3: Any) -> Bucket:
    address = S3Bucket.from_json({"bucket": "incidents", **s3})
    return Bucket(
        Endpoint("archive", endpoint, 1, 1024, bucket=address, credentials=Credentials(access_key=("id", "key", None)))
    )


@pytest.mark.parametrize(("endpoint", "s3", "url"), HOSTS)
def test_which_host_is_asked(endpoint: str, s3: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the endpoint, or the bucket's below it: what the library makes of it is what is allowed."""
    seen: list[tuple[str, tuple[str, str, int]]] = []

    def send(session: Any, request: Any, **settings: Any) -> Any:
        seen.append((str(request.url), session.endpoint.origin))
        raise SourceError("not sent")

    monkeypatch.setattr("aletheia_operator.clients.http.SafeSession.send", send)
    with pytest.raises(SourceError, match="not sent"):
        bucket(endpoint, **s3).check()
    ((asked, allowed),) = seen
    assert asked == url
    assert origin_of(asked) == allowed


@pytest.mark.parametrize(
    ("size_bytes", "parts"), [(PART_BYTES + 1, 2), (2**30, 128), (MAX_PARTS * PART_BYTES, MAX_PARTS), (2**40, 9987)]
)
def test_a_file_has_no_more_parts_than_s3_takes(size_bytes: int, parts: int) -> None:
    """10,000: larger files have larger parts."""
    assert -(-size_bytes // part_size(size_bytes)) == parts <= MAX_PARTS


def test_the_library_is_loaded_by_those_who_upload_alone() -> None:
    """An operator without a bucket does not pay for it."""
    code = "import aletheia_operator.handlers.operator, sys; sys.exit('minio' in sys.modules)"
    source = Path(__file__).resolve().parents[2] / "operator"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(source)}).returncode == 0
