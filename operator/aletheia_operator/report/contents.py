"""Derives the contents of a report from a session: text and numbers that HTML and Markdown show. None of it is trusted.

A session may come from anywhere (`aletheia session import`). A part that cannot be derived is left out, and listed.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.findings.finding import object_text
from aletheia_operator.report.axis import Axis, clock, duration
from aletheia_operator.report.charts import charts
from aletheia_operator.report.lanes import picture, tone_of
from aletheia_operator.report.model import Card, Change, Contents, File, Moment, ReportedGap, ReportLimits, TopError
from aletheia_operator.report.quotes import Quote
from aletheia_operator.report.request import Request, request_of
from aletheia_operator.report.session import Link, LoadedDocument, Source
from aletheia_operator.report.waterfalls import waterfalls
from aletheia_operator.session import Artifact, Gap
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import readable_size
from aletheia_operator.timeline.moments import RANKS

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class _Maker:
    """Derives the parts of one report. `failed`: names of the parts that could not be derived."""

    source: Source
    failed: list[str] = field(default_factory=list)

    def part(self, name: str, make: Callable[[], T], otherwise: T) -> T:
        """Return the result of `make`; `otherwise` if it fails. The report then lists `name` as left out."""
        try:
            return make()
        except Exception:  # content of a session may have any form
            log.warning("the report of session %s is without %s", self.source.manifest.session_id, name, exc_info=True)
            self.failed.append(name)
            return otherwise


def contents(source: Source, limits: ReportLimits | None = None) -> Contents:
    """Read a session, and return what its report shows. Blocks for some seconds at most."""
    limits = limits or ReportLimits()
    maker = _Maker(source)
    part = maker.part
    findings = part("the findings", lambda: source.document("findings"), LoadedDocument())
    timeline = part("the timeline", lambda: source.document("timeline"), LoadedDocument())
    nothing: dict[Link, list[Quote]] = {}
    quotes = part("the evidence", lambda: source.quotes(_wanted(findings, limits)), nothing)
    moments: Sequence[Mapping[str, Any]] = timeline.entries
    found = _head(source, findings)
    window = Axis.of(source.manifest.window)
    found.request = part("the request", lambda: request_of(source.manifest.spec), Request())
    found.findings = part("the findings", lambda: [*_cards(findings, quotes, limits)], found.findings)
    found.findings_left_out = max(0, len(findings.entries) - limits.findings)
    found.picture = part("the picture of the timeline", lambda: picture(moments, window), None)
    found.moments = part("the timeline", lambda: [*_moments(moments, limits.moments)], found.moments)
    if len(moments) > limits.highlights:
        found.highlights = part("the timeline", lambda: [*_moments(moments, limits.highlights)], found.highlights)
    found.moment_count = len(moments)
    found.errors = part("the top errors", lambda: [*_errors(findings, quotes, limits)], found.errors)
    found.changes = part("the changes", lambda: [*_changes(findings, limits)], found.changes)
    _add_gaps(found, source.manifest.gaps, limits)
    found.files = [_file(artifact) for artifact in source.manifest.artifacts[: limits.artifacts]]
    found.files_left_out = max(0, len(source.manifest.artifacts) - limits.artifacts)
    if limits.with_pictures:
        drawn = part("the metrics", lambda: charts(source.queries(), window, moments), (found.charts, found.without_chart))
        found.charts, found.without_chart = drawn
        found.waterfalls = part("the traces", lambda: waterfalls(source.traces()), found.waterfalls)
    found.left_out = [*dict.fromkeys(maker.failed), *sorted(source.left_out)]
    return found


def _head(source: Source, findings: LoadedDocument) -> Contents:
    """Return the head of the report: its parts are still empty."""
    manifest = source.manifest
    end = manifest.completion_time
    return Contents(
        session_id=manifest.session_id,
        namespace=manifest.investigation.namespace,
        name=manifest.investigation.name,
        phase=one_line(manifest.phase, 40),
        headline=one_line(str(findings.metadata.get("headline") or manifest.headline or _nothing(manifest.artifacts)), 200),
        looked_at=one_line(str(findings.metadata.get("looked_at") or ""), 300),
        is_sealed=manifest.encryption is not None,
        window=(one_line(manifest.window[0], 40), one_line(manifest.window[1], 40)),
        window_words=Axis.of(manifest.window).words,
        started=f"{manifest.start_time:%Y-%m-%d %H:%M:%S} UTC",
        took="" if end is None else duration(max(0.0, (end - manifest.start_time).total_seconds())),
        version=one_line(manifest.operator_version, 40),
        size=f"{readable_size(manifest.size_bytes)}B",
    )


def _add_gaps(found: Contents, gaps: Sequence[Gap], limits: ReportLimits) -> None:
    for severity, shown in (("gap", found.gaps), ("note", found.notes)):
        shown += [_reported_gap(gap) for gap in gaps if gap.severity == severity][: limits.gaps]
    found.gap_count = sum(gap.severity == "gap" for gap in gaps)
    found.note_count = len(gaps) - found.gap_count


def _wanted(findings: LoadedDocument, limits: ReportLimits) -> Iterator[tuple[Link, int]]:
    """Yield the entries to quote, with the number of entries around each."""
    for entry in findings.entries[: limits.findings]:
        for link in _links(entry.get("evidence"))[: limits.quotes]:
            yield link, 0
    for error in (findings.metadata.get("top_errors") or [])[: limits.errors]:
        for link in _links([error.get("evidence")]):
            yield link, limits.context


def _links(evidence: Any) -> list[Link]:
    """Return the links in `evidence`; entries of another form are ignored."""
    links = []
    for link in evidence or []:
        if isinstance(link, dict) and isinstance(link.get("artifact"), str) and isinstance(link.get("entry"), int):
            links.append((link["artifact"], link["entry"]))
    return links


def _cards(findings: LoadedDocument, quotes: Mapping[Link, list[Quote]], limits: ReportLimits) -> Iterator[Card]:
    for number, finding in enumerate(findings.entries[: limits.findings], 1):
        links = _links(finding.get("evidence"))
        quoted = [quote for link in links[: limits.quotes] for quote in quotes.get(link, ()) if not quote.is_context]
        subject = finding.get("object") or {}
        yield Card(
            number=number,
            rule=one_line(str(finding.get("rule")), 60),
            severity=str(finding.get("severity")) if finding.get("severity") in ("critical", "error", "warning") else "info",
            confidence=one_line(str(finding.get("confidence")), 20),
            subject=one_line(object_text(subject), 140),
            message=one_line(str(finding.get("message")), 300),
            since=clock(finding["firstSeen"]) if finding.get("firstSeen") else "",
            because=one_line(str(finding.get("because") or ""), 160),
            remedy=one_line(str(finding.get("remedy") or ""), 400),
            quotes=quoted,
            links=[(one_line(path, 255), entry) for path, entry in links],
            more=len(links) - len(quoted),
        )


def _moments(moments: Sequence[Mapping[str, Any]], limit: int) -> Iterator[Moment]:
    """Yield the `limit` most important moments (by kind), in order of time."""
    ranks = [(RANKS.get(str(moment.get("kind")), len(RANKS)), number) for number, moment in enumerate(moments)]
    for _, number in sorted(sorted(ranks)[:limit], key=lambda rank: rank[1]):
        moment = moments[number]
        place = f" {moment['container']}" if moment.get("container") else ""
        count = moment.get("count")
        times = f" ({count} times)" if isinstance(count, int) and count > 1 and moment.get("kind") != "ErrorBurst" else ""
        yield Moment(
            when=clock(moment.get("timestamp")),
            kind=one_line(str(moment.get("kind")), 40),
            tone=tone_of(str(moment.get("kind"))),
            subject=one_line(f"{moment.get('object')}{place}", 140),
            message=one_line(f"{moment.get('message')}{times}", 240),
            link=next(iter(_links([moment])), None),
        )


def _errors(findings: LoadedDocument, quotes: Mapping[Link, list[Quote]], limits: ReportLimits) -> Iterator[TopError]:
    groups = [error for error in findings.metadata.get("top_errors") or [] if isinstance(error, dict)][: limits.errors]
    most = max((int(group.get("count") or 0) for group in groups), default=1) or 1
    for group in groups:
        link = next(iter(_links([group.get("evidence")])), None)
        count = int(group.get("count") or 0)
        yield TopError(
            level=one_line(str(group.get("level") or ""), 10),
            count=count,
            share=round(100 * count / most, 1),
            example=one_line(str(group.get("example") or ""), 300),
            template=one_line(str(group.get("template") or ""), 300),
            times=_times(clock(group.get("first")), clock(group.get("last"))),
            pods=int(group.get("pods") or 0),
            names=one_line(", ".join(map(str, group.get("pod_names") or [])), 300),
            trace_id=one_line(str(group.get("trace_id") or ""), 64),
            context=quotes.get(link, []) if link else [],
        )


def _times(first: str, last: str) -> str:
    return f"at {first}" if first == last else f"{first} to {last}"


def _changes(findings: LoadedDocument, limits: ReportLimits) -> Iterator[Change]:
    """Yield what changed. Values before and after are left out if the message contains both."""
    for finding in (findings.metadata.get("changes") or [])[: limits.changes]:
        subject, details = finding.get("object") or {}, finding.get("details") or {}
        message = one_line(str(finding.get("message")), 300)
        values = [_value(change) for change in (details.get("changed") or [])[:20] if isinstance(change, dict)]
        yield Change(
            when=clock(finding.get("firstSeen")),
            subject=one_line(object_text(subject), 140),
            message=message,
            values=[value for value in values if not (value[1] in message and value[2] in message)],
            link=next(iter(_links(finding.get("evidence"))), None),
        )


def _value(change: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the name of the field that changed, and its values before and after; '' for a value that was unset."""
    name = f"{change.get('container') or ''} {change.get('field') or ''}".strip()
    return one_line(name, 120), one_line(str(change.get("from") or ""), 200), one_line(str(change.get("to") or ""), 200)


def _reported_gap(gap: Gap) -> ReportedGap:
    meaning = next((known.text for known in GapReason if known.value == gap.reason), "")
    return ReportedGap(
        one_line(gap.target, 200), one_line(gap.reason, 60), one_line(gap.fetcher, 60), one_line(gap.message, 800), meaning
    )


def _file(artifact: Artifact) -> File:
    return File(
        path=one_line(artifact.path, 300),
        target=one_line(artifact.target, 200),
        summary=one_line(artifact.summary, 240),
        count=artifact.count,
        size=f"{readable_size(artifact.size_bytes)}B",
        sha256=artifact.sha256,
        complete=artifact.complete,
    )


def _nothing(artifacts: Sequence[Artifact]) -> str:
    return "nothing to judge" if artifacts else "nothing was captured"
