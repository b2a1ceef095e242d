"""`aletheia`, `kubectl investigation`, also `python -m aletheia_operator.cli`. Exit codes: `errors.ExitCode`."""

import io
import sys
from typing import TextIO

import click

from aletheia_operator.cli.errors import ExitCode, explained
from aletheia_operator.cli.program import called, root


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return int(root.main(arguments, prog_name=called(), standalone_mode=False) or ExitCode.OK)
    except click.UsageError as e:
        e.show()
        return ExitCode.USAGE
    except (Exception, KeyboardInterrupt) as e:
        from aletheia_operator.cli.output import say

        say(f"error: {explained(e)}")
        return ExitCode.ERROR


def entry() -> None:
    """Run as a program: end the process with the exit code."""
    sys.stdout = _buffered(sys.stdout)
    sys.exit(main())


def _buffered(output: TextIO) -> TextIO:
    """Return the output with a buffer, also if $PYTHONUNBUFFERED is set.

    Without a buffer Python ignores it if a full disk takes only a part of a write: cut evidence would pass for whole.
    """
    raw = getattr(output, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        return output
    return io.TextIOWrapper(io.BufferedWriter(raw), output.encoding, output.errors, line_buffering=True)


if __name__ == "__main__":
    entry()
