"""Investigations in an Application of Argo CD, by Argo CD's own libraries. docs/gitops.md tells the same in words.

Its application controller is imitated in one respect: a test calls each sync, as a person does by `argocd app sync`.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import pytest
import yaml

from tests.cluster.rig import ROOT
from tests.support.argocd import DELETE_HOOK, FINALIZER, HOOK, OPTIONS, WAVE, Application, health
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
from tests.support.operator import data_source, investigation, until

pytestmark = pytest.mark.cluster
Stories = Mapping[str, Future[None]]
TOGETHER = SideBySide()
side_by_side = TOGETHER.decorate
KEPT = {"retention": {"keep": True}}


@pytest.fixture(scope="module")
def stories(site: Site, request: pytest.FixtureRequest) -> Iterator[Stories]:
    """The running stories of the selected tests."""
    with TOGETHER.running(request, site) as all:
        yield all


def application(site: Site, name: str) -> Application:
    return Application(site.kubectl, name)


def of(name: str, states: Mapping[str, Mapping[str, Any]]) -> tuple[bool, str]:
    """Return whether an Investigation is Synced, and its health."""
    state = states[f"Investigation/{name}"]
    return state["synced"], state.get("health", "")


def test_health_rules() -> None:
    """Argo CD's Lua runner gives the health in health_test.yaml for every recorded resource."""
    results = health()
    assert len(results) > 20
    for result in results:
        assert result["found"] == result["expected"], result


@side_by_side
def test_a_sync_captures_once_and_stays_synced(site: Site) -> None:
    """By client-side and server-side apply: status and defaults are no difference, and nothing is captured again."""
    for flags, name in (("", "argo-client"), ("--server-side", "argo-server")):
        app = application(site, name)
        manifests = [question(name, **EMPTY), settings(name, revision="1")]
        synced = app.sync(*manifests, flags=flags)
        assert synced.phase == "Succeeded", synced
        assert of(name, synced.after)[0]
        resource = site.kubectl.ended(name)
        assert of(name, app.compare(*manifests, flags=flags)) == (True, "Healthy")
        again = app.sync(*manifests, flags=flags)
        assert again.phase == "Succeeded", again
        assert of(name, again.after) == (True, "Healthy")
        assert site.resource(name)["status"] == resource["status"]
        assert len(site.sessions(name)) == 1


@side_by_side
def test_both_ways_of_applying_follow_each_other(site: Site) -> None:
    """From client-side to server-side apply and back, with kubectl in between: Synced, and captured once."""
    app, manifest = application(site, "argo-ways"), question("argo-ways", **EMPTY)
    for flags in ("", "--server-side", "", "--server-side"):
        synced = app.sync(manifest, flags=flags)
        assert synced.phase == "Succeeded", synced
        assert of("argo-ways", synced.after)[0], synced
        for way in (("apply",), ("apply", "--server-side", "--force-conflicts")):
            site.kubectl(*way, "-f", "-", stdin=json.dumps(manifest))
    site.kubectl.ended("argo-ways")
    assert len(site.sessions("argo-ways")) == 1


@side_by_side
def test_an_edit_fails_the_sync_of_that_resource_only(site: Site) -> None:
    """The sync fails with the reason; the other resources are applied, and the evidence stays."""
    for flags, name in (("", "argo-edit"), ("--server-side", "argo-edit-server")):
        app = application(site, name)
        app.sync(question(name), settings(name, revision="1"), flags=flags)
        resource = site.captured(name)
        synced = app.sync(question(name, events={}), settings(name, revision="2"), flags=flags)
        assert synced.phase == "Failed"
        assert any(IMMUTABLE in result for result in synced.results), synced.results
        assert not of(name, synced.after)[0]
        assert site.kubectl.get("configmap", name)["data"] == {"revision": "2"}
        assert site.resource(name)["status"] == resource["status"]
        site.captured(name)


