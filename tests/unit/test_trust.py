"""What is captured if the admission policy is missing, or younger than the Investigation."""

import asyncio
import time
from datetime import datetime
from typing import Any

import pytest

from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import SourceError, Unavailable
from aletheia_operator.handlers.trust import BINDINGS, POLICIES, Trust
from aletheia_operator.settings import Rights
from tests.unit.fakes import FakeKubernetes
from tests.unit.kubernetes_api import KubernetesApi

POLICY = Rights(creator_policy="checks")
ID = "validatingadmissionpolicies/validatingadmissionpolicybindings"
"""Of the policy of `cluster`."""


def cluster(policy: str | None = "2026-11-22T11:00:00Z", binding: str | None = "2026-11-22T11:00:00Z", **spec: Any) -> Any:
    """The policy and its binding, each with the time of its creation; None: it is missing."""
    objects = {}
    for path, created in ((POLICIES, policy), (BINDINGS, binding)):
        if created is not None:
            metadata = {"uid": path.rpartition("/")[2], "creationTimestamp": created}
            found = {"metadata": metadata, "spec": {"validationActions": ["Deny"], **spec}}
            objects[f"{path}/checks"] = found
    return FakeKubernetes(objects).real()


def body(account: str | None = "investigator") -> dict[str, Any]:
    spec = {} if account is None else {"serviceAccountName": account}
    return {"metadata": {"creationTimestamp": "2026-11-22T12:00:00Z"}, "spec": spec}


@pytest.mark.parametrize(
    ("rights", "kubernetes", "account", "word"),
    [
        pytest.param(Rights(), FakeKubernetes().real(), None, None, id="none is named"),
        pytest.param(Rights("investigator"), FakeKubernetes().real(), "investigator", None, id="the admin's own choice"),
        pytest.param(Rights(trust_creators=True), FakeKubernetes().real(), "x", None, id="the admin trusts creators"),
        pytest.param(Rights(), FakeKubernetes().real(), "x", "nobody checks", id="nobody checks"),
        pytest.param(Rights("investigator"), FakeKubernetes().real(), "x", "nobody checks", id="another than the default"),
        pytest.param(POLICY, cluster(), "x", None, id="the policy is older"),
        pytest.param(POLICY, cluster(), None, None, id="none is named, and the policy is older"),
        pytest.param(POLICY, cluster(policy=None), None, "is missing", id="none is named, and the policy is missing"),
        pytest.param(POLICY, cluster(policy="2026-11-22T12:00:01Z"), None, "create it again", id="none, and it is younger"),
        pytest.param(
            Rights("x", creator_policy="checks"),
            cluster(policy=None),
            "x",
            "is missing",
            id="the admin's choice is checked too",
        ),
        pytest.param(POLICY, cluster(policy=None), "x", "is missing", id="the policy is missing"),
        pytest.param(POLICY, cluster(binding=None), "x", "is missing", id="its binding is missing"),
        pytest.param(POLICY, cluster(validationActions=["Audit"]), "x", "does not deny", id="it only audits"),
        pytest.param(POLICY, cluster(policy="2026-11-22T12:00:01Z"), "x", "created before", id="the policy is younger"),
        pytest.param(POLICY, cluster(binding="2026-11-22T12:00:01Z"), "x", "created before", id="its binding is younger"),
        pytest.param(POLICY, cluster(policy="2026-11-22T11:59:56Z"), "x", "created before", id="it may not have stood yet"),
        pytest.param(POLICY, cluster(policy="2026-11-22T11:59:55Z"), "x", None, id="it stood just long enough"),
    ],
)
async def test_what_nobody_checked_is_refused(rights: Rights, kubernetes: Any, account: str | None, word: str | None) -> None:
    """The Investigation is refused, with the remedy, unless the creator was checked."""
    refusal = await Trust(kubernetes, rights).refusal(body(account))
    if word is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert word in refusal.message
        own = account == rights.default_service_account
        reason = ConditionReason.CREATOR_NOT_CHECKED if own else ConditionReason.SERVICE_ACCOUNT_NOT_ALLOWED
        assert refusal.reason is reason


@pytest.mark.parametrize("status", [{"phase": "Queued", "creatorChecked": True}, {"session": {"id": "INC-0001"}}], ids=str)
@pytest.mark.parametrize("account", [None, "investigator"])
async def test_what_was_checked_is_not_refused_by_a_newer_policy(status: dict[str, Any], account: str | None) -> None:
    """An upgrade that replaces the policy does not end it, whether it waits or runs."""
    younger = cluster(policy="2026-11-22T12:30:00Z")
    assert await Trust(younger, POLICY).refusal(body(account) | {"status": status}) is None


@pytest.mark.parametrize("status", [{}, {"phase": "Running"}, {"phase": "Queued", "session": None}], ids=str)
async def test_what_was_not_checked_is_checked_by_the_newer_policy(status: dict[str, Any]) -> None:
    """It is refused if the policy is younger. A phase alone does not show that the creator was checked."""
    younger = cluster(policy="2026-11-22T12:30:00Z")
    assert await Trust(younger, POLICY).refusal(body() | {"status": status}) is not None


