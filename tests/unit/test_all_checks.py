"""`python -m tests.run`: parts side by side, their failures, and the counts of the last line."""

import sys

import pytest

from tests.run import Part, main


def part(name: str, script: str, *more: str) -> Part:
    return Part(name, [sys.executable, "-c", script, *more])


def test_all_parts_run_and_every_failure_counts(capfd: pytest.CaptureFixture[str]) -> None:
    """One fails, one cannot be started, and one ends without a line end. Later steps run all the same."""
    tests = part("unit", "print('2 failed, 3 passed, 1 skipped, 1 error in 2s'); exit(1)", "pytest")
    unended = part("lint", "print('4 passed', end='')")
    status = main(
        [[tests, unended], [Part("rig", ["/nowhere/rig"])], [part("end to end", "print('5 passed in 1s')", "pytest")]]
    )
    lines = capfd.readouterr().out.splitlines()
    assert status == 1
    assert "lint: 4 passed" in lines
    outcomes = [line.rsplit(maxsplit=2)[0].split(maxsplit=1) for line in lines[lines.index("=== summary") + 1 : -1]]
    assert outcomes[:3] == [["unit", "FAILED (1)"], ["lint", "ok"], ["rig", "FAILED (127)"]]
    assert lines[-1] == "8 passed, 3 failed, 1 skipped"


def test_failed_tests_are_named_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    """A reader who has only the last lines of a run learns what to mend."""
    output = "FAILED tests/a.py::test_b - assert 1 == 2\nERROR tests/c.py - OSError\n1 failed, 1 error in 1s"
    unit = part("unit", f"print({output!r}); exit(1)", "pytest")
    assert main([[unit, part("lint", "print('FAILED tests/d.py')")]]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[lines.index("=== summary") + 3 :] == [
        "unit: FAILED tests/a.py::test_b - assert 1 == 2",
        "unit: ERROR tests/c.py - OSError",
        "0 passed, 2 failed, 0 skipped",
    ]


def test_the_status_is_0_if_all_parts_are_well(capfd: pytest.CaptureFixture[str]) -> None:
    """Words of parts without tests are not counted."""
    assert main([[part("lint", "print('1 failed')")]]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"
