"""Nodes, leaders and the API server fail: `python -m tests.benchmarks.outage [STEP...]`. Fails unless every step holds.

The chart runs two operators on two nodes with one volume. A pod on each node writes numbered lines, so a lost line shows.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aletheia_operator.clients.kill_timer import EXIT_CODE
from tests.cluster import images, provider
from tests.cluster.provider import Node, Worker
from tests.cluster.rig import RigError, cache_dir, run
from tests.e2e.conftest import CHART, RESTRICTED, VALUES, helm, namespace, restricted
from tests.support.operator import Kubectl, check_session, evidence_of, investigation, pod, until

RELEASE = "aletheia-aletheia-operator"
OPERATORS = ("-l", "app.kubernetes.io/component=operator")
TAKEOVER_SECONDS = 60
CUT_SECONDS, API_SECONDS = 60, 30
CAPTURE_SECONDS = 240
ROLLING = 15
"""Investigations that are applied while the operators are replaced."""
SCRIPT = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done"
PODS = ("near", "far")
"""On the first node, and on the other."""


def check(condition: object, what: object) -> None:
    """Raise AssertionError unless the condition holds."""
    if not condition:
        raise AssertionError(str(what))


@dataclass(frozen=True)
class Drill:
    """The cluster with its second node, and the namespaces of the operators and of the pods."""

    cluster: Node
    worker: Worker
    system: Kubectl
    shop: Kubectl

    # the operators

    def leader(self) -> str:
        """Return the name of the pod that leads; '' if none does."""
        return str(self.system.get("lease", RELEASE)["spec"].get("holderIdentity") or "").partition("_")[0]

    def nodes(self) -> dict[str, str]:
        """Return the node of each operator's pod by the pod's name."""
        return {
            item["metadata"]["name"]: item["spec"].get("nodeName", "") for item in self.system.get("pods", *OPERATORS)["items"]
        }

    def is_node_ready(self) -> bool:
        """Return whether the control plane considers the second node ready."""
        conditions = self.system.get("node", self.worker.node)["status"]["conditions"]
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def ready(self) -> bool:
        """Return whether two operators are ready, one on each node."""
        deployment = self.system.get("deployment", RELEASE)["status"]
        return deployment.get("readyReplicas") == 2 and len(set(self.nodes().values())) == len(self.nodes()) == 2

    def process(self, name: str) -> int:
        """Return the process of the operator in the pod `name`, as this machine numbers it."""
        for directory in Path("/proc").iterdir():
            try:
                environment = (directory / "environ").read_bytes().split(b"\0")
                command, status = (directory / "cmdline").read_bytes(), (directory / "status").read_text()
            except OSError:
                continue
            first = any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in status.splitlines())
            if first and b"aletheia_operator" in command and f"HOSTNAME={name}".encode() in environment:
                return int(directory.name)
        raise AssertionError(f"no process of pod {name}")

    def lead_from_worker(self) -> str:
        """Make the operator on the second node lead. Returns its pod's name."""
        until(self.ready, 120, "an operator is ready on each node")
        leader = self.leader()
        if self.nodes().get(leader) != self.worker.node:
            self.system("delete", "pod", leader)
            until(lambda: self.nodes().get(self.leader()) == self.worker.node, TAKEOVER_SECONDS, "the second node's leads")
            until(self.ready, 120, "an operator is ready on each node")
        return self.leader()

    def restarts(self, name: str) -> int:
        """Return how often the operator in this pod was restarted."""
        (status,) = self.system.get("pod", name)["status"]["containerStatuses"]
        return int(status["restartCount"])

    def exit_code(self, name: str, restarts: int) -> int:
        """Wait until the operator in this pod was restarted more often than `restarts`. Return the ended run's exit code."""
        until(lambda: self.restarts(name) > restarts, 60, "the old leader has ended")
        (status,) = self.system.get("pod", name)["status"]["containerStatuses"]
        return int(status["lastState"]["terminated"]["exitCode"])

    @contextmanager
    def followed(self, leader: str) -> Iterator[list[float]]:
        """Wait at the end of the context until another operator leads. The list gets the seconds since its beginning."""
        began, seconds = time.monotonic(), list[float]()
        yield seconds
        until(lambda: self.leader() not in ("", leader), TAKEOVER_SECONDS, "another operator leads")
        seconds.append(time.monotonic() - began)

    # captures

    def apply(self, name: str) -> None:
        targets = [{"pod": pod} for pod in PODS]
        logs, events = {"via": "api"}, {"nodes": True}
        self.shop.apply(investigation(name, window={"lookback": "45m"}, targets=targets, logs=logs, events=events))

    def look(self, name: str) -> Any:
        """Investigate both pods. Returns the resource when it has ended."""
        self.apply(name)
        return self.shop.ended(name, CAPTURE_SECONDS)

    def session(self, resource: Any) -> Path:
        """Return the session's directory on this machine, after checking its digests."""
        claim: str = self.system.get("persistentvolumeclaim", f"{RELEASE}-sessions")["spec"]["volumeName"]
        root = cache_dir() / "nodes" / self.cluster.name / "volumes" / claim.removeprefix("local-")
        session = root / "sessions" / Path(resource["status"]["session"]["path"]).name
        check_session(session)
        return session

    def lines(self, resource: Any) -> dict[str, list[int]]:
        """Return the number of lines of each run by the pod's name. Raises AssertionError if one before the last is missing."""
        found = {}
        for artifact in evidence_of(resource):
            if not artifact["path"].startswith("data/logs/"):
                continue
            runs: dict[int, list[str]] = {}
            for entry in json.loads((self.session(resource) / artifact["path"]).read_bytes())["data"]:
                runs.setdefault(entry["run"], []).append(entry["line"])
            for number, texts in runs.items():
                wanted = [f"line {count}" for count in range(1, len(texts) + 1)]
                check(texts == wanted, f"{artifact['target']}: a line of run {number} is missing or doubled")
            found[artifact["target"].removeprefix("pod/")] = [len(texts) for _, texts in sorted(runs.items())]
        return found

    def whole(self, resource: Any, runs: int = 1) -> None:
        """Check that it is Completed, with every line of both pods. `runs`: the least number of runs of the second one."""
        check(resource["status"]["phase"] == "Completed", resource["status"])
        lines = self.lines(resource)
        check(set(lines) == set(PODS) and len(lines["far"]) >= runs, lines)

    def without_far(self, resource: Any) -> str:
        """Check that the first pod's log is whole, and that a gap names the other. Returns the gap's text."""
        check("near" in self.lines(resource), resource["status"])
        gaps = [gap for gap in resource["status"]["gaps"] if gap["target"].startswith("pod/far container/app")]
        check(gaps, resource["status"])
        return f"{gaps[0]['target']}: {gaps[0]['reason']}: {gaps[0]['message']}"

    def events(self, resource: Any) -> set[str]:
        """Return the reasons of the events that were captured."""
        (events,) = [artifact for artifact in evidence_of(resource) if artifact["path"].startswith("data/events/")]
        return {entry["reason"] for entry in json.loads((self.session(resource) / events["path"]).read_bytes())["data"]}


