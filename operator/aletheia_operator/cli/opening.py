"""kubectl investigation open, report: shows a session's report in the browser, or writes it to a file."""

import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.options import (
    SESSION_HELP,
    Options,
    option_command,
    reading_options,
    report_options,
    require_file_for_html,
)
from aletheia_operator.cli.output import print_message
from aletheia_operator.cli.reader import SessionReader
from aletheia_operator.cli.reference import open_session
from aletheia_operator.session.files import replace
from aletheia_operator.session.layout import REPORT
from aletheia_operator.text.sizes import readable_size

if TYPE_CHECKING:
    from aletheia_operator.report import Source

MAX_REPORT_BYTES = 64 * 1024 * 1024
HARMLESS = (
    b'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
    b" style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
)
"""Before a report in the browser: the maker of the session may have put scripts into the stored one."""
READ_SECONDS = 60.0
"""Processor time for reading each part of a session, which may be streamed from the cluster."""


def open_report(options: Options) -> int:
    """Write the report into a file that only this user can read, and show it in the browser."""
    with open_session(options) as reader:
        content, session_id = html(reader), reader.session_id
    path = _private_file(session_id)
    replace(path, HARMLESS + content, 0o600)
    if options.browser and _has_display() and webbrowser.open(path.as_uri()):
        print_message(f"the report of {session_id} is open in the browser; the file is {path}")
    else:
        print(path)
    return ExitCode.OK


def report(options: Options) -> int:
    """Write the report to standard output or into a file."""
    require_file_for_html(options)
    with open_session(options) as reader:
        content = html(reader) if options.format == "html" else markdown(reader)
        session_id = reader.session_id
    if options.file is None:
        sys.stdout.flush()
        with os.fdopen(os.dup(1), "wb") as out:
            out.write(content)
        return ExitCode.OK
    replace(options.file, content, 0o600)
    print(f"the report of {session_id} ({readable_size(len(content))}) is in {options.file}")
    return ExitCode.OK


def html(reader: SessionReader) -> bytes:
    """Return the report that is stored in the session; make one if there is none. Raises Refused."""
    artifact = reader.artifact(REPORT)
    if artifact is not None:
        with reader.open(REPORT) as file:
            content = file.read(MAX_REPORT_BYTES + 1)
        if len(content) > MAX_REPORT_BYTES:
            raise Refused(f"the report is larger than {readable_size(MAX_REPORT_BYTES)}: fetch the session to read it")
        return content
    from aletheia_operator.report import html_report

    return html_report(_source(reader))


def markdown(reader: SessionReader) -> bytes:
    """Make the report as Markdown. Raises Refused."""
    from aletheia_operator.report import markdown_report

    return markdown_report(_source(reader)).encode("utf-8", "replace")


def _source(reader: SessionReader) -> "Source":
    from aletheia_operator.report import Source
    from aletheia_operator.report.session import SECONDS

    if not reader.manifest.finished:
        raise Refused(f"{reader.session_id} has no report: its capture has not ended")
    reader.unlock()  # a report leaves out what it cannot read: it would be empty with a wrong key
    return Source(reader.manifest, reader, seconds=dict.fromkeys(SECONDS, READ_SECONDS))


def _private_file(session_id: str) -> Path:
    """Return the path for the report, in a folder that only this user can open. It may hold an earlier report."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aletheia"
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(cache, 0o700)
    except OSError:
        cache = Path(tempfile.mkdtemp(prefix="aletheia-"))
    return cache.absolute() / f"{session_id}.html"


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


open_command = option_command(
    "open",
    open_report,
    "open the report of a session in the browser",
    *reading_options(),
    click.Option(["--browser/--no-browser"], default=True, help="Without a browser: print where the file is."),
    notes=SESSION_HELP,
)
report_command = option_command(
    "report",
    report,
    "write the report of a session: what broke, how that is known, and what is missing",
    *reading_options(),
    *report_options(),
    notes=SESSION_HELP,
)
