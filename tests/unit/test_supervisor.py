"""The supervisor: whatever a resource looks like, what is missing is done, once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.clients.errors import Unavailable
from aletheia_operator.handlers import status as status_module
from aletheia_operator.handlers import supervisor as module
from aletheia_operator.handlers.supervisor import Supervisor
from aletheia_operator.investigate.upload import Uploader
from aletheia_operator.session import Manifest
from tests.unit.fakes import LONGEST_TEST_SECONDS, NOW, UID, Clock, FakeFetcher, FakeKubernetes, forever, make_tools

LISTED = "/apis/aletheia.dev/v1alpha1/investigations"
OWN = "/apis/aletheia.dev/v1alpha1/namespaces/shop/investigations/incident"


def make_body(uid: str = UID, generation: int = 1, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "incident",
            "uid": uid,
            "generation": generation,
            "creationTimestamp": "2026-11-22T12:00:00Z",
        },
        "spec": {"targets": [{"pod": "web-0"}], **spec},
        "status": status or {},
    }


@dataclass
class Rig:
    """A supervisor, what it wrote and what it announced."""

    root: Path
    fetcher: FakeFetcher = field(default_factory=lambda: FakeFetcher({"a": [[1]]}))
    kubernetes: FakeKubernetes = field(default_factory=FakeKubernetes)
    clock: Clock = field(default_factory=Clock)
    max_investigations: int = 20
    events: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        tools = make_tools(self.root, self.fetcher, kubernetes=self.kubernetes, now=self.clock)
        self.supervisor = Supervisor(tools, self._emit, self.max_investigations)

    def _emit(self, body: Any, kind: str, reason: str, message: str) -> None:
        self.events.append((kind, reason, message))

    async def until(self, true: Callable[[], object]) -> None:
        """Wait, for a bounded time."""
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            while not true():  # noqa: ASYNC110 (what is waited for is of several kinds)
                await asyncio.sleep(0.001)

    async def settled(self) -> None:
        """Wait until nothing runs."""
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            while tasks := list(self.supervisor._tasks):
                await asyncio.wait(tasks)

    @property
    def phases(self) -> list[str]:
        """The phases that were written, repetitions left out."""
        written = [status.get("phase", "-") for status in self.kubernetes.statuses]
        return [phase for i, phase in enumerate(written) if i == 0 or phase != written[i - 1]]

    @property
    def last(self) -> dict[str, Any]:
        return self.kubernetes.statuses[-1]


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once, and progress is written as it comes."""
    monkeypatch.setattr(status_module, "PROGRESS_INTERVAL_SECONDS", 0.001)
    for place in (status_module, module):
        monkeypatch.setattr(place, "retry_delays", lambda: repeat(0.0))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A supervisor that is closed in the end."""
    made = Rig(tmp_path)
    yield made
    await made.supervisor.close()


async def test_an_investigation_is_captured_and_announced(rig: Rig) -> None:
    """Status ends at Completed, with an Event at the begin and one at the end."""
    rig.supervisor.observe(make_body())
    await rig.settled()
    assert rig.phases[-1] == "Completed"
    assert rig.last["artifactCount"] == 1
    assert [(kind, reason) for kind, reason, _ in rig.events] == [("Normal", "Started"), ("Normal", "Completed")]


async def test_observing_again_asks_nothing_again(rig: Rig) -> None:
    """While it runs, after it ended with an older view, and after the status arrived."""
    body = make_body()
    for _ in range(3):
        rig.supervisor.observe(body)
    await rig.settled()
    rig.supervisor.observe(body | {"status": {"phase": "Running", "observedGeneration": 1}})
    rig.supervisor.observe(body | {"status": rig.last})
    await rig.settled()
    assert rig.fetcher.asked == ["a"]
    assert [reason for _, reason, _ in rig.events] == ["Started", "Completed"]


async def test_a_terminal_investigation_asks_nothing(rig: Rig) -> None:
    """Whatever the phase was in which it ended; a restarted operator writes nothing either."""
    for number, phase in enumerate(("Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled")):
        rig.supervisor.observe(make_body(uid=str(number), status={"phase": phase, "observedGeneration": 1}))
    await rig.settled()
    assert (rig.fetcher.asked, rig.kubernetes.patches, rig.events) == ([], [], [])


async def test_a_change_after_the_end_is_acknowledged(rig: Rig) -> None:
    """kstatus would call it in progress for ever; nothing is captured again."""
    ended = {"phase": "Completed", "observedGeneration": 1, "conditions": []}
    rig.kubernetes.objects = {OWN: {"status": ended}}
    rig.supervisor.observe(make_body(generation=2, status=ended, cancel=True))
    await rig.settled()
    assert rig.kubernetes.statuses == [{"observedGeneration": 2, "conditions": []}]
    assert rig.fetcher.asked == []


async def test_a_suspended_investigation_waits(rig: Rig) -> None:
    """It is Pending, with the reason, and begins once it is no longer suspended."""
    rig.supervisor.observe(make_body(suspend=True))
    await rig.settled()
    assert rig.phases == ["Pending"]
    assert rig.last["conditions"][0]["reason"] == "Suspended"
    assert rig.fetcher.planned == 0
    rig.supervisor.observe(make_body(generation=2, suspend=False))
    await rig.settled()
    assert rig.phases[-1] == "Completed"
    assert rig.last["observedGeneration"] == 2


async def test_a_running_investigation_can_be_cancelled(tmp_path: Path) -> None:
    """What it has is kept; the status speaks of the generation that cancelled it."""
    saved = asyncio.Event()

    async def hang() -> None:
        saved.set()
        await forever()

    rig = Rig(tmp_path, FakeFetcher({"a": [[1], hang]}))
    rig.supervisor.observe(make_body())
    await saved.wait()
    rig.supervisor.observe(make_body(generation=2, cancel=True))
    await rig.settled()
    assert rig.phases[-1] == "Cancelled"
    assert (rig.last["observedGeneration"], rig.last["artifactCount"]) == (2, 1)
    assert [reason for _, reason, _ in rig.events] == ["Started", "Cancelled", "Cancelled"]


async def test_a_suspended_investigation_can_be_cancelled(rig: Rig) -> None:
    """It ends without having asked anything of a source that hangs."""
    rig.fetcher.answers = {"a": [forever]}
    rig.supervisor.observe(make_body(suspend=True, cancel=True))
    await rig.settled()
    assert rig.phases[-1] == "Cancelled"


async def test_a_spec_that_is_refused_says_which_field(rig: Rig) -> None:
    """Failed, with the message in status and as an Event; the value is not repeated."""
    rig.supervisor.observe(make_body(timeout="canary-7d1", window={"lookback": "1h", "start": "2026-11-22T10:00:00Z"}))
    await rig.settled()
    (condition, *_) = rig.last["conditions"]
    assert (rig.last["phase"], condition["reason"]) == ("Failed", "InvalidSpec")
    assert "spec.window: name either lookback or start" in condition["message"]
    assert "spec.timeout: " in condition["message"]
    assert rig.events == [("Warning", "InvalidSpec", condition["message"])]
    assert rig.fetcher.planned == 0


async def test_gaps_are_announced_once_for_each_reason(tmp_path: Path) -> None:
    """With the first of each kind and how many there are more."""
    rig = Rig(tmp_path, FakeFetcher({"a": [Unavailable("down")], "b": [Unavailable("down")], "c": [[1]]}))
    rig.supervisor.observe(make_body())
    await rig.settled()
    assert rig.events[1:] == [
        ("Warning", "Unavailable", "Fake thing/a: down (and 1 more)"),
        ("Warning", "PartiallyCompleted", rig.last["conditions"][0]["message"]),
    ]


async def test_a_deleted_investigation_is_stopped(tmp_path: Path) -> None:
    """Its capture ends, nothing more is written, and no other is touched."""
    rig = Rig(tmp_path, FakeFetcher({"a": [forever]}))
    rig.supervisor.observe(make_body())
    rig.supervisor.observe(make_body(uid="other"))
    await rig.until(lambda: len(rig.fetcher.asked) == 2)
    rig.supervisor.forget(UID)
    await rig.until(lambda: UID not in rig.supervisor._running)
    assert set(rig.supervisor._running) == {"other"}
    await rig.supervisor.close()
    assert "Completed" not in rig.phases


async def test_an_investigation_that_is_deleted_at_once_is_forgotten(rig: Rig) -> None:
    """Created and deleted between two steps of the loop: nothing of it is kept."""
    rig.supervisor.observe(make_body())
    rig.supervisor.forget(UID)
    await rig.settled()
    assert rig.supervisor._running == {}


async def test_investigations_past_the_limit_are_queued(tmp_path: Path) -> None:
    """The second says so, and begins when the first has ended."""
    go_on = asyncio.Event()
    rig = Rig(tmp_path, FakeFetcher({"a": [go_on.wait, [1]]}), max_investigations=1)
    rig.supervisor.observe(make_body(uid="first"))
    await rig.until(lambda: rig.fetcher.asked)
    rig.supervisor.observe(make_body(uid="second"))
    written = rig.kubernetes.patches
    await rig.until(lambda: any(uid == "second" for _, _, uid in written))
    assert [status["phase"] for _, status, uid in written if uid == "second"] == ["Queued"]
    assert len(rig.fetcher.asked) == 1
    go_on.set()
    await rig.settled()
    assert {uid: status["phase"] for _, status, uid in written} == {"first": "Completed", "second": "Completed"}


async def test_an_upload_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is being uploaded, to a bucket that hangs perhaps, the next is captured; the status says what goes on."""
    go_on = asyncio.Event()

    async def hangs(uploader: Uploader, directory: Path, manifest: Manifest, encode: Any) -> Manifest:
        uploader.sent(0)
        await go_on.wait()
        return manifest

    monkeypatch.setattr(Uploader, "run", hangs)
    rig = Rig(tmp_path, FakeFetcher({"a": [[1]]}), max_investigations=1)
    rig.supervisor.observe(make_body(uid="first", session={"upload": {}}))
    rig.supervisor.observe(make_body(uid="second"))

    def last(uid: str) -> Any:
        return next((status for _, status, of in reversed(rig.kubernetes.patches) if of == uid), {})

    await rig.until(lambda: last("second").get("phase") == "Completed" and "uploaded" in str(last("first")))
    assert last("first")["phase"] == "Running"
    assert last("first")["conditions"][0]["message"] == "captured; 0 of 1 artifact uploaded"
    go_on.set()
    await rig.settled()
    assert last("first")["phase"] == "Completed"


