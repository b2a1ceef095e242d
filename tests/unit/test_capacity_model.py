"""The capacity model: more of anything never needs less, the simulation is fair, and the page has the model's table."""

from dataclasses import replace

import pytest

from tests.benchmarks.capacity import RECORDED, load
from tests.benchmarks.capacity_model import MOST_STORM_SECONDS, Load, Needs, cost_table, simulate, table
from tests.cluster.rig import ROOT

COSTS = load(RECORDED)


def test_the_page_has_the_models_tables() -> None:
    """They are computed from the recorded costs: `python -m tests.benchmarks.capacity --costs tests/data/capacity.json`."""
    page = (ROOT / "docs" / "capacity.md").read_text()
    assert table(COSTS) in page
    assert cost_table(COSTS) in page


@pytest.mark.parametrize("more", ["nodes", "pods", "objects", "lines_of_pod", "investigations_of_workload_day", "kept_days"])
def test_more_of_anything_never_needs_less(more: str) -> None:
    """Of memory, volume, processes and time."""
    small = Load(500)
    large = replace(small, **{more: 3 * getattr(small, more)})
    before, after = Needs.of(small, COSTS), Needs.of(large, COSTS)
    for name in ("inline_seconds", "processes", "memory_mb", "volume_bytes"):
        assert getattr(after, name) >= getattr(before, name), name
    assert after.capture.cpu_seconds * after.load.storm * after.volume_bytes > (
        before.capture.cpu_seconds * before.load.storm * before.volume_bytes
    )


def test_processes_end_a_storm_in_time() -> None:
    """One less would not."""
    needs = Needs.of(Load(20_000), COSTS)
    assert needs.inline_seconds / needs.processes <= MOST_STORM_SECONDS
    assert needs.processes == 1 or needs.inline_seconds / (needs.processes - 1) > MOST_STORM_SECONDS


SIMPLE = replace(COSTS, investigation_ms=100.0, cluster_ms=100.0, alone_seconds=1.0)


def test_one_alone_takes_its_time() -> None:
    """Nothing else runs."""
    assert simulate(SIMPLE, [1], 2, 20, 15) == [pytest.approx(1.0, abs=0.05)]


@pytest.mark.parametrize(
    ("cores", "slots", "seconds"),
    [(100, 1, 100), (100, 10, 10.7), (1, 100, 20.8), (2, 100, 15.8)],
    ids=["one at a time", "ten at a time, by one thread", "by one core", "by two cores"],
)
def test_the_scarcest_resource_bounds_a_storm(cores: float, slots: int, seconds: float) -> None:
    """Slots, the operator's thread, or the machine's cores: two do the cluster's work, then one that of the thread."""
    assert max(simulate(SIMPLE, [100], cores, slots, slots)) == pytest.approx(seconds, rel=0.1)


def test_one_beside_many_does_not_wait_for_them() -> None:
    """Slots are left for it."""
    ends = simulate(SIMPLE, [200, 1], 2, 20, 15)
    assert len(ends) == 201
    assert ends[-1] < max(ends) / 5
