"""The objects around the targets: which belong to them, which are shared, and which are gaps."""

from datetime import timedelta
from typing import Any, cast

import orjson
import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Document, Window
from aletheia_operator.fetchers.kubernetes import objects as module
from aletheia_operator.fetchers.kubernetes.families import Family
from aletheia_operator.fetchers.kubernetes.objects import KubernetesObjectsFetcher
from aletheia_operator.fetchers.kubernetes.references import pod_references
from tests.unit.fakes import make_sources
from tests.unit.kubernetes_api import APPS, CORE, NOW, KubernetesApi, Object, a_pod, a_shop, deployment, replica_set, thing

WINDOW = Window(NOW - timedelta(hours=1), NOW)
BY_WORKLOAD = {"workload": {"kind": "Deployment", "name": "web"}}
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
SCALERS = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
BUDGETS = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets"


class RealApi:
    """A real client where a fake is expected."""

    def __init__(self, kubernetes: Any) -> None:
        self.real = lambda: kubernetes


async def captured(
    api: KubernetesApi, *targets: Object, nodes: bool = True
) -> dict[str, tuple[Document, list[str], list[Any]]]:
    """Return by target: the document, kind and name of its entries, and the entries."""
    spec = InvestigationSpec.model_validate({"targets": list(targets or [BY_WORKLOAD]), "objects": {"nodes": nodes}})
    found = {}
    async with api.serve() as kubernetes:
        sources = make_sources(cast("Any", RealApi(kubernetes)), window=WINDOW, now=lambda: NOW)
        fetcher = KubernetesObjectsFetcher()
        (question,) = (await fetcher.plan(spec, sources)).questions
        async for document in fetcher.fetch(question, sources):
            batches = [cast("list[Any]", batch) async for batch in document.batches]
            entries = [orjson.loads(orjson.dumps(entry)) for batch in batches for entry in batch]
            names = [f"{entry['kind']}/{entry['metadata']['name']}" for entry in entries]
            found[document.target or ""] = document, names, entries
    return found


def selecting(name: str, **labels: str) -> Object:
    return thing(name) | {"spec": {"selector": labels}}


def budget(name: str, selector: Object | None) -> Object:
    return thing(name) | {"spec": {"selector": selector}}


def scaler(name: str, kind: str, scaled: str) -> Object:
    return thing(name) | {"spec": {"scaleTargetRef": {"kind": kind, "name": scaled}}}


def a_slice(name: str, service: str) -> Object:
    made = thing(name)
    made["metadata"]["labels"] = {"kubernetes.io/service-name": service}
    return made


def a_full_shop() -> KubernetesApi:
    """Deployment web with all that can be around it, and as much that is not."""
    api = a_shop(1)
    pod = a_pod("web-222-00000", "web-222")
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    api.lists = {
        **api.lists,
        f"{CORE}/pods": [pod],
        f"{CORE}/services": [selecting("web", app="web"), selecting("other", app="other"), selecting("headless")],
        SLICES: [a_slice("web-1", "web"), a_slice("other-1", "other"), thing("none")],
        SCALERS: [scaler("web", "Deployment", "web"), scaler("set", "StatefulSet", "web"), scaler("other", "Deployment", "x")],
        BUDGETS: [
            budget("web", {"matchLabels": {"app": "web"}}),
            budget("other", {"matchLabels": {"app": "other"}}),
            budget("all", {}),
            budget("none", None),
        ],
        f"{CORE}/resourcequotas": [thing("quota")],
    }
    api.objects = {
        **api.objects,
        f"{CORE}/persistentvolumeclaims/data": thing("data"),
        "/api/v1/nodes/n1": thing("n1", status={"conditions": [], "images": ["of others"]}),
    }
    return api


async def test_what_belongs_to_a_workload_and_what_is_shared() -> None:
    """They follow from selectors, references and scale targets. Other workloads and namespaces are left out, except nodes."""
    api = a_full_shop()
    found = await captured(api)
    assert found["deployment/web"][1] == [
        "Deployment/web",
        "ReplicaSet/web-111",
        "ReplicaSet/web-222",
        "Pod/web-222-00000",
        "Service/web",
        "EndpointSlice/web-1",
        "HorizontalPodAutoscaler/web",
        "PodDisruptionBudget/all",
        "PodDisruptionBudget/web",
        "PersistentVolumeClaim/data",
    ]
    document, names, entries = found["namespace/shop"]
    assert names == ["ResourceQuota/quota", "Node/n1"]
    assert entries[1]["status"] == {"conditions": []}
    assert document.outcome.summary == "1 ResourceQuota, 1 Node"
    assert document.outcome.missing == []
    assert [path for path in api.asked if "/namespaces/shop" not in path] == ["/api/v1/nodes/n1"]
    assert document.name == ("kubernetes", "namespace", "shop", "shop")
    of_workload, _, _ = found["deployment/web"]
    asked = {"namespace": "shop", "targets": ["deployment/web"], "redacted_fields": document.metadata["redacted_fields"]}
    assert document.metadata == asked
    rollouts = of_workload.metadata.pop("rollouts")
    assert [rollout["revision"] for rollout in rollouts] == [1, 2]
    assert of_workload.metadata == {**asked, "kind": "Deployment", "name": "web"}
    assert of_workload.name == ("kubernetes", "deployment", "web", "shop")
    assert of_workload.outcome.summary.startswith("1 pod (1 not ready)")
    assert (of_workload.category, of_workload.source, of_workload.outcome.missing) == ("objects", "kubernetes", [])


