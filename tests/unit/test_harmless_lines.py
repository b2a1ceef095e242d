"""Lines that say little: a script's closing words, advice, names of files, and what a program always logs."""

import pytest

from aletheia_operator.findings.error_categories import category_of, peer_of
from aletheia_operator.findings.harmless_lines import closes_script, is_advice
from tests.unit.evidence import Incident, ended, event, found, pod, rules_of, running, waiting, workloads


@pytest.mark.parametrize(
    "line",
    [
        "upload failed, aborting",
        "restore.sh: sync failed; exiting",
        "exit 3",
        "Aborting!",
        "nightly export failed!",
        "ERROR: the migration did not complete",
        "import errors: nothing was written",
        "step deploy/apply failed",
        "make: *** [Makefile:14: publish] Error 2",
        "run-backup: giving up",
        "Restore aborted.",
        "[entrypoint] seeding failed, not starting the server",
        "wait-for-db: giving up after 90 s",
        "Process finished unsuccessfully, see log above",
    ],
)
def test_a_script_that_ends_says_why_before_its_last_line(line: str) -> None:
    """The last specific error is quoted instead, though other commands ran before it."""
    assert closes_script(line)
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(2))
    said = ("27 + aws s3 cp /data s3://backups", "27.1 fatal error: InvalidAccessKeyId: the key is not in our records")
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", *said, f"27.2 {line}", run=3)
    assert "InvalidAccessKeyId: the key is not in our records" in found(incident, "CrashLoop").message


def test_a_warning_before_a_closing_line_is_quoted_only_without_an_error() -> None:
    """Scripts warn of what they can do without."""
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(2))
    said = ("27 pg_dump: error: permission denied for table orders", "27.1 WARN no cache found at /tmp, continuing without it")
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", *said, "27.2 dump failed, exiting", run=3)
    assert "permission denied for table orders" in found(incident, "CrashLoop").message


@pytest.mark.parametrize(
    "line",
    [
        "connection to db:5432 refused",
        "open /etc/app.yaml: no such file or directory, exiting",
        "password authentication failed",
        "uploaded 12 files, 0 errors",
        "worker 3 of pool b cannot be started: no slot is free",
        "index 7 is out of range",
        "error: no route to table t_4",
    ],
)
def test_a_line_with_a_reason_closes_no_script(line: str) -> None:
    assert not closes_script(line)


def test_a_closing_line_without_an_error_before_it_is_kept() -> None:
    """It is all that is known."""
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(2))
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", "27 loading", "27.1 sync failed, aborting", run=3)
    assert found(incident, "CrashLoop").message.startswith("web: sync failed, aborting (exit 2")


@pytest.mark.parametrize(
    "line",
    [
        "?: (staticfiles.W004) The directory '/app/static' does not exist",
        "/app/api.py:3: DeprecationWarning: pkg_resources is deprecated as an API",
        "the option 'useNewUrlParser' is deprecated and will be removed in the next major version",
        "Celery is running the worker as root, a very bad idea: not recommended for anything",
        "This is a development server. Do not use it in a production deployment.",
        "Unverified HTTPS request is being made to host 'x'. Adding certificate verification is strongly advised",
        "a newer version of the agent is available",
        "3 high severity vulnerabilities",
    ],
)
def test_advice_is_blamed_for_no_error_of_callers(line: str) -> None:
    """A called program that only advises does not explain what its caller reports."""
    assert is_advice(line)
    incident = workloads("shop", "tokens")
    incident.log("shop-1-a", *(f"{at} ERROR no token: http://tokens/new answered strangely" for at in range(30, 60)))
    incident.log("tokens-1-a", *(f"{at} WARN {line}" for at in range(30, 60)))
    assert "CalleeWarns" not in rules_of(incident)


@pytest.mark.parametrize("line", ["queue is full, 3 messages dropped", "signing key 4 is not readable", "pool has no session"])
def test_other_warnings_are_no_advice(line: str) -> None:
    """So they may be blamed."""
    assert not is_advice(line)


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ('host not found in upstream "stock-v3" in /etc/nginx/sites/shop.conf:12', "stock-v3"),
        ("/opt/app/settings.yaml:31: could not be read", ""),
        ("error in haproxy.cfg:40: timed out", ""),
        ("at /srv/jobs/run:22 connection refused", ""),
        ("kafka://broker-1.data:9092 refused", "broker-1.data"),
        ("connection refused (ledger:8080)", "ledger"),
    ],
)
def test_a_file_is_no_host(line: str, host: str) -> None:
    """A line's number follows its name as a port follows a host."""
    assert peer_of(line) == host


@pytest.mark.parametrize(
    "line",
    [
        "Detected applied migration not resolved locally: 17",
        "error: Dirty database version 9. Fix and force version.",
        "Validation Failed: 1 changesets check sum was: 8:aa but is now: 8:bb",
        "Can't locate revision identified by 'f00d'",
    ],
)
def test_a_changed_migration_is_no_missing_table(line: str) -> None:
    assert category_of(line) == "migrations"


@pytest.mark.parametrize(("since", "quoted"), [(0, False), (29, True)])
def test_what_a_program_logs_all_the_time_is_not_why_its_probe_fails(since: int, quoted: bool) -> None:
    """Errors that began with its failures may be."""
    incident = Incident().add(pod("web-1-a", running()))
    incident.log("web-1-a", *(f"{at} ERROR page of shelf 7 was not drawn" for at in range(since, 60)))
    said = event("Unhealthy", "Readiness probe failed: context deadline exceeded", container="app", minute=29.1, until=58)
    incident.add_event(said)
    assert ("it logs" in found(incident, "ReadinessProbe").message) is quoted
