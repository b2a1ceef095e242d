"""The session's life as a state machine: in any order of actions, only evidence is removed that somebody asked to remove.

Captures, kills at any step, cancellations, expiry, holds, exports, imports, resealing, deletions by hand and of the resource,
and the operator's sweeps happen in random sequences. Two of the Investigations ask for the same session id. After each step
all other evidence is whole, no session is locked, and no descriptor leaks. In the end an undisturbed operator leaves no
capture `Running` and no leftovers. `--lives` sets how many sequences are tried.
"""

import asyncio
import io
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from aletheia_operator.api import paths
from aletheia_operator.cli.__main__ import main
from aletheia_operator.fetchers.base import Document, Question, Sources
from aletheia_operator.handlers.cluster_state import CLUSTER
from aletheia_operator.handlers.sweeper import Sweeper
from aletheia_operator.session import InvestigationReference, Manifest, SessionBusy, SessionLayout, age, find_session
from aletheia_operator.session.archive import export_session, import_session
from aletheia_operator.session.catalog import sessions
from aletheia_operator.session.lock import locked
from aletheia_operator.session.names import session_id
from aletheia_operator.session.retention_record import read_retention_record
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.session.verify import verify
from aletheia_operator.settings import Retention
from tests.support.captures import NOW, Memory, capture
from tests.support.faults import Fault, in_child
from tests.unit.fakes import Clock, FakeKubernetes

ANSWERS = {"first": [[{"line": "evidence"}]], "second": [[{"line": "x" * 2000}] * 3], "last": [[{"line": "the end"}]]}
GRACE_SECONDS = 100


@cache
def uids() -> tuple[str, str, str]:
    """Three uids; the first two ask for the same session id."""
    seen: dict[str, str] = {}
    for number in range(100_000):
        uid = f"uid-{number}"
        if (other := seen.setdefault(session_id(uid, 4), uid)) != uid:
            return other, uid, "uid-c"
    raise AssertionError("no collision")


@cache
def key_pair() -> tuple[str, str]:
    return age.new_identity()


@dataclass
class Cancelling(Memory):
    """Cancels the Investigation at its n-th question."""

    at: int = 1
    cancel: Callable[[], None] = lambda: None

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        if len(self.asked) + 1 >= self.at:
            self.cancel()
        async for document in super().fetch(question, sources):
            yield document


@dataclass
class Story:
    """The expected state of an Investigation and its session."""

    name: str
    uid: str
    sealed: bool = False
    exists: bool = True
    keep: bool = False
    seconds: int | None = None
    annotation: str | None = None
    kept: bool = False
    """The value of `keep` that the operator knows. It does not change when a resource is deleted unseen."""
    noted: str | None = None
    """The value of `annotation` that the operator knows."""
    hold: bool = False
    imported: bool = False
    evidence: dict[str, str] | None = None
    """Digests by path of files that must be there. None: nothing can be lost."""
    expired: bool = False
    unsettled: bool = False
    """A process died while working on it, and no process has continued since."""

    @property
    def owner(self) -> InvestigationReference:
        return InvestigationReference(namespace="shop", name=self.name, uid=self.uid)

    @property
    def may_go(self) -> bool:
        """Return whether the operator may remove the session."""
        return not (self.exists or self.kept or self.noted is not None or self.hold or self.imported)

    def may_expire(self, manifest: Manifest, clock: Clock) -> bool:
        held = self.annotation is not None or self.hold or self.imported
        ended = manifest.completion_time
        due = ended is not None and self.seconds is not None and ended + timedelta(seconds=self.seconds) <= clock()
        return self.exists and due and not held

    def body(self) -> dict[str, Any]:
        annotations = {} if self.annotation is None else {"aletheia.dev/legal-hold": self.annotation}
        metadata = {"namespace": "shop", "name": self.name, "uid": self.uid, "generation": 1, "annotations": annotations}
        retention = {"keep": self.keep, "artifactsSeconds": self.seconds}
        phase = "Running" if self.evidence is None else "Completed"
        return {"metadata": metadata, "spec": {"retention": retention}, "status": {"phase": phase, "conditions": []}}


