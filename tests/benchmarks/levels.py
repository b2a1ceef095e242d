"""Measures how often the level of a line is right, on labelled samples: `python -m tests.benchmarks.levels FOLDER`.

The folder has `NAME.log` and `NAME_structured.csv` with one row per line, in order, and a column `Level`, as in the Loghub
collection (github.com/logpai/loghub). Exit code 1 if a sample is below the target.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

from aletheia_operator.logs.forms import recognise
from aletheia_operator.logs.levels import LETTERS, level_of_word

TARGET = 0.99
SHOWN = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.levels", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    samples = sorted(folder.glob("*_structured.csv"))
    if not samples:
        parser.error(f"{folder} has no *_structured.csv")
    return 0 if min([accuracy(sample) for sample in samples]) >= TARGET else 1


def accuracy(labels: Path) -> float:
    """Print the share of lines with the right level, and the first wrong lines. Returns the share."""
    name = labels.name.removesuffix("_structured.csv")
    with labels.open(encoding="utf-8", errors="replace", newline="") as file:
        expected = [LETTERS.get(row["Level"]) or level_of_word(row["Level"]) for row in csv.DictReader(file)]
    lines = (labels.parent / f"{name}.log").read_text(encoding="utf-8", errors="replace").split("\n")[: len(expected)]
    began = time.process_time()
    found = [recognise(line.rstrip("\r")).level for line in lines]
    microseconds = (time.process_time() - began) / len(lines) * 1e6
    wrong = [(line, level, right) for line, level, right in zip(lines, found, expected, strict=True) if level != right]
    share = 1 - len(wrong) / len(expected)
    print(f"{name:16} {len(expected):8,} lines   level right {share:7.2%}   {microseconds:5.1f} µs a line")
    for line, level, right in wrong[:SHOWN]:
        print(f"    {level} instead of {right}: {line[:120]!r}")
    return share


if __name__ == "__main__":
    sys.exit(main())
