"""The faults that were written by hand: `python -m tests.benchmarks.written_faults`.

Prints the rows of the fault table in docs/findings.md, and each fault that is not right. Needs no cluster.
"""

import sys
from collections.abc import Sequence

from tests.support.fault_table import Fault, written
from tests.unit.recorded import recording


def main() -> int:
    """Return 1 if a fault is not right now, or a healthy workload is not silent."""
    faults, wrong = written(), 0
    for part in sorted({fault.part for fault in faults}):
        broken = [fault for fault in faults if fault.part == part and fault.objects]
        healthy = [fault for fault in faults if fault.part == part and not fault.objects]
        right, silent = [fault for fault in broken if place_of(fault) == 1], [fault for fault in healthy if is_silent(fault)]
        print(f"| part {part} | {len(broken)} | {share(broken)} | {count(broken, '1', '2', '3')} | {len(right)} |")
        print(f"| healthy, part {part} | {len(healthy)} | {count(healthy, 'silent')} silent | | {len(silent)} |")
        for fault in [fault for fault in (*broken, *healthy) if fault not in (*right, *silent)]:
            print(f"{fault.name}: {recording(fault.name).judged().headline}")
            wrong += 1
    return 1 if wrong else 0


def place_of(fault: Fault) -> int | None:
    return fault.place(recording(fault.name).findings())


def is_silent(fault: Fault) -> bool:
    return all(finding["severity"] == "info" for finding in recording(fault.name).findings())


def count(faults: Sequence[Fault], *first: str) -> int:
    """Return the number of faults that had one of these places when the rules were tried for the first time."""
    return sum(fault.first in first for fault in faults)


def share(faults: Sequence[Fault]) -> str:
    right = count(faults, "1")
    return f"{right} ({100 * right / len(faults):.0f} %)"


if __name__ == "__main__":
    sys.exit(main())
