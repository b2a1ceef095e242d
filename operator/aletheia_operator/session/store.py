"""The atomic store: at every moment, and after every crash, a file is either absent or whole.

A file is written beside its target under a temporary name (O_EXCL, O_NOFOLLOW), synced, renamed, and its directory synced.
While a capture runs, `journal.ndjson` has the plan and then a line for each question that is done, written before its files
get their names: after a crash the next process finishes what a line promises, goes on from there, and removes files that no
line names. The manifest is written last. One process at a time works on a session (`lock`). All calls block: call them in a
thread.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import orjson

from aletheia_operator.scratch import Scratch, write_all
from aletheia_operator.session.artifact import ArtifactWriter
from aletheia_operator.session.files import make_directory, replace, sync_directory, temporary
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.lock import lock_directory
from aletheia_operator.session.manifest import Artifact, Gap, Manifest
from aletheia_operator.session.manifest_file import NewerManifest, Unreadable, manifest_bytes, read_manifest
from aletheia_operator.session.names import MAX_SESSION_ID_DIGITS, artifact_name, session_id
from aletheia_operator.session.seal import SEALED_SUFFIX, Encryption, Seal
from aletheia_operator.session.staging import publish, staging
from aletheia_operator.text.trace_ids import TraceIds

_PASSING_ERRORS = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EAGAIN)


def find_session(layout: SessionLayout, uid: str) -> Manifest | None:
    """The manifest of the session that belongs to the Investigation with this uid; None if there is none.

    A directory whose manifest cannot be read is another's: a new session gets a longer id. Raises OSError if the volume
    fails, or if the session is this Investigation's and a newer version of the operator wrote it.
    """
    for digits in range(4, MAX_SESSION_ID_DIGITS):
        try:
            manifest = read_manifest(layout, session_id(uid, digits))
        except NewerManifest as e:
            if e.uid == uid:
                raise OSError(errno.EINVAL, str(e)) from e
        except Unreadable as e:
            if isinstance(e.__cause__, OSError) and e.__cause__.errno in _PASSING_ERRORS:
                raise e.__cause__ from e
        else:
            if manifest.investigation.uid == uid:
                return manifest
    return None


def create_session(layout: SessionLayout, template: Manifest) -> Manifest:
    """Make a session with `template` (its id replaced by a free one) as its first manifest, in one atomic step."""
    with staging(layout, template.investigation.uid) as made:
        for digits in range(4, MAX_SESSION_ID_DIGITS):
            manifest = template.model_copy(update={"session_id": session_id(template.investigation.uid, digits)})
            replace(made / "manifest.json", manifest_bytes(manifest))
            if publish(made, layout.session(manifest.session_id)):
                return manifest
    raise FileExistsError(errno.EEXIST, "every session id is taken", str(layout.sessions))


@dataclass(frozen=True)
class Done:
    """A question that is done: what it became."""

    key: str
    artifacts: tuple[Artifact, ...] = ()
    gaps: tuple[Gap, ...] = ()
    trace_ids: TraceIds | None = None
    """Those that its entries mention, where they are wanted: sealed entries cannot be read again."""


@dataclass
class Session:
    """One session, locked by this process until `close`. Raises SessionBusy if another process works on it."""

    layout: SessionLayout
    manifest: Manifest
    plan: dict[str, Any] | None = field(init=False, default=None)
    upload_begun: bool = field(init=False, default=False)
    done: dict[str, Done] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._names: set[Path] = set()
        self._directory = lock_directory(self.path)
        try:
            self._recover()
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

    def record_upload(self) -> None:
        """Keep that the upload begins, so that a later process looks for what was sent."""
        self._append_to_journal({"upload": "begun"})

    @property
    def seal(self) -> Seal | None:
        """What encrypts the session's files; None where they are plain."""
        encryption = self.manifest.encryption
        return None if encryption is None else Seal(tuple(encryption.recipients))

    def record_encryption(self, encryption: Encryption) -> None:
        """Keep how the session is sealed, before its first artifact."""
        manifest = self.manifest.model_copy(update={"encryption": encryption})
        replace(self.layout.manifest(manifest.session_id), manifest_bytes(manifest))
        self.manifest = manifest

    def record(self, done: Done) -> None:
        """Keep that a question is done, with its artifacts and gaps; then `publish` it."""
        self.done[done.key] = done
        line: dict[str, Any] = {
            "key": done.key,
            "artifacts": [artifact.to_json() for artifact in done.artifacts],
            "gaps": [gap.to_json() for gap in done.gaps],
        }
        if done.trace_ids is not None:
            line["trace_ids"] = done.trace_ids.to_json()
        self._append_to_journal(line)

    def publish(self, done: Done) -> dict[str, OSError]:
        """Give the committed artifacts of a recorded question their names; the paths of those that are lost, with the error."""
        refused = {}
        for artifact in done.artifacts:
            path = self.path / artifact.path
            try:
                _publish(path)
            except OSError as e:
                refused[artifact.path] = e
                for left in (temporary(path), path):
                    with suppress(OSError):
                        left.unlink()
        return refused

    def new_artifact(self, category: str, name: Sequence[str], source: str, now: datetime) -> "ArtifactWriter":
        """A writer for a new file `data/{category}/{name}_{timestamp}.json` that nothing else has or gets."""
        directory = self.layout.data(self.manifest.session_id, category)
        make_directory(directory)
        suffix = "" if self.seal is None else SEALED_SUFFIX
        with self._guard:
            free_name = artifact_name(name, now, lambda name: directory / (name + suffix) in self._names)
            path = directory / (free_name + suffix)
            self._names.add(path)
        return ArtifactWriter(path, str(path.relative_to(self.path)), source, self.seal)

    def new_timeline(self, source: str) -> "ArtifactWriter":
        """A writer for the session's one timeline."""
        path = self.layout.timeline(self.manifest.session_id)
        make_directory(path.parent)
        if self.seal is not None:
            path = path.with_name(path.name + SEALED_SUFFIX)
        return ArtifactWriter(path, str(path.relative_to(self.path)), source, self.seal)

    @property
    def scratch(self) -> Callable[[], Scratch]:
        """Makes places for what is on its way, encrypted where the session is sealed."""
        return partial(Scratch, self.path, self.seal is not None)

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
        content = manifest_bytes(manifest)
        replace(self.layout.manifest(manifest.session_id), content)
        self.manifest = manifest
        self._remove_journal()
        return hashlib.sha256(content).hexdigest()

    def manifest_sha256(self) -> str:
        """SHA-256 of manifest.json, in hex."""
        return hashlib.sha256(self.layout.manifest(self.manifest.session_id).read_bytes()).hexdigest()

    def _recover(self) -> None:
        """Take up what an earlier process left: whole, listed artifacts stay, all else goes."""
        try:
            self.manifest = read_manifest(self.layout, self.manifest.session_id)
        except Unreadable as e:
            raise OSError(errno.EINVAL, str(e)) from e
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
        if "upload" in entry:
            self.upload_begun = True
            return
        done = Done(
            entry["key"],
            tuple(Artifact.model_validate(artifact) for artifact in entry["artifacts"]),
            tuple(Gap.model_validate(gap) for gap in entry["gaps"]),
            TraceIds(**entry["trace_ids"]) if "trace_ids" in entry else None,
        )
        if all(self._is_whole(artifact) for artifact in done.artifacts):
            self.done[done.key] = done
        else:
            self.done.pop(done.key, None)

    def _is_whole(self, artifact: Artifact) -> bool:
        """Whether the artifact is there as it was promised, with the last step made up for where a crash came before it."""
        path = self.path / artifact.path
        if _has_digest(path, artifact.sha256):
            return True
        if not _has_digest(temporary(path), artifact.sha256):
            return False
        _publish(path)
        return True

    def _append_to_journal(self, entry: dict[str, Any]) -> None:
        with self._guard:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.layout.journal(self.manifest.session_id), flags, 0o640)
            try:
                before = os.fstat(descriptor).st_size
                try:
                    write_all(descriptor, orjson.dumps(entry) + b"\n")
                    os.fsync(descriptor)
                    if before == 0:
                        sync_directory(self.path)
                except OSError:
                    os.ftruncate(descriptor, before)  # a torn line would spoil the one after it
                    raise
            finally:
                os.close(descriptor)

    def _remove_journal(self) -> None:
        with suppress(FileNotFoundError):
            self.layout.journal(self.manifest.session_id).unlink()


def _publish(path: Path) -> None:
    """Give a committed file its name, where it has not got it."""
    with suppress(FileNotFoundError):
        os.rename(temporary(path), path)
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "the committed file is gone", str(path))
    sync_directory(path.parent)


def _has_digest(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False
