"""The atomic store of sessions: at every moment, and after every crash, a file is either absent or complete.

A file is written beside its target under a temporary name (O_EXCL, O_NOFOLLOW), synced, renamed, and its directory synced.
While a capture runs, `journal.ndjson` has the first manifest, the plan, and a line for each question that is done, synced
before its files get their names. After a crash the next process renames the files of these lines, removes files that no line
names, and goes on. The manifest is written last. One process at a time works on a session (`lock`). All calls block: call them
in a thread.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from aletheia_operator.scratch import Scratches
from aletheia_operator.session import journal
from aletheia_operator.session.artifact import EntryBuffer, WrittenFile, write_artifact, write_file
from aletheia_operator.session.files import replace, sync_directory, temporary
from aletheia_operator.session.guarded_directory import GuardedDirectory
from aletheia_operator.session.journal import CaptureProgress, Done
from aletheia_operator.session.layout import JOURNAL, MANIFEST, REPORT, SessionLayout
from aletheia_operator.session.lock import SessionBusy, locked
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import NewerManifest, Unreadable, manifest_bytes, parse_manifest, read_manifest
from aletheia_operator.session.names import MAX_SESSION_ID_DIGITS, artifact_name, session_id
from aletheia_operator.session.publishing import Publisher
from aletheia_operator.session.seal import SEALED_SUFFIX, Encryption, Seal
from aletheia_operator.session.staging import publish, staging

_NO_FILE_ERRORS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)
"""Errors that mean that there is no manifest. Every other error is a failure of the volume."""


def find_session(layout: SessionLayout, uid: str) -> Manifest | None:
    """Return the manifest of the session of the Investigation with this uid; None if it has none.

    A directory with an unreadable manifest counts as another Investigation's: a new session gets a longer id. Raises OSError
    if the volume fails, or if a newer version of the operator wrote this Investigation's session.
    """
    longest = session_id(uid, MAX_SESSION_ID_DIGITS)
    sessions = str(layout.sessions)
    for length in range(len(session_id(uid, 4)), len(longest)):
        found_id = longest[:length]
        if not _exists(f"{sessions}/{found_id}"):
            continue
        manifest: Manifest | None = None
        try:
            manifest = read_manifest(layout, found_id)
        except NewerManifest as e:
            if e.uid == uid:
                raise OSError(errno.EINVAL, str(e)) from e
        except Unreadable as e:
            if isinstance(e.__cause__, OSError) and e.__cause__.errno not in _NO_FILE_ERRORS:
                raise e.__cause__ from e
            manifest = _restored(layout, found_id, uid)
        if manifest is not None and manifest.investigation.uid == uid:
            return manifest
    return None


def _exists(path: str) -> bool:
    """Return whether there is something of this name; True, too, if that is unknown."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _restored(layout: SessionLayout, found_id: str, uid: str) -> Manifest | None:
    """Write the first manifest of an Investigation's session again, from its journal; None if it has none.

    Only the journal is synced: a crash of the machine may lose the content of the manifest's file. That of a sealed session is
    synced, and differs from the first one.
    """
    content = journal.first_manifest(layout.journal(found_id))
    try:
        manifest = parse_manifest(content or b"")
    except Unreadable:
        return None
    is_sealed = (manifest.spec.get("session") or {}).get("encryption") is not None
    if manifest.session_id != found_id or manifest.investigation.uid != uid or is_sealed:
        return None
    with suppress(SessionBusy), locked(layout.session(found_id)):
        replace(layout.manifest(found_id), manifest_bytes(manifest))
    return manifest


def create_session(layout: SessionLayout, template: Manifest) -> Manifest:
    """Make a session in one atomic step, and return its manifest: `template` with a free id."""
    with staging(layout, template.investigation.uid) as made:
        for digits in range(4, MAX_SESSION_ID_DIGITS):
            manifest = template.model_copy(update={"session_id": session_id(template.investigation.uid, digits)})
            replace(made / MANIFEST, manifest_bytes(manifest), sync=False)  # `publish` syncs the names of both
            replace(made / JOURNAL, journal.first_line(manifest), sync=False)  # synced before anything is captured
            if publish(made, layout.session(manifest.session_id)):
                return manifest
    raise FileExistsError(errno.EEXIST, "every session id is taken", str(layout.sessions))


