"""What Argo CD does with one Application, by its own libraries: `tests/cluster/argocd` compares, syncs and judges health."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import programs
from tests.cluster.rig import ROOT, bin_dir, run
from tests.support.operator import Kubectl

RULES = ROOT / "docs/gitops/argocd/resource_customizations"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
CLUSTER_SCOPED = {
    *("Namespace", "CustomResourceDefinition", "DataSource", "ClusterRole", "ClusterRoleBinding"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
}
HOOK, DELETE_HOOK, WAVE, OPTIONS = (
    f"argocd.argoproj.io/{name}" for name in ("hook", "hook-delete-policy", "sync-wave", "sync-options")
)


@dataclass(frozen=True)
class Synced:
    """What a sync did: its phase, message and results, and each resource's state before and after, by KIND/NAME."""

    phase: str
    message: str
    results: list[str]
    before: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, Mapping[str, Any]]


def health(directory: Path = RULES) -> list[dict[str, Any]]:
    """Run the health rules of a directory on the tests beside them. Returns input, expected and found health of each."""
    programs.build(programs.ARGOCD)
    found: list[dict[str, Any]] = json.loads(run([bin_dir() / "argocd-engine", "health", directory]))
    return found


@dataclass(frozen=True)
class Application:
    """An Application of Argo CD: manifests, and the resources that bear its mark."""

    kubectl: Kubectl
    name: str

    def sync(self, *resources: Mapping[str, Any], flags: str = "") -> Synced:
        """Sync once. `flags`: of --prune --force --replace --server-side."""
        return self._run(resources, *flags.split())

    def compare(self, *resources: Mapping[str, Any], flags: str = "") -> Mapping[str, Mapping[str, Any]]:
        """Return the state of each resource, without a sync."""
        return self._run(resources, "--compare", *flags.split()).before

    def delete(self, finalizer: str = "") -> list[str]:
        """Delete the Application, which has this finalizer. Returns what Argo CD deleted with it, as KIND/NAME."""
        deleted: list[str] = self._engine("delete", f"--finalizer={finalizer}")
        return sorted(deleted)

    def _engine(self, command: str, *flags: str, stdin: str | None = None) -> Any:
        programs.build(programs.ARGOCD)
        where = (f"--kubeconfig={self.kubectl.cluster.kubeconfig}", f"--namespace={self.kubectl.namespace}")
        line: list[str | Path] = [bin_dir() / "argocd-engine", command, *where, f"--application={self.name}", *flags]
        return json.loads(run(line, stdin=stdin, env={"NO_PROXY": "*"}))

    def _run(self, resources: tuple[Mapping[str, Any], ...], *flags: str) -> Synced:
        namespace = {"namespace": self.kubectl.namespace}
        placed = [
            resource if resource["kind"] in CLUSTER_SCOPED else {**resource, "metadata": {**resource["metadata"], **namespace}}
            for resource in resources
        ]
        printed = self._engine("sync", f"--rules={RULES}", *flags, stdin="\n---\n".join(map(json.dumps, placed)))
        before, after = ({state["name"]: state for state in printed.get(key) or []} for key in ("before", "after"))
        return Synced(printed.get("phase", ""), printed.get("message", ""), printed.get("results") or [], before, after)
