"""Parses and formats Kubernetes quantities: `500m`, `64Mi`, `2`. Pure."""

import re

_QUANTITY = re.compile(r"([+-]?\d{1,20}(?:\.\d{1,10})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_UNITS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)}


def amount_of(text: object) -> float:
    """Return the value of a quantity; 0 if `text` is not a quantity."""
    match = _QUANTITY.fullmatch(str(text).strip())
    return float(match[1]) * _UNITS[match[2] or ""] if match else 0.0


def shown(amount: float, resource: str = "") -> str:
    """Return an amount for a message: bytes with a unit, other resources as a number."""
    if resource in ("memory", "ephemeral-storage", "storage", "bytes") or resource.startswith("hugepages"):
        for power, letter in reversed(list(enumerate("KMGTPE", 1))):
            if amount >= 1024**power:
                return f"{amount / 1024**power:.3g}{letter}i"
        return f"{amount:.0f} bytes"
    return f"{amount:.3g}"
