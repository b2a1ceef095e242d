"""Errors that a healthy program has logged all the time, as its work brings them, are no trouble."""

import pytest

from tests.unit.evidence import Incident, found, pod, rules_of, running, workloads


def every_minute(*lines: str, since: int = 0) -> list[str]:
    """Return these lines once a minute, until the end of the window."""
    return [f"{minute} {line}" for minute in range(since, 60) for line in lines]


def works(*lines: str) -> Incident:
    """Return a healthy program with these lines, beside its other work: five lines a minute."""
    others = every_minute(*(f"INFO order {number} is packed" for number in range(5)))
    return Incident().add(pod("web-1-a", running())).log("web-1-a", *sorted((*others, *lines), key=lambda line: int(line[:2])))


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
    findings = works(*lines).judged().findings
    assert {finding.severity for finding in findings} == {expected}
    named = {str(finding.details["callee"]) for finding in findings}
    assert named == ({"shop-a.example", "shop-b.example"} if hosts == 2 else {""})


def test_one_host_with_most_of_the_failures_is_named() -> None:
    """Though a few calls to many others fail too, as always."""
    lines = [*every_minute("ERROR POST https://bank.example/charge: i/o timeout")]
    lines += [
        f"{minute} ERROR GET https://shop-{'abcdefg'[minute // 6 % 7]}.example/: i/o timeout" for minute in range(0, 60, 6)
    ]
    first = works(*lines).judged().findings[0]
    assert (first.details["callee"], first.severity) == ("bank.example", "error")


def test_many_hosts_that_begin_to_fail_are_reported_beside_a_service_that_failed_once() -> None:
    """None of these hosts is named, and the Service is no better name for them."""
    calls = [f"{minute} ERROR GET https://shop-{'abcdefg'[minute % 7]}.example/: i/o timeout" for minute in range(20, 60)]
    incident = workloads("redis").add(pod("web-1-a", running()))
    first = incident.log("web-1-a", "5 WARN redis:6379: connection refused", *calls).judged().findings[0]
    assert (first.details["count"], first.severity) == (40, "error")


@pytest.mark.parametrize(
    "lines",
    [
        [f"{minute} ERROR GET https://api-{'abcdefg'[minute % 7]}.example/: i/o timeout" for minute in range(60)],
        every_minute("ERROR cannot publish: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)"),
        every_minute("ERROR HTTP status=429 insufficient_quota", "WARN failed to summarise, retry in 8 seconds"),
    ],
    ids=["all calls out of the cluster", "a client's own certificate", "a quota that is used up"],
)
def test_a_program_that_does_nothing_else_does_not_cope(lines: list[str]) -> None:
    """The fault may be older than the window, and the program's probe asks for no called program."""
    first = Incident().add(pod("web-1-a", running())).log("web-1-a", *lines).judged().findings[0]
    assert first.severity in ("error", "warning")


@pytest.mark.parametrize(
    ("line", "since", "expected"),
    [
        ("ERROR error:0A000415:SSL routines::ssl/tls alert certificate expired", 0, "error"),
        ("ERROR error:0A000416:SSL routines::ssl/tls alert certificate unknown", 0, "info"),
        ("ERROR error:0A000416:SSL routines::ssl/tls alert certificate unknown", 20, "error"),
        ("ERROR https://bank.example/charge: ssl/tls alert certificate unknown (SSL routines)", 0, "error"),
        ("ERROR error:0A000086:SSL routines::certificate verify failed", 0, "error"),
    ],
)
def test_clients_that_never_accepted_the_certificate(line: str, since: int, expected: str) -> None:
    """A peer sent the alert, and no host is named. Trouble: a host is named, it began a while ago, or it expired."""
    incident = works(*every_minute(line, since=since))
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
    assert severity(works(*lines), "Throttled") == expected


@pytest.mark.parametrize(
    ("came", "words", "expected"),
    [
        ([f"{minute} ERROR task send_reminder is unknown, discarded" for minute in range(30, 60)], "send_reminder", "warning"),
        (["30 ERROR Name [jdbc/x] is not bound", "30 ERROR Context [/portal] startup failed"], "jdbc/x", "warning"),
        (["30 ERROR Name [jdbc/x] is not bound"], "jdbc/x", "info"),
    ],
    ids=["many", "few, and a part does not start", "few"],
)
def test_errors_that_came_are_not_hidden_by_more_that_were_there_all_the_time(
    came: list[str], words: str, expected: str
) -> None:
    """Of a healthy program that logs errors as its work brings them, those tell what happened."""
    finding = found(
        works(*every_minute("ERROR the quantity of an order is wrong", "ERROR a card was refused"), *came), "Errors"
    )
    assert (words in finding.message, finding.severity) == (True, expected)


def test_a_program_that_is_not_well_does_not_cope() -> None:
    """Its lines may tell why."""
    line = "ERROR error:0A000416:SSL routines::ssl/tls alert certificate unknown"
    incident = Incident().add(pod("web-1-a", running(ready=False))).log("web-1-a", *every_minute(line))
    assert rules_of(incident)[0] == "CertificateInvalid"
    assert severity(incident, "CertificateInvalid") == "error"
