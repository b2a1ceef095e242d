"""The atomic store: at every moment, and after every crash, a file is either absent or whole.

A file is written beside its target under a temporary name (O_EXCL, O_NOFOLLOW), synced, renamed, and its directory synced.
While a capture runs, `journal.ndjson` has the plan and then a line for each question that is done; after a crash the next
process goes on from there, and removes files that no line names. The manifest is written last. One process at a time holds
a session (flock). All calls block: call them in a thread.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Self

import orjson

from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Artifact, Gap, Manifest
from aletheia_operator.session.names import MAX_SESSION_ID_DIGITS, artifact_name, session_id

SPOOL_MEMORY_BYTES = 1024 * 1024
_COPY_BYTES = 1024 * 1024
_TEMPORARY_SUFFIX = ".part"


class SessionBusy(Exception):
    """Another process holds the session."""


def find_session(layout: SessionLayout, uid: str) -> Manifest | None:
    """The manifest of the session that belongs to the Investigation with this uid, if there is one."""
    for digits in range(4, MAX_SESSION_ID_DIGITS):
        candidate = session_id(uid, digits)
        if not layout.session(candidate).exists():
            return None
        manifest = read_manifest(layout, candidate)
        if manifest is not None and manifest.investigation.uid == uid:
            return manifest
    return None


def read_manifest(layout: SessionLayout, session: str) -> Manifest | None:
    """A session's manifest; None where there is none."""
    try:
        return Manifest.model_validate_json(layout.manifest(session).read_bytes())
    except FileNotFoundError:
        return None


def create_session(layout: SessionLayout, template: Manifest) -> Manifest:
    """Make a session with `template` (its id replaced by a free one) as its first manifest, in one atomic step."""
    _make_directory(layout.sessions)
    staging = Path(tempfile.mkdtemp(prefix=".new-", dir=layout.sessions))
    try:
        staging.chmod(0o750)
        for digits in range(4, MAX_SESSION_ID_DIGITS):
            manifest = template.model_copy(update={"session_id": session_id(template.investigation.uid, digits)})
            _replace(staging / "manifest.json", _manifest_bytes(manifest))
            try:
                os.rename(staging, layout.session(manifest.session_id))  # fails where a session already lies
            except OSError as e:
                if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                continue
            _sync_directory(layout.sessions)
            return manifest
        raise FileExistsError(errno.EEXIST, "every session id is taken", str(layout.sessions))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@dataclass(frozen=True)
class Done:
    """A question that is done: what it became."""

    key: str
    artifacts: tuple[Artifact, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass
class Session:
    """One session, held by this process until `close`. Raises SessionBusy where another holds it."""

    layout: SessionLayout
    manifest: Manifest
    plan: dict[str, Any] | None = field(init=False, default=None)
    done: dict[str, Done] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._names: set[Path] = set()
        self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover()
        except BlockingIOError as e:
            self.close()
            raise SessionBusy(self.manifest.session_id) from e
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    @property
    def path(self) -> Path:
        return self.layout.session(self.manifest.session_id)

    def record_plan(self, plan: dict[str, Any]) -> None:
        """Keep what is going to be asked, so that a later process asks the same."""
        self.plan = plan
        self._append_to_journal({"plan": plan})

    def record(self, done: Done) -> None:
        """Keep that a question is done, with its artifacts and gaps."""
        self.done[done.key] = done
        line = {
            "key": done.key,
            "artifacts": [artifact.to_json() for artifact in done.artifacts],
            "gaps": [gap.to_json() for gap in done.gaps],
        }
        self._append_to_journal(line)

    def new_artifact(self, category: str, name: Sequence[str], source: str, now: datetime) -> "ArtifactWriter":
        """A writer for a new file `data/{category}/{name}_{timestamp}.json` that nothing else has or gets."""
        directory = self.layout.data(self.manifest.session_id, category)
        _make_directory(directory)

        with self._guard:
            path = directory / artifact_name(name, now, lambda name: directory / name in self._names)
            self._names.add(path)
        return ArtifactWriter(path, str(path.relative_to(self.path)), source)

    def new_timeline(self, source: str) -> "ArtifactWriter":
        """A writer for the session's one timeline."""
        path = self.layout.timeline(self.manifest.session_id)
        _make_directory(path.parent)
        return ArtifactWriter(path, str(path.relative_to(self.path)), source)

    def manifest_so_far(self, order: Iterable[str]) -> Manifest:
        """The manifest with what is done, questions in the `order` of their keys."""
        ranks = {key: rank for rank, key in enumerate(order)}
        answers = list(self.done.values())
        answers.sort(key=lambda done: ranks.get(done.key, len(ranks)))
        return self.manifest.model_copy(
            update={
                "artifacts": [artifact for done in answers for artifact in done.artifacts],
                "gaps": [gap for done in answers for gap in done.gaps],
            }
        )

    def finish(self, manifest: Manifest) -> str:
        """Write the final manifest; its SHA-256 in hex."""
        content = _manifest_bytes(manifest)
        _replace(self.layout.manifest(manifest.session_id), content)
        self.manifest = manifest
        self._remove_journal()
        return hashlib.sha256(content).hexdigest()

    def manifest_sha256(self) -> str:
        """SHA-256 of manifest.json, in hex."""
        return hashlib.sha256(self.layout.manifest(self.manifest.session_id).read_bytes()).hexdigest()

    def _recover(self) -> None:
        """Take up what an earlier process left: whole, listed artifacts stay, all else goes."""
        manifest = read_manifest(self.layout, self.manifest.session_id)
        if manifest is not None:
            self.manifest = manifest
        if self.manifest.finished:
            self._remove_journal()
            return
        for planted in (self.path / "data", self.layout.journal(self.manifest.session_id)):
            if planted.is_symlink():  # never made by us, and followed it would lead outside
                planted.unlink()
        self._read_journal()
        listed = {artifact.path for done in self.done.values() for artifact in done.artifacts}
        for file in (self.path / "data").rglob("*"):
            if file.is_dir() and not file.is_symlink():
                continue
            if str(file.relative_to(self.path)) in listed:
                self._names.add(file)
            else:
                file.unlink()

    def _read_journal(self) -> None:
        journal = self.layout.journal(self.manifest.session_id)
        content = journal.read_bytes() if journal.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(journal, len(whole))
        for line in whole.splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a damaged line costs its own question alone
                self._take_up(orjson.loads(line))

    def _take_up(self, entry: dict[str, Any]) -> None:
        """One line of the journal. Raises ValueError, KeyError or TypeError where it is none of ours."""
        if "plan" in entry:
            self.plan = entry["plan"]
            return
        done = Done(
            entry["key"],
            tuple(Artifact.model_validate(artifact) for artifact in entry["artifacts"]),
            tuple(Gap.model_validate(gap) for gap in entry["gaps"]),
        )
        if all(_is_whole(self.path / artifact.path, artifact) for artifact in done.artifacts):
            self.done[done.key] = done

    def _append_to_journal(self, entry: dict[str, Any]) -> None:
        with self._guard:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.layout.journal(self.manifest.session_id), flags, 0o640)
            with os.fdopen(descriptor, "ab", buffering=0) as journal:
                before = os.fstat(descriptor).st_size
                line = orjson.dumps(entry) + b"\n"
                try:
                    if journal.write(line) != len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, before)  # a torn line would hide the lines after it
                    raise

    def _remove_journal(self) -> None:
        with suppress(FileNotFoundError):
            self.layout.journal(self.manifest.session_id).unlink()


