"""Sessions as one stream: a tar archive (POSIX.1-2001) of manifest.json, then every data file in the manifest's order.

Import takes nothing on trust: it reads regular files alone, only those that the manifest lists, once each and in order,
holds each against its size and digest, and keeps all of it or nothing.
"""

import io
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from aletheia_operator.scratch import require_space, write_all
from aletheia_operator.session.copying import copy_hashed
from aletheia_operator.session.files import make_directory, open_new, replace
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import MAX_MANIFEST_BYTES, Unreadable, parse_manifest, read_copy, read_session
from aletheia_operator.session.names import is_session_id
from aletheia_operator.session.retention_record import RetentionRecord, retention_record_bytes
from aletheia_operator.session.staging import publish, staging

MAX_EXTENDED_HEADER_BYTES = 4096
_BLOCK_BYTES = 1024 * 1024
_FILE_MODE = 0o640
_PAX_RECORD = re.compile(rb"(\d{1,4}) (path|size)=")


class ArchiveError(Exception):
    """The archive cannot be made or is refused; the message says which member and why."""


def export_session(directory: Path, write: Callable[[bytes | memoryview], object]) -> Manifest:
    """Write the archive of the session in a directory, flat memory. Raises ArchiveError, Unreadable, OSError.

    Every file is held against the manifest as it is read; where one differs the archive breaks off and cannot be imported.
    """
    manifest, content = read_session(directory)
    if not manifest.finished:
        raise ArchiveError("the capture has not ended")
    if manifest.expiration_time is not None:
        raise ArchiveError("its data has expired and was removed")
    write(_header(f"{manifest.session_id}/manifest.json", len(content), manifest))
    write(content + _padding(len(content)))
    for artifact in manifest.artifacts:
        write(_header(f"{manifest.session_id}/{artifact.path}", artifact.size_bytes, manifest))
        _write_checked(directory / artifact.path, artifact, write)
        write(_padding(artifact.size_bytes))
    write(bytes(2 * tarfile.BLOCKSIZE))
    return manifest


