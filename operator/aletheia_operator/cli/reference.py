"""Finds the session that the user names: by id, by the Investigation's NAME or NAMESPACE/NAME, or by its folder.

Commands that read evidence call `open_session`. They get a `SessionReader`, which hides where the session is stored.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aletheia_operator.api.paths import API, ARTIFACTS_ROOT, INVESTIGATIONS
from aletheia_operator.api.paths import investigation as investigation_path
from aletheia_operator.cli.cluster import NAME, ApiError, ClusterApi, connected
from aletheia_operator.cli.command import session_id
from aletheia_operator.cli.downloading import NoApi, NoSession, Remote
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.keys import session_key
from aletheia_operator.cli.options import Options
from aletheia_operator.cli.output import print_message
from aletheia_operator.cli.pod import PodSession, operator_pod, session_of
from aletheia_operator.cli.reader import FolderFiles, RawFiles, SessionReader, StreamedFiles
from aletheia_operator.session import Manifest, SessionLayout
from aletheia_operator.session.layout import MANIFEST
from aletheia_operator.session.manifest_file import read_copy, read_manifest
from aletheia_operator.session.names import is_session_id

READING_DELAYS = (0.5, 1.0)
"""Seconds to wait between tries while the artifacts API is down. Then `kubectl exec` is tried."""


@dataclass(frozen=True)
class Reference:
    """A parsed reference to a session. `namespace` '': that of the options, or of kubectl's context."""

    namespace: str
    name: str

    @property
    def is_id(self) -> bool:
        return is_session_id(self.name)


def parsed(text: str) -> Reference:
    """Parse `NAME`, `NAMESPACE/NAME` or a session id in upper or lower case. Raises Refused."""
    namespace, _, name = text.rpartition("/")
    if not NAME.fullmatch(name) or (namespace and not NAME.fullmatch(namespace)):
        raise Refused(f"{text[:100]!r} names no session: write its id, NAME or NAMESPACE/NAME")
    upper = name.upper()
    return Reference(namespace, upper if is_session_id(upper) else name)


@contextmanager
def open_session(options: Options, name: str | None = None) -> Iterator[SessionReader]:
    """Open the session with this `name`; None: `options.session`. Raises Refused, Unreadable, OSError.

    `options`: the values of `reading_options`. With --root, or the path of a session's folder, only the disk is read. Else the
    artifacts API is used, or `kubectl exec` in the operator's pod if the API is missing or down.
    """
    name = options.session if name is None else name
    if options.root is not None:
        layout = SessionLayout(options.root)
        id = session_id(layout, name)
        yield _reader(read_manifest(layout, id), FolderFiles(layout.session(id)), options)
        return
    folder = Path(name).expanduser()
    if (name.startswith((".", "/", "~")) or not name.count("/")) and (folder / MANIFEST).is_file():
        yield _reader(read_copy(folder)[0], FolderFiles(folder), options)
        return
    with connected(options) as cluster:
        yield remote_reader(cluster, parsed(name), options)


def remote_reader(cluster: ClusterApi, reference: Reference, options: Options) -> SessionReader:
    """Return the reader of a session in a cluster. Raises Refused."""
    try:
        remote, manifest = remote_session(cluster, reference)
    except NoApi as e:
        return _by_exec(cluster, reference, options, e)
    return _reader(manifest, StreamedFiles(remote.blocks), options)


def remote_session(cluster: ClusterApi, reference: Reference) -> tuple[Remote, Manifest]:
    """Find a session through the artifacts API. Raises NoApi; NoSession with the nearest names; Refused."""
    namespace = reference.namespace or cluster.namespace
    remote = Remote(cluster.proxy.get, namespace, reference.name, delays=READING_DELAYS)
    try:
        manifest, _ = remote.manifest()
    except NoSession as e:
        elsewhere = _namespace_of(cluster, reference) if reference.is_id and not reference.namespace else None
        if elsewhere is None:
            raise NoSession(_missing(cluster, namespace, reference.name)) from e
        remote = replace(remote, namespace=elsewhere)
        manifest, _ = remote.manifest()
    return remote, manifest


def _reader(manifest: Manifest, raw: RawFiles, options: Options) -> SessionReader:
    key = partial(session_key, manifest, options) if manifest.encryption else None
    return SessionReader(manifest, raw, key)


def _by_exec(cluster: ClusterApi, reference: Reference, options: Options, why: NoApi) -> SessionReader:
    found = session_by_exec(cluster, reference, why)
    return _reader(found.manifest, StreamedFiles(found.blocks), options)


def session_by_exec(cluster: ClusterApi, reference: Reference, why: NoApi) -> PodSession:
    """Find a session by `kubectl exec` in the operator's pod, and print that. Raises Refused, with `why` and its own reason."""
    try:
        pod = operator_pod(cluster.flags)
        namespace = reference.namespace or cluster.namespace
        found = session_of(pod, reference.name if reference.is_id else f"{namespace}/{reference.name}")
    except Refused as e:
        raise Refused(f"{why}; and not by kubectl exec either: {e}") from e
    print_message(f"{why}. Reading by kubectl exec in {pod.namespace}/{pod.name}")
    return found


def _namespace_of(cluster: ClusterApi, reference: Reference) -> str | None:
    """Return the namespace of the session with this id; None if none has it, or the user may not list all namespaces."""
    try:
        found = cluster.items(f"{ARTIFACTS_ROOT}/sessions", fieldSelector=f"metadata.name={reference.name}")
    except ApiError:
        return None
    return next((str(session["metadata"]["namespace"]) for session in found), None)


def _missing(cluster: ClusterApi, namespace: str, name: str) -> str:
    """Return why there is no session of this name, with the nearest names."""
    from aletheia_operator.text.nearest import hint

    try:
        found: dict[str, Any] = cluster.get(investigation_path(quote(namespace, safe=""), quote(name, safe="")))
        status = found.get("status") or {}
        phase, session = status.get("phase") or "Pending", (status.get("session") or {}).get("id")
        if status.get("completionTime"):
            lost = f"its session {session} was removed" if session else "it has no session"
            return f"Investigation {namespace}/{name} is {phase}, and {lost}: `describe {name}` shows its status"
        return f"Investigation {namespace}/{name} is {phase} and has no session yet: `wait {namespace}/{name}` waits for it"
    except ApiError:
        pass
    names: list[str] = []
    for path in (f"{API}/namespaces/{namespace}/{INVESTIGATIONS}", f"{ARTIFACTS_ROOT}/namespaces/{namespace}/sessions"):
        try:
            names += [str(found["metadata"]["name"]) for found in cluster.items(path)]
        except ApiError:
            continue
    if not names and (fault := cluster.no_namespace(namespace)):
        return fault
    return f"there is no session {name[:100]} in namespace {namespace}{hint(name, names)}"
