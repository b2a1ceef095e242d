"""Finds trace ids in log entries: the first ones, those of error and fatal lines before others.

Forms: W3C `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header), Jaeger's `uber-trace-id`, and fields named
trace_id, traceId, trace.id, otelTraceID, X-B3-TraceId and the like, in JSON, logfmt or plain text, with 32 or 16 hex digits.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.api.expressions import compiled_once
from aletheia_operator.text.batches import KEY, SEPARATOR

_NAME = rb"race(?:[ _.-]?[iI][dD]|parent|\\*\":[\s\v]?\{\\*\"id)"
_MENTION = re.compile(
    _NAME  # the names' ends: a fixed beginning is found fast
    + rb"[\\\"':=\s\[(]{1,12}"
    rb"(?:(?!ff)[0-9a-fA-F]{2}-([0-9a-fA-F]{32})-[0-9a-fA-F]{16}-[0-9a-fA-F]{2}"
    rb"|([0-9a-fA-F]{1,32}):[0-9a-fA-F]{1,16}:[0-9a-fA-F]{1,16}:[0-9a-fA-F]{1,2}"
    rb"|([0-9a-fA-F]{32}|[0-9a-fA-F]{16}))(?![0-9a-zA-Z_])"
)
_SERIOUS = (b'"level":"ERROR"', b'"level":"FATAL"')
_SHORT = 16


@dataclass
class TraceIds:
    """The first `limit` ids of error and fatal lines, and the first `limit` ids of all lines, each with its line's time."""

    limit: int
    error_ids: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    more: bool = False
    """Whether further ids were left out."""

    def search(self, block: bytes) -> None:
        """Search the next entries, in order. `block`: encoded entries with SEPARATOR between."""
        end, time, is_error = 0, "", False  # of the entry that the last id was in
        first = _name().search(block)
        for match in _MENTION.finditer(block, first.start()) if first else ():
            trace_id = normalized(next(group for group in match.groups() if group is not None).decode())
            if trace_id is None or trace_id in self.error_ids:
                continue
            if match.start() >= end:  # another entry: each is looked through once, however many ids it has
                start, end = _entry_around(block, end, match)
                time = block[start + KEY.start : start + KEY.stop].decode("ascii", "replace")
                is_error = any(block.find(level, start, end) >= 0 for level in _SERIOUS)
            self._add(self.ids, trace_id, time)
            if is_error:
                self._add(self.error_ids, trace_id, time)

    def _add(self, ids: dict[str, str], trace_id: str, time: str) -> None:
        if len(ids) < self.limit:
            ids.setdefault(trace_id, time)
        elif trace_id not in ids:
            self.more = True

    def to_json(self) -> dict[str, Any]:
        return {"limit": self.limit, "error_ids": self.error_ids, "ids": self.ids, "more": self.more}


_name = compiled_once(_NAME)
"""Returns the pattern for the name of a trace id. Most blocks have none, and RE2 finds that out in half the time."""


def first_id(text: bytes) -> str:
    """Return the first trace id that a text mentions; '' if it mentions none."""
    ids = (normalized(next(group for group in match.groups() if group).decode()) for match in _MENTION.finditer(text))
    return next((trace_id for trace_id in ids if trace_id is not None), "")


def _entry_around(block: bytes, after: int, match: "re.Match[bytes]") -> tuple[int, int]:
    """Return the start and end of the entry that contains `match`. `after`: no entry begins before it."""
    start = block.rfind(SEPARATOR, after, match.start())
    end = block.find(SEPARATOR, match.end())
    return (after if start < 0 else start + len(SEPARATOR)), (len(block) if end < 0 else end)


def normalized(text: str) -> str | None:
    """Return an id as 32 lower-case hex digits, or 16 if its upper half is zero; None for zero, which is not an id."""
    digits = text.lower().lstrip("0")
    return digits.zfill(_SHORT if len(digits) <= _SHORT else 2 * _SHORT) if digits else None


def merged(parts: Sequence[TraceIds]) -> tuple[list[str], bool]:
    """Return the ids of all parts, and whether some were left out.

    Ids of error and fatal lines come first, by time; then the others, by time. Slow for thousands of `parts`.
    """
    ids: list[str] = []
    for found_in in ([part.error_ids for part in parts], [part.ids for part in parts]):
        found = sorted((time, trace_id) for found_ids in found_in for trace_id, time in found_ids.items())
        ids += [trace_id for _, trace_id in found]
    return list(dict.fromkeys(ids)), any(part.more for part in parts)
