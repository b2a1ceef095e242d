"""Errors that a healthy program has logged all the time, as its work brings them, are no trouble."""

import pytest

from tests.unit.evidence import Incident, found, pod, rules_of, running


def every_minute(*lines: str, since: int = 0) -> list[str]:
    """Return these lines once a minute, until the end of the window."""
    return [f"{minute} {line}" for minute in range(since, 60) for line in lines]


def severity(incident: Incident, rule: str) -> str:
    return found(incident, rule).severity


@pytest.mark.parametrize(
    ("hosts", "since", "expected"),
    [(7, 0, "info"), (7, 20, "error"), (2, 0, "error")],
    ids=["many", "many, since a while", "few"],
)
def test_a_program_that_calls_many_hosts_of_the_internet_always_meets_some_that_fail(
    hosts: int, since: int, expected: str
) -> None:
    """None of them is named as the one that does not answer. If all begin to fail, it is trouble."""
    lines = [
        f"{minute} ERROR cannot get https://shop-{'abcdefg'[minute % hosts]}.example/robots.txt: connection refused"
        for minute in range(since, 60)
    ]
    findings = Incident().add(pod("web-1-a", running())).log("web-1-a", *lines).judged().findings
    assert {finding.severity for finding in findings} == {expected}
    named = {str(finding.details["callee"]) for finding in findings}
    assert named == ({"shop-a.example", "shop-b.example"} if hosts == 2 else {""})


@pytest.mark.parametrize(
    ("line", "since", "expected"),
    [
        ("ERROR error:0A000416:SSL routines::ssl/tls alert certificate unknown", 0, "info"),
        ("ERROR error:0A000416:SSL routines::ssl/tls alert certificate unknown", 20, "error"),
        ("ERROR https://bank.example/charge: ssl/tls alert certificate unknown (SSL routines)", 0, "error"),
        ("ERROR error:0A000086:SSL routines::certificate verify failed", 0, "error"),
    ],
)
def test_clients_that_never_accepted_the_certificate(line: str, since: int, expected: str) -> None:
    """A peer sent the alert, and no host is named. If a host is named, or it began a while ago, it is trouble."""
    incident = Incident().add(pod("web-1-a", running())).log("web-1-a", *every_minute(line, since=since))
    assert severity(incident, "CertificateInvalid") == expected


@pytest.mark.parametrize(
    ("beside", "since", "expected"),
    [
        ("WARN failed to flush the chunk, retry in 8 seconds", 0, "info"),
        ("WARN failed to flush the chunk, retry in 8 seconds", 20, "warning"),
        ("WARN failed to flush the chunk, dropped", 0, "warning"),
    ],
)
def test_a_limit_after_which_a_program_tries_again(beside: str, since: int, expected: str) -> None:
    """It has been so all the time."""
    lines = every_minute("ERROR HTTP status=429 URI=/_bulk", beside, since=since)
    assert severity(Incident().add(pod("web-1-a", running())).log("web-1-a", *lines), "Throttled") == expected


def test_a_program_that_is_not_well_does_not_cope() -> None:
    """Its lines may tell why."""
    line = "ERROR error:0A000416:SSL routines::ssl/tls alert certificate unknown"
    incident = Incident().add(pod("web-1-a", running(ready=False))).log("web-1-a", *every_minute(line))
    assert rules_of(incident)[0] == "CertificateInvalid"
    assert severity(incident, "CertificateInvalid") == "error"
