"""An abandoned capture is ended: no manifest says `Running` forever."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.handlers.sweeper import Sweeper
from aletheia_operator.investigate.abandoned import TAKEN_OVER, end_abandoned
from aletheia_operator.session import Manifest, Session, SessionBusy, SessionLayout
from aletheia_operator.session.manifest_file import read_manifest
from aletheia_operator.session.retention_record import update_retention_record
from aletheia_operator.session.store import create_session
from aletheia_operator.session.verify import verify
from tests.support.captures import Memory, capture, unfinished
from tests.support.faults import Fault, in_child
from tests.unit.capturing import interrupted, run
from tests.unit.fakes import NOW, UID, Clock, FakeFetcher, FakeKubernetes, forever, make_order, make_tools

LATER = NOW.replace(hour=13)
LISTED = "/apis/aletheia.dev/v1alpha1/investigations"
CLUSTER: dict[str, Any] = {
    "/api/v1/namespaces/kube-system": {"metadata": {"uid": "this-cluster"}},
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/investigations.aletheia.dev": {
        "metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}
    },
}


@pytest.fixture
def layout(tmp_path: Path) -> SessionLayout:
    """A session volume."""
    return SessionLayout(tmp_path)


def the_session(layout: SessionLayout) -> str:
    (path,) = (path for path in layout.sessions.iterdir() if not path.name.startswith("."))
    return path.name


async def unsaved(layout: SessionLayout, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """A capture with a manifest that cannot be saved; returns its status."""

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Session, "finish", full)
        return (await run(make_order(), make_tools(layout.root, FakeFetcher({"a": [[1]], "b": [[2]]})))).manifest


async def stopped(layout: SessionLayout) -> None:
    """A capture that was stopped during a question, while another one waited."""
    fetcher = FakeFetcher({"a": [[1]], "b": [[2], forever], "c": [[3]]})
    await interrupted(make_order(), make_tools(layout.root, fetcher, max_fetches=1), after="a")


def gaps_of(manifest: Manifest) -> list[tuple[str, str]]:
    return [(gap.target, gap.reason) for gap in manifest.gaps]


async def test_a_manifest_that_could_not_be_saved_is_written_later(
    layout: SessionLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the journal, with the phase that the status has; the session can be verified, exported and expired then."""
    status = await unsaved(layout, monkeypatch)
    assert read_manifest(layout, the_session(layout)).phase == "Running"
    manifest = end_abandoned(layout, the_session(layout), LATER, status.phase)
    assert (manifest.phase, manifest.completion_time, manifest.questions) == (status.phase, LATER, 2)
    assert manifest.artifacts == status.artifacts
    assert gaps_of(manifest) == [("manifest.json", "SaveFailed")]
    assert verify(layout.session(manifest.session_id)).intact
    assert end_abandoned(layout, manifest.session_id, NOW, "Failed") == manifest