class ArtifactWriter:
    """Writes one artifact: `append` entries, then `commit` with what is known at the end, or `discard`.

    The metadata stands first in the file but is known last, so entries wait in a spool: memory, then an unlinked file.
    """

    def __init__(self, path: Path, relative_path: str, source: str) -> None:
        self.relative_path = relative_path
        self.count = 0
        self.size_bytes = 0
        self._path = path
        self._source = source
        self._spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY_BYTES, dir=str(path.parent))  # noqa: SIM115

    def append(self, entries: Sequence[Any]) -> None:
        """Add entries, each on its own line of the file."""
        if not entries:
            return
        block = b",\n".join(map(_encode, entries))
        self._spool.write(b",\n" + block if self.count else block)
        self.count += len(entries)
        self.size_bytes += len(block)

    def commit(self, metadata: dict[str, Any]) -> tuple[int, str]:
        """Make the file appear, whole, under its name; its size in bytes and its SHA-256 in hex."""
        head = b'{"source": %s,\n"metadata": %s,\n"data": [\n' % (_encode(self._source), _encode(metadata))
        tail = b"\n]}\n" if self.count else b"]}\n"
        made: list[Path] = []
        digest = hashlib.sha256()
        size = 0
        temporary = self._path.with_name(self._path.name + _TEMPORARY_SUFFIX)
        try:
            with os.fdopen(_open_new(temporary), "wb", buffering=0) as file:
                made.append(temporary)
                self._spool.seek(0)
                for chunk in chain([head], iter(lambda: self._spool.read(_COPY_BYTES), b""), [tail]):
                    _write_all(file.fileno(), chunk)
                    digest.update(chunk)
                    size += len(chunk)
                os.fsync(file.fileno())
            os.rename(temporary, self._path)
            made.append(self._path)
            _sync_directory(self._path.parent)
        except BaseException:
            for file_made in made:
                with suppress(OSError):
                    file_made.unlink()
            raise
        finally:
            self.discard()
        return size, digest.hexdigest()

    def discard(self) -> None:
        self._spool.close()


def _encode(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a lone surrogate, or an integer past 64 bits: the standard encoder escapes or spells them
        return json.dumps(value).encode()


def _manifest_bytes(manifest: Manifest) -> bytes:
    return orjson.dumps(manifest.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _is_whole(path: Path, artifact: Artifact) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256
    except OSError:
        return False


def _replace(path: Path, content: bytes) -> None:
    """Write a small file in one atomic step, in place of the one that may be there."""
    temporary = path.with_name(path.name + _TEMPORARY_SUFFIX)
    with suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = _open_new(temporary)
    try:
        try:
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
        _sync_directory(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _open_new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_directory(path: Path) -> None:
    """The directory and its parents, for the operator's user and group alone."""
    if not path.exists():
        _make_directory(path.parent)
        path.mkdir(mode=0o750, exist_ok=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
