"""aletheia session export | import: writes a session as one archive, and restores it completely or not at all."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from aletheia_operator.cli.command import folder_command, print_result, session_id
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.keys import read_password, session_key
from aletheia_operator.cli.options import FILE, SESSION_HELP, Options, key_options, session_argument
from aletheia_operator.cli.output import print_json, print_message
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.aletheia_archive import export_for_aletheia
from aletheia_operator.session.archive import Imported, export_session, import_directory, import_session
from aletheia_operator.session.files import removed_on_error
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import read_manifest
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.text.sizes import counted, readable_size

ARCHIVE_MODE = 0o600


def export_one(options: Options) -> int:
    layout = SessionLayout(options.root)
    id = session_id(layout, options.session)
    if options.output == "json" and options.file is None:
        raise Refused("standard output is the archive's: name a file with -f for -o json")
    with _target(options.file) as file:
        manifest = _export(options, layout, id, file.write)
    if options.output == "json":
        print_json({"session": id, "path": str(options.file), "sizeBytes": options.file.stat().st_size})
    else:
        print_message(f"{id}: {counted(len(manifest.artifacts), 'artifact')}, {readable_size(manifest.size_bytes)} exported")
    return 0


def import_one(options: Options) -> int:
    layout = SessionLayout(options.root)
    try:
        imported = _imported(options, layout)
    except ArchiveError as e:
        raise Refused(f"the archive is refused: {e}") from e
    id, was_there, size = imported.session_id, imported.was_there, imported.manifest.size_bytes
    path = layout.session(id)
    done = f"{id} is in {path} already, whole and the same" if was_there else f"{id} imported to {path}"
    return print_result(options, done, {"session": id, "path": str(path), "sizeBytes": size, "wasThere": was_there})


def _imported(options: Options, layout: SessionLayout) -> Imported:
    if str(options.file) == "-":
        return import_session(layout, sys.stdin.buffer, options.max_bytes)
    if options.file.is_dir():
        return import_directory(layout, options.file, options.max_bytes)
    with options.file.open("rb") as archive:
        return import_session(layout, archive, options.max_bytes)


def _export(
    options: Options, layout: SessionLayout, session_id: str, write: Callable[[bytes | memoryview], object]
) -> Manifest:
    directory = layout.session(session_id)
    if options.format == "tar":
        return export_session(directory, write)
    if options.archive_password_file is None:
        raise Refused("an archive for Aletheia is locked by a password: name a file with --archive-password-file")
    manifest = read_manifest(layout, session_id)
    key = session_key(manifest, options) if manifest.encryption else None
    return export_for_aletheia(directory, read_password(options.archive_password_file), key, write)


@contextmanager
def _target(path: Path | None) -> Iterator[BinaryIO]:
    """Open the target of an export. An incomplete file is removed."""
    if path is None:
        if sys.stdout.isatty():
            raise Refused("an archive is not for a terminal: name a file with -f, or pipe it")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, ARCHIVE_MODE)
    with removed_on_error(path), os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(descriptor)


def _positive(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise click.BadParameter(f"{text[:80]!r} is not a number of bytes of at least 1")
    return int(text)


export_command = folder_command(
    "export",
    export_one,
    "write a session as one archive",
    session_argument(),
    click.Option(
        ["-f", "--file"], type=FILE, metavar="FILE", help="File to write, readable by you alone; default: standard output."
    ),
    click.Option(
        ["--format"],
        type=click.Choice(["tar", "aletheia"]),
        default="tar",
        help="aletheia: the format that Aletheia's command line imports.",
    ),
    click.Option(["--archive-password-file"], type=FILE, metavar="FILE", help="Password of an archive for Aletheia."),
    *key_options(),
    notes=SESSION_HELP,
)
import_command = folder_command(
    "import",
    import_one,
    "restore a session from an archive or a folder, completely or not at all",
    click.Argument(["file"], type=FILE, metavar="FILE"),
    click.Option(["--max-bytes"], metavar="BYTES", callback=_positive, help="Refuse a larger session."),
    notes="FILE: the archive, - for standard input, or a folder with manifest.json and data/.",
)
