"""From a bare cluster to an operator, DataSources and Investigations that come from Git alone, by Flux.

docs/gitops.md tells the same in words. The module comes first: later modules install the definitions.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import images
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, run
from tests.e2e.conftest import RESTRICTED, namespace, provide, restricted
from tests.support.flux import Delivery, condition, running_flux
from tests.support.operator import Kubectl, pod

pytestmark = pytest.mark.e2e
PAGE = (ROOT / "docs/gitops.md").read_text()
CRDS = ("investigations.aletheia.dev", "datasources.aletheia.dev")
KUSTOMIZATIONS = ("aletheia", "aletheia-sources", "aletheia-investigations")
OURS = {  # what the guide asks to set
    "registry.example/aletheia-operator": "localhost/aletheia-operator\n    newTag: dev",
    "http://prometheus.monitoring:9090": "http://prometheus.e2e-observability:9090",
    "namespace: production": "namespace: e2e-fleet",
    "  targets:\n    - workload: {kind: Deployment, name: payments}": "  targets: [{pod: payments}]",
}


def repository(folder: Path) -> dict[str, str]:
    """Return the files that the guide lets people copy to `folder`, with our image, endpoint and namespace."""
    (commands,) = re.findall(r"<!-- fleet -->\n +```sh\n(.*?)```", PAGE, re.DOTALL)
    run(["bash", "-euc", commands], cwd=folder, env={"CHECKOUT": str(ROOT)})
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    text = json.dumps(files)
    for theirs, ours in OURS.items():
        escaped = json.dumps(theirs)[1:-1]
        assert escaped in text, f"the examples do not have {theirs!r} any more"
        text = text.replace(escaped, json.dumps(ours)[1:-1])
    made: dict[str, str] = json.loads(text)
    return made


@pytest.fixture
def fleet(cluster: Cluster, observability: Kubectl, tmp_path: Path) -> Iterator[Delivery]:
    """A bare cluster after `flux bootstrap`, and its Git repository, which is empty."""
    if "investigations.aletheia.dev" in cluster.run_kubectl("get", "crds", "-o", "name"):
        pytest.skip("the cluster has the definitions already")
    provide(cluster, images.OPERATOR)
    system = namespace(cluster, "flux-system")
    app = namespace(cluster, "e2e-fleet", **RESTRICTED)
    app.apply(restricted(pod("payments", "echo ERROR evidence from Git; sleep 3600")))
    app.wait("pod/payments", "condition=Ready")
    with running_flux(system, tmp_path / "flux") as flux:
        git = flux.delivery("flux-system", path="./clusters/production", targetNamespace=None)
        yield git
        system("delete", "kustomizations", "--all", timeout_seconds=60)
    cluster.run_kubectl("delete", "crd", *CRDS, "--ignore-not-found", timeout_seconds=60)
    cluster.run_kubectl("delete", "namespace", "flux-system", "e2e-fleet", "aletheia-system", "--wait=false")


def test_everything_comes_from_git(fleet: Delivery, tmp_path: Path) -> None:
    """One commit brings the operator, then DataSources, then Investigations, and waits for the evidence. An edit adds more."""
    (tmp_path / "clone").mkdir()
    files, kubectl = repository(tmp_path / "clone"), fleet.flux.kubectl
    app, there = Kubectl(kubectl.cluster, "e2e-fleet"), Kubectl(kubectl.cluster, "aletheia-system")
    fleet.commit(files).applied()
    for name in KUSTOMIZATIONS:
        kubectl.wait(f"kustomization/{name}", "condition=Ready", 120)
    (first,) = app.get("investigations")["items"]
    assert first["status"]["phase"] == "Completed", first["status"]
    kubectl.wait("datasource/prometheus", "condition=Reachable")
    args = there.get("deployment", "aletheia-operator")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[-1] == "--max-investigations=10"

    path = "aletheia/investigations/payments-500s.yaml"
    revision = fleet.commit({path: files[path].replace("1h", "2h")}).revision
    kubectl.wait("kustomization/aletheia-investigations", f"jsonpath={{.status.lastAppliedRevision}}={revision}", 60)
    (second,) = app.get("investigations")["items"]
    assert condition(second, "Succeeded")["status"] == "True"
    for resource in (first, second):
        session = resource["status"]["session"]
        there("exec", "deployment/aletheia-operator", "--", "aletheia", "session", "verify", session["id"])
        there("exec", "deployment/aletheia-operator", "--", "grep", "-r", "ERROR evidence", f"{session['path']}/data/logs")
