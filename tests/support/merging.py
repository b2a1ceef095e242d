"""JSON merge patches, as the API server applies them."""

from typing import Any


def merged(found: Any, change: Any) -> Any:
    """Return a value with a JSON merge patch applied (RFC 7386)."""
    if not isinstance(change, dict):
        return change
    kept = dict(found) if isinstance(found, dict) else {}
    for name, value in change.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), value)
    return kept
