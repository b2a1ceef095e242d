"""Investigations from Git, applied by Flux's own kustomize-controller. docs/gitops.md tells the same in words.

The tests spend their time waiting for Flux, so all of them run at the same time, each with its own Kustomization.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.cluster import servers
from tests.cluster.rig import ROOT
from tests.support.flux import Flux, condition, running_flux
from tests.support.gitops import (
    EMPTY,
    IMMUTABLE,
    SideBySide,
    Site,
    annotated,
    check_uninstalled,
    empty_system,
    question,
    settings,
)
from tests.support.operator import Kubectl, data_source, investigation, until

pytestmark = pytest.mark.cluster
EXAMPLE = yaml.safe_load((ROOT / "examples/gitops/flux/investigations.yaml").read_text())["spec"]
Stories = Mapping[str, Future[None]]
TOGETHER = SideBySide()
side_by_side = TOGETHER.decorate


@dataclass(frozen=True)
class Rig:
    """Flux, and the namespace with an operator that it applies to."""

    flux: Flux
    site: Site

    @property
    def kubectl(self) -> Kubectl:
        return self.site.kubectl


@pytest.fixture(scope="module")
def stories(site: Site, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stories]:
    """The running stories of the selected tests."""
    with running_flux(site.kubectl, tmp_path_factory.mktemp("flux")) as flux, TOGETHER.running(request, Rig(flux, site)) as all:
        yield all


def with_flux(resource: dict[str, Any], **settings: str) -> dict[str, Any]:
    """Return the resource with annotations of Flux: `ssa="IfNotPresent"`."""
    return annotated(resource, **{f"kustomize.toolkit.fluxcd.io/{name}": value for name, value in settings.items()})


@side_by_side
def test_a_commit_is_captured_once_and_waited_for(rig: Rig) -> None:
    """Flux reports Ready after the capture's end. Later reconciliations change nothing, though the API server set defaults."""
    git = rig.flux.delivery("once", wait=True)
    kustomization = git.commit({"all.yaml": [question("once", **EMPTY), settings("once", revision="1")]}).applied()
    resource = rig.site.resource("once")
    assert resource["status"]["phase"] in ("Completed", "PartiallyCompleted"), resource["status"]
    assert condition(kustomization, "Healthy")["status"] == "True"
    for _ in range(2):
        assert condition(git.reconcile(), "Ready")["status"] == "True"
    git.commit({"all.yaml": [question("once", **EMPTY), settings("once", revision="2")]}).applied()
    assert rig.site.resource("once") == resource
    assert len(rig.site.sessions("once")) == 1


@side_by_side
def test_a_failed_capture_fails_the_health_check(rig: Rig) -> None:
    """The other resources are applied all the same; with healthCheckExprs an ended capture is enough."""
    git = rig.flux.delivery("unhealthy", wait=True)
    lost = investigation("unhealthy", traces=[{"service": "web", "dataSourceRef": {"name": "it-none"}}])
    message = git.commit({"all.yaml": [lost, settings("unhealthy", revision="1")]}).failed()
    assert f"Investigation/{rig.kubectl.namespace}/unhealthy status: 'Failed'" in message
    assert rig.kubectl.get("configmap", "unhealthy")["data"] == {"revision": "1"}
    (ended,) = [rule for rule in EXAMPLE["healthCheckExprs"] if rule["kind"] == "Investigation"]
    git.set(healthCheckExprs=[ended])
    git.applied()


@side_by_side
def test_an_edited_spec_blocks_its_kustomization(rig: Rig) -> None:
    """Flux applies nothing of that commit, and says why; the evidence stays. A revert of the edit mends it."""
    git = rig.flux.delivery("edited")
    git.commit({"ask.yaml": [question("edited")], "rest.yaml": [settings("edited", revision="1")]}).applied()
    resource = rig.site.captured("edited")
    edit = question("edited", events={})
    message = git.commit({"ask.yaml": [edit], "rest.yaml": [settings("edited", revision="2")]}).failed()
    assert f"Investigation/{rig.kubectl.namespace}/edited dry-run failed (Invalid)" in message
    assert IMMUTABLE in message
    assert rig.kubectl.get("configmap", "edited")["data"] == {"revision": "1"}
    git.commit({"ask.yaml": [question("edited")]}).applied()
    assert rig.kubectl.get("configmap", "edited")["data"] == {"revision": "2"}
    assert rig.site.resource("edited")["status"] == resource["status"]
    rig.site.captured("edited")


