"""Uploads a finished session to object storage: each file under its own name, manifest.json last.

A file that the bucket has with the same digest is not sent again, so an interrupted upload can be resumed. A copy without
manifest.json is incomplete. Every file is verified after it was sent: by the SHA-256 that the server checked, or by reading it.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable, retry_delays
from aletheia_operator.clients.s3 import PART_BYTES, Bucket, part_size
from aletheia_operator.session import Manifest
from aletheia_operator.session.files import open_file
from aletheia_operator.session.manifest import Upload

SOURCE_TYPE = "s3"

log = logging.getLogger(__name__)

T = TypeVar("T")


class GivenUp(Rejected):
    """The upload was cancelled, or timed out."""

    def after(self, failure: SourceError | None) -> "GivenUp":
        """Return the error with the last failure in its message; unchanged if `failure` is None."""
        return self if failure is None else GivenUp(f"{self.message}; the last try: {failure.message}", self.reason)


@dataclass(frozen=True)
class Content:
    """Content of one file, read in pieces. `path` None: the content is in `memory`."""

    size_bytes: int
    sha256: str
    path: Path | None = None
    memory: bytes = b""

    def read(self, offset: int, length: int) -> bytes:
        """Read at most `length` bytes. Raises OSError."""
        if self.path is None:
            return self.memory[offset : offset + length]
        with open_file(self.path, buffering=0) as file:
            file.seek(offset)
            return file.read(length) or b""


@dataclass(frozen=True)
class Uploader:
    """Uploads one session. `wait` sleeps for a number of seconds, or raises GivenUp."""

    find: Callable[[], Coroutine[Any, Any, Endpoint]]
    """Returns the DataSource with its current credentials. Raises SourceError."""
    threads: Executor
    """Threads for the uploads of this process. Each holds one part in memory."""
    wait: Callable[[float], Coroutine[Any, Any, None]]
    sent: Callable[[int], None]
    """Called with the number of files that are uploaded."""
    resumes: bool = False
    """Whether an earlier process may have sent some files."""

    async def run(self, directory: Path, manifest: Manifest, encode: Callable[[Manifest], bytes]) -> Manifest:
        """Upload the files, then the manifest, which is returned as it was uploaded. Raises Rejected if it is given up.

        `encode` encodes the manifest. A request without an answer is retried. One that was refused is retried only if the
        credentials have changed since.
        """
        failure: SourceError | None = None
        check_first = self.resumes
        for delay in retry_delays():
            endpoint: Endpoint | None = None
            try:
                endpoint = await self.find()
                return await self._send(Bucket(endpoint), directory, manifest, encode, check_first)
            except Unavailable as e:
                failure = e
            except GivenUp as e:
                raise e.after(failure) from failure
            except Rejected as e:
                if e.reason is not GapReason.FORBIDDEN or endpoint is None or not await self._rotated(endpoint):
                    raise
                failure = e
            check_first = True
            log.warning("session %s is not uploaded yet: %s", manifest.session_id, failure.message)
            try:
                await self.wait(delay)
            except GivenUp as e:
                raise e.after(failure) from failure
        raise AssertionError("the delays have no end")

    async def _rotated(self, endpoint: Endpoint) -> bool:
        """Return whether the DataSource has other credentials now."""
        try:
            return (await self.find()).credentials != endpoint.credentials
        except SourceError:
            return False

    async def _send(
        self, bucket: Bucket, directory: Path, manifest: Manifest, encode: Callable[[Manifest], bytes], check_first: bool
    ) -> Manifest:
        """Send the files that the bucket does not have. `check_first`: whether it may have some: then check before sending."""
        options = bucket.options
        if options.max_session_bytes is not None and manifest.size_bytes > options.max_session_bytes:
            raise Rejected(
                f"the session has {manifest.size_bytes} bytes, more than the maxSessionBytes {options.max_session_bytes} of"
                f" DataSource {bucket.endpoint.name}",
                GapReason.TOO_LARGE,
            )
        owner = manifest.investigation
        # session ids are reused when a session is gone: the uid keeps an older copy from being overwritten
        folder = "/".join(filter(None, (options.prefix, owner.namespace, f"{manifest.session_id}_{owner.uid}")))
        for number, artifact in enumerate(manifest.artifacts):
            self.sent(number)
            content = Content(artifact.size_bytes, artifact.sha256, directory / artifact.path)
            await self._put(bucket, f"{folder}/{artifact.path}", content, check_first)
        self.sent(len(manifest.artifacts))
        upload = Upload(data_source=bucket.endpoint.name, url=f"s3://{options.bucket}/{folder}/")
        final = manifest.model_copy(update={"upload": upload})
        encoded = encode(final)
        content = Content(len(encoded), hashlib.sha256(encoded).hexdigest(), memory=encoded)
        await self._put(bucket, f"{folder}/manifest.json", content, check_first)
        return final

    async def _put(self, bucket: Bucket, key: str, content: Content, check_first: bool) -> None:
        """Send one object, unless the bucket has it. Raises SourceError, also if the bucket has other content afterwards."""
        try:
            if check_first and await self._is_there(bucket, key, content):
                return
        except GivenUp:
            raise
        except Rejected as e:  # 403 may also mean that the object is absent, and HEAD gives no reason: sending does
            log.debug("%s: %s", key, e.message)
        if content.size_bytes > PART_BYTES:
            await self._put_parts(bucket, key, content, check_first)
        else:
            if await self._in_thread(_put, bucket, key, content) == content.sha256:
                return
        if not await self._is_there(bucket, key, content):
            message = f"DataSource {bucket.endpoint.name}: what it has as {key} is not what was sent, as the digest shows"
            raise Unavailable(message, GapReason.INVALID_RESPONSE)

    async def _put_parts(self, bucket: Bucket, key: str, content: Content, check_first: bool) -> None:
        """Send one object in parts. Parts of an earlier try stay if their ETag is their MD5."""
        begun = await self._in_thread(bucket.begun, key) if check_first else {}
        upload_id, etags = max(begun.items(), key=lambda item: len(item[1]), default=("", {}))
        for other in begun.keys() - {upload_id}:
            await self._in_thread(bucket.abort, key, other)
        if not upload_id:
            upload_id = await self._in_thread(bucket.begin, key)
        size = part_size(content.size_bytes)
        stored: dict[int, str] = {}
        try:
            for number, offset in enumerate(range(0, content.size_bytes, size), start=1):
                part = _Part(bucket, key, upload_id, number, etags.get(number))
                stored[number] = await self._in_thread(part.put, content, offset, size)
        except Rejected:
            await self._abort(bucket, key, upload_id)
            raise
        try:
            await self._in_thread(bucket.complete, key, upload_id, stored)
        except Rejected as e:
            if e.reason is GapReason.NOT_FOUND:  # completed by an attempt that lost its answer: the caller checks
                return
            await self._abort(bucket, key, upload_id)
            raise

    async def _abort(self, bucket: Bucket, key: str, upload_id: str) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self.threads, bucket.abort, key, upload_id)
        except SourceError as e:
            log.warning("parts of %s stay at DataSource %s: %s", key, bucket.endpoint.name, e.message)

    async def _is_there(self, bucket: Bucket, key: str, content: Content) -> bool:
        """Return whether the server has the object with this content."""
        attested = await self._in_thread(bucket.attested, key, content.size_bytes)
        if attested != "":
            return attested == content.sha256
        digest = hashlib.sha256()
        for offset in range(0, content.size_bytes, PART_BYTES):
            length = min(PART_BYTES, content.size_bytes - offset)
            await self._in_thread(lambda *part: digest.update(bucket.read(key, *part)), offset, length)
        return digest.hexdigest() == content.sha256

    async def _in_thread(self, request: Callable[..., T], *arguments: Any) -> T:
        """Make one request in a thread, unless the upload was cancelled or timed out."""
        await self.wait(0)
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, request, *arguments)
        except OSError as e:
            raise Rejected(f"the session volume cannot be read: {e.strerror or type(e).__name__}") from e


def _put(bucket: Bucket, key: str, content: Content) -> str:
    return bucket.put(key, content.read(0, PART_BYTES), content.sha256)


@dataclass(frozen=True)
class _Part:
    """A part of a multipart upload. `etag`: of an earlier try; None without one."""

    bucket: Bucket
    key: str
    upload_id: str
    number: int
    etag: str | None

    def put(self, content: Content, offset: int, length: int) -> str:
        """Store the part, unless it is there, and return its ETag."""
        part = content.read(offset, length)
        if self.etag is not None and self.etag == hashlib.md5(part, usedforsecurity=False).hexdigest():
            return self.etag
        return self.bucket.put_part(self.key, self.upload_id, self.number, part)
