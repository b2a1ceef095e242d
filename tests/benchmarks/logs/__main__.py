"""Logs of large pods, captured, parsed, hashed and on disk, beside kubectl and stern: `python -m tests.benchmarks.logs`.

All in one run and in turns, so that the ratios mean something on a machine that is shared; `--table FILE` writes them down.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.benchmarks.__main__ import timed
from tests.cluster import programs, provider
from tests.cluster.rig import ROOT, bin_dir
from tests.integration.test_node_logs import verification
from tests.support.operator import Kubectl, Operator, investigation, pod, until

NAMESPACE = "aletheia-benchmark-logs"
SAMPLE_SECONDS = 0.02
LIMITS = {"bytesPerContainer": "8Gi", "bytesPerInvestigation": "100Gi"}
WRITER = """awk 'BEGIN { for (i = 0; i < %d; i++) {
  level = i %% 50 ? "INFO " : "ERROR"
  printf "2026-11-22 15:21:%%02d,%%03d %%s [worker-%%d] org.example.shop.Checkout: order %%d of user %%d handled in %%d ms\\n",
    i / 1000 %% 60, i %% 1000, level, i %% 16, i, i * 7 %% 9973, i %% 250 } }'; sleep 36000"""


@dataclass
class Memory:
    """Resident memory (bytes) and processor time (seconds) of a process and its children, sampled."""

    pid: int
    peak: int = 0
    seconds: dict[int, float] = field(default_factory=dict)
    spent: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        self.peak = 0
        before = dict(self.seconds)
        self._over.clear()
        thread = threading.Thread(target=self._sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self.spent = sum(self.seconds.values()) - sum(before.values())

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            children = map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())
            pids = [self.pid, *(pid for pid in children if is_worker(pid))]
            self.peak = max(self.peak, sum(resident(pid) for pid in pids))
            self.seconds |= {pid: processor_seconds(pid) or self.seconds.get(pid, 0.0) for pid in pids}


def is_worker(pid: int) -> bool:
    """Whether a child already is what it becomes: until then its memory is its parent's."""
    try:
        return b"parse.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.logs", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run in this cluster; default: one that is started for it")
    parser.add_argument("--pods", type=int, default=8)
    parser.add_argument("--lines", type=int, default=250_000, help="of each pod")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", action="append", help="measure only these ways")
    parser.add_argument("--table", type=Path, help="write the table to this file, as Markdown")
    options = parser.parse_args()
    with ExitStack() as stack:
        cluster = provider.start("test", options.kubeconfig)
        if options.kubeconfig is None:
            stack.callback(cluster.stop)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster.run_kubectl("apply", "-f", str(ROOT / "crds"))
        cluster.run_kubectl("create", "namespace", NAMESPACE)
        stack.callback(cluster.run_kubectl, "delete", "namespace", NAMESPACE, timeout_seconds=300)
        kubectl = Kubectl(cluster, NAMESPACE)
        until(lambda: kubectl("get", "serviceaccounts", "-o", "name"), 30, "the namespace has its service account")
        names = [f"writer-{number}" for number in range(options.pods)]
        size = fill(kubectl, names, options.lines)
        arguments = ["--node-logs", *verification(kubectl, directory), "--max-artifact-bytes=107374182400"]
        operator = Operator(cluster, directory / "volume", [NAMESPACE], arguments).start()
        stack.callback(operator.stop)
        memory = Memory(operator.pid)
        ways: dict[str, Callable[[int], None]] = {
            "kubectl": lambda number: by_kubectl(kubectl, names, directory),
            "stern": lambda number: by_stern(kubectl, directory),
            "api": partial(investigate, kubectl, "api"),
            "node": partial(investigate, kubectl, "node"),
        }
        ways = {way: work for way, work in ways.items() if not options.only or way in options.only}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        peaks: dict[str, int] = {}
        spent: dict[str, float] = {}
        for number in range(options.rounds):
            for way, work in ways.items():
                others = children_seconds()
                with memory.watched():
                    seconds[way].append(timed(partial(work, number)))
                spent[way] = memory.spent if way in ("api", "node") else children_seconds() - others
                peaks[way] = max(peaks.get(way, 0), memory.peak)
                print(f"round {number + 1}: {way:8} {seconds[way][-1]:7.1f} s", flush=True)
    table = report({way: statistics.median(of) for way, of in seconds.items()}, spent, peaks, size, options)
    print(table)
    if options.table:
        options.table.write_text(table)
    return 0


