"""Prints for people: with styles on a terminal, plain with $NO_COLOR or TERM=dumb; long output through a pager.

Pass text from a cluster through `inert` first: rich does not escape terminal control sequences.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Literal

from rich.console import Console
from rich.text import Text

from aletheia_operator.text.display import for_terminal

LESS = {"LESS": "FRX", "LESSSECURE": "1", "LESSCHARSET": "utf-8"}
"""less ends at once if one screen is enough, passes colours on, and runs no commands."""
WIDE = 100_000
"""Columns if the output is no terminal: nothing is cut."""


def inert(text: str, style: str = "") -> Text:
    """Return untrusted text on one line, with control characters escaped."""
    return Text(for_terminal(text), style=style, no_wrap=False)


class _Console(Console):
    """A console that raises BrokenPipeError if nobody reads its output any more. Rich ends the process with an error."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(file: IO[str] | None = None) -> Console:
    """Return a console that interprets no markup. `file` None: standard output."""
    target = sys.stdout if file is None else file
    is_terminal = target.isatty()
    return _made(target, width=None if is_terminal else WIDE, soft_wrap=not is_terminal)


def _made(file: IO[str], **more: Any) -> Console:
    """Return a console. With $NO_COLOR it writes no styles at all: rich alone would keep bold and underlined text."""
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return _Console(file=file, markup=False, emoji=False, highlight=False, color_system=colours, **more)


@contextmanager
def paged() -> Iterator[Console]:
    """Yield a console. On a terminal it prints through $PAGER, or `less` if that is not set; an empty $PAGER means no pager.

    Lines reach the pager as they are printed. Raises BrokenPipeError if the user quits the pager.
    """
    command = _pager() if sys.stdout.isatty() and sys.stdin.isatty() else []
    if not command:
        yield console()
        return
    columns = shutil.get_terminal_size().columns
    process = subprocess.Popen(  # noqa: S603 - the user's own
        command, stdin=subprocess.PIPE, text=True, errors="backslashreplace", env={**LESS, **os.environ}
    )
    assert process.stdin is not None
    try:
        yield _made(process.stdin, width=columns, force_terminal=True)
        process.stdin.close()
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        while process.poll() is None:
            try:
                process.wait()
            except KeyboardInterrupt:  # less handles Ctrl-C itself
                continue


def _pager() -> list[str]:
    """Return the command of the pager; [] if it is not installed, or the user wants none."""
    named = os.environ.get("PAGER", "less")
    try:
        command = shlex.split(named)
    except ValueError:
        return []
    return command if command and command[0] != "cat" and shutil.which(command[0]) else []
