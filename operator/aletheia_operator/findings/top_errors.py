"""Lists the most frequent errors of the logs, as templates over pods and runs. Pure."""

from collections.abc import Sequence
from typing import Any

from aletheia_operator.findings.log_facts import LogFacts
from aletheia_operator.findings.templates import grouped
from aletheia_operator.text.display import one_line

MOST = 20
MAX_EXAMPLE = 300
LISTED_PODS = 10


def top_errors(logs: LogFacts, most: int = MOST) -> list[dict[str, Any]]:
    """Return at most `most` groups of error lines, the most frequent first.

    Keys: level, template (`#` for words with digits, `*` for other words that differ), variants, count, first, last, pods
    (number), pod_names (the first ten), example, evidence (the entry of the first line), trace_id and category (if known).
    """
    found = []
    for group in grouped(logs.templates.errors())[:most]:
        first = min((template.first for template in group), key=lambda place: place.first)
        pods = sorted(set().union(*(template.pods for template in group)))
        entry: dict[str, Any] = {
            "level": group[0].level,
            "template": one_line(common_shape([template.shape for template in group]), MAX_EXAMPLE),
            "variants": len(group),
            "count": sum(template.count for template in group),
            "first": first.first,
            "last": max(template.last for template in group),
            "pods": len(pods),
            "pod_names": pods[:LISTED_PODS],
            "example": one_line(group[0].example, MAX_EXAMPLE),
            "evidence": first.link.to_json(),
            "trace_id": next((template.trace_id for template in group if template.trace_id), None),
            "category": group[0].category or None,
        }
        found.append({key: value for key, value in entry.items() if value is not None})
    return found


def common_shape(shapes: Sequence[str]) -> str:
    """Return the common words of templates, with `*` for each word that differs. All must have the same number of words."""
    return " ".join(words[0] if len(set(words)) == 1 else "*" for words in zip(*map(str.split, shapes), strict=True))
