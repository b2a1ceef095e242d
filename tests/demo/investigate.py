"""Creates the Investigation, follows it to its end, and shows its evidence."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.demo import look, peek
from tests.demo.incident import NAMESPACE
from tests.demo.kubernetes import Cluster
from tests.demo.steps import DemoError, NotYet, Steps

EXAMPLE = Path("examples/investigation.yaml")
NAME = "payments-503s"
RESOURCE = "investigations.aletheia.dev"
OPERATOR_NAMESPACE = "aletheia-system"
TERMINAL = ("Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled")
MAX_WIDTH = 160
EVIDENCE = ("moments", "lines", "events", "objects", "samples", "spans")


def ask(cluster: Cluster, steps: Steps, root: Path) -> dict[str, Any]:
    """Apply the example and follow it to its end. Returns its status. Raises DemoError if it does not end in time."""
    earlier = cluster.get(RESOURCE, NAME, f"--namespace={NAMESPACE}")
    if earlier:
        # an Investigation captures once; a new capture needs a new resource
        cluster.kubectl("delete", RESOURCE, NAME, f"--namespace={NAMESPACE}", "--timeout=60s", timeout=90)
    steps.heading(f"$ kubectl apply -f {EXAMPLE}")
    steps.say(cluster.kubectl("apply", f"--filename={root / EXAMPLE}").strip())
    began = time.monotonic()
    seen: list[str] = []

    def ended() -> dict[str, Any]:
        status: dict[str, Any] = cluster.get(RESOURCE, NAME, f"--namespace={NAMESPACE}").get("status") or {}
        phase = status.get("phase")
        now = " ".join(filter(None, [phase, (status.get("progress") or {}).get("text")]))
        if now and now not in seen[-1:]:
            seen.append(now)
            steps.say(f"  {now} after {time.monotonic() - began:.1f} s")
        if phase not in TERMINAL:
            raise NotYet(f"it is {now or 'not seen by the operator'}")
        return status

    return steps.until(f"Investigation {NAME} ends", 150, ended)


def report(cluster: Cluster, steps: Steps, status: dict[str, Any]) -> bool:
    """Show the status and a first look at the evidence. Returns whether it is complete."""
    width = min(MAX_WIDTH, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)
    steps.heading(f"$ kubectl get investigation {NAME} -n {NAMESPACE} -o wide")
    for line in cluster.kubectl("get", RESOURCE, NAME, f"--namespace={NAMESPACE}", "--output=wide").splitlines():
        steps.say(line.rstrip())
    steps.say()
    for condition in status.get("conditions") or []:
        shown = f"{condition['type']:12} {condition['status']:6} {condition['reason']}: {condition.get('message', '')}"
        steps.say(f"  {shown.rstrip(': ')}")
    for gap in status.get("gaps") or []:
        steps.say(f"  gap: {gap['target']}: {gap['reason']}: {gap['message']}")

    artifacts = status.get("artifacts") or []
    session = (status.get("session") or {}).get("path")
    if not artifacts or not session:
        return False
    looks = read(cluster, session, artifacts)
    intact = all(look["intact"] for look in looks)
    size = (status.get("session") or {}).get("size", "")
    steps.heading(f"The evidence: {len(artifacts)} files, {size}, in {session} on the session volume")
    for artifact in artifacts:
        steps.say(f"  {artifact['path']}")
        steps.say(f"    {look.cut(artifact['summary'], width - 4)}")
    steps.say(f"  SHA-256 of every file {'is as the status says' if intact else 'IS NOT as the status says'}")
    steps.heading("A first look into it")
    for line in look.lines(looks, width):
        steps.say(line)
    steps.heading(f"What broke: {status.get('headline') or 'nothing was judged'}")
    steps.say(f"  the report for people, with pictures: {session}/report.html on the session volume")
    return is_complete(status, looks)


def is_complete(status: Mapping[str, Any], looks: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the phase is Completed, every file is intact, and every kind of evidence is there."""
    found = all(sum(look.get(unit, 0) for look in looks) for unit in EVIDENCE)
    return status.get("phase") == "Completed" and found and all(look["intact"] for look in looks)


def read(cluster: Cluster, session: str, artifacts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the output of peek.py in the operator's pod."""
    program = Path(peek.__file__).read_text(encoding="utf-8")
    pod = operator_pod(cluster)
    command = ["exec", "--stdin", f"--namespace={OPERATOR_NAMESPACE}", pod, "--", "python3", "-c", program, session]
    looks: list[dict[str, Any]] = json.loads(cluster.kubectl(*command, stdin=json.dumps(artifacts)))
    return looks


def operator_pod(cluster: Cluster) -> str:
    """Return the name of the operator's running pod. Raises DemoError if none runs."""
    labels = "app.kubernetes.io/instance=aletheia,app.kubernetes.io/component=operator"
    running = (f"--selector={labels}", "--field-selector=status.phase=Running")
    for pod in cluster.items("pods", f"--namespace={OPERATOR_NAMESPACE}", *running):
        if "deletionTimestamp" not in pod["metadata"]:
            return str(pod["metadata"]["name"])
    raise DemoError(f"the operator has no running pod in {OPERATOR_NAMESPACE}")
