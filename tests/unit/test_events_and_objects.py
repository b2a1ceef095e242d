"""Which objects belong to targets, how events are merged, and what is kept of objects: without a cluster."""

import asyncio
import tracemalloc
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

import orjson
import pytest

from aletheia_operator.api import InvestigationSpec, Target
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.kubernetes_errors import rule_for
from aletheia_operator.fetchers.base import Document, Memo, Missing, Sources, Window
from aletheia_operator.fetchers.kubernetes import events as events_module
from aletheia_operator.fetchers.kubernetes.event_list import MAX_BYTES, MAX_EVENTS, OWN_BYTES, SHARED_BYTES, Events
from aletheia_operator.fetchers.kubernetes.events import KubernetesEventsFetcher
from aletheia_operator.fetchers.kubernetes.logs import KubernetesLogsFetcher
from aletheia_operator.fetchers.kubernetes.members import MAX_BYTES as MEMBER_BYTES
from aletheia_operator.fetchers.kubernetes.members import Members
from aletheia_operator.fetchers.kubernetes.objects import KubernetesObjectsFetcher
from aletheia_operator.fetchers.kubernetes.resources import read_named
from aletheia_operator.fetchers.kubernetes.revisions import of_object, rollouts
from aletheia_operator.fetchers.kubernetes.targets import selects
from aletheia_operator.redact import Redactor
from aletheia_operator.redact.objects import redact_object
from aletheia_operator.timeline import Timeline
from tests.unit.fakes import entries_of, make_scratch, make_sources
from tests.unit.kubernetes_api import (
    APPS,
    CORE,
    IN_DEFAULT,
    NOW,
    KubernetesApi,
    Object,
    a_pod,
    a_shop,
    an_event,
    replica_set,
    thing,
)

WINDOW = Window(NOW - timedelta(hours=1), NOW)


async def members(api: KubernetesApi, *targets: Object) -> tuple[list[str], list[Missing]]:
    parsed = [Target.model_validate(target) for target in targets]
    async with api.serve() as kubernetes:
        found, missing = await Members(kubernetes, "shop", parsed, make_scratch, Redactor()).all()
    return [f"{member.kind}/{member.name}" for member in found], missing


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
    """What may be read is captured."""
    api = a_shop()
    api.objects = {f"{APPS}/replicasets/web-222": 403}
    found, missing = await members(api, BY_LABELS)
    assert found == ["Pod/web-222-00000", "Pod/web-222-00001"]
    assert [(gap.target, gap.reason) for gap in missing] == [("replicasets", GapReason.FORBIDDEN)]


async def test_a_name_that_is_none_never_becomes_a_path() -> None:
    """Owner references and volumes are written by tenants."""
    api = KubernetesApi()
    names = ["../secrets/x", "a/b", "..", "%2e%2e", "Fine?", ""]
    async with api.serve() as kubernetes:
        assert [part async for part in read_named(kubernetes, "ConfigMap", "shop", names, len)] == []
    assert api.asked == []


Answer = tuple[list[Document], list[list[Any]]]


async def fetch(fetcher: Any, api: KubernetesApi, *targets: Object, now: datetime = NOW, **spec: Any) -> Answer:
    """The documents of an Investigation with these targets, and their entries."""
    return await fetch_all([fetcher], api, *targets, now=now, **spec)


async def fetch_all(fetchers: list[Any], api: KubernetesApi, *targets: Object, now: datetime = NOW, **spec: Any) -> Answer:
    """The documents of several fetchers of one capture, and their entries."""
    parsed = InvestigationSpec.model_validate({"targets": list(targets), **spec})
    found: list[Document] = []
    entries = []
    async with api.serve() as kubernetes:
        sources = sources_of(kubernetes, now)
        questions = [
            (fetcher, question) for fetcher in fetchers for question in (await fetcher.plan(parsed, sources)).questions
        ]
        for fetcher, question in questions:
            if question.gives_logs:
                continue
            async for document in fetcher.fetch(question, sources):
                found.append(document)
                entries.append([orjson.loads(orjson.dumps(entry)) async for batch in document.batches for entry in batch])
    return found, entries


def sources_of(kubernetes: Kubernetes, now: datetime = NOW) -> Sources:
    """Sources of a window of one hour that ends at NOW."""
    return make_sources(cast("Any", RealApi(kubernetes)), window=WINDOW, now=lambda: now)


@dataclass
class RealApi:
    """A real client where a fake is expected."""

    kubernetes: Kubernetes

    def real(self) -> Kubernetes:
        return self.kubernetes


@pytest.mark.parametrize("fetcher", [KubernetesEventsFetcher(), KubernetesObjectsFetcher()], ids=lambda case: case.name)
async def test_a_thousand_pods_take_no_more_calls_than_two(fetcher: Any) -> None:
    """One list a kind, in pages, whatever the number of pods."""
    calls = []
    for pods in (2, 1000):
        api = a_shop(pods)
        await fetch(fetcher, api, BY_WORKLOAD)
        calls.append(sum("continue" not in query for query in api.queries))
    assert calls[0] == calls[1] <= 12


