"""The chart with values that lack some of its defaults, rendered by the real helm.

`helm upgrade --reuse-values` takes the defaults of the release's former chart, so newer values are missing. A value null
removes a default.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dist import defaults
from tests.dist.versions import CHART
from tests.support.helm import find_helm

HELM = find_helm()
pytestmark = pytest.mark.skipif(HELM is None, reason="no helm: set ALETHEIA_HELM, or build the test cluster's")

Values = dict[str, Any]
REMOVABLE = ("resources", "podSecurityContext", "securityContext")
"""Values that may be removed by null, as a whole or in part: then the chart sets none."""
WHOLE = ("labels", "resources", "startup", "liveness", "readiness")
"""Values of which single fields may be removed by null."""
EVERYTHING = {
    "runner": {"mode": "job"},
    "artifactsApi": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "apiPriority": {"enabled": True},
    "metrics": {"enabled": True, **{part: {"enabled": True} for part in ("serviceMonitor", "podMonitor", "dashboard")}},
}


def render(chart: Path, values: Values) -> list[Any]:
    """Every object of the chart for these values."""
    assert HELM is not None
    command = [HELM, "template", "flight", str(chart), "--kube-version=1.34.0", "--values=-"]
    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def first_of_each(values: Values) -> Values:
    """The first value of each section, as if the others were newer, and all of those that are not completed."""
    kept = {next(iter(values)), *REMOVABLE, *WHOLE}
    return {
        name: first_of_each(value) if isinstance(value, dict) and value and name not in kept else value
        for name, value in values.items()
        if name in kept or isinstance(value, dict)
    }


def no_section(values: Values) -> Values:
    """Nothing but what may be removed."""
    return {name: values[name] for name in REMOVABLE}


@pytest.mark.parametrize("former", [first_of_each, no_section])
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_values_of_a_former_chart(former: Callable[[Values], Values], values: Values, tmp_path: Path) -> None:
    """What they lack has its default: nothing fails, and no number becomes 0, for example that of operators."""
    chart = tmp_path / CHART.name
    shutil.copytree(CHART, chart)
    text = yaml.safe_dump(former(yaml.safe_load((CHART / "values.yaml").read_text())))
    (chart / "values.yaml").write_text(text)
    assert render(chart, values) == render(CHART, values)


def test_a_value_of_null_has_its_default() -> None:
    """So has each value within a section."""
    sections = yaml.safe_load((CHART / "values.yaml").read_text())
    nulls = {name: None for name in sections if name not in REMOVABLE}
    assert render(CHART, nulls) == render(CHART, {})
    within = {
        name: dict.fromkeys(value) for name, value in sections.items() if isinstance(value, dict) and name not in REMOVABLE
    }
    assert render(CHART, within) == render(CHART, {})


def test_what_null_removes() -> None:
    """Resources and security contexts, also single fields: admins of clusters that set them need that."""
    removed = {"resources": {"limits": None}, "podSecurityContext": {"fsGroup": None}, "securityContext": None}
    pod = next(item for item in render(CHART, removed) if item["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert "limits" not in pod["containers"][0]["resources"]
    assert "fsGroup" not in pod["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not pod["containers"][0]["securityContext"]


def test_templates_take_the_defaults_first() -> None:
    """Helm renders them in any order. The file that they read has the defaults of values.yaml."""
    for path in (CHART / "templates").rglob("*"):
        if path.suffix in (".yaml", ".txt"):
            assert path.read_text().startswith('{{- include "aletheia.defaults" . -}}\n'), path.name
    assert defaults.FILE.read_text() == defaults.defaults(), "run `make generate`"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"runner": "job"}, "at '/runner': got string, want object"),
        ({"runner": {"mode": "Job"}}, "at '/runner/mode': value must be one of 'inline', 'job', 'auto'"),
        ({"runner": {"mod": "job"}}, "at '/runner': additional properties 'mod' not allowed"),
        ({"probes": {"startup": {"periodSeconds": 0}}}, "at '/probes/startup/periodSeconds': minimum"),
        ({"extraContainers": {"a": "b"}}, "at '/extraContainers': got object, want array"),
        ({"extraInitContainers": [{"name": "a"}]}, "at '/extraInitContainers/0': missing property 'image'"),
        ({"metrics": {"serviceMonitor": {"relabelings": "x"}}}, "at '/metrics/serviceMonitor/relabelings'"),
    ],
)
def test_wrong_values_are_named(values: Values, message: str) -> None:
    """The message has the path of the value and what is expected."""
    with pytest.raises(AssertionError) as refused:
        render(CHART, values)
    assert message in str(refused.value)
