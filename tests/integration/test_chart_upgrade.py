"""The chart's DataSources stay the same objects over installs and upgrades, with a real helm and API server.

The operator does not run: helm does not wait for its pods.
"""

import json
import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, RigError, run
from tests.support.pages import blocks

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


def test_namespaces_that_wait_for_the_artifacts_api(release: Release) -> None:
    """No pod serves it, so a deleted namespace waits. The page's command removes the registration, which releases it."""
    cluster, waiting = release.cluster, f"{release.namespace}-waiting"
    (page,) = (block for block in blocks(ROOT / "docs" / "artifacts-api.md") if "delete apiservice" in block)
    by_helm = shlex.split(page.splitlines()[-1])
    registered = "apiservice.apiregistration.k8s.io/v1alpha1.artifacts.aletheia.dev"
    release.helm("upgrade", "flight", str(CHART), "--set=artifactsApi.enabled=true,crds.install=false")
    cluster.run_kubectl("create", "namespace", waiting)
    cluster.run_kubectl("wait", registered, "--for=condition=Available=false", "--timeout=30s")
    cluster.run_kubectl("delete", "namespace", waiting, "--wait=false")
    cluster.run_kubectl("wait", f"ns/{waiting}", "--for=condition=NamespaceDeletionDiscoveryFailure", "--timeout=30s")
    assert by_helm[:5] == ["helm", "upgrade", "aletheia", "charts/aletheia-operator", "--namespace"]
    release.helm("upgrade", "flight", str(CHART), *by_helm[6:])
    cluster.run_kubectl("wait", f"ns/{waiting}", "--for=delete", "--timeout=60s")
    assert registered not in cluster.run_kubectl("get", "apiservices", "-o", "name")


DEFINITIONS = ("crd/investigations.aletheia.dev", "crd/datasources.aletheia.dev")
OWNER = "meta.helm.sh/release-name"


def definitions(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return the metadata of the project's definitions, by name."""
    listed = json.loads(cluster.run_kubectl("get", *DEFINITIONS, "-o", "json"))["items"]
    return {item["metadata"]["name"]: item["metadata"] for item in listed}


def test_definitions_that_another_tool_installed_are_adopted(prepared: Cluster) -> None:
    """Only if helm is asked to; Investigations stay, and uninstall keeps both. The notes name what the cluster lacks."""
    release = Release(prepared, f"it-adopt-{secrets.token_hex(3)}")
    prepared.run_kubectl("create", "namespace", release.namespace)
    body = {"apiVersion": "aletheia.dev/v1alpha1", "kind": "Investigation", "metadata": {"name": "kept"}}
    body["spec"] = {"targets": [{"pod": "web-0"}], "events": {}, "suspend": True}
    prepared.run_kubectl("create", "-n", release.namespace, "-f", "-", stdin=json.dumps(body))
    before = definitions(prepared)
    values = yaml.safe_dump({"dataSourceSecrets": ["it-absent"], "caBundle": {"configMap": "it-absent"}})
    install: list[str | Path] = [prepared.helm, f"--kubeconfig={prepared.kubeconfig}", f"--namespace={release.namespace}"]
    install += ["install", "flight", CHART, "--values=-"]
    try:
        with pytest.raises(RigError, match="invalid ownership metadata"):
            run(install, stdin=values, timeout_seconds=120)
        notes = run([*install, "--take-ownership", "--force-conflicts"], stdin=values, timeout_seconds=120)
        assert "ConfigMap it-absent (caBundle.configMap) does not exist" in notes
        assert "Secret it-absent (dataSourceSecrets) does not exist" in notes
        classes = prepared.run_kubectl("get", "storageclasses", "-o", "name")  # the rig's only one is the default
        assert ("the cluster has no default StorageClass" in notes) is (classes == "")
        after = definitions(prepared)
        assert {name: item["uid"] for name, item in after.items()} == {name: item["uid"] for name, item in before.items()}
        assert {item["annotations"][OWNER] for item in after.values()} == {"flight"}
        release.helm("uninstall", "flight")
        assert {name: item["uid"] for name, item in definitions(prepared).items()} == {
            name: item["uid"] for name, item in before.items()
        }
        assert "kept" in prepared.run_kubectl("get", "investigations", "-n", release.namespace, "-o", "name")
    finally:
        release.helm("uninstall", "flight", "--ignore-not-found")
        prepared.run_kubectl("annotate", *DEFINITIONS, f"{OWNER}-", "meta.helm.sh/release-namespace-")
        prepared.run_kubectl("delete", "namespace", release.namespace, "--wait=false")


def test_the_api_server_takes_the_plain_manifests(prepared: Cluster) -> None:
    """Every object of deploy/ is accepted, without a warning, by client-side and by server-side apply."""
    kustomized = prepared.run_kubectl("kustomize", str(ROOT / "deploy"))
    objects = [item for item in yaml.safe_load_all(kustomized) if item["kind"] != "CustomResourceDefinition"]
    namespace = f"it-plain-{secrets.token_hex(3)}"  # a dry run needs a namespace that exists
    text = yaml.safe_dump_all(item for item in objects if item["kind"] != "Namespace").replace("aletheia-system", namespace)
    prepared.run_kubectl("create", "namespace", namespace)
    try:
        for way in ("--server-side=false", "--server-side"):
            output = prepared.run_kubectl("apply", way, "--dry-run=server", "-f", "-", stdin=text)
            assert "warning" not in output.lower()
            assert len(output.splitlines()) == len(objects) - 1
    finally:
        prepared.run_kubectl("delete", "namespace", namespace, "--wait=false")
