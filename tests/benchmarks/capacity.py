"""What captures cost, and what clusters need: `python -m tests.benchmarks.capacity`.

Measures the costs on a cluster, prints the table of docs/capacity.md from them, and compares the model's simulation with a
storm and with one Investigation beside many. `--costs FILE` computes from costs that were measured before, without a cluster.
Fails if the simulation is further from the measurement than MOST_DEVIATION.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from aletheia_operator.clients.kubernetes import connect
from aletheia_operator.settings import Limits
from tests.benchmarks.capacity_model import Costs, cost_table, simulate, table
from tests.benchmarks.storm import (
    SPEC,
    TICKS_PER_SECOND,
    Storm,
    cluster_seconds,
    cpu_seconds,
    memory_mb,
    prepared,
    watched_operator,
)
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, say
from tests.support.operator import Kubectl, free_port, session_of

RECORDED = ROOT / "tests" / "data" / "capacity.json"
"""The costs from which the table of docs/capacity.md is computed."""
LINES, PODS, SERVICES = 120_000, 12, 40
ROUNDS = 5
MOST_DEVIATION = 0.4


def load(path: Path) -> Costs:
    """Return recorded costs."""
    return Costs(**orjson.loads(path.read_bytes()))


@dataclass(frozen=True)
class Cost:
    """What one Investigation cost."""

    cpu_ms: float
    size_bytes: float
    requests: float
    seconds: float
    entries: dict[str, int]
    """Number of entries by fetcher."""


@dataclass
class Measuring:
    """A cluster with an operator, and one namespace with pods to capture."""

    storm: Storm
    kubectl: Kubectl
    number: int = 0

    def cost(self, **spec: Any) -> Cost:
        """Return the costs of an Investigation: means of some rounds, the first of which does not count."""
        rounds = [self._once(spec) for _ in range(ROUNDS + 1)][1:]

        def mean(of: Callable[[Cost], float]) -> float:
            return statistics.fmean(map(of, rounds))

        return Cost(
            mean(lambda cost: cost.cpu_ms),
            mean(lambda cost: cost.size_bytes),
            mean(lambda cost: cost.requests),
            min(cost.seconds for cost in rounds),
            rounds[-1].entries,
        )

    def _once(self, spec: dict[str, Any]) -> Cost:
        self.number += 1
        pid, requests = self.storm.operator.pid, self.storm.requests()
        used = cpu_seconds(pid)
        resource = self.kubectl.investigate(f"cost-{self.number}", **spec)
        assert resource["status"]["phase"] == "Completed", resource["status"]["gaps"]
        session = session_of(resource, self.storm.operator.root)
        size = sum(path.stat().st_size for path in session.rglob("*") if path.is_file())
        entries: dict[str, int] = {}
        manifest = orjson.loads((session / "manifest.json").read_bytes())
        begin, window_end, end = map(
            datetime.fromisoformat, (manifest["startTime"], manifest["window"][1], manifest["completionTime"])
        )
        seconds = (end - max(begin, window_end)).total_seconds()  # in a storm, the window is over when a capture begins
        for artifact in manifest["artifacts"]:
            entries[artifact["fetcher"]] = entries.get(artifact["fetcher"], 0) + artifact["count"]
        spent = 1000 * (cpu_seconds(pid) - used)
        return Cost(spent, size, self.storm.requests() - requests, seconds, entries)


@dataclass(frozen=True)
class Usage:
    """Processor time since the start, in seconds: of the operator, of the cluster's processes, and that nobody used."""

    operator: float
    cluster: float
    idle: float

    @classmethod
    def now(cls, pid: int) -> "Usage":
        idle, waiting = map(int, Path("/proc/stat").read_text().split()[4:6])
        return cls(cpu_seconds(pid), cluster_seconds(), (idle + waiting) / TICKS_PER_SECOND)

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.operator - other.operator, self.cluster - other.cluster, self.idle - other.idle)


@dataclass(frozen=True)
class Measured:
    """The costs, and the seconds of a storm and of one Investigation beside many."""

    costs: Costs
    storm_seconds: float
    beside_seconds: float
    cores: float
    """Cores that other programs of this machine left to the storm."""


def prepare_costs(kubectl: Kubectl) -> None:
    """Make a pod with many lines, a Deployment of pods, and pods with Services around."""
    line = "INFO request $i handled in 12 ms by worker 7 of the shop"
    script = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo {line}; done; echo end"
    container = {"name": "app", "image": "docker.io/library/busybox:1.36", "imagePullPolicy": "IfNotPresent"}

    def pod(name: str, script: str, labels: dict[str, str]) -> dict[str, Any]:
        spec = {"terminationGracePeriodSeconds": 0, "containers": [{**container, "command": ["sh", "-c", script]}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}

    few = "echo INFO started; sleep 36000"
    template = pod("many", few, {"app": "many"})
    spec = {"replicas": PODS, "selector": {"matchLabels": {"app": "many"}}}
    spec["template"] = {"metadata": {"labels": {"app": "many"}}, "spec": template["spec"]}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"}, "spec": spec}
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"service-{number}"},
            "spec": {"selector": {"app": "served"}, "ports": [{"port": 80}]},
        }
        for number in range(SERVICES)
    ]
    pods = [pod("talker", f"{script}; sleep 36000", {"app": "talker"}), pod("served", few, {"app": "served"})]
    kubectl.apply(*pods, deployment, *services)
    kubectl("rollout", "status", "deployment/many", "--timeout=180s", timeout_seconds=200)
    kubectl.wait("pod/served", "condition=Ready", 120)
    deadline = time.monotonic() + 180
    while kubectl("logs", "talker", "--tail=1").strip() != "end":
        assert time.monotonic() < deadline, "the talker has not ended"
        time.sleep(1)


