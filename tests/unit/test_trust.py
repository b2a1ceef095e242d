"""What is captured if the admission policy is missing, or younger than the Investigation."""

from datetime import datetime
from typing import Any

import pytest

from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import SourceError, Unavailable
from aletheia_operator.handlers.trust import BINDINGS, POLICIES, Trust
from aletheia_operator.settings import Rights
from tests.unit.fakes import FakeKubernetes

POLICY = Rights(creator_policy="checks")


def cluster(policy: str | None = "2026-11-22T11:00:00Z", binding: str | None = "2026-11-22T11:00:00Z", **spec: Any) -> Any:
    """The policy and its binding, each with the time of its creation; None: it is missing."""
    objects = {}
    for path, created in ((POLICIES, policy), (BINDINGS, binding)):
        if created is not None:
            found = {"metadata": {"creationTimestamp": created}, "spec": {"validationActions": ["Deny"], **spec}}
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

    await Trust(cluster(), POLICY).wait_for_policy(datetime.fromisoformat(f"2026-11-22T{now}+00:00"), sleep)
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

    await Trust(kubernetes, rights).wait_for_policy(datetime.fromisoformat("2026-11-22T11:00:00+00:00"), sleep)
