"""Runs the unit tests on mutants: each mutant in its own process, with the tests that call its function.

mutmut's own runner forks a process that has run the whole suite, event loops and threads included. That loses mutants, and
stops if a test fails without a mutant. Here such tests are listed and left out, and the process that forks has only collected
the tests (`server`).
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.mutation.mutants import function_of

NOT_RUN = (  # tests with minutes of searches, kills or memory use, which are too slow, or tests not about the code's behaviour
    "test_architecture.py",
    "test_chart.py",
    "test_commands_killed.py",
    "test_crash_safety.py",
    "test_demo.py",
    "test_interruptions.py",
    "test_jaeger_memory.py",
    "test_linear_patterns.py",
    "test_session_life.py",
)
_COMMAND = (sys.executable, "-m", "pytest", "-q", "--rootdir=.", "-p", "no:cacheprovider")
MOST_SECONDS = 30.0  # of tests for one mutant, as measured; tests that are left out can only lower the share


@dataclass(frozen=True)
class MeasuredTest:
    """One test without any mutant: its node id, its seconds, whether it failed, and the mutated functions that it called.

    `at_import`: functions that were called when its module was imported, and so are not called again by later modules.
    """

    test: str
    seconds: float
    failed: bool
    functions: tuple[str, ...]
    at_import: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The result for one mutant. `noticed_by`: the test that failed, or what else ended the run; None if it was not noticed."""

    mutant: str
    noticed_by: str | None
    tried: int
    reaching: int


def measure(folder: Path, jobs: int) -> list[MeasuredTest]:
    """Run every unit test once, and return what it calls. Failed tests run again without recording, which takes time."""
    modules = _modules(folder)
    piles = [[f"tests/unit/{name}" for name in modules[start :: 4 * jobs]] for start in range(4 * jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        runs = pool.map(lambda pile: _pytest(folder, pile, mutant=None, seconds=3600)[1], [pile for pile in piles if pile])
        found = [test for run in runs for test in run]
    failing = fail_anyway(folder, [test.test for test in found if test.failed])
    return [replace(test, failed=test.test in failing) for test in found]


def attempt(folder: Path, mutant: str, tests: Sequence[MeasuredTest], server: "Server") -> Outcome:
    """Run the tests that call the mutant's function until one fails.

    A function that is called only in other processes is tried with the tests that call other functions of its module. A
    function that is called when modules are imported is tried with all tests, because its result may be used anywhere.
    """
    function = function_of(mutant)
    usable = [test for test in tests if not test.failed]
    reaching = [test for test in usable if function in test.functions]
    at_import = any(function in test.at_import for test in usable)
    if at_import:
        reaching = usable
    elif not reaching:
        module = function.rpartition(".")[0] + "."
        reaching = [test for test in usable if any(function.startswith(module) for function in test.functions)]
    chosen = _within(
        MOST_SECONDS, sorted(reaching, key=lambda test: (function not in test.functions, test.seconds * len(test.functions)))
    )
    noticed_by = None
    if chosen:
        limit = 30 + 5 * sum(test.seconds for test in chosen)
        noticed_by = (_in_new_process(folder, mutant, chosen, limit) if at_import else None) or server.run(
            mutant, chosen, limit
        )
    return Outcome(mutant, noticed_by, len(chosen), len(reaching))


def _in_new_process(folder: Path, mutant: str, tests: Sequence[MeasuredTest], seconds: float) -> str | None:
    """Run tests in a process that imports them with the mutant, and return what noticed it."""
    code, run = _pytest(folder, [test.test for test in tests], mutant=mutant, seconds=seconds)
    failed = [test.test for test in run if test.failed]
    if failed or (code != 0 and (run or _can_begin(folder, tests))):
        return failed[0] if failed else f"pytest's end ({code})"
    return None


class Server:
    """A process that has collected all tests, and forks for each request. Callers must close it."""

    def __init__(self, folder: Path) -> None:
        run = folder / "mutants"
        answers, writing = os.pipe()
        self._folder = tempfile.TemporaryDirectory(dir=folder, prefix="run-")
        listed = Path(self._folder.name, "tests")
        listed.write_text("\n".join(f"tests/unit/{name}" for name in _modules(folder)))
        self._process = subprocess.Popen(
            [*_COMMAND, "-s", f"--basetemp={self._folder.name}/tmp", "-p", "tests.mutation.server", f"@{listed}"],
            cwd=run,
            env={**_environment(run), "MUTATION_ANSWERS": str(writing), "TMPDIR": self._folder.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writing],
            start_new_session=True,
            text=True,
        )
        os.close(writing)
        self._answers = os.fdopen(answers)

    def run(self, mutant: str, tests: Sequence[MeasuredTest], seconds: float) -> str | None:
        """Run tests with the mutant until one fails, and return what noticed it; None if nothing did."""
        assert self._process.stdin is not None
        request = {"mutant": mutant, "tests": [test.test for test in tests], "seconds": seconds}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        noticed_by: str | None = json.loads(self._answers.readline())
        return noticed_by

    def close(self) -> None:
        """End the process."""
        _kill(self._process)
        self._answers.close()
        self._folder.cleanup()


def fail_anyway(folder: Path, tests: Iterable[str]) -> set[str]:
    """Return those of `tests` that fail in a second run without any mutant."""
    some = sorted(set(tests))
    return {test.test for test in _pytest(folder, some, mutant="", seconds=3600)[1] if test.failed} if some else set()


def _modules(folder: Path) -> list[str]:
    """Return the names of the test modules that are run, small files first."""
    files = [file for file in (folder / "mutants" / "tests" / "unit").glob("test_*.py") if file.name not in NOT_RUN]
    return [file.name for file in sorted(files, key=lambda file: file.stat().st_size)]


def _can_begin(folder: Path, tests: Sequence[MeasuredTest]) -> bool:
    """Return whether pytest finds the tests without a mutant: only then the mutant kept them from running."""
    return _pytest(folder, [test.test for test in tests], mutant="", seconds=300, more=("--collect-only",))[0] == 0


def _within(seconds: float, tests: Sequence[MeasuredTest]) -> list[MeasuredTest]:
    chosen: list[MeasuredTest] = []
    for test in tests:
        seconds -= test.seconds
        if seconds < 0 and chosen:
            break
        chosen.append(test)
    return chosen


def _pytest(
    folder: Path, tests: Sequence[str], *, mutant: str | None, seconds: float, more: Sequence[str] = ()
) -> tuple[int, list[MeasuredTest]]:
    """Return pytest's exit code, and the tests that ran. A run that takes longer than `seconds` is killed.

    `mutant` None: no mutant is called, and calls of mutated functions are recorded. `more`: further options of pytest.
    """
    run = folder / "mutants"
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as own:
        record, listed = Path(own, "record"), Path(own, "tests")
        record.touch()
        listed.write_text("\n".join(tests))
        first = ["-x"] if mutant else []
        environment = {
            **_environment(run),
            "MUTATION_RECORD": str(record),
            **({} if mutant is None else {"MUTANT_UNDER_TEST": mutant}),
        }
        process = subprocess.Popen(
            [*_COMMAND, f"--basetemp={own}/tmp", *first, *more, "-p", "tests.mutation.record", f"@{listed}"],
            cwd=run,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        finally:
            _kill(process)
        return code, [MeasuredTest(**line) for line in map(json.loads, record.read_text().splitlines())]


def _environment(run: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{run / 'src'}:{run}"}


def _kill(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Kill a run and all processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