async def test_events_of_a_workload_and_its_vanished_pods() -> None:
    """Known objects and pods with names of a controller are included; a pod of another workload with a similar name is not."""
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
        IN_DEFAULT: [an_event("n1", "NodeNotReady", "Node"), an_event("n2", "NodeNotReady", "Node")],
    }
    (document, lost), (entries, nothing) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD)
    assert document.outcome.missing == nothing == [], "of the events nothing is missing"
    names = {entry["object"]["name"] for entry in entries}
    assert names == {"web", "web-222-00000", "web-111-abcde", "web-000-abcde", "web-222-00001", "n1"}
    gaps = {gap.target: gap.message for gap in lost.outcome.missing}
    assert gaps.keys() == {"pod/web-111-abcde", "pod/web-000-abcde", "pod/web-222-00001"}
    assert "deployment/web, revision 1 (app shop:1) is gone, seen from 2026-11-22T11:20:00Z" in gaps["pod/web-111-abcde"]
    assert "was replaced" in gaps["pod/web-222-00001"]
    assert [pod["name"] for pod in document.metadata["pods_gone"]] == ["web-000-abcde", "web-111-abcde", "web-222-00001"]
    assert {gap.reason for gap in lost.outcome.missing} == {GapReason.POD_GONE}


async def test_a_pod_that_lived_all_through_the_window_without_an_event() -> None:
    """It was created before, and deleted between the window's end and the question: its log is lost, and that is reported."""
    api = a_shop()
    api.lists = {
        **api.lists,
        f"{CORE}/events": [
            an_event("web-111-abcde", "Scheduled", at="10:30:00"),
            an_event("web-111-abcde", "Started", at="10:31:00"),
            an_event("web-111-abcde", "Killing", at="12:00:05"),
            an_event("web-111-fghij", "Killing", at="10:30:00"),
            an_event("web-111-klmno", "Scheduled", at="12:00:05"),
            an_event("web-111-pqrst", "Killing", at="10:59:45"),
            an_event("web-222-00000", "Started", at="10:31:00"),
            an_event("web-222-00000", "Unhealthy", at="12:00:05"),
            an_event("web-222-00001", "Started", at="10:31:00"),
            an_event("web-222-00001", "Started", uid="an earlier one", at="10:20:00"),
            an_event("web-111-rstuv", "Started", at="10:39:00"),
            an_event("web-111-rstuv", "BackOff", at="10:40:00", message="Back-off restarting failed container app in pod"),
            an_event("web-111-stuvw", "BackOff", at="10:40:00", message="Back-off pulling image shop:3"),
            an_event("web-111-tuvwx", "FailedScheduling", at="10:40:00"),
        ],
    }
    documents, entries = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, events={}, logs={})
    assert [gap.target for document in documents for gap in document.outcome.missing if gap.reason == GapReason.POD_GONE] == [
        "pod/web-111-abcde",
        "pod/web-111-pqrst",
        "pod/web-111-rstuv",
    ], "the second may have ended within the window; of the third the kubelet reported nothing more"
    assert all(not entry for entry in entries), "these events lie outside of the window"


async def test_an_earlier_pod_of_the_same_name() -> None:
    """A pod that was asked for by name and recreated within the window: the log that is there is not all of it."""
    api = KubernetesApi(
        objects={f"{CORE}/pods/db-0": a_pod("db-0", "gone")},
        lists={f"{CORE}/events": [an_event("db-0", "Killing", uid="before"), an_event("db-0", "Started")]},
    )
    (_, lost), (entries, _) = await fetch(KubernetesEventsFetcher(), api, {"pod": "db-0"}, logs={}, events={})
    assert len(entries) == 2
    (gap,) = lost.outcome.missing
    assert (gap.target, gap.reason) == ("pod/db-0", GapReason.POD_GONE)
    assert "was replaced by another of its name" in gap.message


async def test_logs_alone_cost_one_list_of_events() -> None:
    """The events show which pods are gone. If they may not be read, one gap reports that."""
    api = a_shop()
    documents, _ = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, logs={})
    assert documents == []
    assert api.asked.count(f"{CORE}/events") == 1
    assert not [path for path in api.asked if "autoscal" in path or "default" in path]
    api.lists = {**api.lists, f"{CORE}/events": 403}
    (document,), _ = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, logs={})
    assert [(gap.target, gap.reason) for gap in document.outcome.missing] == [("which pods came and went", GapReason.FORBIDDEN)]


