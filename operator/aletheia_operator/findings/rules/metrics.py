"""Rules for metrics: error rates and latencies that stepped, memory near its limit, throttled processors, full claims."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from aletheia_operator.findings.calls import Callees
from aletheia_operator.findings.case import Case, clock, seconds_between
from aletheia_operator.findings.finding import Finding, Severity, Subject
from aletheia_operator.findings.metrics import Series
from aletheia_operator.findings.rules.traces import time_of
from aletheia_operator.text.display import one_line


@dataclass(frozen=True)
class Limit:
    """A template, and the least level that is a problem. `kind`: of the object that is reported."""

    rule: str
    title: str
    least: float
    depth: int
    severity: Severity
    kind: str = "Pod"


LIMITS: Mapping[str, Limit] = {
    "cpu_throttling": Limit("CpuThrottled", "its processor is throttled", 0.25, 33, "warning"),
    "memory_limit": Limit("MemoryNearLimit", "its memory is near the limit", 0.9, 24, "warning"),
    "pvc_usage": Limit("ClaimNearlyFull", "volume claim is nearly full", 0.9, 7, "error", "PersistentVolumeClaim"),
    "network_errors": Limit("NetworkErrors", "network errors a second", 1.0, 9, "warning"),
}
"""By template. CPU: share of throttled periods; memory and claims: share of the limit."""
STEPS: Mapping[str, tuple[str, str, int, Severity]] = {
    "error_rate": ("ErrorRateRose", "its error rate rose", 60, "error"),
    "latency_p95": ("LatencyRose", "its latency (p95) rose", 61, "warning"),
    "latency_p99": ("LatencyRose", "its latency (p99) rose", 61, "warning"),
}
LEAST_ERROR_RATE = 0.01
LEAST_LATENCY_RATIO = 1.5
MOST = 10
LATE_SECONDS = 300.0
"""A series that begins so long after the window is of a new pod."""
_PERCENT = frozenset({"error_rate", "cpu_throttling", "memory_limit", "pvc_usage"})


def metrics(case: Case) -> Iterator[Finding]:
    """Yield metrics above their limit, and metrics that changed their level."""
    callees = Callees(case)
    reported = 0
    containers: dict[str, set[str]] = defaultdict(set)
    for series in case.evidence.metrics.series:
        containers[series.labels.get("pod", "")].add(series.labels.get("container", ""))
    several = {pod for pod, names in containers.items() if len(names - {""}) > 1}
    for series in case.evidence.metrics.series:
        finding = _over_limit(case, series, several) if series.template in LIMITS else _stepped(case, callees, series)
        if finding is not None and reported < MOST:
            reported += 1
            yield finding


def _over_limit(case: Case, series: Series, several: Collection[str]) -> Finding | None:
    """Return the finding about a level above its limit; None below it. `several`: pods of which the container is named."""
    limit = LIMITS[series.template]
    level = series.highest if series.template != "cpu_throttling" else series.after
    if level < limit.least or series.samples < 2:
        return None
    name = series.labels.get("persistentvolumeclaim") or series.labels.get("pod") or ""
    subject = Subject(limit.kind, name) if limit.kind != "Pod" else case.workload_of_pod(name)
    container = series.labels.get("container") if name in several else None
    title = f"{subject.name}/{container}" if container else subject.name
    since = _began(case, series, limit.least) if series.template == "cpu_throttling" else None
    first = since or time_of(series.highest_at * 1e6)
    return Finding(
        rule=limit.rule,
        severity=limit.severity,
        confidence="likely",
        subject=subject,
        message=f"{title}: {limit.title}: {_shown(series.template, level)} ({'since' if since else 'at'} {clock(first)})",
        depth=limit.depth,
        first_seen=first,
        links=(series.link,),
        pods=frozenset([name]) if limit.kind == "Pod" else frozenset(),
        details={"level": level},
    )


def _began(case: Case, series: Series, least: float) -> str | None:
    """Return since when a level that lasts is at least `least`; None if that is not known, or was before the window."""
    if series.before < least:
        return None if series.step is None else time_of(series.step * 1e6)
    first = time_of(series.first_at * 1e6)
    late = seconds_between(case.start, first)
    return first if late is not None and late > LATE_SECONDS else None


def _stepped(case: Case, callees: Callees, series: Series) -> Finding | None:
    step = STEPS.get(series.template)
    if step is None:
        return None
    rule, title, depth, severity = step
    now = max(series.after, series.highest if series.template == "error_rate" else series.after)
    rises = now >= LEAST_ERROR_RATE and now > 2 * series.before
    if series.template != "error_rate":
        rises = series.step is not None and series.after > LEAST_LATENCY_RATIO * series.before
    if not rises:
        return None
    name = next((value for key, value in series.labels.items() if key in ("service", "service_name", "pod")), "")
    behind = callees.workloads(name)
    lasting = series.after > 2 * series.before or series.template != "error_rate"
    first = time_of((series.step or series.highest_at) * 1e6)
    values = f"{_shown(series.template, series.before)} to {_shown(series.template, now)}"
    subject = min(behind, key=str) if behind else Subject("Service", name or one_line(series.query, 60))
    return Finding(
        rule=rule,
        severity=severity if lasting else "warning",
        confidence="likely",
        subject=subject,
        message=f"{name or subject.name}: {title} from {values} (since {clock(first)})",
        depth=depth,
        first_seen=first,
        links=(series.link,),
        details={"before": series.before, "after": now},
    )


def baselines(case: Case) -> Iterator[Finding]:
    """Yield levels that differ from the baseline's."""
    for name, baseline in case.evidence.metrics.compared:
        changed = baseline["changed"][0]
        values = f"{_shown(name, changed['level'])} against {_shown(name, changed['baseline_level'])}"
        worse = changed["level"] > changed["baseline_level"] and name in STEPS
        link = next((series.link for series in case.evidence.metrics.series if name in (series.template, series.query)), None)
        if link is None:
            continue  # its series was not read, so there is no evidence
        yield Finding(
            rule="DiffersFromBaseline",
            severity="warning" if worse else "info",
            confidence="possible",
            subject=Subject("Service", one_line(name, 60)),
            message=f"{one_line(name, 60)}: level {values} {baseline.get('offset')} before",
            depth=62,
            links=(link,),
        )


def _shown(template: str, value: float) -> str:
    if template in _PERCENT:
        return f"{100 * value:.3g} %"
    if template.startswith("latency"):
        return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
    return f"{value:.4g}"
