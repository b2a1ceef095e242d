"""Rules for Jobs that gave up or exceeded their deadline, and CronJobs that missed a run."""

from collections.abc import Iterator

from aletheia_operator.findings.case import Case, clock, condition_of, earlier
from aletheia_operator.findings.events import Event
from aletheia_operator.findings.finding import Finding, Link, Subject
from aletheia_operator.findings.rules.stalled import last_words
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

MAX_QUOTED = 120
OFTEN = 3
"""Skipped runs from which on a CronJob's schedule is too short for its Job."""
_WORDS = {
    "BackoffLimitExceeded": "gave up after its last retry",
    "DeadlineExceeded": "ran out of time",
    "PodFailurePolicy": "gave up, as its pod failure policy says",
    "MaxFailedIndexesExceeded": "gave up: too many indexes failed",
    "FailedIndexes": "gave up: indexes failed",
}


def jobs(case: Case) -> Iterator[Finding]:
    """Yield the Jobs that failed."""
    for fact, job in case.objects("Job"):
        condition = condition_of(job, "Failed") or condition_of(job, "FailureTarget")
        first = condition.get("lastTransitionTime")
        if condition.get("status") != "True" or not case.in_window(first):
            continue
        status, spec = job.get("status") or {}, job.get("spec") or {}
        reason = str(condition.get("reason") or "")
        what = _WORDS.get(reason, one_line(str(condition.get("message")), MAX_QUOTED))
        if reason == "DeadlineExceeded" and spec.get("activeDeadlineSeconds"):
            what += f" of {spec['activeDeadlineSeconds']} s"
        pods = {pod for pod in case.evidence.logs.pods if pod.startswith(f"{fact.name}-")}
        words, link = last_words(case, pods) if reason == "DeadlineExceeded" else ("", None)
        failed = int(status.get("failed") or 0)
        subject = fact.workload.subject or Subject("Job", fact.name)
        events = [event for event in case.by_subject.get(Subject("Job", fact.name), ()) if event.reason in _WORDS]
        yield Finding(
            rule="JobFailed",
            severity="critical",
            confidence="certain" if reason == "DeadlineExceeded" else "likely",
            subject=subject,
            message=f"{fact.name}: the Job {what}{words} ({counted(failed, 'pod')} failed, at {clock(first)})",
            depth=26,
            first_seen=first,
            links=(fact.link, *([link] if link else []), *(event.link for event in events[:2])),
            pods=frozenset(
                event.subject.name for event in case.events("Killing") if event.subject.name.startswith(f"{fact.name}-")
            ),
        )


def missed(case: Case) -> Iterator[Finding]:
    """Yield the CronJobs that missed a run, and why; and the Jobs that are suspended."""
    for event in case.events(
        "MissSchedule", "TooManyMissedTimes", "FailedNeedsStart", "UnparseableSchedule", "InvalidSchedule", "UnknownTimeZone"
    ):
        if event.subject.kind == "CronJob":
            yield _missed(event.subject, one_line(event.message, MAX_QUOTED), event.first, event.link)
    active = {event.subject: event for event in case.events("JobAlreadyActive") if event.subject.kind == "CronJob"}
    yield from (_skipped(case, event) for event in active.values())
    for fact, item in case.objects("CronJob", "Job"):
        if (item.get("spec") or {}).get("suspend"):
            first = condition_of(item, "Suspended").get("lastTransitionTime")
            finding = _missed(Subject(fact.kind, fact.name), "is suspended", first, fact.link)
            finding.severity = "warning"
            finding.rule = "JobSuspended" if fact.kind == "Job" else finding.rule
            yield finding


def _skipped(case: Case, event: Event) -> Finding:
    """Return the finding about runs that a CronJob skipped, since its last Job still ran: an error while that Job runs.

    Later it is over, as concurrencyPolicy wants it, unless most runs take too long.
    """
    before = [
        job
        for fact, job in case.objects("Job")
        if fact.workload.subject == event.subject and job["metadata"].get("creationTimestamp", "") < (event.first or "")
    ]
    ended = [job for job in before if any(condition_of(job, kind).get("status") == "True" for kind in ("Complete", "Failed"))]
    if before and len(ended) == len(before):
        often = event.count >= OFTEN
        what = f"{'skips runs' if often else 'skipped a run'}, since the one before it still ran"
        finding = _missed(event.subject, what, event.first, event.link)
        finding.severity = "warning" if often else "info"
        return finding
    pods = {pod for pod in case.evidence.logs.pods if case.workload_of_pod(pod) == event.subject}
    words, link = last_words(case, pods)
    what = "did not start: its last Job still runs, and concurrencyPolicy is Forbid"
    what += f"; it logs{words}" if words else ""
    return _missed(event.subject, what, event.first, event.link, *([link] if link else []))


def _missed(subject: Subject, what: str, first: str | None, *links: Link) -> Finding:
    return Finding(
        rule="CronJobMissed",
        severity="error",
        confidence="certain",
        subject=subject,
        message=f"{subject.name}: the {subject.kind} {what}" + (f" (since {clock(first)})" if first else ""),
        depth=12,
        first_seen=earlier(first),
        links=links,
    )
