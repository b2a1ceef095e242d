"""Prints tables and lines without control characters, or JSON. Cells are only cut for a terminal."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from tabulate import tabulate

from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.options import Action, Options
from aletheia_operator.text.display import for_terminal

MAX_CELL = 100
MAX_FIELD = 400
MAX_MESSAGE = 1000
LEAST_WIDTH = 40
UNCUT = 2**31
INDENT = "    "


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    limit = MAX_CELL if sys.stdout.isatty() else None
    cells = [[for_terminal(str(cell), limit) for cell in row] for row in rows]
    print(tabulate(cells, header, tablefmt="plain", disable_numparse=True))


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    limit = MAX_FIELD if sys.stdout.isatty() else None
    cells = [(f"{name}:", for_terminal(str(value), limit)) for name, value in fields]
    print(tabulate(cells, tablefmt="plain", disable_numparse=True))


def print_paragraphs(paragraphs: Iterable[tuple[str, str]]) -> None:
    """Print each title with its text below. The text is wrapped to a terminal's width, never cut: the remedy is at its end."""
    width = max(LEAST_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else UNCUT
    for title, text in paragraphs:
        print(for_terminal(title))
        print(textwrap.fill(for_terminal(text), width, initial_indent=INDENT, subsequent_indent=INDENT))


def print_json(value: Any) -> None:
    """Print JSON with all non-ASCII characters escaped: content may come from attackers."""
    print(json.dumps(value, indent=2))


def print_message(message: str) -> None:
    """Print a line to stderr: stdout may be an archive."""
    print(for_terminal(message, MAX_MESSAGE), file=sys.stderr)


def print_error(message: str) -> None:
    """Print an error to stderr: on a terminal wrapped between words, so that names in it stay whole."""
    text = for_terminal(f"error: {message}", MAX_MESSAGE)
    if sys.stderr.isatty():
        width = max(LEAST_WIDTH, shutil.get_terminal_size().columns)
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    print(text, file=sys.stderr)


def confirmed(question: str) -> bool:
    """Ask on the terminal. False if the answer is not yes, or if there is no terminal."""
    if not sys.stdin.isatty():
        return False
    print_message(f"{question} [y/N]")
    return input().strip().lower() in ("y", "yes")


def quietly(run: Action) -> Action:
    """Wrap a command: it ends without an error if the reader of its output has ended, for example `head` or a pager."""

    def running(options: Options) -> int:
        try:
            return run(options)
        except BrokenPipeError:
            with suppress(OSError, ValueError):  # else the interpreter reports it at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.OK

    return running


def readable_time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%SZ}"
