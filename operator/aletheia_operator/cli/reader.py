"""Reads one session from any place: commands that show evidence do not depend on the transport.

folder          FolderFiles
artifacts API   StreamedFiles over `downloading.Remote`
kubectl exec    StreamedFiles over `pod.PodSession`
"""

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import orjson

from aletheia_operator.cli.errors import Refused
from aletheia_operator.session import age
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.unseal import plain_path

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 32 * 1024 * 1024
BUFFER_BYTES = 256 * 1024
_METADATA = b'"metadata": '
_END = b"]}"

Blocks = Callable[[Artifact, int], Iterator[bytes]]
"""Yields the bytes of an artifact's file from an offset."""


class RawFiles(Protocol):
    """The files of a session as they are stored, sealed or not."""

    def open(self, artifact: Artifact) -> BinaryIO:
        """Open the file of an artifact for reading, seekable. Raises OSError, Refused."""
        ...


@dataclass(frozen=True)
class FolderFiles:
    """Files in a session's directory."""

    directory: Path

    def open(self, artifact: Artifact) -> BinaryIO:
        return os.fdopen(os.open(self.directory / artifact.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


@dataclass(frozen=True)
class StreamedFiles:
    """Files that are streamed in blocks. A file that is read from beginning to end is compared with the manifest's digest."""

    blocks: Blocks

    def open(self, artifact: Artifact) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Stream(artifact, self.blocks), BUFFER_BYTES))


@dataclass(frozen=True)
class SessionReader:
    """A session to read. `origin`: its source in words. A `path` names an artifact with or without `.age`."""

    manifest: Manifest
    origin: str
    raw: RawFiles
    key: Callable[[], str] | None = None
    """Returns the secret key of a sealed session. None: it is not sealed."""
    _keys: list[str] = field(default_factory=list)

    @property
    def session_id(self) -> str:
        return self.manifest.session_id

    def artifacts(self, category: str = "") -> list[Artifact]:
        """Return the artifacts below data/{category}/, for example `logs`; all artifacts if it is empty."""
        return [
            artifact for artifact in self.manifest.artifacts if not category or artifact.path.startswith(f"data/{category}/")
        ]

    def artifact(self, path: str) -> Artifact | None:
        """Return the artifact at a path; None if there is none."""
        return next((artifact for artifact in self.manifest.artifacts if path in (artifact.path, plain_path(artifact))), None)

    def open(self, path: str) -> BinaryIO:
        """Open an artifact's plain content for reading, seekable. Raises Refused, OSError, AgeError."""
        if not self.manifest.finished:
            raise Refused(f"the capture of {self.session_id} goes on: its files can be read when it has ended")
        if self.manifest.expiration_time is not None:
            raise Refused(f"the data of {self.session_id} has expired and was removed")
        artifact = self.artifact(path)
        if artifact is None:
            raise FileNotFoundError(2, "no such artifact", path)
        file = self.raw.open(artifact)
        return file if self.key is None or plain_path(artifact) == artifact.path else self._opened(file, artifact)

    def document(self, path: str) -> dict[str, Any]:
        """Return a small artifact whole, for example data/findings.json; {} if the session has none. Raises as `open`."""
        artifact = self.artifact(path)
        if artifact is None:
            return {}
        if artifact.size_bytes > MAX_DOCUMENT_BYTES:
            raise Refused(f"{path} is too large to be shown: download the session with `fetch`")
        with self.open(path) as file:
            found = _parsed(file.read(MAX_DOCUMENT_BYTES + 1), path)
        return found if isinstance(found, dict) else {}

    def metadata(self, path: str) -> Mapping[str, Any]:
        """Return an artifact's metadata. Raises as `open`."""
        with self.open(path) as file:
            file.readline(MAX_LINE_BYTES)
            line = file.readline(MAX_LINE_BYTES)
        if not line.startswith(_METADATA):
            raise Refused(f"{path} is no artifact")
        found = _parsed(line.removeprefix(_METADATA).rstrip(b",\n"), path)
        return found if isinstance(found, dict) else {}

    def entries(self, path: str) -> Iterator[Any]:
        """Yield an artifact's entries in their order, with flat memory. Raises as `open`."""
        with self.open(path) as file:
            for _ in range(3):  # source, metadata, the beginning of data
                file.readline(MAX_LINE_BYTES)
            while line := file.readline(MAX_LINE_BYTES):
                if line.startswith(_END):
                    file.read()  # to the end, so that the digest is compared
                    return
                yield _parsed(line.rstrip(b",\n"), path)

    def _opened(self, file: BinaryIO, artifact: Artifact) -> BinaryIO:
        """Decrypt a file into an unlinked temporary file."""
        assert self.key is not None
        if not self._keys:
            self._keys.append(self.key())
        plain = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            with file:
                age.decrypt(file, plain.write, age.parse_identities(self._keys[0]))
            plain.seek(0)
        except BaseException:
            plain.close()
            raise
        return cast(BinaryIO, plain)


class _Stream(io.RawIOBase):
    """A seekable file made of streamed blocks. Seeking requests a new range."""

    def __init__(self, artifact: Artifact, blocks: Blocks) -> None:
        self._artifact, self._open = artifact, blocks
        self._at, self._rest = 0, b""
        self._running: Iterator[bytes] | None = None
        self._digest: Any = hashlib.sha256()
        """None: not all bytes up to here were read."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._artifact.size_bytes}[whence]
        target = max(0, start + offset)
        if target != self._at:
            self._stop()
            self._digest = hashlib.sha256() if target == 0 else None
            self._at = target
        return target

    def readinto(self, buffer: Any) -> int:
        if not self._rest and not self._more():
            return 0
        part = self._rest[: len(buffer)]
        self._rest = self._rest[len(part) :]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._stop()
        super().close()

    def _more(self) -> bool:
        """Read the next block; return False at the end. Raises Refused if the SHA-256 of the file is not the manifest's."""
        if self._running is None:
            self._running = self._open(self._artifact, self._at)
        self._rest = next(self._running, b"")
        if self._digest is not None:
            self._digest.update(self._rest)
        if self._rest:
            return True
        if self._digest is not None and self._digest.hexdigest() != self._artifact.sha256:
            raise Refused(f"{self._artifact.path} was altered: its SHA-256 is not that of the manifest")
        return False

    def _stop(self) -> None:
        if self._running is not None and hasattr(self._running, "close"):
            self._running.close()
        self._running, self._rest = None, b""


def _parsed(content: bytes, path: str) -> Any:
    try:
        return orjson.loads(content)
    except ValueError as e:
        raise Refused(f"{path} is damaged: {e}") from e
