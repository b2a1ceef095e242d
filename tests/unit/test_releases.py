"""What Flux and Argo CD applied: found by a workload's labels, read with the identity's rights, shown with the rollout."""

from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients import kubernetes
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.fetchers.base import Missing
from aletheia_operator.fetchers.kubernetes import objects
from aletheia_operator.fetchers.kubernetes.deployers import Deployer, deployer_of, read_deployer
from aletheia_operator.fetchers.kubernetes.objects import KubernetesObjectsFetcher
from tests.unit.evidence import Incident, Object, at, ended, found, item, pod, waiting
from tests.unit.fakes import make_sources
from tests.unit.kubernetes_api import APPS, KubernetesApi, a_shop, deployment

COMMIT = "1f2e3d4c5b6a79880918273645546372819a0b1c"
FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "shop"}
HELM = {"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop"}
ARGO = "argocd.argoproj.io/tracking-id"


@pytest.mark.parametrize(
    ("labels", "annotations", "deployer"),
    [
        (FLUX, {}, Deployer("Kustomization", "shop", "apps")),
        (HELM, {}, Deployer("HelmRelease", "shop", "web")),
        ({}, {ARGO: "shop:apps/Deployment:shop/web"}, Deployer("Application", "argocd", "shop")),
        ({}, {ARGO: "team_shop:apps/Deployment:shop/web"}, Deployer("Application", "team", "shop")),
        ({"argocd.argoproj.io/instance": "shop"}, {}, Deployer("Application", "argocd", "shop")),
        ({}, {ARGO: "../../secrets/x:apps"}, None),
        ({"kustomize.toolkit.fluxcd.io/name": "a"}, {}, None),
        ({"app": "web"}, {}, None),
    ],
)
def test_what_deployed_a_workload(labels: Object, annotations: Object, deployer: Deployer | None) -> None:
    """Its labels and annotations name it. An invalid name never becomes part of a path."""
    assert deployer_of({"metadata": {"name": "web", "labels": labels, "annotations": annotations}}) == deployer


KUSTOMIZATION = {
    "metadata": {"name": "apps", "namespace": "shop", "uid": "k", "annotations": {"a": "canary"}},
    "spec": {"postBuild": {"substitute": {"PASSWORD": "canary"}}},
    "status": {"lastAppliedRevision": f"main@sha1:{COMMIT}", "conditions": [{"type": "Ready", "lastTransitionTime": at(24)}]},
}


async def read(answer: Object | int, user: str | None, namespace: str = "shop") -> Object | None:
    api = KubernetesApi()
    deployer = Deployer("Kustomization", namespace, "apps")
    api.objects = {deployer.path: answer}
    async with api.serve() as kubernetes:
        client = Kubernetes(kubernetes.client, user=user)
        return await read_deployer(client, "shop", deployer)


async def test_only_revisions_are_kept() -> None:
    """Specifications have values of charts, which may be credentials."""
    kept = await read(KUSTOMIZATION, "system:serviceaccount:shop:investigator")
    assert kept is not None
    assert kept["status"]["lastAppliedRevision"] == f"main@sha1:{COMMIT}"
    assert "canary" not in str(kept)


@pytest.mark.parametrize("status", [403, 404])
async def test_no_right_and_no_such_kind_are_silent(status: int) -> None:
    """Most clusters have neither Flux nor Argo CD, and most identities lack the right: no gap is reported."""
    assert await read(status, "system:serviceaccount:shop:investigator") is None


