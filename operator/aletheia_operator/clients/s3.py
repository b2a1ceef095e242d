"""Objects of one S3 bucket (https://docs.aws.amazon.com/AmazonS3/latest/API/), through minio-py over our own transport.

Credentials are the DataSource's alone: none of the environment, of files or of the machine's metadata. All calls block, most
for one request and so for at most the endpoint's timeout, and hold at most one part in memory. They raise SourceError. One at a
time: they share a connection.
"""

import base64
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.clients.http import SafeSession

if TYPE_CHECKING:
    from minio import Minio

PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000
MAX_ANSWER_BYTES = 4 * 1024 * 1024  # a list of a thousand parts has half of one
CHECKSUM = "x-amz-checksum-sha256"


def part_size(size_bytes: int) -> int:
    """Bytes of each part but the last: the same whenever an object of this size is uploaded."""
    needed = -(-size_bytes // MAX_PARTS)
    return max(PART_BYTES, -(-needed // 2**20) * 2**20)


class Bucket:
    """The bucket of a DataSource. Raises Rejected (NoDataSource) where it cannot be one."""

    def __init__(self, endpoint: Endpoint) -> None:
        assert endpoint.bucket is not None
        self.endpoint = endpoint
        self.name = endpoint.bucket.bucket

    def check(self) -> None:
        """Raises where the bucket does not exist or may not be used."""
        with self._faults():
            if not self._client.bucket_exists(self.name):
                raise Rejected(f"DataSource {self.endpoint.name}: there is no bucket {self.name}", GapReason.NOT_FOUND)

    def put(self, key: str, content: bytes, sha256: str) -> str:
        """Store an object of at most one part, which the server holds against the digest if it knows how to; as `attested`."""
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with self._faults():
            stored = self._client.put_object(
                self.name,
                key,
                io.BytesIO(content),
                len(content),
                metadata={CHECKSUM: checksum},
                part_size=PART_BYTES,
                num_parallel_uploads=1,
            )
        return _digest_of(stored.http_headers.get(CHECKSUM))

    def attested(self, key: str, size_bytes: int) -> str | None:
        """The digest (SHA-256, hex) that the server says it took of the object; empty where it says none.

        None where there is no object of this size.
        """
        try:
            with self._faults():
                found = self._client.stat_object(self.name, key, extra_headers={"x-amz-checksum-mode": "ENABLED"})
        except Rejected as e:
            if e.reason is GapReason.NOT_FOUND:
                return None
            raise
        if found.size != size_bytes:
            return None
        return _digest_of((found.metadata or {}).get(CHECKSUM))

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Bytes of an object as the server has them."""
        with self._faults():
            response = self._client.get_object(self.name, key, offset, length)
        return bytes(response.data)

    def begun(self, key: str) -> dict[str, dict[int, str]]:
        """Multipart uploads of this key that were broken off: id to the ETags of their parts; none where none may be listed."""
        try:
            with self._faults():
                listed = self._client._list_multipart_uploads(self.name, prefix=key)
                ids = [one.upload_id for one in listed.uploads if one.object_name == key and one.upload_id]
                return {upload_id: self._parts(key, upload_id) for upload_id in ids}
        except Rejected:
            return {}

    def _parts(self, key: str, upload_id: str) -> dict[int, str]:
        etags: dict[int, str] = {}
        marker: str | None = None
        while True:
            listed = self._client._list_parts(self.name, key, upload_id, part_number_marker=marker)
            etags |= {part.part_number: part.etag.strip('"') for part in listed.parts}
            if not listed.is_truncated or not listed.parts:
                return etags
            marker = str(listed.next_part_number_marker)

    def begin(self, key: str) -> str:
        """Begin a multipart upload; its id."""
        with self._faults():
            return self._client._create_multipart_upload(self.name, key, {"Content-Type": "application/octet-stream"})

    def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> str:
        """Store one part; its ETag."""
        with self._faults():
            return self._client._upload_part(self.name, key, content, None, upload_id, number)

    def complete(self, key: str, upload_id: str, etags: dict[int, str]) -> None:
        """Make the object of its parts."""
        from minio.datatypes import Part

        with self._faults():
            parts = [Part(number, etag) for number, etag in sorted(etags.items())]
            self._client._complete_multipart_upload(self.name, key, upload_id, parts)

    def abort(self, key: str, upload_id: str) -> None:
        """Give a multipart upload up, and the space of its parts back."""
        with self._faults():
            self._client._abort_multipart_upload(self.name, key, upload_id)

    @cached_property
    def _client(self) -> "Minio":
        from minio import Minio  # takes a third of a second, which only those who upload spend

        assert self.endpoint.bucket is not None
        key_id, secret, token = self.endpoint.credentials.access_key or ("", "", None)
        url = urlsplit(self.endpoint.base)
        try:
            client = Minio(
                url.netloc,
                key_id,
                secret,
                token,
                secure=url.scheme.lower() == "https",
                region=self.endpoint.bucket.region,
                http_client=_Transport(self.endpoint),
            )
        except ValueError as e:
            raise Rejected(f"DataSource {self.endpoint.name}: {e}", GapReason.NO_DATA_SOURCE) from None
        if self.endpoint.bucket.path_style:
            client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        else:
            client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        return client

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """The library's errors as ours."""
        from minio.error import InvalidResponseError, S3Error, ServerError

        try:
            yield
        except SourceError:
            raise
        except S3Error as e:
            raise self.endpoint.failed(e.response.status, f"{e.code}: {e.message}") from None
        except ServerError as e:
            raise self.endpoint.failed(e.status_code, "no reason is given") from None
        except (InvalidResponseError, SyntaxError) as e:  # SyntaxError: what xml.etree raises
            raise self.endpoint.not_of("S3") from e
        except ValueError as e:
            raise Rejected(f"DataSource {self.endpoint.name}: {self.endpoint.quoter(str(e))}") from None


class _Transport(urllib3.PoolManager):
    """minio-py's way to the network: a session that is held to the DataSource. One request at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        assert endpoint.bucket is not None
        if not endpoint.bucket.path_style:
            url = urlsplit(endpoint.base)
            endpoint = replace(endpoint, url=f"{url.scheme}://{endpoint.bucket.bucket}.{url.netloc}")
        self._endpoint = replace(endpoint, max_response_bytes=MAX_ANSWER_BYTES + PART_BYTES)
        self._session = SafeSession(self._endpoint)

    def clear(self) -> None:
        self._session.close()

    def urlopen(self, method: str, url: str, redirect: bool = True, **kwargs: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        """The whole answer, read under the caps. Raises SourceError."""
        request = requests.Request(method, url, headers=dict(kwargs["headers"]), data=kwargs.get("body")).prepare()
        request.url = url  # as it was signed
        self._session.size_bytes = 0
        response = self._session.send(request)
        body = b"".join(self._session.chunks(response))
        status, kind = response.status_code, response.headers.get("Content-Type", "")
        if 300 <= status < 400 or (status >= 400 and method != "HEAD" and "xml" not in kind):  # not S3's own words
            raise self._endpoint.failed(status, body)
        return urllib3.HTTPResponse(
            body, headers=dict(response.headers), status=response.status_code, request_method=method, preload_content=True
        )


def _digest_of(checksum: str | None) -> str:
    """SHA-256 in hex of a checksum header; empty where it is none of the whole object (of a multipart upload: `...-N`)."""
    try:
        digest = base64.b64decode(checksum or "", validate=True)
    except ValueError:
        return ""
    return digest.hex() if len(digest) == hashlib.sha256().digest_size else ""