@side_by_side
def test_if_not_present_ignores_an_edit(rig: Rig) -> None:
    """With the annotation ssa: IfNotPresent an edit changes nothing and blocks nothing; a deleted one is created again."""
    git = rig.flux.delivery("lenient", wait=True)

    def lenient(**spec: Any) -> dict[str, Any]:
        return with_flux(question("lenient", **spec), ssa="IfNotPresent")

    git.commit({"ask.yaml": [lenient()], "rest.yaml": [settings("lenient", revision="1")]}).applied()
    resource = rig.site.captured("lenient")
    git.commit({"ask.yaml": [lenient(events={})], "rest.yaml": [settings("lenient", revision="2")]}).applied()
    assert rig.kubectl.get("configmap", "lenient")["data"] == {"revision": "2"}
    assert rig.site.resource("lenient") == resource
    git.commit({"ask.yaml": None}).applied()
    assert rig.site.is_gone("lenient")


@side_by_side
def test_a_kustomization_of_its_own_keeps_the_rest_going(rig: Rig) -> None:
    """If Investigations have their own Kustomization, an edit blocks only that one."""
    asks, rest = rig.flux.delivery("own"), rig.flux.delivery("own-rest")
    asks.commit({"ask.yaml": [question("own")]}).applied()
    rest.commit({"rest.yaml": [settings("own", revision="1")]}).applied()
    asks.commit({"ask.yaml": [question("own", events={})]}).failed()
    rest.commit({"rest.yaml": [settings("own", revision="2")]}).applied()
    assert rig.kubectl.get("configmap", "own")["data"] == {"revision": "2"}


@side_by_side
def test_force_captures_again(rig: Rig) -> None:
    """With the annotation force: Enabled an edit deletes the Investigation with its evidence, and captures the new one."""
    git = rig.flux.delivery("forced")
    git.commit({"ask.yaml": [with_flux(question("forced"), force="Enabled")]}).applied()
    before = rig.site.captured("forced")
    git.commit({"ask.yaml": [with_flux(question("forced", events={}), force="Enabled")]}).applied()
    until(lambda: before["status"]["session"]["id"] not in rig.site.sessions("forced"), 30, "the first session is gone")
    after = rig.site.captured("forced")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


@side_by_side
def test_force_deletes_for_a_mistake_too(rig: Rig) -> None:
    """With spec.force an invalid edit also deletes the Investigation. Only retention.keep saves the evidence."""
    names = {"mistaken": {}, "mistaken-kept": {"retention": {"keep": True}}}
    for name, more in names.items():  # one after the other: Flux stops at the first error of a Kustomization
        git = rig.flux.delivery(name, force=True)
        git.commit({"ask.yaml": [question(name, **more)]}).applied()
        rig.site.captured(name)
        git.commit({"ask.yaml": [question(name, **more, timeout="soon")]}).failed()
        assert rig.site.is_gone(name)
    until(lambda: not rig.site.sessions("mistaken"), 30, "its session is gone")
    assert len(rig.site.sessions("mistaken-kept")) == 1


@side_by_side
def test_a_removed_file_deletes_the_evidence_unless_it_is_kept(rig: Rig) -> None:
    """Prune deletes the Investigations; sessions with retention.keep stay. The revert of the removal captures again."""
    git = rig.flux.delivery("pruned")
    git.commit({"a.yaml": [question("pruned")], "b.yaml": [question("pruned-kept", retention={"keep": True})]}).applied()
    first = [rig.site.captured(name) for name in ("pruned", "pruned-kept")]
    git.commit({"a.yaml": None, "b.yaml": None}).applied()
    assert rig.site.is_gone("pruned")
    assert rig.site.is_gone("pruned-kept")
    until(lambda: not rig.site.sessions("pruned"), 30, "its session is gone")
    assert rig.site.sessions("pruned-kept") == [first[1]["status"]["session"]["id"]]
    git.revert().applied()
    again = [rig.kubectl.ended(name) for name in ("pruned", "pruned-kept")]
    assert [new["metadata"]["uid"] == old["metadata"]["uid"] for new, old in zip(again, first, strict=True)] == [False, False]
    assert rig.site.sessions("pruned") == [again[0]["status"]["session"]["id"]]
    assert len(rig.site.sessions("pruned-kept")) == 2


@side_by_side
def test_another_name_captures_again(rig: Rig) -> None:
    """A renamed Investigation is a new one; the old one is pruned, and its session stays if it is kept."""
    git = rig.flux.delivery("renamed")
    git.commit({"ask.yaml": [question("renamed-1", retention={"keep": True})]}).applied()
    rig.site.captured("renamed-1")
    git.commit({"ask.yaml": [question("renamed-2", retention={"keep": True}, events={})]}).applied()
    rig.kubectl.ended("renamed-2")
    assert rig.site.is_gone("renamed-1")
    assert len(rig.site.sessions("renamed-1")) == len(rig.site.sessions("renamed-2")) == 1


