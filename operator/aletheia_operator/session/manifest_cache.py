"""Keeps what is needed of each manifest of a volume, and reads a manifest again only if its file changed. All calls block."""

import os
import stat
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from aletheia_operator.session.layout import MANIFEST, SessionLayout
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import Unreadable, read_session
from aletheia_operator.session.names import is_session_id

Extract = TypeVar("Extract")
Stamp = tuple[int, int, int]
"""Inode, time of change in nanoseconds, and size of a manifest: a manifest is replaced, never edited."""


class ManifestCache(Generic[Extract]):
    """An extract of the manifest of each session. Not for several threads at once.

    `extract` makes it of a manifest, its bytes and its stamp; None: the session is not shown. `replaced` is called with the
    former and the new extract at each change; None: there is none.
    """

    def __init__(
        self,
        layout: SessionLayout,
        extract: Callable[[Manifest, bytes, Stamp], Extract | None],
        replaced: Callable[[Extract | None, Extract | None], None] = lambda before, after: None,
    ) -> None:
        self._layout = layout
        self._extract = extract
        self._replaced = replaced
        self._kept: dict[str, tuple[Stamp | None, Extract | None]] = {}

    def __iter__(self) -> Iterator[Extract]:
        """Return the extracts, by session id."""
        return (extract for _, (_, extract) in sorted(self._kept.items()) if extract is not None)

    def get(self, session_id: str) -> Extract | None:
        """Return the extract as of the last reading; None if there is none."""
        return self._kept[session_id][1] if session_id in self._kept else None

    def put(self, session_id: str, extract: Extract) -> None:
        """Keep an extract until the manifest is read."""
        self._set(session_id, None, extract)

    def refresh(self) -> None:
        """Read the manifests that changed, and drop the sessions that were removed. Raises OSError."""
        try:
            present = {name for name in os.listdir(self._layout.sessions) if is_session_id(name)}
        except FileNotFoundError:
            present = set()
        for gone in self._kept.keys() - present:
            self._drop(gone)
        for session_id in present:
            self.read(session_id)

    def read(self, session_id: str) -> Extract | None:
        """Return the extract of a session, read again if its manifest changed; None if it has no readable manifest."""
        stamp = self.stamp_of(session_id)
        if stamp is None:
            self._drop(session_id)
            return None
        if self._kept.get(session_id, (None,))[0] != stamp:
            try:
                extract = self._extract(*read_session(self._layout.session(session_id)), stamp)
            except Unreadable:
                extract = None
            self._set(session_id, stamp, extract)
        return self.get(session_id)

    def stamp_of(self, session_id: str) -> Stamp | None:
        """Return the stamp of a session's manifest; None if it is no regular file in a directory.

        The operator makes no links: one could lead outside.
        """
        path = f"{self._layout.sessions}/{session_id}"
        try:
            directory, found = os.lstat(path), os.lstat(f"{path}/{MANIFEST}")
        except OSError:
            return None
        regular = stat.S_ISDIR(directory.st_mode) and stat.S_ISREG(found.st_mode)
        return (found.st_ino, found.st_mtime_ns, found.st_size) if regular else None

    def _set(self, session_id: str, stamp: Stamp | None, extract: Extract | None) -> None:
        self._drop(session_id)
        self._kept[session_id] = (stamp, extract)
        self._replaced(None, extract)

    def _drop(self, session_id: str) -> None:
        if session_id in self._kept:
            self._replaced(self._kept.pop(session_id)[1], None)