@pytest.mark.parametrize(
    ("target", "spec", "asked"),
    [
        (BY_WORKLOAD, {"logs": {}}, True),
        (BY_WORKLOAD, {"objects": {}}, False),
        ({"pod": "web-222-00000"}, {"logs": {}}, False),
        ({"pod": "web-222-00000"}, {"events": {}}, True),
    ],
    ids=["logs of a workload", "objects of a workload", "logs of a named pod", "events of a named pod"],
)
async def test_events_are_only_read_where_they_tell_something(target: Object, spec: Object, asked: bool) -> None:
    """Pods come and go in a workload alone: logs of pods that are named cost no list of events."""
    api = a_shop()
    await fetch(KubernetesEventsFetcher(), api, target, **spec)
    assert (f"{CORE}/events" in api.asked) is asked


@pytest.mark.parametrize(("nodes", "queries"), [(1, 1), (3, 3), (4, 1)])
async def test_events_of_few_nodes_are_read_by_name(nodes: int, queries: int) -> None:
    """The events of a thousand other nodes stay on the server; of more than a few, one list has all."""
    api = a_shop(nodes)
    pods = [a_pod(f"web-222-{number}", "web-222", node=f"n{number}") for number in range(nodes)]
    happened = [an_event(f"n{number}", "NodeNotReady", "Node") for number in range(nodes)]
    api.lists = {**api.lists, f"{CORE}/pods": pods, IN_DEFAULT: [*happened, an_event("other", "NodeNotReady", "Node")]}
    _, (entries,) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, events={})
    assert {entry["object"]["name"] for entry in entries if entry["object"]["kind"] == "Node"} == {
        f"n{i}" for i in range(nodes)
    }
    selectors = [query["fieldSelector"] for path, query in zip(api.asked, api.queries, strict=True) if path == IN_DEFAULT]
    by_name = [f"involvedObject.kind=Node,involvedObject.name=n{number}" for number in range(nodes)]
    assert selectors == (by_name if queries == nodes else ["involvedObject.kind=Node"])


async def test_of_very_many_pods_that_are_gone_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a limit each has a gap with its name. The document with these gaps is named after the namespace."""
    monkeypatch.setattr(events_module, "MAX_GONE", 2)
    api = a_shop()
    api.lists = {**api.lists, f"{CORE}/events": [an_event(f"web-222-{name * 5}", "Killing") for name in "bcdfg"]}
    (document,), _ = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, logs={})
    assert document.name == ("kubernetes", "shop")
    gaps = [(gap.target, gap.reason) for gap in document.outcome.missing]
    assert [target for target, _ in gaps[:2] if target.startswith("pod/web-222-")] == [target for target, _ in gaps[:2]]
    assert gaps[2:] == [("pods", GapReason.POD_GONE)]
    assert document.outcome.missing[2].message.startswith("3 more pods gone")


async def test_a_workload_that_is_gone_still_has_its_events() -> None:
    """If only events are requested and the target is gone, that is a gap; a deleted Deployment's events are found by name."""
    api = KubernetesApi(lists={f"{CORE}/events": [an_event("web", "ScalingReplicaSet", "Deployment")]})
    (document,), (entries,) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, events={})
    assert [entry["reason"] for entry in entries] == ["ScalingReplicaSet"]
    assert [(gap.target, gap.reason) for gap in document.outcome.missing] == [("deployment/web", GapReason.NOT_FOUND)]


@pytest.mark.parametrize("fetcher", [KubernetesEventsFetcher(), KubernetesObjectsFetcher()], ids=lambda case: case.name)
async def test_what_was_never_there_has_no_empty_file(fetcher: Any) -> None:
    """An Investigation of a misspelt name fails, with a gap of the logs. An empty artifact would make it look captured."""
    documents, _ = await fetch(fetcher, KubernetesApi(), BY_WORKLOAD, {"pod": "gone"})
    assert documents == []


def test_events_that_say_the_same_become_one() -> None:
    """Counts add up, first and last span them all, whether written as core/v1 or events.k8s.io/v1; the raw ones are kept."""
    events = Events(WINDOW)
    new: Object = {"firstTimestamp": None, "lastTimestamp": None, "count": None, "eventTime": "2026-11-22T11:10:00.123456Z"}
    events.add(an_event("web-0", "BackOff", **new, series={"count": 4, "lastObservedTime": "2026-11-22T11:40:00.5Z"}))
    events.add(an_event("web-0", "BackOff", at="11:50:00", count=3))
    events.add(an_event("web-0", "BackOff", at="11:50:00", type="Warning"))
    events.add(an_event("web-0", "BackOff", at="09:00:00"))
    entries = [orjson.loads(orjson.dumps(event.to_json())) for event in events.of_kind("Pod")]
    assert [(entry["count"], entry["first"], entry["last"], len(entry["raw"])) for entry in entries] == [
        (7, "2026-11-22T11:10:00.123456Z", "2026-11-22T11:50:00Z", 2),
        (1, "2026-11-22T11:50:00Z", "2026-11-22T11:50:00Z", 1),
    ]
    assert "managedFields" not in entries[0]["raw"][0]["metadata"]


