"""Rules for Services without endpoints: selectors that match no pod, ports that no container has, pods that are not ready.

And Services that select several programs.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aletheia_operator.findings.calls import Callees, named_in_errors
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
    pods = case.evidence.objects.matching(selector)
    links = (fact.link, *(slice_fact.link for slice_fact, _ in slices[:2]))
    if not endpoints and not pods and slices and (empty := _without_pods(case, selector)):
        finding = _finding(case, fact, "ServiceWithoutEndpoints", f"{empty.name} has no pods", 40, links, "")
        finding.callees = frozenset([empty.name])
        yield finding
        return
    if not endpoints and not pods and slices:
        yield _finding(case, fact, "ServiceSelectsNothing", _selects_nothing(case, selector), 8, links, "correct the selector")
        return
    wrong = _wrong_port(case, service, pods)
    if wrong:
        link = _pod_link(case, pods)
        yield _finding(case, fact, "ServicePortMismatch", wrong, 8, (*links, *link), "correct targetPort")
    elif not ready and (endpoints or pods):
        of = max(len(endpoints), len(pods))
        finding = _finding(case, fact, "ServiceWithoutEndpoints", f"none of its {counted(of, 'pod')} is ready", 40, links, "")
        finding.pods = frozenset(pods)
        finding.callees = frozenset(case.workload_of_pod(pod).name for pod in pods)
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
    best: tuple[int, str] = (0, "")
    for labels in case.evidence.objects.labels.values():
        differing = [key for key, value in selector.items() if labels.get(key) != value]
        alike = len(selector) - len(differing)
        if differing and (alike or any(key in labels for key in differing)) and alike + 1 > best[0]:
            key = differing[0]
            best = alike + 1, f"; pods have {key}={labels[key]}" if key in labels else f"; pods have no label {key}"
    return f"its selector {_shown(selector)} matches no pod{one_line(best[1], 80)}"


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


def shared_services(case: Case, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the Services that send requests to several programs, if callers have trouble with them. `found`: all findings.

    Workloads of one image are one program, for example a canary beside the stable pods. A headless Service serves names only.
    """
    named = named_in_errors(case, Callees(case))
    suffering = {called for finding in found if finding.severity != "info" for called in named.get(finding.subject, ())}
    if not any(called.kind == "Service" for called in suffering):
        return
    images = {fact.name: _repository(pod) for fact, pod in case.pods()}
    captured: dict[str, list[tuple[Fact, Object]]] = defaultdict(list)
    for fact, service in case.objects("Service"):
        captured[fact.name].append((fact, service.get("spec") or {}))
    for name, copies in captured.items():
        spec = copies[0][1]
        if Subject("Service", name) not in suffering or not spec.get("selector") or spec.get("clusterIP") == "None":
            continue
        programs: dict[str, Subject] = {}
        for pod in case.evidence.objects.matching(spec["selector"]):
            if pod in images and pod not in case.leaving:
                programs.setdefault(images[pod], case.workload_of_pod(pod))
        workloads = sorted({subject.name for subject in programs.values()})
        if len(workloads) > 1:
            yield _shared(name, spec["selector"], workloads, tuple(fact.link for fact, _ in copies))


def _shared(name: str, selector: Mapping[str, str], workloads: Sequence[str], links: tuple[Link, ...]) -> Finding:
    return Finding(
        rule="ServiceSelectsSeveral",
        severity="error",
        confidence="likely",
        subject=Subject("Service", name),
        message=f"service {name} sends requests to several programs: its selector {_shown(selector)} matches pods of"
        f" {one_line(', '.join(workloads), 100)}",
        depth=8,
        links=links,
        remedy="give the selector a label that only one of them has",
    )


def _repository(pod: Object) -> str:
    """Return the image of a pod's first container, without its tag and digest."""
    image = str((pod["spec"].get("containers") or [{}])[0].get("image") or "").partition("@")[0]
    path, slash, name = image.rpartition("/")
    return path + slash + name.partition(":")[0]


def _shown(selector: Mapping[str, str]) -> str:
    return one_line(",".join(f"{key}={value}" for key, value in selector.items()), 80)


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
