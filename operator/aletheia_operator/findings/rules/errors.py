"""Rules for errors in logs that no other rule explains, and for their bursts."""

import re
from collections import defaultdict
from collections.abc import Iterator

from aletheia_operator.findings.case import Case, clock, seconds_between
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Severity, Subject
from aletheia_operator.findings.harmless_lines import is_advice
from aletheia_operator.findings.reason_lines import gives_reason, gives_up, names_client
from aletheia_operator.findings.templates import BUCKETS, MAX_SHAPE, Place, Template, grouped
from aletheia_operator.text.sizes import counted

MAX_QUOTED = 170
FEW = 5  # errors that alone are no problem
_CLIENT_ERROR = re.compile(r"(?:^|[\s(=\"]|(?<!\d):)(?:400|404|405|409|410|422)(?=$|[\s):,.\"])")
_CLIENT_STATUS = re.compile(
    r"\b(?:http_?)?(?:status|status_?code|response_?code|code)\"?[=:] ?\"?4(?:0[0459]|1[0-8]|22)\b", re.IGNORECASE
)
"""A field of a structured line with the HTTP status of a client's error."""
_SERVER_STATUS = re.compile(_CLIENT_STATUS.pattern.partition("4(?:")[0] + r"5\d\d\b", re.IGNORECASE)
_ANSWER = re.compile(r"https?://|\b(?:api|http) error\b|status ?code|\b(?:returned|responded|answered)\b", re.IGNORECASE)
"""Words of lines about the answer of a called program."""
_OF_POSTGRES = "ERROR:  "
_STATEMENT_ERROR = re.compile(
    r"violates|syntax error at|invalid input|canceling statement|could not serialize|already exists|canceling auto"
)
"""Errors that a client's statement causes, in the words of PostgreSQL."""
BESIDE_SECONDS = 2.0  # between an error and the warning that has its reason
ALIKE = 0.2  # greatest difference of their numbers
CHANCE = 3  # errors that may be more in the second half of the window by chance
BURST_ERRORS = 10
BURST_TIMES = 3.0  # times the mean of the window


def errors(case: Case) -> Iterator[Finding]:
    """Yield the most frequent errors of each workload."""
    by_workload: dict[Subject, dict[int, list[tuple[Template, Place]]]] = defaultdict(lambda: defaultdict(list))
    groups = grouped(template for template in case.evidence.logs.templates.errors() if not template.category)
    for number, group in enumerate(groups):
        for template in group:
            for place in template.places.values():
                by_workload[case.workload_of_pod(place.pod)][number].append((template, place))
    for subject, numbers in by_workload.items():
        stopped = any(
            gives_up(template.example) and not case.is_gone(place.pod)
            for pairs in numbers.values()
            for template, place in pairs
        )
        kinds = len(numbers)
        if case.is_healthy(subject):  # what it logs all the time is less telling than what came
            numbers = {n: places for n, places in numbers.items() if not _is_usual(_histogram_of(groups[n]))} or numbers
        most = max(sum(place.count for _, place in places) for places in numbers.values())
        number = min(numbers, key=lambda candidate: _order(numbers[candidate], most))
        finding = _finding(case, subject, groups[number], numbers[number], kinds)
        if stopped and finding.severity == "info" and most < FEW and not _of_clients(groups[number]):
            finding.severity = "warning"  # few errors, since a part of the program works no more
        yield finding


def _order(places: list[tuple[Template, Place]], most: int) -> tuple[int, str]:
    """Return the key to sort groups: the most frequent first; among few errors, the earliest. `most`: lines of a group."""
    count = sum(place.count for _, place in places)
    return (0 if most < FEW else -count), min(place.first for _, place in places)


