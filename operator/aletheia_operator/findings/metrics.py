"""Collects facts about metrics: each series' level at the window's beginning and end, highest sample, and largest step."""

import math
import statistics
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from aletheia_operator.findings.artifact_reader import ArtifactReader
from aletheia_operator.findings.finding import Link
from aletheia_operator.text.batches import Encoded

MAX_SERIES = 500
MAX_SERIES_BYTES = 1024 * 1024  # decoding holds the interpreter's lock
MAX_SAMPLES = 600  # of a series that are read, evenly spaced
LEAST_SAMPLES = 8
DEVIATIONS = 4.0
_LIKE = {
    "cpu_throttling": ("container_cpu_cfs_throttled_periods_total", "/", "container_cpu_cfs_periods_total"),
    "memory_limit": ("container_memory_working_set_bytes", "/", "limit"),
    "pvc_usage": ("kubelet_volume_stats_used_bytes", "/", "kubelet_volume_stats_capacity_bytes"),
    "latency_p95": ("histogram_quantile(0.95", "_seconds_bucket"),
    "latency_p99": ("histogram_quantile(0.99", "_seconds_bucket"),
}
"""Words of queries that answer what a template answers."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series. Levels are medians of its first and last quarter. `first_at`, `highest_at`, `step`: Unix seconds."""

    template: str
    query: str
    labels: Mapping[str, str]
    samples: int
    first_at: float
    before: float
    after: float
    highest: float
    highest_at: float
    step: float | None
    """Time of the largest lasting change. None: the level did not change."""
    link: Link


@dataclass
class MetricFacts:
    """All series."""

    series: list[Series] = field(default_factory=list)
    queries: set[str] = field(default_factory=set)
    stepped: set[str] = field(default_factory=set)
    """Queries with a series that changed its level."""
    compared: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """Query and differences from its baseline, for each query that has one."""
    left_out: int = 0


class MetricReader(ArtifactReader[MetricFacts]):
    """Reads an artifact of data/metrics."""

    def __init__(self, facts: MetricFacts, lock: threading.Lock) -> None:
        super().__init__(facts, lock)
        self._template, self._query = "", ""
        self._found: list[Series] = []
        self._skipped = False

    def begin(self, metadata: Mapping[str, Any]) -> None:
        self._query = str(metadata.get("query") or "")
        self._template = str(metadata.get("template") or "") or template_of(self._query)
        self._skipped = "baseline_offset" in metadata or "step_seconds" not in metadata  # baselines and exemplars

    def read(self, entries: Encoded) -> None:
        if not self._skipped:
            super().read(entries)

    def _read_entry(self, encoded: bytes, link: Link) -> None:
        if len(encoded) > MAX_SERIES_BYTES or len(self._found) >= MAX_SERIES:
            with self._lock:
                self._facts.left_out += 1
            return
        entry = orjson.loads(encoded)
        if "over_step" not in entry and (found := self._series(entry, link)) is not None:
            self._found.append(found)

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        super().close(path, metadata)
        if self._skipped:
            return
        facts = self._facts
        with self._lock:
            name = self._template or self._query
            facts.queries.add(name)
            facts.series += self._found[: max(0, MAX_SERIES - len(facts.series))]
            if any(found.step is not None for found in self._found):
                facts.stepped.add(name)
            if (baseline := metadata.get("baseline")) and baseline.get("changed"):
                facts.compared.append((name, baseline))

    def _series(self, entry: Mapping[str, Any], link: Link) -> Series | None:
        samples = finite(entry.get("values") or [])
        if not samples:
            return None
        labels = {str(key): str(value)[:200] for key, value in (entry.get("metric") or {}).items()}
        values = [value for _, value in samples]
        quarter = max(1, len(values) // 4)
        at, highest = max(samples, key=lambda sample: sample[1])
        return Series(
            template=self._template,
            query=self._query[:200],
            labels=labels,
            samples=len(values),
            first_at=samples[0][0],
            before=statistics.median(values[:quarter]),
            after=statistics.median(values[-quarter:]),
            highest=highest,
            highest_at=at,
            step=step_of(samples),
            link=link,
        )


def template_of(query: str) -> str:
    """Return the template that a query of the user's own is like; '' if it is like none, or if it answers in percent."""
    if "100" in query:
        return ""
    return next((template for template, words in _LIKE.items() if all(word in query for word in words)), "")


def finite(values: Sequence[Any]) -> list[tuple[float, float]]:
    """Return at most MAX_SAMPLES finite samples, evenly spaced; [] for samples of an unknown form."""
    found = []
    try:
        for at, text in values[:: -(-len(values) // MAX_SAMPLES) or 1]:
            value = float(text)
            if math.isfinite(value):
                found.append((float(at), value))
    except (TypeError, ValueError, OverflowError):
        return []
    return found


def step_of(samples: Sequence[tuple[float, float]]) -> float | None:
    """Return when the level of a series changed; None if it did not.

    Takes the split with the largest difference of means. It counts if the medians before and after differ by DEVIATIONS times
    the robust standard deviation, and by a fifth of the larger median.
    """
    values = [value for _, value in samples]
    number = len(values)
    if number < LEAST_SAMPLES:
        return None
    total, left, best = sum(values), 0.0, (0.0, 0)
    for split in range(1, number):
        left += values[split - 1]
        if 2 <= split <= number - 2:
            gain = abs(left / split - (total - left) / (number - split)) * math.sqrt(split * (number - split))
            best = max(best, (gain, split))
    split = best[1]
    if not split:
        return None
    before, after = statistics.median(values[:split]), statistics.median(values[split:])
    spread = [abs(value - before) for value in values[:split]] + [abs(value - after) for value in values[split:]]
    noise = 1.4826 * statistics.median(spread)
    difference = abs(after - before)
    if difference <= DEVIATIONS * noise or difference <= 0.2 * max(abs(before), abs(after)):
        return None
    return samples[split][0]
