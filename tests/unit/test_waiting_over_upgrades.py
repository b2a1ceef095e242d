"""Investigations that wait or run while an upgrade replaces the admission policy: what was checked once is captured."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.handlers.run import suspend
from aletheia_operator.handlers.status_writer import StatusWriter
from aletheia_operator.handlers.trust import BINDINGS, POLICIES, Trust
from aletheia_operator.settings import Rights
from tests.unit.fakes import FakeFetcher, forever
from tests.unit.supervising import Rig, make_body, no_delays

__all__ = ["no_delays"]


def policy(rig: Rig, name: str, created: str) -> None:
    """Let the policy of this name, with its binding, be the only one."""
    rig.kubernetes.objects = {
        f"{path}/{name}": {
            "metadata": {"uid": name, "creationTimestamp": created},
            "spec": {"validationActions": ["Deny"]},
        }
        for path in (POLICIES, BINDINGS)
    }


def busy_rig(path: Path, step: Callable[[], Awaitable[Any]] = forever, **settings: Any) -> Rig:
    """A rig with one slot and a policy. Each capture waits for `step`."""
    fetcher = FakeFetcher({"a": [step, [1]]})
    rig = Rig(path, fetcher, max_investigations=1, rights=Rights(creator_policy="old"), **settings)
    policy(rig, "old", "2026-11-22T11:00:00Z")
    return rig


def status_of(rig: Rig, name: str) -> dict[str, Any]:
    return dict(rig.kubernetes.stored[f"/apis/aletheia.dev/v1alpha1/namespaces/shop/investigations/{name}"]["status"])


def upgraded(rig: Rig, path: Path) -> Rig:
    """Another operator with the API server of the first, after an upgrade: it requires a younger policy."""
    new = Rig(path, kubernetes=rig.kubernetes, rights=Rights(creator_policy="new"))
    policy(new, "new", "2026-11-22T12:30:00Z")
    return new


async def waiting(rig: Rig, name: str, phase: str) -> dict[str, Any]:
    """Let the Investigation wait behind the first one. Returns its status."""
    rig.observe(make_body(uid="first"))
    await rig.until(lambda: rig.fetcher.asked)
    if phase == "Pending":
        rig.observe(make_body(uid="second"))
        await rig.until(lambda: status_of(rig, "second").get("phase") == "Queued")
    rig.observe(make_body(uid=name))
    await rig.until(lambda: status_of(rig, name).get("phase") == phase)
    return status_of(rig, name)


@pytest.mark.parametrize("phase", ["Queued", "Pending"])
async def test_what_waits_is_captured_after_an_upgrade(tmp_path: Path, phase: str) -> None:
    """In the queue, and outside of a full one: the next operator captures it, though its policy is younger."""
    rig = busy_rig(tmp_path, max_queued=1)
    assert (await waiting(rig, "third", phase))["creatorChecked"] is True
    await rig.supervisor.close()
    new = upgraded(rig, tmp_path)
    new.show("third", "third")
    await new.settled()
    assert status_of(new, "third")["phase"] == "Completed"


async def test_what_runs_without_a_session_yet_is_captured_after_an_upgrade(tmp_path: Path) -> None:
    """The claim itself says that the creator was checked: no later write is needed."""
    rig = busy_rig(tmp_path)
    rig.observe(make_body(uid="first"))
    await rig.until(lambda: status_of(rig, "first").get("phase") == "Running")
    assert rig.kubernetes.statuses[0]["creatorChecked"] is True
    await rig.supervisor.close()


async def test_what_waits_is_captured_if_its_policy_is_gone(tmp_path: Path) -> None:
    """An upgrade deletes the former policy while the former operator still works."""
    go_on = asyncio.Event()
    rig = busy_rig(tmp_path, go_on.wait)
    await waiting(rig, "third", "Queued")
    rig.kubernetes.objects = {}
    go_on.set()
    await rig.settled()
    assert status_of(rig, "third")["phase"] == "Completed"


async def suspended(rig: Rig) -> None:
    rig.observe(make_body(uid="third", generation=2, suspend=True))
    await rig.until(lambda: status_of(rig, "third")["phase"] == "Pending")


async def unreadable(rig: Rig) -> None:
    """Nothing happens to it: it could not be checked."""


@pytest.mark.parametrize(
    ("policies", "then"),
    [
        pytest.param({}, unreadable, id="it was not there"),
        pytest.param(Unavailable("away"), unreadable, id="it could not be read"),
        pytest.param(None, suspended, id="it was checked, and suspended afterwards"),
    ],
)
async def test_what_was_not_checked_is_refused_after_an_upgrade(
    tmp_path: Path, policies: Any, then: Callable[[Rig], Awaitable[None]]
) -> None:
    """Nothing in its status says that it was checked, whether or not it was in the queue."""
    rig = busy_rig(tmp_path)
    rig.observe(make_body(uid="first"))
    await rig.until(lambda: rig.fetcher.asked)
    if policies is not None:
        rig.kubernetes.objects = {f"{POLICIES}/old": policies} if policies else {}
    rig.observe(make_body(uid="third"))
    await rig.until(lambda: status_of(rig, "third").get("phase") == "Queued")
    await then(rig)
    assert "creatorChecked" not in status_of(rig, "third")
    await rig.supervisor.close()
    new = upgraded(rig, tmp_path)
    new.observe(make_body(uid="third", generation=3))
    await new.settled()
    found = status_of(new, "third")
    assert (found["phase"], found["conditions"][0]["reason"]) == ("Failed", "CreatorNotChecked")


async def test_what_is_suspended_over_an_upgrade_is_captured_afterwards(tmp_path: Path) -> None:
    """The next operator notes the policy that stands now, and that one checks who ends the suspension."""
    rig = busy_rig(tmp_path)
    rig.observe(make_body(uid="third", suspend=True))
    await rig.settled()
    assert status_of(rig, "third")["suspendedUnder"] == "old/old"
    await rig.supervisor.close()
    new = upgraded(rig, tmp_path)
    new.show("third", "third")
    await new.settled()
    assert status_of(new, "third")["suspendedUnder"] == "new/new"
    new.kubernetes.put(make_body(uid="third", generation=2, suspend=False))
    new.show("third", "third")
    await new.settled()
    assert status_of(new, "third")["phase"] == "Completed"


@pytest.mark.parametrize("suspends_again", [False, True])
async def test_a_suspension_that_ends_before_the_policy_is_noted(tmp_path: Path, suspends_again: bool) -> None:
    """Nothing is noted, because it may have ended before the policy stood. A suspension afterwards is noted."""
    rig = busy_rig(tmp_path)

    async def end_it(seconds: float) -> None:
        rig.kubernetes.put(make_body(uid="third", generation=2, suspend=False))
        if suspends_again:
            rig.kubernetes.put(make_body(uid="third", generation=3, suspend=True))

    trust = Trust(rig.kubernetes.real(), Rights(creator_policy="old"), end_it)
    body = make_body(uid="third", suspend=True)
    rig.kubernetes.put(body)
    await suspend(StatusWriter(rig.kubernetes.real(), body, rig.clock), trust)
    assert status_of(rig, "third").get("suspendedUnder") == ("old/old" if suspends_again else None)


async def test_a_suspension_that_ends_while_the_policy_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server refuses the note, because the Investigation has changed since it was read."""
    rig = busy_rig(tmp_path)
    body = make_body(uid="third", suspend=True)
    rig.kubernetes.put(body)
    patch_status, tries = rig.kubernetes.patch_status, []

    async def late(path: str, status: Any, uid: str, resource_version: str | None = None) -> None:
        if resource_version is not None:
            tries.append(status)
            rig.kubernetes.put(make_body(uid="third", generation=2, suspend=False))
        await patch_status(path, status, uid, resource_version)

    monkeypatch.setattr(rig.kubernetes, "patch_status", late)
    await suspend(StatusWriter(rig.kubernetes.real(), body, rig.clock), Trust(rig.kubernetes.real(), rig.rights, no_wait))
    assert (tries, "suspendedUnder" in status_of(rig, "third")) == ([{"suspendedUnder": "old/old"}], False)


async def no_wait(seconds: float) -> None:
    pass


async def test_a_crash_before_the_check_does_not_pass_for_one(tmp_path: Path) -> None:
    """While the policy cannot be read, nothing is claimed: another process would take a claim for a capture that has begun."""
    rig = busy_rig(tmp_path)
    rig.kubernetes.objects = {f"{POLICIES}/old": Unavailable("away")}
    rig.observe(make_body(uid="first"))
    await rig.until(lambda: len(rig.kubernetes.asked) > 3)
    assert rig.kubernetes.patches == []
    await rig.supervisor.close()
