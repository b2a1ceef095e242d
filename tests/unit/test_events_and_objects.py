"""What belongs to targets, how events become one, what of objects is kept: without a cluster."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
import pytest

from aletheia_operator.api import InvestigationSpec, Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.kubernetes import Kubernetes, rule_for
from aletheia_operator.fetchers.base import Document, Missing, Sources, Window
from aletheia_operator.fetchers.kubernetes.event_list import MAX_EVENTS, Events
from aletheia_operator.fetchers.kubernetes.events import KubernetesEventsFetcher
from aletheia_operator.fetchers.kubernetes.members import Members, read_named, selects
from aletheia_operator.fetchers.kubernetes.objects import KubernetesObjectsFetcher, make_fit
from aletheia_operator.fetchers.kubernetes.revisions import of_object, rollouts
from tests.unit.fakes import make_sources

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(hours=1), NOW)
Object = dict[str, Any]


@dataclass
class Api:
    """The API from tables by path; an exception is raised. Counts what is asked."""

    objects: Mapping[str, Any] = field(default_factory=dict)
    lists: Mapping[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, path: str) -> Any:
        self.asked.append(path)
        found = self.objects.get(path, Rejected("not found", GapReason.NOT_FOUND))
        if isinstance(found, Exception):
            raise found
        return found

    async def list(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        self.asked.append(path)
        found = self.lists.get(path, ())
        if isinstance(found, Exception):
            raise found
        for item in found:
            yield orjson.loads(orjson.dumps(item))

    def real(self) -> Kubernetes:
        return cast("Kubernetes", self)

    def sources(self) -> Sources:
        return make_sources(cast("Any", self), window=WINDOW, now=lambda: NOW)


def thing(name: str, owner: Object | None = None, **more: Any) -> Object:
    references = [{**owner, "controller": True}] if owner else []
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-11-22T11:30:00Z", "ownerReferences": references}
    return {"metadata": metadata, "spec": {}, **more}


def owner(kind: str, name: str, version: str = "apps/v1") -> Object:
    return {"kind": kind, "name": name, "uid": f"uid-{name}", "apiVersion": version}


def replica_set(name: str, revision: int, image: str) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    found = thing(name, owner("Deployment", "web"))
    found["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(revision)}
    return found | {"spec": {"template": template, "selector": {"matchLabels": {"app": "web"}}}}


def a_pod(name: str, above: str, node: str = "n1") -> Object:
    found = thing(name, owner("ReplicaSet", above), status={"phase": "Running"})
    found["metadata"]["labels"] = {"app": "web"}
    return found | {"spec": {"nodeName": node, "containers": [{"name": "app", "image": "shop:2"}]}}


APPS = "/apis/apps/v1/namespaces/shop"
CORE = "/api/v1/namespaces/shop"
WEB = thing("web") | {"spec": {"selector": {"matchLabels": {"app": "web"}}}}


def a_shop(pods: int = 2) -> Api:
    """Deployment web, revision 1 without pods, revision 2 with some."""
    return Api(
        objects={f"{APPS}/deployments/web": WEB, f"{APPS}/replicasets/web-222": replica_set("web-222", 2, "shop:2")},
        lists={
            f"{APPS}/replicasets": [replica_set("web-111", 1, "shop:1"), replica_set("web-222", 2, "shop:2")],
            f"{CORE}/pods": [a_pod(f"web-222-{number:05}", "web-222") for number in range(pods)],
        },
    )


async def members(api: Api, *targets: Object) -> tuple[list[str], list[Missing]]:
    found = Members(api.real(), "shop")
    parsed = [Target.model_validate(target) for target in targets]
    return [f"{item['kind']}/{item['metadata']['name']}" async for item in found.read(parsed)], found.missing


BY_WORKLOAD = {"workload": {"kind": "Deployment", "name": "web"}}
BY_LABELS = {"selector": {"matchLabels": {"app": "web"}}}


@pytest.mark.parametrize("targets", [[BY_WORKLOAD], [BY_LABELS], [BY_LABELS, BY_WORKLOAD]])
async def test_members_are_the_same_from_above_and_from_below(targets: list[Object]) -> None:
    """From the workload down, from the pods up, or both: each object once, old revisions included."""
    found, missing = await members(a_shop(), *targets)
    expected = ["Deployment/web", "Pod/web-222-00000", "Pod/web-222-00001", "ReplicaSet/web-111", "ReplicaSet/web-222"]
    assert sorted(found) == expected
    assert missing == []


async def test_a_refused_owner_is_a_gap_and_the_pods_stay() -> None:
    """What may be read is there."""
    api = a_shop()
    api.objects = {f"{APPS}/replicasets/web-222": Rejected("no", GapReason.FORBIDDEN)}
    found, missing = await members(api, BY_LABELS)
    assert found == ["Pod/web-222-00000", "Pod/web-222-00001"]
    assert [(one.target, one.reason) for one in missing] == [("replicasets", GapReason.FORBIDDEN)]


async def test_a_name_that_is_none_never_becomes_a_path() -> None:
    """Owner references and volumes are written by tenants."""
    api = Api()
    names = ["../secrets/x", "a/b", "..", "%2e%2e", "Fine?", ""]
    assert [item async for item in read_named(api.real(), "ConfigMap", "shop", names)] == []
    assert api.asked == []


async def fetch(fetcher: Any, api: Api, *targets: Object, **spec: Any) -> tuple[list[Document], list[list[Any]]]:
    parsed = InvestigationSpec.model_validate({"targets": list(targets), **spec})
    plan = await fetcher.plan(parsed, api.sources())
    found, entries = [], []
    for question in plan.questions:
        async for document in fetcher.fetch(question, api.sources()):
            found.append(document)
            entries.append([orjson.loads(orjson.dumps(entry)) async for batch in document.batches for entry in batch])
    return found, entries


@pytest.mark.parametrize("fetcher", [KubernetesEventsFetcher(), KubernetesObjectsFetcher()], ids=lambda one: one.name)
async def test_a_thousand_pods_take_no_more_calls_than_two(fetcher: Any) -> None:
    """One list a kind, whatever the number of pods."""
    calls = []
    for pods in (2, 1000):
        api = a_shop(pods)
        await fetch(fetcher, api, BY_WORKLOAD)
        calls.append(len(api.asked))
    assert calls[0] == calls[1] <= 12


def an_event(name: str, reason: str, kind: str = "Pod", uid: str = "", at: str = "11:30:00", **more: Any) -> Object:
    stamp = f"2026-11-22T{at}Z"
    metadata = {"name": f"{name}.{reason}.{at}", "creationTimestamp": stamp, "managedFields": [{}]}
    involved = {"kind": kind, "name": name, "uid": uid or f"uid-{name}", "namespace": "shop"}
    times = {"firstTimestamp": stamp, "lastTimestamp": stamp, "count": 1}
    return {
        "metadata": metadata,
        "involvedObject": involved,
        "type": "Normal",
        "reason": reason,
        "message": "",
        **times,
        **more,
    }


async def test_events_of_a_workload_and_its_vanished_pods() -> None:
    """Known objects and pods that fit a controller's names are in; a stranger with a similar name is not."""
    api = a_shop()
    scaled = "Scaled up replica set web-000 from 0 to 1"
    api.lists = {
        **api.lists,
        f"{CORE}/events": [
            an_event("web", "ScalingReplicaSet", "Deployment", message=scaled),
            an_event("web-222-00000", "Pulled"),
            an_event("web-111-abcde", "Killing"),
            an_event("web-111-abcde", "Scheduled", at="11:20:00", source={"component": "kubelet", "host": "n1"}),
            an_event("web-000-abcde", "Killing"),
            an_event("web-333-abcde", "Killing"),
            an_event("web-api-222-abcde", "Killing"),
            an_event("web-222-00001", "Killing", uid="uid-of-the-one-before"),
            an_event("web-111-fghij", "Killing", at="10:30:00"),
            an_event("ledger", "ScalingReplicaSet", "Deployment"),
        ],
        "/api/v1/namespaces/default/events": [an_event("n1", "NodeNotReady", "Node"), an_event("n2", "NodeNotReady", "Node")],
    }
    (document, lost), (entries, nothing) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD)
    assert document.findings.missing == nothing == [], "of the events nothing is missing"
    names = {entry["object"]["name"] for entry in entries}
    assert names == {"web", "web-222-00000", "web-111-abcde", "web-000-abcde", "web-222-00001", "n1"}
    gaps = {gap.target: gap.message for gap in lost.findings.missing}
    assert gaps.keys() == {"pod/web-111-abcde", "pod/web-000-abcde", "pod/web-222-00001"}
    assert "deployment/web, revision 1 (app shop:1) is gone, seen from 2026-11-22T11:20:00Z" in gaps["pod/web-111-abcde"]
    assert "was replaced" in gaps["pod/web-222-00001"]
    assert [one["name"] for one in document.metadata["pods_gone"]] == ["web-000-abcde", "web-111-abcde", "web-222-00001"]
    assert {gap.reason for gap in lost.findings.missing} == {GapReason.POD_GONE}


