"""Measures how many faults the unit tests notice, with a sample of mutmut's mutants: `python -m tests.mutation`.

A mutant changes one place of the code; the unit tests that call its function are run until one fails. A mutant that passes them
all is a fault that the tests do not notice. The sample is the same for the same seed and code. Mutants that change only the
text of a string, an option's help or a logging call are left out. A mutant counts as not noticed if only a test notices it that
also fails without it.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.mutants import difference, make_mutants, sample
from tests.mutation.tries import MeasuredTest, Outcome, Server, attempt, fail_anyway, measure


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the surviving mutants and the share that was noticed. Returns 1 if the share is below --at-least."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=["*"], help="patterns below aletheia_operator/, such as session/*")
    parser.add_argument("--sample", type=int, default=200, help="mutants to try (default: 200)")
    parser.add_argument("--seed", type=int, default=10, help="chooses the sample (default: 10)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="test runs at once (default: one a CPU)")
    parser.add_argument("--at-least", type=int, default=0, metavar="PERCENT", help="fail below this share")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        folder = Path(place)
        make_mutants(folder, options.modules, options.jobs)
        count, chosen = sample(folder, options.sample, options.seed)
        print(f"{count} mutants, of which {len(chosen)} are tried with seed {options.seed}", flush=True)
        tests = measure(folder, options.jobs)
        for test in (test.test for test in tests if test.failed):
            print(f"left out, for it fails without a mutant: {test}", flush=True)
        share = report(folder, chosen, tests, options.jobs)
    return int(share < options.at_least)


def report(folder: Path, chosen: Sequence[str], tests: Sequence[MeasuredTest], jobs: int) -> float:
    """Try each chosen mutant, print those that are not noticed, and return the share of the others in percent."""
    idle: SimpleQueue[Server] = SimpleQueue()
    with ExitStack() as stack, ThreadPoolExecutor(jobs) as pool:
        for _ in range(jobs):
            idle.put(stack.enter_context(closing(Server(folder))))

        def tried(mutant: str) -> Outcome:
            server = idle.get()
            try:
                return attempt(folder, mutant, tests, server)
            finally:
                idle.put(server)

        outcomes = []
        for outcome in pool.map(tried, chosen):
            outcomes.append(outcome)
            if outcome.noticed_by is None:
                _show(folder, outcome)
    doubtful = fail_anyway(
        folder, [outcome.noticed_by for outcome in outcomes if outcome.noticed_by and "::" in outcome.noticed_by]
    )
    missed = [outcome for outcome in outcomes if outcome.noticed_by is None or outcome.noticed_by in doubtful]
    for outcome in missed:
        if outcome.noticed_by:
            _show(folder, outcome)
    share = 100 * (len(chosen) - len(missed)) / max(len(chosen), 1)
    print(f"\n{len(chosen) - len(missed)} of {len(chosen)} mutants noticed: {share:.1f} %", flush=True)
    return share


def _show(folder: Path, missed: Outcome) -> None:
    some = f"{missed.tried} of the {missed.reaching} tests that reach it"
    if missed.noticed_by:
        some += f"; {missed.noticed_by} fails without it too"
    print(f"\nnot noticed by {some}: {missed.mutant}\n{difference(folder, missed.mutant)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
