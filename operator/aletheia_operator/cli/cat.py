"""aletheia session cat: writes one file of a session to standard output, unchanged. For `kubectl exec`."""

import sys

import click

from aletheia_operator.cli.command import folder_command, session_id
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.options import SESSION_HELP, Options, session_argument
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.files import open_file
from aletheia_operator.session.manifest_file import read_manifest

BLOCK_BYTES = 1024 * 1024


def run(options: Options) -> int:
    """Write the bytes of a file that the manifest lists, from an offset."""
    layout = SessionLayout(options.root)
    id = session_id(layout, options.session)
    if options.path not in (artifact.path for artifact in read_manifest(layout, id).artifacts):
        raise Refused(f"{id} has no file {options.path[:200]}: its manifest lists them")
    with open_file(layout.session(id) / options.path) as file:
        file.seek(options.offset)
        while block := file.read(BLOCK_BYTES):
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
    return 0


command = folder_command(
    "cat",
    run,
    "write one file of a session to standard output, unchanged",
    session_argument(),
    click.Argument(["path"], metavar="PATH"),
    click.Option(
        ["--offset"], type=click.IntRange(min=0), default=0, metavar="BYTES", help="Skip this many bytes at the beginning."
    ),
    notes=SESSION_HELP,
)
