"""aletheia session fetch: downloads a session from a cluster with the caller's rights, completely or not at all."""

import dataclasses
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from aletheia_operator.cli.cluster import ClusterApi, connected
from aletheia_operator.cli.command import folder_command, print_result
from aletheia_operator.cli.downloading import DELAYS_SECONDS, KEPT, NoApi, Remote
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.keys import session_key
from aletheia_operator.cli.kubectl import raw_body
from aletheia_operator.cli.options import FILE, SESSION_HELP, Options, cluster_options, key_options, session_argument
from aletheia_operator.cli.output import print_message
from aletheia_operator.cli.reference import Reference, parsed, remote_session, session_by_exec
from aletheia_operator.scratch import free_space
from aletheia_operator.session import Manifest, SessionLayout
from aletheia_operator.session.archive import Imported, import_session, is_there, move_directory
from aletheia_operator.session.files import make_directory, replace
from aletheia_operator.session.layout import MANIFEST
from aletheia_operator.session.lock import SessionBusy, locked
from aletheia_operator.session.manifest_file import MAX_MANIFEST_BYTES
from aletheia_operator.session.names import is_session_id
from aletheia_operator.session.staging import discard_tree
from aletheia_operator.session.unseal import decrypt_session
from aletheia_operator.text.sizes import readable_size

TAR_BYTES = 64 * 1024
"""More than an archive has for each file besides its content: headers, padding, and a part of its end."""


def fetch(options: Options) -> int:
    """Download a session. With --unseal also write it decrypted into another folder. Only this user can read either."""
    before = os.umask(0o077)
    try:
        return _fetch(options)
    except KeyboardInterrupt:
        print_message(KEPT)
        raise
    finally:
        os.umask(before)


def _fetch(options: Options) -> int:
    layout = SessionLayout(options.root)
    reference = parsed(options.session)
    with connected(options) as cluster:
        try:
            remote, _ = remote_session(cluster, reference)
            remote = dataclasses.replace(remote, delays=DELAYS_SECONDS, get_whole=partial(raw_body, cluster.flags))
            imported = fetch_session(remote, layout)
        except NoApi as e:
            imported = _fetch_by_exec(cluster, reference, layout, e)
    path, size = layout.session(imported.session_id), imported.manifest.size_bytes
    done = (
        "is there already, whole and the same, in" if imported.was_there else f"({readable_size(size)}) fetched and verified to"
    )
    answer = {"session": imported.session_id, "path": str(path), "sizeBytes": size, "wasThere": imported.was_there}
    if options.unseal is None:
        return print_result(options, f"{imported.session_id} {done} {path}", answer)
    if options.unseal.exists():
        raise Refused(f"{imported.session_id} is in {path}; {options.unseal} exists: name a folder that does not")
    decrypt_session(path, imported.manifest, session_key(imported.manifest, options), options.unseal)
    answer["unsealed"] = str(options.unseal)
    return print_result(options, f"{imported.session_id} {done} {path}, and decrypted to {options.unseal}", answer)


def _fetch_by_exec(cluster: ClusterApi, reference: Reference, layout: SessionLayout, why: NoApi) -> Imported:
    """Download a session as an archive from the operator's pod. Raises Refused, ArchiveError, OSError."""
    found = session_by_exec(cluster, reference, why)
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=layout.root) as file:
        most = found.manifest.size_bytes + MAX_MANIFEST_BYTES + TAR_BYTES * (len(found.manifest.artifacts) + 2)
        for block in found.pod.stream("export", found.manifest.session_id):
            file.write(block)
            if file.tell() > most:
                raise Refused(f"{found.pod.namespace}/{found.pod.name} sends more than the manifest says")
        file.seek(0)
        return import_session(layout, file, None)


def fetch_session(remote: Remote, layout: SessionLayout) -> Imported:
    """Download a session, check it, and move it into place. Raises Refused, ArchiveError, OSError.

    After an error the downloaded bytes stay in a hidden folder below the root. The next call resumes from them.
    """
    manifest, content = remote.manifest()
    if not is_session_id(manifest.session_id):
        raise Refused("the server's answer names no session")
    if not manifest.finished:
        raise Refused(f"the capture of {manifest.session_id} goes on: fetch it when it has ended")
    if manifest.expiration_time is not None:
        raise Refused(f"the data of {manifest.session_id} has expired and was removed")
    if not layout.root.exists():
        layout.root.mkdir(mode=0o700, parents=True)
    directory = layout.root / f".fetch-{manifest.session_id}"
    with _locked(directory):
        if is_there(layout, manifest, content):
            imported = Imported(manifest, was_there=True)
        else:
            _prepare(directory, content)
            _require_room(directory, manifest)
            remote.download(directory, manifest, _Progress(manifest))
            imported = move_directory(layout, directory)
        discard_tree(directory)
    return imported


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Make the folder for a download, and lock it within the context. Raises Refused if another `fetch` uses it."""
    if directory.is_symlink():
        directory.unlink()
    make_directory(directory)
    try:
        with locked(directory):
            yield
    except SessionBusy as e:
        raise Refused(f"another command fetches this session into {directory.parent}: wait until it has ended") from e


def _prepare(directory: Path, manifest: bytes) -> None:
    """Write the manifest. Remove what belongs to another one, and a folder with a link in it."""
    os.chmod(directory, 0o700)
    known = directory / MANIFEST
    linked = any(path.is_symlink() for path in directory.rglob("*"))
    if not linked and known.is_file() and known.read_bytes() == manifest:
        return
    for left in list(directory.iterdir()):
        discard_tree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    replace(known, manifest)


def _require_room(directory: Path, manifest: Manifest) -> None:
    """Raise Refused if the disk has no room for the rest of the download."""
    there = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    free, reserve = free_space(directory)
    if (needed := manifest.size_bytes - there) > free - reserve:
        raise Refused(
            f"{directory.parent}: {readable_size(needed)} are still to be fetched, and {readable_size(free)} are free:"
            " make room, or name another folder with --root"
        )


class _Progress:
    """Shows the progress of a download on a terminal."""

    def __init__(self, manifest: Manifest) -> None:
        self._total, self._done, self._printed_tenths = manifest.size_bytes, 0, -1
        self._guard = threading.Lock()
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, size: int) -> None:
        with self._guard:
            self._done += size
            percent = self._done * 100 // max(1, self._total)
            if self._is_terminal and percent // 10 > self._printed_tenths:
                self._printed_tenths = percent // 10
                print_message(f"{percent} % of {readable_size(self._total)}")


command = folder_command(
    "fetch",
    fetch,
    "download a session from a cluster with your own rights; resumes an interrupted download",
    session_argument(),
    *cluster_options(),
    click.Option(["--unseal"], type=FILE, metavar="FOLDER", help="Also decrypt it into this new folder."),
    *key_options(),
    notes=SESSION_HELP,
)
