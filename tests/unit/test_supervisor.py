"""The supervisor: whatever the resource, missing work is done once."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import InvestigationSpec, paths
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import Unavailable, error_of
from aletheia_operator.clients.fair_slots import Turn
from aletheia_operator.handlers import progress, queueing, supervisor
from aletheia_operator.handlers import run as module
from aletheia_operator.handlers import status_writer as status_module
from aletheia_operator.handlers.run import limited
from aletheia_operator.handlers.status_writer import Claim, StatusWriter
from aletheia_operator.investigate.uploader import Uploader
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.session import Manifest, age, find_session
from tests.unit.fakes import LONGEST_TEST_SECONDS, NOW, UID, FakeFetcher, forever
from tests.unit.supervising import Rig, make_body, no_delays

LISTED = "/apis/aletheia.dev/v1alpha1/investigations"
_, PUBLIC = age.new_identity()
__all__ = ["no_delays"]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A supervisor that is closed at the end."""
    made = Rig(tmp_path)
    yield made
    await made.supervisor.close()


async def test_an_investigation_is_captured_and_announced(rig: Rig) -> None:
    """Its status ends at Completed, with an Event at the beginning and one at the end."""
    rig.observe(make_body())
    await rig.settled()
    assert rig.phases[-1] == "Completed"
    assert rig.last["artifactCount"] == 2
    message = rig.last["conditions"][0]["message"]
    assert rig.events == [("Normal", "Started", "capturing evidence"), ("Normal", "Completed", message)]


async def test_a_run_is_freed_at_its_end(rig: Rig) -> None:
    """Without a collection of garbage, which pauses the event loop."""
    gc.collect()
    gc.disable()
    try:
        rig.observe(make_body())
        await rig.settled()
        await rig.until(lambda: not any(isinstance(found, module.InvestigationRun) for found in gc.get_objects()))
    finally:
        gc.enable()


def asked_for(rig: Rig, number: int) -> bool:
    """Return whether the sources were asked so often."""
    return len(rig.fetcher.asked) == number


