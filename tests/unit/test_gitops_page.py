"""docs/gitops.md: each row of its tables names the test that shows it, and its examples are the files that are tested."""

import json
import re
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from aletheia_operator.api import DataSourceSpec, InvestigationSpec
from aletheia_operator.api.crd import investigation_crd
from aletheia_operator.api.reasons import CONDITIONS_OF_PHASE, ConditionReason
from aletheia_operator.handlers.status import of_phase
from tests.cluster.rig import ROOT, bin_dir
from tests.support.helm import find_helm

PAGE = (ROOT / "docs/gitops.md").read_text()
RULES = ROOT / "docs/gitops/argocd"
EXAMPLES = ROOT / "examples/gitops"


def named_in(path: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", (ROOT / "tests" / path).read_text(), re.MULTILINE))


def rows_of(section: str) -> list[str]:
    """Return the rows of the table of verbs in a section."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return text.split("| verb |")[1].split("\n\n")[0].splitlines()[2:]


OF_THE_CHART = {"e2e/test_releases.py", "e2e/test_restore.py", "integration/test_chart_upgrade.py"}
"""Tests of the operator's own chart, which rows about Helm may name."""


@pytest.mark.parametrize(
    ("section", "engine", "others"), [("Flux", "flux", set()), ("Argo CD", "argocd", set()), ("Helm", "helm", OF_THE_CHART)]
)
def test_each_row_names_its_test(section: str, engine: str, others: set[str]) -> None:
    """The last cell of each row is a test of that engine, and each of its tests has a row."""
    rows = rows_of(section)
    named = [re.fullmatch(r"\|.*\| `(test_\w+)` \|", row) for row in rows]
    assert all(named), [row for row, match in zip(rows, named, strict=True) if match is None]
    found = {match[1] for match in named if match}
    own = named_in(f"integration/test_{engine}.py") - {"test_health_rules"}
    assert own <= found
    assert found - own <= {test for path in others for test in named_in(path)}


@pytest.mark.parametrize(
    ("tool", "folder", "module"),
    [
        ("Helm", "tools", "helm.sh/helm/v4"),
        ("kubectl", "tools", "k8s.io/kubernetes"),
        ("Flux, kustomize-controller", "flux", "github.com/fluxcd/kustomize-controller"),
        ("Argo CD", "argocd", "github.com/argoproj/argo-cd/v3"),
    ],
)
def test_the_versions_of_tools_are_those_that_tests_run(tool: str, folder: str, module: str) -> None:
    """docs/compatibility.md names what go.mod builds."""
    table = re.findall(r"^\| ([^|]+) \| ([0-9.]+) \|", (ROOT / "docs/compatibility.md").read_text(), re.MULTILINE)
    built = re.findall(
        rf"^\s*{re.escape(module)} v([0-9.]+)", (ROOT / f"tests/cluster/{folder}/go.mod").read_text(), re.MULTILINE
    )
    assert built == [dict(table)[tool]]


def test_the_settings_of_argo_cd_have_the_tested_rules() -> None:
    """argocd-cm.yaml has each health.lua unchanged."""
    data = yaml.safe_load((RULES / "argocd-cm.yaml").read_text())["data"]
    rules = {path.parent.name: path.read_text() for path in RULES.glob("resource_customizations/aletheia.dev/*/health.lua")}
    assert data == {f"resource.customizations.health.aletheia.dev_{kind}": text for kind, text in rules.items()}
    assert rules.keys() == {"Investigation", "DataSource"}


@pytest.mark.parametrize("path", sorted(RULES.glob("resource_customizations/*/*/testdata/*.yaml")), ids=lambda path: path.stem)
def test_the_rules_are_tested_on_statuses_of_the_operator(path: Path) -> None:
    """Each recorded status is one that the operator writes today, and health_test.yaml has it."""
    resource = yaml.safe_load(path.read_text())
    expected = yaml.safe_load((path.parents[1] / "health_test.yaml").read_text())["tests"]
    assert f"testdata/{path.name}" in [test["inputPath"] for test in expected]
    status = resource.get("status", {})
    if resource["kind"] == "Investigation":
        InvestigationSpec.from_json(resource["spec"])
        if "phase" not in status:
            assert (
                status
                == investigation_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["default"]
            )
            return
        ready, now = status["conditions"][0], datetime.fromisoformat(status["conditions"][0]["lastTransitionTime"])
        reason = next((known for known in ConditionReason if known.value == ready["reason"]), None)
        written = of_phase(status["phase"], ready["message"], status["observedGeneration"], {}, now, reason)
        assert written["conditions"] == [entry for entry in status["conditions"] if entry["type"] in CONDITIONS_OF_PHASE]
    else:
        DataSourceSpec.from_json(resource["spec"])
        assert {entry["type"] for entry in status.get("conditions", [])} <= {"Reachable", "Confined"}


def test_the_example_of_kustomize_is_the_one_on_the_page() -> None:
    """The page shows parts of the files, and what kubectl prints for them."""
    shown = PAGE.split("```yaml\n# kustomization.yaml\n")[1].split("```")[0]
    for name, text in zip(("kustomization.yaml", "naming.yaml"), shown.split("# naming.yaml\n"), strict=True):
        assert text in (EXAMPLES / "kustomize" / name).read_text()
    kubectl = bin_dir() / "kubectl"
    if not kubectl.exists():
        pytest.skip("the cluster's kubectl is not built")
    built = subprocess.run([kubectl, "kustomize", EXAMPLES / "kustomize"], check=True, capture_output=True, text=True).stdout
    printed = "".join(line for line in built.splitlines(keepends=True) if "name:" in line)
    assert printed in PAGE
    (resource,) = yaml.safe_load_all(built)
    assert resource["kind"] == "Investigation"


def helm_name(**changes: Any) -> str:
    """Return the name of the chart's Investigation, with these changes of its spec."""
    helm = find_helm()
    if helm is None:
        pytest.skip("helm is not built")
    values = yaml.safe_load((EXAMPLES / "helm/values.yaml").read_text())
    values["investigations"][0]["spec"] |= changes
    command = [helm, "template", "release", str(EXAMPLES / "helm"), "--values=-"]
    rendered = subprocess.run(command, input=json.dumps(values), check=True, capture_output=True, text=True).stdout
    (resource,) = (resource for resource in yaml.safe_load_all(rendered) if resource)
    name: str = resource["metadata"]["name"]
    return name


def test_the_example_of_helm_names_questions() -> None:
    """Another question has another name; other retention, suspend and cancel do not."""
    template = (EXAMPLES / "helm/templates/investigations.yaml").read_text()
    assert PAGE.split("computes the hash")[1].split("```yaml\n")[1].split("```")[0].strip() in template
    before = helm_name()
    assert helm_name(retention={"keep": False}, suspend=True, cancel=True) == before
    assert helm_name(window={"lookback": "2h"}) != before
    assert re.fullmatch(r"payments-500s-[0-9a-f]{10}", before)
