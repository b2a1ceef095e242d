"""Formats findings, with their evidence and remedies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aletheia_operator.findings.finding import object_text
from aletheia_operator.report.quotes import Quote
from aletheia_operator.report.session import Link
from aletheia_operator.show.layout import Block, Paragraph, Span, paragraph
from aletheia_operator.show.times import Times

STYLES = {"critical": "bad", "error": "error", "warning": "warn", "info": "dim"}
_TONES = {"bad": "bad", "error": "error", "warn": "warn"}
QUOTED = 3
Finding = Mapping[str, Any]
Numbered = tuple[int, Finding]
"""A finding with its number: its place in data/findings.json, from 1."""


def links_of(findings: Iterable[Finding]) -> Iterator[Link]:
    """Yield the first links of each finding."""
    for finding in findings:
        for link in (finding.get("evidence") or [])[:QUOTED]:
            if isinstance(link, Mapping) and isinstance(link.get("entry"), int):
                yield str(link.get("artifact")), link["entry"]


def finding_blocks(
    findings: Sequence[Numbered], quotes: Mapping[Link, Sequence[Quote]], times: Times, *, is_wide: bool
) -> Iterator[Block]:
    """Yield the findings, each with its evidence and its remedy. `is_wide`: also those that are only information.

    Information comes last. In older sessions its numbers are among the others.
    """
    ordered = sorted(findings, key=lambda numbered: numbered[1].get("severity") == "info")
    was_brief = True
    for place, (number, finding) in enumerate(ordered):
        is_brief = finding.get("severity") == "info" and not is_wide
        if place and not (is_brief and was_brief):
            yield paragraph("")
        yield from _brief(number, finding) if is_brief else _finding(number, finding, quotes, times)
        was_brief = is_brief


def _brief(number: int, finding: Finding) -> Iterator[Block]:
    """Yield one line about a finding that is only information."""
    head = f"{number}. "
    spans = Span(f"{head}info {finding.get('rule')}: ", "dim"), Span(str(finding.get("message") or ""))
    yield Paragraph(spans, hanging=len(head))


def _finding(number: int, finding: Finding, quotes: Mapping[Link, Sequence[Quote]], times: Times) -> Iterator[Block]:
    severity, about = str(finding.get("severity") or ""), finding.get("object") or {}
    style, head = STYLES.get(severity, ""), f"{number}. "
    indent = len(head)
    since = f", since {times(finding['firstSeen'])}" if finding.get("firstSeen") else ""
    spans = Span(f"{head}{severity.upper()} ", style), Span(str(finding.get("message") or ""), "head")
    yield Paragraph(spans, hanging=indent)
    yield paragraph(f"{finding.get('rule')} of {object_text(about)}, {finding.get('confidence')}{since}", "dim", indent=indent)
    if because := finding.get("because"):
        yield paragraph(f"because of: {because}", indent=indent, hanging=2)
    for link in links_of([finding]):
        for quote in quotes.get(link, ()):
            when = f"{quote.when} " if quote.when else ""
            source = f"{quote.source}: " if quote.source else ""
            yield Paragraph((Span(f"> {when}{source}", "dim"), Span(quote.text, _TONES.get(quote.tone, ""))), indent, 2)
    if remedy := finding.get("remedy"):
        yield Paragraph((Span("try: ", "good"), Span(str(remedy))), indent, 2)
