"""Compares the revisions of a workload: what was rolled out when. Pure.

A Deployment's revisions are its ReplicaSets, numbered by an annotation; a StatefulSet's and a DaemonSet's are
ControllerRevisions, numbered by a field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any

import orjson

from aletheia_operator.fetchers.base import Window
from aletheia_operator.text.display import one_line

REVISION = "deployment.kubernetes.io/revision"
MAX_COMPARED = 200  # containers, and annotations, of a revision


@dataclass(frozen=True)
class Revision:
    """One pod template of a workload, as digests: templates may be large and contain credentials.

    `containers`: digest of each field, by container. `annotations`: digest of each annotation.
    """

    number: int
    name: str
    created: str
    images: Mapping[str, str]
    containers: Mapping[str, Mapping[str, bytes]]
    annotations: Mapping[str, bytes]


def of_object(item: Mapping[str, Any]) -> Revision | None:
    """Return the revision of a ReplicaSet or ControllerRevision; None for other objects."""
    metadata = item["metadata"]
    match item["kind"]:
        case "ReplicaSet":
            number = (metadata.get("annotations") or {}).get(REVISION)
            template = item["spec"].get("template") or {}
        case "ControllerRevision":
            number = item.get("revision")
            template = ((item.get("data") or {}).get("spec") or {}).get("template") or {}
        case _:
            return None
    if number is None or not str(number).isdecimal():
        return None
    spec = template.get("spec") or {}
    named = (container for key in ("initContainers", "containers") for container in spec.get(key) or [])
    containers = {container["name"]: container for container in islice(named, MAX_COMPARED)}
    return Revision(
        number=int(number),
        name=metadata["name"],
        created=metadata["creationTimestamp"],
        images={name: str(container.get("image")) for name, container in containers.items()},
        containers={name: _digests(container) for name, container in containers.items()},
        annotations=_digests((template.get("metadata") or {}).get("annotations") or {}),
    )


def _digests(values: Mapping[str, Any]) -> dict[str, bytes]:
    compared = islice(values.items(), MAX_COMPARED)
    return {key: sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest() for key, value in compared}


def rollouts(revisions: Sequence[Revision], window: Window) -> list[dict[str, Any]]:
    """Return each revision, oldest first, with its changes against the previous one.

    Keys: revision, name, created, in_window, images, changed (of a container: field, and from and to for images; of the
    template: names of annotations), summary. Only images are quoted: other values may be credentials.
    """
    ordered = sorted(revisions, key=lambda revision: revision.number)
    return [_rollout(revision, ordered[i - 1] if i else None, window) for i, revision in enumerate(ordered)]


def _rollout(revision: Revision, before: Revision | None, window: Window) -> dict[str, Any]:
    changed = _changes(before, revision) if before else []
    return {
        "revision": revision.number,
        "name": revision.name,
        "created": revision.created,
        "in_window": window.start <= datetime.fromisoformat(revision.created) <= window.end,
        "images": dict(revision.images),
        "changed": changed,
        "summary": _summary(revision, changed, first=before is None),
    }


def _changes(before: Revision, after: Revision) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = []
    for name in sorted(before.containers.keys() | after.containers.keys()):
        old, new = before.containers.get(name), after.containers.get(name)
        if old is None or new is None:
            changes.append({"container": name, "field": "added" if old is None else "removed"})
            continue
        for field in sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)):
            change = {"container": name, "field": field}
            changes.append(change | ({"from": before.images[name], "to": after.images[name]} if field == "image" else {}))
    keys = before.annotations.keys() | after.annotations.keys()
    changed = sorted(key for key in keys if before.annotations.get(key) != after.annotations.get(key))
    return changes + [{"annotation": key} for key in changed]


def _summary(revision: Revision, changed: Sequence[Mapping[str, Any]], first: bool) -> str:
    """Summarise, for example: revision 2 rolled out: app image shop:1 → shop:2, app env."""
    if first:
        images = ", ".join(f"{name} {image}" for name, image in revision.images.items())
        return one_line(f"revision {revision.number} rolled out: {images}", 200)
    words = [
        f"{change['container']} {change['field']}" + (f" {change['from']} → {change['to']}" if "to" in change else "")
        if "container" in change
        else f"annotation {change['annotation']}"
        for change in changed
    ]
    return one_line(f"revision {revision.number} rolled out: {', '.join(words) or 'nothing in its containers'}", 200)
