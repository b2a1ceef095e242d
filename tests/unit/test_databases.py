"""Errors in a database's log that its clients cause: statements that failed, and sessions that were refused."""

import pytest

from tests.unit.evidence import Incident, found, pod, running, workloads

MISSING = "column contracts.level does not exist"
ROLE = 'FATAL:  role "root" does not exist'


def every_minute(*lines: str, since: int = 0) -> list[str]:
    """Return these lines once a minute, until the end of the window."""
    return [f"{minute} {line}" for minute in range(since, 60) for line in lines]


def of_postgres(line: str, since: int = 0) -> list[str]:
    """Return a line of PostgreSQL, once a minute."""
    return every_minute(f"2026-11-22 14:00:00.000 UTC [77] {line}", since=since)


def refused(since: int = 0, line: str = "", log: tuple[str, ...] = (), ready: bool = True) -> Incident:
    """Return a database that refuses sessions, and a program `shop`. `log`: of the program; `line`: instead of PostgreSQL's."""
    incident = workloads("pg").log("pg-1-a", *(every_minute(line, since=since) if line else of_postgres(ROLE, since)))
    setting = {"env": [{"name": "DATABASE", "value": "postgres://pg/shop"}]}
    incident.add(pod("shop-1-a", running(ready=ready, spec=setting), of="shop-1"), of=("Deployment", "shop"))
    return incident.log("shop-1-a", *(log or every_minute("INFO order 7 is packed")))


@pytest.mark.parametrize(
    ("said", "first"),
    [
        (f"ERROR ProgrammingError: (psycopg.errors.UndefinedColumn) {MISSING}", "contracts"),
        ("ERROR ProgrammingError: (psycopg.errors.UndefinedColumn) column stations.zone does not exist", "pg"),
        ("INFO order 7 is packed", "pg"),
    ],
    ids=["the client says the same", "the client says something else", "the client says nothing"],
)
def test_a_statement_that_failed_is_its_clients_error(said: str, first: str) -> None:
    """Though the client's setting does not name the database, and the table has the name of a Service."""
    incident = workloads("contracts", "pg")
    incident.log("pg-1-a", *of_postgres(f"ERROR:  {MISSING} at character 118", since=30))
    incident.log("contracts-1-a", *every_minute(said, since=31))
    findings = [finding for finding in incident.judged().findings if finding.rule == "SchemaDiffers"]
    assert findings[0].subject.name == first
    causes = {finding.subject.name: finding.because for finding in findings}
    assert causes["pg"] == (findings[0] if first == "contracts" else None)
    assert causes[first] is None


def test_sessions_that_a_database_has_always_refused_are_no_trouble() -> None:
    """Its known clients are well, so they are another one's: a monitor, or a probe with a wrong role."""
    assert found(refused(), "CredentialsRefused").severity == "info"


@pytest.mark.parametrize(
    ("incident", "aside"),
    [
        (refused(since=20), False),
        (refused(log=(*every_minute("ERROR cannot load the orders"),)), True),
        (refused(log=(*every_minute("WARN password authentication failed, trying again"),)), True),
        (refused(ready=False), True),
        (workloads("pg").log("pg-1-a", *of_postgres(ROLE)), True),
        (refused(line=f"ERROR connection to pg failed: {ROLE}"), False),
        (refused(line="FATAL token expired"), False),
    ],
    ids=[
        "since a while",
        "a program with errors",
        "a program with warnings",
        "a program that is not ready",
        "no known client",
        "a client's error",
        "no database",
    ],
)
def test_sessions_that_are_refused_are_trouble(incident: Incident, aside: bool) -> None:
    """They are reported if a known program may suffer. What began within the window leads before them."""
    finding = next(finding for finding in incident.judged().findings if finding.subject.name == "pg")
    assert (finding.rule, finding.severity, finding.aside) == ("CredentialsRefused", "error", aside)


def test_errors_of_a_program_that_does_not_call_the_database_do_not_matter() -> None:
    """Unless a refused session may have brought them."""
    incident = refused().add(pod("mail-1-a", running(), of="mail-1"), of=("Deployment", "mail"))
    incident.log("mail-1-a", *every_minute("ERROR the address of message 7 is not valid"))
    assert found(incident, "CredentialsRefused").severity == "info"
    incident.log("mail-1-a", *every_minute("ERROR password authentication failed"), run=1)
    severities = {str(finding.subject): finding.severity for finding in incident.judged().findings if "Refused" in finding.rule}
    assert severities == {"deployment/pg": "error", "deployment/mail": "error"}


def test_errors_that_come_later_do_not_come_from_sessions_that_were_always_refused() -> None:
    """A client that is refused all the time has errors from the beginning on."""
    late = (*every_minute("INFO order 7 is packed"), *every_minute("ERROR cannot load the orders", since=40))
    assert found(refused(log=late), "CredentialsRefused").severity == "info"


@pytest.mark.parametrize("message", ["out of memory", 'could not extend file "base/5/2619": No space left on device'])
def test_what_a_database_lacks_is_not_its_clients_error(message: str) -> None:
    """Though it fails a statement: the client only repeats the answer."""
    incident = workloads("contracts", "pg")
    incident.log("pg-1-a", *of_postgres(f"ERROR:  {message}", since=30))
    incident.log("contracts-1-a", *every_minute(f"ERROR OperationalError: (psycopg.errors.Lacking) {message}", since=31))
    first = incident.judged().findings[0]
    assert (first.subject.name, first.because) == ("pg", None)