async def test_the_timeline_reads_events_as_they_are_given_to_be_written() -> None:
    """It reads entries on their way to the file, and not from the file."""
    events = Events(WINDOW)
    events.add(an_event("web-0", "BackOff", at="11:50:00", type="Warning"))
    reader = Timeline(WINDOW.start, WINDOW.end).reader("kubernetes", "events")
    assert reader is not None
    async for batch in events.batches():
        reader.read(batch)
    assert [(moment.kind, moment.object) for moment in reader.found] == [("CrashLoop", "pod/web-0")]


def test_of_too_many_events_warnings_stay() -> None:
    """Memory is flat, and what was left out is a gap."""
    events = Events(WINDOW)
    for number in range(MAX_EVENTS):
        events.add(an_event(f"web-{number}", "Pulled"))
    events.add(an_event("last", "BackOff", type="Warning"))
    events.add(an_event("more", "Pulled"))
    assert len(events.of_kind("Pod")) == MAX_EVENTS
    assert events.of_kind("Pod")[-1].name == "last"
    (gap,) = events.too_many()
    assert (gap.reason, gap.message[:18]) == (GapReason.BUDGET_EXCEEDED, "left out 2 events:")


def test_a_summary_says_what_warns_most() -> None:
    """By the counts of warnings; without warnings only the number of events."""
    events = Events(WINDOW)
    events.add(an_event("web-0", "Pulled", count=90))
    assert events.summary() == "1 event"
    events.add(an_event("web-0", "Unhealthy", type="Warning", message="a"))
    events.add(an_event("web-0", "Unhealthy", type="Warning", message="b"))
    events.add(an_event("web-0", "BackOff", type="Warning", count=12))
    assert events.summary() == "4 events (3 Warning), most: BackOff (12x)"


def test_strangers_do_not_push_out_what_is_wanted() -> None:
    """Events that may belong to targets, also warnings, are dropped before events that do."""
    events = Events(WINDOW)
    for number in range(MAX_EVENTS):
        events.add(an_event(f"web-{number}", "FailedCreate", "ReplicaSet", type="Warning"), sure=False)
    for number in range(10):
        events.add(an_event(f"web-222-{number:05}", "Pulled"))
    events.add(an_event("web-last", "FailedCreate", "ReplicaSet", type="Warning"), sure=False)
    assert len(events.of_kind("Pod")) == 10
    assert len(events.of_kind("ReplicaSet")) == MAX_EVENTS - 10
    assert events.dropped == 11


async def test_an_event_that_comes_twice_counts_once() -> None:
    """A list that begins again after it expired, or that overlaps another, brings the same events again."""
    events = Events(WINDOW)
    for _ in range(2):
        events.add(an_event("n1", "NodeNotReady", "Node"))
    assert [event.count for event in events.of_kind("Node")] == [1]


@pytest.mark.parametrize("at", ["10:00:00", "11:30:00", "13:00:00"], ids=["before", "in the window", "behind"])
def test_long_words_of_events_are_not_kept_as_text(at: str) -> None:
    """The API checks little of an event: a megabyte of message with one wide character took four, outside of the bounds."""
    events = Events(WINDOW)
    tracemalloc.start()
    try:
        for number in range(60):
            long = f"{number}\N{PILE OF POO}" + "x" * 10**6
            events.add(an_event(f"web-{number}", "Pulled", at=at, uid=str(number), message=long))
            events.add(an_event(f"web-{long}", long, at=at, uid=long, type=long, message=""))
        assert tracemalloc.get_traced_memory()[0] < 1.5 * MAX_BYTES
    finally:
        tracemalloc.stop()


def test_large_events_of_many_captures_share_the_memory() -> None:
    """Fifteen captures of one tenant had 24 MiB each. Now each keeps some, and after they end, a later one the maximum."""
    note = {"annotations": "x" * 10**6}

    def filled() -> Events:
        events = Events(WINDOW)
        for number in range(30):
            events.add(an_event(f"web-{number}", "Pulled", note=note))
        return events

    first = [filled() for _ in range(15)]
    sizes = [sum(event.size_bytes for event in events_of.of_kind("Pod")) for events_of in first]
    assert sum(sizes) <= SHARED_BYTES + 15 * OWN_BYTES
    assert min(sizes) > OWN_BYTES - 2 * 10**6
    assert "than there is memory for" in first[-1].too_many()[0].message
    first.clear()
    assert sum(event.size_bytes for event in filled().of_kind("Pod")) > MAX_BYTES - 2 * 10**6