@side_by_side
def test_steering_in_git(site: Site) -> None:
    """suspend, cancel and retention may be changed: Suspended, then captured, then kept, without a second capture."""
    app = application(site, "argo-steer")
    synced = app.sync(question("argo-steer", suspend=True))
    site.kubectl.wait("investigation/argo-steer", "jsonpath={.status.phase}=Pending")
    assert of("argo-steer", app.compare(question("argo-steer", suspend=True))) == (True, "Suspended"), synced
    app.sync(question("argo-steer"))
    resource = site.captured("argo-steer")
    synced = app.sync(question("argo-steer", **KEPT))
    assert synced.phase == "Succeeded"
    assert site.resource("argo-steer")["spec"]["retention"] == {"keep": True}
    assert site.captured("argo-steer")["status"]["session"] == resource["status"]["session"]


@side_by_side
def test_drift_and_self_heal(site: Site) -> None:
    """A change of a field that Git has is OutOfSync, and undone by a sync. What Git does not have is left alone."""
    app, manifest = application(site, "argo-drift"), question("argo-drift", suspend=False, **KEPT)
    app.sync(manifest)
    resource = site.captured("argo-drift")
    site.kubectl("patch", "investigation", "argo-drift", "--type=merge", '--patch={"spec":{"retention":{"keep":false}}}')
    site.aletheia("hold", "argo-drift", "--reason=case 4711")
    assert of("argo-drift", app.compare(manifest)) == (False, "Healthy")
    synced = app.sync(manifest)
    assert of("argo-drift", synced.after) == (True, "Healthy")
    after = site.resource("argo-drift")
    assert after["spec"]["retention"] == {"keep": True}
    assert after["metadata"]["annotations"]["aletheia.dev/legal-hold"] == "case 4711"
    assert after["status"]["session"] == resource["status"]["session"]


@side_by_side
def test_prune_deletes_the_evidence_unless_it_is_kept(site: Site) -> None:
    """Without prune a removed Investigation stays, OutOfSync; with it, its session goes too, except a kept one."""
    app = application(site, "argo-prune")
    spared = annotated(question("argo-prune-spared"), **{OPTIONS: "Prune=false"})
    app.sync(question("argo-prune"), question("argo-prune-kept", **KEPT), spared)
    for name in ("argo-prune", "argo-prune-kept", "argo-prune-spared"):
        site.captured(name)
    assert of("argo-prune", app.sync(settings("argo-prune")).after) == (False, "Healthy")
    app.sync(settings("argo-prune"), flags="--prune")
    until(lambda: site.names("argo-prune") == ["argo-prune-spared"], 30, "the others are gone")
    until(lambda: not site.sessions("argo-prune"), 30, "its session is gone")
    assert len(site.sessions("argo-prune-kept")) == len(site.sessions("argo-prune-spared")) == 1


@side_by_side
def test_a_deleted_application_deletes_what_it_applied(site: Site) -> None:
    """Also what hooks created, by each finalizer that cascades. What is annotated with Delete=false stays."""
    for finalizer, name in ((FINALIZER, "argo-gone"), (f"{FINALIZER}/background", "argo-gone-bg")):
        app = application(site, name)
        hook = annotated(question(f"{name}-hook"), **{HOOK: "PreSync"})
        spared = annotated(question(f"{name}-spared"), **{OPTIONS: "Delete=false"})
        app.sync(hook, question(name), question(f"{name}-kept", **KEPT), spared)
        names = [name, f"{name}-hook", f"{name}-kept"]
        for captured in (*names, f"{name}-spared"):
            site.captured(captured)
        assert app.delete(finalizer) == [f"Investigation/{deleted}" for deleted in names]
        assert [other for other in site.names(name) if other in (*names, f"{name}-spared")] == [f"{name}-spared"]
        until(lambda: not site.sessions(name) + site.sessions(f"{name}-hook"), 30, "their sessions are gone")  # noqa: B023
        assert len(site.sessions(f"{name}-kept")) == len(site.sessions(f"{name}-spared")) == 1


