"""Applies the rules of admins and of the Investigation."""

from collections.abc import Iterator

from aletheia_operator.api.expressions import TEXTS_MEMORY, compile_expression
from aletheia_operator.api.findings import ConditionMatch, EventMatch, FindingRule, MetricMatch
from aletheia_operator.findings.case import Case, clock, condition_of, earlier
from aletheia_operator.findings.finding import Confidence, Finding, Link, Subject
from aletheia_operator.findings.metrics import Series
from aletheia_operator.findings.own_rules import Matches
from aletheia_operator.findings.rules.traces import time_of
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

DEPTH = 18
MAX_EVENT_MESSAGE = 1_024


def own(case: Case) -> Iterator[Finding]:
    """Yield the findings of these rules."""
    for number, rule in enumerate(case.evidence.own.rules):
        if rule.log is not None:
            yield from _of_logs(case, rule, number, rule.log.at_least)
        elif rule.event is not None:
            yield from _of_events(case, rule, rule.event)
        elif rule.condition is not None:
            yield from _of_conditions(case, rule, rule.condition)
        elif rule.metric is not None:
            yield from _of_metrics(case, rule, rule.metric)


def _of_logs(case: Case, rule: FindingRule, number: int, least: int) -> Iterator[Finding]:
    found: dict[Subject, list[Matches]] = {}
    for (rule_number, pod), matches_of_pod in case.evidence.own.matches.items():
        if rule_number == number:
            found.setdefault(case.workload_of_pod(pod), []).append(matches_of_pod)
    for subject, matches in found.items():
        count = sum(match.count for match in matches)
        if count < least:
            continue
        first = earlier(*(match.first for match in matches))
        links = tuple(match.link for match in sorted(matches, key=lambda match: match.first))
        pods = frozenset(match.pod for match in matches)
        yield _finding(rule, subject, f"{counted(count, 'line')} since {clock(first)}", first, links, "likely", pods)


def _of_events(case: Case, rule: FindingRule, match: EventMatch) -> Iterator[Finding]:
    pattern = compile_expression(match.message, TEXTS_MEMORY) if match.message else None
    found: dict[Subject, list[tuple[str, int, Link, str]]] = {}
    for event in case.events(match.reason):
        if pattern is None or pattern.search(event.message[:MAX_EVENT_MESSAGE]):
            places = found.setdefault(case.workload(event.subject), [])
            places.append((event.first, event.count, event.link, event.subject.name))
    for subject, events in found.items():
        first = earlier(*(event[0] for event in events))
        what = f"{match.reason} {sum(event[1] for event in events)}x since {clock(first)}"
        pods = frozenset(name for *_, name in events if name in case.evidence.objects.pods)
        yield _finding(rule, subject, what, first, tuple(link for _, _, link, _ in events), "certain", pods)


def _of_conditions(case: Case, rule: FindingRule, match: ConditionMatch) -> Iterator[Finding]:
    for fact, item in case.objects(match.kind):
        condition = condition_of(item, match.type)
        if condition.get("status") != match.status:
            continue
        first = condition.get("lastTransitionTime")
        words = one_line(str(condition.get("message") or condition.get("reason") or match.type), 80)
        pods = frozenset([fact.name]) if fact.kind == "Pod" else frozenset()
        subject = case.workload_of_pod(fact.name) if fact.kind == "Pod" else Subject(fact.kind, fact.name)
        what = f"{match.type} is {match.status} since {clock(first)}: {words}"
        yield _finding(rule, subject, what, first, (fact.link,), "certain", pods)


def _of_metrics(case: Case, rule: FindingRule, match: MetricMatch) -> Iterator[Finding]:
    for series in case.evidence.metrics.series:
        if match.metric not in (series.template, series.query):
            continue
        if match.above is not None and series.highest > match.above:
            first = time_of(series.highest_at * 1e6)
            what = f"{series.highest:.4g} at {clock(first)}, above {match.above:.4g}"
        elif match.below is not None and series.after < match.below:
            first, what = None, f"{series.after:.4g} at the end, below {match.below:.4g}"
        else:
            continue
        yield _finding(rule, _subject_of(case, series), what, first, (series.link,), "likely")


def _subject_of(case: Case, series: Series) -> Subject:
    labels = series.labels
    if pod := labels.get("pod"):
        return case.workload_of_pod(pod)
    return Subject("Service", labels.get("service") or one_line(series.template or series.query, 60))


def _finding(
    rule: FindingRule,
    subject: Subject,
    what: str,
    first: str | None,
    links: tuple[Link, ...],
    confidence: Confidence,
    pods: frozenset[str] = frozenset(),
) -> Finding:
    return Finding(
        rule=rule.name,
        severity=rule.severity,
        confidence=confidence,
        subject=subject,
        message=f"{subject.name}: {rule.message} ({what})",
        depth=DEPTH,
        first_seen=first,
        links=links,
        remedy=f"see {rule.runbook_url}" if rule.runbook_url else "",
        pods=pods,
        details={"own": True},
    )
