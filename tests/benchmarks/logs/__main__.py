"""Compares capturing logs (parsed, hashed, on disk) with kubectl and stern: `python -m tests.benchmarks.logs`.

For a few large pods, and for many small ones. All programs run in turns, so that the ratios hold on a shared machine. The table
goes to `--table FILE`.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from tests.benchmarks.setting import at_once, setting, timed
from tests.cluster import programs
from tests.cluster.rig import bin_dir
from tests.support.kubelet import fake_kubelet, stamped, whole
from tests.support.logs import verification
from tests.support.operator import Kubectl, Operator, investigation, pod, until
from tests.support.processes import Memory, image_environment

NAMESPACE = "aletheia-benchmark-logs"
LIMITS = {"bytesPerContainer": "8Gi", "bytesPerInvestigation": "100Gi"}
Ways = dict[str, Callable[[int], None]]
SMALL_LINES = 50
SMALL_LINE = b"2026-11-22 15:21:07,123 INFO  [main] org.example.shop.Checkout: order %d handled"
NAMES = {
    "stern": "`stern --no-follow -o json > file`",
    "api": "Investigation, `logs.via: api`",
    "node": "Investigation, `logs.via: node`",
}
HEADING = """# How fast logs are captured

What an Investigation takes from `kubectl apply` until it is `Completed`: every line read, parsed, hashed and on disk. Its peak
memory is that of the operator and its parsers, as the limit of a container counts it: pages that they share are counted once.
Written by
`python -m tests.benchmarks.logs --rounds 1 --lines 250000 1750000 --table docs/logs-benchmark.md`.

"""
WRITER = """awk 'BEGIN { for (i = 0; i < %d; i++) {
  level = i %% 50 ? "INFO " : "ERROR"
  printf "2026-11-22 15:21:%%02d,%%03d %%s [worker-%%d] org.example.shop.Checkout: order %%d of user %%d handled in %%d ms\\n",
    i / 1000 %% 60, i %% 1000, level, i %% 16, i, i * 7 %% 9973, i %% 250 } }'; sleep 36000"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.logs", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run in this cluster; default: one that is started for it")
    parser.add_argument("--pods", type=int, default=8, help="large pods; 0: none")
    parser.add_argument("--lines", type=int, nargs="+", default=[250_000], help="of each large pod; several: one table each")
    parser.add_argument("--small-pods", type=int, default=1000, help="of a kubelet that is part of the benchmark; 0: none")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", action="append", help="measure only these ways")
    parser.add_argument("--option", action="append", default=[], help="a further flag of the operator")
    parser.add_argument("--table", type=Path, help="write the tables to this file, as Markdown")
    options = parser.parse_args()
    with ExitStack() as stack:
        kubectl, directory = setting(stack, options.kubeconfig, NAMESPACE)
        arguments = ["--node-logs", *verification(kubectl, directory), "--max-artifact-bytes=107374182400", *options.option]
        operator = Operator(
            kubectl.cluster, directory / "volume", [NAMESPACE], arguments, environment=image_environment()
        ).start()
        stack.callback(operator.stop)
        tables = []
        for lines in options.lines if options.pods else ():
            tables.append(large_pods(kubectl, operator, directory, lines, options))
        if options.small_pods:
            tables.append(small_pods(kubectl, operator, directory, options))
    text = "\n".join(tables)
    print(text)
    if options.table:
        options.table.write_text(HEADING + text)
    return 0


def large_pods(kubectl: Kubectl, operator: Operator, directory: Path, lines: int, options: argparse.Namespace) -> str:
    app = f"large-{lines}"
    names = [f"{app}-{number}" for number in range(options.pods)]
    size = fill(kubectl, names, lines, app)
    ways: Ways = {
        "kubectl": lambda number: by_kubectl(kubectl, names, directory),
        "stern": lambda number: by_stern(kubectl, directory, app),
        "api": partial(investigate, kubectl, "api", app),
        "node": partial(investigate, kubectl, "node", app),
    }
    measured = measure(ways, operator, options)
    kubectl("delete", "pods", "-l", f"app={app}", "--grace-period=0", "--force", timeout_seconds=300)
    what = f"{options.pods} pods of {lines:,} lines, {size / 1e6:.0f} MB"
    peer = f"{options.pods} × `kubectl logs --timestamps > file` at once"
    return report(what, {"kubectl": peer} | NAMES, measured, options.rounds)


