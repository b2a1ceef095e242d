"""Rules for HorizontalPodAutoscalers at their maximum or without metrics, and PodDisruptionBudgets that block."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from aletheia_operator.findings.case import Case, clock, condition_of
from aletheia_operator.findings.events import Event
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.findings.objects import Fact, Object
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

MAX_QUOTED = 120
REFUSED = re.compile(r"more than one PodDisruptionBudget", re.IGNORECASE)
"""What the API server answers to an eviction of a pod that several budgets match. It refuses each one."""
MAX_COMPARED = 100_000
"""Comparisons of a budget with the labels of pods. Pods with equal labels are compared once."""
MAX_REQUIREMENTS = 10
"""Labels that a budget's selector may ask for. Budgets that ask for more are not compared: they would take long."""
MAX_VALUES = 100
"""Likewise, values of one label."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
"""A name of a pod in a message."""


def autoscalers(case: Case) -> Iterator[Finding]:
    """Yield the autoscalers that cannot scale."""
    for fact, item in case.objects("HorizontalPodAutoscaler"):
        spec, status = item.get("spec") or {}, item.get("status") or {}
        active, able, limited = (condition_of(item, kind) for kind in ("ScalingActive", "AbleToScale", "ScalingLimited"))
        current, most = int(status.get("currentReplicas") or 0), int(spec.get("maxReplicas") or 0)
        for condition in (active, able):
            if condition.get("status") == "False" and condition.get("reason") != "ScalingDisabled":
                what = f"cannot scale: {one_line(str(condition.get('message')), MAX_QUOTED)}"
                misses = condition is active and "Selector" not in str(condition.get("reason"))
                rule = "AutoscalerWithoutMetrics" if misses else "AutoscalerCannotScale"
                break
        else:
            condition = limited
            if limited.get("status") != "True" or limited.get("reason") != "TooManyReplicas" or current < most:
                continue
            rule, what = "AutoscalerAtMaximum", f"is at its maximum of {counted(most, 'replica')}{_usage(item)}"
        subject = Subject("HorizontalPodAutoscaler", fact.name)
        events = [event for event in case.by_subject.get(subject, ()) if event.warning]
        first = condition.get("lastTransitionTime")
        aside = not case.in_window(first)
        replaced = any(rollout.get("in_window") for rollout in fact.workload.rollouts)
        yield Finding(
            rule=rule,
            severity="error" if rule == "AutoscalerCannotScale" else "warning",
            confidence="certain",
            subject=subject,
            message=f"autoscaler {fact.name} {what} (since {clock(first)})",
            depth=32,
            aside=aside,
            first_seen=first,
            links=(fact.link, *(event.link for event in events[:2])),
            remedy="raise maxReplicas, or what one pod can do" if rule == "AutoscalerAtMaximum" else "",
            of=None if aside and replaced else fact.workload.subject,  # a new version is the likelier reason of what is new
        )


def _usage(item: Object) -> str:
    """Return the current and the target value of the first metric, for example `: cpu 180 % of 80 %`."""
    spec: list[Mapping[str, Any]] = (item.get("spec") or {}).get("metrics") or []
    status: list[Mapping[str, Any]] = (item.get("status") or {}).get("currentMetrics") or []
    for wanted, current in zip(spec, status, strict=False):
        resource, now = wanted.get("resource") or {}, current.get("resource") or {}
        goal = (resource.get("target") or {}).get("averageUtilization")
        value = (now.get("current") or {}).get("averageUtilization")
        if goal is not None and value is not None:
            return one_line(f": {resource.get('name')} {value} % of {goal} %", 60)
    return ""


def disruption_budgets(case: Case) -> Iterator[Finding]:
    """Yield the PodDisruptionBudgets that allow no disruption."""
    cordoned = [(fact, node) for fact, node in case.objects("Node") if (node.get("spec") or {}).get("unschedulable")]
    for fact, item in case.objects("PodDisruptionBudget"):
        status, spec = item.get("status") or {}, item.get("spec") or {}
        expected = int(status.get("expectedPods") or 0)
        if int(status.get("disruptionsAllowed") or 0) or not expected:
            continue
        healthy, desired = int(status.get("currentHealthy") or 0), int(status.get("desiredHealthy") or 0)
        always = desired >= expected
        bound = (
            f"minAvailable {spec['minAvailable']}" if "minAvailable" in spec else f"maxUnavailable {spec.get('maxUnavailable')}"
        )
        what = f"lets no pod go: {healthy} healthy of {counted(desired, 'demanded pod')} ({bound}, {counted(expected, 'pod')})"
        drained = f"; node {cordoned[0][0].name} is cordoned" if cordoned else ""
        yield Finding(
            rule="DisruptionBlocked",
            severity="warning" if always or cordoned else "info",
            confidence="certain" if always else "likely",
            subject=fact.workload.subject or Subject("PodDisruptionBudget", fact.name),
            message=one_line(f"disruption budget {fact.name} {what}{drained}", 200),
            depth=34,
            first_seen=condition_of(item, "DisruptionAllowed").get("lastTransitionTime"),
            links=(fact.link, *(node.link for node, _ in cordoned[:1])),
            nodes=frozenset(node.name for node, _ in cordoned[:1]),
            remedy="let one pod be unavailable, or run one more",
        )


def shared_budgets(case: Case) -> Iterator[Finding]:
    """Yield the workloads of which several PodDisruptionBudgets match the same pod: it cannot be evicted.

    Only information until a node with such a pod is cordoned, or an eviction is refused.
    """
    pods_of: dict[frozenset[tuple[str, str]], list[str]] = defaultdict(list)
    for pod, own_labels in case.evidence.objects.labels.items():
        if pod not in case.leaving:
            pods_of[frozenset(own_labels.items())].append(pod)
    budgets = [(fact, (item.get("spec") or {}).get("selector")) for fact, item in case.objects("PodDisruptionBudget")]
    budgets = [(fact, selector) for fact, selector in budgets if _is_short(selector)]
    shared: dict[Subject, dict[str, Sequence[Fact]]] = defaultdict(dict)
    for own, pods in islice(pods_of.items(), MAX_COMPARED // max(1, len(budgets))):
        labels = dict(own)
        matching = [fact for fact, selector in budgets if _selects(selector, labels)]
        if len(matching) > 1:
            for pod in pods:
                shared[case.workload_of_pod(pod)][pod] = matching
    if not shared:
        return
    refusals = _refusals(case)
    cordoned = [fact for fact, node in case.objects("Node") if (node.get("spec") or {}).get("unschedulable")]
    for subject, of_pods in shared.items():
        yield _shared(case, subject, of_pods, refusals, cordoned)


def _refusals(case: Case) -> Mapping[str, list[Event]]:
    """Return the refused evictions of each pod that they are about or name."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in case.evidence.events.events:
        if REFUSED.search(event.message):
            for name in {event.subject.name, *_NAME.findall(event.message)}:
                found[name].append(event)
    return found


