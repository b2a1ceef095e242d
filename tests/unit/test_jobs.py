"""Captures as Jobs: who starts one, what it may be, and who goes on if it is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator import __main__ as command_line
from aletheia_operator.api import InvestigationSpec
from aletheia_operator.clients.errors import error_of
from aletheia_operator.clients.kill_timer import EXIT_CODE
from aletheia_operator.handlers import capture_process
from aletheia_operator.handlers.fence import FenceLost, fence_name, fenced
from aletheia_operator.handlers.job_objects import (
    STOPPED,
    UID_LABEL,
    UNREADY_SECONDS,
    JobState,
    JobWatch,
    investigation_of,
    is_large,
    job_of,
)
from aletheia_operator.session import InvestigationReference, journal
from aletheia_operator.settings import Settings
from tests.unit.fakes import LONGEST_TEST_SECONDS, NOW, UID, FakeFetcher, forever
from tests.unit.job_cluster import JOBS, LEASES, TEMPLATE, JobCluster
from tests.unit.supervising import Rig, make_body, no_delays

__all__ = ["no_delays"]
JOB = f"{JOBS}/{fence_name(UID)}"
OWNER = InvestigationReference(namespace="shop", name="incident", uid=UID)


def spec(**fields: Any) -> InvestigationSpec:
    return InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}], **fields})


def test_a_job_has_the_template_and_the_name_of_the_investigation() -> None:
    """Of the spec, only times are in it. Disruptions do not count as failures, and the PodTemplate owns it."""
    job = job_of(TEMPLATE, OWNER, spec(timeout="10m"))
    assert job["metadata"]["name"] == f"capture-{UID}" and len(job["metadata"]["name"]) <= 63
    assert job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "captures", UID_LABEL: UID}
    assert job["metadata"]["annotations"] == {"aletheia.dev/investigation": "shop/incident"}
    assert investigation_of(job) == OWNER
    assert [investigation_of({"metadata": {"name": "x", **other}}) for other in ({}, {"labels": {UID_LABEL: UID}})] == [
        None,
        None,
    ]
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-of-template"
    pod = job["spec"]["template"]
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/component": "capture", UID_LABEL: UID}
    assert pod["spec"]["containers"][0]["args"] == ["capture", "--session-root=/s", "shop", "incident", UID]
    assert (pod["spec"]["serviceAccountName"], pod["spec"]["restartPolicy"]) == ("capture", "Never")
    conditions, codes = job["spec"]["podFailurePolicy"]["rules"]
    assert conditions["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert codes["onExitCodes"]["values"] == [EXIT_CODE, STOPPED] == [14, 143]
    assert job["spec"]["podReplacementPolicy"] == "Failed", "never two pods at once"
    assert job["spec"]["activeDeadlineSeconds"] == 600 + 300
    assert "args" not in TEMPLATE["metadata"] and len(TEMPLATE["template"]["spec"]["containers"][0]["args"]) == 2


def test_an_upload_has_its_time() -> None:
    """It may last as long again, beside the capture."""
    asked = spec(timeout="10m", session={"upload": {"timeout": "20m"}})
    assert job_of(TEMPLATE, OWNER, asked)["spec"]["activeDeadlineSeconds"] == 600 + 1200 + 300


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": status}]}}


@pytest.mark.parametrize(
    ("job", "state"),
    [
        ({"status": {}}, JobState.RUNS),
        ({"status": {"active": 1, "ready": 1}}, JobState.RUNS),
        (condition("Complete"), JobState.COMPLETE),
        (condition("Failed"), JobState.FAILED),
        (condition("Failed", "False"), JobState.RUNS),
        (condition("FailureTarget"), JobState.RUNS),
    ],
)
def test_what_a_jobs_status_says(job: dict[str, Any], state: JobState) -> None:
    """A Job has ended if a condition says so."""
    assert JobWatch().see(job, 0.0) is state


def test_a_job_is_stuck_if_none_of_its_pods_runs() -> None:
    """The time counts from the last look at a ready pod. A Job that waits in a queue of the cluster is not stuck."""
    watch, ready, unready = JobWatch(), {"status": {"ready": 1}}, {"status": {"active": 1, "ready": 0}}
    assert watch.see(unready, 0.0) is JobState.RUNS
    assert watch.see(ready, UNREADY_SECONDS) is JobState.RUNS
    assert watch.see(unready, UNREADY_SECONDS + 1) is JobState.RUNS
    assert watch.see({"spec": {"suspend": True}, **unready}, 3 * UNREADY_SECONDS) is JobState.RUNS
    assert watch.see(unready, 4 * UNREADY_SECONDS) is JobState.RUNS
    assert watch.see(unready, 5 * UNREADY_SECONDS + 1) is JobState.LOST, "one of its pods was ready before"
    stuck = JobWatch()
    assert [stuck.see(unready, 0.0), stuck.see(unready, UNREADY_SECONDS + 1)] == [JobState.RUNS, JobState.STUCK]


def test_a_job_is_gone_if_two_lists_lack_it() -> None:
    """One list may be older than the Job."""
    watch = JobWatch()
    assert [watch.see(None, 0.0), watch.see(None, 0.0)] == [JobState.RUNS, JobState.GONE]
    assert [watch.see({}, 0.0), watch.see(None, 0.0)] == [JobState.RUNS, JobState.RUNS]


@pytest.mark.parametrize(
    ("asked", "questions", "large"),
    [
        ({}, 3, False),
        ({}, 101, True),
        ({}, 21, True),  # each may keep 50 MiB
        ({"events": {}}, 100, False),  # no logs
        ({"logs": {"limits": {"bytesPerContainer": "1Mi"}}}, 100, False),
        ({"logs": {"limits": {"bytesPerContainer": "2Gi"}}}, 1, True),
        ({"logs": {"limits": {"bytesPerContainer": "2Gi", "bytesPerInvestigation": "1Gi"}}}, 99, False),
    ],
)
def test_what_is_large(asked: dict[str, Any], questions: int, large: bool) -> None:
    """A plan of many questions, or logs of many bytes: by the limits of the spec, as if each question was a container."""
    assert is_large(spec(**asked), questions, 100, 1024**3) is large


@asynccontextmanager
async def operator(tmp_path: Path, cluster: JobCluster, mode: str = "job", **settings: Any) -> AsyncIterator[Rig]:
    """Yield an operator that runs captures as Jobs of the cluster."""
    cluster.root = tmp_path
    rig = Rig(tmp_path, FakeFetcher({"a": [[1]], "b": [[2]]}), cluster, cluster.clock, runner=cluster.runner(mode, **settings))
    try:
        yield rig
    finally:
        await rig.supervisor.close()
        for task in cluster.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def has_answered(cluster: JobCluster) -> bool:
    """Return whether the status shows one answered question."""
    return any((status.get("progress") or {}).get("done") == 1 for status in cluster.statuses)


def two() -> FakeFetcher:
    return FakeFetcher({"a": [[1]], "b": [[2]]})


async def test_a_job_captures_and_writes_the_last_status(tmp_path: Path) -> None:
    """The operator asks no source. It ends when the Job has ended, and releases the Lease and its slot."""
    cluster = JobCluster(fetcher=two())
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body())
        await rig.settled()
        assert rig.phases[-1] == "Completed"
        assert (rig.fetcher.asked, sorted(cluster.fetcher.asked)) == ([], ["a", "b"])
        assert [reason for _, reason, _ in rig.events] == ["Started"]
        posted = [body["reason"] for path, body in cluster.created if path.endswith("/events")]
        assert posted == ["Completed"], "the Job posts the end"
        assert cluster.stored[f"{LEASES}/{fence_name(UID)}"]["spec"]["holderIdentity"] == ""
        assert not rig.supervisor.shared.slots.taken()


async def test_an_operator_that_restarts_finds_the_job(tmp_path: Path) -> None:
    """The Job goes on while the operator is down, and is not created twice."""
    going = asyncio.Event()
    cluster = JobCluster(fetcher=FakeFetcher({"a": [[1], going.wait]}))
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body())
        await rig.until(lambda: cluster.fetcher.asked)
        await rig.supervisor.close()
        assert not cluster.deletions
        again = Rig(tmp_path, rig.fetcher, cluster, cluster.clock, runner=cluster.runner())
        again.show()
        going.set()
        await again.settled()
        assert (again.phases[-1], len(cluster.processes), rig.fetcher.asked) == ("Completed", 1, [])


@pytest.mark.parametrize("condition", ["Failed", "Complete"])
async def test_what_a_failed_job_left_goes_on_in_the_operator(tmp_path: Path, condition: str) -> None:
    """The session and its answers are kept, and nothing is asked twice."""
    cluster = JobCluster(fetcher=FakeFetcher({"a": [[1]], "b": [forever]}))
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body())
        await rig.until(lambda: "b" in cluster.fetcher.asked)
        await rig.until(lambda: has_answered(cluster))
        cluster.tasks[0].cancel()
        await asyncio.wait(cluster.tasks)
        cluster.finish(JOB, condition)
        await rig.settled()
        assert rig.phases[-1] == "Completed"
        assert rig.fetcher.asked == ["b"]
        assert len({status["session"]["id"] for status in cluster.statuses if "session" in status}) == 1
        assert not rig.supervisor.shared.slots.taken() and rig.runner is not None
        assert not rig.runner.inline_slots.taken()


async def test_a_job_that_somebody_deletes_is_created_again(tmp_path: Path) -> None:
    """Its pod stops, and the next one resumes the capture."""
    cluster = JobCluster(fetcher=FakeFetcher({"a": [[1]], "b": [forever]}))
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body())
        await rig.until(lambda: has_answered(cluster))
        cluster.fetcher = two()
        await cluster.delete(JOB, cluster.stored[JOB]["metadata"]["uid"], "Background")
        await rig.settled()
        assert rig.phases[-1] == "Completed"
        assert (cluster.fetcher.asked, rig.fetcher.asked, len(cluster.processes)) == (["b"], [], 2)
        assert await cluster.exit_code(0) == STOPPED


@pytest.mark.parametrize("status", [403, 404, 422, 503])
async def test_without_a_job_the_operator_captures(tmp_path: Path, status: int) -> None:
    """A quota, an admission policy or a missing PodTemplate may refuse it: evidence does not wait for that."""
    cluster = JobCluster(refusal=error_of(status, "no"))
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body())
        await rig.settled()
        assert (rig.phases[-1], sorted(rig.fetcher.asked)) == ("Completed", ["a", "b"])


async def test_a_job_that_does_not_start_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator captures instead: no node may have room for it."""
    cluster = JobCluster(runs_jobs=False)
    async with operator(tmp_path, cluster) as rig:
        assert rig.runner is not None
        moments = iter(range(0, 10**6, 50))
        rig.runner.jobs.clock = lambda: next(moments)
        rig.observe(make_body())
        await rig.settled()
        assert (rig.phases[-1], sorted(rig.fetcher.asked)) == ("Completed", ["a", "b"])
        assert cluster.deletions == [(fence_name(UID), "Background")]