@dataclass
class Session:
    """One session, locked by this process until `close`. Raises SessionBusy if another process works on it."""

    layout: SessionLayout
    manifest: Manifest
    progress: CaptureProgress = field(init=False, default_factory=CaptureProgress)

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._names: set[Path] = set()
        self._scratches: set[Scratches] | None = set()  # None: the session is closed
        self._scratches_guard = threading.Lock()  # not held for long: the event loop takes it
        self._publisher = Publisher()
        self._is_journal_synced = True
        self._is_journal_named = False  # whether a crash of the machine cannot lose the journal's name
        self._directory = GuardedDirectory(self.path)
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
        """Close the remaining scratch files, and unlock the session."""
        with self._scratches_guard:
            scratches, self._scratches = self._scratches, None
        for scratch in scratches or ():
            scratch.close()
        self._directory.close()

    @property
    def path(self) -> Path:
        return self.layout.session(self.manifest.session_id)

    @property
    def done(self) -> dict[str, Done]:
        """Questions that are done, by key."""
        return self.progress.done

    def record_redaction(self, salt: bytes) -> None:
        """Record the salt of the key of redaction, so that a later process makes the same tokens."""
        self._append_to_journal({"redaction": salt.hex()}, sync=False)  # the plan's line syncs it

    def record_plan(self, plan: dict[str, Any]) -> None:
        """Record the plan, so that a later process asks the same questions. `sync_journal` syncs it."""
        self.progress.plan = plan
        self._append_to_journal({"plan": plan}, sync=False)

    def sync_journal(self) -> None:
        """Sync the journal, unless nothing was added since its last sync."""
        if not self._is_journal_synced:
            self._append_to_journal()

    def record_begun(self, key: str) -> None:
        """Record that a question is being asked, so that a question that kills the process is not repeated forever."""
        self._append_to_journal({"begun": key}, sync=False)

    def record_stopped(self, *keys: str) -> None:
        """Record that questions were left because the process was asked to stop: they did not kill it."""
        self._append_to_journal(*({"stopped": key} for key in keys), sync=False)

    def record_interruption(self, reason: str) -> None:
        """Record why the capture ends early, so that a later process reports the same reason."""
        self.progress.interruption = reason
        self._append_to_journal({"interrupted": reason})

    def record_upload(self) -> None:
        """Record that the upload begins, so that a later process looks for files that were sent."""
        self._append_to_journal({"upload": "begun"})

    @property
    def seal(self) -> Seal | None:
        """The seal that encrypts the session's files; None if they are plain."""
        encryption = self.manifest.encryption
        return None if encryption is None else Seal(tuple(encryption.recipients))

    def record_encryption(self, encryption: Encryption) -> None:
        """Record how the session is sealed. Call it before the first artifact."""
        manifest = self.manifest.model_copy(update={"encryption": encryption})
        replace(self.layout.manifest(manifest.session_id), manifest_bytes(manifest))
        self.manifest = manifest

    def record(self, done: Done, sync: bool = True) -> None:
        """Record that a question is done. Call `publish` afterwards. `sync`: False if a crash of the machine may lose it."""
        self.done[done.key] = done
        self._append_to_journal(done.to_line(sealed=self.seal is not None), sync=sync)

    def publish(self, done: Done) -> dict[str, OSError]:
        """Give the artifacts of a recorded question their names. Returns the paths of lost artifacts, with the errors."""
        refused = {}
        for artifact in done.artifacts:
            try:
                self._publisher.publish(self.path / artifact.path)
            except OSError as e:
                refused[artifact.path] = e
        return refused

    def scratches(self, room: Callable[[int], None] | None = None) -> Scratches:
        """Return a maker of scratch files for one task. They are encrypted if the session is sealed.

        `close` closes those that are left. `room`: see `Scratches`.
        """
        scratches = Scratches(self.path, self.seal is not None, room)
        with self._scratches_guard:
            if self._scratches is None:
                raise OSError(errno.EBADF, "the session is closed")
            self._scratches.add(scratches)
        return scratches

    def close_scratches(self, scratches: Scratches, *, may_block: bool = True) -> bool:
        """Close the scratch files of a task that has ended. `may_block` False: returns False if it must block to close them."""
        if not scratches.close_unused():
            if not may_block:
                return False
            scratches.close()
        with self._scratches_guard:
            if self._scratches is not None:
                self._scratches.discard(scratches)
        return True

    def write(
        self, category: str, name: Sequence[str], source: str, metadata: dict[str, Any], entries: EntryBuffer, now: datetime
    ) -> WrittenFile:
        """Write an artifact under a unique name. `record` and `publish` make it appear. Raises OSError.

        The name is `data/{category}/{name}_{timestamp}.json`, or `data/{category}.json` if the category has only one file.
        """
        path = self._new_path(category, name, now)
        size_bytes, sha256 = write_artifact(path, source, metadata, entries, self.seal, self._directory.check(temporary(path)))
        return WrittenFile(str(path.relative_to(self.path)), size_bytes, sha256)

    def write_report(self, page: bytes) -> WrittenFile:
        """Write the report. `record` and `publish` make it appear. Raises OSError."""
        report = self.layout.report(self.manifest.session_id)
        path = report.with_name(report.name + (SEALED_SUFFIX if self.seal else ""))
        size_bytes, sha256 = write_file(path, [page], len(page), self.seal, self._directory.check(temporary(path)))
        return WrittenFile(str(path.relative_to(self.path)), size_bytes, sha256)

    def _new_path(self, category: str, name: Sequence[str], now: datetime) -> Path:
        suffix = SEALED_SUFFIX if self.seal else ""
        single = self.layout.single(self.manifest.session_id, category)
        directory = single.parent if single else self.layout.data(self.manifest.session_id, category)
        self._directory.make_folder(directory, self._publisher.changed)
        if single is not None:
            return single.with_name(single.name + suffix)
        with self._guard:
            free_name = artifact_name(name, now, lambda name: directory / (name + suffix) in self._names)
            path = directory / (free_name + suffix)
            self._names.add(path)
        return path

    def manifest_so_far(self, order: Iterable[str]) -> Manifest:
        """Return the manifest with all that is done so far. `order`: keys of questions."""
        return _so_far(self.manifest, self.done, order)

    def finish(self, manifest: Manifest) -> str:
        """Write the final manifest, and return its SHA-256 in hex. Raises OSError."""
        self._directory.require()
        self._publisher.sync()
        content = manifest_bytes(manifest)
        replace(self.layout.manifest(manifest.session_id), content)
        self.manifest = manifest
        self.layout.journal(self.manifest.session_id).unlink(missing_ok=True)
        return hashlib.sha256(content).hexdigest()

    def _recover(self) -> None:
        """Resume after an earlier process: keep complete artifacts of the journal, and remove all other files."""
        try:
            self.manifest = read_manifest(self.layout, self.manifest.session_id)
        except Unreadable as e:
            raise OSError(errno.EINVAL, str(e)) from e
        path = self.layout.journal(self.manifest.session_id)
        if self.manifest.finished:
            path.unlink(missing_ok=True)
            return
        _remove_planted(self.path / "data", path)
        self._is_journal_named = journal.is_new(path)
        self.progress = journal.read(path, lambda kept: self._publisher.is_whole(self.path / kept.path, kept.sha256))
        self._names = {self.path / artifact.path for done in self.done.values() for artifact in done.artifacts}
        for name in self._names:
            self._publisher.named_before(name, self.path)
        _remove_others([*(self.path / "data").rglob("*"), *self.path.glob(f"{REPORT}*")], self._names)

    def _append_to_journal(self, *lines: dict[str, Any], sync: bool = True) -> None:
        with self._guard:
            self._directory.require()
            journal.append(self.layout.journal(self.manifest.session_id), lines, sync)
            self._is_journal_synced = sync
            if sync and not self._is_journal_named:
                sync_directory(self.path)
                self._is_journal_named = True


def _so_far(manifest: Manifest, done: Mapping[str, Done], order: Iterable[str]) -> Manifest:
    ranks = {key: rank for rank, key in enumerate(order)}
    answers = sorted(done.values(), key=lambda answer: ranks.get(answer.key, len(ranks)))
    verdict = next((answer.verdict for answer in answers if answer.verdict is not None), None)
    return manifest.model_copy(
        update={
            "headline": verdict.headline if verdict else None,
            "findings": verdict.findings if verdict else [],
            "artifacts": [artifact for answer in answers for artifact in answer.artifacts],
            "gaps": [gap for answer in answers for gap in answer.gaps],
        }
    )


def _remove_planted(*paths: Path) -> None:
    """Remove paths that are links: the operator makes none, and they may lead outside."""
    for path in paths:
        if path.is_symlink():
            path.unlink()


def _remove_others(paths: Iterable[Path], kept: set[Path]) -> None:
    """Remove the files and links that are not kept. Directories stay."""
    for path in paths:
        if path not in kept and (path.is_symlink() or not path.is_dir()):
            path.unlink()
