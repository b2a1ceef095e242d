"""Downloads a session from the artifacts API into a folder. Keeps complete files, and resumes interrupted ones.

Several files are downloaded in parallel, but each is one stream, so that its digest is known with its last byte. Parallel
ranges of one file would not be faster: they need `kubectl proxy`, which takes twice the time of `kubectl get --raw` for each
byte, and the server limits the speed of all streams together.
"""

import hashlib
import http.client
import os
import random
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import orjson

from aletheia_operator.api.paths import ARTIFACTS_ROOT
from aletheia_operator.cli.errors import NO_RESOURCE, Refused, with_remedy
from aletheia_operator.cli.kubectl import failure_of_proxy
from aletheia_operator.clients.errors import FORBIDDEN, MISSING, OVERLOADED, PARTIAL_CONTENT, PASSING, WHOLE_BODY
from aletheia_operator.scratch import write_all
from aletheia_operator.session.files import make_directory
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import MAX_MANIFEST_BYTES, Unreadable, parse_manifest

PARALLEL_FILES = 4
LARGE_BYTES = 64 * 1024 * 1024
"""Size of files from which a `kubectl` of its own costs less than it saves."""
BLOCK_BYTES = 1024 * 1024
WRITTEN_AHEAD_BYTES = 32 * 1024 * 1024
"""The kernel begins to write a file to the disk each time so many bytes of it have come."""
DELAYS_SECONDS = (0.5, 1, 2, 4, 8, 15, 30, 30)
"""Delays after attempts that received no byte: enough time for the operator's pod to be replaced.

An attempt that received some bytes is followed by the next at once.
"""
KEPT = "What was fetched is kept: run the command again to go on"
BUSY_SECONDS = 600.0
"""Longest total delay while the server answers that too many downloads run (429)."""
MAX_BUSY_DELAY_SECONDS = 10.0


class Body(Protocol):
    """Bytes that come over the network. `read` returns b'' at their end, and raises OSError if they are cut."""

    def read(self, amount: int, /) -> bytes: ...


class Response(Body, Protocol):
    """The part of http.client.HTTPResponse that is needed."""

    status: int

    def getheader(self, name: str, /) -> str | None: ...


Get = Callable[[str, Mapping[str, str]], AbstractContextManager[Response]]
"""Requests a path with headers, and opens the response."""
GetWhole = Callable[[str], AbstractContextManager[Body]]
"""Requests a path, and opens the body of a successful response. Else `read` raises OSError."""


class NoSession(Refused):
    """The API has no such session."""


class NoApi(Refused):
    """The cluster has no artifacts API, or it is down."""


class _Cut(Exception):
    """The attempt failed, but another may succeed. The message says why."""


class _Busy(_Cut):
    """Too many downloads run. `delay`: seconds to wait before the next attempt."""

    def __init__(self, message: str, delay: float) -> None:
        super().__init__(message)
        self.delay = delay


class _Unavailable(_Cut):
    """The server is temporarily unable to answer."""