async def test_the_start_of_a_short_capture_in_a_crowd_is_not_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a storm, its end comes at once. A capture that takes longer is announced, and each has the Event of its end."""
    ended = asyncio.Event()

    async def work() -> None:
        await ended.wait()

    rig = Rig(tmp_path, FakeFetcher({"a": [work]}))
    monkeypatch.setattr(progress, "CALM_CAPTURES", 2)
    monkeypatch.setattr(progress, "PROGRESS_INTERVAL_SECONDS", 3600.0)
    for number in range(3):
        rig.observe(make_body(uid=f"short-{number}"))
        await rig.until(partial(asked_for, rig, number + 1))
    assert rig.events == [("Normal", "Started", "capturing evidence")] * 2
    monkeypatch.setattr(progress, "PROGRESS_INTERVAL_SECONDS", 0.001)
    rig.observe(make_body(uid="long"))
    await rig.until(lambda: len(rig.events) == 3)
    ended.set()
    await rig.settled()
    assert Counter(reason for _, reason, _ in rig.events) == {"Started": 3, "Completed": 4}


async def test_observing_again_asks_nothing_again(rig: Rig) -> None:
    """It is observed while it runs, after its end with an older view, and with its last status."""
    body = make_body()
    for _ in range(3):
        rig.observe(body)
    await rig.settled()
    rig.observe(body | {"status": {"phase": "Running", "observedGeneration": 1}})
    rig.observe(body | {"status": rig.last})
    await rig.settled()
    assert rig.fetcher.asked == ["a"]
    assert [reason for _, reason, _ in rig.events] == ["Started", "Completed"]


async def test_a_terminal_investigation_asks_nothing(rig: Rig) -> None:
    """It may have ended in any phase. A restarted operator does not write anything either."""
    for number, phase in enumerate(("Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled")):
        rig.observe(make_body(uid=str(number), status={"phase": phase, "observedGeneration": 1}))
    await rig.settled()
    assert (rig.fetcher.asked, rig.kubernetes.patches, rig.events) == ([], [], [])


async def test_a_change_after_the_end_is_acknowledged(rig: Rig) -> None:
    """Otherwise kstatus would always report it as in progress. Nothing is captured again."""
    ended = {"phase": "Completed", "observedGeneration": 1, "conditions": []}
    rig.observe(make_body(generation=2, status=ended, cancel=True))
    await rig.settled()
    assert rig.kubernetes.statuses == [{"observedGeneration": 2, "conditions": []}]
    assert rig.fetcher.asked == []


async def test_a_suspended_investigation_waits(rig: Rig) -> None:
    """It is Pending, with the reason, and begins once it is no longer suspended."""
    rig.observe(make_body(suspend=True))
    await rig.settled()
    assert rig.phases == ["Pending"]
    assert rig.last["conditions"][0]["reason"] == "Suspended"
    assert rig.fetcher.planned == 0
    rig.observe(make_body(generation=2, suspend=False))
    await rig.settled()
    assert rig.phases[-1] == "Completed"
    assert rig.last["observedGeneration"] == 2


async def test_a_suspended_investigation_that_is_shown_again_is_written_once(rig: Rig) -> None:
    """It is observed while its status is being written. When it is forgotten, so is its task."""
    rig.kubernetes.put(make_body(suspend=True))
    for _ in range(3):
        rig.supervisor.observe(make_body(suspend=True))
    assert len(rig.supervisor._tasks) == 1
    rig.supervisor.forget(UID)
    await rig.settled()
    assert rig.kubernetes.patches == []


async def test_a_running_investigation_can_be_cancelled(tmp_path: Path) -> None:
    """Captured evidence is kept, and the status has the generation that cancelled it."""
    saved = asyncio.Event()

    async def hang() -> None:
        saved.set()
        await forever()

    rig = Rig(tmp_path, FakeFetcher({"a": [[1], hang]}))
    rig.observe(make_body())
    await saved.wait()
    rig.observe(make_body(generation=2, cancel=True))
    await rig.settled()
    assert rig.phases[-1] == "Cancelled"
    assert (rig.last["observedGeneration"], rig.last["artifactCount"]) == (2, 2)
    assert [reason for _, reason, _ in rig.events] == ["Started", "Cancelled", "Cancelled"]


async def test_a_suspended_investigation_can_be_cancelled(rig: Rig) -> None:
    """It ends without any request to a source that hangs."""
    rig.fetcher.answers = {"a": [forever]}
    rig.observe(make_body(suspend=True, cancel=True))
    await rig.settled()
    assert rig.phases[-1] == "Cancelled"


async def test_a_spec_that_is_refused_says_which_field(rig: Rig) -> None:
    """It is Failed, with the message in status and in an Event. The message does not repeat the value."""
    rig.observe(make_body(timeout="canary-7d1", window={"lookback": "1h", "start": "2026-11-22T10:00:00Z"}))
    await rig.settled()
    (condition, *_) = rig.last["conditions"]
    assert (rig.last["phase"], condition["reason"]) == ("Failed", "InvalidSpec")
    assert "spec.window: set either lookback or start" in condition["message"]
    assert "spec.timeout: " in condition["message"]
    assert rig.events == [("Warning", "InvalidSpec", condition["message"])]
    assert rig.fetcher.planned == 0


async def test_a_suspended_spec_that_is_refused_says_so_at_once(rig: Rig) -> None:
    """It could never begin, so it is not Pending."""
    rig.observe(make_body(suspend=True, timeout="soon"))
    await rig.settled()
    assert (rig.phases, rig.last["conditions"][0]["reason"]) == (["Failed"], "InvalidSpec")


async def test_gaps_are_announced_once_for_each_reason(tmp_path: Path) -> None:
    """The Event has the first gap of each reason and the number of others."""
    rig = Rig(tmp_path, FakeFetcher({"a": [Unavailable("down")], "b": [Unavailable("down")], "c": [[1]]}))
    rig.observe(make_body())
    await rig.settled()
    assert rig.events[1:] == [
        ("Warning", "Unavailable", "Fake thing/a: down (and 1 more)"),
        ("Warning", "PartiallyCompleted", rig.last["conditions"][0]["message"]),
    ]


async def test_a_deleted_investigation_is_stopped(tmp_path: Path) -> None:
    """When `settled` returns its capture has ended, and nothing is written for it. Another capture goes on to its end."""
    go_on, stopped = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # takes its time, which `settled` waits for
            stopped.set()
            raise

    rig = Rig(tmp_path, FakeFetcher({"a": [wait, [1]]}))
    rig.observe(make_body())
    rig.observe(make_body(uid="other"))
    await rig.until(lambda: len(rig.fetcher.asked) == 2)
    rig.supervisor.forget(UID)
    await rig.supervisor.settled(UID)
    assert stopped.is_set()
    written = len([uid for _, _, uid in rig.kubernetes.patches if uid == UID])
    go_on.set()
    await rig.settled()
    assert [status["phase"] for _, status, uid in rig.kubernetes.patches if uid == "other"][-1] == "Completed"
    assert len([uid for _, _, uid in rig.kubernetes.patches if uid == UID]) == written


async def test_a_closed_supervisor_has_stopped_everything(tmp_path: Path) -> None:
    """Saves and writes end before their clients are closed."""
    stopped: list[str] = []

    async def wait() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            stopped.append("")
            raise

    rig = Rig(tmp_path, FakeFetcher({"a": [wait]}))
    for number in range(3):
        rig.observe(make_body(uid=str(number)))
    await rig.until(lambda: len(rig.fetcher.asked) == 3)
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await rig.supervisor.close()
    assert len(stopped) == 3


async def test_a_capture_that_does_not_end_is_not_waited_for_without_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`settled` returns after its longest wait, and the task goes on to its end."""
    monkeypatch.setattr(supervisor, "SETTLE_SECONDS", 0.01)
    go_on = asyncio.Event()
    rig = Rig(tmp_path, FakeFetcher({"a": [go_on.wait, [1]]}))
    rig.observe(make_body())
    await rig.until(lambda: rig.fetcher.asked)
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        await rig.supervisor.settled(UID)
    assert rig.phases[-1] == "Running"
    go_on.set()
    await rig.settled()
    assert rig.phases[-1] == "Completed"


