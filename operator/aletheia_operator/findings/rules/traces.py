"""Rules for traces: services in which calls fail without a failed call to another service."""

from collections.abc import Iterator
from datetime import UTC, datetime

from aletheia_operator.findings.calls import Callees
from aletheia_operator.findings.case import Case, clock
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted
from aletheia_operator.text.timestamps import format_time

MAX_QUOTED = 100
LEAST_FAILED = 3
LEAST_SHARE = 0.05
MOST = 5


def failing_services(case: Case) -> Iterator[Finding]:
    """Yield the services in which calls fail, the most failures first."""
    callees = Callees(case)
    failing = [
        (name, service)
        for name, service in case.evidence.traces.services.items()
        if service.failed >= LEAST_FAILED and service.failed >= LEAST_SHARE * service.calls and service.link is not None
    ]
    for name, service in sorted(failing, key=lambda pair: -pair[1].failed)[:MOST]:
        behind = callees.workloads(name)
        called = {callee for caller, callee in case.evidence.traces.edges if caller == name}
        first = time_of(service.first)
        quote = f": {one_line(service.words, MAX_QUOTED)}" if service.words else ""
        yield Finding(
            rule="SpansFail",
            severity="error",
            confidence="likely",
            subject=min(behind, key=str) if behind else Subject("Service", name),
            message=f"{name}: {service.failed} of {counted(service.calls, 'span')} failed{quote} (since {clock(first)})",
            depth=50,
            first_seen=first,
            links=(service.link,) if service.link else (),
            callees=frozenset(called),
            details={"failed": service.failed, "spans": service.calls},
        )


def time_of(microseconds: float) -> str | None:
    """Return the time of a span; None if it is not a time."""
    try:
        return format_time(datetime.fromtimestamp(microseconds / 1e6, UTC))
    except (OverflowError, ValueError, OSError):
        return None
