"""Reads the encoded entries of one artifact, one entry at a time. Readers of a category are its subclasses."""

import threading
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from aletheia_operator.findings.finding import Artifact, Link
from aletheia_operator.text.batches import SEPARATOR, Encoded

F = TypeVar("F")


class ArtifactReader(Generic[F]):
    """Passes each entry to `_read_entry` with its link. `_facts` is shared by readers of other artifacts: use `_lock`."""

    def __init__(self, facts: F, lock: threading.Lock) -> None:
        self._facts = facts
        self._lock = lock
        self._artifact = Artifact()
        self._count = 0

    def begin(self, metadata: Mapping[str, Any]) -> None:
        """Take the metadata that is known before the first entry. By default nothing of it is needed."""

    def read(self, entries: Encoded) -> None:
        """Read the next entries."""
        if not entries.count:
            return
        for encoded in entries.block.split(SEPARATOR):
            link = Link(self._artifact, self._count)
            self._count += 1
            self._read_entry(encoded, link)

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        """End: the artifact is saved at `path`."""
        self._artifact.path = path

    def _read_entry(self, encoded: bytes, link: Link) -> None:
        raise NotImplementedError