def rolling(drill: Drill) -> str:
    """Both operators are replaced while Investigations are applied: all are captured, each once."""
    names = [f"rolling-{number}" for number in range(ROLLING)]
    drill.system("rollout", "restart", f"deployment/{RELEASE}")
    for name in names:
        drill.apply(name)
    for name in names:
        drill.whole(drill.shop.ended(name, CAPTURE_SECONDS))
    drill.system("rollout", "status", f"deployment/{RELEASE}", "--timeout=120s", timeout_seconds=150)
    return f"{ROLLING} captures Completed"


def killed(drill: Drill) -> str:
    """The leader's process is killed: a standby leads, and captures what was applied meanwhile."""
    leader = drill.leader()
    with drill.followed(leader) as seconds:
        os.kill(drill.process(leader), signal.SIGKILL)
        drill.apply("killed")
    drill.whole(drill.shop.ended("killed", CAPTURE_SECONDS))
    return f"another leads after {seconds[0]:.1f} s"


def frozen(drill: Drill) -> str:
    """The leader is stopped until a standby leads, and continues: it ends at once, before it can write."""
    leader = drill.leader()
    process, restarts = drill.process(leader), drill.restarts(leader)
    with drill.followed(leader) as seconds:
        os.kill(process, signal.SIGSTOP)
        drill.apply("frozen")
    os.kill(process, signal.SIGCONT)
    drill.whole(drill.shop.ended("frozen", CAPTURE_SECONDS))
    code = drill.exit_code(leader, restarts)
    check(code == EXIT_CODE, f"exit code {code}")
    return f"another leads after {seconds[0]:.1f} s; the old leader's exit code is {code}"


