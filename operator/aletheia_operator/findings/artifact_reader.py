"""Base class of readers: reads the encoded entries of one artifact, one entry at a time."""

import threading
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from aletheia_operator.findings.finding import Artifact, Link
from aletheia_operator.text.batches import SEPARATOR, Encoded

F = TypeVar("F")


class ArtifactReader(Generic[F]):
    """Calls `_read_entry` for each entry, with its link. Several readers share `_facts`: hold `_lock` to change it."""

    def __init__(self, facts: F, lock: threading.Lock) -> None:
        self._facts = facts
        self._lock = lock
        self._artifact = Artifact()
        self._count = 0

    def begin(self, metadata: Mapping[str, Any]) -> None:
        """Read the metadata that is known before the first entry. Does nothing by default."""

    def read(self, entries: Encoded) -> None:
        """Read the next entries."""
        if not entries.count:
            return
        for encoded in entries.block.split(SEPARATOR):
            link = Link(self._artifact, self._count)
            self._count += 1
            self._read_entry(encoded, link)

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        """End reading. `path`: where the artifact was saved; `metadata`: the complete metadata."""
        self._artifact.path = path

    def _read_entry(self, encoded: bytes, link: Link) -> None:
        raise NotImplementedError