@side_by_side
def test_an_application_without_a_finalizer_leaves_everything(site: Site) -> None:
    """Another Application with the same manifests takes over, and captures nothing again."""
    app = application(site, "argo-orphan")
    app.sync(question("argo-orphan"))
    resource = site.captured("argo-orphan")
    assert app.delete() == []
    assert site.resource("argo-orphan") == resource
    synced = application(site, "argo-orphan-2").sync(question("argo-orphan"))
    assert of("argo-orphan", synced.after) == (True, "Healthy")
    assert site.captured("argo-orphan")["status"]["session"] == resource["status"]["session"]


@side_by_side
def test_the_operator_itself_comes_from_git(site: Site) -> None:
    """deploy/ is Synced. A deleted Application deletes it, but not what evidence depends on."""
    there = empty_system(site)
    manifests = [*yaml.safe_load_all(there("kustomize", str(ROOT / "deploy")))]
    app = Application(there, "argo-operator")
    synced = app.sync(*manifests)
    assert synced.phase == "Succeeded", synced
    assert {name for name, state in app.compare(*manifests).items() if not state["synced"]} == set()
    app.delete(FINALIZER)
    check_uninstalled(there)


@side_by_side
def test_another_name_captures_again(site: Site) -> None:
    """A renamed Investigation is a new one, and a revert of the rename another new one. Kept sessions stay."""
    app = application(site, "argo-name")
    for name in ("argo-name-1", "argo-name-2", "argo-name-1"):
        app.sync(question(name, **KEPT), flags="--prune")
        site.kubectl.ended(name)
        until(lambda: site.names("argo-name") == [name], 30, "the other is gone")  # noqa: B023
    assert [len(site.sessions(name)) for name in ("argo-name-1", "argo-name-2")] == [2, 1]


@side_by_side
def test_replace_cannot_edit(site: Site) -> None:
    """Replace of the same manifest changes nothing; of an edited one it fails like a sync."""
    app = application(site, "argo-replace")
    app.sync(question("argo-replace"))
    resource = site.captured("argo-replace")
    same = app.sync(question("argo-replace"), flags="--replace")
    assert same.phase == "Succeeded", same
    edited = app.sync(question("argo-replace", events={}), flags="--replace")
    assert edited.phase == "Failed"
    assert any(IMMUTABLE in result for result in edited.results), edited.results
    assert site.captured("argo-replace")["status"]["session"] == resource["status"]["session"]


@side_by_side
def test_force_captures_again(site: Site) -> None:
    """Force deletes and creates: an edited Investigation is a new one, and its first evidence is gone unless it is kept."""
    for flags, name in (("--force", "argo-force"), ("--force --replace", "argo-force-replace")):
        app = application(site, name)
        app.sync(question(name))
        first = site.captured(name)["status"]["session"]["id"]
        synced = app.sync(question(name, events={}), flags=flags)
        assert synced.phase == "Succeeded", synced
        until(lambda: first not in site.sessions(name), 30, "the first session is gone")  # noqa: B023
        site.captured(name)


@side_by_side
def test_waves_wait_for_the_capture(site: Site) -> None:
    """What has a later wave is applied after the capture's end: capture before a change."""
    app = application(site, "argo-wave")
    later = annotated(settings("argo-wave", revision="2"), **{WAVE: "1"})
    synced = app.sync(question("argo-wave"), later)
    assert synced.phase == "Succeeded", synced
    ended = site.captured("argo-wave")["status"]["completionTime"]
    assert site.kubectl.get("configmap", "argo-wave")["metadata"]["creationTimestamp"] >= ended[:19]