def test_large_events_are_bounded_by_size() -> None:
    """A tenant's events of a megabyte each do not fill the memory; warnings stay, and what was left out is reported."""
    events = Events(WINDOW)
    note = {"annotations": "x" * 10**6}
    for number in range(60):
        events.add(an_event(f"web-{number}", "Pulled", at=f"11:30:{number:02}", note=note))
    for number in range(5):
        events.add(an_event("web-0", "BackOff", at=f"11:31:{number:02}", type="Warning", note=note))
    raw = [len(raw_event) for event in events.of_kind("Pod") for raw_event in event.raw]
    assert sum(raw) <= MAX_BYTES
    assert sum(event.count for event in events.of_kind("Pod") if event.type == "Warning") == 5
    assert [gap.reason for gap in events.too_many()] == [GapReason.BUDGET_EXCEEDED]


async def test_the_fetchers_of_a_capture_read_each_object_once() -> None:
    """One walk of the members, one list of autoscalers and claims, whatever of logs, events and objects is asked for."""
    api = a_shop()
    pod = a_pod("web-222-00000", "web-222")
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    api.lists = {**api.lists, f"{CORE}/pods": [pod]}
    api.objects = {**api.objects, f"{CORE}/pods/web-222-00000": pod}
    fetchers = [KubernetesLogsFetcher(), KubernetesEventsFetcher(), KubernetesObjectsFetcher()]
    documents, _ = await fetch_all(fetchers, api, BY_WORKLOAD, {"pod": "web-222-00000"})
    assert {document.category for document in documents} == {"events", "objects"}
    asked = [(path, tuple(query.items())) for path, query in zip(api.asked, api.queries, strict=True)]
    assert len(asked) == len(set(asked)), sorted(path for path in asked if asked.count(path) > 1)


async def test_what_could_not_be_made_is_made_again_by_the_next() -> None:
    """A shared answer is not remembered if it failed or was cancelled."""
    memo = Memo()
    made: list[int] = []

    async def make() -> int:
        made.append(len(made))
        if len(made) == 1:
            raise Unavailable("not yet")
        if len(made) == 2:
            raise asyncio.CancelledError
        await asyncio.sleep(0)
        return made[-1]

    with pytest.raises(Unavailable):
        await memo.get("key", make)
    with pytest.raises(asyncio.CancelledError):
        await memo.get("key", make)
    assert await asyncio.gather(*(memo.get("key", make) for _ in range(5))) == [2] * 5
    assert made == [0, 1, 2]


async def test_what_other_investigations_left_behind_is_not_read() -> None:
    """The events of thousands of Investigations in the namespace stay on the server, and the rest comes in pages."""
    api = a_shop()
    left = [an_event(f"inv-{number}", "Completed", "Investigation") for number in range(3000)]
    own = [an_event("web-222-00000", "Pulled", at=f"11:{number // 60:02}:{number % 60:02}") for number in range(600)]
    api.lists = {**api.lists, f"{CORE}/events": left + own}
    (document,), (entries,) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, events={})
    assert document.outcome.missing == []
    assert len(entries[0]["raw"]) == 600
    reads = [query for path, query in zip(api.asked, api.queries, strict=True) if path == f"{CORE}/events"]
    assert len(reads) == 3
    assert {query["fieldSelector"] for query in reads} == {"involvedObject.kind!=Investigation"}


async def test_events_of_the_nodes_that_gone_pods_ran_on() -> None:
    """Often only events of the node show why a pod is gone. The kubelet's or scheduler's event of the pod names the node."""
    api = a_shop()
    assigned = "Successfully assigned shop/web-111-bbbbb to n3"
    api.lists = {
        **api.lists,
        f"{CORE}/events": [
            an_event("web-111-aaaaa", "Killing", source={"host": "n2"}),
            an_event("web-111-bbbbb", "Scheduled", message=assigned),
            an_event("stranger-0", "Killing", source={"host": "n4"}),
        ],
        IN_DEFAULT: [an_event(node, "NodeNotReady", "Node") for node in ("n1", "n2", "n3", "n4")],
    }
    (document, _), (entries, _) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD)
    assert {entry["object"]["name"] for entry in entries if entry["reason"] == "NodeNotReady"} == {"n1", "n2", "n3"}
    assert [(pod["name"], pod["node"]) for pod in document.metadata["pods_gone"]] == [
        ("web-111-aaaaa", "n2"), ("web-111-bbbbb", "n3"),
    ]  # fmt: skip


async def test_a_pod_that_lost_a_node_that_nobody_names() -> None:
    """The kubelet of a dead node says nothing, so the nodes that were not ready at that time are kept."""
    api = a_shop()
    api.lists = {
        **api.lists,
        f"{CORE}/events": [an_event("web-111-aaaaa", "TaintManagerEviction", at="11:35:00")],
        IN_DEFAULT: [
            an_event("dead", "NodeNotReady", "Node", at="11:30:00"),
            an_event("well", "Rebooted", "Node", at="11:30:00"),
            an_event("later", "NodeNotReady", "Node", at="11:50:00"),
        ],
    }
    _, (entries, _) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD)
    assert {entry["object"]["name"] for entry in entries if entry["object"]["kind"] == "Node"} == {"dead"}


