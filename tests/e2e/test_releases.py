"""Another version of the chart: `helm upgrade` while a capture runs, a second release beside the first, and `helm rollback`.

The tests build on each other, because each restart of the operator takes seconds.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.provider import Cluster
from tests.e2e.conftest import CHART, RESTRICTED, VALUES, Installation, helm, namespace, restricted
from tests.support.operator import Kubectl, data_source, investigation, pod, until

pytestmark = pytest.mark.e2e
SILENT_SECONDS = 8
WAIT = ("--wait", "--timeout=120s")
FIRST = ("--namespace=e2e-system", *WAIT)


@pytest.fixture(scope="module")
def next_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A later version of the chart, with an admission policy that differs."""
    copy = tmp_path_factory.mktemp("next") / CHART.name
    shutil.copytree(CHART, copy)
    chart = yaml.safe_load((copy / "Chart.yaml").read_text())
    (copy / "Chart.yaml").write_text(yaml.safe_dump(chart | {"version": "99.0.0"}))
    policy = copy / "templates" / "admissionpolicy.yaml"
    text = policy.read_text()
    assert "has(object.spec.targets) && variables.ownRights" in text
    policy.write_text(
        text.replace("has(object.spec.targets) && variables.ownRights", "variables.ownRights && has(object.spec.targets)")
    )
    return copy


@pytest.fixture(scope="module")
def silent(cluster: Cluster, shop: Kubectl) -> Iterator[str]:
    """Name of a Jaeger DataSource that accepts connections and does not answer."""
    shop.apply(restricted(pod("silent", "nc -ll -p 8080 -e sleep 3600", {"app": "silent"})))
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "silent"}}
    shop.apply(service | {"spec": {"selector": {"app": "silent"}, "ports": [{"port": 8080}]}})
    shop.apply(data_source("e2e-silent", "jaeger", "http://silent.e2e-shop:8080", timeout=f"{SILENT_SECONDS}s"))
    shop.wait("pod/silent", "condition=Ready")
    yield "e2e-silent"
    cluster.run_kubectl("delete", "datasource", "e2e-silent")


def policy_names(installation: Installation) -> set[str]:
    listed = installation.cluster.run_kubectl("get", "validatingadmissionpolicies", "-o", "name").split()
    return {name for name in listed if "aletheia-aletheia-operator-creators" in name}


def chart_label(installation: Installation) -> str:
    return str(installation.system.get(installation.deployment)["metadata"]["labels"]["helm.sh/chart"])


def log_of(status: dict[str, Any]) -> Any:
    """Return the artifact of the only pod's log."""
    (found,) = [artifact for artifact in status["artifacts"] if artifact["path"].startswith("data/logs/")]
    return found


@dataclass(frozen=True)
class Before:
    """What was there before the upgrade."""

    chart: str
    policies: set[str]
    session: str
    log: Any
    """The artifact of the pod's log, as the status has it."""


@pytest.fixture(scope="module")
def upgraded(installation: Installation, shop: Kubectl, silent: str, next_version: Path) -> Iterator[Before]:
    """An upgrade to the next version, which handles two namespaces alone, while a capture runs whose pod is gone since."""
    shop.apply(restricted(pod("before", "echo ERROR before the upgrade; sleep 3600")))
    shop.wait("pod/before", "condition=Ready")
    until(lambda: "before" in shop("logs", "before"), 30, "the pod has spoken")
    traces = [{"service": "web", "dataSourceRef": {"name": silent}}]
    shop.apply(investigation("upgraded", targets=[{"pod": "before"}], logs={}, traces=traces))
    until(lambda: shop.get("investigation", "upgraded").get("status", {}).get("artifacts"), 30, "the log is saved")
    status = shop.get("investigation", "upgraded")["status"]
    before = Before(chart_label(installation), policy_names(installation), status["session"]["id"], log_of(status))
    shop("delete", "pod", "before", "--grace-period=0", "--force")
    values = yaml.safe_dump({"namespaces": ["e2e-shop", "e2e-system"]})
    helm(installation.cluster, "upgrade", "aletheia", str(next_version), *FIRST, "--reuse-values", "--values=-", stdin=values)
    yield before
    if chart_label(installation) != before.chart:
        helm(installation.cluster, "rollback", "aletheia", *FIRST)


def test_a_running_capture_survives_an_upgrade(installation: Installation, shop: Kubectl, upgraded: Before) -> None:
    """It goes on in the same session with all that was saved, although the admission policy is another one."""
    assert chart_label(installation) == "aletheia-operator-99.0.0"
    assert not policy_names(installation) & upgraded.policies
    assert shop.get("investigation", "upgraded")["status"]["phase"] == "Running"
    ended = shop.ended("upgraded")["status"]
    assert ended["phase"] == "PartiallyCompleted", ended
    assert {gap["fetcher"] for gap in ended["gaps"] if gap.get("severity", "gap") == "gap"} == {"Jaeger"}
    assert (ended["session"]["id"], log_of(ended)) == (upgraded.session, upgraded.log)
    document, sha256 = installation.session({"status": ended})[upgraded.log["path"]]
    assert [entry["line"] for entry in document["data"]] == ["ERROR before the upgrade"]
    assert sha256 == upgraded.log["sha256"]


def test_two_releases_with_separate_scopes(
    installation: Installation, cluster: Cluster, shop: Kubectl, upgraded: Before
) -> None:
    """Each captures the Investigations of its own namespaces alone; removing one leaves the other whole."""
    second = namespace(cluster, "e2e-second", **RESTRICTED)
    values: dict[str, Any] = {"namespaces": [second.namespace], "crds": {"install": False}, "image": VALUES["image"]}
    values["persistence"] = {"enabled": False, "size": "64Mi"}
    nothing: dict[str, Any] = {"targets": [{"selector": {"matchLabels": {"no": "pod"}}}], "events": {}}
    helm(cluster, "install", "second", str(CHART), *WAIT, "--namespace=e2e-second", "--values=-", stdin=yaml.safe_dump(values))
    for kubectl in (shop, second):
        kubectl.apply(investigation("scoped", **nothing))
    first_id, second_id = (kubectl.ended("scoped")["status"]["session"]["id"] for kubectl in (shop, second))
    code = "import os; print(os.listdir('/var/lib/aletheia/sessions'))"
    first_has = installation.python(code)
    second_has = second("exec", "deployment/second-aletheia-operator", "-c", "operator", "--", "python3", "-c", code)
    assert (first_id in first_has, second_id in first_has) == (True, False)
    assert (first_id in second_has, second_id in second_has) == (False, True)
    helm(cluster, "uninstall", "second", "--namespace=e2e-second")
    assert shop.investigate("alone", **nothing)["status"]["session"]["id"]
    cluster.run_kubectl("delete", "namespace", "e2e-second", "--wait=false")


def test_a_rollback_restores_the_former_version(installation: Installation, shop: Kubectl, upgraded: Before) -> None:
    """Its objects are the former ones, and it works with what the later version left."""
    helm(installation.cluster, "rollback", "aletheia", *FIRST)
    assert (chart_label(installation), policy_names(installation)) == (upgraded.chart, upgraded.policies)
    installation.system(
        "exec", installation.deployment, "-c", "operator", "--", "aletheia", "session", "verify", upgraded.session
    )
    assert log_of(shop.get("investigation", "upgraded")["status"]) == upgraded.log
