"""Rules for failing probes: which probe, since when, and the answer of the endpoint."""

import re
from collections import Counter
from collections.abc import Iterator

from aletheia_operator.findings.case import Case, clock, containers_of, earlier, seconds_between
from aletheia_operator.findings.error_categories import category_of, runtime_message
from aletheia_operator.findings.events import Event
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Link, Severity, Subject
from aletheia_operator.findings.harmless_lines import is_advice
from aletheia_operator.findings.reason_lines import gives_reason
from aletheia_operator.findings.templates import Place, Template, is_steady
from aletheia_operator.text.batches import SERIOUS
from aletheia_operator.text.display import one_line

KINDS = ("Liveness", "Readiness", "Startup")
START_SECONDS = 120.0  # after its start, in which a container may fail its probes
FLAPPING = 5  # least number of failures of a pod that is ready now
MAX_QUOTED = 120
MAX_ANSWER = 500  # characters of an answer that are read
MAX_LOGGED = 110
MAX_VAGUE = 60
USUAL_SECONDS = 120.0
"""Lines that began this long before a probe failed, and did not become more, are not why it fails."""
_ANSWERED = re.compile(r"^(?:HTTP|gRPC:) |deadline exceeded|timeout|timed out")
"""Answers of programs that run: their logs may say why."""
_NOT_LISTENING = re.compile(
    r"connection refused|(?:can't|could not|unable to) connect|rejecting connections|no response", re.IGNORECASE
)
"""Answers of clients that reach no program: its last line may say what it does."""
_NOT_YET = re.compile(
    r"\bnot (?:yet |fully )*(?:running|ready|booted|started|initiali[sz]ed|up|complete|synced)\b"
    r"|\b(?:is|are|still) (?:starting|booting|loading|initiali[sz]ing)\b",
    re.IGNORECASE,
)
"""Answers that only say that a program has not started: its log may say what it waits for."""
_NAMES = {"Liveness": "livenessProbe", "Readiness": "readinessProbe", "Startup": "startupProbe"}

Key = tuple[Subject, str, str]  # workload, container, probe


def probes(case: Case) -> Iterator[Finding]:
    """Yield the probes that fail."""
    failing: dict[Key, list[Event]] = {}
    for event in case.events("Unhealthy", "ProbeWarning"):
        kind = event.message.partition(" ")[0]
        if event.subject.kind == "Pod" and kind in KINDS:
            failing.setdefault((case.workload(event.subject), event.container, kind), []).append(event)
    for key, events in failing.items():
        yield _finding(case, key, events)


def _finding(case: Case, key: Key, events: list[Event]) -> Finding:
    subject, container, kind = key
    pods = {event.subject.name for event in events}
    kills = [
        event
        for event in case.events("Killing")
        if event.subject.name in pods and event.container in ("", container) and f"{kind.lower()} probe" in event.message
    ]
    latest = max(events, key=lambda event: event.last)
    first = earlier(*(event.first for event in events))
    count = sum(event.count for event in events)
    answer = one_line(answer_of(latest.message), MAX_ANSWER)
    words = one_line(answer, MAX_QUOTED)
    not_yet = _NOT_YET.search(answer)
    vague = not_yet is not None or not (_ANSWERED.search(words) or gives_reason(words))
    logged, log_link = _logged(case, pods, container, first) if vague or _ANSWERED.search(words) else ("", ())
    if _NOT_LISTENING.search(words) and (line := case.evidence.logs.last_words(pods, container)) is not None:
        logged, log_link = f", it logs: {excerpt(line.text, MAX_LOGGED)}", (line.link,)
    if vague and logged and len(words) > MAX_VAGUE:
        words = not_yet[0] if not_yet else one_line(words, MAX_VAGUE)
    what = f"restarted by its {kind.lower()} probe" if kills else f"its {kind.lower()} probe fails"
    where = _endpoint(case, pods, container, kind)
    return Finding(
        rule=f"{kind}Probe",
        severity=_severity(case, subject, pods, events, kills),
        confidence="certain" if kills else "likely",
        subject=subject,
        message=f"{subject.name}: {what}{where}: {words}{logged} ({count}x since {clock(first)})",
        depth=14 if kills else 30,
        first_seen=first,
        links=(
            latest.link,
            *log_link,
            *(kill.link for kill in kills[:1]),
            *(event.link for event in events[:3] if event is not latest),
        ),
        remedy="look at what the endpoint does; give the probe more time if the program is only slow" if kills else "",
        pods=frozenset(pods),
        details={"container": container, "probe": kind, "count": count},
    )


