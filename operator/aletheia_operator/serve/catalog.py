"""Finds sessions on the volume by namespace, id and Investigation. Caches each manifest until it changes. Blocks."""

import hashlib
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import Unreadable, read_session
from aletheia_operator.session.names import is_session_id

MAX_FILES_KEPT = 100_000
"""Number of files of which size and digest are cached, about 300 bytes each. The least recently used sessions are dropped."""
_Stamp = tuple[int, int, int]
"""Inode, time of change in nanoseconds, and size of a manifest: a manifest is replaced, never edited."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list shows of one session."""

    session_id: str
    namespace: str
    name: str
    uid: str
    phase: str
    headline: str | None
    start_time: datetime
    completion_time: datetime | None
    expiration_time: datetime | None
    artifact_count: int
    gap_count: int
    size_bytes: int
    sealed: bool
    manifest_sha256: str
    version: int
    """Changes with every change of the manifest."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file in the manifest's list."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of one session."""

    session_id: str
    directory: Path
    manifest_sha256: str
    manifest_bytes: int
    finished: bool
    expired: bool
    files: Mapping[str, ListedFile]


class Catalog:
    """The sessions of a volume.

    `namespaces`: only their sessions are shown; empty: all. `with_headlines`: whether to show headlines, which may quote logs.
    """

    def __init__(self, layout: SessionLayout, namespaces: tuple[str, ...] = (), with_headlines: bool = True) -> None:
        self._layout = layout
        self._namespaces = frozenset(namespaces)
        self._with_headlines = with_headlines
        self._guard = threading.Lock()
        self._summaries: dict[str, tuple[_Stamp, Summary | None]] = {}
        self._contents: OrderedDict[tuple[str, _Stamp], Contents] = OrderedDict()

    def list(self, namespace: str | None) -> list[Summary]:
        """Return the sessions of a namespace (None: of all namespaces), sorted by id. Raises OSError."""
        with self._guard:
            self._refresh()
            found = [summary for _, summary in self._summaries.values() if summary is not None]
        shown = (summary for summary in found if namespace is None or summary.namespace == namespace)
        return sorted(shown, key=lambda summary: summary.session_id)

    def find(self, namespace: str, name: str) -> Summary | None:
        """Return the session with this id, or the newest session of the Investigation with this name; None if there is none."""
        if is_session_id(name):
            with self._guard:
                summary = self._read(name)
            return summary if summary is not None and summary.namespace == namespace else None
        named = [summary for summary in self.list(namespace) if summary.name == name]
        return max(named, key=lambda summary: summary.start_time, default=None)

    def contents(self, summary: Summary) -> Contents | None:
        """Return the files of a session; None if it was removed. Raises Unreadable."""
        stamp = _stamp(self._layout.manifest(summary.session_id))
        if stamp is None:
            return None
        key = (summary.session_id, stamp)
        with self._guard:
            if (kept := self._contents.get(key)) is not None:
                self._contents.move_to_end(key)
                return kept
        manifest, content = read_session(self._layout.session(summary.session_id))
        if manifest.investigation.namespace != summary.namespace:
            return None  # another session took the id meanwhile
        contents = _contents(self._layout.session(summary.session_id), manifest, content)
        with self._guard:
            self._contents[key] = contents
            while len(self._contents) > 1 and sum(len(kept.files) for kept in self._contents.values()) > MAX_FILES_KEPT:
                self._contents.popitem(last=False)
        return contents

    def _refresh(self) -> None:
        """Read the manifests that changed, and drop sessions that were removed."""
        try:
            names = {name for name in os.listdir(self._layout.sessions) if is_session_id(name)}
        except FileNotFoundError:
            names = set()
        for gone in self._summaries.keys() - names:
            del self._summaries[gone]
        for name in names:
            self._read(name)

    def _read(self, session_id: str) -> Summary | None:
        stamp = _stamp(self._layout.manifest(session_id))
        if stamp is None:
            self._summaries.pop(session_id, None)
            return None
        known = self._summaries.get(session_id)
        if known is None or known[0] != stamp:
            known = (stamp, self._summary(session_id, stamp))
            self._summaries[session_id] = known
        return known[1]

    def _summary(self, session_id: str, stamp: _Stamp) -> Summary | None:
        """Return the summary of a session; None if its manifest cannot be read, or its namespace is not shown."""
        try:
            manifest, content = read_session(self._layout.session(session_id))
        except Unreadable:
            return None
        owner = manifest.investigation
        if self._namespaces and owner.namespace not in self._namespaces:
            return None
        return Summary(
            session_id=session_id,
            namespace=owner.namespace,
            name=owner.name,
            uid=owner.uid,
            phase=manifest.phase,
            headline=manifest.headline if self._with_headlines else None,
            start_time=manifest.start_time,
            completion_time=manifest.completion_time,
            expiration_time=manifest.expiration_time,
            artifact_count=len(manifest.artifacts),
            gap_count=sum(gap.severity == "gap" for gap in manifest.gaps),
            size_bytes=manifest.size_bytes,
            sealed=manifest.encryption is not None,
            manifest_sha256=hashlib.sha256(content).hexdigest(),
            version=stamp[1],
        )


def _contents(directory: Path, manifest: Manifest, content: bytes) -> Contents:
    return Contents(
        session_id=manifest.session_id,
        directory=directory,
        manifest_sha256=hashlib.sha256(content).hexdigest(),
        manifest_bytes=len(content),
        finished=manifest.finished,
        expired=manifest.expiration_time is not None,
        files={artifact.path: ListedFile(artifact.size_bytes, artifact.sha256) for artifact in manifest.artifacts},
    )


def _stamp(manifest: Path) -> _Stamp | None:
    """Return the stamp of a manifest; None if it does not exist."""
    try:
        if stat.S_ISLNK(os.lstat(manifest.parent).st_mode):  # the operator makes no links; this link may lead outside
            return None
        status = os.lstat(manifest)
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None
