"""Runs every check and test, part by part, and prints the time of each: `python -m tests.run`.

After a failed part the others still run, so that one run shows all failures. The last lines name failed tests and count all.
"""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

PYTEST = [sys.executable, "-m", "pytest", "-q", "--durations=12", "--durations-min=2"]
UNIT = ["-n2", "--dist=loadfile", "--no-loadscope-reorder", "tests/unit"]
"""By default files with few tests go last: of them test_crash_safety takes longest, and one process would be idle meanwhile."""
NOT_STARTED = 127
"""Exit status that a shell gives for a command that it cannot start."""
LONGEST_FAILURE = 300
"""Characters."""


@dataclass(frozen=True)
class Part:
    name: str
    command: list[str]


@dataclass(frozen=True)
class Result:
    part: Part
    status: int
    output: str
    seconds: float

    def count(self, word: str) -> int:
        """Return how many tests pytest's last line counts as `word`; 0 for a part without tests."""
        if "pytest" not in self.part.command:
            return 0
        closing = [line for line in self.output.splitlines() if re.search(r"\d+ (passed|failed|skipped|error)", line)]
        found = re.search(rf"(\d+) {word}", closing[-1]) if closing else None
        return int(found[1]) if found else 0

    @property
    def failures(self) -> list[str]:
        """One line for each test that failed, with the beginning of its reason, as pytest's short summary has them."""
        if "pytest" not in self.part.command:
            return []
        return [line[:LONGEST_FAILURE] for line in self.output.splitlines() if line.startswith(("FAILED ", "ERROR "))]


STEPS = (
    [
        Part("lint", ["make", "--no-print-directory", "lint"]),
        Part("generated files", ["make", "--no-print-directory", "verify"]),
        Part("rig", [sys.executable, "-m", "tests.cluster", "install"]),
    ],
    [Part("unit", [*PYTEST, *UNIT])],
    [Part("integration", [*PYTEST, "tests/integration"])],
    [Part("end to end", [*PYTEST, "tests/e2e"])],
)
"""Parts of one step run side by side. Tests run alone: beside others, Leases of a few seconds are lost."""


def run(part: Part) -> Result:
    """Run a part, and show each line of its output at once, behind the part's name. One that cannot be started has failed."""
    began = time.monotonic()
    lines = []
    try:
        process = subprocess.Popen(part.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as e:
        print(f"{part.name}: {e}\n", end="", flush=True)
        return Result(part, NOT_STARTED, "", time.monotonic() - began)
    assert process.stdout is not None
    for line in process.stdout:
        print(f"{part.name}: {line.rstrip()}\n", end="", flush=True)  # in one write: parts beside it print too
        lines.append(line)
    return Result(part, process.wait(), "".join(lines), time.monotonic() - began)


def run_step(parts: Sequence[Part]) -> list[Result]:
    """Run parts side by side."""
    with ThreadPoolExecutor(len(parts)) as threads:
        return list(threads.map(run, parts))


def main(steps: Sequence[Sequence[Part]] = STEPS) -> int:
    results = [result for parts in steps for result in run_step(parts)]
    print("\n=== summary")
    for result in results:
        outcome = "ok" if result.status == 0 else f"FAILED ({result.status})"
        print(f"{result.part.name:16} {outcome:12} {result.seconds:7.1f} s")
    for result in results:
        for failure in result.failures:
            print(f"{result.part.name}: {failure}")
    passed, skipped = (sum(result.count(word) for result in results) for word in ("passed", "skipped"))
    failed = sum(result.count("failed") + result.count("error") for result in results)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if any(result.status for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