async def test_a_stopped_process_leaves_the_capture_to_the_next(tmp_path: Path) -> None:
    """The next one takes it up, asks only what is missing and announces no second begin."""
    first = Rig(tmp_path, FakeFetcher({"a": [[1]], "b": [forever]}))
    first.supervisor.observe(make_body())
    await first.until(lambda: first.kubernetes.statuses and first.last["artifactCount"] == 1)
    await first.supervisor.close()
    assert first.phases == ["Running"]
    second = Rig(tmp_path, FakeFetcher({"a": [[9]], "b": [[2]]}))
    second.supervisor.observe(make_body(status=first.last))
    await second.settled()
    assert second.fetcher.asked == ["b"]
    assert second.last["phase"] == "Completed"
    assert [reason for _, reason, _ in second.events] == ["Completed"]


async def test_a_volume_that_comes_back_is_used(tmp_path: Path) -> None:
    """Meanwhile the Investigation is Pending, and says why."""
    blocked = tmp_path / "sessions"
    blocked.write_text("in the way")
    rig = Rig(tmp_path)
    rig.supervisor.observe(make_body())
    await rig.until(lambda: rig.kubernetes.patches)
    assert rig.last["conditions"][0]["reason"] == "SessionUnavailable"
    blocked.unlink()
    await rig.settled()
    assert rig.phases[-1] == "Completed"


