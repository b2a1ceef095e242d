"""Captures in Jobs: `python -m tests.benchmarks.jobs`. What a small one costs, and many large ones while their pods are killed.

Installs image and chart. In the cluster without Docker, a second node takes Jobs, and is cut off for a while. Fails if a
capture is not Completed, a digest is wrong, a session had two writers, or the operator takes too much memory.
"""

import argparse
import json
import math
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.writers import watched
from tests.cluster import images, provider
from tests.cluster.provider import Cluster, Node, Worker
from tests.cluster.rig import RigError, say
from tests.e2e.conftest import CHART, RESTRICTED, Installation, helm, namespace, provide, restricted
from tests.support.operator import Kubectl, investigation, pod, until

SYSTEM, SHOP = "jobs-system", "jobs-shop"
SELECTOR = "app.kubernetes.io/component=capture"
ROUNDS = 5
MOST_OPERATOR_MB = 150.0
LINE_BYTES = 200
LOOK_SECONDS = 3.0
PATIENCE_SECONDS = 3600.0
VERIFY = """
import hashlib, json, pathlib
root, wrong, files, manifests = pathlib.Path("/var/lib/aletheia/sessions"), [], 0, {}
for manifest in root.glob("INC-*/manifest.json"):
    content = manifest.read_bytes()
    manifests[manifest.parent.name] = hashlib.sha256(content).hexdigest()
    for artifact in json.loads(content)["artifacts"]:
        digest, files = hashlib.sha256(), files + 1
        with open(manifest.parent / artifact["path"], "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != artifact["sha256"]:
            wrong.append(str(manifest.parent / artifact["path"]))
print(json.dumps([files, wrong, manifests]))
"""
PEAK = "print(next(line for line in open('/proc/1/status') if line.startswith('VmHWM')).split()[1])"
PROCESSOR = """
import os
ticks = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) != os.getpid():
        ticks += sum(map(int, open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[11:15]))
print(ticks / os.sysconf("SC_CLK_TCK"))
"""
USED = re.compile(r"([\d.]+) s of processor time, (\d+) MB of memory, and at most (\d+) MB in a worker")


@dataclass(frozen=True)
class Cost:
    """What a small capture takes."""

    seconds: float
    """From its creation to its last status."""
    operator_seconds: float
    """Processor time in the operator's container."""
    job_seconds: float = 0.0
    """Processor time in the Job's container."""
    job_mb: float = 0.0
    """Memory of the Job's process."""


@dataclass
class Setting:
    """An installation, and the namespace of what it captures."""

    installation: Installation
    shop: Kubectl

    def seconds(self, name: str) -> float:
        """Return the seconds from the creation of a small Investigation to its last status."""
        began = time.monotonic()
        self.shop.apply(investigation(name, targets=[{"pod": "quiet"}]))
        phase = self.shop.ended(name, 120)["status"]["phase"]
        if phase != "Completed":
            raise RigError(f"{name} is {phase}")
        return time.monotonic() - began

    def small(self, mode: str) -> Cost:
        """Return the medians of small captures."""
        self.seconds(f"small-{mode}")
        before = float(self.installation.python(PROCESSOR))
        seconds = statistics.median(self.seconds(f"small-{mode}-{number}") for number in range(ROUNDS))
        of_operator = (float(self.installation.python(PROCESSOR)) - before) / ROUNDS
        if mode == "inline":
            return Cost(seconds, of_operator)
        used = until(self._used, 60, "the Jobs have ended")
        return Cost(seconds, of_operator, *(statistics.median(float(one[index]) for one in used) for index in (0, 1)))

    def _used(self) -> list[tuple[str, ...]] | None:
        """Return what the processes of Jobs have logged at their end; None if some have not ended."""
        found = USED.findall(self.installation.system("logs", "-l", SELECTOR, "--tail=-1"))
        return found if len(found) > ROUNDS else None

    def operator_mb(self) -> float:
        """Return the peak memory of the operator's process in MB of 10^6 bytes. Raises RigError if it has restarted."""
        (found,) = self.installation.system.get("pods", "-l", "app.kubernetes.io/component=operator")["items"]
        if any(container["restartCount"] for container in found["status"]["containerStatuses"]):
            raise RigError("the operator has restarted")
        return int(self.installation.python(PEAK)) * 1024 / 1e6


def values(mode: str, options: argparse.Namespace, modes: list[str]) -> str:
    size = math.ceil(options.count * options.megabytes * 3 / 1000)  # artifacts are twice as large as the log
    return yaml.safe_dump(
        {
            "image": {"repository": "localhost/aletheia-operator", "tag": "dev"},
            "runner": {"mode": mode, "maxJobs": options.at_once, "maxNamespaceJobs": options.at_once},
            "persistence": {"size": f"{max(size, 1)}Gi", "accessModes": modes},
            "volume": {"namespaceShare": "0%"},
        }
    )


