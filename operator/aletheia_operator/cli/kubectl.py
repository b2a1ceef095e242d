"""Reaches the API server through kubectl, so that every kubeconfig, plugin and proxy that works for kubectl works here.

`kubectl proxy` listens on a socket that this user alone can open.
"""

import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from aletheia_operator.cli.errors import Refused

START_SECONDS = 30
READ_SECONDS = 60
OURS = r"^/apis/(artifacts\.)?aletheia\.dev/"
"""Pattern of the API paths of Aletheia's resources."""


class Proxy:
    """A running `kubectl proxy`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> AbstractContextManager[http.client.HTTPResponse]:
        """Send a GET request, and open the answer with its body unread. Raises OSError, HTTPException."""
        return self.request("GET", path, headers=headers)

    @contextmanager
    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request, and open the answer with its body unread. Raises OSError, HTTPException."""
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, body, dict(headers or {}))
            yield connection.getresponse()
        finally:
            connection.close()


@contextmanager
def kubectl_proxy(flags: Sequence[str], accept: str = OURS) -> Iterator[Proxy]:
    """Run `kubectl proxy`. Raises Refused if it does not start.

    `flags`: kubectl's own, for example `--context`; `accept`: a pattern of the paths that it passes on.
    """
    with tempfile.TemporaryDirectory(prefix="aletheia-") as directory, tempfile.TemporaryFile() as errors:
        path = Path(directory) / "proxy"
        command = ["kubectl", *flags, "proxy", f"--unix-socket={path}", f"--accept-paths={accept}"]
        try:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)  # noqa: S603 - its flags are the user's own
        except OSError as e:
            raise Refused(f"kubectl cannot be run: {e.strerror}: install it, and put it into the PATH") from e
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _listens(path):
                if process.poll() is not None or time.monotonic() > deadline:
                    errors.seek(0)
                    raise Refused(f"kubectl proxy did not start: {errors.read(2000).decode(errors='replace').strip()}")
                time.sleep(0.02)
            yield Proxy(path)
        finally:
            process.terminate()
            process.wait()


def current_namespace(flags: Sequence[str]) -> str:
    """Return the namespace of kubectl's context. Raises Refused."""
    command = ["kubectl", *flags, "config", "view", "--minify", "--output=jsonpath={..namespace}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Refused(f"kubectl cannot be run: {e}") from e
    return found.stdout.strip() or "default"


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.fspath(path))
        except OSError:
            return False
    return True


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=READ_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(READ_SECONDS)
        self.sock.connect(os.fspath(self._path))
