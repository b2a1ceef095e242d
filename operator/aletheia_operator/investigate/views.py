"""Reads entries while they are saved: moments for the timeline, and trace ids.

Entries of a sealed session cannot be read back, so the thread that saves them reads them. A view that fails costs no evidence:
the fault is logged once for each capture, and entries that were not read become a gap.
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.fetchers.base import Document, Entries, Question
from aletheia_operator.text.batches import SEPARATOR, Encoded
from aletheia_operator.text.trace_ids import TraceIds
from aletheia_operator.timeline import Reader, Timeline

log = logging.getLogger(__name__)

PIECE_BYTES = 256 * 1024
"""Longer blocks are searched in pieces. A search holds the interpreter's lock."""


@dataclass
class Views:
    """The views of one capture."""

    timeline: Timeline
    most_trace_ids: int
    """Number of trace ids to collect for each question; 0: none."""
    trace_ids: dict[str, TraceIds] = field(default_factory=dict)
    """Trace ids by the question's key."""
    seen: set[str] = field(default_factory=set)
    """Paths of the artifacts that the timeline has read."""
    unseen: set[str] = field(default_factory=set)
    """Targets that the timeline has not read to their end, because of a fault."""
    unsearched: set[str] = field(default_factory=set)
    """Targets whose logs were not searched for trace ids to their end, because of a fault."""

    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def view(self, question: Question, document: Document) -> "View":
        """Return a view of one document of a question."""
        trace_ids = None
        if question.gives_logs and self.most_trace_ids:
            trace_ids = self.trace_ids.setdefault(question.key, TraceIds(self.most_trace_ids))
        return View(
            self, document.target or question.target, self.timeline.reader(document.source, document.category), trace_ids
        )

    def failed(self, targets: set[str], target: str) -> None:
        """Add `target` to `targets`, and log the current exception unless one of this capture was logged."""
        with self._lock:
            is_first = not self.unseen and not self.unsearched
            targets.add(target)
        if is_first:
            log.exception("the entries of %s could not be looked through; further such faults are not logged", target)


@dataclass
class View:
    """Reads the entries of one document, in order. All calls block."""

    views: Views
    target: str
    reader: Reader | None
    trace_ids: TraceIds | None
    _reader_works: bool = True

    def see(self, batch: Entries, entries: Encoded) -> None:
        """Read a batch. `entries`: the same batch, encoded."""
        try:
            if self.reader is not None and self._reader_works:
                self.reader.see(batch)
        except Exception:  # a view must never cost evidence
            self._reader_works = False
            self.views.failed(self.views.unseen, self.target)
        try:
            if self.trace_ids is not None:
                for piece in pieces(entries.block):
                    self.trace_ids.see(piece)
        except Exception:
            self.trace_ids = None
            self.views.failed(self.views.unsearched, self.target)

    def close(self, path: str, metadata: dict[str, Any]) -> None:
        """End the view: the document is saved as the artifact at `path`, with this metadata."""
        if self.reader is None:
            return
        try:
            self.reader.close(path, metadata)
        except Exception:
            self.views.failed(self.views.unseen, self.target)
        self.views.seen.add(path)


def pieces(block: bytes, most: int = PIECE_BYTES) -> Iterator[bytes]:
    """Cut encoded entries into pieces of whole entries, each at most `most` bytes or one entry."""
    start = 0
    while len(block) - start > most:
        end = block.rfind(SEPARATOR, start, start + most)
        if end < 0:
            end = block.find(SEPARATOR, start + most + 1 - len(SEPARATOR))
        if end < 0:
            break
        yield block[start:end]
        start = end + len(SEPARATOR)
    yield block[start:]
