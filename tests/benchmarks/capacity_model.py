"""What a cluster needs, computed from measured costs, and a simulation of many Investigations at once. Pure.

docs/capacity.md has the assumptions in words. `capacity.py` measures the costs, and compares the simulation with a real storm.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aletheia_operator.settings import Limits, RequestRates

DAY_SECONDS = 86_400
STEP_SECONDS = 0.005
API_SEATS = 600
"""Requests that an API server serves at once by default: --max-requests-inflight and --max-mutating-requests-inflight."""
API_SHARES = 245
"""Shares of the priority levels that Kubernetes makes: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/"""


@dataclass(frozen=True)
class Costs:
    """What one unit of each kind costs, as measured. CPU time is that of the operator and its worker processes."""

    idle_mb: float
    """Resident memory of an operator that waits."""
    capture_mb: float
    """Memory of each capture that runs, besides."""
    known_kb: float
    """Memory of each Investigation that exists."""
    investigation_ms: float
    """CPU time of an Investigation of one pod with few lines, in a storm."""
    investigation_bytes: float
    """Its size on the volume."""
    investigation_requests: float
    """Its requests to the API server, status and Events included."""
    cluster_ms: float
    """CPU time of the API server, etcd and the kubelet for it."""
    alone_seconds: float
    """Time that it runs when nothing else does."""
    pod_ms: float
    """CPU time of each further pod."""
    pod_bytes: float
    pod_requests: float
    object_ms: float
    """CPU time of each further object around the pods, for example a Service."""
    object_bytes: float
    line_us: float
    """CPU time of each line of a log."""
    line_bytes: float
    """Size of a line on the volume."""


@dataclass(frozen=True)
class Load:
    """What happens in a cluster."""

    nodes: int
    workloads_of_node: float = 10
    """Deployments and the like, for each node."""
    investigations_of_workload_day: float = 0.05
    """Investigations for each workload and day."""
    storm_part: float = 0.01
    """Part of the workloads that are investigated at once, when something common breaks."""
    pods: int = 3
    objects: int = 10
    lines_of_pod: int = 20_000
    """Pods, objects around them, and lines of each pod, in one Investigation."""
    kept_days: float = 7

    @property
    def workloads(self) -> int:
        return math.ceil(self.nodes * self.workloads_of_node)

    @property
    def per_day(self) -> int:
        """Investigations a day."""
        return math.ceil(self.workloads * self.investigations_of_workload_day)

    @property
    def storm(self) -> int:
        """Investigations at once."""
        return max(1, math.ceil(self.workloads * self.storm_part))


@dataclass(frozen=True)
class Capture:
    """What one Investigation of a load costs."""

    cpu_seconds: float
    bytes: float
    requests: float

    @classmethod
    def of(cls, load: Load, costs: Costs) -> "Capture":
        more, lines = load.pods - 1, load.pods * load.lines_of_pod
        milliseconds = costs.investigation_ms + more * costs.pod_ms + load.objects * costs.object_ms
        return cls(
            cpu_seconds=milliseconds / 1e3 + lines * costs.line_us / 1e6,
            bytes=costs.investigation_bytes
            + more * costs.pod_bytes
            + load.objects * costs.object_bytes
            + lines * costs.line_bytes,
            requests=costs.investigation_requests + more * costs.pod_requests,
        )


MOST_STORM_SECONDS = 120.0
"""A storm that takes one process longer than this should be spread over Jobs."""
VOLUME_SHARE = 0.8
"""Part of the volume that evidence may take: chart value volume.totalShare."""
REQUEST_SECONDS = 0.05
"""Time that a request takes the API server, for its seats; twice what was measured."""


@dataclass(frozen=True)
class Needs:
    """What a cluster needs."""

    load: Load
    capture: Capture
    inline_seconds: float
    """Time of a storm in one process."""
    processes: int
    """Processes with a core each that end a storm within MOST_STORM_SECONDS. 1: the operator alone."""
    cpu: float
    """Cores of the operator: one for its event loop, half for its workers, which parse logs."""
    memory_mb: float
    volume_bytes: float
    api_requests: float
    """Requests per second in a storm."""
    shares: int
    """`apiPriority.concurrencyShares` with which a storm does not wait for seats."""

    @classmethod
    def of(cls, load: Load, costs: Costs, limits: Limits | None = None, rates: RequestRates | None = None) -> "Needs":
        limits, rates = limits or Limits(), rates or RequestRates()
        capture = Capture.of(load, costs)
        kept = load.per_day * load.kept_days
        inline_seconds = max(load.storm * capture.cpu_seconds, load.storm / limits.max_investigations * costs.alone_seconds)
        processes = max(1, math.ceil(inline_seconds / MOST_STORM_SECONDS))
        running = min(load.storm, limits.max_investigations)
        memory = costs.idle_mb + running * costs.capture_mb + (kept + load.storm) * costs.known_kb / 1e3
        speed = load.storm / max(inline_seconds / processes, costs.alone_seconds)
        wanted = speed * capture.requests
        requests = min(wanted, rates.api_requests) if rates.api_requests else wanted
        seats = max(1.0, requests * REQUEST_SECONDS)
        return cls(
            load=load,
            capture=capture,
            inline_seconds=inline_seconds,
            processes=processes,
            cpu=1.5 if processes == 1 else 2.0,
            memory_mb=memory,
            volume_bytes=(kept + load.storm) * capture.bytes / VOLUME_SHARE,
            api_requests=requests,
            shares=max(5, math.ceil(seats * API_SHARES / (API_SEATS - seats))),
        )


def table(costs: Costs, sizes: Sequence[int] = (50, 1_000, 10_000)) -> str:
    """Return the needs of clusters of these numbers of nodes, as a table in Markdown."""
    needs = [Needs.of(Load(nodes), costs) for nodes in sizes]
    rows: Mapping[str, list[str]] = {
        "": [f"{each.load.nodes:,} nodes" for each in needs],
        "Investigations a day, at once": [f"{each.load.per_day:,}, {each.load.storm:,}" for each in needs],
        "CPU time of one": [f"{each.capture.cpu_seconds:.2f} s" for each in needs],
        "size of one": [f"{each.capture.bytes / 1e6:.0f} MB" for each in needs],
        "all at once, in one process": [f"{each.inline_seconds:,.0f} s" for each in needs],
        f"processes, to end within {MOST_STORM_SECONDS:.0f} s": [str(each.processes) for each in needs],
        "`runner.mode`": ["`inline`" if each.processes == 1 else "`auto`" for each in needs],
        "operator: CPU (`resources`)": [f"{each.cpu:g}" for each in needs],
        "operator: memory (`resources`)": [f"{math.ceil(1.5 * each.memory_mb / 64) * 64:,} Mi" for each in needs],
        "session volume (`persistence.size`)": [f"{max(1, math.ceil(each.volume_bytes / 2**30)):,} Gi" for each in needs],
        "requests to the API server": [f"{each.api_requests:.0f}/s" for each in needs],
        "`apiPriority.concurrencyShares`": [str(max(20, each.shares)) for each in needs],
    }
    lines = [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return "\n".join([lines[0], "|---|" + "---:|" * len(needs), *lines[1:]])


def cost_table(costs: Costs) -> str:
    """Return the costs as a table in Markdown."""
    rows = (
        ("| One | CPU time | on the volume | requests to the API server |", "|---|---:|---:|---:|"),
        (
            f"| Investigation of one pod with 100 lines | {costs.investigation_ms:.0f} ms |"
            f" {costs.investigation_bytes / 1e3:.0f} kB | {costs.investigation_requests:.0f} |",
        ),
        (f"| further pod | {costs.pod_ms:.1f} ms | {costs.pod_bytes / 1e3:.0f} kB | {costs.pod_requests:.0f} |",),
        (f"| further object around the pods | {costs.object_ms:.1f} ms | {costs.object_bytes / 1e3:.1f} kB | 0 |",),
        (f"| 1,000 lines | {costs.line_us:.1f} ms | {costs.line_bytes:.0f} kB | 0 |",),
    )
    return "\n".join(line for lines in rows for line in lines)


@dataclass
class _Job:
    """One simulated Investigation: it waits for others (`idle`), then for the cluster's processor, then for the operator's."""

    namespace: int
    idle: float
    cluster: float
    operator: float


def simulate(
    costs: Costs, namespaces: Sequence[int], cores: float, slots: int, slots_of_one: int, process_cores: float = 1.0
) -> list[float]:
    """Return when each Investigation ends, in seconds, by namespace in the order in which they are created at once.

    `namespaces`: number of Investigations of each. `process_cores`: of the operator, in which one thread computes at a time.
    Namespaces take turns. Those that run share the cluster's processors equally; the operator's thread serves the oldest first.
    """
    busy = (costs.investigation_ms + costs.cluster_ms) / 1e3
    idle = max(0.0, costs.alone_seconds - busy)

    def job(namespace: int) -> _Job:
        return _Job(namespace, idle, costs.cluster_ms / 1e3, costs.investigation_ms / 1e3)

    waiting = [deque(job(namespace) for _ in range(count)) for namespace, count in enumerate(namespaces)]
    running: list[_Job] = []
    ends: list[list[float]] = [[] for _ in namespaces]
    now, turn = 0.0, 0
    while running or any(waiting):
        turn = _start(waiting, running, turn, slots, slots_of_one)
        _advance(running, cores, process_cores)
        now += STEP_SECONDS
        for each in [each for each in running if each.operator <= 1e-9]:
            running.remove(each)
            ends[each.namespace].append(now)
    return [end for listed in ends for end in listed]


def _start(waiting: Sequence[deque[_Job]], running: list[_Job], turn: int, slots: int, slots_of_one: int) -> int:
    """Start what may start, one of each namespace in turn. Returns the namespace that is next."""
    passed = 0
    while len(running) < slots and passed < len(waiting):
        namespace = turn % len(waiting)
        turn += 1
        if waiting[namespace] and sum(each.namespace == namespace for each in running) < slots_of_one:
            running.append(waiting[namespace].popleft())
            passed = 0
        else:
            passed += 1
    return turn


def _advance(running: Sequence[_Job], cores: float, process_cores: float) -> None:
    """Let every running job go on for one step."""
    at_cluster = [each for each in running if each.idle <= 0 and each.cluster > 1e-9]
    at_operator = [each for each in running if each.idle <= 0 and each.cluster <= 1e-9]
    for_operator = min(process_cores, float(len(at_operator)))
    for_cluster = min(cores, float(len(at_cluster)))
    if (wanted := for_operator + for_cluster) > cores:
        for_operator, for_cluster = for_operator * cores / wanted, for_cluster * cores / wanted
    for each in running:
        if each.idle > 0:
            each.idle -= STEP_SECONDS
    for each in at_cluster:
        each.cluster -= STEP_SECONDS * for_cluster / len(at_cluster)
    left = STEP_SECONDS * for_operator
    for each in at_operator:  # the oldest first: its steps are nearer to their end
        part = min(left, each.operator, STEP_SECONDS)
        each.operator -= part
        left -= part
