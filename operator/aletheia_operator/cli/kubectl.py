"""Reaches the API server through kubectl, so that every kubeconfig, plugin and proxy that works for kubectl works here.

`kubectl proxy` listens on a socket that this user alone can open.
"""

import http.client
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.output import print_message

START_SECONDS = 30
END_SECONDS = 1.0
READ_SECONDS = 60
PIPE_BYTES = 1024 * 1024
_PR_SET_PDEATHSIG = 1
"""Of Linux' prctl(2): the signal that a process gets if its parent ends."""
OURS = r"^/apis/(artifacts\.)?aletheia\.dev/,^/api/v1/namespaces$"
"""Patterns of the API paths of Aletheia's resources, and of the list of namespaces."""
PROXY_FAILED = frozenset({500, 502})
"""Statuses of `kubectl proxy` if the API server does not answer. The reason is plain text."""
_WITHOUT_KUBECONFIG = re.compile(r"(127\.0\.0\.1|\[::1\]|localhost):8080")
"""The server that kubectl asks if there is no kubeconfig."""
LOG_LINE = re.compile(r"[IWEF]\d{4} \d\d:\d\d")
"""Begin of kubectl's own log lines, which repeat what the answers say."""
KEPT_LINES = 20


class KubectlProxy:
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
def kubectl_proxy(flags: Sequence[str], accept: str) -> Iterator[KubectlProxy]:
    """Run `kubectl proxy`. Raises Refused if it does not start.

    `flags`: kubectl's own, for example `--context`; `accept`: a pattern of the paths that it passes on.
    """
    with tempfile.TemporaryDirectory(prefix="aletheia-") as directory:
        path = Path(directory) / "proxy"
        command = ["kubectl", *flags, "proxy", f"--unix-socket={path}", f"--accept-paths={accept}"]
        try:
            process = _started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except OSError as e:
            raise Refused(f"kubectl cannot be run: {e.strerror}: install it, and put it into the PATH") from e
        assert process.stderr is not None
        messages = _Messages(process.stderr)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _listens(path):
                if process.poll() is not None or time.monotonic() > deadline:
                    process.terminate()
                    raise Refused(f"kubectl proxy did not start: {messages.end()}")
                time.sleep(0.02)
            messages.are_printed = True
            yield KubectlProxy(path)
        finally:
            process.terminate()
            process.wait()
            messages.end()


class _Messages(threading.Thread):
    """Reads the lines that kubectl and its credential plugin write to stderr, for example where to log in.

    `are_printed`: the user sees them at once, except kubectl's own log lines. Else the last are kept.
    """

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.are_printed = False
        self._source, self._kept = source, deque[str](maxlen=KEPT_LINES)
        self.start()

    def run(self) -> None:
        for content in self._source:
            line = content.decode(errors="replace").strip()
            if not self.are_printed:
                self._kept.append(line)
            elif line and not LOG_LINE.match(line):
                print_message(line)

    def end(self) -> str:
        """Wait for the last lines, and return those that were kept. A process that a plugin left is not waited for."""
        self.join(END_SECONDS)
        return " ".join(self._kept)


def failure_of_proxy(status: int, text: str) -> str | None:
    """Return why `kubectl proxy` did not reach the API server; None for an answer of the server (JSON) or a gateway (HTML)."""
    if status not in PROXY_FAILED or not text.strip() or text.lstrip()[0] in "{<":
        return None
    hint = ". Is there a kubeconfig? `kubectl config view` shows it" if _WITHOUT_KUBECONFIG.search(text) else ""
    return f"kubectl does not reach the cluster: {text.strip()}{hint}"


class RawBody:
    """The body of an answer, as a running `kubectl get --raw` prints it."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes], errors: IO[bytes]) -> None:
        self._process, self._output, self._errors = process, output, errors

    def read(self, amount: int) -> bytes:
        """Return the next bytes, at most `amount`; b'' at the end.

        Raises OSError if kubectl fails, for example because the answer was cut, or if no byte comes for READ_SECONDS.
        """
        if not select.select([self._output], [], [], READ_SECONDS)[0]:
            raise TimeoutError(f"no byte came within {READ_SECONDS} s")
        block = os.read(self._output.fileno(), amount)
        if not block and self._process.wait() != 0:
            self._errors.seek(0)
            raise ConnectionError(self._errors.read(2000).decode(errors="replace").strip())
        return block


@contextmanager
def raw_body(flags: Sequence[str], path: str) -> Iterator[RawBody]:
    """Run `kubectl get --raw`, and yield the body of the answer. Raises OSError.

    It takes half the time of a request through the proxy, because it passes bytes on once and without HTTP/2, but always begins
    at the first byte. `flags`: kubectl's own.
    """
    with tempfile.TemporaryFile() as errors:
        command, nothing = ["kubectl", *flags, "get", "--raw", path], subprocess.DEVNULL
        environment = {**os.environ, "DISABLE_HTTP2": "true"}
        process = _started(command, stdin=nothing, stdout=subprocess.PIPE, stderr=errors, environment=environment)
        assert process.stdout is not None
        try:
            with process.stdout as output:
                yield RawBody(process, output, errors)
        finally:
            process.kill()
            process.wait()


def current_namespace(flags: Sequence[str]) -> str:
    """Return the namespace of kubectl's context. Raises Refused."""
    command = ["kubectl", *flags, "config", "view", "--minify", "--output=jsonpath={..namespace}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Refused(f"kubectl cannot be run: {e}") from e
    return found.stdout.strip() or "default"


def _started(
    command: Sequence[str],
    *,
    stdout: int,
    stderr: IO[bytes] | int,
    stdin: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command. On Linux the kernel ends it with the thread that started it. Raises OSError."""
    if sys.platform != "linux":
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment)  # noqa: S603 - its flags are the user's own
    import ctypes

    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def end_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # killed meanwhile
            os._exit(1)

    return subprocess.Popen(  # noqa: S603
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        pipesize=PIPE_BYTES,
        preexec_fn=end_with_parent,
    )


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
