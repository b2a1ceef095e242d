"""Reads a session for the views: its manifest, and its artifacts one entry at a time. All calls block; memory is flat.

NotShown  the evidence cannot be shown: the message says why, and what to do
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import orjson

from aletheia_operator.api.source_types import SOURCE_TYPES
from aletheia_operator.report.reading import Files
from aletheia_operator.session.artifact import END, entry_lines, read_metadata
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.text.nearest import hint

MAX_ENTRY_BYTES = 64 * 1024 * 1024
"""Longer entries are not parsed; as JSON they are shown without filters."""
_OF_KUBERNETES = {"logs": "KubernetesLogs", "events": "KubernetesEvents", "objects": "KubernetesObjects"}
"""Fetchers of Kubernetes by the category of their artifacts. Those of DataSources follow from their types."""
COPY_BYTES = 1024 * 1024
BRIEF_BYTES = 512 * 1024


class NotShown(Exception):
    """The evidence cannot be shown. The message says why, and what to do."""


@dataclass
class CapturedSession:
    """A session to show. `files` opens its artifacts as plain text. `notes`: remarks for the user."""

    manifest: Manifest
    files: Files
    notes: list[str] = field(default_factory=list)

    def artifacts(self, category: str) -> list[Artifact]:
        """Return the artifacts of a category (`logs`, `timeline`, ...). Raises NotShown if there is none."""
        found = [artifact for artifact in self.manifest.artifacts if artifact.category == category]
        if self.manifest.expiration_time is not None:
            raise NotShown(f"the data of {self.manifest.session_id} has expired and was removed")
        if not self.manifest.finished:
            raise NotShown(f"the capture of {self.manifest.session_id} has not ended: wait for it, then try again")
        if not found:
            raise NotShown(f"{self.manifest.session_id} has no {category}: {self._why_missing(category)}")
        return found

    def has(self, category: str) -> bool:
        """Return whether the session has an artifact of a category."""
        return any(artifact.category == category for artifact in self.manifest.artifacts)

    def metadata(self, artifact: Artifact) -> Mapping[str, Any]:
        """Return an artifact's metadata. Raises NotShown."""
        with self._opened(artifact) as file:
            return read_metadata(file)

    def raw_entries(self, artifact: Artifact) -> Iterator[tuple[int, bytes]]:
        """Yield each entry's number and its JSON. Entries that are too long are left out, with a note. Raises NotShown."""
        with self._opened(artifact) as file:
            read_metadata(file)
            for number, line in enumerate(entry_lines(file, MAX_ENTRY_BYTES)):
                if line is None:
                    self.notes.append(f"entry {number} of {artifact.path} is too long to be shown; -o json shows it whole")
                else:
                    yield number, line
            _read_to_end(file)

    def entries(self, artifact: Artifact) -> Iterator[tuple[int, Any]]:
        """Yield the number and the value of each entry that is a JSON object. Raises NotShown."""
        for number, line in self.raw_entries(artifact):
            try:
                entry = orjson.loads(line)
            except ValueError as e:
                raise NotShown(f"{artifact.path}: entry {number} is damaged: `session verify` says what else is") from e
            if isinstance(entry, dict):
                yield number, entry

    def pieces(self, artifacts: Iterable[Artifact]) -> Iterator[bytes]:
        """Yield all entries unchanged, one on a line, in pieces of at most 1 MiB. Raises NotShown."""
        for artifact in artifacts:
            with self._opened(artifact) as file:
                read_metadata(file)
                at_start = True
                while piece := file.readline(COPY_BYTES):
                    if at_start and piece.startswith(END):
                        break
                    at_start = piece.endswith(b"\n")
                    yield piece[:-2] + b"\n" if piece.endswith(b",\n") else piece
                _read_to_end(file)

    @contextmanager
    def _opened(self, artifact: Artifact) -> Iterator[BinaryIO]:
        try:
            with self.files.open(artifact.path) as file:
                yield file
        except (OSError, ValueError) as e:
            why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            raise NotShown(f"{artifact.path} cannot be read: {why}") from e

    def why_empty(self, category: str) -> str:
        """Return why the artifacts of a category have no entries: the first gap, or that nothing was found."""
        return self._first_gap(category) or "there was none in the window"

    def _why_missing(self, category: str) -> str:
        """Return why a category has no artifact: the first gap, or that it was not requested."""
        return self._first_gap(category) or "its Investigation did not ask for them, or nothing was found"

    def _first_gap(self, category: str) -> str:
        types = [source.name for source in SOURCE_TYPES if source.writes == category]
        own = _OF_KUBERNETES.get(category)
        gaps = (gap for gap in self.manifest.gaps if gap.fetcher == own or gap.fetcher.lower() in types)
        return next((f"{gap.reason} {gap.target}: {gap.message}" for gap in gaps), "")


def _read_to_end(file: BinaryIO) -> None:
    """Read the rest of a file: a streamed one compares its digest at the end."""
    while file.read(COPY_BYTES):
        pass


@dataclass
class BriefFiles:
    """Opens a file only while a block of it is read, so that any number of files can be read at the same time."""

    files: Files

    def open(self, path: str) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Brief(self.files, path), BRIEF_BYTES))


class _Brief(io.RawIOBase):
    def __init__(self, files: Files, path: str) -> None:
        self._files, self._path, self._at = files, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._files.open(self._path) as file:
            file.seek(self._at)
            block = file.read(len(buffer))
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)


def unknown(noun: str, name: str, names: Iterable[str]) -> NotShown:
    """Return the error for a `name` that is not in `names`. It lists the nearest names, or else the first."""
    known = sorted(set(names))
    near = hint(name, known)
    if not near and known:
        more = f" and {len(known) - 8} more" if len(known) > 8 else ""
        near = f"; there are: {', '.join(known[:8])}{more}"
    return NotShown(f"there is no {noun} {name[:200]!r} in it{near}")