async def test_a_job_that_lost_its_node_is_created_again(tmp_path: Path) -> None:
    """A second Job captures, not the operator: a capture that needs the memory of a Job may not fit into it."""
    cluster = JobCluster(runs_jobs=False)
    async with operator(tmp_path, cluster) as rig:
        assert rig.runner is not None
        clock = [0.0]
        rig.runner.jobs.clock = lambda: clock[0]
        rig.observe(make_body())
        await rig.until(lambda: JOB in cluster.stored)
        for ready in (1, 0):
            cluster.stored[JOB]["status"] = {"active": 1, "ready": ready}
            seen = len(cluster.lists_of_jobs)
            await rig.until(lambda seen=seen: len(cluster.lists_of_jobs) > seen + 1)  # type: ignore[misc]
        cluster.runs_jobs = True
        clock[0] = UNREADY_SECONDS + 1
        await rig.settled()
        assert (rig.phases[-1], rig.fetcher.asked, len(cluster.processes)) == ("Completed", [], 1)
        assert cluster.deletions == [(fence_name(UID), "Background")]


async def test_cancel_deletes_the_job_and_keeps_its_evidence(tmp_path: Path) -> None:
    """The Job's process finishes with what it has."""
    cluster = JobCluster(fetcher=FakeFetcher({"a": [[1]], "b": [forever]}))
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body())
        await rig.until(lambda: has_answered(cluster))
        cluster.put(make_body(generation=2, cancel=True))
        rig.show()
        await rig.settled()
        assert cluster.deletions == [(fence_name(UID), "Foreground")]
        assert (rig.phases[-1], await cluster.exit_code(0), rig.fetcher.asked) == ("Cancelled", 0, [])
        assert rig.last["artifactCount"] == 2


