"""From targets to pods, and from pods to the runs of containers to read."""

from typing import Any

import pytest

from aletheia_operator.api import InvestigationSpec, Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError
from aletheia_operator.fetchers.base import Plan
from aletheia_operator.fetchers.kubernetes.logs import KubernetesLogsFetcher
from aletheia_operator.fetchers.kubernetes.members import Members
from aletheia_operator.fetchers.kubernetes.targets import describe, label_query
from aletheia_operator.redact import Redactor
from tests.unit.fakes import (
    PULLING,
    RUNNING,
    FakeKubernetes,
    FakeKubernetesLogs,
    entries_of,
    make_pod,
    make_scratch,
    make_sources,
)

PODS = "/api/v1/namespaces/shop/pods"


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        pytest.param({}, "", id="everything"),
        pytest.param({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2", id="labels, in order"),
        pytest.param({"matchLabels": {"a": ""}}, "a=", id="an empty value"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, "a in (1,2)", id="In"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, "a notin (1)", id="NotIn"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a", id="Exists"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, "!a", id="DoesNotExist"),
        pytest.param(
            {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists", "values": None}]},
            "a=1,b",
            id="both",
        ),
    ],
)
def test_a_selector_is_spelled_as_the_api_wants_it(selector: dict[str, Any], query: str) -> None:
    """The grammar of the labelSelector parameter."""
    assert label_query(selector) == query


def target(**fields: Any) -> Target:
    return Target.model_validate(fields)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (target(pod="web-0"), "pod/web-0"),
        (target(workload={"kind": "StatefulSet", "name": "db"}), "statefulset/db"),
        (target(selector={"matchLabels": {"app": "shop"}}), "pods app=shop"),
    ],
    ids=["a pod", "a workload", "a selector"],
)
def test_a_target_is_described_as_kubectl_would(asked: Target, words: str) -> None:
    """Status and events show these words."""
    assert describe(asked) == words


async def pods_of(kubernetes: FakeKubernetes, target: Target) -> list[str]:
    """Return the names of a target's pods."""
    ((_, pods),) = await Members(kubernetes.real(), "shop", [target], make_scratch, Redactor()).pods()
    assert not isinstance(pods, SourceError)
    return [pod.name for pod in pods]


async def test_a_pod_by_name_is_got() -> None:
    """It is a single read, without a list."""
    kubernetes = FakeKubernetes({f"{PODS}/web-0": make_pod()})
    assert await pods_of(kubernetes, target(pod="web-0")) == ["web-0"]
    assert kubernetes.asked == [(f"{PODS}/web-0", {})]


async def test_pods_by_labels_come_in_order_of_name() -> None:
    """The API's order does not matter."""
    kubernetes = FakeKubernetes(lists={PODS: [make_pod("web-1"), make_pod("web-0")]})
    found = await pods_of(kubernetes, target(selector={"matchLabels": {"app": "shop"}}))
    assert found == ["web-0", "web-1"]
    assert kubernetes.asked == [(PODS, {"labelSelector": "app=shop"})]


SELECTED = {"metadata": {"name": "web", "uid": "top"}, "spec": {"selector": {"matchLabels": {"app": "shop"}}}}


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "ReplicaSet", "Job"])
async def test_pods_of_a_workload_are_those_that_it_owns(kind: str) -> None:
    """A pod with the same labels and another owner is not the workload's."""
    group = "batch" if kind == "Job" else "apps"
    path = f"/apis/{group}/v1/namespaces/shop/{kind.lower()}s/web"
    pods = [make_pod("web-0", owner="top"), make_pod("stranger", owner="other"), make_pod("orphan")]
    kubernetes = FakeKubernetes({path: SELECTED}, {PODS: pods})
    found = await pods_of(kubernetes, target(workload={"kind": kind, "name": "web"}))
    assert found == ["web-0"]
    assert kubernetes.asked[-1] == (PODS, {"labelSelector": "app=shop"})


@pytest.mark.parametrize(
    ("kind", "base", "between"),
    [("Deployment", "/apis/apps/v1/namespaces/shop", "replicasets"), ("CronJob", "/apis/batch/v1/namespaces/shop", "jobs")],
)
async def test_pods_are_found_through_what_stands_between(kind: str, base: str, between: str) -> None:
    """Deployments own ReplicaSets, and CronJobs own Jobs. All of these count, also old ones."""
    children = [make_pod("old", owner="top"), make_pod("new", owner="top"), make_pod("foreign", owner="other")]
    pods = [make_pod("b", owner="uid-old"), make_pod("a", owner="uid-new"), make_pod("c", owner="uid-foreign")]
    top = SELECTED if kind == "Deployment" else {"metadata": {"name": "web", "uid": "top"}, "spec": {}}
    kubernetes = FakeKubernetes({f"{base}/{kind.lower()}s/web": top}, {f"{base}/{between}": children, PODS: pods})
    found = await pods_of(kubernetes, target(workload={"kind": kind, "name": "web"}))
    assert found == ["a", "b"]


