"""Chaos with a known truth: pods write their lines twice, to their log and to a file of the node, while everything goes wrong.

Containers exit every few seconds, logs are rotated, pods are deleted and replaced, the operator is killed. Afterwards every
line of each Investigation's window is in an artifact, under the run that wrote it, or a gap names its pod, container and run.
"""

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.operator import Kubectl, Operator, container, investigation, pod, session_of, until

WINDOW_SECONDS = 40
READER = "reader"
TRUTH = "/var/log/aletheia-chaos"
# Each line goes to the log first: one that only the truth has would be the test's fault. `$1` seconds, `$2` lines a second
WRITER = r"""
base=/truth/${POD_UID}_${POD_NAME}_$NAME
run=$(cat $base.runs 2>/dev/null || echo 0); echo $((run+1)) > $base.runs
exec awk -v id="$POD_UID $NAME $run" -v truth=${base}_$run.truth -v seconds=%d -v rate=%d 'BEGIN {
  pad = sprintf("%%0150d", 0); begun = systime()
  for (i = 0; systime() - begun < seconds; i++) {
    now = systime(); level = i %% 97 ? "INFO" : "ERROR"
    print level ": chaos: " id " " i " " now " " pad; fflush()
    print i, now >> truth; fflush(truth)
    if (i %% 10 == 9) system("usleep " int(10000000 / rate)) }
  exit int(systime() %% 2) }'
"""
_LINE = re.compile(r"(?:INFO|ERROR): chaos: (\S+) (\S+) (\d+) (\d+) \d+ 0{150}")
_RUNS = re.compile(r"\(runs? (\d+)(?: to (\d+))?[,)]")


class Writer(NamedTuple):
    """A run of a container, as the truth knows it."""

    uid: str
    pod: str
    container: str
    run: int


@dataclass
class Outcome:
    """What became of all lines of all windows."""

    captured: int = 0
    explained: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """Lines that neither an artifact has nor a gap explains, by Investigation, pod, container and run."""
    misnamed: int = 0
    """Lines under another run than the one that wrote them."""
    doubled: int = 0
    investigations: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    kills: int = 0
    deleted: int = 0

    def __str__(self) -> str:
        of = self.captured + self.explained + self.lost.total()
        return (
            f"{self.investigations} Investigations {dict(self.phases)}, {self.runs} runs, {self.deleted} pods deleted,"
            f" {self.kills} kills of the operator; of {of} lines {self.captured} captured, {self.explained} explained by gaps"
            f" {dict(self.reasons)}, {self.lost.total()} lost, {self.misnamed} under a wrong run, {self.doubled} twice"
            + "".join(f"\n  lost: {what}: {number}" for what, number in self.lost.most_common(20))
        )


def writer(name: str, seconds: int, rate: int) -> dict[str, Any]:
    """A container that writes so many lines a second, and exits after so many seconds."""
    one = container(name, WRITER % (seconds, rate))
    fields = {"POD_UID": "metadata.uid", "POD_NAME": "metadata.name"}
    one["env"] = [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in fields.items()]
    one["env"].append({"name": "NAME", "value": name})
    one["volumeMounts"] = [{"name": "truth", "mountPath": "/truth"}]
    return one


def workload(kind: str, name: str, replicas: int, *containers: dict[str, Any]) -> dict[str, Any]:
    volumes = [{"name": "truth", "hostPath": {"path": TRUTH, "type": "DirectoryOrCreate"}}]
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": pod("", "", restartPolicy="Always", containers=list(containers), volumes=volumes)["spec"],
    }
    spec: dict[str, Any] = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    if kind == "StatefulSet":
        spec |= {"serviceName": name, "podManagementPolicy": "Parallel"}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def workloads() -> list[dict[str, Any]]:
    return [
        workload("Deployment", "steady", 1, writer("app", 100_000, 400)),
        workload("Deployment", "crashing", 2, writer("app", 3, 60), writer("sidecar", 7, 30)),
        workload("StatefulSet", "named", 1, writer("app", 5, 100)),
    ]


def reader() -> dict[str, Any]:
    hands = container("app", "sleep 36000") | {"volumeMounts": [{"name": "truth", "mountPath": "/truth"}]}
    volumes = [{"name": "truth", "hostPath": {"path": TRUTH, "type": "DirectoryOrCreate"}}]
    return pod(READER, "", containers=[hands], volumes=volumes)


def run_chaos(kubectl: Kubectl, operator: Operator, seconds: float, seed: int = 7) -> Outcome:
    """Let everything go wrong for so long, then hold each Investigation against the truth."""
    outcome = Outcome()
    chance = random.Random(seed)
    kubectl.apply(reader())
    kubectl.wait(f"pod/{READER}", "condition=Ready", 120)
    kubectl("exec", READER, "--", "sh", "-c", "rm -rf /truth/*")
    kubectl.apply(*workloads())
    until(lambda: len(kubectl("exec", READER, "--", "ls", "/truth").split()) > 6, 120, "the writers have begun")
    names: list[str] = []
    over = threading.Event()
    killing = threading.Thread(target=_kill_again_and_again, args=(operator, random.Random(seed + 1), over, outcome))
    killing.start()
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            time.sleep(chance.uniform(1, 3))
            names.append(_investigate(kubectl, len(names)))
            if chance.random() < 0.4:
                outcome.deleted += _delete_a_pod(kubectl, chance)
    finally:
        over.set()
        killing.join()
    resources = [kubectl.ended(name, 120) for name in names]
    truth = _truth(kubectl)
    outcome.runs = len(truth)
    for resource in resources:
        _hold_against(outcome, resource, truth)
    return outcome