async def fetch_in_default(nodes: bool) -> list[Any]:
    """The events of nodes for a pod of namespace default."""
    path = "/api/v1/namespaces/default"
    pod = a_pod("web-0", "none")
    events = [an_event("n1", "NodeNotReady", "Node"), an_event("web-0", "Pulled"), an_event("n2", "NodeNotReady", "Node")]
    api = KubernetesApi(objects={f"{path}/pods/web-0": pod}, lists={f"{path}/events": events})
    spec = InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}], "events": {"nodes": nodes}})
    async with api.serve() as kubernetes:
        sources = replace(sources_of(kubernetes), namespace="default")
        (question,) = (await KubernetesEventsFetcher().plan(spec, sources)).questions
        (document,) = [found async for found in KubernetesEventsFetcher().fetch(question, sources)]
        entries = [orjson.loads(orjson.dumps(entry)) for entry in await entries_of(document)]
    return [(entry["object"]["name"], entry["count"]) for entry in entries]


async def test_in_namespace_default_events_of_nodes_count_once() -> None:
    """Nodes' events are in that namespace: they are neither read twice, nor kept if nodes are not asked for."""
    assert sorted(await fetch_in_default(nodes=True)) == [("n1", 1), ("web-0", 1)]
    assert await fetch_in_default(nodes=False) == [("web-0", 1)]


async def test_what_pods_refer_to_is_kept_once_and_fit() -> None:
    """ConfigMaps as digests, claims, Secrets by name; missing objects are marked, unless that cannot be known."""
    pod = a_pod("web-222-00000", "web-222")
    app = pod["spec"]["containers"][0]
    app["envFrom"] = [{"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "absent"}}]
    app["env"] = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}]
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    settings = thing("settings") | {"data": {"file": "canary"}}
    api = a_shop()
    api.lists = {**api.lists, f"{CORE}/pods": [pod]}
    api.objects = {**api.objects, f"{CORE}/configmaps/settings": settings, f"{CORE}/persistentvolumeclaims/data": 403}
    (family, shared), (entries, _) = await fetch(KubernetesObjectsFetcher(), api, BY_WORKLOAD, objects={"nodes": False})
    kept = {(entry["kind"], entry["metadata"]["name"]): entry for entry in entries}
    assert kept["ConfigMap", "settings"]["dataSha256"].keys() == {"file"}
    assert kept["ConfigMap", "absent"]["exists"] is False
    assert kept["Secret", "keys"].keys() == {"apiVersion", "kind", "metadata"}
    assert ("PersistentVolumeClaim", "data") not in kept, "whether it exists is not known"
    assert "canary" not in str(entries)
    assert [gap.target for gap in shared.outcome.missing] == ["persistentvolumeclaims"]
    assert family.outcome.missing == []


async def test_large_objects_are_kept_in_little() -> None:
    """A tenant's pods with annotations of a quarter of a megabyte each do not fill the memory; one gap says so."""
    api = a_shop(100)
    pods = [a_pod(f"web-222-{number:05}", "web-222") for number in range(100)]
    for pod in pods:
        pod["metadata"]["annotations"] = {"note": "x" * 250_000, "kubernetes.io/config.mirror": "abc"}
        pod["status"] = {"phase": "Running", "reason": "Evicted"}
    api.lists = {**api.lists, f"{CORE}/pods": pods}
    fetchers = [KubernetesEventsFetcher(), KubernetesObjectsFetcher()]
    documents, entries = await fetch_all(fetchers, api, BY_WORKLOAD, objects={"nodes": False}, events={})
    gaps = [gap for document in documents for gap in document.outcome.missing]
    assert [(gap.target, gap.reason) for gap in gaps] == [("objects", GapReason.BUDGET_EXCEEDED)]
    kept = [entry for document, entry in zip(documents, entries, strict=True) if document.category == "objects"]
    found = [item for item in kept[0] if item["kind"] == "Pod"]
    assert len(found) == 100
    assert sum(len(orjson.dumps(item)) for item in found) < MEMBER_BYTES
    assert found[-1]["spec"]["containers"] == [{"name": "app", "image": "shop:2"}]
    assert (found[-1]["spec"]["nodeName"], found[-1]["status"]["phase"]) == ("n1", "Running")
    assert found[-1]["metadata"]["annotations"] == {"kubernetes.io/config.mirror": "abc"}


