"""aletheia session report: prints what a session says, for people, as HTML or Markdown."""

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from aletheia_operator.cli.command import add_command, add_session, manifest_of, report
from aletheia_operator.cli.keys import Refused, add_key_options, session_key
from aletheia_operator.session import Artifact, Manifest, SessionLayout
from aletheia_operator.session.files import replace
from aletheia_operator.session.unseal import decrypt_artifact

FORMATS = ("html", "markdown")


def add_commands(commands: Any) -> None:
    about = "make the report of a session: what broke, how that is known, and what is missing"
    parser = add_command(commands, "report", run, about)
    add_session(parser)
    parser.add_argument("--format", choices=FORMATS, default="html", help="html: one file, with pictures; markdown: for a chat")
    parser.add_argument("-f", "--file", type=Path, help="where to write it; default: standard output")
    add_key_options(parser)


def run(options: argparse.Namespace) -> int:
    """Make the report from the session's files. A sealed session is opened with its key."""
    from aletheia_operator.report import PlainFiles, Source, html_report, markdown_report

    if options.file is None and options.output == "json":
        raise Refused("name a file with -f for -o json")
    manifest = manifest_of(options)
    if not manifest.finished:
        raise Refused(f"{manifest.session_id} has no report: its capture has not ended")
    directory = SessionLayout(options.root).session(manifest.session_id)
    files = PlainFiles(directory) if manifest.encryption is None else _opened(directory, manifest, options)
    source = Source(manifest, files)
    text = html_report(source) if options.format == "html" else markdown_report(source).encode()
    if options.file is None:
        with os.fdopen(os.dup(1), "wb") as out:
            out.write(text)
        return 0
    replace(options.file, text)
    about = {"session": manifest.session_id, "path": str(options.file), "sizeBytes": len(text)}
    return report(options, f"the report of {manifest.session_id} is in {options.file}", about)


@dataclass(frozen=True)
class OpenedFiles:
    """The files of a sealed session, decrypted one at a time into unlinked files."""

    directory: Path
    artifacts: Mapping[str, Artifact]
    key: str

    def open(self, path: str) -> BinaryIO:
        """Decrypt an artifact. Raises OSError, age.AgeError."""
        artifact = self.artifacts.get(path)
        if artifact is None:
            raise FileNotFoundError(2, "no such artifact", path)
        file = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            decrypt_artifact(self.directory, artifact, self.key, file.write)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file


def _opened(directory: Path, manifest: Manifest, options: argparse.Namespace) -> OpenedFiles:
    key = session_key(manifest, options)
    return OpenedFiles(directory, {artifact.path: artifact for artifact in manifest.artifacts}, key)
