"""Writes and reads tar archives (POSIX.1-2001) of regular files, as streams.

Python's `tarfile` also reads links, devices, sparse files and headers of any size, which are refused here.
"""

import io
import re
import tarfile
from datetime import datetime
from typing import BinaryIO

MAX_EXTENDED_HEADER_BYTES = 4096
_BLOCK_BYTES = 1024 * 1024
_FILE_MODE = 0o640
_FOLDER_MODE = 0o750
_PAX_RECORD = re.compile(rb"(\d{1,4}) (path|size)=")
END = bytes(2 * tarfile.BLOCKSIZE)


class ArchiveError(Exception):
    """The archive cannot be made or is refused; the message says which member and why."""


def file_header(name: str, size: int, modified: datetime) -> bytes:
    """Return the header before the content of a file. `padding` comes after the content."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, _FILE_MODE, int(modified.timestamp())
    return info.tobuf(tarfile.PAX_FORMAT)


def folder_header(name: str, modified: datetime) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = tarfile.DIRTYPE, _FOLDER_MODE, int(modified.timestamp())
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of a file of `size` bytes."""
    return bytes(-size % tarfile.BLOCKSIZE)


def next_file(archive: BinaryIO) -> tuple[str, int] | None:
    """Return name and size of the next regular file; None at the end. Raises ArchiveError for other kinds of members."""
    info = _read_header(archive)
    extended: dict[bytes, bytes] = {}
    if info is not None and info.type == tarfile.XHDTYPE:
        extended = _read_extended_header(archive, info.size)
        info = _read_header(archive)
        if info is None:
            raise ArchiveError("it ends after an extended header")
    if info is None:
        return None
    try:
        name = extended.get(b"path", info.name.encode("utf-8", "surrogateescape")).decode()
        size = int(extended.get(b"size", str(info.size)))
    except ValueError as e:
        raise ArchiveError("a name in it is not UTF-8, or a size no number") from e
    shown = ascii(name[:200])
    if info.type != tarfile.REGTYPE:
        raise ArchiveError(f"{shown} is not a regular file (links, devices and directories are refused)")
    if size < 0:
        raise ArchiveError(f"{shown} has a size below zero")
    return name, size


def require_end(archive: BinaryIO) -> None:
    """Raise ArchiveError if anything follows the last file."""
    if (member := next_file(archive)) is not None:
        raise ArchiveError(f"{member[0][:200]!a} is not in the manifest")
    rest = archive.read(_BLOCK_BYTES)  # tar programs fill up to 10 KiB with zeros
    if any(rest) or archive.read(1):
        raise ArchiveError("something follows its end")


def read_exactly(archive: BinaryIO, size: int) -> bytes:
    """Read exactly `size` bytes. Raises ArchiveError if there are fewer."""
    buffer = io.BytesIO()
    while (left := size - buffer.tell()) and (part := archive.read(left)):
        buffer.write(part)
    if left:
        raise ArchiveError("it is cut off")
    return buffer.getvalue()


def _read_header(archive: BinaryIO) -> tarfile.TarInfo | None:
    block = read_exactly(archive, tarfile.BLOCKSIZE)
    if not any(block):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as e:
        raise ArchiveError("it is not a tar archive, or a header in it is damaged") from e


def _read_extended_header(archive: BinaryIO, size: int) -> dict[bytes, bytes]:
    """Read an extended header. Only a long path and a large size are accepted: our export writes nothing else."""
    if not 0 < size <= MAX_EXTENDED_HEADER_BYTES:
        raise ArchiveError(f"an extended header is larger than {MAX_EXTENDED_HEADER_BYTES} bytes")
    rest = read_exactly(archive, size)
    read_exactly(archive, len(padding(size)))
    records = {}
    while rest:
        match = _PAX_RECORD.match(rest)
        length = int(match[1]) if match else 0
        if match is None or not match.end() < length <= len(rest) or rest[length - 1 : length] != b"\n":
            raise ArchiveError("an extended header holds more than a path or a size")
        records[match[2]] = rest[match.end() : length - 1]
        rest = rest[length:]
    return records
