"""From evidence to the headline: each rule, with the evidence that it needs, and without it."""

import copy
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.evidence import NAMESPACE, START, Incident, at, ended, event, pod, running, waiting

HUGE = {"name": "app", "image": "shop/app:2", "resources": {"requests": {"cpu": "64"}}}
LIMITED = {"resources": {"limits": {"memory": "64Mi"}}}


def crash_loop() -> Incident:
    status = waiting("CrashLoopBackOff", restarts=4, last=ended(1, minute=30))
    message = "Back-off restarting failed container app in pod web-1-a_shop(uid)"
    return (
        Incident()
        .add(pod("web-1-a", status))
        .add_event(event("BackOff", message, container="app", count=12, until=32))
        .log(
            "web-1-a",
            "27 INFO replaying the journal",
            "27.5 2026-11-22 14:27:30,123 CRITICAL ledger: panic: record 40: bad checksum, torn write?",
            run=4,
        )
    )


def oom_killed() -> Incident:
    return Incident().add(pod("web-1-a", running(restarts=3, last=ended(137, "OOMKilled"), spec=LIMITED)))


def exit_without_words(code: int, reason: str = "Error") -> Incident:
    return Incident().add(pod("web-1-a", waiting("CrashLoopBackOff", restarts=2, last=ended(code, reason))))


def image(reason: str, pulled: str) -> Incident:
    failed = event("Failed", f'Failed to pull image "shop/app:2": {pulled}', container="app")
    return Incident().add(pod("web-1-a", waiting(reason, 'Back-off pulling image "shop/app:2"'))).add_event(failed)


def waits(reason: str, message: str) -> Incident:
    return Incident().add(pod("web-1-a", waiting(reason, message)))


CASES: dict[str, tuple[Incident, str, str]] = {
    "a crash loop says its last words": (
        crash_loop(),
        "CrashLoop",
        "web: FATAL panic: record 40: bad checksum, torn write? (exit 1, 4 restarts since 14:28)",
    ),
    "a kill for memory says the limit": (
        oom_killed(),
        "OOMKilled",
        "web: out of memory: killed at its memory limit of 64Mi (exit 137, SIGKILL, 3 restarts since 14:28)",
    ),
    "a kill that was not for memory": (
        exit_without_words(137),
        "Killed",
        "web: killed, and not for its memory limit (exit 137, SIGKILL, 2 restarts since 14:28)",
    ),
    "a segmentation fault": (
        exit_without_words(139),
        "SegmentationFault",
        "web: crashed with a segmentation fault (exit 139, SIGSEGV, 2 restarts since 14:28)",
    ),
    "a SIGTERM": (
        exit_without_words(143),
        "Terminated",
        "web: stopped by SIGTERM, and started again (exit 143, SIGTERM, 2 restarts since 14:28)",
    ),
    "a program that ends by itself": (
        exit_without_words(0, "Completed"),
        "EndsByItself",
        "web: ends by itself without an error, and is started again (exit 0, 2 restarts since 14:28)",
    ),
    "an image that does not exist": (
        image("ImagePullBackOff", 'failed to resolve reference "docker.io/shop/app:2": docker.io/shop/app:2: not found'),
        "ImagePull",
        "web: image shop/app:2 cannot be pulled: the registry has no such image or tag (since 14:28)",
    ),
    "an image that needs credentials": (
        image("ErrImagePull", "failed to authorize: 401 Unauthorized"),
        "ImagePull",
        "web: image shop/app:2 cannot be pulled: the registry refuses without credentials, or has no such repository"
        " (since 14:28)",
    ),
    "a ConfigMap that does not exist": (
        waits("CreateContainerConfigError", 'configmap "settings" not found'),
        "ConfigMissing",
        'web: cannot be configured: configmap "settings" not found (since 14:01)',
    ),
    "a key that a Secret does not have": (
        waits("CreateContainerConfigError", "couldn't find key password in Secret shop/db"),
        "ConfigMissing",
        "web: cannot be configured: couldn't find key password in Secret shop/db (since 14:01)",
    ),
    "a command that does not exist": (
        waits("RunContainerError", 'exec: "srv": executable file not found in $PATH: unknown'),
        "ContainerCannotStart",
        'web: cannot be started: exec: "srv": executable file not found in $PATH: unknown (since 14:01)',
    ),
}


