"""A pytest plugin: one line of JSON for each test, with its outcome, its seconds and the mutated functions that it called.

The line goes to the file that MUTATION_RECORD names. It also has the functions that were called when the test's module was
imported. mutmut records the functions if the mutant's name is "stats". That name is set only in this process, because mutmut
does not find its settings in processes that tests start.
"""

import json
import os
from pathlib import Path

import pytest
from mutmut.mutation import trampoline
from mutmut.state import state

_seconds: dict[str, float] = {}
_failed: set[str] = set()
_at_import: dict[str, set[str]] = {}  # functions by test module


def pytest_configure() -> None:
    if "MUTANT_UNDER_TEST" not in os.environ:
        trampoline._mutant_under_test = "stats"


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.nodeid.endswith(".py"):
        _at_import[report.nodeid] = set(state()._stats)
        state()._stats.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if report.failed:
        _failed.add(report.nodeid)
    if report.when == "teardown":
        functions = state()._stats
        line = {
            "test": report.nodeid,
            "seconds": round(_seconds[report.nodeid], 3),
            "failed": report.nodeid in _failed,
            "functions": sorted(functions),
            "at_import": sorted(_at_import.get(report.nodeid.partition("::")[0], ())),
        }
        functions.clear()
        with Path(os.environ["MUTATION_RECORD"]).open("a") as file:
            file.write(json.dumps(line) + "\n")
