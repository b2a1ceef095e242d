"""Shared parts of the commands that show evidence: their options, the session, and where the lines go."""

import codecs
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.options import SESSION_HELP, Action, Options, option_command, reading_options
from aletheia_operator.cli.output import print_message, quietly
from aletheia_operator.cli.printing import paged
from aletheia_operator.cli.reference import open_session
from aletheia_operator.show.bounds import bound
from aletheia_operator.show.captured import CapturedSession, NotShown
from aletheia_operator.show.layout import Block, Page
from aletheia_operator.show.times import Times
from aletheia_operator.text.display import for_json

WRITTEN_BYTES = 64 * 1024
WRITTEN_SECONDS = 0.2
"""Lines are written in blocks of this many bytes, or after this time."""

_UNUSUAL = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)


def view_command(name: str, run: Action, about: str, *parameters: click.Parameter, notes: str = "") -> click.Command:
    """Make a command that shows evidence of one session."""
    notes = f"{SESSION_HELP}\n\n{notes}" if notes else SESSION_HELP
    return option_command(name, with_view_errors(run), about, *reading_options(), *parameters, notes=notes)


def with_view_errors(run: Action) -> Action:
    """Wrap a command: evidence that cannot be shown is an error with a message."""

    def running(options: Options) -> int:
        try:
            return run(options)
        except NotShown as e:
            raise Refused(str(e)) from e
        except _UNUSUAL as e:  # an imported session may have any form
            raise Refused(f"the evidence has a form that is not known ({e}): `-o json` shows it as it is") from e

    return quietly(running)


def output_option(*choices: str) -> click.Option:
    """Return `-o`. The first of the choices is the default."""
    about = {"json": "json: the entries as they are, one on a line", "wide": "wide: with more details"}
    text = "; ".join(about[choice] for choice in choices if choice in about)
    return click.Option(["-o", "--output"], type=click.Choice(choices), default=choices[0], help=f"Form of the output; {text}.")


def time_options() -> list[click.Parameter]:
    about = "a time of day (14:02 or 14:02:11, UTC), an RFC 3339 time, or so long before the end of the window (10m)"
    return [
        click.Option(["--since"], metavar="TIME", help=f"Only from this time on: {about}."),
        click.Option(["--until"], metavar="TIME", help="Only until this time, with the whole minute or second it names."),
    ]


def grep_options(what: str) -> list[click.Parameter]:
    return [
        click.Option(["-g", "--grep"], metavar="REGEX", default="", help=f"Only {what} with this text (RE2)."),
        click.Option(["--ignore-case"], is_flag=True, help="--grep ignores case."),
    ]


@contextmanager
def captured(options: Options, name: str | None = None) -> Iterator[CapturedSession]:
    """Open the session that the options name. Notes for the user are printed at the end."""
    with open_session(options, name) as reader:
        session = CapturedSession(reader.manifest, reader)
        yield session
        for note in session.notes:
            print_message(f"note: {note}")


def bounds(options: Options, session: CapturedSession) -> tuple[str | None, str | None]:
    """Return --since and --until. Raises NotShown."""
    return bound(options.since, session.manifest.window), bound(options.until, session.manifest.window)


def pattern_of(options: Options) -> Any:
    """Return --grep, compiled; None without it. Raises NotShown."""
    from aletheia_operator.show.log_lines import LogFilter

    return LogFilter(grep=options.grep, ignore_case=options.ignore_case).pattern


@contextmanager
def opened_page() -> Iterator[tuple[Page, IO[str]]]:
    """Open the output for people: a pager on a terminal. Yields its width and colours, and the file to write to."""
    with paged() as console:
        is_terminal = console.is_terminal
        has_colours = is_terminal and console.color_system is not None
        yield Page(console.width if is_terminal else None, has_colours), console.file


def times_of(session: CapturedSession, page: Page) -> Times:
    return Times.of(session.manifest.window, whole=page.width is None)


def show_blocks(session: CapturedSession, blocks: Any, if_empty: str) -> int:
    """Show the blocks that `blocks(page, times)` returns. `if_empty`: the sentence to print if there are none."""
    with opened_page() as (page, file):
        write_lines(file, page.lines(_titled(session, page)))
        number = write_lines(file, page.lines(blocks(page, times_of(session, page))))
    if not number:
        print_message(if_empty)
    return ExitCode.OK


def why_empty(session: CapturedSession, category: str, noun: str, *limits: Any) -> str:
    """Return the sentence for a view without content. `limits`: the values of the options that leave entries out."""
    if any(limits):
        return f"no {noun} matches these options: without them, all {category} are shown"
    return f"no {noun}: {session.why_empty(category)}"


def _titled(session: CapturedSession, page: Page) -> Iterator[Block]:
    """Yield a line that names the session, on a terminal."""
    from aletheia_operator.report.axis import Axis
    from aletheia_operator.show.layout import paragraph

    if page.width is not None:
        manifest = session.manifest
        owner = f"{manifest.investigation.namespace}/{manifest.investigation.name}"
        yield paragraph(f"{manifest.session_id}  {owner}  {Axis.of(manifest.window).words}", "dim", hanging=2)


def write_lines(file: IO[str], lines: Iterable[str]) -> int:
    """Write lines as they come. Returns their number. Raises BrokenPipeError if nobody reads them any more."""
    pending: list[str] = []
    size, written, begun = 0, 0, time.monotonic()
    for line in lines:
        pending.append(line)
        size += len(line)
        if size >= WRITTEN_BYTES or time.monotonic() - begun > WRITTEN_SECONDS:
            written += len(pending)
            _write(file, pending)
            pending, size, begun = [], 0, time.monotonic()
    _write(file, pending)
    return written + len(pending)


def _write(file: IO[str], lines: list[str]) -> None:
    if lines:
        file.write("\n".join(lines) + "\n")
        file.flush()


def show_entries(session: CapturedSession, category: str) -> int:
    """Show the entries of a category as they are, one on a line."""
    return write_json(session.pieces(session.artifacts(category)))


def write_json(pieces: Iterable[bytes]) -> int:
    """Write pieces of JSON, with control characters escaped. A character may be split between two pieces."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    for piece in pieces:
        sys.stdout.write(for_json(decode(piece)))
    sys.stdout.flush()
    return ExitCode.OK
