"""Makes a redacted copy of a finished session: a second session with the same entries and fewer secrets.

The manifest of the new session has the digest of the old manifest. There is no report: `aletheia session report` makes one. A
sealed session is sealed again with the same keys: files are decrypted in memory, and data that does not fit into memory is
encrypted before it reaches the disk. All calls block.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from aletheia_operator.logs.forms import recognise
from aletheia_operator.redact import Lines, Redactor
from aletheia_operator.redact.documents import redact_document
from aletheia_operator.redact.specs import redact_spec
from aletheia_operator.scratch import Scratches
from aletheia_operator.session.archive import write_checked
from aletheia_operator.session.artifact import END, HEAD_LINES, EntryBuffer, metadata_of, write_artifact
from aletheia_operator.session.files import replace, temporary
from aletheia_operator.session.guarded_directory import GuardedDirectory
from aletheia_operator.session.layout import MANIFEST, SessionLayout
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest import Artifact, Gap, Manifest, RedactionRecord
from aletheia_operator.session.manifest_file import is_report_path, manifest_bytes, read_session
from aletheia_operator.session.names import MAX_SESSION_ID_DIGITS, session_id
from aletheia_operator.session.seal import Seal
from aletheia_operator.session.staging import publish, staging
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.session.unseal import decrypt_artifact
from aletheia_operator.text.batches import Encoded
from aletheia_operator.text.encoding import dumps

BATCH_BYTES = 512 * 1024
_LABELS = ("container", "run", "previous", "labels", "stream")
"""Fields of a log's entry that identify its stream of lines."""


def redact_session(layout: SessionLayout, old_id: str, redactor: Redactor, key: str | None) -> Manifest:
    """Make a redacted copy of a session, and return its manifest. `key`: the session's secret key, None if it is not sealed.

    Raises ArchiveError for a session that is unfinished, expired or damaged; AgeError, SessionBusy, Unreadable, OSError.
    Nothing is left if it fails.
    """
    directory = layout.session(old_id)
    with locked(directory):
        old, content = read_session(directory)
        if not old.finished or old.expiration_time is not None:
            raise ArchiveError(f"{old_id} is not redacted: its capture has not ended, or its data has expired")
        sha256 = hashlib.sha256(content).hexdigest()
        with staging(layout, f"redact-{old_id}") as made, GuardedDirectory(made, lock=False) as guarded:
            scratches = Scratches(made, encrypted=True)
            try:
                copies = [
                    _Copy(directory, guarded, old, artifact, redactor.another(), scratches).make(key)
                    for artifact in old.artifacts
                    if not is_report_path(artifact.path)
                ]
            finally:
                scratches.close()
            manifest = _manifest(old, sha256, copies, redactor)
            for digits in range(4, MAX_SESSION_ID_DIGITS):
                named = manifest.model_copy(update={"session_id": session_id(f"{sha256} {redactor.level}", digits)})
                guarded.require()
                replace(made / MANIFEST, manifest_bytes(named))
                if publish(made, layout.session(named.session_id)):
                    return named
    raise ArchiveError("every session id is taken")


def _manifest(old: Manifest, sha256: str, artifacts: list[Artifact], redactor: Redactor) -> Manifest:
    words = redactor.another()

    def gap(old_gap: Gap) -> Gap:
        return old_gap.model_copy(update={"target": words.text(old_gap.target), "message": words.text(old_gap.message)})

    spec = deepcopy(old.spec)
    redact_spec(spec, words)
    before = old.redaction.rules if old.redaction else []
    rules = list(dict.fromkeys([*before, *redactor.rule_names]))
    return old.model_copy(
        update={
            "spec": spec,
            "artifacts": artifacts,
            "gaps": [gap(old_gap) for old_gap in old.gaps],
            "findings": [finding.model_copy(update={"message": words.text(finding.message)}) for finding in old.findings],
            "headline": words.text(old.headline) if old.headline else old.headline,
            "upload": None,
            "redaction": RedactionRecord(level=redactor.level.value, rules=rules, of_manifest=sha256),
        }
    )