async def test_an_investigation_that_is_deleted_at_once_is_forgotten(rig: Rig) -> None:
    """It is created and deleted between two steps of the loop: nothing of it stays in memory."""
    rig.observe(make_body())
    rig.supervisor.forget(UID)
    await rig.settled()
    assert rig.supervisor._runs == {}


async def test_investigations_past_the_limit_are_queued(tmp_path: Path) -> None:
    """The second has this in its status, and begins when the first has ended."""
    go_on = asyncio.Event()
    rig = Rig(tmp_path, FakeFetcher({"a": [go_on.wait, [1]]}), max_investigations=1)
    rig.observe(make_body(uid="first"))
    await rig.until(lambda: rig.fetcher.asked)
    rig.observe(make_body(uid="second"))
    written = rig.kubernetes.patches
    await rig.until(lambda: any(uid == "second" for _, _, uid in written))
    assert [status["phase"] for _, status, uid in written if uid == "second"] == ["Queued"]
    assert len(rig.fetcher.asked) == 1
    go_on.set()
    await rig.settled()
    assert {uid: status["phase"] for _, status, uid in written} == {"first": "Completed", "second": "Completed"}


async def test_an_upload_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one uploads, perhaps to a hanging bucket, the next is captured. The status shows the upload."""
    go_on = asyncio.Event()

    async def hangs(uploader: Uploader, directory: Path, manifest: Manifest, encode: Any) -> Manifest:
        uploader.sent(0)
        await go_on.wait()
        return manifest

    monkeypatch.setattr(Uploader, "run", hangs)
    rig = Rig(tmp_path, FakeFetcher({"a": [[1]]}), max_investigations=1)
    rig.observe(make_body(uid="first", session={"upload": {}}))
    rig.observe(make_body(uid="second"))

    def last(uid: str) -> Any:
        return next((status for _, status, of in reversed(rig.kubernetes.patches) if of == uid), {})

    await rig.until(lambda: last("second").get("phase") == "Completed" and "uploaded" in str(last("first")))
    assert last("first")["phase"] == "Running"
    assert last("first")["conditions"][0]["message"] == "captured; 0 of 2 artifacts uploaded"
    go_on.set()
    await rig.settled()
    assert last("first")["phase"] == "Completed"


async def test_a_stopped_process_leaves_the_capture_to_the_next(tmp_path: Path) -> None:
    """The next process resumes it, asks only what is missing, and posts no second Event of the start."""
    first = Rig(tmp_path, FakeFetcher({"a": [[1]], "b": [forever]}))
    first.observe(make_body())
    await first.until(lambda: first.kubernetes.statuses and first.last.get("artifactCount") == 1)
    await first.supervisor.close()
    assert first.phases == ["Running"]
    second = Rig(tmp_path, FakeFetcher({"a": [[9]], "b": [[2]]}))
    second.observe(make_body(status=first.last))
    await second.settled()
    assert second.fetcher.asked == ["b"]
    assert second.last["phase"] == "Completed"
    assert [reason for _, reason, _ in second.events] == ["Completed"]


async def test_a_volume_that_comes_back_is_used(tmp_path: Path) -> None:
    """Meanwhile the Investigation is Pending, with the reason."""
    blocked = tmp_path / "sessions"
    blocked.write_text("in the way")
    rig = Rig(tmp_path)
    rig.observe(make_body())
    await rig.until(lambda: rig.phases[-1:] == ["Pending"])
    assert rig.last["conditions"][0]["reason"] == "SessionUnavailable"
    blocked.unlink()
    await rig.settled()
    assert rig.phases[-1] == "Completed"


async def test_a_volume_that_stays_away_fails_the_investigation_in_the_end(tmp_path: Path) -> None:
    """It fails when the timeout has passed."""
    (tmp_path / "sessions").write_text("in the way")
    rig = Rig(tmp_path)
    rig.observe(make_body(timeout="1m"))
    await rig.until(lambda: rig.phases[-1:] == ["Pending"])
    rig.clock.advance(61)
    await rig.settled()
    assert rig.last["phase"] == "Failed"
    assert rig.last["conditions"][0]["reason"] == "SessionUnavailable"
    message = rig.last["conditions"][0]["message"]
    assert "the session volume cannot be used" in message
    assert rig.events[-1] == ("Warning", "SessionUnavailable", message)


async def test_an_investigation_without_its_volume_can_be_cancelled(tmp_path: Path) -> None:
    """It ends although nothing can be stored."""
    (tmp_path / "sessions").write_text("in the way")
    rig = Rig(tmp_path)
    rig.observe(make_body())
    await rig.until(lambda: rig.phases[-1:] == ["Pending"])
    rig.observe(make_body(generation=2, cancel=True))
    try:
        await asyncio.wait(list(rig.supervisor._tasks.values()), timeout=0.5)
        assert not rig.supervisor._tasks
        message = "the session volume cannot be used: Not a directory; nothing was captured"
        assert rig.events[-1] == ("Normal", "Cancelled", message)
    finally:
        await rig.supervisor.close()


@pytest.mark.logs_errors("Investigation shop/incident failed")
async def test_a_fault_of_our_own_ends_the_investigation(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any exception the status says that it is over. The exception's text is only in the log."""

    async def broken(*_: Any) -> Any:
        raise OverflowError("canary-3e8")

    monkeypatch.setattr(module, "investigate", broken)
    rig.observe(make_body())
    await rig.settled()
    assert rig.last["phase"] == "Failed"
    assert "canary-3e8" not in str(rig.kubernetes.statuses) + str(rig.events)
    assert rig.events[-1] == ("Warning", "InternalError", ConditionReason.INTERNAL_ERROR.text)


