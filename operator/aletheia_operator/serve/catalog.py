"""Finds sessions on the volume by namespace, id and Investigation. Caches each manifest until it changes. Blocks."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_cache import ManifestCache, Stamp
from aletheia_operator.session.manifest_file import read_session
from aletheia_operator.session.names import is_session_id

MAX_FILES_KEPT = 100_000
"""Number of files of which size and digest are cached, about 300 bytes each. The least recently used sessions are dropped."""


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
class SessionFiles:
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
        self._summaries = ManifestCache(layout, self._summary)
        self._contents: OrderedDict[tuple[str, Stamp], SessionFiles] = OrderedDict()

    def list(self, namespace: str | None) -> list[Summary]:
        """Return the sessions of a namespace (None: of all namespaces), sorted by id. Raises OSError."""
        with self._guard:
            self._summaries.refresh()
            return [summary for summary in self._summaries if namespace is None or summary.namespace == namespace]

    def find(self, namespace: str, name: str) -> Summary | None:
        """Return the session with this id, or the newest session of the Investigation with this name; None if there is none."""
        if is_session_id(name):
            with self._guard:
                summary = self._summaries.read(name)
            return summary if summary is not None and summary.namespace == namespace else None
        named = [summary for summary in self.list(namespace) if summary.name == name]
        return max(named, key=lambda summary: summary.start_time, default=None)

    def contents(self, summary: Summary) -> SessionFiles | None:
        """Return the files of a session; None if it was removed. Raises Unreadable."""
        stamp = self._summaries.stamp_of(summary.session_id)
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

    def _summary(self, manifest: Manifest, content: bytes, stamp: Stamp) -> Summary | None:
        """Return the summary of a session; None if its namespace is not shown."""
        owner = manifest.investigation
        if self._namespaces and owner.namespace not in self._namespaces:
            return None
        return Summary(
            session_id=manifest.session_id,
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


def _contents(directory: Path, manifest: Manifest, content: bytes) -> SessionFiles:
    return SessionFiles(
        session_id=manifest.session_id,
        directory=directory,
        manifest_sha256=hashlib.sha256(content).hexdigest(),
        manifest_bytes=len(content),
        finished=manifest.finished,
        expired=manifest.expiration_time is not None,
        files={artifact.path: ListedFile(artifact.size_bytes, artifact.sha256) for artifact in manifest.artifacts},
    )
