"""What a small capture costs: waits for the disk, in their order, and requests to the API server."""

import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.fetchers import FETCHERS
from aletheia_operator.fetchers.base import Sources
from aletheia_operator.fetchers.kubernetes.container_logs import ContainerLogs
from aletheia_operator.fetchers.kubernetes.pod_logs import PodLogs
from aletheia_operator.findings import Evidence
from aletheia_operator.investigate import journal_writer
from aletheia_operator.investigate.deadline import Deadline
from aletheia_operator.investigate.entry_readers import EntryReaders
from aletheia_operator.session import Manifest, Session
from tests.unit.capturing import run
from tests.unit.fakes import make_order, make_pod, make_tools, until
from tests.unit.kubernetes_api import CORE, KubernetesApi
from tests.unit.loopback import Request

LOG = b"2026-11-22T11:59:00.000000000Z INFO ready\n"
PARTS = Sources, EntryReaders, Evidence, ContainerLogs, PodLogs, Deadline, Session
MOST_SYNCS = 16
"""Each is needed: see docs/capacity.md."""
MOST_REQUESTS = 11


@dataclass
class WithLogs(KubernetesApi):
    """The API with a pod, and a log of one line for it."""

    def __post_init__(self) -> None:
        pod = make_pod()
        pod["metadata"]["creationTimestamp"] = "2026-11-22T11:00:00Z"
        self.objects = {f"{CORE}/pods/web-0": pod}

    def _answer(self, request: Request) -> None:
        path = request.path.partition("?")[0]
        if path.endswith("/log"):
            self.asked.append(path)
            request.send(200, LOG)
        else:
            super()._answer(request)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What was synced (`file`, `directory`) and renamed (`name`: the new path), in order."""
    found: list[tuple[str, Path]] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)
        found.append(("directory" if path.is_dir() else "file", path))

    def watched_rename(old: Any, new: Any) -> None:
        rename(old, new)
        found.append(("name", Path(new)))

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    return found


async def test_a_small_capture_is_cheap(tmp_path: Path, steps: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs, events and objects of one pod: the numbers of waits and requests, each of which a storm multiplies.

    On a busy machine the questions end too far apart to share a wait, so here they have more time for it.
    """
    for name in ("GROUP_SECONDS", "PLAN_SECONDS"):
        monkeypatch.setattr(journal_writer, name, 60.0)
    api = WithLogs()
    async with api.serve() as kubernetes:
        tools = make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes)
        await run(make_order("warms-up"), tools)
        steps.clear()
        api.asked.clear()
        snapshot = await run(make_order("counts"), tools)
    assert snapshot.manifest.phase == "Completed"
    assert len(snapshot.manifest.artifacts) == 6
    synced = [step for step in steps if step[0] != "name"]
    assert len(synced) <= MOST_SYNCS, synced
    assert len(api.asked) <= MOST_REQUESTS, api.asked
    assert api.asked.count(f"{CORE}/pods/web-0") == 1 + 1, "for the plan, and after the logs were read"


async def test_a_capture_is_freed_at_its_end(tmp_path: Path) -> None:
    """Without a collection of garbage: in a storm, each one pauses the event loop for as long as there is garbage."""
    gc.disable()
    try:
        async with WithLogs().serve() as kubernetes:
            tools = make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes)
            await run(make_order("warms-up"), tools)
            gc.collect()  # what the first import of the report's templates left
            before = parts()
            await run(make_order(), tools)
            await until(lambda: all(any(part is other for other in before) for part in parts()))  # a thread may still let go
    finally:
        gc.enable()


def parts() -> list[object]:
    """Return the parts of captures that are in memory."""
    return [found for found in gc.get_objects() if isinstance(found, PARTS)]


async def test_the_order_of_writes(tmp_path: Path, steps: list[tuple[str, Path]]) -> None:
    """A file is synced before it gets its name, evidence also after a synced line of the journal, the manifest comes last."""
    async with WithLogs().serve() as kubernetes:
        snapshot = await run(make_order(), make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes))
    session = Path(snapshot.path)
    journal, manifest = ("file", session / "journal.ndjson"), ("name", session / "manifest.json")
    at = {step: number for number, step in enumerate(steps)}  # the last time of each
    for artifact in snapshot.manifest.artifacts:
        path = session / artifact.path
        content, name = at["file", path.with_name(f"{path.name}.part")], at["name", path]
        assert content < name < at["directory", path.parent] < at[manifest] or path.parent == session
        assert name < at[manifest]
        if artifact.fetcher.startswith("Kubernetes"):
            assert any(step == journal for step in steps[content:name]), artifact.path
    assert steps[at[manifest] + 1 :] == [("directory", session)]
    names = [step for step in steps[: at[manifest]] if step[0] == "name" and step[1].parent == session]
    assert names[-1] == ("name", session / "report.html")
    assert ("directory", session) in steps[at[names[-1]] : at[manifest]], "the report's name is kept before the manifest is"


async def test_names_given_by_a_killed_process_are_synced_by_the_next(
    tmp_path: Path, steps: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot know whether they were. A crash of the machine after the manifest must not take them back."""

    def killed(session: Session, manifest: Manifest) -> str:
        raise OSError(5, "the process ends here")

    async with WithLogs().serve() as kubernetes:
        with monkeypatch.context() as patched:
            patched.setattr(Session, "finish", killed)
            await run(make_order(), make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes))
        steps.clear()
        snapshot = await run(make_order(), make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes))
    session = Path(snapshot.path)
    assert snapshot.manifest.phase == "Completed"
    before = steps[: steps.index(("name", session / "manifest.json"))]
    named = {(session / artifact.path).parent for artifact in snapshot.manifest.artifacts} | {session}
    assert {("directory", path) for path in named} <= set(before)