@pytest.mark.parametrize(
    ("spec", "under", "passes"),
    [
        ({}, ID, True),
        ({"suspend": False, "serviceAccountName": "investigator"}, ID, True),
        ({}, f"x{ID}", False),
        ({"suspend": True}, ID, False),
        ({"suspend": True, "cancel": True}, ID, False),
    ],
)
async def test_what_was_suspended_under_the_policy_was_checked_when_that_ended(
    spec: dict[str, Any], under: str, passes: bool
) -> None:
    """The policy has checked who ended the suspension. Not another policy, and not while it is still suspended."""
    younger = cluster(policy="2026-11-22T12:30:00Z")
    found = body(None) | {"spec": spec, "status": {"suspendedUnder": under}}
    assert (await Trust(younger, POLICY).refusal(found) is None) is passes


async def test_a_policy_counts_for_suspensions_once_it_applies_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process must have known it for five seconds, whatever the clocks say. One that is made again is another."""
    slept: list[float] = []
    now = 1000.0
    monkeypatch.setattr("aletheia_operator.handlers.trust.time.monotonic", lambda: now)

    async def sleep(duration: float) -> None:
        slept.append(duration)

    trust = Trust(cluster(), POLICY, sleep)
    assert await trust.policy_of_suspension() == ID
    now = 1002.0
    await trust.policy_of_suspension()
    now = 1006.0
    await trust.policy_of_suspension()
    assert slept == [5.0, 3.0, 0.0]


@pytest.mark.parametrize(
    ("kubernetes", "rights"),
    [
        (FakeKubernetes().real(), Rights()),
        (cluster(), Rights(creator_policy="checks", trust_creators=True)),
        (cluster(binding=None), POLICY),
        (cluster(validationActions=["Audit"]), POLICY),
    ],
    ids=["none is required", "creators are trusted", "its binding is missing", "it only audits"],
)
async def test_no_policy_counts_for_suspensions(kubernetes: Any, rights: Rights) -> None:
    """Nothing is noted, at once."""
    assert await Trust(kubernetes, rights).policy_of_suspension() is None


async def test_what_is_not_known_is_not_allowed() -> None:
    """If the policy cannot be read, the Investigation is neither allowed nor refused, and is tried again."""
    kubernetes = FakeKubernetes({f"{POLICIES}/checks": Unavailable("away")}).real()
    with pytest.raises(SourceError):
        await Trust(kubernetes, POLICY).refusal(body())


@pytest.mark.parametrize(
    ("now", "seconds"),
    [("11:00:00", [5.0]), ("11:00:03", [2.0]), ("11:00:05", [0.0]), ("12:00:00", [0.0]), ("10:00:00", [5.0])],
)
async def test_the_operator_waits_for_a_new_policy(now: str, seconds: list[float]) -> None:
    """At its start it waits until the policy applies everywhere, but never longer, whatever its clock says."""
    slept: list[float] = []

    async def sleep(duration: float) -> None:
        slept.append(duration)

    await Trust(cluster(), POLICY, sleep).wait_for_policy(datetime.fromisoformat(f"2026-11-22T{now}+00:00"))
    assert slept == seconds


@pytest.mark.parametrize(
    ("kubernetes", "rights"),
    [
        (FakeKubernetes().real(), Rights()),
        (cluster(), Rights(creator_policy="checks", trust_creators=True)),
        (cluster(policy=None), POLICY),
        (FakeKubernetes({f"{POLICIES}/checks": Unavailable("away")}).real(), POLICY),
    ],
    ids=["none is required", "creators are trusted", "it is missing", "it cannot be looked up"],
)
async def test_the_operator_waits_for_no_policy(kubernetes: Any, rights: Rights) -> None:
    """It starts at once, and decides for each Investigation."""

    async def sleep(duration: float) -> None:
        raise AssertionError

    await Trust(kubernetes, rights, sleep).wait_for_policy(datetime.fromisoformat("2026-11-22T11:00:00+00:00"))


async def test_the_policy_is_read_once_for_investigations_that_come_together() -> None:
    """One that came after the policy was read, or of which that is not known, has it read again: it may be gone since."""
    metadata = {"uid": "a", "creationTimestamp": "2026-11-22T11:00:00Z"}
    stored = {"metadata": metadata, "spec": {"validationActions": ["Deny"]}}
    api = KubernetesApi(objects={f"{POLICIES}/checks": stored, f"{BINDINGS}/checks": stored})
    async with api.serve() as kubernetes:
        trust, seen_at = Trust(kubernetes, POLICY), time.monotonic()
        assert await asyncio.gather(*(trust.refusal(body(), seen_at) for _ in range(5))) == [None] * 5
        assert len(api.asked) == 2
        api.objects = {}
        assert await trust.refusal(body(), seen_at) is None
        assert await trust.refusal(body(), time.monotonic()) is not None
        assert await trust.refusal(body()) is not None
