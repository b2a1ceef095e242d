"""Sorts findings: trouble before information, causes before consequences, severity, confidence, depth, and time. Pure."""

from collections.abc import Mapping, Sequence

from aletheia_operator.findings.case import seconds_between
from aletheia_operator.findings.finding import CONFIDENCES, SEVERITIES, Finding, Subject

SLACK_SECONDS = 120.0
"""A consequence may be observed this long before its cause: clocks differ, and events are written late."""
LEAST_DEPTH_BETWEEN = 5
CRASH, SERVICE, NUMBERS = 20, 40, 60
"""Depths of a container that ends, and of a Service without endpoints: a program may end because what it calls did. And the
least depth of findings from metrics."""
OF_CALLERS = frozenset({"TargetMissing", "CredentialsRefused", "PermissionDenied", "SchemaDiffers"})
"""Findings about what a caller asks for: if the called program reports the same, the caller's finding explains it."""

REFUSALS = frozenset({"CredentialsRefused", "PermissionDenied"})
"""Findings of callers that a trouble of the called program may explain: a clock that is wrong, or a full disk."""
OF_FAILOVERS = frozenset({"ReadOnly"})
"""Findings of callers that a cluster without a leader explains: it only takes writes again after it has elected one."""
OF_CALLS = frozenset({"DependencyDoesNotAnswer"})
"""Findings about called programs. `details` name the caller."""
LIMITS = frozenset({"AutoscalerAtMaximum"})
"""Findings about a limit that is reached: if they explain no other finding, other trouble is more telling."""
UNABLE = frozenset({"AutoscalerWithoutMetrics", "AutoscalerCannotScale"})
"""Findings about an autoscaler that does nothing: also one that never scaled explains that its workload is now too slow."""
OF_EVICTIONS = frozenset({"DisruptionBlocked", "DisruptionBudgetsOverlap"})
"""Findings about pods that stay where they are: they explain no trouble of these pods."""

Calls = Mapping[Subject, set[Subject]]
"""The workloads that each workload calls."""


def ranked(findings: Sequence[Finding], calls: Calls) -> list[Finding]:
    """Return the findings in order. Sets `because` of each finding that another one explains."""
    serious = [finding for finding in findings if finding.severity != "info"]
    for finding in serious:
        causes = [other for other in serious if other is not finding and explains(other, finding, calls)]
        finding.because = min(causes, key=_order, default=None)
    for finding in serious:  # causes that form a circle explain nothing
        passed = {id(finding)}
        above = finding.because
        while above is not None and id(above) not in passed:
            passed.add(id(above))
            above = above.because
        if above is not None:
            finding.because = None
    suffering = {id(finding.because) for finding in serious}
    for finding in serious:
        if finding.rule in LIMITS and id(finding) not in suffering:
            finding.aside = True
        elif finding.rule in UNABLE and id(finding) in suffering:
            finding.aside = False
    return sorted(findings, key=lambda finding: (finding.severity == "info", finding.because is not None, *_order(finding)))


def _order(finding: Finding) -> tuple[int, bool, int, int, str, str, str]:
    return (
        SEVERITIES.index(finding.severity),
        finding.aside,
        CONFIDENCES.index(finding.confidence),
        finding.depth,
        finding.first_seen or "9",
        finding.rule,
        finding.subject.name,
    )


def explains(cause: Finding, finding: Finding, calls: Calls) -> bool:
    """Return whether `cause` may explain `finding`: same or called workload, lower depth, and not later."""
    if cause.confidence == "possible" and finding.confidence == "certain":
        return False
    if cause.rule in OF_EVICTIONS:
        return False
    if cause.aside and SEVERITIES.index(cause.severity) > SEVERITIES.index(finding.severity):
        return False  # what is over does not explain what goes on
    late = seconds_between(finding.first_seen, cause.first_seen)
    if late is not None and late > SLACK_SECONDS:
        return False
    if finding.rule in OF_CALLERS and finding.rule == cause.rule and finding.subject in calls.get(cause.subject, ()):
        return True
    if finding.rule in REFUSALS and cause.depth < finding.depth and cause.subject in calls.get(finding.subject, ()):
        return True
    if finding.rule in OF_FAILOVERS and cause.rule == "NoQuorum":
        return cause.subject in calls.get(finding.subject, {cause.subject})
    if finding.rule in OF_CALLS and finding.rule == cause.rule and cause.details.get("caller") in finding.callees:
        return True  # the called program waits for another one
    if "category" in cause.details and finding.rule == cause.rule and finding.rule not in OF_CALLERS:
        # the caller repeats what the called program lacks
        return cause.subject in calls.get(finding.subject, ()) or cause.subject.name in finding.callees
    deeper = finding.depth - cause.depth >= LEAST_DEPTH_BETWEEN
    if deeper and (cause.subject == finding.subject or cause.pods & finding.pods):
        return True
    if finding.subject == cause.of and finding.depth >= NUMBERS and (not cause.aside or cause.rule in UNABLE):
        return True
    if cause.nodes and cause.nodes & finding.nodes and deeper:
        return True
    if cause.subject.name in finding.callees and (
        cause.depth < finding.depth or finding.depth <= CRASH <= cause.depth <= SERVICE
    ):
        return True
    return deeper and finding.depth >= 30 and cause.depth <= 40 and cause.subject in calls.get(finding.subject, ())