def _finding(case: Case, subject: Subject, group: list[Template], places: list[tuple[Template, Place]], kinds: int) -> Finding:
    count = sum(place.count for _, place in places)
    first = min((place for _, place in places), key=lambda place: place.first)
    pods = {place.pod for _, place in places}
    histogram = _histogram_of(group)
    burst = is_burst(histogram) and not (_of_clients(group) and case.is_healthy(subject))
    text, beside = excerpt(group[0].example, MAX_QUOTED), None
    if not gives_reason(group[0].example.partition(": ")[2]):
        beside = warning_beside(case, first, count)
    if beside is not None:
        text = f"{excerpt(group[0].example, MAX_QUOTED // 2)}, beside: {excerpt(beside[0].example, MAX_QUOTED // 2)}"
    where = f", in {len(pods)} pods" if len(pods) > 1 else ""
    more = f"; {counted(kinds - 1, 'other kind')}" if kinds > 1 else ""
    return Finding(
        rule="ErrorBurst" if burst else "Errors",
        severity="info"
        if not burst and case.is_healthy(subject) and _of_clients(group)
        else _severity(case, subject, count, burst, histogram),
        confidence="likely" if burst else "possible",
        subject=subject,
        message=f"{subject.name}: {text} ({count}x since {clock(first.first)}{where}{more})",
        depth=55,
        first_seen=first.first,
        links=(
            *(place.link for _, place in sorted(places, key=lambda pair: pair[1].first)),
            *([beside[1].link] if beside else []),
        ),
        pods=frozenset(pods),
        details={"count": count, "template": group[0].shape},
    )


def warning_beside(case: Case, error: Place, count: int) -> tuple[Template, Place] | None:
    """Return the warning with a reason that a container logs with each error; None if there is none.

    `error`: the first place of the errors; `count`: how many there are.
    """
    for template in case.evidence.logs.templates.by_shape.values():
        place = template.places.get((error.pod, error.container)) if template.level == "WARN" else None
        if (
            place is None
            or is_advice(template.example)
            or not gives_reason(template.example)
            or abs(place.count - count) > ALIKE * count
        ):
            continue
        if abs(seconds_between(place.first, error.first) or 0.0) <= BESIDE_SECONDS:
            return template, place
    return None


def is_burst(histogram: list[int]) -> bool:
    """Return whether a part of the window has BURST_TIMES its mean, and more than its beginning."""
    most = max(histogram)
    mean = sum(histogram) / BUCKETS
    return most >= BURST_ERRORS and most >= BURST_TIMES * mean and most > 2 * max(histogram[:2])


def _of_clients(group: list[Template]) -> bool:
    """Return whether these are errors of clients: by an HTTP status that is no answer to an own call, or by a statement."""
    return all(_of_client(template) for template in group)


def _of_client(template: Template) -> bool:
    example = template.example[:MAX_SHAPE]
    if _SERVER_STATUS.search(template.line):
        return False
    if names_client(template.line):
        return True
    if not _ANSWER.search(example) and (_CLIENT_ERROR.search(example) or _CLIENT_STATUS.search(template.line)):
        return True
    return _OF_POSTGRES in template.line and _STATEMENT_ERROR.search(example) is not None


def _histogram_of(group: list[Template]) -> list[int]:
    return [sum(counts) for counts in zip(*(template.histogram for template in group), strict=True)]


def _is_steady(histogram: list[int], chance: int = 0) -> bool:
    """Return whether there were errors in the first half of the window, and not many more in its second half."""
    before, after = sum(histogram[: BUCKETS // 2]), sum(histogram[BUCKETS // 2 :])
    return before > 0 and after <= 1.5 * before + chance


def _is_usual(histogram: list[int]) -> bool:
    """Return whether these are no few errors, and steady."""
    return sum(histogram) >= FEW and _is_steady(histogram, CHANCE)


def _severity(case: Case, subject: Subject, count: int, burst: bool, histogram: list[int]) -> Severity:
    if burst:
        return "error"
    if count < FEW or (_is_steady(histogram) and case.is_healthy(subject)):
        return "info"
    return "warning"