@side_by_side
def test_the_example_with_hashes_captures_each_edit(rig: Rig) -> None:
    """An edit gets a new name and blocks nothing; the evidence of both stays. A change of the patch captures nothing."""
    folder = ROOT / "examples/gitops/kustomize"
    files = {path.name: path.read_text().replace("production", rig.kubectl.namespace) for path in folder.iterdir()}
    files |= {name: text.replace("payments-500s", "hashed") for name, text in files.items()}
    files["hashed.yaml"] = files.pop("payments-500s.yaml")
    git = rig.flux.delivery("hashed")

    git.commit(files).applied()
    (first,) = rig.site.names("hashed")
    rig.kubectl.ended(first)
    git.commit({"hashed.yaml": files["hashed.yaml"].replace("1h", "2h")}).applied()
    (second,) = rig.site.names("hashed")
    assert second != first
    resource = rig.kubectl.ended(second)
    git.commit({"kustomization.yaml": files["kustomization.yaml"].replace("2592000", "86400")}).applied()
    assert rig.site.names("hashed") == [second]
    assert rig.site.resource(second)["spec"]["retention"] == {"keep": True, "artifactsSeconds": 86400}
    assert rig.site.resource(second)["status"]["session"] == resource["status"]["session"]
    assert len(rig.site.sessions(first)) == len(rig.site.sessions(second)) == 1


@side_by_side
def test_a_data_source_is_healthy_once_it_answers(rig: Rig) -> None:
    """With the healthCheckExprs of the example, Flux waits for the operator's check of the endpoint."""
    (exprs,) = [rule for rule in EXAMPLE["healthCheckExprs"] if rule["kind"] == "DataSource"]
    git = rig.flux.delivery("sources", wait=True, healthCheckExprs=[exprs], targetNamespace=None)
    with servers.prometheus(rig.flux.directory / "prometheus") as server:
        git.commit({"source.yaml": [data_source("it-flux", "prometheus", server.url)]}).applied()
        resource = rig.kubectl.get("datasource", "it-flux")
        assert condition(resource, "Reachable")["status"] == "True"
    message = git.commit({"source.yaml": [data_source("it-flux", "prometheus", "http://127.0.0.1:1")]}).failed()
    assert "DataSource/it-flux" in message
    git.commit({"source.yaml": None}).applied()


@side_by_side
def test_a_suspended_kustomization_applies_nothing(rig: Rig) -> None:
    """While it is suspended, nothing is created, pruned or captured; resumed, it applies the last commit."""
    git = rig.flux.delivery("paused")
    git.commit({"a.yaml": [question("paused-1")]}).applied()
    resource = rig.site.captured("paused-1")
    git.set(suspend=True)
    git.commit({"a.yaml": None, "b.yaml": [question("paused-2")]})
    other = rig.flux.delivery("paused-other")
    other.commit({"c.yaml": [settings("paused", revision="1")]}).applied()  # Flux has had time for the other commit too
    assert rig.site.is_gone("paused-2")
    assert rig.site.resource("paused-1") == resource
    git.set(suspend=False)
    git.applied()
    rig.site.captured("paused-2")
    assert rig.site.is_gone("paused-1")


@side_by_side
def test_a_deleted_kustomization_deletes_what_it_applied(rig: Rig) -> None:
    """Investigations go with it, except those with the annotation prune: disabled; kept sessions stay."""
    git = rig.flux.delivery("ended")
    kept = question("ended-kept", retention={"keep": True})
    excluded = with_flux(question("ended-excluded"), prune="disabled")
    git.commit({"all.yaml": [question("ended"), kept, excluded]}).applied()
    for name in ("ended", "ended-kept", "ended-excluded"):
        rig.site.captured(name)
    git.delete()
    assert [rig.site.is_gone(name) for name in ("ended", "ended-kept", "ended-excluded")] == [True, True, False]
    until(lambda: not rig.site.sessions("ended"), 30, "its session is gone")
    assert len(rig.site.sessions("ended-kept")) == len(rig.site.sessions("ended-excluded")) == 1


@side_by_side
def test_an_orphaning_kustomization_leaves_everything(rig: Rig) -> None:
    """With deletionPolicy: Orphan the deletion of the Kustomization deletes nothing else."""
    git = rig.flux.delivery("orphaned", deletionPolicy="Orphan")
    git.commit({"ask.yaml": [question("orphaned")]}).applied()
    resource = rig.site.captured("orphaned")
    git.delete()
    assert rig.site.resource("orphaned")["status"] == resource["status"]
    rig.site.captured("orphaned")