async def test_an_earlier_pod_of_the_same_name() -> None:
    """A pod that was asked for by name and made anew within the window: the log that is there is not all of it."""
    api = Api(
        objects={f"{CORE}/pods/db-0": a_pod("db-0", "gone")},
        lists={f"{CORE}/events": [an_event("db-0", "Killing", uid="before"), an_event("db-0", "Started")]},
    )
    (_, lost), (entries, _) = await fetch(KubernetesEventsFetcher(), api, {"pod": "db-0"}, logs={}, events={})
    assert len(entries) == 2
    (gap,) = lost.findings.missing
    assert (gap.target, gap.reason) == ("pod/db-0", GapReason.POD_GONE)
    assert "was replaced by another of its name" in gap.message


async def test_logs_alone_cost_one_list_of_events() -> None:
    """To know which pods are gone; where that may not be read, it is one gap that says so."""
    api = a_shop()
    documents, _ = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, logs={})
    assert documents == []
    assert api.asked.count(f"{CORE}/events") == 1
    assert not [path for path in api.asked if "autoscal" in path or "default" in path]
    api.lists = {**api.lists, f"{CORE}/events": Rejected("no", GapReason.FORBIDDEN)}
    (document,), _ = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, logs={})
    assert [(gap.target, gap.reason) for gap in document.findings.missing] == [
        ("which pods came and went", GapReason.FORBIDDEN)
    ]


