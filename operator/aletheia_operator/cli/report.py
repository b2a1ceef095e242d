"""aletheia session report: prints a report of a session, as HTML or Markdown."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from aletheia_operator.cli.command import folder_command, manifest_of, print_result
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.keys import session_key
from aletheia_operator.cli.options import (
    SESSION_HELP,
    Options,
    key_options,
    report_options,
    require_file_for_html,
    session_argument,
)
from aletheia_operator.cli.reader import decrypted
from aletheia_operator.session import Artifact, Manifest, SessionLayout
from aletheia_operator.session.files import replace
from aletheia_operator.session.unseal import decrypt_artifact


def run(options: Options) -> int:
    """Make the report from the session's files. A sealed session is opened with its key."""
    from aletheia_operator.report import PlainFiles, Source, html_report, markdown_report

    require_file_for_html(options)
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
    replace(options.file, text, 0o600)
    about = {"session": manifest.session_id, "path": str(options.file), "sizeBytes": len(text)}
    return print_result(options, f"the report of {manifest.session_id} is in {options.file}", about)


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
        return decrypted(partial(decrypt_artifact, self.directory, artifact, self.key))


def _opened(directory: Path, manifest: Manifest, options: Options) -> OpenedFiles:
    key = session_key(manifest, options)
    return OpenedFiles(directory, {artifact.path: artifact for artifact in manifest.artifacts}, key)


command = folder_command(
    "report",
    run,
    "make the report of a session: what broke, how that is known, and what is missing",
    session_argument(),
    *report_options(),
    *key_options(),
    notes=SESSION_HELP,
)