def _logged(case: Case, pods: set[str], container: str, first: str | None) -> tuple[str, tuple[Link, ...]]:
    """Return the most frequent error of a container while its probe fails, or else warning with a reason; and its link.

    Errors with a reason come first. Lines that the container logs as often without a failing probe do not count.
    """
    places = [
        ((_has_reason(template.example), template.level in SERIOUS, place.count), template.example, place.link)
        for template in case.evidence.logs.templates.by_shape.values()
        if template.level in SERIOUS or (template.level == "WARN" and _tells(template.example))
        for place in template.places.values()
        if place.pod in pods and place.container in (container, "") and (not first or place.last[:19] >= first[:19])
        if not _was_usual(template, place, first)
    ]
    if not places:
        return "", ()
    _, text, link = max(places, key=lambda place: place[0])
    return f", it logs: {excerpt(text, MAX_LOGGED)}", (link,)


def _was_usual(template: Template, place: Place, first: str | None) -> bool:
    """Return whether lines came long before the first failure of a probe, and no more often after it."""
    before = seconds_between(place.first, first)
    return before is not None and before > USUAL_SECONDS and is_steady(template.histogram)


def _tells(text: str) -> bool:
    return _has_reason(text) and not is_advice(text)


def _has_reason(text: str) -> bool:
    return bool(category_of(text)) or gives_reason(text)


def _severity(case: Case, subject: Subject, pods: set[str], events: list[Event], kills: list[Event]) -> Severity:
    """Return the severity: pods are down, restarted, flapping, or only slow to start."""
    pods = pods - case.leaving
    if not pods:
        return "info"
    healthy = [pod for pod in pods if case.is_healthy(Subject("Pod", pod))]
    known = [pod for pod in pods if pod in case.evidence.objects.pods]
    if kills and (len(healthy) < len(pods) or any(map(case.lasts, kills))):  # just killed, a pod may still look healthy
        return "critical"
    if len(healthy) == len(pods):
        late = [event for event in events if not _before_ready(case, event)]
        times = Counter[str]()
        for event in late:
            times[event.subject.name] += event.count
        worst = max(times.values(), default=0)
        return "warning" if worst >= FLAPPING and any(map(case.lasts, late)) else "info"
    if known and len(known) > len(healthy):
        ready, total = case.healthy_pods(subject)
        lasting = any(case.lasts(event) for event in events if event.subject.name in set(known) - set(healthy))
        if not lasting:
            return "warning"
        return "error" if ready and total > 1 else "critical"
    return "error" if any(map(case.lasts, events)) and not case.evidence.objects.pods else "info"


def _before_ready(case: Case, event: Event) -> bool:
    """Return whether a ready pod failed its probe only during its start."""
    since = case.ready_since.get(event.subject.name)
    return since is not None and event.last[:19] <= since[:19]


def answer_of(message: str) -> str:
    """Return the endpoint's answer from an event's message, without the text that all such messages have."""
    _, _, words = message.partition(": ")
    words = words or ("it says nothing" if message.rstrip().endswith(" failed:") else message)
    if "exec failed: " in words:
        return runtime_message(words)
    for start, short in (("HTTP probe failed with statuscode: ", "HTTP "), ("service unhealthy (responded with ", "gRPC: ")):
        if words.startswith(start):
            return short + words.removeprefix(start).rstrip(")")
    if words.startswith("Get ") and '": ' in words:
        words = words.partition('": ')[2]
    return words


def _endpoint(case: Case, pods: set[str], container: str, kind: str) -> str:
    """Return the target of the probe, for example ` (/healthz on 8080)`; '' if the pod is not known."""
    for fact, pod in case.pods():
        if fact.name not in pods:
            continue
        for spec, _, _ in containers_of(pod):
            probe = spec.get(_NAMES[kind]) or {}
            if spec["name"] != container or not probe:
                continue
            if http := probe.get("httpGet"):
                return " " + one_line(f"({http.get('path') or '/'} on {http.get('port')})", 80)
            if socket := probe.get("tcpSocket") or probe.get("grpc"):
                return " " + one_line(f"(port {socket.get('port')})", 40)
            if command := (probe.get("exec") or {}).get("command"):
                return " " + one_line(f"({' '.join(map(str, command))[:60]})", 70)
    return ""