async def measure(options: argparse.Namespace, cluster: Cluster, directory: Path, namespaces: Sequence[str]) -> Measured:
    kubernetes = await connect(cluster.kubeconfig)
    port = free_port()
    async with watched_operator(kubernetes, cluster, directory / "volume", port) as (operator, watch):
        storm = Storm(cluster, kubernetes, namespaces, operator, watch, port)
        idle = memory_mb(operator.pid, "VmRSS")
        measuring = Measuring(storm, Kubectl(cluster, namespaces[0]))
        await asyncio.to_thread(prepare_costs, measuring.kubectl)
        small = await asyncio.to_thread(measuring.cost, **SPEC)
        many = await asyncio.to_thread(measuring.cost, targets=[{"workload": {"kind": "Deployment", "name": "many"}}])
        served = await asyncio.to_thread(measuring.cost, targets=[{"pod": "served"}])
        talker = await asyncio.to_thread(measuring.cost, targets=[{"pod": "talker"}], logs={}, window={"lookback": "1h"})
        few = await asyncio.to_thread(measuring.cost, targets=[{"pod": "speaker"}], logs={}, window={"lookback": "1h"})
        say(f"small {small}\n{PODS} pods {many}\nserved {served}\n{LINES} lines {talker}\nfew lines {few}")
        before = memory_mb(operator.pid, "VmRSS")
        requests, usage = storm.requests(), Usage.now(operator.pid)
        titles, seconds = await storm.storm("storm", options.count, 0)
        peak, spent, asked = memory_mb(operator.pid), Usage.now(operator.pid) - usage, storm.requests() - requests
        after = memory_mb(operator.pid, "VmRSS")
        beside_seconds = await storm.one_beside_many(options.count)
        objects = max(1, served.entries.get("KubernetesObjects", 0) - small.entries.get("KubernetesObjects", 0))
        costs = Costs(
            idle_mb=idle,
            capture_mb=max(0.0, peak - before) / Limits.max_investigations,
            known_kb=1e3 * max(0.0, memory_mb(operator.pid, "VmRSS") - after) / options.count,
            investigation_ms=1e3 * spent.operator / len(titles),
            investigation_bytes=small.size_bytes,
            investigation_requests=asked / len(titles),
            cluster_ms=1e3 * spent.cluster / len(titles),
            alone_seconds=small.seconds,
            pod_ms=max(0.0, many.cpu_ms - small.cpu_ms) / (PODS - 1),
            pod_bytes=(many.size_bytes - small.size_bytes) / (PODS - 1),
            pod_requests=(many.requests - small.requests) / (PODS - 1),
            object_ms=max(0.0, served.cpu_ms - small.cpu_ms) / objects,
            object_bytes=(served.size_bytes - small.size_bytes) / objects,
            line_us=1e3 * max(0.0, talker.cpu_ms - few.cpu_ms) / LINES,
            line_bytes=(talker.size_bytes - few.size_bytes) / LINES,
        )
        return Measured(costs, seconds, beside_seconds, (spent.operator + spent.cluster + spent.idle) / seconds)


def compare(measured: Measured, count: int, namespaces: int) -> bool:
    """Print measured and simulated times. Returns whether they agree."""
    costs, cores, limits = measured.costs, measured.cores, Limits()
    slots = limits.max_investigations, limits.namespace_investigations
    storm = max(simulate(costs, [count // namespaces] * namespaces, cores, *slots, process_cores=min(1.0, cores)))
    beside = simulate(costs, [count, 1], cores, *slots, process_cores=min(1.0, cores))[-1]
    deviation = abs(storm - measured.storm_seconds) / measured.storm_seconds
    print(f"{cores:.2f} cores of {os.cpu_count()} were left to the storm")
    print(f"{count} at once: measured {measured.storm_seconds:.1f} s, simulated {storm:.1f} s ({100 * deviation:.0f} % apart)")
    print(f"one beside {count}: measured {measured.beside_seconds:.1f} s, simulated {beside:.1f} s")
    return deviation <= MOST_DEVIATION


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.capacity", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run in this cluster; default: one that is started for it")
    parser.add_argument("--costs", type=Path, help="compute from these costs, without a cluster")
    parser.add_argument("--count", type=int, default=200, help="Investigations at once")
    parser.add_argument("--namespaces", type=int, default=10)
    parser.add_argument("--record", type=Path, help="where the measured costs are written to")
    options = parser.parse_args()
    if options.costs:
        print(f"{table(load(options.costs))}\n\n{cost_table(load(options.costs))}")
        return 0
    with prepared("capacity", options.kubeconfig, options.namespaces) as (cluster, directory, namespaces):
        measured = asyncio.run(measure(options, cluster, directory, namespaces))
    rounded = {name: float(f"{value:.3g}") for name, value in asdict(measured.costs).items()}
    text = orjson.dumps(rounded, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    print(text.decode())
    if options.record:
        options.record.write_bytes(text)
    print(table(Costs(**rounded)))
    return int(not compare(measured, options.count, options.namespaces))


if __name__ == "__main__":
    sys.exit(main())
