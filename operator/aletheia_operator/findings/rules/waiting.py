"""Rules for containers that wait: images that cannot be pulled, missing configuration, commands that cannot be run."""

from collections.abc import Iterator, Mapping
from typing import Any

from aletheia_operator.findings.case import Case, clock, containers_of, earlier
from aletheia_operator.findings.error_categories import runtime_message
from aletheia_operator.findings.events import Event
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.findings.objects import Fact, Object
from aletheia_operator.text.display import one_line

IMAGE = (
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable",
    "SignatureValidationFailed",
)  # fmt: skip
CONFIG = ("CreateContainerConfigError",)
CREATE = ("CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError")
_REGISTRY = (
    ("proxyconnect", "the proxy that its node pulls through does not answer"),
    ("no space left", "the disk of its node has no space left for images"),
    ("no such host", "the registry's name cannot be resolved"),
    ("x509", "the registry's certificate is not trusted"),
    ("expired", "the credentials for the registry have expired"),
    ("unauthorized", "the registry refuses without credentials, or has no such repository"),
    ("authorization failed", "the registry refuses the credentials, or has no such repository"),
    ("authentication required", "the registry asks for credentials"),
    ("denied", "the registry refuses access, or has no such repository"),
    ("forbidden", "the registry refuses access"),
    ("toomanyrequests", "the registry limits pulls"),
    ("connection refused", "the registry does not answer"),
    ("i/o timeout", "the registry does not answer in time"),
    ("no match for platform", "the image is not made for the node's architecture"),
    ("never", "the image is not on the node, and imagePullPolicy is Never"),
    ("couldn't parse image", "the image's name is not valid"),
    ("invalid reference format", "the image's name is not valid"),
    ("manifest unknown", "the registry has no such tag"),
    ("not found", "the registry has no such image or tag"),
)
"""Words of registries and runtimes with their meaning, the most specific first: several end with `not found`."""
MAX_QUOTED = 140


def cannot_start(case: Case) -> Iterator[Finding]:
    """Yield why containers wait to be started."""
    found: dict[tuple[Subject, str, str], Finding] = {}
    for fact, pod in case.pods():
        if pod["metadata"].get("deletionTimestamp"):
            continue
        for container, status, _ in containers_of(pod):
            waiting = (status.get("state") or {}).get("waiting") or {}
            finding = _of(case, fact, pod, container, waiting)
            if finding is None:
                continue
            key = finding.subject, finding.rule, container["name"]
            if (known := found.get(key)) is None:
                found[key] = finding
            else:
                known.pods |= finding.pods
                known.first_seen = earlier(known.first_seen, finding.first_seen)
                known.links += finding.links
    yield from found.values()


def _of(case: Case, fact: Fact, pod: Object, container: Mapping[str, Any], waiting: Mapping[str, Any]) -> Finding | None:
    reason = str(waiting.get("reason") or "")
    events = [
        event for event in case.by_subject.get(Subject("Pod", fact.name), ()) if event.container in ("", container["name"])
    ]
    if reason in IMAGE:
        failures = [
            event
            for event in events
            if event.reason in ("Failed", "ErrImageNeverPull", "InspectFailed") and "mage" in event.message
        ]
        rule, what, remedy = "ImagePull", _image(container, reason, waiting, failures), "correct the image, or the pull secret"
        if secrets := [event for event in events if event.reason == "FailedToRetrieveImagePullSecret"]:
            failures.append(secrets[-1])
            what += f"; {_pull_secret(secrets[-1].message)}"
    elif reason in CONFIG:
        failures = [event for event in events if event.reason == "Failed"]
        message = one_line(str(waiting.get("message") or (failures[-1].message if failures else "")), MAX_QUOTED)
        rule, what = "ConfigMissing", f"cannot be configured: {message}"
        remedy = "create what is missing, or correct its name or key"
    elif reason in CREATE:
        failures = [event for event in events if event.reason == "Failed"]
        message = excerpt(
            runtime_message(str(waiting.get("message") or (failures[-1].message if failures else ""))), MAX_QUOTED
        )
        rule, what, remedy = "ContainerCannotStart", f"cannot be started: {message}", "correct the command or the mounts"
    else:
        return None
    subject = fact.workload.subject or Subject("Pod", fact.name)
    first = earlier(*(event.first for event in failures)) or pod["metadata"].get("creationTimestamp")
    title = subject.name if len(pod["spec"].get("containers") or []) == 1 else f"{subject.name}/{container['name']}"
    return Finding(
        rule=rule,
        severity="critical",
        confidence="certain",
        subject=subject,
        message=f"{title}: {what} (since {clock(first)})",
        depth=10,
        first_seen=first,
        links=(fact.link, *(event.link for event in [*failures[:1], *failures[1:][-1:]])),
        remedy=remedy,
        pods=frozenset([fact.name]),
        details={"container": container["name"], "reason": reason},
    )


SANDBOX = ("FailedCreatePodSandBox", "FailedCreatePodSandbox", "NetworkNotReady")


def sandboxes(case: Case) -> Iterator[Finding]:
    """Yield the pods that get no sandbox: the network plugin or the container runtime fails."""
    for subject, events in case.events_of_pods(*SANDBOX).items():
        pods = frozenset(event.subject.name for event in events)
        waiting = any(name in pods and not has_started(pod) for name, pod in ((fact.name, pod) for fact, pod in case.pods()))
        latest = max(events, key=lambda event: event.last)
        first = earlier(*(event.first for event in events))
        yield Finding(
            rule="SandboxFailed",
            severity="critical" if waiting else "info",
            confidence="certain",
            subject=subject,
            message=f"{subject.name}: no network can be set up for its pods: {_sandbox(latest.message)} (since {clock(first)})",
            depth=9,
            first_seen=first,
            links=(latest.link, *(event.link for event in events[:2] if event is not latest)),
            remedy="look at the network plugin and the container runtime of the node",
            pods=pods,
        )


def has_started(pod: Object) -> bool:
    """Return whether a container of a pod, maybe an init container, runs or ran."""
    states = [{**(status.get("state") or {}), **(status.get("lastState") or {})} for _, status, _ in containers_of(pod)]
    return any("running" in state or "terminated" in state for state in states)


def _sandbox(message: str) -> str:
    """Return the reason in a kubelet's message about a sandbox, without the layers that wrap it."""
    words = message
    for wrapper in ("desc = ", "failed (add): ", "add cmd: "):
        words = words.rpartition(wrapper)[2]
    return excerpt(words, MAX_QUOTED)


def _pull_secret(message: str) -> str:
    """Return which pull secrets do not exist, by a kubelet's event."""
    names = message.partition("(")[2].partition(")")[0]
    return f"pull secret {one_line(names, 80)} does not exist" if names else one_line(message, 80)


def _image(container: Mapping[str, Any], reason: str, waiting: Mapping[str, Any], failures: list[Event]) -> str:
    """Return which image cannot be pulled, and why according to the registry."""
    texts = [event.message for event in failures if event.message.startswith("Failed to pull")] + [
        str(waiting.get("message") or "")
    ]
    text = "\n".join(texts).lower()  # a registry may say more when it is asked again
    known = next((meaning for words, meaning in _REGISTRY if words in text), None)
    if reason == "ErrImageNeverPull":
        known = "it is not on the node, and imagePullPolicy is Never"
    if reason == "InvalidImageName":
        known = "its name is not valid"
    why = known or excerpt(texts[0], MAX_QUOTED)
    return f"image {one_line(str(container.get('image')), 100)} cannot be pulled: {why}"