async def test_one_that_is_cancelled_before_it_starts_gets_no_job(tmp_path: Path) -> None:
    """It ends at once."""
    cluster = JobCluster()
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body(cancel=True))
        await rig.settled()
        assert (rig.phases[-1], cluster.processes, rig.fetcher.asked) == ("Cancelled", [], [])


async def test_the_job_of_a_deleted_investigation_is_deleted(tmp_path: Path) -> None:
    """Its process stops, and asks no source any more."""
    cluster = JobCluster(fetcher=FakeFetcher({"a": [forever]}))
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body())
        await rig.until(lambda: cluster.fetcher.asked)
        del cluster.stored["/apis/aletheia.dev/v1alpha1/namespaces/shop/investigations/incident"]
        rig.supervisor.forget(UID)
        await rig.supervisor.settled(UID)
        assert cluster.deletions == [(fence_name(UID), "Background")]
        assert await cluster.exit_code(0) == STOPPED


async def test_jobs_are_limited(tmp_path: Path) -> None:
    """The others wait in the fair queue, with the reason in the status."""
    going = asyncio.Event()
    cluster = JobCluster(fetcher=FakeFetcher({"a": [going.wait]}))
    async with operator(tmp_path, cluster, max_jobs=1) as rig:
        rig.observe(make_body())
        rig.observe(make_body("other"))
        await rig.until(lambda: cluster.fetcher.asked and "Queued" in rig.phases)
        assert len(cluster.processes) == 1
        going.set()
        await rig.settled()
        assert len(cluster.processes) == 2
        assert [status.get("phase") for status in cluster.statuses].count("Completed") == 2


