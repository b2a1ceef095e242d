"""From evidence to the line that a person reads first: each rule, with the evidence that it needs, and without it."""

import pytest

from tests.unit.evidence import Incident, ended, event, pod, running, waiting

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


@pytest.mark.parametrize("name", CASES)
def test_the_first_finding_says_what_broke(name: str) -> None:
    """The headline has the workload, the cause and since when."""
    incident, rule, headline = CASES[name]
    verdict = incident.judged()
    assert verdict.failed == []
    assert (verdict.findings[0].rule, verdict.headline) == (rule, headline)