def install(cluster: Cluster, verb: str, mode: str, options: argparse.Namespace) -> None:
    arguments = ("aletheia", str(CHART), f"--namespace={SYSTEM}", "--values=-", "--wait", "--timeout=180s")
    modes = ["ReadWriteMany" if isinstance(cluster, Node) else "ReadWriteOnce"]
    helm(cluster, verb, *arguments, stdin=values(mode, options, modes))


@dataclass
class Faults:
    """Kills pods of Jobs from time to time, half of them without grace, and cuts a node off once, until `over`."""

    system: Kubectl
    worker: Worker | None
    options: argparse.Namespace

    def __post_init__(self) -> None:
        self.over = threading.Event()
        self.killed: list[str] = []
        self.on_the_cut_node: list[str] = []
        self._chance = random.Random(self.options.seed)
        self._work = [threading.Thread(target=self._kill), threading.Thread(target=self._cut)]

    def __enter__(self) -> "Faults":
        for thread in self._work:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._work:
            thread.join()

    def _running(self) -> list[dict[str, Any]]:
        items = self.system.get("pods", "-l", SELECTOR)["items"]
        running = [item for item in items if item["status"]["phase"] == "Running"]
        return [item for item in running if "deletionTimestamp" not in item["metadata"]]

    def _captures(self, name: str) -> bool:
        """Return whether the process of a pod has begun to capture."""
        try:
            return "capturing evidence" in self.system("logs", name)
        except RigError:
            return False

    def _kill(self) -> None:
        while not self.over.wait(self.options.kill_seconds * self._chance.uniform(0.5, 1.5)):
            try:
                if not (running := self._running()):
                    continue
                name = self._chance.choice(running)["metadata"]["name"]
                grace = ("--grace-period=0", "--force") if self._chance.random() < 0.5 else ()
                self.system("delete", "pod", name, "--wait=false", *grace)
            except RigError as e:
                say(f"no pod is killed: {e}")
                continue
            self.killed.append(name)

    def _cut(self) -> None:
        """Cut the node off as soon as one of its pods captures."""
        if self.worker is None or not self.options.cut_seconds:
            return
        there: list[str] = []
        while not there:
            if self.over.wait(2 * LOOK_SECONDS):
                return
            there = [item["metadata"]["name"] for item in self._running() if item["spec"].get("nodeName") == self.worker.node]
            if not any(map(self._captures, there)):
                there.clear()
        self.worker.cut()
        self.on_the_cut_node = there
        self.over.wait(self.options.cut_seconds)
        self.worker.mend()


def storm(setting: Setting, worker: Worker | None, options: argparse.Namespace) -> list[str]:
    """Capture many large logs at once while pods are killed. Returns what is wrong."""
    names = [f"large-{number:02}" for number in range(options.count)]
    limits = {"bytesPerContainer": "2Gi", "bytesPerInvestigation": "4Gi"}
    spec = {"targets": [{"pod": "loud"}], "logs": {"limits": limits}, "timeout": "30m"}
    system = setting.installation.system
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        so_far = stack.enter_context(watched(system, SELECTOR, directory))
        began = time.monotonic()
        setting.shop.apply(*(investigation(name, **spec) for name in names))
        with Faults(system, worker, options) as faults:
            wait_for_all(setting.shop, names)
        seconds, handed_over = time.monotonic() - began, so_far()
    found = ended(setting.shop, names)
    size_mb = statistics.median(status["session"]["sizeBytes"] / 1e6 for status in found.values())
    taken_up = system("logs", setting.installation.deployment, "-c", "operator", "--tail=-1").count("left it unfinished")
    killed, cut = len(faults.killed), len(faults.on_the_cut_node)
    print(f"{len(names)} captures of {size_mb:.0f} MB, {options.at_once} at once: {seconds:.0f} s, {killed} pods killed")
    print(f"a node was cut off for {options.cut_seconds:.0f} s, with {cut} Jobs on it" if cut else "no node was cut off")
    print(f"{taken_up} Jobs did not finish: another Job, or the operator, took up what they left")
    print(f"Leases: {handed_over}")
    peak = setting.operator_mb()
    print(f"peak memory of the operator {peak:.0f} MB (at most {MOST_OPERATOR_MB:.0f})")
    wrong = [f"{name}: {status['phase']}, {json.dumps(status.get('gaps'))}" for name, status in found.items()]
    wrong = [text for text, status in zip(wrong, found.values(), strict=True) if status["phase"] != "Completed"]
    if peak > MOST_OPERATOR_MB:
        wrong.append("the operator took too much memory")
    return [*wrong, *handed_over.too_early, *handed_over.unknown, *digests(setting, found)]