async def test_jobs_of_an_earlier_process_count_for_the_limit(tmp_path: Path) -> None:
    """They have their slots before the operator begins others, in whatever order the watch shows them."""
    going = asyncio.Event()
    cluster = JobCluster(fetcher=FakeFetcher({"a": [[1], going.wait]}))
    async with operator(tmp_path, cluster, max_jobs=1) as rig:
        rig.observe(make_body())
        await rig.until(lambda: cluster.fetcher.asked)
        await rig.supervisor.close()
        runner = cluster.runner(max_jobs=1)
        await runner.reserve()
        again = Rig(tmp_path, rig.fetcher, cluster, cluster.clock, runner=runner)
        before = len(cluster.statuses)
        again.observe(make_body("other"))
        await again.until(lambda: "Queued" in [status.get("phase") for status in cluster.statuses[before:]])
        again.show()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert (len(cluster.processes), runner.reserved) == (1, {})
        going.set()
        await again.settled()
        assert len(cluster.processes) == 2
        assert [status.get("phase") for status in cluster.statuses[before:]].count("Queued") == 1, "not the one that runs"
        assert not runner.job_slots.taken()


async def test_the_slot_of_an_unclaimed_job_is_released(tmp_path: Path) -> None:
    """Its Investigation was deleted while no operator ran. One that has ended, or that the operator did not make, has none."""
    cluster = JobCluster(root=tmp_path)
    for name in ("runs", "over", "odd"):
        body = job_of(TEMPLATE, InvestigationReference(namespace="shop", name=name, uid=name), spec())
        if name == "odd":
            del body["metadata"]["annotations"]
        await cluster.create(JOBS, body)
    cluster.finish(f"{JOBS}/{fence_name('over')}", "Complete")
    runner = cluster.runner()
    await runner.reserve()
    assert (list(runner.reserved), runner.job_slots.taken()) == (["runs"], {"shop": 1})
    runner.release_unclaimed()
    assert (runner.reserved, runner.job_slots.taken()) == ({}, {})


