"""Rules for categories of errors in logs: hosts that do not answer or are not resolved, expired certificates, full disks."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from aletheia_operator.findings.calls import Callees, configured_services, named_in_part
from aletheia_operator.findings.case import Case, clock, earlier, seconds_between
from aletheia_operator.findings.category_lines import OF_CLIENTS, OWN, PERSISTENT, CategoryLines
from aletheia_operator.findings.clients import Clients
from aletheia_operator.findings.database_lines import ends_session
from aletheia_operator.findings.error_categories import CALLS, is_address, names_host
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Confidence, Finding, Severity, Subject
from aletheia_operator.findings.quoted_errors import link_quoted, link_statements
from aletheia_operator.findings.reason_lines import (
    is_handled,
    is_statement,
    names_client,
    renews,
    tries_again,
)
from aletheia_operator.findings.rules.errors import warning_beside
from aletheia_operator.findings.templates import is_steady
from aletheia_operator.text.nearest import nearest

MAX_QUOTED = 150
FEW = 3
MANY_HOSTS = 5
"""Least number of hosts of the internet that one program calls and that fail, of which none is named."""
MOST = 0.5
"""Share of a workload's lines, or of its failed calls, from which on they are most of them."""
ONLY = 0.8
"""Share of a workload's lines from which on they are all that it logs."""
OVER_SECONDS = 300.0
"""Errors of a category that stopped this long before the end of the window are over."""

_RULES: dict[str, tuple[str, str, Severity, int]] = {  # rule, title, severity, depth
    "certificate": ("CertificateInvalid", "a certificate is not accepted", "error", 12),
    "credentials": ("CredentialsRefused", "credentials are refused or expired", "error", 13),
    "corrupt": ("DataCorrupt", "data is damaged", "error", 11),
    "version": ("VersionsDiffer", "versions do not fit together", "error", 14),
    "quorum": ("NoQuorum", "a cluster has no leader, or too few members", "error", 21),
    "absent": ("TargetMissing", "what it uses does not exist", "error", 16),
    "connections": ("ConnectionsExhausted", "connections are used up", "error", 24),
    "overload": ("Overloaded", "has no capacity left", "warning", 24),
    "locks": ("Locked", "waits for locks", "warning", 25),
    "pauses": ("CollectionPauses", "stops for a second or more to collect garbage", "error", 15),
    "migrations": ("MigrationsDiffer", "a migration of its database failed, or was changed", "error", 14),
    "memory": ("OutOfMemory", "is out of memory", "error", 16),
    "workers": ("WorkersKilled", "its worker processes are killed", "error", 15),
    "processes": ("TooManyProcesses", "can start no more processes or threads", "error", 15),
    "readonly": ("ReadOnly", "writes to what can only be read", "error", 14),
    "disk": ("DiskFull", "a disk is full or not writable", "error", 8),
    "files": ("TooManyOpenFiles", "has too many open files", "error", 16),
    "permission": ("PermissionDenied", "lacks a permission", "warning", 16),
    "address": ("AddressInUse", "its address is in use", "error", 16),
    "missing": ("FileMissing", "a file is missing", "warning", 18),
    "settings": ("SettingInvalid", "a setting is missing or not valid", "error", 16),
    "schema": ("SchemaDiffers", "its database has not the tables or columns that it needs", "error", 14),
    "clock": ("ClockSkew", "clocks differ", "warning", 9),
    "limited": ("Throttled", "is limited by what it calls", "warning", 44),
}
_ALERT = re.compile(r"\b(?:ssl|tls)\S{0,10} alert (?:bad certificate|unknown ca|certificate unknown)", re.IGNORECASE)
"""Words of OpenSSL for a peer that does not know the own certificate. They name no host if the peer is a client."""
_SILENT_DNS = re.compile(
    r":53: (?:.{1,80}: )?(?:i/o timeout|connect(?:ion)? ?(?:: connection )?refused)|no servers could be reached"
)
_CALLED = {
    "refused": "refuses connections", "timeout": "does not answer in time", "unready": "is not ready",
    "unreachable": "cannot be reached, or resets",
}  # fmt: skip


def _scattered(case: Case, callees: Callees) -> Mapping[Subject, set[str]]:
    """Return the hosts of the internet that fail, by the workload that calls many. None of them has most of the failures."""
    found: dict[Subject, Counter[str]] = defaultdict(Counter)
    for template in case.evidence.logs.templates.by_shape.values():
        for place in template.places.values() if template.category in CALLS else ():
            host = place.peer
            if "." in host and ".svc" not in host and not is_address(host) and not callees.exists(callees.service(host)):
                found[case.workload_of_pod(place.pod)][host] += place.count
    return {
        subject: set(counts)
        for subject, counts in found.items()
        if len(counts) >= MANY_HOSTS and max(counts.values()) < MOST * counts.total()
    }


