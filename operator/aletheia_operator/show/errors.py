"""Counts error lines over pods and runs. Lines that differ only in numbers and ids share a template."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from aletheia_operator.findings.entry_text import text_of
from aletheia_operator.findings.finding import Artifact, Link
from aletheia_operator.findings.log_facts import LogFacts
from aletheia_operator.findings.templates import BUCKETS
from aletheia_operator.findings.top_errors import MOST, top_errors
from aletheia_operator.show.captured import CapturedSession
from aletheia_operator.show.layout import Block, Column, Span, Table
from aletheia_operator.show.log_lines import LogFilter, LogLine, log_lines
from aletheia_operator.show.times import Times
from aletheia_operator.text.batches import SERIOUS
from aletheia_operator.text.sizes import counted

MAX_COUNTED = 1000
_STYLES = {"FATAL": "bad", "ERROR": "error"}
Errors = Sequence[Mapping[str, Any]]


def all_errors(session: CapturedSession) -> Errors:
    """Return all templates, the most frequent first: those that the findings list, or counted if that list is full."""
    if session.has("findings"):
        found = session.metadata(session.artifacts("findings")[0]).get("top_errors")
        if isinstance(found, list) and len(found) < MOST:
            return [error for error in found if isinstance(error, Mapping)]
    if not session.has("logs"):
        return []
    return counted_errors(session, LogFilter(level="ERROR"))


def counted_errors(session: CapturedSession, query: LogFilter) -> Errors:
    """Count the templates of the matching lines. Reads the logs; memory is bounded. Raises NotShown."""
    facts = LogFacts()
    window = session.manifest.window
    start = datetime.fromisoformat(window[0])
    seconds = max(1.0, (datetime.fromisoformat(window[1]) - start).total_seconds())
    for group in log_lines(session, query):
        for line in group:
            if line.level in SERIOUS:
                _count(facts, line, start, seconds)
    return top_errors(facts, MAX_COUNTED)


def _count(facts: LogFacts, line: LogLine, start: datetime, seconds: float) -> None:
    words = text_of(orjson.loads(line.raw))
    bucket = 0
    if line.stamp:
        late = (datetime.fromisoformat(line.stamp[:19]).replace(tzinfo=UTC) - start).total_seconds()
        bucket = min(BUCKETS - 1, max(0, int(late * BUCKETS / seconds)))
    link = Link(Artifact(), line.number)
    facts.templates.add(words, line.level, (line.pod, line.container), line.run or 0, line.stamp, link, bucket)


def error_blocks(errors: Errors, times: Times) -> Iterator[Block]:
    """Yield the templates as a table, the most frequent first."""
    columns = (
        Column("COUNT", right=True),
        Column("LEVEL"),
        Column("FIRST"),
        Column("LAST"),
        Column("POD", shrinks=True),
        Column("MESSAGE (# * vary)", wraps=True),
    )
    yield Table(columns, _rows(errors, times))


def _rows(errors: Iterable[Mapping[str, Any]], times: Times) -> Iterator[Sequence[Span]]:
    for error in errors:
        level = str(error.get("level") or "")
        pods = error.get("pod_names") or []
        number = error.get("pods")
        pod = str(pods[0]) if len(pods) == 1 else counted(int(number or 0), "pod")
        template = str(error.get("template") or "")
        yield (
            Span(str(error.get("count"))),
            Span(level, _STYLES.get(level, "")),
            Span(times(error.get("first"))),
            Span(times(error.get("last"))),
            Span(pod),
            Span(template if "*" in template else str(error.get("example") or template)),
        )
