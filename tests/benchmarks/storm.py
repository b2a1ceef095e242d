"""Many small Investigations at once: `python -m tests.benchmarks.storm`.

Each captures logs, events and objects of one pod. They are spread over the namespaces, and one operator process captures them.
Variants: the operator is killed meanwhile, many finished Investigations with sessions lie around, or one namespace has a
long queue and another one applies a single Investigation. Fails if one is lost or captured twice, or over the limits.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from aletheia_operator.api import GROUP, VERSION
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes, connect
from tests.benchmarks.aftermath import leave
from tests.cluster import provider
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, say
from tests.support.operator import Kubectl, Operator, check_session, free_port, investigation, pod, until
from tests.support.processes import image_environment

ALL = f"/apis/{GROUP}/{VERSION}/investigations"
CREATING = 16
"""Investigations that are created at the same time."""
SPEC = {"targets": [{"pod": "speaker"}], "window": {"lookback": "10m"}}
MOST_SECONDS, MOST_SECONDS_KILLED = 60.0, 90.0
MOST_MB = 250.0
MOST_SECONDS_OF_ONE = 5.0
PATIENCE_SECONDS = 900.0
CLUSTER_PROCESSES = ("kube-apiserver", "etcd", "kubelet", "containerd", "kube-controller")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """The ends of all Investigations, as the API server shows them."""

    ended: dict[str, float] = field(default_factory=dict)
    """Moment (monotonic) at which each Investigation, NAMESPACE/NAME, was first seen with its last status."""
    phases: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, kubernetes: Kubernetes) -> None:
        """Watch until this is cancelled."""
        version = (await kubernetes.get(ALL, {"limit": "1"}))["metadata"]["resourceVersion"]
        while True:
            query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "600", "allowWatchBookmarks": "true"}
            try:
                async with kubernetes.stream(ALL, query) as answer:
                    async for line in answer.content:
                        event = orjson.loads(line)
                        version = event["object"]["metadata"]["resourceVersion"]
                        self._see(event["object"])
            except SourceError:  # no event for long
                continue

    def _see(self, resource: Mapping[str, Any]) -> None:
        status = resource.get("status") or {}
        if status.get("completionTime"):
            title = f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
            self.ended.setdefault(title, time.monotonic())
            self.phases[title] = status["phase"]
            self.changed.set()

    async def until(self, titles: Sequence[str], number: int) -> None:
        """Wait until `number` of these Investigations have ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(title in self.ended for title in titles) < number:
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Storm:
    """A cluster with an operator, and what is measured there."""

    cluster: Cluster
    kubernetes: Kubernetes
    namespaces: Sequence[str]
    operator: Operator
    watch: Watch
    metrics_port: int
    cpu_seconds: float = 0.0

    async def create(self, names: Mapping[str, Sequence[str]]) -> list[str]:
        """Create Investigations; `names` has those of each namespace. Returns their titles."""
        gate = asyncio.Semaphore(CREATING)

        async def create(namespace: str, name: str) -> str:
            async with gate:
                path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/investigations"
                await self.kubernetes.create(path, investigation(name, **SPEC))
                return f"{namespace}/{name}"

        turns = [(namespace, name) for namespace, listed in names.items() for name in listed]
        turns.sort(key=lambda turn: (turn[1], turn[0]))  # one of each namespace in turn
        return list(await asyncio.gather(*(create(*turn) for turn in turns)))

    async def storm(self, prefix: str, count: int, kills: int) -> tuple[list[str], float]:
        """Create `count` Investigations, and wait until all have ended. Returns their titles, and the seconds.

        The operator is killed `kills` times meanwhile, at equal distances.
        """
        share = -(-count // len(self.namespaces))
        numbers = [f"{prefix}-{number:05}" for number in range(share)]
        began = time.monotonic()
        creating = asyncio.create_task(self.create(dict.fromkeys(self.namespaces, numbers)))
        titles = [f"{namespace}/{name}" for namespace in self.namespaces for name in numbers]
        for number in range(kills):
            await self.watch.until(titles, len(titles) * (number + 1) // (kills + 1))
            await asyncio.to_thread(self.operator.kill)
            await asyncio.to_thread(self.operator.start, wait=False)
        await creating
        await self.watch.until(titles, len(titles))
        return titles, max(self.watch.ended[title] for title in titles) - began

    async def one_beside_many(self, count: int) -> float:
        """Return the seconds of one Investigation of a namespace while another namespace has `count` queued."""
        crowded, quiet, *_ = self.namespaces
        titles = await self.create({crowded: [f"crowd-{number:05}" for number in range(count)]})
        began = time.monotonic()
        (title,) = await self.create({quiet: ["alone"]})
        await self.watch.until([title], 1)
        seconds = self.watch.ended[title] - began
        left = sum(other not in self.watch.ended for other in titles)
        say(f"one beside {left} that wait: {seconds:.1f} s")
        await self.watch.until(titles, len(titles))
        return seconds

    def requests(self) -> float:
        """Return how many requests the operator has sent to the API server."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(r'^aletheia_requests_total\{.*server="kubernetes"\} ([0-9.e+]+)$', text, re.MULTILINE)
        return sum(map(float, found))

    def faults(self, titles: Sequence[str]) -> list[str]:
        """Return what is wrong: lost, failed or doubly captured Investigations, damaged sessions."""
        found = [f"{title}: {self.watch.phases.get(title)}" for title in titles if self.watch.phases.get(title) != "Completed"]
        owners: dict[str, str] = {}
        wanted = set(titles)
        for session in sorted((self.operator.root / "sessions").iterdir()):
            owner = orjson.loads((session / "manifest.json").read_bytes())["investigation"]
            title = f"{owner['namespace']}/{owner['name']}"
            if title in wanted:
                check_session(session)
                if title in owners:
                    found.append(f"{title}: captured into {owners[title]} and {session.name}")
                owners[title] = session.name
        return found + [f"{title}: has no session" for title in titles if title not in owners]


def memory_mb(pid: int, field_name: str = "VmHWM") -> float:
    """Return a memory value of a process in MB of 10^6 bytes, by default its peak."""
    found = re.search(rf"^{field_name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its children."""
    children: list[str] = []  # of every thread: some start the processes that parse logs
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            children += path.read_text().split()
    total = 0
    for number in (str(pid), *children):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / TICKS_PER_SECOND


def cluster_seconds() -> float:
    """Return the processor time of the processes of all clusters on this machine."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = path.read_text().rpartition(")")
        except OSError:  # it has ended
            continue
        if head.partition("(")[2].startswith(CLUSTER_PROCESSES):
            total += sum(map(int, rest.split()[11:13]))
    return total / TICKS_PER_SECOND


@asynccontextmanager
async def watched_operator(
    kubernetes: Kubernetes, cluster: Cluster, root: Path, metrics_port: int, flags: Sequence[str] = ()
) -> AsyncIterator[tuple[Operator, Watch]]:
    """Run an operator of all namespaces as its image does, and watch Investigations. At the end the client is closed too."""
    flags = [f"--metrics-listen=127.0.0.1:{metrics_port}", *flags]
    operator = Operator(cluster, root, [], flags, environment=image_environment())
    await asyncio.to_thread(operator.start)
    watch = Watch()
    following = asyncio.create_task(watch.follow(kubernetes))
    try:
        yield operator, watch
    finally:
        following.cancel()
        await asyncio.to_thread(operator.stop)
        await kubernetes.close()


async def measure(options: argparse.Namespace, cluster: Cluster, directory: Path, namespaces: Sequence[str]) -> int:
    kubernetes = await connect(cluster.kubeconfig)
    root = directory / "volume"
    if options.finished:
        began = time.monotonic()
        await leave(kubernetes, root, namespaces, options.finished)
        say(f"{options.finished} finished Investigations and sessions are there after {time.monotonic() - began:.0f} s")
    port = free_port()
    async with watched_operator(kubernetes, cluster, root, port, options.option) as (operator, watch):
        storm = Storm(cluster, kubernetes, namespaces, operator, watch, port)
        await asyncio.sleep(options.settle)
        return await asyncio.wait_for(report(storm, options), PATIENCE_SECONDS)


async def report(storm: Storm, options: argparse.Namespace) -> int:
    resident, most_resident = memory_mb(storm.operator.pid, "VmRSS"), memory_mb(storm.operator.pid)
    say(f"the operator is idle with {resident:.0f} MB, and had at most {most_resident:.0f} MB")
    if options.beside:
        seconds = await storm.one_beside_many(options.count)
        print(f"one beside {options.count} of another namespace   {seconds:6.1f} s (at most {MOST_SECONDS_OF_ONE:.0f})")
        return int(seconds > MOST_SECONDS_OF_ONE)
    warm, _ = await storm.storm("warm", len(storm.namespaces), 0)
    requests, used, around = storm.requests(), cpu_seconds(storm.operator.pid), cluster_seconds()
    titles, seconds = await storm.storm("storm", options.count, options.kills)
    peak = memory_mb(storm.operator.pid)
    most = MOST_SECONDS_KILLED if options.kills else MOST_SECONDS
    print(f"{len(titles)} Investigations, {options.finished} finished ones around, {options.kills} kills")
    print(f"all ended after            {seconds:6.1f} s (at most {most:.0f})")
    print(f"peak memory of the operator{peak:6.0f} MB (at most {MOST_MB:.0f})")
    if not options.kills:
        used, around = cpu_seconds(storm.operator.pid) - used, cluster_seconds() - around
        print(f"processor time             {1000 * used / len(titles):6.1f} ms each")
        print(f"processor time of a cluster{1000 * around / len(titles):6.1f} ms each")
        print(f"requests to the API server {(storm.requests() - requests) / len(titles):6.1f} each")
    faults = storm.faults([*warm, *titles])
    print("\n".join(faults[:20]) or "none is lost, none is captured twice, every digest is right")
    return int(bool(faults) or seconds > most or peak > MOST_MB)


def prepare(cluster: Cluster, number: int) -> list[str]:
    """Make the namespaces, each with a pod that has logs. Returns their names."""
    cluster.run_kubectl("apply", "-f", str(ROOT / "crds"))
    namespaces = [f"storm-{index}" for index in range(number)]
    for namespace in namespaces:
        cluster.run_kubectl("create", "namespace", namespace)
    for namespace in namespaces:
        kubectl = Kubectl(cluster, namespace)
        until(partial(kubectl, "get", "serviceaccounts", "-o", "name"), 30, "there is a service account")
        kubectl.apply(pod("speaker", "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo INFO line $i; done; sleep 36000"))
    for namespace in namespaces:
        Kubectl(cluster, namespace).wait("pod/speaker", "condition=Ready")
    return namespaces


@contextmanager
def prepared(name: str, kubeconfig: Path | None, number: int) -> Iterator[tuple[Cluster, Path, list[str]]]:
    """Yield a cluster, an empty directory and this many namespaces with a pod each. `kubeconfig` None: start a cluster."""
    with ExitStack() as stack:
        cluster = provider.start(name, kubeconfig)
        if kubeconfig is None:
            stack.callback(cluster.stop)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        namespaces = prepare(cluster, number)
        stack.callback(cluster.run_kubectl, "delete", "namespace", *namespaces, timeout_seconds=600)
        yield cluster, directory, namespaces


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.storm", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run in this cluster; default: one that is started for it")
    parser.add_argument("--count", type=int, default=1000, help="Investigations at once")
    parser.add_argument("--namespaces", type=int, default=10)
    parser.add_argument("--kills", type=int, default=0, help="how often the operator is killed meanwhile")
    parser.add_argument("--finished", type=int, default=0, help="finished Investigations, with sessions, that lie around")
    parser.add_argument("--beside", action="store_true", help="one namespace applies all, and another one a single one")
    settle = "seconds between the operator's start and the storm; a log younger than 30 s costs one more request"
    parser.add_argument("--settle", type=float, default=30, help=settle)
    parser.add_argument("--option", action="append", default=[], help="a further flag of the operator")
    options = parser.parse_args()
    with prepared("storm", options.kubeconfig, options.namespaces) as (cluster, directory, namespaces):
        return asyncio.run(measure(options, cluster, directory, namespaces))


if __name__ == "__main__":
    sys.exit(main())
