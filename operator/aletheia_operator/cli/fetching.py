"""aletheia session fetch: downloads a session from a cluster with the caller's rights, completely or not at all."""

import os
import shutil
import sys
import threading
from pathlib import Path

from aletheia_operator.cli.command import folder_command, report
from aletheia_operator.cli.downloading import Remote
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.kubectl import current_namespace, kubectl_proxy
from aletheia_operator.cli.options import DEFAULT_ROOT, SESSION_HELP, Options, cluster_options, kubectl_flags, session_argument
from aletheia_operator.cli.output import say
from aletheia_operator.session import Manifest, SessionLayout
from aletheia_operator.session.archive import Imported, move_directory
from aletheia_operator.session.files import make_directory, replace
from aletheia_operator.session.names import is_session_id
from aletheia_operator.session.staging import discard_tree
from aletheia_operator.text.sizes import readable_size


def fetch(options: Options) -> int:
    if options.root == DEFAULT_ROOT and not DEFAULT_ROOT.is_dir():
        raise Refused("name the folder to keep sessions in, with --root or $ALETHEIA_ROOT")
    flags = kubectl_flags(options)
    namespace, _, name = options.session.rpartition("/")
    namespace = namespace or options.namespace or current_namespace(flags)
    with kubectl_proxy(flags) as proxy:
        imported = fetch_session(Remote(proxy.get, namespace, name), SessionLayout(options.root))
    path = SessionLayout(options.root).session(imported.session_id)
    size = imported.manifest.size_bytes
    done = (
        "is there already, whole and the same, in" if imported.was_there else f"({readable_size(size)}) fetched and verified to"
    )
    answer = {"session": imported.session_id, "path": str(path), "sizeBytes": size, "wasThere": imported.was_there}
    return report(options, f"{imported.session_id} {done} {path}", answer)


def fetch_session(remote: Remote, layout: SessionLayout) -> Imported:
    """Download a session, check it, and move it into place. Raises Refused, ArchiveError, OSError.

    What was downloaded before an error stays in a hidden folder beside the sessions, and is used next time.
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
    _prepare(directory, content)
    _require_room(directory, manifest)
    remote.download(directory, manifest, _Progress(manifest))
    imported = move_directory(layout, directory)
    discard_tree(directory)
    return imported


def _prepare(directory: Path, manifest: bytes) -> None:
    """Make the folder for a download. Remove a folder with another manifest, or with a link in it."""
    known = directory / "manifest.json"
    linked = directory.is_symlink() or any(path.is_symlink() for path in directory.rglob("*"))
    if not linked and known.is_file() and known.read_bytes() == manifest:
        return
    directory.unlink() if directory.is_symlink() else discard_tree(directory)
    make_directory(directory)
    os.chmod(directory, 0o700)
    replace(known, manifest)


def _require_room(directory: Path, manifest: Manifest) -> None:
    """Raise Refused if the disk has no room for what is still to be fetched."""
    there = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    needed, free = manifest.size_bytes - there, shutil.disk_usage(directory).free
    if needed > free:
        raise Refused(
            f"{directory.parent}: {readable_size(needed)} are still to be fetched, and {readable_size(free)} are free:"
            " make room, or name another folder with --root"
        )


class _Progress:
    """Shows the progress of a download on a terminal."""

    def __init__(self, manifest: Manifest) -> None:
        self._total, self._done, self._said = manifest.size_bytes, 0, -1
        self._guard = threading.Lock()
        self._shown = sys.stderr.isatty()

    def __call__(self, size: int) -> None:
        with self._guard:
            self._done += size
            percent = self._done * 100 // max(1, self._total)
            if self._shown and percent // 10 > self._said:
                self._said = percent // 10
                say(f"{percent} % of {readable_size(self._total)}")


command = folder_command(
    "fetch",
    fetch,
    "download a session from a cluster with your own rights; goes on where it ended",
    session_argument(),
    *cluster_options(),
    notes=SESSION_HELP,
)
