"""The chart's DataSources stay the same objects over installs and upgrades, with a real helm and API server.

The operator does not run: helm does not wait for its pods.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, run

pytestmark = pytest.mark.cluster
CHART = ROOT / "charts" / "aletheia-operator"
FIRST = {"name": "it-upgrade-a", "type": "prometheus", "endpoint": "http://a:9090"}
SECOND = {"name": "it-upgrade-b", "type": "loki", "endpoint": "http://b:3100"}


@dataclass(frozen=True)
class Release:
    """The release `flight` in its own namespace."""

    cluster: Cluster
    namespace: str

    def helm(self, *arguments: str, sources: Sequence[dict[str, Any]] | None = None) -> str:
        command: list[str | Path] = [
            self.cluster.helm,
            f"--kubeconfig={self.cluster.kubeconfig}",
            f"--namespace={self.namespace}",
            *arguments,
        ]
        values = yaml.safe_dump({"dataSources": list(sources or []), "crds": {"install": False}})
        return run(command if sources is None else [*command, "--values=-"], stdin=values, timeout_seconds=120)

    def upgrade(self, *sources: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Upgrade the release. Returns its DataSources by name."""
        self.helm("upgrade", "flight", str(CHART), sources=sources)
        listed = json.loads(self.cluster.run_kubectl("get", "datasources", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item for item in listed if item["metadata"]["name"].startswith("it-upgrade-")}


def install_first(release: Release, directory: Path) -> None:
    """Install FIRST by hooks, as a first install does. The definitions exist already, so hooks are rendered separately."""
    rendered = release.helm("template", "flight", str(CHART), sources=[FIRST])
    hooks = [document for document in yaml.safe_load_all(rendered) if document and document["kind"] == "DataSource"]
    assert all("helm.sh/hook" in hook["metadata"]["annotations"] for hook in hooks)
    (directory / "templates").mkdir()
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: aletheia-operator\nversion: 0.0.1\n")
    (directory / "templates" / "hooks.yaml").write_text(yaml.safe_dump_all(hooks))
    release.helm("install", "flight", str(directory))


@pytest.fixture
def release(prepared: Cluster, tmp_path: Path) -> Iterator[Release]:
    """A release with a DataSource that the hook of its first install made."""
    release = Release(prepared, f"it-upgrade-{secrets.token_hex(3)}")
    prepared.run_kubectl("create", "namespace", release.namespace)
    install_first(release, tmp_path)
    yield release
    release.helm("uninstall", "flight", "--ignore-not-found")
    prepared.run_kubectl("delete", "namespace", release.namespace, "--wait=false")


def uids(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: item["metadata"]["uid"] for name, item in found.items()}


def test_data_sources_stay_the_same_objects_over_upgrades(release: Release) -> None:
    """The hook's DataSource becomes the release's; upgrades patch, keep and remove DataSources; uninstall leaves none."""
    uid = release.cluster.run_kubectl("get", "datasource", "it-upgrade-a", "-o", "jsonpath={.metadata.uid}")

    changed = release.upgrade(FIRST | {"timeout": "7s"})
    assert uids(changed) == {"it-upgrade-a": uid}
    assert changed["it-upgrade-a"]["spec"]["timeout"] == "7s"

    both = release.upgrade(FIRST, SECOND)
    assert uids(both) == {"it-upgrade-a": uid, "it-upgrade-b": both["it-upgrade-b"]["metadata"]["uid"]}
    assert both["it-upgrade-a"]["spec"]["timeout"] == "30s"
    assert uids(release.upgrade(FIRST, SECOND)) == uids(both)

    output = release.upgrade(SECOND)
    assert uids(output) == {"it-upgrade-b": both["it-upgrade-b"]["metadata"]["uid"]}

    release.helm("uninstall", "flight")
    assert "it-upgrade-" not in release.cluster.run_kubectl("get", "datasources", "-o", "name")


def test_a_hooks_data_source_that_is_no_longer_asked_for_is_removed(release: Release) -> None:
    """The first upgrade removes it, although it was not part of the release."""
    assert release.upgrade() == {}


def test_what_the_first_install_made_is_removed_with_it(release: Release) -> None:
    """The uninstall removes it, also without an upgrade before."""
    release.helm("uninstall", "flight")
    assert "it-upgrade-" not in release.cluster.run_kubectl("get", "datasources", "-o", "name")
