"""Runs every check and test, part by part, and prints the time of each: `python -m tests.run`.

After a failed part the others still run, so that one run shows all failures. The last line counts tests.
"""

import re
import subprocess
import sys
import time
from dataclasses import dataclass

PYTEST = [sys.executable, "-m", "pytest", "-q", "--durations=12", "--durations-min=2"]
UNIT = ["-n2", "--dist=loadfile", "--no-loadscope-reorder", "tests/unit"]
"""By default files with few tests go last: of them test_crash_safety takes longest, and one process would be idle meanwhile."""


@dataclass(frozen=True)
class Part:
    name: str
    command: list[str]


PARTS = (
    Part("lint", ["make", "--no-print-directory", "lint"]),
    Part("generated files", ["make", "--no-print-directory", "verify"]),
    Part("rig", [sys.executable, "-m", "tests.cluster", "install"]),
    Part("unit", [*PYTEST, *UNIT]),
    Part("integration", [*PYTEST, "tests/integration"]),
    Part("end to end", [*PYTEST, "tests/e2e"]),
)


def run(part: Part) -> tuple[int, str]:
    """Run a part, and show its output at once. Returns exit status and output."""
    print(f"\n=== {part.name}", flush=True)
    process = subprocess.Popen(part.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return process.wait(), "".join(lines)


def count(output: str, word: str) -> int:
    """Return how many tests pytest's last line counts as `word`."""
    closing = [line for line in output.splitlines() if re.search(r"\d+ (passed|failed|skipped|error)", line)]
    found = re.search(rf"(\d+) {word}", closing[-1]) if closing else None
    return int(found[1]) if found else 0


def main() -> int:
    rows, totals, broken = [], {"passed": 0, "failed": 0, "skipped": 0}, 0
    for part in PARTS:
        began = time.monotonic()
        status, output = run(part)
        for word in totals:
            totals[word] += count(output, word) if "pytest" in part.command else 0
        totals["failed"] += count(output, "error") if "pytest" in part.command else 0
        broken += status != 0
        rows.append((part.name, "ok" if status == 0 else f"FAILED ({status})", time.monotonic() - began))
    print("\n=== summary")
    for name, outcome, seconds in rows:
        print(f"{name:16} {outcome:12} {seconds:7.1f} s")
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