@dataclass
class _Copy:
    """Copies one artifact, redacted. Reads it in chunks, so that only a few entries are in memory."""

    directory: Path
    guarded: GuardedDirectory
    manifest: Manifest
    artifact: Artifact
    redactor: Redactor
    scratches: Scratches
    _rest: bytes = b""
    _head: list[bytes] = field(default_factory=list)
    _batch: list[bytes] = field(default_factory=list)
    _batch_bytes: int = 0
    _streams: dict[bytes, Lines] = field(default_factory=dict)

    def make(self, key: str | None) -> Artifact:
        self._entries = EntryBuffer(self.scratches)
        try:
            self._read(key)
            self._flush()
            return self._write()
        finally:
            self._entries.close()

    def _read(self, key: str | None) -> None:
        path = self.directory / self.artifact.path
        if key is None:
            write_checked(path, self.artifact, self._take)
        else:
            write_checked(path, self.artifact, lambda block: None)
            decrypt_artifact(self.directory, self.artifact, key, self._take)
        if self._rest or len(self._head) != HEAD_LINES:
            raise ArchiveError(f"{self.artifact.path} has a form that this version cannot read")

    def _take(self, chunk: bytes | memoryview) -> None:
        lines = (self._rest + bytes(chunk)).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if len(self._head) < HEAD_LINES:
                self._head.append(line)
            elif not line.startswith(END):
                self._add(dumps(self._redacted(orjson.loads(line.removesuffix(b",")))))

    def _add(self, entry: bytes) -> None:
        self._batch.append(entry)
        self._batch_bytes += len(entry)
        if self._batch_bytes > BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._entries.add(Encoded(b",\n".join(self._batch), bytes(len(self._batch))))
        self._batch, self._batch_bytes = [], 0

    def _redacted(self, entry: Any) -> Any:
        if isinstance(entry, dict) and isinstance(entry.get("line"), str):
            self._redact_line(entry)
        elif self.artifact.category == "objects":
            redact_spec(entry, self.redactor)
        else:
            redact_document(entry, self.redactor)
        return entry

    def _redact_line(self, entry: dict[str, Any]) -> None:
        """Redact an entry of a log: the line as in a capture, then the message and fields again from the redacted line."""
        stream = dumps([entry.get(name) for name in _LABELS], sort_keys=True)
        lines = self._streams.setdefault(stream, self.redactor.lines())
        exact = "line_base64" in entry
        raw = b64decode(entry["line_base64"]) if exact else entry["line"].encode("utf-8", "surrogatepass")
        redacted = lines.feed(raw)
        if redacted is not raw:
            entry["line"] = redacted.decode("utf-8", "replace")
            if exact:
                entry["line_base64"] = b64encode(redacted).decode()
            _, message, fields, _ = recognise(entry["line"])
            for name, value in (("message", message), ("fields", fields)):
                if entry.pop(name, None) is not None and value is not None:
                    entry[name] = value
        others = {name: value for name, value in entry.items() if name not in ("line", "line_base64", "message", "fields")}
        redact_document(others, self.redactor)
        entry.update(others)

    def _write(self) -> Artifact:
        source = orjson.loads(self._head[0].removeprefix(b'{"source": ').removesuffix(b","))
        metadata = metadata_of(self._head[1])
        words = self.redactor.another()
        redact_document(metadata, words)
        redactions = dict(self.artifact.redactions)
        for rule, number in self.redactor.counts.items():
            redactions[rule] = redactions.get(rule, 0) + number
        metadata["redactions"] = redactions
        path = self.guarded.path / self.artifact.path
        self.guarded.make_folder(path.parent)
        encryption = self.manifest.encryption
        seal = Seal(tuple(encryption.recipients)) if encryption else None
        size_bytes, sha256 = write_artifact(path, source, metadata, self._entries, seal, self.guarded.check(temporary(path)))
        temporary(path).rename(path)
        changes = {"size_bytes": size_bytes, "sha256": sha256, "redactions": redactions}
        text: Callable[[str], str] = words.text
        shown = {name: text(getattr(self.artifact, name)) for name in ("target", "summary", "counts")}
        return self.artifact.model_copy(update=changes | shown)