async def test_a_cron_job_that_never_ran_has_no_pods() -> None:
    """Without Jobs, the API is not asked for pods."""
    path = "/apis/batch/v1/namespaces/shop/cronjobs/web"
    kubernetes = FakeKubernetes({path: {"metadata": {"name": "web", "uid": "top"}, "spec": {}}})
    assert await pods_of(kubernetes, target(workload={"kind": "CronJob", "name": "web"})) == []
    assert PODS not in [asked for asked, _ in kubernetes.asked]


async def plan_of(kubernetes: FakeKubernetes, *targets: dict[str, Any], **spec: Any) -> Plan:
    asked = InvestigationSpec.model_validate({"targets": list(targets), **spec})
    return await KubernetesLogsFetcher().plan(asked, make_sources(kubernetes))


async def test_a_pod_that_two_targets_select_is_asked_once() -> None:
    """Each pod gives one artifact, with the containers of both targets."""
    pod = make_pod(app=RUNNING, proxy=RUNNING, other=RUNNING)
    kubernetes = FakeKubernetes({f"{PODS}/web-0": pod}, {PODS: [pod]})
    by_label = {"selector": {"matchLabels": {"app": "shop"}}}
    plan = await plan_of(kubernetes, {"pod": "web-0", "containers": ["app"]}, {**by_label, "containers": ["proxy"]})
    (question,) = plan.questions
    assert [container["container"] for container in question.arguments["containers"]] == ["app", "proxy"]
    assert question.target == "pod/web-0"
    everything = await plan_of(kubernetes, {"pod": "web-0", "containers": ["app"]}, by_label)
    assert [container["container"] for container in everything.questions[0].arguments["containers"]] == [
        "app",
        "proxy",
        "other",
    ]


async def test_what_a_target_cannot_have_does_not_hide_the_others() -> None:
    """A missing pod, an empty selector and a missing right are gaps. The existing pod is read."""
    denied = "/apis/apps/v1/namespaces/shop/deployments/web"
    kubernetes = FakeKubernetes(
        {f"{PODS}/web-0": make_pod(), denied: Rejected("the Kubernetes API answered 403: no", GapReason.FORBIDDEN)}
    )
    plan = await plan_of(
        kubernetes,
        {"pod": "gone"},
        {"selector": {"matchLabels": {"app": "nobody"}}},
        {"workload": {"kind": "Deployment", "name": "web"}},
        {"pod": "web-0"},
    )
    assert [question.target for question in plan.questions] == ["pod/web-0"]
    assert [(gap.target, gap.reason) for gap in plan.missing] == [
        ("pod/gone", GapReason.NOT_FOUND),
        ("pods app=nobody", GapReason.NO_PODS),
        ("deployment/web", GapReason.FORBIDDEN),
    ]
    assert plan.missing[2].message == "the Kubernetes API answered 403: no"


async def test_without_targets_nothing_is_asked_of_kubernetes() -> None:
    """An Investigation of metrics alone needs no right to read pods."""
    kubernetes = FakeKubernetes()
    spec = InvestigationSpec.model_validate({"metrics": [{"query": "up"}]})
    assert await KubernetesLogsFetcher().plan(spec, make_sources(kubernetes)) == Plan()
    assert kubernetes.asked == []


async def test_a_pods_document_has_all_its_containers_in_time_order() -> None:
    """Lines of two containers are merged, and missing data is in the outcome."""
    pod = make_pod(app=RUNNING, proxy=RUNNING, late=PULLING)
    plan = await plan_of(FakeKubernetes({f"{PODS}/web-0": pod}), {"pod": "web-0"})
    lines = {
        "app": [b"2026-11-22T11:30:01.000000000Z ERROR a\n", b"2026-11-22T11:30:03.000000000Z c\n"],
        "proxy": [b"2026-11-22T11:30:02.000000000Z b\n"],
    }
    sources = make_sources(FakeKubernetesLogs({f"{PODS}/web-0": pod}, lines=lines))
    (document,) = [found async for found in KubernetesLogsFetcher().fetch(plan.questions[0], sources)]
    entries = await entries_of(document)
    assert [(entry["container"], entry["line"]) for entry in entries] == [("app", "ERROR a"), ("proxy", "b"), ("app", "c")]
    assert document.name == ("kubernetes", "web-0", "shop")
    assert document.metadata["containers"] == ["app", "late", "proxy"]
    assert document.outcome.summary == "3 logs (1 ERROR), top error: 'a' (1x)"
    assert document.outcome.metadata == {
        "levels": {"ERROR": 1},
        "via": {"container/app (run 0)": "api", "container/proxy (run 0)": "api"},
        "kept": {"ERROR": 1, "none": 2},
        "dropped": {},
        "runs": [{"container": "app", "run": 0}, {"container": "proxy", "run": 0}],
    }
    assert [(gap.target, gap.reason) for gap in document.outcome.missing] == [
        ("pod/web-0 container/late", GapReason.CONTAINER_NOT_STARTED)
    ]
