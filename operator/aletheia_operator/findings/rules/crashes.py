"""Rules for containers that end and are restarted: exit codes, signals, memory limits, and their last lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.findings.calls import Callees
from aletheia_operator.findings.case import Case, clock, condition_of, containers_of, earlier, seconds_between
from aletheia_operator.findings.error_categories import CALLS, category_of, peer_of, runtime_message
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Confidence, Finding, Link, Severity, Subject
from aletheia_operator.findings.log_facts import WELL, Line, RunFacts
from aletheia_operator.findings.objects import Fact, Object
from aletheia_operator.findings.reason_lines import gives_reason
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

SIGNALS = {
    129: "SIGHUP", 130: "SIGINT", 131: "SIGQUIT", 132: "SIGILL", 133: "SIGTRAP", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE",
    137: "SIGKILL", 139: "SIGSEGV", 141: "SIGPIPE", 143: "SIGTERM", 159: "SIGSYS",
}  # fmt: skip
NOT_STARTED = ("StartError", "ContainerCannotRun", "RunContainerError")
HOOKS = ("FailedPostStartHook",)
MAX_QUOTED = 170
SELDOM = 2  # restarts
STOPPED = (137, 143)  # exit codes of a container that was stopped
RECOVERED_SECONDS = 900.0


@dataclass
class _End:
    """The ends of one container of a workload, in all its pods. `state`: the latest `terminated` state."""

    container: str
    state: Mapping[str, Any]
    fact: Fact
    pod: Object
    limit: str | None
    is_init: bool
    restarts: int = 0
    alone: bool = True
    down: bool = False
    first: str | None = None
    pods: set[str] = field(default_factory=set)
    links: list[Link] = field(default_factory=list)
    run: RunFacts | None = None


def crashes(case: Case) -> Iterator[Finding]:
    """Yield the ends of containers that were restarted or do not run."""
    ends: dict[tuple[Subject, str], _End] = {}
    callees = Callees(case)
    for fact, pod in case.pods():
        subject = fact.workload.subject or Subject("Pod", fact.name)
        for container, status, is_init in containers_of(pod):
            end = _end_of(case, fact, pod, container, status, is_init)
            if end is None:
                continue
            known = ends.setdefault((subject, end.container), end)
            if known is not end:
                _add(known, end)
    for (subject, _), end in ends.items():
        finding = _finding(case, subject, end)
        finding.callees = _unanswered(callees, subject, end)
        yield finding


def _unanswered(callees: Callees, subject: Subject, end: _End) -> frozenset[str]:
    """Return the names of the Service and workloads that did not answer, if the container ended because of a failed call."""
    line = end.run.explaining_line() if end.run is not None else None
    if line is None or category_of(line.text) not in CALLS or not (host := peer_of(line.text)):
        return frozenset()
    service = callees.service(host)
    return frozenset({service, *(workload.name for workload in callees.workloads(service))} - {"", subject.name})


def _end_of(
    case: Case, fact: Fact, pod: Object, container: Mapping[str, Any], status: Mapping[str, Any], is_init: bool
) -> _End | None:
    """Return how a container ended; None if it did not end, or succeeded."""
    state, restarts = status.get("state") or {}, int(status.get("restartCount") or 0)
    now: Mapping[str, Any] | None = state.get("terminated")
    last: Mapping[str, Any] | None = (status.get("lastState") or {}).get("terminated")
    waits = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    ended = now if now is not None and now.get("exitCode") and not waits else last or now
    if ended is None or (now is ended and not ended.get("exitCode")):
        return None
    if (is_init and now is not None and not now.get("exitCode")) or pod["metadata"].get("deletionTimestamp"):
        return None  # it succeeded in the end, or is being deleted
    if not waits and not case.in_window(ended.get("finishedAt")):
        return None
    name = container["name"]
    number = restarts if "running" not in state and last is not None and now is None else restarts - (ended is last)
    subject = Subject("Pod", fact.name)
    backs = [event for event in case.by_subject.get(subject, ()) if event.reason == "BackOff" and event.container == name]
    run = _run_of(case, fact.name, name, max(0, number))
    ready = condition_of(pod, "Ready").get("status") == "True"
    return _End(
        container=name,
        state=ended,
        fact=fact,
        pod=pod,
        limit=((container.get("resources") or {}).get("limits") or {}).get("memory"),
        is_init=is_init,
        restarts=restarts,
        alone=len(pod["spec"].get("containers") or []) == 1,
        down=waits or ("running" not in state and not ready),
        first=earlier(ended.get("finishedAt"), *(event.first for event in backs)),
        pods={fact.name},
        links=[fact.link, *(event.link for event in backs[:1])],
        run=run,
    )


def _run_of(case: Case, pod: str, container: str, number: int) -> RunFacts | None:
    """Return the facts of a run's log; if it is missing, of an adjacent run, since repeated crashes log the same."""
    runs = [run for (run_pod, name, _), run in case.evidence.logs.runs.items() if (run_pod, name) == (pod, container)]
    with_words = [run for run in runs if run.explaining_line() is not None]
    return min(with_words, key=lambda run: (not run.explains_end, abs((run.run or 0) - number)), default=None)


