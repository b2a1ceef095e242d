"""Idle memory, and time of a small Investigation compared with the same requests by hand: `make bench`.

By hand: `kubectl logs`, `promtool query range` and a request to Jaeger, at the same time, each to a file.
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.benchmarks.setting import at_once, setting, timed
from tests.cluster import programs, servers
from tests.support.operator import Kubectl, Operator, data_source, investigation, pod

NAMESPACE = "aletheia-benchmark"
ROUNDS = 7
MOST_IDLE_MB = 100
MOST_SECONDS = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run in this cluster; default: one that is started for it")
    options = parser.parse_args()
    with ExitStack() as stack:
        kubectl, directory = setting(stack, options.kubeconfig, NAMESPACE)
        prometheus = stack.enter_context(servers.prometheus(directory / "prometheus"))
        jaeger = stack.enter_context(servers.jaeger(directory / "jaeger"))
        sources = {"benchmark-prometheus": ("prometheus", prometheus.url), "benchmark-jaeger": ("jaeger", jaeger.url)}
        kubectl.apply(*(data_source(name, kind, url, default=True) for name, (kind, url) in sources.items()))
        stack.callback(kubectl, "delete", "datasource", *sources)
        kubectl.apply(pod("speaker", "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo INFO line $i; done; sleep 3600"))
        kubectl.wait("pod/speaker", "condition=Ready")
        operator = Operator(kubectl.cluster, directory / "volume", [NAMESPACE]).start()
        stack.callback(operator.stop)
        idle = resident_mb(operator.pid)
        seconds, by_hand = measure(kubectl, prometheus.url, jaeger.url, directory)
        after = resident_mb(operator.pid)
    print(f"operator idle              {idle:6.0f} MB RSS (at most {MOST_IDLE_MB})")
    print(f"after {ROUNDS + 1} Investigations     {after:6.0f} MB RSS")
    print(f"small Investigation        {seconds:6.2f} s from apply to its end (at most {MOST_SECONDS})")
    print(f"the same asked by hand     {by_hand:6.2f} s; ratio {seconds / by_hand:.2f}")
    return 0 if idle <= MOST_IDLE_MB and seconds <= MOST_SECONDS else 1


def measure(kubectl: Kubectl, prometheus: str, jaeger: str, directory: Path) -> tuple[float, float]:
    """Return the median seconds of an Investigation and of the requests by hand, in turns; the first round warms up."""
    _, promtool = programs.prometheus()
    now = int(time.time())
    commands: list[list[str]] = [
        [
            str(kubectl.cluster.kubectl),
            f"--kubeconfig={kubectl.cluster.kubeconfig}",
            "-n",
            NAMESPACE,
            "logs",
            "--timestamps",
            "speaker",
        ],
        [str(promtool), "query", "range", f"--start={now - 3600}", f"--end={now}", "--step=15s", prometheus, "up"],
        [
            sys.executable,
            "-c",
            f"import urllib.request as u; print(u.urlopen('{jaeger}/api/traces?service=shop&limit=20').read())",
        ],
    ]
    if curl := shutil.which("curl"):
        commands[2] = [curl, "-sf", f"{jaeger}/api/traces?service=shop&limit=20"]

    def ask_by_hand() -> None:
        at_once(commands, [directory / f"by-hand-{number}" for number in range(len(commands))], 60)

    def investigate(number: int) -> None:
        name = f"small-{number}"
        spec = {"targets": [{"pod": "speaker"}], "logs": {}, "metrics": [{"query": "up"}], "traces": [{"service": "shop"}]}
        kubectl.apply(investigation(name, **spec))
        kubectl.wait(f"investigation/{name}", "condition=Ready")

    pairs = [(timed(partial(investigate, number)), timed(ask_by_hand)) for number in range(ROUNDS + 1)]
    return median([pair[0] for pair in pairs[1:]]), median([pair[1] for pair in pairs[1:]])


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def resident_mb(pid: int) -> float:
    """Return the VmRSS of a process in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has no VmRSS")


if __name__ == "__main__":
    sys.exit(main())