async def test_a_workload_that_is_gone_still_has_its_events() -> None:
    """Who asks for events alone of what does not exist is told; a deleted Deployment's events are found by its name."""
    api = Api(lists={f"{CORE}/events": [an_event("web", "ScalingReplicaSet", "Deployment")]})
    (document,), (entries,) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, events={})
    assert [entry["reason"] for entry in entries] == ["ScalingReplicaSet"]
    assert [(gap.target, gap.reason) for gap in document.findings.missing] == [("deployment/web", GapReason.NOT_FOUND)]


@pytest.mark.parametrize("fetcher", [KubernetesEventsFetcher(), KubernetesObjectsFetcher()], ids=lambda one: one.name)
async def test_what_was_never_there_has_no_empty_file(fetcher: Any) -> None:
    """An Investigation of a misspelt name fails; an empty artifact would make it look captured. The logs' gap says it."""
    documents, _ = await fetch(fetcher, Api(), BY_WORKLOAD, {"pod": "gone"})
    assert documents == []


def test_events_that_say_the_same_become_one() -> None:
    """Counts add up, first and last span them all, whether written as core/v1 or events.k8s.io/v1; the raw ones are kept."""
    events = Events(WINDOW)
    new: Object = {"firstTimestamp": None, "lastTimestamp": None, "count": None, "eventTime": "2026-11-22T11:10:00.123456Z"}
    events.add(an_event("web-0", "BackOff", **new, series={"count": 4, "lastObservedTime": "2026-11-22T11:40:00.5Z"}))
    events.add(an_event("web-0", "BackOff", at="11:50:00", count=3))
    events.add(an_event("web-0", "BackOff", at="11:50:00", type="Warning"))
    events.add(an_event("web-0", "BackOff", at="09:00:00"))
    entries = [orjson.loads(orjson.dumps(event.to_json())) for event in events.of_pods()]
    assert [(entry["count"], entry["first"], entry["last"], len(entry["raw"])) for entry in entries] == [
        (7, "2026-11-22T11:10:00.123456Z", "2026-11-22T11:50:00Z", 2),
        (1, "2026-11-22T11:50:00Z", "2026-11-22T11:50:00Z", 1),
    ]
    assert "managedFields" not in entries[0]["raw"][0]["metadata"]


def test_of_too_many_events_warnings_stay() -> None:
    """Memory is flat, and what was left out is a gap."""
    events = Events(WINDOW)
    for number in range(MAX_EVENTS):
        events.add(an_event(f"web-{number}", "Pulled"))
    events.add(an_event("last", "BackOff", type="Warning"))
    events.add(an_event("more", "Pulled"))
    assert len(events.of_pods()) == MAX_EVENTS
    assert events.of_pods()[-1].name == "last"
    (gap,) = events.incomplete(NOW)
    assert (gap.reason, gap.message[:9]) == (GapReason.BUDGET_EXCEEDED, "2 events ")