def _kill_again_and_again(operator: Operator, chance: random.Random, over: threading.Event, outcome: Outcome) -> None:
    while not over.wait(chance.uniform(2, 9)):
        operator.kill()
        outcome.kills += 1
        operator.start()


def _investigate(kubectl: Kubectl, number: int) -> str:
    targets = [
        {"workload": {"kind": kind, "name": name}}
        for kind, name in (("Deployment", "steady"), ("Deployment", "crashing"), ("StatefulSet", "named"))
    ]
    logs = {"via": ("api", "node")[number % 2], "limits": {"bytesPerContainer": "1Gi", "bytesPerInvestigation": "8Gi"}}
    name = f"chaos-{number}"
    window = {"lookback": f"{WINDOW_SECONDS}s"}
    kubectl.apply(investigation(name, window=window, targets=targets, logs=logs, events={}))
    return name


def _delete_a_pod(kubectl: Kubectl, chance: random.Random) -> int:
    found = kubectl("get", "pods", "-l", "app in (crashing, named, steady)", "-o", "name").split()
    if not found:
        return 0
    force = ["--force", "--grace-period=0"] if chance.random() < 0.5 else ["--wait=false"]
    kubectl("delete", chance.choice(sorted(found)), "--ignore-not-found", *force)
    return 1


def _truth(kubectl: Kubectl) -> dict[Writer, list[tuple[int, int]]]:
    """The lines of each run: their numbers, and the second in which each was written."""
    text = kubectl(
        "exec", READER, "--", "sh", "-c", 'cd /truth; for f in *.truth; do echo "= $f"; cat $f; done', timeout_seconds=300
    )
    truth: dict[Writer, list[tuple[int, int]]] = {}
    for line in text.splitlines():
        if line.startswith("= "):
            uid, pod_name, name, run = line[2:].removesuffix(".truth").split("_")
            lines = truth.setdefault(Writer(uid, pod_name, name, int(run)), [])
        elif len(parts := line.split()) == 2:  # the last one may have been cut off by the pod's end
            lines.append((int(parts[0]), int(parts[1])))
    return truth


def _hold_against(outcome: Outcome, resource: Any, truth: dict[Writer, list[tuple[int, int]]]) -> None:
    outcome.investigations += 1
    outcome.phases[resource["status"]["phase"]] += 1
    start, end = (datetime.fromisoformat(moment).timestamp() for moment in resource["status"]["window"])
    session = session_of(resource)
    had = _captured(outcome, session)
    gaps = json.loads((session / "manifest.json").read_bytes())["gaps"]
    for one, lines in truth.items():
        inside = [number for number, second in lines if start + 1 <= second <= end - 2]
        mine = had.get((one.uid, one.container, one.run), set())
        missing = [number for number in inside if number not in mine]
        outcome.captured += len(inside) - len(missing)
        if not missing:
            continue
        reason = next(_reasons(gaps, one), None)
        if reason is None:
            outcome.lost[f"{resource['metadata']['name']} {' '.join(map(str, one))}"] += len(missing)
        else:
            outcome.explained += len(missing)
            outcome.reasons[reason] += len(missing)


def _captured(outcome: Outcome, session: Path) -> dict[tuple[str, str, int], set[int]]:
    had: dict[tuple[str, str, int], set[int]] = {}
    for path in (session / "data" / "logs").glob("*.json"):
        document = json.loads(path.read_bytes())
        for entry in document["data"]:
            match = _LINE.fullmatch(entry["line"])
            if match is None:
                continue
            uid, name, run, number = match[1], match[2], int(match[3]), int(match[4])
            of_pod = uid == document["metadata"]["pod_uid"] and name == entry["container"]
            outcome.misnamed += not of_pod or run != entry["run"]
            numbers = had.setdefault((uid, name, run), set())
            outcome.doubled += number in numbers
            numbers.add(number)
    return had


def _reasons(gaps: list[Any], one: Writer) -> Iterator[str]:
    """Of the gaps that name this run; one of a pod that is gone, was replaced or was given up stands for all its runs."""
    for gap in gaps:
        target = gap["target"]
        if target == f"pod/{one.pod}" and gap["reason"] in ("PodGone", "PodReplaced", "NotFound", "InternalError"):
            yield gap["reason"]
        if target.startswith(f"pod/{one.pod} container/{one.container} (") and one.run in _runs_named(target):
            yield gap["reason"]


def _runs_named(target: str) -> set[int]:
    match = _RUNS.search(target)
    if match is None:
        return set()
    return set(range(int(match[1]), int(match[2] or match[1]) + 1))
