"""From `helm install` to evidence on the PersistentVolume."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.provider import Cluster
from tests.cluster.rig import RigError
from tests.e2e.conftest import CHART, RESTRICTED, VALUES, Installation, helm, restricted, send_trace
from tests.support.logs import verification
from tests.support.operator import Kubectl, investigation, pod, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def speaker(shop: Kubectl) -> str:
    shop.apply(restricted(pod("speaker", "echo 'ERROR connection refused'; echo täglich; sleep 3600")))
    shop.wait("pod/speaker", "condition=Ready")
    until(lambda: "täglich" in shop("logs", "speaker"), 30, "the pod has spoken")
    return "speaker"


def test_logs_metrics_and_traces_lie_on_the_volume(
    installation: Installation, observability: Kubectl, shop: Kubectl, speaker: str
) -> None:
    """With the chart's rights an Investigation is Completed: data of all sources, nodes included, with matching digests."""
    send_trace(installation, "payments")
    resource = shop.investigate(
        "whole",
        window={"lookback": "15m"},
        targets=[{"pod": speaker}],
        metrics=[{"query": "vector(42)"}],
        traces=[{"service": "payments"}],
    )
    assert resource["status"]["phase"] == "Completed", resource["status"]
    manifest, documents = installation.intact_session(resource)
    assert [artifact["path"] for artifact in manifest["artifacts"][:2]] == ["data/findings.json", "data/timeline.json"]
    assert documents.pop("report.html").startswith("<!doctype html>")
    found = {path.split("/")[1]: document for path, document in documents.items() if "_namespace_" not in path}
    logs, metrics, traces = (found[category] for category in ("logs", "metrics", "traces"))
    assert "Scheduled" in {entry["reason"] for entry in found["events"]["data"]}
    assert [item["kind"] for item in found["objects"]["data"]] == ["Pod", "ConfigMap"]
    assert [entry["line"] for entry in logs["data"]] == ["ERROR connection refused", "täglich"]
    assert logs["metadata"]["summary"] == "2 logs (1 ERROR), top error: 'connection refused' (1x)"
    assert {value for _, value in metrics["data"][0]["values"]} == {"42"}
    assert traces["data"][0]["spans"][0]["operationName"] == "POST /pay"
    assert resource["status"]["session"]["path"].startswith("/var/lib/aletheia/sessions/INC-")


def test_the_operator_is_restarted_in_the_middle(installation: Installation, shop: Kubectl, speaker: str) -> None:
    """The operator's pod is killed; the next one completes the captures, and captures nothing again."""
    names = [f"middle-{number}" for number in range(10)]
    shop.apply(*(investigation(name, targets=[{"pod": speaker}], logs={}) for name in names))
    installation.system("delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force")
    done = [shop.ended(name, 120) for name in names]
    assert {resource["status"]["phase"] for resource in done} == {"Completed"}
    assert len({resource["status"]["session"]["id"] for resource in done}) == len(names)
    for resource in done:
        files = installation.session(resource)
        assert len(files) == 5, "the manifest, the findings, the timeline, the report and one log"
    installation.system("rollout", "status", installation.deployment, "--timeout=60s")


def test_the_container_is_locked_down(installation: Installation) -> None:
    """Not root, a read-only root file system, no pip, no compiler."""
    code = """
import glob, importlib.util, json, os, shutil
writable = [path for path in ("/", "/etc", "/opt/venv", "/usr", "/var") if os.access(path, os.W_OK)]
found = [name for name in ("pip", "pip3", "gcc", "cc", "c++", "make", "apt-get-install") if shutil.which(name)]
modules = [name for name in ("pip", "setuptools", "ensurepip") if importlib.util.find_spec(name)]
venv = glob.glob("/opt/venv/lib/python3*/site-packages/pip*")
print(json.dumps({"uid": os.getuid(), "writable": writable, "found": found, "modules": modules, "venv": venv}))
"""
    seen = json.loads(installation.python(code))
    assert seen == {"uid": 10001, "writable": [], "found": [], "modules": [], "venv": []}
    with pytest.raises(RigError, match="Read-only file system"):
        installation.python("open('/opt/venv/planted', 'w')")


