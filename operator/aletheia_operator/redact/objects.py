"""Removes credentials, data of other tenants and noise from Kubernetes objects, in place. Pure."""

import hashlib
from typing import Any

import orjson

from aletheia_operator.redact.names import is_credential
from aletheia_operator.redact.redactor import Redactor
from aletheia_operator.redact.specs import redact_spec
from aletheia_operator.text.nesting import is_too_deep

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NODE_FIELDS = (
    "conditions",
    "capacity",
    "allocatable",
    "nodeInfo",
)  # images and volumes are removed: they show other tenants' data


_COPIES = frozenset({  # annotations with a copy of the applied object, credentials included
    LAST_APPLIED, "kopf.zalando.org/last-handled-configuration", "kapp.k14s.io/original", "objectset.rio.cattle.io/applied",
    "banzaicloud.com/last-applied",
})  # fmt: skip


def redact_object(item: dict[str, Any], redactor: Redactor) -> int:
    """Remove noise, other tenants' data and credentials from an object. Returns the number of redacted values.

    Do not call it on the event loop: it searches every text of the object.
    """
    metadata = item["metadata"]
    managed = metadata.pop("managedFields", None)
    match item["kind"]:
        case "ConfigMap":
            _digest_data(item)
            if changed_at := max((str(entry["time"]) for entry in managed or [] if entry.get("time")), default=None):
                item["changedAt"] = changed_at
            return 0
        case "Node":
            metadata.pop("annotations", None)
            item["status"] = {key: value for key, value in (item.get("status") or {}).items() if key in _NODE_FIELDS}
            return 0
        case "Secret":
            metadata.pop("annotations", None)
            for content in ("data", "stringData"):
                item.pop(content, None)
            return 0
    changed = 0
    for part in (item.get("spec"), item.get("status"), item.get("data")):
        changed += _redact_annotations(part, redactor) + redact_spec(part, redactor)
    return changed + _redact_annotations({"metadata": metadata}, redactor)


def _redact_annotations(part: Any, redactor: Redactor) -> int:
    """Redact the annotations of an object and of its templates. Copies of the applied object are dropped, and not counted."""
    changed = 0
    waiting = [part]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            annotations = item.get("annotations")
            if isinstance(annotations, dict):
                for name in _COPIES & annotations.keys():
                    del annotations[name]
                changed += _redact_documents(annotations, redactor) + redact_spec(annotations, redactor)
            waiting += [value for value in item.values() if isinstance(value, (dict, list))]
        elif isinstance(item, list):
            waiting += [value for value in item if isinstance(value, (dict, list))]
    return changed


def _redact_documents(annotations: dict[str, Any], redactor: Redactor) -> int:
    """Redact JSON in annotations as a spec: some tools store whole specs in annotations."""
    changed = 0
    for name, value in annotations.items():
        if not isinstance(value, str) or value[:1] not in ("{", "["):
            continue
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            continue
        if is_too_deep(value, document):
            changed += 1
            annotations[name] = "[redacted]"
        elif redacted := redact_spec(document, redactor):
            changed += redacted
            annotations[name] = orjson.dumps(document).decode()
    return changed


def _digest_data(item: dict[str, Any]) -> None:
    """Replace each value of a ConfigMap by its SHA-256; drop it if its key names a credential.

    Annotations are removed, because tools copy values into them.
    """
    item["metadata"].pop("annotations", None)
    data = {**(item.pop("data", None) or {}), **(item.pop("binaryData", None) or {})}
    if item.get("exists", True):
        item["dataSha256"] = {
            key: "[redacted]" if is_credential(key) else hashlib.sha256(value.encode()).hexdigest()
            for key, value in sorted(data.items())
        }
