"""Reads sessions by `kubectl exec` in the operator's pod: for an admin, if the artifacts API is switched off or down."""

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.kubectl import LOG_LINE
from aletheia_operator.session.manifest import Artifact, Manifest
from aletheia_operator.session.manifest_file import MAX_MANIFEST_BYTES, Unreadable, parse_manifest

SELECTOR = "app.kubernetes.io/part-of=aletheia,app.kubernetes.io/component=operator"
CONTAINER = "operator"
BLOCK_BYTES = 1024 * 1024
FIND_SECONDS = 60
_PROGRAM = ("/opt/venv/bin/python", "-m", "aletheia_operator.cli")


@dataclass(frozen=True)
class OperatorPod:
    """A running pod of the operator. `flags`: kubectl's own."""

    flags: Sequence[str]
    namespace: str
    name: str

    def run(self, *arguments: str) -> bytes:
        """Run the command line in the pod, and return its output: at most a manifest. Raises Refused with its error."""
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(self._command(arguments), stdout=subprocess.PIPE, stderr=errors)  # noqa: S603
            except OSError as e:
                raise Refused(f"kubectl exec: {e}") from e
            timer = threading.Timer(FIND_SECONDS, process.kill)
            timer.start()
            try:
                assert process.stdout is not None
                with process.stdout as output:
                    found = output.read(MAX_MANIFEST_BYTES + 1)
                if len(found) > MAX_MANIFEST_BYTES:
                    raise Refused(f"{self.namespace}/{self.name} sends more than {MAX_MANIFEST_BYTES} bytes")
                status = process.wait()
                if not timer.is_alive():
                    raise Refused(f"kubectl exec: there was no whole answer within {FIND_SECONDS} s")
                if status:
                    errors.seek(0)
                    raise Refused(_error_line(errors.read(4000)))
                return found
            finally:
                timer.cancel()
                process.kill()
                process.wait()

    def stream(self, *arguments: str) -> Iterator[bytes]:
        """Run the command line in the pod, and yield its output as it comes. Raises Refused."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(self._command(arguments), stdout=subprocess.PIPE, stderr=errors)  # noqa: S603
            try:
                assert process.stdout is not None
                with process.stdout as output:
                    while block := output.read(BLOCK_BYTES):
                        yield block
                if process.wait():
                    errors.seek(0)
                    raise Refused(_error_line(errors.read(4000)))
            finally:
                process.kill()
                process.wait()

    def _command(self, arguments: Sequence[str]) -> list[str]:
        where = ["exec", "-n", self.namespace, self.name, "-c", CONTAINER, "--"]
        return ["kubectl", *self.flags, *where, *_PROGRAM, "session", *arguments]


@dataclass(frozen=True)
class PodSession:
    """A session on the volume of the operator's pod."""

    pod: OperatorPod
    manifest: Manifest

    def blocks(self, artifact: Artifact, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of an artifact's file from `start`. Raises Refused."""
        return self.pod.stream("cat", self.manifest.session_id, artifact.path, f"--offset={start}")


def operator_pod(flags: Sequence[str]) -> OperatorPod:
    """Find a running pod of the operator. Raises Refused if none or not only one runs, or the user may not list pods."""
    command = ["kubectl", *flags, "get", "pods", "--all-namespaces", f"--selector={SELECTOR}", "--output=json"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=FIND_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Refused(f"kubectl get pods: {e}") from e
    if done.returncode:
        raise Refused(_error_line(done.stderr))
    found = [
        OperatorPod(flags, pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in json.loads(done.stdout)["items"]
        if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    if not found:
        raise Refused(f"no pod of the operator runs (kubectl get pods -A -l {SELECTOR})")
    if len(namespaces := sorted({pod.namespace for pod in found})) > 1:  # one of them may be a tenant's
        raise Refused(
            f"pods with the operator's labels are in {', '.join(namespaces)}: use `kubectl exec` with the one you trust"
        )
    return found[0]


def session_of(pod: OperatorPod, name: str) -> PodSession:
    """Return the session with an id, or that of an Investigation NAMESPACE/NAME. Raises Refused."""
    answer: Any = pod.run("show", name, "--output=json")
    try:
        return PodSession(pod, parse_manifest(answer))
    except Unreadable as e:
        raise Refused(f"the pod's answer is no manifest: {e}") from e


def _error_line(errors: bytes) -> str:
    """Return the line of kubectl's stderr with the error."""
    lines = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    own = [line for line in lines if not LOG_LINE.match(line)] or lines
    wrong = [line for line in own if line.lower().startswith("error")] or own[:1] or ["kubectl exec failed"]
    return wrong[0].removeprefix("error: ")
