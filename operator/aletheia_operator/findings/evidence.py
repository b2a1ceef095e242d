"""Collects the facts that rules read while a session's artifacts are saved, each with a link to its entry.

The entries of a sealed session cannot be read later. Memory is bounded: `left_out` counts facts that do not fit. One reader
reads one artifact; several readers may work concurrently.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from aletheia_operator.findings.events import EventFacts, EventReader
from aletheia_operator.findings.log_facts import LogFacts
from aletheia_operator.findings.log_reader import LogReader
from aletheia_operator.findings.loki_reader import LokiReader
from aletheia_operator.findings.metrics import MetricFacts, MetricReader
from aletheia_operator.findings.objects import ObjectFacts, ObjectReader
from aletheia_operator.findings.own_rules import OwnRules
from aletheia_operator.findings.traces import TraceFacts, TraceReader
from aletheia_operator.text.batches import Encoded


class Reader(Protocol):
    """Reads one artifact's entries, in order, and then its metadata."""

    def begin(self, metadata: Mapping[str, Any]) -> None:
        """Read the metadata that is known before the first entry."""
        ...

    def read(self, entries: Encoded) -> None:
        """Read the next entries, encoded as in the file."""
        ...

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        """End reading. `path`: where the artifact was saved; `metadata`: the complete metadata."""
        ...


@dataclass
class Evidence:
    """The facts of one session. `start`, `end`: its window."""

    start: datetime
    end: datetime
    objects: ObjectFacts = field(default_factory=ObjectFacts)
    events: EventFacts = field(default_factory=EventFacts)
    logs: LogFacts = field(default_factory=LogFacts)
    metrics: MetricFacts = field(default_factory=MetricFacts)
    traces: TraceFacts = field(default_factory=TraceFacts)
    own: OwnRules = field(default_factory=OwnRules)
    """Rules of admins and of the Investigation."""
    entry_counts: Counter[str] = field(default_factory=Counter)
    """Number of entries by category."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def left_out(self) -> dict[str, int]:
        """Numbers of facts that did not fit into memory, by kind; {} if all did."""
        counts = {
            "object": self.objects.left_out,
            "event": self.events.left_out,
            "container run": self.logs.left_out,
            "log line": self.logs.templates.left_out + self.own.left_out,
            "metric": self.metrics.left_out,
            "trace": self.traces.left_out,
        }
        return {kind: count for kind, count in counts.items() if count}

    def count(self, category: str, entries: int) -> None:
        """Count the entries of an artifact that was saved."""
        with self.lock:
            self.entry_counts[category] += entries

    def reader(self, source: str, category: str) -> Reader | None:
        """Return a reader for an artifact of this source and category; None if no rule reads such artifacts."""
        match source, category:
            case "kubernetes", "objects":
                return ObjectReader(self.objects, self.lock, self.own.kinds)
            case "kubernetes", "events":
                return EventReader(self.events, self.lock, self.own.event_reasons)
            case "kubernetes", "logs":
                return LogReader(self.logs, self.lock, self.start, self.end, self.own)
            case "loki", "logs":
                return LokiReader(self.logs, self.lock, self.start, self.end)
            case "prometheus", "metrics":
                return MetricReader(self.metrics, self.lock)
            case "jaeger", "traces":
                return TraceReader(self.traces, self.lock)
            case _:
                return None
