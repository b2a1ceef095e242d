"""The Job of a capture, and what its status says. Pure.

Speaks batch/v1 Job. The chart's PodTemplate has all that a pod needs. Of the Investigation only name and uid get into the Job.
"""

import copy
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aletheia_operator.api import InvestigationSpec, parse_duration
from aletheia_operator.api.requests import LogsRequest
from aletheia_operator.api.types import parse_bytes
from aletheia_operator.clients.kill_timer import EXIT_CODE
from aletheia_operator.handlers.fence import fence_name
from aletheia_operator.session import InvestigationReference

UID_LABEL = "aletheia.dev/investigation-uid"
INVESTIGATION = "aletheia.dev/investigation"
"""Annotation of Jobs and their pods: NAMESPACE/NAME, which is too long for a label."""
STOPPED = 128 + int(signal.SIGTERM)
"""Exit code of a process that was asked to stop, and did so in good order: a shell reports one that SIGTERM ended by it."""
RETRIES = 3
"""Pods that may fail before the Job has failed.

Those that were evicted, preempted or deleted do not count if their process stopped in time, nor those that lost the Lease.
"""
MARGIN_SECONDS = 300
"""Time of a Job beyond the timeouts of capture and upload: to start, to wait for the Lease, and for retries."""
TTL_SECONDS = 120
"""Time until a finished Job is removed, with its pods and their logs."""
UNREADY_SECONDS = 120.0
"""Longest time without a ready pod: it cannot be scheduled or started (STUCK), or its node is gone, or was killed often (LOST).

The Job controller waits 10 s before the second pod, and twice as long before each further one.
"""

Object = Mapping[str, Any]


def job_of(template: Object, owner: InvestigationReference, spec: InvestigationSpec) -> dict[str, Any]:
    """Return the Job of a capture. `template`: the PodTemplate.

    The Job gets the labels of the PodTemplate, and the annotations of its pods: queues and schedulers of the cluster look at
    them. Annotations of the PodTemplate itself belong to the tools that have installed it.
    The PodTemplate owns the Job: the Job is removed with the release, and GitOps tools do not take it for one of their objects.
    """
    metadata = template["metadata"]
    pod = copy.deepcopy(dict(template["template"]))
    marks = {"labels": {UID_LABEL: owner.uid}, "annotations": {INVESTIGATION: f"{owner.namespace}/{owner.name}"}}
    for field, added in marks.items():
        pod["metadata"] = {**(pod.get("metadata") or {}), field: {**((pod.get("metadata") or {}).get(field) or {}), **added}}
    container = pod["spec"]["containers"][0]
    container["args"] = [*(container.get("args") or ()), owner.namespace, owner.name, owner.uid]
    pod["spec"]["restartPolicy"] = "Never"
    ignored = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "Ignore",
            "onExitCodes": {"containerName": container["name"], "operator": "In", "values": [EXIT_CODE, STOPPED]},
        },
    ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": fence_name(owner.uid),
            "labels": {**(metadata.get("labels") or {}), **marks["labels"]},
            "annotations": pod["metadata"]["annotations"],
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "PodTemplate",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": RETRIES,
            "podReplacementPolicy": "Failed",  # never two pods at once
            "podFailurePolicy": {"rules": ignored},
            "activeDeadlineSeconds": deadline_seconds(spec),
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": pod,
        },
    }


def investigation_of(job: Object) -> InvestigationReference | None:
    """Return the Investigation of a Job; None if `job_of` did not make it."""
    metadata = job["metadata"]
    namespace, _, name = (metadata.get("annotations") or {}).get(INVESTIGATION, "").partition("/")
    uid = (metadata.get("labels") or {}).get(UID_LABEL)
    return InvestigationReference(namespace=namespace, name=name, uid=uid) if uid and name else None


def deadline_seconds(spec: InvestigationSpec) -> int:
    """Return the seconds that a Job may run."""
    upload = spec.session.upload if spec.session else None
    return parse_duration(spec.timeout) + (parse_duration(upload.timeout) if upload else 0) + MARGIN_SECONDS


def is_large(spec: InvestigationSpec, questions: int, most_questions: int, most_bytes: int) -> bool:
    """Return whether a capture with a plan of so many questions is above one of the limits.

    Its bytes are what spec.logs.limits allow: as if each question was one container's log.
    """
    if questions > most_questions:
        return True
    if not spec.of_targets("logs"):
        return False
    limits = (spec.logs or LogsRequest()).limits
    per_container, in_all = parse_bytes(limits.bytes_per_container), parse_bytes(limits.bytes_per_investigation)
    return min(questions * per_container, in_all) > most_bytes


class JobState(Enum):
    """What the operator has to know of a Job."""

    RUNS = "it runs, or will run"
    COMPLETE = "its process said that nothing is left to do"
    FAILED = "it failed for good"
    STUCK = "none of its pods was ready in time"
    LOST = "its pods were ready, and none has been for too long"
    GONE = "there is no such Job"


@dataclass
class JobWatch:
    """One Job, as it was seen from time to time."""

    unready_since: float | None = None
    has_run: bool = False
    """Whether one of its pods was ready."""
    missed: int = 0
    """Times in a row that it was not found: a list may be older than the Job."""

    def see(self, job: Object | None, now: float) -> JobState:
        """Return the state. `job` None: it was not found. `now`: monotonic seconds."""
        if job is None:
            self.missed += 1
            return JobState.GONE if self.missed > 1 else JobState.RUNS
        self.missed = 0
        status = job.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
                return JobState.COMPLETE if condition["type"] == "Complete" else JobState.FAILED
        is_queued = (job.get("spec") or {}).get("suspend")  # by Kueue, for example
        self.has_run = self.has_run or bool(status.get("ready"))
        if status.get("ready") or is_queued:
            self.unready_since = None
        elif self.unready_since is None:
            self.unready_since = now
        elif now - self.unready_since > UNREADY_SECONDS:
            return JobState.LOST if self.has_run else JobState.STUCK
        return JobState.RUNS
