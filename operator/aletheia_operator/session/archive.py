"""Exports and imports sessions as a tar archive (POSIX.1-2001): manifest.json, then every data file in the manifest's order.

An import trusts nothing: it reads only regular files that the manifest lists, once each and in order, checks their sizes and
digests, and keeps all of them or none.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aletheia_operator.scratch import require_space, write_all
from aletheia_operator.session.copying import copy_hashed
from aletheia_operator.session.files import make_directory, open_file, open_new, removed_on_error, replace
from aletheia_operator.session.guarded_directory import GuardedDirectory
from aletheia_operator.session.layout import MANIFEST, RETENTION_RECORD, SessionLayout
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import MAX_MANIFEST_BYTES, Unreadable, parse_manifest, read_copy, read_session
from aletheia_operator.session.names import is_session_id
from aletheia_operator.session.retention_record import RetentionRecord, retention_record_bytes
from aletheia_operator.session.staging import publish, remove_leftovers, staging
from aletheia_operator.session.tar_stream import END, ArchiveError, file_header, next_file, padding, read_exactly, require_end
from aletheia_operator.session.verify import verify


def export_session(directory: Path, write: Callable[[bytes | memoryview], object]) -> Manifest:
    """Write the archive of the session in a directory, flat memory. Raises ArchiveError, Unreadable, OSError.

    Each file is checked against the manifest while it is read. If one differs, the archive ends there and cannot be imported.
    """
    manifest, content = read_session(directory)
    for part in archive_parts(manifest, content):
        if isinstance(part, bytes):
            write(part)
        else:
            write_checked(directory / part.path, part, write)
    return manifest


def archive_parts(manifest: Manifest, content: bytes) -> Iterator[bytes | Artifact]:
    """Yield the parts of the archive of a session in order: bytes, and artifacts, for the content of their files.

    `content`: of manifest.json. Raises ArchiveError if there is nothing to archive.
    """
    if not manifest.finished:
        raise ArchiveError("the capture has not ended")
    if manifest.expiration_time is not None:
        raise ArchiveError("its data has expired and was removed")
    ended = manifest.completion_time or manifest.start_time
    yield file_header(f"{manifest.session_id}/manifest.json", len(content), ended)
    yield content + padding(len(content))
    for artifact in manifest.artifacts:
        yield file_header(f"{manifest.session_id}/{artifact.path}", artifact.size_bytes, ended)
        yield artifact
        yield padding(artifact.size_bytes)
    yield END


@dataclass(frozen=True)
class Imported:
    """A session that was imported."""

    manifest: Manifest
    was_there: bool
    """Whether the same session existed already, complete. Then nothing was written."""

    @property
    def session_id(self) -> str:
        return self.manifest.session_id


def import_session(layout: SessionLayout, archive: BinaryIO, max_bytes: int | None = None) -> Imported:
    """Restore a session byte for byte under its id. On an error (ArchiveError, OSError) nothing is left."""
    name, size = next_file(archive) or _refuse("it is empty")
    session_id, _, rest = name.partition("/")
    if rest != MANIFEST or not is_session_id(session_id):
        raise ArchiveError("it does not begin with a session's manifest")
    if size > MAX_MANIFEST_BYTES:
        raise ArchiveError(f"its manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    content = read_exactly(archive, size)
    read_exactly(archive, len(padding(size)))
    manifest = _checked_manifest(content, session_id)
    with _restored(layout, manifest, content, max_bytes) as made:
        for artifact in manifest.artifacts:
            _restore(archive, f"{session_id}/{artifact.path}", artifact, made)
        require_end(archive)
    return Imported(manifest, made is None)


def import_directory(layout: SessionLayout, directory: Path, max_bytes: int | None = None) -> Imported:
    """Restore a session from a copy of its directory, for example from object storage. Raises as `import_session`.

    Files that its manifest does not list stay where they are.
    """
    manifest, content = _manifest_of(directory)
    with _restored(layout, manifest, content, max_bytes) as made:
        for artifact in manifest.artifacts:
            _copy(directory / artifact.path, artifact, made)
    return Imported(manifest, made is None)


def move_directory(layout: SessionLayout, directory: Path) -> Imported:
    """Restore a session from a directory on the same file system, by moving its files.

    The caller has compared each file with its digest. Raises as `import_session`.
    """
    manifest, content = _manifest_of(directory)
    with _restored(layout, manifest, content, None, moved=True) as made:
        if made is not None:
            for artifact in manifest.artifacts:
                _move(directory, artifact, made)
    return Imported(manifest, made is None)


def _manifest_of(directory: Path) -> tuple[Manifest, bytes]:
    """Return the manifest of a copy of a session, and its bytes. Raises ArchiveError."""
    try:
        manifest, content = read_copy(directory)
    except Unreadable as e:
        raise ArchiveError(str(e)) from e
    return _checked_manifest(content, manifest.session_id), content


@contextmanager
def _restored(
    layout: SessionLayout, manifest: Manifest, content: bytes, max_bytes: int | None, *, moved: bool = False
) -> Iterator[GuardedDirectory | None]:
    """Yield a directory for the session's files. At the end of the context it becomes the session.

    `moved`: the files are on this file system already, and take no more space.
    Yields None if the same session is there already, complete: then only check the files.
    """
    if max_bytes is not None and manifest.size_bytes > max_bytes:
        raise ArchiveError(f"it holds {manifest.size_bytes} bytes, more than the {max_bytes} that are allowed")
    if is_there(layout, manifest, content):
        yield None
        return
    make_directory(layout.sessions)
    remove_leftovers(layout)
    require_space(layout.sessions, 0 if moved else manifest.size_bytes)
    with staging(layout, f"import-{manifest.session_id}") as made, GuardedDirectory(made, lock=False) as guarded:
        yield guarded
        guarded.require()
        replace(made / MANIFEST, content)
        replace(made / RETENTION_RECORD, retention_record_bytes(RetentionRecord(keep=True, imported=True)))
        if not publish(made, layout.session(manifest.session_id)):
            raise ArchiveError(
                f"another process made {manifest.session_id} meanwhile: import it again to see whether it is the same"
            )


def is_there(layout: SessionLayout, manifest: Manifest, content: bytes) -> bool:
    """Return whether the same session is there, complete; False if nothing is. Raises ArchiveError if something else is.

    `content`: of manifest.json.
    """
    directory = layout.session(manifest.session_id)
    if not os.path.lexists(directory):
        return False
    try:
        found = verify(directory)
    except Unreadable as e:
        raise _taken(directory.name, "a session whose manifest cannot be read") from e
    holder = found.manifest.investigation
    if holder.uid != manifest.investigation.uid:
        raise _taken(directory.name, f"Investigation {holder.namespace}/{holder.name} (uid {holder.uid})")
    if found.manifest_sha256 != hashlib.sha256(content).hexdigest():
        raise _taken(directory.name, f"the same session in another state ({_state(found.manifest)})")
    if not found.intact:
        raise _taken(directory.name, "the same session, damaged (`aletheia session verify` says how)")
    return True


def _state(manifest: Manifest) -> str:
    if manifest.expiration_time is not None:
        return "its data has expired"
    return "resealed, or captured further" if manifest.finished else "its capture has not ended"


def _taken(session_id: str, holder: str) -> ArchiveError:
    return ArchiveError(f"{session_id} is taken by {holder}: delete that session first, or import into another root")


def write_checked(path: Path, artifact: Artifact, write: Callable[[bytes | memoryview], object]) -> None:
    """Write a file of a session unchanged. Raises OSError, and ArchiveError if it differs from the manifest."""
    with open_file(path, buffering=0) as file:
        if os.fstat(file.fileno()).st_size != artifact.size_bytes:
            raise ArchiveError(f"{artifact.path} was altered: its size is not the manifest's")
        copied, digest = copy_hashed(file, artifact.size_bytes, write)
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
        raise ArchiveError("its capture has not ended, or its data has expired: there is nothing to import")
    return manifest


def _restore(archive: BinaryIO, expected: str, artifact: Artifact, made: GuardedDirectory | None) -> None:
    member = next_file(archive)
    if member is None:
        raise ArchiveError(f"{artifact.path} is missing")
    name, size = member
    if name != expected:
        raise ArchiveError(f"{name[:200]!a} is not what the manifest lists next ({artifact.path})")
    if size != artifact.size_bytes:
        raise ArchiveError(f"{artifact.path} has {size} bytes, but {artifact.size_bytes} in the manifest")
    _keep(archive, artifact, made)
    read_exactly(archive, len(padding(size)))


def _copy(path: Path, artifact: Artifact, made: GuardedDirectory | None) -> None:
    try:
        file = open_file(path, buffering=0)
    except FileNotFoundError as e:
        raise ArchiveError(f"{artifact.path} is missing") from e
    with file:
        _require_file(file.fileno(), artifact)
        _keep(file, artifact, made)


def _require_file(descriptor: int, artifact: Artifact) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size != artifact.size_bytes:
        raise ArchiveError(f"{artifact.path} is not a file of {artifact.size_bytes} bytes, as the manifest says")


def _move(directory: Path, artifact: Artifact, made: GuardedDirectory) -> None:
    """Sync a listed file and move it below `made`. Raises ArchiveError if its size is not the manifest's."""
    target = made.path / artifact.path
    with open_file(directory / artifact.path) as file:
        _require_file(file.fileno(), artifact)
        os.fsync(file.fileno())
        made.make_folder(target.parent)
        os.rename(directory / artifact.path, target)
        made.check(target)(file.fileno())


def _keep(source: BinaryIO, artifact: Artifact, made: GuardedDirectory | None) -> None:
    """Write a listed file below `made`, and check its digest. `made` None: only check it."""
    if made is None:
        copied, digest = copy_hashed(source, artifact.size_bytes, lambda block: None)
    else:
        path = made.path / artifact.path
        made.make_folder(path.parent)
        descriptor = open_new(path)
        with removed_on_error(path):
            try:
                made.check(path)(descriptor)
                copied, digest = copy_hashed(source, artifact.size_bytes, lambda block: write_all(descriptor, block))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    if copied < artifact.size_bytes:
        raise ArchiveError(f"it is cut off within {artifact.path[:200]!a}")
    if digest != artifact.sha256:
        raise ArchiveError(f"{artifact.path} was altered: its digest is not the manifest's")
