"""Rules for errors in logs that no other rule explains, and for their bursts."""

import re
from collections import defaultdict
from collections.abc import Iterator

from aletheia_operator.findings.case import Case, clock
from aletheia_operator.findings.finding import Finding, Severity, Subject
from aletheia_operator.findings.telling import excerpt
from aletheia_operator.findings.templates import BUCKETS, MAX_SHAPE, Place, Template, grouped

MAX_WORDS = 170
FEW = 5  # errors that alone are no problem
_CLIENT_ERROR = re.compile(r"(?:^|[\s(=:\"])(?:400|404|405|409|410|422)(?=$|[\s):,.\"])")
BURST_ERRORS = 10
BURST_TIMES = 3.0  # times the mean of the window


def errors(case: Case) -> Iterator[Finding]:
    """Yield the most frequent errors of each workload."""
    by_workload: dict[Subject, dict[int, list[tuple[Template, Place]]]] = defaultdict(lambda: defaultdict(list))
    templates = [known for known in case.evidence.logs.templates.by_shape.values() if known.level in ("ERROR", "FATAL")]
    groups = grouped(template for template in templates if not template.category)
    for number, group in enumerate(groups):
        for template in group:
            for place in template.places.values():
                by_workload[case.workload_of_pod(place.pod)][number].append((template, place))
    for subject, numbers in by_workload.items():
        number = max(numbers, key=lambda candidate: sum(place.count for _, place in numbers[candidate]))
        yield _finding(case, subject, groups[number], numbers[number], len(numbers))


def _finding(case: Case, subject: Subject, group: list[Template], places: list[tuple[Template, Place]], kinds: int) -> Finding:
    count = sum(place.count for _, place in places)
    first = min((place for _, place in places), key=lambda place: place.first)
    pods = {place.pod for _, place in places}
    histogram = [sum(counts) for counts in zip(*(template.histogram for template in group), strict=True)]
    burst = is_burst(histogram) and not (_of_clients(group) and case.is_healthy(subject))
    text = excerpt(group[0].example, MAX_WORDS)
    where = f", in {len(pods)} pods" if len(pods) > 1 else ""
    more = f"; {kinds - 1} other kinds" if kinds > 1 else ""
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
        links=tuple(place.link for _, place in sorted(places, key=lambda pair: pair[1].first)),
        pods=frozenset(pods),
        details={"count": count, "template": group[0].shape},
    )


def is_burst(histogram: list[int]) -> bool:
    """Return whether a part of the window has BURST_TIMES its mean, and more than its beginning."""
    most = max(histogram)
    mean = sum(histogram) / BUCKETS
    return most >= BURST_ERRORS and most >= BURST_TIMES * mean and most > 2 * max(histogram[:2])


def _of_clients(group: list[Template]) -> bool:
    """Return whether these are errors of clients, by the HTTP status that they name."""
    return all(_CLIENT_ERROR.search(template.example[:MAX_SHAPE]) for template in group)


def _severity(case: Case, subject: Subject, count: int, burst: bool, histogram: list[int]) -> Severity:
    if burst:
        return "error"
    before, after = sum(histogram[: BUCKETS // 2]), sum(histogram[BUCKETS // 2 :])
    steady = before and after <= 1.5 * before
    if count < FEW or (steady and case.is_healthy(subject)):
        return "info"
    return "warning"
