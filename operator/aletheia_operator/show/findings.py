"""Formats findings, with their evidence and remedies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aletheia_operator.findings.finding import object_text
from aletheia_operator.report.contents import serious_first
from aletheia_operator.report.quotes import Quote
from aletheia_operator.report.session import Link
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.show.layout import Block, Paragraph, Span, text
from aletheia_operator.show.times import Times

STYLES = {"critical": "bad", "error": "error", "warning": "warn", "info": "dim"}
_TONES = {"bad": "bad", "error": "error", "warn": "warn"}
QUOTED = 3
Finding = Mapping[str, Any]


def links_of(findings: Iterable[Finding]) -> Iterator[Link]:
    """Yield the first links of each finding."""
    for finding in findings:
        for link in (finding.get("evidence") or [])[:QUOTED]:
            if isinstance(link, Mapping) and isinstance(link.get("entry"), int):
                yield str(link.get("artifact")), link["entry"]


def finding_blocks(
    manifest: Manifest, findings: Sequence[Finding], quotes: Mapping[Link, Sequence[Quote]], times: Times, is_wide: bool = False
) -> Iterator[Block]:
    """Yield the findings, each with its evidence and its remedy. `is_wide`: also those that are only information."""
    if not findings:
        yield text(manifest.headline or "nothing was found", "good")
        return
    for number, finding in enumerate(serious_first(findings)):
        if finding.get("severity") == "info" and not is_wide:
            yield from _brief(number, finding)
            continue
        if number:
            yield text("")
        yield from _finding(number + 1, finding, quotes, times)


def _brief(number: int, finding: Finding) -> Iterator[Block]:
    """Yield one line about a finding that is only information."""
    place = f"{finding.get('rule')}: "
    yield Paragraph((Span(f"{number + 1}. info {place}", "dim"), Span(str(finding.get("message") or ""))), hanging=3)


def _finding(number: int, finding: Finding, quotes: Mapping[Link, Sequence[Quote]], times: Times) -> Iterator[Block]:
    severity, about = str(finding.get("severity") or ""), finding.get("object") or {}
    style = STYLES.get(severity, "")
    since = f", since {times(finding['firstSeen'])}" if finding.get("firstSeen") else ""
    head = f"{number}. {severity.upper()} "
    yield Paragraph((Span(head, style), Span(str(finding.get("message") or ""), "head")), hanging=3)
    yield text(f"{finding.get('rule')} of {object_text(about)}, {finding.get('confidence')}{since}", "dim", indent=3)
    if because := finding.get("because"):
        yield text(f"because of: {because}", indent=3, hanging=2)
    for link in links_of([finding]):
        for quote in quotes.get(link, ()):
            when = f"{quote.when} " if quote.when else ""
            source = f"{quote.source}: " if quote.source else ""
            yield Paragraph((Span(f"> {when}{source}", "dim"), Span(quote.text, _TONES.get(quote.tone, ""))), 3, 2)
    if remedy := finding.get("remedy"):
        yield Paragraph((Span("try: ", "good"), Span(str(remedy))), 3, 2)