async def test_what_the_journal_does_not_know_is_a_gap(layout: SessionLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the journal could not be written either, the session does not look complete."""
    with monkeypatch.context() as patch:
        patch.setattr(Session, "record", lambda self, *batch, **_: self.done.update((done.key, done) for done in batch))
        await unsaved(layout, monkeypatch)
    manifest = end_abandoned(layout, the_session(layout), LATER, "PartiallyCompleted")
    assert gaps_of(manifest) == [
        ("thing/a", "SaveFailed"),
        ("thing/b", "SaveFailed"),
        ("manifest.json", "SaveFailed"),
    ]
    assert verify(layout.session(manifest.session_id)).intact


async def test_a_capture_whose_investigation_is_gone_is_cancelled(layout: SessionLayout) -> None:
    """Complete artifacts are kept, and the rest is reported."""
    await stopped(layout)
    manifest = end_abandoned(layout, the_session(layout), LATER)
    assert (manifest.phase, [artifact.target for artifact in manifest.artifacts]) == ("Cancelled", ["thing/a"])
    assert gaps_of(manifest) == [("thing/b", "Cancelled"), ("thing/c", "Cancelled")]
    assert {gap.message for gap in manifest.gaps} == {"the Investigation was deleted before this was captured"}
    assert verify(layout.session(manifest.session_id)).intact


async def test_a_capture_that_had_no_plan_says_so(layout: SessionLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without any finished question does not look complete."""
    begun = asyncio.Event()

    class Planner(FakeFetcher):
        async def plan(self, spec: Any, sources: Any) -> Any:
            begun.set()
            await forever()

    task = asyncio.create_task(run(make_order(), make_tools(layout.root, Planner({"a": [[1]]}))))
    await begun.wait()
    with pytest.raises(SessionBusy):
        end_abandoned(layout, the_session(layout), LATER)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    manifest = end_abandoned(layout, the_session(layout), LATER)
    assert (manifest.phase, gaps_of(manifest)) == ("Cancelled", [("the plan", "Cancelled")])


async def test_an_upload_that_never_was_is_a_gap(layout: SessionLayout) -> None:
    """People who look into the bucket must not wait for it."""
    upload: dict[str, Any] = {"session": {"upload": {"dataSourceRef": {"name": "bucket"}}}}
    await interrupted(make_order(**upload), make_tools(layout.root, FakeFetcher({"a": [[1]], "b": [forever]})), after="a")
    assert ("session.upload", "UploadFailed") in gaps_of(end_abandoned(layout, the_session(layout), LATER))


def sweeper(layout: SessionLayout, *bodies: dict[str, Any]) -> Sweeper:
    kubernetes = FakeKubernetes(objects=CLUSTER, lists={LISTED: bodies})
    return Sweeper(layout, kubernetes.real(), lambda *_: None, Clock(LATER))


def body(phase: str) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "incident", "uid": UID, "generation": 1}
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "conditions": []}}


