"""Many faults with a known truth: pods write each line twice, to their log and to a file on the node.

Meanwhile containers exit every few seconds, logs are rotated, pods are deleted and replaced, and the operator is killed.
Afterwards every line of each Investigation's window is in an artifact, under the run that wrote it, or a gap names its pod,
container and run.
"""

import random
import threading
import time
from typing import Any

from tests.support.chaos_truth import READER, ROTATED, Moment, Outcome, hold_against_the_truth
from tests.support.operator import Kubectl, Operator, container, investigation, pod, until

WINDOW_SECONDS = 40
TRUTH = "/var/log/aletheia-chaos"
# Each line goes to the log first, so that the truth has no line that was never logged. `$1`: seconds, `$2`: lines per second
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


def writer(name: str, seconds: int, rate: int) -> dict[str, Any]:
    """Return a container that writes `rate` lines per second, and exits after `seconds`."""
    made = container(name, WRITER % (seconds, rate))
    fields = {"POD_UID": "metadata.uid", "POD_NAME": "metadata.name"}
    made["env"] = [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in fields.items()]
    made["env"].append({"name": "NAME", "value": name})
    made["volumeMounts"] = [{"name": "truth", "mountPath": "/truth"}]
    return made


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
    """Return a pod that can read the truth, and lists the rotated files of all logs each second."""
    script = f"while true; do ls -d /pods/*/*/*.log.* >>/truth/{ROTATED} 2>/dev/null; sleep 1; done"
    hands = container("app", script)
    paths = {"truth": TRUTH, "pods": "/var/log/pods"}
    hands["volumeMounts"] = [{"name": name, "mountPath": f"/{name}"} for name in paths]
    volumes = [{"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}} for name, path in paths.items()]
    return pod(READER, "", containers=[hands], volumes=volumes)


def run_chaos(kubectl: Kubectl, operator: Operator, seconds: float, seed: int = 7) -> Outcome:
    """Cause faults for `seconds`, then compare each Investigation with the truth."""
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
                _delete_a_pod(kubectl, chance, outcome)
    finally:
        over.set()
        killing.join()
    resources = [kubectl.ended(name, 120) for name in names]
    hold_against_the_truth(outcome, kubectl, resources)
    return outcome


def _kill_again_and_again(operator: Operator, chance: random.Random, over: threading.Event, outcome: Outcome) -> None:
    while not over.wait(chance.uniform(2, 9)):
        operator.kill()
        outcome.kills += 1
        outcome.moments.append(Moment(time.time(), "the operator is killed"))
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


def _delete_a_pod(kubectl: Kubectl, chance: random.Random, outcome: Outcome) -> None:
    found = kubectl("get", "pods", "-l", "app in (crashing, named, steady)", "-o", "name").split()
    if not found:
        return
    force = ["--force", "--grace-period=0"] if chance.random() < 0.5 else ["--wait=false"]
    chosen = chance.choice(sorted(found))
    outcome.moments.append(Moment(time.time(), f"{chosen} is deleted ({' '.join(force)})"))
    kubectl("delete", chosen, "--ignore-not-found", *force)
    outcome.deleted += 1
