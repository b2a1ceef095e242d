"""Rules for Services without endpoints: selectors that match no pod, ports that no container has, pods that are not ready."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from aletheia_operator.findings.case import Case, clock
from aletheia_operator.findings.finding import Finding, Link, Subject
from aletheia_operator.findings.objects import Fact, Object
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

SERVICE_NAME = "kubernetes.io/service-name"


def services(case: Case) -> Iterator[Finding]:
    """Yield the Services without a working endpoint, and why."""
    slices: dict[str, list[tuple[Fact, Object]]] = defaultdict(list)
    for fact, item in case.objects("EndpointSlice"):
        slices[(item["metadata"].get("labels") or {}).get(SERVICE_NAME, "")].append((fact, item))
    seen: set[str] = set()
    for fact, service in case.objects("Service"):
        selector = (service.get("spec") or {}).get("selector")
        if not selector or fact.name in seen:
            continue
        seen.add(fact.name)
        yield from _of(case, fact, service, slices.get(fact.name, []), selector)


def _of(
    case: Case, fact: Fact, service: Object, slices: list[tuple[Fact, Object]], selector: Mapping[str, str]
) -> Iterator[Finding]:
    endpoints = [endpoint for _, item in slices for endpoint in item.get("endpoints") or []]
    ready = [endpoint for endpoint in endpoints if (endpoint.get("conditions") or {}).get("ready") is not False]
    matching = [
        pod for pod, labels in case.evidence.objects.labels.items() if all(labels.get(k) == v for k, v in selector.items())
    ]
    links = (fact.link, *(slice_fact.link for slice_fact, _ in slices[:2]))
    if not endpoints and not matching and slices and (empty := _without_pods(case, selector)):
        finding = _finding(case, fact, "ServiceWithoutEndpoints", f"{empty.name} has no pods", 40, links, "")
        finding.callees = frozenset([empty.name])
        yield finding
        return
    if not endpoints and not matching and slices:
        yield _finding(case, fact, "ServiceSelectsNothing", _selects_nothing(case, selector), 8, links, "correct the selector")
        return
    wrong = _wrong_port(case, service, matching)
    if wrong:
        link = _pod_link(case, matching)
        yield _finding(case, fact, "ServicePortMismatch", wrong, 8, (*links, *link), "correct targetPort")
    elif not ready and (endpoints or matching):
        of = max(len(endpoints), len(matching))
        finding = _finding(case, fact, "ServiceWithoutEndpoints", f"none of its {counted(of, 'pod')} is ready", 40, links, "")
        finding.pods = frozenset(matching)
        finding.callees = frozenset(case.workload_of_pod(pod).name for pod in matching)
        yield finding


def _without_pods(case: Case, selector: Mapping[str, str]) -> Subject | None:
    """Return a workload without pods that a selector matches; None if there is none."""
    for fact, item in case.objects("Deployment", "StatefulSet", "DaemonSet"):
        template = (item.get("spec") or {}).get("template") or {}
        labels = (template.get("metadata") or {}).get("labels") or {}
        if all(labels.get(key) == value for key, value in selector.items()):
            return fact.workload.subject or Subject(fact.kind, fact.name)
    return None


def _finding(case: Case, fact: Fact, rule: str, what: str, depth: int, links: tuple[Link, ...], remedy: str) -> Finding:
    return Finding(
        rule=rule,
        severity="critical",
        confidence="certain" if rule == "ServiceSelectsNothing" else "likely",
        subject=Subject("Service", fact.name),
        message=f"service {fact.name} has no working endpoint: {what}",
        depth=depth,
        first_seen=None,
        links=links,
        remedy=remedy,
    )


def _selects_nothing(case: Case, selector: Mapping[str, str]) -> str:
    """Return the text for a selector that matches no pod, with the labels of the most similar pod."""
    text = one_line(",".join(f"{key}={value}" for key, value in selector.items()), 80)
    best: tuple[int, str] = (0, "")
    for labels in case.evidence.objects.labels.values():
        differing = [key for key, value in selector.items() if labels.get(key) != value]
        alike = len(selector) - len(differing)
        if differing and (alike or any(key in labels for key in differing)) and alike + 1 > best[0]:
            key = differing[0]
            best = alike + 1, f"; pods have {key}={labels[key]}" if key in labels else f"; pods have no label {key}"
    return f"its selector {text} matches no pod{one_line(best[1], 80)}"


def _wrong_port(case: Case, service: Object, matching: list[str]) -> str:
    """Return the text for a targetPort that no container has; '' if all exist, or the containers declare no ports."""
    for fact, pod in case.pods():
        if fact.name not in matching:
            continue
        ports: list[Mapping[str, Any]] = [
            port for container in pod["spec"].get("containers") or [] for port in container.get("ports") or []
        ]
        names = {port.get("name") for port in ports if port.get("name")}
        numbers = {port.get("containerPort") for port in ports}
        for port in (service.get("spec") or {}).get("ports") or []:
            target = port.get("targetPort", port.get("port"))
            if isinstance(target, str) and target not in names:
                known = ", ".join(sorted(map(str, names))) or "none"
                return one_line(f"its targetPort {target} is no port of the pods (named ports: {known})", 120)
            if isinstance(target, int) and numbers and target not in numbers:
                known = ", ".join(sorted(map(str, numbers)))
                return one_line(f"its targetPort {target} is no port of the pods (they have {known})", 120)
        return ""
    return ""


def _pod_link(case: Case, matching: list[str]) -> tuple[Link, ...]:
    return next(((fact.link,) for fact, _ in case.pods() if fact.name in matching), ())


def scaled_to_zero(case: Case) -> Iterator[Finding]:
    """Yield the workloads that are scaled to 0 replicas."""
    for fact, item in case.objects("Deployment", "StatefulSet"):
        if (item.get("spec") or {}).get("replicas", 1) != 0:
            continue
        events = [
            event
            for event in case.events("ScalingReplicaSet", "SuccessfulRescale")
            if case.workload(event.subject) == (fact.workload.subject or Subject(fact.kind, fact.name))
            and " to 0" in event.message
        ]
        first = events[-1].last if events else None
        yield Finding(
            rule="ScaledToZero",
            severity="error" if events else "warning",
            confidence="certain",
            subject=fact.workload.subject or Subject(fact.kind, fact.name),
            message=f"{fact.name}: scaled to 0 replicas" + (f" (at {clock(first)})" if first else ""),
            depth=7,
            first_seen=first,
            links=(fact.link, *(event.link for event in events[-1:])),
            remedy="scale it up",
        )