@side_by_side
def test_a_failed_capture_fails_its_wave(site: Site) -> None:
    """The later wave is not applied: leave a capture that may fail out of the waves."""
    lost = investigation("argo-lost", traces=[{"service": "web", "dataSourceRef": {"name": "it-none"}}])
    later = annotated(settings("argo-lost"), **{WAVE: "1"})
    synced = application(site, "argo-lost").sync(lost, later)
    assert synced.phase == "Failed", synced
    assert of("argo-lost", synced.after) == (True, "Degraded")
    assert site.kubectl("get", "configmap", "argo-lost", "--ignore-not-found") == ""


@side_by_side
def test_a_hook_captures_each_sync(site: Site) -> None:
    """A PreSync hook with generateName is captured before each sync that changes something, and is not pruned."""
    app = application(site, "argo-hook")
    hook = annotated(question("argo-hook", **KEPT), **{HOOK: "PreSync"})
    hook["metadata"] = {**hook["metadata"], "generateName": "argo-hook-"}
    del hook["metadata"]["name"]
    for revision in ("1", "2"):
        synced = app.sync(hook, settings("argo-hook", revision=revision), flags="--prune")
        assert synced.phase == "Succeeded", synced
    names = site.names("argo-hook-")
    assert len(names) == 2
    for name in names:
        site.captured(name)


@side_by_side
def test_a_hook_that_captures_nothing_blocks_the_sync(site: Site) -> None:
    """A PreSync hook that asks for a workload that does not exist yet fails, and nothing is applied."""
    lost = investigation("argo-early", targets=[{"workload": {"kind": "Deployment", "name": "argo-early"}}])
    synced = application(site, "argo-early").sync(annotated(lost, **{HOOK: "PreSync"}), settings("argo-early"))
    assert synced.phase == "Failed", synced
    assert site.kubectl("get", "configmap", "argo-early", "--ignore-not-found") == ""


@side_by_side
def test_a_data_source_is_healthy_once_it_answers(
    site: Site,
) -> None:
    """Degraded until then, with the reason."""
    app, manifest = application(site, "argo-source"), data_source("it-argocd", "prometheus", "http://127.0.0.1:1")
    app.sync(manifest)
    site.kubectl.wait("datasource/it-argocd", "condition=Reachable=False")
    state = app.compare(manifest)["DataSource/it-argocd"]
    assert (state["synced"], state["health"]) == (True, "Degraded")
    assert "connection refused" in state["message"]
    app.sync(flags="--prune")


@side_by_side
def test_a_hook_captures_a_failed_sync(site: Site) -> None:
    """A SyncFail hook is captured if the sync fails, and only then."""
    app = application(site, "argo-fail")
    hook = annotated(question("argo-fail-hook"), **{HOOK: "SyncFail", DELETE_HOOK: "BeforeHookCreation"})
    assert app.sync(hook, settings("argo-fail", revision="1")).phase == "Succeeded"
    assert site.names("argo-fail-hook") == []
    broken = {**settings("argo-fail-broken"), "immutable": "perhaps"}
    assert app.sync(hook, settings("argo-fail", revision="2"), broken).phase == "Failed"
    site.captured("argo-fail-hook")


@side_by_side
def test_a_time_to_live_in_git_only_expires_the_evidence(site: Site) -> None:
    """The operator leaves the Investigation, which a sync would create again, and removes its artifacts. It deletes hooks."""
    app, manifest = application(site, "argo-short"), question("argo-short", ttlSecondsAfterFinished=1)
    hook = annotated(question("argo-short-hook", ttlSecondsAfterFinished=1), **{HOOK: "PreSync"})
    app.sync(manifest, hook)
    resource = site.kubectl.ended("argo-short")
    site.kubectl.wait("investigation/argo-short", "condition=ArtifactsExpired")
    until(lambda: site.is_gone("argo-short-hook"), 30, "the hook is deleted")
    assert app.sync(manifest, hook).phase == "Succeeded"
    assert of("argo-short", app.compare(manifest)) == (True, "Healthy")
    assert site.resource("argo-short")["metadata"]["uid"] == resource["metadata"]["uid"]
