"""Investigations in charts, by a real helm. docs/gitops.md tells the same in words."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.rig import ROOT, RigError, run
from tests.support.gitops import EMPTY, IMMUTABLE, SideBySide, Site, annotated, question, settings
from tests.support.operator import investigation, until

pytestmark = pytest.mark.cluster
EXAMPLE = ROOT / "examples/gitops/helm"
KEPT = {"retention": {"keep": True}}
TEMPLATE = "{{- range .Values.objects }}\n---\n{{ toYaml . }}\n{{- end }}\n"
Stories = Mapping[str, Future[None]]
TOGETHER = SideBySide()
side_by_side = TOGETHER.decorate


@dataclass(frozen=True)
class Rig:
    """A namespace with an operator, and a chart that has the objects in its values."""

    site: Site
    chart: Path

    def helm(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        cluster, namespace = self.site.kubectl.cluster, self.site.kubectl.namespace
        command: list[str | Path] = [cluster.helm, f"--kubeconfig={cluster.kubeconfig}", f"--namespace={namespace}", *arguments]
        return run(command if values is None else [*command, "--values=-"], stdin=json.dumps(values or {}), timeout_seconds=120)

    def upgrade(self, release: str, *objects: Mapping[str, Any], flags: str = "") -> str:
        """Install or upgrade a release of these objects."""
        return self.helm("upgrade", "--install", release, str(self.chart), *flags.split(), values={"objects": objects})

    def upgrade_example(self, release: str, **spec: Any) -> str:
        """Install or upgrade a release of the example's chart. Returns the name of its only Investigation."""
        one = {"name": release, "spec": {"targets": [{"pod": "speaker"}], "logs": {}, **KEPT, **spec}}
        self.helm("upgrade", "--install", release, str(EXAMPLE), values={"investigations": [one]})
        (name,) = self.site.names(f"{release}-")
        return name

    def config(self, name: str) -> Any:
        return self.site.kubectl.get("configmap", name)["data"]


@pytest.fixture(scope="module")
def stories(site: Site, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stories]:
    """The running stories of the selected tests."""
    chart = tmp_path_factory.mktemp("chart")
    (chart / "templates").mkdir()
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: own\nversion: 0.1.0\n")
    (chart / "templates/objects.yaml").write_text(TEMPLATE)
    with TOGETHER.running(request, Rig(site, chart)) as all:
        yield all


@side_by_side
def test_an_install_is_captured_once_and_waited_for(rig: Rig) -> None:
    """With --wait, helm waits for the capture's end. Upgrades that change something else leave it as it is."""
    rig.upgrade("once", question("once", **EMPTY), settings("once", revision="1"), flags="--wait")
    resource = rig.site.resource("once")
    assert resource["status"]["phase"] in ("Completed", "PartiallyCompleted"), resource["status"]
    rig.upgrade("once", question("once", **EMPTY), settings("once", revision="1"), flags="--wait")
    rig.upgrade("once", question("once", **EMPTY), settings("once", revision="2"), flags="--wait")
    assert rig.site.resource("once") == resource
    assert len(rig.site.sessions("once")) == 1


@side_by_side
def test_a_failed_capture_fails_the_wait(rig: Rig) -> None:
    """The other resources are there all the same; without --wait the install succeeds."""
    lost = investigation("unhealthy", traces=[{"service": "web", "dataSourceRef": {"name": "it-none"}}])
    with pytest.raises(RigError, match="unhealthy"):
        rig.upgrade("unhealthy", lost, settings("unhealthy", revision="1"), flags="--wait --timeout=20s")
    assert rig.config("unhealthy") == {"revision": "1"}
    assert rig.site.resource("unhealthy")["status"]["phase"] == "Failed"
    rig.upgrade("unhealthy", lost, settings("unhealthy", revision="2"))
    assert rig.config("unhealthy") == {"revision": "2"}


@side_by_side
def test_an_edit_fails_the_upgrade(rig: Rig) -> None:
    """The release has failed, with the reason, until the next upgrade without the edit. The evidence stays."""
    rig.upgrade("edited", question("edited"), settings("edited", revision="1"))
    resource = rig.site.captured("edited")
    for flags in ("", "--force-replace --server-side=false", "--rollback-on-failure --timeout=20s"):
        with pytest.raises(RigError, match=IMMUTABLE):
            rig.upgrade("edited", question("edited", events={}), settings("edited", revision="2"), flags=flags)
    rig.upgrade("edited", question("edited"), settings("edited", revision="3"))
    assert rig.config("edited") == {"revision": "3"}
    assert rig.site.resource("edited")["status"] == resource["status"]
    rig.site.captured("edited")


@side_by_side
def test_the_example_with_hashes_captures_each_edit(rig: Rig) -> None:
    """An edit makes a new Investigation and deletes the old one; a change of the retention makes none."""
    first = rig.upgrade_example("hashed")
    rig.site.captured(first)
    second = rig.upgrade_example("hashed", window={"lookback": "2h"})
    assert second != first
    resource = rig.site.captured(second)
    retention = {"keep": True, "artifactsSeconds": 86400}
    assert rig.upgrade_example("hashed", window={"lookback": "2h"}, retention=retention) == second
    assert rig.site.captured(second)["status"]["session"] == resource["status"]["session"]
    assert len(rig.site.sessions(first)) == 1


