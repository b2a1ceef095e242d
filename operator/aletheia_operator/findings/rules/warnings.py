"""Rule for programs that only warn, while others report errors with them. Reads the findings of the other rules."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from aletheia_operator.findings.calls import Callees, named_in_errors
from aletheia_operator.findings.case import Case, clock
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.findings.harmless_lines import is_advice
from aletheia_operator.findings.reason_lines import gives_reason, names_client
from aletheia_operator.findings.templates import Place, Template
from aletheia_operator.text.batches import SERIOUS

MAX_QUOTED = 130
_CONSEQUENCES = frozenset({"DependencyDoesNotAnswer", "Errors", "ErrorBurst"})
"""Findings that a called program may explain."""
_REFUSALS = frozenset({"CredentialsRefused", "PermissionDenied", "CertificateInvalid", "TargetMissing", "Throttled"})
"""Findings that a called program explains if it warns of the same category."""
Warned = tuple[Template, Place]


def warnings_of_callees(case: Case, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the warnings of workloads that have no error, and that other workloads' errors name. `found`: all findings."""
    callees = Callees(case)
    named = named_in_errors(case, callees)
    warned = _warnings(case, found)
    reported: set[Subject] = set()
    for finding in found:
        if finding.rule not in _CONSEQUENCES | _REFUSALS or finding.severity == "info":
            continue
        callers = {case.workload_of_pod(pod) for pod in finding.pods}
        for callee in sorted({name for caller in callers for name in named.get(caller, ())} - callers, key=str):
            warnings = warned.get(callee, [])
            if finding.rule in _REFUSALS:
                warnings = [pair for pair in warnings if _refuses(pair[0], str(finding.details.get("category")))]
            if warnings and callee not in reported:
                reported.add(callee)
                finding.callees |= {callee.name}
                yield _finding(callee, warnings, min(callers, key=str).name, finding)


def _warnings(case: Case, found: Sequence[Finding]) -> Mapping[Subject, list[Warned]]:
    """Return the warnings, and the few errors, of each workload without a finding that is an error."""
    lines: dict[Subject, list[Warned]] = defaultdict(list)
    serious_findings = [finding for finding in found if finding.severity in ("critical", "error")]
    failed = {finding.subject for finding in serious_findings}
    callers = (finding.pods for finding in serious_findings if finding.rule == "DependencyDoesNotAnswer")
    failed |= {case.workload_of_pod(pod) for pods in callers for pod in pods}  # reported with what they call
    for template in case.evidence.logs.templates.by_shape.values():
        if template.level not in SERIOUS and is_advice(template.example):
            continue
        for place in template.places.values():
            subject = case.workload_of_pod(place.pod)
            serious = template.level == "WARN" or template.level in SERIOUS or (not template.level and template.category)
            if serious and subject not in failed and any(letter.isalpha() for letter in template.shape):
                lines[subject].append((template, place))
    return lines


def _refuses(template: Template, category: str) -> bool:
    """Return whether a warning may explain a caller's error of this category.

    A server only repeats that its client did not accept a certificate: the client's own error says why.
    """
    return template.category == category and not (category == "certificate" and names_client(template.line))


def _finding(subject: Subject, warnings: list[Warned], caller: str, finding: Finding) -> Finding:
    template, place = min(
        warnings,
        key=lambda warned: (
            not warned[0].category,
            not gives_reason(warned[0].example),
            warned[0].level == "WARN",
            warned[1].first,
        ),
    )
    return Finding(
        rule="CalleeWarns",
        severity="error",
        confidence="likely",
        subject=subject,
        message=f"{subject.name}: {excerpt(template.example, MAX_QUOTED)} "
        f"({place.count}x since {clock(place.first)}, while {caller} reports errors with it)",
        depth=min(38, finding.depth - 1),
        first_seen=place.first,
        links=(place.link, *finding.links[:1]),
        pods=frozenset(place.pod for _, place in warnings),
        details={"count": place.count, "caller": caller},
    )
