"""Writes the corpus of tests/data/secrets, or measures it: `python -m tests.support.secrets [--write]`."""

import argparse
import sys

from aletheia_operator.redact import Redactor
from tests.support.secrets import HALVES, LOOKALIKES, STORED, STORED_LOOKALIKES
from tests.support.secrets.measuring import by_kind, missed, touched
from tests.support.secrets.stored import FOLDER, read, read_lookalikes, write, write_lookalikes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.secrets", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files anew")
    if parser.parse_args().write:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name, make in HALVES.items():
            write(FOLDER / f"{name}.ndjson", make())
        for name, lines in LOOKALIKES.items():
            write_lookalikes(FOLDER / f"{name}.ndjson", lines())
    redactor = Redactor(b"corpus")
    for name in (*HALVES, *STORED):
        count, survived = missed(read(name), redactor)
        print(f"{name}: {count} secrets, {1 - len(survived) / count:.2%} found; missed: {dict(by_kind(survived))}")
    for name in (*LOOKALIKES, *STORED_LOOKALIKES):
        count, changed = touched(read_lookalikes(name), redactor)
        print(f"{name}: {count} look-alikes, {1 - len(changed) / count:.2%} untouched")
        for before, after in changed[:20]:
            print(f"  - {before}\n  + {after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
