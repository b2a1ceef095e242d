"""Objects made from a definition's schema, by a seed: the same seed makes the same objects."""

from random import Random
from typing import Any

WORDS = ("a", "0", "true", "null", "2026-01-02", "12e3", "grün", "é", "日本", " ", "\t", "line\nline", '"', "\\", "{}", "<b>&")
INTEGERS = (0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63))
"""Also those that a float, or 32 bits, would not hold."""


def value_of(schema: dict[str, Any], random: Random, share: float = 0.5) -> Any:
    """Return a value of the schema, which has no patterns, limits or rules. `share`: of the optional fields that are set."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {"any": [1, {"field": "value"}]}
    kind = schema["type"]
    if kind == "object":
        required = schema.get("required", ())
        found = {
            name: value_of(node, random, share)
            for name, node in schema.get("properties", {}).items()
            if name in required or random.random() < share
        }
        if isinstance(schema.get("additionalProperties"), dict):
            found |= {f"key-{number}": value_of(schema["additionalProperties"], random, share) for number in range(2)}
        return found
    if kind == "array":
        return [value_of(schema["items"], random, share) for _ in range(random.randint(2, 3))]
    if kind == "string":
        return _text(schema, random)
    return {"integer": random.choice(INTEGERS), "number": random.random(), "boolean": random.random() < 0.5}[kind]


def _text(schema: dict[str, Any], random: Random) -> str:
    if schema.get("format") == "date-time":
        return f"2026-01-02T03:04:{random.randrange(60):02}.{random.randrange(10**6):06}Z"
    return "".join(random.choices(WORDS, k=random.randint(0, 4))) + str(random.random())  # unique: it may be a list's key