async def test_an_operator_starts_without_a_list_of_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the limit may be exceeded for once."""
    cluster = JobCluster(root=tmp_path)

    async def list_(*_: Any, **__: Any) -> AsyncIterator[Any]:
        raise error_of(503, "down")
        yield

    monkeypatch.setattr(cluster, "list", list_)
    runner = cluster.runner()
    await runner.reserve()
    assert runner.reserved == {}


async def test_auto_keeps_a_small_capture(tmp_path: Path) -> None:
    """It runs in the operator, and holds its session's Lease."""
    cluster = JobCluster()
    async with operator(tmp_path, cluster, "auto") as rig:
        rig.observe(make_body())
        await rig.settled()
        assert (rig.phases[-1], sorted(rig.fetcher.asked), cluster.processes) == ("Completed", ["a", "b"], [])
        assert cluster.stored[f"{LEASES}/{fence_name(UID)}"]["spec"]["leaseTransitions"] == 0


async def test_auto_lets_a_large_capture_go_on_in_a_job(tmp_path: Path) -> None:
    """The Job asks the questions of the plan that the operator has made."""
    cluster = JobCluster(fetcher=two())
    async with operator(tmp_path, cluster, "auto", auto_questions=1) as rig:
        rig.observe(make_body())
        await rig.settled()
        assert (rig.phases[-1], rig.fetcher.asked, sorted(cluster.fetcher.asked)) == ("Completed", [], ["a", "b"])
        assert (rig.fetcher.planned, cluster.fetcher.planned) == (1, 0)
        assert [reason for _, reason, _ in rig.events] == ["Started"]


async def test_auto_goes_back_only_once(tmp_path: Path) -> None:
    """A large capture that its Job did not finish ends in the operator."""
    cluster = JobCluster(refusal=error_of(403, "quota"))
    async with operator(tmp_path, cluster, "auto", auto_questions=1) as rig:
        rig.observe(make_body())
        await rig.settled()
        assert (rig.phases[-1], sorted(rig.fetcher.asked)) == ("Completed", ["a", "b"])


async def test_auto_starts_a_job_for_what_waits_long(tmp_path: Path) -> None:
    """The queue of the operator is left if a Job may start."""
    cluster, going = JobCluster(fetcher=two()), asyncio.Event()
    async with operator(tmp_path, cluster, "auto", auto_wait_seconds=0.05) as rig:
        rig.fetcher.answers = {"a": [going.wait]}
        rig.observe(make_body("first"))
        await rig.until(lambda: rig.fetcher.asked)
        rig.observe(make_body())
        await rig.until(lambda: sorted(cluster.fetcher.asked) == ["a", "b"])
        going.set()
        await rig.settled()
        assert [status.get("phase") for status in cluster.statuses].count("Completed") == 2


