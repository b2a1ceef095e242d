"""What README and docs say of the chart: the values exist, and the commands' values are accepted."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.rig import ROOT
from tests.support.helm import find_helm

CHART = ROOT / "charts" / "aletheia-operator"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", CHART / "README.md", *(ROOT / "docs").rglob("*.md")])
NAME = "aletheia-aletheia-operator"
HELM = find_helm()
needs_helm = pytest.mark.skipif(HELM is None, reason="no helm: set ALETHEIA_HELM, or build the test cluster's")


def named(page: Path) -> set[str]:
    """Return the values that the page calls chart values."""
    lists = re.findall(r"chart(?:'s)? values? ((?:`[A-Za-z.]+`(?:,? and |,? or |, )?)+)", page.read_text())
    return {name for text in lists for name in re.findall(r"`([A-Za-z.]+)`", text)}


def settings() -> list[tuple[str, list[str]]]:
    """Return the page and the arguments of each `--set` in a page."""
    return [
        (page.name, shlex.split(text.replace("`", " "))[:1])
        for page in PAGES
        for text in re.findall(r"--set[= ]([^\n]+)", page.read_text())
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if named(page)], ids=lambda page: page.name)
def test_the_values_of_a_page_exist(page: Path) -> None:
    """Each has a default in values.yaml."""
    for name in named(page):
        found: Any = VALUES
        for part in name.split("."):
            assert part in found, f"{page.name} names the chart value {name}"
            found = found[part]


def render(*arguments: str, values: str = "{}") -> list[dict[str, Any]]:
    assert HELM is not None
    command = [HELM, "template", "aletheia", str(CHART), "--namespace=aletheia-system", *arguments, "--values=-"]
    done = subprocess.run(command, input=values, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


@needs_helm
@pytest.mark.parametrize(("page", "arguments"), settings(), ids=lambda value: value if isinstance(value, str) else value[0])
def test_what_a_page_sets_is_accepted(page: str, arguments: list[str]) -> None:
    """The chart's schema takes it, with the values that it needs besides."""
    claim = ["--set=persistence.existingClaim=mine"] if "replicas" in arguments[0] else []
    assert render("--set", *arguments, *claim), page


@needs_helm
def test_the_installation_of_readme() -> None:
    """Its values are accepted, and make the image and the DataSources that it shows."""
    (values,) = re.findall(r"helm install aletheia .*?<<EOF\n(.*?)EOF\n", (ROOT / "README.md").read_text(), re.DOTALL)
    objects = render("--api-versions=aletheia.dev/v1alpha1/DataSource", values=values)
    given = yaml.safe_load(values)
    (deployment,) = [item for item in objects if item["kind"] == "Deployment"]
    image = f"{given['image']['repository']}:{given['image']['tag']}"
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image
    sources = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "DataSource"}
    for source in given["dataSources"]:
        spec = {name: value for name, value in source.items() if name != "name"}
        assert spec.items() <= sources[source["name"]].items(), json.dumps(sources)


@needs_helm
def test_the_values_for_a_cloud_identity() -> None:
    """Captures in Jobs get the same identity as the operator: annotation, variables and token."""
    page = (ROOT / "docs" / "datasources" / "s3.md").read_text()
    (text,) = re.findall(r"```yaml\n(serviceAccount:\n.*?)```", page, re.DOTALL)
    (more,) = re.findall(r"```yaml\n(extraEnv:\n.*?)```", page, re.DOTALL)
    objects = render("--set=runner.mode=job", values=f"{text}\n{more}")
    accounts = [item for item in objects if item["kind"] == "ServiceAccount" and "aletheia" in item["metadata"]["name"]]
    annotated = [item for item in accounts if "eks.amazonaws.com/role-arn" in item["metadata"].get("annotations", {})]
    assert [item["metadata"]["name"] for item in annotated] == [f"{NAME}", f"{NAME}-capture"]
    pods = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
    pods += [item["template"]["spec"] for item in objects if item["kind"] == "PodTemplate"]
    for pod in pods:
        (container,) = pod["containers"]
        assert {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} <= {item["name"] for item in container["env"]}
        assert "aws-token" in {item["name"] for item in container["volumeMounts"]}
        assert "aws-token" in {item["name"] for item in pod["volumes"]}
    assert len(pods) == 2