async def test_of_objects_that_are_too_many_the_first_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap says how many were left out, because of their number or their size."""
    monkeypatch.setattr(module, "MAX_NAMED", 2)
    monkeypatch.setattr(module, "MAX_BYTES", 2_000)
    api = a_full_shop()
    pod = a_pod("web-222-00000", "web-222")
    pod["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": f"settings-{number}"}} for number in range(3)]
    large = [selecting(f"web-{number}", app="web") for number in range(5)]
    for service in large:
        service["metadata"]["annotations"] = {"note": "x" * 900}
    api.lists = {**api.lists, f"{CORE}/pods": [pod], f"{CORE}/services": large}
    document, _, _ = (await captured(api))["namespace/shop"]
    messages = {gap.target: gap.message for gap in document.outcome.missing}
    assert messages["configmaps"].startswith("2 of 3 ")
    assert messages["objects"].startswith("left out 6 objects around the targets")
    assert sorted(path for path in api.asked if "/configmaps/" in path) == [
        f"{CORE}/configmaps/settings-0",
        f"{CORE}/configmaps/settings-1",
    ]


async def test_without_nodes_none_is_asked_for() -> None:
    """Readers mostly lack the right."""
    api = a_full_shop()
    assert (await captured(api, nodes=False))["namespace/shop"][1] == ["ResourceQuota/quota"]
    assert not any("/nodes" in path for path in api.asked)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"{CORE}/services", "Service"),
        (SLICES, "EndpointSlice"),
        (SCALERS, "HorizontalPodAutoscaler"),
        (BUDGETS, "PodDisruptionBudget"),
        (f"{CORE}/resourcequotas", "ResourceQuota"),
    ],
)
async def test_a_kind_that_may_not_be_read_costs_no_other(path: str, kind: str) -> None:
    """It is a gap; slices follow from services and are not asked for without them."""
    api = a_full_shop()
    before = {name for _, names, _ in (await captured(api)).values() for name in names}
    api = a_full_shop()
    api.lists = {**api.lists, path: 403}
    found = await captured(api)
    lost = {kind, "EndpointSlice"} if kind == "Service" else {kind}
    assert {name for _, names, _ in found.values() for name in names} == {
        name for name in before if name.partition("/")[0] not in lost
    }
    (gap,) = found["namespace/shop"][0].outcome.missing
    assert (gap.target, gap.reason, gap.severity) == (path.rpartition("/")[2], GapReason.FORBIDDEN, "gap")


@pytest.mark.parametrize("few", [1, 2, 3])
async def test_slices_of_many_services_are_listed_whole(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Slices of a few services are requested by name, otherwise all. The same slices are kept."""
    monkeypatch.setattr(module, "FEW_SERVICES", few)
    api = a_full_shop()
    api.lists = {
        **api.lists,
        f"{CORE}/services": [selecting(name, app="web") for name in ("web", "web-b")],
        SLICES: [a_slice("one", "web"), a_slice("two", "web-b"), a_slice("other-1", "other")],
    }
    names = (await captured(api))["deployment/web"][1]
    assert [name for name in names if name.startswith("EndpointSlice")] == ["EndpointSlice/one", "EndpointSlice/two"]
    (query,) = [query for path, query in zip(api.asked, api.queries, strict=True) if path == SLICES]
    asked = {"labelSelector": "kubernetes.io/service-name in (web,web-b)"} if few >= 2 else {}
    assert {key: value for key, value in query.items() if key != "limit"} == asked


