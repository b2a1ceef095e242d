"""Flux's own kustomize-controller in a test's cluster, fed from real Git repositories.

Flux's source-controller is imitated: a commit's archive is served on loopback, and named in the status of a GitRepository.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from tests.cluster import programs
from tests.cluster.rig import RigError, bin_dir, run
from tests.cluster.servers import answers, free_ports, process
from tests.support.http import threads_serving
from tests.support.operator import Kubectl

SECONDS = 90
WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files, and does not log requests."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass(frozen=True)
class Flux:
    """A running kustomize-controller that handles the Kustomizations of one namespace."""

    kubectl: Kubectl
    directory: Path
    archives: str
    """URL of the folder `directory`/archives."""

    def delivery(self, name: str, **spec: Any) -> "Delivery":
        """Make a Git repository, and a Kustomization of its files. `spec`: its fields, in addition to the usual ones."""
        folder = self.directory / name
        folder.mkdir()
        git = Delivery(self, name, folder)
        git.run("init", "--quiet", "--initial-branch=main")
        source = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": name}}
        source["spec"] = {"interval": "1h", "url": f"https://git.example/{name}"}
        kustomization = {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": name},
            "spec": {
                "interval": "1h",
                "timeout": "60s",
                "prune": True,
                "sourceRef": {"kind": "GitRepository", "name": name},
                "targetNamespace": self.kubectl.namespace,
                **spec,
            },
        }
        self.kubectl.apply(source, kustomization)
        return git


@dataclass
class Delivery:
    """One Git repository, and the GitRepository and Kustomization of the same name that apply its last commit."""

    flux: Flux
    name: str
    folder: Path
    revision: str = field(init=False, default="")

    def run(self, *arguments: str) -> str:
        return run(["git", *WHO, *arguments], cwd=self.folder)

    def commit(self, files: Mapping[str, Sequence[Mapping[str, Any]] | str | None]) -> "Delivery":
        """Commit these files, and publish the commit. A file is text or resources; None removes it."""
        for name, content in files.items():
            path = self.folder / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content if isinstance(content, str) else yaml.safe_dump_all(content))
        self.run("add", "--all")
        self.run("commit", "--quiet", "--allow-empty", "--message=change")
        return self.publish()

    def revert(self) -> "Delivery":
        """Revert the last commit, and publish that."""
        self.run("revert", "--no-edit", "HEAD")
        return self.publish()

    def publish(self) -> "Delivery":
        """Tell Flux of the last commit, as its source-controller does."""
        commit = self.run("rev-parse", "HEAD").strip()
        archive = self.flux.directory / "archives" / f"{self.name}-{commit}.tar.gz"
        self.run("archive", "--format=tar.gz", f"--output={archive}", "HEAD")
        content = archive.read_bytes()
        self.revision = f"main@sha1:{commit}"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored", "lastTransitionTime": now}
        artifact = {
            "path": archive.name,
            "url": f"{self.flux.archives}/{archive.name}",
            "revision": self.revision,
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "size": len(content),
            "lastUpdateTime": now,
        }
        status = {"status": {"observedGeneration": 1, "conditions": [ready], "artifact": artifact}}
        self.flux.kubectl(
            "patch", "gitrepository", self.name, "--subresource=status", "--type=merge", f"--patch={json.dumps(status)}"
        )
        return self

    def applied(self) -> dict[str, Any]:
        """Wait until the last commit is applied, and healthy if the Kustomization waits for that. Returns the Kustomization."""
        return self._when(f"jsonpath={{.status.lastAppliedRevision}}={self.revision}")

    def failed(self) -> str:
        """Wait until the last commit has failed. Returns the message of Flux."""
        resource = self._when("condition=Ready=False")
        assert resource["status"]["lastAttemptedRevision"] == self.revision
        return condition(resource, "Ready")["message"]

    def reconcile(self) -> dict[str, Any]:
        """Reconcile once more, as `flux reconcile kustomization` does. Returns the Kustomization."""
        token = uuid4().hex
        self.flux.kubectl("annotate", "--overwrite", "kustomization", self.name, f"reconcile.fluxcd.io/requestedAt={token}")
        return self._when(f"jsonpath={{.status.lastHandledReconcileAt}}={token}")

    def set(self, **spec: Any) -> None:
        """Change fields of the Kustomization."""
        self.flux.kubectl("patch", "kustomization", self.name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def delete(self) -> None:
        """Delete the Kustomization, and wait until its finalizer has run."""
        self.flux.kubectl("delete", "kustomization", self.name, f"--timeout={SECONDS}s", timeout_seconds=SECONDS + 10)

    def _when(self, holds: str) -> dict[str, Any]:
        kubectl = self.flux.kubectl
        try:
            kubectl.wait(f"kustomization/{self.name}", holds, SECONDS)
        except RigError as e:
            status = kubectl("get", "kustomization", self.name, "-o=jsonpath={.status.conditions}")
            raise AssertionError(f"{holds} does not come true: {status}") from e
        found: dict[str, Any] = kubectl.get("kustomization", self.name)
        return found


def condition(resource: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return a condition of a resource."""
    found: dict[str, str] = next(entry for entry in resource["status"]["conditions"] if entry["type"] == kind)
    return found


@contextmanager
def running_flux(kubectl: Kubectl, directory: Path) -> Iterator[Flux]:
    """Run kustomize-controller for the Kustomizations of this namespace. Its files are in `directory`."""
    programs.build(programs.FLUX)
    definitions = [f"--filename={path}" for path in programs.flux_crds()]
    kubectl("apply", "--server-side", "--force-conflicts", *definitions)
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *definitions)
    archives = directory / "archives"
    archives.mkdir(parents=True)
    with free_ports("127.0.0.1", 2) as (metrics, health):
        flags = [f"--metrics-addr=127.0.0.1:{metrics}", f"--health-addr=127.0.0.1:{health}"]
    flags += ["--watch-all-namespaces=false", "--concurrent=16", "--log-level=debug", "--requeue-dependency=1s"]
    scratch = directory / "scratch"
    scratch.mkdir()
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubectl.cluster.kubeconfig),
        "RUNTIME_NAMESPACE": kubectl.namespace,
        "TMPDIR": str(scratch),
        "NO_PROXY": "*",
    }
    command = [str(bin_dir() / "kustomize-controller"), *flags]
    is_ready = partial(answers, f"http://127.0.0.1:{health}/readyz")
    with (
        threads_serving(partial(QuietHandler, directory=str(archives))) as address,  # type: ignore[arg-type]
        process(command, directory / "kustomize-controller.log", is_ready, environment),
    ):
        yield Flux(kubectl, directory, f"http://{address}")