async def test_a_damaged_manifest_is_left_as_it_is(rig: Rig) -> None:
    """The Investigation is captured into another session."""
    rig.observe(make_body())
    await rig.settled()
    (session,) = (rig.root / "sessions").iterdir()
    (session / "manifest.json").write_text("{")
    other = Rig(rig.root)
    other.observe(make_body())
    await other.settled()
    assert other.last["phase"] == "Completed"
    assert other.last["session"]["id"] != session.name
    assert (session / "manifest.json").read_text() == "{"


def listed(uid: str, age_seconds: float) -> dict[str, Any]:
    created = NOW - timedelta(seconds=age_seconds)
    return {"metadata": {"namespace": "shop", "name": uid, "uid": uid, "creationTimestamp": created.isoformat()}}


@pytest.mark.parametrize(
    ("items", "unnoticed"),
    [
        pytest.param([], (), id="nothing exists"),
        pytest.param([listed(UID, 3_600)], (), id="what was observed"),
        pytest.param([listed("young", 59)], (), id="too young to be missed"),
        pytest.param([listed("old", 61), listed(UID, 61)], ("shop/old",), id="overlooked for a minute"),
    ],
)
async def test_a_watch_that_has_gone_deaf_is_noticed(rig: Rig, items: list[Any], unnoticed: tuple[str, ...]) -> None:
    """What exists is compared with what was observed."""
    rig.kubernetes.lists = {LISTED: items}
    body = make_body(suspend=True)
    body["metadata"]["creationTimestamp"] = "2026-11-22T11:00:00Z"  # a watch that shows new ones is not compared
    rig.observe(body)
    await rig.supervisor.look_for_unnoticed(())
    assert rig.supervisor.unnoticed == unnoticed