def fill(kubectl: Kubectl, names: list[str], lines: int) -> int:
    """Pods that have written so many lines; the size of all as kubectl prints them, in bytes."""
    kubectl.apply(*(pod(name, WRITER % lines, labels={"app": "writer"}) for name in names))
    last = f"order {lines - 1} of"
    for name in names:
        kubectl.wait(f"pod/{name}", "condition=Ready", 180)
        until(partial(has_written, kubectl, name, last), 600, f"{name} has written all")
    return len(names) * lines * (31 + 119)


def has_written(kubectl: Kubectl, name: str, last: str) -> bool:
    return last in kubectl("logs", name, "--tail=1")


def by_kubectl(kubectl: Kubectl, names: list[str], directory: Path) -> None:
    """As many at once as there are pods, each into a file."""
    base = [str(kubectl.cluster.kubectl), f"--kubeconfig={kubectl.cluster.kubeconfig}", "-n", NAMESPACE, "logs", "--timestamps"]
    files = [(directory / name).open("wb") for name in names]
    running = [subprocess.Popen([*base, name], stdout=file) for name, file in zip(names, files, strict=True)]
    for process, file in zip(running, files, strict=True):
        if process.wait(1800) != 0:
            raise RuntimeError(f"{process.args!r} failed")
        file.close()


def by_stern(kubectl: Kubectl, directory: Path) -> None:
    stern = bin_dir() / "stern"
    if not stern.exists():
        programs.build(programs.STERN)
    command = [
        str(stern),
        f"--kubeconfig={kubectl.cluster.kubeconfig}",
        "-n",
        NAMESPACE,
        "--no-follow",
        "-o",
        "json",
        "-t",
        ".",
    ]
    with (directory / "stern").open("wb") as file:
        subprocess.run([*command, "--max-log-requests=100"], stdout=file, stderr=subprocess.DEVNULL, check=True, timeout=1800)


def investigate(kubectl: Kubectl, via: str, number: int) -> None:
    name = f"{via}-{number}"
    logs = {"via": via, "limits": LIMITS}
    targets = [{"selector": {"matchLabels": {"app": "writer"}}}]
    kubectl.apply(investigation(name, targets=targets, logs=logs, timeout="1h", window={"lookback": "12h"}))
    kubectl.wait(f"investigation/{name}", "jsonpath={.status.phase}=Completed", 1800)


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(
    seconds: dict[str, float], spent: dict[str, float], peaks: dict[str, int], size: int, options: argparse.Namespace
) -> str:
    names = {
        "kubectl": f"{options.pods} × `kubectl logs --timestamps > file` at once",
        "stern": "`stern --no-follow -o json > file`",
        "api": "Investigation, `logs.via: api`",
        "node": "Investigation, `logs.via: node`",
    }
    rows = [
        f"{options.pods} pods × {options.lines:,} lines, {size / 1e6:.0f} MB, {os.cpu_count()} cores,"
        f" median of {options.rounds}:\n",
        "| way | seconds | of kubectl's time | of stern's time | processor time of its own, s | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    for way, taken in seconds.items():
        ratios = [f"{taken / seconds[peer]:.2f}" if peer in seconds else "" for peer in ("kubectl", "stern")]
        memory = f"{peaks[way] / 1e6:.0f}" if way in ("api", "node") else ""
        rows.append(f"| {names[way]} | {taken:.1f} | {ratios[0]} | {ratios[1]} | {spent[way]:.1f} | {memory} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
