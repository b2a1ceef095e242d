"""Downloads a session from the artifacts API into a folder. Keeps complete files, and resumes interrupted ones."""

import http.client
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import orjson

from aletheia_operator.api.paths import ARTIFACTS_ROOT
from aletheia_operator.cli.errors import Refused
from aletheia_operator.clients.errors import PASSING
from aletheia_operator.scratch import write_all
from aletheia_operator.session.files import make_directory
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import MAX_MANIFEST_BYTES, Unreadable, parse_manifest

PARALLEL_FILES = 4
BLOCK_BYTES = 1024 * 1024
DELAYS_SECONDS = (0.5, 1, 2, 4, 8, 15, 30, 30)
"""Delays after attempts that received no byte: enough time for the operator's pod to be replaced.

An attempt that received some bytes is followed by the next at once.
"""
BUSY_SECONDS = 600.0
"""Longest total delay while the server answers that too many downloads run (429)."""
MAX_BUSY_DELAY_SECONDS = 10.0


class Answer(Protocol):
    """The part of http.client.HTTPResponse that is needed."""

    status: int

    def read(self, amount: int, /) -> bytes: ...
    def getheader(self, name: str, /) -> str | None: ...


Get = Callable[[str, Mapping[str, str]], AbstractContextManager[Answer]]
"""Requests a path with headers, and opens the response."""


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
    sleep: Callable[[float], None] = time.sleep
    delays: Sequence[float] = DELAYS_SECONDS

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
        stopped = threading.Event()
        with ThreadPoolExecutor(PARALLEL_FILES) as threads:
            running = [
                threads.submit(self._file, directory / artifact.path, artifact, report, stopped)
                for artifact in manifest.artifacts
            ]
            try:
                for done in as_completed(running):
                    done.result()
            except BaseException:
                stopped.set()
                for waiting in running:
                    waiting.cancel()
                raise

    def _file(self, path: Path, artifact: Artifact, report: Callable[[int], None], stopped: threading.Event) -> None:
        make_directory(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0) as file:
            there = min(file.seek(0, os.SEEK_END), artifact.size_bytes)
            file.truncate(there)
            report(there)
            file.seek(there)
            for block in self.blocks(artifact, there):
                if stopped.is_set():
                    return
                _write(file.fileno(), block, path)
                report(len(block))

    def blocks(self, artifact: Artifact, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of an artifact's file from `start`, and resume after interruptions. Raises Refused."""
        if start < artifact.size_bytes:
            yield from self._blocks("files/" + quote(artifact.path), start, artifact)

    def _blocks(self, part: str, start: int, artifact: Artifact | None) -> Iterator[bytes]:
        """Yield the bytes of a file of the session from `start`, and resume after interruptions.

        `artifact`: None for the manifest. Raises Refused.
        """
        at, failures, busy = start, iter(self.delays), 0.0
        size = None if artifact is None else artifact.size_bytes
        while True:
            before = at
            try:
                for block in self._once(part, at, artifact):
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
                    raise Refused(f"{part}: {e}. What was fetched is kept: run the command again to go on") from e
                self.sleep(e.delay)
            except (_Cut, OSError, http.client.HTTPException) as e:
                if size is None and at:
                    raise Refused(f"{part}: the answer was cut: {e}") from e
                if at > before:
                    failures, busy = iter(self.delays), 0.0
                    continue
                delay = next(failures, None)
                if delay is None:
                    if size is None and isinstance(e, _Unavailable):
                        raise NoApi(f"the artifacts API does not answer: {e}") from e
                    raise Refused(f"{part}: {e}. What was fetched is kept: run the command again to go on") from e
                self.sleep(delay)

    def _once(self, part: str, at: int, artifact: Artifact | None) -> Iterator[bytes]:
        headers = {}
        if at and artifact is not None:
            headers = {"Range": f"bytes={at}-", "If-Range": f'"{artifact.sha256}"'}
        with self.get(f"{self.path}/{part}", headers) as answer:
            if answer.status not in (200, 206):
                self._refuse(answer)
            if at and answer.status != 206:
                raise Refused(f"{part} has changed on the server: remove what was fetched, and begin again")
            while block := answer.read(BLOCK_BYTES):
                yield block

    def _refuse(self, answer: Answer) -> None:
        """Raise the error for an unsuccessful response: _Cut if another attempt may succeed, else Refused."""
        body = answer.read(64 * 1024)
        text = body.decode(errors="replace")
        try:
            message = str(orjson.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = text.strip()[:500]
        if answer.status == 429:
            raise _Busy(f"the server answers 429: {message}", _retry_after(answer))
        if answer.status in PASSING:
            raise _Unavailable(f"the server answers {answer.status}: {message}")
        if answer.status == 404 and "the server could not find the requested resource" in text:
            raise NoApi("this cluster has no artifacts API: its chart value is artifactsApi.enabled")
        if answer.status == 404:
            raise NoSession(f"{self.namespace}/{self.name}: {message}")
        raise Refused(f"{self.namespace}/{self.name}: {message or answer.status}")


def _write(descriptor: int, block: bytes, path: Path) -> None:
    """Write a whole block. Raises Refused, for example if the disk is full."""
    try:
        write_all(descriptor, block)
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}. What was fetched is kept: make room, then run the command again to go on") from e


def _retry_after(answer: Answer) -> float:
    """Return the server's Retry-After in seconds, within bounds, with a random part: other clients wait as well."""
    try:
        seconds = float(answer.getheader("Retry-After") or 1)
    except ValueError:
        seconds = 1.0
    return min(max(seconds, 0.5), MAX_BUSY_DELAY_SECONDS) * random.uniform(1, 2)  # noqa: S311 - no secret depends on it