def test_the_image_lists_what_it_contains(installation: Installation) -> None:
    """Its CycloneDX document lists every installed Python package with its version."""
    code = """
import importlib.metadata, json
listed = json.load(open("/opt/venv/sbom.cdx.json"))
found = {f"{one['name']} {one['version']}" for one in listed["components"]}
installed = importlib.metadata.distributions(path=["/opt/venv/lib/python3.11/site-packages"])
there = {f"{one.name} {one.version}" for one in installed}
print(json.dumps([listed["bomFormat"], listed["metadata"]["component"]["name"], sorted(found ^ there)]))
"""
    document, name, differences = json.loads(installation.python(code))
    assert (document, name) == ("CycloneDX", "aletheia-operator")
    assert [difference.partition(" ")[0] for difference in differences] == ["aletheia-operator"], "it is the document's subject"


def test_helm_test_captures_and_verifies(installation: Installation) -> None:
    """`helm test` passes if the sources answer, and leaves nothing behind."""
    helm(installation.cluster, "test", "aletheia", "--namespace=e2e-system", "--timeout=60s")
    left = installation.system("get", "pods,investigations,serviceaccounts,roles", "-o", "name").split()
    assert not [name for name in left if name.endswith("-test") or "helm-test-" in name]


def test_the_operator_may_do_no_more_than_it_needs(installation: Installation) -> None:
    """It reads no Secrets, deletes nothing, and impersonates only the names that the chart lists."""
    user = "--as=system:serviceaccount:e2e-system:aletheia-aletheia-operator"

    def can(*what: str) -> bool:
        command = [
            installation.cluster.kubectl,
            f"--kubeconfig={installation.cluster.kubeconfig}",
            "auth",
            "can-i",
            *what,
            user,
        ]
        return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0

    assert can("get", "pods", "--subresource=log", "-n", "e2e-shop")
    assert can("get", "nodes")
    assert can("impersonate", "serviceaccounts/investigator", "-n", "e2e-shop")
    for forbidden in (
        ("get", "secrets", "-n", "e2e-shop"),
        ("list", "secrets", "-A"),
        ("delete", "pods", "-n", "e2e-shop"),
        ("create", "pods", "--subresource=exec", "-n", "e2e-shop"),
        ("update", "datasources"),
        ("patch", "investigations", "-n", "e2e-shop"),
        ("impersonate", "serviceaccounts/default", "-n", "kube-system"),
        ("impersonate", "users/system:admin"),
        ("get", "nodes", "--subresource=proxy"),
        ("list", "nodes"),
        ("list", "configmaps", "-n", "e2e-shop"),
    ):
        assert not can(*forbidden), forbidden


def test_naming_a_service_account_needs_the_right_to_be_it(installation: Installation, shop: Kubectl, speaker: str) -> None:
    """A user who may create Investigations cannot use a ServiceAccount's rights; the message names the missing right."""
    shop("create", "serviceaccount", "investigator")
    shop("create", "serviceaccount", "tenant")
    shop("create", "role", "tenant", "--verb=create,get", "--resource=investigations.aletheia.dev")
    shop("create", "rolebinding", "tenant", "--role=tenant", "--serviceaccount=e2e-shop:tenant")
    body = json.dumps(investigation("borrowed", targets=[{"pod": speaker}], serviceAccountName="investigator"))
    tenant = "--as=system:serviceaccount:e2e-shop:tenant"
    with pytest.raises(RigError, match="may not impersonate ServiceAccount investigator"):
        shop("create", tenant, "-f", "-", stdin=body)
    shop("create", "role", "borrow", "--verb=impersonate", "--resource=serviceaccounts", "--resource-name=investigator")
    shop("create", "rolebinding", "borrow", "--role=borrow", "--serviceaccount=e2e-shop:tenant")
    until(lambda: created(shop, tenant, body), 15, "the API server knows the new right")
    ended = shop.ended("borrowed")
    assert {gap["reason"] for gap in ended["status"]["gaps"]} == {"Forbidden"}, "investigator itself may read nothing here"


def created(kubectl: Kubectl, user: str, body: str) -> bool:
    try:
        kubectl("create", user, "-f", "-", stdin=body)
    except RigError as error:
        assert "may not impersonate" in str(error)
        return False
    return True


def test_helm_waits_for_an_investigation(installation: Installation, shop: Kubectl, speaker: str, tmp_path: Path) -> None:
    """`helm install --wait`, which uses kstatus, returns for a Completed Investigation and fails for a Failed one."""
    for name, target, fails in (("fine", speaker, False), ("broken", "no-such-pod", True)):
        chart = tmp_path / name
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": name, "version": "0.1.0"}))
        body = investigation(f"helm-{name}", targets=[{"pod": target}])
        (chart / "templates" / "investigation.yaml").write_text(yaml.safe_dump(body))
        arguments = ("install", name, str(chart), "--namespace=e2e-shop", "--wait=watcher", f"--timeout={10 if fails else 60}s")
        if fails:
            with pytest.raises(RigError, match=r"(?i)failed"):
                helm(installation.cluster, *arguments)
        else:
            helm(installation.cluster, *arguments)
            assert shop.get("investigation", "helm-fine")["status"]["phase"] == "Completed"


