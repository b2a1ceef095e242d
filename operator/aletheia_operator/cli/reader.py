"""Reads one session from any place: commands that show evidence do not depend on the transport.

folder          FolderFiles
artifacts API   StreamedFiles over `downloading.Remote`
kubectl exec    StreamedFiles over `pod.PodSession`
"""

import errno
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from aletheia_operator.cli.errors import Refused
from aletheia_operator.session import age
from aletheia_operator.session.files import open_file_below
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.unseal import plain_path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
BUFFER_BYTES = 256 * 1024

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
        return open_file_below(self.directory, artifact.path)


@dataclass(frozen=True)
class StreamedFiles:
    """Files that are streamed in blocks. A file that is read from beginning to end is compared with the manifest's digest."""

    blocks: Blocks

    def open(self, artifact: Artifact) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Stream(artifact, self.blocks), BUFFER_BYTES))


@dataclass(frozen=True)
class SessionReader:
    """A session to read. A `path` names an artifact with or without `.age`."""

    manifest: Manifest
    raw: RawFiles
    key: Callable[[], str] | None = None
    """Returns the secret key of a sealed session. None: it is not sealed."""

    @property
    def session_id(self) -> str:
        return self.manifest.session_id

    @cached_property
    def _artifacts(self) -> dict[str, Artifact]:
        """The artifacts by both of their paths. The first of a path counts."""
        found: dict[str, Artifact] = {}
        for artifact in self.manifest.artifacts:
            found.setdefault(artifact.path, artifact)
            found.setdefault(plain_path(artifact), artifact)
        return found

    def artifact(self, path: str) -> Artifact | None:
        """Return the artifact at a path; None if there is none."""
        return self._artifacts.get(path)

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
        if self.key is None or plain_path(artifact) == artifact.path:
            return file
        with file:
            identities = self.unlock()
            return decrypted(lambda write: age.decrypt(file, write, identities))

    def unlock(self) -> list[Any]:
        """Return what opens a sealed session, [] for another. Its key is read once. Raises Refused, AgeError."""
        return self._identities

    @cached_property
    def _identities(self) -> list[Any]:
        return [] if self.key is None else age.parse_identities(self.key())


def decrypted(decrypt: Callable[[age.Write], None]) -> BinaryIO:
    """Return a file without a name, at its beginning, with all that `decrypt` wrote."""
    plain = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        decrypt(plain.write)
        plain.seek(0)
    except OSError as e:
        plain.close()
        if e.errno in NO_ROOM:
            raise Refused(
                f"{tempfile.gettempdir()}: {e.strerror}: set TMPDIR to a folder with room for the decrypted file"
            ) from e
        raise
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
        if self._at + len(self._rest) > self._artifact.size_bytes:
            raise Refused(f"{self._artifact.path}: more is sent than the manifest says")
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