@pytest.mark.parametrize(("phase", "ended"), [("Running", False), ("PartiallyCompleted", True)])
async def test_the_sweep_ends_what_the_status_has_ended(
    layout: SessionLayout, phase: str, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capture that will be resumed is left alone."""
    await unsaved(layout, monkeypatch)
    await sweeper(layout, body(phase)).sweep()
    assert read_manifest(layout, the_session(layout)).finished is ended


async def test_the_sweep_ends_what_is_kept_of_a_deleted_investigation(layout: SessionLayout) -> None:
    """It is kept permanently, so it must be readable."""
    await stopped(layout)
    update_retention_record(layout, the_session(layout), keep=True)
    await sweeper(layout).sweep()
    assert read_manifest(layout, the_session(layout)).phase == "Cancelled"


async def test_the_sweep_ends_nothing_of_an_investigation_that_perhaps_nobody_deleted(layout: SessionLayout) -> None:
    """The definition is younger than the session, so a backup may restore the Investigation, and its capture may continue."""
    await stopped(layout)
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/investigations.aletheia.dev"
    cluster = {**CLUSTER, definition: {"metadata": {"creationTimestamp": "2026-11-22T12:30:00Z"}}}
    kubernetes = FakeKubernetes(objects=cluster, lists={LISTED: []})
    await Sweeper(layout, kubernetes.real(), lambda *_: None, Clock(LATER)).sweep()
    assert not read_manifest(layout, the_session(layout)).finished


ANSWERS = {"first": [[{"line": "evidence"}]], "second": [[{"line": "more"}]], "last": [[{"line": "the end"}]]}


@pytest.mark.parametrize("at", range(1, 121, 7))
def test_killed_at_any_step_it_can_be_ended(at: int, tmp_path: Path) -> None:
    """The session verifies, and lists what it has and what is missing."""

    def killed() -> None:
        with Fault("kill", at).injected():
            capture(tmp_path, Memory(ANSWERS))

    if in_child(killed) is None or not list((tmp_path / "sessions").glob("INC-*")):
        return
    layout = SessionLayout(tmp_path)
    finished_before = read_manifest(layout, the_session(layout)).finished
    manifest = end_abandoned(layout, the_session(layout), LATER)
    found = verify(layout.session(manifest.session_id))
    assert found.intact
    assert found.manifest == manifest
    if not finished_before:
        named = {artifact.target for artifact in manifest.artifacts} | {
            gap.target for gap in manifest.gaps if gap.reason == "Cancelled"
        }
        assert named - {"report"} in ({"the plan"}, {f"pod/{name}" for name in ANSWERS})  # killed after it was made


@pytest.mark.parametrize(
    ("plan", "targets"),
    [
        ('{"questions": [{"colour": "red"}, {"fetcher": "F", "key": "k", "target": "pod/web-0", "colour": 1}]}', None),
        ('{"questions": null}', []),
        ("[]", []),
    ],
)
def test_a_plan_of_another_version_says_what_it_can(layout: SessionLayout, plan: str, targets: list[str] | None) -> None:
    """The session is ended, and the gaps name what is known of the questions."""
    session_id = create_session(layout, unfinished()).session_id
    layout.journal(session_id).write_text(f'{{"plan": {plan}}}\n')
    expected = ["question 0", "pod/web-0"] if targets is None else targets
    assert gaps_of(end_abandoned(layout, session_id, LATER)) == [(target, "Cancelled") for target in expected or ["the plan"]]


@pytest.mark.parametrize("recorded", ["", '{"plan": []}\n', '{"plan": {"version": "x", "questions": []}}\n'])
def test_a_plan_that_was_lost_with_the_manifest(layout: SessionLayout, recorded: str) -> None:
    """The status has ended, so missing data is reported as lost by the volume and not as given up."""
    session_id = create_session(layout, unfinished()).session_id
    layout.journal(session_id).write_text(recorded)
    manifest = end_abandoned(layout, session_id, LATER, "Failed")
    assert (manifest.phase, manifest.questions) == ("Failed", 0)
    assert gaps_of(manifest) == [("the plan", "SaveFailed"), ("manifest.json", "SaveFailed")]
    assert {gap.fetcher for gap in manifest.gaps} == {"Investigation"}


@pytest.mark.parametrize(
    ("interruption", "status_phase", "phase"),
    [
        ("TimedOut", None, "TimedOut"),
        ("Cancelled", None, "Cancelled"),
        (None, None, "Cancelled"),
        ("TimedOut", "Failed", "Failed"),
    ],
)
def test_why_the_capture_had_ended_early_is_its_phase(
    layout: SessionLayout, interruption: str | None, status_phase: str | None, phase: str
) -> None:
    """The phase is that of the status, or else that of the journal."""
    session_id = create_session(layout, unfinished()).session_id
    layout.journal(session_id).write_text(f'{{"interrupted": "{interruption}"}}\n' if interruption else "")
    assert end_abandoned(layout, session_id, LATER, status_phase).phase == phase


async def test_what_another_operator_took_over_has_an_end_of_its_own(layout: SessionLayout) -> None:
    """This session does not get the other capture's phase, and its missing data is reported."""
    await stopped(layout)
    manifest = end_abandoned(layout, the_session(layout), LATER, taken_over=True)
    assert manifest.phase == "Cancelled"
    assert {gap.message for gap in manifest.gaps} == {TAKEN_OVER}
    assert [gap.reason for gap in manifest.gaps] == ["Cancelled", "Cancelled"]
    assert len(manifest.artifacts) == 1


def test_the_sweep_tells_whose_end_it_is(layout: SessionLayout) -> None:
    """A status that another operator wrote does not say how the capture on this volume ended."""
    asyncio.run(stopped(layout))
    owner = read_manifest(layout, the_session(layout)).investigation
    metadata = {"namespace": owner.namespace, "name": owner.name, "uid": owner.uid, "generation": 1}
    body = {"metadata": metadata, "spec": {}, "status": {"phase": "Completed", "operator": "another"}}
    kubernetes = FakeKubernetes(objects=CLUSTER, lists={LISTED: [body]})
    sweeper = Sweeper(layout, kubernetes.real(), lambda *_: None, Clock(LATER))
    asyncio.run(sweeper.sweep())
    assert read_manifest(layout, the_session(layout)).phase == "Cancelled"
