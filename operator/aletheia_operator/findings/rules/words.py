"""Rules for words in logs: hosts that do not answer or are not resolved, expired certificates, full disks."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aletheia_operator.findings.calls import Callees
from aletheia_operator.findings.case import Case, clock, earlier, seconds_between
from aletheia_operator.findings.finding import Confidence, Finding, Severity, Subject
from aletheia_operator.findings.telling import excerpt, tells_why
from aletheia_operator.findings.templates import Place, Template
from aletheia_operator.findings.words import CALLS
from aletheia_operator.text.batches import SERIOUS
from aletheia_operator.text.nearest import nearest

MAX_WORDS = 150
FEW = 3
PERSISTENT = 10
"""Least number of warnings, or of lines without a level that name an error, that are a problem while they go on."""
OVER_SECONDS = 300.0
"""Complaints that stopped this long before the end of the window are over."""

_COMPLAINTS: dict[str, tuple[str, str, Severity, int]] = {  # rule, title, severity, depth
    "certificate": ("CertificateInvalid", "a certificate is not accepted", "error", 12),
    "credentials": ("CredentialsRefused", "credentials are refused or expired", "error", 13),
    "connections": ("ConnectionsExhausted", "connections are used up", "error", 24),
    "locks": ("Locked", "waits for locks", "warning", 25),
    "memory": ("OutOfMemory", "is out of memory", "error", 16),
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
_OWN = frozenset({"connections", "memory", "processes", "disk", "files", "clock", "readonly"})
"""Categories that are never the fault of a program's clients."""
_CALLED = {
    "refused": "refuses connections", "timeout": "does not answer in time", "unreachable": "cannot be reached, or resets",
}  # fmt: skip


@dataclass
class _Complaint:
    """A workload's lines of one category."""

    count: int = 0
    places: list[tuple[Template, Place]] = field(default_factory=list)

    @property
    def first(self) -> Place:
        return min((place for _, place in self.places), key=lambda place: place.first)

    @property
    def last(self) -> str:
        return max(place.last for _, place in self.places)

    @property
    def example(self) -> str:
        return max(self.places, key=lambda place: (place[0].level in SERIOUS, place[1].count))[0].example

    @property
    def serious(self) -> bool:
        return any(template.level in SERIOUS for template, _ in self.places)

    @property
    def persistent(self) -> bool:
        """Whether many lines without a level name an error, or many warnings name a resource that the program lacks."""
        counts = (
            place.count
            for template, place in self.places
            if (not template.level and tells_why(template.example)) or (template.level == "WARN" and template.category in _OWN)
        )
        return sum(counts) >= PERSISTENT

    def add(self, template: Template, place: Place) -> None:
        self.count += place.count
        self.places.append((template, place))


def words(case: Case) -> Iterator[Finding]:
    """Yield the complaints of workloads, by the categories of `findings.words`."""
    complaints: dict[tuple[Subject, str], _Complaint] = defaultdict(_Complaint)
    called: dict[tuple[Subject, str], dict[str, _Complaint]] = defaultdict(lambda: defaultdict(_Complaint))
    callees = Callees(case)
    for template in case.evidence.logs.templates.by_shape.values():
        for place in template.places.values():
            subject = case.workload_of_pod(place.pod)
            if template.category in _COMPLAINTS:
                complaints[subject, template.category].add(template, place)
            elif template.category in CALLS:
                peer = Counter(place.peers).most_common(1)
                name = callees.service(peer[0][0]) or peer[0][0] if peer else ""
                called[subject, name][template.category].add(template, place)
    for (subject, category), complaint in complaints.items():
        yield _of_words(case, subject, category, complaint)
    unresolved = [name for (_, name), kinds in called.items() if "dns" in kinds and name]
    for (subject, name), kinds in called.items():
        if name in ("", subject.name) and len(called) > 1 and any(caller == subject and other for caller, other in called):
            continue  # other lines of the workload name the host
        yield _of_calls(case, callees, subject, name, kinds, unresolved)


def _severity(case: Case, subject: Subject, complaint: _Complaint, severity: Severity) -> Severity:
    """Return the severity: lower if there are few lines, or if the complaints stopped and the workload is healthy."""
    left = seconds_between(complaint.last, case.end)
    over = subject.kind in ("Job", "CronJob") or (left is not None and left > OVER_SECONDS)
    if over and case.is_healthy(subject):
        return "info"
    if not complaint.serious and complaint.count >= FEW and not over and not case.is_healthy(subject):
        return "warning"  # programs that wait may log it without a level
    if not over and not complaint.serious and complaint.persistent:
        return "warning"
    if not complaint.serious or complaint.count < FEW:
        return "warning" if subject in case.crashed or (complaint.serious and not case.is_healthy(subject)) else "info"
    return severity


def _of_clients(case: Case, subject: Subject, name: str, category: str) -> Severity | None:
    """Return `info` for broken connections of a healthy workload to unknown hosts, which may be its clients. Else None."""
    return "info" if category == "unreachable" and not name and case.is_healthy(subject) else None


def _of_words(case: Case, subject: Subject, category: str, complaint: _Complaint) -> Finding:
    rule, title, severity, depth = _COMPLAINTS[category]
    first, example = complaint.first, excerpt(complaint.example, MAX_WORDS)
    return Finding(
        rule=rule,
        severity=_severity(case, subject, complaint, severity),
        confidence="likely",
        subject=subject,
        message=f"{subject.name}: {title}: {example} ({complaint.count}x since {clock(first.first)})",
        depth=max(depth, 22) if subject in case.crashed else depth,
        first_seen=first.first,
        links=tuple(place.link for _, place in sorted(complaint.places, key=lambda item: item[1].first)),
        pods=frozenset(place.pod for _, place in complaint.places),
        details={"count": complaint.count, "category": category},
    )


def _of_calls(
    case: Case, callees: Callees, subject: Subject, name: str, kinds: dict[str, _Complaint], unresolved: Sequence[str]
) -> Finding:
    all_calls = _Complaint()
    for complaint in kinds.values():
        all_calls.count += complaint.count
        all_calls.places += complaint.places
    category = "dns" if "dns" in kinds else max(kinds, key=lambda kind: kinds[kind].count)
    complaint = kinds[category]
    first = earlier(all_calls.first.first)
    example = excerpt(complaint.example, MAX_WORDS)
    behind = callees.workloads(name) if name else set()
    confidence: Confidence = "likely" if name else "possible"
    if category == "dns":
        rule, depth, about = "NameNotResolved", 13, subject
        near = nearest(name, callees.services)
        hint = f"; there is a Service {near[0]}" if near and not callees.exists(name) else ""
        all_fail = len(set(unresolved)) > FEW
        title = "no name is resolved by DNS" if all_fail else f"DNS does not resolve {name or 'a name'}{hint}"
        message = f"{subject.name}: {title}: {example}"
        if all_fail:
            rule = "DnsFails"
    else:
        rule, depth = "DependencyDoesNotAnswer", 45
        about = Subject("Service", name) if name and name != subject.name else subject
        message = f"{name or 'what it calls'} {_CALLED[category]}, {subject.name} says: {example}"
    return Finding(
        rule=rule,
        severity=_of_clients(case, subject, name, category) or _severity(case, subject, all_calls, "error"),
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