async def test_large_objects_around_the_targets_are_left_out() -> None:
    """A tenant's services and autoscalers, each with annotations of a quarter of a megabyte, do not fill the memory."""
    api = a_shop()
    note = {"note": "x" * 250_000}
    services = [thing(f"web-{number}") for number in range(100)]
    scalers = [thing(f"web-{number}") for number in range(100)]
    for service, scaler in zip(services, scalers, strict=True):
        service["metadata"]["annotations"] = scaler["metadata"]["annotations"] = note
        service["spec"] = {"selector": {"app": "web"}}
        scaler["spec"] = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}
    scaling = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
    api.lists = {**api.lists, f"{CORE}/services": services, scaling: scalers}
    (_, shared), (entries, _) = await fetch(KubernetesObjectsFetcher(), api, BY_WORKLOAD, objects={"nodes": False})
    assert len(orjson.dumps(entries)) < 17 * 2**20
    assert {(gap.target, gap.reason) for gap in shared.outcome.missing} == {
        ("objects", GapReason.BUDGET_EXCEEDED),
        ("horizontalpodautoscalers", GapReason.BUDGET_EXCEEDED),
    }


async def test_a_pod_that_refers_to_thousands_of_names() -> None:
    """Each costs the API server a request: a part is read, the rest is reported, and is not taken for absent."""
    pod = a_pod("web-222-00000", "web-222")
    app = pod["spec"]["containers"][0]
    app["envFrom"] = [{"configMapRef": {"name": f"settings-{number:04}"}} for number in range(2000)]
    api = a_shop()
    api.lists = {**api.lists, f"{CORE}/pods": [pod]}
    (_, shared), (entries, _) = await fetch(KubernetesObjectsFetcher(), api, BY_WORKLOAD, objects={"nodes": False})
    assert sum("/configmaps/" in path for path in api.asked) == 500
    assert sum(entry["kind"] == "ConfigMap" for entry in entries) == 500
    assert [(gap.target, gap.reason) for gap in shared.outcome.missing] == [("configmaps", GapReason.BUDGET_EXCEEDED)]


async def test_forged_times_end_nothing() -> None:
    """Tenants write the times and counts of events: extreme values push out no other event."""
    forged: Object = {"firstTimestamp": "0001-01-01T00:00:01Z", "lastTimestamp": "9999-12-31T23:59:59Z", "count": 2**31 - 1}
    pod = a_pod("web-222-00000", "web-222")
    pod["status"] = {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-22T11:00:00Z"}]}
    pod["status"]["containerStatuses"] = [{"name": "app", "state": {"running": {"startedAt": "0001-01-01T00:00:01Z"}}}]
    api = a_shop()
    api.lists = {
        **api.lists,
        f"{CORE}/pods": [pod],
        f"{CORE}/events": [
            an_event("web-222-00000", "Started", **forged),
            an_event("web-222-00000", "Scheduled", at="11:00:00"),
            an_event("web-111-aaaaa", "TaintManagerEviction", **forged),
        ],
        IN_DEFAULT: [an_event("n2", "NodeNotReady", "Node", **forged), an_event("n3", "NodeNotReady", "Node")],
    }
    (document, _), (entries, _) = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, now=NOW + timedelta(days=1))
    assert {entry["object"]["name"] for entry in entries} == {"web-222-00000", "web-111-aaaaa", "n2", "n3"}
    assert [pod["first"][:4] for pod in document.metadata["pods_gone"]] == ["0001"]


async def test_rights_that_readers_mostly_lack_are_notes() -> None:
    """Nodes, and events in namespace default, need rights outside the namespace; any other missing right is a gap."""
    api = a_shop()
    api.objects = {**api.objects, "/api/v1/nodes/n1": 403}
    api.lists = {**api.lists, IN_DEFAULT: 403, f"{CORE}/services": 403}
    documents, _ = await fetch_all([KubernetesEventsFetcher(), KubernetesObjectsFetcher()], api, BY_WORKLOAD)
    missing = {gap.target: gap for document in documents for gap in document.outcome.missing}
    assert {target: (gap.reason, gap.severity) for target, gap in missing.items()} == {
        "events of nodes": (GapReason.FORBIDDEN, "note"),
        "nodes": (GapReason.FORBIDDEN, "note"),
        "services": (GapReason.FORBIDDEN, "gap"),
    }


@pytest.mark.parametrize(
    ("logs", "what"), [({}, "events"), ({"logs": {}}, "events, and which pods came and went")], ids=["events", "with logs"]
)
async def test_events_that_may_not_be_read_are_one_gap(logs: dict[str, Any], what: str) -> None:
    """It says that logs of pods that are gone are not known either. Nothing is reported about how old the events are."""
    api = a_shop()
    api.lists = {**api.lists, f"{CORE}/events": 403}
    (document,), _ = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, now=NOW + timedelta(days=1), events={}, **logs)
    assert [(gap.target, gap.reason) for gap in document.outcome.missing] == [(what, GapReason.FORBIDDEN)]
    spec = InvestigationSpec.model_validate({"targets": [BY_WORKLOAD], "events": {}, **logs})
    async with api.serve() as kubernetes:
        (question,) = (await KubernetesEventsFetcher().plan(spec, sources_of(kubernetes))).questions
    assert question.target == what, "so does a question that is given up"
    smaller = KubernetesEventsFetcher().smaller(question)
    assert (smaller.target if smaller else None) == ("which pods came and went" if logs else None)


