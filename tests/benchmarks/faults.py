"""The fault table on a real cluster: `python -m tests.benchmarks.faults [--record] [NAME...]`.

All faults are made at the same time, each in its own namespace. When a fault has reached its state, an Investigation captures
its workloads. With --record the sessions are written to tests/data/faults, for the tests of findings.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import provider
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, say
from tests.support.fault_table import MANIFESTS, RECORDINGS, Condition, Fault, faults, record
from tests.support.operator import Kubectl, Operator, next_second, session_of, until

RESOURCES = {
    "pods": "/api/v1/pods", "events": "/api/v1/events", "nodes": "/api/v1/nodes", "jobs": "/apis/batch/v1/jobs",
    "deployments": "/apis/apps/v1/deployments", "statefulsets": "/apis/apps/v1/statefulsets",
}  # fmt: skip
MAX_SECONDS = 420.0
AT_ONCE = 6


@dataclass
class Watches:
    """Watches all objects of the cluster; each change wakes waiting tasks."""

    cluster: Cluster
    known: dict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch until the end of the block."""
        with ExitStack() as stack:
            for resource, path in RESOURCES.items():
                process = self.popen("get", "--raw", f"{path}?watch=true&timeoutSeconds=840")
                stack.callback(process.wait)
                stack.callback(process.kill)
                threading.Thread(target=self._read, args=(resource, process), daemon=True).start()
            yield

    def popen(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [str(self.cluster.kubectl), f"--kubeconfig={self.cluster.kubeconfig}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")

    def _read(self, resource: str, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            metadata = json.loads(line)["object"]["metadata"]
            with self.changed:
                self.known[resource][metadata.get("namespace") or ""].append(line)
                self.changed.notify_all()

    def wait(self, fault: Fault, condition: Condition) -> bool:
        """Return whether the condition was met in time."""
        if condition.log:
            return self._wait_for_log(fault, condition)
        pattern, seen = re.compile(condition.matches), 0
        namespace = "" if condition.watch == "nodes" else fault.namespace

        def holds() -> bool:
            nonlocal seen
            lines = self.known[condition.watch][namespace]
            first, seen = seen, len(lines)
            return any(pattern.search(line) for line in lines[first:])

        with self.changed:
            return self.changed.wait_for(holds, MAX_SECONDS)

    def _wait_for_log(self, fault: Fault, condition: Condition) -> bool:
        kind, _, name = condition.log.partition("/")
        ready = '"availableReplicas":1' if kind == "deployment" else '"readyReplicas":1'
        there = Condition(f'"name":"{name}".*{ready}', watch=f"{kind}s")
        if not self.wait(fault, there):
            return False
        process = self.popen("logs", "-n", fault.namespace, "--follow", condition.log)
        timer = threading.Timer(MAX_SECONDS, process.kill)
        timer.start()
        assert process.stdout is not None
        found = 0
        for line in process.stdout:
            found += bool(re.search(condition.matches, line))
            if found >= condition.lines:
                break
        timer.cancel()
        process.kill()
        process.wait()
        return found >= condition.lines


@dataclass(frozen=True)
class Row:
    """The findings of an Investigation of a fault. `place`: position of the right finding."""

    fault: Fault
    place: int | None
    there: bool
    headline: str
    first: Mapping[str, Any]

    def text(self) -> str:
        verdict = f"{self.first.get('rule', '-')} {self.first.get('confidence', '')}".strip()
        return f"{self.fault.name:22} {self.place or '-'!s:>2} {'' if self.there else 'NOT THERE '}{verdict}: {self.headline}"


@dataclass(frozen=True)
class Table:
    """Makes faults and investigates them."""

    cluster: Cluster
    root: Path
    watches: Watches
    records: bool
    busy: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))

    def row(self, fault: Fault) -> Row:
        """Make a fault, wait for its state, and investigate it."""
        kubectl = Kubectl(self.cluster, fault.namespace)
        with self.busy:
            body = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": fault.namespace, "labels": dict(fault.labels)},
            }
            kubectl("create", "-f", "-", stdin=json.dumps(body))
            kubectl("apply", "-f", str(MANIFESTS / f"{fault.name}.yaml"))
        there = all(self.watches.wait(fault, wanted) for wanted in fault.then)
        if fault.then:
            kubectl("apply", "-f", str(MANIFESTS / f"{fault.name}.then.yaml"))
        there = there and all(self.watches.wait(fault, wanted) for wanted in fault.until)
        next_second()
        with self.busy:
            resource = kubectl.investigate("look", **fault.spec)
        session = session_of(resource)
        if self.records:
            record(fault, session, RECORDINGS)
        document = json.loads((session / "data" / "findings.json").read_bytes())
        place = fault.place(document["data"])
        headline = resource["status"].get("headline", "")
        row = Row(fault, place, there, headline, document["data"][0] if document["data"] else {})
        say(row.text())
        return row


def run(chosen: Sequence[Fault], records: bool) -> list[Row]:
    with ExitStack() as stack:
        cluster = provider.start("faults", restart_period="2s")
        stack.callback(cluster.stop)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster.run_kubectl("apply", "-f", str(ROOT / "crds"))
        established = "-o=jsonpath={.status.conditions[?(@.type=='Established')].status}"
        until(lambda: "True" in cluster.run_kubectl("get", "crd/investigations.aletheia.dev", established), 30, "it is served")
        stack.callback(Operator(cluster, directory / "volume", []).start().stop)
        watches = Watches(cluster)
        stack.enter_context(watches.running())
        table = Table(cluster, directory / "volume", watches, records)
        with ThreadPoolExecutor(len(chosen)) as pool:
            return list(pool.map(table.row, chosen))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.faults", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the sessions to tests/data/faults")
    parser.add_argument("names", nargs="*", help="the faults to make; default: all")
    options = parser.parse_args()
    chosen = [fault for fault in faults() if not options.names or fault.name in options.names]
    began = time.monotonic()
    rows = run(chosen, options.record)
    for row in rows:
        print(row.text())
    broken = [row for row in rows if row.fault.objects]
    first, three = (sum(row.place is not None and row.place <= most for row in broken) for most in (1, 3))
    quiet = sum(row.first.get("severity", "info") == "info" for row in rows if not row.fault.objects)
    print(f"first: {first} of {len(broken)}; first three: {three}; silent: {quiet} of {len(rows) - len(broken)} healthy")
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if first >= 0.9 * len(broken) and three == len(broken) and quiet == len(rows) - len(broken) else 1


if __name__ == "__main__":
    sys.exit(main())