async def test_only_the_namespaces_that_are_watched_are_looked_at(rig: Rig) -> None:
    """The operator may lack the right to list others."""
    await rig.supervisor.look_for_unnoticed(("shop", "bank"))
    assert [path for path, _ in rig.kubernetes.asked] == [
        f"/apis/aletheia.dev/v1alpha1/namespaces/{name}/investigations" for name in ("shop", "bank")
    ]


async def queued_rig(root: Path, **changes: Any) -> Rig:
    """One Investigation runs and hangs, and `incident` is queued."""
    rig = Rig(root, FakeFetcher({"a": [forever]}), max_investigations=1, **changes)
    rig.observe(make_body(uid="first"))
    await rig.until(lambda: rig.fetcher.asked)
    await rig.until(lambda: "progress" in rig.last)
    rig.observe(make_body())
    await rig.until(lambda: rig.last.get("phase") == "Queued")
    return rig


async def test_closing_ends_the_idle_log_parsers(rig: Rig) -> None:
    """No task and no process is left, for which kopf would wait before the operator's end."""
    parsers = Parsers()
    rig.supervisor.shared = replace(rig.supervisor.shared, tools=replace(rig.supervisor.shared.tools, parsers=parsers))
    before = asyncio.all_tasks()
    parsers.warm()
    await rig.until(lambda: parsers.pids)
    await rig.supervisor.close()
    assert asyncio.all_tasks() == before
    assert parsers.pids == []


async def test_a_queued_investigation_can_be_cancelled(tmp_path: Path) -> None:
    """It ends at once, without a slot."""
    rig = await queued_rig(tmp_path)
    rig.observe(make_body(generation=2, cancel=True))
    await rig.until(lambda: rig.last.get("phase") == "Cancelled")
    assert rig.last["observedGeneration"] == 2
    assert len(rig.fetcher.asked) == 1
    await rig.supervisor.close()


async def test_a_queued_investigation_can_be_suspended(tmp_path: Path) -> None:
    """It leaves the queue, and enters it again when it is no longer suspended."""
    rig = await queued_rig(tmp_path)
    rig.observe(make_body(generation=2, suspend=True))
    await rig.until(lambda: rig.last.get("phase") == "Pending")
    assert rig.last["conditions"][0]["reason"] == "Suspended"
    await rig.until(lambda: UID not in rig.supervisor._tasks)
    rig.observe(make_body(uid="first", generation=2, cancel=True))
    await rig.settled()
    assert len(rig.fetcher.asked) == 1
    rig.observe(make_body(generation=3))
    await rig.until(lambda: len(rig.fetcher.asked) == 2)
    await rig.supervisor.close()


async def test_a_change_of_mind_while_suspending_is_not_lost(tmp_path: Path) -> None:
    """Changes that the watch shows during the write of a status are handled afterwards."""
    rig = Rig(tmp_path)
    rig.observe(make_body(suspend=True))
    rig.observe(make_body(generation=2, suspend=False))
    await rig.until(lambda: rig.phases[-1:] == ["Completed"])


async def test_a_namespace_does_not_wait_for_another(tmp_path: Path) -> None:
    """However many hanging Investigations one namespace has, one of another is captured at once."""

    async def hang() -> None:
        if len(fetcher.asked) <= 3:
            await forever()

    fetcher = FakeFetcher({"a": [hang, [1]]})
    rig = Rig(tmp_path, fetcher, max_investigations=4, max_of_one=3)
    for number in range(30):
        rig.observe(make_body(uid=f"loud-{number}"))
    await rig.until(lambda: len(rig.fetcher.asked) == 3)
    quiet = make_body(uid="quiet")
    quiet["metadata"]["namespace"] = "bank"
    rig.observe(quiet)
    await rig.until(
        lambda: any(uid == "quiet" and patch.get("phase") == "Completed" for _, patch, uid in rig.kubernetes.patches)
    )
    await rig.supervisor.close()


async def test_a_timeout_is_at_most_the_admins(tmp_path: Path) -> None:
    """A longer one is cut. An Event says so, and gaps have the timeout that applied."""
    rig = Rig(tmp_path, FakeFetcher({"a": [forever]}))
    rig.observe(make_body(timeout="9999w9999w", session={"upload": {"timeout": "9999w"}}))
    await rig.until(lambda: rig.fetcher.asked)
    (run,) = rig.supervisor._runs.values()
    assert run.order.spec.timeout == "3600s"
    assert run.order.spec.session and run.order.spec.session.upload
    assert run.order.spec.session.upload.timeout == "3600s"
    assert [(kind, reason) for kind, reason, _ in rig.events] == [("Normal", "Started"), ("Warning", "TimeoutLimited")]
    message = "spec.timeout of 9999w9999w is more than this operator allows: it ends after 3600s"
    assert rig.events[-1][2] == message
    await rig.supervisor.close()