async def test_pods_that_are_gone_are_known_without_the_events() -> None:
    """The smaller question has the same gaps of pods, and saves no event."""
    api = a_shop()
    api.lists = {**api.lists, f"{CORE}/events": [an_event("web-111-aaaaa", "Killing"), an_event("web-222-00000", "Started")]}
    documents, _ = await fetch(KubernetesEventsFetcher(), api, BY_WORKLOAD, events={}, logs={})
    spec = InvestigationSpec.model_validate({"targets": [BY_WORKLOAD], "events": {}, "logs": {}})
    async with api.serve() as kubernetes:
        sources = sources_of(kubernetes)
        (question,) = (await KubernetesEventsFetcher().plan(spec, sources)).questions
        smaller = KubernetesEventsFetcher().smaller(question)
        assert smaller is not None and smaller.key != question.key
        (document,) = [document async for document in KubernetesEventsFetcher().fetch(smaller, sources)]
        assert [batch async for batch in document.batches] == [[]]
    gone = [gap for both in documents for gap in both.outcome.missing if gap.reason is GapReason.POD_GONE]
    assert gone and document.outcome.missing == gone


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            {"workload": {"kind": "Deployment", "name": "wbe"}},
            "shop has no Deployment wbe; the nearest names: web (",
        ),
        ({"workload": {"kind": "Deployment", "name": "ledger"}}, "namespace shop has no Deployment ledger ("),
        ({"pod": "web-222-0000"}, "the nearest names: web-222-00001, web-222-00000 ("),
        ({"workload": {"kind": "Job", "name": "web"}}, "namespace shop has no Job web ("),
    ],
    ids=["misspelt", "nothing like it", "a pod", "names that may not be listed"],
)
async def test_a_misspelt_target_has_the_nearest_names(target: Object, words: str) -> None:
    """What does not exist is reported with its namespace, and with what may have been meant."""
    api = a_shop()
    api.lists = {**api.lists, "/apis/batch/v1/namespaces/shop/jobs": 403}
    _, missing = await members(api, target)
    assert missing[0].reason == GapReason.NOT_FOUND
    assert words in missing[0].message


@pytest.mark.parametrize(
    ("fields", "logs", "events", "objects"),
    [({}, True, True, True), ({"logs": {}}, True, False, False), ({"events": {}, "objects": {}}, False, True, True)],
)
def test_what_is_captured_of_targets(fields: Object, logs: bool, events: bool, objects: bool) -> None:
    """What the spec names; logs, events and objects if it names none of these."""
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
    redact_object(item, Redactor())
    assert item.keys() == {"kind", "metadata", "dataSha256"}
    assert item["metadata"] == {"name": "c"}
    assert "canary" not in str(item)


def test_a_node_keeps_what_is_everyones_to_know() -> None:
    """Not the images and volumes of other tenants."""
    status = {"conditions": [], "images": [{}], "volumesInUse": ["x"], "capacity": {}, "addresses": []}
    item = {"kind": "Node", "metadata": {"name": "n", "annotations": {}}, "spec": {"taints": []}, "status": status}
    redact_object(item, Redactor())
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
        (
            "GET",
            f"{CORE}/secrets/sealing",
            '{apiGroups: [""], resources: [secrets], resourceNames: [sealing], verbs: [get]} in a Role of namespace shop',
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
    """As YAML to paste, with the role that it belongs to."""
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


async def test_services_beside_the_pods_are_kept_although_they_select_none() -> None:
    """Those of a workload's name, and those that pods name in their environment; no others."""
    api = a_shop(pods=1)
    (pod,) = api.lists[f"{CORE}/pods"]  # type: ignore[misc]
    pod["spec"]["containers"][0]["env"] = [{"name": "LEDGER", "value": "http://ledger.shop:8080/book"}]
    names = ("web", "web-admin", "ledger", "stranger")
    services = [thing(name) | {"spec": {"selector": {"app": f"other-{name}"}}} for name in names]
    api.lists = {**api.lists, f"{CORE}/services": services}
    _, entries = await fetch(KubernetesObjectsFetcher(), api, {"workload": {"kind": "Deployment", "name": "web"}}, objects={})
    kept = [entry["metadata"]["name"] for entry in entries[0] if entry["kind"] == "Service"]
    assert kept == ["ledger", "web", "web-admin"]


def test_a_config_map_tells_when_it_was_changed() -> None:
    """By the latest time of its managed fields, which are not kept themselves."""
    managed = [{"time": "2026-11-22T11:00:00Z"}, {"time": "2026-11-22T11:40:00Z"}, {}]
    item: Object = {"kind": "ConfigMap", "metadata": {"name": "c", "managedFields": managed}, "data": {"a": "b"}}
    redact_object(item, Redactor())
    assert item["changedAt"] == "2026-11-22T11:40:00Z"
    assert "managedFields" not in item["metadata"]