async def test_a_volume_that_stays_away_fails_the_investigation_in_the_end(tmp_path: Path) -> None:
    """Once the timeout is over."""
    (tmp_path / "sessions").write_text("in the way")
    rig = Rig(tmp_path)
    rig.supervisor.observe(make_body(timeout="1m"))
    await rig.until(lambda: rig.kubernetes.patches)
    rig.clock.advance(61)
    await rig.settled()
    assert rig.last["phase"] == "Failed"
    assert rig.last["conditions"][0]["reason"] == "SessionUnavailable"
    assert "the session volume cannot be used" in rig.last["conditions"][0]["message"]


async def test_an_investigation_without_its_volume_can_be_cancelled(tmp_path: Path) -> None:
    """It ends though nothing can be kept."""
    (tmp_path / "sessions").write_text("in the way")
    rig = Rig(tmp_path)
    rig.supervisor.observe(make_body())
    await rig.until(lambda: rig.kubernetes.patches)
    rig.supervisor.observe(make_body(generation=2, cancel=True))
    try:
        await asyncio.wait(list(rig.supervisor._tasks), timeout=0.1)
        assert not rig.supervisor._tasks
    finally:
        await rig.supervisor.close()


async def test_a_fault_of_our_own_ends_the_investigation(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever investigate raises, a person reads in the status that it is over; the exception's text stays in the log."""

    async def broken(*_: Any) -> Any:
        raise OverflowError("canary-3e8")

    monkeypatch.setattr(module, "investigate", broken)
    rig.supervisor.observe(make_body())
    await rig.settled()
    assert rig.last["phase"] == "Failed"
    assert "canary-3e8" not in str(rig.kubernetes.statuses) + str(rig.events)


async def test_a_damaged_manifest_ends_the_investigation(rig: Rig) -> None:
    """A session that cannot be read is said, not hung on."""
    rig.supervisor.observe(make_body())
    await rig.settled()
    (session,) = (rig.root / "sessions").iterdir()
    (session / "manifest.json").write_text("{")
    other = Rig(rig.root)
    other.supervisor.observe(make_body())
    await other.settled()
    assert other.kubernetes.statuses


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
    rig.supervisor.observe(make_body(suspend=True))
    await rig.supervisor.look_for_unnoticed(())
    assert rig.supervisor.unnoticed == unnoticed


async def test_only_the_namespaces_that_are_watched_are_looked_at(rig: Rig) -> None:
    """There may be no right to list elsewhere."""
    await rig.supervisor.look_for_unnoticed(("shop", "bank"))
    assert [path for path, _ in rig.kubernetes.asked] == [
        f"/apis/aletheia.dev/v1alpha1/namespaces/{name}/investigations" for name in ("shop", "bank")
    ]
