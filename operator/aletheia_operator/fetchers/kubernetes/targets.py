"""Display names of targets, label selectors, and owner references. Pure."""

from collections.abc import Mapping
from typing import Any

from aletheia_operator.api import LabelSelector, Target


def describe(target: Target) -> str:
    """Return a target's display name: `pod/NAME`, `deployment/NAME` or `pods KEY=VALUE`."""
    if target.pod is not None:
        return f"pod/{target.pod}"
    if target.workload is not None:
        return f"{target.workload.kind.lower()}/{target.workload.name}"
    return f"pods {selector_text(target.selector)}" if target.selector else "pods"


def selector_text(selector: LabelSelector) -> str:
    """Return the selector as the API's `labelSelector` parameter."""
    return label_query(selector.to_json())


def label_query(selector: dict[str, Any]) -> str:
    """Return a metav1.LabelSelector as the API's `labelSelector` parameter."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(expression.get("values") or [])
        match expression["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
    return ",".join(parts)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a metav1.LabelSelector matches labels. An empty one matches all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def owners(resource: dict[str, Any]) -> set[str]:
    """Return the uids of a resource's owners."""
    return {owner["uid"] for owner in resource["metadata"].get("ownerReferences") or []}


def controller_of(item: Mapping[str, Any]) -> str | None:
    """Return the uid of an object's controller, else of its first owner; None without owners."""
    references = item["metadata"].get("ownerReferences") or []
    return next((owner["uid"] for owner in references if owner.get("controller")), references[0]["uid"] if references else None)
