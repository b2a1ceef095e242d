"""Compares two revisions of a workload: the fields of their pod templates, and their versions. Pure.

Credentials in captured templates are redacted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from aletheia_operator.findings.objects import Object
from aletheia_operator.text.display import one_line

MAX_VALUE = 60
MAX_CHANGES = 20
_NAMED = ("env", "ports", "volumeMounts", "envFrom")
_VERSIONS = ("app.kubernetes.io/version", "version", "tags.datadoghq.com/version", "helm.sh/chart")
_COMMITS = ("org.opencontainers.image.revision", "git-commit", "commit", "app.kubernetes.io/commit")
CHANGE_CAUSE = "kubernetes.io/change-cause"


@dataclass(frozen=True)
class Change:
    """A field that differs. `container`: '' for a field of the pod. `before`, `after`: None if the field is not set."""

    container: str
    field: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        where = f"{self.container} {self.field}".strip()
        if self.before is None:
            return f"{where} {self.after} added"
        return f"{where} {self.before} removed" if self.after is None else f"{where} {self.before} → {self.after}"

    def to_json(self) -> dict[str, Any]:
        found = {"container": self.container or None, "field": self.field, "from": self.before, "to": self.after}
        return {key: value for key, value in found.items() if value is not None}


def template_of(item: Object) -> Mapping[str, Any]:
    """Return the pod template of a ReplicaSet or ControllerRevision; {} if it has none."""
    spec = item.get("spec") or (item.get("data") or {}).get("spec") or {}
    found: Mapping[str, Any] = spec.get("template") or {}
    return found


def version_of(item: Object) -> dict[str, str]:
    """Return `version`, `commit` and `cause` from the labels and annotations of a revision. Unknown keys are left out."""
    metadata, template = item.get("metadata") or {}, template_of(item).get("metadata") or {}
    values: dict[str, Any] = {}
    for described in (template, metadata):
        values = {**(described.get("annotations") or {}), **(described.get("labels") or {}), **values}
    found = {
        "version": next((values[key] for key in _VERSIONS if values.get(key)), None),
        "commit": next((values[key] for key in _COMMITS if values.get(key)), None),
        "cause": values.get(CHANGE_CAUSE),
    }
    return {key: one_line(str(value), 2 * MAX_VALUE) for key, value in found.items() if value}


def changes_between(before: Object, after: Object) -> list[Change]:
    """Return the differences between two revisions, at most MAX_CHANGES: images and environment first."""
    old, new = template_of(before), template_of(after)
    old_spec, new_spec = old.get("spec") or {}, new.get("spec") or {}
    found: list[Change] = []
    for name, ours, theirs in _pairs(_by_name(_containers(old_spec)), _by_name(_containers(new_spec))):
        if ours is None or theirs is None:
            image = str((ours or theirs or {}).get("image"))
            found.append(Change(name, "container", None if ours is None else image, None if theirs is None else image))
        else:
            found += _fields(name, ours, theirs)
    pod = ({k: v for k, v in spec.items() if k not in ("containers", "initContainers")} for spec in (old_spec, new_spec))
    found += _fields("", *pod)
    annotations = ((item.get("metadata") or {}).get("annotations") or {} for item in (old, new))
    found += [Change("", f"annotation {name}", _shown(a), _shown(b)) for name, a, b in _pairs(*annotations)]
    order = {"image": 0, "env": 1, "resources": 2}
    return sorted(found, key=lambda entry: order.get(entry.field.partition(" ")[0], 3))[:MAX_CHANGES]


def _fields(container: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for field, old, new in _pairs(before, after):
        if field == "resources":
            yield from _resources(container, old or {}, new or {})
        elif field in _NAMED and isinstance(old or [], list) and isinstance(new or [], list):
            for name, earlier, later in _pairs(_by_name(old or []), _by_name(new or [])):
                yield Change(container, f"{field} {name}", _value(earlier), _value(later))
        else:
            yield Change(container, field, _shown(old), _shown(new))


def _resources(container: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for kind, old, new in _pairs(before, after):
        if kind in ("requests", "limits"):
            for resource, earlier, later in _pairs(old or {}, new or {}):
                yield Change(container, f"resources {kind} {resource}", _shown(earlier), _shown(later))


def _containers(spec: Mapping[str, Any]) -> list[Any]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _by_name(items: list[Any]) -> dict[str, Any]:
    """Return items by their name; without a name, by port or whole value."""
    return {
        str(item.get("name") or item.get("containerPort") or _shown(item)): item for item in items if isinstance(item, Mapping)
    }


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return key, old value and new value of each difference."""
    keys = sorted(before.keys() | after.keys())
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def _value(item: Mapping[str, Any] | None) -> str | None:
    """Return the field `value` of a named item; the whole item if it has no such field; None for None."""
    return (
        None if item is None else _shown(item["value"] if "value" in item else {k: v for k, v in item.items() if k != "name"})
    )


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return one_line(value if isinstance(value, str) else orjson.dumps(value).decode(), MAX_VALUE)
