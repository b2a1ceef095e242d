"""Reads what the API sends: any range of a session's files and of its archive. Calls block."""

import os
import stat
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from aletheia_operator.serve.catalog import ListedFile, SessionFiles
from aletheia_operator.session.archive import archive_parts
from aletheia_operator.session.files import open_below
from aletheia_operator.session.layout import MANIFEST
from aletheia_operator.session.manifest_file import read_session

BLOCK_BYTES = 256 * 1024


class ContentUnavailable(Exception):
    """The bytes cannot be read. The message says why."""


class ContentAltered(ContentUnavailable):
    """A file is no longer as the manifest lists it."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file below a directory, with the size that the manifest lists."""

    directory: Path
    path: str
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes. Raises ContentUnavailable; ContentAltered if the size of the file has changed."""
        try:
            descriptor = open_below(self.directory, self.path)
        except OSError as e:
            raise ContentUnavailable(f"{self.path} cannot be read: {e.strerror}") from e
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
                raise ContentAltered(f"{self.path} was altered: its size is not the manifest's")
            content = os.pread(descriptor, size, offset)
        except OSError as e:
            raise ContentUnavailable(f"{self.path} cannot be read: {e.strerror}") from e
        finally:
            os.close(descriptor)
        if len(content) != size:
            raise ContentAltered(f"{self.path} was altered: it is shorter than before")
        return content


@dataclass(frozen=True, slots=True)
class BytesPart:
    """Bytes in memory."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, size: int) -> bytes:
        return self.content[offset : offset + size]


@dataclass(frozen=True)
class Content:
    """A body of known size, made of parts. No file stays open between calls of `read`."""

    parts: tuple[FilePart | BytesPart, ...]
    etag: str
    """Entity tag without quotes: changes with every change of the body."""
    media_type: str
    file_name: str
    _ends: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", list(accumulate(part.size for part in self.parts)))

    @property
    def size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, offset: int, limit: int) -> bytes:
        """Return at least one and at most `limit` bytes from `offset`, which is below `size`. Raises ContentUnavailable."""
        number = bisect_right(self._ends, offset)
        part = self.parts[number]
        start = self._ends[number] - part.size
        return part.read(offset - start, min(limit, self._ends[number] - offset))


def manifest_content(contents: SessionFiles) -> Content:
    """Return manifest.json. Raises ContentUnavailable if it was replaced meanwhile."""
    part = FilePart(contents.directory, MANIFEST, contents.manifest_bytes)
    return Content((part,), contents.manifest_sha256, "application/json", MANIFEST)


def file_content(contents: SessionFiles, path: str, listed: ListedFile) -> Content:
    """Return a file that the manifest lists."""
    part = FilePart(contents.directory, path, listed.size_bytes)
    return Content((part,), listed.sha256, _media_type(path), path.rpartition("/")[2])


def archive_content(contents: SessionFiles) -> Content:
    """Return the archive of a session, as `aletheia session export` writes it. Raises ArchiveError, Unreadable."""
    parts = tuple(
        BytesPart(part) if isinstance(part, bytes) else FilePart(contents.directory, part.path, part.size_bytes)
        for part in archive_parts(*read_session(contents.directory))
    )
    return Content(_without_empty(parts), f"{contents.manifest_sha256}.tar", "application/x-tar", f"{contents.session_id}.tar")


def _without_empty(parts: Iterable[FilePart | BytesPart]) -> tuple[FilePart | BytesPart, ...]:
    return tuple(part for part in parts if part.size)


def _media_type(path: str) -> str:
    """Return the media type of a file. Never text/html: the API server's proxy rewrites the links in it, and so its bytes."""
    return "application/json" if path.endswith(".json") else "application/octet-stream"
