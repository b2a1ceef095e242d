"""Rule for errors that programs log without a level, or as warnings, in workloads without another finding."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from aletheia_operator.findings.case import Case, clock, seconds_between
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.findings.harmless_lines import is_advice
from aletheia_operator.findings.reason_lines import (
    denies_error,
    gives_reason,
    is_exception,
    is_statement,
    names_client,
    reports_error,
    tries_again,
)
from aletheia_operator.findings.templates import Place, Template

MAX_QUOTED = 170
LEAST = 10  # lines
SHARE = 0.15  # of a workload's lines
ONLY = 0.8  # share from which on warnings are all that it logs
OVER_SECONDS = 300.0
"""Lines that stopped this long before the end of the window are over."""


def unlabelled_errors(case: Case, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the most frequent of these lines of each workload, if they are many and go on. `found`: all findings."""
    explained = {finding.subject for finding in found if finding.severity != "info"}
    named = {name for finding in found if finding.severity != "info" for name in finding.pods}
    lines: dict[Subject, list[tuple[Template, Place]]] = defaultdict(list)
    for template in case.evidence.logs.templates.by_shape.values():
        if not template.category and _may_report(template):
            for place in template.places.values():
                subject = case.workload_of_pod(place.pod)
                if subject not in explained and place.pod not in named and subject.kind not in ("Job", "CronJob"):
                    lines[subject].append((template, place))
    for subject, places in lines.items():
        problems = _problem_lines(case, subject, places)
        count = sum(place.count for _, place in problems)
        if count < LEAST or count < SHARE * case.lines_of(subject):
            continue
        left = seconds_between(max(place.last for _, place in problems), case.end)
        if left is not None and left <= OVER_SECONDS:
            yield _finding(subject, problems, count)


def _may_report(template: Template) -> bool:
    """Return whether lines of a template name something that is wrong, without the level of an error."""
    text = template.example
    if template.level not in ("", "WARN") or is_statement(text) or names_client(template.line) or is_advice(text):
        return False
    return is_exception(text) or reports_error(text) or (gives_reason(text) and not denies_error(text))


def _problem_lines(case: Case, subject: Subject, places: list[tuple[Template, Place]]) -> list[tuple[Template, Place]]:
    """Return those lines of a workload that report a problem: errors without a level, or new warnings."""
    errors = [pair for pair in places if is_exception(pair[0].example) or reports_error(pair[0].example)]
    unlabelled = sum(place.count for template, place in errors if not template.level or is_exception(template.example))
    if unlabelled >= LEAST or sum(place.count for _, place in errors) >= ONLY * case.lines_of(subject):
        return errors
    warnings = [pair for pair in places if pair[0].level == "WARN" and not tries_again(pair[0].example)]
    return [(template, place) for template, place in warnings if case.is_new(place.pod, place.first)]


def _finding(subject: Subject, places: list[tuple[Template, Place]], count: int) -> Finding:
    most = max(place.count for _, place in places)
    template, place = min((pair for pair in places if 2 * pair[1].count >= most), key=lambda pair: pair[1].first)
    first = min(place.first for _, place in places)
    return Finding(
        rule="UnlabelledErrors",
        severity="warning",
        confidence="possible",
        subject=subject,
        message=f"{subject.name}: {excerpt(template.example, MAX_QUOTED)} ({place.count}x since {clock(first)})",
        depth=55,
        first_seen=first,
        links=(place.link, *(other.link for _, other in places[:3] if other is not place)),
        pods=frozenset(place.pod for _, place in places),
        details={"count": count, "template": template.shape},
    )
