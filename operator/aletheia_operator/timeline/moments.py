"""Turns events and objects into moments of the timeline. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aletheia_operator.text.display import one_line

MAX_MESSAGE = 200

RANKS = {  # kinds by importance: if there are too many moments, those with the lowest ranks are kept
    kind: rank
    for rank, kind in enumerate((
        "Rollout", "OOMKill", "NodeTrouble", "Eviction", "Scaling", "Restart", "ContainerExit", "ImagePull", "Scheduling",
        "Volume", "CrashLoop", "ErrorBurst", "FirstError", "ProbeFailure", "PodStopped", "Warning", "NodeReady",
    ))
}  # fmt: skip

_REASONS = {
    "ScalingReplicaSet": "Scaling", "SuccessfulRescale": "Scaling", "FailedRescale": "Scaling",
    "Unhealthy": "ProbeFailure", "ProbeWarning": "ProbeFailure",
    "OOMKilling": "OOMKill", "SystemOOM": "OOMKill",
    "Evicted": "Eviction", "Preempted": "Eviction", "TaintManagerEviction": "Eviction",
    "FailedScheduling": "Scheduling", "FailedCreate": "Scheduling",
    "ErrImagePull": "ImagePull", "ImagePullBackOff": "ImagePull", "ErrImageNeverPull": "ImagePull",
    "FailedMount": "Volume", "FailedAttachVolume": "Volume", "ProvisioningFailed": "Volume",
    "NodeNotReady": "NodeTrouble", "Rebooted": "NodeTrouble", "NodeNotSchedulable": "NodeTrouble",
    "NodeReady": "NodeReady", "NodeSchedulable": "NodeReady", "Killing": "PodStopped",
}  # fmt: skip
_NODE_STARTS = ("NodeHas", "EvictionThreshold", "FreeDisk", "KubeletNotReady")


@dataclass(frozen=True)
class Moment:
    """One event of the timeline. `timestamp` and `end`: RFC 3339, UTC. `entry`: index in `artifact`; None: no single entry."""

    timestamp: str
    kind: str
    object: str
    message: str
    container: str | None = None
    count: int = 1
    end: str | None = None
    artifact: str = ""
    entry: int | None = None

    def at(self, artifact: str, entry: int | None) -> "Moment":
        return replace(self, artifact=artifact, entry=entry)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"timestamp": self.timestamp, "end": self.end, "kind": self.kind, "object": self.object}
        found |= {"container": self.container, "count": self.count if self.count > 1 else None, "message": self.message}
        found |= {"artifact": self.artifact, "entry": self.entry}
        return {key: value for key, value in found.items() if value is not None}


def of_event(entry: Mapping[str, Any]) -> Iterator[Moment]:
    """Yield the moment of an entry of data/events: each warning, and each change of a workload, a pod or a node."""
    kind = _kind_of_event(entry)
    if kind is None:
        return
    involved = entry["object"]
    _, _, container = str(involved.get("fieldPath") or "").partition("{")
    repeated = entry["last"] if entry["last"] != entry["first"] else None
    words = one_line(f"{entry['reason']}: {entry['message']}", MAX_MESSAGE)
    name = f"{str(involved.get('kind')).lower()}/{involved.get('name')}"
    yield Moment(entry["first"], kind, name, words, container.rstrip("}") or None, entry["count"], repeated)


def _kind_of_event(entry: Mapping[str, Any]) -> str | None:
    reason, message = entry["reason"], entry["message"]
    if reason in ("BackOff", "Failed"):
        if "image" in message.lower():
            return "ImagePull"
        return "CrashLoop" if reason == "BackOff" else "Warning"
    if reason in _REASONS:
        return _REASONS[reason]
    if reason.startswith(_NODE_STARTS) and not reason.startswith(("NodeHasSufficient", "NodeHasNo")):
        return "NodeTrouble"
    return "Warning" if entry["type"] == "Warning" else None


def of_object(entry: Mapping[str, Any]) -> Iterator[Moment]:
    """Yield the moments of an entry of data/objects: container exits, pods that cannot run, node problems."""
    match entry["kind"]:
        case "Pod":
            yield from _of_pod(entry)
        case "Node":
            yield from _of_node(entry)


def _of_pod(pod: Mapping[str, Any]) -> Iterator[Moment]:
    name, status = f"pod/{pod['metadata']['name']}", pod.get("status") or {}
    for condition in status.get("conditions") or []:
        changed = condition.get("lastTransitionTime")
        if changed and condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            words = one_line(f"{condition.get('reason')}: {condition.get('message')}", MAX_MESSAGE)
            yield Moment(changed, "Eviction", name, words)
        if changed and condition["type"] == "PodScheduled" and condition["status"] == "False":
            words = one_line(f"{condition.get('reason')}: {condition.get('message')}", MAX_MESSAGE)
            yield Moment(changed, "Scheduling", name, words)
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for container in status.get(key) or []:
            restarts = container.get("restartCount") or 0
            for state, again in (("lastState", True), ("state", False)):
                ended = (container.get(state) or {}).get("terminated")
                if ended and ended.get("finishedAt") and (again or ended.get("exitCode")):
                    yield _of_exit(name, container["name"], ended, restarts if again else 0)


def _of_exit(pod: str, container: str, ended: Mapping[str, Any], restarts: int) -> Moment:
    reason, code = ended.get("reason") or "", ended.get("exitCode")
    kind = "OOMKill" if reason == "OOMKilled" else "Restart" if restarts else "ContainerExit"
    words = f"exit code {code}" + (f" ({reason})" if reason else "") + (f": {ended['message']}" if ended.get("message") else "")
    if restarts:
        words += f"; restarted {'once' if restarts == 1 else f'{restarts} times'} until now"
    return Moment(ended["finishedAt"], kind, pod, one_line(words, MAX_MESSAGE), container)


def _of_node(node: Mapping[str, Any]) -> Iterator[Moment]:
    for condition in (node.get("status") or {}).get("conditions") or []:
        healthy = "True" if condition["type"] == "Ready" else "False"
        if condition["status"] != healthy and condition.get("lastTransitionTime"):
            words = f"{condition['type']} is {condition['status']}: {condition.get('message')}"
            name = f"node/{node['metadata']['name']}"
            yield Moment(condition["lastTransitionTime"], "NodeTrouble", name, one_line(words, MAX_MESSAGE))