@pytest.mark.parametrize("status", [409, 413, 500])
async def test_other_refusals_are_errors(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployer may exist: its revisions are missing."""
    monkeypatch.setattr(kubernetes, "RETRY_DELAYS_SECONDS", ())
    with pytest.raises(SourceError):
        await read(status, "system:serviceaccount:shop:investigator")


async def test_the_operator_itself_reads_the_investigations_namespace_alone() -> None:
    """A label that a tenant writes does not lead it into another one."""
    assert await read(KUSTOMIZATION, None, "flux-system") is None
    assert await read(KUSTOMIZATION, None) is not None


async def test_a_workloads_artifact_has_its_deployer() -> None:
    """It is read once, after the objects around the pods. A missing right is no gap."""
    labelled = deployment()
    labelled["metadata"]["labels"] = FLUX
    api = a_shop()
    path = Deployer("Kustomization", "shop", "apps").path
    api.objects = {**api.objects, f"{APPS}/deployments/web": labelled, path: KUSTOMIZATION}
    spec = InvestigationSpec.model_validate({"targets": [{"workload": {"kind": "Deployment", "name": "web"}}], "objects": {}})
    kinds, gaps = await captured(api, spec)
    assert "Kustomization" in kinds
    assert api.asked.count(path) == 1
    assert not gaps


async def captured(api: KubernetesApi, spec: InvestigationSpec) -> tuple[set[str], list[Missing]]:
    """Return the kinds of the captured objects, and the gaps."""
    kinds: set[str] = set()
    gaps: list[Missing] = []
    async with api.serve() as kubernetes:
        sources = make_sources(cast("Any", SimpleNamespace(real=lambda: kubernetes)))
        fetcher = KubernetesObjectsFetcher()
        (question,) = (await fetcher.plan(spec, sources)).questions
        async for document in fetcher.fetch(question, sources):
            async for batch in document.batches:
                kinds |= {orjson.loads(orjson.dumps(entry))["kind"] for entry in cast("list[Any]", batch)}
            gaps += document.outcome.missing
    return kinds, gaps


async def test_deployers_that_are_not_read_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """If workloads have more deployers than are read, a note says so."""
    monkeypatch.setattr(objects, "MAX_DEPLOYERS", 0)
    labelled = deployment()
    labelled["metadata"]["labels"] = FLUX
    api = a_shop()
    api.objects = {**api.objects, f"{APPS}/deployments/web": labelled}
    spec = InvestigationSpec.model_validate({"targets": [{"workload": {"kind": "Deployment", "name": "web"}}], "objects": {}})
    _, (gap,) = await captured(api, spec)
    assert (gap.target, gap.reason, gap.severity) == ("deployers", GapReason.BUDGET_EXCEEDED, "note")
    assert gap.message.startswith("0 of 1 that deployed the workloads were read")


def deployed(kind: str, status: Object) -> Incident:
    """Revision 2 was rolled out at 14:25 by Flux or Argo CD, and its pods crash."""
    template = {"spec": {"containers": [{"name": "app", "image": "shop:1"}]}}
    old, new = (
        item("ReplicaSet", f"web-{number}", {"template": template}, creationTimestamp=at(minute))
        for number, minute in ((1, 5), (2, 25))
    )
    rollouts = [
        {"revision": n, "name": f"web-{n}", "created": at(minute), "in_window": True, "summary": f"revision {n} rolled out: x"}
        for n, minute in ((1, 5), (2, 25))
    ]
    crashed = waiting("CrashLoopBackOff", restarts=2, last=ended(1, minute=28))
    incident = Incident(rollouts={("Deployment", "web"): rollouts})
    incident.add(old, new, item(kind, "apps") | {"status": status})
    return incident.add(pod("web-2-a", crashed, labels={"app": "web", "pod-template-hash": "2"}))


READY = [{"type": "Ready", "status": "True", "lastTransitionTime": at(26)}]
APPLIED = [
    (
        "Kustomization",
        {"lastAppliedRevision": f"main@sha1:{COMMIT}", "conditions": READY},
        "Kustomization apps main@sha1:1f2e3d4c5b6a",
    ),
    (
        "HelmRelease",
        {
            "history": [
                {"chartName": "shop", "chartVersion": "1.3.0", "appVersion": "9", "lastDeployed": at(24)},
                {"chartName": "shop", "chartVersion": "1.2.0", "lastDeployed": at(2)},
            ]
        },
        "HelmRelease apps shop 1.2.0 → shop 1.3.0 (app 9)",
    ),
    (
        "Application",
        {"history": [{"revision": "a" * 40, "deployedAt": at(1)}, {"revision": COMMIT, "deployedAt": at(26)}]},
        "Application apps aaaaaaaaaaaa → 1f2e3d4c5b6a",
    ),
]


@pytest.mark.parametrize(("kind", "status", "words"), APPLIED)
def test_a_crash_after_a_release_names_it(kind: str, status: Object, words: str) -> None:
    """It has the revision before, if the history has it. The release is listed as a change."""
    incident = deployed(kind, status)
    assert f"; {words}" in found(incident, "CrashLoop").message
    assert f"web: applied by {words}" in " ".join(change["message"] for change in incident.judged().changes)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"history": []},
        {"history": "?"},
        {"history": [7]},
        {"history": [{"revision": COMMIT, "deployedAt": at(55)}]},
    ],
)
def test_a_release_that_tells_nothing_or_belongs_to_another_time(status: Object) -> None:
    """Such a release is not mentioned with the crash."""
    assert "Application" not in found(deployed("Application", status), "CrashLoop").message