async def test_two_workloads_have_a_document_each() -> None:
    """A service of both is in both documents. A service of one is not in the other's document."""
    api = a_shop(1)
    api.objects = {
        **api.objects,
        f"{APPS}/deployments/cart": deployment("cart"),
        f"{APPS}/replicasets/cart-1": replica_set("cart-1", 1, "cart:1", "cart"),
    }
    cart = a_pod("cart-1-00000", "cart-1")
    cart["metadata"]["labels"]["tier"] = "back"
    api.lists = {
        **api.lists,
        f"{APPS}/deployments": [deployment(), deployment("cart")],
        f"{APPS}/replicasets": [*cast("Any", api.lists)[f"{APPS}/replicasets"], replica_set("cart-1", 1, "cart:1", "cart")],
        f"{CORE}/pods": [a_pod("web-222-00000", "web-222"), cart],
        f"{CORE}/services": [selecting("both", app="web"), selecting("back", app="web", tier="back")],
    }
    found = await captured(api, BY_WORKLOAD, {"workload": {"kind": "Deployment", "name": "cart"}}, nodes=False)
    services = {target: [name for name in names if "Service/" in name] for target, (_, names, _) in found.items()}
    assert services == {"deployment/web": ["Service/both"], "deployment/cart": ["Service/back", "Service/both"]}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"imagePullSecrets": [{"name": "pull"}, {}]}, {"Secret": {"pull"}}),
        ({"volumes": [{"name": "a", "configMap": {"name": "files"}}]}, {"ConfigMap": {"files"}}),
        ({"volumes": [{"name": "a", "secret": {"secretName": "keys"}}]}, {"Secret": {"keys"}}),
        ({"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "data"}}]}, {"PersistentVolumeClaim": {"data"}}),
        ({"volumes": [{"name": "tmp", "ephemeral": {}}]}, {"PersistentVolumeClaim": {"web-0-tmp"}}),
        ({"volumes": [{"name": "a", "emptyDir": {}}]}, {}),
        (
            {"volumes": [{"name": "a", "projected": {"sources": [{"configMap": {"name": "x"}}, {"secret": {"name": "y"}}]}}]},
            {"ConfigMap": {"x"}, "Secret": {"y"}},
        ),
        *(
            ({kind: [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "x"}}}, {"value": "1"}]}]}, {"ConfigMap": {"x"}})
            for kind in ("containers", "initContainers", "ephemeralContainers")
        ),
        ({"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "y"}}}]}]}, {"Secret": {"y"}}),
        ({"containers": [{"envFrom": [{"configMapRef": {"name": "x"}}]}]}, {"ConfigMap": {"x"}}),
        ({"containers": [{"envFrom": [{"secretRef": {"name": "y"}}]}, {}]}, {"Secret": {"y"}}),
    ],
)
def test_what_a_pod_refers_to(spec: Object, found: dict[str, set[str]]) -> None:
    """All fields of a pod's spec that name a ConfigMap, a Secret or a claim are read."""
    empty: dict[str, set[str]] = {"ConfigMap": set(), "Secret": set(), "PersistentVolumeClaim": set()}
    assert pod_references({"metadata": {"name": "web-0"}, "spec": spec}) == empty | found


def a_status(restarts: int = 0, waiting: str | None = None, ended: Object | None = None, last: Object | None = None) -> Object:
    state = {"waiting": {"reason": waiting}} if waiting else {"terminated": ended} if ended else {}
    return {"restartCount": restarts, "state": state, "lastState": {"terminated": last} if last else {}}


READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("pods", "summary"),
    [
        ([], "0 pods"),
        ([{"conditions": READY}], "1 pod"),
        ([{"conditions": READY}, {}], "2 pods (1 not ready)"),
        ([{"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}]}], "1 pod (1 not ready)"),
        ([{"phase": "Succeeded"}], "1 pod"),
        ([{"conditions": READY, "containerStatuses": [a_status(1)]}], "1 pod, 1 restart"),
        (
            [{"conditions": READY, "containerStatuses": [a_status(1)], "initContainerStatuses": [a_status(2)]}],
            "1 pod, 3 restarts",
        ),
        ([{"conditions": READY, "containerStatuses": [a_status(waiting="CrashLoopBackOff")]}], "1 pod, CrashLoopBackOff"),
        ([{"phase": "Succeeded", "containerStatuses": [a_status(ended={"reason": "Completed", "exitCode": 0})]}], "1 pod"),
        ([{"conditions": READY, "containerStatuses": [a_status(ended={"reason": "Error", "exitCode": 1})]}], "1 pod, Error"),
        (
            [
                {"conditions": READY, "containerStatuses": [a_status(ended={"reason": "B", "exitCode": 1})]},
                {
                    "conditions": READY,
                    "reason": "Evicted",
                    "containerStatuses": [a_status(last={"reason": "OOMKilled", "exitCode": 137})],
                },
            ],
            "2 pods, B, Evicted, OOMKilled",
        ),
    ],
)
def test_the_summary_of_a_workload(pods: list[Object], summary: str) -> None:
    """It has the number of pods, how many are not ready, their restarts, and each of their problems once."""
    family = Family("Deployment", "web")
    for status in pods:
        family.count({"status": status})
    assert family.summary(WINDOW) == summary
    assert family.metadata(WINDOW) == {"rollouts": []}