def _shared(
    case: Case,
    subject: Subject,
    pods: Mapping[str, Sequence[Fact]],
    refused: Mapping[str, list[Event]],
    cordoned: Sequence[Fact],
) -> Finding:
    """Return the finding about a workload. `pods`: the budgets that match each pod. `refused`: evictions by pod."""
    matching = {id(budgets): budgets for budgets in pods.values()}.values()
    facts = {fact.name: fact for budgets in matching for fact in budgets}
    refusals = [*{id(event): event for pod in pods for event in refused.get(pod, ())}.values()]
    of_pods = {case.evidence.objects.nodes.get(pod) for pod in pods} if subject.kind != "DaemonSet" else set()
    cordoned = [fact for fact in cordoned if fact.name in of_pods][:1]
    drained = f"; node {cordoned[0].name} is cordoned" if cordoned else ""
    names = one_line(", ".join(sorted(facts)), 100)
    what = f"its pods cannot be evicted: more than one PodDisruptionBudget matches them ({names})"
    return Finding(
        rule="DisruptionBudgetsOverlap",
        severity="warning" if cordoned or refusals else "info",
        confidence="certain",
        subject=subject,
        message=f"{subject.name}: {what}{drained}",
        depth=33,
        first_seen=min((event.first for event in refusals), default=None),
        links=(
            *(fact.link for fact in list(facts.values())[:3]),
            *(event.link for event in refusals[:2]),
            *(fact.link for fact in cordoned),
        ),
        nodes=frozenset(fact.name for fact in cordoned),
        remedy="leave one budget for each pod",
    )


def _is_short(selector: Mapping[str, Any] | None) -> bool:
    """Return whether a selector can be compared with the labels of thousands of pods."""
    expressions = (selector or {}).get("matchExpressions") or []
    size = len((selector or {}).get("matchLabels") or {}) + len(expressions)
    return size <= MAX_REQUIREMENTS and all(len(needed.get("values") or []) <= MAX_VALUES for needed in expressions)


def _selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether a selector matches labels. An empty one matches all pods, a missing one none."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for needed in selector.get("matchExpressions") or []:
        value, values = labels.get(str(needed.get("key"))), needed.get("values") or []
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds.get(str(needed.get("operator")), False):
            return False
    return True