def small_pods(kubectl: Kubectl, operator: Operator, directory: Path, options: argparse.Namespace) -> str:
    with fake_kubelet(kubectl, directory) as kubelet:
        started = datetime.now(UTC) - timedelta(minutes=5)
        lines = stamped([SMALL_LINE % number for number in range(SMALL_LINES)], started)
        names = [f"small-{number}" for number in range(options.small_pods)]
        kubelet.run_many({name: {"app": whole(lines)} for name in names}, started, {"app": "small"})
        ways: Ways = {
            "stern": lambda number: by_stern(kubectl, directory, "small"),
            "api": partial(investigate, kubectl, "api", "small"),
        }
        measured = measure(ways, operator, options)
    what = f"{options.small_pods:,} pods of {SMALL_LINES} lines, in one Investigation"
    return report(what, NAMES, measured, options.rounds)


@dataclass
class Measured:
    """The result of one program: seconds of each round, processor time (seconds), and peak memory (bytes; None if unknown)."""

    seconds: list[float] = field(default_factory=list)
    spent: float = 0.0
    peak: int = 0


def measure(ways: Ways, operator: Operator, options: argparse.Namespace) -> dict[str, Measured]:
    """Run each program in turn, round by round."""
    memory = Memory(operator.pid)
    measured = {way: Measured() for way in ways if not options.only or way in options.only}
    for number in range(options.rounds):
        for way, result in measured.items():
            others = children_seconds()
            with memory.watched():
                result.seconds.append(timed(partial(ways[way], number)))
            is_ours = way in ("api", "node")
            result.spent = memory.spent if is_ours else children_seconds() - others
            result.peak = max(result.peak, memory.peak) if is_ours else 0
            print(f"round {number + 1}: {way:8} {result.seconds[-1]:7.1f} s", flush=True)
    return measured


def fill(kubectl: Kubectl, names: list[str], lines: int, app: str) -> int:
    """Make pods that have written `lines` lines each. Returns the size of kubectl's output for all, in bytes."""
    kubectl.apply(*(pod(name, WRITER % lines, labels={"app": app}) for name in names))
    last = f"order {lines - 1} of"
    for name in names:
        kubectl.wait(f"pod/{name}", "condition=Ready", 180)
        until(partial(has_written, kubectl, name, last), 600, f"{name} has written all")
    return len(names) * lines * (31 + 119)


def has_written(kubectl: Kubectl, name: str, last: str) -> bool:
    return last in kubectl("logs", name, "--tail=1")


def by_kubectl(kubectl: Kubectl, names: list[str], directory: Path) -> None:
    """Run kubectl for all pods at the same time, each into a file."""
    base = [str(kubectl.cluster.kubectl), f"--kubeconfig={kubectl.cluster.kubeconfig}", "-n", NAMESPACE, "logs", "--timestamps"]
    at_once([[*base, name] for name in names], [directory / name for name in names], 1800)


def by_stern(kubectl: Kubectl, directory: Path, app: str) -> None:
    stern = bin_dir() / "stern"
    if not stern.exists():
        programs.build(programs.STERN)
    command = [str(stern), f"--kubeconfig={kubectl.cluster.kubeconfig}", "-n", NAMESPACE, "-l", f"app={app}", "--no-follow"]
    with (directory / "stern").open("wb") as file:
        arguments = [*command, "-o", "json", "-t", "--max-log-requests=100"]
        subprocess.run(arguments, stdout=file, stderr=subprocess.DEVNULL, check=True, timeout=1800)


def investigate(kubectl: Kubectl, via: str, app: str, number: int) -> None:
    name = f"{app}-{via}-{number}"
    logs = {"via": via, "limits": LIMITS}
    targets = [{"selector": {"matchLabels": {"app": app}}}]
    kubectl.apply(investigation(name, targets=targets, logs=logs, timeout="1h", window={"lookback": "12h"}))
    status = kubectl.ended(name, 1800)["status"]
    assert status["phase"] == "Completed", status["gaps"]


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(what: str, names: dict[str, str], measured: dict[str, Measured], rounds: int) -> str:
    seconds = {way: statistics.median(result.seconds) for way, result in measured.items()}
    rows = [
        f"{what}, {os.cpu_count()} cores, median of {rounds}:\n",
        "| way | seconds | of kubectl's time | of stern's time | processor time of its own, s | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    for way, result in measured.items():
        ratios = [f"{seconds[way] / seconds[peer]:.2f}" if peer in seconds else "" for peer in ("kubectl", "stern")]
        memory = f"{result.peak / 1e6:.0f}" if result.peak else ""
        rows.append(f"| {names[way]} | {seconds[way]:.1f} | {ratios[0]} | {ratios[1]} | {result.spent:.1f} | {memory} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
