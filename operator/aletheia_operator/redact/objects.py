"""What of a Kubernetes object may be kept. Pure; all functions change the object in place."""

import hashlib
from typing import Any

from aletheia_operator.redact.credentials import redact_spec

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NODE_FIELDS = ("conditions", "capacity", "allocatable", "nodeInfo")  # not its images and volumes: those are everyone's


def make_fit(item: dict[str, Any]) -> int:
    """Take away, in place, what is noise, not the reader's business, or a credential; how many values were redacted."""
    metadata = item["metadata"]
    metadata.pop("managedFields", None)
    (metadata.get("annotations") or {}).pop(LAST_APPLIED, None)
    match item["kind"]:
        case "ConfigMap":
            _digest_data(item)
            return 0
        case "Node":
            metadata.pop("annotations", None)
            item["status"] = {key: value for key, value in (item.get("status") or {}).items() if key in _NODE_FIELDS}
            return 0
        case "ControllerRevision":
            return redact_spec(item.get("data"))
        case _:
            return redact_spec(item.get("spec"))


def _digest_data(item: dict[str, Any]) -> None:
    """A ConfigMap's contents become the SHA-256 of each; annotations go, since tools copy contents into them."""
    item["metadata"].pop("annotations", None)
    data = {**(item.pop("data", None) or {}), **(item.pop("binaryData", None) or {})}
    if item.get("exists", True):
        item["dataSha256"] = {key: hashlib.sha256(value.encode()).hexdigest() for key, value in sorted(data.items())}