def categories(case: Case) -> Iterator[Finding]:
    """Yield the errors of workloads, by the categories of `findings.error_categories`."""
    found: dict[tuple[Subject, str], CategoryLines] = defaultdict(CategoryLines)
    called: dict[tuple[Subject, str], dict[str, CategoryLines]] = defaultdict(lambda: defaultdict(CategoryLines))
    callees = Callees(case)
    configured, scattered = configured_services(case, callees), _scattered(case, callees)
    for template in case.evidence.logs.templates.by_shape.values():
        for place in template.places.values():
            subject = case.workload_of_pod(place.pod)
            if template.category in _RULES:
                found[subject, template.category].add(template, place)
            elif template.category in CALLS:
                host = place.peer
                name = callees.service(host) or named_in_part(template.line, configured[subject]) or host
                if template.category != "dns" and host in scattered.get(subject, ()):
                    name = ""  # none of them is the one that fails
                if template.category != "dns" and not callees.exists(name) and not names_host(name, template.example):
                    name = ""
                called[subject, name][template.category].add(template, place)
    texts = {(subject, category): lines.example for (subject, category), lines in found.items()}
    clients = Clients(case, callees)
    of_lines = {key: _of_category(case, clients, *key, lines) for key, lines in found.items()}
    link_quoted(of_lines, texts)
    link_statements(of_lines, found)
    yield from of_lines.values()
    unresolved = [name for (_, name), kinds in called.items() if "dns" in kinds and name]
    for (subject, name), kinds in called.items():
        of_many = not name and subject in scattered
        if name in ("", subject.name) and not of_many and any(caller == subject and other for caller, other in called):
            continue  # other lines of the workload name the host
        finding = _of_calls(case, callees, subject, name, kinds, unresolved)
        if of_many and _copes(case, subject, kinds.values()):
            finding.severity = "info"  # a program that calls so many always meets some that fail
        yield finding


def _severity(case: Case, subject: Subject, lines: CategoryLines, severity: Severity, *, of_service: bool = False) -> Severity:
    """Return the severity: lower if there are few lines, or if they stopped and the workload is healthy.

    `of_service`: they are about a known Service, which is a problem as warnings too.
    """
    left = seconds_between(lines.last, case.end)
    over = subject.kind in ("Job", "CronJob") or (left is not None and left > OVER_SECONDS)
    if over and case.is_healthy(subject):
        return "info"
    if not lines.serious and lines.count >= FEW and not over and not case.is_healthy(subject):
        return "warning"  # programs that wait may log it without a level
    goes_on = not over and not lines.serious and lines.count >= PERSISTENT
    is_all = lines.count >= ONLY * case.lines_of(subject) and not is_statement(lines.example)
    if goes_on and lines.pauses_often:
        return severity
    if goes_on and (lines.persistent or of_service or is_all or _are_new(case, lines)):
        return "warning"
    if not lines.serious or lines.count < FEW:
        return "warning" if subject in case.crashed or (lines.serious and not case.is_healthy(subject)) else "info"
    return severity


def _are_new(case: Case, lines: CategoryLines) -> bool:
    """Return whether a program warns of what it did not warn of before, and does not try again."""
    own = all(template.level == "WARN" and template.category not in CALLS for template, _ in lines.places)
    return own and all(case.is_new(place.pod, place.first) for _, place in lines.places) and not tries_again(lines.example)


def _is_of_clients(case: Case, subject: Subject, lines: CategoryLines, category: str, name: str) -> bool:
    """Return whether the lines of a healthy workload are about its clients: their requests, or connections that they broke.

    `name`: the host that the lines name. A connection without a name, or to an unknown address, may be a client's.
    """
    if not case.is_healthy(subject):
        return False
    if category == "unreachable":
        return not name or name.replace(".", "").isdigit() or names_client(lines.example)
    return (category in OF_CLIENTS and names_client(lines.example)) or (category not in OWN and is_handled(lines.example))


def _is_renewed(case: Case, subject: Subject, lines: CategoryLines, category: str) -> bool:
    """Return whether a healthy workload only reports that it renews an expired token."""
    return category == "credentials" and not lines.serious and case.is_healthy(subject) and renews(lines.example)


def _copes(case: Case, subject: Subject, kinds: Iterable[CategoryLines], beside: int = 0) -> bool:
    """Return whether a healthy workload has done other work beside these errors all the time.

    The lines began with the window, are not more frequent in its second half, and are the smaller part of what it logs.
    `beside`: further lines about the same.
    """
    lines_of_kinds = [*kinds]
    count = sum(place.count for lines in lines_of_kinds for _, place in lines.places) + beside
    return _are_steady(lines_of_kinds) and case.is_healthy(subject) and count < MOST * case.lines_of(subject)