def listing(manifest: Manifest) -> dict[str, str]:
    return {artifact.path: artifact.sha256 for artifact in manifest.artifacts}


STORIES = st.integers(0, 2)
BROKEN = st.none() | st.tuples(st.sampled_from(["kill", "torn", "EIO", "ENOSPC"]), st.integers(1, 120))


class SessionLife(RuleBasedStateMachine):
    """One volume, three Investigations."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="aletheia-life-"))
        self.layout = SessionLayout(self.root)
        self.clock = Clock(NOW)
        self.stories = [Story(f"inv-{number}", uid, sealed=number == 2) for number, uid in enumerate(uids())]
        self.archives: list[tuple[int, bytes]] = []
        self.kubernetes = FakeKubernetes()
        self.sweeper = self.new_sweeper()
        (self.root / "key").write_text(key_pair()[0])

    @initialize(broken=st.tuples(BROKEN, BROKEN, BROKEN))
    def start(self, broken: tuple[tuple[str, int] | None, ...]) -> None:
        self.descriptors = len(os.listdir("/proc/self/fd"))
        for story, fault in zip(self.stories, broken, strict=True):
            self.do(fault, partial(self.capture, story, Memory(ANSWERS)))
            story.unsettled = fault is not None
        for number in range(len(self.stories)):
            self.exported(number)

    def new_sweeper(self) -> Sweeper:
        retention = Retention(orphan_grace_seconds=GRACE_SECONDS)
        return Sweeper(self.layout, self.kubernetes.real(), lambda *event: None, self.clock, retention=retention)

    def manifest(self, story: Story) -> Manifest | None:
        return find_session(self.layout, story.uid)

    # what happens

    @rule(number=STORIES, cancel_at=st.none() | st.integers(1, 3), broken=BROKEN)
    def captured(self, number: int, cancel_at: int | None, broken: tuple[str, int] | None) -> None:
        story = self.stories[number]
        if not self.is_to_capture(story):
            return
        fetcher = Memory(ANSWERS) if cancel_at is None else Cancelling(ANSWERS, at=cancel_at)
        self.do(broken, lambda: self.capture(story, fetcher, cancel=cancel_at is not None))
        story.unsettled = broken is not None

    @rule(number=STORIES, seconds=st.sampled_from([None, 1]), keep=st.booleans(), hold=st.sampled_from([None, "case"]))
    def resource_changed(self, number: int, seconds: int | None, keep: bool, hold: str | None) -> None:
        story = self.stories[number]
        if story.exists:
            story.seconds, story.keep, story.annotation = seconds, keep, hold

    @rule(number=STORIES, seen=st.booleans())
    def resource_deleted(self, number: int, seen: bool) -> None:
        story = self.stories[number]
        if not story.exists:
            return
        body, story.exists = story.body(), False
        if seen:
            self.note(story)
            self.serve()
            asyncio.run(self.sweeper.deleted(body))
        self.look_for_what_went()

    @rule(seconds=st.sampled_from([1, 10 * GRACE_SECONDS]), broken=BROKEN)
    def swept(self, seconds: int, broken: tuple[str, int] | None) -> None:
        self.clock.advance(seconds)
        self.do(broken, self.sweep)
        if broken:
            self.sweeper = self.new_sweeper()
            for story in self.stories:
                story.unsettled = True
        self.look_for_what_went()
        if broken:
            self.read_what_was_noted()

    @rule(number=STORIES)
    def hold(self, number: int) -> None:
        if (manifest := self.manifest(self.stories[number])) is not None:
            assert self.aletheia("hold", manifest.session_id, "--reason", "case") == 0
            self.stories[number].hold = True

    @rule(number=STORIES, gone=st.booleans())
    def released(self, number: int, gone: bool) -> None:
        story = self.stories[number]
        if (manifest := self.manifest(story)) is not None:
            code = self.aletheia("release", manifest.session_id, *(["--gone"] if gone else []))
            if code == 0:
                story.hold, story.noted = False, None

    @rule(number=STORIES)
    def exported_again(self, number: int) -> None:
        self.exported(number)

    def exported(self, number: int) -> None:
        story = self.stories[number]
        manifest = self.manifest(story)
        if manifest is None:
            return
        archive = io.BytesIO()
        if not manifest.finished or manifest.expiration_time is not None:
            with pytest.raises(ArchiveError):
                export_session(self.layout.session(manifest.session_id), archive.write)
            return
        export_session(self.layout.session(manifest.session_id), archive.write)
        self.archives.append((number, archive.getvalue()))

    @precondition(lambda self: self.archives)
    @rule(data=st.data(), broken=BROKEN)
    def imported(self, data: st.DataObject, broken: tuple[str, int] | None) -> None:
        number, archive = self.archives[data.draw(st.integers(0, len(self.archives) - 1))]
        story = self.stories[number]
        was_there = self.manifest(story) is not None

        def work() -> None:
            with suppress(ArchiveError):  # the id is taken, or the session is there in another state
                import_session(self.layout, io.BytesIO(archive))

        self.do(broken, work)
        if not was_there and (found := self.manifest(story)) is not None:
            story.imported, story.kept, story.evidence = True, True, listing(found)

    @rule(broken=BROKEN)
    def resealed(self, broken: tuple[str, int] | None) -> None:
        story = self.stories[2]
        manifest = self.manifest(story)
        if manifest is None or manifest.encryption is None:
            return
        arguments = (manifest.session_id, "-i", str(self.root / "key"), "--recipient", key_pair()[1])
        code = self.do(broken, lambda: self.aletheia("reseal", *arguments))
        assert broken or code == (0 if manifest.finished and not manifest.expiration_time else 1)

    @rule(number=STORIES, broken=BROKEN)
    def deleted_by_hand(self, number: int, broken: tuple[str, int] | None) -> None:
        story = self.stories[number]
        manifest = self.manifest(story)
        if manifest is None:
            return
        arguments = ("delete", manifest.session_id, "--yes")
        code = self.do(broken, lambda: self.aletheia(*arguments))
        assert broken or code == (1 if story.hold or story.noted is not None else 0)
        if self.manifest(story) is None:
            assert not story.hold
            assert story.noted is None
            self.forget(story)

    # what is looked at

    @invariant()
    def nothing_is_lost(self) -> None:
        for story in self.stories:
            manifest = self.manifest(story)
            if manifest is not None and manifest.finished and story.evidence is None and not manifest.expiration_time:
                story.evidence = listing(manifest)
            if story.evidence is None:
                continue
            assert manifest is not None, f"the session of {story} is gone"
            assert manifest.finished, story
            assert listing(manifest) == story.evidence
            assert (manifest.expiration_time is not None) == story.expired, story
            found = verify(self.layout.session(manifest.session_id))
            assert not found.missing, story
            assert not found.altered, story
            assert not found.extra or story.unsettled, (story, found.extra)

    @invariant()
    def nothing_is_locked(self) -> None:
        for entry in sessions(self.layout):
            with locked(entry.path):
                pass

    @invariant()
    def no_descriptor_leaks(self) -> None:
        assert len(os.listdir("/proc/self/fd")) <= getattr(self, "descriptors", 10**6)

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            shutil.rmtree(self.root)

    def settle(self) -> None:
        """Let an undisturbed operator start, resume captures and sweep."""
        self.sweeper = self.new_sweeper()
        for story in self.stories:
            if self.is_to_capture(story):
                self.capture(story, Memory(ANSWERS))
        for _ in range(3):
            self.sweep()
            self.look_for_what_went()
            self.clock.advance(GRACE_SECONDS)
        for story in self.stories:
            story.unsettled = False
        self.nothing_is_lost()
        for entry in sessions(self.layout):
            assert entry.manifest is not None, entry.fault
            assert entry.manifest.finished, f"{entry.session_id} is Running for ever"
            assert verify(entry.path).intact, entry
        left = [path.name for path in self.layout.sessions.glob(".*")] if self.layout.sessions.exists() else []
        assert left == []
        assert list(self.layout.sessions.rglob("*.part")) == []

    # how it is done

    def is_to_capture(self, story: Story) -> bool:
        """Return whether there is work: the resource exists, and its status does not say that the capture ended."""
        manifest = self.manifest(story)
        return story.exists and (story.evidence is None if manifest is None else True) and not story.expired

    def capture(self, story: Story, fetcher: Memory, cancel: bool = False) -> None:
        encryption = {"session": {"encryption": {"recipients": [key_pair()[1]]}}} if story.sealed else {}
        spec = {"retention": {"keep": story.keep}, **encryption}
        capture(self.root, fetcher, spec, now=self.clock, owner=story.owner, cancel=cancel)

    def sweep(self) -> None:
        for story in self.stories:
            if story.exists:
                self.note(story)
        self.serve()
        asyncio.run(self.sweeper.sweep())

    def note(self, story: Story) -> None:
        """Let the operator write the resource's settings to the volume if it has a session of it."""
        if self.manifest(story) is not None and not story.imported:
            story.kept, story.noted = story.keep, story.annotation

    def read_what_was_noted(self) -> None:
        """Read which settings were written by a pass that broke off."""
        for story in self.stories:
            if (manifest := self.manifest(story)) is not None:
                record = read_retention_record(self.layout, manifest.session_id)
                story.kept, story.noted = record.keep, record.legal_hold

    def serve(self) -> None:
        bodies = [story.body() for story in self.stories if story.exists]
        self.kubernetes.lists = {paths.investigations()[0]: bodies}
        self.kubernetes.objects = {
            CLUSTER: {"metadata": {"uid": "this-cluster"}},
            paths.CRD: {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}},
            **{paths.investigation("shop", body["metadata"]["name"]): body for body in bodies},
        }

    def look_for_what_went(self) -> None:
        """Assert that the operator was allowed to remove what it removed."""
        for story in self.stories:
            manifest = self.manifest(story)
            if manifest is None:
                assert story.evidence is None or story.may_go, f"{story} was removed"
                if story.may_go:
                    self.forget(story)
            elif manifest.expiration_time is not None and not story.expired:
                assert story.may_expire(manifest, self.clock), f"{story} was expired"
                story.expired = True

    def forget(self, story: Story) -> None:
        story.evidence, story.expired, story.imported, story.hold, story.kept, story.noted = (
            None,
            False,
            False,
            False,
            False,
            None,
        )

    def do(self, broken: tuple[str, int] | None, work: Callable[[], object]) -> object:
        """Do the work. With `broken` a process is killed at that step, or a call fails there."""
        if broken is None:
            return work()
        kind, at = broken
        fault = Fault(kind, at)

        def faulty() -> None:
            with fault.injected():
                work()

        if kind in ("kill", "torn"):
            in_child(faulty)
        else:
            with suppress(OSError, SessionBusy):
                faulty()
        return None

    def aletheia(self, command: str, *arguments: str) -> int:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return main(["session", command, f"--root={self.root}", *arguments])


def test_no_sequence_loses_or_leaves_anything(request: pytest.FixtureRequest) -> None:
    """As many sequences are tried as fit the unit tests, and more with --lives=1000."""
    lives = int(request.config.getoption("--lives"))
    run_state_machine_as_test(
        SessionLife,
        settings=settings(
            max_examples=lives,
            phases=[Phase.generate, Phase.target],
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
