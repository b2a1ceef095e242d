"""Summarises metrics: the highest sample, spikes, and changes against a baseline, by robust statistics. Pure."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SPIKE_DEVIATIONS = 6.0
LEVEL_DEVIATIONS = 3.0
LEVEL_SHARE = 0.1
MAX_COMPARED_SERIES = 1_000
MAX_COMPARED_SAMPLES = 4_000_000
"""Most samples to compare, of all series of the window and the baseline together."""
MAX_SORTED = 20_000
"""Most samples to sort in one call, which holds the interpreter's lock."""
METHOD = (
    f"level: median; changed where it differs from the baseline's by more than {LEVEL_DEVIATIONS:g} x 1.4826 x the baseline's"
    f" median absolute deviation and by more than {LEVEL_SHARE:.0%} of the baseline's level; spike: two samples in a row over"
    f" median + max({SPIKE_DEVIATIONS:g} x 1.4826 x median absolute deviation, half of the median); medians are those of at"
    f" most {MAX_SORTED} samples, evenly spaced"
)

Samples = Sequence[tuple[float, float]]


@dataclass
class Peak:
    """The highest finite sample so far, with its moment (Unix seconds) and its series."""

    value: float = -math.inf
    moment: float = 0.0
    key: bytes | None = None
    malformed: bool = False
    """A sample had an unknown form."""

    def add(self, key: bytes, samples: Sequence[Any]) -> None:
        """Take samples as Prometheus writes them: [unix_seconds, "value"]."""
        try:
            numbers = [float(text) for _, text in samples]
            if not math.isfinite(sum(numbers)):
                numbers = [number if math.isfinite(number) else -math.inf for number in numbers]
            highest = max(numbers, default=-math.inf)
            if highest > self.value:
                self.moment, self.value, self.key = float(samples[numbers.index(highest)][0]), highest, key
        except (TypeError, ValueError, OverflowError):
            self.malformed = True

    def take(self, key: bytes, other: "Peak") -> None:
        """Take the highest sample of `other`, as a sample of the series `key`."""
        self.malformed = self.malformed or other.malformed
        if other.value > self.value:
            self.value, self.moment, self.key = other.value, other.moment, key


def summarise(title: str, series: int, peaks: Sequence[Peak], samples_of: Callable[[bytes], Samples]) -> str:
    """Summarise in one line, for example: error_rate: 3 series, max 0.41 at 14:32, spike from 14:28 (UTC).

    `peaks`: highest values of the samples, and of the extremes between them. A spike is looked for in the first peak's series.
    """
    text = f"{title}: {series} series"
    if any(peak.malformed for peak in peaks):  # of a server with an unusual format: the evidence is kept unchanged
        return f"{text}, with samples of an unknown form"
    highest = max(peaks, key=lambda peak: peak.value)
    if highest.key is None:
        return f"{text}, no samples"
    try:
        text += f", max {highest.value:.4g} at {clock(highest.moment)}"
    except (ValueError, OverflowError, OSError):
        return f"{text}, with samples of an unknown form"
    samples = finite(samples_of(peaks[0].key)) if peaks[0].key is not None else []
    start = spike_start([value for _, value in samples])
    return text if start is None else f"{text}, spike from {clock(samples[start][0])}"


def spike_start(values: list[float]) -> int | None:
    """Return the index of the first of two consecutive samples that lie far above the median; None if there are none.

    Far above: by more than SPIKE_DEVIATIONS robust standard deviations (1.4826 x the median absolute deviation), and by more
    than half of the median, so that noise on a flat line is not a spike.
    """
    if not values:
        return None
    median = _median(values)
    threshold = median + max(SPIKE_DEVIATIONS * deviation(values, median), abs(median) / 2)
    if max(values) <= threshold:
        return None
    above = [value > threshold for value in values]
    return next((i for i in range(len(above) - 1) if above[i] and above[i + 1]), None)


def deviation(values: Sequence[float], median: float) -> float:
    """Return the robust standard deviation (1.4826 x the median absolute deviation), which outliers hardly change."""
    return 1.4826 * _median([abs(value - median) for value in _spaced(values)])


@dataclass(frozen=True)
class Change:
    """One series compared with its baseline."""

    metric: bytes
    level: float
    baseline_level: float
    changed: bool
    spike: bool
    baseline_spike: bool

    def to_json(self) -> dict[str, Any]:
        return {"metric": self.metric.decode(), "level": self.level, "baseline_level": self.baseline_level}


def compare(
    keys: Iterable[bytes],
    samples_of: Callable[[bytes], Samples],
    before_of: Callable[[bytes], Samples],
    computing: Callable[[], AbstractContextManager[None]],
) -> list[Change]:
    """Compare the first MAX_COMPARED_SERIES series that have samples in both, by METHOD. `computing` is entered for each."""
    changes: list[Change] = []
    samples_left = MAX_COMPARED_SAMPLES
    for key in keys:
        if len(changes) == MAX_COMPARED_SERIES or samples_left <= 0:
            break
        with computing():
            change, looked_at = _change(key, samples_of, before_of)
        samples_left -= looked_at
        if change is not None:
            changes.append(change)
    return changes


def _change(
    key: bytes, samples_of: Callable[[bytes], Samples], before_of: Callable[[bytes], Samples]
) -> tuple[Change | None, int]:
    """Compare one series with its baseline. Returns None if either has no samples; and the number of samples of both."""
    now, before = ([value for _, value in finite(samples(key))] for samples in (samples_of, before_of))
    looked_at = len(now) + len(before)
    if not now or not before:
        return None, looked_at
    level, usual = _median(now), _median(before)
    difference = abs(level - usual)
    changed = difference > LEVEL_DEVIATIONS * deviation(before, usual) and difference > LEVEL_SHARE * abs(usual)
    return Change(key, level, usual, changed, spike_start(now) is not None, spike_start(before) is not None), looked_at


def describe_changes(changes: Sequence[Change], offset: str) -> str:
    """Describe the changes, for example: against 24h before: level changed in 1 of 3 series (0.02 to 0.41), spikes in 1
    (before: 0).
    """
    if not changes:
        return f"against {offset} before: no series to compare"
    changed = [change for change in changes if change.changed]
    text = f"against {offset} before: level changed in {len(changed)} of {len(changes)} series"
    if changed:
        largest = max(changed, key=lambda change: abs(change.level - change.baseline_level))
        text += f" ({largest.baseline_level:.4g} to {largest.level:.4g})"
    spikes, spikes_before = sum(change.spike for change in changes), sum(change.baseline_spike for change in changes)
    return f"{text}, spikes in {spikes} (before: {spikes_before})"


def _median(values: Sequence[float]) -> float:
    return statistics.median(_spaced(values))


def _spaced(values: Sequence[float]) -> Sequence[float]:
    """Return at most MAX_SORTED of the values, evenly spaced."""
    return values[:: -(-len(values) // MAX_SORTED)] if len(values) > MAX_SORTED else values


def finite(samples: Samples) -> list[tuple[float, float]]:
    return [sample for sample in samples if math.isfinite(sample[1])]


def clock(unix_seconds: float) -> str:
    """Return the hours and minutes of a time, UTC."""
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%H:%M}"
