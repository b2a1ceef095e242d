"""`aletheia`, `kubectl investigation`, also `python -m aletheia_operator.cli`. Exit codes: `errors.ExitCode`."""

import io
import signal
import sys
from typing import Any, TextIO

import click

from aletheia_operator.cli.errors import ExitCode, explained
from aletheia_operator.cli.program import program_name, root


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return int(root.main(arguments, prog_name=program_name(), standalone_mode=False) or ExitCode.OK)
    except click.UsageError as e:
        e.show()
        return ExitCode.USAGE
    except (Exception, KeyboardInterrupt) as e:
        from aletheia_operator.cli.output import print_error

        print_error(explained(e))
        return ExitCode.ERROR


def entry() -> None:
    """Run as a program: end the process with the exit code.

    SIGTERM and SIGHUP end it like an error: `kubectl proxy` is stopped, and incomplete plain files are removed.
    """
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:  # Windows has no SIGHUP
        if signal.getsignal(number) == signal.SIG_DFL:  # else nohup, or the caller, wants it ignored
            signal.signal(number, _ended)
    sys.stdout = _buffered(sys.stdout)
    sys.exit(main())


def _ended(number: int, frame: Any) -> None:
    sys.exit(128 + number)


def _buffered(output: TextIO) -> TextIO:
    """Return the output with a buffer, also if $PYTHONUNBUFFERED is set. Characters that its encoding lacks become escapes.

    Without a buffer Python ignores it if a full disk takes only a part of a write: cut evidence would pass for whole.
    """
    raw = getattr(output, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        return output
    errors = "backslashreplace" if output.errors == "strict" else output.errors
    return io.TextIOWrapper(io.BufferedWriter(raw), output.encoding, errors, line_buffering=True)


if __name__ == "__main__":
    entry()
