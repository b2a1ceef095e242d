"""What would lose evidence by waiting goes first, within the share of its namespace."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.clients.fair_slots import MAX_URGENT_IN_A_ROW, FairSlots, Turn
from aletheia_operator.handlers import queueing
from aletheia_operator.handlers.urgency import MAX_TARGETS, of_pods, why_urgent
from aletheia_operator.settings import Rights
from tests.unit.fakes import (
    LONGEST_TEST_SECONDS,
    RUNNING,
    FakeFetcher,
    FakeInvestigations,
    FakeKubernetes,
    forever,
    make_order,
    make_pod,
    make_tools,
)
from tests.unit.kubernetes_api import APPS, CORE, deployment
from tests.unit.supervising import Rig, make_body, no_delays

__all__ = ["no_delays"]

CRASHING = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
PULLING = {"state": {"waiting": {"reason": "ImagePullBackOff"}}}


def leaving(name: str = "web-0") -> dict[str, Any]:
    pod = make_pod(name)
    pod["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:30Z"
    return pod


def labelled(pod: dict[str, Any]) -> dict[str, Any]:
    pod["metadata"]["labels"] = {"app": "web"}
    return pod


@pytest.mark.parametrize(
    ("pods", "why"),
    [
        ([], None),
        ([make_pod()], None),
        ([make_pod(app=PULLING)], None),
        ([make_pod(), leaving("web-1")], "pod web-1 is being deleted"),
        ([make_pod(app=RUNNING, side=CRASHING)], "pod web-0 crashes again and again"),
        ([make_pod(init_db=CRASHING)], "pod web-0 crashes again and again"),
        ([{"metadata": {"name": "bare"}}], None),
        ([{"metadata": {"name": "odd"}, "status": {"containerStatuses": None}}], None),
    ],
)
def test_which_pods_are_about_to_lose_evidence(pods: list[dict[str, Any]], why: str | None) -> None:
    """Those that are being deleted, and those whose containers crash again and again."""
    found = of_pods(pods)
    assert found is None if why is None else str(found).startswith(why)


SELECTED = {"selector": {"matchLabels": {"app": "web"}}}
WORKLOAD = {"workload": {"kind": "Deployment", "name": "web"}}


@pytest.mark.parametrize("target", [{"pod": "web-0"}, SELECTED, WORKLOAD], ids=["a pod", "a selector", "a workload"])
@pytest.mark.parametrize("urgent", [True, False])
async def test_the_pods_of_every_target_are_looked_at(target: dict[str, Any], urgent: bool, tmp_path: Path) -> None:
    """One request, or two for a workload; a pod of another selector does not count."""
    pod = labelled(leaving() if urgent else make_pod())
    kubernetes = FakeKubernetes(
        objects={f"{CORE}/pods/web-0": pod, f"{APPS}/deployments/web": deployment(), f"{CORE}/pods": {"items": [pod]}}
    )
    found = await why_urgent(make_order(targets=[target]), make_tools(tmp_path, kubernetes=kubernetes))
    assert (found is not None) is urgent
    assert len(kubernetes.asked) == (2 if target is WORKLOAD else 1)
    if target is not WORKLOAD and "selector" in target:
        assert kubernetes.asked[-1][1] == {"labelSelector": "app=web", "limit": "50"}


@pytest.mark.parametrize("account", [None, "reader"])
async def test_what_cannot_be_read_is_not_urgent(account: str | None, tmp_path: Path) -> None:
    """The look has the identity of the capture; an error of any kind changes nothing."""
    error = Unavailable("down", GapReason.UNAVAILABLE)
    kubernetes = FakeKubernetes(objects={f"{CORE}/pods/web-0": error})
    order = make_order(**({"serviceAccountName": account} if account else {}))
    assert await why_urgent(order, make_tools(tmp_path, kubernetes=kubernetes)) is None
    assert kubernetes.asked[0][0] == (f"{CORE}/serviceaccounts/reader" if account else f"{CORE}/pods/web-0")


async def test_only_the_first_targets_are_looked_at(tmp_path: Path) -> None:
    """An Investigation of many costs no more."""
    pods = {f"{CORE}/pods/web-{number}": make_pod(f"web-{number}") for number in range(10)}
    kubernetes = FakeKubernetes(objects=pods)
    targets = [{"pod": f"web-{number}"} for number in range(10)]
    assert await why_urgent(make_order(targets=targets), make_tools(tmp_path, kubernetes=kubernetes)) is None
    assert len(kubernetes.asked) == MAX_TARGETS


async def served(hasten: Iterable[int], waiting: int, other: int = 0) -> list[str]:
    """The order in which callers of namespace a, some of them urgent, and of namespace b get the only slot."""
    slots, order = FairSlots(1, 1), []
    release = await slots.acquire("first")
    turns = [slots.enter("a") for _ in range(waiting)]
    others = [slots.enter("b") for _ in range(other)]

    async def take(title: str, turn: Turn) -> None:
        await turn.given
        order.append(title)
        slots.release_of(turn)()

    tasks = [asyncio.create_task(take(f"a{number}", turn)) for number, turn in enumerate(turns)]
    tasks += [asyncio.create_task(take(f"b{number}", turn)) for number, turn in enumerate(others)]
    for number in hasten:
        assert slots.hasten(turns[number])
    release()
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await asyncio.gather(*tasks)
    assert not slots.hasten(turns[0]), "it waits no more"
    assert not slots.waiting() and not slots.taken()
    return order


async def test_an_urgent_one_goes_before_others_of_its_namespace() -> None:
    """And takes no turn of another namespace."""
    assert await served([3, 2], 4, other=4) == ["a3", "b0", "a2", "b1", "a0", "b2", "a1", "b3"]


async def test_urgent_ones_do_not_starve_the_others() -> None:
    """After some in a row, one of the others is served."""
    order = await served(range(2, 12), 12)
    assert order.index("a0") == MAX_URGENT_IN_A_ROW
    assert order.index("a1") == 2 * MAX_URGENT_IN_A_ROW + 1


@given(st.integers(1, 12), st.sets(st.integers(0, 11)))
def test_everyone_is_served_once(waiting: int, urgent: set[int]) -> None:
    """Urgent or not, and in each group in the order in which they came."""
    chosen = [number for number in urgent if number < waiting]
    order = asyncio.run(served(chosen, waiting))
    assert sorted(order) == sorted(f"a{number}" for number in range(waiting))
    for kind in (chosen, [number for number in range(waiting) if number not in urgent]):
        assert [title for title in order if int(title[1:]) in kind] == [f"a{number}" for number in kind]


@pytest.mark.parametrize("trusted", [True, False])
async def test_an_investigation_of_crashing_pods_goes_first(
    tmp_path: Path, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status says why. One whose creator nobody has checked reads nothing, and stays in its place."""
    monkeypatch.setattr(queueing, "LOOK_AFTER_SECONDS", 0.0)
    kubernetes = FakeInvestigations(
        objects={f"{CORE}/pods/web-0": make_pod(), f"{CORE}/pods/crashing": make_pod("crashing", app=CRASHING)}
    )
    rights = Rights() if trusted else Rights(creator_policy="missing")
    rig = Rig(tmp_path, FakeFetcher({"a": [forever]}), kubernetes, max_investigations=1, rights=Rights())
    rig.observe(make_body(uid="first"))
    await rig.until(lambda: rig.fetcher.asked)
    object.__setattr__(rig.supervisor.shared.trust, "rights", rights)
    rig.observe(make_body())
    rig.observe(make_body(uid="urgent", targets=[{"pod": "crashing"}]))
    said: list[str] = []

    def messages() -> list[str]:
        said[:] = [
            status["conditions"][0]["message"]
            for _, status, uid in kubernetes.patches
            if uid == "urgent" and status.get("phase") == "Queued"
        ]
        return said

    await rig.until(messages)
    if trusted:
        await rig.until(lambda: any("goes before others of its namespace: pod crashing" in text for text in messages()))
    else:
        await rig.until(lambda: len(rig.supervisor.shared.slots._waiting["shop"]) == 2)
        assert not any(path.endswith("/pods/crashing") for path, _ in kubernetes.asked)
    line = rig.supervisor.shared.slots._waiting["shop"]
    assert len(line._urgent) == int(trusted)
    await rig.supervisor.close()
