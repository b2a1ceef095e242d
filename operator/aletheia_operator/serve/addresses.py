"""Parses the paths of requests to the artifacts API. Pure.

    /apis/artifacts.aletheia.dev/v1alpha1/sessions
    /apis/artifacts.aletheia.dev/v1alpha1/namespaces/{namespace}/sessions[/{name}[/{subresource}[/{file}]]]

The API server authorizes what it reads from the path, so this parser accepts exactly one spelling of each path.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from aletheia_operator.api.paths import ARTIFACTS_ROOT

SUBRESOURCES = ("manifest", "files", "archive", "report")
MAX_PATH_BYTES = 4096


class NoSuchAddress(Exception):
    """There is no such path. The message says why."""


@dataclass(frozen=True)
class Address:
    """The session, and the part of it, that a request names."""

    namespace: str | None
    """None: all namespaces."""
    name: str | None
    """Session id, or name of an Investigation. None: the list of sessions."""
    subresource: str = ""
    """One of SUBRESOURCES; empty: the session itself."""
    file: str = ""
    """Path below the session's directory, for the subresource `files`."""


def parse(raw_path: str) -> Address:
    """Parse the path of a request. `raw_path`: percent-encoded as sent, without the query. Raises NoSuchAddress."""
    prefix = f"{ARTIFACTS_ROOT}/"
    if len(raw_path) > MAX_PATH_BYTES or not raw_path.startswith(prefix):
        raise NoSuchAddress("there is no such path")
    segments = [_decoded(segment) for segment in raw_path.removeprefix(prefix).split("/")]
    match segments:
        case ["sessions"]:
            return Address(None, None)
        case ["namespaces", namespace, "sessions"]:
            return Address(namespace, None)
        case ["namespaces", namespace, "sessions", name]:
            return Address(namespace, name)
        case ["namespaces", namespace, "sessions", name, "files", first, *rest]:
            return Address(namespace, name, "files", "/".join([first, *rest]))
        case ["namespaces", namespace, "sessions", name, subresource] if subresource in SUBRESOURCES and subresource != "files":
            return Address(namespace, name, subresource)
        case ["namespaces", _, "sessions", _, "files"]:
            raise NoSuchAddress("name a file: sessions/NAME/files/PATH, with a path from the manifest")
    raise NoSuchAddress(f"there is no such path: a session has the subresources {', '.join(SUBRESOURCES)}")


def _decoded(segment: str) -> str:
    """Return the decoded segment. Raises NoSuchAddress if another parser could read it as several segments, or differently."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as e:
        raise NoSuchAddress("a part of the path is not UTF-8") from e
    if text in ("", ".", "..") or "/" in text or "\\" in text or not text.isprintable():
        raise NoSuchAddress("a part of the path is empty, `.` or `..`, or has a slash or a control character")
    return text
