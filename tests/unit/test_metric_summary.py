"""The one line about metrics: the highest sample, spikes, and changes against a baseline."""

import math
import statistics
from contextlib import nullcontext
from typing import Any

import pytest

from aletheia_operator.fetchers.prometheus import summary
from aletheia_operator.fetchers.prometheus.summary import Change, Peak, compare, describe_changes, spike_start


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ([], None),
        ([1.0] * 20, None),
        ([1.0] * 10 + [9.0, 9.0] + [1.0] * 8, 10),
        ([1.0] * 10 + [9.0] + [1.0] * 9, None),
        ([1.0] * 18 + [9.0, 9.0], 18),
        ([1.0] * 10 + [1.4, 1.4] + [1.0] * 8, None),
        ([1.0] * 10 + [1.5, 1.5] + [1.0] * 8, None),
        ([1.0] * 10 + [1.51, 1.51] + [1.0] * 8, 10),
        ([-4.0] * 10 + [-1.9, -1.9] + [-4.0] * 8, 10),
    ],
)
def test_where_a_spike_begins(values: list[float], start: int | None) -> None:
    """A spike begins at two samples in a row far above the median."""
    assert spike_start(values) == start


def test_series_are_compared_with_their_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compares levels, whether they changed, and spikes in either. Series without samples in both are left out."""
    spiky = [1.0] * 10 + [9.0, 9.0] + [1.0] * 8
    now = {b"steady": [1.0] * 20, b"up": [2.0] * 20, b"little": [1.05] * 20, b"spike": spiky, b"new": [1.0], b"gone": []}
    before = {b"steady": [1.0] * 20, b"up": [1.0] * 20, b"little": [1.0] * 20, b"spike": [1.0] * 20, b"new": [], b"gone": [1.0]}

    def samples(of: dict[bytes, list[float]]) -> Any:
        return lambda key: [(float(number), value) for number, value in enumerate([*of[key], math.nan][: len(of[key])])]

    changes = compare(now, samples(now), samples(before), nullcontext)
    assert changes == [
        Change(b"steady", 1, 1, False, False, False),
        Change(b"up", 2, 1, True, False, False),
        Change(b"little", 1.05, 1, False, False, False),
        Change(b"spike", 1, 1, False, True, False),
    ]
    assert (
        describe_changes(changes, "24h")
        == "against 24h before: level changed in 1 of 4 series (1 to 2), spikes in 1 (before: 0)"
    )
    assert describe_changes([], "1h") == "against 1h before: no series to compare"
    assert describe_changes(changes[:1], "1h") == "against 1h before: level changed in 0 of 1 series, spikes in 0 (before: 0)"
    assert changes[1].to_json() == {"metric": "up", "level": 2, "baseline_level": 1}
    back = compare([b"spike"], samples(before), samples(now), nullcontext)
    assert (back[0].spike, back[0].baseline_spike) == (False, True)
    monkeypatch.setattr(summary, "MAX_COMPARED_SERIES", 2)
    assert len(compare(now, samples(now), samples(before), nullcontext)) == 2
    monkeypatch.setattr(summary, "MAX_COMPARED_SERIES", 9)
    monkeypatch.setattr(summary, "MAX_COMPARED_SAMPLES", 41)
    assert len(compare(now, samples(now), samples(before), nullcontext)) == 2


def test_noise_is_no_change_of_level() -> None:
    """The level must differ by three robust deviations of the baseline."""
    noisy = [float(number % 5) for number in range(50)]
    for shift, changed in ((4.0, False), (5.0, True)):
        moved = [(0.0, value + shift) for value in noisy]
        (only,) = compare([b"x"], {b"x": moved}.__getitem__, {b"x": [(0.0, value) for value in noisy]}.__getitem__, nullcontext)
        assert (only.changed, only.baseline_level) == (changed, statistics.median(noisy))


def test_the_peak_of_all_series() -> None:
    """It is the highest finite sample, with its moment and series. `strange` is set by samples of an unknown form."""
    peak = Peak()
    peak.add(b"a", [[1, "2"], [2, "5"], [3, "NaN"], [4, "+Inf"]])
    peak.add(b"b", [[1, "5"], [2, "4"]])
    assert (peak.value, peak.moment, peak.key, peak.malformed) == (5, 2, b"a", False)
    peak.add(b"c", [])
    other = Peak()
    other.add(b"x", [[9, "7"]])
    peak.take(b"d", other)
    assert (peak.value, peak.moment, peak.key, peak.malformed) == (7, 9, b"d", False)
    other.add(b"x", [["moment", "8"]])
    other.add(b"x", [[1, "no number"]])
    peak.take(b"e", other)
    assert (peak.value, peak.moment, peak.key, peak.malformed) == (7, 9, b"d", True)