def digests(setting: Setting, found: dict[str, Any]) -> list[str]:
    """Check all files of all sessions. Returns what is wrong."""
    verified = setting.installation.system(
        *("exec", setting.installation.deployment, "-c", "operator", "--", "python3", "-c", VERIFY), timeout_seconds=1800
    )
    files, wrong, manifests = json.loads(verified)
    print(f"{files} files, {len(wrong)} of them with a wrong digest")
    sessions = {status["session"]["id"]: status["session"]["manifestSha256"] for status in found.values()}
    wrong += [f"{session}: another manifest" for session, sha256 in sessions.items() if manifests.get(session) != sha256]
    if len(sessions) != len(found):
        wrong.append("two captures share a session")
    return [str(fault) for fault in wrong]


def wait_for_all(shop: Kubectl, names: list[str]) -> None:
    """Wait until all have ended, and say how many have. Raises RigError if that takes too long."""
    deadline, before = time.monotonic() + PATIENCE_SECONDS, -1
    while (number := len(ended(shop, names))) < len(names):
        if number != before:
            say(f"{number} of {len(names)} have ended")
        if time.monotonic() > deadline:
            raise RigError(f"only {number} of {len(names)} have ended within {PATIENCE_SECONDS:.0f} s")
        before = number
        time.sleep(LOOK_SECONDS)


def ended(shop: Kubectl, names: list[str]) -> dict[str, Any]:
    """Return the statuses of those that have ended, by name."""
    items = shop.get("investigations")["items"]
    statuses = {item["metadata"]["name"]: item.get("status") or {} for item in items}
    return {name: statuses[name] for name in names if statuses.get(name, {}).get("completionTime")}


def prepare(cluster: Cluster, options: argparse.Namespace) -> Setting:
    """Install the operator, and start a pod with a small log and one with a large one."""
    provide(cluster, images.OPERATOR)
    system = namespace(cluster, SYSTEM, **RESTRICTED)
    install(cluster, "install", "inline", options)
    shop = namespace(cluster, SHOP, **RESTRICTED)
    lines = int(options.megabytes * 1e6 / LINE_BYTES)
    loud = f"yes 'INFO {'x' * (LINE_BYTES - 45)}' | head -n {lines}; echo done; sleep 36000"
    shop.apply(restricted(pod("quiet", "echo INFO ready; sleep 36000")), restricted(pod("loud", loud)))
    shop.wait("pod/loud", "condition=Ready", 120)
    until(lambda: "done" in shop("logs", "loud", "--tail=1"), 300, "the large log is written")
    return Setting(Installation(cluster, system), shop)


def join(cluster: Cluster) -> Worker | None:
    """Let another node join. It comes after the operator's pod, which stays on the first node."""
    if not isinstance(cluster, Node):
        return None
    worker = cluster.join("other")
    worker.load_image(images.build(images.OPERATOR))
    return worker


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.jobs", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="run in this cluster; default: one that is started for it")
    parser.add_argument("--count", type=int, default=40, help="large captures")
    parser.add_argument(
        "--megabytes", type=float, default=100, help="of log that each captures; an artifact is about twice as large"
    )
    parser.add_argument("--at-once", type=int, default=5, help="Jobs at the same time")
    parser.add_argument("--kill-seconds", type=float, default=30, help="mean time between two kills")
    parser.add_argument("--cut-seconds", type=float, default=60, help="time that a node is cut off; 0: it is not")
    parser.add_argument("--seed", type=int, default=7, help="of the kills")
    options = parser.parse_args()
    with ExitStack() as stack:
        cluster = provider.start("jobs", options.kubeconfig, log_max_size="2Gi")
        if options.kubeconfig is None:
            stack.callback(cluster.stop)
        setting = prepare(cluster, options)
        inline = setting.small("inline")
        install(cluster, "upgrade", "job", options)
        setting.installation.system("rollout", "status", setting.installation.deployment, "--timeout=60s")
        job = setting.small("job")
        print(f"a small capture, {datetime.now():%Y-%m-%d}: inline {inline.seconds:.1f} s, in a Job {job.seconds:.1f} s")
        print(f"processor time: inline {inline.operator_seconds:.2f} s, of a Job {job.job_seconds:.2f} s", end=" ")
        print(f"and {job.operator_seconds:.2f} s in the operator; memory of the Job's process {job.job_mb:.0f} MB")
        faults = storm(setting, join(cluster), options)
    print("\n".join(faults[:20]) or "all are Completed, every digest is right, and no session had two writers")
    return int(bool(faults))


if __name__ == "__main__":
    say("starting")
    sys.exit(main())