def import_session(layout: SessionLayout, archive: BinaryIO, max_bytes: int | None = None) -> Manifest:
    """Restore a session byte for byte under its id. Raises ArchiveError or OSError, and leaves nothing then."""
    name, size = _next_member(archive) or _refuse("it is empty")
    session_id, _, rest = name.partition("/")
    if rest != "manifest.json" or not is_session_id(session_id):
        raise ArchiveError("it does not begin with a session's manifest")
    if size > MAX_MANIFEST_BYTES:
        raise ArchiveError(f"its manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    content = _read_exactly(archive, size)
    _read_exactly(archive, len(_padding(size)))
    manifest = _checked_manifest(content, session_id)
    with _restored(layout, manifest, content, max_bytes) as made:
        for artifact in manifest.artifacts:
            _restore(archive, f"{session_id}/{artifact.path}", artifact, made / artifact.path)
        _require_end(archive)
    return manifest


def import_directory(layout: SessionLayout, directory: Path, max_bytes: int | None = None) -> Manifest:
    """Restore a session from a copy of its directory, as it is downloaded from object storage. Raises as `import_session`.

    Files that its manifest does not list stay where they are.
    """
    try:
        manifest, content = read_copy(directory)
    except Unreadable as e:
        raise ArchiveError(str(e)) from e
    if not is_session_id(manifest.session_id):
        raise ArchiveError("its manifest names no session")
    _checked_manifest(content, manifest.session_id)
    with _restored(layout, manifest, content, max_bytes) as made:
        for artifact in manifest.artifacts:
            _copy(directory / artifact.path, artifact, made / artifact.path)
    return manifest


@contextmanager
def _restored(layout: SessionLayout, manifest: Manifest, content: bytes, max_bytes: int | None) -> Iterator[Path]:
    """A directory that becomes the session once its files are in it, if nothing went wrong."""
    if max_bytes is not None and manifest.size_bytes > max_bytes:
        raise ArchiveError(f"it holds {manifest.size_bytes} bytes, more than the {max_bytes} that are allowed")
    _require_free_id(layout, manifest.session_id)
    make_directory(layout.sessions)
    require_space(layout.sessions, manifest.size_bytes)
    with staging(layout, f"import-{manifest.session_id}") as made:
        yield made
        replace(made / "manifest.json", content)
        replace(made / "custody.json", retention_record_bytes(RetentionRecord(keep=True, imported=True)))
        if not publish(made, layout.session(manifest.session_id)):
            _require_free_id(layout, manifest.session_id)


def _header(name: str, size: int, manifest: Manifest) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, _FILE_MODE
    info.mtime = int((manifest.completion_time or manifest.start_time).timestamp())
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _write_checked(path: Path, artifact: Artifact, write: Callable[[bytes | memoryview], object]) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if os.fstat(descriptor).st_size != artifact.size_bytes:
            raise ArchiveError(f"{artifact.path} was altered: its size is not the manifest's")
        copied, digest = copy_hashed(cast("BinaryIO", file), artifact.size_bytes, write)
    if copied < artifact.size_bytes or digest != artifact.sha256:
        raise ArchiveError(f"{artifact.path} was altered: its digest is not the manifest's")


def _refuse(message: str) -> tuple[str, int]:
    raise ArchiveError(message)


def _checked_manifest(content: bytes, session_id: str) -> Manifest:
    try:
        manifest = parse_manifest(content)
    except Unreadable as e:
        raise ArchiveError(str(e)) from e
    if manifest.session_id != session_id:
        raise ArchiveError("its manifest is of another session than its name says")
    if not manifest.finished or manifest.expiration_time is not None:
        raise ArchiveError("its manifest is of a capture that has not ended, or whose data has expired")
    return manifest


def _require_free_id(layout: SessionLayout, session_id: str) -> None:
    directory = layout.session(session_id)
    if not directory.exists():
        return
    try:
        holder = read_session(directory)[0].investigation
        who = f"Investigation {holder.namespace}/{holder.name} (uid {holder.uid})"
    except Unreadable:
        who = "a session whose manifest cannot be read"
    raise ArchiveError(f"{session_id} is held by {who}: delete that session first, or import into another root")


def _next_member(archive: BinaryIO) -> tuple[str, int] | None:
    """Name and size of the next regular file; None at the end. Raises ArchiveError for whatever else it is."""
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


def _read_header(archive: BinaryIO) -> tarfile.TarInfo | None:
    block = _read_exactly(archive, tarfile.BLOCKSIZE)
    if not any(block):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as e:
        raise ArchiveError("it is not a tar archive, or a header in it is damaged") from e


def _read_extended_header(archive: BinaryIO, size: int) -> dict[bytes, bytes]:
    """A long path or a large size: the things that our own export puts there."""
    if not 0 < size <= MAX_EXTENDED_HEADER_BYTES:
        raise ArchiveError(f"an extended header is larger than {MAX_EXTENDED_HEADER_BYTES} bytes")
    rest = _read_exactly(archive, size)
    _read_exactly(archive, len(_padding(size)))
    records = {}
    while rest:
        match = _PAX_RECORD.match(rest)
        length = int(match[1]) if match else 0
        if match is None or not match.end() < length <= len(rest) or rest[length - 1 : length] != b"\n":
            raise ArchiveError("an extended header holds more than a path or a size")
        records[match[2]] = rest[match.end() : length - 1]
        rest = rest[length:]
    return records


def _restore(archive: BinaryIO, expected: str, artifact: Artifact, target: Path) -> None:
    member = _next_member(archive)
    if member is None:
        raise ArchiveError(f"{artifact.path} is missing")
    name, size = member
    if name != expected:
        raise ArchiveError(f"{name[:200]!a} is not what the manifest lists next ({artifact.path})")
    if size != artifact.size_bytes:
        raise ArchiveError(f"{artifact.path} has {size} bytes, but {artifact.size_bytes} in the manifest")
    _keep(archive, artifact, target)
    _read_exactly(archive, len(_padding(size)))


def _copy(path: Path, artifact: Artifact, target: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as e:
        raise ArchiveError(f"{artifact.path} is missing") from e
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != artifact.size_bytes:
            raise ArchiveError(f"{artifact.path} is not a file of {artifact.size_bytes} bytes, as the manifest says")
        _keep(cast("BinaryIO", file), artifact, target)


def _keep(source: BinaryIO, artifact: Artifact, target: Path) -> None:
    """Write what the manifest lists to a new file, held against its digest."""
    make_directory(target.parent)
    descriptor = open_new(target)
    try:
        copied, digest = copy_hashed(source, artifact.size_bytes, lambda block: write_all(descriptor, block))
        if copied < artifact.size_bytes:
            raise ArchiveError(f"it is cut off within {artifact.path[:200]!a}")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if digest != artifact.sha256:
        raise ArchiveError(f"{artifact.path} was altered: its digest is not the manifest's")


def _require_end(archive: BinaryIO) -> None:
    member = _next_member(archive)
    if member is not None:
        raise ArchiveError(f"{member[0][:200]!a} is not in the manifest")
    rest = archive.read(_BLOCK_BYTES)  # tar programs fill up to 10 KiB with zeros
    if any(rest) or archive.read(1):
        raise ArchiveError("something follows its end")


def _read_exactly(archive: BinaryIO, size: int) -> bytes:
    buffer = io.BytesIO()
    while (left := size - buffer.tell()) and (part := archive.read(left)):
        buffer.write(part)
    if left:
        raise ArchiveError("it is cut off")
    return buffer.getvalue()