TOO_LARGE = error_of(500, "the Kubernetes API answered 500: etcdserver: request is too large")


async def test_a_status_that_is_refused_holds_no_place(tmp_path: Path) -> None:
    """The status of twenty is always refused: none of them is captured, the attempts end, and another one is captured."""
    rig = Rig(tmp_path, max_investigations=2)
    patch = rig.kubernetes.patch_status

    async def refuse(path: str, status: Any, uid: str, resource_version: str | None = None) -> None:
        if uid.startswith("huge"):
            raise TOO_LARGE
        await patch(path, status, uid, resource_version)

    rig.kubernetes.patch_status = refuse  # type: ignore[method-assign]
    for number in range(20):
        rig.observe(make_body(uid=f"huge-{number}"))
    rig.observe(make_body())
    await rig.settled()
    assert rig.phases[-1] == "Completed"
    assert rig.fetcher.asked == ["a"]
    refused = [event for event in rig.events if event[1] == "StatusRefused"]
    assert refused == [("Warning", "StatusRefused", ConditionReason.STATUS_REFUSED.text)] * 20
    rig.show()
    rig.clock.advance(10**6)
    asked = len(rig.kubernetes.asked)
    await rig.supervisor.write_again()
    assert len(rig.kubernetes.asked) == asked


async def test_a_last_status_that_could_not_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slot is free meanwhile. The next check writes it."""
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.05)
    for name in ("WRITE_SECONDS", "PROGRESS_SECONDS"):
        monkeypatch.setattr(status_module, name, 0.05)
    go_on = asyncio.Event()
    rig = Rig(tmp_path, FakeFetcher({"a": [go_on.wait, [1]]}), max_investigations=1)
    rig.observe(make_body())
    await rig.until(lambda: rig.fetcher.asked)
    rig.kubernetes.refusals = [Unavailable("away")] * 10**6
    go_on.set()
    await rig.settled()
    assert not rig.supervisor.shared.slots.full("shop")
    assert rig.phases == ["Running"]
    for _ in range(2):
        await rig.supervisor.write_again()
        assert list(rig.supervisor._tasks) == [UID], "one try at a time"
    await rig.settled()
    rig.kubernetes.refusals.clear()
    await rig.supervisor.write_again()
    await rig.settled()
    assert rig.phases == ["Running", "Completed"]
    patches = len(rig.kubernetes.patches)
    await rig.supervisor.write_again()
    await rig.settled()
    assert len(rig.kubernetes.patches) == patches


async def test_one_that_waits_has_few_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own, and one that sees cancel and suspend, also after its pods were looked at: thousands may wait."""
    monkeypatch.setattr(queueing, "LOOK_AFTER_SECONDS", 0.001)
    rig = Rig(tmp_path, FakeFetcher({"a": [forever]}), max_investigations=1)
    rig.observe(make_body("first"))
    await rig.until(lambda: rig.fetcher.asked)
    before = len(asyncio.all_tasks())
    for number in range(10):
        rig.observe(make_body(f"waits-{number}"))
    await rig.until(lambda: sum(path.endswith("/pods/web-0") for path, _ in rig.kubernetes.asked) >= 10)
    await rig.until(lambda: len(asyncio.all_tasks()) <= before + 2 * 10 + 5)
    await rig.supervisor.close()
    assert not rig.supervisor.shared.slots.waiting()


async def test_a_slot_that_comes_too_late_is_given_back(tmp_path: Path) -> None:
    """The Investigation that waits for it is deleted just as it becomes free."""
    go_on = asyncio.Event()
    rig = Rig(tmp_path, FakeFetcher({"a": [go_on.wait, [1]]}), max_investigations=1)
    rig.observe(make_body("first"))
    await rig.until(lambda: rig.fetcher.asked)
    slots = rig.supervisor.shared.slots
    enter = slots.enter

    def gone_meanwhile(namespace: str) -> Turn:
        turn = enter(namespace)
        turn.given.add_done_callback(lambda _: rig.supervisor.forget("second"))
        return turn

    slots.enter = gone_meanwhile  # type: ignore[method-assign]
    rig.observe(make_body("second"))
    await rig.until(lambda: "Queued" in rig.phases)
    go_on.set()
    await rig.settled()
    assert rig.fetcher.asked == ["a"]
    assert not rig.supervisor.shared.slots.full("shop")


