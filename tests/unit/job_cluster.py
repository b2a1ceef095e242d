"""A cluster that runs Jobs of captures: each as a task of the test, with the code of the Job's process."""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aletheia_operator.clients.errors import SourceError, error_of
from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.clients.lease import Lease, LeaseTimes
from aletheia_operator.handlers.capture_process import CaptureProcess
from aletheia_operator.handlers.fence import fence_name
from aletheia_operator.handlers.jobs import Jobs
from aletheia_operator.handlers.placement import JobRunner
from aletheia_operator.session import InvestigationReference
from aletheia_operator.settings import Runner, Scope, Settings
from tests.unit.fakes import LONGEST_TEST_SECONDS, Clock, FakeFetcher, FakeInvestigations, make_tools

SYSTEM = "aletheia-system"
JOBS = f"/apis/batch/v1/namespaces/{SYSTEM}/jobs"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
TEMPLATE_PATH = f"/api/v1/namespaces/{SYSTEM}/podtemplates/captures"
TEMPLATE: dict[str, Any] = {
    "metadata": {"name": "captures", "uid": "uid-of-template", "labels": {"kueue.x-k8s.io/queue-name": "captures"}},
    "template": {
        "metadata": {"labels": {"app.kubernetes.io/component": "capture"}},
        "spec": {
            "serviceAccountName": "capture",
            "containers": [{"name": "capture", "args": ["capture", "--session-root=/s"]}],
        },
    },
}


@dataclass
class JobCluster(FakeInvestigations):
    """Investigations, Jobs, Leases and a PodTemplate. `fetcher` answers in Jobs."""

    root: Path = Path()
    fetcher: FakeFetcher = field(default_factory=lambda: FakeFetcher({"a": [[1]]}))
    clock: Clock = field(default_factory=Clock)
    runs_jobs: bool = True
    """Whether pods of Jobs start."""
    refusal: SourceError | None = None
    """Error of every request to create a Job."""
    processes: list[CaptureProcess] = field(default_factory=list)
    tasks: list[asyncio.Task[int]] = field(default_factory=list)
    deletions: list[tuple[str, str | None]] = field(default_factory=list)
    """Names of deleted Jobs, and the propagation."""
    lists_of_jobs: list[int] = field(default_factory=list)
    """Number of Jobs in each list that was answered."""
    _pods: dict[str, asyncio.Task[int]] = field(init=False, default_factory=dict)  # the last of each Job

    def __post_init__(self) -> None:
        self.stored[TEMPLATE_PATH] = TEMPLATE

    async def create(self, path: str, body: Mapping[str, Any]) -> Any:
        if path not in (JOBS, LEASES):
            return await super().create(path, body)
        if path == JOBS and self.refusal is not None:
            raise self.refusal
        full = f"{path}/{body['metadata']['name']}"
        if full in self.stored:
            raise error_of(409, "the Kubernetes API answered 409: it exists")
        stored = self._store(full, body)
        if path == JOBS:
            self.created.append((path, copy.deepcopy(dict(body))))
            if self.runs_jobs:
                self.start(full)
        return stored

    async def replace(self, path: str, body: Mapping[str, Any]) -> Any:
        if path not in self.stored:
            raise error_of(404, "not found")
        if body["metadata"].get("resourceVersion") != self.stored[path]["metadata"]["resourceVersion"]:
            raise error_of(409, "it was changed")
        return self._store(path, body)

    async def delete(self, path: str, uid: str, propagation: str | None = None) -> None:
        assert self.stored.pop(path)["metadata"]["uid"] == uid
        if path.startswith(JOBS):
            self.deletions.append((path.removeprefix(f"{JOBS}/"), propagation))
            for process in self.processes:
                if fence_name(process.owner.uid) in path:
                    process.stop()

    async def list(
        self, path: str, query: Mapping[str, str] | None = None, *, metadata_only: bool = False
    ) -> AsyncIterator[Any]:
        items = [copy.deepcopy(body) for found, body in self.stored.items() if found.startswith(f"{path}/")]
        for item in items:
            yield item
        if path == JOBS:
            self.lists_of_jobs.append(len(items))

    def start(self, path: str) -> None:
        """Start a pod of the Job."""
        namespace, name, uid = self.stored[path]["spec"]["template"]["spec"]["containers"][0]["args"][-3:]
        process = self.process(InvestigationReference(namespace=namespace, name=name, uid=uid))
        self.processes.append(process)
        task = asyncio.create_task(process.run())
        task.add_done_callback(partial(self._ended, path))
        self.tasks.append(task)
        self._pods[path] = task
        self.stored[path]["status"] = {"active": 1, "ready": 1}

    async def exit_code(self, index: int) -> int:
        """Return how the process of a pod ended. It writes the last status shortly before its end."""
        async with asyncio.timeout(LONGEST_TEST_SECONDS):
            await asyncio.wait([self.tasks[index]])
        return _code(self.tasks[index])

    def finish(self, path: str, condition: str) -> None:
        """Let the Job end with this condition, unless it was deleted."""
        if path in self.stored:
            self.stored[path]["status"] = {"conditions": [{"type": condition, "status": "True"}]}

    def _ended(self, path: str, task: asyncio.Task[int]) -> None:
        """Let the Job end with its process, unless it was deleted, and another with its name has another process by now."""
        if self._pods[path] is task:
            self.finish(path, "Complete" if _code(task) == 0 else "Failed")

    def process(self, owner: InvestigationReference) -> CaptureProcess:
        """Return the process of a Job."""
        tools = make_tools(self.root, self.fetcher, kubernetes=self, now=self.clock)
        settings = Settings(self.root, scope=Scope(operator_namespace=SYSTEM, identity="flight"))
        return CaptureProcess(settings, owner, tools, self.lease(owner.uid))

    def lease(self, uid: str) -> Lease:
        """Return the part of one more process in the Lease of an Investigation. It does not expire on a busy machine."""

        async def soon(seconds: float) -> None:
            await asyncio.sleep(0.02)

        return Lease(self.real(), SYSTEM, fence_name(uid), LeaseTimes(600.0), sleep=soon)

    def runner(self, mode: str = "job", **settings: Any) -> JobRunner:
        """Return what the operator needs to run captures as Jobs, without delays."""

        async def soon(seconds: float) -> None:
            await asyncio.sleep(0.002)

        made = Runner(mode=mode, **settings)
        return JobRunner(
            settings=made,
            jobs=Jobs(self.real(), SYSTEM, "captures", sleep=soon),
            job_slots=FairSlots(made.max_jobs, made.max_jobs),
            inline_slots=FairSlots(1, 1),
            lease=self.lease,
        )

    def _store(self, path: str, body: Mapping[str, Any]) -> Any:
        before = self.stored.get(path, {"metadata": {}})["metadata"]
        version = str(int(before.get("resourceVersion", 0)) + 1)
        stored = copy.deepcopy(dict(body))
        stored["metadata"] |= {"resourceVersion": version, "uid": before.get("uid", f"uid-of-{path}")}
        self.stored[path] = stored
        return copy.deepcopy(stored)


def _code(task: asyncio.Task[int]) -> int:
    return 137 if task.cancelled() or task.exception() is not None else task.result()
