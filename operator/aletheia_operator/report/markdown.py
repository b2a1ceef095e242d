"""Renders a report as Markdown, for a post-mortem or a chat. Text from tenants is inert: code spans and blocks contain it."""

from collections.abc import Iterator

from aletheia_operator.report.contents import contents
from aletheia_operator.report.model import Card, Contents, ReportLimits
from aletheia_operator.report.quotes import Quote
from aletheia_operator.report.session import Source
from aletheia_operator.text.display import code_block, code_span, for_markdown
from aletheia_operator.text.sizes import counted

LIMITS = ReportLimits(findings=10, moments=40, errors=10, gaps=20, artifacts=100, changes=20, context=0, with_pictures=False)


def markdown_report(source: Source) -> str:
    """Return the report of a session. Blocks."""
    return render(contents(source, LIMITS))


def render(it: Contents) -> str:
    """Return the text."""
    blocks = [
        f"# {for_markdown(it.session_id)}: {for_markdown(f'{it.namespace}/{it.name}')}",
        f"**{code_span(it.headline)}**",
        f"{for_markdown(it.phase)}, captured {for_markdown(it.started)}  \nWindow: {for_markdown(it.window_words)}  \n"
        f"Looked at: {for_markdown(it.looked_at or 'nothing')}",
        *_gaps(it),
        *_findings(it),
        *_section("Timeline", [*_moments(it)]),
        *_section("Top errors", [*_errors(it)]),
        *_section("What changed", [f"- {for_markdown(change.when)} {code_span(change.message)}" for change in it.changes]),
        *_section("What was requested", [f"- {for_markdown(name)}: {code_span(text)}" for name, text in it.request.lines]),
        *_section("Artifacts", [*_files(it)]),
    ]
    if it.left_out:
        blocks.append(f"Not in this report: {', '.join(map(code_span, it.left_out[:10]))}")
    blocks.append(f"Made by aletheia-operator {for_markdown(it.version)}")
    return "\n\n".join(blocks) + "\n"


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"## {title}"
        yield "\n".join(lines)


def _gaps(it: Contents) -> Iterator[str]:
    for title, gaps, count in (("What is missing", it.gaps, it.gap_count), ("Notes", it.notes, it.note_count)):
        lines = [f"- {code_span(gap.target)}: {for_markdown(gap.reason)}: {code_span(gap.message)}" for gap in gaps]
        if count > len(gaps):
            lines.append(f"- and {count - len(gaps)} more")
        yield from _section(title, lines)


def _findings(it: Contents) -> Iterator[str]:
    yield "## Findings"
    for finding in it.serious:
        yield _finding(finding)
    if not it.serious:
        yield "No rule found trouble in what was captured." if it.looked_at else "There was nothing to judge."
    if it.findings_left_out:
        yield f"{it.findings_left_out} more in data/findings.json."


def _finding(finding: Card) -> str:
    about = [
        finding.severity,
        finding.confidence,
        code_span(finding.subject),
        *([f"since {for_markdown(finding.since)}"] if finding.since else []),
    ]
    lines = [f"{finding.number}. {code_span(finding.message)}  ", f"   {for_markdown(finding.rule)}: {', '.join(about)}"]
    if finding.because:
        lines.append(f"   A consequence of {code_span(finding.because)}.")
    if finding.remedy:
        lines.append(f"   What helps: {for_markdown(finding.remedy)}.")
    if finding.quotes:
        lines += ["", code_block((_quoted(quote) for quote in finding.quotes), "   ")]
    return "\n".join(lines)


def _quoted(quote: Quote) -> str:
    place = f"[{quote.artifact} entry {quote.entry}]"
    return " ".join(filter(None, (quote.when, quote.source, quote.text, place)))


def _moments(it: Contents) -> Iterator[str]:
    for moment in it.moments:
        kind = f"**{for_markdown(moment.kind)}**"
        yield f"- {for_markdown(moment.when)} {kind} {code_span(moment.subject)} {code_span(moment.message)}"
    if it.moment_count > len(it.moments):
        yield f"- and {it.moment_count - len(it.moments)} more in data/timeline.json"


def _errors(it: Contents) -> Iterator[str]:
    for error in it.errors:
        pods = counted(error.pods, "pod")
        level, times = for_markdown(error.level), for_markdown(error.times)
        yield f"- {error.count:,} × {level} {code_span(error.example)} ({times}, {pods})"


def _files(it: Contents) -> Iterator[str]:
    for file in it.files:
        yield f"- {code_span(file.path)}, {counted(file.count, 'entry', ',')}, {file.size}, SHA-256 {code_span(file.sha256)}"
    if it.files_left_out:
        yield f"- and {it.files_left_out} more in manifest.json"