@pytest.mark.parametrize(
    "body",
    [
        make_body(),
        make_body(suspend=True),
        make_body(timeout="soon"),
        make_body(status={"phase": "Running", "operator": "another"}),
        make_body(generation=2, status={"phase": "Completed", "observedGeneration": 1}),
    ],
    ids=["captured", "suspended", "refused", "another operator's", "acknowledged"],
)
async def test_one_task_at_a_time_works_on_an_investigation(rig: Rig, body: dict[str, Any]) -> None:
    """It does not matter how often it is observed meanwhile."""
    rig.observe(body)
    (task,) = rig.supervisor._tasks.values()
    for _ in range(3):
        rig.observe(body)
        assert rig.supervisor._tasks == {UID: task}
    await rig.settled()
    reasons = [reason for _, reason, _ in rig.events]
    assert len(set(reasons)) == len(reasons)


async def test_what_is_gone_is_not_observed_again(rig: Rig) -> None:
    """It is deleted just as its task has ended, after a change that was observed meanwhile."""
    rig.observe(make_body(suspend=True))
    task = rig.supervisor._tasks[UID]
    await rig.settled()
    rig.supervisor._latest[UID] = make_body(generation=2)
    rig.supervisor._tasks[UID] = task
    rig.supervisor.forget(UID)
    rig.supervisor._stopped(UID, task)
    assert rig.supervisor._tasks == {}


async def test_a_last_status_that_got_lost_is_written_again(rig: Rig) -> None:
    """The session on disk has the end, so nothing is captured again."""
    rig.observe(make_body())
    await rig.settled()
    rig.kubernetes.stored[paths.investigation("shop", "incident")]["status"] = {"phase": "Running", "operator": "flight"}
    rig.show()
    await rig.supervisor.write_again()
    await rig.settled()
    rig.clock.advance(61)
    await rig.supervisor.write_again()
    await rig.settled()
    assert rig.show()["status"]["phase"] == "Completed"
    assert rig.fetcher.asked == ["a"]
    asked = len(rig.kubernetes.asked)
    rig.clock.advance(61)
    await rig.supervisor.write_again()
    assert len(rig.kubernetes.asked) == asked