def _are_steady(kinds: Iterable[CategoryLines]) -> bool:
    """Return whether lines began with the window, and are not more frequent in its second half."""
    histograms = (template.histogram for lines in kinds for template, _ in lines.places)
    return is_steady([sum(counts) for counts in zip(*histograms, strict=True)])


def _are_refused_as_always(case: Case, subject: Subject, lines: CategoryLines, category: str) -> bool:
    """Return whether a healthy database only refuses sessions, as it has all the time."""
    refuses = category in OF_CLIENTS and all(ends_session(template) for template, _ in lines.places)
    return refuses and _are_steady([lines]) and case.is_healthy(subject)


def _is_usual(case: Case, subject: Subject, lines: CategoryLines, category: str) -> bool:
    """Return whether a workload copes with clients that do not know its certificate, or with a limit, and tries again."""
    if category == "certificate":
        return not lines.hosts and _ALERT.search(lines.example) is not None and _copes(case, subject, [lines])
    beside = warning_beside(case, lines.first, lines.first.count) if category == "limited" else None
    return beside is not None and tries_again(beside[0].example) and _copes(case, subject, [lines], lines.count)


def _of_category(case: Case, clients: Clients, subject: Subject, category: str, lines: CategoryLines) -> Finding:
    rule, title, severity, depth = _RULES[category]
    first, example = lines.first, excerpt(lines.example, MAX_QUOTED)
    always = _are_refused_as_always(case, subject, lines, category)
    return Finding(
        rule=rule,
        severity="info"
        if _is_of_clients(case, subject, lines, category, "")
        or _is_renewed(case, subject, lines, category)
        or _is_usual(case, subject, lines, category)
        or (always and clients.are_well(subject))
        else _severity(case, subject, lines, severity),
        confidence="likely",
        subject=subject,
        message=f"{subject.name}: {title}: {example} ({lines.count}x since {clock(first.first)})",
        depth=max(depth, 22) if subject in case.crashed else depth,
        first_seen=first.first,
        links=tuple(place.link for _, place in sorted(lines.places, key=lambda item: item[1].first)),
        pods=frozenset(place.pod for _, place in lines.places),
        details={"count": lines.count, "category": category},
        aside=always,
    )


def _of_calls(
    case: Case, callees: Callees, subject: Subject, name: str, kinds: dict[str, CategoryLines], unresolved: Sequence[str]
) -> Finding:
    all_calls = CategoryLines()
    for lines in kinds.values():
        all_calls.count += lines.count
        all_calls.places += lines.places
    category = "dns" if "dns" in kinds else max(kinds, key=lambda kind: kinds[kind].count)
    lines = kinds[category]
    first = earlier(all_calls.first.first)
    example = excerpt(lines.example, MAX_QUOTED)
    behind = callees.workloads(name) if name else set()
    confidence: Confidence = "likely" if name else "possible"
    if category == "dns":
        rule, depth, about = "NameNotResolved", 13, subject
        near = nearest(name, callees.services)
        hint = f"; there is a Service {near[0]}" if near and not callees.exists(name) else ""
        all_fail = len(set(unresolved)) > FEW
        dns = "the DNS server does not answer for" if _SILENT_DNS.search(lines.example) else "DNS does not resolve"
        wanted = name if name and not is_address(name) else "a name"
        title = "no name is resolved by DNS" if all_fail else f"{dns} {wanted}{hint}"
        message = f"{subject.name}: {title}: {example}"
        if all_fail:
            rule = "DnsFails"
    else:
        rule, depth = "DependencyDoesNotAnswer", 45
        about = Subject("Service", name) if name and name != subject.name else subject
        message = f"{name or 'what it calls'} {_CALLED[category]}, {subject.name} says: {example}"
    return Finding(
        rule=rule,
        severity="info"
        if _is_of_clients(case, subject, lines, category, name)
        else _severity(case, subject, all_calls, "error", of_service=callees.exists(name)),
        confidence=confidence,
        subject=about,
        message=f"{message} ({all_calls.count}x since {clock(first)})",
        depth=depth,
        first_seen=first,
        links=tuple(place.link for _, place in sorted(all_calls.places, key=lambda item: item[1].first)),
        pods=frozenset(place.pod for _, place in all_calls.places),
        callees=frozenset({name, *(workload.name for workload in behind)} - {"", subject.name}),
        details={"count": all_calls.count, "caller": subject.name, "callee": name},
    )