@pytest.mark.parametrize(
    ("hours", "oldest", "expired"),
    [(1, "11:30:00", False), (2, "11:30:00", True), (2, None, True), (2, "09:59:00", False)],
    ids=["events live an hour", "the window is older", "no event is left to tell", "this cluster keeps them longer"],
)
def test_when_events_may_have_expired(hours: int, oldest: str | None, expired: bool) -> None:
    """By the default of an hour, unless an older event shows that they live longer."""
    events = Events(Window(NOW - timedelta(hours=hours), NOW))
    if oldest:
        events.see(an_event("any", "Pulled", at=oldest))
    assert [gap.reason for gap in events.incomplete(NOW)] == ([GapReason.EVENTS_EXPIRED] if expired else [])


@pytest.mark.parametrize(
    ("fields", "logs", "events", "objects"),
    [({}, True, True, True), ({"logs": {}}, True, False, False), ({"events": {}, "objects": {}}, False, True, True)],
)
def test_what_is_captured_of_targets(fields: Object, logs: bool, events: bool, objects: bool) -> None:
    """What is named, or all three where none is."""
    spec = InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}], **fields})
    assert (spec.of_targets("logs"), spec.of_targets("events"), spec.of_targets("objects")) == (logs, events, objects)


def test_what_changed_between_revisions() -> None:
    """Images with their values, other fields by name alone; the order is that of the revisions, not of their names."""
    before, after = replica_set("web-zzz", 9, "shop:1"), replica_set("web-aaa", 10, "shop:2")
    after["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": "canary"}]
    after["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    revisions = [of_object({"kind": "ReplicaSet", **item}) for item in (after, before)]
    first, second = rollouts([revision for revision in revisions if revision], WINDOW)
    assert (first["revision"], second["revision"], second["in_window"]) == (9, 10, True)
    assert second["changed"] == [
        {"container": "app", "field": "env"},
        {"container": "app", "field": "image", "from": "shop:1", "to": "shop:2"},
        {"annotation": "kubectl.kubernetes.io/restartedAt"},
    ]
    assert "canary" not in str(second)
    assert second["summary"].startswith("revision 10 rolled out: app env, app image shop:1 → shop:2, annotation")


def test_revisions_of_a_stateful_set() -> None:
    """They are ControllerRevisions, with the template as a patch."""
    spec = {"containers": [{"name": "db", "image": "db:3"}]}
    item = thing("db-1", kind="ControllerRevision", revision=3, data={"spec": {"template": {"spec": spec}}})
    revision = of_object(item)
    assert revision is not None
    assert (revision.number, revision.images) == (3, {"db": "db:3"})
    assert of_object({**item, "kind": "Job"}) is None


def test_a_config_map_keeps_digests_alone() -> None:
    """Neither its contents nor annotations, into which tools copy them."""
    item = {
        "kind": "ConfigMap",
        "metadata": {"name": "c", "annotations": {"note": "canary"}, "managedFields": []},
        "data": {"a": "canary"},
        "binaryData": {"b": "Y2FuYXJ5"},
    }
    make_fit(item)
    assert item.keys() == {"kind", "metadata", "dataSha256"}
    assert item["metadata"] == {"name": "c"}
    assert "canary" not in str(item)


def test_a_node_keeps_what_is_everyones_to_know() -> None:
    """Not the images and volumes of other tenants."""
    status = {"conditions": [], "images": [{}], "volumesInUse": ["x"], "capacity": {}, "addresses": []}
    item = {"kind": "Node", "metadata": {"name": "n", "annotations": {}}, "spec": {"taints": []}, "status": status}
    make_fit(item)
    assert item["status"].keys() == {"conditions", "capacity"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("GET", f"{CORE}/pods", '{apiGroups: [""], resources: [pods], verbs: [list]} in a Role of namespace shop'),
        ("GET", f"{CORE}/pods/web-0/log", '{apiGroups: [""], resources: [pods/log], verbs: [get]} in a Role of namespace shop'),
        (
            "GET",
            f"{APPS}/deployments/web",
            "{apiGroups: [apps], resources: [deployments], verbs: [get]} in a Role of namespace shop",
        ),
        ("GET", "/api/v1/nodes/n1", '{apiGroups: [""], resources: [nodes], verbs: [get]} in a ClusterRole'),
        (
            "GET",
            "/apis/aletheia.dev/v1alpha1/datasources",
            "{apiGroups: [aletheia.dev], resources: [datasources], verbs: [list]} in a ClusterRole",
        ),
    ],
)
def test_the_rule_that_would_allow_a_request(method: str, path: str, rule: str) -> None:
    """As YAML to paste, with the place where it belongs."""
    assert rule_for(method, path) == rule


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True),
        ({}, True),
    ],
)
def test_label_selectors(selector: Object, matches: bool) -> None:
    """As the API server matches them."""
    assert selects(selector, {"app": "web"}) is matches