@side_by_side
def test_drift_is_undone_without_another_capture(rig: Rig) -> None:
    """Flux undoes what kubectl changed, also a legal hold. It leaves what `kubectl investigation` and others changed."""
    git = rig.flux.delivery("drifted")
    git.commit({"ask.yaml": [question("drifted")]}).applied()
    resource = rig.site.captured("drifted")
    rig.kubectl(
        "patch", "investigation", "drifted", "--type=merge", '--patch={"spec":{"cancel":true,"retention":{"keep":true}}}'
    )
    rig.kubectl("annotate", "investigation", "drifted", "aletheia.dev/legal-hold=case 4711")
    git.reconcile()
    after = rig.site.resource("drifted")
    assert after["spec"] == resource["spec"]
    assert "annotations" not in after["metadata"]
    rig.kubectl("annotate", "investigation", "drifted", "--field-manager=ada", "example.com/case=4712")
    rig.site.aletheia("hold", "drifted", "--reason=case 4713")
    git.reconcile()
    after = rig.site.resource("drifted")
    assert after["metadata"]["annotations"] == {"example.com/case": "4712", "aletheia.dev/legal-hold": "case 4713"}
    assert after["status"]["session"] == resource["status"]["session"]
    rig.site.captured("drifted")


@side_by_side
def test_kubectl_and_flux_take_what_the_other_applied(rig: Rig) -> None:
    """By client-side and server-side apply, in both orders, with empty objects: no conflict, and no second capture."""
    ways = {"client": ("apply",), "server": ("apply", "--server-side", "--force-conflicts")}
    git = rig.flux.delivery("shared")
    for name, way in ways.items():
        rig.kubectl(*way, "-f", "-", stdin=json.dumps(question(f"shared-{name}", **EMPTY)))
    git.commit({f"{name}.yaml": [question(f"shared-{name}", **EMPTY)] for name in (*ways, "flux")}).applied()
    for way in ways.values():
        for name in (*ways, "flux"):
            rig.kubectl(*way, "-f", "-", stdin=json.dumps(question(f"shared-{name}", **EMPTY)))
        assert condition(git.reconcile(), "Ready")["status"] == "True"
    for name in (*ways, "flux"):
        rig.kubectl.ended(f"shared-{name}")
        assert len(rig.site.sessions(f"shared-{name}")) == 1


@side_by_side
def test_a_time_to_live_in_git_only_expires_the_evidence(rig: Rig) -> None:
    """The operator leaves the Investigation, which Flux would create again, and removes its artifacts."""
    git = rig.flux.delivery("short")
    git.commit({"ask.yaml": [question("short", ttlSecondsAfterFinished=1)]}).applied()
    resource = rig.kubectl.ended("short")
    rig.kubectl.wait("investigation/short", "condition=ArtifactsExpired")
    git.reconcile()
    after = rig.site.resource("short")
    assert after["metadata"]["uid"] == resource["metadata"]["uid"]
    assert condition(after, "Ready") == condition(resource, "Ready")
    assert len(rig.site.sessions("short")) == 1


@side_by_side
def test_the_operator_itself_comes_from_git(rig: Rig) -> None:
    """deploy/ is applied, and stays as it is. With its Kustomization, what evidence depends on is not deleted."""
    paths = [path for folder in ("deploy", "crds") for path in (ROOT / folder).iterdir()]
    git = rig.flux.delivery("operator", path="./deploy", targetNamespace=None)
    there = empty_system(rig.site)
    try:
        git.commit({str(path.relative_to(ROOT)): path.read_text() for path in paths}).applied()
        deployment = there.get("deployment", "aletheia-operator")
        assert condition(git.reconcile(), "Ready")["status"] == "True"
        assert there.get("deployment", "aletheia-operator")["metadata"]["generation"] == deployment["metadata"]["generation"]
    finally:
        git.delete()
    check_uninstalled(there)


@side_by_side
def test_steering_through_git(rig: Rig) -> None:
    """suspend, cancel and retention may be changed in Git: nothing blocks, and nothing is captured again."""
    git = rig.flux.delivery("steered")
    git.commit({"ask.yaml": [question("steered", suspend=True)]}).applied()
    rig.kubectl.wait("investigation/steered", "jsonpath={.status.phase}=Pending")
    git.commit({"ask.yaml": [question("steered")]}).applied()
    resource = rig.site.captured("steered")
    git.commit({"ask.yaml": [question("steered", retention={"keep": True}, cancel=True)]}).applied()
    assert rig.site.resource("steered")["status"]["session"] == resource["status"]["session"]
    rig.site.captured("steered")