def test_the_chart_passes_lint_and_a_server_side_dry_run(cluster: Cluster, installation: Installation) -> None:
    """`helm lint --strict` passes, and the API server accepts every resource in a namespace with restricted pod security."""
    helm(cluster, "lint", "--strict", str(CHART), "--values=-", stdin=yaml.safe_dump(VALUES))
    arguments = ("template", "dry-run", str(CHART), "--namespace=e2e-system", "--no-hooks", "--values=-")
    rendered = helm(cluster, *arguments, stdin=yaml.safe_dump(VALUES | {"dataSources": []}))
    assert RESTRICTED["pod-security.kubernetes.io/enforce"] == "restricted"
    output = cluster.run_kubectl("apply", "--dry-run=server", "-f", "-", stdin=rendered)
    assert "deployment.apps/dry-run-aletheia-operator created (server dry run)" in output
    assert "warning" not in output.lower()


def upgrade(installation: Installation, **values: Any) -> None:
    """Run `helm upgrade`, which also reverts manual changes of a test."""
    arguments = (
        "upgrade",
        "aletheia",
        str(CHART),
        "--namespace=e2e-system",
        "--reuse-values",
        "--values=-",
        "--force-conflicts",
    )
    helm(installation.cluster, *arguments, "--wait", "--timeout=120s", stdin=yaml.safe_dump(values))


def test_logs_are_read_from_the_node_with_the_charts_rights_alone(
    installation: Installation, shop: Kubectl, speaker: str, tmp_path: Path
) -> None:
    """`nodeLogs.enabled` is enough; without it, or without the right, the API is used, without a gap or loss."""
    lines = ["ERROR connection refused", "täglich"]

    def look(name: str, via: str) -> tuple[dict[str, str], list[str]]:
        """Return how the log was read, and the gaps. Checks that every line is there."""
        resource = shop.investigate(name, window={"lookback": "30m"}, targets=[{"pod": speaker}], logs={"via": via})
        (document,) = [
            content for path, (content, _) in installation.session(resource).items() if path.startswith("data/logs/")
        ]
        assert [entry["line"] for entry in document["data"]] == lines
        return document["metadata"]["via"], [f"{gap['reason']}: {gap['message']}" for gap in resource["status"].get("gaps", [])]

    by_api, from_node = {"container/app (run 0)": "api"}, {"container/app (run 0)": "node"}
    assert look("files-not-enabled", "auto") == (by_api, [])
    # kind's kubelets sign their own certificates
    node_logs = {"enabled": True, "insecureTLS": verification(shop, tmp_path) == ["--kubelet-insecure-tls"]}
    upgrade(installation, nodeLogs=node_logs)
    try:
        role = "clusterrole/aletheia-aletheia-operator.e2e-system"
        rules = shop.get(role)["rules"]
        (at,) = [number for number, rule in enumerate(rules) if "nodes/log" in rule["resources"]]
        taken = [{"op": "replace", "path": f"/rules/{at}/resources", "value": ["nodes"]}]
        shop("patch", role, "--type=json", "-p", json.dumps(taken))
        reads_files = ("aletheia-aletheia-operator", "get", "nodes", "--subresource=log")
        until(lambda: not installation.system.may(*reads_files), 30, "the API server knows that the right is gone")
        assert look("files-denied-auto", "auto") == (by_api, [])
        via, gaps = look("files-denied-node", "node")
        assert via == by_api
        assert len(gaps) == 1
        assert gaps[0].startswith("NodeLogsUnavailable")
        assert "a ClusterRole with the verb get on nodes/log" in gaps[0]
        upgrade(installation, nodeLogs=node_logs)  # grants the right again
        installation.system("rollout", "restart", installation.deployment)  # a kubelet caches a denial for a while
        installation.system("rollout", "status", installation.deployment, "--timeout=60s")
        for way in ("auto", "node"):
            assert look(f"files-{way}", way) == (from_node, [])
    finally:
        upgrade(installation, nodeLogs={"enabled": False, "insecureTLS": False})