@side_by_side
def test_a_rollback_captures_what_it_creates(rig: Rig) -> None:
    """The Investigation of the former revision is created and captured again; kept sessions stay."""
    first = rig.upgrade_example("back")
    rig.site.captured(first)
    second = rig.upgrade_example("back", window={"lookback": "2h"})
    rig.site.captured(second)
    rig.helm("rollback", "back", "1")
    assert rig.site.names("back-") == [first]
    rig.site.kubectl.ended(first)
    assert (len(rig.site.sessions(first)), len(rig.site.sessions(second))) == (2, 1)


@side_by_side
def test_steering_in_values(rig: Rig) -> None:
    """suspend, cancel and retention may be changed, and rolled back: nothing fails, and nothing is captured again."""
    rig.upgrade("steered", question("steered", suspend=True))
    rig.site.kubectl.wait("investigation/steered", "jsonpath={.status.phase}=Pending")
    rig.upgrade("steered", question("steered"))
    resource = rig.site.captured("steered")
    rig.upgrade("steered", question("steered", cancel=True, **KEPT))
    assert rig.site.resource("steered")["spec"]["retention"] == {"keep": True}
    rig.helm("rollback", "steered", "2")
    assert "retention" not in rig.site.resource("steered")["spec"]
    assert rig.site.captured("steered")["status"]["session"] == resource["status"]["session"]


@side_by_side
def test_drift_stays_or_is_undone(rig: Rig) -> None:
    """A field that kubectl changed is a conflict, unless --force-conflicts undoes it. A legal hold stays."""
    rig.upgrade("drifted", question("drifted", **KEPT))
    resource = rig.site.captured("drifted")
    rig.site.kubectl("patch", "investigation", "drifted", "--type=merge", '--patch={"spec":{"retention":{"keep":false}}}')
    rig.site.aletheia("hold", "drifted", "--reason=case 4711")
    with pytest.raises(RigError, match="conflict"):
        rig.upgrade("drifted", question("drifted", **KEPT))
    rig.upgrade("drifted", question("drifted", **KEPT), flags="--force-conflicts")
    after = rig.site.resource("drifted")
    assert after["spec"]["retention"] == {"keep": True}
    assert after["metadata"]["annotations"]["aletheia.dev/legal-hold"] == "case 4711"
    assert rig.site.captured("drifted")["status"]["session"] == resource["status"]["session"]


@side_by_side
def test_what_a_release_no_longer_has_is_deleted(rig: Rig) -> None:
    """By an upgrade without it, or by uninstall. resource-policy: keep leaves it, and retention.keep leaves its session."""
    spared = annotated(question("gone-spared"), **{"helm.sh/resource-policy": "keep"})
    rig.upgrade("gone", question("gone-1"), question("gone-2"), question("gone-kept", **KEPT), spared)
    for name in ("gone-1", "gone-2", "gone-kept", "gone-spared"):
        rig.site.captured(name)
    rig.upgrade("gone", question("gone-2"), question("gone-kept", **KEPT), spared)
    assert rig.site.names("gone-") == ["gone-2", "gone-kept", "gone-spared"]
    rig.helm("uninstall", "gone")
    assert rig.site.names("gone-") == ["gone-spared"]
    until(lambda: not rig.site.sessions("gone-1") + rig.site.sessions("gone-2"), 30, "their sessions are gone")
    assert len(rig.site.sessions("gone-kept")) == len(rig.site.sessions("gone-spared")) == 1


@side_by_side
def test_a_template_that_kubectl_applies(rig: Rig) -> None:
    """Applied twice, it is captured once. No release owns it, so its time to live deletes it."""
    objects = [question("rendered", ttlSecondsAfterFinished=600), question("rendered-short", ttlSecondsAfterFinished=1)]
    rendered = rig.helm("template", "rendered", str(rig.chart), values={"objects": objects})
    assert rig.site.names("rendered") == []
    assert [item["spec"] for item in yaml.safe_load_all(rendered) if item] == [item["spec"] for item in objects]
    rig.site.kubectl("apply", "-f", "-", stdin=rendered)
    until(lambda: rig.site.names("rendered") == ["rendered"], 60, "the time to live is over")
    resource = rig.site.captured("rendered")
    again = [item for item in yaml.safe_load_all(rendered) if item and item["metadata"]["name"] == "rendered"]
    rig.site.kubectl.apply(*again)
    assert rig.site.resource("rendered")["status"] == resource["status"]


@side_by_side
def test_a_time_to_live_in_a_release_only_expires_the_evidence(rig: Rig) -> None:
    """The operator leaves the Investigation, which the next upgrade would create again, and removes its artifacts."""
    rig.upgrade("short", question("short", ttlSecondsAfterFinished=1))
    resource = rig.site.kubectl.ended("short")
    rig.site.kubectl.wait("investigation/short", "condition=ArtifactsExpired")
    rig.upgrade("short", question("short", ttlSecondsAfterFinished=1))
    assert rig.site.resource("short")["metadata"]["uid"] == resource["metadata"]["uid"]
    assert len(rig.site.sessions("short")) == 1
