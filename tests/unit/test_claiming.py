"""Claims: what the watch has shown need not be read again, and the API server refuses a claim that is out of date."""

import copy
from typing import Any

import pytest

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.handlers.status_writer import Claim, StatusWriter
from tests.unit.fakes import Clock, FakeInvestigations
from tests.unit.supervising import make_body, no_delays

__all__ = ["no_delays"]
PATH = paths.investigation("shop", "incident")


def shown(status: dict[str, Any] | None = None) -> tuple[FakeInvestigations, dict[str, Any]]:
    """An API server with an Investigation, and how the watch showed that."""
    kubernetes = FakeInvestigations()
    kubernetes.put(make_body(status=status))
    return kubernetes, copy.deepcopy(kubernetes.stored[PATH])


def writer(kubernetes: FakeInvestigations, body: dict[str, Any]) -> StatusWriter:
    return StatusWriter(kubernetes.real(), body, Clock())


async def test_what_the_watch_has_shown_is_not_read_again() -> None:
    """One request claims it."""
    kubernetes, body = shown()
    assert await writer(kubernetes, body).claim("flight") == "flight"
    assert not kubernetes.asked
    assert kubernetes.stored[PATH]["status"]["operator"] == "flight"


async def test_what_has_changed_since_is_read() -> None:
    """The change is kept."""
    kubernetes, body = shown()
    kubernetes.stored[PATH]["metadata"]["resourceVersion"] = "7"
    kubernetes.stored[PATH]["status"]["conditions"] = [{"type": "Theirs", "status": "True"}]
    assert await writer(kubernetes, body).claim("flight") == "flight"
    assert [path for path, _ in kubernetes.asked] == [PATH]
    assert "Theirs" in {entry["type"] for entry in kubernetes.stored[PATH]["status"]["conditions"]}


async def test_two_operators_that_saw_the_same_do_not_both_claim_it() -> None:
    """The second learns of the first."""
    kubernetes, body = shown()
    first, second = writer(kubernetes, body), writer(kubernetes, copy.deepcopy(body))
    assert await first.claim("one") == "one"
    assert await second.claim("two") == "one"
    assert second.mark is not None and second.mark.operator == "one"


async def test_a_mark_is_looked_at_anew() -> None:
    """It may be another operator's by now: a claim of a marked one writes nothing that the API server could refuse."""
    kubernetes, body = shown({"phase": "Running", "operator": "flight", "operatorTime": "2026-11-22T11:00:00Z"})
    kubernetes.stored[PATH]["status"]["operator"] = "another"
    assert await writer(kubernetes, body).claim("flight") == "another"


async def test_after_a_write_of_our_own_it_is_read_unless_the_watch_has_shown_that() -> None:
    """The version is not that of the first event."""
    for shows in (False, True):
        kubernetes, body = shown()
        ours = writer(kubernetes, body)
        await ours.phase("Queued", ConditionReason.QUEUED)
        if shows:
            ours.observe(copy.deepcopy(kubernetes.stored[PATH]))
        assert await ours.claim("flight") == "flight"
        assert bool(kubernetes.asked) is not shows


@pytest.mark.parametrize("change", [{"deletionTimestamp": "2026-11-22T12:00:00Z"}, {"uid": "another"}])
async def test_what_is_gone_is_not_claimed(change: dict[str, Any]) -> None:
    """Whether the watch has shown that already or not."""
    for at_once in (True, False):
        kubernetes, body = shown()
        kubernetes.stored[PATH]["metadata"] |= change | {"resourceVersion": "9"}
        ours = writer(kubernetes, body)
        if at_once and "uid" not in change:
            ours = writer(kubernetes, copy.deepcopy(kubernetes.stored[PATH]))
        assert await ours.claim("flight") is Claim.GONE
        assert not kubernetes.patches