def _add(known: _End, end: _End) -> None:
    """Add the end of the same container in another pod."""
    known.restarts += end.restarts
    known.down = known.down or end.down
    known.first = earlier(known.first, end.first)
    known.pods |= end.pods
    known.links += end.links
    later = str(end.state.get("finishedAt") or "") > str(known.state.get("finishedAt") or "")
    if known.state.get("reason") != "OOMKilled" and (later or end.state.get("reason") == "OOMKilled"):
        known.state, known.fact, known.run, known.pod = end.state, end.fact, end.run or known.run, end.pod


def _finding(case: Case, subject: Subject, end: _End) -> Finding:
    code, reason = int(end.state.get("exitCode") or 0), str(end.state.get("reason") or "")
    words, link = _words(end)
    title = subject.name if end.alone and not end.is_init else f"{subject.name}/{end.container}"
    if end.is_init:
        title = f"{subject.name}: init container {end.container}"
    how = f"exit {code}"
    if signal := SIGNALS.get(code):
        how += f", {signal}"
    if end.restarts:
        how += f", {counted(end.restarts, 'restart')}"
    how += f" since {clock(end.first)}"
    if len(end.pods) > 1:
        how += f", in {len(end.pods)} pods"
    rule, what, remedy = _kind(end, code, reason, words)
    hooks = [event for event in case.events(*HOOKS) if event.subject.name in end.pods]
    if hooks:
        rule, remedy = "HookFailed", "correct what the hook of its lifecycle runs"
        what = f"its hook fails, so it is stopped: {one_line(hooks[-1].message, MAX_QUOTED)}"
    return Finding(
        rule=rule,
        severity=_severity(case, end, code),
        confidence=_confidence(end, rule),
        subject=subject,
        message=f"{title}: {what} ({how})",
        depth=20,
        first_seen=end.first,
        links=tuple(
            dict.fromkeys([*end.links[:1], *([link] if link else []), *end.links[1:], *(hook.link for hook in hooks[:1])])
        ),
        remedy=remedy,
        pods=frozenset(end.pods),
        aside=_recovered(case, end),
        details={"container": end.container, "exitCode": code, "restarts": end.restarts, "reason": reason},
    )