def api_server(drill: Drill) -> str:
    """The API server is stopped for a while: Investigations of before and after are captured."""
    server = "-x", "kube-apiserver"
    drill.apply("api-before")
    run([*drill.cluster.inside, "pkill", "-STOP", *server])
    try:
        time.sleep(API_SECONDS)
    finally:
        run([*drill.cluster.inside, "pkill", "-CONT", *server])
    began = time.monotonic()
    drill.whole(drill.look("api-after"))
    seconds = time.monotonic() - began
    drill.whole(drill.shop.ended("api-before", CAPTURE_SECONDS))
    return f"stopped for {API_SECONDS} s; a capture ended {seconds:.1f} s later"


def cut(drill: Drill) -> str:
    """The leader's node is cut off for a while: a standby leads, and captures what it can. Afterwards nothing is missing."""
    leader, began = drill.lead_from_worker(), time.monotonic()
    restarts = drill.restarts(leader)
    drill.apply("cut-before")
    with drill.followed(leader) as seconds:
        drill.worker.cut()
    try:
        resource, looked = drill.look("cut"), time.monotonic()
        gap = drill.without_far(resource)
        time.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - began)))
    finally:
        drill.worker.mend()
    until(drill.ready, 180, "an operator is ready on each node")
    resource = drill.look("mended")
    drill.whole(resource)
    drill.session(drill.shop.ended("cut-before", CAPTURE_SECONDS))
    check("NodeNotReady" in drill.events(resource), "the event of the node is missing")
    code = drill.exit_code(leader, restarts)
    return (
        f"exit code {code}; another leads after {seconds[0]:.1f} s; a capture ended {looked - began:.1f} s after the cut; {gap}"
    )


def dead(drill: Drill) -> str:
    """The leader's node dies and comes back: a standby leads; both runs of the pod's container are captured in the end."""
    leader, began = drill.lead_from_worker(), time.monotonic()
    with drill.followed(leader) as seconds:
        drill.worker.kill()
    resource, looked = drill.look("dead"), time.monotonic()
    gap = drill.without_far(resource)
    until(lambda: not drill.is_node_ready(), 90, "the control plane has lost the node")
    drill.worker.boot()
    until(lambda: drill.shop.get("pod", "far")["status"]["containerStatuses"][0]["restartCount"] == 1, 120, "the pod restarts")
    until(drill.ready, 180, "an operator is ready on each node")
    resource = drill.look("back")
    drill.whole(resource, runs=2)
    check("NodeNotReady" in drill.events(resource), "the event of the node is missing")
    return f"another leads after {seconds[0]:.1f} s; a capture ended {looked - began:.1f} s after the death; {gap}"


STEPS = {step.__name__: step for step in (cut, dead, killed, frozen, api_server, rolling)}


def drill_of(stack: ExitStack) -> Drill:
    """Start a cluster with two nodes, two operators and two pods that write. All are removed when the stack is closed."""
    cluster = provider.start("outage")
    if not isinstance(cluster, Node):
        raise SystemExit("another node joins only the cluster without Docker")
    stack.callback(cluster.stop)
    worker = cluster.join("other")
    archive = images.build(images.OPERATOR)
    for loading in (cluster.load_image, worker.load_image):
        loading(archive)
    system, shop = (namespace(cluster, f"outage-{name}", **RESTRICTED) for name in ("system", "shop"))
    values = {"image": VALUES["image"], "replicas": 2, "persistence": {"accessModes": ["ReadWriteMany"]}}
    options = (f"--namespace={system.namespace}", "--values=-", "--wait", "--timeout=120s")
    helm(cluster, "install", "aletheia", str(CHART), *options, stdin=yaml.safe_dump(values))
    for name, node in zip(PODS, (f"aletheia-{cluster.name}", worker.node), strict=True):
        shop.apply(restricted(pod(name, SCRIPT, restartPolicy="Always", nodeName=node)))
        shop.wait(f"pod/{name}", "condition=Ready")
    drill = Drill(cluster, worker, system, shop)
    until(drill.ready, 60, "an operator is ready on each node")
    return drill


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.outage", description=__doc__)
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], metavar="STEP", help=f"of {', '.join(STEPS)}; default: all")
    chosen = parser.parse_args().steps or list(STEPS)
    broken = 0
    with ExitStack() as stack:
        drill = drill_of(stack)
        for name in chosen:
            began = time.monotonic()
            try:
                outcome = STEPS[name](drill)
            except (AssertionError, RigError) as e:
                outcome, broken = f"FAILED: {e}", broken + 1
            print(f"{name:10} {time.monotonic() - began:6.1f} s  {outcome}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
