"""What is learned from entries on their way to the disk: moments of the timeline, and trace ids.

Entries of a sealed session cannot be read back, so each is looked at as it is saved, in the thread that saves it. A view that
fails never costs evidence: the fault is logged once for each capture, and what was not looked through is a gap.
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
"""Longer blocks are searched in pieces: one search keeps all other threads waiting."""


@dataclass
class Views:
    """The views of one capture."""

    timeline: Timeline
    most_trace_ids: int
    """So many ids of each question are wanted; 0: none."""
    trace_ids: dict[str, TraceIds] = field(default_factory=dict)
    """By the question's key."""
    seen: set[str] = field(default_factory=set)
    """Paths of the artifacts that the timeline saw."""
    unseen: set[str] = field(default_factory=set)
    """Targets of which the timeline's reader did not see all, because of a fault."""
    unsearched: set[str] = field(default_factory=set)
    """Targets whose logs were not searched for trace ids to their end, because of a fault."""

    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def view(self, question: Question, document: Document) -> "View":
        """A view of one document of a question."""
        trace_ids = None
        if question.gives_logs and self.most_trace_ids:
            trace_ids = self.trace_ids.setdefault(question.key, TraceIds(self.most_trace_ids))
        return View(
            self, document.target or question.target, self.timeline.reader(document.source, document.category), trace_ids
        )

    def failed(self, targets: set[str], target: str) -> None:
        """Add the target, and log the exception that is being handled unless one of this capture was logged."""
        with self._lock:
            is_first = not self.unseen and not self.unsearched
            targets.add(target)
        if is_first:
            log.exception("the entries of %s could not be looked through; further such faults are not logged", target)


@dataclass
class View:
    """Looks at the entries of one document, in order. All calls block."""

    views: Views
    target: str
    reader: Reader | None
    trace_ids: TraceIds | None
    _reader_works: bool = True

    def see(self, batch: Entries, entries: Encoded) -> None:
        """Look at a batch; `entries` is the same, encoded."""
        try:
            if self.reader is not None and self._reader_works:
                self.reader.see(batch)
        except Exception:  # evidence is worth more than the view of it
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
        """The document is saved as the artifact at `path`, with this metadata."""
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
