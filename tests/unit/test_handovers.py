"""What the benchmark of Jobs concludes from Leases and pods: whether a session ever had two writers."""

from tests.benchmarks.writers import handovers

PODS = ["one|", "two|2026-11-29T10:00:20Z", "three|", "three|2026-11-29T10:00:55Z"]


def held(holder: str, acquired: str, name: str = "capture-a") -> str:
    return f"{name}|{holder and f'{holder}_uuid'}|2026-11-29T{acquired}Z"


def test_how_a_lease_goes_from_one_process_to_the_next() -> None:
    """Given back, after the end of a process, before it, or after an unknown end. Renewals and other Leases do not count."""
    lines = [
        held("leader", "09:00:00", "leader"),
        held("one", "10:00:00.5"),
        held("one", "10:00:00.5"),
        held("", "10:00:00.5"),
        held("two", "10:00:10.1"),
        held("three", "10:00:35.1"),
        held("four", "10:00:50.1"),
        held("five", "10:01:50.1"),
        held("other", "09:01:00", "leader"),
    ]
    found = handovers(lines, PODS)
    assert (found.given_back, found.after_end, len(found.unknown), len(found.too_early)) == (1, 1, 1, 1)
    assert "three_uuid ended at 2026-11-29T10:00:55Z" in found.too_early[0]
    assert "four_uuid" in found.unknown[0]
    assert str(found).endswith("1 times after an unknown end, 1 times too early")
