"""The operator as a process of this machine, against a real API server."""

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aletheia_operator.handlers.event_loop import LONG_SECONDS
from tests.cluster.provider import Cluster
from tests.cluster.rig import RigError
from tests.support.api import OBJECTS, follow

TIMELINE = "data/timeline.json"
FINDINGS = "data/findings.json"
_PAUSE = re.compile(r"the event loop paused .*\(([0-9.]+) s of its own processor time\)")


PATIENCE = 4
"""How many times as long as on an idle machine a wait may take: other work may need the processors."""


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true value of `condition`, which is called repeatedly. `seconds`: its time limit on an idle machine."""
    limit = PATIENCE * seconds
    deadline = time.monotonic() + limit
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.05)


def next_second() -> None:
    """Wait until the current second is over.

    The kubelet and the controllers post Events a moment after what these report.
    """
    second = int(time.time())
    until(lambda: int(time.time()) > second, 5, "the second is over")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@dataclass
class Operator:
    """One operator process; call `start` again after `kill` to continue with the same sessions."""

    cluster: Cluster
    root: Path
    namespaces: Sequence[str]
    options: Sequence[str] = ()
    wrapper: Sequence[str] = ()
    """A command that starts the process, for example in separate namespaces."""
    environment: Mapping[str, str] = field(default_factory=dict)
    trusts_creators: bool = True
    """Whether the operator needs no admission policy: most tests have none, and run as admins."""
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def start(self, wait: bool = True) -> "Operator":
        self.port = free_port()
        command = [
            *self.wrapper,
            *(sys.executable, "-m", "aletheia_operator", f"--kubeconfig={self.cluster.kubeconfig}"),
            *(f"--session-root={self.root}", f"--listen=127.0.0.1:{self.port}"),
            *(["--trust-creators"] if self.trusts_creators else []),
            *(f"--namespace={namespace}" for namespace in self.namespaces),
            *self.options,
        ]
        source = Path(__file__).resolve().parents[2] / "operator"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment, "PYTHONPATH": str(source)},
            )
        if wait:
            until(self.healthy, 30, f"the operator is healthy; its log: {self.log_path}")
        return self

    @property
    def log_path(self) -> Path:
        return self.root.parent / f"{self.root.name}.operator.log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_path.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """Send SIGKILL: nothing is cleaned up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Send SIGTERM, as the kubelet does."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            try:
                self.process.wait(PATIENCE * 30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
            self.process = None
        self.check_pauses()

    def check_pauses(self) -> None:
        """Fail if the event loop was blocked for too long by its own work."""
        for line in self.log_path.read_text(errors="replace").splitlines():
            if (found := _PAUSE.search(line)) and float(found[1]) >= LONG_SECONDS:
                raise AssertionError(f"the event loop was blocked: {line}")


@dataclass(frozen=True)
class Kubectl:
    """kubectl in one namespace."""

    cluster: Cluster
    namespace: str

    def __call__(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 90) -> str:
        return self.cluster.run_kubectl("-n", self.namespace, *arguments, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, *resources: dict[str, Any], timeout_seconds: float = 90) -> None:
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(resources)})
        self("apply", "-f", "-", stdin=items, timeout_seconds=timeout_seconds)

    def get(self, *what: str) -> Any:
        return json.loads(self("get", *what, "-o", "json"))

    def reasons(self, name: str) -> set[str]:
        """Return the reasons of the Events of an object."""
        of_it = f"--field-selector=involvedObject.name={name}"
        return set(self("get", "events", of_it, "-o", "jsonpath={.items[*].reason}").split())

    def wait(self, what: str, condition: str, seconds: int = 60) -> None:
        """Wait for a condition. `seconds`: its time limit on an idle machine."""
        limit = PATIENCE * seconds
        self("wait", what, f"--for={condition}", f"--timeout={limit}s", timeout_seconds=limit + 60)

    def may(self, account: str, verb: str, resource: str, *flags: str) -> bool:
        """Return whether a ServiceAccount of the namespace has this right. The API server notices a changed role later."""
        who = f"--as=system:serviceaccount:{self.namespace}:{account}"
        try:
            return self("auth", "can-i", verb, resource, who, *flags).strip() == "yes"
        except RigError:  # kubectl's exit code for "no"
            return False

    def investigate(self, name: str, **spec: Any) -> Any:
        """Apply an Investigation and wait until it has ended. Returns the resource.

        Its window ends with the second of its creation, so what was there before is within it.
        """
        self.apply(investigation(name, **spec))
        return self.ended(name)

    def ended(self, name: str, seconds: int = 60) -> Any:
        """Wait until an Investigation has ended. Returns it as `get` does."""
        path, only = f"{OBJECTS}/namespaces/{self.namespace}/investigations", {"fieldSelector": f"metadata.name={name}"}
        status: Any = None
        for found in follow(self.cluster, path, only, PATIENCE * seconds):
            status = found.get("status") or {}
            if status.get("completionTime"):
                del found["metadata"]["managedFields"]  # kubectl does not show them
                return found
        raise AssertionError(f"not within {PATIENCE * seconds} s: {name} has ended; its status: {status}")


def investigation(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "aletheia.dev/v1alpha1", "kind": "Investigation", "metadata": {"name": name}, "spec": spec}


def data_source(name: str, kind: str, endpoint: str, **spec: Any) -> dict[str, Any]:
    """Return a DataSource, open to all namespaces unless `spec` has allowedNamespaces. None there: the field is left out."""
    allowed = spec.pop("allowedNamespaces", ["*"])
    if allowed is not None:
        spec["allowedNamespaces"] = allowed
    return {
        "apiVersion": "aletheia.dev/v1alpha1",
        "kind": "DataSource",
        "metadata": {"name": name},
        "spec": {"type": kind, "endpoint": endpoint, **spec},
    }


def pod(name: str, script: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a pod with one container `app` that runs a shell script."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "containers": [container("app", script)],
            **spec,
        },
    }


def container(name: str, script: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": "docker.io/library/busybox:1.36",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
    }


def session_of(resource: Any, root: Path | None = None) -> Path:
    """Return the session's directory; below `root` if the operator has another path for it."""
    path = Path(resource["status"]["session"]["path"])
    return path if root is None else root / "sessions" / path.name


def evidence_of(resource: Any) -> list[Any]:
    """Return the status' artifacts except findings, timeline and report, which are derived from them."""
    derived = ("Findings", "Timeline", "Report")
    return [artifact for artifact in resource["status"]["artifacts"] if artifact["fetcher"] not in derived]


def artifact_of(resource: Any, number: int = 0) -> Any:
    return read_document(resource, evidence_of(resource)[number]["path"])


def read_document(resource: Any, path: str) -> Any:
    return json.loads((session_of(resource) / path).read_bytes())


def check_session(session: Path) -> dict[str, Any]:
    """Compare every file with the manifest, and return the manifest: none missing, none altered, none extra."""
    manifest: dict[str, Any] = json.loads((session / "manifest.json").read_bytes())
    listed = {"manifest.json", *(artifact["path"] for artifact in manifest["artifacts"])}
    present = {str(path.relative_to(session)) for path in session.rglob("*") if not path.is_dir()}
    assert present == listed
    for artifact in manifest["artifacts"]:
        content = (session / artifact["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == artifact["sha256"]
        assert len(content) == artifact["sizeBytes"]
        if artifact["path"] == "report.html":
            assert content.startswith(b"<!doctype html>")
            continue
        document = json.loads(content)
        assert len(document["data"]) == artifact["count"] == document["metadata"]["count"]
    return manifest