async def test_an_operator_that_restarts_follows_a_job_that_auto_started(tmp_path: Path) -> None:
    """It does not wait for the Lease that the Job holds."""
    going = asyncio.Event()
    cluster = JobCluster(fetcher=FakeFetcher({"a": [[1]], "b": [going.wait]}))
    async with operator(tmp_path, cluster, "auto", auto_questions=1) as rig:
        rig.observe(make_body())
        await rig.until(lambda: cluster.fetcher.asked)
        await rig.supervisor.close()
        again = Rig(tmp_path, rig.fetcher, cluster, cluster.clock, runner=cluster.runner("auto"))
        again.show()
        going.set()
        await again.settled()
        assert (again.phases[-1], rig.fetcher.asked, len(cluster.processes)) == ("Completed", [], 1)


async def test_the_process_of_a_job_has_nothing_to_do(tmp_path: Path) -> None:
    """The Investigation is gone, another has its name, or it has ended: exit code 0, and no source is asked."""
    cluster = JobCluster(root=tmp_path)
    for body in (None, make_body("another") | {"metadata": make_body("another")["metadata"] | {"name": "incident"}}):
        if body is not None:
            cluster.put(body)
        assert await cluster.process(OWNER).run() == 0
    cluster.stored.clear()
    cluster.put(make_body(status={"phase": "Completed"}))
    assert await cluster.process(OWNER).run() == 0
    assert cluster.fetcher.asked == []


def blamed(root: Path) -> set[str]:
    """Return the questions of the one session against which a death of the process counts."""
    found = [journal.read(path, lambda artifact: True) for path in root.glob("sessions/INC-*/journal.ndjson")]
    return {key for progress in found for key in +progress.deaths}


async def forever_get(*_: Any, **__: Any) -> Any:
    await forever()


async def test_a_process_that_is_stopped_is_resumed(tmp_path: Path) -> None:
    """It keeps its answers, and gives the Lease back: the next one need not wait."""
    cluster = JobCluster(root=tmp_path, fetcher=FakeFetcher({"a": [[1]], "b": [forever]}))
    cluster.put(make_body())
    process = cluster.process(OWNER)
    running = asyncio.create_task(process.run())
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while not has_answered(cluster):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        process.stop()
        assert await running == STOPPED
        cluster.fetcher = two()
        assert await cluster.process(OWNER).run() == 0
    assert cluster.fetcher.asked == ["b"]


@pytest.mark.parametrize("answers", [True, False])
async def test_a_process_that_is_killed_while_it_stops_blames_no_question(tmp_path: Path, answers: bool) -> None:
    """SIGKILL may follow soon after SIGTERM, before the question has stopped, and while the API server does not answer."""
    stuck = asyncio.Event()

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await forever()
        await stuck.wait()

    cluster = JobCluster(root=tmp_path, fetcher=FakeFetcher({"a": [deaf]}))
    cluster.put(make_body())
    process = cluster.process(OWNER)
    running = asyncio.create_task(process.run())
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while blamed(tmp_path) != {"Fake/a"}:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if not answers:
            cluster.get = forever_get  # type: ignore[method-assign]
        process.stop()
        while blamed(tmp_path):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert not running.done()
        stuck.set()
        running.cancel()
        await asyncio.wait([running])


async def test_two_processes_never_work_on_a_session(tmp_path: Path) -> None:
    """The second waits for the Lease, and finds that the capture has ended."""
    going = asyncio.Event()
    cluster = JobCluster(root=tmp_path, fetcher=FakeFetcher({"a": [[1], going.wait]}))
    cluster.put(make_body())
    first = asyncio.create_task(cluster.process(OWNER).run())
    async with asyncio.timeout(LONGEST_TEST_SECONDS):
        while not cluster.fetcher.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        second = asyncio.create_task(cluster.process(OWNER).run())
        done, _ = await asyncio.wait({second}, timeout=0.3)
        assert not done
        going.set()
        assert [await first, await second] == [0, 0]
    assert cluster.fetcher.asked == ["a"]


