"""Reads entries while they are saved: moments for the timeline, facts for the findings, and trace ids.

Entries of a sealed session cannot be read back, so the thread that saves them reads them. If a reader fails, no evidence is
lost: the fault is logged once for each capture, and entries that were not read become a gap.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from aletheia_operator.fetchers.base import Document, Entries, Question
from aletheia_operator.findings import Evidence
from aletheia_operator.findings import Reader as FactReader
from aletheia_operator.report import LoadedDocument
from aletheia_operator.session import Origin, encoded, read_artifact
from aletheia_operator.text.batches import LEVEL_CODES, SEPARATOR, Encoded
from aletheia_operator.text.trace_ids import TraceIds
from aletheia_operator.timeline import Reader, Timeline

log = logging.getLogger(__name__)

ENTRIES_PER_BATCH = 500  # of a file that is read again
PIECE_BYTES = 256 * 1024
"""Longer blocks are searched in pieces. A search holds the interpreter's lock."""


@dataclass
class EntryReaders:
    """Makes the readers of one capture, and keeps what they found."""

    timeline: Timeline
    evidence: Evidence
    max_trace_ids: int
    """Number of trace ids to collect for each question; 0: none."""
    trace_ids: dict[str, TraceIds] = field(default_factory=dict)
    """Trace ids by the question's key."""
    in_timeline: set[str] = field(default_factory=set)
    """Paths of the artifacts that the timeline has read."""
    in_memory: dict[str, LoadedDocument] = field(default_factory=dict)
    """Documents about the whole session, by category, for the report: those of a sealed session cannot be read again."""
    kept_entries: dict[tuple[str, int], Any] = field(default_factory=dict)
    """Entries of a sealed session that findings cite, by the artifact's path and their number, for quotes in the report."""
    not_in_timeline: set[str] = field(default_factory=set)
    """Targets that the timeline has not read to their end, because of a fault."""
    not_in_findings: set[str] = field(default_factory=set)
    """Targets that the findings do not cover, because of a fault."""
    not_searched: set[str] = field(default_factory=set)
    """Targets of logs that were not searched for trace ids to their end, because of a fault."""

    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def open(self, question: Question, document: Document) -> "EntryReader":
        """Return a reader for one document of a question."""
        trace_ids = None
        if question.gives_logs and self.max_trace_ids:
            trace_ids = self.trace_ids.setdefault(question.key, TraceIds(self.max_trace_ids))
        return EntryReader(
            self,
            document.target or question.target,
            document.category,
            self.timeline.reader(document.source, document.category),
            trace_ids,
            self.evidence.reader(document.source, document.category),
            lambda: {**document.metadata, **document.outcome.metadata},
        )

    def reads(self, origin: Origin) -> bool:
        """Return whether artifacts of this origin are read."""
        return self.timeline.reader(*origin) is not None or self.evidence.reader(*origin) is not None

    def read_again(self, file: Path, path: str, origin: Origin) -> bool:
        """Read an artifact that an earlier process saved. Returns False if it cannot be read. Blocks."""
        try:
            metadata, entries = read_artifact(file)
        except (OSError, ValueError):
            return False
        timeline_reader, fact_reader = self.timeline.reader(*origin), self.evidence.reader(*origin)
        reader = EntryReader(self, path, origin.category, timeline_reader, None, fact_reader, lambda: metadata)
        try:
            while batch := list(islice(entries, ENTRIES_PER_BATCH)):
                reader.read(batch, encoded(batch))
        except (OSError, ValueError):
            return False
        reader.close(path, metadata)
        return True

    def failed(self, targets: set[str], target: str) -> None:
        """Add `target` to `targets`, and log the current exception unless one of this capture was logged."""
        with self._lock:
            is_first = not self.not_in_timeline and not self.not_searched and not self.not_in_findings
            targets.add(target)
        if is_first:
            log.exception("the entries of %s could not be looked through; further such faults are not logged", target)


@dataclass
class EntryReader:
    """Reads the entries of one document, in order. All calls block."""

    readers: EntryReaders
    target: str
    category: str
    timeline_reader: Reader | None
    trace_ids: TraceIds | None
    fact_reader: FactReader | None = None
    metadata: Callable[[], Mapping[str, Any]] = dict
    """Returns the metadata that is known before the first entry."""
    _timeline_works: bool = True
    _facts_begun: bool = False

    def read(self, batch: Entries, entries: Encoded) -> None:
        """Read a batch. `entries`: the same batch, encoded."""
        try:
            if self.timeline_reader is not None and self._timeline_works:
                self.timeline_reader.read(batch)
        except Exception:  # a reader must never cost evidence
            self._timeline_works = False
            self.readers.failed(self.readers.not_in_timeline, self.target)
        self._read_facts(batch, entries)
        try:
            if self.trace_ids is not None:
                for piece in pieces(entries.block, PIECE_BYTES):
                    self.trace_ids.search(piece)
        except Exception:
            self.trace_ids = None
            self.readers.failed(self.readers.not_searched, self.target)

    def close(self, path: str, metadata: dict[str, Any]) -> None:
        """End reading. `path`: of the saved artifact. `metadata`: as saved."""
        try:
            if self.fact_reader is not None:
                self.fact_reader.close(path, metadata)
                self.readers.evidence.count(self.category, int(metadata["count"]))
        except Exception:
            self.readers.failed(self.readers.not_in_findings, self.target)
        try:
            if self.timeline_reader is not None:
                self.timeline_reader.close(path, metadata)
        except Exception:
            self.readers.failed(self.readers.not_in_timeline, self.target)
        self.readers.in_timeline.add(path)

    def _read_facts(self, batch: Entries, entries: Encoded) -> None:
        """Collect the facts of a batch."""
        try:
            if self.fact_reader is None:
                return
            if not self._facts_begun:
                self._facts_begun = True
                self.fact_reader.begin(self.metadata())
            self.fact_reader.read(entries if isinstance(batch, Encoded) else Encoded(entries.block, codes_of(batch)))
        except Exception:
            self.fact_reader = None
            self.readers.failed(self.readers.not_in_findings, self.target)


def codes_of(batch: list[Any]) -> bytes:
    """Return the level codes of entries that are not encoded."""
    levels = (entry.get("level") if isinstance(entry, dict) else None for entry in batch)
    return bytes(LEVEL_CODES.index(level) if level in LEVEL_CODES else 0 for level in levels)


def pieces(block: bytes, max_bytes: int) -> Iterator[bytes]:
    """Cut encoded entries into pieces of whole entries, each of at most `max_bytes`, or with one entry."""
    start = 0
    while len(block) - start > max_bytes:
        end = block.rfind(SEPARATOR, start, start + max_bytes)
        if end < 0:
            end = block.find(SEPARATOR, start + max_bytes + 1 - len(SEPARATOR))
        if end < 0:
            break
        yield block[start:end]
        start = end + len(SEPARATOR)
    yield block[start:]
