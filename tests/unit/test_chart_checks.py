"""The rendered chart in six configurations, and deploy/, checked by kubeconform (valid?) and kube-score (sound?)."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from tests.cluster import programs
from tests.cluster.rig import ROOT, bin_dir, run
from tests.support.chart_values import CONFIGURATIONS
from tests.support.helm import find_helm
from tests.support.schemas import write_schemas

CHART = ROOT / "charts" / "aletheia-operator"
ACCEPTED: dict[str, str] = yaml.safe_load((ROOT / "tests" / "data" / "kube_score.yaml").read_text())
CRITICAL = 1  # of kube-score's grades; 5 is a warning, 10 is fine
KUBE_VERSION = "1.34.0"

HELM = find_helm()
pytestmark = pytest.mark.skipif(HELM is None, reason="no helm: set ALETHEIA_HELM, or build the test cluster's")

each_configuration = pytest.mark.parametrize("values", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    programs.build(programs.CHECKS)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_schemas(tmp_path_factory.mktemp("schemas"))


def render(values: dict[str, Any]) -> str:
    assert HELM is not None
    command = [HELM, "template", "flight", str(CHART), "--namespace=aletheia", f"--kube-version={KUBE_VERSION}", "--values=-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kubeconform(manifests: str, schemas: str) -> list[str]:
    """What is wrong, a line for each object."""
    command = [str(bin_dir() / "kubeconform"), "-strict", f"-schema-location={schemas}", "-output=json", "-verbose", "-"]
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, timeout=60, check=False)
    resources = json.loads(done.stdout)["resources"]
    assert resources
    return [
        f"{resource['kind']} {resource['name']}: {resource['msg']}"
        for resource in resources
        if resource["status"] != "statusValid"
    ]


def findings(values: dict[str, Any]) -> set[tuple[str, str]]:
    """(check, object) of what kube-score calls critical."""
    command = [str(bin_dir() / "kube-score"), "score", "--kubernetes-version=v1.34", "--output-format=json", "-"]
    done = subprocess.run(command, input=render(values), capture_output=True, text=True, timeout=60, check=False)
    scored = json.loads(done.stdout)
    assert {"Deployment"} <= {resource["type_meta"]["kind"] for resource in scored}, done.stderr
    return {
        (check["check"]["id"], resource["object_name"])
        for resource in scored
        for check in resource["checks"]
        if not check["skipped"] and check["grade"] <= CRITICAL
    }


@each_configuration
def test_every_object_is_valid(values: dict[str, Any], schemas: str) -> None:
    """By the schemas of Kubernetes and of our own definitions; no field is unknown to them."""
    assert kubeconform(render(values), schemas) == []


def test_an_object_that_is_wrong_is_found(schemas: str) -> None:
    """An unknown field, a wrong type, an unknown kind, and a DataSource with a misspelt option."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "imge": "b"}]}}
    policy = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": {"minAvailable": {}}}
    unknown = {"apiVersion": "v1", "kind": "Pot", "metadata": {"name": "c"}}
    source = {"apiVersion": "aletheia.dev/v1alpha1", "kind": "DataSource", "metadata": {"name": "d"}}
    source |= {"spec": {"type": "prometheus", "endpoint": "http://p", "prometheus": {"nmespaceLabel": "x"}}}
    right = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "e"},
        "spec": {"minAvailable": "50%"},
    }
    found = kubeconform(yaml.safe_dump_all([pod, policy, unknown, source, right]), schemas)
    assert sorted(line.split(":")[0] for line in found) == ["DataSource d", "Pod a", "PodDisruptionBudget b", "Pot c"]


@each_configuration
def test_every_critical_finding_has_a_reason(values: dict[str, Any]) -> None:
    """It is in tests/data/kube_score.yaml."""
    assert {(check, name) for check, name in findings(values) if not ACCEPTED.get(check)} == set()


def test_no_reason_is_left_over() -> None:
    """Each accepted finding occurs. Values can fix all findings of the operator's pod except the one about its probes."""
    assert {check for values in CONFIGURATIONS.values() for check, _ in findings(values)} == set(ACCEPTED)
    hardened = findings(CONFIGURATIONS["hardened"])
    assert {check for check, name in hardened if name.endswith("/flight-aletheia-operator")} == {"pod-probes-identical"}


def test_the_configurations_differ() -> None:
    """Each renders objects of its own."""
    assert len({render(values) for values in CONFIGURATIONS.values()}) == len(CONFIGURATIONS) == 6


def test_the_plain_manifests_are_valid(schemas: str) -> None:
    """Every object of deploy/, by the same schemas."""
    text = run([bin_dir() / "kubectl", "kustomize", ROOT / "deploy"])
    assert "kind: Deployment" in text
    assert kubeconform(text, schemas) == []