@dataclass(frozen=True)
class Remote:
    """One session of the artifacts API. `name`: the session's id, or the name of its Investigation."""

    get: Get
    namespace: str
    name: str
    sleep: Callable[[float], object] | None = None
    """Waits for some seconds. None: until `stopped` at most."""
    delays: Sequence[float] = DELAYS_SECONDS
    get_whole: GetWhole | None = None
    """Faster than `get`, for the first attempt at a large file. None: `get` is used for all."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when a download has failed: its other files are no longer wanted."""

    @property
    def path(self) -> str:
        return f"{ARTIFACTS_ROOT}/namespaces/{quote(self.namespace, safe='')}/sessions/{quote(self.name, safe='')}"

    def manifest(self) -> tuple[Manifest, bytes]:
        """Return the manifest and its bytes. Raises Refused."""
        content = b"".join(self._blocks("manifest", 0, None))
        try:
            return parse_manifest(content), content
        except Unreadable as e:
            raise Refused(f"the server's answer is no manifest: {e}") from e

    def download(self, directory: Path, manifest: Manifest, report: Callable[[int], None] = lambda size: None) -> None:
        """Download every artifact of a finished session into a directory. Raises Refused.

        `report` is called with the number of bytes of each block, from several threads. Downloaded bytes stay after an error.
        """
        with ThreadPoolExecutor(PARALLEL_FILES) as threads:
            running = [
                threads.submit(self._file, directory / artifact.path, artifact, report) for artifact in manifest.artifacts
            ]
            try:
                for done in as_completed(running):
                    done.result()
            except BaseException:
                self.stopped.set()
                for waiting in running:
                    waiting.cancel()
                raise

    def _file(self, path: Path, artifact: Artifact, report: Callable[[int], None]) -> None:
        """Download a file, or its rest. If the part that was there is damaged, download all of it. Raises Refused."""
        make_directory(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0) as file:
            there = min(file.seek(0, os.SEEK_END), artifact.size_bytes)
            if self._rest(file, path, artifact, there, report) == artifact.sha256:
                return
            if there:
                report(-artifact.size_bytes)
                if self._rest(file, path, artifact, 0, report) == artifact.sha256:
                    return
        path.unlink()
        raise Refused(
            f"{artifact.path} was altered: its SHA-256 is not that of the manifest. `aletheia session verify` on the volume"
            " tells whether it is damaged there"
        )

    def _rest(self, file: FileIO, path: Path, artifact: Artifact, start: int, report: Callable[[int], None]) -> str:
        """Write a file from `start` to its end. Returns the SHA-256 of all of it, in hex. Raises Refused."""
        file.truncate(start)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256")
        report(start)
        begun = written = start
        with closing(self._file_blocks(artifact, start, self.get_whole)) as blocks:
            for block in blocks:
                if self.stopped.is_set():
                    raise Refused("another file could not be fetched")
                _write(file.fileno(), block, path)
                digest.update(block)
                report(len(block))
                written += len(block)
                if written - begun >= WRITTEN_AHEAD_BYTES:
                    _begin_writing(file.fileno(), begun, written)
                    begun = written
        return digest.hexdigest()

    def blocks(self, artifact: Artifact, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of an artifact's file from `start`, and resume after interruptions. Raises Refused."""
        return self._file_blocks(artifact, start, None)

    def _file_blocks(self, artifact: Artifact, start: int, get_whole: GetWhole | None) -> Generator[bytes]:
        if start < artifact.size_bytes:
            is_large = start == 0 and artifact.size_bytes >= LARGE_BYTES
            yield from self._blocks("files/" + quote(artifact.path), start, artifact, get_whole if is_large else None)

    def _blocks(self, part: str, start: int, artifact: Artifact | None, get_whole: GetWhole | None = None) -> Generator[bytes]:
        """Yield the bytes of a file of the session from `start`, and resume after interruptions.

        `artifact`: None for the manifest; `get_whole`: for the first attempt. Raises Refused.
        """
        at, failures, busy = start, iter(self.delays), 0.0
        size = None if artifact is None else artifact.size_bytes
        while True:
            before, first = at, get_whole
            get_whole = None
            try:
                for block in self._once(part, at, artifact) if first is None else self._whole(part, first):
                    at += len(block)
                    if at > (MAX_MANIFEST_BYTES if size is None else size):
                        raise Refused(f"{part}: the server sends more than the manifest says")
                    yield block
                if size is None or at == size:
                    return
                raise _Cut("the answer ended early")
            except _Busy as e:
                busy += e.delay
                if busy > BUSY_SECONDS:
                    raise Refused(f"{part}: {e}. {KEPT}") from e
                self._pause(e.delay)
            except (_Cut, OSError, http.client.HTTPException) as e:
                if size is None and at:
                    raise Refused(f"{part}: the answer was cut: {e}") from e
                if at > before or first is not None:
                    failures, busy = iter(self.delays), 0.0
                    continue
                delay = next(failures, None)
                if delay is None:
                    if size is None and isinstance(e, _Unavailable):
                        raise NoApi(f"the artifacts API does not answer: {e}") from e
                    raise Refused(str(e) if size is None else f"{part}: {e}. {KEPT}") from e
                self._pause(delay)

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt. Raises Refused if the download was stopped."""
        (self.sleep or self.stopped.wait)(seconds)
        if self.stopped.is_set():
            raise Refused("another file could not be fetched")

    def _whole(self, part: str, get_whole: GetWhole) -> Iterator[bytes]:
        with get_whole(f"{self.path}/{part}") as body:
            yield from _read(body)

    def _once(self, part: str, at: int, artifact: Artifact | None) -> Iterator[bytes]:
        headers = {}
        if at and artifact is not None:
            headers = {"Range": f"bytes={at}-", "If-Range": f'"{artifact.sha256}"'}
        with self.get(f"{self.path}/{part}", headers) as answer:
            if answer.status not in WHOLE_BODY | PARTIAL_CONTENT:
                self._refuse(answer)
            if at and answer.status not in PARTIAL_CONTENT:
                raise Refused(f"{part} has changed on the server: remove what was fetched, and begin again")
            yield from _read(answer)

    def _refuse(self, answer: Response) -> None:
        """Raise the error for an unsuccessful response: _Cut if another attempt may succeed, else Refused."""
        body = answer.read(64 * 1024)
        text = body.decode(errors="replace")
        try:
            message = str(orjson.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = text.strip()[:500]
        if failure := failure_of_proxy(answer.status, text[:500]):
            raise _Cut(failure)
        if answer.status in OVERLOADED:
            raise _Busy(f"the server answers {answer.status}: {message}", _retry_after(answer))
        if answer.status in PASSING:
            raise _Unavailable(f"the server answers {answer.status}: {message}")
        if answer.status in MISSING and any(words in text for words in NO_RESOURCE):
            raise NoApi("this cluster has no artifacts API: its chart value is artifactsApi.enabled")
        if answer.status in MISSING:
            raise NoSession(f"{self.namespace}/{self.name}: {message}")
        if answer.status in FORBIDDEN:
            raise Refused(with_remedy(message, f"in namespace {self.namespace}"))
        raise Refused(f"{self.namespace}/{self.name}: {message or answer.status}")


def _read(body: Body) -> Iterator[bytes]:
    while block := body.read(BLOCK_BYTES):
        yield block


def _begin_writing(descriptor: int, start: int, end: int) -> None:
    """Let the kernel write a part of a file to the disk while the rest comes: then the sync at the end is short."""
    if sys.platform == "linux":
        os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_DONTNEED)


def _write(descriptor: int, block: bytes, path: Path) -> None:
    """Write a whole block. Raises Refused, for example if the disk is full."""
    try:
        write_all(descriptor, block)
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}. What was fetched is kept: make room, then run the command again to go on") from e


def _retry_after(answer: Response) -> float:
    """Return the server's Retry-After in seconds, within bounds, with a random part: other clients wait as well."""
    try:
        seconds = float(answer.getheader("Retry-After") or 1)
    except ValueError:
        seconds = 1.0
    return min(max(seconds, 0.5), MAX_BUSY_DELAY_SECONDS) * random.uniform(1, 2)  # noqa: S311 - no secret depends on it
