"""Objects of one S3 bucket (https://docs.aws.amazon.com/AmazonS3/latest/API/), through minio-py over our own transport.

The keys are those of the DataSource's Secret, or temporary ones of the operator's own identity (`temporary_keys.py`), as the
DataSource says; never those of the machine's metadata. Calls block and raise SourceError. Most make one request, so they take
at most the endpoint's timeout, and hold at most one part in memory. Make one call at a time: calls share a connection.

minio-py's multipart calls are private methods, so its minor version is pinned. docs/libraries.md compares other libraries.
"""

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.source_types.s3 import S3Options
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable

if TYPE_CHECKING:
    from minio import Minio

    from aletheia_operator.clients.temporary_keys import TemporaryKeys

PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000
MAX_ANSWER_BYTES = 4 * 1024 * 1024  # a list of a thousand parts takes half a MiB
CHECKSUM = "x-amz-checksum-sha256"
DEFAULT_REGION = "us-east-1"
_AWS_REGION = re.compile(r"^s3[.-](?:[a-z-]+[.-])?(?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-[0-9])\.amazonaws\.com")
_PASSING_CODES = frozenset(
    {
        "RequestTimeout",
        "OperationAborted",
        "ConditionalRequestConflict",
        "SlowDown",
        "InternalError",
        "ServiceUnavailable",
        "Busy",
    }
)
"""https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: worth another try, whatever their HTTP status."""
_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
"""The temporary key has expired. The Secret may soon have another."""


def part_size(size_bytes: int) -> int:
    """Return the bytes of each part but the last. The same size always gives the same parts, so an upload can be resumed."""
    needed = -(-size_bytes // MAX_PARTS)
    return max(PART_BYTES, -(-needed // 2**20) * 2**20)


class Bucket:
    """The bucket of a DataSource. Calls raise Rejected (NoDataSource) if the DataSource's settings do not fit together."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.options = endpoint.options_of(S3Options)
        self.name = self.options.bucket

    def check(self) -> None:
        """Raise SourceError if the bucket does not exist or may not be used."""
        with self._faults():
            if not self._client.bucket_exists(self.name):
                raise Rejected(f"DataSource {self.endpoint.name}: there is no bucket {self.name}", GapReason.NOT_FOUND)

    def put(self, key: str, content: bytes, sha256: str) -> str:
        """Store an object of at most one part; the server checks its SHA-256 if it can. Returns what `attested` returns."""
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
        """Server-reported SHA-256 (hex); '' if not reported; None if the object is absent or of another size."""
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
        """Read `length` bytes of an object from `offset` on."""
        with self._faults():
            response = self._client.get_object(self.name, key, offset, length)
        return bytes(response.data)

    def begun(self, key: str) -> dict[str, dict[int, str]]:
        """Return the unfinished multipart uploads of this key: {id: {part number: ETag}}; {} if they may not be listed."""
        try:
            with self._faults():
                listed = self._client._list_multipart_uploads(self.name, prefix=key)
                ids = [upload.upload_id for upload in listed.uploads if upload.object_name == key and upload.upload_id]
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
        """Begin a multipart upload and return its id."""
        with self._faults():
            return self._client._create_multipart_upload(self.name, key, {"Content-Type": "application/octet-stream"})

    def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> str:
        """Store one part and return its ETag."""
        with self._faults():
            return self._client._upload_part(self.name, key, content, None, upload_id, number)

    def complete(self, key: str, upload_id: str, etags: dict[int, str]) -> None:
        """Complete a multipart upload. `etags`: the ETag of each part, by number."""
        from minio.datatypes import Part

        with self._faults():
            parts = [Part(number, etag) for number, etag in sorted(etags.items())]
            self._client._complete_multipart_upload(self.name, key, upload_id, parts)

    def abort(self, key: str, upload_id: str) -> None:
        """Abort a multipart upload, which frees the space of its parts."""
        with self._faults():
            self._client._abort_multipart_upload(self.name, key, upload_id)

    @cached_property
    def _client(self) -> "Minio":
        from minio import Minio  # takes a third of a second: only uploads need it

        from aletheia_operator.clients.s3_transport import MinioTransport

        key_id, secret, token = self.endpoint.current.access_key or ("", "", None)
        url = urlsplit(self.endpoint.base)
        transport = MinioTransport(replace(self.endpoint, max_response_bytes=MAX_ANSWER_BYTES + PART_BYTES))
        try:
            client = Minio(
                url.netloc,
                key_id,
                secret,
                token,
                credentials=self._temporary_keys(),
                secure=url.scheme.lower() == "https",
                region=self._region(url.hostname or ""),
                http_client=transport,
            )
            if self.options.path_style:
                client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
            else:
                client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
            transport.allow(client.get_presigned_url("GET", self.name, "x"))  # the host that it will use for objects
        except ValueError as e:
            raise Rejected(f"DataSource {self.endpoint.name}: {e}", GapReason.NO_DATA_SOURCE) from e
        return client

    def _temporary_keys(self) -> "TemporaryKeys | None":
        """Return the provider of the operator's own identity; None if the DataSource has an access key."""
        if self.endpoint.identity is None:
            return None
        from aletheia_operator.clients.temporary_keys import TemporaryKeys

        return TemporaryKeys(self.endpoint)

    def _region(self, host: str) -> str:
        """Return the region to sign requests for: that in an AWS endpoint's name, else the DataSource's."""
        named = _AWS_REGION.search(host)
        region = self.options.region
        if named is None or named[1] == region:
            return region
        if region != DEFAULT_REGION:
            message = f"DataSource {self.endpoint.name}: its endpoint is in {named[1]}, but s3.region is {region}"
            raise Rejected(message, GapReason.NO_DATA_SOURCE)
        return str(named[1])

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Raise the library's errors as SourceError."""
        from minio.error import InvalidResponseError, S3Error, ServerError

        try:
            yield
        except SourceError:
            raise
        except S3Error as e:
            raise self._of_code(e.code or "", self.endpoint.failed(e.response.status, f"{e.code}: {e.message}")) from e
        except ServerError as e:
            raise self.endpoint.failed(e.status_code, "") from e
        except (InvalidResponseError, SyntaxError) as e:  # SyntaxError: what xml.etree raises
            raise self.endpoint.not_of("S3") from e
        except ValueError as e:
            raise Rejected(f"DataSource {self.endpoint.name}: {self.endpoint.quoter(str(e))}") from e

    def _of_code(self, code: str, error: SourceError) -> SourceError:
        """Return the error as S3's code classifies it; unchanged if the code says no more than the HTTP status."""
        if code in _PASSING_CODES:
            return Unavailable(error.message, GapReason.UNAVAILABLE, error.status)
        if code in _EXPIRED_CODES:
            return Unavailable(error.message, GapReason.FORBIDDEN, error.status)
        return error


def _digest_of(checksum: str | None) -> str:
    """Return the SHA-256 (hex) in a checksum header; '' if it is missing or not of the whole object (multipart: `...-N`)."""
    try:
        digest = base64.b64decode(checksum or "", validate=True)
    except ValueError:
        return ""
    return digest.hex() if len(digest) == hashlib.sha256().digest_size else ""