def pending(message: str, **spec: Any) -> Incident:
    """A pod that no node takes."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    status = {"phase": "Pending", "conditions": [condition | {"lastTransitionTime": at(20)}], "containerStatuses": []}
    return Incident().add(pod("web-1-a", running(), spec=spec, status=status))


def refusal(message: str) -> Incident:
    short = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 2}, "status": {"availableReplicas": 0}}
    replica_set = {"kind": "ReplicaSet", "metadata": {"name": "web-1"}, "spec": {}}
    failed = event("FailedCreate", message, name="web-1", kind="ReplicaSet", count=9, until=58)
    return Incident().add(short, replica_set).add_event(failed)


def a_node(**status: Any) -> Any:
    return {"kind": "Node", "metadata": {"name": "n1", "creationTimestamp": "2026-11-01T00:00:00Z"}, "status": status}


def a_service(selector: dict[str, str], target: int | str = 8080) -> Any:
    ports = [{"port": 80, "targetPort": target}]
    return {"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": selector, "ports": ports}}


def a_slice(*endpoints: Any) -> Any:
    labels = {"kubernetes.io/service-name": "web"}
    return {"kind": "EndpointSlice", "metadata": {"name": "web-x", "labels": labels}, "endpoints": [*endpoints]}


def unready(**more: Any) -> Any:
    return pod("web-1-a", running(ready=False, **more))


def job(reason: str, **status: Any) -> Any:
    condition = {"type": "Failed", "status": "True", "reason": reason, "message": "Job failed", "lastTransitionTime": at(40)}
    return {
        "kind": "Job",
        "metadata": {"name": "migrate"},
        "spec": {"activeDeadlineSeconds": 60},
        "status": {"conditions": [condition], **status},
    }


def a_crashed_job() -> Incident:
    failed = pod(
        "migrate-x",
        {"name": "app", "ready": False, "restartCount": 0, "state": {"terminated": ended(1)}},
        of="migrate",
        kind="Job",
    )
    failed["status"]["phase"] = "Failed"
    return (
        Incident()
        .add(job("BackoffLimitExceeded", failed=4), failed, of=("Job", "migrate"))
        .log("migrate-x", "27 ERROR relation orders does not exist")
    )


def hpa(*conditions: tuple[str, str, str, str], current: int = 3) -> Any:
    reported = [
        {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at(25)}
        for kind, status, reason, message in conditions
    ]
    target = {"resource": {"name": "cpu", "target": {"averageUtilization": 80}}}
    usage = {"resource": {"name": "cpu", "current": {"averageUtilization": 180}}}
    status = {"currentReplicas": current, "conditions": reported, "currentMetrics": [usage]}
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"maxReplicas": 3, "metrics": [target]},
        "status": status,
    }


def caller_logs(*lines: str, name: str = "pay-1-a") -> Incident:
    """A healthy caller that logs these lines repeatedly until the end."""
    lines_of = [f"{30 + number} {lines[number % len(lines)]}" for number in range(30)]
    return (
        Incident().add(pod(name, running(), of="pay-1", labels={"app": "pay"}), of=("Deployment", "pay")).log(name, *lines_of)
    )


def refused_by_ledger() -> Incident:
    return caller_logs("ERROR charge failed: dial tcp: connect to ledger:8080: connection refused")


def a_cascade() -> Incident:
    """The ledger crashes, payments is refused, checkout gets errors of payments."""
    incident = refused_by_ledger()
    status = waiting("CrashLoopBackOff", restarts=4, last=ended(1, minute=30))
    incident.add(pod("ledger-1-a", status, of="ledger-1", labels={"app": "ledger"}), of=("Deployment", "ledger"))
    incident.log("ledger-1-a", "29 panic: record 40: torn write?", run=4)
    checkout = pod("checkout-1-a", running(), of="checkout-1", labels={"app": "checkout"})
    incident.add(checkout, of=("Deployment", "checkout"))
    lines_of = [f"{30 + number / 2} ERROR order {number} failed: payments answered 503" for number in range(50)]
    return incident.log("checkout-1-a", *lines_of)


CASES |= {
    "a request that no node has room for": (
        pending("0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available.", containers=[HUGE]),
        "Unschedulable",
        "web: a pod is not scheduled: insufficient cpu on 3 of 3 nodes, 64 asked (since 14:20)",
    ),
    "a taint": (
        pending("0/2 nodes are available: 2 node(s) had untolerated taint {gpu: true}. preemption: ..."),
        "Unschedulable",
        "web: a pod is not scheduled: taint gpu on 2 nodes is not tolerated (since 14:20)",
    ),
    "a node selector": (
        pending("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", nodeSelector={"disk": "ssd"}),
        "Unschedulable",
        "web: a pod is not scheduled: no node matches its node selector or affinity {'disk': 'ssd'} (since 14:20)",
    ),
    "a volume in another zone": (
        pending("0/2 nodes are available: 2 node(s) had volume node affinity conflict."),
        "Unschedulable",
        "web: a pod is not scheduled: its volume lies in another zone or on another node (since 14:20)",
    ),
    "a claim without a storage class": (
        pending("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
        .add(
            {
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data", "creationTimestamp": at(10)},
                "spec": {"storageClassName": "fast"},
                "status": {"phase": "Pending"},
            }
        )
        .add_event(
            event(
                "ProvisioningFailed",
                'storageclass.storage.k8s.io "fast" not found',
                name="data",
                kind="PersistentVolumeClaim",
                minute=19,
            )
        ),
        "ClaimNotBound",
        'web: volume claim data is not bound: storageclass.storage.k8s.io "fast" not found (since 14:19)',
    ),
    "a mount of a Secret that does not exist": (
        Incident()
        .add(pod("web-1-a", waiting("ContainerCreating")))
        .add_event(event("FailedMount", 'MountVolume.SetUp failed for volume "tls" : secret "web-tls" not found', until=58)),
        "VolumeNotMounted",
        'web: a volume cannot be mounted: tls: secret "web-tls" not found (since 14:28)',
    ),
    "a quota": (
        refusal(
            'Error creating: pods "web-1-x" is forbidden: exceeded quota: team, requested: limits.memory=1Gi,'
            " used: limits.memory=3Gi, limited: limits.memory=3Gi"
        ),
        "QuotaExceeded",
        "web: pods cannot be created: quota team is exceeded: limits.memory=1Gi asked, limits.memory=3Gi used of"
        " limits.memory=3Gi (since 14:28)",
    ),
    "a limit range": (
        refusal('pods "web-1-x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'),
        "LimitRange",
        "web: pods cannot be created: limit range: maximum memory usage per Container is 1Gi, but limit is 2Gi (since 14:28)",
    ),
    "pod security": (
        refusal('pods "web-1-x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'),
        "PodSecurity",
        "web: pods cannot be created: pod security restricted:latest forbids: allowPrivilegeEscalation != false (since 14:28)",
    ),
    "a webhook that does not answer": (
        refusal(
            'Internal error occurred: failed calling webhook "guard.corp.io": failed to call webhook:'
            ' Post "https://guard.corp.svc": connection refused'
        ),
        "WebhookUnavailable",
        "web: pods cannot be created: webhook guard.corp.io does not answer: failed to call webhook:"
        ' Post "https://guard.corp.svc": connection refused (since 14:28)',
    ),
    "a service account that does not exist": (
        refusal('pods "web-1-x" is forbidden: error looking up service account shop/robot: serviceaccount "robot" not found'),
        "ServiceAccountMissing",
        "web: pods cannot be created: service account shop/robot does not exist (since 14:28)",
    ),
    "a node that is not ready": (
        Incident(
            shared=[
                a_node(
                    conditions=[
                        {
                            "type": "Ready",
                            "status": "Unknown",
                            "message": "Kubelet stopped posting node status.",
                            "lastTransitionTime": at(15),
                        }
                    ]
                )
            ]
        ).add(unready()),
        "NodeNotReady",
        "node n1 is not ready: Kubelet stopped posting node status. (since 14:15)",
    ),
    "an eviction": (
        Incident().add(
            pod(
                "web-1-a",
                status={
                    "phase": "Failed",
                    "reason": "Evicted",
                    "message": "The node was low on resource: memory.",
                    "startTime": at(20),
                    "conditions": [],
                },
            )
        ),
        "Evicted",
        "web: evicted: The node was low on resource: memory. (at 14:20)",
    ),
    "a liveness probe that restarts": (
        Incident()
        .add(pod("web-1-a", running(restarts=3, last=ended(137), ready=False)))
        .add_event(
            event(
                "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500", container="app", count=9, until=58
            ),
            event("Killing", "Container app failed liveness probe, will be restarted", container="app", type="Normal"),
        ),
        "LivenessProbe",
        "web: restarted by its liveness probe: HTTP 500 (9x since 14:28)",
    ),
    "a readiness probe that fails": (
        Incident()
        .add(pod("web-1-a", running(ready=False, spec={"readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}}})))
        .add_event(
            event(
                "Unhealthy",
                'Readiness probe failed: Get "http://10.0.0.4:8080/ready": dial tcp 10.0.0.4:8080: connect: connection refused',
                container="app",
                count=90,
                until=59,
            )
        ),
        "ReadinessProbe",
        "web: its readiness probe fails (/ready on 8080): dial tcp 10.0.0.4:8080: connect: connection refused"
        " (90x since 14:28)",
    ),
    "a Job that ran out of time": (
        Incident().add(job("DeadlineExceeded", failed=1), of=("Job", "migrate")),
        "JobFailed",
        "migrate: the Job ran out of time of 60 s (1 pod failed, at 14:40)",
    ),
    "a Job that gave up says the last words of its pods": (
        a_crashed_job(),
        "CrashLoop",
        "migrate: relation orders does not exist (exit 1 since 14:28)",
    ),
    "a CronJob that missed its time": (
        Incident()
        .add({"kind": "CronJob", "metadata": {"name": "report"}, "spec": {}}, of=("CronJob", "report"))
        .add_event(event("MissSchedule", "Missed scheduled time to start a job: Sun", name="report", kind="CronJob")),
        "CronJobMissed",
        "report: the CronJob Missed scheduled time to start a job: Sun (since 14:28)",
    ),
    "a selector that matches no pod": (
        Incident().add(pod("web-1-a", running()), a_service({"app": "wep"}), a_slice()),
        "ServiceSelectsNothing",
        "service web has no working endpoint: its selector app=wep matches no pod; pods have app=web",
    ),
    "a port that no container has": (
        Incident().add(pod("web-1-a", running(spec={"ports": [{"containerPort": 80}]})), a_service({"app": "web"}, 8081)),
        "ServicePortMismatch",
        "service web has no working endpoint: its targetPort 8081 is no port of the pods (they have 80)",
    ),
    "an autoscaler at its maximum": (
        Incident().add(
            pod("web-1-a", running()),
            hpa(("ScalingActive", "True", "", ""), ("ScalingLimited", "True", "TooManyReplicas", "the desired count is more")),
        ),
        "AutoscalerAtMaximum",
        "autoscaler web is at its maximum of 3 replicas: cpu 180 % of 80 % (since 14:25)",
    ),
    "an autoscaler without metrics": (
        Incident().add(
            pod("web-1-a", running()), hpa(("ScalingActive", "False", "FailedGetResourceMetric", "unable to get metrics"))
        ),
        "AutoscalerWithoutMetrics",
        "autoscaler web cannot scale: unable to get metrics (since 14:25)",
    ),
    "a disruption budget that never lets a pod go": (
        Incident().add(
            pod("web-1-a", running()),
            {
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "web"},
                "spec": {"minAvailable": 1},
                "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
            },
        ),
        "DisruptionBlocked",
        "disruption budget web lets no pod go: 1 healthy of 1 demanded pod (minAvailable 1, 1 pod)",
    ),
    "a rollout that hangs": (
        Incident().add(
            {
                "kind": "Deployment",
                "metadata": {"name": "web"},
                "spec": {"replicas": 2},
                "status": {
                    "availableReplicas": 2,
                    "updatedReplicas": 1,
                    "conditions": [
                        {
                            "type": "Progressing",
                            "status": "False",
                            "reason": "ProgressDeadlineExceeded",
                            "lastTransitionTime": at(30),
                        }
                    ],
                },
            }
        ),
        "RolloutStuck",
        "web: the rollout hangs: the new revision has 1 of 2 pods, 2 available (since 14:30)",
    ),
    "a workload that was scaled to nothing": (
        Incident().add({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 0}, "status": {}}),
        "ScaledToZero",
        "web: scaled to 0 replicas",
    ),
    "a dependency that refuses": (
        refused_by_ledger(),
        "DependencyDoesNotAnswer",
        "ledger refuses connections, pay says: charge failed: dial tcp: connect to ledger:8080: connection refused"
        " (30x since 14:30)",
    ),
    "a dependency that crashes explains its callers": (
        a_cascade(),
        "CrashLoop",
        "ledger: FATAL panic: record 40: torn write? (exit 1, 4 restarts since 14:30)",
    ),
    "a name that is not resolved": (
        caller_logs("ERROR dial tcp: lookup legder on 10.96.0.10:53: no such host"),
        "NameNotResolved",
        "pay: DNS does not resolve legder: dial tcp: lookup legder on 10.96.0.10:53: no such host (30x since 14:30)",
    ),
    "a certificate that has expired": (
        caller_logs("ERROR Post https://bank.example: x509: certificate has expired or is not yet valid"),
        "CertificateInvalid",
        "pay: a certificate is not accepted: Post https://bank.example: x509: certificate has expired or is not yet valid"
        " (30x since 14:30)",
    ),
    "credentials that are refused": (
        caller_logs('ERROR FATAL: password authentication failed for user "shop"'),
        "CredentialsRefused",
        'pay: credentials are refused or expired: password authentication failed for user "shop" (30x since 14:30)',
    ),
    "a disk that is full": (
        caller_logs("ERROR write /data/journal: no space left on device"),
        "DiskFull",
        "pay: a disk is full or not writable: write /data/journal: no space left on device (30x since 14:30)",
    ),
    "errors that begin within the window": (
        caller_logs("ERROR cannot parse order 17: unexpected end of input"),
        "Errors",
        "pay: cannot parse order 17: unexpected end of input (30x since 14:30)",
    ),
}


def healthy(*more: Any) -> Incident:
    return Incident().add(pod("web-1-a", running()), pod("web-1-b", running()), *more)


def a_broken_rollout() -> Incident:
    """Revision 2 changes a setting, and its pod crashes."""
    rollouts = [
        {"revision": n, "name": f"web-{n}", "created": at(minute), "in_window": True, "summary": f"revision {n} rolled out"}
        for n, minute in ((1, 5), (2, 28))
    ]
    incident = Incident(rollouts={("Deployment", "web"): rollouts})
    for number, region in ((1, "eu-1"), (2, "eu-9")):
        container = {"name": "app", "image": "shop/app:2", "env": [{"name": "REGION", "value": region}]}
        metadata = {"name": f"web-{number}", "creationTimestamp": at(20)}
        incident.add({"kind": "ReplicaSet", "metadata": metadata, "spec": {"template": {"spec": {"containers": [container]}}}})
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(1, minute=30))
    incident.add(pod("web-2-a", status, of="web-2", labels={"app": "web", "pod-template-hash": "2"}))
    return incident.log("web-2-a", "29 FATAL unknown region eu-9", run=3)


def measured(template: str, before: float, after: float, **metadata: Any) -> Incident:
    """A healthy workload, and a series of it that steps in the middle of its half hour."""
    values = [[(START + timedelta(minutes=minute)).timestamp(), str(before if minute < 15 else after)] for minute in range(30)]
    series = {"metric": {"service": "web", "pod": "web-1-a"}, "values": values}
    fields = {"template": template, "query": f"{template}()", "step_seconds": 60, **metadata}
    incident = healthy()
    incident.more.append(("prometheus", "metrics", f"data/metrics/{template}.json", fields, [series]))
    return incident


def traced() -> Incident:
    """Calls of pay fail in bank, which appears only in traces."""
    start = (START + timedelta(minutes=30)).timestamp() * 1e6
    processes = {"p": {"serviceName": "pay"}, "b": {"serviceName": "bank"}}
    failed = [{"key": "error", "value": True}, {"key": "error.message", "value": "limit reached"}]
    traces = []
    for number in range(6):
        parent = {"spanID": "1", "processID": "p", "startTime": start + number, "duration": 9, "tags": failed, "references": []}
        called = [{"refType": "CHILD_OF", "spanID": "1"}]
        child = {
            "spanID": "2",
            "processID": "b",
            "startTime": start + number,
            "duration": 5,
            "tags": failed,
            "references": called,
        }
        traces.append({"traceID": str(number), "processes": processes, "spans": [parent, child]})
    incident = caller_logs("INFO paid")
    incident.more.append(("jaeger", "traces", "data/traces/pay.json", {"service": "pay"}, traces))
    return incident


def lines_of_loki() -> Incident:
    """A service without captured pods, and one with captured pods: its lines count once."""
    incident = caller_logs("ERROR cannot parse order 17: unexpected end of input")
    entries = []
    for minute in range(30, 59):
        stamp = at(minute)[:-1] + ".000000000Z"
        for labels in ({"app": "mail", "container": "smtp"}, {"pod": "pay-1-a", "app": "pay"}):
            line = f"ERROR mailbox {minute} of {labels['app']} is locked by another delivery"
            entries.append({"timestamp": stamp, "labels": labels, "line": line, "level": "ERROR"})
    del incident.logs["pay-1-a"]
    incident.log("pay-1-a", "30 INFO paid")
    incident.more.append(("loki", "logs", "data/logs/loki.json", {"query": "{}"}, entries))
    return incident


CASES |= {
    "an error rate that stepped": (
        measured("error_rate", 0.001, 0.05),
        "ErrorRateRose",
        "web: its error rate rose from 0.1 % to 5 % (since 14:15)",
    ),
    "a latency that stepped": (
        measured("latency_p95", 0.2, 0.9),
        "LatencyRose",
        "web: its latency (p95) rose from 200 ms to 900 ms (since 14:15)",
    ),
    "a processor that is throttled": (
        measured("cpu_throttling", 0.0, 0.6),
        "CpuThrottled",
        "web: its processor is throttled: 60 % (since 14:15)",
    ),
    "an error rate over its baseline": (
        measured(
            "error_rate",
            0.009,
            0.009,
            baseline={"offset": "24h", "changed": [{"level": 0.009, "baseline_level": 0.001}]},
        ),
        "DiffersFromBaseline",
        "error_rate: level 0.9 % against 0.1 % 24h before",
    ),
    "a service in which calls of traces fail": (
        traced(),
        "SpansFail",
        "bank: 6 of 6 spans failed: limit reached (since 14:30)",
    ),
    "errors that Loki knows alone": (
        lines_of_loki(),
        "Errors",
        "mail: mailbox 30 of mail is locked by another delivery (29x since 14:30)",
    ),
    "a rollout whose pods crash": (
        a_broken_rollout(),
        "CrashLoop",
        "web: FATAL unknown region eu-9 (exit 1, 3 restarts since 14:30); new in revision 2: app env REGION eu-1 → eu-9",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_first_finding_says_what_broke(name: str) -> None:
    """The headline has the workload, the cause and since when."""
    incident, rule, headline = CASES[name]
    verdict = incident.judged()
    assert verdict.failed == []
    assert (verdict.findings[0].rule, verdict.headline) == (rule, headline)
    is_information = [finding.severity == "info" for finding in verdict.findings]
    assert is_information == sorted(is_information), "trouble comes first, so that its numbers are the same everywhere"


WHOLE = Path(__file__).parents[1] / "data" / "findings.json"


@pytest.mark.parametrize("name", CASES)
def test_what_else_the_findings_say(name: str) -> None:
    """Each, by its rule and object: severity, confidence, first time, links, cause and details. `WHOLE` has them all.

    After a change that is meant, `REWRITE_FINDINGS=1 pytest` writes the file again: look at its difference.
    """
    whole = json.loads(WHOLE.read_bytes()) if WHOLE.exists() else {}
    found = []
    for finding in (finding.to_json(NAMESPACE) for finding in CASES[name][0].judged().findings):
        assert finding.pop("message")
        finding["remedy"] = bool(finding.get("remedy"))
        found.append(finding)
    if os.environ.get("REWRITE_FINDINGS"):
        WHOLE.write_text(json.dumps({**whole, name: found}, indent=1, sort_keys=True) + "\n")
    assert found == whole.get(name)


@pytest.mark.parametrize("name", CASES)
def test_every_link_leads_to_an_entry_about_the_finding(name: str) -> None:
    """The entry is there, and names the object, one of its pods, or the container that the finding is about."""
    incident, _, _ = CASES[name]
    verdict = incident.judged()
    for finding in verdict.findings:
        assert finding.links, finding
        for link in finding.links:
            entry = json.dumps(incident.files[link.artifact.path][link.entry]) + link.artifact.path
            caller = str(finding.details.get("caller") or finding.subject.name)
            names = {finding.subject.name, caller, *finding.pods, *finding.nodes, *finding.callees}
            assert any(name in entry for name in names), (finding.message, entry)


@pytest.mark.parametrize("name", CASES)
def test_without_the_entries_that_it_cites_a_finding_goes_or_changes(name: str) -> None:
    """No finding says the same without its evidence."""
    incident, _, _ = CASES[name]
    first = incident.judged().findings[0]
    cited: dict[str, set[int]] = {}
    for link in first.links:
        cited.setdefault(link.artifact.path, set()).add(link.entry)
    again = incident.without(cited).judged().findings
    assert not any((finding.rule, finding.message) == (first.rule, first.message) for finding in again)


def with_noise(incident: Incident) -> Incident:
    """The same among 500 unrelated events, pods and error lines, as every busy cluster has them."""
    noisy = copy.deepcopy(incident)
    calm = ("Deployment", "calm")
    noisy.add(*(pod(f"calm-1-{number}", running(), of="calm-1", labels={"app": "calm"}) for number in range(500)), of=calm)
    for number in range(500):
        name = f"calm-1-{number}"
        noisy.add_event(event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", name, minute=2))
        noisy.add_event(event("NodeHasSufficientMemory", "status is now", f"n{number}", "Node", type="Normal", minute=1))
    lines = [f"{number % 60} ERROR request {number} rejected: order {number} is not valid" for number in range(500)]
    return noisy.log("calm-1-0", *sorted(lines, key=lambda line: int(line.partition(" ")[0])))


@pytest.mark.parametrize("name", CASES)
def test_noise_does_not_move_the_verdict(name: str) -> None:
    """The headline is the same."""
    incident, rule, headline = CASES[name]
    verdict = with_noise(incident).judged()
    assert (verdict.findings[0].rule, verdict.headline) == (rule, headline)


def rolling_restart() -> Incident:
    incident = healthy()
    killed = (event("Killing", "Stopping container app", f"web-0-{letter}", type="Normal", minute=20) for letter in "ab")
    old = (event("Unhealthy", "Readiness probe failed: connection refused", f"web-0-{letter}", minute=20) for letter in "ab")
    incident.gone = [{"name": f"web-0-{letter}", "owner": "Deployment/web"} for letter in "ab"]
    return incident.add_event(*killed, *old)


def slow_start() -> Incident:
    failing = 'Startup probe failed: Get "http://10.0.0.4/": dial tcp 10.0.0.4:80: connect: connection refused'
    return healthy().add_event(event("Unhealthy", failing, container="app", count=14, minute=2, until=4))


def job_after_a_retry() -> Incident:
    done = {"type": "Complete", "status": "True", "lastTransitionTime": at(40)}
    succeeded = {"kind": "Job", "metadata": {"name": "migrate"}, "spec": {}, "status": {"failed": 1, "conditions": [done]}}
    state = {"name": "app", "ready": False, "restartCount": 0, "state": {"terminated": ended(1)}}
    failed = pod("migrate-x", state, of="migrate", kind="Job", status={"phase": "Failed"})
    incident = Incident().add(succeeded, failed, of=("Job", "migrate"))
    return incident.log("migrate-x", "27 ERROR database is not there yet: connection refused to db:5432")


def scaled_up() -> Incident:
    message = "0/1 nodes are available: 1 Insufficient cpu."
    return healthy().add_event(
        event("ScalingReplicaSet", "Scaled up replica set web-1 from 1 to 2", "web", "Deployment", type="Normal"),
        event("FailedScheduling", message, "web-1-b", minute=28),
    )


def node_boot() -> Incident:
    young = {"kind": "Node", "metadata": {"name": "n1", "creationTimestamp": at(0)}}
    young["status"] = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(1)}]}
    incident = healthy().add_event(
        event("NodeNotReady", "Node n1 status is now: NodeNotReady", "n1", "Node", type="Normal", minute=0.5),
        event("InvalidDiskCapacity", "invalid capacity 0 on image filesystem", "n1", "Node", minute=0.5),
        event("Rebooted", "Node n1 has been rebooted", "n1", "Node", minute=0.5),
    )
    incident.shared.append(young)
    return incident


QUIET: dict[str, Incident] = {
    "two pods": healthy(),
    "a rolling restart": rolling_restart(),
    "a scale up that waited for a node": scaled_up(),
    "a slow start": slow_start(),
    "INFO lines with the word error": healthy().log(
        "web-1-a", *(f"{n} INFO handled error report {n}: connection refused by user, timed out" for n in range(50))
    ),
    "a warning about a retry": healthy().log("web-1-a", "5 WARN connect to db:5432: connection refused, retrying"),
    "a Job that succeeds after a retry": job_after_a_retry(),
    "a mount that was late": healthy().add_event(event("FailedMount", 'MountVolume.SetUp failed for volume "c" : timed out')),
    "a node that boots": node_boot(),
    "one failed probe": healthy().add_event(event("Unhealthy", "Readiness probe failed: HTTP 503", minute=59)),
    "an old restart": Incident().add(
        pod("web-1-a", running(restarts=1, last={"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-20T10:00:00Z"}))
    ),
    "a few errors": healthy().log("web-1-a", *(f"{20 * n} ERROR client closed request {n}" for n in range(3))),
}


@pytest.mark.parametrize("name", QUIET)
def test_healthy_workloads_have_nothing_above_info(name: str) -> None:
    """The headline counts what was read instead."""
    verdict = QUIET[name].judged()
    assert verdict.failed == []
    assert [
        (finding.rule, finding.severity, finding.message) for finding in verdict.findings if finding.severity != "info"
    ] == []
    assert verdict.headline.startswith(("no trouble found:", "no cause found in"))


def test_what_was_looked_at_is_told_of_a_healthy_workload() -> None:
    """Pods, lines, errors."""
    verdict = healthy().log("web-1-a", *(f"{n} INFO all is well" for n in range(40))).judged()
    assert verdict.headline == "no trouble found: 2 pods, 40 lines, 0 errors, 2 objects"


def test_errors_are_grouped_over_pods_and_runs() -> None:
    """Lines that differ in numbers alone are one template, with its counts and an example."""
    lines = [f"{n} ERROR order {n}: charge of {n * 7} EUR failed trace_id={'ab' * 16}" for n in range(20)]
    verdict = healthy().log("web-1-a", *lines).log("web-1-b", *lines[:5]).judged()
    (top,) = verdict.top_errors
    assert (top["count"], top["pods"], top["trace_id"]) == (25, 2, "ab" * 16)
    assert top["template"].startswith("order #: charge of # EUR failed")
    lines = [f"{n} ERROR user {name} is not known to realm shop" for n, name in enumerate(("ann", "bob", "cy"))]
    (top,) = healthy().log("web-1-a", *lines).judged().top_errors
    assert (top["template"], top["variants"]) == ("user * is not known to realm shop", 3)
    assert top["evidence"] == {"artifact": "data/logs/web-1-a.json", "entry": 0}


HOSTILE = (
    "\x1b[2J\x00",
    "error " * 5000,
    '{"container":"app","run":4,"level":"FATAL"}',
    "a" * 100_000,
    "🐟" * 500,
    "((((" * 400,
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_stay_inert_and_cost_nothing(text: str) -> None:
    """A headline is one printable line of at most 160 characters, whatever a log, an event or a status says."""
    status = waiting("CrashLoopBackOff", text, restarts=4, last=ended(1, message=text))
    incident = Incident().add(pod("web-1-a", status)).add_event(event("BackOff", text, container="app"))
    incident.log("web-1-a", *(f"{n} FATAL {text} connection refused".replace("\x00", "?") for n in range(20)), run=4)
    began = time.perf_counter()
    verdict = incident.judged()
    assert time.perf_counter() - began < 2
    assert verdict.failed == []
    assert len(verdict.headline) <= 160
    assert verdict.headline.isprintable()
    assert all(json.dumps(finding.to_json("shop")).isprintable() for finding in verdict.findings)
