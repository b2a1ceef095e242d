"""Renders a report as Markdown, for a post-mortem or a chat. Text of tenants is inert: it stands in code spans and blocks."""

import re
from collections.abc import Iterable, Iterator

from aletheia_operator.report.contents import contents
from aletheia_operator.report.model import Card, Contents, Limits
from aletheia_operator.report.quotes import Quote
from aletheia_operator.report.session import Source

LIMITS = Limits(findings=10, moments=40, errors=10, gaps=20, artifacts=100, changes=20, context=0, with_pictures=False)
_HARMLESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ,.:/]|(?<=\w)-(?=\w)){0,300}")


def markdown_report(source: Source) -> str:
    """Return the report of a session. Blocks."""
    return render(contents(source, LIMITS))


def render(it: Contents) -> str:
    """Return the text."""
    blocks = [
        f"# {told(it.session_id)}: {told(f'{it.namespace}/{it.name}')}",
        f"**{code(it.headline)}**",
        f"{told(it.phase)}, captured {told(it.started)}  \nWindow: {told(it.window_words)}  \n"
        f"Looked at: {told(it.looked_at or 'nothing')}",
        *_holes(it),
        *_findings(it),
        *_section("Timeline", [*_moments(it)]),
        *_section("Top errors", [*_errors(it)]),
        *_section("What changed", [f"- {told(one.when)} {code(one.message)}" for one in it.changes]),
        *_section("What was asked", [f"- {told(name)}: {code(text)}" for name, text in it.asked.lines]),
        *_section("Artifacts", [*_files(it)]),
    ]
    if it.left_out:
        blocks.append(f"This report is without: {', '.join(map(code, it.left_out[:10]))}")
    blocks.append(f"Made by aletheia-operator {told(it.version)}")
    return "\n\n".join(blocks) + "\n"


def told(text: str) -> str:
    """Return text as it is if nothing in it can be markup, a mention or a link, else as a code span."""
    return text if _HARMLESS.fullmatch(text) and "://" not in text and "www." not in text else code(text)


def code(text: str) -> str:
    """Return text as a code span, however many backquotes it has."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    padded = f" {text} " if text.startswith("`") or text.endswith("`") else text
    return f"{fence}{padded}{fence}" if text.strip() else "(none)"


def _block(lines: Iterable[str], indent: str) -> str:
    """Return lines as a code block."""
    told = list(lines)
    fence = "`" * max(3, 1 + max((len(run) for line in told for run in re.findall("`+", line)), default=0))
    return "\n".join(indent + line for line in (fence, *told, fence))


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"## {title}"
        yield "\n".join(lines)


def _holes(it: Contents) -> Iterator[str]:
    for title, holes, count in (("What is missing", it.gaps, it.gap_count), ("Notes", it.notes, it.note_count)):
        lines = [f"- {code(one.target)}: {told(one.reason)}: {code(one.message)}" for one in holes]
        if count > len(holes):
            lines.append(f"- and {count - len(holes)} more")
        yield from _section(title, lines)


def _findings(it: Contents) -> Iterator[str]:
    yield "## Findings"
    for one in it.serious:
        yield _finding(one)
    if not it.serious:
        yield "No rule found trouble in what was captured." if it.looked_at else "There was nothing to judge."
    if it.findings_left_out:
        yield f"{it.findings_left_out} more in data/findings.json."


def _finding(one: Card) -> str:
    about = [one.severity, one.confidence, code(one.subject), *([f"since {told(one.since)}"] if one.since else [])]
    lines = [f"{one.number}. {code(one.message)}  ", f"   {told(one.rule)}: {', '.join(about)}"]
    if one.because:
        lines.append(f"   A consequence of {code(one.because)}.")
    if one.remedy:
        lines.append(f"   What helps: {told(one.remedy)}.")
    if one.quotes:
        lines += ["", _block((_quoted(quote) for quote in one.quotes), "   ")]
    return "\n".join(lines)


def _quoted(quote: Quote) -> str:
    place = f"[{quote.artifact} entry {quote.entry}]"
    return " ".join(filter(None, (quote.when, quote.source, quote.text, place)))


def _moments(it: Contents) -> Iterator[str]:
    for one in it.moments:
        yield f"- {told(one.when)} **{told(one.kind)}** {code(one.subject)} {code(one.message)}"
    if it.moment_count > len(it.moments):
        yield f"- and {it.moment_count - len(it.moments)} more in data/timeline.json"


def _errors(it: Contents) -> Iterator[str]:
    for one in it.errors:
        pods = f"{one.pods} pod" if one.pods == 1 else f"{one.pods} pods"
        yield f"- {one.count:,} × {told(one.level)} {code(one.example)} ({told(one.times)}, {pods})"


def _files(it: Contents) -> Iterator[str]:
    for one in it.files:
        yield f"- {code(one.path)}, {one.count:,} entries, {one.size}, SHA-256 {code(one.sha256)}"
    if it.files_left_out:
        yield f"- and {it.files_left_out} more in manifest.json"