class LostLease:
    """A Lease that is lost when `lost` is set: to the seconds until another may hold it."""

    name = "capture-x"

    def __init__(self) -> None:
        self.lost: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.released = False

    async def acquire(self) -> None:
        pass

    async def keep(self) -> float:
        return await self.lost

    async def release(self) -> None:
        self.released = True


@pytest.mark.logs_errors("Lease capture-x is lost")
@pytest.mark.parametrize("stops", [True, False])
async def test_work_without_its_lease_stops_or_the_process_ends(stops: bool) -> None:
    """The work has half of the time that is left."""
    lease: Any = LostLease()
    ended, hanging = [], asyncio.Event()

    async def work() -> None:
        try:
            lease.lost.set_result(0.02)
            await forever()
        finally:
            if not stops:
                await hanging.wait()

    def end() -> None:
        ended.append(True)
        hanging.set()

    with pytest.raises(FenceLost):
        await fenced(lease, work, end)
    assert bool(ended) is not stops


async def test_a_lease_is_kept_while_cancelled_work_stops() -> None:
    """Its threads may still write, so that no other process may get the Lease. It is given back afterwards."""
    lease: Any = LostLease()
    stopping, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            stopping.set()
            await may_end.wait()

    running = asyncio.create_task(fenced(lease, work, lambda: None))
    await asyncio.sleep(0.01)
    running.cancel()
    await stopping.wait()
    await asyncio.sleep(0.01)
    assert not lease.lost.done()
    assert not lease.released
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert lease.released


async def test_old_leases_are_removed(tmp_path: Path) -> None:
    """Those of captures that nobody has renewed for ten minutes; no others."""
    cluster = JobCluster(root=tmp_path)
    for name, age in (("capture-old", 601), ("capture-new", 599), ("leader", 10_000), ("capture-bare", None)):
        time = None if age is None else (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        await cluster.create(LEASES, {"metadata": {"name": name}, "spec": {"renewTime": time} if time else {}})
    await cluster.runner().jobs.remove_old_leases(NOW)
    left = [path.removeprefix(f"{LEASES}/") for path in cluster.stored if path.startswith(LEASES)]
    assert sorted(left) == ["capture-new", "leader"]


async def test_an_api_server_that_does_not_answer_ends_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator looks again."""
    cluster = JobCluster(fetcher=two())
    listing, faults = cluster.list, [error_of(503, "down"), error_of(500, "down")]

    async def list_(path: str, query: Any = None, **options: Any) -> AsyncIterator[Any]:
        if faults and path == JOBS:
            raise faults.pop()
        async for item in listing(path, query, **options):
            yield item

    monkeypatch.setattr(cluster, "list", list_)
    async with operator(tmp_path, cluster) as rig:
        rig.observe(make_body())
        await rig.settled()
        assert (rig.phases[-1], faults, rig.fetcher.asked) == ("Completed", [], [])


def test_the_command_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the operator's flags and an Investigation. Its code is the process' exit code."""
    started: list[Any] = []

    def capture(settings: Any, owner: Any) -> int:
        started.append((settings, owner))
        return EXIT_CODE

    monkeypatch.setattr(command_line, "capture", capture)
    with pytest.raises(SystemExit) as ended:
        command_line.main(["capture", "--session-root=/s", "--operator-namespace=here", "shop", "incident", UID])
    assert ended.value.code == EXIT_CODE
    ((settings, owner),) = started
    assert (settings.scope.operator_namespace, owner) == ("here", OWNER)


def test_a_capture_that_is_stopped_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 1 of a container would ignore SIGTERM, and be killed when it has begun."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def run(settings: Any, owner: Any) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr(capture_process, "run", run)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert command_line.capture(Settings(Path("/s")), OWNER) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert codes == [STOPPED]