def _kind(end: _End, code: int, reason: str, words: str) -> tuple[str, str, str]:
    """Return rule, message and remedy."""
    was_killed = reason == "OOMKilled" or code in (137, 139, 143)
    quote = f": {words}" if words and (not was_killed or _names_problem(end)) else ""
    if reason == "OOMKilled":
        limit = f"its memory limit of {end.limit}" if end.limit else "what its node or pod has"
        return "OOMKilled", f"out of memory: killed at {limit}{quote}", "raise the memory limit, or find what grows"
    if reason in NOT_STARTED or (code == 128 and not words):
        what = excerpt(runtime_message(str(end.state.get("message") or "")) or words, MAX_QUOTED)
        return "ContainerCannotStart", f"cannot be started: {what}", "correct the command, its arguments or the mounts"
    if reason in ("Unknown", "ContainerStatusUnknown"):
        return "Killed", "its end was not observed: its node or the container runtime was restarted", ""
    if code in (126, 127):
        return "CommandNotFound", f"its command cannot be run{quote}", "correct the command, or the image"
    if code == 139:
        return "SegmentationFault", f"crashed with a segmentation fault{quote}", ""
    if code == 137:
        return "Killed", f"killed, and not for its memory limit{quote}", ""
    if code == 143:
        return "Terminated", f"stopped by SIGTERM, and started again{quote}", ""
    if code == 0:
        return (
            "EndsByItself",
            f"ends by itself without an error, and is started again{quote}",
            "run it as a Job, or keep it running",
        )
    if words and not _names_problem(end, WELL):
        return "CrashLoop", f"ends with an error, its last words: {words}", ""
    return "CrashLoop", words or _silence(end), ""


def _names_problem(end: _End, calm: Sequence[str] = (*WELL, "")) -> bool:
    """Return whether the last words name a problem. Others say only what the container did last.

    `calm`: levels of lines that name one only if they have words for it.
    """
    line = end.run.explaining_line() if end.run is not None and not _message_of(end) else None
    return line is None or line.level not in calm or bool(gives_reason(line.text) or category_of(line.text))


def _silence(end: _End) -> str:
    """Return the text for a container without last words: it logged nothing, or its log could not be read."""
    if end.run is None or end.run.is_gone:
        return "ends with an error, and its log could not be read"
    return "ends with an error, and says nothing"


def _confidence(end: _End, rule: str) -> Confidence:
    """Return the confidence: `certain` if the kubelet or the kernel states the cause, or the program left it as its message."""
    if rule == "CrashLoop" and not _names_problem(end, WELL):
        return "possible"
    stated = rule not in ("CrashLoop", "Killed", "Terminated") or _message_of(end)
    return "certain" if stated else "likely"


def _message_of(end: _End) -> str:
    """Return the termination message, if it is one line: longer ones are usually the end of the log."""
    message = str(end.state.get("message") or "").strip()
    return message if "\n" not in message else ""


def _words(end: _End) -> tuple[str, Link | None]:
    """Return the last words of the container, and the link to their entry."""
    line: Line | None = end.run.explaining_line() if end.run is not None else None
    if line is not None and not _message_of(end):
        level = "FATAL " if line.level == "FATAL" and "fatal" not in line.text.lower() else ""
        return f"{level}{excerpt(line.text, MAX_QUOTED)}", line.link
    if message := str(end.state.get("message") or ""):
        lines = [line for line in message.splitlines() if line.strip()]
        return one_line(lines[-1] if lines else "", MAX_QUOTED), end.fact.link
    return "", None


def _severity(case: Case, end: _End, code: int) -> Severity:
    """Return the severity: the container does not run now, was restarted within the window, or recovered."""
    owner = next(
        (reference for reference in end.pod["metadata"].get("ownerReferences") or [] if reference.get("kind") == "Job"), None
    )
    if owner is not None:
        status = next(
            (job.get("status") or {} for _, job in case.objects("Job") if job["metadata"]["name"] == owner["name"]), {}
        )
        conditions = [condition for condition in status.get("conditions") or [] if condition.get("status") == "True"]
        if code in STOPPED and any(condition.get("reason") == "DeadlineExceeded" for condition in conditions):
            return "info"  # the Job's controller stopped it
        kinds = {condition.get("type") for condition in conditions}
        if "Failed" in kinds or "FailureTarget" in kinds:
            return "critical"
        return "info" if {"Complete", "SuccessCriteriaMet"} & kinds else "warning"
    if end.down:
        return "critical"
    if code in (0, 143) and end.restarts <= 1:
        return "info"
    return "warning" if _recovered(case, end) else "error"


def _recovered(case: Case, end: _End) -> bool:
    """Return whether the container was seldom restarted, and has run for long since then."""
    lasted = seconds_between(str(end.state.get("finishedAt") or "") or None, case.end)
    return end.restarts <= SELDOM * len(end.pods) and lasted is not None and lasted >= RECOVERED_SECONDS
