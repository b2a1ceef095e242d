"""Searches logs with the rules of admins and Investigations while the evidence is saved. All patterns are for RE2.

RE2 releases the interpreter's lock while it searches, but needs processor time: all searches of a capture together may take
MAX_SECONDS. Rules that were stopped by this limit count as failed.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aletheia_operator.api.expressions import TEXTS_MEMORY, compile_expression
from aletheia_operator.api.findings import MAX_RULES, FindingRule
from aletheia_operator.findings.finding import Link

MAX_SECONDS = 20.0
MAX_LINE = 1_024  # characters of a line that are searched
MAX_PODS = 200  # of each rule that are counted separately
MAX_FILE_BYTES = 256 * 1024


@dataclass
class Matches:
    """Lines of one pod that match a rule."""

    pod: str
    first: str
    link: Link
    last: str = ""
    count: int = 0


@dataclass
class OwnRules:
    """The rules of one capture. `matches`: matches in logs, by the rule's number and the pod. Thread-safe."""

    rules: Sequence[FindingRule] = ()
    seconds_left: float = MAX_SECONDS
    matches: dict[tuple[int, str], Matches] = field(default_factory=dict)
    left_out: int = 0
    """Number of matching lines that are not counted, because too many pods have such lines."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def event_reasons(self) -> frozenset[str]:
        """Reasons of the events that rules need."""
        return frozenset(rule.event.reason for rule in self.rules if rule.event is not None)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Kinds of the objects that rules need."""
        return frozenset(rule.condition.kind for rule in self.rules if rule.condition is not None)

    @cached_property
    def _patterns(self) -> Sequence[tuple[int, Any]]:
        logs = ((number, rule.log) for number, rule in enumerate(self.rules))
        return [(number, compile_expression(log.pattern, TEXTS_MEMORY)) for number, log in logs if log is not None]

    @property
    def reads_logs(self) -> bool:
        """Whether lines must still be searched: there are patterns, and time is left."""
        return bool(self._patterns) and self.seconds_left > 0

    @property
    def stopped(self) -> list[str]:
        """Names of the rules that have not searched all lines, because the time was over."""
        return [self.rules[number].name for number, _ in self._patterns] if self.seconds_left <= 0 else []

    def see_line(self, found: dict[int, Matches], pod: str, entry: Mapping[str, Any], link: Link) -> None:
        """Search a line of a log. Adds matches to `found`, by the rule's number."""
        line = str(entry.get("line") or "")[:MAX_LINE]
        began = time.perf_counter()
        for number, pattern in self._patterns:
            if pattern.search(line):
                stamp = str(entry.get("timestamp") or "")
                matches = found.setdefault(number, Matches(pod, stamp, link))
                matches.count += 1
                matches.last = max(matches.last, stamp)
        spent = time.perf_counter() - began
        with self._lock:
            self.seconds_left -= spent

    def add(self, found: Mapping[int, Matches]) -> None:
        """Add the matches in the log of one pod."""
        with self._lock:
            for number, matches in found.items():
                if sum(known == number for known, _ in self.matches) < MAX_PODS:
                    self.matches.setdefault((number, matches.pod), matches)
                else:
                    self.left_out += matches.count


def read_rules(file: Path | None) -> tuple[FindingRule, ...]:
    """Return the rules in an admin's YAML file; () if `file` is None. Raises OSError or ValueError."""
    if file is None:
        return ()
    import yaml  # imported late: most operators have no such file

    if file.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{file} is larger than {MAX_FILE_BYTES // 1024} KiB")
    try:
        listed = yaml.safe_load(file.read_text()) or []
    except yaml.YAMLError as e:
        raise ValueError(f"{file} is not YAML") from e
    if not isinstance(listed, list) or len(listed) > MAX_RULES:
        raise ValueError(f"{file} is not a list of at most {MAX_RULES} rules")
    return tuple(FindingRule.from_json(rule) for rule in listed)