async def test_one_held_by_a_finalizer_is_known(rig: Rig) -> None:
    """It is being deleted: nothing is begun, and the watch does not count as deaf."""
    body = make_body()
    body["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    rig.observe(body)
    rig.kubernetes.lists = {LISTED: [listed(UID, 3600)]}
    await rig.supervisor.look_for_unnoticed(())
    await rig.settled()
    assert (rig.supervisor.unnoticed, rig.fetcher.asked, rig.kubernetes.patches) == ((), [], [])


async def test_two_operators_capture_an_investigation_once(tmp_path: Path) -> None:
    """The first one captures. The other reports this in a condition and an Event, and leaves it alone."""
    first = Rig(tmp_path / "a", FakeFetcher({"a": [[1]]}))
    second = Rig(tmp_path / "b", kubernetes=first.kubernetes, identity="other")
    first.observe(make_body())
    second.observe(make_body())
    await first.settled()
    await second.settled()
    assert sorted(first.fetcher.asked + second.fetcher.asked) == ["a"]
    loser, winner = (second, first) if first.fetcher.asked else (first, second)
    body = winner.show()
    assert (body["status"]["operator"], body["status"]["phase"]) == (winner.identity, "Completed")
    assert [reason for _, reason, _ in loser.events] == ["CapturedElsewhere"]
    for _ in range(3):
        loser.show()
        await loser.settled()
    assert len(loser.events) == 1


async def test_an_investigation_of_another_operator_is_left_alone(rig: Rig) -> None:
    """This holds after a restart too. One Event reports it, and the other operator's conditions stay."""
    await rig.supervisor.shared.identity.get()
    ready = {"type": "Ready", "status": "False", "reason": "Running", "message": "", "lastTransitionTime": "x"}
    rig.observe(make_body(status={"phase": "Running", "operator": "another", "conditions": [ready]}))
    await rig.settled()
    for _ in range(3):
        body = rig.show()
        await rig.settled()
    assert [(condition["type"], condition["reason"]) for condition in body["status"]["conditions"]] == [
        ("Ready", "Running"),
        ("Contested", "CapturedElsewhere"),
    ]
    assert (rig.fetcher.asked, len(rig.kubernetes.patches), len(rig.events)) == ([], 1, 1)


async def test_a_service_account_that_nobody_checked_is_refused(rig: Rig) -> None:
    """Nothing is read. The reason is in status and an Event."""
    rig.observe(make_body(serviceAccountName="cluster-admin"))
    await rig.settled()
    assert rig.last["phase"] == "Failed"
    assert rig.last["conditions"][0]["reason"] == "ServiceAccountNotAllowed"
    assert rig.fetcher.planned == 0
    assert [reason for _, reason, _ in rig.events] == ["ServiceAccountNotAllowed"]


async def test_an_api_server_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is captured without a claim, and the slot is given back between tries."""
    monkeypatch.setattr(status_module, "WRITE_SECONDS", 0.01)
    rig = Rig(tmp_path, max_investigations=1)
    rig.kubernetes.refusals = [Unavailable("away")] * 10**6
    rig.observe(make_body())
    await rig.until(lambda: len(rig.kubernetes.asked) > 5)
    assert rig.fetcher.asked == []
    monkeypatch.setattr(status_module, "WRITE_SECONDS", LONGEST_TEST_SECONDS)
    rig.kubernetes.refusals.clear()
    await rig.settled()
    assert rig.phases[-1] == "Completed"


async def test_the_waits_for_an_api_server_grow_to_a_bound(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """They begin with ten seconds, and are at most five minutes."""
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds >= 1:
            slept.append(seconds)
        await real(0)

    async def away(self: StatusWriter, *_: Any) -> Any:
        return Claim.UNAVAILABLE if len(slept) < 8 else Claim.GONE

    monkeypatch.setattr(module, "RETRY_SECONDS", 10.0)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(StatusWriter, "claim", away)
    rig.supervisor.observe(make_body())
    await rig.settled()
    assert slept == [10, 20, 40, 80, 160, 300, 300, 300]
    assert not rig.supervisor.shared.slots.full("shop")


@pytest.mark.parametrize(
    ("timeout", "upload", "limited_timeout", "limited_upload"),
    [
        ("59m", None, "59m", None),
        ("1h", "1h", "1h", "1h"),
        ("3601s", None, "3600s", None),
        ("3601s", "5m", "3600s", "5m"),
        ("5m", "2h", "5m", "3600s"),
        ("2h", "2h", "3600s", "3600s"),
    ],
)
def test_which_timeouts_are_cut(timeout: str, upload: str | None, limited_timeout: str, limited_upload: str | None) -> None:
    """Timeouts over the admin's limit are cut. Nothing else of the spec changes."""
    session = {"upload": {"timeout": upload}, "encryption": {"recipients": [PUBLIC]}} if upload else None
    spec = InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}], "timeout": timeout, "session": session})
    found = limited(spec, 3600)
    assert (found.timeout, found.session and found.session.upload and found.session.upload.timeout) == (
        limited_timeout,
        limited_upload,
    )
    assert (found.targets, found.session and found.session.encryption) == (
        spec.targets,
        spec.session and spec.session.encryption,
    )


async def test_an_admin_may_keep_words_of_logs_out_of_status_and_events(tmp_path: Path) -> None:
    """No text of the source is in a written status or an Event. The manifest has it."""
    rig = Rig(tmp_path, FakeFetcher({"a": [[1], Unavailable("CANARY")], "b": [[1]]}), log_text=False)
    rig.observe(make_body())
    await rig.settled()
    assert rig.last["phase"] == "PartiallyCompleted"
    assert "CANARY" not in str(rig.kubernetes.statuses) + str(rig.events)
    session = find_session(rig.supervisor.shared.tools.layout, UID)
    assert session is not None
    assert "CANARY" in str(session.gaps)
    await rig.supervisor.close()


async def test_a_refusal_that_could_not_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the API server does not answer for a while, no status is lost."""
    monkeypatch.setattr(status_module, "WRITE_SECONDS", 0.02)
    rig = Rig(tmp_path)
    rig.kubernetes.refusals = [Unavailable("down")] * 10_000
    rig.observe(make_body(timeout="soon"))
    await rig.settled()
    assert rig.phases == []
    rig.kubernetes.refusals = []
    await rig.supervisor.write_again()
    await rig.settled()
    assert (rig.phases, rig.last["conditions"][0]["reason"]) == (["Failed"], "InvalidSpec")
    written = len(rig.kubernetes.statuses)
    await rig.supervisor.write_again()
    await rig.settled()
    assert len(rig.kubernetes.statuses) == written
