"""Applies all rules to the evidence, ranks the findings, and writes the headline. Pure; call it in a thread."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aletheia_operator.findings.calls import Callees, calls_of
from aletheia_operator.findings.case import Case
from aletheia_operator.findings.changes import add_changes
from aletheia_operator.findings.error_categories import CALLS, category_of
from aletheia_operator.findings.evidence import Evidence
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import MAX_MESSAGE, Finding
from aletheia_operator.findings.ranking import ranked
from aletheia_operator.findings.reason_lines import gives_reason
from aletheia_operator.findings.rules import LATER_RULES, RULES
from aletheia_operator.findings.top_errors import top_errors
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import counted

log = logging.getLogger(__name__)

MAX_HEADLINE = 160
MAX_LAST = 70  # length of the brackets at the end of a message, which are not cut
MAX_TITLE = 100  # length of a message's beginning that is not cut
MAX_FINDINGS = 200
MAX_CHANGES = 50
SHOWN = 5
"""Number of findings in the status."""


@dataclass(frozen=True)
class Verdict:
    """The ranked findings. `failed`: names of rules that raised an error."""

    headline: str
    findings: list[Finding]
    looked_at: str
    top_errors: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left_out: int = 0


def judge(evidence: Evidence, namespace: str, missing: int) -> Verdict:
    """Apply the rules. `missing`: number of gaps of the capture. If a rule raises an error, the others are still applied."""
    evidence.logs.take_loki()
    case = Case(evidence, namespace)
    found: list[Finding] = []
    failed = []
    for rule in RULES:
        try:
            found += list(rule(case))
        except Exception:
            log.exception("rule %s failed", rule.__name__)
            failed.append(rule.__name__)
    for later in LATER_RULES:
        try:
            found += list(later(case, found))
        except Exception:
            log.exception("rule %s failed", later.__name__)
            failed.append(later.__name__)
    failed += evidence.own.stopped
    add_changes(case, found)
    ordered = ranked(found, calls_of(case, Callees(case)))
    looked_at = looked_at_of(evidence)
    return Verdict(
        headline=headline_of(ordered, evidence, looked_at, missing, failed),
        findings=ordered[:MAX_FINDINGS],
        looked_at=looked_at,
        top_errors=top_errors(evidence.logs),
        changes=changes_of(ordered, namespace),
        failed=failed,
        left_out=max(0, len(ordered) - MAX_FINDINGS),
    )


def headline_of(findings: Sequence[Finding], evidence: Evidence, looked_at: str, missing: int, failed: Sequence[str]) -> str:
    """Return the first finding's message; without a finding, what was read and whether there were errors or gaps."""
    first = next((finding for finding in findings if finding.severity != "info"), None)
    if first is not None:
        return shortened(first.message)
    if not evidence.entry_counts.total():
        return one_line(f"nothing to judge: no evidence was captured ({counted(missing, 'gap')})", MAX_HEADLINE)
    unsure = f"; not judged: {counted(missing, 'gap')}" if missing else ""
    unsure += f"; {counted(len(failed), 'rule')} failed" if failed else ""
    errors = evidence.logs.levels["ERROR"] + evidence.logs.levels["FATAL"]
    what = "no cause found in" if errors or missing or failed else "no trouble found:"
    return one_line(f"{what} {looked_at}{unsure}", MAX_HEADLINE)


def shortened(message: str) -> str:
    """Return a message as a headline. A long message is cut before the brackets at its end (exit code, count, time)."""
    message = one_line(message, MAX_MESSAGE)
    if len(message) <= MAX_HEADLINE:
        return message
    message, _, _ = message.partition("); ")
    message += ")" if " (" in message and not message.endswith(")") else ""
    words, bracket, last = message.rpartition(" (")
    if not bracket or len(last) > MAX_LAST or len(message) <= MAX_HEADLINE:
        return one_line(message, MAX_HEADLINE)
    return f"{_shortened_words(words, MAX_HEADLINE - len(last) - 2)} ({last}"


def _shortened_words(words: str, most: int) -> str:
    """Return a message without its brackets in at most `most` characters.

    It is cut at its end, unless the reason is there: then what it quotes is cut at its beginning.
    """
    cut = one_line(words, most)
    if category_of(cut) == category_of(words) and gives_reason(cut):
        return cut
    for number in (2, 1):
        *title, quote = words.split(": ", number)
        head = ": ".join(title)
        if len(title) == number and len(head) <= MAX_TITLE:
            last = excerpt(quote, most - len(head) - 2)
            category = category_of(last)
            tells = last.startswith("…") and (category or gives_reason(last))
            return f"{head}: {last}" if tells or category not in ("", *CALLS) else cut  # a title says which call failed
    return cut


def looked_at_of(evidence: Evidence) -> str:
    """Return what was read, for example: 3 pods, 12,400 lines, 0 errors."""
    objects, logs = evidence.objects, evidence.logs
    parts = []
    pods = max(objects.counts["Pod"], len(logs.pods))
    if pods:
        parts.append(counted(pods, "pod"))
    if logs.pods:
        errors = logs.levels["ERROR"] + logs.levels["FATAL"]
        parts += [counted(logs.lines, "line", ","), counted(errors, "error")]
    if queries := evidence.metrics.queries:
        stepped = len(evidence.metrics.stepped)
        parts.append(counted(len(queries), "metric") + (f" ({stepped} not steady)" if stepped else " steady"))
    if evidence.traces.traces:
        parts.append(counted(evidence.traces.traces, "trace"))
    if evidence.entry_counts["events"]:
        parts.append(counted(evidence.entry_counts["events"], "event"))
    if evidence.entry_counts["objects"]:
        parts.append(counted(evidence.entry_counts["objects"], "object"))
    return ", ".join(parts) or "nothing"


def changes_of(findings: Sequence[Finding], namespace: str) -> list[dict[str, Any]]:
    """Return the changes within the window, in order of time."""
    changed = [finding for finding in findings if finding.rule in ("Rollout", "Applied", "Scaled", "ConfigChanged")]
    return [change.to_json(namespace) for change in sorted(changed, key=lambda change: change.first_seen or "")[:MAX_CHANGES]]
